"""Convolution with NumPy: for dtypes and shapes without a generated kernel, and without a compiler.

Window columns (im2col) of some images at a time, multiplied by the weights; the adjoint adds columns up (col2im).
"""

import numpy as np

from ...runtime.allocator import empty
from ..copy import copy_array
from ..products import batched
from .windows import crop, out_size, pad, windows

_CHUNK = 4 << 20        # elements of window columns made at a time


def _columns(x, kernel, stride, padding, dilation, out, groups):
    """Window columns of x (n, c, *s): (groups, c/groups k, n l)."""
    n, c = x.shape[:2]
    w = windows(pad(x, padding, padding), kernel, stride, dilation, out)
    st = w.strides
    w = np.lib.stride_tricks.as_strided(w, (n, groups, c // groups) + w.shape[2:],
                                        (st[0], st[1] * (c // groups), st[1]) + st[2:])
    w = np.moveaxis(w, 0, 2 + len(kernel))          # groups, c/groups, *kernel, n, *out
    cols = empty(w.shape, x.dtype)
    copy_array(cols, w)
    return cols.reshape(groups, c // groups * int(np.prod(kernel)), n * int(np.prod(out)))


def _parts(n, columns):
    step = max(1, min(n, _CHUNK // max(columns, 1)))
    return [(lo, min(lo + step, n)) for lo in range(0, n, step)]


def _rows(y, groups):
    """y (n, o, *s) as (groups, o/groups, n l)."""
    n, o = y.shape[:2]
    return np.ascontiguousarray(y.reshape(n, groups, o // groups, -1).transpose(1, 2, 0, 3)).reshape(
        groups, o // groups, -1)


def forward(x, w, bias, stride, padding, dilation, groups):
    """y[n, o, p] = sum w[o, c, k] x[n, c, p stride - padding + k dilation] (+ bias[o])."""
    kernel, n, o = w.shape[2:], x.shape[0], w.shape[0]
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    y = empty((n, o) + out, x.dtype)
    w = np.ascontiguousarray(w).reshape(groups, o // groups, -1)
    for lo, hi in _parts(n, x.shape[1] * int(np.prod(kernel)) * int(np.prod(out))):
        product = empty((groups, o // groups, (hi - lo) * int(np.prod(out))), x.dtype)
        if w.shape[2] and product.size:
            batched(w, _columns(x[lo:hi], kernel, stride, padding, dilation, out, groups), product)
        else:
            product[...] = 0
        y[lo:hi] = product.reshape((o, hi - lo) + out).swapaxes(0, 1)
    if bias is not None:
        y += bias.reshape((-1,) + (1,) * len(out))
    return y


def adjoint_input(y, w, bias, size, stride, padding, dilation, groups):
    """The adjoint of `forward` in x, of spatial shape `size` (+ bias[c])."""
    kernel, out = w.shape[2:], y.shape[2:]
    n, o = y.shape[:2]
    c = w.shape[1] * groups
    full = tuple(max(s + 2 * p, (q - 1) * t + d * (k - 1) + 1)
                 for s, p, q, t, d, k in zip(size, padding, out, stride, dilation, kernel))
    x = empty((n, c) + full, y.dtype)
    x[...] = 0
    if y.size and w.size:
        turned = np.ascontiguousarray(w.reshape(groups, o // groups, -1).transpose(0, 2, 1))
        for lo, hi in _parts(n, c * int(np.prod(kernel)) * int(np.prod(out))):
            rows = _rows(y[lo:hi], groups)
            cols = empty((groups, turned.shape[1], rows.shape[2]), y.dtype)
            batched(turned, rows, cols)
            cols = np.moveaxis(cols.reshape((c,) + tuple(kernel) + (hi - lo,) + tuple(out)), 1 + len(kernel), 0)
            target = windows(x[lo:hi], kernel, stride, dilation, out)
            for pos in np.ndindex(*kernel):
                target[(slice(None), slice(None)) + pos] += cols[(slice(None), slice(None)) + pos]
    x = np.ascontiguousarray(crop(x, padding, size)) if x.shape[2:] != tuple(size) else x
    if bias is not None:
        x += bias.reshape((-1,) + (1,) * len(size))
    return x


def adjoint_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `forward` in w, of spatial shape `kernel`."""
    out, (n, o), c = y.shape[2:], y.shape[:2], x.shape[1]
    dw = empty((groups, o // groups, c // groups * int(np.prod(kernel))), x.dtype)
    dw[...] = 0
    if y.size and dw.size:
        for lo, hi in _parts(n, c * int(np.prod(kernel)) * int(np.prod(out))):
            cols = _columns(x[lo:hi], kernel, stride, padding, dilation, out, groups)
            part = empty(dw.shape, dw.dtype)
            batched(_rows(y[lo:hi], groups), cols.transpose(0, 2, 1), part)
            dw += part
    return dw.reshape((o, c // groups) + tuple(kernel))
