"""Gradients of convolution weights that free more memory than they take run before steps that take more.

    dx = conv_input(g, w); dw = conv_weight(x, g)       the weight's first: x is of no use after it

What each step computes stays the same. (With gradients of matrices `recompute` does worse: what it would make again is
read where memory peaks then.)
"""

import math

from ..tape import MADE, windows
from .flow import Flow

REACH, LEAST = 4, 1 << 18               # steps that one may pass; bytes that are worth it
_KINDS = "pointwise", "into", "kernel", "grad"


def early(steps, visible):
    """The steps in such an order."""
    if not any(s.label == "conv_weight" for s in steps):
        return steps
    flow, found = Flow(steps, visible), []
    for i, step in enumerate(steps):
        place = len(found)
        if step.label == "conv_weight" and _freed(flow, i, step) >= LEAST:
            for k in range(len(found) - 1, max(-1, len(found) - 1 - REACH), -1):
                if found[k].kind not in _KINDS or not _apart(found[k], step):
                    break
                if _taken(found[k]) >= LEAST:
                    place = k
        found.insert(place, step)
    return found


def _size(w):
    return math.prod(w.shape) * w.dtype.itemsize


def _taken(step):
    return sum(_size(w) for w in windows(step.outs)) if step.kind != "grad" else 0


def _freed(flow, i, step):
    """Bytes of what step `i` reads last, less those of what it makes."""
    last = {id(w.buffer): _size(w) for w in windows(step.args) if w.buffer.origin is MADE and flow.read(w)[-1] == i and
            id(w.buffer) not in flow.visible}
    return sum(last.values()) - _taken(step)


def _apart(one, other):
    """Whether two steps don't need each other."""
    (writes, reads), (more, also) = one.touches, other.touches
    return writes.keys().isdisjoint(more) and writes.keys().isdisjoint(also) and reads.keys().isdisjoint(more)
