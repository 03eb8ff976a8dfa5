"""Runs of equal elements: what ``unique`` is made of once the elements are in order.

    runs_kernel(dtype)(values, starts, inverse, x, order, n) -> the number of runs m
        values (n,)         the first m elements: the first element of each run of x (n,)
        starts (n,)         the first m: where the runs begin; may be None
        inverse (n,)        inverse[order[i]] = number of the run of x[i]; None leaves it out, order None is 0, 1, 2...

    counts_kernel()(counts, x, n, bins)     counts[x[i]] += 1 for int64 x in [0, bins)

NaN equals nothing. All arrays are one-dimensional, in C order; positions are int64.
"""

from functools import cache

from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.layout import Layout

_RUNS = ("values", "starts", "inverse", "x", "order")
_COUNTS = Layout(("counts", "x"), ("n", "bins"), ("work", "failed"), ("work",))
_PARTS, _TOGETHER = 4, 8
_PARALLEL_FROM = 1 << 15


@cache
def runs_kernel(dtype):
    """The function that finds the runs of a dtype; bfloat16 has none here."""
    return entries.load(f"runs {dtype}", lambda: _runs_text(dtype), ("rl_runs",))[0]


@cache
def counts_kernel():
    """The function that counts int64 numbers."""
    return entries.load("counts", _counts_text, ("rl_counts",))[0]


def _runs_text(dtype):
    m = entries.new_module()
    type_, size = MEMORY[dtype], ITEMSIZE[dtype]
    params = [("ptr", name) for name in _RUNS] + [("i64", "n")]
    for name, some in (("rl_values", ()), ("rl_starts", ("starts",)), ("rl_inverse", ("starts", "inverse")),
                       ("rl_ordered", ("starts", "inverse", "order"))):
        f = m.function(name, "i64", params, "internal", "nounwind")
        values, starts, inverse, x, order, n = f.args
        run, i = f.var("i64", 0), f.var("i64", 1)

        def note(at, value, now):
            """Element ``at``, which begins run ``now`` or, if it belongs to the one before, is overwritten."""
            f.store(value, values + now * size, size)
            if some:
                f.store(at, starts + now * 8, 8)

        def belongs(at, now):
            if "inverse" in some:
                place = f.load("i64", order + at * 8, 8) if "order" in some else at
                f.store(now, inverse + place * 8, 8)

        note(f.value(0), f.load(type_, x, size), f.value(0))
        belongs(f.value(0), f.value(0))
        for together in (_TOGETHER, 1):
            with f.loop() as loop:
                first = i.get()
                loop.break_if(first + together > n)
                elements = [f.load(type_, x + (first + k) * size, size) for k in range(-1, together)]
                now = run.get()
                for k in range(together):
                    note(first + k, elements[k + 1], now + 1)
                    now = now + elements[k + 1].ne(elements[k]).cast("zext", "i64")
                    belongs(first + k, now)
                run.set(now)
                i.set(first + together)
        f.ret(run.get() + 1)
    f = m.function("rl_runs", "ptr", entries.ENTRY)
    data = [entries.data_or_null(f, f.load("ptr", f.args[1] + 8 * k)) for k in range(len(_RUNS))]
    n = entries.int_of(f, f.args[1], len(_RUNS))
    result = f.var("i64", 0)
    with f.if_(n > 0), entries.released(f):
        function = f.select(data[1].eq(f.null), f.symbol("rl_values"), f.select(
            data[2].eq(f.null), f.symbol("rl_starts"), f.select(
                data[4].eq(f.null), f.symbol("rl_inverse"), f.symbol("rl_ordered"))))
        result.set(f.call("i64", function, *data, n))
    f.ret(f.call("ptr", "PyLong_FromSsize_t", result.get()))
    return m.text()


def _counts_text():
    m = entries.new_module()
    f = entries.task(m, "rl_counts_task")
    job = _COUNTS.words(f, f.args[0])
    n, bins, x = job.n, job.bins, job.x
    size = (n + (_PARTS - 1)).udiv(_PARTS)
    with f.range(f.args[1], f.args[2]) as part:
        own = job.work + part * bins * 8
        with f.range(bins) as i:
            f.store(f.value(0), own + i * 8, 8)
        begin = part * size
        with f.range(begin, f.minimum(begin + size, n)) as i:
            slot = own + f.load("i64", x + i * 8, 8) * 8
            f.store(f.load("i64", slot, 8) + 1, slot, 8)
    f.ret()
    f, job = _COUNTS.begin(m, "rl_counts")
    n, bins, counts, x = job.n, job.bins, job.counts, job.x
    with f.if_else((n < _PARALLEL_FROM) | (bins * 8 > n)) as (alone, together):
        with alone:
            with f.range(n) as i:
                slot = counts + f.load("i64", x + i * 8, 8) * 8
                f.store(f.load("i64", slot, 8) + 1, slot, 8)
        with together, entries.released(f), entries.with_scratch(f, bins * (8 * _PARTS), job.at("failed")) as work:
            job.set(work=work)
            entries.pool(f, "rl_counts_task", job.pointer, _PARTS)
            with f.range(bins) as i:
                total = f.load("i64", counts + i * 8, 8)
                for part in range(_PARTS):
                    total = total + f.load("i64", work + (bins * part + i) * 8, 8)
                f.store(total, counts + i * 8, 8)
    entries.done(f, job.failed)
    return m.text()
