"""Optimizer steps of programs, whose arrays and counters are found once: the same bits as eager ones."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
import rushlight as torch
from rushlight.optim import planned as module

MAKE = {
    "Adam": lambda ps: torch.optim.Adam(ps, lr=1e-2),
    "amsgrad": lambda ps: torch.optim.Adam(ps, lr=1e-2, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda ps: torch.optim.AdamW(ps, lr=1e-2),
    "SGD": lambda ps: torch.optim.SGD(ps, lr=1e-2),
    "momentum": lambda ps: torch.optim.SGD(ps, lr=1e-2, momentum=0.9, nesterov=True),
    "RMSprop": lambda ps: torch.optim.RMSprop(ps, lr=1e-3),
    "NAdam": lambda ps: torch.optim.NAdam(ps, lr=1e-3),
}


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(33, 130), torch.nn.Tanh(), torch.nn.Linear(130, 5),
                               torch.nn.Linear(5, 1))


def trained(make, compiled, steps=8, between=lambda i, net, optimizer: None):
    """Parameters and state after some steps."""
    net = model()
    optimizer = make(net.parameters())

    def step(x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss
    run = torch.compile(step) if compiled else step
    for i in range(steps):
        between(i, net, optimizer)
        torch.manual_seed(i)
        run(torch.randn(7, 33))
    state = [x for s in optimizer.state_dict()["state"].values() for x in s.values() if isinstance(x, torch.Tensor)]
    return [t.detach().numpy().copy() for t in (*net.parameters(), *state)]


def same(a, b):
    assert len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture
def plans(monkeypatch):
    """The steps that were planned."""
    found, make = [], module.planned
    monkeypatch.setattr(module, "planned", lambda *args: found.append(make(*args)) or found[-1])
    return found


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", MAKE)
def test_steps_are_the_eager_ones(name, plans):
    same(trained(MAKE[name], True), trained(MAKE[name], False))
    assert plans and (plans[0] is None) == (name == "NAdam")


def test_any_number_of_threads(plans):
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.append(trained(MAKE["Adam"], True))
    finally:
        torch.set_num_threads(threads)
    same(found[0], found[1])
    same(found[0], found[2])


def rate(i, net, optimizer):
    optimizer.param_groups[0]["lr"] = 1e-2 / (i + 1)


def rule(i, net, optimizer):
    if i == 5:
        optimizer.param_groups[0]["betas"] = (0.4, 0.9)        # another formula of the mean


def counters(i, net, optimizer):
    if i == 5:
        optimizer.state[next(net.parameters())]["step"] += 3


def reload(i, net, optimizer):
    if i == 5:
        state = optimizer.state_dict()
        for s in state["state"].values():
            s["exp_avg"] = s["exp_avg"] * 2
        optimizer.load_state_dict(state)


def smaller(i, net, optimizer):
    if i == 5:
        net[2].weight.data = net[2].weight.data * 0.5


@pytest.mark.parametrize("between", [rate, rule, counters, reload, smaller], ids=lambda f: f.__name__)
def test_what_changes_between_steps_counts(between, plans):
    same(trained(MAKE["Adam"], True, between=between), trained(MAKE["Adam"], False, between=between))
    assert plans[0] is not None


def test_gradients_that_come_and_go():
    def run(compiled):
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        step = torch.compile(optimizer.step) if compiled else optimizer.step
        for i in range(14):
            torch.manual_seed(i)
            if i != 11:
                optimizer.zero_grad(set_to_none=i % 3 != 0)
            net(torch.randn(4, 33)).square().sum().backward()
            if i in (6, 9):
                net[2].weight.grad = None
            if i == 8:
                net[0].weight.grad = net[0].weight.grad.t().contiguous().t()
            if i == 10:
                net[0].bias.grad = torch.ones(130)
            if i == 12:
                net[3].weight.grad = net[3].weight.grad.expand(1, 5).clone().requires_grad_(False)
            step()
        return [p.detach().numpy() for p in net.parameters()]
    same(run(True), run(False))


def test_a_plan_refuses_what_it_was_not_made_for():
    from rushlight.compiler import pointwise_kernel
    from rushlight.compiler import scalar as s
    from rushlight.compiler.templates import updates
    kernel = pointwise_kernel((s.input(0) - s.scalar(0) * s.input(1),), ["float32"] * 2, ["float64"], ["float32"],
                              "float32")
    sizes = (3, 5000, 20000)
    p = [np.arange(n, dtype=np.float32) for n in sizes]
    g = [np.ones(n, np.float32) for n in sizes]
    counts = [np.zeros((), np.float32) for _ in sizes]
    plan = updates.plan_of(kernel, [(a, a, b) for a, b in zip(p, g, strict=True)], 2, counts)
    run = updates.runner()
    other = [2 * x for x in g]
    assert run(plan, (0.5,), 1.0, other) is True
    assert all(np.array_equal(a, np.arange(n, dtype=np.float32) - 1) for a, n in zip(p, sizes, strict=True))
    assert [float(c) for c in counts] == [1, 1, 1]
    assert run(plan, (0.5,), 1.0, g) is False                                   # the counters are further
    assert run(plan, (0.5,), 2.0, [g[0], g[1][::-1], g[2]]) is False
    assert run(plan, (0.5,), 2.0, [g[0], g[1][:-1], g[2]]) is False
    assert run(plan, (0.5,), 2.0, [g[0], [1.0], g[2]]) is False
    with pytest.raises(TypeError):
        run(plan, ("x",), 2.0, g)
    assert all(np.array_equal(a, np.arange(n, dtype=np.float32) - 1) for a, n in zip(p, sizes, strict=True))
    assert [float(c) for c in counts] == [1, 1, 1]
