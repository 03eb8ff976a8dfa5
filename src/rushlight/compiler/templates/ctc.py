"""Partial alignments of connectionist temporal classification, and the gradient that comes of them.

    alignments(alpha, lp, ext, lengths, words)      of log-probabilities lp (t, n, c) and extended targets ext (n, s):
        alpha[b, t, PAD + k] = log of the probability that the first t + 1 frames of sequence b show the first k + 1
        symbols of its target; alpha is (n, t, PAD + s + PAD), -inf outside. lengths (n, 2): frames, symbols. With the
        word ``reverse`` frames go backwards; given reversed targets that is beta, by frames and symbols from the end.
    gradient(out, lp, ext, lengths, alpha, beta, loss, g, words)
        out[t, b, c] = g_b (exp(lp) - sum of exp(alpha + beta + loss - lp) over the symbols that are c), out of zeros;
        sequences whose loss is infinite are left out

Graves et al., "Connectionist Temporal Classification", ICML 2006. Alignments are in double precision.
"""

from functools import cache
from struct import pack

from rushlight.compiler.codegen import math
from rushlight.compiler.templates.arrays import array_kernel

PAD = 8
LOW = float("-inf")
_WORDS = ("frames", "n", "c", "s", "reverse")


def words(frames, n, c, s, reverse=False):
    """The last operand of both kernels; a tile is a sequence."""
    return pack("7q", n, n * frames * s * 16, frames, n, c, s, int(reverse))


def _emissions(t, dtype, row, targets, count, buffer):
    """Write the log-probabilities of the symbols; `row` is a frame's."""
    f = t.f
    with f.range(count) as k:
        at = f.load("i64", targets + k * 8)
        f.store(t.scalar(row + at * t.size_of_lp, dtype), buffer + k * 8)


def _begin(t, dtype):
    from rushlight.compiler.codegen.lower import ITEMSIZE

    t.type("float64")
    t.size_of_lp = ITEMSIZE[dtype]
    t.width = t.s + 2 * PAD


@cache
def alignments(dtype):
    """The kernel ``(alpha, lp, ext, lengths, words)``."""
    def write(t):
        _begin(t, dtype)
        f, lanes = t.f, t.lanes
        low = f.value(LOW, t.vector)
        with t.tiles() as b:
            frames, count = (f.load("i64", t.lengths + (b * 2 + k) * 8) for k in range(2))
            targets = t.ext + b * t.s * 8
            sequence = t.alpha + b * t.frames * t.width * 8
            with f.range(frames) as time:
                at = f.select(t.reverse.ne(0), frames - time - 1, time)
                row = t.lp + (at * t.n + b) * t.c * t.size_of_lp
                now = sequence + (time * t.width + PAD) * 8
                before = now + t.width * -8
                for k in range(0, PAD, lanes):
                    f.store(low, now + (k - PAD) * 8, 8)
                # What this row's places hold meanwhile are the emissions.
                _emissions(t, dtype, row, targets, count, now)
                with f.if_else(time.eq(0)) as (first, later):
                    with first, f.range(0, t.s, step=lanes) as k:
                        begins = t.mask(f.minimum(count, 2) - k)
                        f.store(f.select(begins, f.load(t.vector, now + k * 8, 8), low), now + k * 8, 8)
                    with later, f.range(0, t.s, step=lanes) as k:
                        place = before + k * 8
                        stay, step, skip = (f.load(t.vector, place + -8 * back, 8) for back in range(3))
                        symbol = f.load(t.iota.type, targets + k * 8, 8)
                        other = f.load(t.iota.type, targets + (k - 2) * 8, 8)
                        may = symbol.ne(other) & (t.iota + f.splat(k, lanes) > 1)
                        skip = f.select(may, skip, low)
                        most = f.select(stay > step, stay, step)
                        most = f.select(most > skip, most, skip)
                        base = f.select(most.eq(LOW), f.value(0.0, t.vector), most)
                        total = math.emit(f, "exp", [stay - base])
                        for x in (step, skip):
                            total = total + math.emit(f, "exp", [x - base])
                        value = math.emit(f, "log", [total]) + base + f.load(t.vector, now + k * 8, 8)
                        f.store(f.select(t.mask(count - k), value, low), now + k * 8, 8)
                for k in range(0, PAD, lanes):
                    f.store(low, now + (t.s + k) * 8, 8)
    return array_kernel(f"ctc alignments {dtype}", ("alpha", "lp", "ext", "lengths"), _WORDS, write)


@cache
def gradient(dtype):
    """The kernel ``(out, lp, ext, lengths, alpha, beta, loss, g, words)``."""
    def write(t):
        _begin(t, dtype)
        f, lanes = t.f, t.lanes
        most = 64
        terms, places = f.buffer(most * 8), f.buffer((most + lanes) * 8)
        with t.tiles() as b:
            frames, count = (f.load("i64", t.lengths + (b * 2 + k) * 8) for k in range(2))
            targets = t.ext + b * t.s * 8
            loss, g = f.load("double", t.loss + b * 8), f.load("double", t.g + b * 8)
            finite = loss < float("inf")
            with f.if_(finite), f.range(frames) as time:
                offset = (time * t.n + b) * t.c * t.size_of_lp
                row, out = t.lp + offset, t.out + offset
                with f.range(0, t.c, step=lanes) as c:
                    mask = t.mask(t.c - c)
                    x = t.load(row + c * t.size_of_lp, mask, dtype)
                    t.store(math.emit(f, "exp", [x]) * f.splat(g, lanes), out + c * t.size_of_lp, mask, dtype)
                ahead = t.alpha + ((b * t.frames + time) * t.width + PAD) * 8
                back = t.beta + ((b * t.frames + frames - time - 1) * t.width + PAD) * 8
                with f.range(0, count, step=most) as first:
                    some = f.minimum(count - first, most)
                    _emissions(t, dtype, row, targets + first * 8, some, places)
                    with f.range(0, some, step=lanes) as k:
                        a = f.load(t.vector, ahead + (first + k) * 8, 8)
                        r = f.load(t.vector, back + (count - first - k - lanes) * 8, 8)
                        r = f.shuffle(r, r, range(lanes - 1, -1, -1))
                        x = f.load(t.vector, places + k * 8, 8)
                        power = a + r + f.splat(loss, lanes) - x
                        f.store(math.emit(f, "exp", [power]) * f.splat(g, lanes), terms + k * 8, 8)
                    with f.range(some) as k:
                        place = out + f.load("i64", targets + (first + k) * 8) * t.size_of_lp
                        left = t.scalar(place, dtype) - f.load("double", terms + k * 8)
                        t.store_scalar(left, place, dtype)
    return array_kernel(f"ctc gradient {dtype}", ("out", "lp", "ext", "lengths", "alpha", "beta", "loss", "g"),
                        _WORDS, write)
