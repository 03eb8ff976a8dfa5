"""Formulas whose result only a product reads are computed where the product reads it, block by block.

    x @ (int8 weights * scales).T, x @ bfloat16 weights as float32          mostly in programs without gradients
    relu(x) @ w.T                                                           rows of an activation

The matrix in between takes no memory, and isn't written and read again. Its elements are the same bits; products are
those of its blocks (``compiler.templates.gemm_prologue``).
"""

import math

from ...dtypes import from_np
from ..tape import MADE, Step, Window
from .epilogues import _merged
from .flow import Flow, is_dense, replaced
from .horizontal import Term, _form
from .planned import is_product

# Rows of x up to which a formula of the weights is computed again each time, at least as fast as by itself; with more,
# the product takes most of the time, and the other operand would be read for each block.
FEW_ROWS, MOST_ROWS = 48, 160
LEAST_WEIGHTS, LARGE = 1 << 12, 1 << 18         # of the matrix, for few rows and for more
# Of an activation: where it is larger than caches, and some hundred rows of it stay there; the other operand
# may be packed for each of these.
LEAST_OF_ROWS, LEAST_INNER, MOST_INNER, MOST_COLUMNS = 1 << 22, 128, 512, 128


def prologues(steps, visible):
    """The steps with such pairs as one."""
    if not any(is_product(s) for s in steps):
        return steps
    flow, at, drop = Flow(steps, visible), {}, set()
    for i, step in enumerate(steps):
        if is_product(step) and 2 <= len(step.args) <= 3:
            found = _taken(flow, i, step)
            if found is not None:
                at[i], gone = found
                drop |= gone
    return replaced(steps, at, drop)


def takes(flow, i, step):
    """Whether product `i` may take in a formula of its second operand."""
    return len(step.args) in (2, 3) and _found(flow, i, step, (1,)) is not None


def _found(flow, i, step, operands=(1, 0)):
    """(the operand's number, the side, the formula) of what product `i` may take in, or None."""
    from ...compiler.templates import gemm_prologue
    c, (a, b, bias) = step.outs[0], (*step.args, None)[:3]
    if gemm_prologue.prologue(c.dtype) is None or bias is not None and not is_dense(bias) or any(
            not isinstance(x, Window) or x.bits or x.dtype != c.dtype for x in (a, b)) or a.buffer is b.buffer:
        return None
    (batch, m, n, k), _, _ = _form(Term(c, a, b, bias, None, step.label))
    if batch != 1 or len(b.shape) != 2:
        return None
    for which in operands:
        x = (a, b)[which]
        side, maker = _side(which, x, k), flow.maker(x)
        if side is not None and maker is not None and flow.only(x, i) and _pays(side, m, n, k):
            formula = _Formula(flow, maker, i, c.dtype)
            if formula.found and _covers(formula.out, x):
                return which, side, formula
    return None


def _taken(flow, i, step):
    """([the step in the place of product `i`], the indices of those that go); None where nothing is taken in."""
    found = _found(flow, i, step)
    if found is None:
        return None
    which, side, formula = found
    label = "+".join([*formula.labels, step.label])
    return [_staged(step, label, which, side, formula.expr, formula.inputs)], formula.gone


def _staged(step, label, which, side, expr, inputs):
    """The product with a formula in the place of its operand `which`."""
    from ...compiler.templates import gemm_prologue
    c, (a, b, bias) = step.outs[0], (*step.args, None)[:3]
    (_, *sizes), steps, _ = _form(Term(c, a, b, bias, None, step.label))
    in_dtypes, name = [from_np(w.dtype).name for w, _ in inputs], from_np(c.dtype).name
    words = gemm_prologue.plan(gemm_prologue.staging(expr, in_dtypes, name), side, tuple(sizes), steps,
                               [s for _, s in inputs], bias is not None, c.dtype.itemsize)
    args = [(b, a)[which], bias, *[w for w, _ in inputs], words]
    return Step("into", label, gemm_prologue.prologue(c.dtype), args, [c],
                source=(_staged, [step, label, which, side, expr, inputs]))


def _side(which, x, k):
    """How the product reads a formula's matrix (see ``gemm_prologue``); None where it can't."""
    if which == 0:
        return 0 if is_dense(x) and x.shape[-1] == k else None
    if is_dense(x):
        return 2
    turned = Window(x.buffer, x.dtype, x.shape[::-1], x.strides[::-1], x.offset, x.bits)
    return 1 if is_dense(turned) else None


def _pays(side, m, n, k):
    if side == 0:
        return m * k >= LEAST_OF_ROWS and LEAST_INNER <= k <= MOST_INNER and n <= MOST_COLUMNS
    return m <= FEW_ROWS and n * k >= LEAST_WEIGHTS or m <= MOST_ROWS and n * k >= LARGE


def _covers(out, x):
    return out.offset == x.offset and math.prod(out.shape) == math.prod(x.shape)


class _Formula:
    """What the pointwise step `k` computes for product `i`: `expr` of `inputs`, (window, (bytes from row to row, from
    column to column)), and the steps that go."""

    def __init__(self, flow, k, i, dtype):
        self.flow, self.i, self.inputs, self.gone, self.labels = flow, i, [], {k}, []
        step = flow.steps[k]
        self.out = step.outs[0]
        self.found = is_dense(self.out) and self.out.dtype == dtype and len(self.out.shape) >= 2 and \
            self._build(step, k)
        self.labels.append(step.label)

    def _build(self, step, k):
        from ...compiler.expr import constant, input_, scalar, substitute
        from ...compiler.templates.gemm_prologue import MOST_INPUTS
        if _converts(step):
            outputs, args = [input_(0, "f")], step.args[:1]
        else:
            outputs, args = getattr(step.detail, "outputs", ()), step.args
            if step.kind != "pointwise" or len(step.outs) != 1 or len(outputs) != 1 or \
                    step.detail.compute.np != self.out.dtype or outputs[0].kind != "f":
                return False
        replace, numbers, position = [], 0, 0
        for x in args:
            if isinstance(x, Window):
                placed = self._placed(x, k)
                if placed is None:
                    return False
                to = len(self.inputs)
                self.inputs.append(placed)
                replace += [(input_(position, kind), input_(to, kind)) for kind in "fb"]
                position += 1
            elif type(x) in (int, float, bool):
                replace.append((scalar(numbers, "f"), constant(float(x), "f")))
                numbers += 1
            else:
                return False
        self.expr = substitute(outputs[0], replace)
        return len(self.inputs) <= MOST_INPUTS

    def _placed(self, x, k):
        """An input and its steps; where it is only a conversion of another matrix, that one."""
        flow, since = self.flow, k
        maker = flow.maker(x)
        if maker is not None and _converts(flow.steps[maker]) and flow.only(x, k) and is_dense(x):
            source, made = flow.steps[maker].args[0], flow.steps[maker].outs[0]
            if _known(source) and source.shape == made.shape and is_dense(source) and _covers(made, x):
                since = maker
                x = Window(source.buffer, source.dtype, x.shape, x.strides, source.offset, 0)
                self.gone.add(maker)
                self.labels.append(flow.steps[maker].label)
        shape = self.out.shape
        if not _known(x) or x.bits or len(x.shape) > len(shape) or not flow.still(x, since, self.i):
            return None
        lead = len(shape) - len(x.shape)
        strides = [0] * lead
        for size, there, t in zip(shape[lead:], x.shape, x.strides, strict=True):
            if there not in (1, size):
                return None
            strides.append(0 if there == 1 else t)
        row, item = _merged(shape[:-1], strides[:-1]), x.dtype.itemsize
        if row is None or strides[-1] not in (0, 1):
            return None
        return x, (row * item, strides[-1] * item)


def _known(w):
    """Whether generated code reads numbers of the dtype."""
    from ...compiler.codegen.lower import ITEMSIZE
    return from_np(w.dtype).name in ITEMSIZE


def _converts(step):
    """Whether a step makes numbers of another dtype."""
    return step.kind == "kernel" and step.label == "_to_copy" and len(step.outs) == 1 and \
        isinstance(step.args[0], Window) and step.outs[0].buffer.origin is MADE and step.outs[0].dtype.kind == "f" and \
        step.args[0].dtype != step.outs[0].dtype and step.args[0].dtype.kind in "iufbV"
