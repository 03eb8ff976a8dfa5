"""``torch.mtia``: Meta's accelerators. Absent here: questions are answered, requests raise RuntimeError."""

from .absent import DeviceContext, refusing

__all__ = ["current_device", "current_stream", "default_stream", "device", "device_count", "empty_cache",
           "get_device_capability", "get_device_properties", "get_rng_state", "init", "is_available",
           "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
           "memory_allocated", "memory_stats", "reset_peak_memory_stats", "seed", "seed_all", "set_device",
           "set_rng_state", "set_stream", "stream", "synchronize"]


def is_available():
    """Whether an MTIA device can be used: no."""
    return False


def is_initialized():
    """Whether MTIA has been initialised: no."""
    return False


def is_bf16_supported():
    """Whether bfloat16 is supported on the device: there is none."""
    return False


def device_count():
    """Number of MTIA devices: 0."""
    return 0


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


def _request(name, what):
    return refusing(name, what, RuntimeError, f"Cannot execute {name}() without MTIA backend.", "MTIA")


init = _request("init", "Initialise MTIA")
current_device = _request("current_device", "Index of the current device")
set_device = _request("set_device", "Choose the current device")
synchronize = _request("synchronize", "Wait for work on the device")
empty_cache = _request("empty_cache", "Release cached device memory")
current_stream = _request("current_stream", "The current stream")
default_stream = _request("default_stream", "The default stream")
set_stream = _request("set_stream", "Choose the current stream")
stream = _request("stream", "Context that chooses a stream")
get_rng_state = _request("get_rng_state", "The state of a device's generator")
set_rng_state = _request("set_rng_state", "Set the state of a device's generator")
get_device_capability = _request("get_device_capability", "What a device can do")
get_device_properties = _request("get_device_properties", "Properties of a device")
memory_stats = _request("memory_stats", "Statistics of the device allocator")
memory_allocated = _request("memory_allocated", "Bytes of device memory in tensors")
max_memory_allocated = _request("max_memory_allocated", "Peak of `memory_allocated`")
reset_peak_memory_stats = _request("reset_peak_memory_stats", "Forget the peaks")


class device(DeviceContext):
    """Context that chooses a device by index; -1 and None choose nothing."""

    _choose = staticmethod(set_device)
