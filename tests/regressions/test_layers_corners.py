"""Corners of losses and resampling."""

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight.autograd import gradgradcheck


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_twice_differentiable(reduction, weighted):
    x = torch.tensor([[0.3, -1.0, 0.7], [1.2, 0.1, -0.4]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64) if weighted else None
    target = torch.tensor([2, 0])
    assert gradgradcheck(lambda x: F.cross_entropy(x, target, weight, reduction=reduction), (x,))


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_at_positions_that_are_no_numbers(mode):
    grid = torch.tensor([[[[float("nan"), 0.0], [-1.0, -1.0]]]])
    y = F.grid_sample(torch.ones(1, 1, 2, 2), grid, mode=mode, align_corners=True).reshape(2)
    assert y[1].item() == 1
    assert not y[0].item() == 1


def test_embedding_bag_scales_gradients_by_frequency():
    index, offsets = torch.tensor([0, 1, 1, 2, 1]), torch.tensor([0, 3])
    for mode, rows in (("sum", [1, 1, 1]), ("mean", [1 / 3, (2 / 3 + 1 / 2) / 3, 1 / 2])):
        w = torch.ones(4, 2, requires_grad=True)
        F.embedding_bag(index, w, offsets, mode=mode, scale_grad_by_freq=True).sum().backward()
        assert w.grad[:, 0].tolist() == pytest.approx([*rows, 0])
    with pytest.raises(ValueError, match="max mode does not support"):
        F.embedding_bag(index, w, offsets, mode="max", scale_grad_by_freq=True)
