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

from rushlight.compiler.templates import entries
from rushlight.runtime import native

ARRAYS, PHASES, TOTAL = range(3)
HEAD = 3
LEAST = 8192                # elements (or so much work) of a phase from which threads share it
RELEASE_FROM = 100_000      # elements of all phases from which other Python threads run meanwhile
LIST_SIZE, LIST_ITEMS = 16, 24


@cache
def runner():
    """The function ``run``."""
    return entries.load("phases", module_text, ["rl_phases"])[0]


def tasks(key, build, names, imports=()):
    """Addresses of the tasks ``names`` of the module whose text ``build()`` makes; they may use the thread pool."""
    return native.load(key, build, names, native.symbols() | dict(imports))


def plan_of(arrays, phases):
    """A plan: (address where its data's address goes, elements) of each array; (task, context, tiles, work) of each
    phase: addresses and counts."""
    head = [len(arrays), len(phases), sum(work for *_, work in phases)]
    return np.array([*head, *[x for array in arrays for x in array], *[x for phase in phases for x in phase]], np.int64)


def module_text():
    """The IR of the entry."""
    m = entries.new_module()
    f = m.function("rl_phases", "ptr", entries.ENTRY)
    plan, given = entries.data_of(f, f.args[1], 0), f.load("ptr", f.args[1] + 8)
    count, phases, total = (f.load("i64", plan + 8 * k) for k in (ARRAYS, PHASES, TOTAL))
    with f.if_(f.load("i64", given + LIST_SIZE).ne(count)):
        entries.answer(f, False)
    items, first = f.load("ptr", given + LIST_ITEMS), plan + 8 * HEAD
    with f.range(count) as k:
        entries.require_plain(f, f.load("ptr", items + k * 8), f.load("i64", first + (k * 16 + 8)))
    with f.range(count) as k:
        f.store(f.load("ptr", f.load("ptr", items + k * 8) + entries.DATA), f.load("ptr", first + k * 16))
    with entries.released(f, total >= RELEASE_FROM), f.range(phases) as k:
        phase = first + (count * 16 + k * 32)
        task, context = f.load("ptr", phase), f.load("ptr", phase + 8)
        tiles, work = f.load("i64", phase + 16), f.load("i64", phase + 24)
        entries.here_or_pool(f, (work < LEAST) | tiles.eq(1), task, context, tiles)
    entries.answer(f, True)
    return m.text()
