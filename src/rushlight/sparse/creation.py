"""Sparse tensors from their parts, and empty ones."""

import numpy as np

import rushlight as torch
from rushlight.tensor.parts import assembled, closed

from .arrays import BLOCKS, ROWS, Compressed, Coo
from .checks import check_compressed, check_coo, wanted
from .conversion import to_tensor

_LAYOUTS = {torch.sparse_csr: ("csr", "crow_indices", "col_indices"),
            torch.sparse_csc: ("csc", "ccol_indices", "row_indices"),
            torch.sparse_bsr: ("bsr", "crow_indices", "col_indices"),
            torch.sparse_bsc: ("bsc", "ccol_indices", "row_indices")}


def _as_tensor(data, dtype=None):
    """`data` as a tensor that shares memory and history where it is one already."""
    if isinstance(data, torch.Tensor):
        return data if dtype is None or data.dtype is dtype else data.to(dtype)
    return torch.tensor(data, dtype=dtype)


def _finished(values, parts, dtype, requires_grad, name):
    if dtype is not None and values.dtype is not dtype:
        values = values.to(dtype)
    if requires_grad and not (values.dtype.is_floating_point or values.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    t = closed(values, parts, name)
    if requires_grad and not t.requires_grad:
        t.requires_grad_()
    return t


def sparse_coo_tensor(*args, size=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
                      check_invariants=None, is_coalesced=None, indices=None, values=None):
    r"""A tensor from coordinates: element ``values[k]`` at position ``indices[:, k]``.

    Args: indices (sparse_dim, nnz) integers; values (nnz, *dense sizes); size: the shape, by default the least that
    holds all indices; is_coalesced: a promise that positions are distinct and ascending. ``sparse_coo_tensor(size)``
    is empty. Errors: RuntimeError where sizes do not fit, and with `check_invariants` for indices out of range.
    """
    if device is not None and torch.device(device).type == "meta":
        raise NotImplementedError("sparse_coo_tensor: sparse tensors on the meta device are not implemented")
    if pin_memory:
        raise RuntimeError("Only dense CPU tensors can be pinned")
    rest = list(args)
    if indices is None and rest and (len(rest) == 1 or all(isinstance(x, int) for x in rest)) and values is None:
        if len(rest) == 1 and isinstance(rest[0], (tuple, list)):
            return empty_coo(tuple(rest[0]), dtype, requires_grad)
    if indices is None:
        if not rest and size is not None and values is None:
            return empty_coo(tuple(size), dtype, requires_grad)
        if not rest:
            raise TypeError("sparse_coo_tensor() missing 1 required positional argument: 'indices'")
        indices = rest.pop(0)
    if values is None:
        if not rest:
            raise TypeError("sparse_coo_tensor() received an invalid combination of arguments: 'values' is missing")
        values = rest.pop(0)
    if rest:
        size = rest.pop(0)
    values = _as_tensor(values, dtype)
    indices = _as_tensor(indices)
    if indices.dtype is not torch.int64:
        indices = indices.to(torch.int64)
    if indices.dim() != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(indices.shape)}")
    if values.dim() == 0:
        values = values.reshape(1)
    sparse, nnz = indices.shape
    if size is None:
        found = indices._a.max(axis=1) + 1 if nnz else np.zeros(sparse, np.int64)
        if nnz and (indices._a.min(axis=1) < 0).any():
            d = int(np.argmax(indices._a.min(axis=1) < 0))
            raise RuntimeError(f"found negative index {indices._a.min(axis=1)[d]} for dim {d}")
        size = (*[int(n) for n in found], *values.shape[1:])
        if nnz == 0 and sparse and not values.shape[0]:
            size = (*[0] * sparse, *values.shape[1:])
    size = tuple(int(n) for n in size)
    if any(n < 0 for n in size):
        raise RuntimeError(f"sparse_coo_tensor: sizes must not be negative, got {list(size)}")
    dense = values.dim() - 1
    if len(size) != sparse + dense:
        raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
                           f"sparse_dim = {sparse}, dense_dim = {dense}")
    if values.shape[0] != nnz:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {nnz}, nnz from values: "
                           f"{values.shape[0]}")
    if tuple(values.shape[1:]) != size[sparse:]:
        raise RuntimeError(f"values has incorrect size, expected {[nnz, *size[sparse:]]}, got {list(values.shape)}")
    if wanted(check_invariants):
        check_coo(indices, size, is_coalesced)
    coalesced = bool(is_coalesced) if is_coalesced is not None else nnz < 2
    return _finished(values, Coo(size, indices.detach(), values, coalesced), None, requires_grad,
                     "SparseCooTensorWithDimsAndTensorsBackward0")


def empty_coo(size, dtype=None, requires_grad=False, sparse_dim=None):
    """A COO tensor without elements."""
    dtype = dtype or torch.get_default_dtype()
    n = len(size) if sparse_dim is None else sparse_dim
    indices = to_tensor(np.zeros((n, 0), np.int64))
    values = torch.zeros((0, *size[n:]), dtype=dtype)
    t = assembled(Coo(tuple(size), indices, values, True), dtype)
    return t.requires_grad_() if requires_grad else t


def empty_compressed(size, layout, dtype=None, requires_grad=False, like=None):
    """A compressed tensor without elements (and without blocks)."""
    dtype = dtype or torch.get_default_dtype()
    if layout in BLOCKS and like is None:
        raise RuntimeError("torch.empty: Only batched sparse compressed (non-block) tensors are supported, but got "
                           f"size {list(size)}")
    batch = tuple(size[:-2])
    r, c = (like.block or (1, 1)) if like is not None else (1, 1)
    lines = size[-2] // r if layout in ROWS else size[-1] // c
    compressed = to_tensor(np.zeros((*batch, lines + 1), np.int64))
    plain = to_tensor(np.zeros((*batch, 0), np.int64))
    values = torch.zeros((*batch, 0, *((r, c) if layout in BLOCKS else ())), dtype=dtype)
    t = assembled(Compressed(layout, size, compressed, plain, values), dtype)
    return t.requires_grad_() if requires_grad else t


def sparse_compressed_tensor(compressed_indices, plain_indices, values, size=None, *, dtype=None, layout=None,
                             device=None, pin_memory=False, requires_grad=False, check_invariants=None):
    r"""A tensor from compressed rows (csr, bsr) or columns (csc, bsc), the `layout`.

    Args: compressed_indices (*batch, lines + 1): where each line starts among the elements; plain_indices
    (*batch, nnz): the other coordinate; values (*batch, nnz, *block, *dense sizes); size: inferred by default.
    Errors: RuntimeError for a layout that is not compressed, and with `check_invariants` for what does not fit.
    """
    if layout is None:
        raise RuntimeError("sparse_compressed_tensor expected sparse compressed tensor layout but got none")
    if layout not in _LAYOUTS:
        shown = {torch.sparse_coo: "Sparse", torch.strided: "Strided"}.get(layout, layout)
        raise RuntimeError(f"sparse_compressed_tensor expected sparse compressed tensor layout but got {shown}")
    if pin_memory:
        raise RuntimeError("Only dense CPU tensors can be pinned")
    values = _as_tensor(values, dtype)
    compressed, plain = _as_tensor(compressed_indices).detach(), _as_tensor(plain_indices).detach()
    if compressed.dim() < 1 or plain.dim() < 1:
        raise RuntimeError("compressed_indices and plain_indices must have at least one dimension")
    batch = compressed.dim() - 1
    blocked = layout in BLOCKS
    if values.dim() < batch + 1 + 2 * blocked:
        raise RuntimeError(f"values must have at least {batch + 1 + 2 * blocked} dimensions, got {values.dim()}")
    block = tuple(values.shape[batch + 1:batch + 3]) if blocked else (1, 1)
    dense = tuple(values.shape[batch + 1 + 2 * blocked:])
    if size is None:
        lines = compressed.shape[-1] - 1
        across = int(plain._a.max()) + 1 if plain.numel() else 0
        n, m = (lines, across) if layout in ROWS else (across, lines)
        size = (*compressed.shape[:-1], n * block[0], m * block[1], *dense)
    size = tuple(int(n) for n in size)
    parts = Compressed(layout, size, compressed, plain, values)
    if wanted(check_invariants):
        if len(size) != batch + 2 + len(dense):
            raise RuntimeError(f"tensor dimensionality must be sum of batch, base, and dense dimensionalites (={batch} "
                               f"+ 2 + {len(dense)}) but got {len(size)}")
        check_compressed(parts)
    return _finished(values, parts, None, requires_grad, "SparseCompressedTensorBackward0")


def _made(layout):
    name, compressed, plain = _LAYOUTS[layout]

    def function(*args, dtype=None, device=None, pin_memory=False, requires_grad=False, check_invariants=None,
                 layout=layout, **named):
        order = (compressed, plain, "values", "size")
        for key, value in zip(order, args):
            named[key] = value
        unknown = set(named) - set(order)
        if unknown or len(args) > 4:
            raise TypeError(f"{function.__name__}() got an unexpected keyword argument '{min(unknown, default='')}'")
        missing = [key for key in order[:3] if key not in named]
        if missing:
            raise TypeError(f"{function.__name__}() missing required argument '{missing[0]}'")
        return sparse_compressed_tensor(named[compressed], named[plain], named["values"], named.get("size"),
                                        dtype=dtype, layout=layout, device=device, pin_memory=pin_memory,
                                        requires_grad=requires_grad, check_invariants=check_invariants)
    function.__name__ = function.__qualname__ = f"sparse_{name}_tensor"
    function.__doc__ = (f"{function.__name__}({compressed}, {plain}, values, size=None, *, dtype=None, ...): "
                        "see :func:`sparse_compressed_tensor`.")
    return function


sparse_csr_tensor = _made(torch.sparse_csr)
sparse_csc_tensor = _made(torch.sparse_csc)
sparse_bsr_tensor = _made(torch.sparse_bsr)
sparse_bsc_tensor = _made(torch.sparse_bsc)


def spdiags(diagonals, offsets, shape, layout=None):
    r"""A matrix of `shape` whose diagonal ``offsets[i]`` holds the elements of row ``diagonals[i]``.

    Element j of a row stands in column j, as in ``scipy.sparse.spdiags``. Errors: RuntimeError for offsets that
    repeat or a shape without two dimensions.
    """
    diagonals = torch.atleast_2d(diagonals)
    offsets = torch.atleast_1d(offsets)
    if len(shape) != 2:
        raise RuntimeError("Output shape must be 2d")
    if offsets.numel() != diagonals.shape[0]:
        raise RuntimeError(f"Number of diagonals ({diagonals.shape[0]}) does not match the number of offsets "
                           f"({offsets.numel()})")
    if len(set(offsets.tolist())) != offsets.numel():
        raise RuntimeError("Offset tensor contains duplicate values")
    rows, cols, where = [], [], []
    for i, k in enumerate(offsets.tolist()):
        j = np.arange(max(k, 0), min(diagonals.shape[1], shape[1], shape[0] + k))
        rows.append(j - k)
        cols.append(j)
        where.append(j + i * diagonals.shape[1])
    indices = to_tensor(np.array([np.concatenate(rows), np.concatenate(cols)], np.int64))
    values = diagonals.reshape(-1).index_select(0, to_tensor(np.concatenate(where).astype(np.int64)))
    t = closed(values, Coo(tuple(shape), indices, values, False), "SparseCooTensorWithDimsAndTensorsBackward0")
    return t if layout in (None, torch.sparse_coo) else t.to_sparse(layout=layout)


__all__ = ["empty_coo", "empty_compressed", "sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor",
           "sparse_coo_tensor", "sparse_csc_tensor", "sparse_csr_tensor", "spdiags"]
