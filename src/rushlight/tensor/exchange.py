"""Tensors for other libraries: NumPy's arrays and DLPack's capsules.

    no_array(t)         why ``t.numpy()`` is refused
    from_array(array)   what a NumPy function of tensors gives back
    capsule(t)          the memory as DLPack describes it
"""

import numpy as np

from ..autograd.modes import state
from ..dtypes import scalar_name
from . import watch
from .storage import lend
from .tensor import CONJ


def no_array(t):
    """The error that says why `t` can't be shown as an array."""
    if state.grad and t.requires_grad:
        return RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if type(t._a) is not np.ndarray:
        if hasattr(type(t._a), "in_parts"):
            return TypeError(f"can't convert {t._a.kind} layout tensor to numpy. Use Tensor.to_dense() first.")
        return TypeError("can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                         "memory first.")
    if t._bits & 3:
        bit, method = ("conjugate", "resolve_conj") if t._bits & CONJ else ("negative", "resolve_neg")
        return RuntimeError(f"Can't call numpy() on Tensor that has {bit} bit set. Use tensor.{method}().numpy() "
                            "instead.")
    return TypeError(f"Got unsupported ScalarType {scalar_name(t.dtype)}")


def from_array(array):
    """A tensor on an array's memory; truth values become uint8, as NumPy functions of tensors give them in PyTorch."""
    from ..ops.registry import function
    return function("from_numpy")(array.astype("uint8") if array.dtype == bool else array)


def capsule(t):
    """The DLPack capsule of a tensor; BufferError where it needs a gradient or has a pending conjugation."""
    if t.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if t._bits & CONJ:
        raise BufferError("Can't export tensors with the conjugate bit set")
    if watch.listener is not None:
        watch.listener.read(t, "__dlpack__")
    lend(t._storage)
    if t.dtype.name == "bfloat16":
        from ..ops.dlpack import bfloat16_capsule
        return bfloat16_capsule(t._a)
    return t._a.__dlpack__()
