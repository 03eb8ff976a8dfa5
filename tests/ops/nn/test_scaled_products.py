"""Products of scaled 8-bit floats and of groups, against one product at a time in NumPy."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F

E4M3 = torch.float8_e4m3fn
WHOLE, ROWS = F.ScalingType.TensorWise, F.ScalingType.RowWise


def float8(*shape):
    torch.manual_seed(0)
    return torch.randn(*shape).to(E4M3)


def test_scaled_products():
    a, b = float8(4, 8), float8(5, 8).t()
    x, y = a.float().numpy(), b.float().numpy()
    r = F.scaled_mm(a, b, torch.tensor(2.), WHOLE, torch.tensor(0.5), WHOLE, bias=torch.ones(5),
                    output_dtype=torch.float32)
    np.testing.assert_allclose(r.numpy(), x @ y + 1, rtol=1e-6)
    left, right = torch.rand(4, 1), torch.rand(1, 5)
    r = F.scaled_mm(a, b, left, ROWS, right, ROWS, output_dtype=torch.float32)
    np.testing.assert_allclose(r.numpy(), (x @ y) * left.numpy() * right.numpy(), rtol=1e-5)
    assert F.scaled_mm(a, b, left, ROWS, right, ROWS).dtype is torch.bfloat16
    with pytest.raises(ValueError, match="Invalid scaling"):
        F.scaled_mm(a, b, left, ROWS, torch.rand(5), ROWS)
    with pytest.raises(ValueError, match="Invalid scaling"):
        F.scaled_mm(a, b, left, F.ScalingType.BlockWise1x32, right, ROWS)


def test_grouped_products():
    offs = torch.tensor([1, 4], dtype=torch.int32)
    x, w = torch.randn(6, 3, requires_grad=True), torch.randn(2, 3, 5, requires_grad=True)
    r = F.grouped_mm(x, w, offs=offs)
    a, m = x.detach().numpy(), w.detach().numpy()
    expected = np.concatenate([a[:1] @ m[0], a[1:4] @ m[1], np.zeros((2, 5))])
    np.testing.assert_allclose(r.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    r.sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[1:4], np.tile(m[1].sum(1), (3, 1)), rtol=1e-5, atol=1e-6)
    assert not x.grad[4:].any()
    columns = F.grouped_mm(torch.ones(2, 4, 3), torch.ones(3, 6), offs=offs)
    assert columns.shape == (4, 6) and columns[:, :4].eq(3).all() and not columns[:, 4:].any()
    inner = F.grouped_mm(torch.ones(4, 6), torch.ones(6, 2), offs=offs)
    assert inner[:, 0, 0].tolist() == [1, 3]
    assert F.grouped_mm(torch.ones(2, 4, 3), torch.ones(2, 3, 5)).shape == (2, 4, 5)


def test_what_is_refused():
    x, w = torch.ones(6, 3), torch.ones(2, 3, 5)
    for offs in (None, torch.tensor([1, 4]), torch.tensor([4, 1], dtype=torch.int32),
                 torch.tensor([1], dtype=torch.int32),
                 torch.tensor([1, 7], dtype=torch.int32)):
        with pytest.raises(RuntimeError):
            F.grouped_mm(x, w, offs=offs)
    with pytest.raises(RuntimeError, match="Double"):
        F.grouped_mm(x.double(), w.double(), offs=torch.tensor([1, 4], dtype=torch.int32))


def test_scaled_groups():
    offs = torch.tensor([1, 4], dtype=torch.int32)
    a, b = float8(4, 8), float8(2, 8, 5)
    left, right = torch.rand(4), torch.rand(2, 5)
    r = F.scaled_grouped_mm(a, b, left, ROWS, right, ROWS, offs=offs, output_dtype=torch.float32)
    x = a.float() * left[:, None]
    expected = torch.cat([x[:1] @ (b[0].float() * right[0]), x[1:] @ (b[1].float() * right[1])])
    torch.testing.assert_close(r, expected)
