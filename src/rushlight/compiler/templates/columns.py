"""Window columns of images (im2col) and their adjoint (col2im), as generated code.

``columns(cols, x, geometry)`` writes, ``image(x, cols, geometry)`` adds up. x is (n, c, h, w) in C order; the
entry for channel c, kernel position (i, j), image n and output (p, q) stands at

    cols[(c KH KW + i KW + j) * position_step + n * image_step + p OW + q]
        = x[n, c, p SH - PH + i DH, q SW - PW + j DW]

(zero outside), so one layout serves products an image and products over the batch. ``geometry`` is an int64 array
of the words in ``FIELDS``. Work is cut into fixed tiles: a kernel position of a channel, or a plane of the image.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host

FIELDS = ("n", "c", "h", "w", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "oh", "ow", "position_step",
          "image_step")
_SOURCE, _TARGET, _FIRST = 0, 1, 2
_PARALLEL_FROM = 1 << 15        # elements of columns
DATA = 16                       # PyArrayObject.data


@cache
def kernels(type_):
    """(columns, image) for LLVM element type ``float`` or ``double``."""
    from rushlight.runtime import native

    symbols = native.symbols()
    found = native.load(
        f"columns {type_}", lambda: module_text(type_), ("rl_columns", "rl_image"),
        {"rl_parallel_for": symbols["rl_parallel_for"]},
    )
    return tuple(native.callable_from(found[n], n) for n in ("rl_columns", "rl_image"))


def module_text(type_):
    """The IR of both entries and their tile functions."""
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    size = {"float": 4, "double": 8}[type_]
    _move(m, type_, size, add=False)
    _move(m, type_, size, add=True)
    _columns_task(m, type_, size)
    _image_task(m, type_, size)
    _entry(m, "rl_columns", "rl_columns_task", ("c", "kh", "kw"))
    _entry(m, "rl_image", "rl_image_task", ("n", "c"))
    return m.text()


class _Job:
    """The words of a job, loaded once a task."""

    def __init__(self, f, context):
        self.f = f
        self.source = f.load("ptr", context + 8 * _SOURCE)
        self.target = f.load("ptr", context + 8 * _TARGET)
        for k, name in enumerate(FIELDS):
            setattr(self, name, f.load("i64", context + 8 * (_FIRST + k)))

    def valid(self, j):
        """Outputs [low, high) of a row whose input lies inside for kernel column j, and the shift."""
        f = self.f
        shift = self.pw - j * self.dw
        low = f.select(shift > 0, (shift + self.sw - 1) // self.sw, f.value(0))
        last = self.w - 1 + shift
        high = f.select(last < 0, f.value(0), last // self.sw + 1)
        low, high = f.minimum(low, self.ow), f.minimum(high, self.ow)
        return low, f.select(high < low, low, high), shift


def _move(m, type_, size, add):
    """void rl_copy_row/rl_add_row(dst, src, n, step): dst[i] (+)= src; the strided side is the image's."""
    f = m.function("rl_add_row" if add else "rl_copy_row", "void",
                   [("ptr", "dst"), ("ptr", "src"), ("i64", "n"), ("i64", "step")], "internal")
    dst, src, n, step = f.args
    i = f.var("i64", 0)
    with f.if_(step.eq(1)):
        for lanes in (16, 8, 4):
            kind = f"<{lanes} x {type_}>"
            with f.loop() as loop:
                at = i.get()
                loop.break_if(at + lanes > n)
                v = f.load(kind, src + at * size, align=size)
                if add:
                    v = v + f.load(kind, dst + at * size, align=size)
                f.store(v, dst + at * size, align=size)
                i.set(at + lanes)
    with f.loop() as loop:
        at = i.get()
        loop.break_if(at >= n)
        if add:
            place = dst + at * step * size
            f.store(f.load(type_, place) + f.load(type_, src + at * size), place)
        else:
            f.store(f.load(type_, src + at * step * size), dst + at * size)
        i.set(at + 1)
    f.ret()


def _zero(f, type_, size, place, count):
    zero = f.value(0.0, type_)
    with f.range(count) as i:
        f.store(zero, place + i * size)


def _columns_task(m, type_, size):
    f = m.function("rl_columns_task", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")], "internal")
    g = _Job(f, f.args[0])
    plane = g.h * g.w
    with f.range(f.args[1], f.args[2]) as tile:
        j = tile % g.kw
        i = (tile // g.kw) % g.kh
        c = tile // (g.kw * g.kh)
        low, high, shift = g.valid(j)
        start = g.target + tile * g.position_step * size
        with f.range(g.n) as n:
            image = g.source + (n * g.c + c) * plane * size
            with f.range(g.oh) as p:
                row = start + (n * g.image_step + p * g.ow) * size
                y = p * g.sh - g.ph + i * g.dh
                inside = (y >= 0) & (y < g.h)
                with f.if_else(inside) as (yes, no):
                    with yes:
                        _zero(f, type_, size, row, low)
                        source = image + (y * g.w + low * g.sw - shift) * size
                        f.call("void", "rl_copy_row", row + low * size, source, high - low, g.sw, declare=False)
                        _zero(f, type_, size, row + high * size, g.ow - high)
                    with no:
                        _zero(f, type_, size, row, g.ow)
    f.ret()


def _image_task(m, type_, size):
    f = m.function("rl_image_task", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")], "internal")
    g = _Job(f, f.args[0])
    plane = g.h * g.w
    with f.range(f.args[1], f.args[2]) as tile:
        n, c = tile // g.c, tile % g.c
        image = g.target + tile * plane * size
        _zero(f, type_, size, image, plane)
        with f.range(g.kh) as i, f.range(g.kw) as j:
            low, high, shift = g.valid(j)
            position = (c * g.kh + i) * g.kw + j
            start = g.source + (position * g.position_step + n * g.image_step) * size
            with f.range(g.oh) as p:
                y = p * g.sh - g.ph + i * g.dh
                with f.if_((y >= 0) & (y < g.h)):
                    place = image + (y * g.w + low * g.sw - shift) * size
                    f.call("void", "rl_add_row", place, start + (p * g.ow + low) * size, high - low, g.sw,
                           declare=False)
    f.ret()


def _entry(m, name, task, tiles):
    """PyObject *name(self, args, n): target, source, geometry."""
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    args = f.args[1]
    context = f.buffer(8 * (_FIRST + len(FIELDS)), 8)
    for k, slot in enumerate((_TARGET, _SOURCE)):
        f.store(f.load("ptr", f.load("ptr", args + 8 * k) + DATA), context + 8 * slot)
    words = f.load("ptr", f.load("ptr", args + 16) + DATA)
    for k in range(len(FIELDS)):
        f.store(f.load("i64", words + 8 * k), context + 8 * (_FIRST + k))
    g = _Job(f, context)
    count = None
    for t in tiles:
        count = getattr(g, t) if count is None else count * getattr(g, t)
    work = g.n * g.c * g.kh * g.kw * g.oh * g.ow
    function = f.value(0, "ptr")
    function.name = f"@{task}"
    with f.if_else(work < _PARALLEL_FROM) as (small, large):
        with small:
            f.call("void", task, context, f.value(0), count, declare=False)
        with large:
            state = f.call("ptr", "PyEval_SaveThread")
            f.call("void", "rl_parallel_for", function, context, count)
            f.call("void", "PyEval_RestoreThread", state)
    none = f.value(0, "ptr")
    none.name = "@_Py_NoneStruct"
    f.call("void", "Py_IncRef", none)
    f.ret(none)
