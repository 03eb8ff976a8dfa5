"""``__torch_function__``: tensor subclasses, other types and modes that take over functions.

Nothing here costs anything until the first class that overrides something is defined, or the first mode entered; then
the public functions and methods are wrapped once. Methods and attributes of the Tensor class itself (``size``,
``shape``) are wrapped on the subclass, so that plain tensors stay quick; the first mode wraps them on Tensor, too.
"""

import functools

from .autograd.modes import _Decorator, state
from .tensor.tensor import Tensor

__all__ = ["enable_reentrant_dispatch", "get_ignored_functions", "get_overridable_functions", "get_testing_overrides",
           "handle_torch_function", "has_torch_function", "is_tensor_like", "is_tensor_method_or_property",
           "redispatch_function", "resolve_name", "wrap_torch_function"]

_active = False
_body_of_tensor = False     # whether Tensor's own methods are wrapped
# What PyTorch calls the function behind an operator; others go by the operator's own name.
_BEHIND = {"__add__": "add", "__radd__": "add", "__sub__": "sub", "__mul__": "mul", "__rmul__": "mul",
           "__truediv__": "div", "__mod__": "remainder", "__matmul__": "matmul", "__lt__": "lt", "__le__": "le",
           "__gt__": "gt", "__ge__": "ge", "__ne__": "ne", "__neg__": "neg", "__abs__": "abs", "__pos__": "positive",
           "__rand__": "bitwise_and", "__ror__": "bitwise_or", "__rxor__": "bitwise_xor", "__iadd__": "add_",
           "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_", "__ifloordiv__": "floor_divide_",
           "__imod__": "remainder_"}
_OPEN_DUNDERS = frozenset(("__len__", "__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__",
                           "__reversed__", "__repr__", "__format__", "__deepcopy__", "__array__", "__dlpack__"))


def subclass_defined(cls):
    """Called when a Tensor subclass is defined that does not say it is plain (as Parameter and Buffer do)."""
    activate()
    for name in _body():
        owner = next(k for k in cls.__mro__ if name in k.__dict__)
        if owner is Tensor:
            setattr(cls, name, _body_form(name, Tensor.__dict__[name]))


@functools.cache
def _body():
    """Names of the methods and properties in Tensor's class body that can be overridden."""
    from .ops import registry
    registry.load()
    found = []
    for name, value in Tensor.__dict__.items():
        plain = not name.startswith("_") and name not in registry.METHODS and name != "as_subclass"
        if isinstance(value, property) and plain or callable(value) and (plain or name in _OPEN_DUNDERS):
            found.append(name)
    return tuple(found)


def _body_form(name, value):
    """A method or property of Tensor that looks for overriding arguments."""
    if isinstance(value, property):
        def get(self):
            return _dispatched(lambda: getattr(Tensor, name).__get__, value.fget, (self,), {})
        get.__name__ = get.__qualname__ = name
        return property(get, value.fset, value.fdel, value.__doc__)

    @functools.wraps(value)
    def method(*args, **kwargs):
        return _dispatched(lambda: getattr(Tensor, name), value, args, kwargs)
    method._overridable = True
    return method


def _dispatched(public, fn, args, kwargs):
    own = state.__dict__
    modes = own.get("function_modes")
    if modes:
        return _by_mode(modes, public(), fn, args, kwargs)
    if own.get("override_off"):
        return fn(*args, **kwargs)
    types = _types_of(args, kwargs)
    return _by_types(public(), fn, types, args, kwargs) if types else fn(*args, **kwargs)


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
            if name in ("is_tensor", "is_storage"):
                continue
            wrapped = table[name] = overridable(fn, functools.partial(table.get, name))
            _call_it(wrapped, fn, ns.replace("torch", "rushlight", 1), name)
            if module is not None and module.__dict__.get(name) is fn:
                setattr(module, name, wrapped)
    for name, fn in list(registry.METHODS.items()):
        wrapped = registry.METHODS[name] = overridable(fn, functools.partial(getattr, Tensor, name))
        _call_it(wrapped, fn, "rushlight", f"Tensor.{name}")
        setattr(Tensor, name, wrapped)
    from .ops.operators import dunders
    for name in (*dunders(), "__pos__"):
        home = functools.partial(getattr, Tensor, _BEHIND.get(name, name))
        setattr(Tensor, name, overridable(Tensor.__dict__[name], home))


def _call_it(wrapped, fn, module, name):
    """Let pickles know a function by the name users reach it by: a generated one has no module of its own."""
    if wrapped is not fn and type(fn) is not property:
        wrapped.__module__, wrapped.__qualname__ = module, name


def _types_of(args, kwargs):
    found = []
    for a in (*args, *kwargs.values()) if kwargs else args:
        for x in a if type(a) in (list, tuple) else (a,):
            t = type(x)
            if t is Tensor or t in found:
                continue
            if "_plain_subclass" in t.__dict__:
                continue
            if hasattr(t, "__torch_function__"):
                if any(issubclass(t, f) for f in found):
                    found.insert(next(i for i, f in enumerate(found) if issubclass(t, f)), t)
                else:
                    found.append(t)
    return found


def overridable(fn, public=None):
    """`fn` as a function that looks for modes and overriding arguments.

    public: gives the function that they are told of, which may be another one by the time of a call (a generated one
    in front of this); default this one.
    """
    if isinstance(fn, type) or getattr(fn, "_overridable", False):
        return fn
    if isinstance(fn, property):
        getter = None if public is None else lambda: public().__get__
        return property(overridable(fn.fget, getter), fn.fset and overridable(fn.fset))

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return _dispatched(public, wrapper.__wrapped__, args, kwargs)   # (autocast puts another one there)
    if public is None:
        def public():
            return wrapper
    wrapper._overridable = True
    wrapper.__wrapped__ = fn
    return wrapper


def _taken():
    """Whether `redispatch_function` says to run this one call as it is."""
    own = state.__dict__
    if own.get("override_skip"):
        own["override_skip"] = False
        return True
    return False


def _by_types(func, fn, types, args, kwargs):
    """Give the call to the overriding types, the most derived first; `fn` is what runs otherwise."""
    if _taken():
        return fn(*args, **kwargs)
    for t in types:
        r = t.__torch_function__(func, tuple(types), args, kwargs)
        if r is not NotImplemented:
            return r
    name = resolve_name(func) or f"{getattr(func, '__module__', 'torch')}.{getattr(func, '__name__', func)}"
    raise TypeError(f"no implementation found for '{name}' on types that implement "
                    f"__torch_function__: {[t.__name__ for t in types]}")


def _by_mode(modes, func, fn, args, kwargs):
    """Give the call to the innermost mode; inside of it the next one is."""
    if _taken():
        return fn(*args, **kwargs)
    mode = modes[-1]
    state.function_modes = modes[:-1]
    try:
        r = mode.__torch_function__(func, tuple(_types_of(args, kwargs)), args, kwargs)
    finally:
        state.function_modes = modes
    if r is NotImplemented:
        raise TypeError(f"Multiple dispatch failed for '{resolve_name(func) or func}'; all __torch_function__ handlers "
                        f"returned NotImplemented:\n\n  - mode object {mode!r}")
    return r


class TorchFunctionMode:
    """Context in which every public function and method goes through ``__torch_function__`` of the mode.

    Subclasses define ``__torch_function__(self, func, types, args=(), kwargs=None)``. Inside of it the mode is off, so
    calling `func` runs it (or gives it to the next mode outside). Functions that make tensors take part, too.
    """

    def __init__(self):
        pass

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        global _body_of_tensor
        activate()
        if not _body_of_tensor:
            _body_of_tensor = True
            for name in _body():
                setattr(Tensor, name, _body_form(name, Tensor.__dict__[name]))
        state.function_modes = (*state.function_modes, self)
        state.special += 1
        return self

    def __exit__(self, *exc):
        state.function_modes = state.function_modes[:-1]
        state.special -= 1

    @classmethod
    def push(cls, *args, **kwargs):
        """A new mode; the old way of entering one."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class DisableTorchFunctionSubclass:
    """Context in which subclasses are treated as plain tensors."""

    def __enter__(self):
        self._prev = state.__dict__.get("override_off", False)
        state.override_off = True

    def __exit__(self, *exc):
        state.override_off = self._prev


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Context in which neither subclasses nor modes are asked."""

    def __enter__(self):
        super().__enter__()
        self._modes = state.function_modes
        state.function_modes = ()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        state.function_modes = self._modes


class enable_reentrant_dispatch(_Decorator):
    """Context in which overriding types are asked again, inside of their own handlers."""

    def __enter__(self):
        self._prev = state.__dict__.get("override_off", False)
        state.override_off = False

    def __exit__(self, *exc):
        state.override_off = self._prev


def default_function(cls, func, types, args, kwargs):
    """Run `func` on the plain tensors and give tensor results the type `cls`.

    NotImplemented for functions of other libraries with this protocol: they come back with the call instead of running.
    """
    own = state.__dict__
    outer = own.get("override_running")
    if func is outer and own.get("override_off") or not all(issubclass(cls, t) for t in types):
        return NotImplemented
    own["override_running"] = func
    try:
        with DisableTorchFunctionSubclass():
            r = func(*args, **kwargs)
    finally:
        own["override_running"] = outer
    if getattr(func, "__name__", None) == "__get__" and getattr(func, "__self__", None) in (
            Tensor.__dict__["grad"], Tensor.__dict__["_base"]):
        return r
    return _converted(r, cls)


def _converted(r, cls):
    if cls is Tensor:
        return r
    if isinstance(r, Tensor) and not isinstance(r, cls):
        return r.as_subclass(cls)
    if isinstance(r, (tuple, list)) and any(isinstance(x, (Tensor, tuple, list)) for x in r):
        items = [_converted(x, cls) for x in r]
        return type(r)(*items) if hasattr(r, "_fields") else type(r)(items)
    return r


def redispatch_function(func, types, args, kwargs=None):
    """Run `func` itself, without asking for an override of this call; calls inside of it ask again.

    For handlers of Tensor subclasses that want to see the ops a composed function is made of.
    """
    own = state.__dict__
    own["override_skip"] = True
    try:
        return func(*args, **(kwargs or {}))
    finally:
        own["override_skip"] = False


def has_torch_function(args):
    """Whether any argument's type overrides functions, or a mode is active."""
    own = state.__dict__
    if own.get("override_skip"):
        own["override_skip"] = False        # the function that redispatch_function runs asks for itself
        return False
    return bool(own.get("function_modes")) or not own.get("override_off") and bool(_types_of(tuple(args), {}))


def has_torch_function_unary(arg):
    """`has_torch_function` of one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args):
    """`has_torch_function` of these arguments."""
    return has_torch_function(args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Give the call of `public_api` to the mode, or to the overriding types among `relevant_args`."""
    modes = state.__dict__.get("function_modes")
    if modes:
        return _by_mode(modes, public_api, public_api, args, kwargs)
    return _by_types(public_api, public_api, _types_of(tuple(relevant_args), {}), args, kwargs)


def wrap_torch_function(dispatcher):
    """Decorator: a function that gives its calls to overriding types among ``dispatcher(*args, **kwargs)``."""
    def inner(func):
        @functools.wraps(func)
        def wrapped(*args, **kwargs):
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)
        return wrapped
    return inner


def is_tensor_like(inp):
    """Whether `inp` is a tensor or overrides functions."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def get_ignored_functions():
    """Public functions that can't be overridden: those that take no tensors, for the most part."""
    from . import overridable_names
    return overridable_names.ignored()


def get_overridable_functions():
    """The functions that can be overridden: {namespace: [function, ...]}."""
    from . import overridable_names
    return overridable_names.overridable()


def get_testing_overrides():
    """For every function that can be overridden, a function of the same signature that gives -1."""
    from . import overridable_names
    return overridable_names.testing()


def resolve_name(f):
    """The name of a function as handlers get it (``torch.Tensor.size``, ``torch.Tensor.shape.__get__``), or None."""
    from . import overridable_names
    return overridable_names.name_of(f)


def is_tensor_method_or_property(func):
    """Whether `func` belongs to ``torch.Tensor``: a method, or the getter of a property."""
    from . import overridable_names
    return overridable_names.of_tensor(func)
