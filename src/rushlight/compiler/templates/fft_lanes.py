"""Fourier transforms side by side, one a lane: along other dimensions than the last, and of short rows.

    lanes_kernel(element, n, kind, layout)(out, x, turns, tiles, blocks, count, scale)

``kind`` is as in ``fft_rows``; operands and results are C-contiguous. Layouts:

    columns     x (outer, points, count), out alike: a tile is an outer index and a vector's width of the last
                dimension; tiles = outer * blocks, blocks = ceil(count / lanes). What is narrower than a vector goes
                through rows of whole vectors.
    rows        x (count, points): a tile is as many rows as a vector has lanes, turned on their way in and out; blocks
                = tiles.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.fft_rows import KEPT, entry, task
from rushlight.compiler.templates.fft_stages import room, write
from rushlight.compiler.templates.layout import Layout

_JOB = Layout(("out", "x", "turns"), ("tiles", "blocks", "count"), KEPT)


@cache
def lanes_kernel(element, n, kind, layout):
    """The callable for transforms of n complex numbers; made where ``fft_stages.stages(n)`` are."""
    key = f"fft lanes {element} {n} {kind} {layout} {host().vector_bytes}"
    return entries.load(key, lambda: module_text(element, n, kind, layout), ("rl_fft_lanes",))[0]


def module_text(element, n, kind, layout):
    """The IR of the entry and its task."""
    m = entries.new_module()
    t = (_Columns if layout == "columns" else _Rows)(m, element, n, kind)
    t.task()
    entry(m, "rl_fft_lanes", _JOB, lambda job: (job.tiles, job.tiles * (t.v.row * n)))
    return m.text()


class _Lanes:
    """The task of one kernel being written; ``get(k)`` and ``put(k, x)`` reach a tile's operands and results."""

    def __init__(self, m, element, n, kind):
        self.n = n
        self.kind, self.alone = {"doubled": ("half", 0.5), "adjoint": ("real", 2.0)}.get(kind, (kind, 1))
        kind = self.kind
        self.f, self.v, known = task(m, "rl_fft_lanes", element, _JOB)
        self.__dict__.update(known)
        # Complex rows of operands and results: those of real numbers hold two.
        self.rows_in = n + (kind == "real")
        self.rows_out = {"half": n + 1, "full": 2 * n}.get(kind, n)

    def task(self):
        f, v = self.f, self.v
        pad = v.n
        row = v.row
        sizes = [room(self.n) * row, self.n * row, (self.rows_in + pad) * row, (self.rows_out + pad) * row]
        block, memory = entries.scratch_or_leave(f, f.value(sum(sizes)), self.failed)
        self.buffer, self.spectrum, self.taken, self.given = (memory + sum(sizes[:i]) for i in range(4))
        with f.range(f.args[1], f.args[2]) as tile:
            self.tile(tile)
        f.call("void", "rl_free", block)
        f.ret()

    def transform(self, get, put):
        """One tile's transforms."""
        v, n, scale = self.v, self.n, self.scale / self.alone

        def scaled(k, x):
            put(k, (x[0] * scale, x[1] * scale))

        def keep(k, x):
            v.store_planes(x, self.spectrum + k * v.row)

        def kept(k):
            return v.load_planes(self.spectrum + k * v.row)

        if self.kind == "real":
            self.fold(get, keep)
            write(v, n, kept, lambda k, x: scaled(k, x[::-1]), self.buffer)
        elif self.kind in ("half", "full"):
            write(v, n, get, keep, self.buffer)
            self.unfold(kept, scaled)
        else:
            order = -1 if self.kind == "inverse" else 1
            write(v, n, lambda k: get(k)[::order], lambda k, x: scaled(k, x[::order]), self.buffer)

    def turn_at(self, k):
        at = self.turns + k * (2 * self.v.item)
        return self.v.broadcast(at), self.v.broadcast(at + self.v.item)

    def unfold(self, kept, put):
        """As ``fft_rows`` does."""
        f, v, n = self.f, self.v, self.n
        re, im = (x * self.alone for x in kept(f.value(0)))
        put(f.value(0), (re + im, f.value(0.0, v.vector)))
        put(f.value(n), (re - im, f.value(0.0, v.vector)))
        with f.range(1, n) as k:
            (re, im), (mre, mim) = kept(k), kept(n - k)
            even = (re + mre) * 0.5, (im - mim) * 0.5
            odd = v.math.mul(((im + mim) * 0.5, (mre - re) * 0.5), *self.turn_at(k))
            put(k, v.math.add(even, odd))
            if self.kind == "full":
                put(k + n, v.math.sub(even, odd))

    def fold(self, get, keep):
        """As ``fft_rows`` does."""
        f, v, n = self.f, self.v, self.n
        first, last = (get(f.value(k))[0] * self.alone for k in (0, n))
        keep(f.value(0), (first - last, first + last))
        with f.range(1, n) as k:
            (re, im), (mre, mim) = get(k), get(n - k)
            c, s = self.turn_at(k)
            turned = v.math.mul((re - mre, im + mim), c, -s)
            keep(k, (im - mim + turned[0], re + mre - turned[1]))


class _Columns(_Lanes):
    """Lanes are adjacent elements of the last dimension."""

    def tile(self, tile):
        f, v = self.f, self.v
        real_in, real_out = self.kind in ("half", "full"), self.kind == "real"
        size_in, size_out = (v.item if real else 2 * v.item for real in (real_in, real_out))
        many_in, many_out = self.rows_in * (1 + real_in), self.rows_out * (1 + real_out)
        outer, first = tile.udiv(self.blocks), tile.urem(self.blocks) * v.n
        step_in, step_out = self.count * size_in, self.count * size_out
        here = self.x + (outer * (self.count * (many_in * size_in)) + first * size_in)
        there = self.out + (outer * (self.count * (many_out * size_out)) + first * size_out)
        left = self.count - first
        source, target = f.var("ptr", here), f.var("ptr", there)
        from_, to = f.var("i64", step_in), f.var("i64", step_out)
        narrow = left < v.n
        with f.if_(narrow):
            mask = v.first(left, not real_in)
            kind = v.vector if real_in else v.pairs
            with f.range(many_in) as k:
                f.store(f.masked_load(kind, here + k * step_in, mask), self.taken + k * (v.n * size_in), align=v.bytes)
            source.set(self.taken)
            target.set(self.given)
            from_.set(v.n * size_in)
            to.set(v.n * size_out)
        source, target, from_, to_step = source.get(), target.get(), from_.get(), to.get()

        def get(k):
            if real_in:
                at = source + k * (from_ * 2)
                return v.load(at), v.load(at + from_)
            return v.load_pairs(source + k * from_)

        def put(k, x):
            if real_out:
                at = target + k * (to_step * 2)
                v.store(x[0], at)
                v.store(x[1], at + to_step)
            else:
                v.store_pairs(x, target + k * to_step)
        self.transform(get, put)
        with f.if_(narrow):
            mask = v.first(left, not real_out)
            kind = v.vector if real_out else v.pairs
            with f.range(many_out) as k:
                row = f.load(kind, self.given + k * (v.n * size_out), align=v.bytes)
                f.masked_store(row, there + k * step_out, mask)


class _Rows(_Lanes):
    """Lanes are rows."""

    def tile(self, tile):
        f, v = self.f, self.v
        pair, first = 2 * v.item, tile * v.n
        rows = [f.minimum(first + i, self.count - 1) for i in range(v.n)]
        with f.range(0, self.rows_in, step=v.n) as k:
            mask = v.first(self.rows_in - k, True) if self.rows_in % v.n else None
            found = []
            for row in rows:
                at = self.x + (row * (self.rows_in * pair) + k * pair)
                found.append(v.load_pairs(at) if mask is None else v.apart(f.masked_load(v.pairs, at, mask)))
            re, im = (v.transpose([x[part] for x in found]) for part in (0, 1))
            for i, x in enumerate(zip(re, im)):
                v.store_planes(x, self.taken + (k + i) * v.row)
        self.transform(lambda k: v.load_planes(self.taken + k * v.row),
                       lambda k, x: v.store_planes(x, self.given + k * v.row))
        whole = first + v.n <= self.count
        with f.range(0, self.rows_out, step=v.n) as k:
            found = [v.load_planes(self.given + (k + i) * v.row) for i in range(v.n)]
            re, im = (v.transpose([x[part] for x in found]) for part in (0, 1))
            mask = v.first(self.rows_out - k, True) if self.rows_out % v.n else None

            def put(i, row):
                at = self.out + (row * (self.rows_out * pair) + k * pair)
                if mask is None:
                    v.store_pairs((re[i], im[i]), at)
                else:
                    f.masked_store(v.together((re[i], im[i])), at, mask)
            with f.if_else(whole) as (all_, some):
                with all_:
                    for i, row in enumerate(rows):
                        put(i, row)
                with some:
                    for i in range(v.n):
                        with f.if_(first + i < self.count):
                            put(i, first + i)
