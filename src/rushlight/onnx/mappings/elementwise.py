"""Pointwise ops."""

import math

from rushlight import dtypes
from rushlight.dtypes import FLOAT

from . import maps

bool_ = dtypes.bool_


def _same(kind):
    return lambda b, *operands: b.op(kind, *operands)


for _key, _kind in {
    "add.Tensor": "Add", "sub.Tensor": "Sub", "mul.Tensor": "Mul", "pow.Tensor_Scalar": "Pow",
    "pow.Tensor_Tensor": "Pow", "pow.Scalar": "Pow", "neg": "Neg", "abs": "Abs", "reciprocal": "Reciprocal",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "sigmoid": "Sigmoid", "sign": "Sign", "sgn.real": "Sign", "relu": "Relu",
    "softsign": "Softsign", "erf": "Erf", "isnan": "IsNaN", "div.Tensor": "Div",
}.items():
    maps(_key)(_same(_kind))


def _rounding(kind):
    return lambda b, x: b.op(kind, x) if x.dtype.category >= FLOAT else x.name


for _key, _kind in {"floor": "Floor", "ceil": "Ceil", "round": "Round"}.items():
    maps(_key)(_rounding(_kind))


def number(b, value, like):
    """A constant of the type of an operand."""
    return b.scalar(value, like.dtype)


@maps("add.alpha", "sub.alpha")
def _add(b, x, y, alpha):
    return b.op("Sub" if b.key.startswith("sub") else "Add", x, b.op("Mul", y, number(b, alpha, x)))


@maps("rsub")
def _rsub(b, x, y):
    return b.op("Sub", y, x)


@maps("div.floor")
def _floor_divide(b, x, y):
    if x.dtype.category >= FLOAT:
        return b.op("Floor", b.op("Div", x, y))
    return b.op("Div", b.op("Sub", x, b.op("Mod", x, y)), y)


@maps("div.trunc")
def _trunc_divide(b, x, y):
    q = b.op("Div", x, y)
    return _truncated(b, q, x) if x.dtype.category >= FLOAT else q


def _truncated(b, name, like):
    return b.op("Mul", b.op("Sign", name), b.op("Floor", b.op("Abs", name)))


@maps("trunc")
def _trunc(b, x):
    return _truncated(b, x, x) if x.dtype.category >= FLOAT else x.name


@maps("frac")
def _frac(b, x):
    return b.op("Sub", x, _truncated(b, x, x))


@maps("fmod.Tensor", "fmod.Scalar")
def _fmod(b, x, y):
    return b.op("Mod", x, y, fmod=1)


@maps("remainder.Tensor", "remainder.Scalar")
def _remainder(b, x, y):
    if x.dtype.category >= FLOAT:
        return b.op("Sub", x, b.op("Mul", y, b.op("Floor", b.op("Div", x, y))))
    return b.op("Mod", x, y)


@maps("pow.fixed_2", "pow.fixed_3", "pow.fixed_0_5", "pow.fixed_m0_5", "pow.fixed_m1_0", "pow.fixed_m2_0")
def _fixed_power(b, x):
    kind = b.key.partition("fixed_")[2]
    if kind in ("2", "m2_0"):
        square = b.op("Mul", x, x)
        return square if kind == "2" else b.op("Reciprocal", square)
    if kind == "3":
        return b.op("Mul", b.op("Mul", x, x), x)
    if kind == "m1_0":
        return b.op("Reciprocal", x)
    root = b.op("Sqrt", x)
    return root if kind == "0_5" else b.op("Reciprocal", root)


@maps("rsqrt")
def _rsqrt(b, x):
    return b.op("Reciprocal", b.op("Sqrt", x))


@maps("exp2")
def _exp2(b, x):
    return b.op("Pow", number(b, 2, x), x)


@maps("expm1")
def _expm1(b, x):
    return b.op("Sub", b.op("Exp", x), number(b, 1, x))


@maps("log2", "log10")
def _log_to(b, x):
    return b.op("Mul", b.op("Log", x), number(b, 1 / math.log(2 if b.key == "log2" else 10), x))


@maps("log1p")
def _log1p(b, x):
    return b.op("Log", b.op("Add", x, number(b, 1, x)))


@maps("deg2rad", "rad2deg")
def _degrees(b, x):
    return b.op("Mul", x, number(b, math.pi / 180 if b.key == "deg2rad" else 180 / math.pi, x))


@maps("round.decimals")
def _round_decimals(b, x, scale):
    return b.op("Div", b.op("Round", b.op("Mul", x, number(b, scale, x))), number(b, scale, x))


@maps("where.self", raw=True)
def _where(b, condition, x, y):
    out = b.result
    return b.op("Where", b.as_type(condition, bool_), b.as_type(x, out.dtype), b.as_type(y, out.dtype))


@maps("maximum", "fmax", "clamp_min", "clamp_min.Tensor", "clamp.low", "clamp.Tensor_low")
def _maximum(b, x, y):
    return b.op("Max", x, y)


@maps("minimum", "fmin", "clamp_max", "clamp_max.Tensor", "clamp.high", "clamp.Tensor_high")
def _minimum(b, x, y):
    return b.op("Min", x, y)


@maps("clamp")
def _clamp(b, x, low, high):
    if low.data is not None and high.data is not None and low.rank == high.rank == 0:
        return b.op("Clip", x, low, high)
    return _clamp_tensors(b, x, low, high)


@maps("clamp.Tensor")
def _clamp_tensors(b, x, low, high):
    return b.op("Min", b.op("Max", x, low), high)


@maps("hardtanh")
def _hardtanh(b, x, low, high):
    return b.op("Clip", x, number(b, low, x), number(b, high, x))


@maps("leaky_relu")
def _leaky_relu(b, x, slope):
    return b.op("LeakyRelu", x, alpha=float(slope))


@maps("rrelu_with_noise.eval")
def _rrelu(b, x, slope):
    return b.op("LeakyRelu", x, alpha=float(slope))


@maps("prelu_kernel")
def _prelu(b, x, weight):
    return b.op("PRelu", x, weight)


@maps("elu")
def _elu(b, x, alpha, scale, input_scale):
    if scale == 1 and input_scale == 1:
        return b.op("Elu", x, alpha=float(alpha))
    if input_scale == 1:
        return b.op("Selu", x, alpha=float(alpha), gamma=float(scale))
    inner = b.op("Elu", b.op("Mul", x, number(b, input_scale, x)), alpha=float(alpha))
    positive = b.op("Greater", x, number(b, 0, x))
    return b.op("Mul", b.op("Where", positive, x, inner), number(b, scale, x))


@maps("celu")
def _celu(b, x, alpha):
    if b.opset < 12:
        zero, scaled = number(b, 0, x), b.op("Div", x, number(b, alpha, x))
        low = b.op("Mul", b.op("Sub", b.op("Exp", scaled), number(b, 1, x)), number(b, alpha, x))
        return b.op("Add", b.op("Max", x, zero), b.op("Min", low, zero))
    return b.op("Celu", x, alpha=float(alpha))


@maps("gelu.none", "gelu.tanh")
def _gelu(b, x):
    if b.opset >= 20:
        return b.op("Gelu", x, approximate=b.key.partition(".")[2])
    half = b.op("Mul", x, number(b, 0.5, x))
    if b.key == "gelu.none":
        inner = b.op("Erf", b.op("Mul", x, number(b, math.sqrt(0.5), x)))
    else:
        cube = b.op("Mul", b.op("Mul", x, x), x)
        inner = b.op("Add", x, b.op("Mul", cube, number(b, 0.044715, x)))
        inner = b.op("Tanh", b.op("Mul", inner, number(b, math.sqrt(2 / math.pi), x)))
    return b.op("Mul", half, b.op("Add", inner, number(b, 1, x)))


@maps("silu")
def _silu(b, x):
    return b.op("Mul", x, b.op("Sigmoid", x))


@maps("mish")
def _mish(b, x):
    return b.op("Mul", x, b.op("Tanh", b.op("Softplus", x)))


@maps("softplus")
def _softplus(b, x, beta, threshold):
    if beta == 1:
        soft = b.op("Softplus", x)
        scaled = x
    else:
        scaled = b.op("Mul", x, number(b, beta, x))
        soft = b.op("Div", b.op("Softplus", scaled), number(b, beta, x))
    return b.op("Where", b.op("Greater", scaled, number(b, threshold, x)), x, soft)


@maps("log_sigmoid")
def _log_sigmoid(b, x):
    return b.op("Neg", b.op("Softplus", b.op("Neg", x)))


@maps("tanhshrink")
def _tanhshrink(b, x):
    return b.op("Sub", x, b.op("Tanh", x))


@maps("softshrink")
def _softshrink(b, x, lambd):
    return b.op("Shrink", x, bias=float(lambd), lambd=float(lambd))


@maps("hardshrink")
def _hardshrink(b, x, lambd):
    return b.op("Shrink", x, bias=0.0, lambd=float(lambd))


@maps("threshold")
def _threshold(b, x, threshold, value):
    return b.op("Where", b.op("Greater", x, number(b, threshold, x)), x, number(b, value, x))


@maps("hardsigmoid")
def _hardsigmoid(b, x):
    return b.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@maps("hardswish")
def _hardswish(b, x):
    if b.opset >= 14:
        return b.op("HardSwish", x)
    return b.op("Mul", x, b.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))


@maps("glu")
def _glu(b, x, gate):
    return b.op("Mul", x, b.op("Sigmoid", gate))


@maps("erfc")
def _erfc(b, x):
    return b.op("Sub", number(b, 1, x), b.op("Erf", x))


@maps("logit")
def _logit(b, x):
    return b.op("Log", b.op("Div", x, b.op("Sub", number(b, 1, x), x)))


@maps("logit.eps")
def _logit_within(b, x, low, high):
    clipped = b.op("Clip", x, number(b, low, x), number(b, high, x))
    return b.op("Log", b.op("Div", clipped, b.op("Sub", number(b, 1, x), clipped)))


@maps("lerp.Scalar", "lerp.Tensor")
def _lerp(b, x, end, weight):
    return b.op("Add", x, b.op("Mul", weight, b.op("Sub", end, x)))


@maps("addcmul", "addcdiv")
def _addc(b, x, y, z, value):
    inner = b.op("Mul" if b.key == "addcmul" else "Div", y, z)
    return b.op("Add", x, b.op("Mul", inner, number(b, value, x)) if value != 1 else inner)


@maps("hypot")
def _hypot(b, x, y):
    return b.op("Sqrt", b.op("Add", b.op("Mul", x, x), b.op("Mul", y, y)))


@maps("atan2")
def _atan2(b, y, x):
    zero, pi = number(b, 0, x), number(b, math.pi, x)
    base = b.op("Atan", b.op("Div", y, x))
    left = b.op("Where", b.op("Less", y, zero), b.op("Sub", base, pi), b.op("Add", base, pi))
    turned = b.op("Where", b.op("Less", x, zero), left, base)
    at_zero = b.op("Mul", b.op("Sign", y), number(b, math.pi / 2, x))
    return b.op("Where", b.op("Equal", x, zero), at_zero, turned)


@maps("logaddexp")
def _logaddexp(b, x, y):
    top = b.op("Max", x, y)
    gap = b.op("Neg", b.op("Abs", b.op("Sub", x, y)))
    return b.op("Add", top, b.op("Log", b.op("Add", b.op("Exp", gap), number(b, 1, x))))


@maps("xlogy.Tensor", "xlogy.Scalar_Self", "xlogy.Scalar_Other")
def _xlogy(b, x, y):
    zero = number(b, 0, x)
    return b.op("Where", b.op("Equal", x, zero), zero, b.op("Mul", x, b.op("Log", y)))


@maps("nan_to_num")
def _nan_to_num(b, x, nan, posinf, neginf):
    top = dtypes.finfo(x.dtype).max
    out = b.op("Where", b.op("IsNaN", x), number(b, 0.0 if nan is None else nan, x), x)
    out = b.op("Where", b.op("IsInf", x, detect_negative=0), number(b, top if posinf is None else posinf, x), out)
    return b.op("Where", b.op("IsInf", x, detect_positive=0), number(b, -top if neginf is None else neginf, x), out)


# ---------------------------------------------------------------- truth

_COMPARISONS = {"eq.Tensor": "Equal", "lt.Tensor": "Less", "gt.Tensor": "Greater", "le.Tensor": "LessOrEqual",
                "ge.Tensor": "GreaterOrEqual"}


@maps("eq.Tensor", "ne.Tensor", "lt.Tensor", "gt.Tensor", "le.Tensor", "ge.Tensor")
def _compare(b, x, y):
    if b.key == "ne.Tensor":
        return b.op("Not", b.op("Equal", x, y))
    if x.dtype is bool_ and b.key != "eq.Tensor":
        x, y = (b.cast(z, dtypes.int32) for z in (x, y))
    if b.opset < 12 and b.key in ("le.Tensor", "ge.Tensor"):
        return b.op("Not", b.op("Greater" if b.key == "le.Tensor" else "Less", x, y))
    return b.op(_COMPARISONS[b.key], x, y)


@maps("logical_and", "logical_or", "logical_xor", "logical_not", raw=True)
def _logical(b, *operands):
    kind = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}[b.key.partition("_")[2]]
    return b.op(kind, *[b.as_type(x, bool_) for x in operands])


@maps("bitwise_and.Tensor", "bitwise_or.Tensor", "bitwise_xor.Tensor", "bitwise_not")
def _bitwise(b, *operands):
    kind = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}[b.key.partition(".")[0].partition("_")[2]]
    if operands[0].dtype is bool_:
        return b.op(kind, *operands)
    b.need(18, "arithmetic on bits")
    return b.op("Bitwise" + kind, *operands)


@maps("bitwise_left_shift.Tensor", "bitwise_right_shift.Tensor")
def _shift(b, x, y):
    power = b.op("Pow", number(b, 2, x), y)
    if "left" in b.key:
        return b.op("Mul", x, power)
    return b.op("Div", b.op("Sub", x, b.op("Mod", x, power)), power)


@maps("isinf", "isposinf", "isneginf")
def _isinf(b, x):
    return b.op("IsInf", x, detect_negative=int(b.key != "isposinf"), detect_positive=int(b.key != "isneginf"))


@maps("isfinite")
def _isfinite(b, x):
    return b.op("Not", b.op("Or", b.op("IsInf", x), b.op("IsNaN", x)))


@maps("isclose")
def _isclose(b, x, y, rtol, atol):
    bound = b.op("Add", b.op("Mul", b.op("Abs", y), number(b, rtol, x)), number(b, atol, x))
    near = b.op("Not", b.op("Greater", b.op("Abs", b.op("Sub", x, y)), bound))
    return b.op("Or", near, b.op("Equal", x, y))


@maps("heaviside")
def _heaviside(b, x, values):
    zero = number(b, 0, x)
    step = b.op("Where", b.op("Greater", x, zero), number(b, 1, x), zero)
    return b.op("Where", b.op("Equal", x, zero), values, step)


@maps("_mse_loss_terms", "_l1_loss_terms")
def _loss_terms(b, x, y):
    gap = b.op("Sub", x, y)
    return b.op("Abs", gap) if "l1" in b.key else b.op("Mul", gap, gap)


@maps("copysign.Tensor")
def _copysign(b, x, y):
    size = b.op("Abs", x)
    return b.op("Where", b.op("Less", y, number(b, 0, x)), b.op("Neg", size), size)
