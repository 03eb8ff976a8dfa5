"""save and load: what goes in comes out, with sharing, strides and kinds."""

import collections
import io
import os
import pathlib
import pickle

import numpy as np
import pytest

import rushlight as torch

FORMATS = [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}]


def through(obj, load_options=None, **save_options):
    buffer = io.BytesIO()
    torch.save(obj, buffer, **save_options)
    buffer.seek(0)
    return torch.load(buffer, **(load_options or {}))


@pytest.mark.parametrize("options", FORMATS)
@pytest.mark.parametrize("name", [
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bfloat16",
    "complex64", "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"])
def test_every_dtype(name, options):
    dtype = getattr(torch, name)
    tensor = torch.tensor([0, 1, 1, 0], dtype=torch.float32).to(dtype)
    out = through(tensor, **options)
    assert out.dtype == dtype and out.shape == (4,)
    assert out.to(torch.complex128).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("options", FORMATS)
def test_sharing_and_strides(options):
    base = torch.arange(12.)
    out = through({"all": base, "some": base[2:8:2], "t": base.view(3, 4).t()}, **options)
    assert out["some"].stride() == (2,) and out["some"].storage_offset() == 2
    assert out["t"].stride() == (1, 4)
    out["all"][4] = 100.0
    assert out["some"].tolist() == [2, 100, 6] and out["t"][0, 1].item() == 100.0


@pytest.mark.parametrize("options", FORMATS)
def test_containers_and_kinds(options):
    obj = {"ordered": collections.OrderedDict([("b", 1), ("a", [2, (3, None)])]), "set": {1, "x"},
           "bytes": b"\x00\xff", "bytearray": bytearray(b"x"), "complex": 1 - 2j, "big": -2**70,
           "float": 0.1, "text": "é\n", "flag": [True, False], "counter": collections.Counter("aab"),
           "layout": torch.strided, "dtype": torch.bfloat16, "device": torch.device("cpu"), "size": torch.Size([2, 3]),
           5: "number key", ("tuple", 1): 2}
    out = through(obj, **options)
    assert out == obj
    assert {key: type(value) for key, value in out.items()} == \
        {key: type(value) for key, value in obj.items()}


def test_recursive_containers():
    loop = [1]
    loop.append(loop)
    out = through(loop)
    assert out[0] == 1 and out[1] is out


def test_parameters_modules_and_gradients():
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    out = through([parameter, torch.ones(1, requires_grad=True)])
    assert isinstance(out[0], torch.nn.Parameter) and not out[0].requires_grad
    assert out[1].requires_grad and out[1].is_leaf
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.ReLU())
    state = through(model.state_dict())
    model.load_state_dict(state)
    whole = through(model, {"weights_only": False})
    x = torch.ones(3, 2)
    assert torch.equal(whole.eval()(x), model.eval()(x))


def test_attributes_of_tensors():
    tensor = torch.ones(2)
    tensor.note = "kept"
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.tag = [1]
    out = through([tensor, parameter])
    assert out[0].note == "kept" and out[1].tag == [1]


def test_conjugate_negative_and_meta():
    z = torch.tensor([1 + 2j, 3 - 1j])
    out = through([z.conj(), z.clone().conj().imag, torch.empty(2, 3, device="meta")])
    assert out[0].is_conj() and out[0].tolist() == [1 - 2j, 3 + 1j]
    assert out[1].tolist() == [-2, 1]
    assert out[2].device.type == "meta" and out[2].shape == (2, 3)


def test_empty_and_scalar():
    out = through([torch.zeros(0, 3), torch.zeros(2, 0), torch.tensor(3.5), torch.zeros(0)])
    assert [t.shape for t in out] == [(0, 3), (2, 0), (), (0,)] and out[2].item() == 3.5


def test_storages():
    out = through({"t": torch.arange(3), "s": torch.arange(3, dtype=torch.uint8).untyped_storage()})
    assert out["s"].tolist() == [0, 1, 2]


def test_one_storage_under_two_dtypes_is_refused():
    x = torch.zeros(4, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        through([x, x.view(torch.float32)])


@pytest.mark.parametrize("kind", [str, pathlib.Path])
@pytest.mark.parametrize("mmap", [False, True])
def test_paths(tmp_path, kind, mmap):
    path = kind(tmp_path / "model.tar.pth")
    torch.save({"x": torch.arange(5.)}, path)
    out = torch.load(path, mmap=mmap)["x"]
    out += 1
    assert out.tolist() == [1, 2, 3, 4, 5]
    assert torch.load(path)["x"].tolist() == [0, 1, 2, 3, 4]
    assert oct(os.stat(path).st_mode & 0o777) == oct(0o666 & ~_umask())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_loaded_tensors_can_be_trained_and_resized(tmp_path):
    torch.save(torch.ones(3), tmp_path / "x.pth")
    x = torch.load(tmp_path / "x.pth", mmap=True).requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_file_objects_that_only_write():
    class Sink:
        def __init__(self):
            self.parts = []

        def write(self, data):
            self.parts.append(bytes(data))
            return len(data)

    sink = Sink()
    torch.save([torch.ones(2)], sink)
    assert torch.load(io.BytesIO(b"".join(sink.parts)))[0].tolist() == [1, 1]


def test_checkpoint_behind_other_bytes():
    buffer = io.BytesIO()
    buffer.write(b"head")
    inner = io.BytesIO()
    torch.save(torch.arange(2), inner)
    buffer.write(inner.getvalue())
    buffer.seek(4)
    assert torch.load(buffer).tolist() == [0, 1]


@pytest.mark.parametrize("location", ["meta", torch.device("meta"), {"cpu": "meta"},
                                      lambda storage, tag: None])
def test_map_location(location):
    out = through(torch.arange(3), {"map_location": location})
    assert out.shape == (3,)
    stays = not isinstance(location, (str, dict, torch.device))
    assert out.device.type == ("cpu" if stays else "meta")


def test_map_location_function_sees_the_tag():
    seen = []

    def note(storage, tag):
        seen.append((storage.nbytes(), tag))
        return storage

    assert through(torch.arange(3), {"map_location": note}).tolist() == [0, 1, 2]
    assert seen == [(24, "cpu")]


@pytest.mark.parametrize("location, kind, message", [
    ("cuda", RuntimeError, "torch.cuda.is_available\\(\\) is False"),
    ("nowhere", RuntimeError, "don't know how to restore data location"), (3, TypeError, "int")])
def test_map_location_is_checked(location, kind, message):
    with pytest.raises(kind, match=message):
        through(torch.arange(3), {"map_location": location})


def test_arguments_are_checked(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        torch.save({}, tmp_path / "no" / "x.pth")
    with pytest.raises(AttributeError, match="'write' attribute"):
        torch.save({}, 5)
    with pytest.raises(AttributeError, match="seekable"):
        torch.load(5)
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nothing.pth")
    with pytest.raises(ValueError, match="mmap argument"):
        through(1, {"mmap": True})
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        through(1, {"weights_only": True, "pickle_module": pickle})
    assert through([1], {"pickle_module": pickle}) == [1]


def test_numpy_arrays_need_trust():
    out = through({"a": np.arange(3)}, {"weights_only": False})
    assert out["a"].tolist() == [0, 1, 2]
