"""Distances of all pairs of points.

A kernel takes them, which keeps no differences (``compiler/templates/distances.py``), and another one their gradients,
unless these are to be differentiated themselves.
"""

import math
from functools import cache

import numpy as np

from ...autograd.modes import state
from ...compiler import scalar as s
from ...dtypes import FLOAT, promote_types, scalar_name
from ...record import NOT_IMPLEMENTED, Joint
from ...runtime.allocator import empty
from ...tensor import watch
from ...tensor.tensor import wrap
from ..copy import copy_array
from ..dispatch import primitive
from ..pointwise.core import pointwise
from ..reduce_common import F32, F64, compiled, narrow, wide
from ..registry import public
from .conv_maps import dense

# ---------------------------------------------------------------- kernels

_ELEMENTS = {F32: "float", F64: "double"}


def _kind(p):
    return {0.0: "zero", 1.0: "one", 2.0: "two", math.inf: "inf"}.get(p, "p")


@cache
def _zero(dtype):
    return watch.fixed(np.zeros((1,), dtype))


def _strips(points, width):
    """Points (batches, n, depth) as the columns of strips, (batches, strips, depth, width)."""
    batches, n, depth = points.shape
    count = -(-n // width)
    if count * width != n:
        padded = empty((batches, count * width, depth), points.dtype)
        copy_array(padded, _zero(points.dtype))
        copy_array(padded[:, :n], points)
        points = padded
    return dense(points.reshape(batches, count, width, depth).swapaxes(2, 3))


def _distances(x, y, p, pairs):
    """Distances of x (batches, rows, depth) to y, or among x's points: `pairs`."""
    from ...compiler.templates.distances import _width, distances_kernel
    batches, rows, depth = x.shape
    columns, element = y.shape[1], _ELEMENTS[x.dtype]
    out = empty((rows * (rows - 1) // 2,) if pairs else (batches, rows, columns), x.dtype)
    if out.size:
        watch.launch(distances_kernel(_kind(p), element), out, dense(x), _strips(y, _width(element)), batches, rows,
                     columns, depth, int(pairs), p)
    return out


def _plane(a):
    """(array, elements from row to row, from column to column) of matrices that lie dense one way or the other."""
    if not a.flags.c_contiguous and not a.swapaxes(-1, -2).flags.c_contiguous:
        a = dense(a)
    return a, a.strides[-2] // a.itemsize, a.strides[-1] // a.itemsize


def _slopes(weights, x, y, p, distances):
    """The gradient in x (..., rows, depth) of distances to y, given weights (..., rows, columns); p > 0."""
    kind = _kind(p)
    weights, step, across = _plane(weights)
    if kind == "inf":
        distances, *steps = _plane(distances)
        if steps != [step, across]:
            weights, distances = dense(weights), dense(distances)
            step, across = weights.shape[-1], 1
    else:
        distances = weights
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    rows, depth = x.shape[-2:]
    columns = y.shape[-2]
    out = empty((*lead, rows, depth), x.dtype)
    if out.size and columns:
        from ...compiler.templates.distances import slopes_kernel
        x, y = (dense(np.broadcast_to(z, (*lead, *z.shape[-2:]))) for z in (x, y))
        slopes_kernel(kind, _ELEMENTS[x.dtype])(out, x, y, weights, distances, math.prod(lead), rows, columns, depth,
                                                step, across, p - 1 if kind == "p" else p)
    else:
        out.fill(0)
    return out


def _slopes_of_differences(g, d, out, p):
    """The gradient in differences d (..., depth) of their norms `out` (..., 1)."""
    if p == 0:
        return d * 0 * g
    if p == 1:
        return d.sgn() * g
    if math.isinf(p):
        return d.sgn() * (d.abs() == out) * g
    if p == 2:
        return d * (g / out).masked_fill(out == 0, 0)
    return (d.sgn() * d.abs().pow(p - 1)).masked_fill(d == 0, 0) * (g / out.pow(p - 1)).masked_fill(out == 0, 0)


# ---------------------------------------------------------------- all pairs of two sets


@primitive("_cdist_backward(Tensor weights, Tensor x1, Tensor x2, float p, Tensor cdist) -> Tensor",
           vjp=NOT_IMPLEMENTED("_cdist_backward"))
def _cdist_backward(weights, x1, x2, p, distances):
    """The gradient in x1."""
    return _slopes(weights, x1, x2, p, distances)


# What a difference's part in a distance's slope is multiplied by: nothing where all differences are 0.
_ratio = pointwise("_cdist_ratio(Tensor grad, Tensor cdist) -> Tensor",
                   lambda g, d: s.where(s.eq(d, 0.0), 0.0, g / d))
_power_ratio = pointwise("_cdist_power_ratio(Tensor grad, Tensor cdist, Scalar p) -> Tensor",
                         lambda g, d, p: s.where(s.eq(d, 0.0), 0.0, g / s.pow(d, p)))


def _weights(g, distances, p):
    kind = _kind(p)
    return _ratio(g, distances) if kind == "two" else _power_ratio(g, distances, p - 1) if kind == "p" else g


def _cdist_grad(g, x1, x2, p, out, needs):
    """Gradients for both point sets; a distance of 0 has slope 0."""
    if p == 0:
        return tuple(x.new_zeros(x.shape) if need else None for x, need in zip((x1, x2), needs))
    if p == 2 and (state.grad or x1._a.dtype not in _ELEMENTS):
        w = (g / out).masked_fill(out == 0, 0)
        first = x1 * w.sum(-1, True) - w @ x2 if needs[0] else None
        wt = w.transpose(-1, -2)
        return first, x2 * wt.sum(-1, True) - wt @ x1 if needs[1] else None
    if state.grad or x1._a.dtype not in _ELEMENTS or not compiled():
        h = _slopes_of_differences(g.unsqueeze(-1), x1.unsqueeze(-2) - x2.unsqueeze(-3), out.unsqueeze(-1), p)
        return h.sum(-2) if needs[0] else None, -h.sum(-3) if needs[1] else None
    w = _weights(g, out, p)
    return (_cdist_backward(w, x1, x2, p, out) if needs[0] else None,
            _cdist_backward(w.transpose(-1, -2), x2, x1, p, out.transpose(-1, -2)) if needs[1] else None)


@primitive("_cdist_forward(Tensor x1, Tensor x2, float p, bool products) -> Tensor",
           node="CdistBackward0", vjp=Joint(_cdist_grad))
def _cdist(a, b, p, products):
    d = a.dtype
    if compiled():
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        count = math.prod(lead)
        x, y = (np.broadcast_to(wide(z), (*lead, *z.shape[-2:])).reshape(count, *z.shape[-2:]) for z in (a, b))
        return narrow(_distances(x, y, p, False).reshape(*lead, a.shape[-2], b.shape[-2]), d)
    diff = np.abs(a[..., :, None, :] - b[..., None, :, :])
    with np.errstate(all="ignore"):
        return narrow(_norms(diff, p), d)


def _norms(d, p):
    """Norms along the last dimension."""
    if p == 0:
        return np.where(np.isnan(d), d, d != 0).sum(-1)
    if math.isinf(p):
        return d.max(-1, initial=0)
    return d.sum(-1) if p == 1 else np.sqrt((d * d).sum(-1)) if p == 2 else (d ** p).sum(-1) ** (1 / p)


@public(method=False)
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """p-norm distances between the rows of ``x1 (..., P, M)`` and ``x2 (..., R, M)``: (..., P, R).

    `compute_mode` changes nothing: distances are never taken from products, which would cancel.
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if x.dtype.category != FLOAT:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: "
                               f"{scalar_name(x.dtype)}")
        if x._a.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x._a.ndim}D")
    if x1._a.shape[-1] != x2._a.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1._a.shape[-1]} X2: "
                           f"{x2._a.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    modes = {"use_mm_for_euclid_dist_if_necessary": 0, "use_mm_for_euclid_dist": 1,
             "donot_use_mm_for_euclid_dist": 2}
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    mode = modes[compute_mode]
    large = x1._a.shape[-2] > 25 or x2._a.shape[-2] > 25
    if x1.dtype is not x2.dtype:
        common = promote_types(x1.dtype, x2.dtype)
        x1, x2 = x1.to(common), x2.to(common)
    return _cdist(x1, x2, float(p), p == 2 and (mode == 1 or mode == 0 and large))


# ---------------------------------------------------------------- all pairs of one set


@cache
def _corners(n):
    return tuple(watch.fixed(i) for i in np.triu_indices(n, 1))


@primitive("_pdist_backward(Tensor weights, Tensor self, float p, Tensor pdist) -> Tensor",
           vjp=NOT_IMPLEMENTED("_pdist_backward"))
def _pdist_backward(weights, x, p, distances):
    n = x.shape[0]
    if p == 0 or n < 2:
        return np.zeros(x.shape, x.dtype)
    i, j = _corners(n)
    square = []
    for a in (weights, distances):
        full = np.zeros((n, n), x.dtype)
        full[i, j] = full[j, i] = a
        square.append(full)
    return _slopes(square[0], x, x, p, square[1])


def _pdist_grad(g, self, p, out):
    n = self._a.shape[0]
    if not (state.grad or self._a.dtype not in _ELEMENTS or not compiled()) or p == 0 or n < 2:
        return _pdist_backward(_weights(g, out, p), self, p, out)
    i, j = (wrap(k.copy()) for k in _corners(n))
    h = _slopes_of_differences(g.unsqueeze(-1), self.index_select(0, i) - self.index_select(0, j), out.unsqueeze(-1), p)
    return self.new_zeros(self.shape).index_add(0, i, h).index_add(0, j, -h)


@primitive("_pdist_forward(Tensor self, float p) -> Tensor", node="PdistBackward0", vjp={"self": _pdist_grad})
def _pdist(a, p):
    if compiled():
        x = wide(a)[None]
        return narrow(_distances(x, x, p, True), a.dtype)
    i, j = _corners(a.shape[0])
    with np.errstate(all="ignore"):
        return narrow(_norms(np.abs(a[i] - a[j]), p), a.dtype)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def pdist(input, p=2.0):
    """p-norm distances between all pairs of rows, in the order of the upper triangle."""
    if input._a.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input._a.ndim}D")
    if input.dtype.category != FLOAT:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    return _pdist(input, float(p))
