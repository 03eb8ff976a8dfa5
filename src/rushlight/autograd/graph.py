"""Looking at the recorded graph, and intercepting what it saves."""

from _thread import allocate_lock as Lock
from weakref import WeakKeyDictionary, ref

from .engine import execute, watchers  # noqa: F401  (the engine is part of this module's subject)
from .hooks import RemovableHandle, disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from .modes import state
from .node import Node, as_node, edge_of


class GradientEdge(tuple):
    """Where a gradient flows: ``(node, output_nr)``."""

    __slots__ = ()

    def __new__(cls, node, output_nr, ownership_token=None):
        return tuple.__new__(cls, (node, output_nr))

    node = property(lambda self: self[0])
    output_nr = property(lambda self: self[1])


def get_gradient_edge(tensor):
    """The edge that gradients of `tensor` arrive at; RuntimeError when it needs none."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not "
                           "require gradients")
    target, nr = edge_of(tensor)
    return GradientEdge(as_node(target), nr)


class _MultiHandle:
    """Handles of several hooks, removed together."""

    def __init__(self, handles):
        self.handles = tuple(handles)

    def remove(self):
        for h in self.handles:
            h.remove()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Call `fn` when the gradients of `tensors` are computed.

    mode "all": once a backward pass, with the tuple of gradients, when all that take part have come;
    "any": once a backward pass, with the first gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = list(tensors)
    edges = [edge_of(t) for t in tensors]
    passes = WeakKeyDictionary()        # backward pass -> [how many are to come, gradients]
    lock = Lock()

    def hook_for(i):
        def hook(g):
            current = state.backward
            with lock:
                found = passes.get(current)
                if found is None:
                    left = 1 if mode == "any" else sum(current.reaches(e) for e in edges)
                    found = passes[current] = [left, [None] * len(tensors)]
                found[0] -= 1
                found[1][i] = g
                now = found[0] == 0
            if now:
                fn(g if mode == "any" else found[1])
        return hook
    # Hooks live as long as their tensors or until they are removed: so long, backward passes are told apart.
    watch = ref(passes, _unwatch)
    watchers.append(watch)
    return _MultiHandle((*(t.register_hook(hook_for(i)) for i, t in enumerate(tensors)), _Watch(watch)))


class _Watch:
    """Lets the engine stop telling of its passes when a multi-gradient hook is removed."""

    def __init__(self, watch):
        self.watch = watch

    def remove(self):
        _unwatch(self.watch)


def _unwatch(watch):
    for i, w in enumerate(watchers):
        if w is watch:
            del watchers[i]
            break


def set_warn_on_accumulate_grad_stream_mismatch(enabled):
    """Accepted: the CPU has no streams that could differ."""
    _bool("set_warn_on_accumulate_grad_stream_mismatch", enabled)


def set_override_stale_capture_stream(enabled):
    """Accepted: the CPU has no streams that could be stale."""
    _bool("set_override_stale_capture_stream", enabled)


def _bool(name, x):
    if not isinstance(x, bool):
        raise TypeError(f"{name} expects a bool, but got {type(x)}")


class allow_mutation_on_saved_tensors:
    """Context in which changing saved tensors in place is allowed: they are copied when saved."""

    def __enter__(self):
        self._hooks = saved_tensors_hooks(lambda t: t.clone(), lambda t: t)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exc):
        self._hooks.__exit__(*exc)


def increment_version(tensor):
    """Count a change made outside the sight of autograd."""
    for t in (tensor,) if hasattr(tensor, "_a") else tensor:
        t._storage.version += 1


__all__ = ["GradientEdge", "Node", "RemovableHandle", "allow_mutation_on_saved_tensors",
           "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version",
           "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks", "set_override_stale_capture_stream",
           "set_warn_on_accumulate_grad_stream_mismatch"]
