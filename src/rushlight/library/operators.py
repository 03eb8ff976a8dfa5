"""``torch.ops``: operators by namespace and name, each with its overloads."""

from . import aten, schema
from .entries import DEFINED, Entry

__all__ = ["OpOverload", "OpOverloadPacket", "namespace", "overload"]


class OpOverload:
    """One signature of an operator; callable."""

    def __init__(self, packet, overload_name, entry=None, function=None):
        self.overloadpacket, self._overloadname = packet, overload_name
        self._entry, self._function = entry, function
        self.__name__ = f"{packet.__name__}.{overload_name}"
        self.__module__ = packet.__module__

    @property
    def namespace(self):
        """The namespace that the operator is in."""
        return self.overloadpacket._namespace

    @property
    def _opname(self):
        return self.overloadpacket.__name__

    @property
    def _schema(self):
        if self._entry is not None:
            return self._entry.schema
        return aten.schema(self._opname, self._overloadname)

    @property
    def op(self):
        """What runs."""
        return self.__call__

    def name(self):
        """``ns::name`` or ``ns::name.overload``."""
        base = f"{self.namespace}::{self._opname}"
        return base if self._overloadname == "default" else f"{base}.{self._overloadname}"

    def has_kernel_for_dispatch_key(self, key):
        """Whether a kernel was registered for a dispatch key."""
        from .entries import _KEYS
        name = getattr(key, "name", key)
        return self._entry is None and name == "CPU" or self._entry is not None and _KEYS[name] in self._entry.kernels

    def __call__(self, /, *args, **kwargs):
        if self._function is not None:
            return self._function(*args, **kwargs)
        return self._entry.call(*self._entry.schema.bind(args, kwargs))

    def __repr__(self):
        return f"<OpOverload(op='{self.namespace}.{self._opname}', overload='{self._overloadname}')>"

    def __str__(self):
        return f"{self.namespace}.{self._opname}.{self._overloadname}"

    def __deepcopy__(self, memo=None):
        return self

    def __reduce__(self):
        return overload, (self.name(),)


class OpOverloadPacket:
    """All overloads of a name; callable as the first of them that fits."""

    def __init__(self, namespace_name, name):
        self._namespace, self.__name__ = namespace_name, name
        self.__module__ = f"torch.ops.{namespace_name}"
        self._qualified_op_name = f"{namespace_name}::{name}"
        self._cache = {}

    def overloads(self):
        """Names of the overloads."""
        if self._namespace == "aten":
            return aten.overloads(self.__name__)
        return [n or "default" for n in DEFINED[self._qualified_op_name]]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"'{self}' object has no attribute '{name}'")
        found = self._cache.get(name)
        if found is None:
            if self._namespace == "aten":
                function = aten.function(self.__name__, name)
                found = None if function is None else OpOverload(self, name, function=function)
            else:
                entry = DEFINED[self._qualified_op_name].get("" if name == "default" else name)
                found = None if entry is None else OpOverload(self, name, entry)
            if found is None:
                raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'")
            self._cache[name] = found
        return found

    def __call__(self, /, *args, **kwargs):
        if self._namespace == "aten":
            return aten.function(self.__name__, "default")(*args, **kwargs)
        wrong = None
        for name in self.overloads():
            op = getattr(self, name)
            try:
                bound = op._entry.schema.bind(args, kwargs)
            except RuntimeError as error:
                wrong = error
                continue
            return op._entry.call(*bound)
        raise wrong

    def __iter__(self):
        return iter(self.overloads())

    def __dir__(self):
        return sorted({*object.__dir__(self), *self.overloads()})

    def __repr__(self):
        return f"<OpOverloadPacket(op='{self._namespace}.{self.__name__}')>"

    def __str__(self):
        return f"{self._namespace}.{self.__name__}"

    def __deepcopy__(self, memo=None):
        return self

    def __reduce__(self):
        return packet, (self._namespace, self.__name__)


class _OpNamespace:
    """The operators of a namespace, as attributes."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")
        there = aten.function(name, "default") is not None if self._name == "aten" else \
            f"{self._name}::{name}" in DEFINED
        if not there:
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")
        found = OpOverloadPacket(self._name, name)
        setattr(self, name, found)
        return found

    def __dir__(self):
        return sorted(k.partition("::")[2] for k in DEFINED if k.startswith(self._name + "::"))

    def __repr__(self):
        return f"<module 'torch.ops.{self._name}' from 'torch.ops'>"


_namespaces = {}


def namespace(name):
    """``torch.ops.<name>``."""
    found = _namespaces.get(name)
    if found is None:
        found = _namespaces[name] = _OpNamespace(name)
    return found


def packet(namespace_name, name):
    """``torch.ops.<namespace>.<name>``."""
    return getattr(namespace(namespace_name), name)


def overload(op):
    """The OpOverload that `op` means: ``"ns::name"``, ``"ns::name.overload"``, a packet, an overload or a custom op."""
    if isinstance(op, OpOverload):
        return op
    if isinstance(op, OpOverloadPacket):
        return op.default
    if hasattr(op, "_opoverload"):
        return op._opoverload
    if not isinstance(op, str) or "::" not in op:
        raise ValueError(f"expected an operator or its name as namespace::name, got {op!r}")
    ns, _, rest = op.partition("::")
    name, _, which = rest.partition(".")
    if ns != "aten" and f"{ns}::{name}" not in DEFINED:
        raise RuntimeError(f"operator {op} does not exist")
    return getattr(getattr(namespace(ns), name), which or "default")


def define(text, namespace_name, checked=False):
    """Register the schema written in `text`; RuntimeError where it is there already."""
    s = schema.parse(text, namespace_name)
    overloads = DEFINED.setdefault(s.name, {})
    if s.overload_name in overloads:
        raise RuntimeError(f"Tried to register an operator ({s}) with the same name and overload name multiple times. "
                           "Each overload's schema should only be registered with a single call to def().")
    overloads[s.overload_name] = Entry(s, checked)
    return overload(s.name + (f".{s.overload_name}" if s.overload_name else ""))


def forget(op):
    """Take an operator out of the table."""
    overloads = DEFINED.get(op.overloadpacket._qualified_op_name, {})
    overloads.pop("" if op._overloadname == "default" else op._overloadname, None)
    if not overloads:
        DEFINED.pop(op.overloadpacket._qualified_op_name, None)
        vars(namespace(op.namespace)).pop(op._opname, None)
