"""Tensors as text, to the letter as PyTorch 2.13 printed them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rushlight.tensor import printing

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
import printing_cases

nan, inf = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def default_options():
    printing.set_printoptions(profile="default")
    yield
    printing.set_printoptions(profile="default")


def test_stored_texts():
    pytest.importorskip("ml_dtypes")
    for entry, data, text in printing_cases.load():
        array = np.frombuffer(data, printing_cases.numpy_dtype(entry["dtype"]))
        printing.set_printoptions(profile="default")
        printing.set_printoptions(**entry["options"])
        found = printing.format_array(
            array.reshape(entry["shape"]),
            dtype="torch." + entry["dtype"],
            requires_grad=entry["requires_grad"],
        )
        assert found == text


@pytest.mark.parametrize(
    "values, text",
    [
        ([1.0, 2.5], "tensor([1.0000, 2.5000])"),
        ([nan, 1.0, inf], "tensor([nan, 1., inf])"),
        ([0.0, 0.0], "tensor([0., 0.])"),
        (3.0, "tensor(3.)"),
        (1e10, "tensor(1.0000e+10)"),
        ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"),
        ([-1.0, 10000.0], "tensor([-1.0000e+00,  1.0000e+04])"),
        ([], "tensor([])"),
        (np.zeros((0, 3)), "tensor([], size=(0, 3))"),
        ([1 + 2j, nan + 3j], "tensor([1.+2.j, nan+3.j])"),
        ([True, False], "tensor([ True, False])"),
        (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
        (np.array(5, np.int32), "tensor(5, dtype=torch.int32)"),
        (np.zeros((0,), np.int64), "tensor([], dtype=torch.int64)"),
    ],
)
def test_known_texts(values, text):
    array = np.asarray(values)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype == np.complex128:
        array = array.astype(np.complex64)
    assert printing.format_array(array) == text


def test_suffixes():
    x = np.ones(2, np.float32)
    show = printing.format_array
    assert show(x, requires_grad=True) == "tensor([1., 1.], requires_grad=True)"
    assert show(x, requires_grad=True, grad_fn="AddBackward0") == (
        "tensor([1., 1.], grad_fn=<AddBackward0>)"
    )
    assert show(None, dtype="torch.float32", device="meta", shape=(2, 3)) == (
        "tensor(..., device='meta', size=(2, 3))"
    )
    assert show(None, dtype="torch.int32", device="meta", shape=(2,), requires_grad=True) == (
        "tensor(..., device='meta', size=(2,), dtype=torch.int32, requires_grad=True)"
    )
    assert show(x, device="cuda:0") == "tensor([1., 1.], device='cuda:0')"
    assert show(x, default_dtypes=("torch.float64", "torch.complex128")) == (
        "tensor([1., 1.], dtype=torch.float32)"
    )
    assert show(x, prefix="Thing(") == "Thing([1., 1.])"


def test_suffix_wraps_at_the_line_width():
    x = np.full(8, 1.25, np.complex128)
    assert printing.format_array(x[:3]) == (
        "tensor([1.2500+0.j, 1.2500+0.j, 1.2500+0.j], dtype=torch.complex128)"
    )
    assert printing.format_array(x[:4]) == (
        "tensor([1.2500+0.j, 1.2500+0.j, 1.2500+0.j, 1.2500+0.j],\n"
        "       dtype=torch.complex128)"
    )


def test_options():
    x = np.array([1.23456789, 100.0], np.float32)
    with printing.printoptions(precision=2):
        assert printing.format_array(x) == "tensor([  1.23, 100.00])"
    with printing.printoptions(sci_mode=True, precision=1):
        assert printing.format_array(x) == "tensor([1.2e+00, 1.0e+02])"
    assert printing.format_array(x) == "tensor([  1.2346, 100.0000])"
    printing.set_printoptions(profile="short")
    assert printing.get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 2,
        "linewidth": 80,
        "sci_mode": None,
    }
    printing.set_printoptions(profile="full")
    assert "..." not in printing.format_array(np.zeros(2000))


def test_tensors():
    import rushlight as torch

    x = torch.ones(2, requires_grad=True)
    assert repr(x) == str(x) == "tensor([1., 1.], requires_grad=True)"
    assert repr(x + 1) == "tensor([2., 2.], grad_fn=<AddBackward0>)"
    assert repr(torch.nn.Parameter(torch.ones(2))) == (
        "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )
    assert repr(torch.empty(2, 3, device="meta")) == "tensor(..., device='meta', size=(2, 3))"
    assert repr(torch.zeros(2, dtype=torch.bfloat16)) == "tensor([0., 0.], dtype=torch.bfloat16)"
    assert f"{torch.tensor(1.5):.3f}" == "1.500"

    class Thing(torch.Tensor):
        pass

    assert repr(torch.ones(2).as_subclass(Thing)) == "Thing([1., 1.])"
    view = torch.ones(4).reshape(2, 2).t()
    view[0, 1] = 3
    assert repr(view) == "tensor([[1., 3.],\n        [1., 1.]])"


def test_default_dtype_of_tensors():
    import rushlight as torch

    torch.set_default_dtype(torch.float64)
    try:
        assert repr(torch.ones(1)) == "tensor([1.])"
        assert repr(torch.ones(1, dtype=torch.float32)) == "tensor([1.], dtype=torch.float32)"
    finally:
        torch.set_default_dtype(torch.float32)
