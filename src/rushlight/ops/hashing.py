"""A fingerprint of a tensor's values."""

import numpy as np

from ..dtypes import COMPLEX, scalar_name, uint64
from ..record import NONDIFF
from .dispatch import primitive
from .reduce_common import axes_of, no_identity, reduced_shape
from .registry import public


@primitive("hash_tensor(Tensor self, int[]? dim, bool keepdim) -> Tensor", vjp=NONDIFF("integer output"),
           meta=lambda a, dim, keepdim: (reduced_shape(a.shape, dim, keepdim), uint64.numpy))
def _hash(a, dim, keepdim):
    wide = a.astype(np.int64 if a.dtype.kind in "biu" else np.float64).view(np.uint64)
    return np.asarray(np.bitwise_xor.reduce(wide, axis=dim, keepdims=keepdim))


@public(out=True)
def hash_tensor(input, dim=(), *, keepdim=False, mode=0):
    """The exclusive or over `dim` (default: all) of the elements' bits, widened to float64 or int64, as uint64.

    mode: 0 is the only one (RuntimeError for others). Complex numbers: NotImplementedError.
    """
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    if input.dtype.category == COMPLEX:
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{scalar_name(input.dtype)}'")
    axes = axes_of(dim, input.dim())
    no_identity("hash_tensor", tuple(input.shape), axes)
    return _hash(input, axes, bool(keepdim))
