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

``finish``, if given, is an int64 array: ``FINISH``, then the context of a finishing function (see ``gemm_finish``),
which is called for every piece of y when its sums are complete and stores it: matrices are images, rows channels,
columns pixels. ``apart`` says that y isn't of the type of the sums, which then stay in scratch memory.

``packed``, if given, is an array of at least ``packed_bytes(plan)``: where y is None, w is packed into it and that is
all; where y is there, it has been, and w isn't read.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.templates.conv_tile import ITEM, builtin, lanes_of

# What the entry fills in, then the plan's words: strides and offsets in bytes.
POINTERS = ("y", "x", "w", "bias", "packed", "failed", "finish", "context", "first_image")
FINISH = ("function", "apart", "first image")
FIELDS = (
    "tile", "gather",                                       # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of the columns
    "weights",                                              # int64[k]: where w[0, k] stands
    "pieces", "piece_list",                                 # int64[strips + 1]; (pixel, count, offset, step) each
    "groups", "rows", "depth", "height", "panels", "parts", "vectors",
    "units", "strips", "unit_pixels", "tile_strips", "blocks", "k_block",
    "x_unit", "x_group", "y_unit", "y_image", "y_group", "y_row", "w_group", "w_row", "direct",
)
INDEX = {name: i for i, name in enumerate(POINTERS + FIELDS)}
SIZE = 8 * len(INDEX)
DATA = 16                       # PyArrayObject.data
TASK = (("ptr", "job"), ("i64", "begin"), ("i64", "end"))
_POINTER_FIELDS = {*POINTERS, "tile", "gather", "runs", "offsets", "masks", "moves", "weights", "pieces",
                   "piece_list"} - {"failed", "first_image"}
_PARALLEL_PACK = 1 << 15        # elements of weights


def packed_bytes(words, item):
    """Bytes of the packed weights of a plan."""
    groups, panels, depth, height = (int(words[FIELDS.index(n)]) for n in ("groups", "panels", "depth", "height"))
    return groups * panels * depth * height * item + 64


@cache
def kernel(type_):
    """The builtin function convolve(y, x, w, bias, plan) for ``float`` or ``double``."""
    return builtin("conv product", type_, lambda: module_text(type_), "rl_convolve", kernel.__doc__)


def module_text(type_):
    """The IR of the entry and its tasks."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    _pack_task(m, type_)
    copy_rows(m, type_)
    _tile_task(m, type_)
    _entry(m, type_)
    return m.text()


class Job:
    """A job's words by name; each is loaded once a function, where it is first asked for."""

    def __init__(self, f, pointer, index=INDEX, pointers=_POINTER_FIELDS):
        self.f, self.pointer, self._index, self._pointers = f, pointer, index, pointers
        self._found = {}

    def load(self, *names):
        """Load words here, for use in blocks that this one dominates."""
        for name in names:
            self._found[name] = self.f.load("ptr" if name in self._pointers else "i64",
                                            self.pointer + 8 * self._index[name])

    def __getattr__(self, name):
        if name not in self._found:
            raise AttributeError(name)
        return self._found[name]

    def at(self, name):
        return self.pointer + 8 * self._index[name]


def scratch(f, job, nbytes):
    """(block, its aligned memory) of this thread's; leaves the task where there is none."""
    block = f.call("ptr", "rl_scratch", nbytes + 64)
    with f.if_(block.eq(Value(f, "null", "ptr"))):
        f.store(f.value(1), job.at("failed"))
        f.ret()
    return block, f.load("ptr", block)


def _pack_task(m, type_):
    """Tile: a panel of a group's weights, packed[(panel depth + k) height + r]; rows past the last are zeros."""
    item = ITEM[type_]
    f = m.function("pack_task", "void", TASK, "internal", "nounwind")
    job, begin, end = Job(f, f.args[0]), *f.args[1:]
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
    f = m.function("tile_task", "void", TASK, "internal", "nounwind")
    job, begin, end = Job(f, f.args[0]), *f.args[1:]
    job.load("y", "x", "w", "bias", "packed", "finish", *FIELDS)
    width = job.vectors * lanes
    pitch = width * item
    tables = job.at("runs")
    zeros, null = Value(f, "@zeros", "ptr"), Value(f, "null", "ptr")
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


def finish_piece(f, job, c, c_row, offset, row, rows, columns, item):
    """Call the finishing function for a piece of y; ``offset``: bytes from y to its first pixel in channel 0."""
    image, place = offset // job.y_image, offset % job.y_image
    f.call("void", job.finish, f.load("ptr", job.at("context")), c, c_row,
           f.load("i64", job.at("first_image")) + image, row, place // item, rows, columns)


def read_finish(f, job, count):
    """Store what argument ``count`` of a builtin function, if given, says of finishing into a job."""
    for name in ("finish", "context", "first_image"):
        f.store(f.value(0), job.at(name))
    words = optional(f, count)
    with f.if_(words.ne(Value(f, "null", "ptr"))):
        for at, name in ((0, "finish"), (16, "first_image")):
            f.store(f.load("i64", words + at), job.at(name))
        f.store(words + 8 * len(FINISH), job.at("context"))
        if "direct" in job._index:
            with f.if_(f.load("i64", words + 8).ne(0)):
                f.store(f.value(0), job.at("direct"))


def optional(f, count):
    """The data of the array that is argument ``count`` of a builtin function; null where that is missing or None."""
    data = f.var("ptr", Value(f, "null", "ptr"))
    with f.if_(f.args[2] > count):
        array = f.load("ptr", f.args[1] + 8 * count)
        with f.if_(array.ne(Value(f, "@_Py_NoneStruct", "ptr"))):
            data.set(f.load("ptr", array + DATA))
    return data.get()


def run_packed(f, job, nbytes, pack, multiply, apart=None):
    """Pack into scratch memory of ``nbytes`` and multiply, or one of the two with memory that argument 6 names.

    Without y only weights are packed; with y and that argument, they are packed already. Where ``apart`` is not 0 the
    tasks of ``multiply`` pack what they need if there is no packed memory.
    """
    null = Value(f, "null", "ptr")
    given, y = optional(f, 6), f.load("ptr", job.at("y"))
    with f.if_else(given.eq(null)) as (own, kept):
        with own:
            size = nbytes + 64
            if apart is not None:
                f.store(null, job.at("packed"))
                with f.if_(apart.ne(0)):
                    multiply()
                size = f.select(apart.ne(0), f.value(0), size)
            with f.if_(size.ne(0)):
                _pack_and_multiply(f, job, size, pack, multiply)
        with kept:
            f.store(given, job.at("packed"))
            with f.if_else(y.eq(null)) as (packing, multiplying):
                with packing:
                    pack()
                with multiplying:
                    multiply()


def _pack_and_multiply(f, job, size, pack, multiply):
    block = f.call("ptr", "rl_scratch", size)
    with f.if_else(block.eq(Value(f, "null", "ptr"))) as (refused, there):
        with refused:
            f.store(f.value(1), job.at("failed"))
        with there:
            f.store(f.load("ptr", block), job.at("packed"))
            pack()
            multiply()
            f.call("void", "rl_free", block)


def read_arguments(f, target, count):
    """Store the data of ``count`` arrays (null for None) among a builtin function's arguments into a job."""
    args, none = f.args[1], Value(f, "@_Py_NoneStruct", "ptr")
    for i in range(count):
        array, data = f.load("ptr", args + 8 * i), f.var("ptr", Value(f, "null", "ptr"))
        with f.if_(array.ne(none)):
            data.set(f.load("ptr", array + DATA))
        f.store(data.get(), target + 8 * i)
    return f.load("ptr", f.load("ptr", args + 8 * count) + DATA)


def copy_words(f, words, target, count):
    """Copy int64 words."""
    with f.range(count) as i:
        f.store(f.load("i64", words + i * 8), target + i * 8)


def end_run(f, job, state):
    """Take the interpreter's lock again; the entry gives None, or MemoryError where a task found no memory."""
    f.call("void", "PyEval_RestoreThread", state)
    with f.if_(f.load("i64", job.at("failed")).ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    none = Value(f, "@_Py_NoneStruct", "ptr")
    f.call("void", "Py_IncRef", none)
    f.ret(none)


def _entry(m, type_):
    """PyObject *rl_convolve(self, args, n): y, x, w, bias or None, plan, finish or None, memory of packed weights."""
    f = m.function("rl_convolve", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    context = f.buffer(SIZE, 8)
    copy_words(f, read_arguments(f, context, 4), context + 8 * len(POINTERS), len(FIELDS))
    job = Job(f, context)
    f.store(f.value(0), job.at("failed"))
    read_finish(f, job, 5)
    job.load("groups", "panels", "depth", "height", "blocks", "parts")
    count = job.groups * job.panels
    elements = count * job.depth * job.height
    state = f.call("ptr", "PyEval_SaveThread")

    def pack():
        with f.if_else(elements < _PARALLEL_PACK) as (here, pool):
            with here:
                f.call("void", "pack_task", context, f.value(0), count, declare=False)
            with pool:
                f.call("void", "rl_parallel_for", Value(f, "@pack_task", "ptr"), context, count)

    run_packed(f, job, elements * ITEM[type_], pack, lambda: f.call(
        "void", "rl_parallel_for", Value(f, "@tile_task", "ptr"), context, job.groups * job.blocks * job.parts))
    end_run(f, job, state)
