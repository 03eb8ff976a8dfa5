"""safetensors files."""

import pytest

import rushlight as torch
from rushlight.serialization import safetensors


def test_round_trip(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {name: torch.tensor([0., 1., 1.]).to(getattr(torch, name)) for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
        "bool", "float8_e4m3fn")}
    tensors |= {"empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "grid": torch.ones(2, 3)}
    safetensors.save_file(tensors, path, metadata={"by": "test"})
    out = safetensors.load_file(path)
    assert set(out) == set(tensors)
    for name, tensor in tensors.items():
        assert out[name].dtype == tensor.dtype and out[name].shape == tensor.shape
        assert out[name].to(torch.float64).tolist() == tensor.to(torch.float64).tolist()


def test_what_can_not_be_saved():
    x = torch.ones(2, 3)
    for tensors, kind, message in [({"x": x.t()}, ValueError, "non contiguous"),
                                   ({"a": x, "b": x}, RuntimeError, "share memory"),
                                   ({"a": 3}, ValueError, "expected torch.Tensor"),
                                   ([x], ValueError, "Expected a dict")]:
        with pytest.raises(kind, match=message):
            safetensors.save(tensors)


def test_corrupt_files(tmp_path):
    data = safetensors.save({"x": torch.ones(100)})
    for bad in (data[:5], data[:-1], b"\xff" * 16):
        with pytest.raises(RuntimeError, match="safetensors"):
            safetensors.load(bad)
