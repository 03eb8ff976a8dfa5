"""Fourier transforms against NumPy's; gradients against finite differences."""

import numpy as np
import pytest

import rushlight as torch

from .helpers import generator, numerical_gradient

REAL = generator(0).standard_normal((3, 4, 5))
COMPLEX = REAL + 1j * generator(1).standard_normal((3, 4, 5))

COMPLEX_IN = ["fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "irfft", "hfft", "irfft2", "irfftn"]
REAL_IN = ["rfft", "ihfft", "rfft2", "rfftn"]


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", COMPLEX_IN + REAL_IN)
def test_values(name, norm):
    x = COMPLEX if name in COMPLEX_IN else REAL
    r = getattr(torch.fft, name)(torch.tensor(x), norm=norm).resolve_conj()
    np.testing.assert_allclose(r.numpy(), getattr(np.fft, name)(x, norm=norm), atol=1e-12)


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("n", [3, 5, 8])
def test_lengths_cut_or_fill(name, n):
    x = REAL if name in REAL_IN else COMPLEX
    r = getattr(torch.fft, name)(torch.tensor(x), n, 1).resolve_conj()
    np.testing.assert_allclose(r.numpy(), getattr(np.fft, name)(x, n, 1), atol=1e-12)


@pytest.mark.parametrize("name", ["rfft", "rfft2", "fft", "ihfft"])
def test_gradients(name):
    w = generator(3).standard_normal((3, 4, 5))

    def loss(x):
        r = getattr(np.fft, name)(x)
        return (r.real * w[..., :r.shape[-1]] + r.imag * 2).sum()
    t = torch.tensor(REAL, requires_grad=True)
    r = getattr(torch.fft, name)(t)
    (r.real * torch.tensor(w)[..., :r.shape[-1]] + r.imag * 2).sum().backward()
    numeric = numerical_gradient(lambda x: np.asarray(loss(x)), REAL.copy(), np.array(1.0))
    np.testing.assert_allclose(t.grad.numpy(), numeric, atol=1e-6)


def test_a_real_signal_survives_the_round_trip_with_gradients_of_one():
    t = torch.tensor(REAL, requires_grad=True)
    r = torch.fft.irfft(torch.fft.rfft(t), REAL.shape[-1])
    np.testing.assert_allclose(r.detach().numpy(), REAL, atol=1e-12)
    r.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), np.ones_like(REAL), atol=1e-12)


def test_frequencies_and_shifts():
    np.testing.assert_allclose(torch.fft.fftfreq(5, 0.1, dtype=torch.float64).numpy(), np.fft.fftfreq(5, 0.1))
    np.testing.assert_allclose(torch.fft.rfftfreq(6, dtype=torch.float64).numpy(), np.fft.rfftfreq(6))
    np.testing.assert_array_equal(torch.fft.fftshift(torch.tensor(REAL)).numpy(), np.fft.fftshift(REAL))
    np.testing.assert_array_equal(torch.fft.ifftshift(torch.tensor(REAL), 1).numpy(), np.fft.ifftshift(REAL, 1))


@pytest.mark.parametrize("make, text", [
    (lambda: torch.fft.fft(torch.ones(4), 0), r"Invalid number of data points \(0\)"),
    (lambda: torch.fft.rfft(torch.tensor(COMPLEX)), "expects a real input tensor"),
    (lambda: torch.fft.fftn(torch.ones(2, 2), dim=(0, 0)), "must be unique"),
    (lambda: torch.fft.fft(torch.ones(4), norm="x"), "Invalid normalization mode")])
def test_errors(make, text):
    with pytest.raises(RuntimeError, match=text):
        make()
