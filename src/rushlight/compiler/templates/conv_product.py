"""Convolution as a product of packed weights with window columns that stay in the cache, as generated code.

    convolve(y, x, w, bias, plan[, finish[, packed]])   y[row, pixel] = sum_k w[row, k] columns[k, pixel]  (+ bias[row])

``plan`` is an int64 array of the words in ``FIELDS``, made by ``ops.nn.conv_plans``; its tables say which elements
the columns are (see ``conv_gather``), so the same code makes convolutions and their adjoints. Pixels come in *units*
of a fixed number of images, units in strips as wide as the kernels of ``conv_tile``. A tile of work is ``tile_strips``
strips by a part of the rows: the strips' columns are gathered a block of k at a time into scratch memory of the
thread, in the order in which the kernels read them, and multiplied by all panels of the weights, which are packed
once a call. The sums run in one order that depends on the shape only.

Where a strip's pixels aren't adjacent in y (several images in a unit, steps between the pixels of an adjoint), tiles
collect in scratch memory and are copied out by the table of ``pieces``.

``finish``, if given, is an int64 array: ``conv_job.FINISH``, then the context of a finishing function (see
``gemm_finish``), which is called for every piece of y when its sums are complete and stores it: matrices are images,
rows channels, columns pixels. ``apart`` says that y isn't of the type of the sums, which then stay in scratch memory.

``packed``, if given, is an array of at least ``packed_bytes(plan)``: where y is None, w is packed into it and that is
all; where y is there, it has been, and w isn't read.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, finish_piece, read_finish, run_packed, scratch
from rushlight.compiler.templates.conv_tile import ITEM, builtin, lanes_of

# The plan's words: strides and offsets in bytes.
FIELDS = (
    "tile", "gather",                                       # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the columns
    "weights",                                              # int64[k]: where w[0, k] stands
    "pieces", "piece_list",                                 # int64[strips + 1]; (pixel, count, offset, step) each
    "groups", "rows", "depth", "height", "panels", "parts", "vectors",
    "units", "strips", "unit_pixels", "tile_strips", "blocks", "k_block",
    "x_unit", "x_group", "y_unit", "y_image", "y_group", "y_row", "w_group", "w_row", "direct",
)
LAYOUT = Layout(("y", "x", "w", "bias"), FIELDS, ("packed", "failed", "finish", "context", "first_image"),
                pointers=("packed", "finish", "context", "tile", "gather", "runs", "offsets", "masks", "moves",
                          "weights", "pieces", "piece_list"))
_PARALLEL_PACK = 1 << 15        # elements of weights


def packed_bytes(words, item):
    """Bytes of the packed weights of a plan."""
    groups, panels, depth, height = (int(words[FIELDS.index(n)]) for n in ("groups", "panels", "depth", "height"))
    return groups * panels * depth * height * item + 64


@cache
def kernel(type_):
    """The builtin function convolve(y, x, w, bias, plan) for ``float`` or ``double``."""
    return builtin("conv product", type_, lambda: module_text(type_), "rl_convolve")


def module_text(type_):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    _pack_task(m, type_)
    copy_rows(m, type_)
    _tile_task(m, type_)
    _entry(m, type_)
    return m.text()


def _pack_task(m, type_):
    """Tile: a panel of a group's weights, packed[(panel depth + k) height + r]; rows past the last are zeros."""
    item = ITEM[type_]
    f = entries.task(m, "pack_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("w", "packed", "weights", "panels", "depth", "height", "rows", "w_group", "w_row")
    with f.range(begin, end) as t:
        group, first = t // job.panels, (t % job.panels) * job.height
        source = job.w + (group * job.w_group + first * job.w_row)
        target = job.packed + t * job.depth * job.height * item
        there = f.minimum(job.rows - first, job.height)
        with f.range(job.depth) as k:
            place = f.var("ptr", source + f.load("i64", job.weights + k * 8))
            here = target + k * job.height * item
            with f.range(there) as r:
                at = place.get()
                f.store(f.load(type_, at, align=item), here + r * item, align=item)
                place.set(at + job.w_row)
            with f.range(there, job.height) as r:
                f.store(f.value(0.0, type_), here + r * item, align=item)
    f.ret()


def copy_rows(m, type_):
    """void copy_rows(src, src_pitch, dst, dst_pitch, rows, count, step); pitches and step in bytes.

    dst[r dst_pitch + i step] = src[r src_pitch + i]
    """
    item, lanes = ITEM[type_], lanes_of(type_)
    kind = vector(type_, lanes)
    f = m.function("copy_rows", "void", (("ptr", "src"), ("i64", "src_pitch"), ("ptr", "dst"), ("i64", "dst_pitch"),
                                         ("i64", "rows"), ("i64", "count"), ("i64", "step")), "internal", "nounwind")
    src, src_pitch, dst, dst_pitch, rows, count, step = f.args
    with f.if_(step.eq(item)):
        with f.range(0, count, step=lanes) as i:
            mask = f.below(count - i, lanes)
            with f.range(rows) as r:
                value = f.masked_load(kind, src + (r * src_pitch + i * item), mask)
                f.masked_store(value, dst + (r * dst_pitch + i * item), mask)
        f.ret()
    # Every other element: each twice, of which one is stored.
    even = Value(f, "<" + ", ".join(f"i1 {1 - i % 2}" for i in range(lanes)) + ">", f"<{lanes} x i1>")
    with f.if_(step.eq(2 * item)):
        with f.range(0, count, step=lanes) as i:
            left = count - i
            mask = f.below(left, lanes)
            halves = [even & f.below(left * 2 - half * lanes, lanes) for half in range(2)]
            with f.range(rows) as r:
                value = f.masked_load(kind, src + (r * src_pitch + i * item), mask)
                here = dst + (r * dst_pitch + i * 2 * item)
                for half, stored in enumerate(halves):
                    twice = f.shuffle(value, value, [half * lanes // 2 + k // 2 for k in range(lanes)])
                    f.masked_store(twice, here + half * lanes * item, stored)
        f.ret()
    with f.range(rows) as r:
        at = f.var("ptr", dst + r * dst_pitch)
        with f.range(count) as i:
            here = at.get()
            f.store(f.load(type_, src + (r * src_pitch + i * item), align=item), here, align=item)
            at.set(here + step)
    f.ret()


def copy_out(m, type_):
    """void copy_out(src, dst, count, step): one of `copy_rows`."""
    copy_rows(m, type_)
    f = m.function("copy_out", "void", (("ptr", "src"), ("ptr", "dst"), ("i64", "count"), ("i64", "step")),
                   "internal", "nounwind")
    src, dst, count, step = f.args
    f.call("void", "copy_rows", src, f.value(0), dst, f.value(0), f.value(1), count, step, declare=False)
    f.ret()


def _tile_task(m, type_):
    """Tile: a block of strips by a part of a group's panels."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = entries.task(m, "tile_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "w", "bias", "packed", "finish", *FIELDS)
    width = job.vectors * lanes
    pitch = width * item
    tables = job.at("runs")
    zeros, null = f.symbol("zeros"), f.null
    biased, finished = job.bias.ne(null), job.finish.ne(null)
    indirect = job.direct.eq(0)
    columns_size = job.tile_strips * job.k_block * pitch
    most_panels = (job.panels + job.parts - 1) // job.parts
    c_pitch = job.tile_strips * pitch
    sums_size = f.select(indirect, most_panels * job.height * c_pitch, f.value(0))
    block, columns = scratch(f, job, columns_size + sums_size)
    sums = columns + columns_size
    c_row = f.select(indirect, c_pitch, job.y_row)
    each = job.blocks * job.parts
    all_strips = job.units * job.strips
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        s0, part = (rest // job.parts) * job.tile_strips, rest % job.parts
        s1 = f.minimum(s0 + job.tile_strips, all_strips)
        p0, p1 = part * job.panels // job.parts, (part + 1) * job.panels // job.parts
        x = job.x + group * job.x_group
        y = job.y + group * job.y_group
        with f.range(0, job.depth, step=job.k_block) as k0:
            k1 = f.minimum(k0 + job.k_block, job.depth)
            strip_size = (k1 - k0) * pitch
            with f.range(s0, s1) as s:
                unit, local = s // job.strips, s % job.strips
                here = x + unit * job.x_unit
                dst = columns + (s - s0) * strip_size
                with f.range(job.vectors) as v:
                    f.call("void", job.gather, tables, here, local * job.vectors + v, k0, k1,
                           dst + v * (lanes * item), pitch)
            started = f.emit("i64", f"zext i1 {k0.ne(0).name} to i64")
            finishing = finished & (k1 >= job.depth) & job.direct.ne(0)
            with f.range(p0, p1) as panel:
                row = panel * job.height
                a = job.packed + ((group * job.panels + panel) * job.depth + k0) * job.height * item
                bias = f.select(biased & started.eq(0), job.bias + (group * job.rows + row) * item, zeros)
                rows = f.minimum(job.height, job.rows - row)
                with f.range(s0, s1) as s:
                    unit, local = s // job.strips, s % job.strips
                    straight = y + (unit * job.y_unit + row * job.y_row + local * pitch)
                    aside = sums + ((panel - p0) * job.height * c_pitch + (s - s0) * pitch)
                    left = job.unit_pixels - local * width
                    f.call("void", job.tile, k1 - k0, a, f.value(0), columns + (s - s0) * strip_size, pitch,
                           f.select(indirect, aside, straight), c_row, rows, f.minimum(left, width), started, bias)
                    with f.if_(finishing):
                        finish_piece(f, job, straight, job.y_row, unit * job.y_unit + local * pitch,
                                     group * job.rows + row, rows, f.minimum(left, width), item)
        with f.if_(indirect):
            first = p0 * job.height
            with f.range(s0, s1) as s:
                unit, local = s // job.strips, s % job.strips
                base = y + unit * job.y_unit
                piece0 = f.load("i64", job.pieces + local * 8)
                piece1 = f.load("i64", job.pieces + local * 8 + 8)
                with f.range(piece0, piece1) as piece:
                    entry = job.piece_list + piece * 32
                    pixel, count, offset, step = (f.load("i64", entry + 8 * i) for i in range(4))
                    source = sums + ((s - s0) * pitch + pixel * item)
                    rows = f.minimum(p1 * job.height, job.rows) - first
                    with f.if_else(finished) as (finishing, copying):
                        with finishing:
                            finish_piece(f, job, source, c_pitch, unit * job.y_unit + offset,
                                         group * job.rows + first, rows, count, item)
                        with copying:
                            f.call("void", "copy_rows", source, c_pitch, base + (first * job.y_row + offset),
                                   job.y_row, rows, count, step, declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _entry(m, type_):
    """PyObject *rl_convolve(self, args, n): y, x, w, bias or None, plan, finish or None, memory of packed weights."""
    f, job = LAYOUT.begin(m, "rl_convolve")
    read_finish(f, job, 5)
    job.load("groups", "panels", "depth", "height", "blocks", "parts")
    count = job.groups * job.panels
    elements = count * job.depth * job.height

    def pack():
        entries.here_or_pool(f, elements < _PARALLEL_PACK, "pack_task", job.pointer, count)

    def multiply():
        entries.pool(f, "tile_task", job.pointer, job.groups * job.blocks * job.parts)

    with entries.released(f):
        run_packed(f, job, elements * ITEM[type_], pack, multiply)
    entries.done(f, f.load("i64", job.at("failed")))
