"""Random numbers of NumPy's and Python's are inputs of programs; the generators go on as an eager call leaves them."""

import functools
import math
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.random as npr
import pytest
from numpy.random import uniform

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import close, leaves, programs

CALLS = 10


IN_TUPLE = (np.random.default_rng(6),)
PARTIAL = functools.partial(np.random.default_rng(8).normal, 0.0)


class OfClass:
    rng = np.random.default_rng(11)


class Setting:
    """What steps find: a model with its optimizer, and generators in several places."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Linear(4, 3)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.own = np.random.default_rng(1)
        self.old = np.random.RandomState(2)
        self.python = random.Random(3)
        self.several = [np.random.default_rng(4), np.random.default_rng(5)]
        self.sigma, self.lams = 1.0, []

    def update(self, x, y):
        loss = F.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def states(self):
        found = [np.random.get_state(legacy=False), self.old.get_state(legacy=False)]
        others = IN_TUPLE[0], OfClass.rng, PARTIAL.func.__self__
        found += [g.bit_generator.state for g in (self.own, *self.several, *others)]
        return repr([*found, random.getstate(), self.python.getstate(), torch.get_rng_state().tolist()])


CASES = {}


def case(native=True):
    def put(f):
        CASES[f.__name__] = f, native
        return f
    return put


@case()
def mixup(s, x, y):
    lam = np.random.beta(0.4, 0.4)
    i = torch.randperm(x.size(0))
    s.lams.append(lam)
    return s.update(lam * x + (1 - lam) * x[i], y), lam


@case()
def larger_share(s, x, y):
    lam = np.random.beta(1.0, 1.0)
    lam = max(lam, 1 - lam)
    return s.update(lam * x + (1 - lam) * x.flip(0), y) * lam


@case()
def decisions(s, x, y):
    if np.random.rand() < 0.5:
        x = x.flip(1)
    if uniform(0, 1) > npr.random():
        x = x + 1
    return s.update(x, y)


@case()
def decisions_by_losses(s, x, y):
    scale = np.random.rand() + s.python.random() + s.own.random() + s.old.rand()
    loss = s.update(x * scale, y)
    return scale if loss > 1.4 else loss + np.random.rand()


@case()
def generators_in_places(s, x, y):
    a, b = s.own.normal(0.0, 0.1), s.several[1].uniform(0.5, 1.5)
    return s.update(x * b + a * s.old.standard_normal() + s.python.gauss(0, 1), y), s.own.integers(5)


@case()
def sizes_and_kinds(s, x, y):
    noise = torch.from_numpy(np.random.randn(*x.shape).astype(np.float32))
    more = torch.tensor(np.random.uniform(0, 1, size=(x.shape[0], 1)), dtype=torch.float32)
    last = torch.as_tensor(s.own.random(4), dtype=torch.float32) + torch.FloatTensor(s.old.rand(4))
    return s.update(x * more + noise + last, y), more


@case()
def in_order_with_arrays(s, x, y):
    a = np.random.rand(4)
    b = np.random.rand()
    c = np.random.rand(4)
    return s.update(x * torch.tensor(a).float() * b + torch.tensor(c).float(), y), b


@case()
def positions(s, x, y):
    i, j = np.random.permutation(len(x)), s.own.choice(len(x), 3, replace=False)
    return s.update(x[i], y[i]), x[j].sum(), np.random.choice(5), x[torch.from_numpy(i)]


@case()
def arrays_computed_with(s, x, y):
    a = np.random.rand(len(x), 1)
    b = (2 * a - 1) * s.sigma + np.sqrt(a) / 2
    mask = np.random.rand(len(x), 1) > 0.5
    b = b.reshape(-1, 1).astype(np.float32)
    s.sigma *= 0.9
    return s.update(x + torch.from_numpy(b) * torch.from_numpy(mask), y), s.sigma


@case()
def numbers_of_numbers(s, x, y):
    lam = np.random.rand()
    weight = 1 / (1 + np.exp(-0.5 * (len(s.lams) - 4)))
    s.lams.append(lam)
    return s.update(x * np.sqrt(1 - lam) * float(weight), y), weight, np.mean(s.lams), float(np.std(s.lams))


@case()
def what_draws_depend_on(s, x, y):
    s.sigma = max(0.1, s.sigma * 0.9)
    return s.update(x + np.random.normal(0, s.sigma) + random.uniform(0, s.sigma), y)


@case()
def one_of_several(s, x, y):
    return s.update(x * random.choice([0.5, 2.0]), y)


@case()
def numbers_as_tensors(s, x, y):
    return s.update(x * torch.full((4,), np.random.rand()), y)


@case(False)
def seeds(s, x, y):
    np.random.seed(len(x))
    return s.update(x * np.random.rand(), y)


@case(False)
def shuffled(s, x, y):
    i = list(range(len(x)))
    np.random.shuffle(i)
    return s.update(x[i], y)


@case(False)
def generators_made(s, x, y):
    return s.update(x * np.random.default_rng(len(x)).random() * np.random.default_rng().random() * 0, y)


@case(False)
def generators_of_classes(s, x, y):
    return s.update(x * OfClass.rng.random(), y)


@case(False)
def generators_in_tuples(s, x, y):
    return s.update(x * IN_TUPLE[0].random(), y)


@case(False)
def generators_in_partials(s, x, y):
    return s.update(x * PARTIAL(0.5), y)


@case(False)
def states_looked_at(s, x, y):
    state = np.random.get_state()[2]
    return s.update(x * np.random.rand(), y), state


@case(False)
def looked_into(s, x, y):
    a = np.random.rand(3)
    return s.update(x * a[0], y), a.sum(), a.tolist()


@case(False)
def written_to(s, x, y):
    a = np.random.rand(4)
    b = a
    a[0] = 0
    a *= 2
    return s.update(x * torch.tensor(b).float(), y)


@case(False)
def float_needed(s, x, y):
    return s.update(x * float(np.float32(np.random.rand())), y)


@case(False)
def other_arrays(s, x, y):
    return s.update(x + torch.tensor(np.cumsum(np.random.rand(4))).float(), y)


@case(False)
def of_lists(s, x, y):
    s.lams.append(np.random.rand())
    return s.update(x, y), np.exp(s.lams).sum(), np.dot(s.lams, s.lams)


def outcomes(step, compiled):
    s = Setting()
    np.random.seed(7)
    for i, g in enumerate((IN_TUPLE[0], OfClass.rng, PARTIAL.func.__self__)):
        g.bit_generator.state = np.random.default_rng(i).bit_generator.state
    random.seed(7)
    torch.manual_seed(7)
    g = torch.Generator().manual_seed(1)
    call = functools.partial(step, s)
    f = torch.compile(lambda x, y: call(x, y)) if compiled else call
    found = []
    for _ in range(CALLS):
        x, y = torch.randn(6, 4, generator=g), torch.randint(0, 3, (6,), generator=g)
        found += [list(leaves([f(x, y), s.lams, s.sigma, s.model.weight])), [s.states()]]
    return found, f


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_as_eager(name):
    step, native = CASES[name]
    want, _ = outcomes(step, False)
    got, f = outcomes(step, True)
    for i, (a, b) in enumerate(zip(want, got, strict=True)):
        assert len(a) == len(b) and all(map(close, a, b)), f"call {i // 2}: {b} is not {a}"
    assert bool(programs(f)) == native, (f.refusals, f.paths)


def test_generators_go_back_where_a_number_decides():
    rng = np.random.default_rng(0)

    def step(x):
        noise = rng.random(3)
        scale = rng.random()
        y = x * torch.tensor(noise) * scale
        return y.sum().item() if y.sum().item() > 0.5 else -rng.random()
    f = torch.compile(step)
    want, got = [], []
    for found, g in ((want, step), (got, f)):
        rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
        found += [g(torch.ones(3, dtype=torch.float64)) for _ in range(40)]
    assert all(math.isclose(a, b) for a, b in zip(want, got, strict=True)) and min(got) < 0 < max(got)
    assert programs(f) == 2


def test_numpy_is_as_before():
    rng, before = np.random.default_rng(0), {name: getattr(np.random, name) for name in np.random.__all__}
    holder = {"rng": rng}

    def step(x):
        return x * holder["rng"].random() * np.random.rand() * random.random()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = torch.compile(step)
        for _ in range(4):
            f(torch.ones(2))
    assert programs(f) == 1 and holder["rng"] is rng
    assert all(getattr(np.random, name) is x for name, x in before.items())
