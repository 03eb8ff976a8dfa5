"""Kernels of order (sorting, selection, runs, counts, search) against NumPy."""

import numpy as np
import pytest

from rushlight.compiler import available
from rushlight.ops.sorting import first_of_rows, key_terms, ranked_along, runs, sorted_rows
from rushlight.runtime import threadpool

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

DTYPES = ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
# Lengths on both sides of where the ways of sorting meet: one element, counting, digits, chunks.
SHAPES = [(3, 1), (5, 7), (4, 96), (4, 97), (3, 1000), (1, 70000)]


def rows(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        x = np.where(rng.random(shape) < 0.3, rng.integers(-3, 4, shape), rng.standard_normal(shape) * 3).astype(dtype)
        for value in (np.nan, -0.0, np.inf, -np.inf):
            x[rng.random(shape) < 0.03] = value
        return x
    if dtype == "bool":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    x[:, ::3] = x[:, :1]
    return x


def order(x, descending):
    if not descending:
        return np.argsort(x, -1, kind="stable")
    return x.shape[-1] - 1 - np.flip(np.argsort(np.flip(x, -1), -1, kind="stable"), -1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_sorted_stably_with_nan_last(dtype):
    for shape in SHAPES:
        x = rows(dtype, shape)
        for descending in (False, True):
            values, at = sorted_rows(x, descending)
            want = order(x, descending)
            np.testing.assert_array_equal(at, want)
            assert values.tobytes() == np.take_along_axis(x, want, -1).tobytes()


@pytest.mark.parametrize("spread", [3, 1000, 1 << 20, 1 << 40])
def test_integers_of_a_small_range_around_zero(spread):
    x = np.random.default_rng(1).integers(-spread, spread, (2, 3000))
    for descending in (False, True):
        values, at = sorted_rows(x, descending)
        np.testing.assert_array_equal(at, order(x, descending))
        np.testing.assert_array_equal(values, np.take_along_axis(x, at, -1))


def test_keys_of_the_whole_range_of_integers():
    limits = np.iinfo(np.int64)
    x = np.array([[0, limits.max, limits.min, -1, 1] * 50])
    for descending in (False, True):
        values, at = sorted_rows(x, descending)
        np.testing.assert_array_equal(at, order(x, descending))
    flip, base, narrow = key_terms(x, "int64", False, True)
    assert (flip, base, narrow) == (0, 0, False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("arranged", [False, True])
def test_the_first_few_and_the_first_many(dtype, arranged):
    for shape in SHAPES:
        x = rows(dtype, shape, 2)
        if arranged:
            x = np.ascontiguousarray(np.flip(np.sort(x, -1), -1))
        n = shape[1]
        for k in {0, 1, min(5, n), n // 30, n // 2, n}:
            for descending in (False, True):
                values, at = first_of_rows(x, k, descending)
                want = order(x, descending)[:, :k]
                np.testing.assert_array_equal(at, want)
                np.testing.assert_array_equal(values, np.take_along_axis(x, want, -1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "bool"])
def test_the_element_of_a_rank(dtype):
    for shape in SHAPES:
        x = rows(dtype, shape, 3)
        at = order(x, False)
        for rank in {0, shape[1] // 2, shape[1] - 1}:
            values, where = ranked_along(x, 1, False, rank)
            np.testing.assert_array_equal(where, at[:, rank])
            np.testing.assert_array_equal(values, np.take_along_axis(x, at[:, rank:rank + 1], 1)[:, 0])


def test_medians_with_and_without_nan():
    x = rows("float32", (40, 301), 4)
    x[0], x[1] = np.nan, 1.0
    order_ = order(x, False)
    bad = np.isnan(x).sum(1)
    for skip, rank in ((1, np.where(bad > 0, 301 - bad, 150)), (2, np.maximum(300 - bad, 0) // 2)):
        values, at = ranked_along(x, 1, True, 150, skip)
        np.testing.assert_array_equal(at, np.take_along_axis(order_, rank[:, None], 1))
        np.testing.assert_array_equal(values, np.take_along_axis(x, at, 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_runs_of_equal_elements(dtype):
    for n in (0, 1, 2, 500):
        x = np.sort(rows(dtype, (1, n), 5)[0])
        # Comparing is ==, by which NaN differs from NaN and -0 is 0.
        new = np.ones(n, bool)
        new[1:] = x[1:] != x[:-1]
        group = np.cumsum(new) - 1
        values, inverse, counts = runs(x)
        np.testing.assert_array_equal(values, x[new])
        np.testing.assert_array_equal(inverse, group)
        np.testing.assert_array_equal(counts, np.bincount(group))
        places = np.random.default_rng(6).permutation(n)
        _, inverse, _ = runs(x, places)
        np.testing.assert_array_equal(inverse[places], group)
        np.testing.assert_array_equal(runs(x, None, False)[0], x[new])


def test_counts():
    from rushlight.compiler.templates.distinct import counts_kernel

    for n, bins in ((0, 4), (10, 3), (100_000, 7), (100_000, 50_000)):
        x = np.random.default_rng(7).integers(0, bins, n)
        counts = np.zeros(bins, np.int64)
        counts_kernel()(counts, x, n, bins)
        np.testing.assert_array_equal(counts, np.bincount(x, minlength=bins))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "uint8"])
def test_search_in_shared_and_own_rows(dtype):
    from rushlight.compiler.templates.search import search_kernel

    rng = np.random.default_rng(8)
    for n in (0, 1, 2, 13, 1000):
        for m in (1, 31, 33, 5000):
            sequences = np.sort(rng.integers(0, 100, (3, n)).astype(dtype), 1)
            values = rng.integers(0, 110, (3, m)).astype(dtype)
            for right, side in ((0, "left"), (1, "right")):
                out = np.empty((3, m), np.int64)
                search_kernel(dtype)(out, sequences, values, 3, n, m, 0, right)
                for o, s, v in zip(out, sequences, values):
                    np.testing.assert_array_equal(o, np.searchsorted(s, v, side))
                search_kernel(dtype)(out, sequences[0].copy(), values, 3, n, m, 1, right)
                np.testing.assert_array_equal(out, np.searchsorted(sequences[0], values, side))


def test_nan_is_searched_to_the_end():
    from rushlight.compiler.templates.search import search_kernel

    out = np.empty(20, np.int64)
    search_kernel("float32")(out, np.arange(5, dtype="f4"), np.full(20, np.nan, "f4"), 1, 5, 20, 1, 0)
    np.testing.assert_array_equal(out, 5)


@pytest.mark.parametrize("kind,p", [("1", 1), ("2", 2), ("inf", np.inf)])
def test_norms_of_many_arrays(kind, p):
    from rushlight.compiler.templates.manynorms import norms_kernel

    rng = np.random.default_rng(9)
    arrays = [rng.standard_normal(s).astype("f4") for s in ((0,), (1,), (5, 7), (100_003,), (300, 300), ())]
    out = np.empty(len(arrays), "f4")
    for threads in (1, 2):
        before = threadpool.get_num_threads()
        threadpool.set_num_threads(threads)
        try:
            assert norms_kernel("float", kind)(out, arrays)
        finally:
            threadpool.set_num_threads(before)
        want = [np.linalg.norm(a.astype("f8").reshape(-1), p) if a.size else 0 for a in arrays]
        # Sums in float64: what remains is the rounding of the result.
        np.testing.assert_allclose(out, want, rtol=2.0 ** -23)
    arrays[2][3, 3] = np.nan
    assert norms_kernel("float", kind)(out, arrays)
    assert np.isnan(out[2]) and not np.isnan(out[3])
    assert norms_kernel("float", kind)(out, [a.T for a in arrays]) is False
    assert norms_kernel("float", kind)(out, [a.astype("f8") for a in arrays]) is False
