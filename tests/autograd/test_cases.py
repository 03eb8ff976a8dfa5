"""Autograd's behaviour, case by case, against stored results of PyTorch 2.13."""

import json

import pytest

import rushlight as torch

from .support import HERE, agree, cases, run

CASES = cases()
EXPECTED = json.loads((HERE / "expected.json").read_text())


def test_every_case_is_stored():
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name):
    found = run(CASES[name], torch)
    assert agree(found, EXPECTED[name]), f"found {found}\nexpected {EXPECTED[name]}"
