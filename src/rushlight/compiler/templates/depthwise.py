"""Convolution of each channel by itself, its adjoint and the gradient of its weights, as generated code.

    depthwise(y, x, w, bias, plan)          weight_gradient(dw, x, g, None, plan)

A plane of the source is copied with its padding, a block of rows at a time, into scratch memory of the thread, where
no window meets a border:

    padded[u up - pad] = source[u]          columns X at X % step * phase + X // step

so that the columns a vector of outputs needs are adjacent for each tap, whatever the stride. ``up`` spreads the source
for the adjoint of a strided convolution. Then

    y[n, o, p, q] = bias[o] + sum_{m < terms} sum_t w[o terms + m, t] padded[n, o // share * terms + m][p, q moved by t]
    dw[o, t] = sum_{n, p, q} g[n, o, p, q] padded[n, o // share][p, q moved by t]

Four rows of outputs share what is loaded of a tap. The gradient adds the pixels of a block in vectors, blocks in
float64. ``plan`` holds the int64 words ``FIELDS``.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import Layout, scratch
from rushlight.compiler.templates.conv_tile import ITEM, lanes_of, multiply_add
from rushlight.runtime import cpu

FIELDS = (
    "taps", "count",                        # int64[count] bytes to move by
    "images", "channels", "terms", "share", "h", "width", "out_h", "out_w",
    "up_h", "up_w", "pad_h", "pad_w", "step_h", "step_w",
    "pitch", "phase", "reach",              # bytes of a padded row, of a phase of it; rows that a window spans
    "block_rows", "blocks", "chunk",        # rows of outputs at a time; planes to a tile
)
LAYOUT = Layout(("y", "x", "w", "bias"), FIELDS, ("failed",), pointers=("taps",))        # the gradient's are dw, x, g
ROWS = 4


@cache
def kernel(type_):
    """The builtin function depthwise(y, x, w, bias, plan)."""
    return _load(type_, "rl_depthwise", lambda m: _forward(m, type_))


@cache
def gradient(type_, taps):
    """The builtin function weight_gradient(dw, x, g, None, plan) that sums up to ``taps`` taps at a time."""
    return _load(type_, "rl_depthwise_gradient", lambda m: _gradient(m, type_, taps), taps)


def _load(type_, name, write, taps=0):
    def build():
        m = entries.new_module()
        _fill(m, type_)
        write(m)
        _entry(m, name)
        return m.text()

    return entries.load(f"depthwise|{name}|{type_}|{taps}|{cpu.vector_bytes()}", build, [name], codegen_level=2)[0]


def _fill(m, type_):
    """void fill(job, dst, plane, first, last): the padded rows [first, last) of a plane."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = m.function("fill", "void", (("ptr", "job"), ("ptr", "dst"), ("ptr", "plane"), ("i64", "first"),
                                    ("i64", "last")), "internal", "nounwind")
    job, dst, plane, first, last = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("h", "width", "up_h", "up_w", "pad_h", "pad_w", "step_w", "pitch", "phase")
    kind = vector(type_, lanes)
    zero = f.value(0.0, kind)
    each = job.phase // item

    def within(start):
        """Lanes whose column start + lane is one of the source's."""
        return ~f.below(f.value(0) - start, lanes) & f.below(job.width - start, lanes)

    with f.range(first, last) as y:
        at = y - job.pad_h
        row = dst + (y - first) * job.pitch
        source = plane + (at // job.up_h) * job.width * item
        seen = (at >= 0) & (at < job.h * job.up_h) & (at % job.up_h).eq(0)
        with f.if_else(seen) as (some, none):
            with none, f.range(0, job.pitch, step=lanes * item) as x:
                f.store(zero, row + x, align=item)
            with some:
                with f.if_else(job.up_w.eq(1) & (job.step_w <= 2)) as (quick, any_):
                    with quick, f.if_else(job.step_w.eq(1)) as (one, two):
                        with one, f.range(0, each, step=lanes) as x:
                            start = x - job.pad_w
                            f.store(f.masked_load(kind, source + start * item, within(start)), row + x * item,
                                    align=item)
                        with two, f.range(2) as half, f.range(0, each, step=lanes) as x:
                            start = x * 2 + half - job.pad_w
                            low = f.masked_load(kind, source + start * item, within(start))
                            high = f.masked_load(kind, source + (start + lanes) * item, within(start + lanes))
                            f.store(f.shuffle(low, high, range(0, 2 * lanes, 2)), row + half * job.phase + x * item,
                                    align=item)
                    with any_:
                        with f.range(0, job.pitch, step=lanes * item) as x:
                            f.store(zero, row + x, align=item)
                        with f.range(job.width) as x:
                            to = x * job.up_w + job.pad_w
                            with f.if_((to >= 0) & (to < each * job.step_w)):
                                f.store(f.load(type_, source + x * item, align=item),
                                        row + ((to % job.step_w) * job.phase + (to // job.step_w) * item), align=item)
    f.ret()


def _forward(m, type_):
    """Tile: a chunk of output planes."""
    item, lanes = ITEM[type_], lanes_of(type_)
    size, kind = item * lanes, vector(type_, lanes)
    f = entries.task(m, "task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "w", "bias", *FIELDS)
    # Rows that only the last group of four looks at are read, but their sums aren't stored.
    block, padded = scratch(f, job, ((job.block_rows + (ROWS - 1)) * job.step_h + job.reach) * job.pitch + 2 * size)
    step = job.step_h * job.pitch
    area, source_area = job.out_h * job.out_w, job.h * job.width
    null = f.null

    def block_of(vectors, p, p0, p1, q, target, weights, start, again):
        base = padded + ((p - p0) * step + q * item)
        masks = [f.below(job.out_w - q, lanes, v * lanes) for v in range(vectors)]
        old = f.splat(again, lanes)
        places = [[target + ((p + r) * job.out_w + (q + v * lanes)) * item for v in range(vectors)]
                  for r in range(ROWS)]
        sums = [[f.var(kind, start + f.masked_load(kind, places[r][v], masks[v] & old & f.splat(p + r < p1, lanes)))
                 for v in range(vectors)] for r in range(ROWS)]
        with f.range(job.count) as t:
            at = base + f.load("i64", job.taps + t * 8)
            x = f.splat(f.load(type_, weights + t * item, align=item), lanes)
            for r in range(ROWS):
                for v in range(vectors):
                    here = at + step * r + v * size
                    sums[r][v].set(multiply_add(f, x, f.load(kind, here, align=item), sums[r][v].get()))
        for r in range(ROWS):
            with f.if_(p + r < p1):
                for v in range(vectors):
                    f.masked_store(sums[r][v].get(), places[r][v], masks[v])

    with f.range(begin, end) as t:
        first, last = t * job.chunk, f.minimum((t + 1) * job.chunk, job.images * job.channels)
        with f.range(first, last) as plane, f.range(job.blocks) as b, f.range(job.terms) as m_:
            n, o = plane // job.channels, plane % job.channels
            p0 = b * job.block_rows
            p1 = f.minimum(p0 + job.block_rows, job.out_h)
            sources = (job.channels + (job.share - 1)) // job.share * job.terms
            source = job.x + (n * sources + o // job.share * job.terms + m_) * source_area * item
            f.call("void", "fill", f.args[0], padded, source, p0 * job.step_h, (p1 - 1) * job.step_h + job.reach,
                   declare=False)
            weights = job.w + (o * job.terms + m_) * job.count * item
            target = job.y + plane * area * item
            offset = f.var(type_, 0.0)
            with f.if_(job.bias.ne(null) & m_.eq(0)):
                offset.set(f.load(type_, job.bias + o * item, align=item))
            start, again = f.splat(offset.get(), lanes), m_ > 0
            whole = f.select(job.out_w > lanes, (job.out_w + (lanes - 1)) // (2 * lanes) * (2 * lanes), f.value(0))
            with f.range(p0, p1, step=ROWS) as p:
                with f.range(0, whole, step=2 * lanes) as q:
                    block_of(2, p, p0, p1, q, target, weights, start, again)
                with f.range(whole, job.out_w, step=lanes) as q:
                    block_of(1, p, p0, p1, q, target, weights, start, again)
    f.call("void", "rl_free", block)
    f.ret()


def _gradient(m, type_, taps):
    """Tile: a chunk of channels, over all images."""
    item, lanes = ITEM[type_], lanes_of(type_)
    size, kind = item * lanes, vector(type_, lanes)
    f = entries.task(m, "task")
    job, begin, end = LAYOUT.job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "w", *FIELDS)
    block, totals = scratch(f, job, (job.count + taps) * 8 + 64 + (job.block_rows * job.step_h + job.reach) * job.pitch
                            + 2 * size)
    padded = totals + (job.count + taps + 7) // 8 * 64
    step = job.step_h * job.pitch
    area, source_area = job.out_h * job.out_w, job.h * job.width
    with f.range(begin, end) as tile:
        first, last = tile * job.chunk, f.minimum((tile + 1) * job.chunk, job.channels)
        with f.range(first, last) as o:
            with f.range(job.count) as t:
                f.store(f.value(0.0, "double"), totals + t * 8)
            with f.range(job.images) as n, f.range(job.blocks) as b:
                p0 = b * job.block_rows
                p1 = f.minimum(p0 + job.block_rows, job.out_h)
                source = job.x + (n * (job.channels // job.share) + o // job.share) * source_area * item
                f.call("void", "fill", f.args[0], padded, source, p0 * job.step_h, (p1 - 1) * job.step_h + job.reach,
                       declare=False)
                g = job.w + (n * job.channels + o) * area * item
                with f.range(0, job.count, step=taps) as t0:
                    moves = [f.load("i64", job.taps + f.minimum(t0 + i, job.count - 1) * 8) for i in range(taps)]
                    sums = [f.var(kind, f.value(0.0, kind)) for _ in range(taps)]
                    with f.range(0, job.out_w, step=lanes) as q:
                        mask = f.below(job.out_w - q, lanes)
                        with f.range(p0, p1) as p:
                            value = f.masked_load(kind, g + (p * job.out_w + q) * item, mask)
                            at = padded + ((p - p0) * step + q * item)
                            for move, total in zip(moves, sums, strict=True):
                                total.set(multiply_add(f, value, f.load(kind, at + move, align=item), total.get()))
                    for i, total in enumerate(sums):
                        place = totals + (t0 + i) * 8
                        value = _across(f, total.get(), lanes)
                        value = value if item == 8 else value.cast("fpext", "double")
                        f.store(f.load("double", place) + value, place)
            with f.range(job.count) as t:
                total = f.load("double", totals + t * 8)
                f.store(total if item == 8 else total.cast("fptrunc", type_), job.y + (o * job.count + t) * item,
                        align=item)
    f.call("void", "rl_free", block)
    f.ret()


def _across(f, value, lanes):
    """The sum of a vector's elements, by halves."""
    while lanes > 2:
        lanes //= 2
        value = f.shuffle(value, value, range(lanes)) + f.shuffle(value, value, range(lanes, 2 * lanes))
    return f.extract(value, 0) + f.extract(value, 1)


def _entry(m, name):
    """PyObject *name(self, args, n): y, x, w, bias or None, plan."""
    f, job = LAYOUT.begin(m, name)
    job.load("images", "channels", "chunk")
    planes = job.channels if name.endswith("gradient") else job.images * job.channels
    with entries.released(f):
        entries.pool(f, "task", job.pointer, (planes + job.chunk - 1) // job.chunk)
    entries.done(f, f.load("i64", job.at("failed")))
