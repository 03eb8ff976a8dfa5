"""Capsules: memory that is shared, used once, and given back."""

import weakref

import numpy as np
import pytest

import rushlight as torch


def test_a_capsule_shares_memory_and_is_used_once():
    x = torch.arange(6.).view(2, 3)
    capsule = torch.to_dlpack(x.t())
    y = torch.from_dlpack(capsule)
    assert y.stride() == (1, 3)
    y[2, 1] = 9
    assert x[1, 2] == 9
    with pytest.raises(RuntimeError, match="consumed only once"):
        torch.from_dlpack(capsule)
    with pytest.raises(TypeError):
        torch.from_dlpack(3)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "bfloat16", "float64", "complex64"])
def test_dtypes(dtype):
    x = torch.tensor([0, 1, 1]).to(getattr(torch, dtype))
    y = torch.from_dlpack(torch.to_dlpack(x))
    assert y.dtype is x.dtype and y.data_ptr() == x.data_ptr() and torch.equal(x, y)


def test_memory_lives_as_long_as_it_is_seen():
    a = np.arange(5.)
    owner = weakref.ref(a)
    t = torch.from_dlpack(a.__dlpack__())
    del a
    assert owner() is not None and t.tolist() == [0, 1, 2, 3, 4]
    v = t[1:]
    del t
    assert owner() is not None and v.tolist() == [1, 2, 3, 4]
    del v
    assert owner() is None


def test_empty_and_scalar():
    assert torch.from_dlpack(torch.to_dlpack(torch.ones(0, 3))).shape == (0, 3)
    assert torch.from_dlpack(torch.to_dlpack(torch.tensor(3.))).item() == 3
