"""A linear layer and the cross entropy of its scores in one module."""

import math

from rushlight.nn import functional as F

from .linear import Linear
from .loss import _WeightedLoss


class LinearCrossEntropyLoss(_WeightedLoss):
    """`CrossEntropyLoss` of a linear layer's output.

    Args:
        in_features: size of each sample.
        num_classes: C.
        out_features: dimensions (d_1, ...) of a loss at several places a sample.
        ignore_index: a class index that contributes nothing; None is -100 for class indices.
        options: how to split the work (`LinearCrossEntropyOptions`); results do not depend on it.

    Shapes: input (N, in_features) or (in_features); target (N, *out_features) of class indices
    or (N, C, *out_features) of probabilities. `linear.weight` is
    (C·∏out_features, in_features).
    """

    __constants__ = ["num_classes", "out_features", "reduction", "ignore_index",
                     "label_smoothing"]

    def __init__(self, in_features, num_classes, *, out_features=(), bias=False, device=None,
                 dtype=None, reduction="mean", weight=None, ignore_index=None,
                 label_smoothing=0.0, options=None):
        super().__init__(weight=weight, reduction=reduction)
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got "
                               f"{tuple(weight.shape)}")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options
        self.linear = Linear(in_features, num_classes * math.prod(out_features), bias=bias,
                             device=device, dtype=dtype)

    def forward(self, input, target):
        if input.shape[-1] != self.linear.in_features:
            raise RuntimeError("expected equal input and linear_weight last dimensions "
                               f"(in_features), got {input.shape[-1]} and "
                               f"{self.linear.in_features}, respectively")
        scores = self.linear(input)
        if self.out_features:
            scores = scores.view(*scores.shape[:-1], self.num_classes, *self.out_features)
        ignore = -100 if self.ignore_index is None else self.ignore_index
        return F.cross_entropy(scores, target, weight=self.weight, ignore_index=ignore,
                               reduction=self.reduction, label_smoothing=self.label_smoothing)

    def extra_repr(self):
        return (f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
                f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
                f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
                f"label_smoothing={self.label_smoothing}, options={self.options}")
