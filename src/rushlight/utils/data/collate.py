"""Making one batch out of a list of samples."""

import collections.abc
import copy

import numpy as np

import rushlight as torch

_MESSAGE = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
_NOT_NUMBERS = "SUaOV"          # NumPy kinds that no tensor can hold: text, bytes, objects, records


def collate_tensor_fn(batch, *, collate_fn_map=None):
    """`torch.stack` of equal tensors."""
    first = batch[0]
    if first.is_nested or first.layout in (torch.sparse_coo, torch.sparse_csr):
        raise RuntimeError("Batches of nested or sparse tensors are not currently supported by the "
                           "default collate_fn; please provide a custom collate_fn to handle them "
                           "appropriately.")
    return torch.stack(batch, 0)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    """One tensor of equal arrays, along a new first dimension."""
    first = batch[0]
    if first.dtype.kind in _NOT_NUMBERS:
        raise TypeError(_MESSAGE.format(first.dtype))
    if all(type(a) is np.ndarray and a.shape == first.shape and a.dtype == first.dtype
           for a in batch):
        # One NumPy copy is cheaper than a tensor per sample.
        return torch.as_tensor(np.stack(batch))
    return torch.stack([torch.as_tensor(a) for a in batch], 0)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    """One tensor of NumPy numbers."""
    kind = type(batch[0])
    if all(type(value) is kind for value in batch):
        return torch.as_tensor(np.array(batch))
    return torch.as_tensor(batch)


def collate_float_fn(batch, *, collate_fn_map=None):
    """A float64 tensor."""
    return torch.tensor(batch, dtype=torch.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    """An int64 (or bool) tensor."""
    return torch.tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    """The list as it is."""
    return batch


# Kinds of samples and what batches them. Users may add their own; the exact type is looked up
# first, then the kinds in this order.
default_collate_fn_map = {
    torch.Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


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


def collate(batch, *, collate_fn_map=None):
    """Batch samples with the functions of `collate_fn_map`, entering containers.

    The map goes from a type, or a tuple of types, to ``function(batch, *, collate_fn_map)``.
    Raises TypeError for a sample that is neither in the map nor a container.
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for known, function in collate_fn_map.items():
            if isinstance(first, known):
                return function(batch, collate_fn_map=collate_fn_map)

    def again(items):
        return collate(items, collate_fn_map=collate_fn_map)

    if isinstance(first, collections.abc.Mapping):
        return _rebuild_mapping(first, {key: again([s[key] for s in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*[again(column) for column in zip(*batch)])
    if isinstance(first, tuple):
        return [again(column) for column in _columns(batch)]
    if isinstance(first, collections.abc.Sequence):
        return _rebuild_sequence(first, [again(column) for column in _columns(batch)])
    raise TypeError(_MESSAGE.format(kind))


def default_collate(batch):
    """Batch a list of samples: the first sample's type decides, containers are entered.

    Tensors and NumPy arrays are stacked along a new first dimension; numbers become a tensor
    (floats float64, ints int64); strings and bytes stay a list; mappings, named tuples and
    sequences are collated per key or position (tuples become lists).
    Raises TypeError for other types, RuntimeError where shapes or lengths differ.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


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
