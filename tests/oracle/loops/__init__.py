"""Small training loops as people write them, by field; ``LOOPS`` has them by name."""

from . import generative, language, practice, reinforcement, tabular, vision
from .registry import LOOPS

__all__ = ["LOOPS", "generative", "language", "practice", "reinforcement", "tabular", "vision"]
