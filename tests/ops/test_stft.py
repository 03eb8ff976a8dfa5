"""Short-time Fourier transforms against NumPy's transforms of the frames."""

import numpy as np
import pytest

import rushlight as torch


def frames_of(x, n_fft, hop):
    return np.stack([x[i:i + n_fft] for i in range(0, len(x) - n_fft + 1, hop)])


@pytest.mark.parametrize("n_fft, hop, win", [(8, 2, 8), (8, 3, 5), (16, 4, 16)])
def test_each_frame_is_a_transform_of_windowed_samples(n_fft, hop, win):
    x = np.random.default_rng(0).standard_normal(50)
    w = np.hanning(win)
    full = np.pad(w, ((n_fft - win) // 2, n_fft - win - (n_fft - win) // 2))
    y = torch.stft(torch.from_numpy(x), n_fft, hop, win, torch.from_numpy(w), center=False, return_complex=True)
    np.testing.assert_allclose(y.numpy(), np.fft.rfft(frames_of(x, n_fft, hop) * full).T, atol=1e-12)


def test_centred_frames_reflect_the_ends():
    x = np.random.default_rng(1).standard_normal(30)
    y = torch.stft(torch.from_numpy(x), 8, return_complex=True)
    np.testing.assert_allclose(y.numpy(), np.fft.rfft(frames_of(np.pad(x, 4, "reflect"), 8, 2)).T, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"normalized": True}, {"onesided": False}, {"win_length": 12}])
def test_the_inverse_brings_the_signal_back(options):
    x = torch.randn(2, 100, dtype=torch.float64)
    w = torch.hann_window(options.get("win_length", 16), dtype=torch.float64)
    y = torch.stft(x, 16, window=w, return_complex=True, **options)
    back = torch.istft(y, 16, window=w, length=100, **options)
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-12)


def test_gradients():
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)
    w = torch.hann_window(8, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: torch.stft(x, 8, window=w, return_complex=True), x)
    y = torch.stft(x.detach(), 8, window=w, return_complex=True).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: torch.istft(y, 8, window=w), y)


@pytest.mark.parametrize("call, words", [
    (lambda x: torch.stft(x, 8), "return_complex"),
    (lambda x: torch.stft(x, 30, center=False, return_complex=True), "expected 0 < n_fft"),
    (lambda x: torch.stft(x, 8, 0, return_complex=True), "hop_length > 0"),
    (lambda x: torch.stft(x, 8, win_length=9, return_complex=True), "win_length <= n_fft"),
    (lambda x: torch.stft(x, 8, window=torch.ones(4), return_complex=True), "window tensor of size"),
    (lambda x: torch.istft(x[None], 8), "complex-valued"),
    (lambda x: torch.istft(torch.stft(x, 8, return_complex=True), 8, window=torch.zeros(8)), "overlap add min"),
])
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(RuntimeError, match=words):
        call(torch.randn(20))
