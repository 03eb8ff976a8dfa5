"""The caching CPU allocator.

    empty(shape, dtype) -> ndarray    uninitialised, C order, 64-byte aligned when 64 KiB or more
    memory_stats() -> dict            see below
    reset_peak()                      peak_live_bytes becomes live_bytes
    empty_cache()                     return the cached blocks to the system
    set_cache_limit(nbytes)           bound on cached bytes (default: a quarter of the memory);
                                      a full cache gives half of it back, largest blocks first

Arrays below ``THRESHOLD`` (64 KiB) are NumPy's own and aren't counted. Larger ones are blocks of
ours, in size classes (eight to a power of two, so at most 1/8 is slack), and go back to a free list
when the array's base capsule dies: fresh pages cost an order of magnitude more than warm ones.
Blocks of 2 MiB and more are aligned for huge pages. Everything is native, takes no Python frame and
is safe among threads and across ``os.fork``.

``memory_stats()``: ``live_bytes`` (as requested, arrays of 64 KiB and more that exist),
``peak_live_bytes``, ``reserved_bytes`` (their blocks), ``cached_bytes`` (free blocks kept),
``live_blocks``, ``allocations`` (so far), ``system_allocations`` (of them not from the cache).

C ABI for generated code (symbols as in ``runtime.native.symbols``; none of them raises but
``rl_new_array``):

    PyObject *rl_new_array(PyArray_Descr *descr, int32 nd, const int64 *dims)
        New C-order array of any size, as ``empty``; needs the GIL; borrows ``descr``; NULL with
        OutOfMemoryError set.
    Block *rl_alloc(int64 nbytes)
        NULL when the system refuses; the first field is the data pointer, 64-byte aligned.
    Block *rl_scratch(int64 nbytes)
        The same for working memory, which ``live_bytes`` doesn't count.
    void rl_free(Block *block)
        All three are thread-safe and need no GIL.

Without llvmlite, ``empty`` is ``numpy.empty`` and the statistics are zero.
``RUSHLIGHT_GUARD`` puts memory between pages without access, to find faults in kernels: see ``runtime.guard``.
"""

import ctypes
import os

import numpy as np

from rushlight.runtime import cpu, native

THRESHOLD = 64 << 10
STATS = (
    "live_bytes",
    "peak_live_bytes",
    "reserved_bytes",
    "cached_bytes",
    "live_blocks",
    "allocations",
    "system_allocations",
)

_np_empty = np.empty
_native_empty = None  # generated function (shape, dtype, nbytes) -> ndarray
_library = None
_addresses = {}
_cache_limit = None
_unavailable = False


_MOST = (1 << 63) - 1


class OutOfMemoryError(RuntimeError, MemoryError):
    """The system refuses memory: a RuntimeError as in PyTorch, a MemoryError as in Python."""


def empty(shape: tuple, dtype: np.dtype) -> np.ndarray:
    """Uninitialised C-order array of ``shape`` (ints >= 0) and ``dtype`` (an ``np.dtype``).

    Raises OutOfMemoryError with the number of bytes when the system refuses, RuntimeError when no
    address space could hold them.
    """
    nbytes = dtype.itemsize
    for size in shape:
        nbytes *= size
    if nbytes < 65536:
        return _np_empty(shape, dtype)
    if nbytes > _MOST:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
    if _native_empty is None and not _unavailable:
        _load()
    try:
        if _native_empty is not None:
            return _native_empty(shape, dtype, nbytes)
        return _np_empty(shape, dtype)
    except (OverflowError, ValueError, MemoryError) as error:
        if str(error).startswith("rushlight"):
            raise
        raise OutOfMemoryError(f"rushlight: can't allocate {nbytes} bytes") from None


def memory_stats() -> dict:
    """Counters of the allocator, in bytes and blocks; see the module's text."""
    if _library is None:
        return dict.fromkeys(STATS, 0)
    values = (ctypes.c_int64 * len(STATS))()
    _library["rl_memory_stats"](ctypes.addressof(values))
    return dict(zip(STATS, values, strict=True))


def reset_peak() -> None:
    """Start measuring ``peak_live_bytes`` anew."""
    if _library is not None:
        _library["rl_reset_peak"]()


def empty_cache() -> None:
    """Return every cached block to the system."""
    if _library is not None:
        _library["rl_trim"](0)


def set_cache_limit(nbytes: int) -> None:
    """Keep at most ``nbytes`` of freed blocks; gives back what is beyond at once."""
    global _cache_limit
    if nbytes < 0:
        raise ValueError(f"set_cache_limit expects a size of at least 0, but got {nbytes}")
    _cache_limit = nbytes
    if _library is not None:
        _library["rl_set_cache_limit"](nbytes)
        _library["rl_trim"](nbytes)


def alloc_address() -> int:
    """Address of ``rl_alloc``."""
    return _address("rl_alloc")


def scratch_address() -> int:
    """Address of ``rl_scratch``."""
    return _address("rl_scratch")


def free_address() -> int:
    """Address of ``rl_free``."""
    return _address("rl_free")


def new_array_address() -> int:
    """Address of ``rl_new_array``."""
    return _address("rl_new_array")


def _address(name: str) -> int:
    if not _addresses:
        _load()
    return _addresses[name]


_SIGNATURES = {
    "rl_memory_stats": (None, ctypes.c_void_p),
    "rl_reset_peak": (None,),
    "rl_trim": (None, ctypes.c_int64),
    "rl_set_cache_limit": (None, ctypes.c_int64),
    "rl_alloc_child": (None,),
}
_EXPORTS = (*_SIGNATURES, "rl_empty", "rl_alloc", "rl_scratch", "rl_free", "rl_new_array")


def _descr_size_field() -> tuple[int, str]:
    """Offset and LLVM type of ``elsize`` in ``PyArray_Descr``, which NumPy 2 widened."""
    return (40, "i64") if int(np.__version__.partition(".")[0]) >= 2 else (32, "i32")


def _load() -> None:
    """Generate the allocator, or settle for NumPy's where llvmlite is missing."""
    global _library, _native_empty, _unavailable
    if not native.available():
        _unavailable = True
        return

    def text():
        from rushlight.runtime.allocator_ir import allocator_ir

        return allocator_ir(THRESHOLD, cpu.is_linux(), _descr_size_field(), guarded)

    guarded = ""
    if "RUSHLIGHT_GUARD" in os.environ:
        from rushlight.runtime import guard

        guarded = guard.mode()
    addresses = native.load(
        f"allocator {cpu.is_linux()} {_descr_size_field()} {guarded}",
        text,
        _EXPORTS,
        native.numpy_api() | {"rl_out_of_memory": id(OutOfMemoryError)},
    )
    with native.lock:
        if _library is not None:
            return
        library = {
            name: ctypes.CFUNCTYPE(*signature)(addresses[name])
            for name, signature in _SIGNATURES.items()
        }
        limit = cpu.physical_memory() // 4 if _cache_limit is None else _cache_limit
        library["rl_set_cache_limit"](limit)
        # Taking the lock before a fork would deadlock: its holder would wait for the GIL, whose
        # holder for the lock.
        os.register_at_fork(after_in_child=library["rl_alloc_child"])
        _addresses.update(addresses)
        _library = library
        _native_empty = _np_guarded if guarded else native.callable_from(addresses["rl_empty"], "empty")


def _np_guarded(shape, dtype, nbytes):
    """NumPy's own array, whose end is exact, where ``runtime.guard`` makes its memory."""
    return _np_empty(shape, dtype)
