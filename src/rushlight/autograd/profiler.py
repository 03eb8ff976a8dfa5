"""``torch.autograd.profiler``: names whose home is the package ``rushlight.profiler``."""

from importlib import import_module as _import

_HOMES = {"profile": "legacy", "emit_itt": "legacy", "emit_nvtx": "legacy", "load_nvprof": "legacy",
          "parse_nvprof_trace": "legacy", "record_function": "annotations", "KinetoStepTracker": "annotations",
          "EnforceUnique": "annotations", "EventList": "listing", "FunctionEvent": "events", "MemRecordsAcc": "events",
          "DeviceType": "events", "kineto_available": "profiling", "ProfilerActivity": "profiling"}
__all__ = [name for name in _HOMES if name not in ("DeviceType", "kineto_available", "ProfilerActivity")]


def __getattr__(name):
    if name in _HOMES:
        return getattr(_import("..profiler." + _HOMES[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(_HOMES)
