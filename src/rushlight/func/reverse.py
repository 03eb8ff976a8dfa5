"""Reverse-mode transforms: ``grad``, ``grad_and_value`` and ``vjp``.

The outermost transform differentiates ordinary tensors: aliases of the inputs are leaves of a graph of their own.
Inside another transform the aliases live on a level, so that what is recorded for this transform and what is recorded
for those around it stay apart (see `wrapped`).
"""

import functools

from ..autograd.engine import grad as reverse
from ..autograd.modes import enable_grad, state
from ..autograd.node import Node, edge_of
from ..ops.registry import function
from ..tensor.tensor import Tensor
from .trees import describe, flatten, tree_map, unflatten
from .wrapped import GradLevel, carry, holder_of, on, revived, unwrap


class Tracking:
    """Inputs opened for differentiation, and the way back from results to what the caller knows."""

    def __init__(self):
        self.level = GradLevel() if state.levels else None
        self.records = state.grad       # whether the caller records
        self.leaves = []
        self._on = enable_grad()

    def __enter__(self):
        self._on.__enter__()
        if self.level is not None:
            self.level.__enter__()
        return self

    def __exit__(self, *exc):
        if self.level is not None:
            self.level.__exit__(*exc)
        self._on.__exit__(*exc)

    def open(self, x):
        """An alias of tensor `x` that gradients are taken with respect to."""
        x = revived(x)
        if self.level is not None:
            if x.dtype.category < 2:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            t = carry(self.level, x).requires_grad_()
        elif self.records and x.requires_grad:
            t = x.view_as(x)
        else:
            t = x.detach().requires_grad_()
        self.leaves.append(t)
        return t

    def tracks(self, t):
        """Whether gradients may flow from tensor `t` to what was opened."""
        return t.requires_grad and (self.level is None or on(t, self.level))

    def foreign(self, tensors):
        """Whether a graph leads to leaves that were not opened here (the caller's, or captured ones)."""
        own = {id(t) for t in self.leaves}
        seen, stack = set(), []
        for t in tensors:
            e = edge_of(t) if isinstance(t, Tensor) else None
            if e is not None:
                stack.append(e[0])
        while stack:
            target = stack.pop()
            if id(target) in seen:
                continue
            seen.add(id(target))
            if isinstance(target, Node):
                stack.extend([e[0] for e in target.edges if e is not None])
            elif id(target) not in own:
                return True
        return False

    def close(self, x, keep=False):
        """A result as the caller sees it; with `keep` its history outside this transform stays."""
        if not isinstance(x, Tensor):
            return x
        if self.level is not None:
            return unwrap(x, self.level)
        return x if keep or not x.requires_grad else x.detach()


def follows(t):
    """Whether autograd follows tensor `t` on any level."""
    if not isinstance(t, Tensor):
        return False
    if t.requires_grad:
        return True
    a = holder_of(t)
    if a is None:
        return False
    tangent = getattr(a, "tangent", None)
    return follows(a.value) or tangent is not None and follows(tangent)


def gradients(tracking, outs, cotangents, retain_graph, create_graph):
    """Gradients of `outs` with respect to what `tracking` opened, zeros where there is no way."""
    live = [k for k, o in enumerate(outs) if tracking.tracks(o)]
    if live:
        found = reverse([outs[k] for k in live], tracking.leaves,
                        None if cotangents is None else [cotangents[k] for k in live],
                        retain_graph=retain_graph, create_graph=create_graph, allow_unused=True)
    else:
        found = [None] * len(tracking.leaves)
    zeros = function("zeros_like")
    return [zeros(tracking.close(x)) if g is None else g for g, x in zip(found, tracking.leaves)]


def chosen(argnums, args):
    """The arguments at `argnums`, checked."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    n = len(args)
    for i in (argnums,) if isinstance(argnums, int) else argnums:
        if not isinstance(i, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(i)} in argnums")
        if not -n <= i < n:
            raise RuntimeError(f"Got argnum={i}, but only {n} positional inputs")
    if isinstance(argnums, int):
        return args[argnums]
    if not argnums:
        raise RuntimeError("argnums must be non-empty")
    places = [i % n for i in argnums]
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return tuple([args[i] for i in argnums])


def with_chosen(argnums, args, values):
    """`args` with `values` at `argnums`."""
    out = list(args)
    if isinstance(argnums, int):
        out[argnums] = values
    else:
        for i, v in zip(argnums, values):
            out[i] = v
    return out


def opened(tracking, tree, what):
    """A tree of tensors, each opened."""
    def one(x):
        if not isinstance(x, Tensor):
            raise TypeError(f"{what} must be Tensors, got unsupported type {type(x)}")
        return tracking.open(x)
    return tree_map(one, tree)


def split_aux(output, has_aux, name):
    """(output, aux) of a function's result."""
    if not has_aux:
        return output, None
    if not (isinstance(output, tuple) and len(output) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return output


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that gives ``(gradient, value)`` of the scalar function `func`.

    argnums: position, or tuple of positions, of the arguments (tensors or trees of them) to differentiate; has_aux:
    `func` returns ``(value, aux)``, and so the result is ``(gradient, (value, aux))``. RuntimeError where the value
    is no 0-dimensional tensor.
    """
    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        with Tracking() as tracking:
            diff = opened(tracking, chosen(argnums, args), "grad's inputs (argnums)")
            output = func(*with_chosen(argnums, args, diff), **kwargs)
            output, aux = split_aux(output, has_aux, "grad_and_value(f)(*args)")
            if not isinstance(output, Tensor):
                raise RuntimeError("Expected f(*args) to return a tensor, got "
                                   f"{'tuple' if isinstance(output, tuple) else type(output)}")
            if output.dim():
                raise RuntimeError("Expected f(*args) to return a scalar tensor, got tensor with "
                                   f"{output.dim()} dims. Did you forget to set has_aux=True?")
        with enable_grad():
            keep = tracking.level is not None or tracking.foreign([output])
            gs = gradients(tracking, [output], None, True if keep else None, keep)
        keep = keep and tracking.records
        result = unflatten([tracking.close(g, keep) for g in gs], flatten(diff)[1])
        value = tracking.close(output, keep)
        if has_aux:
            return result, (value, tree_map(lambda x: tracking.close(x, tracking.records and isinstance(
                x, Tensor) and tracking.foreign([x])), aux))
        return result, value
    return wrapper


def grad(func, argnums=0, has_aux=False):
    """A function that gives the gradient of the scalar function `func` with respect to its arguments at `argnums`.

    With has_aux, `func` returns ``(value, aux)`` and the result is ``(gradient, aux)``. Transforms nest:
    ``grad(grad(f))`` is the second derivative.
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        result = both(*args, **kwargs)
        if has_aux:
            return result[0], result[1][1]
        return result[0]
    return wrapper


def tensors_only(tree, message):
    """The leaves and structure of a non-empty tree of tensors; `message(type)` words the error."""
    leaves, s = flatten(tree)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise RuntimeError(message(type(x)))
    return leaves, s


def vjp(func, *primals, has_aux=False):
    """``(func(*primals), vjp_fn)``, where ``vjp_fn(cotangents)`` gives a tuple of one gradient a primal.

    With J the Jacobian of `func` at `primals` the gradients are ``cotangents^T J``. With has_aux, `func` returns
    ``(output, aux)`` and the result is ``(output, vjp_fn, aux)``.
    """
    with Tracking() as tracking:
        diff = opened(tracking, primals, "vjp(f, *primals): primals")
        output = func(*diff)
        output, aux = split_aux(output, has_aux, "vjp(f, *primals)")
        outs, structure = tensors_only(output, lambda t: (
            f"vjp(f, *primals): Expected f to be a function that has non-empty output, got output of type {t}; it "
            "should only return Tensors"))
        if not outs:
            raise RuntimeError("vjp(f, *primals): Expected f to be a function that has non-empty output (i.e. "
                               "output of f should not be empty)")
    keep = tracking.level is None and tracking.records and tracking.foreign(outs)
    shown = unflatten([tracking.close(o, keep) for o in outs], structure)
    own = flatten(diff)[1]
    if len(primals) == 1:
        own_single = flatten(diff[0])[1]

    def wrapper(cotangents, retain_graph=True, create_graph=None):
        given, s = flatten(cotangents)
        if s != structure:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree structure of "
                               f"outputs to the function. cotangents: {describe(s)}, primal output: "
                               f"{describe(structure)}")
        if create_graph is None:
            create_graph = state.grad and (tracking.level is not None or keep or any(follows(c) for c in given))
        with enable_grad() if create_graph else _same():
            gs = gradients(tracking, outs, given, retain_graph, create_graph)
        gs = [tracking.close(g, create_graph) for g in gs]
        return (unflatten(gs, own_single),) if len(primals) == 1 else unflatten(gs, own)
    if has_aux:
        return shown, wrapper, tree_map(lambda x: tracking.close(x, isinstance(x, Tensor) and tracking.records and
                                                                 tracking.foreign([x])), aux)
    return shown, wrapper


class _same:
    """The modes as they are."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None
