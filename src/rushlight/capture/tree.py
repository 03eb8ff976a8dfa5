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
