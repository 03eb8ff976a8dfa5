"""Whole results that go into memory that the call made before have memory of their own.

In-place ops either write over their operand or, where that was saved, compute into other memory and copy that over the
operand; from there on, what reads the operand may as well read the result. No copy is needed then, and every buffer
concerned has one writer, as other passes want it. (Where results may overwrite operands is decided at the end.)
"""

from ...ops.copy import copy_array
from ..tape import MADE, Step, Window
from .flow import Flow, is_dense, like, renamed


def rename(steps, visible, number):
    """The steps with new names; ``number()`` gives new buffers' numbers."""
    flow = Flow(steps, visible)
    names, found = {}, []
    for i, step in enumerate(steps):
        if step.kind == "write" and step.call is copy_array and _whole(steps, flow, i):
            # What the operand was before lives on under its old name.
            names[id(step.outs[0].buffer)] = renamed(step, names).args[0].buffer
        elif _over(steps, flow, i):
            new = like(step.outs[0], number())
            args = renamed(Step("", "", None, step.args, []), names).args
            found.append(Step(step.kind, step.label, step.call, args, [new], step.detail))
            names[id(step.outs[0].buffer)] = new.buffer
        else:
            found.append(renamed(step, names))
    return found


def _over(steps, flow, i):
    """Whether pointwise step `i` writes over all of a buffer that the call made before and keeps to itself."""
    step = steps[i]
    if step.kind != "pointwise" or len(step.outs) != 1:
        return False
    to = step.outs[0]
    return to.buffer.origin is MADE and id(to.buffer) not in flow.visible and not to.bits and not to.offset and \
        flow.writers[id(to.buffer)][0] < i and is_dense(to) and _all(steps, flow, to)


def _whole(steps, flow, i):
    """Whether the result that step `i` copies is all of a buffer that nobody else knows, as is its target."""
    to, of = steps[i].outs[0], steps[i].args[0]
    if not isinstance(of, Window) or to.buffer.origin is not MADE or of.buffer.origin is not MADE:
        return False
    if {id(to.buffer), id(of.buffer)} & flow.visible or to.bits or to.offset or of.offset:
        return False
    made = flow.maker(of)
    return made is not None and made < i and flow.read(of) == [i] and to.dtype == of.dtype and \
        to.shape == of.shape and is_dense(to) and is_dense(of) and _all(steps, flow, to) and _all(steps, flow, of)


def _all(steps, flow, w):
    """Whether the window is its buffer whole: the step that first wrote the buffer wrote all of that window."""
    first = steps[flow.writers[id(w.buffer)][0]]
    size = 1
    for s in w.shape:
        size *= s
    for out in first.outs:
        if out is not None and out.buffer is w.buffer:
            n = 1
            for s in out.shape:
                n *= s
            return n == size and not out.offset and out.dtype == w.dtype
    return False
