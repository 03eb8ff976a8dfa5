"""Small kernels that don't need each other, put side by side for several threads.

A kernel that is too small to be shared out leaves all threads but one idle; where the next ones don't need its results
they can run meanwhile, each whole. Steps are moved up to others that they are independent of, and ``(first, last)``
says which of the new order run together. What each computes, and so every bit of it, stays the same.

The model of time is that of a kernel on one thread of a core of 2 to 4 GHz: what it reads and writes at 20 GB/s,
products at 40 multiply-adds a nanosecond, and what a call and waking its neighbour cost.
"""

import math

from ...compiler.codegen.entry import RELEASE_GIL_FROM
from ...compiler.templates.gemm_entry import RELEASE_WORK
from ..tape import Window
from ..words import fast

CALL, SHARE = 0.3e-6, 0.8e-6            # seconds: of a call, of handing work to threads that are awake
BYTES, WORK = 20e9, 40e9                # a second
GAIN = 0.25                             # of the time of kernels, from which it is worth it
LEAST, MOST, AHEAD = 6e-7, 16, 100      # seconds of a kernel worth moving; kernels together; steps looked through
LARGE = 1 << 17                         # bytes of results that would be there for longer if their kernels ran earlier
_BARRIERS = {"thunk", "check", "keep"}


def seconds(step):
    """How long a step takes by itself; None where it may not run apart from Python.

    Kernels that let other Python threads run meanwhile (from some size on) or that read numbers other than floats,
    which may fail, may not: the threads of the pool are none of Python's.
    """
    if step.kind not in ("pointwise", "into", "write") or fast(step.call) is None or len(step.outs) + \
            len(step.args) > MOST or any(x is None for x in step.outs):
        return None
    name, found = step.call.__name__, [x for x in step.args if isinstance(x, Window)]
    numbers = [x for x in step.args if not isinstance(x, Window) and x is not None]
    if any(w.bits for w in (*step.outs, *found)) or any(type(x) is list for x in step.args):
        return None
    size = max((math.prod(w.shape) for w in (*step.outs, *found)), default=0)
    moved = sum(map(_bytes, (*step.outs, *found)))
    if name == "rl_pointwise":
        if any(type(x) is not float for x in numbers) or size >= RELEASE_GIL_FROM:
            return None
    elif name == "rl_reduce":
        if len(numbers) > 1 or size >= RELEASE_GIL_FROM:
            return None
    elif name.startswith("gemm_float"):
        work = math.prod(step.outs[0].shape) * found[0].shape[-1]
        if work >= RELEASE_WORK or any(type(x) is not bool and not (type(x) in (int, float) and x > 0)
                                       for x in numbers):
            return None
        return CALL + work / WORK
    else:
        return None
    return CALL + moved / BYTES


def _bytes(w):
    return math.prod(w.shape) * w.dtype.itemsize


class _Touched:
    """What steps read and write, by buffers."""

    def __init__(self, step):
        self.writes, self.reads = map(set, step.touches)

    def apart(self, other):
        """Whether these steps and others don't need each other."""
        return self.writes.isdisjoint(other.writes) and self.writes.isdisjoint(other.reads) and \
            self.reads.isdisjoint(other.writes)

    def add(self, other):
        self.reads |= other.reads
        self.writes |= other.writes


def busiest(times, threads):
    """The time of the thread with the most to do, where kernels run together."""
    bins = [0.0] * threads
    for t in sorted(times, reverse=True):
        bins[bins.index(min(bins))] += t
    return max(bins)


def _gain(times, threads):
    """The share of their time that running kernels together saves."""
    return 1 - (busiest(times, threads) + SHARE) / sum(times)


def schedule(steps, threads):
    """(the steps in their new order, [(first, last) of those that run together])."""
    if threads < 2:
        return steps, []
    times = [seconds(s) for s in steps]
    if sum(t is not None and t >= LEAST for t in times) < 2:
        return steps, []
    touched = [None] * len(steps)               # (asked for again and again)
    order, groups, left = [], [], list(range(len(steps)))
    while left:
        i = left.pop(0)
        group = [i]
        if times[i] is not None and times[i] >= LEAST:
            before = _Touched(steps[i])         # by the group and what the next one would pass by
            for j in left[:AHEAD]:
                if steps[j].kind in _BARRIERS or len(group) == MOST:
                    break
                now = touched[j] = touched[j] or _Touched(steps[j])
                if times[j] is not None and times[j] >= LEAST and now.apart(before) and \
                        max(map(_bytes, steps[j].outs)) < LARGE:
                    group.append(j)
                before.add(now)
            if len(group) > 1 and _gain([times[k] for k in group], threads) > GAIN:
                groups.append((len(order), len(order) + len(group) - 1))
                left = [k for k in left if k not in group]
            else:
                group = [i]
        order += group
    return [steps[i] for i in order], groups
