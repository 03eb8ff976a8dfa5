"""Convolutions of channels-last images as calls that write into memory that is there.

Windows of one pixel are products of matrices, and `epilogues` lets them finish what follows. Others run by the plans of
``ops.nn.pixel_plans``. Weights of channels by themselves, which their kernels read in another order, are laid out once
for as long as they stay.
"""

import math

import numpy as np

from ...tensor.storage import Storage
from ..tape import CONSTANT, OLDER, Step, Window
from .flow import is_dense, is_last

_MAPS = {"convolution": "forward", "conv_input": "adjoint", "convolution_transposed": "adjoint"}
_FLOAT = np.dtype(np.float32)


def placed(step):
    """The step as such a call; None where there is none."""
    if step.kind != "kernel" or any(0 in w.shape for w in step.windows()):
        return None
    if step.label == "conv_weight":
        return _weight(step)
    return _convolution(step) if step.label.removesuffix("+limits") in _MAPS else None


def _rows(w):
    """The matrix of a channels-last image's pixels."""
    return Window(w.buffer, w.dtype, (math.prod(w.shape) // w.shape[1], w.shape[1]), (w.shape[1], 1), w.offset, 0)


def _points(kernel, stride, padding, groups):
    from ...ops.nn import conv_points
    return conv_points.serves(kernel, stride, padding, groups)


def _product(dtype):
    from ...ops.products import kernel_for
    return kernel_for(dtype) if dtype.kind == "f" and dtype.itemsize >= 4 else None


def _weight(step):
    x, g, kernel, stride, padding, _, groups = step.args
    dw, call = step.outs[0], _product(x.dtype)
    if not (is_last(x) and is_last(g)) or g.dtype != x.dtype or dw.dtype != x.dtype:
        return None
    if call is not None and _points(kernel, stride, padding, groups) and is_dense(dw):
        o, c = dw.shape[:2]
        rows = _rows(g)
        turned = Window(rows.buffer, rows.dtype, rows.shape[::-1], rows.strides[::-1], rows.offset, 0)
        return Step("into", step.label, call, [turned, _rows(x)], [Window(dw.buffer, dw.dtype, (o, c), (c, 1),
                                                                          dw.offset, 0)])
    return None


def _convolution(step):
    x, w = step.args[:2]
    y, map_ = step.outs[0], _MAPS[step.label.removesuffix("+limits")]
    bias, rest = (None, step.args[2:]) if step.label == "conv_input" else (step.args[2], step.args[3:])
    stride, padding, dilation, groups = map(_tuple, rest[-4:])
    if any(v is not None and (v.dtype != x.dtype or v.bits) for v in (y, w, bias)) or not is_last(y) or \
            is_dense(y) or not is_dense(w) or bias is not None and not is_dense(bias):
        return None
    kernel, call = w.shape[2:], _product(x.dtype)
    limits = step.call.limits if type(step.call) is Limited else None
    if limits is None and call is not None and is_last(x) and _points(kernel, stride, padding, groups) and (
            map_ == "forward" or y.shape[2:] == x.shape[2:]):
        o, c = w.shape[:2]
        matrix = Window(w.buffer, w.dtype, (c, o), (1, c), w.offset, 0) if map_ == "forward" else \
            Window(w.buffer, w.dtype, (o, c), (c, 1), w.offset, 0)
        return Step("into", step.label, call, [_rows(x), matrix] + [bias] * (bias is not None), [_rows(y)])
    from ...ops.nn import conv_pixels, conv_plans, pixel_plans
    name = conv_pixels._name(x.dtype)
    if not name or not (is_last(x) or is_dense(x)):
        return None
    shapes = getattr(conv_plans, f"{map_}_shapes")
    image, grid = (x, y) if map_ == "forward" else (y, x)
    geometry = (x.shape[0], groups, w.shape[0] // groups, w.shape[1], kernel, image.shape[2:], grid.shape[2:], stride,
                padding, dilation)
    if w.shape[1] == 1 and w.shape[0] == groups > 1:
        if not is_last(x) or is_dense(x):
            return None
        ways = pixel_plans.depthwise(shapes, name, *geometry)
        return Step("into", step.label, Channels(ways, kept(w), limits), [x, w, bias], [y],
                    source=(_convolution, [step]))
    if w.shape[1] == 1 and groups > 1 or kernel == image.shape[2:] and max(grid.shape[2:]) == 1:
        return None
    ways = pixel_plans.ways(shapes, is_last(x), True, name, *geometry)
    if ways is None:
        return None
    return Step("into", step.label, Pixels(ways, map_ == "adjoint", groups, limits), [x, w, bias], [y],
                source=(_convolution, [step]))


def _tuple(v):
    return tuple(v) if isinstance(v, (list, tuple)) else v


def kept(w):
    """What tells by its ``version`` whether weights have changed, if they are to be laid out once; else None."""
    if w.buffer.origin is CONSTANT and w.buffer.storage is not None:
        return w.buffer.storage                     # of `folding`
    if w.buffer.written or w.buffer.origin is not OLDER:
        return None
    return w.buffer.tensor._storage


class Limited:
    """A convolution of float32 whose results are kept in limits; NaN stays."""

    __slots__ = ("call", "limits")

    def __init__(self, call, low, high):
        self.call, self.limits = call, (low, high)

    def __call__(self, *args):
        y = self.call(*args)
        low, high = map(_FLOAT.type, self.limits)
        return np.minimum(np.maximum(y, low, out=y), high, out=y)


def serves(step):
    """Whether a convolution keeps its results in limits as it makes them: one of float32, not by single pixels."""
    stride, padding, _, groups = step.args[-4:]
    return step.outs[0].dtype == _FLOAT and not _points(step.args[1].shape[2:], stride, padding, groups) and \
        is_last(step.outs[0]) and type(placed(step).call) in (Channels, Pixels) if placed(step) is not None else False


def limited(step, out, low, high):
    """The step of a convolution with its results in limits, in `out`."""
    return Step(step.kind, f"{step.label}+limits", Limited(step.call, low, high), step.args, [out], step.detail,
                (limited, [step, out, low, high]))


class Channels:
    """``(y, x, w, bias)`` of channels by themselves, with results between `limits`."""

    __slots__ = ("ways", "_source", "_version", "_weights", "_limits")

    def __init__(self, ways, source, limits=None):
        self.ways, self._source, self._version, self._weights = ways, source, None, None
        self._limits = limits or ()

    def __call__(self, y, x, w, bias):
        weights = self._weights
        source = self._source
        if weights is None or source is None or source.version != self._version or type(source) is not Storage and \
                isinstance(source, Storage):
            from ...ops.nn.conv_pixels import channel_weights
            weights = channel_weights(self.ways.plans, w, bias, *self._limits)
            self._weights, self._version = (weights, source.version) if source is not None else (None, None)
        if self.ways.gaps:
            y[...] = 0 if bias is None else bias.reshape((-1,) + (1,) * (y.ndim - 2))
        own, offset = weights
        for plan, matrix in zip(self.ways.plans, own, strict=True):
            plan.call(y, x, matrix, offset, plan.words)


class Pixels:
    """``(y, x, w, bias)`` by products of pixels with weights, with results between `limits`."""

    __slots__ = ("ways", "_turned", "_groups", "_finish")

    def __init__(self, ways, turned, groups, limits=None):
        self.ways, self._turned, self._groups = ways, turned, groups
        self._finish = None if limits is None else _limiting(*limits)

    def __call__(self, y, x, w, bias):
        from ...ops.nn.conv_finish import End
        from ...ops.nn.conv_pixels import pixel_weights, run_into
        w = pixel_weights(w, self._turned, self._groups)
        run_into(self.ways, y, x, w, bias, None if self._finish is None else End(y, self._finish, ()))


def _limiting(low, high):
    """The finishing function of limits."""
    from ...compiler import scalar as s
    from ...compiler.templates.gemm_finish import finishing
    e = s.input(0)
    e = s.where(e < low, low, e)
    return finishing(e if high == np.inf else s.where(e > high, high, e), ["float32"], "float32")
