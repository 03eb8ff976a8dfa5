"""Gradients of query, key and value that are put side by side afterwards are written where they belong.

    q, k, v = projection(x).split(...), as heads        the gradient of the split is `cat` of three gradients

The kernel takes any strides, so its results are windows of the whole.
"""

import numpy as np

from ..tape import Step, Window
from .flow import Flow, is_dense, replaced

_LABEL = "_scaled_dot_product_flash_attention_for_cpu_backward"


def joined(steps, visible):
    """The steps with such pairs as one."""
    if not any(s.label == _LABEL for s in steps):
        return steps
    flow = Flow(steps, visible)
    at, drop = {}, set()
    for i, step in enumerate(steps):
        if step.kind != "kernel" or step.label != "cat" or type(step.args[0]) is not list or len(step.args[0]) != 3:
            continue
        makers = {flow.maker(w) for w in step.args[0]}
        k = makers.pop()
        if makers or k is None or steps[k].label != _LABEL or steps[k].kind != "kernel":
            continue
        places = _places(flow, steps[k], step, i)
        if places is not None:
            at[k] = [_step(places, steps[k].args, step.outs)]
            drop.add(i)
    return replaced(steps, at, drop)


def _places(flow, step, cat, i):
    """(first element, shape, strides in elements) of each gradient in the result of `cat`, step `i`; or None."""
    whole, dim = cat.outs[0], cat.args[1]
    if len(whole.shape) != 3 or dim != 2 or not is_dense(whole) or whole.offset or 0 in whole.shape:
        return None
    b, t, total = whole.shape
    first, begins = 0, {}
    for w in cat.args[0]:
        if not is_dense(w) or w.offset or not flow.only(w, i) or w.dtype != whole.dtype or w.shape[:2] != (b, t):
            return None
        begins[id(w.buffer)] = first
        first += w.shape[2]
    found = []
    for out in step.outs:
        if not isinstance(out, Window) or id(out.buffer) not in begins or out.bits or out.offset:
            return None
        n, heads, positions, size = out.shape
        c = heads * size
        if (n, positions) != (b, t) or out.strides != (t * c, size, c, 1):
            return None
        found.append((begins[id(out.buffer)], out.shape, (t * total, size, total, 1)))
    return found if len({p[0] for p in found}) == 3 else None


def _step(places, args, outs):
    return Step("into", f"{_LABEL}+cat", _call(places), list(args), outs, source=(_step, [places, args, outs]))


def _call(places):
    """``run(whole, *arguments of the backward kernel)``."""
    from ...ops.nn.scaled_dot_product import gradients_into

    def run(whole, *args):
        size, dtype = whole.itemsize, whole.dtype
        gradients_into([np.ndarray(shape, dtype, whole, first * size, tuple([s * size for s in strides]))
                        for first, shape, strides in places], *args)
    return run
