"""Learning rate schedules against sequences stored from PyTorch, and their errors."""

import copy
import json
import pickle
import runpy
import warnings
from pathlib import Path

import pytest

import rushlight as torch

CASES = runpy.run_path(str(Path(__file__).with_name("optim_cases.py")))
EXPECTED = json.loads(CASES["EXPECTED"].read_text())["schedulers"]
S = torch.optim.lr_scheduler


def sgd(**options):
    return CASES["two_groups"](torch, **options)


@pytest.mark.parametrize("name", CASES["SCHEDULERS"])
@pytest.mark.parametrize("resume_at", [None, 5])
def test_sequences(name, resume_at):
    rows = CASES["schedule"](torch, name, resume_at)
    for got, want in zip(rows, EXPECTED[name], strict=True):
        for (lr, momentum), (want_lr, want_momentum) in zip(got, want, strict=True):
            assert lr == pytest.approx(want_lr, rel=1e-12, abs=1e-15)
            assert momentum == pytest.approx(want_momentum, rel=1e-12)


CLOSED = ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine"]


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name):
    """A given epoch selects the closed form, which agrees with stepping there."""
    for epoch in (1, 3, 8):
        optimizer = sgd()
        scheduler = CASES["SCHEDULERS"][name](S, optimizer)
        optimizer.step()
        with pytest.warns(UserWarning, match="epoch parameter in `scheduler.step"):
            scheduler.step(epoch)
        want = EXPECTED[name][epoch]
        assert scheduler.get_last_lr() == pytest.approx([lr for lr, _ in want], rel=1e-9)
        assert scheduler.last_epoch == epoch


def test_restarts_at_fractions():
    optimizer = sgd()
    scheduler = S.CosineAnnealingWarmRestarts(optimizer, 3, 2)
    scheduler.step(1.5)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.05)
    scheduler.step(20.0)
    assert (scheduler.T_cur, scheduler.T_i, scheduler.last_epoch) == (11.0, 12, 20)
    with pytest.raises(ValueError, match="Expected non-negative epoch"):
        scheduler.step(-1)


def test_warnings():
    optimizer = sgd()
    scheduler = S.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    optimizer = sgd()
    scheduler = S.StepLR(optimizer, 3)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = sgd()
        scheduler = S.SequentialLR(
            optimizer, [S.ConstantLR(optimizer), S.ExponentialLR(optimizer, 0.9)], [2]
        )
        for _ in range(4):
            optimizer.step()
            scheduler.step()


def test_state_dicts():
    optimizer = sgd()
    state = S.StepLR(optimizer, 3).state_dict()
    assert state == {
        "step_size": 3, "gamma": 0.1, "base_lrs": [0.1, 0.2], "last_epoch": 0, "_step_count": 1,
        "_is_initial": False, "_get_lr_called_within_step": False, "_last_lr": [0.1, 0.2],
    }  # fmt: skip

    class Factor:
        def __init__(self):
            self.rate = 0.5

        def __call__(self, t):
            return self.rate

    scheduler = S.LambdaLR(sgd(), [Factor(), lambda t: 1.0])
    state = copy.deepcopy(scheduler.state_dict())
    assert state["lr_lambdas"] == [{"rate": 0.5}, None]
    state["lr_lambdas"][0]["rate"] = 0.25
    scheduler.load_state_dict(state)
    assert scheduler.lr_lambdas[0].rate == 0.25
    cyclic = S.CyclicLR(sgd(), 0.1, 0.2, scale_fn=Factor())
    assert cyclic.state_dict()["_scale_fn_custom"] == {"rate": 0.5}
    cyclic.load_state_dict(cyclic.state_dict())
    optimizer = sgd()
    both = S.ChainedScheduler([S.ConstantLR(optimizer), S.ExponentialLR(optimizer, 0.9)])
    assert [list(part)[0] for part in both.state_dict()["_schedulers"]] == ["factor", "gamma"]


def test_pickle():
    scheduler = S.CosineAnnealingLR(sgd(), 5)
    twin = pickle.loads(pickle.dumps(scheduler))
    assert twin.state_dict() == scheduler.state_dict()


@pytest.mark.parametrize("name", ["step", "linear", "cosine", "restarts", "lambda", "onecycle"])
def test_tensor_lr_keeps_its_identity(name):
    p = torch.ones(2, requires_grad=True)
    q = torch.ones(2, requires_grad=True)
    lr = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.2}], lr, momentum=0.9)
    scheduler = CASES["SCHEDULERS"][name](S, optimizer)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == pytest.approx(EXPECTED[name][3][0][0], rel=1e-9)
    assert scheduler.get_last_lr()[0] is not lr


def test_momentum_of_adam_is_beta1():
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([p], betas=(0.5, 0.999))
    scheduler = S.OneCycleLR(optimizer, 0.1, total_steps=6)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.8505584586887436)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 7 times"):
        scheduler.step()


def test_resuming_needs_initial_lr():
    with pytest.raises(KeyError, match="initial_lr"):
        S.StepLR(sgd(), 3, last_epoch=4)
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [p], "initial_lr": 0.1}], lr=0.05)
    assert S.StepLR(optimizer, 3, last_epoch=2).last_epoch == 3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


def test_users_schedule():
    class Half(S.LRScheduler):
        def get_lr(self):
            return [lr * 0.5**self.last_epoch for lr in self.base_lrs]

    optimizer = sgd()
    scheduler = Half(optimizer)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr() == [0.0125, 0.025]
    with pytest.raises(NotImplementedError):
        S.LRScheduler(sgd())


def test_a_group_added_later():
    optimizer = sgd()
    scheduler = S.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.3})
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[2]["lr"] == pytest.approx(0.03)
    scheduler = S.ReduceLROnPlateau(sgd(), patience=0, min_lr=[0.01, 0.01])
    scheduler.optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)]})
    scheduler.step(1.0)
    with pytest.raises(RuntimeError, match="number of param groups"):
        scheduler.step(1.0)


ERRORS = [
    (lambda o: S.LambdaLR(o, [lambda t: 1]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    (lambda o: S.ConstantLR(o, factor=2), ValueError, "Constant multiplicative factor"),
    (lambda o: S.LinearLR(o, start_factor=0), ValueError, "Starting multiplicative factor"),
    (lambda o: S.LinearLR(o, end_factor=2), ValueError, "Ending multiplicative factor"),
    (lambda o: S.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0, but got 0"),
    (lambda o: S.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "T_mult >= 1, but got 0"),
    (lambda o: S.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "mode is invalid"),
    (lambda o: S.CyclicLR(o, [0.1], 0.2), ValueError, "base_lr must have the same length"),
    (lambda o: S.OneCycleLR(o, 0.1), ValueError, "You must define either total_steps OR"),
    (lambda o: S.OneCycleLR(o, 0.1, total_steps=0), ValueError, "positive integer total_steps"),
    (lambda o: S.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=1), ValueError, "integer epochs"),
    (lambda o: S.OneCycleLR(o, 0.1, 5, pct_start=2), ValueError, "pct_start, but got 2"),
    (lambda o: S.OneCycleLR(o, 0.1, 5, anneal_strategy="x"), ValueError, "instead got x"),
    (lambda o: S.OneCycleLR(o, [0.1], 5), ValueError, "max_lr must have the same length"),
    (lambda o: S.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
    (lambda o: S.ReduceLROnPlateau(o, mode="x"), ValueError, "mode x is unknown!"),
    (lambda o: S.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x is"),
    (lambda o: S.ReduceLROnPlateau(o, min_lr=[1]), ValueError, "expected 2 min_lrs, got 1"),
    (lambda o: S.StepLR(3, 3), TypeError, "int is not an Optimizer"),
    (lambda o: S.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
    (lambda o: S.SequentialLR(o, [S.ConstantLR(o)], [2]), ValueError, "one more than the number"),
    (lambda o: S.SequentialLR(o, [3], []), TypeError, "should have `optimizer`"),
    (lambda o: S.SequentialLR(o, [S.ReduceLROnPlateau(o)], []), ValueError, "does not support"),
    (lambda o: S.SequentialLR(o, [S.ConstantLR(sgd())], []), ValueError, "the same optimizer"),
    (lambda o: S.ChainedScheduler([]), ValueError, "at least one scheduler to be chained"),
    (lambda o: S.ChainedScheduler([S.ReduceLROnPlateau(o)]), ValueError, "does not support"),
    (
        lambda o: S.ChainedScheduler([S.ConstantLR(o), S.ConstantLR(sgd())]),
        ValueError,
        "the same optimizer",
    ),
]


@pytest.mark.parametrize("make, kind, message", ERRORS)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make(sgd())


def test_momentum_is_needed_to_cycle_it():
    p = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        S.OneCycleLR(torch.optim.Adagrad([p]), 0.1, total_steps=3)
