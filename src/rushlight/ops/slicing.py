"""Views of parts: select, narrow, slices, splits, diagonals, windows; and their backward ops."""

from operator import index as as_index

import numpy as np

from ..runtime.allocator import empty as alloc
from ..tensor.geometry import wrap_dim
from ..tensor.tensor import Tensor
from .copy import fill_array
from .dispatch import primitive, view_primitive
from .registry import public


def zeros_array(shape, np_dtype):
    """A fresh array of zeros."""
    a = alloc(tuple(shape), np_dtype)
    fill_array(a, 0)
    return a


# ---------------------------------------------------------------- select

@primitive("select_backward(Tensor grad, int[] input_sizes, int dim, int index) -> Tensor",
           node="SelectBackwardBackward0",
           vjp={"grad": lambda g, dim, index: _select(g, dim, index)})
def select_backward(grad, input_sizes, dim, index):
    a = zeros_array(input_sizes, grad.dtype)
    a[(slice(None),) * dim + (index,)] = grad
    return a


@view_primitive("select.int(Tensor(a) self, int dim, int index) -> Tensor(a)",
                vjp={"self": lambda g, self_shape, dim, index:
                     select_backward(g, self_shape, dim, index)})
def _select(t, dim, index):
    shape, strides = t._a.shape, t.stride()
    return (shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:],
            t._offset + index * strides[dim])


@public()
def select(input, dim, index):
    """The part of `input` at position `index` of dimension `dim`, which disappears."""
    n = input._a.ndim
    if n == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, n)
    size = input._a.shape[d]
    i = index.__index__()
    if not -size <= i < size:
        of = f"of size {size}" if input.is_nested else f"for tensor of size {list(input.shape)}"
        raise IndexError(f"select(): index {index} out of range {of} at dimension {d}")
    return _select(input, d, i + size if i < 0 else i)


# ---------------------------------------------------------------- slice and narrow

@primitive("slice_backward(Tensor grad, int[] input_sizes, int dim, int start, int end, int step) "
           "-> Tensor", node="SliceBackwardBackward0",
           vjp={"grad": lambda g, dim, start, end, step: _slice(g, dim, start, end, step)})
def slice_backward(grad, input_sizes, dim, start, end, step):
    a = zeros_array(input_sizes, grad.dtype)
    a[(slice(None),) * dim + (slice(start, end, step),)] = grad
    return a


@view_primitive("slice.Tensor(Tensor(a) self, int dim, int start, int end, int step) -> Tensor(a)",
                vjp={"self": lambda g, self_shape, dim, start, end, step:
                     slice_backward(g, self_shape, dim, start, end, step)})
def _slice(t, dim, start, end, step):
    shape, strides = t._a.shape, t.stride()
    n = -((start - end) // step)
    return ((*shape[:dim], n, *shape[dim + 1:]),
            (*strides[:dim], strides[dim] * step, *strides[dim + 1:]),
            t._offset + start * strides[dim])


def slice_bounds(size, start, end):
    """Start and end of a slice as non-negative positions, clamped as PyTorch clamps them."""
    start = 0 if start is None else as_index(start)
    end = size if end is None else as_index(end)
    if start < 0:
        start = max(start + size, 0)
    elif start > size:
        start = size
    if end < 0:
        end += size
    if end < start:
        end = start
    elif end > size:
        end = size
    return start, end


def slice_dim(input, dim, start=None, end=None, step=1):
    """``input[..., start:end:step]`` on dimension `dim`."""
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, end = slice_bounds(input._a.shape[dim], start, end)
    return _slice(input, dim, start, end, step)


@public()
def narrow(input, dim, start, length):
    """`length` elements of dimension `dim` from `start` on."""
    n = input._a.ndim
    if n == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor):
        if start._a.ndim or start.dtype.category != 1:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = start.item()
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    d = wrap_dim(dim, n)
    size = input._a.shape[d]
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got "
                         f"{start})")
    if start < 0:
        start += size
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return _slice(input, d, start, start + length, 1)


# ---------------------------------------------------------------- several parts

def _cat(gs, dim):
    from .joining import cat
    return cat(gs, dim)


@view_primitive("split.Tensor(Tensor(a) self, int split_size, int dim) -> Tensor(a)[]",
                multi_output=True, vjp={"self": lambda gs, dim: _cat(gs, dim)})
def _split(t, split_size, dim):
    n = t._a.shape[dim]
    count = max((n + split_size - 1) // split_size, 1) if split_size else 1
    lengths = [split_size] * count
    lengths[-1] = n - split_size * (count - 1)
    return _parts(t, lengths, dim)


@view_primitive("split_with_sizes(Tensor(a) self, int[] split_sizes, int dim) -> Tensor(a)[]",
                multi_output=True, vjp={"self": lambda gs, dim: _cat(gs, dim)})
def _split_with_sizes(t, split_sizes, dim):
    return _parts(t, split_sizes, dim)


def _parts(t, lengths, dim):
    shape, strides, offset = t._a.shape, t.stride(), t._offset
    lead, tail, step = shape[:dim], shape[dim + 1:], strides[dim]
    out = []
    for n in lengths:
        out.append(((*lead, n, *tail), strides, offset))
        offset += n * step
    return out


@public("split", method=False)
def split(tensor, split_size_or_sections, dim=0):
    """Consecutive parts of dimension `dim`: of one size (the last may be smaller), or of given sizes."""
    n = tensor._a.ndim
    if n == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, n)
    size = tensor._a.shape[d]
    s = split_size_or_sections
    if isinstance(s, (list, tuple)):
        return split_with_sizes(tensor, s, d)
    s = s.__index__()
    if s < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={s}")
    if s == 0 and size != 0:
        raise RuntimeError("split_size can only be 0 if dimension size is 0, but got dimension size of "
                           f"{size}")
    return _split(tensor, s, d)


@public("split", namespaces=())
def _split_method(self, split_size, dim=0):
    """Consecutive parts of dimension `dim`, see `torch.split`."""
    return split(self, split_size, dim)


@public()
def split_with_sizes(input, split_sizes, dim=0):
    """Consecutive parts of dimension `dim` of the given sizes."""
    n = input._a.ndim
    if n == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, n)
    sizes = tuple(s.__index__() for s in split_sizes)
    size = input._a.shape[d]
    if any(s < 0 for s in sizes):
        raise RuntimeError("split_with_sizes expects split_sizes have only non-negative entries, but "
                           f"got split_sizes={list(sizes)}")
    if sum(sizes) != size:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {size} (input "
                           f"tensor's size at dimension {d}), but got split_sizes={list(sizes)}")
    return _split_with_sizes(input, sizes, d)


@public()
def unsafe_split(input, split_size, dim=0):
    """``split`` whose parts are copies."""
    return tuple(p.clone() for p in split(input, split_size, dim))


@public()
def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """``split_with_sizes`` whose parts are copies."""
    return tuple(p.clone() for p in split_with_sizes(input, split_sizes, dim))


def _chunk_size(input, chunks, dim):
    if input._a.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0, got: " + str(chunks))
    d = wrap_dim(dim, input._a.ndim)
    n = input._a.shape[d]
    return (n + chunks - 1) // chunks, d, n


@public()
def chunk(input, chunks, dim=0):
    """At most `chunks` parts of equal size (the last may be smaller)."""
    s, d, n = _chunk_size(input, chunks, dim)
    if s == 0 and n == 0:
        return _split_with_sizes(input, (0,) * chunks, d)
    return _split(input, s, d)


@public()
def unsafe_chunk(input, chunks, dim=0):
    """``chunk`` whose parts are copies."""
    return tuple(p.clone() for p in chunk(input, chunks, dim))


@public()
def tensor_split(input, indices_or_sections, dim=0, *, indices=None, sections=None):
    """Parts cut at given indices, or a number of parts as equal as possible."""
    spec = indices_or_sections if indices is None and sections is None else \
        indices if sections is None else sections
    n = input._a.ndim
    if n == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor "
                           "with 0 dims")
    d = wrap_dim(dim, n)
    size = input._a.shape[d]
    if isinstance(spec, Tensor):
        if spec.dtype.name != "int64":
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to have dtype of long")
        if spec._a.ndim > 1:
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to be a "
                               "zero-dimensional or one-dimensional tensor, but got a tensor with "
                               f"{spec._a.ndim} dims")
        spec = spec.tolist()
    if isinstance(spec, int):
        if spec <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {spec}")
        small, extra = divmod(size, spec)
        cuts, at = [], 0
        for i in range(spec - 1):
            at += small + (i < extra)
            cuts.append(at)
    else:
        cuts = list(spec)
    starts, ends = [0, *cuts], [*cuts, size]
    return tuple(slice_dim(input, d, a, b) for a, b in zip(starts, ends))


def _axis_split(name, least, dim_of, spell):
    def fn(input, indices_or_sections=None, *, indices=None, sections=None):
        spec = next(x for x in (indices_or_sections, indices, sections) if x is not None)
        n = input._a.ndim
        if n < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {spell}, but got a "
                               f"tensor with {n} dimensions!")
        d = dim_of(n)
        if isinstance(spec, int):
            if spec == 0 or input._a.shape[d] % spec:
                raise RuntimeError(f"torch.{name} attempted to split along dimension {d}, but the size "
                                   f"of the dimension {input._a.shape[d]} is not divisible by the "
                                   f"split_size {spec}!")
        return tensor_split(input, spec, d)
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = "tensor_split along a fixed dimension; a number of parts must divide its size."
    return public(name)(fn)


hsplit = _axis_split("hsplit", 1, lambda n: 0 if n == 1 else 1, "1 dimension")
vsplit = _axis_split("vsplit", 2, lambda n: 0, "2 dimension")
dsplit = _axis_split("dsplit", 3, lambda n: 2, "3 dimension")


def _stack(gs, dim):
    from .joining import stack
    return stack(gs, dim)


@view_primitive("unbind.int(Tensor(a) self, int dim) -> Tensor(a)[]", multi_output=True,
                vjp={"self": lambda gs, dim: _stack(gs, dim)})
def _unbind(t, dim):
    shape, strides, offset = t._a.shape, t.stride(), t._offset
    inner, st, step = shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:], strides[dim]
    return [(inner, st, offset + i * step) for i in range(shape[dim])]


@public()
def unbind(input, dim=0):
    """All slices of dimension `dim`."""
    n = input._a.ndim
    if n == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = wrap_dim(dim, n)
    return _unbind(input, d) if input._a.shape[d] else ()


# ---------------------------------------------------------------- diagonals

@primitive("diagonal_backward(Tensor grad, int[] input_sizes, int offset, int dim1, int dim2) "
           "-> Tensor", node="DiagonalBackwardBackward0",
           vjp={"grad": lambda g, offset, dim1, dim2: _diagonal(g, offset, dim1, dim2)})
def diagonal_backward(grad, input_sizes, offset, dim1, dim2):
    a = zeros_array(input_sizes, grad.dtype)
    _writable_diagonal(a, offset, dim1, dim2)[...] = grad
    return a


def _writable_diagonal(a, offset, dim1, dim2):
    d = a.diagonal(offset, dim1, dim2)
    d.flags.writeable = True
    return d


@view_primitive("diagonal(Tensor(a) self, int offset, int dim1, int dim2) -> Tensor(a)",
                vjp={"self": lambda g, self_shape, offset, dim1, dim2:
                     diagonal_backward(g, self_shape, offset, dim1, dim2)})
def _diagonal(t, offset, dim1, dim2):
    shape, strides, start = t._a.shape, t.stride(), t._offset
    if offset >= 0:
        n = max(min(shape[dim1], shape[dim2] - offset), 0)
        step = offset * strides[dim2]
    else:
        n = max(min(shape[dim1] + offset, shape[dim2]), 0)
        step = -offset * strides[dim1]
    keep = [i for i in range(len(shape)) if i not in (dim1, dim2)]
    return ((*[shape[i] for i in keep], n),
            (*[strides[i] for i in keep], strides[dim1] + strides[dim2]),
            start + (step if n else 0))


@public()
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonals of the planes of dimensions `dim1` and `dim2`, as the last dimension."""
    n = input._a.ndim
    a, b = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, a, b)


@public("diagonal", namespaces=("torch.linalg",), method=False)
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """``torch.diagonal`` of the last two dimensions."""
    return diagonal(A, offset, dim1, dim2)


@primitive("diag_embed(Tensor self, int offset, int dim1, int dim2) -> Tensor",
           vjp={"self": lambda g, offset, dim1, dim2: _diagonal(g, offset, dim1, dim2)})
def _diag_embed(a, offset, dim1, dim2):
    n = a.shape[-1] + abs(offset)
    shape = list(a.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, n)
    out = zeros_array(shape, a.dtype)
    _writable_diagonal(out, offset, dim1, dim2)[...] = a
    return out


@public()
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last dimension of `input` on a diagonal."""
    n = input._a.ndim + 1
    a, b = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if input._a.ndim == 0:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    return _diag_embed(input, offset, a, b)


@public(out=True)
def diag(input, diagonal=0):
    """A matrix with the vector on its diagonal, or the diagonal of a matrix (a copy)."""
    n = input._a.ndim
    if n == 1:
        return _diag_embed(input, diagonal, 0, 1)
    if n == 2:
        return _diagonal(input, diagonal, 0, 1).clone()
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {n}D")


@public()
def diagflat(input, offset=0):
    """A matrix with all elements of `input` on its diagonal."""
    return _diag_embed(input.reshape(-1), offset, 0, 1)


# ---------------------------------------------------------------- sliding windows

@primitive("unfold_backward(Tensor grad, int[] input_sizes, int dim, int size, int step) -> Tensor",
           node="UnfoldBackwardBackward0",
           vjp={"grad": lambda g, dim, size, step: g.unfold(dim, size, step)})
def unfold_backward(grad, input_sizes, dim, size, step):
    a = zeros_array(input_sizes, grad.dtype)
    if not input_sizes:
        a[...] = grad.reshape(())
        return a
    inner = np.moveaxis(a, dim, -1)
    g = np.moveaxis(grad, dim, -2)
    n = g.shape[-2]
    for k in range(size):
        inner[..., k:k + (n - 1) * step + 1:step] += g[..., k]
    return a


@view_primitive("unfold(Tensor(a) self, int dim, int size, int step) -> Tensor(a)",
                vjp={"self": lambda g, self_shape, dim, size, step:
                     unfold_backward(g, self_shape, dim, size, step)})
def _unfold(t, dim, size, step):
    shape, strides = t._a.shape, t.stride()
    if not shape:
        return (size,), (1,), t._offset
    n = (shape[dim] - size) // step + 1
    return ((*shape[:dim], n, *shape[dim + 1:], size),
            (*strides[:dim], strides[dim] * step, *strides[dim + 1:], strides[dim]), t._offset)


@public(namespaces=())
def unfold(input, dimension, size, step):
    """All windows of `size` elements of a dimension, `step` apart, as a new last dimension."""
    d = wrap_dim(dimension, input._a.ndim)
    n = input._a.shape[d] if input._a.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return _unfold(input, d, size, step)
