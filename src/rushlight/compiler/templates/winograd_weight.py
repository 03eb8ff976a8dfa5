"""The gradient of 3 x 3 convolution weights by minimal filtering, as generated code.

    weight_gradient(dw, x, g, partial, plan) -> whether dw may be wrong

The adjoint of ``winograd`` in the weights: with d the windows of x and e the cells (2 x 2 or 4 x 2) of g,

    dw = G' (sum over cells (A e A') * (B' d B)) G

so the sums over cells are 16 (24) matrix products. A tile of work is a bin of cells of a group by a part of the
channels: block by block both sides are transformed into scratch memory and multiplied, and added to the bin's sums in
``partial`` (groups, bins, positions, depth, width). At the end bins are added up in order and transformed: the bits
depend on the shape, not on the number of threads. ``plan`` holds the int64 words ``FIELDS``.

Where the sums of many channels are much larger than both transformed sides of few cells, these are made ``whole``
first, to stand after the sums in ``partial``, and each product runs over all cells.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_tile import ITEM, builtin, lanes_of
from rushlight.compiler.templates.gemm_pack import turn
from rushlight.compiler.templates.winograd import spread_data
from rushlight.compiler.templates.winograd_transforms import Cell

FIELDS = (
    "tile", "gather", "g_gather",                                       # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the windows of x
    "g_runs", "g_offsets", "g_masks", "g_moves", "g_mask_pitch", "g_lane_step",     # and of the cells of g
    "groups", "rows", "width", "depth", "height", "panels", "parts", "vectors", "bins",
    "units", "unit_vectors", "block_vectors", "x_unit", "x_group", "g_unit", "g_group",
    "whole",
)
LAYOUT = Layout(("dw", "x", "g", "partial"), FIELDS, ("failed", "unbounded"), pointers=("tile", "gather", "g_gather"))
_AT_ONCE = 8                    # channels gathered before they are transformed


@cache
def kernel(type_, cell_height):
    """The builtin function weight_gradient(dw, x, g, partial, plan) -> bool."""
    return builtin(f"winograd weight {cell_height}", type_, lambda: module_text(type_, Cell(cell_height)),
                   "rl_winograd_weight", codegen_level=2)


def module_text(type_, cell):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    spread_data(m, type_, cell)
    _spread(m, type_, cell)
    _transform(m, type_, cell)
    _products(m, type_)
    _bin_task(m, type_, cell)
    _whole_task(m, type_, cell)
    _product_task(m, type_, cell)
    _total_task(m, type_, cell)
    _entry(m, cell)
    return m.text()


def _spread(m, type_, cell):
    """void spread(src, dst, across, pitch): a vector of cells of as many channels at src, [channel][tap].

    dst[position * pitch + cell * across] gets the vector of channels of A e A'.
    """
    taps = 2 * cell.height
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = m.function("spread", "void", (("ptr", "src"), ("ptr", "dst"), ("i64", "across"), ("i64", "pitch")),
                   "internal", "nounwind")
    src, dst, across, pitch = f.args
    turned = f.buffer(taps * lanes * size)
    with f.range(taps) as tap:
        rows = [f.load(kind, src + (tap * size + taps * size * i), align=item) for i in range(lanes)]
        for j, column in enumerate(turn(f, rows)):
            f.store(column, turned + (tap * (lanes * size) + j * size), align=item)
    with f.range(lanes) as j:
        rows = [[f.load(kind, turned + (j * size + (2 * y + x) * lanes * size), align=item) for x in range(2)]
                for y in range(cell.height)]
        for i, value in enumerate(cell.transform("of_gradients", rows)):
            f.store(value, dst + j * across + pitch * i, align=item)
    f.ret()


class _Sizes:
    """Bytes of both transformed sides of ``vectors`` vectors of cells, for ``channels`` of x."""

    def __init__(self, job, type_, cell, channels, vectors):
        self.size = lanes_of(type_) * ITEM[type_]
        self.across = job.width * ITEM[type_]           # a cell's channels of g
        # A channel's cells, and positions, an odd number of lines apart: they must not share a set of the cache.
        self.line = vectors * self.size + _odd(vectors)
        self.data_pitch = channels * self.line + 64
        self.spread_pitch = vectors * lanes_of(type_) * self.across + 64
        self.data = self.data_pitch * cell.positions
        self.all = self.data + self.spread_pitch * cell.positions


def _odd(vectors):
    """64 bytes where a number of vectors is even, else none."""
    return ((vectors + 1) & 1) * 64


def _transform(m, type_, cell):
    """void transform(job, x, g, v, at, c0, c1, data, line, data_pitch, spread, spread_pitch): a vector of cells.

    Both sides of vector v of the group at x and g, channels c0 to c1 of x, written as vector ``at``.
    """
    item, lanes = ITEM[type_], lanes_of(type_)
    size = lanes * item
    f = m.function("transform", "void", (
        ("ptr", "job"), ("ptr", "x"), ("ptr", "g"), ("i64", "v"), ("i64", "at"), ("i64", "q0"), ("i64", "q1"),
        ("ptr", "data"), ("i64", "line"), ("i64", "data_pitch"), ("ptr", "spread"), ("i64", "spread_pitch")),
        "internal", "nounwind")
    pointer, x, g, v, at, q0, q1, data, line, data_pitch, spread, spread_pitch = f.args
    job = LAYOUT.job(f, pointer)
    job.load("gather", "g_gather", "rows", "width", "unit_vectors", "x_unit", "g_unit")
    windows = f.buffer(max(_AT_ONCE * cell.positions, 2 * cell.height * lanes) * size)
    across = job.width * item
    unit, local = v // job.unit_vectors, v % job.unit_vectors
    with f.range(0, job.rows, step=lanes) as o:
        f.call("void", job.g_gather, job.at("g_runs"), g + unit * job.g_unit, local, o * cell.height,
               f.minimum(o + lanes, job.rows) * cell.height, windows, f.value(size))
        f.call("void", "spread", windows, spread + (at * lanes * across + o * item), across, spread_pitch,
               declare=False)
    with f.range(q0, q1, step=_AT_ONCE) as c0:
        c1 = f.minimum(c0 + _AT_ONCE, q1)
        f.call("void", job.gather, job.at("runs"), x + unit * job.x_unit, local, c0 * cell.rows, c1 * cell.rows,
               windows, f.value(size))
        with f.range(c0, c1) as c:
            f.call("void", "spread_data", windows + (c - c0) * (cell.positions * size),
                   data + ((c - q0) * line + at * size), data_pitch, declare=False)
    f.ret()


def _products(m, type_):
    """void products(job, q0, q1, data, line, spread, target, cells, again): channels q0 to q1 at a position."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = m.function("products", "void", (
        ("ptr", "job"), ("i64", "q0"), ("i64", "q1"), ("ptr", "data"), ("i64", "line"), ("ptr", "spread"),
        ("ptr", "target"), ("i64", "cells"), ("i64", "again")), "internal", "nounwind")
    pointer, q0, q1, data, line, spread, target, cells, again = f.args
    job = LAYOUT.job(f, pointer)
    job.load("tile", "width", "height", "vectors")
    across, strip = job.width * item, job.vectors * (lanes * item)
    zeros = f.symbol("zeros")
    with f.range(q0, q1, step=job.height) as c:
        rows = f.minimum(job.height, q1 - c)
        with f.range(0, across, step=strip) as o:
            f.call("void", job.tile, cells, data + (c - q0) * line, line, spread + o, across,
                   target + (c * across + o), across, rows, job.vectors * lanes, again, zeros)
    f.ret()


def _bin_task(m, type_, cell):
    """Tile: a bin of a group's cells by a part of the panels of channels."""
    lanes = lanes_of(type_)
    f = entries.task(m, "bin_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("x", "g", "partial", *FIELDS)
    sizes = _Sizes(job, type_, cell, (job.panels + job.parts - 1) // job.parts * job.height, job.block_vectors)
    block, data = scratch(f, job, sizes.all)
    spread = data + sizes.data
    each = job.bins * job.parts
    all_vectors = job.units * job.unit_vectors
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        bin_, part = rest // job.parts, rest % job.parts
        q0 = (part * job.panels // job.parts) * job.height
        q1 = f.minimum(((part + 1) * job.panels // job.parts) * job.height, job.depth)
        first, last = bin_ * all_vectors // job.bins, (bin_ + 1) * all_vectors // job.bins
        x, g = job.x + group * job.x_group, job.g + group * job.g_group
        position = job.depth * sizes.across
        target = job.partial + (group * job.bins + bin_) * position * cell.positions
        with f.range(first, last, step=job.block_vectors) as v0:
            v1 = f.minimum(v0 + job.block_vectors, last)
            with f.range(v0, v1) as v:
                f.call("void", "transform", job.pointer, x, g, v, v - v0, q0, q1, data, sizes.line, sizes.data_pitch,
                       spread, sizes.spread_pitch, declare=False)
            again = f.emit("i64", f"zext i1 {v0.ne(first).name} to i64")
            with f.range(cell.positions) as i:
                f.call("void", "products", job.pointer, q0, q1, data + i * sizes.data_pitch, sizes.line,
                       spread + i * sizes.spread_pitch, target + i * position, (v1 - v0) * lanes, again,
                       declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _wholes(job, type_, cell, group):
    """Sizes and both sides of all cells of a group, after the sums."""
    sizes = _Sizes(job, type_, cell, job.depth, job.units * job.unit_vectors)
    position = job.depth * sizes.across
    data = job.partial + (job.groups * position * cell.positions + group * sizes.all)
    return sizes, position, data, data + sizes.data


def _whole_task(m, type_, cell):
    """Tile: both sides of a vector of a group's cells."""
    f = entries.task(m, "whole_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("x", "g", "partial", *FIELDS)
    all_vectors = job.units * job.unit_vectors
    with f.range(begin, end) as t:
        group, v = t // all_vectors, t % all_vectors
        sizes, _, data, spread = _wholes(job, type_, cell, group)
        f.call("void", "transform", job.pointer, job.x + group * job.x_group, job.g + group * job.g_group, v, v,
               f.value(0), job.depth, data, sizes.line, sizes.data_pitch, spread, sizes.spread_pitch, declare=False)
    f.ret()


def _product_task(m, type_, cell):
    """Tile: the product of a position of a group over a part of the panels of channels."""
    f = entries.task(m, "product_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("x", "g", "partial", *FIELDS)
    each = job.parts * cell.positions
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        i, part = rest // job.parts, rest % job.parts
        q0 = (part * job.panels // job.parts) * job.height
        q1 = f.minimum(((part + 1) * job.panels // job.parts) * job.height, job.depth)
        sizes, position, data, spread = _wholes(job, type_, cell, group)
        f.call("void", "products", job.pointer, q0, q1, data + (i * sizes.data_pitch + q0 * sizes.line), sizes.line,
               spread + i * sizes.spread_pitch, job.partial + (group * cell.positions + i) * position,
               job.units * job.unit_vectors * lanes_of(type_), f.value(0), declare=False)
    f.ret()


def _total_task(m, type_, cell):
    """Tile: a channel of a group, over all rows: the bins added up and transformed into dw."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = entries.task(m, "total_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "partial", "rows", "width", "depth", "bins")
    kind, size = vector(type_, lanes), lanes * item
    found = f.buffer(9 * size)
    across = job.width * item
    position = job.depth * across
    bin_size = position * cell.positions
    check = f.var(kind, f.value(0.0, kind))
    with f.range(begin, end) as t:
        group, c = t // job.depth, t % job.depth
        place = job.partial + (group * job.bins * bin_size + c * across)
        with f.range(0, job.rows, step=lanes) as o:
            sums = [f.var(kind, f.load(kind, place + (o * item + position * i), align=item))
                    for i in range(cell.positions)]
            with f.range(1, job.bins) as b:
                for i, total in enumerate(sums):
                    at = place + (o * item + position * i + b * bin_size)
                    total.set(total.get() + f.load(kind, at, align=item))
            rows = [[total.get() for total in sums[4 * i:4 * i + 4]] for i in range(cell.rows)]
            for i, value in enumerate(cell.transform("of_sums", rows)):
                f.store(value, found + i * size)
                check.set(check.get() + value * 0.0)
            with f.range(f.minimum(job.rows - o, f.value(lanes))) as r:
                to = job.dw + ((group * job.rows + o + r) * job.depth + c) * (9 * item)
                for i in range(9):
                    f.store(f.load(type_, found + (r * item + i * size), align=item), to + i * item, align=item)
    bad = f.emit(f"i{lanes}", f"bitcast <{lanes} x i1> {check.get().isnan().name} to i{lanes}")
    with f.if_(bad.ne(0)):
        f.store(f.value(1), job.at("unbounded"))
    f.ret()


def _entry(m, cell):
    """PyObject *rl_winograd_weight(self, args, n): dw, x, g, partial, plan."""
    f, job = LAYOUT.begin(m, "rl_winograd_weight")
    job.load("groups", "bins", "parts", "depth", "units", "unit_vectors", "whole")
    with entries.released(f):
        with f.if_else(job.whole.ne(0)) as (whole, binned):
            with whole:
                entries.pool(f, "whole_task", job.pointer, job.groups * job.units * job.unit_vectors)
                entries.pool(f, "product_task", job.pointer, job.groups * job.parts * cell.positions)
            with binned:
                entries.pool(f, "bin_task", job.pointer, job.groups * job.bins * job.parts)
        entries.pool(f, "total_task", job.pointer, job.groups * job.depth)
    entries.done(f, f.load("i64", job.at("failed")), f.load("i64", job.at("unbounded")))
