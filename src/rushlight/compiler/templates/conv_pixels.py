"""Convolution as products of pixels, whose channels are made adjacent, by packed weights, as generated code.

    convolve(y, x, w, bias, plan[, finish[, packed]])

A *unit* of work is a block of rows of a plane of an image's results. The rows of the planes that it needs are copied
with their padding and with adjacent channels (a *cell* a pixel) into scratch memory of the thread; images in the usual
layout are turned on the way. Images of two dimensions are one plane. What a result's window has in common with a row of
cells are then adjacent words, and the windows of the next results in the row lie a fixed number of bytes further:
operands of a matrix product as they are, so nothing is gathered (``conv_pixel_tile``). The other operand are the
weights, packed once a call in panels of ``width`` channels.

A task is some units of a group by a part of its panels. Results of a panel and a unit collect in scratch memory, from
which they are turned, finished or converted; with channels-last results of the sums' type they are stored at once.
``finish`` and ``packed`` are those of ``conv_product``; ``plan`` is an int64 array of the words in ``FIELDS``, made by
``ops.nn.pixel_plans``. Elements are ``float``, ``double`` or ``pairs`` of bfloat16, with sums in float32.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, read_finish, run_packed, scratch
from rushlight.compiler.templates.conv_product import copy_rows
from rushlight.compiler.templates.conv_tile import ITEM, lanes_of, sums_of
from rushlight.compiler.templates.gemm_pack import turn
from rushlight.runtime import cpu

FIELDS = (
    "tile", "runs", "run_count",                # function; table of ``conv_pixel_tile``
    "places", "row_words",                      # int64[row_words, filled up]: which k a word of a row is, or -1
    "groups", "rows", "channels", "depth", "height", "vectors", "panels", "parts",      # depth in words
    "units", "unit_rows", "blocks", "task_units", "tasks",      # of all images; of a plane; a unit has unit_rows
    "cell", "line", "lines", "plane",           # bytes of a cell, of a row; rows that a unit needs, and their bytes
    "first_line", "left", "first_column", "columns", "size",    # of an image's rows: what is copied to which cell
    "step_h", "a_row", "out_h", "out_w", "reach",
    "planes", "first_plane", "depth_size", "step_d", "out_d", "x_plane", "y_plane",
    "x_image", "x_group", "x_line", "x_pixel", "x_channel", "w_group", "w_row",
    "y_start", "y_image", "y_group", "y_channel", "y_line", "y_pixel", "direct", "last",
)
LAYOUT = Layout(("y", "x", "w", "bias"), FIELDS, ("packed", "failed", "finish", "context", "first_image"),
                pointers=("packed", "finish", "tile", "runs", "places"))


def packed_bytes(words, item):
    """Bytes of the packed weights of a plan."""
    groups, panels, depth, vectors = (int(words[FIELDS.index(n)]) for n in ("groups", "panels", "depth", "vectors"))
    return groups * panels * depth * vectors * cpu.vector_bytes() + 64


@cache
def kernel(type_, last=False):
    """The builtin function convolve(y, x, w, bias, plan[, finish]); ``last``: channels of x are adjacent."""
    return entries.load(f"conv pixels|{type_}|{last}|{cpu.vector_bytes()}", lambda: module_text(type_, last),
                        ["rl_convolve_pixels"], codegen_level=2)[0]


def module_text(type_, last):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    m.globals.append("@zeros = internal constant [1024 x i8] zeroinitializer, align 64")
    copy_rows(m, sums_of(type_))
    _pack_task(m, type_)
    (copy_lines if last else _turn_lines)(m, type_)
    _turn_out(m, sums_of(type_))
    _tile_task(m, type_)
    _entry(m, type_)
    return m.text()


def _word(type_):
    return 4 if type_ == "pairs" else ITEM[type_]


def _pack_task(m, type_):
    """Tile: a panel of a group's weights, packed[(panel depth + k) width + r]; rows past the last are zeros.

    Squares of rows by words are turned; ``places`` says which k a word of a row is, or -1.
    """
    word, element = _word(type_), sums_of(type_)
    lanes = lanes_of(element)
    kind = vector(element, lanes)
    f = entries.task(m, "pack_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("w", "packed", "places", "row_words", "panels", "depth", "vectors", "rows", "w_group", "w_row")
    width = job.vectors * lanes
    with f.range(begin, end) as t:
        group, first = t // job.panels, (t % job.panels) * width
        target = job.packed + t * job.depth * width * word
        with f.range(0, width, step=lanes) as r:
            there = job.rows - (first + r)
            starts = [job.w + (group * job.w_group + f.minimum(first + r + i, job.rows - 1) * job.w_row)
                      for i in range(lanes)]
            kept = f.below(there, lanes)
            with f.range(0, job.row_words, step=lanes) as e:
                mask = f.below(job.row_words - e, lanes)
                found = turn(f, [f.masked_load(kind, start + e * word, mask) for start in starts])
                for j, value in enumerate(found):
                    place = f.load("i64", job.places + (e + j) * 8)
                    with f.if_(place >= 0):
                        value = f.select(kept, value, f.value(0.0, kind))
                        f.store(value, target + (place * width + r) * word, align=word)
    f.ret()


_FILL = (("ptr", "job"), ("ptr", "to"), ("ptr", "image"), ("i64", "first"), ("i64", "count"))


def _fill(m, copy):
    """void fill(job, to, image, first, count): rows of cells of an image; stores may go a few vectors beyond.

    ``copy(f, job, lines, line)`` copies what the image has: ``lines(work)`` calls work(to, source) for each row.
    """
    f = m.function("fill", "void", _FILL, "internal", "nounwind")
    job, to, image, first, count = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("channels", "cell", "line", "left", "first_column", "columns", "size", "x_line", "x_pixel", "x_channel")
    kind = f"<{cpu.vector_bytes()} x i8>"
    zero, step = Value(f, "zeroinitializer", kind), cpu.vector_bytes()
    begin, width = job.left * job.cell, job.columns * job.cell

    def clear(start, nbytes):
        with f.range(0, nbytes, step=step) as i:
            f.store(zero, start + i, align=1)

    # All of the padding, then rows in order: what goes beyond a row is a later row's, or zeros beside it.
    with f.range(count) as i:
        here, row = to + i * job.line, first + i
        with f.if_else((row >= 0) & (row < job.size)) as (inside, outside):
            with outside:
                clear(here, job.line)
            with inside:
                clear(here, begin)
                clear(here + (begin + width), job.line - (begin + width))

    def rows(work):
        low = f.select(first < 0, f.value(0) - first, f.value(0))
        with f.range(low, f.minimum(count, job.size - first)) as i:
            work(to + (i * job.line + begin), image + ((first + i) * job.x_line + job.first_column * job.x_pixel))
    copy(f, job, rows)
    f.ret()


def copy_lines(m, type_):
    """Images whose channels are adjacent."""
    element = "i16" if type_ == "pairs" else type_
    item = 2 if type_ == "pairs" else ITEM[type_]
    lanes = cpu.vector_bytes() // item
    kind = vector(element, lanes)

    def piece(f, to, source, count, stored):
        with f.range(0, stored, step=lanes) as i:
            value = f.masked_load(kind, source + i * item, f.below(count - i, lanes))
            f.store(value, to + i * item, align=1)

    def copy(f, job, rows):
        bytes_ = job.channels * item
        with f.if_else(job.x_pixel.eq(job.cell) & bytes_.eq(job.cell)) as (together, apart):
            with together:
                count = job.columns * job.channels
                rows(lambda to, source: piece(f, to, source, count, count))

            def pixels(to, source):
                # In order, as stores go beyond a cell.
                with f.range(job.columns) as column:
                    piece(f, to + column * job.cell, source + column * job.x_pixel, job.channels, job.cell // item)
            with apart:
                rows(pixels)
    _fill(m, copy)


def _turn_lines(m, type_):
    """Images whose pixels are adjacent: squares of channels by pixels are turned."""
    element = sums_of(type_)
    lanes, word = lanes_of(element), _word(type_)
    each = 2 if type_ == "pairs" else 1             # channels to a word
    item = word // each
    kind, halves = vector(element, lanes), f"<{lanes} x i16>"

    def copy(f, job, rows):
        words = job.cell // word
        # A few channels at a time, whose rows follow each other.
        with f.range(0, words, step=lanes) as c:
            stored = f.below(words - c, lanes)
            starts = [f.minimum(c * each + i, job.channels - 1) * job.x_channel for i in range(lanes * each)]

            def line(to, source):
                with f.range(0, job.columns, step=lanes) as x:
                    mask, at = f.below(job.columns - x, lanes), source + x * item
                    if type_ == "pairs":
                        found = []
                        for i in range(lanes):
                            low, high = (f.masked_load(halves, at + starts[2 * i + k], mask).cast("zext", "i32")
                                         for k in range(2))
                            there = c * 2 + (2 * i + 1) < job.channels
                            high = f.select(there, high << f.value(16, high.type), f.value(0, high.type))
                            found.append((low | high).bits())
                    else:
                        found = [f.masked_load(kind, at + start, mask) for start in starts]
                    here = to + (x * job.cell + c * word)
                    for j, cells in enumerate(turn(f, found)):
                        f.masked_store(cells, here + job.cell * j, stored)
            rows(line)
    _fill(m, copy)


def _turn_out(m, element):
    """void turn_out(src, pitch, dst, dst_pitch, rows, columns): dst[j dst_pitch + i] = src[i pitch + j]."""
    item, lanes = ITEM[element], lanes_of(element)
    f = m.function("turn_out", "void", (("ptr", "src"), ("i64", "pitch"), ("ptr", "dst"), ("i64", "dst_pitch"),
                                        ("i64", "rows"), ("i64", "columns")), "internal", "nounwind")
    src, pitch, dst, dst_pitch, rows, columns = f.args
    kind = vector(element, lanes)
    with f.range(0, columns, step=lanes) as j, f.range(0, rows, step=lanes) as i:
        here = src + (i * pitch + j * item)
        found = turn(f, [f.load(kind, here + pitch * k, align=item) for k in range(lanes)])
        mask, to = f.below(rows - i, lanes), dst + (j * dst_pitch + i * item)
        for k, value in enumerate(found):
            with f.if_(j + k < columns):
                f.masked_store(value, to + dst_pitch * k, mask)
    f.ret()


def unit(f, job, u):
    """(image, plane, first row, rows) of the results of unit u."""
    plane, first = u // job.blocks, u % job.blocks * job.unit_rows
    return plane // job.out_d, plane % job.out_d, first, f.minimum(job.unit_rows, job.out_h - first)


def fill_planes(f, job, u, x, to):
    """Copy what unit u needs of its image."""
    image, plane, first, count = unit(f, job, u)
    with f.range(job.planes) as i:
        z = plane * job.step_d + (job.first_plane + i)
        there = (z >= 0) & (z < job.depth_size)
        # A plane beside the image has no rows.
        row = f.select(there, first * job.step_h + job.first_line, f.value(1 << 40))
        f.call("void", "fill", f.args[0], to + i * job.plane, x + (image * job.x_image + z * job.x_plane), row,
               (count - 1) * job.step_h + job.reach, declare=False)


def _tile_task(m, type_):
    """Tile: some units of a group by a part of its panels."""
    element, word = sums_of(type_), _word(type_)
    item, lanes = ITEM[element], lanes_of(element)
    f = entries.task(m, "tile_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "bias", "packed", "finish", *FIELDS)
    null, zeros = f.null, f.symbol("zeros")
    finished, direct, last = job.finish.ne(null), job.direct.ne(0), job.last.ne(0)
    width = job.vectors * lanes
    across = width * item                               # bytes of a row of sums
    # Copies and tiles may go beyond the last cell and the last row.
    room = lanes * job.cell + job.height * job.a_row + 512
    unit_bytes = (job.planes * job.plane + room + 63) & -64
    pixels = job.unit_rows * job.out_w
    turned_pitch = ((pixels + (lanes - 1)) & -lanes) * item + 64
    sums_bytes = ((pixels + lanes) * across + 127) & -64
    block, cells = scratch(f, job, job.task_units * unit_bytes + sums_bytes + width * turned_pitch)
    sums = cells + job.task_units * unit_bytes
    turned = sums + sums_bytes
    with f.range(begin, end) as t:
        group, rest = t // (job.tasks * job.parts), t % (job.tasks * job.parts)
        task, part = rest // job.parts, rest % job.parts
        u0, u1 = task * job.units // job.tasks, (task + 1) * job.units // job.tasks
        p0, p1 = part * job.panels // job.parts, (part + 1) * job.panels // job.parts
        with f.range(u0, u1) as u:
            fill_planes(f, job, u, job.x + group * job.x_group, cells + (u - u0) * unit_bytes)
        with f.range(p0, p1) as panel:
            weights = job.packed + (group * job.panels + panel) * job.depth * width * word
            row = panel * width
            there = f.minimum(width, job.rows - row)
            bias = f.select(job.bias.ne(null), job.bias + (group * job.rows + row) * item, zeros)
            with f.range(u0, u1) as u:
                image, plane, first, count = unit(f, job, u)
                a = cells + (u - u0) * unit_bytes
                place = image * job.y_image + group * job.y_group + row * job.y_channel + first * job.y_line + \
                    plane * job.y_plane
                y = job.y + (job.y_start + place)
                c = f.select(direct, y, sums)
                c_line = f.select(direct, job.y_line, job.out_w * across)
                c_row = f.select(direct, job.y_pixel, across)
                with f.range(count) as line, f.range(0, job.out_w, step=job.height) as q:
                    f.call("void", job.tile, job.runs, job.run_count,
                           a + (line * job.step_h * job.line + q * job.a_row), job.a_row, weights,
                           c + (line * c_line + q * c_row), c_row, f.minimum(job.height, job.out_w - q), there, bias)
                with f.if_(~direct):
                    _collected(f, job, y, sums, turned, turned_pitch, across, there, image,
                               plane * job.out_h + first, count, group * job.rows + row, finished, last, item)
    f.call("void", "rl_free", block)
    f.ret()


def _collected(f, job, y, sums, turned, turned_pitch, across, there, image, first, count, row, finished, last, item):
    """Store a unit's sums of a panel."""
    pixels, pixel = count * job.out_w, first * job.out_w
    context = f.load("ptr", job.at("context"))
    image = image + f.load("i64", job.at("first_image"))
    with f.if_else(last) as (rows_of_pixels, planes):
        with rows_of_pixels:
            area = job.out_d * job.out_h * job.out_w
            f.call("void", job.finish, context, sums, across, f.value(0), image * area + pixel, row, pixels, there)
        with planes, f.if_else(finished) as (finish, plain):
            with finish:
                f.call("void", "turn_out", sums, across, turned, turned_pitch, pixels, there, declare=False)
                f.call("void", job.finish, context, turned, turned_pitch, image, row, pixel, there, pixels)
            with plain, f.if_else(job.y_pixel.eq(item) & job.y_line.eq(job.out_w * item)) as (whole, apart):
                with whole:
                    f.call("void", "turn_out", sums, across, y, job.y_channel, pixels, there, declare=False)
                with apart:
                    f.call("void", "turn_out", sums, across, turned, turned_pitch, pixels, there, declare=False)
                    with f.range(count) as line:
                        f.call("void", "copy_rows", turned + line * job.out_w * item, turned_pitch,
                               y + line * job.y_line, job.y_channel, there, job.out_w, job.y_pixel, declare=False)


def _entry(m, type_):
    """PyObject *rl_convolve_pixels(self, args, n): y, x, w, bias or None, plan, finish or None, packed weights."""
    lanes, word = lanes_of(sums_of(type_)), _word(type_)
    f, job = LAYOUT.begin(m, "rl_convolve_pixels")
    read_finish(f, job, 5)
    with f.if_(f.load("i64", job.at("finish")).ne(0)):
        f.store(f.value(0), job.at("direct"))
    job.load("groups", "panels", "depth", "vectors", "tasks", "parts")
    count = job.groups * job.panels
    with entries.released(f):
        run_packed(
            f, job, count * job.depth * job.vectors * (lanes * word),
            lambda: entries.pool(f, "pack_task", job.pointer, count),
            lambda: entries.pool(f, "tile_task", job.pointer, job.groups * job.tasks * job.parts))
    entries.done(f, f.load("i64", job.at("failed")))
