"""Weighted sums of rows and columns of planes, from tables: interpolation, pooling by means, borders, their adjoints.

    resample(y, x, work, rp, ri, rw, cp, ci, cw, cm, cb, rd, cd, words)

        t[r, j] = sum_k rw[k] x[ri[k], j]           over k in rp[r] .. rp[r + 1]
        y[r, q] = sum_k cw[k, lane] t[r, ci[k, lane]] / (rd[r] cd[q])

for each plane x (rows, w) -> y (out_rows, out_w). Output columns are taken a vector at a time: group g's taps are the
vectors cp[g] .. cp[g + 1] of indices ci (int32, -1 for none) and weights cw. cm[g] says how a group is fetched from
cb[g] on: 0 gathered, 1 read as it lies, 2 permuted from two vectors. rd and cd may be null: no division. ``work``
holds a row of t a tile where a row does not fit on the stack. Tables are int64 or of the compute type.
"""

from functools import cache

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates.arrays import array_kernel

STACK = 32 << 10
ARRAYS = ("y", "x", "work", "rp", "ri", "rw", "cp", "ci", "cw", "cm", "cb", "rd", "cd")
WORDS = ("rows", "w", "out_rows", "out_w", "groups", "blocks", "block")
GATHER, PLAIN, PERMUTE = range(3)


def lanes_of(dtype):
    return host().lanes(8 if dtype == "float64" else 4)


def permutes(dtype):
    """Whether two registers can be permuted as one table."""
    return host().vector_bytes == 64 and dtype != "float64"


def gather(t, base, index, mask):
    """Elements of the compute type at ``base[index]``; zeros where the mask is off."""
    f = t.f
    pointers = f.emit(f"<{t.lanes} x ptr>", f"getelementptr {t.compute}, ptr {base.name}, {index.type} {index.name}")
    short = {"float": "f32", "double": "f64"}[t.compute]
    name = f"llvm.masked.gather.v{t.lanes}{short}.v{t.lanes}p0"
    zero = f.value(0.0, t.vector)
    t.m.declared[name] = f"declare {t.vector} @{name}(<{t.lanes} x ptr>, i32, {mask.type}, {t.vector})"
    return f.emit(t.vector, f"call {t.vector} @{name}({pointers.type} {pointers.name}, i32 {t.compute_size}, "
                  f"{mask.type} {mask.name}, {t.vector} {zero.name})")


@cache
def resample(dtype, divides):
    """The kernel; ``divides``: whether rd and cd are given."""
    wide = "float64" if dtype == "float64" else "float32"

    def write(t):
        t.type(dtype)
        f, size, wide_size = t.f, t.size, t.compute_size
        ints = vector("i32", t.lanes)
        stack = f.buffer(STACK)
        own = size == wide_size
        with t.tiles() as tile:
            plane, first = tile.udiv(t.blocks), tile.urem(t.blocks) * t.block
            x = t.x + plane * t.rows * t.w * size
            row_buffer = f.select(t.work.eq(f.null), stack, t.work + tile * t.w * wide_size)
            with f.range(first, f.minimum(first + t.block, t.out_rows)) as r:
                y = t.y + (plane * t.out_rows + r) * t.out_w * size
                begin, end = f.load("i64", t.rp + r * 8), f.load("i64", t.rp + r * 8 + 8)
                source = f.var("ptr", row_buffer)
                if own:
                    only = (end - begin).eq(1) & t.scalar(t.rw + begin * wide_size, wide).eq(1.0)
                else:
                    only = f.value(False, "i1")
                with f.if_else(only) as (as_it_is, added):
                    with as_it_is:
                        source.set(x + f.load("i64", t.ri + begin * 8) * t.w * size)
                    with added:
                        def tap(k, i, mask):
                            place = x + (f.load("i64", t.ri + k * 8) * t.w + i) * size
                            return t.load(place, mask), t.splat(t.scalar(t.rw + k * wide_size, wide))

                        def add(i, mask):
                            total = f.var(t.vector, 0.0)
                            with f.if_(begin < end):
                                v, weight = tap(begin, i, mask)
                                total.set(v * weight)
                            with f.range(begin + 1, end) as k:
                                v, weight = tap(k, i, mask)
                                total.set(f.fma(v, weight, total.get()))
                            t.store(total.get(), row_buffer + i * wide_size, mask, wide)
                        t.each(t.w, add)
                row = source.get()
                if divides:
                    row_divisor = t.splat(t.scalar(t.rd + r * wide_size, wide))
                with f.range(t.groups) as g:
                    q = g * t.lanes
                    how, base = f.load("i64", t.cm + g * 8), f.load("i64", t.cb + g * 8)
                    valid = t.mask(t.out_w - q)
                    here = row + base * wide_size
                    result = f.var(t.vector, 0.0)
                    begin, end = f.load("i64", t.cp + g * 8), f.load("i64", t.cp + g * 8 + 8)

                    def index_of(k):
                        index = f.load(ints, t.ci + k * 4 * t.lanes, 4)
                        return index, index >= 0, f.load(t.vector, t.cw + k * wide_size * t.lanes, wide_size)

                    def taps(fetch):
                        # The first by itself: adding 0 would lose the sign of -0.
                        with f.if_(begin < end):
                            index, there, weight = index_of(begin)
                            result.set(f.select(there, fetch(index, there) * weight, result.get()))
                        with f.range(begin + 1, end) as k:
                            index, there, weight = index_of(k)
                            v = f.fma(fetch(index, there), weight, result.get())
                            result.set(f.select(there, v, result.get()))
                    with f.if_else(how.eq(PLAIN)) as (plain, other):
                        with plain:
                            result.set(t.load(here, valid, wide))
                        with other:
                            if permutes(dtype):
                                with f.if_else(how.eq(PERMUTE)) as (near, far):
                                    with near:
                                        low = t.load(here, t.mask(t.w - base), wide)
                                        high = t.load(here + 64, t.mask(t.w - base - t.lanes), wide)
                                        taps(lambda index, there: f.call(
                                            t.vector, "llvm.x86.avx512.vpermi2var.ps.512", low, index, high))
                                    with far:
                                        taps(lambda index, there: gather(t, row, index, there))
                            else:
                                taps(lambda index, there: gather(t, row, index, there))
                    v = result.get()
                    if divides:
                        v = v / (row_divisor * t.load(t.cd + q * wide_size, valid, wide))
                    whole = (t.out_w - q) >= t.lanes
                    with f.if_else(whole) as (yes, no):
                        with yes:
                            t.store(v, y + q * size)
                        with no:
                            t.store(v, y + q * size, valid)
    return array_kernel(f"resample {dtype} {divides}", ARRAYS, WORDS, write)
