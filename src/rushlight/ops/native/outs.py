"""``out=`` of functions that have generated twins: the twin is called without it, the result put where it belongs.

    rl_receive(..., out=t)      t a dense tensor that shares no memory with the arguments

Functions that make tensors of no others take their type from `t`; where the result is of another one they run again.
What a twin gives for small calls it has made in one go, and a copy of little costs less than to find out how a kernel
could write elsewhere. Results that don't fit, and several at once, are delivered by ``out.deliver``; what is unusual
goes to the Python function, and so do large results of functions that write them in place (``out.with_out``).
"""

import ctypes
import sys
from types import BuiltinFunctionType, FunctionType

from . import entry
from .entry import DATA, DESCR, DIMS, FLAGS, LIST_ITEMS, ND, SIZE, TUPLE_ITEMS, TYPE
from .geometry import Writer

# Words of a descriptor after FALLBACK: the function called without out=, the name "out", (result, out) -> out or 0,
# bytes of the largest results that are copied here.
TWIN, NAME, DELIVER, LARGEST = range(1, 5)
_SMALL, _PLAIN = 1 << 16, 1 << 17       # bytes, with a function that writes in place and without one
# Functions that get their twins when their kernels are first there.
LATER = ("sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all")
MAKING = ("zeros", "ones", "full", "arange", "linspace", "logspace", "eye")
_NAME = sys.intern("out")
_keep, _made = [], {}


def module(triple, offsets):
    """IR text of the entry, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, _free, _out):
        part(w)
    return w.m.text()


def _free(w):
    """i64 rl_apart(x, out): 1 where `x` may be an argument of a call whose result `out`, a tensor or null, receives."""
    f = w.m.function("rl_apart", "i64", [("ptr", "x"), ("ptr", "out")], "internal")
    x, out = f.args
    kind = f.load("ptr", x + TYPE)
    with f.if_(kind.eq(w.env(f, "Tensor")) | kind.eq(w.env(f, "Parameter"))):
        state = f.call("i64", "rl_check", x, f.null, declare=False)
        with f.if_(state.eq(0) | (state.eq(3) & w.env_word(f, "recording").ne(0))):
            f.ret(f.value(0))
        with f.if_(out.ne(0)):
            own, other = w.get(f, x, "_storage"), w.get(f, out, "_storage")
            none = w.env(f, "None_")
            root = w.offsets["Storage.root"]
            with f.if_(own.eq(other) | f.load("ptr", own + root).ne(none) | f.load("ptr", other + root).ne(none)):
                f.ret(f.value(0))
        f.ret(f.value(1))
    known = x.eq(w.env(f, "None_")) | x.eq(w.env(f, "True_")) | x.eq(w.env(f, "False_"))
    for name in ("int", "float", "str", "dtype"):
        known = known | kind.eq(w.env(f, name))
    f.ret(known.cast("zext", "i64"))


def _out(w):
    e = entry.Entry(w, "rl_receive", keywords=True)
    f = e.f
    e.unless(e.kw.ne(0) & w.env_word(f, "plain").eq(1))
    named = f.load("i64", e.kw + SIZE)
    e.unless(named > 0)
    e.unless(f.load("ptr", e.kw + (named * 8 + (TUPLE_ITEMS - 8))).eq(e.pointer(NAME)))
    given = e.n + named - 1
    out = f.load("ptr", e.args + given * 8)
    single = f.load("ptr", out + TYPE).eq(w.env(f, "Tensor"))
    target, array = f.var("ptr", 0), f.var("ptr", 0)
    nbytes = f.var("i64", 0)

    def receives(t):
        """Leave unless tensor `t` is dense and plain."""
        e.unless(f.load("ptr", t + TYPE).eq(w.env(f, "Tensor")))
        e.unless(f.call("i64", "rl_check", t, f.null, declare=False).eq(1))
        view = w.get(f, t, "_view")
        with f.if_(view.ne(w.env(f, "None_"))):
            base = f.load("ptr", view + w.offsets["ViewInfo.base"])
            e.unless(w.get(f, base, "_requires_grad").eq(w.env(f, "False_")))
        a = w.get(f, t, "_a")
        e.unless((f.load("i32", a + FLAGS) & 0x401).eq(0x401))      # C order, writable
        return a

    def apart(x, from_):
        e.unless(f.call("i64", "rl_apart", x, from_, declare=False).ne(0))

    def arguments(from_):
        """Leave unless all arguments, and those in lists, keep away from a tensor."""
        with f.range(given) as k:
            x = f.load("ptr", e.args + k * 8)
            kind = f.load("ptr", x + TYPE)
            is_list = kind.eq(w.env(f, "list"))
            with f.if_else(is_list | kind.eq(w.env(f, "tuple")) | kind.eq(w.env(f, "Size"))) as (several, one):
                with several:
                    items = f.var("ptr", x + TUPLE_ITEMS)
                    with f.if_(is_list):
                        items.set(f.load("ptr", x + LIST_ITEMS))
                    with f.range(f.load("i64", x + SIZE)) as i:
                        apart(f.load("ptr", items.get() + i * 8), from_)
                with one:
                    apart(x, from_)

    with f.if_else(single) as (one, several):
        with one:
            target.set(out)
            array.set(receives(out))
            a = array.get()
            nbytes.set(f.load("i64", f.load("ptr", a + DESCR) + 40))
            with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
                nbytes.set(nbytes.get() * f.load("i64", f.load("ptr", a + DIMS) + k * 8))
            e.unless(nbytes.get() <= e.word(LARGEST))
            arguments(out)
        with several:
            e.unless(e.word(DELIVER).ne(0))
            e.unless(f.load("ptr", out + TYPE).eq(w.env(f, "tuple")))
            with f.range(f.load("i64", out + SIZE)) as k:
                t = f.load("ptr", out + (k * 8 + TUPLE_ITEMS))
                receives(t)
                arguments(t)
    names = f.var("ptr", 0)
    with f.if_(named > 1):
        names.set(f.call("ptr", "PyTuple_GetSlice", e.kw, f.value(0), named - 1))
        with f.if_(names.get().eq(0)):
            f.ret(f.null)
    result = f.call("ptr", "PyObject_Vectorcall", e.pointer(TWIN), e.args, e.n, names.get())
    with f.if_(names.get().ne(0)):
        f.call("void", "Py_DecRef", names.get())
    with f.if_(result.eq(0)):
        f.ret(f.null)

    fits = f.var("i1", False)
    with f.if_(target.get().ne(0)):
        with f.if_(f.load("ptr", result + TYPE).eq(w.env(f, "Tensor"))):
            a, b = array.get(), w.get(f, result, "_a")
            with f.if_(f.load("ptr", b + TYPE).eq(w.env(f, "ndarray"))):
                fits.set(w.get(f, result, "dtype").eq(w.get(f, out, "dtype"))
                         & f.load("ptr", a + DESCR).eq(f.load("ptr", b + DESCR))
                         & f.load("i32", a + ND).eq(f.load("i32", b + ND))
                         & w.get(f, result, "_bits").eq(w.env(f, "zero"))
                         & w.get(f, result, "_requires_grad").eq(w.env(f, "False_"))
                         & (f.load("i32", b + FLAGS) & 1).ne(0))
                with f.if_(fits.get()):
                    with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
                        fits.set(fits.get() & f.load("i64", f.load("ptr", a + DIMS) + k * 8).eq(
                            f.load("i64", f.load("ptr", b + DIMS) + k * 8)))
                with f.if_(fits.get()):
                    f.call("ptr", "memcpy", f.load("ptr", a + DATA), f.load("ptr", b + DATA), nbytes.get())
                    place = w.get(f, out, "_storage") + w.offsets["Storage.version"]
                    old, one = f.load("ptr", place), f.call("ptr", "PyLong_FromSsize_t", f.value(1))
                    f.store(f.call("ptr", "PyNumber_Add", old, one), place)
                    f.call("void", "Py_DecRef", old)
                    f.call("void", "Py_DecRef", one)
    with f.if_(fits.get()):
        f.call("void", "Py_DecRef", result)
        f.call("void", "Py_IncRef", out)
        f.ret(out)
    with f.if_(e.word(DELIVER).eq(0)):
        f.call("void", "Py_DecRef", result)
        e.leave()
    pair = f.buffer(16, 8)
    f.store(result, pair)
    f.store(out, pair + 8)
    done = f.call("ptr", "PyObject_Vectorcall", e.pointer(DELIVER), pair, f.value(2), f.null)
    f.call("void", "Py_DecRef", result)
    f.ret(done)


def replaced(fn, twin):
    """`twin` has been put in front of the public function `fn`, which may be one of these here."""
    words = _made.get(id(fn))
    if words is not None:
        words[TWIN] = id(twin)
        _keep.append(twin)


def install(state, builtin, offsets):
    """Put the entry behind the twins there are. The arguments are what ``install`` keeps: its state and helpers."""
    from ..registry import FUNCTIONS
    from . import modules
    from .observing import _last

    found = modules.load("outs", offsets, ("rl_receive",), ctypes.addressof(state.table))["rl_receive"]
    done = {}

    def make(end, front):
        words = (ctypes.c_uint64 * entry.DESC_WORDS)()
        deliver, writes = getattr(end, "deliver", (0, False))
        words[entry.FALLBACK], words[TWIN], words[NAME] = id(end), id(front), id(_NAME)
        words[DELIVER] = deliver and id(deliver)
        words[LARGEST] = _SMALL if writes else _PLAIN
        _keep.extend((end, front, deliver, words))
        made = done[end] = builtin(end.__name__, found, words, end.__doc__)
        _made[id(made)] = words
        _keep.append(made)
        return made

    for space, table in FUNCTIONS.items():
        for name, fn in list(table.items()):
            if type(fn) is BuiltinFunctionType and type(fn.__self__).__name__ == "PyCapsule":
                words, end = _last(fn)
                if words[NAME] != id(_NAME) and type(end) is FunctionType and (
                        hasattr(end, "deliver") or space == "torch" and name in MAKING):
                    words[entry.FALLBACK] = id(done.get(end) or make(end, fn))
            elif space == "torch" and name in LATER and hasattr(fn, "deliver"):
                # (Not the method of the same function, which takes no ``out=``.)
                made = table[name] = make(fn, fn)
                module = sys.modules["rushlight"]
                if module.__dict__.get(name) is fn:
                    setattr(module, name, made)
