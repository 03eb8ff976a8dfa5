"""Gradients and values at zeros, NaN, infinities and the ends of the range, as PyTorch has them."""

import math

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional
nan, inf = math.nan, math.inf


def gradients(f, *values):
    leaves = [torch.tensor(v).requires_grad_() for v in values]
    f(*leaves).sum().backward()
    return [x.grad.tolist() for x in leaves]


def same(got, want):
    np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-5)


def test_error_function_is_one_at_last():
    x = torch.linspace(3.75, 4.25, 4001)
    want = np.array([math.erf(v) for v in x.tolist()])
    assert np.abs(torch.erf(x).numpy() - want).max() < 6e-8
    assert torch.erf(torch.tensor([3.93, 5.0, -5.0, inf])).tolist() == [1, 1, -1, 1]
    assert F.gelu(torch.tensor([-6.0, -100.0, -3e38])).tolist() == [0, 0, 0]
    assert F.gelu(torch.tensor(-inf)).isnan()


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_deviation_whose_square_is_no_float32(scale):
    x = np.random.default_rng(0).standard_normal((5, 7)) * scale
    for dim in (None, 0, 1):
        got = torch.tensor(x, dtype=torch.float32).std(dim).numpy()
        np.testing.assert_allclose(got, x.std(dim, ddof=1), rtol=1e-6)
    x = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    x.std().backward()
    off = (x - x.mean()).detach().double()
    np.testing.assert_allclose(x.grad.numpy(), (off / (34 * x.detach().double().std())).numpy(), rtol=1e-4)


def test_similarity_of_vectors_of_zeros():
    (x, y) = gradients(F.cosine_similarity, [[0.0, 0.0]], [[3.0, 4.0]])
    same(x, [[6e7, 8e7]])
    assert y == [[0, 0]]
    assert gradients(F.cosine_similarity, [[0.0, 0.0]], [[0.0, 0.0]]) == [[[0, 0]]] * 2
    # The norm's own gradient, where eps has taken its place.
    same(gradients(F.cosine_similarity, [[3e-9, 0.0]], [[3.0, 4.0]])[0], [[6e7 - 1.8e7, 8e7]])
    with pytest.raises(RuntimeError, match="floating point"):
        F.cosine_similarity(torch.ones(1, 2, dtype=torch.complex64), torch.ones(1, 2))


def test_power_pooling_of_zeros():
    assert gradients(lambda x: F.lp_pool2d(x, 2, 2), [[[[0.0, 0.0], [0.0, 0.0]]]]) == [[[[[0, 0], [0, 0]]]]]


@pytest.mark.parametrize("f", [torch.sign, torch.floor, torch.round, torch.sgn, torch.trunc])
def test_steps_have_no_slope(f):
    x = torch.tensor([0.5, -1.5], requires_grad=True)
    f(x).backward(torch.tensor([inf, nan]))
    assert x.grad.tolist() == [0, 0]


def test_first_of_equal_rows_has_the_gradient():
    weight = torch.tensor([[1.0, 2.0], [1.0, 5.0], [1.0, 5.0], [9.0, 9.0]], requires_grad=True)
    y = F.embedding_bag(torch.tensor([1, 0, 2, 3, 3]), weight, torch.tensor([0, 3]), mode="max", padding_idx=3)
    (y * torch.tensor([[1.0, 2.0], [4.0, 8.0]])).sum().backward()
    assert y.tolist() == [[1, 5], [0, 0]]
    assert weight.grad.tolist() == [[0, 0], [1, 2], [0, 0], [0, 0]]


def test_nan_is_handed_back():
    for f in (F.smooth_l1_loss, F.huber_loss):
        x, y = gradients(lambda x, y, f=f: f(x, y, reduction="sum"), [nan, 0.0, inf, 3.0], [0.0, nan, inf, 1.0])
        same(x, [nan, nan, nan, 1])
        same(y, [nan, nan, nan, -1])
    same(gradients(F.elu, [nan, 0.0, 2.0])[0], [nan, 1, 1])
    same(gradients(F.hardswish, [nan, -3.0, 3.0])[0], [nan, 0, 1])
    same(gradients(lambda x: x.logcumsumexp(0), [1.0, nan, 2.0])[0], [nan] * 3)
    same(gradients(lambda x: x.logcumsumexp(1), [[1.0, nan], [0.0, -inf]])[0], [[nan, nan], [2, 0]])
    index = torch.tensor([0, 0, 1])
    same(gradients(lambda x: torch.zeros(2).scatter_reduce(0, index, x, "amax", include_self=False),
                   [nan, 1.0, 2.0])[0], [nan, nan, 1])


def test_nan_in_extrema():
    """`amax` has none to hand its gradient to, `max` divides it among NaN; `maximum` gives it to both."""
    x = [[1.0, nan, 3.0], [nan, 2.0, 2.0]]
    same(gradients(lambda x: x.amax(1), x)[0], [[nan] * 3] * 2)
    same(gradients(lambda x: x.aminmax(dim=1)[0], x)[0], [[nan] * 3] * 2)
    same(gradients(torch.max, x)[0], [[0, 0.5, 0], [0.5, 0, 0]])
    same(gradients(torch.maximum, [nan, 1.0, inf, 2.0], [1.0, nan, inf, 1.0]), [[1, 1, 0.5, 1], [1, 1, 0.5, 0]])
    same(gradients(torch.minimum, [nan, 1.0, inf, 2.0], [1.0, nan, inf, 1.0]), [[1, 1, 0.5, 0], [1, 1, 0.5, 1]])


def test_slopes_next_to_zero():
    same(gradients(torch.sinc, [1e-30, -1e-39, 0.01])[0], [0, 0, -0.032894])
    assert gradients(torch.atan2, [1e-30, 0.0, 1e-39], [1e-30, 1e-30, 0.0]) == [[0] * 3] * 2
