"""Batch normalization of columns and its gradient: matrices, and images with the channels last.

    forward(y, mean, rstd, part, x, w, b, words)            x (rows, n), all else but ``part`` a column
        y = (x - mean) rstd w + b, rstd = 1 / sqrt(variance + eps)
    backward(dx, dw, db, part, g, x, w, mean, rstd, words)
        x^ = (x - mean) rstd:  dw = sum g x^,  db = sum g,  dx = rstd w (g - mean(g) - x^ mean(g x^)), without the
        means if the word ``training`` is 0

x, y, g, dx are of one dtype; all else of the compute type. A tile is a bin of rows, whose sums ``part`` holds, which is
(bins + 1, 2, n); bins are put together in double, in order. The last two rows of ``part`` hold what the last phase
needs of each column. w and b may be null. What ``columnnorm_relu`` has in common with this is written here.
"""

from functools import cache
from struct import pack

from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.batchnorm import STREAM

COLUMNS = 64            # a tile of what is done by columns
TOGETHER = 4            # rows added before their sum is stored, or for which parameters are loaded once


def wide_of(dtype):
    """The dtype of parameters and sums."""
    return "float64" if dtype == "float64" else "float32"


def by_bins(t, body):
    """``body(tile, first row, rows)``"""
    f = t.f
    with t.tiles() as tile:
        first = tile * t.bin
        body(tile, first, f.minimum(t.bin, t.rows - first))


def no_parameters(i, mask):
    """For columns that take part with their elements alone."""
    return ()


def add_rows(t, first, rows, sums, parameters, terms):
    """Add ``terms(values, byte offset, mask)`` of every row to the vectors at ``sums``, which are cleared first;
    ``values = parameters(column, mask)`` are loaded once for ``TOGETHER`` rows."""
    f, wide = t.f, wide_of(t.dtype)
    zero = f.value(0.0, t.vector)

    def clear(i, mask):
        for place in sums:
            t.store(zero, place + i * t.compute_size, mask, wide)
    t.each(t.n, clear, 1)

    def some(begin, count, i, mask):
        values = parameters(i, mask)
        found = [terms(values, ((begin + k) * t.n + i) * t.size, mask) for k in range(count)]
        while len(found) > 1:
            found = [[a + b for a, b in zip(*pair, strict=True)]
                     for pair in zip(found[::2], found[1::2], strict=True)]
        for place, v in zip(sums, found[0], strict=True):
            at = place + i * t.compute_size
            t.store(t.load(at, mask, wide) + v, at, mask, wide)
    whole = rows.udiv(TOGETHER) * TOGETHER
    for begin, end, count in ((0, whole, TOGETHER), (whole, rows, 1)):
        with f.range(begin, end, step=count) as r:
            t.each(t.n, lambda i, mask, r=r, count=count: some(first + r, count, i, mask), 1)


def each_row(t, first, rows, parameters, body, stream):
    """``body(values, byte offset, mask)`` of every element, in the order of memory, with `parameters` as above;
    ``stream``: the array that results go to, past the cache where the word ``past`` says so."""
    f = t.f
    with f.range(first, first + rows) as r:
        start = r * t.n

        def one(i, mask):
            body(parameters(i, mask), (start + i) * t.size, mask)
        t.each(t.n, one, 2, stream + start * t.size)


def column(t, array, i, mask, default):
    """A vector of a column's parameter, or a default where the array is null."""
    f = t.f
    v = f.var(t.vector, default)
    with f.if_(array.ne(f.null)):
        v.set(t.load(array + i * t.compute_size, mask, wide_of(t.dtype)))
    return v.get()


def _by_columns(t, body):
    """``body(i, mask)`` for vectors of the columns of the tiles."""
    f = t.f
    with t.tiles() as tile:
        begin = tile * COLUMNS
        t.each(f.minimum(f.value(COLUMNS), t.n - begin), lambda i, mask: body(begin + i, mask), 1)


def moments(dtype):
    """The writers of the phases that make ``mean`` and ``rstd`` of the columns of x."""
    wide = wide_of(dtype)

    def of_bins(t):
        t.type(dtype)

        def body(tile, first, rows):
            means, spreads = (t.part + (tile * 2 + k) * t.n * t.compute_size for k in (0, 1))
            add_rows(t, first, rows, [means], no_parameters, lambda _, at, mask: [t.load(t.x + at, mask)])
            share = t.splat(t.as_compute(t.f.value(1.0, "double") / rows.cast("sitofp", "double")))

            def divide(i, mask):
                at = means + i * t.compute_size
                t.store(t.load(at, mask, wide) * share, at, mask, wide)
            t.each(t.n, divide, 1)

            def squares(mean, at, mask):
                d = t.load(t.x + at, mask) - mean
                return [d * d]
            add_rows(t, first, rows, [spreads],
                     lambda i, mask: t.load(means + i * t.compute_size, mask, wide), squares)
        by_bins(t, body)

    def combine(t):
        t.type(dtype)
        f = t.f

        def body(i, mask):
            mean, spread = f.var(t.wide, 0.0), f.var(t.wide, 0.0)
            with f.range(t.bins) as b:
                rows = f.minimum(t.bin, t.rows - b * t.bin)
                count = f.splat(rows.cast("sitofp", "double"), t.lanes)
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
            keep(t, i, mask, t.as_compute(rstd) * column(t, t.w, i, mask, 1.0), column(t, t.b, i, mask, 0.0))
        _by_columns(t, body)
    return of_bins, combine


def keep(t, i, mask, *values):
    """Store two numbers of each column for the last phase."""
    for v, place in zip(values, _kept(t), strict=True):
        t.store(v, place + i * t.compute_size, mask, wide_of(t.dtype))


def kept(t, i, mask):
    """(mean and) what was stored so."""
    return [t.load(a + i * t.compute_size, mask, wide_of(t.dtype)) for a in (t.mean, *_kept(t))]


def _kept(t):
    return [t.part + (t.bins * 2 + k) * t.n * t.compute_size for k in (0, 1)]


def totals(dtype):
    """The writer of the phase that adds the bins' sums to dw and db, and keeps what `slopes` reads."""
    wide = wide_of(dtype)

    def combine(t):
        t.type(dtype)
        f = t.f
        share = f.value(1.0, "double") / t.rows.cast("sitofp", "double")
        share = f.splat(f.select(t.training.ne(0), share, f.value(0.0, "double")), t.lanes)

        def body(i, mask):
            sums = [f.var(t.wide, 0.0) for _ in range(2)]
            with f.range(t.bins) as b:
                here = t.part + (b * 2 * t.n + i) * t.compute_size
                for k, v in enumerate(sums):
                    v.set(v.get() + t.as_double(t.load(here + k * t.n * t.compute_size, mask, wide)))
            rstd = t.load(t.rstd + i * t.compute_size, mask, wide)
            scale = t.as_double(rstd * column(t, t.w, i, mask, 1.0))
            rstd = t.as_double(rstd)
            dot, total = sums[0].get() * rstd, sums[1].get()
            t.store(dot, t.dw + i * t.compute_size, mask, wide)
            t.store(total, t.db + i * t.compute_size, mask, wide)
            keep(t, i, mask, *[t.as_compute(v * scale * share) for v in (-(dot * rstd), -total)])
        _by_columns(t, body)
    return combine


def slopes(t, i, mask):
    """(mean, slope, level, scale) of columns: ``dx = (x - mean) slope + g scale + level``."""
    rstd = t.load(t.rstd + i * t.compute_size, mask, wide_of(t.dtype))
    return *kept(t, i, mask), rstd * column(t, t.w, i, mask, 1.0)


@cache
def forward(dtype):
    """The kernel ``(y, mean, rstd, part, x, w, b, words)``."""
    def normalize(t):
        t.type(dtype)

        def one(values, at, mask):
            mean, scale, shift = values
            t.store(t.f.fma(t.load(t.x + at, mask) - mean, scale, shift), t.y + at, mask)
        by_bins(t, lambda tile, first, rows: each_row(t, first, rows, lambda i, mask: kept(t, i, mask), one, t.y))
    return array_kernel(f"column norm {dtype}", ("y", "mean", "rstd", "part", "x", "w", "b"),
                        ("rows", "n", "bin", "bins", "past", "eps"), (*moments(dtype), normalize))


@cache
def backward(dtype):
    """The kernel ``(dx, dw, db, part, g, x, w, mean, rstd, words)``."""
    def sums(t):
        t.type(dtype)

        def terms(mean, at, mask):
            g = t.load(t.g + at, mask)
            return [g * (t.load(t.x + at, mask) - mean), g]
        by_bins(t, lambda tile, first, rows: add_rows(
            t, first, rows, [t.part + (tile * 2 + k) * t.n * t.compute_size for k in (0, 1)],
            lambda i, mask: t.load(t.mean + i * t.compute_size, mask, wide_of(dtype)), terms))

    def gradient(t):
        t.type(dtype)

        def one(values, at, mask):
            mean, slope, level, scale = values
            v = t.f.fma(t.load(t.g + at, mask), scale, level)
            t.store(t.f.fma(t.load(t.x + at, mask) - mean, slope, v), t.dx + at, mask)
        by_bins(t, lambda tile, first, rows: each_row(t, first, rows, lambda i, mask: slopes(t, i, mask), one, t.dx))
    return array_kernel(f"column norm gradient {dtype}",
                        ("dx", "dw", "db", "part", "g", "x", "w", "mean", "rstd"),
                        ("rows", "n", "bin", "bins", "past", "training"), (sums, totals(dtype), gradient))


@cache
def layout(rows, n):
    """(rows a bin, bins), by sizes only."""
    bin = max(16, min(256, 32768 // n))
    return bin, -(-rows // bin)


def past(rows, n, itemsize):
    """Whether results go past the cache: what is large, in rows that are whole lines of it."""
    return rows * n * itemsize >= STREAM and n * itemsize % 64 == 0


def forward_words(rows, n, itemsize, eps):
    """Words of the kernel of the normalization of (rows, n)."""
    bin, bins = layout(rows, n)
    return pack("9qd", bins, -(-n // COLUMNS), bins, rows * n, rows, n, bin, bins, past(rows, n, itemsize), eps)


def backward_words(rows, n, itemsize, training):
    """Words of the kernel of its gradients."""
    bin, bins = layout(rows, n)
    return pack("10q", bins, -(-n // COLUMNS), bins, 2 * rows * n, rows, n, bin, bins, past(rows, n, itemsize),
                training)
