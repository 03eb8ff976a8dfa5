"""Gradients of weights where images or gradients have few channels, against sums in float64."""

import numpy as np
import pytest

import rushlight as rl
from rushlight.ops.nn import conv_maps, dot_plans
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(conv_maps._name(np.dtype(np.float32)) is None or cpu.amx(),
                                reason="no compiler, or tiles serve these")

# Images, channels, rows, sizes, kernel, stride, padding, dilation, groups
FEW_CHANNELS = [
    (3, 1, 16, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 3, 32, (16, 33), (3, 3), (1, 1), (1, 1), (1, 1), 1),            # a last vector of few pixels
    (2, 3, 14, (31, 32), (4, 5), (2, 2), (1, 2), (1, 1), 1),            # rows left over
    (1, 2, 13, (20, 40), (3, 2), (3, 1), (0, 1), (1, 2), 1),
    (9, 6, 24, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (2, 2, 16, (300,), (7,), (2,), (3,), (1,), 1),
    (2, 2, 12, (4, 6, 9), (3, 2, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
]
FEW_ROWS = [
    (3, 16, 1, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 25, 3, (17, 32), (3, 5), (1, 1), (1, 0), (2, 1), 1),
    (5, 32, 4, (16, 16), (4, 4), (1, 1), (2, 1), (1, 1), 2),
    (2, 17, 2, (160,), (5,), (1,), (2,), (1,), 1),
]


def _reference(x, g, kernel, stride, padding, dilation, groups):
    """The sum as it is written, in float64."""
    n, c = x.shape[:2]
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = g.shape[2:]
    pixels = int(np.prod(out))
    g = g.astype(np.float64).reshape(n, groups, -1, pixels)
    dw = np.zeros((g.shape[2] * groups, c // groups, *kernel))
    for at in np.ndindex(*kernel):
        window = tuple(slice(i * d, i * d + (m - 1) * s + 1, s) for i, d, m, s in zip(at, dilation, out, stride))
        part = x[(slice(None), slice(None), *window)].reshape(n, groups, c // groups, pixels)
        dw[(Ellipsis, *at)] = np.einsum("ngop,ngcp->goc", g, part).reshape(dw.shape[:2])
    return dw


def _operands(case, dtype):
    n, c, rows, size, kernel, stride, padding, dilation, groups = case
    r = np.random.default_rng(rows)
    out = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1
                for s, k, t, p, d in zip(size, kernel, stride, padding, dilation))
    return r.standard_normal((n, c, *size)).astype(dtype), r.standard_normal((n, rows, *out)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", FEW_CHANNELS + FEW_ROWS)
def test_weights(case, dtype):
    n, c, rows, size, kernel, stride, padding, dilation, groups = case
    x, g = _operands(case, dtype)
    plan = dot_plans.plan(dtype, n, groups, rows // groups, c // groups, kernel, size, g.shape[2:], stride, padding,
                          dilation)
    assert plan is not None
    found = conv_maps.adjoint_weight(x, g, kernel, stride, padding, dilation, groups)
    wanted = _reference(x, g, kernel, stride, padding, dilation, groups)
    terms = n * np.prod(g.shape[2:])
    assert found.shape == wanted.shape and found.dtype == dtype
    assert np.abs(found - wanted).max() <= 4 * np.finfo(dtype).eps * terms ** 0.5 * max(1, np.abs(wanted).max())


def test_what_lies_past_a_plane_is_not_read():
    """A vector that goes past an image's last pixel sees the next row of channels, which may hold anything."""
    x, g = _operands(FEW_CHANNELS[1], np.float32)
    g[0, 5] = np.nan
    g[1, 7, 0, 0] = np.inf
    found = conv_maps.adjoint_weight(x, g, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    odd = ~np.isfinite(found).reshape(len(found), -1).all(1)
    assert odd[5] and set(np.flatnonzero(odd)) <= {5, 7}


@pytest.mark.parametrize("case", [FEW_CHANNELS[4], FEW_ROWS[2]])
def test_bits_do_not_depend_on_threads(case):
    x, g = _operands(case, np.float32)
    threads, found = rl.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            rl.set_num_threads(count)
            found.append(conv_maps.adjoint_weight(x, g, *case[4:]))
    finally:
        rl.set_num_threads(threads)
    assert all((a == found[0]).all() for a in found[1:])
