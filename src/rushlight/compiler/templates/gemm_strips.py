"""Products of operands that the caller has packed: C ABI for templates that make B in the packed order.

Convolutions write window columns straight into strips of B in scratch memory of a thread and multiply
them at once; the weights are packed one time a call. With MR = ``mr`` and NR = ``nr`` of ``gemm.strips``:

    void rl_pack_rows(ptr a, i64 row, i64 col, i64 m, i64 k, ptr dst)
        A (m, k), element (i, p) at a + i row + p col, to panels: panel t holds rows t h to t h + h - 1
        for every p: dst[(t k + p) h + i], where h = ceil(m / ceil(m / MR)). dst takes
        ceil(m / h) h k elements (at most (m + MR - 1) k).
    void rl_pack_columns(ptr b, i64 row, i64 col, i64 k, i64 n, ptr dst)
        B (k, n), element (p, j) at b + p row + j col, to strips of NR columns:
        dst[(t k + p) NR + j]. dst takes ceil(n / NR) NR k elements; columns past n may hold anything.
    void rl_multiply_packed(ptr a, i64 m, i64 k, ptr b, i64 n, ptr c, i64 c_row, i64 beta, ptr bias,
                            ptr row_bias)
        C = A B (+ C when beta is 1) (+ bias of n) (+ row_bias of m), null for none; c_row in bytes,
        C's columns adjacent. Any n: one strip or many. Runs in the calling thread, allocates nothing.

Sums over k run in blocks of a fixed size, in order: an element's bits depend on k only, not on how the
caller cuts m and n. Memory may have any alignment (64 bytes are best).
"""

from rushlight.compiler.codegen.builder import Value


def write_strips(driver):
    """Add the functions to the driver's module."""
    m, shape, prefix = driver.module, driver.shape, driver.prefix
    nr = shape.nr

    f = m.function(f"{prefix}_pack_rows", "void", [
        ("ptr", "a"), ("i64", "row"), ("i64", "col"), ("i64", "m"), ("i64", "k"), ("ptr", "dst")])
    a, row, col, rows, k, dst = f.args
    height = _height(f, shape, rows)
    f.call("void", "pack_strips", a, row, col, k, rows, height, dst)
    f.ret()

    f = m.function(f"{prefix}_pack_columns", "void", [
        ("ptr", "b"), ("i64", "row"), ("i64", "col"), ("i64", "k"), ("i64", "n"), ("ptr", "dst")])
    b, row, col, k, n, dst = f.args
    f.call("void", "pack_strips", b, col, row, k, n, f.value(nr), dst)
    f.ret()
    _multiply(driver)


def _height(f, shape, m):
    """Rows of a panel: as equal as they can be."""
    panels = (m + (shape.mr - 1)).udiv(shape.mr)
    panels = f.select(panels < 1, f.value(1), panels)
    return (m + panels - 1).udiv(panels)


def _multiply(driver):
    shape, block = driver.shape, driver.tuning.k_block
    item, nr = shape.item, shape.nr
    f = driver.module.function(f"{driver.prefix}_multiply_packed", "void", [
        ("ptr", "a"), ("i64", "m"), ("i64", "k"), ("ptr", "b"), ("i64", "n"), ("ptr", "c"), ("i64", "c_row"),
        ("i64", "beta"), ("ptr", "bias"), ("ptr", "row_bias")])
    a, m, k, b, n, c, c_row, beta, bias, row_bias = f.args
    null, zero = Value(f, "null", "ptr"), Value(f, "@zero", "ptr")
    one = f.value(1, shape.element)
    with f.if_((m <= 0) | (n <= 0)):
        f.ret()
    height = _height(f, shape, m)
    some_k = f.select(k < 1, f.value(1), k)
    blocks = (some_k + (block - 1)).udiv(block)
    step = (some_k + blocks - 1).udiv(blocks)
    with f.range(0, some_k, step=step) as p:
        depth = f.minimum(step, k - p)
        first = p.eq(0)
        old = f.select(first & beta.eq(0), null, c)
        has_rows = first & row_bias.ne(0)
        rstep = f.select(has_rows, f.value(item), f.value(0))
        with f.range(0, m, step=height) as row:
            rows = f.minimum(height, m - row)
            panel = a + (row * k + p * height) * item
            rbias = f.select(has_rows, row_bias + row * item, zero)
            kernels = {name: driver._kernel(f, name, rows) for name in ("full", "edge", "narrow")}
            with f.range(0, n, step=nr) as column:
                left = n - column
                part = f.select(left > shape.lanes, kernels["edge"], kernels["narrow"])
                kernel = f.select(left >= nr, kernels["full"], part)
                here = f.select(first & bias.ne(0), bias + column * item, null)
                f.call("void", kernel, depth, panel, f.value(item), height * item,
                       b + (column * k + p * nr) * item, f.value(nr * item),
                       c + (row * c_row + column * item), c_row, left,
                       f.select(old.eq(0), old, old + (row * c_row + column * item)), c_row, here, rbias, rstep,
                       one, one)
    f.ret()
