"""Gradient clipping."""

import math

import pytest

import rushlight as torch
from rushlight.nn.utils import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)


def with_grads(*grads):
    params = []
    for grad in grads:
        p = torch.zeros(len(grad), requires_grad=True)
        p.grad = torch.tensor(grad)
        params.append(p)
    return params


@pytest.mark.parametrize(
    "order, total",
    [
        (2, 13.0),
        (1, 19.0),
        (math.inf, 12.0),
        (-math.inf, 3.0),
        (0, 2.0),
        (0.5, 51.7846097),
        ("inf", 12.0),
    ],
)
def test_norm(order, total):
    params = with_grads([3.0, -4.0], [12.0])
    unused = torch.zeros(1, requires_grad=True)
    got = clip_grad_norm_([*params, unused], 1.0, order)
    assert got.item() == pytest.approx(total) and got.dim() == 0
    scale = min(1.0, 1.0 / (total + 1e-6))
    assert params[0].grad.tolist() == pytest.approx([3 * scale, -4 * scale], rel=1e-5)
    assert params[1].grad.tolist() == pytest.approx([12 * scale], rel=1e-5)


def test_small_gradients_stay():
    (p,) = with_grads([0.3, 0.4])
    grad = p.grad
    assert clip_grad_norm_(p, 1.0).item() == pytest.approx(0.5)
    assert p.grad is grad and grad.tolist() == pytest.approx([0.3, 0.4])


def test_nothing_to_clip():
    assert clip_grad_norm_([], 1.0).item() == 0.0
    assert clip_grad_norm_([torch.zeros(2, requires_grad=True)], 1.0).item() == 0.0
    with pytest.warns(UserWarning, match="empty generator"):
        clip_grad_norm_((p for p in []), 1.0)


def test_not_finite():
    params = with_grads([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="The total norm of order 2.0 for gradients from"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert params[0].grad.tolist() == [math.inf, 1.0]
    clip_grad_norm_(params, 1.0)
    assert math.isnan(params[0].grad[0].item()) and params[0].grad[1].item() == 0.0


def test_value():
    params = with_grads([3.0, -4.0], [12.0])
    assert clip_grad_value_(params, 3.5) is None
    assert params[0].grad.tolist() == [3.0, -3.5] and params[1].grad.tolist() == [3.5]


def test_parts():
    (p,) = with_grads([3.0, 4.0])
    total = get_total_norm(p.grad)
    assert total.item() == pytest.approx(5.0)
    clip_grads_with_norm_(p, 1.0, total)
    assert p.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert get_total_norm([torch.tensor([3.0, 4.0])], 1).item() == pytest.approx(7.0)


def test_old_name():
    with pytest.warns(FutureWarning, match="deprecated"):
        clip_grad_norm(with_grads([1.0]), 1.0)
