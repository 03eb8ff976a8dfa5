"""Transforms of middle length, one a lane: stages of short ones over rows of vectors that lie in the cache.

``stages(m)`` are the short lengths whose product is m. All stages but the last leave their results where their
operands were, turned by twiddle factors (decimation in frequency: Gentleman and Sande, "Fast Fourier transforms: for
fun and profit", 1966); the last one puts rows in their order as it stores them. Primes from 17 to 127 are loops over
sums and differences, as ``fft_codelets`` writes them out for smaller ones.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.fft_codelets import RADICES, Complex, root
from rushlight.runtime import cpu

ITEM = {"float": 4, "double": 8}
PRIMES = (17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127)
TOGETHER = 4                    # coefficients of such a prime that are summed at a time
# Instructions of the short transforms, about; longer ones spill registers.
_COST = {2: 4, 3: 14, 4: 16, 5: 36, 6: 40, 7: 80, 8: 60, 9: 90, 10: 95, 11: 190, 12: 100, 13: 270, 14: 190, 15: 160,
         16: 170, 20: 240, **{p: p * p * 3 // 2 for p in PRIMES}}


@cache
def stages(m):
    """The lengths of at most three stages that cost least, or None."""
    best = {1: (0, ())}
    for _ in range(3):
        more = dict(best)
        for done, (cost, radices) in best.items():
            for r in (*RADICES, *PRIMES):
                n = done * r
                # A row of each operand is loaded, turned and stored.
                total = cost * r + done * (_COST[r] + 10 * r)
                if m % n == 0 and (n not in more or total < more[n][0]):
                    more[n] = total, (*radices, r)
        best = more
    return None if m not in best else tuple(sorted(best[m][1], reverse=True)) or (1,)


def cost(m):
    """About how many instructions a transform of m rows takes; None if there are no stages for it."""
    radices = stages(m)
    if radices is None:
        return None
    return sum(m // r * (_COST.get(r, 0) + 10 * r) for r in radices)


def room(m):
    """Rows of memory that a transform of m rows needs."""
    return m + max((r for r in stages(m) if r in PRIMES), default=0)


class Lanes:
    """A function's vectors of `element` ("float" or "double"): loads and stores of complex rows."""

    def __init__(self, f, element):
        self.f, self.element, self.item = f, element, ITEM[element]
        self.n = host().lanes(self.item)
        self.vector, self.pairs = vector(element, self.n), vector(element, 2 * self.n)
        self.bytes = self.n * self.item
        self.row = 2 * self.bytes
        self.math = Complex(f, cpu.has("fma") or cpu.machine() == "aarch64")

    def load(self, place):
        return self.f.load(self.vector, place, align=self.item)

    def store(self, value, place):
        self.f.store(value, place, align=self.item)

    def load_planes(self, place):
        """A complex row of scratch memory: the real parts, then the imaginary ones."""
        f = self.f
        return f.load(self.vector, place, align=self.bytes), f.load(self.vector, place + self.bytes, align=self.bytes)

    def store_planes(self, x, place):
        self.f.store(x[0], place, align=self.bytes)
        self.f.store(x[1], place + self.bytes, align=self.bytes)

    def apart(self, whole):
        """The real and the imaginary parts of a vector of pairs."""
        return (self.f.shuffle(whole, whole, range(0, 2 * self.n, 2)),
                self.f.shuffle(whole, whole, range(1, 2 * self.n, 2)))

    def together(self, x):
        """The vector of pairs of (re, im)."""
        return self.f.shuffle(x[0], x[1], [i // 2 + i % 2 * self.n for i in range(2 * self.n)])

    def load_pairs(self, place):
        return self.apart(self.f.load(self.pairs, place, align=self.item))

    def store_pairs(self, x, place):
        self.f.store(self.together(x), place, align=self.item)

    def reverse(self, v):
        return self.f.shuffle(v, v, range(self.n - 1, -1, -1))

    def first(self, count, pairs=False):
        """A mask of the first `count` (a value) lanes, or of as many pairs."""
        n = self.n * (2 if pairs else 1)
        iota = Value(self.f, "<" + ", ".join(f"i32 {i // 2 if pairs else i}" for i in range(n)) + ">", f"<{n} x i32>")
        return iota < self.f.splat(count.cast("trunc", "i32"), n)

    def splat(self, number):
        return self.f.splat(number, self.n)

    def broadcast(self, place):
        return self.f.splat(self.f.load(self.element, place, align=self.item), self.n)

    def transpose(self, rows):
        """n vectors, the columns of n others."""
        f, n, half = self.f, self.n, 1
        while half < n:
            out = list(rows)
            for i in range(n):
                if not i & half:
                    a, b = rows[i], rows[i + half]
                    low = [j if not j & half else j - half + n for j in range(n)]
                    out[i] = f.shuffle(a, b, low)
                    out[i + half] = f.shuffle(a, b, [j + half for j in low])
            rows, half = out, 2 * half
        return rows


def _table(m, name, element, values):
    return Value(None, m.table(name, element, values), "ptr")


def write(v, size, load, store, buffer):
    """A transform of `size` rows in the lanes of `v`: ``load(row)`` gives (re, im), ``store(row, x)`` takes it.

    ``buffer``: memory for ``room(size)`` rows of ``v.row`` bytes. Rows are numbers or values.
    """
    f, radices, aside = v.f, stages(size), buffer + size * v.row
    length = size

    def place(row):
        return buffer + row * v.row

    for t, r in enumerate(radices):
        last, first = t == len(radices) - 1, t == 0
        get = load if first else (lambda row: v.load_planes(place(row)))
        if last:
            _last(v, radices, get, store, aside)
            break
        step = length // r
        turns = [x for j in range(step) for k in range(1, r) for x in root(j * k, length)]
        table = _table(f.module, f"turns.{length}.{r}.{v.element}", v.element, turns)
        table.f = f

        def body(base, j, r=r, step=step, table=table, get=get):
            at = table + j * (2 * (r - 1) * v.item)

            def put(k, y):
                if type(k) is not int or k:
                    here = at + (k - 1) * (2 * v.item)
                    y = v.math.mul(y, v.broadcast(here), v.broadcast(here + v.item))
                v.store_planes(y, place(base + j + k * step))
            _short(v, r, lambda i: get(base + j + i * step), put, aside)

        if first:
            with f.range(step) as j:
                body(f.value(0), j)
        else:
            with f.range(0, size, step=length) as base:
                with f.range(step) as j:
                    body(base, j)
        length = step


def _short(v, r, get, put, aside):
    """The transform of r rows ``get(i)``: ``put(k, x)`` for its results."""
    if r in RADICES or r == 1:
        for k, y in enumerate(v.math.dft([get(i) for i in range(r)])):
            put(k, y)
        return
    f, half = v.f, r // 2
    zero = f.value(0.0, v.vector)
    first = get(0)
    total = [f.var(v.vector, x) for x in first]
    # Rows of sums, then rows of differences.
    with f.range(half) as i:
        a, b = get(i + 1), get((r - 1) - i)
        added = v.math.add(a, b)
        for t, x in zip(total, added):
            t.set(t.get() + x)
        v.store_planes(added, aside + i * v.row)
        v.store_planes(v.math.sub(a, b), aside + (i + half) * v.row)
    put(0, tuple(t.get() for t in total))
    circle = [x for k in range(r) for x in root(k, r)]
    table = Value(f, f.module.table(f"circle.{r}.{v.element}", v.element, circle), "ptr")
    with f.range(1, half + 1, step=TOGETHER) as begin:
        # The last ones are computed again where their number isn't a multiple.
        ks = [f.minimum(begin + i, half) for i in range(TOGETHER)]
        at = [f.var("i64", k) for k in ks]
        even = [[f.var(v.vector, x) for x in first] for _ in ks]
        odd = [[f.var(v.vector, zero) for _ in first] for _ in ks]
        with f.range(half) as i:
            sums, differences = v.load_planes(aside + i * v.row), v.load_planes(aside + (i + half) * v.row)
            for k, now, es, os in zip(ks, at, even, odd):
                place = now.get()
                c, s = (v.broadcast(table + place * (2 * v.item) + part * v.item) for part in (0, 1))
                for e, o, p, q in zip(es, os, sums, differences):
                    e.set(v.math.fma(p, c, e.get()))
                    o.set(v.math.fma(q, s, o.get()))
                place = place + k
                now.set(f.select(place >= r, place - r, place))
        for k, es, os in zip(ks, even, odd):
            (re, im), (a, b) = (x.get() for x in es), (x.get() for x in os)
            put(k, (re - b, im + a))
            put(r - k, (re + b, im - a))


def _last(v, radices, get, store, aside):
    f, r = v.f, radices[-1]
    outer = radices[:-1]

    def body(block, row, step):
        _short(v, r, lambda i: get(block + i), lambda k, y: store(row + k * step, y), aside)

    if not outer:
        body(f.value(0), f.value(0), 1)
    elif len(outer) == 1:
        with f.range(outer[0]) as a:
            body(a * r, a, outer[0])
    else:
        with f.range(outer[0]) as a:
            with f.range(outer[1]) as b:
                body((a * outer[1] + b) * r, a + b * outer[0], outer[0] * outer[1])
