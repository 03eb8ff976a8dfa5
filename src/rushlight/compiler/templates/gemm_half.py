"""Matrix products of narrow elements by those of wide ones: 16-bit floats and small integers.

The generated ``int32 rl_gemm_added(int64 *job)`` has the contract of ``gemm_driver``, but for row_bias and
finish, for bfloat16 or float16 elements (bias included), summed in float32 and rounded once, or for 8- and
16-bit integers, summed in int32 and cut, which is exact modulo their range. It calls a product imported as
``rl_inner``:

* the one of float32 or int32, for operands widened here. Widening keeps the direction in which an operand is
  contiguous, so the float32 product sees the same kind of layout;
* where the CPU multiplies pairs of bfloat16 (AVX512-BF16, which takes subnormal numbers for zero),
  the one of pairs along k. Operands contiguous along k with even k are such pairs as they are.

Rounding is to nearest, ties to even; NaN stays NaN. *Exact* results of pairs are the float32 sums themselves, as are
bias and what is added.
"""

from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.templates.gemm_driver import SIZE, TASK, Job, one, write_batches, write_plain

# A conversion of ``count`` blocks of rows x columns: strides in bytes, the wide side contiguous.
CONVERT = (
    "wide half rows columns row_stride column_stride block_stride blocks rows_per_tile factor"
).split()
CONVERT_INDEX = {name: i for i, name in enumerate(CONVERT)}


# A copy of ``blocks`` matrices into pairs: (k, minor) to (k / 2, minor, 2).
PAIR = [
    "to",
    "from",
    "k",
    "minor",
    "k_stride",
    "minor_stride",
    "block_stride",
    "blocks",
    "per_tile",
]
PAIR_INDEX = {name: i for i, name in enumerate(PAIR)}


# Integers: LLVM's type and how it widens.
_INTEGERS = {"int16": ("i16", "sext"), "int8": ("i8", "sext"), "uint8": ("i8", "zext")}


class HalfDriver:
    """Writes the module for ``kind`` (a dtype's name) with vectors of ``lanes`` wide elements.

    ``pairs`` says that ``rl_inner`` takes pairs of bfloat16, ``exact`` that results aren't rounded.
    """

    def __init__(self, kind: str, lanes: int, triple: str, pairs: bool, exact: bool = False):
        self.kind, self.lanes, self.module, self.pairs = kind, lanes, Module(triple), pairs
        self.exact = exact
        self.wide = "i32" if kind in _INTEGERS else "float"
        self.item = 1 if kind.endswith("int8") else 2

    def write(self) -> Module:
        """The conversions and ``rl_gemm``."""
        if not self.exact:
            self._task("widen", self._widen)
            self._task("round", self._round)
        if self.pairs:
            self._pair_task()
        self._entry()
        return self.module

    def _load_wide(self, f, at, lanes):
        """``lanes`` elements at an address, widened."""
        if self.kind in _INTEGERS:
            element, widen = _INTEGERS[self.kind]
            return f.load(vector(element, lanes), at, align=1).cast(widen, "i32")
        if self.kind == "float16":
            half = "half" if lanes == 1 else f"<{lanes} x half>"
            return f.load(half, at, align=1).cast("fpext", "float")
        bits = "i16" if lanes == 1 else f"<{lanes} x i16>"
        return (f.load(bits, at, align=1).cast("zext", "i32") << 16).bits()

    def _store_half(self, f, value, at):
        if self.kind in _INTEGERS:
            f.store(value.cast("trunc", _INTEGERS[self.kind][0]), at, align=1)
            return
        if self.kind == "float16":
            f.store(value.cast("fptrunc", "half"), at, align=1)
            return
        if self.pairs and value.type == "<16 x float>":
            # Like the products' instruction it takes subnormal numbers for zero.
            f.store(f.call("<16 x bfloat>", "llvm.x86.avx512bf16.cvtneps2bf16.512", value), at, align=1)
            return
        bits = value.bits()
        nearest = (bits + (bits.lshr(16) & 1) + 0x7FFF).lshr(16)
        quiet = bits.lshr(16) | 0x40
        f.store(f.select(value.isnan(), quiet, nearest).cast("trunc", "i16"), at, align=1)

    def _widen(self, f, wide, half, lanes, factor):
        x = self._load_wide(f, half, lanes)
        f.store(x * (factor if lanes == 1 else f.splat(factor, lanes)), wide, align=1)

    def _round(self, f, wide, half, lanes, factor):
        self._store_half(f, f.load(vector(self.wide, lanes), wide, align=1), half)

    def _task(self, name, one):
        """Tile t: some rows; row r of the whole is row r % rows of block r // rows."""
        f = self.module.function(name, "void", TASK, "internal", "nounwind")

        def field(key, type_="i64"):
            return f.load(type_, f.args[0] + 8 * CONVERT_INDEX[key])

        wide, half = field("wide", "ptr"), field("half", "ptr")
        rows, columns, step = field("rows"), field("columns"), field("column_stride")
        row_stride, block_stride = field("row_stride"), field("block_stride")
        per_tile = field("rows_per_tile")
        last = f.minimum(f.args[2] * per_tile, rows * field("blocks"))
        factor = field("factor", "i64").cast("trunc", "i32") if self.wide == "i32" else field(
            "factor", "double").cast("fptrunc", "float")
        whole = f.select(step.eq(self.item), columns & (-self.lanes), f.value(0))
        with f.range(f.args[1] * per_tile, last) as r:
            to = wide + r * columns * 4
            at = half + (r.udiv(rows) * block_stride + r.urem(rows) * row_stride)
            with f.range(0, whole, step=self.lanes) as i:
                one(f, to + i * 4, at + i * self.item, self.lanes, factor)
            with f.range(whole, columns) as i:
                one(f, to + i * 4, at + i * step, 1, factor)
        f.ret()

    def _convert(self, f, task, **values):
        """Run a conversion, on the pool when it is worth it."""
        values.setdefault("factor", f.value(one(self.wide == "i32")))
        rows, columns = values["rows"] * values["blocks"], values["columns"]
        self._run(f, task, CONVERT_INDEX, values, rows, columns, "rows_per_tile")

    def _run(self, f, task, index, values, rows, columns, per_tile):
        buffer = f.buffer(8 * len(index))
        with f.if_(rows * columns > 0):
            values[per_tile] = f.value(16384).udiv(columns) + 1
            for key, value in values.items():
                f.store(f.value(value), buffer + 8 * index[key])
            tiles = (rows + values[per_tile] - 1).udiv(values[per_tile])
            with f.if_else(rows * columns < 65536) as (here, pool):
                with here:
                    f.call("void", task, buffer, f.value(0), tiles)
                with pool:
                    f.call("void", "rl_parallel_for", f.symbol(task), buffer, tiles)

    def _pair_task(self):
        """Tile t: some rows of pairs; row r is pair r % pairs of block r // pairs."""
        f = self.module.function("pair", "void", TASK, "internal", "nounwind")

        def field(key, type_="i64"):
            return f.load(type_, f.args[0] + 8 * PAIR_INDEX[key])

        to, source, k, minor = field("to", "ptr"), field("from", "ptr"), field("k"), field("minor")
        k_stride, minor_stride = field("k_stride"), field("minor_stride")
        block_stride, per_tile, pairs = field("block_stride"), field("per_tile"), (k + 1).udiv(2)
        last = f.minimum(f.args[2] * per_tile, pairs * field("blocks"))
        whole = f.select(minor_stride.eq(2), minor & (-self.lanes), f.value(0))

        def copy(row, at, two, lanes):
            bits = "i16" if lanes == 1 else f"<{lanes} x i16>"
            low = f.load(bits, at, align=1).cast("zext", "i32")
            high = f.var(low.type, Value(f, "0" if lanes == 1 else "zeroinitializer", low.type))
            with f.if_(two):
                high.set(f.load(bits, at + k_stride, align=1).cast("zext", "i32"))
            f.store(low | (high.get() << 16), row, align=1)

        with f.range(f.args[1] * per_tile, last) as r:
            p = r.urem(pairs) * 2
            two = (p + 1) < k
            row = to + r * minor * 4
            at = source + (r.udiv(pairs) * block_stride + p * k_stride)
            with f.range(0, whole, step=self.lanes) as i:
                copy(row + i * 4, at + i * 2, two, self.lanes)
            with f.range(whole, minor) as i:
                copy(row + i * 4, at + i * minor_stride, two, 1)
        f.ret()

    def _pair_operand(self, f, job, own, name, minor, wide):
        """Point ``own`` at A or B as pairs along k, copied into ``wide`` unless they are such."""
        k_name, minor_name = ("a_col", "a_row") if name == "a" else ("b_row", "b_col")
        source, batch, k = getattr(job, name), getattr(job, f"{name}_batch"), job.k
        k_stride, minor_stride = getattr(job, k_name), getattr(job, minor_name)
        blocks = f.select(batch.eq(0), f.value(1), job.batch)
        pairs, end = (k + 1).udiv(2), f.var("ptr", wide)
        with f.if_else(k_stride.eq(2) & (k & 1).eq(0)) as (ready, other):
            with ready:
                f.store(source, own.at(name))
                own.set(**{f"{name}_batch": batch, k_name: 4, minor_name: minor_stride})
            with other:
                values = {
                    "to": wide, "from": source, "k": k, "minor": minor, "k_stride": k_stride,
                    "minor_stride": minor_stride, "block_stride": batch, "blocks": blocks,
                }  # fmt: skip
                self._run(f, "pair", PAIR_INDEX, values, pairs * blocks, minor, "per_tile")
                f.store(wide, own.at(name))
                size = pairs * minor * 4
                step = f.select(batch.eq(0), f.value(0), size)
                own.set(**{f"{name}_batch": step, k_name: minor * 4, minor_name: 4})
                end.set(wide + size * blocks)
        return end.get()

    def _operand(self, f, job, own, name, rows, columns, wide):
        """Widen A or B into ``wide`` and point ``own`` at it; returns the end of what it fills."""
        batch = getattr(job, f"{name}_batch")
        row, column = getattr(job, f"{name}_row"), getattr(job, f"{name}_col")
        blocks = f.select(batch.eq(0), f.value(1), job.batch)
        # Along the rows of the matrix, or along its columns when those are contiguous.
        turned = row.eq(self.item) & column.ne(self.item)
        self._convert(
            f, "widen", wide=wide, half=getattr(job, name), blocks=blocks, block_stride=batch,
            rows=f.select(turned, columns, rows), columns=f.select(turned, rows, columns),
            row_stride=f.select(turned, column, row), column_stride=f.select(turned, row, column),
        )  # fmt: skip
        f.store(wide, own.at(name))
        size = rows * columns * 4
        own.set(
            **{
                f"{name}_batch": f.select(batch.eq(0), f.value(0), size),
                f"{name}_row": f.select(turned, f.value(4), columns * 4),
                f"{name}_col": f.select(turned, rows * 4, f.value(4)),
            }
        )
        return wide + size * blocks

    def _entry(self):
        self._one()
        write_plain(self.module, "rl", self.kind in _INTEGERS)
        write_batches(self.module, "rl")

    def _one(self):
        """The products of one index of the outer batch dimension."""
        f = self.module.function("one", "i32", [("ptr", "job")], "internal", "nounwind")
        job = Job(f, f.args[0])
        own = Job(f, f.buffer(8 * SIZE))
        m, n, k, batch = job.m, job.n, job.k, job.batch
        null = f.null
        a_blocks = f.select(job.a_batch.eq(0), f.value(1), batch)
        b_blocks = f.select(job.b_batch.eq(0), f.value(1), batch)
        depth = (k + 1).udiv(2) if self.pairs else k
        elements = (a_blocks * m + b_blocks * n) * depth
        if not self.exact:
            elements = elements + batch * m * n + n
        block = f.call("ptr", "rl_scratch", elements * 4)
        with f.if_(block.eq(null)):
            f.ret(f.value(1, "i32"))
        own.set(outer=1, a_outer=0, b_outer=0, c_outer=0)
        for name in ("batch", "m", "n", "k", "alpha"):
            own.set(**{name: f.load("i64", job.at(name))})
        at = f.load("ptr", block)
        if self.pairs:
            at = self._pair_operand(f, job, own, "a", m, at)
            at = self._pair_operand(f, job, own, "b", n, at)
            own.set(k=(k + 1).udiv(2))
        else:
            at = self._operand(f, job, own, "a", m, k, at)
            at = self._operand(f, job, own, "b", k, n, at)
        if self.exact:
            for name in ("c", "d", "bias", "c_batch", "c_row", "d_batch", "d_row", "factor"):
                own.set(**{name: getattr(job, name)})
            own.set(d_outer=0, row_bias=0, finish=0, context=0)
            failed = f.call("i32", "rl_inner", own.pointer)
            f.call("void", "rl_free", block)
            f.ret(failed)
            return
        result, size = at, m * n * 4
        own.set(c=result)
        own.set(c_batch=size, c_row=n * 4, beta=f.emit("i64", f"zext i1 {job.d.ne(0).name} to i64"))
        shape = {"wide": result, "half": job.c, "rows": m, "columns": n, "blocks": batch}
        strides = {
            "row_stride": job.c_row, "column_stride": f.value(self.item), "block_stride": job.c_batch,
        }  # fmt: skip
        with f.if_(job.d.ne(0)):
            added = {"half": job.d, "row_stride": job.d_row, "block_stride": job.d_batch, "factor": job.factor}
            self._convert(f, "widen", **(shape | strides | added))
        bias = result + size * batch
        own.set(bias=f.select(job.bias.ne(null), bias, null))
        with f.if_(job.bias.ne(null)):
            self._convert(
                f, "widen", wide=bias, half=job.bias, rows=f.value(1), columns=n,
                blocks=f.value(1), row_stride=f.value(0), column_stride=f.value(self.item),
                block_stride=f.value(0),
            )  # fmt: skip
        failed = f.call("i32", "rl_inner", own.pointer)
        with f.if_(failed.eq(0)):
            self._convert(f, "round", **shape, **strides)
        f.call("void", "rl_free", block)
        f.ret(failed)
