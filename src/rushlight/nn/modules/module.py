"""`Module`: attributes that register themselves, and the pieces of other files put together."""

import sys
from collections import OrderedDict

import rushlight as torch
from rushlight.nn.parameter import Buffer, Parameter

from . import _hooks
from ._convert import ConvertMixin
from ._hooks import (  # noqa: F401  (people import these from here)
    HookMixin,
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_buffer_registration_hooks,
    _global_forward_hooks,
    _global_forward_hooks_always_called,
    _global_forward_hooks_with_kwargs,
    _global_forward_pre_hooks,
    _global_module_registration_hooks,
    _global_parameter_registration_hooks,
    _has_any_global_hook,
    _WrappedHook,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from ._state import _EXTRA_STATE_KEY_SUFFIX, StateMixin, _IncompatibleKeys  # noqa: F401
from ._tree import TreeMixin

__all__ = [
    "register_module_forward_pre_hook", "register_module_forward_hook",
    "register_module_full_backward_pre_hook", "register_module_backward_hook",
    "register_module_full_backward_hook", "register_module_buffer_registration_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
    "Module"]


_Function = type(lambda: None)
# Modules whose functions are exchanged for native ones while the program runs.
_PUBLIC = ("rushlight", "rushlight.nn.functional")
# Values of these types register nothing.
_PLAIN = frozenset((bool, int, float, str, tuple, list, dict, type(None)))


def _typename(value):
    """The name of a value's type as error messages give it."""
    if isinstance(value, torch.Tensor):
        return value.type()
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__builtin__") else kind.__module__ + "."
    return module + kind.__qualname__


def _addindent(text, n_spaces):
    """`text` with all lines but the first moved right."""
    return text.replace("\n", "\n" + " " * n_spaces)


def _forward_unimplemented(self, *input):
    """What the module computes; every subclass defines it."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module(HookMixin, StateMixin, TreeMixin, ConvertMixin):
    """Base class of all layers and models: a tree of modules that own parameters and buffers.

    A subclass calls `super().__init__()`, assigns parameters and submodules as attributes and
    defines `forward`; calling the module runs `forward` and its hooks.

    Attributes:
        training: whether layers such as dropout behave as in training.
    """

    dump_patches = False
    _version = 1
    call_super_init = False
    _compiled_call_impl = None

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword "
                                f"argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{type(self).__name__}.__init__() takes 1 positional argument but "
                                f"{len(args) + 1} were given")
        # Straight into the instance: `__setattr__` looks these very attributes up.
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _non_persistent_buffers_set=set(),
            _backward_pre_hooks=OrderedDict(), _backward_hooks=OrderedDict(),
            _is_full_backward_hook=None, _forward_hooks=OrderedDict(),
            _forward_hooks_with_kwargs=OrderedDict(), _forward_hooks_always_called=OrderedDict(),
            _forward_pre_hooks=OrderedDict(), _forward_pre_hooks_with_kwargs=OrderedDict(),
            _state_dict_hooks=OrderedDict(), _state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_pre_hooks=OrderedDict(), _load_state_dict_post_hooks=OrderedDict(),
            _modules={})
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward = _forward_unimplemented

    def register_buffer(self, name, tensor, persistent=True):
        """Add state that is not trained; it is moved with the module.

        Args:
            name: the attribute.
            tensor: the tensor, or None for a place that is not used (nor saved).
            persistent: whether it belongs to the state dict.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _check_name(self, name, "buffer", self._buffers)
        if tensor is not None and not (isinstance(tensor, torch.Tensor)
                                       or hasattr(tensor, "__torch_function__")):
            raise TypeError(f"cannot assign '{_typename(tensor)}' object to buffer '{name}' "
                            "(torch Tensor or None required)")
        for hook in _hooks._global_buffer_registration_hooks.values():
            changed = hook(self, name, tensor)
            if changed is not None:
                tensor = changed
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Add a parameter, or None for a place that is not used (a missing bias)."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        _check_name(self, name, "parameter", self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                                "(torch.nn.Parameter or None required)")
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method.")
            for hook in _hooks._global_parameter_registration_hooks.values():
                changed = hook(self, name, param)
                if changed is not None:
                    param = changed
        self._parameters[name] = param

    def add_module(self, name, module):
        """Add a submodule, or None for a place that is not used."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {_typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        self._modules[name] = _through_module_hooks(self, name, module)

    def register_module(self, name, module):
        """The same as `add_module`."""
        self.add_module(name, module)

    def __getattr__(self, name):
        # Only reached where the instance and the class have no such attribute.
        own = self.__dict__
        if "_parameters" in own:
            held = own["_parameters"]
            if name in held:
                return held[name]
        if "_modules" in own:
            held = own["_modules"]
            if name in held:
                return held[name]
        if "_buffers" in own:
            held = own["_buffers"]
            if name in held:
                return held[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name, value):
        own = self.__dict__
        params = own.get("_parameters")
        if type(value) in _PLAIN and params is not None and not (
                name in params or name in own["_modules"] or name in own["_buffers"]):
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            _forget(own, name, "_buffers", "_modules", "_non_persistent_buffers_set")
            self.register_parameter(name, value)
            return
        if params is not None and name in params:
            if value is not None:
                raise TypeError(f"cannot assign '{_typename(value)}' as parameter '{name}' "
                                "(torch.nn.Parameter or None expected)")
            self.register_parameter(name, value)
            return
        modules = own.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            _forget(own, name, "_parameters", "_buffers", "_non_persistent_buffers_set")
            modules[name] = _through_module_hooks(self, name, value)
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{_typename(value)}' as child module '{name}' "
                                "(torch.nn.Module or None expected)")
            modules[name] = _through_module_hooks(self, name, value)
            return
        buffers = own.get("_buffers")
        known = buffers is not None and name in buffers
        if known or isinstance(value, Buffer):
            if value is not None and not isinstance(value, torch.Tensor):
                raise TypeError(f"cannot assign '{_typename(value)}' as buffer '{name}' "
                                "(torch.nn.Buffer, torch.Tensor or None expected)")
            if isinstance(value, Buffer):
                if buffers is None:
                    raise AttributeError("cannot assign buffer before Module.__init__() call")
                self.register_buffer(name, value, value.persistent)
                return
            for hook in _hooks._global_buffer_registration_hooks.values():
                changed = hook(self, name, value)
                if changed is not None:
                    value = changed
            buffers[name] = value
            return
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            object.__delattr__(self, name)

    def __getstate__(self):
        state = dict(self.__dict__)
        state.pop("_compiled_call_impl", None)
        for name, value in state.items():
            if type(value) is _Function and value.__module__ in _PUBLIC:
                # A generated twin may have taken the place of a function held as an attribute.
                state[name] = getattr(sys.modules[value.__module__], value.__name__, value)
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        # What pickles of earlier versions lack.
        for name in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
                     "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
                     "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
                     "_load_state_dict_post_hooks", "_backward_pre_hooks"):
            if name not in self.__dict__:
                self.__dict__[name] = OrderedDict()
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    def __dir__(self):
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules,
                 *self._buffers]
        # Indices of containers are no attribute names.
        return sorted(name for name in names if not name[0].isdigit())

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What `repr` shows of the module itself between the parentheses."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [f"({name}): " + _addindent(repr(module), 2)
                       for name, module in self._modules.items()]
        head = self._get_name() + "("
        lines = extra_lines + child_lines
        if not lines:
            return head + ")"
        if len(extra_lines) == 1 and not child_lines:
            return head + extra_lines[0] + ")"
        return head + "\n  " + "\n  ".join(lines) + "\n)"

    def _replicate_for_data_parallel(self):
        """A shallow copy with its own registries, for one device of `DataParallel`."""
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        replica._parameters = {}
        replica._buffers = replica._buffers.copy()
        replica._modules = replica._modules.copy()
        replica._is_replica = True
        return replica

    def compile(self, *args, **kwargs):
        """Compile this module's call with `rushlight.compile(module, *args, **kwargs)`."""
        compiler = getattr(torch, "compile", None)
        if compiler is None:
            raise NotImplementedError("Module.compile: rushlight.compile is missing")
        object.__setattr__(self, "_compiled_call_impl",
                           compiler(self._call_impl, *args, **kwargs))


def _check_name(module, name, kind, registered):
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')
    if hasattr(module, name) and name not in registered:
        raise KeyError(f"attribute '{name}' already exists")


def _through_module_hooks(owner, name, module):
    for hook in _hooks._global_module_registration_hooks.values():
        changed = hook(owner, name, module)
        if changed is not None:
            module = changed
    return module


def _forget(own, name, *kinds):
    """Take `name` out of the instance's attributes and of the registries `kinds`."""
    own.pop(name, None)
    for kind in kinds:
        held = own.get(kind)
        if held is None or name not in held:
            continue
        if isinstance(held, set):
            held.discard(name)
        else:
            del held[name]
