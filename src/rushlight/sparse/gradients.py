"""Gradients of embedding tables as sparse tensors: a row of the gradient for each row that was taken."""

import rushlight as torch

from .arrays import coo
from .conversion import ruled, to_tensor


def _rows(shape, indices, values, padding_idx):
    if padding_idx >= 0:
        keep = (indices._a != padding_idx).nonzero()[0]
        if keep.size < indices.numel():
            keep = to_tensor(keep)
            indices, values = indices.index_select(0, keep), values.index_select(0, keep)
    index = indices.detach().to(torch.int64).reshape(1, -1)
    return coo(tuple(shape), index, values, index.shape[1] < 2, "EmbeddingSparseBackwardBackward0")


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
