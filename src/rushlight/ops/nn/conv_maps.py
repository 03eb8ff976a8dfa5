"""The three bilinear maps of convolution on arrays, by generated code.

    forward(x, w, bias, ...)      adjoint_input(y, w, bias, ...)      adjoint_weight(x, y, ...)

Arrays are float32 or float64, contiguous or not. Each returns None where there is no kernel: without a compiler, for
other dtypes, and for shapes whose tables would be too large; `conv_fallback` serves those. With an ``end``
(`conv_finish.End`) the result is finished and stored where that says: by the kernel, or after it.
"""

import numpy as np

from ...runtime.allocator import empty
from ..copy import copy_array
from ..products import batched, kernel_for
from . import conv_plans, conv_points, depthwise_plans
from .windows import out_size

_NAMES = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
_PRODUCTS = 1 << 13             # elements of a gradient of 1 x 1 weights from which products of matrices make it
_usable = None


def _name(dtype):
    """The dtype's name if there are kernels for it."""
    global _usable
    if _usable is None:
        from ...compiler import available
        _usable = available()
    return _NAMES.get(dtype) if _usable else None


def dense(a):
    """The array in C order."""
    if a.flags.c_contiguous:
        return a
    out = empty(a.shape, a.dtype)
    copy_array(out, a)
    return out


def _whole(kernel, size, out, padding, groups):
    """Whether one window is all of the image, so that a convolution is a product of matrices."""
    return kernel == size and groups == 1 and max(out) == 1 and not any(padding)


def _ended(y, end):
    return y if end is None else end.apply(y)


def forward(x, w, bias, stride, padding, dilation, groups, end=None):
    """y[n, o, p] = sum w[o, c, k] x[n, c, p stride - padding + k dilation] (+ bias[o])."""
    name = _name(x.dtype)
    n, o = x.shape[0], w.shape[0]
    kernel, size = w.shape[2:], x.shape[2:]
    out = tuple(map(out_size, size, kernel, stride, padding, dilation))
    if not name or not (n and o and w.size and x.size and min(out) > 0):
        return None
    if depthwise_plans.serves(w.shape[1], groups, kernel, name):
        plan = depthwise_plans.forward(name, n, groups, o // groups, kernel, size, out, tuple(stride), tuple(padding),
                                       tuple(dilation))
        y = empty((n, o) + out, x.dtype)
        plan.call(y, dense(x), dense(w), bias if bias is None else dense(bias), plan.words)
        return _ended(y, end)
    if _whole(kernel, size, out, padding, groups):
        y = empty((n, o), x.dtype)
        batched(dense(x).reshape(n, -1), dense(w).reshape(o, -1).T, y)
        if bias is not None:
            y += bias
        return _ended(y.reshape((n, o) + out), end)
    ways = conv_plans.forward(name, n, groups, o // groups, w.shape[1], kernel, size, out, tuple(stride),
                              tuple(padding), tuple(dilation))
    return _run(ways, (n, o) + out, dense(x), dense(w), bias if bias is None else dense(bias), end)


def _run(ways, shape, x, w, bias, end=None):
    """The result of the quick plans, unless they meet an infinity or NaN, or of the direct ones."""
    if end is not None and not (ways.finishes and end.planes):
        y = _run(ways, shape, x, w, bias)
        return y if y is None else end.apply(y)
    y = empty(shape, x.dtype) if end is None else end.out
    if ways.quick and not any(_call(y, x, w, bias, end, *entry) for entry in ways.quick):
        return y
    plans = ways.direct()
    if plans is None:
        return None
    if ways.gaps:
        y[...] = 0 if bias is None else bias.reshape((-1,) + (1,) * (len(shape) - 2))
    for entry in plans:
        _call(y, x, w, bias, end, *entry)
    return y


def _call(y, x, w, bias, end, first, count, plan):
    operands = (y, x, w, bias) if count == y.shape[0] else (y[first:first + count], x[first:first + count], w, bias)
    if end is None:
        return plan.call(*operands, plan.words)
    return plan.call(*operands, plan.words, end.words(first))


def adjoint_input(y, w, bias, size, stride, padding, dilation, groups, end=None):
    """The adjoint of `forward` in x, of spatial shape `size` (+ bias[c])."""
    name = _name(y.dtype)
    n, o = y.shape[:2]
    channels, size = w.shape[1], tuple(size)
    if not name or not (n and w.size and y.size and min(size) > 0):
        return None
    if depthwise_plans.serves(channels, groups, kernel := w.shape[2:], name):
        plan = depthwise_plans.adjoint(name, n, groups, o // groups, kernel, size, y.shape[2:], tuple(stride),
                                       tuple(padding), tuple(dilation))
        x = empty((n, groups) + size, y.dtype)
        plan.call(x, dense(y), dense(w), bias if bias is None else dense(bias), plan.words)
        return _ended(x, end)
    if _whole(w.shape[2:], size, y.shape[2:], padding, groups):
        x = empty((n, channels) + size, y.dtype)
        batched(dense(y).reshape(n, o), dense(w).reshape(o, -1), x.reshape(n, -1))
        if bias is not None:
            x += bias.reshape((-1,) + (1,) * len(size))
        return _ended(x, end)
    ways = conv_plans.adjoint(name, n, groups, o // groups, channels, w.shape[2:], size, y.shape[2:], tuple(stride),
                              tuple(padding), tuple(dilation))
    return _run(ways, (n, channels * groups) + size, dense(y), dense(w), bias if bias is None else dense(bias), end)


def adjoint_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `forward` in w, of spatial shape `kernel`."""
    name = _name(x.dtype)
    n, o = y.shape[:2]
    channels, kernel = x.shape[1] // groups, tuple(kernel)
    if not name or not (n and x.size and y.size and min(kernel) > 0):
        return None
    if depthwise_plans.serves(channels, groups, kernel, name):
        plan = depthwise_plans.weight(name, n, groups, o // groups, kernel, x.shape[2:], y.shape[2:], tuple(stride),
                                      tuple(padding), tuple(dilation))
        dw = empty((o, 1) + kernel, x.dtype)
        plan.call(dw, dense(x), dense(y), None, plan.words)
        return dw
    shape = (name, n, groups, o // groups, channels, kernel, x.shape[2:], y.shape[2:], tuple(stride), tuple(padding),
             tuple(dilation))
    dw, x, y = empty((o, channels) + kernel, x.dtype), dense(x), dense(y)
    if _whole(kernel, x.shape[2:], y.shape[2:], padding, groups):
        batched(y.reshape(n, o).T, x.reshape(n, -1), dw.reshape(o, -1))
        return dw
    if conv_points.serves(kernel, stride, padding, groups) and o * channels >= _PRODUCTS:
        # The images' products, one added to the other.
        call = kernel_for(x.dtype)
        for i, (a, b) in enumerate(zip(y.reshape(n, o, -1), x.reshape(n, channels, -1))):
            call(dw.reshape(o, channels), a, b.T, None, 1, i > 0)
        return dw
    for plan in (conv_plans.weight(*shape), None):
        plan = plan or conv_plans.direct_weight(*shape)
        if plan is None or not plan.call(dw, x, y, empty((plan.partial,), x.dtype), plan.words):
            return plan and dw
