"""Automatic differentiation: the recorded graph, the backward pass, custom functions, checks."""

from importlib import import_module as _import

# A function with the name of its file: imported now, so that the name stays the function's.
from .gradcheck import gradcheck, gradgradcheck

_HOMES = {
    "backward": "engine", "grad": "engine",
    "no_grad": "modes", "enable_grad": "modes", "set_grad_enabled": "modes", "inference_mode": "modes",
    "set_multithreading_enabled": "modes", "enforce_grad_layout_policy": "modes", "is_multithreading_enabled": "modes",
    "SavedTensor": "saved", "Variable": "variable",
    "Function": "function", "once_differentiable": "function",
    "NestedIOFunction": "function", "FunctionCtx": "function",
    "detect_anomaly": "anomaly", "set_detect_anomaly": "anomaly",
    "is_anomaly_enabled": "anomaly", "is_anomaly_check_nan_enabled": "anomaly",
}
__all__ = ["Function", "NestedIOFunction", "Variable", "backward", "detect_anomaly", "enable_grad",
           "enforce_grad_layout_policy", "grad", "grad_mode", "gradcheck", "gradgradcheck", "inference_mode", "no_grad",
           "set_detect_anomaly", "set_grad_enabled", "set_multithreading_enabled", "variable"]
_SUBMODULES = ("function", "functional", "graph", "grad_mode", "anomaly_mode", "variable",
               "engine", "profiler", "profiler_util", "forward_ad")


def __getattr__(name):
    if name in _HOMES:
        value = getattr(_import("." + _HOMES[name], __name__), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return _import("." + name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*_HOMES, *_SUBMODULES, "gradcheck", "gradgradcheck"})
