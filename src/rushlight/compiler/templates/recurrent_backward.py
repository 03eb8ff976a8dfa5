"""Gradients of ``recurrent``'s sequences through time, as generated code.

    backward(dgates, drec, dh0, dc0, gy, ghn, gcn, gates, extra, y, h0, c0, w, sizes, offsets, words)

From the gradients of y, hn and cn: dgates (rows, q h) of what the inputs contribute to the gates, drec of what the
states do (GRU, where n has its own; else None), and dh0, dc0. The other gradients are products of these with inputs,
states and weights. With the names of ``recurrent`` and d for dh and dc at a step:

    LSTM  do = d_h tanh(c) o (1 - o),  d_c += d_h o (1 - tanh(c)^2),  di = d_c g i (1 - i),  df = d_c c' f (1 - f),
          dg = d_c i (1 - g^2),  d_c' = d_c f
    GRU   dn = d_h (1 - z) (1 - n^2),  dz = d_h (h' - n) z (1 - z),  dr = dn p r (1 - r),  dp = dn r,  d_h' = d_h z
    RNN   d_h (1 - h^2), or d_h where h > 0

and d_h' plus the step's drec times w. Tiles of sequences run from their last step to their first.
"""

from functools import cache

from rushlight.compiler.templates.jobs import TASK, load, new_module
from rushlight.compiler.templates.recurrent import FIELDS, GATES, Sequences, write_entry

ARRAYS = ("dgates", "drec", "dh0", "dc0", "gy", "ghn", "gcn", "gates", "extra", "y", "h0", "c0", "w", "sizes",
          "offsets")
_NAME = "rl_recurrent_backward"


@cache
def kernel(cell, dtype):
    """The backward function of a cell for float32 or float64."""
    return load(f"recurrent_backward {cell}", dtype, lambda d: module_text(cell, d), _NAME)


def module_text(cell, dtype):
    """The IR of the entry and its tasks."""
    m = new_module()
    _pack_task(m, cell, dtype)
    _task(m, cell, dtype)
    _shared_tasks(m, cell, dtype)
    write_entry(m, _NAME, ARRAYS, FIELDS, cell, dtype, _Tile.nbytes, ("head", "share", "done"))
    return m.text()


def _pack_task(m, cell, dtype):
    """Tile: a strip of columns of w, for each gate."""
    f = m.function(f"{_NAME}_pack", "void", TASK, "internal", "nounwind")
    j = Sequences(f, dtype, ARRAYS, FIELDS)
    gates, nr, row = GATES[cell], j.nr, j.h * j.item
    with f.range(f.args[1], f.args[2]) as s:
        for q in range(gates):
            src = j.w + (j.h * q * row + s * (nr * j.item))
            f.call("void", "rl_strip", src, f.value(j.item), row, j.h, f.minimum(j.h - s * nr, f.value(nr)),
                   f.value(nr), j.packed + (s * gates + q) * (row * nr), declare=False)
    f.ret()


class _Tile:
    """Some sequences: gradients of their states and what a step does to them."""

    def __init__(self, j, cell, first, base):
        self.j, self.cell, self.gates, self.first = j, cell, GATES[cell], first
        self.rows = j.f.minimum(j.tile, j.batch - first)
        self.row, states = j.h * j.item, j.tile * j.pitch
        self.dh, self.dc, self.sums = base, base + states, base + states * (2 if cell == "lstm" else 1)

    @staticmethod
    def nbytes(j, cell):
        """Of the states' gradients, and those of the gates of a step."""
        return j.tile * j.pitch * (GATES[cell] + (2 if cell == "lstm" else 1))

    def count_of(self, n):
        """(n-th step from the last, how many sequences it has)."""
        t = self.j.step_of(self.j.steps - 1 - n)
        return t, self.j.active(t, self.first, self.rows)

    def gate_gradients(self, n):
        """Of the n-th step from the last, for all units."""
        j, f, first, row = self.j, self.j.f, self.first, self.row
        t, count = self.count_of(n)
        begins = n.eq(j.steps - 1)
        before = f.select(begins, t, f.select(j.reverse.ne(0), t + 1, t - 1))
        # Sequences that the step before had; the others begin here, from h0 and c0.
        running = f.select(begins, f.value(0), j.active(before, first, self.rows))
        low, high = j.last(t, first, count)
        j.copy_rows(j.ghn + (first + low) * row, row, self.dh + low * j.pitch, j.pitch, high - low)
        if self.cell == "lstm":
            j.copy_rows(j.gcn + (first + low) * row, row, self.dc + low * j.pitch, j.pitch, high - low)
        step = _Step(j, self.cell, t, before, first, running, self.dh, self.dc, self.sums, j.pitch * self.gates)
        with f.range(count) as r, f.range(j.strips) as s:
            step.ahead(r + 1, s * (j.nr * j.item), j.nr * j.item)
            for unit, _, mask in j.units(s * j.nr):
                step.unit(r, unit, mask)

    def products(self, n, begin, end):
        """What the gates of a step give the states before it, for strips of units."""
        j, f, nr, row = self.j, self.j.f, self.j.nr, self.row
        _, count = self.count_of(n)
        with f.if_(count > 0), f.range(begin, end) as s:
            for q in range(self.gates):
                j.product(count, f.minimum(j.h - s * nr, f.value(nr)), j.h, self.sums + j.pitch * q,
                          j.pitch * self.gates, j.item, j.packed + (s * self.gates + q) * (row * nr), nr * j.item, 0,
                          self.dh + s * (nr * j.item), j.pitch, int(self.cell == "gru" or q > 0))

    def done(self):
        j, row, at = self.j, self.row, self.first * self.row
        j.copy_rows(self.dh, j.pitch, j.dh0 + at, row, self.rows)
        if self.cell == "lstm":
            j.copy_rows(self.dc, j.pitch, j.dc0 + at, row, self.rows)


def _task(m, cell, dtype):
    """Tile: some sequences, from their last step to their first."""
    f = m.function(f"{_NAME}_task", "void", TASK, "internal", "nounwind")
    j = Sequences(f, dtype, ARRAYS, FIELDS)
    block, base = j.scratch(_Tile.nbytes(j, cell))
    with f.range(f.args[1], f.args[2]) as tile:
        some = _Tile(j, cell, tile * j.tile, base)
        with f.range(j.steps) as n:
            some.gate_gradients(n)
            some.products(n, f.value(0), j.strips)
        some.done()
    f.call("void", "rl_free", block)
    f.ret()


def _shared_tasks(m, cell, dtype):
    """The same for all sequences in steps that threads share."""
    for name in ("head", "share", "done"):
        f = m.function(f"{_NAME}_{name}", "void", TASK, "internal", "nounwind")
        j = Sequences(f, dtype, ARRAYS, FIELDS)
        every = _Tile(j, cell, f.value(0), j.shared)
        if name == "head":
            every.gate_gradients(j.now)
        elif name == "share":
            every.products(j.now, *j.group(f.args[1], f.args[2]))
        else:
            every.done()
        f.ret()


class _Step:
    """A step of a tile: gradients of the gates from those of the states."""

    def __init__(self, j, cell, t, before, first, running, dh, dc, sums, wide):
        self.j, self.cell, self.gates = j, cell, GATES[cell]
        self.running, self.dh, self.dc, self.sums, self.wide = running, dh, dc, sums, wide
        self.row = j.h * j.item
        self.own, self.dgates = (j.place(a, t, first, self.gates) for a in (j.gates, j.dgates))
        self.gy, self.y = j.place(j.gy, t, first), j.place(j.y, t, first)
        if cell == "lstm":
            self.extra, self.old, self.zeroth = (j.place(j.extra, t, first), j.place(j.extra, before, first),
                                                 j.c0 + first * self.row)
        elif cell == "gru":
            self.extra, self.old, self.zeroth = (j.place(j.extra, t, first), j.place(j.y, before, first),
                                                 j.h0 + first * self.row)
            self.drec = j.place(j.drec, t, first, 3)

    def ahead(self, r, at, nbytes):
        """Fetch what ``unit`` reads and writes for some units of the next sequence."""
        j, row, wide = self.j, self.row, self.row * self.gates
        for q in range(self.gates):
            for array, write in ((self.own, 0), (self.dgates, 1)):
                j.ahead(array + (r * wide + row * q + at), nbytes, write)
        for array in (self.gy, self.extra, self.old) if self.cell in ("lstm", "gru") else (self.gy, self.y):
            j.ahead(array + (r * row + at), nbytes)

    def unit(self, r, unit, mask):
        """A vector of units of sequence r."""
        j, f, row = self.j, self.j.f, self.row
        at = unit * j.item
        here, state = r * row + at, r * j.pitch + at
        d = j.load_part(self.gy + here, mask) + j.load(self.dh + state)
        places = [r * (row * self.gates) + row * q + at for q in range(self.gates)]
        if self.cell in ("lstm", "gru"):
            value = [j.load_part(self.own + place, mask) for place in places]
            known = j.load_part(self.extra + here, mask)
            old = j.load_part(f.select(r < self.running, self.old, self.zeroth) + here, mask)
        if self.cell == "lstm":
            i, forget, g, o = value
            top = j.tanh(known)
            dc = f.fma(d * o, 1.0 - top * top, j.load(self.dc + state))
            own = [dc * g * (i * (1.0 - i)), dc * old * (forget * (1.0 - forget)), dc * i * (1.0 - g * g),
                   d * top * (o * (1.0 - o))]
            j.store(dc * forget, self.dc + state)
            recurrent = own
        elif self.cell == "gru":
            reset, z, new = value
            dn = d * (1.0 - z) * (1.0 - new * new)
            own = [dn * known * (reset * (1.0 - reset)), d * (old - new) * (z * (1.0 - z)), dn]
            recurrent = [*own[:2], dn * reset]
            j.store(d * z, self.dh + state)
            for place, x in zip(places, recurrent):
                j.masked_store(x, self.drec + place, mask)
        else:
            h = j.load_part(self.y + here, mask)
            zero = f.value(0.0, j.vector)
            own = [d * (1.0 - h * h) if self.cell == "tanh" else f.select(h <= zero, zero, d)]
            recurrent = own
        for q, (place, x) in enumerate(zip(places, own)):
            j.masked_store(x, self.dgates + place, mask)
            j.store(recurrent[q], self.sums + (r * self.wide + j.pitch * q + at))
