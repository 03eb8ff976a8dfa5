"""LLVM IR of the generated twin of dispatch.

A builtin function's ``self`` is a capsule whose pointer is a *descriptor*: 64-bit words that say what the op
is (see ``DESC``). What all share (types, singletons, offsets of Tensor slots) is in ``rl_tensor_environment``.

Note [Common case]: operands are Tensor or Parameter objects on ndarrays of the descriptor's dtype, C order
(or one value expanded), equal shapes, without bits (but those that new tensors get, word ``bits``); views whose base
has no graph, or whose history is current; Python floats and ints as scalars. The thread is the one that loaded this
code, in a mode that dispatch has nothing to do for (word ``plain`` of the environment, kept by ``autograd.modes``).
Anything else goes to the fallback.
"""

from ...compiler.codegen.builder import Module

# Words of a descriptor.
FALLBACK, OPERANDS, KERNEL, KERNEL_RIGHT, KERNEL_LEFT, OUT_DESCR, OUT_DTYPE, NODE, IN_DESCR, MAXIMUM, \
    EXTRA = range(11)
PLANS = 16                  # then 8 words for each set of operands that need a gradient:
PLAN_WORDS = 8              # plan object, number of saved values, their codes (operand index, or OUTPUT)
# Codes beyond operands: result, shape of operand 0, 0, an index; (dim,) and keepdim of an index 2 dim + keepdim.
OUTPUT, SHAPE, ZERO, INDEX, DIM_TUPLE, KEEPDIM = range(8, 14)
DESC_WORDS = PLANS + 16 * PLAN_WORDS

ENVIRONMENT = ("Tensor", "Parameter", "ndarray", "Storage", "Value", "AccumulateGrad", "ViewInfo", "None_",
               "True_", "False_", "zero", "next_seq", "plain", "recording", "bits", "thread", "float", "int",
               "rl_new_array", "PyArray_NewFromDescr", "PyArray_SetBaseObject", "tuple", "dim", "keepdim", "list",
               "bool", "BY_NP", "wrap", "attach", "multi", "general", "Size", "float32", "float64",
               "int64", "int32", "bool_", "devices", "CPU", "default_dtype", "default_descr",
               "str", "dtype", "device", "memory_format", "layout")

TYPE, DATA, ND, DIMS, STRIDES, DESCR, FLAGS = 8, 16, 24, 32, 40, 56, 64
TUPLE_ITEMS, LIST_ITEMS, SIZE = 24, 24, 16


class Writer:
    """The module being written, with the offsets of the slots it reads."""

    def __init__(self, triple, offsets):
        self.m = Module(triple)
        self.m.globals.append(
            f"@rl_tensor_environment = global [{len(ENVIRONMENT)} x ptr] zeroinitializer, align 64")
        self.offsets = offsets

    def env(self, f, name):
        return f.load("ptr", f.symbol("rl_tensor_environment") + 8 * ENVIRONMENT.index(name))

    def env_word(self, f, name):
        return f.load("i64", f.symbol("rl_tensor_environment") + 8 * ENVIRONMENT.index(name))

    def get(self, f, obj, slot):
        return f.load("ptr", obj + self.offsets[slot])

    def put(self, f, obj, slot, value):
        """Store a reference that is given away."""
        f.store(value, obj + self.offsets[slot])

    def put_new(self, f, obj, slot, value):
        """Store a new reference to `value`."""
        f.call("void", "Py_IncRef", value)
        self.put(f, obj, slot, value)


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    from .along import reduce_along
    w = Writer(triple, offsets)
    _fallback(w)
    _check(w)
    _wrap(w)
    _shape(w)
    _attach(w)
    _view_of(w)
    _other(w)
    _elementwise(w)
    reduce_along(w)
    _view(w)
    _select(w)
    return w.m.text()


def _fallback(w):
    f = w.m.function("rl_fallback", "ptr", [("ptr", "desc"), ("ptr", "args"), ("i64", "n"), ("ptr", "kw")],
                     "internal")
    desc, args, n, kw = f.args
    f.ret(f.call("ptr", "PyObject_Vectorcall", f.load("ptr", desc + 8 * FALLBACK), args, n, kw))


def _check(w):
    """i64 rl_check(t, descr): 0 not the common case, 1 plain, 3 plain and requiring a gradient."""
    f = w.m.function("rl_check", "i64", [("ptr", "t"), ("ptr", "descr")], "internal")
    t, descr = f.args
    a = w.get(f, t, "_a")
    with f.if_(f.load("ptr", a + TYPE).ne(w.env(f, "ndarray"))):
        f.ret(f.value(0))
    with f.if_(descr.ne(0) & f.load("ptr", a + DESCR).ne(descr)):
        f.ret(f.value(0))
    bits = w.get(f, t, "_bits")
    with f.if_(bits.ne(w.env(f, "zero")) & bits.ne(w.env(f, "bits"))):
        f.ret(f.value(0))
    needs = w.get(f, t, "_requires_grad").eq(w.env(f, "True_"))
    view = w.get(f, t, "_view")
    with f.if_(view.ne(w.env(f, "None_"))):
        base = f.load("ptr", view + w.offsets["ViewInfo.base"])
        with f.if_(w.get(f, base, "_requires_grad").ne(w.env(f, "False_"))):
            version = f.load("ptr", view + w.offsets["ViewInfo.version"])
            current = f.load("ptr", w.get(f, t, "_storage") + w.offsets["Storage.version"])
            with f.if_(version.ne(current)):
                f.ret(f.value(0))
    with f.if_(needs):
        node = w.get(f, t, "_grad_fn")
        with f.if_(f.load("ptr", node + TYPE).eq(w.env(f, "AccumulateGrad"))):
            f.ret(f.value(0))
        f.ret(f.value(3))
    f.ret(f.value(1))


def _wrap(w):
    """ptr rl_wrap(array, dtype): a Tensor that owns the fresh array (whose reference it takes)."""
    f = w.m.function("rl_wrap", "ptr", [("ptr", "array"), ("ptr", "dtype")], "internal")
    array, dtype = f.args
    none, zero = w.env(f, "None_"), w.env(f, "zero")
    storage = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Storage"), f.value(0))
    with f.if_(storage.eq(0)):
        f.call("void", "Py_DecRef", array)
        f.ret(f.null)
    w.put_new(f, storage, "Storage.owner", array)
    w.put_new(f, storage, "Storage.version", zero)
    w.put_new(f, storage, "Storage.root", none)
    w.put_new(f, storage, "Storage._bytes", none)
    t = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Tensor"), f.value(0))
    with f.if_(t.eq(0)):
        f.call("void", "Py_DecRef", array)
        f.call("void", "Py_DecRef", storage)
        f.ret(f.null)
    w.put(f, t, "_a", array)
    w.put(f, t, "_storage", storage)
    w.put_new(f, t, "dtype", dtype)
    for slot in ("_offset", "_out_nr"):
        w.put_new(f, t, slot, zero)
    w.put_new(f, t, "_bits", w.env(f, "bits"))
    w.put_new(f, t, "_requires_grad", w.env(f, "False_"))
    for slot in ("_grad", "_grad_fn", "_view", "_meta"):
        w.put_new(f, t, slot, none)
    f.ret(t)


def _tuple(f, *items):
    """A new tuple that takes the references given (a value, whether to add a reference)."""
    t = f.call("ptr", "PyTuple_New", f.value(len(items)))
    for i, (x, new) in enumerate(items):
        if new:
            f.call("void", "Py_IncRef", x)
        f.store(x, t + (TUPLE_ITEMS + 8 * i))
    return t


def _shape(w):
    """ptr rl_shape(array): its shape as a tuple."""
    f = w.m.function("rl_shape", "ptr", [("ptr", "a")], "internal")
    a = f.args[0]
    nd = f.load("i32", a + ND).cast("sext", "i64")
    dims = f.load("ptr", a + DIMS)
    shape = f.call("ptr", "PyTuple_New", nd)
    with f.range(nd) as i:
        f.store(f.call("ptr", "PyLong_FromSsize_t", f.load("i64", dims + i * 8)),
                shape + (i * 8 + TUPLE_ITEMS))
    f.ret(shape)


def _attach(w):
    """void rl_attach(desc, args, n, mask, out): record the call (memory errors end the process, as
    they do in CPython's own small allocations)."""
    f = w.m.function("rl_attach", "void", [("ptr", "desc"), ("ptr", "args"), ("i64", "n"), ("i64", "mask"),
                                           ("ptr", "out"), ("i64", "index")], "internal")
    desc, args, n, mask, out, index = f.args
    none, zero = w.env(f, "None_"), w.env(f, "zero")
    plan = desc + (mask * PLAN_WORDS + PLANS) * 8
    node = f.call("ptr", "PyType_GenericAlloc", f.load("ptr", desc + 8 * NODE), f.value(0))
    edges = f.call("ptr", "PyTuple_New", n)
    with f.range(n) as i:
        slot = edges + (i * 8 + TUPLE_ITEMS)
        x = f.load("ptr", args + i * 8)
        with f.if_else(((mask >> i) & 1).ne(0)) as (yes, no):
            with yes:
                fn = w.get(f, x, "_grad_fn")
                with f.if_else(fn.eq(none)) as (leaf, inner):
                    with leaf:
                        f.store(_tuple(f, (x, True), (zero, True)), slot)
                    with inner:
                        f.store(_tuple(f, (fn, True), (w.get(f, x, "_out_nr"), True)), slot)
            with no:
                f.call("void", "Py_IncRef", none)
                f.store(none, slot)
    w.put(f, node, "Node.edges", edges)
    w.put(f, node, "Node.seq", f.call("ptr", "PyObject_CallNoArgs", w.env(f, "next_seq")))
    w.put_new(f, node, "Node.ext", none)
    w.put_new(f, node, "Node.plan", f.load("ptr", plan))
    a = w.get(f, out, "_a")
    facts = _tuple(f, (f.call("ptr", "rl_shape", a, declare=False), False), (w.get(f, out, "dtype"), True))
    w.put(f, node, "Node.outs", _tuple(f, (facts, False)))
    count = f.load("i64", plan + 8)
    saved = f.call("ptr", "PyList_New", count)
    items = f.load("ptr", saved + LIST_ITEMS)
    with f.range(count) as i:
        code = f.load("i64", plan + (i * 8 + 16))
        slot = items + i * 8
        with f.if_(code.eq(SHAPE)):
            x = f.load("ptr", args)
            f.store(f.call("ptr", "rl_shape", w.get(f, x, "_a"), declare=False), slot)
        with f.if_(code.eq(ZERO)):
            f.call("void", "Py_IncRef", zero)
            f.store(zero, slot)
        with f.if_(code.eq(INDEX)):
            f.store(f.call("ptr", "PyLong_FromSsize_t", index), slot)
        with f.if_(code.eq(DIM_TUPLE)):
            f.store(_tuple(f, (f.call("ptr", "PyLong_FromSsize_t", index >> 1), False)), slot)
        with f.if_(code.eq(KEEPDIM)):
            flag = f.select((index & 1).ne(0), w.env(f, "True_"), w.env(f, "False_"))
            f.call("void", "Py_IncRef", flag)
            f.store(flag, slot)
        with f.if_(code.eq(OUTPUT)):
            storage = w.get(f, out, "_storage")
            f.store(_tuple(f, (a, True), (w.get(f, out, "dtype"), True), (storage, True), (zero, True),
                           (zero, True), (zero, True)), slot)
        with f.if_(code < OUTPUT):
            x = f.load("ptr", args + code * 8)
            kind = f.load("ptr", x + TYPE)
            number = kind.eq(w.env(f, "float")) | kind.eq(w.env(f, "int")) | x.eq(none)
            with f.if_else(number) as (plain, tensor):
                with plain:
                    v = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Value"), f.value(0))
                    w.put_new(f, v, "_Value.value", x)
                    f.store(v, slot)
                with tensor:
                    version = f.load("ptr", w.get(f, x, "_storage") + w.offsets["Storage.version"])
                    f.store(_tuple(f, (x, True), (version, True), (w.get(f, x, "_grad_fn"), True)), slot)
    w.put(f, node, "Node.saved", saved)
    f.call("void", "Py_DecRef", w.get(f, out, "_grad_fn"))
    w.put(f, out, "_grad_fn", node)
    f.call("void", "Py_DecRef", w.get(f, out, "_requires_grad"))
    w.put_new(f, out, "_requires_grad", w.env(f, "True_"))
    f.ret()


class Entry:
    """The frame that all entries have: unusual calls leave for the fallback."""

    exit = "rl_fallback"

    def __init__(self, w, name, keywords=False):
        self.w = w
        f = self.f = w.m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n"),
                                                ("ptr", "kw")])
        self.args, self.n, self.kw = f.args[1], f.args[2], f.args[3]
        self.desc = f.load("ptr", f.args[0] + 16)
        if not keywords:
            with f.if_(self.kw.ne(0)):
                with f.if_(f.load("i64", self.kw + SIZE).ne(0)):
                    self.leave()
        thread = f.call("ptr", "PyThreadState_Get")
        usual = w.env_word(f, "plain").ne(0) & thread.eq(w.env(f, "thread"))
        self.unless(usual)

    def leave(self):
        f = self.f
        f.ret(f.call("ptr", self.exit, self.desc, self.args, self.n, self.kw, declare=False))

    def unless(self, condition):
        """Go to the fallback unless `condition` holds."""
        with self.f.if_(~condition):
            self.leave()

    def word(self, index):
        return self.f.load("i64", self.desc + 8 * index)

    def pointer(self, index):
        return self.f.load("ptr", self.desc + 8 * index)

    def is_tensor(self, x):
        kind = self.f.load("ptr", x + TYPE)
        return kind.eq(self.w.env(self.f, "Tensor")) | kind.eq(self.w.env(self.f, "Parameter"))

    def integer(self, x):
        """The value of `x`; leave unless it is an int of 64 bits."""
        f = self.f
        self.unless(f.load("ptr", x + TYPE).eq(self.w.env(f, "int")))
        overflow = f.buffer(8, 8)
        value = f.call("i64", "PyLong_AsLongLongAndOverflow", x, overflow)
        self.unless(f.load("i32", overflow).eq(0))
        return value

    def check(self, x, mask, i):
        """Leave unless tensor `x` is the common case; note in `mask` whether it needs a gradient."""
        f = self.f
        state = f.call("i64", "rl_check", x, self.pointer(IN_DESCR), declare=False)
        self.unless(state.ne(0))
        mask.set(mask.get() | ((state >> 1) << i))

    def settle(self, mask):
        """Clear the mask while nothing is recorded; leave when the plan for it is not there yet."""
        f = self.f
        with f.if_(self.w.env_word(f, "recording").eq(0) | self.pointer(NODE).eq(0)):
            mask.set(0)
        with f.if_(mask.get().ne(0)):
            self.unless(f.load("ptr", self.desc + (mask.get() * PLAN_WORDS + PLANS) * 8).ne(0))

    def run(self, kernel, operands, count, out, mask):
        """Call the kernel, then `finish`."""
        f = self.f
        self.finish(f.call("ptr", "PyObject_Vectorcall", kernel, operands, count, f.null), out,
                    mask)

    def finish(self, done, out, mask):
        """Wrap `out` (reference taken) unless the kernel failed, record, return."""
        f = self.f
        with f.if_(done.eq(0)):
            f.call("void", "Py_DecRef", out)
            known = "@PyExc_MemoryError = external global i8"
            if known not in self.w.m.globals:
                self.w.m.globals.append(known)
            kind = f.emit("ptr", "load ptr, ptr @PyExc_MemoryError")
            with f.if_(f.call("i32", "PyErr_ExceptionMatches", kind).ne(0)):
                # Python runs it again and says whose error it is.
                f.call("void", "PyErr_Clear")
                self.leave()
            f.ret(f.null)
        f.call("void", "Py_DecRef", done)
        t = f.call("ptr", "rl_wrap", out, self.pointer(OUT_DTYPE), declare=False)
        with f.if_(t.eq(0)):
            f.ret(t)
        with f.if_(mask.get().ne(0)):
            f.call("void", "rl_attach", self.desc, self.args, self.word(OPERANDS), mask.get(), t, f.value(0),
                   declare=False)
        f.ret(t)


def _other(w):
    """rl_other: operands of other dtypes, or of shapes to be broadcast (see ``calls``)."""
    f = w.m.function("rl_other", "ptr", [("ptr", "desc"), ("ptr", "args"), ("i64", "n"), ("ptr", "kw")], "internal")
    desc, args, n, kw = f.args
    general = w.env(f, "general")
    with f.if_(general.ne(0)):
        null, zero = f.null, f.value(0)
        t = f.call("ptr", general, f.load("ptr", desc + 8 * EXTRA), args, n, null, zero, null)
        with f.if_(f.emit("i64", f"ptrtoint ptr {t.name} to i64").ne(1)):
            f.ret(t)
    f.ret(f.call("ptr", "rl_fallback", desc, args, n, kw, declare=False))


def _elementwise(w):
    """rl_elementwise: one to four operands of one shape, at most one of two a Python number."""
    e = Entry(w, "rl_elementwise")
    f = e.f
    e.unless(e.n.eq(e.word(OPERANDS)))
    e.exit = "rl_other"
    mask = f.var("i64", 0)
    first = f.var("ptr", 0)
    number = f.var("i64", -1)
    operands = f.buffer(8 * 6, 8)
    count = f.var("i64", 1)
    ordered = f.var("i64", 0)
    with f.range(e.n) as i:
        x = f.load("ptr", e.args + i * 8)
        with f.if_else(e.is_tensor(x)) as (tensor, other):
            with tensor:
                e.check(x, mask, i)
                a = w.get(f, x, "_a")
                with f.if_else((f.load("i32", a + FLAGS) & 1).ne(0)) as (dense, repeated):
                    with dense:
                        ordered.set(1)
                    with repeated:
                        steps = f.load("ptr", a + STRIDES)
                        with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
                            e.unless(f.load("i64", steps + k * 8).eq(0))
                with f.if_else(first.get().eq(0)) as (one, more):
                    with one:
                        first.set(a)
                    with more:
                        nd = f.load("i32", a + ND)
                        e.unless(nd.eq(f.load("i32", first.get() + ND)))
                        d0, d1 = f.load("ptr", first.get() + DIMS), f.load("ptr", a + DIMS)
                        with f.range(nd.cast("sext", "i64")) as k:
                            e.unless(f.load("i64", d0 + k * 8).eq(f.load("i64", d1 + k * 8)))
                f.store(a, operands + count.get() * 8)
                count.set(count.get() + 1)
            with other:
                kind = f.load("ptr", x + TYPE)
                e.unless((kind.eq(w.env(f, "float")) | kind.eq(w.env(f, "int"))) & e.n.eq(2)
                         & number.get().eq(-1))
                number.set(i)
    e.unless(first.get().ne(0) & ordered.get().ne(0))
    kernel = f.var("ptr", 0)
    kernel.set(e.pointer(KERNEL))
    with f.if_(number.get().ne(-1)):
        f.store(f.load("ptr", e.args + number.get() * 8), operands + 16)
        count.set(3)
        kernel.set(f.select(number.get().eq(1), e.pointer(KERNEL_RIGHT), e.pointer(KERNEL_LEFT)))
    e.unless(kernel.get().ne(0))
    e.settle(mask)
    out = f.call("ptr", w.env(f, "rl_new_array"), e.pointer(OUT_DESCR), f.load("i32", first.get() + ND),
                 f.load("ptr", first.get() + DIMS))
    with f.if_(out.eq(0)):
        f.ret(out)
    f.store(out, operands)
    e.run(kernel.get(), operands, count.get(), out, mask)


def _view_of(w):
    """ptr rl_view_of(x, array, offset, needs): a view of tensor `x` that shows `array` (references to array
    and offset are taken)."""
    f = w.m.function("rl_view_of", "ptr", [("ptr", "x"), ("ptr", "array"), ("ptr", "offset"),
                                           ("i64", "needs")], "internal")
    x, array, offset, needs = f.args
    none, zero = w.env(f, "None_"), w.env(f, "zero")
    t = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Tensor"), f.value(0))
    info = f.call("ptr", "PyType_GenericAlloc", w.env(f, "ViewInfo"), f.value(0))
    storage = w.get(f, x, "_storage")
    w.put(f, t, "_a", array)
    w.put(f, t, "_offset", offset)
    w.put_new(f, t, "_storage", storage)
    w.put_new(f, t, "dtype", w.get(f, x, "dtype"))
    w.put_new(f, t, "_out_nr", zero)
    w.put_new(f, t, "_bits", w.get(f, x, "_bits"))
    w.put_new(f, t, "_requires_grad", w.env(f, "False_"))
    for slot in ("_grad", "_grad_fn", "_meta"):
        w.put_new(f, t, slot, none)
    parent = w.get(f, x, "_view")
    base = f.var("ptr", 0)
    base.set(x)
    with f.if_(parent.ne(none)):
        base.set(f.load("ptr", parent + w.offsets["ViewInfo.base"]))
    w.put_new(f, info, "ViewInfo.base", base.get())
    w.put_new(f, info, "ViewInfo.version", f.load("ptr", storage + w.offsets["Storage.version"]))
    hidden = needs.ne(0) & w.env_word(f, "recording").eq(0)
    w.put_new(f, info, "ViewInfo.no_grad", f.select(hidden, w.env(f, "True_"), w.env(f, "False_")))
    w.put_new(f, info, "ViewInfo.multi", w.env(f, "False_"))
    w.put(f, t, "_view", info)
    f.ret(t)


def _show(w, f, a, nd, dims, strides, data):
    """A window on the memory of array `a`."""
    descr = f.load("ptr", a + DESCR)
    f.call("void", "Py_IncRef", descr)
    flags = (f.load("i32", a + FLAGS) & 0x500) | 1
    new = f.call("ptr", w.env(f, "PyArray_NewFromDescr"), w.env(f, "ndarray"), descr, nd, dims, strides, data,
                 flags, f.null)
    f.call("void", "Py_IncRef", a)
    f.call("i32", w.env(f, "PyArray_SetBaseObject"), new, a)
    return new


def _finish_view(e, x, array, offset, mask, index):
    f = e.f
    needs = f.var("i64", 0)
    needs.set(mask.get())
    e.settle(mask)
    t = f.call("ptr", "rl_view_of", x, array(), offset(), needs.get(), declare=False)
    with f.if_(mask.get().ne(0)):
        f.call("void", "rl_attach", e.desc, e.args, f.value(1), mask.get(), t, index, declare=False)
    f.ret(t)


def _view(w):
    """rl_view(x, sizes...): the C-order elements under new sizes, given as ints or one tuple of ints."""
    e = Entry(w, "rl_view")
    f = e.f
    e.unless((e.n > 1) & (e.n < 10))
    x = f.load("ptr", e.args)
    e.unless(e.is_tensor(x))
    mask = f.var("i64", 0)
    e.check(x, mask, 0)
    a = w.get(f, x, "_a")
    e.unless((f.load("i32", a + FLAGS) & 1).ne(0))
    items, count = f.var("ptr", 0), f.var("i64", 0)
    items.set(e.args + 8)
    count.set(e.n - 1)
    only = f.load("ptr", e.args + 8)
    with f.if_(e.n.eq(2) & f.load("ptr", only + TYPE).eq(w.env(f, "tuple"))):
        count.set(f.load("i64", only + SIZE))
        items.set(only + TUPLE_ITEMS)
    e.unless(count.get() < 10)
    total = f.var("i64", 1)
    old = f.load("ptr", a + DIMS)
    with f.range(f.load("i32", a + ND).cast("sext", "i64")) as i:
        total.set(total.get() * f.load("i64", old + i * 8))
    e.unless(total.get() > 0)
    dims = f.buffer(8 * 10, 8)
    rest, hole = f.var("i64", 0), f.var("i64", -1)      # elements that the sizes to come must hold
    rest.set(total.get())
    with f.range(count.get()) as i:
        size = e.integer(f.load("ptr", items.get() + i * 8))
        with f.if_else(size.eq(-1)) as (free, given):
            with free:
                e.unless(hole.get().eq(-1))
                hole.set(i)
            with given:
                e.unless((size > 0) & (size <= rest.get()))
                e.unless((rest.get() // size * size).eq(rest.get()))
                rest.set(rest.get() // size)
                f.store(size, dims + i * 8)
    with f.if_(hole.get().ne(-1)):
        f.store(rest.get(), dims + hole.get() * 8)
        rest.set(1)
    e.unless(rest.get().eq(1))

    def array():
        return _show(w, f, a, count.get().cast("trunc", "i32"), dims, f.null,
                     f.load("ptr", a + DATA))

    def offset():
        o = w.get(f, x, "_offset")
        f.call("void", "Py_IncRef", o)
        return o
    _finish_view(e, x, array, offset, mask, f.value(0))


def _select(w):
    """rl_select(x, i): entry i of the first dimension."""
    e = Entry(w, "rl_select")
    f = e.f
    e.unless(e.n.eq(2))
    x, key = f.load("ptr", e.args), f.load("ptr", e.args + 8)
    e.unless(e.is_tensor(x))
    index = e.integer(key)
    mask = f.var("i64", 0)
    e.check(x, mask, 0)
    a = w.get(f, x, "_a")
    nd = f.load("i32", a + ND)
    e.unless(nd > 0)
    i = f.var("i64", 0)
    i.set(index)
    dims, strides = f.load("ptr", a + DIMS), f.load("ptr", a + STRIDES)
    n = f.load("i64", dims)
    with f.if_(i.get() < 0):
        i.set(i.get() + n)
    e.unless((i.get() >= 0) & (i.get() < n))
    step = f.load("i64", strides) * i.get()

    def array():
        return _show(w, f, a, nd - 1, dims + 8, strides + 8, f.load("ptr", a + DATA) + step)

    def offset():
        size = f.load("i64", f.load("ptr", a + DESCR) + 40)
        start = f.call("i64", "PyLong_AsUnsignedLongLongMask", w.get(f, x, "_offset"))
        return f.call("ptr", "PyLong_FromSsize_t", start + step // size)
    _finish_view(e, x, array, offset, mask, i.get())
