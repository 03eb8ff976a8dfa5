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
    t = _Forward(f, dtype)
    with f.range(f.args[1], f.args[2]) as tile:
        t.begin(tile)
        with f.range(0, t.end, step=t.block) as key:
            t.fetch_block(key)
            with f.range(t.q0, t.q1, step=t.mr) as i:
                t.panel(i)
    f.call("void", "rl_free", t.scratch_block)
    f.ret()


class _Forward(Job):
    """The way of a chunk of queries past blocks of keys, a panel of ``mr`` queries at a time.

    Scratch memory has the block's keys in strips (``kt``) and its values (``vs``), the panel's queries (``qs``) and
    scores (``scores``), and for each panel its rows' running maxima and sums (``stats``). Of 16-bit floats it also has
    the block's keys as they are (``ks``) and what has been added up (``acc``), which else is added up in ``out``.
    """

    def __init__(self, f, dtype):
        super().__init__(f, dtype, ARRAYS, FIELDS)
        item, mr, nr, lanes = self.item, self.mr, self.nr, self.lanes
        self.q_pitch, self.v_pitch, self.s_pitch = (self.row_bytes(n) for n in (self.d, self.e, self.block))
        self.each = -(-mr // lanes) * lanes * item          # bytes of a panel's maxima
        strips = (self.block + (nr - 1)) & -nr
        sizes = {"kt": strips * self.d * item, "vs": self.block * self.v_pitch, "qs": self.q_pitch * mr,
                 "s": self.s_pitch * mr, "stats": (self.chunk.udiv(mr) + 1) * (2 * self.each)}
        if self.half:
            sizes |= {"ks": self.block * self.q_pitch, "acc": self.chunk * self.v_pitch}
        total = f.value(0)
        self.places = {}
        for name, nbytes in sizes.items():
            self.places[name] = total
            total = total + ((nbytes + 63) & -64)
        self.scratch_block, self.base = self.scratch(total)
        self.kt, self.vs, self.qs, self.scores, self.stats = map(self.place, ("kt", "vs", "qs", "s", "stats"))
        self.is_causal, self.few = self.causal.ne(0), self.tq <= _FEW
        self.maxima, self.sums, self.scales = (f.buffer(self.each) for _ in range(3))
        self.dropped = self.kept.ne(f.null)

    def place(self, name):
        """The address of a part of scratch memory."""
        return self.base + self.places[name]

    def begin(self, tile):
        """The head's arrays, those of the next tile's, and the chunk's queries and keys."""
        f = self.f
        bh = self.bh = tile.udiv(self.chunks)
        b, h = bh.udiv(self.heads), bh.urem(self.heads)
        hk = h.udiv(self.group)
        self.head_q, self.head_k = self.q + (b * self.q_b + h * self.q_h), self.k + (b * self.k_b + hk * self.k_h)
        self.head_v, self.head_out = self.v + (b * self.v_b + hk * self.v_h), self.out + (
            b * self.out_b + h * self.out_h)
        self.head_mask = self.mask + (b * self.mask_b + h * self.mask_h)
        self.head_lse = self.lse + bh * self.tq * self.item
        count = self.batch * self.heads * self.chunks
        self.near = self.chunks.eq(1) & (self.tk * (self.d + self.e) * self.item <= AHEAD_BYTES) & ~self.few
        self.next_q = self.head_q + to_next(self, tile, count, self.heads, "q")
        self.next_k, self.next_v = (x + to_next(self, tile, count, self.heads, name, 1, self.group)
                                    for x, name in ((self.head_k, "k"), (self.head_v, "v")))
        self.q0 = tile.urem(self.chunks) * self.chunk
        self.q1 = f.minimum(self.q0 + self.chunk, self.tq)
        self.end = f.select(self.is_causal, f.minimum(self.tk, self.q1), self.tk)

    def fetch_block(self, key):
        """The keys and values from ``key`` on: turned into strips and whole rows, unless few queries look at them."""
        f, self.key = self.f, key
        keys = self.keys = f.minimum(self.block, self.end - key)
        self.k_rows, self.k_step = self.head_k + key * self.k_t, self.k_t
        self.v_rows, self.v_step = self.head_v + key * self.v_t, self.v_t
        if self.half:
            self.fetch(self.k_rows, self.k_step, keys, self.d, self.place("ks"), self.q_pitch)
            self.k_rows, self.k_step = self.place("ks"), self.q_pitch
        with f.if_(~self.few):
            self.turned(self.k_rows, self.k_step, keys, self.d, self.kt)
        if self.half:
            self.fetch(self.v_rows, self.v_step, keys, self.e, self.vs, self.v_pitch)
            self.v_rows, self.v_step = self.vs, self.v_pitch
        else:
            with f.if_(~self.few):
                self.fetch(self.v_rows, self.v_step, keys, self.e, self.vs, self.v_pitch)
        self.first = f.splat(key.eq(0), self.lanes)

    def panel(self, i):
        """What the queries from ``i`` on take from the block of keys."""
        f, key, self.i = self.f, self.key, i
        rows = self.rows = f.minimum(f.value(self.mr), self.q1 - i)
        most = f.select(self.is_causal, f.minimum(self.end, i + rows), self.end)    # keys this panel sees in all
        limit = self.limit = f.minimum(self.keys, most - key)
        with f.if_(limit > 0):
            self.fetch(self.head_q + i * self.q_t, self.q_t, rows, self.d, self.qs, self.q_pitch)
            with f.if_(self.near & key.eq(0)):
                self.fetch_next()
            self.multiply_keys()
            panel = self.stats + (i - self.q0).udiv(self.mr) * (2 * self.each)
            self.weigh(panel)
            _update(self, panel, self.maxima, self.sums, self.scales, self.first, self.each)
            if self.half:
                to, pitch = self.place("acc") + (i - self.q0) * self.v_pitch, self.v_pitch
            else:
                to, pitch = self.head_out + i * self.out_t, self.out_t
            with f.if_(key > 0):
                _scale_rows(self, to, pitch, rows, self.scales)
            self.add_values(to, pitch)
            with f.if_(key + limit >= most):
                _finish(self, panel, self.scales, self.head_lse + i * self.item, rows, self.each)
                _scale_rows(self, to, pitch, rows, self.scales)
                if self.half:
                    f.call("void", "rl_put", to, pitch, rows, self.e, self.head_out + i * self.out_t, self.out_t,
                           declare=False)

    def fetch_next(self):
        """Ask for as many rows of the next tile's arrays as the panel has, and for those of the result."""
        f, i, rows = self.f, self.i, self.rows
        for place, step, length, n in ((self.next_q, self.q_t, self.tq, self.d),
                                       (self.next_k, self.k_t, self.tk, self.d),
                                       (self.next_v, self.v_t, self.tk, self.e)):
            fetch_lines(self, place + i * step, step, f.minimum(rows, length - i), n)
        fetch_lines(self, self.head_out + i * self.out_t, self.out_t, rows, self.e, 1)

    def multiply_keys(self):
        """The panel's scores, without their scale."""
        f, limit = self.f, self.limit
        with f.if_else(self.few) as (one_by_one, together):
            with one_by_one, f.range(self.rows) as r:
                f.call("void", "rl_dots", self.qs + r * self.q_pitch, self.k_rows, self.k_step, limit, self.d,
                       self.scores + r * self.s_pitch, declare=False)
            with together:
                self.product(self.rows, limit, self.d, self.qs, self.q_pitch, self.item, self.kt, self.nr * self.item,
                             self.d * (self.nr * self.item), self.scores, self.s_pitch, 0)

    def weigh(self, panel):
        """Weights in place of the scores, with the rows' maxima and sums."""
        f, i, key, rows, limit = self.f, self.i, self.key, self.rows, self.limit
        kept = keeping(self, self.bh, i, key)

        def own(r):
            return f.select(self.is_causal, f.minimum(limit, i + r + 1 - key), limit)

        with f.if_else(plain(self)) as (quick, any_):
            with quick:
                _softmax(self, self.scores, self.s_pitch, rows, limit, own, key.eq(0), panel, self.maxima, self.sums)
            with any_:
                where = self.head_mask + (i * self.mask_t + key * _mask_item(self))
                score_rows(self, self.scores, self.s_pitch, rows, limit, own, where,
                           lambda r, place, loop: self.row_weights(r, place, loop, panel, own, kept))

    def row_weights(self, r, place, loop, panel, own, kept):
        """Weights of a row of any scores, at ``place``."""
        f, item, lanes, (dropout, factor) = self.f, self.item, self.lanes, kept
        top = f.var(self.vector, f.value(-_INF, self.vector))

        def maximum(c, x, valid):
            self.store(x, place + c * item)
            top.set(self.larger(x, top.get()))
        loop(maximum)
        old = f.select(self.key.eq(0), f.value(-_INF, self.element), f.load(self.element, panel + r * item))
        new = self.larger(self.across(top.get(), self.larger), old)
        f.store(new, self.maxima + r * item)
        base = f.splat(f.select(new.eq(-_INF), f.value(0.0, self.element), new), lanes)
        total = f.var(self.vector, f.value(0.0, self.vector))

        def weights(drop):
            at, seen = dropout + r * self.tk, own(r)
            with f.range(0, self.limit, step=lanes) as c:
                p = self.exp(self.load(place + c * item) - base)
                total.set(total.get() + p)
                if drop:
                    p = p * factor(at + c, self.below(seen - c))
                self.store(p, place + c * item)
        with f.if_else(self.dropped) as (some, whole):
            with some:
                weights(True)
            with whole:
                weights(False)
        f.store(self.across(total.get(), lambda a, b: a + b), self.sums + r * item)

    def add_values(self, to, pitch):
        """Weights times values, added to what earlier blocks gave."""
        f, limit = self.f, self.limit
        beta = (self.key > 0).cast("zext", "i64")
        with f.if_else(self.few) as (one_by_one, together):
            with one_by_one, f.range(self.rows) as r:
                f.call("void", "rl_mix", self.scores + r * self.s_pitch, self.v_rows, self.v_step, limit, self.e,
                       to + r * pitch, beta, declare=False)
            with together:
                self.product(self.rows, self.e, limit, self.scores, self.s_pitch, self.item, self.vs, self.v_pitch,
                             self.nr * self.item, to, pitch, beta)


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
