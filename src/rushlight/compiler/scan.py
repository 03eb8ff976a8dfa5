"""Scans along one dimension: cumulative sum, product, extrema with indices, log-sum-exp.

Along a row a scan is sequential; where a kept dimension is the innermost, a vector's lanes are rows.
The order of operations is the same both ways, so the bits are.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen import math, row_entry
from rushlight.compiler.codegen.builder import Module, split, vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY, Types, from_memory, to_memory
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.pointwise import builtin, element_copier, fill_environment, method

KINDS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")


class ScanKernel:
    """A compiled scan: ``call(out, [indices,] x, mask)``."""

    __slots__ = ("call", "descriptor", "text")

    def __init__(self, call, descriptor, text):
        self.call, self.descriptor, self.text = call, descriptor, text

    def __call__(self, *args):
        return self.call(*args)

    def __repr__(self):
        return f"<scan kernel {self.text}>"


@cache
def scan_kernel(kind, in_dtype, out_dtype):
    """The kernel of a scan along the dimension whose bit is set in ``mask``: ``call(out, x, mask)``.

    ``cumsum cumprod``: floats accumulate in float64, integers in int64.  ``logcumsumexp``: floats.
    ``cummax cummin``: ``call(values, indices, x, mask)`` with int64 indices; the last of equal elements
    wins, NaN wins over all and stays.
    """
    if kind not in KINDS:
        raise ValueError(f"scan_kernel: kind must be one of {KINDS}, got {kind!r}")
    out_dtypes = (out_dtype, "int64") if kind in ("cummax", "cummin") else (out_dtype,)
    scan = Scan(kind, in_dtype, out_dtypes)
    text = f"scan {kind} {','.join(out_dtypes)} <- {in_dtype}"
    found = engine.load(text, scan.ir, ("rows", "columns"))
    dtypes = (*out_dtypes, in_dtype)
    words = [len(out_dtypes), 1, 0, len(dtypes), scan.lanes, 0, 4, found["rows"], found["columns"],
             0, 0, 0, *[ITEMSIZE[d] for d in dtypes]]
    descriptor = b"".join(w.to_bytes(8, "little", signed=True) for w in words)
    return ScanKernel(builtin(_entry(), descriptor), descriptor, text)


@cache
def _entry():
    names = ("rl_row_program", "rl_environment")
    found = engine.load(
        "row entry", lambda: row_entry.module(host().triple), names, level=2, codegen_level=2
    )
    fill_environment(found["rl_environment"], row_entry.ENVIRONMENT)
    return method(found["rl_row_program"], "rl_row_program")


class Scan:
    """Writes the two functions of a scan (their signatures are those of ``rowwise.Program``)."""

    def __init__(self, kind, in_dtype, out_dtypes):
        self.kind, self.in_dtype, self.out_dtypes = kind, in_dtype, out_dtypes
        floating = in_dtype.startswith(("float", "bfloat"))
        compute = in_dtype
        if kind in ("cumsum", "cumprod"):
            floating = floating or out_dtypes[0].startswith(("float", "bfloat"))
            compute = "float64" if floating else "int64"
        elif kind == "logcumsumexp":
            compute = "float64"
        elif compute == "bool":
            compute = "uint8"
        self.types = Types(compute)
        self.element_kind = "f" if floating else "i"
        self.element = self.types.of(self.element_kind)
        self.lanes = host().lanes(max(4, self.types.itemsize))

    def ir(self):
        self.m = Module(host().triple)
        for name in ("rows", "columns"):
            self.function(name)
        return self.m.text()

    def function(self, name):
        along = name == "rows"
        lanes = 1 if along else self.lanes
        params = [("ptr", "operands")] + ([] if along else [("ptr", "kept")]) + [("ptr", "steps")]
        params += [] if along else [("i64", "width")]
        f = self.m.function(name, "void", [*params, ("i64", "n"), ("ptr", "scalars")])
        args = {a.name[1:]: a for a in f.args}
        operands = []
        for j, dtype in enumerate((*self.out_dtypes, self.in_dtype)):
            size = ITEMSIZE[dtype]
            base = f.load("ptr", args["operands"] + 8 * j)
            step = f.load("i64", args["steps"] + 8 * j)
            across = None if along else f.load("i64", args["kept"] + 8 * j)
            buffer = f.buffer(size * lanes)
            f.store(f.value(0, vector(f"i{8 * size}", lanes)), buffer, 1)
            operands.append((dtype, size, base, step, across, buffer))
        *results, source = operands
        state = [f.var(t, v) for t, v in self.initial(lanes)]
        with f.range(args["n"]) as i:
            x = from_memory(f, self.take(f, source, i, args.get("width"), lanes), self.in_dtype,
                            self.element_kind, self.types)
            new = self.step(f, [v.get() for v in state], x, i)
            for variable, v in zip(state, new, strict=True):
                variable.set(v)
            for operand, v in zip(results, new, strict=True):
                kind = "f" if v.is_float else "i"
                types = self.types if kind == "f" or split(v.type)[0] == self.types.i else Types("int64")
                stored = to_memory(f, v, kind, operand[0], types)
                self.put(f, operand, stored, i, args.get("width"), lanes)
        f.ret()

    def take(self, f, operand, i, width, lanes):
        dtype, size, base, step, across, buffer = operand
        here = base + i * step
        if lanes == 1:
            return f.load(MEMORY[dtype], here, 1)
        place = f.var("ptr", here)
        with f.if_(across.ne(size) | width.ne(lanes)):
            f.call("void", element_copier(self.m, "gather", size), here, across, buffer, width)
            place.set(buffer)
        return f.load(vector(MEMORY[dtype], lanes), place.get(), 1)

    def put(self, f, operand, stored, i, width, lanes):
        _, size, base, step, across, buffer = operand
        here = base + i * step
        if lanes == 1:
            f.store(stored, here, 1)
            return
        with f.if_else(across.eq(size) & width.eq(lanes)) as (direct, other):
            with direct:
                f.store(stored, here, 1)
            with other:
                f.store(stored, buffer, 1)
                f.call("void", element_copier(self.m, "scatter", size), here, across, buffer, width)

    def initial(self, lanes):
        type_ = vector(self.element, lanes)
        if self.kind in ("cumsum", "cumprod"):
            return [(type_, 0 if self.kind == "cumsum" else 1)]
        if self.kind == "logcumsumexp":
            return [(type_, float("-inf"))]
        # The first element replaces this: index 0 always takes it.
        return [(type_, 0), (vector("i64", lanes), -1)]

    def step(self, f, state, x, i):
        acc = state[0]
        if self.kind == "cumsum":
            return [acc + x]
        if self.kind == "cumprod":
            return [acc * x]
        if self.kind == "logcumsumexp":
            return [self.log_add(f, acc, x)]
        largest = self.kind == "cummax"
        if x.is_float:
            beats = x >= acc if largest else x <= acc
            take = x.isnan() | (beats & ~acc.isnan())
        else:
            sign = "s" if self.types.signed else "u"
            take = x.compare("", sign + ("ge" if largest else "le"), acc)
        lanes = split(x.type)[1]
        at = f.splat(i, lanes) if lanes else i
        take = take | at.eq(0)
        return [f.select(take, x, acc), f.select(take, at, state[1])]

    @staticmethod
    def log_add(f, a, b):
        """log(e^a + e^b); infinities of one sign add up to themselves."""
        high = f.select((a > b) | a.isnan(), a, b)
        low = f.select((a > b) | a.isnan(), b, a)
        y = high + math.log1p(f, math.exp_scaled(f, low - high))
        infinite = math.fabs(f, high).eq(float("inf")) & ~low.isnan()
        return f.select(infinite, high, y)
