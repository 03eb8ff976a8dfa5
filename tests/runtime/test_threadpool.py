"""The thread pool: every tile once, nesting, concurrency, fork, exit, idle cost, thread counts."""

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("llvmlite")
from rushlight.runtime import native, threadpool

# increment(ctx, b, e): ctx[i] += 1 for each tile; nest: a tile runs increment over 10 tiles of its
# own row; repeat(ctx, n, times): as many jobs; crowd: counts tiles that run at the same time.
IR = """
declare void @rl_parallel_for(ptr, ptr, i64)
define void @increment(ptr %ctx, i64 %b, i64 %e) {
entry:
  br label %loop
loop:
  %i = phi i64 [%b, %entry], [%i1, %loop]
  %p = getelementptr i64, ptr %ctx, i64 %i
  %old = atomicrmw add ptr %p, i64 1 monotonic
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %e
  br i1 %more, label %loop, label %out
out:
  ret void
}
define void @nest(ptr %ctx, i64 %b, i64 %e) {
entry:
  br label %loop
loop:
  %i = phi i64 [%b, %entry], [%i1, %loop]
  %i10 = mul i64 %i, 10
  %p = getelementptr i64, ptr %ctx, i64 %i10
  call void @rl_parallel_for(ptr @increment, ptr %p, i64 10)
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %e
  br i1 %more, label %loop, label %out
out:
  ret void
}
define void @repeat(ptr %ctx, i64 %n, i64 %times) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  call void @rl_parallel_for(ptr @increment, ptr %ctx, i64 %n)
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %times
  br i1 %more, label %loop, label %out
out:
  ret void
}
; ctx[0]: tiles running now; ctx[1]: the most seen
define void @crowd(ptr %ctx, i64 %b, i64 %e) {
entry:
  %most = getelementptr i64, ptr %ctx, i64 1
  %old = atomicrmw add ptr %ctx, i64 1 seq_cst
  %now = add i64 %old, 1
  %m = atomicrmw max ptr %most, i64 %now seq_cst
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %x = load volatile i64, ptr %most
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, 2000000
  br i1 %more, label %loop, label %out
out:
  %after = atomicrmw sub ptr %ctx, i64 1 seq_cst
  ret void
}
"""


@pytest.fixture(scope="module")
def tasks():
    symbols = {"rl_parallel_for": threadpool.parallel_for_address()}
    return native.load("pool_test", IR, ["increment", "nest", "repeat", "crowd"], symbols)


@pytest.fixture
def threads():
    before = threadpool.get_num_threads()
    yield threadpool.set_num_threads
    threadpool.set_num_threads(before)


def cells(n):
    return (ctypes.c_int64 * n)()


def repeat(tasks, array, n, times):
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(tasks["repeat"])(
        ctypes.addressof(array), n, times
    )


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("tiles", [0, 1, 2, 7, 100, 5000])
def test_every_tile_runs_once(tasks, threads, count, tiles):
    threads(count)
    array = cells(tiles + 1)
    for _ in range(20):
        threadpool.parallel_for(tasks["increment"], ctypes.addressof(array), tiles)
    assert list(array) == [20] * tiles + [0]
    expected = count - 1 if tiles > 1 else 0
    assert threadpool.worker_count() == expected


def test_nested_jobs(tasks, threads):
    threads(3)
    array = cells(1000)
    for _ in range(50):
        threadpool.parallel_for(tasks["nest"], ctypes.addressof(array), 100)
    assert set(array) == {50}


def test_several_python_threads_at_once(tasks, threads):
    threads(3)
    arrays = [cells(500) for _ in range(4)]
    callers = [threading.Thread(target=repeat, args=(tasks, a, 500, 1000)) for a in arrays]
    for caller in callers:
        caller.start()
    for _ in range(20):
        threads(2)
        threads(4)
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert all(set(a) == {1000} for a in arrays)


def test_threads_really_share_a_job(tasks, threads):
    threads(4)
    array = cells(2)
    for _ in range(20):
        threadpool.parallel_for(tasks["crowd"], ctypes.addressof(array), 8)
    assert array[0] == 0
    assert 2 <= array[1] <= 4
    threads(1)
    array = cells(2)
    threadpool.parallel_for(tasks["crowd"], ctypes.addressof(array), 4)
    assert array[1] == 1


def test_each_thread_begins_with_its_own_part(threads):
    threads(2)
    places, n = [], 40

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    def task(ctx, begin, end):
        places.append((begin, threading.get_ident()))
        time.sleep(0.002)

    address = ctypes.cast(task, ctypes.c_void_p).value
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(threadpool.parallel_for_address())
    first = []
    for _ in range(5):
        places.clear()
        run(address, None, n)
        assert sorted(begin for begin, _ in places) == list(range(n))
        mine = threading.get_ident()
        first.append(next((begin for begin, who in places if who != mine), None))
        assert next(begin for begin, who in places if who == mine) == 0
    # A worker that comes at all begins in the middle: by then nobody has taken from its part.
    assert n // 2 in first


def test_little_work_wakes_nobody(tasks, threads):
    threads(2)
    array = cells(64)
    repeat(tasks, array, 64, 1)                             # (the worker is there)
    time.sleep(0.05)
    who = set()

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    def task(ctx, begin, end):
        who.add(threading.get_ident())
        seen.extend(range(begin, end))
        time.sleep(0.001)

    address = ctypes.cast(task, ctypes.c_void_p).value
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(threadpool.parallel_for_address())
    for n in (30, 1, 0):
        seen = []
        run(address, None, -n)
        assert seen == list(range(n))
    assert who == {threading.get_ident()}
    seen = []
    run(address, None, 30)
    assert sorted(seen) == list(range(30)) and len(who) == 2


def test_idle_workers_sleep(tasks, threads):
    threads(4)
    repeat(tasks, cells(100), 100, 100)
    time.sleep(0.01)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    before = usage.ru_utime + usage.ru_stime
    time.sleep(0.5)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert usage.ru_utime + usage.ru_stime - before < 0.02


def test_bad_counts_are_refused():
    for bad, error in (
        (0, RuntimeError),
        (-1, RuntimeError),
        (5000, RuntimeError),
        (1.5, TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match="set_num_threads"):
            threadpool.set_num_threads(bad)


def test_interop_threads():
    program = """
print(threadpool.get_num_interop_threads() >= 1)
for bad in (0, 1.5):
    try:
        threadpool.set_num_interop_threads(bad)
    except (RuntimeError, TypeError) as error:
        print(type(error).__name__)
threadpool.set_num_interop_threads(3)
print(threadpool.get_num_interop_threads())
try:
    threadpool.set_num_interop_threads(4)
except RuntimeError as error:
    print("before" in str(error))
"""
    check(run(program), "True\nRuntimeError\nTypeError\n3\nTrue\n")


PRELUDE = f"""
import ctypes, os, sys, threading, time
from rushlight.runtime import native, threadpool
IR = '''{IR}'''
symbols = {{"rl_parallel_for": threadpool.parallel_for_address()}}
tasks = native.load("pool_test", IR, ["increment", "nest", "repeat", "crowd"], symbols)
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(tasks["repeat"])
def work(times=10):
    a = (ctypes.c_int64 * 300)()
    call(ctypes.addressof(a), 300, times)
    assert set(a) == {{times}}
"""


def run(program, before="", timeout=60, **environ):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", before + PRELUDE + program],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environ},
    )


def check(result, stdout):
    assert (result.returncode, result.stdout) == (0, stdout), result.stderr


def test_default_counts():
    program = "print(threadpool.get_num_threads())"
    check(run(program, RUSHLIGHT_NUM_THREADS="3", OMP_NUM_THREADS="5"), "3\n")
    check(run(program, RUSHLIGHT_NUM_THREADS="", OMP_NUM_THREADS="5,2"), "5\n")
    pin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    check(run(program, pin, RUSHLIGHT_NUM_THREADS="", OMP_NUM_THREADS=""), "1\n")


def test_workers_start_lazily():
    program = """
print(threadpool.worker_count())
work()
time.sleep(0.2)
names = [open(f"/proc/self/task/{t}/comm").read() for t in os.listdir("/proc/self/task")]
print(threadpool.worker_count(), names.count("rushlight\\n"))
"""
    check(run(program, RUSHLIGHT_NUM_THREADS="3"), "0\n2 2\n")


FORK = """
def children(n):
    bad = 0
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            assert threadpool.worker_count() == 0
            work()
            os._exit(0 if threadpool.worker_count() == 2 else 3)
        bad |= os.waitpid(pid, 0)[1]
    return bad
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_before_after_and_during_jobs():
    program = (
        FORK
        + """
print(children(3))
work()
print(children(3))
stop = False
def busy():
    while not stop:
        work(50)
threads = [threading.Thread(target=busy) for _ in range(2)]
for t in threads: t.start()
print(children(20))
stop = True
for t in threads: t.join()
work()
"""
    )
    check(run(program, RUSHLIGHT_NUM_THREADS="3"), "0\n0\n0\n")


def test_exit_with_workers_daemons_and_late_calls():
    program = """
import atexit
work()
threading.Thread(target=lambda: [work(100) for _ in range(10**9)], daemon=True).start()
class Late:
    def __del__(self):
        work()
sys.late = Late()
time.sleep(0.05)
print("end")
"""
    for _ in range(3):
        start = time.perf_counter()
        check(run(program, RUSHLIGHT_NUM_THREADS="4"), "end\n")
        assert time.perf_counter() - start < 20


def test_signals_reach_the_main_thread():
    program = """
import signal
work()
def tell():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=tell).start()
start = time.perf_counter()
try:
    time.sleep(10)
except KeyboardInterrupt:
    print(time.perf_counter() - start < 5)
"""
    check(run(program, RUSHLIGHT_NUM_THREADS="4"), "True\n")
