"""Autograd's behaviour cases, run by a live PyTorch and by us."""

import sys
from pathlib import Path

import pytest

import rushlight

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "autograd"))
from support import agree, cases, run

CASES = cases()
# Slow in PyTorch, or its texts depend on its version; the stored results cover them.
SKIPPED = {"graph_cases.deep_chain_dropped_without_backward"}


@pytest.mark.parametrize("name", sorted(set(CASES) - SKIPPED))
def test_case(name):
    expected, found = run(CASES[name], torch), run(CASES[name], rushlight)
    assert agree(found, expected), f"found {found}\nexpected {expected}"
