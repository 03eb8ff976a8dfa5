"""Neural networks: modules, losses, first values and helpers."""

from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter  # noqa: F401

_SUBMODULES = frozenset(("attention", "common_types", "functional", "grad", "init", "modules",
                         "parallel", "parameter", "utils", "_reduction"))


def factory_kwargs(kwargs):
    """The checked keyword arguments for `empty` and its kin: device, dtype and memory_format.

    They may also come inside an entry `factory_kwargs`.

    Raises:
        TypeError: for other names, or for a name given twice.
    """
    if kwargs is None:
        return {}
    allowed = {"device", "dtype", "memory_format"}
    extra = kwargs.keys() - allowed - {"factory_kwargs"}
    if extra:
        raise TypeError(f"unexpected kwargs {extra}")
    result = dict(kwargs.get("factory_kwargs", {}))
    for name in allowed & kwargs.keys():
        if name in result:
            raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
        result[name] = kwargs[name]
    return result


def __getattr__(name):
    if name in _SUBMODULES:
        import importlib
        return importlib.import_module(f"{__name__}.{name}")
    if name == "DataParallel":
        from .parallel import DataParallel
        return DataParallel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


from .modules import *  # noqa: E402, F403
from .modules import __all__ as _layers  # noqa: E402

__all__ = sorted([*_layers, "Buffer", "Parameter", "UninitializedBuffer",
                  "UninitializedParameter", "DataParallel", "factory_kwargs"])
