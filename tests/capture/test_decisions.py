"""Decisions by numbers of tensors: a program an outcome, and Python where the outcome is new."""

import math
import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs

CASES = {}


def case(least=1, most=8):
    """A loop with the least and most programs that it should get."""
    def put(f):
        CASES[f.__name__] = f, least, most
        return f
    return put


class Trained:
    def __init__(self, optimizer=torch.optim.SGD, **settings):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.ReLU(), nn.Linear(6, 1))
        self.optimizer = optimizer(self.model.parameters(), **{"lr": 0.05, **settings})

    def step(self, x):
        self.optimizer.zero_grad()
        loss = self.model(x).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self):
        return [{k: v.clone() for k, v in self.model.state_dict().items()}, torch.get_rng_state(),
                [p.grad.clone() for p in self.model.parameters() if p.grad is not None]]


@case(2, 4)
def early_stopping(compiled):
    t, s = Trained(torch.optim.Adam), {"best": 1e9, "bad": 0}

    @compiled
    def step(x):
        loss = t.step(x)
        if loss.item() < s["best"]:
            s["best"], s["bad"] = loss.item(), 0
        else:
            s["bad"] += 1
        return s["bad"] >= 3
    return [(step(batch(i)), dict(s), t.state()) for i in range(24)]


@case(2, 3)
def best_weights_are_kept(compiled):
    t, s = Trained(), {"best": 1e9, "weights": None}

    @compiled
    def step(x):
        loss = t.step(x)
        if loss.item() < s["best"]:
            s["best"], s["weights"] = loss.item(), t.model[0].weight.detach().clone()
        return loss.detach()
    return [(step(batch(i)), dict(s)) for i in range(20)]


@case(2, 5)
def told_when_better(compiled):
    """Both outcomes are programs, also that which keeps texts."""
    t, s, told = Trained(), {"best": 1e9}, []

    @compiled
    def step(x):
        loss = t.step(x)
        if loss.item() < s["best"]:
            s["best"] = loss.item()
            told.append(f"{loss.item():.3f}")
        return loss.detach()
    return [(step(batch(i)), dict(s), list(told)) for i in range(24)]


@case(2, 3)
def losses_that_are_no_numbers(compiled):
    t, s = Trained(), {"skipped": 0}

    @compiled
    def step(x):
        loss = t.model(x).square().mean()
        if not math.isfinite(loss.item()):
            s["skipped"] += 1
            return None
        t.optimizer.zero_grad()
        loss.backward()
        t.optimizer.step()
        return loss.item()
    return [(step(batch(i) * (math.nan if i % 5 == 4 else 1)), dict(s), t.model[0].weight) for i in range(16)]


@case(1, 1)
def raised_in_the_middle(compiled):
    t = Trained()

    @compiled
    def step(x):
        t.optimizer.zero_grad()
        loss = t.model(x).square().mean()
        loss.backward()
        if torch.isnan(loss):
            raise FloatingPointError("no number")
        t.optimizer.step()
        return loss.detach()
    seen = []
    for i in range(16):
        try:
            seen.append(step(batch(i) * (math.nan if i % 5 == 4 else 1)))
        except FloatingPointError as e:
            seen.append(str(e))
        seen.append(t.state())
    return seen


@case(2, 4)
def after_optimizers(compiled):
    """What the optimizer has changed by then is put back."""
    t, s = Trained(torch.optim.Adam), {"best": 1e9}

    @compiled
    def step(x):
        for _ in range(2):
            t.step(x)
        with torch.no_grad():
            held = t.model(x).square().mean().item()
        if held < s["best"]:
            s["best"] = held
        return held
    return [(step(batch(i)), dict(s), t.state(), [v["step"] for v in t.optimizer.state.values()]) for i in range(16)]


@case(2, 2)
def after_statistics_noise_and_writes(compiled):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
    g = torch.Generator().manual_seed(3)

    @compiled
    def step(x):
        x.add_(1)
        y = (model(x) + torch.rand(4, generator=g)).sum()
        return y * 2 if y.item() > 6 else y - 1
    seen = []
    for i in range(20):
        x = batch(i)
        seen += [step(x), x, x._version, model[0].running_mean.clone(), torch.rand(1), torch.rand(1, generator=g)]
    return seen


@case(2, 8)
def searches_for_a_step(compiled):
    w = torch.ones(4)

    @compiled
    def step(x):
        loss, rate = (w * x).square().sum(), 1.0
        for _ in range(4):
            new = w - rate * 2 * (w * x * x).sum(0)
            if (new * x).square().sum() < loss:
                break
            rate *= 0.5
        w.copy_(new)
        return rate
    return [(step(batch(i)), w.clone()) for i in range(24)]


@case(0, 8)
def many_outcomes(compiled):
    @compiled
    def shrink(x):
        n = 0
        while x.norm() > 1:
            x = x * 0.9
            n += 1
        return x, n
    return [shrink(batch(i) * (1 + i % 9)) for i in range(120)]


def scaled(**settings):
    def loop(compiled):
        t = Trained(momentum=0.9)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 120, growth_interval=4)

        @compiled
        def step(x):
            t.optimizer.zero_grad(set_to_none=settings["to_none"])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings["cast"]):
                loss = t.model(x).square().mean()
            scaler.scale(loss).backward()
            if settings["clip"]:
                scaler.unscale_(t.optimizer)
                nn.utils.clip_grad_norm_(t.model.parameters(), 1.0)
            scaler.step(t.optimizer)
            scaler.update()
            return loss.item()
        return [(step(batch(i) * (math.inf if i % 7 == 6 else 1)), scaler.state_dict(), t.state()) for i in range(24)]
    return loop


CASES["scaled"] = scaled(to_none=True, cast=True, clip=False), 2, 2
CASES["scaled_and_clipped"] = scaled(to_none=True, cast=True, clip=True), 2, 2
CASES["scaled_into_gradients_that_stay"] = scaled(to_none=False, cast=False, clip=True), 2, 2


@case(2, 3)
def two_scaled_optimizers(compiled):
    torch.manual_seed(0)
    a, b = nn.Linear(4, 4), nn.Linear(4, 1)
    first, second = torch.optim.SGD(a.parameters(), 0.1), torch.optim.Adam(b.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 10, growth_interval=2)

    @compiled
    def step(x):
        first.zero_grad()
        second.zero_grad()
        scaler.scale(b(a(x)).square().sum()).backward()
        scaler.unscale_(first)
        scaler.step(first)
        scaler.step(second)
        scaler.update()
        return scaler.get_scale()
    return [(step(batch(i) * (math.inf if i % 6 == 5 else 1)), a.weight.detach().clone(), b.weight.detach().clone())
            for i in range(18)]


@case(1, 1)
def gradient_penalty(compiled):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 0.01)

    @compiled
    def step(real, fake):
        optimizer.zero_grad()
        share = torch.rand(real.shape[0], 1)
        mixed = (share * real + (1 - share) * fake).requires_grad_(True)
        scores = critic(mixed)
        g, = torch.autograd.grad(scores, mixed, torch.ones_like(scores), create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()
    data = batch(1, 60, 4)          # (both arguments are parts of it)
    return [(step(data[3 * i:3 * i + 3], data[57 - 3 * i:60 - 3 * i]), critic[0].weight.detach().clone())
            for i in range(8)]


@case(1, 1)
def leaves_made_inside(compiled):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)

    @compiled
    def attack(x):
        x = x.clone().detach().requires_grad_(True)
        loss = model(x).square().sum()
        model.zero_grad()
        loss.backward()
        return (x + 0.1 * x.grad.sign()).detach(), x.detach().requires_grad_()
    return [attack(batch(i)) for i in range(5)]


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_outcomes(name):
    loop, least, most = CASES[name]
    f, = compare(loop)
    assert least <= programs(f) <= most, (f.refusals, f.paths)


def test_the_likelier_outcome_is_tried_first():
    f = torch.compile(lambda x: x * 2 if x.sum() > 0 else x + 1)
    ones = torch.ones(2)
    for sign in (-1, -1, -1, 1, 1, 1, 1, 1, 1, 1):
        assert torch.equal(f(sign * ones), ones * 2 if sign > 0 else 1 - ones)
    few, = [e for e in next(iter(f.entries.values())) if e.hits < 3]
    assert few.misses <= 4


@pytest.mark.filterwarnings("ignore:compile")
def test_what_is_decided_otherwise_each_time_stays_eager(monkeypatch):
    from rushlight.capture import compiled
    monkeypatch.setattr(compiled, "MISSES", 16)
    f = torch.compile(lambda x: [bool(v > 0) for v in x])
    g = torch.Generator().manual_seed(0)
    for _ in range(80):
        x = torch.randn(6, generator=g)
        assert f(x) == [v > 0 for v in x.tolist()]
    assert next(iter(f.refusals.values())).endswith("otherwise in most calls") and not f.entries
