"""Matrix products of bytes by the CPU's sums of four products (VNNI), exact modulo 2**32.

VPDPBUSD adds four products of an unsigned with a signed byte to an int32. So both operands are copied into groups of
four along k, zeros after the last one, and a sign is moved where the operands don't have those of the instruction:

    int8 by int8       A is taken as a + 128:  C = (A + 128) B - 128 1^T B     a number for each column
    uint8 by uint8     B is taken as b - 128:  C = A (B - 128) + 128 A 1       a number for each row
    uint8 by int8      as they are

What is to be put right is a product with a constant of its own, added where the driver adds biases. The generated
``int32 rl_gemm_added(int64 *job)`` has the contract of ``gemm_half``; results are int32, or cut to the operands' type.
It calls ``rl_inner``, the ``gemm_added`` of groups, which ``gemm.module_text`` calls "quads".
"""

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates.gemm_driver import SIZE, TASK, Job, copy_words
from rushlight.compiler.templates.gemm_half import HalfDriver

# A copy of a matrix (k, minor) into groups along k, each byte's sign bit turned where ``flip`` is 0x80.
QUAD = "to from k minor k_stride minor_stride flip per_tile".split()
QUAD_INDEX = {name: i for i, name in enumerate(QUAD)}
FLIP = 0x80


class ByteDriver(HalfDriver):
    """Writes the module for A of ``kind`` and B of ``other`` ("int8" or "uint8"); ``exact`` results are int32."""

    def __init__(self, kind: str, other: str, exact: bool, lanes: int, triple: str):
        super().__init__(kind, lanes, triple, False, exact)
        # Which operand's signs are moved.
        self.flips = {("int8", "int8"): "a", ("uint8", "uint8"): "b", ("uint8", "int8"): ""}[kind, other]

    def write(self):
        """The copies and ``rl_gemm``."""
        if not self.exact:
            self._task("widen", self._widen)
            self._task("round", self._round)
        self._quad_task()
        self.module.globals.append('@eighties = internal constant [64 x i8] c"' + "\\80" * 64 + '", align 64')
        self._entry()
        return self.module

    def _quad_task(self):
        """Tile t: some rows of groups."""
        f, lanes = self.module.function("quad", "void", TASK, "internal", "nounwind"), self.lanes

        def field(key, type_="i64"):
            return f.load(type_, f.args[0] + 8 * QUAD_INDEX[key])
        to, source, k, minor = field("to", "ptr"), field("from", "ptr"), field("k"), field("minor")
        k_stride, minor_stride, per_tile = field("k_stride"), field("minor_stride"), field("per_tile")
        flip, depth = field("flip").cast("trunc", "i8"), (k + 3).udiv(4)
        along = k_stride.eq(1)
        first = f.args[1] * per_tile
        last = f.minimum(f.args[2] * per_tile, f.select(along, minor, depth))
        with f.if_(along):
            # Rows of k's as they are.
            turned = f.splat(flip, 4 * lanes)
            whole = k & (-4 * lanes)
            with f.range(first, last) as r:
                row, at = to + r * depth * 4, source + r * minor_stride
                with f.range(0, whole, step=4 * lanes) as p:
                    f.store(f.load(turned.type, at + p, align=1) ^ turned, row + p, align=1)
                with f.range(whole, k) as p:
                    f.store(f.load("i8", at + p) ^ flip, row + p)
                with f.range(k, depth * 4) as p:
                    f.store(f.value(0, "i8"), row + p)
            f.ret()
        whole = f.select(minor_stride.eq(1), minor & -lanes, f.value(0))
        with f.range(first, last) as r:
            row, at = to + r * minor * 4, source + r * 4 * k_stride
            there = [r * 4 + q < k for q in range(4)]
            rows = [f.select(is_there, at + k_stride * q, at) for q, is_there in enumerate(there)]
            kept = [f.select(is_there, f.value(-1, "i8"), f.value(0, "i8")) for is_there in there]

            def copy(i, step, count, row=row, rows=rows, kept=kept):
                total, type_ = None, vector("i8", count)
                for q in range(4):
                    x = f.load(type_, rows[q] + i * step, align=1)
                    turned, mask = (flip, kept[q]) if count == 1 else (f.splat(v, count) for v in (flip, kept[q]))
                    x = ((x ^ turned) & mask).cast("zext", "i32")
                    total = x if q == 0 else total | (x << (8 * q))
                f.store(total, row + i * 4, align=1)
            with f.range(0, whole, step=lanes) as i:
                copy(i, 1, lanes)
            with f.range(whole, minor) as i:
                copy(i, minor_stride, 1)
        f.ret()

    def _quad_operand(self, f, own, name, source, strides, k, minor, memory):
        """Point ``own`` at A or B in groups, copied to ``memory`` unless it is so already."""
        k_stride, minor_stride = strides
        k_name, minor_name = ("a_col", "a_row") if name == "a" else ("b_row", "b_col")
        ready = k_stride.eq(1) & (k & 3).eq(0) & f.value(self.flips != name, "i1")
        with f.if_else(ready) as (here, copied):
            with here:
                f.store(source, own.at(name))
                own.set(**{k_name: 4, minor_name: minor_stride})
            with copied:
                depth, along = (k + 3).udiv(4), k_stride.eq(1)
                values = {"to": memory, "from": source, "k": k, "minor": minor, "k_stride": k_stride,
                          "minor_stride": minor_stride, "flip": FLIP if self.flips == name else 0}
                self._run(f, "quad", QUAD_INDEX, values, f.select(along, minor, depth),
                          f.select(along, depth, minor), "per_tile")
                f.store(memory, own.at(name))
                own.set(**{k_name: f.select(along, f.value(4), minor * 4),
                           minor_name: f.select(along, depth * 4, f.value(4))})

    def _one(self):
        """The products of one index of the outer batch dimension, one after another."""
        f = self.module.function("one", "i32", [("ptr", "job")], "internal", "nounwind")
        job, own, more = Job(f, f.args[0]), Job(f, f.buffer(8 * SIZE)), Job(f, f.buffer(8 * SIZE))
        m, n, k = job.m, job.n, job.k
        null, depth = f.null, (k + 3).udiv(4)
        a_size, b_size, narrow = m * depth * 4, n * depth * 4, 0 if self.exact else 1
        block = f.call("ptr", "rl_scratch", a_size + b_size + (n * 2 + m + m * n * narrow) * 4 + 64)
        with f.if_(block.eq(null)):
            f.ret(f.value(1, "i32"))
        packed_a = f.load("ptr", block)
        packed_b = packed_a + a_size
        bias = packed_b + b_size
        put_right = bias + n * 4
        result = put_right + (n + m) * 4
        given, failed = job.bias.ne(null), f.var("i32", 0)
        if not self.exact:
            with f.if_(given):
                self._convert(f, "widen", wide=bias, half=job.bias, rows=f.value(1), columns=n, blocks=f.value(1),
                              row_stride=f.value(0), column_stride=f.value(1), block_stride=f.value(0))
        with f.range(job.batch) as t:
            for name, at, size, pair in (("a", packed_a, m, ("a_col", "a_row")),
                                         ("b", packed_b, n, ("b_row", "b_col"))):
                step = getattr(job, f"{name}_batch")
                with f.if_(t.eq(0) | step.ne(0)):
                    self._quad_operand(f, own, name, getattr(job, name) + t * step,
                                       [getattr(job, key) for key in pair], k, size, at)
            own.set(outer=1, a_outer=0, b_outer=0, c_outer=0, d_outer=0, batch=1, a_batch=0, b_batch=0, c_batch=0,
                    d_batch=0, m=m, n=n, k=depth, alpha=job.alpha, row_bias=0, finish=0, context=0, factor=1)
            own.set(bias=f.select(given, job.bias if self.exact else bias, null))
            if self.flips:
                copy_words(f, own, more)
                more.set(d=null, c=put_right, alpha=-job.alpha, c_row=n * 4)
                constant = f.symbol("eighties")
                if self.flips == "a":
                    more.set(a=constant, m=1, a_row=0, a_col=0)
                else:
                    more.set(b=constant, bias=null, n=1, b_row=0, b_col=4, c_row=4)
                failed.set(failed.get() | f.call("i32", "rl_inner", more.pointer))
                f.store(put_right, own.at("bias" if self.flips == "a" else "row_bias"))
            c, d = job.c + t * job.c_batch, f.select(job.d.ne(0), job.d + t * job.d_batch, null)
            if self.exact:
                own.set(c=c, d=d, c_row=job.c_row, d_row=job.d_row, factor=job.factor)
            else:
                shape = {"wide": result, "rows": m, "columns": n, "blocks": f.value(1), "column_stride": f.value(1),
                         "block_stride": f.value(0)}
                with f.if_(d.ne(null)):
                    self._convert(f, "widen", half=d, row_stride=job.d_row, factor=job.factor, **shape)
                own.set(c=result, d=f.select(d.ne(null), result, null), c_row=n * 4, d_row=n * 4)
            failed.set(failed.get() | f.call("i32", "rl_inner", own.pointer))
            if not self.exact:
                with f.if_(failed.get().eq(0)):
                    self._convert(f, "round", half=c, row_stride=job.c_row, **shape)
        f.call("void", "rl_free", block)
        f.ret(failed.get())
