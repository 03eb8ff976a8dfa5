"""Arithmetic: sums, products, quotients, remainders, powers."""

from ...compiler import scalar as s
from ...dtypes import BOOL, COMPLEX, FLOAT, INT
from ...tensor.tensor import Tensor
from .core import change, pointwise, publish, run, run_out
from .forms import category, conj, has_zero, need_tensor, register

# ---------------------------------------------------------------- sums

add = pointwise("add.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: a + b,
                vjp={"self": lambda g: g, "other": lambda g: g},
                reference="add", samples="binary",
                doc="input + alpha * other.")

_add_alpha = pointwise("add.alpha(Tensor self, Tensor other, Scalar alpha) -> Tensor",
                       lambda a, b, alpha: a + alpha * b,
                       vjp={"self": lambda g: g, "other": lambda g, alpha: g * conj(alpha)})

sub = pointwise("sub.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: a - b,
                vjp={"self": lambda g: g, "other": lambda g: -g},
                reference="subtract", samples="binary",
                doc="input - alpha * other.")

_sub_alpha = pointwise("sub.alpha(Tensor self, Tensor other, Scalar alpha) -> Tensor",
                       lambda a, b, alpha: a - alpha * b,
                       vjp={"self": lambda g: g, "other": lambda g, alpha: g * -conj(alpha)})

_rsub = pointwise("rsub(Tensor self, Tensor other) -> Tensor", lambda a, b: b - a, node="RsubBackward1",
                  vjp={"self": lambda g: -g, "other": lambda g: g})


def _check_alpha(input, other, alpha):
    """alpha must fit the result's category."""
    c = max(category(input), category(other))
    if type(alpha) is bool and c != BOOL:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if c < FLOAT and not isinstance(alpha, (bool, int)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point "
                           "number.")
    if c != COMPLEX and isinstance(alpha, complex):
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")


_BOOL_MINUS = ("Subtraction, the `-` operator, with {} is not supported. If you are trying to invert a "
               "mask, use the `~` or `logical_not()` operator instead.")


def _check_sub(a, b):
    x, y = _is_bool(a), _is_bool(b)
    if x and y:
        raise RuntimeError(_BOOL_MINUS.format("two bool tensors"))
    if x or y:
        raise RuntimeError(_BOOL_MINUS.format("a bool tensor"))


def _is_bool(x):
    return x.dtype.category == BOOL if isinstance(x, Tensor) else type(x) is bool


def _sum_function(name, rec, rec_alpha, minus):
    def function(input, other, *, alpha=1, out=None):
        r, params = rec, ()
        if minus:
            _check_sub(input, other)
        if alpha is not True and alpha != 1 or type(alpha) is not int:
            _check_alpha(input, other, alpha)
            r, params = rec_alpha, (alpha,)
        if out is None:
            return run(r, (input, other), params)
        return run_out(r, (input, other), params, out)

    def inplace(input, other, *, alpha=1):
        r, params = rec, ()
        if minus:
            _check_sub(input, other)
        if type(alpha) is not int or alpha != 1:
            _check_alpha(input, other, alpha)
            r, params = rec_alpha, (alpha,)
        return change(r, input, (other,), params, name)
    function.record = inplace.record = rec
    function.__doc__ = rec.doc
    return function, inplace


_f, _i = _sum_function("add", add.record, _add_alpha.record, False)
register("add", _f, inplace=_i)
_f, _i = _sum_function("sub", sub.record, _sub_alpha.record, True)
register("sub", _f, inplace=_i, aliases=("subtract",))


def _rsub_function(input, other, *, alpha=1):
    """other - alpha * input."""
    need_tensor("rsub", input)
    _check_sub(input, other)
    if type(alpha) is not int or alpha != 1:
        _check_alpha(input, other, alpha)
        if not isinstance(other, Tensor):
            input = mul(input, alpha)
            return run(_rsub.record, (input, other), ())
        return run(_sub_alpha.record, (other, input), (alpha,))
    return run(_rsub.record, (input, other), ())


register("rsub", _rsub_function)

# ---------------------------------------------------------------- products, quotients

mul = pointwise("mul.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: a * b,
                vjp={"self": lambda g, other: g * conj(other), "other": lambda g, self: g * conj(self)},
                reference="multiply", samples="binary", doc="input * other.")
publish(mul, aliases=("multiply",))

div = pointwise("div.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: s.div(a, b),
                promote="float",
                vjp={"self": lambda g, other: g / conj(other),
                     "other": lambda g, self, other: _div_other(g, self, other)},
                reference="divide", samples="binary", doc="input / other, of integers in the default float type.")

_div_other_real = pointwise("div.other_grad(Tensor g, Tensor self, Tensor other) -> Tensor",
                            lambda g, a, b: -g * ((a / b) / b), node="DivBackward1")


def _div_other(g, self, other):
    if g.dtype.is_complex:
        return -g * conj((self / other) / other)
    return _div_other_real(g, self, other)


_div_floor = pointwise("div.floor(Tensor self, Tensor other) -> Tensor", lambda a, b: s.floor_divide(a, b),
                       node="DivBackward2", vjp={"self": lambda g: None, "other": lambda g: None})
_div_trunc = pointwise("div.trunc(Tensor self, Tensor other) -> Tensor", lambda a, b: s.trunc_divide(a, b),
                       node="DivBackward2", vjp={"self": lambda g: None, "other": lambda g: None})


def _div_record(input, other, mode):
    if mode is None:
        return div.record
    if mode != "floor" and mode != "trunc":
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{mode}'")
    if max(category(input), category(other)) == COMPLEX:
        raise RuntimeError(f"div(): rounding_mode='{mode}' is not defined for complex numbers")
    c = max(category(input), category(other))
    if c < FLOAT:
        if c == BOOL:
            raise NotImplementedError(f"\"div_{mode}_cpu\" not implemented for 'Bool'")
        if has_zero(other):
            raise RuntimeError("ZeroDivisionError")
    return _div_floor.record if mode == "floor" else _div_trunc.record


def _div_function(input, other, *, rounding_mode=None, out=None):
    """input / other; rounded toward zero with ``"trunc"``, down with ``"floor"``."""
    rec = div.record if rounding_mode is None else _div_record(input, other, rounding_mode)
    if out is None:
        return run(rec, (input, other), ())
    return run_out(rec, (input, other), (), out)


def _div_inplace(input, other, *, rounding_mode=None):
    return change(_div_record(input, other, rounding_mode), input, (other,), (), "div")


_div_function.record = div.record
register("div", _div_function, inplace=_div_inplace, aliases=("divide",))
publish(div, "true_divide")


def floor_divide(input, other, *, out=None):
    """floor(input / other); integers stay integers, a zero among them raises."""
    rec = _div_record(input, other, "floor")
    if out is None:
        return run(rec, (input, other), ())
    return run_out(rec, (input, other), (), out)


floor_divide.record = _div_floor.record
register("floor_divide", floor_divide,
         inplace=lambda input, other: change(_div_record(input, other, "floor"), input, (other,), (),
                                             "floor_divide"))

# ---------------------------------------------------------------- remainders

_fmod = pointwise("fmod.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: s.fmod(a, b),
                  node="FmodBackward1",
                  vjp={"self": lambda g: g,
                       "other": lambda g, self, other: -g * _div_function(self, other,
                                                                          rounding_mode="trunc")},
                  doc="Remainder of the division rounded toward zero; has the sign of `input`.")
_fmod_scalar = pointwise("fmod.Scalar(Tensor self, Tensor other) -> Tensor", lambda a, b: s.fmod(a, b),
                         vjp={"self": lambda g: g})
_remainder = pointwise("remainder.Tensor(Tensor self, Tensor other) -> Tensor",
                       lambda a, b: s.remainder(a, b), node="RemainderBackward1",
                       vjp={"self": lambda g: g,
                            "other": lambda g, self, other: -g * _div_function(self, other,
                                                                               rounding_mode="floor")},
                       doc="Remainder of the division rounded down (Python's ``%``).")
_remainder_scalar = pointwise("remainder.Scalar(Tensor self, Tensor other) -> Tensor",
                              lambda a, b: s.remainder(a, b), vjp={"self": lambda g: g})


def _remainder_function(name, rec, rec_scalar):
    def select(input, other):
        if name == "fmod":
            need_tensor(name, input)
        c = max(category(input), category(other))
        if c == COMPLEX or c == BOOL:
            raise NotImplementedError(f'"{name}_cpu" not implemented for '
                                      f"'{'Bool' if c == BOOL else 'ComplexFloat'}'")
        if c == INT and has_zero(other):
            raise RuntimeError("ZeroDivisionError")
        return rec if isinstance(other, Tensor) else rec_scalar

    def function(input, other, *, out=None):
        r = select(input, other)
        if out is None:
            return run(r, (input, other), ())
        return run_out(r, (input, other), (), out)

    def inplace(input, other):
        return change(select(input, other), input, (other,), (), name)
    function.__doc__ = rec.doc
    register(name, function, inplace=inplace)


_remainder_function("fmod", _fmod.record, _fmod_scalar.record)
_remainder_function("remainder", _remainder.record, _remainder_scalar.record)

# ---------------------------------------------------------------- powers

# Exponents 0 and base 0 have gradients that the rule x ** (y - 1) does not give: the derivative of
# formulas handles them (see compiler.derivative).
_pow_scalar = pointwise("pow.Tensor_Scalar(Tensor self, Tensor exponent) -> Tensor",
                        lambda a, b: s.pow(a, b), node="PowBackward0", saves="result")
_pow_tensor = pointwise("pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
                        lambda a, b: s.pow(a, b), node="PowBackward1", saves="result",
                        reference="power", samples="binary_positive")
_pow_base = pointwise("pow.Scalar(Tensor self, Tensor exponent) -> Tensor",
                      lambda a, b: s.pow(a, b), node="PowBackward2", saves="result")
_pow_fixed = {}


def _fixed_power(p):
    """The record of ``x ** p`` for an exponent that has a cheaper formula."""
    name = str(p).replace("-", "m").replace(".", "_")
    f = pointwise(f"pow.fixed_{name}(Tensor self) -> Tensor",
                  lambda x: s.pow(x, s.const(p, "f") if type(p) is float else p), node="PowBackward0")
    _pow_fixed[p] = f.record


for _p in (2, 3, 0.5, -0.5, -1.0, -2.0):
    _fixed_power(_p)


def _pow_record(base, exponent):
    """(record, operands) for ``base ** exponent``."""
    if isinstance(exponent, Tensor):
        if isinstance(base, Tensor):
            if base.dtype.category < FLOAT and exponent.dtype.category < FLOAT:
                _refuse_bool_pow(base, exponent)
            return _pow_tensor.record, (base, exponent)
        return _pow_base.record, (base, exponent)
    if type(base) is not Tensor:
        need_tensor("pow", base)
    t = type(exponent)
    if t is int or t is float:
        c = base.dtype.category
        if c == FLOAT:
            rec = _pow_fixed.get(exponent)
            if rec is not None:
                return rec, (base,)
        elif c == INT and t is int:
            if exponent < 0:
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            if exponent == 2 or exponent == 3:
                return _pow_fixed[exponent], (base,)
    return _pow_scalar.record, (base, exponent)


def _refuse_bool_pow(a, b):
    if a.dtype.category == BOOL and b.dtype.category == BOOL:
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")


def pow(input, exponent, *, out=None):
    """input ** exponent; either may be a number.

    Integers to negative integer scalar powers raise RuntimeError.
    """
    rec, operands = _pow_record(input, exponent)
    if out is None:
        return run(rec, operands, ())
    return run_out(rec, operands, (), out)


def _pow_inplace(input, exponent):
    rec, operands = _pow_record(input, exponent)
    return change(rec, input, operands[1:], (), "pow")


register("pow", pow, inplace=_pow_inplace)


def square(input, *, out=None):
    """input * input."""
    return pow(input, 2, out=out)


def float_power(input, exponent, *, out=None):
    """input ** exponent in double precision (complex128 if either is complex)."""
    from ... import dtypes
    to = dtypes.complex128 if max(category(input), category(exponent)) == COMPLEX else dtypes.float64
    cast = [x.to(to) if isinstance(x, Tensor) else
            (complex(x) if to is dtypes.complex128 else float(x)) for x in (input, exponent)]
    if out is not None and out.dtype is not to:
        raise RuntimeError(f"the output given to float_power has dtype {_type(out)} but the operation's "
                           f"result requires dtype {'Double' if to is dtypes.float64 else 'ComplexDouble'}")
    return pow(*cast, out=out)


def _type(t):
    from ...dtypes import scalar_name
    return scalar_name(t.dtype)


def _float_power_inplace(input, exponent):
    from ... import dtypes
    to = dtypes.complex128 if max(category(input), category(exponent)) == COMPLEX else dtypes.float64
    if input.dtype is not to:
        raise RuntimeError(f"the base given to float_power_ has dtype {_type(input)} but the operation's "
                           f"result requires dtype {'Double' if to is dtypes.float64 else 'ComplexDouble'}")
    return _pow_inplace(input, exponent)


register("square", square, inplace=lambda input: _pow_inplace(input, 2))
register("float_power", float_power, inplace=_float_power_inplace)

# ---------------------------------------------------------------- one operand

neg = pointwise("neg(Tensor self) -> Tensor", lambda x: -x, vjp={"self": lambda g: -g},
                reference="negative", samples="unary", doc="-input; bool tensors raise.")


def _neg(input, *, out=None):
    """-input; bool tensors raise."""
    _check_neg(input)
    if out is None:
        return run(neg.record, (input,), ())
    return run_out(neg.record, (input,), (), out)


def _check_neg(input):
    if isinstance(input, Tensor) and input.dtype.category == BOOL:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are "
                           "trying to invert a mask, use the `~` or `logical_not()` operator instead.")


def _neg_inplace(input):
    _check_neg(input)
    return change(neg.record, input, (), (), "neg")


_neg.record = neg.record
register("neg", _neg, inplace=_neg_inplace, aliases=("negative",))

abs = pointwise("abs(Tensor self) -> Tensor", lambda x: s.abs(x), promote="real",
                vjp={"self": lambda g, self: g * self.sgn()},
                reference="absolute", samples="unary", doc="|input|; of complex numbers the modulus.")


def _check_abs(input):
    if isinstance(input, Tensor) and input.dtype.category == BOOL:
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")


def _abs(input, *, out=None):
    """|input|; of complex numbers the modulus."""
    _check_abs(input)
    return run(abs.record, (input,), ()) if out is None else run_out(abs.record, (input,), (), out)


def _abs_inplace(input):
    _check_abs(input)
    if input.dtype.category == COMPLEX:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return change(abs.record, input, (), (), "abs")


_abs.record = abs.record
register("abs", _abs, inplace=_abs_inplace, aliases=("absolute",))

reciprocal = pointwise("reciprocal(Tensor self) -> Tensor", lambda x: s.reciprocal(x), promote="float",
                       saves="result",
                       vjp={"self": lambda g, out: -g * conj(out * out)},
                       reference="reciprocal", samples="unary_positive", doc="1 / input.")
publish(reciprocal)


def positive(input):
    """The input itself; bool tensors raise."""
    if input.dtype.category == BOOL:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


register("positive", positive)
