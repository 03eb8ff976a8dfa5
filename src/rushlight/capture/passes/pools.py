"""Maximum pooling whose positions only its own gradient reads keeps a byte for each window.

    y, index = max_pool2d(x); max_poolscatter(g, index)     y, code = ...; the same by ``code``

``code`` is the number of the window's element, where ``index``, the position in the plane, takes eight bytes. Gradients
of windows that don't overlap are put in their places a vector at a time. Results are the same bits.
"""

import math

import numpy as np

from ..tape import MADE, Step, Window
from .flow import Flow, is_dense, own, replaced

_TYPES = {"float32": "float", "float64": "double"}


def pools(steps, visible, number):
    """The steps with such pairs by bytes; ``number()`` gives new buffers' numbers."""
    if not any(s.label == "max_poolscatter" for s in steps):
        return steps
    flow, at = Flow(steps, visible), {}
    for i, step in enumerate(steps):
        if step.label == "_max_pool2d" and step.kind == "kernel":
            gradients = _gradients(flow, i, step)
            if gradients:
                at.update(_by_codes(steps, i, gradients, number))
    return replaced(steps, at, set())


def _gradients(flow, i, step):
    """The indices of the steps that alone read the positions of pooling `i`; None where others do."""
    from ...compiler.templates.maxima import CODES
    x, kernel, stride = step.args[:3]
    y, index = step.outs
    if len(kernel) != 2 or math.prod(kernel) > CODES or stride[-1] > 2 or x.dtype.name not in _TYPES or \
            0 in y.shape or not all(map(is_dense, (x, y, index))) or id(index.buffer) in flow.visible or \
            flow.maker(index) != i:
        return None
    found = flow.read(index)
    for k in found:
        s = flow.steps[k]
        if s.label != "max_poolscatter" or s.kind != "kernel" or s.args[1].key() != index.key() or \
                not is_dense(s.args[0]) or not is_dense(s.outs[0]) or s.args[0].dtype != x.dtype or \
                s.args[0].shape != y.shape or s.outs[0].shape != x.shape or s.outs[0].buffer.origin is not MADE:
            return None
    return found


def _by_codes(steps, i, gradients, number):
    """{index: [its step by codes]} of pooling `i` and its gradients."""
    index = steps[i].outs[1]
    code = Window(own(number()), np.dtype(np.uint8), index.shape, index.strides, 0, 0)
    return {i: [_coded(steps[i], code)], **{k: [_scattered(steps[k], steps[i], code)] for k in gradients}}


def _words(step):
    from ...ops.nn.pooling import _planes
    x, *geometry = step.args
    return _planes(x.shape[:-2], x.shape[-2:], *geometry)


def _coded(step, code):
    """The pooling that writes `code`."""
    from ...compiler.templates.maxima import kernel
    x, y = step.args[0], step.outs[0]
    forward = kernel("codes" if y.shape[-1] > 4 else "codes narrow", _TYPES[x.dtype.name])
    return Step("into", step.label, forward, [x, _words(step)], [y, code], source=(_coded, [step, code]))


def _scattered(step, pooling, code):
    """The gradient of a pooling by `code`."""
    from ...compiler.templates.maxima import kernel
    g = step.args[0]
    return Step("into", step.label, kernel("scatter codes", _TYPES[g.dtype.name]), [g, code, _words(pooling)],
                step.outs, source=(_scattered, [step, pooling, code]))
