"""Calls whose course, sizes or errors depend on what tensors hold, in ops and in Python, and on random states."""

import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs


def integers(i, *shape, high=5):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(i))


def spoiled(i, every, value, *shape):
    """A batch; each `every`-th with that value in it."""
    x = batch(i, *shape)
    if i % every == every - 1:
        x.view(-1)[1] = value
    return x


def gradient(f):
    """The gradient of the sum of f(x)."""
    def g(x):
        v = x.clone().requires_grad_()
        f(v).sum().backward()
        return v.grad
    return g


EQUAL = batch(0)
# name -> (function, its arguments for the i-th call, whether there are programs)
CALLS = {
    "equal": (lambda x, y: x + 1 if torch.equal(x, y) else x - 1, lambda i: (EQUAL, batch(i % 2)), True),
    "allclose": (lambda x, y: x + 1 if torch.allclose(x, y) else x - 1, lambda i: (EQUAL, batch(i % 2)), True),
    "truth": (lambda x: x * 2 if x[0, 0] > 0 and not x.isnan().any() else -x, lambda i: (batch(i),), True),
    "mask": (lambda x: (x[x > 0] * 2).sigmoid().sum(), lambda i: (batch(i),), True),
    "masked_select": (lambda x: torch.masked_select(x, x > 0).exp() * 2, lambda i: (batch(i),), True),
    "two_masks": (lambda x: torch.cat([x[x > 0], x[x < 0] * 2]), lambda i: (batch(i),), True),
    "rows": (lambda x: x[x[:, 0] > 0].reshape(-1).relu().shape[0], lambda i: (batch(i),), True),
    "gradient_of_mask": (gradient(lambda x: x[x > 0] ** 2), lambda i: (batch(i),), True),
    "unique": (lambda x: torch.unique((x * 2).round()).cumsum(0).flip(0), lambda i: (batch(i),), True),
    "repeats": (lambda x, n: (torch.repeat_interleave(x, n, 0) * 2).softmax(-1),
                lambda i: (batch(i), torch.tensor([i % 3, 1, 2])), True),
    "nonzero": (lambda x: torch.nonzero(x > 0) + 1, lambda i: (batch(i),), False),
    "bincount": (lambda x: torch.bincount(x) * 2, lambda i: (integers(i, 4),), True),
    "one_hot": (lambda x: F.one_hot(x) * 2, lambda i: (integers(i, 4),), False),
    "one_hot_of_five": (lambda x: F.one_hot(x, 5) * 2, lambda i: (integers(i, 4),), True),
    "index": (lambda x, n: x[n] * 2, lambda i: (batch(i), integers(i, 2, high=3)), True),
    "index_of_one": (lambda x, n: x[n] * 2, lambda i: (batch(i), torch.tensor(i % 3)), True),
    "slice": (lambda x, n: x[:n] * 2, lambda i: (batch(i), torch.tensor(i % 3)), True),
    "number_as_size": (lambda n: torch.arange(0, n.item(), 1.0), lambda i: (torch.tensor(2.0 + i % 2),), False),
    "products": (gradient(torch.prod), lambda i: (spoiled(i, 3, 0.0, 4),), True),
    "running_products": (gradient(lambda x: x.cumprod(0)), lambda i: (spoiled(i, 3, 0.0, 4),), True),
    "maxima": (gradient(lambda x: x.amax(0) + x.max()), lambda i: (spoiled(i, 3, float("nan")),), True),
    "norm": (gradient(lambda x: x.norm(p=float("inf"))), lambda i: (spoiled(i, 3, float("nan")),), True),
    "places": (lambda x, m: x.masked_fill(m, -1.0).masked_scatter(m, x), lambda i: (batch(i), batch(i + 9) > 0), True),
}


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CALLS)
def test_contents_decide(name):
    function, arguments, captured = CALLS[name]

    def loop(compiled):
        f = compiled(function)
        return [f(*arguments(i)) for i in range(9)]
    f, = compare(loop)
    assert bool(programs(f)) == captured, (f.refusals, f.paths)


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name, function, good, bad", [
    ("inverse", torch.linalg.inv, lambda i: (batch(i, 3, 3),), lambda i: (torch.ones(3, 3),)),
    ("cholesky", torch.linalg.cholesky, lambda i: (batch(i, 3, 3) @ batch(i, 3, 3).t() + torch.eye(3),),
     lambda i: (-torch.eye(3),)),
    ("division", lambda a, b: a // b, lambda i: (integers(i, 3), integers(i, 3) + 1),
     lambda i: (integers(i, 3), torch.tensor([1, 0, 2]))),
    ("labels", lambda x, y: F.nll_loss(x, y), lambda i: (batch(i), integers(i, 3, high=4)),
     lambda i: (batch(i), torch.tensor([0, 9, 1]))),
    ("rows", lambda w, i: F.embedding(i, w), lambda i: (batch(i), integers(i, 3, high=3)),
     lambda i: (batch(i), torch.tensor([0, 9, 1]))),
])
def test_contents_are_refused(name, function, good, bad):
    """What the eager call refuses, the compiled one refuses, and goes on."""
    def loop(compiled):
        f, seen = compiled(function), []
        for i in range(10):
            try:
                seen.append(f(*(bad if i % 5 == 4 else good)(i)))
            except (RuntimeError, IndexError) as e:
                seen.append(type(e).__name__)
        return seen
    f, = compare(loop)
    assert programs(f)


def test_rows_are_scaled_in_place():
    def loop(compiled):
        torch.manual_seed(0)
        table = nn.Embedding(6, 3, max_norm=1.0)
        f = compiled(table)
        return [f(torch.tensor([0, i % 6])).detach() for i in range(12)], table.weight.detach()
    f, = compare(loop)
    assert programs(f) == 1


STATES = {}


def state(f):
    STATES[f.__name__] = f
    return f


@state
def seeded_inside(x):
    torch.manual_seed(1)
    return x + torch.rand(4)


@state
def state_put_back(x):
    before = torch.get_rng_state()
    a = torch.rand(4)
    torch.set_rng_state(before)
    return x + a - torch.rand(4)


@state
def a_generator_of_its_own(x, generator=torch.Generator()):
    generator.manual_seed(7)
    return x + torch.rand(4, generator=generator) + torch.rand(4)


@state
def forked(x):
    with torch.random.fork_rng(devices=[]):
        a = torch.rand(4)
    return x + a - torch.rand(4)


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", STATES)
def test_states_of_generators(name):
    def loop(compiled):
        torch.manual_seed(3)
        f = compiled(STATES[name])
        return [(f(batch(i)), torch.rand(2)) for i in range(6)]
    f, = compare(loop)
    assert bool(programs(f)) == (name != "forked")


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:compile")
def test_recomputed_dropout(reentrant):
    from rushlight.utils.checkpoint import checkpoint

    def loop(compiled):
        torch.manual_seed(0)
        inner, head = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU()), nn.Linear(4, 1)
        optimizer = torch.optim.SGD([*inner.parameters(), *head.parameters()], 0.1)

        @compiled
        def step(x):
            optimizer.zero_grad()
            loss = head(checkpoint(inner, x.clone().requires_grad_(), use_reentrant=reentrant)).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()
        return [(step(batch(i)), torch.rand(2), inner[0].weight.detach().clone()) for i in range(6)]
    f, = compare(loop)
    assert programs(f) == 1
