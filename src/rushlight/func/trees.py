"""Nested containers as flat lists and back: `utils._pytree`, with what the transforms need besides."""

from ..utils._pytree import LeafSpec, _broadcast_to_and_flatten, tree_flatten, tree_leaves, tree_map, tree_unflatten

flatten, unflatten, leaves_of = tree_flatten, tree_unflatten, tree_leaves


def is_leaf(structure):
    """Whether a structure is that of one leaf."""
    return isinstance(structure, LeafSpec) or structure.is_leaf()


def spread(prefix, structure):
    """The leaves of `prefix`, each repeated for the subtree of `structure` it stands for; None if it does not fit."""
    return _broadcast_to_and_flatten(prefix, structure)


def describe(structure):
    """A structure as text."""
    return repr(structure)


__all__ = ["describe", "flatten", "is_leaf", "leaves_of", "spread", "tree_map", "unflatten"]
