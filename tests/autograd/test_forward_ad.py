"""Forward mode against finite differences and results worked out by hand."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd import forward_ad as fwad

RNG = np.random.default_rng(5)


def array(*shape):
    return RNG.standard_normal(shape)


def positive(n):
    a = RNG.standard_normal((n, n))
    return a @ a.T + n * np.eye(n)


def pushed(f, xs, ts):
    """The tangent of ``f(*xs)`` in the direction `ts`, through dual tensors."""
    with fwad.dual_level():
        out = f(*[fwad.make_dual(torch.tensor(x), torch.tensor(t)) for x, t in zip(xs, ts)])
        t = fwad.unpack_dual(out).tangent
        return np.zeros(tuple(out.shape)) if t is None else t.numpy()


def slope(f, xs, ts, h=1e-6):
    """The central difference of `f` in the direction `ts`."""
    up, down = (f(*[torch.tensor(x + s * h * t) for x, t in zip(xs, ts)]).numpy() for s in (1, -1))
    return (up - down) / (2 * h)


F = torch.nn.functional
LABELS = torch.tensor([1, 0, 2])
CASES = {
    "product": (lambda a, b: a * b.exp() / (1 + a * a), (array(3, 4), array(4))),
    "matmul": (lambda a, b: (a @ b).sin(), (array(3, 4), array(4, 2))),
    "bmm": (torch.bmm, (array(2, 3, 4), array(2, 4, 2))),
    "linear": (F.linear, (array(3, 4), array(2, 4), array(2))),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1, stride=2), (array(2, 3, 5, 5), array(4, 3, 3, 3),
                                                                       array(4))),
    "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, stride=2), (array(2, 3, 4), array(3, 2, 3))),
    "views": (lambda a: a.t()[1:].reshape(-1).unfold(0, 3, 2) * a.diagonal().sum(), (array(4, 4),)),
    "index": (lambda a: a[torch.tensor([0, 2, 0])] * a[1:2], (array(3, 4),)),
    "scatter": (lambda a, b: a.scatter_add(1, torch.tensor([[0, 1], [1, 1]]), b) ** 2, (array(2, 3), array(2, 2))),
    "cat": (lambda a, b: torch.cat([a, b * 2, torch.ones(2, 2, dtype=torch.float64)]).cumsum(0), (array(2, 2),
                                                                                                array(1, 2))),
    "softmax": (lambda a: F.softmax(a, 1) * F.log_softmax(a, 0), (array(3, 4),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (array(3, 4), array(4), array(4))),
    "group_norm": (lambda x: F.group_norm(x, 2), (array(2, 4, 3),)),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (array(4, 3), array(3), array(3))),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64),
                                                label_smoothing=0.1), (array(3, 3),)),
    "max_pool": (lambda x: F.max_pool2d(x, 2), (array(1, 2, 4, 4),)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), (array(1, 2, 4, 4),)),
    "gelu": (lambda a: F.gelu(a) + F.silu(a) + F.softplus(a) + F.elu(a), (array(5),)),
    "sort": (lambda a: a.sort(1).values * torch.arange(4.0, dtype=torch.float64) + a.amax(1, True), (array(3, 4),)),
    "prod": (lambda a: a.prod(1) + a.cumprod(1).sum() + a.logsumexp(0).sum(), (array(3, 4),)),
    "var": (lambda a: torch.cat([a.var(1), a.std(0), *torch.var_mean(a, 0, correction=0)]), (array(3, 4),)),
    "norms": (lambda a: torch.stack([a.norm(), a.norm(1), a.norm(3), torch.linalg.norm(a), a.norm(float("inf"))]),
              (array(3, 4),)),
    "inverse": (lambda a: torch.linalg.inv(a) @ torch.linalg.solve(a, a.T), (positive(3),)),
    "determinant": (lambda a: torch.linalg.det(a) + torch.linalg.slogdet(a)[1], (positive(3),)),
    "qr": (lambda a: torch.linalg.qr(a)[1], (array(4, 3),)),
    "singular values": (lambda a: torch.linalg.svdvals(a), (array(4, 3),)),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), (
        array(1, 2, 3, 4), array(1, 2, 3, 4), array(1, 2, 3, 4))),
    "embedding": (lambda w: F.embedding(torch.tensor([1, 1, 0]), w) ** 2, (array(3, 2),)),
    "in place": (lambda a: torch.zeros(3, dtype=torch.float64).copy_(a).mul_(a).add_(a.sum()), (array(3,),)),
    "where": (lambda a, b: torch.where(a > 0, a * b, b ** 3), (array(6), array(6))),
    "complex": (lambda a: torch.fft.fft(torch.complex(a, a * a)).abs(), (array(5),)),
    "lstm": (lambda x, w: torch.lstm_cell(x, (torch.ones(2, 3, dtype=torch.float64),) * 2, w, w[:, :3] * 2)[0], (
        array(2, 4), array(12, 4))),
}


@pytest.mark.parametrize("name", CASES)
def test_tangents_are_slopes(name):
    f, xs = CASES[name]
    ts = [array(*x.shape) for x in xs]
    np.testing.assert_allclose(pushed(f, xs, ts), slope(f, xs, ts), rtol=1e-6, atol=1e-7)
    still = [np.zeros_like(t) for t in ts[1:]]              # the first input alone
    np.testing.assert_allclose(pushed(f, xs, [ts[0], *still]), slope(f, xs, [ts[0], *still]), rtol=1e-6, atol=1e-7)


def test_cholesky_along_symmetric_directions():
    a, t = positive(4), array(4, 4)
    for f in (torch.linalg.cholesky, lambda m: torch.linalg.cholesky(m, upper=True), lambda m: torch.cholesky(m)):
        np.testing.assert_allclose(pushed(f, [a], [t + t.T]), slope(f, [a], [t + t.T]), rtol=1e-6, atol=1e-7)


def test_limits_where_lengths_and_degrees_of_freedom_vanish():
    zero, one = np.zeros(3), np.ones(3)
    for p in (1, 2, 3, float("inf")):
        assert pushed(lambda x, p=p: torch.linalg.norm(x, p), [zero], [one]) == 0
    assert pushed(lambda x: x.std(correction=0), [one], [one]) == 0
    assert np.isnan(pushed(lambda x: x.var(), [np.ones(1)], [np.ones(1)]))
    assert np.isnan(pushed(lambda x: x.logsumexp(0), [np.full(2, -np.inf)], [np.ones(2)]))


def test_levels():
    x, t = torch.ones(2), torch.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="no level exists"):
        fwad.make_dual(x, t)
    with fwad.dual_level():
        d = fwad.make_dual(x, t)
        assert fwad.unpack_dual(d * 3).tangent.tolist() == [3.0, 6.0]
        assert fwad.unpack_dual(x).tangent is None
        assert fwad.unpack_dual(d.detach()).tangent is None
        with pytest.raises(RuntimeError, match="Nested"):
            fwad.enter_dual_level()
        with pytest.raises(RuntimeError):
            fwad.make_dual(x, torch.ones(3))
        assert fwad.unpack_dual(fwad.make_dual(x, t.double()) * 3).tangent.tolist() == [3.0, 6.0]
        with pytest.raises(ValueError):
            fwad.make_dual(torch.ones(2).long(), t)
    assert fwad.unpack_dual(d).tangent is None
    assert "tangent" not in repr(d)


def test_reverse_mode_sees_through_dual_tensors():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    with fwad.dual_level():
        y = fwad.make_dual(x, torch.tensor([1.0, 0.0])) ** 2 * w
        assert y.requires_grad
        gx, gw = torch.autograd.grad(y.sum(), (x, w), create_graph=True)
        assert fwad.unpack_dual(gx).primal.tolist() == [6.0, 16.0]
        assert fwad.unpack_dual(gx).tangent.tolist() == [6.0, 0.0]          # d (2 x w) / dx along (1, 0)
        assert fwad.unpack_dual(gw).tangent.tolist() == [2.0, 0.0]
        tangent = fwad.unpack_dual(y).tangent
        assert torch.autograd.grad(tangent.sum(), w)[0].tolist() == [2.0, 0.0]      # 2 x along (1, 0)


def test_hessian_products_three_ways():
    x, v = torch.tensor(array(4)), torch.tensor(array(4))

    def f(x):
        return (x.sin() * x.flip(0)).prod()
    h = torch.autograd.functional.hessian(f, x)
    over = torch.func.jvp(torch.func.grad(f), (x,), (v,))[1]
    under = torch.func.grad(lambda y: torch.func.jvp(f, (y,), (v,))[1])(x)
    for got in (over, under, torch.autograd.functional.hvp(f, x, v)[1]):
        np.testing.assert_allclose(got.numpy(), (h @ v).numpy(), rtol=1e-10)
    both = torch.autograd.functional.hessian(f, x, vectorize=True, outer_jacobian_strategy="forward-mode")
    np.testing.assert_allclose(both.numpy(), h.numpy(), rtol=1e-10, atol=1e-12)
    step = 1e-5
    for i in range(4):
        e = torch.zeros(4, dtype=torch.float64)
        e[i] = step
        column = (torch.func.grad(f)(x + e) - torch.func.grad(f)(x - e)) / (2 * step)
        np.testing.assert_allclose(h[:, i].numpy(), column.numpy(), rtol=1e-6, atol=1e-7)


def test_jacobians_of_every_strategy():
    def f(a, b):
        return (a @ b).exp(), a.sum(0) * b[0]
    args = torch.tensor(array(2, 3)), torch.tensor(array(3, 2)[:, :1].repeat(3, 1))
    plain = torch.autograd.functional.jacobian(f, args)
    for options in ({"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"},
                    {"vectorize": True, "create_graph": True}):
        for row, other in zip(plain, torch.autograd.functional.jacobian(f, args, **options)):
            for x, y in zip(row, other):
                np.testing.assert_allclose(y.detach().numpy(), x.numpy(), rtol=1e-12, atol=1e-14)
    for options, error in (({"strategy": "forward-mode"}, NotImplementedError), ({"strategy": "both"}, AssertionError),
                           ({"strategy": "forward-mode", "vectorize": True, "strict": True}, RuntimeError),
                           ({"vectorize": True, "strict": True}, RuntimeError),
                           ({"strategy": "forward-mode", "vectorize": True, "create_graph": True},
                            NotImplementedError)):
        with pytest.raises(error):
            torch.autograd.functional.jacobian(f, args, **options)
