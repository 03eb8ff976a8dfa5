"""Generated twins of what every op goes through: tensors around arrays, calls of kernels, pointwise runs.

    rl_make(array)                          ``tensor.wrap``
    rl_attach_call(rec, args, outs)         ``dispatch.attach``
    rl_make_view(t, sizes, steps, offset)   ``tensor.make_view``
    rl_primitive(...)                       the call of one primitive that has a kernel over arrays
    rl_run(rec, operands, params)           ``pointwise.core.run``: any dtypes, dense operands of broadcast shapes
    rl_change(rec, t, others, params, name) ``pointwise.core.change`` where nothing is recorded
    rl_out(rec, operands, params, out)      ``pointwise.core.run_out`` where the result is as `out` is

They stand in the modules' globals instead of the Python functions once native code is loaded, and leave to these
whatever is unusual (see ``entry``).
"""

from . import entry
from .entry import DATA, DESCR, DIMS, LIST_ITEMS, ND, SIZE, TUPLE_ITEMS, TYPE
from .geometry import Writer

NAMES = ("rl_make", "rl_make_view", "rl_primitive", "rl_run", "rl_change", "rl_out", "rl_general", "rl_attach_call")
COUNT, KERNEL, SINGLE, LISTS, RECORD, PLAIN = range(1, 7)       # words of a primitive's descriptor after FALLBACK
MOST_DIMS = 12


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    from . import pointwise
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._wrap, entry._view_of, entry._shape, _wrap_any, _edge, _recorded,
                 pointwise.general, _attach, _make, _make_view, _primitive, pointwise.run, pointwise.change,
                 pointwise.out):
        part(w)
    return w.m.text()


def _vectorcall(f, callee, *args):
    """A new reference to ``callee(*args)``, or null."""
    buffer = f.buffer(8 * len(args), 8)
    for k, x in enumerate(args):
        f.store(x, buffer + 8 * k)
    return f.call("ptr", "PyObject_Vectorcall", callee, buffer, f.value(len(args)), f.null)


def _wrap_any(w):
    """ptr rl_wrap_any(a): a Tensor that owns `a`, whose reference it takes."""
    f = w.m.function("rl_wrap_any", "ptr", [("ptr", "a")], "internal")
    a = f.args[0]
    with f.if_(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray"))):
        total = f.var("i64", 1)
        dims = f.load("ptr", a + DIMS)
        with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
            total.set(total.get() * f.load("i64", dims + k * 8))
        with f.if_(total.get().ne(0)):
            dtype = f.call("ptr", "PyDict_GetItem", w.env(f, "BY_NP"), f.load("ptr", a + DESCR))
            with f.if_(dtype.ne(0)):
                f.ret(f.call("ptr", "rl_wrap", a, dtype, declare=False))
    t = _vectorcall(f, w.env(f, "wrap"), a)
    f.call("void", "Py_DecRef", a)
    f.ret(t)


def _category(w, f, t):
    """The category of a tensor's dtype (``dtypes.BOOL`` ...)."""
    number = f.load("ptr", w.get(f, t, "dtype") + w.offsets["dtype.category"])
    return f.call("i64", "PyLong_AsUnsignedLongLongMask", number)


def _edge(w):
    """ptr rl_edge(x): where a gradient of `x` flows (``autograd.node.edge_of``), None for what is no tensor."""
    f = w.m.function("rl_edge", "ptr", [("ptr", "x")], "internal")
    x = f.args[0]
    none = w.env(f, "None_")
    kind = f.load("ptr", x + TYPE)
    with f.if_(kind.eq(w.env(f, "Tensor")) | kind.eq(w.env(f, "Parameter"))):
        fn = w.get(f, x, "_grad_fn")
        with f.if_(fn.ne(none)):
            f.ret(entry._tuple(f, (fn, True), (w.get(f, x, "_out_nr"), True)))
        with f.if_(w.get(f, x, "_requires_grad").eq(w.env(f, "True_"))):
            f.ret(entry._tuple(f, (x, True), (w.env(f, "zero"), True)))
    f.call("void", "Py_IncRef", none)
    f.ret(none)


def _any_shape(w, f, a):
    """A new reference to the shape of what a tensor holds: an array, or geometry alone (the meta device)."""
    w.m.globals.append('@rl_shape_name = internal constant [6 x i8] c"shape\\00"')
    name = f.symbol("rl_shape_name")
    shape = f.var("ptr")
    with f.if_else(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray"))) as (array, other):
        with array:
            shape.set(f.call("ptr", "rl_shape", a, declare=False))
        with other:
            shape.set(f.call("ptr", "PyObject_GetAttrString", a, name))
    return shape.get()


def _recorded(w):
    """ptr rl_recorded(rec, args, outs, result): `result` once the call is recorded as ``dispatch.attach`` does it
    (references to `args` and `outs`, both tuples, are taken; null and a reference less to `result` on failure)."""
    f = w.m.function("rl_recorded", "ptr", [("ptr", "rec"), ("ptr", "args"), ("ptr", "outs"), ("ptr", "result")],
                     "internal")
    rec, args, outs, result = f.args
    none = w.env(f, "None_")
    edges, mask = _edges(w, f, rec, args, none)
    number = f.call("ptr", "PyLong_FromSsize_t", mask)
    plan = f.call("ptr", "PyDict_GetItem", f.load("ptr", rec + w.offsets["Record.plans"]), number)
    f.call("void", "Py_DecRef", number)
    with f.if_(plan.eq(0)):
        # The first time, or nothing to record.
        f.call("void", "Py_DecRef", edges)
        done = _vectorcall(f, w.env(f, "attach"), rec, args, outs)
        f.call("void", "Py_DecRef", args)
        f.call("void", "Py_DecRef", outs)
        with f.if_(done.eq(0)):
            f.call("void", "Py_DecRef", result)
            f.ret(done)
        f.call("void", "Py_DecRef", done)
        f.ret(result)
    node = f.call("ptr", "PyType_GenericAlloc", f.load("ptr", rec + w.offsets["Record._node"]), f.value(0))
    w.put(f, node, "Node.edges", edges)
    w.put(f, node, "Node.seq", f.call("ptr", "PyObject_CallNoArgs", w.env(f, "next_seq")))
    w.put_new(f, node, "Node.ext", none)
    w.put_new(f, node, "Node.plan", plan)
    w.put(f, node, "Node.outs", _facts(w, f, outs, node, none))
    back = _save(w, f, plan, node, args, outs, result)
    for x in (args, outs, node):
        f.call("void", "Py_DecRef", x)
    f.ret(back)


def _edges(w, f, rec, args, none):
    """(a new tuple of edges, mask of the arguments that have any) of a call's tensor arguments."""
    order = f.load("ptr", rec + w.offsets["Record.tensor_args"])
    count, positions = f.load("i64", order + SIZE), f.load("ptr", order + LIST_ITEMS)

    def argument(k):
        """Argument, whether it is several, then their place."""
        p = f.call("i64", "PyLong_AsUnsignedLongLongMask", f.load("ptr", positions + k * 8))
        x = f.load("ptr", args + (p * 8 + TUPLE_ITEMS))
        kind = f.load("ptr", x + TYPE)
        is_list = kind.eq(w.env(f, "list"))
        items = f.var("ptr", x + TUPLE_ITEMS)
        with f.if_(is_list):
            items.set(f.load("ptr", x + LIST_ITEMS))
        return x, is_list | kind.eq(w.env(f, "tuple")), items.get()

    total = f.var("i64", 0)
    with f.range(count) as k:
        x, several, _ = argument(k)
        total.set(total.get() + f.select(several, f.load("i64", x + SIZE), f.value(1)))
    edges = f.call("ptr", "PyTuple_New", total.get())
    mask, at = f.var("i64", 0), f.var("i64", 0)

    def add(x):
        """Whether there is an edge."""
        e = f.call("ptr", "rl_edge", x, declare=False)
        f.store(e, edges + (at.get() * 8 + TUPLE_ITEMS))
        at.set(at.get() + 1)
        return e.ne(none)

    with f.range(count) as k:
        x, several, items = argument(k)
        bit = f.value(1) << k
        with f.if_else(several) as (many, one):
            with many, f.range(f.load("i64", x + SIZE)) as j, f.if_(add(f.load("ptr", items + j * 8))):
                mask.set(mask.get() | bit)
            with one, f.if_(add(x)), f.if_(_category(w, f, x) >= 2):
                mask.set(mask.get() | bit)
    return edges, mask.get()


def _facts(w, f, outs, node, none):
    """A new tuple of the shape and dtype (or None) of each result; those with gradients become the node's."""
    true = w.env(f, "True_")
    size = f.load("i64", outs + SIZE)
    facts = f.call("ptr", "PyTuple_New", size)
    with f.range(size) as k:
        t = f.load("ptr", outs + (k * 8 + TUPLE_ITEMS))
        fact = f.var("ptr", none)
        with f.if_else(t.eq(none)) as (nothing, tensor):
            with nothing:
                f.call("void", "Py_IncRef", none)
            with tensor:
                fact.set(entry._tuple(f, (_any_shape(w, f, w.get(f, t, "_a")), False), (w.get(f, t, "dtype"), True)))
                with f.if_(_category(w, f, t) >= 2):
                    for slot, value in (("_requires_grad", true), ("_grad_fn", node)):
                        f.call("void", "Py_DecRef", w.get(f, t, slot))
                        w.put_new(f, t, slot, value)
                    f.call("void", "Py_DecRef", w.get(f, t, "_out_nr"))
                    w.put(f, t, "_out_nr", f.call("ptr", "PyLong_FromSsize_t", k))
        f.store(fact.get(), facts + (k * 8 + TUPLE_ITEMS))
    return facts


def _save(w, f, plan, node, args, outs, result):
    """Fill the node with what its plan wants; gives `result`, or null and a reference less to it on failure."""
    fetch = f.load("ptr", plan + w.offsets["Plan.fetch"])
    wanted, makers = f.load("i64", fetch + SIZE), f.load("ptr", fetch + LIST_ITEMS)
    saved = f.call("ptr", "PyList_New", wanted)
    places = f.load("ptr", saved + LIST_ITEMS)
    w.put(f, node, "Node.saved", saved)
    back = f.var("ptr", result)
    with f.range(wanted) as k, f.if_(back.get().ne(0)):
        value = _vectorcall(f, f.load("ptr", makers + k * 8), args, outs, node)
        f.store(value, places + k * 8)
        with f.if_(value.eq(0)):
            f.call("void", "Py_DecRef", result)
            back.set(value)
    return back.get()


def _attach(w):
    """rl_attach_call(rec, args, outs): what ``dispatch.attach`` does."""
    e = entry.Entry(w, "rl_attach_call")
    f = e.f
    e.unless(e.n.eq(3))
    rec, args, outs = (f.load("ptr", e.args + 8 * k) for k in range(3))
    e.unless(f.load("ptr", args + TYPE).eq(w.env(f, "tuple")) & f.load("ptr", outs + TYPE).eq(w.env(f, "tuple")))
    order = f.load("ptr", rec + w.offsets["Record.tensor_args"])
    positions = f.load("ptr", order + LIST_ITEMS)
    needs = f.var("i64", 0)
    none, plain = w.env(f, "None_"), [w.env(f, k) for k in ("float", "int", "bool")]

    def look(x):
        kind = f.load("ptr", x + TYPE)
        number = kind.eq(plain[0]) | kind.eq(plain[1]) | kind.eq(plain[2])
        with f.if_(x.ne(none) & ~number):
            _look(e, x, needs)

    with f.range(f.load("i64", order + SIZE)) as k:
        p = f.call("i64", "PyLong_AsUnsignedLongLongMask", f.load("ptr", positions + k * 8))
        x = f.load("ptr", args + (p * 8 + TUPLE_ITEMS))
        kind = f.load("ptr", x + TYPE)
        with f.if_else(kind.eq(w.env(f, "list")) | kind.eq(w.env(f, "tuple"))) as (many, one):
            with many:
                items, count = _items(e, x)
                with f.range(count) as j:
                    look(f.load("ptr", items + j * 8))
            with one:
                look(x)
    for x in (args, outs, none):
        f.call("void", "Py_IncRef", x)
    f.ret(f.call("ptr", "rl_recorded", rec, args, outs, none, declare=False))


def _make(w):
    e = entry.Entry(w, "rl_make")
    f = e.f
    e.unless(e.n.eq(1))
    a = f.load("ptr", e.args)
    e.unless(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray")))
    # The check is made again there: an array that Python has to wrap leaves here, not by a call of this function.
    total = f.var("i64", 1)
    dims = f.load("ptr", a + DIMS)
    with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
        total.set(total.get() * f.load("i64", dims + k * 8))
    e.unless(total.get().ne(0))
    dtype = f.call("ptr", "PyDict_GetItem", w.env(f, "BY_NP"), f.load("ptr", a + DESCR))
    e.unless(dtype.ne(0))
    f.call("void", "Py_IncRef", a)
    f.ret(f.call("ptr", "rl_wrap", a, dtype, declare=False))


def _make_view(w):
    e = entry.Entry(w, "rl_make_view", keywords=True)
    f = e.f
    multi = f.var("i64", 0)
    with f.if_(e.kw.ne(0)):
        # make_view(..., multi=True)
        e.unless(f.load("i64", e.kw + SIZE).eq(1) & f.load("ptr", e.kw + TUPLE_ITEMS).eq(w.env(f, "multi")))
        flag = f.load("ptr", e.args + 8 * 4)
        e.unless(flag.eq(w.env(f, "True_")) | flag.eq(w.env(f, "False_")))
        multi.set(flag.eq(w.env(f, "True_")).cast("zext", "i64"))
    e.unless(e.n.eq(4))
    x, sizes, steps, offset = (f.load("ptr", e.args + 8 * k) for k in range(4))
    e.unless(e.is_tensor(x))
    a = w.get(f, x, "_a")
    bits = w.get(f, x, "_bits")
    e.unless(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray")))
    e.unless(bits.eq(w.env(f, "zero")) | bits.eq(w.env(f, "bits")))
    e.unless(f.load("ptr", sizes + TYPE).eq(w.env(f, "tuple")) & f.load("ptr", steps + TYPE).eq(w.env(f, "tuple")))
    rank = f.load("i64", sizes + SIZE)
    e.unless((rank <= MOST_DIMS) & f.load("i64", steps + SIZE).eq(rank))
    item = f.load("i64", f.load("ptr", a + DESCR) + 40)
    dims, strides = f.buffer(8 * MOST_DIMS, 8), f.buffer(8 * MOST_DIMS, 8)
    with f.range(rank) as k:
        size = e.integer(f.load("ptr", sizes + (k * 8 + TUPLE_ITEMS)))
        e.unless(size > 0)
        f.store(size, dims + k * 8)
        f.store(e.integer(f.load("ptr", steps + (k * 8 + TUPLE_ITEMS))) * item, strides + k * 8)
    start, old = e.integer(offset), e.integer(w.get(f, x, "_offset"))
    data = f.load("ptr", a + DATA) + (start - old) * item
    array = entry._show(w, f, a, rank.cast("trunc", "i32"), dims, strides, data)
    f.call("void", "Py_IncRef", offset)
    t = f.call("ptr", "rl_view_of", x, array, offset, f.value(0), declare=False)
    with f.if_(multi.get().ne(0)):
        info = w.get(f, t, "_view")
        f.call("void", "Py_DecRef", w.env(f, "False_"))
        w.put_new(f, info, "ViewInfo.multi", w.env(f, "True_"))
    f.ret(t)


def _primitive(w):
    e = entry.Entry(w, "rl_primitive")
    f = e.f
    e.unless(e.n.eq(e.word(COUNT)))
    single, lists = e.word(SINGLE), e.word(LISTS)
    none = w.env(f, "None_")
    needs = f.var("i64", 0)
    arrays = f.buffer(8 * 32, 8)
    # First everything is looked at, so that nothing has to be undone where Python takes over.
    with f.range(e.n) as i:
        x = f.load("ptr", e.args + i * 8)
        f.store(x, arrays + i * 8)
        with f.if_((single.lshr(i) & 1).ne(0) & x.ne(none)):
            _look(e, x, needs)
            f.store(w.get(f, x, "_a"), arrays + i * 8)
        with f.if_((lists.lshr(i) & 1).ne(0)):
            items, count = _items(e, x)
            with f.range(count) as k:
                t = f.load("ptr", items + k * 8)
                with f.if_(t.ne(none)):
                    _look(e, t, needs)
    with f.if_(lists.ne(0)), f.range(e.n) as i, f.if_((lists.lshr(i) & 1).ne(0)):
        items, count = _items(e, f.load("ptr", e.args + i * 8))
        found = f.call("ptr", "PyList_New", count)
        place = f.load("ptr", found + LIST_ITEMS)
        with f.range(count) as k:
            t = f.load("ptr", items + k * 8)
            one = f.var("ptr", none)
            with f.if_(t.ne(none)):
                one.set(w.get(f, t, "_a"))
            f.call("void", "Py_IncRef", one.get())
            f.store(one.get(), place + k * 8)
        f.store(found, arrays + i * 8)
    out = f.call("ptr", "PyObject_Vectorcall", e.pointer(KERNEL), arrays, e.n, f.null)
    with f.if_(lists.ne(0)), f.range(e.n) as i, f.if_((lists.lshr(i) & 1).ne(0)):
        f.call("void", "Py_DecRef", f.load("ptr", arrays + i * 8))
    with f.if_(out.eq(0)):
        kind = f.emit("ptr", "load ptr, ptr @PyExc_MemoryError")
        with f.if_(f.call("i32", "PyErr_ExceptionMatches", kind).ne(0)):
            # Python runs it again and says whose error it is.
            f.call("void", "PyErr_Clear")
            e.leave()
        f.ret(out)
    records = needs.get().ne(0) & w.env_word(f, "recording").ne(0) & e.word(PLAIN).eq(0)
    rec = e.pointer(RECORD)
    with f.if_(f.load("ptr", out + TYPE).eq(w.env(f, "tuple"))):
        number = f.load("i64", out + SIZE)
        outs = f.call("ptr", "PyTuple_New", number)
        with f.range(number) as k:
            a = f.load("ptr", out + (k * 8 + TUPLE_ITEMS))
            f.call("void", "Py_IncRef", a)
            t = f.var("ptr", a)
            with f.if_(a.ne(none)):
                t.set(f.call("ptr", "rl_wrap_any", a, declare=False))
                with f.if_(t.get().eq(0)):
                    f.call("void", "Py_DecRef", out)
                    f.call("void", "Py_DecRef", outs)
                    f.ret(t.get())
            f.store(t.get(), outs + (k * 8 + TUPLE_ITEMS))
        f.call("void", "Py_DecRef", out)
        with f.if_(records):
            f.call("void", "Py_IncRef", outs)
            f.ret(f.call("ptr", "rl_recorded", rec, _packed(f, e.args, e.n), outs, outs, declare=False))
        f.ret(outs)
    t = f.call("ptr", "rl_wrap_any", out, declare=False)
    with f.if_(t.ne(0) & records):
        outs = entry._tuple(f, (t, True))
        f.ret(f.call("ptr", "rl_recorded", rec, _packed(f, e.args, e.n), outs, t, declare=False))
    f.ret(t)


def _look(e, t, needs):
    """Leave unless `t` is a plain tensor; note whether it needs a gradient."""
    f = e.f
    e.unless(e.is_tensor(t))
    state = f.call("i64", "rl_check", t, f.null, declare=False)
    e.unless(state.ne(0))
    needs.set(needs.get() | (state >> 1))


def _items(e, x):
    """(address of the items, number) of a list or tuple."""
    f = e.f
    items, count = f.var("ptr", x + TUPLE_ITEMS), f.load("i64", x + SIZE)
    is_list = f.load("ptr", x + TYPE).eq(e.w.env(f, "list"))
    e.unless(is_list | f.load("ptr", x + TYPE).eq(e.w.env(f, "tuple")))
    with f.if_(is_list):
        items.set(f.load("ptr", x + LIST_ITEMS))
    return items.get(), count


def _packed(f, first, number):
    """A new tuple of `number` objects from `first` on."""
    t = f.call("ptr", "PyTuple_New", number)
    with f.range(number) as k:
        x = f.load("ptr", first + k * 8)
        f.call("void", "Py_IncRef", x)
        f.store(x, t + (k * 8 + TUPLE_ITEMS))
    return t


def install(state, builtin, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    import ctypes
    import sys
    from functools import partial

    from ...record import RECORDS, NoGradient
    from ...tensor import tensor
    from .. import dispatch
    from ..pointwise import core
    from . import modules

    found = modules.load("calls", offsets, NAMES, ctypes.addressof(state.table))

    def twin(fn, name):
        d = (ctypes.c_uint64 * 8)()
        d[entry.FALLBACK] = id(fn)
        _keep.append(fn)
        return builtin(fn.__name__, found[name], d)

    new = {}
    for fn, name in ((tensor.wrap, "rl_make"), (tensor.make_view, "rl_make_view"), (core.run, "rl_run"),
                     (core.change, "rl_change"), (core.run_out, "rl_out"), (dispatch.attach, "rl_attach_call")):
        new[fn] = twin(fn, name)
    for rec in RECORDS.values():
        if rec.kind == "kernel" and rec.call is not None and 0 < len(rec.args) < 32:
            d = (ctypes.c_uint64 * 8)()
            d[entry.FALLBACK], d[COUNT], d[KERNEL] = id(rec.call), len(rec.args), id(rec.kernel)
            d[SINGLE] = sum(1 << i for i in rec.tensor_args if rec.args[i].is_tensor)
            d[LISTS] = sum(1 << i for i in rec.tensor_args if rec.args[i].is_list)
            d[RECORD] = id(rec)
            d[PLAIN] = type(rec.vjp) is NoGradient and not rec.vjp.raises
            call = new[rec.call] = partial(builtin(rec.name, found["rl_primitive"], d))
            call.record, call.__name__, call.__doc__ = rec, rec.name, rec.call.__doc__
    for name, where in list(sys.modules.items()):
        if name.startswith("rushlight.") and where is not None:
            names = where.__dict__
            for key, value in list(names.items()):
                if type(value) is _function and value in new:
                    names[key] = new[value]
    state.table[entry.ENVIRONMENT.index("general")] = found["rl_general"]


_function = type(install)
_keep = []
