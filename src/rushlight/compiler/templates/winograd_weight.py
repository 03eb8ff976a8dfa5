"""The gradient of 3 x 3 convolution weights by minimal filtering, as generated code.

    weight_gradient(dw, x, g, partial, plan) -> whether dw may be wrong

The adjoint of ``winograd`` in the weights: with d the 4 x 4 windows of x and e the 2 x 2 squares of g,

    dw = G' (sum over squares (A e A') * (B' d B)) G

so the sums over squares are 16 matrix products. A tile of work is a bin of squares of a group by a part of the
channels: block by block both sides are transformed into scratch memory and multiplied, and added to the bin's sums in
``partial`` (groups, bins, 16, depth, width). At the end bins are added up in order and transformed: the bits depend on
the shape, not on the number of threads. ``plan`` holds the int64 words ``FIELDS``.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.templates.conv_product import TASK, Job, copy_words, read_arguments, scratch
from rushlight.compiler.templates.conv_tile import ITEM, lanes_of
from rushlight.compiler.templates.gemm_pack import turn
from rushlight.compiler.templates.winograd import POSITIONS, both_ways, square
from rushlight.runtime import cpu

POINTERS = ("dw", "x", "g", "partial", "failed", "unbounded")
FIELDS = (
    "tile", "gather",                                                   # functions
    "runs", "offsets", "masks", "moves", "mask_pitch", "lane_step",     # tables of 4 x 4 windows of x
    "g_runs", "g_offsets", "g_masks", "g_moves", "g_mask_pitch", "g_lane_step",     # and of 2 x 2 squares of g
    "groups", "rows", "width", "depth", "height", "panels", "parts", "vectors", "bins",
    "units", "unit_vectors", "block_vectors", "x_unit", "x_group", "g_unit", "g_group",
)
INDEX = {name: i for i, name in enumerate(POINTERS + FIELDS)}
SIZE = 8 * len(INDEX)
_AT_ONCE = 8                    # channels gathered before they are transformed
_POINTER_FIELDS = {"dw", "x", "g", "partial", "tile", "gather"}


@cache
def kernel(type_):
    """The builtin function weight_gradient(dw, x, g, partial, plan) -> bool."""
    from rushlight.runtime import native

    symbols = native.symbols()
    imports = {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free")}
    key = f"winograd weight|{type_}|{cpu.vector_bytes()}"
    found = engine.load(key, lambda: module_text(type_), ["rl_winograd_weight"], imports, level=1, codegen_level=2)
    return native.callable_from(found["rl_winograd_weight"], "rl_winograd_weight", kernel.__doc__)


def module_text(type_):
    """The IR of the entry and its tasks."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    m.globals.append("@zeros = internal constant [256 x i8] zeroinitializer, align 64")
    square(m, type_)
    _spread(m, type_)
    _bin_task(m, type_)
    _total_task(m, type_)
    _entry(m)
    return m.text()


def _job(f, pointer):
    return Job(f, pointer, INDEX, _POINTER_FIELDS)


def of_gradients(e):
    """A e of a column of two."""
    return [e[0], e[0] + e[1], e[0] - e[1], 0 - e[1]]


def of_sums(m):
    """G' m of a column of four."""
    both = (m[1] + m[2]) * 0.5
    return [m[0] + both, (m[1] - m[2]) * 0.5, m[3] + both]


def _spread(m, type_):
    """void spread(src, dst, across, pitch): a vector of squares of as many channels at src, [channel][2 x 2].

    dst[position * pitch + square * across] gets the vector of channels of A e A'.
    """
    item, lanes = ITEM[type_], lanes_of(type_)
    kind, size = vector(type_, lanes), lanes * item
    f = m.function("spread", "void", (("ptr", "src"), ("ptr", "dst"), ("i64", "across"), ("i64", "pitch")),
                   "internal", "nounwind")
    src, dst, across, pitch = f.args
    turned = f.buffer(4 * lanes * size)
    with f.range(4) as tap:
        rows = [f.load(kind, src + (tap * size + 4 * size * i), align=item) for i in range(lanes)]
        for j, column in enumerate(turn(f, rows)):
            f.store(column, turned + (tap * (lanes * size) + j * size), align=item)
    with f.range(lanes) as j:
        taps = [f.load(kind, turned + (j * size + tap * lanes * size), align=item) for tap in range(4)]
        found = both_ways(of_gradients, [taps[:2], taps[2:]])
        for i, value in enumerate(v for row in found for v in row):
            f.store(value, dst + j * across + pitch * i, align=item)
    f.ret()


def _bin_task(m, type_):
    """Tile: a bin of a group's squares by a part of the panels of channels."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = m.function("bin_task", "void", TASK, "internal", "nounwind")
    job, begin, end = _job(f, f.args[0]), *f.args[1:]
    job.load(*POINTERS[1:4], *FIELDS)
    size = lanes * item
    windows = f.buffer(max(_AT_ONCE * POSITIONS, 4 * lanes) * size)
    zeros = Value(f, "@zeros", "ptr")
    across = job.width * item                   # bytes of a row of channels
    strip = job.vectors * size
    line = job.block_vectors * size             # of a channel's squares
    most = (job.panels + job.parts - 1) // job.parts * job.height
    data_pitch = most * line + 64
    spread_pitch = job.block_vectors * lanes * across + 64
    block, data = scratch(f, job, (data_pitch + spread_pitch) * POSITIONS)
    spread = data + data_pitch * POSITIONS
    each = job.bins * job.parts
    all_vectors = job.units * job.unit_vectors
    with f.range(begin, end) as t:
        group, rest = t // each, t % each
        bin_, part = rest // job.parts, rest % job.parts
        q0 = (part * job.panels // job.parts) * job.height
        q1 = f.minimum(((part + 1) * job.panels // job.parts) * job.height, job.depth)
        first, last = bin_ * all_vectors // job.bins, (bin_ + 1) * all_vectors // job.bins
        x, g = job.x + group * job.x_group, job.g + group * job.g_group
        target = job.partial + (group * job.bins + bin_) * job.depth * across * POSITIONS
        with f.range(first, last, step=job.block_vectors) as v0:
            v1 = f.minimum(v0 + job.block_vectors, last)
            with f.range(v0, v1) as v:
                unit, local = v // job.unit_vectors, v % job.unit_vectors
                with f.range(0, job.rows, step=lanes) as o:
                    f.call("void", job.gather, job.at("g_runs"), g + unit * job.g_unit, local, o * 4,
                           f.minimum(o + lanes, job.rows) * 4, windows, f.value(size))
                    f.call("void", "spread", windows, spread + ((v - v0) * lanes * across + o * item), across,
                           spread_pitch, declare=False)
                with f.range(q0, q1, step=_AT_ONCE) as c0:
                    c1 = f.minimum(c0 + _AT_ONCE, q1)
                    f.call("void", job.gather, job.at("runs"), x + unit * job.x_unit, local, c0 * POSITIONS,
                           c1 * POSITIONS, windows, f.value(size))
                    with f.range(c0, c1) as c:
                        f.call("void", "square", windows + (c - c0) * (POSITIONS * size),
                               data + ((c - q0) * line + (v - v0) * size), data_pitch, declare=False)
            again = f.emit("i64", f"zext i1 {v0.ne(first).name} to i64")
            with f.range(POSITIONS) as i, f.range(q0, q1, step=job.height) as c:
                rows = f.minimum(job.height, q1 - c)
                a, c_at = data + (i * data_pitch + (c - q0) * line), target + (i * job.depth + c) * across
                with f.range(0, across, step=strip) as o:
                    f.call("void", job.tile, (v1 - v0) * lanes, a, line, spread + (i * spread_pitch + o), across,
                           c_at + o, across, rows, job.vectors * lanes, again, zeros)
    f.call("void", "rl_free", block)
    f.ret()


def _total_task(m, type_):
    """Tile: a channel of a group, over all rows: the bins added up and transformed into dw."""
    item, lanes = ITEM[type_], lanes_of(type_)
    f = m.function("total_task", "void", TASK, "internal", "nounwind")
    job, begin, end = _job(f, f.args[0]), *f.args[1:]
    job.load("dw", "partial", "rows", "width", "depth", "bins")
    kind, size = vector(type_, lanes), lanes * item
    found = f.buffer(9 * size)
    across = job.width * item
    position = job.depth * across
    bin_size = position * POSITIONS
    check = f.var(kind, f.value(0.0, kind))
    with f.range(begin, end) as t:
        group, c = t // job.depth, t % job.depth
        place = job.partial + (group * job.bins * bin_size + c * across)
        with f.range(0, job.rows, step=lanes) as o:
            sums = [f.var(kind, f.load(kind, place + (o * item + position * i), align=item))
                    for i in range(POSITIONS)]
            with f.range(1, job.bins) as b:
                for i, total in enumerate(sums):
                    at = place + (o * item + position * i + b * bin_size)
                    total.set(total.get() + f.load(kind, at, align=item))
            rows = [[total.get() for total in sums[4 * i:4 * i + 4]] for i in range(4)]
            for i, value in enumerate(v for row in both_ways(of_sums, rows) for v in row):
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


def _entry(m):
    """PyObject *rl_winograd_weight(self, args, n): dw, x, g, partial, plan."""
    f = m.function("rl_winograd_weight", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    context = f.buffer(SIZE, 8)
    copy_words(f, read_arguments(f, context, 4), context + 8 * len(POINTERS), len(FIELDS))
    job = _job(f, context)
    f.store(f.value(0), job.at("failed"))
    f.store(f.value(0), job.at("unbounded"))
    job.load("groups", "bins", "parts", "depth")
    state = f.call("ptr", "PyEval_SaveThread")
    f.call("void", "rl_parallel_for", Value(f, "@bin_task", "ptr"), context, job.groups * job.bins * job.parts)
    f.call("void", "rl_parallel_for", Value(f, "@total_task", "ptr"), context, job.groups * job.depth)
    f.call("void", "PyEval_RestoreThread", state)
    with f.if_(f.load("i64", job.at("failed")).ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    f.ret(f.call("ptr", "PyBool_FromLong", f.load("i64", job.at("unbounded"))))
