"""Planes with borders: constant, or made of other elements; elements of any type, by their size.

    borders(y, x, rows, left, right, words)         x (planes, .., w), y (planes, .., ow)

Row q of a plane of y comes from row rows[q] of the plane of x; where that is negative, it is the constant throughout.
Its elements are those of the columns ``left``, then ``middle`` elements from ``start`` on, then those of the columns
``right``; or as many constants on both sides. Tables are of int64. A tile is a few rows.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.arrays import array_kernel

TILE = 1 << 16                  # bytes of results, about
_WORDS = ("total", "block", "out_rows", "plane", "w", "ow", "lefts", "rights", "start", "middle", "value")


@cache
def borders(size, constant):
    """The kernel for elements of ``size`` bytes (1, 2, 4 or 8)."""
    element = f"i{8 * size}"
    width = host().vector_bytes

    def copy(f, to, source, n):
        """n bytes."""
        with f.if_else(n >= width) as (long, short):
            with long:
                kind, last = vector("i8", width), n - width
                with f.range(0, last, step=width) as i:
                    f.store(f.load(kind, source + i, 1), to + i, 1)
                f.store(f.load(kind, source + last, 1), to + last, 1)
            with short:
                part = width // 2
                end = f.var("i1", False)
                while part >= max(size, 4):
                    kind = f"i{8 * part}" if part <= 8 else vector("i8", part)
                    with f.if_(~end.get() & (n >= part)):
                        ends = f.load(kind, source, 1), f.load(kind, source + (n - part), 1)
                        f.store(ends[0], to, 1)
                        f.store(ends[1], to + (n - part), 1)
                        end.set(True)
                    part //= 2
                with f.if_(~end.get()), f.range(0, n, step=size) as i:
                    f.store(f.load(element, source + i, 1), to + i, 1)

    def fill(f, to, value, lanes, n):
        """n elements; ``lanes``: a vector of them."""
        count = width // size
        with f.if_else(n >= count) as (long, short):
            with long:
                last = n - count
                with f.range(0, last, step=count) as i:
                    f.store(lanes, to + i * size, 1)
                f.store(lanes, to + last * size, 1)
            with short, f.range(n) as i:
                f.store(value, to + i * size, 1)

    def write(t):
        f = t.f
        value = t.value.cast("trunc", element) if size < 8 else t.value
        lanes = f.splat(value, width // size)
        row_bytes = t.ow * size
        with t.tiles() as tile:
            first = tile * t.block
            plane = f.var("i64", first.udiv(t.out_rows))
            row = f.var("i64", first - plane.get() * t.out_rows)
            base = f.var("ptr", t.x + plane.get() * t.plane * size)
            with f.range(first, f.minimum(first + t.block, t.total)) as r:
                to = t.y + r * row_bytes
                number = f.load("i64", t.rows + row.get() * 8)
                source = base.get() + number * t.w * size

                def side(place, columns, n):
                    if constant:
                        with f.range(n) as i:
                            f.store(value, place + i * size, 1)
                    else:
                        with f.range(n) as i:
                            f.store(f.load(element, source + f.load("i64", columns + i * 8) * size, 1),
                                    place + i * size, 1)

                def whole():
                    side(to, t.left, t.lefts)
                    copy(f, to + t.lefts * size, source + t.start * size, t.middle * size)
                    side(to + (t.lefts + t.middle) * size, t.right, t.rights)
                if constant:
                    with f.if_else(number < 0) as (outside, inside):
                        with outside:
                            fill(f, to, value, lanes, t.ow)
                        with inside:
                            whole()
                else:
                    whole()
                row.set(row.get() + 1)
                with f.if_(row.get().eq(t.out_rows)):
                    row.set(0)
                    base.set(base.get() + t.plane * size)
    return array_kernel(f"borders {size} {constant}", ("y", "x", "rows", "left", "right"), _WORDS, write)


def border_words(planes, size, sizes, out, lefts, rights, start, middle, value):
    """Words for planes of ``sizes`` that become ``out``; ``value``: an int of the constant's bits."""
    rows = planes
    for n in out[:-1]:
        rows *= n
    plane = 1
    for n in sizes:
        plane *= n
    block = max(1, TILE // max(out[-1] * size, 1))
    return pack("13q", -(-rows // block), rows * out[-1], rows, block, rows // max(planes, 1), plane, sizes[-1],
                out[-1], lefts, rights, start, middle, value)
