"""The inner loops of a reduction: lanes along a row, or lanes across neighbouring outputs.

    flat(state, inputs, width, step, n, scalars, index, index_step)
    rows(state, inputs, steps, n, scalars, index, index_step)
    columns(state, inputs, kept_steps, steps, width, n, scalars, index, index_step)
    short, lines, strips(outputs, kept_steps, inputs, input_steps, steps, n, rows, count, scalars, index_step)

Each has a form for what is dense in memory, written out with whole vectors, and one for any strides.  Columns have
two more forms for a single dense input: *narrow* ones (at most half as many outputs as lanes) run over the
block as over one row and fold the lanes; *short rows* (n elements side by side for each output) are those of
``reduce_short``.  Which form runs depends on shapes and strides only.

The last three go from the elements of a row of outputs to the results without a state in memory: *short* for short
rows, *lines* for longer ones, *strips* for few rows of many outputs side by side.
"""

from rushlight.compiler.codegen.builder import Value, split, vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY
from rushlight.compiler.codegen.reduce_short import Group, size_of
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.expr import topological
from rushlight.compiler.pointwise import load_part

# Operations of a formula that is worth repeating in the code, and how often; divides the length of a block.
CHEAP_STEPS, _UNROLLED = 4, 4
# Walks from elements to results.
WHOLE = ("short", "lines", "strips")
# How many rows further the lines lie that columns ask for.
_ROWS_AHEAD = 8


class Run(list):
    """The variables of a run; where steps are counted, the indices of its first step and the number of the next."""

    base = steps = None


class Walk:
    """Writes ``flat``, ``rows`` or ``columns`` of the reduction ``spec``."""

    def __init__(self, spec, name):
        self.spec, self.reducer, self.lanes, self.name = spec, spec.reducer, spec.lanes, name
        if name in WHOLE:
            f = self.f = spec.m.function(
                name, "void", [("ptr", "outputs"), ("ptr", "kept"), ("ptr", "inputs"), ("ptr", "along"),
                               ("ptr", "down"), ("i64", "n"), ("i64", "rows"), ("i64", "count"), ("ptr", "scalars"),
                               ("i64", "index_step")])
            self.given(f)
            return
        params = {"flat": [("i64", "width"), ("i64", "step")], "rows": [("ptr", "along")],
                  "columns": [("ptr", "along"), ("ptr", "down"), ("i64", "width")]}[name]
        f = self.f = spec.m.function(
            name, "void", [("ptr", "state"), ("ptr", "inputs"), *params, ("i64", "n"), ("ptr", "scalars"),
                           ("i64", "index"), ("i64", "index_step")], "internal" if name == "flat" else "")
        self.given(f)
        self.pointer = self.args["state"]
        self.state = [f.var(v.type, v) for v in spec.load_state(f, self.pointer)]

    def given(self, f):
        """Read the arguments."""
        spec = self.spec
        args = self.args = {a.name[1:]: a for a in f.args}
        self.n, self.width = args["n"], args.get("width")
        self.scalars = spec.scalars(f, args["scalars"])
        self.index, self.index_step = args.get("index", f.value(0)), args["index_step"]
        self.has_index = self.reducer.counted
        self.sizes = [ITEMSIZE[d] for d in spec.in_dtypes]
        self.bases = [f.load("ptr", args["inputs"] + 8 * j) for j in range(len(self.sizes))]
        self.along, self.down = ([f.load("i64", args[steps] + 8 * j) for j in range(len(self.sizes))]
                                 if steps in args else None for steps in ("along", "down"))
        cheap = len(topological([spec.pre])) <= CHEAP_STEPS and not self.has_index
        self.unrolled = _UNROLLED if cheap else 1

    def write(self):
        f = self.f
        if self.name in WHOLE:
            {"short": self.short_rows, "lines": self.lines, "strips": self.strips}[self.name]()
            f.ret()
            return
        if self.name == "flat":
            self.flat(self.n, self.args["step"], self.width)
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
                if self.spec.wide > 1:
                    with f.if_(self.width.eq(self.lanes * self.spec.wide)):
                        self.wide_columns(self.spec.wide, True)
                        f.ret()
                    with f.if_(self.width > self.lanes):
                        self.wide_columns(2, False)
                        f.ret()
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

    def flat(self, n, step, width):
        """Over n elements side by side, ``step`` in a vector (further lanes hold junk), ``width`` of equal index."""
        f, lanes = self.f, self.lanes
        places = None
        if self.has_index:
            rows = f.buffer(8 * lanes)
            with f.range(lanes) as lane:
                f.store(lane.udiv(width), rows + lane * 8)
            first = f.load(vector("i64", lanes), rows, 8) * f.splat(self.index_step, lanes)
            places = first + f.splat(self.index, lanes)
            self.jump = step.udiv(width) * self.index_step

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
        f, width, n, r, reducer = self.f, self.width, self.n, self.spec.short_lanes, self.reducer
        fits = self.down[0].eq(self.sizes[0]) & (width > 1) & (n <= reducer.short * r)
        with f.if_(fits):
            at = f.var("i64", 0)
            rows = Group(self, self.along[0], n, lambda k: f.load("double", self.pointer + (at.get() + k) * 8))
            ends = []
            # Lanes without an output end as empty runs.
            empty = rows.finished(rows.empty(f, self.lanes, f.value(0.0, vector("double", self.lanes))))
            for p, v in zip(rows.parts, empty):
                ends.append(f.buffer(size_of(p) * self.lanes))
                f.store(v, ends[-1], 8)
            with f.range(0, width, step=r) as group:
                at.set(group)
                run = rows.reduce(self.bases[0] + group * self.along[0], width - group)
                for slot, p, x in zip(ends, rows.parts, run):
                    f.store(x, slot + group * size_of(p), 8)
            run = tuple(f.load(vector(p, self.lanes), slot, 8) for p, slot in zip(rows.parts, ends))
            self.put(self.state, self.joined(tuple(x.get() for x in self.state), run))
            self.end()

    def joined(self, state, run):
        """The state with the finished runs of short rows."""
        return (self.reducer.merge if self.has_index else self.reducer.absorb)(self.f, state, run)

    def short_rows(self):
        """``short``: outputs of short rows, from the first to the last step."""
        f, n, r, args, spec = self.f, self.n, self.spec.short_lanes, self.args, self.spec
        step, = self.along
        count = args["count"]
        here = f.var("ptr", self.bases[0])

        def first(k):
            type_ = MEMORY[spec.in_dtypes[0]]
            return f.extract(self.value([f.splat(f.load(type_, here.get() + k * step, 1), r)], r), 0)

        rows = Group(self, step, n, first)
        outputs = self.outputs()
        buffers = [f.buffer(size * r) for _, _, size in outputs]
        with f.range(0, args["rows"], step=r) as group:
            here.set(self.bases[0] + group * step)
            left = args["rows"] - group
            run = rows.reduce(here.get(), left)
            firsts = None
            if self.reducer.uses_first:
                firsts = f.var(vector("double", r), 0.0)
                with f.range(f.minimum(left, r)) as k:
                    firsts.set(f.insert(firsts.get(), first(k), k))
                firsts = firsts.get()
            state = self.joined(self.reducer.initial(f, r, firsts), run)
            for v, (place, to, size), buffer in zip(spec.results(f, state, r, count, self.scalars), outputs, buffers):
                with f.if_else((left >= r) & to.eq(size)) as (all_, single):
                    with all_:
                        f.store(v, place + group * size, size)
                    with single:
                        f.store(v, buffer, 8)
                        with f.range(f.minimum(left, r)) as k:
                            f.store(f.load(f"i{8 * size}", buffer + k * size), place + (group + k) * to, 1)

    def outputs(self):
        """(place of the first result, step from result to result, item size) of each output of a whole walk."""
        f, args = self.f, self.args
        return [(f.load("ptr", args["outputs"] + 8 * j), f.load("i64", args["kept"] + 8 * j), ITEMSIZE[d])
                for j, d in enumerate(self.spec.out_dtypes)]

    def lines(self):
        """``lines``: one output after the other, each of a row that is dense in memory."""
        f, spec, reducer, lanes = self.f, self.spec, self.reducer, self.lanes
        (base,), (step,), (size,) = self.bases, self.along, self.sizes
        outputs, width = self.outputs(), f.value(1)
        with f.range(self.args["rows"]) as row:
            here = base + row * step
            self.bases = [here]
            first = None
            if reducer.uses_first:
                first = self.value([f.splat(f.load(MEMORY[spec.in_dtypes[0]], here, size), lanes)], lanes)
            self.state = [f.var(v.type, v) for v in reducer.initial(f, lanes, first)]
            self.flat(self.n, f.value(lanes), width)
            state = spec.folded(f, tuple(x.get() for x in self.state))
            for v, (place, to, bytes_) in zip(spec.results(f, state, 1, self.args["count"], self.scalars), outputs):
                f.store(v, place + row * to, bytes_)

    def strips(self):
        """``strips``: as many outputs as lanes at a time, side by side, each of a few rows."""
        f, spec, reducer, lanes = self.f, self.spec, self.reducer, self.lanes
        (base,), (down,), (size,) = self.bases, self.down, self.sizes
        outputs, total = self.outputs(), self.args["rows"]
        type_ = vector(MEMORY[spec.in_dtypes[0]], lanes)
        position = self.positions(Value(f, "zeroinitializer", vector("i64", lanes)), self.index_step)
        self.jump = self.index_step
        buffers = [f.buffer(bytes_ * lanes) for _, _, bytes_ in outputs]

        def strip(here, left):
            valid = None if left is None else f.below(left, lanes)

            def load(i):
                place = here + i * down
                x = f.load(type_, place, size) if left is None else self.part(type_, place, size, valid, left)
                return self.value([x], lanes)

            first = load(f.value(0)) if reducer.uses_first else None
            self.state = [f.var(v.type, v) for v in reducer.initial(f, lanes, first)]
            run, _ = self.blocks(self.n, f.value(1), f.value(1), self.state, position,
                                 lambda run, i, k: self.add(run, load(i + k), None))
            if run is not self.state:
                self.absorb(self.state, run)
            return spec.results(f, tuple(x.get() for x in self.state), lanes, self.args["count"], self.scalars)

        dense = f.value(True, "i1")
        for _, to, bytes_ in outputs:
            dense = dense & to.eq(bytes_)
        whole = f.select(dense, total & -lanes, f.value(0))
        with f.range(0, whole, step=lanes) as at:
            for v, (place, _, bytes_) in zip(strip(base + at * size, None), outputs):
                f.store(v, place + at * bytes_, bytes_)
        with f.range(whole, total, step=lanes) as at:
            left = f.minimum(total - at, lanes)
            for v, (place, to, bytes_), buffer in zip(strip(base + at * size, left), outputs, buffers):
                f.store(v, buffer, 64)
                with f.range(left) as k:
                    f.store(f.load(f"i{8 * bytes_}", buffer + k * bytes_), place + (at + k) * to, 1)

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

    def wide_columns(self, tiles, whole):
        """The outputs of so many tiles side by side, whose states follow each other in memory; all of them or less.

        Longer lines of each row are read at a time, by more additions that don't wait for each other.
        """
        f, spec, own, single, n = self.f, self.spec, self.lanes, self.state, self.n
        lanes, down, size = own * tiles, self.down[0], self.sizes[0]
        ahead = f.minimum(n, _ROWS_AHEAD) * down
        type_ = vector(MEMORY[spec.in_dtypes[0]], lanes)
        valid = None if whole else f.below(self.width, lanes)
        states = [spec.load_state(f, self.pointer + t * spec.state_bytes) for t in range(tiles)]
        while len(states) > 1:
            states = [tuple(f.shuffle(x, y, range(2 * split(x.type)[1])) for x, y in zip(a, b))
                      for a, b in zip(states[::2], states[1::2])]
        self.state, self.lanes = [f.var(v.type, v) for v in states[0]], lanes

        def body(run, i, k):
            here = self.bases[0] + (i + k) * down
            if whole:
                for line in range(0, lanes * size, 64):
                    f.prefetch(here + ahead + line, near=2)
            x = f.load(type_, here, size) if whole else f.masked_load(type_, here, valid)
            self.add(run, self.value([x], lanes), None)

        run, _ = self.blocks(n, f.value(1), f.value(1), self.state, lambda i: None, body)
        if run is not self.state:
            self.absorb(self.state, run)
        values = [x.get() for x in self.state]
        for t in range(tiles):
            held = tuple(f.shuffle(v, v, range(t * own, t * own + own)) for v in values)
            spec.store_state(f, held, self.pointer + t * spec.state_bytes)
        self.state, self.lanes = single, own

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
