"""Products and convolutions take in the pointwise kernels that follow, while their sums are in the cache.

    linear; gelu                    one kernel that stores both, or the second only if nobody else reads the first
    linear; add                     the residual
    mm; relu's gradient
    convolution; evaluated batch_norm; (add); relu

The formulas are the single kernels', so results are the same bits; but batch normalization in evaluation becomes a
multiply-add by numbers for each channel.
"""

import math
import struct

import numpy as np

from ...dtypes import from_np
from ..tape import MADE, Step, Window
from .flow import Flow, is_dense, own
from .planned import Convolution, Finish, is_product, product

# Elements of a result. A call that finishes costs some microseconds more, and what stays in the caches is soon read
# again: convolutions gain from results beyond that. Whole matrices, read in pieces, take long where they are large.
LEAST, LEAST_OF_PRODUCT, MOST_READ = 1 << 22, 1 << 17, 1 << 20
MOST_OPERANDS = 6


def epilogues(steps, visible, number):
    """The steps with such chains as single kernels; ``number()`` gives new buffers' numbers."""
    flow = Flow(steps, visible)
    at, drop = {}, set()
    for i, step in enumerate(steps):
        chain = _Chain(flow, steps, i, drop, number) if i not in drop and _serves(step) else None
        if chain is not None and chain.grow():
            at[chain.place], gone = chain.steps()
            drop |= gone
    found = []
    for i, step in enumerate(steps):
        found += at[i] if i in at else [] if i in drop else [step]
    return found


def _serves(step):
    if is_product(step):
        least = LEAST_OF_PRODUCT
    elif type(step.call) is Convolution and step.call.ways.finishes and step.call.finish is None:
        least = LEAST
    else:
        return False
    return math.prod(step.outs[0].shape) >= least and step.outs[0].buffer.origin is MADE


def _flat(step):
    """A product of rows in any number of dimensions with one matrix, as a product of matrices: one tall product, where
    matrices that are finished one by one would each pack the other operand."""
    if not is_product(step) or len(step.args) < 2 or len(step.outs) != 1:
        return step
    x, out = step.args[0], step.outs[0]
    if len(step.args[1].shape) != 2 or len(out.shape) < 3 or len(x.shape) != len(out.shape) or not is_dense(x) or \
            not is_dense(out):
        return step

    def rows(w):
        n = w.shape[-1]
        return Window(w.buffer, w.dtype, (math.prod(w.shape[:-1]), n), (n, 1), w.offset, w.bits)
    return Step(step.kind, step.label, step.call, [rows(x), *step.args[1:]], [rows(out)], step.detail)


class _Chain:
    """A product and the pointwise steps that it takes in: `expr` is what they make of its sums."""

    def __init__(self, flow, steps, i, drop, number):
        from ...compiler import scalar as s
        self.flow, self.all, self.first, self.drop, self.number = flow, steps, i, drop, number
        self.step = _flat(steps[i])
        self.now = self.step.outs[0]                    # what the chain makes so far
        self.place, self.keeps, self.taken, self.before = i, False, [], []
        self.expr, self.operands = s.input(0), []       # (window, number of elements from place to place, dims)
        self.convolves = type(self.step.call) is Convolution

    def grow(self):
        """Take in what there is to take; whether there was something."""
        while (k := self._next()) is not None and self._take(k):
            self.taken.append(k)
            self.now = self.all[k].outs[0]
        return bool(self.taken)

    def _next(self):
        """The index of the step that may be taken in."""
        flow, w = self.flow, self.now
        if w.buffer.origin is not MADE or len(flow.writers[id(w.buffer)]) != 1:
            return None
        readers = flow.read(w)
        if not readers or readers[0] in self.drop:
            return None
        if not flow.only(w, readers[0]):
            if self.taken or self.convolves or len(self.step.args) < 2:
                return None
            self.keeps = True
        return readers[0]

    def _take(self, k):
        s = self.all[k]
        if s.kind == "into" and s.label.startswith("evaluated batch_norm") and self.convolves and not self.keeps:
            return self._normalized(k, s)
        outputs = getattr(s.detail, "outputs", ())
        if s.kind != "pointwise" or len(s.outs) != 1 or len(outputs) != 1:
            return False
        out = s.outs[0]
        if out.dtype != self.now.dtype or \
                s.detail.compute.np != out.dtype or not self._covers(out) or out.buffer.origin is not MADE or \
                len(self.flow.writers[id(out.buffer)]) != 1:
            return False
        from ...compiler.expr import constant, input_, scalar, substitute
        replace, numbers, operands = [], 0, list(self.operands)
        place = self.place
        for j, x in enumerate(s.args):
            if not isinstance(x, Window):
                if type(x) not in (int, float, bool):
                    return False
                replace.append((scalar(numbers, "f"), constant(x, "f")))
                numbers += 1
            elif x.buffer is self.now.buffer:
                if x.bits or x.offset != self.now.offset or not self._covers(x) or x.shape != out.shape:
                    return False
                replace.append((input_(j, "f"), self.expr))
            else:
                if x.dtype != out.dtype or x.bits:
                    return False
                placed = self._placed(x, out.shape)
                place = self._when(x, place, k)
                if placed is None or place is None:
                    return False
                replace.append((input_(j, "f"), input_(1 + len(operands), "f")))
                operands.append(placed)
        if len(operands) > MOST_OPERANDS or not all(e.kind == "f" for e, _ in replace) or outputs[0].kind != "f" or \
                not self._moves(place):
            return False
        self.expr, self.operands, self.place = substitute(outputs[0], replace), operands, place
        return True

    def _covers(self, w):
        return is_dense(w) and math.prod(w.shape) == math.prod(self.step.outs[0].shape)

    def _when(self, x, place, k):
        """Where the kernel has to stand so that `x`, which step `k` reads, is there: `place`, or `k`."""
        if place == self.first and self.flow.still(x, self.first, k):
            return place
        return k if not self.keeps else None

    def _moves(self, place):
        """Whether the kernel may run at a later place: nothing it reads changes until then."""
        if place == self.first:
            return True
        own, others = [w for w in self.step.args if isinstance(w, Window)], [w for w, *_ in self.operands]
        return not self.keeps and all(self.flow.still(w, self.first, place) for w in own) and \
            all(self.flow.still(w, self.place, place) for w in others)

    def _groups(self, shape):
        """The dimensions of a result that are matrices, rows and columns."""
        n = len(shape)
        if self.convolves:
            return [0], [1], list(range(2, n))
        return ([], list(range(n - 1)), [n - 1]) if len(self.step.outs[0].shape) == 2 else ([0], [1], [2])

    def _placed(self, x, shape):
        """(window, bytes between matrices, rows, columns; bytes along dimensions) of an operand, or None."""
        own = self.step.outs[0].shape
        if len(x.shape) > len(shape) or (self.convolves or len(own) > 2) and shape != own or shape[-1] != own[-1]:
            return None
        lead = len(shape) - len(x.shape)
        strides = [0] * lead
        for size, there, t in zip(shape[lead:], x.shape, x.strides, strict=True):
            if there not in (1, size):
                return None
            strides.append(0 if there == 1 else t)
        steps = []
        for group in self._groups(shape):
            step = _merged([shape[d] for d in group], [strides[d] for d in group])
            if step is None:
                return None
            steps.append(step)
        if steps[2] not in (0, 1) or not self.convolves and 0 not in steps[1:] and math.prod(shape) > MOST_READ:
            return None
        item = x.dtype.itemsize
        return x, [t * item for t in steps], [t * item for t in strides]

    def _normalized(self, k, s):
        """Take in an evaluated batch normalization with its residual and relu."""
        from ...compiler import scalar as sc
        x, w, b, r, mean, variance, words = s.args
        if x.key() != self.now.key() or not self._covers(s.outs[0]) or x.shape != self.step.outs[0].shape:
            return False
        operands, place = list(self.operands), self.place
        for v in (w, b, mean, variance, r):
            if v is not None and (place := self._when(v, place, k)) is None:
                return False
        c = x.shape[1]
        factors = [vector(x.dtype, c, self.number) for _ in range(2)]
        e = sc.fma(self.expr, sc.input(len(operands) + 1), sc.input(len(operands) + 2))
        more = len(x.shape) - 2
        operands += [self._placed(Window(v.buffer, v.dtype, (c, *[1] * more), (1, *[0] * more), 0, 0), x.shape)
                     for v in factors]
        if r is not None:
            placed = self._placed(r, x.shape)
            if placed is None:
                return False
            operands.append(placed)
            e = e + sc.input(len(operands))
        if s.label.endswith("relu"):
            e = sc.where(e < 0.0, 0.0, e)
        if len(operands) > MOST_OPERANDS or not self._moves(place):
            return False
        self.before.append(line(factors, w, b, mean, variance, struct.unpack("6qd", _bytes(words))[6]))
        self.expr, self.operands, self.place = e, operands, place
        return True

    def steps(self):
        """(the steps in the place of the chain, the indices of those that go)"""
        label = "+".join([self.step.label, *[self.all[k].label for k in self.taken]])
        last = self.all[self.taken[-1]].outs[0]
        new = _finished(self.step, label, last, self.keeps, self.expr, self.operands)
        return [*self.before, new], {self.first, *self.taken}


def _finished(step, label, last, keeps, expr, operands):
    """The step that makes `expr` of its sums and of `operands`, in `last`; with `keeps` the sums as well."""
    from ...compiler.templates.gemm_finish import finishing
    shape, old, convolves = step.outs[0].shape, step.outs[0], type(step.call) is Convolution
    out = Window(last.buffer, old.dtype, shape, old.strides, last.offset, 0)
    name, item = from_np(old.dtype).name, old.dtype.itemsize
    function = finishing(expr, [name] * (1 + len(operands)), name)
    out_steps = [t * item for t in old.strides[:2]] if convolves or len(shape) == 3 else [0, shape[1] * item]
    finish = Finish(function, out_steps, [steps for _, steps, _ in operands], [d for _, _, d in operands])
    source, given = (_finished, [step, label, last, keeps, expr, operands]), [w for w, *_ in operands]
    if convolves:
        own = step.call
        call = Convolution(own.ways, own.name, own.geometry, finish)
        return Step("into", label, call, [*step.args, *given], [out], source=source)
    args, added = [*step.args, *[None] * (3 - len(step.args))], _added(step, keeps, expr, operands)
    if added is not None:
        # What is only added the product's kernels add in registers.
        return Step("into", label, step.call, [*args, 1.0, False, added, 1.0], [out], source=source)
    call = product(step.call, finish, keeps)
    return Step("into", label, call, [*args, *given], [old, out] if keeps else [out], source=source)


def _added(step, keeps, expr, operands):
    """The window of an array like the result, if that is all there is to add to the sums."""
    from ...compiler import scalar as s
    out = step.outs[0]
    if keeps or len(operands) != 1 or len(step.args) > 3 or \
            not any(expr is e for e in (s.input(0) + s.input(1), s.input(1) + s.input(0))):
        return None
    w, steps, _ = operands[0]
    natural = [t * out.dtype.itemsize for t in ((0,) * (3 - len(out.shape)) + tuple(out.strides))]
    if steps != natural or not is_dense(w):
        return None
    return Window(w.buffer, w.dtype, out.shape, out.strides, w.offset, 0)


def vector(dtype, n, number):
    """A window on n numbers in a new buffer."""
    return Window(own(number()), dtype, (n,), (1,), 0, 0)


def _bytes(words):
    return words if isinstance(words, bytes) else np.asarray(words).tobytes()


def _merged(sizes, strides):
    """The step of dimensions taken as one; None where there is none."""
    step, expected = None, None
    for n, t in zip(reversed(sizes), reversed(strides), strict=True):
        if n == 1:
            continue
        if step is None:
            step = t
        elif t != expected:
            return None
        expected = t * n
    return step or 0


def line(factors, w, b, mean, variance, eps):
    """The step that makes an evaluated normalization's factors and offsets."""
    from ...compiler import pointwise_kernel
    from ...compiler import scalar as s
    given = [v for v in (mean, variance, w, b) if v is not None]
    at = {id(v): s.input(j) for j, v in enumerate(given)}
    factor = 1.0 / s.sqrt(at[id(variance)] + s.scalar(0))
    if w is not None:
        factor = factor * at[id(w)]
    offset = -at[id(mean)] * factor
    if b is not None:
        offset = offset + at[id(b)]
    name = from_np(mean.dtype).name
    kernel = pointwise_kernel((factor, offset), [name] * len(given), ["float64"], [name] * 2, "float64").call
    return Step("pointwise", "batch_norm's factors", kernel, [*given, eps], factors)
