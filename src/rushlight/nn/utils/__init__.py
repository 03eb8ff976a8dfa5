"""Helpers for modules and parameters."""

# Functions with the names of their files: imported now, so that the names stay the functions'.
from .spectral_norm import remove_spectral_norm, spectral_norm  # noqa: F401
from .weight_norm import remove_weight_norm, weight_norm  # noqa: F401

_HOME = {
    "clip_grad_norm": "clip_grad", "clip_grad_norm_": "clip_grad",
    "clip_grad_value_": "clip_grad", "clip_grads_with_norm_": "clip_grad",
    "get_total_norm": "clip_grad",
    "convert_conv2d_weight_memory_format": "memory_format",
    "convert_conv3d_weight_memory_format": "memory_format",
    "fuse_conv_bn_eval": "fusion", "fuse_conv_bn_weights": "fusion",
    "fuse_linear_bn_eval": "fusion", "fuse_linear_bn_weights": "fusion",
    "parameters_to_vector": "convert_parameters", "vector_to_parameters": "convert_parameters",
    "skip_init": "init",
}
_SUBMODULES = frozenset(("clip_grad", "convert_parameters", "fusion", "init", "memory_format",
                         "parametrizations", "parametrize", "prune", "rnn", "stateless"))

__all__ = sorted([*_HOME, "remove_spectral_norm", "remove_weight_norm", "spectral_norm",
                  "weight_norm", "parametrizations", "parametrize", "rnn", "stateless"])


def __getattr__(name):
    import importlib
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_SUBMODULES})
