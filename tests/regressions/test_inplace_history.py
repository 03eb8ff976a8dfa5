"""History of tensors that are changed in place."""

import pytest

import rushlight as torch


def test_a_retained_gradient_is_that_of_the_new_contents():
    w = torch.ones(2, requires_grad=True)
    a = w * 2
    a.retain_grad()
    a.mul_(3)
    assert a.retains_grad
    a.sum().backward()
    assert a.grad.tolist() == [1, 1] and w.grad.tolist() == [6, 6]


def test_a_retained_gradient_follows_changes_of_views():
    w = torch.ones(2, requires_grad=True)
    a = w * 2
    a.retain_grad()
    a[0].mul_(3)
    (a * 5).sum().backward()
    assert a.grad.tolist() == [5, 5] and w.grad.tolist() == [30, 10]


@pytest.mark.parametrize("bound", ["min", "max"])
def test_clamp_to_bounds_that_need_gradients_twice(bound):
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    b = torch.tensor([1.0, 1.0], requires_grad=True)
    g, = torch.autograd.grad((x.clamp(**{bound: b}) ** 2).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == ([0, 2] if bound == "min" else [2, 0])
