"""Names of types, and the default type by the names of old."""

import warnings

import rushlight as torch

__all__ = ["get_device_module", "set_default_tensor_type", "typename"]

_FLOATS = {"HalfTensor": torch.float16, "FloatTensor": torch.float32, "DoubleTensor": torch.float64,
           "BFloat16Tensor": torch.bfloat16}


def typename(obj, /):
    """The name of an object's type: a tensor's ``type()``, else the class with its module."""
    if isinstance(obj, torch.Tensor):
        return obj.type()
    cls = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(cls, "__module__", None) or ""
    name = getattr(cls, "__qualname__", "")
    return name if module in ("", "builtins") else f"{module}.{name}"


def set_default_tensor_type(t, /):
    """Make the dtype of a tensor type, such as ``torch.DoubleTensor`` or its name, the default for floats."""
    name = t if isinstance(t, str) else getattr(t, "__name__", None) if isinstance(t, type) else None
    short = "" if name is None else name.removeprefix("torch.")
    if short.startswith("cuda."):
        raise TypeError(f"type {name} not available. Torch not compiled with CUDA enabled.")
    dtype = _FLOATS.get(short)
    if dtype is None:
        prefix = "" if name is not None and short.endswith("Tensor") else "invalid type object: "
        raise TypeError(f"{prefix}only floating-point types are supported as the default type")
    warnings.warn("torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use "
                  "torch.set_default_dtype() and torch.set_default_device() as alternatives.", stacklevel=2)
    torch.set_default_dtype(dtype)


def get_device_module(device=None):
    """The module of a device's type (``torch.cpu``, ``torch.cuda``); by default of the one that new tensors get."""
    name = torch.device("cpu" if device is None else device).type
    try:
        return getattr(torch, name)
    except AttributeError:
        raise RuntimeError(f"Device '{name}' does not have a corresponding module registered as 'torch.{name}'.") \
            from None
