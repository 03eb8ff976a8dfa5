"""Sums of bags of rows of a table.

    call(out, w, index, bounds, scale, n, width, bags, padding, mean, scaled) -> bool

    out[b] = sum over k in [bounds[b], bounds[b + 1]) of w[index[k]] (times scale[k] if `scaled`), divided by the number
    of rows if `mean`; positions equal to `padding` are left out, and bags without rows are zero

``w`` (n, width), ``out`` (bags, width) and ``scale`` are of one type, ``index`` and ``bounds`` int64, all in C order.
True comes back when an index lay outside [0, n). Rows are added in the order of k.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks

ARRAYS = ("out", "w", "index", "bounds", "scale")
WORDS = ("n", "width", "bags", "padding", "mean", "scaled")
BAD = len(ARRAYS) + len(WORDS)
BAGS = 32                       # bags a tile
AHEAD = 8                       # rows between asking for memory and using it
SIZES = {"float": 4, "double": 8}


@cache
def kernel(type_):
    """The function for LLVM element type ``float`` or ``double``."""
    return blocks.load(f"bags {type_}", lambda: module_text(type_), ("rl_bags",))[0]


def module_text(type_):
    """The IR of the entry and its task."""
    m = blocks.new_module()
    _task(m, type_, SIZES[type_])
    f = m.function("rl_bags", "ptr", blocks.ENTRY)
    args = f.args[1]
    context = f.buffer(8 * (BAD + 1), 8)
    for k in range(len(ARRAYS)):
        f.store(blocks.data_of(f, args, k), context + 8 * k)
    for k in range(len(WORDS)):
        f.store(blocks.int_of(f, args, len(ARRAYS) + k), context + 8 * (len(ARRAYS) + k))
    f.store(f.value(0), context + 8 * BAD)
    width, bags = (f.load("i64", context + 8 * (len(ARRAYS) + k)) for k in (1, 2))
    with f.if_(bags > 0):
        blocks.share(f, "rl_bags_task", context, blocks.ceil_div(bags, BAGS), bags * width * 16)
    f.ret(f.call("ptr", "PyBool_FromLong", f.load("i64", context + 8 * BAD)))
    return m.text()


def _task(m, type_, size):
    f = m.function("rl_bags_task", "void", blocks.TASK, "internal", "nounwind")
    context = f.args[0]
    out, w, index, bounds, scale = (f.load("ptr", context + 8 * k) for k in range(len(ARRAYS)))
    n, width, bags, padding, mean, scaled = (
        f.load("i64", context + 8 * (len(ARRAYS) + k)) for k in range(len(WORDS)))
    lanes = host().lanes(size)
    row_bytes = width * size
    zeros = f.value(0, "<8 x i64>")
    zeros.name = "zeroinitializer"
    bad = f.var("i64", 0)
    with f.range(f.args[1] * BAGS, f.minimum(f.args[2] * BAGS, bags)) as b:
        to = out + b * row_bytes
        blocks.fill_run(f, to, zeros, row_bytes)
        begin, end = f.load("i64", bounds + b * 8), f.load("i64", bounds + (b * 8 + 8))
        count = f.var("i64", 0)
        with f.range(begin, end) as k:
            with f.if_(k + AHEAD < end):
                ahead = w + f.load("i64", index + (k + AHEAD) * 8) * row_bytes
                for line in (0, 64, 128, 192):
                    blocks.prefetch(f, ahead + line)
            i = f.load("i64", index + k * 8)
            with f.if_(i.uge(n)):
                bad.set(1)
            with f.if_(i.ult(n) & i.ne(padding)):
                count.set(count.get() + 1)
                factor = f.var(type_, 1.0)
                with f.if_(scaled.ne(0)):
                    factor.set(f.load(type_, scale + k * size, size))
                row = w + i * row_bytes
                _each(f, type_, size, lanes, width, lambda j, kind, spread: _add(f, kind, to + j, row + j,
                                                                                 spread(factor.get())))
        with f.if_(mean.ne(0) & (count.get() > 1)):
            number = count.get().cast("sitofp", type_)

            def divide(j, kind, spread):
                f.store(f.load(kind, to + j, size) / spread(number), to + j, size)
            _each(f, type_, size, lanes, width, divide)
    with f.if_(bad.get().ne(0)):
        f.store(f.value(1), context + 8 * BAD)
    f.ret()


def _add(f, kind, to, row, factor):
    f.store(f.load(kind, to, 1) + f.load(kind, row, 1) * factor, to, 1)


def _each(f, type_, size, lanes, width, act):
    """``act(byte offset, type, broadcast)`` for the vectors of a row, then for the elements left over."""
    whole = width & -lanes
    with f.range(0, whole, step=lanes) as j:
        act(j * size, vector(type_, lanes), lambda x: f.splat(x, lanes) if lanes > 1 else x)
    with f.range(whole, width) as j:
        act(j * size, type_, lambda x: x)
