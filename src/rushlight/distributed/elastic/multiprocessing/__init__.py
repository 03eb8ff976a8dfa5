"""Processes that a launcher starts, and their errors."""

from . import errors
from .errors import record

__all__ = ["errors", "record"]
