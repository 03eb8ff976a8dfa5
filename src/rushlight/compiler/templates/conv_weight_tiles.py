"""The gradient of convolution weights on AMX tiles, as generated code.

    weight_gradient(dw, x, g, partial, plan) -> whether dw may be wrong

        dw[o, k] = sum_pixels g[o, pixel] columns[k, pixel]

The work of ``conv_weight``, cut for tiles: a task takes a bin of a group's pixels and a part of the k's. Block by block
of pixels it gathers and packs g, 32 rows at a time, then window columns, 32 k's at a time, and multiplies them.
``partial`` has room for (groups, bins, rows, depth) elements, which are added up in the order of the bins; a single bin
goes straight to dw.

Returns True when the values don't suit tiles (see ``gemm_pieces``), for the caller to use vectors.
"""

from functools import cache

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.gemm_tiles import NAMES
from rushlight.runtime import cpu

FIELDS = (
    "gather", "gather_g",                                               # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the columns
    "g_runs", "g_offsets", "g_masks", "g_moves", "g_mask_pitch", "g_lane_step",     # and of g's rows
    "groups", "rows", "depth", "parts", "bins", "units", "unit_vectors", "block_vectors",
    "x_unit", "x_group", "g_unit", "g_group",
)
LAYOUT = Layout(("dw", "x", "g", "partial"), FIELDS, ("failed", "unfit"), pointers=("gather", "gather_g"))
BLOCK, LANES, ITEM = 32, 16, 4
_TOTAL = 4096                   # elements of dw to a task


@cache
def kernel(tiles):
    """The builtin function weight_gradient(dw, x, g, partial, plan) -> bool, for ``gemm_route.tiles``."""
    imports = dict(zip(NAMES, tiles[-3:], strict=True))
    key = f"conv weight tiles|{cpu.vector_bytes()}"
    return entries.load(key, lambda: module_text(tiles), ["rl_weight_tiles"], imports)[0]


def module_text(tiles):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    _bin_task(m, tiles)
    _total_task(m)
    _entry(m)
    return m.text()


def _bin_task(m, tiles):
    """Tile: a bin of a group's pixels by a part of the k's."""
    f = entries.task(m, "bin_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "x", "g", "partial", *FIELDS)
    size = LANES * ITEM
    pitch = job.block_vectors * size + 64       # of a gathered row; never a multiple of a page
    most_steps = (job.block_vectors * LANES + (tiles.step_k - 1)) // tiles.step_k
    panels, strips = ((x + (BLOCK - 1)) // BLOCK for x in (job.rows, job.depth))
    panel_bytes = most_steps * tiles.step_bytes
    block, gathered = scratch(f, job, pitch * BLOCK + panel_bytes * (panels + 1))
    packed = gathered + pitch * BLOCK
    packed_g = packed + panel_bytes
    facts, facts_g = f.buffer(16), f.buffer(16)
    each = job.bins * job.parts
    all_vectors = job.units * job.unit_vectors
    single = job.bins.eq(1)
    null = f.null
    unfit = f.var("i32", 0)

    def clear(at):
        f.store(f.value(-1), at)
        f.store(f.value(0), at + 8)

    def gather(function, tables, source, unit_step, v0, v1, first, last):
        with f.range(v0, v1) as v:
            unit, local = v // job.unit_vectors, v % job.unit_vectors
            f.call("void", function, tables, source + unit * unit_step, local, first, last,
                   gathered + (v - v0) * size, pitch)

    with f.range(begin, end) as t, f.if_(f.load("i64", job.at("unfit")).eq(0)):
        group, rest = t // each, t % each
        bin_, part = rest // job.parts, rest % job.parts
        q0 = (part * strips // job.parts) * BLOCK
        q1 = f.minimum(((part + 1) * strips // job.parts) * BLOCK, job.depth)
        first, last = bin_ * all_vectors // job.bins, (bin_ + 1) * all_vectors // job.bins
        x, g = job.x + group * job.x_group, job.g + group * job.g_group
        place = group * job.bins + bin_
        target = f.select(single, job.dw, job.partial) + place * job.rows * job.depth * ITEM
        with f.range(first, last, step=job.block_vectors) as v0:
            v1 = f.minimum(v0 + job.block_vectors, last)
            pixels = (v1 - v0) * LANES
            steps = (pixels + (tiles.step_k - 1)) // tiles.step_k
            clear(facts_g)
            with f.range(0, job.rows, step=BLOCK) as o:
                there = f.minimum(f.value(BLOCK), job.rows - o)
                gather(job.gather_g, job.at("g_runs"), g, job.g_unit, v0, v1, o, o + there)
                f.call("void", NAMES[0], gathered, pitch, f.value(ITEM), there, pixels,
                       packed_g + (o // BLOCK) * steps * tiles.step_bytes, facts_g)
            again = f.emit("i64", f"zext i1 {v0.ne(first).name} to i64")
            with f.range(q0, q1, step=BLOCK) as k:
                there = f.minimum(f.value(BLOCK), q1 - k)
                gather(job.gather, job.at("runs"), x, job.x_unit, v0, v1, k, k + there)
                clear(facts)
                f.call("void", NAMES[1], gathered, f.value(ITEM), pitch, pixels, there, packed, facts)
                bad = f.call("i32", NAMES[2], packed_g, facts_g, pixels, f.value(0), job.rows, pixels, packed, facts,
                             there, target + k * ITEM, job.depth * ITEM, again, null)
                unfit.set(unfit.get() | bad)
        with f.if_(unfit.get().ne(0)):
            # Other tasks may stop: all is done again.
            f.store(f.value(1), job.at("unfit"))
    f.call("void", "rl_free", block)
    f.ret()


def _total_task(m):
    """Tile: some elements of a group's dw, the sums of its bins."""
    f = entries.task(m, "total_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "partial", "rows", "depth", "bins")
    kind = f"<{LANES} x float>"
    size = job.rows * job.depth
    each = (size + (_TOTAL - 1)) // _TOTAL
    with f.range(begin, end) as t:
        group, first = t // each, (t % each) * _TOTAL
        with f.range(first, f.minimum(first + _TOTAL, size), step=LANES) as i:
            mask = f.below(f.minimum(size - i, LANES), LANES)
            place = job.partial + (group * job.bins * size + i) * ITEM
            total = f.var(kind, f.masked_load(kind, place, mask))
            with f.range(1, job.bins) as b:
                total.set(total.get() + f.masked_load(kind, place + b * size * ITEM, mask))
            f.masked_store(total.get(), job.dw + (group * size + i) * ITEM, mask)
    f.ret()


def _entry(m):
    """PyObject *rl_weight_tiles(self, args, n): dw, x, g, partial, plan."""
    f, job = LAYOUT.begin(m, "rl_weight_tiles")
    job.load("groups", "bins", "parts", "rows", "depth")
    with entries.released(f):
        entries.pool(f, "bin_task", job.pointer, job.groups * job.bins * job.parts)
        with f.if_((job.bins > 1) & f.load("i64", job.at("unfit")).eq(0)):
            entries.pool(f, "total_task", job.pointer, job.groups * ((job.rows * job.depth + (_TOTAL - 1)) // _TOTAL))
    entries.done(f, f.load("i64", job.at("failed")), f.load("i64", job.at("unfit")))
