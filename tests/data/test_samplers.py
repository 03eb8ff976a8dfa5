"""Samplers. Stored draws are PyTorch 2.13's."""

import pytest

import rushlight as torch
from rushlight.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def test_streams_are_pytorchs():
    torch.manual_seed(1)
    assert list(RandomSampler(range(7), num_samples=16)) == \
        [2, 1, 0, 3, 4, 5, 6, 5, 4, 6, 1, 0, 2, 3, 6, 2]
    assert list(RandomSampler(range(7), replacement=True, num_samples=40)) == [
        0, 0, 4, 3, 1, 0, 1, 0, 4, 0, 6, 2, 5, 5, 1, 1, 6, 3, 5, 6,
        5, 5, 6, 1, 6, 2, 4, 4, 0, 5, 2, 5, 2, 5, 2, 5, 6, 6, 5, 6]
    assert list(SubsetRandomSampler([5, 6, 7])) == [6, 7, 5]
    assert list(WeightedRandomSampler([1, 2, 3.], 6)) == [1, 2, 0, 1, 2, 2]
    assert list(WeightedRandomSampler([1, 2, 3.], 2, False)) == [2, 1]


@pytest.mark.parametrize("options, after", [
    ({"num_samples": 7}, 3435894450290564679), ({"num_samples": 14}, 716042322565387540),
    ({"num_samples": 3}, 5577051506714156677),
    ({"replacement": True, "num_samples": 32}, 7697914927906512855),
    ({"replacement": True, "num_samples": 5}, 2363478898939112139)])
def test_generator_is_left_where_pytorch_leaves_it(options, after):
    generator = torch.Generator().manual_seed(1)
    list(RandomSampler(range(7), generator=generator, **options))
    assert torch.empty((), dtype=torch.int64).random_(generator=generator).item() == after


def test_batches():
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(SequentialSampler(range(5)), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, False)) == 3 and len(BatchSampler(range(5), 2, True)) == 2


@pytest.mark.parametrize("make, kind, message", [
    (lambda: RandomSampler([]), ValueError, "num_samples should be a positive integer"),
    (lambda: RandomSampler([1], replacement=3), TypeError, "replacement should be a boolean"),
    (lambda: RandomSampler([1], num_samples=3.5), ValueError, "num_samples=3.5"),
    (lambda: WeightedRandomSampler([1, 2], 0), ValueError, "num_samples=0"),
    (lambda: WeightedRandomSampler([[1, 2]], 2), ValueError, "1d sequence"),
    (lambda: BatchSampler(range(3), 0, False), ValueError, "batch_size=0"),
    (lambda: BatchSampler(range(3), True, False), ValueError, "batch_size=True"),
    (lambda: BatchSampler(range(3), 2, 3), ValueError, "drop_last=3"),
    (lambda: DistributedSampler(range(4), 2, 2), ValueError, r"interval \[0, 1\]"),
    (lambda: DistributedSampler(range(4)), ValueError, "process group has not been initialized"),
])
def test_arguments_are_checked(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_weights_without_replacement_run_out():
    with pytest.raises(RuntimeError, match="without replacement"):
        list(WeightedRandomSampler([1, 2], 5, False))


def test_base_has_neither_order_nor_length():
    with pytest.raises(NotImplementedError):
        iter(Sampler())
    with pytest.raises(TypeError):
        len(Sampler())


def test_distributed_shares():
    assert list(DistributedSampler(range(10), 3, 1)) == [1, 3, 8, 4]
    assert list(DistributedSampler(range(10), 3, 1, False)) == [1, 4, 7, 0]
    last = DistributedSampler(range(10), 3, 1, False, drop_last=True)
    assert list(last) == [1, 4, 7] and len(last) == 3
    shares = [DistributedSampler(range(9), 3, rank, seed=5) for rank in range(3)]
    for share in shares:
        share.set_epoch(2)
    assert sorted(i for share in shares for i in share) == list(range(9))
