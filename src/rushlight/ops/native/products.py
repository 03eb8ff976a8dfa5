"""Generated twins of matrix products and of ``linear``, by dtype and by the operands' dimensions.

A public function stands at the head of a chain: each twin serves operands of one dtype and of given numbers of
dimensions and passes others on to the next, the last one to Python. The first product of a dtype makes its twins.
"""

import ctypes

from . import entry, install
from .entry import DATA, DIMS, ENVIRONMENT, FALLBACK, FLAGS, KERNEL, ND, OUT_DESCR, STRIDES, Entry

# Entries of products: the operands' numbers of dimensions.
RANKS = {"rl_mm": (2, 2), "rl_bmm": (3, 3), "rl_bmm4": (4, 4), "rl_mv": (2, 1), "rl_dot": (1, 1)}
# Of ``linear``: the input's dimensions, and whether there is a bias.
LINEAR = {"rl_linear2": (2, True), "rl_linear3": (3, True), "rl_linear2_plain": (2, False),
          "rl_linear3_plain": (3, False)}

_found = {}         # addresses of the entries
_last = {}          # (function, entry) -> descriptor of the last twin that serves it
_keep = []


class Writer(entry.Writer):
    """A module beside the one of ``entry``, whose environment it shares."""

    def __init__(self, triple, offsets):
        super().__init__(triple, offsets)
        self.m.globals[-1] = f"@rl_tensor_environment = external global [{len(ENVIRONMENT)} x ptr]"


def module(triple, offsets):
    """IR text of all entries, for the given slot offsets."""
    w = Writer(triple, offsets)
    for part in (entry._fallback, entry._check, entry._wrap, entry._shape, entry._attach):
        part(w)
    for name, ranks in RANKS.items():
        _product(w, name, *ranks)
    for name, (rank, biased) in LINEAR.items():
        _linear(w, name, rank, biased)
    return w.m.text()


def _size(f, array, i):
    return f.load("i64", f.load("ptr", array + DIMS) + 8 * i)


def _new(e, rank, dims):
    """A new array of sizes in memory; returns from the function when there is no memory."""
    f = e.f
    out = f.call("ptr", e.w.env(f, "rl_new_array"), e.pointer(OUT_DESCR), f.value(rank, "i32"), dims)
    with f.if_(out.eq(0)):
        f.ret(out)
    return out


def _product(w, name, left, right):
    """rl_...(a, b): the product of matrices, batches of as many matrices, or vectors, of any strides."""
    e = Entry(w, name)
    f = e.f
    e.unless(e.n.eq(2))
    mask = f.var("i64", 0)
    operands = f.buffer(8 * 3, 8)
    arrays = []
    for i, rank in enumerate((left, right)):
        x = f.load("ptr", e.args + 8 * i)
        e.unless(e.is_tensor(x))
        e.check(x, mask, i)
        a = w.get(f, x, "_a")
        e.unless(f.load("i32", a + ND).eq(rank))
        f.store(a, operands + 8 * (i + 1))
        arrays.append(a)
    a, b = arrays
    inner = _size(f, b, max(right - 2, 0))
    e.unless(_size(f, a, left - 1).eq(inner) & inner.ne(0) & e.pointer(KERNEL).ne(0))
    dims = f.buffer(32, 8)
    for i in range(left - 1):
        n = _size(f, a, i)
        if i < left - 2:
            e.unless(n.eq(_size(f, b, i)))
        f.store(n, dims + 8 * i)
    if right > 1:
        f.store(_size(f, b, right - 1), dims + 8 * (left - 1))
    e.settle(mask)
    out = _new(e, left if right > 1 else left - 1, dims)
    f.store(out, operands)
    e.run(e.pointer(KERNEL), operands, f.value(3), out, mask)


def _linear(w, name, rank, biased):
    """rl_linear...(x, weight, bias): x weight^T + bias for x (..., k), weight (o, k) and bias (o) or None."""
    e = Entry(w, name)
    f = e.f
    e.unless(e.n.eq(3))
    mask = f.var("i64", 0)
    operands = f.buffer(8 * 4, 8)
    arrays = []
    for i, nd in enumerate((rank, 2, 1)):
        x = f.load("ptr", e.args + 8 * i)
        if i == 2 and not biased:
            e.unless(x.eq(w.env(f, "None_")))
            break
        e.unless(e.is_tensor(x))
        e.check(x, mask, i)
        a = w.get(f, x, "_a")
        e.unless(f.load("i32", a + ND).eq(nd))
        arrays.append(a)
    x, weight = arrays[:2]
    o, k = _size(f, weight, 0), _size(f, weight, 1)
    e.unless(_size(f, x, rank - 1).eq(k) & k.ne(0) & o.ne(0) & e.pointer(KERNEL).ne(0))
    if biased:
        e.unless(_size(f, arrays[2], 0).eq(o) & (f.load("i32", arrays[2] + FLAGS) & 1).ne(0))
    e.settle(mask)
    dims, strides = f.buffer(32, 8), f.buffer(16, 8)
    st = f.load("ptr", weight + STRIDES)
    f.store(k, dims)
    f.store(o, dims + 8)
    f.store(f.load("i64", st + 8), strides)
    f.store(f.load("i64", st), strides + 8)
    turned = entry._show(w, f, weight, f.value(2, "i32"), dims, strides, f.load("ptr", weight + DATA))
    for i in range(rank - 1):
        f.store(_size(f, x, i), dims + 8 * i)
    f.store(o, dims + 8 * (rank - 1))
    out = _new(e, rank, dims)
    for i, a in enumerate((out, x, turned, *arrays[2:])):
        f.store(a, operands + 8 * i)
    done = f.call("ptr", "PyObject_Vectorcall", e.pointer(KERNEL), operands, f.value(4 if biased else 3),
                  f.null)
    f.call("void", "Py_DecRef", turned)
    e.finish(done, out, mask)


def _load():
    from . import modules

    return modules.load("products", install._offsets(), (*RANKS, *LINEAR), ctypes.addressof(install._state.table))


def install_products(d, kernel):
    """Put twins for the dtype ``d`` in place, once its generated product is there."""
    with install._lock:
        if not install._first(f"products of {d.name}"):
            if install._state is None:
                install._waiting.append((install_products, d, kernel))
            return
        if not _found:
            _found.update(_load())
        from ...tensor.tensor import Tensor
        from .. import matmul as ops
        from ..registry import FUNCTIONS, METHODS
        mm, bmm, mv, dot = ops._mm.record, ops._nn.record, ops._mv.record, ops._dot.record
        records = {"rl_mm": mm, "rl_bmm": bmm, "rl_bmm4": bmm, "rl_mv": mv, "rl_dot": dot,
                   "rl_linear2": ops._linear_bias.record, "rl_linear3": ops._linear_nd.record,
                   "rl_linear2_plain": ops._linear_matrix.record, "rl_linear3_plain": ops._linear_nd.record}
        chains = {"matmul": tuple(RANKS), "mm": ("rl_mm",), "bmm": ("rl_bmm",), "mv": ("rl_mv",), "dot": ("rl_dot",)}

        def serve(key, names, fn):
            """The head of a chain for ``fn``, or None when it follows the twins of another dtype."""
            last, head = _last.get(key), fn
            if last is not None:
                head = ctypes.cast(last[FALLBACK], ctypes.py_object).value
            for name in reversed(names):
                head, words = _twin(records[name], name, head, d, kernel)
                if name == names[-1]:
                    _last[key] = words
            if last is None:
                return head
            _keep.append(head)
            last[FALLBACK] = id(head)
            return None

        for name, names in chains.items():
            for kind, table in (("function", FUNCTIONS["torch"]), ("method", METHODS)):
                fn = table[name]
                head = serve((kind, name), names, fn)
                if head is not None:
                    install._replace(fn, head)
        op = Tensor.__dict__["__matmul__"]
        head = serve("@", tuple(RANKS), op)
        if head is not None:
            Tensor.__matmul__ = install._bound(head)
        fn = FUNCTIONS["torch.nn.functional"]["linear"]
        head = serve("linear", tuple(LINEAR), fn)
        if head is not None:
            install._replace(fn, head)


def _twin(rec, name, fallback, d, kernel):
    """A generated function for operands of dtype ``d``, and its descriptor."""
    words = install._described(rec, fallback, kernel)
    words[entry.IN_DESCR] = words[OUT_DESCR] = id(d.np)
    words[entry.OUT_DTYPE] = id(d)
    return install._builtin(rec.name, _found[name], words), words
