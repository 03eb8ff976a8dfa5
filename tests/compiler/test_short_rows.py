"""Pointwise kernels over short rows whose operands repeat in some dimensions."""

import itertools

import numpy as np
import pytest

from rushlight.compiler import available, pointwise_kernel
from rushlight.compiler import scalar as s

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
def test_every_repetition(dtype):
    """All ways to repeat two operands along four short dimensions, rows of odd and even lengths."""
    x, y = (s.input(i, "f" if "float" in dtype else "i") for i in range(2))
    kernel = pointwise_kernel(x - y * x, [dtype] * 2, [], [dtype], dtype)
    rng = np.random.default_rng(0)
    for shape in ((9, 5, 3, 3), (40, 3, 2, 17), (7, 2, 5, 49), (300, 1, 4, 1), (3, 400, 1, 20)):
        for k, (a_keep, b_keep) in enumerate(itertools.product(range(16), range(16))):
            if (a_keep | b_keep) & 8 == 0 or k % 3:
                continue
            a, b = (
                rng.integers(0, 100, [n if keep >> (3 - i) & 1 else 1 for i, n in enumerate(shape)]).astype(dtype)
                for keep in (a_keep, b_keep)
            )
            if k % 2:
                a = np.ascontiguousarray(a.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
            out = np.empty(shape, dtype)
            kernel(out, a, b)
            np.testing.assert_array_equal(out, np.broadcast_to(a - b * a, shape))


def test_threads_and_odd_groups():
    """Groups of planes that end within a tile, steps of all kinds, the same bits with one and two threads."""
    import rushlight as torch

    x = s.input(0)
    kernel = pointwise_kernel(x * s.input(1), ["float32"] * 2, [], ["float32"], "float32")
    rng = np.random.default_rng(0)
    threads = torch.get_num_threads()
    try:
        for shape in ((2, 1031, 3, 3), (1031, 7, 2), (5, 4, 113, 3, 5), (3, 3, 3, 3, 3, 3, 3, 3)):
            a = rng.standard_normal(shape).astype("f4")
            for drop in range(len(shape)):
                b = rng.standard_normal([1 if i == drop else n for i, n in enumerate(shape)]).astype("f4")
                results = []
                for count in (1, 2):
                    torch.set_num_threads(count)
                    out = np.full(shape, np.nan, "f4")
                    kernel(out, a[::-1], b)
                    results.append(out)
                np.testing.assert_array_equal(results[0], a[::-1] * b)
                np.testing.assert_array_equal(results[1], results[0])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8", "float64"])
def test_rows_of_results_that_lie_apart(dtype):
    """Results whose rows have gaps, over memory that is read, too; what lies between stays."""
    kind = "f" if "float" in dtype else "i"
    kernel = pointwise_kernel(s.input(0, kind) + s.input(1, kind), [dtype] * 2, [], [dtype], dtype)
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 16, 17, 33, 64, 65, 159, 160):
        for rows in (3, 40, 700):
            whole = rng.integers(0, 9, (rows, n + 5)).astype(dtype)
            other = rng.integers(0, 9, (rows, n + 7)).astype(dtype)
            want = whole.copy()
            want[:, 2:n + 2] += other[:, 3:n + 3]
            out = whole.copy()
            kernel(out[:, 2:n + 2], out[:, 2:n + 2], other[:, 3:n + 3])
            np.testing.assert_array_equal(out, want)
        wide = rng.integers(0, 9, (6, 5, 4, n)).astype(dtype)
        out = np.full((5, 6, 9, n + 1), 7, dtype)
        kernel(out.transpose(1, 0, 2, 3)[:, :, 1:5, :n], wide, wide[:1, :, :, :1])
        want = np.full_like(out, 7)
        want.transpose(1, 0, 2, 3)[:, :, 1:5, :n] = wide + wide[:1, :, :, :1]
        np.testing.assert_array_equal(out, want)
