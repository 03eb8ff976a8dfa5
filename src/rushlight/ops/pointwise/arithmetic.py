"""Arithmetic: sums, products, quotients, powers."""

from ...compiler import scalar as s
from .core import pointwise, publish

mul = pointwise("mul.Tensor(Tensor self, Tensor other) -> Tensor",
                lambda a, b: a * b,
                vjp={"self": lambda g, other: g * _conj(other), "other": lambda g, self: g * _conj(self)})
publish(mul, aliases=("multiply",))

exp = pointwise("exp(Tensor self) -> Tensor", lambda x: s.exp(x), promote="float", saves="result")
publish(exp)

sin = pointwise("sin(Tensor self) -> Tensor", lambda x: s.sin(x), promote="float")
publish(sin)

add = pointwise("add.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: a + b,
                vjp={"self": lambda g: g, "other": lambda g: g})
publish(add)


def _conj(x):
    return x.conj() if hasattr(x, "_a") and x.dtype.is_complex else x
