"""Runs of equal elements: what ``unique`` is made of once the elements are in order.

    runs_kernel(dtype)(values, starts, inverse, x, order, n) -> the number of runs m
        values (n,)         the first m elements: the first element of each run of x (n,)
        starts (n,)         the first m: where the runs begin; may be None
        inverse (n,)        inverse[order[i]] = number of the run of x[i]; None leaves it out, order None is 0, 1, 2...

    counts_kernel()(counts, x, n, bins)     counts[x[i]] += 1 for int64 x in [0, bins)

NaN equals nothing. All arrays are one-dimensional, in C order; positions are int64.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import keys
from rushlight.compiler.templates.keys import TASK, Job, parallel, scratch

_RUNS = ("values", "starts", "inverse", "x", "order")
_COUNTS = ("counts", "x", "n", "bins", "work", "failed")
_PARTS, _TOGETHER = 4, 8
_PARALLEL_FROM = 1 << 15


@cache
def runs_kernel(dtype):
    """The function that finds the runs of a dtype; bfloat16 has none here."""
    from rushlight.runtime import native

    found = native.load(f"runs {dtype}", lambda: _runs_text(dtype), ("rl_runs",), level=1)
    return native.callable_from(found["rl_runs"], "rl_runs")


@cache
def counts_kernel():
    """The function that counts int64 numbers."""
    from rushlight.runtime import native

    found = native.load("counts", _counts_text, ("rl_counts",), keys.imports(), level=1)
    return native.callable_from(found["rl_counts"], "rl_counts")


def _runs_text(dtype):
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
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
    f = m.function("rl_runs", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "count")])
    none, null = Value(f, "@_Py_NoneStruct", "ptr"), Value(f, "null", "ptr")
    data = []
    for k in range(len(_RUNS)):
        array, place = f.load("ptr", f.args[1] + 8 * k), f.var("ptr", null)
        with f.if_(array.ne(none)):
            place.set(f.load("ptr", array + keys.DATA))
        data.append(place.get())
    n = f.call("i64", "PyLong_AsLongLong", f.load("ptr", f.args[1] + 8 * len(_RUNS)))
    result = f.var("i64", 0)
    with f.if_(n > 0):
        state = f.call("ptr", "PyEval_SaveThread")
        function = f.select(data[1].eq(null), Value(f, "@rl_values", "ptr"), f.select(
            data[2].eq(null), Value(f, "@rl_starts", "ptr"), f.select(
                data[4].eq(null), Value(f, "@rl_inverse", "ptr"), Value(f, "@rl_ordered", "ptr"))))
        result.set(f.call("i64", function, *data, n))
        f.call("void", "PyEval_RestoreThread", state)
    f.ret(f.call("ptr", "PyLong_FromSsize_t", result.get()))
    return m.text()


def _counts_text():
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    f = m.function("rl_counts_task", "void", TASK, "internal", "nounwind")
    job = Job(f, f.args[0], _COUNTS)
    n, bins, x = job.word("n"), job.word("bins"), job.pointer("x")
    size = (n + (_PARTS - 1)).udiv(_PARTS)
    with f.range(f.args[1], f.args[2]) as part:
        own = job.pointer("work") + part * bins * 8
        with f.range(bins) as i:
            f.store(f.value(0), own + i * 8, 8)
        begin = part * size
        with f.range(begin, f.minimum(begin + size, n)) as i:
            slot = own + f.load("i64", x + i * 8, 8) * 8
            f.store(f.load("i64", slot, 8) + 1, slot, 8)
    f.ret()
    f = m.function("rl_counts", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "count")])
    context = f.buffer(8 * len(_COUNTS), 8)
    job = Job(f, context, _COUNTS)
    keys.read_arrays(f, f.args[1], job, _COUNTS[:2])
    keys.read_words(f, f.args[1], 2, job, _COUNTS[2:4])
    job.set("failed", 0)
    n, bins, counts, x = job.word("n"), job.word("bins"), job.pointer("counts"), job.pointer("x")
    with f.if_else((n < _PARALLEL_FROM) | (bins * 8 > n)) as (alone, together):
        with alone:
            with f.range(n) as i:
                slot = counts + f.load("i64", x + i * 8, 8) * 8
                f.store(f.load("i64", slot, 8) + 1, slot, 8)
        with together:
            state = f.call("ptr", "PyEval_SaveThread")
            block, work = scratch(f, bins * (8 * _PARTS))
            with f.if_else(block.eq(Value(f, "null", "ptr"))) as (nothing, some):
                with nothing:
                    job.set("failed", 1)
                with some:
                    job.set("work", work)
                    parallel(f, "rl_counts_task", context, _PARTS)
                    with f.range(bins) as i:
                        total = f.load("i64", counts + i * 8, 8)
                        for part in range(_PARTS):
                            total = total + f.load("i64", work + (bins * part + i) * 8, 8)
                        f.store(total, counts + i * 8, 8)
                    f.call("void", "rl_free", block)
            f.call("void", "PyEval_RestoreThread", state)
    keys.finish(f, job)
    return m.text()
