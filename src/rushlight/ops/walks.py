"""Arrays read and written by index: geometry for the kernels of ``compiler.templates.indexed``.

    get_rows(a, dim, index, v)         v[.., k, ..] = a[.., index[k], ..]
    put_rows, combine_rows             the other way round: written, or combined by add, mul, max, min
    get, put, combine                  the same element by element: index and v of one shape and rank with `a`

Each returns whether an index lay outside [0, n) (with wrap: [-n, n)); such positions are left out. Indices are int64
or int32 arrays. Without a compiler NumPy does the work.
"""

import numpy as np

from ..compiler import available
from ..runtime.threadpool import get_num_threads
from ..tensor import watch

_POSITION = np.dtype(np.int64)
_RAW = {1: "i8", 2: "i16", 4: "i32", 8: "i64", 16: "i128"}
_FLOAT = {4: "float", 8: "double"}
_UFUNC = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
_kernels = {}


def _kernel(op, dtype):
    """The walk for `op` on arrays of `dtype`, or None where NumPy has to do it."""
    k = _kernels.get((op, dtype))
    if k is None:
        k = _kernels[op, dtype] = _find(op, dtype) or False
    return k


def _find(op, dtype):
    if not available():
        return None
    from ..compiler.templates.indexed import kernel
    size, kind = dtype.itemsize, dtype.kind
    if op in ("get", "put"):
        return kernel(op, _RAW[size]) if size in _RAW else None
    if kind == "b":
        return kernel({"add": "max", "mul": "min"}.get(op, op), "i8", True)
    if kind in "iu":
        return kernel(op, _RAW[size], kind == "u" and op in ("max", "min"))
    return kernel(op, _FLOAT[size]) if kind == "f" and size in _FLOAT else None


def narrow(dtype):
    """Whether sums of this floating dtype are to be made in float32."""
    return dtype.itemsize <= 2 and dtype.kind not in "iub"


def positions(index):
    """`index` as int64, in whatever layout it has."""
    return index if index.dtype == _POSITION else index.astype(_POSITION)


def outside(index, n, wrap=False):
    """Whether an index lies outside; the test for walks without elements."""
    return bool(index.size) and bool(index.max() >= n or index.min() < (-n if wrap else 0))


def first_outside(index, n, wrap=False):
    """The first index that lies outside, for an error's text."""
    i = index.reshape(-1)
    return i[(i >= n) | (i < (-n if wrap else 0))][0]


def _rows(op, a, dim, index, v, wrap):
    index = positions(index)
    n = a.shape[dim]
    if not v.size:
        return outside(index, n, wrap)
    kernel = _kernel(op, a.dtype)
    if not kernel or not (a.flags.c_contiguous and v.flags.c_contiguous):
        shape = [1] * a.ndim
        shape[dim] = -1
        full = np.broadcast_to(index.reshape(shape), v.shape)
        return _walk(op, a, dim, full, v, wrap)
    outer = inner = 1
    for s in a.shape[:dim]:
        outer *= s
    for s in a.shape[dim + 1:]:
        inner *= s
    size, count = a.itemsize, index.shape[0]
    step = inner * size
    parts = get_num_threads()
    if outer == 1:
        return watch.launch(kernel, a, index, v, n, step, wrap, parts, count, index.strides[0], step, inner, size, 0,
                            size)
    return watch.launch(kernel, a, index, v, n, step, wrap, parts, count, index.strides[0], step, inner, size, 0, size,
                  outer, n * step, 0, count * step)


def launch(op, a, index, v, n, step, wrap, picked, before, after):
    """A kernel run on geometry: the picked dimension (size, step in index, step in v), then the dimensions before and
    after it as (size, step in a, in index, in v). All steps are bytes."""
    kernel = _kernel(op, a.dtype)
    dims = merged(before)
    m = picked[0]
    tail = merged(after)
    inner = (1, 0, 0, 0)
    if tail:
        inner = tail.pop()
    elif m == 1 and dims:
        inner = dims.pop()
    words = [w for four in reversed(dims + tail) for w in four]
    return watch.launch(kernel, a, index, v, n, step, wrap, get_num_threads(), *picked, *inner, *words)


def merged(dims):
    """Dimensions (size, steps ...) without those of size 1, those that run on joined."""
    out = []
    for d in dims:
        s = d[0]
        if s == 1:
            continue
        if out:
            last = out[-1]
            if last[1] == d[1] * s and last[2] == d[2] * s and last[3] == d[3] * s:
                out.pop()
                d = (s * last[0], *d[1:])
        out.append(d)
    return out


def _walk(op, a, dim, index, v, wrap):
    if not index.size:
        return False
    index = positions(index)
    if not _kernel(op, a.dtype):
        return _numpy(op, a, dim, index, v, wrap)
    dims = list(zip(index.shape, a.strides, index.strides, v.strides))
    m, step, im, vm = dims[dim]
    return launch(op, a, index, v, a.shape[dim], step, wrap, (m, im, vm), dims[:dim], dims[dim + 1:])


def _numpy(op, a, dim, index, v, wrap):
    """The walk by NumPy: dtypes without a kernel, machines without a compiler."""
    n = a.shape[dim]
    if outside(index, n, wrap):
        return True
    index = np.where(index < 0, index + n, index)
    window = a[tuple([slice(None) if d == dim else slice(0, s) for d, s in enumerate(index.shape)])]
    if op == "get":
        v[...] = np.take_along_axis(window, index, dim)
    elif op == "put":
        np.put_along_axis(window, index, v, dim)
    else:
        at = [np.arange(s).reshape([-1 if e == d else 1 for e in range(index.ndim)]) for d, s in enumerate(index.shape)]
        at[dim] = index
        with np.errstate(all="ignore"):
            _UFUNC[op].at(window, tuple(at), v)
    return False


def get_rows(a, dim, index, v, wrap=False):
    """``v[.., k, ..] = a[.., index[k], ..]``; index is a vector."""
    return _rows("get", a, dim, index, v, wrap)


def put_rows(a, dim, index, v, wrap=False):
    """``a[.., index[k], ..] = v[.., k, ..]``, later ones over earlier ones."""
    return _rows("put", a, dim, index, v, wrap)


def combine_rows(op, a, dim, index, v, wrap=False):
    """``a[.., index[k], ..] = op(itself, v[.., k, ..])`` in the order of k; 16-bit floats in float32."""
    return _wide(_rows, op, a, dim, index, v, wrap)


def get(a, dim, index, v, wrap=False):
    """``v[i][j] = a[index[i][j]][j]`` for dim 0, and so on."""
    return _walk("get", a, dim, index, v, wrap)


def put(a, dim, index, v, wrap=False):
    """``a[index[i][j]][j] = v[i][j]`` for dim 0, and so on; later ones over earlier ones."""
    return _walk("put", a, dim, index, v, wrap)


def combine(op, a, dim, index, v, wrap=False):
    """``a[index[i][j]][j] = op(itself, v[i][j])`` for dim 0, and so on, in the order along `dim`."""
    return _wide(_walk, op, a, dim, index, v, wrap)


def _wide(walk, op, a, dim, index, v, wrap):
    if a.dtype.kind == "c" and op == "add" and a.ndim:
        # Two numbers each: a last dimension more.
        real = np.dtype(np.float32 if a.itemsize == 8 else np.float64)
        if walk is _rows:
            shape = [1] * a.ndim
            shape[dim] = -1
            index = np.broadcast_to(index.reshape(shape), v.shape)
        pair = np.broadcast_to(index[..., None], (*index.shape, 2))
        return _walk(op, _parts(a, real), dim, pair, _parts(v, real), wrap)
    if not narrow(a.dtype):
        return walk(op, a, dim, index, v, wrap)
    from .copy import converted, copy_array
    single = np.dtype(np.float32)
    wide = converted(a, single, "C")
    bad = walk(op, wide, dim, index, converted(v, single, "C"), wrap)
    copy_array(a, wide)
    return bad


def _parts(a, real):
    """A complex array as real and imaginary parts along a last dimension, without a copy."""
    return np.lib.stride_tricks.as_strided(a.real, (*a.shape, 2), (*a.strides, real.itemsize))
