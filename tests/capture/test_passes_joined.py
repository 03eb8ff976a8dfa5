"""Gradients of attention written into the gradient of the projection."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled

from .one_program import labels

F = nn.functional


class Attention(nn.Module):
    def __init__(self, heads, causal, order):
        super().__init__()
        self.project, self.heads, self.causal, self.order = nn.Linear(24, 72), heads, causal, order

    def forward(self, x):
        b, t, c = x.shape
        parts = self.project(x).split(c, dim=2)
        q, k, v = (parts[i].view(b, t, self.heads, c // self.heads).transpose(1, 2) for i in self.order)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return y.transpose(1, 2).reshape(b, t, c)


def gradient(model):
    def step(x):
        model.project.weight.grad = model.project.bias.grad = None
        y = model(x)
        (y * y).sum().backward()
        return [model.project.weight.grad, model.project.bias.grad]
    return step


@pytest.mark.parametrize("heads, causal, order", [(3, True, (0, 1, 2)), (1, False, (2, 0, 1)), (4, False, (1, 0, 2))])
def test_same_bits(heads, causal, order):
    torch.manual_seed(0)
    model, x = Attention(heads, causal, order), torch.randn(2, 40, 24)
    step = gradient(model)
    expected = [g.clone() for g in step(x)]
    compiled = Compiled(step, [step])
    for _ in range(4):
        found = compiled(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    names = labels(compiled)
    assert "cat" not in names and any(n.endswith("backward+cat") for n in names)


def test_what_others_read_stays():
    """A gradient that something else reads, too, is an array of its own."""
    x = torch.randn(2, 16, 24)

    def step(x):
        whole = x.clone().requires_grad_()
        q, k, v = (p.view(2, 16, 2, 4).transpose(1, 2) for p in whole.split(8, 2))
        y = F.scaled_dot_product_attention(q, k, v)
        dq, = torch.autograd.grad(y.sum(), q, retain_graph=True)
        y.sum().backward()
        return dq.clone(), whole.grad
    compiled = Compiled(step, [step])
    expected = [t.clone() for t in step(x)]
    for _ in range(4):
        found = compiled(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
