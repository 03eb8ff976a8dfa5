"""Sorting of rows: stable, with the positions the elements came from.

    sort_kernel(dtype, narrow)(values, indices, x, rows, n, flip, base)

x is (rows, n) in C order, indices are int64; for flip and base see ``keys.py``.

Short rows are sorted by counting for each element those before it, longer ones by digits of their keys from the
lowest (D. E. Knuth, TAOCP 5.2.5, algorithm R); digits that all elements share are passed over. Long rows are cut in
chunks that are counted and moved in parallel. The order is unique (equal elements stay in theirs), so are the bits.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.keys import Keys, narrow, widen
from rushlight.compiler.templates.layout import Layout

_ARRAYS = ("values", "indices", "x")
_JOB = Layout(_ARRAYS, ("rows", "n", "flip", "base"),
              ("failed", "source", "target", "counts", "shift", "chunk", "chunks"), ("source", "target", "counts"))
# Rows up to this length are sorted by counting; rows from that length on are cut in chunks.
_RANKED = 96
_LONG = 1 << 16
_CHUNKS = 16
DIGIT = 8
_PARALLEL_FROM = 1 << 12


@cache
def sort_kernel(dtype, narrow=False):
    """The function that sorts rows of a dtype (named as in ``pointwise_kernel``)."""
    return entries.load(f"sort {dtype} {narrow}", lambda: module_text(dtype, narrow), ("rl_sort",))[0]


def module_text(dtype, narrow):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    k = Keys(dtype, narrow)
    for write in (_rank, _radix, _rows_task, _map_task, _count_task, _move_task, _out_task, _long_row, _entry):
        write(m, k)
    return m.text()


_ROW = [("ptr", "values"), ("ptr", "indices"), ("ptr", "x"), ("i64", "n"), ("ptr", "context"), ("ptr", "work")]


def _rank(m, k):
    """Sort a short row: the place of an element is the number of those that go before it."""
    f = m.function("rl_rank", "void", _ROW, "internal", "nounwind")
    values, indices, x, n, context, work = f.args
    terms = k.terms(_JOB.words(f, context))
    lanes = max(2, host().lanes(8))
    whole = f"<{lanes} x i64>"
    iota = f.iota(lanes, "i64")
    padded = (n + (lanes - 1)) & -lanes
    # Keys of 64 bits lie apart from their positions here.
    with f.range(n) as i:
        key = k.load(f, x, i, terms)
        f.store(key if k.wide else k.pack(f, key, i), work + i * 8, 8)
    with f.range(n, padded) as i:
        f.store(f.value(-1), work + i * 8, 8)
    with f.range(n) as i:
        mine = f.load("i64", work + i * 8)
        own, place = f.splat(mine, lanes), f.splat(i, lanes)
        count = f.var(whole, f.value(0, whole))
        with f.range(0, padded, step=lanes) as j:
            other = f.load(whole, work + j * 8, 8)
            before = other.ult(own)
            if k.wide:
                before = before | (other.eq(own) & ((iota + f.splat(j, lanes)) < place))
            count.set(count.get() - before.cast("sext", "i64"))
        at = f.call("i64", f"llvm.vector.reduce.add.v{lanes}i64", count.get())
        bits = f.load(k.type, x + i * k.size, k.size)
        f.store(bits, values + at * k.size, k.size)
        f.store(i, indices + at * 8, 8)
    f.ret()


def _radix(m, k):
    """Sort a row digit by digit; ``work`` holds two rows of packs, then the counts."""
    f = m.function("rl_radix", "void", _ROW, "internal", "nounwind")
    values, indices, x, n, context, work = f.args
    terms = k.terms(_JOB.words(f, context))
    counts = work + n * (2 * k.step)
    clear(f, counts, k.key_bits // DIGIT << DIGIT)
    with f.range(n) as i:
        key = k.load(f, x, i, terms)
        k.store_pack(f, k.pack(f, key, i), work, i)
        count_digits(f, k, key, counts)
    packs = move_digits(f, k, work, work + n * k.step, counts, n)
    with f.range(n) as i:
        k.emit(f, k.load_pack(f, packs, i), i, values, indices, x, terms)
    f.ret()


def clear(f, counts, n):
    """Zero n counters of 32 bits (a multiple of 8)."""
    with f.range(0, n, step=8) as i:
        f.store(f.value(0, "<8 x i32>"), counts + i * 4, 4)


def count_digits(f, k, key, counts):
    """Count all digits of one key."""
    for p in range(k.key_bits // DIGIT):
        digit = widen(narrow(key.lshr(p * DIGIT), "i8"), "i64")
        slot = counts + (digit + (p << DIGIT)) * 4
        f.store(f.load("i32", slot) + 1, slot)


def move_digits(f, k, packs, other, counts, n):
    """Sort n > 0 packs by their counted digits, back and forth between two places; returns where they end."""
    source, target = f.var("ptr", packs), f.var("ptr", other)
    for p in range(k.key_bits // DIGIT):
        own = counts + (p << DIGIT) * 4
        first = k.digit(f, k.load_pack(f, source.get(), f.value(0)), p * DIGIT, 255)
        with f.if_(widen(f.load("i32", own + first * 4), "i64").ne(n)):
            total = f.var("i32", 0)
            with f.range(1 << DIGIT) as d:
                here = f.load("i32", own + d * 4)
                f.store(total.get(), own + d * 4)
                total.set(total.get() + here)
            a, b = source.get(), target.get()
            with f.range(n) as i:
                pack = k.load_pack(f, a, i)
                slot = own + k.digit(f, pack, p * DIGIT, 255) * 4
                at = f.load("i32", slot)
                f.store(at + 1, slot)
                k.store_pack(f, pack, b, widen(at, "i64"))
            source.set(b)
            target.set(a)
    return source.get()


def _rows_task(m, k):
    f = entries.task(m, "rl_sort_rows")
    job = _JOB.words(f, f.args[0])
    n = job.n
    nbytes = n * (2 * k.step) + (k.key_bits // DIGIT << DIGIT) * 4 + 256
    block, work = entries.scratch_or_leave(f, nbytes, job.at("failed"))
    short = n <= _RANKED
    with f.range(f.args[1], f.args[2]) as row:
        at = row * n
        args = (job.values + at * k.size, job.indices + at * 8, job.x + at * k.size, n,
                f.args[0], work)
        with f.if_else(short) as (ranked, other):
            with ranked:
                f.call("void", "rl_rank", *args)
            with other:
                f.call("void", "rl_radix", *args)
    f.call("void", "rl_free", block)
    f.ret()


def _chunks(m, name):
    """A task over chunks of a long row: (function, job) and a loop over (chunk, first, end)."""
    f = entries.task(m, name)
    job = _JOB.words(f, f.args[0])

    def each():
        size, n = job.chunk, job.n
        with f.range(f.args[1], f.args[2]) as c:
            begin = c * size
            yield c, begin, f.minimum(begin + size, n)

    return f, job, each


def _map_task(m, k):
    f, job, each = _chunks(m, "rl_sort_map")
    terms, x, packs = k.terms(job), job.x, job.source
    for _, begin, end in each():
        with f.range(begin, end) as i:
            k.store_pack(f, k.pack(f, k.load(f, x, i, terms), i), packs, i)
    f.ret()


def _count_task(m, k):
    f, job, each = _chunks(m, "rl_sort_count")
    shift = job.shift
    packs, counts = job.source, job.counts
    for c, begin, end in each():
        own = counts + (c << DIGIT) * 4
        clear(f, own, 1 << DIGIT)
        with f.range(begin, end) as i:
            slot = own + k.digit(f, k.load_pack(f, packs, i), shift, 255) * 4
            f.store(f.load("i32", slot) + 1, slot)
    f.ret()


def _move_task(m, k):
    f, job, each = _chunks(m, "rl_sort_move")
    shift = job.shift
    packs, target, counts = job.source, job.target, job.counts
    for c, begin, end in each():
        own = counts + (c << DIGIT) * 4
        with f.range(begin, end) as i:
            pack = k.load_pack(f, packs, i)
            slot = own + k.digit(f, pack, shift, 255) * 4
            at = f.load("i32", slot)
            f.store(at + 1, slot)
            k.store_pack(f, pack, target, widen(at, "i64"))
    f.ret()


def _out_task(m, k):
    f, job, each = _chunks(m, "rl_sort_out")
    terms, packs = k.terms(job), job.source
    arrays = [getattr(job, name) for name in _ARRAYS]
    for _, begin, end in each():
        with f.range(begin, end) as i:
            k.emit(f, k.load_pack(f, packs, i), i, *arrays, terms)
    f.ret()


def _long_row(m, k):
    """void rl_long_row(context, row): all threads on one row; fewer than 2^32 elements."""
    f = m.function("rl_long_row", "void", [("ptr", "shared"), ("i64", "row")], "internal", "nounwind")
    shared, job = _JOB.words(f, f.args[0]), _JOB.room(f)
    for name in ("n", "flip", "base", "source", "target", "counts", "chunk", "chunks"):
        job.set(**{name: getattr(shared, name)})
    at = f.args[1] * job.n
    for name, size in (("values", k.size), ("indices", 8), ("x", k.size)):
        job.set(**{name: getattr(shared, name) + at * size})
    n, chunks = job.n, job.chunks
    context = job.pointer
    entries.pool(f, "rl_sort_map", context, chunks)
    counts = job.counts
    with f.range(0, k.key_bits, step=DIGIT) as low:
        job.set(shift=low)
        entries.pool(f, "rl_sort_count", context, chunks)
        total, largest = f.var("i32", 0), f.var("i32", 0)
        with f.range(1 << DIGIT) as d:
            before = total.get()
            with f.range(chunks) as c:
                slot = counts + ((c << DIGIT) + d) * 4
                here = f.load("i32", slot)
                f.store(total.get(), slot)
                total.set(total.get() + here)
            size = total.get() - before
            largest.set(f.select(size.ugt(largest.get()), size, largest.get()))
        with f.if_(widen(largest.get(), "i64").ne(n)):
            entries.pool(f, "rl_sort_move", context, chunks)
            old = job.source
            job.set(source=job.target, target=old)
    entries.pool(f, "rl_sort_out", context, chunks)
    f.ret()


def _entry(m, k):
    """PyObject *rl_sort(self, args, n): values, indices, x, then the numbers."""
    f, job = _JOB.begin(m, "rl_sort")
    context = job.pointer
    rows, n = job.rows, job.n
    with f.if_else(rows * n < _PARALLEL_FROM) as (small, large):
        with small:
            f.call("void", "rl_sort_rows", context, f.value(0), rows)
        with large:
            with entries.released(f), f.if_else(n < _LONG) as (many, long):
                with many:
                    entries.pool(f, "rl_sort_rows", context, rows)
                with long:
                    nbytes = n * (2 * k.step) + (_CHUNKS << DIGIT) * 4
                    with entries.with_scratch(f, nbytes, job.at("failed")) as work:
                        job.set(source=work, target=work + n * k.step, counts=work + n * (2 * k.step),
                                chunk=(n + (_CHUNKS - 1)).udiv(_CHUNKS), chunks=_CHUNKS)
                        with f.range(rows) as row:
                            f.call("void", "rl_long_row", context, row)
    entries.done(f, job.failed)
