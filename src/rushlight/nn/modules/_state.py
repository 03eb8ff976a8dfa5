"""State of modules: `state_dict`, `load_state_dict`, extra state and their hooks."""

import warnings
from collections import OrderedDict, namedtuple

import rushlight as torch
from rushlight.nn.parameter import Parameter, is_lazy

from ._hooks import _add, _WrappedHook

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` found to be missing and to be too much."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateMixin:
    """The part of `Module` that saves and restores parameters and persistent buffers."""

    def get_extra_state(self):
        """State other than tensors, to be kept in the state dict; a class may define it."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called: a class with extra "
            "state defines both get_extra_state and set_extra_state")

    def set_extra_state(self, state):
        """Take back what `get_extra_state` returned."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called: a class with extra "
            "state defines both get_extra_state and set_extra_state")

    def _has_extra_state(self, method):
        return getattr(type(self), method) is not getattr(StateMixin, method)

    def _register_state_dict_hook(self, hook):
        """Call `hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`.

        What it returns, if not None, becomes the result.
        """
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was "
                "previously registered via register_state_dict_post_hook")
        return _add(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """Call `hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`.

        The hook may change `state_dict` in place and must return None.
        """
        hook._from_public_api = True
        return _add(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook):
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects the module."""
        return _add(self._state_dict_pre_hooks, hook)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """Put this module's own tensors, not those of its submodules, into `destination`."""
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        skipped = self._non_persistent_buffers_set
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in skipped:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._has_extra_state("get_extra_state"):
            destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """All parameters and persistent buffers by their dotted names, in registration order.

        Args:
            destination: a mapping to fill; a new OrderedDict where it is None.
            prefix: put before each name.
            keep_vars: hand out the parameters themselves and not detached views of them.

        The tensors share memory with the module. `_metadata` on the result holds each module's
        version.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
                "state_dict for details.", FutureWarning, stacklevel=2)
            if destination is None:
                destination = args[0]
            if len(args) > 1 and prefix == "":
                prefix = args[1]
            if len(args) > 2 and keep_vars is False:
                keep_vars = args[2]
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".",
                                  keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local)
            if not getattr(hook, "_from_public_api", False):
                if result is not None:
                    destination = result
            elif result is not None:
                raise RuntimeError("state_dict post-hook must return None")
        return destination

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _add(self._load_state_dict_pre_hooks,
                    _WrappedHook(hook, self if with_module else None))

    def register_load_state_dict_pre_hook(self, hook):
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before the module loads its own entries."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook):
        """Call `hook(module, incompatible_keys)` after loading; it may change the lists."""
        return _add(self._load_state_dict_post_hooks, hook)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):
        """Copy this module's own entries out of `state_dict`, noting what does not fit."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                 error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = [(k, v) for k, v in self._parameters.items() if v is not None]
        own += [(k, v) for k, v in self._buffers.items()
                if v is not None and k not in self._non_persistent_buffers_set]
        for name, value in own:
            key = prefix + name
            if key in state_dict:
                self._load_tensor(name, key, value, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)

        extra_key = prefix + _EXTRA_STATE_KEY_SUFFIX
        if self._has_extra_state("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)

        if strict:
            known = dict(own)
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    head, dot, _ = key[len(prefix):].partition(".")
                    if dot:
                        if head not in self._modules:
                            unexpected_keys.append(key)
                    elif head not in known:
                        unexpected_keys.append(key)

    def _load_tensor(self, name, key, value, loaded, assign, error_msgs):
        if not isinstance(loaded, torch.Tensor):
            error_msgs.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(loaded)}")
            return
        lazy = is_lazy(value)
        # Checkpoints of old versions hold scalars as tensors of one element.
        if not lazy and value.dim() == 0 and loaded.dim() == 1 and loaded.numel() == 1:
            loaded = loaded[0]
        if not lazy and loaded.shape != value.shape:
            error_msgs.append(
                f"size mismatch for {key}: copying a param with shape {loaded.shape} from "
                f"checkpoint, the shape in current model is {value.shape}.")
            return
        if value.device.type == "meta" and loaded.device.type != "meta" and not assign:
            warnings.warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta "
                "parameter in the current model, which is a no-op. (Did you mean to pass "
                "`assign=True` to assign items in the state dictionary to their corresponding "
                "key in the module instead of copying them in place?)", stacklevel=2)
        try:
            with torch.no_grad():
                if not assign:
                    value.copy_(loaded)
                    return
                if isinstance(value, Parameter):
                    if not isinstance(loaded, Parameter):
                        loaded = Parameter(loaded, requires_grad=value.requires_grad)
                    else:
                        loaded.requires_grad_(value.requires_grad)
                setattr(self, name, loaded)
        except Exception as error:
            where = (f"whose dimensions in the model are {value.size()} and whose dimensions in "
                     f"the checkpoint are {loaded.size()}")
            error_msgs.append(f'While copying the parameter named "{key}", {where}, an exception '
                              f"occurred : {error.args}.")

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy the tensors of `state_dict` into this module and its submodules.

        Args:
            strict: raise where keys are missing or unexpected.
            assign: put the loaded tensors in place of the module's own, keeping the loaded
                dtype and device (only `requires_grad` is the module's).

        Returns a named tuple of `missing_keys` and `unexpected_keys`.

        Raises:
            TypeError: where `state_dict` is no mapping.
            RuntimeError: with all misfits of shapes, and of keys where `strict`.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(
                f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing, unexpected, errors = [], [], []
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)
        if metadata is not None:
            state_dict._metadata = metadata

        def load(module, local_state, prefix):
            local = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local["assign_to_params_buffers"] = assign
            module._load_from_state_dict(local_state, prefix, local, True, missing, unexpected,
                                         errors)
            for name, child in module._modules.items():
                if child is not None:
                    inner = prefix + name + "."
                    load(child, {k: v for k, v in local_state.items() if k.startswith(inner)},
                         inner)
            found = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, found) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be "
                        "modified, it should be done inplace.")

        load(self, state_dict, "")
        if strict:
            for kind, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{kind} key(s) in state_dict: {names}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return _IncompatibleKeys(missing, unexpected)
