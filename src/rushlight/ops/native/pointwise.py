"""The generated twins of pointwise runs, for any dtypes, dense operands of broadcast shapes: a part of ``calls``.

    rl_general(rec, operands, n, params, count, into)   what the others call
    rl_run(rec, operands, params)                       ``pointwise.core.run``
    rl_change(rec, t, others, params, name)             ``pointwise.core.change`` where nothing is recorded
    rl_out(rec, operands, params, out)                  ``pointwise.core.run_out`` where the result is as `out` is
"""

from . import entry
from .calls import MOST_DIMS, _packed, _vectorcall
from .entry import DESCR, DIMS, FLAGS, ND, SIZE, TUPLE_ITEMS, TYPE

UNUSUAL = 1                     # what rl_general gives where Python has to take over
MOST_OPERANDS = 8


def general(w):
    """ptr rl_general(rec, operands, n, params, count, into): what ``run`` gives, or UNUSUAL (and nothing was done).

    The result goes over the memory of `into`, if that is given: the first operand, or a tensor of the result's shape.
    Then `into` is what is given back.
    """
    _General(w).write()


class _General:
    """rl_general being written: everything is looked at before anything is done."""

    def __init__(self, w):
        f = w.m.function("rl_general", "ptr", [("ptr", "rec"), ("ptr", "args"), ("i64", "n"), ("ptr", "params"),
                                               ("i64", "np"), ("ptr", "into")])
        self.w, self.f = w, f
        self.rec, self.args, self.n, self.params, self.np, self.into = f.args

    def write(self):
        """The whole function."""
        f, n, into = self.f, self.n, self.into
        self.unless((n + self.np) <= MOST_OPERANDS)
        self.numeric = [self.w.env(f, kind) for kind in ("float", "int", "bool")]
        # What tells the launch; the kernel's arguments, first of all the result; the numbers among them.
        self.keys, self.arrays, self.scalars = (f.buffer(8 * (MOST_OPERANDS + 2), 8) for _ in range(3))
        self.tensors, self.numbers, self.rank, self.needs = (f.var("i64", 0) for _ in range(4))
        self.look_at_operands()
        self.unless(self.tensors.get() > 0)
        # Whether the result goes over another tensor than the first operand.
        self.apart = into.ne(0) & f.load("ptr", self.args).ne(into)
        self.look_at_parameters()
        self.dims = f.buffer(8 * MOST_DIMS, 8)
        self.top = self.rank.get()
        self.find_shape()
        self.look_at_order()
        length = f.var("i64", n)
        with f.if_(into.ne(0)):
            self.look_at_target()
            length.set(n + 1)
            self.look_at_history()
        launch, kernel = self.find_launch(length.get())
        convert = f.load("ptr", launch + self.w.offsets["Launch.convert"])
        out = self.result_array(launch)
        f.store(out, self.arrays)
        self.call(kernel, convert, out)
        with f.if_(into.ne(0)):
            self.changed()
        self.fresh(out, launch)

    def unless(self, condition):
        """Leave it to Python unless the condition holds."""
        f = self.f
        with f.if_(~condition):
            f.ret(f.emit("ptr", f"inttoptr i64 {UNUSUAL} to ptr"))

    def is_tensor(self, kind):
        """Whether a type is that of plain tensors."""
        f, w = self.f, self.w
        return kind.eq(w.env(f, "Tensor")) | kind.eq(w.env(f, "Parameter"))

    def look_at_operands(self):
        """Plain tensors in C order, and Python numbers."""
        f = self.f
        with f.range(self.n) as i:
            x = f.load("ptr", self.args + i * 8)
            kind = f.load("ptr", x + TYPE)
            with f.if_else(self.is_tensor(kind)) as (tensor, number):
                with tensor:
                    self.look_at_tensor(x, i)
                with number:
                    self.require_number(kind)
                    f.store(kind, self.keys + i * 8)
                    self.note_number(x)

    def look_at_tensor(self, x, i):
        """The operand `x`, a tensor."""
        f, w, rank = self.f, self.w, self.rank
        a = self.dense_array(x)
        nd = f.load("i32", a + ND).cast("sext", "i64")
        self.unless(nd <= MOST_DIMS)
        dtype = w.get(f, x, "dtype")
        with f.if_else(nd.eq(0)) as (none, some):
            with none:
                f.store(f.load("ptr", dtype + w.offsets["dtype.zero"]), self.keys + i * 8)
            with some:
                f.store(dtype, self.keys + i * 8)
        rank.set(f.select(nd > rank.get(), nd, rank.get()))
        f.store(a, self.arrays + (self.tensors.get() + 1) * 8)
        self.tensors.set(self.tensors.get() + 1)

    def dense_array(self, x):
        """The array of a plain tensor, in C order; notes whether the tensor needs a gradient."""
        f = self.f
        state = f.call("i64", "rl_check", x, f.null, declare=False)
        self.unless(state.ne(0))
        self.needs.set(self.needs.get() | (state >> 1))
        a = self.w.get(f, x, "_a")
        self.unless((f.load("i32", a + FLAGS) & 1).ne(0))
        return a

    def require_number(self, kind):
        """A type has to be one of Python's numbers."""
        float_, int_, bool_ = self.numeric
        self.unless(kind.eq(float_) | kind.eq(int_) | kind.eq(bool_))

    def note_number(self, x):
        """One more argument of the kernel that is a number."""
        self.f.store(x, self.scalars + self.numbers.get() * 8)
        self.numbers.set(self.numbers.get() + 1)

    def look_at_parameters(self):
        """Python numbers."""
        f = self.f
        with f.range(self.np) as i:
            x = f.load("ptr", self.params + i * 8)
            self.require_number(f.load("ptr", x + TYPE))
            self.note_number(x)

    def shapes(self):
        """A loop over the tensors: (number, number of dimensions, sizes, where they are in the common shape)."""
        f = self.f
        with f.range(self.tensors.get()) as i:
            a = f.load("ptr", self.arrays + (i + 1) * 8)
            nd, sizes = f.load("i32", a + ND).cast("sext", "i64"), f.load("ptr", a + DIMS)
            yield i, nd, sizes, lambda k: self.dims + (self.top - nd + k) * 8

    def find_shape(self):
        """The common shape; nothing in it may be empty."""
        f = self.f
        with f.range(self.top) as k:
            f.store(f.value(1), self.dims + k * 8)
        for _, nd, sizes, common in self.shapes():
            with f.range(nd) as k:
                size, place = f.load("i64", sizes + k * 8), common(k)
                old = f.load("i64", place)
                self.unless((size > 0) & (size.eq(1) | old.eq(1) | size.eq(old)))
                with f.if_(old.eq(1)):
                    f.store(size, place)

    def look_at_order(self):
        """Results are in C order where all operands are and their shapes are equal, or no size is 1 (whose steps may
        differ; see ``core.result_array``)."""
        f = self.f
        ones, differ = f.var("i64", 0), f.var("i64", 0)
        with f.range(self.top) as k, f.if_(f.load("i64", self.dims + k * 8).eq(1)):
            ones.set(1)
        for i, nd, sizes, common in self.shapes():
            other, total = f.var("i64", nd.ne(self.top).cast("zext", "i64")), f.var("i64", 1)
            with f.range(nd) as k:
                size = f.load("i64", sizes + k * 8)
                total.set(total.get() * size)
                with f.if_(size.ne(f.load("i64", common(k)))):
                    other.set(1)
            with f.if_(other.get().ne(0)):
                with f.if_(self.into.ne(0) & ~self.apart):
                    self.unless(i > 0)
                with f.if_(total.get() > 1):
                    differ.set(1)
        self.unless(ones.get().eq(0) | differ.get().eq(0))

    def look_at_target(self):
        """`into`: no other operand may share its memory, and its shape is the result's."""
        f, w, into = self.f, self.w, self.into
        storage = w.get(f, into, "_storage")
        self.unless(f.load("ptr", storage + w.offsets["Storage.root"]).eq(w.env(f, "None_")))
        with f.range(self.n) as i:
            x = f.load("ptr", self.args + i * 8)
            kind = f.load("ptr", x + TYPE)
            with f.if_(x.ne(into) & self.is_tensor(kind)):
                own = w.get(f, x, "_storage")
                self.unless(own.ne(storage) & f.load("ptr", own + w.offsets["Storage.root"]).eq(w.env(f, "None_")))
        with f.if_(self.apart):
            a = self.dense_array(into)
            self.unless(f.load("i32", a + ND).cast("sext", "i64").eq(self.top))
            own = f.load("ptr", a + DIMS)
            with f.range(self.top) as k:
                self.unless(f.load("i64", own + k * 8).eq(f.load("i64", self.dims + k * 8)))
        f.store(f.load("ptr", w.get(f, into, "_a") + DESCR), self.keys + self.n * 8)

    def look_at_history(self):
        """Nothing may be recorded, and no view of what is recorded may change."""
        f, w = self.f, self.w
        with f.if_(w.env_word(f, "recording").ne(0)):
            self.unless(self.needs.get().eq(0))
            view = w.get(f, self.into, "_view")
            with f.if_(view.ne(w.env(f, "None_"))):
                base = f.load("ptr", view + w.offsets["ViewInfo.base"])
                self.unless(w.get(f, base, "_requires_grad").eq(w.env(f, "False_")))

    def find_launch(self, length):
        """(launch, its kernel) that the record has for these operands."""
        f, w = self.f, self.w
        key = _packed(f, self.keys, length)
        launch = f.call("ptr", "PyDict_GetItem", f.load("ptr", self.rec + w.offsets["Record.extra"]), key)
        f.call("void", "Py_DecRef", key)
        self.unless(launch.ne(0))
        kernel = f.load("ptr", launch + w.offsets["Launch.kernel"])
        self.unless(kernel.ne(w.env(f, "None_")))
        return launch, kernel

    def result_array(self, launch):
        """The array that the kernel writes: that of `into`, or a new one."""
        f, w = self.f, self.w
        out = f.var("ptr", 0)
        with f.if_else(self.into.ne(0)) as (own, fresh):
            with own:
                out.set(w.get(f, self.into, "_a"))
            with fresh:
                out.set(f.call("ptr", w.env(f, "rl_new_array"), f.load("ptr", launch + w.offsets["Launch.out_np"]),
                               self.top.cast("trunc", "i32"), self.dims))
                with f.if_(out.get().eq(0)):
                    f.ret(out.get())
        return out.get()

    def call(self, kernel, convert, out):
        """Call the kernel, with numbers of the type `convert`; returns null where Python raised."""
        f, numbers = self.f, self.numbers
        used, failed = f.var("i64", 0), f.var("i64", 0)

        def argument(i):
            return self.arrays + (self.tensors.get() + 1 + i) * 8

        with f.range(numbers.get()) as i, f.if_(failed.get().eq(0)):
            x = f.var("ptr", f.load("ptr", self.scalars + i * 8))
            with f.if_else(f.load("ptr", x.get() + TYPE).eq(convert)) as (same, other):
                with same:
                    f.call("void", "Py_IncRef", x.get())
                with other:
                    x.set(_vectorcall(f, convert, x.get()))
            with f.if_else(x.get().eq(0)) as (bad, good):
                with bad:
                    failed.set(1)
                with good:
                    f.store(x.get(), argument(i))
                    used.set(i + 1)
        done = f.var("ptr", 0)
        with f.if_(failed.get().eq(0)):
            done.set(f.call("ptr", "PyObject_Vectorcall", kernel, self.arrays, self.tensors.get() + numbers.get() + 1,
                            f.null))
        with f.range(used.get()) as i:
            f.call("void", "Py_DecRef", f.load("ptr", argument(i)))
        with f.if_(done.get().eq(0)):
            with f.if_(self.into.eq(0)):
                f.call("void", "Py_DecRef", out)
            f.ret(f.null)
        f.call("void", "Py_DecRef", done.get())

    def changed(self):
        """Give `into` back, a version on."""
        f, w, into = self.f, self.w, self.into
        place = w.get(f, into, "_storage") + w.offsets["Storage.version"]
        version = f.load("ptr", place)
        number = f.call("i64", "PyLong_AsUnsignedLongLongMask", version)
        f.store(f.call("ptr", "PyLong_FromSsize_t", number + 1), place)
        f.call("void", "Py_DecRef", version)
        f.call("void", "Py_IncRef", into)
        f.ret(into)

    def fresh(self, out, launch):
        """Give a new tensor, recorded where a gradient is needed."""
        f, w, n = self.f, self.w, self.n
        t = f.call("ptr", "rl_wrap", out, f.load("ptr", launch + w.offsets["Launch.out"]), declare=False)
        with f.if_(t.ne(0) & self.needs.get().ne(0) & w.env_word(f, "recording").ne(0)):
            everything = f.buffer(8 * MOST_OPERANDS, 8)
            with f.range(n) as i:
                f.store(f.load("ptr", self.args + i * 8), everything + i * 8)
            with f.range(self.np) as i:
                f.store(f.load("ptr", self.params + i * 8), everything + (n + i) * 8)
            outs = entry._tuple(f, (t, True))
            f.ret(f.call("ptr", "rl_recorded", self.rec, _packed(f, everything, n + self.np), outs, t, declare=False))
        f.ret(t)


# ---------------------------------------------------------------- entries

def run(w):
    """rl_run(rec, operands, params)."""
    e = _begin(w, "rl_run", 3)
    operands, n = _items(e, 1)
    params, count = _items(e, 2)
    _give(e, operands, n, params, count, e.f.null)


def change(w):
    """rl_change(rec, t, others, params, name)."""
    e = _begin(w, "rl_change", 5)
    f, t = e.f, _target(e, 1)
    others, n = _items(e, 2)
    params, count = _items(e, 3)
    e.unless(n < MOST_OPERANDS)
    operands = f.buffer(8 * MOST_OPERANDS, 8)
    f.store(t, operands)
    with f.range(n) as k:
        f.store(f.load("ptr", others + k * 8), operands + (k * 8 + 8))
    _give(e, operands, n + 1, params, count, t)


def out(w):
    """rl_out(rec, operands, params, out)."""
    e = _begin(w, "rl_out", 4)
    operands, n = _items(e, 1)
    params, count = _items(e, 2)
    t = _target(e, 3)
    e.unless(n > 0)
    _give(e, operands, n, params, count, t)


def _begin(w, name, count):
    """The entry ``name`` of so many arguments."""
    e = entry.Entry(w, name)
    e.unless(e.n.eq(count))
    return e


def _target(e, k):
    """Argument k, a tensor."""
    t = e.f.load("ptr", e.args + 8 * k)
    e.unless(e.is_tensor(t))
    return t


def _items(e, k):
    """(items, number) of argument k, a tuple."""
    f = e.f
    x = f.load("ptr", e.args + 8 * k)
    e.unless(f.load("ptr", x + TYPE).eq(e.w.env(f, "tuple")))
    return x + TUPLE_ITEMS, f.load("i64", x + SIZE)


def _give(e, operands, n, params, count, into):
    """Return what rl_general gives, unless it says UNUSUAL."""
    f = e.f
    result = f.call("ptr", "rl_general", f.load("ptr", e.args), operands, n, params, count, into, declare=False)
    e.unless(f.emit("i64", f"ptrtoint ptr {result.name} to i64").ne(UNUSUAL))
    f.ret(result)
