"""Reductions, scans and order beside live PyTorch."""

import math

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

SHAPES = [(5,), (3, 4), (4, 3, 5), (), (300, 7), (7, 3000)]
DTYPES = ["float32", "float64", "int64", "int32", "uint8"]


def data(shape, dtype, nan=True):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * 20
    x = np.array(np.abs(x).astype(dtype) if dtype == "uint8" else x.astype(dtype))
    if dtype[0] == "f" and shape and nan:
        x[rng.random(shape) < 0.02] = np.nan
    return x


def both(x):
    return torch.from_numpy(x.copy()), rushlight.from_numpy(x.copy())


def same(theirs, ours, rtol=0.0):
    assert tuple(theirs.shape) == tuple(ours.shape)
    assert str(theirs.dtype).split(".")[-1] == str(ours.dtype).split(".")[-1]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sorting(shape, dtype):
    t, r = both(data(shape, dtype))
    for dim in range(-1, max(len(shape) - 1, 0)):
        for descending in (False, True):
            theirs = torch.sort(t, dim=dim, descending=descending, stable=True)
            ours = rushlight.sort(r, dim=dim, descending=descending, stable=True)
            same(theirs.values, ours.values)
            same(theirs.indices, ours.indices)
            assert theirs.values.stride() == ours.values.stride()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_selection(shape, dtype):
    x = data(shape, dtype)
    t, r = both(x)
    for dim in range(-1, max(len(shape) - 1, 0)):
        n = shape[dim] if shape else 1
        for keep in (False, True):
            for name, args in (("kthvalue", (max(1, n // 2),)), ("median", ()), ("nanmedian", ())):
                theirs, ours = (getattr(y, name)(*args, dim, keep) for y in (t, r))
                same(theirs.values, ours.values)
                assert tuple(theirs.indices.shape) == tuple(ours.indices.shape)
                if shape:
                    at = ours.indices.numpy() if keep else np.expand_dims(ours.indices.numpy(), dim)
                    found = np.take_along_axis(x, at, dim).reshape(-1)
                    np.testing.assert_array_equal(found, ours.values.numpy().reshape(-1))
        for largest in (True, False):
            for k in {1, n // 2, n} - {0}:
                same(torch.topk(t, k, dim, largest).values, rushlight.topk(r, k, dim, largest).values)
    same(t.median(), r.median())


@pytest.mark.parametrize("dtype", DTYPES)
def test_distinct_values_and_search(dtype):
    for shape in ((0,), (1,), (50,), (7, 9), (3000,)):
        x = np.round(data(shape, dtype, False) / 4).astype(dtype)
        t, r = both(x)
        for name in ("unique", "unique_consecutive"):
            for theirs, ours in zip(getattr(torch, name)(t, return_inverse=True, return_counts=True),
                                    getattr(rushlight, name)(r, return_inverse=True, return_counts=True)):
                same(theirs, ours)
            same(getattr(torch, name)(t), getattr(rushlight, name)(r))
        for n in (0, 1, 13, 1000):
            edges = np.sort(data((n,), dtype, False))
            for right in (False, True):
                same(torch.searchsorted(torch.from_numpy(edges), t, right=right),
                     rushlight.searchsorted(rushlight.from_numpy(edges), r, right=right))
        if dtype[0] != "f" and len(shape) == 1:
            same(torch.bincount(t.abs(), minlength=5), rushlight.bincount(r.abs(), minlength=5))


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
def test_scans(dtype):
    for shape in ((1,), (50,), (7, 9), (3, 200, 5), (70_001,), (2, 3, 0), ()):
        x = data(shape, "float32") > 0 if dtype == "bool" else data(shape, dtype, False)
        t, r = both(np.array(x))
        for dim in range(max(1, len(shape))):
            same(t.cumsum(dim), r.cumsum(dim), 2e-5 if dtype == "float32" else 1e-9)
            for name in ("cummax", "cummin"):
                theirs, ours = getattr(t, name)(dim), getattr(r, name)(dim)
                same(theirs.values, ours.values)
                same(theirs.indices, ours.indices)
            if dtype[0] == "f":
                same(t.logcumsumexp(dim), r.logcumsumexp(dim), 2e-6 if dtype == "float32" else 1e-12)
    x = np.array([1, np.nan, 2, np.inf, -np.inf, 3, np.nan, 1] * 5, "f4")
    t, r = both(x)
    for name in ("cumsum", "cumprod", "logcumsumexp"):
        same(getattr(t, name)(0), getattr(r, name)(0), 1e-6)
    for name in ("cummax", "cummin"):
        same(getattr(t, name)(0).indices, getattr(r, name)(0).indices)


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, -1, math.inf, -math.inf])
def test_vector_norms(p):
    for shape in ((5,), (33, 70), (4, 5, 6)):
        x = data(shape, "float64", False)
        x[x > 30] = 0
        t, r = both(x)
        for dim in (None, *range(len(shape))):
            same(torch.linalg.vector_norm(t, p, dim), rushlight.linalg.vector_norm(r, p, dim), 1e-12)
    t, r = both(data((40, 50), "float32"))
    same(t.nansum(1), r.nansum(1), 1e-4)
    same(t.count_nonzero(0), r.count_nonzero(0))


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
def test_ways_to_name_the_dimension(name):
    x = data((6, 33), "float32", False)
    for args, kwargs in (((0,), {}), ((-1,), {}), ((1, True), {}), ((), {"dim": 1}), ((1,), {"keepdim": True}),
                         ((), {"keepdim": True, "dim": -2}), (((0, 1),), {}), (([0],), {})):
        for _ in range(2):                  # the generated function comes with the first use
            found = []
            for t in both(x):
                t.requires_grad_()
                y = getattr(t, name)(*args, **kwargs)
                (y * y).sum().backward()
                found.append((y.detach(), t.grad))
            for theirs, ours in zip(*found):
                same(theirs, ours, 1e-4)
    r = both(x)[1]
    with pytest.raises(IndexError):
        getattr(r, name)(2)
    with pytest.raises(TypeError):
        getattr(r, name)("rows")


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
def test_norm_of_gradients(order):
    shapes = [(64, 64), (64,), (0,), (3, 5, 7)]
    pairs = [both(data(s, "float32", False)) for s in shapes]
    theirs, ours = ([p[i] for p in pairs] for i in (0, 1))
    same(torch.nn.utils.get_total_norm(theirs[:2] + theirs[3:], order),
         rushlight.nn.utils.get_total_norm(ours[:2] + ours[3:], order), 1e-5)
    ours[3] = ours[3].transpose(0, 2)
    theirs[3] = theirs[3].transpose(0, 2)
    same(torch.nn.utils.get_total_norm(theirs[:2] + theirs[3:], order),
         rushlight.nn.utils.get_total_norm(ours[:2] + ours[3:], order), 1e-5)
