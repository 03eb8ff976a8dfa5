"""Errors of float32 products against float64: no larger than PyTorch's own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight

SIZES = [(64, 64, 64), (200, 512, 150), (96, 4096, 96), (1, 4096, 500), (500, 4096, 1), (16, 30_000, 32),
         (8, 1100, 900)]


@pytest.mark.parametrize("m, k, n", SIZES)
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_errors_are_no_larger_than_pytorchs(m, k, n, kind):
    rng = np.random.default_rng(3)
    draw = rng.standard_normal if kind == "normal" else rng.random
    a, b = draw((m, k)).astype("f4"), draw((k, n)).astype("f4")
    exact = a.astype("f8") @ b.astype("f8")

    def error(product):
        return np.sqrt(np.mean((product.numpy() - exact) ** 2))
    ours = error(rushlight.from_numpy(a) @ rushlight.from_numpy(b))
    theirs = error(torch.from_numpy(a) @ torch.from_numpy(b))
    # A quarter for the luck of the draw.
    assert ours <= 1.25 * theirs
