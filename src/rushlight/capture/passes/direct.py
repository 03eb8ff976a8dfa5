"""Kernels that can write their result into memory that is there call their native function themselves.

Records say how (``direct``) in terms of arrays; here the arrays are stand-ins without contents, whose places in memory
tell which windows the native function's operands are.
"""

import numpy as np

from ..tape import Step, Window

_U8 = np.dtype(np.uint8)


def direct(steps):
    """The steps with such kernels replaced."""
    return [_direct(s) or s for s in steps]


class _Standins:
    """Arrays in the place of windows, and back."""

    def __init__(self):
        self.known = []

    def array(self, x):
        """An array with the geometry of a window; other values as they are."""
        if not isinstance(x, Window):
            return x
        item = x.dtype.itemsize
        last = sum((s - 1) * t for s, t in zip(x.shape, x.strides)) if 0 not in x.shape else 0
        memory = np.empty(last * item + item, _U8)
        a = np.ndarray(x.shape, x.dtype, memory, 0, tuple([t * item for t in x.strides]))
        self.known.append((memory.ctypes.data, memory.nbytes, x, memory))
        return a

    def window(self, a):
        """The window that an array is; None for memory of its own."""
        if not isinstance(a, np.ndarray):
            return a
        at = a.ctypes.data
        for begin, nbytes, x, _ in self.known:
            if begin <= at < begin + nbytes:
                item = a.dtype.itemsize
                if a.dtype != x.dtype or (at - begin) % item:
                    return None
                strides = tuple([t // item for t in a.strides])
                return Window(x.buffer, a.dtype, a.shape, strides, x.offset + (at - begin) // item, 0)
        return None


def _direct(step):
    if step.kind != "kernel" or step.detail[0] or step.detail[1] is None:
        return None
    windows = [w for w in (*step.outs, *step.args) if isinstance(w, Window)]
    if any(w.bits or 0 in w.shape for w in windows) or any(type(x) is list for x in step.args):
        return None
    there = _Standins()
    found = step.detail[1](*[there.array(x) for x in (*step.outs, *step.args)])
    if found is None:
        return None
    call, operands = found
    operands = [there.window(a) if isinstance(a, np.ndarray) else a for a in operands]
    if any(w is None and isinstance(a, np.ndarray) for w, a in zip(operands, found[1])):
        return None
    # (Others than windows are words about sizes.)
    source = None if all(x is None or isinstance(x, Window) for x in operands) else (_direct, [step])
    return Step("into", step.label, call, operands[1:], operands[:1], source=source)
