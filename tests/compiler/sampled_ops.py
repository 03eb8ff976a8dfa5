"""A broad sample of ops against NumPy in float64; prints what fails. A process of its own, see test_restricted."""

import sys
import traceback

import numpy as np

import rushlight as torch

F = torch.nn.functional
rng = np.random.default_rng(0)
CHECKS = []


def check(f):
    CHECKS.append(f)
    return f


def normal(*shape, dtype="f4"):
    return rng.standard_normal(shape).astype(dtype)


def close(got, want, rtol=1e-5, atol=1e-5):
    if isinstance(got, torch.Tensor):
        got = (got.detach().float() if got.dtype in (torch.bfloat16, torch.float16) else got.detach()).numpy()
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def windows(x, k, step):
    """View (n, c, oh, ow, k, k) of images."""
    w = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))
    return w[:, :, ::step, ::step]


def convolved(x, w, step, padding):
    x = np.pad(x.astype("f8"), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return np.einsum("nchwij,ocij->nohw", windows(x, w.shape[-1], step), w.astype("f8"), optimize=True)


@check
def pointwise():
    x, y = normal(37, 53), normal(37, 53)
    references = {"exp": np.exp, "tanh": np.tanh, "sin": np.sin, "log1p": np.log1p, "atan": np.arctan, "sqrt": np.sqrt,
                  "floor": np.floor, "abs": np.abs, "cosh": np.cosh, "expm1": np.expm1}
    for name, reference in references.items():
        for a in (x, x.T, x[:, ::3], x * 30):
            with np.errstate(all="ignore"):
                want = reference(a.astype("f8"))
            with np.errstate(all="ignore"):
                close(getattr(torch, name)(torch.from_numpy(a)), want.astype("f4"), 3e-6, 1e-7)
                close(getattr(torch, name)(torch.from_numpy(a.astype("f8"))), reference(a.astype("f8")), 1e-13, 1e-15)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    close(a * b + a / b - b, x * y + x / y - y, 1e-4)
    close(torch.where(a > b, a, b), np.where(x > y, x, y), 0, 0)
    close(a + b[0], x + y[0], 0, 0)
    assert torch.equal(a.isnan(), torch.zeros(37, 53, dtype=torch.bool))


@check
def integers_and_casts():
    x, y = (rng.integers(-100, 100, 1001).astype("i4") for _ in range(2))
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    close(a * b - a, x * y - x, 0, 0)
    close(a // (b.abs() + 1), x // (np.abs(y) + 1), 0, 0)
    for name in ("int8", "uint8", "int16", "int64", "float32", "float64", "bool"):
        close(a.to(getattr(torch, name)), x.astype(name), 0, 0)
    z = normal(1003) * 50
    close(torch.from_numpy(z).to(torch.int32), z.astype("i4"), 0, 0)
    close(torch.from_numpy(z).half(), z.astype("f2"), 0, 0)
    close(torch.from_numpy(z.astype("f2")).float(), z.astype("f2").astype("f4"), 0, 0)
    close(torch.from_numpy(z).bfloat16(), z, 2.0 ** -8, 0)
    close(torch.from_numpy(x.astype("i8")) * 3 + 1, x.astype("i8") * 3 + 1, 0, 0)


@check
def halves():
    x = normal(41, 67)
    for dtype, unit in ((torch.float16, 2.0 ** -11), (torch.bfloat16, 2.0 ** -8)):
        a = torch.from_numpy(x).to(dtype)
        low = a.float().numpy().astype("f8")
        close(a * 2 + 1, low * 2 + 1, 3 * unit, 2 * unit)
        close(a.exp(), np.exp(low), 2 * unit)
        close(a.sum(1), low.sum(1), 2 * unit, 30 * unit)
        close(F.softmax(a, 1), np.exp(low) / np.exp(low).sum(1, keepdims=True), 3 * unit, unit)
        close(a.max(0).values, low.max(0), 0, 0)


@check
def reductions():
    x = normal(129, 257)
    a = torch.from_numpy(x)
    wide = x.astype("f8")
    for dim in (0, 1):
        close(a.sum(dim), wide.sum(dim), 1e-6, 1e-5)
        close(a.var(dim), wide.var(dim, ddof=1), 1e-5)
        close(a.amax(dim), x.max(dim), 0, 0)
        close(a.argmin(dim), x.argmin(dim), 0, 0)
        close(a.max(dim).indices, x.argmax(dim), 0, 0)
        close(a.cumsum(dim), wide.cumsum(dim), 1e-5, 1e-4)
        close(a.logsumexp(dim), np.log(np.exp(wide).sum(dim)), 1e-6)
        close((a > 0).sum(dim), (x > 0).sum(dim), 0, 0)
        close(F.softmax(a, dim), np.exp(wide) / np.exp(wide).sum(dim, keepdims=True), 1e-5, 1e-8)
    close(a.sum(), wide.sum(), 1e-6, 1e-3)
    close(a.double().sum(), wide.sum(), 1e-12)
    close(a.norm(), np.sqrt((wide ** 2).sum()), 1e-6)
    close((a / 8).exp().prod(1), np.exp(wide / 8).prod(1), 1e-4)


@check
def products():
    for m, k, n in ((1, 1, 1), (5, 7, 3), (64, 64, 64), (97, 130, 51), (1, 300, 200), (200, 300, 1)):
        x, y = normal(m, k), normal(k, n)
        want = x.astype("f8") @ y.astype("f8")
        size = np.sqrt(k)
        close(torch.from_numpy(x) @ torch.from_numpy(y), want, 1e-5, 1e-5 * size)
        close(torch.from_numpy(np.ascontiguousarray(x.T)).t() @ torch.from_numpy(y), want, 1e-5, 1e-5 * size)
        close(torch.from_numpy(x.astype("f8")) @ torch.from_numpy(y.astype("f8")), want, 1e-12, 1e-12 * size)
        for dtype, unit in ((torch.bfloat16, 2.0 ** -8), (torch.float16, 2.0 ** -11)):
            a, b = torch.from_numpy(x).to(dtype), torch.from_numpy(y).to(dtype)
            close(a @ b, a.double().numpy() @ b.double().numpy(), 2 * unit, unit * size)
    x, y = normal(6, 33, 20), normal(6, 20, 31)
    close(torch.bmm(torch.from_numpy(x), torch.from_numpy(y)), x.astype("f8") @ y.astype("f8"), 1e-5, 1e-4)
    x, y = (rng.integers(-5, 5, (40, 40)) for _ in range(2))
    close(torch.from_numpy(x) @ torch.from_numpy(y), x @ y, 0, 0)
    w, b = normal(24, 33), normal(24)
    close(F.linear(torch.from_numpy(normal(1, 33) * 0 + 1), torch.from_numpy(w), torch.from_numpy(b)),
          w.astype("f8").sum(1)[None] + b, 1e-4, 1e-4)


@check
def convolutions():
    for shape, out, k, step, padding in (((2, 3, 13, 15), 8, 3, 1, 1), ((1, 16, 9, 9), 5, 3, 2, 1),
                                         ((3, 8, 14, 14), 16, 1, 1, 0), ((1, 3, 33, 33), 16, 7, 2, 3)):
        x, w = normal(*shape), normal(out, shape[1], k, k)
        want = convolved(x, w, step, padding)
        a, b = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()
        y = F.conv2d(a, b, None, step, padding)
        close(y, want, 1e-4, 1e-4 * np.sqrt(shape[1]) * k)
        g = normal(*want.shape)
        y.backward(torch.from_numpy(g))
        # Along random directions: <g, conv(dx, w)> = <dx, grad x>, and likewise for w.
        dx, dw = normal(*x.shape), normal(*w.shape)
        for got, direction, change in ((a.grad, dx, convolved(dx, w, step, padding)),
                                       (b.grad, dw, convolved(x, dw, step, padding))):
            left, right = (g * change).sum(), (direction * got.numpy().astype("f8")).sum()
            assert abs(left - right) < 1e-4 * np.sqrt((change ** 2).sum() * (g ** 2).sum()), (left, right)
    x, w = normal(2, 6, 11, 11), normal(6, 1, 3, 3)
    want = np.concatenate([convolved(x[:, c : c + 1], w[c : c + 1], 1, 1) for c in range(6)], 1)
    close(F.conv2d(torch.from_numpy(x), torch.from_numpy(w), None, 1, 1, 1, 6), want, 1e-4, 1e-4)
    x = normal(2, 4, 12, 12)
    close(F.max_pool2d(torch.from_numpy(x), 2), windows(x, 2, 2).max((4, 5)), 0, 0)
    close(F.avg_pool2d(torch.from_numpy(x), 3, 2), windows(x.astype("f8"), 3, 2).mean((4, 5)), 1e-5, 1e-6)


@check
def normalizations():
    x = normal(23, 90)
    wide = x.astype("f8")
    a = torch.from_numpy(x).requires_grad_()
    y = F.layer_norm(a, (90,))
    mean, var = wide.mean(1, keepdims=True), wide.var(1, keepdims=True)
    want = (wide - mean) / np.sqrt(var + 1e-5)
    close(y, want, 1e-5, 1e-5)
    g = normal(23, 90).astype("f8")
    y.backward(torch.from_numpy(g.astype("f4")))
    close(a.grad, (g - g.mean(1, keepdims=True) - want * (g * want).mean(1, keepdims=True)) / np.sqrt(var + 1e-5),
          1e-4, 1e-5)
    x = normal(4, 6, 9, 9)
    for groups in (6, 3):
        parts = x.reshape(4, groups, -1).astype("f8")
        want = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-5)
        close(F.group_norm(torch.from_numpy(x), groups), want.reshape(x.shape), 1e-5, 1e-5)
    wide = x.astype("f8")
    mean, var = wide.mean((0, 2, 3), keepdims=True), wide.var((0, 2, 3), keepdims=True)
    close(F.batch_norm(torch.from_numpy(x), None, None, training=True), (wide - mean) / np.sqrt(var + 1e-5), 1e-5, 1e-5)
    logits, target = normal(31, 17), rng.integers(0, 17, 31)
    wide = logits.astype("f8")
    want = (np.log(np.exp(wide).sum(1)) - wide[np.arange(31), target]).mean()
    close(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target)), want)


@check
def attention():
    q, k, v = (normal(2, 3, 37, 16) for _ in range(3))
    for causal in (False, True):
        scores = q.astype("f8") @ k.astype("f8").transpose(0, 1, 3, 2) / 4
        if causal:
            scores = np.where(np.tri(37, dtype=bool), scores, -np.inf)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        want = p / p.sum(-1, keepdims=True) @ v.astype("f8")
        got = F.scaled_dot_product_attention(*(torch.from_numpy(x) for x in (q, k, v)), is_causal=causal)
        close(got, want, 1e-4, 1e-5)


@check
def order():
    for dtype in ("f4", "f8", "i8", "i4", "u1"):
        x = rng.standard_normal((7, 301)) * 50
        x = (np.abs(x) if dtype == "u1" else x).astype(dtype)
        a = torch.from_numpy(x)
        for dim in (0, 1):
            values, indices = a.sort(dim, stable=True)
            close(values, np.sort(x, dim), 0, 0)
            close(indices, np.argsort(x, dim, kind="stable"), 0, 0)
        close(a.topk(5).values, -np.sort(-x.astype("f8"), 1)[:, :5], 0, 0)
    x = normal(1001)
    close(torch.from_numpy(x).median(), np.median(x), 0, 0)
    n = rng.integers(0, 50, 500)
    close(torch.unique(torch.from_numpy(n)), np.unique(n), 0, 0)
    edges = np.sort(normal(100))
    close(torch.searchsorted(torch.from_numpy(edges), torch.from_numpy(x)), np.searchsorted(edges, x), 0, 0)
    close(torch.from_numpy(n).bincount(), np.bincount(n), 0, 0)


@check
def indexing():
    x = normal(61, 33)
    a = torch.from_numpy(x)
    i, j = rng.integers(0, 61, 200), rng.integers(0, 33, (61, 20))
    close(a[torch.from_numpy(i)], x[i], 0, 0)
    close(a.index_select(0, torch.from_numpy(i)), x[i], 0, 0)
    close(a.gather(1, torch.from_numpy(j)), np.take_along_axis(x, j, 1), 0, 0)
    close(a[a > 0.5], x[x > 0.5], 0, 0)
    close((a > 1).nonzero(), np.argwhere(x > 1), 0, 0)
    want, source = np.zeros((61, 33)), normal(200, 33)
    np.add.at(want, i, source.astype("f8"))
    close(torch.zeros(61, 33).index_add_(0, torch.from_numpy(i), torch.from_numpy(source)), want, 1e-5, 1e-5)
    close(torch.cat([a, a], 1), np.concatenate([x, x], 1), 0, 0)
    close(a.t().contiguous(), x.T, 0, 0)
    close(a.masked_fill(a > 0, 7.0), np.where(x > 0, 7, x), 0, 0)
    w = torch.from_numpy(x).requires_grad_()
    F.embedding(torch.from_numpy(i), w).sum().backward()
    close(w.grad, np.repeat(np.bincount(i, minlength=61)[:, None], 33, 1), 0, 0)


@check
def training():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(10, 16), torch.nn.GELU(), torch.nn.Linear(16, 1))
    x = torch.from_numpy(normal(64, 10))
    y = x.sum(1, keepdim=True).sin()
    for name in ("SGD", "Adam", "RMSprop"):
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], (name, losses)
    net = torch.nn.LSTM(6, 5)
    h, _ = net(torch.from_numpy(normal(7, 3, 6)))
    assert h.shape == (7, 3, 5) and bool(h.abs().max() < 1)


def main():
    from rushlight.runtime import cpu

    failed = 0
    for f in CHECKS:
        try:
            f()
        except Exception:
            failed += 1
            print(f"--- {f.__name__}\n{traceback.format_exc()[-1500:]}")
    print(f"{cpu.vector_bytes()} bytes, {len(CHECKS) - failed} of {len(CHECKS)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
