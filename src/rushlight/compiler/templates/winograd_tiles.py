"""3 x 3 convolution by minimal filtering whose 16 products run on AMX tiles, as generated code.

    convolve(y, x, w, bias, plan) -> whether y may be wrong

The work of ``winograd``, with its plan's words (``height`` is 32, ``tile`` is unused) and its transforms:
transformed weights and squares are split in pieces and packed (``gemm_tiles``) between the transforms and the products.
Returns True when values don't suit tiles (see ``gemm_pieces``), for the caller to convolve directly.
"""

from functools import cache

from rushlight.compiler.templates import entries, winograd
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_product import copy_out
from rushlight.compiler.templates.gemm_tiles import NAMES, bytes_of
from rushlight.compiler.templates.winograd import FIELDS, VECTORS
from rushlight.compiler.templates.winograd_transforms import Cell

# The words of ``winograd``, so that its functions can read them, then our own.
LAYOUT = Layout(winograd.ARRAYS, FIELDS, (*winograd.OWN, "tiles", "unfit", "least", "greatest"),
                pointers=(*winograd.POINTERS, "tiles"))
LANES, ITEM = 16, 4
_CELL = Cell(2)
POSITIONS = _CELL.positions
_SIZE = LANES * ITEM
_WIDTH = VECTORS * _SIZE        # bytes of a strip's row of squares


@cache
def kernel(tiles):
    """The builtin function convolve(y, x, w, bias, plan) -> bool, for the functions of ``gemm_route.tiles``."""
    imports = dict(zip(NAMES, tiles[-3:], strict=True))
    return entries.load("winograd tiles", lambda: module_text(tiles), ["rl_winograd_tiles"], imports,
                        codegen_level=2)[0]


def module_text(tiles):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    copy_out(m, "float")
    winograd.weights_task(m, "float", _CELL)
    winograd.spread_data(m, "float", _CELL)
    winograd.back(m, "float", _CELL)
    _pack_task(m, tiles)
    _tile_task(m, tiles)
    _entry(m, tiles)
    return m.text()


def _pack_task(m, tiles):
    """Tile: a panel of a group's transformed weights at one position."""
    f = entries.task(m, "pack_task")
    job = LAYOUT.job(f, f.args[0])
    job.load("packed", "tiles", "panels", "depth", "height", "rows")
    pitch = winograd.weights_pitch(job, ITEM)
    with f.range(f.args[1], f.args[2]) as t:
        there = f.minimum(job.rows - (t // POSITIONS % job.panels) * job.height, job.height)
        f.call("void", NAMES[0], job.packed + t * pitch, f.value(ITEM), job.height * ITEM, there, job.depth,
               job.tiles + t * bytes_of(tiles, job.depth), job.at("least"))
    f.ret()


def _tile_task(m, tiles):
    """Tile: a block of strips by a part of a group's panels."""
    f = entries.task(m, "tile_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "bias", "tiles", *FIELDS)
    windows = f.buffer(winograd.AT_ONCE * POSITIONS * _SIZE)
    line = 2 * _WIDTH                               # a row of pixels of a strip
    pixels, facts = f.buffer(2 * line), f.buffer(16)
    null = f.null
    row_bytes = job.tile_strips * _WIDTH            # all strips side by side
    # Positions lie an odd number of lines apart: their stores would share a set of the cache.
    data_pitch, sums_pitch = job.depth * row_bytes + 64, job.height * row_bytes + 64
    most_panels = (job.panels + job.parts - 1) // job.parts
    matrix = bytes_of(tiles, job.depth)
    panel_size = sums_pitch * POSITIONS
    block, data = scratch(f, job, data_pitch * POSITIONS + matrix * job.tile_strips + panel_size * most_panels)
    packed = data + data_pitch * POSITIONS
    sums = packed + matrix * job.tile_strips
    each, all_strips = job.blocks * job.parts, job.units * job.strips
    unfit = f.var("i32", 0)
    with f.range(begin, end) as t, f.if_(f.load("i64", job.at("unfit")).eq(0)):
        group, rest = t // each, t % each
        s0, part = (rest // job.parts) * job.tile_strips, rest % job.parts
        s1 = f.minimum(s0 + job.tile_strips, all_strips)
        p0, p1 = part * job.panels // job.parts, (part + 1) * job.panels // job.parts
        x, y = job.x + group * job.x_group, job.y + group * job.y_group
        winograd.spread_strips(f, job, x, s0, s1, windows, _CELL, _SIZE, data_pitch,
                               lambda s, c, v: data + (c * row_bytes + s * _WIDTH + v * _SIZE))
        columns = (s1 - s0) * (VECTORS * LANES)
        with f.range(POSITIONS) as i:
            f.store(f.value(-1), facts)
            f.store(f.value(0), facts + 8)
            f.call("void", NAMES[1], data + i * data_pitch, row_bytes, f.value(ITEM), job.depth, columns, packed,
                   facts)
            with f.range(p0, p1) as panel:
                rows = f.minimum(job.height, job.rows - panel * job.height)
                weights = job.tiles + ((group * job.panels + panel) * POSITIONS + i) * matrix
                bad = f.call("i32", NAMES[2], weights, job.at("least"), job.depth, f.value(0), rows, job.depth, packed,
                             facts, columns, sums + ((panel - p0) * panel_size + i * sums_pitch), row_bytes,
                             f.value(0), null)
                unfit.set(unfit.get() | bad)
        with f.if_(unfit.get().ne(0)):
            # Other tasks may stop: all is done again.
            f.store(f.value(1), job.at("unfit"))
        with f.if_(unfit.get().eq(0)), f.range(p0, p1) as panel:
            row0 = panel * job.height
            with f.range(s0, s1) as s:
                unit, local = s // job.strips, s % job.strips
                piece0, piece1 = (f.load("i64", job.pieces + local * 8 + 8 * i) for i in range(2))
                with f.range(f.minimum(job.height, job.rows - row0)) as r:
                    offset = f.var("float", 0.0)
                    with f.if_(job.bias.ne(null)):
                        offset.set(f.load("float", job.bias + (group * job.rows + row0 + r) * ITEM, align=ITEM))
                    bias = f.splat(offset.get(), LANES)
                    for v in range(VECTORS):
                        source = sums + ((panel - p0) * panel_size + r * row_bytes + (s - s0) * _WIDTH + v * _SIZE)
                        f.call(bias.type, "back", source, sums_pitch, pixels + 2 * v * _SIZE, f.value(line), bias,
                               declare=False)
                    base = y + (unit * job.y_unit + (row0 + r) * job.y_row)
                    with f.range(piece0, piece1) as piece:
                        entry = job.piece_list + piece * 32
                        pixel, count, offset, lines = (f.load("i64", entry + 8 * i) for i in range(4))
                        f.call("void", "copy_out", pixels + pixel * ITEM, base + offset, count, f.value(ITEM),
                               declare=False)
                        with f.if_(lines.ne(1)):
                            f.call("void", "copy_out", pixels + (pixel * ITEM + line), base + (offset + job.y_line),
                                   count, f.value(ITEM), declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _entry(m, tiles):
    """PyObject *rl_winograd_tiles(self, args, n): y, x, w, bias or None, plan."""
    f, job = LAYOUT.begin(m, "rl_winograd_tiles")
    f.store(f.value(-1), job.at("least"))
    job.load("groups", "panels", "depth", "height", "blocks", "parts")
    count = job.groups * job.panels
    plain = (count * winograd.weights_pitch(job, ITEM) * POSITIONS + 63) & -64
    nbytes = plain + count * POSITIONS * bytes_of(tiles, job.depth) + 64
    with entries.released(f), entries.with_scratch(f, nbytes, job.at("failed")) as packed:
        f.store(packed, job.at("packed"))
        f.store(packed + plain, job.at("tiles"))
        entries.pool(f, "weights_task", job.pointer, count)
        entries.pool(f, "pack_task", job.pointer, count * POSITIONS)
        entries.pool(f, "tile_task", job.pointer, job.groups * job.blocks * job.parts)
    entries.done(f, f.load("i64", job.at("failed")), f.load("i64", job.at("unfit")))
