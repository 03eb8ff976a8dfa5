"""Transforms nest: each level's derivative is its own, checked against derivatives by hand."""

import math

import numpy as np
import pytest

import rushlight as torch
from rushlight import func


def scalar(x):
    return torch.tensor(float(x), dtype=torch.float64)


ONE = scalar(1)


def derivative(f):
    return lambda x: func.jvp(f, (x,), (ONE,))[1]


@pytest.mark.parametrize("outer", [func.grad, derivative])
@pytest.mark.parametrize("inner", [func.grad, derivative])
def test_perturbations_are_not_confused(outer, inner):
    assert outer(lambda x: x * inner(lambda y: x + y)(ONE))(ONE).item() == 1
    assert outer(lambda x: x * inner(lambda y: x * y * y)(ONE))(ONE).item() == 4


@pytest.mark.parametrize("order", ["ggg", "jjj", "gjg", "jgj", "ggj", "jjg"])
def test_third_derivatives(order):
    f = torch.sin
    for k in order:
        f = func.grad(f) if k == "g" else derivative(f)
    assert math.isclose(f(scalar(0.3)).item(), -math.cos(0.3), rel_tol=1e-12)


def test_hessian_by_every_pair():
    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    want = np.diag(-np.sin(x.numpy()) * 3) + 0
    for a in (func.jacrev, func.jacfwd):
        for b in (func.jacrev, func.jacfwd):
            got = a(b(lambda x: (3 * x.sin()).sum()))(x)
            np.testing.assert_allclose(got.numpy(), want, atol=1e-14)


def test_results_do_not_ask_for_gradients():
    x = torch.ones(3)
    w = torch.ones(3)
    for y in (func.grad(lambda x: (x * x).sum())(x), func.jvp(torch.sin, (x,), (w,))[1], func.jacrev(torch.sin)(x),
              func.vmap(func.grad(lambda x: x * x))(x), func.hessian(lambda x: (x ** 3).sum())(x),
              func.vmap(func.grad(lambda w, x: (w * x).sum().tanh()), (None, 0))(w, x)):
        assert not y.requires_grad and y.grad_fn is None


def test_no_grad_outside_is_no_matter_inside_it_is():
    x = torch.ones(3)
    with torch.no_grad():
        g = func.grad(lambda x: (x ** 2).sum())(x)
    assert g.tolist() == [2, 2, 2] and not g.requires_grad

    def f(x):
        with torch.no_grad():
            c = x ** 2
        return (x * c).sum()
    assert func.grad(f)(x).tolist() == [1, 1, 1]


def test_overwriting_fresh_tensors():
    def f(x):
        y = torch.zeros(3, dtype=x.dtype)
        y[0] = x[0] * x[1]
        y[1:] = x[1:] ** 2
        y.mul_(x)
        return y
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    want = np.array([[4.0, 1, 0], [0, 12, 0], [0, 0, 27]])
    for jacobian in (func.jacfwd, func.jacrev):
        if jacobian is func.jacrev:
            np.testing.assert_allclose(jacobian(f)(x).numpy(), want)
    columns = [func.jvp(f, (x,), (e,))[1].numpy() for e in torch.eye(3, dtype=torch.float64)]
    np.testing.assert_allclose(np.stack(columns, 1), want)


def test_slices_and_stacks_where_there_is_no_rule():
    from rushlight.func import batched
    batched._warned.clear()
    x = torch.randn(3, 8)
    with pytest.warns(UserWarning, match="performance drop"):
        y = torch.vmap(lambda r: torch.histc(r, 4, -3, 3))(x)
    assert y.tolist() == [torch.histc(r, 4, -3, 3).tolist() for r in x]


def test_chunks_and_dimensions():
    x = torch.arange(24.0).reshape(2, 3, 4)
    whole = torch.vmap(lambda r: r.sum(0) * 2, in_dims=2, out_dims=1)(x)
    assert whole.shape == (3, 4)
    assert torch.equal(whole, x.sum(0) * 2)
    assert torch.equal(torch.vmap(lambda r: r.sum(0) * 2, in_dims=2, out_dims=1, chunk_size=3)(x), whole)
    tree = torch.vmap(lambda d, k: {"s": d["a"] + k, "t": (d["b"],)}, in_dims=({"a": 0, "b": None}, None),
                      out_dims={"s": 1, "t": None})({"a": x[0], "b": ONE}, 3)
    assert torch.equal(tree["s"], (x[0] + 3).T) and tree["t"][0] is ONE


def test_linearize():
    x, t = torch.tensor([0.5, 1.0]), torch.tensor([1.0, -2.0])
    y, push = func.linearize(lambda x: x.exp() * x, x)
    np.testing.assert_allclose(y.numpy(), np.exp(x.numpy()) * x.numpy(), rtol=1e-6)
    np.testing.assert_allclose(push(t).numpy(), (np.exp(x.numpy()) * (1 + x.numpy())) * t.numpy(), rtol=1e-6)


def test_functionalize_and_rearrange():
    def f(x):
        x.view(-1).add_(1)
        return x * 2
    x = torch.zeros(2, 2)
    assert func.functionalize(f)(x).tolist() == [[2, 2], [2, 2]] and x.tolist() == [[1, 1], [1, 1]]
    x = torch.arange(12).reshape(2, 6)
    assert torch.equal(func.rearrange(x, "a (b c) -> (a b) c", b=2), x.reshape(4, 3))
    assert torch.equal(func.rearrange(x, "a b -> b a"), x.T)
    with pytest.raises(ValueError):
        func.rearrange(x, "a b -> a")


def test_debug_unwrap_sees_below():
    seen = []

    def f(x):
        seen.append((func.debug_unwrap(x).shape, x.shape))
        return x
    torch.vmap(f)(torch.ones(3, 2))
    assert seen == [((3, 2), (2,))]


def test_batch_norm_without_running_statistics():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    func.replace_all_batch_norm_modules_(net)
    assert net[0].running_mean is None and not net[0].track_running_stats
    x = torch.randn(4, 5, 3)
    y = torch.vmap(net)(x)
    for k in range(4):
        np.testing.assert_allclose(y[k].detach().numpy(), net(x[k]).detach().numpy(), rtol=1e-5, atol=1e-6)
