"""Compressed rows and columns: coordinates out of them, and they out of other layouts."""

import numpy as np

import rushlight as torch

from .arrays import BLOCKS, Compressed, closed, is_compressed, is_coo, layout_name
from .conversion import coalesce, gathered_compressed, ruled, to_coo, to_dense, to_tensor

_BACKWARD = {torch.sparse_csr: "ToSparseCsrBackward0", torch.sparse_csc: "ToSparseCscBackward0",
             torch.sparse_bsr: "ToSparseBsrBackward0", torch.sparse_bsc: "ToSparseBscBackward0"}


def coordinates(parts, ordered=True):
    """(indices, order): coordinates of all elements, and how to permute flattened values to their order.

    With `ordered` the coordinates ascend; else they come in the order of the values and `order` is None.
    """
    compressed = parts.compressed._a.astype(np.int64)
    plain = parts.plain._a.astype(np.int64)
    batch = compressed.shape[:-1]
    nnz = plain.shape[-1]
    flat_c = compressed.reshape(-1, compressed.shape[-1])
    n_batch = flat_c.shape[0]
    flat_p = plain.reshape(n_batch, nnz)
    lines = np.empty((n_batch, nnz), np.int64)
    for b in range(n_batch):
        lines[b] = np.repeat(np.arange(flat_c.shape[1] - 1), np.diff(flat_c[b]))
    first, second = (lines, flat_p) if parts.by_rows else (flat_p, lines)
    rows, cols = first.reshape(-1), second.reshape(-1)
    which = np.repeat(np.arange(n_batch), nnz)
    block = parts.block
    if block is not None:
        r, c = block
        rows = (rows[:, None, None] * r + np.arange(r)[None, :, None] + np.zeros((1, 1, c), np.int64)).reshape(-1)
        cols = (cols[:, None, None] * c + np.arange(c)[None, None, :] + np.zeros((1, r, 1), np.int64)).reshape(-1)
        which = np.repeat(which, r * c)
    lead = np.unravel_index(which, batch) if batch else ()
    indices = np.array([*lead, rows, cols], np.int64).reshape(len(batch) + 2, rows.size)
    if not ordered:
        return indices, None
    from .conversion import flat_positions
    key = flat_positions(indices, parts.shape)
    if key.size < 2 or (key[1:] > key[:-1]).all():
        return indices, None
    order = np.argsort(key, kind="stable")
    return np.ascontiguousarray(indices[:, order]), order


def pattern(rows, cols, shape, layout, block, batch_shape=(), which=None):
    """(compressed, plain) of the distinct blocks that the coordinates touch, batch by batch."""
    by_rows = layout in (torch.sparse_csr, torch.sparse_bsr)
    r, c = block or (1, 1)
    n_rows, n_cols = shape[-2] // r, shape[-1] // c
    lines, across = (n_rows, n_cols) if by_rows else (n_cols, n_rows)
    main, minor = (rows // r, cols // c) if by_rows else (cols // c, rows // r)
    n_batch = int(np.prod(batch_shape)) if batch_shape else 1
    which = np.zeros(main.size, np.int64) if which is None else which
    key = (which * lines + main) * across + minor
    if key.size > 1 and not (key[1:] > key[:-1]).all():
        key = np.unique(key)
    counts = np.bincount(key // (lines * across) if lines * across else key, minlength=n_batch)
    if n_batch > 1 and (counts != counts[0]).any():
        raise RuntimeError("Expect the same number of specified elements per batch.")
    line = key // max(across, 1) % max(lines, 1)
    batch = key // max(lines * across, 1)
    compressed = np.zeros((n_batch, lines + 1), np.int64)
    np.add.at(compressed, (batch, line + 1), 1)
    compressed = np.cumsum(compressed, axis=1)
    plain = (key % max(across, 1)).reshape(n_batch, -1 if n_batch and key.size else 0)
    return compressed.reshape(*batch_shape, lines + 1), plain.reshape(*batch_shape, plain.shape[-1])


def _check_block(t, layout, blocksize):
    name = {torch.sparse_bsr: "Bsr", torch.sparse_bsc: "Bsc"}.get(layout)
    if name is None:
        if blocksize is not None:
            target = {torch.sparse_csr: "SparseCsr", torch.sparse_csc: "SparseCsc"}[layout]
            raise RuntimeError(f"to_sparse for {layout_name(t)} to {target} conversion does not use specified "
                               "blocksize")
        return None
    if blocksize is None:
        raise RuntimeError(f"to_sparse_{name.lower()}: blocksize must be given")
    block = tuple(int(b) for b in blocksize)
    if len(block) != 2:
        raise RuntimeError(f"blocksize needs to be a tuple of size 2, but got {len(block)}")
    if block[0] <= 0 or block[1] <= 0:
        raise RuntimeError(f"blocksize needs to be positive, but got {list(block)}")
    return block


def to_compressed(t, layout, blocksize=None, dense_dim=None):
    """`t` in one of the compressed layouts."""
    block = _check_block(t, layout, blocksize)
    if is_compressed(t) and t._a.layout is layout and t._a.block == block:
        return t
    dense = dense_dim if dense_dim is not None else t._a.dense_dim if is_compressed(t) else \
        t.dim() - t._a.sparse_dim if is_coo(t) else 0
    if t.dim() - dense < 2:
        raise RuntimeError(f"to_sparse: {t.dim() - dense} sparse dimensions of a tensor of {t.dim()} dimensions: "
                           f"expected at least 2 to convert to {layout}")
    shape = tuple(t.shape)
    if is_coo(t) and t._a.sparse_dim != 2:
        raise RuntimeError(f"to_sparse: conversion from Sparse to {layout} for input tensors with sparse_dim()!=2 "
                           "is not supported")
    core = shape[:t.dim() - dense]
    if block is not None and (core[-2] % block[0] or core[-1] % block[1]):
        raise RuntimeError(f"tensor sparse size {list(core[-2:])} must be divisible by given blocksize {list(block)}")
    source = t
    with torch.no_grad():
        if is_compressed(t):
            t = to_coo(t)
        if is_coo(t):
            indices = coalesce(t)._a.indices._a
        else:
            a = t.detach().resolve_conj().resolve_neg()._a
            some = a != 0
            if dense:
                some = some.any(axis=tuple(range(t.dim() - dense, t.dim())))
            indices = np.array(np.nonzero(some), np.int64).reshape(len(core), -1)
    batch = core[:-2]
    which = np.ravel_multi_index(tuple(indices[:-2]), batch) if batch else None
    compressed, plain = pattern(indices[-2], indices[-1], core, layout, block, batch, which)
    inner = (*plain.shape, *(block or ()), *shape[len(core):])
    blank = torch.zeros((1,), dtype=t.dtype).expand(inner)
    parts = Compressed(layout, shape, to_tensor(compressed), to_tensor(plain), blank)
    if is_coo(source) or is_compressed(source):
        return closed(gathered_compressed(source, parts), parts, _BACKWARD[layout])
    with torch.no_grad():
        values = gathered_compressed(source, parts)
        out = closed(values.detach().contiguous(), parts)
    return ruled(out, _BACKWARD[layout], (source, to_dense))


__all__ = ["coordinates", "pattern", "to_compressed", "BLOCKS"]
