"""Generated twins of the views that reorder, add, drop and cut dimensions.

Each reads the sizes and steps of its tensor's array, writes those of the view into buffers, and makes the view and,
while gradients are recorded, its node. The values that the record's rule saves are put together here, in the order of
its plan. What is unusual (see ``entry``) goes to the Python function, which also makes the plan the first time.
"""

from . import entry
from .entry import DATA, DIMS, ENVIRONMENT, FALLBACK, ND, NODE, PLANS, SIZE, STRIDES, TUPLE_ITEMS, TYPE

MOST = 12                       # dimensions
PLAN = PLANS + entry.PLAN_WORDS     # the descriptor's word for the plan of a call whose only operand needs a gradient
NAMES = ("rl_transpose", "rl_transpose_last", "rl_turn", "rl_reverse", "rl_permute", "rl_unsqueeze", "rl_squeeze",
         "rl_expand", "rl_pick", "rl_index")


class Writer(entry.Writer):
    """A module beside the one of ``entry``, whose environment it shares."""

    def __init__(self, triple, offsets):
        super().__init__(triple, offsets)
        self.m.globals[-1] = f"@rl_tensor_environment = external global [{len(ENVIRONMENT)} x ptr]"
        for name in ("_Py_EllipsisObject", "PySlice_Type", "PyExc_MemoryError"):
            self.m.globals.append(f"@{name} = external global i8")


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._shape, entry._view_of, _attach):
        part(w)
    _transpose(w, "rl_transpose", True)
    _transpose(w, "rl_transpose_last", False)
    _turn(w, "rl_turn")
    _turn(w, "rl_reverse")
    _permute(w)
    _unsqueeze(w)
    _squeeze(w)
    _expand(w)
    _pick(w)
    _index(w)
    return w.m.text()


def _attach(w):
    """void rl_attach_view(desc, x, view, saved): record the call; `saved` is a list, given away."""
    f = w.m.function("rl_attach_view", "void", [("ptr", "desc"), ("ptr", "x"), ("ptr", "view"), ("ptr", "saved")],
                     "internal")
    desc, x, view, saved = f.args
    none, zero = w.env(f, "None_"), w.env(f, "zero")
    node = f.call("ptr", "PyType_GenericAlloc", f.load("ptr", desc + 8 * NODE), f.value(0))
    edge = f.var("ptr", 0)
    fn = w.get(f, x, "_grad_fn")
    with f.if_else(fn.eq(none)) as (leaf, inner):
        with leaf:
            edge.set(entry._tuple(f, (x, True), (zero, True)))
        with inner:
            edge.set(entry._tuple(f, (fn, True), (w.get(f, x, "_out_nr"), True)))
    w.put(f, node, "Node.edges", entry._tuple(f, (edge.get(), False)))
    w.put(f, node, "Node.seq", f.call("ptr", "PyObject_CallNoArgs", w.env(f, "next_seq")))
    w.put_new(f, node, "Node.ext", none)
    w.put_new(f, node, "Node.plan", f.load("ptr", desc + 8 * PLAN))
    shape = f.call("ptr", "rl_shape", w.get(f, view, "_a"), declare=False)
    facts = entry._tuple(f, (shape, False), (w.get(f, view, "dtype"), True))
    w.put(f, node, "Node.outs", entry._tuple(f, (facts, False)))
    w.put(f, node, "Node.saved", saved)
    f.call("void", "Py_DecRef", w.get(f, view, "_grad_fn"))
    w.put(f, view, "_grad_fn", node)
    f.call("void", "Py_DecRef", w.get(f, view, "_requires_grad"))
    w.put_new(f, view, "_requires_grad", w.env(f, "True_"))
    f.ret()


class View:
    """An entry for a view of its first argument, with buffers for the view's sizes and steps."""

    def __init__(self, w, name):
        self.w, self.e = w, entry.Entry(w, name)
        f = self.f = self.e.f
        self.e.unless(self.e.n > 0)
        self.x = f.load("ptr", self.e.args)
        self.e.unless(self.e.is_tensor(self.x))
        self.mask = f.var("i64", 0)
        self.e.check(self.x, self.mask, 0)
        self.a = w.get(f, self.x, "_a")
        self.rank = f.load("i32", self.a + ND).cast("sext", "i64")
        self.e.unless(self.rank <= MOST)
        self.old, self.old_steps = f.load("ptr", self.a + DIMS), f.load("ptr", self.a + STRIDES)
        # NumPy's steps of arrays without elements are not PyTorch's.
        with f.range(self.rank) as k:
            self.e.unless(self.size_of(k) > 0)
        self.dims, self.steps = f.buffer(8 * 2 * MOST, 8), f.buffer(8 * 2 * MOST, 8)
        self.count, self.shift = f.var("i64", 0), f.var("i64", 0)

    def argument(self, k):
        return self.f.load("ptr", self.e.args + 8 * k)

    def dim(self, x, rank):
        """The dimension that the int `x` names, counted from the end where negative."""
        d = self.e.integer(x)
        d = d + self.f.select(d < 0, rank, self.f.value(0))
        self.e.unless(d.ult(rank))
        return d

    def size_of(self, d):
        return self.f.load("i64", self.old + d * 8)

    def step_of(self, d):
        return self.f.load("i64", self.old_steps + d * 8)

    def append(self, size, step):
        """One dimension more of the view."""
        f, k = self.f, self.count.get()
        self.e.unless(k < 2 * MOST)
        f.store(size, self.dims + k * 8)
        f.store(step, self.steps + k * 8)
        self.count.set(k + 1)

    def copy(self, d):
        self.append(self.size_of(d), self.step_of(d))

    def items(self):
        """(first, number) of the ints given one by one or as a tuple after the tensor."""
        f, e = self.f, self.e
        e.unless(e.n > 1)
        first, number = f.var("ptr", e.args + 8), f.var("i64", e.n - 1)
        only = self.argument(1)
        with f.if_(e.n.eq(2) & f.load("ptr", only + TYPE).eq(self.w.env(f, "tuple"))):
            first.set(only + TUPLE_ITEMS)
            number.set(f.load("i64", only + SIZE))
        return first.get(), number.get()

    def item_size(self):
        """Bytes an element, from the array's dtype."""
        return self.f.load("i64", self.f.load("ptr", self.a + entry.DESCR) + 40)

    def finish(self, *saved):
        """Make the view and return it; `saved` gives new references when called."""
        f, e, w = self.f, self.e, self.w
        needs = self.mask.get()
        e.settle(self.mask)
        data = f.load("ptr", self.a + DATA) + self.shift.get()
        array = entry._show(w, f, self.a, self.count.get().cast("trunc", "i32"), self.dims, self.steps, data)
        offset = f.var("ptr", w.get(f, self.x, "_offset"))
        with f.if_else(self.shift.get().eq(0)) as (same, moved):
            with same:
                f.call("void", "Py_IncRef", offset.get())
            with moved:
                start = f.call("i64", "PyLong_AsUnsignedLongLongMask", offset.get())
                offset.set(f.call("ptr", "PyLong_FromSsize_t", start + self.shift.get() // self.item_size()))
        t = f.call("ptr", "rl_view_of", self.x, array, offset.get(), needs, declare=False)
        with f.if_(self.mask.get().ne(0)):
            values = f.call("ptr", "PyList_New", f.value(len(saved)))
            place = f.load("ptr", values + entry.LIST_ITEMS)
            for k, make in enumerate(saved):
                f.store(make(), place + 8 * k)
            f.call("void", "rl_attach_view", e.desc, self.x, t, values, declare=False)
        f.ret(t)

    def int_(self, value):
        """Saves an int."""
        return lambda: self.f.call("ptr", "PyLong_FromSsize_t", value)

    def shape(self):
        """Saves the shape of the tensor that is viewed."""
        return self.f.call("ptr", "rl_shape", self.a, declare=False)


def _swapped(v, d0, d1):
    f = v.f
    with f.range(v.rank) as k:
        v.copy(f.select(k.eq(d0), d1, f.select(k.eq(d1), d0, k)))


def _transpose(w, name, given):
    """rl_transpose(x, dim0, dim1); rl_transpose_last(x): the last two dimensions."""
    v = View(w, name)
    v.e.unless(v.e.n.eq(3 if given else 1) & (v.rank > (0 if given else 1)))
    d0, d1 = (v.dim(v.argument(1), v.rank), v.dim(v.argument(2), v.rank)) if given else (v.rank - 2, v.rank - 1)
    _swapped(v, d0, d1)
    v.finish(v.int_(d0), v.int_(d1))


def _turn(w, name):
    """rl_turn(x) and rl_reverse(x): the transpose of a matrix, as ``t`` and as a permutation."""
    v = View(w, name)
    v.e.unless(v.e.n.eq(1) & v.rank.eq(2))
    _swapped(v, v.f.value(0), v.f.value(1))

    def dims():
        one = v.f.call("ptr", "PyLong_FromSsize_t", v.f.value(1))
        return entry._tuple(v.f, (one, False), (w.env(v.f, "zero"), True))
    v.finish(*([dims] if name == "rl_reverse" else []))


def _permute(w):
    """rl_permute(x, dims)."""
    v = View(w, "rl_permute")
    f = v.f
    first, number = v.items()
    v.e.unless(number.eq(v.rank))
    seen = f.var("i64", 0)
    order = f.buffer(8 * MOST, 8)
    with f.range(number) as k:
        d = v.dim(f.load("ptr", first + k * 8), v.rank)
        seen.set(seen.get() | (f.value(1) << d))
        f.store(d, order + k * 8)
        v.copy(d)
    v.e.unless(seen.get().eq((f.value(1) << v.rank) - 1))

    def dims():
        t = f.call("ptr", "PyTuple_New", number)
        with f.range(number) as k:
            f.store(f.call("ptr", "PyLong_FromSsize_t", f.load("i64", order + k * 8)), t + (k * 8 + TUPLE_ITEMS))
        return t
    v.finish(dims)


def _unsqueeze(w):
    """rl_unsqueeze(x, dim)."""
    v = View(w, "rl_unsqueeze")
    f = v.f
    v.e.unless(v.e.n.eq(2))
    d = v.dim(v.argument(1), v.rank + 1)
    with f.range(v.rank) as k:
        with f.if_(k.eq(d)):
            v.append(f.value(1), v.size_of(k) * v.step_of(k))
        v.copy(k)
    with f.if_(d.eq(v.rank)):
        v.append(f.value(1), v.item_size())
    v.finish(v.int_(d))


def _squeeze(w):
    """rl_squeeze(x, dim)."""
    v = View(w, "rl_squeeze")
    f = v.f
    v.e.unless(v.e.n.eq(2) & (v.rank > 0))
    d = v.dim(v.argument(1), v.rank)
    with f.range(v.rank) as k:
        with f.if_(k.ne(d) | v.size_of(k).ne(1)):
            v.copy(k)
    v.finish(v.shape)


def _expand(w):
    """rl_expand(x, sizes)."""
    v = View(w, "rl_expand")
    f = v.f
    first, number = v.items()
    lead = number - v.rank
    v.e.unless((lead >= 0) & (number <= MOST))
    with f.range(number) as k:
        size = v.e.integer(f.load("ptr", first + k * 8))
        with f.if_else(k < lead) as (new, old):
            with new:
                # Sizes of one there have steps of their own, which Python knows.
                v.e.unless(size > 1)
                v.append(size, f.value(0))
            with old:
                n, step = v.size_of(k - lead), v.step_of(k - lead)
                keeps = size.eq(n) | size.eq(-1)
                v.e.unless(keeps | n.eq(1) & (size > 0))
                v.append(f.select(keeps, n, size), f.select(keeps, step, f.value(0)))
    v.finish()


def _pick(w):
    """rl_pick(x, dim, index): select."""
    v = View(w, "rl_pick")
    f = v.f
    v.e.unless(v.e.n.eq(3) & (v.rank > 0))
    d = v.dim(v.argument(1), v.rank)
    i = v.dim(v.argument(2), v.size_of(d))
    with f.range(v.rank) as k, f.if_(k.ne(d)):
        v.copy(k)
    v.shift.set(i * v.step_of(d))
    v.finish(v.shape, v.int_(d), v.int_(i))


def _index(w):
    """rl_index(x, key): ints, slices, None and one Ellipsis; nothing is recorded here."""
    v = View(w, "rl_index")
    f, e = v.f, v.e
    e.unless(e.n.eq(2))
    with f.if_(v.mask.get().ne(0)):
        e.unless(w.env_word(f, "recording").eq(0))
    key = v.argument(1)
    first, number = f.var("ptr", e.args + 8), f.var("i64", 1)
    with f.if_(f.load("ptr", key + TYPE).eq(w.env(f, "tuple"))):
        first.set(key + TUPLE_ITEMS)
        number.set(f.load("i64", key + SIZE))
    e.unless(number.get() <= MOST)
    none, ellipsis = w.env(f, "None_"), f.symbol("_Py_EllipsisObject")
    slice_ = f.symbol("PySlice_Type")
    # Dimensions that the key speaks of, to know how many an Ellipsis stands for.
    named, dots = f.var("i64", 0), f.var("i64", 0)
    with f.range(number.get()) as k:
        x = f.load("ptr", first.get() + k * 8)
        skips = x.eq(none) | x.eq(ellipsis)
        named.set(named.get() + f.select(skips, f.value(0), f.value(1)))
        dots.set(dots.get() + f.select(x.eq(ellipsis), f.value(1), f.value(0)))
    e.unless((named.get() <= v.rank) & (dots.get() <= 1) & (v.rank > 0))
    at = f.var("i64", 0)
    bounds = f.buffer(24, 8)
    with f.range(number.get()) as k:
        x = f.load("ptr", first.get() + k * 8)
        kind = f.load("ptr", x + TYPE)
        done = f.fresh("next")
        with f.if_(x.eq(none)):
            step = f.var("i64", v.item_size())
            with f.if_(at.get() < v.rank):
                step.set(v.size_of(at.get()) * v.step_of(at.get()))
            v.append(f.value(1), step.get())
            f.terminate(f"br label %{done}")
        with f.if_(x.eq(ellipsis)):
            with f.range(v.rank - named.get()):
                v.copy(at.get())
                at.set(at.get() + 1)
            f.terminate(f"br label %{done}")
        d = at.get()
        size, step = v.size_of(d), v.step_of(d)
        at.set(d + 1)
        with f.if_(kind.eq(slice_)):
            for m in range(3):
                part = f.load("ptr", x + (16 + 8 * m))
                e.unless(part.eq(none) | f.load("ptr", part + TYPE).eq(w.env(f, "int")))
            failed = f.call("i32", "PySlice_Unpack", x, bounds, bounds + 8, bounds + 16)
            with f.if_(failed.ne(0)):
                f.call("void", "PyErr_Clear")
                e.leave()
            by = f.load("i64", bounds + 16)
            e.unless(by > 0)
            length = f.call("i64", "PySlice_AdjustIndices", size, bounds, bounds + 8, by)
            # Empty slices begin where PyTorch says.
            e.unless(length > 0)
            v.append(length, step * by)
            v.shift.set(v.shift.get() + f.load("i64", bounds) * step)
            f.terminate(f"br label %{done}")
        i = v.dim(x, size)
        v.shift.set(v.shift.get() + i * step)
        f.label(done)
    with f.range(at.get(), v.rank) as k:
        v.copy(k)
    v.finish()


def install(state, builtin, bound, replace, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    import ctypes

    from ...tensor.tensor import Tensor
    from .. import axes, dispatch, slicing, views
    from ..registry import FUNCTIONS, METHODS
    from . import modules

    found = modules.load("views", offsets, NAMES, ctypes.addressof(state.table))

    def twin(rec, address, fn):
        d = (ctypes.c_uint64 * entry.DESC_WORDS)()

        def fallback(*args, **kwargs):
            result = fn(*args, **kwargs)
            plan = rec.plans.get(1)
            if plan is not None:
                d[PLAN] = id(plan)
            return result
        fallback.__name__, fallback.__doc__ = fn.__name__, fn.__doc__
        _keep.extend((fallback, d))
        d[FALLBACK], d[entry.OPERANDS], d[NODE] = id(fallback), 1, id(dispatch.node_class(rec))
        return builtin(fn.__name__, address, d, fn.__doc__)

    swap, permute = axes._transpose.record, axes._permute.record
    for fn in {METHODS["transpose"], METHODS["swapaxes"], METHODS["swapdims"]}:
        replace(fn, twin(swap, found["rl_transpose"], fn))
    for fn, rec, name in ((METHODS["t"], axes._t.record, "rl_turn"), (METHODS["permute"], permute, "rl_permute"),
                          (FUNCTIONS["torch"]["permute"], permute, "rl_permute"),
                          (METHODS["unsqueeze"], axes._unsqueeze.record, "rl_unsqueeze"),
                          (METHODS["squeeze"], axes._squeeze_dim.record, "rl_squeeze"),
                          (METHODS["expand"], views._expand.record, "rl_expand"),
                          (METHODS["select"], slicing._select.record, "rl_pick")):
        replace(fn, twin(rec, found[name], fn))
    for attribute, rec, name in (("mT", swap, "rl_transpose_last"), ("T", permute, "rl_reverse")):
        METHODS[attribute] = property(twin(rec, found[name], METHODS[attribute].fget))
        setattr(Tensor, attribute, METHODS[attribute])
    fn = METHODS["__getitem__"]
    replace(fn, twin(slicing._select.record, found["rl_index"], fn), ("__getitem__",))
    from . import facts
    facts.install(state, builtin, bound, replace, twin, offsets)


_keep = []
