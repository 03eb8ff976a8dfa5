"""Comparisons, logic and tests: results are bool."""

from ..compiler import scalar as s
from ..record import NONDIFF
from .pointwise.core import pointwise, publish

_BOOLEAN = NONDIFF("bool result")


def _compare(name, aliases, doc):
    formula = getattr(s, name)
    f = pointwise(f"{name}.Tensor(Tensor self, Tensor other) -> Tensor", lambda a, b: formula(a, b),
                  promote="compare", vjp=_BOOLEAN, doc=doc, samples="binary")
    publish(f, aliases=aliases)
    return f


eq = _compare("eq", (), "input == other, element by element.")
ne = _compare("ne", ("not_equal",), "input != other, element by element.")
lt = _compare("lt", ("less",), "input < other, element by element.")
le = _compare("le", ("less_equal",), "input <= other, element by element.")
gt = _compare("gt", ("greater",), "input > other, element by element.")
ge = _compare("ge", ("greater_equal",), "input >= other, element by element.")
