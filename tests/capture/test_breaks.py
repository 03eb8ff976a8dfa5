"""Calls that can't be captured whole: the reason once, and their parts as programs."""

import copy
import time
import warnings

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def data(n):
    g = torch.Generator().manual_seed(n)
    return torch.randn(5, 4, generator=g), torch.randint(0, 2, (5,), generator=g)


def entries(step):
    return {name: len(part.entries) for name, part in step.regions.parts()}


def pairs(make):
    """An eager step and a compiled one, on models of their own."""
    return make(model()), torch.compile(make(model()))


def test_modules_around_a_break(capsys):
    def make(m):
        opt = torch.optim.Adam(m.parameters())

        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(m(x), y)
            print("loss", loss.item())
            time.sleep(0)
            loss.backward()
            opt.step()
            return loss.item()
        return step
    eager, step = pairs(make)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for i in range(7):
            assert eager(*data(i)) == step(*data(i))
            one, other = capsys.readouterr().out.splitlines()
            assert one == other
    assert len(told) == 1 and told[0].filename == __file__
    line = make.__code__.co_firstlineno + 7
    assert str(told[0].message) == f"compile: step runs eagerly: sleep is called at {__file__}:{line}"
    assert entries(step) == {"Sequential": 1}


@pytest.mark.filterwarnings("ignore:compile")
def test_functions_that_are_called(capsys):
    def make(m):
        opt = torch.optim.SGD(m.parameters(), 0.1)
        seen = 0

        def train_step(x, y):
            nonlocal seen
            opt.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            opt.step()
            seen += len(x)
            return loss.item()

        def epoch(batches):
            total = 0.0
            for x, y in batches:
                loss = train_step(x, y)
                print(loss)
                time.sleep(0)
                total += loss
            return total, seen
        return epoch
    eager, epoch = pairs(make)
    batches = [data(i) for i in range(4)]
    for _ in range(4):
        assert eager(batches) == epoch(batches)
    assert entries(epoch)["train_step"] == 1


def loss_of_module(m, x, y):
    return F.cross_entropy(m(x).exp() * 2, y)


@pytest.mark.filterwarnings("ignore:compile")
def test_functions_of_the_module_level(monkeypatch):
    def step(m, x, y):
        time.sleep(0)
        loss = loss_of_module(m, x, y)
        loss.backward()
        return loss, 1
    m = model()
    compiled = torch.compile(step)
    for i in range(6):
        m.zero_grad()
        want = step(m, *data(i))[0]
        grads = [p.grad.clone() for p in m.parameters()]
        m.zero_grad()
        got = compiled(m, *data(i))[0]
        assert torch.equal(want.detach(), got.detach())
        assert all(torch.equal(a, p.grad) for a, p in zip(grads, m.parameters(), strict=True))
    assert entries(compiled)["loss_of_module"] == 1
    # Another function by that name is called from then on.
    monkeypatch.setitem(globals(), "loss_of_module", lambda m, x, y: (m(x) * 0).sum())
    assert compiled(m, *data(1))[0].item() == 0


@pytest.mark.filterwarnings("ignore:compile")
def test_modules_inside_of_a_module_that_breaks():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))

        def forward(self, x):
            h = self.first(x).relu()
            time.sleep(0)
            return self.second(h)
    torch.manual_seed(0)
    net = Net()
    compiled = torch.compile(net)
    for i in range(6):
        x, _ = data(i)
        net.zero_grad()
        net(x).sum().backward()
        want = net.first.weight.grad.clone()
        net.zero_grad()
        out = compiled(x)
        assert torch.equal(out, net(x))
        out.sum().backward()
        assert torch.equal(want, net.first.weight.grad)
    assert entries(compiled._compiled) == {"Linear": 1, "Sequential": 1}
    # Outside of compiled calls the parts are the plain modules.
    assert net.second._compiled_call_impl is None


@pytest.mark.filterwarnings("ignore:compile")
def test_numbers_in_texts():
    def make(m):
        def step(x, y):
            loss = F.cross_entropy(m(x), y)
            return loss.detach(), f"{loss.item():.3f}".rjust(9)
        return step
    eager, step = pairs(make)
    for i in range(8):
        want, got = eager(*data(i)), step(*data(i))
        assert torch.equal(want[0], got[0]) and want[1] == got[1]
    assert entries(step) == {"Sequential": 1}


def test_closures_of_optimizers():
    """What an optimizer calls many times stays Python; the model's two passes are programs."""
    def make(m):
        opt = torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=3)

        def step(x, y):
            def closure():
                opt.zero_grad()
                loss = F.cross_entropy(m(x), y)
                loss.backward()
                return loss
            return opt.step(closure).item()
        return step
    eager, step = pairs(make)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for i in range(6):
            assert step(*data(i)) == pytest.approx(eager(*data(i)), rel=1e-4)
    assert len(told) <= 1
    assert programs(step) >= 1
    assert entries(step)["closure"] == 1


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_closures_with_state(line_search):
    """Functions that an optimizer is given anew in each call: what they find, and what they leave."""
    def make(m):
        m.double()                              # (searches make much of roundings)
        opt = torch.optim.LBFGS(m.parameters(), lr=0.5, max_iter=4, line_search_fn=line_search)
        log, seen = [], {"calls": 0, "steps": 0}

        def step(x, y, weight=1.0):
            history, target = [], y if len(log) % 3 else 1 - y

            def closure():
                opt.zero_grad()
                loss = F.cross_entropy(m(x.double()), target) * weight
                loss.backward()
                seen["calls"] += 1
                log.append(loss.item())
                return loss

            def counted():
                history.append(1)
                return closure()
            seen["steps"] += 1
            opt.step(closure if seen["steps"] % 3 else counted)
            return list(log), dict(seen), len(history), [p.detach().clone() for p in m.parameters()]
        return step
    eager, step = pairs(make)
    for i in range(8):
        want, got = eager(*data(i), 1 + i % 3), step(*data(i), 1 + i % 3)
        assert got[0] == pytest.approx(want[0], rel=1e-6) and want[1:3] == got[1:3]
        for a, b in zip(want[3], got[3], strict=True):
            assert torch.allclose(a, b, atol=1e-6)
    assert entries(step)["closure"] >= 1


def programs(f):
    """How many programs a compiled function and its parts have."""
    found = sum(map(len, f.entries.values()))
    return found if f.regions is None else found + sum(programs(part) for _, part in f.regions.parts())


def test_fullgraph_raises():
    def step(x):
        y = x + 1
        time.sleep(0)
        return y * 2
    f = torch.compile(step, fullgraph=True)
    line = step.__code__.co_firstlineno + 2
    with pytest.raises(RuntimeError, match=f"can't be captured whole: sleep is called at .*test_breaks.py:{line}"):
        for _ in range(3):
            f(torch.ones(2))


@pytest.mark.filterwarnings("ignore:compile")
def test_disabled_functions():
    @torch.compiler.disable(reason="it logs")
    def log(x):
        return x.sum()
    m = model()

    def step(x):
        h = m(x)
        return h, log(h)
    f = torch.compile(step)
    for i in range(5):
        assert torch.equal(f(data(i)[0])[1], m(data(i)[0]).sum())
    assert "log is disabled: it logs" in next(iter(f.refusals.values()))
    assert entries(f) == {"Sequential": 1}


def test_reasons_name_the_line():
    import random

    def f(x):
        return random.shuffle([1.0, 2.0]) or x * 2.0

    def g(x):
        return x * 2 if str(x.sum().item()) else x

    def h(x):
        h.table[x.numel()] = None
        h.table.pop(x.numel())
        h.names.add(len(h.names))
        return x
    h.table, h.names = {}, set()
    for function, text, line in ((f, "Random.getrandbits is called at", 1), (g, "Python turns a number", 1)):
        why = repr(torch.compiler.explain(function, torch.ones(2)))
        assert text in why and f"test_breaks.py:{function.__code__.co_firstlineno + line}" in why
    assert "the length of a container was changed" in repr(torch.compiler.explain(h, torch.ones(2)))


@pytest.mark.filterwarnings("ignore:compile")
def test_models_of_broken_calls_stay_ordinary():
    m = model()

    def step(x):
        time.sleep(0)
        return m(x)
    f = torch.compile(step)
    for i in range(4):
        f(data(i)[0])
    other = copy.deepcopy(m)
    assert torch.equal(other(data(0)[0]), m(data(0)[0]))
    import pickle
    assert torch.equal(pickle.loads(pickle.dumps(m))(data(0)[0]), m(data(0)[0]))
    w = m[0].weight
    x = data(0)[0].requires_grad_()
    g, = torch.autograd.grad(m(x).sum(), x, create_graph=True)
    assert torch.autograd.grad(g.square().sum(), w)[0].shape == w.shape
