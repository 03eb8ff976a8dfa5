"""Batched tensors: how primitives run on a level of ``vmap``.

A tensor on such a level has the tensor underneath with the batch as its first dimension; the user's function sees the
rest. A primitive runs on whole batches by the rule of its class (`rules`), or sample by sample where it has none.
"""

import warnings

from ..ops.registry import function
from ..tensor.tensor import Tensor
from .wrapped import Level, Wrapped, carry, finish, highest, invoke, on, revived, unwrap, value_of


class Batched(Wrapped):
    """The geometry of one sample, and the batch."""

    __slots__ = ()

    def number(self, t):
        raise RuntimeError(
            "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a "
            "Tensor, please try to rewrite what you're doing with other operations.")

    def positions(self, t, as_tuple):
        raise dynamic("nonzero")

    def truth(self, t):
        """``bool(t)``."""
        raise RuntimeError(
            "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
            "support that yet: use torch.where or the like.")

    def nested_list(self, t):
        raise RuntimeError("vmap: a Tensor inside vmap has no values of its own that tolist() could give")


class BatchLevel(Level):
    """One ``vmap`` over `size` samples."""

    __slots__ = ("size", "randomness")
    lenient = False
    batches = True

    def __init__(self, size, randomness):
        super().__init__()
        self.size, self.randomness = size, randomness

    def holder(self, value):
        a = value._a
        return Batched(self, value, a.shape[1:], a.strides[1:])

    def wrap(self, value):
        return carry(self, value)

    def title(self, holder):
        return f"BatchedTensor(lvl={self.depth()}, bdim=0, value="

    def fresh(self, z):
        """A batch of copies of `z`, on memory of its own."""
        return carry(self, z.expand((self.size, *z._a.shape)).clone())

    def lift(self, t, source=None):
        raise RuntimeError(
            "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
            "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but "
            "`self` not being vmapped over in a vmap. Please try to use out-of-place operators instead of inplace "
            "arithmetic. If said operator is being called inside the PyTorch framework, please file a bug report "
            "instead.")

    def write(self, t, source):
        if not on(t, self):
            self.lift(t)
        target, x = value_of(t), unwrap(source, self)
        if on(source, self):
            for _ in range(target.dim() - x.dim()):
                x = x.unsqueeze(1)
        target.copy_(x)

    def run(self, rec, args):
        from .rules import rule_for
        raw = rec.kind == "view"
        inner, batched = list(args), [False] * len(args)
        for i in rec.tensor_args:
            x = args[i]
            inner[i] = unwrap(x, self, raw)
            batched[i] = [on(y, self) for y in x] if type(x) in (list, tuple) else on(x, self)
        rule = rule_for(rec)
        out = NotImplemented if rule is None else rule(self, rec, inner, batched)
        if out is NotImplemented:
            out = one_by_one(self, rec, inner, batched)
        many = type(out) is tuple or type(out) is list
        outs = tuple([None if x is None else self.wrap(x) for x in out]) if many else self.wrap(out)
        return finish(rec, args, outs, self)


def front(level, x, batched):
    """`x` with the batch as its first dimension (an expanded view if it has none)."""
    return x if batched else x.expand((level.size, *x._a.shape))


def rewrapped(level, inner, batched):
    """The arguments as tensors on the level again."""
    out = []
    for x, b in zip(inner, batched):
        if type(b) is list:
            out.append([level.wrap(y) if c else y for y, c in zip(x, b)])
        else:
            out.append(level.wrap(x) if b else x)
    return out


def decomposed(fn):
    """A rule from a function of one sample's arguments that uses other ops."""
    def rule(level, rec, inner, batched):
        r = fn(*rewrapped(level, inner, batched))
        if r is NotImplemented:
            return r
        if type(r) is tuple:
            return tuple([None if x is None else back(level, x) for x in r])
        return back(level, r)
    return rule


def back(level, x):
    """What is underneath a result on the level, with the batch in front."""
    return front(level, unwrap(x, level), on(x, level))


def dynamic(name):
    """The error for an op whose result's size depends on the values."""
    return RuntimeError("vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap "
                        f"over aten::{name}.")


def per_sample(fn, *args):
    """``fn(*args)``, which reads its operands' values and has no derivative, sample by sample."""
    level, _ = highest(args)
    if level is None:
        return fn(*[revived(x) for x in args])
    if not level.batches:
        return per_sample(fn, *[unwrap(x, level) for x in args])
    rows = [per_sample(fn, *[unwrap(x, level).select(0, k) if on(x, level) else x for x in args])
            for k in range(level.size)]
    return level.wrap(function("stack")(rows))


_warned = set()


def one_by_one(level, rec, inner, batched):
    """Run a primitive for each sample and stack the results."""
    if not level.size:
        raise RuntimeError("The fallback path does not support vmap over dims of size 0.")
    if rec.name not in _warned:
        _warned.add(rec.name)
        warnings.warn("There is a performance drop because we have not yet implemented the batching rule for "
                      f"aten::{rec.name}.", UserWarning, stacklevel=2)
    results = []
    for k in range(level.size):
        args = list(inner)
        for i in rec.tensor_args:
            b = batched[i]
            if type(b) is list:
                args[i] = [y.select(0, k) if c else y for y, c in zip(inner[i], b)]
            elif b:
                args[i] = inner[i].select(0, k)
        results.append(invoke(rec, *args))
    stack = function("stack")
    if not isinstance(results[0], Tensor):
        return tuple([None if parts[0] is None else stack(parts) for parts in zip(*results)])
    return stack(results)
