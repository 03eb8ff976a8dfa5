"""Devices that are not here: questions are answered, requests raise."""

import pytest

import rushlight as torch


def test_questions():
    for m in (torch.mps, torch.xpu, torch.mtia):
        assert m.is_available() is False and m.device_count() == 0
        m.manual_seed(1)


def test_requests():
    with pytest.raises(RuntimeError, match="MPS"):
        torch.mps.synchronize()
    with pytest.raises(AssertionError, match="XPU"):
        torch.xpu.current_device()
    with pytest.raises(RuntimeError, match="MTIA"):
        torch.mtia.synchronize()
    with pytest.raises(RuntimeError, match="ipu"):
        torch.ones(1).ipu()
    with pytest.raises(AssertionError, match="MTIA"):
        torch.ones(1).mtia()
