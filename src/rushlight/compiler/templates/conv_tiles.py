"""Convolution on AMX tiles as a product of packed weights with window columns, as generated code.

    convolve(y, x, w, bias, plan) -> whether y may be wrong

The work of ``conv_product``, cut for tiles and with its plan's words (``height`` is 32, ``tile`` is unused): weights
are split in pieces and packed once a call, panels of 32 rows in parallel. A task gathers the window columns of a strip
of 32 pixels, a block of k at a time, splits them (``gemm_tiles``) and multiplies them by its panels.

Returns True when the values of the weights or of some columns don't suit tiles (see ``gemm_pieces``), for the caller to
convolve by vectors.
"""

from functools import cache

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_product import FIELDS, copy_out
from rushlight.compiler.templates.gemm_tiles import NAMES, bytes_of

# Packing widens the magnitudes in "least" and "greatest", which follow each other.
LAYOUT = Layout(("y", "x", "w", "bias"), FIELDS, ("packed", "failed", "unfit", "least", "greatest"),
                pointers=("packed", "gather", "runs", "offsets", "masks", "moves", "weights", "pieces", "piece_list"))
VECTORS, ITEM = 2, 4
WIDTH = 32
_PITCH = WIDTH * ITEM


@cache
def kernel(tiles):
    """The builtin function convolve(y, x, w, bias, plan) -> bool, for the functions of ``gemm_route.tiles``."""
    imports = dict(zip(NAMES, tiles[-3:], strict=True))
    return entries.load("conv tiles", lambda: module_text(tiles), ["rl_convolve_tiles"], imports)[0]


def module_text(tiles):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    copy_out(m, "float")
    _pack_task(m, tiles)
    _tile_task(m, tiles)
    _entry(m, tiles)
    return m.text()


def _pack_task(m, tiles):
    """Tile: a panel of a group's weights, in the order of the columns."""
    f = entries.task(m, "pack_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("w", "packed", "weights", "panels", "depth", "height", "rows", "w_group", "w_row")
    row_bytes = job.depth * ITEM
    block, rows = scratch(f, job, job.height * row_bytes)
    with f.range(begin, end) as t:
        group, first = t // job.panels, (t % job.panels) * job.height
        source = job.w + (group * job.w_group + first * job.w_row)
        there = f.minimum(job.rows - first, job.height)
        with f.range(there) as r, f.range(job.depth) as k:
            place = source + (r * job.w_row + f.load("i64", job.weights + k * 8))
            f.store(f.load("float", place, align=ITEM), rows + (r * row_bytes + k * ITEM), align=ITEM)
        f.call("void", NAMES[0], rows, row_bytes, f.value(ITEM), there, job.depth,
               job.packed + t * bytes_of(tiles, job.depth), job.at("least"))
    f.call("void", "rl_free", block)
    f.ret()


def _tile_task(m, tiles):
    """Tile: a block of strips by a part of a group's panels."""
    f = entries.task(m, "tile_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "w", "bias", "packed", *FIELDS)
    tables, null = job.at("runs"), f.null
    biased, indirect = job.bias.ne(null), job.direct.eq(0)
    strip_bytes, packed_bytes = job.k_block * _PITCH, bytes_of(tiles, job.k_block)
    most_panels = (job.panels + job.parts - 1) // job.parts
    c_pitch = job.tile_strips * _PITCH
    sums_size = f.select(indirect, most_panels * job.height * c_pitch, f.value(0))
    block, columns = scratch(f, job, strip_bytes + packed_bytes + sums_size)
    packed = columns + strip_bytes
    sums = packed + packed_bytes
    facts = f.buffer(16)
    c_row = f.select(indirect, c_pitch, job.y_row)
    each = job.blocks * job.parts
    all_strips = job.units * job.strips
    unfit = f.var("i32", 0)
    with f.range(begin, end) as t, f.if_(f.load("i64", job.at("unfit")).eq(0)):
        group, rest = t // each, t % each
        s0, part = (rest // job.parts) * job.tile_strips, rest % job.parts
        s1 = f.minimum(s0 + job.tile_strips, all_strips)
        p0, p1 = part * job.panels // job.parts, (part + 1) * job.panels // job.parts
        row = p0 * job.height
        rows = f.minimum(p1 * job.height, job.rows) - row
        x, y = job.x + group * job.x_group, job.y + group * job.y_group
        a = job.packed + (group * job.panels + p0) * bytes_of(tiles, job.depth)
        with f.range(0, job.depth, step=job.k_block) as k0, f.range(s0, s1) as s:
            k1 = f.minimum(k0 + job.k_block, job.depth)
            unit, local = s // job.strips, s % job.strips
            with f.range(VECTORS) as v:
                f.call("void", job.gather, tables, x + unit * job.x_unit, local * VECTORS + v, k0, k1,
                       columns + v * (_PITCH // VECTORS), f.value(_PITCH))
            f.store(f.value(-1), facts)
            f.store(f.value(0), facts + 8)
            left = f.minimum(job.unit_pixels - local * WIDTH, f.value(WIDTH))
            f.call("void", NAMES[1], columns, f.value(_PITCH), f.value(ITEM), k1 - k0, left, packed, facts)
            started = f.emit("i64", f"zext i1 {k0.ne(0).name} to i64")
            bias = f.select(biased & started.eq(0), job.bias + (group * job.rows + row) * ITEM, null)
            straight = y + (unit * job.y_unit + row * job.y_row + local * _PITCH)
            c = f.select(indirect, sums + (s - s0) * _PITCH, straight)
            bad = f.call("i32", NAMES[2], a, job.at("least"), job.depth, k0, rows, k1 - k0, packed, facts, left,
                         c, c_row, started, bias)
            unfit.set(unfit.get() | bad)
        with f.if_(indirect), f.range(s0, s1) as s:
            unit, local = s // job.strips, s % job.strips
            base = y + (unit * job.y_unit + row * job.y_row)
            piece0, piece1 = (f.load("i64", job.pieces + local * 8 + 8 * i) for i in range(2))
            with f.range(piece0, piece1) as piece:
                entry = job.piece_list + piece * 32
                pixel, count, offset, step = (f.load("i64", entry + 8 * i) for i in range(4))
                with f.range(rows) as r:
                    f.call("void", "copy_out", sums + (r * c_pitch + (s - s0) * _PITCH + pixel * ITEM),
                           base + (r * job.y_row + offset), count, step, declare=False)
        with f.if_(unfit.get().ne(0)):
            # Other tasks may stop: all is done again.
            f.store(f.value(1), job.at("unfit"))
    f.call("void", "rl_free", block)
    f.ret()


def _entry(m, tiles):
    """PyObject *rl_convolve_tiles(self, args, n): y, x, w, bias or None, plan."""
    f, job = LAYOUT.begin(m, "rl_convolve_tiles")
    f.store(f.value(-1), job.at("least"))
    job.load("groups", "panels", "depth", "height", "blocks", "parts")
    count = job.groups * job.panels
    nbytes = count * bytes_of(tiles, job.depth) + 64
    with entries.released(f), entries.with_scratch(f, nbytes, job.at("failed")) as packed:
        f.store(packed, job.at("packed"))
        entries.pool(f, "pack_task", job.pointer, count)
        entries.pool(f, "tile_task", job.pointer, job.groups * job.blocks * job.parts)
    entries.done(f, f.load("i64", job.at("failed")), f.load("i64", job.at("unfit")))
