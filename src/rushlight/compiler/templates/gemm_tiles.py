"""Products on tiles with an operand that the caller has packed: C ABI for convolutions and attention.

The weights of a convolution, or the queries of an attention block, are packed once and multiplied by many small
matrices that lie in scratch memory of a thread. With ``block`` = 32 and ``step_k``, ``step_bytes`` of a kind:

    void rl_tiles_pack_rows(ptr a, i64 row, i64 col, i64 m, i64 k, ptr dst)
        A (m, k), element (i, p) at a + i row + p col, to 64 bytes of facts about it and then its panels of
        ``block`` rows by steps of ``step_k``: dst takes 64 + ceil(m / block) ceil(k / step_k) step_bytes bytes.
    i32 rl_tiles_multiply(ptr a, i64 k, i64 first, i64 m, i64 depth, ptr b, i64 row, i64 col, i64 n, ptr c,
                          i64 c_row, i64 beta, ptr row_bias, ptr scratch)
        C = A B (+ C when beta is 1) (+ row_bias of m, null for none) for the ``depth`` columns of A from ``first``
        on, a multiple of ``step_k``; ``a`` is what ``rl_tiles_pack_rows`` made of m rows and k columns. B (depth, n)
        has strides row and col, C's columns are adjacent. scratch takes
        ceil(n / block) ceil(depth / step_k) step_bytes bytes. Returns 0, or 1 without touching C when the values of
        A or B don't suit tiles (see ``gemm_pieces``): then the caller must multiply by vectors.

All of it runs in the calling thread and allocates nothing. An element's bits depend on its row of A, its column of B,
``first`` and ``depth`` only. ``dst`` and ``scratch`` are aligned to 64 bytes.
"""

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.templates.amx import ROWS, Tiles
from rushlight.compiler.templates.gemm_amx import BLOCK, BLOCK_BYTES, SIZE, Job

HEADER = 64  # two int64: the least and the greatest magnitude of A


def write_tiles(driver):
    """The module of these functions, for the kind of elements of a ``TileDriver``."""
    driver.write_kernels()
    _pack_rows(driver)
    _multiply(driver)
    return driver.module


def _pack(f, driver, function, source, minor, major, minors, depth, steps, dst, ranges):
    """Pack all panels or strips of an operand."""
    with f.range(0, minors, step=BLOCK) as first, f.range(steps) as s, f.range(0, BLOCK, step=ROWS) as half:
        left, p = minors - (first + half), s * driver.kind.step_k
        with f.if_(left > 0):
            at = dst + ((first.udiv(BLOCK) * steps + s) * driver.step_bytes + half * 64)
            f.call("void", function, source + ((first + half) * minor + p * major), minor, major, left, depth - p,
                   at, ranges)


def _steps(f, driver, k):
    return (k + (driver.kind.step_k - 1)).udiv(driver.kind.step_k)


def _pack_rows(driver):
    f = driver.module.function("rl_tiles_pack_rows", "void", [
        ("ptr", "a"), ("i64", "row"), ("i64", "col"), ("i64", "m"), ("i64", "k"), ("ptr", "dst")],
        attributes="nounwind")
    a, row, col, m, k, dst = f.args
    ranges = f.buffer(128)
    if driver.kind.checked:
        driver.kind.clear(f, ranges)
    _pack(f, driver, "pack_rows", a, row, col, m, k, _steps(f, driver, k), dst + HEADER, ranges)
    f.store(f.value(-1), dst)
    f.store(f.value(0), dst + 8)
    if driver.kind.checked:
        driver.kind.merge(f, ranges, dst, dst + 8)
    f.ret()


def _multiply(driver):
    f = driver.module.function("rl_tiles_multiply", "i32", [
        ("ptr", "a"), ("i64", "k"), ("i64", "first"), ("i64", "m"), ("i64", "depth"), ("ptr", "b"), ("i64", "row"),
        ("i64", "col"), ("i64", "n"), ("ptr", "c"), ("i64", "c_row"), ("i64", "beta"), ("ptr", "row_bias"),
        ("ptr", "scratch")], attributes="nounwind")
    a, k, first, m, depth, b, row, col, n, c, c_row, beta, row_bias, scratch = f.args
    kind, null = driver.kind, Value(f, "null", "ptr")
    job = Job(f, f.buffer(8 * SIZE))
    one = f.value(1.0, "double").cast("bitcast", "i64") if kind.total == "float" else f.value(1)
    job.set(m=m, n=n, k=depth, c=c, c_row=c_row, beta=beta, row_bias=row_bias, bias=null, alpha=one,
            finish=null, doubtful=0, tiny=0)
    steps, ranges = _steps(f, driver, depth), f.buffer(128)
    if kind.checked:
        kind.clear(f, ranges)
    _pack(f, driver, "pack_columns", b, col, row, n, depth, steps, scratch, ranges)
    if kind.checked:
        job.set(a_low=f.load("i64", a), a_high=f.load("i64", a + 8), b_low=-1, b_high=0)
        kind.merge(f, ranges, job.at("b_low"), job.at("b_high"))
        unfit, doubtful = kind.judge(f, job)
        with f.if_(unfit | doubtful):
            f.ret(f.value(1, "i32"))
    sums = f.buffer(BLOCK_BYTES)
    tiles = Tiles(f, driver.emulated)
    tiles.configure()
    whole = _steps(f, driver, k) * driver.step_bytes
    panel = a + (HEADER + first.udiv(kind.step_k) * driver.step_bytes)
    with f.range(0, m, step=BLOCK) as i, f.range(0, n, step=BLOCK) as j:
        tall = f.select(m - i > ROWS, f.value(16), f.value(0))
        broad = f.select(n - j > ROWS, f.value(8), f.value(0))
        kernel = f.load("ptr", Value(f, "@block_table", "ptr") + (tall + broad))
        f.call("void", kernel, steps, panel + i.udiv(BLOCK) * whole,
               scratch + j.udiv(BLOCK) * steps * driver.step_bytes, sums, f.value(1))
        f.call("void", "finish_block", job.pointer, sums, i, j)
    tiles.release()
    f.ret(f.value(0, "i32"))
