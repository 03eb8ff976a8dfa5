"""``torch.accelerator``: the device beside the CPU. There is none."""

from collections import OrderedDict

__all__ = ["AcceleratorError", "current_accelerator", "current_device_idx", "current_device_index", "current_stream",
           "device_count", "device_index", "empty_cache", "empty_host_cache", "get_device_capability",
           "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated",
           "memory_reserved", "memory_stats", "reset_accumulated_memory_stats", "reset_peak_memory_stats",
           "set_device_idx", "set_device_index", "set_stream", "synchronize"]


class AcceleratorError(RuntimeError):
    """An error raised while something ran on an accelerator."""


AcceleratorError.__module__ = "torch"


def _absent():
    raise RuntimeError("Cannot access accelerator device when none is available.")


def is_available():
    """Whether there is an accelerator: no."""
    return False


def device_count():
    """Number of accelerators: 0."""
    return 0


def current_accelerator(check_available=False):
    """The accelerator as a device: None."""


class device_index:
    """Context that chooses an accelerator by index; None chooses nothing."""

    def __init__(self, device):
        self.idx = device

    def __enter__(self):
        if self.idx is not None:
            _absent()

    def __exit__(self, *exc):
        return False


def empty_cache():
    """Release cached device memory: nothing to do."""


def empty_host_cache():
    """Release cached pinned memory: nothing to do."""


def memory_stats(device_index=None, /):
    """Statistics of the device allocator: none."""
    return OrderedDict()


def _zero(name, what):
    def fn(device_index=None, /):
        return 0
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"{what}: 0."
    return fn


memory_allocated = _zero("memory_allocated", "Bytes of device memory in tensors")
max_memory_allocated = _zero("max_memory_allocated", "Peak of `memory_allocated`")
memory_reserved = _zero("memory_reserved", "Bytes of device memory held by the allocator")
max_memory_reserved = _zero("max_memory_reserved", "Peak of `memory_reserved`")


def reset_accumulated_memory_stats(device_index=None, /):
    """Forget the counts: nothing to do."""


def reset_peak_memory_stats(device_index=None, /):
    """Forget the peaks: nothing to do."""


def _refused(name, what):
    def fn(device=None, /):
        _absent()
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"{what}: RuntimeError, there is none."
    return fn


current_device_index = _refused("current_device_index", "Index of the current accelerator")
current_device_idx = _refused("current_device_idx", "Index of the current accelerator")
set_device_index = _refused("set_device_index", "Choose an accelerator")
set_device_idx = _refused("set_device_idx", "Choose an accelerator")
current_stream = _refused("current_stream", "The stream of an accelerator")
set_stream = _refused("set_stream", "Choose a stream of an accelerator")
synchronize = _refused("synchronize", "Wait for an accelerator")
get_device_capability = _refused("get_device_capability", "What an accelerator can do")
get_memory_info = _refused("get_memory_info", "Free and total memory of an accelerator")
