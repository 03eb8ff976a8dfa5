"""Distances of all pairs of points, and their gradients, without an array of differences.

    distances_kernel(kind, element)(out, x, strips, batches, rows, columns, depth, pairs, p)
        out[b, i, j] = |x[b, i] - y[b, j]|: x (batches, rows, depth), out (batches, rows, columns). ``strips`` has y's
        points as columns, ``WIDTH`` vectors of them side by side: (batches, ceil(columns / width), depth, width). With
        ``pairs`` the points are x's own and out has the distances for i < j only, one after the other.
    slopes_kernel(kind, element)(out, x, y, weights, distances, batches, rows, columns, depth, step, across, p)
        out[b, i] = sum_j weights[b, i, j] * t(x[b, i] - y[b, j]); weights and distances of pair (i, j) are ``i step + j
        across`` elements after those of batch b.

| kind | distance               | t(d)                             |
| ---- | ---------------------- | -------------------------------- |
| zero | number of d != 0       |                                  |
| one  | sum abs(d)             | sign(d)                          |
| two  | root of sum d^2        | d                                |
| inf  | max abs(d)             | sign(d) where abs(d) is distance |
| p    | (sum abs(d)^p)^(1/p)   | sign(d) abs(d)^p, 0 for d = 0    |

Sums are of 128 terms each, in order, and of those. NaN stays NaN in each kind. For slopes of kind p the number ``p`` is
the exponent itself, one less than the distances'.
"""

from functools import cache

from rushlight.compiler.codegen import math
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries
from rushlight.compiler.templates.fft_stages import Lanes
from rushlight.compiler.templates.layout import Layout

WIDTH = 2                       # vectors of a strip
_ROWS = 4                       # points that share what is loaded of a strip
_BLOCK = 128                    # terms of a sum
_UNROLL = 2
_FORWARD = Layout(("out", "x", "strips"), ("batches", "rows", "columns", "depth", "pairs"), ("exponent",))
_BACKWARD = Layout(("out", "x", "y", "weights", "distances"),
                   ("batches", "rows", "columns", "depth", "step", "across"), ("exponent",))


@cache
def distances_kernel(kind, element):
    """The callable for a kind and "float" or "double"."""
    return _load("distances", kind, element, _FORWARD, _write_distances,
                 lambda job: job.batches * blocks.ceil_div(job.columns, _width(element)))


@cache
def slopes_kernel(kind, element):
    """The callable for a kind but zero and "float" or "double"."""
    return _load("slopes", kind, element, _BACKWARD, _write_slopes,
                 lambda job: job.batches * blocks.ceil_div(job.rows, _ROWS))


def _width(element):
    return WIDTH * host().lanes({"float": 4, "double": 8}[element])


def _load(name, kind, element, layout, write, tiles):
    def build():
        m = entries.new_module()
        f = entries.task(m, f"rl_{name}_task")
        write(_Job(f, kind, element, layout))
        f.ret()
        f, job = layout.begin(m, f"rl_{name}")
        job.set(exponent=entries.float_of(f, f.args[1], len(layout.arrays) + len(layout.numbers)))
        work = job.batches * job.rows * job.columns * job.depth
        entries.share(f, f"rl_{name}_task", job.pointer, tiles(job), work)
        entries.none(f)
        return m.text()
    return entries.load(f"{name} {kind} {element} {host().vector_bytes}", build, (f"rl_{name}",))[0]


class _Job:
    """The task of a kernel being written: words by name, and what is done for each difference."""

    def __init__(self, f, kind, element, layout):
        self.f, self.kind, self.v = f, kind, Lanes(f, element)
        self.__dict__.update(layout.load(f, f.args[0]))
        number = f.load("double", layout.words(f, f.args[0]).at("exponent"))
        self.exponent = number if element == "double" else number.cast("fptrunc", "float")
        self.element, self.integer = element, "i64" if element == "double" else "i32"
        self.zero, self.one = f.value(0.0, self.v.vector), f.value(1.0, self.v.vector)

    def power(self, x, exponent):
        return math.pow(self.f, x, self.v.splat(exponent))

    def add(self, total, d):
        """What a difference makes of a sum."""
        f = self.f
        if self.kind == "two":
            return self.v.math.fma(d, d, total)
        if self.kind == "zero":
            return total + f.select(d.isnan(), d, f.select(d.ne(0.0), self.one, self.zero))
        size = math.fabs(f, d)
        if self.kind == "inf":
            # Bits of numbers without a sign are ordered as they are, and NaN comes last.
            a, b = total.cast("bitcast", self.integer), size.cast("bitcast", self.integer)
            return f.select(b > a, b, a).cast("bitcast", self.element)
        return total + (self.power(size, self.exponent) if self.kind == "p" else size)

    def finish(self, total):
        """The distance."""
        if self.kind == "two":
            return self.f.intrinsic("sqrt", total)
        if self.kind == "p":
            return self.power(total, self.f.value(1.0, self.exponent.type) / self.exponent)
        return total

    def slope(self, total, d, weight, distance):
        """The sum with a difference's part in a gradient."""
        f = self.f
        if self.kind == "two":
            return self.v.math.fma(d, weight, total)
        if self.kind == "p":
            part = math.copysign(f, self.power(math.fabs(f, d), self.exponent), d) * weight
            return total + f.select(d.eq(0.0), self.zero, part)
        part = f.select(d > 0.0, weight, f.select(d < 0.0, -weight, self.zero))
        if self.kind == "inf":
            part = f.select(math.fabs(f, d).eq(distance), part, self.zero)
        return total + part


def _write_distances(j):
    f, v, item = j.f, j.v, j.v.item
    width = WIDTH * v.n
    strips = blocks.ceil_div(j.columns, width)
    with f.range(f.args[1], f.args[2]) as tile:
        batch, first = tile.udiv(strips), tile.urem(strips) * width
        strip = j.strips + tile * (j.depth * (width * item))
        points = j.x + batch * (j.rows * j.depth * item)
        left = j.columns - first
        # Of pairs (i, j) with i < j only the rows above the strip's last column.
        end = f.select(j.pairs.ne(0), f.minimum(j.rows, first + width), j.rows)
        with f.range(0, end, step=_ROWS) as row:
            rows = [f.minimum(row + i, j.rows - 1) for i in range(_ROWS)]
            here = [points + r * (j.depth * item) for r in rows]
            totals = [[f.var(v.vector, j.zero) for _ in range(WIDTH)] for _ in rows]
            sums = totals if j.kind == "inf" else [[f.var(v.vector) for _ in range(WIDTH)] for _ in rows]

            def add(m, here=here, sums=sums, strip=strip):
                ys = [v.load(strip + m * (width * item) + k * v.bytes) for k in range(WIDTH)]
                for at, row_sums in zip(here, sums):
                    x = v.broadcast(at + m * item)
                    for y, total in zip(ys, row_sums):
                        total.set(j.add(total.get(), x - y))
            with f.range(0, j.depth, step=_BLOCK) as block:
                stop = f.minimum(block + _BLOCK, j.depth)
                if j.kind != "inf":
                    for total in (t for row_sums in sums for t in row_sums):
                        total.set(j.zero)
                unroll = 1 if j.kind == "p" else _UNROLL
                whole = block + ((stop - block) & -unroll)
                with f.range(block, whole, step=unroll) as m:
                    for k in range(unroll):
                        add(m + k)
                if unroll > 1:
                    with f.range(whole, stop) as m:
                        add(m)
                if j.kind != "inf":
                    for row_totals, row_sums in zip(totals, sums):
                        for total, part in zip(row_totals, row_sums):
                            total.set(total.get() + part.get())
            _put_distances(j, batch, row, first, left, totals)


def _put_distances(j, batch, row, first, left, totals):
    f, v, item = j.f, j.v, j.v.item
    for i, row_totals in enumerate(totals):
        r = row + i
        with f.if_(r < j.rows):
            dense = (batch * j.rows + r) * j.columns
            paired = r * j.columns - ((r * (r + 1)) >> 1) - r - 1
            at = f.select(j.pairs.ne(0), paired, dense) + first
            # Columns up to the row's own are left out.
            skip = f.select(j.pairs.ne(0), blocks.at_least(f, f.minimum(r + 1 - first, f.value(WIDTH * v.n)), 0),
                            f.value(0))
            for k, total in enumerate(row_totals):
                def lanes(n, k=k):
                    return v.first(blocks.at_least(f, n - k * v.n, 0))
                place = j.out + (at + k * v.n) * item
                f.masked_store(j.finish(total.get()), place, lanes(left) & ~lanes(skip))


def _write_slopes(j):
    f, v, item = j.f, j.v, j.v.item
    groups = blocks.ceil_div(j.rows, _ROWS)
    with f.range(f.args[1], f.args[2]) as tile:
        batch, row = tile.udiv(groups), tile.urem(groups) * _ROWS
        rows = [f.minimum(row + i, j.rows - 1) for i in range(_ROWS)]
        points = j.x + batch * (j.rows * j.depth * item)
        others = j.y + batch * (j.columns * j.depth * item)
        pair = batch * (j.rows * j.columns)
        with f.range(0, j.depth, step=WIDTH * v.n) as m:
            masks = [v.first(blocks.at_least(f, j.depth - m - k * v.n, 0)) for k in range(WIDTH)]
            xs = [[f.masked_load(v.vector, points + (r * j.depth + m + k * v.n) * item, mask)
                   for k, mask in enumerate(masks)] for r in rows]
            totals = [[f.var(v.vector, j.zero) for _ in masks] for _ in rows]
            sums = [[f.var(v.vector) for _ in masks] for _ in rows]
            with f.range(0, j.columns, step=_BLOCK) as block:
                for total in (t for row_sums in sums for t in row_sums):
                    total.set(j.zero)
                with f.range(block, f.minimum(block + _BLOCK, j.columns)) as c:
                    ys = [f.masked_load(v.vector, others + (c * j.depth + m + k * v.n) * item, mask)
                          for k, mask in enumerate(masks)]
                    for r, row_xs, row_sums in zip(rows, xs, sums):
                        at = (pair + r * j.step + c * j.across) * item
                        weight = v.broadcast(j.weights + at)
                        distance = v.broadcast(j.distances + at) if j.kind == "inf" else None
                        for x, y, total in zip(row_xs, ys, row_sums):
                            total.set(j.slope(total.get(), x - y, weight, distance))
                for row_totals, row_sums in zip(totals, sums):
                    for total, part in zip(row_totals, row_sums):
                        total.set(total.get() + part.get())
            for i, row_totals in enumerate(totals):
                with f.if_(row + i < j.rows):
                    for k, (total, mask) in enumerate(zip(row_totals, masks)):
                        place = j.out + ((batch * j.rows + row + i) * j.depth + m + k * v.n) * item
                        f.masked_store(total.get(), place, mask)
