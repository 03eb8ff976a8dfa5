"""The CPU as a device: what code written for any device asks. Work is done when a call returns, in order."""

from importlib import import_module as _import

__all__ = ["Event", "Stream", "StreamContext", "current_device", "current_stream", "device_count", "get_capabilities",
           "is_available", "is_initialized", "set_device", "stream", "synchronize"]


def is_available():
    """Whether there is a CPU: yes."""
    return True


def is_initialized():
    """Whether the CPU is ready: yes."""
    return True


def device_count():
    """Number of CPUs as devices: 1."""
    return 1


def current_device():
    """The current device: ``"cpu"``."""
    return "cpu"


def set_device(device):
    """Choose the current device: there is one."""


def synchronize(device=None):
    """Wait for work in flight: there is none after a call."""


class Stream:
    """An order of work; everything is in one order here."""

    def __init__(self, priority=-1):
        self.priority = priority

    def wait_stream(self, stream):
        """Have later work wait for that of another stream: it is done."""

    def record_event(self, event=None):
        """An event after the work so far."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        """Have later work wait for an event: it is past."""


class Event:
    """A point in the order of work."""

    def __init__(self, enable_timing=False):
        self.enable_timing = enable_timing

    def query(self):
        """Whether the work before is done: yes."""
        return True

    def record(self, stream=None):
        """Put the event after the work so far."""

    def synchronize(self):
        """Wait for the work before: it is done."""

    def wait(self, stream=None):
        """Have a stream wait for the event: it is past."""


_default = Stream()
_current = _default


def current_stream(device=None):
    """The stream that work goes to."""
    return _current


class StreamContext:
    """Context that makes a stream the current one."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        global _current
        self._prev = _current
        if self.stream is not None:
            _current = self.stream

    def __exit__(self, *exc):
        global _current
        _current = self._prev


def stream(stream):
    """Context that makes `stream` the current one."""
    return StreamContext(stream)


def get_capabilities():
    """What the CPU can do, by name of the instruction set (``avx2``, ``avx512_f``, ...), as a read-only mapping.

    Also ``architecture``, ``num_logical_cores``, and the sizes of its caches in bytes.
    """
    import os
    import platform
    from types import MappingProxyType

    from rushlight.runtime import cpu
    found = {name.replace("-", "_").replace("avx512f", "avx512_f"): True for name in sorted(cpu.features())}
    caches = cpu.caches()
    return MappingProxyType({**found, "architecture": platform.machine(), "num_logical_cores": os.cpu_count(),
                             "l1d_cache_size": caches.l1d, "l2_cache_size": caches.l2})


def __getattr__(name):
    if name == "amp":
        return _import(".amp", __name__)
    raise AttributeError(f"module 'torch.cpu' has no attribute {name!r}")
