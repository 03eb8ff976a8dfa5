"""Layer and RMS normalization of rows and their gradients.

    forward(y, mean, rstd, x, w, b, words)          y = (x - mean) rstd w + b, rstd = 1 / sqrt(variance + eps)
    backward(dx, dw, db, part, g, x, w, mean, rstd, words)
        h = g w, x^ = (x - mean) rstd:  dx = rstd (h - mean(h) - x^ mean(h x^)),  dw = sum g x^,  db = sum g

RMS normalization has no mean and no b: variance is the mean of squares. x, y, g, dx are (rows, n) of one dtype; w, b,
mean, rstd, dw, db, part of the compute type (float32, float64 for float64). dw and db are summed over bins of
``bin`` rows in the compute type, bins in double: ``part`` (bins, 2, n) holds the bins' sums.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel

COLUMNS = 256           # of dw and db a tile
STREAM = 32 << 20       # bytes of a result from which it is written past the cache


@cache
def forward(dtype, rms, affine):
    """The kernel ``(y, mean, rstd, x, w, b, words)``; ``affine`` has letters of "wb"."""
    wide = "float64" if dtype == "float64" else "float32"

    def write(t):
        t.type(dtype)
        f, n = t.f, t.n
        with t.tiles() as tile:
            first = tile * t.group
            with f.range(first, f.minimum(first + t.group, t.rows)) as r:
                x, y = t.x + r * n * t.size, t.y + r * n * t.size
                count = n.cast("sitofp", "double")
                if rms:
                    def squares(i, mask):
                        v = t.load(x + i * t.size, mask)
                        return [v * v]
                    spread, = t.sums(n, 1, squares)
                else:
                    mean, spread = t.moments(x, n)
                    mean = t.as_compute(mean)
                    t.store_scalar(mean, t.mean + r * t.compute_size, wide)
                    middle = t.splat(mean)
                rstd = t.as_compute(f.value(1.0, "double") / f.intrinsic("sqrt", spread / count + t.eps))
                t.store_scalar(rstd, t.rstd + r * t.compute_size, wide)
                scale = t.splat(rstd)

                def body(i, mask):
                    v = t.load(x + i * t.size, mask)
                    if not rms:
                        v = v - middle
                    v = v * scale
                    at = i * t.compute_size
                    if affine == "wb":
                        v = f.fma(v, t.load(t.w + at, mask, wide), t.load(t.b + at, mask, wide))
                    elif affine == "w":
                        v = v * t.load(t.w + at, mask, wide)
                    elif affine == "b":
                        v = v + t.load(t.b + at, mask, wide)
                    t.store(v, y + i * t.size, mask)
                t.each(n, body, stream=y)
    return array_kernel(f"row norm {dtype} {rms} {affine}", ("y", "mean", "rstd", "x", "w", "b"),
                        ("rows", "n", "group", "past", "eps"), write)


@cache
def forward_words(rows, n, itemsize, eps):
    group = max(1, 4096 // max(n, 1))
    return pack("6qd", -(-rows // group), rows * n, rows, n, group, rows * n * itemsize >= STREAM, eps)


@cache
def backward(dtype, rms, weighted, affine):
    """The kernel ``(dx, dw, db, part, g, x, w, mean, rstd, words)``; ``affine``: whether dw and db are wanted."""
    wide = "float64" if dtype == "float64" else "float32"

    def rows(t):
        t.type(dtype)
        f, n = t.f, t.n
        zero = f.value(0.0, t.vector)
        with t.tiles() as tile:
            first = tile * t.bin
            sum_w, sum_b = (t.part + (tile * 2 + k) * n * t.compute_size for k in (0, 1))
            if affine:
                def clear(i, mask):
                    t.store(zero, sum_w + i * t.compute_size, mask, wide)
                    if not rms:
                        t.store(zero, sum_b + i * t.compute_size, mask, wide)
                t.each(n, clear)
            with f.range(first, f.minimum(first + t.bin, t.rows)) as r:
                g, x, dx = (a + r * n * t.size for a in (t.g, t.x, t.dx))
                rstd = t.scalar(t.rstd + r * t.compute_size, wide)
                scale = t.splat(rstd)
                middle = None if rms else t.splat(t.scalar(t.mean + r * t.compute_size, wide))

                def normal(i, mask):
                    v = t.load(x + i * t.size, mask)
                    return (v if rms else v - middle) * scale

                def weigh(i, mask, v):
                    return v * t.load(t.w + i * t.compute_size, mask, wide) if weighted else v

                def terms(i, mask):
                    v, grad = normal(i, mask), t.load(g + i * t.size, mask)
                    if affine:
                        at = sum_w + i * t.compute_size
                        t.store(f.fma(grad, v, t.load(at, mask, wide)), at, mask, wide)
                        if not rms:
                            at = sum_b + i * t.compute_size
                            t.store(grad + t.load(at, mask, wide), at, mask, wide)
                    h = weigh(i, mask, grad)
                    return [h * v] if rms else [h * v, h]
                found = t.sums(n, 1 if rms else 2, terms)
                count = n.cast("sitofp", "double")
                slope, *level = [t.splat(t.as_compute(s / count)) for s in found]

                def body(i, mask):
                    v = weigh(i, mask, t.load(g + i * t.size, mask)) - normal(i, mask) * slope
                    if level:
                        v = v - level[0]
                    t.store(v * scale, dx + i * t.size, mask)
                t.each(n, body, stream=dx)

    def columns(t):
        t.type("float64" if wide == "float64" else "float32")
        f, n = t.f, t.n
        with t.tiles() as tile:
            begin = tile * COLUMNS
            for k, out in enumerate((t.dw,) if rms else (t.dw, t.db)):
                def body(i, mask):
                    at = (begin + i) * t.compute_size
                    total = f.var(t.wide, 0.0)
                    with f.range(t.bins) as b:
                        place = t.part + ((b * 2 + k) * n) * t.compute_size + at
                        total.set(total.get() + t.as_double(t.load(place, mask)))
                    t.store(total.get(), out + at, mask, wide)
                t.each(f.minimum(f.value(COLUMNS), n - begin), body, 1)
    writers = (rows, columns) if affine else (rows,)
    return array_kernel(f"row norm gradient {dtype} {rms} {weighted} {affine}",
                        ("dx", "dw", "db", "part", "g", "x", "w", "mean", "rstd"), ("rows", "n", "bin", "bins", "past"),
                        writers)


@cache
def backward_words(rows, n, itemsize, affine):
    """(words, bins): bins depend on sizes only."""
    bin = max(-(-(1 << 14) // max(n, 1)), -(-rows // 64), 1)
    bins = -(-rows // bin)
    tiles = (bins, -(-n // COLUMNS)) if affine else (bins,)
    return pack(f"{len(tiles) + 6}q", *tiles, 2 * rows * n, rows, n, bin, bins,
                rows * n * itemsize >= STREAM), bins
