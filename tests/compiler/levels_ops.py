"""More ops whose results must not depend on the CPU: ``levels_ops.py FILE`` writes them; see test_restricted."""

import sys
import traceback

import numpy as np

import rushlight as torch

F = torch.nn.functional
rng = np.random.default_rng(1)
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def normal(*shape, grad=False, dtype=None):
    x = torch.from_numpy(rng.standard_normal(shape).astype("f4"))
    if dtype is not None:
        x = x.to(dtype)
    return x.requires_grad_() if grad else x


def both(f, *wrt):
    """The result and the gradients of a fixed weighting of it."""
    y = f()
    g = torch.from_numpy(np.cos(np.arange(y.numel(), dtype="f4")).reshape(y.shape)).to(y.dtype)
    y.backward(g)
    return [y, *(x.grad for x in wrt)]


@case
def convolutions():
    out = []
    for shape, w_shape, step, padding, dilation, groups in (
        ((2, 16, 24, 24), (32, 16, 3, 3), 1, 1, 1, 1), ((2, 8, 17, 19), (12, 8, 3, 3), 2, 1, 1, 1),
        ((1, 3, 40, 40), (16, 3, 7, 7), 2, 3, 1, 1), ((2, 24, 14, 14), (16, 24, 1, 1), 1, 0, 1, 1),
        ((2, 24, 15, 15), (24, 1, 3, 3), 1, 1, 1, 24), ((2, 12, 15, 15), (8, 3, 3, 3), 1, 2, 2, 4),
        ((1, 64, 28, 28), (64, 64, 3, 3), 1, 1, 1, 1),
    ):
        x, w, b = normal(*shape, grad=True), normal(*w_shape, grad=True), normal(w_shape[0], grad=True)
        out += both(lambda: F.conv2d(x, w, b, step, padding, dilation, groups), x, w, b)
    x, w = normal(2, 8, 9, 9, grad=True), normal(8, 6, 4, 4, grad=True)
    out += both(lambda: F.conv_transpose2d(x, w, None, 2, 1), x, w)
    x, w = normal(2, 8, 50, grad=True), normal(6, 8, 5, grad=True)
    out += both(lambda: F.conv1d(x, w, None, 1, 2), x, w)
    x, w = normal(1, 3, 6, 7, 8, grad=True), normal(4, 3, 3, 3, 3, grad=True)
    return out + both(lambda: F.conv3d(x, w, None, 1, 1), x, w)


@case
def attention():
    out = []
    for causal, t in ((False, 50), (True, 130)):
        q, k, v = (normal(2, 2, t, 24, grad=True) for _ in range(3))
        out += both(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal), q, k, v)
    return out


@case
def normalizations():
    out = []
    for shape, f in (((33, 70), lambda x, w, b: F.layer_norm(x, (70,), w, b)),
                     ((5, 70, 6, 6), lambda x, w, b: F.group_norm(x, 7, w, b)),
                     ((5, 70, 6, 6), lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
                     ((40, 70), lambda x, w, b: F.batch_norm(x, None, None, w, b, True))):
        x, w, b = normal(*shape, grad=True), normal(70, grad=True), normal(70, grad=True)
        out += both(lambda: f(x, w, b), x, w, b)
    x = normal(33, 70, grad=True)
    out += both(lambda: F.rms_norm(x, (70,)), x)
    for f in (F.softmax, F.log_softmax):
        for dim in (0, 1):
            x = normal(33, 70, grad=True)
            out += both(lambda: f(x, dim), x)
    x, target = normal(33, 70, grad=True), torch.from_numpy(rng.integers(0, 70, 33))
    return out + both(lambda: F.cross_entropy(x, target, label_smoothing=0.0), x)


@case
def recurrence():
    out = []
    for kind in ("LSTM", "GRU", "RNN"):
        net = getattr(torch.nn, kind)(9, 21, num_layers=2, bidirectional=True)
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(normal(*p.shape) * 0.2)
        x = normal(7, 5, 9, grad=True)
        out += both(lambda: net(x)[0], x, *net.parameters())
    return out


@case
def pooling():
    out = []
    for f in (lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 5),
              lambda x: F.interpolate(x, scale_factor=2), lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
              lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), lambda x: F.pad(x, (1, 2, 3, 4))):
        x = normal(2, 3, 19, 23, grad=True)
        out += both(lambda: f(x), x)
    x, grid = normal(2, 3, 19, 23, grad=True), (normal(2, 8, 9, 2) * 0.6).requires_grad_()
    return out + both(lambda: F.grid_sample(x, grid, align_corners=False), x, grid)


@case
def low_precision():
    out = []
    for dtype in (torch.bfloat16, torch.float16):
        # Small integers: sums are exact, so every level must give the same bits.
        a, b = (torch.from_numpy(rng.integers(-3, 4, (65, 77)).astype("f4")).to(dtype) for _ in range(2))
        out += [(a @ b.t()).float(), (a.t() @ b).float(), F.linear(a, b).float(), (a + b).float(), a.sum(0).float()]
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64):
        a, b = (torch.from_numpy(rng.integers(0, 50, (33, 70))).to(dtype) for _ in range(2))
        out += [a @ b.t(), a.sum(1), a.cumsum(1), a.sort(1)[0], (a * b).max(0)[0]]
    a, b = normal(20, 30) + 1j * normal(20, 30), normal(30, 10) + 1j * normal(30, 10)
    return out + [torch.view_as_real(a @ b)]


@case
def order_and_indices():
    x, n = normal(40, 700), torch.from_numpy(rng.integers(0, 900, 5000))
    i = torch.from_numpy(rng.integers(0, 40, 300))
    flat = x.reshape(-1)
    return [*x.sort(1), *x.sort(0, descending=True, stable=True), *x.topk(30), *x.topk(3, 0), *x.median(1),
            flat.median(), *x.kthvalue(100), *torch.unique(n, return_inverse=True, return_counts=True), n.bincount(),
            torch.searchsorted(flat.sort()[0], normal(1000)), flat.histc(40, -3, 3), x[i], x.index_select(1, i % 700),
            torch.zeros(40, 700).index_add_(0, i, normal(300, 700)), x[x > 1], (x > 1).nonzero(), x.t().contiguous(),
            x.reshape(40, 7, 100).permute(2, 0, 1).contiguous(), torch.cat([x, x, x[:, :33]], 1), x.flip(1),
            x.tril(3), x.gather(1, torch.from_numpy(rng.integers(0, 700, (40, 90)))), x.argmax(0), x.argmin(1),
            torch.zeros(40, 700).scatter_add_(1, torch.from_numpy(rng.integers(0, 700, (40, 90))), x), x.cummax(1)[0],
            x.cumsum(0), x.cumprod(1)[:, :20], x.var(0), x.std(), x.logsumexp(0), torch.arange(1000),
            torch.linspace(0, 1, 333)]


@case
def formulas():
    x = normal(3, 1001) * 4
    p = x.abs() + 0.1
    return [x.exp(), p.log(), x.sin(), x.cos(), x.tan(), x.tanh(), x.erf(), x.atan(), p.lgamma(), p.digamma(),
            p.pow(1.3), x.sigmoid(), F.gelu(x), F.silu(x), F.softplus(x), x.cosh(), x.expm1(), p.log2(), p.rsqrt(),
            x.floor(), x.round(), x.fmod(1.5), x.remainder(1.5), torch.atan2(x, p), torch.where(x > 0, x, p),
            x.clamp(-1, 2), x % 3, (x * 10).long() // 7, x.double().exp(), x.bfloat16().exp().float(),
            x.half().tanh().float()]


def main():
    results, failed = {}, 0
    torch.manual_seed(0)
    for name, f in CASES.items():
        try:
            for k, value in enumerate(f()):
                results[f"{name} {k}"] = value.detach().numpy()
        except Exception:
            failed += 1
            print(f"--- {name}\n{traceback.format_exc()[-1500:]}")
    np.savez(sys.argv[1], **results)
    return failed


if __name__ == "__main__":
    sys.exit(main())
