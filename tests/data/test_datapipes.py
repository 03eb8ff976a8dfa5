"""Pipes: what each does, alone and in a loader with workers."""

import io
import pickle
import random

import pytest

import rushlight as torch
from rushlight.utils.data import DataLoader, IterDataPipe, MapDataPipe, functional_datapipe
from rushlight.utils.data.datapipes.iter import FileLister, FileOpener, IterableWrapper, Sampler, StreamReader
from rushlight.utils.data.datapipes.map import SequenceWrapper


def numbers(n=10):
    return IterableWrapper(range(n))


def test_functions_and_filters():
    assert list(numbers().map(str)) == [str(i) for i in range(10)] and len(numbers().map(str)) == 10
    assert list(numbers().filter(lambda x: x % 2 == 0)) == [0, 2, 4, 6, 8]
    rows = IterableWrapper([(1, 2), (3, 4)])
    assert list(rows.map(lambda x: -x, input_col=0)) == [(-1, 2), (-3, 4)]
    assert list(rows.map(lambda x, y: x + y, input_col=[0, 1], output_col=-1)) == [(1, 2, 3), (3, 4, 7)]
    assert list(IterableWrapper([{"a": 1}]).map(str, input_col="a", output_col="b")) == [{"a": 1, "b": "1"}]
    with pytest.raises(ValueError, match="Boolean"):
        list(numbers().filter(lambda x: None))


def test_batches_and_groups():
    assert list(numbers().batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] and len(numbers().batch(4)) == 3
    assert list(numbers().batch(4, drop_last=True))[-1] == [4, 5, 6, 7]
    assert list(numbers(8).batch(2).batch(2).unbatch(unbatch_level=-1)) == list(range(8))
    with pytest.raises(IndexError):
        list(numbers().batch(2).unbatch(unbatch_level=2))
    key = (3).__rmod__
    assert list(numbers().groupby(key)) == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert list(numbers().groupby(key, group_size=2)) == [[0, 3], [1, 4], [2, 5], [6, 9], [7], [8]]
    assert list(numbers().groupby(key, buffer_size=4, group_size=3, guaranteed_group_size=2)) == [
        [0, 3], [1, 4], [2, 5], [6, 9], [7], [8]]
    with pytest.raises(RuntimeError, match="Failed to group"):
        list(numbers().groupby(str, buffer_size=4, group_size=3))
    assert [b.tolist() for b in numbers(5).batch(2).collate()] == [[0, 1], [2, 3], [4]]


def test_several_sources():
    assert list(numbers(3).concat(numbers(2))) == [0, 1, 2, 0, 1]
    assert list(numbers(3).zip(numbers(2))) == [(0, 0), (1, 1)]
    assert list(numbers(3).mux(numbers(5))) == [0, 0, 1, 1, 2, 2]


def test_several_readers():
    a, b = numbers(3).fork(2)
    assert list(zip(a, b)) == [(0, 0), (1, 1), (2, 2)] and list(a) == list(b) == [0, 1, 2]
    even, odd = numbers(6).demux(2, (2).__rmod__)
    assert list(even) == [0, 2, 4] and list(odd) == [1, 3, 5]
    a, b = numbers(6).fork(2, buffer_size=2)
    with pytest.raises(BufferError):
        list(a)
    with pytest.raises(ValueError, match="between 0 and 1"):
        list(numbers(6).demux(2, lambda x: 2)[0])


def test_one_iterator_at_a_time():
    pipe = numbers()
    first = iter(pipe)
    next(first)
    next(iter(pipe))
    with pytest.raises(RuntimeError, match="invalidated"):
        next(first)

    class Failing(IterDataPipe):
        def __iter__(self):
            yield 1
            raise KeyError("inside")
    with pytest.raises(KeyError, match="thrown by __iter__ of Failing"):
        list(Failing().map(str))


def test_shuffling_draws_from_a_buffer():
    expected, buffer, rng = [], [], random.Random(3)
    for x in range(10):
        if len(buffer) == 4:
            i = rng.randint(0, 3)
            expected.append(buffer[i])
            buffer[i] = x
        else:
            buffer.append(x)
    while buffer:
        expected.append(buffer.pop(rng.randint(0, len(buffer) - 1)))
    assert list(numbers().shuffle(buffer_size=4).set_seed(3)) == expected
    torch.manual_seed(0)
    assert list(numbers().shuffle()) == [3, 5, 0, 1, 9, 6, 2, 7, 4, 8]
    assert list(numbers().shuffle().set_shuffle(False)) == list(range(10))
    assert list(Sampler(numbers(4))) == [0, 1, 2, 3]


def test_maps():
    m = SequenceWrapper(list(range(5)))
    assert m.map(lambda x: x * 2)[2] == 4 and list(m.batch(2)) == [[0, 1], [2, 3], [4]]
    assert list(m.zip(m))[1] == (1, 1) and m.concat(m)[7] == 2 and len(m.concat(m)) == 10
    assert list(m.shuffle().set_seed(1)) == [2, 3, 4, 0, 1]
    assert isinstance(m, MapDataPipe) and SequenceWrapper({"a": 1}).map(str)["a"] == "1"


def test_names_are_registered_once():
    @functional_datapipe("plus_for_test")
    class Plus(IterDataPipe):
        def __init__(self, source, n):
            self.source, self.n = source, n

        def __iter__(self):
            for x in self.source:
                yield x + self.n
    assert list(numbers(2).plus_for_test(3)) == [3, 4]
    with pytest.raises(Exception, match="already taken"):
        functional_datapipe("map")(Plus)
    with pytest.raises(AttributeError):
        numbers().no_such_pipe


def test_files(tmp_path):
    for name in ("b.txt", "a.txt", "c.bin"):
        (tmp_path / name).write_text(name * 2)
    found = list(StreamReader(FileOpener(FileLister(str(tmp_path), "*.txt"))))
    assert [text for _, text in found] == ["a.txta.txt", "b.txtb.txt"]
    assert list(StreamReader(IterableWrapper([("x", io.BytesIO(b"xyz"))], deepcopy=False), chunk=2)) == [
        ("x", b"xy"), ("x", b"z")]


def test_pickling():
    assert list(pickle.loads(pickle.dumps(numbers().batch(5).shuffle().set_seed(0)))) in (
        [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]])


# Batches of two passes and the stream behind them, as PyTorch 2.13 gives them after manual_seed(5).
STORED = {
    (0, None): ([[1, 3], [0, 6], [5, 7], [2, 4]], [[6, 2], [0, 7], [4, 3], [5, 1]]),
    (0, False): ([[0, 1], [2, 3], [4, 5], [6, 7]], [[0, 1], [2, 3], [4, 5], [6, 7]]),
    (2, True): ([[1, 0], [3, 6], [5, 2], [7, 4]], [[5, 4], [7, 6], [0, 1], [3, 2]]),
}


@pytest.mark.parametrize("workers, shuffle", STORED)
def test_loader(workers, shuffle):
    torch.manual_seed(5)
    pipe = numbers(8).shuffle().sharding_filter()
    loader = DataLoader(pipe, batch_size=2, num_workers=workers, shuffle=shuffle)
    assert tuple([b.tolist() for b in loader] for _ in range(2)) == STORED[workers, shuffle]


def test_persistent_workers_keep_their_shards_apart():
    loader = DataLoader(numbers(8).shuffle().sharding_filter(), batch_size=2, num_workers=2, persistent_workers=True)
    for _ in range(3):
        assert sorted(sum((b.tolist() for b in loader), [])) == list(range(8))
    with pytest.warns(UserWarning, match="Adding one"):
        assert sorted(sum((b.tolist() for b in DataLoader(numbers(4), shuffle=True)), [])) == [0, 1, 2, 3]
