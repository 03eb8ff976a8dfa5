"""``torch.nn.functional``: the functions of neural networks, from the op table."""

_NAMESPACE = "torch.nn.functional"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rushlight.ops.registry import FUNCTIONS, load
    load()
    value = FUNCTIONS.get(_NAMESPACE, {}).get(name)
    if value is None:
        raise AttributeError(f"module 'torch.nn.functional' has no attribute {name!r}")
    if (getattr(value, "__module__", None) or "").startswith("rushlight.ops."):
        # Pickles of modules that hold it (an activation) name it as users import it.
        value.__module__ = __name__
    globals()[name] = value
    return value


def __dir__():
    from rushlight.ops.registry import FUNCTIONS, load
    load()
    return sorted(FUNCTIONS.get(_NAMESPACE, {}))
