"""Adam's step of the rows for which sparse gradients have entries, as a task of ``phases``.

A parameter is N rows of D numbers; entry e of its gradient adds D values to row ``sum_d index[d, e] pitch[d]``. Rows
are dealt out to ``PARTS`` tiles by a hash. A tile links its entries row by row, in their order: ``mark[row]`` is the
first entry of a row where that comes before the present one and is of this row, so that marks of earlier steps need
not be cleared. Then each row's values are added up, and its moments and numbers change:

    m <- m + (g - m)(1 - beta1),   v <- v + (g^2 - v)(1 - beta2),   p <- p - size m / (sqrt(v) + eps)
"""

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import phases
from rushlight.compiler.templates.entries import TASK
from rushlight.compiler.templates.jobs import Job

PART_BITS = 3
PARTS = 1 << PART_BITS
# Numbers of a step, doubles.
TAKEN1, TAKEN2, EPS, SIGN = range(4)
NUMBERS = 4
# Words of a parameter: pointers, counts, bits of the double SIZE; OUTSIDE becomes 1 where an index is none of a row.
P, M, V, INDICES, VALUES, ENTRIES, D, DIMS, SIZES, MARK, NEXT, LAST, AFTER, SIZE, OUTSIDE = range(15)
PARAM_WORDS = 15


def task(dtype):
    """The address of the task for float32 or float64; its context: parameters, numbers."""
    from rushlight.runtime import cpu

    key = f"rows touched {dtype} {cpu.vector_bytes()}"
    return phases.tasks(key, lambda: module_text(dtype), ["rl_touched"])["rl_touched"]


def module_text(dtype):
    """The IR of the task."""
    m = Module(host().triple)
    _row(m)
    _touched(m, dtype)
    return m.text()


def _row(m):
    """i64 rl_row_of(param, e): the row of an entry; -1 where an index is outside."""
    f = m.function("rl_row_of", "i64", [("ptr", "param"), ("i64", "e")], "internal", "nounwind")
    param, e = f.args
    indices, sizes = f.load("ptr", param + 8 * INDICES), f.load("ptr", param + 8 * SIZES)
    entries, row = f.load("i64", param + 8 * ENTRIES), f.var("i64", 0)
    with f.range(f.load("i64", param + 8 * DIMS)) as d:
        index, size = f.load("i64", indices + (d * entries + e) * 8), f.load("i64", sizes + d * 8)
        with f.if_(index.uge(size)):
            f.ret(f.value(-1))
        row.set(row.get() * size + index)
    f.ret(row.get())


def _touched(m, dtype):
    f = m.function("rl_touched", "void", TASK, attributes="nounwind")
    params, numbers = f.load("ptr", f.args[0]), f.load("ptr", f.args[0] + 8)
    j = Job(f, dtype, (), ())

    def spread(number):
        return f.splat(number if j.element == "double" else number.cast("fptrunc", "float"), j.lanes)

    taken1, taken2, eps, sign = (spread(f.load("double", numbers + 8 * k)) for k in (TAKEN1, TAKEN2, EPS, SIGN))
    with f.range(f.args[1], f.args[2]) as t:
        param, part = params + t.lshr(PART_BITS) * (8 * PARAM_WORDS), t & (PARTS - 1)
        p, m_at, v_at, values, mark, next_, last, after = (
            f.load("ptr", param + 8 * k) for k in (P, M, V, VALUES, MARK, NEXT, LAST, AFTER))
        entries, d = f.load("i64", param + 8 * ENTRIES), f.load("i64", param + 8 * D)
        size = spread(f.load("double", param + 8 * SIZE))

        def at(base, e):
            return f.load("i32", base + e * 4).cast("sext", "i64")

        def put(value, base, e):
            f.store(value.cast("trunc", "i32"), base + e * 4)

        rows = f.var("i64", -1)                 # the first entry of the row found last
        with f.range(entries) as e:
            row = f.call("i64", "rl_row_of", param, e)
            with f.if_(row < 0):
                f.store(f.value(1), param + 8 * OUTSIDE)
            mine = (row * -0x61C8864680B583EB).lshr(64 - PART_BITS).eq(part)
            with f.if_(mine & (row >= 0)):
                first, known = at(mark, row), f.var("i1", False)
                with f.if_(first.ult(e)):
                    known.set(f.call("i64", "rl_row_of", param, first).eq(row))
                put(f.value(-1), next_, e)
                with f.if_else(known.get()) as (again, new):
                    with again:
                        put(e, next_, at(last, first))
                        put(e, last, first)
                    with new:
                        put(e, mark, row)
                        put(e, last, e)
                        put(rows.get(), after, e)
                        rows.set(e)
        with f.loop() as loop:
            first = rows.get()
            loop.break_if(first < 0)
            start = f.call("i64", "rl_row_of", param, first) * d

            def some(i, mask):
                def load(base, where):
                    return j.load(base + where * j.item) if mask is None else \
                        j.load(base + where * j.item, mask)

                def store(x, base, where):
                    if mask is None:
                        j.store(x, base + where * j.item)
                    else:
                        j.store(x, base + where * j.item, mask)
                total, e = f.var(j.vector, load(values, first * d + i)), f.var("i64", at(next_, first))
                with f.loop() as more:
                    now = e.get()
                    more.break_if(now < 0)
                    total.set(total.get() + load(values, now * d + i))
                    e.set(at(next_, now))
                g, here = total.get() * sign, start + i
                old_m, old_v = load(m_at, here), load(v_at, here)
                mean, square = old_m + (g - old_m) * taken1, old_v + (g * g - old_v) * taken2
                store(mean, m_at, here)
                store(square, v_at, here)
                step = mean / (f.intrinsic("sqrt", square) + eps)
                store(load(p, here) - size * step, p, here)
            whole = d & -j.lanes
            with f.range(0, whole, step=j.lanes) as i:
                some(i, None)
            with f.if_(whole < d):
                some(whole, j.below(d - whole))
            rows.set(at(after, first))
    f.ret()
