"""Largest values of evenly spaced windows, whose steps along rows are known when code is made; with positions or not.

    window_rows(y, index, x, words)         x (planes, d, h, w), y and index (planes, od, oh, ow)

A position is a flat index into its plane: of the window's last NaN, else of its first largest value. Lanes are
neighbouring windows of a row. What a vector of them sees of a line is read once, register by register, and each tap is
permuted out of these; windows that reach beyond the line are done one by one. A tile is a plane.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.arrays import array_kernel

MOST_PERMUTED = 100             # permutations a line and vector
_PLANE = ("w", "ow", "pw", "first", "last")
_OUTER = ("d", "h", "od", "oh", "kd", "kh", "sd", "sh", "pd", "ph", "dd", "dh")


def lanes_for(dtype, inside):
    """Lanes for rows with so many windows inside; 0 where none are worth while."""
    lanes = host().lanes(8 if dtype == "float64" else 4)
    while lanes > inside:
        lanes //= 2
    return lanes if lanes >= 4 else 0


def span(lanes, taps, step, gap):
    """Elements of a line that a vector of windows sees."""
    return (lanes - 1) * step + (taps - 1) * gap + 1


def fits(lanes, taps, step, gap):
    """Whether there is a kernel of reasonable size for windows of ``taps`` elements, ``gap`` apart, in steps."""
    if step == 1:
        return lanes and taps <= MOST_PERMUTED
    return lanes and taps * -(-span(lanes, taps, step, gap) // lanes) <= MOST_PERMUTED


@cache
def window_rows(dtype, taps, step, gap, lanes, indexed, outer):
    """The kernel; ``indexed``: whether positions are wanted; ``outer``: whether there are windows in d and h."""
    key = f"rows of windows {dtype} {taps} {step} {gap} {lanes} {indexed} {outer}"
    return array_kernel(key, ("y", "index", "x"), _PLANE + _OUTER * outer,
                        lambda t: _Rows(t, dtype, taps, step, gap, lanes, indexed).write(outer))


class _Rows:
    """Rows of windows whose steps are known: the text of the kernel above."""

    def __init__(self, t, dtype, taps, step, gap, lanes, indexed):
        t.type(dtype)
        t.lanes, t.vector = lanes, vector(t.compute, lanes)
        self.t, self.f, self.size = t, t.f, t.size
        self.taps, self.step, self.gap, self.lanes, self.indexed = taps, step, gap, lanes, indexed
        self.places = t.f.iota(lanes) * step if indexed else None

    def write(self, outer):
        """All planes."""
        t, f, size = self.t, self.f, self.size
        with t.tiles() as plane:
            if not outer:
                self.row(t.x + plane * t.w * size, lambda body: body(f.value(0)), plane * t.ow)
                return
            x = t.x + plane * t.d * t.h * t.w * size
            with f.range(t.od) as p, f.range(t.oh) as q:
                depth, top = p * t.sd - t.pd, q * t.sh - t.ph
                depths, rows = self.clipped(depth, t.dd, t.kd, t.d), self.clipped(top, t.dh, t.kh, t.h)

                def here(body):
                    with f.range(*depths) as a, f.range(*rows) as b:
                        body(((depth + a * t.dd) * t.h + top + b * t.dh) * t.w)
                self.row(x, here, ((plane * t.od + p) * t.oh + q) * t.ow)

    def clipped(self, start, gap, count, size):
        """Window positions begin .. end that are inside."""
        f = self.f
        begin = f.select(start < 0, (gap - 1 - start).udiv(gap), f.value(0))
        inside = f.select(start < size, (size - start + gap - 1) // gap, f.value(0))
        return begin, f.minimum(inside, count)

    def row(self, x, here, out):
        """One row of windows; ``here(body)`` calls ``body(elements before the line)`` for each line."""
        t, f, lanes = self.t, self.f, self.lanes
        y, index = t.y + out * self.size, t.index + out * 8
        several = self.several if self.indexed else self.several_values
        with f.range(t.first, t.last - (lanes - 1), step=lanes) as r:
            several(x, here, y, index, r)
        with f.if_((t.last - t.first).urem(lanes).ne(0)):
            several(x, here, y, index, t.last - lanes)
        with f.range(t.first) as r:
            self.single(x, here, y, index, r)
        with f.range(t.last, t.ow) as r:
            self.single(x, here, y, index, r)

    def several(self, x, here, y, index, r):
        """The windows from r on, a vector of them, with positions."""
        t, f, lanes, size = self.t, self.f, self.lanes, self.size
        best = f.var(t.vector, float("-inf"))
        where, begun = f.var(vector("i32", lanes), 0), f.var("i1", False)

        def body(line):
            first = line + r * self.step - t.pw
            found = self.fetch(x + first * size)
            place = f.splat(_narrow(first), lanes) + self.places
            # The window's first element begins the search, whatever it is.
            with f.if_(~begun.get()):
                where.set(place)
                begun.set(True)
            for j, v in enumerate(found):
                old = best.get()
                take = (v > old) | v.isnan()
                best.set(f.select(take, v, old))
                where.set(f.select(take, place + j * self.gap if j else place, where.get()))
        here(body)
        t.put(where.get().cast("sext", "i64"), index + r * 8, None, 8)
        t.store(best.get(), y + r * size)

    def several_values(self, x, here, y, index, r):
        """The windows from r on, a vector of them, without positions: the order of comparisons is free."""
        t, f, size = self.t, self.f, self.size
        best, nans = f.var(t.vector, float("-inf")), f.var(vector("i1", self.lanes), 0)

        def body(line):
            found = self.fetch(x + (line + r * self.step - t.pw) * size)
            for k in range(0, self.taps, 2):
                pair = found[k], found[min(k + 1, self.taps - 1)]
                nans.set(nans.get() | pair[0].compare("uno", "", pair[1]))
            while len(found) > 1:
                found = [f.select(b > a, b, a) for a, b in zip(found[::2], found[1::2])] + (
                    found[len(found) - 1:] if len(found) % 2 else [])
            best.set(f.select(found[0] > best.get(), found[0], best.get()))
        here(body)
        t.store(f.select(nans.get(), f.value(float("nan"), t.vector), best.get()), y + r * size)

    def fetch(self, line):
        """The taps of a line: a vector of elements each."""
        t, taps, step, gap, lanes, size = self.t, self.taps, self.step, self.gap, self.lanes, self.size
        if step == 1:
            return [t.load(line + j * gap * size) for j in range(taps)]
        reach = span(lanes, taps, step, gap)
        starts = [min(k * lanes, reach - lanes) for k in range(-(-reach // lanes))]
        pieces = [t.load(line + s * size) for s in starts]
        return [self.picked(starts, pieces, [j * gap + i * step for i in range(lanes)]) for j in range(taps)]

    def picked(self, starts, pieces, wanted):
        """The elements ``wanted`` of a line, out of the vectors that begin at ``starts``."""
        lanes, v = self.lanes, None
        for start, piece in zip(starts, pieces):
            here = [start <= e < start + lanes for e in wanted]
            if any(here):
                chosen = [lanes + e - start if h else i for i, (e, h) in enumerate(zip(wanted, here))]
                v = self.f.shuffle(piece if v is None else v, piece, chosen)
        return v

    def single(self, x, here, y, index, r):
        """The window r, which may reach beyond the line."""
        t, f, gap, size = self.t, self.f, self.gap, self.size
        left = r * self.step - t.pw
        begin = f.select(left < 0, (gap - 1 - left).udiv(gap), f.value(0))
        best, begun = f.var(t.compute, float("-inf")), f.var("i1", False)
        where = f.var("i32", _narrow(left + begin * gap) if self.indexed else 0)
        end = f.minimum(f.select(left < t.w, (t.w - left + gap - 1) // gap, f.value(0)), self.taps)

        def body(line):
            with f.range(begin, end) as j:
                place = line + left + j * gap
                v, old = t.scalar(x + place * size), best.get()
                take = (v > old) | v.isnan()
                best.set(f.select(take, v, old))
                if self.indexed:
                    where.set(f.select(take | ~begun.get(), _narrow(place), where.get()))
                    begun.set(True)
        here(body)
        t.store_scalar(best.get(), y + r * size)
        if self.indexed:
            f.store(where.get().cast("sext", "i64"), index + r * 8)


def _narrow(v):
    return v.cast("trunc", "i32")


def inside(size, taps, step, padding, gap, out):
    """The windows first .. last of a row of ``size`` elements that reach beyond none of its ends."""
    first = min(-(-padding // step), out)
    last = min(max((size + padding - (taps - 1) * gap - 1) // step + 1, first), out)
    return first, last


def row_words(planes, shape, kernel, stride, padding, dilation, out):
    """Words for geometries of one to three dimensions."""
    first, last = inside(shape[-1], kernel[-1], stride[-1], padding[-1], dilation[-1], out[-1])
    taps = 1
    for k in kernel:
        taps *= k
    outputs = planes
    for n in out:
        outputs *= n
    words = [planes, outputs * taps, shape[-1], out[-1], padding[-1], first, last]
    if len(shape) > 1:
        fill = (1,) * (3 - len(shape))
        for values, default in ((shape, 1), (out, 1), (kernel, 1), (stride, 1), (padding, 0), (dilation, 1)):
            words += (*(default for _ in fill), *values[:-1])
    return pack(f"{len(words)}q", *words)
