"""How precise float32 products may be: the functions and the back ends' switches."""

import warnings

import pytest

import rushlight as torch
from rushlight.runtime import precision


@pytest.fixture(autouse=True)
def highest():
    yield
    torch.set_float32_matmul_precision("highest")


def switches():
    b = torch.backends
    return (torch.get_float32_matmul_precision(), b.mkldnn.matmul.fp32_precision, b.cuda.matmul.fp32_precision,
            b.cuda.matmul.allow_tf32)


def test_function_and_switches_agree():
    expected = {"high": ("high", "tf32", "tf32", True), "medium": ("medium", "bf16", "tf32", True),
                "highest": ("highest", "ieee", "ieee", False)}
    for name, state in expected.items():
        torch.set_float32_matmul_precision(name)
        assert switches() == state
    torch.backends.cuda.matmul.allow_tf32 = True
    assert switches() == expected["high"]
    torch.backends.cuda.matmul.allow_tf32 = False
    assert switches() == expected["highest"]
    for value, name in (("bf16", "medium"), ("tf32", "high"), ("none", "highest")):
        torch.backends.mkldnn.matmul.fp32_precision = value
        assert torch.get_float32_matmul_precision() == name


def test_other_words_are_refused():
    with pytest.raises(RuntimeError, match="expects a str, but got int"):
        torch.set_float32_matmul_precision(1)
    with pytest.raises(RuntimeError, match="Unknown precision: tf3"):
        torch.backends.mkldnn.matmul.fp32_precision = "tf3"
    with pytest.raises(RuntimeError, match="Unknown precision: bf16"):
        torch.backends.cuda.matmul.fp32_precision = "bf16"
    with pytest.warns(UserWarning, match="x is not one of 'highest', 'high', or 'medium'"):
        torch.set_float32_matmul_precision("x")
    assert torch.get_float32_matmul_precision() == "highest"


def test_who_is_attached_hears_of_changes(monkeypatch):
    monkeypatch.setattr(precision, "_choices", [])
    heard = []
    precision.attach(heard.append)
    torch.set_float32_matmul_precision("medium")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_float32_matmul_precision("other")
    assert heard == ["highest", "medium"]
