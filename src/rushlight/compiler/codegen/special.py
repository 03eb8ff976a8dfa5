"""Error function, gamma family and friends on vectors."""

from math import factorial

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
        return per_lane(f, "erf", [x])
    a = clamp(f, fabs(f, x), None, 3.93)
    if tables_fit(f, x):
        return copysign(f, piecewise(f, a, C.ERF_TABLE_F32, 8.0), x)
    small = f.fma(a, horner(f, a * a, C.ERF_SMALL_F32), a)
    large = 1.0 - exp_moderate(f, horner(f, a, C.ERF_LARGE_F32))
    return copysign(f, f.select(a > 0.93, large, small), x)


def erfinv(f, x):
    """A first guess from w = -log(1 - x^2), then three Newton steps with Halley's correction.

    The residual is erf(y) - x; next to the ends, where that cancels, it is (1 - |x|) - erfc(|y|).
    """
    a = fabs(f, x)
    one = f.value(1.0, x.type)
    rest = one - a
    w = -log(f, clamp(f, rest * (a + 1.0), 2.0**-200, None))
    # S. Winitzki's approximation, relative error 2e-3.
    k = 2.0 / (PI * 0.147)
    t = f.fma(w, -0.5, k)
    guess = f.intrinsic("sqrt", f.intrinsic("sqrt", f.fma(t, t, w * (1.0 / 0.147))) - t)
    y = f.select(a < 0.01, a * (PI**0.5 / 2.0), guess)
    tail = a > 0.5
    for _ in range(3):
        inside = per_lane(f, "erf", [y]) - a
        outside = rest - per_lane(f, "erfc", [y])
        residual = f.select(tail, outside, inside)
        step = residual * (PI**0.5 / 2.0) * exp_scaled(f, y * y)
        y = y - step / f.fma(step, y, 1.0)
    y = copysign(f, y, x)
    y = f.select(a.eq(1.0), copysign(f, f.value(INF, x.type), x), y)
    y = f.select(x.eq(0.0), x, y)
    return f.select(a <= 1.0, y, f.value(NAN, x.type))


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


FUNCTIONS = {"erf": erf}
IN_DOUBLE = {"digamma": digamma, "erfinv": erfinv}
