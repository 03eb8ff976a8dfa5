"""Saved tensors as objects: ``node._raw_saved_self.register_hooks(pack, unpack)``."""

from .modes import state
from .node import FREED, Packed, unpack

_FREED_HOOKS = ("Calling register_hooks on a saved tensor after it has been freed. " + FREED.partition(". ")[2])


class SavedTensor:
    """One tensor that a node keeps for its gradient."""

    __slots__ = ("_node", "_place")

    def __new__(cls, *args, **kwargs):
        raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")

    def _entry(self, freed=FREED):
        found = self._node.saved
        if found is None:
            raise RuntimeError(freed)
        for i in self._place:
            found = found[i]
        return found

    def unpack(self):
        """The tensor as backward would get it."""
        entry = self._entry()
        return None if entry is None else unpack(entry, self._node)

    @property
    def data(self):
        """What is kept: the tensor, or what a pack hook made of it."""
        entry = self._entry()
        return entry.value if type(entry) is Packed else self.unpack()

    @property
    def unpack_hook(self):
        """The function that brings the tensor back, or None."""
        entry = self._entry()
        return entry.unpack if type(entry) is Packed else None

    def register_hooks(self, pack_hook, unpack_hook):
        """Keep ``pack_hook(tensor)`` in the tensor's place; ``unpack_hook`` of that is used when it is needed.

        RuntimeError after the tensor was freed, a second time, or when the hook changes its input.
        """
        entry = self._entry(_FREED_HOOKS)
        if type(entry) is Packed:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only "
                               "one pair of hooks is allowed at a time.")
        t = unpack(entry, self._node)
        p = Packed()
        p.unpack, p.requires_grad = unpack_hook, t.requires_grad
        p.grad_fn, p.out_nr = (None, 0)
        if t.requires_grad and t.grad_fn is not self._node:
            from .node import as_node
            p.grad_fn, p.out_nr = (as_node(t), 0) if t.grad_fn is None else (t.grad_fn, t._out_nr)
        elif t.requires_grad:
            p.out_nr = t._out_nr
        shown = t.detach()
        version = shown._storage.version
        prev, state.grad = state.grad, False
        try:
            p.value = pack_hook(shown)
        finally:
            state.grad = prev
        if shown._storage.version != version:
            raise RuntimeError("A saved tensor pack hook is modifying its input in place. Tensors provided as input to "
                               "pack hook cannot be modified by in-place operations as this can lead to unexpected "
                               "side-effects.")
        self._replace(p)

    def _replace(self, p):
        saved = list(self._node.saved)
        i, *rest = self._place
        if rest:
            inner = list(saved[i])
            inner[rest[0]] = p
            saved[i] = inner
        else:
            saved[i] = p
        self._node.saved = saved


def saved_tensor(node, *place):
    """The SavedTensor at a place of the node's saved values (an index, or one and that in its list)."""
    s = object.__new__(SavedTensor)
    s._node, s._place = node, place
    return s


SavedTensor.__module__ = "torch._C._autograd"
__all__ = ["SavedTensor", "saved_tensor"]
