"""Small calls done again natively: what a public function did for arguments of one description, as a program.

    rl_planned(...)     a public function, told from its first calls what it does

The *description* of a call is a row of words: dtypes, sizes and steps of tensors, whether gradients are wanted and
recorded, and the values of all other arguments. The second call of a description runs the Python function while
``observing`` listens; where all it does is to run kernels, make views and record both, that becomes a program of words,
which every further call of the description runs here. All else goes to the Python function.

A program's steps give *values*, the call's tensors being the first ones:

    KERNEL, size, record, outputs, launches, arguments, arrays
                        of each array: descr (0: None), dtype, rank, sizes; the outputs are the first ones
                        of each launch: callable, result, count, operands
    VIEW, size, record, value, outputs, arguments, kind, needs
                        of each output: offset, rank, sizes, steps
    CALL, size, record, outputs, kernel, arguments, multi, operands
                        a record's kernel as a whole, which makes its arrays itself
                        of each output: descr (0: None), dtype, rank (-1: what it comes to), sizes and steps
                        of each operand: a pair
    FIXED, size, descr, dtype, rank, sizes, address, bytes
                        a new array with the numbers that lie there
    MARK, size, value, name, object
                        an attribute that Python gave the value's node
    END, type (0: one value), count, items

Operands, arguments and items are pairs of words: CONSTANT and an object; OUTPUT and the number of an array of this
step; VALUE and the number of a value; WINDOW and the address of OUTPUT or VALUE, number, offset, descr, rank, sizes,
steps; SEVERAL and the address of a count and as many pairs, for a list. A record of 0 is not recorded. A launch whose
result, or a kernel whose results' sizes are others than they were sends the call to Python.

A plan is the number of words of its description, these, a word that says how it is used, and the program. The first
time (TRIAL) new arrays are filled with a pattern, so that what Python wrote into them without a launch is missed.
"""

from . import calls, entry
from .entry import DATA, DESCR, DIMS, FLAGS, LIST_ITEMS, ND, SIZE, STRIDES, TUPLE_ITEMS, TYPE
from .geometry import Writer

END, KERNEL, VIEW, CALL, FIXED, MARK = range(6)
REFUSED, TRIED, TRIAL, READY = range(4)
CONSTANT, OUTPUT, VALUE, WINDOW, SEVERAL = range(5)
MULTI, BARE = 1, 2                              # kinds of views: several of one call, such as are not known as views
OBSERVE, TABLE, SEEN, STOPPED, OUT = range(1, 6)    # words of a descriptor after FALLBACK
SLOTS = 64                                      # of a descriptor's table: hash, plan
MOST_WORDS, MOST_TENSORS, MOST_VALUES, MOST_OPERANDS, MOST_OUTPUTS, MOST_ITEMS = 160, 8, 48, 24, 40, 40
MOST_ELEMENTS = 1 << 16                         # of a tensor: the time of larger calls is the kernel's
_NUMBER, _OBJECT, _FLOAT, _ITEMS, _SLICE = (k << 32 for k in range(1, 6))
_COUNT, _FOUND, _TENSORS, _WORDS = 0, 8, 16, 16 + 8 * MOST_TENSORS     # of a description being made
UNUSUAL = 1


def module(triple, offsets):
    """IR text of the entry, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._wrap, entry._shape, entry._view_of, calls._edge, calls._recorded,
                 _describe, _window, _record, _launched, _viewed, _called, _fixed, _mark, _replay, _planned):
        part(w)
    return w.m.text()


def _word(f, pointer):
    return f.emit("i64", f"ptrtoint ptr {pointer.name} to i64")


def _describe(w):
    """i64 rl_describe(x, to): add the words that describe `x`; 0 where that can't be done."""
    f = w.m.function("rl_describe", "i64", [("ptr", "x"), ("ptr", "to")], "internal")
    x, to = f.args
    zero, one = f.value(0), f.value(1)

    def put(word):
        at = f.load("i64", to + _COUNT)
        f.store(word, to + (at * 8 + _WORDS))
        f.store(at + 1, to + _COUNT)

    def unless(condition):
        with f.if_(~condition):
            f.ret(zero)

    def part(item):
        unless(f.call("i64", "rl_describe", item, to, declare=False).ne(0))

    unless(f.load("i64", to + _COUNT) < MOST_WORDS - 2 * calls.MOST_DIMS - 4)
    kind = f.load("ptr", x + TYPE)
    with f.if_(kind.eq(w.env(f, "Tensor")) | kind.eq(w.env(f, "Parameter"))):
        state = f.call("i64", "rl_check", x, f.null, declare=False)
        unless(state.ne(0))
        a, found = w.get(f, x, "_a"), f.load("i64", to + _FOUND)
        rank = f.load("i32", a + ND).cast("sext", "i64")
        unless((found < MOST_TENSORS) & (rank <= calls.MOST_DIMS))
        f.store(x, to + (found * 8 + _TENSORS))
        again = f.var("i64", found)         # the same tensor given before
        with f.range(found) as k, f.if_(f.load("ptr", to + (k * 8 + _TENSORS)).eq(x) & (k < again.get())):
            again.set(k)
        f.store(found + 1, to + _FOUND)
        dense = f.load("i32", a + FLAGS).cast("zext", "i64") & 1
        put(_word(f, f.load("ptr", a + DESCR)))
        put(rank | (dense << 8) | ((state >> 1) << 9) | (again.get() << 16))
        dims, steps, total = f.load("ptr", a + DIMS), f.load("ptr", a + STRIDES), f.var("i64", 1)
        with f.range(rank) as k:
            size = f.load("i64", dims + k * 8)
            put(size)
            total.set(total.get() * size)
            with f.if_(dense.eq(0)):
                put(f.load("i64", steps + k * 8))
        unless((total.get() > 0) & (total.get() <= MOST_ELEMENTS))
        f.ret(one)
    with f.if_(kind.eq(w.env(f, "int"))):
        overflow = f.buffer(8, 8)
        value = f.call("i64", "PyLong_AsLongLongAndOverflow", x, overflow)
        unless(f.load("i32", overflow).eq(0))
        put(f.value(_NUMBER))
        put(value)
        f.ret(one)
    with f.if_(kind.eq(w.env(f, "float"))):
        put(f.value(_FLOAT))
        put(f.call("double", "PyFloat_AsDouble", x).cast("bitcast", "i64"))
        f.ret(one)
    is_list = kind.eq(w.env(f, "list"))
    with f.if_(is_list | kind.eq(w.env(f, "tuple")) | kind.eq(w.env(f, "Size"))):
        count, items = f.load("i64", x + SIZE), f.var("ptr", x + TUPLE_ITEMS)
        with f.if_(is_list):
            items.set(f.load("ptr", x + LIST_ITEMS))
        unless(count < MOST_ITEMS)
        put(count | _ITEMS)
        put(_word(f, kind))
        with f.range(count) as k:
            part(f.load("ptr", items.get() + k * 8))
        f.ret(one)
    for name in ("PySlice_Type", "_Py_EllipsisObject"):
        known = f.symbol(name)
        if name == "PySlice_Type":
            with f.if_(kind.eq(known)):
                put(f.value(_SLICE))
                for k in range(3):
                    part(f.load("ptr", x + (16 + 8 * k)))
                f.ret(one)
        else:
            ellipsis = known
    fixed = kind.eq(w.env(f, "str")) | kind.eq(w.env(f, "dtype")) | x.eq(ellipsis)
    for name in ("device", "memory_format", "layout"):
        fixed = fixed | kind.eq(w.env(f, name))
    for name in ("None_", "True_", "False_"):
        fixed = fixed | x.eq(w.env(f, name))
    unless(fixed)
    put(f.value(_OBJECT))
    put(_word(f, x))
    f.ret(one)


def _window(w):
    """ptr rl_window(what, arrays, values): a new array that shows part of another one's memory."""
    f = w.m.function("rl_window", "ptr", [("ptr", "what"), ("ptr", "arrays"), ("ptr", "values")], "internal")
    what, arrays, values = f.args
    number = f.load("i64", what + 8)
    base = f.var("ptr", 0)
    with f.if_else(f.load("i64", what).eq(OUTPUT)) as (own, value):
        with own:
            base.set(f.load("ptr", arrays + number * 8))
        with value:
            base.set(w.get(f, f.load("ptr", values + number * 8), "_a"))
    a, descr = base.get(), f.load("ptr", what + 24)
    f.call("void", "Py_IncRef", descr)
    data = f.load("ptr", a + DATA) + f.load("i64", what + 16)
    flags = (f.load("i32", a + FLAGS) & 0x500) | 1
    new = f.call("ptr", w.env(f, "PyArray_NewFromDescr"), w.env(f, "ndarray"), descr,
                 f.load("i64", what + 32).cast("trunc", "i32"), f.load("ptr", what + 40), f.load("ptr", what + 48),
                 data, flags, f.null)
    f.call("void", "Py_IncRef", a)
    f.call("i32", w.env(f, "PyArray_SetBaseObject"), new, a)
    f.ret(new)


def _record(w):
    """i64 rl_record(rec, arguments, n, values, have, outputs): record a step; 0 on failure."""
    f = w.m.function("rl_record", "i64", [("ptr", "rec"), ("ptr", "what"), ("i64", "n"), ("ptr", "values"),
                                          ("i64", "have"), ("i64", "outputs")], "internal")
    rec, what, n, values, have, outputs = f.args
    none = w.env(f, "None_")
    args = f.call("ptr", "PyTuple_New", n)

    def item(pair):
        """A new reference."""
        x = f.var("ptr", f.load("ptr", pair + 8))
        with f.if_(f.load("i64", pair).eq(VALUE)):
            x.set(f.load("ptr", values + f.load("i64", pair + 8) * 8))
        f.call("void", "Py_IncRef", x.get())
        return x.get()

    with f.range(n) as k:
        pair, place = what + k * 16, args + (k * 8 + TUPLE_ITEMS)
        with f.if_else(f.load("i64", pair).eq(SEVERAL)) as (several, one):
            with several:
                many = f.load("ptr", pair + 8)
                count = f.load("i64", many)
                x = f.call("ptr", "PyList_New", count)
                items = f.load("ptr", x + LIST_ITEMS)
                with f.range(count) as j:
                    f.store(item(many + (j * 16 + 8)), items + j * 8)
                f.store(x, place)
            with one:
                f.store(item(pair), place)
    outs = calls._packed(f, values + have * 8, outputs)
    f.call("void", "Py_IncRef", none)
    done = f.call("ptr", "rl_recorded", rec, args, outs, none, declare=False)
    with f.if_(done.eq(0)):
        f.ret(f.value(0))
    f.call("void", "Py_DecRef", done)
    f.ret(f.value(1))


def _drop(f, first, number):
    with f.range(number) as k:
        f.call("void", "Py_DecRef", f.load("ptr", first + k * 8))


def _recorded_step(f, at, what, values, have, outputs):
    """Record the step where it has a record, give the number of its outputs (-1, with them dropped, on failure)."""
    rec = f.load("ptr", at + 16)
    with f.if_(rec.ne(0)):
        done = f.call("i64", "rl_record", rec, what, f.load("i64", at + 40), values, have, outputs, declare=False)
        with f.if_(done.eq(0)):
            _drop(f, values + have * 8, outputs)
            f.ret(f.value(-1))
    f.ret(outputs)


def _launched(w):
    """i64 rl_launched(step, values, have): number of values that a KERNEL step adds, or -1."""
    f = w.m.function("rl_launched", "i64", [("ptr", "at"), ("ptr", "values"), ("i64", "have"), ("i64", "trial")],
                     "internal")
    at, values, have, trial = f.args
    none = w.env(f, "None_")
    outputs, launches, own = (f.load("i64", at + k) for k in (24, 32, 48))
    arrays = f.buffer(8 * MOST_OUTPUTS, 8)
    made, failed = f.var("i64", 0), f.var("i64", 0)
    facts = at + 56
    with f.range(own) as k, f.if_(failed.get().eq(0)):
        fact = facts + k * 32
        descr, a = f.load("ptr", fact), f.var("ptr", none)
        with f.if_else(descr.eq(0)) as (nothing, some):
            with nothing:
                f.call("void", "Py_IncRef", none)
            with some:
                a.set(f.call("ptr", w.env(f, "rl_new_array"), descr, f.load("i64", fact + 16).cast("trunc", "i32"),
                             f.load("ptr", fact + 24)))
        with f.if_else(a.get().eq(0)) as (bad, good):
            with bad:
                failed.set(1)
            with good:
                f.store(a.get(), arrays + k * 8)
                made.set(k + 1)
                with f.if_(trial.ne(0) & descr.ne(0)):
                    nbytes, dims = f.var("i64", f.load("i64", descr + 40)), f.load("ptr", fact + 24)
                    with f.range(f.load("i64", fact + 16)) as d:
                        nbytes.set(nbytes.get() * f.load("i64", dims + d * 8))
                    with f.range(nbytes.get()) as i:
                        f.store(f.value(0x5B, "i8"), f.load("ptr", a.get() + DATA) + i)
    place = f.var("ptr", facts + own * 32)
    operands, windows = f.buffer(8 * MOST_OPERANDS, 8), f.buffer(8 * MOST_OPERANDS, 8)
    with f.range(launches), f.if_(failed.get().eq(0)):
        launch = place.get()
        count, shown = f.load("i64", launch + 16), f.var("i64", 0)
        with f.range(count) as k:
            pair = launch + (k * 16 + 24)
            kind, x = f.load("i64", pair), f.var("ptr", f.load("ptr", pair + 8))
            number = f.load("i64", pair + 8)
            with f.if_(kind.eq(OUTPUT)):
                x.set(f.load("ptr", arrays + number * 8))
            with f.if_(kind.eq(VALUE)):
                x.set(w.get(f, f.load("ptr", values + number * 8), "_a"))
            with f.if_(kind.eq(WINDOW)):
                x.set(f.call("ptr", "rl_window", x.get(), arrays, values, declare=False))
                f.store(x.get(), windows + shown.get() * 8)
                shown.set(shown.get() + 1)
            f.store(x.get(), operands + k * 8)
        done = f.call("ptr", "PyObject_Vectorcall", f.load("ptr", launch), operands, count, f.null)
        _drop(f, windows, shown.get())
        with f.if_else(done.eq(0)) as (bad, good):
            with bad:
                failed.set(1)
            with good:
                f.call("void", "Py_DecRef", done)
                with f.if_(done.ne(f.load("ptr", launch + 8))):
                    failed.set(1)
        place.set(launch + (count * 16 + 24))
    with f.if_(failed.get().ne(0)):
        _drop(f, arrays, made.get())
        f.ret(f.value(-1))
    _drop(f, arrays + outputs * 8, own - outputs)
    with f.range(outputs) as k:
        t = f.var("ptr", f.load("ptr", arrays + k * 8))
        with f.if_(t.get().ne(none)):
            t.set(f.call("ptr", "rl_wrap", t.get(), f.load("ptr", facts + (k * 32 + 8)), declare=False))
        f.store(t.get(), values + (have + k) * 8)
    _recorded_step(f, at, place.get(), values, have, outputs)


def _viewed(w):
    """i64 rl_viewed(step, values, have): number of values that a VIEW step adds, or -1."""
    f = w.m.function("rl_viewed", "i64", [("ptr", "at"), ("ptr", "values"), ("i64", "have"), ("i64", "trial")],
                     "internal")
    at, values, have, _ = f.args
    x = f.load("ptr", values + f.load("i64", at + 24) * 8)
    outputs, sort, needs = (f.load("i64", at + k) for k in (32, 48, 56))
    a = w.get(f, x, "_a")
    item = f.load("i64", f.load("ptr", a + DESCR) + 40)
    start = f.call("i64", "PyLong_AsUnsignedLongLongMask", w.get(f, x, "_offset"))
    facts = at + 64
    with f.range(outputs) as k:
        fact = facts + k * 32
        shift = f.load("i64", fact)
        array = entry._show(w, f, a, f.load("i64", fact + 8).cast("trunc", "i32"), f.load("ptr", fact + 16),
                            f.load("ptr", fact + 24), f.load("ptr", a + DATA) + shift * item)
        t = f.call("ptr", "rl_view_of", x, array, f.call("ptr", "PyLong_FromSsize_t", start + shift), needs,
                   declare=False)
        with f.if_(sort.eq(BARE)):
            f.call("void", "Py_DecRef", w.get(f, t, "_view"))
            w.put_new(f, t, "_view", w.env(f, "None_"))
        with f.if_(sort.eq(MULTI)):
            info = w.get(f, t, "_view")
            f.call("void", "Py_DecRef", w.env(f, "False_"))
            w.put_new(f, info, "ViewInfo.multi", w.env(f, "True_"))
        f.store(t, values + (have + k) * 8)
    _recorded_step(f, at, facts + outputs * 32, values, have, outputs)


def _called(w):
    """i64 rl_called(step, values, have): number of values that a CALL step adds, or -1."""
    f = w.m.function("rl_called", "i64", [("ptr", "at"), ("ptr", "values"), ("i64", "have"), ("i64", "trial")],
                     "internal")
    at, values, have, _ = f.args
    none = w.env(f, "None_")
    outputs, multi, given = (f.load("i64", at + k) for k in (24, 48, 56))
    facts = at + 64
    pairs = facts + outputs * 32
    operands, lists, made = f.buffer(8 * MOST_OPERANDS, 8), f.buffer(8 * MOST_OPERANDS, 8), f.var("i64", 0)

    def operand(pair):
        x = f.var("ptr", f.load("ptr", pair + 8))
        with f.if_(f.load("i64", pair).eq(VALUE)):
            x.set(w.get(f, f.load("ptr", values + f.load("i64", pair + 8) * 8), "_a"))
        return x

    with f.range(given) as k:
        pair = pairs + k * 16
        with f.if_else(f.load("i64", pair).eq(SEVERAL)) as (several, one):
            with several:
                many = f.load("ptr", pair + 8)
                count = f.load("i64", many)
                x = f.call("ptr", "PyList_New", count)
                items = f.load("ptr", x + LIST_ITEMS)
                with f.range(count) as j:
                    item = operand(many + (j * 16 + 8)).get()
                    f.call("void", "Py_IncRef", item)
                    f.store(item, items + j * 8)
                f.store(x, lists + made.get() * 8)
                made.set(made.get() + 1)
                f.store(x, operands + k * 8)
            with one:
                f.store(operand(pair).get(), operands + k * 8)
    done = f.call("ptr", "PyObject_Vectorcall", f.load("ptr", at + 32), operands, given, f.null)
    _drop(f, lists, made.get())
    with f.if_(done.eq(0)):
        f.ret(f.value(-1))
    arrays, good = f.buffer(8 * MOST_OUTPUTS, 8), f.var("i64", 1)
    with f.if_else(multi.ne(0)) as (tuples, single):
        with tuples:
            same = f.load("ptr", done + TYPE).eq(w.env(f, "tuple")).cast("zext", "i64")
            with f.if_else(same.ne(0)) as (right, wrong):
                with right, f.if_else(f.load("i64", done + SIZE).eq(outputs)) as (all_, other):
                    with all_, f.range(outputs) as k:
                        f.store(f.load("ptr", done + (k * 8 + TUPLE_ITEMS)), arrays + k * 8)
                    with other:
                        good.set(0)
                with wrong:
                    good.set(0)
        with single:
            f.store(done, arrays)

    def unless(condition):
        with f.if_(~condition):
            good.set(0)

    with f.range(outputs) as k, f.if_(good.get().ne(0)):
        fact, a = facts + k * 32, f.load("ptr", arrays + k * 8)
        descr = f.load("ptr", fact)
        with f.if_else(descr.eq(0)) as (nothing, some):
            with nothing:
                unless(a.eq(none))
            with some, f.if_else(f.load("ptr", a + TYPE).ne(w.env(f, "ndarray"))) as (strange, array):
                with strange:
                    good.set(0)
                with array:
                    rank, dims = f.load("i64", fact + 16), f.load("ptr", a + DIMS)
                    unless(f.load("ptr", a + DESCR).eq(descr))
                    own = f.load("i32", a + ND).cast("sext", "i64")
                    with f.if_else(rank < 0) as (any_, known):
                        with any_:
                            unless((f.load("i32", a + FLAGS) & 1).ne(0))
                            with f.range(own) as d:
                                unless(f.load("i64", dims + d * 8).ne(0))
                        with known, f.if_else(own.ne(rank)) as (other, equal):
                            with other:
                                good.set(0)
                            with equal, f.range(rank) as d:
                                sizes = f.load("ptr", fact + 24)
                                unless(f.load("i64", dims + d * 8).eq(f.load("i64", sizes + d * 8)))
                                unless(f.load("i64", f.load("ptr", a + STRIDES) + d * 8).eq(
                                    f.load("i64", sizes + (rank + d) * 8)))
    with f.if_(good.get().eq(0)):
        f.call("void", "Py_DecRef", done)
        f.ret(f.value(-1))
    with f.range(outputs) as k:
        t = f.var("ptr", f.load("ptr", arrays + k * 8))
        f.call("void", "Py_IncRef", t.get())
        with f.if_(t.get().ne(none)):
            t.set(f.call("ptr", "rl_wrap", t.get(), f.load("ptr", facts + (k * 32 + 8)), declare=False))
        f.store(t.get(), values + (have + k) * 8)
    f.call("void", "Py_DecRef", done)
    _recorded_step(f, at, pairs + given * 16, values, have, outputs)


def _fixed(w):
    """i64 rl_fixed(step, values, have): number of values that a FIXED step adds, or -1."""
    f = w.m.function("rl_fixed", "i64", [("ptr", "at"), ("ptr", "values"), ("i64", "have"), ("i64", "trial")],
                     "internal")
    at, values, have, _ = f.args
    a = f.call("ptr", w.env(f, "rl_new_array"), f.load("ptr", at + 16), f.load("i64", at + 32).cast("trunc", "i32"),
               f.load("ptr", at + 40))
    with f.if_(a.eq(0)):
        f.ret(f.value(-1))
    f.call("ptr", "memcpy", f.load("ptr", a + DATA), f.load("ptr", at + 48), f.load("i64", at + 56))
    f.store(f.call("ptr", "rl_wrap", a, f.load("ptr", at + 24), declare=False), values + have * 8)
    f.ret(f.value(1))


def _mark(w):
    """i64 rl_mark(step, values, have): 0, or -1 on failure."""
    f = w.m.function("rl_mark", "i64", [("ptr", "at"), ("ptr", "values"), ("i64", "have"), ("i64", "trial")],
                     "internal")
    at, values = f.args[:2]
    node = w.get(f, f.load("ptr", values + f.load("i64", at + 16) * 8), "_grad_fn")
    done = f.call("i32", "PyObject_SetAttr", node, f.load("ptr", at + 24), f.load("ptr", at + 32))
    f.ret(done.cast("sext", "i64"))


def _replay(w):
    """ptr rl_replay(program, tensors, n, trial): the result, or UNUSUAL."""
    f = w.m.function("rl_replay", "ptr", [("ptr", "program"), ("ptr", "tensors"), ("i64", "n"), ("i64", "trial")],
                     "internal")
    program, tensors, n, trial = f.args
    values = f.buffer(8 * MOST_VALUES, 8)
    with f.range(n) as k:
        f.store(f.load("ptr", tensors + k * 8), values + k * 8)
    at, have = f.var("ptr", program), f.var("i64", n)
    with f.loop() as loop:
        here = at.get()
        kind = f.load("i64", here)
        loop.break_if(kind.eq(END))
        more = f.var("i64", 0)
        for known, name in ((KERNEL, "rl_launched"), (VIEW, "rl_viewed"), (CALL, "rl_called"), (FIXED, "rl_fixed"),
                            (MARK, "rl_mark")):
            with f.if_(kind.eq(known)):
                more.set(f.call("i64", name, here, values, have.get(), trial, declare=False))
        with f.if_(more.get() < 0):
            f.call("void", "PyErr_Clear")
            _drop(f, values + n * 8, have.get() - n)
            f.ret(f.emit("ptr", f"inttoptr i64 {UNUSUAL} to ptr"))
        have.set(have.get() + more.get())
        at.set(here + f.load("i64", here + 8))
    end = at.get()
    kind, count = f.load("ptr", end + 8), f.load("i64", end + 16)
    result = f.var("ptr", 0)

    def item(k):
        pair = end + (k * 16 + 24)
        x = f.var("ptr", f.load("ptr", pair + 8))
        with f.if_(f.load("i64", pair).eq(VALUE)):
            x.set(f.load("ptr", values + f.load("i64", pair + 8) * 8))
        f.call("void", "Py_IncRef", x.get())
        return x.get()

    with f.if_else(kind.eq(0)) as (one, several):
        with one:
            result.set(item(f.value(0)))
        with several:
            places = f.var("ptr", 0)
            with f.if_else(kind.eq(w.env(f, "list"))) as (is_list, other):
                with is_list:
                    result.set(f.call("ptr", "PyList_New", count))
                    places.set(f.load("ptr", result.get() + LIST_ITEMS))
                with other:
                    with f.if_else(kind.eq(w.env(f, "tuple"))) as (plain, named):
                        with plain:
                            result.set(f.call("ptr", "PyTuple_New", count))
                        with named:
                            result.set(f.call("ptr", "PyType_GenericAlloc", kind, count))
                    places.set(result.get() + TUPLE_ITEMS)
            with f.range(count) as k:
                f.store(item(k), places.get() + k * 8)
    _drop(f, values + n * 8, have.get() - n)
    f.ret(result.get())


def _planned(w):
    """rl_planned(...): a public function, by its plans."""
    e = entry.Entry(w, "rl_planned", keywords=True)
    f = e.f
    e.unless(e.word(STOPPED).eq(0) & w.env_word(f, "plain").eq(1))      # (not modes.TRANSFORMED)
    own = f.buffer(_WORDS + 8 * MOST_WORDS, 8)
    named = f.var("i64", 0)
    with f.if_(e.kw.ne(0)):
        named.set(f.load("i64", e.kw + SIZE))
        with f.if_(named.get() > 0):        # what the caller gives for a result is for ``outs``
            e.unless(f.load("ptr", e.kw + (named.get() * 8 + (TUPLE_ITEMS - 8))).ne(e.pointer(OUT)))
    total = e.n + named.get()
    e.unless(total < MOST_OPERANDS)
    devices = w.env(f, "devices")
    e.unless(f.load("i64", devices + SIZE).eq(1))
    e.unless(f.load("ptr", f.load("ptr", devices + LIST_ITEMS)).eq(w.env(f, "CPU")))
    f.store(f.value(0), own + _FOUND)
    f.store(named.get() + 2, own + _COUNT)
    f.store(e.n | (named.get() << 8) | (w.env_word(f, "recording") << 16), own + _WORDS)
    f.store(w.env(f, "default_descr"), own + (_WORDS + 8))
    with f.range(named.get()) as k:         # the tuple of the names may be another one in each call
        f.store(f.load("ptr", e.kw + (k * 8 + TUPLE_ITEMS)), own + (k * 8 + _WORDS + 16))
    with f.range(total) as k:
        e.unless(f.call("i64", "rl_describe", f.load("ptr", e.args + k * 8), own, declare=False).ne(0))
    count, words = f.load("i64", own + _COUNT), own + _WORDS
    mixed = f.var("i64", 0x2545F4914F6CDD1D)
    with f.range(count) as k:
        mixed.set((mixed.get() ^ f.load("i64", words + k * 8)) * 0x5851F42D4C957F2D)
        mixed.set(mixed.get() ^ mixed.get().lshr(29))
    key = mixed.get()
    table = e.pointer(TABLE)
    for probe in (0, 1):
        slot = table + ((key & (SLOTS - 1)) ^ probe) * 16
        with f.if_(f.load("i64", slot).eq(key)):
            plan = f.load("ptr", slot + 8)
            same = f.var("i64", f.load("i64", plan).eq(count).cast("zext", "i64"))
            with f.if_(same.get().ne(0)), f.range(count) as k:
                with f.if_(f.load("i64", plan + (k * 8 + 8)).ne(f.load("i64", words + k * 8))):
                    same.set(0)
            with f.if_(same.get().ne(0)):
                program = plan + (count * 8 + 8)
                use = f.load("i64", program)
                e.unless(use >= TRIAL)
                trial = use.eq(TRIAL)
                result = f.call("ptr", "rl_replay", program + 8, own + _TENSORS, f.load("i64", own + _FOUND),
                                trial.cast("zext", "i64"), declare=False)
                e.unless(_word(f, result).ne(UNUSUAL))
                with f.if_(trial):
                    f.store(f.value(TRIED), program)
                f.ret(result)
    place = e.pointer(SEEN) + (key.lshr(6) & (SLOTS - 1)) * 8
    before = f.load("i64", place)
    f.store(key, place)
    e.unless(before.eq(key))
    # observe(descriptor, hash, description, names of keywords or None, arguments)
    given = f.buffer(8 * 5, 8)
    names = f.select(e.kw.eq(0), w.env(f, "None_"), e.kw)
    new = (f.call("ptr", "PyLong_FromSsize_t", _word(f, e.desc)), f.call("ptr", "PyLong_FromSsize_t", key),
           f.call("ptr", "PyBytes_FromStringAndSize", words, count * 8), calls._packed(f, e.args, total))
    for k, x in enumerate((*new[:3], names, new[3])):
        f.store(x, given + 8 * k)
    result = f.call("ptr", "PyObject_Vectorcall", e.pointer(OBSERVE), given, f.value(5), f.null)
    for x in new:
        f.call("void", "Py_DecRef", x)
    f.ret(result)
