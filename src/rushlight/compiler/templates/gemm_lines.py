"""Products of few rows with a large B: B read once, in long pieces of its rows.

``y = x @ W`` and ``W.T @ x`` are bound by memory. B's rows are taken in groups of ``step``, each piece of a group
multiplied by all rows of A while it is in the first-level cache:

    c[i, j] += sum_{q < step} a[i, p + q] b[p + q, j]

The k's are split into parts (as in ``gemm_split``, which adds them up), C's columns into blocks: tile
t is block t % blocks of part t / blocks.
"""

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.templates.gemm_micro import multiply, multiply_add

MOST_ROWS = 16
# B of fewer bytes a row of A is left to the tile kernels; so are products of fewer k's.
LEAST_BYTES, LEAST_K = 64 << 10, 64
PART = 256                      # the least k's of a part
PIECE_BYTES, BLOCK_BYTES = 8 << 10, 16 << 10


def wanted(driver, f, job):
    """Whether B's rows are to be read in long pieces."""
    item = driver.shape.item
    return ((job.m <= MOST_ROWS) & job.b_col.eq(item) & (job.k >= LEAST_K) & (job.n >= 2 * driver.shape.nr)
            & (job.k * job.n * item >= job.m * LEAST_BYTES))


def write_lines(driver, job_class, task):
    """Add the kernels and ``line_task``."""
    rows_of = {8: 2, 4: 4, 1: 4}
    for step, most in rows_of.items():
        for rows in range(1, most + 1):
            _kernel(driver, rows, step, f"line{step}x{rows}")
        driver._table(f"line{step}", most, f"line{step}x")
    _task(driver, job_class, task)


def _kernel(driver, rows, step, name):
    """``void line(a, ars, acs, b, brs, c, crs, n)``: one group of k's for ``rows`` rows, n columns."""
    shape = driver.shape
    f = driver.module.function(name, "void", [
        ("ptr", "a"), ("i64", "ars"), ("i64", "acs"), ("ptr", "b"), ("i64", "brs"), ("ptr", "c"), ("i64", "crs"),
        ("i64", "n")], "internal", "nounwind")
    a, ars, acs, b, brs, c, crs, n = f.args
    xs = [[f.splat(f.load(shape.element, a + ars * i + acs * q, align=1), shape.lanes) for q in range(step)]
          for i in range(rows)]
    sources, targets = [b + brs * q for q in range(step)], [c + crs * i for i in range(rows)]

    def columns(j, load, store):
        ys = [load(source + j * shape.item) for source in sources]
        for row, target in zip(xs, targets):
            at = target + j * shape.item
            total = multiply(f, shape, row[0], ys[0])
            for x, y in zip(row[1:], ys[1:]):
                total = multiply_add(f, shape, x, y, total)
            store(load(at) + total, at)

    whole = n & -shape.lanes
    with f.range(0, whole, step=shape.lanes) as j:
        columns(j, lambda at: f.load(shape.vector, at, align=1), lambda value, at: f.store(value, at, align=1))
    with f.if_(whole < n):
        mask = f.below(n - whole, shape.lanes)
        columns(whole, lambda at: f.masked_load(shape.vector, at, mask),
                lambda value, at: f.masked_store(value, at, mask))
    f.ret()


def _task(driver, job_class, task):
    shape = driver.shape
    item = shape.item
    f = driver.module.function("line_task", "void", task, "internal", "nounwind")
    job = job_class(f, f.args[0])
    m, n, k, part, blocks, width = job.m, job.n, job.k, job.part_k, job.strips, job.width
    piece = f.value(PIECE_BYTES // item)
    step = f.select(m <= 2, f.value(8), f.value(4))
    most = f.select(m <= 2, f.value(2), f.value(4))
    zeros = Value(f, "zeroinitializer", shape.vector)
    with f.range(f.args[1], f.args[2]) as t:
        block, here = t.urem(blocks), t.udiv(blocks)
        first, last = here * part, f.minimum(here * part + part, k)
        left, right = block * width, f.minimum(block * width + width, n)
        partial = job.partial + here * m * n * item
        with f.range(m) as i:
            with f.range(left, right, step=shape.lanes) as j:
                mask = f.below(right - j, shape.lanes)
                f.masked_store(zeros, partial + (i * n + j) * item, mask)
        whole = first + (last - first) // step * step
        with f.range(left, right, step=piece) as j:
            count = f.minimum(piece, right - j)

            def group(p, table, most):
                with f.range(0, m, step=most) as i:
                    rows = f.minimum(most, m - i)
                    f.call("void", driver._kernel(f, table, rows) if isinstance(table, str) else
                           f.load("ptr", table + (rows - 1) * 8),
                           job.a + (i * job.a_row + p * job.a_col), job.a_row, job.a_col,
                           job.b + (p * job.b_row + j * item), job.b_row,
                           partial + (i * n + j) * item, n * item, count)
            eight, four = f.symbol("line8_table"), f.symbol("line4_table")
            with f.range(first, whole, step=step) as p:
                group(p, f.select(m <= 2, eight, four), most)
            with f.range(whole, last) as p:
                group(p, "line1", f.value(4))
    f.ret()
