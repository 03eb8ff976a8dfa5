"""Nested containers as flat lists and back."""


def flatten(x):
    """(leaves, structure): tuples, lists, dicts and named tuples are opened, whatever else is a leaf."""
    leaves = []
    return leaves, _open(x, leaves)


def _open(x, leaves):
    t = type(x)
    if t is tuple or t is list or isinstance(x, tuple) and hasattr(t, "_fields"):
        return (t, tuple([_open(y, leaves) for y in x]))
    if t is dict:
        return (t, tuple(x), tuple([_open(y, leaves) for y in x.values()]))
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
    found = [x] if t is list or t is dict else []
    if t is dict or t is list or t is tuple or isinstance(x, tuple) and hasattr(t, "_fields"):
        for y in x.values() if t is dict else x:
            found += containers(y)
    return found


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
    if t is dict:
        return dict(zip(s[1], [_close(leaves, c) for c in s[2]]))
    children = [_close(leaves, c) for c in s[1]]
    return t(*children) if hasattr(t, "_fields") else t(children)
