"""Gradients of weights before those of inputs, where that frees activations earlier."""

import copy

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled

from .one_program import labels, training


def test_weights_first():
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Conv2d(8 if i else 3, 8, 3, padding=1) for i in range(3)], nn.Flatten(),
                          nn.Linear(8 * 1024, 3))
    x, y = torch.randn(16, 3, 32, 32), torch.randint(0, 3, (16,))
    models = [copy.deepcopy(model) for _ in range(2)]
    eager, step = map(training, models)
    compiled = Compiled(step, [step])
    for _ in range(4):
        assert abs(eager(x, y).item() - compiled(x, y).item()) < 1e-5
    for p, q in zip(*(m.parameters() for m in models), strict=True):
        assert (p - q).abs().max().item() < 1e-5
    order = [label for label in labels(compiled) if label in ("conv_weight", "conv_input")]
    assert order == ["conv_weight", "conv_input", "conv_weight", "conv_input", "conv_weight"]
