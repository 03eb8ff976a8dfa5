"""Training loops of many fields against PyTorch: the same seed, and the losses must stay the same, compiled or not."""

import sys
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import rushlight

sys.path.insert(0, str(Path(__file__).parent))

from loops import LOOPS

STEPS = 12          # some decide only after ten calls whether programs pay


@pytest.fixture(autouse=True)
def one_thread():
    """Steps this small gain nothing from more."""
    before = [T.get_num_threads() for T in (torch, rushlight)]
    for T in (torch, rushlight):
        T.set_num_threads(1)
    yield
    for T, n in zip((torch, rushlight), before, strict=True):
        T.set_num_threads(n)


def losses(T, name, wrap=lambda step: step):
    """The losses of the first steps after a seed, and the step."""
    T.manual_seed(0)
    step = wrap(LOOPS[name].make(T))
    return [step().item() for _ in range(STEPS)], step


@pytest.mark.parametrize("name", LOOPS)
def test_losses(name):
    loop = LOOPS[name]
    want, _ = losses(torch, name)
    assert len(set(want)) > 1, "nothing is learnt"
    got, _ = losses(rushlight, name)
    assert got == pytest.approx(want, rel=loop.tolerance)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        got, step = losses(rushlight, name, rushlight.compile)
    assert got == pytest.approx(want, rel=loop.tolerance)
    programs = sum(map(len, step.entries.values()))
    told = [str(w.message) for w in told if "eagerly" in str(w.message)]
    assert bool(programs) == loop.programs, (programs, told)
    assert len(told) == bool(loop.eager) and all(loop.eager in text for text in told), told
