"""Group normalization and its gradient: a tile is the channels of one group of one sample.

    forward(y, mean, rstd, x, w, b, words)          x (samples, groups, channels, places), w and b a channel
        y = (x - mean) rstd w + b with mean and rstd = 1 / sqrt(variance + eps) a group
    backward(dx, dw, db, part, g, x, w, mean, rstd, words)
        h = g w, x^ = (x - mean) rstd:  dx = rstd (h - mean(h) - x^ mean(h x^)),  dw = sum g x^,  db = sum g
        part (samples, all channels, 2): doubles, each sample's share of dw and db

x, y, g, dx are of one dtype; all else but ``part`` of the compute type. w and b may be null.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel

_WORDS = ("samples", "groups", "channels", "places", "eps")


def _wide(dtype):
    return "float64" if dtype == "float64" else "float32"


def parameter(t, array, channel, default):
    """array[channel], or a default where the array is null. A scalar."""
    f = t.f
    v = f.var(t.compute, default)
    with f.if_(array.ne(f.null)):
        v.set(t.scalar(array + channel * t.compute_size, _wide(t.dtype)))
    return v.get()


@cache
def forward(dtype):
    """The kernel ``(y, mean, rstd, x, w, b, words)``."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        with t.tiles() as tile:
            n = t.channels * t.places
            first, channel = tile * n * t.size, tile.urem(t.groups) * t.channels
            mean, spread = t.moments(t.x + first, n)
            mean = t.as_compute(mean)
            rstd = f.value(1.0, "double") / f.intrinsic("sqrt", spread / n.cast("sitofp", "double") + t.eps)
            rstd = t.as_compute(rstd)
            t.store_scalar(mean, t.mean + tile * t.compute_size, wide)
            t.store_scalar(rstd, t.rstd + tile * t.compute_size, wide)
            middle = t.splat(mean)
            with f.range(t.channels) as c:
                scale = t.splat(rstd * parameter(t, t.w, channel + c, 1.0))
                shift = t.splat(parameter(t, t.b, channel + c, 0.0))
                x, y = (a + first + c * t.places * t.size for a in (t.x, t.y))

                def body(i, mask):
                    t.store(f.fma(t.load(x + i * t.size, mask) - middle, scale, shift), y + i * t.size, mask)
                t.each(t.places, body)
    return array_kernel(f"group norm {dtype}", ("y", "mean", "rstd", "x", "w", "b"), _WORDS, write)


def forward_words(samples, groups, channels, places, eps):
    """The words of a call of ``forward``: ``channels`` of a group, ``places`` of a channel."""
    tiles = samples * groups
    return pack("6qd", tiles, tiles * channels * places, samples, groups, channels, places, eps)


@cache
def backward(dtype, affine):
    """The kernel ``(dx, dw, db, part, g, x, w, mean, rstd, words)``; ``affine``: whether dw and db are wanted."""
    def tiles(t):
        t.type(dtype)
        f, wide = t.f, _wide(dtype)
        with t.tiles() as tile:
            n = t.channels * t.places
            first, group = tile * n * t.size, tile.urem(t.groups)
            channel, sample = group * t.channels, tile.udiv(t.groups)
            mean, rstd = (t.scalar(a + tile * t.compute_size, wide) for a in (t.mean, t.rstd))
            middle = t.splat(mean)
            slope, level = f.var("double", 0.0), f.var("double", 0.0)
            with f.range(t.channels) as c:
                x, g = (a + first + c * t.places * t.size for a in (t.x, t.g))

                def terms(i, mask):
                    grad = t.load(g + i * t.size, mask)
                    return [grad * (t.load(x + i * t.size, mask) - middle), grad]
                dot, total = t.sums(t.places, 2, terms)
                dot = dot * t.as_double(rstd)
                if affine:
                    place = t.part + ((sample * t.groups * t.channels + channel + c) << 4)
                    f.store(dot, place)
                    f.store(total, place + 8)
                w = t.as_double(parameter(t, t.w, channel + c, 1.0))
                slope.set(slope.get() + w * dot)
                level.set(level.get() + w * total)
            count, r = n.cast("sitofp", "double"), t.as_double(rstd)
            slope_ = t.splat(t.as_compute(slope.get() / count * r * r))
            level_ = t.splat(t.as_compute(level.get() / count * r))
            with f.range(t.channels) as c:
                x, g, dx = (a + first + c * t.places * t.size for a in (t.x, t.g, t.dx))
                scale = t.splat(rstd * parameter(t, t.w, channel + c, 1.0))

                def body(i, mask):
                    v = f.fma(t.load(g + i * t.size, mask), scale, -level_)
                    v = f.fma(t.load(x + i * t.size, mask) - middle, -slope_, v)
                    t.store(v, dx + i * t.size, mask)
                t.each(t.places, body)

    def channels(t):
        t.type(dtype)
        f = t.f
        with t.tiles() as c:
            dot, total = f.var("double", 0.0), f.var("double", 0.0)
            with f.range(t.samples) as s:
                place = t.part + ((s * t.groups * t.channels + c) << 4)
                dot.set(dot.get() + f.load("double", place))
                total.set(total.get() + f.load("double", place + 8))
            t.store_scalar(dot.get(), t.dw + c * t.compute_size, _wide(dtype))
            t.store_scalar(total.get(), t.db + c * t.compute_size, _wide(dtype))
    return array_kernel(f"group norm gradient {dtype} {affine}",
                        ("dx", "dw", "db", "part", "g", "x", "w", "mean", "rstd"), _WORDS,
                        (tiles, channels) if affine else (tiles,))


def backward_words(samples, groups, channels, places, affine):
    """The words of a call of ``backward``; affine ones have a second phase over all channels."""
    tiles = samples * groups
    phases = (tiles, groups * channels) if affine else (tiles,)
    return pack(f"{len(phases) + 6}q", *phases, 2 * tiles * channels * places, samples, groups, channels, places, 0)
