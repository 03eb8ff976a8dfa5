"""The native entry of reductions: one function for all of them.

It splits the dimensions of the input into *kept* and *reduced* ones, orders each by stride and merges
them, and cuts the work into a fixed grid: *tiles* of outputs times *parts* of the reduced space.  The
grid depends on shapes and strides only, and parts are joined in order, so results do not depend on
the number of threads.

There are two ways to walk.  *Rows*: one output a tile, the lanes of a vector along the innermost
reduced dimension.  *Columns*: as many outputs a tile as a vector has lanes, walking down the reduced
dimensions; used where a kept dimension is the innermost, or the reduced one is short.

A kernel's descriptor (64-bit words in the ``bytes`` object that is ``self``):

    0 outputs | 1 inputs | 2 scalars | 3 operands | 4 lanes
    5 bytes of a state; from bit 32 the longest row that is reduced together with its neighbours; from bit 48 the
      tiles that columns take together where their outputs and inputs lie side by side
    6 initial | 7 rows | 8 columns | 9 fold | 10 merge | 11 finish      (addresses, see ``reduction.py``; columns may
      be 0: ``complete``, a Python function in the environment, is called with the descriptor when they are needed)
    12 short | 13 lines | 14 strips      (or 0, as columns)
    15 ... item size of each operand, then kind of each scalar (0 double, 1 integer)
"""

from rushlight.compiler.codegen import entry
from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.entry import (
    BYTES_VALUE,
    DATA,
    DESCR,
    DIMS,
    ELSIZE,
    ND,
    STRIDES,
    TYPE,
    _fail,
    _magnitude,
    _none,
    _swap,
    _Words,
)

HEADER = 15
MAX_OPERANDS = 12
MAX_SCALARS = 8
MAX_DIMS = 64
(LANES, STATE, INITIAL, ROWS, COLUMNS, FOLD, MERGE, FINISH, SHORT_WALK, LINES, STRIPS) = range(4, 15)
# Elements from which threads help; elements of one part when a reduction is cut.
PARALLEL_FROM = 32768
PART_ELEMENTS = 32768
MOST_PARTS = 256
STATES_BYTES = 32768
# Column tiles that one task walks down together (if their states fit), and rows it takes at a time.
TILES_TOGETHER = 64
ROWS_TOGETHER = 8
MOST_ROWS = 4096
# A reduced dimension shorter than this is walked by columns if outputs are plenty.
SHORT = 32
# Rows that are reduced in strips of outputs.
FEW_ROWS = 16
# Elements of an output up to which lanes leave a short innermost dimension.
FEW = 64

ENVIRONMENT = (*entry.ENVIRONMENT, "PyMem_RawMalloc", "PyMem_RawFree", "PyErr_NoMemory", "PyObject_Vectorcall",
               "PyLong_FromLongLong", "Py_DecRef", "complete")

# Words of the context.  A dimension's row holds the step of each operand, then that of the index.
(DESC, RANK, KEPT, REDUCED_RANK, LENGTH, OUTER, COUNT, TILE_COUNT, PARTS, PART_ROWS, GROUP, BY_COLUMNS,
 WORKSPACE, TILE_DIM_SIZE, TILES_PER_ROW, OUTPUTS_TOTAL, GROUPS, CUT, SHORT_ROWS, ACROSS,
 WHOLE) = range(21)  # fmt: skip
POINTERS = 24
SCALARS = POINTERS + MAX_OPERANDS
WIDTH = MAX_OPERANDS + 1
# Three tables of dimensions: all as read; kept; reduced.  Each: sizes, then rows of steps.
ALL = SCALARS + MAX_SCALARS
TABLE = MAX_DIMS * (1 + WIDTH)
KEPT_TABLE = ALL + TABLE
REDUCED_TABLE = KEPT_TABLE + TABLE
MARKS = REDUCED_TABLE + TABLE
CONTEXT_WORDS = MARKS + MAX_DIMS
STEPS = MAX_DIMS


def module(triple):
    """The IR of ``rl_reduce``."""
    m = Module(triple)
    m.globals.append(
        f"@rl_environment = global [{len(ENVIRONMENT)} x ptr] zeroinitializer, align 64"
    )
    _read_scalars(m)
    _layout(m)
    _plan(m)
    _run_groups(m)
    _join(m)
    _call(m)
    return m.text()


def env(f, name):
    return f.load("ptr", _table(f) + 8 * ENVIRONMENT.index(name))


def _table(f):
    v = f.symbol("rl_environment")
    return v


def _read_scalars(m):
    f = m.function(
        "rl_read_scalars", "i64", [("ptr", "desc"), ("ptr", "args"), ("ptr", "context")], "internal"
    )
    desc, args, context = (_Words(f, a) for a in f.args)
    # Without numbers no thread of Python's is needed: programs call kernels in others, too.
    with f.if_(desc[2].eq(0)):
        f.ret(f.value(0))
    operands = desc[3]
    with f.range(desc[2]) as i:
        item = args.pointer_at(i)
        with f.if_else(desc[operands + i + HEADER].eq(0)) as (double, integer):
            with double:
                x = f.call("double", env(f, "PyFloat_AsDouble"), item)
                f.store(x, context.at(i + SCALARS))
            with integer:
                x = f.call("i64", env(f, "PyLong_AsUnsignedLongLongMask"), item)
                f.store(x, context.at(i + SCALARS))
    error = f.call("ptr", env(f, "PyErr_Occurred"))
    f.ret(error.ne(0).cast("zext", "i64"))


def _step(context, table, d, j):
    """Address index of the step of column ``j`` in dimension ``d`` of a table."""
    return d * WIDTH + j + (table + STEPS)


def _layout(m):
    """i64 rl_layout(desc, args, mask, context, elementwise): sorted, merged tables; 1 if it fails.

    With ``elementwise`` outputs are walked along reduced dimensions too, as inputs are.
    """
    f = m.function(
        "rl_layout", "i64",
        [("ptr", "desc"), ("ptr", "args"), ("i64", "mask"), ("ptr", "context"),
         ("i1", "elementwise")], "internal",
    )
    desc, args, context = _Words(f, f.args[0]), _Words(f, f.args[1]), _Words(f, f.args[3])
    mask = f.args[2]
    operands, outputs = desc[3], desc[0]
    with f.range(operands) as j:
        array = args.pointer_at(j)
        with f.if_(f.load("ptr", array + TYPE).ne(env(f, "ndarray"))):
            _fail(f, m, "PyExc_TypeError", "reduction: operands must be numpy.ndarray objects")
            f.ret(f.value(1))
        size = f.load("i64", f.load("ptr", array + DESCR) + ELSIZE)
        with f.if_(size.ne(desc[j + HEADER])):
            _fail(f, m, "PyExc_TypeError", "reduction: an operand has the wrong dtype")
            f.ret(f.value(1))
        f.store(f.load("ptr", array + DATA), context.at(j + POINTERS))
    first = args.pointer_at(outputs)
    rank = f.load("i32", first + ND).cast("sext", "i64")
    dims = _Words(f, f.load("ptr", first + DIMS))
    kept, index_step = f.var("i64", 0), f.var("i64", 1)
    count, total = f.var("i64", 1), f.var("i64", 1)
    skipped = f.var("i64", 0)
    with f.range(rank) as d:
        axis = rank - 1 - d
        size = dims[axis]
        reduced = (mask.lshr(axis) & 1).ne(0)
        with f.if_else(reduced) as (yes, no):
            with yes:
                count.set(count.get() * size)
                skipped.set(skipped.get() + 1)
            with no:
                total.set(total.get() * size)
        here = kept.get()
        with f.range(operands) as j:
            array = args.pointer_at(j)
            own_rank = f.load("i32", array + ND).cast("sext", "i64")
            step, wrong = f.var("i64", 0), f.var("i1", False)
            with f.if_else((j < outputs) & ~f.args[4]) as (output, input_):
                with output:
                    with f.if_(~reduced):
                        # Outputs have all dimensions (size 1 where reduced) or the kept ones only.
                        gone = f.select(own_rank.eq(rank), f.value(0), skipped.get())
                        k = own_rank - 1 - d + gone
                        with f.if_else(k >= 0) as (own, missing):
                            with own:
                                extent = _Words(f, f.load("ptr", array + DIMS))[k]
                                wrong.set(extent.ne(size))
                                step.set(_Words(f, f.load("ptr", array + STRIDES))[k])
                            with missing:
                                wrong.set(True)
                with input_:
                    k = own_rank - 1 - d
                    with f.if_(k >= 0):
                        extent = _Words(f, f.load("ptr", array + DIMS))[k]
                        with f.if_else(extent.eq(size)) as (equal, different):
                            with equal:
                                step.set(_Words(f, f.load("ptr", array + STRIDES))[k])
                            with different:
                                wrong.set(extent.ne(1))
            with f.if_(wrong.get()):
                _fail(f, m, "PyExc_ValueError", "reduction: operand shapes do not match")
                f.ret(f.value(1))
            context[_step(context, ALL, here, j)] = step
        context[_step(context, ALL, here, operands)] = f.select(reduced, index_step.get(),
                                                                f.value(0))
        with f.if_(reduced):
            index_step.set(index_step.get() * size)
        with f.if_(size.ne(1)):
            context[here + ALL] = size
            context[here + MARKS] = reduced.cast("zext", "i64")
            kept.set(here + 1)
    context[RANK] = kept
    context[COUNT] = count
    context[OUTPUTS_TOTAL] = total
    _sort(f, context, outputs, operands)
    _split_and_merge(f, context, operands)
    f.ret(f.value(0))


def _sort(f, context, outputs, operands):
    """Order dimensions by the steps of the first input (then of the others), innermost first."""
    with f.range(1, context[RANK]) as start:
        t = f.var("i64", start)
        with f.loop() as bubble:
            bubble.break_if(t.get() <= 0)
            now, before = t.get(), t.get() - 1
            swap, j = f.var("i1", False), f.var("i64", outputs)
            with f.loop() as look:
                look.break_if(j.get() >= operands)
                a = _magnitude(f, context[_step(context, ALL, now, j.get())])
                b = _magnitude(f, context[_step(context, ALL, before, j.get())])
                told = a.ne(b) & a.ne(0) & b.ne(0)
                swap.set(told & (a < b))
                look.break_if(told)
                j.set(j.get() + 1)
            bubble.break_if(~swap.get())
            _swap(context, now + ALL, before + ALL)
            _swap(context, now + MARKS, before + MARKS)
            with f.range(operands + 1) as j:
                _swap(context, _step(context, ALL, now, j), _step(context, ALL, before, j))
            t.set(before)


def _split_and_merge(f, context, operands):
    """Fill the tables of kept and reduced dimensions, joining neighbours walked as one."""
    for table, rank_word, mark in ((KEPT_TABLE, KEPT, 0), (REDUCED_TABLE, REDUCED_RANK, 1)):
        used = f.var("i64", 0)
        with f.range(context[RANK]) as d:
            with f.if_(context[d + MARKS].eq(mark)):
                size = context[d + ALL]
                joined = f.var("i1", used.get() > 0)
                with f.if_(used.get() > 0):
                    last = used.get() - 1
                    extent = context[last + table]
                    with f.range(operands + 1) as j:
                        inner = context[_step(context, table, last, j)]
                        outer = context[_step(context, ALL, d, j)]
                        joined.set(joined.get() & (inner * extent).eq(outer))
                    with f.if_(joined.get()):
                        context[last + table] = extent * size
                with f.if_(~joined.get()):
                    here = used.get()
                    context[here + table] = size
                    with f.range(operands + 1) as j:
                        context[_step(context, table, here, j)] = context[
                            _step(context, ALL, d, j)
                        ]
                    used.set(here + 1)
        with f.if_(used.get().eq(0)):
            # No dimension: one of size 1.
            context[table] = 1
            with f.range(operands + 1) as j:
                context[_step(context, table, 0, j)] = 0
            used.set(1)
        context[rank_word] = used


def _plan(m):
    """void rl_plan(desc, context): choose rows or columns and the grid of tiles and parts."""
    f = m.function("rl_plan", "void", [("ptr", "desc"), ("ptr", "context")], "internal")
    desc, context = _Words(f, f.args[0]), _Words(f, f.args[1])
    first = desc[0]
    # Few outputs side by side, of few elements each: lanes go along the next dimension, and tiles of the same memory
    # follow each other.
    context[ACROSS] = 0
    with f.if_((context[KEPT] > 1) & (context[KEPT_TABLE] * 4 <= desc[LANES]) & (context[COUNT] <= FEW)
               & (context[KEPT_TABLE + 1] >= desc[LANES])):
        _swap(context, f.value(KEPT_TABLE), f.value(KEPT_TABLE + 1))
        with f.range(desc[3] + 1) as j:
            _swap(context, _step(context, KEPT_TABLE, f.value(0), j), _step(context, KEPT_TABLE, f.value(1), j))
        context[ACROSS] = 1
    length, kept = context[REDUCED_TABLE], context[KEPT_TABLE]
    lanes = desc[LANES]
    step_in = _magnitude(f, context[_step(context, REDUCED_TABLE, 0, first)])
    step_kept = _magnitude(f, context[_step(context, KEPT_TABLE, 0, first)])
    inner_kept = (step_kept.ne(0) & ((step_kept < step_in) | step_in.eq(0))) & (kept > 1)
    few = (length < SHORT) & (kept > length) & (kept >= 8)
    # Short rows one after the other: as many together as there are lanes.
    together = (desc[1].eq(1) & step_in.eq(desc[first + HEADER]) & (length <= ((desc[STATE] >> 32) & 0xffff))
                & (kept >= 8) & ~inner_kept)
    columns = (inner_kept & ((kept >= 2) | (kept >= length))) | few | together
    # 2: rows of one dimension, which are not cut in parts.
    context[SHORT_ROWS] = together.cast("zext", "i64") << context[REDUCED_RANK].eq(1).cast("zext", "i64")
    context[BY_COLUMNS] = columns.cast("zext", "i64")
    outer = f.var("i64", 1)
    with f.range(1, context[REDUCED_RANK]) as d:
        outer.set(outer.get() * context[d + REDUCED_TABLE])
    # In rows a long innermost dimension is cut in pieces, which count as rows of their own.
    cut = f.select(columns, f.value(1), (length + (PART_ELEMENTS - 1)).udiv(PART_ELEMENTS))
    piece = f.select(columns, length, f.minimum(length, f.value(PART_ELEMENTS)))
    context[CUT] = cut
    context[LENGTH] = piece
    context[TILE_DIM_SIZE] = kept
    per_row = f.select(columns, (kept + lanes - 1).udiv(lanes), kept)
    context[TILES_PER_ROW] = per_row
    rest = f.var("i64", 1)
    with f.range(1, context[KEPT]) as d:
        rest.set(rest.get() * context[d + KEPT_TABLE])
    tiles = per_row * rest.get()
    context[ACROSS] = context[ACROSS] * rest.get()
    context[TILE_COUNT] = tiles
    units = outer.get() * cut
    # A long column is cut along its innermost reduced dimension into single rows of tiles.
    unit_count = f.select(columns, outer.get() * length, units)
    context[OUTER] = unit_count
    weight = f.select(columns, f.minimum(kept, lanes), piece)
    weight = f.select(weight < 1, f.value(1), weight)
    fewest = (f.value(PART_ELEMENTS) + weight - 1).udiv(weight)
    wanted = (unit_count + fewest - 1).udiv(fewest)
    wanted = f.select(wanted > MOST_PARTS, f.value(MOST_PARTS), wanted)
    enough = tiles >= f.select(columns, f.value(8 * TILES_TOGETHER), f.value(64))
    wanted = f.select(enough | (wanted < 1) | context[SHORT_ROWS].eq(2), f.value(1), wanted)
    part_rows = (unit_count + wanted - 1).udiv(wanted)
    part_rows = f.select(part_rows < 1, f.value(1), part_rows)
    context[PART_ROWS] = part_rows
    parts = (unit_count + part_rows - 1).udiv(part_rows)
    context[PARTS] = f.select(parts < 1, f.value(1), parts)
    # The word of the walk that goes from elements to results, or 0.
    uncut = desc[1].eq(1) & context[REDUCED_RANK].eq(1) & cut.eq(1) & (parts <= 1)
    dense = f.select(columns, context[_step(context, KEPT_TABLE, 0, first)], step_in).eq(desc[first + HEADER])
    fits = f.select(columns, (length <= FEW_ROWS) & (kept >= lanes) & context[SHORT_ROWS].eq(0), kept >= 8)
    walk = f.select(uncut & dense & fits, f.select(columns, f.value(STRIPS), f.value(LINES)), f.value(0))
    context[WHOLE] = f.select(context[SHORT_ROWS].eq(2), f.value(SHORT_WALK), walk)
    # Tiles a task takes: enough work for a thread, in columns neighbours that share cache lines.
    work = f.select(columns, lanes, f.value(1)) * context[COUNT]
    work = f.select(work < 1, f.value(1), work)
    group = (f.value(PARALLEL_FROM) + work - 1).udiv(work)
    group = f.select(columns & (group < TILES_TOGETHER), f.value(TILES_TOGETHER), group)
    # ... but leave several tasks where there is much to do.
    group = f.select(columns & (context[PARTS].eq(1)) & (tiles < 8 * TILES_TOGETHER)
                     & (work * tiles > 4 * PARALLEL_FROM), (tiles + 7).udiv(8), group)
    context[GROUP] = group
    context[GROUPS] = (tiles + group - 1).udiv(group)
    f.ret()


def _run_groups(m):
    """void rl_reduce_groups(context, begin, end): tasks are (group of tiles) x (part)."""
    f = m.function(
        "rl_reduce_groups", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
    )
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    operands, outputs, state_size = desc[3], desc[0], desc[STATE] & 0xffffffff
    lanes, parts = desc[LANES], context[PARTS]
    columns = context[BY_COLUMNS].ne(0)
    # Tiles that are taken together read whole states beyond the last one.
    states = f.buffer(2 * STATES_BYTES)
    tile_pointers = _Words(f, f.buffer(8 * MAX_OPERANDS * TILES_TOGETHER))
    row_pointers = _Words(f, f.buffer(8 * MAX_OPERANDS))
    widths = _Words(f, f.buffer(8 * TILES_TOGETHER))
    kept_steps = context.at(_step(context, KEPT_TABLE, f.value(0), 0))
    steps = context.at(_step(context, REDUCED_TABLE, f.value(0), 0))
    scalars = context.at(SCALARS)
    row_length, cut = context[REDUCED_TABLE], context[CUT]
    per_row = context[TILES_PER_ROW]
    most = f.minimum(f.value(STATES_BYTES).udiv(state_size), f.value(TILES_TOGETHER))
    side_by_side = (desc[1].eq(1) & context[_step(context, KEPT_TABLE, 0, outputs)].eq(desc[outputs + HEADER])
                    & context[SHORT_ROWS].eq(0))
    wide = f.select(side_by_side, desc[STATE].lshr(48), f.value(1))

    with f.range(f.args[1], f.args[2]) as task:
        group, part = task.udiv(parts), task.urem(parts)
        tile_end = f.minimum((group + 1) * context[GROUP], context[TILE_COUNT])
        row_begin = part * context[PART_ROWS]
        row_end = f.minimum(row_begin + context[PART_ROWS], context[OUTER])
        tile = f.var("i64", group * context[GROUP])
        with f.if_(context[WHOLE].ne(0)), f.loop() as tiles:
            tiles.break_if(tile.get() >= tile_end)
            first = tile.get()
            in_row = f.select(context[ACROSS].eq(0), per_row - first.urem(per_row), f.value(1))
            together = f.minimum(tile_end - first, in_row)
            left = _tile_pointers(f, context, operands, lanes, columns, first, f.value(0), tile_pointers, widths)
            f.call("void", desc.pointer_at(context[WHOLE]), tile_pointers.pointer, kept_steps,
                   tile_pointers.at(outputs), kept_steps + (outputs << 3), steps + (outputs << 3), row_length,
                   f.minimum(left, together * f.select(columns, lanes, f.value(1))), context[COUNT], scalars,
                   context[_step(context, REDUCED_TABLE, 0, operands)])
            tile.set(first + together)
        with f.loop() as tiles:
            tiles.break_if(tile.get() >= tile_end)
            # Neighbours in a row of outputs; the fewer, the more rows of inputs at a time.
            in_row = f.minimum(per_row - tile.get().urem(per_row), most)
            in_row = f.select(context[ACROSS].eq(0), in_row, f.value(1))
            together = f.select(columns, f.minimum(tile_end - tile.get(), in_row), f.value(1))
            stretch = f.value(TILES_TOGETHER * ROWS_TOGETHER).udiv(together)
            stretch = f.select(context[SHORT_ROWS].ne(0), f.value(MOST_ROWS), stretch)
            left = _tile_pointers(f, context, operands, lanes, columns, tile.get(), f.value(0), tile_pointers, widths)
            with f.range(together) as t:
                with f.if_(t > 0):
                    widths[t] = f.minimum(left - t * lanes, lanes)
                    with f.range(operands) as j:
                        before = tile_pointers.pointer_at((t - 1) * MAX_OPERANDS + j)
                        f.store(_next_tile(context, before, lanes, j), tile_pointers.at(t * MAX_OPERANDS + j))
                f.call("void", desc.pointer_at(INITIAL), states + t * state_size,
                       tile_pointers.at(t * MAX_OPERANDS + outputs), kept_steps + (outputs << 3),
                       widths[t])
            with f.if_else(columns) as (down, along):
                with down:
                    row = f.var("i64", row_begin)
                    with f.loop() as rows:
                        rows.break_if(row.get() >= row_end)
                        # Rows up to the end of the innermost reduced dimension.
                        inside = row.get().urem(row_length)
                        count = f.minimum(row_length - inside, row_end - row.get())
                        count = f.minimum(count, f.select(together > 1, stretch, f.value(MOST_ROWS)))
                        index = _row_pointers(f, context, operands, row.get().udiv(row_length), inside, tile_pointers,
                                              f.value(0), row_pointers)
                        done = f.var("i64", 0)
                        with f.loop() as sets:
                            t = done.get()
                            sets.break_if(t >= together)
                            # So many whole tiles, or two whose second one may be part of one.
                            last = f.minimum(together - t, wide) - 1
                            all_ = last.eq(wide - 1) & widths[t + last].eq(lanes)
                            last = f.select(all_, last, f.minimum(last, 1))
                            f.call("void", desc.pointer_at(COLUMNS), states + t * state_size,
                                   row_pointers.at(outputs), kept_steps + (outputs << 3),
                                   steps + (outputs << 3), last * lanes + widths[t + last], count, scalars, index,
                                   context[_step(context, REDUCED_TABLE, 0, operands)])
                            with f.range(operands) as j:
                                f.store(_next_tile(context, row_pointers.pointer_at(j), lanes * (last + 1), j),
                                        row_pointers.at(j))
                            done.set(t + last + 1)
                        row.set(row.get() + count)
                with along:
                    with f.range(row_begin, row_end) as unit:
                        start = unit.urem(cut) * context[LENGTH]
                        count = f.minimum(row_length - start, context[LENGTH])
                        index = _row_pointers(f, context, operands, unit.udiv(cut), start,
                                              tile_pointers, f.value(0), row_pointers)
                        f.call("void", desc.pointer_at(ROWS), states, row_pointers.at(outputs),
                               steps + (outputs << 3), count, scalars, index,
                               context[_step(context, REDUCED_TABLE, 0, operands)])
                    f.call("void", desc.pointer_at(FOLD), states)
            with f.range(together) as t:
                state = states + t * state_size
                with f.if_else(parts.eq(1)) as (single, several):
                    with single:
                        f.call("void", desc.pointer_at(FINISH), state,
                               tile_pointers.at(t * MAX_OPERANDS), kept_steps, widths[t],
                               context[COUNT], scalars)
                    with several:
                        place = (tile.get() + t) * parts + part
                        f.copy(context.pointer_at(WORKSPACE) + place * state_size, state, state_size)
            tile.set(tile.get() + together)
    f.ret()


def _next_tile(context, pointer, lanes, j):
    """The place of operand j in the tile beside that of a pointer."""
    return pointer + lanes * context[_step(context, KEPT_TABLE, 0, j)]


def _tile_pointers(f, context, operands, lanes, columns, tile, slot, pointers, widths):
    """Operand pointers at the first output of a tile, and its number of outputs; returns how many are left there."""
    per_row, across = context[TILES_PER_ROW], context[ACROSS]
    by = f.select(across.eq(0), per_row, across)
    low, high = tile.urem(by), tile.udiv(by)
    column = f.select(across.eq(0), low, high) * f.select(columns, lanes, f.value(1))
    left = f.var("i64", f.select(across.eq(0), high, low))
    left_over = context[TILE_DIM_SIZE] - column
    widths[slot] = f.select(columns, f.minimum(left_over, lanes), f.value(1))
    base = slot * MAX_OPERANDS
    with f.range(operands) as j:
        step = context[_step(context, KEPT_TABLE, 0, j)]
        f.store(context.pointer_at(j + POINTERS) + column * step, pointers.at(base + j))
    with f.range(1, context[KEPT]) as d:
        size = context[d + KEPT_TABLE]
        at = left.get().urem(size)
        left.set(left.get().udiv(size))
        with f.range(operands) as j:
            step = context[_step(context, KEPT_TABLE, d, j)]
            f.store(pointers.pointer_at(base + j) + at * step, pointers.at(base + j))
    return left_over


def _row_pointers(f, context, operands, outer, inner, tile_pointers, slot, pointers):
    """Operand pointers at a place of the reduced space; returns the index there."""
    base = slot * MAX_OPERANDS
    index = f.var("i64", inner * context[_step(context, REDUCED_TABLE, 0, operands)])
    with f.range(operands) as j:
        step = context[_step(context, REDUCED_TABLE, 0, j)]
        f.store(tile_pointers.pointer_at(base + j) + inner * step, pointers.at(j))
    left = f.var("i64", outer)
    with f.range(1, context[REDUCED_RANK]) as d:
        size = context[d + REDUCED_TABLE]
        at = left.get().urem(size)
        left.set(left.get().udiv(size))
        index.set(index.get() + at * context[_step(context, REDUCED_TABLE, d, operands)])
        with f.range(operands) as j:
            step = context[_step(context, REDUCED_TABLE, d, j)]
            f.store(pointers.pointer_at(j) + at * step, pointers.at(j))
    return index.get()


def _join(m):
    """void rl_reduce_join(context, begin, end): join the parts of each tile, in order, and finish."""
    f = m.function(
        "rl_reduce_join", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
    )
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    operands, lanes, parts, size = desc[3], desc[LANES], context[PARTS], desc[STATE] & 0xffffffff
    pointers, widths = _Words(f, f.buffer(8 * MAX_OPERANDS)), _Words(f, f.buffer(8))
    columns = context[BY_COLUMNS].ne(0)
    with f.range(f.args[1], f.args[2]) as tile:
        states = context.pointer_at(WORKSPACE) + tile * parts * size
        with f.range(1, parts) as part:
            f.call("void", desc.pointer_at(MERGE), states, states + part * size)
        _tile_pointers(f, context, operands, lanes, columns, tile, f.value(0), pointers, widths)
        f.call("void", desc.pointer_at(FINISH), states, pointers.pointer,
               context.at(_step(context, KEPT_TABLE, f.value(0), 0)), widths[0], context[COUNT],
               context.at(SCALARS))
    f.ret()


def begin(m, name, what, rows):
    """Begin an entry over outputs, inputs, a mask of dimensions and scalars: (function, descriptor, context).

    The arguments are read and laid out; ``rows``: the operands keep their rows (see ``rl_layout``).
    """
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    desc, args = _Words(f, f.args[0] + BYTES_VALUE), _Words(f, f.args[1])
    context = _Words(f, f.buffer(8 * CONTEXT_WORDS))
    operands = desc[3]
    with f.if_(f.args[2].ne(operands + 1 + desc[2])):
        _fail(f, m, "PyExc_TypeError", f"{what}: wrong number of arguments")
        f.ret(f.null)
    f.store(desc.pointer, context.at(DESC))
    mask = f.call("i64", env(f, "PyLong_AsUnsignedLongLongMask"), args.pointer_at(operands))
    bad = f.call("i64", "rl_read_scalars", desc.pointer, args.at(operands + 1), context.pointer)
    with f.if_(bad.ne(0)):
        f.ret(f.null)
    bad = f.call("i64", "rl_layout", desc.pointer, f.args[1], mask, context.pointer, f.value(rows, "i1"))
    with f.if_(bad.ne(0)):
        f.ret(f.null)
    return f, desc, context


def _call(m):
    """PyObject *rl_reduce(self, args, n): outputs, inputs, mask of reduced dimensions, scalars."""
    f, desc, context = begin(m, "rl_reduce", "reduction", False)
    pointer, buffer, operands = desc.pointer, context.pointer, desc[3]
    with f.if_(context[OUTPUTS_TOTAL].eq(0)):
        _none(f)
    with f.if_(context[COUNT].eq(0)):
        # Nothing is read, but a state may want a first element: give it zeros.
        nothing = f.buffer(64)
        f.store(f.value(0, "<8 x i64>"), nothing, 64)
        with f.range(desc[0], operands) as j:
            f.store(nothing, context.at(j + POINTERS))
            with f.range(context[KEPT]) as d:
                context[_step(context, KEPT_TABLE, d, j)] = 0
    f.call("void", "rl_plan", pointer, buffer)
    whole = context[WHOLE]
    needed = f.select(whole.ne(0), whole, f.select(context[BY_COLUMNS].ne(0), f.value(COLUMNS), f.value(ROWS)))
    with f.if_(desc[needed].eq(0)):
        pair = f.buffer(16)
        word = f.call("ptr", env(f, "PyLong_FromLongLong"), needed)
        f.store(f.args[0], pair)
        f.store(word, pair + 8)
        done = f.call("ptr", env(f, "PyObject_Vectorcall"), env(f, "complete"), pair, f.value(2), f.null)
        f.call("void", env(f, "Py_DecRef"), word)
        with f.if_(done.eq(0)):
            f.ret(f.null)
        f.call("void", env(f, "Py_DecRef"), done)
    parts, groups = context[PARTS], context[GROUPS]
    workspace = f.var("ptr", 0)
    with f.if_(parts > 1):
        needed = context[TILE_COUNT] * parts * (desc[STATE] & 0xffffffff)
        workspace.set(f.call("ptr", env(f, "PyMem_RawMalloc"), needed + 64))
        with f.if_(workspace.get().eq(0)):
            f.call("ptr", env(f, "PyErr_NoMemory"))
            f.ret(f.null)
        address = f.emit("i64", f"ptrtoint ptr {workspace.get().name} to i64")
        f.store(workspace.get() + ((f.value(64) - (address & 63)) & 63), context.at(WORKSPACE))
    total = context[COUNT] * context[OUTPUTS_TOTAL]
    with entry.released(f, total >= entry.RELEASE_GIL_FROM):
        with f.if_else(total >= PARALLEL_FROM) as (many, few):
            with many:
                f.call("void", env(f, "rl_parallel_for"), f.symbol("rl_reduce_groups"), buffer, groups * parts)
            with few:
                f.call("void", "rl_reduce_groups", buffer, f.value(0), groups * parts)
        with f.if_(parts > 1):
            f.call("void", "rl_reduce_join", buffer, f.value(0), context[TILE_COUNT])
            f.call("void", env(f, "PyMem_RawFree"), workspace.get())
    _none(f)
