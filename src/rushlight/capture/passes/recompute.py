"""What is cheap to compute again isn't kept from the forward to the backward pass.

Activations that the backward pass reads late live through the moment when most memory is in use. The result of a
pointwise kernel or a normalization whose own operands live that long anyway is dropped after its last early use, and
made again before its first late one, until the most memory in use has shrunk by a third (a pass over memory each).
"""

import math

from ..tape import ARGUMENT, MADE, OLDER, Step, Window, windows
from .flow import Flow, like, with_windows

ENOUGH, LEAST = 0.65, 1 << 18       # of the peak; bytes that are worth it


def recompute(steps, visible, number):
    """The steps with such results made again; ``number()`` gives new buffers' numbers."""
    flow = Flow(steps, visible)
    sizes = {}
    for step in steps:
        for w in step.windows():
            if w.buffer.origin is MADE and 0 not in w.shape:
                end = w.offset + 1 + sum((s - 1) * t for s, t in zip(w.shape, w.strides, strict=True))
                sizes[id(w.buffer)] = max(sizes.get(id(w.buffer), 0), end * w.dtype.itemsize)
    if sum(sizes.values()) < 4 * LEAST:
        return steps
    live = _Curve(len(steps))
    for b, size in sizes.items():
        first, last = _life(flow, b)
        live.add(first, len(steps) - 1 if b in visible else last, size)
    goal = ENOUGH * live.peak()[1]
    candidates = _candidates(flow, sizes)
    again, touched = {}, set()
    while live.peak()[1] > goal:
        at = live.peak()[0]
        best = None
        for i, b in candidates:
            if b in touched or sizes[b] < LEAST or best is not None and sizes[b] <= sizes[best[1]]:
                continue
            uses = flow.readers[b]
            early, late = [u for u in uses if u < at], [u for u in uses if u >= at]
            # A late use at the peak itself frees nothing there.
            if i < at and early and late and late[0] > at and early[-1] < at and \
                    _there(flow, steps[i], i, late[0], touched, again):
                best = i, b, early[-1], late[0]
        if best is None:
            break
        i, b, early, late = best
        live.add(early + 1, late - 1, -sizes[b])
        again.setdefault(late, []).append((i, b))
        touched.add(b)
    return _rewritten(steps, flow, again, number) if again else steps


class _Curve:
    """Bytes in use at each step."""

    def __init__(self, n):
        self.bytes = [0] * n

    def add(self, first, last, size):
        for i in range(first, last + 1):
            self.bytes[i] += size

    def peak(self):
        """(index, bytes)"""
        most = max(self.bytes)
        return self.bytes.index(most), most


def _life(flow, b):
    uses = [*flow.writers.get(b, ()), *flow.readers.get(b, ())]
    return min(uses), max(uses)


def _candidates(flow, sizes):
    """[(index, id of the buffer)] of steps with one large result, cheap to make again."""
    found = []
    for i, step in enumerate(flow.steps):
        if _cheap(step):
            out = step.outs[0]
            b = id(out.buffer)
            small = all(sizes.get(id(o.buffer), 0) * 8 <= sizes.get(b, 0) for o in windows(step.outs[1:]))
            if b in sizes and b not in flow.visible and flow.maker(out) == i and small and b in flow.readers:
                found.append((i, b))
    return found


def _cheap(step):
    if step.kind == "pointwise":
        return len(step.outs) == 1
    return step.label in ("batch_norm+relu", "batch_norm+add+relu", "native_layer_norm")


def _there(flow, step, i, late, touched, again):
    """Whether what the step reads is still there, unchanged, at step `late`."""
    for w in windows(step.args):
        b = id(w.buffer)
        if any(i < k < late for k in flow.writers.get(b, ())):
            return False
        if w.buffer.origin is MADE:
            if b in touched or (b not in flow.visible and max(flow.readers[b]) < late):
                return False
        elif w.buffer.origin not in (OLDER, ARGUMENT):
            return False
    return True


def _rewritten(steps, flow, again, number):
    found, names = [], {}
    for k, step in enumerate(steps):
        for i, b in again.get(k, ()):
            old = steps[i]
            news = []
            for j, out in enumerate(old.outs):
                new = out and like(out, number())
                news.append(new)
                if j == 0:
                    names[b] = new.buffer
            found.append(_repeated(old, news))
        found.append(_renamed(step, names))
    return found


def _renamed(step, names):
    return with_windows(step, lambda w: w if id(w.buffer) not in names else Window(
        names[id(w.buffer)], w.dtype, w.shape, w.strides, w.offset, w.bits))


def _repeated(step, outs):
    """The step again with other results."""
    if not step.label.startswith("batch_norm"):
        return Step(step.kind, step.label + ", again", step.call, step.args, outs, step.detail)
    from ...compiler.templates import batchnorm_relu as kernels
    x, w, b, r, _ = step.args
    dtype = "float64" if x.dtype.itemsize == 8 else "float32"
    words = kernels.apply_words(x.shape[0], x.shape[1], math.prod(x.shape[2:]), x.dtype.itemsize)
    call = kernels.apply(dtype, r is not None)
    return Step("into", step.label + ", again", call, [x, w, b, r, *step.outs[1:], words], outs[:1])
