"""Which modules are running: their names, in forward and, as far as gradients tell, in backward."""

import weakref

import rushlight as torch
from rushlight.autograd.engine import watchers
from rushlight.autograd.modes import state
from rushlight.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from rushlight.utils._pytree import tree_leaves

__all__ = ["ModuleTracker"]


class ModuleTracker:
    """Context that knows the modules around the op that runs.

    `parents` is the set of their names, ``"Global"`` among them always: the class of the outermost module, then the
    names of attributes (``"Net.layers.0"``). A module's backward begins with the gradient of an output of it and ends
    with that of an input; that of a module whose inputs need no gradient ends with the whole pass.
    """

    def __init__(self):
        self._parents = {"Global"}
        self._pass = None               # the backward pass that `_parents` belongs to; None: forward
        self._names = weakref.WeakKeyDictionary()
        self._hooks = ()

    @property
    def is_bw(self):
        """Whether gradients are being computed."""
        return state.backward is not None

    @property
    def parents(self):
        """Names of the modules around."""
        if self._pass is not state.backward:
            self._pass, self._parents = state.backward, {"Global"}
        return self._parents

    def _name(self, module):
        name = self._names.get(module)
        if name is None:
            name = type(module).__name__
            for path, child in module.named_modules():
                self._names.setdefault(child, f"{name}.{path}" if path else name)
        return name

    def _begin(self, module, args):
        name = self._name(module)
        self.parents.add(name)
        for x in _differentiable(args):
            x.register_hook(lambda grad: self.parents.discard(name))

    def _end(self, module, args, out):
        name = self._name(module)
        self.parents.discard(name)
        for x in _differentiable(out):
            x.register_hook(lambda grad: self.parents.add(name))

    def __enter__(self):
        self._hooks = (register_module_forward_pre_hook(self._begin), register_module_forward_hook(self._end))
        watchers.append(self)           # has backward passes tell of themselves
        return self

    def __exit__(self, *exc):
        for hook in self._hooks:
            hook.remove()
        self._hooks = ()
        watchers.remove(self)
        self._pass, self._parents = None, {"Global"}


def _differentiable(values):
    return [x for x in tree_leaves(values) if isinstance(x, torch.Tensor) and x.requires_grad]
