"""Sine, cosine, tangent and their inverses on vectors.

Arguments are reduced by multiples of pi/2: by three-part subtraction with FMA in float64 up to 2^26
(2^45 for float32, whose reduction and polynomial run in float64), beyond by the first 1,200 bits of
2/pi (M. H. Payne and R. N. Hanek, "Radian Reduction for Trigonometric Functions", SIGNUM 1983).
"""

from rushlight.compiler.codegen import coefficients as C
from rushlight.compiler.codegen.builder import split
from rushlight.compiler.codegen.math import (
    INF,
    NAN,
    copysign,
    fabs,
    format_of,
    horner,
    in_double,
    nearest,
)

TWO_OVER_PI = 0.63661977236758134308
# pi/2 in three doubles.
HALF_PI = (1.5707963267948966192, 6.123233995736766036e-17, -1.4973849048591833e-33)
PI = (3.1415926535897932385, 1.2246467991473532e-16)
TABLE_BITS = 1280


def two_over_pi_words():
    """A zero word, then 2/pi's binary fraction in 64-bit words, most significant first."""
    # Machin's formula in integers: pi = 16 atan(1/5) - 4 atan(1/239).
    precision = TABLE_BITS + 64

    def atan_inverse(n):
        total, term, k = 0, (1 << precision) // n, 1
        while term:
            total += (term // k) * (1 if k % 4 == 1 else -1)
            term //= n * n
            k += 2
        return total

    pi = 16 * atan_inverse(5) - 4 * atan_inverse(239)
    fraction = (2 << (precision + TABLE_BITS)) // pi
    words = [(fraction >> (TABLE_BITS - 64 * (i + 1))) & (2**64 - 1) for i in range(TABLE_BITS // 64)]
    return [0, *words]


def _large_reducer(m):
    """The function ``void rl_reduce(double x, ptr out)``: out = r high, r low, quadrant (i64)."""
    if "rl_reduce" in m.declared:
        return
    words = two_over_pi_words()
    table = m.table("two_over_pi", "i64", words)
    f = m.function("rl_reduce", "void", [("double", "x"), ("ptr", "out")], "internal", "noinline")
    x, out = f.args
    bits = x.bits()
    exponent = (bits.lshr(52) & 0x7FF) - 1075
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    # Bits of 2/pi above weight 2^-(exponent - 1) give multiples of 4 turns: start there.
    start = exponent - 2 + 64
    word, shift = start.lshr(6), start & 63
    base = f.null
    base.name = table
    window = f.value(0, "i256")
    for k in range(4):
        part = f.load("i64", base + ((word + k) << 3)).cast("zext", "i256")
        window = (window << 64) | part
    window = (window << shift.cast("zext", "i256")).lshr(64)
    product = window * mantissa.cast("zext", "i256")
    # Units of 2^-190 of a quarter turn, modulo 4: the low 192 bits.
    rounded = product + (1 << 189)
    quadrant = rounded.lshr(190).cast("trunc", "i64") & 3
    # The fraction in [-1/2, 1/2) as a signed 190-bit number at the top of the word.
    top = (product << 66).lshr(128).cast("trunc", "i128")
    negative = top < 0
    size = f.select(negative, f.value(0, "i128") - top, top)
    zeros = f.call("i128", "llvm.ctlz.i128", size, f.value(False, "i1"))
    normal = size << zeros
    high_bits = normal.lshr(75).cast("trunc", "i64")
    low_bits = (normal & ((1 << 75) - 1)).lshr(11).cast("trunc", "i64")
    # The number is normal * 2^-128 * 2^-zeros quarter turns (top has 128 fraction bits).
    unit = ((f.value(1023 - 53) - zeros.cast("trunc", "i64")) << 52).bits()
    tiny = ((f.value(1023 - 117) - zeros.cast("trunc", "i64")) << 52).bits()
    high = high_bits.cast("uitofp", "double") * unit
    low = low_bits.cast("uitofp", "double") * tiny
    r = high * HALF_PI[0]
    rest = f.fma(high, HALF_PI[0], -r) + f.fma(high, HALF_PI[1], low * HALF_PI[0])
    f.store(f.select(negative, -r, r), out)
    f.store(f.select(negative, -rest, rest), out + 8)
    f.store(quadrant, out + 16)
    f.ret()


def reduce(f, x, limit):
    """(quadrant as i64, r, r's rounding error) for float64 x: x = quadrant pi/2 + r, |r| <= pi/4."""
    n, i = nearest(f, x, TWO_OVER_PI)
    near = f.fma(n, -HALF_PI[0], x)
    second = n * HALF_PI[1]
    r = near - second
    low = f.fma(n, -HALF_PI[1], second)
    low = ((near - r) - second) + f.fma(n, -HALF_PI[2], low)
    result = [f.var(i.type, i), f.var(x.type, r), f.var(x.type, low)]
    _, lanes = split(x.type)
    magnitude = fabs(f, x)
    far = (magnitude >= limit) & (magnitude < INF)
    any_far = f.intrinsic("vector.reduce.or", far, result="i1") if lanes else far
    with f.if_(any_far):
        _large_reducer(f.module)
        out = f.buffer(24, 8)
        with f.range(max(lanes, 1)) as lane:
            one = f.extract(x, lane) if lanes else x
            size = f.call("double", "llvm.fabs.f64", one)
            with f.if_((size >= limit) & (size < INF)):
                f.call("void", "rl_reduce", size, out)
                flip = one < 0.0
                hi, lo = f.load("double", out), f.load("double", out + 8)
                quadrant = f.load("i64", out + 16)
                values = (
                    f.select(flip, f.value(0) - quadrant, quadrant),
                    f.select(flip, -hi, hi),
                    f.select(flip, -lo, lo),
                )
                for variable, v in zip(result, values, strict=True):
                    variable.set(f.insert(variable.get(), v, lane) if lanes else v)
    quadrant, r, low = (v.get() for v in result)
    infinite = magnitude.eq(INF)
    return quadrant, f.select(infinite, f.value(NAN, x.type), r), low


def _kernel(f, r, low, single):
    """(sin, cos) of the reduced argument; ``low`` may be None."""
    z = r * r
    s = horner(f, z, C.SIN_F32 if single else C.SIN_F64)
    c = horner(f, z, C.COS_F32 if single else C.COS_F64)
    half = z * 0.5
    if low is None:
        return f.fma(r * z, s, r), f.fma(z * z, c, 1.0 - half)
    sine = r + f.fma(r * z, s, f.fma(-half, low, low))
    w = 1.0 - half
    return sine, w + (((1.0 - w) - half) + f.fma(z * z, c, -(r * low)))


def _pieces(f, x):
    """quadrant, sin r, cos r for float64 or float32 x (as float64)."""
    if format_of(x).element == "double":
        q, r, low = reduce(f, x, 2.0**26)
        return (q, *_kernel(f, r, low, False))
    q, r, _ = reduce(f, x.cast("fpext", "double"), 2.0**45)
    return (q, *_kernel(f, r, None, True))


def _back(x, y):
    return y.cast("fptrunc", "float") if format_of(x).element == "float" else y


def sin(f, x):
    q, s, c = _pieces(f, x)
    y = f.select((q & 1).ne(0), c, s)
    y = f.select((q & 2).ne(0), -y, y)
    # Also keeps the sign of a zero.
    return f.select(x.eq(0.0), x, _back(x, y))


def cos(f, x):
    q, s, c = _pieces(f, x)
    y = f.select((q & 1).ne(0), s, c)
    y = f.select(((q + 1) & 2).ne(0), -y, y)
    return _back(x, y)


def tan(f, x):
    q, s, c = _pieces(f, x)
    odd = (q & 1).ne(0)
    y = f.select(odd, -c, s) / f.select(odd, s, c)
    return f.select(x.eq(0.0), x, _back(x, y))


def _atan_unit(f, t, single):
    """atan(t) - t for |t| <= tan(pi/8)."""
    z = t * t
    return t * z * horner(f, z, C.ATAN_F32 if single else C.ATAN_F64)


def atan(f, x, single=False):
    a = fabs(f, x)
    far, middle = a > 2.414213562373095, a > 0.41421356237309503
    one, zero = f.value(1.0, a.type), f.value(0.0, a.type)
    top = f.select(far, -one, f.select(middle, a - 1.0, a))
    bottom = f.select(far, a, f.select(middle, a + 1.0, one))
    t = top / bottom
    base = f.select(far, f.value(HALF_PI[0], a.type),
                    f.select(middle, f.value(HALF_PI[0] / 2, a.type), zero))
    rest = f.select(far, f.value(HALF_PI[1], a.type),
                    f.select(middle, f.value(HALF_PI[1] / 2, a.type), zero))
    return copysign(f, base + (t + (_atan_unit(f, t, single) + rest)), x)


def atan2(f, y, x, single=False):
    ay, ax = fabs(f, y), fabs(f, x)
    steep = ay > ax
    small, large = f.select(steep, ax, ay), f.select(steep, ay, ax)
    equal, nothing = small.eq(large), large.eq(0.0)
    one, zero = f.value(1.0, x.type), f.value(0.0, x.type)
    q = f.select(nothing, zero, f.select(equal, one, small / large))
    a = atan(f, q, single)
    a = f.select(steep, (HALF_PI[0] - a) + HALF_PI[1], a)
    a = f.select(x.bits() < 0, (PI[0] - a) + PI[1], a)
    a = copysign(f, a, y)
    return f.select(x.compare("uno", "", y), f.value(NAN, x.type), a)


def asin(f, x, single=False):
    a = fabs(f, x)
    root = f.intrinsic("sqrt", (1.0 - a) * (a + 1.0))
    return copysign(f, atan(f, a / root, single), x)


def acos(f, x, single=False):
    return atan2(f, f.intrinsic("sqrt", (1.0 - x) * (x + 1.0)), x, single)


def _by_precision(function):
    def wrapper(f, *args):
        if format_of(args[0]).element == "double":
            return function(f, *args)
        return in_double(f, lambda f, *wide: function(f, *wide, single=True), args)

    return wrapper


FUNCTIONS = {
    "sin": sin,
    "cos": cos,
    "tan": tan,
    "atan": _by_precision(atan),
    "atan2": _by_precision(atan2),
    "asin": _by_precision(asin),
    "acos": _by_precision(acos),
}
IN_DOUBLE = {}
