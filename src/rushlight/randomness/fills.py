"""Random numbers into NumPy arrays, bit for bit PyTorch's CPU streams.

Each `fill_*` takes a generator, the array to fill and the distribution's parameters, and returns
the array. Arrays that aren't contiguous are filled in memory order (largest stride outermost), as
PyTorch's iterator walks them. Parameters are not checked here: that is the ops' business.
"""

from __future__ import annotations

import math
import struct
from functools import cache

import numpy as np

from rushlight.randomness.checks import DIGITS
from rushlight.randomness.kernels import kernel
from rushlight.tensor.watch import launch

__all__ = [
    "fill_bernoulli",
    "fill_cauchy",
    "fill_exponential",
    "fill_geometric",
    "fill_integers",
    "fill_log_normal",
    "fill_normal",
    "fill_random",
    "fill_scaled_mask",
    "fill_uniform",
    "randperm",
    "unit24",
    "unit53",
]


_DOUBLE, _LONG = struct.Struct("<d"), struct.Struct("<Q")
_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_I64 = np.dtype(np.int64)


def _bits(number):
    """The integer `number` (mod 2^64) as a double of the same bits: how kernels take integers."""
    return _DOUBLE.unpack(_LONG.pack(number & 0xFFFFFFFFFFFFFFFF))[0]


def in_memory_order(array):
    """`array` with its axes permuted so that strides fall: the order in which an iterator visits
    it.
    """
    strides = array.strides
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -strides[axis]))


def _run(gen, name, array, dtype, a, b, convert=None):
    """Run a kernel that writes `dtype` over `array`, through a temporary where array differs in
    type or layout.
    """
    if array.dtype is dtype and array.flags.c_contiguous and convert is None:
        launch(kernel(name), gen._bytes, array, array.size, a, b)
        return array
    drawn = np.empty(array.size, dtype)
    kernel(name)(gen._bytes, drawn, drawn.size, a, b)
    return _assign(array, drawn if convert is None else convert(drawn))


def _assign(array, drawn):
    """Store the 1-d `drawn` in `array` in memory order. Doubles reach 16 bits by way of a float, as
    in PyTorch.
    """
    kind = array.dtype.kind
    if drawn.dtype == np.float64 and array.dtype.itemsize < 4 and kind not in "biu":
        drawn = drawn.astype(np.float32)
    elif drawn.dtype.kind == "f" and kind in "iu":
        drawn = drawn.astype(
            np.int64
        )  # defined for every finite double here; narrower types then wrap
    target = array if array.flags.c_contiguous else in_memory_order(array)
    target[...] = drawn.reshape(target.shape)
    return array


# ------------------------------------------------------------------ uniform


def unit24(gen, n):
    """`n` float32 in [0, 1), one word each."""
    return _run(gen, "uniform_float", np.empty(n, _F32), _F32, 0.0, 1.0)


def unit53(gen, n):
    """`n` float64 in [0, 1), two words each."""
    return _run(gen, "uniform_double", np.empty(n, _F64), _F64, 0.0, 1.0)


def fill_uniform(gen, array, low=0.0, high=1.0):
    """low + (high - low) u with u in [0, 1): 53 random bits for float64, 24 for the other floating
    types.
    """
    if array.dtype is _F32 and array.flags.c_contiguous:
        launch(kernel("uniform_float"), gen._bytes, array, array.size, low, high)
        return array
    if array.dtype is _F64:
        return _run(gen, "uniform_double", array, _F64, low, high)
    if array.dtype is _F32:
        return _run(gen, "uniform_float", array, _F32, low, high)
    name = "uniform_half" if array.dtype == np.float16 else "uniform_bfloat"
    return _run(gen, name, array, array.dtype, low, high)


# ------------------------------------------------------------------ normal


def fill_normal(gen, array, mean=0.0, std=1.0):
    """mean + std z. Contiguous arrays of 16 and more go block by block, others pair by pair: two
    different streams.
    """
    n = array.size
    if n < 16 or not array.flags.c_contiguous:
        if array.dtype is _F32:
            return _run(gen, "normal_pairs_float", array, _F32, mean, std)
        return _run(gen, "normal_pairs_double", array, _F64, mean, std)
    if array.dtype is _F32:
        launch(kernel("normal_blocks_float"), gen._bytes, array, n, mean, std)
        return array
    if array.dtype is _F64:
        kernel("normal_blocks_double")(gen._bytes, array, n, mean, std)
        return array
    drawn = np.empty(n, np.float32)
    kernel("normal_blocks_half")(gen._bytes, drawn, n, mean, std)
    return _assign(array, drawn)


def fill_log_normal(gen, array, mean=1.0, std=2.0):
    """e^(mean + std z)."""

    def exponentiate(drawn):
        kernel("exp")(gen._bytes, drawn, drawn.size, 0.0, 0.0)
        return drawn

    return _run(gen, "normal_pairs_double", array, _F64, mean, std, exponentiate)


# ------------------------------------------------------------------ bernoulli


@cache
def _one(dtype):
    """The bits of the number one."""
    return int.from_bytes(np.ones((), dtype).tobytes(), "little")


def _bernoulli_bits(gen, array, p, one):
    """`array` (contiguous): the bits `one` with probability p, else zero."""
    limit = min(max(math.ceil(p * 2.0**53), 0), 1 << 53)
    kernel(f"bernoulli_{array.itemsize}")(gen._bytes, array, array.size, _bits(limit), _bits(one))
    return array


def fill_scaled_mask(gen, array, p, value):
    """`value` with probability `p`, else 0; `array` is dense, in any order of its axes."""
    one = int.from_bytes(np.array(value, array.dtype).tobytes(), "little")
    _bernoulli_bits(gen, in_memory_order(array), p, one)
    return array


def fill_bernoulli(gen, array, p=0.5):
    """1 with probability p, else 0.

    `p` is a number (53 random bits an element) or an array that broadcasts to `array` (float64: 53
    bits; other types: 24 bits).
    """
    if not isinstance(p, np.ndarray):
        one = _one(array.dtype)
        if array.flags.c_contiguous and array.itemsize <= 8:
            return _bernoulli_bits(gen, array, p, one)
        return _assign(array, _bernoulli_bits(gen, np.empty(array.size, bool), p, 1))
    draw = unit53 if p.dtype == np.float64 else unit24
    if array.flags.c_contiguous and array.size and p.shape == array.shape:
        limits = p if draw is unit53 else p.astype(np.float32, copy=False)
        array[...] = draw(gen, array.size).reshape(p.shape) < limits
        return array
    p = np.broadcast_to(p, array.shape)
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    target, p = array.transpose(order), p.transpose(order)
    if p.dtype != np.float64:
        p = p.astype(np.float32, copy=False)
    target[...] = draw(gen, array.size).reshape(target.shape) < p
    return array


# ------------------------------------------------------------------ integers


def fill_integers(gen, array, low, high):
    """Integers in [low, high), by remainder; one word an element if high - low < 2^28, else two."""
    span = high - low
    if span == 1 << 64:
        low = 0  # every 64-bit pattern is wanted as it is
    if span >= 1 << 28:
        return _run(gen, "integers64", array, _I64, _bits(span), _bits(low), _view_of(array))
    if array.dtype.kind in "iu":
        return _run(
            gen, f"integers32_{array.itemsize}", array, array.dtype, _bits(span), _bits(low)
        )
    return _run(gen, "integers32_8", array, _I64, _bits(span), _bits(low), _view_of(array))


def _view_of(array):
    """How 64-bit integers become the elements of `array` (None: as they are)."""
    if array.dtype is _I64:
        return None
    if array.dtype.kind in "fiub":
        return lambda drawn: drawn.astype(array.dtype)
    return lambda drawn: drawn.astype(np.float32).astype(array.dtype)


def fill_random(gen, array):
    """Integers over the range of the type: [0, 2^m] for floats with m significant bits, [0,
    maximum] for integers.
    """
    dtype = array.dtype
    if dtype.kind == "b":
        return _run(
            gen, "integers32_1", array, np.uint8, _bits(2), 0.0, lambda drawn: drawn.view(bool)
        )
    if dtype.kind in "iu":
        span = int(np.iinfo(dtype).max) + 1
    else:
        span = (1 << DIGITS[dtype.name]) + 1
    if dtype.itemsize == 8:
        return _run(gen, "integers64", array, _I64, _bits(span), 0.0, _view_of(array))
    return _run(gen, "integers32_8", array, _I64, _bits(span), 0.0, _view_of(array))


# From this length on the remainder of one word would favour small numbers too much.
LONG_PERMUTATION = (2**32 - 1) // 20


def randperm(gen, n, dtype=np.int64):
    """A permutation of 0 ... n - 1 by Fisher and Yates.

    Word i mod (n - i) says how far behind place i the element is that it is swapped with; from
    `LONG_PERMUTATION` on, two words mod (i + 1) are the place itself.
    """
    array = np.arange(n, dtype=dtype)
    name = "randperm" if n < LONG_PERMUTATION else "randperm_long"
    if n > 1:
        kernel(f"{name}_{array.itemsize}")(gen._bytes, array, n, 0.0, 0.0)
    return array


# ------------------------------------------------------------------ others


def fill_exponential(gen, array, rate=1.0):
    """-ln(1 - u) / rate."""
    return _run(gen, "exponential", array, _F64, -1.0 / rate, 0.0)


def fill_geometric(gen, array, p):
    """The number of trials up to the first success: ceil(ln u / ln(1 - p))."""
    return _run(gen, "geometric", array, _F64, math.log1p(-p), 0.0)


def fill_cauchy(gen, array, median=0.0, sigma=1.0):
    """median + sigma tan(pi (u - 1/2))."""
    return _run(gen, "cauchy", array, _F64, median, sigma)
