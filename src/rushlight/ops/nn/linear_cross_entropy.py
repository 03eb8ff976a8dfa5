"""Cross entropy of a linear layer's scores, on request without the matrix of all scores in memory."""

import math

from ...autograd.modes import state
from ..registry import function, public

_F = "torch.nn.functional"


def _checked(input, weight, target, bias, ignore_index):
    if not 1 <= input.dim() <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {weight.dim()}")
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), got "
                           f"{input.shape[-1]} and {weight.shape[-1]}, respectively")
    if weight.dim() > 2 and input.dim() == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(weight.shape)} requires batched "
                           f"input, (N, {input.shape[0]}), got unbatched input with shape {tuple(input.shape)}")
    if bias is not None and tuple(bias.shape) != tuple(weight.shape[:-1]):
        raise RuntimeError(f"expected linear_bias shape {tuple(weight.shape[:-1])}, got {tuple(bias.shape)}")
    if ignore_index is not None and target.is_floating_point():
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")


def _piece(input, weight, target, bias, class_weight, reduction, ignore_index, smoothing):
    """The loss of some samples."""
    inner = tuple(weight.shape[:-1])
    flat = weight.reshape(-1, weight.shape[-1])
    scores = function("linear", _F)(input, flat, None if bias is None else bias.reshape(-1))
    if len(inner) > 1:
        scores = scores.reshape(*scores.shape[:-1], *inner)
    return function("cross_entropy", _F)(scores, target, weight=class_weight, ignore_index=ignore_index,
                                         reduction=reduction, label_smoothing=smoothing)


def _total_weight(target, class_weight, ignore_index, samples):
    """What a mean divides by: the weights of the classes that count, or the number of distributions."""
    if target.is_floating_point():
        return samples * math.prod(target.shape[2:])
    counts = target != ignore_index
    if class_weight is None:
        return counts.sum()
    return class_weight[target.where(counts, 0)].where(counts, 0).sum()


@public(namespaces=(_F,), method=False)
def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean",
                         ignore_index=None, label_smoothing=0.0, options=None):
    """``cross_entropy(linear(input, linear_weight, linear_bias), target, ...)``.

    input: (in_features) or (N, in_features); linear_weight: (C, *d, in_features); target: classes (N, *d) or
    probabilities (N, C, *d); weight: (C). With `options` (`nn.LinearCrossEntropyOptions`) the batch is taken in pieces
    of ``batch_chunk_size`` samples, whose scores are computed again for the gradients: memory holds one piece's only.
    """
    _checked(input, linear_weight, target, linear_bias, ignore_index)
    ignored = -100 if ignore_index is None else ignore_index
    rest = (linear_bias, weight)
    samples = input.shape[0]
    size = options.batch_chunk_size if options is not None and input.dim() == 2 else None
    if size is None or size >= samples or state.levels:     # transforms keep what they need themselves
        return _piece(input, linear_weight, target, *rest, reduction, ignored, label_smoothing)
    from ...utils.checkpoint import checkpoint
    kind = "none" if reduction == "none" else "sum"
    losses = [checkpoint(_piece, input[i:i + size], linear_weight, target[i:i + size], *rest, kind, ignored,
                         label_smoothing, use_reentrant=False) for i in range(0, samples, size)]
    if kind == "none":
        return function("cat")(losses)
    total = sum(losses[1:], losses[0])
    return total if reduction == "sum" else total / _total_weight(target, weight, ignored, samples)
