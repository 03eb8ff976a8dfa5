"""Reading by index: gather, index_select, take, masked_select, one_hot."""

from functools import lru_cache

import numpy as np

from .. import dtypes
from ..dtypes import scalar_name
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.geometry import broadcast_shapes, wrap_dim
from ..tensor.tensor import wrap
from . import walks
from .copy import converted, fill_array
from .dispatch import primitive
from .registry import public
from .selection import packed
from .slicing import zeros_array


def long_index(name, index, what="index"):
    """Refuse index tensors that are not int64 or int32."""
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for {what}")


# ---------------------------------------------------------------- gather

def out_of_range(index, n, dim):
    """The error for the first index outside [0, n)."""
    i = walks.first_outside(index, n)
    return RuntimeError(f"index {i} is out of bounds for dimension {dim} with size {n}")


@primitive("gather(Tensor self, int dim, Tensor index, bool sparse_grad) -> Tensor",
           vjp={"self": lambda g, self_shape, dim, index: _gather_backward(g, self_shape, dim, index)})
def _gather(a, dim, index, sparse_grad):
    out = alloc(index.shape, a.dtype)
    a1, i1 = a if a.ndim else a.reshape(1), index if index.ndim else index.reshape(1)
    if walks.get(a1, dim, i1, out.reshape(i1.shape)):
        raise out_of_range(index, a1.shape[dim], dim)
    return out


def _gather_backward(g, shape, dim, index):
    return g.new_zeros(shape).scatter_add(dim, index, g)


def check_gather(name, input, dim, index):
    """Wrapped dimension, after PyTorch's checks of rank, dtype and size."""
    n = input._a.ndim
    dim = wrap_dim(dim, n)
    if not index._a.size:
        return dim
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if max(n, 1) != max(index._a.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as "
                           f"{'input' if name == 'gather' else 'self'} tensor")
    for d in range(n):
        if d != dim and index._a.ndim and index._a.shape[d] > input._a.shape[d]:
            raise RuntimeError(f"Size does not match at dimension {d} expected index "
                               f"{list(index.shape)} to be no larger than self {list(input.shape)} apart "
                               f"from dimension {dim}")
    return dim


@public(out=True)
def gather(input, dim, index, *, sparse_grad=False):
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: values picked along `dim`."""
    d = check_gather("gather", input, dim, index)
    if not index._a.size:
        return input.reshape(-1)[:0].clone().reshape(index._a.shape)
    return _gather(input, d, index, sparse_grad)


def _wrapped(indices, n):
    """Negative positions counted from the end."""
    a = indices._a
    if type(a) is not np.ndarray:
        return indices if indices.is_meta else indices + n * (indices < 0)
    if a.size and a.min() < 0:
        return wrap(np.where(a < 0, a + n, a))
    return indices


@public(out=True)
def take_along_dim(input, indices, dim=None):
    """``gather`` with broadcasting of the other dimensions; without dim on the flattened tensors."""
    if indices.dtype is not dtypes.int64:
        raise RuntimeError("torch.take_along_dim(): dtype of indices should be Long but got "
                           f"{scalar_name(indices.dtype)}")
    if dim is None:
        return _gather(input.reshape(-1), 0, _wrapped(indices.reshape(-1), input._a.size), False)
    n = input._a.ndim
    if n != indices._a.ndim:
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of "
                           f"dimensions, but got {n} dimensions for input, and {indices._a.ndim} "
                           "dimensions for indices")
    d = wrap_dim(dim, n)
    a, b = list(input._a.shape), list(indices._a.shape)
    size, rows = a[d], b[d]
    b[d] = size
    common = list(broadcast_shapes(a, b))
    full = input.expand(common) if common != a else input
    common[d] = rows
    return _gather(full, d, _wrapped(indices.expand(common), size).contiguous(), False)


# ---------------------------------------------------------------- whole slices

@primitive("index_select(Tensor self, int dim, Tensor index) -> Tensor",
           vjp={"self": lambda g, self_shape, dim, index:
                _index_select_backward(g, self_shape, dim, index)})
def _index_select(a, dim, index):
    if not a.ndim:
        return a.copy()
    index = index.reshape(-1)
    out = alloc((*a.shape[:dim], index.size, *a.shape[dim + 1:]), a.dtype)
    if walks.get_rows(a, dim, index, out):
        raise IndexError("index out of range in self")
    return out


@primitive("_index_select_backward(Tensor grad, int[] shape, int dim, Tensor index) -> Tensor",
           node="IndexAddBackward0",
           vjp={"grad": lambda g, dim, index: _index_select(g, dim, index)})
def _index_select_backward(grad, shape, dim, index):
    if not shape:
        out = zeros_array(shape, grad.dtype)
        out[...] = grad.sum()
        return out
    return summed_slices(shape, dim, index.reshape(-1), grad)


def summed_slices(shape, dim, index, values):
    """Zeros of `shape` with the slices `values` of dimension `dim` added at the positions `index`."""
    d = values.dtype
    if walks.narrow(d) and d.kind != "c":
        single = np.dtype(np.float32)
        return converted(summed_slices(shape, dim, index, converted(values, single, "C")), d, "C")
    out = zeros_array(shape, d)
    add_slices(out, dim, index, values)
    return out


def add_slices(out, dim, index, values):
    """``out[..., index[k], ...] += values[..., k, ...]`` on dimension `dim`, in the order of k."""
    walks.combine_rows("add", out, dim, index, values)


@public(out=True)
def index_select(input, dim, index):
    """The slices of dimension `dim` at the positions `index` (a vector), copied."""
    n = input._a.ndim
    d = wrap_dim(dim, n)
    if index._a.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector, but got dim: "
                         f"{index._a.ndim}")
    long_index("index_select", index)
    if n == 0 and index._a.size != 1:
        raise RuntimeError("index_select(): Index to scalar can have only 1 value, got "
                           f"{index._a.size} value(s)")
    return _index_select(input, d, index)


@primitive("take(Tensor self, Tensor index) -> Tensor",
           vjp={"self": lambda g, self_shape, index: _take_backward(g, self_shape, index)})
def _take(a, index):
    n = a.size
    out = alloc(index.shape, a.dtype)
    if index.size and not n:
        raise IndexError("take(): tried to take from an empty tensor")
    if walks.get_rows(a.reshape(-1), 0, index.reshape(-1), out.reshape(-1), True):
        raise beyond_elements(index, n)
    return out


def beyond_elements(index, n):
    """The error for the first index that is no position among n elements."""
    return IndexError(f"out of range: tried to access index {walks.first_outside(index, n, True)} on a tensor of "
                      f"{n} elements.")


@primitive("_take_backward(Tensor grad, int[] shape, Tensor index) -> Tensor", node="PutBackward0",
           vjp={"grad": lambda g, index: _take(g, index)})
def _take_backward(grad, shape, index):
    out = zeros_array(shape, grad.dtype)
    walks.combine_rows("add", out.reshape(-1), 0, index.reshape(-1), grad.reshape(-1), True)
    return out


@public(out=True)
def take(input, index):
    """Elements of the flattened tensor at the given positions, in the shape of `index`."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError("take(): Expected a long tensor for index, but got "
                           f"{scalar_name(index.dtype)}")
    return _take(input, index)


# ---------------------------------------------------------------- masks

@primitive("masked_select(Tensor self, Tensor mask) -> Tensor",
           vjp={"self": lambda g, self, mask: _masked_select_backward(g, self, mask)})
def _masked_select(a, mask):
    if a.shape != mask.shape:
        shape = np.broadcast_shapes(a.shape, mask.shape)
        a, mask = np.broadcast_to(a, shape), np.broadcast_to(mask, shape)
    return packed(a, mask)


def _masked_select_backward(g, self, mask):
    shape = broadcast_shapes(self._a.shape, mask._a.shape)
    return g.new_zeros(shape).masked_scatter(mask, g)


@public(out=True)
def masked_select(input, mask):
    """The elements where `mask` is True, as a vector."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    broadcast_shapes(input._a.shape, mask._a.shape)
    return _masked_select(input, mask)


# ---------------------------------------------------------------- classes as unit vectors

_MOST_ONE_HOT = 1 << 16     # elements of results for which ones are kept ready


@lru_cache(32)
def _column_of_ones(n):
    return watch.fixed(np.ones((n, 1), np.int64))


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def one_hot(tensor, num_classes=-1):
    """Unit vectors (int64, along a new last dimension) for class numbers."""
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    a = tensor._a
    if not a.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return wrap(np.empty((*a.shape, num_classes), np.int64))
    if num_classes > 0 and type(a) is np.ndarray and a.size * num_classes < _MOST_ONE_HOT:
        out = alloc((*a.shape, num_classes), a.dtype)
        fill_array(out, 0)
        if not walks.put(out.reshape(a.size, num_classes), 1, a.reshape(-1, 1), _column_of_ones(a.size)):
            t = wrap(out)
            if watch.observer is not None:
                watch.observer.constant(t)
            return t
    if a.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(a.max()) + 1
    else:
        if num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        if num_classes <= a.max():
            raise RuntimeError("Class values must be smaller than num_classes.")
    out = np.zeros((a.size, num_classes), np.int64)
    out[np.arange(a.size), a.reshape(-1)] = 1
    return wrap(out.reshape(*a.shape, num_classes))


@public(method=False)
def unravel_index(indices, shape):
    """Coordinates in a tensor of the given shape of positions in its flattened form."""
    if indices.dtype.category != dtypes.INT:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype!r}")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(s < 0 for s in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    out, rest = [], indices
    for n in reversed(shape):
        out.append(rest % n)
        rest = rest // n
    return tuple(reversed(out))
