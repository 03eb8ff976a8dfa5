"""Containers behave as lists and dictionaries; lazy modules settle at their first call."""

from collections import OrderedDict

import pytest

import rushlight as torch
from rushlight import nn


def kinds(container):
    return [type(m).__name__ for m in container]


def test_sequential():
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Tanh())
    s.insert(1, nn.Sigmoid())
    s[0] = nn.Identity()
    del s[2]
    assert kinds(s) == ["Identity", "Sigmoid", "Tanh"]
    assert type(s.pop(-1)) is nn.Tanh
    s.append(nn.ELU()).extend([nn.GELU()])
    assert kinds(s[1:3]) == ["Sigmoid", "ELU"] and kinds(s + s[:1])[-1] == "Identity"
    assert len(s * 2) == 8 and len(2 * s) == 8
    s *= 2
    assert len(s) == 8 and s[-1] is s[3]
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert list(named._modules) == ["a", "b"] and named.b is named[1]
    with pytest.raises(IndexError, match="index 9 is out of range"):
        s[9]


def test_module_list():
    m = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(m) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    m.insert(0, nn.ELU())
    m += [nn.GELU()]
    del m[1]
    assert kinds(m) == ["ELU", "ReLU", "Tanh", "GELU"] and list(m._modules) == list("0123")
    assert type(m[:2]) is nn.ModuleList and type(m.pop(0)) is nn.ELU
    with pytest.raises(TypeError, match="should be called with an iterable"):
        m.extend(3)
    with pytest.raises(NotImplementedError):
        m(1)


def test_module_dict():
    m = nn.ModuleDict({"a": nn.ReLU()})
    m.update([("b", nn.Tanh())])
    m["c"] = nn.ELU()
    assert list(m) == ["a", "b", "c"] and "b" in m and type(m.pop("a")) is nn.ReLU
    with pytest.raises(ValueError, match="has length 1; 2 is required"):
        m.update([["x"]])
    m.clear()
    assert len(m) == 0


def test_parameter_list():
    m = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1))])
    m.append(torch.ones(3))
    assert list(m.state_dict()) == ["0", "1", "2"] and len(m[1:]) == 2
    assert all(isinstance(p, nn.Parameter) for p in m)
    assert repr(nn.ParameterList([torch.ones(2)])) == (
        "ParameterList(  (0): Parameter containing: [torch.float32 of size 2])")


def test_parameter_dict():
    m = nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2)})
    assert list(m) == ["a", "b"]
    m["c"] = torch.ones(3)
    assert list((m | nn.ParameterDict({"d": torch.ones(1)})).keys()) == ["a", "b", "c", "d"]
    assert m.popitem()[0] == "c" and m.get("z", 5) == 5 and m.setdefault("a").shape == (2,)
    assert [n for n, _ in m.named_parameters()] == ["a", "b"]


def test_lazy_linear():
    m = nn.LazyLinear(3)
    assert isinstance(m.weight, nn.UninitializedParameter) and m.has_uninitialized_params()
    with pytest.raises(RuntimeError, match="Can't access the shape"):
        m.weight.shape
    assert m(torch.ones(4, 5)).shape == (4, 3)
    assert type(m) is nn.Linear and m.in_features == 5 and type(m.weight) is nn.Parameter
    assert not m._forward_pre_hooks


def test_lazy_seeds_as_the_ordinary_module():
    torch.manual_seed(0)
    lazy = nn.LazyConv2d(3, 2)
    lazy(torch.ones(1, 4, 5, 5))
    torch.manual_seed(0)
    assert torch.equal(lazy.weight, nn.Conv2d(4, 3, 2).weight)


def test_lazy_loads_a_state_dict():
    m = nn.LazyConv2d(3, 2)
    m.load_state_dict(nn.Conv2d(4, 3, 2).state_dict())
    assert m(torch.ones(1, 4, 3, 3)).shape == (1, 3, 2, 2)


def test_lazy_batch_norm():
    m = nn.LazyBatchNorm1d()
    m(torch.ones(3, 4))
    assert type(m) is nn.BatchNorm1d and m.running_mean.shape == (4,)


def test_operations_refuse_uninitialised_parameters():
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        nn.UninitializedParameter() + 1
