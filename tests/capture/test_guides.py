"""Guides' training loops run compiled by one decorator more, and print the same losses."""

import re
import sys
import warnings
from pathlib import Path

import pytest

import rushlight as torch

sys.path.insert(0, str(Path(__file__).parent))

import guide_practice  # noqa: F401
from guide_loops import LOOPS

# Loops that are told of calls that can't be captured whole (prints, decisions by losses, states that grow); the parts
# of these calls are programs, but for the last three.
BREAK = {"picture_classifier", "accumulation", "normalized_weights", "closures"}
EAGER = {"early_stopping"}


def run(loop, compiled, capsys):
    """(what the loop prints, the numbers it leaves)."""
    torch.manual_seed(7)
    left = loop(compiled)
    return capsys.readouterr().out, list(numbers(left))


def numbers(x):
    """Every number of models, optimizers and containers, in one order."""
    if hasattr(x, "state_dict"):
        x = x.state_dict()
    if isinstance(x, dict):
        x = [x[k] for k in sorted(x, key=str)]
    if isinstance(x, (list, tuple)):
        for y in x:
            yield from numbers(y)
    elif isinstance(x, (torch.Tensor, int, float)):
        yield torch.as_tensor(x).detach().double()


def programs(f):
    """How many programs a compiled function and its parts have."""
    f = getattr(f, "_compiled", f)
    found = sum(len(p) for p in f.entries.values())
    return found + sum(programs(part) for _, part in f.regions.parts()) if f.regions is not None else found


@pytest.mark.parametrize("name", LOOPS)
def test_a_decorator_changes_nothing_but_time(name, capsys):
    made = []

    def decorated(f):
        made.append(torch.compile(f))
        return made[-1]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        printed, left = run(LOOPS[name], decorated, capsys)
    want, state = run(LOOPS[name], lambda f: f, capsys)
    # Sums that come along with another kernel may round otherwise: numbers in full agree to six digits or so.
    number = re.compile(r"-?\d+\.\d{3,}")
    assert number.sub("#", printed) == number.sub("#", want) and printed
    for a, b in zip(number.findall(printed), number.findall(want), strict=True):
        assert float(a) == pytest.approx(float(b), rel=2e-5, abs=2e-5), (printed, want)
    assert len(left) == len(state) > 0
    for a, b in zip(left, state, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
    messages = [str(w.message) for w in told if "compile" in str(w.message)]
    assert len(messages) == len(set(messages)) and bool(messages) == (name in BREAK), messages
    assert any(programs(f) for f in made) == (name not in EAGER), messages


def test_there_are_enough_of_them():
    assert len(LOOPS) >= 22
