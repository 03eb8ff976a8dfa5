"""Products on tiles of operands that the caller has packed: C ABI for convolutions and attention.

The weights of a convolution, or the queries of an attention block, are packed once and multiplied by many small
matrices that lie in scratch memory of a thread. With ``block`` = 32 and ``step_k``, ``step_bytes`` of a kind:

    void rl_tiles_pack_rows(ptr a, i64 row, i64 col, i64 m, i64 k, ptr dst, ptr facts)
        A (m, k), element (i, p) at a + i row + p col, to panels of ``block`` rows by steps of ``step_k``: dst takes
        ceil(m / block) ceil(k / step_k) step_bytes bytes. Panels follow each other, so many calls, in several
        threads, may pack parts of A of whole panels.
    void rl_tiles_pack_columns(ptr b, i64 row, i64 col, i64 k, i64 n, ptr dst, ptr facts)
        B (k, n), element (p, j) at b + p row + j col, to strips of ``block`` columns: dst takes
        ceil(n / block) ceil(k / step_k) step_bytes bytes.
    i32 rl_tiles_multiply(ptr a, ptr a_facts, i64 k, i64 first, i64 m, i64 depth, ptr b, ptr b_facts, i64 n,
                          ptr c, i64 c_row, i64 beta, ptr row_bias)
        C = A B (+ C when beta is 1) (+ row_bias of m, null for none) for the ``depth`` columns of A from ``first``
        on, a multiple of ``step_k``; ``a`` points to packed panels of k columns, ``b`` to packed strips of depth
        rows; C's columns are adjacent. Returns 0, or 1 without touching C when the values don't suit tiles
        (see ``gemm_pieces``): then the caller must multiply by vectors.

``facts`` are two int64 about an operand's magnitudes, -1 and 0 before it is packed; packing widens them. All of it runs
in the calling thread and allocates nothing. An element's bits depend on its row of A, its column of B, ``first`` and
``depth`` only. ``dst`` is aligned to 64 bytes.
"""

from rushlight.compiler.templates.amx import ROWS, Tiles
from rushlight.compiler.templates.gemm_amx import BLOCK, BLOCK_BYTES, SIZE, Job
from rushlight.compiler.templates.gemm_driver import one

NAMES = ("rl_tiles_pack_rows", "rl_tiles_pack_columns", "rl_tiles_multiply")
_PACK = (("ptr", "source"), ("i64", "row"), ("i64", "col"), ("i64", "m"), ("i64", "n"), ("ptr", "dst"),
         ("ptr", "facts"))
_MULTIPLY = (
    ("ptr", "a"), ("ptr", "a_facts"), ("i64", "k"), ("i64", "first"), ("i64", "m"), ("i64", "depth"), ("ptr", "b"),
    ("ptr", "b_facts"), ("i64", "n"), ("ptr", "c"), ("i64", "c_row"), ("i64", "beta"), ("ptr", "row_bias"))


def bytes_of(tiles, k):
    """Bytes of a packed panel or strip of ``k`` k's (a value), for the sizes of ``gemm_route.tiles``."""
    return (k + (tiles.step_k - 1)).udiv(tiles.step_k) * tiles.step_bytes


def write_tiles(driver):
    """The module of these functions, for the kind of elements of a ``TileDriver``."""
    driver.write_kernels()
    _pack(driver, NAMES[0], "pack_rows", True)
    _pack(driver, NAMES[1], "pack_columns", False)
    _multiply(driver)
    return driver.module


def _steps(f, driver, k):
    return (k + (driver.kind.step_k - 1)).udiv(driver.kind.step_k)


def _pack(driver, name, tile, of_a):
    """Pack all panels or strips of an operand, a tile at a time."""
    kind = driver.kind
    f = driver.module.function(name, "void", _PACK, attributes="nounwind")
    source, row, col, m, n, dst, facts = f.args
    (minor, major), (minors, depth) = ((row, col), (m, n)) if of_a else ((col, row), (n, m))
    ranges, steps = f.buffer(128), _steps(f, driver, depth)
    if kind.checked:
        kind.clear(f, ranges)
    with f.range(0, minors, step=BLOCK) as first, f.range(steps) as s, f.range(0, BLOCK, step=ROWS) as half:
        left, p = minors - (first + half), s * kind.step_k
        with f.if_(left > 0):
            at = dst + ((first.udiv(BLOCK) * steps + s) * driver.step_bytes + half * 64)
            f.call("void", tile, source + ((first + half) * minor + p * major), minor, major, left, depth - p,
                   at, ranges)
    if kind.checked:
        kind.merge(f, ranges, facts, facts + 8)
    f.ret()


def _multiply(driver):
    f = driver.module.function(NAMES[2], "i32", _MULTIPLY, attributes="nounwind")
    a, a_facts, k, first, m, depth, b, b_facts, n, c, c_row, beta, row_bias = f.args
    kind, null = driver.kind, f.null
    job = Job(f, f.buffer(8 * SIZE))
    same = one(kind.total == "i32")
    job.set(m=m, n=n, k=depth, c=c, c_row=c_row, d=f.select(beta.eq(0), null, c), d_row=c_row, factor=same,
            row_bias=row_bias, bias=null, alpha=same, doubtful=0)
    if kind.checked:
        job.set(a_low=f.load("i64", a_facts), a_high=f.load("i64", a_facts + 8),
                b_low=f.load("i64", b_facts), b_high=f.load("i64", b_facts + 8))
        unfit, doubtful = kind.judge(f, job)
        with f.if_(unfit | doubtful):
            f.ret(f.value(1, "i32"))
    sums, steps = f.buffer(BLOCK_BYTES), _steps(f, driver, depth)
    tiles = Tiles(f, driver.emulated)
    tiles.configure()
    whole = _steps(f, driver, k) * driver.step_bytes
    panel = a + first.udiv(kind.step_k) * driver.step_bytes
    with f.range(0, m, step=BLOCK) as i, f.range(0, n, step=BLOCK) as j:
        tall = f.select(m - i > ROWS, f.value(16), f.value(0))
        broad = f.select(n - j > ROWS, f.value(8), f.value(0))
        kernel = f.load("ptr", f.symbol("block_table") + (tall + broad))
        f.call("void", kernel, steps, panel + i.udiv(BLOCK) * whole,
               b + j.udiv(BLOCK) * steps * driver.step_bytes, sums, f.value(1))
        f.call("void", "finish_block", job.pointer, sums, i, j)
    tiles.release()
    f.ret(f.value(0, "i32"))
