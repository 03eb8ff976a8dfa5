"""Native code and the life of the process: callables, symbols, exit amid a compile."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from rushlight.runtime import allocator, native


def test_callables_live_at_addresses():
    ir = """
@PyExc_TypeError = external global ptr
declare ptr @PyLong_FromLongLong(i64)
define ptr @count(ptr %self, ptr %args, i64 %n) {
  %r = call ptr @PyLong_FromLongLong(i64 %n)
  ret ptr %r
}
"""
    addresses = native.load("count", ir, ["count"])
    count = native.callable_from(addresses["count"], "count", "How many arguments.")
    assert count() == 0 and count(None, [], 3) == 3
    assert count.__name__ == "count" and count.__doc__ == "How many arguments."
    assert native.load("count", ir, ["count"]) == addresses


def test_new_arrays_from_native_code():
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_int32, ctypes.c_void_p)(
        allocator.new_array_address()
    )
    for shape in ((), (3,), (2, 3, 4), (0, 5), (300, 400)):
        dims = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        for dtype in (np.dtype("f4"), np.dtype("c16"), np.dtype("?")):
            a = new(dtype, len(shape), ctypes.addressof(dims))
            assert a.shape == shape and a.dtype is dtype and a.flags.c_contiguous
            a[...] = 1
    dims = (ctypes.c_int64 * 2)(1 << 40, 1 << 40)
    with pytest.raises(MemoryError, match="rushlight: can't allocate"):
        new(np.dtype("f4"), 2, ctypes.addressof(dims))


def test_blocks_from_native_code():
    alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(allocator.alloc_address())
    free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(allocator.free_address())
    before = allocator.memory_stats()["live_bytes"]
    block = alloc(100_000)
    assert ctypes.c_void_p.from_address(block).value % 64 == 0
    assert allocator.memory_stats()["live_bytes"] == before + 100_000
    free(block)
    assert allocator.memory_stats()["live_bytes"] == before
    assert not alloc(-1) and not alloc(1 << 60)


def test_symbols_are_addresses():
    symbols = native.symbols()
    assert {"rl_parallel_for", "rl_alloc", "rl_free", "rl_new_array"} <= set(symbols)
    assert all(isinstance(a, int) and a for a in symbols.values())


def test_exit_while_a_daemon_thread_compiles():
    program = """
import sys, threading, time
from rushlight.compiler import engine
from rushlight.compiler.templates import gemm
from rushlight.runtime import cpu
text = gemm.module_text("float32", 11, cpu.vector_bytes(), cpu.caches())
engine.compile_object("define void @f() { ret void }")
def compile_on():
    while True:
        engine.compile_object(text, 2, 3)
threading.Thread(target=compile_on, daemon=True).start()
time.sleep(float(sys.argv[1]))
"""
    for delay in ("0.15", "0.25", "0.35"):
        out = subprocess.run(
            [sys.executable, "-c", program, delay],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (out.returncode, out.stdout) == (0, ""), out.stderr
