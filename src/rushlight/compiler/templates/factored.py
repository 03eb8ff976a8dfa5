"""The steps of Adafactor as tasks of ``phases``: second moments of matrices kept as means over rows and columns.

A parameter is B matrices of R x C numbers; its record and those of tiles are int64 words (pointers, counts, bits of
doubles). ``plan_words`` of ``optim/adafactor`` lays them out. Three kinds of tiles:

* ``PLAIN``: numbers that keep all of their second moment (vectors);
* ``SMALL``: matrices whose R + C means fit a vector: as many at a time as a vector has lanes, element by element
  (``turns``), so that means need no sums across lanes;
* ``LARGE``: rectangles of one matrix (an *item*), which give sums over their rows and columns to be joined.

Phases: ``stats`` (all means of PLAIN and SMALL, and their sums of squares of the update; LARGE: partial sums), then for
LARGE ``join`` (means of rows and columns), ``level`` (the mean over rows) and ``squares`` (sums of squares of the
update); ``scale`` (the step of each parameter) and ``update``.

    V[r, c] = row[r] col[c] / max(mean(row), eps1),   u = g / sqrt(max(V, eps1^2)),   p <- p decay + step u
"""

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import phases, turns
from rushlight.compiler.templates.entries import TASK
from rushlight.compiler.templates.jobs import Job

PLAIN, SMALL, LARGE = range(3)
# Numbers of a step, doubles.
WEIGHT, REST, NEARER_END, EPS1, EPS1_SQUARED, EPS2, RHO, DECAY, LIMIT = range(9)
NUMBERS = 9
# Words of a parameter, a tile, an item (a large matrix) and a join of an item's partial sums.
P, G, ROW, COL, R, C, SIZE, TILE, TILES, STEP = range(10)
PARAM_WORDS = 10
PARAM, KIND, FROM, COUNT, COLUMNS, ITEM, ROW_PART, COL_PART, TOP, LEFT, SQUARES, UPDATES = range(12)
TILE_WORDS = 12
ITEM_PARAM, ITEM_ROW, ITEM_COL, ROW_PARTS, COL_PARTS, ROW_COUNT, COL_COUNT, INVERSE = range(8)
ITEM_WORDS = 8
JOIN_ITEM, OF_ROWS, JOIN_FROM, JOIN_COUNT = range(4)
JOIN_WORDS = 4
# Words of a context: table, numbers.
TASKS = ("stats", "join", "level", "squares", "scale", "update")


def tasks(dtype):
    """{name: address} of the tasks for float32 or float64."""
    names = [f"rl_factored_{name}" for name in TASKS]
    from rushlight.runtime import cpu

    found = phases.tasks(f"factored {dtype} {cpu.vector_bytes()}", lambda: module_text(dtype), names)
    return {name: found[f"rl_factored_{name}"] for name in TASKS}


def most_small(dtype):
    """The most of R + C of a SMALL matrix."""
    return host().lanes(8 if dtype == "float64" else 4)


def module_text(dtype):
    """The IR of the tasks."""
    m = Module(host().triple)
    for name, write in (("stats", _stats), ("join", _join), ("level", _level), ("squares", _squares),
                        ("scale", _scale), ("update", _update)):
        f = m.function(f"rl_factored_{name}", "void", TASK, attributes="nounwind")
        _Writer(f, dtype).run(write)
    return m.text()


class _Record:
    """A record's words by their numbers."""

    def __init__(self, f, place):
        self.f, self.place = f, place

    def int(self, k):
        return self.f.load("i64", self.place + 8 * k)

    def pointer(self, k):
        return self.f.load("ptr", self.place + 8 * k)

    def number(self, k):
        return self.f.load("double", self.place + 8 * k)

    def put(self, k, value):
        self.f.store(value, self.place + 8 * k)


class _Writer:
    """One task: vectors of the dtype, the numbers of the step."""

    def __init__(self, f, dtype):
        self.f, self.j = f, Job(f, dtype, (), ())
        self.item, self.lanes, self.size = self.j.item, self.j.lanes, self.j.lanes * self.j.item
        self.table, self.numbers = f.load("ptr", f.args[0]), _Record(f, f.load("ptr", f.args[0] + 8))

    def run(self, write):
        f = self.f
        self.weight, self.rest = (self.spread(self.numbers.number(k)) for k in (WEIGHT, REST))
        self.nearer_end = self.numbers.number(NEARER_END).ne(0.0)
        self.eps1, self.least = (self.spread(self.numbers.number(k)) for k in (EPS1, EPS1_SQUARED))
        self.zero = f.value(0.0, self.j.vector)
        with f.range(f.args[1], f.args[2]) as t:
            write(self, t)
        f.ret()

    def spread(self, number):
        """A double as a vector of equal elements."""
        return self.f.splat(number if self.j.element == "double" else number.cast("fptrunc", "float"), self.lanes)

    def lerp(self, old, new):
        """old + weight (new - old), from the nearer end as ``torch.lerp``."""
        difference = new - old
        near = self.f.fma(difference, self.weight, old)
        return self.f.select(self.nearer_end, self.f.fma(-difference, self.rest, new), near)

    def larger(self, x, least):
        """x clamped from below; NaN stays."""
        return self.f.select(x < least, least, x)

    def accumulator(self):
        return self.f.var(self.j.vector, self.zero)

    def total(self, *sums):
        """The sum of vectors' elements as a double."""
        f, total = self.f, None
        for x in sums:
            x = x.get().cast("fpext", "double") if self.item == 4 else x.get()
            total = x if total is None else total + x
        parts = [f.extract(total, k) for k in range(self.lanes)]
        while len(parts) > 1:
            parts = [a + b for a, b in zip(parts[::2], parts[1::2])]
        return parts[0]

    def squared(self, place, n, tile, word):
        """Put the sum of squares of n elements into a tile's word."""
        f, sums = self.f, [self.accumulator() for _ in range(4)]
        whole = n & (-4 * self.lanes)
        with f.range(0, whole, step=4 * self.lanes) as at:
            for k, s in enumerate(sums):
                x = self.j.load(place + (at * self.item + k * self.size))
                s.set(f.fma(x, x, s.get()))

        def visit(at, mask):
            x = self.j.load(place + (whole + at) * self.item, mask)
            sums[0].set(f.fma(x, x, sums[0].get()))
        self.j.vectors(n - whole, visit)
        tile.put(word, self.total(*sums))

    def moved(self, place, u, decay, step, mask):
        self.j.store(self.f.fma(step, u, self.j.load(place, mask) * decay), place, mask)

    # What SMALL tiles share: groups of matrices with their gradients and means turned.

    def groups(self, tile, param, visit):
        """``visit(first matrix, rows, r, c)`` with the group's gradients and means turned."""
        f, j = self.f, self.j
        r, c = param.int(R), param.int(C)
        begin, count = tile.int(FROM), tile.int(COUNT)
        with f.range(0, count, step=self.lanes) as at:
            first, rows = begin + at, f.minimum(count - at, self.lanes)
            turns.turn(f, j, param.pointer(G) + first * r * c * self.item, rows, r * c, self.turned)
            turns.turn_pair(f, j, param.pointer(ROW) + first * r * self.item, r,
                            param.pointer(COL) + first * c * self.item, c, rows, self.means)
            visit(first, rows, r, c)

    def buffers(self):
        # R C <= (lanes / 2)^2, in whole squares.
        self.turned = self.f.buffer(max(self.lanes * self.lanes // 4, self.lanes) * self.size, 64)
        self.means = self.f.buffer(self.lanes * self.size, 64)
        self.laid = self.f.buffer((max(self.lanes * self.lanes // 4, self.lanes) + 1) * self.size, 64)

    def level(self, r):
        """1 / max(mean of the turned rows' means, eps1)."""
        f, total = self.f, self.accumulator()
        with f.range(r) as k:
            total.set(total.get() + f.load(self.j.vector, self.means + k * self.size))
        number = f.splat(r.cast("sitofp", self.j.element), self.lanes)
        return self.f.value(1.0, self.j.vector) / self.larger(total.get() / number, self.eps1)

    def elements(self, r, c, inverse, visit):
        """``visit(place in turned, V)`` for each element."""
        f = self.f
        with f.range(r) as i:
            row = self.j.load(self.means + i * self.size)
            with f.range(c) as k:
                col = self.j.load(self.means + (r + k) * self.size)
                visit(self.turned + (i * c + k) * self.size, self.larger(row * col * inverse, self.least))


def _parts(w, t):
    """The tile t, its parameter and kind."""
    tile = _Record(w.f, w.table + t * (8 * TILE_WORDS))
    return tile, _Record(w.f, tile.pointer(PARAM)), tile.int(KIND)


def _stats(w, t):
    f = w.f
    w.buffers()
    tile, param, kind = _parts(w, t)
    with f.if_(kind.eq(PLAIN)):
        _stats_plain(w, tile, param)
    with f.if_(kind.eq(SMALL)):
        _stats_small(w, tile, param)
    with f.if_(kind.eq(LARGE)):
        _stats_large(w, tile, param)


def _stats_plain(w, tile, param):
    f, n, total = w.f, tile.int(COUNT), w.accumulator()
    at = tile.int(FROM) * w.item
    g, moment = param.pointer(G) + at, param.pointer(ROW) + at
    w.squared(param.pointer(P) + at, n, tile, SQUARES)

    def visit(i, mask):
        x, place = w.j.load(g + i * w.item, mask), moment + i * w.item
        v = w.lerp(w.j.load(place, mask), x * x)
        w.j.store(v, place, mask)
        u = x * x / w.larger(v, w.least)
        total.set(total.get() + (u if mask is None else f.select(mask, u, w.zero)))
    w.j.vectors(n, visit)
    tile.put(UPDATES, w.total(total))


def _stats_small(w, tile, param):
    f, j, total = w.f, w.j, w.accumulator()
    r, c = param.int(R), param.int(C)
    w.squared(param.pointer(P) + tile.int(FROM) * r * c * w.item, tile.int(COUNT) * r * c, tile, SQUARES)

    def mean(place, share, step, many, to):
        """The sum of squares at ``place``, ``step`` apart, times ``share``, averaged into ``to``."""
        sums = w.accumulator()
        with f.range(many) as k:
            x = j.load(place + k * step)
            sums.set(f.fma(x, x, sums.get()))
        j.store(w.lerp(j.load(to), sums.get() * share), to)

    one = f.value(1.0, j.element)
    of_row, of_column = (f.splat(one / n.cast("sitofp", j.element), w.lanes) for n in (c, r))

    def group(first, rows, r, c):
        with f.range(r) as i:
            mean(w.turned + i * c * w.size, of_row, f.value(w.size), c, w.means + i * w.size)
        with f.range(c) as k:
            mean(w.turned + k * w.size, of_column, c * w.size, r, w.means + (r + k) * w.size)
        valid = j.below(rows)

        def element(place, v):
            x = j.load(place)
            total.set(total.get() + f.select(valid, x * x / v, w.zero))
        w.elements(r, c, w.level(r), element)
        in_row, both = j.below(r), j.below(r + c)
        row, before = param.pointer(ROW) + first * r * w.item, param.pointer(COL) + (first * c - r) * w.item

        def put(k, x):
            j.store(x, row + r * (k * w.item), in_row)
            j.store(x, before + c * (k * w.item), both & ~in_row)
        turns.turned_back(f, j, w.means, rows, put)
    w.groups(tile, param, group)
    tile.put(UPDATES, w.total(total))


def _stats_large(w, tile, param):
    """Sums of g^2 over the rectangle's rows and columns into the item's parts."""
    f = w.f
    item = _Record(f, tile.pointer(ITEM))
    rows, columns = tile.int(COUNT), tile.int(COLUMNS)
    # FROM counts elements of the parameter up to the rectangle's first.
    at, pitch = tile.int(FROM) * w.item, param.int(C) * w.item
    g, p = param.pointer(G) + at, param.pointer(P) + at
    row_parts = item.pointer(ROW_PARTS) + tile.int(ROW_PART) * w.item
    col_parts = item.pointer(COL_PARTS) + tile.int(COL_PART) * w.item
    squares = [w.accumulator(), w.accumulator()]

    def zero(i, mask):
        w.j.store(w.zero, col_parts + i * w.item, mask)
    w.j.vectors(columns, zero)

    def some(first, many):
        sums = [w.accumulator() for _ in range(many)]
        here = [first * pitch + pitch * k for k in range(many)]

        def visit(i, mask):
            place = col_parts + i * w.item
            column = w.j.load(place, mask)
            for k, (offset, total) in enumerate(zip(here, sums)):
                x, y = w.j.load(g + offset + i * w.item, mask), w.j.load(p + offset + i * w.item, mask)
                total.set(f.fma(x, x, total.get()))
                column = f.fma(x, x, column)
                squares[k & 1].set(f.fma(y, y, squares[k & 1].get()))
            w.j.store(column, place, mask)
        w.j.vectors(columns, visit)
        for k, total in enumerate(sums):
            x = w.total(total)
            f.store(x.cast("fptrunc", "float") if w.item == 4 else x, row_parts + (first + k) * w.item)
    whole = rows & -4
    with f.range(0, whole, step=4) as i:
        some(i, 4)
    with f.range(whole, rows) as i:
        some(i, 1)
    tile.put(SQUARES, w.total(*squares))


def _join(w, t):
    """Some of an item's means of rows or columns from the parts."""
    f = w.f
    join = _Record(f, w.table + t * (8 * JOIN_WORDS))
    item = _Record(f, join.pointer(JOIN_ITEM))
    param = _Record(f, item.pointer(ITEM_PARAM))
    of_rows, first, count = join.int(OF_ROWS).ne(0), join.int(JOIN_FROM), join.int(JOIN_COUNT)
    r, c = param.int(R), param.int(C)
    to = f.select(of_rows, item.pointer(ITEM_ROW), item.pointer(ITEM_COL)) + first * w.item
    parts = f.select(of_rows, item.pointer(ROW_PARTS), item.pointer(COL_PARTS)) + first * w.item
    many = f.select(of_rows, item.int(ROW_COUNT), item.int(COL_COUNT))
    pitch = f.select(of_rows, r, c) * w.item
    number = f.splat(f.select(of_rows, c, r).cast("sitofp", w.j.element), w.lanes)
    wide = f"<{w.lanes} x double>"

    def visit(i, mask):
        total = f.var(wide, f.value(0.0, wide))
        with f.range(many) as k:
            x = w.j.load(parts + k * pitch + i * w.item, mask)
            total.set(total.get() + (x.cast("fpext", "double") if w.item == 4 else x))
        x, place = total.get(), to + i * w.item
        x = x.cast("fptrunc", "float") if w.item == 4 else x
        w.j.store(w.lerp(w.j.load(place, mask), x / number), place, mask)
    w.j.vectors(count, visit)


def _level(w, t):
    """An item's 1 / max(mean of rows' means, eps1)."""
    f = w.f
    item = _Record(f, w.table + t * (8 * ITEM_WORDS))
    param = _Record(f, item.pointer(ITEM_PARAM))
    total, row, r = w.accumulator(), item.pointer(ITEM_ROW), param.int(R)
    w.j.vectors(r, lambda i, mask: total.set(total.get() + w.j.load(row + i * w.item, mask)))
    mean = w.total(total) / r.cast("sitofp", "double")
    least = w.numbers.number(EPS1)
    item.put(INVERSE, f.value(1.0, "double") / f.select(mean < least, least, mean))


def _rectangle(w, tile, param, visit):
    """``visit(place of the element in the parameter, V, mask)`` for vectors of a LARGE tile."""
    f = w.f
    item = _Record(f, tile.pointer(ITEM))
    pitch, inverse = param.int(C) * w.item, w.spread(item.number(INVERSE))
    at, columns = tile.int(FROM) * w.item, tile.int(COLUMNS)
    row = item.pointer(ITEM_ROW) + tile.int(TOP) * w.item
    col = item.pointer(ITEM_COL) + tile.int(LEFT) * w.item
    with f.range(tile.int(COUNT)) as r:
        mean = f.splat(f.load(w.j.element, row + r * w.item), w.lanes)
        here = at + r * pitch

        def vector(i, mask):
            v = mean * w.j.load(col + i * w.item, mask) * inverse
            visit(here + i * w.item, w.larger(v, w.least), mask)
        w.j.vectors(columns, vector)


def _squares(w, t):
    """The sum of squares of a LARGE tile's update."""
    f, total = w.f, w.accumulator()
    tile, param, _ = _parts(w, t)
    g = param.pointer(G)

    def visit(at, v, mask):
        x = w.j.load(g + at, mask)
        u = x * x / v
        total.set(total.get() + (u if mask is None else f.select(mask, u, w.zero)))
    _rectangle(w, tile, param, visit)
    tile.put(UPDATES, w.total(total))


def _scale(w, t):
    """The factor of u in a parameter's step: -max(eps2, RMS(p)) rho / max(1, RMS(u) / d)."""
    f = w.f
    param = _Record(f, w.table + t * (8 * PARAM_WORDS))
    squares, updates, first = f.var("double", 0.0), f.var("double", 0.0), param.pointer(TILE)
    with f.range(param.int(TILES)) as k:
        tile = _Record(f, first + k * (8 * TILE_WORDS))
        squares.set(squares.get() + tile.number(SQUARES))
        updates.set(updates.get() + tile.number(UPDATES))
    size = f.intrinsic("sqrt", param.int(SIZE).cast("sitofp", "double"))
    eps2, rho, limit = (w.numbers.number(k) for k in (EPS2, RHO, LIMIT))
    length = f.intrinsic("sqrt", squares.get()) / size
    length = f.select(length > eps2, length, eps2)
    excess = f.intrinsic("sqrt", updates.get()) / (size * limit)
    excess = f.select(excess > 1.0, excess, f.value(1.0, "double"))
    param.put(STEP, length * rho / excess)


def _update(w, t):
    f, j = w.f, w.j
    w.buffers()
    tile, param, kind = _parts(w, t)
    step, decay = w.spread(param.number(STEP)), w.spread(w.numbers.number(DECAY))
    p, g = param.pointer(P), param.pointer(G)
    with f.if_(kind.eq(PLAIN)):
        at = tile.int(FROM) * w.item
        moment = param.pointer(ROW)

        def plain(i, mask):
            here = at + i * w.item
            v = w.larger(w.j.load(moment + here, mask), w.least)
            w.moved(p + here, w.j.load(g + here, mask) / f.intrinsic("sqrt", v), decay, step, mask)
        w.j.vectors(tile.int(COUNT), plain)
    with f.if_(kind.eq(SMALL)):
        def group(first, rows, r, c):
            def element(place, v):
                j.store(j.load(place) / f.intrinsic("sqrt", v), place)
            w.elements(r, c, w.level(r), element)
            start = p + first * r * c * w.item
            turns.laid_out(f, j, w.turned, r * c, w.laid)
            w.j.vectors(rows * r * c, lambda i, mask: w.moved(
                start + i * w.item, w.j.load(w.laid + i * w.item, mask), decay, step, mask))
        w.groups(tile, param, group)
    with f.if_(kind.eq(LARGE)):
        def visit(at, v, mask):
            w.moved(p + at, w.j.load(g + at, mask) / f.intrinsic("sqrt", v), decay, step, mask)
        _rectangle(w, tile, param, visit)
