"""Custom autograd functions under transforms: how ``Function.apply`` runs on tensors that are on a level.

The highest level among the operands decides, as for primitives. On a level of reverse mode the function is applied
underneath and a node with the user's ``backward`` is recorded on the level; in forward mode the tangents come from the
user's ``jvp``; on a level of ``vmap`` the user's static ``vmap`` runs, or, with ``generate_vmap_rule``, another
function whose ``forward``, ``backward`` and ``jvp`` are the user's inside a ``vmap``.
"""

from collections import namedtuple

from ..autograd.function import Function, FunctionCtx
from ..autograd.modes import no_grad, state
from ..autograd.node import edge_of
from ..dtypes import FLOAT
from ..ops.registry import function
from ..tensor.tensor import Tensor
from .batched import BatchLevel
from .forward import ForwardLevel
from .trees import describe, flatten, spread, tree_map, unflatten
from .wrapped import among, highest, on, revived, unwrap, with_history

VmapInfo = namedtuple("VmapInfo", ("batch_size", "randomness"))
VmapInfo.__doc__ = "What a static ``vmap`` of a custom function is told: the batch's size and its randomness."
_MORE = " For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


def apply(cls, args, kwargs):
    """``cls.apply(*args)`` where at least one operand is, or was, on a level of a transform."""
    tensors = [x for x in flatten(args)[0] if isinstance(x, Tensor)]
    level, over = highest(tensors)
    if over:
        args = tree_map(revived, args)
    if level is None:
        return cls.apply(*args, **kwargs)
    if cls.setup_context is Function.setup_context:
        if not level.transparent:
            raise RuntimeError("In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, "
                               "jacrev, ...), it must override the setup_context staticmethod." + _MORE)
    args = _with_defaults(cls, args, kwargs)
    if level.batches:
        return _mapped(cls, level, args)
    if isinstance(level, ForwardLevel):
        return _forward(cls, level, args)
    return _recorded(cls, level, args)


def _with_defaults(cls, args, kwargs):
    """The positional arguments of ``forward``, defaults and keywords filled in (the first may be ``ctx``)."""
    import inspect
    first = () if cls.setup_context is not Function.setup_context else (None,)
    bound = inspect.signature(cls.forward).bind(*first, *args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise NotImplementedError(f"{cls.__name__}: keyword-only arguments of forward under transforms")
    return bound.args[len(first):]


def _below(x, level):
    return tree_map(lambda y: unwrap(y, level), x)


def _context(cls, args, output, needs):
    """The ctx that the user's ``setup_context`` fills."""
    ctx = object.__new__(cls._ctx_type)
    ctx.needs_input_grad = tuple(needs)
    with no_grad():
        cls.setup_context(ctx, args, output)
    return ctx


# ---------------------------------------------------------------- reverse mode

def _recorded(cls, level, args):
    """Apply underneath, record on the level."""
    inner = [_below(x, level) for x in args]
    output = cls.apply(*inner)
    single = not isinstance(output, tuple)
    by_value = {id(v): x for v, x in zip(inner, args) if on(x, level)}
    outs = tuple([by_value.get(id(o)) if id(o) in by_value else level.wrap(o) if isinstance(o, Tensor) else o
                  for o in ((output,) if single else output)])
    is_tensor = [isinstance(x, Tensor) for x in args]
    edges = [edge_of(x) if on(x, level) and x.dtype.category >= FLOAT else None for x in args]
    needs = [e is not None for e in edges]
    ctx = _context(cls, tuple(args), outs[0] if single else outs, needs)
    return cls._record(ctx, args, is_tensor, needs, outs[0] if single else outs, edges, any(needs))


# ---------------------------------------------------------------- forward mode

def _forward(cls, level, args):
    """Apply to the primals, and let ``jvp`` make the tangents of the results."""
    primals = tuple([_below(x, level) for x in args])
    if cls.setup_context is Function.setup_context:
        output, ctx = _old_style(cls, primals)
    else:
        output = cls.apply(*primals)
        needs = [isinstance(x, Tensor) and x.requires_grad for x in primals]
        ctx = _context(cls, primals, output, needs)
    tangents = []
    for x, p in zip(args, primals):
        t = level.tangent_of(x) if isinstance(x, Tensor) else None
        if t is None and isinstance(p, Tensor) and p.dtype.category >= FLOAT and ctx._materialize:
            t = function("zeros_like")(p)
        tangents.append(t)
    found = cls.jvp(_Tangential(ctx), *tangents)
    single = not isinstance(output, tuple)
    outs = (output,) if single else output
    found = found if isinstance(found, tuple) else (found,)
    if len(found) != len(outs):
        raise RuntimeError(f"Function {cls.__name__} returned an invalid number of forward gradient values: expected "
                           f"{len(outs)} but got {len(found)}")
    constant = {id(t) for t in ctx._non_diff}
    results = []
    for i, (o, t) in enumerate(zip(outs, found)):
        if not isinstance(o, Tensor):
            results.append(o)
            continue
        if t is not None and not isinstance(t, Tensor):
            raise RuntimeError(f"Function {cls.__name__} returned forward gradient {i} of type {type(t).__name__}; "
                               "expected a Tensor or None")
        if t is not None and t.shape != o.shape:
            raise RuntimeError(f"Function {cls.__name__} returned a forward gradient of shape {list(t.shape)} at index "
                               f"{i}, but the output has shape {list(o.shape)}")
        again = next((x for x, p in zip(args, primals) if p is o), None)
        if again is not None and any(o is x for x in ctx._dirty):
            again._a.tangent = t
            results.append(again)
        elif o.dtype.category < FLOAT or id(o) in constant:
            results.append(level.pair(o, None) if o.dtype.category >= FLOAT else o)
        else:
            dual = level.pair(o, t)
            results.append(with_history(dual, o) if level.transparent else dual)
    return results[0] if single else tuple(results)


def _old_style(cls, args):
    """(output, ctx) of ``forward(ctx, *args)``, recorded on the level of the primals."""
    is_tensor = [isinstance(x, Tensor) for x in args]
    needs = [t and x.requires_grad for t, x in zip(is_tensor, args)]
    ctx = object.__new__(cls._ctx_type)
    ctx.needs_input_grad = tuple(needs)
    recording = state.grad and any(needs)
    edges = [edge_of(x) if r else None for x, r in zip(args, needs)] if recording else None
    with no_grad():
        output = cls.forward(ctx, *args)
    return cls._record(ctx, args, is_tensor, needs, output, edges, recording), ctx


class _Tangential:
    """The ctx that ``jvp`` sees: what was saved for forward mode, where it was."""

    def __init__(self, ctx):
        object.__setattr__(self, "_ctx", ctx)

    @property
    def saved_tensors(self):
        """What ``save_for_forward`` kept, or else ``save_for_backward``."""
        kept = self._ctx.__dict__.get("saved_for_forward")
        return self._ctx.saved_tensors if kept is None else tuple(kept)

    def __getattr__(self, name):
        return getattr(self._ctx, name)

    def __setattr__(self, name, value):
        setattr(self._ctx, name, value)


# ---------------------------------------------------------------- vmap

def _mapped(cls, level, args):
    own = cls.vmap is not Function.vmap
    if cls.generate_vmap_rule and own:
        raise RuntimeError(f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an "
                           "overridden vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden "
                           "vmap staticmethod to avoid ambiguity." + _MORE)
    if not cls.generate_vmap_rule and not own:
        raise RuntimeError(f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override "
                           "and implement the vmap staticmethod or set generate_vmap_rule=True." + _MORE)
    in_dims = tree_map(lambda x: 0 if on(x, level) else None, tuple(args))
    inner = [_below(x, level) for x in args]
    if cls.generate_vmap_rule:
        output = generated(cls, level, in_dims).apply(*flatten(tuple(inner))[0])
        return tree_map(lambda x: level.wrap(x) if isinstance(x, Tensor) else x, output)
    result = cls.vmap(VmapInfo(level.size, level.randomness), in_dims, *inner)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError("Expected the vmap staticmethod to have two returns, an output and out_dims with pytree "
                           f"structure compatible with the output. Got a {type(result)} instead")
    output, out_dims = result
    leaves, structure = flatten(output)
    dims = spread(out_dims, structure)
    if dims is None:
        raise RuntimeError("The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) "
                           f"tuple. Expected out_dims={out_dims} to be compatible with the structure of `output`. "
                           f"out_dims has structure {describe(flatten(out_dims)[1])} but output has structure "
                           f"{describe(structure)}." + _MORE)
    return unflatten([_at_front(level, x, d) for x, d in zip(leaves, dims)], structure)


def _at_front(level, x, d):
    if d is None or not isinstance(x, Tensor):
        return x
    return level.wrap(x.movedim(d, 0) if d else x)


class _Batches:
    """One run of a generated rule: the batch, and which operands have it in front."""

    def __init__(self, cls, level, in_dims):
        self.cls, self.size, self.randomness = cls, level.size, level.randomness
        self.dims, self.structure = flatten(in_dims)

    def level(self):
        """A level like that of the vmap."""
        return BatchLevel(self.size, self.randomness)

    def wrap(self, level, leaves):
        """The arguments of the user's function on `level`."""
        return unflatten([x if d is None else level.wrap(x) for x, d in zip(leaves, self.dims)], self.structure)


def _lowered(level, x):
    """`x`, which must have the batch in front, without the level."""
    if not isinstance(x, Tensor):
        return x
    return unwrap(x, level) if on(x, level) else x.expand((level.size, *x._a.shape))


class _Lowered:
    """The ctx that the user's methods see inside a generated rule: it saves what is underneath the vmap's level."""

    def __init__(self, ctx, level):
        object.__setattr__(self, "_ctx", ctx)
        object.__setattr__(self, "_level", level)

    def _keep(self, tensors):
        return [isinstance(t, Tensor) and on(t, self._level) for t in tensors], [
            unwrap(t, self._level) if isinstance(t, Tensor) else t for t in tensors]

    def save_for_backward(self, *tensors):
        """See FunctionCtx."""
        self._ctx.backward_batched, kept = self._keep(tensors)
        self._ctx.save_for_backward(*kept)

    def save_for_forward(self, *tensors):
        """See FunctionCtx."""
        self._ctx.forward_batched, kept = self._keep(tensors)
        self._ctx.save_for_forward(*kept)

    def mark_non_differentiable(self, *tensors):
        """See FunctionCtx."""
        self._ctx.constant_values = [unwrap(t, self._level) for t in tensors]

    def mark_dirty(self, *tensors):
        """Refused: a generated rule runs ``forward`` on tensors of its own."""
        raise RuntimeError("mark_dirty is not supported by functions with generate_vmap_rule=True")

    @property
    def saved_tensors(self):
        """What was saved, on the level again."""
        ctx = self._ctx
        inner = ctx._ctx if type(ctx) is _Tangential else ctx
        names = ("forward_batched", "backward_batched") if type(ctx) is _Tangential else ("backward_batched",)
        flags = next((inner.__dict__[n] for n in names if n in inner.__dict__), ())
        return tuple([self._level.wrap(t) if b else t for t, b in zip(ctx.saved_tensors, flags)])

    def __getattr__(self, name):
        return getattr(self._ctx, name)

    def __setattr__(self, name, value):
        setattr(self._ctx, name, value)


def _summed(level, g, dim):
    """The gradient of an operand from one on the level: summed over the batch where the operand has none."""
    if g is None:
        return None
    if dim is not None:
        return _lowered(level, g)
    return unwrap(g, level).sum(0) if on(g, level) else g


def generated(cls, level, in_dims):
    """A function over whole batches, every method of which runs the user's inside a vmap."""
    run = _Batches(cls, level, in_dims)

    class Generated(Function):
        """The rule of one call."""

        generate_vmap_rule = True

        @staticmethod
        def forward(*leaves):
            inside = run.level()
            with inside:
                output = cls.forward(*run.wrap(inside, leaves))
                return tree_map(lambda x: _lowered(inside, x), output)

        @staticmethod
        def setup_context(ctx, inputs, output):
            inside = run.level()
            with inside:
                outs = tree_map(lambda x: inside.wrap(x) if isinstance(x, Tensor) else x, output)
                pairs = {id(a): b for a, b in zip(flatten(outs)[0], flatten(output)[0])}
                proxy = _Lowered(ctx, inside)
                cls.setup_context(proxy, run.wrap(inside, inputs), outs)
                marked = ctx.__dict__.pop("constant_values", ())
                if marked:
                    below = {id(unwrap(o, inside)): pairs[id(o)] for o in flatten(outs)[0] if isinstance(o, Tensor)}
                    FunctionCtx.mark_non_differentiable(ctx, *[below.get(id(t), t) for t in marked])

        @staticmethod
        def backward(ctx, *grads):
            inside = run.level()
            with inside:
                gs = cls.vjp if cls.vjp is not Function.vjp else cls.backward
                given = [inside.wrap(g) if g is not None else None for g in grads]
                found = gs(_Lowered(ctx, inside), *given)
                found = found if isinstance(found, tuple) else (found,)
                per_leaf = flatten(tuple(found[:len(in_dims)]))[0] if any(
                    isinstance(d, (tuple, list, dict)) for d in in_dims) else list(found[:len(run.dims)])
                return tuple([_summed(inside, g, d) for g, d in zip(per_leaf, run.dims)])

        @staticmethod
        def jvp(ctx, *tangents):
            inside = run.level()
            with inside:
                given = [None if t is None else t if d is None else inside.wrap(t)
                         for t, d in zip(tangents, run.dims)]
                found = cls.jvp(_Lowered(ctx, inside), *given)
                return tree_map(lambda t: _lowered(inside, t), found)

    Generated.__name__ = Generated.__qualname__ = cls.__name__
    Generated._node_type.__name__ = Generated._ctx_type.__name__ = cls.__name__ + "GeneratedBackward"
    if cls.jvp is Function.jvp:
        Generated.jvp = Function.jvp
    return Generated


__all__ = ["VmapInfo", "among", "apply", "generated"]
