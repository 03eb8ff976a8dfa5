"""Generated ``x.sum(dim)``, ``x.mean(dim, keepdim=True)``, ``x.argmax()`` ...: reductions of all or along dimensions.

A function's descriptor is that of the reduction of all elements; its word ``SECOND`` leads to the descriptor of the
reduction along dimensions, a record of its own. A call without arguments goes the first way.
"""

from .entry import (
    DIMS,
    EXTRA,
    KERNEL,
    ND,
    NODE,
    OUT_DESCR,
    OUT_DTYPE,
    PLAN_WORDS,
    PLANS,
    SIZE,
    TUPLE_ITEMS,
    TYPE,
    Entry,
)

SECOND, RULES = EXTRA + 1, EXTRA + 2
SEVERAL, FILLED = 1, 2              # rules: several dimensions may be named; there must be elements
MOST_DIMS = 8


def reduce_along(w):
    """rl_reduce_along(x, dim, keepdim): positional or by keyword."""
    e = Entry(w, "rl_reduce_along", keywords=True)
    f = e.f
    named = f.var("i64", 0)
    with f.if_(e.kw.ne(0)):
        named.set(f.load("i64", e.kw + SIZE))
    with f.if_((e.n + named.get()).eq(1) & e.pointer(KERNEL).ne(0)):
        _all(e)
    e.unless((e.n >= 1) & (e.n <= 3) & (e.n + named.get() <= 3))
    none = w.env(f, "None_")
    dim, keep = f.var("ptr", none), f.var("ptr", w.env(f, "False_"))
    for k, variable in ((1, dim), (2, keep)):
        with f.if_(e.n > k):
            variable.set(f.load("ptr", e.args + 8 * k))
    with f.range(named.get()) as i:
        # Names in calls are interned strings.
        name, value = f.load("ptr", e.kw + (i * 8 + TUPLE_ITEMS)), f.load("ptr", e.args + (e.n + i) * 8)
        is_dim, is_keep = name.eq(w.env(f, "dim")), name.eq(w.env(f, "keepdim"))
        e.unless((is_dim & (e.n < 2)) | (is_keep & (e.n < 3)))
        dim.set(f.select(is_dim, value, dim.get()))
        keep.set(f.select(is_keep, value, keep.get()))
    e.unless(keep.get().eq(w.env(f, "True_")) | keep.get().eq(w.env(f, "False_")))
    x, second = f.load("ptr", e.args), e.pointer(SECOND)
    e.unless(e.is_tensor(x) & second.ne(0))
    mask = f.var("i64", 0)
    e.check(x, mask, 0)
    a = w.get(f, x, "_a")
    nd, dims = f.load("i32", a + ND).cast("sext", "i64"), f.load("ptr", a + DIMS)
    e.unless(nd <= MOST_DIMS)
    kernel = f.load("ptr", second + 8 * KERNEL)
    e.unless(kernel.ne(0))
    with f.if_(w.env_word(f, "recording").eq(0) | f.load("ptr", second + 8 * NODE).eq(0)):
        mask.set(0)
    # One dimension, or, where no node is to save them, several.
    d, reduced = f.var("i64", 0), f.var("i64", 0)

    def add(number):
        d.set(e.integer(number))
        with f.if_(d.get() < 0):
            d.set(d.get() + nd)
        e.unless((d.get() >= 0) & (d.get() < nd))
        bit = f.value(1) << d.get()
        e.unless((reduced.get() & bit).eq(0))
        reduced.set(reduced.get() | bit)

    with f.if_else(f.load("ptr", dim.get() + TYPE).eq(w.env(f, "tuple"))) as (several, one):
        with several:
            count = f.load("i64", dim.get() + SIZE)
            e.unless(mask.get().eq(0) & (count > 0) & (e.word(RULES) & SEVERAL).ne(0))
            with f.range(count) as i:
                add(f.load("ptr", dim.get() + (i * 8 + TUPLE_ITEMS)))
        with one:
            add(dim.get())
    with f.if_(mask.get().ne(0)):
        e.unless(f.load("ptr", second + (mask.get() * PLAN_WORDS + PLANS) * 8).ne(0))
    kept = keep.get().eq(w.env(f, "True_"))
    shape, used = f.buffer(8 * MOST_DIMS, 8), f.var("i64", 0)
    with f.range(nd) as i:
        size = f.load("i64", dims + i * 8)
        e.unless(size > 0)
        gone = (reduced.get().lshr(i) & 1).ne(0)
        with f.if_(~gone | kept):
            f.store(f.select(gone, f.value(1), size), shape + used.get() * 8)
            used.set(used.get() + 1)
    out = f.call("ptr", w.env(f, "rl_new_array"), f.load("ptr", second + 8 * OUT_DESCR),
                 used.get().cast("trunc", "i32"), shape)
    with f.if_(out.eq(0)):
        f.ret(out)
    bit = f.call("ptr", "PyLong_FromSsize_t", reduced.get())
    operands = f.buffer(8 * 3, 8)
    for k, operand in enumerate((out, a, bit)):
        f.store(operand, operands + 8 * k)
    done = f.call("ptr", "PyObject_Vectorcall", kernel, operands, f.value(3), f.null)
    f.call("void", "Py_DecRef", bit)
    with f.if_(done.eq(0)):
        f.call("void", "Py_DecRef", out)
        f.ret(f.null)
    f.call("void", "Py_DecRef", done)
    t = f.call("ptr", "rl_wrap", out, f.load("ptr", second + 8 * OUT_DTYPE), declare=False)
    with f.if_(t.eq(0)):
        f.ret(t)
    with f.if_(mask.get().ne(0)):
        f.call("void", "rl_attach", second, e.args, f.value(1), mask.get(), t,
               (d.get() << 1) | kept.cast("zext", "i64"), declare=False)
    f.ret(t)


def _all(e):
    """The reduction of all elements to a 0-dim tensor; the kernel gets (out, x, EXTRA)."""
    f, w = e.f, e.w
    mask = f.var("i64", 0)
    x = f.load("ptr", e.args)
    e.unless(e.is_tensor(x) & e.n.eq(1))
    e.check(x, mask, 0)
    a = w.get(f, x, "_a")
    with f.if_((e.word(RULES) & FILLED).ne(0)):
        dims = f.load("ptr", a + DIMS)
        with f.range(f.load("i32", a + ND).cast("sext", "i64")) as i:
            e.unless(f.load("i64", dims + i * 8) > 0)
    e.settle(mask)
    operands = f.buffer(8 * 3, 8)
    out = f.call("ptr", w.env(f, "rl_new_array"), e.pointer(OUT_DESCR), f.value(0, "i32"), operands)
    with f.if_(out.eq(0)):
        f.ret(out)
    f.store(out, operands)
    f.store(a, operands + 8)
    f.store(e.pointer(EXTRA), operands + 16)
    e.run(e.pointer(KERNEL), operands, f.value(3), out, mask)
