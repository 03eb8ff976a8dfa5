"""What ``__torch_function__`` of subclasses, of other types and of modes sees."""

import inspect
import pickle

import pytest

import rushlight as torch
from rushlight import overrides
from rushlight.overrides import TorchFunctionMode

calls = []


@pytest.fixture
def logged():
    class Logged(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            calls.append(overrides.resolve_name(func))
            return super().__torch_function__(func, types, args, kwargs or {})
    return Logged


@pytest.mark.parametrize("text,expected", [
    ("s.dim()", ["Tensor.dim"]), ("s.size()", ["Tensor.size"]), ("s.size(0)", ["Tensor.size"]),
    ("s.shape", ["Tensor.shape.__get__"]), ("len(s)", ["Tensor.__len__"]), ("s + 1", ["Tensor.add"]),
    ("1 - s", ["Tensor.__rsub__"]), ("2 * s", ["Tensor.mul"]), ("s ** 2", ["Tensor.__pow__"]),
    ("s[0]", ["Tensor.__getitem__"]), ("repr(s)", ["Tensor.__repr__"]), ("torch.stack([s, s])", ["stack"]),
    ("s.sum().item()", ["Tensor.sum", "Tensor.item"]), ("s.T", ["Tensor.T.__get__"]), ("torch.is_tensor(s)", []),
    ("torch.nn.functional.linear(s, s)", ["nn.functional.linear"]), ("torch.linalg.inv(s)", ["linalg.inv"]),
    ("s.requires_grad_()", ["Tensor.requires_grad_"]), ("s.detach()", ["Tensor.detach"]), ("hash(s)", []),
])
def test_names_that_handlers_see(logged, text, expected):
    s = (torch.eye(2) * 2).as_subclass(logged)
    calls.clear()
    result = eval(text, {"torch": torch, "s": s})
    assert calls == [f"torch.{n}" for n in expected]
    if isinstance(result, torch.Tensor):
        assert type(result) is logged


def test_backward_is_seen_and_plain_tensors_are_not(logged):
    s = torch.ones(2).as_subclass(logged).requires_grad_()
    loss = s.sum()
    calls.clear()
    loss.backward()
    assert calls == ["torch.Tensor.backward"] and s.grad.tolist() == [1.0, 1.0]
    calls.clear()
    assert torch.ones(2).size() == (2,) and (torch.ones(2) + 1).tolist() == [2.0, 2.0] and not calls


def test_methods_of_ones_own_stay():
    class Own(torch.Tensor):
        def size(self, dim=None):
            return "own"
    assert torch.ones(2).as_subclass(Own).size() == "own"


def test_other_types():
    class Duck:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, cls in types
    assert torch.add(Duck(), 1) == ("add", True) and torch.stack([torch.ones(1), Duck()])[1]
    assert overrides.is_tensor_like(Duck()) and not overrides.is_tensor_like(3)
    assert overrides.has_torch_function((Duck(),)) and not overrides.has_torch_function((torch.ones(1),))


class Log(TorchFunctionMode):
    def __init__(self):
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(overrides.resolve_name(func))
        return func(*args, **(kwargs or {}))


def test_modes():
    with Log() as mode:
        x = torch.ones(2)
        y = x + 1
        assert y.shape == (2,) and y.dim() == 1
        torch.nn.functional.relu(y)
    assert mode.seen == ["torch.ones", "torch.Tensor.add", "torch.Tensor.shape.__get__", "torch.Tensor.dim",
                         "torch.nn.functional.relu"]
    with Log() as outer, Log() as inner:
        torch.ones(1)
    assert outer.seen == inner.seen == ["torch.ones"]
    torch.zeros(1)
    assert len(outer.seen) == 1


def test_a_mode_may_refuse():
    class Ones(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return "ones" if func is torch.ones else NotImplemented
    with Ones():
        assert torch.ones(2) == "ones"
        with pytest.raises(TypeError, match="Multiple dispatch failed for 'torch.zeros'"):
            torch.zeros(2)
    assert torch.ones(2).tolist() == [1.0, 1.0]


def test_functions_of_ones_own(logged):
    @overrides.wrap_torch_function(lambda a, b=None: (a,))
    def product(a, b=None):
        return a * 2
    assert product(torch.ones(1)).item() == 2.0
    calls.clear()
    assert type(product(torch.ones(1).as_subclass(logged))) is logged and len(calls) == 1


def test_redispatch():
    class Inner(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return overrides.redispatch_function(func, types, args, kwargs)

    def scaled(a, b):
        if overrides.has_torch_function((a, b)):
            return overrides.handle_torch_function(scaled, (a, b), a, b)
        return a * b + 1
    seen = []
    x = torch.tensor([3.0]).as_subclass(Inner)
    assert scaled(x, x).item() == 10.0 and seen[:2] == ["scaled", "mul"]


def test_tables():
    table = overrides.get_overridable_functions()
    assert torch.add in table[torch] and torch.nn.functional.linear in table[torch.nn.functional]
    assert torch.Tensor.size in table[torch.Tensor] and torch.Tensor.add in table[torch.Tensor]
    ignored = overrides.get_ignored_functions()
    assert torch.ones in ignored and torch.add not in ignored and not ignored & set(table[torch])
    tests = overrides.get_testing_overrides()
    assert tests[torch.add](1, 2) == -1 and list(inspect.signature(tests[torch.Tensor.retain_grad]).parameters) \
        == ["self"]
    assert overrides.is_tensor_method_or_property(torch.Tensor.add)
    assert overrides.is_tensor_method_or_property(torch.Tensor.shape.__get__)
    assert not overrides.is_tensor_method_or_property(torch.add) and overrides.resolve_name(len) is None


def test_functions_pickle_by_their_public_names(logged):
    for _ in range(3):
        torch.cat([torch.ones(2), torch.ones(2)])
    for fn in (torch.cat, torch.nn.functional.linear, torch.Tensor.add, torch.linalg.inv):
        assert pickle.loads(pickle.dumps(fn)) is fn


def test_functions_of_another_library_are_left_to_it():
    calls = []

    def foreign(x):
        calls.append(x)
        found = type(x).__torch_function__(foreign, (type(x),), (x,))
        if found is NotImplemented:
            raise TypeError("no implementation found")
        return found
    with pytest.raises(TypeError, match="no implementation"):
        foreign(torch.ones(2))
    assert len(calls) == 2
    assert torch.Tensor.__torch_function__(torch.add, (torch.Tensor,), (torch.ones(2), 1)).tolist() == [2.0, 2.0]
