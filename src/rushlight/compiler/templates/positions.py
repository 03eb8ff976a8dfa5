"""Several index arrays as one: byte offsets, bounds checked, negative indices counted from the end.

    call(out, count, index, n, step, [index, n, step] ...) -> bool

    out[k] = sum over the arrays of (index[k], plus n where negative) * step

True where an index lay outside [-n, n). All arrays are int64, dense, of `count` elements.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries

MOST = 32                       # index arrays
TILE = 1 << 12
HEAD = 4                        # words of the context before the arrays': out, count, arrays, bad


@cache
def kernel():
    """The function."""
    return entries.load("positions", module_text, ("rl_positions",))[0]


def module_text():
    """The IR of the entry and its task."""
    m = entries.new_module()
    _task(m)
    f = m.function("rl_positions", "ptr", entries.ENTRY)
    args = f.args[1]
    context = f.buffer(8 * (HEAD + 3 * MOST), 8)
    arrays = (f.args[2] - 2).udiv(3)
    count = entries.int_of(f, args, 1)
    for k, word in enumerate((entries.data_of(f, args, 0), count, arrays, f.value(0))):
        f.store(word, context + 8 * k)
    with f.range(arrays) as k:
        place = context + (k * 24 + 8 * HEAD)
        f.store(f.load("ptr", f.load("ptr", args + (k * 24 + 16)) + entries.DATA), place)
        f.store(entries.int_of(f, args, k * 3 + 3), place + 8)
        f.store(entries.int_of(f, args, k * 3 + 4), place + 16)
    with f.if_(count > 0):
        entries.share(f, "rl_positions_task", context, blocks.ceil_div(count, TILE), count * 4)
    f.ret(f.call("ptr", "PyBool_FromLong", f.load("i64", context + 24)))
    return m.text()


def _task(m):
    f = entries.task(m, "rl_positions_task")
    context = f.args[0]
    out = f.load("ptr", context)
    count, arrays = f.load("i64", context + 8), f.load("i64", context + 16)
    lanes = host().lanes(8)
    bad = f.var("i64", 0)

    def run(begin, end, width):
        kind = vector("i64", width)
        with f.range(begin, end, step=width) as k:
            total, wrong = f.var(kind, 0), f.var(kind, 0)
            with f.range(arrays) as j:
                place = context + (j * 24 + 8 * HEAD)
                n, step = f.load("i64", place + 8), f.load("i64", place + 16)
                if width > 1:
                    n, step = f.splat(n, width), f.splat(step, width)
                i = f.load(kind, f.load("ptr", place) + k * 8, 8)
                i = i + f.select(i < 0, n, f.value(0, kind))
                total.set(total.get() + i * step)
                # Below 0 or beyond n - 1: the sign of one of the two differences.
                wrong.set(wrong.get() | i | (n - 1 - i))
            f.store(total.get(), out + k * 8, 8)
            sign = wrong.get()
            if width > 1:
                sign = f.intrinsic("vector.reduce.or", sign, result="i64")
            with f.if_(sign < 0):
                bad.set(1)

    with f.range(f.args[1], f.args[2]) as tile:
        begin = tile * TILE
        end = f.minimum(begin + TILE, count)
        whole = begin + ((end - begin) & -lanes)
        run(begin, whole, lanes)
        run(whole, end, 1)
    with f.if_(bad.get().ne(0)):
        f.store(f.value(1), context + 24)
    f.ret()
