"""Convolution of images by products of window columns that never leave the cache, as generated code.

    convolve(y, x, w, wb, geometry)         y[n, o, p, q] = sum_{c,i,j} w[o, c, i, j] x[n, c, ...]  (+ wb[o, c kh kw])
    weight_gradient(dw, x, g, partial, geometry)

x (n, c, h, w), y and g (n, o, oh, ow), w and dw (o, c, kh, kw) in C order. wb is None, or the weights with the bias as
one more column, which stands for one more row of columns, of ones. ``geometry`` is an int64 array of the words in
``FIELDS``. Each thread makes the columns of an image (of ``rows`` rows of outputs, ``blocks`` of them an image) in
scratch memory of its own and multiplies them at once:

    columns[(c KH + i) KW + j, p OW + q] = x[n, c, p SH - PH + i DH, q SW - PW + j DW]      (zero outside)

The gradient's sum over images runs in ``bins`` parts, in order within each, that go to ``partial``
(bins, c kh kw, o) and are added up in order at the end: the bits don't depend on the number of threads.
"""

import struct
from functools import cache

from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.gemm_driver import INDEX, SIZE

FIELDS = ("n", "c", "h", "w", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "oh", "ow", "o",
          "rows", "blocks", "group", "bins")
_POINTERS = ("x", "y", "weight", "extra")
_FAILED = len(_POINTERS) + len(FIELDS)
DATA = 16                       # PyArrayObject.data
LANES = {"float": (4, 8, 16), "double": (2, 4, 8)}
TASK = [("ptr", "context"), ("i64", "begin"), ("i64", "end")]


@cache
def kernels(type_):
    """(convolve, weight_gradient) for LLVM element type ``float`` or ``double``."""
    from rushlight.compiler.templates import gemm
    from rushlight.runtime import native

    symbols = native.symbols()
    imports = {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free")}
    imports["rl_gemm"] = gemm.gemm_address({"float": "float32", "double": "float64"}[type_])
    names = ("rl_convolve", "rl_weight_gradient")
    found = native.load(f"convolve {type_}", lambda: module_text(type_), names, imports)
    return tuple(native.callable_from(found[n], n) for n in names)


def module_text(type_):
    """The IR of both entries and their tasks."""
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    size = {"float": 4, "double": 8}[type_]
    m.declared["llvm.memcpy.p0.p0.i64"] = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    for lanes in LANES[type_]:
        _fill(m, type_, size, lanes, "short")
    for way in ("long", "packed"):
        _fill(m, type_, size, LANES[type_][-1], way)
    _fill_strided(m, type_, size)
    _forward_task(m, type_, size)
    _weight_task(m, type_, size)
    _total(m, type_, size)
    _entry(m, "rl_convolve", "rl_convolve_task", size)
    _entry(m, "rl_weight_gradient", "rl_weight_task", size)
    return m.text()


class _Job:
    """The words of a job, loaded once a function."""

    def __init__(self, f, context):
        self.f, self.context = f, context
        for k, name in enumerate(_POINTERS):
            setattr(self, name, f.load("ptr", context + 8 * k))
        for k, name in enumerate(FIELDS):
            setattr(self, "width" if name == "w" else name, f.load("i64", context + 8 * (len(_POINTERS) + k)))

    def fail(self):
        self.f.store(self.f.value(1), self.context + 8 * _FAILED)

    def inside(self, shift, step, size, low, high):
        """Outputs q of [low, high) with 0 <= q * step - shift < size, as a range; a step of 1 is best a 1."""
        f = self.f
        if isinstance(step, int):
            first, end = shift, size + shift
        else:
            first = f.select(shift > 0, (shift + step - 1) // step, f.value(0))
            last = size - 1 + shift
            end = f.select(last < 0, f.value(0), last // step + 1)
        first, end = f.minimum(_maximum(f, first, low), high), f.minimum(end, high)
        return first, _maximum(f, end, first)


def _maximum(f, a, b):
    return f.select(a > b, a, b)


_FILL = [("ptr", "context"), ("ptr", "dst"), ("i64", "first"), ("i64", "last"), ("i64", "p0"), ("i64", "p1")]


def _positions(f, g, size, plane_writer, step=1):
    """Kernel positions by images, in the order of the columns' memory.

    ``plane_writer(low, high, shift)`` gives, for the outputs [low, high) of a row that see the plane, a function
    (source, top, bottom): rows [p0, p1) of outputs, of which [top, bottom) see it, row p from source + p * sh * w.
    """
    _, _, first, last, p0, p1 = f.args
    with f.range(g.c) as c, f.range(g.kh) as i:
        up = g.ph - i * g.dh
        top, bottom = g.inside(up, g.sh, g.h, p0, p1)
        with f.range(g.kw) as j:
            shift = g.pw - j * g.dw
            low, high = g.inside(shift, step, g.width, f.value(0), g.ow)
            write = plane_writer(low, high, shift)
            with f.range(first, last) as n:
                write(g.x + ((n * g.c + c) * g.h - up) * g.width * size, top, bottom)


def _by_rows(f, g, size, at, row):
    """A plane written row by row: ``row(source, here)``, without a source zeros; ``at`` moves on."""
    p0, p1 = f.args[4:]

    def rows(begin, end, source):
        with f.range(begin, end) as p:
            here = at.get()
            row(None if source is None else source + p * g.sh * g.width * size, here)
            at.set(here + g.ow * size)

    def write(source, top, bottom):
        rows(p0, top, None)
        rows(top, bottom, source)
        rows(bottom, p1, None)
    return write


def _fill(m, type_, size, lanes, way):
    """void fill(context, dst, first, last, p0, p1): columns with steps of 1 along rows, a vector at a time.

    Memory is written in order, so what a vector writes past its row is written over; `dst` has room for a vector.
    The ways: "long" rows of any length, "short" ones of one vector, "packed" ones of which several make a vector
    and follow each other in the plane as well.
    """
    f = m.function(f"rl_fill_{way}{lanes}", "void", _FILL, "internal", "nounwind")
    g = _Job(f, f.args[0])
    p0, p1 = f.args[4:]
    kind = vector(type_, lanes)
    at = f.var("ptr", f.args[1])
    iota = Value(f, "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">", f"<{lanes} x i32>")
    zero = f.value(0.0, kind)

    def below(n):
        return iota < f.splat(n.cast("trunc", "i32"), lanes)

    def between(low, high, q):
        return ~below(low - q) & below(high - q)

    def store(here, value=zero):
        f.store(value, here, align=size)

    def plane_writer(low, high, shift):
        def long(source, here):
            with f.range(0, g.ow, step=lanes) as q:
                store(here + q * size, zero if source is None else f.masked_load(
                    kind, source + (q - shift) * size, between(low, high, q)))

        if way == "long":
            return _by_rows(f, g, size, at, long)
        if way == "short":
            mask = between(low, high, f.value(0))

            def short(source, here):
                store(here, zero if source is None else f.masked_load(kind, source + -shift * size, mask))
            return _by_rows(f, g, size, at, short)

        q = iota & f.splat((g.ow - 1).cast("trunc", "i32"), lanes)
        mask = (q >= f.splat(low.cast("trunc", "i32"), lanes)) & (q < f.splat(high.cast("trunc", "i32"), lanes))

        def packed(source, top, bottom):
            here = at.get()
            source = source + (p0 * g.width - shift) * size
            begin, end, count = ((p - p0) * g.ow for p in (top, bottom, p1))
            with f.range(count, step=lanes) as i:
                store(here + i * size, f.masked_load(kind, source + i * size, mask & between(begin, end, i)))
            at.set(here + count * size)
        return packed
    _positions(f, g, size, plane_writer)
    f.ret()


def _fill_strided(m, type_, size):
    f = m.function("rl_fill_strided", "void", _FILL, "internal", "nounwind")
    g = _Job(f, f.args[0])
    at = f.var("ptr", f.args[1])
    zero = f.value(0.0, type_)

    def plane_writer(low, high, shift):
        def row(source, here):
            with f.range(g.ow if source is None else low) as q:
                f.store(zero, here + q * size)
            if source is not None:
                with f.range(low, high) as q:
                    f.store(f.load(type_, source + (q * g.sw - shift) * size), here + q * size)
                with f.range(high, g.ow) as q:
                    f.store(zero, here + q * size)
        return _by_rows(f, g, size, at, row)
    _positions(f, g, size, plane_writer, g.sw)
    f.ret()


def _fill_choice(f, g, type_):
    """The filling function for rows of outputs as long as these."""
    most = LANES[type_][-1]
    found = Value(f, f"@rl_fill_long{most}", "ptr")
    for lanes in reversed(LANES[type_]):
        found = f.select(g.ow <= lanes, Value(f, f"@rl_fill_short{lanes}", "ptr"), found)
    whole = (g.ow & (g.ow - 1)).eq(0) & (g.ow < most) & g.ow.eq(g.width) & g.sh.eq(1)
    found = f.select(whole, Value(f, f"@rl_fill_packed{most}", "ptr"), found)
    return f.select(g.sw.eq(1), found, Value(f, "@rl_fill_strided", "ptr"))


def _product(f, job, **words):
    """One matrix product; job is a buffer of ``SIZE`` words."""
    one = struct.unpack("q", struct.pack("d", 1.0))[0]
    words = dict(outer=1, batch=1, a_outer=0, a_batch=0, b_outer=0, b_batch=0, c_outer=0, c_batch=0, bias=0,
                 alpha=one) | words
    for name, value in words.items():
        f.store(f.value(value), job + 8 * INDEX[name])
    return f.call("i32", "rl_gemm", job)


def _scratch(f, g, nbytes):
    """Memory of this thread's; returns from the function if there is none."""
    block = f.call("ptr", "rl_scratch", nbytes)
    with f.if_(block.eq(Value(f, "null", "ptr"))):
        g.fail()
        f.ret()
    return block, f.load("ptr", block)


def _forward_task(m, type_, size):
    """Tile: a block of output rows of an image."""
    f = m.function("rl_convolve_task", "void", TASK, "internal", "nounwind")
    context, begin, end = f.args
    g = _Job(f, context)
    k, plane = g.c * g.kh * g.kw, g.oh * g.ow
    biased = f.emit("i64", f"zext i1 {g.extra.ne(Value(f, 'null', 'ptr')).name} to i64")
    depth = k + biased
    block, columns = _scratch(f, g, depth * g.rows * g.ow * size + 64)
    fill, job = _fill_choice(f, g, type_), f.buffer(8 * SIZE)
    weight = f.select(biased.ne(0), g.extra, g.weight)
    one = f.value(1.0, type_)
    with f.range(begin, end) as tile:
        n, p0 = tile // g.blocks, (tile % g.blocks) * g.rows
        p1 = f.minimum(p0 + g.rows, g.oh)
        l = (p1 - p0) * g.ow
        f.call("void", fill, context, columns, n, n + 1, p0, p1)
        target = g.y + (n * g.o * plane + p0 * g.ow) * size
        with f.if_(biased.ne(0)), f.range(l) as q:
            f.store(one, columns + (k * l + q) * size)
        failed = _product(f, job, m=g.o, n=l, k=depth, a=weight, a_row=depth * size, a_col=size, b=columns,
                          b_row=l * size, b_col=size, c=target, c_row=plane * size, beta=0)
        with f.if_(failed.ne(0)):
            g.fail()
    f.call("void", "rl_free", block)
    f.ret()


def _weight_task(m, type_, size):
    """Tile: a bin of units, each a group of images or a block of output rows of one."""
    f = m.function("rl_weight_task", "void", TASK, "internal", "nounwind")
    context, begin, end = f.args
    g = _Job(f, context)
    k, plane = g.c * g.kh * g.kw, g.oh * g.ow
    most = g.group * g.rows * g.ow
    block, columns = _scratch(f, g, (k + g.o) * most * size + 128)
    gathered = columns + (k * most * size + 64)
    fill, job = _fill_choice(f, g, type_), f.buffer(8 * SIZE)
    units = ((g.n + g.group - 1) // g.group) * g.blocks
    with f.range(begin, end) as tile:
        low = tile * units // g.bins
        with f.range(low, (tile + 1) * units // g.bins) as unit:
            first, p0 = (unit // g.blocks) * g.group, (unit % g.blocks) * g.rows
            last, p1 = f.minimum(first + g.group, g.n), f.minimum(p0 + g.rows, g.oh)
            l = (p1 - p0) * g.ow
            depth = (last - first) * l
            f.call("void", fill, context, columns, first, last, p0, p1)
            source, step = f.var("ptr", g.y + (first * g.o * plane + p0 * g.ow) * size), f.var("i64", plane)
            with f.if_(last - first > 1):
                with f.range(g.o) as o, f.range(first, last) as n:
                    to = gathered + (o * depth + (n - first) * l) * size
                    at = g.y + (n * g.o + o) * plane * size
                    f.line(f"call void @llvm.memcpy.p0.p0.i64(ptr {to.name}, ptr {at.name}, "
                           f"i64 {(l * size).name}, i1 false)")
                source.set(gathered)
                step.set(depth)
            failed = _product(f, job, m=k, n=g.o, k=depth, a=columns, a_row=depth * size, a_col=size,
                              b=source.get(), b_row=size, b_col=step.get() * size,
                              c=g.extra + tile * k * g.o * size, c_row=g.o * size,
                              beta=f.emit("i64", f"zext i1 {unit.ne(low).name} to i64"))
            with f.if_(failed.ne(0)):
                g.fail()
    f.call("void", "rl_free", block)
    f.ret()


def _total(m, type_, size):
    """void total(context): the bins added up and turned."""
    f = m.function("rl_total", "void", [("ptr", "context")], "internal", "nounwind")
    g = _Job(f, f.args[0])
    k = g.c * g.kh * g.kw
    count = k * g.o
    with f.range(1, g.bins) as t, f.range(count) as i:
        place = g.extra + i * size
        f.store(f.load(type_, place) + f.load(type_, place + t * count * size), place)
    with f.range(g.o) as o, f.range(k) as i:
        f.store(f.load(type_, g.extra + (i * g.o + o) * size), g.weight + (o * k + i) * size)
    f.ret()


def _entry(m, name, task, size):
    """PyObject *name(self, args, n): result, input, the other operand, bias or partial sums, geometry."""
    forward = name == "rl_convolve"
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    args, none = f.args[1], Value(f, "@_Py_NoneStruct", "ptr")
    context = f.buffer(8 * (_FAILED + 1), 8)
    order = ("y", "x", "weight", "extra") if forward else ("weight", "x", "y", "extra")
    for k, pointer in enumerate(order):
        array, data = f.load("ptr", args + 8 * k), f.var("ptr", Value(f, "null", "ptr"))
        with f.if_(array.ne(none)):
            data.set(f.load("ptr", array + DATA))
        f.store(data.get(), context + 8 * _POINTERS.index(pointer))
    words = f.load("ptr", f.load("ptr", args + 32) + DATA)
    for k in range(len(FIELDS)):
        f.store(f.load("i64", words + 8 * k), context + 8 * (len(_POINTERS) + k))
    f.store(f.value(0), context + 8 * _FAILED)
    g = _Job(f, context)
    count = g.n * g.blocks if forward else g.bins
    state = f.call("ptr", "PyEval_SaveThread")
    f.call("void", "rl_parallel_for", Value(f, f"@{task}", "ptr"), context, count)
    if not forward:
        f.call("void", "rl_total", context, declare=False)
    f.call("void", "PyEval_RestoreThread", state)
    with f.if_(f.load("i64", context + 8 * _FAILED).ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    f.call("void", "Py_IncRef", none)
    f.ret(none)
