"""Sampling of images and volumes at given positions, and its gradients.

    sample(y, x, grid, words)               x (n, c, *sizes), grid (n, *places, dims), y (n, c, *places)
    gradient_x(dx, g, grid, words)          dx is cleared first
    gradient_grid(dgrid, g, x, grid, words)

Positions are in [-1, 1] along each dimension, the last dimension of x first. A vector of lanes is neighbouring places;
each corner around them (cell of 4 by 4 for cubic) is a vector of indices into a plane, a mask and a weight. Ways:
0 linear, 1 nearest, 2 cubic (Keys, a = -0.75); beyond the edge: 0 zeros, 1 the border, 2 reflection.
All arrays are of one type, float32 or float64.
"""

from functools import cache
from itertools import product
from struct import pack

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.resample import gather

LINEAR, NEAREST, CUBIC = range(3)
ZEROS, BORDER, REFLECTION = range(3)
PLACES = 512            # a tile
WORDS = ("n", "c", "places", "blocks", "d", "h", "w")
KEYS = -0.75


class _Positions:
    """Coordinates of a vector of places in one dimension of size ``n`` (an i64 value), in elements."""

    def __init__(self, t, raw, n, padding, align):
        self.t, self.f = t, t.f
        self.n = t.splat(n.cast("sitofp", t.compute))
        if align:
            x, slope = (raw + 1.0) * 0.5 * (self.n - 1.0), (self.n - 1.0) * 0.5
        else:
            x, slope = ((raw + 1.0) * self.n - 1.0) * 0.5, self.n * 0.5
        self.padding, self.align, self.slope = padding, align, slope
        self.raw = x

    def inside(self):
        """(coordinate after borders, d coordinate / d grid)"""
        x, slope = self.raw, self.slope
        if self.padding == REFLECTION:
            x, sign = self.reflect(x)
            slope = slope * sign
        if self.padding != ZEROS:
            x, slope = self.clip(x, slope)
        return x, slope

    def clip(self, x, slope=None):
        """Within 0 .. n - 1; NaN becomes 0. The slope is 0 where it was outside, or at the edge."""
        f, zero, top = self.f, self.f.value(0.0, x.type), self.n - 1.0
        y = f.select(x > 0.0, f.select(x < top, x, top), zero)
        if slope is not None:
            slope = f.select((x > 0.0) & (x < top), slope, zero)
        return y, slope

    def reflect(self, x):
        """Mirrored at the edges (pixel centres with align, else the pixels' ends) until inside; and the sign of it."""
        f = self.f
        low = f.value(0.0 if self.align else -0.5, x.type)
        span = self.n - 1.0 if self.align else self.n
        distance = x - low
        one, zero = f.value(1.0, x.type), f.value(0.0, x.type)
        sign = f.select(distance < 0.0, -one, one)
        distance = f.intrinsic("fabs", distance)
        flips = f.intrinsic("floor", distance / span)
        extra = distance - flips * span
        odd = (flips * 0.5 - f.intrinsic("floor", flips * 0.5)).ne(0.0)
        y = f.select(odd, span - extra, extra) + low
        sign = f.select(odd, -sign, sign)
        single = span.eq(0.0)
        return f.select(single, zero, y), f.select(single, zero, sign)

    def index(self, x):
        """(int32 index, mask of those inside) of whole coordinates."""
        f = self.f
        inside = (x >= 0.0) & (x < self.n)
        safe = f.select(inside, x, f.value(0.0, x.type))
        return safe.cast("fptosi", "i32"), inside


def _cubic(f, t):
    """Keys' weights of the four neighbours, and their slopes."""
    def near(x):
        return f.fma(f.fma(x, KEYS + 2.0, -(KEYS + 3.0)) * x, x, 1.0)

    def far(x):
        return f.fma(f.fma(f.fma(x, KEYS, -5.0 * KEYS), x, 8.0 * KEYS), x, -4.0 * KEYS)

    def near_slope(x):
        return (x * (3.0 * (KEYS + 2.0)) - 2.0 * (KEYS + 3.0)) * x

    def far_slope(x):
        return f.fma(f.fma(x, 3.0 * KEYS, -10.0 * KEYS), x, 8.0 * KEYS)
    u = 1.0 - t
    return ([far(t + 1.0), near(t), near(u), far(u + 1.0)],
            [far_slope(t + 1.0), near_slope(t), -near_slope(u), -far_slope(u + 1.0)])


def _taps(p, way):
    """Of one dimension: a list of (index, mask, weight, d weight / d grid)."""
    f, t = p.f, p.t
    one = f.value(1.0, t.vector)
    if way == NEAREST:
        x, _ = p.inside()
        return [(*p.index(f.intrinsic("roundeven", x)), one, f.value(0.0, t.vector))]
    if way == LINEAR:
        x, slope = p.inside()
        low = f.intrinsic("floor", x)
        part = x - low
        return [(*p.index(low), 1.0 - part, -slope), (*p.index(low + 1.0), part, slope)]
    low = f.intrinsic("floor", p.raw)
    weights, slopes = _cubic(f, p.raw - low)
    found = []
    for k, (w, s) in enumerate(zip(weights, slopes, strict=True)):
        x = low + float(k - 1)
        if p.padding == REFLECTION:
            x = p.reflect(x)[0]
        if p.padding != ZEROS:
            x = f.intrinsic("roundeven", p.clip(x)[0])
        found.append((*p.index(x), w, s * p.slope))
    return found


class _Sampler:
    """What the three kernels share: the corners around a vector of places."""

    def __init__(self, t, dtype, dims, way, padding, align):
        t.type(dtype)
        self.t, self.f, self.dims = t, t.f, dims
        self.way, self.padding, self.align = way, padding, align
        self.sizes = [t.d, t.h, t.w][3 - dims:]
        f = t.f
        self.plane = f.value(1)
        for s in self.sizes:
            self.plane = self.plane * s
        self.ints = vector("i32", t.lanes)

    def axes(self, sample, place, valid):
        """The taps of each dimension of x, first to last."""
        t, f = self.t, self.f
        index = f.value(0, self.ints)
        index.name = "<" + ", ".join(f"i32 {i * self.dims}" for i in range(t.lanes)) + ">"
        base = t.grid + (sample * t.places + place) * (self.dims * t.size)
        found = []
        for k, size in enumerate(self.sizes):
            raw = gather(t, base + (self.dims - 1 - k) * t.size, index, valid)
            found.append(_taps(_Positions(t, raw, size, self.padding, self.align), self.way))
        return found

    def corners(self, axes):
        """(index into the plane, mask, taps) of every corner."""
        f = self.f
        for taps in product(*axes):
            index = mask = None
            for (i, inside, _, _), size in zip(taps, self.sizes, strict=True):
                wide = f.splat(size.cast("trunc", "i32"), self.t.lanes)
                index = i if index is None else index * wide + i
                mask = inside if mask is None else mask & inside
            yield index, mask, taps

    def weight(self, taps):
        w = None
        for _, _, v, _ in taps:
            w = v if w is None else w * v
        return w

    def kept(self, values):
        """Vectors put on the stack, to be read again for each channel."""
        slots = []
        for v in values:
            slot = self.f.var(v.type)
            slot.set(v)
            slots.append(slot)
        return slots


@cache
def sample(dtype, dims, way, padding, align):
    """The kernel ``(y, x, grid, words)``."""
    def write(t):
        s = _Sampler(t, dtype, dims, way, padding, align)
        f = t.f
        with t.tiles() as tile:
            n, first = tile.udiv(t.blocks), tile.urem(t.blocks) * PLACES
            with f.range(first, f.minimum(first + PLACES, t.places), step=t.lanes) as place:
                valid = t.mask(t.places - place)
                kept = [(s.kept((i, m & valid, s.weight(taps)))) for i, m, taps in s.corners(s.axes(n, place, valid))]
                with f.range(t.c) as c:
                    channel = n * t.c + c
                    x = t.x + channel * s.plane * t.size
                    total = None
                    for index, mask, weight in kept:
                        v = gather(t, x, index.get(), mask.get())
                        total = v * weight.get() if total is None else f.fma(v, weight.get(), total)
                    t.store(total, t.y + (channel * t.places + place) * t.size, valid)
    return array_kernel(f"grid sample {dtype} {dims} {way} {padding} {align}", ("y", "x", "grid"), WORDS, write)


@cache
def gradient_x(dtype, dims, way, padding, align):
    """The kernel ``(dx, g, grid, words)``: a tile is a sample and some of its channels, word ``blocks`` of them."""
    def write(t):
        s = _Sampler(t, dtype, dims, way, padding, align)
        f = t.f
        zero = f.value(0.0, t.vector)
        indices, weights = f.buffer(64 * 64), f.buffer(64 * 64)
        with t.tiles() as tile:
            per = (t.c + t.blocks - 1).udiv(t.blocks)
            n, begin = tile.udiv(t.blocks), tile.urem(t.blocks) * per
            end = f.minimum(begin + per, t.c)
            with f.range(begin, end) as c:
                place = t.dx + (n * t.c + c) * s.plane * t.size
                t.each(s.plane, lambda i, mask: t.store(zero, place + i * t.size, mask))
            with f.range(0, t.places, step=t.lanes) as place:
                valid = t.mask(t.places - place)
                count = 0
                for index, mask, taps in s.corners(s.axes(n, place, valid)):
                    # What lies outside adds nothing to the plane's first element.
                    inside = mask & valid
                    at = f.select(inside, index, f.value(-1, index.type))
                    f.store(at, indices + count * 4 * t.lanes, 4)
                    f.store(s.weight(taps), weights + count * t.size * t.lanes, t.size)
                    count += 1
                with f.range(begin, end) as c:
                    channel = n * t.c + c
                    dx = t.dx + channel * s.plane * t.size
                    g = t.g + (channel * t.places + place) * t.size
                    with f.range(f.minimum(f.value(t.lanes), t.places - place)) as lane:
                        v = t.scalar(g + lane * t.size)
                        for k in range(count):
                            i = f.load("i32", indices + (lane + k * t.lanes) * 4)
                            with f.if_(i >= 0):
                                at = dx + i.cast("sext", "i64") * t.size
                                w = t.scalar(weights + (lane + k * t.lanes) * t.size)
                                t.store_scalar(f.fma(v, w, t.scalar(at)), at)
    return array_kernel(f"grid sample gradient x {dtype} {dims} {way} {padding} {align}", ("dx", "g", "grid"), WORDS,
                        write)


@cache
def gradient_grid(dtype, dims, way, padding, align):
    """The kernel ``(dgrid, g, x, grid, words)``."""
    def write(t):
        s = _Sampler(t, dtype, dims, way, padding, align)
        f = t.f
        out = f.buffer(dims * 64)
        with t.tiles() as tile:
            n, first = tile.udiv(t.blocks), tile.urem(t.blocks) * PLACES
            with f.range(first, f.minimum(first + PLACES, t.places), step=t.lanes) as place:
                valid = t.mask(t.places - place)
                axes = s.axes(n, place, valid)
                corners = list(s.corners(axes))
                kept = []
                for index, mask, taps in corners:
                    slopes = []
                    for k in range(dims):
                        w = taps[k][3]
                        for j in range(dims):
                            if j != k:
                                w = w * taps[j][2]
                        slopes.append(w)
                    kept.append(s.kept((index, mask & valid, *slopes)))
                totals = [f.var(t.vector, 0.0) for _ in range(dims)]
                with f.range(t.c) as c:
                    channel = n * t.c + c
                    x = t.x + channel * s.plane * t.size
                    g = t.load(t.g + (channel * t.places + place) * t.size, valid)
                    for index, mask, *slopes in kept:
                        v = gather(t, x, index.get(), mask.get()) * g
                        for total, slope in zip(totals, slopes, strict=True):
                            total.set(f.fma(v, slope.get(), total.get()))
                for k in range(dims):
                    f.store(totals[k].get(), out + k * t.size * t.lanes, t.size)
                base = t.dgrid + (n * t.places + place) * (dims * t.size)
                with f.range(f.minimum(f.value(t.lanes), t.places - place)) as lane:
                    for k in range(dims):
                        v = f.load(t.compute, out + (lane + k * t.lanes) * t.size)
                        f.store(v, base + (lane * dims + (dims - 1 - k)) * t.size)
    return array_kernel(f"grid sample gradient grid {dtype} {dims} {way} {padding} {align}",
                        ("dgrid", "g", "x", "grid"), WORDS, write)


def words(shape, places, by_channels=False):
    """Words for x of ``shape`` (n, c, *sizes); tiles are blocks of places, or of channels."""
    n, c, *sizes = shape
    blocks = min(c, 8) if by_channels else -(-places // PLACES)
    if by_channels:
        blocks = -(-c // -(-c // blocks))
    sizes = [1] * (3 - len(sizes)) + sizes
    return pack("9q", n * blocks, n * c * places * 8, n, c, places, blocks, *sizes)
