"""Elementary functions on vectors: the exponential and logarithm families.

Each function is range reduction and a polynomial written with plain vector arithmetic, so that every
lane, size, thread and target with FMA gives the same bits.  float32 functions that have no version of
their own run in float64 and round once.  Functions that nobody has written yet call the C library,
one lane at a time.  Error bounds are in ``tests/compiler/test_math.py``.
"""

from math import log as _log

from rushlight.compiler.codegen import coefficients as C
from rushlight.compiler.codegen.builder import literal, split
from rushlight.compiler.codegen.targets import host

INF = float("inf")
NAN = float("nan")
LN2 = _log(2.0)


class Format:
    """Constants of a binary floating-point format."""

    __slots__ = ("element", "mantissa", "bias", "magic", "magic_bits", "ln2", "root_bits", "tiny",
                 "log2_e", "log10_e", "log10_2", "exp_range", "exp2_range", "expm1_range")

    def __init__(self, element, **values):
        self.element = element
        for name, value in values.items():
            setattr(self, name, value)


F32 = Format(
    "float",
    mantissa=23,
    bias=127,
    magic=1.5 * 2**23,
    magic_bits=0x4B400000,
    ln2=(0.693147182464599609375, -1.904654299957767878e-09),
    root_bits=0x3F3504F3,
    tiny=2.0**-126,
    # High and low parts of 1/ln 2, 1/ln 10 and log10(2).
    log2_e=(1.44269502162933349609375, 1.925963033500e-08),
    log10_e=(0.4342944920063018798828125, -1.010305e-08),
    log10_2=(0.301025390625, 4.605039066518657e-06),
    exp_range=(-104.0, 89.5),
    exp2_range=(-151.0, 129.0),
    expm1_range=(-20.0, 89.0),
)
F64 = Format(
    "double",
    mantissa=52,
    bias=1023,
    magic=1.5 * 2**52,
    magic_bits=0x4338000000000000,
    ln2=(0.6931471805599453094, 2.319046813846299558e-17),
    root_bits=0x3FE6A09E667F3BCD,
    tiny=2.0**-1022,
    log2_e=(1.4426950408889633870, 2.0355273740931033e-17),
    log10_e=(0.43429448190325181667, 1.098319650216765e-17),
    log10_2=(0.30102999566406652, -8.532344317057107e-14),
    exp_range=(-746.0, 710.0),
    exp2_range=(-1076.0, 1025.0),
    expm1_range=(-40.0, 710.0),
)


def format_of(x):
    return F32 if split(x.type)[0] == "float" else F64


def emit(f, name, args):
    """The value of function ``name`` of float vectors (or scalars)."""
    native = FUNCTIONS.get(name)
    if native is not None:
        return native(f, *args)
    wide = IN_DOUBLE.get(name)
    if wide is not None:
        return in_double(f, wide, args)
    return per_lane(f, name, args)


def in_double(f, function, args):
    """A float64 function; for float32 operands the result is rounded once more."""
    if split(args[0].type)[0] == "double":
        return function(f, *args)
    return function(f, *[a.cast("fpext", "double") for a in args]).cast("fptrunc", "float")


def per_lane(f, name, args):
    """The C library's function, lane by lane, in double precision."""
    element, lanes = split(args[0].type)

    def one(values):
        wide = [v.cast("fpext", "double") if element == "float" else v for v in values]
        y = f.call("double", name, *wide)
        return y.cast("fptrunc", "float") if element == "float" else y

    if not lanes:
        return one(args)
    result = f.var(args[0].type, 0.0)
    with f.range(lanes) as lane:
        value = one([f.extract(a, lane) for a in args])
        result.set(f.insert(result.get(), value, lane))
    return result.get()


def horner(f, x, coefficients):
    """The polynomial with these coefficients, constant term first."""
    y = f.value(coefficients[-1], x.type)
    for c in coefficients[-2::-1]:
        y = f.fma(y, x, c)
    return y


def clamp(f, x, low, high):
    """x within bounds; NaN stays."""
    if low is not None:
        low = f.value(low, x.type)
        x = f.select(x < low, low, x)
    if high is not None:
        high = f.value(high, x.type)
        x = f.select(x > high, high, x)
    return x


def fabs(f, x):
    return f.intrinsic("fabs", x)


def copysign(f, magnitude, sign):
    return f.intrinsic("copysign", magnitude, sign)


def nearest(f, x, k):
    """(round(x) as a float, as an integer), for small x: adding 1.5 * 2^p leaves it in the low bits."""
    t = f.fma(x, k, format_of(x).magic)
    return t - format_of(x).magic, t.bits() - format_of(x).magic_bits


def power_of_two(f, i, form):
    """2 ** i for an integer vector within the exponent range."""
    return ((i + form.bias) << form.mantissa).bits()


def scale(f, y, i, n):
    """y * 2 ** i, rounded once also where the result is subnormal; n is i as a float."""
    form = format_of(y)
    _, lanes = split(y.type)
    native = 16 if form is F32 else 8
    if host().has_scalef and lanes and lanes % native == 0:
        return _scalef(f, y, n, native)
    half = i >> 1
    return y * power_of_two(f, half, form) * power_of_two(f, i - half, form)


def _scalef(f, y, n, native):
    """AVX-512's instruction for it, register by register: the same bits in one step."""
    element, lanes = split(y.type)
    short = "ps" if element == "float" else "pd"
    everything, rounding = f.value(-1, f"i{native}"), f.value(4, "i32")
    pieces = []
    for start in range(0, lanes, native):
        part = range(start, start + native)
        a, b = (v if lanes == native else f.shuffle(v, v, part) for v in (y, n))
        pieces.append(
            f.call(a.type, f"llvm.x86.avx512.mask.scalef.{short}.512", a, b, a, everything, rounding)
        )
    while len(pieces) > 1:
        width = 2 * split(pieces[0].type)[1]
        pieces = [
            f.shuffle(a, b, range(width)) for a, b in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    return pieces[0]


def tables_fit(f, x):
    """Whether ``piecewise`` can be used: tables of 32 float32 are looked up in registers."""
    lanes = split(x.type)[1]
    return host().has_scalef and format_of(x) is F32 and lanes and lanes % 16 == 0


def piecewise(f, x, table, density, within=None):
    """A polynomial a piece of 1 / density, the k-th around its middle k / density, for 0 <= x < 31.5 / density.

    ``table``: 32 points, then 32 coefficients of each power, constant term first. In the first piece x itself stands
    for the constant, so that an odd function keeps its relative precision. A NaN stays. ``within`` is x within those
    bounds, where x may lie beyond: what the last piece makes of it counts, NaN for infinities.
    """
    _, lanes = split(x.type)
    if lanes > 16:
        if within is None:
            return _halves(f, lambda v: piecewise(f, v, table, density), x)
        return _halves(f, lambda v, w: piecewise(f, v, table, density, w), x, within)
    index = f.fma(x if within is None else within, density, F32.magic).bits()

    def look_up(column):
        low, high = (constant_vector(f, column[k : k + 16]) for k in (0, 16))
        return f.call(x.type, "llvm.x86.avx512.vpermi2var.ps.512", low, index, high)
    r = x - look_up(table[0])
    y = look_up(table[-1])
    for column in table[-2:1:-1]:
        y = f.fma(y, r, look_up(column))
    return f.fma(y, r, f.select(index.eq(F32.magic_bits), x, look_up(table[1])))


def constant_vector(f, values):
    """A vector of different float constants."""
    v = f.value(0.0, f"<{len(values)} x float>")
    v.name = "<" + ", ".join(f"float {literal('float', c)}" for c in values) + ">"
    return v


def _halves(f, function, *xs):
    _, lanes = split(xs[0].type)
    half = lanes // 2
    low, high = (function(*(f.shuffle(x, x, part) for x in xs)) for part in (range(half), range(half, lanes)))
    return f.shuffle(low, high, range(lanes))


def _exp_reduced(f, x):
    """n (as integer and float), r and p with x = n ln 2 + r and e^r = 1 + r + r^2 p."""
    form = format_of(x)
    n, i = nearest(f, x, 1.4426950408889634)
    r = f.fma(n, -form.ln2[0], x)
    r = f.fma(n, -form.ln2[1], r)
    p = horner(f, r, C.EXP_F32 if form is F32 else C.EXP_F64)
    return i, n, r, p


def exp_scaled(f, x, shift=0):
    """exp(x) * 2 ** shift without overflow in between."""
    form = format_of(x)
    low, high = form.exp_range
    x = clamp(f, x, low, high - shift)
    i, n, r, p = _exp_reduced(f, x)
    y = f.fma(r * r, p, r) + 1.0
    return scale(f, y, i + shift, n + float(shift)) if shift else scale(f, y, i, n)


def exp_nonpositive(f, x):
    """exp(x) for x <= 0 (or NaN)."""
    x = clamp(f, x, format_of(x).exp_range[0], None)
    i, n, r, p = _exp_reduced(f, x)
    return scale(f, f.fma(r * r, p, r) + 1.0, i, n)


def exp_moderate(f, x):
    """exp(x) where the result is known to be a normal number."""
    i, n, r, p = _exp_reduced(f, x)
    return scale_normal(f, f.fma(r * r, p, r) + 1.0, i)


def scale_normal(f, y, i):
    """y * 2 ** i by adding to the exponent, for y and results that are normal numbers."""
    return (y.bits() + (i << format_of(y).mantissa)).bits()


def exp2(f, x):
    form = format_of(x)
    x = clamp(f, x, *form.exp2_range)
    n, i = nearest(f, x, 1.0)
    r = x - n
    p = horner(f, r, C.EXP2_F32 if form is F32 else C.EXP2_F64)
    return scale(f, f.fma(r, p, 1.0), i, n)


def expm1(f, x):
    """2^n (e^r - 1) + (2^n - 1), computed at half size so that 2^n may be 2^128."""
    form = format_of(x)
    y = clamp(f, x, *form.expm1_range)
    i, _, r, p = _exp_reduced(f, y)
    e = f.fma(r * r, p, r)
    half = power_of_two(f, i - 1, form)
    y = f.fma(half, e, half - 0.5) * 2.0
    return copysign(f, y, x)


def sigmoid(f, x):
    # For large -x the exponential is infinite and the result 0.
    return 1.0 / (exp_scaled(f, -x) + 1.0)


def tanh(f, x):
    a = fabs(f, x)
    if format_of(x) is F64:
        t = expm1(f, a * -2.0)
        return copysign(f, t / (t + 2.0), x)
    square = a * a
    small = f.fma(a * square, horner(f, square, C.TANH_F32), a)
    # Beyond 9.1 the result rounds to 1.
    large = 1.0 - 2.0 / (exp_moderate(f, clamp(f, a, None, 10.0) * 2.0) + 1.0)
    # NaN takes the small branch: moving exponents would lose it.
    return copysign(f, f.select(a > 0.625, large, small), x)


def sinh(f, x):
    a = fabs(f, x)
    t = expm1(f, clamp(f, a, None, 2.0))
    small = (t + t / (t + 1.0)) * 0.5
    h = exp_scaled(f, a, -1)
    large = h - 0.25 / h
    return copysign(f, f.select(a < 1.0, small, large), x)


def cosh(f, x):
    h = exp_scaled(f, fabs(f, x), -1)
    return h + 0.25 / h


def _log_exponent(f, x):
    """x = 2^e m with m in [sqrt(1/2), sqrt(2)): (e as integer, m, e as float); x positive."""
    form = format_of(x)
    subnormal = x < form.tiny
    x = f.select(subnormal, x * 2.0**form.mantissa, x)
    shifted = x.bits() - form.root_bits
    e = shifted >> form.mantissa
    m = ((shifted & ((1 << form.mantissa) - 1)) + form.root_bits).bits()
    e = f.select(subnormal, e - form.mantissa, e)
    return e, m, e.cast("sitofp", form.element)


def _log_tail(f, t):
    """c with log(1 + t) = t + c."""
    square = t * t
    if format_of(t) is F32:
        p = horner(f, t, C.LOG_F32)
        return f.fma(t * square, p, square * -0.5)
    half = square * 0.5
    s = t / (t + 2.0)
    z = s * s
    return f.fma(s, half + z * horner(f, z, C.LOG_F64), -half)


def _log_special(f, x, y):
    """log's values at and beyond the ends of its range."""
    y = f.select(x.eq(INF), f.value(INF, x.type), y)
    y = f.select(x.eq(0.0), f.value(-INF, x.type), y)
    return f.select(x.compare("ult", "", 0.0), f.value(NAN, x.type), y)


def log(f, x):
    form = format_of(x)
    _, m, e = _log_exponent(f, x)
    t = m - 1.0
    y = t + f.fma(e, form.ln2[1], _log_tail(f, t))
    return _log_special(f, x, f.fma(e, form.ln2[0], y))


def _log_base(f, x, factor, unit):
    """log in another base: e * unit + log(m) * factor, both constants in two parts."""
    _, m, e = _log_exponent(f, x)
    t = m - 1.0
    c = _log_tail(f, t)
    high = t * factor[0]
    low = f.fma(t, factor[0], -high)
    low = f.fma(c, factor[0], f.fma(t, factor[1], low))
    if unit is None:
        y = e + (high + low)
    else:
        y = f.fma(e, unit[0], high + f.fma(e, unit[1], low))
    return _log_special(f, x, y)


def log2(f, x):
    return _log_base(f, x, format_of(x).log2_e, None)


def log10(f, x):
    form = format_of(x)
    return _log_base(f, x, form.log10_e, form.log10_2)


def log1p(f, x):
    """log of u = 1 + x, with the part of x that u lost: m - 1 = x 2^-e + (2^-e - 1), rounded once."""
    form = format_of(x)
    u = x + 1.0
    i, m, e = _log_exponent(f, u)
    far = i > 60
    small = power_of_two(f, f.select(far, f.value(0, i.type), -i), form)
    t = f.select(far, m - 1.0, f.fma(x, small, small - 1.0))
    y = t + f.fma(e, form.ln2[1], _log_tail(f, t))
    y = copysign(f, f.fma(e, form.ln2[0], y), x)
    y = f.select(x.eq(INF), x, y)
    y = f.select(x.eq(-1.0), f.value(-INF, x.type), y)
    return f.select(x.compare("ult", "", -1.0), f.value(NAN, x.type), y)


def asinh(f, x):
    a = fabs(f, x)
    big = a > 2.0**60
    near = clamp(f, a, None, 2.0**60)
    square = near * near
    root = f.intrinsic("sqrt", square + 1.0)
    y = log1p(f, f.select(big, a, near + square / (root + 1.0)))
    return copysign(f, f.select(big, y + LN2, y), x)


def acosh(f, x):
    big = x > 2.0**60
    t = x - 1.0
    y = log1p(f, f.select(big, x, t + f.intrinsic("sqrt", t * (x + 1.0))))
    y = f.select(big, y + LN2, y)
    return f.select(x < 1.0, f.value(NAN, x.type), y)


def atanh(f, x):
    a = fabs(f, x)
    return copysign(f, log1p(f, (a + a) / (1.0 - a)) * 0.5, x)


def pow_f32(f, x, y):
    """x ** y for float32 as exp2(y log2|x|) in float64."""
    a, b = x.cast("fpext", "double"), y.cast("fpext", "double")
    z = exp2(f, b * log2(f, fabs(f, a))).cast("fptrunc", "float")
    whole = f.intrinsic("trunc", y).eq(y)
    half = y * 0.5
    odd = whole & f.intrinsic("trunc", half).ne(half)
    negative = x.bits() < 0
    z = f.select(negative & odd, -z, z)
    invalid = (x < 0.0) & (x > -INF) & ~whole & ~y.isnan()
    z = f.select(invalid, f.value(NAN, x.type), z)
    one = f.value(1.0, x.type)
    unit = y.eq(0.0) | x.eq(1.0) | (x.eq(-1.0) & fabs(f, y).eq(INF))
    return f.select(unit, one, z)


def pow(f, x, y):
    return pow_f32(f, x, y) if format_of(x) is F32 else per_lane(f, "pow", [x, y])


def fmod(f, x, y):
    """The remainder of x / y with x's sign, exact.

    While the quotient q has no more digits than the format, x - trunc(q) y has none that are lost; trunc of the rounded
    quotient may be one too many. Lanes with larger quotients are rare; the C library does a vector that has one.
    """
    a, b = fabs(f, x), fabs(f, y)
    whole = f.intrinsic("trunc", a / b)
    rest = f.fma(-whole, b, a)
    rest = f.select(rest < 0.0, rest + b, rest)
    rest = f.select(b.eq(INF) & (a < INF), a, rest)
    far = (whole >= 2.0 ** format_of(x).mantissa) & (a < INF)
    lanes = split(x.type)[1]
    some = f.call("i1", f"llvm.vector.reduce.or.v{lanes}i1", far) if lanes else far
    result = f.var(x.type, copysign(f, rest, x))
    with f.if_(some):
        result.set(per_lane(f, "fmod", [x, y]))
    return result.get()


def hypot(f, x, y):
    if format_of(x) is F64:
        return per_lane(f, "hypot", [x, y])
    a, b = x.cast("fpext", "double"), y.cast("fpext", "double")
    z = f.intrinsic("sqrt", f.fma(a, a, b * b)).cast("fptrunc", "float")
    infinite = fabs(f, x).eq(INF) | fabs(f, y).eq(INF)
    return f.select(infinite, f.value(INF, x.type), z)


FUNCTIONS = {
    "exp": exp_scaled,
    "exp2": exp2,
    "expm1": expm1,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "log": log,
    "log2": log2,
    "log10": log10,
    "log1p": log1p,
    "pow": pow,
    "hypot": hypot,
    "fmod": fmod,
}
IN_DOUBLE = {
    "sinh": sinh,
    "cosh": cosh,
    "asinh": asinh,
    "acosh": acosh,
    "atanh": atanh,
}


def _register():
    from rushlight.compiler.codegen import special, trigonometry

    FUNCTIONS.update(trigonometry.FUNCTIONS)
    FUNCTIONS.update(special.FUNCTIONS)
    IN_DOUBLE.update(trigonometry.IN_DOUBLE)
    IN_DOUBLE.update(special.IN_DOUBLE)


def polygamma(f, x, n):
    from rushlight.compiler.codegen.special import polygamma as function

    return in_double(f, lambda f, v: function(f, v, n), [x])


_register()
