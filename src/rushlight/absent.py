"""What modules of devices that are not there are made of: answers, refusals and the context that chooses a device."""


def answering(name, what, value):
    """A function of one optional device that says `value`."""
    def fn(device=None):
        return value
    return _called(fn, name, f"{what}: {value}.")


def refusing(name, what, error, message, kind):
    """A function that raises ``error(message)``, since there is no device of the `kind`."""
    def fn(*args, **kwargs):
        raise error(message)
    return _called(fn, name, f"{what}: {error.__name__}, there is no {kind} device.")


def _called(fn, name, doc):
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return fn


class DeviceContext:
    """Context that chooses a device by index; -1 and None choose nothing."""

    def __init__(self, device):
        self.idx = device if isinstance(device, int) else getattr(device, "index", None)

    def __enter__(self):
        if self.idx is not None and self.idx >= 0:
            self._choose(self.idx)

    def __exit__(self, *exc):
        return False
