"""Short-time Fourier transforms: windows of a signal, one after another, each taken to its frequencies.

``stft[f, t] = sum_k window[k] * x[t * hop + k] * exp(-2 pi i f k / n_fft)`` (Allen and Rabiner, "A unified approach to
short-time Fourier analysis and synthesis", 1977; the inverse adds overlapping frames and divides by the windows'
energy: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984).
"""

import numpy as np

from ..autograd.modes import state
from ..dtypes import float32, float64, scalar_name
from ..runtime.allocator import empty
from ..tensor import watch
from .dispatch import primitive
from .fft import _factor, _r2c_gradient
from .fourier import _dense, by_rows, half_spectrum, way
from .reduce_common import compiled
from .registry import function, public

# ---------------------------------------------------------------- frames


@primitive("_windowed_spectra(Tensor self, Tensor window, int hop, int normalization, bool onesided) -> Tensor",
           vjp={"self": lambda g, window, self_shape, hop, normalization, onesided:
                _overlapped(_frames_gradient(g, window, normalization, onesided), window, self_shape[-1], hop),
                "window": lambda g, self, window, hop, normalization, onesided:
                (self.unfold(-1, window._a.size, hop)
                 * _frames_gradient(g, window, normalization, onesided)).flatten(0, -2).sum(0)})
def _windowed_spectra(a, window, hop, normalization, onesided):
    """The spectra (..., T, N) of the frames of real signals (..., L), each times the window."""
    n, a = window.size, _dense(a)
    frames = (a.shape[-1] - n) // hop + 1
    shape = (*a.shape[:-1], frames, n)
    kind, scale = "half" if onesided else "full", _factor(n, normalization)
    if compiled() and n % 2 == 0 and a.size and way(n // 2, a.dtype, False) == "rows":
        out = empty((*shape[:-1], n // 2 + 1 if onesided else n), np.result_type(a.dtype, np.complex64))
        signals = a.size // a.shape[-1]
        by_rows(out, a, kind, n // 2, scale, _dense(window), signals * frames, frames, hop * a.itemsize,
                a.shape[-1] * a.itemsize)
        return out
    parts = np.lib.stride_tricks.as_strided(a, shape, (*a.strides[:-1], hop * a.itemsize, a.itemsize))
    return half_spectrum(parts * window, (len(shape) - 1,), scale, kind)


def _frames_gradient(g, window, normalization, onesided):
    return _r2c_gradient(g, window._a.size, (g._a.ndim - 1,), normalization, onesided)


@primitive("_overlapped(Tensor frames, Tensor window, int total, int hop) -> Tensor",
           vjp={"frames": lambda g, frames_shape, window, total, hop: _seen(g, frames_shape, hop) * window,
                "window": lambda g, frames, total, hop:
                (_seen(g, frames._a.shape, hop) * frames).flatten(0, -2).sum(0)})
def _overlapped(frames, window, total, hop):
    """Frames (..., T, n) times a window, added `hop` apart: (..., total)."""
    *lead, count, n = frames.shape
    out = empty((*lead, total), frames.dtype)
    frames = frames.reshape(-1, count, n)
    if compiled() and frames.dtype.kind == "f":
        from ..compiler.templates.fft_frames import overlap_kernel
        if frames.strides[2] != frames.itemsize:
            frames = _dense(frames)
        element, size = {4: "float", 8: "double"}[frames.itemsize], frames.itemsize
        watch.launch(overlap_kernel(element), out, frames, _dense(window), frames.shape[0], total, count, n, hop,
                     frames.strides[0] // size, frames.strides[1] // size)
        return out
    whole = np.zeros((frames.shape[0], max(total, (count - 1) * hop + n)), frames.dtype)
    for t in range(count):
        whole[:, t * hop:t * hop + n] += frames[:, t] * window
    out[...] = whole[:, :total].reshape(out.shape)
    return out


def _seen(x, shape, hop):
    """The frames (of a shape) of x, zero where there is none."""
    *_, count, n = shape
    missing = (count - 1) * hop + n - x._a.shape[-1]
    if missing > 0:
        x = function("pad", "torch.nn.functional")(x, (0, missing))
    return x.unfold(-1, n, hop).narrow(-2, 0, count)


# ---------------------------------------------------------------- transforms


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
    shape = _full_window(window, n_fft, win, x)
    if x.dtype in (float32, float64) and (shape is None or shape.dtype is x.dtype) and not state.levels:
        if shape is None:
            shape = x.new_ones(n_fft)
        y = _windowed_spectra(x, shape, hop, int(bool(normalized)), bool(onesided)).transpose(-2, -1)
        return y if return_complex else function("view_as_real")(y)
    frames = x.unfold(-1, n_fft, hop)
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
    if frames.dtype in (float32, float64) and shape.dtype is frames.dtype and not state.levels:
        y = _overlapped(frames, shape, total, hop)
        energy = _overlapped(shape.expand(1, count, n_fft), shape, total, hop)
    else:
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
