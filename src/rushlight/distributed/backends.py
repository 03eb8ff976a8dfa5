"""Names of backends. There is one, "gloo": processes on CPUs that talk through shared memory and sockets."""

import os

import rushlight as torch


class Backend(str):
    """A backend's name in lower case. `register_backend` adds names; ValueError unless it is text."""

    UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI, FAKE = "undefined", "gloo", "nccl", "xccl", "ucc", "mpi", "fake"
    backend_list = [UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI, FAKE]
    default_device_backend_map = {"cpu": GLOO, "cuda": NCCL, "xpu": XCCL, "mps": GLOO}
    backend_capability = {GLOO: ["cpu", "cuda"], NCCL: ["cuda"], XCCL: ["xpu"], UCC: ["cpu", "cuda"],
                          MPI: ["cpu", "cuda"], FAKE: ["cpu", "cuda", "hpu", "xpu"]}
    _plugins = {}

    def __new__(cls, name):
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish: {name}")
        return super().__new__(cls, name.lower())

    @classmethod
    def register_backend(cls, name, func, extended_api=False, devices=None):
        """Have ``init_process_group(name)`` make its group with ``func(store, rank, size, timeout)``.

        With `extended_api` it is called as ``func(options, backend_options)``: `options` has `store`, `group_rank`,
        `group_size`, `global_ranks_in_group`, `group_id` and `timeout`. The result works like a `ProcessGroup`.
        RuntimeError where the name is taken.
        """
        if hasattr(cls, name.upper()) and name.lower() not in ("xccl",) or name.upper() in cls._plugins:
            raise RuntimeError(f"{name.upper()} c10d backend already exist")
        setattr(cls, name.upper(), name.lower())
        cls.backend_list = [*cls.backend_list, name.lower()]
        devices = [devices] if isinstance(devices, str) else devices or ["cpu", "cuda"]
        cls.backend_capability[name.lower()] = list(devices)
        cls._plugins[name.upper()] = func, extended_api


class BackendConfig:
    """Which backend serves which device, from a name or a list such as ``cpu:gloo,cuda:nccl``."""

    def __init__(self, backend):
        text = str(backend)
        self.device_backend_map = {}
        if backend == Backend.UNDEFINED:
            self.device_backend_map = {device: Backend(name)
                                       for device, name in Backend.default_device_backend_map.items()}
        elif ":" in text:
            for pair in text.lower().split(","):
                device, colon, name = pair.partition(":")
                if not colon or ":" in name:
                    raise ValueError(f"The custom backend string argument is invalid: {backend}. Expected "
                                     f"device:backend pairs such as 'cpu:gloo,cuda:nccl'")
                if device in self.device_backend_map:
                    raise ValueError(f"Duplicate device type {device} in backend string: {backend}")
                self.device_backend_map[device] = Backend(name)
        else:
            self.device_backend_map = {device: Backend(text)
                                       for device in Backend.backend_capability.get(text.lower(), ["cpu"])}

    def __repr__(self):
        return ",".join(f"{device}:{name}" for device, name in self.device_backend_map.items())

    def get_device_backend_map(self):
        """A dict from device types to names of backends."""
        return self.device_backend_map


class _Options:
    """Facts that `register_backend`'s functions get."""

    def __init__(self, **facts):
        self.__dict__.update(facts)


def plugin_group(name, store, ranks, world_rank, group_name, timeout):
    """A group of a registered backend, or None where `name` is none."""
    if name.upper() not in Backend._plugins:
        return None
    function, extended = Backend._plugins[name.upper()]
    rank = ranks.index(world_rank)
    if extended:
        return function(_Options(store=store, group_rank=rank, group_size=len(ranks), global_ranks_in_group=list(ranks),
                                 group_id=group_name, timeout=timeout), None)
    return function(store, rank, len(ranks), timeout)


def refuse(name):
    """Raise for a backend that is not here; nothing happens for "gloo"."""
    name = name.lower()
    if name in (Backend.GLOO, Backend.UNDEFINED) or name.upper() in Backend._plugins:
        return
    if name in (Backend.NCCL, Backend.XCCL):
        raise RuntimeError(f"Distributed package doesn't have {name.upper()} built in: it needs devices that are not "
                           f"here. Use backend='gloo'.")
    if name == Backend.MPI:
        raise RuntimeError("Distributed package doesn't have MPI built in. Use backend='gloo'.")
    if name in Backend.backend_list:
        raise NotImplementedError(f"torch.distributed: the backend {name!r}; use 'gloo'")
    raise ValueError(f"torch.distributed: no backend {name!r}; see Backend.register_backend, or use 'gloo'")


def is_gloo_available():
    """Whether there is a "gloo" backend: True."""
    return True


def is_nccl_available():
    """Whether there is NCCL: False, it needs GPUs."""
    return False


def is_mpi_available():
    """Whether there is an MPI backend: False."""
    return False


def is_ucc_available():
    """Whether there is UCC: False."""
    return False


def is_xccl_available():
    """Whether there is XCCL: False, it needs XPUs."""
    return False


def is_backend_available(backend):
    """Whether groups can be made with the backend of this name."""
    return backend.lower() == Backend.GLOO or backend.upper() in Backend._plugins


def is_torchelastic_launched():
    """Whether a launcher (`rushlight.distributed.run`) started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def get_default_backend_for_device(device):
    """The name of the backend that serves a device by default; ValueError where none does."""
    kind = (device if isinstance(device, torch.device) else torch.device(device)).type
    if kind not in Backend.default_device_backend_map:
        raise ValueError(f"Default backend not registered for device : {kind}")
    return Backend.default_device_backend_map[kind]


def get_node_local_rank(fallback_rank=None):
    """The number of this process on its machine: the environment's LOCAL_RANK, or `fallback_rank`."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow "
                       "`get_node_local_rank` to work, assuming you are not running in a multi-device context and want "
                       "the code to run locally instead.")


for _name in (Backend, BackendConfig):
    _name.__module__ = "torch.distributed.distributed_c10d"
del _name
