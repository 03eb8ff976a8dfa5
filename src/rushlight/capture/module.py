"""What `compile` returns for a module: a module still."""

from .. import nn


class OptimizedModule(nn.Module):
    """The module `_orig_mod` with its calls compiled; attributes, parameters and modes are the module's own."""

    def __init__(self, module, compiled):
        super().__init__()
        self._orig_mod = module
        self.__dict__["_compiled"] = compiled
        self.__dict__["training"] = module.training

    def __call__(self, *args, **kwargs):
        return self._compiled(*args, **kwargs)

    def forward(self, *args, **kwargs):
        """The compiled call of the module."""
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name):
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._orig_mod, name)

    def train(self, mode=True):
        """Training or evaluation mode, of the module itself."""
        self._orig_mod.train(mode)
        self.__dict__["training"] = mode
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
