"""Ops that draw random numbers or write by indices are programs, too: the same numbers, the same stream afterwards."""

import warnings

import pytest

import rushlight as torch
from rushlight.nn import functional as F


def assigned(x):
    x = x.clone()
    x[0] = 1
    x[:, 1] = x[:, 2]
    x[torch.tensor([1, 2])] = 5
    x[x > 2] = 0.5
    return x


CALLS = {
    "bernoulli_": lambda x: x.clone().bernoulli_(0.3), "by_tensors": lambda x: x.clone().bernoulli_(x.sigmoid()),
    "normal_": lambda x: x.clone()[:, 1].normal_() + x[:, 0],
    "uniform_": lambda x: torch.empty(3).uniform_(1, 2) * x.sum(),
    "exponential_": lambda x: x.clone().exponential_(2), "random_": lambda x: x.clone().random_(5),
    "geometric_": lambda x: x.clone().geometric_(0.3), "cauchy_": lambda x: x.clone().cauchy_(),
    "log_normal_": lambda x: x.clone().log_normal_(), "randperm": lambda x: x[torch.randperm(4)],
    "dirichlet": lambda x: torch.distributions.Dirichlet(x.abs()).sample((2,)),
    "beta": lambda x: torch.distributions.Beta(x.abs(), 0.5).sample(),
    "gamma": lambda x: torch._standard_gamma(x.abs()),
    "student": lambda x: torch.distributions.StudentT(x.abs() + 1).sample(),
    "binomial": lambda x: torch.binomial(torch.full((4, 5), 7.0), x.sigmoid()),
    "multinomial": lambda x: torch.multinomial(x.abs(), 2), "replaced": lambda x: torch.multinomial(x.abs(), 9, True),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True), "normal": lambda x: torch.normal(x, 1.0),
    "poisson": lambda x: torch.poisson(x.abs()), "randint_like": lambda x: torch.randint_like(x, 0, 9) + x,
    "dropout2d": lambda x: F.dropout2d(x.view(1, 4, 5, 1), 0.4), "alpha": lambda x: F.alpha_dropout(x, 0.3, True),
    "feature_alpha": lambda x: F.feature_alpha_dropout(x, 0.3, True),
    "index_add_": lambda x: x.clone().index_add_(0, torch.tensor([0, 0]), x[:2]),
    "scatter_": lambda x: x.clone().scatter_(1, torch.tensor([[3], [0], [1], [4]]), x),
    "masked_fill_": lambda x: x.clone().masked_fill_(x > 0, 1.5),
    "masked_scatter_": lambda x: x.clone().masked_scatter_(x > 0, x.flip(0)),
    "index_fill_": lambda x: x.clone().index_fill_(0, torch.tensor([1]), 3.0),
    "index_copy_": lambda x: x.clone().index_copy_(1, torch.tensor([2, 0]), x[:, :2] * 2),
    "index_put_": lambda x: x.clone().index_put_((torch.tensor([1, 1]), torch.tensor([2, 2])), x[0, :2], True),
    "put_": lambda x: x.clone().put_(torch.tensor([1, 7]), x[0, :2]), "assigned": assigned,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_same_numbers(name):
    call = CALLS[name]
    f = torch.compile(call)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(5):
            found = []
            for g in (call, f):
                torch.manual_seed(i)
                x = torch.randn(4, 5)
                found.append((g(x), torch.get_rng_state(), x))
            assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
            assert found[0][0].stride() == found[1][0].stride()
    assert sum(map(len, f.entries.values())) == 1


def test_histories_of_writes():
    """Gradients through what was written by indices, with the backward pass outside and inside."""
    def write(x, v):
        y = x * 2
        y[torch.tensor([0, 2])] = v
        y.masked_fill_(y > 1, 0.25)
        y.index_add_(0, torch.tensor([1, 1]), v)
        return y.square().sum()
    inside = torch.compile(lambda x, v: torch.autograd.grad(write(x, v), (x, v)))
    outside = torch.compile(write)
    for i in range(5):
        torch.manual_seed(i)
        x, v = torch.randn(4, 3).requires_grad_(), torch.randn(2, 3).requires_grad_()
        want = torch.autograd.grad(write(x, v), (x, v))
        for got in (inside(x, v), torch.autograd.grad(outside(x, v), (x, v))):
            assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
    assert len(inside.entries) == len(outside.entries) == 1


def test_gradients_of_samples():
    def sampled(a, x):
        d, b = torch.distributions.Dirichlet(a).rsample(), torch.distributions.Beta(a, a + 1).rsample()
        return torch.autograd.grad((d * x).sum() + b.sum() + torch.distributions.Gamma(a, x).rsample().sum(), a)[0]
    f = torch.compile(sampled)
    for i in range(5):
        torch.manual_seed(i)
        a, x = (torch.rand(4) + 0.5).requires_grad_(), torch.rand(4) + 1
        state = torch.get_rng_state()
        want = sampled(a, x)
        torch.set_rng_state(state)
        assert torch.allclose(f(a, x), want)
    assert len(f.entries) == 1
