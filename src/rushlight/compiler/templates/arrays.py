"""Kernels over whole arrays: tasks over fixed tiles behind one shared native entry.

A template writes ``void task(ptr context, i64 begin, i64 end)`` for each of its phases; the entry gathers the
arrays' data pointers and a few words into the context and runs the phases one after the other, each on the thread
pool if the work is large.  The callable takes the arrays (None gives a null pointer) and then ``bytes`` of 64-bit
words: the tiles of each phase, the work in elements, then what the template declares.

    kernel = array_kernel("double float32", ("y", "x"), ("n",), write)
    kernel(y, x, pack("3q", tiles, n, n))

Arrays must be C-contiguous and of the dtype the template was written for; nothing is checked here.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, vector
from rushlight.compiler.codegen.entry import BYTES_VALUE, DATA, VAR_SIZE, _fail, _none, _Words, released
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY, float_to_float, narrow, widen
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.pointwise import builtin, fill_environment, method

MOST_WORDS = 64
PARALLEL_FROM = 1 << 14
RELEASE_FROM = 1 << 14
# Elements added in the compute type before they go to a double: chains of vectors, vectors a chain.
CHAINS, LENGTH = 4, 16
BLOCK = 4096
SEGMENTS_BLOCK = 1 << 16


@cache
def _entry():
    names = ("rl_array_kernel", "rl_environment")
    found = engine.load("array kernel entry", _entry_text, names, level=2, codegen_level=2)
    from rushlight.compiler.codegen.entry import ENVIRONMENT

    fill_environment(found["rl_environment"], ENVIRONMENT)
    return method(found["rl_array_kernel"], "rl_array_kernel")


def _entry_text():
    """PyObject *rl_array_kernel(self, args, n): self holds arrays, phases, then the tasks' addresses."""
    from rushlight.compiler.codegen.entry import ENVIRONMENT, _environment

    m = Module(host().triple)
    m.globals.append(f"@rl_environment = global [{len(ENVIRONMENT)} x ptr] zeroinitializer, align 64")
    f = m.function("rl_array_kernel", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    desc = _Words(f, f.args[0] + BYTES_VALUE)
    arrays, phases = desc[0], desc[1]
    args = f.args[1]
    with f.if_(f.args[2].ne(arrays + 1)):
        _fail(f, m, "PyExc_TypeError", "array kernel: wrong number of arguments")
        f.ret(f.null)
    context = f.buffer(8 * MOST_WORDS)
    none = _environment(f, "Py_None")
    with f.range(arrays) as k:
        item, data = f.load("ptr", args + (k << 3)), f.var("ptr", f.null)
        with f.if_(item.ne(none)):
            data.set(f.load("ptr", item + DATA))
        f.store(data.get(), context + (k << 3))
    text = f.load("ptr", args + (arrays << 3))
    words, count = text + BYTES_VALUE, f.load("i64", text + VAR_SIZE).lshr(3)
    with f.if_(count + arrays > MOST_WORDS):
        _fail(f, m, "PyExc_ValueError", "array kernel: too many words")
        f.ret(f.null)
    with f.range(count) as k:
        f.store(f.load("i64", words + (k << 3), 1), context + (arrays + k << 3))
    large = f.load("i64", words + (phases << 3), 1) >= PARALLEL_FROM
    with released(f, large), f.range(phases) as k:
        tiles, task = f.load("i64", words + (k << 3), 1), f.load("ptr", desc.at(k + 2))
        with f.if_else(large) as (pool, alone):
            with pool:
                f.call("void", _environment(f, "rl_parallel_for"), task, context, tiles)
            with alone:
                f.call("void", task, context, f.value(0), tiles)
    _none(f)
    return m.text()


def array_kernel(key, arrays, words, writers, level=1):
    """The callable of a kernel whose phases ``writers`` write: functions of a ``Task``.

    ``key`` determines the code together with this package's sources.
    """
    if not isinstance(writers, (tuple, list)):
        writers = (writers,)
    names = tuple(f"phase{k}" for k in range(len(writers)))

    def build():
        m = Module(host().triple)
        for name, writer in zip(names, writers, strict=True):
            task = Task(m, name, arrays, words, len(writers))
            writer(task)
            if task.streams:
                # Streaming stores are ordered with later ones only by a fence.
                task.f.line("fence seq_cst")
            task.f.ret()
        return m.text()

    found = engine.load(f"array kernel {key}", build, names, level=level)
    facts = (len(arrays), len(writers), *[found[n] for n in names])
    return builtin(_entry(), b"".join(w.to_bytes(8, "little") for w in facts))


class Task:
    """One phase's function being written: its arrays and words are attributes; loops, loads and sums.

    ``begin`` and ``end`` are the tiles to do.  Elements are computed in ``compute`` (float or double); vectors
    have ``lanes`` elements.
    """

    def __init__(self, m, name, arrays, words, phases):
        self.m = m
        self.f = f = m.function(name, "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")], "", "nounwind")
        context, self.begin, self.end = f.args
        for k, array in enumerate(arrays):
            setattr(self, array, f.load("ptr", context + 8 * k))
        self.streaming = self.streams = False
        first = len(arrays) + phases + 1
        for k, word in enumerate(words):
            value = f.load("i64", context + 8 * (first + k))
            setattr(self, word, value.cast("bitcast", "double") if word in ("eps", "scale", "low", "high") else value)

    def type(self, dtype):
        """Compute in what suits a dtype: float64 in double, all else in float."""
        self.dtype, self.size = dtype, ITEMSIZE[dtype]
        self.compute = "double" if dtype == "float64" else "float"
        self.compute_size = 8 if dtype == "float64" else 4
        self.lanes = host().lanes(self.compute_size)
        self.align = self.lanes * self.compute_size
        self.vector, self.wide = vector(self.compute, self.lanes), vector("double", self.lanes)
        self.iota = self.f.iota(self.lanes, "i64")
        return self

    def tiles(self):
        return self.f.range(self.begin, self.end)

    # ------------------------------------------------------------ elements

    def load(self, place, mask=None, dtype=None):
        """A vector of elements of ``dtype`` in the compute type; zeros where the mask is off."""
        dtype = dtype or self.dtype
        type_ = vector(MEMORY[dtype], self.lanes)
        v = self.f.load(type_, place, 1) if mask is None else self.f.masked_load(type_, place, mask)
        return float_to_float(widen(v, dtype), self.compute)

    def store(self, v, place, mask=None, dtype=None):
        dtype = dtype or self.dtype
        f = self.f
        v = narrow(f, float_to_float(v, "double" if dtype == "float64" else "float"), dtype)
        self.put(v, place, mask, ITEMSIZE[dtype])

    def put(self, v, place, mask, size):
        """Store a vector of memory elements, where the mask is on."""
        f = self.f
        if mask is None:
            if self.streaming:
                f.store(v, place, self.lanes * size, past=True)
            else:
                f.store(v, place, 1)
            return
        f.masked_store(v, place, mask)

    def scalar(self, place, dtype=None):
        """One element in the compute type."""
        dtype = dtype or self.dtype
        return float_to_float(widen(self.f.load(MEMORY[dtype], place, 1), dtype), self.compute)

    def scalar_of(self, place):
        """One element that is of the compute type in memory."""
        return self.f.load(self.compute, place, self.compute_size)

    def store_scalar(self, v, place, dtype=None):
        dtype = dtype or self.dtype
        v = float_to_float(v, "double" if dtype == "float64" else "float")
        self.f.store(narrow(self.f, v, dtype), place, 1)

    def splat(self, v):
        return self.f.splat(v, self.lanes)

    def as_double(self, v):
        return float_to_float(v, "double")

    def as_compute(self, v):
        return float_to_float(v, self.compute)

    def mask(self, left):
        """Lanes below ``left``."""
        return self.iota < self.f.splat(left, self.lanes)

    # ------------------------------------------------------------ loops

    def each(self, n, body, unroll=2, stream=None):
        """``body(i, mask)`` for vectors of elements 0 .. n; the mask is None where all lanes are on.

        ``stream``: where the results go; if the word ``past`` is set and it is aligned, whole vectors are
        written past the cache.
        """
        f, step = self.f, self.lanes * unroll
        whole = n.udiv(step) * step

        def loop():
            with f.range(0, whole, step=step) as i:
                for u in range(unroll):
                    body(i + u * self.lanes, None)
        if stream is None:
            loop()
        else:
            address = f.emit("i64", f"ptrtoint ptr {stream.name} to i64")
            aligned = (address & (self.lanes * self.size - 1)).eq(0)
            with f.if_else(self.past.ne(0) & aligned) as (yes, no):
                with yes:
                    self.streaming = True
                    loop()
                    self.streaming = False
                with no:
                    loop()
            self.streams = True
        with f.range(whole, n, step=self.lanes) as i:
            body(i, self.mask(n - i))

    def largest(self, n, value):
        """The largest of ``value(i, mask)`` over elements 0 .. n; NaN is passed over. A scalar."""
        f, step = self.f, self.lanes * CHAINS
        low = f.value(float("-inf"), self.vector)
        best = [f.var(self.vector, low) for _ in range(CHAINS)]

        def take(slot, v):
            old = slot.get()
            slot.set(f.select(v > old, v, old))
        whole = n.udiv(step) * step
        with f.range(0, whole, step=step) as i:
            for k, slot in enumerate(best):
                take(slot, value(i + k * self.lanes, None))
        with f.range(whole, n, step=self.lanes) as i:
            mask = self.mask(n - i)
            take(best[0], f.select(mask, value(i, mask), low))
        for slot in best[1:]:
            take(best[0], slot.get())
        return self.across(best[0].get(), lambda a, b: f.select(a > b, a, b))

    def total(self, v):
        """The sum of a vector's lanes, in pairs."""
        return self.across(v, lambda a, b: a + b)

    def across(self, v, combine):
        """The lanes of a vector put together in pairs."""
        f, lanes = self.f, self.lanes
        while lanes > 2:
            half = lanes // 2
            v, lanes = combine(f.shuffle(v, v, range(half)), f.shuffle(v, v, range(half, lanes))), half
        return combine(f.extract(v, 0), f.extract(v, 1))

    def sums(self, n, count, terms):
        """``count`` sums (doubles) over elements 0 .. n of what ``terms(i, mask)`` gives.

        Runs of ``LENGTH`` numbers a lane are added in the compute type, the runs in double.
        """
        return self.sums_of_segments(None, n, count, lambda segment, i, mask: terms(i, mask))

    def sums_of_segments(self, segments, n, count, terms):
        """As ``sums``, of ``terms(segment, i, mask)`` over all segments (values begin, end) of n elements each."""
        f = self.f
        run = self.lanes * CHAINS * LENGTH
        zero, none = f.value(0.0, self.vector), f.value(0.0, self.wide)
        totals = [f.var(self.wide, none) for _ in range(count)]
        chains = [[f.var(self.vector) for _ in range(CHAINS)] for _ in range(count)]
        with f.range(*(segments or (f.value(0), f.value(1)))) as segment, f.range(0, n, step=run) as start:
            for chain in chains:
                for slot in chain:
                    slot.set(zero)
            stop, step = f.minimum(start + run, n), self.lanes * CHAINS
            whole = start + (stop - start).udiv(step) * step
            with f.range(start, whole, step=step) as i:
                for k in range(CHAINS):
                    for chain, v in zip(chains, terms(segment, i + k * self.lanes, None), strict=True):
                        chain[k].set(chain[k].get() + v)
            with f.range(whole, stop, step=self.lanes) as i:
                mask = self.mask(stop - i)
                for chain, v in zip(chains, terms(segment, i, mask), strict=True):
                    chain[0].set(chain[0].get() + f.select(mask, v, zero))
            for total, chain in zip(totals, chains, strict=True):
                parts = [slot.get() for slot in chain]
                while len(parts) > 1:
                    parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
                total.set(total.get() + float_to_float(parts[0], "double"))
        return [self.total(t.get()) for t in totals]

    def moments(self, place, n):
        """(mean, sum of squared deviations) of n elements as doubles, reading memory once.

        Blocks that stay in cache have their own mean; ``Merged`` puts them together.
        """
        f = self.f
        merged = Merged(f)
        with f.range(0, n, step=BLOCK) as at:
            size = f.minimum(n - at, f.value(BLOCK))
            merged.add(size, *self.block_moments(None, size, lambda segment: place + at * self.size))
        return merged.result()

    def moments_of_segments(self, segments, n, place):
        """As ``moments``, of ``segments`` of n elements each that begin at ``place(segment)``."""
        f = self.f
        merged = Merged(f)
        together = f.value(SEGMENTS_BLOCK) // n
        together = f.select(together < 1, f.value(1), together)
        with f.range(0, segments, step=together) as first:
            last = f.minimum(first + together, segments)
            merged.add((last - first) * n, *self.block_moments((first, last), n, place))
        return merged.result()

    def block_moments(self, segments, n, place):
        """(mean, sum of squared deviations) of one block, which is read twice."""
        total, = self.sums_of_segments(segments, n, 1, lambda segment, i, mask: [
            self.load(place(segment) + i * self.size, mask)])
        count = (n if segments is None else (segments[1] - segments[0]) * n).cast("sitofp", "double")
        middle = total / count
        rounded = self.as_compute(middle)
        around = self.splat(rounded)

        def deviations(segment, i, mask):
            d = self.load(place(segment) + i * self.size, mask) - around
            return [d * d]
        squares, = self.sums_of_segments(segments, n, 1, deviations)
        off = middle - self.as_double(rounded)
        return middle, squares - off * off * count


class Merged:
    """Mean and sum of squared deviations of blocks put together as Chan, Golub and LeVeque do (The American
    Statistician 37, 1983)."""

    def __init__(self, f):
        self.f = f
        self.count, self.mean, self.spread = (f.var("double", 0.0) for _ in range(3))

    def add(self, count, middle, squares):
        count = count.cast("sitofp", "double")
        before = self.count.get()
        share = count / (before + count)
        delta = middle - self.mean.get()
        self.spread.set(self.spread.get() + squares + delta * delta * before * share)
        self.mean.set(self.mean.get() + delta * share)
        self.count.set(before + count)

    def result(self):
        return self.mean.get(), self.spread.get()
