"""Puts recorders in the place of the public functions while a call is traced, and takes them away again.

Functions, methods and operators on tensors are replaced where users find them: in the op table, in modules, on Tensor,
and in the modules that define what is traced. Generated functions that are installed meanwhile are wrapped, too.
"""

import sys
import threading

import rushlight as torch
from rushlight.library.operators import OpOverloadPacket
from rushlight.ops import registry
from rushlight.ops.operators import dunders

_SPACES = ("torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.fft", "torch._VF", "torch._C._nn")
_BODY = ("shape", "ndim", "size", "dim", "numel", "nelement", "item", "tolist", "numpy", "__bool__", "__float__",
         "__int__",
         "__index__", "__len__", "__iter__", "T", "mT", "H", "mH", "data", "ndimension", "__array__", "real", "imag",
         "contiguous", "detach", "clone", "to", "is_contiguous", "__pos__", "type", "stride")
_SKIP = frozenset(("is_tensor", "is_storage", "is_floating_point", "is_complex", "is_nonzero", "set_default_dtype",
                   "manual_seed", "result_type", "can_cast", "promote_types", "is_inference", "is_conj", "is_neg",
                   "is_signed", "is_same_size", "is_set_to", "get_device", "typename"))


class Patches:
    """While entered, calls go to ``recorder.call(kind, space, name, original, args, kwargs)``."""

    def __init__(self, recorder, modules=()):
        self.recorder, self.modules = recorder, list(modules)
        self.undo, self.made = [], {}
        self.thread = threading.get_ident()

    def wrapped(self, space, name, original):
        """A recorder in front of a function."""
        key = (space, name, id(original))
        found = self.made.get(key)
        if found is not None:
            return found
        recorder, thread, ident = self.recorder, self.thread, threading.get_ident

        def call(*args, **kwargs):
            if recorder.busy or not recorder.active or ident() != thread:
                return original(*args, **kwargs)
            out = recorder.quietly(recorder.call, space, name, original, args, kwargs)
            if self.installed() != self.count:
                self.sweep()
            return out
        call.__name__ = name
        call._recorder = True
        call.__wrapped__ = original
        self.made[key] = call
        return call

    @staticmethod
    def installed():
        """A number that grows as generated functions are installed."""
        native = sys.modules.get("rushlight.ops.native.install")
        return len(native._keep) if native is not None else 0

    def put(self, target, name, value, items=False):
        """Set an attribute (or an item of a dict), to be undone."""
        own = target if items else vars(target)
        before = own.get(name, _MISSING)
        if items:
            target[name] = value
        else:
            setattr(target, name, value)
        self.undo.append((target, name, before, value, items))

    def sweep(self):
        """Put recorders wherever there are none."""
        self.count = self.installed()
        originals = {}
        for space in _SPACES:
            table = registry.FUNCTIONS.get(space, {})
            module = sys.modules.get(space.replace("torch", "rushlight", 1))
            for name, fn in list(table.items()):
                if name in _SKIP or isinstance(fn, type) or not callable(fn):
                    continue
                if not getattr(fn, "_recorder", False):
                    wrapped = self.wrapped(space, name, fn)
                    originals[id(fn)] = wrapped
                    self.put(table, name, wrapped, True)
                wrapped = table[name]
                if module is not None and vars(module).get(name) is not wrapped:
                    now = vars(module).get(name)
                    if now is not None:
                        originals[id(now)] = wrapped
                    self.put(module, name, wrapped)
        Tensor = torch.Tensor
        for name, fn in list(registry.METHODS.items()):
            if name in _SKIP:
                continue
            now = vars(Tensor).get(name, fn)
            self.method(Tensor, name, now)
        for name in (*dunders(), *_BODY):
            if name in vars(Tensor):
                self.method(Tensor, name, vars(Tensor)[name])
        for module in self.modules:
            for name, value in list(vars(module).items()):
                wrapped = originals.get(id(value))
                if wrapped is not None and not name.startswith("__"):
                    self.put(module, name, wrapped)

        for m in self.recorder.root.modules() if self.recorder.root is not None else ():
            for name, value in list(m.__dict__.items()):
                wrapped = originals.get(id(value))
                if wrapped is not None:
                    self.put(m.__dict__, name, wrapped, True)

    def method(self, cls, name, now):
        """A recorder in front of a method or property."""
        if getattr(now, "_recorder", False) or isinstance(now, _Property):
            return
        if isinstance(now, property):
            get = self.wrapped("property", name, now.fget)
            self.put(cls, name, _Property(get, now.fset, now.fdel, now.__doc__))
            return
        if not callable(now) and not hasattr(now, "__get__"):
            return
        original = now
        if not callable(now) or type(now).__name__ == "instancemethod":
            original = getattr(now, "__func__", None)
            if original is None:
                def original(self, *args, _bound=now, **kwargs):
                    return _bound.__get__(self, type(self))(*args, **kwargs)
        if isinstance(now, (staticmethod, classmethod, type)):
            return
        self.put(cls, name, self.wrapped("method", name, original))

    def __enter__(self):
        registry.load()
        self.count = self.installed()
        self.sweep()
        recorder, thread = self.recorder, self.thread
        packet = OpOverloadPacket.__call__
        module_call = torch.nn.Module.__call__

        def call_packet(self, /, *args, **kwargs):
            if recorder.busy or not recorder.active or self._namespace != "aten" or threading.get_ident() != thread:
                return packet(self, *args, **kwargs)
            return recorder.quietly(recorder.call_operator, self.__name__, args, kwargs)

        def call_module(self, *args, **kwargs):
            if recorder.busy or not recorder.active or threading.get_ident() != thread:
                return module_call(self, *args, **kwargs)
            return recorder.call_module(self, module_call, args, kwargs)
        self.put(OpOverloadPacket, "__call__", call_packet)
        self.put(torch.nn.Module, "__call__", call_module)
        return self

    def __exit__(self, *exc):
        for target, name, before, value, items in reversed(self.undo):
            now = target.get(name) if items else vars(target).get(name)
            if now is not value:
                continue
            if before is _MISSING:
                if items:
                    del target[name]
                else:
                    delattr(target, name)
            elif items:
                target[name] = before
            else:
                setattr(target, name, before)


class _Property(property):
    """A property with a recorder."""


_MISSING = object()
