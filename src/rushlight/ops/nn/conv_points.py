"""Convolution by 1 x 1 windows as products of matrices, where these are at hand without rearranging images.

Pixels whose channels are adjacent (channels-last images) are the rows of one matrix, whatever the dtype: 16-bit floats
are multiplied as they are. Images of 16-bit floats in the usual layout are a product each. Functions return None where
neither holds, and where `conv_pixels` is faster.
"""

import numpy as np

from ...runtime import cpu
from ...runtime.allocator import empty
from ..products import kernel_for


def serves(kernel, stride, padding, groups):
    return groups == 1 and set(kernel) == {1} and set(stride) == {1} and not any(padding)


def rows_of(a):
    """Channels-last images as (pixels, channels), or None."""
    last = np.moveaxis(a, 1, -1)
    return last.reshape(-1, a.shape[1]) if a.ndim > 2 and last.flags.c_contiguous and a.size else None


def _images(rows, n, size):
    return np.moveaxis(rows.reshape(n, *size, rows.shape[1]), -1, 1)


def _half(a):
    return a.dtype.itemsize == 2 and a.flags.c_contiguous and a.size


def _pairs(a, channels):
    """Whether `conv_pixels` multiplies such images, which is faster: it makes many channels of bfloat16."""
    return channels >= 16 and a.dtype.name == "bfloat16" and cpu.has("avx512bf16") and cpu.vector_bytes() == 64


def forward(x, w, bias, stride, padding, dilation, groups):
    """y[n, o, p] = sum_c w[o, c] x[n, c, p] (+ bias[o])."""
    if not serves(w.shape[2:], stride, padding, groups) or not w.size:
        return None
    return _product(x, w.reshape(w.shape[:2]), bias)


def adjoint_input(y, w, bias, size, stride, padding, dilation, groups):
    """The adjoint of `forward` in x (+ bias[c])."""
    if not serves(w.shape[2:], stride, padding, groups) or tuple(size) != y.shape[2:] or not w.size:
        return None
    return _product(y, w.reshape(w.shape[:2]).T, bias)


def _product(x, w, bias):
    """y[n, o, p] = sum_c w[o, c] x[n, c, p] (+ bias[o])."""
    call, rows = kernel_for(x.dtype), rows_of(x)
    n, size = x.shape[0], x.shape[2:]
    if call is None or _pairs(x, w.shape[0]):
        return None
    if rows is not None:
        y = empty((rows.shape[0], w.shape[0]), x.dtype)
        call(y, rows, w.T, None if bias is None else np.ascontiguousarray(bias), 1, False)
        return _images(y, n, size)
    if _half(x) and bias is None:
        y = empty((n, w.shape[0]) + size, x.dtype)
        call(y.reshape(n, w.shape[0], -1), w[None], x.reshape(n, x.shape[1], -1), None, 1, False)
        return y
    return None


def adjoint_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `forward` in w."""
    call, rows, out = kernel_for(x.dtype), rows_of(x), rows_of(y)
    if call is None or rows is None or out is None or not serves(kernel, stride, padding, groups):
        return None
    dw = empty((y.shape[1], x.shape[1]), x.dtype)
    call(dw, out.T, rows, None, 1, False)
    return dw.reshape(dw.shape + tuple(kernel))
