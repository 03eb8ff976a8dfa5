"""Whole sequences of recurrent cells (LSTM, GRU, tanh and ReLU), as generated code.

    forward(y, hn, cn, gates, extra, h0, c0, w, b, sizes, offsets, words)

``gates`` (rows, q h) holds what the inputs contribute to the q gates of h units and all biases but the GRU's for
the recurrent part of n, which is ``b`` (h); it is overwritten with the activated gates. w (q h, h) holds the
recurrent weights. In order of the gates, with s the logistic function and u what gates hold plus w h:

    LSTM  i, f, g, o = s(u_i), s(u_f), tanh(u_g), s(u_o);  c = f c + i g;  h = o tanh(c)      extra: c
    GRU   r, z = s(u_r), s(u_z);  p = w_n h + b;  n = tanh(gates_n + r p);  h = z (h - n) + n    extra: p
    RNN   h = tanh(u) or max(u, 0)

Step t has ``sizes[t]`` sequences, at rows ``offsets[t]`` and on of gates, y and extra: all of them for padded
sequences, ever fewer for packed ones; ``reverse`` runs from the last step, where more and more begin. hn and cn are
the states each sequence ends with. Sequences don't meet, so tiles of ``tile`` of them run in parallel, each through all
steps, with the weights packed once for all. Where there are few (one tile of at most ``FEW``) and ``groups`` isn't 0,
threads share each step instead, a group of units each. The bits depend on neither. All arrays are in C order.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.templates.jobs import DATA, TASK, Job, load, new_module

GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}
ARRAYS = ("y", "hn", "cn", "gates", "extra", "h0", "c0", "w", "b", "sizes", "offsets")
FIELDS = ("steps", "batch", "h", "reverse", "tile", "groups")
FEW = 8                         # most sequences whose steps threads share
PARALLEL_FROM = 1 << 15         # multiply-adds


@cache
def kernel(cell, dtype):
    """The forward function of a cell for float32 or float64."""
    return load(f"recurrent {cell}", dtype, lambda d: module_text(cell, d), "rl_recurrent")


class Sequences(Job):
    """The job of a task: words, packed weights and shorthands."""

    def __init__(self, f, dtype, arrays, fields, context=None):
        super().__init__(f, dtype, arrays, (*fields, "packed"), context)
        end = len(arrays) + len(fields)
        self.packed, self.shared = (f.load("ptr", self.context + 8 * (end + k)) for k in (0, 2))
        self.now = f.load("i64", self.context + 8 * (end + 3))
        self.pitch = self.row_bytes(self.h)
        self.strips = (self.h + (self.nr - 1)).udiv(self.nr)

    def sigmoid(self, x):
        from rushlight.compiler.codegen import math

        return math.sigmoid(self.f, x)

    def tanh(self, x):
        """-t / (t + 2) with t = e^(-2|x|) - 1, for both types: one exponential and no second branch."""
        from rushlight.compiler.codegen import math

        f, form = self.f, math.format_of(x)
        y = math.clamp(f, math.fabs(f, x) * -2.0, form.expm1_range[0], None)
        i, _, r, p = math._exp_reduced(f, y)
        half = math.power_of_two(f, i - 1, form)
        t = f.fma(half, f.fma(r * r, p, r), half - 0.5) * 2.0
        return math.copysign(f, t / (t + 2.0), x)

    def rectified(self, x):
        """max(x, 0); NaN stays."""
        zero = self.f.value(0.0, x.type)
        return self.f.select(x <= zero, zero, x)

    def bias(self, at, mask):
        return self.load_part(self.b + at, mask)

    def load_part(self, place, mask):
        return self.f.masked_load(self.vector, place, mask)

    def ahead(self, place, nbytes, write=0):
        """Fetch memory that will be needed into the cache."""
        from rushlight.compiler.templates.gemm_micro import prefetch

        for at in range(0, nbytes, 64):
            prefetch(self.f, place + at, write)

    def copy_rows(self, src, src_pitch, dst, dst_pitch, rows):
        """Rows of h elements."""
        f = self.f
        with f.range(rows) as r, f.range(0, self.h, step=self.lanes) as c:
            mask, at = self.below(self.h - c), c * self.item
            self.masked_store(self.load_part(src + (r * src_pitch + at), mask), dst + (r * dst_pitch + at), mask)

    def units(self, first):
        """(unit, offset in the strip, lanes that are units) of the vectors of the strip that begins with ``first``."""
        for part in range(self.nr // self.lanes):
            unit = first + part * self.lanes
            yield unit, part * self.lanes, self.below(self.h - unit)

    def group(self, begin, end):
        """The strips of groups [begin, end)."""
        return (begin * self.strips).udiv(self.groups), (end * self.strips).udiv(self.groups)

    def step_of(self, n):
        """The n-th step in the direction of the run."""
        return self.f.select(self.reverse.ne(0), self.steps - 1 - n, n)

    def active(self, t, first, rows):
        """How many of a tile's sequences step t has."""
        f = self.f
        n = f.load("i64", self.sizes + t * 8) - first
        return f.select(n < 0, f.value(0), f.minimum(n, rows))

    def place(self, array, t, first, width=1):
        """Where the rows of step t begin for a tile, in an array with rows of width * h elements."""
        return array + (self.f.load("i64", self.offsets + t * 8) + first) * (self.h * (width * self.item))

    def last(self, t, first, count):
        """[from, to): the tile's sequences that end with step t, in the direction of the run."""
        f = self.f
        forward = self.reverse.eq(0)
        more = forward & (t + 1 < self.steps)
        index = f.select(more, t + 1, t)
        staying = f.load("i64", self.sizes + index * 8) - first
        staying = f.select(staying < 0, f.value(0), f.minimum(staying, count))
        low = f.select(more, staying, f.value(0))
        return f.select(forward | t.eq(0), low, count), count


def module_text(cell, dtype):
    """The IR of the entry and its tasks."""
    m = new_module()
    _pack_task(m, cell, dtype)
    _task(m, cell, dtype)
    _shared_tasks(m, cell, dtype)
    write_entry(m, "rl_recurrent", ARRAYS, FIELDS, cell, dtype, _Tile.nbytes, ("begin", "share", "tail"))
    return m.text()


def _pack_task(m, cell, dtype):
    """Tile: a strip of units, for each gate: columns of w's transpose."""
    f = m.function("rl_recurrent_pack", "void", TASK, "internal", "nounwind")
    j = Sequences(f, dtype, ARRAYS, FIELDS)
    gates, nr, row = GATES[cell], j.nr, j.h * j.item
    with f.range(f.args[1], f.args[2]) as s:
        for q in range(gates):
            src = j.w + (s * nr + j.h * q) * row
            f.call("void", "rl_strip", src, row, f.value(j.item), j.h, f.minimum(j.h - s * nr, f.value(nr)),
                   f.value(nr), j.packed + (s * gates + q) * (row * nr), declare=False)
    f.ret()


class _Tile:
    """Some sequences: their states and what a step does to them."""

    def __init__(self, j, cell, first, base, sums):
        f = j.f
        self.j, self.cell, self.gates, self.first, self.base, self.sums = j, cell, GATES[cell], first, base, sums
        self.rows = f.minimum(j.tile, j.batch - first)
        self.states, self.row = j.tile * j.pitch, j.h * j.item
        self.cells = base + self.states * 2

    @staticmethod
    def nbytes(j, cell):
        """Of the states."""
        return j.tile * j.pitch * (3 if cell == "lstm" else 2)

    def begin(self):
        """States take turns; sequences that begin later find theirs in either."""
        j, row, at = self.j, self.row, self.first * self.row
        j.copy_rows(j.h0 + at, row, self.base, j.pitch, self.rows)
        j.copy_rows(j.h0 + at, row, self.base + self.states, j.pitch, self.rows)
        if self.cell == "lstm":
            j.copy_rows(j.c0 + at, row, self.cells, j.pitch, self.rows)

    def step(self, n):
        """Turn to the n-th step."""
        j = self.j
        self.t = j.step_of(n)
        self.count = j.active(self.t, self.first, self.rows)
        self.old = self.base + (n & 1) * self.states
        self.new = self.base + ((n & 1) ^ 1) * self.states
        self.own, self.y = j.place(j.gates, self.t, self.first, self.gates), j.place(j.y, self.t, self.first)
        self.extra = j.place(j.extra, self.t, self.first) if self.cell in ("lstm", "gru") else None

    def strips(self, begin, end):
        """The step for strips of units."""
        j, f, gates, row = self.j, self.j.f, self.gates, self.row
        nr, pitch = j.nr, self.gates * j.nr * j.item
        with f.if_(self.count > 0), f.range(begin, end) as s:
            # The gates come from far off, in pieces that no hardware prefetcher follows; the product takes long enough.
            with f.range(self.count) as r:
                here = self.own + (r * (row * gates) + s * (nr * j.item))
                for q in range(gates):
                    j.ahead(here + row * q, nr * j.item)
            j.product(self.count, gates * nr, j.h, self.old, j.pitch, j.item, j.packed + s * (row * (nr * gates)),
                      nr * j.item, row * nr, self.sums, pitch, 0)
            with f.range(self.count) as r:
                for unit, part, mask in j.units(s * nr):
                    total = [j.load(self.sums + (r * pitch + (q * nr + part) * j.item)) for q in range(gates)]
                    self.unit(r, unit * j.item, mask, total)

    def unit(self, r, at, mask, total):
        """A vector of units of sequence r, from the states' part of their gates."""
        j, f, row = self.j, self.j.f, self.row
        places = [self.own + (r * (row * self.gates) + row * q + at) for q in range(self.gates)]
        x = [j.load_part(place, mask) for place in places]
        state, here = r * j.pitch + at, r * row + at
        if self.cell == "lstm":
            u = [a + b for a, b in zip(x, total)]
            i, forget, o = (j.sigmoid(u[q]) for q in (0, 1, 3))
            g = j.tanh(u[2])
            c = f.fma(forget, j.load(self.cells + state), i * g)
            h, values = o * j.tanh(c), (i, forget, g, o)
            j.store(c, self.cells + state)
            j.masked_store(c, self.extra + here, mask)
        elif self.cell == "gru":
            reset, z = j.sigmoid(x[0] + total[0]), j.sigmoid(x[1] + total[1])
            p = total[2] + j.bias(at, mask)
            n = j.tanh(f.fma(reset, p, x[2]))
            h, values = f.fma(j.load(self.old + state) - n, z, n), (reset, z, n)
            j.masked_store(p, self.extra + here, mask)
        else:
            u = x[0] + total[0]
            h, values = j.tanh(u) if self.cell == "tanh" else j.rectified(u), ()
        for place, value in zip(places, values):
            j.masked_store(value, place, mask)
        j.store(h, self.new + state)
        j.masked_store(h, self.y + here, mask)

    def end(self):
        """The states of sequences that end with this step."""
        j, row = self.j, self.row
        low, high = j.last(self.t, self.first, self.count)
        to = (self.first + low) * row
        j.copy_rows(self.y + low * row, row, j.hn + to, row, high - low)
        if self.cell == "lstm":
            j.copy_rows(self.extra + low * row, row, j.cn + to, row, high - low)


def _task(m, cell, dtype):
    """Tile: some sequences, from their first step to their last."""
    f = m.function("rl_recurrent_task", "void", TASK, "internal", "nounwind")
    j = Sequences(f, dtype, ARRAYS, FIELDS)
    states = _Tile.nbytes(j, cell)
    block, base = j.scratch(states + j.tile * (GATES[cell] * j.nr * j.item) + 64)
    with f.range(f.args[1], f.args[2]) as tile:
        some = _Tile(j, cell, tile * j.tile, base, base + states)
        some.begin()
        with f.range(j.steps) as n:
            some.step(n)
            some.strips(f.value(0), j.strips)
            some.end()
    f.call("void", "rl_free", block)
    f.ret()


def _shared_tasks(m, cell, dtype):
    """The same for all sequences in steps that threads share: ``begin``, then for each step ``share`` and ``tail``."""
    for name in ("begin", "share", "tail"):
        f = m.function(f"rl_recurrent_{name}", "void", TASK, "internal", "nounwind")
        j = Sequences(f, dtype, ARRAYS, FIELDS)
        sums = f.buffer(FEW * GATES[cell] * j.nr * j.item) if name == "share" else None
        every = _Tile(j, cell, f.value(0), j.shared, sums)
        if name == "begin":
            every.begin()
        else:
            every.step(j.now)
            if name == "tail":
                every.end()
            else:
                every.strips(*j.group(f.args[1], f.args[2]))
        f.ret()


def write_entry(m, name, arrays, fields, cell, dtype, nbytes, shared):
    """PyObject *name(self, args, n): arrays (or None), then words; packs the weights, then runs the tiles.

    With ``groups`` it calls the ``shared`` functions instead, on memory of ``nbytes(job, cell)``: "begin", then each
    step's "head", "share" (on the pool, a group of strips a task) and "tail", at last "done".
    """
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    args, none, null = f.args[1], Value(f, "@_Py_NoneStruct", "ptr"), Value(f, "null", "ptr")
    count = len(arrays) + len(fields)
    context = f.buffer(8 * (count + 4), 8)
    for k in range(len(arrays)):
        array, data = f.load("ptr", args + 8 * k), f.var("ptr", null)
        with f.if_(array.ne(none)):
            data.set(f.load("ptr", array + DATA))
        f.store(data.get(), context + 8 * k)
    words = f.load("ptr", f.load("ptr", args + 8 * len(arrays)) + DATA)
    for k in range(len(fields)):
        f.store(f.load("i64", words + 8 * k), context + 8 * (len(arrays) + k))
    for k in range(4):
        f.store(f.value(0), context + 8 * (count + k))
    j = Sequences(f, dtype, arrays, fields, context)
    together = j.groups.ne(0)
    packed = j.strips * (GATES[cell] * j.nr * j.h * j.item)
    block = f.call("ptr", "rl_scratch", packed + f.select(together, nbytes(j, cell), f.value(0)))
    with f.if_(block.eq(null)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    place = f.load("ptr", block)
    f.store(place, context + 8 * count)
    f.store(place + packed, context + 8 * (count + 2))
    state = f.call("ptr", "PyEval_SaveThread")
    parts = (j.batch + (j.tile - 1)).udiv(j.tile)
    work = j.h * j.h * GATES[cell]

    def run(task, tasks, size=None):
        address = Value(f, f"@{name}_{task}", "ptr")
        if size is None:
            f.call("void", "rl_parallel_for", address, context, tasks)
            return
        with f.if_else(size < PARALLEL_FROM) as (small, large):
            with small:
                f.call("void", address, context, f.value(0), tasks)
            with large:
                f.call("void", "rl_parallel_for", address, context, tasks)

    def here(task):
        if task in shared:
            f.call("void", f"{name}_{task}", context, f.value(0), f.value(0), declare=False)

    run("pack", j.strips, work)
    with f.if_else(together) as (by_steps, by_tiles):
        with by_steps:
            here("begin")
            with f.range(j.steps) as n:
                f.store(n, context + 8 * (count + 3))
                here("head")
                run("share", j.groups)
                here("tail")
            here("done")
        with by_tiles:
            run("task", parts, work * j.batch * j.steps)
    f.call("void", "rl_free", block)
    f.call("void", "PyEval_RestoreThread", state)
    with f.if_(f.load("i64", context + 8 * (count + 1)).ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    f.call("void", "Py_IncRef", none)
    f.ret(none)
