"""How much the package checks and tells: `TORCH_DISTRIBUTED_DEBUG`."""

import os
from enum import IntEnum


class DebugLevel(IntEnum):
    """OFF; INFO; DETAIL, at which every collective first compares operation, shapes and dtypes across ranks."""

    OFF = 0
    INFO = 1
    DETAIL = 2


_level = None


def set_debug_level(level):
    """Take `level`, a `DebugLevel`."""
    global _level
    if not isinstance(level, DebugLevel):
        raise TypeError(f"set_debug_level(): expected a DebugLevel, got {level!r}")
    _level = level


def set_debug_level_from_env():
    """Take the level that the environment variable `TORCH_DISTRIBUTED_DEBUG` names; OFF where it is not set."""
    name = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF").upper() or "OFF"
    if name not in DebugLevel.__members__:
        raise RuntimeError(f"The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO or DETAIL, got {name}")
    set_debug_level(DebugLevel[name])


def get_debug_level():
    """The level that holds."""
    if _level is None:
        set_debug_level_from_env()
    return _level
