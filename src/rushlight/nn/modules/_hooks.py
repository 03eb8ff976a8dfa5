"""Hooks of modules: registration, the registries shared by all modules, and the call itself.

`Module.__call__` is `_call_impl`. Without any hook it is one test and the call of `forward`.
"""

import warnings
import weakref
from collections import OrderedDict

import rushlight as torch
from rushlight.utils.hooks import RemovableHandle

from ._backward_hooks import BackwardHook

_global_backward_pre_hooks = OrderedDict()
_global_backward_hooks = OrderedDict()
_global_is_full_backward_hook = None
_global_forward_pre_hooks = OrderedDict()
_global_forward_hooks = OrderedDict()
_global_forward_hooks_always_called = OrderedDict()
_global_forward_hooks_with_kwargs = OrderedDict()
_global_buffer_registration_hooks = OrderedDict()
_global_module_registration_hooks = OrderedDict()
_global_parameter_registration_hooks = OrderedDict()


def _has_any_global_hook():
    return bool(_global_backward_pre_hooks or _global_backward_hooks or _global_forward_pre_hooks
                or _global_forward_hooks or _global_forward_hooks_always_called
                or _global_forward_hooks_with_kwargs)


def _add(registry, hook, extra=()):
    handle = RemovableHandle(registry, extra_dict=list(extra) or None)
    registry[handle.id] = hook
    return handle


def register_module_buffer_registration_hook(hook):
    """Call `hook(module, name, buffer)` at each registration of a buffer in any module.

    What it returns, if not None, is registered instead.
    """
    return _add(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook):
    """Call `hook(module, name, submodule)` at each registration of a submodule in any module."""
    return _add(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook):
    """Call `hook(module, name, param)` at each registration of a parameter in any module."""
    return _add(_global_parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook):
    """Call `hook(module, args)` before each forward of any module, and before its own hooks."""
    return _add(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Call `hook(module, args, output)` after each forward of any module, before its own hooks.

    Args:
        with_kwargs: call `hook(module, args, kwargs, output)`.
        always_call: call it also where forward raises.
    """
    handle = _add(_global_forward_hooks, hook,
                  (_global_forward_hooks_with_kwargs, _global_forward_hooks_always_called))
    if with_kwargs:
        _global_forward_hooks_with_kwargs[handle.id] = True
    if always_call:
        _global_forward_hooks_always_called[handle.id] = True
    return handle


def _set_global_full(full):
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is not None and _global_is_full_backward_hook is not full:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module "
            "hook. Please use only one of them.")
    _global_is_full_backward_hook = full


def register_module_backward_hook(hook):
    """Call `hook(module, grad_input, grad_output)` of any module (deprecated, see full hooks)."""
    _set_global_full(False)
    return _add(_global_backward_hooks, hook)


def register_module_full_backward_pre_hook(hook):
    """Call `hook(module, grad_output)` before the gradients of any module are computed."""
    return _add(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook):
    """Call `hook(module, grad_input, grad_output)` once any module's gradients are computed."""
    _set_global_full(True)
    return _add(_global_backward_hooks, hook)


class _WrappedHook:
    """A state-dict hook that is handed the module it was registered on, held weakly."""

    def __init__(self, hook, module=None):
        self.hook = hook
        self.with_module = module is not None
        self.module = weakref.ref(module) if self.with_module else None
        for name in ("__name__", "__qualname__", "__doc__"):
            if hasattr(hook, name):
                setattr(self, name, getattr(hook, name))

    def __call__(self, *args, **kwargs):
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self):
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state):
        self.hook = state["hook"]
        self.with_module = state["with_module"]
        self.module = None
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


def _as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _first_tensor(value):
    """The first tensor of a nested output, the one whose `grad_fn` old-style hooks attach to."""
    while not isinstance(value, torch.Tensor):
        if isinstance(value, dict):
            value = next(v for v in value.values() if isinstance(v, torch.Tensor))
        else:
            value = value[0]
    return value


class HookMixin:
    """The part of `Module` that registers hooks and runs them around `forward`."""

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Call `hook(module, grad_output)` each time the gradient of the outputs is known.

        It may return a tuple that replaces `grad_output`. `prepend` puts it before the hooks
        already registered on this module. Returns a handle whose `remove()` takes it away.
        """
        handle = _add(self._backward_pre_hooks, hook)
        if prepend:
            self._backward_pre_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_backward_hook(self, hook):
        """The old form of `register_full_backward_hook`: attached to the last operation only."""
        if self._is_full_backward_hook is True:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them.")
        self._is_full_backward_hook = False
        return _add(self._backward_hooks, hook)

    def register_full_backward_hook(self, hook, prepend=False):
        """Call `hook(module, grad_input, grad_output)` once the inputs' gradients are known.

        It may return a tuple that replaces `grad_input`. Positional tensor arguments only;
        entries that are not tensors are None. Inputs and outputs must not be changed in place.
        """
        if self._is_full_backward_hook is False:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them.")
        self._is_full_backward_hook = True
        handle = _add(self._backward_hooks, hook)
        if prepend:
            self._backward_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Call `hook(module, args)` before each `forward`.

        A value it returns, wrapped in a tuple if it is none, replaces the arguments.
        With `with_kwargs` it is `hook(module, args, kwargs)` and returns None or `(args, kwargs)`.
        """
        handle = _add(self._forward_pre_hooks, hook, (self._forward_pre_hooks_with_kwargs,))
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        if prepend:
            self._forward_pre_hooks.move_to_end(handle.id, last=False)
        return handle

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False,
                              always_call=False):
        """Call `hook(module, args, output)` after each `forward`; what it returns replaces it.

        Args:
            prepend: run before the hooks already registered on this module.
            with_kwargs: call `hook(module, args, kwargs, output)`.
            always_call: call it also where forward or a hook raises.
        """
        handle = _add(self._forward_hooks, hook,
                      (self._forward_hooks_with_kwargs, self._forward_hooks_always_called))
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        if prepend:
            self._forward_hooks.move_to_end(handle.id, last=False)
        return handle

    def _get_backward_hooks(self):
        """The full backward hooks to run and the old-style ones, global hooks first."""
        full, old = [], []
        for hooks, is_full in ((_global_backward_hooks, _global_is_full_backward_hook),
                               (self._backward_hooks, self._is_full_backward_hook)):
            (full if is_full is True else old).extend(hooks.values())
        return full, old

    def _get_backward_pre_hooks(self):
        return [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]

    def _maybe_warn_non_full_backward_hook(self, inputs, result, grad_fn):
        """Say where an old-style hook will see the gradients of only a part of the module."""
        advice = ("Please use register_full_backward_hook to get the documented behavior.")
        outputs = _as_tuple(result)
        if not all(isinstance(r, torch.Tensor) for r in outputs):
            warnings.warn("Using non-full backward hooks on a Module that does not return a "
                          "single Tensor or a tuple of Tensors is deprecated and will be removed "
                          "in future versions. This hook will be missing some of the grad_output. "
                          + advice, FutureWarning, stacklevel=2)
            return
        inputs = _as_tuple(inputs)
        if not all(isinstance(i, torch.Tensor) for i in inputs):
            warnings.warn("Using non-full backward hooks on a Module that does not take as input "
                          "a single Tensor or a tuple of Tensors is deprecated and will be removed "
                          "in future versions. This hook will be missing some of the grad_input. "
                          + advice, FutureWarning, stacklevel=2)
            return
        nodes = {r.grad_fn for r in outputs if r.grad_fn is not None}
        if len(nodes) > 1 or (len(nodes) == 1 and grad_fn not in nodes):
            warnings.warn("Using a non-full backward hook when outputs are generated by "
                          "different autograd Nodes is deprecated and will be removed in future "
                          "versions. This hook will be missing some grad_output. " + advice,
                          FutureWarning, stacklevel=2)
            return
        sources = {edge[0] for edge in grad_fn.next_functions if edge[0] is not None}
        expected = {i.grad_fn for i in inputs if i.grad_fn is not None}
        if expected - sources:
            warnings.warn("Using a non-full backward hook when the forward contains multiple "
                          "autograd Nodes is deprecated and will be removed in future versions. "
                          "This hook will be missing some grad_input. " + advice,
                          FutureWarning, stacklevel=2)

    def _wrapped_call_impl(self, *args, **kwargs):
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        return self._call_impl(*args, **kwargs)

    def _call_impl(self, *args, **kwargs):
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks
                or self._backward_pre_hooks or _has_any_global_hook()):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def __call__(self, *args, **kwargs):
        # The tests of `_wrapped_call_impl` and `_call_impl`, written out: this is the path of
        # every layer of every model.
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks
                or self._backward_pre_hooks or self._compiled_call_impl
                or _global_forward_hooks or _global_forward_pre_hooks
                or _global_backward_hooks or _global_backward_pre_hooks):
            return self.forward(*args, **kwargs)
        return self._wrapped_call_impl(*args, **kwargs)

    def _call_with_hooks(self, args, kwargs):
        always = [(key, hook, False) for key, hook in self._forward_hooks.items()
                  if key in self._forward_hooks_always_called]
        always = [(key, hook, True) for key, hook in _global_forward_hooks.items()
                  if key in _global_forward_hooks_always_called] + always
        if not always:
            return self._run_hooks(args, kwargs, {"called": set()})
        run = {"called": set(), "args": args, "kwargs": kwargs, "result": None}
        try:
            return self._run_hooks(args, kwargs, run)
        except Exception:
            # Hooks that asked to be called whatever happens and were not reached yet.
            for key, hook, is_global in always:
                if key in run["called"]:
                    continue
                try:
                    result = self._run_forward_hook(
                        key, hook, is_global, run["args"], run["kwargs"], run["result"])
                    if result is not None:
                        run["result"] = result
                except Exception as error:
                    scope = "global module" if is_global else "module"
                    warnings.warn(f"{scope} forward hook with ``always_call=True`` raised an "
                                  "exception that was silenced as another error was raised in "
                                  f"forward: {error}", stacklevel=2)
            raise

    def _run_forward_hook(self, key, hook, is_global, args, kwargs, result):
        named = _global_forward_hooks_with_kwargs if is_global else self._forward_hooks_with_kwargs
        if key in named:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_hooks(self, args, kwargs, run):
        full, old, pre = [], [], []
        if self._backward_pre_hooks or _global_backward_pre_hooks:
            pre = self._get_backward_pre_hooks()
        if self._backward_hooks or _global_backward_hooks:
            full, old = self._get_backward_hooks()

        for key, hook in (*_global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, "
                            f"new_kwargs), but got {changed}.")
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = _as_tuple(changed)
            run["args"], run["kwargs"] = args, kwargs

        backward = None
        if full or pre:
            backward = BackwardHook(self, full, pre)
            args = backward.setup_input_hook(args)
            run["args"] = args
        result = self.forward(*args, **kwargs)
        run["result"] = result

        hooks = [(key, hook, True) for key, hook in _global_forward_hooks.items()]
        hooks += [(key, hook, False) for key, hook in self._forward_hooks.items()]
        for key, hook, is_global in hooks:
            always = (_global_forward_hooks_always_called if is_global
                      else self._forward_hooks_always_called)
            if key in always:
                run["called"].add(key)
            changed = self._run_forward_hook(key, hook, is_global, args, kwargs, result)
            if changed is not None:
                run["result"] = result = changed

        if backward is not None:
            if not isinstance(result, (torch.Tensor, tuple)):
                warnings.warn("For backward hooks to be called, module output should be a Tensor "
                              f"or a tuple of Tensors but received {type(result)}", stacklevel=2)
            result = backward.setup_output_hook(result)
        if old:
            self._attach_old_hooks(old, args, result)
        return result

    def _attach_old_hooks(self, hooks, args, result):
        node = _first_tensor(result).grad_fn
        if node is None:
            return
        for hook in hooks:
            def call(grad_input, grad_output, hook=hook):
                return hook(self, grad_input, grad_output)
            node.register_hook(call)
        self._maybe_warn_non_full_backward_hook(args, result, node)
