"""``torch.mps``: Apple's GPUs. Absent here: questions are answered, requests raise RuntimeError."""

from .absent import refusing

__all__ = ["Event", "compile_shader", "current_allocated_memory", "device_count", "driver_allocated_memory",
           "empty_cache", "get_rng_state", "is_available", "load_metallib", "manual_seed", "recommended_max_memory",
           "seed", "set_per_process_memory_fraction", "set_rng_state", "synchronize"]


def is_available():
    """Whether an MPS device can be used: no."""
    return False


def device_count():
    """Number of MPS devices: 0."""
    return 0


def manual_seed(seed):
    """Seed the device's generator: there is none, so the number is only checked."""
    int(seed)


def seed():
    """Seed the device's generator at random: nothing to do."""


def _request(name, what):
    return refusing(name, what, RuntimeError, f"Cannot execute {name}() without MPS backend.", "MPS")


synchronize = _request("synchronize", "Wait for work on the device")
empty_cache = _request("empty_cache", "Release cached device memory")
get_rng_state = _request("get_rng_state", "The state of the device's generator")
set_rng_state = _request("set_rng_state", "Set the state of the device's generator")
set_per_process_memory_fraction = _request("set_per_process_memory_fraction", "Bound this process's memory")
current_allocated_memory = _request("current_allocated_memory", "Bytes of device memory in tensors")
driver_allocated_memory = _request("driver_allocated_memory", "Bytes of device memory held by the driver")
recommended_max_memory = _request("recommended_max_memory", "Bytes of device memory to use at most")
compile_shader = _request("compile_shader", "Compile Metal source")
load_metallib = _request("load_metallib", "Load compiled Metal code")


class Event:
    """A point in the device's work: RuntimeError, there is no MPS device."""

    def __init__(self, enable_timing=False):
        raise RuntimeError("Cannot execute acquireEvent() without MPS backend.")
