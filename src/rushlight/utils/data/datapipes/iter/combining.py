"""Pipes of several pipes, and several pipes of one."""

import copy as copying
import warnings
from collections import deque

from ..datapipe import IterDataPipe, functional_datapipe


class _Several(IterDataPipe):
    def __init__(self, *datapipes):
        if not datapipes:
            raise ValueError(f"Expected at least one DataPipe for {type(self).__name__}, but got nothing")
        if not all(isinstance(p, IterDataPipe) for p in datapipes):
            raise TypeError(f"Expected all inputs of {type(self).__name__} to be `IterDataPipe`")
        self.datapipes = datapipes


@functional_datapipe("concat")
class ConcaterIterDataPipe(_Several):
    """One source after the other."""

    def __iter__(self):
        for pipe in self.datapipes:
            yield from pipe

    def __len__(self):
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class ZipperIterDataPipe(_Several):
    """Tuples with an element of each source, until one ends."""

    def __iter__(self):
        yield from zip(*self.datapipes)

    def __len__(self):
        return min(map(len, self.datapipes))


@functional_datapipe("mux")
class MultiplexerIterDataPipe(_Several):
    """An element of each source in turn, until one ends."""

    def __iter__(self):
        for elements in zip(*self.datapipes):
            yield from elements

    def __len__(self):
        return min(map(len, self.datapipes)) * len(self.datapipes)


class _ChildDataPipe(IterDataPipe):
    """One of several pipes that read one source through a common reader."""

    def __init__(self, reader, number):
        self.reader, self.number = reader, number

    def __iter__(self):
        yield from self.reader.read(self.number)

    def __len__(self):
        return self.reader.length()


class _Reader:
    """Reads a source once for several children, and keeps what some of them have not asked for yet."""

    def __init__(self, datapipe, count, buffer_size):
        if count < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {count} is found")
        if buffer_size == 0:
            raise ValueError(f"Expected `buffer_size` larger than 0, but {buffer_size} is found")
        if buffer_size < 0:
            warnings.warn("Unlimited buffer size is set, please be aware of OOM risks", stacklevel=3)
        self.datapipe, self.count, self.buffer_size = datapipe, count, buffer_size
        self.turn, self.source = 0, None
        self.began, self.waiting = set(), [deque() for _ in range(count)]

    def begin(self, number):
        """The number of the round that a child's iteration belongs to; a child's second one is a round of its own."""
        if number in self.began or self.source is None:
            if self.source is not None and any(self.waiting):
                warnings.warn("Some child DataPipes are not exhausted when __iter__ is called. We are resetting the "
                              "buffer and each child DataPipe will read from the start again.", stacklevel=4)
            self.turn += 1
            self.source, self.began = iter(self.datapipe), set()
            for queue in self.waiting:
                queue.clear()
        self.began.add(number)
        return self.turn

    def read(self, number):
        turn = self.begin(number)
        while True:
            if turn != self.turn:
                raise RuntimeError("This iterator has been invalidated, because another one of its group has begun a "
                                   "new round")
            if not self.waiting[number]:
                try:
                    value = next(self.source)
                except StopIteration:
                    return
                self.hand_out(value)
                continue
            yield self.waiting[number].popleft()

    def __getstate__(self):
        return {**self.__dict__, "source": None, "began": set(), "waiting": [deque() for _ in range(self.count)]}


def _same(value):
    return value


class _ForkReader(_Reader):
    def __init__(self, datapipe, count, buffer_size, copy):
        super().__init__(datapipe, count, buffer_size)
        known = {None: _same, "shallow": copying.copy, "deep": copying.deepcopy}
        if copy not in known:
            raise ValueError(f"Unknown copy method `{copy}` requested, choose one of None, `shallow` or `deep`.")
        self.copied = known[copy]

    def hand_out(self, value):
        for queue in self.waiting:
            queue.append(self.copied(value))
            if 0 < self.buffer_size < len(queue) - 1:
                raise BufferError(f"ForkerIterDataPipe buffer overflow, buffer size {self.buffer_size} is "
                                  "insufficient.")

    def length(self):
        return len(self.datapipe)


class _DemuxReader(_Reader):
    def __init__(self, datapipe, count, classify, drop_none, buffer_size):
        super().__init__(datapipe, count, buffer_size)
        self.classify, self.drop_none = classify, drop_none

    def hand_out(self, value):
        kind = self.classify(value)
        if kind is None and self.drop_none:
            return
        if kind is None or not 0 <= kind < self.count:
            raise ValueError(f"Output of the classification fn should be between 0 and {self.count - 1}. {kind} is "
                             "returned.")
        self.waiting[kind].append(value)
        if 0 < self.buffer_size < sum(map(len, self.waiting)):
            raise BufferError(f"DemultiplexerIterDataPipe buffer overflow, buffer size {self.buffer_size} is "
                              "insufficient.")

    def length(self):
        raise TypeError("_ChildDataPipe instance doesn't have valid length")


@functional_datapipe("fork")
class ForkerIterDataPipe(IterDataPipe):
    """Several pipes with all elements of one.

    Args:
        datapipe: the source, which is read once.
        num_instances (int): how many.
        buffer_size (int): by how many elements one may be ahead of another; -1 for any number. BufferError beyond.
        copy: None (the same objects), "shallow" or "deep".
    """

    def __new__(cls, datapipe, num_instances, buffer_size=1000, copy=None):
        if num_instances == 1:
            return datapipe
        reader = _ForkReader(datapipe, num_instances, buffer_size, copy)
        return [_ChildDataPipe(reader, i) for i in range(num_instances)]


@functional_datapipe("demux")
class DemultiplexerIterDataPipe(IterDataPipe):
    """Several pipes, each with its class of the elements of one.

    Args:
        datapipe: the source, which is read once.
        num_instances (int): number of classes.
        classifier_fn: gives the class of an element, from 0.
        drop_none (bool): leave out elements of class None; else ValueError.
        buffer_size (int): elements that may wait; -1 for any number. BufferError beyond.
    """

    def __new__(cls, datapipe, num_instances, classifier_fn, drop_none=False, buffer_size=1000):
        reader = _DemuxReader(datapipe, num_instances, classifier_fn, drop_none, buffer_size)
        return [_ChildDataPipe(reader, i) for i in range(num_instances)]
