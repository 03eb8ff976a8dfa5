"""Between layouts: dense, coordinates, compressed; coalescing, masks, and reading values at a pattern."""

import numpy as np

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.autograd.node import Node, edge_of, next_seq
from rushlight.tensor.parts import assembled, closed, opened

from .arrays import BLOCKS, Compressed, Coo, coo, is_compressed, is_coo, layout_name


class RuleNode(Node):
    """A node whose gradients are given as functions of the gradient that comes in."""

    __slots__ = ("rules",)

    def apply(self, grads):
        g = grads[0]
        return [None if r is None or g is None else r(g) for r in self.rules]

    def release(self):
        pass


_named = {}


def ruled(result, name, *pairs):
    """`result` (detached) with a node of this name: for each input tensor a function from gradient to gradient."""
    if not state.grad or not any(t.requires_grad for t, _ in pairs) or result.dtype.category < 2:
        return result
    cls = _named.get(name)
    if cls is None:
        cls = _named[name] = type(name, (RuleNode,), {"__slots__": (), "__module__": "torch.autograd"})
    node = cls()
    node.edges = tuple([edge_of(t) for t, _ in pairs])
    node.rules = [r if t.requires_grad else None for t, r in pairs]
    node.saved, node.ext, node.seq = (), None, next_seq()
    node.outs = ((result._a.shape, result.dtype),)
    result._requires_grad, result._grad_fn, result._out_nr = True, node, 0
    return result


# ---------------------------------------------------------------- positions

def flat_positions(indices, shape):
    """The row-major position of each column of an ndarray of `indices` in the leading dimensions `shape`."""
    out = np.zeros(indices.shape[1], np.int64)
    for i, n in enumerate(shape[:indices.shape[0]]):
        out *= n
        out += indices[i]
    return out


def positions_of(parts):
    """`flat_positions` of a Coo."""
    return flat_positions(parts.indices._a, parts.shape)


def _count(sizes):
    n = 1
    for s in sizes:
        n *= s
    return n


def to_tensor(a):
    """A tensor around a fresh ndarray."""
    from rushlight.tensor.tensor import wrap
    return wrap(a)


def coalesce(t):
    """Each position once, in ascending order, its values added up."""
    if not is_coo(t):
        raise RuntimeError(f"coalesce expected sparse coordinate tensor layout but got {layout_name(t)}")
    parts = t._a
    if parts.coalesced:
        return t
    values = opened(t)
    indices, values = merged(parts, values)
    return coo(parts.shape, indices, values, True, "CoalesceBackward0")


def merged(parts, values):
    """(indices, values) of a Coo pattern and its `values` with each position once, in ascending order."""
    key = positions_of(parts)
    if key.size < 2 or (key[1:] > key[:-1]).all():
        return parts.indices, values
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.empty(key.size, bool)
    new[0] = True
    np.not_equal(key[1:], key[:-1], out=new[1:])
    values = values.index_select(0, to_tensor(order))
    indices = np.ascontiguousarray(parts.indices._a[:, order[new]])
    if not new.all():
        group = to_tensor(np.cumsum(new) - 1)
        if values.dtype is torch.bool:
            summed = values.new_zeros((indices.shape[1], *values.shape[1:]))._a
            np.logical_or.at(summed, group._a, values._a)
            values = to_tensor(summed)
        else:
            values = values.new_zeros((indices.shape[1], *values.shape[1:])).index_add(0, group, values)
    return to_tensor(indices), values


def distinct(parts):
    """(pattern, first): each position of the Coo `parts` once, and the value that is first there (None: all)."""
    if parts.coalesced:
        return parts, None
    key, first = np.unique(positions_of(parts), return_index=True)
    first = to_tensor(first)
    pattern = Coo(parts.shape, parts.indices.index_select(1, first), parts.values.detach().index_select(0, first), True)
    return pattern, first


def find(parts, key):
    """Where positions `key` are among those of the coalesced `parts`: (index, whether there)."""
    own = positions_of(parts)
    at = np.searchsorted(own, key)
    at[at == own.size] = 0
    return at, (own[at] == key) if own.size else np.zeros(key.size, bool)


def gathered(g, parts):
    """The values of `g` (dense or sparse) where the Coo `parts` has entries; differentiable."""
    if is_compressed(g):
        g = to_coo(g)
    shape = parts.shape
    sparse = parts.sparse_dim
    if is_coo(g):
        other = g._a
        if other.indices is parts.indices and other.sparse_dim == sparse:
            return opened(g)
        if other.sparse_dim == sparse and np.array_equal(other.indices._a, parts.indices._a) and other.coalesced:
            return opened(g)
        if other.sparse_dim != sparse:
            return gathered(to_dense(g), parts)
        g = coalesce(g)
        at, there = find(g._a, positions_of(parts))
        values = opened(g)
        if not values.shape[0]:
            return values.new_zeros((at.size, *values.shape[1:]))
        values = values.index_select(0, to_tensor(at))
        if there.all():
            return values
        keep = to_tensor(there).reshape(-1, *[1] * (values.dim() - 1))
        return torch.where(keep, values, values.new_zeros(()))
    g = g.expand(shape) if tuple(g.shape) != shape else g
    if not sparse:
        return g.reshape(1, *shape).expand(parts.nnz, *shape)
    n = 1
    for s in shape[:sparse]:
        n *= s
    return g.reshape(n, *shape[sparse:]).index_select(0, to_tensor(positions_of(parts)))


# ---------------------------------------------------------------- dense

def to_dense(t, dtype=None, *, masked_grad=None):
    """The dense tensor: values that share a position are added up."""
    if not is_coo(t) and not is_compressed(t):
        return t if dtype is None else t.to(dtype)
    if dtype is not None and dtype is not t.dtype:
        raise RuntimeError("dtype argument is not supported by sparse_to_dense")
    masked = masked_grad is not False
    with torch.no_grad():
        out = _filled(t._a)
    parts = t._a
    return ruled(out, "ToDenseBackward0", (t, lambda g: sparse_mask(g, _pattern(parts)) if masked else g))


def _pattern(parts):
    return distinct(parts)[0] if type(parts) is Coo else parts


def _filled(parts):
    if type(parts) is Compressed:
        return _filled_compressed(parts)
    sparse, shape = parts.sparse_dim, parts.shape
    values = parts.values
    n = 1
    for s in shape[:sparse]:
        n *= s
    out = values.new_zeros((n, *shape[sparse:]))
    if parts.nnz and out.numel():
        if values.dtype is torch.bool:
            np.logical_or.at(out._a, positions_of(parts), values._a)
        elif parts.coalesced:
            out.index_copy_(0, to_tensor(positions_of(parts)), values)
        else:
            out.index_add_(0, to_tensor(positions_of(parts)), values)
    return out.reshape(shape)


def sparse_mask(t, mask):
    """The elements of `t` where the sparse tensor (or its parts) `mask` has entries."""
    parts = mask._a if isinstance(mask, torch.Tensor) else mask
    if tuple(t.shape) != parts.shape:
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(t.shape)} but mask "
                           f"has size {list(parts.shape)}")
    if type(parts) is Coo:
        values = gathered(t, parts)
        return _masked(t, values, parts)
    values = gathered_compressed(t, parts)
    return _masked(t, values, parts)


def _masked(t, values, parts):
    return closed(values, parts, "SparseMaskBackward0")


# ---------------------------------------------------------------- to coordinates

def from_dense(t, sparse_dim=None):
    """COO of the elements (or slices beyond `sparse_dim` dimensions) that are not zero."""
    n = t.dim() if sparse_dim is None else sparse_dim
    if n == 0 and t.dim():
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in >0 when self.dim()>0")
    if not 0 <= n <= t.dim():
        raise RuntimeError(f"dense_to_sparse: sparse_dim argument must be in [0,{t.dim()}] range, but {n} is given")
    a = t.detach().resolve_conj().resolve_neg()._a
    some = a != 0
    if n < t.dim():
        some = some.any(axis=tuple(range(n, t.dim())))
    found = np.array(np.nonzero(some), np.int64).reshape(n, -1) if n else np.zeros((0, int(bool(some))), np.int64)
    indices = to_tensor(np.ascontiguousarray(found))
    shape = tuple(t.shape)
    values = gathered(t, Coo(shape, indices, None, True))
    with torch.no_grad():
        kept = values.detach().contiguous()
    out = assembled(Coo(shape, indices, kept, True), t.dtype)
    return ruled(out, "ToSparseBackward0" if sparse_dim is not None else "ToSparseBackward1", (t, to_dense))


def to_sparse(t, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """`t` in a sparse layout: coordinates unless `layout` says otherwise."""
    if sparse_dim is not None and (layout is not None or blocksize is not None or dense_dim is not None):
        raise RuntimeError("to_sparse: sparse_dim cannot be given together with layout, blocksize or dense_dim")
    if layout is None:
        layout = torch.sparse_coo
    if layout is torch.strided:
        return to_dense(t)
    if layout is torch.sparse_coo:
        if blocksize is not None:
            raise RuntimeError("to_sparse for Strided to Sparse conversion does not use specified blocksize")
        if is_coo(t):
            if sparse_dim is not None and sparse_dim != t._a.sparse_dim:
                raise RuntimeError("to_sparse: conversion from Sparse to Sparse with sparse_dim argument "
                                   "!=self.sparse_dim() is not supported")
            return t
        if is_compressed(t):
            return to_coo(t, sparse_dim)
        if dense_dim is not None:
            sparse_dim = t.dim() - dense_dim
        return from_dense(t, sparse_dim)
    from .compressed import to_compressed
    return to_compressed(t, layout, blocksize, dense_dim)


def to_coo(t, sparse_dim=None):
    """COO of a compressed tensor."""
    from .compressed import coordinates
    parts = t._a
    if sparse_dim is not None and sparse_dim != parts.ndim - parts.dense_dim:
        raise RuntimeError(f"to_sparse: conversion from {layout_name(t)} to Sparse with sparse_dim argument "
                           "!=self.sparse_dim() is not supported")
    indices, order = coordinates(parts)
    values = opened(t)
    lead = parts.batch + 1 + (2 if parts.layout in BLOCKS else 0)
    flat = values.reshape(_count(values.shape[:lead]), *values.shape[lead:])
    if order is not None:
        flat = flat.index_select(0, to_tensor(order))
    return coo(parts.shape, to_tensor(indices), flat, True, "ToSparseBackward1")


# ---------------------------------------------------------------- compressed patterns

def gathered_compressed(g, parts):
    """The values of `g` where the Compressed `parts` has entries, in its order; differentiable."""
    if is_compressed(g) and g._a.layout is parts.layout and g._a.block == parts.block and (
            g._a.plain is parts.plain or np.array_equal(g._a.plain._a, parts.plain._a)
            and np.array_equal(g._a.compressed._a, parts.compressed._a)):
        return opened(g)
    from .compressed import coordinates
    indices, _ = coordinates(parts, ordered=False)
    values = gathered(g, Coo(parts.shape, to_tensor(indices), None, False))
    lead = parts.batch + 1 + (2 if parts.layout in BLOCKS else 0)
    return values.reshape(*_value_shape(parts)[:lead], *values.shape[1:])


def _value_shape(parts):
    if parts.values is not None:
        return parts.values._a.shape
    return parts.plain._a.shape


def _filled_compressed(parts):
    from .compressed import coordinates
    indices, _ = coordinates(parts, ordered=False)
    lead = parts.batch + 1 + (2 if parts.layout in BLOCKS else 0)
    values = parts.values
    values = values.reshape(_count(values.shape[:lead]), *values.shape[lead:])
    return _filled(Coo(parts.shape, to_tensor(indices), values, False))


__all__ = ["coalesce", "find", "from_dense", "gathered", "gathered_compressed", "merged", "positions_of", "ruled",
           "sparse_mask", "to_coo", "to_dense", "to_sparse", "to_tensor"]
