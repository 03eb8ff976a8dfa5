"""Convolutions of channels-last images, of bfloat16, and with steps, by ``compiler.templates.conv_pixels``.

The functions of `conv_maps` for float32 and, on CPUs that add products of pairs, bfloat16, whatever the layout of the
images: nothing is widened or laid out anew. They return None for what the other ways serve as well or better.
"""

import numpy as np

from ...runtime import cpu
from ...runtime.allocator import empty
from ...tensor.geometry import suggest_channels_last
from ..copy import converted, copy_array
from . import conv_plans, pixel_plans
from .conv_maps import dense
from .windows import out_size

_FLOAT = np.dtype(np.float32)
_usable = None


def _name(dtype):
    """The dtype's name if there are kernels for it."""
    global _usable
    if _usable is None:
        from ...compiler import available
        _usable = {}
        if available():
            _usable[_FLOAT] = "float32"
            if cpu.has("avx512bf16") and cpu.vector_bytes() == 64:
                from ...dtypes import bfloat16
                _usable[bfloat16.np] = "bfloat16"
    return _usable.get(dtype)


def _is_last(a):
    return a.ndim in (4, 5) and not a.flags.c_contiguous and np.moveaxis(a, 1, -1).flags.c_contiguous and \
        suggest_channels_last(a.shape, [s // a.itemsize for s in a.strides])


def forward(x, w, bias, stride, padding, dilation, groups, end=None):
    """y[n, o, p] = sum w[o, c, k] x[n, c, p stride - padding + k dilation] (+ bias[o])."""
    kernel, size, n, o = w.shape[2:], x.shape[2:], x.shape[0], w.shape[0]
    out = tuple(map(out_size, size, kernel, stride, padding, dilation))
    if _by_themselves(x, w, groups, end) and min(out) > 0:
        return _depthwise(conv_plans.forward_shapes, x, w, bias, out, (
            n, groups, 1, 1, kernel, size, out, tuple(stride), tuple(padding), tuple(dilation)), end)
    if not _usual(x, w, bias, groups, kernel, size, out, padding) or min(out) <= 0:
        return None
    return _run(conv_plans.forward_shapes, x, w, bias, (n, o) + out, w,
                (n, groups, o // groups, w.shape[1], kernel, size, out, tuple(stride), tuple(padding), tuple(dilation)),
                end)


def adjoint_input(y, w, bias, size, stride, padding, dilation, groups, end=None):
    """The adjoint of `forward` in x, of spatial shape `size` (+ bias[c])."""
    kernel, size, out, n, o = w.shape[2:], tuple(size), y.shape[2:], y.shape[0], w.shape[0]
    if _by_themselves(y, w, groups, end) and min(size) > 0:
        return _depthwise(conv_plans.adjoint_shapes, y, w, bias, size, (
            n, groups, 1, 1, kernel, size, out, tuple(stride), tuple(padding), tuple(dilation)), end)
    if not _usual(y, w, bias, groups, kernel, size, out, padding) or min(size) <= 0:
        return None
    turned = w.reshape((groups, o // groups, *w.shape[1:])).swapaxes(1, 2).reshape((-1, o // groups) + kernel)
    return _run(conv_plans.adjoint_shapes, y, w, bias, (n, groups * w.shape[1]) + size, turned,
                (n, groups, o // groups, w.shape[1], kernel, size, out, tuple(stride), tuple(padding), tuple(dilation)),
                end)


def adjoint_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `forward` in w, of spatial shape `kernel`, of x and y of bfloat16; float32."""
    kernel, n, o, channels = tuple(kernel), y.shape[0], y.shape[1], x.shape[1] // groups
    if channels == 1 and o == groups > 1 and _name(x.dtype) and _is_last(x) and y.size and min(kernel) > 0:
        return _depthwise_weight(x, y, kernel, tuple(stride), tuple(padding), tuple(dilation))
    if _name(x.dtype) != "bfloat16" or not (n and x.size and y.size and min(kernel) > 0) or channels == 1 < groups:
        return None
    plan = conv_plans.direct_weight("bfloat16", n, groups, o // groups, channels, kernel, x.shape[2:], y.shape[2:],
                                    tuple(stride), tuple(padding), tuple(dilation))
    if plan is None:
        return None
    dw = empty((o, channels) + kernel, _FLOAT)
    plan.call(dw, dense(x), dense(y), empty((plan.partial,), _FLOAT), plan.words)
    return dw


def _by_themselves(x, w, groups, end):
    """Whether each channel makes one of the result, and they are adjacent; not where sums are finished, of pairs."""
    return (end is None or x.dtype == _FLOAT) and w.shape[1] == 1 and w.shape[0] == groups > 1 and \
        _name(x.dtype) and w.dtype == x.dtype and x.size and w.size and _is_last(x)


def channel_weights(plans, w, bias, low=-np.inf, high=np.inf):
    """([matrices for the plans], bias or None) of channels by themselves: float32 of (tap, channel), filled up to whole
    vectors; behind the taps the limits of the results."""
    channels, padded, taps = w.shape[0], -(-w.shape[0] // 64) * 64, w[0].size
    wide = np.zeros((taps + 3, padded), _FLOAT)
    wide[:taps, :channels] = converted(w, _FLOAT).reshape(channels, -1).T
    wide[taps], wide[taps + 1] = low, high
    if bias is not None:
        wide[-1, :channels] = converted(bias, _FLOAT)
    return [np.ascontiguousarray(wide[[*plan.kept[1], taps, taps + 1], :int(plan.words[4])]) for plan in plans], \
        None if bias is None else wide[-1]


def _depthwise(shapes_of, x, w, bias, size, geometry, end):
    """The map of channels by themselves, channels-last and in x's dtype."""
    ways = pixel_plans.depthwise(shapes_of, _name(x.dtype), *geometry)
    y = _empty((x.shape[0], x.shape[1]) + size, True, x.dtype)
    if ways.gaps:
        y[...] = 0 if bias is None else bias.reshape((-1,) + (1,) * len(size))
    own, offset = channel_weights(ways.plans, w, bias)
    for plan, matrix in zip(ways.plans, own, strict=True):
        plan.call(y, x, matrix, offset, plan.words)
    return y if end is None else end.apply(y)


def _depthwise_weight(x, y, kernel, stride, padding, dilation):
    """The gradient of the weights of channels by themselves: units' parts, added in order in float64."""
    from ...compiler.templates import depthwise_pixels

    channels, out = x.shape[1], y.shape[2:]
    plan, = pixel_plans.depthwise(conv_plans.forward_shapes, _name(x.dtype), x.shape[0], channels, 1, 1, kernel,
                                  x.shape[2:], out, stride, padding, dilation).plans
    if not _is_last(y):
        laid = _empty(y.shape, True, y.dtype)
        copy_array(laid, y)
        y = laid
    parts = empty((plan.partial, int(np.prod(kernel)), int(plan.words[4])), _FLOAT)
    depthwise_pixels.kernel("pairs" if x.dtype.itemsize == 2 else "float", True)(parts, x, y, None, plan.kept[3])
    total = parts.sum(0, dtype=np.float64)[:, :channels].T
    return np.ascontiguousarray(total, _FLOAT).reshape((channels, 1) + kernel)


def _usual(x, w, bias, groups, kernel, size, out, padding):
    """Whether it may be served, apart from speed: a window that is all of the image is a product of matrices."""
    return _name(x.dtype) and w.dtype == x.dtype and x.size and w.size and (w.shape[1] > 1 or groups == 1) and not (
        kernel == size and groups == 1 and max(out) == 1 and not any(padding))


def _run(shapes_of, x, w, bias, shape, turned, geometry, end):
    """The result; ``turned``: the weights as (groups rows, channels, *kernel) of the products."""
    name, last = _name(x.dtype), _is_last(x)
    y_last = not end.planes if end is not None else last or _is_last(w)
    ways = pixel_plans.ways(shapes_of, last, y_last, name, *geometry)
    if ways is None:
        return None
    if not last:
        x = dense(x)
    w = dense(turned) if name == "float32" else _pairs(turned)
    if ways.steps or ways.gaps or end is None and x.dtype == _FLOAT:
        y = _empty(shape, y_last)
        run_into(ways, y, x, w, bias)
        return y if end is None else end.apply(y)
    if end is None:
        y = _empty(shape, y_last, x.dtype)
        run_into(ways, y, x, w, bias)
        return y
    plan, = ways.plans
    bias = bias if bias is None else dense(converted(bias, _FLOAT))
    plan.call(end.out, x, w, bias, plan.words, end.pixels() if y_last else end.words())
    return end.out


def run_into(ways, y, x, w, bias, end=None):
    """y = the map of x (dense, as the plans were made for) by weights that `pixel_weights` gave; or ``end``, on y."""
    if bias is not None:
        bias = dense(converted(bias, _FLOAT))
    if y.dtype == _FLOAT and end is None:
        if ways.gaps:
            y[...] = 0 if bias is None else bias.reshape((-1,) + (1,) * (y.ndim - 2))
        for plan in ways.plans:
            plan.call(y, x, w, bias, plan.words)
        return
    if end is None:
        from .conv_finish import rounding
        end = rounding(y)
    if ways.steps or ways.gaps:
        sums = _empty(y.shape, not end.planes)
        run_into(ways, sums, x, w, bias)
        end.apply(sums)
        return
    plan, = ways.plans
    plan.call(y, x, w, bias, plan.words, end.words() if end.planes else end.pixels())


def pixel_weights(w, adjoint, groups):
    """Weights (o, c, *k) as the kernels read them, for a convolution or the adjoint in its input."""
    if adjoint:
        o, kernel = w.shape[0] // groups, w.shape[2:]
        w = w.reshape((groups, o, *w.shape[1:])).swapaxes(1, 2).reshape((-1, o) + kernel)
    return dense(w) if w.dtype == _FLOAT else _pairs(w)


def _empty(shape, last, dtype=_FLOAT):
    return np.moveaxis(empty((shape[0], *shape[2:], shape[1]), dtype), -1, 1) if last else empty(shape, dtype)


def _pairs(w):
    """Weights (rows, channels, *kernel) as (rows, *kernel, channels) with an even number of channels."""
    channels = w.shape[1]
    out = empty((w.shape[0], *w.shape[2:], channels + channels % 2), w.dtype)
    if channels % 2:
        out[..., -1] = 0
    copy_array(out[..., :channels], np.moveaxis(w, 1, -1))
    return out
