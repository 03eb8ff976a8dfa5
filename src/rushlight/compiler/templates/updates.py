"""One pointwise kernel over many sets of arrays that stay where they are, as one job: an optimizer's step, done often.

    run(plan, numbers, tick, arrays) -> bool

``plan`` (``plan_of``) holds where the sets' operands lie, their sizes and how they are cut into tiles; ``arrays`` has
one ndarray for each set, for the operand that is elsewhere in each call (a gradient); ``numbers`` is the tuple of the
kernel's scalars. Counters (float32) that the plan knows are ``tick - 1`` before and ``tick`` afterwards. Nothing is
done and the result is False where one isn't, or where an array isn't in C order or has another number of elements.

``inner`` is a kernel's inner loop (see ``codegen/entry``), called tile by tile; small sets lie in tiles of their own.
"""

from functools import cache

import numpy as np

from rushlight.compiler.codegen.entry import HEADER, TUPLE_ITEMS
from rushlight.compiler.templates import entries

# Words of a plan: the head, bytes of an element of each operand, sets (operands' addresses, elements), addresses of
# counters, tiles (address of the set, first element, elements).
INNER, OPERANDS, SETS, VARYING, COUNTERS, TILES, TOTAL, NUMBERS = range(8)
HEAD = 8
MOST_OPERANDS, MOST_NUMBERS = 16, 16
LEAST = 8192                # elements from which threads share
RELEASE_FROM = 100_000      # elements from which other Python threads run meanwhile


@cache
def runner():
    """The function ``run``."""
    return entries.load("updates", module_text, ["rl_update"])[0]


def plan_of(kernel, sets, varying, counters):
    """A plan for a pointwise ``kernel`` over ``sets`` of arrays in C order (outputs, then inputs).

    ``varying``: the operand that is given in each call (those of the sets tell its size); ``counters``: arrays of one
    float32. The caller keeps all arrays.
    """
    descriptor = np.frombuffer(kernel.descriptor, np.int64)
    outputs, inputs, numbers, inner, _, grain = (int(x) for x in descriptor[:6])
    operands = outputs + inputs
    if operands > MOST_OPERANDS or numbers > MOST_NUMBERS:
        raise ValueError(f"updates: more than {MOST_OPERANDS} operands or {MOST_NUMBERS} numbers")
    first = HEAD + operands
    words, tiles = [*descriptor[HEADER:HEADER + operands]], []
    grain = max(grain, 2048)
    for k, arrays in enumerate(sets):
        n = arrays[0].size
        words += [*[a.__array_interface__["data"][0] for a in arrays], n]
        tiles += [(8 * (first + k * (operands + 1)), at, min(grain, n - at)) for at in range(0, n, grain)]
    words += [c.ctypes.data for c in counters]
    total = sum(arrays[0].size for arrays in sets)
    head = [inner, operands, len(sets), varying, len(counters), len(tiles), total, numbers]
    return np.array([*head, *words, *[x for tile in tiles for x in tile]], np.int64)


def module_text():
    """The IR of the entry and its task."""
    m = entries.new_module()
    # Context: the plan, the numbers' address, the first tile's.
    f = entries.task(m, "rl_update_task")
    context = f.args[0]
    plan, numbers, tiles = (f.load("ptr", context + 8 * k) for k in range(3))
    inner, operands = f.load("ptr", plan + 8 * INNER), f.load("i64", plan + 8 * OPERANDS)
    steps = plan + 8 * HEAD
    places = f.buffer(8 * MOST_OPERANDS, 8)
    with f.range(f.args[1], f.args[2]) as t:
        tile = tiles + t * 24
        members, at = plan + f.load("i64", tile), f.load("i64", tile + 8)
        with f.range(operands) as k:
            here = f.load("ptr", members + k * 8) + at * f.load("i64", steps + k * 8)
            f.store(here, places + k * 8)
        f.call("void", inner, places, steps, numbers, f.load("i64", tile + 16), f.value(0))
    f.ret()

    f = m.function("rl_update", "ptr", entries.ENTRY)
    args = f.args[1]
    plan, arrays = entries.data_of(f, args, 0), f.load("ptr", f.load("ptr", args + 24) + TUPLE_ITEMS)
    operands, sets, varying, counters, tiles, total, numbers = (f.load("i64", plan + 8 * k) for k in range(1, HEAD))
    first = plan + (operands + HEAD) * 8
    pitch = (operands + 1) * 8
    with f.range(sets) as k:
        array, members = f.load("ptr", arrays + k * 8), first + k * pitch
        entries.require_plain(f, array, f.load("i64", members + operands * 8))
        f.store(f.load("ptr", array + entries.DATA), members + varying * 8)
    after = first + sets * pitch
    tick = f.call("double", "PyFloat_AsDouble", f.load("ptr", args + 16)).cast("fptrunc", "float")
    with f.range(counters) as k:
        with f.if_(f.load("float", f.load("ptr", after + k * 8)).ne(tick - 1.0)):
            entries.answer(f, False)
    values = f.buffer(8 * MOST_NUMBERS, 8)
    given = f.load("ptr", args + 8) + TUPLE_ITEMS
    with f.range(numbers) as k:
        f.store(f.call("double", "PyFloat_AsDouble", f.load("ptr", given + k * 8)), values + k * 8)
    with f.if_(f.call("ptr", "PyErr_Occurred").ne(f.null)):
        f.ret(f.null)
    with f.range(counters) as k:
        f.store(tick, f.load("ptr", after + k * 8))
    context = f.buffer(24, 8)
    for k, word in enumerate((plan, values, after + counters * 8)):
        f.store(word, context + 8 * k)
    with entries.released(f, total >= RELEASE_FROM):
        entries.here_or_pool(f, total < LEAST, "rl_update_task", context, tiles)
    entries.answer(f, True)
    return m.text()
