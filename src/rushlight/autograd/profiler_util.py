"""``torch.autograd.profiler_util``: names whose home is the package ``rushlight.profiler``."""

from importlib import import_module as _import

_HOMES = {"EventList": "listing", **dict.fromkeys((
    "EventMetadata", "FormattedTimesMixin", "FunctionEvent", "FunctionEventAvg", "Interval", "Kernel",
    "MemRecordsAcc", "StringTable"), "events")}
__all__ = list(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(_import("..profiler." + _HOMES[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return list(__all__)
