"""Batch normalization of columns and its gradient: matrices, and images with the channels last.

    forward(y, mean, rstd, part, x, w, b, words)            x (rows, n), all else but ``part`` a column
        y = (x - mean) rstd w + b, rstd = 1 / sqrt(variance + eps)
    backward(dx, dw, db, part, g, x, w, mean, rstd, words)
        x^ = (x - mean) rstd:  dw = sum g x^,  db = sum g,  dx = rstd w (g - mean(g) - x^ mean(g x^)), without the
        means if the word ``training`` is 0

x, y, g, dx are of one dtype; all else of the compute type. A tile is a bin of rows, whose sums ``part`` (bins, 2, n)
holds; bins are put together in double, in order. w and b may be null.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel

COLUMNS = 64            # a tile of what is done by columns
TOGETHER = 4            # rows added before their sum is stored


def _wide(dtype):
    return "float64" if dtype == "float64" else "float32"


def _bins(t, body):
    """``body(tile, first row, rows)``"""
    f = t.f
    with t.tiles() as tile:
        first = tile * t.bin
        body(tile, first, f.minimum(t.bin, t.rows - first))


def _add_rows(t, first, rows, sums, terms):
    """Add ``terms(byte offset, column, mask)`` of every row to the vectors at ``sums``, which are cleared first."""
    f, wide = t.f, _wide(t.dtype)
    zero = f.value(0.0, t.vector)

    def clear(i, mask):
        for place in sums:
            t.store(zero, place + i * t.compute_size, mask, wide)
    t.each(t.n, clear, 1)
    whole = rows.udiv(TOGETHER) * TOGETHER

    def some(begin, end, count):
        with f.range(begin, end, step=count) as r:
            def body(i, mask):
                found = [terms(((first + r + k) * t.n + i) * t.size, i, mask) for k in range(count)]
                while len(found) > 1:
                    found = [[a + b for a, b in zip(*pair, strict=True)]
                             for pair in zip(found[::2], found[1::2], strict=True)]
                for place, v in zip(sums, found[0], strict=True):
                    at = place + i * t.compute_size
                    t.store(t.load(at, mask, wide) + v, at, mask, wide)
            t.each(t.n, body, 1)
    some(0, whole, TOGETHER)
    some(whole, rows, 1)


def _column(t, array, i, mask, default):
    """A vector of a column's parameter, or a default where the array is null."""
    f = t.f
    v = f.var(t.vector, default)
    with f.if_(array.ne(f.value(0, "ptr"))):
        v.set(t.load(array + i * t.compute_size, mask, _wide(t.dtype)))
    return v.get()


def _by_columns(t, body):
    """``body(i, mask)`` for vectors of the columns of the tiles."""
    f = t.f
    with t.tiles() as tile:
        begin = tile * COLUMNS
        t.each(f.minimum(f.value(COLUMNS), t.n - begin), lambda i, mask: body(begin + i, mask), 1)


def _rows_in_bin(t, b):
    f = t.f
    return f.minimum(t.bin, t.rows - b * t.bin)


@cache
def forward(dtype):
    """The kernel ``(y, mean, rstd, part, x, w, b, words)``."""
    wide = _wide(dtype)

    def moments(t):
        t.type(dtype)

        def body(tile, first, rows):
            means, spreads = (t.part + (tile * 2 + k) * t.n * t.compute_size for k in (0, 1))
            _add_rows(t, first, rows, [means], lambda at, i, mask: [t.load(t.x + at, mask)])
            share = t.splat(t.as_compute(t.f.value(1.0, "double") / rows.cast("sitofp", "double")))

            def divide(i, mask):
                at = means + i * t.compute_size
                t.store(t.load(at, mask, wide) * share, at, mask, wide)
            t.each(t.n, divide, 1)

            def squares(at, i, mask):
                d = t.load(t.x + at, mask) - t.load(means + i * t.compute_size, mask, wide)
                return [d * d]
            _add_rows(t, first, rows, [spreads], squares)
        _bins(t, body)

    def combine(t):
        t.type(dtype)
        f = t.f

        def body(i, mask):
            mean, spread = f.var(t.wide, 0.0), f.var(t.wide, 0.0)
            with f.range(t.bins) as b:
                count = f.splat(_rows_in_bin(t, b).cast("sitofp", "double"), t.lanes)
                before = f.splat((b * t.bin).cast("sitofp", "double"), t.lanes)
                here = t.part + (b * 2 * t.n + i) * t.compute_size
                middle, squares = (t.as_double(t.load(here + k * t.n * t.compute_size, mask, wide)) for k in (0, 1))
                share, delta = count / (before + count), middle - mean.get()
                spread.set(spread.get() + squares + delta * delta * before * share)
                mean.set(mean.get() + delta * share)
            variance = spread.get() / f.splat(t.rows.cast("sitofp", "double"), t.lanes)
            rstd = 1.0 / f.intrinsic("sqrt", variance + f.splat(t.eps, t.lanes))
            t.store(mean.get(), t.mean + i * t.compute_size, mask, wide)
            t.store(rstd, t.rstd + i * t.compute_size, mask, wide)
        _by_columns(t, body)

    def normalize(t):
        t.type(dtype)
        f = t.f

        def body(tile, first, rows):
            with f.range(first, first + rows) as r:
                def one(i, mask):
                    at = (r * t.n + i) * t.size
                    mean, rstd = (t.load(a + i * t.compute_size, mask, wide) for a in (t.mean, t.rstd))
                    scale = rstd * _column(t, t.w, i, mask, 1.0)
                    v = f.fma(t.load(t.x + at, mask) - mean, scale, _column(t, t.b, i, mask, 0.0))
                    t.store(v, t.y + at, mask)
                t.each(t.n, one)
        _bins(t, body)
    return array_kernel(f"column norm {dtype}", ("y", "mean", "rstd", "part", "x", "w", "b"),
                        ("rows", "n", "bin", "bins", "eps"), (moments, combine, normalize))


@cache
def backward(dtype):
    """The kernel ``(dx, dw, db, part, g, x, w, mean, rstd, words)``."""
    wide = _wide(dtype)

    def sums(t):
        t.type(dtype)

        def body(tile, first, rows):
            places = [t.part + (tile * 2 + k) * t.n * t.compute_size for k in (0, 1)]

            def terms(at, i, mask):
                g = t.load(t.g + at, mask)
                return [g * (t.load(t.x + at, mask) - t.load(t.mean + i * t.compute_size, mask, wide)), g]
            _add_rows(t, first, rows, places, terms)
        _bins(t, body)

    def combine(t):
        t.type(dtype)
        f = t.f

        def body(i, mask):
            dot, total = f.var(t.wide, 0.0), f.var(t.wide, 0.0)
            with f.range(t.bins) as b:
                here = t.part + (b * 2 * t.n + i) * t.compute_size
                for k, v in enumerate((dot, total)):
                    v.set(v.get() + t.as_double(t.load(here + k * t.n * t.compute_size, mask, wide)))
            rstd = t.as_double(t.load(t.rstd + i * t.compute_size, mask, wide))
            t.store(dot.get() * rstd, t.dw + i * t.compute_size, mask, wide)
            t.store(total.get(), t.db + i * t.compute_size, mask, wide)
        _by_columns(t, body)

    def gradient(t):
        t.type(dtype)
        f = t.f
        share = f.value(1.0, "double") / t.rows.cast("sitofp", "double")
        share = t.splat(t.as_compute(f.select(t.training.ne(0), share, f.value(0.0, "double"))))

        def body(tile, first, rows):
            with f.range(first, first + rows) as r:
                def one(i, mask):
                    at, column = (r * t.n + i) * t.size, i * t.compute_size
                    mean, rstd, dot, total = (t.load(a + column, mask, wide) for a in (t.mean, t.rstd, t.dw, t.db))
                    normal = (t.load(t.x + at, mask) - mean) * rstd
                    v = t.load(t.g + at, mask) - (total + normal * dot) * share
                    t.store(v * (rstd * _column(t, t.w, i, mask, 1.0)), t.dx + at, mask)
                t.each(t.n, one)
        _bins(t, body)
    return array_kernel(f"column norm gradient {dtype}",
                        ("dx", "dw", "db", "part", "g", "x", "w", "mean", "rstd"),
                        ("rows", "n", "bin", "bins", "training"), (sums, combine, gradient))


@cache
def layout(rows, n):
    """(rows a bin, bins), by sizes only."""
    bin = max(16, min(256, 32768 // n))
    return bin, -(-rows // bin)


def forward_words(rows, n, eps):
    bin, bins = layout(rows, n)
    return pack("8qd", bins, -(-n // COLUMNS), bins, rows * n, rows, n, bin, bins, eps)


def backward_words(rows, n, training):
    bin, bins = layout(rows, n)
    return pack("9q", bins, -(-n // COLUMNS), bins, 2 * rows * n, rows, n, bin, bins, training)
