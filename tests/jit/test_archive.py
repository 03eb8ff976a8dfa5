"""Archives: written, read back, and safe to read; freezing."""

# The language has its own ways to write types.
# ruff: noqa: UP006, UP035, UP045



import io
import pickle
import zipfile
from typing import Dict, List, Optional

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Dropout(0.5))
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.tied = self.seq[0]
        self.register_buffer("table", torch.arange(4))
        self.names, self.sizes, self.rates = ["a", "b"], [1, 2], {"x": 0.5}
        self.kind, self.where, self.empty = torch.float64, torch.device("cpu"), None

    def forward(self, x, hidden: Optional[List[int]] = None):
        y, (h, c) = self.lstm(self.seq(x))
        total = 0
        for n in self.sizes:
            if n > 1:
                total += n * self.table[n].item()
                continue
            y = y + n
        if hidden is not None:
            y = y * len(hidden)
        while total > 100:
            total -= 1
        y = y.to(self.kind) * self.rates["x"]
        return y, h, {k: total for k in self.names}

    @torch.jit.export
    def twice(self, table: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
        return {k: self.tied(v) * 2 for k, v in table.items()}


def written(module, **options):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer, **options)
    buffer.seek(0)
    return buffer


def test_round_trip():
    torch.manual_seed(0)
    made = torch.jit.script(Everything().eval())
    again = torch.jit.load(written(made))
    x = torch.randn(2, 5, 3)
    for args in ((x,), (x, [1, 2, 3])):
        for a, b in zip(again(*args)[:2], made(*args)[:2]):
            assert torch.equal(a, b)
        assert again(*args)[2] == made(*args)[2]
    found, wanted = again.twice({"k": x})["k"], made.twice({"k": x})["k"]
    assert torch.equal(found, wanted)
    assert again.tied.weight is again.seq[0].weight or torch.equal(again.tied.weight, again.seq[0].weight)
    assert not again.training and again.seq[0].weight.requires_grad and again.names == ["a", "b"]
    assert list(again.state_dict()) == list(made.state_dict())
    third = torch.jit.load(written(again))
    assert torch.equal(third(x)[0], made(x)[0]) and third.code == again.code


def test_paths_extra_files_and_bytes(tmp_path):
    made = torch.jit.script(nn.Linear(2, 1))
    made.save(tmp_path / "m.pt", _extra_files={"notes.txt": "hello"})
    extra = {"notes.txt": "", "absent": ""}
    again = torch.jit.load(str(tmp_path / "m.pt"), map_location="cpu", _extra_files=extra)
    assert extra == {"notes.txt": "hello", "absent": ""} and torch.equal(again.weight, made.weight)
    assert torch.jit.load(io.BytesIO(made.save_to_buffer())).in_features == 2
    with pytest.raises(ValueError, match="does not exist"):
        torch.jit.load(str(tmp_path / "none.pt"))
    torch.save({"a": torch.ones(1)}, tmp_path / "checkpoint.pt")
    with pytest.raises(RuntimeError, match="constants.pkl"):
        torch.jit.load(str(tmp_path / "checkpoint.pt"))
    with pytest.raises(RuntimeError, match="use torch.jit.load"):
        torch.load(tmp_path / "m.pt")


def test_functions_are_saved_as_modules():
    @torch.jit.script
    def f(x, n: int = 2):
        return x * n
    buffer = io.BytesIO()
    f.save(buffer)
    buffer.seek(0)
    assert torch.jit.load(buffer)(torch.ones(1), 5).item() == 5


def changed(buffer, edit):
    """The archive with a record edited: edit(name, data) -> data."""
    source, out = zipfile.ZipFile(buffer), io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, edit(name, source.read(name)))
    out.seek(0)
    return out


def test_nothing_in_a_file_is_run():
    buffer = written(torch.jit.script(nn.Linear(2, 1)))

    class Evil:
        def __reduce__(self):
            return print, ("should not be seen",)
    evil = changed(buffer, lambda n, d: pickle.dumps(Evil(), 2) if n.endswith("data.pkl") else d)
    with pytest.raises(pickle.UnpicklingError, match="print"):
        torch.jit.load(evil)

    def call(name, data):
        return data.replace(b"torch.linear(input, weight, bias)", b"__import__('os').getcwd()")
    with pytest.raises(RuntimeError, match="undefined value __import__"):
        torch.jit.load(changed(buffer, call))

    def unknown(name, data):
        return data.replace(b"torch.linear(", b"torch.no_such_operator(")
    with pytest.raises(RuntimeError):
        torch.jit.load(changed(buffer, unknown))


def test_python_functions_can_not_be_saved():
    @torch.jit.ignore
    def python(x: int) -> int:
        return x

    @torch.jit.script
    def f(x: int):
        return python(x)
    with pytest.raises(RuntimeError, match="Could not export Python function call 'python'"):
        f.save(io.BytesIO())


def test_compiled_modules_are_not_pickled_but_copied():
    import copy
    made = torch.jit.script(nn.Linear(2, 1))
    with pytest.raises(pickle.PickleError):
        pickle.dumps(made)
    other = copy.deepcopy(made)
    assert other.weight is not made.weight and torch.equal(other(torch.ones(2)), made(torch.ones(2)))


class Freezable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.steps = 3

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        if self.training:
            x = F.dropout(x)
        return self.fc(x.mean([2, 3])) * self.steps


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.randn(1, 3, 8, 8))])
def test_freeze(make):
    torch.manual_seed(0)
    net = Freezable()
    net(torch.randn(6, 3, 8, 8))
    with pytest.raises(RuntimeError, match="eval mode"):
        torch.jit.freeze(torch.jit.script(net))
    net.eval()
    made = make(net)
    frozen = torch.jit.freeze(made)
    x = torch.randn(2, 3, 8, 8)
    np.testing.assert_allclose(frozen(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert not list(frozen.parameters()) and not hasattr(frozen, "conv")
    kinds = [n.kind() for n in frozen.graph.findAllNodes("aten::batch_norm")]
    assert not kinds and frozen.graph.findNode("prim::GetAttr") is None
    again = torch.jit.load(written(frozen))
    np.testing.assert_allclose(again(x).numpy(), frozen(x).detach().numpy(), rtol=1e-6)
    kept = torch.jit.freeze(made, preserved_attrs=["steps"]) if make is torch.jit.script else frozen
    assert kept is frozen or kept.steps == 3
    best = torch.jit.optimize_for_inference(made)
    np.testing.assert_allclose(best(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_settings_are_kept():
    before = torch.jit.set_fusion_strategy([("STATIC", 3)])
    assert torch.jit.set_fusion_strategy(before) == [("STATIC", 3)]
    torch.jit.enable_onednn_fusion(True)
    assert torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(False)
