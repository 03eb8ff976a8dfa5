"""Optimizers that take sums over parameters, on the shapes of networks, beside a live PyTorch."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

SHAPES = [(), (64,), (16, 3, 7, 7), (5, 1), (1, 5), (37, 3, 3), (24, 16, 3, 3), (9, 11, 1, 1), (10, 64), (3, 40, 50),
          (2, 1500), (3000, 7), (130, 1300)]
MATRICES = [(1, 1), (5, 1), (17, 33), (33, 17), (17, 33), (64, 576), (256, 300), (300, 256)]


def stepped(library, name, shapes, dtype, options, count=3):
    rng = np.random.default_rng(0)

    def normal(shape, scale):
        return library.from_numpy(np.asarray(rng.normal(size=shape) * scale, dtype).reshape(shape))

    params = [library.nn.Parameter(normal(s, 0.1)) for s in shapes]
    optimizer = getattr(library.optim, name)(params, **options)
    for _ in range(count):
        for p in params:
            p.grad = normal(tuple(p.shape), 0.01)
        optimizer.step()
    return params, [optimizer.state[p] for p in params]


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "weight_decay": 0.2, "maximize": True, "foreach": True},
    {"eps": (1e-5, 1e-2), "d": 1.5, "beta2_decay": -1.0, "foreach": False},
])
def test_adafactor(dtype, tolerance, options):
    (ours, our_states), (theirs, their_states) = (
        stepped(library, "Adafactor", SHAPES, dtype, options) for library in (rushlight, torch))
    for x, y, a, b in zip(ours, theirs, our_states, their_states, strict=True):
        assert np.abs(x.detach().numpy() - y.detach().numpy()).max() < tolerance
        assert list(a) == list(b)
        for key in a:
            assert tuple(a[key].shape) == tuple(b[key].shape)
            np.testing.assert_allclose(a[key].numpy(), b[key].numpy(), rtol=tolerance, err_msg=key)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "nesterov": False}, {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 4, "momentum": 0.3},
])
def test_muon(options):
    (ours, our_states), (theirs, their_states) = (
        stepped(library, "Muon", MATRICES, "float32", options) for library in (rushlight, torch))
    for x, y, a, b in zip(ours, theirs, our_states, their_states, strict=True):
        step = options.get("lr", 1e-3) * max(1, x.shape[0] / x.shape[1]) ** 0.5
        if "adjust_lr_fn" in options:
            step = 1e-3 * 0.2 * max(x.shape) ** 0.5
        difference = np.abs(x.detach().numpy() - y.detach().numpy()) / step
        # bfloat16 has 8 bits; three steps of five iterations.
        assert difference.max() < 0.06 and np.sqrt((difference**2).mean()) < 4e-3
        np.testing.assert_allclose(a["momentum_buffer"].numpy(), b["momentum_buffer"].numpy(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-6)])
@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3, "maximize": True}])
def test_sparse_adam(dtype, tolerance, options):
    def run(library):
        rng = np.random.default_rng(0)
        cases = [((50, 8), 1), ((20, 33), 1), ((9,), 1), ((5, 6, 7), 2), ((4, 3), 2)]
        params = [library.nn.Parameter(library.from_numpy(rng.normal(size=s).astype(dtype))) for s, _ in cases]
        optimizer = library.optim.SparseAdam(params, **options)
        for k in range(4):
            for p, (shape, dims) in zip(params, cases, strict=True):
                entries = int(rng.integers(0, 40))
                index = np.stack([rng.integers(0, n, size=entries) for n in shape[:dims]])
                values = rng.normal(size=(entries, *shape[dims:])).astype(dtype)
                g = library.sparse_coo_tensor(library.from_numpy(index), library.from_numpy(values), shape,
                                              check_invariants=True)
                p.grad = g.coalesce() if k % 2 else g
            optimizer.step()
        return params, [optimizer.state[p] for p in params]

    (ours, our_states), (theirs, their_states) = run(rushlight), run(torch)
    for x, y, a, b in zip(ours, theirs, our_states, their_states, strict=True):
        assert np.abs(x.detach().numpy() - y.detach().numpy()).max() < tolerance
        assert list(a) == list(b) and a["step"] == b["step"]
        for key in ("exp_avg", "exp_avg_sq"):
            assert np.abs(a[key].numpy() - b[key].numpy()).max() < tolerance


@pytest.mark.parametrize("options", [
    {"max_iter": 4}, {"lr": 0.3, "max_iter": 6, "history_size": 3},
    {"max_iter": 5, "line_search_fn": "strong_wolfe", "history_size": 4}, {"lr": 0.01, "history_size": 1},
])
def test_lbfgs(options):
    def run(library):
        rng, shapes = np.random.default_rng(0), [(60, 70), (), (33,), (5, 5)]
        values = [[np.asarray(x).reshape(s) for s in shapes for x in [draw(s)]] for draw in (
            lambda s: rng.normal(size=s), lambda s: rng.uniform(0.5, 2, size=s), lambda s: rng.normal(size=s))]
        starts, scales, targets = ([library.from_numpy(x) for x in group] for group in values)
        params = [library.nn.Parameter(x) for x in starts]
        optimizer = library.optim.LBFGS(params, **options)

        def closure():
            optimizer.zero_grad()
            loss = sum(((p - t) ** 2 * a).sum() + 0.1 * ((p - t) ** 4).sum()
                       for p, a, t in zip(params, scales, targets, strict=True))
            loss.backward()
            return loss
        losses = [optimizer.step(closure).item() for _ in range(3)]
        return params, losses, optimizer.state[params[0]]

    (ours, our_losses, a), (theirs, their_losses, b) = run(rushlight), run(torch)
    np.testing.assert_allclose(our_losses, their_losses, rtol=1e-8)
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-6, atol=1e-8)
    assert list(a) == list(b)
    for key in ("func_evals", "n_iter"):
        assert a[key] == b[key]
    for key in ("old_dirs", "old_stps", "ro", "al"):
        assert len(a[key]) == len(b[key])
        assert [x is None for x in a[key]] == [x is None for x in b[key]]
