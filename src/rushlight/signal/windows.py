"""``torch.signal.windows``: windows of `M` points for filters and spectra.

A window of M points is symmetric, w[n] = w[M - 1 - n], if `sym`; otherwise it is one period of a periodic window,
the symmetric one of M + 1 points less its last. A window of one point is 1. `dtype` is float32 or float64. With
`requires_grad` the operations on the sample points are recorded. Formulas: Harris, "On the use of windows for
harmonic analysis with the discrete Fourier transform" (1978), and Wikipedia, "Window function".
"""

import math

import rushlight as torch

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
           "hann", "kaiser", "nuttall"]


def _options(name, M, dtype, layout, device, requires_grad):
    """The checked arguments for factories."""
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not torch.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {str(dtype).replace('rushlight', 'torch')}")
    return {"dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}


def _intervals(M, sym):
    """The number of intervals in the whole window, of which a periodic one has one more than shown."""
    return M - 1 if sym or M < 2 else M


def bartlett(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """The triangular window, w[n] = 1 - |2n / (M - 1) - 1|."""
    options = _options("bartlett", M, dtype, layout, device, requires_grad)
    if M < 2:
        return torch.ones((M,), **options)
    step = 2 / _intervals(M, sym)
    return 1 - torch.abs(torch.linspace(-1, -1 + (M - 1) * step, M, **options))


def cosine(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Half a period of a sine, w[n] = sin(π (n + ½) / M)."""
    options = _options("cosine", M, dtype, layout, device, requires_grad)
    if M < 2:
        return torch.ones((M,), **options)
    step = math.pi / (M if sym else M + 1)
    return torch.sin(torch.linspace(0.5 * step, (0.5 + M - 1) * step, M, **options))


def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, layout=torch.strided, device=None,
                requires_grad=False):
    """w[n] = exp(-|n - center| / tau).

    `center` is (M - 1) / 2, or M / 2 for periodic windows, for which alone it may be given. ValueError for tau <= 0.
    """
    options = _options("exponential", M, dtype, layout, device, requires_grad)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if center is None:
        center = _intervals(M, sym) / 2
    return torch.exp(-torch.abs(torch.linspace(-center / tau, (M - 1 - center) / tau, M, **options)))


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """w[n] = exp(-(n - (M - 1) / 2)² / (2 std²)); ValueError for std <= 0."""
    options = _options("gaussian", M, dtype, layout, device, requires_grad)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M < 2:
        return torch.ones((M,), **options)
    start, step = -_intervals(M, sym) / 2, 1 / (std * math.sqrt(2))
    return torch.exp(-torch.linspace(start * step, (start + M - 1) * step, M, **options) ** 2)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """w[n] = I₀(beta sqrt(1 - (2n / (M - 1) - 1)²)) / I₀(beta); ValueError for beta < 0."""
    options = _options("kaiser", M, dtype, layout, device, requires_grad)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M < 2:
        return torch.ones((M,), **options)
    beta = torch.tensor(beta, dtype=options["dtype"], device=device)
    end = torch.minimum(beta, -beta + (M - 1) * (2.0 * beta / _intervals(M, sym)))     # no root of less than 0
    k = torch.linspace(float(-beta), float(end), M, **options)
    return torch.i0(torch.sqrt(beta * beta - torch.pow(k, 2))) / torch.i0(beta)


def general_cosine(M, *, a, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """w[n] = Σ_i (-1)^i a_i cos(2π i n / (M - 1)), for a list or tuple `a` of numbers."""
    options = _options("general_cosine", M, dtype, layout, device, requires_grad)
    if M < 2:
        return torch.ones((M,), **options)
    if not isinstance(a, (list, tuple)):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    step = 2 * math.pi / _intervals(M, sym)
    k = torch.linspace(0, (M - 1) * step, M, **options)
    weights = torch.tensor([(-1) ** i * w for i, w in enumerate(a)], dtype=options["dtype"], device=device)
    order = torch.arange(len(a), dtype=options["dtype"], device=device)
    return (weights.unsqueeze(-1) * torch.cos(order.unsqueeze(-1) * k)).sum(0)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """w[n] = alpha - (1 - alpha) cos(2π n / (M - 1))"""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def hamming(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """``general_hamming`` with alpha = 0.54, which nearly cancels the first sidelobe."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """``general_hamming`` with alpha = 1/2: w[n] = sin²(π n / (M - 1)), which ends at 0."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device,
                           requires_grad=requires_grad)


def blackman(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """``general_cosine`` with a = (0.42, 0.5, 0.08)."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def nuttall(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """``general_cosine`` with four terms: sidelobes 98 dB down. Source: Nuttall, "Some windows with very good sidelobe
    behavior" (1981)."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, layout=layout,
                          device=device, requires_grad=requires_grad)
