"""Pointwise kernels: formulas over arrays of any shape, strides and dtypes.

A kernel's code is one inner loop.  It handles every stride with one vector body: an operand whose
step is its item size is read in place, one that repeats (step 0) from a buffer filled once, any
other, and the last elements that do not fill a vector, through a small buffer.  So an element's bits
depend on nothing but its inputs.
"""

import ctypes
import threading
from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen import entry
from rushlight.compiler.codegen.builder import Module, split, vector
from rushlight.compiler.codegen.lower import (
    ITEMSIZE,
    MEMORY,
    Lowering,
    Types,
    from_memory,
    to_memory,
)
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.expr import Expr, to_text, topological
from rushlight.runtime import native

# Vectors gathered from a strided operand before the body runs on them.
GATHERED_VECTORS = 8
# Bytes of results beyond which stores go past the cache.
STREAM_FROM_BYTES = 32 << 20
CHEAP = frozenset(
    "const input scalar cast where add sub mul neg abs minimum maximum fma and or xor not eq ne lt "
    "le gt ge isnan sign floor ceil trunc round copysign row kept".split()
)

_kernels = {}
_unfinished = {}    # number of a descriptor -> what the walk along rows is made of
_lock = threading.Lock()


class Kernel:
    """A compiled pointwise kernel.

    ``call(out0, .., in0, .., scalar0, ..)`` runs it on arrays; ``many(list of operand tuples, tuple of
    scalars)`` on several sets of arrays; ``address`` is the inner loop for native callers:
    ``void (ptr *operands, i64 *strides, ptr scalars, i64 n, i64 flags)`` (see ``codegen/entry.py``).
    """

    __slots__ = ("call", "many", "address", "descriptor", "text")

    def __init__(self, call, many, address, descriptor, text):
        self.call, self.many, self.address = call, many, address
        self.descriptor, self.text = descriptor, text

    def __call__(self, *args):
        return self.call(*args)

    def __repr__(self):
        return f"<pointwise kernel {self.text}>"


def pointwise_kernel(outputs, in_dtypes, scalar_dtypes, out_dtypes, compute_dtype):
    """The kernel that computes ``outputs`` (expressions) of arrays and numbers.

    ``in_dtypes``, ``out_dtypes``: dtype names of inputs and outputs; ``scalar_dtypes``: of the scalar
    arguments (only whether each is floating, integer or bool counts); ``compute_dtype``: what the
    expressions are computed in.  float16 and bfloat16 compute in float32.
    """
    if isinstance(outputs, Expr):
        outputs = (outputs,)
    key = (
        tuple(e.uid for e in outputs),
        tuple(in_dtypes),
        tuple(scalar_dtypes),
        tuple(out_dtypes),
        compute_dtype,
    )
    kernel = _kernels.get(key)
    if kernel is None:
        kernel = _make(tuple(outputs), *key[1:])
        with _lock:
            # The expressions are kept alive with the kernel: their numbers are the key.
            kernel = _kernels.setdefault(key, (kernel, outputs))[0]
        return kernel
    return kernel[0]


def _make(outputs, in_dtypes, scalar_dtypes, out_dtypes, compute):
    if len(outputs) != len(out_dtypes) or not outputs:
        raise ValueError(
            f"pointwise_kernel: {len(outputs)} expressions for {len(out_dtypes)} output dtypes"
        )
    if len(out_dtypes) + len(in_dtypes) > entry.MAX_OPERANDS:
        raise ValueError(f"pointwise_kernel: more than {entry.MAX_OPERANDS} operands")
    if len(scalar_dtypes) > entry.MAX_SCALARS:
        raise ValueError(f"pointwise_kernel: more than {entry.MAX_SCALARS} scalars")
    nodes = topological(outputs)
    for e in nodes:
        declared = {"input": in_dtypes, "scalar": scalar_dtypes}.get(e.op)
        if declared is not None and e.attr >= len(declared):
            raise ValueError(f"pointwise_kernel: {e.op} {e.attr} has no dtype")
    floats = [d.startswith(("float", "bfloat")) for d in scalar_dtypes]
    text = (
        f"pointwise {','.join(out_dtypes)} <- {','.join(in_dtypes)} "
        f"({''.join('f' if x else 'i' for x in floats)}) in {compute}: {to_text(outputs)}"
    )
    weight = 1 + sum(0 if e.op in CHEAP else 8 for e in nodes)
    streams = weight == 1 and len(outputs) == 1 and ITEMSIZE[out_dtypes[0]] >= 2

    def build():
        return inner_loop(outputs, in_dtypes, floats, out_dtypes, compute, streams)

    # AVX-512 code for a target that differs is another object: the pack's name says which target.
    address = engine.load(text, build, ("inner",))["inner"]
    dtypes = (*out_dtypes, *in_dtypes)
    grain = max(1024, 32768 // weight // 1024 * 1024)
    widest = max(ITEMSIZE[d] for d in out_dtypes)
    stream_from = STREAM_FROM_BYTES // widest if streams else (1 << 62)
    # Only cheap formulas: with others, vectors that are partly used cost more than collecting short rows.
    by_rows = weight == 1 and all(entry.masks(ITEMSIZE[d]) for d in dtypes)
    words = [len(out_dtypes), len(in_dtypes), len(floats), address, max(2048, 32768 // weight),
             grain, stream_from, len(dtypes), 0 if by_rows else entry.NO_ROWS, *[ITEMSIZE[d] for d in dtypes],
             *[0 if x else 1 for x in floats]]
    descriptor = b"".join(w.to_bytes(8, "little", signed=True) for w in words)
    if by_rows:
        _unfinished[id(descriptor)] = text, (outputs, in_dtypes, floats, out_dtypes, compute)
    single, many = _entries()
    return Kernel(builtin(single, descriptor), builtin(many, descriptor), address, descriptor, text)


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


METH_FASTCALL = 0x80


@cache
def _new_function():
    new = ctypes.pythonapi.PyCFunction_NewEx
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ctypes.cast(new, ctypes.c_void_p).value
    )
    return new


@cache
def method(address, name):
    """A method definition for native code at ``address``; lives as long as the process."""
    return native.immortal(_MethodDef(name.encode(), address, METH_FASTCALL, None))


def builtin(definition, descriptor):
    """A builtin function whose ``self`` is ``descriptor``."""
    return _new_function()(ctypes.addressof(definition), descriptor, None)


def fill_environment(address, names, more=None):
    """Write the addresses that native entries call into their table; ``more`` are those of other names."""
    import numpy as np

    api = ctypes.pythonapi
    special = {
        "Py_None": id(None),
        "PyFloat_Type": id(float),
        "PyList_Type": id(list),
        "PyTuple_Type": id(tuple),
        "PyExc_TypeError": id(TypeError),
        "PyExc_ValueError": id(ValueError),
        "ndarray": id(np.ndarray),
        "complete": 0,
        **(more or {}),
    }
    table = (ctypes.c_uint64 * len(names)).from_address(address)
    for i, name in enumerate(names):
        if name in special:
            table[i] = special[name]
        elif name == "rl_parallel_for":
            table[i] = parallel_for_address()
        else:
            table[i] = ctypes.cast(getattr(api, name), ctypes.c_void_p).value


def parallel_for_address():
    from rushlight.runtime import threadpool

    return threadpool.parallel_for_address()


@cache
def _entries():
    names = ("rl_pointwise", "rl_pointwise_many", "rl_environment")
    found = engine.load(
        "pointwise entry", lambda: entry.module(host().triple), names, level=1, codegen_level=1
    )
    fill_environment(found["rl_environment"], entry.ENVIRONMENT, {"complete": id(complete)})
    return tuple(method(found[n], n) for n in names[:2])


def complete(descriptor):
    """Add the walk along rows to a kernel's descriptor, as ``codegen.entry`` asks when it is first needed."""
    text, parts = _unfinished[id(descriptor)]
    address = engine.load(f"{text} by rows", lambda: rows_walk(*parts), ("rows",))["rows"]
    ctypes.c_uint64.from_address(id(descriptor) + entry.BYTES_VALUE + 8 * entry.ROWS_WALK).value = address


def rows_walk(outputs, in_dtypes, scalar_is_float, out_dtypes, compute):
    """LLVM IR of ``void rows(ptr operands, ptr strides, ptr row_strides, ptr scalars, i64 n, i64 count)``.

    Rows whose operands are dense, or inputs that repeat one element: vectors in place, the last one masked.
    """
    target, types = host(), Types(compute)
    lanes = target.lanes(types.itemsize)
    m = Module(target.triple)
    f = m.function("rows", "void", [("ptr", "ops"), ("ptr", "strides"), ("ptr", "along"), ("ptr", "scalars"),
                                    ("i64", "n"), ("i64", "count")])
    ops, strides, along, scalar_words, n, count = f.args
    scalars = [f.load("double" if x else "i64", scalar_words + 8 * i) for i, x in enumerate(scalar_is_float)]
    dtypes, first = (*out_dtypes, *in_dtypes), len(out_dtypes)
    sizes = [ITEMSIZE[d] for d in dtypes]
    bases = [f.load("ptr", ops + 8 * j) for j in range(len(dtypes))]
    steps = [f.load("i64", along + 8 * j) for j in range(len(dtypes))]
    repeats = [None if j < first else f.load("i64", strides + 8 * j).eq(0) for j in range(len(dtypes))]
    buffers = [None if j < first else f.buffer(size * lanes) for j, size in enumerate(sizes)]
    moves = [None if r is None else f.select(r, f.value(0), f.value(size)) for r, size in zip(repeats, sizes)]
    whole = n & -lanes
    rest = f.below(n - whole, lanes)

    def vectors(places, at, mask):
        loaded = {}

        def leaf(e):
            if e.op == "scalar":
                return scalar_value(f, scalars[e.attr], e, types, lanes)
            if e.attr not in loaded:
                j = first + e.attr
                here, kind = places[j] + at * moves[j], vector(MEMORY[dtypes[j]], lanes)
                loaded[e.attr] = f.load(kind, here, 1) if mask is None else f.masked_load(kind, here, mask)
            return from_memory(f, loaded[e.attr], in_dtypes[e.attr], e.kind, types)

        values = Lowering(f, lanes, types, leaf).emit(outputs)
        for j, (e, v) in enumerate(zip(outputs, values, strict=True)):
            stored, there = to_memory(f, v, e.kind, dtypes[j], types), places[j] + at * sizes[j]
            if mask is None:
                f.store(stored, there, 1)
            else:
                f.masked_store(stored, there, mask)

    pointers = [f.var("ptr", b) for b in bases]
    with f.range(count):
        places = [p.get() for p in pointers]
        for j, r in enumerate(repeats):
            if r is not None:
                here = f.var("ptr", places[j])
                with f.if_(r):
                    f.store(f.splat(f.load(MEMORY[dtypes[j]], places[j], 1), lanes), buffers[j], 64)
                    here.set(buffers[j])
                pointers[j].set(places[j] + steps[j])
                places[j] = here.get()
            else:
                pointers[j].set(places[j] + steps[j])
        with f.range(0, whole, step=lanes) as at:
            vectors(places, at, None)
        with f.if_(whole < n):
            vectors(places, whole, rest)
    f.ret()
    return m.text()


def inner_loop(outputs, in_dtypes, scalar_is_float, out_dtypes, compute, streams):
    """LLVM IR of a kernel's inner loop."""
    target = host()
    types = Types(compute)
    lanes = target.lanes(types.itemsize)
    cheap = all(e.op in CHEAP for e in topological(outputs))
    if cheap:
        # Two registers an iteration hide the latency of short chains.
        lanes *= 2
    m = Module(target.triple)
    f = m.function(
        "inner", "void",
        [("ptr", "ops"), ("ptr", "strides"), ("ptr", "scalars"), ("i64", "n"), ("i64", "flags")],
    )
    Loop(m, f, outputs, in_dtypes, scalar_is_float, out_dtypes, types, lanes, streams).emit()
    return m.text()


class Operand:
    """What the loop keeps of one operand."""

    __slots__ = ("dtype", "size", "is_output", "base", "stride", "buffer", "direct", "repeats",
                 "current", "step")


class Loop:
    """Writes the inner loop of one kernel."""

    def __init__(self, m, f, outputs, in_dtypes, scalar_is_float, out_dtypes, types, lanes, streams):
        self.m, self.f, self.outputs, self.types = m, f, outputs, types
        self.lanes, self.streams = lanes, streams
        self.scalar_is_float = scalar_is_float
        self.operands = []
        ops, strides = f.args[0], f.args[1]
        for j, dtype in enumerate((*out_dtypes, *in_dtypes)):
            o = Operand()
            o.dtype, o.size, o.is_output = dtype, ITEMSIZE[dtype], j < len(out_dtypes)
            o.base = f.load("ptr", ops + 8 * j)
            o.stride = f.load("i64", strides + 8 * j)
            o.buffer = f.buffer(o.size * lanes * GATHERED_VECTORS)
            o.direct = o.stride.eq(o.size)
            o.repeats = None if o.is_output else o.stride.eq(0)
            o.current, o.step = f.var("ptr", 0), f.var("i64", 0)
            self.operands.append(o)
        self.results = self.operands[: len(out_dtypes)]
        self.inputs = self.operands[len(out_dtypes) :]

    def emit(self):
        f, lanes = self.f, self.lanes
        scalars = self.read_scalars()
        in_place = f.value(True, "i1")
        for o in self.operands:
            fine = o.direct if o.is_output else o.direct | o.repeats
            in_place = in_place & fine
        for o in self.inputs:
            with f.if_(o.repeats):
                element = f.load(MEMORY[o.dtype], o.base, 1)
                f.store(f.splat(element, lanes), o.buffer, 64)
        n = f.args[3]
        head = self.head(n)
        at = f.var("i64", 0)
        most = f.value(lanes * GATHERED_VECTORS)
        with f.loop() as chunks:
            start = at.get()
            left = n - start
            chunks.break_if(left <= 0)
            whole = left & -lanes
            before = start.eq(0) & head.ne(0)
            tail = whole.eq(0) | before
            part = f.select(in_place, whole, f.minimum(whole, most))
            count = f.select(tail, f.select(before, head, left), part)
            for o in self.operands:
                self.place(o, start, count, tail)
            self.body(count, scalars, tail)
            for o in self.results:
                with f.if_(tail | ~o.direct):
                    self.copy("scatter", o, o.base + start * o.stride, count)
            at.set(start + count)
        f.ret()

    def head(self, n):
        """Elements before the first result that starts a cache line, where that is worth the while."""
        f, out = self.f, self.results[0]
        address = f.emit("i64", f"ptrtoint ptr {out.base.name} to i64")
        head = ((f.value(0) - address) & 63).udiv(out.size)
        worth = (n >= 16384) & out.direct & (head < self.lanes) & (address & (out.size - 1)).eq(0)
        return f.select(worth, head, f.value(0))

    def read_scalars(self):
        f, result = self.f, []
        for i, floating in enumerate(self.scalar_is_float):
            slot = f.args[2] + 8 * i
            result.append(f.load("double" if floating else "i64", slot))
        return result

    def place(self, o, start, count, tail):
        """Point an operand at memory that can be walked a vector at a time."""
        f = self.f
        width = o.size * self.lanes
        here = o.base + start * o.stride
        if o.is_output:
            direct = o.direct & ~tail
            o.current.set(f.select(direct, here, o.buffer))
            o.step.set(width)
            return
        with f.if_else(o.repeats) as (same, other):
            with same:
                o.current.set(o.buffer)
                o.step.set(0)
            with other:
                o.step.set(width)
                with f.if_else(o.direct & ~tail) as (direct, gather):
                    with direct:
                        o.current.set(here)
                    with gather:
                        o.current.set(o.buffer)
                        zero = f.value(0, vector(f"i{8 * o.size}", self.lanes))
                        with f.if_(tail):
                            f.store(zero, o.buffer, 64)
                        self.copy("gather", o, here, count)

    def copy(self, direction, o, where, count):
        """Move ``count`` elements between an operand and its buffer."""
        name = element_copier(self.m, direction, o.size)
        self.f.call("void", name, where, o.stride, o.buffer, count)

    def body(self, count, scalars, tail):
        f = self.f
        current = [o.current.get() for o in self.operands]
        steps = [o.step.get() for o in self.operands]
        if self.streams:
            out = self.results[0]
            address = f.emit("i64", f"ptrtoint ptr {current[0].name} to i64")
            wide = out.size * self.lanes
            aligned = (address & (min(wide, 64) - 1)).eq(0)
            stream = f.args[4].ne(0) & aligned & out.direct & ~tail
            with f.if_else(stream) as (past, normal):
                with past:
                    self.vectors(count, scalars, current, steps, True)
                with normal:
                    self.vectors(count, scalars, current, steps, False)
        else:
            self.vectors(count, scalars, current, steps, False)

    def vectors(self, count, scalars, current, steps, stream):
        """The loop over whole vectors."""
        f, types, lanes = self.f, self.types, self.lanes
        pointers = [f.var("ptr", p) for p in current]
        done = f.var("i64", 0)
        with f.loop() as loop:
            here = [p.get() for p in pointers]
            loaded = {}
            first_input = len(self.results)

            def leaf(e):
                if e.op == "scalar":
                    return scalar_value(f, scalars[e.attr], e, types, lanes)
                o = self.inputs[e.attr]
                if e.attr not in loaded:
                    type_ = vector(MEMORY[o.dtype], lanes)
                    loaded[e.attr] = f.load(type_, here[first_input + e.attr], 1)
                return from_memory(f, loaded[e.attr], o.dtype, e.kind, types)

            values = Lowering(f, lanes, types, leaf).emit(self.outputs)
            for o, e, v, p in zip(self.results, self.outputs, values, here, strict=False):
                stored = to_memory(f, v, e.kind, o.dtype, types)
                if stream:
                    width = min(o.size * lanes, 64)
                    f.store(stored, p, width, past=True)
                else:
                    f.store(stored, p, 1)
            for p, h, step in zip(pointers, here, steps, strict=True):
                p.set(h + step)
            done.set(done.get() + lanes)
            loop.break_if(done.get() >= count)


def element_copier(m, direction, size):
    """Name of the function that gathers (or scatters) n elements of ``size`` bytes with a stride."""
    name = f"{direction}{size}"
    if name not in m.declared:
        g = m.function(
            name, "void", [("ptr", "memory"), ("i64", "stride"), ("ptr", "buffer"), ("i64", "n")],
            "internal", "noinline",
        )
        memory, stride, buffer, n = g.args
        type_ = f"i{8 * size}"
        width = host().vector_bytes // size
        if host().vector_bytes == 64 or size >= 4 and host().vector_bytes == 32:
            # A row's end: vectors, the last one masked. (Buffers hold whole vectors.)
            with g.if_(stride.eq(size)):
                with g.range(n, step=width) as i:
                    outside, inside = memory + i * size, buffer + i * size
                    kind = vector(type_, width)
                    there = g.below(g.minimum(n - i, width), width)
                    if direction == "gather":
                        g.store(g.masked_load(kind, outside, there), inside, 1)
                    else:
                        g.masked_store(g.masked_load(kind, inside, there), outside, there)
                g.ret()
        with g.range(n) as i:
            outside, inside = memory + i * stride, buffer + i * size
            if direction == "gather":
                g.store(g.load(type_, outside, 1), inside)
            else:
                g.store(g.load(type_, inside), outside, 1)
        g.ret()
    return name


def load_part(f, m, dtype, here, step, buffer, left, valid):
    """A vector of ``left`` elements ``step`` bytes apart; other lanes hold zeros or old elements."""
    type_ = vector(MEMORY[dtype], split(valid.type)[1])
    size = ITEMSIZE[dtype]
    result = f.var(type_, 0)
    with f.if_else(step.eq(size)) as (contiguous, apart):
        with contiguous:
            if size >= 4 or host().vector_bytes == 64:
                result.set(f.masked_load(type_, here, valid))
            else:
                with f.if_else(left.eq(split(type_)[1])) as (whole, part):
                    with whole:
                        result.set(f.load(type_, here, 1))
                    with part:
                        copier = element_copier(m, "gather", size)
                        f.call("void", copier, here, step, buffer, left)
                        result.set(f.load(type_, buffer, 1))
        with apart:
            f.call("void", element_copier(m, "gather", size), here, step, buffer, left)
            result.set(f.load(type_, buffer, 1))
    return result.get()


def scalar_value(f, v, e, types, lanes):
    """A scalar argument (double or i64) as the value of its leaf, in all lanes."""
    if v.type == "double":
        if e.kind != "f":
            raise TypeError(f"scalar {e.attr} is floating but used as kind {e.kind!r}")
        v = v.cast("fptrunc", "float") if types.f == "float" else v
    elif e.kind == "f":
        v = v.cast("sitofp", types.f)
    elif e.kind == "b":
        v = v.ne(0)
    elif types.i != "i64":
        v = v.cast("trunc", types.i)
    return f.splat(v, lanes) if lanes > 1 else v
