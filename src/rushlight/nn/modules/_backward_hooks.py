"""Full backward hooks of one call of a module.

Two identity nodes bracket the call in the autograd graph: one behind the outputs, which sees
the gradients that come in, and one before the inputs, which sees those that leave.
"""

import rushlight as torch


def _identity():
    """The identity node class, made on first use: few programs need `autograd.Function` here."""
    global _identity_class
    if _identity_class is None:
        class BackwardHookFunction(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *tensors):
                ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
                return tensors

            @staticmethod
            def backward(ctx, *grads):
                return grads

        _identity_class = BackwardHookFunction
    return _identity_class


_identity_class = None


class BackwardHook:
    """Runs `hooks` and `pre_hooks` of `module` when the gradients of one call pass by."""

    def __init__(self, module, hooks, pre_hooks):
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs = None
        self.input_places = None
        self.n_inputs = -1
        self.output_places = None
        self.n_outputs = -1

    @staticmethod
    def _spread(places, values, size):
        """`values` at `places` of a tuple of `size` entries, None elsewhere."""
        spread = [None] * size
        for place, value in zip(places, values):
            spread[place] = value
        return tuple(spread)

    @staticmethod
    def _checked(result, n_expected, hook, what):
        """What a hook returned, as a tuple of the right length."""
        if not isinstance(result, tuple):
            result = (result,)
        if len(result) != n_expected:
            raise RuntimeError(f"{hook} returned an invalid number of {what}, got {len(result)}, "
                               f"but expected {n_expected}")
        return result

    def _insert(self, values, attach):
        """Put an identity node behind the tensors among `values`; return values and places."""
        places = [i for i, v in enumerate(values) if isinstance(v, torch.Tensor)]
        tensors = [values[i] for i in places]
        if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
            return values, None
        renewed = _identity().apply(*tensors)
        if not isinstance(renewed, tuple):
            renewed = (renewed,)
        nodes = [t.grad_fn for t in renewed if t.grad_fn is not None]
        if not nodes:
            raise RuntimeError("Error while setting up backward hooks. Please open an issue with "
                               "a code sample to reproduce this.")
        attach(nodes[0])
        values = list(values)
        for place, tensor in zip(places, renewed):
            values[place] = tensor
        return tuple(values), places

    def setup_input_hook(self, args):
        """The arguments to call forward with."""
        args, self.input_places = self._insert(
            args, lambda node: node.register_hook(self._at_inputs))
        self.n_inputs = len(args)
        return args

    def setup_output_hook(self, result):
        """The output to hand to the caller."""
        single = not isinstance(result, tuple)
        values = (result,) if single else result
        renewed, self.output_places = self._insert(
            values, lambda node: node.register_prehook(self._at_outputs))
        self.n_outputs = len(values)
        if self.output_places is None:
            return result
        if single:
            return renewed[0]
        if hasattr(result, "_fields"):
            return type(result)(*renewed)
        return renewed

    def _at_outputs(self, grad_outputs):
        spread = self._spread(self.output_places, grad_outputs, self.n_outputs)
        for hook in self.pre_hooks:
            changed = hook(self.module, spread)
            if changed is not None:
                spread = self._checked(changed, self.n_outputs, "Backward pre hook", "grad_output")
        self.grad_outputs = spread
        if self.input_places is None:
            # No input needs a gradient: the hooks run now, there is no later moment.
            nothing = self._spread([], [], self.n_inputs)
            for hook in self.hooks:
                if hook(self.module, nothing, spread) is not None:
                    raise RuntimeError("Backward hook for Modules where no input requires "
                                       "gradient should always return None or None for all "
                                       "gradients.")
            self.grad_outputs = None
        if self.pre_hooks:
            return tuple(spread[i] for i in self.output_places)
        return None

    def _at_inputs(self, grad_inputs, _):
        if self.grad_outputs is None:
            # A gradient of an intermediate value was asked for: the outputs' was never seen.
            return None
        grad_inputs = self._spread(self.input_places, grad_inputs, self.n_inputs)
        for hook in self.hooks:
            changed = hook(self.module, grad_inputs, self.grad_outputs)
            if changed is not None:
                grad_inputs = self._checked(changed, self.n_inputs, "Backward hook", "grad_input")
        self.grad_outputs = None
        return tuple(grad_inputs[i] for i in self.input_places)
