"""Numbers that may be symbols while a program is captured. Capture runs on real data here, so they are numbers.

The classes stand for PyTorch's in type checks; an instance holds a number and behaves as it.
"""

import math

__all__ = ["SymBool", "SymFloat", "SymInt", "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not",
           "sym_sqrt", "sym_sum"]


def _operators(cls, names, kind):
    def make(name):
        def operator(self, *others):
            others = [o.node if isinstance(o, _Held) else o for o in others]
            return getattr(kind(self.node), name)(*others)
        operator.__name__ = name
        return operator
    for name in names:
        setattr(cls, name, make(name))


class _Held:
    """A number that is held, as `node`."""

    def __init__(self, node):
        self.node = node

    def __bool__(self):
        return bool(self.node)

    def __repr__(self):
        return repr(self.node)

    def __hash__(self):
        return hash(self.node)


class SymInt(_Held):
    """An int."""

    def __int__(self):
        return int(self.node)

    __index__ = __int__


class SymFloat(_Held):
    """A float."""

    def __float__(self):
        return float(self.node)


class SymBool(_Held):
    """A bool."""

    def __int__(self):
        return int(self.node)


_NUMERIC = ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv", "mod", "rmod",
            "pow", "rpow", "neg", "pos", "abs", "eq", "ne", "lt", "le", "gt", "ge")
_operators(SymInt, [f"__{n}__" for n in (*_NUMERIC, "and", "rand", "or", "ror", "xor", "lshift", "rshift", "round",
                                         "trunc", "floor", "ceil")], int)
_operators(SymFloat, [f"__{n}__" for n in (*_NUMERIC, "round", "trunc", "floor", "ceil")], float)
_operators(SymBool, [f"__{n}__" for n in ("and", "rand", "or", "ror", "eq", "ne")], bool)


def sym_int(a):
    """`a` as an int, rounded towards zero."""
    return math.trunc(a) if isinstance(a, (float, SymFloat)) else int(a)


def sym_float(a):
    """`a` as a float."""
    return float(a.node if isinstance(a, _Held) else a)


def sym_not(a):
    """Whether `a` is false."""
    return not a


def sym_max(a, b):
    """The larger one; a float if either is."""
    r = b if b > a else a
    return float(r) if isinstance(a, float) or isinstance(b, float) else r


def sym_min(a, b):
    """The smaller one; a float if either is."""
    r = b if b < a else a
    return float(r) if isinstance(a, float) or isinstance(b, float) else r


def sym_sum(args):
    """The sum."""
    return sum(args)


def sym_ite(b, t, f):
    """`t` if `b` else `f`, which are of one type."""
    if not isinstance(b, (bool, SymBool)):
        raise AssertionError(f"expected a bool, got {type(b)}")
    if type(t) is not type(f):
        raise AssertionError(f"type mismatch: {type(t)} vs {type(f)}")
    return t if b else f


def sym_sqrt(a):
    """The square root of a number."""
    return math.sqrt(a)
