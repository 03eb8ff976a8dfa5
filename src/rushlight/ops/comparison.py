"""Comparisons, logic and tests: results are bool."""

import numpy as np

from ..compiler import scalar as s
from ..dtypes import COMPLEX, FLOAT, scalar_name
from ..dtypes import bool_ as _bool
from ..record import NONDIFF
from ..tensor import watch
from ..tensor.tensor import Tensor
from .pointwise.core import change, pointwise, publish, run, run_out
from .pointwise.forms import need_tensor, register
from .registry import FUNCTIONS, public

_INF = float("inf")

_BOOLEAN = NONDIFF("bool result")


def _compare(name, aliases, doc, ordered=True):
    formula = getattr(s, name)
    call = pointwise(f"{name}.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: formula(a, b),
                     promote="compare", vjp=_BOOLEAN, doc=doc, samples="binary_kinks",
                     reference={"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
                                "gt": "greater", "ge": "greater_equal"}[name])
    rec = call.record

    def check(input, other):
        need_tensor(name, input)
        if ordered and (input.dtype.category == COMPLEX or type(other) is complex or (
                isinstance(other, Tensor) and other.dtype.category == COMPLEX)):
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'ComplexFloat'")

    def function(input, other, *, out=None):
        check(input, other)
        return run(rec, (input, other), ()) if out is None else run_out(rec, (input, other), (), out)

    def inplace(input, other):
        check(input, other)
        return change(rec, input, (other,), (), name)
    function.__doc__, function.record = doc, rec
    register(name, function, inplace=inplace, aliases=aliases)
    return call


eq = _compare("eq", (), "input == other, element by element.", False)
ne = _compare("ne", ("not_equal",), "input != other, element by element.",
              False)
lt = _compare("lt", ("less",), "input < other, element by element.")
le = _compare("le", ("less_equal",), "input <= other, element by element.")
gt = _compare("gt", ("greater",), "input > other, element by element.")
ge = _compare("ge", ("greater_equal",), "input >= other, element by element.")


# ---------------------------------------------------------------- logic


def _logical(name, doc):
    formula = getattr(s, name)
    rec = pointwise(f"{name}(Tensor self, Tensor other) -> Tensor", lambda a, b: formula(a, b),
                    promote="compare", vjp=_BOOLEAN, doc=doc, reference=name,
                    samples="binary_kinks").record

    def function(input, other, *, out=None):
        need_tensor(name, input)
        need_tensor(name, other, 2, "other")
        return run(rec, (input, other), ()) if out is None else run_out(rec, (input, other), (), out)

    def inplace(input, other):
        need_tensor(name, input)
        need_tensor(name, other, 2, "other")
        return change(rec, input, (other,), (), name)
    function.__doc__, function.record = doc, rec
    register(name, function, inplace=inplace)


_logical("logical_and", "Whether input and other are both nonzero.")
_logical("logical_or", "Whether input or other is nonzero.")
_logical("logical_xor", "Whether exactly one of input and other is nonzero.")
publish(pointwise("logical_not(Tensor self) -> Tensor", lambda a: s.logical_not(a), promote="test",
                  vjp=_BOOLEAN, doc="Whether the input is zero.", reference="logical_not",
                  samples="unary_kinks"))

# ---------------------------------------------------------------- tests of numbers


def _test(name, formula, reference, doc, complex_error=None):
    rec = pointwise(f"{name}(Tensor self) -> Tensor", formula, promote="test", vjp=_BOOLEAN, doc=doc,
                    reference=reference, samples="unary_kinks").record

    def function(input, *, out=None):
        if complex_error is not None and input.dtype.category == COMPLEX:
            raise complex_error
        return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)
    function.__doc__, function.record = doc, rec
    register(name, function)


_test("isnan", lambda x: s.isnan(x), "isnan", "Whether the input is NaN (in either part).")
_test("isinf", lambda x: s.isinf(x), "isinf", "Whether the input (or either part) is infinite.")
_test("isfinite", lambda x: s.isfinite(x), "isfinite", "Whether the input is neither infinite nor NaN.")
_test("isposinf", lambda x: x == _INF, "isposinf", "Whether the input is +inf.",
      RuntimeError("isposinf does not support complex inputs."))
_test("isneginf", lambda x: x == -_INF, "isneginf", "Whether the input is -inf.",
      RuntimeError("isneginf does not support complex inputs."))
_test("signbit", lambda x: s.signbit(x), "signbit", "Whether the sign bit is set (-0.0 counts).",
      NotImplementedError("signbit is not implemented for complex tensors."))


@public()
def isreal(input):
    """Whether the imaginary part is zero; true for real types."""
    if input.dtype.category == COMPLEX:
        return input.imag == 0
    return FUNCTIONS["torch"]["ones_like"](input, dtype=_bool)


_isclose = pointwise(
    "isclose(Tensor self, Tensor other, Scalar rtol, Scalar atol) -> Tensor",
    lambda a, b, r, t: s.logical_or(a == b, s.logical_and(
        s.isfinite(b), s.abs(a - b) <= t + s.abs(r * b))), promote="compare", vjp=_BOOLEAN)
_isclose_nan = pointwise(
    "isclose.equal_nan(Tensor self, Tensor other, Scalar rtol, Scalar atol) -> Tensor",
    lambda a, b, r, t: s.logical_or(s.logical_or(a == b, s.logical_and(s.isnan(a), s.isnan(b))),
                                    s.logical_and(s.isfinite(b), s.abs(a - b) <= t + s.abs(r * b))),
    promote="compare", vjp=_BOOLEAN)


@public()
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol * |other|, or equal; NaN are close only with equal_nan."""
    need_tensor("isclose", input)
    need_tensor("isclose", other, 2, "other")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{scalar_name(input.dtype)} did not match {scalar_name(other.dtype)}")
    if rtol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol}")
    if atol < 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol}")
    if input.dtype.category < FLOAT:
        if rtol == 0 and atol == 0:
            return eq(input, other)
        # Integers are compared exactly first: large ones are not representable as floats.
        same = eq(input, other)
        return same | run(_isclose.record, (input.double(), other.double()), (rtol, atol))
    rec = (_isclose_nan if equal_nan else _isclose).record
    return run(rec, (input, other), (rtol, atol))


@public()
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close (see isclose), as a Python bool."""
    return watch.true(np.all, isclose(input, other, rtol, atol, equal_nan))


_count = np.count_nonzero


@public()
def equal(input, other):
    """Whether both have the same shape and the same elements, as a Python bool."""
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not "
                        f"{type(other).__name__}")
    if input._a.shape != other._a.shape:
        return False
    same = eq(input, other)
    if watch.listener is not None:
        return watch.true(np.all, same)
    return bool(_count(same._a) == same._a.size)


@public()
def is_nonzero(input):
    """Whether a one-element tensor is not zero."""
    if input._a.size != 1:
        raise RuntimeError("Boolean value of Tensor with " + (
            "no values" if not input._a.size else "more than one value") + " is ambiguous")
    return bool(input)
