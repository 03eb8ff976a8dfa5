"""Function transforms against PyTorch's: the op database, per-sample gradients, ensembles, Jacobians, Hessians.

The op database is run by `test_forward_ad` and `test_vmap`.
"""

import numpy as np
import pytest

import rushlight
from rushlight import func as ours

torch = pytest.importorskip("torch")
from torch import func as theirs

RNG = np.random.default_rng(3)


def both(fn, *arrays, tol=1e-6):
    """`fn(library, its func, *tensors)` of both libraries agrees."""
    got = fn(rushlight, ours, *[rushlight.tensor(a) for a in arrays])
    want = fn(torch, theirs, *[torch.tensor(a) for a in arrays])
    got, want = rushlight.utils._pytree.tree_leaves(got), torch.utils._pytree.tree_leaves(want)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.requires_grad == b.requires_grad
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)


def normal(*shape):
    return RNG.standard_normal(shape)


def test_per_sample_gradients():
    def f(lib, func, w, b, x, y):
        def loss(w, b, x, y):
            return ((lib.tanh(x @ w) + b - y) ** 2).mean()
        return func.vmap(func.grad(loss, argnums=(0, 1)), in_dims=(None, None, 0, 0))(w, b, x, y)
    both(f, normal(3, 4), normal(4), normal(5, 3), normal(5, 4))


def test_per_sample_gradients_of_convolutions():
    def f(lib, func, w, x):
        def loss(w, x):
            return lib.nn.functional.conv2d(x, w, padding=1).sin().sum()
        return func.vmap(func.grad(loss), in_dims=(None, 0))(w, x)
    both(f, normal(4, 2, 3, 3), normal(5, 2, 2, 6, 6))


def test_gradients_of_a_mapped_function():
    both(lambda lib, func, w, x: func.grad(lambda w: func.vmap(lambda r: (r @ w).sin().sum())(x).sum())(w),
         normal(3, 4), normal(5, 3))


def test_jacobians_and_hessians():
    def f(lib, func, w, x):
        def g(w):
            return (x @ w).sin()

        def h(w):
            return g(w).sum()
        return (func.jacrev(g)(w), func.jacfwd(g)(w), func.hessian(h)(w), func.jacrev(func.jacrev(h))(w),
                func.jacrev(func.jacfwd(h))(w), func.jacfwd(func.jacfwd(h))(w), func.jacrev(g, chunk_size=2)(w))
    both(f, normal(3, 2), normal(4, 3))


def test_jacobians_of_trees():
    def f(lib, func, a, b):
        def g(d, b):
            return {"p": d["a"] * b, "q": (d["a"].sum(), b.exp())}
        return (func.jacrev(g, argnums=(0, 1))({"a": a}, b), func.jacfwd(g, argnums=(0, 1))({"a": a}, b))
    both(f, normal(3), normal(3))


def test_vjp_jvp_aux():
    def f(lib, func, x, t):
        def g(x):
            return x.sin() * x.sum(), x.cos()
        out, pull, aux = func.vjp(g, x, has_aux=True)
        return out, pull(t), aux, func.jvp(g, (x,), (t,), has_aux=True), func.grad(
            lambda x: (x.prod(), x * 2), has_aux=True)(x)
    both(f, normal(4), normal(4))


def test_gradients_join_the_graph_outside():
    def f(lib, func, x):
        x.requires_grad_()
        g = func.grad(lambda y: (y ** 3).sum())(x)
        return g, lib.autograd.grad(g.sum(), x)[0]
    both(f, normal(3))


def test_captured_parameters():
    def f(lib, func, x, w):
        w.requires_grad_()
        g = func.grad(lambda y: (w * y ** 3).sum())(x)
        v = func.vmap(lambda y: y * w.sum())(x)
        return g, v, lib.autograd.grad(g.sum() + v.sum(), w)[0]
    both(f, normal(3), normal(3))


def test_losses():
    def f(lib, func, x, y):
        F = lib.nn.functional
        target = y.argmax(1)
        return [func.vmap(func.grad(loss))(x, t) for loss, t in (
            (F.cross_entropy, target), (F.mse_loss, y), (F.smooth_l1_loss, y), (F.huber_loss, y))]
    both(f, normal(5, 3), normal(5, 3))


def test_changes_in_place():
    def f(lib, func, x):
        def g(a):
            z = lib.zeros_like(a)
            z[0] = a[1]
            z[1:] = a[1:] * 2
            z.mul_(a)
            z[..., -1].add_(a[0])
            return z
        return (func.vmap(g)(x), func.vmap(func.grad(lambda a: g(a).sum()))(x), func.grad(
            lambda x: func.vmap(g)(x).sum())(x), func.jvp(g, (x[0],), (x[1],)))
    both(f, normal(5, 3))


def test_indexing():
    def f(lib, func, x, i):
        i = i.long()
        return (func.vmap(lambda r, k: r[k])(x, i[:, 0]), func.vmap(lambda r, k: r[k] * r)(x, i[:, :1]),
                func.vmap(lambda k: x[:, k])(i), func.vmap(lambda r, k: r.index_add(0, k, r[k]), (0, None))(x, i[0]),
                func.vmap(lambda r, k: r.scatter(0, k, 5.0))(x, i), func.vmap(lambda r: r[i[0]][None, i[1]])(x),
                func.vmap(lambda r, k: lib.zeros_like(r).index_put((k,), r[k], accumulate=True))(x, i))
    both(f, normal(4, 3), RNG.integers(0, 3, (4, 3)).astype(np.float64))


def test_ensembles():
    models = []
    for lib, func in ((rushlight, ours), (torch, theirs)):
        nets = [lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Tanh(), lib.nn.Linear(4, 2)).eval()
                for _ in range(3)]
        state = np.random.default_rng(0)
        for net in nets:
            for p in net.parameters():
                p.data = lib.tensor(state.standard_normal(tuple(p.shape)), dtype=lib.float32)
        params, buffers = func.stack_module_state(nets)
        x = lib.tensor(np.random.default_rng(1).standard_normal((5, 3)), dtype=lib.float32)
        out = func.vmap(lambda p, b: func.functional_call(nets[0], (p, b), (x,)))(params, buffers)
        assert out.requires_grad
        for k, net in enumerate(nets):
            np.testing.assert_allclose(out[k].detach().numpy(), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
        models.append(out.detach().numpy())
    np.testing.assert_allclose(*models, rtol=1e-4, atol=1e-5)


ERRORS = {
    "item": lambda lib, x: lib.vmap(lambda r: r.sum().item())(x),
    "bool": lambda lib, x: lib.vmap(lambda r: r if r.sum() > 0 else -r)(x),
    "nonzero": lambda lib, x: lib.vmap(lambda r: r.nonzero())(x),
    "mask": lambda lib, x: lib.vmap(lambda r: r[r > 0])(x),
    "unbatched target": lambda lib, x: lib.vmap(lambda r: lib.zeros(3).add_(r))(x),
    "random": lambda lib, x: lib.vmap(lambda r: lib.rand(2))(x),
    "dropout": lambda lib, x: lib.vmap(lambda r: lib.dropout(r, 0.5, True))(x),
    "no tensor": lambda lib, x: lib.vmap(lambda r: 3)(x),
    "no inputs": lambda lib, x: lib.vmap(lambda: 3)(),
    "in_dims none": lambda lib, x: lib.vmap(lambda r: r, in_dims=None)(x),
    "in_dims structure": lambda lib, x: lib.vmap(lambda r: r, in_dims=(0, 0))(x),
    "in_dims range": lambda lib, x: lib.vmap(lambda r: r, in_dims=3)(x),
    "sizes": lambda lib, x: lib.vmap(lambda a, b: a)(x, x.T),
    "out_dims": lambda lib, x: lib.vmap(lambda r: r, out_dims=(0, 0))(x),
    "out_dims none": lambda lib, x: lib.vmap(lambda r: r, out_dims=None)(x),
    "out_dims range": lambda lib, x: lib.vmap(lambda r: r, out_dims=5)(x),
    "randomness": lambda lib, x: lib.vmap(lambda r: r, randomness="any")(x),
    "chunk": lambda lib, x: lib.vmap(lambda r: r, chunk_size=0)(x),
    "grad of no scalar": lambda lib, x: lib.func.grad(lambda r: r)(x),
    "grad argnums": lambda lib, x: lib.func.grad(lambda r: r.sum(), argnums=2)(x),
    "jvp structure": lambda lib, x: lib.func.jvp(lambda r: r, (x,), (x, x)),
    "jvp primals": lambda lib, x: lib.func.jvp(lambda r: r, x, x),
    "vjp cotangents": lambda lib, x: lib.func.vjp(lambda r: r, x)[1]((x, x)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kinds = []
    for lib in (rushlight, torch):
        with pytest.raises(Exception) as error:
            ERRORS[name](lib, lib.ones(4, 3))
        kinds.append(error.type)
    assert kinds[0] is kinds[1]


def test_random_numbers_are_pytorchs():
    for lib in (rushlight, torch):
        lib.manual_seed(5)
    got = rushlight.vmap(lambda x: rushlight.randn(3), randomness="different")(rushlight.ones(4))
    want = torch.vmap(lambda x: torch.randn(3), randomness="different")(torch.ones(4))
    np.testing.assert_array_equal(got.numpy(), want.numpy())
    got = rushlight.vmap(lambda x: rushlight.randn(3), randomness="same")(rushlight.ones(4))
    assert (got == got[0]).all()
