"""Checkpoints and safetensors files, both ways between Rushlight and a live PyTorch."""

import collections
import io

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
          "bfloat16", "complex64", "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn",
          "float8_e5m2"]
FORMATS = [{}, {"_use_new_zipfile_serialization": False}]


def build(lib):
    """One tree of objects, made by either library."""
    base = lib.arange(12.)
    parameter = lib.nn.Parameter(lib.tensor([1.5, -2.]))
    parameter.tag = "x"
    return {
        "view": base[2:8:2], "t": base.view(3, 4).t(), "parameter": parameter,
        "ordered": collections.OrderedDict([("b", lib.ones(2)), ("a", [1, (2, None)])]),
        "empty": lib.zeros(0, 3), "scalar": lib.tensor(3), "grad": lib.ones(1, requires_grad=True),
        "conj": lib.tensor([1 + 2j]).conj(), "size": lib.Size([1, 2]), "dtype": lib.float16, "layout": lib.strided,
        "device": lib.device("cpu"), "set": {1}, "bytes": b"ab", "big": 2**70, "text": "é",
        "pair": (1 + 2j, bytearray(b"x")), "count": collections.Counter("aab"), "float": 0.1}


def plain(x):
    """A description of a tree that does not depend on the library."""
    if isinstance(x, (torch.Tensor, rl.Tensor)):
        lib = torch if isinstance(x, torch.Tensor) else rl
        return ("tensor", type(x).__name__, str(x.dtype), tuple(x.shape), tuple(x.stride()),
                x.storage_offset(), x.requires_grad, x.is_conj(), dict(x.__dict__),
                x.detach().to(lib.complex128).tolist())
    if isinstance(x, (torch.Size, rl.Size)):
        return ("size", tuple(x))
    if isinstance(x, dict):
        return (type(x).__name__, [(key, plain(value)) for key, value in x.items()],
                plain(getattr(x, "_metadata", None)))
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, [plain(item) for item in x])
    if isinstance(x, (int, float, complex, str, bytes, bytearray, set, type(None))):
        return x
    return repr(x)


@pytest.mark.parametrize("options", FORMATS)
@pytest.mark.parametrize("writer, reader", [(rl, torch), (torch, rl)])
@pytest.mark.parametrize("weights_only", [True, False])
def test_trees(writer, reader, options, weights_only):
    obj, buffer = build(writer), io.BytesIO()
    writer.save(obj, buffer, **options)
    buffer.seek(0)
    found = reader.load(buffer, weights_only=weights_only)
    assert plain(found) == plain(obj)
    assert found["view"].untyped_storage().data_ptr() == found["t"].untyped_storage().data_ptr()


@pytest.mark.parametrize("writer, reader", [(rl, torch), (torch, rl)])
@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(writer, reader, name, tmp_path):
    tensor = writer.tensor([[0., 1.], [2., 3.]]).to(getattr(writer, name))
    writer.save(tensor, tmp_path / "x.pth")
    for mmap in (False, True):
        assert plain(reader.load(tmp_path / "x.pth", mmap=mmap)) == plain(tensor)


def model_of(lib):
    return lib.nn.Sequential(lib.nn.Conv2d(1, 2, 3), lib.nn.BatchNorm2d(2), lib.nn.ReLU(),
                             lib.nn.Flatten(), lib.nn.Linear(72, 3))


@pytest.mark.parametrize("writer, reader", [(rl, torch), (torch, rl)])
def test_training_states(writer, reader):
    model = model_of(writer)
    optimizer = writer.optim.AdamW(model.parameters(), lr=0.01)
    x = np.linspace(-1, 1, 64 * 2, dtype=np.float32).reshape(2, 1, 8, 8)
    model(writer.from_numpy(x)).sum().backward()
    optimizer.step()
    buffer = io.BytesIO()
    writer.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    found = reader.load(buffer)
    other = model_of(reader)
    other.load_state_dict(found["model"])
    again = reader.optim.AdamW(other.parameters())
    again.load_state_dict(found["optimizer"])
    assert plain(again.state_dict()["param_groups"]) == plain(optimizer.state_dict()["param_groups"])
    model.eval(), other.eval()
    a = model(writer.from_numpy(x)).detach().numpy()
    b = other(reader.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("writer, reader", [(rl, torch), (torch, rl)])
def test_whole_modules_with_trust(writer, reader):
    buffer = io.BytesIO()
    model = writer.nn.Sequential(writer.nn.Linear(2, 3), writer.nn.Tanh())
    writer.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = reader.nn.Sequential(reader.nn.Linear(2, 3), reader.nn.Tanh())
    other.load_state_dict(reader.load(buffer))
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(model(writer.from_numpy(x)).detach().numpy(),
                               other(reader.from_numpy(x)).detach().numpy(), rtol=1e-6)


def test_pytorchs_whole_module_loads_as_ours():
    buffer = io.BytesIO()
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    torch.save(model, buffer)
    buffer.seek(0)
    ours = rl.load(buffer, weights_only=False)
    assert isinstance(ours, rl.nn.Sequential) and isinstance(ours[0].weight, rl.nn.Parameter)
    np.testing.assert_allclose(ours(rl.ones(1, 2)).detach().numpy(),
                               model(torch.ones(1, 2)).detach().numpy(), rtol=1e-6)


def test_pytorchs_version_loads_as_text():
    buffer = io.BytesIO()
    torch.save({"version": torch.__version__}, buffer)
    for weights_only in (True, False):
        buffer.seek(0)
        assert rl.load(buffer, weights_only=weights_only)["version"] == str(torch.__version__)


def test_safetensors(tmp_path):
    theirs = pytest.importorskip("safetensors.torch")
    from rushlight.serialization import safetensors as ours

    def tensors(lib):
        return {name: lib.tensor([0., 1., 1.]).to(getattr(lib, name)) for name in DTYPES[:10]}

    ours.save_file(tensors(rl), tmp_path / "ours")
    found = theirs.load_file(tmp_path / "ours")
    assert {n: plain(t) for n, t in found.items()} == {n: plain(t) for n, t in tensors(torch).items()}
    theirs.save_file(tensors(torch), tmp_path / "theirs")
    found = ours.load_file(tmp_path / "theirs")
    assert {n: plain(t) for n, t in found.items()} == {n: plain(t) for n, t in tensors(rl).items()}


@pytest.mark.parametrize("damage", [lambda d: d[:200], lambda d: d[:-30], lambda d: b"",
                                    lambda d: b"garbage", lambda d: d[:100] + b"\0" * 400])
def test_damage_raises_the_same_kind(damage):
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(6.)}, buffer)
    data = damage(buffer.getvalue())
    kinds = []
    for lib in (torch, rl):
        with pytest.raises(Exception) as caught:
            lib.load(io.BytesIO(data))
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
