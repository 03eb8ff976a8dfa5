"""What kernels share that go through blocks in the cache: a job's words, scratch memory, rows, the entry.

An entry is called with arrays (or None) and an int64 array of words; both go, in order, into a *context*, for tasks of
the thread pool. ``Job`` gives a task its words by name and the idioms of its vectors. Rows in scratch memory are of the
compute type (float32 for 16-bit floats), whole vectors, zero past their end.

    rl_fetch(src, stride, rows, n, dst, to), rl_put         rows from memory to scratch and back    ``write_rows``
    rl_dots(q, k, step, n, d, to)                           a row times many                        ``write_dots``
    rl_mix(p, v, step, n, e, to, beta)                      a sum of weighted rows                  ``write_mix``
"""

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import entries, tiles

PARALLEL_FROM = 1 << 16         # multiply-adds


def new_module():
    """An empty module that knows the products of ``tiles``."""
    m = entries.new_module()
    tiles.declare(m)
    return m


def load(key, dtype, build, entry, factors=None):
    """The entry of a module that multiplies by ``tiles`` (of ``factors``, else the compute type), and shares out
    tasks."""
    from rushlight.runtime import cpu

    imports = tiles.symbols(factors or compute_type(dtype))
    return entries.load(f"{key} {dtype} {cpu.vector_bytes()}", lambda: build(dtype), [entry], imports)[0]


def compute_type(dtype):
    return "double" if dtype == "float64" else "float"


class Job:
    """A task's function: element types, the words of the job by name, vector idioms."""

    def __init__(self, f, dtype, arrays, fields, context=None):
        from rushlight.compiler.codegen.lower import MEMORY

        self.f, self.dtype = f, dtype
        self.element = compute_type(dtype)
        self.item = tiles.ITEM[self.element]
        self.memory = MEMORY[dtype]
        self.size = 2 if dtype in ("bfloat16", "float16") else self.item
        self.shape = tiles.shape(self.element)
        self.lanes, self.mr, self.nr = self.shape.lanes, self.shape.mr, self.shape.nr
        self.vector = vector(self.element, self.lanes)
        self.context = f.args[0] if context is None else context
        self.failed = 8 * (len(arrays) + len(fields))
        for k, name in enumerate((*arrays, *fields)):
            setattr(self, name, f.load("ptr" if name in arrays else "i64", self.context + 8 * k))

    @property
    def half(self):
        return self.size == 2

    def number(self, bits):
        """A word that holds a double, as a vector of equal elements."""
        value = bits.cast("bitcast", "double")
        value = value if self.element == "double" else value.cast("fptrunc", "float")
        return self.f.splat(value, self.lanes)

    def below(self, n):
        """The lanes before the n-th."""
        return self.f.below(n, self.lanes)

    def load(self, place, mask=None):
        """A vector; zeros where a mask is off."""
        return self.f.load(self.vector, place, align=self.item) if mask is None else self.f.masked_load(
            self.vector, place, mask)

    def store(self, value, place, mask=None):
        """Store a vector, or where a mask is on."""
        if mask is None:
            self.f.store(value, place, align=self.item)
        else:
            self.f.masked_store(value, place, mask)

    def vectors(self, n, visit):
        """``visit(at, mask or None)`` for each vector of n elements."""
        f, whole = self.f, n & -self.lanes
        with f.range(0, whole, step=self.lanes) as at:
            visit(at, None)
        with f.if_(whole < n):
            visit(whole, self.below(n - whole))

    def larger(self, a, b):
        """The greater; the second where either is NaN."""
        return self.f.select(a > b, a, b)

    def across(self, value, combine):
        """One vector's elements combined by a tree, as a scalar."""
        f, width = self.f, self.lanes
        while width > 2:
            half = width // 2
            value = combine(f.shuffle(value, value, range(half)), f.shuffle(value, value, range(half, width)))
            width = half
        return combine(f.extract(value, 0), f.extract(value, 1))

    def row_bytes(self, n):
        """Bytes of a row of n elements in scratch memory: whole vectors and one more, so that rows don't alias."""
        lanes = self.lanes
        return ((n + (lanes - 1)) & -lanes) * self.item + 64

    def exp(self, x):
        """exp of numbers that aren't much above zero; -inf gives 0."""
        from rushlight.compiler.codegen import math

        f, form = self.f, math.format_of(x)
        x = math.clamp(f, x, form.exp_range[0], None)
        i, n, r, p = math._exp_reduced(f, x)
        return math.scale(f, f.fma(r * r, p, r) + 1.0, i, n)

    def scratch(self, nbytes):
        """``entries.scratch_or_leave``."""
        return entries.scratch_or_leave(self.f, nbytes, self.context + self.failed)

    def turned(self, src, stride, n, depth, dst):
        """Strips of a matrix's transpose: n rows of ``depth`` elements become columns."""
        f, width = self.f, self.nr
        with f.range(0, n, step=width) as first:
            f.call("void", "rl_strip", src + first * stride, stride, f.value(self.item), depth,
                   f.minimum(n - first, f.value(width)), f.value(width), dst + first * depth * self.item, declare=False)

    def fetch(self, src, stride, rows, n, dst, to):
        """Rows of n elements of memory as rows of the compute type, ``to`` bytes apart."""
        self.f.call("void", "rl_fetch", src, stride, rows, n, dst, to, declare=False)

    def product(self, m, n, k, a, ars, acs, b, brs, bss, c, crs, beta):
        f = self.f
        f.call("void", "rl_block", *(f.value(x) for x in (m, n, k, a, ars, acs, b, brs, bss, c, crs, beta)),
               declare=False)


def write_rows(m, dtype):
    """rl_fetch(src, stride, rows, n, dst, to) and rl_put, which goes the other way.

    What follows a fetched row up to a whole vector is zero; nothing past a row is written by ``rl_put``.
    """
    from rushlight.compiler.codegen.lower import narrow, widen

    params = [("ptr", "src"), ("i64", "stride"), ("i64", "rows"), ("i64", "n"), ("ptr", "dst"), ("i64", "to")]
    for name in ("rl_fetch", "rl_put"):
        f = m.function(name, "void", params, "internal", "nounwind")
        src, stride, rows, n, dst, to = f.args
        j = Job(f, dtype, (), (), src)
        kind, whole = vector(j.memory, j.lanes), n & -j.lanes
        fetching = name == "rl_fetch"
        tail = j.below(n - whole)
        with f.range(rows) as r:
            here, there = src + r * stride, dst + r * to

            def move(at, mask=None):
                if fetching:
                    place = here + at * j.size
                    x = f.load(kind, place, align=j.size) if mask is None else f.masked_load(kind, place, mask)
                    j.store(widen(x, dtype), there + at * j.item)
                else:
                    x, place = narrow(f, j.load(here + at * j.item), dtype), there + at * j.size
                    if mask is None:
                        f.store(x, place, align=j.size)
                    else:
                        j.store(x, place, mask)

            with f.range(0, whole, step=j.lanes) as at:
                move(at)
            with f.if_(whole < n):
                move(whole, tail)
        f.ret()


def write_dots(m, dtype):
    """rl_dots(q, k, step, n, d, to): products of a row of the compute type with n rows, in whole vectors.

    Rows are read one after the other, as memory likes best; the vectors of sums of as many as a vector has lanes are
    added up by a tree. Rows past the last repeat it.
    """
    f = m.function("rl_dots", "void", [("ptr", "q"), ("ptr", "k"), ("i64", "step"), ("i64", "n"), ("i64", "d"),
                                       ("ptr", "to")], "internal", "nounwind")
    q, k, step, n, d, to = f.args
    j = Job(f, dtype, (), (), q)
    lanes, whole, size = j.lanes, d & -j.lanes, j.lanes * j.item
    tail = j.below(d - whole)
    evens, odds = range(0, 2 * lanes, 2), range(1, 2 * lanes, 2)
    sums = f.buffer(lanes * size)
    with f.range(0, n, step=lanes) as first:
        with f.range(lanes) as i:
            row = k + f.minimum(first + i, n - 1) * step
            total = f.var(j.vector, f.value(0.0, j.vector))
            with f.range(0, whole, step=lanes) as at:
                total.set(f.fma(j.load(q + at * j.item), j.load(row + at * j.item), total.get()))
            with f.if_(whole < d):
                at = whole * j.item
                total.set(f.fma(j.load(q + at), j.load(row + at, tail), total.get()))
            j.store(total.get(), sums + i * size)
        found = [j.load(sums + i * size) for i in range(lanes)]
        while len(found) > 1:
            found = [f.shuffle(a, b, evens) + f.shuffle(a, b, odds) for a, b in zip(found[::2], found[1::2])]
        j.store(found[0], to + first * j.item)
    f.ret()


def write_mix(m, dtype):
    """rl_mix(p, v, step, n, e, to, beta): to = sum_i p_i v_i (+ to): n rows of e elements, read once, in order."""
    f = m.function("rl_mix", "void", [("ptr", "p"), ("ptr", "v"), ("i64", "step"), ("i64", "n"), ("i64", "e"),
                                      ("ptr", "to"), ("i64", "beta")], "internal", "nounwind")
    p, v, step, n, e, to, beta = f.args
    j = Job(f, dtype, (), (), p)
    parts, rows, size = 4, 2, j.lanes * j.item
    with f.range(0, e, step=j.lanes * parts) as first:
        masks = [j.below(e - first - part * j.lanes) for part in range(parts)]
        sums = [[f.var(j.vector, f.value(0.0, j.vector)) for _ in range(parts)] for _ in range(rows)]
        here = v + first * j.item

        def add(i, row):
            weight = f.splat(f.load(j.element, p + i * j.item), j.lanes)
            for part, (mask, total) in enumerate(zip(masks, row)):
                x = j.load(here + (i * step + part * size), mask)
                total.set(f.fma(weight, x, total.get()))
        pairs = n & -rows
        with f.range(0, pairs, step=rows) as i:
            for k, row in enumerate(sums):
                add(i + k, row)
        with f.if_(pairs < n):
            add(pairs, sums[0])
        for part, mask in enumerate(masks):
            place = to + (first * j.item + part * size)
            total = sums[0][part].get() + sums[1][part].get()
            with f.if_else(beta.ne(0)) as (more, alone):
                with more:
                    j.store(total + j.load(place, mask), place, mask)
                with alone:
                    j.store(total, place, mask)
    f.ret()


def write_entry(m, name, arrays, fields, plan, dtype):
    """PyObject *name(self, args, n): the arrays (or None), then the words; ``plan(job)``: (tiles, multiply-adds)."""
    f, context = entries.begin(m, name, len(arrays), len(fields), 1)
    j = Job(f, dtype, arrays, fields, context)
    tiles_, work = plan(j)
    entries.share(f, f"{name}_task", context, tiles_, work, PARALLEL_FROM)
    entries.done(f, f.load("i64", context + j.failed))
