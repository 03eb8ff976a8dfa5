"""Transforms of middle length, one a lane: stages of short ones over rows of vectors that lie in the cache.

``stages(m)`` are the short lengths whose product is m. All stages but the last leave their results where their
operands were, turned by twiddle factors (decimation in frequency: Gentleman and Sande, "Fast Fourier transforms: for
fun and profit", 1966); the last one puts rows in their order as it stores them.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.fft_codelets import RADICES, Complex, root
from rushlight.runtime import cpu

ITEM = {"float": 4, "double": 8}
# Instructions of the transforms by hand, about; longer ones spill registers.
_COST = {2: 4, 3: 14, 4: 16, 5: 36, 6: 40, 7: 80, 8: 60, 9: 90, 10: 95, 11: 190, 12: 100, 13: 270, 14: 190, 15: 160,
         16: 170, 20: 240}


@cache
def stages(m):
    """The lengths of at most three stages that cost least, or None."""
    best = {1: (0, ())}
    for _ in range(3):
        more = dict(best)
        for done, (cost, radices) in best.items():
            for r in RADICES:
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

    ``buffer``: memory for `size` rows of ``v.row`` bytes. Rows are numbers or values.
    """
    f, radices = v.f, stages(size)
    length = size

    def place(row):
        return buffer + row * v.row

    for t, r in enumerate(radices):
        last, first = t == len(radices) - 1, t == 0
        get = load if first else (lambda row: v.load_planes(place(row)))
        if last:
            _last(v, radices, get, store)
            break
        step = length // r
        turns = [x for j in range(step) for k in range(1, r) for x in root(j * k, length)]
        table = _table(f.module, f"turns.{length}.{r}.{v.element}", v.element, turns)
        table.f = f

        def body(base, j, r=r, step=step, table=table, get=get):
            ys = v.math.dft([get(base + j + i * step) for i in range(r)])
            at = table + j * (2 * (r - 1) * v.item)
            v.store_planes(ys[0], place(base + j))
            for k in range(1, r):
                c, s = (v.broadcast(at + (2 * (k - 1) + part) * v.item) for part in (0, 1))
                v.store_planes(v.math.mul(ys[k], c, s), place(base + j + k * step))

        if first:
            with f.range(step) as j:
                body(f.value(0), j)
        else:
            with f.range(0, size, step=length) as base:
                with f.range(step) as j:
                    body(base, j)
        length = step


def _last(v, radices, get, store):
    f, r = v.f, radices[-1]
    outer = radices[:-1]

    def body(block, row, step):
        ys = v.math.dft([get(block + i) for i in range(r)])
        for k, y in enumerate(ys):
            store(row + k * step, y)

    if not outer:
        body(f.value(0), f.value(0), 1)
    elif len(outer) == 1:
        with f.range(outer[0]) as a:
            body(a * r, a, outer[0])
    else:
        with f.range(outer[0]) as a:
            with f.range(outer[1]) as b:
                body((a * outer[1] + b) * r, a + b * outer[0], outer[0] * outer[1])
