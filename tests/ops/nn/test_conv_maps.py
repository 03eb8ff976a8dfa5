"""The generated convolutions against sums in float64: shapes, borders, steps, groups, special values, threads."""

import numpy as np
import pytest

import rushlight as rl
from rushlight.compiler.templates import winograd
from rushlight.ops.nn import conv_fallback, conv_maps, conv_plans, depthwise_plans, winograd_plans

pytestmark = pytest.mark.skipif(conv_maps._name(np.dtype(np.float32)) is None, reason="no compiler")

# x shape, w shape, stride, padding, dilation, groups
DIRECT = [
    ((2, 3, 8, 8), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),            # rows of half a vector
    ((5, 6, 4, 4), (34, 3, 3, 3), (1, 1), (1, 1), (1, 1), 2),           # several images to a vector
    ((7, 4, 3, 5), (2, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),            # rows of an odd length
    ((3, 4, 7, 9), (20, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 3, 20, 35), (4, 3, 5, 3), (3, 3), (2, 2), (2, 2), 1),          # lanes far apart
    ((2, 3, 9, 40), (1, 3, 7, 2), (2, 1), (3, 4), (1, 3), 1),           # windows that see little but padding
    ((4, 7, 29), (10, 7, 3), (1,), (1,), (1,), 1),
    ((3, 2, 131), (3, 2, 8), (4,), (3,), (2,), 1),
    ((2, 3, 5, 6, 7), (6, 3, 3, 2, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), 1),
    ((31, 2, 3, 3), (3, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1),           # a last unit of fewer images
    ((1, 300, 6, 6), (40, 300, 3, 3), (1, 1), (1, 1), (1, 1), 1),       # sums in several blocks
    ((2, 5, 1, 1), (7, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 4, 5, 6), (9, 4, 5, 6), (1, 1), (0, 0), (1, 1), 1),            # one window
    ((3, 130, 5, 7), (70, 130, 1, 1), (1, 1), (0, 0), (1, 1), 1),       # gradients of weights by products of matrices
    ((3, 20, 6, 7), (33, 20, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 16, 24, 26), (40, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1),       # squares of gradients as they stand, and rests
    ((3, 20, 8, 6), (33, 20, 1, 1), (1, 1), (0, 0), (1, 1), 1),         # a product of matrices an image
    ((2, 3, 64), (1, 3, 1), (1,), (0,), (1,), 1),
]
DEPTHWISE = [
    ((2, 6, 9, 33), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    ((2, 5, 7, 16), (15, 1, 3, 3), (1, 1), (0, 2), (1, 2), 5),
    ((3, 4, 12, 11), (4, 1, 3, 3), (2, 2), (1, 1), (1, 1), 4),
    ((2, 3, 13, 10), (6, 1, 5, 2), (3, 2), (2, 1), (1, 1), 3),
    ((2, 3, 50), (3, 1, 7), (1,), (3,), (1,), 3),
    ((1, 2, 300, 70), (2, 1, 3, 3), (1, 1), (1, 1), (1, 1), 2),         # blocks of rows
]
QUICK = [
    ((8, 32, 9, 11), (33, 32, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((33, 40, 4, 4), (70, 40, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((7, 64, 8, 10), (64, 32, 3, 3), (1, 1), (2, 1), (1, 1), 2),
    ((3, 32, 17, 35), (36, 32, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 32, 4, 9, 11), (33, 32, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),     # planes as more channels
    ((5, 64, 5, 8, 6), (64, 32, 2, 3, 3), (1, 1, 1), (0, 1, 0), (1, 1, 1), 2),
    ((9, 72, 15, 9), (66, 36, 3, 3), (1, 1), (1, 1), (1, 1), 2),        # cells of four rows
    ((9, 150, 12, 7), (36, 150, 3, 3), (1, 1), (1, 2), (1, 1), 1),      # and sums in several blocks
    ((3, 33, 3, 16, 13), (32, 33, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    ((32, 232, 4, 4), (216, 232, 3, 3), (1, 1), (1, 1), (1, 1), 1),     # large weights, few cells
]
APART = [
    ((16, 34, 12, 16), (130, 34, 3, 3), (2, 2), (1, 1), (1, 1), 1),      # steps of two
    ((5, 64, 25, 33), (256, 32, 3, 3), (2, 2), (0, 2), (1, 1), 2),
    ((4, 150, 15, 32), (118, 150, 3, 3), (2, 2), (1, 1), (1, 1), 1),     # sums in several blocks
    ((5, 32, 5, 23, 12), (135, 32, 3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), 1),
    ((5, 32, 3, 16, 16), (128, 32, 2, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1), 1),
]
ALL = DIRECT + DEPTHWISE + QUICK + APART


def _operands(case, dtype=np.float32):
    r = np.random.default_rng(sum(case[0]))
    x, w, b = (r.standard_normal(s).astype(dtype) for s in (case[0], case[1], case[1][:1]))
    out = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1
                for s, k, t, p, d in zip(case[0][2:], case[1][2:], *case[2:5]))
    return x, w, b, r.standard_normal((case[0][0], case[1][0]) + out).astype(dtype)


def _reference(x, w, stride, padding, dilation, groups, out):
    """The sum as it is written, in float64."""
    n, c = x.shape[:2]
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in padding)])
    w = w.astype(np.float64).reshape(groups, -1, *w.shape[1:])
    y = np.zeros((n, groups, w.shape[1], *out))
    for at in np.ndindex(*w.shape[3:]):
        window = tuple(slice(i * d, i * d + (m - 1) * s + 1, s) for i, d, m, s in zip(at, dilation, out, stride))
        part = x[(slice(None), slice(None), *window)].reshape(n, groups, c // groups, *out)
        y += np.einsum("ngc...,goc->ngo...", part, w[(Ellipsis, *at)])
    return y.reshape(n, -1, *out)


def _close(found, expected, terms, dtype):
    """A sum of so many products of numbers of about one."""
    eps = np.finfo(dtype).eps
    assert found.dtype == dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 4 * eps * max(terms, 16) ** 0.5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ALL)
def test_convolution_and_its_adjoints(case, dtype):
    x, w, b, g = _operands(case, dtype)
    y = conv_maps.forward(x, w, b, *case[2:])
    terms = int(np.prod(w.shape[1:]))
    _close(y, _reference(x, w, *case[2:], g.shape[2:]) + b.reshape((-1,) + (1,) * (x.ndim - 2)), terms, dtype)
    # The adjoints by NumPy's sums in float64, themselves held to the definition by test_fallback below.
    wide = [a.astype(np.float64) for a in (x, w, g, np.ones(x.shape[1]))]
    dx = conv_maps.adjoint_input(g, w, wide[3].astype(dtype), x.shape[2:], *case[2:])
    expected = conv_fallback.adjoint_input(wide[2], wide[1], wide[3], x.shape[2:], *case[2:])
    _close(dx, expected, terms * w.shape[0] / x.shape[1], dtype)
    dw = conv_maps.adjoint_weight(x, g, w.shape[2:], *case[2:])
    expected = conv_fallback.adjoint_weight(wide[0], wide[2], w.shape[2:], *case[2:])
    _close(dw, expected, g[:, 0].size, dtype)


@pytest.mark.parametrize("case", ALL)
def test_fallback(case):
    x, w, b, g = _operands(case, np.float64)
    y = conv_fallback.forward(x, w, None, *case[2:])
    assert np.allclose(y, _reference(x, w, *case[2:], g.shape[2:]), rtol=1e-12, atol=1e-12)
    pairing = (y * g).sum()
    assert np.isclose((conv_fallback.adjoint_input(g, w, None, x.shape[2:], *case[2:]) * x).sum(), pairing)
    assert np.isclose((conv_fallback.adjoint_weight(x, g, w.shape[2:], *case[2:]) * w).sum(), pairing)


def _ways(case, dtype="float32"):
    x, w, _, g = _operands(case)
    groups = case[5]
    return conv_plans.forward(dtype, x.shape[0], groups, w.shape[0] // groups, w.shape[1], w.shape[2:], x.shape[2:],
                              g.shape[2:], *case[2:5])


def test_cases_take_the_ways_they_are_for():
    heights = [winograd_plans.height_of_cells(case[0][0], _operands(case)[3].shape[2:]) for case in QUICK]
    assert heights == [4, 4, 2, 4, 2, 4, 4, 4, 4, 4]
    for case in DEPTHWISE:
        assert depthwise_plans.serves(case[1][1], case[5], case[1][2:], "float32")
    for case in QUICK:
        x, w, _, g = _operands(case)
        assert _ways(case).quick and _ways(case, "float64").quick is None
        assert winograd_plans.serves_weight("float32", x.shape[0], w.shape[0] // case[5], w.shape[1], g.shape[2:],
                                            w.shape[2:], *case[2:5:2])
    for case in APART:
        assert [plan.call for _, _, plan in _ways(case).quick] == [winograd.kernel("float", 2, 2)]


def test_steps_of_two_take_fewer_products_only_where_cells_are_full():
    found = [bool(_ways(((n, 64, *size), (rows, 64, 3, 3), (2, 2), (1, 1), (1, 1), 1)).quick[0][2].call
                  is winograd.kernel("float", 2, 2)) for n, size, rows in [
                      (8, (28, 28), 128), (8, (14, 14), 128), (1, (28, 28), 128), (8, (28, 28), 32)]]
    assert found == [True, False, False, False]


@pytest.mark.parametrize("case", QUICK + APART)
def test_minimal_filtering_is_about_as_exact_as_sums(case):
    x, w, _, g = _operands(case)
    expected = _reference(x, w, *case[2:], g.shape[2:])
    ways = _ways(case)
    quick = conv_maps._run(ways, g.shape, x, w, None)
    ways.quick, kept = None, ways.quick
    direct = conv_maps._run(ways, g.shape, x, w, None)
    ways.quick = kept
    errors = [np.sqrt(((y - expected) ** 2).mean()) for y in (quick, direct)]
    # Coefficients of steps of two are 0, 1 and -1.
    assert 0 < errors[0] <= (1.7 if case in APART else 4) * errors[1]


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("case", QUICK[:2] + APART[:1] + DIRECT[:1])
def test_infinities_stay_in_their_windows(case, special):
    x, w, b, g = _operands(case)
    x[0, 1, 2, 2] = special
    y = conv_maps.forward(x, w, b, *case[2:])
    touched = np.zeros(x.shape, bool)
    touched[0, :, 2, 2] = True
    seen = _reference(touched.astype(np.float64), np.ones(w.shape), *case[2:], g.shape[2:]) > 0
    assert np.isfinite(y[~seen]).all()
    if abs(special) != 3e38:
        assert not np.isfinite(y[seen]).any()
    dw = conv_maps.adjoint_weight(x, g, w.shape[2:], *case[2:])
    assert np.isfinite(dw[:, [0, *range(2, w.shape[1])]]).all()


@pytest.mark.parametrize("case", [DIRECT[1], DIRECT[3], DIRECT[10], DEPTHWISE[1], *QUICK[1:3], *APART[:2],
                                  ((9, 48, 16, 16), (48, 48, 3, 3), (1, 1), (1, 1), (1, 1), 1)])
def test_bits_do_not_depend_on_threads(case):
    x, w, b, g = _operands(case)
    before, found = rl.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            rl.set_num_threads(n)
            found.append([conv_maps.forward(x, w, b, *case[2:]),
                          conv_maps.adjoint_input(g, w, None, x.shape[2:], *case[2:]),
                          conv_maps.adjoint_weight(x, g, w.shape[2:], *case[2:])])
    finally:
        rl.set_num_threads(before)
    for one, two, three in zip(*found):
        assert np.array_equal(one, two) and np.array_equal(one, three)


def test_images_in_any_layout():
    x, w, b, _ = _operands(DIRECT[3])
    expected = conv_maps.forward(x, w, b, *DIRECT[3][2:])
    turned = np.ascontiguousarray(x.transpose(3, 0, 2, 1)).transpose(1, 3, 2, 0)
    spaced = np.zeros((*w.shape, 2), np.float32)
    spaced[..., 0] = w
    assert np.array_equal(conv_maps.forward(turned, spaced[..., 0], b[::-1][::-1], *DIRECT[3][2:]), expected)


@pytest.mark.parametrize("groups", [1, 4])
def test_channels_last_is_kept(groups):
    r = np.random.default_rng(0)
    x, w = (rl.tensor(r.standard_normal(s).astype(np.float32)) for s in ((2, 4, 6, 5), (8, 4 // groups, 3, 3)))
    last = x.contiguous(memory_format=rl.channels_last).requires_grad_()
    y = rl.nn.functional.conv2d(last, w, padding=1, groups=groups)
    assert y.is_contiguous(memory_format=rl.channels_last)
    assert rl.equal(y, rl.nn.functional.conv2d(x, w, padding=1, groups=groups))
    dx, = rl.autograd.grad(y, last, rl.ones(y.shape))
    assert dx.is_contiguous(memory_format=rl.channels_last)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 5, 5)])
def test_empty_batches_and_single_outputs(shape):
    x = rl.zeros(shape, requires_grad=True)
    w = rl.ones(4, 3, 5, 5, requires_grad=True)
    y = rl.nn.functional.conv2d(x, w, rl.ones(4))
    assert y.shape == (shape[0], 4, 1, 1) and (y == 1).all()
    y.sum().backward()
    assert x.grad.shape == shape and w.grad.shape == w.shape and (w.grad == 0).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves_are_summed_in_float32(dtype):
    x, w, b, g = _operands(DIRECT[3])
    halves = [rl.tensor(a).to(getattr(rl, dtype)) for a in (x, w, b)]
    y = rl.nn.functional.conv2d(*halves, *DIRECT[3][2:])
    wide = rl.nn.functional.conv2d(*(t.float() for t in halves), *DIRECT[3][2:])
    assert y.dtype is getattr(rl, dtype) and rl.equal(y, wide.to(y.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("last", [False, True])
def test_windows_of_one_pixel(dtype, last):
    r = np.random.default_rng(0)
    x, w, b, g = (rl.tensor(r.standard_normal(s)).to(getattr(rl, dtype)).requires_grad_()
                  for s in ((3, 20, 5, 7), (9, 20, 1, 1), (9,), (3, 9, 5, 7)))
    wide = [t.detach().double().requires_grad_() for t in (x, w, b)]
    images = x.contiguous(memory_format=rl.channels_last) if last else x
    y = rl.nn.functional.conv2d(images, w, b)
    assert y.is_contiguous(memory_format=rl.channels_last) == last
    unbiased = rl.nn.functional.conv2d(images.detach(), w.detach())
    expected = rl.einsum("nchw,oc->nohw", wide[0], wide[1][:, :, 0, 0])
    bound = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 8e-2}[dtype]
    assert (unbiased.double() - expected).abs().max().item() < bound
    expected = expected + wide[2][:, None, None]
    assert (y.double() - expected).abs().max().item() < bound
    y.backward(g.contiguous(memory_format=rl.channels_last) if last else g)
    expected.backward(g.double())
    for t, e in zip((x, w, b), wide):
        assert (t.grad.double() - e.grad).abs().max().item() < 4 * bound


def test_points_of_integers():
    x, w, b = np.arange(54).reshape(1, 2, 3, 3, 3), np.array([[3, -1]]), np.array([5])
    y = rl.nn.functional.conv3d(*(rl.from_numpy(a) for a in (x, w.reshape(1, 2, 1, 1, 1), b)), padding="same")
    assert (y.numpy()[0, 0] == 3 * x[0, 0] - x[0, 1] + 5).all()
