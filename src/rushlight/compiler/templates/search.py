"""Binary search of many values in sorted rows.

    search_kernel(dtype)(out, sequence, values, rows, n, m, shared, right)
        sequence (rows, n) or, shared, (n,); values and out (rows, m), out int64

The place of a value is the number of elements that are not >= it (with ``right``, not > it), so NaN goes to the end.
Searches run side by side in the lanes of vectors, as each waits for memory. Rows of values are cut in tiles.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY, is_signed
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.layout import Layout

_JOB = Layout(("out", "sequence", "values"), ("rows", "n", "m", "shared", "right"), ("tiles", "failed"))
_TILE, _LANES, _GROUPS = 2048, 8, 4
_PARALLEL_FROM = 1 << 11


@cache
def search_kernel(dtype):
    """The function that searches rows of a dtype (any but bfloat16)."""
    return entries.load(f"search {dtype}", lambda: module_text(dtype), ("rl_search",))[0]


def module_text(dtype):
    """The IR of the entry and its task."""
    m = entries.new_module()
    _task(m, dtype)
    _entry(m)
    return m.text()


def _task(m, dtype):
    f = entries.task(m, "rl_search_task")
    job = _JOB.words(f, f.args[0])
    type_, size = MEMORY[dtype], ITEMSIZE[dtype]
    n, count, tiles = job.n, job.m, job.tiles
    sign = "s" if is_signed(dtype) else "u"

    def search(sequence, values, places, groups, lanes, right):
        places_type = vector("i64", lanes)
        wanted = [f.load(vector(type_, lanes), values + g * lanes * size, size) for g in range(groups)]
        base = [f.var(places_type, f.value(0, places_type)) for _ in wanted]
        length = f.var("i64", n)

        def step(half):
            ahead = spread(f, half - 1, lanes)
            for v, b in zip(wanted, base):
                here = b.get()
                element = _gather(f, type_, size, sequence, here + ahead, lanes)
                go = element.compare("ule" if right else "ult", sign + ("le" if right else "lt"), v)
                b.set(f.select(go, here + spread(f, half, lanes), here))

        with f.loop() as loop:
            now = length.get()
            loop.break_if(now <= 1)
            half = now >> 1
            step(half)
            length.set(now - half)
        with f.if_(length.get().eq(1)):
            step(f.value(1))
        for g, b in enumerate(base):
            f.store(b.get(), places + g * lanes * 8, 8)

    with f.range(f.args[1], f.args[2]) as tile:
        row = tile.udiv(tiles)
        begin = tile.urem(tiles) * _TILE
        end = f.minimum(begin + _TILE, count)
        sequence = job.sequence + f.select(job.shared.ne(0), f.value(0), row * n) * size
        values = job.values + row * count * size
        places = job.out + row * count * 8
        whole = begin + ((end - begin) & -(_GROUPS * _LANES))
        with f.if_else(job.right.ne(0)) as arms:
            for arm, right in zip(arms, (True, False)):
                with arm:
                    with f.range(begin, whole, step=_GROUPS * _LANES) as i:
                        search(sequence, values + i * size, places + i * 8, _GROUPS, _LANES, right)
                    with f.range(whole, end) as i:
                        search(sequence, values + i * size, places + i * 8, 1, 1, right)
    f.ret()


def spread(f, x, lanes):
    return f.splat(x, lanes) if lanes > 1 else x


def _gather(f, type_, size, base, index, lanes):
    """The elements at the places ``index``."""
    if lanes == 1:
        return f.load(type_, base + index * size, size)
    pointers = f.emit(f"<{lanes} x ptr>", f"getelementptr {type_}, ptr {base.name}, {index.type} {index.name}")
    short = {"float": "f32", "double": "f64", "half": "f16"}.get(type_, type_)
    whole = vector(type_, lanes)
    name, mask = f"llvm.masked.gather.v{lanes}{short}.v{lanes}p0", f"<{lanes} x i1>"
    f.module.declared[name] = f"declare {whole} @{name}(<{lanes} x ptr>, i32, {mask}, {whole})"
    return f.emit(whole, f"call {whole} @{name}(<{lanes} x ptr> {pointers.name}, i32 {size}, {mask} splat (i1 true), "
                         f"{whole} poison)")


def _entry(m):
    f, job = _JOB.begin(m, "rl_search")
    tiles = (job.m + (_TILE - 1)).udiv(_TILE)
    job.set(tiles=tiles)
    total = job.rows * tiles
    entries.share(f, "rl_search_task", job.pointer, total, job.rows * job.m, _PARALLEL_FROM)
    entries.done(f, job.failed)
