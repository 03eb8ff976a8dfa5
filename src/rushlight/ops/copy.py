"""Copying between arrays: dtype conversion, any strides, pending conjugation resolved."""

import numpy as np

from ..dtypes import BY_NP, from_np
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.tensor import resolve_bits

_SMALL = 1 << 13             # bytes up to which NumPy's copy starts sooner than ours
_copies = {}


def copy_array(dst, src):
    """``dst[...] = src`` with C-like conversion; `src` broadcasts. `dst` must not overlap `src`."""
    if dst.dtype == src.dtype:
        if dst.nbytes > _SMALL or watch.observer is not None:
            copy = _copies.get(dst.itemsize)
            if copy is None:
                copy = _copies[dst.itemsize] = _same(dst.itemsize)
            watch.launch(copy, dst, src)
        else:
            dst[...] = src
        return
    kernel = _kernels.get((src.dtype, dst.dtype))
    if kernel is not None:
        watch.launch(kernel, dst, src)
        return
    if dst.dtype.names or src.dtype.names:
        from ..tensor.halfcomplex import store
        store(dst, src)
        return
    if dst.dtype.kind == "c" or src.dtype.kind == "c":
        if src.dtype.kind == "c" and dst.dtype.kind != "c":
            src = src.real if dst.dtype.kind != "b" else src != 0
        with np.errstate(all="ignore"):
            np.copyto(dst, src, casting="unsafe")
        return
    from ..compiler import available
    if not available() or _is_float8(dst) or _is_float8(src):
        with np.errstate(all="ignore"):
            np.copyto(dst, src, casting="unsafe")
        return
    watch.launch(_kernel(src.dtype, dst.dtype), dst, src)


def _same(size):
    """The copy between arrays of one dtype, its elements of `size` bytes."""
    from ..compiler import available
    if not available() or size not in (1, 2, 4, 8, 16):
        return np.copyto
    from ..compiler.templates.copying import kernel
    return kernel(size)


def fresh(a):
    """A copy of `a` in C order."""
    out = empty(a.shape, a.dtype)
    copy_array(out, a)
    return out


_fills = []
_FILL_FROM = 1 << 14


def fill_array(a, value):
    """Set every element of `a` to the Python number `value`."""
    if a.dtype.names:
        from ..tensor.halfcomplex import fill
        fill(a, value)
        return
    if a.nbytes < _FILL_FROM and watch.observer is None or a.itemsize > 8:
        a.fill(value)
        return
    if not a.flags.c_contiguous:
        copy_array(a, np.full((), value, a.dtype))
        return
    if not _fills:
        from ..compiler import available
        if not available():
            a.fill(value)
            return
        from ..compiler.templates.runs import kernel
        _fills.append(kernel("fill"))
    word = np.full(8 // a.itemsize, value, a.dtype).view(np.int64)
    watch.launch(_fills[0], a, int(word[0]), a.nbytes)


def _is_float8(a):
    return a.dtype.itemsize == 1 and a.dtype.type.__module__ == "ml_dtypes"


_kernels = {}


def _kernel(src, dst):
    k = _kernels.get((src, dst))
    if k is None:
        from ..compiler import pointwise_kernel
        from ..compiler import scalar as s
        from ..compiler.expr import input_
        a, b = (BY_NP.get(src) or from_np(src)), (BY_NP.get(dst) or from_np(dst))
        kind = "f" if a.category == 2 else "b" if a.category == 0 else "i"
        compute = a.name
        if a.is_low_precision:
            compute = "float32"
        if b.category == 0 and a.category != 0:
            expr = s.ne(input_(0, kind), 0)
        else:
            expr = input_(0, kind)
        k = _kernels[src, dst] = pointwise_kernel((expr,), [a.name], [], [b.name], compute).call
    return k


def write(t, source):
    """Copy the contents of tensor `source` (broadcasting) into tensor `t`'s memory."""
    if type(source._a) is not np.ndarray and hasattr(type(source._a), "outermost"):
        source._a.write(t, source)
        return
    if type(t._a) is not np.ndarray:
        if hasattr(type(t._a), "in_parts"):
            t._a.write(t, source)
        return
    src = resolve_bits(source) if source._bits & 3 else source._a
    if type(src) is not np.ndarray:
        if hasattr(type(src), "in_parts"):
            return write(t, source.to_dense())
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    if t._bits & 3:
        src = np.conjugate(src) if t._bits & 1 else src
        src = np.negative(src) if t._bits & 2 else src
    if source._storage.block() is t._storage.block() and src.size > 1:
        if src.strides == t._a.strides and source._offset == t._offset and src.shape == t._a.shape \
                and src.dtype == t._a.dtype:
            return
        src = src.copy()
    copy_array(t._a, src)


def converted(a, np_dtype, order="K"):
    """A fresh array with the contents of `a` as `np_dtype`, dense in a's dimension order."""
    from .pointwise.core import result_array
    out = empty(a.shape, np_dtype) if order == "C" else result_array([a], np_dtype)
    copy_array(out, a)
    return out
