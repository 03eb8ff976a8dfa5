"""default_collate and default_convert: what batches are made of."""

import collections

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.data import default_collate, default_convert

Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize("batch, dtype, values", [
    ([1, 2], "int64", [1, 2]), ([1., 2.], "float64", [1., 2.]), ([True, False], "bool", [1, 0]),
    ([np.float32(3), np.float32(4)], "float32", [3., 4.]), ([np.bool_(1)], "bool", [1]),
    ([np.zeros(2), np.ones(2)], "float64", [[0, 0], [1, 1]]), ([1, 2.5], "float32", [1, 2.5]),
    ([np.array(1), np.array(2)], "int64", [1, 2])])
def test_numbers_and_arrays_become_tensors(batch, dtype, values):
    out = default_collate(batch)
    assert out.dtype == getattr(torch, dtype) and out.tolist() == values


def test_tensors_are_stacked():
    out = default_collate([torch.zeros(2), torch.ones(2)])
    assert out.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(RuntimeError, match=r"equal size, but got \[2\] at entry 0 and \[3\]"):
        default_collate([torch.zeros(2), torch.zeros(3)])


def test_containers_keep_their_kind():
    assert default_collate(["a", "b"]) == ["a", "b"]
    first, second = default_collate([(1, "x"), (2, "y")])
    assert first.tolist() == [1, 2] and second == ("x", "y") or list(second) == ["x", "y"]
    out = default_collate([{"a": 1}, {"a": 2}])
    assert out["a"].tolist() == [1, 2]
    ordered = default_collate([collections.OrderedDict(a=1)])
    assert type(ordered) is collections.OrderedDict
    pair = default_collate([Pair(1, 2.), Pair(3, 4.)])
    assert type(pair) is Pair and pair.b.tolist() == [2., 4.]


@pytest.mark.parametrize("batch, kind, message", [
    ([object()], TypeError, "found <class 'object'>"), ([None], TypeError, "NoneType"),
    ([np.array("a")], TypeError, "found <U1"), ([{1, 2}], TypeError, "found <class 'set'>"),
    ([[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
    ([{"a": 1}, {"b": 2}], KeyError, "a"), ([], IndexError, "out of range")])
def test_what_can_not_be_batched(batch, kind, message):
    with pytest.raises(kind, match=message):
        default_collate(batch)


def test_convert_makes_tensors_of_arrays_only():
    out = default_convert({"x": np.ones(2), "y": ["text", np.float32(2)], "z": (1, np.zeros(1))})
    assert torch.is_tensor(out["x"]) and out["y"][0] == "text"
    assert torch.is_tensor(out["y"][1]) and out["z"][0] == 1 and torch.is_tensor(out["z"][1])
    assert default_convert(np.array("a")) == np.array("a")


def test_own_types_can_be_added():
    from rushlight.utils.data._utils.collate import collate, default_collate_fn_map

    class Graph:
        def __init__(self, n):
            self.n = n

    def join(batch, *, collate_fn_map=None):
        return sum(graph.n for graph in batch)

    default_collate_fn_map[Graph] = join
    try:
        assert default_collate([{"g": Graph(1)}, {"g": Graph(2)}]) == {"g": 3}
    finally:
        del default_collate_fn_map[Graph]
    with pytest.raises(TypeError, match="Graph"):
        default_collate([Graph(1)])
    assert collate(["a", 1], collate_fn_map={object: lambda batch, **kw: len(batch)}) == 2
