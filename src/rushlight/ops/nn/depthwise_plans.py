"""Plans of the generated convolutions of channels by themselves (see ``compiler.templates.depthwise``)."""

from functools import lru_cache

import numpy as np

from .plan_parts import Plan, address

_TYPES = {"float32": "float", "float64": "double"}
_BLOCK = 96 << 10           # bytes of padded rows at a time
_TAPS = 9                   # of a gradient, summed at a time


def serves(channels, groups, kernel, dtype):
    """Whether convolutions of so many channels a group are served: of one, with one or two dimensions."""
    return channels == 1 and groups > 1 and len(kernel) <= 2 and dtype in _TYPES


def _flat(*tuples):
    """Tuples of two: a convolution along one dimension has a row only."""
    return [t if len(t) == 2 else (neutral, *t) for t, neutral in zip(tuples, (1, 1, 1, 1, 0, 1))]


def _plan(call, dtype, images, channels, terms, share, source, out, up, pad, step, offsets, planes):
    """offsets: of each tap the (row, column) in the padded plane."""
    from ...compiler.templates.conv_tile import ITEM, lanes_of

    type_ = _TYPES[dtype]
    item, lanes = ITEM[type_], lanes_of(type_)
    reach = max(i for i, _ in offsets) + 1
    across = (-(-out[1] // lanes) + 1) * lanes + max(j for _, j in offsets) // step[1]
    across = -(-across // lanes) * lanes
    phase = across * item
    pitch = phase * step[1]
    taps = np.array([i * pitch + j % step[1] * phase + j // step[1] * item for i, j in offsets], np.int64)
    rows = max(4, min(out[0], (_BLOCK // pitch - reach) // step[0] // 4 * 4))
    chunk = max(1, min(-(-planes // 16), (1 << 15) // max(1, out[0] * out[1])))
    words = np.array([
        address(taps), len(taps), images, channels, terms, share, *source, *out, *up, *pad, *step, pitch, phase,
        reach, rows, -(-out[0] // rows), chunk,
    ], np.int64)
    return Plan(words, taps, call)


@lru_cache(256)
def forward(dtype, n, groups, multiplier, kernel, size, out, stride, padding, dilation):
    """The Plan of y (n, groups multiplier, *out) from x (n, groups, *size)."""
    from ...compiler.templates.depthwise import kernel as call

    size, kernel, out, stride, padding, dilation = _flat(size, kernel, out, stride, padding, dilation)
    offsets = [(i * dilation[0], j * dilation[1]) for i in range(kernel[0]) for j in range(kernel[1])]
    return _plan(call(_TYPES[dtype]), dtype, n, groups * multiplier, 1, multiplier, size, out, (1, 1), padding, stride,
                 offsets, n * groups * multiplier)


@lru_cache(256)
def adjoint(dtype, n, groups, multiplier, kernel, size, out, stride, padding, dilation):
    """The Plan of x (n, groups, *size) from y (n, groups multiplier, *out): y spread by the stride, taps mirrored."""
    from ...compiler.templates.depthwise import kernel as call

    size, kernel, out, stride, padding, dilation = _flat(size, kernel, out, stride, padding, dilation)
    span = [d * (k - 1) for d, k in zip(dilation, kernel)]
    offsets = [(span[0] - i * dilation[0], span[1] - j * dilation[1])
               for i in range(kernel[0]) for j in range(kernel[1])]
    around = tuple(s - p for s, p in zip(span, padding))
    return _plan(call(_TYPES[dtype]), dtype, n, groups, multiplier, 1, out, size, stride, around, (1, 1), offsets,
                 n * groups)


@lru_cache(256)
def weight(dtype, n, groups, multiplier, kernel, size, out, stride, padding, dilation):
    """The Plan of dw (groups multiplier, 1, *kernel) from x and y."""
    from ...compiler.templates.depthwise import gradient

    size, kernel, out, stride, padding, dilation = _flat(size, kernel, out, stride, padding, dilation)
    offsets = [(i * dilation[0], j * dilation[1]) for i in range(kernel[0]) for j in range(kernel[1])]
    call = gradient(_TYPES[dtype], min(_TAPS, len(offsets)))
    return _plan(call, dtype, n, groups * multiplier, 1, multiplier, size, out, (1, 1), padding, stride, offsets,
                 groups * multiplier)
