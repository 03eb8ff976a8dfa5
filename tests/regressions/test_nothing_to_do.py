"""Layers on images and rows without elements: shapes, as PyTorch's."""

import pytest

import rushlight as torch

F = torch.nn.functional


@pytest.mark.parametrize(("call", "shape"), [
    (lambda: F.layer_norm(torch.ones(1, 2, 4, 0), (0,)), (1, 2, 4, 0)),
    (lambda: F.layer_norm(torch.ones(0, 4), (4,)), (0, 4)),
    (lambda: F.adaptive_max_pool2d(torch.ones(0, 2, 4, 4), 2), (0, 2, 2, 2)),
    (lambda: F.adaptive_max_pool1d(torch.ones(0, 2, 5), 3, return_indices=True)[1], (0, 2, 3)),
    (lambda: F.grid_sample(torch.ones(0, 2, 4, 4), torch.zeros(0, 2, 2, 2), align_corners=False), (0, 2, 2, 2)),
    (lambda: F.grid_sample(torch.ones(1, 0, 4, 4), torch.zeros(1, 2, 3, 2), align_corners=False), (1, 0, 2, 3)),
])
def test_shapes(call, shape):
    assert call().shape == shape


def test_gradients():
    x = torch.ones(0, 2, 4, 4, requires_grad=True)
    sampled = F.grid_sample(x, torch.zeros(0, 2, 2, 2), align_corners=False)
    (F.adaptive_max_pool2d(x, 2).sum() + sampled.sum()).backward()
    assert x.grad.shape == x.shape
