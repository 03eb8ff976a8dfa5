"""Generated twins of what writes small tensors whole and of what asks for their contents.

    x.zero_()  x.copy_(y)           dense, of one dtype and shape, nothing recorded
    torch.equal(x, y)               dense, of one dtype
    torch.nonzero(x)                dense

What is unusual (see ``entry``) or large goes to the Python function.
"""

from . import entry, making
from .entry import DATA, DESCR, DIMS, FLAGS, ND
from .geometry import Writer

NAMES = ("rl_zero", "rl_copy", "rl_equal", "rl_nonzero")
MOST_BYTES = 1 << 13
MOST_DIMS = 8
_ELEMENTS = {"float32": "float", "float64": "double", "int64": "i64", "int32": "i32", "bool_": "i8"}


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._wrap, making._fill, making._copy, _zero, _copied, _equal,
                 _nonzero):
        part(w)
    return w.m.text()


class _Entry(entry.Entry):
    """An entry for small dense tensors."""

    def array(self, k):
        """(tensor, array, elements, bytes) of argument `k`, which must be a plain dense tensor of few bytes."""
        f, w = self.f, self.w
        x = f.load("ptr", self.args + 8 * k)
        self.unless(self.is_tensor(x))
        state = f.call("i64", "rl_check", x, f.null, declare=False)
        a = w.get(f, x, "_a")
        self.unless(state.ne(0))
        self.unless((f.load("i32", a + FLAGS) & 1).ne(0))
        total, dims = f.var("i64", 1), f.load("ptr", a + DIMS)
        with f.range(f.load("i32", a + ND).cast("sext", "i64")) as i:
            total.set(total.get() * f.load("i64", dims + i * 8))
        nbytes = total.get() * f.load("i64", f.load("ptr", a + DESCR) + 40)
        self.unless(nbytes <= MOST_BYTES)
        return x, a, total.get(), nbytes

    def unrecorded(self, x):
        """Leave unless `x` needs no gradient; the call is not recorded then."""
        f, w = self.f, self.w
        self.unless(w.get(f, x, "_requires_grad").eq(w.env(f, "False_")))

    def alike(self, a, b):
        """1 where two arrays have the same sizes, else 0."""
        f = self.f
        rank, same = f.load("i32", a + ND), f.var("i64", 0)
        with f.if_(rank.eq(f.load("i32", b + ND))):
            same.set(1)
            with f.range(rank.cast("sext", "i64")) as i:
                n, m = (f.load("i64", f.load("ptr", y + DIMS) + i * 8) for y in (a, b))
                with f.if_(n.ne(m)):
                    same.set(0)
        return same.get()

    def changes(self, x):
        """Leave unless `x` may be changed in place without a trace but its version; that is raised by ``changed``."""
        f, w = self.f, self.w
        self.unrecorded(x)
        none, view = w.env(f, "None_"), w.get(f, x, "_view")
        with f.if_(view.ne(none)):
            base = f.load("ptr", view + w.offsets["ViewInfo.base"])
            self.unless(w.get(f, base, "_requires_grad").eq(w.env(f, "False_")))
        self.unless(f.load("ptr", w.get(f, x, "_storage") + w.offsets["Storage.root"]).eq(none))

    def changed(self, x):
        f, w = self.f, self.w
        place = w.get(f, x, "_storage") + w.offsets["Storage.version"]
        old = f.load("ptr", place)
        new = f.call("i64", "PyLong_AsUnsignedLongLongMask", old) + 1
        f.store(f.call("ptr", "PyLong_FromSsize_t", new), place)
        f.call("void", "Py_DecRef", old)
        f.call("void", "Py_IncRef", x)
        f.ret(x)


def _zero(w):
    e = _Entry(w, "rl_zero")
    f = e.f
    e.unless(e.n.eq(1))
    x, a, _, nbytes = e.array(0)
    e.changes(x)
    f.call("void", "rl_fill_words", f.load("ptr", a + DATA), nbytes, f.value(0), declare=False)
    e.changed(x)


def _copied(w):
    e = _Entry(w, "rl_copy")
    f = e.f
    e.unless(e.n.eq(2))
    x, a, _, nbytes = e.array(0)
    y, b, _, _ = e.array(1)
    e.changes(x)
    e.unrecorded(y)
    e.unless(f.load("ptr", a + DESCR).eq(f.load("ptr", b + DESCR)))
    e.unless(e.alike(a, b).ne(0))
    to, source = f.load("ptr", a + DATA), f.load("ptr", b + DATA)
    first, second = (f.emit("i64", f"ptrtoint ptr {p.name} to i64") for p in (to, source))
    e.unless((first - second + nbytes).uge(nbytes + nbytes) | nbytes.eq(0))
    f.call("void", "rl_copy_bytes", to, source, nbytes, declare=False)
    e.changed(x)


def _equal(w):
    e = _Entry(w, "rl_equal")
    f = e.f
    e.unless(e.n.eq(2))
    _, a, total, _ = e.array(0)
    _, b, _, _ = e.array(1)
    descr = f.load("ptr", a + DESCR)
    e.unless(descr.eq(f.load("ptr", b + DESCR)))

    def answer(name):
        result = w.env(f, name)
        f.call("void", "Py_IncRef", result)
        f.ret(result)

    with f.if_(e.alike(a, b).eq(0)):
        answer("False_")
    first, second = f.load("ptr", a + DATA), f.load("ptr", b + DATA)
    for kind, element in _ELEMENTS.items():
        with f.if_(descr.eq(w.env(f, kind))):
            size = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1}[element]
            lanes = 32 // size
            whole = total & -lanes
            for step, kind_, upto in ((lanes, f"<{lanes} x {element}>", whole), (1, element, total)):
                at = f.var("i64", 0 if step > 1 else whole)
                with f.loop() as loop:
                    k = at.get()
                    loop.break_if(k >= upto)
                    differs = f.load(kind_, first + k * size, 1).ne(f.load(kind_, second + k * size, 1))
                    if step > 1:
                        any_ = f"llvm.vector.reduce.or.v{lanes}i1"
                        f.module.declared[any_] = f"declare i1 @{any_}(<{lanes} x i1>)"
                        differs = f.emit("i1", f"call i1 @{any_}(<{lanes} x i1> {differs.name})")
                    with f.if_(differs):
                        answer("False_")
                    at.set(k + step)
            answer("True_")
    e.leave()


def _nonzero(w):
    e = _Entry(w, "rl_nonzero")
    f = e.f
    e.unless(e.n.eq(1))
    _, a, total, _ = e.array(0)
    descr, source = f.load("ptr", a + DESCR), f.load("ptr", a + DATA)
    rank, dims = f.load("i32", a + ND).cast("sext", "i64"), f.load("ptr", a + DIMS)
    e.unless((rank > 0) & (rank <= MOST_DIMS) & (total > 0))
    for kind, element in _ELEMENTS.items():
        with f.if_(descr.eq(w.env(f, kind))):
            size = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1}[element]

            def truth(k):
                return f.load(element, source + k * size, 1).ne(f.value(0.0 if element in ("float", "double") else 0,
                                                                        element))
            count = f.var("i64", 0)
            with f.range(total) as k:
                count.set(count.get() + truth(k).cast("zext", "i64"))
            e.unless(count.get() > 0)
            shape = f.buffer(16, 8)
            f.store(count.get(), shape)
            f.store(rank, shape + 8)
            out = f.call("ptr", w.env(f, "rl_new_array"), w.env(f, "int64"), f.value(2, "i32"), shape)
            with f.if_(out.eq(0)):
                f.ret(out)
            # Coordinates are counted on with the elements.
            to, at = f.var("ptr", f.load("ptr", out + DATA)), f.buffer(8 * MOST_DIMS, 8)
            with f.range(rank) as d:
                f.store(f.value(0), at + d * 8)
            with f.range(total) as k:
                with f.if_(truth(k)):
                    place = to.get()
                    with f.range(rank) as d:
                        f.store(f.load("i64", at + d * 8), place + d * 8)
                    to.set(place + rank * 8)
                d, more = f.var("i64", rank - 1), f.var("i64", 1)
                with f.loop() as loop:
                    loop.break_if((more.get()).eq(0) | (d.get() < 0))
                    here = at + d.get() * 8
                    next_ = f.load("i64", here) + 1
                    full = next_.eq(f.load("i64", dims + d.get() * 8))
                    f.store(f.select(full, f.value(0), next_), here)
                    more.set(full.cast("zext", "i64"))
                    d.set(d.get() - 1)
            dtype = f.call("ptr", "PyDict_GetItem", w.env(f, "BY_NP"), w.env(f, "int64"))
            f.ret(f.call("ptr", "rl_wrap", out, dtype, declare=False))
    e.leave()


def install(state, builtin, replace, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    import ctypes

    from ..registry import FUNCTIONS, METHODS
    from . import modules

    found = modules.load("contents", offsets, NAMES, ctypes.addressof(state.table))
    for fn, name in ((METHODS["zero_"], "rl_zero"), (METHODS["copy_"], "rl_copy"), (METHODS["equal"], "rl_equal"),
                     (METHODS["nonzero"], "rl_nonzero"), (FUNCTIONS["torch"]["nonzero"], "rl_nonzero")):
        d = (ctypes.c_uint64 * entry.DESC_WORDS)()
        d[entry.FALLBACK] = id(fn)
        _keep.extend((fn, d))
        replace(fn, builtin(fn.__name__, found[name], d, fn.__doc__))


_keep = []
