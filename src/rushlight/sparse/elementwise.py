"""Elementwise ops on sparse tensors: sums and products, and functions that leave zero at zero."""

import numpy as np

import rushlight as torch
from rushlight.record import RECORDS

from .arrays import OPS, Coo, closed, coo, handles, is_compressed, is_coo, is_sparse, layout_name, opened, refused
from .conversion import (
    coalesce,
    find,
    flat_positions,
    gathered,
    gathered_compressed,
    ruled,
    to_coo,
    to_tensor,
)

# ---------------------------------------------------------------- functions with f(0) = 0

_UNARY = ("abs", "expm1", "log1p", "sqrt", "sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "deg2rad",
          "rad2deg", "floor", "ceil", "trunc", "round", "round.decimals", "round.tens", "frac", "sign", "sgn",
          "sgn.real", "erf", "erfinv", "nan_to_num", "relu", "isnan", "isinf", "isposinf", "isneginf", "signbit",
          "pow.Tensor_Scalar", "pow.fixed_2", "pow.fixed_3", "pow.fixed_0_5")
_LINEAR = ("neg", "_conj_physical", "_to_copy")     # need not add up what shares a position first
_RENAMED = {"_to_copy": "ToCopyBackward0", "_conj_physical": "ConjPhysicalBackward0", "sgn.real": "SgnBackward0"}


def _apply(key, linear):
    rec = RECORDS[key]
    name = _RENAMED.get(key, rec.node_name)

    def run(x, *params):
        if is_coo(x) and not linear:
            x = coalesce(x)
        return closed(rec.call(opened(x), *params), x._a, name)
    return run


for _key in (*_UNARY, *_LINEAR):
    OPS[_key] = _apply(_key, _key in _LINEAR)


@handles("angle")
def _angle(x):
    if is_coo(x):
        raise refused("angle", x._a)
    return closed(torch.angle(opened(x)), x._a, "AngleBackward0")


@handles("clone")
def _clone(x, memory_format):
    if memory_format not in (None, torch.preserve_format):
        raise RuntimeError(f"unsupported memory format option {memory_format}")
    parts, values = x._a, opened(x).clone()
    if type(parts) is Coo:
        return coo(parts.shape, parts.indices.clone(), values, parts.coalesced, "CloneBackward0")
    return closed(values, parts, "CloneBackward0")


# ---------------------------------------------------------------- sums

_NO_DENSE = "add(sparse, dense) is not supported. Use add(dense, sparse) instead."


def _scaled(x, alpha):
    return x if alpha == 1 else x * alpha


def _sum(a, b, alpha, name):
    if not is_sparse(a):
        return _onto_dense(a, b, alpha, name)
    if not is_sparse(b):
        if is_compressed(a) and isinstance(b, torch.Tensor) and b.dim():
            return _onto_dense(b, a, 1, name, alpha)
        raise RuntimeError(_NO_DENSE)
    if a.shape != b.shape:
        raise RuntimeError(f"{name}: expected sizes of 'self' and 'other' to match, but {list(a.shape)} != "
                           f"{list(b.shape)}")
    dtype = torch.promote_types(a.dtype, b.dtype)
    with torch.no_grad():
        out = _sum_sparse(a.detach(), b.detach(), alpha, dtype)
    return ruled(out, _node(name), (a, lambda g: g), (b, lambda g: _scaled(g, alpha)))


def _node(name):
    return f"{name.capitalize()}Backward0"


def _sum_sparse(a, b, alpha, dtype):
    layout = a.layout
    if is_compressed(a) or is_compressed(b):
        if not (is_compressed(a) and is_compressed(b) and a.layout is b.layout and a._a.block == b._a.block):
            raise RuntimeError(f"add: layouts {layout_name(a)} and {layout_name(b)} cannot be added")
        p, q = a._a, b._a
        if np.array_equal(p.plain._a, q.plain._a) and np.array_equal(p.compressed._a, q.compressed._a):
            return closed((p.values + _scaled(q.values, alpha)).to(dtype), p)
        out = _sum_sparse(to_coo(a), to_coo(b), alpha, dtype)
        return out.to_sparse(layout=layout, blocksize=p.block)
    p, q = a._a, b._a
    if p.sparse_dim != q.sparse_dim:
        raise RuntimeError("add: expected 'self' and 'other' to have same number of sparse dimensions, but "
                           f"{p.sparse_dim} != {q.sparse_dim}")
    x, y = p.values.to(dtype), _scaled(q.values.to(dtype), alpha)
    if p.indices is q.indices or p.nnz == q.nnz and np.array_equal(p.indices._a, q.indices._a):
        return coo(p.shape, p.indices, x + y, p.coalesced and q.coalesced, None)
    joined = coo(p.shape, torch.cat([p.indices, q.indices], 1), torch.cat([x, y]), False, None)
    return coalesce(joined) if p.coalesced and q.coalesced else joined


def _onto_dense(a, b, alpha, name, scale=1):
    """``scale * a + alpha * b`` for a dense `a` and a sparse `b`."""
    if not isinstance(a, torch.Tensor):
        raise RuntimeError(_NO_DENSE)
    if a.shape != b.shape:
        try:
            same = torch.broadcast_shapes(a.shape, b.shape) == a.shape
        except RuntimeError:
            same = False
        if not same:
            raise RuntimeError(f"add: expected 'other' to have same size as 'self', but self has size {list(a.shape)} "
                               f"while other has size {list(b.shape)} (FYI: dense-sparse addition does not currently "
                               "support broadcasting)")
        raise RuntimeError(f"add: expected 'self' and 'other' to have same size, but self has size {list(a.shape)} "
                           f"while other has size {list(b.shape)} (FYI: dense-sparse addition does not currently "
                           "support broadcasting)")
    dtype = torch.promote_types(a.dtype, b.dtype)
    with torch.no_grad():
        out = _added(a.detach().to(dtype), b.detach(), alpha, scale)
    return ruled(out, _node(name), (a, lambda g: _scaled(g, scale)), (b, lambda g: _scaled(g, alpha)))


def _added(a, b, alpha, scale):
    if is_compressed(b):
        b = to_coo(b)
    p = b._a
    n = p.sparse_dim
    out = (_scaled(a, scale) if scale != 1 else a.clone()).contiguous()
    if p.nnz and out.numel():
        flat = out.view(-1, *p.shape[n:])
        flat.index_add_(0, to_tensor(flat_positions(p.indices._a, p.shape)), p.values.to(a.dtype), alpha=alpha)
    return out


@handles("add.Tensor")
def _add(a, b):
    return _sum(a, b, 1, "add")


@handles("add.alpha")
def _add_alpha(a, b, alpha):
    return _sum(a, b, alpha, "add")


@handles("sub.Tensor")
def _sub(a, b):
    return _sum(a, b, -1, "sub")


@handles("sub.alpha")
def _sub_alpha(a, b, alpha):
    return _sum(a, b, -alpha, "sub")


@handles("rsub")
def _rsub(a, b):
    return _sum(b, a, -1, "sub")


# ---------------------------------------------------------------- products

def _is_scalar(x):
    return not isinstance(x, torch.Tensor) or not is_sparse(x) and x.dim() == 0


@handles("mul.Tensor")
def _mul(a, b):
    if _is_scalar(a):
        a, b = b, a
    if _is_scalar(b):
        values = opened(a)
        return closed(values * b, a._a, "MulBackward0")
    with torch.no_grad():
        out = _product(a.detach(), b.detach())
    return ruled(out, "MulBackward0", (a, lambda g: g * _conj(b)), (b, lambda g: g * _conj(a)))


def _conj(x):
    return x.conj_physical() if x.dtype.is_complex else x


def _product(a, b):
    if not is_sparse(a):
        a, b = b, a
    if not is_sparse(b):
        return _by_dense(a, b)
    if a.shape != b.shape:
        raise RuntimeError(f"mul operands have incompatible sizes: {list(a.shape)} and {list(b.shape)}")
    if is_compressed(a) or is_compressed(b):
        layout, block = (a._a.layout, a._a.block) if is_compressed(a) else (b._a.layout, b._a.block)
        if is_compressed(a) and is_compressed(b) and a.layout is b.layout and np.array_equal(
                a._a.plain._a, b._a.plain._a) and np.array_equal(a._a.compressed._a, b._a.compressed._a):
            return closed(a._a.values * b._a.values, a._a)
        a = to_coo(a) if is_compressed(a) else a
        b = to_coo(b) if is_compressed(b) else b
        return _product(a, b).to_sparse(layout=layout, blocksize=block)
    if a._a.sparse_dim != b._a.sparse_dim:
        raise RuntimeError("mul: expected 'self' and 'other' to have same number of sparse dimensions, but "
                           f"{a._a.sparse_dim} != {b._a.sparse_dim}")
    b = coalesce(b)
    if a._a.indices is b._a.indices and a._a.coalesced:
        return closed(a._a.values * b._a.values, a._a)
    p = a._a
    key = flat_positions(p.indices._a, p.shape)
    at, there = find(b._a, key)
    keep = to_tensor(np.nonzero(there)[0])
    values = p.values.index_select(0, keep) * b._a.values.index_select(0, to_tensor(at[there]))
    return coo(p.shape, p.indices.index_select(1, keep), values, p.coalesced, None)


def _by_dense(a, b):
    try:
        shape = torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        shape = None
    if shape != a.shape:
        raise RuntimeError(f"mul: the dense operand of size {list(b.shape)} does not broadcast to the sparse operand's "
                           f"size {list(a.shape)}")
    b = b.expand(a.shape)
    taken = gathered(b, a._a) if is_coo(a) else gathered_compressed(b, a._a)
    return closed(opened(a) * taken, a._a)


def _divide(key):
    rec = RECORDS[key]

    def run(a, b):
        if not _is_scalar(b) or not is_sparse(a):
            shape = list(b.shape) if isinstance(b, torch.Tensor) else []
            raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                               f"{shape} for divisor)")
        if key != "div.Tensor" and is_coo(a):
            a = coalesce(a)
        return closed(rec.call(opened(a), b), a._a, "DivBackward0")
    return run


for _key in ("div.Tensor", "div.floor", "div.trunc"):
    OPS[_key] = _divide(_key)


@handles("eq.Tensor")
def _eq(a, b):
    raise refused("eq.Tensor", (a if is_sparse(a) else b)._a)
