"""Conversions of float16 for CPUs without instructions for them, under the names that LLVM calls.

    half __truncsfhf2(float)     half __truncdfhf2(double)     float __extendhfsf2(half)

Written with integers; roundings are to nearest even, subnormal numbers and NaNs' payloads included. Compilers'
run-time libraries have these as well, but not every process has loaded one.
"""

from rushlight.compiler.codegen.builder import Module

_FRACTION = {"float": 23, "double": 52}
_BIAS = {"float": 127, "double": 1023}


def _truncation(m, name, source):
    fraction, bias = _FRACTION[source], _BIAS[source]
    f = m.function(name, "half", [(source, "x")])
    x = f.args[0].bits()
    width = fraction + (9 if source == "float" else 12)
    sign = x.lshr(width - 16) & 0x8000
    a = x & ((1 << (width - 1)) - 1)
    drop = fraction - 10
    # Normal results: rebase the exponent, round away the low bits; a carry moves into the exponent.
    v = a - ((bias - 15) << fraction)
    normal = (v + ((1 << (drop - 1)) - 1) + (v.lshr(drop) & 1)).lshr(drop)
    # Subnormal ones: the whole significand, moved to units of 2^-24.
    shift = f.minimum((bias - 14 + drop) - a.lshr(fraction), width - 2)
    significand = (a & ((1 << fraction) - 1)) | (1 << fraction)
    low = significand.lshr(shift)
    rest, half = significand - (low << shift), f.value(1, x.type) << (shift - 1)
    up = (rest > half) | (rest.eq(half) & (low & 1).ne(0))
    tiny = low + f.emit(x.type, f"zext i1 {up.name} to {x.type}")
    # f.minimum keeps shifts in range, not right: what lies below half the least subnormal is zero.
    tiny = f.select(a.lshr(fraction) < bias - 25, f.value(0, x.type), tiny)
    infinity = ((1 << (width - 1 - fraction)) - 1) << fraction
    result = f.select(a < ((bias - 14) << fraction), tiny, normal)
    result = f.select(a >= ((bias + 16) << fraction), f.value(0x7C00, x.type), result)
    result = f.select(a > infinity, (a.lshr(drop) & 0x3FF) | 0x7E00, result)
    f.ret((result | sign).cast("trunc", "i16").cast("bitcast", "half"))


def _extension(m, name):
    f = m.function(name, "float", [("half", "x")])
    x = f.args[0].cast("bitcast", "i16").cast("zext", "i32")
    a = x & 0x7FFF
    normal = (a << 13) + (112 << 23)
    special = (a << 13) | 0x7F800000
    special = f.select(a > 0x7C00, special | 0x400000, special)
    tiny = (a.cast("sitofp", "float") * 2.0 ** -24).bits()
    result = f.select(a < 0x400, tiny, f.select(a >= 0x7C00, special, normal))
    f.ret((result | ((x & 0x8000) << 16)).bits())


def module_text(triple):
    """LLVM IR of the conversions that LLVM calls by name where the CPU has none: float and double to half, and back."""
    m = Module(triple)
    _truncation(m, "__truncsfhf2", "float")
    _truncation(m, "__truncdfhf2", "double")
    _extension(m, "__extendhfsf2")
    return m.text()
