"""Steps with sparse gradients of embedding tables as programs: values, optimizer state and gradients as eager ones."""

import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import compare, programs

CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def ids(i, *shape, below=20):
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(i))


def classifier(optimizers, **more):
    """A loop over steps of bags of words: what is left of each call."""
    def loop(compile):
        torch.manual_seed(0)
        table, head = nn.Embedding(20, 4, sparse=True, **more), nn.Linear(4, 3)
        used = optimizers(table, head)
        state = used[0].state

        def step(x, y):
            for optimizer in used:
                optimizer.zero_grad()
            loss = F.cross_entropy(head(table(x).mean(1)), y)
            loss.backward()
            for optimizer in used:
                optimizer.step()
            return loss.item()
        step, found = compile(step), []
        for i in range(8):
            loss, g = step(ids(i, 5, 4, below=3 if more else 20), ids(100 + i, 5, below=3)), table.weight.grad
            kept = {k: x for k, x in state[table.weight].items() if not getattr(x, "is_sparse", False)}
            found += [loss, table.weight, g._indices(), g._values(), g.is_coalesced(), table.weight._version, kept]
        return found
    return loop


CASES["SparseAdam"] = classifier(lambda t, h: [torch.optim.SparseAdam(t.parameters(), 0.1),
                                               torch.optim.Adam(h.parameters(), 0.1)])
CASES["padding"] = classifier(lambda t, h: [torch.optim.SparseAdam(t.parameters(), 0.1),
                                            torch.optim.Adam(h.parameters(), 0.1)], padding_idx=0)
CASES["SGD"] = classifier(lambda t, h: [torch.optim.SGD([*t.parameters(), *h.parameters()], 0.1)])
CASES["momentum"] = classifier(lambda t, h: [torch.optim.SGD([*t.parameters(), *h.parameters()], 0.1, momentum=0.9)])
CASES["Adagrad"] = classifier(lambda t, h: [torch.optim.Adagrad([*t.parameters(), *h.parameters()], 0.1)])


@case
def words(compile):
    """Skip-grams with negative samples: a table that is used twice, a schedule, a decision by the loss."""
    torch.manual_seed(0)
    table, context = nn.Embedding(20, 4, sparse=True), nn.Embedding(20, 4, sparse=True)
    optimizer = torch.optim.SparseAdam([*table.parameters(), *context.parameters()], 0.1)
    schedule, low = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5), 0

    def step(a, b, c):
        nonlocal low
        u, v, n = table(a), context(b), table(c)
        loss = -(F.logsigmoid((u * v).sum(-1)) + F.logsigmoid(-(n @ u.unsqueeze(2)).squeeze(2)).sum(1)).mean()
        if loss.item() < 2.5:
            low += 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.item(), optimizer.param_groups[0]["lr"]
    step = compile(step)
    return [[step(ids(i, 5), ids(50 + i, 5), ids(90 + i, 5, 3)) for i in range(20)], low, table.weight, context.weight]


def bags(flat, **more):
    """A loop over steps of an `EmbeddingBag`, whose offsets differ from call to call."""
    def loop(compile):
        torch.manual_seed(0)
        table = nn.EmbeddingBag(20, 4, **more)
        optimizer = torch.optim.Adagrad(table.parameters(), 0.1)

        def step(x, offsets, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(table(x, offsets), y)
            loss.backward()
            optimizer.step()
            return loss.item()
        step, found = compile(step), []
        for i in range(6):
            offsets = torch.tensor([0, 3, 7, 7 + i, 16]) if flat else None
            found += [step(ids(i, *((20,) if flat else (5, 4))), offsets, ids(50 + i, 5, below=3)), table.weight]
        return found
    return loop


for _flat in (False, True):
    for _kind in ({"mode": "sum"}, {"mode": "mean", "padding_idx": 1}, {"mode": "mean", "sparse": True},
                  {"mode": "sum", "sparse": True, "padding_idx": 1}):
        CASES[f"bags {_flat} {_kind}"] = bags(_flat, **_kind)


@pytest.mark.parametrize("name", CASES)
def test_as_eager(name):
    assert all(map(programs, compare(CASES[name])))


@pytest.mark.filterwarnings("ignore:compile")
def test_what_stays_eager():
    """Gradients that pile up, and decisions after a step that can't be put back."""
    def loop(compile):
        torch.manual_seed(0)
        table = nn.Embedding(20, 4, sparse=True)
        optimizer = torch.optim.SparseAdam(table.parameters(), 0.1)

        def step(i, x, y):
            loss = F.cross_entropy(table(x).mean(1), y)
            loss.backward()
            if i % 2:
                optimizer.step()
                optimizer.zero_grad()
            after = F.cross_entropy(table(x).mean(1), y)
            return "better" if after.item() < loss.item() else after.item()
        step = compile(step)
        found = [step(i, ids(i, 5, 4), ids(100 + i, 5, below=3)) for i in range(12)]
        return found, table.weight, optimizer.state[table.weight]["step"]
    compare(loop)
