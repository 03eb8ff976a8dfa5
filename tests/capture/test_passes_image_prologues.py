"""Formulas that a convolution by 1 x 1 windows computes where it reads images."""

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled
from rushlight.capture.passes import image_prologues
from rushlight.compiler.templates import gemm_prologue

pytestmark = pytest.mark.skipif(gemm_prologue.prologue(np.float32) is None, reason="products go by tiles here")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(image_prologues, "LEAST", 0)
    torch.manual_seed(0)


def run(f, *args):
    """(eager results, the program's, its labels)."""
    def call(*args):
        with torch.no_grad():
            return f(*args)
    want, compiled = call(*args), Compiled(call, [call])
    for _ in range(3):
        found = compiled(*args)
    made, = [e.run for found in compiled.entries.values() for e in found]
    return want, found, [step.label for step, _ in made.marks]


def close(a, b):
    return (a - b).abs().max().item() <= 3e-6 * b.abs().max().item()


@pytest.mark.parametrize("n, channels, rows, size", [(1, 24, 40, (16, 32)), (3, 40, 16, (16, 16)),
                                                     (5, 64, 33, (40, 40))])
@pytest.mark.parametrize("bias", [False, True])
def test_activation_first(n, channels, rows, size, bias):
    norm, conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, rows, 1, bias=bias)
    with torch.no_grad():
        for p in (norm.weight, norm.bias, norm.running_mean):
            p.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    norm.eval()
    x = torch.randn(n, channels, *size)
    want, found, labels = run(lambda x: conv(torch.relu(norm(x))), x)
    assert labels[-1] == "evaluated batch_norm+relu+convolution" and close(found, want)
    with torch.no_grad():           # parameters are read in each call
        norm.running_mean += 1.0
        conv.weight *= 2.0
    want, found, _ = run(lambda x: conv(torch.relu(norm(x))), x)
    assert close(found, want)
    # Others that read the activation keep it.
    _, _, labels = run(lambda x: (conv(y := torch.relu(norm(x))), y), x)
    assert "convolution" in labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_formulas(dtype):
    conv = nn.Conv2d(32, 48, 1).to(dtype)
    x, s = torch.randn(2, 32, 24, 24, dtype=dtype), torch.randn(1, 32, 1, 1, dtype=dtype)
    want, found, labels = run(lambda x: conv(torch.relu(x) * s), x)
    assert labels == ["relu+mul+convolution"] and close(found, want)
    want, found, labels = run(lambda x, z: conv(x * 0.5 + z), x, torch.randn(2, 1, 24, 24, dtype=dtype))
    assert labels == ["mul+add+convolution"] and close(found, want)
    # Operands whose pixels are not adjacent, or change before the convolution.
    assert "convolution" in run(lambda x, z: conv(x + z.mT), x, x.clone())[2]

    def changing(x, z):
        y = torch.relu(x)
        z.add_(x)
        return conv(y), z
    want, found, _ = run(lambda x, z: changing(x, z.clone())[0], x, x)
    assert close(found, want)


def test_bits_do_not_depend_on_threads():
    conv, x = nn.Conv2d(64, 64, 1, bias=False), torch.randn(4, 64, 32, 32)
    results, threads = [], torch.get_num_threads()
    for k in (1, 2):
        torch.set_num_threads(k)
        results.append(run(lambda x: conv(torch.sigmoid(x)), x)[1])
    torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_small_images_stay(monkeypatch):
    monkeypatch.undo()
    conv, x = nn.Conv2d(64, 64, 1, bias=False), torch.randn(1, 64, 32, 32)
    assert run(lambda x: conv(torch.relu(x)), x)[2] == ["relu", "convolution"]
