"""Largest values of windows that tables describe, with their positions: adaptive, fractional, any strides.

    windows(y, index, x, first, count, words)       x (planes, d, h, w), y and index (planes, od, oh, ow)

``first`` and ``count`` (int64) say for the od, then oh, then ow windows of each dimension where they begin and how many
elements they have, ``step`` apart; there is one such table, or one a plane. A position is a flat index into its plane:
of the window's last NaN, else of its first largest value.

    last(y, index, x, words)                        x (n, h, w, c), y and index (n, oh, ow, c): channels last

Rows of windows are reduced down first, a vector of columns at a time, then along.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates.arrays import array_kernel

MOST_COLUMNS = 2048
_WORDS = ("d", "h", "w", "od", "oh", "ow", "step_d", "step_h", "step_w", "table")


@cache
def windows(dtype):
    """The kernel ``(y, index, x, first, count, words)``."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, t.compute_size
        ints = vector("i32", t.lanes)
        values, places = f.buffer((MOST_COLUMNS + 32) * wide), f.buffer((MOST_COLUMNS + 32) * 4)
        with t.tiles() as plane:
            x = t.x + plane * t.d * t.h * t.w * t.size
            table = plane * t.table * 8
            first, count = t.first + table, t.count + table

            def window(axis_start, k):
                at = (axis_start + k) * 8
                return f.load("i64", first + at), f.load("i64", count + at)
            with f.range(t.od) as p, f.range(t.oh) as q:
                depth, depths = window(f.value(0), p)
                row, rows = window(t.od, q)

                def down(i, mask):
                    best, where = f.var(t.vector, 0.0), f.var(ints, 0)
                    with f.range(depths) as a, f.range(rows) as b:
                        line = ((depth + a * t.step_d) * t.h + row + b * t.step_h) * t.w
                        v = t.load(x + (line + i) * t.size, mask)
                        old = best.get()
                        begins = f.splat((a + b).eq(0), t.lanes)
                        take = (v > old) | v.isnan() | begins
                        best.set(f.select(take, v, old))
                        where.set(f.select(take, f.splat(line.cast("trunc", "i32"), t.lanes), where.get()))
                    f.store(best.get(), values + i * wide, 4)
                    f.store(where.get(), places + i * 4, 4)
                t.each(t.w, down, 1)
                out = ((plane * t.od + p) * t.oh + q) * t.ow
                with f.range(t.ow) as r:
                    column, columns = window(t.od + t.oh, r)
                    best = f.var(t.compute, t.scalar_of(values + column * wide))
                    where = f.var("i32", f.load("i32", places + column * 4) + column.cast("trunc", "i32"))
                    with f.range(1, columns) as j:
                        at = column + j * t.step_w
                        v = t.scalar_of(values + at * wide)
                        place = f.load("i32", places + at * 4) + at.cast("trunc", "i32")
                        old, at_old = best.get(), where.get()
                        nan = v.isnan() & (old.compare("ord", "", old) | (place > at_old))
                        take = (v > old) | nan | (v.eq(old) & (place < at_old))
                        best.set(f.select(take, v, old))
                        where.set(f.select(take, place, at_old))
                    t.store_scalar(best.get(), t.y + (out + r) * t.size)
                    f.store(where.get().cast("sext", "i64"), t.index + (out + r) * 8)
    return array_kernel(f"window maxima {dtype}", ("y", "index", "x", "first", "count"), _WORDS, write)


def window_words(planes, sizes, out, steps, table):
    """Words for three dimensions each; ``table``: entries of a plane's table, 0 for one that all share."""
    work = planes * out[0] * out[1] * out[2] * 8 + planes * sizes[0] * sizes[1] * sizes[2]
    return pack("12q", planes, work, *sizes, *out, *steps, table)


_LAST = ("h", "w", "c", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw")


@cache
def last(dtype):
    """The kernel ``(y, index, x, words)``; a tile is a row of windows."""
    def write(t):
        t.type(dtype)
        f = t.f
        ints = vector("i32", t.lanes)

        def clipped(start, step, k, size):
            """Window positions begin .. end that are inside."""
            begin = f.select(start < 0, (step - 1 - start).udiv(step), f.value(0))
            inside = f.select(start < size, (size - start + step - 1) // step, f.value(0))
            return begin, f.minimum(inside, k)
        with t.tiles() as tile:
            n, p = tile.udiv(t.oh), tile.urem(t.oh)
            x = t.x + n * t.h * t.w * t.c * t.size
            top = p * t.sh - t.ph
            row, rows = clipped(top, t.dh, t.kh, t.h)
            with f.range(t.ow) as q:
                left = q * t.sw - t.pw
                column, columns = clipped(left, t.dw, t.kw, t.w)
                out = (tile * t.ow + q) * t.c
                begin = (top + row * t.dh) * t.w + left + column * t.dw

                def body(i, mask):
                    best = f.var(t.vector, float("-inf"))
                    where = f.var(ints, f.splat(begin.cast("trunc", "i32"), t.lanes))
                    with f.range(row, rows) as a, f.range(column, columns) as b:
                        place = (top + a * t.dh) * t.w + left + b * t.dw
                        v = t.load(x + (place * t.c + i) * t.size, mask)
                        old = best.get()
                        take = (v > old) | v.isnan()
                        best.set(f.select(take, v, old))
                        where.set(f.select(take, f.splat(place.cast("trunc", "i32"), t.lanes), where.get()))
                    t.store(best.get(), t.y + (out + i) * t.size, mask)
                    t.put(where.get().cast("sext", "i64"), t.index + (out + i) * 8, mask, 8)
                t.each(t.c, body, 1)
    return array_kernel(f"maxima of channels {dtype}", ("y", "index", "x"), _LAST, write)


def last_words(shape, kernel, stride, padding, dilation, out):
    """Words for x (n, h, w, c)."""
    n, h, w, c = shape
    work = n * out[0] * out[1] * c * kernel[0] * kernel[1]
    return pack("15q", n * out[0], work, h, w, c, *out, *kernel, *stride, *padding, *dilation)
