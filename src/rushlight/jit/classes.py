"""Class types: script classes made from Python's, containers of modules, and the objects of classes at run time."""

import enum
import inspect

import rushlight as torch

from .types import ClassType, TupleType

KNOWN = {}                          # Python class -> class type


class ScriptObject:
    """An object of a script class: attributes as usual, methods as they were compiled."""

    def __init__(self, kind):
        object.__setattr__(self, "_jit_type", kind)

    def __getattr__(self, name):
        t = object.__getattribute__(self, "_jit_type")
        function = t.method(name)
        if function is None:
            if name in t.constants:
                return t.constants[name]
            if name in t.properties:
                return t.method(t.properties[name][0]).run(self)
            raise AttributeError(f"'{t.name}' object has no attribute '{name}'")
        if name in t.static:
            return function.run
        return lambda *args, **kwargs: function.run(self, *args, **kwargs)

    def _type(self):
        return self._jit_type

    def __repr__(self):
        return f"<torch.ScriptObject object of {self._jit_type.name} at {id(self):#x}>"

    def __eq__(self, other):
        t = self._jit_type
        return t.method("__eq__").run(self, other) if "__eq__" in t.methods else self is other

    __hash__ = object.__hash__


for _n in ("__len__", "__getitem__", "__setitem__", "__contains__", "__str__", "__lt__", "__gt__", "__le__", "__ge__",
           "__add__", "__sub__", "__mul__", "__neg__", "__call__", "__enter__", "__exit__"):
    def _forward(self, *args, _name=_n):
        method = self._jit_type.method(_name)
        if method is None:
            if _name == "__str__":
                return repr(self)
            raise TypeError(f"{self._jit_type.name} has no {_name}")
        return method.run(self, *args)
    setattr(ScriptObject, _n, _forward)
del _n, _forward


def class_type(cls):
    """The type of a script class, made from its source when first asked for; None for classes that can't be."""
    if cls in KNOWN:
        return KNOWN[cls]
    if cls.__module__ in ("builtins", "typing", "collections", "torch", "numpy") or issubclass(
            cls, (BaseException, torch.nn.Module, enum.Enum)) or cls.__module__.startswith("rushlight."):
        if not cls.__module__.startswith("rushlight.jit.forms"):
            return None
    try:
        inspect.getsource(cls)
    except (OSError, TypeError):
        return None
    return script_class(cls)


def script_class(cls):
    """Make a Python class a script class."""
    from .annotations import qualified, type_of_annotation
    from .resolve import compile_method, unique_name
    if cls in KNOWN:
        return KNOWN[cls]
    if not _is_new_style(cls):
        raise RuntimeError("TorchScript classes must be new-style classes. Please inherit from 'object'.")
    if len(cls.__mro__) > 2 and any(b is not object for b in cls.__mro__[1:]):
        raise RuntimeError("TorchScript classes does not support inheritance yet. Please directly inherit from "
                           "'object'.")
    t = KNOWN[cls] = ClassType(unique_name(qualified(cls)), False, cls)
    module = inspect.getmodule(cls)
    scope = vars(module) if module else {}
    for name, annotation in inspect.get_annotations(cls).items():
        if name not in cls.__dict__:
            t.attributes[name] = type_of_annotation(annotation, scope)
    for name, member in cls.__dict__.items():
        if isinstance(member, staticmethod):
            t.static.add(name)
            member = member.__func__
        if isinstance(member, property):
            getter, setter = name + ".getter", None
            t.methods[getter] = _later(compile_method, member.fget, getter, t)
            if member.fset is not None:
                setter = name + ".setter"
                t.methods[setter] = _later(compile_method, member.fset, setter, t)
            t.properties[name] = (getter, setter)
        elif inspect.isfunction(member):
            if getattr(member, "_torchscript_modifier", None) == "drop":
                continue
            t.methods[name] = _later(compile_method, member, name, t)
        elif not name.startswith("__") and isinstance(member, (int, float, str, bool, tuple)):
            t.constants[name] = member
    if "__init__" not in t.methods and t.attributes:
        _dataclass_init(cls, t)
    try:
        if "__init__" in t.methods:
            t.method("__init__")
    except BaseException:
        KNOWN.pop(cls, None)
        raise
    return t


def _dataclass_init(cls, t):
    """The initialiser of a dataclass."""
    import dataclasses
    if not dataclasses.is_dataclass(cls):
        return
    t.methods.pop("__init__", None)


def _is_new_style(cls):
    return isinstance(cls, type)


def _later(make, fn, name, t):
    return lambda: make(fn, name, t)


def callable_type(cls):
    """The type of what calling a Python class gives."""
    from .annotations import enum_type, named_tuple
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return named_tuple(cls)
    if issubclass(cls, enum.Enum):
        return enum_type(cls)
    return class_type(cls)


def container_kind(t):
    """``dict`` or ``list`` kinds of containers whose entries compiled code can name; None for others."""
    cls = t.python
    if cls is None or not t.module:
        return None
    nn = torch.nn
    if issubclass(cls, (nn.ModuleDict, nn.ParameterDict)):
        return "dict"
    if issubclass(cls, (nn.ModuleList, nn.Sequential, nn.ParameterList)):
        return "module" if issubclass(cls, nn.Sequential) else "list"
    return None


def shown_kind(t):
    """`container_kind` of a module as Python sees it: one that was loaded goes by its name."""
    found = container_kind(t)
    if found is None and t.python is None and ".nn.modules.container." in t.name:
        return {"ModuleDict": "dict", "ParameterDict": "dict", "Sequential": "module", "ModuleList": "list",
                "ParameterList": "list"}.get(t.name.rpartition(".")[2])
    return found


def container_keys(t, kind):
    """Names of a container's entries, in order."""
    from .types import TENSOR
    return [n for n, a in t.attributes.items() if isinstance(a, ClassType) and a.module or (
        a is TENSOR and (n in t.parameters or n in t.buffers))]


def late_method(t, name):
    """Let a class type have a method of its Python class, compiled when asked for; whether there is one."""
    from . import modules
    return modules.add_method(t, name)


def base_view(t, owner):
    """Class type `t` with the methods that the bases of `owner` define."""
    return Bases(t, owner)


class Bases:
    """Looks methods up behind a class, for ``super()``."""

    def __init__(self, t, owner):
        self.t, self.owner = t, owner
        self.name, self.methods, self.module, self.static = t.name, t.methods, t.module, t.static

    def method(self, name):
        """The method of the next class that has one, compiled under a name of its own."""
        from . import modules
        mro = self.t.python.__mro__
        start = mro.index(self.owner) + 1 if self.owner in mro else 1
        for cls in mro[start:]:
            if name in cls.__dict__:
                own = f"{name}__of_{cls.__name__}"
                if own not in self.t.methods:
                    modules.add_method(self.t, own, cls.__dict__[name], cls)
                return self.t.method(own)
        return None


__all__ = ["TupleType"]
