"""Tensors that get other memory by ``.data = ...``: programs do it again, and older views keep what they saw."""

import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs

CASES = {}


def case(least):
    def add(loop):
        CASES[loop.__name__] = loop, least
        return loop
    return add


class Setting:
    def __init__(self, make=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
        self.params = list(self.model.parameters())
        self.opt = make and make(self.params)

    def backward(self, x):
        self.model.zero_grad()
        loss = self.model(x).square().mean()
        loss.backward()
        return loss

    def seen(self):
        return [(p.detach().clone(), p._version, p.grad is None) for p in self.params]


def run(compiled, s, step, calls=7):
    step, found = compiled(step), []
    for i in range(calls):
        found += [step(batch(i)), s.seen()]
    return found


@case(1)
def descent(compiled):
    s = Setting()

    def step(x):
        loss = s.backward(x)
        for p in s.params:
            p.data = p.data - 0.1 * p.grad
        return loss.item()
    return run(compiled, s, step)


def clipped(make):
    def loop(compiled):
        s = Setting(make)

        def step(x):
            loss = s.backward(x)
            s.opt.step()
            for p in s.params:
                p.data = p.data.clamp(-0.3, 0.3)
            return loss.item()
        return run(compiled, s, step)
    return loop


for name, make in {"sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, 0.1),
                   "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01), "adafactor": torch.optim.Adafactor}.items():
    CASES[f"clipped_{name}"] = clipped(make), 1


@case(1)
def averages(compiled):
    s = Setting(lambda p: torch.optim.SGD(p, 0.1))
    mean = [p.detach().clone() for p in s.params]

    def step(x):
        loss = s.backward(x)
        s.opt.step()
        for m, p in zip(mean, s.params, strict=True):
            m.data = 0.9 * m.data + 0.1 * p.data
        return loss.detach()
    return run(compiled, s, step), mean


@case(1)
def views_of_before_stay(compiled):
    """Each round keeps the memory that the next one replaces."""
    s, kept = Setting(), []

    def step(x):
        loss = s.backward(x)
        for p in s.params:
            p.data = p.data - 0.1 * p.grad
            p.mul_(0.5) if not p.requires_grad else p.data.mul_(0.5)
        return loss.item()
    step = compiled(step)
    for i in range(7):
        kept.append([p.data for p in s.params])
        step(batch(i))
    return kept, s.seen()


@case(1)
def now_and_then(compiled):
    s, n = Setting(lambda p: torch.optim.SGD(p, 0.1)), [0]

    def step(x):
        n[0] += 1
        loss = s.backward(x)
        s.opt.step()
        if n[0] % 3 == 0:
            s.params[0].data = s.params[0].data * 0.9
        return loss.item()
    return run(compiled, s, step, 12)


@case(1)
def changed_afterwards(compiled):
    s = Setting()

    def step(x):
        p = s.params[0]
        p.data = p.data * 0.5
        with torch.no_grad():
            p.add_(0.25)
            p.data = p + 1
        return s.backward(x).item()
    return run(compiled, s, step)


@case(1)
def swapped_and_put_back(compiled):
    """Evaluation with averaged weights; the weights' own memory is there again when the call is over."""
    s = Setting()
    mean = [p.detach() * 0.5 for p in s.params]

    def step(x):
        own = [p.data for p in s.params]
        for p, m in zip(s.params, mean, strict=True):
            p.data = m
        with torch.no_grad():
            out = s.model(x)
        for p, o in zip(s.params, own, strict=True):
            p.data = o
        return out
    return run(compiled, s, step)


@case(0)
def weights_of_another(compiled):
    s, t = Setting(), Setting()

    def step(x):
        loss = s.backward(x)
        s.params[0].data = t.params[0].data
        with torch.no_grad():
            t.params[0].add_(0.1)
        return loss.item()
    return run(compiled, s, step), t.seen()


@case(0)
def two_of_one(compiled):
    s = Setting()

    def step(x):
        new = s.params[1].data + 0.1
        s.params[1].data = new
        s.model.register_buffer("kept", new)
        return s.backward(x).item()
    return run(compiled, s, step)


@case(0)
def another_shape(compiled):
    held = torch.ones(2)

    @compiled
    def step(x):
        held.data = torch.cat([held.data, x[0, :1]])
        return held.sum().item()
    return [(step(batch(i)), held.clone()) for i in range(6)]


@case(0)
def an_argument(compiled):
    @compiled
    def step(x, rate):
        x.data = x.data * rate
        return x.sum()
    x = batch(0)
    return [(step(x, 0.5), x.clone(), x._version) for i in range(6)]


@case(0)
def another_window(compiled):
    held = torch.arange(12.)

    @compiled
    def step(x):
        held.data = held.data[:12].flip(0).clone()[:12]
        return (held[:4] * x).sum()
    return [(step(batch(i)), held.clone()) for i in range(6)]


@case(1)
def queue_of_keys(compiled):
    s = Setting()
    key = nn.Linear(4, 2)
    for p in key.parameters():
        p.requires_grad = False
    query = nn.Linear(4, 2)

    def step(x):
        with torch.no_grad():
            for a, b in zip(key.parameters(), query.parameters(), strict=True):
                a.data = a.data * 0.9 + b.data * 0.1
        loss = F.mse_loss(query(x), key(x))
        query.zero_grad()
        loss.backward()
        for p in query.parameters():
            p.data.add_(p.grad, alpha=-0.1)
        return loss.item()
    return run(compiled, s, step), list(key.parameters()), list(query.parameters())


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_same_as_eager(name):
    loop, least = CASES[name]
    f, = compare(loop)
    assert programs(f) >= least, (f.refusals, f.paths)


def test_memory_is_as_fresh_as_eagerly():
    """What a call assigned is nobody else's: not of the next call, and not of what it returned."""
    p = torch.ones(3)

    @torch.compile
    def step(x):
        p.data = p.data + x
        return p * 2
    before = []
    for i in range(6):
        old, out = p.data, step(torch.ones(3))
        before.append((old, out))
    assert [a.tolist() for a, _ in before] == [[1. + i] * 3 for i in range(6)]
    assert [b.tolist() for _, b in before] == [[4. + 2 * i] * 3 for i in range(6)]
    assert programs(step) == 1
