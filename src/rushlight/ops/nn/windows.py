"""Sliding windows over spatial dimensions: padding, strided window views, and their adjoint.

Shapes: n batch, c channels, then 1 to 3 spatial dimensions. A window view shares the padded input's
memory; copying it is im2col, adding into it is col2im.
"""

import numpy as np

from ...runtime.allocator import empty
from ..copy import copy_array

_ndarray = np.ndarray


def tuple_of(x, n, what, op):
    """An int or a sequence as an n-tuple of ints; a single element repeats."""
    if isinstance(x, (tuple, list)):
        t = tuple(int(v) for v in x)
        if len(t) == 1:
            return t * n
        if len(t) != n:
            raise RuntimeError(f"{op}: expected {what} to be a single integer value or a list of {n} "
                               f"values to match the spatial dimensions, but got {what}={list(x)}")
        return t
    return (int(x),) * n


def out_size(n, k, s, p, d, ceil_mode=False):
    """Number of windows along a dimension of size `n`; with ceil_mode a last partial window counts."""
    span = n + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return span // s + 1
    out = -(-span // s) + 1
    if (out - 1) * s >= n + p:
        out -= 1
    return out


def pad(a, before, after, value=0):
    """The array with `value` around its last ``len(before)`` dimensions (a itself if none)."""
    if not any(before) and not any(after):
        return a
    n = len(before)
    lead = a.ndim - n
    shape = a.shape[:lead] + tuple(s + b + e for s, b, e in zip(a.shape[lead:], before, after))
    out = empty(shape, a.dtype)
    out[...] = value
    inner = (slice(None),) * lead + tuple(slice(max(b, 0), b + s) for b, s in
                                          zip(before, a.shape[lead:]))
    copy_array(out[inner], a)
    return out


def windows(a, kernel, stride, dilation, out):
    """View (n, c, *kernel, *out) of the padded array `a` (n, c, *spatial)."""
    k = len(kernel)
    st = a.strides
    lead = a.ndim - k
    shape = a.shape[:lead] + tuple(kernel) + tuple(out)
    strides = st[:lead] + tuple(x * d for x, d in zip(st[lead:], dilation)) + \
        tuple(x * s for x, s in zip(st[lead:], stride))
    return np.lib.stride_tricks.as_strided(a, shape, strides) if not a.flags.c_contiguous else \
        _view(a, shape, strides)


def _view(a, shape, strides):
    if a.dtype.kind == "V" or a.dtype.type.__module__ == "ml_dtypes" or not a.size:
        return np.lib.stride_tricks.as_strided(a, shape, strides)
    return _ndarray(shape, a.dtype, a, 0, strides)


def position_views(a, kernel, stride, dilation, out):
    """For each kernel position the strided view (n, c, *out) of the padded array."""
    lead = a.ndim - len(kernel)
    views = []
    for pos in np.ndindex(*kernel):
        index = (slice(None),) * lead + tuple(
            slice(p * d, p * d + (o - 1) * s + 1, s)
            for p, d, o, s in zip(pos, dilation, out, stride))
        views.append(a[index])
    return views


def crop(a, before, size):
    """The last dimensions of `a` from `before`, `size` long."""
    lead = a.ndim - len(size)
    return a[(slice(None),) * lead + tuple(slice(b, b + s) for b, s in zip(before, size))]
