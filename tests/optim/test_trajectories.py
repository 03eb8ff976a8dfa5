"""Ten steps of every optimizer against values stored from PyTorch."""

import json
import runpy
from pathlib import Path

import pytest

import rushlight as torch

CASES = runpy.run_path(str(Path(__file__).with_name("optim_cases.py")))
EXPECTED = json.loads(CASES["EXPECTED"].read_text())["optimizers"]
ALL = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, cases in CASES["OPTIMIZERS"].items()
    for i in range(len(cases))
]


def close(got, want, tolerance):
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        assert abs(x - y) <= tolerance * (1 + abs(y)), (x, y)


@pytest.mark.parametrize("name, i", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_parameters_follow_pytorch(name, i, dtype):
    want = EXPECTED[name][i].get(dtype)
    if want is None:
        pytest.skip("no complex values stored for this case")
    options = CASES["OPTIMIZERS"][name][i]
    path, optimizer = CASES["trajectory"](torch, name, options, getattr(torch, dtype))
    tolerance = CASES["TOLERANCE"].get(name, 1e-5 if dtype == "float32" else 1e-6)
    if "lr!" not in options and dtype != "float32" and name != "Muon":
        tolerance = 1e-8
    if name == "LBFGS" and dtype == "float32":
        tolerance = 2e-3  # curvature differences amplify rounding
    for step, values in zip(CASES["KEPT"], want, strict=True):
        close(path[step], values, tolerance)
    state = optimizer.state_dict()
    assert list(state["state"].get(0, {})) == EXPECTED[name][i]["state"]
    assert list(state["param_groups"][0]) == EXPECTED[name][i]["groups"]


@pytest.mark.parametrize("name", sorted(set(CASES["OPTIMIZERS"]) - {"Muon", "Adafactor"}))
def test_half_precision_goes_down(name):
    params, loss = CASES["problem"](torch, torch.bfloat16)
    if name == "LBFGS":
        pytest.skip("curvature needs more precision")
    optimizer = CASES["build"](torch, name, {"lr": 1.0 if name == "Adadelta" else 0.05}, params)
    closure = CASES["make_closure"](optimizer, loss)
    first = closure().item()
    for _ in range(8):
        closure()
        optimizer.step()
    assert closure().item() < first
    assert all(p.dtype == torch.bfloat16 for p in params)


def one_step(name, options, p, g):
    p = p.clone().requires_grad_(True)
    p.grad = g
    optimizer = getattr(torch.optim, name)([p], **options)
    for _ in range(3):
        optimizer.step()
    return p.detach(), optimizer.state_dict()["state"].get(0, {})


@pytest.mark.parametrize("name", sorted(set(CASES["OPTIMIZERS"]) - {"Muon", "Adafactor", "LBFGS"}))
@pytest.mark.parametrize("layout", ["transposed gradient", "transposed", "strided"])
def test_memory_layout_changes_nothing(name, layout):
    values = CASES["wave"](torch, (4, 4), 0.7, torch.float32)
    grads = CASES["wave"](torch, (4, 4), 0.9, torch.float32)
    options = {"lr": 0.1}
    want, _ = one_step(name, options, values, grads)
    if layout == "transposed gradient":
        got, _ = one_step(name, options, values, grads.t().contiguous().t())
    elif layout == "transposed":
        got, _ = one_step(name, options, values.t().contiguous().t(), grads)
    else:
        wide = torch.zeros(4, 8)
        wide[:, ::2] = grads
        got, _ = one_step(name, options, values, wide[:, ::2])
    assert torch.equal(got, want)


@pytest.mark.parametrize("name", sorted(set(CASES["OPTIMIZERS"]) - {"Muon", "Adafactor", "LBFGS"}))
def test_kernels_agree_with_tensor_operations(name, monkeypatch):
    """The native update and the formula on tensors give the same parameters and state."""
    from rushlight.optim import fused

    def nothing_is_plain(slots, how):
        def gather(optimizer, group):
            rest = []
            for p in group["params"]:
                asked = how == fused.ASKED
                tick = optimizer._tick(group, p, optimizer.state[p]) if asked else None
                rest.append((p, p.grad, tick))
            return [], rest

        return gather

    for options in CASES["OPTIMIZERS"][name]:
        native, _ = CASES["trajectory"](torch, name, options, torch.float64)
        with monkeypatch.context() as patch:
            patch.setattr(fused, "gatherer", nothing_is_plain)
            plain, _ = CASES["trajectory"](torch, name, options, torch.float64)
        for got, want in zip(native, plain, strict=True):
            close(got, want, 1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop", "AdamW"])
def test_one_native_call_for_a_group(name, monkeypatch):
    """All plain parameters of a group step together, and none is left to tensor operations."""
    from rushlight import compiler
    from rushlight.optim import fused

    calls = []
    original = fused.gatherer

    def watched(slots, how):
        def gather(optimizer, group):
            batches, rest = original(slots, how)(optimizer, group)
            calls.append((len(batches), len(rest)))
            return batches, rest

        return gather

    monkeypatch.setattr(fused, "gatherer", watched)
    CASES["trajectory"](torch, name, {"lr": 0.1}, torch.float32)
    assert set(calls) == ({(1, 0)} if compiler.available() else {(0, 2)})


def test_versions_go_up():
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    optimizer = torch.optim.Adam([p])
    before = p._version
    optimizer.step()
    assert p._version > before
    state = optimizer.state[p]
    versions = {key: x._version for key, x in state.items()}
    optimizer.step()
    assert all(x._version > versions[key] for key, x in state.items())


def test_a_step_between_forward_and_backward_is_noticed():
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    optimizer = torch.optim.SGD([p], lr=0.1)
    loss = (p * p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "RAdam", "NAdam", "ASGD"])
def test_differentiable_step(name):
    """The derivative of an update with respect to the gradient it used, by finite differences."""

    def updated(value, record):
        x = torch.tensor([0.3, -0.7], dtype=torch.float64)
        p = torch.nn.Parameter(x.clone())
        optimizer = getattr(torch.optim, name)([p], lr=0.1, differentiable=True)
        q = x.clone()
        if record:
            q.requires_grad_(True)
            q = q.clone()
        optimizer.param_groups[0]["params"] = [q]
        for k in (1.0, 2.0):
            q.grad = value * k
            optimizer.step()
        return q.sum()

    g = torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    (got,) = torch.autograd.grad(updated(g, True), g)
    h = 1e-6
    for i in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[i] = h
        with torch.no_grad():
            slope = (updated(g + step, False) - updated(g - step, False)).item() / (2 * h)
        assert abs(got[i].item() - slope) < 1e-5
