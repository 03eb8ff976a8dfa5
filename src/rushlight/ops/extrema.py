"""Largest and smallest elements, and where they are."""

import numpy as np

from ..dtypes import COMPLEX, scalar_name
from ..record import NONDIFF, Joint
from ..return_types import aminmax as aminmax_struct
from ..return_types import max as max_struct
from ..return_types import min as min_struct
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.tensor import Tensor
from .dispatch import primitive
from .pointwise.forms import need_tensor
from .reduce_common import (
    I64,
    axes_of,
    kept,
    kernel,
    narrow,
    no_identity,
    reduce,
    reduced_shape,
    wide,
)
from .reduction import publish
from .registry import FUNCTIONS

_POSITIONS = NONDIFF("integer result")


def from_positions(g, dim, indices, shape, keepdim):
    """Gradient of picking `indices` along `dim`: g at those places, zero elsewhere."""
    if not shape:
        return g
    if not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return g.new_zeros(shape).scatter(dim, indices, g)


# ---------------------------------------------------------------- values only

def _extreme_grad(g, self, out, dim, keepdim):
    """Shared evenly by all elements equal to the extremum; where that is NaN, nothing is, and gradients are NaN."""
    shape = self._a.shape
    if not shape:
        return g
    return _shared(kept(g, shape, dim, keepdim), self == kept(out, shape, dim, keepdim), dim)


def _shared(g, mask, dim):
    n = mask.sum(None if dim is None else list(dim), True)
    return mask * (g / n)


def _matches(x, value):
    mask = x == value
    if not _has_nan(value):
        return mask
    return mask | (x.isnan() & value.isnan())


def _has_nan(t):
    # (A capture takes the longer way always, which is right for all numbers.)
    return watch.listener is not None or type(t._a) is np.ndarray and bool(np.isnan(wide(t._a)).any())


def _all_grad(g, self, out):
    """Shared evenly by all elements equal to the extremum (all NaN ones, if it is NaN)."""
    return _shared(g, _matches(self, out), None) if self._a.shape else g


def _extreme(ufunc, a, axes, keepdim):
    d = a.dtype
    k = kernel("max" if ufunc is np.maximum else "min", d, d)
    if k is not None:
        return reduce(k, a, axes, keepdim, d)
    x = wide(a)
    if axes == ():
        return a.copy()
    return narrow(ufunc.reduce(x, axes, None, None, keepdim), d)


@primitive("amax(Tensor self, int[] dim, bool keepdim) -> Tensor", vjp={"self": _extreme_grad},
           samples="reduction", reference="amax")
def _amax(a, axes, keepdim):
    return _extreme(np.maximum, a, axes, keepdim)


@primitive("amin(Tensor self, int[] dim, bool keepdim) -> Tensor", vjp={"self": _extreme_grad},
           samples="reduction", reference="amin")
def _amin(a, axes, keepdim):
    return _extreme(np.minimum, a, axes, keepdim)


@primitive("max(Tensor self) -> Tensor", node="MaxBackward1", vjp={"self": _all_grad})
def _max_all(a):
    return _extreme(np.maximum, a, None, False)


@primitive("min(Tensor self) -> Tensor", node="MinBackward1", vjp={"self": _all_grad})
def _min_all(a):
    return _extreme(np.minimum, a, None, False)


def _real(input, name):
    if input.dtype.category == COMPLEX:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(input.dtype)}'")


def amax(input, dim=(), keepdim=False):
    """The largest element over `dim` (default: all); ties share the gradient."""
    _real(input, "max_values_cpu")
    axes = axes_of(dim, input._a.ndim)
    no_identity("amax", input._a.shape, axes)
    return _amax(input, axes, bool(keepdim))


def amin(input, dim=(), keepdim=False):
    """The smallest element over `dim` (default: all); ties share the gradient."""
    _real(input, "min_values_cpu")
    axes = axes_of(dim, input._a.ndim)
    no_identity("amin", input._a.shape, axes)
    return _amin(input, axes, bool(keepdim))


publish("amax", amax)
publish("amin", amin)


# ---------------------------------------------------------------- with positions

def _pick_grad(g0, self_shape, dim, keepdim, out1):
    return (from_positions(g0, dim, out1, self_shape, keepdim),)


def _with_position(search, a, dim, keepdim):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    k = kernel("max_index" if search is np.argmax else "min_index", a.dtype, (a.dtype, I64))
    if k is not None:
        shape = reduced_shape(a.shape, (dim,), keepdim)
        values, at = empty(shape, a.dtype), empty(shape, I64)
        k(values, at, a, 1 << dim)
        return values, at
    at = search(wide(a), dim)
    index = np.expand_dims(at, dim)
    values = np.take_along_axis(a, index, dim)
    if keepdim:
        return values, index.astype(I64, copy=False)
    return np.squeeze(values, dim).copy(), np.asarray(at, I64)


@primitive("max.dim(Tensor self, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           vjp=Joint(_pick_grad))
def _max_dim(a, dim, keepdim):
    return _with_position(np.argmax, a, dim, keepdim)


@primitive("min.dim(Tensor self, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           vjp=Joint(_pick_grad))
def _min_dim(a, dim, keepdim):
    return _with_position(np.argmin, a, dim, keepdim)


def _three_forms(name, everything, along, struct, pairwise):
    def function(input, dim=None, keepdim=False, *, other=None, out=None, axis=None, keepdims=False):
        if axis is not None:
            dim = axis
        keepdim = keepdim or keepdims
        if other is None and isinstance(dim, Tensor):
            other = dim
        if other is not None:
            return FUNCTIONS["torch"][pairwise](input, other, out=out)
        if type(input) is not Tensor:
            need_tensor(name, input)
        if dim is None:
            if not input._a.size:
                no_identity(name, input._a.shape, None)
            _real(input, name + "_all")
            r = everything(input)
            return _into(name, r, out) if out is not None else r
        if input.dtype.category == COMPLEX:
            raise RuntimeError(f"{name}(): does not support complex input")
        d, = axes_of(dim, input._a.ndim) or (0,)
        if input._a.ndim:
            no_identity(name, input._a.shape, (d,))
        r = struct(along(input, d, bool(keepdim)))
        return r if out is None else _into_all(name, r, out, struct)
    function.__doc__ = (f"The {name}imum of all elements; with `dim` the named tuple (values, indices) "
                        "along it, the first of equal ones; with a second tensor the elementwise "
                        f"{pairwise}.")
    function.__name__ = function.__qualname__ = name
    FUNCTIONS.setdefault("torch", {})[name] = function
    from .registry import METHODS
    METHODS[name] = function
    return function


def _into(name, r, out):
    from .out import write
    write(name, r, out)
    return out


def _into_all(name, results, out, struct):
    for r, o in zip(results, out):
        _into(name, r, o)
    return struct(tuple(out))


max = _three_forms("max", _max_all, _max_dim, max_struct, "maximum")
min = _three_forms("min", _min_all, _min_dim, min_struct, "minimum")


@primitive("argmax(Tensor self, int? dim, bool keepdim) -> Tensor", vjp=_POSITIONS,
           samples="reduction_position", reference="argmax")
def _argmax(a, dim, keepdim):
    return _position(np.argmax, a, dim, keepdim)


@primitive("argmin(Tensor self, int? dim, bool keepdim) -> Tensor", vjp=_POSITIONS,
           samples="reduction_position", reference="argmin")
def _argmin(a, dim, keepdim):
    return _position(np.argmin, a, dim, keepdim)


def _position(search, a, dim, keepdim):
    if not a.ndim:
        return np.zeros((), I64)
    k = kernel("argmax" if search is np.argmax else "argmin", a.dtype, I64)
    if k is not None:
        return reduce(k, a, None if dim is None else (dim,), keepdim, I64)
    r = np.asarray(search(wide(a), dim), I64)
    if keepdim:
        return r.reshape((1,) * a.ndim) if dim is None else np.expand_dims(r, dim).copy()
    return r


def _position_function(name, call):
    def function(input, dim=None, keepdim=False):
        if input.dtype.category == COMPLEX:
            raise RuntimeError(f"{name}(): does not support complex input")
        if input.dtype.category == 0:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
        shape = input._a.shape
        if dim is not None:
            dim, = axes_of(dim, len(shape)) or (0,)
            if shape:
                no_identity(name, shape, (dim,))
        elif 0 in shape:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        return call(input, dim, bool(keepdim))
    function.__doc__ = (f"Position of the {name[3:]}imum along `dim`, or in the flattened tensor; of equal "
                        "ones the first.")
    publish(name, function)
    return function


argmax = _position_function("argmax", _argmax)
argmin = _position_function("argmin", _argmin)


# ---------------------------------------------------------------- both at once

def _aminmax_grad(g0, g1, self, dim, keepdim, out0, out1):
    axes = None if dim is None else (dim,)
    low = _extreme_grad(g0, self, out0, axes, keepdim)
    return (low + _extreme_grad(g1, self, out1, axes, keepdim),)


@primitive("aminmax(Tensor self, int? dim, bool keepdim) -> (Tensor min, Tensor max)",
           vjp=Joint(_aminmax_grad))
def _aminmax(a, dim, keepdim):
    axes = None if dim is None else (dim,) if a.ndim else ()
    return _extreme(np.minimum, a, axes, keepdim), _extreme(np.maximum, a, axes, keepdim)


def aminmax(input, *, dim=None, keepdim=False):
    """The named tuple (min, max) over `dim`, or over all elements."""
    shape = input._a.shape
    if dim is not None:
        dim, = axes_of(dim, len(shape)) or (0,)
        if shape and shape[dim] == 0:
            raise IndexError(f"aminmax: Expected reduction dim {dim} to have non-zero size.")
    elif 0 in shape:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has "
                           "no identity.")
    _real(input, "aminmax")
    return aminmax_struct(_aminmax(input, dim, bool(keepdim)))


def _aminmax_function(input, *, dim=None, keepdim=False, out=None):
    r = aminmax(input, dim=dim, keepdim=keepdim)
    for o in out or ():
        if o.dtype is not input.dtype:
            raise RuntimeError(f"Expected out tensor to have dtype {input.dtype.name}, but got "
                               f"{o.dtype.name} instead")
    return r if out is None else _into_all("aminmax", r, out, aminmax_struct)


publish("aminmax", aminmax)
FUNCTIONS["torch"]["aminmax"] = _aminmax_function
_aminmax_function.__doc__, _aminmax_function.__name__ = aminmax.__doc__, "aminmax"

