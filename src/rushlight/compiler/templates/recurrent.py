"""Whole sequences of recurrent cells (LSTM, GRU, tanh and ReLU), as generated code.

    forward(y, hn, cn, gates, extra, h0, c0, x, w_ih, w, w_hr, b, br, sizes, offsets, words)

``gates`` (rows, q h) holds what the inputs contribute to the q gates of h units and all biases but the GRU's for
the recurrent part of n, which is ``br`` (h); it is overwritten with the activated gates. w (q h, h) holds the
recurrent weights. In order of the gates, with s the logistic function and u what gates hold plus w h:

    LSTM  i, f, g, o = s(u_i), s(u_f), tanh(u_g), s(u_o);  c = f c + i g;  h = o tanh(c)      extra: c
    GRU   r, z = s(u_r), s(u_z);  p = w_n h + br;  n = tanh(gates_n + r p);  h = z (h - n) + n    extra: p
    RNN   h = tanh(u) or max(u, 0)

An LSTM may be *projected*: what it puts out and carries on is then w_hr (o tanh(c)), of ``out`` numbers (elsewhere
out = h), and w is (q h, out). A *joined* kernel makes the inputs' part itself, from x (rows, into), w_ih (q h, into)
and the biases b (q h): a state stands beside the step's input, and one product serves both. Unless the kernel is
*kept*, for backward, gates and extra aren't written where it can do without.

Step t has ``sizes[t]`` sequences, at rows ``offsets[t]`` and on of gates, y, x and extra: all of them for padded
sequences, ever fewer for packed ones; ``reverse`` runs from the last step, where more and more begin. hn and cn are
the states each sequence ends with. Sequences don't meet, so tiles of ``tile`` of them run in parallel, each through all
steps, with the weights packed once for all. Where there are few (one tile of at most ``FEW``) and ``groups`` isn't 0,
threads share each step instead, a group of units each. The bits depend on neither. All arrays are in C order.

Kernels for bfloat16 multiply pairs (``tiles``) of states, inputs and weights and do all else in float32: x, w_ih, w,
h0, y and hn are bfloat16, all other arrays float32, ``into`` and h even. A state is rounded for products and results
only: a GRU carries it in float32, as an LSTM its cells.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import widen
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.jobs import Job, load, new_module

GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}
ARRAYS = ("y", "hn", "cn", "gates", "extra", "h0", "c0", "x", "w_ih", "w", "w_hr", "b", "br", "sizes", "offsets")
FIELDS = ("steps", "batch", "h", "out", "into", "reverse", "tile", "groups")
FEW = 8                         # most sequences whose steps threads share
PARALLEL_FROM = 1 << 15         # multiply-adds


class Form:
    """What a kernel is made for."""

    __slots__ = ("cell", "gates", "projected", "joined", "kept")

    def __init__(self, cell, projected=False, joined=False, kept=True):
        self.cell, self.gates = cell, GATES[cell]
        self.projected, self.joined, self.kept = projected, joined, kept

    def key(self):
        """Tells forms apart."""
        return " ".join([self.cell, *(name for name in self.__slots__[2:] if getattr(self, name))])

    @property
    def sums(self):
        """Products a unit and step: a joined GRU's n has two."""
        return self.gates + (self.joined and self.cell == "gru")


@cache
def kernel(cell, dtype, projected=False, joined=False, kept=True):
    """The forward function of a cell for float32 or float64, or where pairs are multiplied bfloat16."""
    form = Form(cell, projected, joined, kept)
    return load(f"recurrent {form.key()}", dtype, lambda d: module_text(form, d), "rl_recurrent", factors(dtype))


def factors(dtype):
    """What ``tiles`` multiplies."""
    return "pairs" if dtype == "bfloat16" else None


class Sequences(Job):
    """The job of a task: words, packed weights and shorthands."""

    def __init__(self, f, dtype, form, arrays, fields, context=None):
        super().__init__(f, dtype, arrays, (*fields, "packed"), context)
        self.form, self.gate_count = form, form.gates
        end = len(arrays) + len(fields)
        self.packed, self.shared = (f.load("ptr", self.context + 8 * (end + k)) for k in (0, 2))
        self.now = f.load("i64", self.context + 8 * (end + 3))
        if not form.projected:
            self.out = self.h
        self.pitch = self.row_bytes(self.h)
        self.carried = form.cell == "lstm" or form.cell == "gru" and self.half      # besides what products take
        self.strips, self.out_strips = ((n + (self.nr - 1)).udiv(self.nr) for n in (self.h, self.out))

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

    def terms(self, n):
        """Of a sum over n elements."""
        return n.lshr(1) if self.half else n

    def get(self, place, mask=None):
        """A vector of the arrays' type, for computing."""
        if not self.half:
            return self.load(place, mask)
        kind = vector(self.memory, self.lanes)
        return widen(self.f.load(kind, place, align=2) if mask is None else self.f.masked_load(kind, place, mask),
                     self.dtype)

    def put(self, value, place, mask=None):
        """Store a vector as the arrays' type."""
        if self.half:
            # (Takes subnormal numbers for zero, as products of pairs do.)
            f, kind = self.f, vector(self.memory, self.lanes)
            short = f.call(f"<{self.lanes} x bfloat>", "llvm.x86.avx512bf16.cvtneps2bf16.512", value)
            value = f.emit(kind, f"bitcast {short.type} {short.name} to {kind}")
            if mask is None:
                f.store(value, place, align=2)
                return
        self.store(value, place, mask)

    def ahead(self, place, nbytes, write=0):
        """Fetch memory that will be needed into the cache."""
        for at in range(0, nbytes, 64):
            self.f.prefetch(place + at, write)

    def copy_rows(self, src, src_pitch, dst, dst_pitch, rows, n):
        """Rows of n elements of the compute type."""
        f = self.f
        with f.range(rows) as r, f.range(0, n, step=self.lanes) as c:
            mask, at = self.below(n - c), c * self.item
            self.store(self.load(src + (r * src_pitch + at), mask), dst + (r * dst_pitch + at), mask)

    def copy_states(self, src, src_pitch, dst, dst_pitch, rows, n, wide=False):
        """Rows of n elements of the arrays' type; ``wide`` ones of the compute type come of them."""
        f, kind = self.f, vector(self.memory, self.lanes)
        with f.range(rows) as r, f.range(0, n, step=self.lanes) as c:
            mask = self.below(n - c)
            x = f.masked_load(kind, src + (r * src_pitch + c * self.size), mask)
            to = self.item if wide else self.size
            f.masked_store(widen(x, self.dtype) if wide else x, dst + (r * dst_pitch + c * to), mask)

    def units(self, first):
        """(unit, offset in the strip, lanes that are units) of the vectors of the strip that begins with ``first``."""
        for part in range(self.nr // self.lanes):
            unit = first + part * self.lanes
            yield unit, part * self.lanes, self.below(self.h - unit)

    def group(self, begin, end, strips):
        """The strips of groups [begin, end)."""
        return (begin * strips).udiv(self.groups), (end * strips).udiv(self.groups)

    def step_of(self, n):
        """The n-th step in the direction of the run."""
        return self.f.select(self.reverse.ne(0), self.steps - 1 - n, n)

    def active(self, t, first, rows):
        """How many of a tile's sequences step t has."""
        f = self.f
        n = f.load("i64", self.sizes + t * 8) - first
        return f.select(n < 0, f.value(0), f.minimum(n, rows))

    def place(self, array, t, first, nbytes):
        """Where the rows of step t begin for a tile, in an array with rows of so many bytes."""
        return array + (self.f.load("i64", self.offsets + t * 8) + first) * nbytes

    def strip(self, src, minor, major, depth, valid, dst):
        """Pack a strip of columns: ``valid`` of them, element p of column j at j minor + p major."""
        self.f.call("void", "rl_strip", src, minor, major, depth, self.f.minimum(valid, self.f.value(self.nr)),
                    self.f.value(self.nr), dst, declare=False)

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


def module_text(form, dtype):
    """The IR of the entry and its tasks."""
    m = new_module()
    _pack_task(m, form, dtype)
    _task(m, form, dtype)
    _shared_tasks(m, form, dtype)
    each = [("share", True), ("project", True)] if form.projected else [("share", True)]
    write_entry(m, "rl_recurrent", ARRAYS, FIELDS, form, dtype, _Tile.nbytes, _packed_bytes,
                (["begin"], [*each, ("tail", False)], []))
    return m.text()


def _depth(j):
    """What a unit's sums are over."""
    return j.into + j.out if j.form.joined else j.out


def _state_bytes(j):
    """Of a state in scratch memory. Whole strips are stored; behind inputs they may begin anywhere."""
    n = _depth(j) + j.lanes if j.form.joined else j.out
    return ((n + (j.lanes - 1)) & -j.lanes) * j.size + 64


def _packed_bytes(j):
    """Of the packed weights; those of the projection come after the others."""
    units = j.strips * (j.terms(_depth(j)) * (j.gate_count * j.nr * j.item))
    return units, units + j.out_strips * (j.h * (j.nr * j.item)) if j.form.projected else units


def _pack_task(m, form, dtype):
    """Tile: a strip of units, for each gate: columns of the weights' transposes; or one of the projection's."""
    f = entries.task(m, "rl_recurrent_pack")
    j = Sequences(f, dtype, form, ARRAYS, FIELDS)
    gates, nr, item, size, depth = form.gates, j.nr, j.item, j.size, j.terms(_depth(j))
    into = j.terms(j.into) if form.joined else f.value(0)

    def units(s):
        for q in range(gates):
            to, row = j.packed + (s * gates + q) * (depth * (nr * item)), s * nr + j.h * q
            if form.joined:
                j.strip(j.w_ih + row * (j.into * size), j.into * size, f.value(item), into, j.h - s * nr, to)
            j.strip(j.w + row * (j.out * size), j.out * size, f.value(item), j.terms(j.out), j.h - s * nr,
                    to + into * (nr * item))

    with f.range(f.args[1], f.args[2]) as s:
        if not form.projected:
            units(s)
        else:
            with f.if_else(s < j.strips) as (first, second):
                with first:
                    units(s)
                with second:
                    p = s - j.strips
                    j.strip(j.w_hr + p * nr * (j.h * item), j.h * item, f.value(item), j.h, j.out - p * nr,
                            j.packed + _packed_bytes(j)[0] + p * (j.h * (nr * item)))
    f.ret()


class _Tile:
    """Some sequences: their states and what a step does to them.

    In scratch memory: the states, which take turns, each behind the inputs of its step where these are joined; the
    cells (or what else is carried); what is to be projected.
    """

    def __init__(self, j, first, base, sums):
        f = j.f
        self.j, self.form, self.first, self.base, self.sums = j, j.form, first, base, sums
        self.cell, self.gates = j.form.cell, j.form.gates
        self.rows = f.minimum(j.tile, j.batch - first)
        self.row, self.out_row = j.h * j.item, j.out * j.size
        self.into = j.into * j.size if j.form.joined else f.value(0)
        self.depth = j.terms(_depth(j))
        self.pitch = _state_bytes(j)
        self.states = j.tile * self.pitch
        self.cells = base + self.states * 2
        self.hidden = self.cells + j.tile * j.pitch

    @staticmethod
    def nbytes(j):
        """Of scratch memory."""
        form = j.form
        return j.tile * (_state_bytes(j) * 2 + j.pitch * (j.carried + form.projected))

    def begin(self):
        """Sequences that begin later find their states in either turn."""
        j, at = self.j, self.first * self.out_row
        for turn in (self.base, self.base + self.states):
            j.copy_states(j.h0 + at, self.out_row, turn + self.into, self.pitch, self.rows, j.out)
        if self.cell == "lstm":
            j.copy_rows(j.c0 + self.first * self.row, self.row, self.cells, j.pitch, self.rows, j.h)
        elif j.carried:
            j.copy_states(j.h0 + at, self.out_row, self.cells, j.pitch, self.rows, j.h, True)

    def step(self, n):
        """Turn to the n-th step."""
        j = self.j
        self.t = j.step_of(n)
        self.count = j.active(self.t, self.first, self.rows)
        self.old = self.base + (n & 1) * self.states
        self.new = self.base + ((n & 1) ^ 1) * self.states
        self.y = j.place(j.y, self.t, self.first, self.out_row)
        self.own = j.place(j.gates, self.t, self.first, self.row * self.gates)
        self.extra = j.place(j.extra, self.t, self.first, self.row) if self.cell in ("lstm", "gru") else None

    def inputs(self):
        """Put the step's inputs beside the states."""
        j = self.j
        if self.form.joined:
            x = j.place(j.x, self.t, self.first, self.into)
            j.copy_states(x, self.into, self.old, self.pitch, self.count, j.into)

    def strips(self, begin, end):
        """The step for strips of units."""
        j, f, gates, row, nr, item = self.j, self.j.f, self.gates, self.row, self.j.nr, self.j.item
        wide, strip = self.form.sums * nr * item, self.depth * (nr * item)
        with f.if_(self.count > 0), f.range(begin, end) as s:
            # The gates come from far off, in pieces that no hardware prefetcher follows; the product takes long enough.
            if self.form.kept or not self.form.joined:
                with f.range(self.count) as r:
                    here = self.own + (r * (row * gates) + s * (nr * item))
                    for q in range(gates):
                        j.ahead(here + row * q, nr * item, int(self.form.joined))
            weights = j.packed + s * (strip * gates)

            def product(gates, depth, old, weights, sums):
                def multiply(columns, q):
                    j.product(self.count, columns, depth, old, self.pitch, item, weights + strip * q, nr * item, strip,
                              sums + q * nr * item, wide, 0)
                # Of a last strip that is half empty, a half.
                with f.if_else(j.h - s * nr > j.lanes) as (whole, half):
                    with whole:
                        multiply(gates * nr, 0)
                    with half:
                        for q in range(gates):
                            multiply(j.lanes, q)

            if self.form.sums == gates:
                product(gates, self.depth, self.old, weights, self.sums)
            else:
                # What inputs and states give to n stays apart.
                last, of_n, into = weights + strip * 2, self.sums + 2 * nr * item, j.terms(j.into)
                product(2, self.depth, self.old, weights, self.sums)
                product(1, into, self.old, last, of_n)
                product(1, j.terms(j.out), self.old + self.into, last + into * (nr * item), of_n + nr * item)
            biases = {part: self.biases(unit, mask) for unit, part, mask in j.units(s * nr)}
            with f.range(self.count) as r:
                for unit, part, mask in j.units(s * nr):
                    total = [j.load(self.sums + (r * wide + (q * nr + part) * item)) for q in range(self.form.sums)]
                    self.unit(r, unit, mask, total, *biases[part])

    def biases(self, unit, mask):
        """(of the gates, where the kernel adds them; of the GRU's n) for a vector of units."""
        j, at = self.j, unit * self.j.item
        own = [j.load(j.b + self.row * q + at, mask) for q in range(self.gates)] if self.form.joined else None
        return own, j.load(j.br + at, mask) if self.cell == "gru" else None

    def unit(self, r, unit, mask, total, bias, of_n):
        """A vector of units of sequence r, from the products for their gates."""
        j, f, row, kept = self.j, self.j.f, self.row, self.form.kept
        at, state = unit * j.item, self.into + (r * self.pitch + unit * j.size)
        places = [self.own + (r * (row * self.gates) + row * q + at) for q in range(self.gates)]
        x = bias or [j.load(place, mask) for place in places]
        u = [a + b for a, b in zip(x, total)]
        cells, here = r * j.pitch + at, r * row + at
        if self.cell == "lstm":
            i, forget, o = (j.sigmoid(u[q]) for q in (0, 1, 3))
            g = j.tanh(u[2])
            c = f.fma(forget, j.load(self.cells + cells), i * g)
            h, values = o * j.tanh(c), (i, forget, g, o)
            j.store(c, self.cells + cells)
            more = c
        elif self.cell == "gru":
            reset, z = j.sigmoid(u[0]), j.sigmoid(u[1])
            p = total[-1] + of_n
            n = j.tanh(f.fma(reset, p, u[2] if self.form.joined else x[2]))
            old = j.load(self.cells + cells) if j.carried else j.get(self.old + state)
            h, values, more = f.fma(old - n, z, n), (reset, z, n), p
            if j.carried:
                j.store(h, self.cells + cells)
        else:
            h, values, more = j.tanh(u[0]) if self.cell == "tanh" else j.rectified(u[0]), (), None
        if kept:
            for place, value in zip(places, values):
                j.store(value, place, mask)
            if more is not None:
                j.store(more, self.extra + here, mask)
        if self.form.projected:
            j.store(h, self.hidden + cells)
        else:
            j.put(h, self.new + state)
            j.put(h, self.y + (r * self.out_row + unit * j.size), mask)

    def project(self, begin, end):
        """The states from what is hidden, for strips of their elements."""
        j, f, nr, item = self.j, self.j.f, self.j.nr, self.j.item
        weights, strip = j.packed + _packed_bytes(j)[0], j.h * (nr * item)
        with f.if_(self.count > 0), f.range(begin, end) as s:
            j.product(self.count, f.minimum(j.out - s * nr, f.value(nr)), j.h, self.hidden, j.pitch, item,
                      weights + s * strip, nr * item, 0, self.new + self.into + s * (nr * item), self.pitch, 0)

    def end(self):
        """Put out what is projected, and the states of sequences that end with this step."""
        j = self.j
        states = self.new + self.into
        if self.form.projected:
            j.copy_states(states, self.pitch, self.y, self.out_row, self.count, j.out)
        low, high = j.last(self.t, self.first, self.count)
        to = self.first + low
        j.copy_states(states + low * self.pitch, self.pitch, j.hn + to * self.out_row, self.out_row, high - low, j.out)
        if self.cell == "lstm":
            j.copy_rows(self.cells + low * j.pitch, j.pitch, j.cn + to * self.row, self.row, high - low, j.h)


def _sums_bytes(j):
    return j.form.sums * j.nr * j.item


def _task(m, form, dtype):
    """Tile: some sequences, from their first step to their last."""
    f = entries.task(m, "rl_recurrent_task")
    j = Sequences(f, dtype, form, ARRAYS, FIELDS)
    states = _Tile.nbytes(j)
    block, base = j.scratch(states + j.tile * _sums_bytes(j) + 64)
    with f.range(f.args[1], f.args[2]) as tile:
        some = _Tile(j, tile * j.tile, base, base + states)
        some.begin()
        with f.range(j.steps) as n:
            some.step(n)
            some.inputs()
            some.strips(f.value(0), j.strips)
            if form.projected:
                some.project(f.value(0), j.out_strips)
            some.end()
    f.call("void", "rl_free", block)
    f.ret()


def _shared_tasks(m, form, dtype):
    """The same for all sequences in steps that threads share."""
    for name in ("begin", "share", *(["project"] if form.projected else []), "tail"):
        f = entries.task(m, f"rl_recurrent_{name}")
        j = Sequences(f, dtype, form, ARRAYS, FIELDS)
        sums = f.buffer(FEW * _sums_bytes(j)) if name == "share" else None
        every = _Tile(j, f.value(0), j.shared, sums)
        if name == "begin":
            every.begin()
        else:
            every.step(j.now)
            if name == "share":
                every.strips(*j.group(f.args[1], f.args[2], j.strips))
            elif name == "project":
                every.project(*j.group(f.args[1], f.args[2], j.out_strips))
            else:
                every.end()
        f.ret()


def write_entry(m, name, arrays, fields, form, dtype, nbytes, packed_bytes, phases):
    """PyObject *name(self, args, n): arrays (or None), then words; packs the weights, then runs the tiles.

    With ``groups`` it calls other functions instead, on memory of ``nbytes(job)``: ``phases`` names those before all
    steps, those of each step, as (name, shared), and those after the last. A shared one runs on the pool, a group of
    strips a task.
    """
    f, context = entries.begin(m, name, len(arrays), len(fields), 4)
    count = len(arrays) + len(fields)
    j = Sequences(f, dtype, form, arrays, fields, context)
    together = j.groups.ne(0)
    packed = packed_bytes(j)[1]
    parts = (j.batch + (j.tile - 1)).udiv(j.tile)
    work = _depth(j) * j.h * form.gates

    def here(task):
        f.call("void", f"{name}_{task}", context, f.value(0), f.value(0), declare=False)

    before, each, after = phases
    nbytes = packed + f.select(together, nbytes(j), f.value(0))
    with entries.released(f), entries.with_scratch(f, nbytes, context + j.failed) as memory:
        f.store(memory, context + 8 * count)
        f.store(memory + packed, context + 8 * (count + 2))
        strips = j.strips + j.out_strips if form.projected else j.strips
        entries.here_or_pool(f, work < PARALLEL_FROM, f"{name}_pack", context, strips)
        with f.if_else(together) as (by_steps, by_tiles):
            with by_steps:
                for task in before:
                    here(task)
                with f.range(j.steps) as n:
                    f.store(n, context + 8 * (count + 3))
                    for task, shared in each:
                        if shared:
                            entries.pool(f, f"{name}_{task}", context, j.groups)
                        else:
                            here(task)
                for task in after:
                    here(task)
            with by_tiles:
                entries.here_or_pool(f, work * j.batch * j.steps < PARALLEL_FROM, f"{name}_task", context, parts)
    entries.done(f, f.load("i64", context + j.failed))
