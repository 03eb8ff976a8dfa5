"""Selection by rank: the first k of each row in order, or the element of one rank.

    first_kernel(dtype, narrow)(values, indices, x, rows, n, flip, base, k, room)           results (rows, k), sorted
    ranked_kernel(dtype, narrow)(values, indices, x, rows, n, flip, base, rank, skip)       results (rows,)

x is (rows, n) in C order, indices are int64; for flip and base see ``keys.py``. ``room`` > k is that of a buffer for
few elements out of many, 0 for many.
``skip`` 0: the element of that rank; 1: the lower median, or the first NaN if there is one; 2: the lower median of what
is not NaN. Of equal elements the first come first.

A few elements out of many: those that beat the k-th so far, found a vector at a time, go to a buffer, which is sorted
and cut to k when it is full. Otherwise the digits of keys are counted from the highest and only elements with the
digit wanted are looked at further (C. A. R. Hoare's FIND, by digits).
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.keys import Keys, narrow, widen
from rushlight.compiler.templates.layout import Layout
from rushlight.compiler.templates.sort import DIGIT, clear, count_digits, move_digits

_ARRAYS = ("values", "indices", "x")
_WORDS = ("rows", "n", "flip", "base")
_FIRST = Layout(_ARRAYS, (*_WORDS, "k", "room"), ("failed",))
_RANKED = Layout(_ARRAYS, (*_WORDS, "rank", "skip"), ("failed",))
# Up to so many packs are sorted by insertion.
_FEW = 48
_TOP_BITS, _LONG = 11, 1 << 13
_PARALLEL_FROM = 1 << 13


@cache
def first_kernel(dtype, narrow_=False):
    """The k first of rows of a dtype."""
    return _load("rl_first", dtype, narrow_)


@cache
def ranked_kernel(dtype, narrow_=False):
    """The element of one rank of rows of a dtype."""
    return _load("rl_ranked", dtype, narrow_)


def _load(name, dtype, narrow_):
    return entries.load(f"{name} {dtype} {narrow_}", lambda: module_text(name, Keys(dtype, narrow_)), (name,))[0]


def module_text(name, k):
    """The IR of one entry and its tasks."""
    m = entries.new_module()
    _insertion(m, k)
    _narrow_down(m, k, name == "rl_first")
    if name == "rl_first":
        _order(m, k)
        _offer(m, k)
        _filter(m, k)
        _first_task(m, k)
        _entry(m, name, _FIRST)
    else:
        _ranked_task(m, k)
        _entry(m, name, _RANKED)
    return m.text()


def _before(f, k, a, b):
    """Whether pack a goes before pack b."""
    if not k.wide:
        return a.ult(b)
    x, y = (f.extract(p, 0) for p in (a, b))
    return x.ult(y) | (x.eq(y) & (f.extract(a, 1) < f.extract(b, 1)))


def _insertion(m, k):
    """void rl_insertion(packs, n)."""
    f = m.function("rl_insertion", "void", [("ptr", "packs"), ("i64", "n")], "internal", "nounwind")
    packs, n = f.args
    with f.range(1, n) as i:
        mine = k.load_pack(f, packs, i)
        at = f.var("i64", i)
        with f.loop() as loop:
            here = at.get()
            loop.break_if(here <= 0)
            other = k.load_pack(f, packs, here - 1)
            loop.break_if(_before(f, k, other, mine))
            k.store_pack(f, other, packs, here)
            at.set(here - 1)
        k.store_pack(f, mine, packs, at.get())
    f.ret()


def _order(m, k):
    """void rl_order(packs, n, work): sort packs; ``work`` has room for n packs and the counts."""
    f = m.function("rl_order", "void", [("ptr", "packs"), ("i64", "n"), ("ptr", "work")], "internal", "nounwind")
    packs, n, work = f.args
    with f.if_(n <= _FEW):
        f.call("void", "rl_insertion", packs, n)
        f.ret()
    counts = work + n * k.step
    clear(f, counts, k.key_bits // DIGIT << DIGIT)
    with f.range(n) as i:
        count_digits(f, k, k.key_of(f, k.load_pack(f, packs, i)), counts)
    end = move_digits(f, k, packs, work, counts, n)
    with f.if_(end.ne(packs)):
        with f.range(n) as i:
            k.store_pack(f, k.load_pack(f, end, i), packs, i)
    f.ret()


def _counts_bytes(k):
    return max(1 << min(_TOP_BITS, k.key_bits), k.key_bits // DIGIT << DIGIT) * 4


def _narrow_down(m, k, keep):
    """i64 rl_narrow(x, n, rank, context, packs, below, counts): how many packs are left; the ``rank``-th of all is at
    the returned place. With ``keep`` the packs before them are gathered in ``below``.
    """
    f = m.function("rl_narrow", "i64", [("ptr", "x"), ("i64", "n"), ("i64", "rank"), ("ptr", "context"),
                                        ("ptr", "packs"), ("ptr", "below"), ("ptr", "counts")], "internal", "nounwind")
    x, n, rank, context, packs, below, counts = f.args
    terms = k.terms(_FIRST.words(f, context))
    with f.if_(n <= _FEW):
        with f.range(n) as i:
            k.store_pack(f, k.pack(f, k.load(f, x, i, terms), i), packs, i)
        f.call("void", "rl_insertion", packs, n)
        f.ret(rank)
    # Digits of rows that are not long are short, too: their counts are cleared and searched for each row.
    bits = f.select(n < _LONG, f.value(DIGIT), f.value(min(_TOP_BITS, k.key_bits)))
    wanted, left, kept = f.var("i64", rank), f.var("i64", n), f.var("i64", 0)
    shift = f.var("i64", f.value(k.key_bits) - bits)
    digits = f.value(1) << bits
    mask = digits - 1

    def search():
        """The digit that the rank falls on; ``wanted`` becomes the rank inside it."""
        digit, first = f.var("i64", 0), f.var("i64", 0)
        with f.loop() as loop:
            here = widen(f.load("i32", counts + digit.get() * 4), "i64")
            loop.break_if(first.get() + here > wanted.get())
            first.set(first.get() + here)
            digit.set(digit.get() + 1)
        wanted.set(wanted.get() - first.get())
        return digit.get()

    def take(pack, digit, chosen, count):
        """Keep a pack whose digit is the chosen one, or that is certainly among the first."""
        if keep:
            with f.if_(digit < chosen):
                k.store_pack(f, pack, below, kept.get())
                kept.set(kept.get() + 1)
        # Written always, kept if it counts: no branch to guess.
        k.store_pack(f, pack, packs, count.get())
        count.set(count.get() + digit.eq(chosen).cast("zext", "i64"))

    clear(f, counts, digits)
    with f.range(n) as i:
        digit = widen(k.load(f, x, i, terms), "i64").lshr(shift.get()) & mask
        slot = counts + digit * 4
        f.store(f.load("i32", slot) + 1, slot)
    chosen, count = search(), f.var("i64", 0)
    with f.range(n) as i:
        key = k.load(f, x, i, terms)
        take(k.pack(f, key, i), widen(key, "i64").lshr(shift.get()) & mask, chosen, count)
    left.set(count.get())
    with f.loop() as loop:
        loop.break_if((left.get() <= _FEW) | shift.get().eq(0))
        shift.set(f.select(shift.get() > bits, shift.get() - bits, f.value(0)))
        clear(f, counts, digits)
        with f.range(left.get()) as i:
            slot = counts + k.digit(f, k.load_pack(f, packs, i), shift.get(), mask) * 4
            f.store(f.load("i32", slot) + 1, slot)
        chosen, count = search(), f.var("i64", 0)
        count.set(0)
        with f.range(left.get()) as i:
            pack = k.load_pack(f, packs, i)
            take(pack, k.digit(f, pack, shift.get(), mask), chosen, count)
        left.set(count.get())
    # Few are left, or all have equal keys and are in order of position.
    with f.if_(left.get() <= _FEW):
        f.call("void", "rl_insertion", packs, left.get())
    f.ret(wanted.get())


def _offer(m, k):
    """i64 rl_offer(pack, buffer, count, k, room, work): the count after another pack; cuts a full buffer to k."""
    f = m.function("rl_offer", "i64", [(k.packed, "pack"), ("ptr", "buffer"), ("i64", "count"), ("i64", "k"),
                                       ("i64", "room"), ("ptr", "work")], "internal", "nounwind")
    pack, buffer, count, wanted, room, work = f.args
    k.store_pack(f, pack, buffer, count)
    count = count + 1
    with f.if_(count < room):
        f.ret(count)
    f.call("void", "rl_order", buffer, count, work)
    f.ret(wanted)


def _filter(m, k):
    """void rl_filter(x, n, context, buffer, work): the k first in order at the head of ``buffer`` (n >= k)."""
    f = m.function("rl_filter", "void", [("ptr", "x"), ("i64", "n"), ("ptr", "context"), ("ptr", "buffer"),
                                         ("ptr", "work")], "internal", "nounwind")
    x, n, context, buffer, work = f.args
    job = _FIRST.words(f, context)
    terms = k.terms(job)
    wanted, room = job.k, job.room
    count, bar = f.var("i64", 0), f.var(k.type, -1)
    lanes, unroll = max(2, host().lanes(k.size)), 4
    type_ = vector(k.type, lanes)

    def offer(key, i):
        filled = count.get() + 1
        pack = k.pack(f, key, i)
        count.set(f.call("i64", "rl_offer", pack, buffer, count.get(), wanted, room, work))
        with f.if_(count.get() < filled):
            bar.set(narrow(k.key_of(f, k.load_pack(f, buffer, wanted - 1)), k.type))

    # Until the buffer has been full once everything goes in.
    start = f.minimum(room, n)
    with f.range(start) as i:
        offer(k.load(f, x, i, terms), i)
    step = lanes * unroll
    i = f.var("i64", start)
    with f.loop() as loop:
        at = i.get()
        loop.break_if(at + step > n)
        limit = f.splat(bar.get(), lanes)
        hits = []
        for u in range(unroll):
            v = f.load(type_, x + (at + u * lanes) * k.size, k.size)
            hits.append(k.key(f, v, terms).ult(limit))
        some = hits[0]
        for h in hits[1:]:
            some = some | h
        word = f.emit(f"i{lanes}", f"bitcast {some.type} {some.name} to i{lanes}")
        with f.if_(word.ne(0)):
            for u, h in enumerate(hits):
                bits = f.var(f"i{lanes}", f.emit(f"i{lanes}", f"bitcast {h.type} {h.name} to i{lanes}"))
                with f.loop() as each:
                    now = bits.get()
                    each.break_if(now.eq(0))
                    lane = f.call(now.type, f"llvm.cttz.i{lanes}", now, f.value(True, "i1"))
                    bits.set(now & (now - 1))
                    place = at + u * lanes + widen(lane, "i64")
                    key = k.load(f, x, place, terms)
                    with f.if_(key.ult(bar.get())):
                        offer(key, place)
        i.set(at + step)
    with f.range(i.get(), n) as j:
        key = k.load(f, x, j, terms)
        with f.if_(key.ult(bar.get())):
            offer(key, j)
    f.call("void", "rl_order", buffer, count.get(), work)
    f.ret()


def _first_task(m, k):
    f = entries.task(m, "rl_first_task")
    job = _FIRST.words(f, f.args[0])
    n, wanted, room = job.n, job.k, job.room
    few = room.ne(0)
    # Buffer (or all packs), the packs below, room to sort them, counts.
    most = f.select(few, room, n)
    second = f.select(few, room, wanted)
    nbytes = (most + second * 2 + 4) * k.step + _counts_bytes(k) * 2 + 256
    block, work = entries.scratch_or_leave(f, nbytes, job.at("failed"))
    below = work + (most + 1) * k.step
    rest = below + (second + 1) * k.step
    terms = k.terms(job)
    with f.range(f.args[1], f.args[2]) as row:
        x = job.x + row * n * k.size
        found = f.var("ptr", work)
        with f.if_else(few) as (some, many):
            with some:
                f.call("void", "rl_filter", x, n, f.args[0], work, below)
            with many:
                last = f.call("i64", "rl_narrow", x, n, wanted - 1, f.args[0], work, below, rest)
                # Those left up to the one of the rank complete the ones below it.
                kept = wanted - 1 - last
                with f.range(last + 1) as i:
                    k.store_pack(f, k.load_pack(f, work, i), below, kept + i)
                f.call("void", "rl_order", below, wanted, rest)
                found.set(below)
        values = job.values + row * wanted * k.size
        indices = job.indices + row * wanted * 8
        with f.range(wanted) as i:
            k.emit(f, k.load_pack(f, found.get(), i), i, values, indices, x, terms)
    f.call("void", "rl_free", block)
    f.ret()


def _ranked_task(m, k):
    f = entries.task(m, "rl_ranked_task")
    job = _RANKED.words(f, f.args[0])
    n, terms = job.n, k.terms(job)
    block, work = entries.scratch_or_leave(f, (n + 4) * k.step + _counts_bytes(k) + 256, job.at("failed"))
    counts = work + (n + 1) * k.step
    with f.range(f.args[1], f.args[2]) as row:
        x = job.x + row * n * k.size
        rank = f.var("i64", job.rank)
        if k.floating:
            with f.if_(job.skip.ne(0)):
                valid = n - _count_nan(f, k, x, n)
                none, whole = valid.eq(0), valid.eq(n)
                rank.set(f.select(whole, (n - 1) >> 1, f.select(none, f.value(0), f.select(
                    job.skip.eq(1), valid, (valid - 1) >> 1))))
        at = f.call("i64", "rl_narrow", x, n, rank.get(), f.args[0], work, f.null, counts)
        k.emit(f, k.load_pack(f, work, at), row, job.values, job.indices, x, terms)
    f.call("void", "rl_free", block)
    f.ret()


def _count_nan(f, k, x, n):
    """How many elements are NaN."""
    lanes = max(2, host().lanes(k.size))
    type_ = vector(k.type, lanes)
    count = f.var("i64", 0)
    zero = (f.value(0, k.type), f.value(0, k.type))
    whole = n & -lanes
    with f.range(0, whole, step=lanes) as i:
        bad = k.key(f, f.load(type_, x + i * k.size, k.size), zero).eq(-1)
        word = f.emit(f"i{lanes}", f"bitcast {bad.type} {bad.name} to i{lanes}")
        with f.if_(word.ne(0)):
            count.set(count.get() + widen(f.intrinsic("ctpop", word), "i64"))
    with f.range(whole, n) as i:
        count.set(count.get() + widen(k.load(f, x, i, zero).eq(-1), "i64"))
    return count.get()


def _entry(m, name, layout):
    """PyObject *name(self, args, n): values, indices, x, then the numbers."""
    f, job = layout.begin(m, name)
    rows = job.rows
    entries.share(f, f"{name}_task", job.pointer, rows, rows * job.n, _PARALLEL_FROM)
    entries.done(f, job.failed)
