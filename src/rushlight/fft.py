"""Discrete Fourier transforms (``torch.fft``): the functions of the op table's namespace."""

from .ops.registry import FUNCTIONS, function, load


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = function(name, "torch.fft")
    globals()[name] = value
    return value


def __dir__():
    load()
    return sorted(FUNCTIONS.get("torch.fft", ()))
