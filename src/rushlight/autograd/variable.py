"""``Variable``, the old name of Tensor: calls give tensors, and tensors are its instances."""

from ..tensor.tensor import Tensor


class VariableMeta(type):
    """Takes tensors for instances."""

    def __instancecheck__(cls, other):
        return isinstance(other, Tensor)


class Variable(metaclass=VariableMeta):
    """``Variable(data, requires_grad=False)``: a tensor with the data of another."""

    def __new__(cls, data=None, requires_grad=False, volatile=None):
        t = Tensor() if data is None else data.detach()
        return t.requires_grad_() if requires_grad else t


__all__ = ["Variable", "VariableMeta"]
