"""Algorithms above collectives: joining with uneven inputs, hooks that compress gradients."""

from . import join
from .join import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable", "join"]
