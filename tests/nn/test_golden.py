"""repr, state dict and seeded first values of every module equal PyTorch's, as stored."""

import json
import pathlib
import warnings

import pytest

import rushlight as torch

from .module_cases import CASES, describe

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "modules.json").read_text())


@pytest.mark.parametrize("name", sorted(CASES))
def test_equals_golden(name):
    for (args, kwargs), expected in zip(CASES[name], GOLDEN[name], strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = describe(torch, name, args, kwargs)
        assert found["repr"] == expected["repr"]
        assert found["parameters"] == expected["parameters"]
        assert found["buffers"] == expected["buffers"]
        assert [e[:3] for e in found["state"]] == [e[:3] for e in expected["state"]]
        for (key, _, _, values), (_, _, _, stored) in zip(found["state"], expected["state"]):
            if stored is None:
                assert values is None
                continue
            assert values == pytest.approx(stored, rel=1e-6, abs=1e-7), key


def test_every_module_is_stored():
    from rushlight import nn

    modules = {n for n in nn.__all__ if isinstance(getattr(nn, n), type)
               and issubclass(getattr(nn, n), nn.Module)}
    bare = {"Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList",
            "ParameterDict", "DataParallel", "RNNBase", "RNNCellBase", "NLLLoss2d",
            "TransformerEncoder", "TransformerDecoder"}
    assert modules - bare == set(CASES)
