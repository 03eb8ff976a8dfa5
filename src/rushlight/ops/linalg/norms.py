"""Norms of matrices, and ``linalg.norm``; those of vectors are in ``ops/norms.py``."""

import numpy as np

from ... import dtypes
from ...dtypes import scalar_name
from ...tensor.geometry import wrap_dim
from ...tensor.tensor import Tensor
from ..norms import vector_norm
from ..registry import public
from .common import check_float, check_matrix

_LA = ("torch.linalg",)
_INF = float("inf")


def _back(t, dims, keepdim, ndim):
    """A reduced tensor with its reduced dimensions again, of size 1."""
    if keepdim or not ndim:
        return t
    for d in sorted(range(ndim) if not dims else dims):
        t = t.unsqueeze(d)
    return t


def _ord_number(name, ord):
    if isinstance(ord, Tensor):
        ord = ord.item()
    if isinstance(ord, bool) or not isinstance(ord, (int, float, np.number)):
        raise TypeError(f"{name}(): argument 'ord' must be Number, not {type(ord).__name__}")
    return float(ord)


def _g(v):
    return f"{v:g}"


def _check_dtype(name, x, dtype):
    if dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {scalar_name(dtype)}")
    if dtype.is_complex != x.dtype.is_complex:
        kind = "complex" if x.dtype.is_complex else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got "
                           f"{scalar_name(dtype)}")
    if dtypes.promote_types(x.dtype, dtype) is not dtype:
        raise RuntimeError(f"{name}: the dtype of the input ({scalar_name(x.dtype)}) should be "
                           f"convertible without narrowing to the specified dtype "
                           f"({scalar_name(dtype)})")


def _matrix_dims(name, A, dim):
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    n = A._a.ndim
    dims = tuple(wrap_dim(d, n) for d in dims)
    if dims[0] == dims[1]:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return dims


def _largest(t, dim, keepdim):
    """The maximum over `dim`; 0 over an empty one."""
    return t.amax(dim, keepdim) if t._a.shape[dim] else t.sum(dim, keepdim)


@public("matrix_norm", namespaces=_LA, method=False, out=True)
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """Matrix norm: fro, nuc, inf, -inf, 1, -1 (row and column sums), 2, -2 (singular values)."""
    name = "linalg.matrix_norm"
    check_matrix(name, A)
    dims = _matrix_dims(name, A, dim)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    else:
        ord = _ord_number("linalg_matrix_norm", ord)
        if abs(ord) not in (1, 2, _INF):
            raise RuntimeError(f"linalg.matrix_norm: Order {_g(ord)} not supported.")
    if ord == "fro":
        check_float(name, A, low=False)
        return vector_norm(A, 2, dims, keepdim, dtype=dtype)
    check_float(name, A, low=False)
    if dtype is not None:
        _check_dtype(name, A, dtype)
        A = A.to(dtype)
    if ord == "nuc" or abs(ord) == 2:
        check_float(name, A)
        from .spectral import _values
        s = _values(A.movedim(dims, (-2, -1)))
        if ord == "nuc":
            r = s.sum(-1)
        else:
            r = _largest(s, -1, False) if ord > 0 else s.amin(-1)
    else:
        # 1 and -1 sum over the rows, inf and -inf over the columns.
        first, second = dims if abs(ord) == 1 else dims[::-1]
        sums = vector_norm(A, 1, first, True)
        r = _largest(sums, second, True) if ord > 0 else sums.amin(second, keepdim=True)
        return r if keepdim else r.squeeze(dims)
    return _back(r, dims, False, A._a.ndim) if keepdim else r


@public("norm", namespaces=_LA, method=False, out=True)
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """A vector or matrix norm, by `ord` and the number of dimensions (see vector_norm, matrix_norm)."""
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if dims is not None and len(dims) not in (1, 2):
        if ord is not None:
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                               f"{list(dims)}")
    if ord is not None:
        if dims is None and A._a.ndim not in (1, 2):
            raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or "
                               f"2D. Got {A._a.ndim}D.")
        if isinstance(ord, str) or (dims is not None and len(dims) == 2) or (
                dims is None and A._a.ndim == 2):
            if dims is None:
                dims = (0, 1)
            if isinstance(ord, str) and len(dims) != 2:
                raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dims)}")
            return matrix_norm(A, ord, dims, keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)
