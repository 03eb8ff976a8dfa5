"""Which machine code multiplies matrices: tiles or vectors, and with what precision for float32.

    real(addresses)              addresses of the float32 module with ``rl_gemm`` and its like on tiles, and
                                 ``rl_call`` by the precision that is set
    half(addresses, dtype)       addresses of the bfloat16 module with ``rl_gemm`` and ``rl_call`` on tiles
    tiles() -> Packed | None     sizes and functions of ``gemm_tiles`` for float32, None where there are no tiles

The first two return ``addresses`` as they are where there are no tiles (``cpu.amx``), or where the tiles' first
product is off by more than rounding explains: then a warning says so, once.

``rl_call``, which serves ``torch.matmul`` and its kin, asks ``runtime.precision`` at each call, by a word in
memory that holds the address of the product. Other native code (convolutions, 16-bit floats) calls
``rl_gemm``, which is as accurate as fused multiply-adds or better.
"""

import ctypes
from collections import namedtuple
from functools import cache

import numpy as np

from rushlight.compiler import engine
from rushlight.runtime import cpu, native, precision

CHECK_SIZE = 96, 97, 70  # m, n, k

Packed = namedtuple("Packed", "block step_k step_bytes pack_rows pack_columns multiply")
PACKED_SIZES = 32, 32, 6144  # of float32 in three pieces
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
    if exact is None:
        return {}
    symbols = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_route": ctypes.addressof(_route)}
    number = np.dtype("float32").num
    entry = engine.load(f"gemm-route|{number}", lambda: entry_text(number), ["rl_call"], symbols)
    _route.value = exact["rl_gemm_added"]
    if not trusted(entry, addresses, np.float32):
        return {}
    products = {"highest": exact["rl_gemm_added"]}

    def choose(wanted):
        if wanted not in products:
            found = _tiles(wanted, inner)
            products[wanted] = products["highest"] if found is None else found["rl_gemm_added"]
        _route.value = products[wanted]

    precision.attach(choose)
    return exact | entry


def half(addresses: dict, dtype) -> dict:
    """The product of bfloat16, NumPy's ``dtype``, on tiles where there are any."""
    if not cpu.amx():
        return addresses
    found = _tiles("bfloat16", addresses["rl_gemm_added"], dtype.num)
    if found is None or not trusted(found, addresses, dtype):
        return addresses
    return addresses | found


def tiles():
    """What templates need that pack operands themselves: ``Packed``, with C ABI addresses."""
    from rushlight.compiler.templates import gemm

    # Without tiles, or with wrong ones, the product is the one by vectors.
    if not cpu.amx() or gemm.fused_address("float32") == gemm.vectors("float32")["rl_gemm_fused"]:
        return None
    found = _tiles("packed", 0)
    return Packed(*PACKED_SIZES, *(found[symbol] for symbol in _PACKED))


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
    from rushlight.compiler.codegen.builder import Module
    from rushlight.compiler.codegen.targets import host
    from rushlight.compiler.templates.gemm_entry import write_entry

    module = Module(host().triple)
    module.globals.append("@rl_route = external global ptr")
    f = module.function("rl_gemm_added", "i32", [("ptr", "job")], "internal", "nounwind")
    f.ret(f.call("i32", f.load("ptr", f.symbol("rl_route")), f.args[0]))
    write_entry(module, 4, "rl", type_num, added=True, finished=True)
    return module.text()


def trusted(found: dict, reference: dict, dtype) -> bool:
    """Whether the product at ``rl_call`` agrees with the one of ``reference`` but for rounding; warns if not."""
    m, n, k = CHECK_SIZE
    # Numbers of many sizes, in no order that a wrong one could hide in.
    a, b = (np.sin(np.arange(rows * columns, dtype=np.float32) * np.float32(step)).reshape(rows, columns)
            for rows, columns, step in ((m, k, 1.7), (k, n, 2.3)))
    a, b = a.astype(dtype), b.astype(dtype)
    results = []
    for addresses in (found, reference):
        c = np.zeros((m, n), dtype)
        native.callable_from(addresses["rl_call"], "check")(c, a, b)
        results.append(c.astype(np.float32))
    # By Cauchy and Schwarz |A| |B| is at most the product of norms. (NumPy's product would start its threads.)
    norms = [np.sqrt((x.astype(np.float32) ** 2).sum(axis)) for x, axis in ((a, 1), (b, 0))]
    bound = 2 * k * 2.0**-24 * norms[0][:, None] * norms[1]
    if dtype is not np.float32:
        bound = bound + 2.0**-8 * abs(results[1])
    if (abs(results[0] - results[1]) <= bound).all():
        return True
    import warnings

    name = np.dtype(dtype).name
    warnings.warn(f"rushlight: AMX gave a wrong {name} matrix product; vectors are used instead", stacklevel=2)
    return False
