"""softmax, log_softmax and their gradients.

Along rows, arrays (rows, n):

    forward(y, x, words)            softmax or log_softmax
    backward(dx, g, y, words)       softmax: y (g - sum g y);  log_softmax: g - exp(y) sum g

Along the middle of (outer, n, inner), the same with lanes along ``inner``: blocks of columns are kept in a buffer on
the stack, so that memory is read and written once however the planes' addresses collide in the cache.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen import math
from rushlight.compiler.codegen.lower import ITEMSIZE
from rushlight.compiler.templates.arrays import array_kernel

BUFFER = 32 << 10               # bytes of a block of columns
_STREAM = 32 << 20              # bytes of a result from which it is written past the cache


# ---------------------------------------------------------------- rows

def rows(t):
    """Loop over the rows of a task's tiles."""
    f = t.f

    def loop(body):
        with t.tiles() as tile:
            first = tile * t.group
            with f.range(first, f.minimum(first + t.group, t.rows)) as r:
                body(r)
    return loop


@cache
def forward(kind, dtype):
    """The kernel ``(y, x, words)`` of ``softmax`` or ``log_softmax`` along rows."""
    def write(t):
        t.type(dtype)
        f, n = t.f, t.n

        def row(r):
            x, y = t.x + r * n * t.size, t.y + r * n * t.size
            top = t.splat(t.largest(n, lambda i, mask: t.load(x + i * t.size, mask)))
            keeps = kind == "softmax" and ITEMSIZE[dtype] >= 4

            def terms(i, mask):
                e = math.exp_nonpositive(f, t.load(x + i * t.size, mask) - top)
                if keeps:
                    t.store(e, y + i * t.size, mask)
                return [e]
            total, = t.sums(n, 1, terms)
            if kind == "softmax":
                factor = t.splat(t.as_compute(f.value(1.0, "double") / total))

                def body(i, mask):
                    if keeps:
                        e = t.load(y + i * t.size, mask)
                    else:
                        e = math.exp_nonpositive(f, t.load(x + i * t.size, mask) - top)
                    t.store(e * factor, y + i * t.size, mask)
                t.each(n, body)
            else:
                shift = t.splat(math.log(f, t.as_compute(total)))
                t.each(n, lambda i, mask: t.store(t.load(x + i * t.size, mask) - top - shift, y + i * t.size, mask),
                       stream=y)
        rows(t)(row)
    return array_kernel(f"{kind} rows {dtype}", ("y", "x"), ("rows", "n", "group", "past"), write)


@cache
def backward(kind, dtype):
    """The kernel ``(dx, g, y, words)`` of the gradient of ``softmax`` or ``log_softmax`` along rows."""
    def write(t):
        t.type(dtype)
        f, n = t.f, t.n

        def row(r):
            dx, g, y = (a + r * n * t.size for a in (t.dx, t.g, t.y))

            def both(i, mask):
                return t.load(g + i * t.size, mask), t.load(y + i * t.size, mask)
            if kind == "softmax":
                total, = t.sums(n, 1, lambda i, mask: [(lambda a, b: a * b)(*both(i, mask))])
            else:
                total, = t.sums(n, 1, lambda i, mask: [t.load(g + i * t.size, mask)])
            total = t.splat(t.as_compute(total))

            def body(i, mask):
                a, b = both(i, mask)
                v = b * (a - total) if kind == "softmax" else a - math.exp_scaled(f, b) * total
                t.store(v, dx + i * t.size, mask)
            t.each(n, body, stream=dx)
        rows(t)(row)
    return array_kernel(f"{kind} gradient rows {dtype}", ("dx", "g", "y"), ("rows", "n", "group", "past"), write)


@cache
def row_words(rows, n, itemsize):
    group = max(1, 4096 // max(n, 1))
    return pack("6q", -(-rows // group), rows * n * 4, rows, n, group, rows * n * itemsize >= _STREAM)


# ---------------------------------------------------------------- columns

@cache
def column_words(outer, n, inner, itemsize, buffers=1):
    """Words of the kernels on (outer, n, inner); None where a block of columns does not fit."""
    wide = 8 if itemsize == 8 else 4
    block = max(16, min(BUFFER // buffers // wide // n // 16 * 16, 512, -(-inner // 16) * 16))
    if block * n * wide > BUFFER // buffers:
        return None
    blocks = -(-inner // block)
    return pack("7q", outer * blocks, outer * n * inner * 4, outer, n, inner, block, blocks)


COLUMNS = ("outer", "n", "inner", "block", "blocks")


def blocks(t, body):
    """``body(start, width)``: the element where a block begins in channel 0, and its columns."""
    f = t.f
    with t.tiles() as tile:
        o, k = tile.udiv(t.blocks), tile.urem(t.blocks)
        column = k * t.block
        body(o * t.n * t.inner + column, f.minimum(t.block, t.inner - column), o * t.inner + column)


def _fill(t, buffer, width, value):
    v = t.f.value(value, t.vector)
    t.each(width, lambda i, mask: t.f.store(v, buffer + i * t.compute_size, t.align), 1)


@cache
def forward_columns(kind, dtype):
    """The kernel ``(y, x, words)`` along the middle dimension."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, t.compute_size
        kept = f.buffer(BUFFER)
        tops, sums = f.buffer(512 * wide), f.buffer(512 * wide)

        def at(buffer, i):
            return f.load(t.vector, buffer + i * wide, t.align)

        def body(start, width, _):
            _fill(t, tops, width, float("-inf"))
            _fill(t, sums, width, 0.0)
            with f.range(t.n) as c:
                x, line = t.x + (start + c * t.inner) * t.size, kept + c * t.block * wide

                def take(i, mask):
                    v, top = t.load(x + i * t.size, mask), at(tops, i)
                    f.store(v, line + i * wide, t.align)
                    f.store(f.select(v > top, v, top), tops + i * wide, t.align)
                t.each(width, take, 1)
            with f.range(t.n) as c:
                line = kept + c * t.block * wide

                def add(i, mask):
                    v = at(line, i) - at(tops, i)
                    e = math.exp_nonpositive(f, v)
                    f.store(e if kind == "softmax" else v, line + i * wide, t.align)
                    f.store(at(sums, i) + e, sums + i * wide, t.align)
                t.each(width, add, 1)

            def finish(i, mask):
                total = at(sums, i)
                total = 1.0 / total if kind == "softmax" else math.log(f, total)
                f.store(total, sums + i * wide, t.align)
            t.each(width, finish, 1)
            with f.range(t.n) as c:
                y, line = t.y + (start + c * t.inner) * t.size, kept + c * t.block * wide

                def give(i, mask):
                    v = at(line, i)
                    t.store(v * at(sums, i) if kind == "softmax" else v - at(sums, i), y + i * t.size, mask)
                t.each(width, give, 1)
        blocks(t, body)
    return array_kernel(f"{kind} columns {dtype}", ("y", "x"), COLUMNS, write)


@cache
def backward_columns(kind, dtype):
    """The kernel ``(dx, g, y, words)`` along the middle dimension; words for two buffers."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, t.compute_size
        kept_g, kept_y = f.buffer(BUFFER // 2), f.buffer(BUFFER // 2)
        sums = f.buffer(512 * wide)

        def at(buffer, i):
            return f.load(t.vector, buffer + i * wide, t.align)

        def body(start, width, _):
            _fill(t, sums, width, 0.0)
            with f.range(t.n) as c:
                first = (start + c * t.inner) * t.size
                line_g, line_y = (b + c * t.block * wide for b in (kept_g, kept_y))

                def take(i, mask):
                    g, y = t.load(t.g + first + i * t.size, mask), t.load(t.y + first + i * t.size, mask)
                    f.store(g, line_g + i * wide, t.align)
                    f.store(y, line_y + i * wide, t.align)
                    f.store(at(sums, i) + (g * y if kind == "softmax" else g), sums + i * wide, t.align)
                t.each(width, take, 1)
            with f.range(t.n) as c:
                dx = t.dx + (start + c * t.inner) * t.size
                line_g, line_y = (b + c * t.block * wide for b in (kept_g, kept_y))

                def give(i, mask):
                    g, y, total = at(line_g, i), at(line_y, i), at(sums, i)
                    v = y * (g - total) if kind == "softmax" else g - math.exp_scaled(f, y) * total
                    t.store(v, dx + i * t.size, mask)
                t.each(width, give, 1)
        blocks(t, body)
    return array_kernel(f"{kind} gradient columns {dtype}", ("dx", "g", "y"), COLUMNS, write)
