"""The matrix product around its micro-kernels: packing, tiles of C, parallel tasks.

A product is described by an array of int64, ``FIELDS``; the generated ``int32 gemm_added(int64 *job)``
computes

    C[o, b] = alpha * A[o, b] @ B[o, b] (+ bias) (+ row_bias) (+ factor * D[o, b])

for o < outer and b < batch, and returns 0, or 1 when memory for packing is refused. Strides are in
bytes and arbitrary for A and B (0 broadcasts); C's and D's columns are adjacent. D is null, C itself, or
doesn't overlap C. ``alpha`` and ``factor`` hold the bits of doubles (of int64 for integers), ``bias`` and
``row_bias`` the addresses of n and m adjacent elements or 0, added to each row and to each column.
``finish``, unless it is 0, is the address of

    void finish(ptr context, ptr c, i64 c_row, i64 matrix, i64 row, i64 column, i64 rows, i64 columns)

called once for every piece of C when its sums are complete (c is the piece's first element, matrix =
o * batch + b): an activation, a residual, a conversion, while the piece is in the cache. The pieces are
disjoint, may come in any order and from several threads.

``gemm_fused`` is the same with C itself as D when ``beta`` isn't 0, without D when it is; ``gemm`` the same
without row_bias and finish, too: callers needn't set the fields.

The ways, by shape only (so an element's bits never depend on the number of threads):

* few rows and a large B whose rows are contiguous: B read once in long pieces (``gemm_lines``);
* few elements of C and many k's: the k's in parts (``gemm_split``), each part by one of the next;
* both operands contiguous along k and few rows: dot products, nothing packed;
* few rows, or all of B small: the tile kernels read A and B where they are, if B's rows are
  contiguous;
* some rows, or some hundred and a B of many megabytes: each tile packs the strips of B it needs (``gemm_strips``);
* otherwise B, and A if it can't well be read where it is, are packed once, panels in parallel, and C is cut
  into tiles of ``panels`` x ``strips`` kernels; a tile runs over k in blocks that keep a panel of A
  in the first-level cache and the strips of B in the second.
"""

import struct

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.templates import entries, gemm_ahead, gemm_heights, gemm_lines, gemm_strips
from rushlight.compiler.templates.gemm_micro import Shape, dot_kernel, long_dot_kernel, tile_kernel
from rushlight.compiler.templates.gemm_pack import GROUP, pack, pack_strips
from rushlight.compiler.templates.gemm_split import wanted, write_split
from rushlight.compiler.templates.layout import Layout, Words

# What the caller fills in, then what the driver keeps for its tasks.
FIELDS = (
    "outer batch m n k a a_outer a_batch a_row a_col b b_outer b_batch b_row b_col "
    "c c_outer c_batch c_row bias alpha beta row_bias finish context "
    "matrix d d_outer d_batch d_row factor height panels strips k_block k_blocks pack_a pack_b packed_a packed_b "
    "tile_panels tile_strips row_tiles width slab_begin slab_end serial parts part_k chunk partial "
    "task tiles block chained"
).split()
SIZE = 56  # int64 of a job, with room
_LAYOUT = Layout((), FIELDS, (), ("a", "b", "c", "d", "bias", "row_bias", "finish", "context", "packed_a", "packed_b",
                                  "partial", "task", "block"))
INDEX = _LAYOUT.index
# The most rows of A whose pages share a set of the first-level cache.
ALIASED_ROWS = 7
# Cost (about a multiply-add each) below which waking another thread costs more than it brings, and below which even one
# that is awake does.
PARALLEL_WORK, LIGHT_WORK = 500_000, 120_000
# What "serial" says of a job: no other threads, none that sleep, tasks are only noted (see ``gemm_group``).
HERE, LIGHT, NOTED = 1, 2, 3
ALONE = 2                   # what ``product`` returns for a job whose tasks can't be noted
TASK = (("ptr", "job"), ("i64", "begin"), ("i64", "end"))


BAND_PANELS = 16             # panels of a band of rows, about


class Tuning:
    """Sizes that depend on the CPU's caches and the element size."""

    def __init__(self, shape: Shape, l2: int):
        item = shape.item
        # A strip of B takes at most a sixteenth of the second-level cache, the strips of a tile half. A panel
        # of A may be larger than the first-level cache: it is read slowly and in order.
        self.k_block = max(128, min(512, l2 // 16 // (shape.nr * item) // 16 * 16))
        self.tile_strips = max(1, min(8, l2 // 2 // (self.k_block * shape.nr * item)))
        self.tile_panels = 4
        self.near_bytes = l2 // 2
        self.slab_bytes = 64 << 20
        self.parallel_work = PARALLEL_WORK
        # The least depth of all k's in a tile's kernels.
        self.tile_depth = 512
        # Up to so many rows dot products beat packing B; up to so many B is read where it is, and
        # with more rows if a strip spans at most so many bytes (pages of the translation buffer), or if there are not
        # many of both and lines don't share sets of the caches.
        self.dot_rows = 24
        # Up to so many rows tiles pack B for themselves.
        self.own_rows = 16 * shape.mr
        self.direct_rows = 4 * shape.mr
        self.direct_span = 512 << 10
        self.near_rows = 28 * shape.mr
        self.near_span = 2560 << 10


class Job(Words):
    """The words of a job of the driver, ``FIELDS``, in generated code."""

    def __init__(self, f, pointer):
        super().__init__(f, pointer, _LAYOUT)


def write_plain(module, prefix, integer):
    """Add ``{prefix}_gemm_fused`` and ``{prefix}_gemm``, which call ``{prefix}_gemm_added``."""
    f = module.function(f"{prefix}_gemm", "i32", [("ptr", "job")], attributes="nounwind")
    Job(f, f.args[0]).set(row_bias=0, finish=0, context=0)
    f.ret(f.call("i32", f"{prefix}_gemm_fused", f.args[0]))
    f = module.function(f"{prefix}_gemm_fused", "i32", [("ptr", "job")], attributes="nounwind")
    job = Job(f, f.args[0])
    job.set(d_outer=job.c_outer, d_batch=job.c_batch, d_row=job.c_row, factor=one(integer))
    job.set(d=f.select(job.beta.eq(0), f.null, job.c))
    f.ret(f.call("i32", f"{prefix}_gemm_added", job.pointer))


def write_batches(module, prefix):
    """Add ``{prefix}_gemm_added`` for a module whose ``one`` does the products of one index of the outer dimension.

    Where both operands differ from matrix to matrix and the products are small, each is a tile of its own, so that
    what ``one`` makes of its operands stays in a cache.
    """
    f = module.function("batch_task", "void", TASK, "internal", "nounwind")
    job, own = Job(f, f.args[0]), Job(f, f.buffer(8 * SIZE))
    with f.range(f.args[1], f.args[2]) as t:
        copy_job(f, job, own, t)
        own.set(outer=1, batch=1)
        with f.if_(f.call("i32", "one", own.pointer).ne(0)):
            job.set(serial=-1)
    f.ret()

    f = module.function(f"{prefix}_gemm_added", "i32", [("ptr", "job")], attributes="nounwind")
    job, zero = Job(f, f.args[0]), f.value(0, "i32")
    count, work = job.outer * job.batch, job.m * job.n * job.k
    apart = (job.batch > 1) & job.a_batch.ne(0) & job.b_batch.ne(0) & (work < 8 * PARALLEL_WORK)
    with f.if_(apart):
        job.set(serial=0)
        with f.if_else(work * count < PARALLEL_WORK) as (here, pool):
            with here:
                f.call("void", "batch_task", job.pointer, f.value(0), count)
            with pool:
                f.call("void", "rl_parallel_for", f.symbol("batch_task"), job.pointer, count)
        f.ret(f.select(job.serial.eq(-1), f.value(1, "i32"), zero))
    with f.range(job.outer):
        failed = f.call("i32", "one", job.pointer)
        with f.if_(failed.ne(0)):
            f.ret(failed)
        for name in "abc":
            f.store(getattr(job, name) + getattr(job, f"{name}_outer"), job.at(name))
        d = job.d
        job.set(d=f.select(d.eq(0), d, d + job.d_outer))
    f.ret(zero)


def copy_words(f, job, own):
    """Make ``own`` a copy of ``job``."""
    f.copy(own.pointer, job.pointer, 8 * SIZE)


def fill_words(f, args, words, target, nbytes, places):
    """Copy ``nbytes`` of words to ``target``, then put addresses of arrays into them.

    Behind the words are ``places`` pairs of an argument's number and the word that takes its data pointer.
    """
    f.copy(target, words, nbytes)
    pairs = words + nbytes
    with f.range(places) as i:
        which, place = (f.load("i64", pairs + (i * 16 + 8 * q)) for q in (0, 1))
        f.store(entries.data_of(f, args, which), target + place * 8)


def copy_job(f, job, own, t):
    """Make ``own`` the job of product ``t`` of the batch."""
    copy_words(f, job, own)
    own.set(matrix=t)
    o, b = t.udiv(job.batch), t.urem(job.batch)
    for name in "abc":
        f.store(getattr(job, name) + (getattr(job, f"{name}_outer") * o + getattr(job, f"{name}_batch") * b),
                own.at(name))
    d = job.d
    own.set(d=f.select(d.eq(0), d, d + (job.d_outer * o + job.d_batch * b)))


def one(integer):
    """The bits of a factor of 1."""
    return 1 if integer else struct.unpack("q", struct.pack("d", 1.0))[0]


class Driver:
    """Writes the module of one element type."""

    def __init__(self, shape: Shape, tuning: Tuning, triple: str, prefix: str):
        self.shape, self.tuning, self.prefix = shape, tuning, prefix
        self.module = Module(triple)

    def write(self) -> Module:
        """All functions: kernels, tasks and ``{prefix}_gemm``."""
        m, shape = self.module, self.shape
        gemm_heights.write_kernels(m, shape, 1)
        gemm_heights.write_table(self)
        for rows in range(1, shape.wide_rows + 1):
            tile_kernel(m, shape, rows, shape.wide, True, f"wide{rows}")
        for rows in range(1, shape.dot_rows + 1):
            dot_kernel(m, shape, rows, f"dot{rows}")
        long_dot_kernel(m, shape, "long_dot")
        self._table("wide", shape.wide_rows, "wide")
        self._table("dot", shape.dot_rows, "dot")
        pack(m, shape)
        pack_strips(m, shape)
        m.globals.append("@zero = internal constant i64 0")
        self._pack_task()
        self._tile_task()
        gemm_strips.write_task(self, Job, TASK)
        self._dot_task()
        self._product()
        write_split(self, Job, TASK, SIZE, copy_words)
        self._batch_task()
        self._entry()
        return m

    def _table(self, name, count, kernels):
        text = ", ".join(f"ptr @{kernels}{i}" for i in range(1, count + 1))
        self.module.globals.append(
            f"@{name}_table = internal constant [{count} x ptr] [{text}], align 64"
        )

    def _kernel(self, f, table, rows):
        if table in gemm_heights.KINDS:
            return gemm_heights.kernel(f, self.shape, table, rows)
        return f.load("ptr", f.symbol(f"{table}_table") + (rows - 1) * 8)

    def _number(self, f, bits):
        """alpha or beta as an element."""
        if self.shape.element[0] == "i":
            return bits.cast("trunc", "i32") if self.shape.item == 4 else bits
        number = bits.cast("bitcast", "double")
        return number if self.shape.item == 8 else number.cast("fptrunc", "float")

    def _alpha(self, f, job):
        return self._number(f, job.alpha)

    def _added(self, f, job, row, column, first=None):
        """(address, row stride, factor) of what is added to C's element: D, or C after the first block of k's."""
        d, step, beta = job.d, job.d_row, self._number(f, job.factor)
        at = f.select(d.ne(0), d + (row * step + column * self.shape.item), f.null)
        if first is None:
            return at, step, beta
        c = job.c + (row * job.c_row + column * self.shape.item)
        return (f.select(first, at, c), f.select(first, step, job.c_row),
                f.select(first, beta, f.value(1, self.shape.element)))

    def _rows_of_bias(self, f, job, row, wanted=None):
        """(address, step) of the biases of the rows from ``row`` on; of zero where there are none."""
        given = job.row_bias.ne(0)
        if wanted is not None:
            given = given & wanted
        step = f.select(given, f.value(self.shape.item), f.value(0))
        return f.select(given, job.row_bias + row * self.shape.item, f.symbol("zero")), step

    def _finish(self, f, job, row, column, rows, columns):
        """Call ``finish`` for a piece of C, if there is one."""
        with f.if_(job.finish.ne(0)):
            c = job.c + (row * job.c_row + column * self.shape.item)
            f.call("void", job.finish, job.context, c, job.c_row, job.matrix, row, column, rows, columns)

    def _parallel(self, f, task, job, count):
        """Run a task over ``count`` tiles: on the pool, or here when the job is a serial one.

        Where the tasks are only noted, this returns from the function.
        """
        with f.if_(job.serial.eq(NOTED)):
            job.set(task=f.symbol(task), tiles=count)
            f.ret(f.value(0, "i32"))
        light = job.serial.eq(LIGHT)
        with f.if_else(job.serial.ne(0) & ~light) as (here, pool):
            with here:
                f.call("void", task, job.pointer, f.value(0), count)
            with pool:
                count = f.select(light, f.value(0) - count, count)
                f.call("void", "rl_parallel_for", f.symbol(task), job.pointer, count)

    def _cost(self, m, n, k):
        """Time in multiply-adds: an element read or written counts as a few."""
        return m * n * k + (m * n + m * k + k * n) * 4

    def _pack_task(self):
        """Tile t: a group of strips of B, then of panels of A, for the k's of the slab."""
        f = self.module.function("pack_task", "void", TASK, "internal", "nounwind")
        job = Job(f, f.args[0])
        item, nr = self.shape.item, job.width
        begin, end = job.slab_begin, job.slab_end
        block, height, k = job.k_block, job.height, job.k
        b_groups = f.select(job.pack_b.ne(0), self._groups(f, job.strips), f.value(0))
        with f.range(f.args[1], f.args[2]) as t:
            with f.range(begin, end, step=block) as p:
                depth = f.minimum(block, f.minimum(end, k) - p)
                with f.if_else(t < b_groups) as (of_b, of_a):
                    with of_b:
                        strip = t * GROUP
                        first, last = strip * nr, f.minimum((strip + GROUP) * nr, job.n)
                        at = ((p - begin) * job.strips + strip * depth) * (nr * item)
                        f.call(
                            "void", "pack_strips", job.b + (first * job.b_col + p * job.b_row), job.b_col,
                            job.b_row, depth, last - first, nr, job.packed_b + at,
                        )  # fmt: skip
                    with of_a:
                        panel = (t - b_groups) * GROUP
                        first, last = panel * height, f.minimum((panel + GROUP) * height, job.m)
                        at = ((p - begin) * job.panels + panel * depth) * height * item
                        f.call(
                            "void", "pack_strips", job.a + (first * job.a_row + p * job.a_col), job.a_row,
                            job.a_col, depth, last - first, height, job.packed_a + at,
                        )  # fmt: skip
        f.ret()

    def _groups(self, f, count):
        return (count + (GROUP - 1)).udiv(GROUP)

    def _tile_task(self):
        """Tile t of C: a block of panels by a block of strips, over the k's of the slab."""
        f = self.module.function("tile_task", "void", TASK, "internal", "nounwind")
        job = Job(f, f.args[0])
        shape, item, nr = self.shape, self.shape.item, job.width
        begin, end = job.slab_begin, job.slab_end
        block, height, panels, strips = job.k_block, job.height, job.panels, job.strips
        m, n, k, row_tiles = job.m, job.n, job.k, job.row_tiles
        tile_panels, tile_strips = job.tile_panels, job.tile_strips
        pack_a, pack_b = job.pack_a.ne(0), job.pack_b.ne(0)
        a_row, a_col = job.a_row, job.a_col
        kernel_a_row = f.select(pack_a, f.value(item), a_row)
        kernel_a_col = f.select(pack_a, height * item, a_col)
        kernel_b_row = f.select(pack_b, nr * item, job.b_row)
        c_row, alpha, bias = job.c_row, self._alpha(f, job), job.bias
        has_bias = bias.ne(f.null)
        wide, few = f.var("ptr", f.null), nr > shape.nr
        # Where all of B stays in the second-level cache threads get rows of C: what later kernels give them, too.
        col_tiles = (strips + tile_strips - 1).udiv(tile_strips)
        by_rows = ~pack_b & (n * k * item <= self.tuning.near_bytes)
        # Otherwise bands of rows, so tall that reading B for each is little: kernels on rows find in their core's cache
        # what its thread has made.
        band = f.select(by_rows, f.value(1), (f.value(BAND_PANELS) + tile_panels - 1).udiv(tile_panels))
        bands = (row_tiles + band - 1).udiv(band)
        band = (row_tiles + bands - 1).udiv(bands)
        far = m * k * item > self.tuning.near_bytes // 2
        with f.range(f.args[1], f.args[2]) as t:
            above = t.udiv(band * col_tiles) * band
            rest, tall = t - above * col_tiles, f.minimum(band, row_tiles - above)
            first_panel = (above + rest.urem(tall)) * tile_panels
            last_panel = f.minimum(first_panel + tile_panels, panels)
            first_strip = rest.udiv(tall) * tile_strips
            last_strip = f.minimum(first_strip + tile_strips, strips)
            with f.range(begin, end, step=block) as p:
                depth = f.minimum(block, f.minimum(end, k) - p)
                start = p.eq(0)
                offset = p - begin
                with f.range(first_panel, last_panel) as panel:
                    row = panel * height
                    rows = f.minimum(height, m - row)
                    a = f.select(
                        pack_a,
                        job.packed_a + (offset * panels + panel * depth) * height * item,
                        job.a + (row * a_row + p * a_col),
                    )
                    c = job.c + row * c_row
                    rbias, rstep = self._rows_of_bias(f, job, row, start)
                    d, drs, beta = self._added(f, job, row, f.value(0), start)
                    kernels = {
                        name: self._kernel(f, name, rows) for name in ("full", "edge", "narrow")
                    }
                    with f.if_(few):
                        wide.set(self._kernel(f, "wide", rows))
                    more = far & (panel + 1 < panels)
                    ahead, next_rows = gemm_ahead.panel(f, more, pack_a, a, depth, height, rows, job, item)
                    with f.range(first_strip, last_strip) as strip:
                        column = strip * nr
                        left = n - column
                        b = f.select(
                            pack_b,
                            job.packed_b + (offset * strips + strip * depth) * (nr * item),
                            job.b + (column * item + p * job.b_row),
                        )
                        here = f.select(
                            start & has_bias, bias + column * item, f.null
                        )
                        part = f.select(left > shape.lanes, kernels["edge"], kernels["narrow"])
                        kernel = f.select(left >= shape.nr, kernels["full"], part)
                        kernel = f.select(
                            left > shape.nr, f.select(few, wide.get(), kernel), kernel
                        )
                        f.call(
                            "void", kernel, depth, a, kernel_a_row, kernel_a_col, b, kernel_b_row,
                            c + column * item, c_row, left,
                            f.select(d.eq(0), d, d + column * item), drs, here, rbias, rstep, alpha, beta,
                            ahead + (strip - first_strip) * next_rows,
                        )  # fmt: skip
            with f.if_(end >= k):
                row, column = first_panel * height, first_strip * nr
                self._finish(f, job, row, column, f.minimum(last_panel * height, m) - row,
                             f.minimum(last_strip * nr, n) - column)
        f.ret()

    def _dot_task(self):
        """Tile t: ``dots`` columns by a block of rows."""
        shape = self.shape
        f = self.module.function("dot_task", "void", TASK, "internal", "nounwind")
        job = Job(f, f.args[0])
        m, n, k, bias, row_tiles, height = job.m, job.n, job.k, job.bias, job.row_tiles, job.height
        a_row, c_row, alpha = job.a_row, job.c_row, self._alpha(f, job)
        has_bias = bias.ne(f.null)
        with f.range(f.args[1], f.args[2]) as t:
            column = t.udiv(row_tiles) * shape.dots
            first = t.urem(row_tiles) * height
            last = f.minimum(first + height, m)
            b = job.b + column * job.b_col
            here = f.select(has_bias, bias + column * shape.item, f.null)
            with f.range(first, last, step=shape.dot_rows) as row:
                rows = f.minimum(f.value(shape.dot_rows), last - row)
                rbias, rstep = self._rows_of_bias(f, job, row)
                d, drs, beta = self._added(f, job, row, column)
                kernel = f.select(n.eq(1) & rows.eq(1), f.symbol("long_dot"), self._kernel(f, "dot", rows))
                f.call(
                    "void", kernel, k, job.a + row * a_row, a_row, b,
                    job.b_col, job.c + (row * c_row + column * shape.item), c_row,
                    n - column, d, drs, here, rbias, rstep, alpha, beta,
                )  # fmt: skip
            self._finish(f, job, first, column, last - first, f.minimum(f.value(shape.dots), n - column))
        f.ret()

    def _product(self):
        """One matrix product: ``i32 product(ptr job)``."""
        tuning = self.tuning
        f = self.module.function("product", "i32", [("ptr", "job")], "internal", "nounwind")
        job = Job(f, f.args[0])
        empty = job.m.eq(0) | job.n.eq(0)
        with f.if_(empty):
            f.ret(f.value(0, "i32"))
        self._turn(f, job)
        m, n, k = job.m, job.n, job.k
        cost = self._cost(m, n, k)
        small = f.select(cost < tuning.parallel_work, f.value(LIGHT), f.value(0))
        noted = job.serial.eq(NOTED)
        alone = f.select(noted, f.value(NOTED), f.value(HERE))
        job.set(serial=f.select((cost < LIGHT_WORK) | job.serial.ne(0), alone, small))

        with f.if_(gemm_lines.wanted(self, f, job)):
            f.ret(f.call("i32", "lines", job.pointer))
        with f.if_(wanted(self, f, job)):
            f.ret(f.call("i32", "split", job.pointer))
        self._dots(f, job, m, n, k)
        self._tiles(f, job, m, n, k, noted)

    def _turn(self, f, job):
        """Of one column: the transposed product has one row, where adjacent operands pay off."""
        shape, item = self.shape, self.shape.item
        turnable = (
            job.n.eq(1)
            & (job.m > 1)
            & (job.c_row.eq(item) | job.m.eq(1))
            & job.bias.eq(0)
            & job.finish.eq(0)
            & (job.d.eq(0) | job.d_row.eq(item))
            & f.value(not shape.quads, "i1")        # whose operands aren't alike
        )
        with f.if_(turnable):
            a, a_row, a_col, m = job.a, job.a_row, job.a_col, job.m
            b, b_row = job.b, job.b_row
            job.set(a=b, b=a)
            job.set(bias=job.row_bias, row_bias=f.null)
            job.set(a_row=job.b_col, a_col=b_row, b_row=a_col, b_col=a_row, m=1, n=m)

    def _dots(self, f, job, m, n, k):
        """Where both operands are contiguous along k and rows are few: dot products, which end the function."""
        shape, tuning, item = self.shape, self.tuning, self.shape.item
        along = job.a_col.eq(item) & job.b_row.eq(item)
        shallow = (m <= 8) & (k >= shape.lanes)
        deep = (m <= tuning.dot_rows) & (k >= 8 * shape.lanes)
        deeper = (m <= 2 * tuning.dot_rows) & (k >= 32 * shape.lanes)
        slim = (n <= shape.dots) & (k >= 4 * shape.lanes)
        with f.if_(along & (shallow | deep | deeper | slim)):
            height = f.minimum(m, f.value(16 * shape.dot_rows))
            row_tiles = (m + height - 1).udiv(height)
            job.set(height=height, row_tiles=row_tiles)
            columns = (n + (shape.dots - 1)).udiv(shape.dots)
            self._parallel(f, "dot_task", job, row_tiles * columns)
            f.ret(f.value(0, "i32"))

    def _packing(self, f, job, m, n, k, few_rows, nr, strips):
        """Whether A is packed, whether B is, whether tiles pack strips of B, of a large B; whether B's rows are
        adjacent elements."""
        shape, tuning, item = self.shape, self.tuning, self.shape.item
        adjacent = job.b_col.eq(item) | n.eq(1)
        apart = (job.a_row & 4095).ne(0) & (job.a_col & 4095).ne(0) & (job.b_row & 4095).ne(0)
        span = k * job.b_row
        direct = (m <= tuning.direct_rows) | (span <= tuning.direct_span) | (
            apart & (m <= tuning.near_rows) & (span <= tuning.near_span))
        pack_b = ~(adjacent & direct)
        own_b, large = (pack_b & ~few_rows & x for x in gemm_strips.wanted(f, shape, tuning, m, n, k, strips))
        # A in place, unless its rows (or k's) lie so many bytes apart that they share sets of the caches, or short
        # pieces would be read often.
        along = job.a_col.eq(item) & (job.a_row & 4095).ne(0)
        across = job.a_row.eq(item) & (job.a_col & 4095).ne(0)
        pack_a = pack_b & (large | ~own_b) & (n > 2 * nr) & (m * k > 4096) & ~(along | across)
        return pack_a, pack_b, own_b, large, adjacent

    def _tile_sizes(self, f, job, m, some_k, panels, strips, noted, own_b, long):
        """(panels, strips) of a tile; where tiles pack for themselves (``own_b``), ``long`` is for groups of strips."""
        tuning = self.tuning
        # About 64 tiles, none with less work than handing it out is worth, none beyond the caches.
        least = f.value(tuning.tile_depth).udiv(some_k) + 1
        few = (panels * strips).udiv(6) + 1
        least = f.select(job.serial.eq(LIGHT), few, f.select(noted, f.minimum(few, least), least))
        size = (panels * strips).udiv(64)
        size = f.select(size < least, least, size)
        tile_strips = f.minimum(f.minimum(f.value(tuning.tile_strips), strips), size)
        tile_panels = f.minimum(f.value(tuning.tile_panels), size.udiv(tile_strips))
        tile_panels = f.minimum(tile_panels, panels)
        # Tiles that pack for themselves: of enough rows to pay for it.
        split = f.minimum((m + 55).udiv(56), f.value(16).udiv(strips))
        split = f.minimum(f.select(split < 1, f.value(1), split), panels)
        tile_panels = f.select(own_b, (panels + split - 1).udiv(split), tile_panels)
        return tile_panels, f.select(own_b, f.select(long, f.value(GROUP), f.value(1)), tile_strips)

    def _tiles(self, f, job, m, n, k, noted):
        """By tiles of C, with what is packed made before."""
        shape, tuning, mr = self.shape, self.tuning, self.shape.mr
        # Few rows, or little but writing C: long pieces of rows.
        few_rows = (m <= shape.wide_rows) | ((k <= 4) & (n >= 2 * shape.nr))
        nr = f.select(few_rows, f.value(shape.wide * shape.lanes), f.value(shape.nr))
        strips = (n + nr - 1).udiv(nr)
        pack_a, pack_b, own_b, large, adjacent = self._packing(f, job, m, n, k, few_rows, nr, strips)
        # Rows of A that lie pages apart share a set of the first-level cache: no more of them than
        # it has ways.
        aliased = ~pack_a & (job.a_row & 4095).eq(0)
        most = f.select(aliased, f.value(ALIASED_ROWS if mr > ALIASED_ROWS else mr), f.value(mr))
        most = f.select(few_rows, f.value(shape.wide_rows), most)
        panels, height, _ = gemm_heights.cut(f, m, most)
        # Without any k the tiles still have to write C: one block of depth 0.
        some_k = f.select(k < 1, f.value(1), k)
        k_blocks = (some_k + (tuning.k_block - 1)).udiv(tuning.k_block)
        k_block = (some_k + k_blocks - 1).udiv(k_blocks)
        tile_panels, tile_strips = self._tile_sizes(f, job, m, some_k, panels, strips, noted, own_b,
                                                    large | adjacent & (strips >= 8 * GROUP))
        row_tiles = (panels + tile_panels - 1).udiv(tile_panels)
        col_tiles = (strips + tile_strips - 1).udiv(tile_strips)
        shared_b = pack_b & ~own_b
        job.set(
            height=height, panels=panels, strips=strips, k_block=k_block, k_blocks=k_blocks,
            pack_a=f.emit("i64", f"zext i1 {pack_a.name} to i64"),
            pack_b=f.emit("i64", f"zext i1 {shared_b.name} to i64"),
            tile_panels=tile_panels, tile_strips=tile_strips, row_tiles=row_tiles, width=nr,
            slab_begin=0, slab_end=some_k,
        )  # fmt: skip
        tiles = row_tiles * col_tiles
        with f.if_(own_b & ~pack_a):
            self._parallel(f, "strip_task", job, tiles)
            f.ret(f.value(0, "i32"))
        with f.if_(~pack_b):
            self._parallel(f, "tile_task", job, tiles)
            f.ret(f.value(0, "i32"))
        with f.if_(noted):
            f.ret(f.value(ALONE, "i32"))
        self._slabs(f, job, (pack_a, shared_b, own_b), (panels, height), (strips, nr), (k_block, k_blocks, some_k),
                    tiles)

    def _slabs(self, f, job, packs, of_a, of_b, depth, tiles):
        """Pack as many k's as bounded memory takes, multiply them, and so on."""
        pack_a, shared_b, own_b = packs
        (panels, height), (strips, nr), (k_block, k_blocks, some_k) = of_a, of_b, depth
        tuning, item = self.tuning, self.shape.item
        # A slab: as many k's as can be packed in bounded memory.
        a_columns = f.select(pack_a, panels * height, f.value(0))
        b_columns = f.select(shared_b, strips * nr, f.value(0))
        per_k = (a_columns + b_columns) * item
        fit = f.value(tuning.slab_bytes).udiv(per_k * k_block)
        slab = f.select(fit < 1, f.value(1), fit) * k_block
        slab = f.minimum(slab, k_blocks * k_block)
        block = f.call("ptr", "rl_scratch", per_k * slab)
        with f.if_(block.eq(f.null)):
            f.ret(f.value(1, "i32"))
        base = f.load("ptr", block)
        job.set(packed_b=base, packed_a=base + slab * b_columns * item)
        copies = f.select(shared_b, self._groups(f, strips), f.value(0))
        copies = copies + f.select(pack_a, self._groups(f, panels), f.value(0))
        position = f.var("i64", 0)
        with f.loop() as loop:
            now = position.get()
            after = f.minimum(now + slab, some_k)
            job.set(slab_begin=now, slab_end=after)
            self._parallel(f, "pack_task", job, copies)
            with f.if_else(own_b) as arms:
                for arm, task in zip(arms, ("strip_task", "tile_task")):
                    with arm:
                        self._parallel(f, task, job, tiles)
            position.set(after)
            loop.break_if(after >= some_k)
        f.call("void", "rl_free", block)
        f.ret(f.value(0, "i32"))

    def _batch_task(self):
        """Tile t: product t of the batch, in this thread."""
        f = self.module.function("batch_task", "void", TASK, "internal", "nounwind")
        job = Job(f, f.args[0])
        mine = f.buffer(8 * SIZE)
        own = Job(f, mine)
        with f.range(f.args[1], f.args[2]) as t:
            copy_job(f, job, own, t)
            own.set(serial=1)
            failed = f.call("i32", "product", mine)
            with f.if_(failed.ne(0)):
                # The job's own "serial" tells the caller; any task may set it.
                job.set(serial=-1)
        f.ret()

    def _entry(self):
        write_plain(self.module, self.prefix, self.shape.element[0] == "i")
        f = self.module.function(
            f"{self.prefix}_gemm_added", "i32", [("ptr", "job")], attributes="nounwind"
        )
        job = Job(f, f.args[0])
        zero = f.value(0, "i32")
        # A batch over one B is one taller product where the rows of A and C go on from matrix to
        # matrix.
        merges = (
            (job.batch > 1)
            & job.outer.eq(1)
            & job.b_batch.eq(0)
            & job.a_batch.eq(job.m * job.a_row)
            & job.c_batch.eq(job.m * job.c_row)
            & job.row_bias.eq(0)
            & job.finish.eq(0)
            & (job.d.eq(0) | job.d_batch.eq(job.m * job.d_row))
        )
        with f.if_(merges):
            job.set(m=job.m * job.batch, batch=1)
        job.set(serial=0, matrix=0, parts=0)
        count = job.batch * job.outer
        with f.if_(count.eq(1)):
            f.ret(f.call("i32", "product", job.pointer))
        with f.if_(count <= 0):
            f.ret(zero)
        work = self._cost(job.m, job.n, job.k)
        total = work * count
        tuning = self.tuning
        each = work < 8 * tuning.parallel_work
        with f.if_(each):
            with f.if_else(total < tuning.parallel_work) as (here, pool):
                with here:
                    f.call("void", "batch_task", job.pointer, f.value(0), count)
                with pool:
                    f.call(
                        "void", "rl_parallel_for", f.symbol("batch_task"),
                        job.pointer, count,
                    )  # fmt: skip
            f.ret(f.select(job.serial.eq(-1), f.value(1, "i32"), zero))
        mine = f.buffer(8 * SIZE)
        own = Job(f, mine)
        with f.range(count) as t:
            copy_job(f, job, own, t)
            failed = f.call("i32", "product", mine)
            with f.if_(failed.ne(0)):
                f.ret(failed)
        f.ret(zero)
