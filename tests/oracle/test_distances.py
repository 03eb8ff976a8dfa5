"""Distances of all pairs of points and their gradients, against PyTorch."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
POWERS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")]


def both(call, *arrays, grad=True):
    """Results and gradients of both frameworks."""
    for framework in (rushlight, torch):
        xs = [framework.from_numpy(a.copy()).requires_grad_(grad) for a in arrays]
        y = call(framework, *xs)
        weights = framework.from_numpy(np.random.default_rng(3).standard_normal(tuple(y.shape)).astype(arrays[0].dtype))
        yield [y.detach().numpy(), *[g.numpy() for g in framework.autograd.grad((y * weights).sum(), xs)]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("shapes", [((7, 3), (5, 3)), ((2, 33, 20), (2, 40, 20)), ((2, 1, 3, 300), (3, 70, 300)),
                                    ((4, 2, 1), (4, 1, 1))])
def test_two_sets(shapes, p, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, s).astype(dtype) + (rng.random(s) < 0.5) * rng.standard_normal(s).astype(dtype)
            for s in shapes)
    a, b = a.astype(dtype), b.astype(dtype)
    b[..., 0, :] = a[(0,) * (a.ndim - 2)][0]
    mode = "donot_use_mm_for_euclid_dist"           # the other one cancels
    for got, want in zip(*both(lambda f, x, y: f.cdist(x, y, p, mode), a, b)):
        scale = np.abs(want).max() + 1
        np.testing.assert_allclose(got, want, rtol=2e-5 if dtype == "float32" else 1e-12,
                                   atol=scale * (3e-6 if dtype == "float32" else 1e-14))


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("shape", [(2, 3), (9, 4), (40, 17), (3, 0)])
def test_one_set(shape, p):
    a = np.random.default_rng(1).standard_normal(shape)
    if len(a) > 3:
        a[2] = a[3]
    for got, want in zip(*both(lambda f, x: f.nn.functional.pdist(x, p), a)):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_products_of_large_sets_are_no_better():
    a = np.random.default_rng(2).standard_normal((100, 64)).astype(np.float32)
    got, want = (f.cdist(f.from_numpy(a), f.from_numpy(a)).numpy() for f in (rushlight, torch))
    assert not got.diagonal().any()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=0.02)


@pytest.mark.parametrize("shapes", [((0, 3), (2, 3)), ((2, 0), (3, 0)), ((2, 3), (0, 3)), ((0, 2, 3), (0, 4, 3))])
def test_nothing(shapes):
    for p in (0.5, 1.0, 2.0, float("inf")):
        got, want = both(lambda f, x, y: f.cdist(x, y, p), *(np.ones(s) for s in shapes))
        for a, b in zip(got, want):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_not_a_number_and_infinity(p):
    a = np.array([[1, np.nan, 2], [np.inf, 0, 0], [1, 2, 3]], np.float32)
    b = np.array([[1, 1, 5], [np.inf, 0, 0]], np.float32)
    got, want = (f.cdist(f.from_numpy(a), f.from_numpy(b), p).numpy() for f in (rushlight, torch))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-6)
