"""Python's operators on tensors, each the public function of the same meaning."""

from ..tensor.tensor import Tensor
from .registry import METHODS

_BINARY = {"__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "true_divide",
           "__floordiv__": "floor_divide", "__mod__": "remainder", "__pow__": "pow",
           "__matmul__": "matmul", "__and__": "bitwise_and", "__or__": "bitwise_or",
           "__xor__": "bitwise_xor", "__lshift__": "bitwise_left_shift",
           "__rshift__": "bitwise_right_shift", "__eq__": "eq", "__ne__": "ne", "__lt__": "lt",
           "__le__": "le", "__gt__": "gt", "__ge__": "ge",
           "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
           "__ifloordiv__": "floor_divide_", "__imod__": "remainder_", "__ipow__": "pow_",
           "__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_",
           "__ilshift__": "bitwise_left_shift_", "__irshift__": "bitwise_right_shift_"}
_REFLECTED = {"__radd__": "add", "__rmul__": "mul", "__rand__": "bitwise_and", "__ror__": "bitwise_or",
              "__rxor__": "bitwise_xor", "__rsub__": "rsub"}
_SWAPPED = {"__rtruediv__": "true_divide", "__rdiv__": "true_divide",
            "__rfloordiv__": "floor_divide",
            "__rmod__": "remainder", "__rpow__": "pow", "__rmatmul__": "matmul",
            "__rlshift__": "bitwise_left_shift", "__rrshift__": "bitwise_right_shift"}
_UNARY = {"__neg__": "neg", "__abs__": "abs", "__invert__": "bitwise_not"}


def _binary(fn):
    def op(self, other):
        try:
            return fn(self, other)
        except TypeError:
            if isinstance(other, (Tensor, int, float, bool, complex)):
                raise
            return NotImplemented
    return op


def _swapped(fn):
    def op(self, other):
        try:
            return fn(other, self)
        except TypeError:
            if isinstance(other, (Tensor, int, float, bool, complex)):
                raise
            return NotImplemented
    return op


def install():
    """Put the operators on Tensor (once, after the families are loaded)."""
    for table, make in ((_BINARY, _binary), (_REFLECTED, _binary), (_SWAPPED, _swapped)):
        for dunder, name in table.items():
            if name in METHODS:
                op = make(METHODS[name])
                op.__name__ = dunder
                if make is _binary:
                    op.record = getattr(METHODS[name], "record", None)
                setattr(Tensor, dunder, op)
    for dunder, name in _UNARY.items():
        if name in METHODS:
            setattr(Tensor, dunder, METHODS[name])
    Tensor.__pos__ = lambda self: self.positive()
    Tensor.__getitem__ = METHODS["__getitem__"]
    Tensor.__setitem__ = METHODS["__setitem__"]


def first_use():
    """Operators that load the families when one is first used, then replace themselves."""
    def lazy(dunder):
        def op(self, *args):
            from .registry import load
            load()
            return getattr(type(self), dunder)(self, *args)
        op.__name__ = dunder
        return op
    for dunder in (*_BINARY, *_REFLECTED, *_SWAPPED, *_UNARY, "__pos__", "__getitem__", "__setitem__"):
        setattr(Tensor, dunder, lazy(dunder))


def dunders():
    """Names of all operators on Tensor."""
    return (*_BINARY, *_REFLECTED, *_SWAPPED, *_UNARY, "__getitem__", "__setitem__")
