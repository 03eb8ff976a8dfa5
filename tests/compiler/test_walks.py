"""The kernels that read and write by index, against NumPy."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.ops import advanced, walks
from rushlight.ops.selection import Mask, fill

RNG = np.random.default_rng(7)
DTYPES = [np.int8, np.float16, np.float32, np.float64, np.complex128, np.bool_, np.int64]


def some(dtype, *shape):
    return (RNG.standard_normal(shape) * 5).astype(dtype)


def layouts(a):
    """`a` itself, in Fortran's order, and as every other element of a larger array."""
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    wide[tuple([slice(None, None, 2)] * a.ndim)] = a
    return [a, np.asfortranarray(a), wide[tuple([slice(None, None, 2)] * a.ndim)]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_rows(dtype, dim):
    for shape in [(5, 7, 3), (1, 40, 70), (33, 1, 1), (6, 5, 128)]:
        n = shape[dim]
        index = RNG.integers(-n, n, 11)
        for a in layouts(some(dtype, *shape)):
            v = np.zeros((*shape[:dim], 11, *shape[dim + 1:]), dtype)
            assert not walks.get_rows(a, dim, index, v, True)
            assert (v == np.take(a, index, dim)).all()
            new = some(dtype, *v.shape)
            expected = a.copy()
            expected[(slice(None),) * dim + (index,)] = new
            assert not walks.put_rows(a, dim, index, new, True)
            # Of repeated positions NumPy and we both keep the last.
            assert (a == expected).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_elements(dtype, dim):
    for shape in [(5, 7, 3), (2, 40, 70), (30, 1, 4)]:
        n = shape[dim]
        index = RNG.integers(0, n, [s if d != dim else 9 for d, s in enumerate(shape)])
        for a in layouts(some(dtype, *shape)):
            for i in (index, np.asfortranarray(index), index.astype(np.int32)):
                v = np.zeros(index.shape, dtype)
                assert not walks.get(a, dim, i, v)
                assert (v == np.take_along_axis(a, index, dim)).all()


@pytest.mark.parametrize("op", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float32, np.float64])
def test_reductions_keep_an_order(op, dtype):
    ufunc = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[op]
    for n, count, width in [(4, 50, 1), (10, 33, 5), (7, 200, 100), (3, 70_000, 1)]:
        a, v, index = some(dtype, n, width), some(dtype, count, width), RNG.integers(0, n, count)
        expected = a.copy()
        with np.errstate(all="ignore"):
            ufunc.at(expected, index, v)
        results = []
        for threads in (1, 2):
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                out = a.copy()
                assert not walks.combine_rows(op, out, 0, index, v)
            finally:
                torch.set_num_threads(before)
            results.append(out)
        assert results[0].tobytes() == results[1].tobytes()
        if op == "add" and count > 10_000 and dtype in (np.float32, np.float64):
            # Ranges of the indices have targets of their own, which are added up in the order of the ranges.
            exact, size = a.astype(np.longdouble), abs(a).astype(np.longdouble)
            np.add.at(exact, index, v)
            np.add.at(size, index, abs(v))
            assert (abs(results[0] - exact) <= 4 * np.finfo(dtype).eps * size).all()
        else:
            assert np.array_equal(results[0], expected, equal_nan=dtype in (np.float32, np.float64))


def test_nan_wins_in_maxima():
    a = np.array([1, np.nan, 3], np.float32)
    walks.combine_rows("max", a, 0, np.array([0, 1, 2, 2]), np.array([np.nan, 5, 7, 6], np.float32))
    assert np.isnan(a[:2]).all() and a[2] == 7


def test_half_sums_round_once():
    a = np.zeros(2, np.float16)
    walks.combine_rows("add", a, 0, np.zeros(5000, np.int64), np.ones(5000, np.float16))
    # Added one by one in half precision the sum would stop at 2048.
    assert a[0] == 5000


def test_complex_sums():
    a, v, index = some(np.complex64, 4, 3), some(np.complex64, 9, 3), RNG.integers(0, 4, 9)
    v += 1j * some(np.float32, 9, 3)
    expected = a.copy()
    np.add.at(expected, index, v)
    walks.combine_rows("add", a, 0, index, v)
    assert np.allclose(a, expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [-1, 5, 1 << 40, -(1 << 62)])
@pytest.mark.parametrize("count", [3, 100_000])
def test_bounds(bad, count):
    a, index = some(np.float32, 5, 2), np.zeros(count, np.int64)
    index[count // 2] = bad
    v = np.zeros((count, 2), np.float32)
    assert walks.get_rows(a, 0, index, v)
    assert walks.put_rows(a, 0, index, v)
    assert walks.combine_rows("add", a, 0, index, v)
    assert walks.combine_rows("add", a[:, 0].copy(), 0, index, v[:, 0])
    assert walks.get(a, 0, index[:, None], v[:, :1])
    assert walks.get_rows(a, 0, index, v, True) == (bad != -1)


def test_nothing_to_do():
    a = some(np.float32, 5, 2)
    assert not walks.get_rows(a, 0, np.zeros(0, np.int64), np.zeros((0, 2), np.float32))
    assert walks.get_rows(np.zeros((0, 2), np.float32), 0, np.zeros(3, np.int64), np.zeros((3, 2), np.float32))


KEYS = [
    lambda r: [r(6, 4)], lambda r: [r(6)], lambda r: [None, r(5, 3)], lambda r: [r(6, 2, 3), r(5, 3)],
    lambda r: [r(6, 3), None, r(7, 3)], lambda r: [None, r(5, 4, 1), r(7, 2)], lambda r: [r(6, 3), r(5, 3), r(7, 3)],
    lambda r: [r(6), None, r(7, 4)], lambda r: [r(6, 0)], lambda r: [r(6, 3, 1, 1), r(5, 1, 2, 1), r(7, 4)],
]


@pytest.mark.parametrize("make", KEYS)
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.complex128])
def test_advanced_indexing(make, dtype):
    keys = make(lambda n, *shape: RNG.integers(-n, n, shape))
    key = tuple([slice(None) if k is None else k for k in keys])
    for a in layouts(some(dtype, 6, 5, 7)):
        got = advanced.get(a, keys)
        assert got.flags.c_contiguous and got.shape == a[key].shape and (got == a[key]).all()
        for values in (some(dtype, *got.shape), some(dtype, *got.shape[-1:]), some(dtype)):
            expected, out = a.copy(), a.copy()
            expected[key] = values
            advanced.put(out, keys, values)
            assert (out == expected).all()
            expected, out = a.copy(), a.copy()
            np.add.at(expected, key, values)
            advanced.add(out, keys, values)
            assert np.allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (63,), (65,), (7, 5), (3, 4, 5, 6), (30_000,), (5, 0), (4, 1, 900)])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_masks(shape, share):
    array = np.asarray(RNG.random(shape) < share)
    mask = Mask(array)
    assert mask.total == array.sum()
    for dtype in (np.int8, np.float16, np.float32, np.float64, np.complex128):
        a = np.asarray(some(dtype, *shape))
        assert (mask.pack(a) == a[array]).all()
        out, values = np.zeros(shape, dtype), some(dtype, mask.total)
        mask.spread(out, values)
        expected = np.zeros(shape, dtype)
        expected[array] = values
        assert (out == expected).all()
    if shape:
        assert (mask.positions() == np.flatnonzero(array)).all()
        assert (mask.coordinates() == np.array(np.nonzero(array))).all()
        assert (mask.coordinates(by_element=True) == np.argwhere(array)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_, np.int64, np.float16, np.float32, np.float64])
def test_filling_by_a_mask(dtype):
    for shape, mask_shape in [((40, 50), (40, 50)), ((40, 50), (50,)), ((40, 50), (40, 1)), ((3,), (3,))]:
        a, mask = some(dtype, *shape), RNG.random(mask_shape) < 0.5
        for value in (0, 1, 3.7) + ((float("nan"), float("-inf")) if np.dtype(dtype).kind == "f" else ()):
            expected = a.copy()
            np.copyto(expected, value, where=mask, casting="unsafe")
            out = np.empty_like(a)
            fill(out, a, mask, value)
            assert np.array_equal(out, expected, equal_nan=np.dtype(dtype).kind == "f")
            fill(out, out, mask, value)
            assert np.array_equal(out, expected, equal_nan=np.dtype(dtype).kind == "f")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 7, 64, 100])
def test_bags(dtype, width):
    from rushlight.compiler.templates.bags import kernel

    call = kernel("float" if dtype is np.float32 else "double")
    w, index, scale = some(dtype, 30, width), RNG.integers(0, 30, 400), some(dtype, 400)
    bounds = np.array([0, 0, 1, 30, 400])
    for mean, scaled in ((0, 0), (1, 0), (0, 1)):
        out = np.empty((4, width), dtype)
        assert not call(out, w, index, bounds, scale, 30, width, 4, 3, mean, scaled)
        for b in range(4):
            k = np.arange(bounds[b], bounds[b + 1])
            k = k[index[k] != 3]
            rows = w[index[k]].astype(np.float64) * (scale[k, None] if scaled else 1)
            expected = rows.sum(0) / (max(len(k), 1) if mean else 1)
            # At most one rounding a row added, one for its weight and one for the division.
            bound = (len(k) + 2) * np.finfo(dtype).eps * np.abs(rows).sum(0)
            assert (np.abs(out[b] - expected) <= bound).all()
    index[7] = 30
    assert call(np.empty((4, width), dtype), w, index, bounds, scale, 30, width, 4, -1, 0, 0)
