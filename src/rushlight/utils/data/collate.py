"""Making one batch out of a list of samples."""

import collections.abc
import copy

import numpy as np

import rushlight as torch

_MESSAGE = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
_NOT_NUMBERS = "SUaOV"          # NumPy kinds that no tensor can hold: text, bytes, objects, records


def _stack(batch):
    """`torch.stack` of equal tensors."""
    first = batch[0]
    if first.is_nested or first.layout in (torch.sparse_coo, torch.sparse_csr):
        raise RuntimeError("Batches of nested or sparse tensors are not currently supported by the "
                           "default collate_fn; please provide a custom collate_fn to handle them "
                           "appropriately.")
    return torch.stack(batch, 0)


def _stack_arrays(batch):
    first = batch[0]
    if first.dtype.kind in _NOT_NUMBERS:
        raise TypeError(_MESSAGE.format(first.dtype))
    if all(type(a) is np.ndarray and a.shape == first.shape and a.dtype == first.dtype
           for a in batch):
        # One NumPy copy is cheaper than a tensor per sample.
        return torch.as_tensor(np.stack(batch))
    return torch.stack([torch.as_tensor(a) for a in batch], 0)


def _rebuild_mapping(original, items):
    """A mapping of `original`'s type holding `items` (a dict if the type can't be made)."""
    try:
        if isinstance(original, collections.abc.MutableMapping):
            clone = copy.copy(original)
            clone.update(items)
            return clone
        return type(original)(items)
    except TypeError:
        return items


def _rebuild_sequence(original, items):
    """A sequence of `original`'s type holding `items` (a list if the type can't be made)."""
    try:
        if isinstance(original, collections.abc.MutableSequence):
            clone = copy.copy(original)
            for i, item in enumerate(items):
                clone[i] = item
            return clone
        return type(original)(items)
    except TypeError:
        return items


def _columns(batch):
    """The i-th elements of all samples, for each i; samples must be equally long."""
    size = len(batch[0])
    if any(len(sample) != size for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    return list(zip(*batch))


def default_collate(batch):
    """Batch a list of samples: the first sample's type decides, containers are entered.

    Tensors and NumPy arrays are stacked along a new first dimension; numbers become a tensor
    (floats float64, ints int64); strings and bytes stay a list; mappings, named tuples and
    sequences are collated per key or position (tuples become lists).
    Raises TypeError for other types, RuntimeError where shapes or lengths differ.
    """
    first = batch[0]
    kind = type(first)
    if isinstance(first, torch.Tensor):
        return _stack(batch)
    if isinstance(first, np.ndarray):
        return _stack_arrays(batch)
    if isinstance(first, (np.bool_, np.number, np.object_)):
        return torch.as_tensor(np.array(batch)) if _same_type(batch) else torch.as_tensor(batch)
    if isinstance(first, float):
        return torch.tensor(batch, dtype=torch.float64)
    if isinstance(first, int):
        return torch.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, collections.abc.Mapping):
        return _rebuild_mapping(
            first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*[default_collate(column) for column in zip(*batch)])
    if isinstance(first, tuple):
        return [default_collate(column) for column in _columns(batch)]
    if isinstance(first, collections.abc.Sequence):
        return _rebuild_sequence(first, [default_collate(column) for column in _columns(batch)])
    raise TypeError(_MESSAGE.format(kind))


def _same_type(batch):
    kind = type(batch[0])
    return all(type(value) is kind for value in batch)


def default_convert(data):
    """`data` with NumPy arrays and numbers made tensors, containers entered; all else unchanged."""
    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in _NOT_NUMBERS else torch.as_tensor(data)
    if isinstance(data, collections.abc.Mapping):
        return _rebuild_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(item) for item in data])
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild_sequence(data, [default_convert(item) for item in data])
    return data
