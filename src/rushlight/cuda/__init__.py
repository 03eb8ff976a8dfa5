"""CUDA: absent here. Questions are answered, requests for a device raise as a PyTorch CPU build's do."""

from importlib import import_module as _import


def is_available():
    """Whether a CUDA device can be used: no."""
    return False


def is_initialized():
    """Whether CUDA has been initialised: no."""
    return False


def device_count():
    """Number of CUDA devices: 0."""
    return 0


def is_bf16_supported(including_emulation=True):
    """Whether bfloat16 is supported on the device: there is none."""
    return False


def _absent():
    raise AssertionError("Torch not compiled with CUDA enabled")


def init():
    """Initialise CUDA: AssertionError, there is none."""
    _absent()


def current_device():
    """Index of the current device: AssertionError, there is none."""
    _absent()


def get_device_name(device=None):
    """Name of a device: AssertionError, there is none."""
    _absent()


def get_device_properties(device=None):
    """Properties of a device: AssertionError, there is none."""
    _absent()


def get_device_capability(device=None):
    """Compute capability of a device: AssertionError, there is none."""
    _absent()


def set_device(device):
    """Choose the current device: AssertionError unless the index is negative."""
    index = device if isinstance(device, int) else getattr(device, "index", None)
    if index is not None and index < 0:
        return
    _absent()


def synchronize(device=None):
    """Wait for a device's work: AssertionError, there is none."""
    _absent()


def current_stream(device=None):
    """The current stream: AssertionError, there is none."""
    _absent()


def empty_cache():
    """Release cached device memory: nothing to do."""


def memory_allocated(device=None):
    """Bytes of device memory in tensors: 0."""
    return 0


def max_memory_allocated(device=None):
    """Peak of `memory_allocated`: 0."""
    return 0


def memory_reserved(device=None):
    """Bytes of device memory held by the allocator: 0."""
    return 0


def max_memory_reserved(device=None):
    """Peak of `memory_reserved`: 0."""
    return 0


def memory_stats(device=None):
    """Statistics of the device allocator: empty."""
    return {}


def reset_peak_memory_stats(device=None):
    """Forget the peaks: nothing to do."""


def manual_seed(seed):
    """Seed the current device's generator; remembered for nothing, as there is no device."""
    int(seed)


def manual_seed_all(seed):
    """Seed all devices' generators; there is none."""
    int(seed)


def is_current_stream_capturing():
    """Whether a graph is being captured: no."""
    return False


class device:
    """Context that chooses a device; -1 and None choose nothing."""

    def __init__(self, device):
        self.index = device if isinstance(device, int) else getattr(device, "index", -1)

    def __enter__(self):
        if self.index is not None and self.index >= 0:
            _absent()

    def __exit__(self, *exc):
        return False


def __getattr__(name):
    if name == "amp":
        return _import(".amp", __name__)
    raise AttributeError(f"module 'torch.cuda' has no attribute {name!r}")
