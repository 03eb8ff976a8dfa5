"""Matrix products of arrays of floats, complex numbers and integers by generated code.

    gemm(out, a, b, bias=None, alpha=1, accumulate=False[, d, beta[, finish, context]]) -> None

        out = alpha * a @ b  (+ bias)  (+ out when accumulate, or beta * d), then finish

    ``out`` (m, n), (batch, m, n) or (outer, batch, m, n): rows of adjacent elements. ``a`` (m, k),
    ``b`` (k, n), any strides (so ``w.T`` is free), or of out's rank with leading dimensions of
    out's sizes or 1. ``bias`` (n,), contiguous. All of one dtype. ``out`` must not overlap the
    others. dtypes: float32 and float64, float16 and bfloat16 (summed in float32, rounded once), int64,
    int32, int16, int8, uint8 (modulo their range), complex64 and complex128. ``alpha`` is a float, an int
    for integers. ``finish`` and ``context`` are addresses of a formula for the finished sums and of its operands
    (an activation, a residual; see ``gemm_finish``), for the dtypes of ``fused_address``; ``d`` may be None then.
    Raises TypeError for dtypes, ValueError for shapes and layouts, MemoryError.

    kernel(dtype) -> builtin function
        The same for one dtype, positional arguments only; about 0.1 us of overhead.
    gemm_address(dtype) -> int
        C ABI ``int32 gemm(int64 *job)``, see ``gemm_driver.FIELDS``; needs no GIL.
    fused_address(dtype) -> int
        ``int32 gemm_fused(int64 *job)``, with biases of rows and finishing functions; float32, float64,
        int32, int64. The driver's ``gemm_added`` is in ``vectors(name)``.
        Those that call by address have all kernels made first (``complete``); Python's calls, those they need.
    supported(dtype) -> bool

The sums over k run in one fixed order that depends on the sizes and the CPU only: neither on the
number of threads nor on how C is cut into tiles. Large products release the GIL and use the pool of
``runtime.threadpool``.

After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34
(2008).
"""

import ctypes
from functools import cache

import numpy as np

from rushlight.compiler import engine
from rushlight.runtime import cpu, native

# LLVM's types of the elements that have kernels of their own, and what other elements are computed in.
_ELEMENTS = {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64"}
_INNER = {"bfloat16": "float32", "float16": "float32", "int16": "int32", "int8": "int32", "uint8": "int32",
          "complex64": "float32", "complex128": "float64"}
_kernels = {}
_drivers = {}
# About the time that it takes to make the kernels of a height: ``gemm_heights.LIMIT``.
_HEIGHT_NS = 15_000_000
_GROUPS = ("pairs", "quads")
_WIDE = "bfloat16 to float32"
_TABLES = ("rl_tiles", "rl_heights", "rl_lost", "rl_prepare")
_MORE = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


def supported(dtype) -> bool:
    """Whether ``gemm`` takes arrays of ``dtype`` here."""
    return np.dtype(dtype).name in _names() and engine.available()


def _names():
    # Converting float16 without an instruction for it would be a library call an element.
    if cpu.has("f16c") or cpu.machine() == "aarch64":
        return (*_ELEMENTS, *_INNER)
    return (*_ELEMENTS, *(name for name in _INNER if name != "float16"))


def gemm(out, a, b, bias=None, alpha=1, accumulate=False, *added) -> None:
    """``out = alpha * a @ b (+ bias) (+ out or beta * d)``; see the module's text."""
    try:
        call = _kernels[out.dtype][0]
    except KeyError:
        call = kernel(out.dtype)
    call(out, a, b, bias, alpha, accumulate, *added)


def kernel(dtype):
    """The builtin function ``(out, a, b[, bias[, alpha[, accumulate]]]) -> None`` for ``dtype``."""
    return _load(np.dtype(dtype))[0]


def gemm_address(dtype) -> int:
    """Address of ``int32 gemm(int64 *job)`` for ``dtype``."""
    dtype = np.dtype(dtype)
    address = _load(dtype)[1]
    complete(_inner(dtype.name))
    return address


@cache
def fused_address(dtype) -> int:
    """Address of ``int32 gemm_fused(int64 *job)`` for float32, float64, int32 or int64."""
    name = np.dtype(dtype).name
    found = _real(name)
    complete(name)
    return found["rl_gemm_fused"]


def _load(dtype):
    found = _kernels.get(dtype)
    if found is not None:
        return found
    if dtype.name not in _names() or not dtype.isnative:
        raise TypeError(f"gemm: no kernel for {dtype.name} (there are {', '.join(_names())})")
    if dtype.name in _INNER:
        inner = _inner(dtype.name)
        found = driver(inner)
        imports = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_prepare": found["rl_prepare"]}
        if dtype.kind == "c" or inner == "quads":
            imports["rl_inner"] = found["rl_gemm_added"]
        elif inner == "pairs" or not cpu.amx():
            imports["rl_inner"] = found["rl_gemm"]
        else:
            imports["rl_inner"] = gemm_address(inner)
        addresses = _code(dtype.name, dtype.num, ["rl_gemm", "rl_gemm_added", "rl_call"], imports)
        if dtype.name == "bfloat16" and cpu.amx():
            complete(inner)
            addresses = _route().half(addresses, dtype)
    else:
        addresses = _real(dtype.name)
    call = native.callable_from(addresses["rl_call"], f"gemm_{dtype.name}", kernel.__doc__)
    found = _kernels[dtype] = call, addresses["rl_gemm"]
    return found


@cache
def bytes_kernel(dtype):
    """The builtin function (out, a, b) of int8 or uint8 ``a``, int8 ``b`` and int32 ``out``; None without VNNI."""
    name = np.dtype(dtype).name
    if not engine.available() or not _quads(name):
        return None
    quads = driver("quads")
    imports = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_prepare": quads["rl_prepare"],
               "rl_inner": quads["rl_gemm_added"]}
    found = _code(f"{name} to int32", np.dtype("int32").num, ["rl_call"], imports)
    return native.callable_from(found["rl_call"], f"gemm_{name}_int32", bytes_kernel.__doc__)


@cache
def pairs_kernel(dtype):
    """``kernel`` for bfloat16 ``a`` and ``b`` and all else float32; None where pairs aren't multiplied."""
    if not engine.available() or not _pairs(np.dtype(dtype).name):
        return None
    pairs = driver("pairs")
    imports = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_prepare": pairs["rl_prepare"],
               "rl_inner": pairs["rl_gemm_added"]}
    found = _code(_WIDE, np.dtype(dtype).num, ["rl_call"], imports)
    return native.callable_from(found["rl_call"], "gemm_bfloat16_float32", pairs_kernel.__doc__)


def _inner(name):
    """The name of the driver behind a dtype."""
    if _pairs(name):
        return "pairs"
    return "quads" if _quads(name) else _INNER.get(name, name)


def _real(name):
    """Addresses of the functions of a dtype with kernels of its own."""
    found = driver(name)
    if name == "float32" and cpu.amx():
        complete(name)
        return _route().real(found)
    return found


def vectors(name) -> dict:
    """The same by vectors, even where there are tiles, for calls by address."""
    if name not in _ELEMENTS:
        raise TypeError(f"gemm: no kernel of its own for {name}")
    complete(name)
    return driver(name)


def driver(name):
    """Addresses of the functions of the driver for a dtype's name, "pairs" of bfloat16 or "quads" of bytes."""
    width = cpu.vector_bytes()
    key = name, width, _registers(width)
    found = _drivers.get(key)
    if found is not None:
        return found
    if name not in (*_GROUPS, *_ELEMENTS):
        raise TypeError(f"gemm: no kernel of its own for {name}")
    addresses = {}
    # Of two threads that come here at once, one gives its own to the code.
    more = native.immortal(_MORE(lambda rows, ns: _ask_height(key, addresses, rows, ns)))
    imports = {"rl_more": ctypes.cast(more, ctypes.c_void_p).value}
    exports = ["rl_gemm", "rl_gemm_added", *_TABLES]
    if name not in _GROUPS:
        imports["PyArray_Type"] = native.symbols()["PyArray_Type"]
        exports += ["rl_call", "rl_gemm_fused", "rl_group_call", "rl_prologue_call"]
    number = 0 if name in _GROUPS else np.dtype(name).num
    addresses.update(_code(name, number, exports, imports))
    return _drivers.setdefault(key, addresses)


def _ask_height(key, addresses, rows, ns):
    """Make the kernels for ``rows`` rows where they are on disk, or calls have lost more time than making them takes.

    ``ns`` is what the call that asks would lose.
    """
    asked = addresses.setdefault("asked", set())
    if rows not in asked and ns < _HEIGHT_NS and not engine.known(_height_key(key, rows)):
        asked.add(rows)
        ctypes.c_int64.from_address(addresses["rl_lost"] + 8 * rows).value = 0
        return
    _add_height(key, addresses, rows)


def _height_key(key, rows):
    return f"gemm height|{'|'.join(map(str, key))}|{rows}"


def _add_height(key, addresses, rows):
    """Make the kernels of tiles of ``rows`` rows, unless they are there."""
    registers = key[2]
    there = ctypes.c_int64.from_address(addresses["rl_heights"])
    if there.value >> rows & 1:
        return
    exports = [f"rl_{kind}{rows}" for kind in ("edge", "narrow", "full")]
    found = engine.load(_height_key(key, rows), lambda: _height_text(key, rows), exports, codegen_level=3)
    for place, symbol in enumerate(exports):
        at = addresses["rl_tiles"] + 8 * (place * _rows(registers) + rows - 1)
        ctypes.c_int64.from_address(at).value = found[symbol]
    there.value |= 1 << rows


def _height_text(key, rows):
    from rushlight.compiler.codegen.targets import host
    from rushlight.compiler.templates import gemm_heights

    return gemm_heights.module_text(host().triple, _shape(*key), rows)


def complete(name) -> None:
    """Make the kernels of all heights for the name of a driver: for products that aren't called by Python."""
    width = cpu.vector_bytes()
    key = name, width, _registers(width)
    for rows in range(2, _rows(key[2]) + 1):
        _add_height(key, driver(name), rows)


def _shape(name, width, registers):
    from rushlight.compiler.templates.gemm_micro import Shape

    fused = cpu.has("fma") or cpu.machine() == "aarch64"
    element = {"pairs": "float", "quads": "i32"}.get(name) or _ELEMENTS[name]
    return Shape(element, width, registers, fused, name == "pairs", name == "quads")


def _route():
    """What chooses between tiles and vectors; of use on CPUs with AMX only."""
    from rushlight.compiler.templates import gemm_route

    return gemm_route


def _code(name, type_num, exports, imports):
    """Addresses of ``exports`` in the module for the name of a dtype or driver."""
    width, caches = cpu.vector_bytes(), cpu.caches()
    symbols = native.symbols()
    return engine.load(
        f"gemm|{name}|{type_num}|{width}|{_registers(width)}|{caches}|{_pairs(name)}|{_quads(name)}",
        lambda: module_text(name, type_num, width, caches),
        exports,
        {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free")} | imports,
        level=1,
        codegen_level=3,
    )


def _pairs(name):
    """Whether the CPU multiplies pairs of ``name``."""
    return name == "bfloat16" and cpu.vector_bytes() == 64 and cpu.has("avx512bf16")


def _quads(name):
    """Whether the CPU adds four products of bytes at once, and elements of ``name`` are such."""
    vnni = {64: "avx512vnni", 32: "avxvnni"}.get(cpu.vector_bytes())
    return "int8" in name and vnni is not None and cpu.has(vnni)


def _registers(vector_bytes):
    return 32 if vector_bytes == 64 or cpu.machine() == "aarch64" else 16


def _rows(registers):
    """The most rows of a tile."""
    return 14 if registers >= 32 else 6


def module_text(name: str, type_num: int, vector_bytes: int, caches) -> str:
    """LLVM IR of the kernels, the driver and the CPython entry for one dtype."""
    from rushlight.compiler.codegen.targets import host
    from rushlight.compiler.templates.gemm_complex import ComplexDriver
    from rushlight.compiler.templates.gemm_driver import TASK, Driver, Job, Tuning
    from rushlight.compiler.templates.gemm_entry import write_entry
    from rushlight.compiler.templates.gemm_group import write_group
    from rushlight.compiler.templates.gemm_half import HalfDriver
    from rushlight.compiler.templates.gemm_prologue import write_prologue

    triple = host().triple
    if _quads(name):
        from rushlight.compiler.templates.gemm_bytes import ByteDriver

        kind, exact = name.split()[0], name.endswith("int32")
        other = "int8" if exact else kind
        module = ByteDriver(kind, other, exact, vector_bytes // 4, triple).write()
        factors = [(np.dtype(of).num, 1) for of in (kind, other)] if exact else ()
        write_entry(module, 4 if exact else 1, "rl", type_num, True, True, "import", factors=factors)
        return module.text()
    if name == _WIDE:
        module = HalfDriver("bfloat16", vector_bytes // 4, triple, True, True).write()
        write_entry(module, 4, "rl", np.dtype("float32").num, False, True, "import", factors=[(type_num, 2)] * 2)
        return module.text()
    if name.startswith("complex"):
        driver = ComplexDriver(_ELEMENTS[_INNER[name]], vector_bytes, triple)
        module = driver.write()
        write_entry(module, 2 * driver.item, "rl", type_num, added=True, prepared="import")
        return module.text()
    if name in _INNER:
        driver = HalfDriver(name, vector_bytes // 4, triple, _pairs(name))
        module = driver.write()
        write_entry(module, driver.item, "rl", type_num, "int" in name, True, "import")
        return module.text()
    shape = _shape(name, vector_bytes, _registers(vector_bytes))
    module = Driver(shape, Tuning(shape, caches.l2), triple, "rl").write()
    if name not in _GROUPS:
        write_entry(module, shape.item, "rl", type_num, "int" in name, True, "own", True)
        write_group(module, Job, TASK)
        write_prologue(module, Job, TASK, shape.item)
    return module.text()
