"""Nested containers: tuples, lists, dicts and named tuples as a flat list of leaves, and back."""

from collections import OrderedDict, defaultdict, deque


def flatten(tree):
    """(leaves, structure). Whatever is no container, None included, is a leaf."""
    leaves = []
    return leaves, _open(tree, leaves)


def _open(x, leaves):
    t = type(x)
    if t is tuple or t is list or t is deque or isinstance(x, tuple) and hasattr(t, "_fields"):
        return (t, None, tuple([_open(y, leaves) for y in x]))
    if t is dict or t is OrderedDict or t is defaultdict:
        return (t, tuple(x), tuple([_open(y, leaves) for y in x.values()]))
    leaves.append(x)
    return None


def unflatten(leaves, structure):
    """The tree of that structure with these leaves."""
    return _close(iter(leaves), structure)


def _close(leaves, s):
    if s is None:
        return next(leaves)
    t, keys, parts = s
    children = [_close(leaves, c) for c in parts]
    if keys is not None:
        return defaultdict(None, zip(keys, children)) if t is defaultdict else t(zip(keys, children))
    return t(*children) if hasattr(t, "_fields") else t(children)


def tree_map(fn, tree):
    """`tree` with ``fn`` applied to every leaf."""
    leaves, s = flatten(tree)
    return unflatten([fn(x) for x in leaves], s)


def leaves_of(tree):
    """The leaves of a tree."""
    return flatten(tree)[0]


def spread(prefix, structure):
    """The leaves of `prefix`, each repeated for the subtree of `structure` it stands for; None if it does not fit."""
    out = []
    return out if _spread(prefix, structure, out) else None


def _spread(p, s, out):
    if s is None:
        if isinstance(p, (tuple, list, dict)):
            return False
        out.append(p)
        return True
    t, keys, parts = s
    if keys is not None and isinstance(p, dict):
        return set(p) == set(keys) and all(_spread(p[k], c, out) for k, c in zip(keys, parts))
    if isinstance(p, (tuple, list)):
        same = type(p) is t or isinstance(p, tuple) and issubclass(t, tuple)
        return same and keys is None and len(p) == len(parts) and all(_spread(x, c, out) for x, c in zip(p, parts))
    if isinstance(p, dict):
        return False
    return all(_spread(p, c, out) for c in parts)


def describe(structure):
    """A structure as text: ``(*, [*, *])``."""
    if structure is None:
        return "*"
    t, keys, parts = structure
    if keys is not None:
        return "{" + ", ".join(f"{k!r}: {describe(c)}" for k, c in zip(keys, parts)) + "}"
    inner = ", ".join(describe(c) for c in parts)
    return f"[{inner}]" if t is list else f"({inner})"
