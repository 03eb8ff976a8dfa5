"""The inner loops of a reduction: lanes along a row, or lanes across neighbouring outputs.

    flat(state, inputs, width, step, n, scalars, index, index_step)
    rows(state, inputs, steps, n, scalars, index, index_step)
    columns(state, inputs, kept_steps, steps, width, n, scalars, index, index_step)

Each has a form for what is dense in memory, written out with whole vectors, and one for any strides.  Columns have
two more forms for a single dense input: *narrow* ones (at most half as many outputs as lanes) run over the
block as over one row and fold the lanes; *short rows* (n elements side by side for each output) load a row a vector
and transpose while they add up.  Which form runs depends on shapes and strides only.
"""

from rushlight.compiler.codegen.builder import Value, split, vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.expr import topological
from rushlight.compiler.pointwise import load_part

# Operations of a formula that is worth repeating in the code, and how often; divides the length of a block.
_CHEAP, _UNROLLED = 4, 4
# How many rows further the lines lie that columns ask for.
_ROWS_AHEAD = 8


def size_of(element):
    """Bytes of an LLVM element type."""
    return {"float": 4, "double": 8}.get(element) or int(element[1:]) // 8


def tree(f, join, types, places):
    """Join vectors in memory, as many as each has lanes, until lane i of the first is all lanes of number i."""
    lanes = split(types[0])[1]
    steps = [size_of(split(t)[0]) * lanes for t in types]
    even, odd = list(range(0, 2 * lanes, 2)), list(range(1, 2 * lanes, 2))
    left = f.var("i64", lanes // 2)
    with f.loop() as level:
        level.break_if(left.get() < 1)
        with f.range(left.get()) as i:
            pairs = [[f.load(t, p + (i * 2 + k) * n, 8) for t, p, n in zip(types, places, steps)] for k in (0, 1)]
            low, high = (tuple(f.shuffle(x, y, half) for x, y in zip(*pairs)) for half in (even, odd))
            for v, p, n in zip(join(f, low, high), places, steps):
                f.store(v, p + i * n, 8)
        left.set(left.get() >> 1)
    return [f.load(t, p, 8) for t, p in zip(types, places)]


class Run(list):
    """The variables of a run; where steps are counted, the indices of its first step and the number of the next."""

    base = steps = None


class Walk:
    """Writes ``flat``, ``rows`` or ``columns`` of the reduction ``spec``."""

    def __init__(self, spec, name):
        self.spec, self.reducer, self.lanes, self.name = spec, spec.reducer, spec.lanes, name
        params = {"flat": [("i64", "width"), ("i64", "step")], "rows": [("ptr", "along")],
                  "columns": [("ptr", "along"), ("ptr", "down"), ("i64", "width")]}[name]
        f = self.f = spec.m.function(
            name, "void", [("ptr", "state"), ("ptr", "inputs"), *params, ("i64", "n"), ("ptr", "scalars"),
                           ("i64", "index"), ("i64", "index_step")], "internal" if name == "flat" else "")
        args = self.args = {a.name[1:]: a for a in f.args}
        self.n, self.width, self.pointer = args["n"], args.get("width"), args["state"]
        self.scalars = spec.scalars(f, args["scalars"])
        self.index, self.index_step = args["index"], args["index_step"]
        self.has_index = self.reducer.counted
        self.sizes = [ITEMSIZE[d] for d in spec.in_dtypes]
        self.bases = [f.load("ptr", args["inputs"] + 8 * j) for j in range(len(self.sizes))]
        self.along, self.down = ([f.load("i64", args[steps] + 8 * j) for j in range(len(self.sizes))]
                                 if steps in args else None for steps in ("along", "down"))
        self.state = [f.var(v.type, v) for v in spec.load_state(f, self.pointer)]
        cheap = len(topological([spec.pre])) <= _CHEAP and not self.has_index
        self.unrolled = _UNROLLED if cheap else 1

    def write(self):
        f = self.f
        if self.name == "flat":
            self.flat()
            self.end()
            return
        dense = f.value(True, "i1")
        for step, size in zip(self.along, self.sizes):
            dense = dense & step.eq(size)
        if self.name == "rows":
            with f.if_(dense):
                self.call_flat(self.pointer, self.n, f.value(1), f.value(self.lanes))
                f.ret()
        else:
            if len(self.sizes) == 1:
                self.narrow()
                if self.spec.short_lanes:
                    self.short()
            with f.if_(dense & self.width.eq(self.lanes)):
                self.dense_columns()
                self.end()
        self.any_strides()
        self.end()

    def call_flat(self, state, n, width, step):
        args = self.args
        self.f.call("void", "flat", state, args["inputs"], width, step, n, args["scalars"], self.index, self.index_step)

    def end(self):
        self.spec.store_state(self.f, [s.get() for s in self.state], self.pointer)
        self.f.ret()

    # ------------------------------------------------------------ pieces

    def value(self, loaded, lanes):
        return self.spec.value(self.f, loaded, self.scalars, lanes)

    def positions(self, lane, step):
        """A function of i: the indices in each lane, ``lane`` + i steps on (None where nobody asks)."""
        if not self.has_index:
            return lambda i: None
        f = self.f
        lanes = split(lane.type)[1]
        offsets = lane * f.splat(self.index_step, lanes) + f.splat(self.index, lanes)
        return lambda i: offsets + f.splat(i * step, lanes)

    def fresh(self, lanes, first=None, base=None):
        """An empty run, as variables; ``base``: the indices of its first step."""
        f = self.f
        if first is None and self.reducer.uses_first:
            first = self.state[0].get()
        run = Run(f.var(v.type, v) for v in self.reducer.run(f, lanes, first))
        if self.has_index:
            run.base = f.var(base.type, base)
            run.steps = f.var(vector(self.reducer.count, lanes), 0)
        return run

    @staticmethod
    def put(variables, values):
        for variable, x in zip(variables, values, strict=True):
            variable.set(x)

    def add(self, run, v, valid):
        index = None
        if self.has_index:
            index = run.steps.get()
            run.steps.set(index + 1)
        self.put(run, self.reducer.extend(self.f, tuple(x.get() for x in run), v, index, valid))

    def absorb(self, into, run):
        values = [tuple(x.get() for x in vs) for vs in (into, run)]
        if self.has_index:
            values += [run.base.get(), self.f.splat(self.jump, split(run.base.type)[1])]
        self.put(into, self.reducer.absorb(self.f, *values))

    def blocks(self, end, step, reach, into, position, body):
        """Call ``body(run, i, k)`` for i + k steps from 0 while ``reach`` elements are left, in groups, then singly.

        Returns the last run and the next i: what is left up to ``end`` is for the caller to add, who then absorbs it.
        """
        f, reducer, u = self.f, self.reducer, self.unrolled
        i = f.var("i64", 0)
        group = reducer.block or u
        with f.loop() as loop:
            at = i.get()
            loop.break_if(at + (step * (group - 1) + reach) > end)
            run = self.fresh(self.lanes, base=position(at)) if reducer.block else into
            with f.range(at, at + step * group, step=step * u) as j:
                for k in range(u):
                    body(run, j, k)
            if reducer.block:
                self.absorb(into, run)
            i.set(at + step * group)
        run = self.fresh(self.lanes, base=position(i.get())) if reducer.block else into
        with f.loop() as loop:
            at = i.get()
            loop.break_if(at + reach > end)
            body(run, at, 0)
            i.set(at + step)
        return run, i

    # ------------------------------------------------------------ forms

    def flat(self):
        """Over n elements side by side, ``step`` in a vector (further lanes hold junk), ``width`` of equal index."""
        f, lanes, n, step = self.f, self.lanes, self.n, self.args["step"]
        places = None
        if self.has_index:
            rows = f.buffer(8 * lanes)
            with f.range(lanes) as lane:
                f.store(lane.udiv(self.width), rows + lane * 8)
            first = f.load(vector("i64", lanes), rows, 8) * f.splat(self.index_step, lanes)
            places = first + f.splat(self.index, lanes)
            self.jump = step.udiv(self.width) * self.index_step

        def position(i):
            return places + f.splat(i.udiv(step) * self.jump, lanes) if self.has_index else None

        def add(run, i, mask=None):
            loaded = []
            for base, dtype, size in zip(self.bases, self.spec.in_dtypes, self.sizes):
                here, type_ = base + i * size, vector(MEMORY[dtype], lanes)
                loaded.append(f.load(type_, here, size) if mask is None else self.part(type_, here, size, mask, n - i))
            self.add(run, self.value(loaded, lanes), mask)

        run, i = self.blocks(n, step, lanes, self.state, position, lambda run, i, k: add(run, i + step * k))
        with f.loop() as loop:
            left = i.get()
            loop.break_if(left >= n)
            add(run, left, f.below(f.minimum(n - left, lanes), lanes))
            i.set(left + step)
        if run is not self.state:
            self.absorb(self.state, run)

    def part(self, type_, here, size, valid, left):
        """The first ``left`` elements at ``here``, those that are ``valid``."""
        if size >= 4 or host().vector_bytes == 64:
            return self.f.masked_load(type_, here, valid)
        return load_part(self.f, self.spec.m, _NAMES[split(type_)[0]], here, self.f.value(size), self.scratch(size),
                         left, valid)

    def scratch(self, size):
        """Bytes on the stack for the elements of a vector."""
        f = self.f
        buffer = f.buffer(size * self.lanes)
        f.store(f.value(0, vector(f"i{8 * size}", self.lanes)), buffer, 64)
        return buffer

    def narrow(self):
        """Fewer outputs than lanes, side by side, rows one after the other: several rows in a vector."""
        f, lanes, width, n = self.f, self.lanes, self.width, self.n
        size, = self.sizes
        fits = self.along[0].eq(size) & (width <= lanes // 2) & self.down[0].eq(width * size) & (n * width >= 2 * lanes)
        with f.if_(fits):
            first = self.state[0].get() if self.reducer.uses_first else None
            start = self.reducer.initial(f, lanes, first)
            bytes_ = self.spec.part_bytes
            # Room for reading beyond the last part.
            buffer = f.buffer(sum(bytes_) + max(bytes_))
            self.spec.store_state(f, start, buffer)
            together = f.value(lanes).udiv(width)
            self.call_flat(buffer, n * width, width, together * width)
            with f.range(together) as row:
                at, held = 0, []
                for v, b in zip(start, bytes_):
                    held.append(f.load(v.type, buffer + row * width * (b // lanes) + at, b // lanes))
                    at += b
                self.put(self.state, self.reducer.merge(f, tuple(x.get() for x in self.state), tuple(held)))
            self.end()

    def short(self):
        """Short rows side by side in memory, one for each output."""
        f, width, n, r = self.f, self.width, self.n, self.spec.short_lanes
        size, = self.sizes
        dtype, = self.spec.in_dtypes
        type_ = vector(MEMORY[dtype], r)
        fits = self.down[0].eq(size) & (width > 1) & (n <= self.reducer.short * r)
        reducer = self.reducer
        # Lanes are joined with each other, which takes indices instead of numbers of steps.
        empty, join = (reducer.initial, reducer.merge) if self.has_index else (reducer.run, reducer.join)
        extend, absorb = (reducer.update, reducer.merge) if self.has_index else (reducer.extend, reducer.absorb)

        def add(run, v, index, valid):
            self.put(run, extend(f, tuple(x.get() for x in run), v, index, valid))

        with f.if_(fits):
            def finished(run):
                return run if self.has_index else reducer.settle(f, run)

            parts = [split(x.type)[0] for x in finished(empty(f, r, f.value(0.0, vector("double", r))))]
            bytes_ = [size_of(p) for p in parts]
            rows = [f.buffer(b * r * r) for b in bytes_]
            ends = []
            # Lanes without an output end as empty runs.
            for b, v in zip(bytes_, finished(empty(f, self.lanes, f.value(0.0, vector("double", self.lanes))))):
                ends.append(f.buffer(b * self.lanes))
                f.store(v, ends[-1], 8)
            position = self.positions(f.iota(r, "i64"), self.index_step)
            whole = n & -r
            valid = f.below(n - whole, r)
            last = width - 1
            with f.range(0, width, step=r) as group:
                def begin(k):
                    row = f.minimum(group + k, last)
                    first = None
                    if self.reducer.uses_first:
                        first = f.splat(f.load("double", self.pointer + row * 8), r)
                    return [f.var(v.type, v) for v in empty(f, r, first)], self.bases[0] + row * self.along[0]

                def end(run, place, k):
                    x = self.part(type_, place + whole * size, size, valid, n - whole)
                    add(run, self.value([x], r), position(whole), valid)
                    for slot, b, x in zip(rows, bytes_, finished(tuple(x.get() for x in run))):
                        f.store(x, slot + k * (b * r), 8)

                with f.if_else(whole.eq(0)) as (one, more):
                    with one, f.range(0, r, step=self.unrolled) as four:
                        for k in range(self.unrolled):
                            end(*begin(four + k), four + k)
                    with more, f.range(r) as k:
                        # A row at a time, in the order of memory.
                        run, place = begin(k)
                        with f.range(0, whole, step=r) as i:
                            add(run, self.value([f.load(type_, place + i * size, size)], r), position(i), None)
                        end(run, place, k)
                for slot, b, x in zip(ends, bytes_, tree(f, join, [vector(p, r) for p in parts], rows)):
                    f.store(x, slot + group * b, 8)
            run = tuple(f.load(vector(p, self.lanes), slot, 8) for p, slot in zip(parts, ends))
            self.put(self.state, absorb(f, tuple(x.get() for x in self.state), run))
            self.end()

    def dense_columns(self):
        """As many outputs as lanes, side by side.

        Rows are taken a few at a time across many tiles: the hardware does not see where the next ones begin, so
        these are asked for.
        """
        f, lanes = self.f, self.lanes
        ahead = [f.minimum(self.n, _ROWS_AHEAD) * down for down in self.down]
        position = self.positions(Value(f, "zeroinitializer", vector("i64", lanes)), self.index_step)
        self.jump = self.index_step

        def body(run, i, k):
            loaded = []
            for j, (base, dtype, size) in enumerate(zip(self.bases, self.spec.in_dtypes, self.sizes)):
                here = base + (i + k) * self.down[j]
                for line in range(0, lanes * size, 64):
                    f.prefetch(here + ahead[j] + line, near=2)
                loaded.append(f.load(vector(MEMORY[dtype], lanes), here, size))
            self.add(run, self.value(loaded, lanes), None)

        run, _ = self.blocks(self.n, f.value(1), f.value(1), self.state, position, body)
        if run is not self.state:
            self.absorb(self.state, run)

    def any_strides(self):
        """Elements any distance apart, any number of lanes."""
        f, lanes, n = self.f, self.lanes, self.n
        by_rows = self.name == "rows"
        step = lanes if by_rows else 1
        buffers = [self.scratch(size) for size in self.sizes]
        lane = f.iota(lanes, "i64") if by_rows else Value(f, "zeroinitializer", vector("i64", lanes))
        position = self.positions(lane, self.index_step)
        self.jump = self.index_step * step

        def body(run, i):
            left = f.minimum(n - i, f.value(lanes)) if by_rows else self.width
            valid = f.below(left, lanes)
            loaded = []
            for j, dtype in enumerate(self.spec.in_dtypes):
                here = self.bases[j] + i * (self.along if by_rows else self.down)[j]
                loaded.append(load_part(f, self.spec.m, dtype, here, self.along[j], buffers[j], left, valid))
            self.add(run, self.value(loaded, lanes), valid)

        if self.reducer.block:
            with f.range(0, n, step=step * self.reducer.block) as begin:
                run = self.fresh(lanes, base=position(begin))
                with f.range(begin, f.minimum(n, begin + step * self.reducer.block), step=step) as i:
                    body(run, i)
                self.absorb(self.state, run)
        else:
            with f.range(0, n, step=step) as i:
                body(self.state, i)


_NAMES = {"i8": "uint8", "i16": "int16", "i32": "int32", "i64": "int64", "half": "float16", "float": "float32",
          "double": "float64"}
