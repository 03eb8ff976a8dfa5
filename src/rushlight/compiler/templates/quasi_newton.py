"""What L-BFGS does between evaluations, as tasks of ``phases``: flat vectors of all parameters, the two loops, moves.

All tasks have one context, int64 words by the names in ``WORDS`` (pointers, counts, bits of doubles):

    gather      flat <- gradients (or parameters), with max |g|, sum |g| and the product with another vector   tiles
    sums        these of all tiles
    direction   y = g - before, s = t d; where y s > 1e-10 they are remembered; then d = -H g by the two loops
    move        p <- p + t d, or start + t d, unless ``go`` is 0                                              tiles

A pass of the two loops goes through memory once: what a vector becomes, its product with the next vector that is asked
for, and its largest magnitude. Passes are cut in chunks of fixed length whose sums are added in order.

Source: Nocedal and Wright, Numerical optimization, 2006, algorithm 7.4.
"""

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import phases
from rushlight.compiler.templates.entries import TASK
from rushlight.compiler.templates.jobs import Job

WORDS = ("n chunks tiles tile_table partials source gradient before old y s d start other flat count limit first ys ss "
         "ro al t scale least go largest total slope reach curvature squares accepted u v w c1 c2 factor").split()
INDEX = {name: k for k, name in enumerate(WORDS)}
_DOUBLES = {"t", "scale", "least", "largest", "total", "slope", "reach", "curvature", "squares", "c1", "c2", "factor"}
_COUNTS = {"n", "chunks", "tiles", "source", "count", "limit", "first", "go", "accepted"}
# Words of a part (parameter) and of a tile, and of a chunk's sums.
P, G = range(2)
PART_WORDS = 2
PART, FROM, COUNT, AT, LARGEST, TOTAL, DOT = range(7)
TILE_WORDS = 7
# Sums, the last of them a maximum.
CHUNK, CHUNK_WORDS = 1 << 13, 4
TASKS = ("gather", "sums", "direction", "move")
CURVATURE = 1e-10


def tasks(dtype):
    """{name: address} of the tasks for float32 or float64."""
    from rushlight.runtime import cpu

    names = [f"rl_newton_{name}" for name in TASKS]
    found = phases.tasks(f"quasi-newton {dtype} {cpu.vector_bytes()}", lambda: module_text(dtype), names)
    return {name: found[f"rl_newton_{name}"] for name in TASKS}


def module_text(dtype):
    """The IR of the tasks."""
    m = Module(host().triple)
    for name, write in (("gather", _gather), ("sums", _sums), ("move", _move), ("change", _change), ("pass", _pass),
                        ("direction", _direction)):
        f = m.function(f"rl_newton_{name}", "void", TASK, attributes="nounwind")
        write(_Context(f, f.args[0], dtype))
        f.ret()
    return m.text()


class _Context:
    """The words by name, and vectors of the dtype."""

    def __init__(self, f, place, dtype):
        self.f, self.place, self.j = f, place, Job(f, dtype, (), ())
        self.item, self.wide = self.j.item, self.j.element == "double"

    def __getattr__(self, name):
        kind = "double" if name in _DOUBLES else "i64" if name in _COUNTS else "ptr"
        return self.f.load(kind, self.place + 8 * INDEX[name])

    def put(self, **values):
        for name, value in values.items():
            self.f.store(self.f.value(value), self.place + 8 * INDEX[name])

    def spread(self, number):
        return self.f.splat(self.narrow(number), self.j.lanes)

    def narrow(self, number):
        return number if self.wide else number.cast("fptrunc", "float")

    def rounded(self, number):
        """A double as the dtype has it."""
        return number if self.wide else self.narrow(number).cast("fpext", "double")

    def zero(self):
        return self.f.var(self.j.vector, self.f.value(0.0, self.j.vector))

    def vectors(self, n, visit, chains=1):
        """``visit(at, mask or None, chain)``: `chains` whole vectors a step, then the others."""
        f, lanes = self.f, self.j.lanes
        most = n & (-lanes * chains)
        with f.range(0, most, step=lanes * chains) as at:
            for k in range(chains):
                visit(at + k * lanes, None, k)
        whole = n & -lanes
        if chains > 1:
            with f.range(most, whole, step=lanes) as at:
                visit(at, None, 0)
        with f.if_(whole < n):
            visit(whole, self.j.below(n - whole), 0)

    def total_of(self, sums, join=None):
        """Vectors' elements joined (added up, as a double)."""
        f, parts = self.f, []
        for x in sums:
            x = x.get() if self.wide else x.get().cast("fpext", "double")
            parts += [f.extract(x, k) for k in range(self.j.lanes)]
        while len(parts) > 1:
            parts = [join(a, b) if join else a + b for a, b in zip(parts[::2], parts[1::2])]
        return parts[0]

    def larger(self, a, b):
        """The larger; NaN wherever one is."""
        return self.f.select((b > a) | b.isnan(), b, a)

    def magnitude(self, x):
        return self.f.intrinsic("fabs", x)


def _tiles(c):
    """The loop over tiles: (tile, part, first element, elements, place in flat vectors)."""
    f, table = c.f, c.tile_table
    with f.range(f.args[1], f.args[2]) as t:
        tile = table + t * (8 * TILE_WORDS)
        yield (tile, f.load("ptr", tile), *(f.load("i64", tile + 8 * k) for k in (FROM, COUNT, AT)))


def _gather(c):
    f, flat, other = c.f, c.flat, c.other
    source, dotted = c.source * 8, other.ne(f.null)
    for tile, part, first, count, at in _tiles(c):
        x_at = f.load("ptr", part + source) + first * c.item
        to = flat + at * c.item
        # Without another vector the product is that with itself, which nobody reads.
        w_at = f.select(dotted, other + at * c.item, x_at)
        largest, total, dot = ([c.zero() for _ in range(2)] for _ in range(3))

        def visit(i, mask, k):
            x, w = c.j.load(x_at + i * c.item, mask), c.j.load(w_at + i * c.item, mask)
            c.j.store(x, to + i * c.item, mask)
            magnitude = c.magnitude(x)
            largest[k].set(c.larger(largest[k].get(), magnitude))
            total[k].set(total[k].get() + magnitude)
            dot[k].set(f.fma(x, w, dot[k].get()))
        c.vectors(count, visit, 2)
        f.store(c.total_of(largest, c.larger), tile + 8 * LARGEST)
        f.store(c.total_of(total), tile + 8 * TOTAL)
        f.store(c.total_of(dot), tile + 8 * DOT)


def _sums(c):
    f, table = c.f, c.tile_table
    largest, total, dot = (f.var("double", 0.0) for _ in range(3))
    with f.range(c.tiles) as t:
        tile = table + t * (8 * TILE_WORDS)
        largest.set(c.larger(largest.get(), f.load("double", tile + 8 * LARGEST)))
        total.set(total.get() + f.load("double", tile + 8 * TOTAL))
        dot.set(dot.get() + f.load("double", tile + 8 * DOT))
    c.put(largest=largest.get(), total=total.get(), slope=dot.get())


def _move(c):
    f, d, start, t = c.f, c.d, c.start, c.spread(c.t)
    with f.if_(c.go.eq(0)):
        f.ret()
    apart = start.ne(f.null)
    for _, part, first, count, at in _tiles(c):
        p, along = f.load("ptr", part + 8 * P) + first * c.item, d + at * c.item
        source = f.select(apart, start + at * c.item, p)

        def visit(i, mask, k):
            place = i * c.item
            c.j.store(f.fma(t, c.j.load(along + place, mask), c.j.load(source + place, mask)), p + place, mask)
        c.vectors(count, visit)


def _chunks(c):
    """The loop over chunks: (its sums, place of the first element in bytes, elements)."""
    f, n, partials = c.f, c.n, c.partials
    with f.range(f.args[1], f.args[2]) as t:
        yield partials + t * (8 * CHUNK_WORDS), t * (CHUNK * c.item), f.minimum(n - t * CHUNK, CHUNK)


def _change(c):
    """y = g - before, s = t d; sums y s, y y and g s."""
    f, t = c.f, c.spread(c.t)
    g, before, old, y_at, s_at = (getattr(c, name) for name in ("gradient", "before", "old", "y", "s"))
    for sums, start, count in _chunks(c):
        found = [[c.zero() for _ in range(2)] for _ in range(3)]

        def visit(i, mask, k):
            at = start + i * c.item
            now = c.j.load(g + at, mask)
            y, s = now - c.j.load(before + at, mask), c.j.load(old + at, mask) * t
            c.j.store(y, y_at + at, mask)
            c.j.store(s, s_at + at, mask)
            found[0][k].set(f.fma(y, s, found[0][k].get()))
            found[1][k].set(f.fma(y, y, found[1][k].get()))
            found[2][k].set(f.fma(now, s, found[2][k].get()))
        c.vectors(count, visit, 2)
        for k, pair in enumerate(found):
            f.store(c.total_of(pair), sums + 8 * k)


def _pass(c):
    """d = (c1 u + c2 v) factor, its product with w and its largest magnitude; v may be null."""
    f, d, u, v, w = c.f, c.d, c.u, c.v, c.w
    c1, c2, factor = (c.spread(getattr(c, name)) for name in ("c1", "c2", "factor"))
    alone = v.eq(f.null)
    for sums, start, count in _chunks(c):
        dot, largest = [c.zero() for _ in range(4)], [c.zero() for _ in range(4)]

        def visit(i, mask, k, of_two):
            at = start + i * c.item
            x = c.j.load(u + at, mask) * c1
            if of_two:
                x = f.fma(c2, c.j.load(v + at, mask), x)
            x = x * factor
            c.j.store(x, d + at, mask)
            dot[k].set(f.fma(x, c.j.load(w + at, mask), dot[k].get()))
            largest[k].set(c.larger(largest[k].get(), c.magnitude(x)))
        with f.if_else(alone) as (one, two):
            for arm, of_two in ((one, False), (two, True)):
                with arm:
                    c.vectors(count, lambda i, mask, k, of_two=of_two: visit(i, mask, k, of_two), 4)
        f.store(c.total_of(dot), sums)
        f.store(c.total_of(largest, c.larger), sums + 8 * (CHUNK_WORDS - 1))


def _run(c, task):
    """Do a pass over all chunks, shared where there are several; returns the sums, the last of them a maximum."""
    f, chunks, partials = c.f, c.chunks, c.partials
    address = f.symbol(f"rl_newton_{task}")
    with f.if_else(chunks < 2) as (small, large):
        with small:
            f.call("void", address, c.place, f.value(0), chunks)
        with large:
            f.call("void", "rl_parallel_for", address, c.place, chunks)
    found = [f.var("double", 0.0) for _ in range(CHUNK_WORDS)]
    with f.range(chunks) as k:
        for i, x in enumerate(found):
            part = f.load("double", partials + (k * CHUNK_WORDS + i) * 8)
            x.set(c.larger(x.get(), part) if i == CHUNK_WORDS - 1 else x.get() + part)
    return [x.get() for x in found]


def _direction(c):
    f = c.f
    null, one = f.null, f.value(1.0, "double")
    ys, ss, ro, al, gradient, d = (getattr(c, name) for name in ("ys", "ss", "ro", "al", "gradient", "d"))

    def word(base, i, kind="ptr"):
        return f.load(kind, base + i * 8)

    c.put(accepted=0)
    # The product of -g with the newest s, where that is of this step: then no pass is needed for it.
    newest = f.var("double", 0.0)
    with f.if_(c.first.eq(0)):
        curvature, squares, along, _ = _run(c, "change")
        curvature = c.rounded(curvature)
        c.put(curvature=curvature, squares=squares)
        with f.if_(curvature > CURVATURE):
            with f.if_(c.count.eq(c.limit)):
                # The oldest is forgotten.
                c.put(count=c.limit - 1)
                with f.range(c.limit - 1) as i:
                    for base in (ys, ss, ro):
                        f.store(word(base, i + 1, "i64"), base + i * 8)
            count = c.count
            f.store(c.y, ys + count * 8)
            f.store(c.s, ss + count * 8)
            f.store(c.rounded(one / curvature), ro + count * 8)
            newest.set(c.rounded(-along))
            c.put(count=count + 1, accepted=1, scale=c.rounded(curvature / c.rounded(squares)))
    count, scale = c.count, c.scale

    def step(u, v, w, c1, c2, factor):
        c.put(u=u, v=v, w=w, c1=c1, c2=c2, factor=factor)
        dot, _, _, largest = _run(c, "pass")
        return c.rounded(dot), largest

    slope, reach = f.var("double"), f.var("double")
    minus = f.value(-1.0, "double")
    with f.if_else(count.eq(0)) as (empty, some):
        with empty:
            dot, largest = step(gradient, null, gradient, minus, one, scale)
            slope.set(dot)
            reach.set(largest)
        with some:
            found, left = f.var("double", newest.get()), f.var("i64", count - 1)
            start, sign = f.var("ptr", gradient), f.var("double", minus)
            with f.if_(c.accepted.eq(0)):
                found.set(step(gradient, null, word(ss, count - 1), minus, one, one)[0])
                start.set(d)
                sign.set(one)
            with f.loop() as loop:
                i = left.get()
                loop.break_if(i < 0)
                weight = c.rounded(found.get() * word(ro, i, "double"))
                f.store(weight, al + i * 8)
                last = i.eq(0)
                # Of the last the product asked for is the second loop's first, of what H0 makes of it.
                before = f.select(last, f.value(0), i - 1)
                then = f.select(last, word(ys, before), word(ss, before))
                found.set(step(start.get(), word(ys, i), then, sign.get(), -weight, f.select(last, scale, one))[0])
                start.set(d)
                sign.set(one)
                left.set(i - 1)
            with f.range(count) as i:
                beta = c.rounded(found.get() * word(ro, i, "double"))
                last = i.eq(count - 1)
                then = f.select(last, gradient, word(ys, f.select(last, i, i + 1)))
                weight = c.rounded(word(al, i, "double") - beta)
                dot, largest = step(d, word(ss, i), then, one, weight, one)
                found.set(dot)
                reach.set(largest)
            slope.set(found.get())
    c.put(slope=slope.get(), reach=reach.get())
    # A direction that doesn't lead down is not followed.
    with f.if_(slope.get() > c.least):
        c.put(go=0)
