"""Helpers beside the tensor library: data loading, activation checkpointing, and so on.

Submodules load on first use, so that ``rushlight.utils.data`` costs nothing until it is reached.
"""

import importlib

_SUBMODULES = ("data", "checkpoint", "dlpack", "hooks", "_pytree", "weak", "module_tracker", "flop_counter",
               "benchmark")
_FUNCTIONS = ("set_module", "swap_tensors")


def __getattr__(name):
    if name in _SUBMODULES:
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.swapping"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_SUBMODULES, *_FUNCTIONS])
