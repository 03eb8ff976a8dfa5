"""Views: new geometry on the same storage."""

from ..autograd.node import edge_of, next_seq
from ..tensor.geometry import (
    can_expand,
    infer_size,
    numel,
    storage_extent,
    view_strides,
    wrap_dim,
    wrap_dims,
)
from .dispatch import node_class, view_primitive
from .registry import public


def sizes(args):
    """``(2, 3)`` from ``x.view(2, 3)``, ``x.view((2, 3))`` or ``x.view([2, 3])``."""
    if len(args) == 1 and not isinstance(args[0], int) and hasattr(args[0], "__iter__"):
        args = args[0]
    return tuple(s if type(s) is int else s.__index__() for s in args)


# ---------------------------------------------------------------- as_strided

def _as_strided_grad(g, self_shape, self_strides, self_offset, size, stride, storage_offset):
    """Gradient on the storage span of the input, read back in the input's geometry.

    Elements addressed several times by the output get the sum; where the input itself addresses an
    element several times (expanded input) the gradient is shared out evenly among them.
    """
    from ..tensor.geometry import has_overlap
    span = max(storage_extent(self_shape, self_strides, self_offset),
               storage_extent(size, stride, storage_offset))
    base = min(self_offset, storage_offset)
    flat = g.new_zeros((max(span - base, 0),))
    if has_overlap(size, stride):
        flat = flat.index_add(0, _positions(size, stride, storage_offset - base), g.reshape(-1))
    else:
        flat = _as_strided_scatter(flat, g, tuple(size), tuple(stride), storage_offset - base)
    if has_overlap(self_shape, self_strides):
        idx = _positions(self_shape, self_strides, self_offset - base)
        count = g.new_zeros((span - base,)).index_add(0, idx, g.new_ones((idx.numel(),)))
        flat = flat / count
    return as_strided(flat, self_shape, self_strides, self_offset - base)


def _positions(size, stride, offset):
    import numpy as np

    from ..tensor.tensor import wrap
    idx = np.full(size, offset, np.int64)
    for d, (n, st) in enumerate(zip(size, stride)):
        idx += (np.arange(n, dtype=np.int64) * st).reshape((-1,) + (1,) * (len(size) - d - 1))
    return wrap(idx.reshape(-1))


def _as_strided_scatter(flat, g, size, stride, offset):
    """`flat` (fresh zeros) with `g` written in the given window, differentiable in g."""
    flat.as_strided(size, stride, offset).copy_(g)
    return flat


@view_primitive("as_strided(Tensor(a) self, int[] size, int[] stride, int storage_offset) -> Tensor(a)",
                vjp={"self": _as_strided_grad})
def _as_strided(t, size, stride, storage_offset):
    need = storage_extent(size, stride, storage_offset) * t._a.itemsize
    if need > t._storage.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {storage_offset}, "
            f"and itemsize {t._a.itemsize} requiring a storage size of {need} are out of bounds for "
            f"storage of size {t._storage.nbytes}")
    return size, stride, storage_offset


@public()
def as_strided(input, size, stride, storage_offset=None):
    """A view with the given sizes, strides and offset (in elements of the storage)."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError("as_strided: Negative strides are not supported at the moment, got strides: "
                           f"{list(stride)}")
    off = input._offset if storage_offset is None else storage_offset
    if off < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {off}")
    return _as_strided(input, size, stride, off)


def as_strided_node(base, view):
    """The history of a view whose base was changed in place: an as_strided of the base."""
    rec = _as_strided.record
    from .dispatch import make_plan
    plan = rec.plans.get(1)
    if plan is None:
        plan = rec.plans[1] = make_plan(rec, 1)
    node = node_class(rec)()
    node.edges, node.seq, node.ext, node.plan = (edge_of(base),), next_seq(), None, plan
    node.outs = ((view._a.shape, view.dtype),)
    args = (base, view._a.shape, view.stride(), view._offset)
    node.saved = [f(args, (view,), node) for f in plan.fetch]
    return node


# ---------------------------------------------------------------- view, reshape, expand

@view_primitive("view(Tensor(a) self, int[] size) -> Tensor(a)",
                vjp={"self": lambda g, self_shape: g.reshape(self_shape)})
def _view(t, size):
    strides = view_strides(t._a.shape, t.stride(), size)
    if strides is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least "
                           "one dimension spans across two contiguous subspaces). Use .reshape(...) "
                           "instead.")
    return size, strides, t._offset


@public(namespaces=())
def reshape(input, *shape):
    """The elements in row-major order in a new shape: a view where strides allow, else a copy."""
    shape = infer_size(sizes(shape), input._a.size)
    if view_strides(input._a.shape, input.stride(), shape) is not None:
        return _view(input, shape)
    return _view(input.contiguous(), shape)


@view_primitive("expand(Tensor(a) self, int[] size) -> Tensor(a)",
                vjp={"self": lambda g: g})
def _expand(t, size):
    old, st = t._a.shape, t.stride()
    lead = len(size) - len(old)
    strides = [0] * lead
    for i, (s, x) in enumerate(zip(old, st)):
        strides.append(0 if s == 1 and size[lead + i] != 1 else x)
    return size, tuple(strides), t._offset


__all__ = ["sizes", "as_strided_node", "can_expand", "numel", "wrap_dim", "wrap_dims"]
