"""Gradients of embedding tables as sparse tensors: a row of the gradient for each row that was taken."""

import rushlight as torch

from ..tensor import watch
from .arrays import coo
from .conversion import ruled, to_tensor


def _rows(shape, indices, values, padding_idx):
    index = indices.detach().to(torch.int64).reshape(1, -1)
    if padding_idx < 0:
        return _gradient(shape, index, values)
    if watch.listener is None or values.requires_grad:
        return without(shape, index, values, padding_idx)
    listener = watch.set_listener(None)         # (which rows are left depends on what the indices are)
    try:
        g = without(shape, index, values, padding_idx)
    finally:
        watch.set_listener(listener)
    g._a.whole = index, values, padding_idx
    return g


def without(shape, index, values, padding_idx):
    """The gradient of rows but for those of `padding_idx`."""
    keep = (index._a[0] != padding_idx).nonzero()[0]
    if keep.size < index.shape[1]:
        keep = to_tensor(keep)
        index, values = index.index_select(1, keep), values.index_select(0, keep)
    return _gradient(shape, index, values)


def rows(shape, index, values, coalesced, padding_idx):
    """A gradient of rows that was made before, of other numbers; padding_idx: None if all count."""
    if padding_idx is None:
        return _gradient(shape, index, values, coalesced)
    return without(shape, index, values, padding_idx)


def _gradient(shape, index, values, coalesced=None):
    if coalesced is None:
        coalesced = index.shape[1] < 2
    return coo(tuple(shape), index, values, coalesced, "EmbeddingSparseBackwardBackward0")


def embedding(forward, weight, indices, padding_idx, scale):
    """``forward(weight, indices, padding_idx, scale)`` with a sparse gradient for `weight`."""
    with torch.no_grad():
        out = forward(weight.detach(), indices, padding_idx, scale)
    shape = weight.shape

    def rule(g):
        _refuse_scale(scale)
        return _rows(shape, indices.reshape(-1), g.reshape(-1, *shape[1:]), padding_idx)
    return ruled(out, "EmbeddingBackward0", (weight, rule))


def _refuse_scale(scale):
    if scale:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")


def embedding_bag(forward, shares, factors, weight, indices, bounds, per_sample, padding_idx, mean, scale):
    """``forward(...)`` of the bags with a sparse gradient for `weight`.

    shares: the gradient of each row that was added, before its weight; factors: the rule of the weights themselves.
    """
    with torch.no_grad():
        out = forward(weight.detach(), indices, bounds, None if per_sample is None else per_sample.detach(),
                      padding_idx, mean, scale)
    shape = weight.shape

    def rule(g):
        _refuse_scale(scale)
        rows = shares(g, indices, bounds, padding_idx, mean)
        if per_sample is not None:
            rows = rows * per_sample.unsqueeze(-1)
        return _rows(shape, indices, rows, padding_idx)
    pairs = [(weight, rule)]
    if per_sample is not None:
        pairs.append((per_sample, lambda g: factors(g, weight, indices, bounds, padding_idx, mean)))
    return ruled(out, "EmbeddingBagBackward0", *pairs)


__all__ = ["embedding", "embedding_bag"]
