"""Pooling against windows taken one by one, NaN and ties included."""

import itertools

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional


def spans(n, k, stride, padding, dilation, out):
    """The input numbers inside each window of one dimension."""
    return [[i for i in range(o * stride - padding, o * stride - padding + k * dilation, dilation) if 0 <= i < n]
            for o in range(out)]


def maxima(x, windows):
    """(values, flat positions): of a window's last NaN, else of its first largest value."""
    lead, sizes = x.shape[:2], x.shape[2:]
    y = np.empty(lead + tuple(map(len, windows)), x.dtype)
    index = np.empty(y.shape, np.int64)
    flat = x.reshape(*lead, -1)
    for cell in np.ndindex(*y.shape[2:]):
        places = [np.ravel_multi_index(p, sizes) for p in itertools.product(*(w[i] for w, i in zip(windows, cell)))]
        v = flat[:, :, places]
        nan = np.isnan(v)
        k = np.where(nan.any(-1), len(places) - 1 - nan[..., ::-1].argmax(-1), v.argmax(-1))
        y[(..., *cell)] = np.take_along_axis(v, k[..., None], -1)[..., 0]
        index[(..., *cell)] = np.asarray(places)[k]
    return y, index


def sample(shape, dtype):
    """Numbers with ties, NaN and infinities."""
    rng = np.random.default_rng(0)
    x = np.round(rng.standard_normal(shape) * 3) / 2
    x.reshape(-1)[::23] = np.nan
    x.reshape(-1)[::7] = -np.inf
    return torch.tensor(x, dtype=getattr(torch, dtype)), x


def check_maxima(got, want):
    values = np.asarray(got[0].double().tolist())
    np.testing.assert_array_equal(values, want[0])
    np.testing.assert_array_equal(np.asarray(got[1].tolist()), want[1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("k, stride, padding, dilation", [
    (2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 2), (3, 3, 0, 1), (5, 4, 2, 1), (2, 3, 1, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 37), (2, 3, 11, 18), (1, 2, 7, 8, 17)])
def test_max(shape, k, stride, padding, dilation, dtype):
    x, values = sample(shape, dtype)
    n = len(shape) - 2
    got = getattr(F, f"max_pool{n}d")(x, k, stride, padding, dilation, return_indices=True)
    windows = [spans(s, k, stride, padding, dilation, o) for s, o in zip(shape[2:], got[0].shape[2:])]
    want = maxima(values, windows)
    check_maxima(got, want)
    if n == 2:
        last = F.max_pool2d(x.contiguous(memory_format=torch.channels_last), k, stride, padding, dilation,
                            return_indices=True)
        assert last[0].is_contiguous(memory_format=torch.channels_last)
        check_maxima(last, want)
    if n == 1:
        # Where nothing is recorded positions are not made.
        np.testing.assert_array_equal(np.asarray(F.max_pool1d(x, k, stride, padding, dilation).double().tolist()),
                                      want[0])


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_max_of_long_rows(stride):
    x, values = sample((2, 2, 150), "float32")
    windows = [spans(150, 7, stride, 3, 1, 150 if stride == 1 else (150 + 6 - 7) // stride + 1)]
    want = maxima(values, windows)
    check_maxima(F.max_pool1d(x, 7, stride, 3, return_indices=True), want)
    y = F.max_pool1d(x, 7, stride, 3)
    np.testing.assert_array_equal(np.asarray(y.tolist()), want[0])
    leaf = x.clone().requires_grad_()
    F.max_pool1d(leaf, 7, stride, 3).sum().backward()
    grad = np.zeros(values.shape)
    for place in np.ndindex(*want[1].shape):
        grad[place[0], place[1], want[1][place]] += 1
    np.testing.assert_array_equal(np.asarray(leaf.grad.tolist()), grad)


@pytest.mark.parametrize("shape", [(2, 70, 9, 11), (1, 5, 4, 6, 6)])
def test_gradient_of_channels_last_maxima(shape):
    n = len(shape) - 2
    format = torch.channels_last if n == 2 else torch.channels_last_3d
    found = []
    for last in (False, True):
        x = sample(shape, "float32")[0].detach().contiguous(memory_format=format if last else torch.contiguous_format)
        x.requires_grad_()
        y = getattr(F, f"max_pool{n}d")(x, 3, 2, 1)
        (y * y).sum().backward()
        found.append(x.grad)
    assert found[1].is_contiguous(memory_format=format)
    assert torch.equal(*[g.nan_to_num(99.0) for g in found])


def parts(sizes, out):
    """The input numbers inside each window of each dimension that is divided into `out` parts."""
    return [[list(range(i * n // o, -(-(i + 1) * n // o))) for i in range(o)] for n, o in zip(sizes, out)]


@pytest.mark.parametrize("size", [(4, 5), (1, 3), (11, 18), (13, 7)])
def test_adaptive_max(size):
    x, values = sample((2, 3, 11, 18), "float32")
    windows = parts(values.shape[2:], size)
    check_maxima(F.adaptive_max_pool2d(x, size, return_indices=True), maxima(values, windows))


def test_fractional_max_takes_its_windows_from_the_samples():
    values = np.random.default_rng(1).standard_normal((2, 2, 10, 13))
    u = np.random.default_rng(2).random((2, 2, 2))
    y, index = F.fractional_max_pool2d(torch.tensor(values), (3, 2), output_size=(4, 5), return_indices=True,
                                       _random_samples=torch.tensor(u))

    def starts(n, k, out, u):
        alpha = (n - k) / (out - 1)
        return [int((i + u) * alpha) - int(u * alpha) for i in range(out - 1)] + [n - k]
    for b, c in np.ndindex(2, 2):
        rows = [range(s, s + 3) for s in starts(10, 3, 4, u[b, c, 1])]
        columns = [range(s, s + 2) for s in starts(13, 2, 5, u[b, c, 0])]
        want = maxima(values[b:b + 1, c:c + 1], [rows, columns])
        np.testing.assert_array_equal(np.asarray(y[b, c].tolist()), want[0][0, 0])
        np.testing.assert_array_equal(np.asarray(index[b, c].tolist()), want[1][0, 0])


def means(x, windows, counts):
    y = np.empty(x.shape[:2] + tuple(map(len, windows)))
    for cell in np.ndindex(*y.shape[2:]):
        v = x[np.ix_(*map(range, x.shape[:2]), *(w[i] for w, i in zip(windows, cell)))]
        y[(..., *cell)] = v.sum(tuple(range(2, x.ndim))) / np.prod([c[i] for c, i in zip(counts, cell)])
    return y


@pytest.mark.parametrize("shape", [(2, 3, 37), (2, 3, 11, 18), (1, 2, 7, 8, 17)])
@pytest.mark.parametrize("k, stride, padding", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)])
@pytest.mark.parametrize("include", [True, False])
def test_average(shape, k, stride, padding, include):
    n = len(shape) - 2
    values = np.random.default_rng(3).standard_normal(shape)
    x = torch.tensor(values, requires_grad=True)
    y = getattr(F, f"avg_pool{n}d")(x, k, stride, padding, count_include_pad=include)
    windows = [spans(s, k, stride, padding, 1, o) for s, o in zip(shape[2:], y.shape[2:])]
    counts = [[k if include else len(w) for w in ws] for ws in windows]
    np.testing.assert_allclose(np.asarray(y.tolist()), means(values, windows, counts), rtol=1e-13, atol=1e-13)
    # The gradient is the adjoint: <g, A x> = <A' g, x>.
    g = torch.tensor(np.random.default_rng(4).standard_normal(y.shape))
    y.backward(g)
    assert abs(float((g * y).sum() - (x.grad * x).sum())) < 1e-10


@pytest.mark.parametrize("size", [(4, 5), (1, 3), (11, 18), (13, 7)])
def test_adaptive_average(size):
    values = np.random.default_rng(5).standard_normal((2, 3, 11, 18))
    windows = parts(values.shape[2:], size)
    y = F.adaptive_avg_pool2d(torch.tensor(values), size)
    want = means(values, windows, [[len(w) for w in ws] for ws in windows])
    np.testing.assert_allclose(np.asarray(y.tolist()), want, rtol=1e-13, atol=1e-13)


def test_the_mean_of_equal_numbers_is_that_number():
    for k in range(1, 8):
        x = torch.full((1, 1, 28, 28), 0.1)
        assert (F.avg_pool2d(x, k, 1) - 0.1).abs().max() <= 2 ** -26


@pytest.mark.parametrize("fn", [
    lambda x: F.avg_pool2d(x, 3, 2, 1), lambda x: F.max_pool2d(x, 3, 3), lambda x: F.adaptive_max_pool2d(x, 5),
    lambda x: F.max_pool2d(x.contiguous(memory_format=torch.channels_last), 3, 2)])
def test_threads_do_not_change_bits(fn):
    values, before, found = np.random.default_rng(6).standard_normal((3, 16, 33, 40)), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
            y = fn(x)
            (y * y).sum().backward()
            found.append((y, x.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found))
