"""Row programs: reductions along a row, then formulas that use their results, in one kernel.

softmax is the program

    row(0) = max(x);  row(1) = sum(exp(x - row(0)));  y = exp(x - row(0)) / row(1)

and so are log_softmax, layer and RMS normalization, and their gradients.  A program is compiled into
one pass over the row a reduction and one for the outputs; a row stays in cache between them.
"""

import threading
from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen import reduce_entry, reducers, row_entry
from rushlight.compiler.codegen.builder import Module, vector
from rushlight.compiler.codegen.lower import (
    ITEMSIZE,
    MEMORY,
    Lowering,
    Types,
    float_to_float,
    from_memory,
    to_memory,
)
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.expr import constant, node, substitute, to_text, topological
from rushlight.compiler.pointwise import (
    CHEAP,
    builtin,
    element_copier,
    fill_environment,
    load_part,
    method,
    scalar_value,
)

# Stands for the kept value among the numbers of inputs.
KEPT = -1

_kernels = {}
_lock = threading.Lock()


def row(index):
    """The result of a row program's reduction ``index`` (a float)."""
    return node("row", (), "f", index)


def kept():
    """The value that the last reduction marked ``keep`` was given at this element."""
    return node("kept", (), "f")


class RowKernel:
    """A compiled row program: ``call(out0, .., row_out0, .., in0, .., mask, scalar0, ..)``."""

    __slots__ = ("call", "descriptor", "text")

    def __init__(self, call, descriptor, text):
        self.call, self.descriptor, self.text = call, descriptor, text

    def __call__(self, *args):
        return self.call(*args)

    def __repr__(self):
        return f"<row kernel {self.text}>"


def row_kernel(reductions, outputs, in_dtypes, out_dtypes, scalar_dtypes=(), row_outputs=(),
               compute="float32"):
    """The kernel of a row program.

    ``reductions``: pairs (kind, expression), or (kind, expression, True) to keep the values for ``kept()`` in
    the outputs instead of computing them again; kind is ``sum``, ``mean``, ``max``, ``min`` or ``prod``; an
    expression may use inputs, scalars and ``row(i)`` of earlier reductions.  ``outputs``: expressions for each
    element; ``row_outputs``: expressions of ``row(i)`` and scalars, one value a row.  ``out_dtypes``: of
    the outputs, then the row outputs.  ``compute``: float32 or float64.

    The call takes arrays of input 0's shape (other inputs broadcast; row outputs have size 1 along the
    row) and the bit mask of the dimensions that make a row, which must be mergeable into one.
    """
    outputs, row_outputs = tuple(outputs), tuple(row_outputs)
    keeps = [i for i, r in enumerate(reductions) if len(r) > 2 and r[2]]
    reductions = tuple((kind, constant(e)) for kind, e, *_ in reductions)
    keep = keeps[0] if keeps else None
    if keeps and out_dtypes[0] != compute:
        # The output could not hold the value unrounded.
        outputs = substitute(outputs, [(kept(), reductions[keep][1])])
        keep = None
    key = (
        tuple((kind, e.uid) for kind, e in reductions),
        tuple(e.uid for e in outputs),
        tuple(e.uid for e in row_outputs),
        tuple(in_dtypes),
        tuple(out_dtypes),
        tuple(scalar_dtypes),
        compute,
        keep,
    )
    found = _kernels.get(key)
    if found is None:
        program = Program(reductions, outputs, row_outputs, tuple(in_dtypes), tuple(out_dtypes),
                          tuple(scalar_dtypes), compute, keep)
        kernel = program.kernel()
        with _lock:
            # The expressions stay alive with the kernel: their numbers are the key.
            found = _kernels.setdefault(key, (kernel, reductions, outputs, row_outputs))
    return found[0]


@cache
def _entry():
    names = ("rl_row_program", "rl_environment")
    found = engine.load(
        "row entry", lambda: row_entry.module(host().triple), names, level=2, codegen_level=2
    )
    # (The others of the environment are of reductions.)
    fill_environment(found["rl_environment"], row_entry.ENVIRONMENT)
    return method(found["rl_row_program"], "rl_row_program")


class Operand:
    """One operand of the function being written."""

    __slots__ = ("dtype", "size", "base", "step", "buffer", "contiguous", "across")


class Program:
    """Writes the two functions of a row program."""

    def __init__(self, reductions, outputs, row_outputs, in_dtypes, out_dtypes, scalar_dtypes, compute,
                 keep):
        self.keep = keep
        self.reductions, self.outputs, self.row_outputs = reductions, outputs, row_outputs
        self.in_dtypes, self.out_dtypes = in_dtypes, out_dtypes
        if len(in_dtypes) + len(out_dtypes) > reduce_entry.MAX_OPERANDS:
            raise ValueError(f"row_kernel: more than {reduce_entry.MAX_OPERANDS} operands")
        if len(out_dtypes) != len(outputs) + len(row_outputs):
            raise ValueError("row_kernel: a dtype is needed for each output and row output")
        self.scalar_is_float = [d.startswith(("float", "bfloat")) for d in scalar_dtypes]
        self.compute, self.types = compute, Types(compute)
        self.lanes = host().lanes(self.types.itemsize) * 2

    def kernel(self):
        text = (
            f"rows {','.join(self.out_dtypes)} <- {','.join(self.in_dtypes)} "
            f"({''.join('f' if x else 'i' for x in self.scalar_is_float)}) in {self.compute}: "
            f"{', '.join(k for k, _ in self.reductions)}: {len(self.outputs)} of keep {self.keep} "
            f"{to_text([*(e for _, e in self.reductions), *self.outputs, *self.row_outputs])}"
        )
        found = engine.load(text, self.ir, ("rows", "columns"))
        dtypes = (*self.out_dtypes, *self.in_dtypes)
        nodes = topological([*(e for _, e in self.reductions), *self.outputs])
        weight = 1 + sum(0 if e.op in CHEAP else 8 for e in nodes)
        words = [len(self.out_dtypes), len(self.in_dtypes), len(self.scalar_is_float), len(dtypes),
                 self.lanes, 0, weight, found["rows"], found["columns"]]
        words += [0] * (reduce_entry.HEADER - len(words))
        words += [*[ITEMSIZE[d] for d in dtypes], *[0 if x else 1 for x in self.scalar_is_float]]
        descriptor = b"".join(w.to_bytes(8, "little", signed=True) for w in words)
        return RowKernel(builtin(_entry(), descriptor), descriptor, text)

    def ir(self):
        self.m = Module(host().triple)
        self.function("rows")
        self.function("columns")
        return self.m.text()

    def function(self, name):
        """``rows(operands, steps, n, scalars)``: lanes along the row.

        ``columns(operands, kept_steps, steps, width, n, scalars)``: a lane is a row.
        """
        along = name == "rows"
        params = [("ptr", "operands")] + ([] if along else [("ptr", "kept")]) + [("ptr", "steps")]
        params += [] if along else [("i64", "width")]
        f = self.f = self.m.function(name, "void", [*params, ("i64", "n"), ("ptr", "scalars")])
        args = {a.name[1:]: a for a in f.args}
        self.along, self.n, self.width = along, args["n"], args.get("width")
        self.scalars = [
            f.load("double" if x else "i64", args["scalars"] + 8 * i)
            for i, x in enumerate(self.scalar_is_float)
        ]
        self.operands = []
        for j, dtype in enumerate((*self.out_dtypes, *self.in_dtypes)):
            o = Operand()
            o.dtype, o.size = dtype, ITEMSIZE[dtype]
            o.base = f.load("ptr", args["operands"] + 8 * j)
            o.step = f.load("i64", args["steps"] + 8 * j)
            across = o.step if along else f.load("i64", args["kept"] + 8 * j)
            o.buffer = f.buffer(o.size * self.lanes)
            f.store(f.value(0, vector(f"i{8 * o.size}", self.lanes)), o.buffer, 64)
            o.contiguous, o.across = across.eq(o.size), across
            self.operands.append(o)
        self.results = self.operands[: len(self.out_dtypes)]
        self.inputs = self.operands[len(self.out_dtypes) :]
        self.fill_repeated()
        self.rows = []
        for number, (kind, e) in enumerate(self.reductions):
            self.rows.append(self.reduce(kind, e, number == self.keep))
        self.write_outputs()
        self.write_row_outputs()
        f.ret()

    def fill_repeated(self):
        """A broadcast input in row order is one element: put it in all lanes of its buffer once."""
        f = self.f
        if not self.along:
            return
        for o in self.inputs:
            with f.if_(o.step.eq(0)):
                f.store(f.splat(f.load(MEMORY[o.dtype], o.base, 1), self.lanes), o.buffer, 64)

    def loop(self, inputs, body):
        """Run ``body(loaded, left, i)`` over the row; ``inputs`` are the numbers of those to load."""
        f, lanes = self.f, self.lanes
        with f.range(0, self.n, step=lanes if self.along else 1) as i:
            left = f.minimum(self.n - i, f.value(lanes)) if self.along else self.width
            whole = left.eq(lanes)
            valid = f.below(left, lanes)
            loaded = {}
            for j in inputs:
                o = self.results[0] if j == KEPT else self.inputs[j]
                here = o.base + i * o.step
                if not self.along:
                    loaded[j] = load_part(f, self.m, o.dtype, here, o.across, o.buffer, left, valid)
                    continue
                # One element for the whole row lies in the buffer already.
                v = f.var(vector(MEMORY[o.dtype], lanes), 0)
                with f.if_else(o.step.eq(0) & f.value(j != KEPT, "i1")) as (same, other):
                    with same:
                        v.set(f.load(v.type, o.buffer, 64))
                    with other:
                        v.set(load_part(f, self.m, o.dtype, here, o.across, o.buffer, left, valid))
                loaded[j] = v.get()
            body(loaded, left, i, whole, valid)

    def uniform(self, expressions):
        """Values of the nodes that are the same along a row, computed once, in all lanes."""
        f = self.f
        nodes = topological(expressions)
        fixed = set()
        for e in nodes:
            if e.op == "const" or e.op in ("row", "scalar"):
                fixed.add(e.uid)
            elif e.op not in ("input", "kept") and all(a.uid in fixed for a in e.args):
                fixed.add(e.uid)
        wanted = {
            a.uid: a for e in nodes if e.uid not in fixed for a in e.args
            if a.uid in fixed and a.op != "const"
        }
        wanted.update({e.uid: e for e in expressions if e.uid in fixed and e.op != "const"})
        lanes = 1 if self.along else self.lanes
        lowering = Lowering(f, lanes, self.types, lambda e: self.fixed_leaf(e, lanes))
        values = lowering.emit(list(wanted.values()))
        if self.along:
            values = [f.splat(v, self.lanes) for v in values]
        return dict(zip(wanted, values, strict=True))

    def fixed_leaf(self, e, lanes):
        if e.op == "row":
            return self.rows[e.attr]
        return scalar_value(self.f, self.scalars[e.attr], e, self.types, lanes)

    def evaluate(self, expressions, fixed, loaded):
        def leaf(e):
            if e.op == "kept":
                return loaded[KEPT]
            dtype = self.in_dtypes[e.attr]
            return from_memory(self.f, loaded[e.attr], dtype, e.kind, self.types)

        lowering = Lowering(self.f, self.lanes, self.types, leaf)
        lowering.values.update(fixed)
        return lowering.emit(expressions)

    def used_inputs(self, expressions):
        leaves = [e for e in topological(expressions) if e.op in ("input", "kept")]
        return sorted({KEPT if e.op == "kept" else e.attr for e in leaves})

    def reduce(self, kind, expression, keep):
        f = self.f
        reducer = reducers.make(kind, self.types.f, True, self.types)
        state = [f.var(v.type, v) for v in reducer.initial(f, self.lanes, None)]
        fixed = self.uniform([expression])

        def body(loaded, left, i, whole, valid):
            v = self.evaluate([expression], fixed, loaded)[0]
            if keep:
                self.put(self.results[0], v, left, i, whole)
            v = float_to_float(v, reducer.element)
            new = reducer.update(f, tuple(s.get() for s in state), v, None, valid)
            for variable, x in zip(state, new, strict=True):
                variable.set(x)

        self.loop(self.used_inputs([expression]), body)
        values, lanes = tuple(s.get() for s in state), self.lanes
        while self.along and lanes > 2:
            half = lanes // 2
            low = tuple(f.shuffle(v, v, range(half)) for v in values)
            high = tuple(f.shuffle(v, v, range(half, lanes)) for v in values)
            values, lanes = reducer.merge(f, low, high), half
        if self.along:
            pair = [tuple(f.extract(v, k) for v in values) for k in (0, 1)]
            values = reducer.merge(f, *pair)
        count = self.n.cast("sitofp", "double")
        if not self.along:
            count = f.splat(count, self.lanes)
        return float_to_float(reducer.result(f, values, count, self.scalars)[0], self.types.f)

    def put(self, o, stored, left, i, whole):
        """Store a vector of elements at place i of the row."""
        f = self.f
        here = o.base + i * o.step
        with f.if_else(o.contiguous & whole) as (direct, other):
            with direct:
                f.store(stored, here, 1)
            with other:
                f.store(stored, o.buffer, 64)
                f.call("void", element_copier(self.m, "scatter", o.size), here, o.across, o.buffer,
                       left)

    def write_outputs(self):
        if not self.outputs:
            return
        f = self.f
        fixed = self.uniform(self.outputs)

        def body(loaded, left, i, whole, valid):
            values = self.evaluate(self.outputs, fixed, loaded)
            for o, e, v in zip(self.results, self.outputs, values, strict=False):
                self.put(o, to_memory(f, v, e.kind, o.dtype, self.types), left, i, whole)

        self.loop(self.used_inputs(self.outputs), body)

    def write_row_outputs(self):
        f = self.f
        lanes = 1 if self.along else self.lanes
        lowering = Lowering(f, lanes, self.types, lambda e: self.fixed_leaf(e, lanes))
        values = lowering.emit(list(self.row_outputs))
        for o, e, v in zip(self.results[len(self.outputs) :], self.row_outputs, values, strict=True):
            stored = to_memory(f, v, e.kind, o.dtype, self.types)
            if self.along:
                f.store(stored, o.base, 1)
            else:
                f.store(stored, o.buffer, 64)
                f.call("void", element_copier(self.m, "scatter", o.size), o.base, o.across, o.buffer,
                       self.width)
