"""Attention without its matrix of weights: tiles of scores that never leave the cache, as generated code.

    forward(out, lse, q, k, v, mask, kept, words)
        s = scale * q k^T (+ mask),  lse = log sum_j exp s_j,  out = exp(s - lse) (* kept * keep_scale) v

for every batch and head. Queries go in chunks (a task each), a chunk past blocks of keys; of each block the row's
running maximum and sum are kept and what has been added up is scaled when the maximum grows (Milakov & Gimelshein,
arXiv:1805.02867; Dao et al., arXiv:2205.14135). With ``causal``, keys beyond a panel of queries are not looked at. A
row without any key left gives zeros and lse = -inf.

Strides are in bytes and arbitrary but for the last dimension of each array, which is adjacent. ``words`` is an int64
array of ``FIELDS``: sizes, strides of batch, head and position (a head of keys serves ``group`` heads of queries),
``kind`` of mask (0 none, 1 added, of the compute type, 2 booleans), the bits of the doubles scale and keep_scale
(where ``kept``, booleans in C order, is given), the queries of a chunk and the keys of a block. ``lse`` (batch, heads,
tq) is of the compute type: float32 for 16-bit floats. The bits depend on the block of keys alone.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value, vector
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.jobs import (
    Job,
    load,
    new_module,
    write_dots,
    write_entry,
    write_mix,
    write_rows,
)

_STRIDES = tuple(f"{array}_{level}" for array in ("q", "k", "v", "out", "mask") for level in ("b", "h", "t"))
SIZES = ("batch", "heads", "group", "tq", "tk", "d", "e", "kind", "causal", "scale", "keep_scale")
FIELDS = (*SIZES, *_STRIDES, "chunk", "chunks", "block")
ARRAYS = ("out", "lse", "q", "k", "v", "mask", "kept")
_FEW = 4                        # queries for which keys are not worth turning
_INF = float("inf")
LOG2_E = 1.4426950408889634
_FAR = 1e8                      # the largest score whose products with log2 e are off by less than 8


@cache
def kernel(dtype):
    """The forward function for a dtype's name."""
    return load("attention", dtype, module_text, "rl_attention")


def score_rows(j, s, pitch, rows, limit, own, mask, block_row):
    """Each row's scores in place: scaled, masked, -inf from the row's own limit on.

    ``own(r)`` is the number of keys row r may see here, ``mask`` the place of the mask of row 0 (its rows are
    ``mask_t`` bytes apart). ``block_row(r, place, loop)`` is called once a row; ``loop(body)`` runs body(offset,
    vector of scores, lanes that count) over the row's vectors.
    """
    f = j.f
    scale, none = j.number(j.scale), f.value(-_INF, j.vector)
    with f.range(rows) as r:
        place, seen, at = s + r * pitch, own(r), mask + r * j.mask_t

        def loop(body):
            def vectors(kind):
                with f.range(0, limit, step=j.lanes) as c:
                    x = j.load(place + c * j.item) * scale
                    valid = j.below(seen - c)
                    if kind == 1:
                        x = x + f.masked_load(j.vector, at + c * j.item, valid)
                    elif kind == 2:
                        valid = valid & f.masked_load(vector("i8", j.lanes), at + c, valid).ne(0)
                    body(c, f.select(valid, x, none), valid)
            with f.if_else(j.kind.eq(0)) as (plain, other):
                with plain:
                    vectors(0)
                with other, f.if_else(j.kind.eq(1)) as (added, chosen):
                    with added:
                        vectors(1)
                    with chosen:
                        vectors(2)
        block_row(r, place, loop)


def plain(j):
    """Whether scores are weights' exponents as they are: no mask, no dropout, a positive scale."""
    return j.kind.eq(0) & j.kept.eq(Value(j.f, "null", "ptr")) & (j.scale > 0)


def powers(j):
    """(factor, power): exp(scale x - y) is power(fma(x, factor, -y log2 e))."""
    from rushlight.compiler.codegen import coefficients as C
    from rushlight.compiler.codegen import math

    f = j.f
    factor = j.number(j.scale) * LOG2_E

    def power(x):
        """2^x of numbers that aren't much above zero; 2^-inf is 0."""
        form = math.format_of(x)
        x = math.clamp(f, x, form.exp2_range[0], None)
        n, i = math.nearest(f, x, 1.0)
        r = x - n
        return math.scale(f, f.fma(r, math.horner(f, r, C.EXP2_F32 if form is math.F32 else C.EXP2_F64), 1.0), i, n)
    return factor, power


def visible(j, seen, body, clear=None, reach=None):
    """``body(offset, lanes that count or None for all)`` over a row's first ``seen`` elements; ``clear(offset)`` for
    the vectors after them up to ``reach``."""
    f = j.f
    seen = f.select(seen > 0, seen, f.value(0))
    whole = seen & -j.lanes
    with f.range(0, whole, step=j.lanes) as c:
        body(c, None)
    with f.if_(whole < seen):
        body(whole, j.below(seen - whole))
    if clear is not None:
        with f.range((seen + (j.lanes - 1)) & -j.lanes, reach, step=j.lanes) as c:
            clear(c)


def keeping(j, h, i, first):
    """The factors of dropout: (place of row 0's first byte, factor(place, lanes))."""
    f = j.f
    place = j.kept + ((h * j.tq + i) * j.tk + first)
    scale, zero = j.number(j.keep_scale), f.value(0.0, j.vector)

    def factor(at, valid):
        return f.select(f.masked_load(vector("i8", j.lanes), at, valid).ne(0), scale, zero)
    return place, factor


def module_text(dtype):
    """The IR of the entry and its task."""
    m = new_module()
    write_rows(m, dtype)
    write_dots(m, dtype)
    write_mix(m, dtype)
    _task(m, dtype)
    write_entry(m, "rl_attention", ARRAYS, FIELDS, lambda j: (j.batch * j.heads * j.chunks,
                                                              j.batch * j.heads * j.tq * j.tk * (j.d + j.e)), dtype)
    return m.text()


def _task(m, dtype):
    """Tile: a chunk of queries of one head."""
    f = entries.task(m, "rl_attention_task")
    j = Job(f, dtype, ARRAYS, FIELDS)
    item, mr, nr, lanes = j.item, j.mr, j.nr, j.lanes
    q_pitch, v_pitch, s_pitch = j.row_bytes(j.d), j.row_bytes(j.e), j.row_bytes(j.block)
    each = -(-mr // lanes) * lanes * item           # bytes of a panel's maxima
    strips = (j.block + (nr - 1)) & -nr
    sizes = {"kt": strips * j.d * item, "vs": j.block * v_pitch, "qs": q_pitch * mr, "s": s_pitch * mr,
             "stats": (j.chunk.udiv(mr) + 1) * (2 * each)}
    if j.half:
        sizes |= {"ks": j.block * q_pitch, "acc": j.chunk * v_pitch}
    total = f.value(0)
    places = {}
    for name, nbytes in sizes.items():
        places[name] = total
        total = total + ((nbytes + 63) & -64)
    block, base = j.scratch(total)
    kt, vs, qs, s, stats = (base + places[n] for n in ("kt", "vs", "qs", "s", "stats"))
    causal, few = j.causal.ne(0), j.tq <= _FEW
    maxima, sums, scales = (f.buffer(each) for _ in range(3))
    null = Value(f, "null", "ptr")
    dropped = j.kept.ne(null)
    none, zero = f.value(-_INF, j.vector), f.value(0.0, j.vector)
    with f.range(f.args[1], f.args[2]) as tile:
        bh = tile.udiv(j.chunks)
        b, h = bh.udiv(j.heads), bh.urem(j.heads)
        hk = h.udiv(j.group)
        q, k = j.q + (b * j.q_b + h * j.q_h), j.k + (b * j.k_b + hk * j.k_h)
        v, out = j.v + (b * j.v_b + hk * j.v_h), j.out + (b * j.out_b + h * j.out_h)
        mask, lse = j.mask + (b * j.mask_b + h * j.mask_h), j.lse + bh * j.tq * item
        count = j.batch * j.heads * j.chunks
        near = j.chunks.eq(1) & (j.tk * (j.d + j.e) * item <= AHEAD_BYTES) & ~few
        next_q = q + to_next(j, tile, count, j.heads, "q")
        next_k, next_v = (x + to_next(j, tile, count, j.heads, name, 1, j.group) for x, name in ((k, "k"), (v, "v")))
        q0 = tile.urem(j.chunks) * j.chunk
        q1 = f.minimum(q0 + j.chunk, j.tq)
        end = f.select(causal, f.minimum(j.tk, q1), j.tk)
        with f.range(0, end, step=j.block) as key:
            keys = f.minimum(j.block, end - key)
            k_rows, k_step, v_rows, v_step = k + key * j.k_t, j.k_t, v + key * j.v_t, j.v_t
            if j.half:
                j.fetch(k_rows, k_step, keys, j.d, base + places["ks"], q_pitch)
                k_rows, k_step = base + places["ks"], q_pitch
            with f.if_(~few):
                j.turned(k_rows, k_step, keys, j.d, kt)
            if j.half:
                j.fetch(v_rows, v_step, keys, j.e, vs, v_pitch)
                v_rows, v_step = vs, v_pitch
            else:
                with f.if_(~few):
                    j.fetch(v_rows, v_step, keys, j.e, vs, v_pitch)
            first = f.splat(key.eq(0), lanes)
            with f.range(q0, q1, step=mr) as i:
                rows = f.minimum(f.value(mr), q1 - i)
                most = f.select(causal, f.minimum(end, i + rows), end)      # keys this panel sees in all
                limit = f.minimum(keys, most - key)
                with f.if_(limit > 0):
                    j.fetch(q + i * j.q_t, j.q_t, rows, j.d, qs, q_pitch)
                    with f.if_(near & key.eq(0)):
                        for place, step, length, n in ((next_q, j.q_t, j.tq, j.d), (next_k, j.k_t, j.tk, j.d),
                                                       (next_v, j.v_t, j.tk, j.e)):
                            fetch_lines(j, place + i * step, step, f.minimum(rows, length - i), n)
                        fetch_lines(j, out + i * j.out_t, j.out_t, rows, j.e, 1)
                    with f.if_else(few) as (one_by_one, together):
                        with one_by_one, f.range(rows) as r:
                            f.call("void", "rl_dots", qs + r * q_pitch, k_rows, k_step, limit, j.d, s + r * s_pitch,
                                   declare=False)
                        with together:
                            j.product(rows, limit, j.d, qs, q_pitch, item, kt, nr * item, j.d * (nr * item), s,
                                      s_pitch, 0)
                    panel = stats + (i - q0).udiv(mr) * (2 * each)
                    kept, factor = keeping(j, bh, i, key)

                    def own(r):
                        return f.select(causal, f.minimum(limit, i + r + 1 - key), limit)

                    def softmax(r, place, loop):
                        top = f.var(j.vector, none)

                        def maximum(c, x, valid):
                            j.store(x, place + c * item)
                            top.set(j.larger(x, top.get()))
                        loop(maximum)
                        old = f.select(key.eq(0), f.value(-_INF, j.element), f.load(j.element, panel + r * item))
                        new = j.larger(j.across(top.get(), j.larger), old)
                        f.store(new, maxima + r * item)
                        base_ = f.splat(f.select(new.eq(-_INF), f.value(0.0, j.element), new), lanes)
                        total = f.var(j.vector, zero)

                        def weights(drop):
                            at, seen = kept + r * j.tk, own(r)
                            with f.range(0, limit, step=lanes) as c:
                                p = j.exp(j.load(place + c * item) - base_)
                                total.set(total.get() + p)
                                if drop:
                                    p = p * factor(at + c, j.below(seen - c))
                                j.store(p, place + c * item)
                        with f.if_else(dropped) as (some, whole):
                            with some:
                                weights(True)
                            with whole:
                                weights(False)
                        f.store(j.across(total.get(), lambda a, b: a + b), sums + r * item)
                    with f.if_else(plain(j)) as (quick, any_):
                        with quick:
                            _softmax(j, s, s_pitch, rows, limit, own, key.eq(0), panel, maxima, sums)
                        with any_:
                            where = mask + (i * j.mask_t + key * _mask_item(j))
                            score_rows(j, s, s_pitch, rows, limit, own, where, softmax)
                    _update(j, panel, maxima, sums, scales, first, each)
                    if j.half:
                        to, to_pitch = base + places["acc"] + (i - q0) * v_pitch, v_pitch
                    else:
                        to, to_pitch = out + i * j.out_t, j.out_t
                    with f.if_(key > 0):
                        _scale_rows(j, to, to_pitch, rows, scales)
                    beta = f.emit("i64", f"zext i1 {(key > 0).name} to i64")
                    with f.if_else(few) as (one_by_one, together):
                        with one_by_one, f.range(rows) as r:
                            f.call("void", "rl_mix", s + r * s_pitch, v_rows, v_step, limit, j.e, to + r * to_pitch,
                                   beta, declare=False)
                        with together:
                            j.product(rows, j.e, limit, s, s_pitch, item, vs, v_pitch, nr * item, to, to_pitch, beta)
                    with f.if_(key + limit >= most):
                        _finish(j, panel, scales, lse + i * item, rows, each)
                        _scale_rows(j, to, to_pitch, rows, scales)
                        if j.half:
                            f.call("void", "rl_put", to, to_pitch, rows, j.e, out + i * j.out_t, j.out_t,
                                   declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _softmax(j, s, pitch, rows, limit, own, first, panel, maxima, sums):
    """Weights of a panel in place of its ``plain`` scores, with the rows' maxima and sums: all maxima first, so that
    no row waits for its own."""
    f, item, lanes = j.f, j.item, j.lanes
    none, zero = f.value(-_INF, j.vector), f.value(0.0, j.vector)
    factor, power = powers(j)
    scale = f.extract(j.number(j.scale), 0)
    with f.range(rows) as r:
        place, top = s + r * pitch, f.var(j.vector, none)

        def maximum(c, mask):
            x = j.load(place + c * item)
            top.set(j.larger(x if mask is None else f.select(mask, x, none), top.get()))
        visible(j, own(r), maximum)
        old = f.select(first, f.value(-_INF, j.element), f.load(j.element, panel + r * item))
        f.store(j.larger(j.across(top.get(), j.larger) * scale, old), maxima + r * item)
    with f.range(rows) as r:
        place, total = s + r * pitch, f.var(j.vector, zero)
        top = f.load(j.element, maxima + r * item)
        base = f.splat(f.select(top.eq(-_INF), f.value(0.0, j.element), top), lanes) * -LOG2_E

        def weights(exponent):
            def body(c, mask):
                p = power(exponent(j.load(place + c * item)))
                p = p if mask is None else f.select(mask, p, zero)
                total.set(total.get() + p)
                j.store(p, place + c * item)
            visible(j, own(r), body, lambda c: j.store(zero, place + c * item), limit)
        with f.if_else((top < _FAR) & ((top > -_FAR) | top.eq(-_INF))) as (near, far):
            with near:
                weights(lambda x: f.fma(x, factor, base))
            # The base's rounding would be more than an exponent holds.
            with far:
                weights(lambda x: (x * j.number(j.scale) - f.splat(top, lanes)) * LOG2_E)
        f.store(j.across(total.get(), lambda a, b: a + b), sums + r * item)


AHEAD_BYTES = 1 << 17           # of the keys and values of a head up to which the next one's are fetched ahead


def to_next(j, tile, count, heads, array, many=1, shared=1):
    """Bytes from the heads of an array that a tile reads to those that the next one of ``count`` tiles reads.

    A tile is one of ``heads`` heads, ``many`` of the array's, or shares one of the array's with others.
    """
    then = j.f.minimum(tile + 1, count - 1)
    batches = then.udiv(heads) - tile.udiv(heads)
    across = then.urem(heads).udiv(shared) - tile.urem(heads).udiv(shared)
    return batches * getattr(j, f"{array}_b") + across * many * getattr(j, f"{array}_h")


def fetch_lines(j, place, stride, rows, n, write=0):
    """Ask for ``rows`` rows of n elements, to be read in a while, or written soon."""
    f = j.f
    with f.range(rows) as r, f.range(0, n * j.size, step=64) as at:
        f.prefetch(place + (r * stride + at), write, 3 if write else 2)


def _mask_item(j):
    """Bytes of an element of the mask."""
    return j.f.select(j.kind.eq(2), j.f.value(1), j.f.value(j.item))


def _update(j, panel, maxima, sums, scales, first, each):
    """A panel's running maxima and sums, and the factors for what has been added up so far."""
    f, step = j.f, j.lanes * j.item
    zero, none = f.value(0.0, j.vector), f.value(-_INF, j.vector)
    for at in range(0, each, step):
        old, new = f.select(first, none, j.load(panel + at)), j.load(maxima + at)
        factor = j.exp(old - f.select(new.eq(-_INF), zero, new))
        total = f.select(first, zero, j.load(panel + (each + at)))
        j.store(f.fma(total, factor, j.load(sums + at)), panel + (each + at))
        j.store(new, panel + at)
        j.store(factor, scales + at)


def _finish(j, panel, scales, lse, rows, each):
    """log of the sum, and the factors that make sums means."""
    from rushlight.compiler.codegen import math

    f, lanes = j.f, j.lanes
    for at in range(0, each, lanes * j.item):
        top, total = j.load(panel + at), j.load(panel + (each + at))
        empty = total.eq(0.0)
        j.store(f.select(empty, f.value(0.0, j.vector), 1.0 / total), scales + at)
        j.store(top + math.log(f, total), lse + at, j.below(rows - at // j.item))


def _scale_rows(j, place, pitch, rows, scales):
    """Rows of e elements times their factors; skipped where that is 1."""
    f, lanes = j.f, j.lanes
    whole = j.e & -lanes
    tail = j.below(j.e - whole)
    with f.range(rows) as r:
        factor = f.load(j.element, scales + r * j.item)
        with f.if_(factor.compare("une", "ne", 1.0)):
            row, by = place + r * pitch, f.splat(factor, lanes)
            with f.range(0, whole, step=lanes) as c:
                j.store(j.load(row + c * j.item) * by, row + c * j.item)
            with f.if_(whole < j.e):
                at = row + whole * j.item
                j.store(f.masked_load(j.vector, at, tail) * by, at, tail)
