"""Small real data sets that come with the package."""

from rushlight.datasets.digits import Digits, load_digits

__all__ = ["Digits", "load_digits"]
