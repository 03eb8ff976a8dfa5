"""Running a module on several devices, and in several processes."""

from .data_parallel import DataParallel, data_parallel


def __getattr__(name):
    if name in ("DistributedDataParallel", "distributed"):
        from importlib import import_module
        module = import_module(f"{__name__}.distributed")
        return module if name == "distributed" else module.DistributedDataParallel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), "DistributedDataParallel", "distributed"})


__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]
