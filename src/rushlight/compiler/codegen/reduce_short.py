"""Reductions of short rows: as many rows together as a vector has lanes, one a lane in the end.

    short(outputs, output_steps, inputs, row_steps, n, rows, count, scalars, index_step)

Rows of at most eight elements that follow each other in memory are read as one stretch and permuted; of others each is
reduced to a vector, and the vectors are transposed while they are joined.
"""

from rushlight.compiler.codegen.builder import split, vector
from rushlight.compiler.codegen.lower import MEMORY

# Longest rows that are permuted, and operations of a formula worth repeating for each of them.
_PERMUTED, _CHEAP = 8, 4


def size_of(element):
    """Bytes of an LLVM element type."""
    return {"float": 4, "double": 8}.get(element) or int(element[1:]) // 8


def tree(f, join, types, places):
    """Join vectors in memory, as many as each has lanes, until lane i of the first is all lanes of number i."""
    lanes = split(types[0])[1]
    steps = [size_of(split(t)[0]) * lanes for t in types]
    even, odd = list(range(0, 2 * lanes, 2)), list(range(1, 2 * lanes, 2))

    def joined(pairs):
        return join(f, *(tuple(f.shuffle(x, y, half) for x, y in zip(*pairs)) for half in (even, odd)))

    if len(types) == 1:
        # Depth first: few vectors are in registers at a time.
        def under(first, n):
            if n == 1:
                return tuple(f.load(t, p + first * step, 8) for t, p, step in zip(types, places, steps))
            return joined((under(first, n // 2), under(first + n // 2, n // 2)))
        return under(0, lanes)
    left = f.var("i64", lanes // 2)
    with f.loop() as level:
        level.break_if(left.get() < 1)
        with f.range(left.get()) as i:
            pairs = [[f.load(t, p + (i * 2 + k) * n, 8) for t, p, n in zip(types, places, steps)] for k in (0, 1)]
            for v, p, n in zip(joined(pairs), places, steps):
                f.store(v, p + i * n, 8)
        left.set(left.get() >> 1)
    return tuple(f.load(t, p, 8) for t, p in zip(types, places))


class Group:
    """Writes the reduction of up to ``lanes`` rows of n elements of the one input of a walk.

    ``first``: a function of a row's number in the group, the value that all its elements are reduced by, as a scalar;
    where the reducer asks for one.
    """

    def __init__(self, walk, step, n, first):
        self.walk, self.step, self.n, self.first = walk, step, n, first
        self.f, self.reducer, self.lanes = walk.f, walk.reducer, walk.spec.short_lanes
        f, r, reducer = self.f, self.lanes, self.reducer
        size, = walk.sizes
        self.size, self.type = size, vector(MEMORY[walk.spec.in_dtypes[0]], r)
        # Lanes are joined with each other, which takes indices instead of numbers of steps.
        self.empty, self.join, self.extend = (reducer.initial, reducer.merge, reducer.update) if walk.has_index else (
            reducer.run, reducer.join, reducer.extend)
        self.parts = [split(x.type)[0] for x in self.finished(self.empty(f, r, f.value(0.0, vector("double", r))))]
        self.rows = [f.buffer(size_of(p) * r * r) for p in self.parts]
        self.results = [f.buffer(size_of(p) * r) for p in self.parts]
        self.position = walk.positions(f.iota(r, "i64"), walk.index_step)
        self.whole = n & -r
        self.valid = f.below(n - self.whole, r)
        self.permutes = not reducer.uses_first and walk.unrolled > 1 or walk.has_index

    def finished(self, run):
        return run if self.walk.has_index else self.reducer.settle(self.f, run)

    def reduce(self, base, left):
        """The finished runs of the rows from ``base``, of which there are ``left``; further lanes repeat the last."""
        f = self.f
        if not self.permutes:
            self.keep(self.transposed(base, left))
        else:
            adjacent = self.step.eq(self.n * self.size) & (left >= self.lanes) & (self.n <= _PERMUTED)
            with f.if_else(adjacent) as (one, other):
                with one:
                    for n in range(2, _PERMUTED + 1):
                        with f.if_(self.n.eq(n)):
                            self.keep(self.permuted(base, n))
                with other:
                    self.keep(self.transposed(base, left))
        return tuple(f.load(vector(p, self.lanes), slot, 8) for p, slot in zip(self.parts, self.results))

    def keep(self, values):
        for v, slot in zip(values, self.results):
            self.f.store(v, slot, 8)

    def load(self, place):
        return self.walk.value([self.f.load(self.type, place, self.size)], self.lanes)

    # ------------------------------------------------------------ rows side by side

    def permuted(self, base, n):
        """n vectors are all the elements of the rows."""
        f, r, walk = self.f, self.lanes, self.walk
        pieces = [self.load(base + k * r * self.size) for k in range(n)]
        if walk.has_index:
            run = self.reducer.run(f, r, None)
            for j, v in enumerate(self.taps(pieces)):
                run = self.reducer.extend(f, run, v, f.value(j, vector(self.reducer.count, r)), None)
            start = self.reducer.initial(f, r, None)
            first, step = (f.splat(x, r) for x in (walk.index, walk.index_step))
            return self.reducer.absorb(f, start, run, first, step)
        halves = list(range(0, 2 * r, 2)), list(range(1, 2 * r, 2))
        while len(pieces) % 2 == 0:
            pieces = [self.join(f, *((f.shuffle(a, b, half),) for half in halves))[0]
                      for a, b in zip(pieces[::2], pieces[1::2])]
        first, *others = self.taps(pieces)
        run = (first,)
        for v in others:
            run = self.join(f, run, (v,))
        return run

    def taps(self, pieces):
        """Vectors of the rows' elements number 0, 1, ..."""
        f, r, n = self.f, self.lanes, len(pieces)
        found = []
        for j in range(n):
            places = [i * n + j for i in range(r)]
            v = pieces[0]
            for k in range(1, n):
                v = f.shuffle(v, pieces[k], [r + p - k * r if p // r == k else i if k > 1 else min(p, r - 1)
                                             for i, p in enumerate(places)])
            found.append(v)
        return found

    # ------------------------------------------------------------ rows anywhere

    def transposed(self, base, left):
        f, r, walk, whole = self.f, self.lanes, self.walk, self.whole
        last = left - 1

        def add(run, v, index, valid):
            walk.put(run, self.extend(f, tuple(x.get() for x in run), v, index, valid))

        def begin(k):
            row = f.minimum(k, last)
            first = f.splat(self.first(row), r) if self.reducer.uses_first else None
            return [f.var(v.type, v) for v in self.empty(f, r, first)], base + row * self.step

        def end(run, place, k):
            x = walk.part(self.type, place + whole * self.size, self.size, self.valid, self.n - whole)
            add(run, walk.value([x], r), self.position(whole), self.valid)
            store(run, k)

        def store(run, k):
            values = self.finished(tuple(x.get() for x in run))
            for slot, part, x in zip(self.rows, self.parts, values):
                f.store(x, slot + k * (size_of(part) * r), 8)

        with f.if_else(whole.eq(0)) as (one, more):
            with one, f.range(0, r, step=walk.unrolled) as four:
                for k in range(walk.unrolled):
                    end(*begin(four + k), four + k)
            with more:
                even = whole.eq(self.n)
                with f.range(r) as k:
                    # A row at a time, in the order of memory.
                    run, place = begin(k)
                    with f.range(0, whole, step=r) as i:
                        add(run, self.load(place + i * self.size), self.position(i), None)
                    with f.if_else(even) as (all_, rest):
                        with all_:
                            store(run, k)
                        with rest:
                            end(run, place, k)
        return tree(f, self.join, [vector(p, r) for p in self.parts], self.rows)
