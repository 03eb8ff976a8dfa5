"""Numbers of optimizers' groups that steps read and change, and schedulers that decide by losses."""

import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs

CASES = {}


def case(most=2):
    """A loop with the most programs that it should get."""
    def put(f):
        CASES[f.__name__] = f, most
        return f
    return put


class Trained:
    def __init__(self, optimizer=torch.optim.SGD, **settings):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
        self.optimizer = optimizer(self.model.parameters(), **{"lr": 0.05, **settings})
        self.n, self.log = 0, []

    def backward(self, x):
        self.optimizer.zero_grad()
        loss = self.model(x).square().mean()
        loss.backward()
        return loss

    def step(self, x):
        loss = self.backward(x)
        self.optimizer.step()
        return loss.detach()

    def rates(self):
        return [(k, v, type(v)) for g in self.optimizer.param_groups for k, v in g.items() if k != "params"]

    def state(self):
        return [self.rates(), [p.detach().clone() for p in self.model.parameters()], self.n, list(self.log)]


def loop(t, step, compiled, n=14):
    step = compiled(step)
    return [(step(batch(i)), t.state()) for i in range(n)]


@case()
def warm_up_by_hand(compiled):
    t = Trained(torch.optim.AdamW)

    def step(x):
        for group in t.optimizer.param_groups:
            group["lr"] = 0.05 * min(1.0, (t.n + 1) / 5)
        t.n += 1
        return t.step(x)
    return loop(t, step, compiled)


@case(1)
def a_factor_a_step(compiled):
    t = Trained(momentum=0.9)

    def step(x):
        loss = t.step(x)
        for group in t.optimizer.param_groups:
            group["lr"] *= 0.9
            group["weight_decay"] = group["lr"] / 10
        return loss, t.optimizer.param_groups[0]["lr"], group["weight_decay"]
    return loop(t, step, compiled)


@case(1)
def another_rate_between_two_steps(compiled):
    t = Trained(torch.optim.Adam)

    def step(x):
        group, = t.optimizer.param_groups
        before = group["lr"]
        group["lr"] = before * 2
        t.step(x)
        group["lr"] = before
        return t.step(x)
    return loop(t, step, compiled)


@case(1)
def rates_by_losses(compiled):
    t = Trained()

    def step(x):
        loss = t.backward(x)
        t.optimizer.param_groups[0]["lr"] = 0.01 / (1 + loss.item())
        t.optimizer.step()
        return loss.detach()
    return loop(t, step, compiled)


@case(4)
def rates_that_are_put_back(compiled):
    """A decision after the rate was changed: the program has to give it back."""
    t = Trained()

    def step(x):
        loss = t.backward(x)
        t.optimizer.param_groups[0]["lr"] *= 0.95
        if loss.item() > 0.3:
            t.optimizer.param_groups[0]["lr"] *= 0.5
            t.n += 1
        t.optimizer.step()
        return loss.detach()
    return loop(t, step, compiled, 20)


@case(1)
def group_by_another_name(compiled):
    t = Trained()
    group, = t.optimizer.param_groups

    def step(x):
        group["lr"] = 0.1 / (t.n + 1)
        t.n += 1
        return t.step(x)
    return loop(t, step, compiled)


@case(1)
def own_descent(compiled):
    t = Trained()

    def step(x):
        loss = t.backward(x)
        with torch.no_grad():
            for p in t.model.parameters():
                p -= t.optimizer.param_groups[0]["lr"] * p.grad
        t.optimizer.param_groups[0]["lr"] *= 0.9
        return loss.detach()
    return loop(t, step, compiled)


@case(1)
def rates_are_logged(compiled):
    t = Trained(torch.optim.Adam)
    schedule = torch.optim.lr_scheduler.ExponentialLR(t.optimizer, 0.9)

    def step(x):
        before = t.optimizer.param_groups[0]["lr"]
        loss = t.step(x)
        schedule.step()
        t.log.append((loss.item(), before, schedule.get_last_lr()[0], t.optimizer.param_groups[0]["lr"]))
        return schedule.get_last_lr()
    return loop(t, step, compiled)


@case(1)
def schedules_step_twice(compiled):
    t = Trained()
    schedule = torch.optim.lr_scheduler.StepLR(t.optimizer, 3, 0.5)

    def step(x):
        found = []
        for _ in range(2):
            t.step(x)
            schedule.step()
            found.append(t.optimizer.param_groups[0]["lr"])
        t.optimizer.param_groups[0]["lr"] = found[0] * 1.01
        return found
    return loop(t, step, compiled)


@case(1)
def plateaus(compiled):
    t = Trained(torch.optim.Adam)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(t.optimizer, patience=1, threshold=0.3)

    def step(x):
        loss = t.step(x)
        schedule.step(loss)
        t.total = loss.item() + 1
        schedule.step(t.total)
        return t.optimizer.param_groups[0]["lr"]
    t.total = 0.0
    step = compiled(step)
    return [(step(batch(i)), t.state(), schedule.best, schedule.num_bad_epochs, schedule.get_last_lr(), t.total)
            for i in range(14)]


@case(1)
def two_groups(compiled):
    t = Trained()
    t.optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)], "lr": 1})

    def step(x):
        loss = t.step(x)
        for i, group in enumerate(t.optimizer.param_groups):
            group["lr"] = group["lr"] / (i + 1.5)
        return loss, [g["lr"] for g in t.optimizer.param_groups]
    return loop(t, step, compiled)


def schedule(make, optimizer=torch.optim.SGD, reads="lr", **settings):
    def run(compiled):
        t = Trained(optimizer, **settings)
        plan = make(t.optimizer)

        def step(x):
            loss = t.step(x)
            plan.step()
            return loss.item(), t.optimizer.param_groups[0][reads], plan.get_last_lr()[0]
        return loop(t, step, compiled), list(t.optimizer.param_groups[0].items())[1:]
    return run


_plans = torch.optim.lr_scheduler
CASES |= {
    "warm_restarts": (schedule(lambda o: _plans.CosineAnnealingWarmRestarts(o, 3, 2)), 1),
    "one_cycle": (schedule(lambda o: _plans.OneCycleLR(o, 0.2, total_steps=20), momentum=0.9), 1),
    "one_cycle_of_adam": (schedule(lambda o: _plans.OneCycleLR(o, 0.2, total_steps=20), torch.optim.AdamW), 1),
    "pairs_are_read": (schedule(lambda o: _plans.OneCycleLR(o, 0.2, total_steps=20), torch.optim.AdamW, "betas"), 1),
    "cycles": (schedule(lambda o: _plans.CyclicLR(o, 0.01, 0.1, 3), momentum=0.9), 1),
    "momentum_is_read": (schedule(lambda o: _plans.CyclicLR(o, 0.01, 0.1, 3), reads="momentum", momentum=0.9), 1),
    "one_after_the_other": (schedule(lambda o: _plans.SequentialLR(
        o, [_plans.LinearLR(o, total_iters=3), _plans.ExponentialLR(o, 0.9)], [4])), 1),
    "chained": (schedule(lambda o: _plans.ChainedScheduler(
        [_plans.LinearLR(o, total_iters=3), _plans.ExponentialLR(o, 0.9)])), 1),
}


@case(1)
def parts_of_epochs(compiled):
    t = Trained()
    plan = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(t.optimizer, 2, 2)

    def step(x):
        loss = t.step(x)
        t.n += 1
        plan.step(t.n / 3)
        return loss, plan.get_last_lr()[0]
    return loop(t, step, compiled)


@pytest.mark.filterwarnings("ignore:compile")
def test_pairs_that_are_changed():
    def run(compiled):
        t = Trained(torch.optim.Adam)
        plan = torch.optim.lr_scheduler.OneCycleLR(t.optimizer, 0.2, total_steps=20)

        def step(x):
            loss = t.step(x)
            plan.step()
            for group in t.optimizer.param_groups:
                one, two = group["betas"]
                group["betas"] = one * 0.9, two
            return loss, one
        return loop(t, step, compiled)
    compare(run)


@pytest.mark.parametrize("name", CASES)
def test_rates(name):
    run, most = CASES[name]
    for f in compare(run):
        assert 1 <= programs(f) <= most, (f.refusals, f.paths)
        assert not f.refusals and not f.paths


@pytest.mark.filterwarnings("ignore:compile")
def test_other_optimizers_find_numbers():
    """An optimizer that isn't told of in one piece sees the numbers of its groups, not what stands for them."""
    class Plain(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    def run(compiled):
        p = torch.ones(3, requires_grad=True)
        optimizer = Plain([p])

        def step(x):
            optimizer.zero_grad()
            F.mse_loss(p * x, x).backward()
            optimizer.param_groups[0]["lr"] *= 0.8
            optimizer.step()
            return optimizer.param_groups[0]["lr"]
        step = compiled(step)
        return [(step(torch.full((3,), i + 2.0)), p.detach().clone()) for i in range(8)]
    f, = compare(run)
    assert programs(f) >= 1, (f.refusals, f.paths)
