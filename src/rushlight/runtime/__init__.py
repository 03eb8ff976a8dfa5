"""Memory and execution: what everything above it runs on.

Nothing here loads llvmlite when imported; the native parts are generated on first use.

``runtime.threadpool`` -- one native thread pool.

    get_num_threads() / set_num_threads(n)
    parallel_for_address() -> int      C ABI ``void rl_parallel_for(task, ctx, int64 n_tiles)`` with
                                       ``void task(void *ctx, int64 begin, int64 end)``

``runtime.allocator`` -- the caching CPU allocator.

    empty(shape, dtype) -> ndarray     uninitialised, C order; 64 KiB and more from cached blocks
    memory_stats() -> dict             live_bytes, peak_live_bytes, cached_bytes, ...
    reset_peak(), empty_cache(), set_cache_limit(nbytes)
    new_array_address() -> int         C ABI ``PyObject *rl_new_array(descr, nd, dims)``
    alloc_address() / free_address()   C ABI ``Block *rl_alloc(nbytes)``, ``void rl_free(Block *)``

``runtime.native`` -- from LLVM IR to callables.

    load(name, ir, exports, imports)   compile and load a module; returns {symbol: address}
    callable_from(address, name, doc)  a CPython function (METH_FASTCALL) at an address
    symbols() -> {name: address}       what generated code may declare and call

``runtime.cpu`` -- what the processor is: features, caches, usable cores.
"""

import time

BEGUN = time.time_ns()      # before a source file that code is made of is loaded, see compiler.sources
