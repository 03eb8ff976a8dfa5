"""``__torch_function__``: tensor subclasses and other types that take over functions.

Nothing here costs anything until the first class that overrides something is defined; then the public
functions and methods are wrapped once.
"""

import functools

from .autograd.modes import state
from .tensor.tensor import Tensor

_active = False


def subclass_defined(cls):
    """Called when a Tensor subclass is defined; Parameter and Buffer say they are plain."""
    if cls.__module__.startswith("rushlight.nn."):
        return
    activate()


def activate():
    """Make public functions look for overriding arguments from now on (once)."""
    global _active
    if _active:
        return
    _active = True
    from .ops import registry
    registry.load()
    import sys
    for ns, table in registry.FUNCTIONS.items():
        module = sys.modules.get(ns.replace("torch", "rushlight", 1))
        for name, fn in list(table.items()):
            wrapped = table[name] = overridable(fn)
            if module is not None and module.__dict__.get(name) is fn:
                setattr(module, name, wrapped)
    for name, fn in list(registry.METHODS.items()):
        wrapped = registry.METHODS[name] = overridable(fn)
        setattr(Tensor, name, wrapped)
    from .ops.operators import dunders
    for name in dunders():
        setattr(Tensor, name, overridable(Tensor.__dict__[name]))


def _types_of(args, kwargs):
    found = []
    for a in (*args, *kwargs.values()):
        for x in a if type(a) in (list, tuple) else (a,):
            t = type(x)
            if t is Tensor or t in found:
                continue
            if isinstance(x, Tensor) and t.__module__.startswith("rushlight.nn."):
                continue
            if hasattr(t, "__torch_function__"):
                if any(issubclass(t, f) for f in found):
                    found.insert(next(i for i, f in enumerate(found) if issubclass(t, f)), t)
                else:
                    found.append(t)
    return found


def overridable(fn):
    if isinstance(fn, type) or getattr(fn, "_overridable", False):
        return fn
    if isinstance(fn, property):
        return property(overridable(fn.fget), fn.fset and overridable(fn.fset))

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        if state.__dict__.get("override_off"):
            return fn(*args, **kwargs)
        types = _types_of(args, kwargs)
        if not types:
            return fn(*args, **kwargs)
        for t in types:
            r = t.__torch_function__(wrapper, tuple(types), args, kwargs)
            if r is not NotImplemented:
                return r
        raise TypeError(f"no implementation found for 'torch.{fn.__name__}' on types that implement "
                        f"__torch_function__: {[t.__name__ for t in types]}")
    wrapper._overridable = True
    return wrapper


class DisableTorchFunctionSubclass:
    """Context in which subclasses are treated as plain tensors."""

    def __enter__(self):
        self._prev = state.__dict__.get("override_off", False)
        state.override_off = True

    def __exit__(self, *exc):
        state.override_off = self._prev


def default_function(cls, func, types, args, kwargs):
    """Run `func` on the plain tensors and give tensor results the type `cls`."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        r = func(*args, **kwargs)
    return _converted(r, cls)


def _converted(r, cls):
    if cls is Tensor:
        return r
    if isinstance(r, Tensor) and not isinstance(r, cls):
        return r.as_subclass(cls)
    if isinstance(r, (tuple, list)):
        items = [_converted(x, cls) for x in r]
        return type(r)(*items) if hasattr(r, "_fields") else type(r)(items)
    return r


def has_torch_function(args):
    """Whether any argument's type overrides functions."""
    return bool(_types_of(tuple(args), {}))


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Dispatch `public_api` to the overriding types among `relevant_args`."""
    types = _types_of(tuple(relevant_args), {})
    for t in types:
        r = t.__torch_function__(public_api, tuple(types), args, kwargs)
        if r is not NotImplemented:
            return r
    raise TypeError(f"no implementation found for '{public_api.__module__}.{public_api.__name__}' on "
                    f"types that implement __torch_function__: {[t.__name__ for t in types]}")


def is_tensor_like(x):
    """Whether `x` is a tensor or overrides functions."""
    return isinstance(x, Tensor) or hasattr(x, "__torch_function__")
