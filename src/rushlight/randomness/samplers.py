"""Samplers whose number of draws depends on what is drawn, and sampling from weights.

Poisson and binomial numbers are made one by one in double precision, as PyTorch's are. Sources:
W. Hörmann, "The transformed rejection method for generating Poisson random variables", Insurance:
Mathematics and Economics 12, 1993 (algorithm PTRS); W. Hörmann, "The generation of binomial random
variates", Journal of Statistical Computation and Simulation 46, 1993 (algorithm BTRS).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from rushlight.randomness.fills import fill_exponential, unit53

__all__ = ["fill_binomial", "fill_poisson", "fill_rrelu_slope", "multinomial"]


class _Uniforms:
    """Doubles in [0, 1) one by one, drawn ahead; `close` puts the generator after those taken."""

    def __init__(self, gen, ahead):
        self._gen, self._start = gen, gen.clone_state()
        self._ahead, self._taken = max(ahead, 4), 0
        self._values = iter(())
        self._count = 0

    def __call__(self):
        self._taken += 1
        for value in self._values:
            return value
        self._values = iter(unit53(self._gen, self._ahead).tolist())
        self._count += self._ahead
        return next(self._values)

    def close(self):
        if self._taken != self._count:
            self._gen.graphsafe_set_state(self._start)
            self._gen._skip(2 * self._taken)


@cache
def _lgamma():
    """The C library's lgamma; Python's own differs from it in the last bit."""
    import ctypes

    function = ctypes.CDLL(None).lgamma
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    return function


# ------------------------------------------------------------------ Poisson


def _poisson_small(rate, uniform):
    """Count the factors until a product of uniforms is below e^-rate."""
    limit = math.exp(-rate)
    count, product = 0, 1.0
    while True:
        product *= uniform()
        if product <= limit:
            return count
        count += 1


def _poisson_large(rate, uniform):
    """Algorithm PTRS."""
    root, log_rate, lgamma = math.sqrt(rate), math.log(rate), _lgamma()
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0.0:  # the quotient below is then infinite, and never accepted
            continue
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us) or v == 0.0:
            if v == 0.0 and k >= 0 and not (us < 0.013 and v > us):
                return k  # the logarithm of zero is below every bound
            continue
        accept = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if accept <= -rate + k * log_rate - lgamma(k + 1):
            return k


def fill_poisson(gen, array, rate):
    """Poisson numbers with the mean `rate`, an array of the shape of `array`, none negative."""
    uniform = _Uniforms(gen, 2 * rate.size)
    numbers = []
    for value in _in_order_of(array, rate).tolist():
        if value >= 10:
            numbers.append(_poisson_large(value, uniform))
        else:
            numbers.append(_poisson_small(value, uniform) if value else 0)
    uniform.close()
    return _store(array, numbers)


# ------------------------------------------------------------------ binomial

# ln k! less Stirling's approximation of it, for k below 10.
_STIRLING = (
    0.0810614667953272,
    0.0413406959554092,
    0.0276779256849983,
    0.02079067210376509,
    0.0166446911898211,
    0.0138761288230707,
    0.0118967099458917,
    0.0104112652619720,
    0.00925546218271273,
    0.00833056343336287,
)


def _stirling_rest(k):
    if k <= 9:
        return _STIRLING[int(k)]
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def _binomial_inversion(count, p, uniform):
    """Successes in `count` trials as the number of geometric waiting times that fit into them."""
    total, number, log_q = 0.0, 0, math.log1p(-p)
    while True:
        u = uniform()
        total += math.ceil(math.log(u) / log_q) if u else math.inf
        if total > count:
            return number
        number += 1


def _binomial_large(count, p, uniform):
    """Algorithm BTRS, for count p >= 10 and p <= 1/2."""
    deviation = math.sqrt(count * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = count * p + 0.5
    v_r = 0.92 - 4.2 / b
    r = p / (1 - p)
    alpha = (2.83 + 5.1 / b) * deviation
    m = math.floor((count + 1) * p)
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2 * a / us + b) * u + c)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or k > count:
            continue
        v = v * alpha / (a / (us * us) + b)
        bound = (
            (m + 0.5) * math.log((m + 1) / (r * (count - m + 1)))
            + (count + 1) * math.log((count - m + 1) / (count - k + 1))
            + (k + 0.5) * math.log(r * (count - k + 1) / (k + 1))
            + _stirling_rest(m)
            + _stirling_rest(count - m)
            - _stirling_rest(k)
            - _stirling_rest(count - k)
        )
        if v == 0.0 or math.log(v) <= bound:
            return k


def _binomial(count, p, uniform):
    if count <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return count
    if p <= 0.5:
        sampler = _binomial_large if count * p >= 10 else _binomial_inversion
        return sampler(count, p, uniform)
    if p > 0.5:
        q = 1.0 - p
        sampler = _binomial_large if count * q >= 10 else _binomial_inversion
        return count - sampler(count, q, uniform)
    return math.nan  # p is NaN


def fill_binomial(gen, array, count, prob):
    """Successes in `count` trials of probability `prob`; arrays of the shape of `array`."""
    counts, probs = (_in_order_of(array, x).tolist() for x in (count, prob))
    uniform = _Uniforms(gen, 2 * array.size)
    numbers = [_binomial(n, p, uniform) for n, p in zip(counts, probs)]
    uniform.close()
    return _store(array, numbers)


def _axes(array):
    """The axes of `array` from the outermost in memory to the innermost."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def _in_order_of(array, values):
    """`values`, which broadcast to `array`, as flat doubles in the memory order of `array`."""
    full = np.broadcast_to(values, array.shape).transpose(_axes(array))
    return full.astype(np.float64).ravel()


def _store(array, numbers):
    """`numbers`, made in the memory order of `array`, into it. 16-bit types go through a float."""
    target = array.transpose(_axes(array))
    values = np.array(numbers, np.float64).reshape(target.shape)
    target[...] = values if array.itemsize >= 4 else values.astype(np.float32)
    return array


# ------------------------------------------------------------------ weights


def multinomial(gen, weights, n, replacement):
    """`n` indices a row of the 1-d or 2-d `weights`, drawn with the given weights, as int64.

    With replacement: inverse of the cumulative weights, one uniform an index. Without (and for one
    index): the largest of weight / Exp(1), a race of exponential clocks.
    """
    if n == 1 or not replacement:
        clocks = fill_exponential(gen, np.empty_like(weights))
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = _divide(weights, clocks)
        if n == 1:
            return scores.argmax(-1, keepdims=True)
        return np.argsort(-scores, axis=-1, kind="stable")[..., :n].copy()
    narrow = weights.dtype.itemsize < 4
    rows = weights.reshape(-1, weights.shape[-1])
    chosen = np.empty((len(rows), n), np.int64)
    for row, out in zip(rows.astype(np.float32) if narrow else rows, chosen):
        cumulative = np.add.accumulate(row)
        cumulative /= cumulative[-1]
        cumulative[-1] = 1
        out[:] = np.searchsorted(cumulative.astype(np.float64), unit53(gen, n))
    return chosen.reshape(*weights.shape[:-1], n)


def _divide(x, y):
    if x.dtype.itemsize >= 4:
        return x / y
    return (x.astype(np.float32) / y.astype(np.float32)).astype(x.dtype).astype(np.float32)


def fill_rrelu_slope(gen, array, negative, lower, upper):
    """Slopes of the randomized leaky rectifier: uniform in [lower, upper) where `negative`, else 1.

    Only negative elements draw; the ends are rounded to single precision first.
    """
    low, high = float(np.float32(lower)), float(np.float32(upper))
    array[...] = 1
    flat = unit53(gen, int(negative.sum())) * (high - low) + low
    axes = _axes(array)
    array.transpose(axes)[negative.transpose(axes)] = flat
    return array
