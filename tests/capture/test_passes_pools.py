"""Maximum pooling by a byte for each window: the same bits, less memory."""

import copy

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled
from rushlight.compiler.templates.maxima import kernel
from rushlight.ops.nn import pooling

from .one_program import program, training

FORMS = [((9, 11), 2, 2, 0, 1), ((8, 40), 2, 2, 0, 1), ((7, 9), 3, 2, 1, 1), ((9, 9), 3, 1, 1, 2),
         ((16, 18), (1, 2), 2, 0, 1), ((20, 19), (5, 3), (3, 2), (2, 1), 1), ((6, 50), 2, (3, 2), 0, 1),
         ((10, 10), 2, (1, 2), 0, 1), ((15, 33), 2, 2, 1, 1)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ceil", [False, True])
def test_numbers_of_elements_tell_the_positions(dtype, ceil):
    type_ = {"float32": "float", "float64": "double"}[dtype]
    rng = np.random.default_rng(0)
    for plane, *geometry in FORMS:
        k, t, p, d, out = geometry = pooling._geometry("pool", torch.empty(1, 3, *plane), *geometry, ceil, 2)
        x = rng.integers(-3, 4, (4, 3, *plane)).astype(dtype)
        x[rng.random(x.shape) < 0.1] = -np.inf
        x[rng.random(x.shape) < 0.05] = np.nan
        g = rng.standard_normal((4, 3, *out)).astype(dtype)
        g[rng.random(g.shape) < 0.1] = -0.0
        y, index = torch.nn.functional.max_pool2d(torch.tensor(x), *geometry[:4], ceil_mode=ceil, return_indices=True)
        y, index = y.numpy(), index.numpy()
        values, code = np.full_like(y, 7), np.full(y.shape, 99, np.uint8)
        words = pooling._planes((4, 3), plane, *geometry)
        kernel("codes" if out[-1] > 4 else "codes narrow", type_)(values, code, x, words)
        np.testing.assert_array_equal(values, y)
        tops = np.arange(out[0])[:, None] * t[0] - p[0] + code // k[1] * np.int64(d[0])
        np.testing.assert_array_equal(tops * plane[1] + np.arange(out[1]) * t[1] - p[1] + code % k[1] * np.int64(d[1]),
                                      index)
        expected, gradient = np.zeros((12, plane[0] * plane[1]), dtype), np.full_like(x, 5)
        for row, positions, values in zip(expected, index.reshape(12, -1), g.reshape(12, -1), strict=True):
            np.add.at(row, positions, values)
        kernel("scatter codes", type_)(gradient, g, code, words)
        np.testing.assert_array_equal(gradient.reshape(12, -1), expected)


def windows(compiled, label):
    return [w for s, _ in program(compiled).marks if s.label == label for w in (*s.outs, *s.args)]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1)])
def test_training_keeps_bytes(pool):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3))
    x, y = torch.randn(4, 3, 12, 12), torch.randint(0, 3, (4,))
    models = [copy.deepcopy(model) for _ in range(2)]
    steps = [training(m) for m in models]
    compiled = Compiled(steps[1], [steps[1]])
    for _ in range(5):
        assert steps[0](x, y).item() == compiled(x, y).item()
    kept = windows(compiled, "_max_pool2d")
    assert sum(getattr(w, "dtype", None) == np.uint8 for w in kept) == 2
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_positions_that_are_read_stay():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)

    def step(x):
        y, index = nn.functional.max_pool2d(x, 2, return_indices=True)
        return torch.autograd.grad(y.square().sum(), x)[0], index
    compiled = Compiled(step, [step])
    for _ in range(4):
        for a, b in zip(compiled(x), step(x), strict=True):
            assert torch.equal(a, b)
    assert not any(getattr(w, "dtype", None) == np.uint8 for w in windows(compiled, "_max_pool2d"))
