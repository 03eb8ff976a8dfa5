"""Copies and conversions: to, clone, contiguous, copy_, fill_, resize_."""

import numpy as np
import pytest

import rushlight as torch


def test_to_returns_the_tensor_itself_when_nothing_changes():
    x = torch.zeros(2)
    assert x.to(torch.float32) is x and x.to("cpu") is x and x.float() is x and x.to(x) is x
    assert x.to(torch.float32, copy=True) is not x
    assert x.contiguous() is x


@pytest.mark.parametrize("method, dtype", [
    ("double", torch.float64), ("half", torch.float16), ("bfloat16", torch.bfloat16), ("int", torch.int32),
    ("long", torch.int64), ("short", torch.int16), ("char", torch.int8), ("byte", torch.uint8), ("bool", torch.bool),
    ("cfloat", torch.complex64), ("cdouble", torch.complex128)])
def test_shorthands(method, dtype):
    x = torch.tensor([0.0, 1.7, 3.0])
    assert getattr(x, method)().dtype is dtype
    assert getattr(x, method)()[0].item() == 0


def test_conversion_truncates_and_rounds_like_c():
    assert torch.tensor([1.7, -1.7]).to(torch.int32).tolist() == [1, -1]
    assert torch.tensor([1.0 + 2 ** -9]).bfloat16().item() == 1.0, "ties to even"
    assert torch.tensor([0.5, 0.0]).bool().tolist() == [True, False]


def test_conversion_passes_gradients_back_in_the_old_type():
    x = torch.ones(3, requires_grad=True)
    y = x.double() * 2
    y.sum().backward()
    assert x.grad.dtype is torch.float32 and x.grad.tolist() == [2, 2, 2]
    assert x.to(torch.int32).requires_grad is False
    z = torch.ones(2, requires_grad=True)
    (z.to(torch.complex64) * (1 + 2j)).real.sum().backward()
    assert z.grad.tolist() == [1, 1]


def test_all_forms_of_to():
    x, other = torch.zeros(2), torch.zeros(1, dtype=torch.float64)
    assert x.to(other).dtype is torch.float64
    assert x.to("cpu", torch.int32).dtype is torch.int32
    assert x.to(device="meta", dtype=torch.int32).device.type == "meta"
    assert x.to(torch.device("cpu"), non_blocking=True) is x
    with pytest.raises(AssertionError, match="CUDA"):
        x.to("cuda")
    with pytest.raises(NotImplementedError, match="no data"):
        x.to("meta").to("cpu")
    with pytest.raises(TypeError):
        x.to(2.5)


def test_memory_formats():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    y = x.contiguous(memory_format=torch.channels_last)
    assert y.stride() == (24, 1, 8, 2) and (y == x).all()
    assert y.clone().stride() == y.stride() and y.double().stride() == y.stride()
    assert y.clone(memory_format=torch.contiguous_format).stride() == x.stride()
    assert x.transpose(1, 2).clone().stride() == x.transpose(1, 2).stride()


def test_copy_broadcasts_converts_and_records():
    x = torch.zeros(2, 3)
    x.copy_(torch.tensor([1, 2, 3]))
    assert x.tolist() == [[1, 2, 3], [1, 2, 3]] and x._version == 1
    source = torch.ones(3, dtype=torch.float64, requires_grad=True)
    target = torch.zeros(2, 3)
    target.copy_(source)
    assert target.grad_fn.name() == "CopyBackwards"
    (target * 2).sum().backward()
    assert source.grad.dtype is torch.float64 and source.grad.tolist() == [4, 4, 4]
    with pytest.raises(RuntimeError, match="must match the size"):
        x.copy_(torch.zeros(4))


def test_overlapping_copy():
    x = torch.arange(6.0)
    with pytest.raises(RuntimeError, match="single memory location"):
        x[1:].copy_(x[:-1])
    with pytest.raises(RuntimeError, match="single memory location"):
        x[1:] = x[:-1]
    with pytest.raises(RuntimeError, match="more than one element"):
        torch.zeros(1).expand(4).copy_(x[:4])
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.add(x[1:], 1, out=x[:-1])
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.gather(x, 0, torch.zeros(6, dtype=torch.int64), out=x)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.index_add_(0, torch.tensor([0, 1]), x[:2])
    x[:3] = x[3:]
    x[::2] = x[1::2]
    x.copy_(x)
    assert x.tolist() == [4, 4, 3, 3, 5, 5]


def test_fill_and_zero_cut_the_gradient():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y[:1].fill_(7)
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, 2]
    value = torch.tensor(3.0, requires_grad=True)
    z = torch.zeros(4).fill_(value)
    z.sum().backward()
    assert value.grad.item() == 4
    with pytest.raises(RuntimeError, match="leaf"):
        x.zero_()
    with pytest.raises(RuntimeError, match="0-dimension"):
        torch.zeros(2).fill_(torch.zeros(1))


def test_resize_keeps_storage_order():
    x = torch.arange(6.0)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(3, 2).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert x.resize_(100).shape == (100,)
    with pytest.raises(RuntimeError, match="require grad"):
        torch.zeros(2, requires_grad=True).resize_(3)


def test_numpy_interop():
    x = torch.arange(3.0)
    x.numpy()[0] = 5
    assert x[0].item() == 5
    np.testing.assert_array_equal(np.asarray(x), [5, 1, 2])
    with pytest.raises(RuntimeError, match="requires grad"):
        torch.zeros(1, requires_grad=True).numpy()
    assert torch.zeros(1, requires_grad=True).numpy(force=True).tolist() == [0]


def test_type_names():
    x = torch.zeros(1)
    assert x.type() == "torch.FloatTensor"
    assert x.type("torch.LongTensor").dtype is torch.int64
    with pytest.raises(ValueError, match="invalid type"):
        x.type("Long")
