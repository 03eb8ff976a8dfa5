"""Helpers for public pointwise functions that have parameters or several overloads."""

import numpy as np

from ...dtypes import of_number
from ...tensor import watch
from ...tensor.tensor import Tensor
from ..registry import FUNCTIONS, INPLACE, METHODS

_ndarray = np.ndarray


def nothing(g):
    """The gradient of what is constant in pieces: zeros, also where `g` is infinite or NaN."""
    return g.new_zeros(g.shape)


def conj(x):
    """The conjugate of a saved operand, which may be a tensor or a Python number."""
    if hasattr(x, "_a"):
        return x.conj() if x.dtype.is_complex else x
    return x.conjugate() if type(x) is complex else x


def register(name, function, *, inplace=None, namespaces=("torch",), method=True, aliases=()):
    """Publish `function` (which takes ``out=`` itself) under its names; `inplace` as ``name_``."""
    function.__name__ = function.__qualname__ = name
    for a in (name, *aliases):
        for ns in namespaces:
            FUNCTIONS.setdefault(ns, {})[a] = function
        if method:
            METHODS[a] = function
        if inplace is not None:
            INPLACE[a + "_"] = METHODS[a + "_"] = inplace
            FUNCTIONS.setdefault("torch", {})[a + "_"] = inplace
    if inplace is not None:
        inplace.__name__ = inplace.__qualname__ = name + "_"
        if inplace.__doc__ is None:
            inplace.__doc__ = f"In-place version of :func:`{name}`."
    return function


def category(x):
    """Category (bool < int < float < complex) of a tensor or number."""
    return x.dtype.category if isinstance(x, Tensor) else of_number(x).category


def has_zero(x):
    """Whether a divisor (tensor or number) contains an integer zero."""
    if isinstance(x, Tensor):
        return type(x._a) is _ndarray and x._a.size > 0 and not watch.true(np.all, x)
    return x == 0


def need_tensor(name, input, position=1, argument="input"):
    """Raise TypeError unless the operand is a tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
                        f"{type(input).__name__}")
