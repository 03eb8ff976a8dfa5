"""The caching allocator: alignment, reuse, accounting, refusal, threads, fork, import time."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from rushlight.runtime import allocator

F4 = np.dtype("f4")


@pytest.fixture(autouse=True)
def clean():
    gc.collect()
    allocator.empty_cache()
    allocator.reset_peak()
    yield
    allocator.empty_cache()


def live():
    return allocator.memory_stats()["live_bytes"]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (8, 8), (1024, 1024), (3, 5, 7, 1000)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "c16"])
def test_array_is_ordinary(shape, dtype):
    dtype = np.dtype(dtype)
    a = allocator.empty(shape, dtype)
    assert a.shape == shape and a.dtype == dtype
    assert a.flags.c_contiguous and a.flags.writeable and a.flags.aligned
    a[...] = 1
    assert (a == 1).all()
    if a.nbytes >= allocator.THRESHOLD:
        assert a.ctypes.data % 64 == 0
        assert type(a.base).__name__ == "PyCapsule"


def test_live_bytes_follow_arrays_and_their_views():
    before = live()
    a = allocator.empty((1000, 1000), F4)
    assert live() - before == 4_000_000
    view = a[10:20]
    del a
    assert live() - before == 4_000_000
    del view
    assert live() == before
    assert allocator.memory_stats()["peak_live_bytes"] >= before + 4_000_000


def test_small_arrays_are_not_counted():
    before = allocator.memory_stats()["allocations"]
    keep = [allocator.empty((100, 100), F4) for _ in range(10)]
    assert allocator.memory_stats()["allocations"] == before
    del keep


def test_a_freed_block_is_used_again():
    a = allocator.empty((300, 1000), F4)
    address = a.ctypes.data
    del a
    fresh = allocator.memory_stats()["system_allocations"]
    b = allocator.empty((300, 1000), F4)
    assert b.ctypes.data == address
    assert allocator.memory_stats()["system_allocations"] == fresh


@pytest.mark.parametrize("n", [65536, 65537, 100_000, 131072, 131073, 2**21, 2**21 + 1, 5_000_000])
def test_slack_is_at_most_an_eighth(n):
    before = allocator.memory_stats()["reserved_bytes"]
    a = allocator.empty((n,), np.dtype("u1"))
    reserved = allocator.memory_stats()["reserved_bytes"] - before
    assert n <= reserved <= n * 9 // 8 + 1
    a[:] = 255


def test_cache_is_bounded_and_can_be_emptied():
    limit = allocator.cpu.physical_memory() // 4
    try:
        allocator.set_cache_limit(3_000_000)
        arrays = [allocator.empty((1_000_000,), np.dtype("u1")) for _ in range(6)]
        del arrays
        cached = allocator.memory_stats()["cached_bytes"]
        assert 0 < cached <= 3_000_000  # each block is below half of the limit
        allocator.set_cache_limit(0)
        assert allocator.memory_stats()["cached_bytes"] == 0
    finally:
        allocator.set_cache_limit(limit)
    a = allocator.empty((1_000_000,), np.dtype("u1"))
    del a
    assert allocator.memory_stats()["cached_bytes"] > 0
    allocator.empty_cache()
    assert allocator.memory_stats()["cached_bytes"] == 0


def test_a_full_cache_makes_room_for_sizes_in_use():
    limit = allocator.cpu.physical_memory() // 4
    u1 = np.dtype("u1")
    try:
        allocator.set_cache_limit(4_000_000)
        stale = [allocator.empty((900_000,), u1) for _ in range(4)]
        del stale
        a = allocator.empty((500_000,), u1)
        address = a.ctypes.data
        del a
        assert allocator.memory_stats()["cached_bytes"] <= 4_000_000
        fresh = allocator.memory_stats()["system_allocations"]
        assert allocator.empty((500_000,), u1).ctypes.data == address
        assert allocator.memory_stats()["system_allocations"] == fresh
    finally:
        allocator.set_cache_limit(limit)


def test_huge_blocks_are_aligned_for_huge_pages():
    for nbytes in (1 << 21, 3_000_000, 1 << 24):
        a = allocator.empty((nbytes,), np.dtype("u1"))
        if allocator.cpu.is_linux():
            assert a.ctypes.data % (1 << 21) == 0
        a[:: 1 << 12] = 1


@pytest.mark.skipif(not allocator.cpu.is_linux(), reason="needs RLIMIT_AS")
def test_refusal_by_the_system_gives_the_cache_back_first():
    program = """
import resource, numpy as np
from rushlight.runtime import allocator
from rushlight.compiler.templates.gemm import gemm
u1 = np.dtype("u1")
a = np.ones((600, 600), "f4")
gemm(np.empty_like(a), a, a)
allocator.empty_cache()
blocks = [allocator.empty((50 << 20,), u1) for _ in range(4)]
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), -1))
del blocks
print(allocator.memory_stats()["cached_bytes"] >= 200 << 20)
big = allocator.empty((190 << 20,), u1)
print(allocator.memory_stats()["cached_bytes"])
try:
    allocator.empty((300 << 20,), u1)
except MemoryError as error:
    print(error)
c = np.empty_like(a)
resource.setrlimit(resource.RLIMIT_AS, (1 << 20, -1))
allocator.empty_cache()
try:
    gemm(c, a, a)
except MemoryError as error:
    print("gemm" in str(error))
"""
    out = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    lines = out.stdout.splitlines()
    assert lines[:2] == ["True", "0"], out.stderr
    assert lines[2].startswith(f"rushlight: can't allocate {300 << 20} bytes")
    assert lines[3] == "True"


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
def test_refusal_is_an_error_with_the_size(kind):
    before = live()
    with pytest.raises(kind, match=f"rushlight: can't allocate {4 << 45} bytes"):
        allocator.empty((1 << 45,), F4)
    assert live() == before


@pytest.mark.parametrize("shape", [(1 << 62,), (1 << 40, 1 << 40)])
def test_sizes_beyond_the_address_space(shape):
    with pytest.raises(RuntimeError, match="Storage size calculation overflowed"):
        allocator.empty(shape, F4)


def test_blocks_do_not_overlap_among_threads():
    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for _ in range(300):
            n = int(rng.integers(65536, 300_000))
            a = allocator.empty((n,), np.dtype("u1"))
            a[:] = seed
            held.append(a)
            if len(held) > 6:
                b = held.pop(int(rng.integers(len(held))))
                if not (b == seed).all():
                    bad.append(seed)

    bad, before = [], live()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad
    assert live() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_other_threads_allocate():
    program = """
import os, threading, numpy as np
from rushlight.runtime import allocator
u1 = np.dtype("u1")
stop = False
def churn():
    while not stop:
        allocator.empty((100_000,), u1)
threads = [threading.Thread(target=churn) for _ in range(3)]
for t in threads: t.start()
status = 0
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            allocator.empty((100_000,), u1)[:] = 1
        os._exit(0)
    status |= os.waitpid(pid, 0)[1]
stop = True
for t in threads: t.join()
print("status", status)
"""
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert out.stdout == "status 0\n", out.stderr


def test_arrays_alive_at_exit_and_lazy_llvmlite():
    program = """
import sys, numpy as np
from rushlight.runtime import allocator
keep = [allocator.empty((100,), np.dtype("f4"))]
assert "llvmlite" not in sys.modules
keep.append(allocator.empty((1 << 20,), np.dtype("f4")))
sys.keep = keep
keep.append(keep)
"""
    out = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_without_llvmlite_numpy_serves():
    program = """
import sys, numpy as np
from rushlight.runtime import allocator, native
native.available = lambda: False
a = allocator.empty((1 << 20,), np.dtype("f4"))
assert a.flags.owndata and allocator.memory_stats()["live_bytes"] == 0
try:
    allocator.empty((1 << 50,), np.dtype("f4"))
except MemoryError as error:
    print(error)
"""
    out = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert out.stdout == f"rushlight: can't allocate {1 << 52} bytes\n", out.stderr
