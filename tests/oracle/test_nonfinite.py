"""Where results or gradients are NaN, infinite or near the ends of the range, against PyTorch."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")


def assert_same(work, rtol=1e-6):
    """Both frameworks' arrays: equal where they aren't finite."""
    ours, theirs = ([np.asarray(t.detach().double() if not t.is_complex() else t.detach()) for t in work(F)]
                    for F in (rushlight, torch))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=0)


def gradient(F, function, values, weights=None):
    x = F.tensor(values).requires_grad_()
    y = function(x)
    return F.autograd.grad(y, x, F.ones_like(y) if weights is None else F.tensor(weights))[0]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("last", [False, True])
def test_antialiased_images(mode, last):
    def work(F):
        x = F.arange(72.0).reshape(1, 2, 6, 6).clone()
        x[0, 0, 1, 1], x[0, 1, 4, 5], x[0, 1, 0, 0] = INF, -INF, NAN
        if last:
            x = x.to(memory_format=F.channels_last)
        for size in ((3, 3), (4, 9), (9, 9), (6, 3), (2, 6), (1, 20)):
            yield F.nn.functional.interpolate(x, size=size, mode=mode, antialias=True)
            yield F.nn.functional.interpolate(x.double(), size=size, mode=mode, antialias=True)
    assert_same(work, 1e-5)


@pytest.mark.parametrize("padding", [None, 1])
def test_largest_of_bags(padding):
    def work(F):
        w = F.tensor([[1.0, NAN], [2.0, 3.0], [NAN, 5.0], [0.0, -INF], [NAN, NAN], [-INF, 7.0]])
        for bags, starts in (([0, 1, 2], [0]), ([1, 0, 2], [0, 1]), ([2, 1, 0, 3], [0, 2]), ([1, 2, 4, 0], [0]),
                             ([4, 1, 3, 2], [0, 2]), ([1, 1, 4, 3], [0, 1, 2]), ([3, 5, 4, 5, 3], [0, 2])):
            v = w.clone().requires_grad_()
            y = F.nn.functional.embedding_bag(F.tensor(bags), v, F.tensor(starts), mode="max", padding_idx=padding)
            yield y
            yield F.autograd.grad(y, v, F.arange(1.0, y.numel() + 1).reshape(y.shape))[0]
    assert_same(work)


FACTORS = [[1.0, NAN, 2.0, 3.0], [1.0, 0.0, NAN, 2.0], [0.0, NAN, 0.0, 2.0], [INF, 0.0, 1.0], [1.0, INF, 2.0],
           [NAN, 0.0, 1.0], [0.0, 0.0, NAN], [0.0, INF, 2.0], [0.0, 3.0, 2.0], [0.0, 0.0, INF], [NAN], [0.0],
           [2.0, -3.0], [INF, 0.0, 0.0, 1.0], [2.0, 0.0, 3.0, 4.0, 0.0, 5.0, 0.0]]


@pytest.mark.parametrize("values", FACTORS)
def test_gradients_of_products(values):
    n = len(values)
    for weights in (None, [float(k + 1) for k in range(n)], [INF] * n):
        assert_same(lambda F: [gradient(F, lambda x: x.cumprod(0), values, weights)])
    assert_same(lambda F: [gradient(F, lambda x: x.cumprod(1), [[2.0] * n, values]),
                    gradient(F, lambda x: x.prod(), values), gradient(F, lambda x: x.prod(1), [values, [3.0] * n])])


def test_gradients_of_complex_products():
    values, weights = [1 + 1j, 2 - 1j, 0, 2 - 1j, 0, 3], [1j, 2, 3 + 1j, 4, 5, 6 - 1j]
    assert_same(lambda F: [gradient(F, lambda x: x.cumprod(0), values, weights)])


@pytest.mark.parametrize("values", [
    [-INF, -INF], [INF, 1.0], [INF, INF], [-INF, 1.0], [NAN, 1.0], [INF, -INF], [-INF, 0.0, 1.0], [1.0, INF, 2.0],
    [1.0, 2.0, INF], [-INF, NAN], [-1e30, 1e30], [-INF, -1e30, 1.0], [0.5, 1.5, -2.0]])
def test_gradients_of_logarithms_of_sums(values):
    weights = [(-1.0) ** k * (k + 1) for k in range(len(values))]
    assert_same(lambda F: [gradient(F, lambda x: F.logsumexp(x, 0), values),
                    gradient(F, lambda x: F.logsumexp(x, (0, 1)), [values, values]),
                    gradient(F, lambda x: F.logsumexp(x, 1), [values, [1.0] * len(values)]),
                    gradient(F, lambda x: F.logcumsumexp(x, 0), values),
                    gradient(F, lambda x: F.logcumsumexp(x, 0), values, weights)], 1e-5)


@pytest.mark.parametrize("value", [1e30, 1e-30, 1e-45, -3e38, 0.0, 3.0, -INF, NAN, 3e30 + 4e30j])
def test_norms_of_single_numbers(value):
    def work(F):
        x = F.tensor([[value], [value]])
        for p in (0, 0.5, 1, 2, 3, INF, -INF, -1, -2):
            yield F.linalg.vector_norm(x, p, dim=1)
            yield F.linalg.vector_norm(x[0], p, 0, True)
            yield F.linalg.vector_norm(x[0, 0], p)
            # (Where abs doesn't equal the norm, powers of the two may leave the range.)
            if p in (1, 2):
                yield gradient(F, lambda x: F.linalg.vector_norm(x, p, 1), [[value], [value]], [2.0, 3.0])
        yield x.norm(dim=1)
        yield F.nn.functional.normalize(x, dim=1)
        if not isinstance(value, complex):
            yield F.nn.functional.pairwise_distance(x, F.zeros(2, 1))
            yield F.linalg.vector_norm(x.bfloat16(), 2, 1)
    assert_same(work)


SHAPES = [((2, 3), (4, 5)), ((2, 3), (4,)), ((5, 2, 3), (4, 3)), ((7, 2, 3), (6, 5, 3)), ((2, 3, 4), (3, 3, 5)),
          ((2, 0), (2, 3)), ((5, 1, 3), (2, 4)), ((2, 1), (4, 3))]


@pytest.mark.parametrize("a, b", SHAPES)
def test_the_dimension_that_differs(a, b):
    """Messages name the last one."""
    calls = [lambda F, x, y: x + y, lambda F, x, y: F.where(x > 0, x, y), lambda F, x, y: x.clone().add_(y),
             lambda F, x, y: F.broadcast_tensors(x, y), lambda F, x, y: F.broadcast_shapes(x.shape, y.shape),
             lambda F, x, y: x.expand(y.shape), lambda F, x, y: x.masked_fill(y > 0, 1),
             lambda F, x, y: F.lerp(x, y, 0.5),
             lambda F, x, y: F.broadcast_shapes((1,), tuple(x.shape), tuple(y.shape))]
    for call in calls:
        said = []
        for F in (rushlight, torch):
            with pytest.raises(RuntimeError) as error:
                call(F, F.ones(a), F.ones(b))
            said.append(str(error.value).split(" (")[0] if "expand(" in str(error.value) else str(error.value))
        assert said[0].replace("rushlight", "torch") == said[1] or "expand(" in said[1]
