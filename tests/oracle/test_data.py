"""Data loading beside a live PyTorch: the same orders, batches, seeds and errors."""

import collections
import random

import numpy as np
import pytest

import rushlight as rl
import rushlight.utils.data as rl_data

torch = pytest.importorskip("torch")
torch_data = pytest.importorskip("torch.utils.data")

BOTH = [(rl, rl_data), (torch, torch_data)]
Pair = collections.namedtuple("Pair", "a b")


def plain(x):
    if isinstance(x, (torch.Tensor, rl.Tensor)):
        return ("tensor", str(x.dtype), tuple(x.shape), x.tolist())
    if isinstance(x, dict):
        return (type(x).__name__, {key: plain(value) for key, value in x.items()})
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, [plain(item) for item in x])
    if isinstance(x, np.ndarray):
        return ("array", str(x.dtype), x.tolist())
    return x


def same(make):
    """Run ``make(library, its data module)`` for both; the results, or the errors, are equal."""
    results = []
    for lib, data in BOTH:
        lib.manual_seed(42)
        try:
            results.append(plain(make(lib, data)))
        except Exception as error:
            results.append((type(error).__name__, str(error)))
    assert results[0] == results[1]
    return results[0]


@pytest.mark.parametrize("n", [1, 5, 16, 33, 100])
@pytest.mark.parametrize("options", [
    {}, {"replacement": True}, {"num_samples": 250}, {"replacement": True, "num_samples": 77}])
def test_random_sampler(n, options):
    same(lambda lib, data: [list(data.RandomSampler(range(n), **options)) for _ in range(2)])
    same(lambda lib, data: list(data.RandomSampler(range(n), generator=lib.Generator().manual_seed(9),
                                                   **options)))


def test_other_samplers():
    same(lambda lib, data: list(data.SubsetRandomSampler(list("abcdefgh"))))
    same(lambda lib, data: list(data.WeightedRandomSampler([.1, .4, 3., .5], 50)))
    same(lambda lib, data: list(data.WeightedRandomSampler([.1, .4, 3., .5], 3, replacement=False)))
    for shuffle in (False, True):
        for drop_last in (False, True):
            for rank in range(3):
                same(lambda lib, data: list(data.DistributedSampler(
                    range(11), 3, rank, shuffle, seed=4, drop_last=drop_last)))


@pytest.mark.parametrize("lengths", [[3, 4, 3], [.5, .3, .2], [.33, .33, .34], [10, 0], [5, 4], [2.]])
def test_random_split(lengths):
    same(lambda lib, data: [s.indices for s in data.random_split(range(10), lengths)])


@pytest.mark.parametrize("options", [
    {"batch_size": 3}, {"batch_size": 4, "shuffle": True}, {"batch_size": 4, "drop_last": True},
    {"batch_size": None}, {"shuffle": True, "batch_size": 5, "num_workers": 2},
    {"batch_size": 2, "num_workers": 1, "prefetch_factor": 3}])
def test_loader(options):
    def run(lib, data):
        loader = data.DataLoader(data.TensorDataset(lib.arange(20.).reshape(10, 2), lib.arange(10)),
                                 **options)
        return [list(loader), list(loader), lib.rand(2), len(loader)]
    same(run)


class Draws:
    """What each worker draws from every random source."""

    lib = data = None

    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = self.data.get_worker_info()
        return (info.id, info.seed, random.random(), float(np.random.rand()),
                self.lib.rand(1).item(), self.lib.randn(20).sum().item() * 0, i)


def test_workers_draw_the_same():
    def run(lib, data):
        source = Draws()
        source.lib, source.data = lib, data
        return list(data.DataLoader(source, 2, num_workers=2))
    same(run)


@pytest.mark.parametrize("batch", [
    [1, 2], [1., 2.], [True], ["a", "b"], [b"a"], [(1, 2.), (3, 4.)], [[1, 2], [3, 4]],
    [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [Pair(1, 2), Pair(3, 4)], [np.float32(3), np.float32(4)],
    [np.zeros(2), np.ones(2)], [np.array(1)], [collections.OrderedDict(a=1)], [range(2), range(3, 5)],
    [(), ()], [None], [{1, 2}], [np.array("a")], [np.array([None])], [[1], [1, 2]], [], [1, 2.5],
    [np.zeros(2), np.ones(3)]])
def test_collate(batch):
    same(lambda lib, data: data.default_collate(batch))


def test_collate_tensors():
    same(lambda lib, data: data.default_collate([lib.zeros(2), lib.ones(2)]))
    same(lambda lib, data: data.default_collate([lib.zeros(2), lib.ones(3)]))
    same(lambda lib, data: data.default_collate([lib.zeros(2), lib.ones(2, dtype=lib.int32)]))


@pytest.mark.parametrize("value", [
    1, "a", np.zeros(2), {"a": np.zeros(1)}, [np.zeros(1)], (np.zeros(1), 1), Pair(1, np.ones(1)),
    np.float32(2), np.array("a"), None, (1, "a"), range(3)])
def test_convert(value):
    same(lambda lib, data: data.default_convert(value))


@pytest.mark.parametrize("options", [
    {"batch_size": 0}, {"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2},
    {"persistent_workers": True}, {"shuffle": True, "sampler": [1]}, {"drop_last": 3},
    {"batch_sampler": [[1]], "shuffle": True}, {"batch_size": None, "drop_last": True},
    {"multiprocessing_context": "fork"}, {"multiprocessing_context": "x", "num_workers": 1}])
def test_argument_errors(options):
    kind, message = same(lambda lib, data: data.DataLoader([1, 2], **options))
    assert kind == "ValueError" and message
