"""DLPack capsules: memory of other libraries as arrays, and bfloat16 arrays for others.

NumPy reads capsules of its own accord, but keeps those of the older, unversioned kind read-only and knows no bfloat16.
The structures are those of DLPack 1.0 (https://dmlc.github.io/dlpack/latest/c_api.html).
"""

import ctypes
import weakref
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from ctypes import py_object as _object

import numpy as np

from .. import dtypes
from ..tensor.geometry import contiguous_strides

_CPU, _INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 1, 0, 1, 2, 4, 5, 6
_READ_ONLY = 1
_KINDS = {_INT: "int", _UINT: "uint", _FLOAT: "float", _COMPLEX: "complex"}


class _Tensor(Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class _Managed(Structure):
    _fields_ = [("tensor", _Tensor), ("context", c_void_p), ("deleter", c_void_p)]


class _Versioned(Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", c_void_p),
                ("flags", c_uint64), ("tensor", _Tensor)]


_FORMS = {"dltensor": _Managed, "dltensor_versioned": _Versioned}
_DELETER = ctypes.PYFUNCTYPE(None, c_void_p)
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = (_object, c_char_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = (_object, c_char_p), c_void_p
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (_object, c_char_p)
# A capsule keeps the address of its name only.
_USED = {"dltensor": b"used_dltensor", "dltensor_versioned": b"used_dltensor_versioned"}


def array_of(obj):
    """An array on the memory of a capsule, or of an object with ``__dlpack__``; a capsule is used up.

    RuntimeError for a used capsule, BufferError for memory that the CPU can't read, TypeError for other objects.
    """
    if type(obj).__name__ != "PyCapsule":
        if not hasattr(obj, "__dlpack__"):
            raise TypeError("from_dlpack takes a capsule or an object with a __dlpack__ method, not "
                            f"{type(obj).__name__}")
        try:
            obj = obj.__dlpack__(max_version=(1, 0))
        except TypeError:               # written before versions
            obj = obj.__dlpack__()
    for name, form in _FORMS.items():
        if _is_valid(obj, name.encode()):
            return _adopt(obj, name, form)
    raise RuntimeError("from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only "
                       "once, so you might have already constructed a tensor from it once.")


def _adopt(capsule, name, form):
    address = _pointer(capsule, name.encode())
    managed = form.from_address(address)
    t = managed.tensor
    if t.device_type != _CPU:
        raise BufferError(f"from_dlpack: memory of device type {t.device_type} can't be read on the CPU")
    if name == "dltensor_versioned" and managed.major > 1:
        raise BufferError(f"from_dlpack: version {managed.major}.{managed.minor} of DLPack is not known")
    dtype = _np_dtype(t)
    shape = tuple(t.shape[:t.ndim])
    strides = tuple(t.strides[:t.ndim]) if t.strides else contiguous_strides(shape)
    if any(s < 0 for s in strides):
        raise ValueError("from_dlpack: negative strides are not supported")
    extent = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides))
    block = (c_uint8 * (extent * dtype.itemsize)).from_address((t.data or 0) + t.byte_offset if extent else address)
    _rename(capsule, _USED[name])
    if managed.deleter:
        weakref.finalize(block, _DELETER(managed.deleter), address).atexit = False
    a = np.ndarray(shape, dtype, block, 0, tuple(s * dtype.itemsize for s in strides))
    if name == "dltensor_versioned" and managed.flags & _READ_ONLY:
        a.flags.writeable = False
    return a


def _np_dtype(t):
    if t.lanes == 1:
        if t.code == _BFLOAT and t.bits == 16:
            return dtypes.bfloat16.np
        if t.code == _BOOL and t.bits == 8:
            return np.dtype(bool)
        if t.code in _KINDS and t.bits in (8, 16, 32, 64, 128):
            return np.dtype(f"{_KINDS[t.code]}{t.bits}")
    raise BufferError(f"from_dlpack: elements of code {t.code} with {t.bits} bits and {t.lanes} lanes are not known")


def bfloat16_capsule(a):
    """A capsule of bfloat16 array `a`: that of its bits, with the type put right."""
    capsule = a.view(np.uint16).__dlpack__()
    tensor = _Managed.from_address(_pointer(capsule, b"dltensor")).tensor
    tensor.code, tensor.bits = _BFLOAT, 16
    return capsule
