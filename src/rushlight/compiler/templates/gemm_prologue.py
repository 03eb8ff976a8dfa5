"""Products one operand of which is a formula of other matrices, computed block by block where the product reads it.

    call(c, operand, bias or None, *inputs, words) -> None      the builtin function of ``prologue(dtype)``
    words = plan(function, side, sizes, steps, inputs)

The matrix itself is never in memory as a whole: ``int8`` or ``bfloat16`` weights with their scales, an activation, a
normalization by given numbers. A task computes some of its rows (or columns) into scratch memory, which stays in the
second-level cache, and multiplies them by all of the other operand. Every element is computed once.

    side 0      rows of A
    side 1      columns of B, which is the transpose of the formula's matrix: ``x @ w.T``
    side 2      columns of B

``staging(expression, in_dtypes, out_dtype)`` is the address of

    void stage(ptr context, i64 row, i64 column, i64 rows, i64 columns, ptr out, i64 out_row)

which computes a block of the formula's matrix; the context has for each input its address and the bytes from row to row
and from column to column (adjacent elements, or 0).

The words, int64: the number of places, multiply-adds, what ``serial`` says, the side, rows or columns of a block, their
number, those of all blocks together, bytes of a block's row, the function, images, inputs; the job (``FIELDS`` of
``gemm_driver``), the context; pairs of an array's number and the word, counted from the job's first, that takes its
address; bytes from image to image of each input.
"""

import math
from functools import cache

import numpy as np

from rushlight.compiler import engine
from rushlight.compiler.expr import to_text
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.gemm_driver import (
    HERE,
    INDEX,
    LIGHT,
    LIGHT_WORK,
    PARALLEL_WORK,
    SIZE,
    copy_words,
    fill_words,
    one,
)
from rushlight.compiler.templates.gemm_formula import Formula, Operand
from rushlight.runtime import cpu

MOST_INPUTS = 6
FEW, FEW_BYTES, MANY_BYTES = 48, 128 << 10, 256 << 10     # rows of dot products, bytes of a block with and without them
BLOCK_ROWS, LEAST_ROWS = 112, 112                          # of A: of a block, of all for blocks
RELEASE_WORK = 500_000
PLACES, WORK, MODE, SIDE, BLOCK, COUNT, TOTAL, ROW_BYTES, FUNCTION, IMAGES, INPUTS, HEAD = range(12)
# The job as tasks see it: the words, job and context with addresses, whether memory was refused, inputs' steps.
_WORDS, _JOB, _CONTEXT, _FAILED, _STEPS = 0, 8, 16, 24, 32
_STAGE = (("ptr", "context"), ("i64", "row"), ("i64", "column"), ("i64", "rows"), ("i64", "columns"), ("ptr", "out"),
          ("i64", "out_row"))


@cache
def prologue(dtype):
    """The builtin function for float32 or float64; None where products go other ways than by vectors."""
    from rushlight.compiler.templates import gemm
    from rushlight.runtime import native

    name = np.dtype(dtype).name
    if name not in ("float32", "float64") or not gemm.supported(dtype) or cpu.amx():
        return None
    return native.callable_from(gemm.driver(name)["rl_prologue_call"], f"gemm_prologue_{name}", prologue.__doc__)


class Words(np.ndarray):
    """The words of a product, which are no text."""

    def __repr__(self):
        return f"{self[COUNT]} blocks"


def blocks(side, sizes, item, images=1):
    """(rows or columns of a block, number of blocks of each of the images) by the sizes (m, n, k)."""
    m, n, k = sizes
    if side == 0:
        # Even numbers, as many for each of two threads; no block of so few rows that products go another way: the last
        # one has what is left, too.
        block = -(-m // max(2 if m >= LEAST_ROWS else 1, m // (2 * BLOCK_ROWS) * 2))
        return block, max(1, (m + block - LEAST_ROWS // 2) // block)
    if side == 2:
        # Whole lines of memory.
        least, most = 64, MANY_BYTES
    else:
        least, most = (16, FEW_BYTES) if m <= FEW else (32, MANY_BYTES)
    block = max(least, most // (k * item) // least * least)
    # A share for each thread; the last block has what is left, too.
    block = min(block, max(least, n * images // 4 // least * least))
    return block, max(1, n // block)


def plan(function, side, sizes, steps, inputs, bias, item, images=1, apart=None):
    """The words of a product; ``inputs`` are pairs of bytes from row to row and from column to column.

    ``bias``: the job's field for it, True for ``bias``. Of several ``images`` (side 2), with ``c_batch`` bytes between
    their results, ``apart`` are the bytes between those of each input.
    """
    m, n, k = sizes
    job, context = np.zeros(SIZE, np.int64), np.zeros(3 * len(inputs), np.int64)
    values = {"outer": 1, "batch": 1, "m": m, "n": n, "k": k, "alpha": one(False), "factor": one(False), **steps}
    for name, value in values.items():
        job[INDEX[name]] = value
    places = [0, INDEX["c"], 1, INDEX["b" if side == 0 else "a"]]
    if bias:
        places += [2, INDEX["bias" if bias is True else bias]]
    for i, pair in enumerate(inputs):
        context[3 * i + 1:3 * i + 3] = pair
        places += [3 + i, SIZE + 3 * i]
    block, count = blocks(side, sizes, item, images)
    work = (m * n * k + (m * n + m * k + k * n) * 4) * images
    # (Rows that lie pages apart share a set of the first-level cache.)
    row_bytes = k * item + (64 if k * item % 4096 == 0 else 0)
    mode = HERE if work < LIGHT_WORK else LIGHT if work < PARALLEL_WORK else 0
    head = [len(places) // 2, math.prod(sizes) * images, mode, side, block, count, m if side == 0 else n, row_bytes,
            function, images, len(inputs)]
    rest = np.array(places + list(apart or [0] * len(inputs)), np.int64)
    return np.concatenate([np.array(head, np.int64), job, context, rest]).view(Words)


# ---------------------------------------------------------------- the formula

def staging(output, in_dtypes, out_dtype) -> int:
    """Address of the function that computes a block of ``output``; dtypes are names."""
    in_dtypes = tuple(in_dtypes)
    key = f"gemm prologue {cpu.vector_bytes()} {','.join(in_dtypes)} {out_dtype}: {to_text([output])}"
    return engine.load(key, lambda: module_text(output, in_dtypes, out_dtype), ["rl_stage"])["rl_stage"]


def module_text(output, in_dtypes, out_dtype) -> str:
    """LLVM IR of ``rl_stage``."""
    module = entries.new_module()
    f = module.function("rl_stage", "void", _STAGE, "", "nounwind")
    context, row, column, rows, columns, out, out_row = f.args
    operands = []
    for i, dtype in enumerate(in_dtypes):
        at, by_row, by_column = (f.load("i64" if j else "ptr", context + 8 * (3 * i + j)) for j in range(3))
        operands.append(Operand(dtype, at + (row * by_row + column * by_column), by_row, by_column.eq(0)))
    Formula(output, out_dtype, out_dtype).write(f, operands, rows, columns, out, out_row)
    f.ret()
    return module.text()


# ---------------------------------------------------------------- the product

def write_prologue(module, job_class, task, item):
    """Add the task and ``rl_prologue_call`` to a driver's module."""
    _task(module, job_class, task, item)
    _entry(module)


def _task(m, job_class, task, item):
    """A tile: a block of the computed operand of an image, and what of C comes of it."""
    f = m.function("prologue_task", "void", task, "internal", "nounwind")
    all_, begin, end = f.args
    words, context = f.load("ptr", all_ + _WORDS), f.load("ptr", all_ + _CONTEXT)
    job, own = job_class(f, f.load("ptr", all_ + _JOB)), job_class(f, f.buffer(8 * SIZE))
    side, block, count, total, row_bytes, inputs = (f.load("i64", words + 8 * x) for x in
                                                    (SIDE, BLOCK, COUNT, TOTAL, ROW_BYTES, INPUTS))
    of_rows, turned, k = side.eq(0), side.eq(1), job.k
    steps, here = f.load("ptr", all_ + _STEPS), f.buffer(24 * MOST_INPUTS)
    with f.range(begin, end) as tile:
        image, t = tile.udiv(count), tile.urem(count)
        first = t * block
        with f.range(inputs) as i:
            for at in (0, 8, 16):
                word = f.load("i64", context + (i * 24 + at))
                f.store(word if at else word + image * f.load("i64", steps + i * 8), here + (i * 24 + at))
        size = f.select(t.eq(count - 1), total - first, block)
        step = f.select(side.eq(2), size * item, row_bytes)
        memory = f.call("ptr", "rl_scratch", f.select(side.eq(2), k, size) * step)
        with f.if_else(memory.eq(0)) as (refused, there):
            with refused:
                f.store(f.value(1), all_ + _FAILED)
            with there:
                to = f.load("ptr", memory)
                across, none = side.eq(2), f.value(0)
                f.call("void", f.load("ptr", words + 8 * FUNCTION), here, f.select(across, none, first),
                       f.select(across, first, none), f.select(across, k, size), f.select(across, size, k), to, step)
                copy_words(f, job, own)
                own.set(serial=HERE, parts=-1)
                with f.if_else(of_rows) as (of_a, of_b):
                    with of_a:
                        own.set(a=to, c=job.c + first * job.c_row, m=size, a_row=step, a_col=item)
                    with of_b:
                        own.set(b=to, c=job.c + (first * item + image * job.c_batch))
                        bias = job.bias
                        own.set(bias=f.select(bias.eq(0), bias, bias + first * item))
                        own.set(n=size, b_row=f.select(turned, f.value(item), step),
                                b_col=f.select(turned, step, f.value(item)))
                with f.if_(f.call("i32", "product", own.pointer).ne(0)):
                    f.store(f.value(1), all_ + _FAILED)
                f.call("void", "rl_free", memory)
    f.ret()


def _entry(m):
    """``PyObject *rl_prologue_call(self, args, n)``: arrays, then the words, which are only read."""
    f = m.function("rl_prologue_call", "ptr", entries.ENTRY)
    _, args, n = f.args
    words = entries.data_of(f, args, n - 1)
    places, work, mode, side, block, count, row, images = (f.load("i64", words + 8 * i) for i in (
        PLACES, WORK, MODE, SIDE, BLOCK, COUNT, ROW_BYTES, IMAGES))
    job = f.buffer(8 * (SIZE + 3 * MOST_INPUTS))
    fill_words(f, args, words + 8 * HEAD, job, (n - 4) * 24 + 8 * SIZE, places)
    rows, columns, k, a_row = (f.load("i64", job + 8 * INDEX[x]) for x in ("m", "n", "k", "a_row"))
    by_rows = side.eq(0)
    for last in (False, True):
        size = f.select(by_rows, rows, columns) - block * (count - 1) if last else block
        f.call("void", "rl_prepare", f.select(by_rows, size, rows), f.select(by_rows, row, a_row),
               f.select(by_rows, columns, size), k, declare=False)
    all_, tiles = f.buffer(40), count * images
    steps = words + ((n - 4) * 24 + 8 * (SIZE + HEAD) + places * 16)
    for at, value in ((_WORDS, words), (_JOB, job), (_CONTEXT, job + 8 * SIZE), (_FAILED, f.value(0)), (_STEPS, steps)):
        f.store(value, all_ + at)
    with entries.released(f, work >= RELEASE_WORK), f.if_else(mode.eq(HERE)) as (here, pool):
        with here:
            f.call("void", "prologue_task", all_, f.value(0), tiles)
        with pool:
            entries.pool(f, "prologue_task", all_, f.select(mode.eq(LIGHT), f.value(0) - tiles, tiles))
    entries.done(f, f.load("i64", all_ + _FAILED))
