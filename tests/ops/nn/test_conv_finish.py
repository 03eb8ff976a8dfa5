"""Convolutions finished as they are stored: against float64 sums over windows, and the same bits as afterwards."""

import ml_dtypes
import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import engine
from rushlight.compiler import scalar as s
from rushlight.ops.nn import conv_finish
from rushlight.ops.nn.windows import out_size

pytestmark = pytest.mark.skipif(not engine.available(), reason="needs a compiler")
RNG = np.random.default_rng(3)


def normal(dtype, *shape):
    return RNG.standard_normal(shape).astype(dtype)


def formula(name, out=None):
    from rushlight.compiler.templates.gemm_finish import finishing

    value = s.maximum(s.input(0) * s.input(1), -0.25) + s.input(2)
    return finishing(value, [name] * 3, out or name)


def reference(x, w, bias, stride, padding, dilation, groups):
    """In float64, a window at a time."""
    x, w = x.astype("f8"), w.astype("f8")
    n, o, kernel = x.shape[0], w.shape[0], w.shape[2:]
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    y = np.zeros((n, o, *out))
    channels, rows = w.shape[1], o // groups
    for at in np.ndindex(*kernel):
        there = tuple(slice(a * d, a * d + (m - 1) * t + 1, t) for a, d, m, t in zip(at, dilation, out, stride))
        part = x[(slice(None), slice(None), *there)]
        for g in range(groups):
            own = slice(g * rows, (g + 1) * rows)
            y[:, own] += np.einsum("oc,nc...->no...", w[(own, slice(None), *at)],
                                   part[:, g * channels:(g + 1) * channels])
    return y if bias is None else y + bias.reshape(-1, *[1] * len(out)).astype("f8")


# n, channels, size, rows, kernel, stride, padding, dilation, groups
SHAPES = [
    (3, 5, (9, 11), 7, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 33, (15, 14), 37, (3, 3), (1, 1), (1, 1), (1, 1), 1),           # minimal filtering, odd sizes
    (5, 64, (7, 7), 48, (3, 3), (1, 1), (0, 1), (1, 1), 1),             # images left over
    (2, 12, (16, 17), 300, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (2, 40, (9, 10), 24, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (3, 40, (8, 10), 24, (1, 1), (1, 1), (0, 0), (1, 1), 1),            # a product of matrices an image
    (2, 16, (9, 10), 24, (3, 3), (1, 1), (2, 2), (2, 2), 4),
    (2, 6, (9, 10), 12, (3, 3), (1, 1), (1, 1), (1, 1), 6),             # channels by themselves
    (3, 6, (4, 5), 12, (4, 5), (1, 1), (0, 0), (1, 1), 1),              # one window
    (2, 24, (9, 11), 5, (3, 3), (1, 1), (1, 1), (1, 1), 1),             # few rows
    (1, 6, (210, 300), 3, (3, 5), (1, 1), (1, 2), (1, 1), 1),           # and bands of a large image
    (2, 6, (50,), 12, (5,), (2,), (2,), (1,), 1),
    (2, 6, (6, 7, 8), 12, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("last", (False, True))
def test_finished(shape, last):
    """relu of scaled sums plus a residual: near float64; the bits of the same formula over stored sums."""
    n, c, size, o, kernel, *geometry = shape
    if last and len(size) == 1:
        pytest.skip("images of one dimension have no channels-last layout")
    x, w, bias = normal("f4", n, c, *size), normal("f4", o, c // geometry[3], *kernel), normal("f4", o)
    sums = reference(x, w, bias, *geometry)
    scale, residual = normal("f4", o, *[1] * len(size)), normal("f4", *sums.shape)
    out = np.full(sums.shape, np.nan, "f4")
    if last:
        x, residual, out = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)
                            for a in (x, residual, out))
    call = conv_finish.Convolution(*geometry, formula("float32"))
    assert call(out, x, w, bias, scale, residual) is out
    expected = np.maximum(sums * scale, -0.25) + residual
    bound = 2e-6 * reference(np.abs(x), np.abs(w), np.abs(bias), *geometry) * np.abs(scale) + 1e-6
    assert (np.abs(out - expected) <= bound).all()
    if not last:
        operands = map(torch.from_numpy, (x, w, bias))
        plain = getattr(torch.nn.functional, f"conv{len(size)}d")(*operands, *geometry).numpy()
        after = np.maximum(plain * scale, np.float32(-0.25)) + residual
        assert (out == after).all()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        again = np.empty_like(out)
        call(again, x, w, bias, scale, residual)
    finally:
        torch.set_num_threads(threads)
    assert (out == again).all()


@pytest.mark.parametrize("shape", SHAPES[1:5], ids=str)
def test_other_dtypes(shape):
    """float64; 16-bit operands with sums in float32; results of another dtype than the sums'."""
    n, c, size, o, kernel, *geometry = shape
    x, w, bias = normal("f8", n, c, *size), normal("f8", o, c, *kernel), normal("f8", o)
    sums = reference(x, w, bias, *geometry)
    scale, residual = normal("f8", o, 1, 1), normal("f8", n, 1, *sums.shape[2:])
    out = np.empty(sums.shape)
    conv_finish.Convolution(*geometry, formula("float64"))(out, x, w, bias, scale, residual)
    np.testing.assert_allclose(out, np.maximum(sums * scale, -0.25) + residual, rtol=0, atol=1e-11)

    half = ml_dtypes.bfloat16
    x, w, bias = x.astype(half), w.astype(half), bias.astype(half)
    sums = reference(x, w, bias, *geometry)
    out, wide = np.empty(sums.shape, half), np.empty(sums.shape, "f4")
    scale, residual = scale.astype("f4"), residual.astype("f4")
    conv_finish.Convolution(*geometry, formula("float32", "bfloat16"))(out, x, w, bias, scale, residual)
    expected = np.maximum(sums * scale, -0.25) + residual
    bound = 4e-6 * reference(np.abs(x), np.abs(w), np.abs(bias), *geometry) * np.abs(scale) + 1e-6
    assert (np.abs(out.astype("f8") - expected) <= np.abs(expected) * 2.0 ** -8 + bound).all()
    conv_finish.Convolution(*geometry)(wide, x, w, bias)
    assert (np.abs(wide - sums) <= 4e-6 * reference(np.abs(x), np.abs(w), np.abs(bias), *geometry)).all()


def test_infinity_spreads_to_its_windows_only():
    """Where minimal filtering gives up, the direct way finishes all again."""
    x, w = normal("f4", 2, 32, 20, 20), normal("f4", 32, 32, 3, 3)
    x[1, 5, 7, 8] = np.inf
    geometry = (1, 1), (1, 1), (1, 1), 1
    out, scale, residual = np.empty((2, 32, 20, 20), "f4"), np.ones((32, 1, 1), "f4"), np.zeros((2, 32, 1, 1), "f4")
    conv_finish.Convolution(*geometry, formula("float32"))(out, x, w, None, scale, residual)
    found = ~np.isfinite(out)
    expected = np.zeros_like(found)
    expected[1, :, 6:9, 7:10] = True
    # An infinity times a negative weight is cut off by the maximum.
    assert not (found & ~expected).any() and found.any()
    assert ((out == -0.25) | found)[1, :, 6:9, 7:10].all()


@pytest.mark.parametrize("stride", (1, 2))
def test_transposed(stride):
    """With steps between the pixels, too, whose sums are finished after they are stored."""
    y, w, bias = normal("f4", 2, 12, 7, 9), normal("f4", 12, 10, 3, 3), normal("f4", 10)
    size = tuple((m - 1) * stride + 1 for m in (7, 9))
    geometry = (stride, stride), (1, 1), (1, 1), 1
    scale, residual = normal("f4", 10, 1, 1), normal("f4", 2, 10, *size)
    out = np.empty(residual.shape, "f4")
    conv_finish.Transposed(*geometry, formula("float32"))(out, y, w, bias, scale, residual)
    spread = np.zeros((2, 12, *size), "f4")
    spread[:, :, ::stride, ::stride] = y
    turned = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    sums = reference(spread, turned, bias, (1, 1), (1, 1), (1, 1), 1)
    np.testing.assert_allclose(out, np.maximum(sums * scale, -0.25) + residual, rtol=0, atol=1e-4)


def test_refuses_other_layouts():
    x, w = normal("f4", 2, 8, 6, 6), normal("f4", 8, 8, 1, 1)
    out = np.empty((2, 6, 8, 6), "f4").transpose(0, 2, 1, 3)
    with pytest.raises(ValueError, match="channels-last"):
        conv_finish.Convolution((1, 1), (0, 0), (1, 1))(out, x, w, None)
