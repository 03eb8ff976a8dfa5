"""``torch.signal.windows`` beside SciPy's windows."""

import numpy as np
import pytest
from scipy.signal import windows as theirs

import rushlight as torch
from rushlight.signal import windows

CALLS = {
    "bartlett": ({}, ()), "blackman": ({}, ()), "cosine": ({}, ()), "exponential": ({"tau": 3.}, (None, 3.)),
    "gaussian": ({"std": 2.}, (2.,)), "general_cosine": ({"a": [.5, .3, .2]}, ([.5, .3, .2],)),
    "general_hamming": ({"alpha": .7}, (.7,)), "hamming": ({}, ()), "hann": ({}, ()), "kaiser": ({"beta": 5.}, (5.,)),
    "nuttall": ({}, ()),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("sym", [True, False])
def test_values(name, sym):
    ours, scipys = CALLS[name]
    for M in (1, 2, 3, 8, 33):
        w = getattr(windows, name)(M, sym=sym, dtype=torch.float64, **ours)
        np.testing.assert_allclose(w, getattr(theirs, name)(M, *scipys, sym=sym), 1e-9, 1e-12)
        assert getattr(windows, name)(M, sym=sym, **ours).dtype is torch.float32
    assert getattr(windows, name)(0, **ours).shape == (0,)


@pytest.mark.parametrize("name", CALLS)
def test_errors(name):
    call = getattr(windows, name)
    ours = CALLS[name][0]
    for arguments, match in (({"M": -1}, "non-negative window length, got M=-1"),
                             ({"M": 5, "dtype": torch.int64}, "expects float32 or float64 dtypes, got: torch.int64"),
                             ({"M": 5, "layout": torch.sparse_coo}, "strided tensors only")):
        with pytest.raises(ValueError, match=match):
            call(**arguments, **ours)
    with pytest.raises(TypeError):
        call(5, True)


def test_parameters_out_of_range():
    for call, match in ((lambda: windows.exponential(5, tau=0.), "Tau must be positive"),
                        (lambda: windows.exponential(5, center=2.), "Center must be None"),
                        (lambda: windows.gaussian(5, std=0.), "Standard deviation must be positive"),
                        (lambda: windows.kaiser(5, beta=-1.), "beta must be non-negative"),
                        (lambda: windows.general_cosine(5, a=[]), "Coefficients cannot be empty")):
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="list/tuple"):
        windows.general_cosine(5, a=3.)


def test_an_uncentred_exponential():
    w = windows.exponential(5, center=1, tau=2., sym=False, dtype=torch.float64)
    np.testing.assert_allclose(w, np.exp(-np.abs(np.arange(5) - 1) / 2))


def test_recorded():
    assert windows.gaussian(5, requires_grad=True).grad_fn is not None
    assert not windows.hann(5).requires_grad
