"""Sampling from arrays of parameters: Poisson, binomial and gamma numbers, indices by weight."""

from __future__ import annotations

import numpy as np

from rushlight.randomness.fills import fill_exponential, unit53
from rushlight.randomness.kernels import kernel

__all__ = ["fill_binomial", "fill_gamma", "fill_poisson", "multinomial"]


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
    values = numbers.reshape(target.shape)
    target[...] = values if array.itemsize >= 4 else values.astype(np.float32)
    return array


def fill_poisson(gen, array, rate):
    """Poisson numbers with the means `rate`, which broadcast to `array`; finite, none negative."""
    numbers = _in_order_of(array, rate)
    kernel("poisson")(gen._bytes, numbers, numbers.size, 0.0, 0.0)
    return _store(array, numbers)


def fill_binomial(gen, array, count, prob):
    """Successes in `count` trials (finite) of probability `prob`; both broadcast to `array`."""
    pairs = np.stack([_in_order_of(array, count), _in_order_of(array, prob)], axis=1)
    kernel("binomial")(gen._bytes, pairs, array.size, 0.0, 0.0)
    return _store(array, pairs.ravel()[: array.size])


def fill_gamma(gen, array, shape):
    """Gamma numbers of scale 1; `shape` broadcasts to `array`, finite, positive or zero.

    Zeros become the smallest normal number of the type.
    """
    numbers = _in_order_of(array, shape)
    single = float(array.dtype == np.float32)
    kernel("gamma")(gen._bytes, numbers, numbers.size, single, 0.0)
    _store(array, numbers)
    return np.maximum(array, np.finfo(array.dtype).tiny, out=array)


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
        return _largest(scores, n)
    narrow = weights.dtype.itemsize < 4
    rows = weights.reshape(-1, weights.shape[-1])
    cumulative = np.add.accumulate(rows.astype(np.float32) if narrow else rows, axis=-1)
    cumulative /= cumulative[:, -1:]
    cumulative[:, -1] = 1
    uniform = unit53(gen, n * len(rows)).reshape(-1, n)
    chosen = np.empty(uniform.shape, np.int64)
    for sums, drawn, out in zip(cumulative.astype(np.float64), uniform, chosen):
        out[:] = sums.searchsorted(drawn)
    return chosen.reshape(*weights.shape[:-1], n)


def _largest(scores, n):
    """Indices of the `n` largest scores of each row, falling."""
    if 4 * n >= scores.shape[-1]:
        return np.argsort(-scores, axis=-1, kind="stable")[..., :n].copy()
    best = np.argpartition(-scores, n - 1, axis=-1)[..., :n]
    order = np.argsort(-np.take_along_axis(scores, best, -1), axis=-1, kind="stable")
    return np.take_along_axis(best, order, -1)


def _divide(x, y):
    if x.dtype.itemsize >= 4:
        return x / y
    return (x.astype(np.float32) / y.astype(np.float32)).astype(x.dtype).astype(np.float32)
