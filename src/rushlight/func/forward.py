"""Forward mode: tensors that carry a tangent, and the tangent of every primitive.

A dual tensor on a level holds a primal and a tangent. Primitives compute with the primals and then their tangent, in
the first of these ways that applies: the record's own ``jvp`` rule; for views and other linear ops the op itself on
the tangents; for products one term an operand; for pointwise ops the kernels of their derivatives, which are diagonal
and so serve both directions; and for all others the transpose of the transpose: with ``u -> vjp(u)`` the rule of
reverse mode, which is linear in u, the tangent is ``d/du <vjp(u), t>`` (J. Townsend, "A new trick for calculating
Jacobian vector products", 2017).
"""

from ..autograd.engine import grad as reverse
from ..autograd.modes import state, switch_grad
from ..dtypes import FLOAT
from ..ops.registry import function
from ..record import Joint, NoGradient
from ..tensor.tensor import Tensor
from .wrapped import (
    GradLevel,
    Level,
    Wrapped,
    batched_like,
    carry,
    finish,
    highest,
    holder_of,
    invoke,
    lift,
    on,
    plan_for,
    resolve_pending,
    unwrap,
    value_of,
    view_below,
)


class Dual(Wrapped):
    """Primal (`value`) and tangent of a tensor on a forward-mode level; the tangent is None where it is zero."""

    __slots__ = ("tangent",)

    def copy(self):
        return self.level.dual(self.value.clone(), None if self.tangent is None else self.tangent.clone())

    def detached(self):
        return self.level.dual(self.value.detach(), None)

    def text(self, t):
        primal, tangent = repr(value_of(t)), self.level.tangent_of(t) if self.level.alive else None
        return primal if tangent is None else f"{primal[:-1]}, tangent={tangent!r})"


class ForwardLevel(Level):
    """One forward-mode transform."""

    __slots__ = ()

    def dual(self, value, tangent):
        """What a tensor on this level with these parts holds."""
        a = Dual(self, value, value._a.shape, value._a.strides)
        a.tangent = tangent
        return a

    def holder(self, value):
        return self.dual(value, None)

    def pair(self, value, tangent):
        """The dual tensor of a primal and its tangent (None for zero)."""
        t = carry(self, value)
        if tangent is not None:
            bits = value._bits & 3
            t._a.tangent = resolve_pending(tangent, bits) if bits else tangent
        return t

    def tangent_of(self, x, raw=False):
        """The tangent of `x` on this level, or None; a list of them for a list."""
        if type(x) is list or type(x) is tuple:
            ts = [self.tangent_of(y, raw) for y in x]
            return ts if any(t is not None for t in ts) else None
        if not on(x, self):
            return None
        t = x._a.tangent
        bits = x._bits & 3
        return t if raw or t is None or not bits else resolve_pending(t, bits)

    def run(self, rec, args):
        raw = rec.kind == "view"
        where = rec.tensor_args
        inner, tangents = list(args), [None] * len(args)
        active = False
        for i in where:
            inner[i] = unwrap(args[i], self, raw)
            t = tangents[i] = self.tangent_of(args[i], raw)
            active = active or t is not None
        if not active:
            out = view_below(rec, *inner) if raw else invoke(rec, *inner)
            return finish(rec, args, _pair(self, out, None), self) if raw else out
        if raw:
            out, t = view_below(rec, *inner), _view_of_tangent(rec, inner, tangents[0])
        else:
            out, t = differentiate(rec, inner, tangents)
        return finish(rec, args, _pair(self, out, t), self)

    def lift(self, t, source=None):
        """A tensor that is being overwritten by a dual one starts with the tangent zero."""
        ts = None if source is None else self.tangent_of(source)
        lift(t, self)
        zero_tangent(t, ts)

    def fill(self, t, number):
        value_of(t).fill_(number)
        tangent = self.tangent_of(t)
        if tangent is not None:
            tangent.zero_()

    def write(self, t, source):
        ts = self.tangent_of(source)
        if not on(t, self):
            lift(t, self)
        if ts is not None and t._a.tangent is None:
            zero_tangent(t, ts)
        value_of(t).copy_(unwrap(source, self))
        own = self.tangent_of(t)
        if ts is not None:
            own.copy_(ts)
        elif own is not None:
            own.zero_()


class DualLevel(ForwardLevel):
    """What ``forward_ad.dual_level`` enters: reverse mode sees through its tensors to what requires gradients."""

    __slots__ = ()
    transparent = True


def zero_tangent(t, like):
    """Give the dual tensor `t`, or the one it is a view of, a tangent of zeros (batched as `like` is)."""
    v = t._view
    a = t._a
    if v is None:
        z = zeros_in(a.value) if like is None else batched_like(zeros_in(a.value), like)
        a.tangent = z
        return
    base = v.base
    if base._a.tangent is None:
        zero_tangent(base, like)
    b = base._a
    a.tangent = b.tangent.as_strided(a.shape, t.stride(), b.tangent._offset + t._offset - b.value._offset)


def zeros_in(x):
    """Zeros of x's shape and strides."""
    return function("zeros_like")(x)


def _pair(level, out, t):
    if type(out) is tuple:
        ts = t if t is not None else [None] * len(out)
        return tuple([None if o is None else _pair(level, o, s) for o, s in zip(out, ts)])
    if out.dtype.category < FLOAT:
        return out
    if t is not None:
        if t.dtype is not out.dtype:
            t = t.to(out.dtype)
        if t._a.shape != out._a.shape:
            t = t.expand(out._a.shape)
    return level.pair(out, t)


def _view_of_tangent(rec, inner, t):
    x = inner[0]
    if rec.name == "as_strided":
        t = laid_as(t, x)
        return invoke(rec, t, inner[1], inner[2], inner[3] + t._offset - x._offset)
    if t.stride() != x.stride():
        t = laid_as(t, x)
        if rec.name in ("view", "_unsafe_view") and t.stride() != x.stride():
            return t.reshape(inner[1])
    return view_below(rec, t, *inner[1:])


def laid_as(t, x):
    """`t` with the strides of `x` (of the same shape), as far as x's elements lie densely."""
    if t.stride() == x.stride():
        return t
    order = sorted(range(t.dim()), key=lambda d: -x.stride(d))
    back = [order.index(d) for d in range(t.dim())]
    return t.permute(order).contiguous().permute(back)


# ---------------------------------------------------------------- tangents of primitives

def differentiate(rec, inner, tangents):
    """(results, tangents of the results) of a primitive that is no view. `tangents`: one an argument, or None."""
    vjp = rec.vjp
    if type(vjp) is NoGradient and not vjp.raises:
        return invoke(rec, *inner), None
    rule = rec.jvp
    if rule is None:
        rule = rules().get(rec.schema.partition("(")[0])
    if rule is not None:
        found = rule(rec, inner, tangents)
        if found is not NotImplemented:
            return found
    if rec.kind == "pointwise" and not isinstance(vjp, (Joint, NoGradient)):
        out = invoke(rec, *inner)
        if out.dtype.category == FLOAT and all(
                inner[i].dtype.category <= FLOAT for i in rec.tensor_args if isinstance(inner[i], Tensor)):
            return out, diagonal(rec, inner, tangents, out)
    return transposed_twice(rec, inner, tangents)


_rules = None


def rules():
    """The table of tangent rules, loaded once."""
    global _rules
    if _rules is None:
        from . import tangents_formulas  # noqa: F401
        from .tangents import RULES
        _rules = RULES
    return _rules


def diagonal(rec, inner, tangents, out):
    """The tangent of a real pointwise op: its reverse rules, fed with tangents in the result's shape."""
    mask = 0
    for k, i in enumerate(rec.tensor_args):
        mask |= (tangents[i] is not None) << k
    plan = plan_for(rec, mask)
    values = [None] + [_named(rec, name, inner, out) for name in plan.names]
    total = None
    for i, r in zip(rec.tensor_args, plan.rules):
        t = tangents[i]
        if t is None or r is None:
            continue
        if t.dtype is not out.dtype:
            t = t.to(out.dtype)
        values[0] = t if t._a.shape == out._a.shape else t.expand(out._a.shape)
        term = r[0](*[values[k] for k in r[1]])
        if term is not None:
            total = term if total is None else total + term
    return total


def _named(rec, name, inner, out):
    for a, x in zip(rec.args, inner):           # records of derivatives may have an operand 'out'
        if a.name == name:
            return x
        if name == a.name + "_shape":
            return x._a.shape
        if name == a.name + "_dtype":
            return x.dtype
    if name == "out":
        return out
    raise ValueError(f"tangent of {rec.name}: unknown name '{name}'")


def plain(t):
    """Whether `t` is an ordinary tensor that autograd does not follow now."""
    return holder_of(t) is None and not (state.grad and t.requires_grad)


def transposed_twice(rec, inner, tangents):
    """The tangent as the derivative of the reverse rule with respect to its cotangent."""
    xs, ts = [], []
    for i in rec.tensor_args:
        if tangents[i] is None:
            continue
        pairs = zip(inner[i], tangents[i]) if rec.args[i].is_list else ((inner[i], tangents[i]),)
        for x, t in pairs:
            if t is not None:
                xs.append(x)
                ts.append(t)
    simple = all(plain(x) for x in xs) and highest([inner[i] for i in rec.tensor_args])[0] is None
    prev = switch_grad(True)
    try:
        if simple:
            return _twice(rec, inner, tangents, ts, lambda x: x.detach().requires_grad_(), lambda x: x.detach())
        level = GradLevel()
        with level:
            def leaf(x):
                return carry(level, x).requires_grad_()
            return _twice(rec, inner, tangents, ts, leaf, lambda x: unwrap(x, level))
    finally:
        switch_grad(prev)


def _twice(rec, inner, tangents, ts, leaf, close):
    args, leaves = list(inner), []

    def opened(x, t):
        if t is None:
            return x
        leaves.append(leaf(x))
        return leaves[-1]
    for i in rec.tensor_args:
        if tangents[i] is None:
            continue
        if rec.args[i].is_list:
            args[i] = [opened(x, t) for x, t in zip(inner[i], tangents[i])]
        else:
            args[i] = opened(inner[i], tangents[i])
    result = invoke(rec, *args)
    many = type(result) is tuple
    outs = result if many else (result,)
    found = [None] * len(outs)
    live = [k for k, o in enumerate(outs) if o is not None and o._requires_grad]
    if live:
        us = [leaf(function("zeros_like")(close(outs[k]))) for k in live]
        gs = reverse([outs[k] for k in live], leaves, us, create_graph=True, allow_unused=True)
        pairs = [(g, t) for g, t in zip(gs, ts) if g is not None and g.requires_grad]
        if pairs:
            rows = reverse([g for g, _ in pairs], us, [t if t.dtype is g.dtype else t.to(g.dtype) for g, t in pairs],
                           allow_unused=True, create_graph=state.levels != () or not all(plain(t) for _, t in pairs))
            for k, r in zip(live, rows):
                found[k] = None if r is None else close(r)
    closed = [None if o is None else close(o) for o in outs]
    return (tuple(closed), found) if many else (closed[0], found[0])
