"""``torch.xpu``: Intel's GPUs. Absent here: questions are answered, requests raise as a CPU build of PyTorch does."""

from .absent import DeviceContext, answering, refusing

__all__ = ["Event", "Stream", "current_device", "current_stream", "device", "device_count", "empty_cache",
           "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state",
           "init", "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all",
           "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved",
           "memory_stats", "reset_accumulated_memory_stats", "reset_peak_memory_stats", "seed", "seed_all",
           "set_device", "set_rng_state", "set_stream", "stream", "synchronize"]


def is_available():
    """Whether an XPU device can be used: no."""
    return False


def is_initialized():
    """Whether XPU has been initialised: no."""
    return False


def is_bf16_supported(including_emulation=True):
    """Whether bfloat16 is supported on the device: there is none."""
    return False


def device_count():
    """Number of XPU devices: 0."""
    return 0


def get_arch_list():
    """Architectures that kernels are built for: none."""
    return []


def manual_seed(seed):
    """Seed the current device's generator: there is none, so the number is only checked."""
    int(seed)


def manual_seed_all(seed):
    """Seed all devices' generators: there is none, so the number is only checked."""
    int(seed)


def seed():
    """Seed the current device's generator at random: nothing to do."""


def seed_all():
    """Seed all devices' generators at random: nothing to do."""


def empty_cache():
    """Release cached device memory: nothing to do."""


def memory_stats(device=None):
    """Statistics of the device allocator: none."""
    return {}


def reset_peak_memory_stats(device=None):
    """Forget the peaks: nothing to do."""


def reset_accumulated_memory_stats(device=None):
    """Forget the counts: nothing to do."""


memory_allocated = answering("memory_allocated", "Bytes of device memory in tensors", 0)
max_memory_allocated = answering("max_memory_allocated", "Peak of `memory_allocated`", 0)
memory_reserved = answering("memory_reserved", "Bytes of device memory held by the allocator", 0)
max_memory_reserved = answering("max_memory_reserved", "Peak of `memory_reserved`", 0)


def _request(name, what):
    return refusing(name, what, AssertionError, "Torch not compiled with XPU enabled", "XPU")


init = _request("init", "Initialise XPU")
current_device = _request("current_device", "Index of the current device")
set_device = _request("set_device", "Choose the current device")
synchronize = _request("synchronize", "Wait for work on the device")
current_stream = _request("current_stream", "The current stream")
set_stream = _request("set_stream", "Choose the current stream")
stream = _request("stream", "Context that chooses a stream")
get_rng_state = _request("get_rng_state", "The state of a device's generator")
set_rng_state = _request("set_rng_state", "Set the state of a device's generator")
get_device_name = _request("get_device_name", "Name of a device")
get_device_capability = _request("get_device_capability", "What a device can do")
get_device_properties = _request("get_device_properties", "Properties of a device")
mem_get_info = _request("mem_get_info", "Free and total memory of a device")


class device(DeviceContext):
    """Context that chooses a device by index; -1 and None choose nothing."""

    _choose = staticmethod(set_device)


class Event:
    """A point in the device's work: RuntimeError, there is no XPU device."""

    def __init__(self, enable_timing=False):
        raise RuntimeError("Tried to instantiate dummy base class Event")


class Stream:
    """An order of work on the device: RuntimeError, there is no XPU device."""

    def __init__(self, device=None, priority=0):
        raise RuntimeError("Tried to instantiate dummy base class Stream")
