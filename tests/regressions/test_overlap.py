"""In-place ops whose operands share part of the memory written to."""

import pytest

import rushlight as torch

PART = "some elements of the input tensor and the written-to tensor"


@pytest.mark.parametrize("change", [
    lambda x: x[1:].add_(x[:-1]), lambda x: x.view(2, 3).sub_(x[:3]), lambda x: x.add_(x[0]),
    lambda x: x[:4].view(2, 2).mul_(x[:4].view(2, 2).t()),
    lambda x: x[1:].add_(x.view(torch.int32)[:-1])])
def test_part_of_the_memory_is_refused(change):
    with pytest.raises(RuntimeError, match=PART):
        change(torch.arange(6.0))


def test_the_same_window_and_separate_windows_are_served():
    x = torch.arange(6.0)
    x.add_(x)
    assert x.tolist() == [0, 2, 4, 6, 8, 10]
    x[:3].add_(x[3:])
    assert x.tolist() == [6, 10, 14, 6, 8, 10]
    x[::2].add_(x[1::2])
    assert x.tolist() == [16, 10, 20, 6, 18, 10]


def test_columns_that_are_not_dense_are_served_in_order_of_reading():
    x = torch.arange(4.0).view(2, 2)
    x.add_(x[:, :1])
    assert x.tolist() == [[0, 1], [4, 5]]


def test_one_element_in_several_places_is_refused_whatever_the_other_operand():
    x = torch.arange(6.0)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        x[:1].expand(3).add_(x[:3])
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
