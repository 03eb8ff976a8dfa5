"""Tiles of pointwise kernels some of whose inputs lie the other way round than the results.

Where an input's innermost dimension jumps across cache lines and another one is dense (``x + y.t()``), a tile is a
square of these two dimensions: such inputs are transposed into buffers, in registers, and the inner loop runs over rows
of the square.  Element by element each line would be visited as often as it has elements.
"""

from rushlight.compiler.codegen import entry
from rushlight.compiler.codegen.entry import TURNED_SIDE as SIDE
from rushlight.compiler.templates import blocks
from rushlight.compiler.templates.squares import Panel, squares

MOST_TURNED = 4                 # inputs that have buffers
SIZES = (2, 4, 8)
FEWEST = 16                     # elements of both dimensions


def write(m):
    """The functions ``rl_find_turned`` and ``rl_run_turned``."""
    for size in SIZES:
        _turn(m, size)
    _find(m)
    _run(m)


def _turn(m, size):
    """void rl_turn<size>(to, to_row, from, from_row, rows, columns): transpose rows of ``from``, ask for their rest."""
    f = m.function(f"rl_turn{size}", "void",
                   [("ptr", "to"), ("i64", "to_row"), ("ptr", "from"), ("i64", "from_row"), ("i64", "rows"),
                    ("i64", "columns")], "internal", "noinline nounwind")
    to, to_row, source, from_row, rows, columns = f.args
    panel = Panel(size)
    with f.range(rows) as r, f.range(0, columns * size, step=blocks.RUN) as at:
        f.prefetch(source + (r * from_row + at + SIDE * size), near=2)
    with f.if_((rows >= panel.n) & (columns >= panel.n)):
        squares(f, panel, to, to_row, source, from_row, rows, columns)
        f.ret()
    kind = f"i{8 * size}"
    with f.range(columns) as c, f.range(rows) as r:
        f.store(f.load(kind, source + r * from_row + c * size, 1), to + c * to_row + r * size, 1)
    f.ret()


def _find(m):
    """i1 rl_find_turned(desc, context): whether an input lies the other way round; its dense dimension becomes the
    second one."""
    f = m.function("rl_find_turned", "i1", [("ptr", "desc"), ("ptr", "context")], "internal")
    desc, context = entry._Words(f, f.args[0]), entry._Words(f, f.args[1])
    operands, rank = desc[7], context[entry.RANK]
    with f.if_((rank > 1) & (context[entry.SHAPE] >= FEWEST)), f.range(desc[0], operands) as j:
        size = desc[j + entry.HEADER]
        far = entry._magnitude(f, context[j + entry.STEPS]) >= blocks.RUN
        with f.if_(far & (size >= SIZES[0]) & (size <= SIZES[-1])), f.range(1, rank) as d:
            dense = context[d * operands + j + entry.STEPS].eq(size)
            with f.if_(dense & (context[d + entry.SHAPE] >= FEWEST)):
                entry._swap(context, d + entry.SHAPE, f.value(entry.SHAPE + 1))
                with f.range(operands) as k:
                    entry._swap(context, d * operands + k + entry.STEPS, operands + k + entry.STEPS)
                f.ret(f.value(True, "i1"))
    f.ret(f.value(False, "i1"))


def _run(m):
    """void rl_run_turned(context, begin, end): a tile is SIDE x SIDE elements of the first two dimensions."""
    f = m.function("rl_run_turned", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")])
    Words = entry._Words
    context = Words(f, f.args[0])
    desc = Words(f, context.pointer_at(entry.DESC))
    operands, outputs, inner = desc[7], desc[0], desc.pointer_at(3)
    pointers, steps, down = (Words(f, f.buffer(8 * entry.MAX_OPERANDS)) for _ in range(3))
    buffers = f.buffer(SIDE * SIDE * SIZES[-1] * MOST_TURNED)
    length, height = context[entry.SHAPE], context[entry.SHAPE + 1]
    chunks, bands = blocks.ceil_div(length, SIDE), blocks.ceil_div(height, SIDE)
    with f.range(f.args[1], f.args[2]) as tile:
        # Along the turned inputs' rows: those across them compete for the same places in the caches.
        row, left = tile.urem(bands) * SIDE, tile.udiv(bands)
        column, outer = left.urem(chunks) * SIDE, left.udiv(chunks)
        count, rows = f.minimum(length - column, SIDE), f.minimum(height - row, SIDE)
        turned = f.var("i64", 0)
        with f.range(operands) as j:
            along, across = context[j + entry.STEPS], context[operands + j + entry.STEPS]
            here, rest = f.var("ptr", context.pointer_at(j + entry.POINTERS) + (column * along + row * across)), \
                f.var("i64", outer)
            with f.range(2, context[entry.RANK]) as d:
                size = context[d + entry.SHAPE]
                here.set(here.get() + rest.get().urem(size) * context[d * operands + j + entry.STEPS])
                rest.set(rest.get().udiv(size))
            pointers[j], steps[j], down[j] = here, along, across
            size = desc[j + entry.HEADER]
            far = (entry._magnitude(f, along) >= blocks.RUN) & across.eq(size) & (j >= outputs)
            with f.if_(far & (size >= SIZES[0]) & (size <= SIZES[-1]) & (turned.get() < MOST_TURNED)):
                place = buffers + turned.get() * (SIDE * SIDE * SIZES[-1])
                for width in SIZES:
                    with f.if_(size.eq(width)):
                        f.call("void", f"rl_turn{width}", place, f.value(SIDE * width), here.get(), along, count, rows)
                turned.set(turned.get() + 1)
                pointers[j], steps[j], down[j] = place, size, size * SIDE
            with f.if_(along.eq(size)), f.range(rows) as r, f.range(0, count * size, step=blocks.RUN) as at:
                # The next tile's rows, where the hardware does not look.
                f.prefetch(here.get() + ((r + SIDE) * across + at), near=2)
        with f.range(rows):
            f.call("void", inner, pointers.pointer, steps.pointer, context.at(entry.SCALARS), count,
                   context[entry.WORK_FLAGS])
            with f.range(operands) as j:
                f.store(pointers.pointer_at(j) + down[j], pointers.at(j))
    entry.fence(f, context)
    f.ret()
