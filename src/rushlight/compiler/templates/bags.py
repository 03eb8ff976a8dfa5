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
from rushlight.compiler.templates import blocks, entries
from rushlight.compiler.templates.layout import Layout

_JOB = Layout(("out", "w", "index", "bounds", "scale"), ("n", "width", "bags", "padding", "mean", "scaled"), ("bad",))
BAGS = 32                       # bags a tile
TOGETHER = 4                    # vectors of sums at a time
AHEAD = 8                       # rows between asking for memory and using it
SIZES = {"float": 4, "double": 8}


@cache
def kernel(type_):
    """The function for LLVM element type ``float`` or ``double``."""
    return entries.load(f"bags {type_}", lambda: module_text(type_), ("rl_bags",))[0]


def module_text(type_):
    """The IR of the entry and its task."""
    m = entries.new_module()
    _task(m, type_, SIZES[type_])
    f, job = _JOB.begin(m, "rl_bags")
    width, bags = job.width, job.bags
    with f.if_(bags > 0):
        entries.share(f, "rl_bags_task", job.pointer, blocks.ceil_div(bags, BAGS), bags * width * 16)
    f.ret(f.call("ptr", "PyBool_FromLong", job.bad))
    return m.text()


def _task(m, type_, size):
    f = entries.task(m, "rl_bags_task")
    job = _JOB.words(f, f.args[0])
    out, w, index, bounds, scale, n, width, bags, padding, mean, scaled = _JOB.load(f, job.pointer).values()
    lanes = host().lanes(size)
    row_bytes = width * size
    bad = f.var("i64", 0)
    positions = f.load("i64", bounds + bags * 8)

    def columns(to, begin, end, first, last, kind, together):
        """The sums of the columns [first, last), so many vectors at a time that registers hold them."""
        spread = (lambda x: f.splat(x, lanes)) if kind != type_ else (lambda x: x)
        step = (lanes if kind != type_ else 1) * size
        with f.range(first * size, last * size, step=step * together) as j:
            sums = [f.var(kind, 0.0) for _ in range(together)]
            for total in sums:
                total.set(0.0)
            count = f.var("i64", 0)
            count.set(0)
            with f.range(begin, end) as k:
                with f.if_(k + AHEAD < positions):
                    ahead = w + f.load("i64", index + (k + AHEAD) * 8) * row_bytes + j
                    for line in range(0, step * together, 64):
                        f.prefetch(ahead + line)
                i = f.load("i64", index + k * 8)
                with f.if_else(i.ult(n) & i.ne(padding)) as (taken, left):
                    with taken:
                        count.set(count.get() + 1)
                        row = w + i * row_bytes + j
                        parts = [f.load(kind, row + step * v, 1) for v in range(together)]
                        with f.if_else(scaled.ne(0)) as (yes, no):
                            with yes:
                                factor = spread(f.load(type_, scale + k * size, size))
                                for total, part in zip(sums, parts, strict=True):
                                    total.set(total.get() + part * factor)
                            with no:
                                for total, part in zip(sums, parts, strict=True):
                                    total.set(total.get() + part)
                    with left, f.if_(i.uge(n)):
                        bad.set(1)
            number = f.select(mean.ne(0) & (count.get() > 1), count.get(), f.value(1)).cast("sitofp", type_)
            for v, total in enumerate(sums):
                f.store(total.get() / spread(number), to + j + step * v, 1)

    with f.range(f.args[1] * BAGS, f.minimum(f.args[2] * BAGS, bags)) as b:
        to = out + b * row_bytes
        begin, end = f.load("i64", bounds + b * 8), f.load("i64", bounds + (b * 8 + 8))
        wide, whole = width & (-lanes * TOGETHER), width & -lanes
        columns(to, begin, end, f.value(0), wide, vector(type_, lanes), TOGETHER)
        columns(to, begin, end, wide, whole, vector(type_, lanes), 1)
        columns(to, begin, end, whole, width, type_, 1)
    with f.if_(bad.get().ne(0)):
        job.set(bad=1)
    f.ret()
