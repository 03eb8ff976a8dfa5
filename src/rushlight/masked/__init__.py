"""``torch.masked``: reductions and normalizations over the elements for which a mask is True, and MaskedTensor."""

from .maskedtensor import MaskedTensor, as_masked_tensor, is_masked_tensor, masked_tensor
from .masks import _combine_input_and_mask, _input_mask, _output_mask
from .normalizations import cumprod, cumsum, log_softmax, normalize, softmax, softmin
from .reductions import amax, amin, argmax, argmin, logaddexp, logsumexp, mean, median, norm, prod, std, sum, var

__all__ = ["_combine_input_and_mask", "_input_mask", "_output_mask",
           "amax", "amin", "argmax", "argmin", "as_masked_tensor", "cumprod", "cumsum", "is_masked_tensor",
           "log_softmax", "logaddexp", "logsumexp", "masked_tensor", "MaskedTensor", "mean", "median", "norm",
           "normalize", "prod", "softmax", "softmin", "std", "sum", "var"]
