"""Backward passes for chosen inputs compute nothing for the others."""

import pytest

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.utils.flop_counter import FlopCounterMode


def operands():
    torch.manual_seed(0)
    return [torch.randn(*size, requires_grad=True) for size in ((3, 4), (4, 5), (5,))]


FUNCTIONS = [
    lambda x, w, b: (x @ w + b).tanh().sum(),
    lambda x, w, b: F.linear(x, w.t(), b).pow(2).sum(),
    lambda x, w, b: torch.cat([x, x @ w, w.t()[:3]], 1).pow(2).sum() + b.sum(),
    lambda x, w, b: F.layer_norm(x @ w, (5,), b).pow(3).sum(),
    lambda x, w, b: torch.where(x @ w > 0, b, x @ w).pow(2).sum(),
    lambda x, w, b: F.conv1d(x[None], w.t()[:, :3, None], b).exp().sum(),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_of_one_are_those_of_all(function):
    inputs = operands()
    every = torch.autograd.grad(function(*inputs), inputs)
    for x, expected in zip(inputs, every):
        found, = torch.autograd.grad(function(*inputs), x)
        assert torch.equal(found, expected)


def test_second_derivatives_of_one():
    x, w, _ = operands()
    g, = torch.autograd.grad((x @ w).pow(3).sum(), x, create_graph=True)
    one, = torch.autograd.grad(g.sum(), w, retain_graph=True)
    assert torch.equal(one, torch.autograd.grad(g.sum(), (x, w))[1])


@pytest.mark.parametrize("chosen, flops", [((0,), 240), ((1,), 240), ((0, 1), 360)])
def test_products_for_others_are_left_out(chosen, flops):
    inputs = operands()
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad((inputs[0] @ inputs[1]).sum(), [inputs[i] for i in chosen])
    assert counter.get_total_flops() == flops               # PyTorch's number as well


def test_no_derivative_where_it_is_wanted():
    x, y = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)
    z = torch.igamma(x, y)
    torch.autograd.grad(z.sum(), y, retain_graph=True)
    with pytest.raises(NotImplementedError, match="igamma"):
        torch.autograd.grad(z.sum(), x)
