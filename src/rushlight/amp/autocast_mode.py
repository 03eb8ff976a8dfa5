"""``autocast``: a context in which products run in a 16-bit type and sensitive ops in float32.

Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740. What each op does is in ``casting``.
"""

import functools
import warnings

from rushlight import dtypes
from rushlight.autograd.modes import state, switch_autocast
from rushlight.devices import device

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]

# Device types that can be asked about, and the type their products run in by default.
_LOWER = {name: dtypes.float16 for name in ("cuda", "xpu", "mps", "hpu", "privateuseone", "mtia", "maia", "ipu")}
_LOWER.update(cpu=dtypes.bfloat16, xla=dtypes.bfloat16)
_ON_CPU = (dtypes.bfloat16, dtypes.float16)


class _Settings:
    """Of one thread: (enabled, dtype) by device type, the cache of cast weights, and how deep contexts are."""

    __slots__ = ("enabled", "dtypes", "caches", "cache", "depth")

    def __init__(self):
        self.enabled, self.dtypes = {}, {}
        self.caches, self.cache, self.depth = True, {}, 0


def settings():
    """The settings of this thread."""
    own = state.__dict__.get("autocast_settings")
    if own is None:
        own = _Settings()
        state.__dict__["autocast_settings"] = own
    return own


def _type_of(device_type):
    """The name of a device type; RuntimeError for unknown ones and for those without autocast."""
    name = device(device_type).type
    if name not in _LOWER:
        raise RuntimeError("unsupported scalarType")
    return name


def _apply(own):
    """Tell dispatch what CPU ops are to be run in: a dtype, or None for as they come."""
    on = own.enabled.get("cpu", False)
    want = own.dtypes.get("cpu", dtypes.bfloat16) if on else None
    if want is not None:
        from . import casting
        casting.arm()
    switch_autocast(want)


def is_autocast_available(device_type):
    """Whether autocast knows a device type."""
    return device(device_type).type in _LOWER


def is_autocast_enabled(device_type="cuda"):
    """Whether autocast is on for a device type in this thread."""
    return settings().enabled.get(device(device_type).type, False)


def set_autocast_enabled(*args, **kwargs):
    """``set_autocast_enabled(device_type, enabled)``; with one argument, the switch of ``cuda``."""
    values = [*args, *kwargs.values()]
    device_type, enabled = ("cuda", *values) if len(values) == 1 else values
    if not isinstance(enabled, bool):
        raise TypeError(f"set_autocast_enabled(): argument 'enabled' (position {len(values)}) must be bool, not "
                        f"{type(enabled).__name__}")
    own = settings()
    own.enabled[_type_of(device_type)] = enabled
    _apply(own)


def get_autocast_dtype(device_type):
    """The type that products run in under autocast on a device type."""
    name = _type_of(device_type)
    return settings().dtypes.get(name, _LOWER[name])


def set_autocast_dtype(device_type, dtype):
    """Choose the type that products run in under autocast on a device type."""
    own = settings()
    own.dtypes[_type_of(device_type)] = dtype
    _apply(own)


def is_autocast_cache_enabled():
    """Whether casts of weights are kept until the outermost context ends."""
    return settings().caches


def set_autocast_cache_enabled(enabled):
    """Choose whether casts of weights are kept until the outermost context ends."""
    settings().caches = enabled


def clear_autocast_cache():
    """Forget the casts of weights."""
    settings().cache.clear()


def autocast_increment_nesting():
    """Enter one level of contexts; returns how many there are now."""
    own = settings()
    own.depth += 1
    return own.depth


def autocast_decrement_nesting():
    """Leave one level of contexts; returns how many remain."""
    own = settings()
    own.depth -= 1
    return own.depth


def _old(device_type, name, of):
    """A function of the days before device types were arguments."""
    asks = name.startswith(("is", "get"))

    def function(*args):
        call = f"torch.{of.__name__}('{device_type}'{'' if asks else ', ' + name.rpartition('_')[2]})"
        warnings.warn(f"torch.{name}({'' if asks else name.rpartition('_')[2]}) is deprecated. Please use {call} "
                      "instead.", DeprecationWarning, stacklevel=2)
        return of(device_type, *args)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The same as ``{of.__name__}`` for '{device_type}'."
    return function


is_autocast_cpu_enabled = _old("cpu", "is_autocast_cpu_enabled", is_autocast_enabled)
set_autocast_cpu_enabled = _old("cpu", "set_autocast_cpu_enabled", set_autocast_enabled)
get_autocast_cpu_dtype = _old("cpu", "get_autocast_cpu_dtype", get_autocast_dtype)
set_autocast_cpu_dtype = _old("cpu", "set_autocast_cpu_dtype", set_autocast_dtype)
get_autocast_gpu_dtype = _old("cuda", "get_autocast_gpu_dtype", get_autocast_dtype)
set_autocast_gpu_dtype = _old("cuda", "set_autocast_gpu_dtype", set_autocast_dtype)


def autocast_decorator(autocast_instance, func):
    """`func` inside of a context."""
    @functools.wraps(func)
    def decorate_autocast(*args, **kwargs):
        with autocast_instance:
            return func(*args, **kwargs)
    return decorate_autocast


class autocast:
    """Context (or decorator) in which ops choose their types: see ``casting`` for which chooses what.

    Args:
        device_type: whose ops are meant; ``"cpu"`` is the one that is here.
        dtype: bfloat16 or float16 for products; default what `get_autocast_dtype` says.
        enabled: False switches autocast off inside.
        cache_enabled: whether a weight is cast once only until the outermost context ends.

    Types that a device cannot do are warned about, and nothing is cast then. ValueError where `device_type` is
    no string. Backward passes belong outside: their ops run in the types of their forward ops.
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self.device = device(device_type).type
        self.custom_backend_name = "privateuseone"
        if not is_autocast_available(self.device):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{self.device}'")
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = enabled
        if not enabled:
            return
        if self.device == "cpu" and self.fast_dtype not in _ON_CPU:
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU Autocast "
                          "only supports dtypes of torch.bfloat16, torch.float16 currently.", stacklevel=2)
            self._enabled = False
        elif self.device == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            self._enabled = False

    def __enter__(self):
        own = settings()
        name = self.device
        self.prev_cache_enabled = own.caches
        self.prev = own.enabled.get(name, False)
        self.prev_fastdtype = own.dtypes.get(name, _LOWER[name])
        own.enabled[name], own.dtypes[name] = self._enabled, self.fast_dtype
        own.caches = self._cache_enabled
        own.depth += 1
        _apply(own)
        return self

    def __exit__(self, *exc):
        own = settings()
        own.depth -= 1
        if not own.depth:
            own.cache.clear()
        name = self.device
        own.enabled[name], own.dtypes[name], own.caches = self.prev, self.prev_fastdtype, self.prev_cache_enabled
        _apply(own)
        return False

    def __call__(self, func):
        return autocast_decorator(self, func)



def _checked(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def _cast(value, device_type, dtype):
    """`value` with the floating tensors in it (float64 excepted) cast."""
    from rushlight.tensor.tensor import Tensor
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type and value.dtype is not dtypes.float64
        return value.to(dtype) if eligible else value
    if isinstance(value, dict):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_cast(v, device_type, dtype) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """Decorator for ``forward`` of a custom function that may be called under autocast.

    Without `cast_inputs` it runs under the caller's autocast. With a dtype, floating inputs are cast to it and
    autocast is off inside; outside of autocast the inputs stay as they are.
    """
    _checked(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args, **kwargs):
        ctx = args[0]
        ctx._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = on
            return fwd(*args, **kwargs)
        ctx._fwd_used_autocast = False
        if not on:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))
    return decorate_fwd


def custom_bwd(bwd=None, *, device_type):
    """Decorator for ``backward``: it runs under autocast exactly where forward did."""
    _checked(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args, **kwargs):
        ctx = args[0]
        with autocast(device_type=device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(*args, **kwargs)
    return decorate_bwd
