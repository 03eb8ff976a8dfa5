"""Hook registration: handles that remove what they added, and saved-tensor hooks."""

from itertools import count
from weakref import ref

from .modes import state

_ids = count().__next__


class RemovableHandle:
    """Undo of a hook's registration: call ``remove()`` or leave it as a context manager."""

    def __init__(self, hooks, *, extra=None):
        self._hooks = hooks
        self._holder = None
        self.id = _ids()
        self._extra = extra

    def remove(self):
        """Take the hook away; harmless when already gone."""
        hooks = self._hooks
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def add(hooks, hook):
    """Put `hook` in the dict `hooks` under a new id; returns its handle."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_tensor_hook(t, hook):
    """``hook(grad)`` runs when the gradient of `t` is computed and may return a replacement."""
    if not t.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    from .node import edge_of, leaf_meta
    target, nr = edge_of(t)
    if target is t:
        return add(leaf_meta(t).hooks, hook)
    return add(target.extras().tensor_hooks.setdefault(nr, {}), hook)


def register_post_accumulate(t, hook):
    """``hook(param)`` runs after the gradient of leaf `t` was accumulated."""
    if not t.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if t.grad_fn is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    from .node import leaf_meta
    return add(leaf_meta(t).post_hooks, hook)


def retain_grad(t):
    """Keep the gradient of a non-leaf tensor in its ``.grad``."""
    if not t.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    from .node import edge_of
    target, nr = edge_of(t)
    if target is not t:
        target.extras().retain[nr] = ref(t)


class saved_tensors_hooks:
    """Context in which saved tensors go through ``pack_hook`` and come back by ``unpack_hook``."""

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self):
        if state.saved_hooks_off is not None:
            raise RuntimeError(state.saved_hooks_off)
        state.saved_hooks = (*state.saved_hooks, (self.pack_hook, self.unpack_hook))
        state.special += 1

    def __exit__(self, *exc):
        state.saved_hooks = state.saved_hooks[:-1]
        state.special -= 1


class save_on_cpu(saved_tensors_hooks):
    """Context that keeps saved tensors in CPU memory and brings them back for backward."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda p: p[1].to(p[0]))


class disable_saved_tensors_hooks:
    """Context in which `saved_tensors_hooks` raises RuntimeError with `error_message`."""

    def __init__(self, error_message):
        self.message = error_message

    def __enter__(self):
        self._prev = state.saved_hooks_off
        state.saved_hooks_off = self.message

    def __exit__(self, *exc):
        state.saved_hooks_off = self._prev
