"""Taking tensors apart for pickling and putting them together again.

The functions that pickles name (`_rebuild_tensor_v2`, ...) check all they are given: a window must
lie within its storage, whoever wrote the file.
"""

from collections import OrderedDict

import rushlight as torch


class StorageView:
    """A storage and the dtype its elements were saved as; what a typed storage in a file becomes."""

    __slots__ = ("dtype", "untyped")

    def __init__(self, untyped, dtype):
        self.untyped = untyped
        self.dtype = dtype


def _integers(values, what):
    if not isinstance(values, (tuple, list)) or \
            any(type(v) is not int or v < 0 for v in values):
        raise RuntimeError(f"corrupt tensor: {what} must be non-negative integers, got {values!r}")
    return tuple(values)


def _window(storage, dtype, offset, size, stride):
    """A tensor of `dtype` on `storage`; RuntimeError if any element would lie outside."""
    size, stride = _integers(size, "size"), _integers(stride, "stride")
    _integers((offset,), "storage offset")
    if len(size) != len(stride):
        raise RuntimeError(f"corrupt tensor: mismatch in length of strides and shape: "
                           f"size {size}, stride {stride}")
    nbytes = storage.nbytes()
    needed = 0
    if all(size):
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        needed = (last + 1) * dtype.itemsize
    if max(needed, offset * dtype.itemsize) > nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {dtype.itemsize} requiring a storage size of {needed} are out of bounds for "
            f"storage of size {nbytes}")
    with torch.no_grad():
        empty = torch.empty(0, dtype=dtype, device=storage.device)
        return empty.set_(storage, offset, size, stride)


def _finish(tensor, requires_grad, metadata):
    for flag, apply in (("conj", "_conj"), ("neg", "_neg_view")):
        if metadata and metadata.get(flag):
            tensor = getattr(tensor, apply)()
    tensor.requires_grad_(bool(requires_grad))
    return tensor


def _rebuild_tensor(storage, storage_offset, size, stride):
    """A tensor on a typed storage (the oldest form)."""
    return _window(storage.untyped, storage.dtype, storage_offset, size, stride)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks,
                       metadata=None):
    """A tensor on a typed storage. Hooks are not saved; `metadata` holds the conj and neg bits."""
    tensor = _window(_untyped(storage), storage.dtype, storage_offset, size, stride)
    return _finish(tensor, requires_grad, metadata)


def _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks, dtype,
                       metadata=None):
    """A tensor on an untyped storage, for dtypes that have no storage class."""
    tensor = _window(_untyped(storage), _dtype(dtype), storage_offset, size, stride)
    return _finish(tensor, requires_grad, metadata)


def _rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad):
    """A tensor on the meta device."""
    size, stride = _integers(size, "size"), _integers(stride, "stride")
    return torch.empty_strided(size, stride, dtype=_dtype(dtype), device="meta",
                               requires_grad=bool(requires_grad))


def _rebuild_sparse_tensor(layout, data):
    """A tensor of a sparse `layout` from its parts; RuntimeError where they do not fit together."""
    n = 2 if layout is torch.sparse_coo else 3
    if len(data) not in (n + 1, n + 2) or not all(isinstance(t, torch.Tensor) for t in data[:n]):
        raise RuntimeError(f"corrupt tensor: the parts of a {layout} tensor are missing")
    size = _integers(tuple(data[n]), "size")
    if layout is torch.sparse_coo:
        coalesced = data[3] if len(data) > 3 else None
        return torch.sparse_coo_tensor(*data[:2], size, check_invariants=True, is_coalesced=coalesced)
    return torch.sparse_compressed_tensor(*data[:3], size, layout=layout, check_invariants=True)


def _rebuild_qtensor(storage, storage_offset, size, stride, quantizer_params, requires_grad, backward_hooks):
    """A quantized tensor on a typed storage; RuntimeError where scheme, scale and zero point do not fit."""
    from rushlight.quantized.arrays import CODES, made
    codes = _window(_untyped(storage), CODES[storage.dtype], storage_offset, size, stride)
    scheme, *meaning = quantizer_params
    if scheme is torch.per_tensor_affine and [type(v) for v in meaning] == [float, int]:
        return made(codes, *meaning)
    if scheme in (torch.per_channel_affine, torch.per_channel_affine_float_qparams) and len(meaning) == 3:
        scales, zero_points, axis = meaning
        if all(isinstance(t, torch.Tensor) and t.dim() == 1 for t in (scales, zero_points)) and type(axis) is int and \
                0 <= axis < codes.dim() and len(scales) == len(zero_points) == codes.shape[axis]:
            return made(codes, scales, zero_points, axis, scheme)
    raise RuntimeError(f"corrupt tensor: {quantizer_params} do not describe codes of shape {tuple(codes.shape)}")


def _rebuild_parameter(data, requires_grad, backward_hooks):
    """A `Parameter` on `data`."""
    return torch.nn.Parameter(data, bool(requires_grad))


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    """A `Parameter` with its own attributes."""
    return _set_state(torch.nn.Parameter(data, bool(requires_grad)), state)


def _rebuild_from_type_v2(function, kind, args, state):
    """A tensor of a subclass, or with attributes of its own."""
    tensor = function(*args)
    if kind is not torch.Tensor and type(tensor) is not kind:
        tensor = tensor.as_subclass(kind)
    if hasattr(kind, "__setstate__") and kind.__setstate__ is not torch.Tensor.__setstate__:
        tensor.__setstate__(state)
        return tensor
    return _set_state(tensor, state)


def _set_state(obj, state):
    if isinstance(state, tuple):        # (attributes, slots)
        state, slots = state
        for name, value in (slots or {}).items():
            setattr(obj, name, value)
    for name, value in (state or {}).items():
        setattr(obj, name, value)
    return obj


def _untyped(storage):
    if isinstance(storage, StorageView):
        return storage.untyped
    return storage.untyped() if hasattr(storage, "untyped") else storage


def _dtype(dtype):
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


# -- taking apart -------------------------------------------------------------------------------


def _metadata(tensor):
    bits = {}
    if tensor.dtype.is_complex and tensor.is_conj():
        bits["conj"] = True
    if tensor.is_neg():
        bits["neg"] = True
    return (bits,) if bits else ()


def reduce_tensor(tensor, wrap=StorageView, typed=None):
    """``(function, arguments)`` that pickling a tensor stands for.

    `wrap` makes the storage argument from (untyped storage, dtype); `typed` says for which dtypes
    the storage carries the dtype (default: all). Raises RuntimeError for non-leaf tensors with
    gradient, NotImplementedError for layouts without strides.
    """
    if type(tensor) is not torch.Tensor and isinstance(tensor, torch.nn.Parameter):
        state = dict(tensor.__dict__)
        data = reduce_plain(tensor.detach(), wrap, typed)
        if state:
            return _rebuild_parameter_with_state, (Reduced(*data), tensor.requires_grad,
                                                   OrderedDict(), state)
        return _rebuild_parameter, (Reduced(*data), tensor.requires_grad, OrderedDict())
    state = getattr(tensor, "__dict__", None) or None
    plain = reduce_plain(tensor, wrap, typed)
    if type(tensor) is torch.Tensor and state is None:
        return plain
    return _rebuild_from_type_v2, (plain[0], type(tensor), plain[1], state)


class Reduced:
    """A value given by a call; pickles as that call."""

    __slots__ = ("args", "function")

    def __init__(self, function, args):
        self.function = function
        self.args = args

    def __reduce__(self):
        return self.function, self.args


def reduce_plain(tensor, wrap=StorageView, typed=None):
    """`reduce_tensor` for the data of a strided or meta tensor."""
    if tensor.is_sparse:
        size = torch.Size(tensor.shape)
        return _rebuild_sparse_tensor, (torch.sparse_coo, (
            tensor._indices(), tensor._values().detach(), size, tensor.is_coalesced()))
    if "sparse" in repr(tensor.layout):
        pattern = (tensor.crow_indices(), tensor.col_indices()) if tensor._a.by_rows else \
            (tensor.ccol_indices(), tensor.row_indices())
        return _rebuild_sparse_tensor, (tensor.layout, (*pattern, tensor._values().detach(), torch.Size(tensor.shape)))
    if tensor.layout != torch.strided:
        raise NotImplementedError(f"saving a tensor with layout {tensor.layout} is not implemented")
    if tensor.device.type == "meta":
        return _rebuild_meta_tensor_no_storage, (
            tensor.dtype, tuple(tensor.size()), tuple(tensor.stride()), tensor.requires_grad)
    if tensor.is_quantized:
        parts = tensor._a
        meaning = (parts.scheme, parts.scale, parts.zero_point)
        return _rebuild_qtensor, (
            wrap(tensor.untyped_storage(), tensor.dtype), tensor.storage_offset(), tuple(tensor.size()),
            tuple(tensor.stride()), meaning if parts.axis is None else (*meaning, parts.axis), False, OrderedDict())
    geometry = (tensor.storage_offset(), tuple(tensor.size()), tuple(tensor.stride()),
                tensor.requires_grad, OrderedDict())
    storage = tensor.untyped_storage()
    if typed is None or tensor.dtype in typed:
        return _rebuild_tensor_v2, (wrap(storage, tensor.dtype), *geometry, *_metadata(tensor))
    return _rebuild_tensor_v3, (storage, *geometry, tensor.dtype, *_metadata(tensor))
