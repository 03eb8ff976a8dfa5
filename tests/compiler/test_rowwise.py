"""Row programs: softmax family and normalizations, along any dimension and with any strides."""

import numpy as np
import pytest

from rushlight.compiler import available, row, row_kernel, softmax_kernel
from rushlight.compiler import scalar as s

special = pytest.importorskip("scipy.special")
pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

SHAPES = [(1,), (5,), (3, 10), (64, 100), (10, 1, 33), (4, 7, 50), (2, 40, 6, 6), (3, 20000)]


def layouts(x):
    yield x
    if x.ndim > 1:
        yield x.T
        yield x[:, ::2]
    if x.ndim > 2:
        yield x.transpose(1, 2, 0, *range(3, x.ndim))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_family(shape, dtype):
    rng = np.random.default_rng(0)
    tolerance = dict(rtol=1e-6, atol=1e-7) if dtype == "float32" else dict(rtol=1e-14, atol=1e-15)
    for x in layouts((rng.standard_normal(shape) * 5).astype(dtype)):
        g = rng.standard_normal(x.shape).astype(dtype)
        for axis in range(x.ndim):
            wide = x.astype("f8")
            want, log_want = special.softmax(wide, axis), special.log_softmax(wide, axis)
            y, log_y, gx = np.empty_like(x), np.empty(x.shape, dtype), np.empty(x.shape, dtype)
            softmax_kernel("softmax", dtype)(y, x, 1 << axis)
            np.testing.assert_allclose(y, want, **tolerance)
            softmax_kernel("log_softmax", dtype)(log_y, x, 1 << axis)
            np.testing.assert_allclose(log_y, log_want, rtol=2e-6, atol=2e-6)
            softmax_kernel("softmax_backward", dtype)(gx, g, y, 1 << axis)
            expected = want * (g - (g * want).sum(axis, keepdims=True))
            np.testing.assert_allclose(gx, expected, rtol=1e-5, atol=1e-6)
            softmax_kernel("log_softmax_backward", dtype)(gx, g, log_y, 1 << axis)
            expected = g - want * g.astype("f8").sum(axis, keepdims=True)
            np.testing.assert_allclose(gx, expected, rtol=1e-5, atol=2e-5)


def test_softmax_edges():
    inf = np.inf
    x = np.array([[0, -inf, 1], [-inf, -inf, -inf], [1e30, 0, 0], [np.nan, 0, 1]], "f4")
    y = np.empty_like(x)
    softmax_kernel("softmax", "float32")(y, x, 2)
    np.testing.assert_allclose(y[0], special.softmax(x[0]), rtol=1e-6)
    assert np.isnan(y[1]).all() and np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[2], [1, 0, 0])
    softmax_kernel("softmax", "float32")(x, x, 2)
    np.testing.assert_array_equal(x, y)


def layer_norm():
    x, w, b, eps = s.input(0), s.input(1), s.input(2), s.scalar(0)
    rstd = s.rsqrt(row(1) + eps)
    return row_kernel(
        [("mean", x), ("mean", s.square(x - row(0)))], [(x - row(0)) * rstd * w + b],
        ["float32"] * 3, ["float32"] * 3, ["float64"], row_outputs=[row(0), rstd],
    )


def test_layer_norm():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 7, 4, 25), "f4") * 3 + 100
    w, b = rng.standard_normal((2, 4, 25)).astype("f4")
    wide = x.astype("f8")
    mean, var = wide.mean((2, 3), keepdims=True), wide.var((2, 3), keepdims=True)
    y, m, r = np.empty_like(x), np.empty((6, 7, 1, 1), "f4"), np.empty((6, 7, 1, 1), "f4")
    layer_norm()(y, m, r, x, w, b, 0b1100, 1e-5)
    np.testing.assert_allclose(m, mean, rtol=1e-6)
    np.testing.assert_allclose(r, 1 / np.sqrt(var + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(y, (wide - mean) / np.sqrt(var + 1e-5) * w + b, rtol=1e-4, atol=1e-4)
    # Channels first: the lanes of a vector are rows.
    z = rng.standard_normal((5, 12, 70), "f4")
    w, b = rng.standard_normal((2, 12, 1)).astype("f4")
    y, m, r = np.empty_like(z), np.empty((5, 1, 70), "f4"), np.empty((5, 1, 70), "f4")
    layer_norm()(y, m, r, z, w, b, 0b010, 1e-5)
    wide = z.astype("f8")
    mean, var = wide.mean(1, keepdims=True), wide.var(1, keepdims=True)
    np.testing.assert_allclose(m, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, (wide - mean) / np.sqrt(var + 1e-5) * w + b, rtol=1e-5, atol=1e-5)


def test_rows_that_do_not_merge_raise():
    x = np.zeros((3, 4, 5), "f4").transpose(0, 2, 1)[:, ::2]
    with pytest.raises(ValueError, match="merge"):
        softmax_kernel("softmax", "float32")(np.empty_like(x), x, 0b110)


def test_few_columns_in_any_memory_order():
    """Every shape up to 6 x 6 along both dimensions, transposed, after calls that left other numbers on the stack."""
    import rushlight as torch
    r = np.random.default_rng(5)
    for rows, columns in np.ndindex(6, 6):
        x = r.normal(size=(columns + 1, rows + 1)).astype(np.float32)
        t = torch.from_numpy(x).t()
        t.sum(0), t.amax(1)
        for dim in (0, 1):
            e = np.exp(x.T.astype(np.float64))
            want = e / e.sum(dim, keepdims=True)
            np.testing.assert_allclose(t.softmax(dim).numpy(), want, atol=1e-6)
            np.testing.assert_allclose(t.log_softmax(dim).numpy(), np.log(want), atol=1e-5)
