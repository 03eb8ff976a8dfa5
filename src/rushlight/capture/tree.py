"""Nested containers as flat lists and back: tuples, lists, dicts, named tuples, and records.

A record is an object of a dataclass without slots, or an ordered dict (perhaps of a subclass): its items, attributes.
"""

from collections import OrderedDict
from functools import lru_cache

_RECORD = "record"


@lru_cache(256)
def _holds_records(t):
    """Whether the objects of a class are records."""
    return issubclass(t, OrderedDict) or hasattr(t, "__dataclass_fields__") and \
        not issubclass(t, (tuple, list, dict)) and not any("__slots__" in vars(c) for c in t.__mro__)


def flatten(x):
    """(leaves, structure): containers are opened, whatever else is a leaf."""
    leaves = []
    return leaves, _open(x, leaves)


def _open(x, leaves):
    t = type(x)
    if t is tuple or t is list or isinstance(x, tuple) and hasattr(t, "_fields"):
        return (t, tuple([_open(y, leaves) for y in x]))
    if t is dict:
        return (t, tuple(x), tuple([_open(y, leaves) for y in x.values()]))
    if _holds_records(t):
        items = x.items() if isinstance(x, dict) else ()
        return (t, _RECORD, tuple([k for k, _ in items]), tuple(vars(x)),
                tuple([_open(y, leaves) for y in [*[y for _, y in items], *vars(x).values()]]))
    leaves.append(x)
    return None


def _count(structure):
    return 1 if structure is None else sum(map(_count, structure[-1]))


def top_level(structure):
    """[(index among the leaves, "args" or "kwargs", position or name)] of leaves that are arguments themselves, where
    ``(args, kwargs)`` was opened."""
    found, i = [], 0
    positional, named = structure[1]
    for where, names, children in (("args", range(len(positional[1])), positional[1]), ("kwargs", *named[1:])):
        for name, child in zip(names, children):
            if child is None:
                found.append((i, where, name))
            i += _count(child)
    return found


def containers(x):
    """The lists and dicts in nested containers, which can be changed."""
    t = type(x)
    if _holds_records(t):
        return [x, *[c for y in _values(x) for c in containers(y)]]
    found = [x] if t is list or t is dict else []
    if t is dict or t is list or t is tuple or isinstance(x, tuple) and hasattr(t, "_fields"):
        for y in x.values() if t is dict else x:
            found += containers(y)
    return found


def _values(record):
    return [*(record.values() if isinstance(record, dict) else ()), *vars(record).values()]


def classes(structure):
    """The classes of records."""
    if structure is None:
        return set()
    own = {structure[0]} if structure[1] is _RECORD else set()
    return own.union(*map(classes, structure[-1]))


def shared(some, values):
    """Whether one of the containers `some` is within nested `values`."""
    known = {id(x) for x in some}
    return any(id(x) in known for x in containers(values))


def converted(x, change):
    """The nested containers with ``change(leaf)`` for leaves; lists and dicts stay the objects that they are."""
    t = type(x)
    if t is list:
        x[:] = [converted(y, change) for y in x]
        return x
    if t is dict:
        for k, y in x.items():
            x[k] = converted(y, change)
        return x
    if _holds_records(t):
        for k, y in list(x.items()) if isinstance(x, dict) else ():
            OrderedDict.__setitem__(x, k, converted(y, change))
        vars(x).update({k: converted(y, change) for k, y in vars(x).items()})
        return x
    if t is tuple or isinstance(x, tuple) and hasattr(t, "_fields"):
        now = [converted(y, change) for y in x]
        if all(a is b for a, b in zip(now, x)):
            return x
        return t(*now) if hasattr(t, "_fields") else t(now)
    return change(x)


def unflatten(leaves, structure):
    """What `flatten` opened, with other leaves."""
    return _close(iter(leaves), structure)


def _close(leaves, s):
    if s is None:
        return next(leaves)
    t = s[0]
    if s[1] is _RECORD:
        # (As if by pickle: what the class does with new objects was done when the call was recorded.)
        values = [_close(leaves, c) for c in s[4]]
        made = t.__new__(t)
        for k, y in zip(s[2], values):
            OrderedDict.__setitem__(made, k, y)
        made.__dict__.update(zip(s[3], values[len(s[2]):]))
        return made
    if t is dict:
        return dict(zip(s[1], [_close(leaves, c) for c in s[2]]))
    children = [_close(leaves, c) for c in s[1]]
    return t(*children) if hasattr(t, "_fields") else t(children)
