"""``torch.special``: special functions, found in the op table when first used."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .ops.registry import FUNCTIONS, load
    load()
    value = FUNCTIONS["torch.special"].get(name)
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    from .ops.registry import FUNCTIONS, load
    load()
    return sorted(FUNCTIONS["torch.special"])
