"""A linear layer's cross entropy, whole and in pieces of the batch."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F


def problem(soft=False):
    torch.manual_seed(0)
    x = torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    target = torch.rand(10, 5, dtype=torch.float64) if soft else torch.randint(0, 5, (10,))
    return x, w, target


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("more", [{}, {"weighted": True}, {"label_smoothing": 0.2}, {"ignore_index": 2},
                                  {"soft": True}])
def test_pieces_are_the_whole(reduction, more):
    more = dict(more)
    x, w, target = problem(more.pop("soft", False))
    if more.pop("weighted", False):
        more["weight"] = torch.rand(5, dtype=torch.float64)
    expected = F.cross_entropy(F.linear(x, w), target, reduction=reduction, **more)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=3)
    for o in (None, options):
        loss = F.linear_cross_entropy(x, w, target, reduction=reduction, options=o, **more)
        np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
        got = torch.autograd.grad(loss.sum(), (x, w))
        for a, b in zip(got, torch.autograd.grad(expected.sum(), (x, w), retain_graph=True)):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_sizes_that_do_not_fit():
    x, w, target = problem()
    with pytest.raises(RuntimeError, match="in_features"):
        F.linear_cross_entropy(x[:, :4], w, target)
    with pytest.raises(RuntimeError, match="linear_bias"):
        F.linear_cross_entropy(x, w, target, linear_bias=torch.zeros(4))
    with pytest.raises(RuntimeError, match="ignore_index"):
        F.linear_cross_entropy(x, w, torch.rand(10, 5), ignore_index=1)
