"""Matrix products of complex numbers by those of real ones.

An array of complex numbers is one of reals with twice the columns. For C = A B, with A (m, 2k) and C (m, 2n)
read so, every row p of B becomes two rows of reals, b[p] and i b[p]:

    C[i, :] = sum_p Re a[i, p] b[p, :] + Im a[i, p] (i b[p, :])

so C comes as it lies in memory from one real product with 2k terms: the four multiplications of the
definition, none saved at the cost of accuracy. Only B is rewritten, and A where its columns aren't adjacent.
The generated ``int32 rl_gemm_added(int64 *job)`` has the contract of ``gemm_driver``, with real alpha and
factor and without row_bias and finish, and calls the real product, imported as ``rl_inner``.
"""

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.templates.gemm_driver import SIZE, TASK, Job, write_batches, write_plain

# A copy of ``blocks`` matrices of rows x columns, each row followed by i times itself if ``doubled``.
EXPAND = "to from rows columns row_stride column_stride block_stride blocks per_tile doubled".split()
INDEX = {name: i for i, name in enumerate(EXPAND)}


class ComplexDriver:
    """Writes the module for parts of type ``element`` ("float" or "double")."""

    def __init__(self, element: str, vector_bytes: int, triple: str):
        self.element, self.module = element, Module(triple)
        self.item = {"float": 4, "double": 8}[element]
        self.lanes = vector_bytes // self.item

    def write(self) -> Module:
        """The copy and ``rl_gemm``."""
        self._expand_task()
        self._one()
        self._entry()
        return self.module

    def _expand_task(self):
        """Tile t: some rows; row r of the whole is row r % rows of block r // rows."""
        item, lanes = self.item, self.lanes
        f = self.module.function("expand", "void", TASK, "internal", "nounwind")

        def field(key, type_="i64"):
            return f.load(type_, f.args[0] + 8 * INDEX[key])

        to, source, rows, columns = field("to", "ptr"), field("from", "ptr"), field("rows"), field("columns")
        row_stride, column_stride = field("row_stride"), field("column_stride")
        block_stride, per_tile, doubled = field("block_stride"), field("per_tile"), field("doubled").ne(0)
        last = f.minimum(f.args[2] * per_tile, rows * field("blocks"))
        adjacent = column_stride.eq(2 * item)
        whole = f.select(adjacent, (columns * 2) & -lanes, f.value(0))
        wide = columns * (2 * item)
        step = f.select(doubled, wide * 2, wide)
        with f.range(f.args[1] * per_tile, last) as r:
            at = source + (r.udiv(rows) * block_stride + r.urem(rows) * row_stride)
            row = to + r * step
            with f.range(0, whole, step=lanes) as i:
                x = f.load(f"<{lanes} x {self.element}>", at + i * item, align=1)
                f.store(x, row + i * item, align=1)
                with f.if_(doubled):
                    swapped = f.shuffle(x, x, [j ^ 1 for j in range(lanes)])
                    minus = f.emit(x.type, f"fneg {x.type} {swapped.name}")
                    turned = f.shuffle(minus, swapped, [j + lanes * (j % 2) for j in range(lanes)])
                    f.store(turned, row + wide + i * item, align=1)
            with f.range(whole.lshr(1), columns) as i:
                here, there = at + i * column_stride, row + i * (2 * item)
                real, imaginary = f.load(self.element, here, align=1), f.load(self.element, here + item, align=1)
                f.store(real, there, align=1)
                f.store(imaginary, there + item, align=1)
                with f.if_(doubled):
                    f.store(-imaginary, there + wide, align=1)
                    f.store(real, there + wide + item, align=1)
        f.ret()

    def _expand(self, f, **values):
        """Run the copy, on the pool when it is worth it."""
        buffer = f.buffer(8 * len(EXPAND))
        rows, columns = values["rows"] * values["blocks"], values["columns"]
        with f.if_(rows * columns > 0):
            per_tile = f.value(16384).udiv(columns) + 1
            for key, value in (values | {"per_tile": per_tile}).items():
                f.store(f.value(value), buffer + 8 * INDEX[key])
            tiles = (rows + per_tile - 1).udiv(per_tile)
            with f.if_else(rows * columns < 32768) as (here, pool):
                with here:
                    f.call("void", "expand", buffer, f.value(0), tiles)
                with pool:
                    f.call("void", "rl_parallel_for", f.symbol("expand"), buffer, tiles)

    def _one(self):
        """The products of one index of the outer batch dimension."""
        item = self.item
        f = self.module.function("one", "i32", [("ptr", "job")], "internal", "nounwind")
        job, own = Job(f, f.args[0]), Job(f, f.buffer(8 * SIZE))
        m, n, k, batch = job.m, job.n, job.k, job.batch
        a_blocks = f.select(job.a_batch.eq(0), f.value(1), batch)
        b_blocks = f.select(job.b_batch.eq(0), f.value(1), batch)
        copied = job.a_col.ne(2 * item)
        a_size, b_size = m * k * (2 * item), k * n * (4 * item)
        a_bytes = f.select(copied, a_size * a_blocks, f.value(0))
        block = f.call("ptr", "rl_scratch", b_size * b_blocks + a_bytes + 64)
        with f.if_(block.eq(0)):
            f.ret(f.value(1, "i32"))
        at = f.load("ptr", block)
        self._expand(
            f, to=at, **{"from": job.b}, rows=k, columns=n, row_stride=job.b_row, column_stride=job.b_col,
            block_stride=job.b_batch, blocks=b_blocks, doubled=1,
        )  # fmt: skip
        own.set(b=at)
        step = f.select(job.b_batch.eq(0), f.value(0), b_size)
        own.set(b_batch=step, b_row=n * (2 * item), b_col=item)
        own.set(a=job.a)
        own.set(a_batch=job.a_batch, a_row=job.a_row, a_col=item)
        with f.if_(copied):
            to = at + b_size * b_blocks
            self._expand(
                f, to=to, **{"from": job.a}, rows=m, columns=k, row_stride=job.a_row, column_stride=job.a_col,
                block_stride=job.a_batch, blocks=a_blocks, doubled=0,
            )  # fmt: skip
            own.set(a=to)
            step = f.select(job.a_batch.eq(0), f.value(0), a_size)
            own.set(a_batch=step, a_row=k * (2 * item))
        own.set(c=job.c)
        own.set(bias=job.bias)
        own.set(d=job.d)
        own.set(outer=1, a_outer=0, b_outer=0, c_outer=0, batch=batch, m=m, n=n * 2, k=k * 2, c_batch=job.c_batch,
                c_row=job.c_row, alpha=job.alpha, factor=job.factor, d_outer=0, d_batch=job.d_batch, d_row=job.d_row,
                row_bias=0, finish=0, context=0)
        failed = f.call("i32", "rl_inner", own.pointer)
        f.call("void", "rl_free", block)
        f.ret(failed)

    def _entry(self):
        write_plain(self.module, "rl", False)
        write_batches(self.module, "rl")
