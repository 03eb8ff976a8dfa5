"""Datasets and random_split. Stored orders are PyTorch 2.13's."""

import pytest

import rushlight as torch
from rushlight.utils.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def test_tensor_dataset_gives_rows():
    data = TensorDataset(torch.arange(6).reshape(3, 2), torch.tensor([5, 6, 7]))
    row, label = data[-1]
    assert row.tolist() == [4, 5] and label.item() == 7 and len(data) == 3
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(torch.zeros(3), torch.zeros(2))


def test_base_classes_ask_for_methods():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]
    with pytest.raises(TypeError):
        len(Dataset())


def test_concat_counts_through_its_parts():
    data = ConcatDataset([range(3), range(10, 12), range(20, 24)])
    assert [data[i] for i in range(len(data))] == [0, 1, 2, 10, 11, 20, 21, 22, 23]
    assert data[-1] == 23 and data[-9] == 0 and data.cumulative_sizes == [3, 5, 9]
    with pytest.raises(ValueError, match="should not exceed dataset length"):
        data[-10]
    with pytest.raises(AssertionError, match="empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Count(3)])


def test_plus_concatenates_and_chains():
    pair = TensorDataset(torch.arange(2)) + TensorDataset(torch.arange(3))
    assert isinstance(pair, ConcatDataset) and len(pair) == 5
    chain = Count(2) + Count(3)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 0, 1, 2] and len(chain) == 5
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([range(3)]))


def test_stack_is_a_tuple_or_a_dict():
    assert StackDataset(range(3), "abc")[1] == (1, "b")
    assert StackDataset(n=range(3), c="abc").__getitems__([2, 0]) == \
        [{"n": 2, "c": "c"}, {"n": 0, "c": "a"}]
    for args, kwargs, message in [((), {}, "At least one"), ((range(2), range(3)), {}, "mismatch"),
                                  ((range(2),), {"a": range(2)}, "both types")]:
        with pytest.raises(ValueError, match=message):
            StackDataset(*args, **kwargs)


def test_subset_uses_the_batch_method_of_its_dataset():
    class Batched(Dataset):
        def __getitems__(self, indices):
            return [("batch", i) for i in indices]

        def __getitem__(self, i):
            return ("one", i)

    subset = Subset(Batched(), [7, 8, 9])
    assert subset[1] == ("one", 8)
    assert subset.__getitems__([2, 0]) == [("batch", 9), ("batch", 7)]


def test_random_split_draws_pytorchs_permutation():
    torch.manual_seed(1)
    assert [s.indices for s in random_split(range(7), [3, 4])] == [[0, 6, 1], [3, 5, 2, 4]]
    assert [s.indices for s in random_split(range(7), [.5, .5])] == [[0, 6, 1, 3], [2, 4, 5]]


@pytest.mark.parametrize("lengths, message", [
    ([3, 3], "Sum of input lengths"), ([.5, .4], "Sum of input lengths"),
    ([1.5, -.5], "Fraction at index 0 is not between 0 and 1")])
def test_random_split_checks_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(range(10), lengths)


def test_random_split_deals_the_rest_from_the_front_and_warns_of_empty_parts():
    assert [len(s) for s in random_split(range(10), [.33, .33, .34])] == [4, 3, 3]
    with pytest.warns(UserWarning, match="index 1 is 0"):
        assert [len(s) for s in random_split(range(10), [.99, .01])] == [10, 0]
