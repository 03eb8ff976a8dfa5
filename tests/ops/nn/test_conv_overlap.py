"""Convolutions by products that are added where windows overlap, against sums in float64."""

import numpy as np
import pytest

import rushlight as rl
from rushlight.ops.nn import conv_maps, conv_plans, overlap_plans
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(conv_maps._name(np.dtype(np.float32)) is None or cpu.amx(),
                                reason="no compiler, or tiles serve these")

# Images, channels of source and result, the source's sizes, kernel, stride, padding, dilation, output padding.
ADJOINTS = [
    (3, 16, 5, (9, 11), (3, 3), (2, 2), (1, 1), (1, 1), (0, 0)),
    (9, 9, 40, (5, 4), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1)),         # several images to a strip, blocks of rows
    (2, 300, 7, (6, 17), (4, 5), (2, 2), (1, 2), (1, 1), (0, 1)),       # long sums
    (2, 12, 3, (8, 9), (1, 1), (2, 2), (0, 0), (1, 1), (1, 1)),         # pixels that no window sees
    (2, 8, 20, (7, 6), (2, 3), (3, 2), (0, 1), (2, 1), (2, 0)),
    (2, 10, 2, (40,), (4,), (2,), (1,), (1,), (0,)),
    (2, 8, 9, (3, 4, 5), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 1, 1), (1, 0, 0)),
    (1, 8, 70, (150, 140), (3, 3), (2, 1), (1, 1), (1, 1), (1, 0)),     # bands of a large image
]
FORWARD = [(4, 13, 1, (9, 20), (3, 3), (1, 1), (1, 1), (1, 1)), (2, 24, 12, (7, 18), (3, 2), (1, 1), (2, 0), (1, 2)),
           (3, 40, 2, (5, 7), (1, 1), (1, 1), (0, 0), (1, 1)), (1, 6, 3, (210, 300), (3, 5), (1, 1), (1, 2), (1, 1)),
           (2, 7, 2, (6, 5, 9), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))]



def _transposed(y, w, stride, padding, dilation, size):
    """The sum as it is written, in float64."""
    y, w = y.astype(np.float64), w.astype(np.float64)
    n, spans = y.shape[0], [s + 2 * p + d * k for s, p, d, k in zip(size, padding, dilation, w.shape[2:])]
    x = np.zeros((n, w.shape[1], *spans))
    for at in np.ndindex(*w.shape[2:]):
        window = tuple(slice(i * d, i * d + (m - 1) * s + 1, s)
                       for i, d, m, s in zip(at, dilation, y.shape[2:], stride))
        x[(slice(None), slice(None), *window)] += np.einsum("no...,oc->nc...", y, w[(Ellipsis, *at)])
    return x[(slice(None), slice(None), *(slice(p, p + s) for p, s in zip(padding, size)))]


def _close(found, wanted, terms):
    eps = np.finfo(found.dtype).eps
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 4 * eps * max(terms, 16) ** 0.5 * np.abs(wanted).max()


def _operands(n, channels, rows, size, kernel, dtype):
    r = np.random.default_rng(rows)
    return (r.standard_normal(s).astype(dtype) for s in ((n, channels, *size), (channels, rows, *kernel), (rows,)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ADJOINTS)
def test_adjoints(case, dtype):
    n, channels, rows, size, kernel, stride, padding, dilation, more = case
    y, w, b = _operands(n, channels, rows, size, kernel, dtype)
    out = tuple((s - 1) * t - 2 * p + d * (k - 1) + 1 + m
                for s, t, p, d, k, m in zip(size, stride, padding, dilation, kernel, more))
    shapes, _ = conv_plans.adjoint_shapes(dtype, n, 1, channels, rows, kernel, out, size, stride, padding, dilation)
    assert overlap_plans.serves(shapes)
    wanted = _transposed(y, w, stride, padding, dilation, out)
    for bias in (None, b):
        found = conv_maps.adjoint_input(y, w, bias, out, stride, padding, dilation, 1)
        _close(found, wanted if bias is None else wanted + b.reshape(-1, *[1] * len(size)), channels * np.prod(kernel))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", FORWARD)
def test_few_channels(case, dtype):
    n, channels, rows, size, kernel, stride, padding, dilation = case
    x, w, b = _operands(n, channels, rows, size, kernel, dtype)
    w = np.ascontiguousarray(w.swapaxes(0, 1))
    out = tuple(s + 2 * p - d * (k - 1) for s, p, d, k in zip(size, padding, dilation, kernel))
    shapes, _ = conv_plans.forward_shapes(dtype, n, 1, rows, channels, kernel, size, out, stride, padding, dilation)
    assert overlap_plans.serves(shapes)
    found = conv_maps.forward(x, w, b, stride, padding, dilation, 1)
    # The adjoint of the turned kernel.
    turned = np.flip(w.swapaxes(0, 1), tuple(range(2, w.ndim)))
    around = tuple(d * (k - 1) - p for p, d, k in zip(padding, dilation, kernel))
    if min(around) < 0:
        pytest.skip("no adjoint has padding below zero")
    _close(found, _transposed(x, turned, stride, around, dilation, out) + b.reshape(-1, *[1] * len(size)),
           channels * np.prod(kernel))


def test_groups_and_layouts():
    r = np.random.default_rng(0)
    y, w = r.standard_normal((3, 24, 6, 7)).astype("f"), r.standard_normal((24, 5, 3, 3)).astype("f")
    found = conv_maps.adjoint_input(y.transpose(0, 1, 3, 2), w, None, (14, 12), (2, 2), (1, 1), (1, 1), 2)
    parts = [_transposed(y[:, i:i + 12].swapaxes(2, 3), w[i:i + 12], (2, 2), (1, 1), (1, 1), (14, 12)) for i in (0, 12)]
    _close(found, np.concatenate(parts, 1), 108)


def test_infinities_stay_where_windows_see_them():
    r = np.random.default_rng(0)
    y, w = r.standard_normal((2, 9, 6, 6)).astype("f"), r.standard_normal((9, 3, 3, 3)).astype("f")
    y[1, 2, 3, 3] = np.nan
    found = np.isnan(conv_maps.adjoint_input(y, w, None, (12, 12), (2, 2), (1, 1), (1, 1), 1))
    wanted = np.zeros_like(found)
    wanted[1, :, 5:8, 5:8] = True
    assert (found == wanted).all()


@pytest.mark.parametrize("case", [ADJOINTS[1], ADJOINTS[7]])
def test_bits_do_not_depend_on_threads(case):
    n, channels, rows, size, kernel, stride, padding, dilation, _ = case
    y, w, _ = _operands(n, channels, rows, size, kernel, np.float32)
    threads, found = rl.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            rl.set_num_threads(count)
            out = tuple(s * t for s, t in zip(size, stride))
            found.append(conv_maps.adjoint_input(y, w, None, out, stride, padding, dilation, 1))
    finally:
        rl.set_num_threads(threads)
    assert all((a == found[0]).all() for a in found[1:])
