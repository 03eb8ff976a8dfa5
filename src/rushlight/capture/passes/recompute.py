"""What is cheap to compute again isn't kept from the forward to the backward pass.

Activations that the backward pass reads late live through the moment when most memory is in use. The result of a
pointwise kernel or a normalization whose own operands live that long anyway is dropped after its last early use, and
made again before its first late one, until the most memory in use has shrunk by three tenths (a pass over memory each).
"""

import math
from bisect import insort

from ...dtypes import from_np
from ..tape import ARGUMENT, MADE, OLDER, Step, Window, windows
from .flow import Flow, behind, is_dense, like, with_windows
from .planned import workspace

_AGAIN = "batch_norm+relu", "batch_norm+add+relu", "batch_norm+hardtanh", "native_layer_norm", "layout"
ENOUGH, LEAST = 0.70, 1 << 18       # of the peak; bytes that are worth it


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
    # Step i is at time 2 i + 1; what is made again before it, at 2 i.
    live, end = _Curve(2 * len(steps) + 1), 2 * len(steps) - 1
    for b, size in sizes.items():
        first, last = _life(flow, b)
        live.add(2 * first + 1, end if b in visible else 2 * last + 1, size)
    for i, step in enumerate(steps):
        live.add(2 * i + 1, 2 * i + 1, workspace(step) - _overwritten(flow, i, sizes))
    goal = ENOUGH * live.peak()[1]
    reads = {b: [2 * i + 1 for i in found] for b, found in flow.readers.items()}
    candidates = _candidates(flow, sizes)
    again = {}                      # id of the buffer -> (index of its step, times at which it is made again)
    while live.peak()[1] > goal:
        at = live.peak()[0]
        best = None
        for i, b in candidates:
            early, late = [u for u in reads[b] if u < at], [u for u in reads[b] if u & -2 > at]
            # A use at the peak itself frees nothing there.
            if 2 * i + 1 < at not in reads[b] and early and late and not (b in again and late[0] & -2 in again[b][1]):
                earlier = _there(flow, i, late[0] & -2, reads, again)
                if earlier is not None:
                    best = i, b, early[-1], late[0] & -2
                    break
        if best is None:
            break
        i, b, early, late = best
        live.add(early + 1, late - 1, -sizes[b])
        again.setdefault(b, (i, []))[1].append(late)
        for other, before in earlier:
            live.add(late, before - 1, sizes[other])
            again[other][1].remove(before)
            again[other][1].append(late)
        # What they are made of is read then: that may be made again, too, but not later.
        for x in (b, *[other for other, _ in earlier]):
            for w in windows(steps[again[x][0]].args):
                uses = reads[id(w.buffer)]
                if late not in uses:
                    insort(uses, late)
    return _rewritten(steps, again, number) if again else steps


class _Curve:
    """Bytes in use at each time."""

    def __init__(self, n):
        self.bytes = [0] * n

    def add(self, first, last, size):
        for i in range(first, last + 1):
            self.bytes[i] += size

    def peak(self):
        """(time, bytes)"""
        most = max(self.bytes)
        return self.bytes.index(most), most


def _life(flow, b):
    uses = [*flow.writers.get(b, ()), *flow.readers.get(b, ())]
    return min(uses), max(uses)


def overwritable(step):
    """The operands that a step has read, element by element, when it writes its results there."""
    if step.kind == "pointwise":
        return windows(step.args)
    return windows(step.args[k] for k in step.detail) if step.kind == "into" and step.detail else []


def _overwritten(flow, i, sizes):
    """Bytes of step `i`'s operands that are of no use after it and whose places its results take."""
    step, found, taken = flow.steps[i], 0, set()
    for out in windows(step.outs):
        for w in overwritable(step):
            b = id(w.buffer)
            if b not in taken and w.buffer.origin is MADE and b not in flow.visible and w.key()[1:5] == out.key()[1:5] \
                    and _life(flow, b)[1] == i and _life(flow, id(out.buffer))[0] == i:
                taken.add(b)
                found += sizes[b]
                break
    return found


def _candidates(flow, sizes):
    """[(index, id of the buffer)] of steps with one large result, cheap to make again: in the order to take them.

    What others of them are made of comes last, as it has to stay for them, then what is smaller, then what is earlier.
    """
    found = []
    for i, step in enumerate(flow.steps):
        if _cheap(step):
            out = step.outs[0]
            b = id(out.buffer)
            small = all(sizes.get(id(o.buffer), 0) * 8 <= sizes.get(b, 0) for o in windows(step.outs[1:]))
            own = b not in flow.visible and flow.maker(out) == i and b in flow.readers
            if own and small and sizes.get(b, 0) >= LEAST:
                found.append((i, b))
    used = {id(w.buffer) for i, _ in found for w in windows(flow.steps[i].args)}
    return sorted(found, key=lambda c: (c[1] in used, -sizes[c[1]], -c[0]))


def _cheap(step):
    if step.kind == "pointwise":
        return len(step.outs) == 1
    return step.label in _AGAIN


def _there(flow, i, late, reads, again):
    """Whether what step `i` reads is still there, unchanged, at time `late`: None, or [(id of a buffer, when it is made
    again)] of those that have to be made by then."""
    earlier = []
    for w in windows(flow.steps[i].args):
        b = id(w.buffer)
        if any(i < k and 2 * k + 1 < late for k in flow.writers.get(b, ())):
            return None
        if w.buffer.origin is MADE:
            if b not in flow.visible and max(reads[b]) < late:
                return None
            before = _gone(b, late, reads, again)
            if before is not None:
                found = _there(flow, again[b][0], late, reads, again)
                if found is None:
                    return None
                earlier += [(b, before), *found]
        elif w.buffer.origin not in (OLDER, ARGUMENT):
            return None
    return earlier


def _gone(b, late, reads, again):
    """The time at which a buffer is made again, if it isn't there at time `late`."""
    for before in again[b][1] if b in again else ():
        if max(u for u in reads[b] if u < before) < late < before:
            return before
    return None


def _rewritten(steps, again, number):
    at, names, found = {}, {}, []
    for b, (i, times) in again.items():
        for late in times:
            at.setdefault(late // 2, []).append((i, b))
    for k, step in enumerate(steps):
        for i, b in sorted(at.get(k, ())):
            old = steps[i]
            news = [out and like(out, number()) for out in old.outs]
            found.append(_renamed(_repeated(old, news), names))
            names[b] = news[0].buffer
        found.append(_renamed(step, names))
    return found


def _renamed(step, names):
    return with_windows(step, lambda w: w if id(w.buffer) not in names else Window(
        names[id(w.buffer)], w.dtype, w.shape, w.strides, w.offset, w.bits))


def _repeated(step, outs):
    """The step again with other results; a normalization's statistics are there."""
    if not step.label.startswith("batch_norm"):
        applied = _applied(step, outs[0]) if step.label == "native_layer_norm" else None
        return applied or Step(step.kind, step.label + ", again", step.call, step.args, outs, step.detail)
    x, w, b, r, words = step.args
    if not is_dense(x):
        return _normalized(step, outs[0])
    from ...compiler.templates import batchnorm_relu as kernels
    dtype = "float64" if x.dtype.itemsize == 8 else "float32"
    words = kernels.apply_words(x.shape[0], x.shape[1], math.prod(x.shape[2:]), x.dtype.itemsize)
    call = kernels.apply(dtype, r is not None)
    return Step("into", step.label + ", again", call, [x, w, b, r, *step.outs[1:], words], outs[:1], (0, 3),
                (_repeated, [step, outs]))


def _normalized(step, out):
    """A training normalization of channels-last images by its statistics, with the kernel's own roundings."""
    from ...compiler import pointwise_kernel
    from ...compiler import scalar as s
    from ...compiler.templates.columnnorm_relu import limits_of
    x, w, b, r, words = step.args
    operands = [v and behind(v) for v in (x, r)] + [*step.outs[1:], w, b]
    at = {k: s.input(i) for i, k in enumerate([k for k, v in enumerate(operands) if v is not None])}
    scale = at[3] * at[4] if w is not None else at[3]
    y = s.fma(at[0] - at[2], scale, at[5] if b is not None else s.constant(0.0))
    if r is not None:
        y = y + at[1]
    low, high = limits_of(words)
    y = s.where(y < low, low, y)
    if step.label.endswith("hardtanh"):
        y = s.where(y > high, high, y)
    given, name = [v for v in operands if v is not None], from_np(x.dtype).name
    kernel = pointwise_kernel((y,), [name] * len(given), [], [name], name).call
    return Step("pointwise", step.label + ", again", kernel, given, [behind(out)])


def _applied(step, out):
    """Normalization of rows by their statistics, with the kernel's own roundings; None for 16-bit floats."""
    from ...compiler import pointwise_kernel
    from ...compiler import scalar as s
    x, _, w, b, _ = step.args
    _, mean, rstd = step.outs
    given = [v for v in (x, mean, rstd, w, b) if v is not None]
    if any(v.dtype != x.dtype for v in given) or x.dtype.itemsize < 4:
        return None
    at = {id(v): s.input(i) for i, v in enumerate(given)}
    y = (at[id(x)] - at[id(mean)]) * at[id(rstd)]
    if w is not None:
        y = s.fma(y, at[id(w)], at[id(b)]) if b is not None else y * at[id(w)]
    elif b is not None:
        y = y + at[id(b)]
    name = from_np(x.dtype).name
    kernel = pointwise_kernel((y,), [name] * len(given), [], [name], name).call
    return Step("pointwise", step.label + ", again", kernel, given, [out])
