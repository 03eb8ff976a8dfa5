"""Matrix products of 16-bit floats: widen to float32, multiply, round once.

The generated ``int32 rl_gemm(int64 *job)`` has the contract of ``gemm_driver`` for bfloat16 or
float16 elements (bias included) and calls the float32 product, imported as ``rl_gemm_f32``.
Widening keeps the direction in which an operand is contiguous, so the float32 product sees the same
kind of layout. Rounding is to nearest, ties to even; NaN stays NaN.
"""

from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.templates.gemm_driver import SIZE, TASK, _Job

# A conversion of ``count`` blocks of rows x columns: strides in bytes, the float32 side contiguous.
CONVERT = (
    "wide half rows columns row_stride column_stride block_stride blocks rows_per_tile"
).split()
CONVERT_INDEX = {name: i for i, name in enumerate(CONVERT)}


class HalfDriver:
    """Writes the module for ``kind`` "bfloat16" or "float16" with vectors of ``lanes`` float32."""

    def __init__(self, kind: str, lanes: int, triple: str):
        self.kind, self.lanes, self.module = kind, lanes, Module(triple)

    def write(self) -> Module:
        """The conversions and ``rl_gemm``."""
        self._task("widen", self._widen)
        self._task("round", self._round)
        self._entry()
        return self.module

    def _load_wide(self, f, at, lanes):
        """``lanes`` elements at an address, as float32."""
        if self.kind == "float16":
            half = "half" if lanes == 1 else f"<{lanes} x half>"
            return f.load(half, at, align=1).cast("fpext", "float")
        bits = "i16" if lanes == 1 else f"<{lanes} x i16>"
        return (f.load(bits, at, align=1).cast("zext", "i32") << 16).bits()

    def _store_half(self, f, value, at):
        if self.kind == "float16":
            f.store(value.cast("fptrunc", "half"), at, align=1)
            return
        bits = value.bits()
        nearest = (bits + (bits.lshr(16) & 1) + 0x7FFF).lshr(16)
        quiet = bits.lshr(16) | 0x40
        f.store(f.select(value.isnan(), quiet, nearest).cast("trunc", "i16"), at, align=1)

    def _widen(self, f, wide, half, lanes):
        vector = self._load_wide(f, half, lanes)
        f.store(vector, wide, align=1)

    def _round(self, f, wide, half, lanes):
        vector = f.load("float" if lanes == 1 else f"<{lanes} x float>", wide, align=1)
        self._store_half(f, vector, half)

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
        whole = f.select(step.eq(2), columns & (-self.lanes), f.value(0))
        with f.range(f.args[1] * per_tile, last) as r:
            to = wide + r * columns * 4
            at = half + (r.udiv(rows) * block_stride + r.urem(rows) * row_stride)
            with f.range(0, whole, step=self.lanes) as i:
                one(f, to + i * 4, at + i * 2, self.lanes)
            with f.range(whole, columns) as i:
                one(f, to + i * 4, at + i * step, 1)
        f.ret()

    def _convert(self, f, task, **values):
        """Run a conversion, on the pool when it is worth it."""
        buffer = f.buffer(8 * len(CONVERT))
        elements = values["rows"] * values["columns"] * values["blocks"]
        with f.if_(elements > 0):
            per_tile = f.value(16384).udiv(values["columns"]) + 1
            values["rows_per_tile"] = per_tile
            for key, value in values.items():
                f.store(f.value(value), buffer + 8 * CONVERT_INDEX[key])
            tiles = (values["rows"] * values["blocks"] + per_tile - 1).udiv(per_tile)
            with f.if_else(elements < 65536) as (here, pool):
                with here:
                    f.call("void", task, buffer, f.value(0), tiles)
                with pool:
                    f.call("void", "rl_parallel_for", Value(f, f"@{task}", "ptr"), buffer, tiles)

    def _operand(self, f, job, own, name, rows, columns, wide):
        """Widen A or B into ``wide`` and point ``own`` at it; returns the end of what it fills."""
        batch = getattr(job, f"{name}_batch")
        row, column = getattr(job, f"{name}_row"), getattr(job, f"{name}_col")
        blocks = f.select(batch.eq(0), f.value(1), job.batch)
        # Along the rows of the matrix, or along its columns when those are contiguous.
        turned = row.eq(2) & column.ne(2)
        self._convert(
            f, "widen", wide=wide, half=getattr(job, name), blocks=blocks, block_stride=batch,
            rows=f.select(turned, columns, rows), columns=f.select(turned, rows, columns),
            row_stride=f.select(turned, column, row), column_stride=f.select(turned, row, column),
        )  # fmt: skip
        f.store(wide, own._at(name))
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
        f = self.module.function("rl_gemm", "i32", [("ptr", "job")], attributes="nounwind")
        job = _Job(f, f.args[0])
        with f.range(job.outer):
            failed = f.call("i32", "one", job.pointer)
            with f.if_(failed.ne(0)):
                f.ret(failed)
            for name in "abc":
                f.store(getattr(job, name) + getattr(job, f"{name}_outer"), job._at(name))
        f.ret(f.value(0, "i32"))

    def _one(self):
        """The products of one index of the outer batch dimension."""
        f = self.module.function("one", "i32", [("ptr", "job")], "internal", "nounwind")
        job = _Job(f, f.args[0])
        own = _Job(f, f.buffer(8 * SIZE))
        m, n, k, batch = job.m, job.n, job.k, job.batch
        null = Value(f, "null", "ptr")
        a_blocks = f.select(job.a_batch.eq(0), f.value(1), batch)
        b_blocks = f.select(job.b_batch.eq(0), f.value(1), batch)
        elements = a_blocks * m * k + b_blocks * k * n + batch * m * n + n
        block = f.call("ptr", "rl_scratch", elements * 4)
        with f.if_(block.eq(null)):
            f.ret(f.value(1, "i32"))
        own.set(outer=1, a_outer=0, b_outer=0, c_outer=0)
        for name in ("batch", "m", "n", "k", "alpha", "beta"):
            own.set(**{name: f.load("i64", job._at(name))})
        at = f.load("ptr", block)
        at = self._operand(f, job, own, "a", m, k, at)
        at = self._operand(f, job, own, "b", k, n, at)
        result, size = at, m * n * 4
        f.store(result, own._at("c"))
        own.set(c_batch=size, c_row=n * 4)
        shape = {"wide": result, "half": job.c, "rows": m, "columns": n, "blocks": batch}
        strides = {
            "row_stride": job.c_row, "column_stride": f.value(2), "block_stride": job.c_batch,
        }  # fmt: skip
        with f.if_(job.beta.ne(0)):
            self._convert(f, "widen", **shape, **strides)
        bias = result + size * batch
        f.store(f.select(job.bias.ne(null), bias, null), own._at("bias"))
        with f.if_(job.bias.ne(null)):
            self._convert(
                f, "widen", wide=bias, half=job.bias, rows=f.value(1), columns=n,
                blocks=f.value(1), row_stride=f.value(0), column_stride=f.value(2),
                block_stride=f.value(0),
            )  # fmt: skip
        failed = f.call("i32", "rl_gemm_f32", own.pointer)
        with f.if_(failed.eq(0)):
            self._convert(f, "round", **shape, **strides)
        f.call("void", "rl_free", block)
        f.ret(failed)
