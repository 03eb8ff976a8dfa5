"""Gradients of ``attention`` from its result and logsumexp, without the matrix of weights, as generated code.

    backward(dq, dk, dv, g, out, lse, q, k, v, mask, kept, words)

With p = exp(s - lse), the weights, and w = kept * keep_scale (1 without dropout):

    dv = (w p)^T g,  dp = w (g v^T),  ds = scale * p (dp - rowsum(g out)),  dq = ds k,  dk = ds^T q

Blocks of keys are gone through in order and, for each, blocks of queries: five products a pair (Dao et al.,
arXiv:2205.14135, algorithm 4). Sums over heads of a group and over queries are added up in scratch memory in that
order, sums over keys in dq; so the bits don't depend on how the work is shared out. ``split`` says how: 0, a task does
all of a head of keys (with its group); 1, a task makes dk and dv of ``parts`` blocks' share; 2, dq of a share of the
queries. Words beyond ``attention``'s: strides of g, dq, dk and dv, the queries of a block.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Value
from rushlight.compiler.templates import attention as forward
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.attention import (
    AHEAD_BYTES,
    LOG2_E,
    fetch_lines,
    keeping,
    plain,
    powers,
    score_rows,
    to_next,
    visible,
)
from rushlight.compiler.templates.jobs import Job, load, new_module, write_entry, write_rows

_STRIDES = tuple(f"{array}_{level}" for array in ("q", "k", "v", "out", "mask", "g", "dq", "dk", "dv")
                 for level in ("b", "h", "t"))
FIELDS = (*forward.SIZES, *_STRIDES, "split", "parts", "q_block", "block")
ARRAYS = ("dq", "dk", "dv", "g", "out", "lse", "q", "k", "v", "mask", "kept")


@cache
def kernel(dtype):
    """The backward function for a dtype's name."""
    return load("attention_backward", dtype, module_text, "rl_attention_backward")


def module_text(dtype):
    """The IR of the entry and its task."""
    m = new_module()
    write_rows(m, dtype)
    _task(m, dtype)

    def plan(j):
        count = j.batch * j.heads.udiv(j.group) * j.parts
        return count, j.batch * j.heads * j.tq * j.tk * (j.d + j.e) * 3
    write_entry(m, "rl_attention_backward", ARRAYS, FIELDS, plan, dtype)
    return m.text()


def _largest(f, a, b):
    b = f.value(b)
    return f.select(a > b, a, b)


def _task(m, dtype):
    """Tile: a head of keys, or a part of one (see ``split``)."""
    f = entries.task(m, "rl_attention_backward_task")
    j = Job(f, dtype, ARRAYS, FIELDS)
    item, mr, nr = j.item, j.mr, j.nr
    zero = f.value(0)
    d_pitch, v_pitch, s_pitch = j.row_bytes(j.d), j.row_bytes(j.e), j.row_bytes(j.block)
    strips = (j.block + (nr - 1)) & -nr
    for_keys, for_queries = j.split.ne(2), j.split.ne(1)
    sizes = {"kt": strips * j.d * item, "vt": strips * j.e * item, "ks": j.block * d_pitch,
             "dk": j.block * d_pitch, "dv": j.block * v_pitch, "q": j.q_block * d_pitch, "g": j.q_block * v_pitch,
             "p": j.q_block * s_pitch, "ds": j.q_block * s_pitch, "o": v_pitch * mr}
    if j.half:
        sizes |= {"vs": j.block * v_pitch, "dq": f.select(for_queries, j.group * j.tq * d_pitch, zero)}
    total, places = zero, {}
    for name, nbytes in sizes.items():
        places[name] = total
        total = total + ((nbytes + 63) & -64)
    block, base = j.scratch(total)
    at = {name: base + place for name, place in places.items()}
    causal = j.causal.ne(0)
    key_heads = j.heads.udiv(j.group)
    with f.range(f.args[1], f.args[2]) as tile:
        head, part = tile.udiv(j.parts), tile.urem(j.parts)
        b, hk = head.udiv(key_heads), head.urem(key_heads)

        def share(n, size, mine):
            """This part's range of [0, n) in whole blocks of ``size``, or all of it."""
            blocks = (n + (size - 1)).udiv(size)
            low, high = part * blocks // j.parts * size, (part + 1) * blocks // j.parts * size
            return f.select(mine, low, zero), f.select(mine, f.minimum(high, n), n)
        key0, key1 = share(j.tk, j.block, j.split.eq(1))
        q0, q1 = share(j.tq, j.q_block, j.split.eq(2))
        k, v = j.k + (b * j.k_b + hk * j.k_h), j.v + (b * j.v_b + hk * j.v_h)
        ahead = _Ahead(j, tile, key_heads, k, v)
        with f.range(key0, key1, step=j.block) as key:
            keys = f.minimum(j.block, key1 - key)
            j.fetch(k + key * j.k_t, j.k_t, keys, j.d, at["ks"], d_pitch)
            j.turned(at["ks"], d_pitch, keys, j.d, at["kt"])
            if j.half:
                j.fetch(v + key * j.v_t, j.v_t, keys, j.e, at["vs"], v_pitch)
                j.turned(at["vs"], v_pitch, keys, j.e, at["vt"])
            else:
                j.turned(v + key * j.v_t, j.v_t, keys, j.e, at["vt"])
            _clear(j, at["dk"], keys * d_pitch)
            _clear(j, at["dv"], keys * v_pitch)
            with f.range(hk * j.group, (hk + 1) * j.group) as h, f.range(q0, q1, step=j.q_block) as i:
                queries = f.minimum(j.q_block, q1 - i)
                seen = f.select(causal, f.minimum(keys, i + queries - key), keys)
                with f.if_(seen > 0):
                    pair = _Pair(j, at, b, h, hk, key, i, queries, seen, (d_pitch, v_pitch, s_pitch))
                    pair.scores(for_queries, causal, ahead)
                    with f.if_(for_keys):
                        pair.key_sums(causal, ahead, i + j.q_block >= q1)
            with f.if_(for_keys):
                for name, pitch, n in (("dk", d_pitch, j.d), ("dv", v_pitch, j.e)):
                    strides = [getattr(j, f"{name}_{level}") for level in "bht"]
                    to = getattr(j, name) + (b * strides[0] + hk * strides[1] + key * strides[2])
                    f.call("void", "rl_put", at[name], pitch, keys, n, to, strides[2], declare=False)
        if j.half:
            with f.if_(for_queries), f.range(j.group) as g:
                from_ = at["dq"] + (g * j.tq + q0) * d_pitch
                to = j.dq + (b * j.dq_b + (hk * j.group + g) * j.dq_h + q0 * j.dq_t)
                f.call("void", "rl_put", from_, d_pitch, q1 - q0, j.d, to, j.dq_t, declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _clear(j, place, nbytes):
    nothing = j.f.value(0.0, j.vector)
    with j.f.range(0, nbytes, step=j.lanes * j.item) as c:
        j.store(nothing, place + c)


class _Ahead:
    """Fetches what the next tile will read, and lines that this one will write, some with each panel of a pair, where
    heads are small enough for the caches."""

    def __init__(self, j, tile, key_heads, k, v):
        self.j, self.k, self.v = j, k, v
        self.wanted = j.parts.eq(1) & (j.tk * (j.d + j.e) * j.item <= AHEAD_BYTES)
        self.steps = {name: to_next(j, tile, j.batch * key_heads, key_heads, name, many)
                      for name, many in (("q", j.group), ("g", j.group), ("out", j.group), ("k", 1), ("v", 1))}

    def queries(self, pair, r0, rows):
        """What belongs to the positions of a panel of queries."""
        j, first = self.j, pair.i + r0
        with j.f.if_(self.wanted & pair.key.eq(0)):
            for name, n in (("q", j.d), ("g", j.e), ("out", j.e)):
                stride = getattr(j, f"{name}_t")
                fetch_lines(j, getattr(pair, name) + (self.steps[name] + r0 * stride), stride, rows, n)
            for name, place, n in (("k", self.k, j.d), ("v", self.v, j.e)):
                stride = getattr(j, f"{name}_t")
                fetch_lines(j, place + (self.steps[name] + first * stride), stride, j.f.minimum(rows, j.tk - first), n)
            fetch_lines(j, pair.dq + r0 * pair.dq_pitch, pair.dq_pitch, rows, j.d, 1)

    def sums(self, pair, c, rows, last):
        """The gradients of a panel of keys, before the last queries add to them."""
        j = self.j
        with j.f.if_(self.wanted & last):
            for place, stride, n in ((pair.dk, j.dk_t, j.d), (pair.dv, j.dv_t, j.e)):
                fetch_lines(j, place + c * stride, stride, rows, n, 1)


class _Pair:
    """A block of queries with a block of keys."""

    def __init__(self, j, at, b, h, hk, key, i, queries, seen, pitches):
        self.j, self.at, self.key, self.i, self.queries, self.seen = j, at, key, i, queries, seen
        self.d_pitch, self.v_pitch, self.s_pitch = pitches
        f = j.f
        self.q, self.g = j.q + (b * j.q_b + h * j.q_h + i * j.q_t), j.g + (b * j.g_b + h * j.g_h + i * j.g_t)
        self.out = j.out + (b * j.out_b + h * j.out_h + i * j.out_t)
        self.bh = b * j.heads + h
        self.lse = j.lse + (self.bh * j.tq + i) * j.item
        self.mask = j.mask + (b * j.mask_b + h * j.mask_h + i * j.mask_t + key * forward._mask_item(j))
        if j.half:
            self.dq, self.dq_pitch = at["dq"] + ((h - hk * j.group) * j.tq + i) * self.d_pitch, self.d_pitch
        else:
            self.dq, self.dq_pitch = j.dq + (b * j.dq_b + h * j.dq_h + i * j.dq_t), j.dq_t
        self.dk, self.dv = (getattr(j, name) + (b * getattr(j, f"{name}_b") + hk * getattr(j, f"{name}_h")
                                                + key * getattr(j, f"{name}_t")) for name in ("dk", "dv"))
        self.beta = f.emit("i64", f"zext i1 {(key > 0).name} to i64")

    def scores(self, for_queries, causal, ahead):
        """The weights and ds of the pair, a panel of rows at a time, and what they add to dq."""
        j, at = self.j, self.at
        f, item, nr = j.f, j.item, j.nr
        j.fetch(self.q, j.q_t, self.queries, j.d, at["q"], self.d_pitch)
        j.fetch(self.g, j.g_t, self.queries, j.e, at["g"], self.v_pitch)
        with f.range(0, self.queries, step=j.mr) as r0:
            rows = f.minimum(f.value(j.mr), self.queries - r0)
            limit = f.select(causal, f.minimum(self.seen, self.i + r0 + rows - self.key), self.seen)
            with f.if_(limit > 0):
                p, ds = at["p"] + r0 * self.s_pitch, at["ds"] + r0 * self.s_pitch
                ahead.queries(self, r0, rows)
                j.product(rows, limit, j.d, at["q"] + r0 * self.d_pitch, self.d_pitch, item, at["kt"], nr * item,
                          j.d * (nr * item), p, self.s_pitch, 0)
                j.product(rows, limit, j.e, at["g"] + r0 * self.v_pitch, self.v_pitch, item, at["vt"], nr * item,
                          j.e * (nr * item), ds, self.s_pitch, 0)
                j.fetch(self.out + r0 * j.out_t, j.out_t, rows, j.e, at["o"], self.v_pitch)
                self._weights(r0, rows, limit, p, causal)
                with f.if_(for_queries):
                    j.product(rows, j.d, limit, ds, self.s_pitch, item, at["ks"], self.d_pitch, nr * item,
                              self.dq + r0 * self.dq_pitch, self.dq_pitch, self.beta)

    def _weights(self, r0, rows, limit, p, causal):
        """Scores and g v^T to weights and ds; what a panel of keys may read beyond the limit becomes zero."""
        j, at = self.j, self.at
        f, item, lanes = j.f, j.item, j.lanes
        reach = f.minimum(self.seen, limit + j.mr)
        zero, scale = f.value(0.0, j.vector), j.number(j.scale)
        kept, factor = keeping(j, self.bh, self.i + r0, self.key)
        dropped = j.kept.ne(Value(f, "null", "ptr"))

        def own(r):
            return f.select(causal, f.minimum(limit, self.i + r0 + r + 1 - self.key), limit)

        def facts(r):
            """rowsum(g out), logsumexp, the place of ds, of a row."""
            total = f.var(j.vector, zero)
            g, o = at["g"] + (r0 + r) * self.v_pitch, at["o"] + r * self.v_pitch
            with f.range(0, j.e, step=lanes) as c:
                total.set(f.fma(j.load(g + c * item), j.load(o + c * item), total.get()))
            delta = f.splat(j.across(total.get(), lambda a, b: a + b), lanes)
            top = f.load(j.element, self.lse + (r0 + r) * item)
            # A row without keys: its weights are exp(-inf - 0).
            top = f.splat(f.select(top.eq(-float("inf")), f.value(0.0, j.element), top), lanes)
            return delta, top, at["ds"] + (r0 + r) * self.s_pitch

        def row(r, place, loop):
            delta, top, ds = facts(r)
            here = kept + r * j.tk

            def body(c, x, valid):
                weight = j.exp(x - top)
                there = ds + c * item
                dp = j.load(there)
                with f.if_else(dropped) as (some, whole):
                    with some:
                        w = factor(here + c, valid)
                        j.store(weight * w, place + c * item)
                        j.store(f.select(valid, weight * f.fma(dp, w, -delta) * scale, zero), there)
                    with whole:
                        j.store(weight, place + c * item)
                        j.store(f.select(valid, weight * (dp - delta) * scale, zero), there)
            loop(body)
        with f.if_else(plain(j)) as (quick, any_):
            with quick:
                by, power = powers(j)
                with f.range(rows) as r:
                    delta, top, ds = facts(r)
                    place, base, less = p + r * self.s_pitch, top * -LOG2_E, delta * -scale

                    def body(c, mask):
                        weight = power(f.fma(j.load(place + c * item), by, base))
                        slope = weight * f.fma(j.load(ds + c * item), scale, less)
                        for value, to in ((weight, place), (slope, ds)):
                            j.store(value if mask is None else f.select(mask, value, zero), to + c * item)

                    def clear(c):
                        j.store(zero, place + c * item)
                        j.store(zero, ds + c * item)
                    visible(j, own(r), body, clear, reach)
            with any_:
                score_rows(j, p, self.s_pitch, rows, reach, own, self.mask + r0 * j.mask_t, row)

    def key_sums(self, causal, ahead, last):
        """What the pair adds to dv and dk; queries before a panel of keys don't see it."""
        j, at = self.j, self.at
        f, item = j.f, j.item
        with f.range(0, self.seen, step=j.mr) as c:
            rows = f.minimum(f.value(j.mr), self.seen - c)
            start = f.select(causal, _largest(f, self.key + c - self.i, 0), f.value(0))
            depth = self.queries - start
            ahead.sums(self, c, rows, last)
            for weights, other, pitch, n, to in (("p", "g", self.v_pitch, j.e, "dv"),
                                                 ("ds", "q", self.d_pitch, j.d, "dk")):
                j.product(rows, n, depth, at[weights] + (start * self.s_pitch + c * item), item, self.s_pitch,
                          at[other] + start * pitch, pitch, j.nr * item, at[to] + c * pitch, pitch, 1)
