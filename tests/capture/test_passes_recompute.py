"""Activations that are made again rather than kept: the same bits, less memory."""

import copy

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled
from rushlight.capture.passes import recompute
from rushlight.runtime import allocator

from .one_program import labels, training


def perceptron():
    return nn.Sequential(*[m for _ in range(5) for m in (nn.Linear(256, 256), nn.LayerNorm(256), nn.GELU())],
                         nn.Linear(256, 3)), (400, 256)


def convolutional():
    blocks = [m for i in range(4) for m in (nn.Conv2d(8 if i else 3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(8 * 256, 3)), (64, 3, 16, 16)


@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_less_memory_same_values(make, monkeypatch):
    torch.manual_seed(0)
    model, shape = make()
    x, y = torch.randn(shape), torch.randint(0, 3, shape[:1])
    steps, peaks = [training(copy.deepcopy(model), 0.05)], []
    losses = [[steps[0](x, y).item() for _ in range(5)]]
    for enough in (10.0, recompute.ENOUGH):
        monkeypatch.setattr(recompute, "ENOUGH", enough)
        step = training(copy.deepcopy(model), 0.05)
        compiled = Compiled(step, [step])
        losses.append([compiled(x, y).item() for _ in range(4)])
        for p in compiled.function.__closure__:
            if isinstance(p.cell_contents, nn.Module):
                p.cell_contents.zero_grad()
        before = allocator.memory_stats()["live_bytes"]
        allocator.reset_peak()
        losses[-1].append(compiled(x, y).item())
        peaks.append(allocator.memory_stats()["peak_live_bytes"] - before)
        assert any("again" in name for name in labels(compiled)) == (enough < 1)
    assert losses[1] == losses[2] and losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert peaks[1] < 0.8 * peaks[0]


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}])
@pytest.mark.parametrize("shape", [(256,), (16, 16)])
def test_normalized_again_by_the_statistics(options, shape, monkeypatch):
    """The bits are those of the normalization that computed the statistics."""
    torch.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(4) for m in (
        nn.Linear(256, 256), nn.Unflatten(1, shape), nn.LayerNorm(shape, **options), nn.Flatten())], nn.Linear(256, 3))
    for p in model.parameters():
        p.data.add_(torch.randn_like(p), alpha=0.05)
    x, y, found = torch.randn(400, 256), torch.randint(0, 3, (400,)), []
    for enough in (10.0, 0.1):
        monkeypatch.setattr(recompute, "ENOUGH", enough)
        mine = copy.deepcopy(model)
        step = training(mine, 0.05)
        compiled = Compiled(step, [step])
        for _ in range(4):
            compiled(x, y)
        found.append([p.detach().clone() for p in mine.parameters()])
        entry, = (e for found_ in compiled.entries.values() for e in found_)
        kinds = {s.kind for s, _ in entry.run.marks if s.label == "native_layer_norm, again"}
        assert kinds == (set() if enough > 1 else {"pointwise"})
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_overwritten_operands_are_not_read_again():
    """An operand that changes in place in between is another one later."""
    w = torch.randn(300, 300).requires_grad_()

    def step(x):
        h = x * 2.0
        y = torch.nn.functional.gelu(h) @ w
        h.mul_(0.0)
        w.grad = None
        y.sum().backward()
        return w.grad.clone()
    compiled = torch.compile(step)
    x = torch.randn(400, 300)
    expected = step(x)
    for _ in range(4):
        assert torch.equal(compiled(x), expected)
