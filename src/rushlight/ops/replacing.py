"""Copies with a part replaced (``*_scatter`` of the view ops), and fill_diagonal_."""

import numpy as np

from ..tensor.geometry import storage_extent, wrap_dim
from ..tensor.storage import MetaArray
from .dispatch import primitive
from .registry import public
from .slicing import _diagonal, _select, _slice, _writable_diagonal

_ndarray = np.ndarray


# ---------------------------------------------------------------- parts replaced

def _same_shape(name, part, src):
    if part.shape != src._a.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(part.shape)}")


@primitive("select_scatter(Tensor self, Tensor src, int dim, int index) -> Tensor",
           vjp={"self": lambda g, dim, index, src_shape:
                _select_scatter(g, g.new_zeros(src_shape), dim, index),
                "src": lambda g, dim, index: _select(g, dim, index)})
def _select_scatter(a, src, dim, index):
    out = a.copy()
    out[(slice(None),) * dim + (index,)] = src
    return out


@public(out=True)
def select_scatter(input, src, dim, index):
    """A copy with the slice at position `index` of dimension `dim` replaced by `src`."""
    n = input._a.ndim
    d = wrap_dim(dim, n)
    size = input._a.shape[d]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size "
                         f"{list(input.shape)} at dimension {d}")
    index %= size
    _same_shape("select_scatter", input._a[(slice(None),) * d + (index, ...)]
                if type(input._a) is _ndarray else MetaArray(
                    input._a.shape[:d] + input._a.shape[d + 1:], input._a.dtype), src)
    return _select_scatter(input, src.to(input.dtype), d, index)


@primitive("slice_scatter(Tensor self, Tensor src, int dim, int start, int end, int step) -> Tensor",
           vjp={"self": lambda g, src_shape, dim, start, end, step:
                _slice_scatter(g, g.new_zeros(src_shape), dim, start, end, step),
                "src": lambda g, dim, start, end, step: _slice(g, dim, start, end, step)})
def _slice_scatter(a, src, dim, start, end, step):
    out = a.copy()
    out[(slice(None),) * dim + (slice(start, end, step),)] = src
    return out


@public(out=True)
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """A copy with ``[start:end:step]`` of dimension `dim` replaced by `src`."""
    from .slicing import slice_bounds
    d = wrap_dim(dim, input._a.ndim)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    start, end = slice_bounds(input._a.shape[d], start, end)
    n = -((start - end) // step)
    _same_shape("slice_scatter", MetaArray(
        (*input._a.shape[:d], n, *input._a.shape[d + 1:]), input._a.dtype), src)
    return _slice_scatter(input, src.to(input.dtype), d, start, end, step)


@primitive("diagonal_scatter(Tensor self, Tensor src, int offset, int dim1, int dim2) -> Tensor",
           vjp={"self": lambda g, src_shape, offset, dim1, dim2:
                _diagonal_scatter(g, g.new_zeros(src_shape), offset, dim1, dim2),
                "src": lambda g, offset, dim1, dim2: _diagonal(g, offset, dim1, dim2)})
def _diagonal_scatter(a, src, offset, dim1, dim2):
    out = a.copy()
    _writable_diagonal(out, offset, dim1, dim2)[...] = src
    return out


@public(out=True)
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """A copy with a diagonal replaced by `src`."""
    n = input._a.ndim
    a, b = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    part = input.detach().diagonal(offset, a, b)
    if part._a.shape != src._a.shape:
        raise RuntimeError("expected src to have a size equal to the diagonal of self. src size = "
                           f"{list(src.shape)}, diagonal size = {list(part.shape)}")
    return _diagonal_scatter(input, src.to(input.dtype), offset, a, b)


@primitive("as_strided_scatter(Tensor self, Tensor src, int[] size, int[] stride, int storage_offset) "
           "-> Tensor",
           vjp={"self": lambda g, src_shape, size, stride, storage_offset:
                _strided_scatter(g, g.new_zeros(src_shape), size, stride, storage_offset),
                "src": lambda g, size, stride, storage_offset:
                g.contiguous().as_strided(size, stride, storage_offset)})
def _strided_scatter(a, src, size, stride, storage_offset):
    out = np.array(a, order="C")
    flat = out.reshape(-1)[storage_offset:]
    window = np.lib.stride_tricks.as_strided(flat, size, [s * a.itemsize for s in stride])
    window[...] = src
    return out


@public(out=True)
def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy with the elements of an ``as_strided`` window replaced by `src`."""
    size, stride = tuple(size), tuple(stride)
    offset = storage_offset or 0
    if size != src._a.shape:
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(size)}")
    need = storage_extent(size, stride, offset)
    if need > input._a.size:
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset "
                           f"{offset} are out of bounds for a tensor of {input._a.size} elements")
    return _strided_scatter(input, src.to(input.dtype), size, stride, offset)


@public(name="fill_diagonal_", namespaces=("torch",))
def fill_diagonal_(input, fill_value, wrap=False):
    """Write `fill_value` to the main diagonal (of a tall matrix repeatedly, if `wrap`)."""
    n = input._a.ndim
    if n < 2:
        raise RuntimeError("dimensions must larger than 1")
    shape = input._a.shape
    if n > 2 and len(set(shape)) != 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    strides = input.stride()
    step = sum(strides)
    size = min(shape[0], shape[1]) if n == 2 else shape[0]
    input.as_strided((size,), (step,), input._offset).fill_(fill_value)
    if wrap and n == 2 and shape[0] > shape[1] + 1:
        # After one row of no diagonal the pattern repeats.
        rows, cols = shape
        start = cols + 1
        while start < rows:
            k = min(cols, rows - start)
            input.as_strided((k,), (step,), input._offset + start * strides[0]).fill_(fill_value)
            start += cols + 1
    return input
