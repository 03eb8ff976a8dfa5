"""Norms of many arrays in one call.

    norms_kernel(type, kind)(out, arrays) -> True, or False where an array is not a dense one of out's dtype

``out`` (m,) gets the norm of each of a list of m arrays; ``kind`` is "1", "2" or "inf", ``type`` the LLVM element type
``float`` or ``double``. Arrays are cut in pieces of fixed length, summed in float64 in an order of their own and joined
in order. NaN makes a norm NaN.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.entry import DATA, DESCR
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries

_LIST_ITEMS, _LIST_SIZE = 24, 16
_PIECE = 1 << 15
_ENTRY = 24                     # bytes of a piece: where, how many, its sum
_PARALLEL_FROM = 1 << 15
_CHAINS = 4


@cache
def norms_kernel(type_, kind):
    """The function for an element type and an order."""
    return entries.load(f"norms {type_} {kind}", lambda: module_text(type_, kind), ("rl_norms",))[0]


def module_text(type_, kind):
    """The IR of the entry and its task."""
    m = entries.new_module()
    _task(m, type_, kind)
    _entry(m, type_, kind)
    return m.text()


def _add(f, kind, total, x):
    """A total with one more magnitude (or a vector of them)."""
    if kind == "2":
        return f.fma(x, x, total)
    magnitude = f.intrinsic("fabs", x)
    return total + magnitude if kind == "1" else _larger(f, total, magnitude)


def _larger(f, a, b):
    return f.select((b > a) | b.isnan(), b, a)


def _join(f, kind, a, b):
    return _larger(f, a, b) if kind == "inf" else a + b


def _task(m, type_, kind):
    f = entries.task(m, "rl_norms_task")
    lanes, size = host().lanes(8), {"float": 4, "double": 8}[type_]
    step = lanes * _CHAINS

    def load(at, lanes):
        v = f.load(vector(type_, lanes), at, size)
        return v.cast("fpext", "double") if type_ == "float" else v

    with f.range(f.args[1], f.args[2]) as piece:
        entry = f.args[0] + piece * _ENTRY
        x, n = f.load("ptr", entry), f.load("i64", entry + 8)
        chains = [f.var(vector("double", lanes), f.value(0.0, vector("double", lanes))) for _ in range(_CHAINS)]
        whole = n - n.urem(step)
        with f.range(0, whole, step=step) as i:
            for c, chain in enumerate(chains):
                chain.set(_add(f, kind, chain.get(), load(x + (i + c * lanes) * size, lanes)))
        sums = [c.get() for c in chains]
        while len(sums) > 1:
            sums = [_join(f, kind, a, b) for a, b in zip(sums[::2], sums[1::2])]
        parts = [f.extract(sums[0], i) for i in range(lanes)]
        while len(parts) > 1:
            parts = [_join(f, kind, a, b) for a, b in zip(parts[::2], parts[1::2])]
        total = f.var("double", parts[0])
        with f.range(whole, n) as i:
            total.set(_add(f, kind, total.get(), load(x + i * size, 1)))
        f.store(total.get(), entry + 16)
    f.ret()


def _entry(m, type_, kind):
    """PyObject *rl_norms(self, args, n): out, list of arrays."""
    f = m.function("rl_norms", "ptr", entries.ENTRY)
    size = {"float": 4, "double": 8}[type_]
    out, arrays = f.load("ptr", f.args[1]), f.load("ptr", f.args[1] + 8)
    count, items = f.load("i64", arrays + _LIST_SIZE), f.load("ptr", arrays + _LIST_ITEMS)
    descr, target = f.load("ptr", out + DESCR), f.load("ptr", out + DATA)
    pieces, total = f.var("i64", 0), f.var("i64", 0)
    with f.range(count) as k:
        array = f.load("ptr", items + k * 8)
        entries.require_plain(f, array)
        with f.if_(f.load("ptr", array + DESCR).ne(descr)):
            entries.answer(f, False)
        n = entries.elements_of(f, array)
        total.set(total.get() + n)
        pieces.set(pieces.get() + (n + (_PIECE - 1)).udiv(_PIECE))
    block, work = entries.scratch(f, pieces.get() * _ENTRY + 64)
    with f.if_(block.eq(f.null)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    at = f.var("ptr", work)
    with f.range(count) as k:
        array = f.load("ptr", items + k * 8)
        n, data = entries.elements_of(f, array), f.load("ptr", array + DATA)
        with f.range(0, n, step=_PIECE) as begin:
            f.store(data + begin * size, at.get())
            f.store(f.minimum(n - begin, _PIECE), at.get() + 8)
            at.set(at.get() + _ENTRY)
    entries.share(f, "rl_norms_task", work, pieces.get(), total.get(), _PARALLEL_FROM)
    at.set(work)
    with f.range(count) as k:
        n = entries.elements_of(f, f.load("ptr", items + k * 8))
        norm = f.var("double", 0.0)
        with f.range(0, n, step=_PIECE):
            norm.set(_join(f, kind, norm.get(), f.load("double", at.get() + 16)))
            at.set(at.get() + _ENTRY)
        y = f.intrinsic("sqrt", norm.get()) if kind == "2" else norm.get()
        f.store(y.cast("fptrunc", "float") if type_ == "float" else y, target + k * size)
    f.call("void", "rl_free", block)
    entries.answer(f, True)
