"""Fetchers: from what a sampler gives to a finished batch, in the loader or in a worker."""

import rushlight as torch
from rushlight.utils.data.collate import default_collate
from rushlight.utils.data.dataset import Subset, TensorDataset


class MapFetcher:
    """Loads samples by index and collates them; with `auto_collation` off, one sample an index."""

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self._gather = _batch_gatherer(dataset) if collate_fn is default_collate else None

    def fetch(self, index):
        """The batch (or sample) at `index`."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self._gather is not None and index and all(type(i) is int for i in index):
            return self._gather(index)
        if getattr(self.dataset, "__getitems__", None):
            return self.collate_fn(self.dataset.__getitems__(index))
        dataset = self.dataset
        return self.collate_fn([dataset[i] for i in index])


def _batch_gatherer(dataset):
    """A function that builds a default-collated batch with one gather a tensor, or None.

    Only for plain `TensorDataset`s and `Subset`s of them, where a gather gives what loading row by
    row and stacking would.
    """
    if type(dataset) is TensorDataset:
        tensors = dataset.tensors
        if not all(type(t) is torch.Tensor and t.layout == torch.strided for t in tensors):
            return None

        def gather(indices):
            rows = torch.tensor(indices)
            return [t[rows] for t in tensors]

        return gather
    if type(dataset) is Subset:
        inner = _batch_gatherer(dataset.dataset)
        if inner is None or not isinstance(dataset.indices, (list, range)):
            return None
        own = dataset.indices
        return lambda indices: inner([own[i] for i in indices])
    return None


class IterableFetcher:
    """Takes samples from a stream; raises StopIteration when it is dry."""

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self._stream = iter(dataset)
        self._ended = False

    def fetch(self, index):
        """The next ``len(index)`` samples as a batch (or the next sample)."""
        if self._ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self._stream))
        batch = []
        for _ in index:
            try:
                batch.append(next(self._stream))
            except StopIteration:
                self._ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)
