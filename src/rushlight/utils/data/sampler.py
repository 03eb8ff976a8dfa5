"""Samplers: the order in which a loader visits indices. Random ones draw PyTorch's streams."""

import itertools
from typing import Generic, TypeVar

import rushlight as torch

_T_co = TypeVar("_T_co", covariant=True)


def _is_count(value):
    """True for a positive int that isn't a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _require_count(value, name):
    if not _is_count(value):
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


def _fresh_generator():
    """A generator seeded with one 64-bit draw from the default generator."""
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return torch.Generator().manual_seed(seed)


class Sampler(Generic[_T_co]):
    """Base of samplers: subclasses give `__iter__` over indices (or lists of them), often `__len__`."""

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """Indices in order: 0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order: permutations, or independent draws with `replacement`.

    `num_samples` (default: the length of `data_source`) may exceed the length; without replacement
    whole permutations follow each other. Without `generator`, each pass seeds a fresh one from
    the default generator.
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        _require_count(self.num_samples, "num_samples")

    @property
    def num_samples(self):
        """How many indices one pass gives; follows the data source unless it was set."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        n, left = len(self.data_source), self.num_samples
        generator = _fresh_generator() if self.generator is None else self.generator
        if self.replacement:
            # Blocks of 32, as PyTorch draws them; the last block may be empty.
            for size in [32] * (left // 32) + [left % 32]:
                yield from torch.randint(high=n, size=(size,), dtype=torch.int64,
                                         generator=generator).tolist()
            return
        for _ in range(left // n):
            yield from torch.randperm(n, generator=generator).tolist()
        yield from torch.randperm(n, generator=generator).tolist()[:left % n]

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given `indices` in random order, each once."""

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def __iter__(self):
        for i in torch.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices drawn with probabilities proportional to `weights` (one-dimensional)."""

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        _require_count(num_samples, "num_samples")
        if not isinstance(replacement, bool):
            raise ValueError(
                f"replacement should be a boolean value, but got replacement={replacement}")
        weights = torch.as_tensor(weights, dtype=torch.double)
        if weights.ndim != 1:
            raise ValueError("weights should be a 1d sequence but given "
                             f"weights have shape {tuple(weights.shape)}")
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self):
        drawn = torch.multinomial(self.weights, self.num_samples, self.replacement,
                                  generator=self.generator)
        yield from drawn.tolist()

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler[list]):
    """Lists of `batch_size` indices of another sampler; the last may be short unless `drop_last`."""

    def __init__(self, sampler, batch_size, drop_last):
        _require_count(batch_size, "batch_size")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        source, size = iter(self.sampler), self.batch_size
        while batch := list(itertools.islice(source, size)):
            if len(batch) < size and self.drop_last:
                return
            yield batch

    def __len__(self):
        if self.drop_last:
            return len(self.sampler) // self.batch_size
        return -(-len(self.sampler) // self.batch_size)
