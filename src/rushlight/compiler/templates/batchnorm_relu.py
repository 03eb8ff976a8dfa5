"""Batch normalization with what is next to it in a program, a channel at a time.

    forward(y, mean, rstd, x, w, b, r, words)
        y = max(0, (x - mean) rstd w + b + r), as ``batchnorm.forward``, then max(0, .), with or without a residual r
    apply(y, x, w, b, r, mean, rstd, words)
        forward's y again
    evaluate(y, x, w, b, r, mean, variance, words)
        the same from running statistics, with or without max(0, .)
    backward(dx, dw, db, gr, whole, g, h, y, x, w, b, mean, rstd, words)
        of ``u = g + h`` where the result of the maximum was positive, else 0: db, dw, dx as ``batchnorm.backward``,
        gr = u (the residual's gradient), whole = sum dx (the gradient of a bias that was added before)

Arrays that a variant doesn't take are null: r, h, gr, whole. Without a residual, backward computes again whether the
result was positive, as forward did, and y is null. x, y, r, g, h, gr, dx (n, c, l) are of one dtype, all else of the
compute type; w and b may be null.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.batchnorm import STREAM, _wide
from rushlight.compiler.templates.groupnorm import parameter


def _segment(t, array, n):
    return array + (n * t.c + t.channel) * t.l * t.size


@cache
def forward(dtype, residual):
    """The kernel ``(y, mean, rstd, x, w, b, r, words)``."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        with t.tiles() as t.channel:
            c = t.channel
            mean, spread = t.moments_of_segments(t.n, t.l, lambda n: _segment(t, t.x, n))
            mean, count = t.as_compute(mean), (t.n * t.l).cast("sitofp", "double")
            rstd = t.as_compute(f.value(1.0, "double") / f.intrinsic("sqrt", spread / count + t.eps))
            t.store_scalar(mean, t.mean + c * t.compute_size, wide)
            t.store_scalar(rstd, t.rstd + c * t.compute_size, wide)
            _normalize(t, mean, rstd, residual)
    return array_kernel(f"batch norm, relu {dtype} {residual}", ("y", "mean", "rstd", "x", "w", "b", "r"),
                        ("n", "c", "l", "past", "eps"), write)


@cache
def apply(dtype, residual):
    """The kernel ``(y, x, w, b, r, mean, rstd, words)``."""
    def write(t):
        t.type(dtype)
        with t.tiles() as t.channel:
            mean, rstd = (t.scalar(a + t.channel * t.compute_size, _wide(dtype)) for a in (t.mean, t.rstd))
            _normalize(t, mean, rstd, residual)
    return array_kernel(f"batch norm, relu again {dtype} {residual}", ("y", "x", "w", "b", "r", "mean", "rstd"),
                        ("n", "c", "l", "past"), write)


@cache
def evaluate(dtype, residual, relu):
    """The kernel ``(y, x, w, b, r, mean, variance, words)``."""
    def write(t):
        t.type(dtype)
        f = t.f
        with t.tiles() as t.channel:
            mean, variance = (t.scalar(a + t.channel * t.compute_size, _wide(dtype)) for a in (t.mean, t.variance))
            rstd = f.value(1.0, "double") / f.intrinsic("sqrt", t.as_double(variance) + t.eps)
            _normalize(t, mean, t.as_compute(rstd), residual, relu, False)
    return array_kernel(f"batch norm, evaluation {dtype} {residual} {relu}",
                        ("y", "x", "w", "b", "r", "mean", "variance"), ("n", "c", "l", "past", "eps"), write)


def evaluate_words(n, c, l, itemsize, eps):
    return pack("6qd", c, n * c * l, n, c, l, n * c * l * itemsize >= STREAM, eps)


def _normalize(t, mean, rstd, residual, relu=True, fused=True):
    """Write y of the channel; `fused`: by a multiply-add, as training does."""
    f, c = t.f, t.channel
    zero, middle = f.value(0.0, t.vector), t.splat(mean)
    scale, shift = t.splat(rstd * parameter(t, t.w, c, 1.0)), t.splat(parameter(t, t.b, c, 0.0))
    with f.range(t.n) as n:
        x, y = _segment(t, t.x, n), _segment(t, t.y, n)
        r = _segment(t, t.r, n) if residual else None

        def body(i, mask):
            v = t.load(x + i * t.size, mask) - middle
            v = f.fma(v, scale, shift) if fused else v * scale + shift
            if residual:
                v = v + t.load(r + i * t.size, mask)
            t.store(f.select(v < zero, zero, v) if relu else v, y + i * t.size, mask)
        t.each(t.l, body, stream=y)


def forward_words(n, c, l, itemsize, eps):
    return pack("6qd", c, 2 * n * c * l, n, c, l, n * c * l * itemsize >= STREAM, eps)


def apply_words(n, c, l, itemsize):
    return pack("6q", c, n * c * l, n, c, l, n * c * l * itemsize >= STREAM)


@cache
def backward(dtype, mask_of, two, keeps, total):
    """The kernel ``(dx, dw, db, gr, whole, g, h, y, x, w, b, mean, rstd, words)``.

    mask_of: ``y`` (a residual was added), ``x``, or None (no maximum); two, keeps, total: for h, gr, whole.
    """
    def write(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        zero = f.value(0.0, t.vector)
        with t.tiles() as t.channel:
            c = t.channel
            mean, rstd = (t.scalar(a + c * t.compute_size, wide) for a in (t.mean, t.rstd))
            middle, factor = t.splat(mean), rstd * parameter(t, t.w, c, 1.0)
            scale, shift = t.splat(factor), t.splat(parameter(t, t.b, c, 0.0))

            def gradient(at, off, mask):
                """u at a place whose x, less the mean, is `off`."""
                u = t.load(t.g + at, mask)
                if two:
                    u = u + t.load(t.h + at, mask)
                if mask_of is None:
                    return u
                result = t.load(t.y + at, mask) if mask_of == "y" else f.fma(off, scale, shift)
                return f.select(result <= zero, zero, u)

            def terms(n, i, mask):
                at = ((n * t.c + c) * t.l + i) * t.size
                off = t.load(t.x + at, mask) - middle
                u = gradient(at, off, mask)
                if keeps:
                    t.store(u, t.gr + at, mask)
                return [u * off, u]
            dot, sum_ = t.sums_of_segments((f.value(0), t.n), t.l, 2, terms)
            r = t.as_double(rstd)
            dot = dot * r
            t.store_scalar(dot, t.dw + c * t.compute_size, wide)
            t.store_scalar(sum_, t.db + c * t.compute_size, wide)
            count = (t.n * t.l).cast("sitofp", "double")
            slope, level = (t.splat(t.as_compute(v * t.as_double(factor))) for v in (dot * r / count, sum_ / count))

            def result(at, mask):
                off = t.load(t.x + at, mask) - middle
                u = t.load(t.gr + at, mask) if keeps else gradient(at, off, mask)
                v = f.fma(off, -slope, f.fma(u, scale, -level))
                t.store(v, t.dx + at, mask)
                return v
            if total:
                every, = t.sums_of_segments((f.value(0), t.n), t.l, 1, lambda n, i, mask: [
                    result(((n * t.c + c) * t.l + i) * t.size, mask)])
                t.store_scalar(every, t.whole + c * t.compute_size, wide)
            else:
                with f.range(t.n) as n:
                    first = (n * t.c + c) * t.l

                    def body(i, mask):
                        result((first + i) * t.size, mask)
                    t.each(t.l, body, stream=_segment(t, t.dx, n))
    return array_kernel(f"batch norm, relu gradient {dtype} {mask_of} {two} {keeps} {total}",
                        ("dx", "dw", "db", "gr", "whole", "g", "h", "y", "x", "w", "b", "mean", "rstd"),
                        ("n", "c", "l", "past"), write)


def backward_words(n, c, l, itemsize):
    return pack("6q", c, 3 * n * c * l, n, c, l, n * c * l * itemsize >= STREAM)
