"""Elements where a mask is true: counted, packed, spread out again, and their positions.

    count(mask, counts, n, shift) -> int         trues in all; counts[t] of those before tile t (tiles of TILE << shift)
    pack(v, a, mask, counts, n, shift)           v = a[mask]
    spread(a, v, mask, counts, n, shift)         a[mask] = v
    where(out, mask, counts, n, shift, step, dim_step, size ...)
                                                 coordinates of the trues, for the sizes given (outermost first):
                                                 out[k * step + d * dim_step], int64, steps in elements

Masks are n bytes, 0 or 1; all arrays are in C order. 64 mask bytes make a word, whose set bits are visited.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.templates import blocks, entries

TILE = 1 << 13                  # mask bytes a tile
WORD = 64


@cache
def counter():
    """``count``."""
    return entries.load("masks count", _count_text, ("rl_count",))[0]


@cache
def mover(name, size):
    """``pack`` or ``spread`` for elements of `size` bytes: 1, 2, 4, 8 or 16."""
    return entries.load(f"masks {name} {size}", lambda: _move_text(name, size), (f"rl_{name}",))[0]


@cache
def finder():
    """``where``."""
    return entries.load("masks where", _where_text, ("rl_where",))[0]


def tiles(n):
    """(shift, tiles): tiles of TILE << shift bytes, at most a few thousand of them."""
    shift = 0
    while n > TILE << shift + 10:
        shift += 1
    return shift, -(-n // (TILE << shift))


def _bits(f, mask, at, end):
    """The word of the mask bytes from `at`, those from `end` on left out."""
    some = vector("i8", WORD)
    word = f.var("i64", 0)
    with f.if_else(at + WORD <= end) as (whole, part):
        with whole:
            set_ = f.load(some, mask + at, 1).ne(0)
            word.set(f.emit("i64", f"bitcast {set_.type} {set_.name} to i64"))
        with part, f.range(end - at) as k:
            bit = f.load("i8", mask + (at + k)).ne(0).cast("zext", "i64")
            word.set(word.get() | (bit << k))
    return word.get()


def _each(f, word, act):
    """``act(k)`` for each set bit k, from the lowest."""
    left = f.var("i64", word)
    with f.loop() as bits:
        now = left.get()
        bits.break_if(now.eq(0))
        act(f.call("i64", "llvm.cttz.i64", now, f.value(True, "i1")))
        left.set(now & (now - 1))


def _count_text():
    m = entries.new_module()
    # Context: mask, counts, n, bytes a tile.
    f = entries.task(m, "rl_count_task")
    context = f.args[0]
    mask, counts = (f.load("ptr", context + 8 * k) for k in range(2))
    n, size = (f.load("i64", context + 8 * k) for k in (2, 3))
    with f.range(f.args[1], f.args[2]) as tile:
        end = f.minimum((tile + 1) * size, n)
        total = f.var("i64", 0)
        with f.range(tile * size, end, step=WORD) as at:
            total.set(total.get() + f.intrinsic("ctpop", _bits(f, mask, at, end)))
        f.store(total.get(), counts + tile * 8)
    f.ret()

    f = m.function("rl_count", "ptr", entries.ENTRY)
    args = f.args[1]
    context = f.buffer(32, 8)
    n = entries.int_of(f, args, 2)
    size = f.value(TILE) << entries.int_of(f, args, 3)
    counts = entries.data_of(f, args, 1)
    for k, word in enumerate((entries.data_of(f, args, 0), counts, n, size)):
        f.store(word, context + 8 * k)
    tiles_ = blocks.ceil_div(n, size)
    total = f.var("i64", 0)
    with f.if_(n > 0):
        entries.share(f, "rl_count_task", context, tiles_, n)
        with f.range(tiles_) as tile:
            here = f.load("i64", counts + tile * 8)
            f.store(total.get(), counts + tile * 8)
            total.set(total.get() + here)
    f.ret(f.call("ptr", "PyLong_FromSsize_t", total.get()))
    return m.text()


def _move_text(name, size):
    m = entries.new_module()
    # Context: packed, full, mask, counts, n, bytes a tile.
    f = entries.task(m, f"rl_{name}_task")
    context = f.args[0]
    packed, full, mask, counts = (f.load("ptr", context + 8 * k) for k in range(4))
    n, each = (f.load("i64", context + 8 * k) for k in (4, 5))
    kind = f"i{8 * size}"

    def move(to, source):
        f.store(f.load(kind, source, 1), to, 1)

    with f.range(f.args[1], f.args[2]) as tile:
        end = f.minimum((tile + 1) * each, n)
        place = f.var("ptr", packed + f.load("i64", counts + tile * 8) * size)
        with f.range(tile * each, end, step=WORD) as at:
            word = _bits(f, mask, at, end)
            here = full + at * size
            with f.if_else(word.eq(-1)) as (all_, some):
                with all_:
                    to, source = (place.get(), here) if name == "pack" else (here, place.get())
                    for k in range(size):
                        f.store(f.load(vector("i8", 64), source + 64 * k, 1), to + 64 * k, 1)
                    place.set(place.get() + 64 * size)
                with some:
                    def one(k):
                        now = place.get()
                        move(*((now, here + k * size) if name == "pack" else (here + k * size, now)))
                        place.set(now + size)
                    _each(f, word, one)
    f.ret()

    f = m.function(f"rl_{name}", "ptr", entries.ENTRY)
    args = f.args[1]
    context = f.buffer(48, 8)
    arrays = [entries.data_of(f, args, k) for k in range(4)]
    if name == "spread":
        arrays[:2] = arrays[1], arrays[0]
    n = entries.int_of(f, args, 4)
    each = f.value(TILE) << entries.int_of(f, args, 5)
    for k, word in enumerate((*arrays, n, each)):
        f.store(word, context + 8 * k)
    with f.if_(n > 0):
        entries.share(f, f"rl_{name}_task", context, blocks.ceil_div(n, each), n * 2)
    entries.none(f)
    return m.text()


def _where_text():
    m = entries.new_module()
    # Context: out, mask, counts, n, bytes a tile, step, dim_step, dims, sizes ...
    f = entries.task(m, "rl_where_task")
    context = f.args[0]
    out, mask, counts = (f.load("ptr", context + 8 * k) for k in range(3))
    n, each, step, dim_step, dims = (f.load("i64", context + 8 * k) for k in range(3, 8))
    sizes = context + 64
    step, dim_step = step * 8, dim_step * 8
    width = f.load("i64", sizes + (dims - 1) * 8)
    lead = f.buffer(8 * 64, 8)
    with f.range(f.args[1], f.args[2]) as tile:
        begin = tile * each
        end = f.minimum(begin + each, n)
        place = f.var("ptr", out + f.load("i64", counts + tile * 8) * step)
        row_end, row_start = f.var("i64", 0), f.var("i64", 0)
        with f.range(begin, end, step=WORD) as at:
            def one(k):
                i = at + k
                with f.if_(i >= row_end.get()):
                    row = i.udiv(width)
                    row_start.set(row * width)
                    row_end.set(row * width + width)
                    left = f.var("i64", row)
                    with f.range(1, dims) as back:
                        d = dims - 1 - back
                        size = f.load("i64", sizes + d * 8)
                        f.store(left.get().urem(size), lead + d * 8)
                        left.set(left.get().udiv(size))
                to = f.var("ptr", place.get())
                with f.range(dims - 1) as d:
                    f.store(f.load("i64", lead + d * 8), to.get())
                    to.set(to.get() + dim_step)
                f.store(i - row_start.get(), to.get())
                place.set(place.get() + step)
            _each(f, _bits(f, mask, at, end), one)
    f.ret()

    f = m.function("rl_where", "ptr", entries.ENTRY)
    args, count = f.args[1], f.args[2]
    context = f.buffer(8 * (8 + 64), 8)
    n = entries.int_of(f, args, 3)
    each = f.value(TILE) << entries.int_of(f, args, 4)
    words = [*(entries.data_of(f, args, k) for k in range(3)), n, each,
             *(entries.int_of(f, args, k) for k in (5, 6)), count - 7]
    for k, word in enumerate(words):
        f.store(word, context + 8 * k)
    with f.range(7, count) as k:
        f.store(entries.int_of(f, args, k), context + (k * 8 + 8))
    with f.if_(n > 0):
        entries.share(f, "rl_where_task", context, blocks.ceil_div(n, each), n * 2)
    entries.none(f)
    return m.text()
