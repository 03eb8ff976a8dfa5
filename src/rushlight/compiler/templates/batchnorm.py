"""Batch normalization in training and its gradient, a channel at a time, as generated code.

    forward(y, mean, invstd, x, w, b, words)
        mean and variance of x (n, c, l) over n and l, invstd = 1 / sqrt(variance + eps),
        y = (x - mean) * (invstd * w) + b
    backward(dx, dw, db, g, x, w, mean, invstd, words)
        db = sum g, dot = sum g * (x - mean), dw = dot * invstd, and with s = invstd * w, N = n * l
        dx = s * g - (s * invstd^2 * dot / N * (x - mean) + s * db / N), without the latter where eps is 0: in
        evaluation the statistics are constants

All in C order and of one dtype; w and b hold c elements or are None. ``words`` is an int64 array: n, c, l, the bits
of eps as a double. Sums run in float64 in an order that depends on the sizes only. A channel is a tile, so what is
read again comes from the cache.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.codegen.targets import host

DATA = 16                       # PyArrayObject.data
_FORWARD = ("y", "mean", "invstd", "x", "w", "b")
_BACKWARD = ("dx", "dw", "db", "g", "x", "w", "mean", "invstd")
_WORDS = ("n", "c", "l", "eps")
_LANES, _CHAINS = 8, 2
_PARALLEL_FROM = 1 << 14        # elements


@cache
def kernels(type_):
    """(forward, backward) for LLVM element type ``float`` or ``double``."""
    from rushlight.runtime import native

    names = ("rl_batch_norm", "rl_batch_norm_backward")
    found = native.load(f"batchnorm {type_}", lambda: module_text(type_), names,
                        {"rl_parallel_for": native.symbols()["rl_parallel_for"]})
    return tuple(native.callable_from(found[n], n) for n in names)


def module_text(type_):
    """The IR of both entries and their tasks."""
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    _forward_task(m, type_)
    _backward_task(m, type_)
    _entry(m, "rl_batch_norm", _FORWARD)
    _entry(m, "rl_batch_norm_backward", _BACKWARD)
    return m.text()


class _Channels:
    """A task's function: its arrays and loops over a channel."""

    def __init__(self, m, name, type_, arrays):
        self.type, self.size = type_, {"float": 4, "double": 8}[type_]
        self.vector, self.wide = f"<{_LANES} x {type_}>", f"<{_LANES} x double>"
        self.f = f = m.function(name, "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")], "internal",
                                "nounwind")
        context = f.args[0]
        for k, array in enumerate(arrays):
            setattr(self, array, f.load("ptr", context + 8 * k))
        for k, word in enumerate(_WORDS):
            setattr(self, word, f.load("i64", context + 8 * (len(arrays) + k)))
        self.count = (self.n * self.l).cast("sitofp", "double")

    def vectors(self, c):
        """(byte offset, mask, chain) of the channel's vectors; the loop's body is written once a chain."""
        f = self.f
        iota = Value(f, "<" + ", ".join(f"i64 {i}" for i in range(_LANES)) + ">", f"<{_LANES} x i64>")
        with f.range(self.n) as n:
            row = (n * self.c + c) * self.l
            with f.range(0, self.l, step=_LANES * _CHAINS) as q:
                for chain in range(_CHAINS):
                    at = q + chain * _LANES
                    yield (row + at) * self.size, iota < f.splat(self.l - at, _LANES), chain

    def load(self, array, offset, mask):
        return self.f.masked_load(self.vector, array + offset, mask)

    def widen(self, v):
        return v.cast("fpext", "double") if self.type == "float" else v

    def narrow(self, v):
        return v.cast("fptrunc", "float") if self.type == "float" else v

    def store(self, value, place, mask):
        f, short = self.f, {"float": "f32", "double": "f64"}[self.type]
        name = f"llvm.masked.store.v{_LANES}{short}.p0"
        f.module.declared[name] = f"declare void @{name}({value.type}, ptr, {mask.type})"
        f.line(f"call void @{name}({value.type} {value.name}, ptr align {self.size} {place.name}, "
               f"{mask.type} {mask.name})")

    def element(self, array, c, default):
        """array[c], or a default where the array is None."""
        f = self.f
        value = f.var(self.type, default)
        with f.if_(array.ne(Value(f, "null", "ptr"))):
            value.set(f.load(self.type, array + c * self.size))
        return value.get()

    def sums(self, c, count, terms):
        """``count`` sums over a channel; ``terms(offset, mask)`` gives vectors of doubles, zero where masked out."""
        f = self.f
        zero = f.value(0.0, self.wide)
        slots = [[f.var(self.wide, zero) for _ in range(_CHAINS)] for _ in range(count)]
        for offset, mask, chain in self.vectors(c):
            for slot, value in zip(slots, terms(offset, mask)):
                slot[chain].set(slot[chain].get() + f.select(mask, value, zero))
        totals = []
        for slot in slots:
            total = slot[0].get() + slot[1].get()
            lanes = [f.extract(total, i) for i in range(_LANES)]
            while len(lanes) > 1:
                lanes = [a + b for a, b in zip(lanes[::2], lanes[1::2])]
            totals.append(lanes[0])
        return totals


def _forward_task(m, type_):
    t = _Channels(m, "rl_batch_norm_task", type_, _FORWARD)
    f = t.f
    eps = t.eps.cast("bitcast", "double")
    with f.range(f.args[1], f.args[2]) as c:
        total, = t.sums(c, 1, lambda at, mask: [t.widen(t.load(t.x, at, mask))])
        mean = total / t.count
        middle = f.splat(mean, _LANES)

        def square(at, mask):
            d = t.widen(t.load(t.x, at, mask)) - middle
            return [d * d]
        total, = t.sums(c, 1, square)
        invstd = t.narrow(f.value(1.0, "double") / f.intrinsic("sqrt", total / t.count + eps))
        mean = t.narrow(mean)
        f.store(mean, t.mean + c * t.size)
        f.store(invstd, t.invstd + c * t.size)
        scale = f.splat(invstd * t.element(t.w, c, 1.0), _LANES)
        shift, middle = f.splat(t.element(t.b, c, 0.0), _LANES), f.splat(mean, _LANES)
        for at, mask, _ in t.vectors(c):
            t.store((t.load(t.x, at, mask) - middle) * scale + shift, t.y + at, mask)
    f.ret()


def _backward_task(m, type_):
    t = _Channels(m, "rl_batch_norm_backward_task", type_, _BACKWARD)
    f = t.f
    with f.range(f.args[1], f.args[2]) as c:
        mean, invstd = (f.load(type_, a + c * t.size) for a in (t.mean, t.invstd))
        middle = f.splat(mean, _LANES)

        def terms(at, mask):
            g, x = t.widen(t.load(t.g, at, mask)), t.load(t.x, at, mask)
            return [g, g * t.widen(x - middle)]
        total, dot = t.sums(c, 2, terms)
        r = t.widen(invstd)
        f.store(t.narrow(total), t.db + c * t.size)
        f.store(t.narrow(dot * r), t.dw + c * t.size)
        scale = invstd * t.element(t.w, c, 1.0)
        s = t.widen(scale)
        slope = f.splat(t.narrow(s * r * r * dot / t.count), _LANES)
        shift = f.splat(t.narrow(s * total / t.count), _LANES)
        constant = f.splat(t.eps.eq(0), _LANES)
        slope, shift = (f.select(constant, f.value(0.0, v.type), v) for v in (slope, shift))
        scale = f.splat(scale, _LANES)
        for at, mask, _ in t.vectors(c):
            g, x = t.load(t.g, at, mask), t.load(t.x, at, mask)
            t.store(scale * g - (slope * (x - middle) + shift), t.dx + at, mask)
    f.ret()


def _entry(m, name, arrays):
    """PyObject *name(self, args, n): the arrays, then the words."""
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    args, none = f.args[1], Value(f, "@_Py_NoneStruct", "ptr")
    context = f.buffer(8 * (len(arrays) + len(_WORDS)), 8)
    for k in range(len(arrays)):
        array, data = f.load("ptr", args + 8 * k), f.var("ptr", Value(f, "null", "ptr"))
        with f.if_(array.ne(none)):
            data.set(f.load("ptr", array + DATA))
        f.store(data.get(), context + 8 * k)
    words = f.load("ptr", f.load("ptr", args + 8 * len(arrays)) + DATA)
    n, c, l, eps = (f.load("i64", words + 8 * k) for k in range(len(_WORDS)))
    for k, word in enumerate((n, c, l, eps)):
        f.store(word, context + 8 * (len(arrays) + k))
    task = Value(f, f"@{name}_task", "ptr")
    with f.if_else(n * c * l < _PARALLEL_FROM) as (small, large):
        with small:
            f.call("void", task, context, f.value(0), c)
        with large:
            state = f.call("ptr", "PyEval_SaveThread")
            f.call("void", "rl_parallel_for", task, context, c)
            f.call("void", "PyEval_RestoreThread", state)
    f.call("void", "Py_IncRef", none)
    f.ret(none)
