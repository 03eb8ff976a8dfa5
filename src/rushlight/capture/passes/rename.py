"""Copies of whole results into memory that the call made before are other names for the results.

In-place ops compute into memory of their own and copy that over their operand; from there on, what reads the operand
may as well read the result, and the copy isn't needed. Then every buffer concerned has one writer.
"""

from ...ops.copy import copy_array
from ..tape import MADE, Window
from .flow import Flow, is_dense, with_windows


def rename(steps, visible):
    """The steps without such copies."""
    if not any(s.call is copy_array for s in steps):
        return steps
    flow = Flow(steps, visible)
    names, found = {}, []

    def now(w):
        b = names.get(id(w.buffer))
        return w if b is None else Window(b, w.dtype, w.shape, w.strides, w.offset, w.bits)
    for i, step in enumerate(steps):
        step = with_windows(step, now)
        if step.kind == "write" and step.call is copy_array and _whole(steps, flow, i):
            # What the operand was before lives on under its old name.
            names[id(steps[i].outs[0].buffer)] = step.args[0].buffer
        else:
            found.append(step)
    return found


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
