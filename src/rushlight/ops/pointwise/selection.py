"""Choosing between values: where, clamp, maximum, minimum and their relatives."""

from ...compiler import scalar as s
from ...dtypes import BOOL, COMPLEX
from ...record import Joint
from ...tensor.tensor import Tensor
from .core import change, pointwise, run, run_out
from .forms import need_tensor, register

# ---------------------------------------------------------------- where


def _zeros_where(condition, g):
    return run(_where.record, (condition, g, 0), ())


def _where_grad(g, condition, needs):
    return (None,
            run(_where.record, (condition, g, 0), ()) if needs[1] else None,
            run(_where.record, (condition, 0, g), ()) if needs[2] else None)


_where = pointwise("where.self(Tensor condition, Tensor self, Tensor other) -> Tensor",
                   lambda c, a, b: s.where(c, a, b), vjp=Joint(_where_grad))


def where(condition, input=None, other=None, *, out=None):
    """`input` where the bool `condition` holds, else `other`; with `condition` alone the indices of its
    true elements, one tensor a dimension.
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' (position 1) must be Tensor, not "
                        f"{type(condition).__name__}")
    d = condition.dtype
    if d.category != BOOL and d.name != "uint8":
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with "
                           f"dtype {_type(condition)}")
    if out is None:
        return run(_where.record, (condition, input, other), ())
    return run_out(_where.record, (condition, input, other), (), out)


def _type(t):
    from ...dtypes import scalar_name
    return scalar_name(t.dtype)


register("where", where, method=False)


def _where_method(self, condition, other):
    """`self` where the condition holds, else `other`."""
    return where(condition, self, other)


register("where", _where_method, namespaces=())

# ---------------------------------------------------------------- clamp

# Both bounds belong to the range: there the gradient passes.
_pass_between = pointwise("clamp.grad(Tensor g, Tensor self, Tensor min, Tensor max) -> Tensor",
                          lambda g, x, a, b: s.where(s.logical_and(x >= a, x <= b), g, 0),
                          vjp={"g": lambda g, self, min, max: _pass_between(g, self, min, max),
                               "self": lambda g: None, "min": lambda g: None, "max": lambda g: None})
_pass_above = pointwise("clamp.min_grad(Tensor g, Tensor self, Tensor min) -> Tensor",
                        lambda g, x, a: s.where(x >= a, g, 0),
                        vjp={"g": lambda g, self, min: _pass_above(g, self, min),
                             "self": lambda g: None, "min": lambda g: None})
_pass_below = pointwise("clamp.max_grad(Tensor g, Tensor self, Tensor max) -> Tensor",
                        lambda g, x, b: s.where(x <= b, g, 0),
                        vjp={"g": lambda g, self, max: _pass_below(g, self, max),
                             "self": lambda g: None, "max": lambda g: None})

_clamp = pointwise("clamp(Tensor self, Tensor min, Tensor max) -> Tensor",
                   lambda x, a, b: s.minimum(s.maximum(x, a), b), node="ClampBackward1",
                   vjp={"self": lambda g, self, min, max: _pass_between(g, self, min, max)})
_clamp_low = pointwise("clamp.low(Tensor self, Tensor min) -> Tensor",
                       lambda x, a: s.maximum(x, a), node="ClampBackward1",
                       vjp={"self": lambda g, self, min: _pass_above(g, self, min)})
_clamp_high = pointwise("clamp.high(Tensor self, Tensor max) -> Tensor",
                        lambda x, b: s.minimum(x, b), node="ClampBackward1",
                        vjp={"self": lambda g, self, max: _pass_below(g, self, max)})
_clamp_min = pointwise("clamp_min(Tensor self, Tensor min) -> Tensor",
                       lambda x, a: s.maximum(x, a),
                       vjp={"self": lambda g, self, min: _pass_above(g, self, min)})
_clamp_max = pointwise("clamp_max(Tensor self, Tensor max) -> Tensor",
                       lambda x, b: s.minimum(x, b),
                       vjp={"self": lambda g, self, max: _pass_below(g, self, max)})


def _clamp_tensor_grad(g, self, min, max, needs):
    w = _where.record

    def keep(condition):
        return run(w, (condition, g, 0), ())
    return (keep((self >= min) & (self <= max)) if needs[0] else None,
            keep((min < max) & (self < min)) if needs[1] else None,
            keep((self > max) | (max < min)) if needs[2] else None)


_clamp_tensor = pointwise("clamp.Tensor(Tensor self, Tensor min, Tensor max) -> Tensor",
                          lambda x, a, b: s.minimum(s.maximum(x, a), b), node="ClampBackward0",
                          vjp=Joint(_clamp_tensor_grad))
_low_vjp = {"self": lambda g, self, min: _zeros_where(self >= min, g),
            "min": lambda g, self, min: _zeros_where(self < min, g)}
_high_vjp = {"self": lambda g, self, max: _zeros_where(self <= max, g),
             "max": lambda g, self, max: _zeros_where(self > max, g)}
_clamp_min_tensor = pointwise("clamp_min.Tensor(Tensor self, Tensor min) -> Tensor",
                              lambda x, a: s.maximum(x, a), node="ClampMinBackward1", vjp=_low_vjp)
_clamp_max_tensor = pointwise("clamp_max.Tensor(Tensor self, Tensor max) -> Tensor",
                              lambda x, b: s.minimum(x, b), node="ClampMaxBackward1", vjp=_high_vjp)
_clamp_low_tensor = pointwise("clamp.Tensor_low(Tensor self, Tensor min) -> Tensor",
                              lambda x, a: s.maximum(x, a), node="ClampBackward0", vjp=_low_vjp)
_clamp_high_tensor = pointwise("clamp.Tensor_high(Tensor self, Tensor max) -> Tensor",
                               lambda x, b: s.minimum(x, b), node="ClampBackward0", vjp=_high_vjp)


def _refuse_complex(input, name):
    if isinstance(input, Tensor) and input.dtype.category == COMPLEX:
        raise RuntimeError(f"{name} is not supported for complex types")


def _clamp_call(input, min, max):
    """(record, operands) of a clamp."""
    _refuse_complex(input, "clamp")
    if min is None:
        if max is None:
            raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
        tensor = isinstance(max, Tensor)
        return (_clamp_high_tensor if tensor else _clamp_high).record, (input, max)
    if max is None:
        tensor = isinstance(min, Tensor)
        return (_clamp_low_tensor if tensor else _clamp_low).record, (input, min)
    low, high = isinstance(min, Tensor), isinstance(max, Tensor)
    if low and high:
        return _clamp_tensor.record, (input, min, max)
    if low or high:
        raise TypeError("clamp() received an invalid combination of arguments - min and max must both "
                        "be Tensors or both be Numbers")
    if min != min or max != max:
        # A NaN bound makes everything NaN.
        nan = float("nan")
        return _clamp.record, (input, nan, nan)
    return _clamp.record, (input, min, max)


def clamp(input, min=None, max=None, *, out=None):
    """min(max(input, min), max) with numbers or tensors as bounds; NaN stays NaN."""
    rec, operands = _clamp_call(input, min, max)
    if out is None:
        return run(rec, operands, ())
    return run_out(rec, operands, (), out)


def _clamp_inplace(input, min=None, max=None):
    rec, operands = _clamp_call(input, min, max)
    return change(rec, input, operands[1:], (), "clamp")


register("clamp", clamp, inplace=_clamp_inplace, aliases=("clip",))


def clamp_min(input, min, *, out=None):
    """max(input, min)."""
    need_tensor("clamp_min", input)
    _refuse_complex(input, "clamp_min")
    rec = (_clamp_min_tensor if isinstance(min, Tensor) else _clamp_min).record
    return run(rec, (input, min), ()) if out is None else run_out(rec, (input, min), (), out)


def clamp_max(input, max, *, out=None):
    """min(input, max)."""
    need_tensor("clamp_max", input)
    _refuse_complex(input, "clamp_max")
    rec = (_clamp_max_tensor if isinstance(max, Tensor) else _clamp_max).record
    return run(rec, (input, max), ()) if out is None else run_out(rec, (input, max), (), out)


def _clamp_min_inplace(input, min):
    rec = _clamp_min_tensor if isinstance(min, Tensor) else _clamp_min
    return change(rec.record, input, (min,), (), "clamp_min")


def _clamp_max_inplace(input, max):
    rec = _clamp_max_tensor if isinstance(max, Tensor) else _clamp_max
    return change(rec.record, input, (max,), (), "clamp_max")


register("clamp_min", clamp_min, inplace=_clamp_min_inplace)
register("clamp_max", clamp_max, inplace=_clamp_max_inplace)

# ---------------------------------------------------------------- maximum, minimum

# Ties share the gradient evenly. Where one is NaN, both get all of it.
_share_self = pointwise("maximum.share(Tensor g, Tensor winner, Tensor loser) -> Tensor",
                        lambda g, a, b: s.where(a == b, g * 0.5, s.where(a < b, 0, g)),
                        vjp={"g": lambda g, winner, loser: _share_self(g, winner, loser),
                             "winner": lambda g: None, "loser": lambda g: None})

maximum = pointwise("maximum(Tensor self, Tensor other) -> Tensor", lambda a, b: s.maximum(a, b),
                    vjp={"self": lambda g, self, other: _share_self(g, self, other),
                         "other": lambda g, self, other: _share_self(g, other, self)},
                    reference="maximum", samples="binary",
                    doc="The larger of two elements; NaN if either is NaN.")
minimum = pointwise("minimum(Tensor self, Tensor other) -> Tensor", lambda a, b: s.minimum(a, b),
                    vjp={"self": lambda g, self, other: _share_self(g, other, self),
                         "other": lambda g, self, other: _share_self(g, self, other)},
                    reference="minimum", samples="binary",
                    doc="The smaller of two elements; NaN if either is NaN.")
fmax = pointwise("fmax(Tensor self, Tensor other) -> Tensor", lambda a, b: s.fmax(a, b),
                 vjp={"self": lambda g, self, other: _zeros_where((self >= other) | other.isnan(), g),
                      "other": lambda g, self, other: _zeros_where(
                          ((self >= other) | other.isnan()).logical_not(), g)},
                 reference="fmax", samples="binary",
                 doc="The larger of two elements; a NaN loses to a number.")
fmin = pointwise("fmin(Tensor self, Tensor other) -> Tensor", lambda a, b: s.fmin(a, b),
                 vjp={"self": lambda g, self, other: _zeros_where((self <= other) | other.isnan(), g),
                      "other": lambda g, self, other: _zeros_where(
                          ((self <= other) | other.isnan()).logical_not(), g)},
                 reference="fmin", samples="binary",
                 doc="The smaller of two elements; a NaN loses to a number.")


def _extremum(call):
    rec = call.record
    name = rec.name

    def function(input, other, *, out=None):
        need_tensor(name, input)
        need_tensor(name, other, 2, "other")
        if input.dtype.category == COMPLEX or other.dtype.category == COMPLEX:
            raise RuntimeError(f"{name} not implemented for complex tensors.")
        if out is None:
            return run(rec, (input, other), ())
        return run_out(rec, (input, other), (), out)
    function.__doc__ = rec.doc
    function.record = rec
    register(name, function)
    return function


for _c in (maximum, minimum, fmax, fmin):
    _extremum(_c)

