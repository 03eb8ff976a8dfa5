"""Convolutions as products of pixels: every layout and dtype against float64 sums, bounds as for sums in order."""

import ml_dtypes
import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import engine
from rushlight.ops.nn import conv_pixels, pixel_plans
from rushlight.ops.nn.windows import out_size
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(not engine.available(), reason="needs a compiler")
RNG = np.random.default_rng(5)
DTYPES = [np.float32, pytest.param(ml_dtypes.bfloat16, marks=pytest.mark.skipif(
    not (cpu.has("avx512bf16") and cpu.vector_bytes() == 64), reason="needs products of pairs"))]

# n, channels, size, rows, kernel, stride, padding, dilation, groups
SHAPES = [
    (2, 5, (9, 11), 17, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (1, 33, (9, 70), 70, (1, 5), (1, 2), (0, 2), (1, 1), 1),
    (2, 16, (9, 10), 64, (3, 3), (1, 1), (2, 2), (2, 2), 4),
    (3, 6, (50,), 18, (5,), (2,), (2,), (1,), 1),
    (3, 17, (20, 20), 100, (3, 3), (3, 1), (0, 3), (1, 1), 1),
    (1, 4, (30, 7), 16, (4, 2), (5, 3), (1, 0), (1, 3), 1),
    (9, 40, (7, 7), 33, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (2, 3, (37, 40), 20, (7, 7), (2, 2), (3, 3), (1, 1), 1),
    (2, 64, (5, 5), 130, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    (1, 20, (60, 130), 16, (3, 3), (1, 2), (1, 0), (1, 1), 1),
    (2, 9, (5, 6, 7), 18, (3, 2, 3), (2, 1, 1), (1, 0, 1), (1, 1, 1), 1),
    (1, 8, (6, 9, 5), 32, (2, 3, 1), (1, 2, 1), (0, 2, 0), (2, 1, 1), 2),
    (2, 40, (3, 5, 6), 20, (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
]


@pytest.fixture(autouse=True)
def everything(monkeypatch):
    """Also what other ways are chosen for: minimal filtering, few channels, CPUs with AMX."""
    monkeypatch.setattr(pixel_plans, "_serves", lambda *shape: True)
    pixel_plans.ways.cache_clear()
    yield
    pixel_plans.ways.cache_clear()


def normal(dtype, *shape):
    return RNG.standard_normal(shape).astype(np.float32).astype(dtype)


def last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def windows(out, kernel, stride, dilation):
    """(tap, what of a padded image it meets)."""
    for at in np.ndindex(*kernel):
        yield at, tuple(slice(a * d, a * d + (m - 1) * t + 1, t) for a, d, m, t in zip(at, dilation, out, stride))


def reference(x, w, stride, padding, dilation, groups):
    x, w = x.astype("f8"), w.astype("f8")
    kernel, channels, rows = w.shape[2:], w.shape[1], w.shape[0] // groups
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    x, y = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)]), np.zeros((x.shape[0], w.shape[0], *out))
    for at, there in windows(out, kernel, stride, dilation):
        for g in range(groups):
            y[:, g * rows:(g + 1) * rows] += np.einsum(
                "oc,nc...->no...", w[(slice(g * rows, (g + 1) * rows), slice(None), *at)],
                x[(slice(None), slice(g * channels, (g + 1) * channels), *there)])
    return y


def reference_adjoint(y, w, size, stride, padding, dilation, groups):
    y, w = y.astype("f8"), w.astype("f8")
    kernel, channels, rows = w.shape[2:], w.shape[1], w.shape[0] // groups
    x = np.zeros((y.shape[0], channels * groups, *(s + 2 * p for s, p in zip(size, padding))))
    for at, there in windows(y.shape[2:], kernel, stride, dilation):
        for g in range(groups):
            x[(slice(None), slice(g * channels, (g + 1) * channels), *there)] += np.einsum(
                "oc,no...->nc...", w[(slice(g * rows, (g + 1) * rows), slice(None), *at)],
                y[:, g * rows:(g + 1) * rows])
    return x[(slice(None), slice(None), *(slice(p, p + s) for s, p in zip(size, padding)))]


def assert_near(found, call, a, b, bias, *more):
    """Within the first-order bound of a sum in order, k u sum |a b|, and a rounding to the result's dtype."""
    expected, sizes = call(a, b, *more), call(np.abs(a.astype("f8")), np.abs(b.astype("f8")), *more)
    if bias is not None:
        bias = bias.astype("f8").reshape(-1, *[1] * (found.ndim - 2))
        expected, sizes = expected + bias, sizes + np.abs(bias)
    depth = b[0].size + b.shape[0]
    rounding = 2.0 ** -8 * np.abs(expected) if found.dtype != np.float32 else 0
    assert (np.abs(found.astype("f8") - expected) <= depth * 2.0 ** -24 * sizes + rounding + 1e-30).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of", ("planes", "pixels"))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape, of, dtype):
    n, c, size, o, kernel, *geometry = shape
    if of == "pixels" and len(size) == 1:
        pytest.skip("images of one dimension have no channels-last layout")
    x, w, bias = normal(dtype, n, c, *size), normal(dtype, o, c // geometry[3], *kernel), normal(dtype, o)
    x = last(x) if of == "pixels" else x
    y = conv_pixels.forward(x, w, bias, *geometry)
    assert y.dtype == dtype and (np.moveaxis(y, 1, -1) if of == "pixels" else y).flags.c_contiguous
    assert_near(y, reference, x, w, bias, *geometry)
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert conv_pixels.forward(x, w, bias, *geometry).tobytes() == y.tobytes()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of", ("planes", "pixels"))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adjoint(shape, of, dtype):
    """Phases of steps, pixels that no window meets, output padding."""
    n, c, size, o, kernel, *geometry = shape
    if of == "pixels" and len(size) == 1:
        pytest.skip("images of one dimension have no channels-last layout")
    stride, padding, dilation, groups = geometry
    out = tuple(map(out_size, size, kernel, stride, padding, dilation))
    y, w, bias = normal(dtype, n, o, *out), normal(dtype, o, c // groups, *kernel), normal(dtype, c)
    y = last(y) if of == "pixels" else y
    x = conv_pixels.adjoint_input(y, w, bias, size, *geometry)
    assert x.shape == (n, c, *size)
    assert_near(x, reference_adjoint, y, w, bias, size, *geometry)


def test_values_beside_an_image_do_not_matter():
    """No window takes a product with what lies beyond its image, so infinities stay where they are."""
    x, w = normal(np.float32, 3, 16, 9, 9), normal(np.float32, 16, 16, 3, 3)
    x[1, 3, 0, 8] = np.inf
    y = conv_pixels.forward(x, w, None, (2, 2), (1, 1), (1, 1), 1)
    bad = np.zeros(y.shape, bool)
    bad[1, :, 0, 4] = True
    assert (np.isfinite(y) == ~bad).all()
    assert (np.isfinite(conv_pixels.forward(last(x), w, None, (2, 2), (1, 1), (1, 1), 1)) == ~bad).all()


def test_layouts_are_kept():
    """Results are channels-last where the images or the weights are."""
    x, w = torch.randn(2, 20, 9, 9), torch.randn(24, 20, 3, 3)
    for a, b in ((x, w), (x.contiguous(memory_format=torch.channels_last), w),
                 (x, w.contiguous(memory_format=torch.channels_last))):
        y = torch.nn.functional.conv2d(a, b, stride=2)
        assert y.is_contiguous(memory_format=torch.channels_last) == (a is not x or b is not w)
        assert torch.equal(y, torch.nn.functional.conv2d(x, w, stride=2))


def reference_weight(x, y, kernel, stride, padding, dilation, groups):
    x, y = x.astype("f8"), y.astype("f8")
    channels, rows = x.shape[1] // groups, y.shape[1] // groups
    x, w = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)]), np.zeros((y.shape[1], channels, *kernel))
    for at, there in windows(y.shape[2:], kernel, stride, dilation):
        for g in range(groups):
            part = x[(slice(None), slice(g * channels, (g + 1) * channels), *there)]
            w[(slice(g * rows, (g + 1) * rows), slice(None), *at)] = np.einsum(
                "nop,ncp->oc", y[:, g * rows:(g + 1) * rows].reshape(len(y), rows, -1),
                part.reshape(len(y), channels, -1))
    return w


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[5][-1] < 3], ids=str)
def test_gradient_of_weights(shape, dtype):
    """Sums of products of pairs of pixels, by parts: the bound of one sum in order holds for all."""
    n, c, size, o, kernel, *geometry = shape
    stride, padding, dilation, groups = geometry
    out = tuple(map(out_size, size, kernel, stride, padding, dilation))
    x, y = normal(dtype, n, c, *size), normal(dtype, n, o, *out)
    dw = conv_pixels.adjoint_weight(x, y, kernel, *geometry)
    expected, sizes = (reference_weight(*operands, kernel, *geometry) for operands in (
        (x, y), (np.abs(x.astype("f8")), np.abs(y.astype("f8")))))
    assert dw.dtype == np.float32
    assert (np.abs(dw - expected) <= (y[:, 0].size + 8) * 2.0 ** -24 * sizes).all()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert conv_pixels.adjoint_weight(x, y, kernel, *geometry).tobytes() == dw.tobytes()
    finally:
        torch.set_num_threads(threads)


# n, channels, size, kernel, stride, padding, dilation
ALONE = [
    (2, 20, (9, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
    (3, 33, (17, 14), (5, 3), (2, 1), (2, 0), (1, 2)),
    (1, 7, (30, 31), (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 128, (7, 7), (2, 2), (3, 3), (0, 0), (1, 1)),
    (2, 20, (4, 5, 6), (3, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ALONE, ids=str)
def test_channels_by_themselves(case, dtype):
    """The map, its adjoint and the weights' gradient, channels-last."""
    n, c, size, kernel, *geometry = case
    stride, padding, dilation = geometry
    geometry.append(c)
    out = tuple(map(out_size, size, kernel, stride, padding, dilation))
    x, y, w, bias = (normal(dtype, *shape) for shape in ((n, c, *size), (n, c, *out), (c, 1, *kernel), (c,)))
    x, y = last(x), last(y)
    found = conv_pixels.forward(x, w, bias, *geometry)
    assert found.dtype == dtype and np.moveaxis(found, 1, -1).flags.c_contiguous
    assert_near(found, reference, x, w, bias, *geometry)
    found = conv_pixels.adjoint_input(y, w, bias, size, *geometry)
    assert found.dtype == dtype and np.moveaxis(found, 1, -1).flags.c_contiguous
    assert_near(found, reference_adjoint, y, w, bias, size, *geometry)
    dw = conv_pixels.adjoint_weight(x, y, kernel, *geometry)
    expected, sizes = (reference_weight(*operands, kernel, *geometry) for operands in (
        (x, y), (np.abs(x.astype("f8")), np.abs(y.astype("f8")))))
    assert (np.abs(dw - expected) <= (y[:, 0].size + 8) * 2.0 ** -24 * sizes).all()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert conv_pixels.adjoint_weight(x, y, kernel, *geometry).tobytes() == dw.tobytes()
    finally:
        torch.set_num_threads(threads)
