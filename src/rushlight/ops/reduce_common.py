"""What reductions share: the axes they run over, the types they compute in, gradients spread back."""

import numpy as np

from ..dtypes import FLOAT, from_np
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import wrap_dim, wrap_dims
from .copy import converted

F32, F64, I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)


def axes_of(dim, ndim):
    """`dim` (None, an int, or several) as wrapped axes; None stands for all of them."""
    if dim is None:
        return None
    if type(dim) is int:
        if 0 <= dim < ndim:
            return (dim,)
        return (wrap_dim(dim, ndim),) if ndim else _scalar_axes((dim,))
    if isinstance(dim, (bool, float, str)):
        raise TypeError(f"argument 'dim' must be tuple of ints, not {type(dim).__name__}")
    if hasattr(dim, "__index__") and not hasattr(dim, "__len__"):
        return axes_of(dim.__index__(), ndim)
    dims = [d if type(d) is int else d.__index__() for d in dim]
    if not dims:
        return None
    return wrap_dims(dims, ndim) if ndim else _scalar_axes(dims)


def _scalar_axes(dims):
    wrap_dims(dims, 0)
    return ()


def reduced_shape(shape, axes, keepdim):
    """Shape after reducing `axes` (None: all)."""
    if axes is None:
        return (1,) * len(shape) if keepdim else ()
    if keepdim:
        return tuple([1 if i in axes else s for i, s in enumerate(shape)])
    return tuple([s for i, s in enumerate(shape) if i not in axes])


def count(shape, axes):
    """How many elements one result is made of."""
    n = 1
    for i in range(len(shape)) if axes is None else axes:
        n *= shape[i]
    return n


def spread(g, shape, axes, keepdim):
    """`g`, the gradient of a reduction, as a view in the shape of its input."""
    if not keepdim and axes is not None and axes and len(shape) > len(axes):
        g = g.reshape(reduced_shape(shape, axes, True))
    elif not keepdim and g._a.ndim:
        g = g.reshape(())
    return g.expand(shape)


def kept(t, shape, axes, keepdim):
    """A reduction's result with the reduced dimensions back as size 1 (a view)."""
    if keepdim or not shape:
        return t
    return t.reshape(reduced_shape(shape, axes, True))


def wide(a):
    """The array in float32 where its type is a 16-bit (or narrower) float, complex64 for pairs of such."""
    d = a.dtype
    if d.names:
        return converted(a, np.dtype(np.complex64))
    if d.itemsize <= 2 and (d.kind == "f" or d.kind == "V" or d.type.__module__ == "ml_dtypes"):
        return a.astype(F32)
    return a


def is_low(np_dtype):
    """Whether arrays of this type are computed in float32."""
    return np_dtype.itemsize <= 2 and np_dtype.kind not in "biu" and from_np(np_dtype).category == FLOAT


def narrow(value, np_dtype):
    """A fresh array of type `np_dtype` with the (reduced) `value`."""
    value = np.asarray(value)
    if value.dtype != np_dtype:
        with np.errstate(all="ignore"):
            if value.dtype.kind == "c" and np_dtype.kind != "c":
                value = value.real
            value = value.astype(np_dtype)
    return value


def no_identity(name, shape, axes):
    """Raise for a reduction without identity over an empty dimension."""
    if 0 not in shape:
        return
    if axes is None:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                           "Specify the reduction dim with the 'dim' argument.")
    for d in axes:
        if shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


# ---------------------------------------------------------------- compiled reductions

_compiled = None
_kernels = {}


def compiled():
    """Whether machine code can be made here."""
    global _compiled
    if _compiled is None:
        from ..compiler import available
        _compiled = available()
    return _compiled


# Kinds that have generated functions, with the type of their results for float32 (any, all: for bool).
_NATIVE = {"sum": F32, "mean": F32, "prod": F32, "max": F32, "min": F32, "argmax": I64, "argmin": I64,
           "any": np.dtype(bool), "all": np.dtype(bool)}
_TEST = np.dtype(bool), np.dtype(bool)      # types of any and all that have generated functions


def kernel(kind, in_np, out_nps):
    """The compiled reduction of this kind for these array types, or None where there is none.

    ``var_mean`` takes the correction as a scalar.
    """
    key = (kind, in_np, out_nps)
    k = _kernels.get(key, _kernels)
    if k is _kernels:
        k = None
        outs = out_nps if type(out_nps) is tuple else (out_nps,)
        types = [from_np(d) for d in (in_np, *outs)]
        if all(t.category < FLOAT or t.category == FLOAT and t.itemsize > 1 for t in types) and compiled():
            from ..compiler import reduce_kernel
            scalars = ("float64",) if kind == "var_mean" else ()
            k = reduce_kernel(kind, types[0].name, tuple(t.name for t in types[1:]), scalars).call
        _kernels[key] = k
        if k is not None and kind in _NATIVE and (in_np, out_nps) == (_TEST if kind in ("any", "all") else (
                F32, _NATIVE[kind])):
            from .native.install import install_reduction
            install_reduction(kind, k)
    return k


def mapped_kernel(kind, in_np, out_np, formula, post=None):
    """The compiled reduction of ``formula(scalar functions, x)``, or None; ``post`` maps its result likewise.

    Either may use floating scalars ``s.scalar(i)``, which the kernel then takes after the mask.
    """
    key = (kind, in_np, out_np, formula, post)
    k = _kernels.get(key, _kernels)
    if k is _kernels:
        k = None
        types = [from_np(d) for d in (in_np, out_np)]
        if all(t.category < FLOAT or t.category == FLOAT and t.itemsize > 1 for t in types) and compiled():
            from ..compiler import reduce_kernel
            from ..compiler import scalar as s
            from ..compiler.expr import input_
            x = input_(0, "bif"[types[0].category])
            count = getattr(formula, "scalars", 0)
            k = reduce_kernel(kind, types[0].name, types[1].name, ("float64",) * count, pre=formula(s, x),
                              post=None if post is None else post(s, input_(0))).call
        _kernels[key] = k
    return k


def reduce(k, a, axes, keepdim, out_np, *scalars):
    """Run the compiled reduction `k` of one output over `axes` (None: all)."""
    shape = a.shape
    if axes is None:
        out = empty((1,) * len(shape) if keepdim else (), out_np)
        watch.launch(k, out, a, (1 << len(shape)) - 1, *scalars)
        return out
    if len(axes) == 1:
        d, = axes
        mask = 1 << d
        out = empty(shape[:d] + (1,) + shape[d + 1:] if keepdim else shape[:d] + shape[d + 1:], out_np)
        watch.launch(k, out, a, mask, *scalars)
        return out
    mask = 0
    for d in axes:
        mask |= 1 << d
    if keepdim:
        out = empty(tuple([1 if mask >> i & 1 else n for i, n in enumerate(shape)]), out_np)
    else:
        out = empty(tuple([n for i, n in enumerate(shape) if not mask >> i & 1]), out_np)
    watch.launch(k, out, a, mask, *scalars)
    return out


def mask_of(axes, ndim):
    """Bit mask of the reduced dimensions."""
    if axes is None:
        return (1 << ndim) - 1
    m = 0
    for d in axes:
        m |= 1 << d
    return m
