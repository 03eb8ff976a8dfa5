"""Sums and softmax of sparse tensors."""

import numpy as np

import rushlight as torch
from rushlight import dtypes

from .arrays import Compressed, Coo, closed, coo, handles, is_compressed, is_coo, opened, refused
from .compressed import coordinates
from .conversion import coalesce, flat_positions, merged, ruled, to_tensor


@handles("sum")
def _sum_all(x, np_dtype):
    dtype = dtypes.from_np(np_dtype)
    with torch.no_grad():
        out = x._a.values.sum(dtype=dtype)
    shape = x._a.shape
    return ruled(out, "SumBackward0", (x, lambda g: g.expand(shape)))


@handles("sum.dim_IntList")
def _sum_dims(x, dims, keepdim, np_dtype):
    dtype = dtypes.from_np(np_dtype)
    dims = tuple(range(x.dim())) if not dims else tuple(dims)
    if is_compressed(x):
        return _sum_compressed(x, dims, keepdim, dtype)
    out = _summed(x, dims, dtype, "SumBackward1")
    if keepdim:
        for d in sorted(dims):
            out = out.unsqueeze(d)
    return out


def _sum_compressed(x, dims, keepdim, dtype):
    if len(dims) == x.dim():
        return _sum_all(x, dtype.np)
    if not keepdim:
        raise RuntimeError("reduction operations on CSR tensors with keepdim=False is unsupported")
    if x.layout is not torch.sparse_csr or x._a.batch:
        raise refused("sum.dim_IntList", x._a)
    parts = x._a
    rows, cols = coordinates(parts, ordered=False)[0]
    kept = rows if dims == (1,) else cols
    lines, group = np.unique(kept, return_inverse=True)
    values = opened(x).to(dtype)
    values = values.new_zeros((lines.size,)).index_add(0, to_tensor(group.astype(np.int64)), values)
    n, m = parts.shape
    if dims == (1,):
        compressed = np.concatenate([[0], np.cumsum(np.bincount(lines, minlength=n))]).astype(np.int64)
        shape, plain = (n, 1), np.zeros(lines.size, np.int64)
    else:
        compressed, shape, plain = np.array([0, lines.size], np.int64), (1, m), lines.astype(np.int64)
    out = Compressed(parts.layout, shape, to_tensor(compressed), to_tensor(plain), values)
    return closed(values, out, "SumBackward1")


def _summed(x, dims, dtype, name):
    """The sum of a COO tensor over `dims`: dense once no sparse dimension is left."""
    parts = x._a
    n = parts.sparse_dim
    sparse = [d for d in range(n) if d not in dims]
    inner = [d - n + 1 for d in dims if d >= n]
    values = opened(x).to(dtype)
    if inner:
        values = values.sum(inner)
    if not sparse:
        return values.sum(0)
    shape = tuple(s for d, s in enumerate(parts.shape) if d not in dims)
    if len(sparse) == n:
        return coo(shape, parts.indices, values, parts.coalesced, name)
    indices = to_tensor(np.ascontiguousarray(parts.indices._a[sparse]))
    indices, values = merged(Coo(shape, indices, None), values)
    return coo(shape, indices, values, True, name)


def sum(input, dim=None, dtype=None):
    r"""The sum of a sparse tensor over `dim` (None for all): a sparse tensor while sparse dimensions are left.

    Gradients have the pattern of `input`. Errors: IndexError for a dimension out of range.
    """
    if not is_coo(input):
        if is_compressed(input) and dim is not None:
            raise refused("_indices", input._a)
        return input.sum(dtype=dtype) if dim is None else torch.sum(input, dim, dtype=dtype)
    if dtype is None:
        d = input.dtype
        dtype = d if d.is_floating_point or d.is_complex else torch.int64
    if dim is None:
        return opened(input).to(dtype).sum()
    found = []
    for d in (dim,) if isinstance(dim, int) else dim:
        if not -input.dim() <= d < input.dim():
            raise IndexError(f"Dimension out of range (expected to be in range of [{-input.dim()}, {input.dim() - 1}], "
                             f"but got {d})")
        found.append(d % input.dim())
    return _summed(coalesce(input), tuple(found), dtype, "SparseSumBackward0")


def softmax(input, dim, *, dtype=None):
    r"""``exp(x_i) / sum_j exp(x_j)`` along `dim` over the elements that are there; others count as -inf.

    Args: input: COO; dim: sparse or dense. Errors: NotImplementedError for other layouts.
    """
    return _softmax(input, dim, dtype, False)


def log_softmax(input, dim, *, dtype=None):
    r"""Logarithm of :func:`softmax`."""
    return _softmax(input, dim, dtype, True)


def _softmax(x, dim, dtype, log):
    node = "SparseLogSoftmaxBackward0" if log else "SparseSoftmaxBackward0"
    if not is_coo(x):
        if is_compressed(x):
            raise refused("_sparse_log_softmax" if log else "_sparse_softmax", x._a)
        raise NotImplementedError("sparse.softmax: expected a sparse tensor")
    n = x.dim()
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    dim %= n
    x = coalesce(x)
    parts = x._a
    values = opened(x)
    if dtype is not None:
        values = values.to(dtype)
    k = parts.sparse_dim
    if dim >= k:
        fn = torch.log_softmax if log else torch.softmax
        return closed(fn(values, dim - k + 1), parts, node)
    rest = [d for d in range(k) if d != dim]
    key = flat_positions(parts.indices._a[rest], [parts.shape[d] for d in rest])
    lines, group = np.unique(key, return_inverse=True)
    index = to_tensor(group.astype(np.int64))
    wide = index.reshape(-1, *[1] * (values.dim() - 1)).expand(values.shape)
    shape = (lines.size, *values.shape[1:])
    with torch.no_grad():
        top = values.detach().new_full(shape, -float("inf")).scatter_reduce(0, wide, values.detach(), "amax")
        top = top.index_select(0, index)
    shifted = values - top
    total = values.new_zeros(shape).index_add(0, index, shifted.exp())
    if log:
        return closed(shifted - total.log().index_select(0, index), parts, node)
    return closed(shifted.exp() / total.index_select(0, index), parts, node)


@handles("any")
def _any(x, dims, keepdim):
    if is_compressed(x) or dims and len(dims) < x.dim():
        raise refused("any", x._a)
    out = coalesce(x)._a.values.any()
    return out.reshape([1] * x.dim()) if keepdim else out


@handles("linalg_vector_norm")
def _norm(x, ord, dims, keepdim, *rest):
    if is_compressed(x) or dims and len(dims) < x.dim():
        raise refused("norm", x._a)
    return torch.linalg.vector_norm(opened(coalesce(x)), ord)


__all__ = ["log_softmax", "softmax", "sum"]
