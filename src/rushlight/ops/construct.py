"""Tensors from data: nested lists, numbers, arrays, buffers, DLPack, and the legacy constructors."""

import warnings
from itertools import chain

import numpy as np

from .. import devices, dtypes
from ..dtypes import dtype as dtype_class
from ..dtypes import from_np, promote_types, scalar_name
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.geometry import Size
from ..tensor.storage import BorrowedStorage, MetaArray, TypedStorage, UntypedStorage, _span, make_storage
from ..tensor.tensor import Tensor, assemble, resolve_bits, wrap
from .copy import copy_array
from .registry import FUNCTIONS, public

_ndarray = np.ndarray
_PYTHON = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}
_NUMBERS = frozenset((bool, int, float, complex))


# ---------------------------------------------------------------- shared by the factories

def as_dtype(d, name):
    """`d` as a dtype: None stays None, Python's number types are accepted as PyTorch accepts them."""
    if d is None or type(d) is dtype_class:
        return d
    try:
        return _PYTHON[d]
    except (KeyError, TypeError):
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not "
                        f"{type(d).__name__}") from None


def check_options(name, layout, pin_memory):
    """Refuse layouts and memory kinds that do not exist here."""
    if pin_memory:
        raise RuntimeError("pin_memory=True requires a CUDA or other accelerator backend; no pinned "
                           "memory allocator is available on this system.")
    if layout is not None and layout is not devices.strided:
        if not isinstance(layout, devices.layout):
            raise TypeError(f"{name}(): argument 'layout' must be torch.layout, not "
                            f"{type(layout).__name__}")
        raise NotImplementedError(f"{name}(): the layout {layout!r} is not implemented")


def finish(a, requires_grad):
    """A tensor that owns the array `a`, made without tensors; a leaf that wants gradients if asked."""
    t = wrap(a)
    if watch.listener is not None:
        watch.listener.constant(t)
    if requires_grad:
        if t.dtype.category < 2:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        t._requires_grad = True
    return t


def to_meta(a):
    """The geometry of array `a` without its data."""
    return MetaArray(a.shape, a.dtype, a.strides)


# ---------------------------------------------------------------- nested sequences

def _is_sequence(x):
    if isinstance(x, (list, tuple)):
        return True
    if isinstance(x, (str, bytes, dict, set, frozenset, Tensor)) or type(x) in _NUMBERS:
        return False
    if isinstance(x, _ndarray):
        return x.ndim > 0
    return hasattr(x, "__getitem__") and hasattr(x, "__len__") and not isinstance(x, np.generic)


def _shape_of(data):
    shape = []
    while _is_sequence(data):
        n = len(data)
        shape.append(n)
        if n == 0:
            break
        if len(shape) > 64:
            raise ValueError("too many dimensions 'list'")
        data = data[0]
    return shape


def _flatten(data, shape):
    """All elements in order; errors are raised where the nesting is not rectangular."""
    level = data
    for d in range(1, len(shape)):
        n = shape[d]
        for seq in level:
            if not (type(seq) is list or _is_sequence(seq)):
                raise TypeError("not a sequence")
            if len(seq) != n:
                raise ValueError(f"expected sequence of length {n} at dim {d} (got {len(seq)})")
        level = list(chain.from_iterable(level))
    return level


def _dtype_of_type(t, sample):
    """The dtype that one element of Python type `t` asks for."""
    if t is float:
        return dtypes.default.float
    if t is int:
        return dtypes.int64
    if t is bool:
        return dtypes.bool_
    if t is complex:
        return dtypes.default.complex
    if isinstance(sample, Tensor):
        return sample.dtype
    if isinstance(sample, (np.generic, _ndarray)):
        return from_np(sample.dtype)
    if isinstance(sample, bool):
        return dtypes.bool_
    if isinstance(sample, float):
        return dtypes.default.float
    if isinstance(sample, complex):
        return dtypes.default.complex
    if isinstance(sample, int) or hasattr(sample, "__index__"):
        return dtypes.int64
    if isinstance(sample, str):
        raise ValueError(f"too many dimensions '{t.__name__}'")
    raise RuntimeError(f"Could not infer dtype of {t.__name__}")


def _infer(flat, types):
    if types <= _NUMBERS:
        if complex in types:
            return dtypes.default.complex
        if float in types:
            return dtypes.default.float
        return dtypes.int64 if int in types else dtypes.bool_
    out = None
    if types.isdisjoint((Tensor, _ndarray)):
        samples = {}
        for x in flat:
            samples.setdefault(type(x), x)
        samples = samples.values()
    else:
        samples = flat
    for x in samples:
        d = _dtype_of_type(type(x), x)
        out = d if out is None or out is d else promote_types(out, d)
    return out


def _plain(x, real):
    """An odd element (array scalar, 0-dim tensor, index-like) as a Python number."""
    if type(x) in _NUMBERS:
        return x
    if isinstance(x, Tensor):
        if x._a.size != 1:
            if real:
                raise ValueError("only one element tensors can be converted to Python scalars")
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return x.item()
    if isinstance(x, (np.generic, _ndarray)):
        v = x.item()
        return v if type(v) in _NUMBERS else float(v)
    if isinstance(x, (bool, int, float, complex)):
        return x
    if _is_sequence(x):
        name = type(x).__name__
        raise TypeError(f"must be real number, not {name}" if real else
                        f"'{name}' object cannot be interpreted as an integer")
    if hasattr(x, "__index__"):
        return x.__index__()
    if isinstance(x, str):
        raise ValueError(f"too many dimensions '{type(x).__name__}'")
    if hasattr(x, "__float__"):
        return float(x)
    raise TypeError(f"must be real number, not {type(x).__name__}" if real else
                    f"'{type(x).__name__}' object cannot be interpreted as an integer")


def from_numbers(flat, types, d):
    """A flat array of dtype `d` from Python numbers, with PyTorch's range checks."""
    if not types <= _NUMBERS:
        real = d.category >= dtypes.FLOAT
        flat = [_plain(x, real) for x in flat]
        types = set(map(type, flat))
        if not types <= _NUMBERS:
            flat = [complex(x) if isinstance(x, complex) else float(x) if isinstance(x, float)
                    else int(x) for x in flat]
            types = set(map(type, flat))
    if d.is_complex:
        if d is dtypes.complex32:
            from ..tensor.halfcomplex import narrowed
            return narrowed(np.array(flat, np.complex64))
        return np.array(flat, d.np)
    if complex in types:
        raise TypeError("must be real number, not complex")
    if d.is_floating_point:
        try:
            a = np.array(flat, np.float64)
        except OverflowError:
            raise OverflowError("int too large to convert to float") from None
        if d is dtypes.float64:
            return a
        with np.errstate(all="ignore"):
            if d.itemsize <= 2 and d is not dtypes.float16:
                a = a.astype(np.float32)
            return a.astype(d.np)
    if d.category == dtypes.BOOL:
        return np.array([bool(x) for x in flat], np.bool_)
    if float in types:
        for x in flat:
            if x != x or x in (float("inf"), float("-inf")):
                raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
        flat = [int(x) for x in flat]
    if d is dtypes.int64:
        try:
            return np.array(flat, np.int64)
        except OverflowError:
            raise ValueError("Overflow when unpacking long long") from None
    return integers(flat, d)


def integers(flat, d):
    """Python ints as `d`; for unsigned types a negative value wraps if its magnitude fits."""
    if flat:
        info = dtypes.iinfo(d)
        low, high = (info.min, info.max) if d.is_signed else (-info.max, info.max)
        top, bottom = max(flat), min(flat)
        if top > high or bottom < low:
            limit = 2 ** 64 if d is dtypes.uint64 else 2 ** 63
            if top >= limit or bottom < -2 ** 63:
                raise ValueError("Overflow when unpacking long long")
            raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
        if bottom < 0 and not d.is_signed:
            flat = [x % (info.max + 1) for x in flat]
    return np.array(flat, d.np)


def array_of(data, dtype=None, sample_dtype=None):
    """A fresh (or, for arrays, possibly shared) array with the contents of `data`.

    dtype None: inferred as ``torch.tensor`` does; sample_dtype: the dtype of an empty list.
    """
    t = type(data)
    if t is float or t is int or t is bool or t is complex:
        d = dtype or _dtype_of_type(t, data)
        return from_numbers([data], {t}, d).reshape(())
    if isinstance(data, Tensor):
        a = resolve_bits(data)
        if type(a) is not _ndarray:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return a if dtype is None or dtype is data.dtype else _cast(a, dtype)
    if isinstance(data, (_ndarray, np.generic)):
        a = np.asarray(data)
        from_np(a.dtype)
        return a if dtype is None else _cast(a, dtype)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{t.__name__}'")
    if not _is_sequence(data):
        d = dtype or _dtype_of_type(t, data)
        return from_numbers([data], {t}, d).reshape(())
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], _ndarray) and data[0].ndim:
        try:
            return array_of(np.array(data), dtype)
        except ValueError:
            pass
    shape = _shape_of(data)
    if 0 in shape:
        _flatten(data, shape)
        return np.empty(shape, (dtype or sample_dtype or dtypes.default.float).np)
    flat = _flatten(data, shape)
    types = set(map(type, flat))
    d = dtype or _infer(flat, types)
    return from_numbers(flat, types, d).reshape(shape)


def _cast(a, d):
    if a.dtype == d.np:
        return a
    out = alloc(a.shape, d.np)
    copy_array(out, a)
    return out


@public(method=False)
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new leaf tensor with a copy of `data` (number, nested sequence, array or tensor).

    Without `dtype`, Python floats give the default dtype, ints int64, bools bool, complex the default
    complex dtype; arrays keep theirs.
    """
    if type(data) is list and data and dtype is None and device is None and not requires_grad:
        # The most common call, without the general machinery.
        types = set(map(type, data))
        if len(types) == 1 and devices.usable(None) is devices.CPU:
            if float in types:
                return finish(np.array(data, dtypes.default.float.np), False)
            if int in types:
                try:
                    return finish(np.array(data, np.int64), False)
                except OverflowError:
                    raise ValueError("Overflow when unpacking long long") from None
    dtype = as_dtype(dtype, "tensor")
    if pin_memory:
        check_options("tensor", None, pin_memory)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() "
            "or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).", UserWarning, stacklevel=2)
        dev = data.device if device is None else devices.usable(device)
        if dev is devices.META:
            return finish(MetaArray(data._a.shape, (dtype or data.dtype).np), requires_grad)
    elif hasattr(type(data), "captured"):
        t = data.captured(dtype)
        return t.to(devices.usable(device), dtype or t.dtype, copy=True).requires_grad_(requires_grad)
    else:
        dev = devices.usable(device)
    a = array_of(data, dtype)
    if dev is devices.META:
        return finish(to_meta(a), requires_grad)
    if isinstance(data, (Tensor, _ndarray, np.generic)):
        src = resolve_bits(data) if isinstance(data, Tensor) else data
        if not isinstance(src, _ndarray) or np.may_share_memory(a, src):
            b = alloc(a.shape, a.dtype)
            b[...] = a
            a = b
    return finish(a, requires_grad)


@public(method=False)
def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor, sharing memory (and history) where dtype and device allow."""
    dtype = as_dtype(dtype, "as_tensor")
    if isinstance(data, Tensor):
        if dtype is None and device is None:
            return data
        return data.to(device=data.device if device is None else device,
                       dtype=data.dtype if dtype is None else dtype)
    dev = devices.usable(device)
    if isinstance(data, _ndarray):
        t = from_numpy(data)
        if (dtype is None or dtype is t.dtype) and dev is devices.CPU:
            return t
        return t.to(device=dev, dtype=dtype or t.dtype)
    return tensor(data, dtype=dtype, device=dev)


@public(method=False)
def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """`obj` (tensor, array, DLPack or buffer provider, number, nested sequence) as a tensor.

    copy: True always copies, False shares memory or raises ValueError, None shares if it can.
    """
    dtype = as_dtype(dtype, "asarray")
    source = None
    if isinstance(obj, Tensor):
        source = obj
    elif isinstance(obj, _ndarray):
        source = from_numpy(obj)
    elif isinstance(obj, np.generic):
        source = wrap(np.array(obj)) if copy is not False else None
    elif hasattr(obj, "__dlpack__"):
        source = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)) or _has_buffer(obj):
        source = frombuffer(obj, dtype=dtype or dtypes.default.float)
    if source is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    dev = source.device if device is None else devices.usable(device)
    moved = dev is not source.device or (dtype is not None and dtype is not source.dtype)
    if copy is False and moved:
        if dev is not source.device:
            raise ValueError(f"can't alias tensor from device '{source.device}' to '{dev}'.")
        raise ValueError(f"can't alias tensor with dtype '{scalar_name(source.dtype)}' into dtype "
                         f"'{scalar_name(dtype)}'.")
    if copy or moved:
        t = source.to(device=dev, dtype=dtype or source.dtype, copy=True)
    else:
        t = source
    if not requires_grad:
        return t.detach() if t.requires_grad and t is not obj else t
    return (t.detach() if not t.is_leaf else t).requires_grad_()


def _has_buffer(obj):
    if isinstance(obj, (list, tuple)) or type(obj) in _NUMBERS:
        return False
    try:
        memoryview(obj).release()
    except TypeError:
        return False
    return True


# ---------------------------------------------------------------- shared memory

_warned = set()


def _warn_read_only(kind, what, copy):
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(
            f"The given {what} is not writable, and PyTorch does not support non-writable tensors. This "
            "means writing to this tensor will result in undefined behavior. You may want to copy the "
            f"{copy} to protect its data or make it writable before converting it to a tensor. This "
            "type of warning will be suppressed for the rest of this program.", UserWarning,
            stacklevel=3)


@public(method=False)
def from_numpy(ndarray):
    """A tensor on the memory of the array: changes of one are seen in the other."""
    a = ndarray
    if not isinstance(a, _ndarray):
        raise TypeError(f"expected np.ndarray (got {type(a).__name__})")
    if hasattr(type(a), "captured"):
        return a.captured()
    d = a.dtype
    if not d.isnative:
        raise ValueError("given numpy array has byte order different from the native byte order. "
                         "Conversion between byte orders is currently not supported.")
    from_np(d)
    item = d.itemsize
    for s in a.strides:
        if s < 0:
            raise ValueError(
                "At least one stride in the given numpy array is negative, and tensors with negative "
                "strides are not currently supported. (You can probably work around this by making a "
                "copy of your array  with array.copy().) ")
        if s % item:
            raise ValueError("given numpy array strides not a multiple of the element byte size. Copy "
                             "the numpy array to reallocate the memory.")
    if not a.flags.writeable:
        _warn_read_only("numpy", "NumPy array", "array")
    return share(a.view(_ndarray))


def share(a):
    """A tensor on the memory of array `a`, which may have gaps."""
    t = wrap(a) if a.flags.c_contiguous else assemble(a, from_np(a.dtype), make_storage(_span(a)), 0)
    t._storage.__class__ = BorrowedStorage
    return t


@public(method=False)
def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-D tensor on the memory of an object with the buffer protocol; offset is in bytes."""
    dtype = as_dtype(dtype, "frombuffer")
    try:
        m = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    item, n = dtype.itemsize, m.nbytes
    if n == 0 or count == 0:
        raise ValueError(f"both buffer length ({n}) and count ({count}) must not be 0")
    if not 0 <= offset < n:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer "
                         f"length ({n} bytes) minus 1")
    if count < 0:
        if (n - offset) % item:
            raise ValueError(f"buffer length ({n - offset} bytes) after offset ({offset} bytes) must "
                             f"be a multiple of element size ({item})")
        count = (n - offset) // item
    elif offset + count * item > n:
        raise ValueError(f"requested buffer length ({count} * {item} bytes) after offset ({offset} "
                         f"bytes) must not be greater than actual buffer length ({n} bytes)")
    if m.readonly:
        _warn_read_only("buffer", "buffer", "buffer")
    t = wrap(np.frombuffer(m.cast("B") if m.c_contiguous else m, dtype.np, count, offset))
    return t.requires_grad_() if requires_grad else t


@public(method=False)
def to_dlpack(tensor):
    """A DLPack capsule that shares the memory of `tensor`; each capsule can be used once."""
    return tensor.__dlpack__()


@public(method=False)
def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor on the memory of an object that offers ``__dlpack__``, or of a capsule, which is then used up."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.clone() if copy else ext_tensor.detach()
    if type(ext_tensor) is _ndarray:
        a = ext_tensor
    else:
        from .dlpack import array_of
        a = array_of(ext_tensor)
    t = share(np.array(a) if copy else a)
    return t if device is None else t.to(device)


@public(method=True, namespaces=())
def new_tensor(input, data, *, dtype=None, device=None, requires_grad=False, layout=None,
               pin_memory=False):
    """A new leaf with a copy of `data`, of this tensor's dtype and device unless given."""
    return tensor(data, dtype=dtype or input.dtype, device=input.device if device is None else device,
                  requires_grad=requires_grad)


# ---------------------------------------------------------------- legacy constructors

def legacy_tensor(*args, dtype=None, device=None, name="new"):
    """``torch.Tensor(2, 3)``, ``torch.Tensor([1, 2])``, ``torch.Tensor(other)``.

    Sizes give uninitialised memory; sequences and arrays are converted to the default dtype; a tensor
    or storage is shared.
    """
    d = dtype or dtypes.default.float
    if device is not None and devices.device(device).type != "cpu":
        raise RuntimeError("legacy constructor expects device type: cpu but device type: "
                           f"{devices.device(device).type} was passed")
    if not args:
        return wrap(np.empty(0, d.np))
    first = args[0]
    if len(args) == 1:
        if isinstance(first, Tensor):
            if dtype is not None and first.dtype is not dtype:
                raise TypeError(f"expected {scalar_name(dtype)} (got {scalar_name(first.dtype)})")
            return first.detach()
        if isinstance(first, (UntypedStorage, TypedStorage)):
            return wrap(np.empty(0, d.np)).set_(first)
        if isinstance(first, Size):
            return FUNCTIONS["torch"]["empty"](first, dtype=d)
        if isinstance(first, (float, complex)) or first is None:
            raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
        if not isinstance(first, (int, np.integer)) or isinstance(first, bool):
            if not _is_sequence(first) and not isinstance(first, (_ndarray, str, bytes)):
                raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
            if hasattr(type(first), "captured"):
                return first.captured().to(d, copy=True)
            a = array_of(first, d)
            return wrap(a.copy() if a is first else a)
    shape = tuple(s.__index__() for s in args)
    for s in shape:
        if s < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {s}: {list(shape)}")
    return FUNCTIONS["torch"]["empty"](shape, dtype=d)


@public(namespaces=())
def new(input, *args, device=None):
    """The legacy constructor with this tensor's dtype."""
    return legacy_tensor(*args, dtype=input.dtype, device=device)


class _LegacyType(type):
    """Metaclass of ``torch.FloatTensor`` and its kin: constructors that isinstance understands."""

    def __call__(cls, *args, device=None):
        return legacy_tensor(*args, dtype=cls.dtype, device=device)

    def __instancecheck__(cls, x):
        return isinstance(x, Tensor) and x.dtype is cls.dtype and x.device is devices.CPU

    def __repr__(cls):
        return f"<class 'torch.{cls.__name__}'>"


for _name in ("float64", "float32", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64",
              "bool"):
    _d = next(d for d in dtypes.ALL if d.name == _name)
    _n = scalar_name(_d) + "Tensor"
    FUNCTIONS.setdefault("torch", {})[_n] = _LegacyType(_n, (), {"dtype": _d, "__module__": "torch"})
