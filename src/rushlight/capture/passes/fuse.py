"""Pointwise kernels over one shape that read each other's results, or the same operands, become one kernel.

A step joins an earlier group if it can be moved up to it (nothing between writes what it reads), or if the group can be
moved down to it (nothing between reads what the group makes or writes what it reads). What only the group reads isn't
stored at all. Every element is computed by the formulas in the order of the steps, rounded as the single kernels round:
the results are the same bits.
"""

from functools import lru_cache

from ...dtypes import BOOL, from_np
from ..tape import MADE, Step, Window, windows

MOST_STEPS, MOST_VALUES, REACH = 16, 16, 40


class Joined:
    """What a joined step computes, as launches tell it: `outputs` of its windows and numbers, computed in a dtype."""

    __slots__ = ("outputs", "compute")

    def __init__(self, outputs, compute):
        self.outputs, self.compute = outputs, compute


@lru_cache(1024)
def joined(outputs, compute):
    """The `Joined` of formulas: one for equal ones."""
    return Joined(outputs, compute)


class Group:
    """Pointwise steps that will be one."""

    __slots__ = ("steps", "shape", "compute", "made")

    def __init__(self, step):
        self.steps, self.made = [step], {}
        self.shape, self.compute = step.outs[0].shape, step.detail.compute
        self.made[id(step.outs[0].buffer)] = step.outs[0]

    def reads(self):
        return {id(w.buffer) for s in self.steps for w in s.args if isinstance(w, Window)} - self.made.keys()

    def writes(self):
        return self.made.keys()

    def add(self, step):
        self.steps.append(step)
        self.made[id(step.outs[0].buffer)] = step.outs[0]

    def takes(self, step):
        """Whether the step's operands allow it: what the group makes must be read as it is made."""
        related = False
        mine = self.reads()
        for w in step.args:
            if isinstance(w, Window):
                made = self.made.get(id(w.buffer))
                if made is not None:
                    if made.key() != w.key():
                        return False
                    related = True
                related |= id(w.buffer) in mine
        operands = {w.key() for s in (*self.steps, step) for w in s.args if isinstance(w, Window)}
        return related and len(self.steps) < MOST_STEPS and len(operands) + len(self.steps) <= MOST_VALUES


def fuse(steps, visible, begun):
    """The steps with fused groups; `visible` are buffers (ids) that leave the call, `begun` tells whether the step's
    result is the first that its buffer holds."""
    items = []
    for step in steps:
        if not (_fusible(step) and begun(step)):
            items.append(step)
            continue
        for i in range(len(items) - 1, max(-1, len(items) - 1 - REACH), -1):
            g = items[i]
            if type(g) is not Group or g.shape != step.outs[0].shape or g.compute is not step.detail.compute or \
                    not g.takes(step):
                continue
            between = items[i + 1:]
            reads = {id(w.buffer) for w in step.args if isinstance(w, Window)}
            if not any(_writes(x) & reads for x in between):
                g.add(step)
                break
            if not any(_reads(x) & g.writes() or _writes(x) & (g.reads() | g.writes()) for x in between):
                del items[i]
                g.add(step)
                items.append(g)
                break
        else:
            items.append(Group(step))
    readers = {}
    for x in items:
        for b in _reads(x):
            readers.setdefault(b, []).append(x)
    joined = [_joined(x, visible, readers) if type(x) is Group else x for x in items]
    return [x for x in joined if x is not None]


def _fusible(step):
    if step.kind != "pointwise" or len(step.outs) != 1:
        return False
    out, launch = step.outs[0], step.detail
    d = from_np(out.dtype)
    return out.buffer.origin is MADE and not out.bits and len(launch.outputs) == 1 and out.shape != () and \
        (d is launch.compute or d.category == BOOL) and not launch.compute.is_low_precision and \
        not any(isinstance(w, Window) and w.bits for w in step.args)


def _reads(x):
    return x.reads() if type(x) is Group else {id(w.buffer) for w in windows(x.args)}


def _writes(x):
    return x.writes() if type(x) is Group else {id(w.buffer) for w in windows(x.outs)}


def _joined(group, visible, readers):
    """One step for a group; None if nobody reads what it makes."""
    if len(group.steps) == 1:
        return group.steps[0]
    from ...compiler import pointwise_kernel
    from ...compiler import scalar as s
    from ...compiler.expr import input_, scalar, substitute
    made, operands, scalars, outs, exprs = {}, {}, [], [], []
    for step in group.steps:
        launch = step.detail
        replace = []
        kind = _kind(launch.compute)
        for i, w in enumerate(w for w in step.args if isinstance(w, Window)):
            e = made.get(w.key())
            if e is None:
                j = operands.setdefault((w.key(), kind), (len(operands), w))[0]
                e = input_(j, kind)
            elif e.kind != kind:
                e = s.where(e, 1.0, 0.0) if kind == "f" else s.where(e, 1, 0)
            replace.append((input_(i, kind), e))
        numbers = [x for x in step.args if not isinstance(x, Window)]
        for i, _ in enumerate(numbers):
            replace.append((scalar(i, kind), scalar(len(scalars) + i, kind)))
        scalars += numbers
        out = step.outs[0]
        made[out.key()] = substitute(launch.outputs[0], replace)
        b = id(out.buffer)
        if b in visible or any(x is not group for x in readers.get(b, ())):
            outs.append(out)
            exprs.append(made[out.key()])
    if not outs:
        return None
    inputs = [w for _, w in operands.values()]
    c = group.compute.name
    kernel = pointwise_kernel(tuple(exprs), [from_np(w.dtype).name for w in inputs], [c] * len(scalars),
                              [from_np(w.dtype).name for w in outs], c).call
    label = "+".join(s.label for s in group.steps)
    return Step("pointwise", label, kernel, [*inputs, *scalars], outs, joined(tuple(exprs), group.compute))


def _kind(d):
    return "f" if d.category >= 2 else "b" if d.category == BOOL else "i"
