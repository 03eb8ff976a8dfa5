"""Batch normalization of channels-last images with what is next to it in a program: ``batchnorm_relu`` by columns.

    forward(y, mean, rstd, x, w, b, r, words)
        y = act((x - mean) rstd w + b + r), with the statistics of ``columnnorm.forward``, with or without a residual r
    backward(dx, dw, db, gr, whole, g, h, y, x, w, b, mean, rstd, words)
        of ``u = g + h`` where ``act`` was in its middle part, else 0: db, dw, dx as ``columnnorm.backward``,
        gr = u (the residual's gradient), whole = sum dx (the gradient of a bias that was added before)

``act`` is ``relu`` or ``clamp``, which is max(low, min(high, .)) of two words, or None. Arrays that a variant doesn't
take are null: r, h, gr, whole. Without a residual, backward computes again what ``act`` had, as forward did, and y is
null. x, y, r, g, h, gr, dx are (rows, n) of one dtype, all else of the compute type; w and b may be null.
"""

from functools import cache
from struct import pack, unpack

import numpy as np

from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.columnnorm import (
    COLUMNS,
    add_rows,
    by_bins,
    column,
    each_row,
    kept,
    layout,
    moments,
    past,
    slopes,
    totals,
    wide_of,
)
from rushlight.runtime.allocator import empty


class Call:
    """A kernel with memory for its sums: ``words`` are (bins, columns, the kernel's words)."""

    __slots__ = ("_kernel", "_at", "_dtype")

    def __init__(self, kernel, at, dtype):
        self._kernel, self._at, self._dtype = kernel, at, np.dtype(wide_of(dtype))

    def __call__(self, *arrays):
        *arrays, (bins, n, words) = arrays
        arrays.insert(self._at, empty((bins + 1, 2, n), self._dtype))
        self._kernel(*arrays, words)


def _limits(t, act):
    return (t.splat(t.as_compute(t.low)), t.splat(t.as_compute(t.high))) if act == "clamp" else \
        (t.f.value(0.0, t.vector), None)


def _acted(t, v, act):
    """act(v); NaN stays."""
    low, high = _limits(t, act)
    if act is None:
        return v
    v = t.f.select(v < low, low, v)
    return v if high is None else t.f.select(v > high, high, v)


def _masked(t, u, result, act):
    """The gradient u where a result of ``act``, or what it is of, is inside."""
    low, high = _limits(t, act)
    outside = result <= low
    if high is not None:
        outside = outside | (result >= high)
    return t.f.select(outside, t.f.value(0.0, t.vector), u)


@cache
def forward(dtype, residual, act="relu"):
    """The call ``(y, mean, rstd, x, w, b, r, words)``."""
    def normalize(t):
        t.type(dtype)

        def one(values, at, mask):
            mean, scale, shift = values
            v = t.f.fma(t.load(t.x + at, mask) - mean, scale, shift)
            if residual:
                v = v + t.load(t.r + at, mask)
            t.store(_acted(t, v, act), t.y + at, mask)
        by_bins(t, lambda tile, first, rows: each_row(t, first, rows, lambda i, mask: kept(t, i, mask), one, t.y))
    kernel = array_kernel(f"column norm, {act} {dtype} {residual}", ("y", "mean", "rstd", "part", "x", "w", "b", "r"),
                          ("rows", "n", "bin", "bins", "past", "eps", "low", "high"), (*moments(dtype), normalize))
    return Call(kernel, 3, dtype)


def forward_words(n, c, l, itemsize, eps, low=0.0, high=0.0):
    """(bins, channels, words) of the normalization of n images of l pixels and c channels."""
    rows = n * l
    bin, bins = layout(rows, c)
    return bins, c, pack("9q3d", bins, -(-c // COLUMNS), bins, 2 * rows * c, rows, c, bin, bins,
                         past(rows, c, itemsize), eps, low, high)


def limits_of(words):
    """(low, high) of words."""
    return unpack("2d", words[2][-16:])


@cache
def backward(dtype, mask_of, two, keeps, total, act="relu"):
    """The call ``(dx, dw, db, gr, whole, g, h, y, x, w, b, mean, rstd, words)``.

    mask_of: ``y`` (a residual was added), ``x``, or None (no ``act``); two, keeps, total: for h, gr, whole.
    """
    wide = wide_of(dtype)

    def gradient(t, off, at, mask, scale, shift):
        """u of a place whose x, less the mean, is `off`."""
        u = t.load(t.g + at, mask)
        if two:
            u = u + t.load(t.h + at, mask)
        if mask_of is None:
            return u
        return _masked(t, u, t.load(t.y + at, mask) if mask_of == "y" else t.f.fma(off, scale, shift), act)

    def parameters(t, i, mask):
        """(mean, scale and shift, where they are needed)"""
        mean, rstd = (t.load(a + i * t.compute_size, mask, wide) for a in (t.mean, t.rstd))
        if mask_of != "x":
            return mean, None, None
        return mean, rstd * column(t, t.w, i, mask, 1.0), column(t, t.b, i, mask, 0.0)

    def sums(t):
        t.type(dtype)

        def terms(values, at, mask):
            mean, scale, shift = values
            off = t.load(t.x + at, mask) - mean
            u = gradient(t, off, at, mask, scale, shift)
            if keeps:
                t.store(u, t.gr + at, mask)
            return [u * off, u]
        by_bins(t, lambda tile, first, rows: add_rows(
            t, first, rows, [t.part + (tile * 2 + k) * t.n * t.compute_size for k in (0, 1)],
            lambda i, mask: parameters(t, i, mask), terms))

    def results(t):
        t.type(dtype)

        def values(i, mask):
            shift = column(t, t.b, i, mask, 0.0) if mask_of == "x" and not keeps else None
            return *slopes(t, i, mask), shift

        def one(values, at, mask):
            mean, slope, level, scale, shift = values
            off = t.load(t.x + at, mask) - mean
            u = t.load(t.gr + at, mask) if keeps else gradient(t, off, at, mask, scale, shift)
            v = t.f.fma(off, slope, t.f.fma(u, scale, level))
            t.store(v, t.dx + at, mask)
            return [v]

        def body(tile, first, rows):
            if total:
                add_rows(t, first, rows, [t.part + tile * 2 * t.n * t.compute_size], values, one)
            else:
                each_row(t, first, rows, values, one, t.dx)
        by_bins(t, body)

    def whole(t):
        t.type(dtype)
        f = t.f
        with t.tiles() as tile:
            begin = tile * COLUMNS

            def body(j, mask):
                i, v = begin + j, f.var(t.wide, 0.0)
                with f.range(t.bins) as b:
                    here = t.part + (b * 2 * t.n + i) * t.compute_size
                    v.set(v.get() + t.as_double(t.load(here, mask, wide)))
                t.store(v.get(), t.whole + i * t.compute_size, mask, wide)
            t.each(f.minimum(f.value(COLUMNS), t.n - begin), body, 1)
    kernel = array_kernel(
        f"column norm, {act} gradient {dtype} {mask_of} {two} {keeps} {total}",
        ("dx", "dw", "db", "gr", "whole", "part", "g", "h", "y", "x", "w", "b", "mean", "rstd"),
        ("rows", "n", "bin", "bins", "past", "training", "low", "high"),
        (sums, totals(dtype), results, whole) if total else (sums, totals(dtype), results))
    return Call(kernel, 5, dtype)


def backward_words(n, c, l, itemsize, total=False, low=0.0, high=0.0):
    """(bins, channels, words) of its gradients; `total` where a gradient is added up as well."""
    rows = n * l
    bin, bins = layout(rows, c)
    columns = -(-c // COLUMNS)
    return bins, c, pack(f"{10 + total}q2d", bins, columns, bins, *[columns] * total, 3 * rows * c, rows, c, bin, bins,
                         past(rows, c, itemsize), 1, low, high)
