"""Functions of symbolic scalars, for formulas: ``from rushlight.compiler import scalar as s``.

Arguments are expressions or Python numbers.  Functions of the float family convert integers and bools
to float; comparisons and the min/max family promote their arguments to the highest kind.
"""

from rushlight.compiler import expr
from rushlight.compiler.expr import (
    arith,
    bitwise,
    cast,
    compare,
    constant,
    node,
    power,
    promote,
)

pow = power
const = constant
input = expr.input_
scalar = expr.scalar


def _float_unary(name, doc):
    def function(x):
        return node(name, (cast(x, "f"),), "f")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


exp = _float_unary("exp", "e ** x.")
exp2 = _float_unary("exp2", "2 ** x.")
expm1 = _float_unary("expm1", "e ** x - 1, accurate near 0.")
log = _float_unary("log", "Natural logarithm.")
log2 = _float_unary("log2", "Logarithm to base 2.")
log10 = _float_unary("log10", "Logarithm to base 10.")
log1p = _float_unary("log1p", "log(1 + x), accurate near 0.")
sqrt = _float_unary("sqrt", "Square root, correctly rounded.")
rsqrt = _float_unary("rsqrt", "1 / sqrt(x).")
sin = _float_unary("sin", "Sine of an angle in radians.")
cos = _float_unary("cos", "Cosine of an angle in radians.")
tan = _float_unary("tan", "Tangent of an angle in radians.")
asin = _float_unary("asin", "Arc sine, in [-pi/2, pi/2].")
acos = _float_unary("acos", "Arc cosine, in [0, pi].")
atan = _float_unary("atan", "Arc tangent, in [-pi/2, pi/2].")
sinh = _float_unary("sinh", "Hyperbolic sine.")
cosh = _float_unary("cosh", "Hyperbolic cosine.")
tanh = _float_unary("tanh", "Hyperbolic tangent.")
asinh = _float_unary("asinh", "Inverse hyperbolic sine.")
acosh = _float_unary("acosh", "Inverse hyperbolic cosine.")
atanh = _float_unary("atanh", "Inverse hyperbolic tangent.")
erf = _float_unary("erf", "Error function, 2/sqrt(pi) * integral of exp(-t*t) from 0 to x.")
xerf_slope = _float_unary("xerf_slope", "Derivative of x erf(x): erf(x) + 2/sqrt(pi) * x * exp(-x*x).")
erfc = _float_unary("erfc", "1 - erf(x), accurate for large x.")
erfinv = _float_unary("erfinv", "Inverse of erf on (-1, 1).")
sigmoid = _float_unary("sigmoid", "1 / (1 + exp(-x)).")
lgamma = _float_unary("lgamma", "log |gamma(x)|.")
digamma = _float_unary("digamma", "Derivative of lgamma; -inf (signed) at 0, NaN at negative integers.")


def polygamma(n, x):
    """n-th derivative of digamma, for a Python int n >= 0."""
    n = int(n)
    if n < 0:
        raise ValueError(f"polygamma: the order must not be negative, got {n}")
    return digamma(x) if n == 0 else node("polygamma", (cast(x, "f"),), "f", n)


def log_sigmoid(x):
    """log(sigmoid(x)) without overflow: min(x, 0) - log1p(exp(-|x|))."""
    x = cast(x, "f")
    # minimum splits the tie at 0, which gives the slope 1/2 there.
    return minimum(x, 0.0) - log1p(exp(-abs(x)))


def log1p_exp(x):
    """log(1 + exp(x)) (softplus) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    x = cast(x, "f")
    return maximum(x, 0.0) + log1p(exp(-abs(x)))


def square(x):
    x = constant(x)
    return x * x


def reciprocal(x):
    return 1.0 / cast(x, "f")


def _rounding(name, doc):
    def function(x):
        x = constant(x)
        return node(name, (x,), "f") if x.kind == "f" else cast(x, "i")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


floor = _rounding("floor", "Largest integer not above x.")
ceil = _rounding("ceil", "Smallest integer not below x.")
trunc = _rounding("trunc", "x without its fraction.")
round = _rounding("round", "Nearest integer, ties to even.")


def frac(x):
    """x - trunc(x)."""
    x = cast(x, "f")
    return x - trunc(x)


def abs(x):
    """|x|."""
    return constant(x).__abs__()


def sign(x):
    """-1, 0 or 1 (of the kind of x); NaN gives 0, as in PyTorch."""
    x = constant(x)
    return cast(x, "i") if x.kind == "b" else node("sign", (x,), x.kind)


def signbit(x):
    """True for negative numbers, -0.0 and NaN with the sign bit set."""
    x = constant(x)
    return node("signbit", (x,), "b") if x.kind == "f" else x < 0


def _float_binary(name, doc):
    def function(x, y):
        return node(name, (cast(x, "f"), cast(y, "f")), "f")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


atan2 = _float_binary("atan2", "Angle of the point (y, x) given as atan2(y, x), in [-pi, pi].")
hypot = _float_binary("hypot", "sqrt(x*x + y*y) without overflow.")
copysign = _float_binary("copysign", "|x| with the sign of y.")
nextafter = _float_binary("nextafter", "The number next to x in the direction of y.")


def _promoting(name, doc):
    def function(x, y):
        (x, y), kind = promote(x, y)
        if x is y:
            return x
        return node(name, (x, y), kind)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


minimum = _promoting("minimum", "The smaller value; NaN if either is NaN.")
maximum = _promoting("maximum", "The larger value; NaN if either is NaN.")
fmin = _promoting("fmin", "The smaller value; a NaN argument is ignored.")
fmax = _promoting("fmax", "The larger value; a NaN argument is ignored.")


def fmod(x, y):
    """Remainder of the division that truncates: the sign is x's.  C's fmod, or % on ints."""
    return arith("fmod", x, y)


def remainder(x, y):
    """Remainder of the division that floors: the sign is y's.  Python's %."""
    return arith("remainder", x, y)


def floor_divide(x, y):
    """floor(x / y), exactly rounded as Python's //."""
    return arith("floor_divide", x, y)


def trunc_divide(x, y):
    """trunc(x / y); on ints C's division."""
    (x, y), kind = promote(x, y)
    return trunc(x / y) if kind == "f" else arith("trunc_divide", x, y)


def add(x, y):
    return arith("add", x, y)


def sub(x, y):
    return arith("sub", x, y)


def mul(x, y):
    return arith("mul", x, y)


def div(x, y):
    return arith("div", x, y)


def neg(x):
    return -constant(x)


def fma(x, y, z):
    """x * y + z rounded once."""
    return node("fma", (cast(x, "f"), cast(y, "f"), cast(z, "f")), "f")


def where(condition, x, y):
    """x where the condition holds, else y.  The derivative selects too."""
    (x, y), kind = promote(x, y)
    condition = cast(condition, "b")
    if x is y:
        return x
    if condition.op == "const":
        return x if condition.attr else y
    return node("where", (condition, x, y), kind)


select = where


def clamp(x, low=None, high=None):
    """min(max(x, low), high); NaN stays NaN."""
    x = constant(x)
    if low is not None:
        x = maximum(x, low)
    if high is not None:
        x = minimum(x, high)
    return x


def isnan(x):
    x = constant(x)
    return node("isnan", (x,), "b") if x.kind == "f" else constant(False)


def isinf(x):
    x = constant(x)
    return abs(x) == float("inf") if x.kind == "f" else constant(False)


def isfinite(x):
    x = constant(x)
    return abs(x) < float("inf") if x.kind == "f" else constant(True)


def logical_and(x, y):
    return bitwise("and", cast(x, "b"), cast(y, "b"))


def logical_or(x, y):
    return bitwise("or", cast(x, "b"), cast(y, "b"))


def logical_xor(x, y):
    return bitwise("xor", cast(x, "b"), cast(y, "b"))


def logical_not(x):
    return ~cast(x, "b")


def bitwise_and(x, y):
    return bitwise("and", x, y)


def bitwise_or(x, y):
    return bitwise("or", x, y)


def bitwise_xor(x, y):
    return bitwise("xor", x, y)


def bitwise_not(x):
    return ~constant(x)


def left_shift(x, y):
    """x << y; 0 when y is negative or at least the width."""
    return bitwise("shl", x, y)


def right_shift(x, y):
    """Arithmetic x >> y (logical for unsigned types); the sign when y is out of range."""
    return bitwise("shr", x, y)


def eq(x, y):
    return compare("eq", x, y)


def ne(x, y):
    return compare("ne", x, y)


def lt(x, y):
    return compare("lt", x, y)


def le(x, y):
    return compare("le", x, y)


def gt(x, y):
    return compare("gt", x, y)


def ge(x, y):
    return compare("ge", x, y)


def to_int(x):
    return cast(x, "i")


def quantize(x, dtype):
    """x rounded to ``"float16"`` or ``"bfloat16"`` and back, as if it had been stored."""
    if dtype not in ("float16", "bfloat16"):
        raise ValueError(f"quantize: dtype must be 'float16' or 'bfloat16', got {dtype!r}")
    return node("quantize", (cast(x, "f"),), "f", dtype)
