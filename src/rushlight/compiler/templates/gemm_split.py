"""Products of few elements and many k's: the k's split into parts, each summed by itself.

Weight gradients sum over a whole batch of pixels for a small matrix: there are too few tiles of C to share
out, and packing all of B would send it through memory once more. Part t of the k's goes to a matrix of its own
in scratch memory, chunk by chunk that stay in the second-level cache; at the end the matrices are added up in
order. Parts and chunks depend on the sizes only, so the bits don't depend on the number of threads.
"""

import struct

from rushlight.compiler.templates.gemm_lines import BLOCK_BYTES, PART, write_lines

# The least k to split, and the most bytes of C.
LEAST_K, MOST_BYTES = 4096, 512 << 10
PARTS, LEAST_PART = 16, 1024
CHUNK_BYTES = 256 << 10


def write_split(driver, job_class, task, size, copy):
    """Add ``i32 split(ptr job)`` and its tasks to the driver's module."""
    _split_task(driver, job_class, task, size, copy)
    write_lines(driver, job_class, task)
    _total_task(driver, job_class, task)
    _split(driver, job_class)
    _lines(driver, job_class)


def wanted(driver, f, job):
    """Whether to split: by the sizes."""
    shape = driver.shape
    m, n, k = job.m, job.n, job.k
    tiles = (m + (shape.mr - 1)).udiv(shape.mr) * (n + (shape.nr - 1)).udiv(shape.nr)
    # A part is not split again.
    return job.parts.ne(-1) & (k >= LEAST_K) & (m * n <= MOST_BYTES // shape.item) & (tiles <= 64)


def _split(driver, job_class):
    item, block = driver.shape.item, driver.tuning.k_block
    f = driver.module.function("split", "i32", [("ptr", "job")], "internal", "nounwind")
    job = job_class(f, f.args[0])
    m, n, k = job.m, job.n, job.k
    part = ((k + (PARTS - 1)).udiv(PARTS) + 63) & -64
    # Few sums are bound by memory: longer parts.
    least = f.select(m * n <= 16, f.value(16 * LEAST_PART), f.value(LEAST_PART))
    part = f.select(part < least, least, part)
    parts = (k + part - 1).udiv(part)
    chunk = f.value(CHUNK_BYTES).udiv((m + n) * item) & -64
    chunk = f.select(chunk < block, f.value(block), f.select(m * n <= 16, part, chunk))
    job.set(chunk=chunk)
    _run(driver, f, job, "split_task", part, parts, parts)


def _lines(driver, job_class):
    """``i32 lines(ptr job)``: the ways of ``gemm_lines``."""
    item = driver.shape.item
    f = driver.module.function("lines", "i32", [("ptr", "job")], "internal", "nounwind")
    job = job_class(f, f.args[0])
    n, k = job.n, job.k
    part = ((k + (PARTS - 1)).udiv(PARTS) + 7) & -8
    part = f.select(part < PART, f.value(PART), part)
    parts = (k + part - 1).udiv(part)
    width = f.value(BLOCK_BYTES // item)
    blocks = (n + width - 1).udiv(width)
    job.set(strips=blocks, width=width)
    _run(driver, f, job, "line_task", part, parts, parts * blocks)


def _run(driver, f, job, task, part, parts, tiles):
    """Memory for the parts, the task over its tiles, the total; returns from the function."""
    m, n = job.m, job.n
    memory = f.call("ptr", "rl_scratch", parts * m * n * driver.shape.item)
    with f.if_(memory.eq(0)):
        f.ret(f.value(1, "i32"))
    job.set(parts=parts, part_k=part, partial=f.load("ptr", memory))
    rows = f.value(2048).udiv(n) + 1
    job.set(height=rows)
    job.set(block=memory)                       # which whoever notes the task frees
    driver._parallel(f, task, job, tiles)
    failed = job.serial.eq(-1)
    with f.if_(~failed):
        with f.if_else(parts * m * n < 65536) as (here, pool):
            with here:
                f.call("void", "total_task", job.pointer, f.value(0), (m + rows - 1).udiv(rows))
            with pool:
                driver._parallel(f, "total_task", job, (m + rows - 1).udiv(rows))
    f.call("void", "rl_free", memory)
    f.ret(f.emit("i32", f"zext i1 {failed.name} to i32"))


def _split_task(driver, job_class, task, size, copy):
    """Tile t: the products of part t's chunks."""
    f = driver.module.function("split_task", "void", task, "internal", "nounwind")
    job = job_class(f, f.args[0])
    mine = f.buffer(8 * size)
    own = job_class(f, mine)
    m, n, k, part, chunk = job.m, job.n, job.k, job.part_k, job.chunk
    a, b, a_col, b_row, item = job.a, job.b, job.a_col, job.b_row, driver.shape.item
    one = 1 if driver.shape.element[0] == "i" else struct.unpack("q", struct.pack("d", 1.0))[0]
    with f.range(f.args[1], f.args[2]) as t:
        first = t * part
        last = f.minimum(first + part, k)
        with f.range(first, last, step=chunk) as p:
            copy(f, job, own)
            own.set(a=a + p * a_col, b=b + p * b_row, c=job.partial + t * m * n * item)
            own.set(d=f.select(p > first, own.c, f.null))
            own.set(k=f.minimum(chunk, last - p), c_row=n * item, d_row=n * item, alpha=one, factor=one, bias=0,
                    row_bias=0, finish=0, serial=1, parts=-1)
            failed = f.call("i32", "product", mine)
            with f.if_(failed.ne(0)):
                job.set(serial=-1)
    f.ret()


def _total_task(driver, job_class, task):
    """Tile t: some rows of the sum of all parts."""
    shape = driver.shape
    f = driver.module.function("total_task", "void", task, "internal", "nounwind")
    job = job_class(f, f.args[0])
    m, n, parts, height, partial = job.m, job.n, job.parts, job.height, job.partial
    step, null = m * n * shape.item, f.null
    bias = job.bias
    scale = f.splat(driver._alpha(f, job), shape.lanes)
    with f.range(f.args[1], f.args[2]) as t:
        low = t * height
        high = f.minimum(low + height, m)
        with f.range(low, high) as row:
            rbias, _ = driver._rows_of_bias(f, job, row)
            offset = f.splat(f.load(shape.element, rbias, align=1), shape.lanes)
            with f.range(0, n, step=shape.lanes) as column:
                mask = f.below(f.minimum(n - column, shape.lanes), shape.lanes)
                at = partial + (row * n + column) * shape.item
                total = f.var(shape.vector, f.masked_load(shape.vector, at, mask))
                with f.range(1, parts) as i:
                    total.set(total.get() + f.masked_load(shape.vector, at + i * step, mask))
                here = f.select(bias.ne(null), bias + column * shape.item, at)
                extra = f.masked_load(shape.vector, here, mask & f.splat(bias.ne(null), shape.lanes))
                c = job.c + (row * job.c_row + column * shape.item)
                d, _, beta = driver._added(f, job, row, column)
                old = f.masked_load(shape.vector, f.select(d.ne(null), d, at), mask & f.splat(d.ne(null), shape.lanes))
                value = total.get() * scale + (extra + offset) + old * f.splat(beta, shape.lanes)
                f.masked_store(value, c, mask)
        driver._finish(f, job, low, f.value(0), high - low, n)
    f.ret()
