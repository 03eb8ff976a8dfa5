"""Counts of operations against what shapes say, and their table."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.utils.flop_counter import FlopCounterMode, register_flop_formula


def counted(f, *tensors):
    """Operations of ``f(*tensors)`` and of its gradients, by operator."""
    counter = FlopCounterMode(display=False)
    with counter:
        r = f(*tensors)
        if r.requires_grad:
            r.sum().backward()
    assert counter.get_total_flops() == sum(counter.get_flop_counts().get("Global", {}).values())
    return {str(op): n for op, n in counter.get_flop_counts().get("Global", {}).items()}


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


CASES = [
    (torch.matmul, [(3, 4), (4, 5)], {"aten.mm": 6 * 3 * 4 * 5}),
    (torch.matmul, [(2, 3, 4), (4, 5)], {"aten.mm": 6 * 2 * 3 * 4 * 5}),
    (torch.bmm, [(2, 3, 4), (2, 4, 5)], {"aten.bmm": 6 * 2 * 3 * 4 * 5}),
    (F.linear, [(2, 3, 4), (5, 4), (5,)], {"aten.addmm": 2 * 2 * 3 * 4 * 5, "aten.mm": 4 * 2 * 3 * 4 * 5}),
    (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], {"aten.baddbmm": 240, "aten.bmm": 480}),
    (F.conv1d, [(1, 4, 8), (6, 4, 3)], {"aten.convolution": 864, "aten.convolution_backward": 1728}),
    (lambda x, w: F.conv2d(x, w, None, 2, 1, 1, 2), [(1, 4, 8, 8), (6, 2, 3, 3)],
     {"aten.convolution": 2 * 16 * 6 * 2 * 9, "aten.convolution_backward": 4 * 16 * 6 * 2 * 9}),
    (F.scaled_dot_product_attention, [(2, 3, 4, 8)] * 3, {
        "aten._scaled_dot_product_flash_attention": 4 * 6 * 16 * 8,
        "aten._scaled_dot_product_flash_attention_backward": 10 * 6 * 16 * 8}),
    (torch.mul, [(3,), (3,)], {}),
]


@pytest.mark.parametrize("f, shapes, expected", CASES)
def test_counts(f, shapes, expected):
    assert counted(f, *(leaf(*s) for s in shapes)) == expected


def test_modules_and_table(capsys):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10))
    with FlopCounterMode() as counter:
        net(torch.randn(2, 3, 8, 8)).sum().backward()
    assert counter.get_total_flops() == 172032
    assert set(counter.get_flop_counts()) == {"Global", "Sequential", "Sequential.0", "Sequential.3"}
    assert sum(counter.get_flop_counts()["Sequential.0"].values()) == 110592
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == ["Module                           FLOP    % Total",
                         "---------------------------  --------  ---------",
                         "Sequential                   172.032K    100.00%"]
    assert "Sequential.3                  61.440K     35.71%" in shown
    assert counter.get_table(1).count("\n") == 6


def test_formulas_of_ones_own():
    custom = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.add: lambda a, b, out_shape=None: a.numel()})
    with custom:
        torch.ones(2, 3) + torch.ones(2, 3)
    assert custom.get_total_flops() == 6

    @register_flop_formula(torch.ops.aten.sin)
    def sines(x, *, out_shape=None):
        return 5 * out_shape.numel()
    assert counted(torch.sin, torch.ones(4)) == {"aten.sin": 20}
    with pytest.raises(RuntimeError, match="duplicate"):
        register_flop_formula(torch.ops.aten.sin)(sines)


def test_nothing_stays_on():
    with pytest.raises(ZeroDivisionError), FlopCounterMode(display=False):
        1 / 0
    x = leaf(2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
