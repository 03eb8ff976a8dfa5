"""Copies between arrays of one element size and any geometry, transposes in registers.

    call(out, a)        out[...] = a, which broadcasts against it; the two share no memory

The entry reads both geometries, drops dimensions of size 1, orders the rest by the steps of `out` and merges those
that run on in both arrays. What is left is one of

    runs        the innermost dimension is dense in both (or constant in `a`): rows are copied (or filled) whole
    squares     `out` is dense in one dimension and `a` in another: transposed in registers (``squares.py``)
    elements    anything else, one by one

Results beyond ``blocks.STREAM_FROM`` bytes go past the cache. Tiles do not depend on the number of threads.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries
from rushlight.compiler.templates.squares import SPAN, Panel, block, squares

ND, DIMS, STRIDES = 24, 32, 40
MAX_DIMS = 64                   # NumPy's
OUT, A, RANK, ROWS, PER_TILE, STREAM, ACROSS, CHUNK, CHUNKS, SHAPE = range(10)
DIM_WORDS = 3                   # size, step of out, step of a; innermost first
WORDS = SHAPE + DIM_WORDS * MAX_DIMS
TILE = 1 << 16                  # bytes a tile
SHORT = 16                      # elements under which a row is too short for a loop
CHUNK_ELEMENTS = 1 << 11


@cache
def kernel(size):
    """The copy for elements of `size` bytes: 1, 2, 4, 8 or 16."""
    return entries.load(f"copy {size}", lambda: module_text(size), ("rl_copy",))[0]


def module_text(size):
    """The IR of the entry and its tasks."""
    m = entries.new_module()
    _seek(m)
    _runs(m, size)
    _squares(m, size)
    _elements(m, size)
    _entry(m, size)
    return m.text()


def _word(f, context, k):
    return f.load("ptr" if k in (OUT, A) else "i64", context + 8 * k)


def _seek(m):
    """void rl_seek(context, row, from, places): the positions in both arrays of a row of the dimensions from
    `from` on."""
    f = m.function("rl_seek", "void", [("ptr", "context"), ("i64", "row"), ("i64", "from"), ("ptr", "places")],
                   "internal", "nounwind")
    context, row, start, places = f.args
    to, source = f.var("ptr", _word(f, context, OUT)), f.var("ptr", _word(f, context, A))
    left = f.var("i64", row)
    dim = f.var("ptr", context + (start * (8 * DIM_WORDS) + 8 * SHAPE))
    with f.loop() as dims:
        dims.break_if(left.get().eq(0))
        here, now = dim.get(), left.get()
        size = f.load("i64", here)
        at = now.urem(size)
        left.set(now.udiv(size))
        to.set(to.get() + at * f.load("i64", here + 8))
        source.set(source.get() + at * f.load("i64", here + 16))
        dim.set(here + 8 * DIM_WORDS)
    f.store(to.get(), places)
    f.store(source.get(), places + 8)
    f.ret()


def _at_row(f, context, row, start, places):
    f.call("void", "rl_seek", context, row, f.value(start), places)
    return f.load("ptr", places), f.load("ptr", places + 8)


def _ahead(f, context, row, rows, stream, places):
    """How many bytes further the next row of `a` lies, of a stream; else 0."""
    ahead = f.var("i64", 0)
    with f.if_(stream & (row + 1 < rows)):
        here, later = (blocks.address(f, _at_row(f, context, r, 1, places)[1]) for r in (row, row + 1))
        ahead.set(later - here)
    return ahead.get()


def _dim(f, context, d):
    """(size, step of out, step of a) of dimension `d`."""
    if isinstance(d, int):
        return [f.load("i64", context + 8 * (SHAPE + DIM_WORDS * d + k)) for k in range(3)]
    place = context + (d * (8 * DIM_WORDS) + 8 * SHAPE)
    return [f.load("i64", place + 8 * k) for k in range(3)]


def _runs(m, size):
    """Rows that are dense in both arrays, or one element of `a` again and again; long ones in several chunks."""
    f = entries.task(m, "rl_copy_runs")
    context = f.args[0]
    rows, each, stream = (_word(f, context, k) for k in (ROWS, PER_TILE, STREAM))
    chunk, chunks = _word(f, context, CHUNK), _word(f, context, CHUNKS)
    length, _, step = _dim(f, context, 0)
    places = f.buffer(16, 8)
    with f.range(f.args[1], f.args[2]) as tile:
        first = tile.urem(chunks) * chunk
        count = f.minimum(length - first, chunk)
        row = tile.udiv(chunks) * each
        last, next_tile = f.minimum(row + each, rows), f.fresh("tile")
        with f.if_((rows > 1) & step.ne(0) & stream.eq(0) & chunks.eq(1)):
            n, out_next, a_next = _dim(f, context, 1)
            now = f.var("i64", row)
            with f.loop() as groups:
                r = now.get()
                groups.break_if(r >= last)
                together = f.minimum(n - r.urem(n), last - r)
                to, source = _at_row(f, context, r, 1, places)
                blocks.copy_rows(f, to, source, length * size, together, out_next, a_next)
                now.set(r + together)
            f.terminate(f"br label %{next_tile}")
        with f.range(row, last) as r:
            ahead = _ahead(f, context, r, rows, stream.ne(0), places)
            to, source = _at_row(f, context, r, 1, places)
            to = to + first * size
            with f.if_else(step.ne(0)) as (dense, constant):
                with dense:
                    # Where rows do not follow each other, the hardware does not see where the next one begins.
                    apart = ahead.ne(0) & ahead.ne(length * size)
                    with f.if_else(apart) as (far, near):
                        with far:
                            blocks.copy_run(f, to, source + first * size, count * size, f.value(True, "i1"), ahead)
                        with near:
                            blocks.copy_run(f, to, source + first * size, count * size, stream.ne(0))
                with constant:
                    _repeat(f, to, source, count, size, stream)
        f.label(next_tile)
    f.ret()


def _repeat(f, to, source, count, size, stream):
    one = f.load(f"i{8 * size}", source, 1)
    if size > 8:
        with f.range(count) as i:
            f.store(one, to + i * size, 1)
        return
    blocks.fill_run(f, to, f.splat(one, blocks.RUN // size), count * size, stream.ne(0))


def _elements(m, size):
    """Rows of elements at any steps, long ones in several chunks."""
    f = entries.task(m, "rl_copy_elements")
    context = f.args[0]
    rows, each = _word(f, context, ROWS), _word(f, context, PER_TILE)
    chunk, chunks = _word(f, context, CHUNK), _word(f, context, CHUNKS)
    length, out_step, step = _dim(f, context, 0)
    kind = f"i{8 * size}"
    places = f.buffer(16, 8)
    lanes = max(host().vector_bytes // size, 1)
    stream = _word(f, context, STREAM).ne(0)
    with f.range(f.args[1], f.args[2]) as tile:
        first = tile.urem(chunks) * chunk
        count = f.minimum(length - first, chunk)
        row = tile.udiv(chunks) * each
        with f.range(row, f.minimum(row + each, rows)) as r:
            ahead = _ahead(f, context, r, rows, stream, places)
            to, source = _at_row(f, context, r, 1, places)
            to, source = to + first * out_step, source + first * step
            done = f.var("i64", 0)
            if size <= 8:
                with f.if_(step.eq(-size) & out_step.eq(size)):
                    _reversed(f, to, source, count, size, lanes, stream, ahead)
                    done.set(count & -lanes)
                with f.if_(step.eq(2 * size) & out_step.eq(size) & (count > lanes)):
                    # The last vector would be read beyond the last element.
                    done.set((count - 1) & -lanes)
                    _alternate(f, to, source, done.get(), size, lanes, stream)
            at = f.var("ptr", source + done.get() * step)
            place = f.var("ptr", to + done.get() * out_step)
            with f.range(done.get(), count):
                here, there = at.get(), place.get()
                f.store(f.load(kind, here, 1), there, 1)
                at.set(here + step)
                place.set(there + out_step)
    f.ret()


def _reversed(f, to, source, count, size, lanes, stream, ahead):
    """Whole vectors of a row that `a` has backwards, the next row `ahead` bytes further; aligned ones of a stream go
    past the cache."""
    kind = vector(f"i{8 * size}", lanes)
    aligned = (blocks.address(f, to) & (lanes * size - 1)).eq(0)
    with f.if_else(stream & aligned) as (past, normal):
        for arm, around, align in ((past, True, lanes * size), (normal, False, 1)):
            with arm, f.range(0, count & -lanes, step=lanes) as i:
                here = source + (i + (lanes - 1)) * -size
                if around:
                    # Of a single row, or the last one, this is the line itself.
                    f.prefetch(here + ahead, near=2)
                v = f.load(kind, here, 1)
                f.store(f.shuffle(v, v, list(range(lanes - 1, -1, -1))), to + i * size, align, around)


def _alternate(f, to, source, count, size, lanes, stream):
    """Every other element of a row, in whole vectors; aligned ones of a stream go past the cache."""
    kind = vector(f"i{8 * size}", lanes)
    aligned = (blocks.address(f, to) & (lanes * size - 1)).eq(0)
    with f.if_else(stream & aligned) as (past, normal):
        for arm, around, align in ((past, True, lanes * size), (normal, False, 1)):
            with arm, f.range(0, count, step=lanes) as i:
                low, high = (f.load(kind, source + (i * 2 + k) * size, 1) for k in (0, lanes))
                f.store(f.shuffle(low, high, list(range(0, 2 * lanes, 2))), to + i * size, align, around)


def _squares(m, size):
    """Dimension 0 is dense in `out`, dimension ACROSS in `a`. A tile is a range of bands of rows of `a`."""
    f = entries.task(m, "rl_copy_squares")
    context = f.args[0]
    panel = Panel(size)
    across = _word(f, context, ACROSS)
    p, _, a_row = _dim(f, context, 0)
    q, out_row, _ = _dim(f, context, across)
    chunk, chunks = _word(f, context, CHUNK), _word(f, context, CHUNKS)
    stream = _word(f, context, STREAM).ne(0)
    each = _word(f, context, PER_TILE)
    height = panel.height(f, p)
    bands = blocks.ceil_div(p, height)
    groups = blocks.ceil_div(bands, each)
    small = (p < panel.rows) | (q < panel.lanes)
    places = f.buffer(16, 8)
    with f.range(f.args[1], f.args[2]) as tile:
        left = tile.udiv(chunks)
        first = tile.urem(chunks) * chunk
        last = f.minimum(first + chunk, q)
        to, source = _at_row(f, context, left.udiv(groups), 1, places)
        band = left.urem(groups) * each
        with f.range(band, f.minimum(band + each, bands)) as k:
            i = k * height
            rows = f.minimum(height, p - i)
            # The last rows and columns overlap those before where they alone are too few.
            least = f.select(small, f.value(panel.n), f.value(panel.rows))
            i = f.select(rows < least, p - least, i)
            rows = f.select(rows < least, least, rows)
            here, there = source + i * a_row, to + i * size
            with f.if_else(small) as (few, many):
                with few:
                    j = f.minimum(first, q - panel.n)
                    squares(f, panel, there + j * out_row, out_row, here + j * size, a_row, rows, last - j)
                with many:
                    with f.range(first, last, step=panel.block) as at:
                        j = f.minimum(at, q - panel.lanes)
                        end = f.minimum(at + panel.block, last)
                        # Along the rows, then on to the next ones.
                        ahead = f.select(end < q, here + (j + panel.block) * size, source + (i + height) * a_row)
                        block(f, panel, there + j * out_row, out_row, here + j * size, a_row, rows, end - j,
                              ahead, stream)
    f.ret()


def _entry(m, size):
    f = m.function("rl_copy", "ptr", entries.ENTRY)
    args = f.args[1]
    out, a = f.load("ptr", args), f.load("ptr", args + 8)
    context = f.buffer(8 * WORDS, 8)
    f.store(f.load("ptr", out + entries.DATA), context + 8 * OUT)
    f.store(f.load("ptr", a + entries.DATA), context + 8 * A)
    nd, a_nd = (f.load("i32", x + ND).cast("sext", "i64") for x in (out, a))
    shape, steps = f.load("ptr", out + DIMS), f.load("ptr", out + STRIDES)
    a_shape, a_steps = f.load("ptr", a + DIMS), f.load("ptr", a + STRIDES)
    rank, total = f.var("i64", 0), f.var("i64", 1)

    def dim(d):
        return context + (d * (8 * DIM_WORDS) + 8 * SHAPE)

    # Dimensions of more than one element, sorted by the steps of out, from the smallest on.
    with f.range(nd) as k:
        d = nd - 1 - k
        n = f.load("i64", shape + d * 8)
        total.set(total.get() * n)
        with f.if_(n.ne(1)):
            step, a_step = f.load("i64", steps + d * 8), f.var("i64", 0)
            e = d - (nd - a_nd)
            with f.if_(e >= 0), f.if_(f.load("i64", a_shape + e * 8).ne(1)):
                a_step.set(f.load("i64", a_steps + e * 8))
            at = f.var("i64", rank.get())
            with f.loop() as move:
                move.break_if(at.get() <= 0)
                below = dim(at.get() - 1)
                other = f.load("i64", below + 8)
                move.break_if(_magnitude(f, other) <= _magnitude(f, step))
                for w in range(DIM_WORDS):
                    f.store(f.load("i64", below + 8 * w), dim(at.get()) + 8 * w)
                at.set(at.get() - 1)
            place = dim(at.get())
            for w, value in enumerate((n, step, a_step.get())):
                f.store(value, place + 8 * w)
            rank.set(rank.get() + 1)
    total = total.get()
    with f.if_(total.eq(0)):
        entries.none(f)
    with f.if_(rank.get().eq(0)):
        for w, value in enumerate((1, size, size)):
            f.store(f.value(value), dim(f.value(0)) + 8 * w)
        rank.set(1)
    # Dimensions that run on from the one below join it.
    kept = f.var("i64", 0)
    with f.range(1, rank.get()) as d:
        here, below = dim(d), dim(kept.get())
        n, step, a_step = (f.load("i64", here + 8 * w) for w in range(3))
        n0, step0, a_step0 = (f.load("i64", below + 8 * w) for w in range(3))
        with f.if_else(step.eq(step0 * n0) & a_step.eq(a_step0 * n0)) as (joins, stays):
            with joins:
                f.store(n * n0, below)
            with stays:
                kept.set(kept.get() + 1)
                place = dim(kept.get())
                for w, value in enumerate((n, step, a_step)):
                    f.store(value, place + 8 * w)
    rank.set(kept.get() + 1)
    _choose(f, context, rank.get(), total, size, dim)
    entries.none(f)


def _magnitude(f, value):
    return f.select(value < 0, f.value(0) - value, value)


def _choose(f, context, rank, total, size, dim):
    """Settle the tiles and run them."""
    def put(k, value):
        f.store(f.value(value), context + 8 * k)

    put(RANK, rank)
    nbytes = total * size
    length, step, a_step = _dim(f, context, 0)
    put(STREAM, (nbytes >= blocks.STREAM_FROM).cast("zext", "i64"))
    dense = step.eq(size) & (a_step.eq(size) | a_step.eq(0))
    done = f.fresh("copied")
    with f.if_(dense):
        rows = total.udiv(length)
        chunk = f.minimum(length, TILE // size)
        chunks = blocks.ceil_div(length, chunk)
        each = blocks.at_least(f, f.value(TILE // size).udiv(length), 1)
        for k, value in ((ROWS, rows), (CHUNK, chunk), (CHUNKS, chunks), (PER_TILE, each)):
            put(k, value)
        # A stream of short rows would write parts of lines.
        with f.if_((rows > 1) & (length < 512 // size)):
            put(STREAM, 0)
        entries.share(f, "rl_copy_runs", context, blocks.ceil_div(rows, each) * chunks, nbytes)
        f.terminate(f"br label %{done}")
    panel = Panel(size)
    with f.if_(step.eq(size) & (length >= panel.n)):
        with f.range(1, rank) as d:
            q, _, across = _dim(f, context, d)
            with f.if_(across.eq(size) & (q >= panel.n)):
                _plan_squares(f, context, d, panel, q, put, dim, rank)
                bands = blocks.ceil_div(length, panel.height(f, length))
                chunk, each = _word(f, context, CHUNK), _word(f, context, PER_TILE)
                outer = total.udiv(length * q)
                tiles = blocks.ceil_div(q, chunk) * blocks.ceil_div(bands, each) * outer
                entries.share(f, "rl_copy_squares", context, tiles, nbytes)
                f.terminate(f"br label %{done}")
    # The longer of the two innermost dimensions goes innermost, in chunks that stay in the nearest cache.
    with f.if_((rank > 1) & (length < SHORT)), f.if_(_dim(f, context, 1)[0] > length):
        for w in range(DIM_WORDS):
            zero, one = context + 8 * (SHAPE + w), context + 8 * (SHAPE + DIM_WORDS + w)
            first, second = f.load("i64", zero), f.load("i64", one)
            f.store(second, zero)
            f.store(first, one)
    length, step, a_step = _dim(f, context, 0)
    rows = total.udiv(length)
    backwards = step.eq(size) & a_step.eq(-size)
    chunk = f.minimum(length, f.select(backwards, f.value(TILE // size), f.value(CHUNK_ELEMENTS)))
    chunks = blocks.ceil_div(length, chunk)
    each = blocks.at_least(f, f.value(TILE // size).udiv(chunk), 1)
    for k, value in ((ROWS, rows), (CHUNK, chunk), (CHUNKS, chunks), (PER_TILE, each)):
        put(k, value)
    entries.share(f, "rl_copy_elements", context, blocks.ceil_div(rows, each) * chunks, nbytes)
    f.label(done)


def _plan_squares(f, context, d, panel, q, put, dim, rank):
    """Move dimension `d` behind all others, where the search for rows does not see it, and cut the tiles."""
    size, length = panel.size, _dim(f, context, 0)[0]
    words = [f.load("i64", dim(d) + 8 * w) for w in range(DIM_WORDS)]
    with f.range(d, rank - 1) as e:
        for w in range(DIM_WORDS):
            f.store(f.load("i64", dim(e + 1) + 8 * w), dim(e) + 8 * w)
    for w, value in enumerate(words):
        f.store(value, dim(rank - 1) + 8 * w)
    put(ACROSS, rank - 1)
    chunk = f.minimum(q, SPAN)
    put(CHUNK, chunk)
    put(CHUNKS, blocks.ceil_div(q, chunk))
    put(PER_TILE, blocks.at_least(f, f.value(TILE // size).udiv(chunk * panel.height(f, length)), 1))
    # Only whole lines go past the cache.
    steps = f.var("i64", blocks.address(f, f.load("ptr", context + 8 * OUT)) | (length * size))
    with f.range(1, rank) as e:
        steps.set(steps.get() | f.load("i64", dim(e) + 8))
    with f.if_((steps.get() & 63).ne(0)):
        put(STREAM, 0)
