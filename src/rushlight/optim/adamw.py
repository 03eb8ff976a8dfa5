"""AdamW, which is written with Adam."""

from rushlight.optim.adam import AdamW

__all__ = ["AdamW"]
