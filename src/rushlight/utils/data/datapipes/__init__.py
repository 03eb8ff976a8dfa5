"""Datasets made of parts: pipes that read from other pipes, each doing one thing to what passes."""

from . import iter, map

__all__ = ["iter", "map"]
