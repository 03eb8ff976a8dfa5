"""Public functions that tell the profiler: each is wrapped once, when the first profiler starts.

Generated functions stay as they are, as they leave calls to Python while something special is on; only their Python
end is wrapped. A process that never profiles pays nothing.
"""

import functools
import threading
from types import BuiltinFunctionType, FunctionType

from rushlight.autograd.modes import state
from rushlight.ops.renaming import rename
from rushlight.tensor.tensor import Tensor

from . import names

_armed = False
_lock = threading.Lock()
_BODY = ("detach", "detach_", "item", "__bool__")      # methods in Tensor's class body that are operators


def arm():
    """Wrap the public functions (once)."""
    global _armed
    with _lock:
        if _armed:
            return
        _armed = True
        _wrap_all()


def _wrap_all():
    from rushlight.ops import registry
    from rushlight.ops.operators import dunders
    registry.load()
    swapped = {}
    for namespace, table in registry.FUNCTIONS.items():
        for name, fn in list(table.items()):
            event = names.of_function(namespace, name)
            if event is not None and isinstance(fn, (FunctionType, BuiltinFunctionType)):
                table[name] = _swap(fn, event, swapped)
    for name, fn in list(registry.METHODS.items()):
        event = "index" if name == "__getitem__" else "store" if name == "__setitem__" else \
            names.of_function("torch", name)
        if event is None or not callable(fn) or isinstance(fn, type):
            continue
        new = registry.METHODS[name] = _swap(fn, event, swapped)
        if name in Tensor.__dict__:
            setattr(Tensor, name, new)
    for name in (*dunders(), "__pos__", *_BODY):
        fn = Tensor.__dict__[name]
        event = names.of_function("torch", name)
        if event is not None and callable(fn):
            setattr(Tensor, name, _swap(fn, event, swapped))
    rename(swapped)


def _swap(fn, event, swapped):
    """`fn`, telling of calls as `event`; a generated function stays itself, since its end is wrapped in place."""
    from rushlight.ops.native import install

    def make_end(end):
        new = _told(end, event)
        swapped.setdefault(id(end), (end, new))
        return new
    if install.intercept(getattr(fn, "__func__", fn), make_end, "tells_profiler"):
        return fn
    if id(fn) not in swapped:
        if getattr(fn, "_overridable", False) and type(fn) is FunctionType:
            # Whoever overrides functions sees the call first.
            inner = fn.__wrapped__
            if not install.intercept(inner, make_end, "tells_profiler"):
                fn.__wrapped__ = make_end(inner)
            swapped[id(fn)] = fn, fn
        else:
            swapped[id(fn)] = fn, _told(fn, event)
    return swapped[id(fn)][1]


def _told(fn, event):
    """`fn` that opens an event around itself while the thread's recorder is on."""
    if event == "index":
        return _told_index(fn)
    if event == "store":
        return _told_store(fn)
    parameters, copies = None, event == "aten::contiguous"

    @functools.wraps(fn)
    def call(*args, **kwargs):
        r = state.__dict__.get("recorder")
        if r is None or r.current is not None and r.current.name == event or copies and not kwargs and \
                args[0].is_contiguous(*args[1:]):
            return fn(*args, **kwargs)
        nonlocal parameters
        if parameters is None and r.shapes:
            parameters = _parameters(fn)
        e = r.begin(event, args, kwargs, parameters=parameters)
        result = None
        try:
            result = fn(*args, **kwargs)
            return result
        finally:
            r.end(e, result)
    return call


def _told_index(fn):
    @functools.wraps(fn)
    def call(input, index):
        r = state.__dict__.get("recorder")
        if r is None:
            return fn(input, index)
        e = r.begin(names.of_index(index), (input, index), {})
        result = None
        try:
            result = fn(input, index)
            return result
        finally:
            r.end(e, result)
    return call


def _told_store(fn):
    @functools.wraps(fn)
    def call(input, index, value):
        r = state.__dict__.get("recorder")
        if r is None:
            return fn(input, index, value)
        e = r.begin(names.of_store(index, value), (input, index, value), {})
        try:
            return fn(input, index, value)
        finally:
            r.end(e)
    return call


def _parameters(fn):
    """Names of the parameters of a function, but ``out``; () where it takes any number."""
    import inspect
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return ()
    return tuple([p.name for p in found if p.name != "out"])
