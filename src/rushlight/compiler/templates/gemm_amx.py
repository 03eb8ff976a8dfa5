"""Matrix products on AMX tiles: operands packed as tiles, blocks of 2 x 2 accumulators, parallel tasks.

The generated ``int32 rl_gemm_added(int64 *job)``, ``rl_gemm_fused`` and ``rl_gemm`` have the contract of
``gemm_driver``. They take products for which tiles pay off, by shape only, and hand all others to
``rl_inner``, an imported function with the contract of ``gemm_added``. A ``Kind`` says what the elements are:

    BFLOAT16   bfloat16 operands and results, sums in float32, rounded once
    BYTES      int8 operands, int32 results (exact, modulo 2**32)
    and ``gemm_pieces``'s: float32 operands in pieces of bfloat16

A product runs like this:

* A is packed into panels of 32 rows, B into strips of 32 columns, both in steps of 64 bytes along k (32
  bfloat16, 64 bytes), padded with zeros. A step holds for each piece two tiles of 16 rows of A, or of 16
  columns of B with the elements of a group of four bytes side by side: always whole tiles of 1 KB in the
  order in which they are read;
* C is cut into tiles of ``tile_panels`` x ``tile_strips`` blocks of 32 x 32; a task runs over k in blocks
  that keep a panel of A in the first-level cache and its strips of B in the second. Sums wait in scratch
  memory as tiles, so that edges need no masks before the end;
* scale, biases and D are applied when a block's sums are complete.

Every sum runs over k in the same order, whatever the edges, tiles and threads are: an element's bits depend
on the shape alone. (Float32 and int32 results are summed in slabs of ``K_SLAB`` k's, whose packed operands
stay in the cache; bfloat16 results of more than ``K_MOST`` k's are left to ``rl_inner``.)
"""

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.templates.amx import GROUPS, ROWS, TILE_BYTES, Tiles
from rushlight.compiler.templates.gemm_driver import FIELDS as DRIVER_FIELDS
from rushlight.compiler.templates.gemm_driver import TASK, one, write_plain
from rushlight.compiler.templates.gemm_pack import turn
from rushlight.compiler.templates.layout import Layout, Words

BLOCK = 2 * ROWS  # rows of a panel, columns of a strip
PAIR_BYTES = 2 * TILE_BYTES
BLOCK_BYTES = 4 * TILE_BYTES  # sums of a block
K_SLAB, K_MOST = 4096, 1 << 17
SLAB_BYTES = 64 << 20

# The fields that callers fill in, then the driver's own.
ABI = DRIVER_FIELDS[: DRIVER_FIELDS.index("factor") + 1]
FIELDS = (
    *ABI,
    *"steps block_steps panels strips begin_panel end_panel begin_strip end_strip packed_a packed_b "
    "tile_panels tile_strips row_tiles a_low a_high b_low b_high doubtful tiny serial failed".split(),
)
SIZE = len(FIELDS)
_LAYOUT = Layout((), FIELDS, (), ("a", "b", "c", "d", "bias", "row_bias", "finish", "context", "packed_a", "packed_b"))
INDEX = _LAYOUT.index

_INTS, _FLOATS = "<16 x i32>", "<16 x float>"


class Kind:
    """Elements of a product: operands of ``item`` bytes in memory and ``width`` in tiles.

    ``passes`` lists products of pieces (of A, of B) in the order in which they are added: all of a pass for
    every k of a block before the next pass. A ``checked`` kind looks at the operands while packing and may
    refuse them, sums ``apart`` are those of each block of k's, added up at the end (see ``gemm_pieces``).
    """

    pieces, passes, checked, apart = 1, (((0, 0),),), False, False
    # Tiles pay off from ``least`` (m, n, k) and m n >= balance (m + n) on: packing costs as much an element
    # as ``balance`` multiply-adds gain by tiles.
    balance = 0

    def __init__(self, name, element, item, width, product, total, result, least):
        self.name, self.element, self.item, self.product = name, element, item, product
        self.total, self.result = total, result
        self.result_item = {"float": 4, "i32": 4, "i16": 2}[result]
        self.step_k = 64 // width  # k's of a step
        self.least = least

    def across(self, f, at, step, seen):
        """A group of k's for 16 neighbours: the four bytes of each, for each piece."""
        four = None
        for q in range(4 // self.item):
            row = f.load(f"<16 x {self.element}>", at + step * q, align=1).cast("zext", "i32")
            four = row if four is None else four | (row << (8 * self.item * q))
        return [four]

    def along(self, f, at, seen):
        """A step of k's of one row: its 16 groups, for each piece."""
        return [f.load(_INTS, at, align=1)]


BFLOAT16 = Kind("bfloat16", "i16", 2, 2, "bf16", "float", "i16", (32, 32, 32))
BYTES = Kind("int8", "i8", 1, 1, "ssd", "i32", "i32", (32, 32, 64))


class Job(Words):
    """The words of a job of this driver, ``FIELDS``, in generated code."""

    def __init__(self, f, pointer):
        super().__init__(f, pointer, _LAYOUT)

    def copy(self, other, names):
        """Take over fields of another job."""
        for name in names:
            self.f.store(self.f.load("i64", other.at(name)), self.at(name))


class TileDriver:
    """Writes the module for one kind of elements; ``emulated`` for CPUs without tiles."""

    def __init__(self, kind: Kind, caches, triple: str, emulated: bool = False):
        self.kind, self.emulated, self.module = kind, emulated, Module(triple)
        self.step_bytes = PAIR_BYTES * kind.pieces
        # A block of a panel and one of a strip fill the first-level cache, so that the panel's is still there
        # for the next strip. Sums kept apart cost more between blocks; many products of pieces for each tile
        # that is loaded leave time to fetch tiles from the second level.
        self.block_steps = max(12 if kind.apart else 4, caches.l1d // 2 // self.step_bytes)
        # Blocks of sums, and of strips of B, take half of the second level.
        room = max(1, caches.l2 // 2 // (self.block_steps * self.step_bytes + 8 * BLOCK_BYTES))
        self.tile_strips, self.tile_panels = min(16, room), 8
        # Cost in multiply-adds below which another thread brings nothing.
        self.parallel_work = 2_000_000

    def write_kernels(self) -> Module:
        """The functions of which products are made."""
        for rows in (1, 2):
            for columns in (1, 2):
                self._block(rows, columns)
        table = ", ".join(f"ptr @block{r}{c}" for r in (1, 2) for c in (1, 2))
        self.module.globals.append(f"@block_table = internal constant [4 x ptr] [{table}], align 64")
        self._pack("pack_rows", True)
        self._pack("pack_columns", False)
        if self.kind.apart:
            self._add_block()
        self._finish_block()
        return self.module

    def write(self) -> Module:
        """All functions."""
        self.write_kernels()
        self._fetch_block()
        self._pack_task()
        self._tile_task()
        if self.kind.checked:
            self._by_vectors()
        self._slab()
        self._slabs()
        self._product()
        self._batch_task()
        self._entry()
        return self.module

    def _function(self, name, result, params, linkage="internal"):
        return self.module.function(name, result, params, linkage, "nounwind")

    # ----- kernels -----

    def _block(self, rows, columns):
        """Add ``steps`` steps of a panel and a strip to the sums of a block, or begin them (``fresh``)."""
        f = self._function(f"block{rows}{columns}", "void",
                           [("i64", "steps"), ("ptr", "a"), ("ptr", "b"), ("ptr", "sums"), ("i64", "fresh")])
        steps, a, b, sums, fresh = f.args
        tiles = Tiles(f, self.emulated)
        totals = [(i, j) for i in range(rows) for j in range(columns)]
        with f.if_else(fresh.ne(0)) as (begin, go_on):
            with begin:
                for i, j in totals:
                    tiles.zero(2 * i + j)
            with go_on:
                for i, j in totals:
                    tiles.load(2 * i + j, sums + (2 * i + j) * TILE_BYTES)
        for products in self.kind.passes:
            with f.range(0, steps * self.step_bytes, step=self.step_bytes) as at:
                here_a, here_b = a + at, b + at
                held_a = held_b = None
                for piece_a, piece_b in products:
                    if held_a != piece_a:
                        for i in range(rows):
                            tiles.load(4 + i, here_a + (piece_a * PAIR_BYTES + i * TILE_BYTES))
                    if held_b != piece_b:
                        for j in range(columns):
                            tiles.load(6 + j, here_b + (piece_b * PAIR_BYTES + j * TILE_BYTES))
                    held_a, held_b = piece_a, piece_b
                    for i, j in totals:
                        tiles.multiply(self.kind.product, 2 * i + j, 4 + i, 6 + j)
        for i, j in totals:
            tiles.store(2 * i + j, sums + (2 * i + j) * TILE_BYTES)
        f.ret()

    def _add_block(self):
        """Add the sums of a block of k's to those of the blocks before."""
        f = self._function("add_block", "void", [("ptr", "sums"), ("ptr", "more")])
        sums, more = f.args
        with f.range(0, BLOCK_BYTES, step=64) as i:
            total = f.load(_FLOATS, sums + i, align=64) + f.load(_FLOATS, more + i, align=64)
            f.store(total, sums + i, align=64)
        f.ret()

    def _pack(self, name, by_rows):
        """One step of 16 rows of A (``by_rows``) or 16 columns of B: a tile for each piece.

        ``minor`` is the byte stride from row to row of A or column to column of B, ``major`` the one along k;
        ``minors`` and ``depth`` are how many of both there are (more than a tile's or fewer).
        """
        f = self._function(name, "void", [
            ("ptr", "src"), ("i64", "minor"), ("i64", "major"), ("i64", "minors"), ("i64", "depth"),
            ("ptr", "dst"), ("ptr", "ranges")])
        src, minor, major, minors, depth, dst, ranges = f.args
        kind, item = self.kind, self.kind.item
        step_k = kind.step_k
        along = major.eq(item)
        across = minor.eq(item) & ~along
        at, step = f.var("ptr", src), f.var("i64", f.select(along, minor, major))
        whole = (minors >= ROWS) & (depth >= step_k)
        with f.if_(~(whole & (along | across))):
            stage = f.buffer(ROWS * step_k * item)
            self._stage(f, src, minor, major, f.minimum(minors, f.value(ROWS)),
                        f.minimum(depth, f.value(step_k)), along, across, stage)
            at.set(stage)
            step.set(f.select(across, f.value(ROWS * item), f.value(step_k * item)))
        at, step = at.get(), step.get()

        def put(pieces, r):
            for q, row in enumerate(pieces):
                f.store(row, dst + (r * 64 + q * PAIR_BYTES), align=1)

        def turned():
            with f.range(0, kind.pieces * PAIR_BYTES, step=PAIR_BYTES) as q:
                tile = dst + q
                rows = [f.load(_INTS, tile + r * 64, align=1) for r in range(ROWS)]
                for r, row in enumerate(turn(f, rows)):
                    f.store(row, tile + r * 64, align=1)

        seen = kind.begin(f, ranges) if kind.checked else None
        with f.if_else(across) as (by_groups, by_minors):
            with by_groups:
                with f.range(GROUPS) as g:
                    put(kind.across(f, at + step * (g * (step_k // GROUPS)), step, seen), g)
                if by_rows:
                    turned()
            with by_minors:
                with f.range(ROWS) as i:
                    put(kind.along(f, at + step * i, seen), i)
                if not by_rows:
                    turned()
        if kind.checked:
            kind.end(f, ranges, seen)
        f.ret()

    def _stage(self, f, src, minor, major, minors, depth, along, across, stage):
        """Copy what there is of a tile into ``stage``, zeros around it, k's side by side unless ``across``."""
        kind, item = self.kind, self.kind.item
        step_k = kind.step_k
        with f.range(0, ROWS * step_k * item, step=64) as i:
            # Volatile, or LLVM makes the loop a call of memset.
            f.line(f"store volatile {_INTS} zeroinitializer, ptr {(stage + i).name}, align 64")
        vector = f"<16 x {kind.element}>"

        def rows(count, stride, length, pitch):
            with f.range(count) as r:
                with f.range(0, length, step=16) as i:
                    value = f.masked_load(vector, src + (r * stride + i * item), f.below(length - i, ROWS))
                    f.store(value, stage + (r * pitch + i) * item, align=1)

        with f.if_else(along) as (straight, other):
            with straight:
                rows(minors, minor, depth, step_k)
            with other, f.if_else(across) as (sideways, scattered):
                with sideways:
                    rows(depth, major, minors, ROWS)
                with scattered, f.range(minors) as i, f.range(depth) as p:
                    value = f.load(kind.element, src + (i * minor + p * major), align=1)
                    f.store(value, stage + (i * step_k + p) * item, align=1)

    def _fetch_block(self):
        """Ask for the lines of a block of C, to be written."""
        f = self._function("fetch_block", "void", [("ptr", "job"), ("i64", "row"), ("i64", "column")])
        job, row, column = Job(f, f.args[0]), *f.args[1:]
        self.module.declared["llvm.prefetch.p0"] = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
        c_row = job.c_row
        c = job.c + (row * c_row + column * self.kind.result_item)
        with f.range(f.minimum(f.value(BLOCK), job.m - row)) as i:
            for offset in range(0, BLOCK * self.kind.result_item, 64):
                f.line(f"call void @llvm.prefetch.p0(ptr {(c + (i * c_row + offset)).name}, i32 1, i32 3, i32 1)")
        f.ret()

    def _finish_block(self):
        """Write a block's sums to C: scaled, with biases and D."""
        f = self._function("finish_block", "void", [
            ("ptr", "job"), ("ptr", "sums"), ("i64", "row"), ("i64", "column")])
        job = Job(f, f.args[0])
        sums, row, column = f.args[1:]
        kind, item = self.kind, self.kind.result_item
        exact = kind.total == "i32"
        rows, columns = f.minimum(f.value(BLOCK), job.m - row), job.n - column
        c_row, row_bias, bias = job.c_row, job.row_bias, job.bias
        c = job.c + (row * c_row + column * item)
        d, d_row = job.d, job.d_row
        adds, has_bias, has_rows = d.ne(0), bias.ne(0), row_bias.ne(0)

        def number(bits):
            return bits.cast("trunc", "i32") if exact else bits.cast("bitcast", "double").cast("fptrunc", "float")

        scale = number(job.alpha)
        masks = [f.below(columns, ROWS, j * ROWS) for j in range(2)]
        vector = _INTS if exact else _FLOATS

        def widened(at, mask):
            if kind.result != "i16":
                return f.masked_load(vector, at, mask)
            return (f.masked_load("<16 x i16>", at, mask).cast("zext", "i32") << 16).bits()

        def put(value, at, mask):
            if kind.result == "i16":
                value = rounded(f, value)
            f.masked_store(value, at, mask)

        def places():
            with f.range(rows) as i:
                first = sums + (i.lshr(4) * PAIR_BYTES + (i & 15) * 64)
                for j in range(2):
                    total = f.load(vector, first + j * TILE_BYTES, align=64)
                    yield i, j, total, c + (i * c_row + j * ROWS * item)

        if kind.checked:
            with f.if_(job.doubtful.ne(0)):
                for _, j, total, _ in places():
                    with f.if_(kind.small(f, total, masks[j])):
                        job.set(tiny=1)
        with f.if_else(adds | has_bias | has_rows | scale.ne(1)) as (general, plain):
            with general:
                where = [[mask & f.splat(flag, ROWS) for mask in masks] for flag in (has_bias, adds)]
                scales, share = f.splat(scale, ROWS), f.splat(number(job.factor), ROWS)
                first = f.below(f.select(has_rows, f.value(1), f.value(0)), ROWS)
                # Loads without any element still take long at addresses that aren't mapped.
                biases = f.select(has_bias, bias + column * item, c)
                rows_at = f.select(has_rows, row_bias + row * item, c)
                rows_step = f.select(has_rows, f.value(item), f.value(0))
                added, added_row = f.select(adds, d + (row * d_row + column * item), c), f.select(adds, d_row, c_row)
                offsets = [widened(biases + j * ROWS * item, where[0][j]) for j in range(2)]
                for i, j, total, at in places():
                    own = f.splat(f.extract(widened(rows_at + i * rows_step, first), 0), ROWS)
                    old = widened(added + (i * added_row + j * ROWS * item), where[1][j])
                    put(total * scales + (offsets[j] + own) + old * share, at, masks[j])
            with plain:
                for _, j, total, at in places():
                    put(total, at, masks[j])
        f.ret()

    # ----- tasks -----

    def _pack_task(self):
        """Tile t: strip t of the slab of B; then panels of A."""
        f = self._function("pack_task", "void", TASK)
        job = Job(f, f.args[0])
        steps, k = job.steps, job.k
        strips = job.end_strip - job.begin_strip
        unit = steps * self.step_bytes
        ranges = {name: f.buffer(128) for name in "ab"}
        if self.kind.checked:
            for buffer in ranges.values():
                self.kind.clear(f, buffer)

        def copy(name, function, index, first, source, minor, major, count):
            base = job.packed_a if name == "a" else job.packed_b
            with f.range(steps) as s, f.range(0, BLOCK, step=ROWS) as half:
                left = count - (first * BLOCK + half)
                with f.if_(left > 0):
                    p = s * self.kind.step_k
                    f.call("void", function, source + ((first * BLOCK + half) * minor + p * major), minor, major,
                           left, k - p, base + (index * unit + s * self.step_bytes + half * 64), ranges[name])

        with f.range(f.args[1], f.args[2]) as t, f.if_else(t < strips) as (of_b, of_a):
            with of_b:
                copy("b", "pack_columns", t, job.begin_strip + t, job.b, job.b_col, job.b_row, job.n)
            with of_a:
                panel = t - strips
                copy("a", "pack_rows", panel, job.begin_panel + panel, job.a, job.a_row, job.a_col, job.m)
        if self.kind.checked:
            for name, buffer in ranges.items():
                self.kind.merge(f, buffer, job.at(f"{name}_low"), job.at(f"{name}_high"))
        f.ret()

    def _tile_task(self):
        """Tile t of C's slab: a block of panels by a block of strips, over all k."""
        f = self._function("tile_task", "void", TASK)
        job = Job(f, f.args[0])
        tiles = Tiles(f, self.emulated)
        null = f.null
        steps, block_steps, row_tiles = job.steps, job.block_steps, job.row_tiles
        m, n = job.m, job.n
        unit = steps * self.step_bytes
        several = steps > block_steps
        scratch, sums = f.var("ptr", null), f.var("ptr", f.buffer(BLOCK_BYTES))
        with f.if_(several):
            block = f.call("ptr", "rl_scratch", job.tile_panels * job.tile_strips * BLOCK_BYTES)
            with f.if_(block.eq(0)):
                job.set(failed=1)
                f.ret()
            scratch.set(block)
            sums.set(f.load("ptr", block))
        pace = f.select(several, f.value(BLOCK_BYTES), f.value(0))
        base = sums.get()
        piece = f.buffer(BLOCK_BYTES) if self.kind.apart else None
        tiles.configure()
        with f.range(f.args[1], f.args[2]) as t:
            first_panel = job.begin_panel + t.urem(row_tiles) * job.tile_panels
            last_panel = f.minimum(first_panel + job.tile_panels, job.end_panel)
            first_strip = job.begin_strip + t.udiv(row_tiles) * job.tile_strips
            last_strip = f.minimum(first_strip + job.tile_strips, job.end_strip)
            with f.range(0, steps, step=block_steps) as s:
                depth = f.minimum(block_steps, steps - s)
                fresh = f.emit("i64", f"zext i1 {s.eq(0).name} to i64")
                complete = s + depth >= steps
                offset = s * self.step_bytes
                with f.range(first_panel, last_panel) as panel, f.range(first_strip, last_strip) as strip:
                    index = (panel - first_panel) * job.tile_strips + (strip - first_strip)
                    mine = base + index * pace
                    tall = f.select(m - panel * BLOCK > ROWS, f.value(16), f.value(0))
                    broad = f.select(n - strip * BLOCK > ROWS, f.value(8), f.value(0))
                    kernel = f.load("ptr", f.symbol("block_table") + (tall + broad))
                    with f.if_(complete):
                        # C's lines come while the tiles are busy.
                        f.call("void", "fetch_block", job.pointer, panel * BLOCK, strip * BLOCK)
                    here_a = job.packed_a + ((panel - job.begin_panel) * unit + offset)
                    here_b = job.packed_b + ((strip - job.begin_strip) * unit + offset)
                    if self.kind.apart:
                        f.call("void", kernel, depth, here_a, here_b, f.select(s.eq(0), mine, piece), f.value(1))
                        with f.if_(s.ne(0)):
                            f.call("void", "add_block", mine, piece)
                    else:
                        f.call("void", kernel, depth, here_a, here_b, mine, fresh)
                    with f.if_(complete):
                        f.call("void", "finish_block", job.pointer, mine, panel * BLOCK, strip * BLOCK)
            self._finish(f, job, first_panel, last_panel, first_strip, last_strip)
        tiles.release()
        with f.if_(several):
            f.call("void", "rl_free", scratch.get())
        f.ret()

    def _finish(self, f, job, first_panel, last_panel, first_strip, last_strip):
        """Call ``finish`` for a piece of C, if there is one."""
        with f.if_(job.finish.ne(0)):
            row, column = first_panel * BLOCK, first_strip * BLOCK
            rows = f.minimum(last_panel * BLOCK, job.m) - row
            columns = f.minimum(last_strip * BLOCK, job.n) - column
            c = job.c + (row * job.c_row + column * self.kind.result_item)
            f.call("void", job.finish, job.context, c, job.c_row, job.matrix, row, column, rows, columns)

    def _parallel(self, f, task, job, count):
        """Run a task over ``count`` tiles: on the pool, or here when the job is a serial one."""
        with f.if_else(job.serial.ne(0)) as (here, pool):
            with here:
                f.call("void", task, job.pointer, f.value(0), count)
            with pool:
                f.call("void", "rl_parallel_for", f.symbol(task), job.pointer, count)

    # ----- products -----

    def _by_vectors(self):
        """The product of a slab by ``rl_inner``: ``i32 by_vectors(job)``."""
        f = self._function("by_vectors", "i32", [("ptr", "job")])
        job, own = Job(f, f.args[0]), Job(f, f.buffer(8 * SIZE))
        own.copy(job, ABI)
        row, column, item = job.begin_panel * BLOCK, job.begin_strip * BLOCK, self.kind.result_item
        for name, offset in (("a", row * job.a_row), ("b", column * job.b_col),
                             ("c", row * job.c_row + column * item)):
            f.store(getattr(job, name) + offset, own.at(name))
        for name, offset in (("bias", column * item), ("row_bias", row * item),
                             ("d", row * job.d_row + column * item)):
            given = getattr(job, name)
            f.store(f.select(given.ne(0), given + offset, given), own.at(name))
        own.set(outer=1, batch=1, finish=0, m=f.minimum(job.end_panel * BLOCK, job.m) - row,
                n=f.minimum(job.end_strip * BLOCK, job.n) - column)
        failed = f.call("i32", "rl_inner", own.pointer)
        with f.if_(failed.eq(0)):
            self._finish(f, job, job.begin_panel, job.end_panel, job.begin_strip, job.end_strip)
        f.ret(failed)

    def _slab(self):
        """Pack a slab's strips of B (and of A its panels when ``pack_a``) and multiply: ``i32 slab(job, pack_a)``."""
        f = self._function("slab", "i32", [("ptr", "job"), ("i64", "pack_a")])
        job, pack_a = Job(f, f.args[0]), f.args[1]
        panels, strips = job.end_panel - job.begin_panel, job.end_strip - job.begin_strip
        job.set(b_low=-1, b_high=0)
        with f.if_(pack_a.ne(0)):
            job.set(a_low=-1, a_high=0)
        self._parallel(f, "pack_task", job, strips + f.select(pack_a.ne(0), panels, f.value(0)))
        job.set(doubtful=0, tiny=0, failed=0)
        if self.kind.checked:
            unfit, doubtful = self.kind.judge(f, job)
            # What is in doubt is decided by the sums, when it is too late for an old C.
            unfit = unfit | (doubtful & (job.d.eq(job.c) | job.finish.ne(0)))
            with f.if_(unfit):
                f.ret(f.call("i32", "by_vectors", job.pointer))
            job.set(doubtful=f.emit("i64", f"zext i1 {doubtful.name} to i64"))
        # About 16 tiles, as square as they can be, none beyond the caches.
        size = (panels * strips).udiv(16)
        high = f.value(1)
        for power in (2, 4, 8):
            if power <= self.tile_panels:
                high = f.select(size >= power * power, f.value(power), high)
        high = f.minimum(high, panels)
        wide = size.udiv(high)
        wide = f.minimum(f.minimum(f.select(wide < 1, f.value(1), wide), f.value(self.tile_strips)), strips)
        row_tiles = (panels + high - 1).udiv(high)
        job.set(tile_panels=high, tile_strips=wide, row_tiles=row_tiles)
        self._parallel(f, "tile_task", job, row_tiles * (strips + wide - 1).udiv(wide))
        if self.kind.checked:
            with f.if_(job.tiny.ne(0)):
                f.ret(f.call("i32", "by_vectors", job.pointer))
        f.ret(job.failed.cast("trunc", "i32"))

    def _slabs(self):
        """A product of at most ``K_SLAB`` k's, in slabs that can be packed in bounded memory."""
        f = self._function("slabs", "i32", [("ptr", "job")])
        job = Job(f, f.args[0])
        steps = (job.k + (self.kind.step_k - 1)).udiv(self.kind.step_k)
        blocks = (steps + (self.block_steps - 1)).udiv(self.block_steps)
        panels, strips = (job.m + (BLOCK - 1)).udiv(BLOCK), (job.n + (BLOCK - 1)).udiv(BLOCK)
        unit = steps * self.step_bytes
        fit = f.value(SLAB_BYTES).udiv(unit)
        fit = f.select(fit < 1, f.value(1), fit)
        high, wide = f.minimum(fit, panels), f.minimum(fit, strips)
        block = f.call("ptr", "rl_scratch", (high + wide) * unit)
        with f.if_(block.eq(0)):
            f.ret(f.value(1, "i32"))
        base = f.load("ptr", block)
        job.set(packed_a=base)
        job.set(packed_b=base + high * unit)
        job.set(steps=steps, block_steps=(steps + blocks - 1).udiv(blocks), panels=panels, strips=strips)
        failed = f.var("i32", 0)
        with f.range(0, panels, step=high) as panel, f.range(0, strips, step=wide) as strip:
            job.set(begin_panel=panel, end_panel=f.minimum(panel + high, panels),
                    begin_strip=strip, end_strip=f.minimum(strip + wide, strips))
            first = f.emit("i64", f"zext i1 {strip.eq(0).name} to i64")
            failed.set(failed.get() | f.call("i32", "slab", job.pointer, first))
        f.call("void", "rl_free", block)
        f.ret(failed.get())

    def _product(self):
        """One matrix product, in slabs of k where there are very many: ``i32 product(job)``."""
        f = self._function("product", "i32", [("ptr", "job")])
        job = Job(f, f.args[0])
        work = job.m * job.n * job.k
        small = work < self.parallel_work
        job.set(serial=f.emit("i64", f"zext i1 {(small | job.serial.ne(0)).name} to i64"))
        k = job.k
        # Sums of several slabs would be rounded in between to the 16 bits of a result.
        halves = self.kind.result_item == 2
        with f.if_(k <= (K_MOST if halves else K_SLAB)):
            f.ret(f.call("i32", "slabs", job.pointer))
        if halves:
            job.set(outer=1, batch=1)
            f.ret(f.call("i32", "rl_inner", job.pointer))
            return
        failed, finish = f.var("i32", 0), job.finish
        slabs = (k + (K_SLAB - 1)).udiv(K_SLAB)
        whole = self.kind.step_k
        slab = ((k + slabs - 1).udiv(slabs) + (whole - 1)).udiv(whole) * whole
        job.set(finish=0)
        with f.range(0, k, step=slab) as p:
            depth = f.minimum(slab, k - p)
            job.set(k=depth)
            with f.if_(p + depth >= k):
                job.set(finish=finish)
            failed.set(failed.get() | f.call("i32", "slabs", job.pointer))
            job.set(a=job.a + depth * job.a_col)
            job.set(b=job.b + depth * job.b_row)
            job.set(d=job.c, d_row=job.c_row, factor=one(self.kind.total == "i32"), bias=0, row_bias=0)
        f.ret(failed.get())

    def _own(self, f, job, own, t):
        """Fill ``own`` with product t of the batch."""
        own.copy(job, ABI)
        o, b = t.udiv(job.batch), t.urem(job.batch)
        for name in "abc":
            offset = getattr(job, f"{name}_outer") * o + getattr(job, f"{name}_batch") * b
            f.store(getattr(job, name) + offset, own.at(name))
        added = job.d + (job.d_outer * o + job.d_batch * b)
        own.set(d=f.select(job.d.ne(0), added, job.d), matrix=t, serial=0)

    def _batch_task(self):
        """Tile t: product t of the batch, in this thread; ``failed`` of the caller's copy tells of failures."""
        f = self._function("batch_task", "void", TASK)
        job = Job(f, f.args[0])
        own = Job(f, f.buffer(8 * SIZE))
        with f.range(f.args[1], f.args[2]) as t:
            self._own(f, job, own, t)
            own.set(serial=1)
            with f.if_(f.call("i32", "product", own.pointer).ne(0)):
                job.set(failed=1)
        f.ret()

    def _entry(self):
        write_plain(self.module, "rl", self.kind.total == "i32")
        f = self._function("rl_gemm_added", "i32", [("ptr", "job")], "")
        given = Job(f, f.args[0])
        # A batch over one B is one taller product where the rows of A and C go on from matrix to matrix.
        merges = (
            (given.batch > 1) & given.outer.eq(1) & given.b_batch.eq(0)
            & given.a_batch.eq(given.m * given.a_row) & given.c_batch.eq(given.m * given.c_row)
            & given.row_bias.eq(0) & given.finish.eq(0)
            & (given.d.eq(0) | given.d_batch.eq(given.m * given.d_row))
        )
        with f.if_(merges):
            given.set(m=given.m * given.batch, batch=1)
        m, n, k = self.kind.least
        suits = (given.m >= m) & (given.n >= n) & (given.k >= k)
        if self.kind.balance:
            suits = suits & (given.m * given.n >= (given.m + given.n) * self.kind.balance)
        with f.if_(~suits):
            f.ret(f.call("i32", "rl_inner", f.args[0]))
        job = Job(f, f.buffer(8 * SIZE))
        count = given.outer * given.batch
        zero = f.value(0, "i32")
        with f.if_(count <= 0):
            f.ret(zero)
        work = given.m * given.n * given.k
        with f.if_((count > 1) & (work < 8 * self.parallel_work)):
            job.copy(given, ABI)
            job.set(failed=0)
            with f.if_else(work * count < self.parallel_work) as (here, pool):
                with here:
                    f.call("void", "batch_task", job.pointer, f.value(0), count)
                with pool:
                    f.call("void", "rl_parallel_for", f.symbol("batch_task"), job.pointer, count)
            f.ret(job.failed.cast("trunc", "i32"))
        with f.range(count) as t:
            self._own(f, given, job, t)
            failed = f.call("i32", "product", job.pointer)
            with f.if_(failed.ne(0)):
                f.ret(failed)
        f.ret(zero)


def rounded(f, value):
    """float32 as the bits of bfloat16: to nearest, ties to even; NaN stays NaN."""
    bits = value.bits()
    nearest = (bits + (bits.lshr(16) & 1) + 0x7FFF).lshr(16)
    quiet = bits.lshr(16) | 0x40
    return f.select(value.isnan(), quiet, nearest).cast("trunc", "i16")
