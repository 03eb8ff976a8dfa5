"""``x[...]`` and ``x[...] = v``: every form of index, views where PyTorch gives views.

Ints, slices, None and Ellipsis make views. Tensors (and what becomes one: lists, arrays, masks) gather:
integer tensors broadcast together, a mask counts as the coordinates of its True elements. The
gathered dimensions stand where the first index stood if all indices are adjacent, else first.
"""

import numpy as np

from .. import dtypes
from ..autograd.modes import state
from ..record import NONDIFF
from ..tensor import watch
from ..tensor.geometry import can_expand, wrap_dim
from ..tensor.tensor import Tensor, make_view, resolve_bits, shallow, wrap
from . import advanced, walks
from .copy import converted, copy_array, fresh
from .creation import number_for
from .dispatch import attach, needs_grad, primitive
from .inplace import apply, check, rebase
from .overlap import one_block, refuse
from .registry import FUNCTIONS, METHODS, public
from .selection import Mask
from .selection import fill as fill_masked
from .slicing import _select, _slice, slice_bounds, zeros_array
from .views import alias, untracked, window_on

_ndarray = np.ndarray
_NUMBERS = (bool, int, float, complex)


def mutate(rec, args, writer):
    """Overwrite the first of `args` by calling `writer`, recording op `rec` as its history.

    For records whose gradient rules do not use the old contents.
    """
    t = args[0]
    if state.levels:
        from ..func.wrapped import among
        if among(args):
            return apply(rec.call, t, args[1:], {}, rec.name)
    if watch.listener is not None:
        return apply(rec.call, t, args[1:], {}, rec.name)   # (which tells of the record's kernel and a copy)
    if not state.grad:
        check(t)
        writer()
        t._storage.version += 1
        return t
    check(t)
    node = None
    if any(isinstance(x, Tensor) and needs_grad(x) for x in args):
        result = shallow(t)
        attach(rec, args, (result,))
        node = result._grad_fn
    writer()
    t._storage.version += 1
    if node is not None:
        rebase(t, node, 0)
    return t


def writable(t):
    """The array to write to; pending conjugation or negation cannot be written through."""
    if t._bits & 3:
        raise RuntimeError("in-place indexing of a tensor with pending conjugation or negation is not "
                           "supported; call resolve_conj() or resolve_neg() first")
    return t._a


# ---------------------------------------------------------------- advanced indexing

@primitive("index.Tensor(Tensor self, Tensor?[] indices) -> Tensor",
           vjp={"self": lambda g, self_shape, indices: _index_backward(g, self_shape, indices)})
def _index(a, indices):
    return advanced.get(a, indices)


@primitive("_index_backward(Tensor grad, int[] shape, Tensor?[] indices) -> Tensor",
           node="IndexPutBackward0", vjp={"grad": lambda g, indices: _index(g, indices)})
def _index_backward(grad, shape, indices):
    d = grad.dtype
    if walks.narrow(d) and d.kind != "c":
        wide = zeros_array(shape, np.dtype(np.float32))
        advanced.add(wide, indices, converted(grad, wide.dtype, "C"))
        return converted(wide, d, "C")
    out = zeros_array(shape, d)
    advanced.add(out, indices, grad)
    return out


@primitive("index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate) -> Tensor",
           vjp={"self": lambda g, indices, accumulate:
                g if accumulate else _index_put(g, indices, g.new_zeros(()), False),
                "values": lambda g, indices: _index(g, indices)})
def _index_put(a, indices, values, accumulate):
    out = fresh(a)
    _write(out, indices, values, accumulate)
    return out


def _write(out, indices, values, accumulate):
    (advanced.add if accumulate else advanced.put)(out, indices, values)


def index_tensors(input, indices):
    """Checked index tensors, one a dimension of `input` (None: whole); masks become coordinates."""
    out = []
    shape = input._a.shape
    for x in indices:
        if x is None:
            out.append(None)
            continue
        name = x.dtype.name
        if name == "int64":
            out.append(x)
        elif name == "int32":
            out.append(x)
        elif name == "bool" or name == "uint8":
            if name == "uint8":
                _warn_byte()
            d = len(out)
            m = x._a.shape
            if shape[d:d + len(m)] != m:
                i = next(i for i in range(len(m)) if d + i >= len(shape) or shape[d + i] != m[i])
                if d + len(m) > len(shape):
                    raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
                raise IndexError(f"The shape of the mask {list(m)} at index {i} does not match the "
                                 f"shape of the indexed tensor {list(shape)} at index {d + i}")
            if type(x._a) is not _ndarray:
                if getattr(type(x._a), "has_positions", False):
                    out.extend(x._a.positions(x, True))
                    continue
                if hasattr(type(x._a), "outermost"):
                    raise RuntimeError("vmap: We do not support batching operators that can support dynamic shape. "
                                       "Attempting to batch over indexing with a boolean mask.")
                raise NotImplementedError("boolean indexing has no meta rule: its result's size depends "
                                          "on the data")
            if len(indices) == 1 and m:
                return [x if name == "bool" else x.to(dtypes.bool_)]
            out.extend([wrap(c) for c in (Mask(x._a != 0).coordinates() if m else np.nonzero(x._a))])
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if len(out) > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    first = None
    for x in out:
        if x is not None:
            if first is None or first == x._a.shape:
                first = x._a.shape
            else:
                shapes = [y._a.shape for y in out if y is not None]
                try:
                    np.broadcast_shapes(*shapes)
                except ValueError:
                    raise IndexError("shape mismatch: indexing tensors could not be broadcast together "
                                     "with shapes " + ", ".join(str(list(s)) for s in shapes)) from None
    while out and out[-1] is None:
        out.pop()
    return out


_byte_warned = False


def _warn_byte():
    global _byte_warned
    if not _byte_warned:
        _byte_warned = True
        import warnings
        warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
                      "instead.", UserWarning, stacklevel=4)


# ---------------------------------------------------------------- reading an index

def _as_index(x):
    """A list, range or array used as an index, as a tensor."""
    if isinstance(x, _ndarray):
        return FUNCTIONS["torch"]["from_numpy"](x if hasattr(type(x), "captured") else np.array(x))
    t = FUNCTIONS["torch"]["tensor"](x)
    return t.to(dtypes.int64) if not t._a.size and t._a.ndim <= 1 and t.dtype.is_floating_point else t


def _is_sequence(x):
    return isinstance(x, (list, tuple, range)) or (
        hasattr(x, "__getitem__") and hasattr(x, "__len__") and not isinstance(x, (Tensor, np.generic)))


_list_warned = False


def _as_tuple(index):
    """The components of an index; a list that holds slices, sequences or tensors counts as a tuple."""
    global _list_warned
    if isinstance(index, tuple):
        return index
    if isinstance(index, list) and len(index) < 32 and any(
            x is None or x is Ellipsis or isinstance(x, (slice, Tensor, _ndarray, list, tuple, range))
            for x in index):
        if not _list_warned:
            _list_warned = True
            import warnings
            warnings.warn("Using a non-tuple sequence for multidimensional indexing is deprecated and "
                          "will be changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In "
                          "pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], "
                          "which will result either in an error or a different result", UserWarning,
                          stacklevel=4)
        return tuple(index)
    return (index,)


def _specified(parts):
    n = 0
    for x in parts:
        if isinstance(x, Tensor):
            if x.dtype.name in ("bool", "uint8"):
                n += x._a.ndim
            else:
                n += 1
        elif x is not None and x is not Ellipsis and not isinstance(x, (bool, np.bool_)):
            n += 1
    return n


def _bound(x):
    if x is None or type(x) is int:
        return x
    if isinstance(x, Tensor) and x._a.size == 1 and x.dtype.category <= dtypes.INT:
        return int(x.item())
    try:
        return x.__index__()
    except (AttributeError, TypeError):
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None


def _slice_args(s, size):
    step = 1 if s.step is None else _bound(s.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    start, end = slice_bounds(size, _bound(s.start), _bound(s.stop))
    return start, end, step


def _bounds_error(i, dim, size):
    return IndexError(f"index {i} is out of bounds for dimension {dim} with size {size}")


def resolve(t, index):
    """Carry out the view part of an index: (view of t, list of index tensors or None).

    Each step is an op of its own when gradients are recorded, as PyTorch's graph has it; otherwise the
    geometry is computed at once.
    """
    parts = [x if x is None or x is Ellipsis or type(x) in (int, slice, bool) or isinstance(x, Tensor)
             else _normal(x) for x in _as_tuple(index)]
    rank = t._a.ndim
    n = _specified(parts)
    if n > rank:
        if rank == 0 and len(parts) == 1 and not isinstance(parts[0], Tensor):
            if isinstance(parts[0], slice):
                raise IndexError("slice() cannot be applied to a 0-dim tensor.")
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                             "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    graph = state.grad and needs_grad(t) or hasattr(type(t._a), "outermost")
    dim = source = 0
    indices = None
    if graph:
        v = t
    shape, strides, offset = list(t._a.shape), list(t.stride()), t._offset
    changed = False
    for x in parts:
        if x is None:
            if graph:
                v = v.unsqueeze(dim)
            step = shape[dim] * strides[dim] if dim < len(shape) else 1
            shape.insert(dim, 1)
            strides.insert(dim, step)
            dim += 1
            changed = True
        elif x is Ellipsis:
            skip = rank - n
            dim += skip
            source += skip
            n = rank                # a second Ellipsis stands for nothing
        elif type(x) is bool:
            if graph:
                v = v.unsqueeze(dim)
            step = shape[dim] * strides[dim] if dim < len(shape) else 1
            shape.insert(dim, 1)
            strides.insert(dim, step)
            changed = True
            indices = _record(indices, dim, wrap(np.array([x])))
            dim += 1
        elif isinstance(x, slice):
            size = shape[dim]
            start, end, step = _slice_args(x, size)
            if start != 0 or end != size or step != 1:
                if graph:
                    v = _slice(v, dim, start, end, step)
                shape[dim] = -((start - end) // step)
                offset += start * strides[dim]
                strides[dim] *= step
                changed = True
            dim += 1
            source += 1
        elif type(x) is int or not x._a.ndim and x.dtype.category == dtypes.INT and \
                x.dtype.name != "uint8" and not hasattr(type(x._a), "takeover"):
            i = x if type(x) is int else int(x.item())
            size = shape[dim]
            if not -size <= i < size:
                raise _bounds_error(i, source, size)
            if i < 0:
                i += size
            if graph:
                v = _select(v, dim, i)
            offset += i * strides[dim]
            del shape[dim], strides[dim]
            source += 1
            changed = True
        else:
            if not x._a.ndim and x.dtype.name in ("bool", "uint8"):
                if graph:
                    v = v.unsqueeze(dim)
                step = shape[dim] * strides[dim] if dim < len(shape) else 1
                shape.insert(dim, 1)
                strides.insert(dim, step)
                changed = True
                indices = _record(indices, dim, wrap(np.array([bool(x.item())])))
                dim += 1
                continue
            indices = _record(indices, dim, x)
            k = x._a.ndim if x.dtype.name in ("bool", "uint8") else 1
            dim += k
            source += k
    if not graph:
        v = make_view(t, tuple(shape), tuple(strides), offset) if changed else t
        if v is not t and needs_grad(t):
            v._view.no_grad = True
    return v, indices


def _record(indices, dim, x):
    indices = indices or []
    # A mask of several dimensions takes several places at once.
    used = sum(i._a.ndim if i is not None and i.dtype.name in ("bool", "uint8") else 1 for i in indices)
    indices.extend([None] * (dim - used))
    indices.append(x)
    return indices


def _normal(x):
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    if isinstance(x, slice):
        return x
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, (float, complex, np.floating)):
        raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                         f"are valid indices (got {type(x).__name__})")
    if isinstance(x, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(x).__name__}'")
    if _is_sequence(x) or isinstance(x, _ndarray):
        return _as_index(x)
    if hasattr(x, "__index__"):
        return x.__index__()
    raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
                     f"valid indices (got {type(x).__name__})")


def _plain(a, index):
    """Offset in bytes of the NumPy view ``a[index]`` for a slice or a tuple of ints and slices in
    range, or None where PyTorch's rules are needed."""
    if type(index) is slice:
        index = (index,)
    shape = a.shape
    if len(index) > len(shape):
        return None
    strides = a.strides
    at = 0
    for d, x in enumerate(index):
        if type(x) is int:
            n = shape[d]
            if x < 0:
                x += n
            if not 0 <= x < n:
                return None
            at += x * strides[d]
        elif type(x) is slice:
            step = x.step
            if step is not None and (type(step) is not int or step <= 0):
                return None
            start = x.start
            if start is None:
                continue
            if type(start) is not int:
                return None
            n = shape[d]
            if start < 0:
                start += n
                if start < 0:
                    continue
            elif start > n:
                start = n
            at += start * strides[d]
        else:
            return None
    return at


_ALL = slice(None)


def _spelled(index, rank):
    """A tuple of ints, slices and one ellipsis with whole slices in its place, or None for other tuples."""
    at = None
    for k, x in enumerate(index):
        if x is Ellipsis and at is None:
            at = k
        elif type(x) is not int and type(x) is not slice:
            return None
    if at is None or len(index) - 1 > rank:
        return None
    return (*index[:at], *(_ALL,) * (rank + 1 - len(index)), *index[at + 1:])


def _positions_only(a, index):
    """The components of an index if they are int64 tensors of one shape and whole slices, the last one a tensor."""
    if not index or len(index) > a.ndim or type(index[-1]) is not Tensor:
        return None
    shape, out = None, []
    for x in index:
        if type(x) is Tensor and x.dtype is dtypes.int64 and x._a.ndim and (shape is None or x._a.shape == shape):
            shape = x._a.shape
            out.append(x)
        elif type(x) is slice and x.start is None and x.stop is None and x.step is None:
            out.append(None)
        else:
            return None
    return out


def _tensors_only(a, index):
    """The index tensors of an index that has no view part and needs no preparation, else None."""
    if type(index) is Tensor:
        k = index._a.ndim
        if index.dtype is dtypes.int64:
            return [index] if k and a.ndim else None
        if k and index.dtype is dtypes.bool_ and type(index._a) is _ndarray and index._a.shape == a.shape[:k]:
            return [index]
    elif type(index) is tuple:
        return _positions_only(a, index)
    return None


def _step_by_step(t, index):
    """The view that ints and slices of ints pick, one op each as graphs have it; None for other indices."""
    shape = t._a.shape
    if len(index) > len(shape):
        return None
    for x, n in zip(index, shape):
        if type(x) is int:
            if not -n <= x < n:
                return None
        elif type(x) is not slice or x.step is not None or x.start is not None and type(x.start) is not int or \
                x.stop is not None and type(x.stop) is not int:
            return None
    d = 0
    for x, n in zip(index, shape):
        if type(x) is int:
            t = _select(t, d, x + n if x < 0 else x)
        else:
            start, end = slice_bounds(n, x.start, x.stop)
            if start or end != n:
                t = _slice(t, d, start, end, 1)
            d += 1
    return t


def getitem(self, index):
    """``self[index]``."""
    a = self._a
    t = type(index)
    if type(a) is _ndarray and a.ndim and untracked(self):
        if t is int:
            n = a.shape[0]
            if -n <= index < n:
                i = index + n if index < 0 else index
                return window_on(self, a[i, ...], self._offset + i * a.strides[0] // a.itemsize)
            raise _bounds_error(index, 0, n)
        if (t is tuple or t is slice) and a.size:
            at = _plain(a, index)
            if at is None and t is tuple:
                spelled = _spelled(index, a.ndim)
                if spelled is not None:
                    index, at = spelled, _plain(a, spelled)
            if at is not None:
                try:
                    v = a[(*index, ...) if t is tuple else index]
                except TypeError:
                    v = None
                if v is not None and v.size:
                    return window_on(self, v, self._offset + at // a.itemsize)
    elif hasattr(type(a), "getitem"):
        return a.getitem(self, index)
    elif t is tuple or t is slice:
        v = _step_by_step(self, index if t is tuple else (index,))
        if v is not None and v is not self:
            return v
    ts = _tensors_only(a, index)
    if ts is not None:
        return _index(self, ts)
    v, indices = resolve(self, index)
    if indices is not None:
        return _index(v, index_tensors(v, indices))
    if v is self:
        if t is slice:
            return _slice(v, 0, 0, v._a.shape[0], 1)
        return alias(v)
    return v


def _assigned(t, index, value):
    """Whether ``t[index] = value`` was a plain copy into a window of ints and slices, and is done."""
    a, b = t._a, value._a
    if state.special or type(a) is not _ndarray or type(b) is not _ndarray or t._bits or value._bits or \
            a.dtype is not b.dtype or not (untracked(t) and untracked(value)) or t._storage.root is not None or \
            value._storage.root is not None or not a.flags.writeable:
        return False
    at = _plain(a, (index,) if type(index) is int else index)
    if at is None:
        return False
    try:
        window = a[(*index, ...) if type(index) is tuple else (index, ...)]
    except (IndexError, TypeError):
        return False
    if window.shape != b.shape or 0 in window.strides:
        return False
    if t._storage is not value._storage:
        copy_array(window, b)
    elif t._offset + at // a.itemsize != value._offset or window.strides != b.strides:
        return False                        # (else the window itself, as in ``t[index] += x``)
    t._storage.version += 1
    return True


def _rows_assigned(t, index, value):
    """Whether ``t[index] = value`` set whole rows of a small tensor by their numbers, and is done."""
    a, b, i = t._a, value._a, index._a
    if state.special or type(a) is not _ndarray or type(b) is not _ndarray or type(i) is not _ndarray or t._bits or \
            value._bits or index._bits or a.dtype is not b.dtype or index.dtype is not dtypes.int64 or not (
                untracked(t) and untracked(value)) or not 0 < a.size <= advanced.FEW or \
            b.shape != i.shape + a.shape[1:] or value._storage.block() is t._storage.block() or \
            index._storage.block() is t._storage.block() or not a.flags.writeable or 0 in a.strides:
        return False
    try:
        a[i] = b
    except IndexError:
        return False
    t._storage.version += 1
    return True


def setitem(self, index, value):
    """``self[index] = value``."""
    if self._bits & 4:
        check(self)
    tv = type(value)
    if not isinstance(value, Tensor):
        if tv not in _NUMBERS:
            if isinstance(value, np.generic) and value.ndim == 0 and value.dtype.kind in "biufc":
                value = value.item()
            elif not isinstance(value, _NUMBERS):
                name = "numpy.ndarray" if tv is _ndarray else tv.__name__
                raise TypeError(f"can't assign a {name} to a {self.type()}")
        number = number_for(self.dtype, value, True)
        value = number if watch.listener is not None and isinstance(number, Tensor) else None
    if index is False:
        return
    if type(index) is tuple and type(self._a) is _ndarray:
        index = _spelled(index, self._a.ndim) or index
    if value is None and (type(index) is int or type(index) is tuple or type(index) is slice):
        a = self._a
        if type(a) is _ndarray and not self._bits & 3 and untracked(self) and _plain(
                a, (index,) if type(index) is int else index) is not None and a.flags.writeable and \
                watch.listener is None:
            a[index] = number
            self._storage.version += 1
            return
    elif tv is Tensor and (type(index) is int or type(index) is tuple or type(index) is slice) and _assigned(
            self, index, value):
        return
    elif tv is Tensor and type(index) is Tensor and _rows_assigned(self, index, value):
        return
    if type(self._a) is not _ndarray and hasattr(type(self._a), "setitem"):
        self._a.setitem(self, index, number if value is None else value)
        return
    v, indices = self, _tensors_only(self._a, index)
    if indices is None:
        v, indices = resolve(self, index)
    if indices is None:
        if value is None:
            v.fill_(number)
        else:
            _assign(v, value)
        return
    if value is None:
        mask = indices[0]
        if len(indices) == 1 and mask is not None and mask.dtype is dtypes.bool_ and untracked(v) and \
                mask._a.shape == v._a.shape and not v._bits & 3:
            fill_masked(v._a, v._a, mask._a, number)
            v._storage.version += 1
            if watch.listener is not None:
                watch.listener.wrote("masked_fill_", lambda a, m: fill_masked(a, a, m, number), (v,), (mask,))
            return
        value = wrap(np.array(number, self.dtype.np))
        if watch.listener is not None:
            watch.listener.constant(value)
    elif value.dtype is not self.dtype:
        if value._a.ndim:
            _index_dtype(self, value)
        value = value.to(self.dtype)
    while value._a.ndim > 1 and value._a.shape[0] == 1:
        value = value.squeeze(0)
    index_put_(v, indices, value)


def _assign(v, value):
    """Copy `value` to the window `v`; leading dimensions of size 1 too many are dropped."""
    shape = value._a.shape
    k = 0
    while k < len(shape) and shape[k] == 1 and len(shape) - k > v._a.ndim:
        k += 1
    if k:
        value = value.reshape(shape[k:])
    if not can_expand(value._a.shape, v._a.shape):
        from .views import expanded
        expanded(value, v._a.shape)
    v.copy_(value)


def _index_dtype(t, value):
    from ..dtypes import scalar_name
    raise RuntimeError("Index put requires the source and destination dtypes match, got "
                       f"{scalar_name(t.dtype)} for the destination and {scalar_name(value.dtype)} for "
                       "the source.")


METHODS["__getitem__"] = getitem
METHODS["__setitem__"] = setitem


# ---------------------------------------------------------------- functions

def _prepared(input, indices, values):
    if values.dtype is not input.dtype:
        _index_dtype(input, values)
    ts = []
    for x in indices:
        ts.append(x if x is None or isinstance(x, Tensor) else _as_index(x))
    return index_tensors(input, ts)


@public(namespaces=("torch",))
def index_put_(input, indices, values, accumulate=False):
    """``input[indices] = values`` (or ``+=``, repeated positions adding up) in place."""
    idx = _prepared(input, indices, values)
    if not idx:
        return input.add_(values) if accumulate else input.copy_(values.expand(input.shape))
    if input.is_meta:
        return input
    a = writable(input)
    arrays = [None if i is None else i._a for i in idx]
    v = resolve_bits(values)
    if one_block(input, values):
        refuse(input, values)
        v = v.copy()
    return mutate(_index_put.record, (input, idx, values, accumulate),
                  lambda: _write(a, arrays, v, accumulate))


METHODS["_index_put_impl_"] = index_put_


@public()
def index_put(input, indices, values, accumulate=False):
    """A copy of `input` with ``[indices]`` set to `values` (or increased by them)."""
    idx = _prepared(input, indices, values)
    if not idx:
        return input + values if accumulate else values.expand(input.shape).clone()
    return _index_put(input, idx, values, accumulate)


@public("_unsafe_index", method=False)
def unsafe_index(input, indices):
    """``input[indices]`` for a list of index tensors."""
    return _index(input, index_tensors(input, indices))


# ---------------------------------------------------------------- positions of true elements

@public("nonzero", out=True)
def nonzero(input, *, as_tuple=False):
    """Positions of the nonzero elements: rows of an (n, dims) tensor, or a tuple of 1-D tensors."""
    a = resolve_bits(input)
    if type(a) is not _ndarray:
        if hasattr(type(a), "outermost"):
            return a.positions(input, as_tuple)
        raise NotImplementedError("nonzero has no meta rule: its result's size depends on the data")
    if as_tuple:
        return tuple([wrap(c) for c in _mask_of(a if a.ndim else a.reshape(1)).coordinates()])
    if not a.ndim:
        return wrap(np.empty((int(bool(a)), 0), np.int64))
    return wrap(_mask_of(a).coordinates(by_element=True))


def _mask_of(a):
    """The mask of the elements that are not zero."""
    return Mask(a if a.dtype.kind == "b" else a != a.dtype.type(0))


@public("nonzero_static", out=True)
def nonzero_static(input, *, size, fill_value=-1):
    """``nonzero`` cut or filled with `fill_value` to exactly `size` rows."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    return _nonzero_static(input, size, fill_value)


@primitive("nonzero_static(Tensor self, int size, int fill_value) -> Tensor", vjp=NONDIFF("positions"))
def _nonzero_static(a, size, fill_value):
    rows = nonzero(wrap(a))._a[:size]
    out = np.full((size, a.ndim), fill_value, np.int64)
    out[:len(rows)] = rows
    return out


@public()
def argwhere(input):
    """Positions of the nonzero elements, one a row."""
    return _argwhere(input)


@primitive("argwhere(Tensor self) -> Tensor", vjp=NONDIFF("positions"))
def _argwhere(a):
    return nonzero(wrap(a))._a


def where_positions(condition):
    """``torch.where(condition)``: the coordinates of the True elements, a tensor a dimension."""
    return nonzero(condition, as_tuple=True)


__all__ = ["getitem", "setitem", "mutate", "writable", "index_tensors", "where_positions", "wrap_dim"]
