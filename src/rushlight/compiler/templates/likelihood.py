"""Negative log likelihood of log-probabilities, and its gradient through log_softmax.

    loss(terms, sums, x, target, weight, words)     of x (outer, n, inner) and classes (outer, inner):
        terms = -weight[t] x[t] (None where only sums are wanted); sums (tiles, 3) of doubles: each tile's sum of
        terms, of weights, and the number of classes outside 0 .. n, which count for nothing, as ignored ones do
    nll(dx, y, g, target, weight, total, words)     of y = log_softmax(x), along rows (rows, n):
        dx = c (exp(y) - [j = target]), c = g weight[target] (/ total for a mean), 0 where the target is ignored
    nll_columns(...)                                the same along the middle of (outer, n, inner)

Targets are int64; all else is of one dtype.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen import math
from rushlight.compiler.templates.arrays import array_kernel
from rushlight.compiler.templates.softmax import COLUMNS, blocks, rows

GROUP = 2048                    # samples a tile of the loss


@cache
def loss(dtype):
    """The kernel ``(terms, sums, x, target, weight, words)``."""
    def write(t):
        t.type(dtype)
        f = t.f
        none = f.null
        with t.tiles() as tile:
            total, weights, bad = f.var("double", 0.0), f.var("double", 0.0), f.var("double", 0.0)
            first = tile * GROUP
            with f.range(first, f.minimum(first + GROUP, t.outer * t.inner)) as s:
                target = f.load("i64", t.target + s * 8)
                term = f.var(t.compute, 0.0)
                with f.if_(target.ne(t.ignored)), f.if_else(target.ult(t.n)) as (good, other):
                    with good:
                        w = f.var(t.compute, 1.0)
                        with f.if_(t.weight.ne(none)):
                            w.set(t.scalar(t.weight + target * t.size))
                        place = (s.udiv(t.inner) * t.n + target) * t.inner + s.urem(t.inner)
                        term.set(-t.scalar(t.x + place * t.size) * w.get())
                        weights.set(weights.get() + t.as_double(w.get()))
                    with other:
                        bad.set(bad.get() + 1.0)
                total.set(total.get() + t.as_double(term.get()))
                with f.if_(t.terms.ne(none)):
                    t.store_scalar(term.get(), t.terms + s * t.size)
            for k, v in enumerate((total, weights, bad)):
                f.store(v.get(), t.sums + (tile * 3 + k) * 8)
    return array_kernel(f"nll {dtype}", ("terms", "sums", "x", "target", "weight"),
                        ("outer", "n", "inner", "ignored"), write)


def loss_words(outer, n, inner, ignored):
    """(words, tiles)"""
    tiles = -(-outer * inner // GROUP)
    return pack("6q", tiles, outer * inner * 8, outer, n, inner, ignored), tiles


_NLL_ARRAYS = ("dx", "y", "g", "target", "weight", "total")
_NLL_WORDS = ("ignored", "each_g", "mean")


def _factor(t, place, target):
    """g weight[target] / total of the sample at ``place``; 0 where its target is ignored. A scalar."""
    f = t.f
    c = f.var(t.compute, 0.0)
    with f.if_(target.ne(t.ignored)):
        v = t.scalar(t.g + place * t.each_g * t.size)
        w = f.var(t.compute, 1.0)
        with f.if_(t.weight.ne(f.null)):
            w.set(t.scalar(t.weight + target * t.size))
        c.set(v * w.get())
        with f.if_(t.mean.ne(0)):
            c.set(c.get() / t.scalar(t.total))
    return c.get()


@cache
def nll(dtype):
    """The kernel of the gradient through nll_loss and log_softmax along rows."""
    def write(t):
        t.type(dtype)
        f, n = t.f, t.n

        def row(r):
            dx, y = t.dx + r * n * t.size, t.y + r * n * t.size
            target = f.load("i64", t.target + r * 8)
            c = _factor(t, r, target)
            wide, none = t.splat(c), f.value(0.0, t.vector)

            def body(i, mask):
                e = math.exp_nonpositive(f, t.load(y + i * t.size, mask))
                one = f.select(t.iota.eq(f.splat(target - i, t.lanes)), wide, none)
                t.store(f.fma(e, wide, -one), dx + i * t.size, mask)
            t.each(n, body, stream=dx)
        rows(t)(row)
    return array_kernel(f"nll gradient rows {dtype}", _NLL_ARRAYS, ("rows", "n", "group", "past", *_NLL_WORDS), write)


@cache
def nll_columns(dtype):
    """The kernel of the gradient through nll_loss and log_softmax along the middle dimension."""
    def write(t):
        t.type(dtype)
        f, wide = t.f, t.compute_size
        factors, classes = f.buffer(512 * wide), f.buffer(512 * 8)
        zero = f.value(0.0, t.vector)
        indices = f"<{t.lanes} x i64>"

        def body(start, width, sample):
            with f.range(width) as i:
                target = f.load("i64", t.target + (sample + i) * 8)
                f.store(target, classes + i * 8)
                f.store(_factor(t, sample + i, target), factors + i * wide)
            with f.range(t.n) as c:
                first = (start + c * t.inner) * t.size
                number = f.splat(c, t.lanes)

                def give(i, mask):
                    k = f.load(t.vector, factors + i * wide, 4)
                    hit = f.load(indices, classes + i * 8, 8).eq(number)
                    e = math.exp_nonpositive(f, t.load(t.y + first + i * t.size, mask))
                    t.store(f.fma(e, k, -f.select(hit, k, zero)), t.dx + first + i * t.size, mask)
                t.each(width, give, 1)
        blocks(t, body)
    return array_kernel(f"nll gradient columns {dtype}", _NLL_ARRAYS, (*COLUMNS, *_NLL_WORDS), write)


def nll_words(words, ignored, each_g, mean):
    """The words of a gradient of nll_loss after those of the layout."""
    return words + pack("3q", ignored, each_g, mean)
