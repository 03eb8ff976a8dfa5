"""Generated twins of what reads a tensor's geometry or its only number, of ``detach`` and of views in row order.

    x.dim() x.numel() x.size() x.size(d) x.shape x.stride() x.is_contiguous() x.contiguous() x.requires_grad x.detach()
    x.item() float(x) int(x) bool(x)
    x.flatten(...) x.view_as(y) x.squeeze()

What is unusual (see ``entry``) goes to the Python function.
"""

from . import entry
from .entry import DATA, DESCR, DIMS, FLAGS, ND, STRIDES, TUPLE_ITEMS, TYPE
from .geometry import View, Writer, _attach

NAMES = ("rl_dim", "rl_numel", "rl_size", "rl_stride", "rl_contiguous", "rl_is_contiguous", "rl_requires_grad",
         "rl_detach", "rl_item", "rl_float", "rl_int", "rl_bool", "rl_flatten", "rl_view_as", "rl_squeeze_all")
NUMBERS = ("float32", "float64", "int64", "int32", "bool")      # dtypes whose number is read here


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._shape, entry._view_of, _attach):
        part(w)
    for name in NAMES[:8]:
        _READS[name](w, name)
    for name in ("item", "float", "int", "bool"):
        _number(w, name)
    _flatten(w)
    _view_as(w)
    _squeeze(w)
    return w.m.text()


def _opened(w, name, most=1):
    """(entry, tensor, its array): leaves unless the first of 1 to `most` arguments is a tensor with data."""
    e = entry.Entry(w, name)
    f = e.f
    e.unless((e.n > 0) & (e.n <= most))
    x = f.load("ptr", e.args)
    e.unless(e.is_tensor(x))
    a = w.get(f, x, "_a")
    e.unless(f.load("ptr", a + TYPE).eq(w.env(f, "ndarray")))
    return e, x, a


def _give(e, x):
    e.f.call("void", "Py_IncRef", x)
    e.f.ret(x)


def _dim(w, name):
    e, _, a = _opened(w, name)
    f = e.f
    f.ret(f.call("ptr", "PyLong_FromSsize_t", f.load("i32", a + ND).cast("sext", "i64")))


def _total(f, a):
    total = f.var("i64", 1)
    dims = f.load("ptr", a + DIMS)
    with f.range(f.load("i32", a + ND).cast("sext", "i64")) as k:
        total.set(total.get() * f.load("i64", dims + k * 8))
    return total.get()


def _numel(w, name):
    e, _, a = _opened(w, name)
    e.f.ret(e.f.call("ptr", "PyLong_FromSsize_t", _total(e.f, a)))


def _size(w, name):
    e, _, a = _opened(w, name, 2)
    f = e.f
    rank, dims = f.load("i32", a + ND).cast("sext", "i64"), f.load("ptr", a + DIMS)
    with f.if_(e.n.eq(1)):
        shape = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Size"), rank)
        with f.if_(shape.ne(0)), f.range(rank) as k:
            f.store(f.call("ptr", "PyLong_FromSsize_t", f.load("i64", dims + k * 8)), shape + (k * 8 + TUPLE_ITEMS))
        f.ret(shape)
    d = e.integer(f.load("ptr", e.args + 8))
    d = d + f.select(d < 0, rank, f.value(0))
    e.unless(d.ult(rank))
    f.ret(f.call("ptr", "PyLong_FromSsize_t", f.load("i64", dims + d * 8)))


def _stride(w, name):
    e, _, a = _opened(w, name)
    f = e.f
    # NumPy's steps of arrays without elements are not PyTorch's.
    e.unless(_total(f, a).ne(0))
    rank, steps = f.load("i32", a + ND).cast("sext", "i64"), f.load("ptr", a + STRIDES)
    item = f.load("i64", f.load("ptr", a + DESCR) + 40)
    found = f.call("ptr", "PyTuple_New", rank)
    with f.if_(found.ne(0)), f.range(rank) as k:
        step = f.call("ptr", "PyLong_FromSsize_t", f.load("i64", steps + k * 8) // item)
        f.store(step, found + (k * 8 + TUPLE_ITEMS))
    f.ret(found)


def _is_contiguous(w, name):
    e, x, a = _opened(w, name)
    f = e.f
    dense = (f.load("i32", a + FLAGS) & 1).ne(0)
    if name == "rl_contiguous":
        e.unless(dense)
        _give(e, x)
    else:
        _give(e, f.select(dense, w.env(f, "True_"), w.env(f, "False_")))


def _requires_grad(w, name):
    e, x, _ = _opened(w, name)
    f = e.f
    false = w.env(f, "False_")
    own, view = w.get(f, x, "_requires_grad"), w.get(f, x, "_view")
    with f.if_(own.ne(w.env(f, "True_")) & view.ne(w.env(f, "None_"))):
        base = f.load("ptr", view + w.offsets["ViewInfo.base"])
        e.unless(w.get(f, base, "_requires_grad").eq(false))
    _give(e, own)


def _detach(w, name):
    e, x, a = _opened(w, name)
    f = e.f
    bits = w.get(f, x, "_bits")
    e.unless(bits.eq(w.env(f, "zero")) | bits.eq(w.env(f, "bits")))
    t = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Tensor"), f.value(0))
    with f.if_(t.eq(0)):
        f.ret(t)
    for slot in ("_a", "dtype", "_storage", "_offset"):
        w.put_new(f, t, slot, w.get(f, x, slot))
    w.put_new(f, t, "_requires_grad", w.env(f, "False_"))
    w.put_new(f, t, "_out_nr", w.env(f, "zero"))
    w.put_new(f, t, "_bits", bits)
    for slot in ("_grad", "_grad_fn", "_view", "_meta"):
        w.put_new(f, t, slot, w.env(f, "None_"))
    f.ret(t)


_READS = {"rl_dim": _dim, "rl_numel": _numel, "rl_size": _size, "rl_stride": _stride,
          "rl_contiguous": _is_contiguous,
          "rl_is_contiguous": _is_contiguous, "rl_requires_grad": _requires_grad, "rl_detach": _detach}


def _number(w, name):
    """rl_item, rl_float, rl_int, rl_bool: the only element as that Python number."""
    e, x, a = _opened(w, "rl_" + name)
    f = e.f
    bits = w.get(f, x, "_bits")
    e.unless(bits.eq(w.env(f, "zero")) | bits.eq(w.env(f, "bits")))
    e.unless(_total(f, a).eq(1))
    descr, data = f.load("ptr", a + DESCR), f.load("ptr", a + DATA)
    for kind in NUMBERS:
        with f.if_(descr.eq(w.env(f, "bool_" if kind == "bool" else kind))):
            element = {"float32": "float", "float64": "double", "int64": "i64", "int32": "i32", "bool": "i8"}[kind]
            value = f.load(element, data, 1)
            real = kind.startswith("float")
            if real and element == "float":
                value = value.cast("fpext", "double")
            if not real and element != "i64":
                value = value.cast("sext" if element == "i32" else "zext", "i64")
            if name == "bool" or name == "item" and kind == "bool":
                _give(e, f.select(value.ne(0), w.env(f, "True_"), w.env(f, "False_")))
            elif name == "int" and real:
                f.ret(f.call("ptr", "PyLong_FromDouble", value))
            elif real:
                f.ret(f.call("ptr", "PyFloat_FromDouble", value))
            elif name == "float":
                e.unless((value < 1 << 53) & (value > -(1 << 53)))
                f.ret(f.call("ptr", "PyFloat_FromDouble", value.cast("sitofp", "double")))
            else:
                f.ret(f.call("ptr", "PyLong_FromSsize_t", value))
    e.leave()


def _in_rows(v):
    """Leave unless the tensor's elements lie in row order."""
    v.e.unless((v.f.load("i32", v.a + FLAGS) & 1).ne(0))


def _steps(v):
    """Steps of a view in row order, its sizes being known."""
    f = v.f
    last = v.count.get()
    step = f.var("i64", v.item_size())
    with f.range(last) as k:
        at = last - 1 - k
        f.store(step.get(), v.steps + at * 8)
        step.set(step.get() * f.load("i64", v.dims + at * 8))


def _flatten(w):
    """rl_flatten(x, start_dim=0, end_dim=-1)."""
    v = View(w, "rl_flatten")
    f = v.f
    v.e.unless((v.e.n <= 3) & (v.rank > 0))
    _in_rows(v)
    start, end = f.var("i64", 0), f.var("i64", v.rank - 1)
    for k, variable in ((1, start), (2, end)):
        with f.if_(v.e.n > k):
            variable.set(v.dim(v.argument(k), v.rank))
    v.e.unless(start.get() < end.get())
    merged = f.var("i64", 1)
    with f.range(v.rank) as k:
        inside = (k >= start.get()) & (k <= end.get())
        with f.if_else(inside) as (yes, no):
            with yes:
                merged.set(merged.get() * v.size_of(k))
                with f.if_(k.eq(end.get())):
                    v.append(merged.get(), f.value(0))
            with no:
                v.append(v.size_of(k), f.value(0))
    _steps(v)
    v.finish(v.shape)


def _view_as(w):
    """rl_view_as(x, other)."""
    v = View(w, "rl_view_as")
    f, e = v.f, v.e
    e.unless(e.n.eq(2))
    other = v.argument(1)
    e.unless(e.is_tensor(other))
    b = w.get(f, other, "_a")
    e.unless(f.load("ptr", b + TYPE).eq(w.env(f, "ndarray")))
    _in_rows(v)
    rank = f.load("i32", b + ND).cast("sext", "i64")
    e.unless((rank <= 12) & _total(f, b).eq(_total(f, v.a)))
    dims = f.load("ptr", b + DIMS)
    with f.range(rank) as k:
        v.append(f.load("i64", dims + k * 8), f.value(0))
    _steps(v)
    v.finish(v.shape)


def _squeeze(w):
    """rl_squeeze_all(x): without the dimensions of size 1."""
    v = View(w, "rl_squeeze_all")
    v.e.unless(v.e.n.eq(1))
    with v.f.range(v.rank) as k, v.f.if_(v.size_of(k).ne(1)):
        v.copy(k)
    v.finish(v.shape)


def install(state, builtin, bound, replace, twin_of, offsets):
    """Put the twins in place. The arguments are what ``install`` and ``geometry`` keep: state and helpers."""
    import ctypes

    from ...tensor.tensor import Tensor
    from .. import axes, views
    from ..registry import FUNCTIONS, METHODS
    from . import modules

    found = modules.load("facts", offsets, NAMES, ctypes.addressof(state.table))

    def twin(fn, name):
        d = (ctypes.c_uint64 * entry.DESC_WORDS)()
        d[entry.FALLBACK] = id(fn)
        _keep.extend((fn, d))
        return builtin(fn.__name__, found[name], d, fn.__doc__)

    own = Tensor.__dict__
    for method, name in (("dim", "rl_dim"), ("ndimension", "rl_dim"), ("numel", "rl_numel"), ("nelement", "rl_numel"),
                         ("size", "rl_size"), ("stride", "rl_stride"), ("is_contiguous", "rl_is_contiguous"),
                         ("detach", "rl_detach"),
                         ("item", "rl_item"), ("__float__", "rl_float"), ("__int__", "rl_int"),
                         ("__bool__", "rl_bool")):
        setattr(Tensor, method, bound(twin(own[method], name)))
    for attribute, name in (("shape", "rl_size"), ("ndim", "rl_dim"), ("requires_grad", "rl_requires_grad")):
        old = own[attribute]
        setattr(Tensor, attribute, property(twin(old.fget, name), old.fset, old.fdel, old.__doc__))
    replace(METHODS["contiguous"], twin(METHODS["contiguous"], "rl_contiguous"))
    view, squeeze = views._view.record, axes._squeeze.record
    for fn, rec, name in ((METHODS["flatten"], view, "rl_flatten"), (METHODS["view_as"], view, "rl_view_as"),
                          (METHODS["squeeze"], squeeze, "rl_squeeze_all"),
                          (FUNCTIONS["torch"]["squeeze"], squeeze, "rl_squeeze_all")):
        replace(fn, twin_of(rec, found[name], fn))


_keep = []
