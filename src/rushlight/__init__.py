"""Rushlight: PyTorch's API and semantics from scratch in Python, with kernels made by its own compiler.

``import rushlight as torch``. Names are found when they are first used, so that importing costs little.
"""

from importlib import import_module as _import
from os import environ as _environ

from . import dtypes as _dtypes
from .autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .devices import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    get_default_device,
    jagged,
    layout,
    memory_format,
    preserve_format,
    set_default_device,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from .dtypes import (
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    promote_types,
    set_default_dtype,
)
from .tensor.geometry import Size
from .tensor.storage import TypedStorage, UntypedStorage
from .tensor.tensor import Tensor
from .version import __version__

for _d in (*_dtypes.ALL, *_dtypes.QUANTIZED):
    globals()[_d.name] = _d
    for _n in _d.aliases:
        globals()[_n] = _d
del _d, _n
del tensor          # the package: the public name is the factory function's  # noqa: F821

from math import e, inf, nan, pi  # noqa: E402

newaxis = None

# Submodules and names that live in them; everything else is the op table's.
_SUBMODULES = frozenset((
    "nn", "optim", "autograd", "utils", "random", "serialization", "multiprocessing", "linalg", "special",
    "fft", "cuda", "compiler", "overrides", "testing", "amp", "backends", "func", "types", "version",
    "distributions", "storage", "_VF", "return_types", "compat", "runtime", "profiler", "jit", "onnx",
    "quantization", "distributed", "signal", "library", "hub", "cpu", "ops", "futures", "quasirandom", "accelerator",
    "sparse", "masked", "nested", "functional", "monitor", "mps", "mtia", "xpu", "ao"))
_HOMES = {
    "manual_seed": "random", "seed": "random", "initial_seed": "random", "get_rng_state": "random",
    "set_rng_state": "random", "Generator": "random", "default_generator": "random",
    "save": "serialization", "load": "serialization",
    "set_printoptions": "tensor.printing",
    "get_num_threads": "runtime.threadpool", "set_num_threads": "runtime.threadpool",
    "set_num_interop_threads": "runtime.threadpool", "get_num_interop_threads": "runtime.threadpool",
    "set_float32_matmul_precision": "runtime.precision", "get_float32_matmul_precision": "runtime.precision",
    "is_anomaly_enabled": "autograd.anomaly", "is_anomaly_check_nan_enabled": "autograd.anomaly",
    "compile": "capture.compiled", "export": "exported", "vmap": "func",
    "autocast": "amp.autocast_mode", "GradScaler": "amp.grad_scaler",
}
for _home, _names in {
    "determinism": "are_deterministic_algorithms_enabled get_deterministic_debug_mode is_warn_always_enabled "
                   "is_deterministic_algorithms_warn_only_enabled set_deterministic_debug_mode set_warn_always "
                   "use_deterministic_algorithms",
    "symbolic": "SymBool SymFloat SymInt sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum",
    "naming": "typename set_default_tensor_type get_device_module", "control_flow": "cond while_loop",
    "accelerator": "AcceleratorError", "runtime.allocator": "OutOfMemoryError", "cpu": "Event Stream",
    "autograd.anomaly": "set_anomaly_enabled", "futures": "fork wait",
    "quantized.schemes": "qscheme per_channel_affine per_channel_affine_float_qparams per_channel_symmetric "
                         "per_tensor_affine per_tensor_symmetric",
}.items():
    _HOMES |= dict.fromkeys(_names.split(), _home)
del _home, _names
_HOMES |= dict.fromkeys((
    "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
    "is_autocast_cache_enabled", "set_autocast_cache_enabled", "clear_autocast_cache",
    "autocast_increment_nesting", "autocast_decrement_nesting", "is_autocast_cpu_enabled",
    "set_autocast_cpu_enabled", "get_autocast_cpu_dtype", "set_autocast_cpu_dtype", "get_autocast_gpu_dtype",
    "set_autocast_gpu_dtype"), "amp.autocast_mode")


def __getattr__(name):
    if name in _SUBMODULES:
        try:
            return _import("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    if name in _HOMES:
        try:
            value = getattr(_import("." + _HOMES[name], __name__), name)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(__name__):
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    elif name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        from .ops.registry import FUNCTIONS, load
        load()
        value = FUNCTIONS["torch"].get(name)
        if value is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if (getattr(value, "__module__", None) or "").startswith("rushlight.ops."):
            # Pickles name it as users import it: many functions have no other place.
            value.__module__ = __name__
    globals()[name] = value
    return value


def __dir__():
    from .ops.registry import FUNCTIONS, load
    load()
    return sorted({*(n for n in globals() if not n.startswith("_")), *_SUBMODULES, *_HOMES,
                   *FUNCTIONS["torch"]})


__all__ = ["Size", "Tensor", "TypedStorage", "UntypedStorage", "__version__", "channels_last",
           "channels_last_3d", "contiguous_format", "device", "dtype", "e", "enable_grad", "finfo",
           "get_default_device", "get_default_dtype", "iinfo", "inf", "inference_mode",
           "is_grad_enabled", "is_inference_mode_enabled", "jagged", "layout", "memory_format", "nan", "newaxis",
           "no_grad", "pi", "preserve_format", "promote_types", "set_default_device",
           "set_default_dtype", "set_grad_enabled", "sparse_bsc", "sparse_bsr", "sparse_coo",
           "sparse_csc", "sparse_csr", "strided"]

if "RUSHLIGHT_GUARD" in _environ:
    from .runtime import guard as _guard
    _guard.install()
