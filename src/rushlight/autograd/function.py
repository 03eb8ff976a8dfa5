"""Custom differentiable functions: forward and backward given by the user."""

import functools

from .modes import state
from .node import FREED, Node, edge_of, next_seq, pack_input, pack_output, unpack


class FunctionCtx:
    """What ``forward`` and ``backward`` of a custom function share."""

    needs_input_grad = ()
    _to_save = ()
    _dirty = ()
    _non_diff = ()
    _materialize = True

    def save_for_backward(self, *tensors):
        """Keep tensors (inputs, outputs or intermediates) for ``ctx.saved_tensors`` in backward."""
        for i, t in enumerate(tensors):
            if t is not None and not hasattr(t, "_a"):
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type "
                                f"{type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors):
        """Keep tensors for ``jvp``."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *args):
        """Say which inputs ``forward`` changed in place; they must be returned."""
        self._dirty = args

    def mark_non_differentiable(self, *args):
        """Say which outputs have no gradient."""
        self._non_diff = args

    def set_materialize_grads(self, value):
        """Whether undefined output gradients reach backward as zeros (True) or None."""
        self._materialize = bool(value)

    def mark_shared_storage(self, *pairs):
        """Obsolete; does nothing."""

    @property
    def saved_tensors(self):
        """The tensors given to `save_for_backward`; RuntimeError once they are freed."""
        node = self.__dict__.get("_node_ref")
        node = node() if node is not None else None
        if node is None or not isinstance(node, FunctionNode):
            return tuple(self._to_save)
        if node.saved is None:
            raise RuntimeError(FREED)
        return tuple(None if e is None else unpack(e, node) for e in node.saved)

    saved_variables = saved_tensors

    @property
    def next_functions(self):
        return self._node_ref().next_functions

    def name(self):
        return type(self).__name__


class FunctionNode(Node):
    """Node of a custom function; `ctx` is what the user's methods see."""

    __slots__ = ("ctx", "function", "n_inputs", "__dict__")

    def apply(self, grads):
        ctx = self.ctx
        if ctx._materialize:
            from ..ops.dispatch import zeros_for
            grads = [zeros_for(o) if g is None and o is not None else g
                     for g, o in zip(grads, self.outs)]
        fn = self.function
        if fn.vjp is not Function.vjp:
            if fn.backward is not Function.backward:
                raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not "
                                   "allowed. You should only implement one of them.")
            result = fn.vjp(ctx, *grads)
        else:
            result = fn.backward(ctx, *grads)
        if not isinstance(result, tuple):
            result = (result,)
        n = len(self.n_inputs)
        if len(result) > n:
            if any(r is not None for r in result[n:]):
                raise RuntimeError(f"function {type(self).__name__} returned an incorrect number of "
                                   f"gradients (expected {n}, got {len(result)})")
            result = result[:n]
        if len(result) != n:
            raise RuntimeError(f"function {type(self).__name__} returned an incorrect number of "
                               f"gradients (expected {n}, got {len(result)})")
        out = []
        for i, (r, is_tensor) in enumerate(zip(result, self.n_inputs)):
            if is_tensor:
                if r is not None and not hasattr(r, "_a"):
                    raise RuntimeError(f"function {type(self).__name__} returned gradient {i} of type "
                                    f"{type(r).__name__}; expected a Tensor or None")
                out.append(r)
            elif r is not None:
                raise RuntimeError(f"function {type(self).__name__} returned a gradient different than "
                                   f"None at position {i + 1}, but the corresponding forward input was "
                                   "not a Variable")
        return out

    @property
    def saved_tensors(self):
        return self.ctx.saved_tensors

    @property
    def _raw_saved_tensors(self):
        if self.saved is None:
            raise RuntimeError(FREED)
        from .saved import saved_tensor
        return tuple([saved_tensor(self, i) for i in range(len(self.saved))])

    def __getattr__(self, name):
        if name.startswith("__") or name == "ctx":
            raise AttributeError(name)
        return getattr(self.ctx, name)


class _FunctionMeta(type):
    """Gives every custom function the node class that carries its name."""

    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        cls._node_type = type(name + "Backward", (FunctionNode,), {"__slots__": ()})
        cls._ctx_type = type(name + "Backward", (FunctionCtx,), {})


class Function(FunctionCtx, metaclass=_FunctionMeta):
    """Base of custom functions: define static ``forward`` and ``backward``, call ``apply``.

    Old style: ``forward(ctx, *args)``. New style, which the transforms of ``torch.func`` need: ``forward(*args)`` with
    ``setup_context(ctx, inputs, output)``. backward gets one gradient an output and returns one (or None) an input of
    forward; jvp gets one tangent an input and returns one an output; ``vmap`` or ``generate_vmap_rule`` serve vmap.
    """

    def __init__(self, *args, **kwargs):
        import warnings
        warnings.warn(f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so "
                      "you should invoke them on the class itself.", DeprecationWarning, stacklevel=2)

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom "
                                  "autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to "
                                  "use it with forward mode AD.")

    generate_vmap_rule = False      # True: inside vmap the methods themselves run on batches

    @staticmethod
    def vmap(info, in_dims, *args):
        """What `apply` does inside ``vmap``: gives (output, out_dims) for whole batches.

        info: ``batch_size`` and ``randomness``; in_dims: the batch's dimension in each argument, or None; args: the
        arguments of ``forward`` with their batches. See https://docs.pytorch.org/docs/main/notes/extending.func.html
        """
        raise NotImplementedError("To use autograd.Function with vmap, you must either override the vmap staticmethod "
                                  "or set generate_vmap_rule=True.")

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward, and record a node whose gradient is backward."""
        is_tensor = [hasattr(a, "_a") for a in args]
        if state.levels:
            from ..func import custom
            if custom.among(args):
                return custom.apply(cls, args, kwargs)
        ctx = object.__new__(cls._ctx_type)
        rg = [t and a.requires_grad for t, a in zip(is_tensor, args)]
        recording = state.grad and any(rg)
        ctx.needs_input_grad = tuple(rg)
        edges = [edge_of(a) if r else None for a, r in zip(args, rg)] if recording else None
        prev, state.grad = state.grad, False
        try:
            if cls.setup_context is not Function.setup_context:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args, **kwargs)
        finally:
            state.grad = prev
        return cls._record(ctx, args, is_tensor, rg, output, edges, recording)

    @classmethod
    def _record(cls, ctx, args, is_tensor, rg, output, edges, recording):
        single = not isinstance(output, tuple)
        outs = [output] if single else list(output)
        inputs = {id(a) for a, t in zip(args, is_tensor) if t}
        dirty = {id(t) for t in ctx._dirty}
        non_diff = {id(t) for t in ctx._non_diff}
        for t in ctx._dirty:
            t._storage.version += 1
        saved_pos = {id(o): i for i, o in enumerate(outs) if hasattr(o, "_a")}
        to_save = ctx._to_save
        for i, o in enumerate(outs):
            if hasattr(o, "_a") and id(o) in inputs and id(o) not in dirty:
                outs[i] = o.view_as(o) if not recording else _alias(o)
                if id(o) in non_diff:
                    non_diff.add(id(outs[i]))
        if not recording:
            return outs[0] if single else tuple(outs)
        node = cls._node_type()
        node.edges = tuple(e for e, t in zip(edges, is_tensor) if t)
        node.n_inputs = is_tensor
        node.seq, node.ext, node.ctx, node.function = next_seq(), None, ctx, cls
        node.outs = tuple((o._a.shape, o.dtype) if hasattr(o, "_a") else None for o in outs)
        from ..ops.inplace import check, rebase
        for i, o in enumerate(outs):
            if not hasattr(o, "_a") or id(o) in non_diff or o.dtype.category < 2:
                continue
            if id(o) in dirty:
                if o._view is None and o._requires_grad and o._grad_fn is None:
                    raise RuntimeError("a leaf Variable that requires grad has been used in an in-place "
                                       "operation.")
                check(o)
                rebase(o, node, i)
            else:
                o._grad_fn, o._out_nr, o._requires_grad = node, i, True
        node.saved = [None if t is None else
                      pack_output(outs[saved_pos[id(t)]], node, saved_pos[id(t)])
                      if id(t) in saved_pos and outs[saved_pos[id(t)]]._grad_fn is node
                      else pack_input(t) for t in to_save]
        ctx._to_save = ()
        from weakref import ref
        ctx._node_ref = ref(node)
        if state.anomaly:
            from .anomaly import remember
            remember(node)
        return outs[0] if single else tuple(outs)


def _alias(t):
    from ..tensor.tensor import shallow
    return shallow(t)


def once_differentiable(fn):
    """Mark a backward as not differentiable again: its results raise if differentiated."""
    @functools.wraps(fn)
    def wrapper(ctx, *args):
        prev, state.grad = state.grad, False
        try:
            outputs = fn(ctx, *args)
        finally:
            state.grad = prev
        if not prev or not any(hasattr(a, "_a") and a.requires_grad for a in args):
            return outputs
        single = not isinstance(outputs, tuple)
        outs = (outputs,) if single else outputs
        marked = tuple(_refuse(o) if o is not None else None for o in outs)
        return marked[0] if single else marked
    return wrapper


class _RefusesGradient(Node):
    __slots__ = ()

    def apply(self, grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with "
                           "@once_differentiable")


def _refuse(t):
    u = t.detach()
    node = _RefusesGradient()
    node.edges, node.saved, node.ext, node.seq = (), (), None, next_seq()
    node.outs = ((u._a.shape, u.dtype),)
    u._grad_fn, u._requires_grad = node, True
    return u


class InplaceFunction(Function):
    """Kept for its name: a Function with the flag `inplace`."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace


FunctionMeta = _FunctionMeta
BackwardCFunction = FunctionNode


class NestedIOFunction(Function):
    """Kept for its name; nested inputs and outputs are not flattened."""


Function.__module__ = FunctionCtx.__module__ = "torch.autograd.function"
