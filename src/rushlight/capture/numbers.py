"""Numbers read from tensors while a tape is written: real numbers that tell when anybody looks at them.

A number that is only handed on can be read again by a program (``return loss.item()``); one that is compared, added or
printed has had a part in what Python did.
"""

_QUIET = {"__new__", "__class__", "__init__", "__getattribute__", "__doc__", "__init_subclass__", "__subclasshook__",
          "__setattr__", "__delattr__", "__dir__", "__sizeof__", "__getnewargs__", "__getformat__"}


def _telling(base):
    class Seen(base):
        """A number with the tensor it was read from."""

        def told(self):
            if self.tape is not None:
                self.tape.fail("Python computes with a number that was read from a tensor")

    def make(name):
        method = getattr(base, name)

        def tell(self, *args):
            self.told()
            return method(self, *args)
        return tell
    for name in dir(base):
        if name not in _QUIET and callable(getattr(base, name)):
            setattr(Seen, name, make(name))
    Seen.__name__ = Seen.__qualname__ = f"Seen{base.__name__.title()}"
    return Seen


SEEN = {float: _telling(float), int: _telling(int)}
_TYPES = tuple(SEEN.values())


def seen(value, tensor, tape, when):
    """`value` as a number that tells `tape`; `when`: how many steps the tape had."""
    x = SEEN[type(value)](value)
    x.tensor, x.tape, x.when = tensor, tape, when
    return x


def is_seen(x):
    return type(x) in _TYPES


def plain(x):
    """The ordinary number."""
    x.tape = None
    return float.__pos__(x) if isinstance(x, float) else int.__pos__(x)
