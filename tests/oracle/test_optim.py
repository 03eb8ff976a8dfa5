"""Optimizers and schedules beside a live PyTorch."""

import copy
import itertools
import runpy
from pathlib import Path

import pytest

import rushlight

torch = pytest.importorskip("torch")

CASES = runpy.run_path(str(Path(__file__).parents[1] / "optim" / "optim_cases.py"))
ALL = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, cases in CASES["OPTIMIZERS"].items()
    for i in range(len(cases))
]


def translate(value, to):
    """Containers with the tensors of one library as tensors of the other."""
    if isinstance(value, (torch.Tensor, rushlight.Tensor)):
        return to.from_numpy(value.detach().numpy().copy())
    if isinstance(value, dict):
        return {key: translate(x, to) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translate(x, to) for x in value)
    return value


@pytest.mark.parametrize("name, i", ALL)
def test_checkpoints_go_both_ways(name, i):
    """Five steps here and five there are ten steps anywhere."""
    options = CASES["OPTIMIZERS"][name][i]
    want, _ = CASES["trajectory"](torch, name, options, torch.float64)
    for first, second in ((torch, rushlight), (rushlight, torch)):
        params, loss = CASES["problem"](first, first.float64)
        optimizer = CASES["build"](first, name, options, params)
        path = []
        for half in range(2):
            if half:
                state = translate(copy.deepcopy(optimizer.state_dict()), second)
                params = [
                    second.from_numpy(p.detach().numpy().copy()).requires_grad_() for p in params
                ]
                _, loss = CASES["problem"](second, second.float64)
                optimizer = CASES["build"](second, name, options, params)
                optimizer.load_state_dict(state)
                loss = _loss_of(second, params)
            closure = CASES["make_closure"](optimizer, loss)
            for _ in range(5):
                if name == "LBFGS":
                    optimizer.step(closure)
                else:
                    closure()
                    optimizer.step()
                path.append(CASES["flat"](first if not half else second, params))
        tolerance = CASES["TOLERANCE"].get(name, 1e-6 if "lr!" in options else 1e-9)
        for got, values in zip(path, want, strict=True):
            assert got == pytest.approx(values, rel=tolerance, abs=tolerance)


def _loss_of(library, params):
    wave, dtype = CASES["wave"], library.float64
    matrix, target = wave(library, (6, 4), 0.1, dtype), wave(library, (6, 3), 0.2, dtype)

    def loss():
        error = matrix @ params[0] + params[1] - target
        return (error * error).sum() / 18.0

    return loss


@pytest.mark.parametrize("name", CASES["OPTIMIZERS"])
def test_text_and_defaults(name):
    def facts(library):
        p = library.ones(2, 2).requires_grad_()
        optimizer = getattr(library.optim, name)([("weight", p)])
        return repr(optimizer), optimizer.defaults, list(optimizer.state_dict()["param_groups"][0])

    assert facts(rushlight) == facts(torch)


@pytest.mark.parametrize("name", CASES["SCHEDULERS"])
@pytest.mark.parametrize("resume_at", [None, 3, 8])
def test_schedules(name, resume_at):
    assert CASES["schedule"](rushlight, name, resume_at) == CASES["schedule"](
        torch, name, resume_at
    )


MAKERS = [
    lambda s, o: s.ConstantLR(o, 0.5, 2),
    lambda s, o: s.LinearLR(o, 0.25, 0.75, 3),
    lambda s, o: s.ExponentialLR(o, 0.9),
    lambda s, o: s.PolynomialLR(o, 4, 2.0),
    lambda s, o: s.CosineAnnealingLR(o, 3),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, 2),
    lambda s, o: s.MultiplicativeLR(o, lambda t: 0.8),
    lambda s, o: s.LambdaLR(o, lambda t: 1 / (1 + t)),
    lambda s, o: s.MultiStepLR(o, [1, 3], 0.5),
]


def combined(library, how, i, j, k):
    s = library.optim.lr_scheduler
    optimizer = CASES["two_groups"](library)
    first, second, third = (MAKERS[x](s, optimizer) for x in (i, j, k))
    if how == "sequence":
        scheduler = s.SequentialLR(optimizer, [first, second, third], [2, 5])
    elif how == "chain in a sequence":
        chain = s.ChainedScheduler([first, second])
        scheduler = s.SequentialLR(optimizer, [third, chain], [2])
    else:
        scheduler = s.ChainedScheduler([first, second, third])
    rows = [CASES["rates"](optimizer)]
    for _ in range(9):
        optimizer.step()
        try:
            scheduler.step()
        except ZeroDivisionError:
            rows.append("division by zero")
            break
        rows.append(CASES["rates"](optimizer))
    return rows


@pytest.mark.parametrize("how", ["sequence", "chain in a sequence", "chain"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_combinations(how):
    count = len(MAKERS)
    for i, j in itertools.product(range(count), repeat=2):
        k = (i + 2 * j) % count
        outcomes = []
        for library in (rushlight, torch):
            try:
                outcomes.append(combined(library, how, i, j, k))
            except Exception as error:  # what cannot be combined there cannot be here
                outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1], (i, j, k)


@pytest.mark.parametrize("order", [2, 1, 3, 0.5, 0, float("inf"), -float("inf")])
@pytest.mark.parametrize("bound", [0.5, 100.0])
def test_clipping(order, bound):
    def clipped(library):
        params = []
        for phase in (0.1, 0.2):
            p = library.zeros(3, 4).requires_grad_()
            p.grad = CASES["wave"](library, (3, 4), phase, library.float32)
            params.append(p)
        total = library.nn.utils.clip_grad_norm_(params, bound, order)
        library.nn.utils.clip_grad_value_(params, 0.4)
        return [total.item(), *CASES["flat"](library, [p.grad for p in params])]

    assert clipped(rushlight) == pytest.approx(clipped(torch), rel=1e-5)


def test_averaged_models():
    def averages(library):
        utils = library.optim.swa_utils
        results = []
        for options in (
            {},
            {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.75)},
            {"avg_fn": utils.get_ema_avg_fn(0.75), "use_buffers": True},
            {"use_buffers": True},
        ):
            model = library.nn.BatchNorm1d(2)
            averaged = utils.AveragedModel(model, **options)
            for value in (1.0, 3.0, 7.0):
                with library.no_grad():
                    model.weight.fill_(value)
                    model.running_mean.fill_(value)
                    model.num_batches_tracked.fill_(int(value))
                averaged.update_parameters(model)
            state = averaged.state_dict()
            results.append({key: x.tolist() for key, x in state.items()})
        return results

    got, want = averages(rushlight), averages(torch)
    for x, y in zip(got, want, strict=True):
        assert list(x) == list(y)
        for key in x:
            assert x[key] == pytest.approx(y[key])
