"""`DataLoader`: batches of a dataset, in order or shuffled, in this process or by workers."""

import itertools
import os
import warnings
from typing import Generic, TypeVar

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.utils.data.collate import default_collate, default_convert
from rushlight.utils.data.dataset import IterableDataset
from rushlight.utils.data.fetch import IterableFetcher, MapFetcher
from rushlight.utils.data.graph_settings import apply_shuffle_settings, is_pipe, seed_pipes
from rushlight.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

_T_co = TypeVar("_T_co", covariant=True)

# Fixed once the loader is made: other attributes were derived from them.
_FROZEN = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset",
                     "persistent_workers"})


class _DatasetKind:
    """How samples are reached: by index (Map) or from a stream (Iterable)."""

    Map = 0
    Iterable = 1


class _InfiniteConstantSampler(Sampler):
    """None for ever: a stream is asked for samples, not for indices."""

    def __iter__(self):
        return itertools.repeat(None)


class DataLoader(Generic[_T_co]):
    """Iterates over batches of `dataset`.

    Args:
        dataset: map-style (`__getitem__`, `__len__`) or an `IterableDataset`.
        batch_size: samples a batch; None gives single samples.
        shuffle: a new random order each pass, from `generator` or the default generator.
        sampler, batch_sampler: the order yourself; exclusive with `shuffle` (and `batch_size`, ...).
        num_workers: worker processes; 0 loads in this one.
        collate_fn: list of samples -> batch (`default_collate`).
        pin_memory: accepted; there is no accelerator to pin for, which a warning says.
        drop_last: leave an incomplete last batch out.
        timeout: seconds to wait for a worker's batch, 0 for ever.
        worker_init_fn: called as ``worker_init_fn(worker_id)`` in each worker after seeding.
        multiprocessing_context: start method (``"fork"``, ``"spawn"``, ...) or a context.
        generator: source of the shuffle and of the workers' base seed.
        prefetch_factor: batches loaded ahead by each worker (2).
        persistent_workers: keep the workers between passes.
        in_order: give batches in the sampler's order; else as workers finish them.

    Worker ``i`` seeds Rushlight and `random` with ``base_seed + i``, and NumPy from both numbers.
    An exception in a worker is raised here with its type and the worker's traceback; a worker that
    dies raises RuntimeError with its exit code or signal.
    """

    __initialized = False

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None,
                 num_workers=0, collate_fn=None, pin_memory=False, drop_last=False, timeout=0,
                 worker_init_fn=None, multiprocessing_context=None, generator=None, *,
                 prefetch_factor=None, persistent_workers=False, pin_memory_device="",
                 in_order=True):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if is_pipe(dataset) and isinstance(dataset, IterableDataset):
            dataset, shuffle = apply_shuffle_settings(dataset, shuffle), None
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            _check_stream_order(shuffle, sampler, batch_sampler)
        else:
            self._dataset_kind = _DatasetKind.Map
            shuffle = bool(shuffle)
        _check_exclusive(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = self._default_sampler(shuffle, generator)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._IterableDataset_len_called = None
        self._iterator = None
        self.__initialized = True
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle, generator):
        if self._dataset_kind == _DatasetKind.Iterable:
            return _InfiniteConstantSampler()
        if shuffle:
            return RandomSampler(self.dataset, generator=generator)
        return SequentialSampler(self.dataset)

    def __setattr__(self, name, value):
        if self.__initialized and name in _FROZEN:
            raise ValueError(f"{name} attribute should not be set after "
                             f"{type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self):
        """The context that makes workers; None means the default one."""
        return self.__context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        self.__context = _resolve_context(context, self.num_workers)

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def _get_iterator(self):
        if self.num_workers == 0:
            return _SingleProcessIterator(self)
        from rushlight.utils.data.workers import MultiProcessIterator

        self.check_worker_number_rationality()
        return MultiProcessIterator(self)

    def __iter__(self):
        if not (self.persistent_workers and self.num_workers > 0):
            return self._get_iterator()
        if self._iterator is None or self._iterator.closed:
            self._iterator = self._get_iterator()
        else:
            self._iterator.reset()
        return self._iterator

    def __len__(self):
        """Number of batches (for a stream, what its `__len__` promises)."""
        if self._dataset_kind == _DatasetKind.Iterable:
            length = self._IterableDataset_len_called = len(self.dataset)
            if self.batch_size is None:
                return length
            if self.drop_last:
                return length // self.batch_size
            return -(-length // self.batch_size)
        return len(self._index_sampler)

    def check_worker_number_rationality(self):
        """Warn if there are more workers than CPUs for this process."""
        if not self.num_workers:
            return
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if cpus is not None and self.num_workers > cpus:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {cpus}, which is smaller "
                "than what this DataLoader is going to create. Please be aware that excessive "
                "worker creation might get DataLoader running slow or even freeze, lower the "
                "worker number to avoid potential slowness/freeze if necessary.", stacklevel=3)


# -- argument checks ----------------------------------------------------------------------------


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; "
                         "use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                         "let num_workers > 0 to enable multiprocessing, otherwise set "
                         "prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream_order(shuffle, sampler, batch_sampler):
    found = ("shuffle", shuffle) if shuffle else \
        ("sampler", sampler) if sampler is not None else \
        ("batch_sampler", batch_sampler) if batch_sampler is not None else None
    if found is not None:
        name, value = found
        raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, "
                         f"but got {name}={value}")


def _check_exclusive(batch_size, shuffle, sampler, batch_sampler, drop_last):
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError("batch_sampler option is mutually exclusive "
                             "with batch_size, shuffle, sampler, and drop_last")
    elif batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching "
                         "and is mutually exclusive with drop_last")


def _resolve_context(context, num_workers):
    if context is None:
        return None
    if num_workers <= 0:
        raise ValueError("multiprocessing_context can only be used with multi-process loading "
                         f"(num_workers > 0), but got num_workers={num_workers}")
    import multiprocessing

    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError("multiprocessing_context option should specify a valid start method "
                             f"in {methods!r}, but got multiprocessing_context={context!r}")
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError("multiprocessing_context option should be a valid context object or a "
                        "string specifying the start method, but got "
                        f"multiprocessing_context={context}")
    return context


# -- iterators ----------------------------------------------------------------------------------


class BaseIterator:
    """One pass over a loader."""

    def __init__(self, loader):
        self._loader = loader
        self._dataset = loader.dataset
        self._dataset_kind = loader._dataset_kind
        self._index_sampler = loader._index_sampler
        self._sampler_iter = iter(self._index_sampler)
        self._num_workers = loader.num_workers
        if is_pipe(loader.dataset):
            seed_pipes(loader.dataset, self._draw())
        # Drawn on every pass, workers or not: this keeps the default stream where PyTorch's is.
        self._base_seed = self._draw()
        if loader.num_workers and is_pipe(loader.dataset):
            self._draw()                # as PyTorch does, which keeps later passes alike
        self._num_yielded = 0
        self._promised_length = loader._IterableDataset_len_called
        if loader.pin_memory and not torch.cuda.is_available():
            warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then "
                          "device pinned memory won't be used.", stacklevel=4)

    def _draw(self):
        return torch.empty((), dtype=torch.int64).random_(generator=self._loader.generator).item()

    @property
    def _fetcher_class(self):
        return MapFetcher if self._dataset_kind == _DatasetKind.Map else IterableFetcher

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._index_sampler)

    def __next__(self):
        recorder = state.recorder
        if recorder is None:
            batch = self._next_data()
        else:
            kind = "SingleProcess" if self._num_workers == 0 else "MultiProcessing"
            event = recorder.annotate(f"enumerate(DataLoader)#_{kind}DataLoaderIter.__next__")
            try:
                batch = self._next_data()
            finally:
                recorder.end(event)
        self._num_yielded += 1
        if self._dataset_kind == _DatasetKind.Iterable:
            self._check_promised_length()
        return batch

    def _check_promised_length(self):
        promised = self._promised_length
        if promised is None or self._num_yielded <= promised:
            return
        message = (f"Length of IterableDataset {self._dataset} was reported to be {promised} "
                   "(when accessing len(dataloader)), "
                   f"but {self._num_yielded} samples have been fetched. ")
        if self._num_workers > 0:
            message += ("For multiprocessing data-loading, this could be caused by not properly "
                        "configuring the IterableDataset replica at each worker: see "
                        "get_worker_info.")
        warnings.warn(message, stacklevel=3)


class _SingleProcessIterator(BaseIterator):
    def __init__(self, loader):
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetcher = self._fetcher_class(loader.dataset, loader._auto_collation,
                                            loader.collate_fn, loader.drop_last)

    def _next_data(self):
        return self._fetcher.fetch(next(self._sampler_iter))
