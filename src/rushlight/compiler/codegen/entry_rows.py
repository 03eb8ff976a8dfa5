"""Rows of pointwise kernels that lie apart, or that an input gives one element each.

The kernel's walk along rows (``pointwise.rows_walk``) takes many of them by one call: vectors in place, the last one of
a row masked.  It is made when it is first needed.
"""

from rushlight.compiler.codegen.entry import (
    BLOCK,
    BYTES_VALUE,
    CHUNKS,
    DESC,
    HEADER,
    MAX_OPERANDS,
    NO_ROWS,
    POINTERS,
    RANK,
    ROWS_WALK,
    SCALARS,
    SHAPE,
    SHORT_ROW,
    STEPS,
    TOTAL,
    _environment,
    _Words,
)

# Lengths of rows, fewer of which or shorter ones don't pay, and elements of all from which the walk is made.
FEWEST_IN_ROW, MOST_IN_ROW, BY_ROWS_FROM = 16, 4096, 4096
FEWEST_ROWS, FEWEST_SHORT_ROWS = 8, 64


def write(m):
    """The functions ``rl_goes_by_rows`` and ``rl_run_rows``."""
    _find(m)
    _run(m)


def _find(m):
    """i1 rl_goes_by_rows(desc, context): operands are dense along rows, or repeat an element, and lie apart.

    One row for all, and what is dense altogether, does better in longer rows of its own (``rl_pack``).
    """
    f = m.function("rl_goes_by_rows", "i1", [("ptr", "desc"), ("ptr", "context")], "internal")
    desc, context = _Words(f, f.args[0]), _Words(f, f.args[1])
    operands, outputs, length = desc[7], desc[0], context[SHAPE]
    with f.if_((context[RANK] < 2) | (length >= MOST_IN_ROW) | (context[TOTAL] < BY_ROWS_FROM)
               | desc[ROWS_WALK].eq(NO_ROWS)):
        f.ret(f.value(False, "i1"))
    apart = f.var("i64", 0)
    with f.range(operands) as j:
        step, size, row_step = context[j + STEPS], desc[j + HEADER], context[operands + j + STEPS]
        with f.if_(step.ne(size) & (step.ne(0) | (j < outputs))):
            f.ret(f.value(False, "i1"))
        with f.if_(row_step.ne(size * length) & row_step.ne(0) | (step.eq(0) & row_step.ne(0))):
            apart.set(apart.get() + 1)
    longer = (length >= FEWEST_IN_ROW) & (apart.get() > 0) & (context[SHAPE + 1] >= FEWEST_ROWS)
    with f.if_(~(longer | (length >= SHORT_ROW) | ((apart.get() > 1) & (context[SHAPE + 1] >= FEWEST_SHORT_ROWS)))):
        f.ret(f.value(False, "i1"))
    with f.if_(desc[ROWS_WALK].eq(0)):
        # (Programs call kernels in threads that aren't Python's, too.)
        with f.if_(f.call("i32", _environment(f, "PyGILState_Check")).eq(0)):
            f.ret(f.value(False, "i1"))
        owner = f.args[0] + -BYTES_VALUE
        done = f.call("ptr", _environment(f, "PyObject_CallOneArg"), _environment(f, "complete"), owner)
        with f.if_(done.eq(0)):
            f.call("void", _environment(f, "PyErr_Clear"))
            f.ret(f.value(False, "i1"))
        f.call("void", _environment(f, "Py_DecRef"), done)
    f.ret(f.value(True, "i1"))


def _run(m):
    """void rl_run_rows(context, begin, end): blocks of rows of the second dimension, by the walk along rows."""
    f = m.function("rl_run_rows", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")])
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    operands, rank = desc[7], context[RANK]
    length, block, chunks = context[SHAPE], context[BLOCK], context[CHUNKS]
    pointers = _Words(f, f.buffer(8 * MAX_OPERANDS))
    with f.range(f.args[1], f.args[2]) as tile:
        row = tile.urem(chunks) * block
        with f.range(operands) as j:
            here = f.var("ptr", context.pointer_at(j + POINTERS) + row * context[operands + j + STEPS])
            left = f.var("i64", tile.udiv(chunks))
            with f.range(2, rank) as d:
                size = context[d + SHAPE]
                here.set(here.get() + left.get().urem(size) * context[d * operands + j + STEPS])
                left.set(left.get().udiv(size))
            f.store(here.get(), pointers.at(j))
        f.call("void", desc.pointer_at(ROWS_WALK), pointers.pointer, context.at(STEPS), context.at(operands + STEPS),
               context.at(SCALARS), length, f.minimum(context[SHAPE + 1] - row, block))
    f.ret()
