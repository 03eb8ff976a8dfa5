"""Normalization against its definition in float64: rows, groups, channels first and last, and their gradients."""

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional
# Relative to the largest value: a few roundings of the type.
BOUND = {"float32": 4e-6, "float64": 1e-13, "bfloat16": 1.2e-2}


def close(got, want, dtype):
    got = np.asarray(got.double().tolist()).reshape(np.shape(want))
    scale = max(1.0, np.abs(want).max(initial=0))
    assert np.abs(got - want).max(initial=0) <= BOUND[dtype] * scale


def reference(x, g, w, b, axes, eps, rms=False):
    """(y, dx, dw, db) of (x - mean) / sqrt(var + eps) * w + b; w and b broadcast and their gradients are full-sized."""
    mean = 0 if rms else x.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)
    normal = (x - mean) * rstd
    h = g * w
    dx = h - normal * (h * normal).mean(axes, keepdims=True)
    if not rms:
        dx = dx - h.mean(axes, keepdims=True)
    return normal * w + b, rstd * dx, g * normal, g


def run(fn, arrays, g, dtype):
    leaves = [torch.tensor(a, dtype=getattr(torch, dtype)).requires_grad_() for a in arrays]
    y = fn(*leaves)
    y.backward(torch.tensor(g, dtype=y.dtype))
    return y.detach(), [t.grad for t in leaves]


def rounded(rng, dtype, *shape, offset=0.0):
    """Normal numbers that are exact in the type."""
    t = torch.tensor(rng.standard_normal(shape) + offset, dtype=getattr(torch, dtype))
    return np.asarray(t.double().tolist()).reshape(shape)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("rows, n", [(1, 2), (5, 37), (40, 64), (3, 5000), (300, 33), (1, 70000)])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_rows(kind, rows, n, dtype):
    rng = np.random.default_rng(0)
    x, g = rounded(rng, dtype, rows, n, offset=2.0), rounded(rng, dtype, rows, n)
    w, b = rounded(rng, dtype, n), rounded(rng, dtype, n)
    if kind == "layer":
        y, (dx, dw, db) = run(lambda x, w, b: F.layer_norm(x, (n,), w, b), (x, w, b), g, dtype)
    else:
        b, db = 0.0, None
        y, (dx, dw) = run(lambda x, w: F.rms_norm(x, (n,), w, 1e-5), (x, w), g, dtype)
    want = reference(x, g, w, b, (1,), 1e-5, kind == "rms")
    for got, expected in zip((y, dx), want):
        close(got, expected, dtype)
    close(dw, want[2].sum(0), dtype)
    if db is not None:
        close(db, want[3].sum(0), dtype)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape, groups", [((2, 6, 5, 7), 3), ((3, 8, 20, 20), 2), ((2, 4), 2), ((2, 6, 4), 6)])
def test_groups(shape, groups, dtype):
    rng = np.random.default_rng(1)
    x, g = rounded(rng, dtype, *shape), rounded(rng, dtype, *shape)
    w, b = rounded(rng, dtype, shape[1]), rounded(rng, dtype, shape[1])
    y, (dx, dw, db) = run(lambda x, w, b: F.group_norm(x, groups, w, b), (x, w, b), g, dtype)
    split = (shape[0], groups, shape[1] // groups, -1)
    wide = [np.broadcast_to(p.reshape(1, -1, *(1,) * (len(shape) - 2)), shape).reshape(split) for p in (w, b)]
    want = reference(x.reshape(split), g.reshape(split), *wide, (2, 3), 1e-5)
    want = [v.reshape(shape) for v in want]
    dims = (0, *range(2, len(shape)))
    for got, expected in zip((y, dx, dw, db), (*want[:2], want[2].sum(dims), want[3].sum(dims))):
        close(got, expected, dtype)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", [(50, 7), (300, 64), (4, 6, 5, 7), (2, 40, 9, 9), (2, 17, 4, 5), (2, 8, 300, 300)])
@pytest.mark.parametrize("last", [False, True])
def test_channels(shape, last, dtype):
    if shape[-1] == 300 and (last or dtype != "float32"):
        pytest.skip("large")
    rng = np.random.default_rng(2)
    x, g = rounded(rng, dtype, *shape, offset=3.0), rounded(rng, dtype, *shape)
    w, b = rounded(rng, dtype, shape[1]), rounded(rng, dtype, shape[1])

    def fn(x, w, b):
        if last and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        y = F.batch_norm(x, None, None, w, b, True)
        assert y.stride() == x.stride()
        return y
    y, (dx, dw, db) = run(fn, (x, w, b), g, dtype)
    dims, per_channel = (0, *range(2, len(shape))), (1, -1, *(1,) * (len(shape) - 2))
    want = reference(x, g, w.reshape(per_channel), b.reshape(per_channel), dims, 1e-5)
    for got, expected in zip((y, dx, dw, db), (*want[:2], want[2].sum(dims), want[3].sum(dims))):
        close(got, expected, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_channels_last_images_in_evaluation_mode(dtype):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 9, 5, 7, generator=g).to(getattr(torch, dtype)).contiguous(memory_format=torch.channels_last)
    mean, var, w, b = (torch.rand(9, generator=g).to(x.dtype) + 0.5 for _ in range(4))
    for more in ((w, b), ()):
        y = F.batch_norm(x, mean, var, *more)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(y, F.batch_norm(x.contiguous(), mean, var, *more))


@pytest.mark.parametrize("shape", [(20, 7), (4, 12, 5, 7)])
def test_gradients_in_evaluation_mode(shape):
    rng = np.random.default_rng(3)
    x, g, w, b = rng.standard_normal(shape), rng.standard_normal(shape), *rng.standard_normal((2, shape[1]))
    mean, var = rng.standard_normal(shape[1]), rng.random(shape[1]) + 0.5
    y, (dx, dw, db) = run(lambda x, w, b: F.batch_norm(x, torch.tensor(mean), torch.tensor(var), w, b), (x, w, b), g,
                          "float64")
    per_channel, dims = (1, -1, *(1,) * (len(shape) - 2)), (0, *range(2, len(shape)))
    rstd = (1 / np.sqrt(var + 1e-5)).reshape(per_channel)
    normal = (x - mean.reshape(per_channel)) * rstd
    close(y, normal * w.reshape(per_channel) + b.reshape(per_channel), "float64")
    close(dx, g * w.reshape(per_channel) * rstd, "float64")
    close(dw, (g * normal).sum(dims), "float64")
    close(db, g.sum(dims), "float64")


def test_a_large_mean_costs_no_precision():
    x = np.random.default_rng(4).standard_normal((8, 6000)).astype("f4") + np.float32(3000)
    wide = x.astype("f8")
    want = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    got = F.layer_norm(torch.tensor(x), (6000,), eps=1e-12)
    assert np.abs(np.asarray(got.tolist()) - want).max() < 3e-4         # of |x|, 2^-24: the input's own grid is 2.4e-4


def test_not_finite_rows_stay_alone():
    x = torch.ones(4, 9)
    x[1, 3], x[2, 0] = float("nan"), float("inf")
    y = F.layer_norm(x + torch.arange(9.0), (9,))
    assert y[1].isnan().all() and y[2].isnan().all()
    assert y[0].isfinite().all() and torch.equal(y[0], y[3])


CASES = {
    "layer": ((600, 130), lambda x, w, b: F.layer_norm(x, (130,), w, b), 130),
    "rms": ((600, 130), lambda x, w, b: F.rms_norm(x, (130,), w) + b, 130),
    "group": ((6, 16, 30, 30), lambda x, w, b: F.group_norm(x, 4, w, b), 16),
    "batch": ((6, 16, 30, 30), lambda x, w, b: F.batch_norm(x, None, None, w, b, True), 16),
    "columns": ((900, 90), lambda x, w, b: F.batch_norm(x, None, None, w, b, True), 90),
}


@pytest.mark.parametrize("name", CASES)
def test_threads_do_not_change_bits(name):
    shape, fn, n = CASES[name]
    rng = np.random.default_rng(5)
    arrays = rng.standard_normal(shape), rng.standard_normal(n), rng.standard_normal(n)
    g, before, found = rng.standard_normal(shape), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y, grads = run(fn, arrays, g, "float32")
            found.append([y, *grads])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found))


@pytest.mark.parametrize("fn", [
    lambda x, w: F.layer_norm(x, (4,), w), lambda x, w: F.rms_norm(x, (4,), w, 1e-3),
    lambda x, w: F.group_norm(x, 2, w), lambda x, w: F.batch_norm(x, None, None, w, training=True)])
def test_gradients_of_gradients(fn):
    x = torch.tensor(np.random.default_rng(6).standard_normal((3, 4)), requires_grad=True)
    w = torch.tensor([0.5, -1.0, 2.0, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fn, (x, w))
    assert torch.autograd.gradgradcheck(fn, (x, w))


def test_nothing_to_normalize():
    for fn in (lambda x: F.layer_norm(x, (3,)), lambda x: F.rms_norm(x, (3,)), lambda x: F.group_norm(x, 1)):
        x = torch.empty(0, 3, requires_grad=True)
        fn(x).sum().backward()
        assert x.grad.shape == (0, 3)
