"""Interpolation, borders and sampling at positions against matrices and loops written from their definitions."""

import math

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional


def cubic(x, a):
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((x - 5) * x + 8) * x * a - 4 * a if x < 2 else 0.0


def matrix(n, out, mode, align=False, antialias=False):
    """The map of one dimension, (out, n)."""
    m = np.zeros((out, n))
    ratio = ((n - 1) / (out - 1) if out > 1 else 0.0) if align else n / out
    for i in range(out):
        if mode == "nearest":
            m[i, min(int(i * ratio), n - 1)] = 1
        elif mode == "nearest-exact":
            m[i, min(int((i + 0.5) * ratio), n - 1)] = 1
        elif antialias:
            scale = max(ratio, 1.0)
            center, support = ratio * (i + 0.5), (1.0 if mode == "linear" else 2.0) * scale
            js = range(max(int(center - support + 0.5), 0), min(int(center + support + 0.5), n))
            w = [(max(1 - abs(x), 0) if mode == "linear" else cubic(x, -0.5))
                 for x in ((j - center + 0.5) / scale for j in js)]
            for j, v in zip(js, w):
                m[i, j] = v / sum(w)
        else:
            x = i * ratio if align else (i + 0.5) * ratio - 0.5
            if mode == "linear":
                x = x if align else max(x, 0.0)
                low = min(int(x), n - 1)
                m[i, low] += 1 - (x - low)
                m[i, min(low + 1, n - 1)] += x - low
            else:
                low = math.floor(x)
                for k in range(-1, 3):
                    m[i, min(max(low + k, 0), n - 1)] += cubic(x - low - k, -0.75)
    return m


def through(x, matrices):
    for d, m in enumerate(matrices):
        x = np.moveaxis(np.moveaxis(x, 2 + d, -1) @ m.T, -1, 2 + d)
    return x


def check(values, fn, matrices):
    """fn is the map of these matrices, and its gradient their adjoint."""
    # Positions are numbers of the type, too (float32 for bfloat16): the longer a line, the coarser.
    coarse = max(1.0, max(m.shape[1] for m in matrices) / 12)
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 3e-6 * coarse), (torch.bfloat16, 1.6e-2)):
        x = torch.tensor(values, dtype=dtype, requires_grad=True)
        y = fn(x)
        exact = np.asarray(x.detach().double().tolist())
        want = through(exact, matrices)
        scale = max(1.0, np.abs(want).max())
        assert np.abs(np.asarray(y.double().tolist()) - want).max() <= bound * scale
        g = torch.tensor(np.random.default_rng(1).standard_normal(y.shape), dtype=dtype)
        y.backward(g)
        want = through(np.asarray(g.double().tolist()), [m.T for m in matrices])
        scale = max(1.0, np.abs(want).max())
        assert np.abs(np.asarray(x.grad.double().tolist()) - want).max() <= bound * scale


@pytest.mark.parametrize("size", [(14, 18), (5, 6), (7, 40), (3, 9)])
@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 2, 40, 33)])
@pytest.mark.parametrize("mode, options", [
    ("nearest", {}), ("nearest-exact", {}), ("bilinear", {}), ("bilinear", {"align_corners": True}), ("bicubic", {}),
    ("bicubic", {"align_corners": True}), ("bilinear", {"antialias": True}), ("bicubic", {"antialias": True})])
def test_planes(shape, size, mode, options):
    kind = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    align, antialias = options.get("align_corners", False), options.get("antialias", False)
    matrices = []
    for n, o in zip(shape[2:], size):
        same = n == o and kind in ("linear", "cubic")
        matrices.append(np.eye(n) if same else matrix(n, o, kind, align, antialias))
    values = np.random.default_rng(0).standard_normal(shape)
    check(values, lambda x: F.interpolate(x, size=size, mode=mode, **options), matrices)


@pytest.mark.parametrize("shape, size, mode", [
    ((2, 3, 50), (121,), "linear"), ((1, 1, 9000), (4000,), "linear"), ((2, 1, 4, 5, 6), (8, 7, 20), "trilinear"),
    ((2, 1, 4, 5, 6), (3, 9, 20), "nearest")])
def test_lines_and_volumes(shape, size, mode):
    kind = "linear" if mode.endswith("linear") else mode
    values = np.random.default_rng(2).standard_normal(shape)
    matrices = [matrix(n, o, kind) for n, o in zip(shape[2:], size)]
    check(values, lambda x: F.interpolate(x, size=size, mode=mode), matrices)


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 9, 20), (1, 2, 5, 6, 33)])
def test_borders(mode, numpy_mode, shape):
    rank = len(shape) - 2
    amounts = [(2, 3), (1, 4), (2, 2)][:rank]
    matrices = [np.pad(np.eye(n), ((p, q), (0, 0)), numpy_mode) for n, (p, q) in zip(shape[2:], reversed(amounts))]
    flat = [v for pair in amounts for v in pair]
    values = np.random.default_rng(3).standard_normal(shape)
    check(values, lambda x: F.pad(x, flat, mode=mode), matrices)


def test_signs_of_zero_and_what_is_not_finite():
    x = torch.tensor([[[[-0.0, 0.0, float("inf")], [float("nan"), 1.0, -2.0]]]])
    y = F.interpolate(x, scale_factor=2, mode="nearest")
    assert y[0, 0, 0].signbit().tolist() == [True, True, False, False, False, False]
    assert y[0, 0, 0, 4:].isinf().all() and y[0, 0, 2, :2].isnan().all()
    assert y.isfinite().sum() == 4 * 4


# ---------------------------------------------------------------- positions

def locate(u, n, padding, align):
    x = (u + 1) / 2 * (n - 1) if align else ((u + 1) * n - 1) / 2
    return x if padding == "zeros" else bounded(x, n, padding, align)


def bounded(x, n, padding, align):
    if padding == "reflection":
        low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
        span = high - low
        if span == 0:
            x = 0.0
        else:
            flips, rest = divmod(abs(x - low), span)
            x = low + (span - rest if flips % 2 else rest)
    return min(max(x, 0.0), n - 1.0)


def value(plane, place):
    return plane[place] if all(0 <= i < n for i, n in zip(place, plane.shape)) else 0.0


def sampled(plane, position, mode, padding, align):
    """One value of a plane (or volume) at a position (last dimension first)."""
    sizes, u = plane.shape, position[::-1]
    if mode == "bicubic":
        raw = [locate(v, n, "zeros", align) for v, n in zip(u, sizes)]
        lows = [math.floor(x) for x in raw]
        total = 0.0
        for i in range(-1, 3):
            for j in range(-1, 3):
                at = [low + k for low, k in zip(lows, (i, j))]
                w = cubic(raw[0] - at[0], -0.75) * cubic(raw[1] - at[1], -0.75)
                if padding != "zeros":
                    at = [round(bounded(a, n, padding, align)) for a, n in zip(at, sizes)]
                total += w * value(plane, tuple(at))
        return total
    x = [locate(v, n, padding, align) for v, n in zip(u, sizes)]
    if mode == "nearest":
        return value(plane, tuple(round(v) for v in x))
    total = 0.0
    for corner in np.ndindex(*(2,) * len(x)):
        at = [math.floor(v) + k for v, k in zip(x, corner)]
        total += np.prod([1 - abs(v - a) for v, a in zip(x, at)]) * value(plane, tuple(at))
    return total


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("sizes, places", [((7, 9), (5, 7)), ((5, 1), (20, 1)), ((3, 4, 5), (2, 3, 4))])
def test_positions(sizes, places, mode, padding, align):
    if mode == "bicubic" and len(sizes) == 3:
        with pytest.raises(RuntimeError, match="only supports 4D"):
            F.grid_sample(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 2, 2, 2, 3), mode, align_corners=align)
        return
    rng = np.random.default_rng(4)
    x, grid = rng.standard_normal((2, 2, *sizes)), rng.uniform(-1.6, 1.6, (2, *places, len(sizes)))
    y = F.grid_sample(torch.tensor(x), torch.tensor(grid), mode, padding, align)
    for n, c in np.ndindex(2, 2):
        for place in np.ndindex(*places):
            want = sampled(x[n, c], grid[(n, *place)], mode, padding, align)
            assert abs(float(y[(n, c, *place)]) - want) < 1e-12


@pytest.mark.parametrize("mode, padding", [("bilinear", "zeros"), ("bilinear", "reflection"), ("bicubic", "border")])
def test_gradients_of_positions(mode, padding):
    rng = np.random.default_rng(5)
    x = torch.tensor(rng.standard_normal((1, 2, 4, 5)), requires_grad=True)
    grid = torch.tensor(rng.uniform(-1.1, 1.1, (1, 3, 2, 2)), requires_grad=True)

    def fn(x, grid):
        return F.grid_sample(x, grid, mode, padding, False)
    assert torch.autograd.gradcheck(fn, (x, grid))
    assert torch.autograd.gradgradcheck(fn, (x, grid))


def test_places_that_share_an_input_add_up():
    x = torch.ones(1, 1, 3, 3, requires_grad=True)
    F.grid_sample(x, torch.zeros(1, 40, 50, 2), "nearest", align_corners=True).sum().backward()
    assert x.grad[0, 0, 1, 1] == 2000 and x.grad.sum() == 2000


@pytest.mark.parametrize("fn", [
    lambda x, p: F.interpolate(x, scale_factor=1.7, mode="bicubic"),
    lambda x, p: F.pad(x, (3, 3, 2, 2), mode="reflect"),
    lambda x, p: F.grid_sample(x, p, align_corners=False)])
def test_threads_do_not_change_bits(fn):
    rng, before, found = np.random.default_rng(6), torch.get_num_threads(), []
    values, places = rng.standard_normal((3, 8, 33, 40)), rng.uniform(-1, 1, (3, 60, 50, 2))
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
            p = torch.tensor(places, dtype=torch.float32, requires_grad=True)
            y = fn(x, p)
            (y * y).sum().backward()
            found.append((y, x.grad) if p.grad is None else (y, x.grad, p.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found))
