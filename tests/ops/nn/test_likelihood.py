"""softmax along any dimension, and cross entropy whose gradient goes through log_softmax in one step."""

import numpy as np
import pytest

import rushlight as torch

special = pytest.importorskip("scipy.special")
F = torch.nn.functional
LAYOUTS = [((7,), 0), ((5, 37), 1), ((5, 37), 0), ((3, 7, 33), 1), ((2, 21, 40, 3), 1), ((4, 1000), 1),
           ((2, 300, 17), 1), ((2, 700, 20), 1), ((3, 9000), 1)]
BOUND = {"float32": 2e-6, "float64": 1e-14}


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape, dim", LAYOUTS)
def test_softmax(shape, dim, dtype):
    rng = np.random.default_rng(0)
    values, g = rng.standard_normal(shape).astype(dtype) * 4, rng.standard_normal(shape).astype(dtype)
    p, log_p = (fn(values.astype("f8"), dim) for fn in (special.softmax, special.log_softmax))
    total = g.astype("f8").sum(dim, keepdims=True)
    for fn, y, dx in ((torch.softmax, p, p * (g - (g * p).sum(dim, keepdims=True))),
                      (torch.log_softmax, log_p, g - p * total)):
        x = torch.tensor(values, requires_grad=True)
        got = fn(x, dim)
        got.backward(torch.tensor(g))
        for a, b in ((got, y), (x.grad, dx)):
            assert np.abs(np.asarray(a.tolist()) - b).max() <= BOUND[dtype] * max(1, np.abs(b).max())


@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_of_what_is_not_finite(dim):
    inf, nan = float("inf"), float("nan")
    rows = torch.tensor([[0.0, -inf, 1.0], [-inf, -inf, -inf], [1e30, 0.0, 0.0], [nan, 0.0, 1.0], [inf, 0.0, 0.0]])
    y = torch.softmax(rows if dim else rows.t().contiguous(), dim)
    y = y if dim else y.t()
    assert y[0, 1] == 0 and abs(float(y[0].sum()) - 1) < 1e-6
    assert y[1].isnan().all() and y[3].isnan().all() and y[4].isnan().all()
    assert y[2].tolist() == [1, 0, 0]


def cross_entropy(x, t, w, reduction, ignored=-100):
    """(loss, dloss/dx for a gradient of ones) in float64; classes along dimension 1."""
    log_p = special.log_softmax(x, 1)
    keep = t != ignored
    safe = np.where(keep, t, 0)
    weight = np.where(keep, w[safe], 0)
    one = np.moveaxis(np.eye(x.shape[1])[safe], -1, 1)
    terms = -weight * (log_p * one).sum(1)
    dx = np.expand_dims(weight, 1) * (np.exp(log_p) - one)
    if reduction == "none":
        return terms, dx
    return (terms.sum(), dx) if reduction == "sum" else (terms.sum() / weight.sum(), dx / weight.sum())


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5, 37), (3, 7, 33), (2, 21, 40, 3), (4, 9000), (2, 700, 20)])
def test_cross_entropy(shape, weighted, reduction):
    rng = np.random.default_rng(1)
    values, t = rng.standard_normal(shape), rng.integers(0, shape[1], (shape[0], *shape[2:]))
    t.reshape(-1)[::4] = -100
    w = rng.random(shape[1]) if weighted else np.ones(shape[1])
    want, dx = cross_entropy(values, t, w, reduction)
    x = torch.tensor(values, requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor(t), torch.tensor(w) if weighted else None, reduction=reduction)
    assert loss.grad_fn.next_functions[0][0].name() == "LogSoftmaxBackward0"
    loss.backward(torch.ones_like(loss))
    np.testing.assert_allclose(np.asarray(loss.tolist()), want, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.asarray(x.grad.tolist()), dx, rtol=1e-12, atol=1e-12)


def graph(seed=2):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((6, 5)), requires_grad=True)
    return x, F.cross_entropy(x, torch.tensor(rng.integers(0, 5, 6)))


def test_the_step_in_one_is_the_two_steps():
    x, loss = graph()
    loss.backward(retain_graph=True)
    fused = x.grad.clone()
    first, = torch.autograd.grad(loss, x, retain_graph=True)            # captures: node by node
    twice, = torch.autograd.grad(loss, x, create_graph=True)
    x.grad = None
    loss.backward()
    for other in (first, twice.detach(), x.grad):
        assert (other - fused).abs().max() < 1e-15


def test_hooks_between_see_the_gradient():
    x, loss = graph()
    seen = []
    loss.grad_fn.next_functions[0][0].register_prehook(lambda grads: seen.append(grads[0].clone()))
    loss.backward()
    assert len(seen) == 1
    assert ((seen[0] != 0).sum(1) == 1).all()           # what arrives there is nll_loss's: one number a row
    other, again = graph()
    again.backward()
    assert (x.grad - other.grad).abs().max() < 1e-15


def test_a_pass_that_failed_leaves_nothing_behind():
    class Fails(torch.autograd.Function):
        fails = True

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            if Fails.fails:
                raise ValueError("once")
            return g
    rng = np.random.default_rng(4)
    x = torch.tensor(rng.standard_normal((6, 5)), requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor(rng.integers(0, 5, 6)))
    total = loss + Fails.apply(x).sum()
    with pytest.raises(ValueError, match="once"):
        total.backward(retain_graph=True)
    Fails.fails, x.grad = False, None
    between = loss.grad_fn.next_functions[0][0]
    between.register_prehook(lambda grads: None)
    total.backward()
    want = torch.softmax(x.detach(), 1) / 6 + 1
    assert ((x.grad - want).abs() > 1e-12).sum() == 6         # but for the targets


def test_freed_graph_is_told():
    _, loss = graph()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_all_ignored():
    x = torch.randn(3, 4, requires_grad=True)
    loss = F.cross_entropy(x, torch.full((3,), -100))
    assert loss.isnan()
    loss.backward(retain_graph=True)
    assert (x.grad == 0).all()
    with torch.autograd.detect_anomaly(check_nan=False):        # in two steps
        grad, = torch.autograd.grad(loss, x)
    assert (grad == 0).all()


def test_classes_out_of_bounds():
    for t in ([0, 4], [-1, 0]):
        with pytest.raises(IndexError, match="out of bounds"):
            F.cross_entropy(torch.zeros(2, 4), torch.tensor(t))


@pytest.mark.parametrize("shape", [(700, 90), (3, 20, 700)])
def test_threads_do_not_change_bits(shape):
    rng = np.random.default_rng(3)
    values, t = rng.standard_normal(shape).astype("f4"), rng.integers(0, shape[1], (shape[0], *shape[2:]))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            x = torch.tensor(values, requires_grad=True)
            loss = F.cross_entropy(x, torch.tensor(t))
            loss.backward()
            found.append((loss, x.grad, torch.softmax(x, 1)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found))
