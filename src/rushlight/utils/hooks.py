"""Handles that take hooks away again."""

from rushlight.autograd import hooks as _autograd_hooks

__all__ = ["RemovableHandle"]


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
