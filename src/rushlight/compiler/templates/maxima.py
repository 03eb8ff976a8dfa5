"""Largest values of windows of planes, with their positions, and the scattering of gradients to them.

    maxima(y, index, x, geometry)           y and index (planes, oh, ow), x (planes, h, w)
    scatter(x, g, index, geometry)          x = 0; x[plane, index[plane, l]] += g[plane, l], in the order of l
                                            (positions beyond the plane are left out)

    codes(y, code, x, geometry)             the same by numbers of the window's elements, i kw + j, one byte each
    scatter codes(x, g, code, geometry)

All in C order, index of int64: the position in its plane of the window's last NaN, else of its first largest value.
``scatter last`` takes images whose channels are behind, x (n, h w, c), g and index (n, l, c): kw is c, kh the number of
blocks of ``BLOCK`` channels, planes n times that, w the positions of a plane.
``geometry`` is an int64 array of the words in ``FIELDS``; the step along rows, sw, is 1 or 2. Lanes are neighbouring
windows; what lies outside the plane is masked out. A tile is a plane.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.templates import entries

FIELDS = ("planes", "h", "w", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "oh", "ow")
LANES = (4, 8)
BLOCK = 64
CODES = 256                     # elements of a window, at most, where they are numbered
_PARALLEL_FROM = 1 << 14        # elements read


@cache
def kernel(name, type_):
    """``maxima`` and ``codes``, for rows of any length or of up to ``LANES[0]`` (``maxima narrow``), ``scatter``,
    ``scatter last`` or ``scatter codes``.

    ``type_`` is LLVM's of the elements: ``float`` or ``double``.
    """
    entry = "rl_scatter" if name.startswith("scatter") else "rl_maxima"
    return entries.load(f"{name} {type_}", lambda: module_text(name, type_), (entry,))[0]


def module_text(name, type_):
    """The IR of an entry and its tasks."""
    m = entries.new_module()
    size = {"float": 4, "double": 8}[type_]
    if name.startswith("scatter"):
        {"scatter": _scatter_task, "scatter last": _scatter_last_task, "scatter codes": _scatter_codes_task}[name](
            m, type_, size)
        _entry(m, "rl_scatter", 3)
        return m.text()
    lanes = LANES[not name.endswith("narrow")]
    for step in (1, 2):
        _maxima_task(m, type_, size, lanes, step, name.startswith("codes"))
        _squares_task(m, type_, size, lanes, step, name.startswith("codes"))
    _entry(m, "rl_maxima", 3, lanes)
    return m.text()


class _Job:
    def __init__(self, f, context):
        self.arrays = [f.load("ptr", context + 8 * k) for k in range(3)]
        for k, name in enumerate(FIELDS):
            setattr(self, name, f.load("i64", context + 8 * (3 + k)))


def _maxima_task(m, type_, size, lanes, step, codes):
    f = entries.task(m, f"rl_maxima{lanes}_{step}")
    g = _Job(f, f.args[0])
    y, index, x = g.arrays
    kind, ints = vector(type_, lanes), f"<{lanes} x i32>"
    iota = f.iota(lanes)
    best, where = f.var(kind), f.var(ints)
    low = f.value(float("-inf"), kind)
    wide = f.splat(g.w.cast("trunc", "i32"), lanes)

    with f.range(f.args[1], f.args[2]) as plane, f.range(g.oh) as p:
        source = x + plane * g.h * g.w * size
        target = (plane * g.oh + p) * g.ow
        top = p * g.sh - g.ph
        # The first row and column of a window inside the plane.
        first_row = f.select(top < 0, top + (g.dh - 1 - top) // g.dh * g.dh, top)
        with f.range(0, g.ow, step=lanes) as q:
            left = f.splat((q * step - g.pw).cast("trunc", "i32"), lanes) + iota * step
            gap = f.splat(g.dw.cast("trunc", "i32"), lanes)
            corner = f.splat((first_row * g.w).cast("trunc", "i32"), lanes)
            best.set(low)
            skipped = f.splat(((first_row - top) // g.dh * g.kw).cast("trunc", "i32"), lanes) if codes else None
            where.set(skipped if codes else corner + left)
            with f.if_(q * step < g.pw):
                inside = f.select(left < 0, left + (gap - 1 - left) // gap * gap, left)
                where.set(skipped + (inside - left) // gap if codes else corner + inside)
            valid = f.below(g.ow - q, lanes)
            with f.range(g.kh) as i:
                row = top + i * g.dh
                with f.if_((row >= 0) & (row < g.h)), f.range(g.kw) as j:
                    column = left + f.splat((j * g.dw).cast("trunc", "i32"), lanes)
                    mask = valid & (column >= 0) & (column < wide)
                    place = source + (row * g.w + q * step - g.pw + j * g.dw) * size
                    value = _load(f, kind, lanes, step, place, mask)
                    position = f.splat((i * g.kw + j).cast("trunc", "i32"), lanes) if codes else \
                        f.splat((row * g.w).cast("trunc", "i32"), lanes) + column
                    old = best.get()
                    take = mask & ((value > old) | value.isnan())
                    best.set(f.select(take, value, old))
                    where.set(f.select(take, position, where.get()))
            f.masked_store(best.get(), y + (target + q) * size, valid)
            _put(f, where.get(), (index, target + q), valid, codes)
    f.ret()


def _put(f, where, index, valid, codes):
    """Store positions, or numbers of elements, of the windows from the place ``index`` (array, number)."""
    array, at = index
    if codes:
        f.masked_store(where.cast("trunc", "i8"), array + at, valid)
    else:
        f.masked_store(where.cast("sext", "i64"), array + at * 8, valid)


def _squares_task(m, type_, size, lanes, rows, codes):
    """Windows of 2 by 2 (or 1 by 2) in steps of 2 along rows that all lie inside, the most frequent ones."""
    f = entries.task(m, f"rl_squares{lanes}_{rows}")
    g = _Job(f, f.args[0])
    y, index, x = g.arrays
    iota = f.iota(lanes)
    none = Value(f, "zeroinitializer", f"<{lanes} x i1>")
    with f.range(f.args[1], f.args[2]) as plane, f.range(g.oh) as p:
        target = (plane * g.oh + p) * g.ow
        corner = p * g.sh * g.w
        source = x + (plane * g.h * g.w + corner) * size
        with f.range(0, g.ow, step=lanes) as q:
            valid = f.below(g.ow - q, lanes)
            pairs = f.shuffle(valid, none, [i // 2 for i in range(2 * lanes)])
            best = where = None
            for i in range(rows):
                row = f.masked_load(vector(type_, 2 * lanes), source + (g.w * i + q * 2) * size, pairs)
                first = f.splat((corner + g.w * i + q * 2).cast("trunc", "i32"), lanes) + iota * 2
                for j in range(2):
                    value = f.shuffle(row, row, list(range(j, 2 * lanes, 2)))
                    position = f.splat(f.value(2 * i + j, "i32"), lanes) if codes else first + j
                    if best is None:
                        best, where = value, position
                        continue
                    take = (value > best) | value.isnan()
                    best, where = f.select(take, value, best), f.select(take, position, where)
            f.masked_store(best, y + (target + q) * size, valid)
            _put(f, where, (index, target + q), valid, codes)
    f.ret()


def _load(f, kind, lanes, step, place, mask):
    """Every ``step``-th element from ``place``."""
    if step == 1:
        return f.masked_load(kind, place, mask)
    n = lanes * step
    nothing = Value(f, "zeroinitializer", mask.type)
    spread = f.shuffle(mask, nothing, [i // step if not i % step else lanes for i in range(n)])
    type_ = kind.split(" x ")[1][:-1]
    value = f.masked_load(vector(type_, n), place, spread)
    return f.shuffle(value, value, list(range(0, n, step)))


def _scatter_task(m, type_, size):
    f = entries.task(m, "rl_scatter_task")
    g = _Job(f, f.args[0])
    x, gradient, index = g.arrays
    plane, count = g.h * g.w, g.oh * g.ow
    zero = f.value(0.0, type_)
    with f.range(f.args[1], f.args[2]) as tile:
        target, first = x + tile * plane * size, tile * count
        with f.range(plane) as i:
            f.store(zero, target + i * size)
        with f.range(count) as l:
            position = f.load("i64", index + (first + l) * 8)
            with f.if_(position.ult(plane)):
                place = target + position * size
                f.store(f.load(type_, place) + f.load(type_, gradient + (first + l) * size), place)
    f.ret()


def _scatter_last_task(m, type_, size):
    f = entries.task(m, "rl_scatter_task")
    g = _Job(f, f.args[0])
    x, gradient, index = g.arrays
    plane, count, channels, lanes = g.w, g.ow, g.kw, LANES[1]
    with f.range(f.args[1], f.args[2]) as tile:
        image, begin = tile // g.kh, tile % g.kh * BLOCK
        n = f.minimum(channels - begin, BLOCK)
        whole = n & -lanes
        target = x + (image * plane * channels + begin) * size
        with f.range(plane) as i:
            here = target + i * channels * size
            with f.range(0, whole, step=lanes) as c:
                f.store(f.value(0.0, vector(type_, lanes)), here + c * size, align=size)
            with f.range(whole, n) as c:
                f.store(f.value(0.0, type_), here + c * size)
        with f.range(count) as l:
            first = (image * count + l) * channels + begin
            with f.range(n) as c:
                position = f.load("i64", index + (first + c) * 8)
                with f.if_(position.ult(plane)):
                    place = target + (position * channels + c) * size
                    f.store(f.load(type_, place) + f.load(type_, gradient + (first + c) * size), place)
    f.ret()


def _scatter_codes_task(m, type_, size):
    f = entries.task(m, "rl_scatter_task")
    g = _Job(f, f.args[0])
    x, gradient, code = g.arrays
    lanes = LANES[1]
    zero = f.value(0.0, type_)
    apart = (g.kh <= g.sh) & g.kw.eq(2) & g.sw.eq(2) & g.dh.eq(1) & g.dw.eq(1) & g.ph.eq(0) & g.pw.eq(0) & \
        (g.ow * 2 <= g.w) & ((g.oh - 1) * g.sh + g.kh <= g.h)
    covered = apart & g.kh.eq(g.sh) & (g.oh * g.sh).eq(g.h) & (g.ow * 2).eq(g.w)
    moves = f.buffer(8 * CODES)
    with f.range(g.kh) as i, f.range(g.kw) as j:
        f.store(i * g.dh * g.w + j * g.dw, moves + (i * g.kw + j) * 8)
    with f.range(f.args[1], f.args[2]) as plane:
        target = x + plane * g.h * g.w * size
        with f.if_(~covered), f.range(g.h * g.w) as i:
            f.store(zero, target + i * size)
        with f.range(g.oh) as p:
            first = (plane * g.oh + p) * g.ow
            corner = (p * g.sh - g.ph) * g.w - g.pw
            with f.if_else(apart) as (pairs, any_):
                with pairs, f.range(g.kh) as i, f.range(0, g.ow, step=lanes) as q:
                    # What is written here is written once.
                    valid = f.below(g.ow - q, lanes)
                    value = f.masked_load(vector(type_, lanes), gradient + (first + q) * size, valid) + \
                        f.splat(zero, lanes)
                    number = f.masked_load(vector("i8", lanes), code + first + q, valid).cast("zext", "i32")
                    at = f.splat((i * 2).cast("trunc", "i32"), lanes)
                    none = f.splat(zero, lanes)
                    left, right = (f.select(number.eq(at + j), value, none) for j in range(2))
                    both = [k // 2 + k % 2 * lanes for k in range(2 * lanes)]
                    wide = f.shuffle(valid, valid, both)
                    f.masked_store(f.shuffle(left, right, both), target + (corner + i * g.w + q * 2) * size, wide)
                with any_, f.range(g.ow) as q:
                    move = f.load("i64", moves + f.load("i8", code + first + q).cast("zext", "i64") * 8)
                    place = target + (corner + q * g.sw + move) * size
                    f.store(f.load(type_, place) + f.load(type_, gradient + (first + q) * size), place)
    f.ret()


def _entry(m, name, arrays, lanes=0):
    f, context = entries.begin(m, name, arrays, len(FIELDS), 0)
    g = _Job(f, context)
    if name == "rl_scatter":
        task, work = f.symbol("rl_scatter_task"), g.planes * g.h * g.w
    else:
        steps = [f.symbol(f"rl_maxima{lanes}_{step}") for step in (1, 2)]
        squares = (g.kh <= 2) & g.kw.eq(2) & g.sw.eq(2) & g.dh.eq(1) & g.dw.eq(1) & g.ph.eq(0) & g.pw.eq(0) & \
            (g.ow * 2 <= g.w) & ((g.oh - 1) * g.sh + g.kh <= g.h)
        square = f.select(g.kh.eq(1), *(f.symbol(f"rl_squares{lanes}_{rows}") for rows in (1, 2)))
        task, work = f.select(squares, square, f.select(g.sw.eq(1), *steps)), g.planes * g.oh * g.ow * g.kh * g.kw
    entries.share(f, task, context, g.planes, work, _PARALLEL_FROM)
    entries.none(f)
