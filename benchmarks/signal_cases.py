"""More entries of ``benchmarks/kernels.py``: Fourier transforms and distances of all pairs of points."""

import math

from kernel_cases import K, case


def _spectrum(name, shape, f, points, complex_=False, backward=False):
    """f(E, x) of an array of which transforms of so many real (or complex) points are taken along all of it."""
    n = math.prod(shape)
    # 5 n log2 n operations for complex numbers, half of them for real ones, a direction.
    flops = 5 * n * math.log2(points) / (1 if complex_ else 2) * (1 + backward)

    @case("spectrum", name, flops, tol=1e-3)
    def make(E):
        x = E.T.complex(E.normal(*shape), E.normal(*shape)) if complex_ else E.normal(*shape)
        real = E.T.view_as_real
        if not backward:
            return lambda: _numbers(real, f(E, x))
        x.requires_grad_()
        weights = E.T.ones_like(f(E, x)).detach()
        return lambda: _numbers(real, E.T.autograd.grad(f(E, x), x, weights)[0])


def _numbers(real, y):
    return real(y) if y.is_complex() else y


_spectrum("fft 64x1024", (64, K), lambda E, x: E.T.fft.fft(x), K, True)
_spectrum("fft 16x16384", (16, 16 * K), lambda E, x: E.T.fft.fft(x), 16 * K, True)
_spectrum("fft of dim 0, 512x512", (512, 512), lambda E, x: E.T.fft.fft(x, dim=0), 512, True)
_spectrum("rfft 64x400", (64, 400), lambda E, x: E.T.fft.rfft(x), 400)
_spectrum("rfft 16x16384", (16, 16 * K), lambda E, x: E.T.fft.rfft(x), 16 * K)
_spectrum("rfft 8x44100", (8, 44100), lambda E, x: E.T.fft.rfft(x), 44100)
_spectrum("irfft 16x16384", (16, 8 * K + 1), lambda E, x: E.T.fft.irfft(x), 16 * K, True)
_spectrum("rfft2 32x64x64 fwd+bwd", (32, 64, 64), lambda E, x: E.T.fft.rfft2(x), 64 * 64, backward=True)
_spectrum("fft2 512x512", (512, 512), lambda E, x: E.T.fft.fft2(x), 512 * 512, True)
_spectrum("fft 8x16381 (a prime)", (8, 16381), lambda E, x: E.T.fft.fft(x), 16381, True)


@case("spectrum", "stft 8x160000, 400 by 160", 8 * 1001 * 2.5 * 400 * math.log2(400), tol=1e-3)
def _(E):
    x, window = E.normal(8, 160000), E.T.hann_window(400)
    return lambda: E.T.view_as_real(E.T.stft(x, 400, 160, window=window, return_complex=True))


def _distance(name, rows, columns, depth, p, backward=False):
    @case("distance", name, 3 * rows * columns * depth * (1 + 2 * backward), tol=1e-3)
    def make(E):
        x, y = E.normal(rows, depth), E.normal(columns, depth)
        if not backward:
            return lambda: E.T.cdist(x, y, p)
        x.requires_grad_(), y.requires_grad_()
        weights = E.T.ones(rows, columns)
        return lambda: E.T.autograd.grad(E.T.cdist(x, y, p), (x, y), weights)


_distance("cdist 1024x1024x64", K, K, 64, 2.0)
_distance("cdist 1024x1024x3", K, K, 3, 2.0)
_distance("cdist p=1 512x512x64", 512, 512, 64, 1.0)
_distance("cdist 512x512x64 fwd+bwd", 512, 512, 64, 2.0, True)
_distance("cdist p=1 256x256x64 fwd+bwd", 256, 256, 64, 1.0, True)


@case("distance", "pdist 512x64", 3 * 512 * 256 * 64, tol=1e-3)
def _(E):
    x = E.normal(512, 64)
    return lambda: E.T.nn.functional.pdist(x)
