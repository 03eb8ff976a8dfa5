"""The functions of neural networks against stored results of PyTorch 2.13 and finite differences, in float64."""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import rushlight as torch

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("nn_cases", HERE / "nn_cases.py")
nn_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(nn_cases)
CASES, ERRORS = nn_cases.CASES, nn_cases.ERRORS
EXPECTED = json.loads((HERE / "expected.json").read_text())
NUMBERS = range(len(CASES))
IDS = [code for code, _ in CASES]
# Second derivatives that have no rule, there as here.
ONCE = ("ctc_loss", "embedding_bag(i22, a, mode='max')", "pdist", "grid_sample(a, b, mode='bicubic'")
# Results that step, and rows that by agreement have no gradient: nothing to compare with differences.
STEPS = ("one_hot", "padding_idx")


def same(found, expected):
    if expected is None:
        return found is None
    return found is not None and np.allclose(np.array(found, float), np.array(expected, float), rtol=1e-7, atol=1e-9,
                                             equal_nan=True)


def test_every_case_is_stored():
    assert set(IDS) == set(EXPECTED["cases"])
    assert set(ERRORS) == set(EXPECTED["errors"])


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_values_and_gradients(number):
    expected = EXPECTED["cases"][CASES[number][0]]
    found = nn_cases.evaluate(torch, number)
    assert len(found["values"]) == len(expected["values"])
    for f, e in zip(found["values"], expected["values"]):
        assert same(f, e)
    for k, (f, e) in enumerate(zip(found["grads"], expected["grads"])):
        assert same(f, e), f"gradient of operand {k}: {f}, expected {e}"


@pytest.mark.parametrize("number", [n for n in NUMBERS if not any(s in IDS[n] for s in STEPS)],
                         ids=[i for i in IDS if not any(s in i for s in STEPS)])
def test_gradients_agree_with_differences(number):
    code, shapes = CASES[number]
    f, xs = nn_cases.function(torch, code), nn_cases.operands(torch, shapes, number)
    outs = lambda *a: tuple(o for o in nn_cases.flat(f(*a)) if o.is_floating_point())
    assert torch.autograd.gradcheck(outs, xs, fast_mode=True, atol=1e-4)


@pytest.mark.parametrize("number", [n for n in NUMBERS if not any(s in IDS[n] for s in STEPS + ONCE)],
                         ids=[i for i in IDS if not any(s in i for s in STEPS + ONCE)])
def test_second_gradients_agree_with_differences(number):
    code, shapes = CASES[number]
    f, xs = nn_cases.function(torch, code), nn_cases.operands(torch, shapes, number)
    outs = lambda *a: tuple(o for o in nn_cases.flat(f(*a)) if o.requires_grad)
    assert torch.autograd.gradgradcheck(outs, xs, fast_mode=True, atol=1e-4)


@pytest.mark.parametrize("code", ERRORS)
def test_bad_input_raises(code):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert nn_cases.error(torch, code) == EXPECTED["errors"][code]
