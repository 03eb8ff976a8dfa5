"""The gradient of convolution weights as a sum of products over pixels, as generated code.

    weight_gradient(dw, x, g, partial, plan)        dw[o, k] = sum_pixels g[o, pixel] columns[k, pixel]

``plan`` is an int64 array of the words in ``FIELDS`` (see ``ops.nn.conv_plans``); ``partial`` has room for
(groups, bins, depth, width) elements. A tile of work is a bin of pixels of a group by a part of the k's. Block by
block of pixels it turns g into rows of channels, gathers window columns (see ``conv_gather``), and adds their product,
transposed, to its bin of ``partial``. At the end the bins are added up in order and turned: the bits depend on the
shape, not on the number of threads.

With *pairs* x and g are bfloat16, and the pixels of a vector are multiplied two at a time, which are adjacent in g's
turned rows of pairs and in the columns as they are; dw is float32.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_tile import ITEM, builtin, lanes_of, sums_of
from rushlight.compiler.templates.gemm_pack import turn

FIELDS = (
    "tile", "gather", "gather_g",                                       # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the columns
    "g_runs", "g_offsets", "g_masks", "g_moves", "g_mask_pitch", "g_lane_step",     # and of g's rows
    "groups", "rows", "width", "depth", "height", "panels", "parts", "vectors", "bins", "gathered",
    "units", "unit_vectors", "block_vectors", "x_unit", "x_group", "g_unit", "g_group",
    "g_row",            # bytes of a row of g whose vectors may be read as they stand, else 0
)
LAYOUT = Layout(("dw", "x", "g", "partial"), FIELDS, ("failed",), pointers=("tile", "gather", "gather_g"))


@cache
def kernel(type_):
    """The builtin function weight_gradient(dw, x, g, partial, plan) for ``float``, ``double`` or ``pairs``."""
    return builtin("conv weight", type_, lambda: module_text(type_), "rl_weight_gradient")


def module_text(type_):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    _turn(m, sums_of(type_))
    _bin_task(m, sums_of(type_), 2 if type_ == "pairs" else 1)
    _total_task(m, sums_of(type_))
    _entry(m, sums_of(type_))
    return m.text()


def _turn(m, type_):
    """void turn(src, row, dst, pitch): dst[j pitch + i] = src[i row + j], a square of vectors; pitches in bytes."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = m.function("turn", "void", (("ptr", "src"), ("i64", "row"), ("ptr", "dst"), ("i64", "pitch")), "internal",
                   "nounwind")
    src, row, dst, pitch = f.args
    kind = vector(type_, lanes)
    # Rows lie far apart: only hints fetch the next square in time.
    for i in range(lanes):
        f.prefetch(src + row * i + lanes * item)
    rows = [f.load(kind, src + row * i, align=item) for i in range(lanes)]
    for j, column in enumerate(turn(f, rows)):
        f.store(column, dst + pitch * j, align=item)
    f.ret()


def _bin_task(m, type_, in_word):
    """Tile: a bin of a group's pixels by a part of the panels of k's; ``in_word``: pixels to a word."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = entries.task(m, "bin_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "x", "g", "partial", *FIELDS)
    square = f.buffer(lanes * lanes * item)
    zeros = f.symbol("zeros")
    size = lanes * item
    across = job.width * item                   # bytes of a row of channels
    strip = job.vectors * size
    part_size, part_words = size // in_word, lanes // in_word         # of a vector of pixels
    pitch = job.block_vectors * part_size + 64  # of a row of columns; never a multiple of a page
    turned_size = (job.block_vectors + (in_word - 1)) * part_words * across
    block, turned = scratch(f, job, turned_size + (job.gathered + job.height) * pitch)
    columns = turned + turned_size
    each = job.bins * job.parts
    all_vectors = job.units * job.unit_vectors
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        bin_, part = rest // job.parts, rest % job.parts
        q0 = (part * job.panels // job.parts) * job.height
        q1 = f.minimum(((part + 1) * job.panels // job.parts) * job.height, job.depth)
        first, last = bin_ * all_vectors // job.bins, (bin_ + 1) * all_vectors // job.bins
        x, g = job.x + group * job.x_group, job.g + group * job.g_group
        target = job.partial + (group * job.bins + bin_) * job.depth * across
        with f.range(first, last, step=job.block_vectors) as v0:
            v1 = f.minimum(v0 + job.block_vectors, last)
            pixels = (v1 - v0) * part_words
            with f.range(v0, v1, step=in_word) as v, f.range(0, job.rows, step=lanes) as o:
                unit, local = v // job.unit_vectors, v % job.unit_vectors
                to = turned + ((v - v0) * part_words * across + o * item)
                whole = (o + lanes <= job.rows) & ((local + 1) * size <= job.g_row)
                with f.if_else(whole) as (as_it_stands, gathered):
                    with as_it_stands:
                        f.call("void", "turn", g + (unit * job.g_unit + o * job.g_row + local * size), job.g_row, to,
                               across, declare=False)
                    with gathered:
                        # As many vectors as fill a square of words; what a last one lacks isn't read.
                        with f.range(v, f.minimum(v + in_word, v1)) as one:
                            unit, local = one // job.unit_vectors, one % job.unit_vectors
                            f.call("void", job.gather_g, job.at("g_runs"), g + unit * job.g_unit, local, o,
                                   f.minimum(o + lanes, job.rows), square + (one - v) * part_size, f.value(size))
                        f.call("void", "turn", square, f.value(size), to, across, declare=False)
            again = f.emit("i64", f"zext i1 {v0.ne(first).name} to i64")
            with f.range(q0, q1, step=job.gathered) as k0:
                k1 = f.minimum(k0 + job.gathered, q1)
                with f.range(v0, v1) as v:
                    unit, local = v // job.unit_vectors, v % job.unit_vectors
                    f.call("void", job.gather, job.at("runs"), x + unit * job.x_unit, local, k0, k1,
                           columns + (v - v0) * part_size, pitch)
                with f.range(k0, k1, step=job.height) as k:
                    rows = f.minimum(job.height, k1 - k)
                    with f.range(0, across, step=strip) as o:
                        f.call("void", job.tile, pixels, columns + (k - k0) * pitch, pitch, turned + o, across,
                               target + (k * across + o), across, rows, job.vectors * lanes, again, zeros)
    f.call("void", "rl_free", block)
    f.ret()


def _total_task(m, type_):
    """Tile: a vector of k's of a group, over all rows: the bins added up and turned into dw."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = entries.task(m, "total_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "partial", "rows", "width", "depth", "bins")
    kind = vector(type_, lanes)
    across = job.width * item
    each = (job.depth + (lanes - 1)) // lanes
    bin_size = job.depth * across
    with f.range(begin, end) as t:
        group, k = t // each, (t % each) * lanes
        mask = f.below(job.depth - k, lanes)
        places = [job.partial + (group * job.bins * bin_size + f.minimum(k + i, job.depth - 1) * across)
                  for i in range(lanes)]
        with f.range(0, job.rows, step=lanes) as o:
            sums = []
            for place in places:
                total = f.var(kind, f.load(kind, place + o * item, align=item))
                sums.append(total)
            with f.range(1, job.bins) as b:
                for place, total in zip(places, sums, strict=True):
                    total.set(total.get() + f.load(kind, place + (b * bin_size + o * item), align=item))
            for j, row in enumerate(turn(f, [total.get() for total in sums])):
                with f.if_(o + j < job.rows):
                    f.masked_store(row, job.dw + ((group * job.rows + o + j) * job.depth + k) * item, mask)
    f.ret()


def _entry(m, type_):
    """PyObject *rl_weight_gradient(self, args, n): dw, x, g, partial, plan."""
    f, job = LAYOUT.begin(m, "rl_weight_gradient")
    job.load("groups", "bins", "parts", "depth")
    lanes = lanes_of(type_)
    with entries.released(f):
        entries.pool(f, "bin_task", job.pointer, job.groups * job.bins * job.parts)
        entries.pool(f, "total_task", job.pointer, job.groups * ((job.depth + (lanes - 1)) // lanes))
    entries.done(f, f.load("i64", job.at("failed")))
