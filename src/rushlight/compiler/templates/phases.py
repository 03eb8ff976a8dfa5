"""Jobs of several phases over arrays that stay where they are, as one call: optimizers' steps that need sums first.

    run(plan, arrays) -> bool

``plan`` (``plan_of``) holds where the arrays of each call are told, and the phases: each is a task of the thread pool
with its context, tiles and work; one begins when the one before is done. A phase of one tile may share out work of its
own. ``arrays`` is a list of ndarrays that are elsewhere in each call (gradients). Nothing is done and the result is
False where one isn't an ndarray in C order with as many elements as the plan says.

Contexts are memory of the caller's: numbers that differ from call to call are written there before.
"""

from functools import cache

import numpy as np

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.codegen.entry import DIMS, FLAGS, ND, TYPE
from rushlight.compiler.templates import blocks
from rushlight.runtime import native

ARRAYS, PHASES, TOTAL = range(3)
HEAD = 3
LEAST = 8192                # elements (or so much work) of a phase from which threads share it
RELEASE_FROM = 100_000      # elements of all phases from which other Python threads run meanwhile
LIST_SIZE, LIST_ITEMS = 16, 24


@cache
def runner():
    """The function ``run``."""
    known = native.symbols()
    imports = {name: known[name] for name in ("rl_parallel_for", "PyArray_Type")}
    found = native.load("phases", module_text, ["rl_phases"], imports)
    return native.callable_from(found["rl_phases"], "phases", module_text.__doc__)


def tasks(key, build, names, imports=()):
    """Addresses of the tasks ``names`` of the module whose text ``build()`` makes; they may use the thread pool."""
    known = native.symbols()
    needed = {name: known[name] for name in ("rl_parallel_for", "rl_scratch", "rl_free")} | dict(imports)
    return native.load(key, build, names, needed)


def plan_of(arrays, phases):
    """A plan: (address where its data's address goes, elements) of each array; (task, context, tiles, work) of each
    phase: addresses and counts."""
    head = [len(arrays), len(phases), sum(work for *_, work in phases)]
    return np.array([*head, *[x for array in arrays for x in array], *[x for phase in phases for x in phase]], np.int64)


def module_text():
    """The IR of the entry."""
    m = blocks.new_module()
    m.globals += [f"@{name} = external global i8" for name in ("PyArray_Type", "_Py_TrueStruct", "_Py_FalseStruct")]
    f = m.function("rl_phases", "ptr", blocks.ENTRY)
    plan, given = blocks.data_of(f, f.args[1], 0), f.load("ptr", f.args[1] + 8)
    count, phases, total = (f.load("i64", plan + 8 * k) for k in (ARRAYS, PHASES, TOTAL))
    with f.if_(f.load("i64", given + LIST_SIZE).ne(count)):
        blocks.answer(f, False)
    items, first = f.load("ptr", given + LIST_ITEMS), plan + 8 * HEAD
    with f.range(count) as k:
        array = f.load("ptr", items + k * 8)
        with f.if_(f.load("ptr", array + TYPE).ne(Value(f, "@PyArray_Type", "ptr"))):
            blocks.answer(f, False)
        n, dims = f.var("i64", 1), f.load("ptr", array + DIMS)
        with f.range(f.load("i32", array + ND).cast("sext", "i64")) as d:
            n.set(n.get() * f.load("i64", dims + d * 8))
        with f.if_((f.load("i32", array + FLAGS) & 1).eq(0) | n.get().ne(f.load("i64", first + (k * 16 + 8)))):
            blocks.answer(f, False)
    with f.range(count) as k:
        f.store(f.load("ptr", f.load("ptr", items + k * 8) + blocks.DATA), f.load("ptr", first + k * 16))
    state = f.var("ptr", 0)
    with f.if_(total >= RELEASE_FROM):
        state.set(f.call("ptr", "PyEval_SaveThread"))
    with f.range(phases) as k:
        phase = first + (count * 16 + k * 32)
        task, context = f.load("ptr", phase), f.load("ptr", phase + 8)
        tiles, work = f.load("i64", phase + 16), f.load("i64", phase + 24)
        with f.if_else((work < LEAST) | tiles.eq(1)) as (small, large):
            with small:
                f.call("void", task, context, f.value(0), tiles)
            with large:
                f.call("void", "rl_parallel_for", task, context, tiles)
    with f.if_(total >= RELEASE_FROM):
        f.call("void", "PyEval_RestoreThread", state.get())
    blocks.answer(f, True)
    return m.text()
