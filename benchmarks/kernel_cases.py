"""The entries of ``benchmarks/kernels.py``, written against the common API of PyTorch and Rushlight.

An entry is made by ``case(family, name, flops=, kind=, reads=, writes=, tol=)(make)``; ``make(E)`` returns a function
of no arguments that does the work once and returns its results. ``flops`` counts the arithmetic of element type
``kind``, ``reads`` and ``writes`` the bytes that must come from and go to memory at least (gradients and saved values
included once); they say how far from the machine's limit a time is, and are left out where neither says much.
"""

import math

import numpy as np

K, M = 1 << 10, 1 << 20
CASES = {}


class Case:
    def __init__(self, family, name, make, flops, kind, reads, writes, tol):
        self.family, self.name, self.make = family, name, make
        self.flops, self.kind, self.reads, self.writes, self.tol = flops, kind, reads, writes, tol


def case(family, name, flops=0, kind="f32", reads=0, writes=0, tol=1e-4):
    def add(make):
        CASES[name] = Case(family, name, make, flops, kind, reads, writes, tol)
        return make
    return add


class Env:
    """A framework and the data for it, the same for both."""

    def __init__(self, T):
        self.T, self.nn, self.F = T, T.nn, T.nn.functional
        self.count = 0

    def tensor(self, array, grad=False):
        # In memory of the framework's own, as what it computes is.
        x = self.T.from_numpy(array).clone()
        return x.requires_grad_() if grad else x

    def normal(self, *shape, scale=1.0, grad=False, dtype=None):
        """Normal numbers; beyond a million they repeat with a period that is no row's length."""
        self.count += 1
        n = math.prod(shape)
        block = np.random.default_rng(self.count).standard_normal(min(n, 1000003), dtype=np.float32)
        if scale != 1.0:
            block *= np.float32(scale)
        x = self.tensor((block if n == block.size else np.resize(block, n)).reshape(shape))
        if dtype:
            x = x.to(getattr(self.T, dtype))
        return x.requires_grad_() if grad else x

    def weight(self, *shape, grad=False):
        return self.normal(*shape, scale=1 / math.sqrt(math.prod(shape[1:])), grad=grad)

    def integers(self, low, high, *shape, dtype=np.int64):
        self.count += 1
        return self.tensor(np.random.default_rng(self.count).integers(low, high, shape, dtype=dtype))

    def backward(self, f, wrt, out_shape=None):
        """One forward and backward pass; out_shape asks for a gradient of that shape to start from."""
        g = None if out_shape is None else self.normal(*out_shape)

        def run():
            for x in wrt:
                x.grad = None
            y = f()
            y.backward() if g is None else y.backward(g)
            return [y, *(x.grad for x in wrt)]
        return run


# --------------------------------------------------------------------------------------------------------------- gemm

def _matmul(name, m, k, n, dtype=None, kind="f32", tol=1e-4):
    size = {"f32": 4, "f64": 8, "bf16": 2}[kind]

    @case("gemm", name, 2 * m * k * n, kind, size * (m * k + k * n), size * m * n, tol)
    def make(E):
        a, b = E.normal(m, k, dtype=dtype), E.normal(k, n, dtype=dtype)
        return lambda: a @ b


for _n in (256, 512, 1024, 2048):
    _matmul(f"matmul f32 {_n}", _n, _n, _n)
_matmul("matmul f64 1024", K, K, K, "float64", "f64")
for _n in (512, 1024, 2048):
    _matmul(f"matmul bf16 {_n}", _n, _n, _n, "bfloat16", "bf16", 3e-2)
_matmul("matmul f16 1024", K, K, K, "float16", "bf16", 3e-2)
_matmul("matmul 16x4096x4096", 16, 4 * K, 4 * K)
_matmul("matmul 4096x64x4096", 4 * K, 64, 4 * K)


@case("gemm", "matmul int8 512", 2 * 512 ** 3, "int8")
def _(E):
    a, b = (E.integers(-9, 9, 512, 512, dtype=np.int8) for _ in range(2))
    return lambda: a @ b


@case("gemm", "int8 to int32 1024", 2 * K ** 3, "int8")
def _(E):
    a, b = (E.integers(-128, 128, K, K, dtype=np.int8) for _ in range(2))
    return lambda: E.T._int_mm(a, b)


@case("gemm", "matmul bf16 4x4096x4096", 2 * 4 * 16 * M, reads=32 * M, tol=3e-2)
def _(E):
    a, b = E.normal(4, 4 * K, dtype="bfloat16"), E.normal(4 * K, 4 * K, dtype="bfloat16")
    return lambda: a @ b


@case("gemm", "matmul transposed 1024", 2 * K ** 3, reads=8 * M, writes=4 * M)
def _(E):
    a, b = E.normal(K, K), E.normal(K, K)
    return lambda: a.t() @ b.t()


@case("gemm", "matrix-vector 4096", 2 * 16 * M, reads=64 * M)
def _(E):
    a, x = E.normal(4 * K, 4 * K), E.normal(4 * K)
    return lambda: a @ x


@case("gemm", "bmm 64x128x64x128", 2 * 64 * 128 * 64 * 128)
def _(E):
    a, b = E.normal(64, 128, 64), E.normal(64, 64, 128)
    return lambda: E.T.bmm(a, b)


@case("gemm", "bmm 512x32x32x32", 2 * 512 * 32 ** 3)
def _(E):
    a, b = E.normal(512, 32, 32), E.normal(512, 32, 32)
    return lambda: E.T.bmm(a, b)


@case("gemm", "linear 256x1024x1024 fwd+bwd", 6 * 256 * M)
def _(E):
    x, w, b = E.normal(256, K, grad=True), E.weight(K, K, grad=True), E.normal(K, grad=True)
    return E.backward(lambda: E.F.linear(x, w, b), [x, w, b], (256, K))


@case("gemm", "linear 32x784x128", 2 * 32 * 784 * 128)
def _(E):
    x, w, b = E.normal(32, 784), E.weight(128, 784), E.normal(128)
    return lambda: E.F.linear(x, w, b)


# -------------------------------------------------------------------------------------------------------- convolution

def _conv(name, x_shape, w_shape, stride=1, padding=0, groups=1, dilation=1, backward=True, transposed=False):
    def out(i):
        if transposed:
            return (x_shape[i] - 1) * stride - 2 * padding + w_shape[i]
        return (x_shape[i] + 2 * padding - dilation * (w_shape[i] - 1) - 1) // stride + 1

    dims = len(x_shape) - 2
    channels = w_shape[1] * groups if transposed else w_shape[0]
    y_shape = (x_shape[0], channels, *(out(2 + i) for i in range(dims)))
    ops = 2 * math.prod(x_shape if transposed else y_shape) * math.prod(w_shape[1:])

    def call(E, x, w):
        if transposed:
            return getattr(E.F, f"conv_transpose{dims}d")(x, w, None, stride, padding)
        return getattr(E.F, f"conv{dims}d")(x, w, None, stride, padding, dilation, groups)

    size, y_size, w_size = (4 * math.prod(s) for s in (x_shape, y_shape, w_shape))

    @case("convolution", name + " fwd", ops, reads=size + w_size, writes=y_size)
    def forward(E):
        x, w = E.normal(*x_shape), E.weight(*w_shape)
        return lambda: call(E, x, w)

    if backward:
        @case("convolution", name + " fwd+bwd", 3 * ops, reads=2 * size + y_size + 2 * w_size,
              writes=size + y_size + w_size)
        def both(E):
            x, w = E.normal(*x_shape, grad=True), E.weight(*w_shape, grad=True)
            return E.backward(lambda: call(E, x, w), [x, w], y_shape)


_conv("conv 7x7/2 3-64 @224", (4, 3, 224, 224), (64, 3, 7, 7), 2, 3)
_conv("conv 3x3 64 @56", (8, 64, 56, 56), (64, 64, 3, 3), 1, 1)
_conv("conv 3x3 128 @28", (8, 128, 28, 28), (128, 128, 3, 3), 1, 1)
_conv("conv 3x3 256 @14", (8, 256, 14, 14), (256, 256, 3, 3), 1, 1)
_conv("conv 3x3 512 @7", (8, 512, 7, 7), (512, 512, 3, 3), 1, 1)
_conv("conv 3x3/2 128-256 @28", (8, 128, 28, 28), (256, 128, 3, 3), 2, 1)
_conv("conv 1x1 256-64 @56", (8, 256, 56, 56), (64, 256, 1, 1))
_conv("conv 1x1/2 64-128 @56", (8, 64, 56, 56), (128, 64, 1, 1), 2)
_conv("depthwise 3x3 128 @56", (8, 128, 56, 56), (128, 1, 3, 3), 1, 1, 128)
_conv("grouped 3x3 128/32 @28", (8, 128, 28, 28), (128, 4, 3, 3), 1, 1, 32, backward=False)
_conv("dilated 3x3 64 @28", (8, 64, 28, 28), (64, 64, 3, 3), 1, 2, 1, 2, backward=False)
_conv("transposed 4x4/2 64-32 @28", (8, 64, 28, 28), (64, 32, 4, 4), 2, 1, transposed=True)
_conv("transposed 3x3/2 16-1 @28", (32, 16, 28, 28), (16, 1, 3, 3), 2, 1, transposed=True, backward=False)
_conv("conv1d 5 64 @1024", (8, 64, 1024), (64, 64, 5), 1, 2, backward=False)
_conv("conv 3x3 3-64 @32", (32, 3, 32, 32), (64, 3, 3, 3), 1, 1)
_conv("conv 3x3 64-3 @64", (8, 64, 64, 64), (3, 64, 3, 3), 1, 1)


# ---------------------------------------------------------------------------------------------------------- attention

def _attention(name, b, h, t, d, causal, backward):
    ops = (3.5 if backward else 1) * 4 * b * h * t * t * d * (0.5 if causal else 1)
    size = 4 * b * h * t * d

    @case("attention", name, ops, reads=size * (7 if backward else 3), writes=size * (4 if backward else 1))
    def make(E):
        q, k, v = (E.normal(b, h, t, d, grad=backward) for _ in range(3))
        f = lambda: E.F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return E.backward(f, [q, k, v], (b, h, t, d)) if backward else f


_attention("attention 8x8x256x64 fwd", 8, 8, 256, 64, False, False)
_attention("attention 8x8x256x64 fwd+bwd", 8, 8, 256, 64, False, True)
_attention("attention causal 8x8x256x64 fwd+bwd", 8, 8, 256, 64, True, True)
_attention("attention 1x8x2048x64 fwd", 1, 8, 2 * K, 64, False, False)
_attention("attention causal 1x8x2048x64 fwd", 1, 8, 2 * K, 64, True, False)
_attention("attention causal 1x4x2048x64 fwd+bwd", 1, 4, 2 * K, 64, True, True)


# ------------------------------------------------------------------------------------------------------ normalization

def _rows(family, name, shape, f, parameters=0, backward=True, passes=(2, 1), back=(2, 1)):
    """f(E, x, *w) of an array with per-row or per-channel parameters; passes over it count as (reads, writes)."""
    size = 4 * math.prod(shape)
    total = [(p + q) * size for p, q in zip(passes, back)] if backward else [p * size for p in passes]

    @case(family, name, reads=total[0], writes=total[1])
    def make(E):
        x = E.normal(*shape, grad=backward)
        w = [E.normal(parameters, grad=backward) for _ in range(2)] if parameters else []
        run = lambda: f(E, x, *w)
        return E.backward(run, [x, *w], shape) if backward else run


_rows("norm", "layer_norm 8192x768 fwd", (8 * K, 768), lambda E, x, w, b: E.F.layer_norm(x, (768,), w, b), 768,
      False, (1, 1))
_rows("norm", "layer_norm 8192x768 fwd+bwd", (8 * K, 768), lambda E, x, w, b: E.F.layer_norm(x, (768,), w, b), 768,
      True, (1, 1))
_rows("norm", "rms_norm 8192x768 fwd+bwd", (8 * K, 768), lambda E, x: E.F.rms_norm(x, (768,)), 0, True, (1, 1))
_rows("norm", "batch_norm 16x64x56x56 fwd+bwd", (16, 64, 56, 56),
      lambda E, x, w, b: E.F.batch_norm(x, None, None, w, b, True), 64, True, (2, 1), (4, 1))
_rows("norm", "group_norm 16x64x56x56 fwd+bwd", (16, 64, 56, 56),
      lambda E, x, w, b: E.F.group_norm(x, 8, w, b), 64, True, (1, 1))
_rows("norm", "softmax 4096x1024 fwd", (4 * K, K), lambda E, x: E.F.softmax(x, -1), 0, False, (1, 1))
_rows("norm", "softmax 4096x1024 fwd+bwd", (4 * K, K), lambda E, x: E.F.softmax(x, -1), 0, True, (1, 1))
_rows("norm", "softmax 1024x4096 dim 0", (K, 4 * K), lambda E, x: E.F.softmax(x, 0), 0, False, (1, 1))
_rows("norm", "log_softmax 4096x1024 fwd+bwd", (4 * K, K), lambda E, x: E.F.log_softmax(x, -1), 0, True, (1, 1))


@case("norm", "batch_norm eval 16x64x56x56", reads=4 * 16 * 64 * 56 * 56, writes=4 * 16 * 64 * 56 * 56)
def _(E):
    x, m, w, b = E.normal(16, 64, 56, 56), E.normal(64), E.normal(64), E.normal(64)
    v = E.normal(64).abs() + 1
    return lambda: E.F.batch_norm(x, m, v, w, b, False)


@case("norm", "cross_entropy 4096x10000 fwd+bwd", reads=2 * 4 * 4 * K * 10000, writes=4 * 4 * K * 10000)
def _(E):
    x, y = E.normal(4 * K, 10000, grad=True), E.integers(0, 10000, 4 * K)
    return E.backward(lambda: E.F.cross_entropy(x, y), [x])


# --------------------------------------------------------------------------------------------------------- recurrence

def _recurrent(name, kind, gates, t, b, i, h, backward, out=0):
    # With an LSTM's projection (``out``) states are shorter, and made by a product of their own.
    ops = 2 * t * b * (gates * h * (i + (out or h)) + h * out) * (3 if backward else 1)

    @case("recurrence", name, ops, tol=1e-3)
    def make(E):
        net = getattr(E.nn, kind)(i, h, **({"proj_size": out} if out else {}))
        with E.T.no_grad():
            for p in net.parameters():
                p.copy_(E.normal(*p.shape, scale=1 / math.sqrt(h)))
        x = E.normal(t, b, i, grad=backward)
        if backward:
            return E.backward(lambda: net(x)[0], [x, *net.parameters()], (t, b, out or h))

        def run():
            with E.T.no_grad():
                return net(x)[0]
        return run


_recurrent("LSTM 50x32x128-256 fwd", "LSTM", 4, 50, 32, 128, 256, False)
_recurrent("LSTM 50x32x128-256 fwd+bwd", "LSTM", 4, 50, 32, 128, 256, True)
_recurrent("GRU 50x32x128-256 fwd", "GRU", 3, 50, 32, 128, 256, False)
_recurrent("GRU 50x32x128-256 fwd+bwd", "GRU", 3, 50, 32, 128, 256, True)
_recurrent("LSTM 50x32x128-256-128 fwd", "LSTM", 4, 50, 32, 128, 256, False, 128)
_recurrent("LSTM 50x32x128-256-128 fwd+bwd", "LSTM", 4, 50, 32, 128, 256, True, 128)
_recurrent("RNN 50x32x128-256 fwd+bwd", "RNN", 1, 50, 32, 128, 256, True)


# ------------------------------------------------------------------------------------------------ pooling and sampling

def _windows(name, shape, y_shape, f, backward=True):
    a, b = 4 * math.prod(shape), 4 * math.prod(y_shape)
    bytes_ = (a + b, b + a) if backward else (a, b)

    @case("pooling", name, reads=bytes_[0], writes=bytes_[1])
    def make(E):
        x = E.normal(*shape, grad=backward)
        run = lambda: f(E, x)
        return E.backward(run, [x], y_shape) if backward else run


_images = (8, 64, 112, 112)
_windows("max_pool 3x3/2 fwd", _images, (8, 64, 56, 56), lambda E, x: E.F.max_pool2d(x, 3, 2, 1), False)
_windows("max_pool 3x3/2 fwd+bwd", _images, (8, 64, 56, 56), lambda E, x: E.F.max_pool2d(x, 3, 2, 1))
_windows("max_pool 2x2 fwd+bwd", _images, (8, 64, 56, 56), lambda E, x: E.F.max_pool2d(x, 2))
_windows("avg_pool 2x2 fwd+bwd", _images, (8, 64, 56, 56), lambda E, x: E.F.avg_pool2d(x, 2))
_windows("adaptive_avg_pool 1 fwd+bwd", (32, 512, 14, 14), (32, 512, 1, 1), lambda E, x: E.F.adaptive_avg_pool2d(x, 1))
_windows("interpolate nearest x2", (8, 64, 56, 56), _images, lambda E, x: E.F.interpolate(x, scale_factor=2), False)
_windows("interpolate bilinear x2 fwd", (8, 64, 56, 56), _images,
         lambda E, x: E.F.interpolate(x, scale_factor=2, mode="bilinear"), False)
_windows("interpolate bilinear x2 fwd+bwd", (8, 64, 56, 56), _images,
         lambda E, x: E.F.interpolate(x, scale_factor=2, mode="bilinear"))
_windows("interpolate bicubic x2", (4, 16, 56, 56), (4, 16, 112, 112),
         lambda E, x: E.F.interpolate(x, scale_factor=2, mode="bicubic"), False)


def _grid(name, backward):
    @case("pooling", name, reads=4 * 8 * 32 * 64 * 64, writes=4 * 8 * 32 * 64 * 64)
    def make(E):
        x, grid = E.normal(8, 32, 64, 64, grad=backward), (E.normal(8, 64, 64, 2) * 0.5).clamp(-1.1, 1.1)
        run = lambda: E.F.grid_sample(x, grid, align_corners=False)
        return E.backward(run, [x], (8, 32, 64, 64)) if backward else run


_grid("grid_sample bilinear fwd", False)
_grid("grid_sample bilinear fwd+bwd", True)
