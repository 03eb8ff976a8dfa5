"""Matrix products with sparse operands.

A sparse matrix times a dense one adds up rows of the dense one, row by row of the result: the kernel that sums bags
of table rows (``compiler/templates/bags.py``) with the values as weights. Its form by rows, and the one by columns that
gradients take, are found once a pattern.
"""

import numpy as np

import rushlight as torch
from rushlight.record import RECORDS

from .arrays import Coo, closed, coo, handles, is_compressed, is_coo, is_sparse, layout_name, opened
from .conversion import coalesce, distinct, ruled, sparse_mask, to_coo, to_tensor

_FORMS = {}                 # id of the tensor of indices -> (it, version, {by: form})


def _form(parts, by):
    """(bounds, other coordinate, order or None) of a matrix by rows (``by=0``) or by columns (``by=1``)."""
    if not isinstance(parts, Coo):
        if parts.by_rows == (by == 0):
            c, p = parts.compressed._a, parts.plain._a
            return c.astype(np.int64, copy=False), p.astype(np.int64, copy=False), None
        key = parts.plain
    else:
        key = parts.indices
    found = _FORMS.get(id(key))
    if found is None or found[0] is not key or found[1] != key._storage.version:
        if len(_FORMS) >= 64:
            _FORMS.clear()
        found = _FORMS[id(key)] = (key, key._storage.version, {})
    form = found[2].get(by)
    if form is None:
        form = found[2][by] = _make_form(parts, by)
    return form


def _make_form(parts, by):
    if isinstance(parts, Coo):
        lines, others = parts.indices._a[by], parts.indices._a[1 - by]
    else:
        c, others = parts.compressed._a, parts.plain._a
        lines, others = others, np.repeat(np.arange(c.size - 1), np.diff(c))
    n = parts.shape[by]
    bounds = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(lines, minlength=n), out=bounds[1:])
    order = None
    if lines.size > 1 and not (lines[1:] >= lines[:-1]).all():
        order = np.argsort(lines, kind="stable")
        others = others[order]
    return bounds, np.ascontiguousarray(others, np.int64), order


def _times(parts, values, dense, by):
    """The matrix (its transpose with ``by=1``) times the dense matrix `dense`; values as given."""
    bounds, index, order = _form(parts, by)
    dtype = dense.dtype
    narrow = dtype not in (torch.float32, torch.float64)
    if narrow:
        if not dtype.is_floating_point:
            return _times_numpy(bounds, index, order, values, dense)
        values, dense = values.float(), dense.float()
    weights = values._a if order is None else values._a[order]
    out = RECORDS["_embedding_bag"].kernel(dense.contiguous()._a, index, bounds, weights, -1, False, False)
    out = to_tensor(out)
    return out.to(dtype) if narrow else out


def _times_numpy(bounds, index, order, values, dense):
    """Products of integers and complex numbers."""
    weights = values._a if order is None else values._a[order]
    rows = dense._a[index] * weights[:, None]
    out = torch.zeros((bounds.size - 1, dense.shape[1]), dtype=dense.dtype)
    line = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
    return out.index_add_(0, to_tensor(line), to_tensor(rows.astype(dense._a.dtype)))


def _plain(t):
    """Parts that `_times` knows: matrices of single elements."""
    parts = t._a
    if is_compressed(t) and (parts.block is not None or parts.batch or parts.dense_dim):
        return to_coo(t)._a if not parts.batch else None
    if is_coo(t) and (parts.sparse_dim != 2 or parts.ndim != 2):
        raise RuntimeError("mm: expected a matrix with two sparse dimensions and no dense ones, got "
                           f"{parts.sparse_dim} sparse dimensions of {parts.ndim}")
    return parts


def times(s, dense, by=0):
    """``s @ dense`` (``s.T @ dense`` with ``by=1``) without history."""
    parts = _plain(s)
    values = parts.values
    if values._bits:
        values = values.resolve_conj()
    return _times(parts, values, dense.detach().resolve_conj(), by)


def _adjoint(t):
    return t.mH if t.dtype.is_complex else t.t()


def _conj(t):
    return t.conj_physical() if t.dtype.is_complex else t


def _transposed_times(s, g):
    """``s^H @ g``, differentiable."""
    s = _conj(s)
    with torch.no_grad():
        out = times(s, g, 1)
    return ruled(out, "MmBackward0", (s, lambda h: torch.mm(g, h.mH) if s.dtype.is_complex else torch.mm(g, h.t())),
                 (g, lambda h: _mm(s, h)))


@handles("mm", "_matmul_fold")
def _mm(a, b):
    if is_sparse(a) and is_sparse(b):
        return sparse_times_sparse(a, b, "MmBackward0")
    with torch.no_grad():
        if is_sparse(a):
            out = times(a, b)
        else:
            out = times(b, a.t(), 1).t().contiguous()
    if is_sparse(a):
        return ruled(out, "MmBackward0", (a, lambda g: torch.mm(g, _adjoint(b))),
                     (b, lambda g: _transposed_times(a, g)))
    return ruled(out, "MmBackward0", (a, lambda g: _by_adjoint(g, b)), (b, lambda g: torch.mm(_adjoint(a), g)))


def _by_adjoint(g, s):
    """``g @ s^H`` for a dense `g`."""
    with torch.no_grad():
        out = times(_conj(s), g.t()).t()
    return ruled(out, "MmBackward0", (g, lambda h: torch.mm(h, s)), (s, lambda h: torch.mm(_adjoint(h), g)))


@handles("_matmul_nt")
def _nt(a, b):
    return torch.mm(a, _adjoint(b))


@handles("_matmul_tn")
def _tn(a, b):
    return _transposed_times(a, b) if is_sparse(a) and not is_sparse(b) else torch.mm(_adjoint(a), b)


@handles("bmm")
def _bmm(a, b):
    if not is_coo(a) or is_sparse(b) or a._a.sparse_dim != 3:
        raise RuntimeError("bmm: expected a COO tensor with three sparse dimensions and a dense one, got "
                           f"{layout_name(a)} and {layout_name(b)}")
    return torch.stack([torch.mm(a.select(0, i), b[i]) for i in range(a.shape[0])])


@handles("mv")
def _mv(a, v):
    if is_sparse(v):
        raise RuntimeError("mv: the vector must be dense")
    with torch.no_grad():
        out = times(a, v.unsqueeze(1)).squeeze(1)
    return ruled(out, "MvBackward0", (a, lambda g: g.unsqueeze(1) * _conj(v)),
                 (v, lambda g: _transposed_times(a, g.unsqueeze(1)).squeeze(1)))


@handles("addmm")
def _addmm(input, a, b, beta, alpha):
    return _plus(input, _mm(a, b), beta, alpha)


@handles("addmv")
def _addmv(input, a, v, beta, alpha):
    return _plus(input, _mv(a, v), beta, alpha)


def _plus(input, product, beta, alpha):
    if beta == 0:
        return product * alpha if alpha != 1 else product
    return torch.add(input if beta == 1 else input * beta, product, alpha=alpha)


@handles("linear", "linear.matrix", "linear.bias")
def _linear(input, weight, bias):
    out = torch.mm(input.reshape(-1, input.shape[-1]), weight.t()).reshape(*input.shape[:-1], weight.shape[0])
    return out if bias is None else out + bias


# ---------------------------------------------------------------- two sparse matrices

def _pairs(a, b):
    """(rows, columns, elements of a, elements of b) of all products that meet in ``a @ b``."""
    bounds_b, cols_b, order_b = _form(b, 0)
    bounds_a, cols_a, order_a = _form(a, 0)
    rows = np.repeat(np.arange(bounds_a.size - 1), np.diff(bounds_a))
    count = np.diff(bounds_b)[cols_a]
    first = np.repeat(np.arange(cols_a.size), count)
    step = np.arange(first.size) - np.repeat(np.cumsum(count) - count, count)
    second = bounds_b[:-1][cols_a[first]] + step
    ia = first if order_a is None else order_a[first]
    ib = second if order_b is None else order_b[second]
    return rows[first], cols_b[second], ia, ib


def sparse_times_sparse(a, b, name):
    """The product of two sparse matrices: coordinates, or rows where the first has them so."""
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
                           f"{b.shape[0]}x{b.shape[1]})")
    with torch.no_grad():
        p, q = _plain(a), _plain(b)
        rows, cols, ia, ib = _pairs(p, q)
        products = p.values.index_select(0, to_tensor(ia)) * q.values.index_select(0, to_tensor(ib))
        indices = to_tensor(np.array([rows, cols], np.int64).reshape(2, -1))
        out = coalesce(coo((a.shape[0], b.shape[1]), indices, products, False, None))
        if is_compressed(a):
            out = out.to_sparse(layout=torch.sparse_csr)
    return ruled(out, name, (a, lambda g: torch.mm(g, _adjoint(b))), (b, lambda g: torch.mm(_adjoint(a), g)))


# ---------------------------------------------------------------- torch.sparse

def mm(mat1, mat2, reduce="sum"):
    r"""The product of a sparse matrix and a dense or sparse one; gradients of sparse operands have their pattern.

    Args: mat1 (n, m) sparse; mat2 (m, p); reduce: how products of a row are combined, ``"sum"``, ``"mean"``,
    ``"amax"`` or ``"amin"`` (the others than the sum for CSR and dense). Errors: RuntimeError for shapes that do
    not fit.
    """
    if reduce != "sum":
        return _reduced(mat1, mat2, reduce)
    if is_sparse(mat1) and is_sparse(mat2):
        return sparse_times_sparse(mat1, mat2, "SparseSparseMatmulBackward0")
    return _addmm_masked(None, mat1, mat2, 0, 1)


def _check(a, b):
    if a.dim() != 2 or b.dim() != 2:
        raise RuntimeError(f"mm: expected two matrices, got {a.dim()}D and {b.dim()}D tensors")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
                           f"{b.shape[0]}x{b.shape[1]})")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"mm: expected operands of one dtype, got {a.dtype} and {b.dtype}")


def _addmm_masked(input, a, b, beta, alpha):
    _check(a, b)
    if not is_sparse(a):
        if not is_sparse(b):
            return _plus(input, torch.mm(a, b), beta, alpha)
        return _plus(input, _mm(a, b), beta, alpha)
    with torch.no_grad():
        out = times(a, b)
        if alpha != 1:
            out = out * alpha
        if beta != 0:
            out = out + (input if beta == 1 else input * beta)
    pairs = [(a, lambda g: _in_pattern(g if alpha == 1 else g * alpha, a, b)),
             (b, lambda g: _transposed_times(a, g if alpha == 1 else g * alpha))]
    if input is not None and beta != 0:
        pairs.append((input, lambda g: g if beta == 1 else g * beta))
    return ruled(out, "SparseAddmmBackward0", *pairs)


def _in_pattern(g, a, b):
    """``g @ b^H`` where `a` has elements; differentiable."""
    parts = a._a
    if not is_coo(a):
        if parts.block is not None or parts.batch:
            return sparse_mask(torch.mm(g, _adjoint(b)), parts)
        from .compressed import coordinates
        rows, cols = coordinates(parts, ordered=False)[0]
    else:
        parts = distinct(parts)[0]
        rows, cols = parts.indices._a
    left = g.index_select(0, to_tensor(np.ascontiguousarray(rows)))
    right = _conj(b).index_select(0, to_tensor(np.ascontiguousarray(cols)))
    return closed((left * right).sum(1), parts, "SparseMaskBackward0")


def addmm(input, mat1, mat2, *, beta=1.0, alpha=1.0):
    r"""``beta * input + alpha * (mat1 @ mat2)`` with a sparse `mat1`; its gradient has its pattern.

    Args: input (n, p) or broadcastable to it; mat1 (n, m) sparse; mat2 (m, p) dense.
    """
    return _addmm_masked(input, mat1, mat2, beta, alpha)


def sampled_addmm(input, mat1, mat2, *, beta=1.0, alpha=1.0):
    r"""``alpha * (mat1 @ mat2) + beta * input`` where the CSR tensor `input` has elements."""
    if not is_compressed(input):
        raise RuntimeError(f"sampled_addmm: Expected self to have sparse csr layout, but got {layout_name(input)}")
    from .compressed import coordinates
    parts = input._a
    rows, cols = coordinates(parts, ordered=False)[0]
    left, right = mat1.index_select(0, to_tensor(rows)), mat2.t().index_select(0, to_tensor(cols))
    values = (left * right).sum(1) * alpha + opened(input) * beta
    return closed(values, parts, "SparseSampledAddmmBackward0")


def _reduced(a, b, reduce):
    if not is_compressed(a) or a.layout is not torch.sparse_csr:
        raise RuntimeError(f"sparse.mm with reduce='{reduce}': expected a CSR tensor, got {layout_name(a)}")
    if reduce not in ("mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, mean, amax or amin, got {reduce}")
    _check(a, b)
    from .compressed import coordinates
    rows, cols = coordinates(a._a, ordered=False)[0]
    products = opened(a).unsqueeze(1) * b.index_select(0, to_tensor(cols))
    index = to_tensor(rows).unsqueeze(1).expand(-1, b.shape[1])
    return products.new_zeros((a.shape[0], b.shape[1])).scatter_reduce(0, index, products, reduce, include_self=False)


def smm(input, mat):
    r"""``input @ mat`` of a sparse and a dense matrix as a sparse tensor of all elements of its rows."""
    return sspaddmm(torch.sparse_coo_tensor((input.shape[0], mat.shape[1]), dtype=input.dtype), input, mat)


def hspmm(mat1, mat2):
    r"""``mat1 @ mat2`` of a sparse and a dense matrix, sparse in its rows only."""
    if not is_coo(mat1):
        raise NotImplementedError(f"hspmm: expected a COO tensor, got {layout_name(mat1)}")
    _check(mat1, mat2)
    rows = np.unique(mat1._a.indices._a[0])
    values = torch.mm(mat1, mat2).index_select(0, to_tensor(rows))
    return coo((mat1.shape[0], mat2.shape[1]), to_tensor(rows.reshape(1, -1)), values, False, "HspmmBackward0")


def sspaddmm(input, mat1, mat2, *, beta=1, alpha=1):
    r"""``beta * input + alpha * (mat1 @ mat2)`` of sparse `input` and `mat1` and a dense `mat2`, as a COO tensor.

    The product has all elements of the rows in which `mat1` has any; the result is not coalesced.
    """
    if not is_coo(mat1) or not is_coo(input):
        raise NotImplementedError(f"sspaddmm: expected COO tensors, got {layout_name(input)} and {layout_name(mat1)}")
    _check(mat1, mat2)
    mat1 = coalesce(mat1)
    rows = np.unique(mat1._a.indices._a[0])
    p = mat2.shape[1]
    product = torch.mm(mat1, mat2).index_select(0, to_tensor(rows)).reshape(-1)
    indices = np.array([np.repeat(rows, p), np.tile(np.arange(p), rows.size)], np.int64).reshape(2, -1)
    own = opened(input)
    values = torch.cat([own if beta == 1 else own * beta, product if alpha == 1 else product * alpha])
    return coo((mat1.shape[0], p), torch.cat([input._a.indices, to_tensor(indices)], 1), values, False,
               "SspaddmmBackward0")

