"""The problems on which optimizers and schedules are compared with PyTorch.

Run with PyTorch installed, this file writes ``expected.json`` anew: ``python optim_cases.py``.  The
tests run the same functions with Rushlight in PyTorch's place.
"""

import json
import math
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.json")
STEPS = 10
KEPT = (0, 3, 9)  # steps whose parameters are stored

# Options of each optimizer; "lr!" stands for a tensor of that value.
OPTIMIZERS = {
    "SGD": [
        {},
        {"lr": 0.1, "weight_decay": 0.5},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr!": 0.01, "momentum": 0.5},
        {"lr": 0.1, "foreach": True},
        {"lr": 0.1, "momentum": 0.9, "fused": True},
    ],
    "Adam": [
        {},
        {"lr": 0.05, "weight_decay": 0.1},
        {"lr": 0.05, "amsgrad": True, "maximize": True, "weight_decay": 0.1},
        {"lr": 0.005, "betas": (0.3, 0.6)},
        {"lr": 0.05, "betas": (0.0, 0.9)},
        {"lr!": 0.01},
        {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.05, "fused": True},
        {"lr": 0.05, "foreach": True},
    ],
    "AdamW": [{}, {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}, {"lr": 0.05, "eps": 1e-3}],
    "RMSprop": [
        {},
        {"weight_decay": 0.1, "centered": True},
        {"lr": 0.05, "alpha": 0.5, "momentum": 0.9, "centered": True, "maximize": True},
        {"momentum": 0.1},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1},
        {"initial_accumulator_value": 0.1, "maximize": True},
        {"lr!": 0.1},
    ],
    "Adadelta": [{}, {"rho": 0.95, "weight_decay": 0.9}, {"lr": 0.5, "maximize": True}],
    "Adamax": [{}, {"lr": 0.1, "weight_decay": 0.1}, {"betas": (0.2, 0.5), "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.006},
        {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.05, "betas": (0.4, 0.9), "weight_decay": 0.1},
        {"lr": 0.05, "betas": (0.9, 0.95), "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.2), "maximize": True}],
    "ASGD": [
        {},
        {"lr": 0.1, "t0": 3, "lambd": 0.1, "alpha": 0.5},
        {"lr": 0.02, "t0": 0, "weight_decay": 0.1, "maximize": True},
    ],
    "Adafactor": [
        {},
        {"lr": 0.1, "weight_decay": 0.2, "maximize": True},
        {"eps": (1e-5, 1e-2), "d": 1.5, "beta2_decay": -1.0},
    ],
    "LBFGS": [
        {"max_iter": 4},
        {"lr": 0.1, "max_iter": 5, "history_size": 2},
        {"max_iter": 3, "line_search_fn": "strong_wolfe"},
    ],
    "Muon": [{}, {"lr": 0.1, "nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}],
}
# Muon's matrix products are in bfloat16, whose rounding is the implementation's.
TOLERANCE = {"Muon": 3e-3}
NOT_COMPLEX = ("Adafactor", "Muon")


def wave(torch, shape, phase, dtype):
    """Values that look random and are the same everywhere."""
    count = math.prod(shape)
    values = [math.sin(12.9898 * (i + 1) + phase) for i in range(count)]
    t = torch.tensor(values, dtype=torch.float64).reshape(shape)
    if dtype.is_complex:
        t = torch.complex(t, t.flip(0) * 0.5)
    return t.to(dtype)


def options_of(torch, options):
    options = dict(options)
    if "lr!" in options:
        options["lr"] = torch.tensor(options.pop("lr!"))
    return options


def build(torch, name, options, params):
    return getattr(torch.optim, name)(params, **options_of(torch, options))


def problem(torch, dtype):
    """Parameters w, b and the loss |A w + b - y|^2 / 18 as a closure factory."""
    matrix, target = wave(torch, (6, 4), 0.1, dtype), wave(torch, (6, 3), 0.2, dtype)
    w = (wave(torch, (4, 3), 0.3, dtype) * 0.5).requires_grad_(True)
    b = (wave(torch, (1, 3), 0.4, dtype) * 0.1).requires_grad_(True)

    def loss():
        error = matrix @ w + b - target
        if dtype.is_complex:
            error = torch.view_as_real(error)
        return (error * error).sum() / 18.0

    return [w, b], loss


def make_closure(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


def flat(torch, params):
    values = []
    for p in params:
        p = p.detach()
        values += (torch.view_as_real(p) if p.is_complex() else p).reshape(-1).tolist()
    return values


def trajectory(torch, name, options, dtype):
    """The parameters after each of STEPS steps, and the optimizer."""
    params, loss = problem(torch, dtype)
    optimizer = build(torch, name, options, params)
    closure = make_closure(optimizer, loss)
    path = []
    for _ in range(STEPS):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        path.append(flat(torch, params))
    return path, optimizer


SCHEDULERS = {
    "lambda": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda t: 0.9),
    "step": lambda s, o: s.StepLR(o, 3),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "constant": lambda s, o: s.ConstantLR(o),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=7),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=8, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.001),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.001),
    "triangular": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, 2),
    "triangular2": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, mode="triangular2"),
    "exp_range": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.3], 3, mode="exp_range", gamma=0.9),
    "custom cycle": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, scale_fn=lambda x: 0.5**x),
    "onecycle": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=14),
    "onecycle linear": lambda s, o: s.OneCycleLR(
        o, [0.1, 0.2], epochs=7, steps_per_epoch=2, anneal_strategy="linear", three_phase=True
    ),
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, patience=1, cooldown=1, factor=0.5),
    "plateau max": lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", patience=0, threshold_mode="abs", threshold=0.05, min_lr=[0.05, 0.02]
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, total_iters=4), s.CosineAnnealingLR(o, 5), s.StepLR(o, 2)], [4, 9]
    ),
    "sequential restarts": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 2), s.CosineAnnealingWarmRestarts(o, 3)], [3]
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, total_iters=4), s.ExponentialLR(o, 0.9)]
    ),
    "swa": lambda s, o: _swa(s, o, anneal_epochs=6),
    "swa linear": lambda s, o: _swa(s, o, anneal_epochs=4, anneal_strategy="linear"),
}
METRICS = [1.0, 0.9, 0.85, 0.85, 0.86, 0.849, 0.85, 0.85, 0.7, 0.71, 0.7, 0.7, 0.7]


def _swa(schedulers, optimizer, **options):
    from importlib import import_module

    package = schedulers.__name__.rpartition(".")[0]
    return import_module(package + ".swa_utils").SWALR(optimizer, 0.05, **options)


def two_groups(torch, lr=0.1, momentum=0.9):
    p, q = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    return torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.2}], lr=lr, momentum=momentum)


def rates(optimizer):
    return [[float(g["lr"]), g["momentum"]] for g in optimizer.param_groups]


def schedule(torch, name, resume_at=None):
    """(lr, momentum) of both groups at each step; optionally saved and loaded on the way."""
    optimizer = two_groups(torch)
    scheduler = SCHEDULERS[name](torch.optim.lr_scheduler, optimizer)
    rows = [rates(optimizer)]
    for i in range(len(METRICS)):
        optimizer.step()
        if name.startswith("plateau"):
            scheduler.step(METRICS[i])
        else:
            scheduler.step()
        rows.append(rates(optimizer))
        assert [float(lr) for lr in scheduler.get_last_lr()] == [lr for lr, _ in rows[-1]]
        if i == resume_at:
            saved_optimizer, saved = optimizer.state_dict(), scheduler.state_dict()
            optimizer = two_groups(torch)
            scheduler = SCHEDULERS[name](torch.optim.lr_scheduler, optimizer)
            optimizer.load_state_dict(saved_optimizer)
            scheduler.load_state_dict(saved)
    return rows


def expected(torch):
    result = {"optimizers": {}, "schedulers": {}}
    for name, cases in OPTIMIZERS.items():
        rows = result["optimizers"][name] = []
        for i, options in enumerate(cases):
            row = {}
            for dtype in ("float64", "float32", "complex128"):
                if dtype == "complex128" and (name in NOT_COMPLEX or i > 1):
                    continue
                path, optimizer = trajectory(torch, name, options, getattr(torch, dtype))
                digits = 7 if dtype == "float32" else 9
                row[dtype] = [[float(f"{x:.{digits}g}") for x in path[k]] for k in KEPT]
            state = optimizer.state_dict()
            row["state"] = list(state["state"].get(0, {}))
            row["groups"] = list(state["param_groups"][0])
            rows.append(row)
    for name in SCHEDULERS:
        result["schedulers"][name] = schedule(torch, name)
    return result


if __name__ == "__main__":
    import torch

    EXPECTED.write_text(json.dumps(expected(torch), separators=(",", ":")) + "\n")
