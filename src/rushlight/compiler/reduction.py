"""Reductions over any dimensions: sum, mean, prod, extrema and their indices, any, all, variance.

    k = reduce_kernel("sum", "float32", "float32")
    k.call(out, x, 0b10)              # outputs, inputs, bit mask of the reduced dimensions, scalars

Outputs have either all dimensions of the input (size 1 where reduced) or only the kept ones.
"""

import ctypes
import threading
from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen import reduce_entry, reducers
from rushlight.compiler.codegen.builder import Module, split, vector
from rushlight.compiler.codegen.entry import BYTES_VALUE
from rushlight.compiler.codegen.lower import (
    ITEMSIZE,
    MEMORY,
    Lowering,
    Types,
    float_to_float,
    from_memory,
    int_to_int,
    to_memory,
)
from rushlight.compiler.codegen.reduce_walks import CHEAP_STEPS, WHOLE, Walk, size_of
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.expr import input_, to_text, topological
from rushlight.compiler.pointwise import (
    builtin,
    fill_environment,
    method,
    scalar_value,
)

_kernels = {}
_unfinished = {}    # number of a descriptor -> (key, specification) of a kernel without columns
_lock = threading.Lock()
SYMBOLS = ("initial", "rows", "fold", "merge", "finish")
_ADDRESSES = ("initial", "rows", "columns", "fold", "merge", "finish", *WHOLE)


class ReduceKernel:
    """A compiled reduction: ``call(out0, .., in0, .., mask, scalar0, ..)``."""

    __slots__ = ("call", "descriptor", "text")

    def __init__(self, call, descriptor, text):
        self.call, self.descriptor, self.text = call, descriptor, text

    def __call__(self, *args):
        return self.call(*args)

    def __repr__(self):
        return f"<reduction kernel {self.text}>"


def reduce_kernel(kind, in_dtypes, out_dtypes, scalar_dtypes=(), pre=None, post=None, compute=None):
    """The kernel that reduces with ``kind``:

    ``sum mean prod max min``: one output.  max and min let NaN win.
    ``argmax argmin``: an int64 output, the smallest index that has the extremum, counted over the
    reduced dimensions in C order.  ``max_index min_index``: value and index.
    ``any all``: a bool output.
    ``var_mean``: two outputs; scalar 0 (a float) is the correction, the divisor max(0, n - correction).

    ``pre``: expression of the inputs (and scalars) that is reduced, by default input 0; further inputs
    broadcast against the first.  ``post``: expression of the result ``input(0)`` (kind "f" or "i") and
    the scalars for the first output; float results are float64 there, so a norm ends in sqrt before it
    is rounded.  ``compute``: dtype of ``pre``, by default the first input's (float32 for 16-bit floats).
    Sums and means of float32 add 16 elements a lane in float32 and these blocks in float64, which is
    rounded once (error: at most 15 * 2^-24 of the sum of magnitudes before that); sums of float64 add blocks of
    16, too, and these with compensation (at most 16 * 2^-53), sums of integers are kept in int64.
    Products stay in the compute dtype.
    """
    in_dtypes = (in_dtypes,) if isinstance(in_dtypes, str) else tuple(in_dtypes)
    out_dtypes = (out_dtypes,) if isinstance(out_dtypes, str) else tuple(out_dtypes)
    uids = tuple(None if e is None else e.uid for e in (pre, post))
    key = (kind, in_dtypes, out_dtypes, tuple(scalar_dtypes), uids, compute)
    found = _kernels.get(key)
    if found is None:
        kernel = _make(kind, in_dtypes, out_dtypes, tuple(scalar_dtypes), pre, post, compute)
        with _lock:
            # The expressions stay alive with the kernel: their numbers are the key.
            found = _kernels.setdefault(key, (kernel, pre, post))
    return found[0]


def _make(kind, in_dtypes, out_dtypes, scalar_dtypes, pre, post, compute):
    if len(in_dtypes) + len(out_dtypes) > reduce_entry.MAX_OPERANDS:
        raise ValueError(f"reduce_kernel: more than {reduce_entry.MAX_OPERANDS} operands")
    if compute is None:
        compute = in_dtypes[0]
    floating = compute.startswith(("float", "bfloat"))
    if pre is None:
        pre = input_(0, "f" if floating else "b" if compute == "bool" else "i")
    if kind in ("any", "all") and pre.kind != "b":
        pre = pre != 0
    floats = [d.startswith(("float", "bfloat")) for d in scalar_dtypes]
    text = (
        f"reduce {kind} {','.join(out_dtypes)} <- {','.join(in_dtypes)} "
        f"({''.join('f' if x else 'i' for x in floats)}) in {compute}: {to_text([pre])}"
        f"{' then ' + to_text([post]) if post is not None else ''}"
    )
    spec = Specification(kind, in_dtypes, out_dtypes, floats, pre, post, compute)
    found = engine.load(text, spec.ir, SYMBOLS)
    dtypes = (*out_dtypes, *in_dtypes)
    words = [len(out_dtypes), len(in_dtypes), len(floats), len(dtypes), spec.lanes,
             spec.state_bytes | spec.short_lanes * spec.reducer.short << 32 | spec.wide << 48,
             *[found.get(s, 0) for s in _ADDRESSES], *[ITEMSIZE[d] for d in dtypes], *[0 if x else 1 for x in floats]]
    descriptor = b"".join(w.to_bytes(8, "little", signed=True) for w in words)
    _unfinished[id(descriptor)] = text, spec
    return ReduceKernel(builtin(_entry(), descriptor), descriptor, text)


@cache
def _entry():
    names = ("rl_reduce", "rl_environment")
    found = engine.load(
        "reduction entry", lambda: reduce_entry.module(host().triple), names, level=1, codegen_level=1
    )
    fill_environment(found["rl_environment"], reduce_entry.ENVIRONMENT,
                     {"complete": id(complete)})
    return method(found["rl_reduce"], "rl_reduce")


def complete(descriptor, word):
    """Add the walk whose address belongs into a word of a descriptor: many kernels never need it."""
    text, spec = _unfinished[id(descriptor)]
    name = _ADDRESSES[word - reduce_entry.INITIAL]
    title = f"{text} by columns" if name == "columns" else f"{text} {name}"
    address = engine.load(title, lambda: spec.walk_ir(name), (name,))[name]
    ctypes.c_uint64.from_address(id(descriptor) + BYTES_VALUE + 8 * word).value = address


class Specification:
    """Writes the functions of one reduction: those that all need in one module, each further walk in one of its own."""

    def __init__(self, kind, in_dtypes, out_dtypes, scalar_is_float, pre, post, compute):
        self.in_dtypes, self.out_dtypes = in_dtypes, out_dtypes
        self.scalar_is_float, self.pre, self.post = scalar_is_float, pre, post
        self.types = Types(compute)
        target = host()
        # Two registers of float32 or four of float64: chains enough to hide an addition's latency.
        self.lanes = target.lanes(4) * 2 if self.types.itemsize > 1 else target.lanes(1)
        signed = self.types.signed and pre.kind == "i"
        element = self.types.of(pre.kind)
        self.reducer = reducers.make(kind, "i8" if pre.kind == "b" else element, signed, self.types)
        self.value_type = self.reducer.element
        # Rows that are reduced together, one a lane in the end.
        self.short_lanes = target.lanes(4)
        self.part_bytes = [size_of(p) * self.lanes for p in self.reducer.parts]
        self.state_bytes = sum(self.part_bytes)
        # Tiles of outputs that columns take together: what they keep is to fit in three quarters of the registers.
        held = self.state_bytes + self.reducer.run_parts * size_of(self.value_type) * self.lanes
        masks = target.vector_bytes == 64 or target.vector_bytes == 32 and ITEMSIZE[in_dtypes[0]] >= 4
        plain = (masks and not self.reducer.counted and not self.reducer.uses_first
                 and len(topological([pre])) <= CHEAP_STEPS)
        room = target.vector_bytes * (24 if target.vector_bytes == 64 else 12)
        self.wide = max([1, *[w for w in (2, 4) if plain and len(in_dtypes) == 1 and w * held <= room]])
        self.result_types = Types("float64") if element in ("float", "double") else self.types

    def ir(self):
        self.m = Module(host().triple)
        self.initial()
        for name in ("flat", "rows"):
            Walk(self, name).write()
        self.fold()
        self.merge()
        self.finish()
        return self.m.text()

    def walk_ir(self, name):
        """The module of a walk that is made when it is first needed."""
        self.m = Module(host().triple)
        if name == "columns" and len(self.in_dtypes) == 1:
            Walk(self, "flat").write()
        Walk(self, name).write()
        return self.m.text()

    def load_state(self, f, state, lanes=None):
        values, at = [], 0
        for part, size in zip(self.reducer.parts, self.part_bytes, strict=True):
            values.append(f.load(vector(part, lanes or self.lanes), state + at, 8))
            at += size
        return tuple(values)

    def store_state(self, f, values, state):
        at = 0
        for v, size in zip(values, self.part_bytes, strict=True):
            f.store(v, state + at, 8)
            at += size

    def scalars(self, f, pointer):
        return [
            f.load("double" if x else "i64", pointer + 8 * i)
            for i, x in enumerate(self.scalar_is_float)
        ]

    def value(self, f, loaded, scalars, lanes=None):
        """``pre`` of loaded vectors, in the type that is accumulated."""
        lanes = lanes or self.lanes

        def leaf(e):
            if e.op == "scalar":
                return scalar_value(f, scalars[e.attr], e, self.types, lanes)
            return from_memory(f, loaded[e.attr], self.in_dtypes[e.attr], e.kind, self.types)

        v = Lowering(f, lanes, self.types, leaf).emit([self.pre])[0]
        return self.widen(v)

    def widen(self, v):
        have = split(v.type)[0]
        if have == self.value_type:
            return v
        if have == "i1":
            return v.cast("zext", self.value_type)
        if self.value_type == "double" and have != "float":
            return v.cast("sitofp" if self.types.signed else "uitofp", "double")
        if self.value_type == "double":
            return float_to_float(v, "double")
        return int_to_int(v, self.types.signed, self.value_type)

    def initial(self):
        """void initial(state, inputs, kept_steps, width)."""
        f = self.m.function("initial", "void", [("ptr", "state"), ("ptr", "inputs"),
                                                ("ptr", "steps"), ("i64", "width")])
        state, inputs, steps, width = f.args
        first = None
        if self.reducer.uses_first:
            loaded = []
            for j, dtype in enumerate(self.in_dtypes):
                buffer = f.buffer(ITEMSIZE[dtype] * self.lanes)
                type_ = f"i{8 * ITEMSIZE[dtype]}"
                base = f.load("ptr", inputs + 8 * j)
                step = f.load("i64", steps + 8 * j)
                # A lane has the first element of its output; further lanes repeat them.
                with f.range(self.lanes) as lane:
                    element = f.load(type_, base + lane.urem(width) * step, 1)
                    f.store(element, buffer + lane * ITEMSIZE[dtype])
                loaded.append(f.load(vector(MEMORY[dtype], self.lanes), buffer, 64))
            zeros = [f.value(0.0 if x else 0, "double" if x else "i64")
                     for x in self.scalar_is_float]
            first = self.value(f, loaded, zeros)
        self.store_state(f, self.reducer.initial(f, self.lanes, first), state)
        f.ret()

    def fold(self):
        """void fold(state): join all lanes into lane 0, halving."""
        f = self.m.function("fold", "void", [("ptr", "state")])
        at = 0
        for v, size in zip(self.folded(f, self.load_state(f, f.args[0])), self.part_bytes, strict=True):
            f.store(v, f.args[0] + at)
            at += size
        f.ret()

    def folded(self, f, values):
        """All lanes of a state joined into one, halving."""
        lanes = self.lanes
        while lanes > 2:
            half = lanes // 2
            low = [f.shuffle(v, v, range(half)) for v in values]
            high = [f.shuffle(v, v, range(half, lanes)) for v in values]
            values, lanes = self.reducer.merge(f, tuple(low), tuple(high)), half
        return self.reducer.merge(f, *(tuple(f.extract(v, k) for v in values) for k in (0, 1)))

    def merge(self):
        """void merge(state, other)."""
        f = self.m.function("merge", "void", [("ptr", "state"), ("ptr", "other")])
        a, b = self.load_state(f, f.args[0]), self.load_state(f, f.args[1])
        self.store_state(f, self.reducer.merge(f, a, b), f.args[0])
        f.ret()

    def finish(self):
        """void finish(state, outputs, steps, width, count, scalars): results of ``width`` lanes."""
        f = self.m.function("finish", "void", [("ptr", "state"), ("ptr", "outputs"), ("ptr", "steps"),
                                               ("i64", "width"), ("i64", "count"),
                                               ("ptr", "scalars")])
        state, outputs_, steps, width, count, scalar_words = f.args
        scalars = self.scalars(f, scalar_words)
        sizes = [size_of(p) for p in self.reducer.parts]

        def outputs(state_values, lanes):
            return self.results(f, state_values, lanes, count, scalars)

        places = [(f.load("ptr", outputs_ + 8 * j), f.load("i64", steps + 8 * j), ITEMSIZE[d])
                  for j, d in enumerate(self.out_dtypes)]
        dense = width.eq(self.lanes)
        for _, step, size in places:
            dense = dense & step.eq(size)
        with f.if_(dense):
            for v, (place, _, size) in zip(outputs(self.load_state(f, state), self.lanes), places):
                f.store(v, place, size)
            f.ret()
        with f.range(width) as lane:
            values, at = [], 0
            for part, size, total in zip(self.reducer.parts, sizes, self.part_bytes, strict=True):
                values.append(f.load(part, state + at + lane * size))
                at += total
            for v, (place, step, size) in zip(outputs(tuple(values), 1), places):
                f.store(v, place + lane * step, size)
        f.ret()

    def results(self, f, state_values, lanes, count, scalars):
        """What is stored for a state of so many lanes, output by output."""
        types = self.result_types
        divisor = count.cast("sitofp", "double")
        numbers = [x if x.type != "double" or lanes == 1 else f.splat(x, lanes) for x in scalars]
        divisor = f.splat(divisor, lanes) if lanes > 1 else divisor
        for j, (v, dtype) in enumerate(zip(self.reducer.result(f, state_values, divisor, numbers), self.out_dtypes,
                                           strict=True)):
            element = split(v.type)[0]
            kind = "b" if element == "i1" else "f" if v.is_float else "i"
            if j == 0 and self.post is not None:
                v, kind = self.finished(f, v, scalars, lanes), self.post.kind
            yield to_memory(f, v, kind, dtype, _IntTypes(split(v.type)[0], types) if kind == "i" else types)

    def finished(self, f, v, scalars, lanes):
        types = self.result_types

        def leaf(e):
            if e.op == "scalar":
                return scalar_value(f, scalars[e.attr], e, types, lanes)
            return float_to_float(v, types.f) if e.kind == "f" and v.is_float else v

        return Lowering(f, lanes, types, leaf).emit([self.post])[0]


class _IntTypes:
    """Types for storing an integer result of a given width."""

    def __init__(self, element, types):
        self.f, self.i = types.f, element
        self.signed = types.signed or element == "i64"
