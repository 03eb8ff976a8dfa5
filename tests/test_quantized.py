"""Quantized tensors and fake quantization by their definition, worked out with NumPy."""

import copy

import numpy as np
import pytest

import rushlight as torch


def test_codes_and_numbers():
    x = np.linspace(-30, 30, 77, dtype=np.float32)
    q = torch.quantize_per_tensor(torch.from_numpy(x), 0.25, 5, torch.qint8)
    codes = np.clip(np.rint(x / np.float32(0.25) + 5), -128, 127)
    np.testing.assert_array_equal(q.int_repr().numpy(), codes)
    np.testing.assert_array_equal(q.dequantize().numpy(), (codes - 5) * 0.25)
    assert (q.q_scale(), q.q_zero_point(), q.qscheme()) == (0.25, 5, torch.per_tensor_affine)
    assert q.is_quantized and q.dtype is torch.qint8 and not torch.ones(1).is_quantized


def test_channels():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    scales, zeros = np.array([0.5, 0.25, 1, 2]), np.array([0, 1, 2, 3])
    q = torch.quantize_per_channel(torch.from_numpy(x), torch.from_numpy(scales), torch.from_numpy(zeros), 1,
                                   torch.quint8)
    np.testing.assert_array_equal(q.int_repr().numpy(), np.clip(np.rint(x / scales + zeros), 0, 255))
    assert q.q_per_channel_axis() == 1 and q[:, 1].q_scale() == 0.25
    with pytest.raises(RuntimeError, match="uniformly"):
        q[0]
    with pytest.raises(RuntimeError, match="channel"):
        torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 1, torch.quint8)


def test_text():
    assert repr(torch.quantize_per_tensor(torch.tensor([1., 2.5]), 0.5, 3, torch.quint8)) == (
        "tensor([1.0000, 2.5000], size=(2,), dtype=torch.quint8,\n"
        "       quantization_scheme=torch.per_tensor_affine, scale=0.5, zero_point=3)")


def test_views_share_codes_and_copies_do_not():
    q = torch.quantize_per_tensor(torch.arange(6.).view(2, 3), 1, 0, torch.qint32)
    other = copy.deepcopy(q)
    q.t()[2] = 7.
    assert q.int_repr().tolist() == [[0, 1, 7], [3, 4, 7]] and other.int_repr().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(q[:, :2], other[:, :2]) and not torch.equal(q, other)


def test_what_there_is_not():
    q = torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.quint8)
    with pytest.raises(NotImplementedError, match="quantized"):
        q + q
    with pytest.raises(RuntimeError, match="above upper bound"):
        torch.quantize_per_tensor(torch.ones(2), 1, 256, torch.quint8)
    with pytest.raises(RuntimeError, match="Float"):
        torch.quantize_per_tensor(torch.ones(2, dtype=torch.float64), 1, 0, torch.quint8)


def test_fake_quantization_passes_gradients_in_range():
    x = torch.tensor([-2., -0.26, 0.1, 0.9, 5.], requires_grad=True)
    y = torch.fake_quantize_per_tensor_affine(x, 0.5, 1, 0, 3)
    assert y.tolist() == [-0.5, -0.5, 0, 1, 1]
    y.backward(torch.arange(1., 6.))
    assert x.grad.tolist() == [0, 2, 3, 4, 0]
    w = torch.tensor([[0.3, 0.6], [3., 6.]], requires_grad=True)
    z = torch.fake_quantize_per_channel_affine(w, torch.tensor([0.5, 5.]), torch.tensor([0, 0], dtype=torch.int32), 0,
                                               -1, 0)
    assert z.tolist() == [[0, 0], [0, 0]]
    z.sum().backward()
    assert w.grad.tolist() == [[0, 0], [0, 0]]
    assert torch.fake_quantize_per_tensor_affine(x.detach().half(), 0.5, 1, 0, 3).dtype is torch.float16
