"""Files that PyTorch 2.13 and safetensors wrote (kept under files/) load as what they hold."""

import collections
import os

import pytest

import rushlight as torch
from rushlight.serialization import safetensors

FILES = os.path.join(os.path.dirname(__file__), "files")
ZIP = os.path.join(FILES, "pytorch-2.13.pth")
LEGACY = os.path.join(FILES, "pytorch-2.13-legacy.pth")


def check_tensors(found):
    assert found["view"].tolist() == [2, 4, 6] and found["view"].stride() == (2,)
    assert found["transposed"].stride() == (1, 4) and found["transposed"].shape == (4, 3)
    assert found["view"].untyped_storage().data_ptr() == \
        found["transposed"].untyped_storage().data_ptr()
    assert found["bfloat16"].dtype == torch.bfloat16 and found["bfloat16"].tolist() == [1., 2.5]
    assert found["complex"].tolist() == [1 + 2j]
    assert found["bool"].tolist() == [True, False] and found["scalar"].item() == 3
    model = found["model"]
    assert type(model) is collections.OrderedDict and list(model) == ["weight", "bias"]
    assert model._metadata[""]["version"] == 1
    assert [round(x, 4) for x in model["bias"].tolist()] == [6.75, 7.75, 8.75]


@pytest.mark.parametrize("options", [{}, {"weights_only": False}, {"mmap": True}])
def test_archive(options):
    found = torch.load(ZIP, **options)
    check_tensors(found)
    assert found["conj"].is_conj() and found["conj"].tolist() == [1 - 2j]
    assert found["meta"].device.type == "meta" and found["meta"].shape == (2, 3)
    assert found["float8"].dtype == torch.float8_e4m3fn and found["float8"].float().tolist() == [1, 1]
    assert found["uint16"].dtype == torch.uint16 and found["uint16"].tolist() == [40000]
    assert isinstance(found["parameter"], torch.nn.Parameter) and found["parameter"].tag == "x"
    assert found["parameter"].requires_grad and found["empty"].shape == (0, 3)
    assert found["dtype"] is torch.float16 and found["device"] == torch.device("cpu")
    assert found["size"] == torch.Size([1, 2]) and type(found["size"]) is torch.Size
    plain = {"set": {1}, "bytes": b"ab", "counter": collections.Counter("aab"), "number": 2**70,
             "pi": 3.5, "complex_number": 1 + 2j, "text": "é", "list": [1, (2, None)], "flag": True}
    assert {key: found[key] for key in plain} == plain


@pytest.mark.parametrize("weights_only", [True, False])
def test_format_before_archives(weights_only):
    check_tensors(torch.load(LEGACY, weights_only=weights_only))


def test_training_goes_on_from_the_checkpoint():
    found = torch.load(ZIP)
    model = torch.nn.Linear(2, 3)
    model.load_state_dict(found["model"])
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(found["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.25
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert [round(x, 4) for x in model.bias.tolist()] == [6.5, 7.5, 8.5]


def test_safetensors_file():
    found = safetensors.load_file(os.path.join(FILES, "tensors.safetensors"))
    assert found["a"].tolist() == [[0, 1], [2, 3]] and found["b"].dtype == torch.bfloat16
    assert found["b"].tolist() == [1., 2.5] and found["c"].tolist() == [True]
