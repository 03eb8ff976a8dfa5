"""The native entry of row programs: lays the operands out as rows and runs one program on each.

A row is all elements along the dimensions of the mask, which must merge into one.  Rows are taken one
by one with vector lanes along them, or, where a kept dimension is the innermost, as many at a time as a
vector has lanes.  The descriptor is that of reductions (``reduce_entry.py``) with two addresses:
7 rows, 8 columns; word 6 is the work of one element relative to an addition.
"""

from rushlight.compiler.codegen import entry, reduce_entry
from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.entry import _fail, _magnitude, _none, _Words
from rushlight.compiler.codegen.reduce_entry import (
    BY_COLUMNS,
    COLUMNS,
    COUNT,
    DESC,
    ENVIRONMENT,
    GROUP,
    GROUPS,
    KEPT,
    KEPT_TABLE,
    LANES,
    MAX_OPERANDS,
    OUTPUTS_TOTAL,
    PARALLEL_FROM,
    REDUCED_RANK,
    REDUCED_TABLE,
    ROWS,
    SCALARS,
    TILE_COUNT,
    TILE_DIM_SIZE,
    TILES_PER_ROW,
    _step,
    env,
)

WEIGHT = 6


def module(triple):
    """The IR of ``rl_row_program``."""
    m = Module(triple)
    m.globals.append(
        f"@rl_environment = global [{len(ENVIRONMENT)} x ptr] zeroinitializer, align 64"
    )
    reduce_entry._read_scalars(m)
    reduce_entry._layout(m)
    _run(m)
    _call(m)
    return m.text()


def _run(m):
    """void rl_run_rows(context, begin, end): the task of the thread pool."""
    f = m.function("rl_run_rows", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")])
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    columns, lanes = context[BY_COLUMNS].ne(0), desc[LANES]
    pointers, widths = _Words(f, f.buffer(8 * MAX_OPERANDS)), _Words(f, f.buffer(8))
    kept_steps = context.at(_step(context, KEPT_TABLE, 0, 0))
    steps, n = context.at(_step(context, REDUCED_TABLE, 0, 0)), context[REDUCED_TABLE]
    first = f.args[1] * context[GROUP]
    last = f.minimum(f.args[2] * context[GROUP], context[TILE_COUNT])
    with f.range(first, last) as tile:
        reduce_entry._tile_pointers(
            f, context, desc[3], lanes, columns, tile, f.value(0), pointers, widths
        )
        with f.if_else(columns) as (down, along):
            with down:
                f.call("void", desc.pointer_at(COLUMNS), pointers.pointer, kept_steps, steps,
                       widths[0], n, context.at(SCALARS))
            with along:
                f.call("void", desc.pointer_at(ROWS), pointers.pointer, steps, n,
                       context.at(SCALARS))
    f.ret()


def _call(m):
    """PyObject *rl_row_program(self, args, n): outputs, inputs, mask, scalars."""
    f, desc, context = reduce_entry.begin(m, "rl_row_program", "row kernel", True)
    buffer, first = context.pointer, desc[0]
    total = context[COUNT] * context[OUTPUTS_TOTAL]
    with f.if_(total.eq(0)):
        _none(f)
    with f.if_(context[REDUCED_RANK] > 1):
        _fail(f, m, "PyExc_ValueError", "row kernel: the dimensions of a row must merge into one")
        f.ret(f.null)
    length, kept, lanes = context[REDUCED_TABLE], context[KEPT_TABLE], desc[LANES]
    step_in = _magnitude(f, context[_step(context, REDUCED_TABLE, 0, first)])
    step_kept = _magnitude(f, context[_step(context, KEPT_TABLE, 0, first)])
    columns = step_kept.ne(0) & ((step_kept < step_in) | step_in.eq(0)) & (kept >= 4)
    context[BY_COLUMNS] = columns.cast("zext", "i64")
    context[TILE_DIM_SIZE] = kept
    per_row = f.select(columns, (kept + lanes - 1).udiv(lanes), kept)
    context[TILES_PER_ROW] = per_row
    context[reduce_entry.ACROSS] = 0
    rest = f.var("i64", per_row)
    with f.range(1, context[KEPT]) as d:
        rest.set(rest.get() * context[d + KEPT_TABLE])
    tiles = rest.get()
    context[TILE_COUNT] = tiles
    work = length * desc[WEIGHT] * f.select(columns, lanes, f.value(1))
    group = (f.value(PARALLEL_FROM) + work - 1).udiv(work)
    context[GROUP] = group
    context[GROUPS] = (tiles + group - 1).udiv(group)
    many = context[GROUPS] > 1
    with entry.released(f, many & (total >= entry.RELEASE_GIL_FROM // 4)), f.if_else(many) as (yes, no):
        with yes:
            f.call("void", env(f, "rl_parallel_for"), f.symbol("rl_run_rows"), buffer, context[GROUPS])
        with no:
            f.call("void", "rl_run_rows", buffer, f.value(0), f.value(1))
    _none(f)
