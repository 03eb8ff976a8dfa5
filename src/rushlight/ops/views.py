"""Views: new geometry on the same storage."""

import numpy as np

from ..autograd.modes import state
from ..autograd.node import edge_of, next_seq
from ..dtypes import dtype as dtype_class
from ..dtypes import scalar_name
from ..tensor import watch
from ..tensor.geometry import (
    Size,
    can_expand,
    infer_size,
    numel,
    storage_extent,
    view_strides,
    wrap_dim,
    wrap_dims,
)
from ..tensor.geometry import broadcast_shapes as common_shape
from ..tensor.tensor import ViewInfo, assemble, make_view
from .dispatch import node_class, view_primitive
from .registry import FUNCTIONS, METHODS, public

_ndarray = np.ndarray


def sizes(args):
    """``(2, 3)`` from ``x.view(2, 3)``, ``x.view((2, 3))`` or ``x.view([2, 3])``."""
    if len(args) == 1 and not isinstance(args[0], int) and hasattr(args[0], "__iter__"):
        args = args[0]
    return tuple(s if type(s) is int else s.__index__() for s in args)




def untracked(t):
    """Whether `t` is on the CPU and takes no part in recording: views of it are just windows."""
    if t._requires_grad or type(t._a) is not _ndarray:
        return False
    v = t._view
    return v is None or not v.base._requires_grad


def window_on(t, a, offset):
    """The view of the untracked tensor `t` that the array `a` (made from t's) shows."""
    v = assemble(a, t.dtype, t._storage, offset)
    v._bits = t._bits
    info = v._view = ViewInfo()
    base = t._view
    info.base = t if base is None else base.base
    info.version = t._storage.version
    info.no_grad = info.multi = False
    if watch.observer is not None:
        watch.observer.viewed(None, (t,), (v,))
    return v


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


# ---------------------------------------------------------------- view and reshape

@view_primitive("view(Tensor(a) self, int[] size) -> Tensor(a)",
                vjp={"self": lambda g, self_shape: g.reshape(self_shape)})
def _view(t, size):
    strides = view_strides(t._a.shape, t.stride(), size)
    if strides is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least "
                           "one dimension spans across two contiguous subspaces). Use .reshape(...) "
                           "instead.")
    return size, strides, t._offset


@view_primitive("_unsafe_view(Tensor(a) self, int[] size) -> Tensor(a)", node="UnsafeViewBackward0",
                vjp={"self": lambda g, self_shape: g.reshape(self_shape)})
def _unsafe_view(t, size):
    return size, view_strides(t._a.shape, t.stride(), size), t._offset


@public(namespaces=())
def view(input, *shape, dtype=None, size=None):
    """The same memory in another shape (``-1`` is inferred) or, given a dtype, with another type.

    Raises RuntimeError when the strides do not allow the shape without copying.
    """
    if dtype is not None:
        shape = (dtype,)
    if len(shape) == 1 and type(shape[0]) is dtype_class:
        return view_dtype(input, shape[0])
    if size is not None:
        shape = (size,)
    return _in_shape(input, infer_size(sizes(shape), input._a.size))


def _in_shape(input, shape):
    a = input._a
    # (NumPy keeps the strides of sizes 1 where the shape stays; a view has those of C order.)
    if type(a) is _ndarray and a.flags.c_contiguous and a.size and a.shape != tuple(shape) and untracked(input):
        return window_on(input, a.reshape(shape), input._offset)
    return _view(input, shape)


@public()
def reshape(input, *shape):
    """The elements in row-major order in a new shape: a view where strides allow, else a copy."""
    a = input._a
    if type(a) is not _ndarray and hasattr(type(a), "reshaped"):
        return a.reshaped(input, sizes(shape))
    shape = infer_size(sizes(shape), a.size)
    if type(a) is _ndarray and a.flags.c_contiguous or \
            view_strides(a.shape, input.stride(), shape) is not None:
        return _in_shape(input, shape)
    from ..devices import contiguous_format
    from .conversion import _clone
    copy = _unsafe_view(_clone(input, contiguous_format), shape)
    copy._view = None
    return copy


METHODS["reshape"] = reshape
FUNCTIONS["torch"]["reshape"] = lambda input, shape: reshape(input, shape)
FUNCTIONS["torch"]["reshape"].__name__ = "reshape"
FUNCTIONS["torch"]["reshape"].__doc__ = reshape.__doc__


@public(namespaces=())
def view_as(input, other):
    """``view`` in the shape of `other`."""
    return _view(input, infer_size(other._a.shape, input._a.size))


@public(namespaces=())
def reshape_as(input, other):
    """``reshape`` to the shape of `other`."""
    return reshape(input, other._a.shape)


@public()
def ravel(input):
    """The elements as one dimension: a view if contiguous, else a copy."""
    return reshape(input.contiguous(), (-1,))


@public()
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions `start_dim` to `end_dim` merged into one."""
    n = input._a.ndim
    start, end = wrap_dim(start_dim, n), wrap_dim(end_dim, n)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if n == 0:
        return reshape(input, (1,))
    if start == end:
        return input
    shape = input._a.shape
    return reshape(input, (*shape[:start], numel(shape[start:end + 1]), *shape[end + 1:]))


@public()
def unflatten(input, dim, sizes):
    """Dimension `dim` split into several; one size may be -1."""
    n = input._a.ndim
    d = wrap_dim(dim, n, scalar_ok=False) if n else wrap_dim(dim, n)
    parts = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    size = input._a.shape[d]
    try:
        parts = infer_size(parts, size)
    except RuntimeError as error:
        if "invalid for input" in str(error):
            hint = " Consider using -1 instead" if -1 not in sizes else ""
            raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size "
                               f"of dim {d} ({size}) in the input tensor{hint}") from None
        raise
    shape = input._a.shape
    return reshape(input, (*shape[:d], *parts, *shape[d + 1:]))


@view_primitive("alias(Tensor(a) self) -> Tensor(a)", vjp={"self": lambda g: g})
def alias(t):
    """A view with the same geometry."""
    return t._a.shape, t.stride(), t._offset


def view_dtype(input, dtype):
    """The same bytes read as another dtype; the last dimension changes with the element size."""
    t = input
    if t._bits & 3 and dtype.is_complex != t.dtype.is_complex:
        raise RuntimeError("torch.Tensor.view is not supported for conjugate view tensors when "
                           "converting to a different dtype.")
    shape, strides, offset = t._a.shape, t.stride(), t._offset
    old, new = t._a.itemsize, dtype.itemsize
    if old != new:
        if not shape:
            raise RuntimeError(f"self.dim() cannot be 0 to view {scalar_name(t.dtype)} as "
                               f"{scalar_name(dtype)} (different element sizes)")
        if strides[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {scalar_name(t.dtype)} as "
                               f"{scalar_name(dtype)} (different element sizes), but got "
                               f"{strides[-1]}")
        if old > new:
            r = old // new
            shape = (*shape[:-1], shape[-1] * r)
            strides = (*[s * r for s in strides[:-1]], 1)
            offset *= r
        else:
            r = new // old
            what = f"to view {scalar_name(t.dtype)} as {scalar_name(dtype)} (different element sizes)"
            if shape[-1] % r:
                raise RuntimeError(f"self.size(-1) must be divisible by {r} {what}, but got "
                                   f"{shape[-1]}")
            if offset % r:
                raise RuntimeError(f"self.storage_offset() must be divisible by {r} {what}, but got "
                                   f"{offset}")
            for i, s in enumerate(strides[:-1]):
                if s % r:
                    raise RuntimeError(f"self.stride({i}) must be divisible by {r} {what}, but got {s}")
            shape = (*shape[:-1], shape[-1] // r)
            strides = (*[s // r for s in strides[:-1]], 1)
    v = make_view(t, shape, strides, offset, dtype)
    v._view = None          # PyTorch has no gradient for it and does not track it as a view
    return v


# ---------------------------------------------------------------- expand

@view_primitive("expand(Tensor(a) self, int[] size) -> Tensor(a)", vjp={"self": lambda g: g})
def _expand(t, size):
    old, st = t._a.shape, t.stride()
    lead = len(size) - len(old)
    strides = [0] * lead
    for i, (s, x) in enumerate(zip(old, st)):
        strides.append(0 if s == 1 and size[lead + i] != 1 else x)
    if lead:
        acc = strides[lead] * old[0] if old else 1
        for i in range(lead - 1, -1, -1):
            if size[i] == 1:
                strides[i] = acc
            else:
                acc = 0
    return size, tuple(strides), t._offset


def expanded(input, size):
    """`size` with -1 filled in, checked against the input's shape."""
    old = input._a.shape
    lead = len(size) - len(old)
    if lead < 0:
        raise RuntimeError(f"expand({_kind(input)}{{{list(old)}}}, size={list(size)}): the number of "
                           f"sizes provided ({len(size)}) must be greater or equal to the number of "
                           f"dimensions in the tensor ({len(old)})")
    out = list(size)
    for i in range(len(size) - 1, -1, -1):
        s = size[i]
        if i < lead:
            if s < 0:
                raise RuntimeError(f"The expanded size of the tensor ({s}) isn't allowed in a leading, "
                                   f"non-existing dimension {i}")
            continue
        n = old[i - lead]
        if s == -1:
            out[i] = n
        elif s != n and n != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({s}) must match the existing size ({n}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: "
                f"{list(old)}")
        elif s < -1:
            raise RuntimeError(f"The expanded size of the tensor ({s}) isn't allowed in a leading, "
                               f"non-existing dimension {i}")
    return tuple(out)


def _kind(t):
    return f"torch.{scalar_name(t.dtype)}Tensor"


@public(namespaces=())
def expand(input, *size, implicit=False):
    """A view in which dimensions of size 1 are repeated without copying (-1 keeps a dimension)."""
    return _expand(input, expanded(input, sizes(size)))


@public(namespaces=())
def expand_as(input, other):
    """``expand`` to the shape of `other`."""
    return _expand(input, expanded(input, other._a.shape))


def broadcast_to(input, *size):
    """``expand`` to the given shape."""
    return _expand(input, expanded(input, sizes(size)))


METHODS["broadcast_to"] = broadcast_to
FUNCTIONS["torch"]["broadcast_to"] = lambda input, size: broadcast_to(input, size)
FUNCTIONS["torch"]["broadcast_to"].__name__ = "broadcast_to"
FUNCTIONS["torch"]["broadcast_to"].__doc__ = broadcast_to.__doc__


@public(method=False)
def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = common_shape(*[t._a.shape for t in tensors])
    return tuple(t if t._a.shape == shape else _expand(t, shape) for t in tensors)


@public("broadcast_shapes", method=False)
def broadcast_shapes(*shapes):
    """The shape that tensors of the given shapes broadcast to."""
    shapes = [(s,) if isinstance(s, int) else s if isinstance(s, tuple) else tuple(s) for s in shapes]
    for s in shapes:
        for v in s:
            if v < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({v}): ({v})")
    known = [1] * max((len(s) for s in shapes), default=0)
    for k, s in enumerate(shapes):
        for i in range(1, len(s) + 1):
            if known[-i] == 1:
                known[-i] = s[-i]
            elif s[-i] not in (1, known[-i]):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {s[-i]} at -{i}! Mismatching argument at index {k} "
                    f"had {s}; but expected shape should be broadcastable to {known}")
    return Size(known)


def repeated(g, shape):
    """The single value of `g` at every position of `shape`: an expanded view, or outside recording just an
    array of that shape over the same memory."""
    a = g._a
    if state.grad or a.ndim or type(a) is not _ndarray or a.dtype.kind != "f" or g._bits & 3:
        return _expand(g, shape)
    return assemble(_ndarray(shape, a.dtype, a, 0, (0,) * len(shape)), g.dtype, g._storage, g._offset)


__all__ = ["sizes", "as_strided_node", "can_expand", "numel", "wrap_dim", "wrap_dims"]
