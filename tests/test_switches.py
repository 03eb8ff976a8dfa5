"""Determinism's switches, types' names, numbers that may be symbols, branches, models from a directory, devices."""

import math

import pytest

import rushlight as torch


def test_determinism():
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.get_deterministic_debug_mode() == 1
    torch.set_deterministic_debug_mode("error")
    assert torch.get_deterministic_debug_mode() == 2
    torch.set_deterministic_debug_mode(0)
    assert not torch.are_deterministic_algorithms_enabled()
    for bad, error in ((5, RuntimeError), ("x", RuntimeError), (1.0, TypeError)):
        with pytest.raises(error):
            torch.set_deterministic_debug_mode(bad)


def test_names_of_types():
    assert torch.typename(torch.ones(1)) == "torch.FloatTensor" and torch.typename(3) == "int"
    assert torch.typename(torch.nn.Linear(1, 1)) == torch.typename(torch.nn.Linear)
    assert torch.typename(torch.nn.Linear).endswith("nn.modules.linear.Linear")


def test_default_tensor_type():
    try:
        with pytest.warns(UserWarning, match="deprecated"):
            torch.set_default_tensor_type(torch.DoubleTensor)
        assert torch.get_default_dtype() is torch.float64
        with pytest.warns(UserWarning):
            torch.set_default_tensor_type("torch.FloatTensor")
        assert torch.get_default_dtype() is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    for bad, text in (("torch.IntTensor", "only floating-point types"), (3, "invalid type object"),
                      ("torch.cuda.FloatTensor", "not available")):
        with pytest.raises(TypeError, match=text):
            torch.set_default_tensor_type(bad)


def test_numbers():
    assert (torch.sym_int(-3.7), torch.sym_float(3), torch.sym_max(2, 3.0), torch.sym_min(2, 3)) == (-3, 3.0, 3.0, 2)
    assert type(torch.sym_max(3, 3.0)) is float and torch.sym_not(True) is False and torch.sym_sum([1, 2]) == 3
    assert torch.sym_ite(True, 1, 2) == 1 and torch.sym_sqrt(4) == 2
    with pytest.raises(AssertionError, match="type mismatch"):
        torch.sym_ite(True, 1, 2.0)
    n = torch.SymInt(5)
    assert n + 1 == 6 and 2 * n == 10 and n < 6 and [0] * n == [0] * 5 and math.floor(torch.SymFloat(2.5)) == 2
    assert not torch.SymBool(False) and isinstance(n, torch.SymInt) and hash(n) == hash(5)


def test_branches_and_loops():
    x = torch.ones(2, requires_grad=True)
    y = torch.cond(x.sum() > 1, lambda a: a * 2, lambda a: a * 3, (x,))
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert torch.cond(False, lambda a: a * 2, lambda a: a * 3, [x]).tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="single-element"):
        torch.cond(torch.ones(2), lambda: 1, lambda: 2)
    i, s = torch.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, s + i), (torch.tensor(0), torch.tensor(0)))
    assert (i.item(), s.item()) == (4, 6)


def test_models_from_a_directory(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['math']\nfrom helper import width\n"
        "def net(n=2):\n    'A layer.'\n    import rushlight\n    return rushlight.nn.Linear(n, width)\n"
        "def _own():\n    pass\n")
    (tmp_path / "helper.py").write_text("width = 3\n")
    directory = str(tmp_path)
    assert torch.hub.list(directory) == ["net"] and torch.hub.help(directory, "net") == "A layer."
    assert torch.hub.load(directory, "net", n=4, source="local").weight.shape == (3, 4)
    with pytest.raises(RuntimeError, match="Cannot find callable other"):
        torch.hub.load(directory, "other", source="local")
    with pytest.raises(ValueError, match="Unknown source"):
        torch.hub.load(directory, "net", source="elsewhere")
    old = torch.hub.get_dir()
    torch.hub.set_dir(directory)
    try:
        with pytest.raises(RuntimeError, match="downloads nothing"):
            torch.hub.load("owner/name", "net")
        torch.save({"w": torch.ones(1)}, str(tmp_path / "w.pt"))
        found = torch.hub.load_state_dict_from_url("https://example.org/w.pt", model_dir=directory)
        assert found["w"].item() == 1.0
        with pytest.raises(FileNotFoundError):
            torch.hub.load_state_dict_from_url("https://example.org/other.pt")
    finally:
        torch.hub.set_dir(old)


def test_devices():
    assert torch.get_device(torch.ones(1)) == -1 and torch.get_device_module("cpu") is torch.cpu
    assert torch.cpu.is_available() and torch.cpu.device_count() == 1 and torch.cpu.current_device() == "cpu"
    own = torch.cpu.Stream()
    with torch.cpu.stream(own):
        assert torch.cpu.current_stream() is own and own.record_event().query()
    assert torch.cpu.current_stream() is not own
    assert torch.cpu.get_capabilities()["num_logical_cores"] >= 1
    assert not torch.accelerator.is_available() and torch.accelerator.current_accelerator() is None
    with pytest.raises(RuntimeError, match="Cannot access accelerator device"):
        torch.accelerator.synchronize()
    assert torch.set_flush_denormal(True) is False and issubclass(torch.OutOfMemoryError, RuntimeError)
