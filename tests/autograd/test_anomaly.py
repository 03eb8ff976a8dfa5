"""Anomaly mode shows where the forward op was called."""

import warnings

import pytest

import rushlight as torch


def failing():
    x = torch.tensor([0.0], requires_grad=True)
    return (x / x) * 2           # the line that is to blame


def test_the_forward_line_is_shown():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly():
            y = failing()
            with pytest.raises(RuntimeError, match="Function 'DivBackward0' returned nan values in its 1th output"):
                y.backward()
    texts = [str(w.message) for w in seen]
    assert any("Error detected in DivBackward0" in t and "the line that is to blame" in t for t in texts)


def test_errors_in_custom_functions_show_the_line():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise ValueError("no gradient")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly():
            y = Bad.apply(torch.ones(1, requires_grad=True))     # applied here
            with pytest.raises(ValueError, match="no gradient"):
                y.backward()
    assert any("BadBackward" in str(w.message) and "applied here" in str(w.message) for w in seen)


def test_a_forward_outside_is_said_to_be_unknown():
    y = failing()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="nan values"):
            y.backward()
    assert any("No forward pass information available" in str(w.message) for w in seen)


def test_the_mode_ends_with_the_block():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError), torch.autograd.detect_anomaly():
            raise ValueError
    assert not torch.is_anomaly_enabled()
    y = failing()
    y.backward()
