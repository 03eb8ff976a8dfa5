"""Traces of models and what is common to several: no ONNX package is needed."""

import sys
import warnings

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn as nn
from rushlight.onnx import dynamic
from rushlight.onnx.errors import OnnxExporterError, TracerWarning
from rushlight.onnx.tracing import trace
from rushlight.onnx.unify import Different, Size, Unified


def keys(found):
    return [s.key for s in found.steps]


def test_steps_of_a_module():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    found = trace(net, (torch.randn(2, 1, 4, 4),), {})
    assert keys(found) == ["convolution", "relu", "view", "linear.bias"]
    names = [v.name for v in found.values if v.origin == "parameter"]
    assert names == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert found.outputs[0].shape == (2, 3) and found.outputs[0] is found.steps[-1].outs[0]


def test_nothing_of_the_model_changes():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(inplace=True)).train()
    x = torch.randn(4, 3)
    before = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    trace(net, (x,), {})
    for k, v in net.state_dict().items():
        assert np.array_equal(v.numpy(), before[0][k].numpy()), k
    assert np.array_equal(x.numpy(), before[1].numpy())
    assert all(p.grad_fn is None and p.grad is None for p in net.parameters())
    assert torch.autograd.modes.state.levels == () and torch.autograd.modes.state.special == 0


def test_what_python_makes_is_a_constant():
    found = trace(lambda x: x + torch.arange(3) * torch.ones(3), (torch.zeros(3),), {})
    assert keys(found) == ["mul.Tensor", "add.Tensor"]
    assert [v.origin for v in found.values] == ["input", "constant", "constant", "step", "step"]


def test_changes_in_place_become_values():
    def f(x):
        y = x * 1
        y[0] = 5.
        y[:, 1:].add_(1)
        return y
    found = trace(f, (torch.zeros(2, 3),), {})
    result = found.outputs[0].tensor
    assert np.array_equal(result.numpy(), [[5, 6, 6], [0, 1, 1]])
    assert "select_scatter" in keys(found) and keys(found)[-1] == "slice_scatter"


def test_a_view_sees_changes_of_its_base():
    def f(x):
        y = x + 0
        row = y[1]
        y.mul_(2)
        return row
    found = trace(f, (torch.ones(2, 2),), {})
    assert keys(found)[-1] == "select.int" and np.array_equal(found.outputs[0].tensor.numpy(), [2, 2])
    assert found.outputs[0].step.args[0].step.key == "mul.Tensor"


def test_python_that_looks_at_numbers_is_warned_of():
    with pytest.warns(TracerWarning, match="Python bool"):
        trace(lambda x: x + 1 if x.sum() > 0 else x - 1, (torch.ones(2),), {})
    with pytest.warns(TracerWarning, match="Python number"):
        trace(lambda x: x * x.max().item(), (torch.ones(2),), {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace(lambda x: x * x.shape[0], (torch.ones(2),), {})


def test_sizes_that_differ_are_sizes():
    def f(x):
        return x.reshape(x.shape[0] * 2, -1) + torch.zeros(x.shape[0] * 2, 2)
    runs = [trace(f, (torch.zeros(n, 4),), {}) for n in (2, 3, 5)]
    common = Unified(runs)
    step, args = common.steps[0]
    assert step.key == "view" and args[1][0] == Size((4, 6, 10)) and args[1][1] == 2
    assert common.dims[common.outputs[0].number] == (Size((4, 6, 10)), 2)


def test_ways_that_differ_are_told():
    def f(x):
        for _ in range(x.shape[0]):
            x = x * 2
        return x
    with pytest.raises(Different):
        Unified([trace(f, (torch.zeros(n),), {}) for n in (2, 3)])


def test_tensors_are_let_go():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    found = trace(net, (torch.ones(1, 3),), {})
    assert [v.tensor is None for v in found.values if v.origin == "step"] == [True, True, False]
    assert [s.scope for s in found.steps] == ["0", "1", "2"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"rushlight\[onnx\]"):
        torch.onnx.export(nn.Linear(2, 2), (torch.ones(1, 2),))


def test_free_dimensions():
    x, y = torch.zeros(2, 3), torch.zeros(2, 5)
    free = dynamic.of_axes({"a": {0: "n"}, "b": [0, 1], "out": {0: "n"}}, ["a", "b"], [x, y])
    assert free == {0: {0: "n"}, 1: {0: "b_dynamic_axes_1", 1: "b_dynamic_axes_2"}}
    free = dynamic.of_shapes(({0: "n"}, [None, {-1: "m"}]), (x, [x, y]), {}, ["x", "ys"])
    assert free == {0: {0: "n"}, 1: {}, 2: {1: "m"}}
    free = dynamic.of_shapes({"y": ("n", None)}, (x,), {"y": y}, ["x"])
    assert free == {0: {}, 1: {0: "n"}}
    symbols = dynamic.symbols({0: {0: "n"}, 1: {0: "n"}}, [x, y])
    assert [(s.label, s.places) for s in symbols] == [("n", [(0, 0), (1, 0)])]
    with pytest.raises(OnnxExporterError, match="one name is one size"):
        dynamic.symbols({0: {0: "n"}, 1: {1: "n"}}, [x, y])
    with pytest.raises(OnnxExporterError, match="no dimension 4"):
        dynamic.of_axes({"a": {4: "n"}}, ["a"], [x])


def test_sizes_of_further_traces_tell_symbols_apart():
    rows = dynamic._GROWTH
    for i, a in enumerate(rows):
        for b in rows[:i]:
            assert len({x / y for x, y in zip(a, b)}) > 1
    given = dynamic.resized([torch.arange(3)], dynamic.symbols({0: {0: "n"}}, [torch.arange(3)]), dynamic._added, 1)
    assert given[0].tolist() == [0, 1, 2, 0, 1]
