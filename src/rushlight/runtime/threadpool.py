"""The native thread pool.

    parallel_for_address() -> int    C ABI ``void rl_parallel_for(task, ctx, int64 n_tiles)``, where
                                     ``void task(void *ctx, int64 begin, int64 end)`` does tiles
                                     begin..end-1
    parallel_for(task, ctx, n)       the same from Python, with addresses (for tests)
    get_num_threads() -> int         threads that work on a job, the caller included
    set_num_threads(n)               change that, from 1 up
    get_num_interop_threads(), set_num_interop_threads(n)

A negative number of tiles says that so many are little work: they are shared only with workers that are awake, as
between the kernels of a program; waking one costs some microseconds.

The caller of ``rl_parallel_for`` needs no GIL and works too; tiles are handed out by an atomic
counter, so results that depend only on the tiles depend on neither the number of threads nor time.
A task must not raise and must not call Python without taking the GIL. While one job runs, nested
and concurrent calls run their tiles serially in the caller, as does everything with one thread. A
job's threads share the caller's floating-point control word.

Workers are plain pthreads in generated code, started at the first parallel call. They spin for
about 50 us after a job and then sleep on a futex, have all signals blocked, and are joined when the
interpreter ends. Woken workers may run anywhere but on the caller's CPU (with at most 8 threads).
``os.fork`` waits for the running job; the child starts its own workers when it first needs them.
The default number of threads is the number of usable cores (affinity mask and cgroup limit), or
RUSHLIGHT_NUM_THREADS or OMP_NUM_THREADS. Where there are no futexes (outside Linux on x86-64 and
AArch64) every job runs serially.
"""

import ctypes
import os

from rushlight.runtime import cpu, native

MAX_THREADS = 1024
SPIN_SECONDS = 50e-6

_library = None  # the loaded pool: name -> ctypes function
_address = 0
_num_threads = 0  # 0 until asked
_interop_threads = 0  # 0 until set


def _default_num_threads() -> int:
    for name in ("RUSHLIGHT_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").partition(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return min(int(text), MAX_THREADS)
    return min(cpu.usable_cores(), MAX_THREADS)


def get_num_threads() -> int:
    """Threads that work on a parallel job, the calling one included."""
    global _num_threads
    if not _num_threads:
        _num_threads = _default_num_threads()
    return _num_threads


def set_num_threads(n: int) -> None:
    """Let ``n`` threads work on parallel jobs. Waits for the running job; 1 makes every job serial.

    Raises RuntimeError for n < 1 or more than 1024, TypeError for anything but an integer.
    """
    global _num_threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    n = n.__index__()
    if n < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {n}")
    if n > MAX_THREADS:
        raise RuntimeError(f"set_num_threads: at most {MAX_THREADS} threads, but got {n}")
    with native.lock:
        _num_threads = n
        if _library is not None:
            _library["rl_pool_stop"](n if _supported() else 1)


def get_num_interop_threads() -> int:
    """Threads for independent operations: as told, or the number of usable cores.

    Rushlight runs operations one after another, so the number has no effect.
    """
    return _interop_threads or cpu.usable_cores()


def set_num_interop_threads(n: int) -> None:
    """Remember ``n`` for ``get_num_interop_threads``; may be called once.

    Raises RuntimeError for n < 1 and for a second call, TypeError for anything but an integer.
    """
    global _interop_threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_interop_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError(f"set_num_interop_threads expects a positive integer, but got {n}")
    if _interop_threads:
        raise RuntimeError("set_num_interop_threads: the number has been set before")
    _interop_threads = n.__index__()


def _supported() -> bool:
    return cpu.is_linux() and cpu.machine() in ("x86_64", "aarch64")


def parallel_for_address() -> int:
    """Address of ``rl_parallel_for``; generates the pool on the first call (needs llvmlite)."""
    if not _address:
        _load()
    return _address


def parallel_for(task: int, ctx: int, n_tiles: int) -> None:
    """Run the native function at address ``task`` over ``n_tiles`` tiles, without the GIL."""
    parallel_for_address()
    _library["rl_parallel_for"](task, ctx, n_tiles)


def worker_count() -> int:
    """Worker threads that exist now (0 before the first parallel call and after a fork)."""
    return _library["rl_pool_workers"]() if _library is not None else 0


_SIGNATURES = {
    "rl_parallel_for": (None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
    "rl_pool_setup": (None, ctypes.c_int64, ctypes.c_int32),
    "rl_pool_spin": (None, ctypes.c_int64),
    "rl_pool_stop": (None, ctypes.c_int32),
    "rl_pool_workers": (ctypes.c_int32,),
    "rl_pool_lock": (None,),
    "rl_pool_unlock": (None,),
    "rl_pool_child": (None,),
}


def _load() -> None:
    global _library, _address

    def text():
        from rushlight.runtime.threadpool_ir import pool_ir

        return pool_ir(_supported())

    addresses = native.load(f"threadpool {_supported()}", text, list(_SIGNATURES))
    with native.lock:
        if _library is not None:
            return
        library = {
            name: ctypes.CFUNCTYPE(*signature)(addresses[name])
            for name, signature in _SIGNATURES.items()
        }
        library["rl_pool_setup"](_spins(library), get_num_threads() if _supported() else 1)
        os.register_at_fork(
            before=library["rl_pool_lock"],
            after_in_parent=library["rl_pool_unlock"],
            after_in_child=library["rl_pool_child"],
        )
        _stop_at_exit(library["rl_pool_stop"])
        _library, _address = library, addresses["rl_parallel_for"]


def _stop_at_exit(stop) -> None:
    import atexit

    atexit.register(stop, 1)


def _spins(library) -> int:
    """How many pauses take ``SPIN_SECONDS`` (a pause is 10 to 140 cycles, by CPU)."""
    from time import perf_counter

    best = 1.0
    for _ in range(3):
        start = perf_counter()
        library["rl_pool_spin"](500)
        best = min(best, perf_counter() - start)
    return max(50, int(500 * SPIN_SECONDS / best))
