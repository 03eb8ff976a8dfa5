"""``Variable``, the old name of Tensor."""

from ..tensor.tensor import Tensor as Variable

__all__ = ["Variable"]
