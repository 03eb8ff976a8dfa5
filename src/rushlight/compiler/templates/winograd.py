"""3 x 3 convolution with steps of one or two by minimal filtering, as generated code.

    convolve(y, x, w, bias, plan[, finish[, packed]]) -> whether y may be wrong

A *cell* of 2 x 2 outputs takes 16 products a channel instead of 36, one of 4 x 2 outputs 24 instead of 72:

    y = A' ((G w G') * (B' d B)) A          w 3 x 3, d 4 x 4 or 6 x 4, * by elements

so that the sums over channels are 16 (24) matrix products. With steps of two a cell of 2 x 2 outputs, d 5 x 5, takes 25
products of 16 different weights, which make 9 sums. Cells take the place of pixels in ``conv_product``: a vector
of them is gathered by tables (as a convolution by windows of the size of d), turned into as many vectors a channel in
scratch memory, multiplied by a panel of transformed weights after the other, and transformed back. For errors see
``winograd_transforms``. An infinity or NaN spreads over its cell, so the function returns True when it met one, for the
caller to convolve directly.

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.

``finish`` and ``packed`` are those of ``conv_product``.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, finish_piece, read_finish, run_packed, scratch
from rushlight.compiler.templates.conv_product import copy_rows
from rushlight.compiler.templates.conv_tile import ITEM, builtin, form, lanes_of
from rushlight.compiler.templates.gemm_pack import turn
from rushlight.compiler.templates.winograd_transforms import Cell

FIELDS = (
    "tile", "narrow", "gather",                             # functions; narrow: of one vector
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the windows of cells
    "weights",                                              # int64[9 depth]: where w[0, channel, tap] stands
    "pieces", "piece_list",             # int64[strips + 1]; (pixel, count, offset, rows) each
    "groups", "rows", "depth", "height", "panels", "parts",
    "units", "strips", "unit_vectors", "tile_strips", "whole", "blocks", "matrices", "k_block", "apart",
    "x_unit", "x_group", "y_unit", "y_image", "y_group", "y_row", "y_line", "w_group", "w_row",
)
ARRAYS = ("y", "x", "w", "bias")
OWN = ("packed", "failed", "finish", "context", "first_image", "unbounded")
POINTERS = ("packed", "finish", "tile", "narrow", "gather", "weights", "pieces", "piece_list")
LAYOUT = Layout(ARRAYS, FIELDS, OWN, pointers=POINTERS)
VECTORS = 2                     # of cells to a strip
AT_ONCE = 8                    # channels gathered before they are transformed


def packed_bytes(words, item):
    """Bytes of the transformed weights of a plan."""
    groups, panels, depth, height, weights = (
        int(words[FIELDS.index(n)]) for n in ("groups", "panels", "depth", "height", "matrices"))
    return groups * panels * ((depth * height * item + 127) // 128 * 128 + 64) * weights + 64


@cache
def kernel(type_, cell_height, step=1):
    """The builtin function convolve(y, x, w, bias, plan) -> bool."""
    return builtin(f"winograd {cell_height} {step}", type_, lambda: module_text(type_, Cell(cell_height, step)),
                   "rl_winograd", codegen_level=2)


def module_text(type_, cell):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    words = ", ".join(f"i64 {word}" for product in cell.products for word in product)
    m.globals.append(f"@products = internal constant [{3 * len(cell.products)} x i64] [{words}]")
    copy_rows(m, type_)
    weights_task(m, type_, cell)
    spread_data(m, type_, cell)
    back(m, type_, cell)
    _tile_task(m, type_, cell)
    _entry(m, type_, cell)
    return m.text()


def weights_pitch(job, item):
    """Bytes from a position of a panel's weights to the next; their stores must not share a set of the cache."""
    return (job.depth * job.height * item + 127) // 128 * 128 + 64


def weights_task(m, type_, cell):
    """Tile: a panel of a group, at packed + panel weights weights_pitch."""
    _weights(m, type_, cell)
    f = entries.task(m, "weights_task")
    job = LAYOUT.job(f, f.args[0])
    job.load("packed", "depth", "height")
    with f.range(f.args[1], f.args[2]) as t:
        f.call("void", "weights", job.pointer, t, job.packed + t * weights_pitch(job, ITEM[type_]) * cell.weights,
               declare=False)
    f.ret()


def _weights(m, type_, cell):
    """void weights(job, panel, target): [channel][row] of G w G' at target + weight weights_pitch."""
    item, lanes = ITEM[type_], lanes_of(type_)
    kind = vector(type_, lanes)
    f = m.function("weights", "void", (("ptr", "job"), ("i64", "panel"), ("ptr", "target")), "internal", "nounwind")
    job, t, target = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("w", "weights", "panels", "depth", "height", "rows", "w_group", "w_row")
    panel_size = weights_pitch(job, item)
    group, first = t // job.panels, (t % job.panels) * job.height
    with f.range(0, job.height, step=lanes) as r:
        stored = f.below(job.height - r, lanes)
        # Rows past the last are that once more.
        starts = [job.w + (group * job.w_group + f.minimum(first + r + i, job.rows - 1) * job.w_row)
                  for i in range(lanes)]
        with f.range(job.depth) as c:
            # A window's weights are adjacent, in order or, in adjoints, in reverse.
            begin, end = (f.load("i64", job.weights + (c * 72 + 64 * i)) for i in range(2))
            reverse, place = end < begin, f.minimum(begin, end)
            words = [value for part in range(0, 9, lanes) for value in turn(f, [
                f.masked_load(kind, start + (place + part * item), f.below(f.value(9 - part), lanes))
                for start in starts])]
            taps = [f.select(reverse, words[8 - i], words[i]) for i in range(9)]
            found = cell.transform("of_weights", [taps[3 * i:3 * i + 3] for i in range(3)])
            here = target + (c * job.height + r) * item
            for i, value in enumerate(found):
                f.masked_store(value, here + panel_size * i, stored)
    f.ret()


def spread_data(m, type_, cell):
    """void spread_data(src, dst, pitch): the vectors of windows at src as B' d B, to dst + position * pitch."""
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = m.function("spread_data", "void", (("ptr", "src"), ("ptr", "dst"), ("i64", "pitch")), "internal",
                   "nounwind alwaysinline")
    src, dst, pitch = f.args
    rows = [[f.load(kind, src + (cell.columns * i + j) * size, align=item) for j in range(cell.columns)]
            for i in range(cell.rows)]
    for i, value in enumerate(cell.transform("of_data", rows)):
        f.store(value, dst + pitch * i, align=item)
    f.ret()


def back(m, type_, cell):
    """vector back(src, pitch, dst, line, bias): A' m A of all sums, as rows of pixels; 0 * all, summed."""
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = m.function("back", kind, (("ptr", "src"), ("i64", "pitch"), ("ptr", "dst"), ("i64", "line"), (kind, "bias")),
                   "internal", "nounwind")
    src, pitch, dst, line, bias = f.args
    across = cell.sums_across
    rows = [[f.load(kind, src + pitch * (across * i + j), align=item) for j in range(across)]
            for i in range(cell.sums // across)]
    check = f.value(0.0, kind)
    found = cell.transform("of_products", rows)
    for i in range(cell.height):
        even, odd = found[2 * i] + bias, found[2 * i + 1] + bias
        check = check + even * 0.0 + odd * 0.0
        for half in range(2):
            pairs = [x for k in range(lanes // 2) for x in (half * lanes // 2 + k, lanes + half * lanes // 2 + k)]
            f.store(f.shuffle(even, odd, pairs), dst + line * i + half * size, align=item)
    f.ret(check)


def vectors_of(f, job, s):
    """The vectors of strip s; a unit's last has those that are left."""
    return f.minimum(f.value(VECTORS), job.unit_vectors - s % job.strips * VECTORS)


def spread_strips(f, job, x, s0, s1, windows, cell, size, pitch, place):
    """Gather the cells of strips [s0, s1), some channels at a time into ``windows``, and transform them.

    ``place(s, c, v)`` is where those of vector v of channel c of strip s0 + s go, position by position ``pitch`` apart.
    """
    with f.range(s0, s1) as s:
        here = x + (s // job.strips) * job.x_unit
        first = (s % job.strips) * VECTORS
        with f.range(vectors_of(f, job, s)) as v, f.range(0, job.depth, step=AT_ONCE) as c0:
            c1 = f.minimum(c0 + AT_ONCE, job.depth)
            f.call("void", job.gather, job.at("runs"), here, first + v, c0 * cell.rows, c1 * cell.rows,
                   windows, f.value(size))
            with f.range(c0, c1) as c:
                f.call("void", "spread_data", windows + (c - c0) * (cell.positions * size), place(s - s0, c, v), pitch,
                       declare=False)


def _tile_task(m, type_, cell):
    """Tile: a block of strips by a part of a group's panels, or by all of them.

    Each of ``parts`` shares of them has ``whole`` blocks by all panels, then a part of each of the ``blocks`` others.
    """
    positions, height = cell.positions, cell.height
    item, lanes = ITEM[type_], lanes_of(type_)
    size, kind = lanes * item, vector(type_, lanes)
    f = entries.task(m, "tile_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "bias", "packed", "finish", *FIELDS)
    windows = f.buffer(AT_ONCE * positions * size)
    width = VECTORS * size
    line = 2 * width                                # a row of pixels of a strip
    pixels = f.buffer(height * line * form(1 << 20)[0])
    zeros, products, null = f.symbol("zeros"), f.symbol("products"), f.null
    # Positions lie an odd number of lines apart: their stores would share a set of the cache.
    data_pitch = job.depth * width + 64
    strip_size = data_pitch * positions
    sums_pitch = job.height * width + 64
    sums_size = sums_pitch * cell.sums
    panel_size = weights_pitch(job, item)
    mine = job.packed.eq(null)
    block, data = scratch(f, job, (strip_size + sums_size) * job.tile_strips + f.select(
        mine, panel_size * cell.weights, f.value(0)))
    sums = data + strip_size * job.tile_strips
    own = sums + sums_size * job.tile_strips
    share, all_strips = job.whole + job.blocks, job.units * job.strips
    each = share * job.parts
    check = f.var(kind, f.value(0.0, kind))
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        at, i = rest // share, rest % share
        alone, other = i < job.whole, at * job.blocks + i - job.whole
        s0 = f.select(alone, at * job.whole + i, job.parts * job.whole + other // job.parts) * job.tile_strips
        s1 = f.minimum(s0 + job.tile_strips, all_strips)
        part, parts = f.select(alone, f.value(0), other % job.parts), f.select(alone, f.value(1), job.parts)
        p0, p1 = part * job.panels // parts, (part + 1) * job.panels // parts
        x, y = job.x + group * job.x_group, job.y + group * job.y_group
        spread_strips(f, job, x, s0, s1, windows, cell, size, data_pitch,
                      lambda s, c, v: data + (s * strip_size + c * width + v * size))
        with f.range(p0, p1) as panel:
            row0 = panel * job.height
            rows = f.minimum(job.height, job.rows - row0)
            place = group * job.panels + panel
            with f.if_(mine):
                f.call("void", "weights", job.pointer, place, own, declare=False)
            weights = f.select(mine, own, job.packed + place * cell.weights * panel_size)
            last = f.var("i64", -1)
            with f.range(len(cell.products)) as i:
                which, weight, position = (f.load("i64", products + (i * 24 + 8 * j)) for j in range(3))
                again = which.eq(last.get())
                last.set(which)
                with f.range(s0, s1) as s:
                    vectors = vectors_of(f, job, s)
                    tile = f.select(vectors.eq(1), job.narrow, job.tile)
                    # Sums of blocks are added: shorter sums have smaller errors.
                    with f.range(0, job.depth, step=job.k_block) as k:
                        f.call("void", tile, f.minimum(job.k_block, job.depth - k),
                               weights + (weight * panel_size + k * job.height * item), f.value(0),
                               data + ((s - s0) * strip_size + position * data_pitch + k * width), f.value(width),
                               sums + ((s - s0) * sums_size + which * sums_pitch), f.value(width), rows,
                               vectors * lanes, f.select(again, f.value(1), k), zeros)
            with f.range(s0, s1) as s:
                unit, local, vectors = s // job.strips, s % job.strips, vectors_of(f, job, s)
                piece0 = f.load("i64", job.pieces + local * 8)
                piece1 = f.load("i64", job.pieces + local * 8 + 8)
                with f.range(rows) as r:
                    offset = f.var(type_, 0.0)
                    with f.if_(job.bias.ne(null)):
                        offset.set(f.load(type_, job.bias + (group * job.rows + row0 + r) * item, align=item))
                    bias = f.splat(offset.get(), lanes)
                    with f.range(vectors) as v:
                        found = f.call(kind, "back", sums + ((s - s0) * sums_size + r * width + v * size), sums_pitch,
                                       pixels + (r * (height * line) + v * (2 * size)), f.value(line), bias,
                                       declare=False)
                        check.set(check.get() + found)
                base = y + (unit * job.y_unit + row0 * job.y_row)
                with f.range(piece0, piece1) as piece:
                    entry = job.piece_list + piece * 32
                    pixel, count, offset, lines = (f.load("i64", entry + 8 * i) for i in range(4))
                    source = pixels + pixel * item
                    with f.if_else(job.finish.ne(null)) as (finishing, copying):
                        with finishing, f.range(lines) as i:
                            finish_piece(f, job, source + i * line, f.value(height * line),
                                         unit * job.y_unit + offset + i * job.y_line, group * job.rows + row0, rows,
                                         count, item)
                        with copying, f.range(rows) as r:
                            f.call("void", "copy_rows", source + r * (height * line), f.value(line),
                                   base + (r * job.y_row + offset), job.y_line, lines, count, f.value(item),
                                   declare=False)
    bad = f.emit(f"i{lanes}", f"bitcast <{lanes} x i1> {check.get().isnan().name} to i{lanes}")
    with f.if_(bad.ne(0)):
        f.store(f.value(1), job.at("unbounded"))
    f.call("void", "rl_free", block)
    f.ret()


def _entry(m, type_, cell):
    """PyObject *rl_winograd(self, args, n): y, x, w, bias or None, plan, finish or None, memory of packed weights."""
    f, job = LAYOUT.begin(m, "rl_winograd")
    read_finish(f, job, 5)
    job.load("groups", "panels", "depth", "height", "whole", "blocks", "parts", "apart")
    count = job.groups * job.panels
    tiles = job.groups * (job.whole + job.blocks) * job.parts
    with entries.released(f):
        run_packed(
            f, job, count * weights_pitch(job, ITEM[type_]) * cell.weights,
            lambda: entries.pool(f, "weights_task", job.pointer, count),
            lambda: entries.pool(f, "tile_task", job.pointer, tiles), job.apart)
    entries.done(f, f.load("i64", job.at("failed")), f.load("i64", job.at("unbounded")))
