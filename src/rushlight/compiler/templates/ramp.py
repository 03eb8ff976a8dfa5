"""Evenly spaced numbers.

    ramp(out, n, start, step)           int64: start + i * step; float and double: the same in double, rounded once
    spaced(out, n, start, end, step)    from the nearer end in out's own precision: start + step * i in the first half,
                                        end - step * (n - 1 - i) in the second

``out`` has n elements in C order.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries
from rushlight.runtime import cpu

TILE = 1 << 14
SIZES = {"i64": 8, "float": 4, "double": 8}


@cache
def kernel(name, type_):
    """``ramp`` or ``spaced`` for outputs of LLVM type `type_`."""
    return entries.load(f"ramp {name} {type_}", lambda: module_text(name, type_), (f"rl_{name}",))[0]


def module_text(name, type_):
    """The IR of the entry and its task."""
    m = entries.new_module()
    size = SIZES[type_]
    compute = "double" if name == "ramp" and type_ == "float" else type_
    words = 2 if name == "ramp" else 3
    # Context: out, n, then the numbers in the type of the computation.
    f = entries.task(m, "rl_ramp_task")
    context = f.args[0]
    out, n = f.load("ptr", context), f.load("i64", context + 8)
    numbers = [f.load(compute, context + 8 * (2 + k)) for k in range(words)]
    with f.range(f.args[1], f.args[2]) as tile:
        begin = tile * TILE
        end = f.minimum(begin + TILE, n)
        lanes = host().lanes(8)
        whole = begin + ((end - begin) & -lanes)
        for low, high, width in ((begin, whole, lanes), (whole, end, 1)):
            with f.range(low, high, step=width) as i:
                value = _values(f, name, compute, numbers, i, n, width)
                if compute != type_:
                    value = value.cast("fptrunc", type_)
                f.store(value, out + i * size, size)
    f.ret()

    f = m.function(f"rl_{name}", "ptr", entries.ENTRY)
    args = f.args[1]
    n = entries.int_of(f, args, 1)
    context = f.buffer(8 * (2 + words), 8)
    f.store(entries.data_of(f, args, 0), context)
    f.store(n, context + 8)
    for k in range(words):
        number = f.load("ptr", args + 8 * (2 + k))
        if compute == "i64":
            value = f.call("i64", "PyLong_AsLongLong", number)
        else:
            value = f.call("double", "PyFloat_AsDouble", number)
            if compute == "float":
                value = value.cast("fptrunc", "float")
        f.store(value, context + 8 * (2 + k))
    with f.if_(n > 0):
        entries.share(f, "rl_ramp_task", context, blocks.ceil_div(n, TILE), n * size)
    entries.none(f)
    return m.text()


def _values(f, name, compute, numbers, i, n, width):
    """The elements from i on."""
    position = i
    if width > 1:
        position = f.splat(i, width) + f.iota(width, "i64")
        numbers = [f.splat(x, width) for x in numbers]
    if compute == "i64":
        return numbers[0] + position * numbers[1]
    if name == "ramp":
        return numbers[0] + position.cast("sitofp", compute) * numbers[1]
    start, end, step = numbers
    last = n - 1
    back = (f.splat(last, width) if width > 1 else last)
    at = position.cast("sitofp", compute)
    # The distance from the end is taken between rounded numbers.
    left = back.cast("sitofp", compute) - at
    half = n.udiv(2)
    first = position < (f.splat(half, width) if width > 1 else half)
    if host().vector_bytes > 16 or cpu.machine() != "x86_64":
        # One rounding, where the CPU has the instruction.
        return f.select(first, f.fma(step, at, start), f.fma(-step, left, end))
    return f.select(first, start + step * at, end - step * left)
