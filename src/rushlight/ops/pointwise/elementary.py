"""Exponentials, logarithms, roots, trigonometric and hyperbolic functions, rounding."""

from math import pi

from ...compiler import scalar as s
from ...dtypes import BOOL, COMPLEX, FLOAT, INT
from ...tensor.tensor import Tensor
from .core import change, pointwise, publish, run, run_out
from .forms import nothing, register


def _function(name, formula, reference, doc, *, samples="unary", saves="self", aliases=(), **facts):
    f = pointwise(f"{name}(Tensor self) -> Tensor", formula, promote="float", saves=saves, doc=doc,
                  reference=reference, samples=samples, **facts)
    publish(f, aliases=aliases)
    return f


# ---------------------------------------------------------------- exponentials and logarithms

exp = _function("exp", lambda x: s.exp(x), "exp", "e ** input.", saves="result")
exp2 = _function("exp2", lambda x: s.exp2(x), "exp2", "2 ** input.", saves="result")
expm1 = _function("expm1", lambda x: s.expm1(x), "expm1", "e ** input - 1, accurate near 0.",
                  saves="result")
log = _function("log", lambda x: s.log(x), "log", "Natural logarithm.", samples="unary_positive")
log2 = _function("log2", lambda x: s.log2(x), "log2", "Logarithm to base 2.", samples="unary_positive")
log10 = _function("log10", lambda x: s.log10(x), "log10", "Logarithm to base 10.",
                  samples="unary_positive")
log1p = _function("log1p", lambda x: s.log1p(x), "log1p", "log(1 + input), accurate near 0.",
                  samples="unary_positive", node="Log1PBackward0")
sqrt = _function("sqrt", lambda x: s.sqrt(x), "sqrt", "Square root.", samples="unary_positive",
                 saves="result")
rsqrt = _function("rsqrt", lambda x: s.rsqrt(x), None, "1 / sqrt(input).", samples="unary_positive",
                  saves="result")

# ---------------------------------------------------------------- trigonometric

sin = _function("sin", lambda x: s.sin(x), "sin", "Sine of an angle in radians.")
cos = _function("cos", lambda x: s.cos(x), "cos", "Cosine of an angle in radians.")
tan = _function("tan", lambda x: s.tan(x), "tan", "Tangent of an angle in radians.", saves="result")
asin = _function("asin", lambda x: s.asin(x), "arcsin", "Arc sine, in [-pi/2, pi/2].",
                 samples="unary_unit", aliases=("arcsin",))
acos = _function("acos", lambda x: s.acos(x), "arccos", "Arc cosine, in [0, pi].",
                 samples="unary_unit", aliases=("arccos",))
atan = _function("atan", lambda x: s.atan(x), "arctan", "Arc tangent, in [-pi/2, pi/2].",
                 aliases=("arctan",))
sinh = _function("sinh", lambda x: s.sinh(x), "sinh", "Hyperbolic sine.")
cosh = _function("cosh", lambda x: s.cosh(x), "cosh", "Hyperbolic cosine.")
tanh = _function("tanh", lambda x: s.tanh(x), "tanh", "Hyperbolic tangent.", saves="result")
asinh = _function("asinh", lambda x: s.asinh(x), "arcsinh", "Inverse hyperbolic sine.",
                  aliases=("arcsinh",))
acosh = _function("acosh", lambda x: s.acosh(x), "arccosh", "Inverse hyperbolic cosine.",
                  samples="unary_above_one", aliases=("arccosh",))
atanh = _function("atanh", lambda x: s.atanh(x), "arctanh", "Inverse hyperbolic tangent.",
                  samples="unary_unit", aliases=("arctanh",))
sigmoid = _function("sigmoid", lambda x: s.sigmoid(x), None, "1 / (1 + exp(-input)).", saves="result")


def _angle_unit(name, factor, node, doc):
    rec = pointwise(f"{name}(Tensor self) -> Tensor", lambda x: x * factor, promote="float", node=node,
                    reference=name, samples="unary", doc=doc).record

    def check(input):
        if isinstance(input, Tensor) and input.dtype.category == COMPLEX:
            raise RuntimeError(f"{name} is not supported for complex tensors.")

    def function(input, *, out=None):
        check(input)
        return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)

    def inplace(input):
        check(input)
        return change(rec, input, (), (), name)
    function.__doc__ = doc
    function.record = rec
    register(name, function, inplace=inplace)


_angle_unit("deg2rad", pi / 180, "Deg2RadBackward0", "Degrees to radians.")
_angle_unit("rad2deg", 180 / pi, "Rad2DegBackward0", "Radians to degrees.")
sinc = _function("sinc", lambda x: s.where(x == 0, 1.0, s.sin(x * pi) / (x * pi)), "sinc",
                 "sin(pi x) / (pi x), 1 at 0.",
                 vjp={"self": lambda g, self: _sinc_grad(g, self)})
_sinc_grad = pointwise("sinc.grad(Tensor g, Tensor self) -> Tensor",
                       lambda g, x: g * s.where(x == 0, 0.0, (x * pi * s.cos(x * pi) - s.sin(x * pi))
                                                / (x * pi) / x))

# ---------------------------------------------------------------- rounding


def _rounding(name, formula, reference, doc, aliases=()):
    f = pointwise(f"{name}(Tensor self) -> Tensor", formula, reference=reference, samples="unary_kinks",
                  vjp={"self": nothing}, doc=doc)
    rec = f.record

    def function(input, *, out=None):
        _refuse(input, name)
        return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)

    def inplace(input):
        _refuse(input, name)
        return change(rec, input, (), (), name)
    function.__doc__ = doc
    function.record = rec
    register(name, function, inplace=inplace, aliases=aliases)
    return f


def _refuse(input, name):
    if isinstance(input, Tensor):
        if input.dtype.category == COMPLEX:
            raise RuntimeError(f"{name} is not supported for complex inputs")
        if input.dtype.category == BOOL:
            raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")


floor = _rounding("floor", lambda x: s.floor(x), "floor", "Largest integer not above the input.")
ceil = _rounding("ceil", lambda x: s.ceil(x), "ceil", "Smallest integer not below the input.")
trunc = _rounding("trunc", lambda x: s.trunc(x), "trunc", "The input without its fraction.", ("fix",))

_round = pointwise("round(Tensor self) -> Tensor", lambda x: s.round(x), vjp={"self": nothing},
                   reference="round", samples="unary")
_round_up = pointwise("round.decimals(Tensor self, Scalar scale) -> Tensor",
                      lambda x, k: s.round(x * k) / k, node="RoundBackward1",
                      vjp={"self": nothing})
_round_down = pointwise("round.tens(Tensor self, Scalar scale) -> Tensor",
                        lambda x, k: s.round(x / k) * k, node="RoundBackward1",
                        vjp={"self": nothing})


def _round_call(input, decimals):
    _refuse(input, "round")
    if decimals == 0:
        return _round.record, ()
    if input.dtype.category < FLOAT:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{_name(input)}'")
    if decimals > 0:
        return _round_up.record, (10.0 ** decimals,)
    return _round_down.record, (10.0 ** -decimals,)


def _name(t):
    from ...dtypes import scalar_name
    return scalar_name(t.dtype)


def round(input, *, decimals=0, out=None):
    """Nearest integer, ties to even; with `decimals` the nearest multiple of 10 ** -decimals."""
    rec, params = _round_call(input, decimals)
    return run(rec, (input,), params) if out is None else run_out(rec, (input,), params, out)


def _round_inplace(input, *, decimals=0):
    rec, params = _round_call(input, decimals)
    return change(rec, input, (), params, "round")


round.record = _round.record
register("round", round, inplace=_round_inplace)

frac = pointwise("frac(Tensor self) -> Tensor", lambda x: s.frac(x), vjp={"self": lambda g: g},
                 samples="unary", doc="input - trunc(input).")


def _frac(input, *, out=None):
    """input - trunc(input)."""
    _refuse_integer(input, "frac")
    return run(frac.record, (input,), ()) if out is None else run_out(frac.record, (input,), (), out)


def _refuse_integer(input, name):
    if isinstance(input, Tensor) and input.dtype.category <= INT:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_name(input)}'")


def _frac_inplace(input):
    _refuse_integer(input, "frac")
    return change(frac.record, input, (), (), "frac")


_frac.record = frac.record
register("frac", _frac, inplace=_frac_inplace)

# ---------------------------------------------------------------- sign

sign = pointwise("sign(Tensor self) -> Tensor", lambda x: s.sign(x), vjp={"self": nothing},
                 samples="unary", reference="sign", doc="-1, 0 or 1.")
_sgn = pointwise("sgn(Tensor self) -> Tensor",
                 lambda x: s.where(x == 0, 0.0, x / s.abs(x)),
                 vjp={"self": lambda g, self, out: _sgn_grad(g, self, out)})


def _sgn_grad(g, self, out):
    if not self.dtype.is_complex:
        return nothing(g)
    modulus = self.abs()
    d = (g / modulus - (g / self).real * out)
    return d.masked_fill(modulus == 0, 0)


def _sign(input, *, out=None):
    """-1, 0 or 1; complex tensors raise (see sgn)."""
    if input.dtype.category == COMPLEX:
        raise RuntimeError("Unlike NumPy, torch.sign is not intended to support complex numbers. Please "
                           "use torch.sgn instead.")
    return run(sign.record, (input,), ()) if out is None else run_out(sign.record, (input,), (), out)


_sign.record = sign.record
register("sign", _sign, inplace=lambda input: change(sign.record, input, (), (), "sign"))


def _sgn_record(input):
    return _sgn.record if input.dtype.category == COMPLEX else _sgn_real.record


_sgn_real = pointwise("sgn.real(Tensor self) -> Tensor", lambda x: s.sign(x),
                      vjp={"self": nothing})


def sgn(input, *, out=None):
    """input / |input|, 0 at 0: the sign, also of complex numbers."""
    rec = _sgn_record(input)
    return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)


register("sgn", sgn, inplace=lambda input: change(_sgn_record(input), input, (), (), "sgn"))

