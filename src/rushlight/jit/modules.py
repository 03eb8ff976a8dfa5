"""The class type of a module: attributes from what the instance holds, methods from its class, shared among equals."""

import inspect
import typing

import rushlight as torch

from . import forms
from .annotations import qualified, type_of_annotation, type_of_value
from .types import BOOL, NONE, TENSOR, ClassType, OptionalType, is_subtype

Module = torch.nn.Module
_OWN = frozenset(Module().__dict__)
_types = {}                         # Python class -> [(key, class type)]
_MISSING = object()


class Attribute(typing.NamedTuple):
    """A value with the type that it has in the script language."""

    value: typing.Any
    type: typing.Any


def concrete_type(module, share=True):
    """The class type of a module; one that equal modules share."""
    from .resolve import unique_name
    cls = type(module)
    given = getattr(module, "_jit_type", None)
    if given is not None:
        return given
    t = ClassType("", True, cls)
    hints = _hints(cls)
    ignored = set(getattr(cls, "__jit_ignored_attributes__", ()))
    unused = set(getattr(cls, "__jit_unused_properties__", ()))
    extra = forms.attributes(module)
    for name, p in module._parameters.items():
        if name in ignored:
            continue
        _tensor(t, name, p, hints, t.parameters)
    for name, b in module._buffers.items():
        if name in ignored:
            continue
        _tensor(t, name, b, hints, t.buffers)
    t.attributes["training"] = BOOL
    t.attributes["_is_full_backward_hook"] = OptionalType(BOOL)
    constants = set(getattr(cls, "__constants__", ()) or ()) | {n for n, h in hints.items() if _is_final(h)}
    for c in cls.__mro__:
        constants |= set(c.__dict__.get("__constants__") or ())
    for name, child in module._modules.items():
        if name in ignored:
            continue
        if child is None:
            t.attributes[name] = NONE
            continue
        hint = hints.get(name)
        interface = getattr(hint, "_jit_interface", None)
        made = concrete_type(child, share)
        t.attributes[name] = interface or made
    names = dict.fromkeys(n for n in module.__dict__ if n not in _OWN)
    for c in cls.__mro__:
        if c is Module:
            break
        if not c.__module__.startswith("rushlight.nn"):
            names |= dict.fromkeys(n for n in c.__dict__ if not n.startswith("__"))
    for name in names:
        if name in t.attributes or name in ignored or name in extra:
            continue
        value = module.__dict__.get(name, _MISSING)
        if value is _MISSING:
            value = inspect.getattr_static(cls, name)
            if isinstance(value, (property, staticmethod, classmethod)) or inspect.isfunction(value):
                continue
        _attribute(t, name, value, hints.get(name), constants)
    for name, (kind, value) in extra.items():
        if kind == "constant":
            t.constants[name] = value
    t.lists = forms.lists(module)
    for c in cls.__mro__:
        if c is Module or c.__module__.startswith("rushlight.nn"):
            break
        for name, member in c.__dict__.items():
            if isinstance(member, property) and name not in unused and name not in t.properties and getattr(
                    member.fget, "_torchscript_modifier", None) is None:
                t.properties[name] = (name + ".getter", name + ".setter" if member.fset else None)
    t.pre_hooks = [f"_pre_hook_{i}" for i in range(len(module._forward_pre_hooks))]
    t.hooks = [f"_hook_{i}" for i in range(len(module._forward_hooks))]
    key = (tuple((n, a.key()) for n, a in t.attributes.items()), tuple(t.parameters), tuple(t.buffers),
           repr(sorted(t.constants.items())), tuple((n, id(v)) for n, v in t.python_values.items()),
           tuple(id(h) for h in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())),
           tuple(n for n, v in module.__dict__.items() if inspect.ismethod(v) or n == "forward"))
    if share:
        for other, found in _types.get(cls, ()):
            if other == key:
                return found
    t.name = unique_name(qualified(cls))
    if share:
        _types.setdefault(cls, []).append((key, t))
    _methods(t, module)
    return t


def _tensor(t, name, value, hints, group):
    if value is None:
        hint = hints.get(name)
        t.attributes[name] = NONE
        if hint is not None and not _is_final(hint):
            wanted = type_of_annotation(hint)
            t.attributes[name] = wanted if is_subtype(NONE, wanted) else NONE
    else:
        t.attributes[name] = TENSOR
        group.append(name)


def _is_final(hint):
    return hint is typing.Final or typing.get_origin(hint) is typing.Final


def _hints(cls):
    """Annotations of the attributes of a class and its bases."""
    found = {}
    for c in reversed(cls.__mro__):
        if c is Module or c is object:
            continue
        own = inspect.get_annotations(c)
        module = inspect.getmodule(c)
        scope = {**vars(typing), "torch": torch, "Tensor": torch.Tensor, **(vars(module) if module else {})}
        for name, hint in own.items():
            if isinstance(hint, str):
                try:
                    hint = eval(hint, scope)
                except Exception:
                    continue
            found[name] = hint
    return found


def _attribute(t, name, value, hint, constants):
    from .script import ScriptFunction
    if isinstance(value, Attribute):
        t.attributes[name] = type_of_annotation(value.type)
        return
    if name in constants:
        if isinstance(value, (bool, int, float, complex, str, type(None), tuple, list, torch.dtype, torch.device)):
            t.constants[name] = value
            return
    if hint is not None and not _is_final(hint):
        try:
            t.attributes[name] = type_of_annotation(hint)
        except Exception as error:
            t.unused[name] = f"({error})"
        return
    if isinstance(value, ScriptFunction) or inspect.isfunction(value) or inspect.isbuiltin(value) or (
            inspect.isclass(value)):
        t.python_values[name] = value
        return
    kind = type_of_value(value)
    if kind is None:
        if callable(value):
            t.python_values[name] = value
            return
        t.unused[name] = (f"(This attribute exists on the Python module, but we failed to convert Python type: "
                          f"'{type(value).__name__}' to a TorchScript type.)")
        return
    t.attributes[name] = kind


def _methods(t, module):
    """The methods that the module's class has, compiled when they are asked for."""
    cls = t.python
    t.fresh = lambda name: add_method(t, name)
    own = module.__dict__.get("forward")
    forward = getattr(own, "__func__", own) if own is not None else None
    if forward is not None and inspect.isfunction(forward):
        add_method(t, "forward", forward, cls)
    else:
        add_method(t, "forward")
    for name in exported(cls):
        add_method(t, name)
    for kind, hooks in (("_pre_hook_", module._forward_pre_hooks), ("_hook_", module._forward_hooks)):
        for i, hook in enumerate(hooks.values()):
            add_method(t, f"{kind}{i}", hook, cls)
    for name, (getter, setter) in t.properties.items():
        p = getattr(cls, name)
        add_method(t, getter, p.fget, cls)
        if setter:
            add_method(t, setter, p.fset, cls)


def exported(cls):
    """Names of methods marked with ``torch.jit.export``."""
    return [n for n in dir(cls) if getattr(inspect.getattr_static(cls, n, None), "_torchscript_modifier",
                                           None) == "export"]


def add_method(t, name, fn=None, owner=None):
    """Give a class type a method of its Python class; whether there is such."""
    from .resolve import PythonResolver, compile_method
    cls = t.python
    if fn is None:
        if cls is None or name in t.methods:
            return name in t.methods
        static = inspect.getattr_static(cls, name, None)
        if static is None:
            return False
        if isinstance(static, staticmethod):
            t.static.add(name)
        fn = getattr(cls, name)
        fn = getattr(fn, "__func__", fn)
        owner = next(c for c in cls.__mro__ if name in c.__dict__)
        if owner is Module and not forms.has(owner, name):
            return False
        if name == "forward" and owner is Module:
            return False
    form = forms.method(owner, fn, name)
    if form is None and not inspect.isfunction(fn):
        return False
    if form is not None:
        t.methods[name] = lambda: compile_method(form, name, t, owner, PythonResolver(form))
    else:
        t.methods[name] = lambda: compile_method(fn, name, t, owner)
    return True
