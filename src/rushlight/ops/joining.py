"""Joining and repeating: cat, stack and their kin, repeat, tile, roll, flip, triangles."""

from functools import lru_cache

import numpy as np

from .. import devices
from ..compiler import available
from ..dtypes import FLOAT, from_np, promote_types
from ..record import NONDIFF
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.geometry import wrap_dim, wrap_dims
from ..tensor.tensor import Tensor, wrap
from .copy import copy_array, fresh
from .dispatch import primitive
from .out import plain
from .registry import METHODS, alias, public
from .slicing import _slice, zeros_array
from .views import sizes

_ndarray = np.ndarray


# ---------------------------------------------------------------- cat and stack

def _split_gradient(g, tensors_shape, tensors_dtype, dim):
    out, start = [], 0
    for shape, dtype in zip(tensors_shape, tensors_dtype):
        if shape == (0,) and g._a.ndim != 1:
            out.append(g.new_zeros((0,)))
            continue
        n = shape[dim]
        part = _slice(g, dim, start, start + n, 1)
        out.append(part if dtype is g.dtype else _back(part, dtype))
        start += n
    return out


def _back(g, dtype):
    if dtype.category < FLOAT:
        return None
    return (g.real if g.dtype.is_complex and not dtype.is_complex else g).to(dtype)


def _result_dtype(arrays):
    d = arrays[0].dtype
    for a in arrays:
        if a.dtype != d:
            d = promote_types(from_np(d), from_np(a.dtype)).np
    return d


@primitive("cat(Tensor[] tensors, int dim) -> Tensor", vjp={"tensors": _split_gradient})
def _cat(arrays, dim):
    first = arrays[0]
    if first.ndim < 4 and first.size and first.nbytes * len(arrays) < 65536:
        # Few bytes: NumPy's own check of shapes and types is the shortest way.
        d, n = first.dtype, first.ndim
        for a in arrays:
            if a.dtype is not d and a.dtype != d or a.ndim != n:
                break
        else:
            return np.concatenate(arrays, dim)
    parts = [a for a in arrays if a.shape != (0,)]
    d = _result_dtype(arrays)
    if not parts:
        return np.empty((0,), d)
    shape = list(parts[0].shape)
    shape[dim] = sum(a.shape[dim] for a in parts)
    shape = tuple(shape)
    out = None
    first = parts[0]
    if first.ndim in (4, 5) and not first.flags.c_contiguous:
        from ..tensor.geometry import channels_last_strides, is_channels_last
        from .pointwise.core import strided_array
        if all(is_channels_last(a.shape, [s // a.itemsize for s in a.strides]) for a in parts):
            out = strided_array(shape, channels_last_strides(shape), d)
    if out is None:
        out = alloc(shape, d)
        if _joined(out, parts, dim):
            return out
    start = 0
    lead = (slice(None),) * dim
    for a in parts:
        n = a.shape[dim]
        copy_array(out[lead + (slice(start, start + n),)], a)
        start += n
    return out


_kernels = []


def _joined(out, parts, dim):
    """Whether the parts, dense and of out's dtype, could be put together by whole runs of bytes."""
    d, outer = out.dtype, 1
    for s in out.shape[:dim]:
        outer *= s
    for a in parts:
        if a.dtype != d or not a.flags.c_contiguous:
            return False
    if not out.size:
        return True
    if not _kernels:
        if not available():
            return False
        from ..compiler.templates.runs import kernel
        _kernels.append(kernel("join"))
    _kernels[0](out, parts, outer, out.itemsize)
    return True


def _list_of(tensors, name):
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got "
                            f"{type(t).__name__}")
    return tensors


def _cat_into(out, tensors, dim=0):
    """``out=`` of tensors of its type whose sizes fit."""
    if type(tensors) not in (list, tuple) or not tensors or type(dim) is not int or not plain(out, tensors):
        return False
    arrays = [t._a for t in tensors]
    shape = list(arrays[0].shape)
    n = len(shape)
    if not -n <= dim < n:
        return False
    dim %= n
    total = 0
    for a in arrays:
        if a.ndim != n or a.shape[:dim] + a.shape[dim + 1:] != (*shape[:dim], *shape[dim + 1:]):
            return False
        total += a.shape[dim]
    shape[dim] = total
    return out._a.shape == tuple(shape) and _joined(out._a, arrays, dim)


def _stack_into(out, tensors, dim=0):
    """The same of `stack`."""
    if type(tensors) not in (list, tuple) or not tensors or type(dim) is not int or not plain(out, tensors):
        return False
    arrays = [t._a for t in tensors]
    shape = arrays[0].shape
    if not -len(shape) <= dim + 1 <= len(shape) + 1 or any(a.shape != shape for a in arrays):
        return False
    dim %= len(shape) + 1
    return out._a.shape == (*shape[:dim], len(arrays), *shape[dim:]) and _joined(out._a, arrays, dim)


@public(method=False, out=_cat_into)
def cat(tensors, dim=0, *, axis=None):
    """The tensors joined along an existing dimension; other sizes must agree."""
    if (type(tensors) is list or type(tensors) is tuple) and tensors and axis is None and type(tensors[0]) is Tensor:
        shape = tensors[0]._a.shape
        n = len(shape)
        if n and type(dim) is int and -n <= dim < n:
            for t in tensors:
                if type(t) is not Tensor or t._a.shape != shape:
                    break
            else:
                return _cat(tensors, dim + n if dim < 0 else dim)
    if axis is not None:
        dim = axis
    tensors = _list_of(tensors, "cat")
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    reference = next((t for t in tensors if t._a.shape != (0,)), tensors[0])
    shape = reference._a.shape
    for i, t in enumerate(tensors):
        if not t._a.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    dim = wrap_dim(dim, len(shape))
    n = len(shape)
    for i, t in enumerate(tensors):
        s = t._a.shape
        if s == shape or s == (0,):
            continue
        if len(s) != n:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {n} and {len(s)}")
        for d in range(n):
            if d != dim and s[d] != shape[d]:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected "
                                   f"size {shape[d]} but got size {s[d]} for tensor number {i} in the "
                                   "list.")
    return _cat(tensors, dim)


alias("concat", "cat", method=False)
alias("concatenate", "cat", method=False)


@primitive("stack(Tensor[] tensors, int dim) -> Tensor",
           vjp={"tensors": lambda g, tensors_dtype, dim: [
               p if d is p.dtype else _back(p, d) for p, d in zip(g.unbind(dim), tensors_dtype)]})
def _stack(arrays, dim):
    d = _result_dtype(arrays)
    first = arrays[0]
    out = alloc((*first.shape[:dim], len(arrays), *first.shape[dim:]), d)
    if _joined(out, arrays, dim):
        return out
    lead = (slice(None),) * dim
    for i, a in enumerate(arrays):
        copy_array(out[lead + (i, ...)], a)
    return out


@public(method=False, out=_stack_into)
def stack(tensors, dim=0):
    """Tensors of one shape joined along a new dimension."""
    if (type(tensors) is list or type(tensors) is tuple) and tensors and type(tensors[0]) is Tensor:
        shape = tensors[0]._a.shape
        n = len(shape) + 1
        if type(dim) is int and -n <= dim < n:
            for t in tensors:
                if type(t) is not Tensor or t._a.shape != shape:
                    break
            else:
                return _stack(tensors, dim + n if dim < 0 else dim)
    tensors = _list_of(tensors, "stack")
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = tensors[0]._a.shape
    dim = wrap_dim(dim, len(shape) + 1)
    for i, t in enumerate(tensors):
        if t._a.shape != shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(shape)} at "
                               f"entry 0 and {list(t.shape)} at entry {i}")
    return _stack(tensors, dim)


def _at_least(n, t):
    k = t._a.ndim
    if n == 1:
        return t.reshape(1) if k == 0 else t
    if n == 2:
        return t.reshape(1, 1) if k == 0 else t.unsqueeze(0) if k == 1 else t
    if k == 0:
        return t.reshape(1, 1, 1)
    if k == 1:
        return t.unsqueeze(0).unsqueeze(-1)
    return t.unsqueeze(-1) if k == 2 else t


def _atleast(n):
    def fn(*tensors):
        if len(tensors) == 1:
            x = tensors[0]
            if isinstance(x, Tensor):
                return _at_least(n, x)
            return tuple(_at_least(n, t) for t in x)
        return tuple(_at_least(n, t) for t in tensors)
    fn.__name__ = fn.__qualname__ = f"atleast_{n}d"
    fn.__doc__ = f"The tensors as views with at least {n} dimension{'s' if n > 1 else ''}."
    return public(fn.__name__, method=False)(fn)


for _n in (1, 2, 3):
    _atleast(_n)


@public(method=False, out=True)
def hstack(tensors):
    """cat along the second dimension (the first of vectors)."""
    tensors = _list_of(tensors, "hstack")
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    parts = [_at_least(1, t) for t in tensors]
    return cat(parts, 0 if parts[0]._a.ndim == 1 else 1)


@public(method=False, out=True)
def vstack(tensors):
    """cat of at least two-dimensional tensors along the first dimension."""
    tensors = _list_of(tensors, "vstack")
    if not tensors:
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat([_at_least(2, t) for t in tensors], 0)


alias("row_stack", "vstack", method=False)


@public(method=False, out=True)
def dstack(tensors):
    """cat of at least three-dimensional tensors along the third dimension."""
    tensors = _list_of(tensors, "dstack")
    if not tensors:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat([_at_least(3, t) for t in tensors], 2)


@public(method=False, out=True)
def column_stack(tensors):
    """hstack in which vectors count as columns."""
    tensors = _list_of(tensors, "column_stack")
    if not tensors:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    return hstack([t.reshape(t._a.size, 1) if t._a.ndim <= 1 else t for t in tensors])


@primitive("block_diag(Tensor[] tensors) -> Tensor",
           vjp={"tensors": lambda g, tensors_shape, tensors_dtype:
                _block_gradients(g, tensors_shape, tensors_dtype)})
def _block_diag(arrays):
    two = [np.atleast_2d(a) for a in arrays]
    out = zeros_array((sum(a.shape[0] for a in two), sum(a.shape[1] for a in two)),
                      _result_dtype(arrays))
    r = c = 0
    for a in two:
        out[r:r + a.shape[0], c:c + a.shape[1]] = a
        r, c = r + a.shape[0], c + a.shape[1]
    return out


def _block_gradients(g, shapes, dtypes):
    out, r, c = [], 0, 0
    for s, d in zip(shapes, dtypes):
        h, w = (1,) * (2 - len(s)) + tuple(s) if len(s) < 2 else s
        p = g[r:r + h, c:c + w]
        if len(s) < 2:
            p = p.reshape(s)
        out.append(p if d is p.dtype else _back(p, d))
        r, c = r + h, c + w
    return out


@public(method=False)
def block_diag(*tensors):
    """A matrix with the given matrices along its diagonal."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tensors[0]
    if not tensors:
        return wrap(np.empty((1, 0), np.float32))
    for i, t in enumerate(tensors):
        if t._a.ndim > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                               f"{i} has {t._a.ndim} dimensions")
    return _block_diag(list(tensors))


# ---------------------------------------------------------------- repeating

def _repeat_gradient(g, self_shape, repeats):
    lead = len(repeats) - len(self_shape)
    if 0 in repeats:
        return g.new_zeros(self_shape)
    split, dims = list(repeats[:lead]), list(range(lead))
    for r, s in zip(repeats[lead:], self_shape):
        if r != 1:
            dims.append(len(split))
            split += [r, s]
        else:
            split.append(s)
    return g.reshape(split).sum(dims) if dims else g.reshape(self_shape)


@primitive("repeat(Tensor self, int[] repeats) -> Tensor", vjp={"self": _repeat_gradient})
def _repeat(a, repeats):
    lead = len(repeats) - a.ndim
    shape = (1,) * lead + a.shape
    out = alloc(tuple([s * r for s, r in zip(shape, repeats)]), a.dtype)
    if out.size:
        blocks = out.reshape([x for s, r in zip(shape, repeats) for x in (r, s)])
        copy_array(blocks, a.reshape([x for s in shape for x in (1, s)]))
    return out


def repeat(input, *repeats):
    """The tensor tiled `repeats` times along each dimension."""
    from .views import sizes
    repeats = sizes(repeats)
    if len(repeats) < input._a.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of "
                           "dimensions of tensor")
    for r in repeats:
        if r < 0:
            raise RuntimeError("Trying to create tensor with negative dimension "
                               f"{r}: {[x for x in repeats]}")
    return _repeat(input, repeats)


METHODS["repeat"] = repeat


def tile(input, *dims):
    """``repeat`` with missing leading counts taken as 1."""
    from .views import sizes
    dims = sizes(dims)
    return repeat(input, (1,) * (input._a.ndim - len(dims)) + dims)


METHODS["tile"] = tile


@public("tile", method=False)
def tile_function(input, dims):
    """``repeat`` with missing leading counts taken as 1."""
    return tile(input, dims)


@public()
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Every element (or slice of `dim`) repeated; `repeats` is a number or one number each."""
    if repeats is None:
        counts = input
        if counts.dtype.name not in ("int64", "int32"):
            raise RuntimeError("repeats has to be Long or Int tensor")
        if counts._a.ndim != 1:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        if counts._a.size and watch.true(lambda a: a.min() < 0, counts):
            raise RuntimeError("repeats can not be negative")
        return _repeated_positions(counts, counts._a.shape[0])
    if dim is None:
        input = input.reshape(-1)
        dim = 0
    n = input._a.ndim
    if n == 0:
        input, n = input.reshape(1), 1
    dim = wrap_dim(dim, n)
    size = input._a.shape[dim]
    if isinstance(repeats, Tensor):
        if repeats.dtype.name not in ("int64", "int32"):
            raise RuntimeError("repeats has to be Long or Int tensor")
        counts = repeats._a
        if counts.ndim > 1:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        if counts.size and counts.min() < 0:
            raise RuntimeError("repeats can not be negative")
        if counts.size != 1 and counts.size != size:
            raise RuntimeError(f"repeats must have the same size as input along dim, but got "
                               f"repeats.size(0) = {counts.size} and input.size({dim}) = {size}")
        index = _repeated_positions(repeats, size)
        if output_size is not None and output_size != index._a.size:
            raise RuntimeError("repeat_interleave: Invalid output_size")
        return input.index_select(dim, index)
    if repeats < 0:
        raise RuntimeError(f"Repeats must be non-negative, got {repeats}")
    if output_size is not None and output_size != repeats * size:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, got {output_size} but expected "
                           f"{repeats * size}")
    shape = input._a.shape
    wide = input.unsqueeze(dim + 1).expand(*shape[:dim + 1], repeats, *shape[dim + 1:])
    return wide.clone(memory_format=devices.contiguous_format).flatten(dim, dim + 1)


@primitive("_repeated_positions(Tensor repeats, int size) -> Tensor", vjp=NONDIFF("positions"))
def _repeated_positions(counts, size):
    if counts.size == 1:
        counts = np.broadcast_to(counts.reshape(1), (size,))
    return np.repeat(np.arange(size), counts).astype(counts.dtype)


# ---------------------------------------------------------------- rolling and flipping

@primitive("roll(Tensor self, int[] shifts, int[] dims) -> Tensor",
           vjp={"self": lambda g, shifts, dims: _roll(g, tuple(-s for s in shifts), dims)})
def _roll(a, shifts, dims):
    out = alloc(a.shape, a.dtype)
    if not a.size:
        return out
    if not dims:
        _roll_into(out.reshape(-1), a.reshape(-1), ((0, shifts[0]),))
    else:
        total = {}
        for d, n in zip(dims, shifts):
            total[d] = total.get(d, 0) + n
        _roll_into(out, a, tuple(total.items()))
    return out


def _roll_into(out, a, moves):
    """Copy `a` with dimension d moved by n for each (d, n), in two parts a dimension."""
    if not moves:
        copy_array(out, a)
        return
    (d, n), rest = moves[0], moves[1:]
    size, lead = a.shape[d], (slice(None),) * moves[0][0]
    n %= size
    _roll_into(out[lead + (slice(n, None),)], a[lead + (slice(0, size - n),)], rest)
    if n:
        _roll_into(out[lead + (slice(0, n),)], a[lead + (slice(size - n, None),)], rest)


@public()
def roll(input, shifts, dims=None):
    """Elements moved cyclically by `shifts` along `dims` (of the flattened tensor without dims)."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        return _roll(input, shifts, ())
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:"
                           f"{len(dims)}")
    n = input._a.ndim
    return _roll(input, shifts, tuple(wrap_dim(d, n, scalar_ok=False) for d in dims))


@primitive("flip(Tensor self, int[] dims) -> Tensor", vjp={"self": lambda g, dims: _flip(g, dims)})
def _flip(a, dims):
    backwards = a[tuple([_BACK if d in dims else _ALL for d in range(a.ndim)])] if a.ndim else a
    if a.nbytes < _FEW_BYTES and watch.observer is None and a.flags.c_contiguous:
        return backwards.copy()
    from .pointwise.core import result_array
    out = result_array([a], a.dtype)
    copy_array(out, backwards)
    return out


_ALL, _BACK = slice(None), slice(None, None, -1)
_FEW_BYTES = 8192               # bytes for which NumPy's copy starts sooner


@public()
def flip(input, *args, dims=None):
    """Elements in reverse order along the given dimensions."""
    dims = args if dims is None else (dims,)
    if len(dims) == 1 and type(dims[0]) is int and 0 <= dims[0] < input._a.ndim:
        return _flip(input, dims)
    return _flip(input, wrap_dims(sizes(dims), input._a.ndim))


@public()
def fliplr(input):
    """Columns in reverse order."""
    if input._a.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flip(input, (1,))


@public()
def flipud(input):
    """Rows in reverse order."""
    if input._a.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _flip(input, (0,))


@primitive("rot90(Tensor self, int k, int[] dims) -> Tensor",
           vjp={"self": lambda g, k, dims: _rot90(g, -k, dims)})
def _rot90(a, k, dims):
    k %= 4
    if k == 0:
        return fresh(a)
    if k == 2:
        return fresh(np.flip(a, dims))
    # The result is a transpose of a fresh flip, as PyTorch lays it out.
    return fresh(np.flip(a, dims[1] if k == 1 else dims[0])).swapaxes(dims[0], dims[1])


@public()
def rot90(input, k=1, dims=(0, 1)):
    """Rotation by k quarter turns in the plane of two dimensions, from the first to the second."""
    dims = tuple(dims)
    n = input._a.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {n}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == n:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 "
                           f"= {dims[1]}")
    for i, d in enumerate(dims):
        if not -n <= d < n:
            raise RuntimeError(f"Rotation dim{i} out of range, dim{i} = {d}")
    return _rot90(input, k, tuple(d % n for d in dims))


# ---------------------------------------------------------------- triangles

@primitive("tril(Tensor self, int diagonal) -> Tensor",
           vjp={"self": lambda g, diagonal: _tril(g, diagonal)})
def _tril(a, diagonal):
    return _cut(a, diagonal, False)


@primitive("triu(Tensor self, int diagonal) -> Tensor",
           vjp={"self": lambda g, diagonal: _triu(g, diagonal)})
def _triu(a, diagonal):
    return _cut(a, diagonal, True)


def _cut(a, diagonal, upper):
    """A triangle of each matrix, in C order."""
    if not available():
        return (np.triu if upper else np.tril)(a, diagonal)
    h, w = a.shape[-2:]
    if a.nbytes < 4096 and watch.observer is None and -h <= diagonal <= w:
        out = a.copy()
        out[..., _off_triangle(h, w, diagonal, upper)] = 0
        return out
    from ..compiler.templates.runs import kernel
    out = alloc(a.shape, a.dtype)
    source = a if a.flags.c_contiguous else fresh(a)
    diagonal = max(-h - w, min(diagonal, h + w))
    watch.launch(kernel("triangle"), out, source, a.size // max(w, 1), a.itemsize, h, w, diagonal, upper)
    return out


@lru_cache(64)
def _off_triangle(h, w, diagonal, upper):
    """Mask of the elements that a triangle of a small matrix leaves out."""
    return ~(np.triu if upper else np.tril)(np.ones((h, w), bool), diagonal)


def _triangle(name, call):
    def fn(input, diagonal=0):
        if input._a.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return call(input, diagonal)
    fn.__name__ = fn.__qualname__ = name
    side = "lower" if name == "tril" else "upper"
    fn.__doc__ = f"The {side} triangle of each matrix, zeros elsewhere."
    public(name, out=True, inplace=True)(fn)


_triangle("tril", _tril)
_triangle("triu", _triu)
