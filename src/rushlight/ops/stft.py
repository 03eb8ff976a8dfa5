"""Short-time Fourier transforms: windows of a signal, one after another, each taken to its frequencies.

``stft[f, t] = sum_k window[k] * x[t * hop + k] * exp(-2 pi i f k / n_fft)`` (Allen and Rabiner, "A unified approach to
short-time Fourier analysis and synthesis", 1977; the inverse adds overlapping frames and divides by the windows'
energy: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984).
"""

from ..dtypes import scalar_name
from .registry import function, public


def _described(name, x, n_fft, hop, win, window, **more):
    shape = f"{scalar_name(x.dtype)}Tensor{list(x.shape)}"
    window = "None" if window is None else f"{scalar_name(window.dtype)}Tensor{{{list(window.shape)}}}"
    rest = "".join(f", {k}={int(v) if type(v) is bool else v}" for k, v in more.items())
    return f"{name}({shape}, n_fft={n_fft}, hop_length={hop}, win_length={win}, window={window}{rest})"


def _full_window(window, n_fft, win, like):
    """The window in the middle of `n_fft` places (zeros around it), or None where it is all ones."""
    if window is None:
        if win == n_fft:
            return None
        window = function("ones")(win, dtype=like.dtype)
    left = (n_fft - win) // 2
    if win < n_fft:
        window = function("pad", "torch.nn.functional")(window, (left, n_fft - win - left))
    return window


@public(method=True)
def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect",
         normalized=False, onesided=None, return_complex=None, align_to_window=None):
    """Fourier transforms of overlapping windows of a signal.

    input: (L) or (B, L), real or complex. Returns complex (B?, N, T): N = n_fft // 2 + 1 frequencies for real input and
    window (n_fft with ``onesided=False``), T frames every `hop_length` (default ``n_fft // 4``) samples. `center` pads
    the signal by ``n_fft // 2`` on both sides in `pad_mode`, so that frame t is centred at ``t * hop_length``;
    `align_to_window` pads by what the window is shorter than the transform. `normalized` scales by ``n_fft ** -0.5``.
    ``return_complex=False`` gives real numbers (..., 2). RuntimeError: sizes that don't fit, one-sided complex input.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    complex_in = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not complex_in:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further "
                               "require that return_complex=True in a future PyTorch release.")
        return_complex = True
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    pad = function("pad", "torch.nn.functional")
    x = input
    if center and x.dim() in (1, 2):
        half = n_fft // 2
        batch = x if x.dim() == 2 else x[None]
        x = pad(batch[None], (half, half), mode=pad_mode)[0]
        if input.dim() == 1:
            x = x[0]
    where = _described("stft", x, n_fft, hop, win, window, normalized=normalized, onesided=onesided,
                       return_complex=return_complex, align_to_window=align_to_window)
    if not (x.is_floating_point() or x.is_complex()):
        raise RuntimeError(f"{where} : expected a tensor of floating point or complex values")
    if x.dim() not in (1, 2):
        raise RuntimeError(f"{where} : expected a 1D or 2D tensor")
    if align_to_window:
        left = (n_fft - win) // 2
        x = pad(x, (left, n_fft - win - left))
    length = x.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"{where} : expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{where} : expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{where} : expected 0 < win_length <= n_fft, but got win_length={win}")
    if window is not None and tuple(window.shape) != (win,):
        raise RuntimeError(f"{where} : expected a 1D window tensor of size equal to win_length={win}, but got window "
                           f"with size {list(window.shape)}")
    if onesided is None:
        onesided = not complex_in
    elif onesided and complex_in:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = x.unfold(-1, n_fft, hop)
    shape = _full_window(window, n_fft, win, x)
    if shape is not None:
        frames = frames * shape
    transform = function("fft" if frames.is_complex() or not onesided else "rfft", "torch.fft")
    y = transform(frames, dim=-1, norm="ortho" if normalized else None).transpose(-2, -1)
    return y if return_complex else function("view_as_real")(y)


@public(method=True)
def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
          length=None, return_complex=False):
    """The signal whose `stft` is `input`, in the sense of least squares.

    input: complex (B?, N, T). Frames are transformed back, windowed, added where they overlap and divided by the sum of
    the squared windows, which may be zero nowhere (RuntimeError). `length` cuts or extends the result (L) or (B, L).
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    if not input.is_complex():
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with "
                           "return_complex=True.")
    where = _described("istft", input, n_fft, hop, win, window, center=center, normalized=normalized, onesided=onesided,
                       length=length, return_complex=return_complex)
    if not input.numel():
        raise RuntimeError(f"{where} : input tensor cannot be empty.")
    if input.dim() not in (2, 3):
        raise RuntimeError(f"{where} : expected a tensor with 2 or 3 dimensions, but got {input.dim()}")
    x = input if input.dim() == 3 else input[None]
    window_complex = window is not None and window.is_complex()
    if onesided is None:
        onesided = x.shape[-2] != n_fft
    if onesided and (return_complex or window_complex):
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    expected = n_fft // 2 + 1 if onesided else n_fft
    if x.shape[-2] != expected:
        raise RuntimeError(f"{where} : expected the frequency dimension (3rd to the last) of the input tensor to match "
                           f"n_fft{' / 2 + 1' if onesided else ''} when onesided={onesided}, but got {x.shape[-2]}")
    if not 0 < hop <= win:
        raise RuntimeError(f"{where} : expected 0 < hop_length <= win_length")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{where} : expected 0 < win_length <= n_fft")
    if window is not None and tuple(window.shape) != (win,):
        raise RuntimeError(f"{where} : Invalid window shape. window has to be 1D and length of `win_length`")
    norm = "ortho" if normalized else None
    if return_complex:
        frames = function("ifft", "torch.fft")(x.transpose(1, 2), n_fft, -1, norm)
    else:
        if window_complex:
            raise RuntimeError("Complex windows are incompatible with return_complex=False")
        frames = function("irfft", "torch.fft")(x[:, :n_fft // 2 + 1].transpose(1, 2), n_fft, -1, norm)
    shape = _full_window(window, n_fft, win, frames.real if frames.is_complex() else frames)
    if shape is None:
        shape = function("ones")(n_fft, dtype=frames.real.dtype if frames.is_complex() else frames.dtype)
    count, total = x.shape[-1], n_fft + hop * (x.shape[-1] - 1)
    y = _overlap_add(frames * shape, total, hop)
    energy = _overlap_add((shape * shape).expand(1, count, n_fft), total, hop)
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else total - (n_fft // 2 if center else 0)
    y, energy = y[:, start:stop], energy[:, start:stop]
    if energy.numel() and float(energy.detach().abs().min()) <= 1e-11:
        raise RuntimeError(f"{where} window overlap add min: {float(energy.detach().abs().min())}")
    y = y / energy
    if length is not None and stop > total:
        import warnings
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in "
                      "the tail. Please check your center, hop_length, etc. parameters.", stacklevel=2)
        y = function("pad", "torch.nn.functional")(y, (0, stop - total))
    return y if input.dim() == 3 else y[0]


def _overlap_add(frames, total, hop):
    """(B, T, n) frames added at every `hop`-th place: (B, total)."""
    b, count, n = frames.shape
    at = (function("arange")(count)[:, None] * hop + function("arange")(n)).reshape(-1)
    return frames.new_zeros((b, total)).index_add(1, at, frames.reshape(b, count * n))
