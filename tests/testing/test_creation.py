"""make_tensor: ranges, layouts and errors; the numbers are those that PyTorch draws."""

import pytest

import rushlight as torch

make = torch.testing.make_tensor


def test_values_are_pytorchs():
    torch.manual_seed(0)
    assert torch.allclose(make(3, dtype=torch.float32, device="cpu"), torch.tensor([-0.0674, 4.8280, -7.4074]),
                          atol=1e-4)
    torch.manual_seed(0)
    assert make((3,), dtype=torch.int64, device="cpu").tolist() == [6, -5, -9]
    torch.manual_seed(0)
    t = make(2, 2, dtype=torch.int8, device="cpu", noncontiguous=True)
    assert t.tolist() == [[-5, -9], [-2, 0]] and t.stride() == (4, 2)
    torch.manual_seed(0)
    assert make(2, dtype=torch.uint8, device="cpu", low=-5, high=300).tolist() == [172, 47]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64, torch.int16, torch.bool])
def test_range_and_zeros(dtype):
    t = make(200, dtype=dtype, device="cpu", low=0, high=2, exclude_zero=True)
    assert t.dtype is dtype and bool((t != 0).all())
    real = torch.view_as_real(t) if dtype.is_complex else t.double()
    assert bool(((real >= 0) & (real <= 2)).all())


def test_layout_and_gradient():
    t = make((2, 3, 4, 5), dtype=torch.float32, device="cpu", memory_format=torch.channels_last, requires_grad=True)
    assert t.stride() == (60, 1, 15, 3) and t.requires_grad and t.is_leaf


@pytest.mark.parametrize("options,text", [
    ({"dtype": torch.int64, "low": 3, "high": 3}, "`low` must be less than `high`, but got 3 >= 3"),
    ({"dtype": torch.float32, "low": 3, "high": 1}, "must be less than"),
    ({"dtype": torch.float32, "low": float("nan")}, "cannot be NaN"),
    ({"dtype": torch.uint8, "low": -5, "high": -2}, "only supports \\[0, 256\\)"),
    ({"dtype": torch.float16, "low": 1e6, "high": 1e7}, "only supports \\[-65504.0, 65504.0\\)"),
    ({"dtype": torch.int64, "requires_grad": True}, "`requires_grad=True` is not supported"),
    ({"dtype": torch.float32, "noncontiguous": True, "memory_format": torch.channels_last}, "mutually exclusive"),
])
def test_errors(options, text):
    with pytest.raises(ValueError, match=text):
        make(2, device="cpu", **options)
