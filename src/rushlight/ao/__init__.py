"""``torch.ao``: what prepares architectures for smaller numbers."""

from . import quantization

__all__ = ["quantization"]
