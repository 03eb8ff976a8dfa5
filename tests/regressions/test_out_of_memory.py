"""Memory that the system refuses is a RuntimeError at the call, as PyTorch's is, wherever it is asked for."""

import pytest

import rushlight as torch

BIG = 1 << 40


@pytest.mark.parametrize("ask", [
    lambda x: torch.empty(1 << 50),
    lambda x: torch.relu(x),
    lambda x: x.contiguous(),
    lambda x: x.cumsum(0),
    lambda x: x.sort(),
    lambda x: x.double(),
], ids=["empty", "relu", "contiguous", "cumsum", "sort", "double"])
def test_refused_memory(ask):
    x = torch.ones(1).expand(BIG)
    with pytest.raises(RuntimeError, match="llocate"):
        ask(x)
    assert torch.ones(3).sum().item() == 3
