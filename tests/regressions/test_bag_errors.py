"""Rows and offsets that are not there are the errors that PyTorch raises: of bags, of index_add."""

import pytest

import rushlight as torch

F = torch.nn.functional


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(("indices", "offsets", "message"), [
    ([0, 1, 9], [0], r"Index 2 of input takes value 9 which is not in the valid range \[0, 5\)"),
    ([0, -3, 9], [0, 1], r"Index 1 of input takes value -3 "),
    ([0, 1, 2], [0, 5], r"offsets\[-1\] can not be greater than input's length 3 but got offsets\[-1\] of 5"),
    ([0, 1, 2], [1], r"offsets\[0\] has to be 0"),
    ([0, 1, 2], [0, 2, 1], "offsets"),
    ([0, 1, 2], [0, -1], "offsets"),
    ([0, 1, 2], [0, -2 ** 63], "offsets"),
])
def test_bags(mode, indices, offsets, message):
    with pytest.raises(RuntimeError, match=message):
        F.embedding_bag(torch.tensor(indices), torch.ones(5, 3), torch.tensor(offsets), mode=mode)


def test_rows_of_a_matrix():
    with pytest.raises(RuntimeError, match="Index 1 of input takes value 9"):
        F.embedding_bag(torch.tensor([[0, 9], [1, 2]]), torch.ones(5, 3))


def test_last_offset_may_be_the_length():
    got = F.embedding_bag(torch.tensor([0, 1, 2]), torch.ones(5, 3), torch.tensor([0, 2, 3]), mode="sum")
    assert got[:, 0].tolist() == [2.0, 1.0, 0.0]


@pytest.mark.parametrize("dim", [0, 1])
def test_index_add_of_matrices(dim):
    with pytest.raises(RuntimeError, match=f"index -1 is out of bounds for dimension {dim} with size 5"):
        torch.ones(5, 5).index_add(dim, torch.tensor([0, -1]), torch.ones(*((2, 5) if dim == 0 else (5, 2))))
    with pytest.raises(IndexError, match="index out of range in self"):
        torch.ones(5).index_add(0, torch.tensor([0, 7]), torch.ones(2))
