"""Kernels that write into memory that is there: sums."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
import rushlight as torch

CASES = {
    "all": lambda x: x.sum(),
    "rows": lambda x: x.sum(0),
    "last kept": lambda x: x.sum(-1, keepdim=True),
    "two": lambda x: x.sum((0, 2)),
    "all kept": lambda x: x.sum((0, 1, 2), keepdim=True),
    "turned": lambda x: x.transpose(0, 2).sum(1),
    "a part": lambda x: x[:, 1:, ::2].sum(1),
    "double": lambda x: x.sum(1, dtype=torch.float64),
    "tests": lambda x: (x > 0).sum(0),
    "none": lambda x: x[:, :0].sum(1),
}


@pytest.mark.parametrize("name", CASES)
def test_sums_in_programs_are_the_eager_ones(name):
    f = CASES[name]
    run = torch.compile(lambda x: (f(x * 2) + 1) * 3, fullgraph=True)
    for i in range(4):
        torch.manual_seed(i)
        x = torch.randn(5, 7, 70)
        a, b = run(x), (f(x * 2) + 1) * 3
        assert a.dtype is b.dtype and a.shape == b.shape and np.array_equal(a.numpy(), b.numpy())


def test_sums_of_gradients_leave_the_program():
    layer = torch.nn.Linear(40, 30)

    @torch.compile
    def step(x):
        layer.zero_grad()
        layer(x).square().sum().backward()
    found = []
    for i in range(5):
        torch.manual_seed(i)
        x = torch.randn(9, 40)
        step(x)
        found.append(layer.bias.grad)
        with torch.no_grad():
            expected = 2 * layer(x).sum(0)
        assert np.allclose(found[-1].numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    # Each call's gradient has memory of its own.
    assert len({g.data_ptr() for g in found}) == 5
