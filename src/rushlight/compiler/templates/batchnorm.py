"""Batch normalization in training and its gradient, a channel at a time.

    forward(y, mean, rstd, x, w, b, words)
        mean and variance of x (n, c, l) over n and l, rstd = 1 / sqrt(variance + eps), y = (x - mean) rstd w + b
    backward(dx, dw, db, g, x, w, mean, rstd, words)
        x^ = (x - mean) rstd:  db = sum g,  dw = sum g x^,  dx = rstd w (g - mean(g) - x^ mean(g x^)), without the
        means if the word ``training`` is 0: in evaluation the statistics are constants

x, y, g, dx are of one dtype; w and b (null for ones and zeros) and the rest of the compute type. A channel is a tile,
so what is read again comes from the cache.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.groupnorm import parameter

STREAM = 32 << 20               # bytes of a result from which it is written past the cache


def _wide(dtype):
    return "float64" if dtype == "float64" else "float32"


@cache
def forward(dtype):
    """The kernel ``(y, mean, rstd, x, w, b, words)``."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        with t.tiles() as c:
            def segment(array, n):
                return array + (n * t.c + c) * t.l * t.size
            mean, spread = t.moments_of_segments(t.n, t.l, lambda n: segment(t.x, n))
            mean, count = t.as_compute(mean), (t.n * t.l).cast("sitofp", "double")
            rstd = t.as_compute(f.value(1.0, "double") / f.intrinsic("sqrt", spread / count + t.eps))
            t.store_scalar(mean, t.mean + c * t.compute_size, wide)
            t.store_scalar(rstd, t.rstd + c * t.compute_size, wide)
            middle, scale = t.splat(mean), t.splat(rstd * parameter(t, t.w, c, 1.0))
            shift = t.splat(parameter(t, t.b, c, 0.0))
            with f.range(t.n) as n:
                x, y = segment(t.x, n), segment(t.y, n)

                def body(i, mask):
                    t.store(f.fma(t.load(x + i * t.size, mask) - middle, scale, shift), y + i * t.size, mask)
                t.each(t.l, body, stream=y)
    return array_kernel(f"batch norm {dtype}", ("y", "mean", "rstd", "x", "w", "b"), ("n", "c", "l", "past", "eps"),
                        write)


def forward_words(n, c, l, itemsize, eps):
    return pack("6qd", c, 2 * n * c * l, n, c, l, n * c * l * itemsize >= STREAM, eps)


@cache
def backward(dtype):
    """The kernel ``(dx, dw, db, g, x, w, mean, rstd, words)``."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        with t.tiles() as c:
            def segment(array, n):
                return array + (n * t.c + c) * t.l * t.size
            mean, rstd = (t.scalar(a + c * t.compute_size, wide) for a in (t.mean, t.rstd))
            middle = t.splat(mean)

            def terms(n, i, mask):
                at = ((n * t.c + c) * t.l + i) * t.size
                g = t.load(t.g + at, mask)
                return [g * (t.load(t.x + at, mask) - middle), g]
            dot, total = t.sums_of_segments((f.value(0), t.n), t.l, 2, terms)
            r = t.as_double(rstd)
            dot = dot * r
            t.store_scalar(dot, t.dw + c * t.compute_size, wide)
            t.store_scalar(total, t.db + c * t.compute_size, wide)
            scale = rstd * parameter(t, t.w, c, 1.0)
            count, constant = (t.n * t.l).cast("sitofp", "double"), t.training.eq(0)
            slope, level = (t.splat(t.as_compute(f.select(constant, f.value(0.0, "double"), v * t.as_double(scale))))
                            for v in (dot * r / count, total / count))
            scale = t.splat(scale)
            with f.range(t.n) as n:
                g, x, dx = (segment(a, n) for a in (t.g, t.x, t.dx))

                def body(i, mask):
                    v = f.fma(t.load(g + i * t.size, mask), scale, -level)
                    t.store(f.fma(t.load(x + i * t.size, mask) - middle, -slope, v), dx + i * t.size, mask)
                t.each(t.l, body, stream=dx)
    return array_kernel(f"batch norm gradient {dtype}", ("dx", "dw", "db", "g", "x", "w", "mean", "rstd"),
                        ("n", "c", "l", "past", "training"), write)


def backward_words(n, c, l, itemsize, training):
    return pack("7q", c, 3 * n * c * l, n, c, l, n * c * l * itemsize >= STREAM, training)
