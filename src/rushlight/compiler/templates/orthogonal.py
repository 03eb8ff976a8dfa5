"""The steps of Muon as tasks of ``phases``: momentum, orthogonalization by bfloat16 products, the update.

A parameter (float32, rows x columns) has a record of int64 words, as tiles do; ``optim/orthogonal`` lays them out.
The matrix that is orthogonalized lies in scratch memory in bfloat16 with its longer dimension along rows: tall
parameters are turned on the way in and out, in registers. Phases:

    momentum    buffer, the direction u rounded to bfloat16 into X, sums of squares of what was rounded
    norm        each matrix's norm, rounded as bfloat16 and clamped
    divide      X <- X / norm
    products    a list of ``gemm`` jobs, made beforehand, one after the other: each with the thread pool
    mirror      the part below the diagonal of a symmetric product of which the rest was computed
    update      p <- p decay + step X
"""

import numpy as np

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.lower import narrow, widen
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import gemm_driver, phases
from rushlight.compiler.templates.entries import TASK
from rushlight.compiler.templates.gemm_driver import FIELDS, INDEX, SIZE, copy_words
from rushlight.compiler.templates.jobs import Job
from rushlight.compiler.templates.squares import transposed

# Numbers of a step, doubles: weights of lerp(buffer, gradient) and lerp(gradient, buffer), from which end, whether the
# second is made.
WEIGHT, REST, NEARER_END, AHEAD, BEHIND, AHEAD_END, NESTEROV, EPS, DECAY, STEP = range(10)
NUMBERS = 10
# Words of a parameter, a tile, a mirror's tile.
P, G, BUFFER, X, RESULT, ROWS, COLUMNS, TALL, TILE, TILES, NORM, FACTOR = range(12)
PARAM_WORDS = 12
PARAM, FROM, COUNT, SQUARES = range(4)
TILE_WORDS = 4
MATRIX, PITCH, TOP, HEIGHT = range(4)
MIRROR_WORDS = 4
# Words of a context: table, numbers; for products: jobs, their number, the address of the product.
TASKS = ("momentum", "norm", "divide", "products", "mirror", "update")
SQUARE = 16                 # rows and columns that a mirror turns at a time
GROUP = 32                  # rows of tall parameters to a tile: whole cache lines of the turned matrix


def tasks():
    """{name: address} of the tasks."""
    from rushlight.runtime import cpu

    names = [f"rl_orthogonal_{name}" for name in TASKS]
    found = phases.tasks(f"orthogonal {cpu.vector_bytes()}", module_text, names)
    return {name: found[f"rl_orthogonal_{name}"] for name in TASKS}


def product_address():
    """The address of bfloat16's ``gemm_added``."""
    from rushlight.compiler.templates import gemm
    from rushlight.dtypes import bfloat16
    from rushlight.runtime import cpu

    dtype = np.dtype(bfloat16.np)
    gemm.gemm_address(dtype)
    found = gemm._code(dtype.name, dtype.num, ["rl_gemm", "rl_gemm_added", "rl_call"], {})
    return (gemm._route().half(found, dtype) if cpu.amx() else found)["rl_gemm_added"]


def job(**fields):
    """The words of a product: ``FIELDS`` of ``gemm_driver``."""
    words = np.zeros(SIZE, np.int64)
    for name, value in fields.items():
        words[INDEX[name]] = np.float64(value).view(np.int64) if name in ("alpha", "factor") else value
    assert len(FIELDS) <= SIZE
    return words


def module_text():
    """The IR of the tasks."""
    m = Module(host().triple)
    for name, write in (("momentum", _momentum), ("norm", _norm), ("divide", _divide), ("products", _products),
                        ("mirror", _mirror), ("update", _update)):
        f = m.function(f"rl_orthogonal_{name}", "void", TASK, attributes="nounwind")
        write(f, Job(f, "float32", (), ()))
        f.ret()
    return m.text()


def _numbers(f):
    base = f.load("ptr", f.args[0] + 8)
    return lambda k: f.load("double", base + 8 * k)


def _spread(f, j, number):
    return f.splat(number.cast("fptrunc", "float"), j.lanes)


def _tiles(f):
    """The loop over tiles: (tile, parameter)."""
    table = f.load("ptr", f.args[0])
    with f.range(f.args[1], f.args[2]) as t:
        tile = table + t * (8 * TILE_WORDS)
        yield tile, f.load("ptr", tile)


def _int(f, record, k):
    return f.load("i64", record + 8 * k)


def _pointer(f, record, k):
    return f.load("ptr", record + 8 * k)


def _halves(j, kind="i16"):
    return f"<{j.lanes} x {kind}>"


def _load_half(f, j, place, mask):
    x = f.load(_halves(j), place, align=2) if mask is None else f.masked_load(_halves(j), place, mask)
    return widen(x, "bfloat16")


def _store_half(f, j, x, place, mask):
    x = narrow(f, x, "bfloat16")
    if mask is None:
        f.store(x, place, align=2)
    else:
        f.masked_store(x, place, mask)


def _rounded(f, x):
    return widen(narrow(f, x, "bfloat16"), "bfloat16")


def _across(f, j, sums):
    x = sums.get().cast("fpext", "double")
    parts = [f.extract(x, k) for k in range(j.lanes)]
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def _lerp(f, old, new, weight, rest, nearer_end):
    difference = new - old
    return f.select(nearer_end, f.fma(-difference, rest, new), f.fma(difference, weight, old))


def _squares_of_rows(f, j, rows, columns, visit):
    """``visit(i, c)`` for each square of a tile of a tall matrix: its first row and column."""
    with f.range(0, rows, step=j.lanes) as i:
        with f.range(0, columns, step=j.lanes) as c:
            visit(i, c)


def _momentum(f, j):
    number = _numbers(f)
    weight, rest, ahead, behind = (_spread(f, j, number(k)) for k in (WEIGHT, REST, AHEAD, BEHIND))
    nearer_end, ahead_end = number(NEARER_END).ne(0.0), number(AHEAD_END).ne(0.0)
    nesterov = number(NESTEROV).ne(0.0)
    none = f.splat(f.value(False, "i1"), j.lanes)

    for tile, param in _tiles(f):
        g, buffer, x = (_pointer(f, param, k) for k in (G, BUFFER, X))
        columns, start, count = _int(f, param, COLUMNS), _int(f, tile, FROM), _int(f, tile, COUNT)
        sums = f.var(j.vector, f.value(0.0, j.vector))

        def direction(at, mask):
            new = j.load(g + at, mask)
            b = _lerp(f, j.load(buffer + at, mask), new, weight, rest, nearer_end)
            j.store(b, buffer + at, mask)
            u = f.select(nesterov, _lerp(f, new, b, ahead, behind, ahead_end), b)
            u = _rounded(f, u)
            sums.set(f.fma(u, u, sums.get()))
            return u

        with f.if_else(_int(f, param, TALL).ne(0)) as (tall, wide):
            with wide:
                def flat(i, mask):
                    _store_half(f, j, direction((start + i) * 4, mask), x + (start + i) * 2, mask)
                j.vectors(count, flat)
            with tall:
                rows = _int(f, param, ROWS)

                def square(i, c):
                    mask, found = j.below(columns - c), []
                    for k in range(j.lanes):
                        here = f.select(i + k < count, mask, none)
                        found.append(direction(((start + i + k) * columns + c) * 4, here))
                    down = j.below(count - i)
                    for k, u in enumerate(transposed(f, found)):
                        with f.if_(c + k < columns):
                            _store_half(f, j, u, x + ((c + k) * rows + start + i) * 2, down)
                _squares_of_rows(f, j, count, columns, square)
        f.store(_across(f, j, sums), tile + 8 * SQUARES)


def _norm(f, j):
    table, number = f.load("ptr", f.args[0]), _numbers(f)
    with f.range(f.args[1], f.args[2]) as t:
        param = table + t * (8 * PARAM_WORDS)
        total, tiles = f.var("double", 0.0), _pointer(f, param, TILE)
        with f.range(_int(f, param, TILES)) as k:
            total.set(total.get() + f.load("double", tiles + (k * TILE_WORDS + SQUARES) * 8))
        norm = _rounded(f, f.intrinsic("sqrt", total.get()).cast("fptrunc", "float"))
        least = number(EPS).cast("fptrunc", "float")
        f.store(_rounded(f, f.select(norm < least, least, norm)), param + 8 * NORM)


def _divide(f, j):
    for tile, param in _tiles(f):
        x, norm = _pointer(f, param, X), f.splat(f.load("float", param + 8 * NORM), j.lanes)
        # Tiles of tall matrices count their rows, but X is divided as it lies.
        per = f.select(_int(f, param, TALL).ne(0), _int(f, param, COLUMNS), f.value(1))
        start, count = _int(f, tile, FROM) * per, _int(f, tile, COUNT) * per

        def some(i, mask):
            place = x + (start + i) * 2
            _store_half(f, j, _load_half(f, j, place, mask) / norm, place, mask)
        j.vectors(count, some)


def _products(f, j):
    jobs, count, product = f.load("ptr", f.args[0]), _int(f, f.args[0], 1), _pointer(f, f.args[0], 2)
    own = gemm_driver.Job(f, f.buffer(8 * SIZE))
    with f.range(count) as k:
        # The product keeps what it needs in the job.
        copy_words(f, gemm_driver.Job(f, jobs + k * (8 * SIZE)), own)
        f.call("i32", product, own.pointer)


def _mirror(f, j):
    """Rows TOP to TOP + HEIGHT: the columns before them from what lies above."""
    table, kind = f.load("ptr", f.args[0]), f"<{SQUARE} x i16>"
    with f.range(f.args[1], f.args[2]) as t:
        record = table + t * (8 * MIRROR_WORDS)
        matrix, pitch, top = _pointer(f, record, MATRIX), _int(f, record, PITCH), _int(f, record, TOP)
        with f.range(0, _int(f, record, HEIGHT), step=SQUARE) as i, f.range(0, top, step=SQUARE) as c:
            row = top + i
            found = [f.load(kind, matrix + ((c + k) * pitch + row * 2), align=2) for k in range(SQUARE)]
            for k, x in enumerate(transposed(f, found)):
                f.store(x, matrix + ((row + k) * pitch + c * 2), align=2)


def _update(f, j):
    number = _numbers(f)
    decay, step = _spread(f, j, number(DECAY)), number(STEP)
    none = f.splat(f.value(False, "i1"), j.lanes)
    for tile, param in _tiles(f):
        p, x, columns = _pointer(f, param, P), _pointer(f, param, RESULT), _int(f, param, COLUMNS)
        start, count = _int(f, tile, FROM), _int(f, tile, COUNT)
        factor = _spread(f, j, step * f.load("double", param + 8 * FACTOR))

        def moved(at, u, mask):
            j.store(f.fma(factor, u, j.load(p + at, mask) * decay), p + at, mask)
        with f.if_else(_int(f, param, TALL).ne(0)) as (tall, wide):
            with wide:
                j.vectors(count, lambda i, mask: moved(
                    (start + i) * 4, _load_half(f, j, x + (start + i) * 2, mask), mask))
            with tall:
                rows = _int(f, param, ROWS)

                def square(i, c):
                    down, found = j.below(count - i), []
                    for k in range(j.lanes):
                        here = f.select(c + k < columns, down, none)
                        found.append(_load_half(f, j, x + ((c + k) * rows + start + i) * 2, here))
                    mask = j.below(columns - c)
                    for k, u in enumerate(transposed(f, found)):
                        with f.if_(i + k < count):
                            moved(((start + i + k) * columns + c) * 4, u, mask)
                _squares_of_rows(f, j, count, columns, square)


