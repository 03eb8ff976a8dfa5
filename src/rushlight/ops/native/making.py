"""Generated twins of small factories and joins.

    zeros(2, 3) ones((2, 3)) empty(...)         of the default dtype, sizes as ints or one tuple
    zeros_like(x) ones_like(x) empty_like(x)    of x's dtype, where x is dense
    cat([x, y], dim) stack((x, y), dim)         dense tensors of one dtype, results of less than 256 KiB

What is unusual (see ``entry``) goes to the Python function.
"""

from . import calls, entry
from .entry import DATA, DESCR, DIMS, FLAGS, LIST_ITEMS, ND, SIZE, TUPLE_ITEMS, TYPE
from .geometry import Writer

NAMES = ("rl_filled", "rl_like", "rl_cat", "rl_stack")
VALUE, RECORD = 1, calls.RECORD         # words of a descriptor after FALLBACK
ZEROS, ONES, NOTHING = range(3)
MOST_DIMS, MOST_PARTS, MOST_BYTES = 12, 1 << 12, 1 << 18
_ONES = {"float32": 0x3F8000003F800000, "float64": 0x3FF0000000000000, "int64": 1, "int32": 0x0000000100000001,
         "bool_": 0x0101010101010101}   # eight bytes of ones


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._wrap, entry._shape, calls._edge, calls._recorded, _fill, _copy,
                 _filled, _like, _cat, _stack):
        part(w)
    return w.m.text()


def _fill(w):
    """void rl_fill_words(to, nbytes, word): `nbytes` become those of `word` again and again."""
    f = w.m.function("rl_fill_words", "void", [("ptr", "to"), ("i64", "n"), ("i64", "word")], "internal")
    to, n, word = f.args
    whole = n & -8
    with f.range(0, whole, step=8) as k:
        f.store(word, to + k, 1)
    rest = f.var("i64", word)
    with f.range(whole, n) as k:
        f.store(rest.get().cast("trunc", "i8"), to + k, 1)
        rest.set(rest.get().lshr(8))
    f.ret()


def _copy(w):
    """void rl_copy_bytes(to, from, nbytes)."""
    f = w.m.function("rl_copy_bytes", "void", [("ptr", "to"), ("ptr", "from"), ("i64", "n")], "internal")
    to, source, n = f.args
    kind = "<4 x i64>"
    at = f.var("i64", 0)
    for step, kind in ((32, "<4 x i64>"), (4, "i32"), (1, "i8")):
        with f.loop() as loop:
            now = at.get()
            loop.break_if(now + step > n)
            f.store(f.load(kind, source + now, 1), to + now, 1)
            at.set(now + step)
    f.ret()


def _made(e, descr, rank, dims, nbytes, dtype, value, word):
    """Return a tensor on a new array, filled as `value` says."""
    f, w = e.f, e.w
    out = f.call("ptr", w.env(f, "rl_new_array"), descr, rank.cast("trunc", "i32"), dims)
    with f.if_(out.eq(0)):
        f.ret(out)
    with f.if_(value.ne(NOTHING)):
        fill = f.select(value.eq(ONES), word, f.value(0))
        f.call("void", "rl_fill_words", f.load("ptr", out + DATA), nbytes, fill, declare=False)
    f.ret(f.call("ptr", "rl_wrap", out, dtype, declare=False))


def _filled(w):
    e = entry.Entry(w, "rl_filled")
    f = e.f
    e.unless(e.n > 0)
    devices = w.env(f, "devices")
    e.unless(f.load("i64", devices + SIZE).eq(1))
    e.unless(f.load("ptr", f.load("ptr", devices + LIST_ITEMS)).eq(w.env(f, "CPU")))
    items, rank = f.var("ptr", e.args), f.var("i64", e.n)
    only = f.load("ptr", e.args)
    kind = f.load("ptr", only + TYPE)
    with f.if_(e.n.eq(1) & (kind.eq(w.env(f, "tuple")) | kind.eq(w.env(f, "Size")))):
        items.set(only + TUPLE_ITEMS)
        rank.set(f.load("i64", only + SIZE))
    e.unless(rank.get() <= MOST_DIMS)
    dims = f.buffer(8 * MOST_DIMS, 8)
    nbytes = f.var("i64", 4)
    with f.range(rank.get()) as k:
        size = e.integer(f.load("ptr", items.get() + k * 8))
        e.unless((size > 0) & (size < MOST_BYTES))
        nbytes.set(nbytes.get() * size)
        e.unless(nbytes.get() < MOST_BYTES)
        f.store(size, dims + k * 8)
    descr = w.env(f, "float32")
    e.unless(w.env(f, "default_descr").eq(descr))
    _made(e, descr, rank.get(), dims, nbytes.get(), w.env(f, "default_dtype"), e.word(VALUE),
          f.value(_ONES["float32"]))


def _like(w):
    e = entry.Entry(w, "rl_like")
    f = e.f
    e.unless(e.n.eq(1))
    x = f.load("ptr", e.args)
    e.unless(e.is_tensor(x))
    a = w.get(f, x, "_a")
    e.unless(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray")))
    e.unless((f.load("i32", a + FLAGS) & 1).ne(0))
    descr, dims = f.load("ptr", a + DESCR), f.load("ptr", a + DIMS)
    rank = f.load("i32", a + ND).cast("sext", "i64")
    nbytes = f.var("i64", f.load("i64", descr + 40))
    with f.range(rank) as k:
        nbytes.set(nbytes.get() * f.load("i64", dims + k * 8))
    e.unless((nbytes.get() > 0) & (nbytes.get() < MOST_BYTES))
    word = f.var("i64", 0)
    for kind, ones in _ONES.items():
        with f.if_(descr.eq(w.env(f, kind))):
            word.set(ones)
    e.unless(word.get().ne(0) | e.word(VALUE).ne(ONES))
    _made(e, descr, rank, dims, nbytes.get(), w.get(f, x, "dtype"), e.word(VALUE), word.get())


class _Join:
    """What cat and stack share: the parts looked at, the result made, the runs copied, the call recorded."""

    def __init__(self, w, name):
        e = self.e = entry.Entry(w, name, keywords=True)
        f = self.f = e.f
        self.w = w
        dim = f.var("ptr", w.env(f, "zero"))
        with f.if_(e.kw.ne(0)):
            named = f.load("i64", e.kw + SIZE)
            with f.if_(named.ne(0)):
                e.unless(named.eq(1) & e.n.eq(1) & f.load("ptr", e.kw + TUPLE_ITEMS).eq(w.env(f, "dim")))
                dim.set(f.load("ptr", e.args + 8))
        with f.if_(e.n.eq(2)):
            dim.set(f.load("ptr", e.args + 8))
        e.unless((e.n > 0) & (e.n <= 2))
        self.dim = e.integer(dim.get())
        self.items, self.count = calls._items(e, f.load("ptr", e.args))
        e.unless((self.count > 0) & (self.count <= MOST_PARTS))
        self.needs = f.var("i64", 0)
        with f.range(self.count) as k:
            calls._look(e, f.load("ptr", self.items + k * 8), self.needs)
        self.first = f.load("ptr", self.items)
        self.a = w.get(f, self.first, "_a")
        self.rank = f.load("i32", self.a + ND).cast("sext", "i64")
        self.descr, self.sizes = f.load("ptr", self.a + DESCR), f.load("ptr", self.a + DIMS)

    def array(self, k):
        """The array of part `k`, which must be dense and of the first one's dtype and rank."""
        f, e = self.f, self.e
        a = self.w.get(f, f.load("ptr", self.items + k * 8), "_a")
        e.unless((f.load("i32", a + FLAGS) & 1).ne(0) & f.load("ptr", a + DESCR).eq(self.descr))
        e.unless(f.load("i32", a + ND).cast("sext", "i64").eq(self.rank))
        return a

    def placed(self, rank):
        """The dimension, counted from the front."""
        d = self.dim + self.f.select(self.dim < 0, rank, self.f.value(0))
        self.e.unless(d.ult(rank))
        return d

    def finish(self, rank, dims, d):
        """Make the result of sizes `dims`."""
        f, e, w = self.f, self.e, self.w
        item = f.load("i64", self.descr + 40)
        total, outer = f.var("i64", item), f.var("i64", 1)
        with f.range(rank) as k:
            size = f.load("i64", dims + k * 8)
            total.set(total.get() * size)
            with f.if_(k < d):
                outer.set(outer.get() * size)
        e.unless((total.get() > 0) & (total.get() < MOST_BYTES))
        out = f.call("ptr", w.env(f, "rl_new_array"), self.descr, rank.cast("trunc", "i32"), dims)
        with f.if_(out.eq(0)):
            f.ret(out)
        row = total.get().udiv(outer.get())
        base = f.load("ptr", out + DATA)
        start = f.var("i64", 0)
        with f.range(self.count) as k:
            a = w.get(f, f.load("ptr", self.items + k * 8), "_a")
            own = f.load("ptr", a + DIMS)
            width = f.var("i64", item)
            with f.range(d, self.rank) as j:
                width.set(width.get() * f.load("i64", own + j * 8))
            source, n = f.load("ptr", a + DATA), width.get()
            with f.range(outer.get()) as r:
                f.call("void", "rl_copy_bytes", base + (r * row + start.get()), source + r * n, n, declare=False)
            start.set(start.get() + n)
        t = f.call("ptr", "rl_wrap", out, w.get(f, self.first, "dtype"), declare=False)
        with f.if_(t.ne(0) & self.needs.get().ne(0) & w.env_word(f, "recording").ne(0)):
            number = f.call("ptr", "PyLong_FromSsize_t", d)
            args = entry._tuple(f, (f.load("ptr", e.args), True), (number, False))
            outs = entry._tuple(f, (t, True))
            f.ret(f.call("ptr", "rl_recorded", e.pointer(RECORD), args, outs, t, declare=False))
        f.ret(t)


def _cat(w):
    j = _Join(w, "rl_cat")
    f, e = j.f, j.e
    rank = j.rank
    e.unless((rank > 0) & (rank <= MOST_DIMS))
    d = j.placed(rank)
    dims = f.buffer(8 * MOST_DIMS, 8)
    with f.range(rank) as k:
        f.store(f.load("i64", j.sizes + k * 8), dims + k * 8)
    joined = f.var("i64", 0)
    with f.range(j.count) as k:
        own = f.load("ptr", j.array(k) + DIMS)
        with f.range(rank) as i:
            size = f.load("i64", own + i * 8)
            e.unless(i.eq(d) | size.eq(f.load("i64", dims + i * 8)))
            e.unless(size > 0)
        joined.set(joined.get() + f.load("i64", own + d * 8))
    f.store(joined.get(), dims + d * 8)
    j.finish(rank, dims, d)


def _stack(w):
    j = _Join(w, "rl_stack")
    f, e = j.f, j.e
    rank = j.rank + 1
    e.unless(rank <= MOST_DIMS)
    d = j.placed(rank)
    dims = f.buffer(8 * MOST_DIMS, 8)
    with f.range(j.rank) as k:
        size = f.load("i64", j.sizes + k * 8)
        f.store(size, dims + (k + f.select(k >= d, f.value(1), f.value(0))) * 8)
    f.store(j.count, dims + d * 8)
    with f.range(j.count) as k:
        own = f.load("ptr", j.array(k) + DIMS)
        with f.range(j.rank) as i:
            e.unless(f.load("i64", own + i * 8).eq(f.load("i64", j.sizes + i * 8)))
    j.finish(rank, dims, d)


def install(state, builtin, replace, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    import ctypes

    from ... import dtypes
    from .. import joining
    from ..registry import FUNCTIONS
    from . import modules

    found = modules.load("making", offsets, NAMES, ctypes.addressof(state.table))

    def default_changed():
        d = dtypes.default.float
        _keep.append(d)
        state.table[entry.ENVIRONMENT.index("default_dtype")] = id(d)
        state.table[entry.ENVIRONMENT.index("default_descr")] = id(d.np)

    default_changed()
    dtypes.on_default_change.append(default_changed)

    def put(name, address, value, rec=None):
        fn = FUNCTIONS["torch"][name]
        d = (ctypes.c_uint64 * entry.DESC_WORDS)()
        d[entry.FALLBACK], d[VALUE] = id(fn), value
        if rec is not None:
            d[RECORD] = id(rec)
        _keep.extend((fn, d))
        replace(fn, builtin(name, found[address], d, fn.__doc__))

    for name, value in (("zeros", ZEROS), ("ones", ONES), ("empty", NOTHING)):
        put(name, "rl_filled", value)
        put(name + "_like", "rl_like", value)
    put("cat", "rl_cat", 0, joining._cat.record)
    put("stack", "rl_stack", 0, joining._stack.record)


_keep = []
