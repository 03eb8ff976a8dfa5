"""Reading and writing by index: gather, scatter and their reductions over any geometry.

    call(a, index, v, n, step, wrap, parts, m, im, vm, b, ab, ib, vb, [size, a, i, v] ...) -> bool

walks over all positions of `index` (int64). At each, ``i = index[..]`` picks the element ``a[.. + i * step]`` of the
indexed array, where 0 <= i < n (with `wrap` true: -n <= i < n), and with `v`'s element at the position it does

    get  v = a[i]        put  a[i] = v        add mul max min  a[i] = op(a[i], v)

True comes back when an index was out of range; its position is left out. Sizes count elements, steps are bytes. The
positions are those of the *picked* dimension (size m; steps im, vm in index and v), of an *inner* one (size b; steps
ab, ib, vb) and of any number of outer ones, innermost first. Results depend on no order but that along the picked
dimension, which is kept: tiles that write share no element of `a`. Where nothing but the picked dimension is large,
tiles are ranges of targets and each walks over all indices; for ``add``, ``max`` and ``min`` of few targets, ranges of
indices instead, each with targets of its own, which are combined in order.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries
from rushlight.runtime import cpu

WORDS = ("a", "index", "v", "bad", "rows", "block", "chunk", "group", "blocks", "chunks", "ranges", "stream", "work")
ARGUMENTS = ("n", "step", "wrap", "parts", "m", "im", "vm", "b", "ab", "ib", "vb")
OUTER = len(WORDS) + len(ARGUMENTS)
MAX_OUTER = 64                  # NumPy's bound on dimensions
TILE = 1 << 14                  # elements a tile
PARTS_FROM = 1 << 15            # indices from which it is worth to look through them several times
FEW = 1 << 11                   # targets that each range of indices has for itself,
COPIES = 4                      # several times, as additions to one place wait for each other
MOST_PARTS, PART = 64, 1 << 15  # such ranges, and indices in one at least
LISTED = 512                    # indices looked through at a time
SOON = 16                       # listed elements between asking for memory and using it
BLOCK = 8                       # indices that are looked at together
AHEAD = 12                      # rows between asking for memory and using it
SIZES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "i128": 16, "float": 4, "double": 8}


@cache
def kernel(op, type_, unsigned=False):
    """The walk for operation `op` on LLVM element type `type_` (any of its size for get and put)."""
    name = f"rl_{op}"
    return entries.load(f"indexed {op} {type_} {unsigned}", lambda: module_text(op, type_, unsigned), (name,))[0]


def module_text(op, type_, unsigned=False):
    """The IR of the entry and its task."""
    m = entries.new_module()
    _task(m, op, type_, unsigned)
    apart = op in ("add", "max", "min")
    if apart:
        _part(m, op, type_, unsigned)
    _entry(m, op, type_, unsigned, apart)
    return m.text()


class _Context:
    def __init__(self, f, pointer):
        self.f, self.pointer = f, pointer

    def __getitem__(self, name):
        k = WORDS.index(name) if name in WORDS else len(WORDS) + ARGUMENTS.index(name)
        return self.f.load("ptr" if k < 3 or name == "work" else "i64", self.pointer + 8 * k)

    def put(self, name, value):
        self.f.store(self.f.value(value), self.pointer + 8 * WORDS.index(name))


def _combine(f, op, old, new, unsigned):
    """``op(old, new)``; not-a-number wins in max and min."""
    if op == "add":
        return old + new
    if op == "mul":
        return old * new
    if old.is_float:
        better = new > old if op == "max" else new < old
        return f.select(better | new.isnan(), new, old)
    if unsigned:
        better = new.ugt(old) if op == "max" else new.ult(old)
    else:
        better = new > old if op == "max" else new < old
    return f.select(better, new, old)


def _apply(f, op, type_, target, value, unsigned):
    """The operation on one element, or one vector of them."""
    if op == "get":
        f.store(f.load(type_, target, 1), value, 1)
        return
    new = f.load(type_, value, 1)
    if op != "put":
        new = _combine(f, op, f.load(type_, target, 1), new, unsigned)
    f.store(new, target, 1)


def _task(m, op, type_, unsigned):
    """Tile: some rows, a block of their inner elements, a chunk of the indices, a range of targets."""
    f = entries.task(m, f"rl_{op}_task")
    walk = _Walk(f, op, type_, unsigned)
    with f.range(f.args[1], f.args[2]) as tile:
        first_row = walk.begin(tile)
        with f.range(first_row, f.minimum(first_row + walk.g["group"], walk.rows)) as row:
            walk.row(row)
    with f.if_(walk.bad.get().ne(0)):
        walk.g.put("bad", 1)
    f.ret()


class _Walk:
    """The walk of a task over the indices of its rows; targets, indices and values are ``a0``, ``i0`` and ``v0`` on."""

    def __init__(self, f, op, type_, unsigned):
        self.f, self.op, self.type, self.unsigned, self.size = f, op, type_, unsigned, SIZES[type_]
        g = self.g = _Context(f, f.args[0])
        self.n, self.step, wrap = g["n"], g["step"], g["wrap"]
        self.wrapped = f.select(wrap.ne(0), self.n, f.value(0))     # what is added to indices below zero
        self.b, self.ab, self.ib, self.vb = (g[k] for k in ("b", "ab", "ib", "vb"))
        self.im, self.vm = g["im"], g["vm"]
        self.bad = f.var("i64", 0)
        self.rows, self.outer = g["rows"], g.pointer + 8 * OUTER
        self.dense = self.ib.eq(0) & self.ab.eq(self.size) & self.vb.eq(self.size)
        self.constant = self.ib.eq(0) & self.ab.eq(self.size) & self.vb.eq(0)

    def begin(self, tile):
        """What the tile has of targets, inner elements and indices; gives its first row."""
        f, g = self.f, self.g
        self.left = f.var("i64", tile)
        span = blocks.ceil_div(self.n, g["ranges"])
        self.low = self.take(g["ranges"]) * span
        self.span = f.minimum(span, self.n - self.low)
        self.first = self.take(g["blocks"]) * g["block"]
        self.count = f.minimum(g["block"], self.b - self.first)
        self.start = self.take(g["chunks"]) * g["chunk"]
        self.end = f.minimum(self.start + g["chunk"], g["m"])
        return self.left.get() * g["group"]

    def take(self, count):
        """The next digit, below ``count``, of a number that several are packed into."""
        now = self.left.get()
        self.left.set(now.udiv(count))
        return now.urem(count)

    def row(self, r):
        """All indices of a row."""
        f = self.f
        self.a0, self.i0, self.v0 = self.places(r)
        if self.op != "get":
            next_row = f.fresh("listed")
            with f.if_(self.g["ranges"] > 1):
                _listed(self)
                f.terminate(f"br label %{next_row}")
        with f.if_else(self.b.eq(1)) as (single, inner):
            with single:
                self.single_elements()
            with inner, f.range(self.start, self.end) as k:
                self.inner_elements(k)
        if self.op != "get":
            f.label(next_row)

    def places(self, r):
        """Where the row's targets, indices and values begin."""
        f, g = self.f, self.g
        base = f.var("ptr", g["a"] + self.first * self.ab)
        indices = f.var("ptr", g["index"] + self.first * self.ib)
        values = f.var("ptr", g["v"] + self.first * self.vb)
        self.left.set(r)
        d = f.var("ptr", self.outer)
        with f.loop() as dims:
            dims.break_if(self.left.get().eq(0))
            here = d.get()
            at = self.take(f.load("i64", here))
            base.set(base.get() + at * f.load("i64", here + 8))
            indices.set(indices.get() + at * f.load("i64", here + 16))
            values.set(values.get() + at * f.load("i64", here + 24))
            d.set(here + 32)
        return base.get(), indices.get(), values.get()

    def picked(self, place, act):
        """``act(target)`` for the index at a place, if its target is in the tile's range."""
        f = self.f
        i = f.load("i64", place)
        i = i + f.select(i < 0, self.wrapped, f.value(0))
        with f.if_else((i - self.low).ult(self.span)) as (inside, outside):
            with inside:
                act(self.a0 + i * self.step)
            with outside, f.if_(i.uge(self.n)):
                self.bad.set(1)

    def element(self, target, value):
        """The operation on one element."""
        _apply(self.f, self.op, self.type, target, value, self.unsigned)

    def single_elements(self):
        """Each index stands for one element."""
        f, im, vm = self.f, self.im, self.vm
        place, value = f.var("ptr", self.i0 + self.start * im), f.var("ptr", self.v0 + self.start * vm)

        def one_by_one(count):
            with f.range(count):
                here, there = place.get(), value.get()
                self.picked(here, lambda target: self.element(target, there))
                place.set(here + im)
                value.set(there + vm)
        whole = f.select(im.eq(8), (self.end - self.start) & -BLOCK, f.value(0))
        with f.range(0, whole, step=BLOCK):
            # Nearly always all are in range; then none is looked at by itself.
            i = f.load(vector("i64", BLOCK), place.get(), 8)
            fine = (i - f.splat(self.low, BLOCK)).ult(f.splat(self.span, BLOCK))
            all_fine = f.call("i1", f"llvm.vector.reduce.and.v{BLOCK}i1", fine)
            with f.if_else(all_fine) as (yes, no):
                with yes:
                    here, there = place.get(), value.get()
                    for k in range(BLOCK):
                        self.element(self.a0 + f.load("i64", here + 8 * k) * self.step, there + vm * k)
                    place.set(here + 8 * BLOCK)
                    value.set(there + vm * BLOCK)
                with no:
                    one_by_one(BLOCK)
        one_by_one(self.end - self.start - whole)

    def inner_elements(self, k):
        """The index k stands for a run of elements, or for each there is one of its own."""
        f, op, count = self.f, self.op, self.count
        place, value = self.i0 + k * self.im, self.v0 + k * self.vm
        if op == "put":
            same = f.fresh("filled")
            with f.if_(self.constant):
                self.picked(place, lambda target: _same(f, self.type, target, value, count))
                f.terminate(f"br label %{same}")
        with f.if_else(self.dense) as (run, each):
            with run:
                _ask(f, op, self.a0, place, self.im, self.step, count, self.size, k, self.end)
                self.picked(place, lambda target: _run(f, self.g, op, self.type, target, value, count, self.unsigned))
            with each, f.range(count) as j:
                self.picked(place + j * self.ib,
                            lambda target: self.element(target + j * self.ab, value + j * self.vb))
        if op == "put":
            f.label(same)


def _neutral(f, op, type_, unsigned):
    """What leaves every element as it is."""
    bits = 8 * SIZES[type_]
    if type_ in ("float", "double"):
        return f.value({"add": -0.0, "max": float("-inf"), "min": float("inf")}[op], type_)
    if unsigned:
        return f.value({"add": 0, "max": 0, "min": -1}[op], type_)
    return f.value({"add": 0, "max": -(1 << bits - 1), "min": (1 << bits - 1) - 1}[op], type_)


def _part(m, op, type_, unsigned):
    """Tile: a range of indices, into targets of its own that lie side by side in ``work``."""
    f = entries.task(m, f"rl_{op}_part")
    g, size = _Context(f, f.args[0]), SIZES[type_]
    n, wrap, im, vm = (g[k] for k in ("n", "wrap", "im", "vm"))
    wrapped = f.select(wrap.ne(0), n, f.value(0))
    neutral, bad = _neutral(f, op, type_, unsigned), f.var("i64", 0)
    with f.range(f.args[1], f.args[2]) as tile:
        own = g["work"] + tile * (n * (size * COPIES))
        with f.range(n * COPIES) as i:
            f.store(neutral, own + i * size, size)
        begin = tile * g["chunk"]
        end = f.minimum(begin + g["chunk"], g["m"])
        place, value = f.var("ptr", g["index"] + begin * im), f.var("ptr", g["v"] + begin * vm)

        def one(copy):
            here, there = place.get(), value.get()
            i = f.load("i64", here)
            i = i + f.select(i < 0, wrapped, f.value(0))
            with f.if_else(i.ult(n)) as (inside, outside):
                with inside:
                    _apply(f, op, type_, own + (n * copy + i) * size, there, unsigned)
                with outside:
                    bad.set(1)
            place.set(here + im)
            value.set(there + vm)

        whole = (end - begin) & -COPIES
        with f.range(0, whole, step=COPIES):
            for copy in range(COPIES):
                one(copy)
        with f.range(begin + whole, end):
            one(0)
        with f.range(n) as i:
            total = f.load(type_, own + i * size, size)
            for copy in range(1, COPIES):
                total = _combine(f, op, total, f.load(type_, own + (n * copy + i) * size, size), unsigned)
            f.store(total, own + i * size, size)
    with f.if_(bad.get().ne(0)):
        g.put("bad", 1)
    f.ret()


def _by_parts(f, g, context, op, type_, unsigned):
    """The walk by ranges of indices, where there is memory for it; the words of the context are as for one tile."""
    size, n, m = SIZES[type_], g["n"], g["m"]
    parts = f.minimum(m.udiv(PART), f.value(MOST_PARTS))
    chunk = blocks.ceil_div(blocks.ceil_div(m, parts), COPIES) * COPIES
    parts = blocks.ceil_div(m, chunk)
    work = f.call("ptr", "PyMem_RawMalloc", parts * n * (size * COPIES))
    with f.if_(work.ne(0)):
        g.put("chunk", chunk)
        f.store(work, context + 8 * WORDS.index("work"))
        entries.share(f, f"rl_{op}_part", context, parts, m * 2)
        with f.range(parts) as part:
            own = work + part * (n * (size * COPIES))
            with f.range(n) as i:
                _apply(f, op, type_, g["a"] + i * g["step"], own + i * size, unsigned)
        f.call("void", "PyMem_RawFree", work)
        f.ret(f.call("ptr", "PyBool_FromLong", f.load("i64", context + 8 * WORDS.index("bad"))))


def _listed(w):
    """A row's elements (``_Walk``) whose targets are in the tile's range, found without branches; targets are asked
    for some steps before."""
    f, i0, im, span = w.f, w.i0, w.im, w.span
    lanes = host().lanes(8)
    targets, places = (f.buffer(8 * (LISTED + max(lanes, SOON))) for _ in range(2))
    kind = vector("i64", lanes)
    bad_lanes = f.var(kind, 0)
    zeros, lows, spans, ns, wraps = (f.splat(f.value(x), lanes) for x in (0, w.low, span, w.n, w.wrapped))
    steps = Value(f, "<" + ", ".join(f"i64 {k}" for k in range(lanes)) + ">", kind)
    with f.range(w.start, w.end, step=LISTED) as first:
        last = f.minimum(first + LISTED, w.end)
        found, wrong = f.var("i64", 0), f.var("i64", 0)
        start = f.var("i64", first)
        if lanes == 8 and cpu.machine() == "x86_64":
            # Whole vectors: the indices in range move together in a register.
            with f.if_(im.eq(8)):
                with f.range(first, last - (lanes - 1), step=lanes) as k:
                    i = f.load(kind, i0 + k * 8, 8)
                    i = i + f.select(i < zeros, wraps, zeros)
                    inside = (i - lows).ult(spans)
                    now = found.get()
                    for value, table in ((i, targets), (f.splat(k, lanes) + steps, places)):
                        packed = f.call(kind, "llvm.experimental.vector.compress.v8i64", value, inside, zeros)
                        f.store(packed, table + now * 8, 8)
                    bits = f.emit("i8", f"bitcast <8 x i1> {inside.name} to i8")
                    count = f.call("i8", "llvm.ctpop.i8", bits)
                    found.set(now + count.cast("zext", "i64"))
                    bad_lanes.set(bad_lanes.get() | i.uge(ns).cast("zext", "i64"))
                    start.set(k + lanes)
        place = f.var("ptr", i0 + start.get() * im)
        with f.range(start.get(), last) as k:
            i = f.load("i64", place.get())
            i = i + f.select(i < 0, w.wrapped, f.value(0))
            now = found.get()
            f.store(i, targets + now * 8)
            f.store(k, places + now * 8)
            found.set(now + (i - w.low).ult(span).cast("zext", "i64"))
            wrong.set(wrong.get() | i.uge(w.n).cast("zext", "i64"))
            place.set(place.get() + im)
        w.bad.set(w.bad.get() | wrong.get())
        count = found.get()
        with f.range(SOON) as k:
            f.store(f.load("i64", targets), targets + (count + k) * 8)
        with f.range(count) as k:
            f.prefetch(w.a0 + f.load("i64", targets + (k + SOON) * 8) * w.step, 1)
            target = f.load("i64", targets + k * 8)
            value = w.v0 + f.load("i64", places + k * 8) * w.vm
            w.element(w.a0 + target * w.step, value)
    w.bad.set(w.bad.get() | f.call("i64", f"llvm.vector.reduce.or.v{lanes}i64", bad_lanes.get()))


def _ask(f, op, base, place, im, step, count, size, k, end):
    """Ask for the row that comes AHEAD rows later."""
    with f.if_(k + AHEAD < end):
        row = base + f.load("i64", place + im * AHEAD) * step
        f.prefetch(row, 0 if op == "get" else 1)
        for line in (64, 128, 192):
            with f.if_(count > line // size):
                f.prefetch(row + line, 0 if op == "get" else 1)


def _run(f, g, op, type_, target, value, count, unsigned):
    """The operation on a dense run of `count` elements."""
    size = SIZES[type_]
    if op == "get":
        blocks.copy_run(f, value, target, count * size, g["stream"].ne(0))
        return
    if op == "put":
        blocks.copy_run(f, target, value, count * size)
        return
    lanes = host().lanes(size)
    kind = vector(type_, lanes)
    whole = count & -lanes
    with f.range(0, whole, step=lanes) as j:
        _apply(f, op, kind, target + j * size, value + j * size, unsigned)
    with f.range(whole, count) as j:
        _apply(f, op, type_, target + j * size, value + j * size, unsigned)


def _same(f, type_, target, value, count):
    """One element to all places of a dense run."""
    size = SIZES[type_]
    one = f.load(type_, value, 1)
    if size > 8:
        with f.range(count) as j:
            f.store(one, target + j * size, 1)
    else:
        blocks.fill_run(f, target, f.splat(one, blocks.RUN // size), count * size)


def _entry(m, op, type_, unsigned, apart):
    size = SIZES[type_]
    f = m.function(f"rl_{op}", "ptr", entries.ENTRY)
    args, n = f.args[1], f.args[2]
    context = f.buffer(8 * (OUTER + 4 * MAX_OUTER), 8)
    for k in range(3):
        f.store(entries.data_of(f, args, k), context + 8 * k)
    words = n - 3
    with f.range(words) as k:
        f.store(entries.int_of(f, args, k + 3), context + (k * 8 + 8 * len(WORDS)))
    g = _Context(f, context)
    rows = f.var("i64", 1)
    with f.range(OUTER - len(WORDS), words, step=4) as k:
        rows.set(rows.get() * f.load("i64", context + (k * 8 + 8 * len(WORDS))))
    rows = rows.get()
    m_, b, n_ = g["m"], g["b"], blocks.at_least(f, g["n"], 1)
    total = rows * m_ * b
    g.put("bad", 0)
    g.put("rows", rows)
    if apart:
        with f.if_(rows.eq(1) & b.eq(1) & (m_ >= 2 * PART) & (g["n"] <= FEW) & (g["n"] > 0)):
            _by_parts(f, g, context, op, type_, unsigned)
    with f.if_(total > 0):
        if op == "get":
            block = f.minimum(b, TILE)
            chunk = f.minimum(blocks.at_least(f, f.value(TILE).udiv(block), 1), m_)
            ranges = f.value(1)
        else:
            # A line or more for each of several blocks, where rows do not share the work out.
            line = f.select(b >= 256 // size, f.value(128 // size), f.value(64 // size))
            quarter = blocks.ceil_div(blocks.ceil_div(b, 4), line) * line
            block = f.select(rows >= 8, b, f.minimum(quarter, b))
            chunk = m_
            ranges = f.select(rows.eq(1) & b.eq(1) & (m_ >= PARTS_FROM), f.minimum(g["parts"], n_), f.value(1))
        group = f.minimum(blocks.at_least(f, f.value(TILE).udiv(block * chunk), 1), rows)
        for name, value in (("block", block), ("chunk", chunk), ("group", group), ("ranges", ranges),
                            ("blocks", blocks.ceil_div(b, block)), ("chunks", blocks.ceil_div(m_, chunk))):
            g.put(name, value)
        stream = f.var("i64", 0)
        if op == "get":
            steps = f.var("i64", blocks.address(f, g["v"]) | g["vm"] | (block * size) | (b * size))
            with f.range(OUTER, n + (len(WORDS) - 3), step=4) as k:
                steps.set(steps.get() | f.load("i64", context + (k * 8 + 24)))
            lines = (steps.get() & 63).eq(0) & (total >= blocks.STREAM_FROM // size)
            stream.set(lines.cast("zext", "i64"))
        g.put("stream", stream.get())
        tiles = g["blocks"] * g["chunks"] * ranges * blocks.ceil_div(rows, group)
        entries.share(f, f"rl_{op}_task", context, tiles, total * 2)
    bad = f.load("i64", context + 8 * WORDS.index("bad"))
    f.ret(f.call("ptr", "PyBool_FromLong", bad))
