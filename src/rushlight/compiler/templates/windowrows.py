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
    def write(t):
        t.type(dtype)
        f, size = t.f, t.size
        t.lanes, t.vector = lanes, vector(t.compute, lanes)
        ints = vector("i32", lanes)
        reach = span(lanes, taps, step, gap)
        places = f.iota(lanes) * step if indexed else None

        def narrow(v):
            return v.cast("trunc", "i32")

        def fetch(line):
            """The taps: a vector of elements each."""
            if step == 1:
                return [t.load(line + j * gap * size) for j in range(taps)]
            starts = [min(k * lanes, reach - lanes) for k in range(-(-reach // lanes))]
            pieces = [t.load(line + s * size) for s in starts]
            found = []
            for j in range(taps):
                wanted = [j * gap + i * step for i in range(lanes)]
                v = None
                for start, piece in zip(starts, pieces):
                    here = [start <= e < start + lanes for e in wanted]
                    if any(here):
                        chosen = [lanes + e - start if h else i for i, (e, h) in enumerate(zip(wanted, here))]
                        v = f.shuffle(piece if v is None else v, piece, chosen)
                found.append(v)
            return found

        def clipped(start, gap, count, size):
            """Window positions begin .. end that are inside."""
            begin = f.select(start < 0, (gap - 1 - start).udiv(gap), f.value(0))
            inside = f.select(start < size, (size - start + gap - 1) // gap, f.value(0))
            return begin, f.minimum(inside, count)

        def rows_of(x, here, out):
            """One row of windows; ``here(body)`` calls ``body(elements before the line)`` for each line."""
            y, index = t.y + out * size, t.index + out * 8

            def several(r):
                best, nans = f.var(t.vector, float("-inf")), f.var(vector("i1", lanes), 0)
                where, begun = f.var(ints, 0), f.var("i1", False)

                def body(line):
                    first = line + r * step - t.pw
                    found = fetch(x + first * size)
                    if not indexed:
                        for k in range(0, taps, 2):
                            pair = found[k], found[min(k + 1, taps - 1)]
                            nans.set(nans.get() | pair[0].compare("uno", "", pair[1]))
                        while len(found) > 1:
                            found = [f.select(b > a, b, a) for a, b in zip(found[::2], found[1::2])] + (
                                found[len(found) - 1:] if len(found) % 2 else [])
                        best.set(f.select(found[0] > best.get(), found[0], best.get()))
                        return
                    place = f.splat(narrow(first), lanes) + places
                    # The window's first element begins the search, whatever it is.
                    with f.if_(~begun.get()):
                        where.set(place)
                        begun.set(True)
                    for j, v in enumerate(found):
                        old = best.get()
                        take = (v > old) | v.isnan()
                        best.set(f.select(take, v, old))
                        where.set(f.select(take, place + j * gap if j else place, where.get()))
                here(body)
                if indexed:
                    t.put(where.get().cast("sext", "i64"), index + r * 8, None, 8)
                    t.store(best.get(), y + r * size)
                else:
                    t.store(f.select(nans.get(), f.value(float("nan"), t.vector), best.get()), y + r * size)

            def single(r):
                left = r * step - t.pw
                begin = f.select(left < 0, (gap - 1 - left).udiv(gap), f.value(0))
                best, begun = f.var(t.compute, float("-inf")), f.var("i1", False)
                where = f.var("i32", narrow(left + begin * gap) if indexed else 0)
                end = f.minimum(f.select(left < t.w, (t.w - left + gap - 1) // gap, f.value(0)), taps)

                def body(line):
                    with f.range(begin, end) as j:
                        place = line + left + j * gap
                        v, old = t.scalar(x + place * size), best.get()
                        take = (v > old) | v.isnan()
                        best.set(f.select(take, v, old))
                        if indexed:
                            where.set(f.select(take | ~begun.get(), narrow(place), where.get()))
                            begun.set(True)
                here(body)
                t.store_scalar(best.get(), y + r * size)
                if indexed:
                    f.store(where.get().cast("sext", "i64"), index + r * 8)

            with f.range(t.first, t.last - (lanes - 1), step=lanes) as r:
                several(r)
            with f.if_((t.last - t.first).urem(lanes).ne(0)):
                several(t.last - lanes)
            with f.range(t.first) as r:
                single(r)
            with f.range(t.last, t.ow) as r:
                single(r)

        with t.tiles() as plane:
            if not outer:
                rows_of(t.x + plane * t.w * size, lambda body: body(f.value(0)), plane * t.ow)
                return
            x = t.x + plane * t.d * t.h * t.w * size
            with f.range(t.od) as p, f.range(t.oh) as q:
                depth, top = p * t.sd - t.pd, q * t.sh - t.ph
                depths, rows = clipped(depth, t.dd, t.kd, t.d), clipped(top, t.dh, t.kh, t.h)

                def here(body):
                    with f.range(*depths) as a, f.range(*rows) as b:
                        body(((depth + a * t.dd) * t.h + top + b * t.dh) * t.w)
                rows_of(x, here, ((plane * t.od + p) * t.oh + q) * t.ow)
    key = f"rows of windows {dtype} {taps} {step} {gap} {lanes} {indexed} {outer}"
    return array_kernel(key, ("y", "index", "x"), _PLANE + _OUTER * outer, write)


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
