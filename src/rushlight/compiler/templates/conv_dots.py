"""The gradient of convolution weights where one side has few channels, as generated code.

    weight_dots(dw, x, g, partial, plan)        dw[o, (c, tap)] = sum_pixels g[o, pixel] columns[(c, tap), pixel]

Where images or gradients have few channels, turning the others pixel by pixel (as ``conv_weight`` does) costs more than
it brings. Here window columns of the *few* are gathered, the *many* are read as they stand, and vectors run along
pixels for both: a tile of sums is rows of the many times columns, each sum a vector of as many parts as it has lanes,
which are added up at the end. Where windows have steps of one, the few may be the gradients: then pixels are those
of the images, and a column is a gradient's channel moved by a tap; dw is turned as it is stored.

``plan`` is an int64 array of the words in ``FIELDS`` (see ``ops.nn.dot_plans``); ``partial`` has room for (groups,
bins, rows, depth) vectors. A tile of work is a bin of blocks of pixels: for each block all columns are gathered into
scratch memory, a few of them at a time stay in the first-level cache while the rows pass. Bins are added up in order:
the bits depend on the shape only.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_tile import ITEM, builtin, lanes_of, multiply_add

FIELDS = (
    "gather", "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",
    "groups", "rows", "depth", "panels", "across", "bins", "images", "vectors", "tail", "block_vectors",
    "few_image", "few_group", "many_image", "many_group", "many_row",
    "taps",             # of a channel where the few are the gradients, else 0
)
LAYOUT = Layout(("dw", "few", "many", "partial"), FIELDS, ("failed",), pointers=("gather",))


@cache
def form():
    """(rows, most columns) of a tile: as many sums as the register file holds."""
    from rushlight.compiler.templates.conv_tile import _registers

    return (3, 9) if _registers() == 32 else (3, 4)


@cache
def kernel(type_, columns, rest):
    """The builtin function for tiles of so many columns and so many rows left over, of ``float`` or ``double``."""
    return builtin(f"conv dots {columns} {rest}", type_, lambda: module_text(type_, columns, rest), "rl_weight_dots")


def module_text(type_, columns, rest):
    """The IR of the entry, its tasks and tiles."""
    m = entries.new_module()
    for rows in {form()[0], rest} - {0}:
        _tile(m, type_, rows, columns)
    _bin_task(m, type_, columns, rest)
    _total_task(m, type_)
    _entry(m, type_)
    return m.text()


def _tile(m, type_, rows, columns):
    """void tile(many, row, columns, whole, tail, sums, across, again): sums[r, q] += products of vectors.

    ``whole`` vectors and ``tail`` lanes; ``row`` and ``across`` are bytes from row to row. A vector's columns follow
    each other.
    """
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = m.function(f"tile{rows}", "void", (("ptr", "many"), ("i64", "row"), ("ptr", "columns"), ("i64", "whole"),
                                           ("i64", "tail"), ("ptr", "sums"), ("i64", "across"), ("i64", "again")),
                   "internal", "nounwind")
    many, row, columns_, whole, tail, to, across, again = f.args
    zero = f.value(0.0, kind)
    totals = [[f.var(kind, zero) for _ in range(columns)] for _ in range(rows)]
    with f.if_(again.ne(0)):
        for r, line in enumerate(totals):
            for q, total in enumerate(line):
                total.set(f.load(kind, to + across * r + q * size, align=item))
    start, place = f.var("ptr", many), f.var("ptr", columns_)
    ahead = row * form()[0]

    def add(load):
        here, at = start.get(), place.get()
        some = [load(here + row * r if r else here) for r in range(rows)]
        for q in range(columns):
            column = f.load(kind, at + q * size, align=item)
            for x, line in zip(some, totals):
                line[q].set(multiply_add(f, x, column, line[q].get()))

    with f.range(whole):
        # Rows lie far apart: only hints fetch the next ones in time.
        next_ = start.get() + ahead
        for r in range(rows):
            f.prefetch(next_ + row * r if r else next_)
        add(lambda here: f.load(kind, here, align=item))
        start.set(start.get() + size)
        place.set(place.get() + columns * size)
    with f.if_(tail.ne(0)):
        mask = f.below(tail, lanes)
        add(lambda here: f.masked_load(kind, here, mask))
    for r, line in enumerate(totals):
        for q, total in enumerate(line):
            f.store(total.get(), to + across * r + q * size, align=item)
    f.ret()


def _bin_task(m, type_, columns, rest):
    """Tile: a bin of a group's blocks of pixels."""
    item, lanes = ITEM[type_], lanes_of(type_)
    size, most = lanes * item, form()[0]
    f = entries.task(m, "bin_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("few", "many", "partial", *FIELDS)
    panel_size = job.block_vectors * (columns * size)       # with what fills the last
    block, gathered = scratch(f, job, job.panels * panel_size)
    across = job.across                         # bytes of a row's sums
    of_image = (job.vectors + (job.block_vectors - 1)) // job.block_vectors
    blocks = job.images * of_image
    with f.range(begin, end) as t:
        group, bin_ = t // job.bins, t % job.bins
        first, last = bin_ * blocks // job.bins, (bin_ + 1) * blocks // job.bins
        few, many = job.few + group * job.few_group, job.many + group * job.many_group
        sums = job.partial + t * job.rows * across
        with f.range(first, last) as b:
            image, v0 = b // of_image, (b % of_image) * job.block_vectors
            v1 = f.minimum(v0 + job.block_vectors, job.vectors)
            with f.range(v0, v1) as v, f.range(job.panels) as p:
                k = p * columns
                f.call("void", job.gather, job.at("runs"), few + image * job.few_image, v, k,
                       f.minimum(k + columns, job.depth), gathered + (p * panel_size + (v - v0) * (columns * size)),
                       f.value(size))
            again = f.emit("i64", f"zext i1 {b.ne(first).name} to i64")
            ends = v1.eq(job.vectors) & job.tail.ne(0)
            tail = f.select(ends, job.tail, f.value(0))
            whole = f.select(ends, v1 - v0 - 1, v1 - v0)
            here = many + (image * job.many_image + v0 * size)
            full = job.rows - rest
            with f.range(job.panels) as p:
                some, to = gathered + p * panel_size, sums + p * (columns * size)

                def tile(rows, r):
                    f.call("void", f"tile{rows}", here + r * job.many_row, job.many_row, some, whole, tail,
                           to + r * across, across, again, declare=False)
                with f.range(0, full, step=most) as r:
                    tile(most, r)
                if rest:
                    tile(rest, full)
    f.call("void", "rl_free", block)
    f.ret()


def _total_task(m, type_):
    """Tile: a row of a group: the bins and the lanes added up."""
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = entries.task(m, "total_task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("dw", "partial", "rows", "depth", "bins", "taps", "across")
    with f.range(begin, end) as t:
        group, row = t // job.rows, t % job.rows
        source = job.partial + (group * job.bins * job.rows + row) * job.across
        with f.range(job.depth) as k:
            total = f.var(kind, f.load(kind, source + k * size, align=item))
            with f.range(1, job.bins) as b:
                total.set(total.get() + f.load(kind, source + (b * job.rows * job.across + k * size), align=item))
            x, width = total.get(), lanes
            while width > 1:
                width //= 2
                x = f.shuffle(x, x, range(width)) + f.shuffle(x, x, range(width, 2 * width)) if width > 1 else (
                    f.extract(x, 0) + f.extract(x, 1))
            straight = t * job.depth + k
            taps = f.select(job.taps.eq(0), f.value(1), job.taps)
            channels = job.depth // taps
            turned = ((group * channels + k // taps) * job.rows + row) * taps + k % taps
            f.store(x, job.dw + f.select(job.taps.eq(0), straight, turned) * item, align=item)
    f.ret()


def _entry(m, type_):
    """PyObject *rl_weight_dots(self, args, n): dw, x, g, partial, plan."""
    f, job = LAYOUT.begin(m, "rl_weight_dots")
    job.load("few", "many", "taps", "groups", "bins", "rows")
    with f.if_(job.taps.ne(0)):
        f.store(job.few, job.at("many"))
        f.store(job.many, job.at("few"))
    with entries.released(f):
        entries.pool(f, "bin_task", job.pointer, job.groups * job.bins)
        entries.pool(f, "total_task", job.pointer, job.groups * job.rows)
    entries.done(f, f.load("i64", job.at("failed")))
