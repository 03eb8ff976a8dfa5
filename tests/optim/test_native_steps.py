"""Steps of all parameters by one native call beside the same steps by tensor operations."""

import copy

import numpy as np
import pytest

import rushlight as torch
from rushlight import compiler
from rushlight.optim import phased

pytestmark = pytest.mark.skipif(not compiler.available(), reason="there is no compiler here")

# Vectors, small matrices in every number, matrices of one tile and of several in both directions.
SHAPES = [(), (1,), (70,), (5, 1), (1, 5), (37, 3, 3), (20, 3, 3, 3), (9, 11, 1, 1), (10, 6), (3, 40, 50), (2, 1500),
          (3000, 7), (130, 1300), (4, 8, 8)]
MATRICES = [(1, 1), (5, 1), (1, 7), (17, 33), (33, 17), (17, 33), (256, 300), (300, 256), (272, 272), (40, 700)]
SPARSE = [((50, 8), 1), ((20, 33), 1), ((9,), 1), ((5, 6, 7), 2), ((4, 3), 2), ((6, 130), 1)]


def normal(rng, shape, dtype):
    return torch.from_numpy(np.asarray(rng.normal(size=shape), dtype=dtype).reshape(shape))


class Dense:
    """Steps of an optimizer along random gradients."""

    def __init__(self, name, shapes, dtype, **options):
        self.rng, self.dtype = np.random.default_rng(0), dtype
        self.params = [torch.nn.Parameter(normal(self.rng, s, dtype) * 0.1) for s in shapes]
        self.optimizer = getattr(torch.optim, name)(self.params, **options)

    def steps(self, count=1):
        for _ in range(count):
            for p in self.params:
                p.grad = normal(self.rng, tuple(p.shape), self.dtype) * 0.01
            self.optimizer.step()
        return self

    def values(self):
        return [p.detach().numpy() for p in self.params]


def both(monkeypatch, run):
    """What ``run()`` gives with native steps and without, and how many native calls there were."""
    calls, step = [], phased.Plan.run
    with monkeypatch.context() as m:
        m.setattr(phased.Plan, "run", lambda *args: (calls.append(1), step(*args))[1])
        native = run()
    with monkeypatch.context() as m:
        m.setattr(phased, "listening", lambda: (False, False))
        m.setattr(phased.Plan, "run", None)
        plain = run()
    return native, plain, len(calls)


def assert_close(native, plain, tolerance):
    for k, (x, y) in enumerate(zip(native.values(), plain.values(), strict=True)):
        assert np.abs(x - y).max() <= tolerance, k
    states = [[s.optimizer.state[p] for p in s.params] for s in (native, plain)]
    for x, y in zip(*states, strict=True):
        assert list(x) == list(y)
        for name in x:
            a, b = (np.asarray(v.numpy() if isinstance(v, torch.Tensor) else v) for v in (x[name], y[name]))
            assert a.shape == b.shape and a.dtype == b.dtype
            assert np.abs(a - b).max() <= tolerance * (1 + np.abs(b).max()), name


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "weight_decay": 0.2, "maximize": True}, {"eps": (1e-5, 1e-2), "d": 1.5, "beta2_decay": -1.0},
])
def test_adafactor(monkeypatch, dtype, tolerance, options):
    native, plain, calls = both(monkeypatch, lambda: Dense("Adafactor", SHAPES, dtype, **options).steps(3))
    assert calls == 3
    assert_close(native, plain, tolerance)


def test_adafactor_of_zero_gradients(monkeypatch):
    def run():
        found = Dense("Adafactor", [(3,), (4, 3, 3), (40, 50)], "float32")
        for p in found.params:
            p.grad = torch.zeros_like(p)
        found.optimizer.step()
        return found
    native, plain, _ = both(monkeypatch, run)
    assert_close(native, plain, 0)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 4},
    {"ns_steps": 0, "momentum": 0.3},
])
def test_muon(monkeypatch, options):
    native, plain, calls = both(monkeypatch, lambda: Dense("Muon", MATRICES, "float32", **options).steps(2))
    assert calls == 2
    # Products are rounded to 8 bits, five times over.
    lr = options.get("lr", 1e-3)
    for (rows, columns), x, y in zip(MATRICES, native.values(), plain.values(), strict=True):
        difference = np.abs(x - y) / (lr * max(1, rows / columns) ** 0.5)
        assert difference.max() < 0.06 and np.sqrt((difference**2).mean()) < 4e-3
    for p, q in zip(native.params, plain.params, strict=True):
        a, b = (s.optimizer.state[x]["momentum_buffer"].numpy() for s, x in ((native, p), (plain, q)))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)


class Sparse(Dense):
    def __init__(self, dtype, **options):
        super().__init__("SparseAdam", [s for s, _ in SPARSE], dtype, **options)

    def steps(self, count=1):
        for k in range(count):
            for i, (p, (shape, dims)) in enumerate(zip(self.params, SPARSE, strict=True)):
                entries = int(self.rng.integers(0, 60)) if k != 1 or i else 0
                index = np.stack([self.rng.integers(0, n, size=entries) for n in shape[:dims]])
                values = normal(self.rng, (entries, *shape[dims:]), self.dtype)
                g = torch.sparse_coo_tensor(torch.from_numpy(index), values, shape, check_invariants=True)
                p.grad = g.coalesce() if (k + i) % 3 == 0 else g
            self.optimizer.step()
        return self


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 2e-6)])
@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3, "maximize": True}])
def test_sparse_adam(monkeypatch, dtype, tolerance, options):
    native, plain, calls = both(monkeypatch, lambda: Sparse(dtype, **options).steps(5))
    assert calls == 5
    assert_close(native, plain, tolerance)


def test_indices_outside_of_a_parameter():
    p = torch.nn.Parameter(torch.zeros(4, 2))
    p.grad = torch.sparse_coo_tensor(torch.tensor([[0, 9]]), torch.ones(2, 2), (4, 2), check_invariants=False)
    with pytest.raises(IndexError, match="outside of its parameter"):
        torch.optim.SparseAdam([p]).step()


class Descent:
    """L-BFGS on a convex function of several parameters, of which one may have no gradient."""

    def __init__(self, dtype, shapes=((90, 70), (), (33,)), **options):
        rng = np.random.default_rng(0)
        self.params = [torch.nn.Parameter(normal(rng, s, dtype)) for s in shapes]
        self.unused = torch.nn.Parameter(torch.ones(3, dtype=self.params[0].dtype))
        targets = [normal(rng, s, dtype) for s in shapes]
        scales = [normal(rng, s, dtype).abs() + 0.5 for s in shapes]
        self.optimizer = torch.optim.LBFGS([*self.params, self.unused], **options)
        self.losses, self.evaluations = [], 0

        def closure():
            self.optimizer.zero_grad()
            self.evaluations += 1
            loss = sum(((p - t) ** 2 * a).sum() + 0.1 * ((p - t) ** 4).sum()
                       for p, a, t in zip(self.params, scales, targets, strict=True))
            loss.backward()
            return loss
        self.closure = closure

    def steps(self, count):
        self.losses += [self.optimizer.step(self.closure).item() for _ in range(count)]
        return self


@pytest.mark.parametrize("options", [
    {"max_iter": 4}, {"lr": 0.3, "max_iter": 6, "history_size": 3},
    {"max_iter": 5, "line_search_fn": "strong_wolfe", "history_size": 4}, {"lr": 0.01, "history_size": 1},
])
def test_lbfgs(monkeypatch, options):
    native, plain, _ = both(monkeypatch, lambda: Descent("float64", **options).steps(3))
    assert native.evaluations == plain.evaluations
    np.testing.assert_allclose(native.losses, plain.losses, rtol=1e-9)
    states = [s.optimizer.state[s.params[0]] for s in (native, plain)]
    assert list(states[0]) == list(states[1])
    for name, x in states[0].items():
        for a, b in zip(*[v if type(v) is list else [v] for v in (x, states[1][name])], strict=True):
            assert type(a) is type(b), name
            if isinstance(a, torch.Tensor):
                assert a.dtype == b.dtype and a.shape == b.shape
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7, err_msg=name)
    for p, q in zip(native.params, plain.params, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-9)


STATEFUL = [("Adafactor", SHAPES[:8]), ("Muon", MATRICES[:6])]


@pytest.mark.parametrize("name, shapes", STATEFUL)
def test_steps_go_on_after_loading(name, shapes):
    """A plan serves the memory that it was made for: loaded states and replaced parameters get another."""
    whole = Dense(name, shapes, "float32").steps(4)
    halves = Dense(name, shapes, "float32").steps(2)
    saved = copy.deepcopy(halves.optimizer.state_dict())
    halves.optimizer.load_state_dict(saved)
    halves.steps(1)
    for p in halves.params:
        p.data = p.data.clone()
    halves.steps(1)
    for x, y in zip(whole.values(), halves.values(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_plans_of_replaced_memory_go():
    """Groups have few plans, each group its own, and loading leaves none of before."""
    params = [torch.nn.Parameter(torch.ones(3, 3)) for _ in range(12)]
    optimizer = torch.optim.Adafactor([{"params": [p]} for p in params])
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(3, 3)
        optimizer.step()
        plans = phased._plans[optimizer]
        assert [len(of_group) for of_group in plans.values()] == [1] * 12
    for _ in range(6):
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.step()
    assert len(phased._plans[optimizer]) == 12
    for _ in range(6):
        params[0].data = params[0].data.clone()
        optimizer.step()
    assert max(len(of_group) for of_group in phased._plans[optimizer].values()) <= phased.MOST_PLANS


@pytest.mark.parametrize("name, shapes", STATEFUL)
def test_copies_step_their_own_parameters(name, shapes):
    first = Dense(name, shapes, "float32").steps(2)
    before = [x.copy() for x in first.values()]
    second = copy.deepcopy(first)
    second.steps(1)
    for x, y in zip(first.values(), before, strict=True):
        np.testing.assert_array_equal(x, y)
    first.steps(1)
    for x, y in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name, shapes", STATEFUL)
def test_parameters_without_gradients_wait(monkeypatch, name, shapes):
    def run():
        found = Dense(name, shapes, "float32").steps(1)
        for p in found.params[::2]:
            p.grad = None
        found.optimizer.step()
        return found.steps(1)
    native, plain, calls = both(monkeypatch, run)
    assert calls == (4 if name == "Adafactor" else 3)       # step counts differ in the last
    assert_close(native, plain, 1e-5 if name == "Adafactor" else 1e-4)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_layouts_and_dtypes_that_have_no_plan(monkeypatch, name):
    """Transposed parameters and gradients, and 16-bit floats beside plain ones."""
    def run():
        found = Dense(name, [(6, 4), (5, 7), (4, 8)], "float32")
        rng = found.rng
        turned = torch.nn.Parameter(normal(rng, (4, 6), "float32").t())
        half = torch.nn.Parameter(normal(rng, (4, 6), "float32").bfloat16())
        found.optimizer.add_param_group({"params": [turned, half]})
        found.params += [turned, half]
        for _ in range(2):
            for p in found.params:
                p.grad = normal(rng, tuple(p.shape), "float32").to(p.dtype)
            found.params[0].grad = found.params[0].grad.t().contiguous().t()
            found.optimizer.step()
        found.params.pop()
        return found
    native, plain, calls = both(monkeypatch, run)
    assert calls == 2
    assert_close(native, plain, 1e-5 if name == "Adafactor" else 1e-4)


@pytest.mark.parametrize("name", ["Adafactor", "Muon", "SparseAdam"])
@pytest.mark.filterwarnings("ignore:compile. step runs eagerly")
def test_compiled_steps_are_eager_ones(name):
    """Parameters after eight calls, the learning rate changed in between."""
    def run(compiled):
        torch.manual_seed(0)
        if name == "SparseAdam":
            model = torch.nn.Embedding(50, 8, sparse=True)
        else:
            bias = name != "Muon"
            model = torch.nn.Sequential(torch.nn.Linear(6, 20, bias), torch.nn.Tanh(), torch.nn.Linear(20, 3, bias))
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.05)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss
        call = torch.compile(step) if compiled else step
        losses = []
        for k in range(8):
            if k == 5:
                optimizer.param_groups[0]["lr"] = 0.01
            x = torch.randint(0, 50, (7,)) if name == "SparseAdam" else torch.randn(5, 6)
            losses.append(call(x).item())
        return losses, [p.tolist() for p in model.parameters()], repr(optimizer.state_dict())

    assert run(True) == run(False)


def test_versions_go_up():
    p = torch.nn.Parameter(torch.ones(4, 4))
    for name in ("Adafactor", "Muon"):
        optimizer = getattr(torch.optim, name)([p])
        loss = (p * p).sum()
        p.grad = torch.ones(4, 4)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
