"""Places in Python's objects: an item of a dict, an index of a list, what a closure's cell holds.

A place is (container, how, key), where `how` is ``item`` (a dict's key), ``index`` (of a list), ``length`` (of a
container), ``cell`` (a closure's contents), ``slot`` (of an object) or ``part`` (an item of a tuple in such a place).
"""

import math
from collections import OrderedDict

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


class _Missing:
    def __repr__(self):
        return "nothing"


MISSING = _Missing()


def look(container, how, key):
    """What a place holds; `MISSING` if there is none."""
    if how == "item":
        return container.get(key, MISSING)
    if how == "index":
        return container[key] if key < len(container) else MISSING
    if how == "length":
        return len(container)
    if how == "slot":
        return getattr(container, key, MISSING)
    if how == "part":
        outer, at, i, n = key
        return part(look(container, outer, at), i, n)
    try:
        return container.cell_contents
    except ValueError:
        return MISSING


def part(x, i, n):
    """Item i of a tuple of n; `MISSING` of all else."""
    return x[i] if type(x) is tuple and len(x) == n else MISSING


def put(container, how, key, value):
    """Put `value` in a place."""
    if how == "cell":
        container.cell_contents = value
    elif how == "slot":
        object.__setattr__(container, key, value)
    else:
        container[key] = value


def same(a, b):
    """Whether a place still holds what it held: the same object, or an equal plain value."""
    if a is b:
        return True
    if isinstance(b, (float, complex)):
        return type(a) is type(b) and (a == b and math.copysign(1, a.real) == math.copysign(1, b.real)
                                       or a != a and b != b)
    return type(a) is type(b) and isinstance(b, PLAIN) and a == b


def twin(x):
    """An equal object in the place of a text, list, dict or tuple; `x` itself if there is none."""
    if type(x) is str and len(x) > 1:
        return x[:1] + x[1:]
    if type(x) in (list, dict, OrderedDict):
        return type(x)(x)
    return (*x,) if type(x) is tuple and x else x


def short(x):
    """A value in a few words."""
    text = repr(x) if isinstance(x, (*PLAIN, _Missing)) else f"a {type(x).__name__}"
    return text if len(text) < 40 else text[:37] + "..."


def mark(entry):
    """What identifies a place, the first three of `entry`; parts of a tuple are of the tuple's place."""
    return id(entry[0]), *(entry[2][:2] if entry[1] == "part" else entry[1:3])
