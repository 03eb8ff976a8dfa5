"""Tensors from a shape: zeros, ones, empty, full, eye, their ``_like`` and ``new_`` forms."""

import numpy as np

from .. import devices, dtypes
from ..autograd.modes import state
from ..dtypes import of_number, scalar_name
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.geometry import (
    channels_last_strides,
    contiguous_strides,
    is_dense,
    permuted_strides,
    storage_extent,
)
from ..tensor.storage import MetaArray, make_storage, window
from ..tensor.tensor import Tensor, assemble, wrap
from .construct import as_dtype, check_options, finish
from .copy import fill_array
from .dispatch import primitive
from .registry import METHODS, function, public

_ndarray = np.ndarray
_U8 = np.dtype(np.uint8)


def shape_of(name, args):
    """The shape from ``f(2, 3)``, ``f((2, 3))`` or ``f(torch.Size)``; errors as PyTorch words them."""
    for s in args:
        if type(s) is not int or s < 0:
            break
    else:
        if args:
            return args
    if len(args) == 1:
        s = args[0]
        if type(s) is int:
            args = (s,)
        elif isinstance(s, (tuple, list)):
            args = s
        elif isinstance(s, Tensor) and s._a.ndim == 1:
            args = s.tolist()
    elif not args:
        raise TypeError(f"{name}() missing 1 required positional arguments: \"size\"")
    out = []
    for i, s in enumerate(args):
        if type(s) is not int:
            if isinstance(s, float) or not hasattr(s, "__index__"):
                if len(args) == 1:
                    raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, "
                                    f"not {type(s).__name__}")
                raise TypeError(f"{name}(): argument 'size' failed to unpack the object at pos {i + 1} "
                                f"with error \"type must be tuple of ints,but got {type(s).__name__}\"")
            s = s.__index__()
        if s < 0:
            if name in ("zeros", "ones", "full"):
                raise RuntimeError(f"{name}: Dimension size must be non-negative.")
            raise RuntimeError(f"Trying to create tensor with negative dimension {s}: {list(args)}")
        out.append(s)
    return tuple(out)


def strides_in(shape, memory_format):
    """Dense strides of a fresh tensor in the given memory format."""
    if memory_format is None or memory_format is devices.contiguous_format:
        return None
    if memory_format is devices.channels_last or memory_format is devices.channels_last_3d:
        rank = 4 if memory_format is devices.channels_last else 5
        if len(shape) != rank:
            raise RuntimeError(f"required rank {rank} tensor to use {memory_format.name} format")
        return channels_last_strides(shape)
    raise RuntimeError("unsupported memory format Preserve")


def blank(shape, d, device, strides=None):
    """An uninitialised array of element strides `strides` (None: row-major) on `device`."""
    if device is devices.META:
        item = d.np.itemsize
        return MetaArray(shape, d.np, None if strides is None else [s * item for s in strides])
    if strides is None:
        return alloc(shape, d.np)
    from .pointwise.core import strided_array
    return strided_array(shape, strides, d.np)


def filled(a, value):
    """Array `a` with every element set (meta arrays are left alone)."""
    if type(a) is _ndarray:
        fill_array(a, value)
    return a


def number_for(d, value, follow=False):
    """The Python number `value` as an element of dtype `d`; RuntimeError where it doesn't fit.

    follow: a number that a program computes anew in each call (`capture.numbers`) may become a 0-dim tensor.
    """
    kind = type(value)
    if (kind is float or kind is int) and d.category == dtypes.FLOAT and d.np.itemsize > 1 and \
            -65504 <= value <= 65504:
        return float(value)
    if isinstance(value, Tensor):
        value = value.item()
    elif isinstance(value, np.generic):
        value = value.item()
    if type(value) not in (bool, int, float, complex):
        if follow and hasattr(value, "expression"):
            found = _followed(d, value)
            if found is not None:
                return found
        value = complex(value) if isinstance(value, complex) else float(value) \
            if isinstance(value, float) else int(value)
    if d.category == dtypes.BOOL:
        return value != 0
    if d in dtypes.QUANTIZED:           # the number that a code is to stand for
        return float(value)
    if d.is_complex:
        return complex(value)
    if type(value) is complex:
        if value.imag != 0:
            raise RuntimeError(f"value cannot be converted to type {_CNAMES[d.name]} without overflow")
        value = value.real
    if d.category == dtypes.FLOAT:
        value = float(value)
        if d is dtypes.float64 or value - value != 0:
            return value
        limit = dtypes.finfo(d).max
        if not -limit <= value <= limit:
            raise RuntimeError(f"value cannot be converted to type {_CNAMES[d.name]} without overflow")
        return value
    if type(value) is float:
        if value - value != 0:
            raise RuntimeError(f"value cannot be converted to type {_CNAMES[d.name]} without overflow")
        value = int(value)
    info = dtypes.iinfo(d)
    low = info.min if d.is_signed else -info.max
    if not low <= value <= info.max:
        raise RuntimeError(f"value cannot be converted to type {_CNAMES[d.name]} without overflow")
    return value if value >= 0 or d.is_signed else value % (info.max + 1)


_FOLLOWED = (dtypes.float32, dtypes.float64, dtypes.int64, dtypes.int32, dtypes.int16, dtypes.int8, dtypes.uint8)


def _followed(d, value):
    """The 0-dim tensor for a number that a program computes anew; None where it has to be a constant."""
    if d not in _FOLLOWED or d.category != dtypes.FLOAT and isinstance(value, float):
        return None
    if d is not dtypes.float64:
        # (asked in each call: beyond the limits there is an error)
        info = dtypes.finfo(d) if d.category == dtypes.FLOAT else dtypes.iinfo(d)
        if not info.min <= value <= info.max:
            return None
    return function("mul")(full((), 1, dtype=d), value)


_CNAMES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
           "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t", "float16": "at::Half",
           "bfloat16": "at::BFloat16", "float32": "float", "float64": "double",
           "float8_e5m2": "c10::Float8_e5m2", "float8_e4m3fn": "c10::Float8_e4m3fn",
           "float8_e5m2fnuz": "c10::Float8_e5m2fnuz", "float8_e4m3fnuz": "c10::Float8_e4m3fnuz",
           "float8_e8m0fnu": "c10::Float8_e8m0fnu"}


def sparse_layout(layout):
    """Whether `layout` is one of the sparse ones."""
    return isinstance(layout, devices.layout) and layout is not devices.strided and "sparse" in repr(layout)


def empty_in(shape, dtype, layout, requires_grad):
    """A tensor of a sparse layout without elements."""
    from ..sparse import creation
    if layout is devices.sparse_coo:
        return creation.empty_coo(shape, dtype, requires_grad)
    return creation.empty_compressed(shape, layout, dtype, requires_grad)


# ---------------------------------------------------------------- by shape

def _by_shape(name, value, doc):
    def make(size, out, dtype, layout, device, pin_memory, requires_grad):
        shape = shape_of(name, size)
        if out is not None:
            return _into(out, shape, value, dtype)
        if pin_memory or layout is not None:
            if sparse_layout(layout):
                if value:
                    raise RuntimeError("full(...) is not implemented for sparse layout")
                return empty_in(shape, dtype, layout, requires_grad)
            check_options(name, layout, pin_memory)
        d = dtypes.default.float if dtype is None else as_dtype(dtype, name)
        if devices.usable(device) is devices.META:
            return finish(blank(shape, d, devices.META), requires_grad)
        a = alloc(shape, d.np)
        fill_array(a, value)
        return finish(a, requires_grad)

    def factory(*args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
                requires_grad=False):
        if dtype is None and args and size is None and out is None and device is None and layout is None and not \
                pin_memory and not requires_grad and devices.usable(None) is devices.CPU:
            n = 1
            for s in args:
                if type(s) is not int or s < 0:
                    break
                n *= s
            else:
                if n <= _FEW:
                    if not value:
                        a = np.zeros(args, dtypes.default.float.np)
                    else:
                        a = np.empty(args, dtypes.default.float.np)
                        a.fill(value)
                    t = wrap(a)
                    if watch.listener is not None:
                        watch.listener.constant(t)
                    return t
        if size is not None:
            args = (size,)
        return make(args, out, dtype, layout, device, pin_memory, requires_grad)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = doc
    return public(name, method=False)(factory)


_FEW = 1024                 # elements for which NumPy makes and fills an array in one call


def _into(out, shape, value, dtype):
    """The ``out=`` form of the fills."""
    if dtype is not None and as_dtype(dtype, "out") is not out.dtype:
        raise RuntimeError(f"dtype {scalar_name(dtype)} does not match dtype of out parameter "
                           f"({scalar_name(out.dtype)})")
    if out._a.shape != shape:
        out.resize_(shape)
    return out if value is None else out.fill_(value)


zeros = _by_shape("zeros", 0, "A tensor of the given shape filled with 0.")
ones = _by_shape("ones", 1, "A tensor of the given shape filled with 1.")


@public(method=False)
def empty(*args, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
          pin_memory=False, memory_format=None):
    """An uninitialised tensor of the given shape."""
    shape = shape_of("empty", args if size is None else (size,))
    if out is not None:
        return _into(out, shape, None, dtype)
    if pin_memory or layout is not None:
        if sparse_layout(layout):
            return empty_in(shape, dtype, layout, requires_grad)
        check_options("empty", layout, pin_memory)
    d = dtypes.default.float if dtype is None else as_dtype(dtype, "empty")
    return finish(blank(shape, d, devices.usable(device), strides_in(shape, memory_format)),
                  requires_grad)


@public(method=False)
def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False,
         pin_memory=False, names=None):
    """A tensor of the given shape filled with a number; the dtype is the number's unless given."""
    if not isinstance(size, (tuple, list)):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not "
                        f"{type(size).__name__}")
    shape = shape_of("full", (size,))
    if isinstance(fill_value, Tensor):
        if fill_value._a.ndim:
            raise TypeError("full(): argument 'fill_value' (position 2) must be Number, not Tensor")
        d = fill_value.dtype
        fill_value = fill_value.item()
    else:
        d = of_number(fill_value)
    if out is not None:
        return _into(out, shape, fill_value, dtype)
    if pin_memory or layout is not None:
        check_options("full", layout, pin_memory)
    if dtype is not None:
        d = as_dtype(dtype, "full")
    value = number_for(d, fill_value, True)
    if watch.listener is not None and isinstance(value, Tensor):
        value = value.expand(shape).clone().to(device=device)
        return value.requires_grad_() if requires_grad else value
    if device is None and devices.usable(None) is devices.CPU:
        a = alloc(shape, d.np)
        fill_array(a, value)
        return finish(a, requires_grad)
    return finish(filled(blank(shape, d, devices.usable(device)), value), requires_grad)


@public(method=False)
def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A 0-dimensional tensor of the default dtype (unless given) with the value `s`."""
    return full((), s, dtype=dtype or dtypes.default.float, device=device, requires_grad=requires_grad)


@public(method=False)
def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False,
        pin_memory=False):
    """The n-by-m matrix with ones on the diagonal."""
    m = n if m is None else m
    for name, v in (("n", n), ("m", m)):
        if v < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {v}")
    if out is not None:
        _into(out, (n, m), 0, dtype)
        if out._a.size and not out.is_meta:
            fill_array(np.lib.stride_tricks.as_strided(out._a, (min(n, m),), (sum(out._a.strides),)), 1)
        return out
    check_options("eye", layout, pin_memory)
    d = as_dtype(dtype, "eye") or dtypes.default.float
    a = filled(blank((n, m), d, devices.usable(device)), 0)
    if type(a) is _ndarray and a.size:
        fill_array(a.reshape(-1)[:min(n, m) * m:m + 1], 1)
    return finish(a, requires_grad)


# ---------------------------------------------------------------- by strides

def _strided(shape, strides, d, device):
    extent = storage_extent(shape, strides)
    if device is devices.META:
        item = d.np.itemsize
        return wrap(MetaArray(shape, d.np, [s * item for s in strides]))
    storage = make_storage(alloc((extent * d.np.itemsize,), _U8))
    t = assemble(window(storage, d.np, shape, strides, 0), d, storage, 0)
    if watch.listener is not None:
        watch.listener.constant(t)
    return t


@public(method=False)
def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False,
                  pin_memory=False):
    """An uninitialised tensor with the given sizes and strides (in elements)."""
    size, stride = shape_of("empty_strided", (size,)), tuple(s.__index__() for s in stride)
    if len(size) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(size)}) must match dimensionality of "
                           f"strides ({len(stride)})")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)} and "
                           f"strides={list(stride)}")
    check_options("empty_strided", layout, pin_memory)
    d = as_dtype(dtype, "empty_strided") or dtypes.default.float
    t = _strided(size, stride, d, devices.usable(device))
    return t.requires_grad_() if requires_grad else t


@public(method=False)
def empty_permuted(size, physical_layout, *, dtype=None, layout=None, device=None,
                   requires_grad=False, pin_memory=False):
    """An uninitialised dense tensor whose dimensions lie in memory in the given order."""
    size = shape_of("empty_permuted", (size,))
    order = tuple(physical_layout)
    if len(order) != len(size):
        raise RuntimeError("Number of dimensions in size does not match the length of the "
                           f"physical_layout; i.e. len(size) = {len(size)} is not equal to "
                           f"len(physical_layout) = {len(order)}")
    for i, p in enumerate(order):
        if not 0 <= p < len(size):
            raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(size) - 1}, "
                               f"but got {p} at index {i}).  NB: negative dims not currently supported; "
                               "file an issue if you want it.")
        if p in order[:i]:
            raise RuntimeError(f"Duplicate dim not allowed; dim {p} appears multiple times")
    inner = contiguous_strides([size[p] for p in order])
    strides = [0] * len(size)
    for p, s in zip(order, inner):
        strides[p] = s
    return empty_strided(size, strides, dtype=dtype, layout=layout, device=device,
                         requires_grad=requires_grad, pin_memory=pin_memory)


# ---------------------------------------------------------------- like another tensor

def like(input, d, device, memory_format):
    """An uninitialised array with the shape of `input`, laid out as it (or as asked)."""
    a = input._a
    shape = a.shape
    if memory_format is None or memory_format is devices.preserve_format:
        if device is devices.CPU and type(a) is _ndarray and a.flags.c_contiguous:
            return alloc(shape, d.np)
        item = a.itemsize
        strides = tuple([s // item for s in a.strides])
        if not is_dense(shape, strides):
            strides = permuted_strides(shape, strides)
    else:
        strides = strides_in(shape, memory_format)
    return blank(shape, d, device, strides)


def _by_value(value):
    return empty if value is None else ones if value else zeros


def _like(name, value, doc):
    def factory(input, *, dtype=None, layout=None, device=None, requires_grad=False,
                memory_format=None, pin_memory=False):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not "
                            f"{type(input).__name__}")
        a = input._a
        if layout is not None or pin_memory or hasattr(type(a), "like"):
            if hasattr(type(a), "like") and layout is not devices.strided:
                return a.like(input, name, value, dtype, layout, requires_grad)
            check_options(name, layout, pin_memory)
            if hasattr(type(a), "like"):
                return _by_value(value)(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)
        d = input.dtype if dtype is None else as_dtype(dtype, name)
        dev = input.device if device is None else devices.usable(device)
        if type(a) is _ndarray and a.flags.c_contiguous and dev is devices.CPU and (
                memory_format is None):
            a = alloc(a.shape, d.np)
        else:
            a = like(input, d, dev, memory_format)
        if value is not None:
            filled(a, value)
        return finish(a, requires_grad)
    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = doc
    return public(name, method=False)(factory)


zeros_like = _like("zeros_like", 0, "Zeros in the shape, dtype and layout of `input`.")
ones_like = _like("ones_like", 1, "Ones in the shape, dtype and layout of `input`.")
empty_like = _like("empty_like", None, "Uninitialised, in the shape, dtype and layout of `input`.")


@public(method=False)
def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False,
              memory_format=None, pin_memory=False):
    """`fill_value` in the shape, dtype and layout of `input`."""
    t = empty_like(input, dtype=dtype, layout=layout, device=device, memory_format=memory_format,
                   pin_memory=pin_memory)
    if watch.listener is not None and hasattr(fill_value, "expression"):
        fill_value = number_for(t.dtype, fill_value, True)
        if isinstance(fill_value, Tensor):
            t = function("mul")(ones_like(t), fill_value)
            return t.requires_grad_() if requires_grad else t
    if hasattr(type(t._a), "like"):
        t._a.fill_all(t, number_for(t.dtype, fill_value))
        return t
    filled(t._a, number_for(t.dtype, fill_value))
    return t.requires_grad_() if requires_grad else t


def _new(name, base):
    few = {"new_zeros": np.zeros, "new_ones": np.ones, "new_empty": np.empty}[name]

    def method(input, *args, dtype=None, device=None, requires_grad=False, layout=None,
               pin_memory=False, size=None):
        if args and dtype is None and device is None and size is None and layout is None and not requires_grad and \
                not pin_memory and type(input._a) is _ndarray and not state.special:
            n = 1
            for s in args:
                if type(s) is not int or s < 0:
                    break
                n *= s
            else:
                if n <= _FEW:
                    return wrap(few(args, input._a.dtype))
        if size is not None:
            args = (size,)
        if layout is None and hasattr(type(input._a), "like"):
            layout = input.layout
        t = base(*args, dtype=input.dtype if dtype is None else dtype,
                 device=input.device if device is None else device,
                 requires_grad=requires_grad, layout=layout, pin_memory=pin_memory)
        return t if type(input._a) is _ndarray else _batched(t, input)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{base.__doc__} Dtype and device are this tensor's unless given."
    METHODS[name] = method


def _batched(t, input):
    if not state.levels:
        return t
    from ..func.wrapped import batched_like
    return batched_like(t, input)


_new("new_zeros", zeros)
_new("new_ones", ones)
_new("new_empty", empty)


@public(namespaces=())
def new_full(input, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None,
             pin_memory=False):
    """A tensor of the given shape filled with a number, of this tensor's dtype unless given."""
    t = full(size, fill_value, dtype=input.dtype if dtype is None else dtype,
             device=input.device if device is None else device, requires_grad=requires_grad,
             layout=layout, pin_memory=pin_memory)
    return t if type(input._a) is _ndarray else _batched(t, input)


@public(namespaces=())
def new_empty_strided(input, size, stride, dtype=None, layout=None, device=None, pin_memory=False,
                      requires_grad=False):
    """An uninitialised tensor with the given strides, of this tensor's dtype unless given."""
    t = empty_strided(size, stride, dtype=input.dtype if dtype is None else dtype,
                      device=input.device if device is None else device,
                      requires_grad=requires_grad, layout=layout, pin_memory=pin_memory)
    return t if type(input._a) is _ndarray else _batched(t, input)


# ---------------------------------------------------------------- complex numbers from parts

def _both_real(name, a, b):
    from .pointwise.forms import need_tensor
    first, second = ("real", "imag") if name == "complex" else ("abs", "angle")
    need_tensor(name, a, 1, first)
    need_tensor(name, b, 2, second)
    ok = (dtypes.float16, dtypes.float32, dtypes.float64)
    if a.dtype not in ok or b.dtype not in ok:
        raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                           f"{scalar_name(a.dtype)} and {scalar_name(b.dtype)}")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"Expected object of scalar type {scalar_name(a.dtype)} but got scalar type "
                           f"{scalar_name(b.dtype)} for second argument")


@primitive("complex(Tensor real, Tensor imag) -> Tensor",
           vjp={"real": lambda g: g.real, "imag": lambda g: g.imag})
def _complex(real, imag):
    from .pointwise.core import result_array
    out = result_array([real, imag], dtypes.from_np(real.dtype).to_complex().np)
    if out.dtype.names:
        out["re"], out["im"] = real, imag
    else:
        out.real, out.imag = real, imag
    return out


@public("complex", method=False, out=True)
def complex_(real, imag):
    """``real + 1j * imag``."""
    _both_real("complex", real, imag)
    return _complex(real, imag)


@public(method=False, out=True)
def polar(abs, angle):
    """``abs * cos(angle) + 1j * abs * sin(angle)``."""
    _both_real("polar", abs, angle)
    return _complex(abs * angle.cos(), abs * angle.sin())

