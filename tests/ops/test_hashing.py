"""Fingerprints: exclusive or of widened bits."""

import numpy as np
import pytest

import rushlight as torch


def test_bits_of_doubles():
    a = np.array([[1.5, -2.0, 3.0], [0.1, 7.0, -0.0]], np.float32)
    bits = a.astype(np.float64).view(np.uint64)
    t = torch.from_numpy(a)
    assert torch.hash_tensor(t).item() == int(np.bitwise_xor.reduce(bits.reshape(-1)))
    assert torch.hash_tensor(t, 1, keepdim=True).tolist() == np.bitwise_xor.reduce(bits, 1, keepdims=True).tolist()
    assert torch.hash_tensor(t).dtype is torch.uint64


def test_integers_and_empty():
    assert torch.hash_tensor(torch.tensor([1, -2], dtype=torch.int8)).item() == 2 ** 64 - 1
    assert torch.hash_tensor(torch.zeros(0, 2), 1).shape == (0,)
    with pytest.raises(RuntimeError, match="specified"):
        torch.hash_tensor(torch.zeros(0, 2))
    with pytest.raises(RuntimeError, match="mode"):
        torch.hash_tensor(torch.ones(2), mode=1)
    with pytest.raises(NotImplementedError):
        torch.hash_tensor(torch.ones(2, dtype=torch.complex64))
