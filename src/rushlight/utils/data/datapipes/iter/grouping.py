"""Pipes that make batches and groups, and take them apart."""

from collections import defaultdict

from ..datapipe import DataChunk, IterDataPipe, functional_datapipe, length_of


@functional_datapipe("batch")
class BatcherIterDataPipe(IterDataPipe):
    """Batches of `batch_size` elements.

    Args:
        datapipe: the source.
        batch_size (int): elements in a batch.
        drop_last (bool): leave out a last batch that is not full.
        wrapper_class: what a batch is: called with a list.
    """

    def __init__(self, datapipe, batch_size, drop_last=False, wrapper_class=DataChunk):
        if batch_size <= 0:
            raise AssertionError("Batch size is required to be larger than 0!")
        self.datapipe, self.batch_size = datapipe, batch_size
        self.drop_last, self.wrapper_class = drop_last, wrapper_class

    def __iter__(self):
        batch = []
        for x in self.datapipe:
            batch.append(x)
            if len(batch) == self.batch_size:
                yield self.wrapper_class(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.wrapper_class(batch)

    def __len__(self):
        n = length_of(self.datapipe, self)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcherIterDataPipe(IterDataPipe):
    """The elements of batches.

    Args:
        datapipe: the source.
        unbatch_level (int): how many levels of batches to take apart; -1 for all. IndexError where there are fewer.
    """

    def __init__(self, datapipe, unbatch_level=1):
        self.datapipe, self.unbatch_level = datapipe, unbatch_level

    def __iter__(self):
        for element in self.datapipe:
            yield from self._taken_apart(element, self.unbatch_level)

    def _taken_apart(self, element, level):
        if level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        if level == 0 or level == -1 and not isinstance(element, (list, DataChunk)):
            yield element
        elif isinstance(element, (list, DataChunk)):
            for item in element:
                yield from self._taken_apart(item, level - 1 if level > 0 else -1)
        else:
            raise IndexError(f"unbatch_level {self.unbatch_level} exceeds the depth of the DataPipe")


@functional_datapipe("groupby")
class GrouperIterDataPipe(IterDataPipe):
    """Lists of elements with one key.

    Args:
        datapipe: the source.
        group_key_fn: gives an element's key.
        keep_key (bool): give (key, list) instead of the list.
        buffer_size (int): elements that wait for their group to be complete; when it is full the largest group goes.
        group_size (int): a group goes as soon as it is of this size; default when the buffer is full, or at the end.
        guaranteed_group_size (int): least size of a group that goes because the buffer is full, default `group_size`.
        drop_remaining (bool): drop smaller ones; else RuntimeError.
    """

    def __init__(self, datapipe, group_key_fn, *, keep_key=False, buffer_size=10000, group_size=None,
                 guaranteed_group_size=None, drop_remaining=False):
        if group_size is not None and not 0 < group_size <= buffer_size:
            raise AssertionError("group_size must be > 0 and <= buffer_size")
        if guaranteed_group_size is not None and (group_size is None or
                                                  not 0 < guaranteed_group_size <= group_size):
            raise AssertionError("guaranteed_group_size must be > 0 and <= group_size")
        self.datapipe, self.group_key_fn, self.keep_key = datapipe, group_key_fn, keep_key
        self.buffer_size, self.group_size, self.drop_remaining = buffer_size, group_size, drop_remaining
        self.guaranteed_group_size = guaranteed_group_size or group_size

    def _given(self, key, group):
        return (key, group) if self.keep_key else group

    def _largest(self, groups):
        """(key, whether it may go) of the largest group."""
        key = max(groups, key=lambda k: len(groups[k]))
        small = self.guaranteed_group_size is not None and len(groups[key]) < self.guaranteed_group_size
        if small and not self.drop_remaining:
            raise RuntimeError("Failed to group items", str(groups[key]))
        return key, not small

    def __iter__(self):
        groups, waiting = defaultdict(list), 0
        for x in self.datapipe:
            key = self.group_key_fn(x)
            groups[key].append(x)
            waiting += 1
            if self.group_size is not None and len(groups[key]) == self.group_size:
                waiting -= self.group_size
                yield self._given(key, groups.pop(key))
            if waiting == self.buffer_size:
                key, goes = self._largest(groups)
                group = groups.pop(key)
                waiting -= len(group)
                if goes:
                    yield self._given(key, group)
        for key in list(groups):
            yield self._given(key, groups.pop(key))
