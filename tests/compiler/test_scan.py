"""Scan kernels against NumPy, along any dimension and with any strides."""

import numpy as np
import pytest

from rushlight.compiler import available, scan_kernel

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

SHAPES = [(1,), (7,), (5, 33), (33, 5), (3, 40, 6), (70, 1000)]


def layouts(x):
    yield x
    if x.ndim > 1:
        yield x.T
        yield x[:, ::2]
        yield x[::-1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sums_and_products(shape, dtype):
    rng = np.random.default_rng(0)
    for x in layouts(rng.integers(1, 9, shape).astype(dtype) / (3 if dtype[0] == "f" else 1)):
        x = x.astype(dtype)
        for axis in range(x.ndim):
            out = np.empty(x.shape, dtype)
            scan_kernel("cumsum", dtype, dtype)(out, x, 1 << axis)
            np.testing.assert_allclose(out, np.cumsum(x, axis, dtype=dtype), rtol=1e-5)
            scan_kernel("cumprod", dtype, dtype)(out, x, 1 << axis)
            with np.errstate(over="ignore"):
                want = np.cumprod(x, axis, dtype="i8" if dtype == "int64" else "f8").astype(dtype)
            np.testing.assert_allclose(out, want, rtol=1e-6)


def test_bool_sum_and_in_place():
    x = np.random.default_rng(1).random((30, 40)) < 0.5
    out = np.empty(x.shape, "i8")
    scan_kernel("cumsum", "bool", "int64")(out, x, 2)
    np.testing.assert_array_equal(out, np.cumsum(x, 1))
    y = np.arange(10.0)
    scan_kernel("cumsum", "float64", "float64")(y, y, 1)
    np.testing.assert_array_equal(y, np.cumsum(np.arange(10.0)))


@pytest.mark.parametrize("kind", ["cummax", "cummin"])
def test_extrema_with_indices(kind):
    rng = np.random.default_rng(2)
    for dtype in ("float32", "int32", "uint8"):
        for shape in SHAPES:
            base = rng.integers(0, 6, shape).astype(dtype)
            if dtype == "float32":
                base[rng.random(shape) < 0.02] = np.nan
            for x in layouts(base):
                for axis in range(x.ndim):
                    values, indices = np.empty(x.shape, dtype), np.empty(x.shape, "i8")
                    scan_kernel(kind, dtype, dtype)(values, indices, x, 1 << axis)
                    accumulate = (np.maximum if kind == "cummax" else np.minimum).accumulate
                    want = accumulate(x, axis)
                    np.testing.assert_array_equal(values, want)
                    moved, place = np.moveaxis(x, axis, 0), np.moveaxis(want, axis, 0)
                    last = np.zeros(moved.shape, "i8")
                    for i in range(len(moved)):
                        equal = (moved[i] == place[i]) | (np.isnan(moved[i]) & np.isnan(place[i]))
                        last[i] = np.where(equal, i, last[i - 1] if i else 0)
                    np.testing.assert_array_equal(np.moveaxis(indices, axis, 0), last)


def test_log_sum_exp():
    x = np.random.default_rng(3).standard_normal((20, 50)) * 30
    x[0, :3] = -np.inf
    x[1, 5] = np.inf
    for axis in range(2):
        out = np.empty_like(x)
        scan_kernel("logcumsumexp", "float64", "float64")(out, x, 1 << axis)
        with np.errstate(all="ignore"):
            want = np.logaddexp.accumulate(x, axis)
        np.testing.assert_allclose(out, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape,axis", [((100_000,), 0), ((3, 70_001), 1), ((50, 17), 1), ((2, 33, 200), 1)])
def test_long_rows_and_wide_columns(shape, axis):
    from rushlight.runtime import threadpool

    rng = np.random.default_rng(30)
    x = rng.standard_normal(shape).astype("f4")
    before, found = threadpool.get_num_threads(), []
    for threads in (1, 2):
        threadpool.set_num_threads(threads)
        out, at = np.empty(shape, "f4"), np.empty(shape, "i8")
        scan_kernel("cumsum", "float32", "float32")(out, x, 1 << axis)
        # Sums run in float64 and are rounded once.
        np.testing.assert_allclose(out, np.cumsum(x.astype("f8"), axis), rtol=2.0 ** -23, atol=1e-9)
        found.append(out.tobytes())
        scan_kernel("cummax", "float32", "float32")(out, at, x, 1 << axis)
        np.testing.assert_array_equal(out, np.maximum.accumulate(x, axis))
        np.testing.assert_array_equal(np.take_along_axis(x, at, axis), out)
        found.append(out.tobytes() + at.tobytes())
    threadpool.set_num_threads(before)
    assert found[:2] == found[2:]


def test_log_sums_far_apart():
    inf = np.inf
    rows = [np.linspace(-2000, 2000, 64), np.linspace(2000, -2000, 64), np.full(40, -inf),
            np.array([-inf, -inf, -3, 800, -800, 5, 2, 1] * 4), np.array([1.0] * 9 + [inf] + [2.0] * 9)]
    for x in rows:
        out = np.empty_like(x)
        scan_kernel("logcumsumexp", "float64", "float64")(out, x, 1)
        with np.errstate(all="ignore"):
            want = np.logaddexp.accumulate(x)
        np.testing.assert_allclose(out, want, rtol=1e-13)
    x = np.array([0.0, np.nan, 1.0] * 10)
    out = np.empty_like(x)
    scan_kernel("logcumsumexp", "float64", "float64")(out, x, 1)
    assert out[0] == 0 and np.isnan(out[1:]).all()
