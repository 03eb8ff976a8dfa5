"""Handles that take hooks away again, and what belongs to hooks of tensors and modules."""

import warnings

from rushlight.autograd import hooks as _autograd_hooks

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


def __getattr__(name):
    if name == "BackwardHook":
        from rushlight.nn.modules._backward_hooks import BackwardHook
        return BackwardHook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def unserializable_hook(f):
    """Mark a hook as one that nobody expects in a file: `warn_if_has_hooks` keeps silent about it."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor):
    """Warn of the tensor's hooks that a file will not have."""
    for hook in () if tensor._meta is None else tensor._meta.hooks.values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can "
                          "decorate the function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                          stacklevel=2)


class RemovableHandle(_autograd_hooks.RemovableHandle):
    """Removes the entry `id` of a dictionary of hooks, and of dictionaries beside it.

    Args:
        hooks_dict: the dictionary the hook is put into under `id`.
        extra_dict: one or several dictionaries that may have an entry `id` too.

    Usable as a context manager: the hook is removed at its end.
    """

    def __init__(self, hooks_dict, *, extra_dict=None):
        super().__init__(hooks_dict)
        if extra_dict is None:
            extra_dict = ()
        elif isinstance(extra_dict, dict):
            extra_dict = (extra_dict,)
        self._beside = tuple(extra_dict)

    def remove(self):
        """Take the hook away; harmless when already gone."""
        super().remove()
        for beside in self._beside:
            beside.pop(self.id, None)
