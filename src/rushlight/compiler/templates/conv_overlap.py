"""Convolutions as matrix products of pixels whose results are added where windows overlap, as generated code.

    overlap(y, x, w, bias, words[, finish])     y[r, p] = sum over taps t of z[r, t, source pixel of p for t]
                                                z[r, t, q] = sum_c w[r, c, t] x[c, q]

for maps that read each pixel of the source with every tap: adjoints in the input, transposed convolutions, and
convolutions with steps of one. z is a product with the source's channels as they stand, of which none is gathered and
each is read once for all taps; adding takes one load a tap and element of the result. So it pays where windows have
steps, whose phases would be gathered one by one, and where the result has few channels, which gathered columns would
serve few times.

A tile of work is a group's *unit* of images, or a band of lines of a large one, by a part of its blocks of result
rows: where there are many, the unit's pixels are packed into strips as ``tiles.rl_block`` reads them; then for each
block z is made in scratch memory, in the second-level cache, and added up line by line of the result. The weights are
packed once a call, so that a block's (row, tap) are columns of strips. The bits depend on the shape only. Tables are

    lines       int64[lines + 1]: each line of the result has the entries lines[i] .. lines[i + 1] - 1
    entries     (elements from an image's first pixel to the line that is read, first tap)
    where       bytes from a group's first weight to that of each (row, tap) for channel 0
    bands       (first line of the result, end, first pixel, pixels)

``bias``, if given, is added, and ``finish`` is as in ``conv_product``. How a line is put together is written down in
the code: ``phases`` are, for each start of the steps along lines, pairs (tap, elements to move by).
"""

from functools import cache

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import FINISH, optional
from rushlight.compiler.templates.jobs import Job, load, new_module

ARRAYS = ("y", "x", "w", "bias")
FIELDS = ("lines", "entries", "where", "bands", "groups", "rows", "channels", "taps", "adjacent", "block", "blocks",
          "images", "unit", "band_count", "most", "packs", "parts", "pixels", "line", "out_lines", "out_line",
          "out_most", "w_group", "w_channel")
CHAIN = 256                     # the most products that are added one after the other
_NAME = "rl_overlap"


@cache
def kernel(dtype, phases):
    """The function for float32 or float64 and lines of these phases."""
    return load(f"conv overlap {phases}", dtype, lambda d: module_text(d, phases), _NAME)


def module_text(dtype, phases):
    """The IR of the entry and its tasks."""
    m = new_module()
    _pack_task(m, dtype)
    _add(m, dtype, phases)
    _task(m, dtype)
    _entry(m, dtype)
    return m.text()


class _Job(Job):
    """The job of a task, and the sizes of what it packs."""

    def __init__(self, f, dtype, context=None):
        super().__init__(f, dtype, ARRAYS, (*FIELDS, "packed"), context)
        at = self.context + 8 * (len(ARRAYS) + len(FIELDS))
        self.packed, self.finish, self.finish_context = (f.load("ptr", at + 8 * k) for k in (0, 2, 3))
        self.first_image = f.load("i64", at + 32)
        self.strip = self.channels * (self.nr * self.item)
        self.panels = (self.block * self.taps + (self.nr - 1)).udiv(self.nr)      # of a block's weights

    def ahead(self, place, nbytes):
        """Fetch memory that will be needed into the cache."""
        for at in range(0, nbytes, 64):
            self.f.prefetch(place + at)

    def table(self, name, i):
        """Word i of a table whose address is a word of the plan."""
        return self.f.load("i64", getattr(self, name).cast("inttoptr", "ptr") + i * 8)


def _pack_task(m, dtype):
    """Tile: a strip of (row, tap) of a block of a group's rows."""
    f = entries.task(m, f"{_NAME}_pack")
    j = _Job(f, dtype)
    nr, item = j.nr, j.item
    with f.range(f.args[1], f.args[2]) as t:
        block, panel = t.udiv(j.panels), t.urem(j.panels)
        group, block = block.udiv(j.blocks), block.urem(j.blocks)
        w, to = j.w + group * j.w_group, j.packed + t * j.strip
        first = block * j.block * j.taps + panel * nr
        valid = f.minimum(f.minimum((block + 1) * j.block, j.rows) * j.taps - first, f.value(nr))
        with f.if_(valid > 0), f.if_else(j.adjacent.ne(0)) as (straight, scattered):
            with straight:
                f.call("void", "rl_strip", w + first * item, f.value(item), j.w_channel, j.channels, valid,
                       f.value(nr), to, declare=False)
            with scattered:
                with f.range(j.channels) as c, f.range(valid) as i:
                    here = w + (j.table("where", first + i) + c * j.w_channel)
                    f.store(f.load(j.element, here, align=item), to + (c * nr + i) * item, align=item)
    f.ret()


def _add(m, dtype, phases):
    """void rl_overlap_add(context, z, pitch, y, bias, first, end): lines of an image's channel; z's rows are taps."""
    f = m.function(f"{_NAME}_add", "void", [("ptr", "context"), ("ptr", "z"), ("i64", "pitch"), ("ptr", "y"),
                                            ("ptr", "bias"), ("i64", "first"), ("i64", "end")], "internal", "nounwind")
    _, z, pitch, y, bias, line0, line1 = f.args
    j = _Job(f, dtype)
    item, lanes, step = j.item, j.lanes, len(phases)
    offset = f.splat(f.load(j.element, bias, align=item), lanes)
    moves = sorted({move for phase in phases for _, move in phase})
    taps = {tap: pitch * tap for tap in sorted({tap for phase in phases for tap, _ in phase})}
    longest = (j.out_line + (step - 1)).udiv(step)
    with f.range(line0, line1) as line:
        e0, e1 = j.table("lines", line), j.table("lines", line + 1)
        to = y + line * (j.out_line * item)
        with f.range(0, longest, step=lanes) as first:
            # Lanes that see the line, for each move.
            seen = {}
            for move in moves:
                seen[move] = j.below(j.line - first - move)
                if move < 0:
                    seen[move] = seen[move] & ~j.below(f.value(-move) - first)
            sums = [f.var(j.vector, offset) for _ in phases]
            with f.range(e0, e1) as e:
                here = z + (j.table("entries", e * 2) + first) * item + j.table("entries", e * 2 + 1) * pitch
                for total, phase in zip(sums, phases):
                    for tap, move in phase:
                        total.set(total.get() + j.load(here + (taps[tap] + move * item), seen[move]))
            if step == 1:
                j.store(sums[0].get(), to + first * item, j.below(j.out_line - first))
            else:
                low, high = (s.get() for s in sums)
                for half in range(2):
                    order = [k for i in range(half * lanes // 2, (half + 1) * lanes // 2) for k in (i, lanes + i)]
                    begin = first * 2 + half * lanes
                    j.store(f.shuffle(low, high, order), to + begin * item, j.below(j.out_line - begin))
    f.ret()


def _task(m, dtype):
    """Tile: a unit of images of a group by a part of the blocks of rows."""
    f = entries.task(m, f"{_NAME}_task")
    j = _Job(f, dtype)
    nr, item, lanes = j.nr, j.item, j.lanes
    zero = f.buffer(item)
    f.store(f.value(0.0, j.element), zero, align=item)
    strips = (j.most + (nr - 1)).udiv(f.value(nr))
    pitch = strips * (nr * item) + 64
    packs = j.packs.ne(0)
    packed_bytes = f.select(packs, strips * j.strip, f.value(0))
    finished = j.finish.ne(f.null)
    z_bytes = j.block * j.taps * pitch
    block, columns = j.scratch(packed_bytes + z_bytes + f.select(finished, j.out_most * item, f.value(0)))
    z = columns + packed_bytes
    sums = z + z_bytes
    each = j.band_count * j.parts
    plane, area = j.pixels * item, j.out_lines * j.out_line * item
    x_image = j.groups * j.channels * plane
    with f.range(f.args[1], f.args[2]) as t:
        units = (j.images + (j.unit - 1)).udiv(j.unit)
        group, rest = t.udiv(units * each), t.urem(units * each)
        unit, rest = rest.udiv(each), rest.urem(each)
        band, part, first = rest.udiv(j.parts), rest.urem(j.parts), unit * j.unit
        line0, line1, pixel0, pixels = (j.table("bands", band * 4 + k) for k in range(4))
        images = f.minimum(j.unit, j.images - first)
        count = images * pixels
        x = j.x + ((first * j.groups + group) * j.channels * plane + pixel0 * item)
        with f.if_(packs), f.range(0, count, step=nr) as s:
            to = columns + s.udiv(f.value(nr)) * j.strip
            lane = f.var("i64", 0)
            end = f.minimum(count - s, f.value(nr))
            with f.loop() as loop:
                at = lane.get()
                loop.break_if(at >= end)
                image, pixel = (s + at).udiv(pixels), (s + at).urem(pixels)
                length = f.minimum(pixels - pixel, end - at)
                source, target = x + image * x_image + pixel * item, to + at * item
                masks = [j.below(length - v * lanes) for v in range(nr // lanes)]
                with f.range(j.channels) as c:
                    # Channels lie far apart: only hints fetch the next strip in time.
                    j.ahead(source + (c * plane + nr * item), nr * item)
                    for v, mask in enumerate(masks):
                        value = j.load(source + (c * plane + v * lanes * item), mask)
                        j.store(value, target + (c * (nr * item) + v * lanes * item), mask)
                lane.set(at + length)
        with f.range((part * j.blocks).udiv(j.parts), ((part + 1) * j.blocks).udiv(j.parts)) as b:
            row = b * j.block
            rows = f.minimum(j.block, j.rows - row)
            weights = j.packed + (group * j.blocks + b) * j.panels * j.strip
            with f.range(0, rows * j.taps, step=nr) as i, f.range(0, j.channels, step=CHAIN) as k:
                a = weights + (i.udiv(f.value(nr)) * j.strip + k * (nr * item))
                m, depth = f.minimum(rows * j.taps - i, f.value(nr)), f.minimum(j.channels - k, f.value(CHAIN))
                again = f.emit("i64", f"zext i1 {k.ne(0).name} to i64")
                with f.if_else(packs) as (strips_, lines):
                    with strips_:
                        j.product(m, count, depth, a, item, nr * item, columns + k * (nr * item), nr * item, j.strip,
                                  z + i * pitch, pitch, again)
                    with lines, f.range(images) as u:
                        j.product(m, pixels, depth, a, item, nr * item, x + (u * x_image + k * plane), plane, nr * item,
                                  z + (i * pitch + u * pixels * item), pitch, again)
            with f.range(rows) as r, f.range(images) as u:
                channel = group * j.rows + row + r
                bias = f.select(j.bias.ne(f.null), j.bias + channel * item, zero)
                y = j.y + ((first + u) * (j.groups * j.rows) + channel) * area
                begin = line0 * j.out_line
                y = f.select(finished, sums + begin * -item, y)
                here = z + (r * j.taps * pitch + (u * pixels - pixel0) * item)
                f.call("void", f"{_NAME}_add", j.context, here, pitch, y, bias, line0, line1, declare=False)
                with f.if_(finished):
                    f.call("void", j.finish, j.finish_context, sums, f.value(0), j.first_image + first + u, channel,
                           begin, f.value(1), line1 * j.out_line - begin)
    f.call("void", "rl_free", block)
    f.ret()


def _entry(m, dtype):
    """PyObject *rl_overlap(self, args, n): y, x, w, bias or None, words, finish or None."""
    f, context = entries.begin(m, _NAME, len(ARRAYS), len(FIELDS), 5)
    count = len(ARRAYS) + len(FIELDS)
    finish = optional(f, 5)
    with f.if_(finish.ne(f.null)):
        f.store(f.load("i64", finish), context + 8 * (count + 2))
        f.store(finish + 8 * len(FINISH), context + 8 * (count + 3))
        f.store(f.load("i64", finish + 16), context + 8 * (count + 4))
    j = _Job(f, dtype, context)
    panels = j.groups * j.blocks * j.panels
    units = (j.images + (j.unit - 1)).udiv(j.unit)
    work = j.groups * j.rows * j.taps * j.channels * j.images * j.pixels
    with entries.released(f), entries.with_scratch(f, panels * j.strip, context + j.failed) as packed:
        f.store(packed, context + 8 * count)
        entries.here_or_pool(f, panels * j.strip < _PARALLEL_PACK, f"{_NAME}_pack", context, panels)
        entries.here_or_pool(f, work < _PARALLEL_FROM, f"{_NAME}_task", context,
                             j.groups * units * j.band_count * j.parts)
    entries.done(f, f.load("i64", context + j.failed))


_PARALLEL_PACK = 1 << 18        # bytes
_PARALLEL_FROM = 1 << 16        # multiply-adds
