"""Linear algebra (``torch.linalg``): the functions of the op table's ``torch.linalg`` namespace."""

from .ops.registry import FUNCTIONS, function, load


class LinAlgError(RuntimeError):
    """A matrix is singular, not positive definite, or an iteration did not converge."""


LinAlgError.__module__ = "torch._C"
LinAlgError.__name__ = LinAlgError.__qualname__ = "_LinAlgError"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = function(name, "torch.linalg")
    globals()[name] = value
    return value


def __dir__():
    load()
    return sorted({"LinAlgError", *FUNCTIONS.get("torch.linalg", ())})
