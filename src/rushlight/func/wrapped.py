"""Tensors that live on a level of a transform, and how an op finds the level that runs it.

Every active transform (`vmap`, `jvp`, a nested `grad` ...) is a `Level`; inner transforms have higher numbers. A tensor
that a transform handed out holds a `Wrapped` in the place of its array: the geometry that the user's function sees,
the level, and the tensor underneath, which may be on a lower level itself. Plain tensors are on no level.

A primitive with such an operand comes to `run`. The highest level among the operands decides: it takes its own wrapping
off, calls the primitive again on what is underneath, in the way of its transform, and wraps the results. So levels
compose in any order. Autograd records on each level for itself: a node made on a level leads only to operands of that
level, while the calls underneath record there.
"""

from itertools import count

import numpy as np

from ..autograd.modes import state
from ..autograd.node import as_node, edge_of, next_seq
from ..dtypes import FLOAT
from ..ops import dispatch
from ..ops.pointwise.core import run as pointwise
from ..ops.registry import function
from ..record import NoGradient
from ..tensor.storage import MetaArray, make_storage
from ..tensor.tensor import CONJ, NEG, Tensor, ViewInfo, assemble

_ndarray = np.ndarray
_numbers = count(1)


class Wrapped(MetaArray):
    """What a tensor on a level holds in the place of an array: a geometry, and the tensor underneath."""

    __slots__ = ("level", "value")
    outermost = in_parts = True         # what the core asks for

    def __init__(self, level, value, shape, strides):
        self.shape, self.strides, self.dtype = shape, strides, value._a.dtype
        self.level, self.value = level, value

    @property
    def kind(self):
        """Refused: whoever asks wants memory, as ``numpy()`` does."""
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    @property
    def device(self):
        """Where the data is."""
        return self.value.device

    @property
    def layout(self):
        """How the data is laid out."""
        return self.value.layout

    def takeover(self, rec, args, into=None):
        """Run record `rec` on `args`, one of which holds this."""
        return run(rec, args)

    def copy(self):
        """The same on memory of its own."""
        return self.level.holder(self.value.clone())

    def detached(self):
        """The same without history, here and below."""
        return self.level.holder(self.value.detach())

    def write(self, t, source):
        """Copy the elements of `source` into `t`; at least one of them is on a level."""
        level, over = highest((t, source))
        if over:
            revived(t).copy_(revived(source))
        else:
            level.write(t, source)

    def like(self, t, name, value, dtype, layout, requires_grad):
        """``zeros_like(t)`` and its relatives: batched where `t` is."""
        z = function(name)(value_of(t), dtype=dtype)
        if self.level.batches:
            z = carry(self.level, z)
        return z.requires_grad_() if requires_grad else z

    def fill_all(self, t, number):
        """Set every element of `t`."""
        self.level.fill(t, number)

    def number(self, t):
        """``t.item()``."""
        return value_of(t).item()

    def positions(self, t, as_tuple):
        """``t.nonzero()``."""
        return value_of(t).nonzero(as_tuple=as_tuple)

    def truth(self, t):
        """``bool(t)``."""
        return bool(value_of(t))

    def nested_list(self, t):
        """``t.tolist()``."""
        return value_of(t).tolist()

    def text(self, t):
        """``repr(t)``."""
        inner = repr(value_of(t)).replace("\n", "\n    ")
        return f"{self.level.title(self)}\n    {inner}\n)"

    def copied(self, t, memo):
        """``copy.deepcopy(t)`` of a leaf."""
        out = memo[id(t)] = carry(self.level, value_of(t).clone())
        out._requires_grad = t._requires_grad
        return out

    def kept(self, g):
        """Gradient `g` as a leaf keeps it."""
        return g

    # What checks of values ask of an array is told for all batches together.

    def bottom(self):
        """The array with the numbers."""
        a = self.value._a
        return a.bottom() if isinstance(a, Wrapped) else a

    def all(self, **options):
        """Whether no element is zero."""
        return self.bottom().all(**options)

    def any(self, **options):
        """Whether some element is not zero."""
        return self.bottom().any(**options)

    def min(self, **options):
        """The smallest element."""
        return self.bottom().min(**options)

    def max(self, **options):
        """The largest element."""
        return self.bottom().max(**options)

    def __lt__(self, other):
        return self.bottom() < other

    def __le__(self, other):
        return self.bottom() <= other

    def __gt__(self, other):
        return self.bottom() > other

    def __ge__(self, other):
        return self.bottom() >= other


class Level:
    """One active transform. Subclasses say how a primitive runs on it."""

    __slots__ = ("number", "alive")
    lenient = True              # a tensor that outlives the level stands for the tensor underneath
    batches = False
    transparent = False         # what is recorded on the level leads on to operands below

    def __init__(self):
        self.number = next(_numbers)
        self.alive = False

    def __enter__(self):
        self.alive = True
        state.levels = (*state.levels, self)
        return self

    def __exit__(self, *exc):
        self.alive = False
        state.levels = tuple([x for x in state.levels if x is not self])

    def holder(self, value):
        """What a tensor on this level with `value` underneath holds."""
        return Wrapped(self, value, value._a.shape, value._a.strides)

    def wrap(self, value):
        """A tensor on this level around `value`; integers stay as they are where the level has no use for them."""
        if value.dtype.category < FLOAT:
            return value
        return carry(self, value)

    def run(self, rec, args):
        """The results of primitive `rec`, the highest operands of which are on this level."""
        raise NotImplementedError

    def lift(self, t, source=None):
        """Put tensor `t`, which is below, on this level as it stands, because `source` overwrites it."""
        lift(t, self)

    def write(self, t, source):
        """Copy `source` into `t`, one of which is on this level and none above."""
        if not on(t, self):
            self.lift(t, source)
        value_of(t).copy_(unwrap(source, self))

    def fill(self, t, number):
        """Set every element of `t`, which is on this level."""
        value_of(t).fill_(number)

    def title(self, holder):
        """How ``repr`` names a tensor on this level."""
        return f"GradTrackingTensor(lvl={self.depth()}, value=)"

    def depth(self):
        """1 for the outermost active transform, 2 for the next ..."""
        return state.levels.index(self) + 1 if self in state.levels else -1


def carry(level, value):
    """A tensor on `level` around `value`; pending conjugation is told by the outer tensor."""
    bits = value._bits & 3
    if bits:
        value = resolve_pending(value, bits)
    a = level.holder(value)
    t = assemble(a, value.dtype, make_storage(a), value._offset)
    t._bits |= bits
    return t


def resolve_pending(t, bits):
    """`t` with the pending conjugation or negation of `bits` toggled."""
    if bits & CONJ:
        t = t.conj()
    return t._neg_view() if bits & NEG else t


def with_history(t, value):
    """`t` with the history of the tensor `value` underneath."""
    if value.requires_grad:
        fn = value.grad_fn
        t._requires_grad, t._grad_fn, t._out_nr = True, as_node(value) if fn is None else fn, value._out_nr
    return t


def holder_of(t):
    """The Wrapped of tensor `t`, or None."""
    a = t._a
    return a if type(a) is not _ndarray and isinstance(a, Wrapped) else None


def value_of(t, raw=False):
    """The tensor underneath `t`, with t's pending conjugation unless `raw`."""
    v = t._a.value
    bits = t._bits & 3
    return v if raw or not bits else resolve_pending(v, bits)


def on(t, level):
    """Whether `t` is a tensor on `level`."""
    if not isinstance(t, Tensor):
        return False
    a = t._a
    return type(a) is not _ndarray and isinstance(a, Wrapped) and a.level is level


def unwrap(x, level, raw=False):
    """What is underneath `x` on `level`; anything else as it is, lists by element."""
    if type(x) is list or type(x) is tuple:
        return type(x)([unwrap(y, level, raw) for y in x])
    return value_of(x, raw) if on(x, level) else x


def highest(tensors):
    """The highest level among tensors (lists are searched), or None; the second says if one is over."""
    best, over = None, False
    for x in tensors:
        if isinstance(x, Tensor):
            a = x._a
            if type(a) is not _ndarray and isinstance(a, Wrapped):
                if not a.level.alive:
                    over = True
                elif best is None or a.level.number > best.number:
                    best = a.level
        elif type(x) is list or type(x) is tuple:
            b, o = highest(x)
            over = over or o
            if b is not None and (best is None or b.number > best.number):
                best = b
    return best, over


def revived(x):
    """`x` without the wrappings of transforms that are over."""
    if type(x) is list or type(x) is tuple:
        return type(x)([revived(y) for y in x])
    while isinstance(x, Tensor) and holder_of(x) is not None and not x._a.level.alive:
        if not x._a.level.lenient:
            raise RuntimeError("a tensor that vmap made was used after that vmap had returned")
        x = value_of(x)
    return x


def run(rec, args):
    """Primitive `rec` on operands of which at least one is on a level."""
    level, over = highest([args[i] for i in rec.tensor_args])
    if over:
        return invoke(rec, *[revived(x) for x in args])
    return level.run(rec, args)


def invoke(rec, *args):
    """The function over tensors of a record (records of derivatives keep none)."""
    if rec.call is not None:
        return rec.call(*args)
    n = len(rec.tensor_args)
    return pointwise(rec, args[:n], args[n:])


def view_below(rec, x, *params):
    """A view of what is underneath; pending conjugations and negations are told by the outer tensor alone."""
    return x.view_as(x) if rec.name in ("_conj", "_neg_view") else invoke(rec, x, *params)


def finish(rec, args, outs, level):
    """Record the call on `level`, and make views of what should be views. `outs`: a tensor or a tuple."""
    many = type(outs) is tuple
    results = outs if many else (outs,)
    if rec.kind == "view":
        t = args[0]
        results = tuple([as_view(t, r, many) for r in results])
    if state.grad:
        attach(rec, args, results, level)
        if rec.kind == "view" and not many and results[0]._view is not None:
            results[0]._view.no_grad = False
    elif rec.kind == "view" and not many and results[0]._view is not None:
        results[0]._view.no_grad = args[0]._requires_grad
    return results if many else results[0]


def as_view(t, r, multi):
    """The tensor `r`, made from what is underneath `t`, as a view of `t`."""
    a = r._a
    v = assemble(a, r.dtype, t._storage, r._offset)
    v._bits = t._bits
    info = v._view = ViewInfo()
    base = t._view
    info.base = t if base is None else base.base
    info.version = t._storage.version
    info.no_grad = False
    info.multi = multi
    return v


def plan_for(rec, mask):
    """How the record's gradients for the operands in `mask` are computed."""
    plan = rec.plans.get(mask)
    if plan is None:
        dispatch.node_class(rec)            # generated code takes a record with plans to have its class
        plan = rec.plans[mask] = dispatch.make_plan(rec, mask)
    return plan


_classes = {}


def _node_class(rec):
    """The node class of a record; those of special nodes, which look at arrays, are not for levels."""
    cls = _classes.get(rec)
    if cls is None:
        cls = _classes[rec] = type(rec.node_name, (dispatch.RecordNode,), {
            "__slots__": (), "record": rec, "__module__": "torch.autograd"})
    return cls


def attach(rec, args, outs, level):
    """`dispatch.attach` for one level: operands of other levels are constants here."""
    vjp = rec.vjp
    if type(vjp) is NoGradient and not vjp.raises:
        return
    mask, bit, edges = 0, 1, []
    for i in rec.tensor_args:
        x = args[i]
        for t in x or () if rec.args[i].is_list else (x,):
            e = edge_of(t) if on(t, level) or level.transparent and isinstance(t, Tensor) else None
            edges.append(e)
            if e is not None and t.dtype.category >= FLOAT:
                mask |= bit
        bit <<= 1
    if not mask:
        return
    plan = plan_for(rec, mask)
    node = _node_class(rec)()
    node.edges, node.seq, node.ext, node.plan = tuple(edges), next_seq(), None, plan
    node.outs = tuple([None if t is None else (t._a.shape, t.dtype) for t in outs])
    node.saved = ()
    for nr, t in enumerate(outs):
        if t is not None and t.dtype.category >= FLOAT:
            t._requires_grad, t._grad_fn, t._out_nr = True, node, nr
    node.saved = [f(args, outs, node) for f in plan.fetch]


# ---------------------------------------------------------------- changes in place

def lift(t, level):
    """Put `t` on `level` where it stands: its memory and history move underneath."""
    v = t._view
    if v is not None:
        base = v.base
        if not on(base, level):
            level.lift(base)
        inner = base._a.value.as_strided(t._a.shape, t.stride(), t._offset)
        t._storage, v.version = base._storage, base._storage.version
    else:
        inner = assemble(t._a, t.dtype, t._storage, t._offset)
        inner._bits = t._bits
        inner._grad_fn, inner._out_nr, inner._requires_grad = t._grad_fn, t._out_nr, t._requires_grad
    t._grad_fn, t._out_nr, t._requires_grad = None, 0, False
    t._a = level.holder(inner)
    if v is None:
        t._storage = make_storage(t._a)


def batched_like(z, like):
    """The fresh tensor `z`, batched by every ``vmap`` that `like` is batched by."""
    h = holder_of(like)
    if h is None:
        return z
    z = batched_like(z, h.value)
    return h.level.fresh(z) if h.level.batches else z


def below_gradients(t):
    """The values of `t`, batched where `t` is, without history and tangents."""
    h = holder_of(t)
    if h is None:
        return t.detach()
    inner = below_gradients(value_of(t))
    return carry(h.level, inner) if h.level.batches else inner


def among(args):
    """Whether any of the arguments is a tensor on a level (lists are searched)."""
    level, over = highest(args)
    return over or level is not None


def copying(t, source):
    """(t, source) ready for ``t.copy_(source)`` on one level; `t` may have to be lifted."""
    level, over = highest((t, source))
    if level is None and not over:
        return t, source
    source = revived(source)
    if level is not None and not on(t, level):
        level.lift(t, source)
    return t, same_level(t, source)


def alone(t):
    """`t` as a constant of its level."""
    u = assemble(t._a, t.dtype, t._storage, t._offset)
    u._bits = t._bits
    return u


def same_level(t, source):
    """`source`, as a constant if it is on another level than `t`."""
    a, b = holder_of(t), holder_of(source)
    if (a.level if a else None) is (b.level if b else None):
        return source
    return alone(source)


# ---------------------------------------------------------------- reverse mode on a level

class GradLevel(Level):
    """A nested reverse-mode transform: it records on its level and computes underneath."""

    __slots__ = ()

    def run(self, rec, args):
        """Compute underneath, wrap, record."""
        raw = rec.kind == "view"
        inner = [unwrap(x, self, raw) if i in rec.tensor_args else x for i, x in enumerate(args)]
        r = view_below(rec, *inner) if raw else invoke(rec, *inner)
        outs = tuple([None if x is None else self.wrap(x) for x in r]) if type(r) is tuple else self.wrap(r)
        return finish(rec, args, outs, self)
