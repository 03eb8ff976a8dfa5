"""Runs of bytes: arrays joined, filled, and cut to triangles.

    join(out, [part, ...], outer, size)          out (outer, w0 + w1 + ..) from parts (outer, w0), (outer, w1) ..
    fill(out, word, nbytes)                      `nbytes` of `out` become the 8 bytes of the int `word` again and again
    triangle(out, a, rows, size, h, w, diagonal, upper)    planes (h, w) of `size`-byte elements, cut at a diagonal

All arrays are in C order. Tiles are fixed ranges of bytes, or of rows.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.templates import blocks, entries
from rushlight.compiler.templates.layout import Layout

TILE = 1 << 17                  # bytes a tile
NARROW = 64                     # bytes of a part, on the average, below which rows go part by part
LIST_ITEMS, SIZE = 24, 16
_NEAR = 1 << 14                 # bytes of results that stay in the nearest cache
ON_STACK = 64                   # parts whose table needs no memory of its own


@cache
def kernel(name):
    """One of the three, by name."""
    return entries.load(f"runs {name}", lambda: module_text(name), (f"rl_{name}",))[0]


def module_text(name):
    """The IR of an entry and its task."""
    m = entries.new_module()
    {"join": _join, "fill": _fill, "triangle": _triangle}[name](m)
    return m.text()


def _span(f, begin, end, total):
    """Bytes of a range of tiles."""
    return begin * TILE, f.minimum(end * TILE, total)


def _join(m):
    # Context: out, table of (data, bytes a row), parts, bytes a row, bytes in all, stream.
    f = entries.task(m, "rl_join_task")
    context = f.args[0]
    out, table = (f.load("ptr", context + 8 * k) for k in range(2))
    parts, row_bytes, total, stream = (f.load("i64", context + 8 * k) for k in range(2, 6))
    first, last = _span(f, f.args[1], f.args[2], total)
    _interleave(f, out, table, parts, row_bytes, first, last)
    with f.if_((row_bytes < parts * NARROW) & (row_bytes <= _NEAR // 4)):
        _narrow(f, out, table, parts, row_bytes, first, last)
        f.ret()
    row = f.var("i64", first.udiv(row_bytes))
    with f.loop() as rows:
        r = row.get()
        start = r * row_bytes
        rows.break_if(start >= last)
        low, high = first - start, last - start
        at = f.var("i64", 0)
        with f.range(parts) as k:
            entry = table + (k << 4)
            width = f.load("i64", entry + 8)
            left = at.get()
            right = left + width
            begin = f.select(low > left, low, left)
            end = f.minimum(right, high)
            with f.if_(begin < end):
                source = f.load("ptr", entry) + (r * width + begin - left)
                blocks.copy_run(f, out + (start + begin), source, end - begin, stream.ne(0))
            at.set(right)
        row.set(r + 1)
    f.ret()

    f = m.function("rl_join", "ptr", entries.ENTRY)
    args = f.args[1]
    parts = f.load("ptr", args + 8)
    items, count = f.load("ptr", parts + LIST_ITEMS), f.load("i64", parts + SIZE)
    outer, size = entries.int_of(f, args, 2), entries.int_of(f, args, 3)
    table = f.var("ptr", f.buffer(16 * ON_STACK, 8))
    own = count > ON_STACK
    with f.if_(own):
        table.set(f.call("ptr", "PyMem_RawMalloc", count << 4))
        with f.if_(table.get().eq(0)):
            f.ret(f.call("ptr", "PyErr_NoMemory"))
    row_bytes = f.var("i64", 0)
    with f.range(count) as k:
        a = f.load("ptr", items + k * 8)
        width = (entries.elements_of(f, a) * size).udiv(outer)
        entry = table.get() + (k << 4)
        f.store(f.load("ptr", a + entries.DATA), entry)
        f.store(width, entry + 8)
        row_bytes.set(row_bytes.get() + width)
    total = row_bytes.get() * outer
    context = f.buffer(48, 8)
    stream = (total >= blocks.STREAM_FROM).cast("zext", "i64")
    words = (entries.data_of(f, args, 0), table.get(), count, row_bytes.get(), total, stream)
    for k, word in enumerate(words):
        f.store(word, context + 8 * k)
    with f.if_(total > 0):
        entries.share(f, "rl_join_task", context, blocks.ceil_div(total, TILE), total)
    with f.if_(own):
        f.call("void", "PyMem_RawFree", table.get())
    entries.none(f)


def _narrow(f, out, table, parts, row_bytes, first, last):
    """Part by part over rows that stay in the nearest cache, where parts are a few bytes wide."""
    begin, end = blocks.ceil_div(first, row_bytes), blocks.ceil_div(last, row_bytes)
    block = f.value(_NEAR).udiv(row_bytes)
    with f.range(begin, end, step=block) as low:
        high, left = f.minimum(low + block, end), f.var("i64", 0)
        with f.range(parts) as k:
            entry = table + (k << 4)
            width = f.load("i64", entry + 8)
            source, to = f.load("ptr", entry) + low * width, out + (low * row_bytes + left.get())
            left.set(left.get() + width)
            blocks.copy_rows(f, to, source, width, high - low, row_bytes, width)


def _interleave(f, out, table, parts, row_bytes, first, last):
    """Runs of one element each, where all parts have them: part by part over rows that stay in the nearest cache."""
    for size in (1, 2, 4, 8):
        with f.if_(row_bytes.eq(parts * size) & f.load("i64", table + 8).eq(size)):
            ragged = f.var("i64", 0)
            with f.range(parts) as k, f.if_(f.load("i64", table + ((k << 4) + 8)).ne(size)):
                ragged.set(1)
            with f.if_(ragged.get().eq(0)):
                kind = f"i{8 * size}"
                begin, end = blocks.ceil_div(first, row_bytes), blocks.ceil_div(last, row_bytes)
                block = blocks.at_least(f, f.value(_NEAR).udiv(row_bytes), 1)
                now = f.var("i64", begin)
                with f.loop() as rows:
                    low = now.get()
                    rows.break_if(low >= end)
                    high = f.minimum(low + block, end)
                    with f.range(parts) as k:
                        source, to = f.load("ptr", table + (k << 4)), out + k * size
                        with f.range(low, high) as r:
                            f.store(f.load(kind, source + r * size, 1), to + r * row_bytes, 1)
                    now.set(high)
                f.ret()


def _fill(m):
    # Context: out, word, bytes in all, stream.
    f = entries.task(m, "rl_fill_task")
    context = f.args[0]
    word, total, stream = (f.load("i64", context + 8 * k) for k in range(1, 4))
    first, last = _span(f, f.args[1], f.args[2], total)
    pattern = f.splat(word, 8)
    blocks.fill_run(f, f.load("ptr", context) + first, pattern, last - first, stream.ne(0))
    f.ret()

    f = m.function("rl_fill", "ptr", entries.ENTRY)
    args = f.args[1]
    total = entries.int_of(f, args, 2)
    context = f.buffer(32, 8)
    f.store(entries.data_of(f, args, 0), context)
    f.store(entries.int_of(f, args, 1), context + 8)
    f.store(total, context + 16)
    f.store((total >= blocks.STREAM_FROM).cast("zext", "i64"), context + 24)
    with f.if_(total > 0):
        entries.share(f, "rl_fill_task", context, blocks.ceil_div(total, TILE), total)
    entries.none(f)


def _triangle(m):
    # What is kept: rows a tile, and whether to go past the caches.
    layout = Layout(("out", "a"), ("rows", "size", "h", "w", "diagonal", "upper"), ("each", "stream"))
    f = entries.task(m, "rl_triangle_task")
    job = layout.words(f, f.args[0])
    out, a, rows, size, h, w, diagonal, upper = layout.load(f, job.pointer).values()
    each, stream = job.each, job.stream.ne(0)
    zeros = Value(f, "zeroinitializer", "<8 x i64>")
    width = w * size
    with f.range(f.args[1] * each, f.minimum(f.args[2] * each, rows)) as r:
        # The first column of the upper part, or the first beyond the lower one.
        cut = r.urem(h) + diagonal + (1 - upper)
        cut = f.minimum(blocks.at_least(f, cut, 0), w) * size
        to, source = out + r * width, a + r * width
        with f.if_else(upper.ne(0)) as (yes, no):
            with yes:
                blocks.fill_run(f, to, zeros, cut, stream)
                blocks.copy_run(f, to + cut, source + cut, width - cut, stream)
            with no:
                blocks.copy_run(f, to, source, cut, stream)
                blocks.fill_run(f, to + cut, zeros, width - cut, stream)
    f.ret()

    f, job = layout.begin(m, "rl_triangle")
    rows, size, w = job.rows, job.size, job.w
    total = rows * w * size
    with f.if_(total > 0):
        each = blocks.at_least(f, f.value(TILE).udiv(w * size), 1)
        job.set(each=each, stream=(total >= blocks.STREAM_FROM).cast("zext", "i64"))
        entries.share(f, "rl_triangle_task", job.pointer, blocks.ceil_div(rows, each), total)
    entries.none(f)
