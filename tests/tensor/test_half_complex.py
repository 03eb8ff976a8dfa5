"""complex32: storage of four bytes, conversions, arithmetic in complex64 rounded once."""

import numpy as np
import pytest

import rushlight as torch

C32 = torch.complex32


def values():
    return torch.tensor([1.5 + 2j, 3 - 1j, -0.25j]).chalf()


def test_conversions():
    x = values()
    assert x.dtype is C32 is torch.chalf and x.element_size() == 4 and x.is_complex()
    assert x.tolist() == [1.5 + 2j, 3 - 1j, -0.25j] and x[1].item() == 3 - 1j
    for d in (torch.complex64, torch.complex128):
        assert x.to(d).tolist() == x.tolist()
    assert x.float().tolist() == x.half().tolist() == [1.5, 3, 0]
    assert x.bool().tolist() == [True] * 3
    for y in (torch.tensor([1.0, 2.0]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0]).bfloat16()):
        assert y.chalf().tolist() == [1, 2]
    assert torch.tensor([70000.0]).chalf().real.item() == float("inf")
    assert torch.tensor([1 / 3]).chalf().real.item() == float(np.float16(1 / 3))
    with pytest.raises(TypeError, match="ComplexHalf"):
        x.numpy()


def test_views():
    x = values()
    assert x.real.dtype is torch.float16 and x.imag.tolist() == [2, -1, -0.25]
    x.real.add_(1)
    assert x.tolist() == [2.5 + 2j, 4 - 1j, 1 - 0.25j]
    assert torch.view_as_real(x).tolist() == [[2.5, 2], [4, -1], [1, -0.25]]
    assert torch.view_as_complex(torch.ones(2, 2).half()).tolist() == [1 + 1j] * 2
    assert x.conj().resolve_conj().tolist() == x.conj().tolist() == [2.5 - 2j, 4 + 1j, 1 + 0.25j]
    assert torch.cat([x, x])[[3, 0]].tolist() == [2.5 + 2j] * 2
    assert x.expand(2, 3).t().contiguous().is_contiguous()


def test_factories():
    assert torch.zeros(2, dtype=C32).tolist() == [0, 0] and torch.ones(2, dtype=C32).tolist() == [1, 1]
    assert torch.full((2,), 1j, dtype=C32).tolist() == [1j, 1j]
    assert torch.tensor([1, 2j], dtype=C32).tolist() == [1, 2j]
    assert torch.eye(2, dtype=C32).tolist() == [[1, 0], [0, 1]]
    assert torch.complex(torch.ones(2).half(), torch.zeros(2).half()).dtype is C32
    assert torch.ones_like(values()).dtype is C32
    x = torch.randn(1000, dtype=C32)
    assert 0.8 < torch.view_as_real(x).float().square().sum(-1).mean() < 1.2


def test_arithmetic():
    x = values()
    assert (x + 1).tolist() == [2.5 + 2j, 4 - 1j, 1 - 0.25j] and (x + x).dtype is C32
    assert (x * x).tolist() == [v * v for v in x.tolist()]
    assert (x + torch.ones(3)).dtype is torch.complex64 and (x + torch.ones(3).half()).dtype is C32
    assert x.abs().dtype is torch.float16 and x.abs()[0].item() == 2.5
    assert (x == x).all() and not (x != x).any()
    assert x.fill_(2j).tolist() == [2j] * 3 and x.zero_().tolist() == [0] * 3
    assert x.masked_fill(torch.tensor([True, False, True]), 1j).tolist() == [1j, 0, 1j]
    assert torch.nn.functional.pad(x[:1], (1, 0), value=3).tolist() == [3, 0]


def test_gradients_and_text():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.chalf()
    y.backward(torch.tensor([1 + 1j, 2.0], dtype=C32))
    assert x.grad.dtype is torch.float32 and x.grad.tolist() == [1, 2]
    assert repr(torch.tensor([1.5 + 2j]).chalf()) == "tensor([1.5000+2.j], dtype=torch.complex32)"
