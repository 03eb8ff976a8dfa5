"""Numbers among the arguments: inputs where kernels take them, conditions where they are compared, else constants."""

import copy
import math
import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs


def times(x, n):
    for _ in range(n):
        x = x * 2
    return x


def by_size(x, a):
    if a > 0.5:
        return x * a
    return x if a == 0 else x - a


def with_switch(x, *, rate=0.5, share=0.9):
    return x * share - rate * x.sum()


# name -> (function, arguments of the i-th call, most programs)
CALLS = {
    "rate": (lambda x, rate: x - rate * x.sum(), lambda i: ((batch(i), 0.1 * i), {}), 1),
    "by_name": (with_switch, lambda i: ((batch(i),), {"rate": 0.1 * i, "share": 1 / (i + 1)}), 1),
    "some_left_out": (with_switch, lambda i: ((batch(i),), {"rate": 0.1 * i} if i % 2 else {}), 2),
    "bounds": (lambda x, a, b: torch.where(x > a, x * b, x / (1 + b)), lambda i: ((batch(i), -0.1 * i, 0.3 * i), {}),
               1),
    "of_integers": (lambda x, n: x * n + n, lambda i: ((torch.arange(3), 1 << i), {}), 1),
    "to_floats": (lambda x, n: x * n, lambda i: ((torch.arange(3), 0.5 * i), {}), 1),
    "special": (lambda x, n: x / n, lambda i: ((batch(i), (0.0, -0.0, math.nan, math.inf)[i % 4]), {}), 1),
    "returned": (lambda x, n: (x + 1, n, n * 2, [n], {"n": n}), lambda i: ((batch(i), 0.5 * i), {}), 1),
    "compared": (by_size, lambda i: ((batch(i), 0.1 * (i % 10)), {}), 3),
    "size": (lambda x, n: x[:n] * n, lambda i: ((batch(i), 1 + i % 3), {}), 3),
    "repeats": (times, lambda i: ((batch(i), i % 3), {}), 3),
    "probability": (lambda x, p: F.dropout(x, p), lambda i: ((batch(i), 0.1 + 0.1 * (i % 4)), {}), 4),
    "kinds": (lambda x, n: x * n + isinstance(n, int), lambda i: ((batch(i), (i, 0.5 * i, True)[i % 3]), {}), 3),
    "exact_type": (lambda x, n: x * n if type(n) is float else x, lambda i: ((batch(i), 0.5 * (i % 4)), {}), 4),
    "in_a_list": (lambda x, ns: x * ns[0] + ns[1], lambda i: ((batch(i), [i % 2, 1.0]), {}), 2),
}


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    function, arguments, most = CALLS[name]

    def loop(compiled):
        torch.manual_seed(2)
        f = compiled(function)
        given = [arguments(i) for i in range(24)]
        return [f(*args, **kwargs) for args, kwargs in given]
    f, = compare(loop)
    assert 1 <= programs(f) <= most, f.recompiles


def test_steps():
    def loop(compiled):
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        @compiled
        def step(x, weight, temperature):
            optimizer.zero_grad()
            out = model(x) / temperature
            loss = out.square().mean() * weight + (1 - weight) * out.abs().sum()
            loss.backward()
            optimizer.step()
            return loss.item()
        return [(step(batch(i), 1 / (1 + i), 1.0 + i), model.weight.detach().clone()) for i in range(12)]
    f, = compare(loop)
    assert programs(f) == 1


def test_accumulation_by_the_number_of_a_step():
    """Gradients are another tensor in each round: programs take them as they take arguments."""
    def loop(compiled):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        optimizer = torch.optim.Adam(model.parameters(), 0.1)

        @compiled
        def step(x, i):
            loss = model(x).square().mean() / 3
            loss.backward()
            if (i + 1) % 3 == 0:
                optimizer.step()
                optimizer.zero_grad()
            return loss.item() + i
        return [(step(batch(i), i), [p.detach().clone() for p in model.parameters()],
                 [p.grad is None or p.grad.clone() for p in model.parameters()]) for i in range(40)]
    f, = compare(loop)
    assert programs(f) <= 6 and not f.refusals, f.recompiles


@pytest.mark.filterwarnings("ignore:compile")
def test_now_and_then_a_text():
    def loop(compiled):
        log = []

        @compiled
        def step(x, i):
            if i % 10 == 0:
                log.append(f"step {i}")
            return x * i
        return [step(batch(i), i) for i in range(50)], log
    f, = compare(loop)
    assert programs(f)


def test_averages():
    def loop(compiled):
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        slow = copy.deepcopy(model)

        @compiled
        def update(decay):
            with torch.no_grad():
                for a, b in zip(slow.parameters(), model.parameters()):
                    a.copy_(a * decay + b * (1 - decay))
        seen = []
        for i in range(10):
            with torch.no_grad():
                model.weight.add_(0.1)
            update((1 + i) / (10 + i))
            seen.append(slow.weight.detach().clone())
        return seen
    f, = compare(loop)
    assert programs(f) == 1


@pytest.mark.parametrize("dynamic, expected", [(None, 2), (False, 4), (True, 1)])
def test_dynamic(dynamic, expected):
    """A constant first and an input then; never an input; an input always."""
    f = torch.compile(lambda x, n: x * n, dynamic=dynamic)
    for n in (2.0, 3.0, 4.0, 5.0):
        for i in range(3):
            assert torch.equal(f(batch(i), n), batch(i) * n)
    assert programs(f) == expected


def test_a_form_has_many_numbers():
    f = torch.compile(lambda x, n: x + n)
    for i in range(200):
        assert torch.equal(f(batch(1), i), batch(1) + i)
    assert programs(f) == 1 and len(f.observed) <= 3
