"""Which machine code multiplies matrices: tiles or vectors, and with what precision for float32.

    real(addresses)              addresses of the float32 module with ``rl_gemm`` and its like on tiles, and
                                 ``rl_call`` by the precision that is set
    half(addresses, type_num)    addresses of the bfloat16 module with ``rl_gemm`` and ``rl_call`` on tiles
    tiles() -> Packed | None     sizes and functions of ``gemm_tiles`` for float32, None where there are no tiles

The first two return ``addresses`` as they are where there are no tiles (``cpu.amx``), or where the tiles' first
product is off by more than rounding explains: then a warning says so, once.

``rl_call``, which serves ``torch.matmul`` and its kin, asks ``runtime.precision`` at each call, by a word in
memory that holds the address of the product. Other native code (convolutions, 16-bit floats) calls
``rl_gemm``, which is as accurate as fused multiply-adds or better.
"""

import ctypes
import struct
from collections import namedtuple
from functools import cache

import numpy as np

from rushlight.compiler import engine
from rushlight.runtime import cpu, native, precision

CHECK_SIZE = 112, 128, 128  # m, n, k
_UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8}

Packed = namedtuple("Packed", "block step_k step_bytes pack_rows pack_columns multiply")
_PRODUCTS = ["rl_gemm", "rl_gemm_fused", "rl_gemm_added"]
_PACKED = ["rl_tiles_pack_rows", "rl_tiles_pack_columns", "rl_tiles_multiply"]

_found = {}  # by the address of the product by vectors
_route = ctypes.c_int64()  # what rl_call of float32 calls


def real(addresses: dict) -> dict:
    """The float32 product on tiles where there are any."""
    if not cpu.amx():
        return addresses
    if addresses["rl_gemm_added"] not in _found:
        _found[addresses["rl_gemm_added"]] = _real(addresses)
    return addresses | _found[addresses["rl_gemm_added"]]


def _real(addresses):
    """What replaces some of the addresses."""
    inner = addresses["rl_gemm_added"]
    exact = _tiles("highest", inner)
    if exact is None or not trusted(exact["rl_gemm"], addresses["rl_gemm"], "float32"):
        return {}
    products = {"highest": exact["rl_gemm_added"]}

    def choose(wanted):
        if wanted not in products:
            found = _tiles(wanted, inner)
            products[wanted] = products["highest"] if found is None else found["rl_gemm_added"]
        _route.value = products[wanted]

    precision.attach(choose)
    symbols = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_route": ctypes.addressof(_route)}
    number = np.dtype("float32").num
    entry = engine.load(f"gemm-route|{number}", lambda: entry_text(number), ["rl_call"], symbols)
    return exact | entry


def half(addresses: dict, type_num: int) -> dict:
    """The bfloat16 product on tiles where there are any."""
    if not cpu.amx():
        return addresses
    found = _tiles("bfloat16", addresses["rl_gemm_added"], type_num)
    if found is None or not trusted(found["rl_gemm"], addresses["rl_gemm"], "bfloat16"):
        return addresses
    return addresses | found


def tiles():
    """What templates need that pack one operand themselves: ``Packed``, with C ABI addresses."""
    from rushlight.compiler.templates import gemm

    # Without tiles, or with wrong ones, the product is the one by vectors.
    if not cpu.amx() or gemm.fused_address("float32") == gemm.vectors("float32")["rl_gemm_fused"]:
        return None
    found = _tiles("packed", 0)
    from rushlight.compiler.templates.gemm_amx import BLOCK, PAIR_BYTES
    from rushlight.compiler.templates.gemm_pieces import Split

    kind = Split("highest")
    return Packed(BLOCK, kind.step_k, kind.pieces * PAIR_BYTES, *(found[symbol] for symbol in _PACKED))


@cache
def _tiles(name, inner, type_num=None):
    """Addresses in the module for a kind of elements (or a precision of float32); None if it can't be made."""
    symbols = native.symbols()
    imports = {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free", "PyArray_Type")}
    exports = _PACKED if name == "packed" else _PRODUCTS
    exports = exports + (["rl_call"] if type_num is not None else [])
    key = f"gemm-amx|{name}|{type_num}|{cpu.caches()}"
    try:
        return engine.load(key, lambda: module_text(name, type_num), exports, imports | {"rl_inner": inner})
    except LookupError:
        return None


def module_text(name: str, type_num: int | None = None, emulated: bool = False) -> str:
    """LLVM IR of the product on tiles for "bfloat16", "int8", a precision of float32; or "packed"."""
    from rushlight.compiler.codegen.targets import host
    from rushlight.compiler.templates.gemm_amx import BFLOAT16, BYTES, TileDriver
    from rushlight.compiler.templates.gemm_entry import write_entry
    from rushlight.compiler.templates.gemm_pieces import Split
    from rushlight.compiler.templates.gemm_tiles import write_tiles

    if not emulated and "+amx-bf16" not in host().features.split(","):
        # LLVM ends the process over an instruction that it doesn't know of.
        raise LookupError("LLVM finds no AMX on this CPU")
    if name == "packed":
        return write_tiles(TileDriver(Split("highest"), cpu.caches(), host().triple, emulated)).text()
    kind = {"bfloat16": BFLOAT16, "int8": BYTES}.get(name) or Split(name)
    module = TileDriver(kind, cpu.caches(), host().triple, emulated).write()
    if type_num is not None:
        write_entry(module, kind.item, "rl", type_num, added=True)
    return module.text()


def entry_text(type_num: int) -> str:
    """LLVM IR of ``rl_call`` for float32, which calls the product whose address is in ``rl_route``."""
    from rushlight.compiler.codegen.builder import Module, Value
    from rushlight.compiler.codegen.targets import host
    from rushlight.compiler.templates.gemm_entry import write_entry

    module = Module(host().triple)
    module.globals.append("@rl_route = external global ptr")
    f = module.function("rl_gemm_added", "i32", [("ptr", "job")], "internal", "nounwind")
    f.ret(f.call("i32", f.load("ptr", Value(f, "@rl_route", "ptr")), f.args[0]))
    write_entry(module, 4, "rl", type_num, added=True)
    return module.text()


def trusted(address: int, reference: int, name: str) -> bool:
    """Whether the product at ``address`` agrees with the one at ``reference`` but for rounding; warns if not."""
    from rushlight.compiler.templates.gemm_driver import INDEX, SIZE

    m, n, k = CHECK_SIZE
    dtype = np.dtype(np.float32 if name == "float32" else _bfloat16())
    # Values without a pattern that a wrong order could hide in, of many sizes, exact in either dtype or not.
    a, b = ((np.sin(np.arange(rows * columns, dtype=np.float64) * step) * 3 + 0.1).reshape(rows, columns)
            for rows, columns, step in ((m, k, 1.7), (k, n, 2.3)))
    a, b = a.astype(dtype), b.astype(dtype)
    results = []
    for product in (address, reference):
        c = np.zeros((m, n), dtype)
        job = (ctypes.c_int64 * (SIZE + 16))()
        words = {"outer": 1, "batch": 1, "m": m, "n": n, "k": k, "a": a.ctypes.data, "b": b.ctypes.data,
                 "c": c.ctypes.data, "alpha": struct.unpack("q", struct.pack("d", 1.0))[0]}
        for x, letter in ((a, "a"), (b, "b"), (c, "c")):
            words[f"{letter}_row"] = x.strides[0]
            if letter != "c":
                words[f"{letter}_col"] = x.strides[1]
        for field, word in words.items():
            job[INDEX[field]] = word
        if ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(product)(job) != 0:
            raise MemoryError("rushlight: can't allocate memory for packing in gemm")
        results.append(c.astype(np.float32))
    size = abs(a.astype(np.float32)) @ abs(b.astype(np.float32))
    bound = (2 * k * 2.0**-24 + (_UNIT[name] if name == "bfloat16" else 0.0)) * size
    if (abs(results[0] - results[1]) <= bound).all():
        return True
    import warnings

    warnings.warn(f"rushlight: AMX gave a wrong {name} matrix product; vectors are used instead", stacklevel=2)
    return False


def _bfloat16():
    import ml_dtypes

    return ml_dtypes.bfloat16
