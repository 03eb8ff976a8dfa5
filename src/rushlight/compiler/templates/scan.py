"""Scans of dense arrays seen as (outer, n, inner), along the middle dimension.

Along rows (inner = 1) a vector is scanned in its register, by shifts of 1, 2, 4 ... lanes (W. D. Hillis, G. L. Steele,
"Data parallel algorithms", CACM 29, 1986), then joined with what came before it, sums of short elements in larger
blocks (``scan_block.py``); float64 goes element by element, as regrouping could overflow where the sequence does not.
A few very long rows are cut in chunks: their totals first, then each chunk from the total before it, so many chunks at
a time as a cache holds. Across rows (inner > 1) lanes are columns, a few rows at a time. The grouping depends on the
shape only. Large results go past the cache.
"""

from rushlight.compiler.codegen import math
from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY, Types, from_memory, to_memory
from rushlight.compiler.codegen.reducers import worst
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries, scan_block
from rushlight.compiler.templates.layout import Layout

_ARRAYS = ("values", "indices", "x")
_JOB = Layout(_ARRAYS, ("outer", "n", "inner"),
              ("tiles", "columns", "chunks", "begin", "row", "totals", "stream", "failed"), ("totals",))
_FEWEST_COLUMNS, _MOST_COLUMNS = 128, 1024      # of a tile; long runs of memory are quicker
_TILES = 8                      # tiles there should be for threads to share
_CHUNK, _LONG, _FEW_ROWS = 1 << 14, 1 << 16, 4
_GROUP = 32                     # chunks whose totals are made before they are scanned
_STATE = 16                     # bytes of a state: an element, an index
_PARALLEL_FROM = 1 << 14
_ROWS, _AHEAD = 2, 8            # rows that columns are taken down together; how far ahead others are asked for
LINE = 64
_REACH = 600.0                  # exponents further apart than this are not summed in one scale


class Scan:
    """Writes the module of one kind for given element types."""

    def __init__(self, kind, in_dtype, out_dtype):
        self.kind, self.in_dtype, self.out_dtype = kind, in_dtype, out_dtype
        self.extremum = kind in ("cummax", "cummin")
        floating = in_dtype.startswith(("float", "bfloat")) or out_dtype.startswith(("float", "bfloat"))
        if kind in ("cumsum", "cumprod"):
            compute = "float64" if floating else "int64"
        elif kind == "logcumsumexp":
            compute = "float64"
        else:
            compute = "uint8" if in_dtype == "bool" else in_dtype
        self.types = Types(compute)
        self.of = "f" if floating else "i"
        self.element = self.types.of(self.of)
        self.size = {"float": 4, "double": 8}.get(self.element) or int(self.element[1:]) // 8
        self.lanes = max(2, host().lanes(max(4, self.size)))
        self.in_size, self.out_size = ITEMSIZE[in_dtype], ITEMSIZE[out_dtype]
        # Lanes across rows: results of a whole line, which may be several registers.
        self.columns = max(self.lanes, LINE // self.out_size)
        self.sequential = kind in ("cumsum", "cumprod") and in_dtype == "float64"
        self.chunked = not self.sequential and kind != "logcumsumexp"
        self.parts = [self.element, "i32"] if self.extremum else [self.element]

    def text(self):
        m = self.m = entries.new_module()
        m.globals.append("@rl_zeros = internal global [64 x i8] zeroinitializer, align 64")
        self.row("rl_row", True)
        self.rows_task()
        self.columns_task()
        if self.chunked:
            self.row("rl_total", False)
            self.chunks_task("rl_totals_task", "rl_total")
            self.chunks_task("rl_chunks_task", "rl_row")
            self.long_row()
        self.entry()
        return m.text()

    # ------------------------------------------------------------ elements

    def neutral(self, f, lanes):
        """The state before the first element."""
        if self.kind in ("cumsum", "cumprod"):
            return [f.value(int(self.kind == "cumprod"), vector(self.element, lanes))]
        if self.kind == "logcumsumexp":
            return [f.value(float("-inf"), vector(self.element, lanes))]
        lowest = worst(self.element, self.types.signed and self.of == "i", self.kind == "cummax")
        return [f.value(lowest, vector(self.element, lanes)), f.value(0, vector("i32", lanes))]

    def join(self, f, a, b):
        """The state of a stretch followed by another."""
        if self.kind == "cumsum":
            return [a[0] + b[0]]
        if self.kind == "cumprod":
            return [a[0] * b[0]]
        if self.kind == "logcumsumexp":
            return [_log_add(f, a[0], b[0])]
        old, new = a[0], b[0]
        sign = "s" if self.types.signed else "u"
        order = "ge" if self.kind == "cummax" else "le"
        take = new.compare("o" + order, sign + order, old)
        if new.is_float:
            # The last NaN stays.
            take = new.isnan() | (take & ~old.isnan())
        return [f.select(take, x, y) for x, y in zip(b, a)]

    def load(self, f, x, i, lanes):
        """Elements from number i on, as they are combined."""
        v = f.load(vector(MEMORY[self.in_dtype], lanes), x + i * self.in_size, self.in_size)
        return from_memory(f, v, self.in_dtype, self.of, self.types)

    def store(self, f, state, values, indices, i, lanes, past=False):
        """Elements from number i on; `past`: whole vectors, aligned, go past the cache."""
        v = to_memory(f, state[0], self.of, self.out_dtype, self.types)
        f.store(v, values + i * self.out_size, min(self.out_size * lanes, LINE) if past else self.out_size, past)
        if self.extremum:
            f.store(state[1].cast("zext", "i64"), indices + i * 8, min(8 * lanes, LINE) if past else 8, past)

    def past(self, f, job, values, indices):
        """Whether vectors from these places on may go past the cache."""
        at = blocks.address(f, values)
        fits = (at & (LINE - 1)).eq(0)
        if self.extremum:
            fits = fits & (blocks.address(f, indices) & (LINE - 1)).eq(0)
        return fits & job.stream.ne(0)

    def leaf(self, f, x, i, first, lanes):
        """The state of single elements; ``first``: the position of element 0 in its row."""
        v = self.load(f, x, i, lanes)
        if not self.extremum:
            return [v]
        at = (first + i).cast("trunc", "i32")
        if lanes > 1:
            at = f.splat(at, lanes) + f.iota(lanes)
        return [v, at]

    def get(self, f, place):
        return [f.load(p, place + 8 * j) for j, p in enumerate(self.parts)]

    def put(self, f, state, place):
        for j, v in enumerate(state):
            f.store(v, place + 8 * j)

    # ------------------------------------------------------------ rows

    def row(self, name, stores):
        """void name(values, indices, x, n, first, state, past): from a state on; leaves the state at the end."""
        f = self.m.function(name, "void", [("ptr", "values"), ("ptr", "indices"), ("ptr", "x"), ("i64", "n"),
                                           ("i64", "first"), ("ptr", "state"), ("i1", "past")], "internal", "nounwind")
        values, indices, x, n, first, place, past = f.args
        lanes = self.lanes
        before = self.get(f, place)
        begin = f.value(0)
        if not self.sequential and not stores and not self.extremum:
            before, begin = self.total(f, before, x, n)
        elif not self.sequential:
            begin = n & -lanes
            carry = [f.var(vector(p, lanes), f.splat(v, lanes)) for p, v in zip(self.parts, before)]

            def vectors(past):
                start = f.value(0)
                if stores and scan_block.fits(self):
                    start = n - n.urem(scan_block.ELEMENTS)
                    scan_block.sums(self, f, x, values, start, carry[0], past)
                with f.range(start, begin, step=lanes) as i:
                    old = [c.get() for c in carry]
                    own = self.leaf(f, x, i, first, lanes)
                    if self.kind == "logcumsumexp":
                        new = self.log_scan(f, old[0], own[0])
                        last = new
                    else:
                        own = self.in_register(f, own)
                        # The chain from vector to vector is a single operation.
                        last = self.join(f, old, [self.last(f, v) for v in own])
                        new = self.join(f, old, own) if stores else None
                    if stores:
                        self.store(f, new, values, indices, i, lanes, past)
                    for c, v in zip(carry, last):
                        c.set(self.last(f, v) if self.kind == "logcumsumexp" else v)

            if stores and self.kind != "logcumsumexp":
                with f.if_else(past) as (yes, no):
                    with yes:
                        vectors(True)
                    with no:
                        vectors(False)
            else:
                vectors(False)
            before = [f.extract(c.get(), 0) for c in carry]
        state = [f.var(p, v) for p, v in zip(self.parts, before)]
        with f.range(begin, n) as i:
            new = self.join(f, [s.get() for s in state], self.leaf(f, x, i, first, 1))
            if stores:
                self.store(f, new, values, indices, i, 1)
            for s, v in zip(state, new):
                s.set(v)
        self.put(f, [s.get() for s in state], place)
        f.ret()

    def total(self, f, before, x, n):
        """(state after all whole steps, where they end) of a sum or product whose course nobody asks for."""
        lanes, chains = self.lanes, 4
        end = n & -(lanes * chains)
        sums = [f.var(vector(self.element, lanes), self.neutral(f, lanes)[0]) for _ in range(chains)]
        with f.range(0, end, step=lanes * chains) as i:
            for k, s in enumerate(sums):
                s.set(self.join(f, [s.get()], [self.load(f, x, i + k * lanes, lanes)])[0])
        whole = sums[0].get()
        for s in sums[1:]:
            whole = self.join(f, [whole], [s.get()])[0]
        one = before
        for k in range(lanes):
            one = self.join(f, one, [f.extract(whole, k)])
        return one, end

    def last(self, f, v):
        """The last lane in all lanes."""
        return f.shuffle(v, v, [self.lanes - 1] * self.lanes)

    def in_register(self, f, state):
        shift, lanes = 1, self.lanes
        empty = self.neutral(f, lanes)
        if self.kind == "cumsum":
            # Zeros that LLVM knows it shifts in by slow masked moves: a negative zero, or one from memory, it does not.
            if state[0].is_float:
                empty = [f.value(-0.0, state[0].type)]
            else:
                empty = [f.load(state[0].type, f.symbol("rl_zeros"), 64)]
        while shift < lanes:
            moved = [f.shuffle(e, v, [i if i < shift else lanes + i - shift for i in range(lanes)])
                     for e, v in zip(empty, state)]
            state = self.join(f, moved, state)
            shift *= 2
        return state

    def log_scan(self, f, carry, x):
        """log of running sums: in one scale while exponents lie close enough, else element by element."""
        lanes = self.lanes
        high, shift = f.var(x.type, x), 1
        while shift < lanes:
            v = high.get()
            other = f.shuffle(v, v, [(i + shift) % lanes for i in range(lanes)])
            high.set(f.select(other > v, other, v))
            shift *= 2
        top = high.get()
        top = f.select(carry > top, carry, top)
        first = f.shuffle(x, x, [0] * lanes)
        lowest = f.select(carry > first, carry, first)
        total = f.call(x.type.split(" x ")[1][:-1], f"llvm.vector.reduce.fadd.v{lanes}f64", f.value(0.0, "double"), x)
        near = (f.extract(top - lowest, 0) < _REACH) & (f.extract(math.fabs(f, top), 0) < float("inf")) & ~total.isnan()
        result = f.var(x.type)
        with f.if_else(near) as (yes, no):
            with yes:
                terms = math.exp_scaled(f, x - top)
                shift = 1
                while shift < lanes:
                    zero = f.value(0.0, x.type)
                    terms = terms + f.shuffle(zero, terms, [i if i < shift else lanes + i - shift
                                                            for i in range(lanes)])
                    shift *= 2
                result.set(top + math.log(f, terms + math.exp_scaled(f, carry - top)))
            with no:
                state = f.var("double", f.extract(carry, 0))
                buffer = f.buffer(8 * lanes)
                f.store(x, buffer, 8)
                with f.range(lanes) as i:
                    state.set(_log_add(f, state.get(), f.load("double", buffer + i * 8)))
                    f.store(state.get(), buffer + i * 8)
                result.set(f.load(x.type, buffer, 8))
        return [result.get()]

    def rows_task(self):
        f = entries.task(self.m, "rl_rows_task")
        job = _JOB.words(f, f.args[0])
        n, state = job.n, f.buffer(_STATE)
        values, indices, x = (getattr(job, name) for name in _ARRAYS)
        with f.range(f.args[1], f.args[2]) as row:
            at = row * n
            self.put(f, self.neutral(f, 1), state)
            to, places = values + at * self.out_size, indices + at * 8
            f.call("void", "rl_row", to, places, x + at * self.in_size, n, f.value(0), state,
                   self.past(f, job, to, places))
        f.ret()

    # ------------------------------------------------------------ long rows

    def chunks_task(self, name, what):
        f = entries.task(self.m, name)
        job = _JOB.words(f, f.args[0])
        n, row = job.n, job.row
        values, indices, x = (getattr(job, name) for name in _ARRAYS)
        with f.range(f.args[1], f.args[2]) as k:
            chunk = job.begin + k
            first = chunk * _CHUNK
            count = f.minimum(n - first, _CHUNK)
            at = row * n + first
            to, places = values + at * self.out_size, indices + at * 8
            f.call("void", what, to, places, x + at * self.in_size, count, first,
                   job.totals + chunk * _STATE, self.past(f, job, to, places))
        f.ret()

    def long_row(self):
        """void rl_long_row(context): the totals of chunks, the states before them, the chunks."""
        f = self.m.function("rl_long_row", "void", [("ptr", "context")], "internal", "nounwind")
        job = _JOB.words(f, f.args[0])
        chunks, totals = job.chunks, job.totals
        with f.range(chunks) as c:
            self.put(f, self.neutral(f, 1), totals + c * _STATE)
        state = [f.var(p, v) for p, v in zip(self.parts, self.neutral(f, 1))]
        with f.range(0, chunks, step=_GROUP) as begin:
            end = f.minimum(begin + _GROUP, chunks)
            job.set(begin=begin)
            entries.pool(f, "rl_totals_task", f.args[0], end - begin)
            with f.range(begin, end) as c:
                now = [s.get() for s in state]
                total = self.get(f, totals + c * _STATE)
                self.put(f, now, totals + c * _STATE)
                for s, v in zip(state, self.join(f, now, total)):
                    s.set(v)
            entries.pool(f, "rl_chunks_task", f.args[0], end - begin)
        f.ret()

    # ------------------------------------------------------------ columns

    def columns_task(self):
        """Tiles of columns: lanes are columns, states lie in the cache."""
        f = entries.task(self.m, "rl_columns_task")
        job = _JOB.words(f, f.args[0])
        n, inner, tiles, columns = job.n, job.inner, job.tiles, job.columns
        arrays, widths = [getattr(job, name) for name in _ARRAYS], (self.out_size, 8, self.in_size)
        steps = [inner * size for size in widths]
        ahead = steps[2] * _AHEAD
        sizes = [self.size, 4][:len(self.parts)]
        states = [f.buffer(s * _MOST_COLUMNS) for s in sizes]
        with f.range(f.args[1], f.args[2]) as task:
            outer, column = task.udiv(tiles), task.urem(tiles) * columns
            width = f.minimum(inner - column, columns)
            whole = width & -self.columns
            for place, v, size in zip(states, self.neutral(f, 1), sizes):
                with f.range(width) as c:
                    f.store(v, place + c * size)
            start = outer * n * inner + column
            values, indices, x = (p + start * size for p, size in zip(arrays, widths))
            past = self.past(f, job, values, indices) & ((inner * self.out_size) & (LINE - 1)).eq(0)

            def step_over(i, rows, begin, end, step, past):
                first = [p + i * distance for p, distance in zip((values, indices, x), steps)]
                with f.range(begin, end, step=step) as c:
                    state = [f.load(vector(p, step), place + c * size, size)
                             for p, place, size in zip(self.parts, states, sizes)]
                    for r in range(rows):
                        to, at, here = (p + (c * size + far * r) for p, size, far in zip(first, widths, steps))
                        own = [self.load(f, here, 0, step)]
                        if step > 1:
                            # The rows further down begin where the hardware doesn't look.
                            for line in range(0, step * self.in_size, LINE):
                                f.prefetch(here + ahead + line, near=2)
                        if self.extremum:
                            number = (i + r).cast("trunc", "i32")
                            own.append(f.splat(number, step) if step > 1 else number)
                        state = self.join(f, state, own)
                        self.store(f, state, to, at, 0, step, past)
                    for v, place, size in zip(state, states, sizes):
                        f.store(v, place + c * size, size)

            def down(begin, rows):
                with f.range(begin, n - (rows - 1), step=rows) as i:
                    with f.if_else(past) as (yes, no):
                        with yes:
                            step_over(i, rows, f.value(0), whole, self.columns, True)
                        with no:
                            step_over(i, rows, f.value(0), whole, self.lanes, False)
                    step_over(i, rows, whole, width, 1, False)

            down(0, _ROWS)
            down(n - n.urem(_ROWS), 1)
        f.ret()

    # ------------------------------------------------------------ entry

    def entry(self):
        """PyObject *rl_scan(self, args, n): values, indices, x, then the numbers."""
        f, job = _JOB.begin(self.m, "rl_scan")
        outer, n, inner = job.outer, job.n, job.inner
        columns = blocks.ceil_div(outer * inner, _TILES * _FEWEST_COLUMNS) * _FEWEST_COLUMNS
        columns = f.minimum(columns, _MOST_COLUMNS)
        tiles = (inner + (columns - 1)).udiv(columns)
        job.set(tiles=tiles, columns=columns)
        nbytes = outer * n * inner * (self.out_size + 8 * self.extremum)
        job.set(stream=(nbytes >= blocks.STREAM_FROM).cast("zext", "i64"))
        rows = inner.eq(1)
        task = f.select(rows, f.symbol("rl_rows_task"), f.symbol("rl_columns_task"))
        count = outer * tiles
        with f.if_else(outer * n * inner < _PARALLEL_FROM) as (small, large):
            with small:
                f.call("void", task, job.pointer, f.value(0), count)
            with large, entries.released(f):
                long = rows & (n >= _LONG) & (outer <= _FEW_ROWS) if self.chunked else f.value(False, "i1")
                with f.if_else(long) as (few, many):
                    with few:
                        if self.chunked:
                            self.long_rows(f, job, outer, n)
                    with many:
                        entries.pool(f, task, job.pointer, count)
        entries.done(f, job.failed)

    def long_rows(self, f, job, outer, n):
        """Rows one after the other, each by all threads."""
        chunks = (n + (_CHUNK - 1)).udiv(_CHUNK)
        with entries.with_scratch(f, chunks * _STATE, job.at("failed")) as work:
            job.set(chunks=chunks, totals=work)
            with f.range(outer) as row:
                job.set(row=row)
                f.call("void", "rl_long_row", job.pointer)


def _log_add(f, a, b):
    """log(e^a + e^b); infinities of one sign add up to themselves."""
    above = (a > b) | a.isnan()
    high, low = f.select(above, a, b), f.select(above, b, a)
    y = high + math.log1p(f, math.exp_scaled(f, low - high))
    infinite = math.fabs(f, high).eq(float("inf")) & ~low.isnan()
    return f.select(infinite, high, y)

