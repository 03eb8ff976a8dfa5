"""The classes and functions that the user allows in files loaded with ``weights_only=True``."""

_allowed = {}


def _full_name(obj):
    return f"{obj.__module__}.{obj.__qualname__}"


def _named(entries):
    """``{full name: object}`` of a list of objects or ``(object, full name)`` pairs."""
    named = {}
    for entry in entries:
        if isinstance(entry, tuple):
            obj, name = entry
            if not isinstance(name, str):
                raise TypeError(f"expected (object, full name) in the list of safe globals, "
                                f"got {entry!r}")
        else:
            obj, name = entry, None
        if not callable(obj) or (name is None and not hasattr(obj, "__qualname__")):
            raise TypeError(f"safe globals must be classes or functions, got {obj!r}")
        named[name or _full_name(obj)] = obj
    return named


def add_safe_globals(safe_globals):
    """Allow classes and functions, given as objects or as ``(object, "module.name")``."""
    _allowed.update(_named(safe_globals))


def get_safe_globals():
    """What was allowed so far, as a list of objects (pairs where the name was given)."""
    return [obj if hasattr(obj, "__qualname__") and _full_name(obj) == name else (obj, name)
            for name, obj in _allowed.items()]


def clear_safe_globals():
    """Allow nothing but what is always allowed."""
    _allowed.clear()


class safe_globals:
    """Context in which more classes and functions are allowed."""

    def __init__(self, safe_globals):
        self._added = safe_globals

    def __enter__(self):
        self._before = dict(_allowed)
        add_safe_globals(self._added)

    def __exit__(self, *exc):
        _allowed.clear()
        _allowed.update(self._before)


def lookup(module, name):
    """The allowed object of that name, or None."""
    found = _allowed.get(f"{module}.{name}")
    if found is None and module.partition(".")[0] == "torch":
        # Our own classes say where they live here; files say where PyTorch keeps them.
        from rushlight.serialization._names import name_in_file

        for obj in _allowed.values():
            if name_in_file(getattr(obj, "__module__", ""), getattr(obj, "__qualname__", "")) == \
                    (module, name) and obj.__module__.startswith("rushlight"):
                return obj
    return found
