"""What `compile` returns for a module: a module still."""

from .. import nn


class OptimizedModule(nn.Module):
    """The module `_orig_mod` with its calls compiled; attributes, parameters and modes are the module's own.

    Hooks registered here run around the compiled call.
    """

    def __init__(self, module, compiled):
        super().__init__()
        self._orig_mod = module
        self.__dict__["_compiled"] = compiled
        del self.__dict__["training"]           # (the module's own counts)

    def __call__(self, *args, **kwargs):
        own = self.__dict__
        if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
            return super().__call__(*args, **kwargs)
        return own["_compiled"](*args, **kwargs)

    def forward(self, *args, **kwargs):
        """The compiled call of the module."""
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name):
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __setattr__(self, name, value):
        if name == "_orig_mod" or name in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name):
        if name in self.__dict__:
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self):
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __len__(self):
        return len(self._orig_mod)

    def train(self, mode=True):
        """Training or evaluation mode, of the module itself."""
        self._orig_mod.train(mode)
        return self

    def __getstate__(self):
        state = super().__getstate__() if hasattr(super(), "__getstate__") else self.__dict__
        state = dict(state)
        state.pop("_compiled", None)
        return state

    def __setstate__(self, state):
        from .compiled import Compiled
        super().__setstate__(state)
        module = self._modules["_orig_mod"]
        self.__dict__["_compiled"] = Compiled(module, [module])

    def __deepcopy__(self, memo):
        import copy

        from .compiled import compile
        return compile(copy.deepcopy(self._orig_mod, memo))
