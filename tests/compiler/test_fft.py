"""Kernels of Fourier transforms against NumPy's in float64: lengths, layouts, kinds, threads."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import available
from rushlight.ops import fourier
from rushlight.runtime import threadpool

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

# Stages of one, two and three short transforms; two passes with and without rests of vectors; chirps; one point.
LENGTHS = [1, 2, 5, 13, 17, 30, 64, 77, 97, 100, 256, 270, 1000, 1009, 1022, 2048]


def drawn(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def wide(x):
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def check(got, want, single, points):
    assert got.dtype.itemsize == want.dtype.itemsize // (1 + single)
    error = np.sqrt(np.mean(np.abs(got - want) ** 2) / np.mean(np.abs(want) ** 2))
    # Errors of the method grow with the logarithm of the length, those of chirps are of three transforms.
    assert error < (2e-7 if single else 4e-16) * (1 + np.log2(points) / 4)


def check_adjoints(x, y, axis):
    """<F x, y> = <x, F* y> for both transforms between real and complex numbers."""
    def product(a, b):
        return np.vdot(a.astype(np.complex128), b.astype(np.complex128)).real
    n, tolerance = x.shape[axis], 100 * np.finfo(x.dtype).eps * np.sqrt(x.shape[axis]) * x.size
    forward, back = fourier.half_spectrum(x, (axis,), 3.0), fourier.real_signal(y, (axis,), n, 3.0, "adjoint")
    assert abs(product(forward, y) - product(x, back)) < tolerance
    forward, back = fourier.real_signal(y, (axis,), n, 3.0), fourier.half_spectrum(x, (axis,), 3.0, "doubled")
    assert abs(product(forward, x) - product(y, back)) < tolerance


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("shape, axis", [((3, -1), 1), ((19, -1), 1), ((2, -1, 19), 1), ((-1, 3), 0)])
def test_lengths_and_layouts(n, shape, axis, single):
    shape = tuple(n if k < 0 else k for k in shape)
    real, pair = (np.float32, np.complex64) if single else (np.float64, np.complex128)
    z, x = drawn(shape, pair), drawn(shape, real)
    check(fourier.complex_transform(z, (axis,), True), np.fft.fft(wide(z), axis=axis), single, n)
    check(fourier.complex_transform(z, (axis,), False, 1 / n), np.fft.ifft(wide(z), axis=axis), single, n)
    check(fourier.half_spectrum(x, (axis,)), np.fft.rfft(wide(x), axis=axis), single, n)
    check(fourier.half_spectrum(x, (axis,), 0.5, "full"), np.fft.fft(wide(x), axis=axis) / 2, single, n)
    y = drawn(tuple(n // 2 + 1 if k == axis else m for k, m in enumerate(shape)), pair, 1)
    check(fourier.real_signal(y, (axis,), n, 1 / n), np.fft.irfft(wide(y), n, axis), single, n)
    check_adjoints(x, y, axis)


@pytest.mark.parametrize("n", [6615, 16384, 44100, 3 << 15])
def test_long_rows(n):
    x = drawn((2, n), np.float32)
    spectrum = np.fft.rfft(wide(x))
    check(fourier.half_spectrum(x, (1,)), spectrum, True, n)
    check(fourier.complex_transform(spectrum.astype(np.complex64), (1,), True), np.fft.fft(spectrum), True, n)


def test_single_frequencies_are_exact_to_the_last_bits():
    n = 4096
    for k in (0, 1, 7, 1024, 3000, 4095):
        wave = np.exp(2j * np.pi * (np.arange(n) * k % n) / n)
        got = fourier.complex_transform(wave, (0,), True)
        want = np.zeros(n)
        want[k] = n
        np.testing.assert_allclose(got, want, atol=n * 1e-16 * 4)


def test_imaginary_parts_that_no_real_signal_has_do_not_count():
    y = drawn((3, 9), np.complex128)
    other = y.copy()
    other[:, [0, 8]].imag = 0
    changed = y.copy()
    changed[:, 0] += 5j
    changed[:, 8] -= 3j
    np.testing.assert_array_equal(fourier.real_signal(y, (1,), 16), fourier.real_signal(changed, (1,), 16))


def test_several_dimensions_and_strided_operands():
    x = drawn((6, 20, 34), np.float64)
    z = drawn((6, 20, 34), np.complex128)
    np.testing.assert_allclose(fourier.half_spectrum(x, (0, 2)), np.fft.rfftn(x, axes=(0, 2)), atol=1e-12)
    np.testing.assert_allclose(fourier.complex_transform(z, (0, 1, 2), True), np.fft.fftn(z), atol=1e-11)
    np.testing.assert_allclose(fourier.complex_transform(z.T, (1, 0), True), np.fft.fft2(z.T, axes=(1, 0)), atol=1e-11)
    np.testing.assert_allclose(fourier.real_signal(z, (0, 1, 2), 66), np.fft.irfftn(z, norm="forward"), atol=1e-11)
    np.testing.assert_allclose(fourier.half_spectrum(x[::2, ::-1], (1,)), np.fft.rfft(x[::2, ::-1], axis=1), atol=1e-12)
    before = z.copy()
    fourier.complex_transform(z, (2, 0), False)
    np.testing.assert_array_equal(z, before)


def test_results_do_not_depend_on_threads():
    x, z = drawn((40, 2000), np.float32), drawn((7, 64, 333), np.complex64)
    made = []
    before = threadpool.get_num_threads()
    for threads in (1, 2):
        threadpool.set_num_threads(threads)
        made.append((fourier.half_spectrum(x, (1,)), fourier.complex_transform(z, (1, 2), True)))
    threadpool.set_num_threads(before)
    for one, two in zip(*made):
        np.testing.assert_array_equal(one, two)


def test_not_a_number_stays_in_its_row():
    x = drawn((40, 100), np.float32)
    x[7, 3] = np.nan
    y = torch.fft.rfft(torch.from_numpy(x)).numpy()
    assert np.isnan(y[7]).all() and not np.isnan(np.delete(y, 7, 0)).any()
