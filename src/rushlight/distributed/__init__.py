"""Processes that work together: groups, collectives, messages, stores (`torch.distributed`).

One backend, "gloo": CPU processes that exchange data through shared memory on one machine and sockets between
machines. `rushlight.nn.parallel.DistributedDataParallel` trains one model with many processes, and
`python -m rushlight.distributed.run` starts them.
"""

from importlib import import_module as _import

from rushlight.distributed import distributed_c10d as _all
from rushlight.distributed.constants import default_pg_timeout
from rushlight.distributed.debug import DebugLevel, get_debug_level, set_debug_level, set_debug_level_from_env
from rushlight.distributed.distributed_c10d import *  # noqa: F403
from rushlight.distributed.errors import DistBackendError, DistError, DistNetworkError, DistStoreError, QueueEmptyError
from rushlight.distributed.file_store import FileStore
from rushlight.distributed.rendezvous import register_rendezvous_handler, rendezvous
from rushlight.distributed.store import HashStore, PrefixStore, Store
from rushlight.distributed.tcp_store import TCPStore

_SUBMODULES = frozenset(("algorithms", "checkpoint", "constants", "device_mesh", "distributed_c10d", "elastic", "fsdp",
                         "nn", "optim", "rendezvous", "run", "tensor"))
_HOMES = {"DeviceMesh": "device_mesh", "init_device_mesh": "device_mesh", "BuiltinCommHookType": "buckets",
          "GradBucket": "buckets", "Reducer": "reducer"}


def is_available():
    """Whether this package works here: True."""
    return True


def __getattr__(name):
    if name in _HOMES:
        value = globals()[name] = getattr(_import("." + _HOMES[name], __name__), name)
        return value
    if name in _SUBMODULES:
        try:
            return _import("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*(n for n in globals() if not n.startswith("_")), *_HOMES, *_SUBMODULES})


__all__ = [*(n for n in _all.__all__ if not n.startswith("_")), *_HOMES, "DebugLevel", "DistBackendError", "DistError",
           "DistNetworkError", "DistStoreError", "FileStore", "HashStore", "PrefixStore", "QueueEmptyError", "Store",
           "TCPStore", "default_pg_timeout", "get_debug_level", "is_available", "register_rendezvous_handler",
           "rendezvous", "set_debug_level", "set_debug_level_from_env"]
