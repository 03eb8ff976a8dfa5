"""Functions of two and three operands: angles, logarithms of sums, interpolation, integer arithmetic."""

from math import log

import numpy as np

from ... import dtypes
from ...compiler import scalar as s
from ...dtypes import BOOL, COMPLEX, FLOAT, INT, result_type_of, scalar_name
from ...record import NONDIFF
from ...tensor.tensor import Tensor
from ..dispatch import primitive
from ..registry import public
from .core import change, pointwise, result_array, run, run_out
from .forms import category, conj, need_tensor, nothing, register
from .selection import _where as _where_call
from .selection import _zeros_where as keep_where

_where = _where_call.record


def function(call, *, check=None, scalars=False, aliases=(), namespaces=("torch",), inplace=True):
    """Publish a two-operand op whose operands `check` first; numbers only where `scalars` says so."""
    rec = call.record
    name = rec.name

    def test(input, other):
        if name == "copysign":
            need_tensor(name, input)
        if not scalars and not (isinstance(other, Tensor) and isinstance(input, Tensor)):
            k, x = (2, other) if isinstance(input, Tensor) else (1, input)
            raise TypeError(f"{name}(): argument '{('input', 'other')[k - 1]}' (position {k}) must be "
                            f"Tensor, not {type(x).__name__}")
        if check is not None:
            check(name, input, other)

    def fn(input, other, *, out=None):
        test(input, other)
        return run(rec, (input, other), ()) if out is None else run_out(rec, (input, other), (), out)

    def fn_(input, other):
        test(input, other)
        return change(rec, input, (other,), (), name)
    fn.__doc__ = rec.doc
    fn.record = rec
    register(name, fn, inplace=fn_ if inplace else None, aliases=aliases, namespaces=namespaces)
    return fn


def _refuse(name, common):
    raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{scalar_name(common)}'")


def _floats(name, a, b):
    d = result_type_of((a, b))
    if d.category != FLOAT:
        _refuse(name, d)


def _inexact(name, a, b):
    d = result_type_of((a, b))
    if d.category < FLOAT:
        _refuse(name, d)


def _reals(name, a, b):
    d = result_type_of((a, b))
    if d.category == COMPLEX:
        _refuse(name, d)


def _integers(name, a, b):
    d = result_type_of((a, b))
    if d.category != INT:
        _refuse(name, d)


# ---------------------------------------------------------------- geometry

atan2 = pointwise("atan2(Tensor self, Tensor other) -> Tensor", lambda y, x: s.atan2(y, x),
                  promote="float", reference="arctan2", samples="binary",
                  doc="Angle of the point (other, input) in [-pi, pi].",
                  vjp={"self": lambda g, self, other: _atan2_y(g, self, other),
                       "other": lambda g, self, other: _atan2_x(g, self, other)})
_atan2_y = pointwise("atan2.y(Tensor g, Tensor self, Tensor other) -> Tensor",
                     lambda g, y, x: s.where(x * x + y * y == 0, 0.0, g * (x / (x * x + y * y))))
_atan2_x = pointwise("atan2.x(Tensor g, Tensor self, Tensor other) -> Tensor",
                     lambda g, y, x: s.where(x * x + y * y == 0, 0.0, g * (-y / (x * x + y * y))))
function(atan2, check=_reals, aliases=("arctan2",))

hypot = pointwise("hypot(Tensor self, Tensor other) -> Tensor", lambda x, y: s.hypot(x, y),
                  reference="hypot", samples="binary", doc="sqrt(input**2 + other**2) without overflow.",
                  vjp={"self": lambda g, self, out: g * (self / out),
                       "other": lambda g, other, out: g * (other / out)})
function(hypot, check=_floats)

copysign = pointwise("copysign.Tensor(Tensor self, Tensor other) -> Tensor",
                     lambda x, y: s.copysign(x, y), promote="float", reference="copysign",
                     samples="binary", doc="|input| with the sign of `other`.",
                     vjp={"self": lambda g, self, out: _copysign_grad(g, self, out),
                          "other": nothing})
_copysign_grad = pointwise("copysign.grad(Tensor g, Tensor self, Tensor result) -> Tensor",
                           lambda g, x, y: s.where(x == 0, 0.0, g * (y / x)))
function(copysign, check=_reals, scalars=True)

nextafter = pointwise("nextafter(Tensor self, Tensor other) -> Tensor", lambda x, y: s.nextafter(x, y),
                      reference="nextafter", samples="binary",
                      vjp={"self": lambda g: g, "other": lambda g: None},
                      doc="The number next to input towards `other`.")


@primitive("nextafter.bfloat16(Tensor self, Tensor other) -> Tensor",
           vjp={"self": lambda g: g, "other": lambda g: None})
def _nextafter_low(a, b):
    r = np.nextafter(a, b)
    out = result_array([a, b], a.dtype)
    out[...] = r
    return out


def _nextafter(input, other, *, out=None):
    """The next floating-point number after `input` towards `other`."""
    need_tensor("nextafter", input)
    need_tensor("nextafter", other, 2, "other")
    _floats("nextafter", input, other)
    d = result_type_of((input, other))
    if d.is_low_precision:
        input, other = input.to(d), other.to(d)
        from ..out import with_out
        return with_out("nextafter", _nextafter_low)(input, other, out=out)
    return run(nextafter.record, (input, other), ()) if out is None else \
        run_out(nextafter.record, (input, other), (), out)


def _nextafter_inplace(input, other):
    return input.copy_(_nextafter(input, other))


register("nextafter", _nextafter, inplace=_nextafter_inplace)

# ---------------------------------------------------------------- logarithms of sums

logaddexp = pointwise("logaddexp(Tensor self, Tensor other) -> Tensor",
                      lambda a, b: s.where(s.logical_and(s.isinf(a), a == b), a,
                                           s.maximum(a, b) + s.log1p(s.exp(-s.abs(a - b)))),
                      reference="logaddexp", samples="binary", doc="log(exp(input) + exp(other)).",
                      vjp={"self": lambda g, self, other: g / (1 + (other - self).exp()),
                           "other": lambda g, self, other: g / (1 + (self - other).exp())})
logaddexp2 = pointwise("logaddexp2(Tensor self, Tensor other) -> Tensor",
                       lambda a, b: s.where(s.logical_and(s.isinf(a), a == b), a,
                                            s.maximum(a, b) + s.log1p(s.exp2(-s.abs(a - b))) / log(2)),
                       reference="logaddexp2", samples="binary", doc="log2(2**input + 2**other).",
                       vjp={"self": lambda g, self, other: g / (1 + (other - self).exp2()),
                            "other": lambda g, self, other: g / (1 + (self - other).exp2())})


def _logaddexp(name, call, exp, log_):
    def fn(input, other, *, out=None):
        need_tensor(name, input)
        need_tensor(name, other, 2, "other")
        _inexact(name, input, other)
        if result_type_of((input, other)).category == COMPLEX:
            r = _complex_logaddexp(input, other, exp, log_)
            return r if out is None else out.copy_(r)
        return run(call.record, (input, other), ()) if out is None else \
            run_out(call.record, (input, other), (), out)
    fn.__doc__ = call.record.doc
    register(name, fn)


def _complex_logaddexp(a, b, exp, log_):
    """The operand of larger real part plus the logarithm of 1 + exp(difference)."""
    first = a.real >= b.real
    big, small = run(_where, (first, a, b), ()), run(_where, (first, b, a), ())
    return big + getattr(1 + getattr(small - big, exp)(), log_)()


_logaddexp("logaddexp", logaddexp, "exp", "log")
_logaddexp("logaddexp2", logaddexp2, "exp2", "log2")

_XLOGY_DOC = "input * log(other): 0 where input is 0, NaN where other is NaN."
_xlogy_formula = lambda x, y: s.where(s.isnan(y), y, s.where(x == 0, 0.0, x * s.log(y)))
_xlogy_self = {"self": lambda g, self, other: keep_where(((self == 0) & (other <= 0)).logical_not(), g
                                                         * _log(other))}
_xlogy_other = {"other": lambda g, self, other: g * self / other}


def _log(x):
    return x.log() if isinstance(x, Tensor) else log(x) if x > 0 else -np.inf if x == 0 else np.nan


def _xlogy_scalar_grad(g, self, other):
    return keep_where(((self == 0) if other <= 0 else self != self).logical_not(), g * _log(other))


_xlogy = pointwise("xlogy.Tensor(Tensor self, Tensor other) -> Tensor", _xlogy_formula, promote="float",
                   vjp={**_xlogy_self, **_xlogy_other}, doc=_XLOGY_DOC)
_xlogy_first = pointwise("xlogy.Scalar_Self(Tensor self, Tensor other) -> Tensor", _xlogy_formula,
                         promote="float", node="XlogyBackward1", vjp=_xlogy_other)
_xlogy_second = pointwise("xlogy.Scalar_Other(Tensor self, Tensor other) -> Tensor", _xlogy_formula,
                          promote="float", node="XlogyBackward2", vjp={"self": _xlogy_scalar_grad})


def _xlogy_record(input, other):
    _reals("xlogy", input, other)
    if not isinstance(input, Tensor):
        return _xlogy_first.record
    return (_xlogy if isinstance(other, Tensor) else _xlogy_second).record


def xlogy(input, other, *, out=None):
    """input * log(other): 0 where input is 0, NaN where other is NaN."""
    rec = _xlogy_record(input, other)
    return run(rec, (input, other), ()) if out is None else run_out(rec, (input, other), (), out)


register("xlogy", xlogy, namespaces=("torch", "torch.special"),
         inplace=lambda input, other: change(_xlogy_record(input, other), input, (other,), (), "xlogy"))

ldexp = pointwise("ldexp(Tensor self, Tensor other) -> Tensor", lambda x, k: x * s.exp2(k),
                  promote="float", samples="binary", doc="input * 2 ** other.",
                  vjp={"self": lambda g, other: g * pow2(other),
                       "other": lambda g, out: g * conj(out) * log(2)})


def pow2(x):
    return x.exp2() if isinstance(x, Tensor) else 2.0 ** x




def _check_ldexp(name, a, b):
    if a.dtype.category == FLOAT and b.dtype.category == BOOL:
        raise NotImplementedError("\"ldexp_cpu_exp\" not implemented for 'Bool'")


function(ldexp, check=_check_ldexp)

heaviside = pointwise("heaviside(Tensor self, Tensor values) -> Tensor",
                      lambda x, v: s.where(x == 0, v, s.where(x > 0, 1, 0)),
                      vjp=NONDIFF("a step"), reference="heaviside", samples="binary",
                      doc="0 for negative, `values` for zero, 1 for positive input.")


def _heaviside(input, values, *, out=None):
    """0 for negative, `values` for zero, 1 for positive input."""
    _check_heaviside(input, values)
    return run(heaviside.record, (input, values), ()) if out is None else \
        run_out(heaviside.record, (input, values), (), out)


def _check_heaviside(input, values):
    need_tensor("heaviside", input)
    need_tensor("heaviside", values, 2, "values")
    if input.dtype.category == COMPLEX or values.dtype.category == COMPLEX:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


def _heaviside_inplace(input, values):
    _check_heaviside(input, values)
    return change(heaviside.record, input, (values,), (), "heaviside")


register("heaviside", _heaviside, inplace=_heaviside_inplace)

# ---------------------------------------------------------------- integers


def _integer_kernel(name, ufunc, doc):
    @primitive(f"{name}(Tensor self, Tensor other) -> Tensor", vjp=NONDIFF("integer result"), doc=doc)
    def call(a, b):
        d = np.result_type(a, b) if a.ndim and b.ndim or a.ndim == b.ndim else \
            a.dtype if a.ndim else b.dtype
        return np.asarray(np.abs(ufunc(a.astype(d, copy=False), b.astype(d, copy=False)))).astype(d)

    def fn(input, other):
        need_tensor(name, input)
        need_tensor(name, other, 2, "other")
        _integers(name, input, other)
        return call(input, other)
    fn.__name__, fn.__doc__ = name, doc
    public(name, out=True, inplace=True)(fn)


_integer_kernel("gcd", np.gcd, "Greatest common divisor, not negative.")
_integer_kernel("lcm", np.lcm, "Least common multiple, not negative.")


def _bitwise(name, formula, reference, doc, *, bools=True, kernel_name=None, aliases=()):
    f = pointwise(f"{name}.Tensor(Tensor self, Tensor other) -> Tensor", formula, doc=doc,
                  vjp=NONDIFF("integer result"), reference=reference, samples="binary_integer")

    def check(_, a, b):
        d = result_type_of((a, b))
        if d.category > INT or (d.category == BOOL and not bools):
            _refuse(kernel_name or name, d)
    function(f, check=check, scalars=True, aliases=aliases)


_bitwise("bitwise_and", lambda a, b: s.bitwise_and(a, b), "bitwise_and", "input & other.")
_bitwise("bitwise_or", lambda a, b: s.bitwise_or(a, b), "bitwise_or", "input | other.")
_bitwise("bitwise_xor", lambda a, b: s.bitwise_xor(a, b), "bitwise_xor", "input ^ other.")
_bitwise("bitwise_left_shift", lambda a, b: s.left_shift(a, b), None,
         "input << other; 0 for shifts out of range.", bools=False, kernel_name="lshift",
         aliases=("__lshift__",))
_bitwise("bitwise_right_shift", lambda a, b: s.right_shift(a, b), None,
         "input >> other, arithmetic on signed types.", bools=False, kernel_name="rshift",
         aliases=("__rshift__",))
_not = pointwise("bitwise_not(Tensor self) -> Tensor", lambda a: s.bitwise_not(a),
                 vjp=NONDIFF("integer result"), reference="invert", samples="unary_integer",
                 doc="~input: all bits (of bools the truth) inverted.")


def bitwise_not(input, *, out=None):
    """~input: all bits (of bools the truth) inverted."""
    if input.dtype.category > INT:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return run(_not.record, (input,), ()) if out is None else run_out(_not.record, (input,), (), out)


def _bitwise_not_inplace(input):
    if input.dtype.category > INT:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return change(_not.record, input, (), (), "bitwise_not")


register("bitwise_not", bitwise_not, inplace=_bitwise_not_inplace)

# ---------------------------------------------------------------- interpolation, multiply and add

_LERP = lambda a, b, w: s.where(s.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))
_lerp_ends = {"self": lambda g, weight: g * (1 - conj(weight)), "end": lambda g, weight: g * conj(weight)}
_lerp_scalar = pointwise("lerp.Scalar(Tensor self, Tensor end, Tensor weight) -> Tensor", _LERP,
                         vjp=_lerp_ends)
_lerp_tensor = pointwise("lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor", _LERP,
                         node="LerpBackward1",
                         vjp={**_lerp_ends,
                              "weight": lambda g, self, end: g * conj(end - self)})


_DTYPE_WORDS = {"int64": "long int", "int32": "int", "float32": "float", "float64": "double",
                "float16": "c10::Half", "bfloat16": "c10::BFloat16"}


def _word(d):
    return _DTYPE_WORDS.get(d.name, d.name)


def _lerp_record(input, end, weight):
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {_word(input.dtype)} for `{name}` but got dtype "
                               f"{_word(x.dtype)}")
    if input.dtype.category < FLOAT:
        kind = "tensor" if isinstance(weight, Tensor) else "scalar"
        raise NotImplementedError(f"\"lerp_kernel_{kind}\" not implemented for "
                                  f"'{scalar_name(input.dtype)}'")
    return (_lerp_tensor if isinstance(weight, Tensor) else _lerp_scalar).record


def lerp(input, end, weight, *, out=None):
    """input + weight * (end - input), exact at both ends; all of one dtype."""
    rec = _lerp_record(input, end, weight)
    return run(rec, (input, end, weight), ()) if out is None else \
        run_out(rec, (input, end, weight), (), out)


register("lerp", lerp, inplace=lambda input, end, weight: change(
    _lerp_record(input, end, weight), input, (end, weight), (), "lerp"))

_addcmul = pointwise("addcmul(Tensor self, Tensor tensor1, Tensor tensor2, Scalar value) -> Tensor",
                     lambda x, a, b, v: x + v * a * b,
                     vjp={"self": lambda g: g,
                          "tensor1": lambda g, tensor2, value: g * conj(tensor2 * value),
                          "tensor2": lambda g, tensor1, value: g * conj(tensor1 * value)})
_addcdiv = pointwise("addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, Scalar value) -> Tensor",
                     lambda x, a, b, v: x + v * (a / b),
                     vjp={"self": lambda g: g,
                          "tensor1": lambda g, tensor2, value: g * conj(value / tensor2),
                          "tensor2": lambda g, tensor1, tensor2, value:
                              -g * conj((value * tensor1 / tensor2) / tensor2)})


def _check_addcdiv(tensor1, tensor2):
    if tensor1.dtype.category < FLOAT and tensor2.dtype.category < FLOAT:
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future  release "
                           "addcdiv will perform a true division of tensor1 and tensor2. The historic "
                           "addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / "
                           "tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
                           "tensor2) for float inputs. The future addcdiv behavior is just the latter "
                           "implementation: (input + value * tensor1 / tensor2), for all dtypes.")


def _value(value, operands):
    """`value` as the result's category takes it (fractions are cut for integers)."""
    c = max([category(x) for x in operands])
    return int(value) if c == INT and type(value) is float else value


def addcmul(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 * tensor2."""
    operands = (input, tensor1, tensor2)
    params = (_value(value, operands),)
    return run(_addcmul.record, operands, params) if out is None else \
        run_out(_addcmul.record, operands, params, out)


def addcdiv(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 / tensor2; integer quotients raise."""
    _check_addcdiv(tensor1, tensor2)
    operands = (input, tensor1, tensor2)
    return run(_addcdiv.record, operands, (value,)) if out is None else \
        run_out(_addcdiv.record, operands, (value,), out)


def _addcmul_inplace(input, tensor1, tensor2, *, value=1):
    return change(_addcmul.record, input, (tensor1, tensor2),
                  (_value(value, (input, tensor1, tensor2)),), "addcmul")


def _addcdiv_inplace(input, tensor1, tensor2, *, value=1):
    _check_addcdiv(tensor1, tensor2)
    return change(_addcdiv.record, input, (tensor1, tensor2), (value,), "addcdiv")


register("addcmul", addcmul, inplace=_addcmul_inplace)
register("addcdiv", addcdiv, inplace=_addcdiv_inplace)


# ---------------------------------------------------------------- cleaning, taking apart

_nan_to_num = pointwise("nan_to_num(Tensor self, Scalar nan, Scalar posinf, Scalar neginf) -> Tensor",
                        lambda x, n, p, m: s.where(s.isnan(x), n, s.where(
                            x == np.inf, p, s.where(x == -np.inf, m, x))),
                        vjp={"self": lambda g, self: keep_where(self.isfinite(), g)})


def _nan_to_num_params(input, nan, posinf, neginf):
    limits = dtypes.finfo(input.dtype)
    return (0.0 if nan is None else nan, limits.max if posinf is None else posinf,
            limits.min if neginf is None else neginf)


def nan_to_num(input, nan=None, posinf=None, neginf=None, *, out=None):
    """NaN, +inf and -inf replaced: by 0 and the type's largest and smallest numbers unless told."""
    c = input.dtype.category
    if c < FLOAT:
        r = input.clone()
        return r if out is None else out.copy_(r)
    if c == COMPLEX:
        from ..registry import function as named
        parts = named("view_as_real")(input.resolve_conj())
        r = named("view_as_complex")(nan_to_num(parts, nan, posinf, neginf).contiguous())
        return (named("empty_like")(input) if out is None else out).copy_(r)
    params = _nan_to_num_params(input, nan, posinf, neginf)
    return run(_nan_to_num.record, (input,), params) if out is None else \
        run_out(_nan_to_num.record, (input,), params, out)


def _nan_to_num_inplace(input, nan=None, posinf=None, neginf=None):
    if input.dtype.category != FLOAT:
        return input.copy_(nan_to_num(input, nan, posinf, neginf))
    return change(_nan_to_num.record, input, (), _nan_to_num_params(input, nan, posinf, neginf),
                  "nan_to_num")


register("nan_to_num", nan_to_num, inplace=_nan_to_num_inplace)

_angle_real = pointwise("angle.real(Tensor self) -> Tensor",
                        lambda x: s.where(s.isnan(x), x, s.where(x < 0, np.pi, 0.0)), promote="float",
                        node="AngleBackward0", vjp={"self": nothing})


def _angle_grad(g, self):
    modulus = self.abs()
    unit = (self / (modulus * modulus)).masked_fill(modulus == 0, 0)
    return unit * 1j * g


@primitive("angle(Tensor self) -> Tensor", vjp={"self": _angle_grad})
def _angle_complex(a):
    return np.array(np.angle(a), order="C")


@public(out=True)
def angle(input):
    """Angle of complex numbers in radians; of real ones 0 or, if negative, pi."""
    if input.dtype.category == COMPLEX:
        return _angle_complex(input)
    return run(_angle_real.record, (input,), ())


@primitive("frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)",
           vjp={"self": lambda g0, out1: g0 / out1.to(g0.dtype).exp2()}, node="FrexpBackward0")
def _frexp(a):
    from ..reduce_common import narrow, wide
    m, e = np.frexp(wide(a))
    return narrow(m, a.dtype), np.asarray(e, np.int32)


@public()
def frexp(input, *, out=None):
    """The named tuple (mantissa, exponent) with input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1."""
    from ...return_types import frexp as struct
    if input.dtype.category != FLOAT:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    r = _frexp(input)
    if out is not None:
        from ..out import write
        for x, o in zip(r, out):
            write("frexp", x, o)
        r = out
    return struct(r)


@public()
def dist(input, other, p=2):
    """The p-norm of input - other."""
    from ..registry import function as named
    return named("norm")(input - other, p)


