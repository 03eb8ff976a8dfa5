"""Whole steps in the company of what training scripts use: hooks, autocast, checkpoints, schedulers, evaluation."""

import copy
import io
from threading import Thread

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.utils.checkpoint import checkpoint

STEPS = {}


def step_kind(f):
    STEPS[f.__name__] = f
    return f


class Setting:
    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.opt = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.log = []


@step_kind
def accumulation(s):
    def step(x, y):
        for i in range(2):
            (F.cross_entropy(s.model(x[i::2]), y[i::2]) / 2).backward()
        s.opt.step()
        s.opt.zero_grad(set_to_none=False)
        return [p.grad.sum() for p in s.model.parameters()]
    return step


@step_kind
def autocast(s):
    def step(x, y):
        s.opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        return loss.detach()
    return step


@step_kind
def recomputed(s):
    def step(x, y):
        s.opt.zero_grad()
        h = checkpoint(s.model[:2], x, use_reentrant=False)
        loss = F.cross_entropy(s.model[2:](h), y)
        loss.backward()
        s.opt.step()
        return loss.detach()
    return step


@step_kind
def hooks_of_modules_and_tensors(s):
    s.model[0].register_forward_hook(lambda m, args, out: out * 2)
    s.model[3].register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    s.model[3].weight.register_hook(lambda g: g.clamp(-0.1, 0.1))
    s.model[0].register_full_backward_hook(lambda m, gi, go: None)

    def step(x, y):
        s.opt.zero_grad()
        out = s.model(x)
        out.register_hook(lambda g: g * 0.5)
        loss = F.cross_entropy(out, y)
        loss.backward()
        s.opt.step()
        return loss.detach()
    return step


@step_kind
def hooks_of_optimizers(s):
    s.opt.register_step_post_hook(lambda opt, args, kwargs: s.log.append(len(s.log)))

    def step(x, y):
        s.opt.zero_grad()
        F.cross_entropy(s.model(x), y).backward()
        s.opt.step()
        return len(s.log)
    return step


@step_kind
def schedules(s):
    schedule = torch.optim.lr_scheduler.OneCycleLR(s.opt, 0.1, total_steps=20)

    def step(x, y):
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        schedule.step()
        return loss.item()
    return step


@step_kind
def evaluation_between(s):
    def step(x, y):
        s.model.train()
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        s.model.eval()
        with torch.no_grad():
            return loss.detach(), (s.model(x).argmax(1) == y).float().mean()
    return step


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", STEPS)
def test_compiled_is_eager(name):
    records = []
    for compiled in (False, True):
        s = Setting()
        step = STEPS[name](s)
        if compiled:
            step = torch.compile(step)
        g, found = torch.Generator().manual_seed(3), []
        torch.manual_seed(4)
        for _ in range(7):
            result = step(torch.randn(8, 6, generator=g), torch.randint(0, 3, (8,), generator=g))
            grads = [p.grad for p in s.model.parameters()]
            found.append(copy.deepcopy([result, dict(s.model.state_dict()), s.opt.state_dict(), grads, s.log,
                                        torch.get_rng_state()]))
        records.append(found)
    for i, (a, b) in enumerate(zip(*records, strict=True)):
        for x, y in zip(a, b, strict=True):
            assert same(x, y), i


def test_states_are_saved_and_loaded():
    s = Setting()
    step = torch.compile(STEPS["schedules"](s))
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    for _ in range(4):
        step(x, y)
    kept = copy.deepcopy((s.model.state_dict(), s.opt.state_dict()))
    torch.manual_seed(1)
    s.model.eval()
    want = step(x, y)
    s.model.load_state_dict(kept[0])
    s.opt.load_state_dict(kept[1])
    file = io.BytesIO()
    torch.save(kept[0], file)
    file.seek(0)
    assert same(dict(torch.load(file)), dict(s.model.state_dict()))
    assert step(x, y) == want


def test_calls_of_compiled_functions_in_compiled_functions():
    inner = torch.compile(lambda x: x.sin() + 1)
    outer = torch.compile(lambda x: inner(x) * inner(x * 2))
    x = torch.randn(5)
    for _ in range(4):
        assert torch.equal(outer(x), (x.sin() + 1) * ((x * 2).sin() + 1))
        assert torch.equal(inner(x), x.sin() + 1)
    assert len(outer.entries) == len(inner.entries) == 1


def test_threads_that_learn_at_once():
    fs = [torch.compile(lambda x, k=k: (x * k).tanh().sum(0)) for k in range(3)]
    xs = [torch.randn(n, 7) for n in (3, 5)]
    wrong = []

    def work(k):
        for i in range(60):
            x = xs[i % 2]
            if not torch.equal(fs[(i + k) % 3](x), (x * ((i + k) % 3)).tanh().sum(0)):
                wrong.append((k, i))
    threads = [Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
