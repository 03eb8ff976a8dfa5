"""Keys that lead from a node of a tree to its children; a path is a tuple of them."""

from collections import namedtuple


class SequenceKey(namedtuple("SequenceKey", "idx")):
    """The place in a sequence."""

    __slots__ = ()

    def __str__(self):
        return f"[{self.idx!r}]"

    def get(self, sequence):
        """The child."""
        return sequence[self.idx]


class MappingKey(namedtuple("MappingKey", "key")):
    """The key in a mapping."""

    __slots__ = ()

    def __str__(self):
        return f"[{self.key!r}]"

    def get(self, mapping):
        """The child."""
        return mapping[self.key]


class GetAttrKey(namedtuple("GetAttrKey", "name")):
    """The name of an attribute."""

    __slots__ = ()

    def __str__(self):
        return f".{self.name}"

    def get(self, obj):
        """The child."""
        return getattr(obj, self.name)


def keystr(kp):
    """A path as Python would write it."""
    return "".join(str(k) for k in kp)


def key_get(obj, kp):
    """What is at the end of a path that begins at `obj`."""
    for k in kp:
        obj = k.get(obj)
    return obj
