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


@pytest.mark.parametrize("n, hop, onesided", [(16, 4, True), (9, 4, True), (16, 5, False), (6, 8, True),
                                              (200, 64, True)])
def test_gradients_of_signal_and_window(n, hop, onesided):
    x = torch.randn(2, 20 if n < 100 else 300, dtype=torch.float64, requires_grad=True)
    w = torch.rand(n, dtype=torch.float64, requires_grad=True)

    def spectra(x, w):
        return torch.stft(x, n, hop, window=w, center=False, onesided=onesided, return_complex=True)
    if n < 100:
        assert torch.autograd.gradcheck(spectra, (x, w))
        assert torch.autograd.gradgradcheck(spectra, (x, w))
    weights = torch.randn_like(spectra(x, w))
    got = torch.autograd.grad((spectra(x, w) * weights).real.sum(), (x, w))
    # The same of the frames written out.
    frames = x.unfold(-1, n, hop) * w
    y = (torch.fft.rfft if onesided else torch.fft.fft)(frames).transpose(1, 2)
    for a, b in zip(got, torch.autograd.grad((y * weights).real.sum(), (x, w))):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-10)


@pytest.mark.parametrize("n, hop, extra", [(8, 2, 0), (8, 3, 0), (9, 9, 0), (64, 16, 5), (70, 33, -20)])
def test_overlapping_frames_are_added_in_their_window(n, hop, extra):
    from rushlight.ops.stft import _overlapped
    frames = torch.randn(2, 5, n, dtype=torch.float64, requires_grad=True)
    w = torch.rand(n, dtype=torch.float64, requires_grad=True)
    total = 4 * hop + n + extra
    want = np.zeros((2, total + n))
    for t in range(5):
        part = want[:, t * hop:t * hop + n]
        part += (frames * w).detach().numpy()[:, t, :part.shape[1]]
    want[:, total:] = 0
    np.testing.assert_allclose(_overlapped(frames, w, total, hop).detach().numpy(), want[:, :total], atol=1e-14)
    if n < 20:
        assert torch.autograd.gradcheck(lambda f, w: _overlapped(f, w, total, hop), (frames, w))


def test_single_precision_frames_are_read_where_they_lie():
    x = np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32)
    w = np.hanning(512).astype(np.float32)
    y = torch.stft(torch.from_numpy(x), 512, 100, window=torch.from_numpy(w), center=False, return_complex=True)
    want = np.stack([np.fft.rfft(frames_of(row.astype(float), 512, 100) * w).T for row in x])
    np.testing.assert_allclose(y.numpy(), want, atol=2e-5)
