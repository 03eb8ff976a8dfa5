"""Error function, gamma family and friends on vectors."""

from math import factorial, sqrt

from rushlight.compiler.codegen import coefficients as C
from rushlight.compiler.codegen.math import (
    INF,
    NAN,
    clamp,
    copysign,
    emit,
    exp_moderate,
    exp_scaled,
    fabs,
    format_of,
    horner,
    log,
    per_lane,
    piecewise,
    tables_fit,
)

PI = 3.141592653589793
# Bernoulli numbers B2, B4 ... B16.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def erf(f, x):
    if format_of(x).element == "double":
        return erf_double(f, x)
    a = clamp(f, fabs(f, x), None, 3.93)
    if tables_fit(f, x):
        return copysign(f, piecewise(f, a, C.ERF_TABLE_F32, 8.0), x)
    small = f.fma(a, horner(f, a * a, C.ERF_SMALL_F32), a)
    large = 1.0 - exp_moderate(f, horner(f, a, C.ERF_LARGE_F32))
    return copysign(f, f.select(a > 0.93, large, small), x)


def xerf_slope(f, x):
    """The derivative of x erf(x): erf(x) + 2 / sqrt(pi) x exp(-x^2), float32 by a table if there is room."""
    if tables_fit(f, x):
        a = fabs(f, x)
        return copysign(f, piecewise(f, a, C.XERF_SLOPE_TABLE_F32, 7.0, clamp(f, a, None, 4.45)), x)
    return f.fma(x, exp_scaled(f, -(x * x)) * (2.0 / sqrt(PI)), erf(f, x))


def _erf_inside(f, a):
    """erf(a) for 0 <= a <= 1 (for float32 0.94)."""
    return f.fma(a, horner(f, a * a, C.ERF_SMALL_F32 if format_of(a).element == "float" else C.ERF_F64), a)


def _erfc_positive(f, a):
    """erfc(a) for a >= 0: exp(-a^2), with what a^2 lost, times a polynomial of (a - k) / (a + k)."""
    k, most, table = (3.0, 10.5, C.ERFC_F32) if format_of(a).element == "float" else (4.0, 28.0, C.ERFC_F64)
    a = clamp(f, a, None, most)
    square = a * a
    lost = f.fma(a, a, -square)
    e = exp_scaled(f, -square)
    e = f.fma(e, -lost, e)
    return e * (horner(f, (a - k) / (a + k), table) / f.fma(a, 2.0, 1.0))


def erf_double(f, x):
    a = fabs(f, x)
    return copysign(f, f.select(a > 1.0, 1.0 - _erfc_positive(f, a), _erf_inside(f, a)), x)


def erfc(f, x):
    """1 - erf(x), which beyond 1/2 is an exponential times a polynomial, so that small values keep their digits."""
    a = fabs(f, x)
    tail = _erfc_positive(f, a)
    inside = 1.0 - copysign(f, _erf_inside(f, a), x)
    return f.select(a > 0.5, f.select(x > 0.0, tail, 2.0 - tail), inside)


def _erfinv_guess(f, a, middle, tail, center):
    """erfinv(a) of 0 <= a < 1 by polynomials of w = -log(1 - a^2) and of its root."""
    w = -log(f, clamp(f, (1.0 - a) * (a + 1.0), 2.0**-54, None))
    root = f.intrinsic("sqrt", w) - center
    return a * f.select(w > 6.25, horner(f, root, tail), horner(f, w - 3.125, middle))


def erfinv(f, x):
    """A polynomial of -log(1 - x^2); for float64 a Newton step with Halley's correction after it.

    The residual is erf(y) - x; next to the ends, where that cancels, it is (1 - |x|) - erfc(|y|).
    """
    a = fabs(f, x)
    if format_of(x).element == "float":
        y = _erfinv_guess(f, a, C.ERFINV_MIDDLE_F32, C.ERFINV_TAIL_F32, 3.3)
    else:
        y = _erfinv_guess(f, a, C.ERFINV_MIDDLE, C.ERFINV_TAIL, 4.3)
        residual = f.select(a > 0.5, (1.0 - a) - _erfc_positive(f, y), _erf_inside(f, y) - a)
        step = residual * (PI**0.5 / 2.0) * exp_scaled(f, y * y)
        y = y - step / f.fma(step, y, 1.0)
    y = copysign(f, y, x)
    y = f.select(a.eq(1.0), copysign(f, f.value(INF, x.type), x), y)
    return f.select(a <= 1.0, y, f.value(NAN, x.type))


def lgamma(f, x):
    """log |Gamma| of float32 in double precision: reflection below 1/2, recurrence up to 8, Stirling's series.

    In float64 it is the C library's: next to 1 and 2, where it is nearly 0, this loses digits that float32 has not.
    """
    if format_of(x).element == "double":
        return per_lane(f, "lgamma", [x])
    wide = x.cast("fpext", "double")
    reflected = wide < 0.5
    y = f.select(reflected, 1.0 - wide, wide)
    product = f.value(1.0, y.type)
    for _ in range(8):
        small = y < 8.0
        product = f.select(small, product * y, product)
        y = f.select(small, y + 1.0, y)
    z = 1.0 / (y * y)
    series = horner(f, z, [b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1)]) / y
    result = f.fma(y - 0.5, log(f, y), 0.9189385332046727418) - y + series - log(f, product)
    result = f.select(y.eq(INF), y, result)
    result = f.select(wide.eq(1.0) | wide.eq(2.0), f.value(0.0, y.type), result)
    # log(pi / |sin(pi x)|), with the whole multiple of pi taken off exactly.
    part = wide - f.intrinsic("roundeven", wide)
    sine = fabs(f, emit(f, "sin", [part * PI]))
    result = f.select(reflected, log(f, PI / sine) - result, result)
    result = f.select((wide <= 0.0) & part.eq(0.0), f.value(INF, wide.type), result)
    result = f.select(fabs(f, wide).eq(INF), f.value(INF, wide.type), result)
    return f.select(wide.isnan(), wide, result).cast("fptrunc", "float")


def digamma(f, x):
    """Reflection below 1/2, recurrence up to 10, then the asymptotic series in 1/x^2."""
    reflected = x < 0.5
    y = f.select(reflected, 1.0 - x, x)
    total, argument = f.var(x.type, 0.0), f.var(x.type, y)
    with f.range(10):
        now = argument.get()
        step = now < 10.0
        total.set(f.select(step, total.get() - 1.0 / now, total.get()))
        argument.set(f.select(step, now + 1.0, now))
    y = argument.get()
    z = 1.0 / (y * y)
    series = horner(f, z, [b / (2 * k) for k, b in enumerate(BERNOULLI, 1)])
    result = log(f, y) - 0.5 / y - z * series + total.get()
    # pi / tan(pi x), with the multiple of pi taken off exactly.
    part = x - f.intrinsic("trunc", x)
    cotangent = PI / emit(f, "tan", [part * PI])
    result = f.select(reflected, result - cotangent, result)
    result = f.select((x < 0.0) & part.eq(0.0), f.value(NAN, x.type), result)
    infinite = copysign(f, f.value(INF, x.type), -x)
    result = f.select(x.eq(0.0), infinite, result)
    return f.select(x.eq(INF), x, result)


def polygamma(f, x, n):
    """(-1)^(n+1) n! zeta(n + 1, x): eight terms, then the Euler-Maclaurin tail.

    Below 0 only order 1 has values (by reflection); other orders give NaN there, infinity at 0.
    """
    s = n + 1
    reflected = x < 0.5 if n == 1 else None
    y = f.select(reflected, 1.0 - x, x) if n == 1 else x
    total, argument = f.var(x.type, 0.0), f.var(x.type, y)
    with f.range(12):
        now = argument.get()
        total.set(total.get() + 1.0 / _integer_power(f, now, s))
        argument.set(now + 1.0)
    y = argument.get()
    power = _integer_power(f, y, n)
    tail = 1.0 / (power * float(n)) + 0.5 / (power * y)
    rising, inverse = float(s), 1.0 / (power * y * y)
    for k, b in enumerate(BERNOULLI, 1):
        tail = tail + inverse * (b * rising / factorial(2 * k))
        rising *= (s + 2 * k - 1) * (s + 2 * k)
        inverse = inverse / (y * y)
    result = (total.get() + tail) * float(factorial(n) * (1 if n % 2 else -1))
    if n == 1:
        part = x - f.intrinsic("roundeven", x)
        sine = emit(f, "sin", [part * PI])
        result = f.select(reflected, (PI * PI) / (sine * sine) - result, result)
    else:
        at_zero = f.value(INF if n % 2 else -INF, x.type)
        result = f.select(x.eq(0.0), at_zero, result)
        result = f.select(x < 0.0, f.value(NAN, x.type), result)
    return f.select(x.eq(INF), f.value(0.0, x.type), result)


def _integer_power(f, x, n):
    y = None
    while n:
        if n & 1:
            y = x if y is None else y * x
        n >>= 1
        x = x * x
    return y


FUNCTIONS = {"erf": erf, "xerf_slope": xerf_slope, "erfc": erfc, "erfinv": erfinv, "lgamma": lgamma}
IN_DOUBLE = {"digamma": digamma}
