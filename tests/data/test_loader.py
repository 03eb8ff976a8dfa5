"""DataLoader in one process: arguments, order, batches. Stored orders are PyTorch 2.13's."""

import numpy as np
import pytest
from samples import Numbers

import rushlight as torch
from rushlight.utils.data import (
    DataLoader,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))

    def __len__(self):
        return 3


def lists(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("options, kind, message", [
    ({"batch_size": 0}, ValueError, "batch_size should be a positive integer value"),
    ({"batch_size": 2.5}, ValueError, "batch_size=2.5"),
    ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
    ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
    ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified"),
    ({"prefetch_factor": -1, "num_workers": 1}, ValueError, "prefetch_factor option should be"),
    ({"persistent_workers": True}, ValueError, "needs num_workers > 0"),
    ({"shuffle": True, "sampler": SequentialSampler([1])}, ValueError, "exclusive with shuffle"),
    ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "batch_sampler option is mutually"),
    ({"batch_sampler": [[1]], "drop_last": True}, ValueError, "batch_sampler option is mutually"),
    ({"batch_size": None, "drop_last": True}, ValueError, "batch_size=None option disables"),
    ({"multiprocessing_context": "fork"}, ValueError, "can only be used with multi-process"),
    ({"multiprocessing_context": "no", "num_workers": 1}, ValueError, "a valid start method"),
    ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "a valid context object"),
    ({"drop_last": 3}, ValueError, "drop_last should be a boolean"),
])
def test_arguments_are_checked(options, kind, message):
    with pytest.raises(kind, match=message):
        DataLoader(Numbers(), **options)


@pytest.mark.parametrize("options, name", [
    ({"shuffle": True}, "shuffle=True"), ({"sampler": [1]}, "sampler="),
    ({"batch_sampler": [[1]]}, "batch_sampler=")])
def test_streams_have_no_order(options, name):
    with pytest.raises(ValueError, match=f"expected unspecified .* but got {name}"):
        DataLoader(Stream(), **options)


def test_batches_and_length():
    loader = DataLoader(Numbers(5), 2)
    assert lists(loader) == [[0, 1], [2, 3], [4]] and len(loader) == 3
    assert lists(DataLoader(Numbers(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Numbers(3), None)) == [0, 1, 2]
    assert lists(DataLoader(Numbers(3), batch_sampler=[[2, 0], [1]])) == [[2, 0], [1]]
    assert list(DataLoader(Numbers(4), 2, collate_fn=sum)) == [1, 5]


def test_shuffle_is_pytorchs():
    torch.manual_seed(3)
    loader = DataLoader(Numbers(), 2, shuffle=True)
    assert lists(loader) == [[2, 4], [0, 1], [3, 5]]
    assert lists(loader) == [[3, 2], [0, 1], [4, 5]]
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(Numbers(), 2, shuffle=True, generator=generator)
    assert lists(loader) == [[1, 3], [2, 0], [4, 5]]
    assert lists(loader) == [[0, 5], [1, 3], [4, 2]]


def test_a_pass_draws_one_seed_from_the_default_generator():
    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_()
    expected = torch.rand(3).tolist()
    torch.manual_seed(0)
    list(DataLoader(Numbers()))
    assert torch.rand(3).tolist() == expected


def test_tensor_datasets_are_gathered_as_if_row_by_row():
    data = TensorDataset(torch.arange(12.).reshape(6, 2), torch.arange(6))
    subset = Subset(data, [5, 3, 1, 0])
    quick = next(iter(DataLoader(subset, 3)))
    slow = next(iter(DataLoader(subset, 3, collate_fn=lambda rows: [
        torch.stack(column) for column in zip(*rows)])))
    assert type(quick) is list
    for a, b in zip(quick, slow):
        assert a.dtype == b.dtype and a.tolist() == b.tolist()
    quick[0].zero_()
    assert data.tensors[0].sum().item() == 66.0


def test_streams_and_their_promised_length():
    loader = DataLoader(Stream(), 2)
    assert lists(loader) == [[0, 1], [2, 3], [4]]
    assert len(loader) == 2
    assert lists(DataLoader(Stream(), 2, drop_last=True)) == [[0, 1], [2, 3]]
    promised = DataLoader(Stream(), 1)
    assert len(promised) == 3
    with pytest.warns(UserWarning, match="reported to be 3 .* but 4 samples have been fetched"):
        list(promised)


def test_attributes_are_fixed():
    loader = DataLoader(Numbers())
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset",
                 "persistent_workers"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set"):
            setattr(loader, name, 3)
    loader.num_workers = 0
    with pytest.raises(AttributeError):
        _ = loader.no_such_thing


def test_pinning_without_accelerator_warns():
    with pytest.warns(UserWarning, match="no accelerator is found"):
        assert len(list(DataLoader(Numbers(2), pin_memory=True))) == 2


def test_batches_of_dicts_and_arrays():
    rows = [{"input": np.full(3, i, np.float32), "target": i} for i in range(4)]
    batch = next(iter(DataLoader(rows, 4)))
    assert batch["input"].shape == (4, 3) and batch["target"].tolist() == [0, 1, 2, 3]


def test_timeout_needs_workers():
    with pytest.raises(AssertionError, match="timeout == 0"):
        iter(DataLoader(Numbers(), timeout=3))
