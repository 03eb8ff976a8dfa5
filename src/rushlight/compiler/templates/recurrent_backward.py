"""Gradients of ``recurrent``'s sequences through time, as generated code.

    backward(dgates, drec, dh0, dc0, dout, hidden, gy, ghn, gcn, gates, extra, y, h0, c0, w, w_hr, sizes, offsets,
             words)

From the gradients of y, hn and cn: dgates (rows, q h) of what the inputs contribute to the gates, drec of what the
states do (GRU, where n has its own; else None), and dh0, dc0. The other gradients are products of these with inputs,
states and weights. With the names of ``recurrent`` and d for dh and dc at a step:

    LSTM  do = d_h tanh(c) o (1 - o),  d_c += d_h o (1 - tanh(c)^2),  di = d_c g i (1 - i),  df = d_c c' f (1 - f),
          dg = d_c i (1 - g^2),  d_c' = d_c f
    GRU   dn = d_h (1 - z) (1 - n^2),  dz = d_h (h' - n) z (1 - z),  dr = dn p r (1 - r),  dp = dn r,  d_h' = d_h z
    RNN   d_h (1 - h^2), or d_h where h > 0

and d_h' plus the step's drec times w. Of a projected LSTM d_h is d_out times w_hr; d_out (rows, out) and what was
projected, o tanh(c), go to ``dout`` and ``hidden`` for the gradient of w_hr. Tiles of sequences run from their last
step to their first. Rows of dgates and drec are ``wide`` bytes apart.

Kernels for bfloat16 multiply pairs: dgates, drec, gy, y, h0 and w are bfloat16, w as its transpose (out, q h), all else
is float32, h even.
"""

from functools import cache

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.jobs import load, new_module
from rushlight.compiler.templates.recurrent import FIELDS as _FIELDS
from rushlight.compiler.templates.recurrent import Form, Sequences, factors, write_entry

ARRAYS = ("dgates", "drec", "dh0", "dc0", "dout", "hidden", "gy", "ghn", "gcn", "gates", "extra", "y", "h0", "c0", "w",
          "w_hr", "sizes", "offsets")
FIELDS = (*_FIELDS, "wide")
_NAME = "rl_recurrent_backward"


@cache
def kernel(cell, dtype, projected=False):
    """The backward function of a cell for float32 or float64, or where pairs are multiplied bfloat16."""
    form = Form(cell, projected)
    return load(f"recurrent_backward {form.key()}", dtype, lambda d: module_text(form, d), _NAME, factors(dtype))


def module_text(form, dtype):
    """The IR of the entry and its tasks."""
    m = new_module()
    _pack_task(m, form, dtype)
    _task(m, form, dtype)
    _shared_tasks(m, form, dtype)
    each = [("head", False), *([("hidden", True)] if form.projected else []), ("share", True)]
    write_entry(m, _NAME, ARRAYS, FIELDS, form, dtype, _Tile.nbytes, _packed_bytes, ([], each, ["done"]))
    return m.text()


def _packed_bytes(j):
    """Of the packed weights; those of the projection come after the others."""
    states = j.out_strips * (j.terms(j.h) * (j.gate_count * j.nr * j.item))
    return states, states + j.strips * (j.out * (j.nr * j.item)) if j.form.projected else states


def _pack_task(m, form, dtype):
    """Tile: a strip of columns of w, for each gate; or one of the projection's."""
    f = entries.task(m, f"{_NAME}_pack")
    j = Sequences(f, dtype, form, ARRAYS, FIELDS)
    gates, nr, item = form.gates, j.nr, j.item
    row, strip = j.out * item, j.terms(j.h) * (nr * item)

    def states(s):
        for q in range(gates):
            to = j.packed + (s * gates + q) * strip
            if j.half:
                column = j.h * (gates * j.size)
                j.strip(j.w + (s * nr * column + j.h * (q * j.size)), column, f.value(item), j.terms(j.h),
                        j.out - s * nr, to)
            else:
                j.strip(j.w + (j.h * q * row + s * (nr * item)), f.value(item), row, j.h, j.out - s * nr, to)

    with f.range(f.args[1], f.args[2]) as s:
        if not form.projected:
            states(s)
        else:
            with f.if_else(s < j.out_strips) as (first, second):
                with first:
                    states(s)
                with second:
                    p = s - j.out_strips
                    j.strip(j.w_hr + p * (nr * item), f.value(item), j.h * item, j.out, j.h - p * nr,
                            j.packed + _packed_bytes(j)[0] + p * (j.out * (nr * item)))
    f.ret()


class _Tile:
    """Some sequences: gradients of their states and what a step does to them."""

    def __init__(self, j, first, base):
        self.j, self.form, self.first = j, j.form, first
        self.cell, self.gates = j.form.cell, j.form.gates
        self.rows = j.f.minimum(j.tile, j.batch - first)
        self.row, self.out_row, self.pitch = j.h * j.item, j.out * j.item, j.row_bytes(j.out)
        self.gate = j.h * j.size                # of rows of dgates and drec
        self.dh, self.dc = base, base + j.tile * self.pitch
        self.hidden = self.dc + j.tile * j.pitch

    @staticmethod
    def nbytes(j):
        """Of the states' gradients, and those of what is projected."""
        return j.tile * (j.row_bytes(j.out) + j.pitch * ((j.form.cell == "lstm") + j.form.projected))

    def step(self, n):
        """Turn to the n-th step from the last."""
        self.last = n.eq(self.j.steps - 1)
        self.t = self.j.step_of(self.j.steps - 1 - n)
        self.count = self.j.active(self.t, self.first, self.rows)

    def head(self):
        """Sequences that end here get the gradients of their last states; what is projected, its own."""
        j, row, out_row = self.j, self.row, self.out_row
        low, high = j.last(self.t, self.first, self.count)
        from_ = self.first + low
        j.copy_rows(j.ghn + from_ * out_row, out_row, self.dh + low * self.pitch, self.pitch, high - low, j.out)
        if self.cell == "lstm":
            j.copy_rows(j.gcn + from_ * row, row, self.dc + low * j.pitch, j.pitch, high - low, j.h)
        if self.form.projected:
            f, gy, dout = j.f, *(j.place(a, self.t, self.first, self.out_row) for a in (j.gy, j.dout))
            with f.range(self.count) as r, f.range(0, j.out, step=j.lanes) as c:
                mask, at = j.below(j.out - c), r * self.out_row + c * j.item
                d = j.load(gy + at, mask) + j.load(self.dh + (r * self.pitch + c * j.item))
                j.store(d, dout + at, mask)

    def before_projection(self, begin, end):
        """The gradients of what is projected, for strips of units."""
        j, f, nr, item = self.j, self.j.f, self.j.nr, self.j.item
        dout = j.place(j.dout, self.t, self.first, self.out_row)
        weights, strip = j.packed + _packed_bytes(j)[0], j.out * (nr * item)
        with f.if_(self.count > 0), f.range(begin, end) as s:
            j.product(self.count, f.minimum(j.h - s * nr, f.value(nr)), j.out, dout, self.out_row, item,
                      weights + s * strip, nr * item, 0, self.hidden + s * (nr * item), j.pitch, 0)

    def gate_gradients(self, begin, end):
        """Of strips of units."""
        j, f, first = self.j, self.j.f, self.first
        before = f.select(self.last, self.t, f.select(j.reverse.ne(0), self.t + 1, self.t - 1))
        # Sequences that the step before had; the others begin here, from h0 and c0.
        running = f.select(self.last, f.value(0), j.active(before, first, self.rows))
        step = _Step(self, before, running)
        with f.range(self.count) as r, f.range(begin, end) as s:
            step.ahead(r + 1, s * j.nr, j.nr)
            for unit, _, mask in j.units(s * j.nr):
                step.unit(r, unit, mask)

    def products(self, begin, end):
        """What the gates of a step give the states before it, for strips of their elements."""
        j, f, nr, item = self.j, self.j.f, self.j.nr, self.j.item
        own = j.place(j.drec if self.cell == "gru" else j.dgates, self.t, self.first, j.wide)
        depth = j.terms(j.h)
        strip = depth * (nr * item)
        with f.if_(self.count > 0), f.range(begin, end) as s:
            for q in range(self.gates):
                j.product(self.count, f.minimum(j.out - s * nr, f.value(nr)), depth, own + self.gate * q, j.wide, item,
                          j.packed + (s * self.gates + q) * strip, nr * item, 0, self.dh + s * (nr * item), self.pitch,
                          int(self.cell == "gru" or q > 0))

    def done(self):
        j, row = self.j, self.row
        j.copy_rows(self.dh, self.pitch, j.dh0 + self.first * self.out_row, self.out_row, self.rows, j.out)
        if self.cell == "lstm":
            j.copy_rows(self.dc, j.pitch, j.dc0 + self.first * row, row, self.rows, j.h)


def _task(m, form, dtype):
    """Tile: some sequences, from their last step to their first."""
    f = entries.task(m, f"{_NAME}_task")
    j = Sequences(f, dtype, form, ARRAYS, FIELDS)
    block, base = j.scratch(_Tile.nbytes(j))
    zero = f.value(0)
    with f.range(f.args[1], f.args[2]) as tile:
        some = _Tile(j, tile * j.tile, base)
        with f.range(j.steps) as n:
            some.step(n)
            some.head()
            if form.projected:
                some.before_projection(zero, j.strips)
            some.gate_gradients(zero, j.strips)
            some.products(zero, j.out_strips)
        some.done()
    f.call("void", "rl_free", block)
    f.ret()


def _shared_tasks(m, form, dtype):
    """The same for all sequences in steps that threads share."""
    for name in ("head", *(["hidden"] if form.projected else []), "share", "done"):
        f = entries.task(m, f"{_NAME}_{name}")
        j = Sequences(f, dtype, form, ARRAYS, FIELDS)
        every = _Tile(j, f.value(0), j.shared)
        if name == "done":
            every.done()
            f.ret()
            continue
        every.step(j.now)
        if name == "head":
            every.head()
            if not form.projected:
                every.gate_gradients(f.value(0), j.strips)
        elif name == "hidden":
            part = j.group(f.args[1], f.args[2], j.strips)
            every.before_projection(*part)
            every.gate_gradients(*part)
        else:
            every.products(*j.group(f.args[1], f.args[2], j.out_strips))
        f.ret()


class _Step:
    """A step of a tile: gradients of the gates from those of the states."""

    def __init__(self, tile, before, running):
        j, t, first = tile.j, tile.t, tile.first
        self.j, self.cell, self.gates, self.running, self.tile = j, tile.cell, tile.gates, running, tile
        self.row, self.short = row, short = j.h * j.item, j.h * j.size
        self.own, self.dgates = j.place(j.gates, t, first, row * self.gates), j.place(j.dgates, t, first, j.wide)
        if tile.form.projected:
            self.known = j.place(j.hidden, t, first, row)
        else:
            self.gy, self.y = j.place(j.gy, t, first, short), j.place(j.y, t, first, short)
        if self.cell == "lstm":
            self.extra, self.old, self.zeroth = (j.place(j.extra, t, first, row), j.place(j.extra, before, first, row),
                                                 j.c0 + first * row)
        elif self.cell == "gru":
            self.extra, self.old, self.zeroth = (j.place(j.extra, t, first, row), j.place(j.y, before, first, short),
                                                 j.h0 + first * short)
            self.drec = j.place(j.drec, t, first, j.wide)

    def ahead(self, r, unit, count):
        """Fetch what ``unit`` reads and writes for some units of the next sequence."""
        j, row, short = self.j, self.row, self.short
        for q in range(self.gates):
            j.ahead(self.own + (r * (row * self.gates) + row * q + unit * j.item), count * j.item)
            j.ahead(self.dgates + (r * j.wide + short * q + unit * j.size), count * j.size, 1)
        of_arrays = [] if self.tile.form.projected else [self.gy]
        wide = [self.extra] if self.cell in ("lstm", "gru") else []
        if self.cell == "lstm":
            wide.append(self.old)
        else:
            of_arrays.append(self.old if self.cell == "gru" else self.y)
        for array in wide:
            j.ahead(array + (r * row + unit * j.item), count * j.item)
        for array in of_arrays:
            j.ahead(array + (r * short + unit * j.size), count * j.size)

    def unit(self, r, unit, mask):
        """A vector of units of sequence r."""
        j, f, row, tile = self.j, self.j.f, self.row, self.tile
        at, short_at = unit * j.item, unit * j.size
        here, cells, short = r * row + at, r * j.pitch + at, r * self.short + short_at
        if tile.form.projected:
            d = j.load(tile.hidden + cells)
        else:
            d = j.get(self.gy + short, mask) + j.load(tile.dh + (r * tile.pitch + at))
        if self.cell in ("lstm", "gru"):
            value = [j.load(self.own + (r * (row * self.gates) + row * q + at), mask) for q in range(self.gates)]
            known = j.load(self.extra + here, mask)
            before = f.select(r < self.running, self.old, self.zeroth)
            old = j.load(before + here, mask) if self.cell == "lstm" else j.get(before + short, mask)
        places = [r * j.wide + self.short * q + short_at for q in range(self.gates)]
        if self.cell == "lstm":
            i, forget, g, o = value
            top = j.tanh(known)
            dc = f.fma(d * o, 1.0 - top * top, j.load(tile.dc + cells))
            own = [dc * g * (i * (1.0 - i)), dc * old * (forget * (1.0 - forget)), dc * i * (1.0 - g * g),
                   d * top * (o * (1.0 - o))]
            j.store(dc * forget, tile.dc + cells)
            if tile.form.projected:
                j.store(o * top, self.known + here, mask)
        elif self.cell == "gru":
            reset, z, new = value
            dn = d * (1.0 - z) * (1.0 - new * new)
            own = [dn * known * (reset * (1.0 - reset)), d * (old - new) * (z * (1.0 - z)), dn]
            j.store(d * z, tile.dh + (r * tile.pitch + at))
            for place, x in zip(places, [*own[:2], dn * reset]):
                j.put(x, self.drec + place, mask)
        else:
            h = j.get(self.y + short, mask)
            zero = f.value(0.0, j.vector)
            own = [d * (1.0 - h * h) if self.cell == "tanh" else f.select(h <= zero, zero, d)]
        for place, x in zip(places, own):
            j.put(x, self.dgates + place, mask)
