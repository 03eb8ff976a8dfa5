"""Whether ops must give the same bits in every run. Ours always do: the switches are remembered, and change nothing."""

__all__ = ["are_deterministic_algorithms_enabled", "get_deterministic_debug_mode",
           "is_deterministic_algorithms_warn_only_enabled", "is_warn_always_enabled", "set_deterministic_debug_mode",
           "set_warn_always", "use_deterministic_algorithms"]

_on = _warn_only = _warn_always = False
_MODES = ("default", "warn", "error")


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Ask for deterministic algorithms; there are no others here."""
    global _on, _warn_only
    _on, _warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled():
    """Whether deterministic algorithms were asked for."""
    return _on


def is_deterministic_algorithms_warn_only_enabled():
    """Whether ops without a deterministic algorithm should warn rather than raise."""
    return _warn_only


def set_deterministic_debug_mode(debug_mode):
    """The same as one setting: ``"default"`` (0), ``"warn"`` (1) or ``"error"`` (2)."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got "
                               f"{debug_mode}")
        debug_mode = _MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def get_deterministic_debug_mode():
    """0, 1 or 2, see `set_deterministic_debug_mode`."""
    return (1 if _warn_only else 2) if _on else 0


def set_warn_always(b, /):
    """Ask for warnings every time; Python's warning filters decide here."""
    global _warn_always
    _warn_always = bool(b)


def is_warn_always_enabled():
    """Whether warnings were asked for every time."""
    return _warn_always
