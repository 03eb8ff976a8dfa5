"""Convolution, max pooling and batch normalization by the kernels that work image by image or channel by channel."""

import numpy as np
import pytest

import rushlight as rl

F = rl.nn.functional

# n, c, o, h, w, kernel, stride, padding, dilation: rows packed into vectors, of one vector, of many, strided;
# images cut into blocks of rows, groups of images with a remainder.
CASES = [
    (9, 3, 5, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1)),
    (7, 4, 3, 5, 4, (3, 3), (1, 1), (1, 1), (1, 1)),
    (4, 2, 3, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1)),
    (5, 2, 3, 9, 7, (3, 2), (1, 1), (0, 0), (1, 1)),
    (4, 3, 2, 11, 21, (3, 3), (2, 2), (1, 1), (1, 1)),
    (4, 3, 2, 11, 37, (3, 5), (2, 1), (2, 3), (2, 1)),
    (5, 2, 2, 6, 6, (1, 3), (1, 1), (2, 4), (1, 2)),
    (2, 40, 3, 64, 32, (3, 3), (1, 1), (1, 1), (1, 1)),
]


def _reference(x, w, b, stride, padding, dilation):
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *((p, p) for p in padding)))
    kh, kw = w.shape[2:]
    oh, ow = ((s - d * (k - 1) - 1) // t + 1 for s, d, k, t in zip(x.shape[2:], dilation, w.shape[2:], stride))
    y = np.zeros((x.shape[0], w.shape[0], oh, ow)) + b[:, None, None]
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation[0], j * dilation[1]
            part = x[:, :, top:top + (oh - 1) * stride[0] + 1:stride[0], left:left + (ow - 1) * stride[1] + 1:stride[1]]
            y += np.einsum("nchw,oc->nohw", part, w[:, :, i, j].astype(np.float64))
    return y


def _operands(case, dtype):
    n, c, o, h, w, kernel = case[:6]
    r = np.random.default_rng(n * c + h)
    return (r.standard_normal((n, c, h, w)).astype(dtype), r.standard_normal((o, c, *kernel)).astype(dtype),
            r.standard_normal(o).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_convolution_is_its_definition(case, dtype):
    x, w, b = _operands(case, dtype)
    y = F.conv2d(rl.tensor(x), rl.tensor(w), rl.tensor(b), *case[6:]).numpy()
    expected = _reference(x, w, b, *case[6:])
    assert y.dtype == dtype and y.shape == expected.shape
    assert np.abs(y - expected).max() <= {"float32": 2e-6, "float64": 4e-15}[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_adjoints(case):
    # <g, conv(x, w)> is linear in x and in w: its gradients must give it back.
    x, w, b = _operands(case, "float64")
    tx, tw, tb = (rl.tensor(a, requires_grad=True) for a in (x, w, b))
    y = F.conv2d(tx, tw, tb, *case[6:])
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(rl.tensor(g))
    linear = (g * (y.detach().numpy() - b[:, None, None])).sum()
    assert np.isclose((tx.grad.numpy() * x).sum(), linear, rtol=1e-10)
    assert np.isclose((tw.grad.numpy() * w).sum(), linear, rtol=1e-10)
    direction = np.random.default_rng(2).standard_normal(x.shape)
    moved = _reference(direction, w, 0 * b, *case[6:])
    assert np.isclose((tx.grad.numpy() * direction).sum(), (g * moved).sum(), rtol=1e-9)
    direction = np.random.default_rng(3).standard_normal(w.shape)
    moved = _reference(x, direction, 0 * b, *case[6:])
    assert np.isclose((tw.grad.numpy() * direction).sum(), (g * moved).sum(), rtol=1e-9)


@pytest.fixture
def threads():
    before = rl.get_num_threads()
    yield rl.set_num_threads
    rl.set_num_threads(before)


def test_bits_do_not_depend_on_threads(threads):
    r = np.random.default_rng(0)
    x, w, b = (r.standard_normal(s).astype(np.float32) for s in ((33, 8, 8, 8), (16, 8, 3, 3), (16,)))
    results = []
    for n in (1, 2):
        threads(n)
        tx, tw, tb = (rl.tensor(a, requires_grad=True) for a in (x, w, b))
        y = F.batch_norm(F.conv2d(tx, tw, tb, padding=1), None, None, training=True)
        F.max_pool2d(y, 2).square().sum().backward()
        results.append([y.detach().numpy(), tx.grad.numpy(), tw.grad.numpy(), tb.grad.numpy()])
    for one, two in zip(*results):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("kernel,stride,padding,dilation", [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 2), (4, 2, 2, 1)])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 2, 13, 23), (3, 1, 9, 40)])
def test_maxima_of_windows(kernel, stride, padding, dilation, shape):
    x = np.random.default_rng(0).integers(-4, 4, shape).astype(np.float32)
    x.reshape(-1)[::17] = -np.inf
    y, index = F.max_pool2d(rl.tensor(x), kernel, stride, padding, dilation, return_indices=True)
    for n, c, p, q in np.ndindex(*y.shape):
        best = None
        for i in range(kernel):
            for j in range(kernel):
                row, column = p * stride - padding + i * dilation, q * stride - padding + j * dilation
                if 0 <= row < shape[2] and 0 <= column < shape[3]:
                    value = x[n, c, row, column]
                    if best is None or value > best[0]:
                        best = value, row * shape[3] + column
        assert (y[n, c, p, q].item(), index[n, c, p, q].item()) == best


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(6, 5, 3, 7), (4, 3, 33), (2, 4, 2, 3, 4)])
def test_batch_norm_of_channels(shape, affine):
    r = np.random.default_rng(0)
    x, c = r.standard_normal(shape) * 3 + 50, shape[1]
    axes, wide = (0, *range(2, len(shape))), (1, c) + (1,) * (len(shape) - 2)
    w, b = r.standard_normal(c), r.standard_normal(c)
    mean, var = rl.zeros(c, dtype=rl.float64), rl.ones(c, dtype=rl.float64)
    y = F.batch_norm(rl.tensor(x), mean, var, *((rl.tensor(w), rl.tensor(b)) if affine else (None, None)),
                     training=True, momentum=0.25)
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    if affine:
        expected = expected * w.reshape(wide) + b.reshape(wide)
    assert np.allclose(y.numpy(), expected, rtol=1e-11, atol=1e-11)
    assert np.allclose(mean.numpy(), 0.25 * x.mean(axes))
    assert np.allclose(var.numpy(), 0.75 + 0.25 * x.var(axes, ddof=1))
