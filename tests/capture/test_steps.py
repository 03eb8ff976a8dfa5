"""Compiled training steps against eager ones: same values, same state, five calls each."""

import copy
import math
import random

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

STEPS = {}


class Setting:
    """A model, an optimizer, data, and a place for what steps remember."""

    def __init__(self, build=None, optimizer=None):
        torch.manual_seed(3)
        self.model = build() if build else nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        make = optimizer or (lambda ps: torch.optim.Adam(ps, lr=0.01))
        self.opt = make(self.model.parameters())
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.opt, 2, 0.5)
        self.count, self.losses, self.log = 0, [], {}

    def batch(self, i):
        g = torch.Generator().manual_seed(i)
        return torch.randn(8, 6, generator=g), torch.randint(0, 3, (8,), generator=g)


def case(compiles, **settings):
    def add(make):
        STEPS[make.__name__] = make, compiles, settings
        return make
    return add


@case(True)
def plain(s):
    def step(x, y):
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        return loss
    return step


@case(True, optimizer=lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=1e-3))
def momentum(s):
    return plain(s)


@case(True, optimizer=lambda ps: torch.optim.AdamW(ps, lr=0.01))
def zero_grad_last(s):
    def step(x, y):
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        s.opt.zero_grad()
        return loss.detach()
    return step


@case(True)
def gradients_pile_up(s):
    def step(x, y):
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        return loss
    return step


@case(True)
def zeroed_gradients(s):
    def step(x, y):
        s.opt.zero_grad(set_to_none=False)
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        s.opt.step()
        return loss
    return step


@case(True)
def several_results(s):
    def step(x, y):
        s.opt.zero_grad()
        out = s.model(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        s.opt.step()
        return {"loss": loss.detach(), "right": (out.argmax(1) == y).sum(), "n": len(y), "pair": (out.detach(), None)}
    return step


@case(True, build=lambda: nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.GELU(),
                                        nn.Linear(16, 3)))
def dropout_and_batch_norm(s):
    return plain(s)


@case(True)
def clipped(s):
    def step(x, y):
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(s.model.parameters(), 0.5)
        s.opt.step()
        return loss, norm
    return step


@case(True)
def noise(s):
    def step(x, y):
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x + 0.1 * torch.randn(8, 6)), y)
        loss.backward()
        s.opt.step()
        return loss
    return step


@case(True)
def views_and_writes(s):
    def step(x, y):
        s.opt.zero_grad()
        h = torch.zeros(8, 6)
        h[:, ::2] = x[:, ::2]
        h[:, 1].add_(x[:, 1], alpha=2)
        h.t()[3].copy_(x.t()[3])
        loss = F.cross_entropy(s.model(h), y)
        loss.backward()
        s.opt.step()
        return loss, h
    return step


@case(True)
def loops_and_lists(s):
    def step(x, y):
        parts = []
        for i in range(3):
            parts.append(s.model(x * (i + 1)))
        loss = sum(F.cross_entropy(p, y) for p in parts) / len(parts)
        s.opt.zero_grad()
        loss.backward()
        s.opt.step()
        return loss
    return step


@case(True)
def evaluation(s):
    @torch.no_grad()
    def step(x, y):
        return s.model(x).softmax(-1), (s.model(x).argmax(1) == y).float().mean()
    return step


@case(True)
def counter(s):
    inner = plain(s)

    def step(x, y):
        s.count += 1
        return inner(x, y)
    return step


@case(True)
def logs_now_and_then(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        if s.count % 2 == 0:
            s.log[s.count] = loss.item()
        s.count += 1
        return loss
    return step


@case(True)
def appends_losses(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        s.losses.append(loss.item())
        return None
    return step


@case(None)
def appends_numbers_at_times(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        if len(s.losses) < 1 and s.opt.state and next(iter(s.opt.state.values()))["step"].item() > 1:
            s.losses.append({"loss": loss.item()})
        return loss
    return step


@case(True)
def appends_tensors(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        s.losses.append(loss.detach())
        return None
    return step


@case(True)
def python_random(s):
    inner = plain(s)

    def step(x, y):
        return inner(x * (1 if random.random() < 0.5 else 2), y)
    return step


@case(True)
def numbers_decide(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        return loss * 2 if loss.item() > 1.1 else loss * 3
    return step


@case(True)
def truth_decides(s):
    inner = plain(s)

    def step(x, y):
        if (x[0, 0] > 0):
            x = -x
        return inner(x, y)
    return step


@case(True)
def scheduler_inside(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        s.scheduler.step()
        return loss
    return step


@case(True)
def number_at_the_end(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        right = (s.model(x).argmax(1) == y).sum()
        return loss.item(), {"right": right.item(), "sign": loss.item()}
    return step


@case(True)
def numbers_added(s):
    inner = plain(s)

    def step(x, y):
        a = inner(x, y).item()
        return a + 1
    return step


@case(False)
def number_into_a_tensor(s):
    inner = plain(s)

    def step(x, y):
        a = inner(x, y).item()
        return torch.tensor([a, a])
    return step


@case(True)
def number_through_math(s):
    inner = plain(s)

    def step(x, y):
        return math.sqrt(inner(x, y).item())
    return step


@case(True)
def number_scales_a_tensor(s):
    inner = plain(s)

    def step(x, y):
        a = inner(x, y).item()
        return x * a
    return step


@case(True)
def number_kept(s):
    inner = plain(s)

    def step(x, y):
        s.best = inner(x, y).item()
        return None
    return step


@case(False)
def number_overwritten(s):
    def step(x, y):
        t = x.sum()
        a = t.item()
        t.zero_()
        return a, t
    return step


@case(None)
def learning_rate_is_read(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        return loss * s.opt.param_groups[0]["lr"], s.opt.param_groups[0]["lr"]
    return step


@case(True)
def schedule_is_read(s):
    inner = plain(s)

    def step(x, y):
        loss = inner(x, y)
        s.scheduler.step()
        return loss, s.scheduler.get_last_lr()
    return step


class Own(torch.optim.Optimizer):
    """An optimizer of the user's with a count in its state."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    n = self.state[p].setdefault("n", 0) + 1
                    self.state[p]["n"] = n
                    p.sub_(p.grad, alpha=group["lr"] / n)


@case(True, optimizer=Own)
def own_optimizer(s):
    return plain(s)


@case(True)
def prints(s):
    inner = plain(s)

    def step(x, y):
        print("step", end="")
        return inner(x, y)
    return step


@case(True)
def changes_an_attribute(s):
    inner = plain(s)

    def step(x, y):
        s.model.factor = getattr(s.model, "factor", 1.0) * 0.9
        return inner(x * s.model.factor, y)
    return step


@case(True)
def early_stopping(s):
    inner = plain(s)
    s.best, s.bad = 1e9, 0

    def step(x, y):
        loss = inner(x, y)
        if loss.item() < s.best:
            s.best, s.bad = loss.item(), 0
        else:
            s.bad += 1
        return loss
    return step


@case(False)
def numpy_inside(s):
    import numpy as np
    inner = plain(s)

    def step(x, y):
        return inner(x + float(np.float64(0.5)), y)
    return step


@case(False)
def generator_outside(s):
    inner = plain(s)
    factors = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])

    def step(x, y):
        return inner(x * next(factors), y)
    return step


@case(True)
def running_average(s):
    inner = plain(s)
    s.average = torch.zeros(())

    def step(x, y):
        loss = inner(x, y)
        with torch.no_grad():
            s.average.mul_(0.9).add_(loss, alpha=0.1)
        return loss, s.average
    return step


@case(True)
def new_tensor_each_time(s):
    inner = plain(s)
    s.average = torch.zeros(())

    def step(x, y):
        loss = inner(x, y)
        s.average = s.average * 0.9 + loss.detach() * 0.1
        return loss
    return step


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.shape == b.shape and a.dtype == b.dtype and \
            a.requires_grad == b.requires_grad and a.stride() == b.stride() and torch.equal(a.detach(), b.detach())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def state(s):
    return {
        "model": dict(s.model.state_dict()), "grads": [p.grad for p in s.model.parameters()],
        "opt": s.opt.state_dict(), "scheduler": s.scheduler.state_dict(), "count": s.count,
        "losses": s.losses, "log": s.log, "rng": torch.get_rng_state(), "random": random.getstate(),
        "more": {k: getattr(s, k) for k in ("best", "bad", "average") if hasattr(s, k)},
        "factor": getattr(s.model, "factor", None),
    }


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", STEPS)
def test_a_compiled_step_is_the_eager_step(name):
    make, compiles, settings = STEPS[name]
    records = []
    for compiled in (False, True):
        s = Setting(**settings)
        step = make(s)
        if compiled:
            step = torch.compile(step)
        torch.manual_seed(11)
        random.seed(5)
        seen = []
        for i in range(6):
            if i == 4:
                for group in s.opt.param_groups:
                    group["lr"] *= 0.5
            seen.append(copy.deepcopy([_detached(step(*s.batch(i))), state(s)]))
        records.append(seen)
        if compiled and compiles is not None:
            assert bool(step.entries) == compiles, step.refusals
    for i, (a, b) in enumerate(zip(*records, strict=True)):
        for x, y in zip(a, b, strict=True):
            if isinstance(x, dict):
                for k in x:
                    assert same(x[k], y[k]), (i, k)
            else:
                assert same(x, y), i


def _detached(x):
    if isinstance(x, torch.Tensor):
        return x.detach()
    if isinstance(x, dict):
        return {k: _detached(v) for k, v in x.items()}
    return type(x)(map(_detached, x)) if isinstance(x, (tuple, list)) else x
