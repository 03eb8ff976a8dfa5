"""Sizes and forms of arguments: new programs where they are needed, and why they were."""

import os
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def training(compiled=True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    opt = torch.optim.Adam(model.parameters())

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss.item()
    return torch.compile(step) if compiled else step


def batches(sizes):
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(n, 4, generator=g), torch.randint(0, 2, (n,), generator=g)) for n in sizes]


@pytest.mark.parametrize("dynamic", [None, True])
def test_last_partial_batches(dynamic):
    data = batches([8, 8, 8, 3] * 4)
    eager, step = training(False), torch.compile(training(False), dynamic=dynamic)
    assert [eager(*b) for b in data] == [step(*b) for b in data]
    assert len(step.entries) == 2 and sum(map(len, step.entries.values())) == 2
    # One watched call for both sizes, then a captured one each: nothing is captured again and again.
    assert sum(step.tries.values()) == 2
    assert step.recompiles == ["argument 0 has size 3 along axis 0, had 8"]


def test_why_programs_are_made():
    scale, parts = 2.0, [torch.ones(3)]
    m = nn.Linear(3, 3)

    def f(x, n=1, flag=None):
        return m(x * scale * n) + parts[0]
    g = torch.compile(f)

    def calls(*args, **kwargs):
        for _ in range(3):
            assert torch.equal(g(*args, **kwargs), f(*args, **kwargs))
        return g.recompiles[-1] if g.recompiles else None
    x = torch.randn(2, 3)
    assert calls(x) is None
    assert calls(torch.randn(5, 3)) == "argument 0 has size 5 along axis 0, had 2"
    assert calls(torch.randn(2, 2, 3)) == "argument 0 has shape (2, 2, 3), had (2, 3)"
    assert calls(torch.randn(3, 2).t()).startswith("argument 0 has strides")
    assert calls(x, 2) == "other arguments were given"
    assert calls(x, 3) == "argument 1 is any number, was 2"
    with torch.no_grad():
        assert calls(x) == "gradients are not recorded"
    scale = 3.0
    assert calls(x) == "a variable of a closure is 3.0, was 2.0"
    m.eval()
    assert calls(x) == "'training' is False, was True"
    m.weight.data = torch.zeros(3, 3)
    assert calls(x) == "a tensor of shape (3, 3) is in other memory"
    assert "argument 0 has size 5" in repr(torch.compiler.explain(g, x))


@pytest.mark.filterwarnings("ignore:compile")
def test_caches_are_bounded(monkeypatch):
    from rushlight.capture import compiled
    monkeypatch.setattr(compiled, "FORMS", 4)
    f = torch.compile(lambda x: x * 2 + 1)
    for n in range(1, 9):
        for _ in range(3):
            assert torch.equal(f(torch.ones([1] * n)), torch.full([1] * n, 3.0))
    assert len(f.entries) == 4
    assert all("programs were made for 4 forms of arguments; argument 0 has shape" in why
               for why in f.refusals.values())
    n = 0

    def g(x):
        return x * n
    g = torch.compile(g)
    for i in range(12):
        n = i
        for _ in range(2):
            assert g(torch.ones(1)).item() == i
    assert not g.entries and "8 programs were made" in next(iter(g.refusals.values()))
    assert "a variable of a closure is 7, was 6" in next(iter(g.refusals.values()))


def test_objects_among_arguments():
    class Config:
        def __init__(self, n):
            self.n = n
    f = torch.compile(lambda x, c: x * c.n)
    for n in (2, 3, 2):
        c = Config(n)
        for _ in range(3):
            assert f(torch.ones(2), c).tolist() == [n, n]
        c.n = 5
        assert f(torch.ones(2), c).tolist() == [5, 5]


def test_reset_and_disable():
    f = torch.compile(lambda x: x + 1)
    for _ in range(3):
        f(torch.ones(2))
    assert f.entries
    torch.compiler.reset()
    assert not f.entries and not f.quick
    assert f(torch.ones(2)).tolist() == [2, 2]
    assert torch.compile(lambda x: x + 1, disable=True).entries == {}


def test_slices_of_one_tensor_share_a_program():
    """Where an argument begins in its memory is no part of its form, unless the call's other windows depend on it."""
    x = torch.randn(40, 6)
    whole, part = torch.compile(lambda b: (b * 2).sum(0)), torch.compile(lambda b: (b[:, :-1] * b[:, 1:]).sum(0))
    for i in range(10):
        b = x[i * 4:i * 4 + 4]
        assert torch.equal(whole(b), (b * 2).sum(0))
        assert torch.equal(part(b), (b[:, :-1] * b[:, 1:]).sum(0))
    assert [sum(map(len, f.entries.values())) for f in (whole, part)] == [1, 1]
    w = torch.randn(6, 3, requires_grad=True)
    outside = torch.compile(lambda b: (b @ w).tanh().sum() + b[1:].sum())
    for i in range(6):
        b = x[i * 4:i * 4 + 4]
        outside(b).backward()
        got, w.grad = w.grad, None
        ((b @ w).tanh().sum() + b[1:].sum()).backward()
        assert torch.equal(got, w.grad)
        w.grad = None


@pytest.mark.filterwarnings("ignore:compile")
def test_arguments_in_memory_that_is_read_otherwise():
    x = torch.randn(12, 3)

    def f(b):
        return b + x[:2] * x[1]
    g = torch.compile(f)
    for i in range(5):
        assert torch.equal(f(x[i:i + 2]), g(x[i:i + 2]))
    assert torch.equal(f(torch.ones(2, 3)), g(torch.ones(2, 3)))


def test_layers_that_are_freed():
    """A program holds for the parameters that need gradients, and for the groups that optimizers have."""
    outcomes = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD(model[2].parameters(), 0.1)

        def step(x, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss.detach()
        f = torch.compile(step) if compiled else step
        found = []
        for i in range(9):
            if i == 4:
                model[0].requires_grad_(True)
            if i == 6:
                optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
            found.append(f(torch.randn(3, 5)))
            found += [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        outcomes.append(found + [p.detach() for p in model.parameters()])
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(*outcomes, strict=True))
    assert sum(map(len, f.entries.values())) >= 2


@pytest.mark.filterwarnings("ignore:compile")
def test_flags_that_a_call_leaves_changed():
    w = torch.ones(3, requires_grad=True)

    def freeze(x):
        y = (x * w).sum()
        w.requires_grad_(False)
        return y
    f = torch.compile(freeze)
    for _ in range(5):
        w.requires_grad_(True)
        assert f(torch.ones(3)).requires_grad and not w.requires_grad


@pytest.mark.filterwarnings("ignore:compile")
def test_second_derivatives_in_calls_that_break():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

    def penalty(x):
        x = x.detach().requires_grad_()
        os.stat(".")
        g, = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        return torch.autograd.grad((g.norm(dim=1) - 1).square().sum(), net[0].weight)[0]
    f = torch.compile(penalty)
    for i in range(6):
        x = torch.randn(5, 3)
        assert torch.equal(f(x), penalty(x))



@dataclass
class Batch:
    """A record among the arguments."""
    x: Any
    n: int = 3
    scale = 2.0

    def scaled(self):
        return self.x * self.scale


@dataclass
class Answer(OrderedDict):
    """What is both a dict and an object, as models of language libraries answer."""
    loss: Any = None
    logits: Any = None

    def __post_init__(self):
        for f in fields(self):
            self[f.name] = getattr(self, f.name)

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)


@pytest.mark.filterwarnings("error:compile")
def test_records():
    w = torch.ones(3, requires_grad=True)

    def f(batch, more):
        y = batch.scaled() * w + more["k"] * batch.n
        return Answer(loss=y.sum(), logits=y), replace(batch, x=y + 1), OrderedDict(z=y, n=batch.n)
    g = torch.compile(f)
    try:
        for i in range(12):
            if i == 6:
                Batch.scale = 5.0
            args = Batch(torch.arange(3.0) + i, n=3 + i // 9), OrderedDict(k=torch.full((3,), float(i)))
            (a, b, c), (u, v, z) = f(*args), g(*args)
            assert type(u) is Answer and list(u) == ["loss", "logits"] and u.loss is u["loss"]
            assert torch.equal(a.logits, u.logits) and torch.equal(b.x, v.x) and torch.equal(c["z"], z["z"])
            assert type(v) is Batch and v.n == b.n and type(z) is OrderedDict and z["n"] == c["n"]
            assert torch.equal(torch.autograd.grad(a.loss, w)[0], torch.autograd.grad(u.loss, w)[0])
    finally:
        Batch.scale = 2.0
    assert sum(map(len, g.entries.values())) == 3


@pytest.mark.filterwarnings("ignore:compile")
def test_records_that_are_changed_or_given_back():
    def change(batch):
        batch.x = batch.x * 2
        return batch.x + 1
    f, same = torch.compile(change), torch.compile(lambda batch: (batch, batch.x + 1))
    for _ in range(4):
        batch = Batch(torch.ones(2))
        assert f(batch).tolist() == [3, 3] and batch.x.tolist() == [2, 2]
        assert same(batch)[0] is batch
    assert not f.entries and not same.entries
