"""Dimensions and positions of sparse tensors: transposes, selections, joins."""

import numpy as np

import rushlight as torch

from .arrays import Compressed, Coo, closed, coo, handles, is_compressed, is_coo, opened, refused
from .conversion import ruled, to_coo, to_tensor

_FLIPPED = {torch.sparse_csr: torch.sparse_csc, torch.sparse_csc: torch.sparse_csr, torch.sparse_bsr: torch.sparse_bsc,
            torch.sparse_bsc: torch.sparse_bsr}


def _permuted(x, dims, name):
    parts = x._a
    dims = [d % max(x.dim(), 1) for d in dims]
    if is_compressed(x):
        return _permuted_compressed(x, dims, name)
    back = [dims.index(d) for d in range(len(dims))]
    n = parts.sparse_dim
    if sorted(dims[:n]) != list(range(n)):
        raise RuntimeError("transpose(permute): the sparse and dense dimensions of a sparse tensor cannot be exchanged")
    shape = tuple(parts.shape[d] for d in dims)
    if dims[:n] == list(range(n)):
        indices, coalesced = parts.indices, parts.coalesced
    else:
        indices, coalesced = to_tensor(np.ascontiguousarray(parts.indices._a[dims[:n]])), False
    values = parts.values.detach()
    if dims[n:] != list(range(n, x.dim())):
        values = values.permute(0, *[d - n + 1 for d in dims[n:]]).contiguous()
    out = coo(shape, indices, values, coalesced or parts.nnz < 2, name)
    return ruled(out, name, (x, lambda g: _permuted(g, back, name) if is_coo(g) else g.permute(back)))


def _permuted_compressed(x, dims, name):
    parts = x._a
    if dims == list(range(x.dim())):
        return x
    b = parts.batch
    if dims[:b] != list(range(b)) or dims[b:b + 2] != [b + 1, b] or dims[b + 2:] != list(range(b + 2, x.dim())):
        raise RuntimeError(f"transpose: only the two sparse dimensions of a tensor of layout {parts.layout!r} can be "
                           "exchanged")
    shape = tuple(parts.shape[d] for d in dims)
    values = opened(x)
    if parts.block is not None:
        values = values.transpose(b + 1, b + 2)
    return closed(values, Compressed(_FLIPPED[parts.layout], shape, parts.compressed, parts.plain, values), name)


@handles("transpose.int")
def _transpose(x, d0, d1):
    dims = list(range(x.dim()))
    if dims:
        dims[d0], dims[d1] = dims[d1], dims[d0]
    return _permuted(x, dims, "TransposeBackward0")


@handles("t")
def _t(x):
    return _permuted(x, list(range(x.dim()))[::-1], "TBackward0")


@handles("permute")
def _permute(x, dims):
    return _permuted(x, list(dims), "PermuteBackward0")


@handles("unsqueeze")
def _unsqueeze(x, dim):
    if is_compressed(x):
        raise RuntimeError(f"{x._a.kind} tensors do not have strides")
    parts = x._a
    n = parts.sparse_dim
    dim %= x.dim() + 1
    shape = (*parts.shape[:dim], 1, *parts.shape[dim:])
    if dim <= n:
        indices = np.insert(parts.indices._a, dim, 0, axis=0)
        return coo(shape, to_tensor(np.ascontiguousarray(indices)), opened(x), False, "UnsqueezeBackward0")
    return coo(shape, parts.indices, opened(x).unsqueeze(dim - n + 1), False, "UnsqueezeBackward0")


def _rows(x, keep, indices, shape, coalesced, name):
    values = opened(x).index_select(0, to_tensor(keep))
    return coo(shape, to_tensor(np.ascontiguousarray(indices)), values, coalesced, name)


@handles("select.int")
def _select(x, dim, index):
    by_rows = False
    if is_compressed(x):
        if x._a.batch and dim < x._a.batch:
            parts = x._a
            inner = closed(opened(x).select(dim, index), Compressed(
                parts.layout, (*parts.shape[:dim], *parts.shape[dim + 1:]), parts.compressed.select(dim, index),
                parts.plain.select(dim, index), parts.values.select(dim, index)), "SelectBackward0")
            return inner
        x = to_coo(x)
        by_rows = True
    parts = x._a
    n = parts.sparse_dim
    dim %= x.dim()
    if not -parts.shape[dim] <= index < parts.shape[dim]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(parts.shape)} at dimension "
                         f"{dim}")
    index %= parts.shape[dim]
    shape = (*parts.shape[:dim], *parts.shape[dim + 1:])
    if dim >= n:
        return coo(shape, parts.indices, opened(x).select(dim - n + 1, index), False, "SelectBackward0")
    keep = np.nonzero(parts.indices._a[dim] == index)[0]
    if n == 1:
        return opened(x).index_select(0, to_tensor(keep)).sum(0)
    indices = np.delete(parts.indices._a[:, keep], dim, axis=0)
    return _rows(x, keep, indices, shape, by_rows or keep.size < 2, "SelectBackward0")


@handles("unbind.int")
def _unbind(x, dim):
    return tuple(_select(x, dim, i) for i in range(x.shape[dim]))


@handles("index_select")
def _index_select(x, dim, index):
    if is_compressed(x):
        raise refused("index_select", x._a)
    parts = x._a
    n = parts.sparse_dim
    dim %= x.dim()
    shape = (*parts.shape[:dim], index.numel(), *parts.shape[dim + 1:])
    if dim >= n:
        return coo(shape, parts.indices, opened(x).index_select(dim - n + 1, index), False,
                   "IndexSelectBackward0")
    size = parts.shape[dim]
    wanted = index._a.astype(np.int64)
    if wanted.size and (wanted.min() < -size or wanted.max() >= size):
        raise IndexError(f"index_select(): index out of range for dimension {dim} of size {size}")
    wanted = np.where(wanted < 0, wanted + size, wanted)
    order = np.argsort(wanted, kind="stable")
    ordered = wanted[order]
    own = parts.indices._a[dim]
    low, high = np.searchsorted(ordered, own, "left"), np.searchsorted(ordered, own, "right")
    count = high - low
    keep = np.repeat(np.arange(own.size), count)
    step = np.arange(keep.size) - np.repeat(np.cumsum(count) - count, count)
    place = order[low[keep] + step]
    by_place = np.argsort(place, kind="stable")
    keep, place = keep[by_place], place[by_place]
    indices = parts.indices._a[:, keep]
    indices[dim] = place
    return _rows(x, keep, indices, shape, False, "IndexSelectBackward0")


def _all_sparse(tensors):
    for i, t in enumerate(tensors):
        if is_compressed(t):
            raise RuntimeError(f"{t._a.kind} tensors do not have is_contiguous")
        if not is_coo(t):
            raise RuntimeError(f"Concatenating sparse tensors, but a dense tensor was found at position {i}.")
    n = tensors[0]._a.sparse_dim
    if any(t._a.sparse_dim != n for t in tensors):
        raise RuntimeError("All tensors must have the same number of sparse dimensions")
    return n


@handles("cat")
def _cat(tensors, dim):
    n = _all_sparse(tensors)
    first = tensors[0]._a
    dim %= first.ndim
    for t in tensors:
        a, b = list(first.shape), list(t._a.shape)
        if len(a) != len(b) or a[:dim] + a[dim + 1:] != b[:dim] + b[dim + 1:]:
            raise RuntimeError("All tensors must have the same shape: "
                               f"{a} (except in the concatenating dimension), but found shape: {b}")
    shape = (*first.shape[:dim], int(np.sum([t._a.shape[dim] for t in tensors])), *first.shape[dim + 1:])
    if dim < n:
        found, offset = [], 0
        for t in tensors:
            a = t._a.indices._a.copy()
            a[dim] += offset
            offset += t._a.shape[dim]
            found.append(a)
        indices = to_tensor(np.concatenate(found, 1))
        return coo(shape, indices, torch.cat([opened(t) for t in tensors]), False, "CatBackward0")
    values, offset, d = [], 0, dim - n + 1
    for t in tensors:
        v = opened(t)
        before, after = offset, shape[dim] - offset - v.shape[d]
        pads = [v.new_zeros((*v.shape[:d], k, *v.shape[d + 1:])) for k in (before, after)]
        values.append(torch.cat([pads[0], v, pads[1]], d))
        offset += v.shape[d]
    return coo(shape, torch.cat([t._a.indices for t in tensors], 1), torch.cat(values), False, "CatBackward0")


@handles("stack")
def _stack(tensors, dim):
    _all_sparse(tensors)
    return _cat([_unsqueeze(t, dim) for t in tensors], dim % (tensors[0].dim() + 1))


def sparse_resize_(t, size, sparse_dim, dense_dim):
    """Give the COO tensor `t` another shape and other numbers of sparse and dense dimensions, in place.

    With elements, sparse dimensions may only grow. Errors: RuntimeError otherwise.
    """
    size = tuple(size)
    if sparse_dim + dense_dim != len(size):
        raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
                           f"sparse_dim = {sparse_dim}, dense_dim = {dense_dim}")
    parts = t._a
    if parts.nnz:
        advice = " on a non-empty sparse tensor is not supported."
        dense = parts.ndim - parts.sparse_dim
        if sparse_dim != parts.sparse_dim:
            raise RuntimeError(f"changing the number of sparse dimensions (from {parts.sparse_dim} to {sparse_dim})"
                               + advice)
        if dense_dim != dense:
            raise RuntimeError(f"changing the number of dense dimensions (from {dense} to {dense_dim})" + advice)
        for what, a, b in (("sparse", parts.shape[:sparse_dim], size[:sparse_dim]),
                           ("dense", parts.shape[sparse_dim:], size[sparse_dim:])):
            if any(y < x for x, y in zip(a, b)):
                raise RuntimeError(f"shrinking the size of {what} dimensions (from {list(a)} to {list(b)})" + advice)
        values = parts.values
        if size[sparse_dim:] != parts.shape[sparse_dim:]:
            wide = values.new_zeros((parts.nnz, *size[sparse_dim:]))
            wide[tuple(slice(0, s) for s in values.shape)] = values
            values = wide
        t._a = Coo(size, parts.indices, values, parts.coalesced)
        return t
    return sparse_resize_and_clear_(t, size, sparse_dim, dense_dim)


def sparse_resize_and_clear_(t, size, sparse_dim, dense_dim):
    """Drop all elements of the COO tensor `t` and give it this shape."""
    size = tuple(size)
    if sparse_dim + dense_dim != len(size):
        raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
                           f"sparse_dim = {sparse_dim}, dense_dim = {dense_dim}")
    from .creation import empty_coo
    t._a = empty_coo(size, t.dtype, sparse_dim=sparse_dim)._a
    t._storage.version += 1
    return t
