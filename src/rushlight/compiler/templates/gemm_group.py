"""Several matrix products in one call: one parallel region whose tasks are the tiles of all of them.

    call(*arrays, words) -> None        the builtin function of ``group(dtype)``; ``words`` from ``plan``

    plan([Product, ...]) -> words       where each is given by sizes, strides and places among ``arrays``

Each product is cut into tiles as it would be alone (``gemm_driver``), so its bits are those of a call of its own; only
who computes which tile, and when, differs. That saves a call for each, and lets threads share out work of which each
part would be too little to wake one for.

A product may add to an array, or to what the one before it in the list has computed: the input's gradient of several
linear maps, sum_i dY_i W_i. Both then have the same tiles, and a tile of the sum is computed by one thread, term after
term.

Products that pack operands for all tiles first are large ones, for which a group is of no use: they run after the
others, one by one, each on all threads.

The words, int64: the number of products and of places, multiply-adds, what ``serial`` says; the jobs (``FIELDS`` of
``gemm_driver``); pairs of an array's number and the word of the jobs that takes its address.
"""

import math
from functools import cache

import numpy as np

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.gemm_driver import (
    ALONE,
    HERE,
    INDEX,
    LIGHT,
    LIGHT_WORK,
    NOTED,
    PARALLEL_WORK,
    SIZE,
    fill_words,
    one,
)

MOST = 24                       # products of a group
HEAD, WORK, MODE = 4, 2, 3      # words before the jobs, of which two say how much there is to do
RELEASE_WORK = 500_000          # multiply-adds from which other Python threads may run meanwhile
# The group as tasks see it: the jobs, their number; from FIRST on the number of each one's first tile.
JOBS, COUNT, FIRST = 0, 8, 16


class Product:
    """``c = a @ b (+ bias) (+ d)``; where d is c, it adds to the product before it.

    c, a, b, bias, d: numbers of arrays, of the last two perhaps None. sizes: (batch, m, n, k). steps: bytes, {"a_row":
    ..., "c_batch": ...}. label: what it was called.
    """

    __slots__ = ("c", "a", "b", "bias", "d", "sizes", "steps", "label")

    def __init__(self, c, a, b, bias, d, sizes, steps, label=""):
        self.c, self.a, self.b, self.bias, self.d = c, a, b, bias, d
        self.sizes, self.steps, self.label = sizes, steps, label

    def cost(self):
        """Time in multiply-adds, as ``Driver._cost`` counts."""
        batch, m, n, k = self.sizes
        return batch * (m * n * k + (m * n + m * k + k * n) * 4)


class Words(np.ndarray):
    """The words of a group, with its ``products``."""

    def __repr__(self):
        return f"{len(self.products)} products"


def plan(products):
    """The words of a group."""
    jobs, places = np.zeros((len(products), SIZE), np.int64), []
    for i, p in enumerate(products):
        batch, m, n, k = p.sizes
        values = {"outer": 1, "batch": batch, "m": m, "n": n, "k": k, "alpha": one(False), "factor": one(False),
                  "chained": int(p.d == p.c), **p.steps}
        for name, value in values.items():
            jobs[i, INDEX[name]] = value
        for name in ("c", "a", "b", "bias", "d"):
            which = getattr(p, name)
            if which is not None:
                places += [which, i * SIZE + INDEX[name]]
    work = sum(p.cost() for p in products)
    mode = HERE if work < LIGHT_WORK else LIGHT if work < PARALLEL_WORK else 0
    sums = sum(math.prod(p.sizes) for p in products)
    head = np.array([len(products), len(places) // 2, sums, mode], np.int64)
    words = np.concatenate([head, jobs.reshape(-1), np.array(places, np.int64)]).view(Words)
    words.products = list(products)
    return words


@cache
def group(dtype):
    """The builtin function for float32 or float64; None where products go other ways than by vectors."""
    from rushlight.compiler.templates import gemm
    from rushlight.runtime import cpu, native

    name = np.dtype(dtype).name
    if name not in ("float32", "float64") or not gemm.supported(dtype) or cpu.amx():
        return None
    return native.callable_from(gemm.driver(name)["rl_group_call"], f"gemm_group_{name}", group.__doc__)


# ---------------------------------------------------------------- the generated side

def write_group(module, job_class, task):
    """Add ``i32 rl_group(ptr jobs, i64 count, i64 mode)`` and its CPython entry to a driver's module."""
    _group_task(module, job_class, task)
    _apart(module, job_class)
    _group(module, job_class)
    _entry(module)


def _at(f, jobs, i, job_class):
    return job_class(f, jobs + i * (8 * SIZE))


def _group_task(m, job_class, task):
    """Tile t of the group: the tiles of its products follow each other; products that add go with the one before."""
    f = m.function("group_task", "void", task, "internal", "nounwind")
    group, begin, end = f.args
    jobs, count = f.load("ptr", group), f.load("i64", group + COUNT)
    with f.range(count) as i:
        job = _at(f, jobs, i, job_class)
        first = f.load("i64", group + (i * 8 + FIRST))
        low, high = f.select(begin > first, begin - first, f.value(0)), f.minimum(job.tiles, end - first)
        with f.if_(job.chained.eq(0) & (low < high)):
            place = f.var("i64", i)
            with f.loop() as loop:
                own = _at(f, jobs, place.get(), job_class)
                f.call("void", own.task, own.pointer, low, high)
                place.set(place.get() + 1)
                loop.break_if(place.get() >= count)
                loop.break_if(_at(f, jobs, place.get(), job_class).chained.eq(0))
    f.ret()


def _alone(f, job):
    """Make a job one without tiles, to be run by itself."""
    block = job.block
    with f.if_(block.ne(0)):
        f.call("void", "rl_free", block)
        job.set(block=f.null)
    job.set(task=f.null, tiles=0)


def _apart(m, job_class):
    """``void apart(jobs, count)``: where a sum's terms have other tiles than its first, none has any."""
    f = m.function("apart", "void", [("ptr", "jobs"), ("i64", "count")], "internal", "nounwind")
    jobs, count = f.args
    head = f.var("i64", 0)
    with f.range(count) as i:
        job = _at(f, jobs, i, job_class)
        with f.if_else(job.chained.eq(0)) as (first, more):
            with first:
                head.set(i)
            with more:
                of = _at(f, jobs, head.get(), job_class)
                other = job.task.eq(f.null)
                for x in ("task", "tiles", "k", "height", "width", "tile_strips", "tile_panels"):
                    other = other | getattr(job, x).ne(getattr(of, x))
                with f.if_(other):
                    with f.range(head.get(), i + 1) as j:
                        _alone(f, _at(f, jobs, j, job_class))
    f.ret()


def _share(f, group, jobs, count, mode, job_class):
    """Give each product its place among the tiles and run them all."""
    total = f.var("i64", 0)
    with f.range(count) as i:
        job = _at(f, jobs, i, job_class)
        f.store(total.get(), group + (i * 8 + FIRST))
        total.set(total.get() + f.select(job.chained.eq(0), job.tiles, f.value(0)))
    tiles = total.get()
    with f.if_else(mode.eq(HERE)) as (here, pool):
        with here:
            f.call("void", "group_task", group, f.value(0), tiles)
        with pool:
            tiles = f.select(mode.eq(LIGHT), f.value(0) - tiles, tiles)
            f.call("void", "rl_parallel_for", f.symbol("group_task"), group, tiles)


def _group(m, job_class):
    f = m.function("rl_group", "i32", [("ptr", "jobs"), ("i64", "count"), ("i64", "mode")], attributes="nounwind")
    jobs, count, mode = f.args
    null = f.null
    group = f.buffer(FIRST + 8 * MOST)
    f.store(jobs, group)
    f.store(count, group + COUNT)
    failed, parts, sums = f.var("i1", False), f.var("i1", False), f.var("i1", False)
    with f.range(count) as i:
        job = _at(f, jobs, i, job_class)
        job.set(block=null, serial=NOTED, matrix=0, parts=0)
        sums.set(sums.get() | job.chained.ne(0))
        with f.if_else(job.batch.eq(1)) as (single, several):
            with single:
                result = f.call("i32", "product", job.pointer)
                failed.set(failed.get() | result.eq(1))
                with f.if_(result.eq(ALONE)):
                    _alone(f, job)
            with several:
                job.set(task=f.symbol("batch_task"))
                job.set(tiles=job.batch)
    with f.if_(sums.get()):
        f.call("void", "apart", jobs, count, declare=False)
    with f.if_(~failed.get()):
        _share(f, group, jobs, count, mode, job_class)
    with f.range(count) as i:
        job = _at(f, jobs, i, job_class)
        failed.set(failed.get() | job.serial.eq(-1))
        with f.if_(job.task.eq(null) & ~failed.get()):
            failed.set(f.call("i32", "rl_gemm_added", job.pointer, declare=False).ne(0))
            job.set(block=null)
        # Of products in parts the parts are there now.
        has = job.block.ne(null)
        parts.set(parts.get() | has)
        job.set(task=f.symbol("total_task"))
        with f.if_else(has) as (some, none):
            with some:
                job.set(tiles=(job.m + job.height - 1).udiv(job.height))
            with none:
                job.set(tiles=0)
    with f.if_(parts.get()):
        with f.if_(~failed.get()):
            _share(f, group, jobs, count, mode, job_class)
        with f.range(count) as i:
            block = _at(f, jobs, i, job_class).block
            with f.if_(block.ne(null)):
                f.call("void", "rl_free", block)
    f.ret(f.emit("i32", f"zext i1 {failed.get().name} to i32"))


def _entry(m):
    """``PyObject *rl_group_call(self, args, n)``: arrays, then the words. The words are only read."""
    f = m.function("rl_group_call", "ptr", entries.ENTRY)
    _, args, n = f.args
    words = entries.data_of(f, args, n - 1)
    count, places, work = (f.load("i64", words + 8 * i) for i in (0, 1, WORK))
    jobs = f.buffer(8 * SIZE * MOST)
    fill_words(f, args, words + 8 * HEAD, jobs, count * (8 * SIZE), places)
    with f.range(count) as i:
        m_, row, n_, k = (f.load("i64", jobs + (i * (8 * SIZE) + 8 * INDEX[x])) for x in ("m", "a_row", "n", "k"))
        f.call("void", "rl_prepare", m_, row, n_, k, declare=False)
    with entries.released(f, work >= RELEASE_WORK):
        failed = f.call("i32", "rl_group", jobs, count, f.load("i64", words + 8 * MODE), declare=False)
    entries.done(f, failed)
