"""Places of a matrix on one side of a diagonal, row by row.

    corners_kernel(type)(out, n, rows, columns, offset, upper)
        out (2, n): row and column of the n places (i, j) with j - i <= offset, or, ``upper``, j - i >= offset

``type`` is i64 or i32.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries

_SIZES = {"i64": 8, "i32": 4}


@cache
def corners_kernel(type_):
    """The callable for an element type."""
    return entries.load(f"corners {type_}", lambda: module_text(type_), ("rl_corners",))[0]


def module_text(type_):
    """The IR of the entry, which does it all: the places are written at memory's speed."""
    m = entries.new_module()
    f = m.function("rl_corners", "ptr", entries.ENTRY)
    out = entries.data_of(f, f.args[1], 0)
    n, rows, columns, offset, upper = (entries.int_of(f, f.args[1], k) for k in range(1, 6))
    size, lanes = _SIZES[type_], host().lanes(_SIZES[type_])
    many = vector(type_, lanes)
    iota = Value(f, "<" + ", ".join(f"{type_} {k}" for k in range(lanes)) + ">", many)

    def short(x):
        return x if type_ == "i64" else x.cast("trunc", type_)

    at = f.var("i64", 0)
    with f.range(rows) as i:
        edge = f.select(upper.ne(0), i + offset, i + offset + 1)
        edge = blocks.at_least(f, f.minimum(edge, columns), 0)
        first = f.select(upper.ne(0), edge, f.value(0))
        count = f.select(upper.ne(0), columns - edge, edge)
        here = out + at.get() * size
        row, whole = short(i), count & -lanes
        with f.range(0, whole, step=lanes) as j:
            f.store(f.splat(row, lanes), here + j * size, size)
            f.store(f.splat(short(first + j), lanes) + iota, here + (n + j) * size, size)
        with f.range(whole, count) as j:
            f.store(row, here + j * size, size)
            f.store(short(first + j), here + (n + j) * size, size)
        at.set(at.get() + count)
    entries.none(f)
    return m.text()
