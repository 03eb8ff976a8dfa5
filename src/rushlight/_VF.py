"""Recurrent kernels under the name that modules call them by."""


def __getattr__(name):
    from .ops.registry import FUNCTIONS, load
    load()
    value = FUNCTIONS["torch._VF"].get(name) or FUNCTIONS["torch"].get(name)
    if value is None:
        raise AttributeError(f"module 'torch._VF' has no attribute {name!r}")
    return value
