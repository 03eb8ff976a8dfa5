"""The native entry of pointwise kernels: one function for all of them, called by Python.

A kernel's own code is only its inner loop.  The entry, shared and compiled once, reads the
``PyArrayObject``s, broadcasts the inputs against the first output, orders the dimensions by stride and
merges them, and runs the inner loop over fixed tiles, on the thread pool if the work is large.  What
belongs to one kernel is in its *descriptor*, an array of 64-bit words held by the ``bytes`` object that
is the ``self`` of the builtin function:

    0 outputs | 1 inputs | 2 scalars | 3 address of the inner loop | 4 elements from which to use threads
    5 elements a tile | 6 elements from which to write past the cache | 7 operands (0 + 1)
    8 address of the walk along rows (0: ``complete``, a Python function, makes it when it is needed; 1: there is none)
    9 ... item size of each operand, then kind of each scalar (0 double, 1 integer)

The inner loop is ``void inner(ptr *operands, i64 *strides, ptr scalars, i64 n, i64 flags)``: operands are
outputs, then inputs; strides are in bytes; scalars are 8-byte words (double or i64); flag 1 asks for
stores past the cache, which a fence must follow.
"""

from contextlib import contextmanager

from rushlight.compiler.codegen.builder import Module, vector
from rushlight.compiler.codegen.targets import host

MAX_OPERANDS = 32
MAX_SCALARS = 32
MAX_DIMS = 64
HEADER = 9
ROWS_WALK, NO_ROWS = 8, 1
# NumPy's PyArrayObject and PyArray_Descr (NumPy 2), CPython's objects.
DATA, ND, DIMS, STRIDES, DESCR, FLAGS = 16, 24, 32, 40, 56, 64
ELSIZE = 40
TYPE, BYTES_VALUE, FLOAT_VALUE, TUPLE_ITEMS, VAR_SIZE = 8, 32, 16, 24, 16

# What the entry calls: words of its table ``rl_environment``, filled when it is loaded.
ENVIRONMENT = (
    "PyErr_SetString", "PyExc_TypeError", "PyExc_ValueError", "Py_None", "Py_IncRef",
    "PyFloat_Type", "PyFloat_AsDouble", "PyLong_AsUnsignedLongLongMask", "PyErr_Occurred",
    "PyEval_SaveThread", "PyEval_RestoreThread", "rl_parallel_for", "ndarray", "PyList_Type",
    "PyTuple_Type", "PyObject_CallOneArg", "Py_DecRef", "PyGILState_Check", "PyErr_Clear", "complete",
)  # fmt: skip

# Words of the call context.
(DESC, RANK, ROWS, ROW_LENGTH, CHUNKS, TILE_ROWS, TILES, WORK_FLAGS, TOTAL, BLOCK, GROUP) = range(11)
POINTERS = 16
SCALARS = POINTERS + MAX_OPERANDS
SHAPE = SCALARS + MAX_SCALARS
STEPS = SHAPE + MAX_DIMS
CONTEXT_WORDS = STEPS + MAX_DIMS * MAX_OPERANDS

# Columns of a block where an operand walks across cache lines.
ACROSS_COLUMNS = 64
# Sides of a tile where an input lies the other way round than the results (``entry_turned.py``).
TURNED_SIDE = 64
# Rows shorter than this are taken many at a time, through buffers of so many elements.
SHORT_ROW = 160
PACKED_ELEMENTS = 1024
PACKED_OPERANDS = 20
# Below this many elements holding the GIL is cheaper than letting it go.
RELEASE_GIL_FROM = 100_000


class _Words:
    """64-bit words at a pointer, by index."""

    def __init__(self, f, pointer):
        self.f, self.pointer = f, pointer

    def at(self, index):
        return self.pointer + (index * 8 if isinstance(index, int) else index << 3)

    def __getitem__(self, index):
        return self.f.load("i64", self.at(index))

    def __setitem__(self, index, value):
        self.f.store(self.f.value(value), self.at(index))

    def pointer_at(self, index):
        return self.f.load("ptr", self.at(index))


def _environment(f, name):
    return f.load("ptr", f.symbol("rl_environment") + 8 * ENVIRONMENT.index(name))


@contextmanager
def released(f, when):
    """What the block writes runs without the interpreter's lock where ``when`` is true."""
    state = f.var("ptr", 0)
    with f.if_(when):
        state.set(f.call("ptr", _environment(f, "PyEval_SaveThread")))
    yield
    with f.if_(when):
        f.call("void", _environment(f, "PyEval_RestoreThread"), state.get())


def _fail(f, module, exception, message):
    f.call("void", _environment(f, "PyErr_SetString"), _environment(f, exception), f.string(message))


def module(triple):
    """The IR of the entries ``rl_pointwise`` and ``rl_pointwise_many``."""
    from rushlight.compiler.codegen import entry_rows, entry_turned

    m = Module(triple)
    m.globals.append(
        f"@rl_environment = global [{len(ENVIRONMENT)} x ptr] zeroinitializer, align 64"
    )
    _read_scalars(m)
    _read_operands(m)
    _run_tiles(m)
    _walks_across(m)
    _packs_short_rows(m)
    _pack(m)
    _unpack(m)
    _run_short_rows(m)
    entry_rows.write(m)
    entry_turned.write(m)
    _execute(m)
    _call(m)
    _run_sets(m)
    _call_many(m)
    return m.text()


def _read_scalars(m):
    """i64 rl_read_scalars(desc, args, context): 1 with an exception set if one is no number."""
    f = m.function(
        "rl_read_scalars", "i64", [("ptr", "desc"), ("ptr", "args"), ("ptr", "context")], "internal"
    )
    desc, args, context = _Words(f, f.args[0]), _Words(f, f.args[1]), _Words(f, f.args[2])
    operands = desc[7]
    doubtful = f.var("i64", 0)
    with f.range(desc[2]) as i:
        item = args.pointer_at(i)
        with f.if_else(desc[operands + i + HEADER].eq(0)) as (double, integer):
            with double:
                exact = f.load("ptr", item + TYPE).eq(_environment(f, "PyFloat_Type"))
                with f.if_else(exact) as (fast, slow):
                    with fast:
                        f.store(f.load("i64", item + FLOAT_VALUE), context.at(i + SCALARS))
                    with slow:
                        x = f.call("double", _environment(f, "PyFloat_AsDouble"), item)
                        f.store(x, context.at(i + SCALARS))
                        doubtful.set(1)
            with integer:
                x = f.call("i64", _environment(f, "PyLong_AsUnsignedLongLongMask"), item)
                f.store(x, context.at(i + SCALARS))
                doubtful.set(1)
    with f.if_(doubtful.get().ne(0)):
        error = f.call("ptr", _environment(f, "PyErr_Occurred"))
        with f.if_(error.ne(0)):
            f.ret(f.value(1))
    f.ret(f.value(0))


def _read_operands(m):
    """i64 rl_read_operands(desc, args, context): 0 ready, 1 exception set, 2 no elements."""
    f = m.function(
        "rl_read_operands", "i64", [("ptr", "desc"), ("ptr", "args"), ("ptr", "context")], "internal"
    )
    desc, args, context = _Words(f, f.args[0]), _Words(f, f.args[1]), _Words(f, f.args[2])
    operands, outputs = desc[7], desc[0]
    context[DESC] = f.emit("i64", f"ptrtoint ptr {f.args[0].name} to i64")
    first = args.pointer_at(0)
    ndarray = _environment(f, "ndarray")

    with f.range(operands) as j:
        array = args.pointer_at(j)
        with f.if_(f.load("ptr", array + TYPE).ne(ndarray)):
            _fail(f, m, "PyExc_TypeError", "kernel: operands must be numpy.ndarray objects")
            f.ret(f.value(1))
        size = f.load("i64", f.load("ptr", array + DESCR) + ELSIZE)
        with f.if_(size.ne(desc[j + HEADER])):
            _fail(f, m, "PyExc_TypeError", "kernel: an operand has the wrong dtype")
            f.ret(f.value(1))
        f.store(f.load("ptr", array + DATA), context.at(j + POINTERS))

    # The common case: everything contiguous and of one shape (or 0-dimensional).
    rank = f.load("i32", first + ND).cast("sext", "i64")
    dims = _Words(f, f.load("ptr", first + DIMS))
    total = f.var("i64", 1)
    with f.range(rank) as d:
        total.set(total.get() * dims[d])
    context[TOTAL] = total
    with f.if_(total.get().eq(0)):
        # Empty results still need matching shapes; the op layer has checked those.
        f.ret(f.value(2))
    simple = f.var("i1", True)
    with f.range(operands) as j:
        array = args.pointer_at(j)
        own_rank = f.load("i32", array + ND).cast("sext", "i64")
        contiguous = (f.load("i32", array + FLAGS) & 1).ne(0)
        with f.if_else(contiguous & own_rank.eq(rank)) as (same, other):
            with same:
                own = _Words(f, f.load("ptr", array + DIMS))
                with f.range(rank) as d:
                    simple.set(simple.get() & own[d].eq(dims[d]))
                context[j + STEPS] = desc[j + HEADER]
            with other:
                simple.set(simple.get() & own_rank.eq(0) & (j >= outputs))
                context[j + STEPS] = 0
    with f.if_(simple.get()):
        context[RANK] = 1
        context[SHAPE] = total
        f.ret(f.value(0))

    _broadcast(f, m, desc, args, context, rank, dims)
    _order(f, context, operands)
    _merge(f, context, operands)
    with f.if_(context[RANK].eq(0)):
        context[RANK] = 1
        context[SHAPE] = 1
        with f.range(operands) as j:
            context[j + STEPS] = desc[j + HEADER]
    f.ret(f.value(0))


def _broadcast(f, m, desc, args, context, rank, dims):
    """Shape and steps of all dimensions but those of size 1, innermost first."""
    operands, outputs = desc[7], desc[0]
    kept = f.var("i64", 0)
    with f.range(rank) as d:
        size = dims[rank - 1 - d]
        row = kept.get() * operands
        with f.range(operands) as j:
            array = args.pointer_at(j)
            k = f.load("i32", array + ND).cast("sext", "i64") - 1 - d
            step = f.var("i64", 0)
            wrong = f.var("i1", False)
            with f.if_else(k >= 0) as (own, missing):
                with own:
                    extent = _Words(f, f.load("ptr", array + DIMS))[k]
                    with f.if_else(extent.eq(size)) as (equal, different):
                        with equal:
                            step.set(_Words(f, f.load("ptr", array + STRIDES))[k])
                        with different:
                            wrong.set(extent.ne(1) | (j < outputs))
                with missing:
                    wrong.set(j < outputs)
            with f.if_(wrong.get()):
                _fail(f, m, "PyExc_ValueError", "kernel: operand shapes do not match")
                f.ret(f.value(1))
            context[row + j + STEPS] = step
        with f.if_(size.ne(1)):
            context[kept.get() + SHAPE] = size
            kept.set(kept.get() + 1)
    with f.range(operands) as j:
        own_rank = f.load("i32", args.pointer_at(j) + ND).cast("sext", "i64")
        with f.if_(own_rank > rank):
            _fail(f, m, "PyExc_ValueError", "kernel: operand has more dimensions than the output")
            f.ret(f.value(1))
    context[RANK] = kept


def _order(f, context, operands):
    """Sort dimensions so that the first operand that tells them apart has its short steps inside."""
    with f.range(1, context[RANK]) as start:
        t = f.var("i64", start)
        with f.loop() as bubble:
            bubble.break_if(t.get() <= 0)
            outer, inner = t.get() * operands, (t.get() - 1) * operands
            swap, j = f.var("i1", False), f.var("i64", 0)
            with f.loop() as look:
                look.break_if(j.get() >= operands)
                a = _magnitude(f, context[outer + j.get() + STEPS])
                b = _magnitude(f, context[inner + j.get() + STEPS])
                told = a.ne(b) & a.ne(0) & b.ne(0)
                swap.set(told & (a < b))
                look.break_if(told)
                j.set(j.get() + 1)
            bubble.break_if(~swap.get())
            _swap(context, t.get() + SHAPE, t.get() + (SHAPE - 1))
            with f.range(operands) as j:
                _swap(context, outer + j + STEPS, inner + j + STEPS)
            t.set(t.get() - 1)


def _magnitude(f, x):
    return f.select(x < 0, f.value(0) - x, x)


def _swap(words, a, b):
    x, y = words[a], words[b]
    words[a] = y
    words[b] = x


def _merge(f, context, operands):
    """Join neighbouring dimensions that every operand walks as one."""
    rank = context[RANK]
    last = f.var("i64", 0)
    with f.range(1, rank) as d:
        joined = f.var("i1", True)
        size, base, row = context[last.get() + SHAPE], last.get() * operands, d * operands
        with f.range(operands) as j:
            joined.set(
                joined.get() & (context[base + j + STEPS] * size).eq(context[row + j + STEPS])
            )
        with f.if_else(joined.get()) as (yes, no):
            with yes:
                context[last.get() + SHAPE] = size * context[d + SHAPE]
            with no:
                last.set(last.get() + 1)
                context[last.get() + SHAPE] = context[d + SHAPE]
                with f.range(operands) as j:
                    context[last.get() * operands + j + STEPS] = context[row + j + STEPS]
    with f.if_(rank > 0):
        context[RANK] = last.get() + 1


def _run_tiles(m):
    """void rl_run_tiles(context, begin, end): the task of the thread pool."""
    f = m.function("rl_run_tiles", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")])
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    operands, inner = desc[7], desc.pointer_at(3)
    rank, length = context[RANK], context[ROW_LENGTH]
    pointers, index = _Words(f, f.buffer(8 * MAX_OPERANDS)), _Words(f, f.buffer(8 * MAX_DIMS))
    chunks = context[CHUNKS]
    block = context[BLOCK]
    with f.range(f.args[1], f.args[2]) as tile:
        row = tile.udiv(chunks) * context[TILE_ROWS]
        column = tile.urem(chunks) * block
        count = f.minimum(context[ROWS] - row, context[TILE_ROWS])
        n = f.minimum(length - column, block)
        with f.range(operands) as j:
            step = context[j + STEPS]
            f.store(context.pointer_at(j + POINTERS) + column * step, pointers.at(j))
        left = f.var("i64", row)
        with f.range(1, rank) as d:
            size = context[d + SHAPE]
            at = left.get().urem(size)
            left.set(left.get().udiv(size))
            index[d] = at
            with f.range(operands) as j:
                moved = pointers.pointer_at(j) + at * context[d * operands + j + STEPS]
                f.store(moved, pointers.at(j))
        done = f.var("i64", 0)
        with f.loop() as rows:
            f.call("void", inner, pointers.pointer, context.at(STEPS), context.at(SCALARS), n,
                   context[WORK_FLAGS])
            done.set(done.get() + 1)
            rows.break_if(done.get() >= count)
            d = f.var("i64", 1)
            with f.loop() as carry:
                carry.break_if(d.get() >= rank)
                here = d.get()
                index[here] = index[here] + 1
                full = index[here] >= context[here + SHAPE]
                back = f.select(full, index[here] - 1, f.value(-1))
                with f.range(operands) as j:
                    step = context[here * operands + j + STEPS]
                    moved = pointers.pointer_at(j) + (f.value(0) - back) * step
                    f.store(moved, pointers.at(j))
                carry.break_if(~full)
                index[here] = 0
                d.set(here + 1)
    fence(f, context)
    f.ret()


def fence(f, context):
    """At the end of a task: streaming stores are ordered with later ones only by a fence."""
    with f.if_(context[WORK_FLAGS].ne(0)):
        f.line("fence seq_cst")


def _walks_across(m):
    """i1 rl_walks_across(context, operands): an operand jumps cache lines in the inner dimension.

    If it runs along lines in the next one, blocks of a few columns and many rows use each line whole.
    """
    f = m.function(
        "rl_walks_across", "i1", [("ptr", "context"), ("i64", "operands")], "internal"
    )
    context, operands = _Words(f, f.args[0]), f.args[1]
    with f.if_((context[RANK] > 1) & (context[SHAPE] > ACROSS_COLUMNS)):
        with f.range(operands) as j:
            inner = _magnitude(f, context[j + STEPS])
            outer = _magnitude(f, context[operands + j + STEPS])
            with f.if_((inner >= 64) & (outer < inner) & outer.ne(0)):
                f.ret(f.value(True, "i1"))
    f.ret(f.value(False, "i1"))


def _packs_short_rows(m):
    """i1 rl_packs_short_rows(desc, context): rows are short, and those of results contiguous.

    Then operands that do not run on from row to row are written out, or collected, for many rows at a time.
    """
    f = m.function(
        "rl_packs_short_rows", "i1", [("ptr", "desc"), ("ptr", "context")], "internal"
    )
    desc, context = _Words(f, f.args[0]), _Words(f, f.args[1])
    operands, length = desc[7], context[SHAPE]
    fits = (context[RANK] > 1) & (length < SHORT_ROW) & (operands <= PACKED_OPERANDS)
    with f.if_(fits & (context[TOTAL] >= 256)):
        with f.range(desc[0]) as j:
            with f.if_(context[j + STEPS].ne(desc[j + HEADER])):
                f.ret(f.value(False, "i1"))
        f.ret(f.value(True, "i1"))
    f.ret(f.value(False, "i1"))


def masks(width):
    """Whether rests of rows are moved by vectors with masks, for elements of so many bytes."""
    return host().vector_bytes == 64 or width >= 4 and host().vector_bytes == 32


def _pack(m):
    """void rl_pack(to, from, size, step, n, row_step, rows): rows of elements, contiguous."""
    f = m.function(
        "rl_pack", "void",
        [("ptr", "to"), ("ptr", "from"), ("i64", "size"), ("i64", "step"), ("i64", "n"),
         ("i64", "row_step"), ("i64", "rows")], "internal",
    )
    to, source, size, step, n, row_step, rows = f.args
    for width in (1, 2, 4, 8):
        element, lanes = f"i{8 * width}", host().vector_bytes // width
        with f.if_(size.eq(width)):
            # What is written past a row's end is written over by the next, or lies between buffers.
            with f.if_(step.eq(0)):
                with f.range(rows) as r:
                    value = f.splat(f.load(element, source + r * row_step, 1), lanes)
                    there = to + r * (n * width)
                    with f.range(n, step=lanes) as i:
                        f.store(value, there + i * width, 1)
                f.ret()
            with f.if_(step.eq(width)):
                whole = n & -lanes
                if masks(width):
                    rest = f.below(n - whole, lanes)
                    with f.range(rows) as r:
                        here, there = source + r * row_step, to + r * (n * width)
                        with f.range(whole, step=lanes) as i:
                            f.store(f.load(vector(element, lanes), here + i * width, 1), there + i * width, 1)
                        with f.if_(whole < n):
                            end = f.masked_load(vector(element, lanes), here + whole * width, rest)
                            f.store(end, there + whole * width, 1)
                    f.ret()
                with f.range(rows) as r:
                    here, there = source + r * row_step, to + r * (n * width)
                    with f.range(whole, step=lanes) as i:
                        f.store(f.load(vector(element, lanes), here + i * width, 1), there + i * width, 1)
                    with f.range(whole, n) as i:
                        f.store(f.load(element, here + i * width, 1), there + i * width, 1)
                f.ret()
            with f.range(rows) as r:
                here, there = source + r * row_step, to + r * (n * width)
                with f.range(n) as i:
                    f.store(f.load(element, here + i * step, 1), there + i * width, 1)
    f.ret()


def _unpack(m):
    """void rl_unpack(to, from, size, n, row_step, rows): contiguous rows put ``row_step`` apart."""
    f = m.function(
        "rl_unpack", "void",
        [("ptr", "to"), ("ptr", "from"), ("i64", "size"), ("i64", "n"), ("i64", "row_step"), ("i64", "rows")],
        "internal",
    )
    to, source, size, n, row_step, rows = f.args
    for width in (1, 2, 4, 8):
        element, lanes = f"i{8 * width}", host().vector_bytes // width
        kind = vector(element, lanes)
        with f.if_(size.eq(width)):
            whole = n & -lanes
            rest = f.below(n - whole, lanes)
            with f.range(rows) as r:
                here, there = source + r * (n * width), to + r * row_step
                with f.range(whole, step=lanes) as i:
                    f.store(f.load(kind, here + i * width, 1), there + i * width, 1)
                if masks(width):
                    with f.if_(whole < n):
                        f.masked_store(f.load(kind, here + whole * width, 1), there + whole * width, rest)
                else:
                    with f.range(whole, n) as i:
                        f.store(f.load(element, here + i * width, 1), there + i * width, 1)
    f.ret()


def _run_short_rows(m):
    """void rl_run_short_rows(context, begin, end): tiles of many short rows as one long row.

    A tile is a block of rows of the second dimension, or, where that is short, too, all of it for a group of the third.
    """
    f = m.function(
        "rl_run_short_rows", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
    )
    context = _Words(f, f.args[0])
    desc = _Words(f, context.pointer_at(DESC))
    operands, rank = desc[7], context[RANK]
    length, rows, block, chunks, group = (
        context[SHAPE], context[SHAPE + 1], context[BLOCK], context[CHUNKS], context[GROUP]
    )
    grouped = group > 0
    plane = length * rows
    pointers = _Words(f, f.buffer(8 * PACKED_OPERANDS))
    packed, there = (_Words(f, f.buffer(8 * PACKED_OPERANDS)) for _ in range(2))
    outputs = desc[0]
    buffers = f.buffer((8 * PACKED_ELEMENTS + 64) * PACKED_OPERANDS)
    with f.range(operands) as j:
        packed[j] = 0
    with f.range(f.args[1], f.args[2]) as tile:
        chunk = tile.urem(chunks)
        first = f.select(grouped, f.value(0), chunk * block)
        count = f.minimum(rows - first, block)
        member = f.select(grouped, chunk * group, f.value(0))
        members = f.select(grouped, f.minimum(context[SHAPE + 2] - member, group), f.value(1))
        with f.range(operands) as j:
            here = f.var("ptr", context.pointer_at(j + POINTERS))
            left = f.var("i64", tile.udiv(chunks))
            with f.range(f.select(grouped, f.value(3), f.value(2)), rank) as d:
                size = context[d + SHAPE]
                step = context[d * operands + j + STEPS]
                here.set(here.get() + left.get().urem(size) * step)
                left.set(left.get().udiv(size))
            size, step = desc[j + HEADER], context[j + STEPS]
            row_step = context[operands + j + STEPS]
            member_step = f.select(grouped, context[operands * 2 + j + STEPS], size * plane)
            source = here.get() + (first * row_step + f.select(grouped, member * member_step, f.value(0)))
            dense = step.eq(size) & row_step.eq(size * length) & member_step.eq(size * plane)
            with f.if_else(dense) as (runs_on, other):
                with runs_on:
                    f.store(source, pointers.at(j))
                with other:
                    place = buffers + j * (8 * PACKED_ELEMENTS + 64)
                    f.store(place, pointers.at(j))
                    f.store(source, there.at(j))
                    # The same row again and again needs to be written only once.
                    key = f.emit("i64", f"ptrtoint ptr {source.name} to i64")
                    same = row_step.eq(0) & (~grouped | member_step.eq(0))
                    with f.if_(~(same & packed[j].eq(key)) & (j >= outputs)):
                        fill = f.select(same, block, count)
                        written = f.select(same & grouped, group, members)
                        with f.range(written) as g:
                            f.call("void", "rl_pack", place + g * plane * size, source + g * member_step, size, step,
                                   length, row_step, fill)
                        packed[j] = key
        f.call("void", desc.pointer_at(3), pointers.pointer, desc.at(HEADER), context.at(SCALARS),
               members * count * length, f.value(0))
        with f.range(outputs) as j, f.if_(pointers.pointer_at(j).eq(buffers + j * (8 * PACKED_ELEMENTS + 64))):
            row_step = context[operands + j + STEPS]
            with f.range(members) as g:
                f.call("void", "rl_unpack", there.pointer_at(j) + g * context[operands * 2 + j + STEPS],
                       buffers + (j * (8 * PACKED_ELEMENTS + 64) + g * plane * desc[j + HEADER]), desc[j + HEADER],
                       length, row_step, count)
    f.ret()


def _execute(m):
    """void rl_execute(desc, context): run what rl_read_operands has laid out."""
    f = m.function("rl_execute", "void", [("ptr", "desc"), ("ptr", "context")], "internal")
    desc, context = _Words(f, f.args[0]), _Words(f, f.args[1])
    total, grain = context[TOTAL], desc[5]
    length = context[SHAPE]
    context[ROW_LENGTH] = length
    past = f.var("i64", 0)
    with f.if_(total >= desc[6]):
        past.set(1)
        outputs = desc[0]
        with f.range(outputs) as i:
            with f.range(outputs, desc[7]) as j:
                same = context[i + POINTERS].eq(context[j + POINTERS])
                past.set(f.select(same, f.value(0), past.get()))
    context[WORK_FLAGS] = past
    with f.if_(context[RANK].eq(1) & (total < desc[4])):
        f.call("void", desc.pointer_at(3), context.at(POINTERS), context.at(STEPS),
               context.at(SCALARS), length, past.get())
        f.ret()
    task = f.var("ptr", f.symbol("rl_run_tiles"))
    by_rows = f.call("i1", "rl_goes_by_rows", f.args[0], f.args[1]) & past.get().eq(0)
    packed = f.call("i1", "rl_packs_short_rows", f.args[0], f.args[1]) & ~by_rows
    turned = f.var("i1", False)
    with f.if_(by_rows):
        task.set(f.symbol("rl_run_rows"))
        block = f.minimum((grain + length - 1).udiv(length), context[SHAPE + 1])
        context[BLOCK] = block
        context[CHUNKS] = (context[SHAPE + 1] + block - 1).udiv(block)
        context[TILES] = total.udiv(length * context[SHAPE + 1]) * context[CHUNKS]
    with f.if_(~packed & ~by_rows):
        turned.set(f.call("i1", "rl_find_turned", f.args[0], f.args[1]))
    with f.if_(turned.get()):
        task.set(f.symbol("rl_run_turned"))
        chunks, bands = ((context[SHAPE + k] + (TURNED_SIDE - 1)).udiv(TURNED_SIDE) for k in (0, 1))
        context[TILES] = total.udiv(length * context[SHAPE + 1]) * chunks * bands
    with f.if_else(packed) as (short, normal):
        with short:
            # Two dimensions make one row, cut where the inner one ends.
            task.set(f.symbol("rl_run_short_rows"))
            long_row = length * context[SHAPE + 1]
            context[ROWS] = total.udiv(long_row)
            block = f.minimum(f.value(PACKED_ELEMENTS).udiv(length), context[SHAPE + 1])
            context[BLOCK] = block
            chunks = (context[SHAPE + 1] + block - 1).udiv(block)
            context[CHUNKS] = chunks
            context[TILES] = context[ROWS] * chunks
            context[GROUP] = 0
            several = f.value(PACKED_ELEMENTS).udiv(long_row)
            with f.if_((context[RANK] > 2) & (several > 1)):
                planes = context[SHAPE + 2]
                group = f.minimum(several, planes)
                groups = (planes + group - 1).udiv(group)
                context[GROUP] = group
                context[CHUNKS] = groups
                context[TILES] = context[ROWS].udiv(planes) * groups
        with normal, f.if_(~turned.get() & ~by_rows):
            rows = total.udiv(length)
            context[ROWS] = rows
            across = f.call("i1", "rl_walks_across", f.args[1], desc[7])
            block = f.select(across, f.value(ACROSS_COLUMNS), grain)
            block = f.minimum(length, block)
            context[BLOCK] = block
            chunks = (length + block - 1).udiv(block)
            context[CHUNKS] = chunks
            each = f.select((chunks > 1) & ~across, f.value(1), grain.udiv(block))
            context[TILE_ROWS] = each
            context[TILES] = (rows + each - 1).udiv(each) * chunks
    with f.if_(total < desc[4]):
        f.call("void", task.get(), f.args[1], f.value(0), context[TILES])
        f.ret()
    with released(f, total >= RELEASE_GIL_FROM):
        f.call("void", _environment(f, "rl_parallel_for"), task.get(), f.args[1], context[TILES])
    f.ret()


def _none(f):
    none = _environment(f, "Py_None")
    f.call("void", _environment(f, "Py_IncRef"), none)
    f.ret(none)


def _call(m):
    """PyObject *rl_pointwise(self, args, n): outputs, inputs, scalars."""
    f = m.function("rl_pointwise", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    pointer = f.args[0] + BYTES_VALUE
    desc = _Words(f, pointer)
    context = f.buffer(8 * CONTEXT_WORDS)
    with f.if_(f.args[2].ne(desc[7] + desc[2])):
        _fail(f, m, "PyExc_TypeError", "kernel: wrong number of arguments")
        f.ret(f.null)
    state = f.call("i64", "rl_read_operands", pointer, f.args[1], context)
    with f.if_(state.eq(1)):
        f.ret(f.null)
    bad = f.call("i64", "rl_read_scalars", pointer, f.args[1] + (desc[7] << 3), context)
    with f.if_(bad.ne(0)):
        f.ret(f.null)
    with f.if_(state.eq(0)):
        f.call("void", "rl_execute", pointer, context)
    _none(f)


def _run_sets(m):
    """void rl_run_sets(job, begin, end): a task of ``rl_pointwise_many``, small sets of operands.

    The job is (descriptor, array of tuples, scalars).  The caller holds the GIL meanwhile and nothing
    here touches a reference count, so reading the arrays is safe.
    """
    f = m.function("rl_run_sets", "void", [("ptr", "job"), ("i64", "begin"), ("i64", "end")])
    job = _Words(f, f.args[0])
    pointer = job.pointer_at(0)
    desc, items, scalars = _Words(f, pointer), _Words(f, job.pointer_at(1)), job.pointer_at(2)
    context = f.buffer(8 * CONTEXT_WORDS)
    f.copy(context + 8 * SCALARS, scalars, 8 * MAX_SCALARS)
    with f.range(f.args[1], f.args[2]) as i:
        state = f.call(
            "i64", "rl_read_operands", pointer, items.pointer_at(i) + TUPLE_ITEMS, context
        )
        small = _Words(f, context)[TOTAL] < desc[4]
        with f.if_(state.eq(0) & small):
            f.call("void", "rl_execute", pointer, context)
    f.ret()


def _call_many(m):
    """PyObject *rl_pointwise_many(self, args, n): a list of operand tuples, a tuple of scalars.

    Large sets run one after another, each on all threads; small ones are shared out whole.
    """
    f = m.function("rl_pointwise_many", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    pointer = f.args[0] + BYTES_VALUE
    desc, args = _Words(f, pointer), _Words(f, f.args[1])
    context = f.buffer(8 * CONTEXT_WORDS)

    def wants(good):
        with f.if_(~good):
            _fail(f, m, "PyExc_TypeError", "kernel: many wants a list of tuples and a tuple")
            f.ret(f.null)

    def is_a(item, type_):
        return f.load("ptr", item + TYPE).eq(_environment(f, type_))

    wants(f.args[2].eq(2))
    sets, scalars = args.pointer_at(0), args.pointer_at(1)
    wants(is_a(sets, "PyList_Type") & is_a(scalars, "PyTuple_Type"))
    with f.if_(f.load("i64", scalars + VAR_SIZE).ne(desc[2])):
        _fail(f, m, "PyExc_TypeError", "kernel: wrong number of scalars")
        f.ret(f.null)
    bad = f.call("i64", "rl_read_scalars", pointer, scalars + TUPLE_ITEMS, context)
    with f.if_(bad.ne(0)):
        f.ret(f.null)
    items = _Words(f, f.load("ptr", sets + TUPLE_ITEMS))
    count = f.load("i64", sets + VAR_SIZE)
    # All operands are checked before anything is written.
    small_work = f.var("i64", 0)
    with f.range(count) as i:
        one = items.pointer_at(i)
        wants(is_a(one, "PyTuple_Type"))
        with f.if_(f.load("i64", one + VAR_SIZE).ne(desc[7])):
            _fail(f, m, "PyExc_TypeError", "kernel: wrong number of operands")
            f.ret(f.null)
        state = f.call("i64", "rl_read_operands", pointer, one + TUPLE_ITEMS, context)
        with f.if_(state.eq(1)):
            f.ret(f.null)
        total = _Words(f, context)[TOTAL]
        small_work.set(small_work.get() + f.select(total < desc[4], total, f.value(0)))
    share = small_work.get() >= desc[4] * 2
    with f.if_(share):
        job = _Words(f, f.buffer(24))
        f.store(pointer, job.at(0))
        f.store(items.pointer, job.at(1))
        f.store(context + 8 * SCALARS, job.at(2))
        f.call("void", _environment(f, "rl_parallel_for"), f.symbol("rl_run_sets"), job.pointer,
               count)
    with f.range(count) as i:
        one = items.pointer_at(i)
        state = f.call("i64", "rl_read_operands", pointer, one + TUPLE_ITEMS, context)
        large = _Words(f, context)[TOTAL] >= desc[4]
        with f.if_(state.eq(0) & (large | ~share)):
            f.call("void", "rl_execute", pointer, context)
    _none(f)
