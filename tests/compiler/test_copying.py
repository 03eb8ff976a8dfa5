"""The kernels that move memory: copies of any geometry, transposes, joins, fills, triangles, ramps."""

import itertools

import numpy as np
import pytest

from rushlight.compiler.templates import copying, ramp, runs

RNG = np.random.default_rng(3)
DTYPES = {1: np.int8, 2: np.int16, 4: np.float32, 8: np.float64, 16: np.complex128}


def some(dtype, *shape):
    return RNG.integers(-100, 100, shape).astype(dtype)


@pytest.fixture(params=sorted(DTYPES))
def size(request):
    return request.param


def check(out, a):
    # What lies between the elements of `out` must stay as it was.
    whole = out if out.base is None else out.base
    whole[...] = 99
    expected = whole.copy()
    window = np.ndarray(out.shape, out.dtype, expected, _offset(out, whole), out.strides)
    window[...] = a
    copying.kernel(out.itemsize)(out, a)
    assert (whole == expected).all()


def _offset(out, whole):
    return out.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(3, 5), (16, 16), (17, 33), (100, 64), (64, 100), (1000, 37), (1, 7), (300, 301)])
def test_matrices(size, shape):
    dtype = DTYPES[size]
    a = some(dtype, *shape)
    check(np.zeros(shape[::-1], dtype), a.T)
    for source in (a, a[::-1, ::-1], a[:, ::-1], a[:, :1], a[:1], a[0:1, 0:1]):
        check(np.zeros(shape, dtype), source)
    wide = np.zeros((2 * shape[0], 3 * shape[1]), dtype)
    check(wide[::2, ::3], a)
    check(wide[1:shape[0] + 1, 2:shape[1] + 2], a)
    large = some(dtype, *wide.shape)
    check(np.zeros(shape, dtype), large[::2, ::3])
    check(np.zeros(shape[::-1], dtype), large[:shape[0], :shape[1]].T)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 32, 33, 64, 65, 100, 3001])
def test_every_other_element(size, n):
    a = some(DTYPES[size], 3, 2 * n)
    for view in (a[:, ::2], a[:, 1::2], a[:, ::2][:, ::-1], a.reshape(-1)[::2], a.reshape(-1)[1::2]):
        check(np.zeros(view.shape, a.dtype), view)


def test_permutations(size):
    dtype = DTYPES[size]
    a = some(dtype, 3, 20, 18, 40)
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        view = a.transpose(order)
        for other in orders[::5]:
            out = np.zeros([view.shape[k] for k in other], dtype).transpose(np.argsort(other))
            copying.kernel(size)(out, view)
            assert (out == view).all()


def test_nothing_and_one(size):
    dtype = DTYPES[size]
    for shape, source in [((), ()), ((0, 3), (0, 3)), ((4, 5), ()), ((2, 4, 50), (50,)), ((3, 1), (3, 1))]:
        out, a = np.zeros(shape, dtype), np.asarray(some(dtype, *source))
        copying.kernel(size)(out, a)
        assert (out == np.broadcast_to(a, shape)).all()


@pytest.mark.parametrize("n", [4096, 4100])
def test_beyond_the_cache(n):
    # Large enough for stores past the cache, with rows that are whole lines and rows that are not.
    a = RNG.standard_normal((1600, n)).astype(np.float32)
    out = np.empty((n, 1600), np.float32)
    copying.kernel(4)(out, a.T)
    assert (out == a.T).all()
    out = np.empty_like(a)
    copying.kernel(4)(out, a)
    assert (out == a).all()
    copying.kernel(4)(out, a[:, ::-1])
    assert (out == a[:, ::-1]).all()


@pytest.mark.parametrize("outer", [1, 7, 1000])
@pytest.mark.parametrize("widths", [[5, 3], [64, 1, 200], [1] * 100, [0, 4, 0], [3000]])
def test_joins(outer, widths):
    join = runs.kernel("join")
    parts = [some(np.int16, outer, w) for w in widths]
    out = np.zeros((outer, sum(widths)), np.int16)
    join(out, parts, outer, 2)
    assert (out == np.concatenate(parts, 1)).all()


def test_large_join():
    join = runs.kernel("join")
    parts = [RNG.standard_normal((50, w)).astype(np.float32) for w in (70_001, 60_000, 15)]
    out = np.zeros((50, 130_016), np.float32)
    join(out, parts, 50, 4)
    assert (out == np.concatenate(parts, 1)).all()


@pytest.mark.parametrize("n", [0, 1, 7, 63, 64, 65, 1000, 1_000_003, 30_000_001])
def test_fills(n):
    out = np.zeros(n + 9, np.uint8)
    runs.kernel("fill")(out, int(np.full(8, 3, np.uint8).view(np.int64)[0]), n)
    assert (out[:n] == 3).all() and not out[n:].any()


@pytest.mark.parametrize("shape", [(3, 4), (100, 30), (30, 100), (2, 5, 6), (300, 300)])
@pytest.mark.parametrize("k", [-200, -3, -1, 0, 1, 2, 50, 200])
def test_triangles(shape, k):
    a = RNG.standard_normal(shape)
    for upper, expected in ((False, np.tril(a, k)), (True, np.triu(a, k))):
        out = np.full(shape, 7.0)
        runs.kernel("triangle")(out, a, a.size // shape[-1], 8, *shape[-2:], k, upper)
        assert (out == expected).all()


def test_ramps():
    for n in (1, 7, 8, 50_001):
        i = np.arange(n)
        out = np.empty(n, np.int64)
        ramp.kernel("ramp", "i64")(out, n, -3, 7)
        assert (out == -3 + 7 * i).all()
        for type_, dtype in (("float", np.float32), ("double", np.float64)):
            out = np.empty(n, dtype)
            ramp.kernel("ramp", type_)(out, n, 0.1, 0.37)
            assert (out == (0.1 + i * 0.37).astype(dtype)).all()
            ramp.kernel("spaced", type_)(out, n, -1.5, 22.25, 0.125)
            near = dtype(-1.5) + dtype(0.125) * i.astype(dtype)
            far = dtype(22.25) - dtype(0.125) * (n - 1 - i).astype(dtype)
            assert (out == np.where(i < n // 2, near, far)).all()
