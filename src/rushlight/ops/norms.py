"""Norms of vectors, finite differences of sampled functions."""

import math

import numpy as np

from ..dtypes import FLOAT, scalar_name
from ..tensor import watch
from ..tensor.geometry import can_expand, wrap_dim
from .dispatch import primitive
from .out import with_out
from .reduce_common import (
    F32,
    F64,
    axes_of,
    compiled,
    kept,
    mapped_kernel,
    narrow,
    reduce,
    reduced_shape,
    wide,
)
from .reduction import publish
from .registry import FUNCTIONS, METHODS, public

# ---------------------------------------------------------------- vector norms


def _norm_grad(g, self, out, ord, dim, keepdim):
    shape = self._a.shape
    g, n = kept(g, shape, dim, keepdim), kept(out, shape, dim, keepdim)
    if g.dtype is not self.dtype and not self.dtype.is_complex:
        g, n = g.to(self.dtype), n.to(self.dtype)
    if ord == 0:
        return g.new_zeros(shape)
    if ord == 1:
        return g * self.sgn()
    if ord == 2:
        return (self / n).masked_fill(n == 0, 0) * g
    magnitude = self.abs()
    if math.isinf(ord):
        hit = magnitude == n
        if watch.listener is not None or type(n._a) is np.ndarray and np.isnan(wide(n._a)).any():
            hit = hit | magnitude.isnan()
        return self.sgn() * (hit / hit.sum(None if dim is None else list(dim), True) * g)
    if ord < 1:
        r = self.sgn() * magnitude.pow(ord - 1) * g * n.pow(1 - ord)
        return r.masked_fill(self == 0, 0)
    if ord < 2:
        return self.sgn() * magnitude.pow(ord - 1) * g * n.pow(1 - ord).masked_fill(n == 0, 0)
    return self * magnitude.pow(ord - 2) * (g / n.pow(ord - 1)).masked_fill(n == 0, 0)


def _magnitude(s, x):
    return s.abs(x)


def _square(s, x):
    return x * x


def _root(s, x):
    return s.sqrt(x)


def _nonzero(s, x):
    return s.where(s.ne(x, 0), 1.0, 0.0)


def _power(s, x):
    return s.pow(s.abs(x), s.scalar(0))


def _inverse_power(s, x):
    return s.pow(x, s.scalar(1))


_power.scalars = 2
_FORMS = {0.0: ("sum", _nonzero, None), 1.0: ("sum", _magnitude, None), 2.0: ("sum", _square, _root),
          math.inf: ("max", _magnitude, None), -math.inf: ("min", _magnitude, None)}


@primitive("linalg_vector_norm(Tensor self, Scalar ord, int[] dim, bool keepdim, ScalarType dtype) -> "
           "Tensor", vjp={"self": _norm_grad})
def _vector_norm(a, p, axes, keepdim, np_dtype):
    if p and a.size and math.prod(a.shape) == math.prod(shape := reduced_shape(a.shape, axes, keepdim)):
        # A norm of one number neither overflows nor is rounded.
        with np.errstate(all="ignore"):
            x = np.abs(wide(a)).reshape(shape)
        return narrow(x, np.dtype(np.float16) if np_dtype.names else np.empty(0, np_dtype).real.dtype)
    if np_dtype == a.dtype and a.size and a.dtype.kind != "c":
        kind, before, after = _FORMS.get(p, ("sum", _power, _inverse_power))
        k = mapped_kernel(kind, a.dtype, np_dtype, before, after)
        if k is not None:
            return reduce(k, a, axes, keepdim, np_dtype, *((p, 1 / p) if before is _power else ()))
    x = wide(a)
    if x.dtype.kind != "c" and np_dtype.kind != "c" and np_dtype.itemsize > x.dtype.itemsize:
        x = x.astype(np_dtype)
    real = np.dtype(np.float16) if np_dtype.names else np.empty(0, np_dtype).real.dtype
    with np.errstate(all="ignore"):
        x = np.abs(x)
        acc = F64 if x.dtype in (F32, F64) else None
        if p == 0:
            r = np.add.reduce(x != 0, axes, acc, None, keepdim)
        elif p == 1:
            r = np.add.reduce(x, axes, acc, None, keepdim)
        elif p == 2:
            x = x.astype(F64, copy=False)
            r = np.sqrt(np.add.reduce(x * x, axes, acc, None, keepdim))
        elif math.isinf(p):
            r = (np.maximum if p > 0 else np.minimum).reduce(
                x, axes, None, None, keepdim, 0 if p > 0 and not x.size else np._NoValue)
        else:
            r = np.add.reduce(x.astype(F64, copy=False) ** p, axes, acc, None, keepdim) ** (1 / p)
    return narrow(r, real)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """(sum of |x| ** ord) ** (1 / ord) over `dim`; ord may be inf, -inf or 0 (the count of nonzeros)."""
    if x.dtype.category < FLOAT:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
                           f"{scalar_name(x.dtype)}")
    if dtype is not None:
        if dtype.category < FLOAT:
            raise RuntimeError(f"linalg.vector_norm: dtype should be floating point or complex. Got "
                               f"{scalar_name(dtype)}")
        if x.dtype.is_complex != dtype.is_complex:
            raise RuntimeError(f"linalg.vector_norm: dtype should be "
                               f"{'complex' if x.dtype.is_complex else 'real'} for "
                               f"{'complex' if x.dtype.is_complex else 'real'} inputs, but got "
                               f"{scalar_name(dtype)}")
        if dtype.itemsize < x.dtype.itemsize:
            raise RuntimeError("linalg.vector_norm: the dtype of the input "
                               f"({scalar_name(x.dtype)}) should be convertible without narrowing to the "
                               f"specified dtype ({scalar_name(dtype)})")
        if dtype is not x.dtype:
            x = x.to(dtype)
    axes = axes_of(dim, x._a.ndim)
    if not x._a.size and (ord < 0 or math.isinf(ord)):
        if axes is None:
            raise RuntimeError(f"linalg.vector_norm cannot compute the {_number(ord)} norm on an empty "
                               "tensor because the operation does not have an identity")
        for d in axes:
            if x._a.shape[d] == 0:
                raise RuntimeError(f"linalg.vector_norm cannot compute the {_number(ord)} norm on the "
                                   f"dimension {d}because this dimension is empty and the operation does "
                                   "not have an identity")
    return _vector_norm(x, float(ord), axes, bool(keepdim), x._a.dtype)


def _number(x):
    return f"{x:g}"


def norms_of_many(tensors, p):
    """The p-norms of tensors, without gradients, as one 1-d tensor; None where one call cannot compute them."""
    t = tensors[0].dtype
    kind = {1.0: "1", 2.0: "2", math.inf: "inf"}.get(p)
    if kind is None or t.name not in ("float32", "float64") or not compiled():
        return None
    from ..compiler.templates.manynorms import norms_kernel
    from ..tensor.tensor import wrap
    if any(x._bits for x in tensors):
        return None
    out = np.empty(len(tensors), t.np)
    done = norms_kernel("float" if t.itemsize == 4 else "double", kind)(out, [x._a for x in tensors])
    return wrap(out) if done else None


FUNCTIONS.setdefault("torch.linalg", {})["vector_norm"] = with_out("linalg.vector_norm", vector_norm)


def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm of the elements over `dim`; ``"fro"`` is 2, ``"nuc"`` the sum of singular values."""
    if isinstance(p, str):
        if p == "nuc":
            return nuclear_norm(input, dim, keepdim, dtype)
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        p = 2
    elif p is None:
        p = 2
    return vector_norm(input, p, dim, keepdim, dtype=dtype)


def nuclear_norm(input, dim=None, keepdim=False, dtype=None):
    """Sum of the singular values of the matrices in two dimensions."""
    if dtype is not None:
        input = input.to(dtype)
    nd = input._a.ndim
    if dim is None:
        if nd != 2:
            raise RuntimeError(f"Expected a tensor with 2 dimensions, but got a tensor with {nd} "
                               "dimensions instead.")
        dim = (0, 1)
    a, b = (wrap_dim(d, nd) for d in dim)
    x = input.movedim((a, b), (-2, -1))
    r = FUNCTIONS["torch.linalg"]["svdvals"](x).sum(-1)
    return r.reshape(reduced_shape(input._a.shape, (a, b), True)) if keepdim else r


def frobenius_norm(input, dim=(), keepdim=False):
    """The 2-norm of all elements of the matrices in `dim`."""
    return vector_norm(input, 2, dim, keepdim)


def _norm_into(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    return norm(input, p, dim, keepdim, dtype) if out is None else _norm_out(input, p, dim, keepdim, dtype, out=out)


_norm_out = with_out("norm", norm)
_norm_into.deliver = _norm_out.deliver
_norm_into.__name__, _norm_into.__doc__ = "norm", norm.__doc__
FUNCTIONS["torch"]["norm"] = _norm_into
publish("nuclear_norm", nuclear_norm, method=False)
publish("frobenius_norm", frobenius_norm, method=False)


@public(method=False)
def norm_except_dim(v, pow=2, dim=0):
    """The p-norm over all dimensions but `dim` (-1: over all), kept as size 1."""
    if dim == -1:
        return vector_norm(v, pow)
    return vector_norm(v, pow, [i for i in range(v._a.ndim) if i != dim], True)


@public(inplace=True, out=True)
def renorm(input, p, dim, maxnorm):
    """Slices along `dim` scaled down so that their p-norm is at most `maxnorm`."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    nd = input._a.ndim
    if nd < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {nd} dimensions")
    d = wrap_dim(dim, nd)
    n = vector_norm(input, p, [i for i in range(nd) if i != d], True)
    factor = FUNCTIONS["torch"]["where"](n > maxnorm, maxnorm / (n + 1e-7), 1.0)
    return input * factor.to(input.dtype)


@public()
def sum_to_size(input, *size):
    """The sum over dimensions so that the result has `size`, which must broadcast to the input's."""
    from ..autograd.engine import sum_to
    from .views import sizes
    size = sizes(size)
    if not can_expand(size, input._a.shape):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size "
                           f"{{{list(input._a.shape)}}}.")
    return sum_to(input, size) if size else input.sum()


del FUNCTIONS["torch"]["sum_to_size"]

# ---------------------------------------------------------------- sampled functions


def _gradient_along(x, h, d, edge_order):
    """Second-order central differences along `d`; `h` a spacing or coordinates."""
    n = x._a.shape[d]

    def at(i, m):
        return x.narrow(d, i, m)
    cat = FUNCTIONS["torch"]["cat"]
    if not hasattr(h, "_a"):
        inner = (at(2, n - 2) - at(0, n - 2)) / (2 * h)
        if edge_order == 1:
            first, last = (at(1, 1) - at(0, 1)) / h, (at(n - 1, 1) - at(n - 2, 1)) / h
        else:
            first = (-1.5 * at(0, 1) + 2 * at(1, 1) - 0.5 * at(2, 1)) / h
            last = (1.5 * at(n - 1, 1) - 2 * at(n - 2, 1) + 0.5 * at(n - 3, 1)) / h
        return cat([first, inner, last], d)
    shape = [1] * x._a.ndim
    shape[d] = -1
    step = (h.narrow(0, 1, n - 1) - h.narrow(0, 0, n - 1)).reshape(shape)
    left, right = step.narrow(d, 0, n - 2), step.narrow(d, 1, n - 2)
    a = -right / (left * (left + right))
    b = (right - left) / (left * right)
    c = left / (right * (left + right))
    inner = a * at(0, n - 2) + b * at(1, n - 2) + c * at(2, n - 2)
    s0, s1 = step.narrow(d, 0, 1), step.narrow(d, n - 2, 1)
    if edge_order == 1:
        first, last = (at(1, 1) - at(0, 1)) / s0, (at(n - 1, 1) - at(n - 2, 1)) / s1
    else:
        t0, t1 = step.narrow(d, 1, 1), step.narrow(d, n - 3, 1)
        first = (-(2 * s0 + t0) / (s0 * (s0 + t0)) * at(0, 1) + (s0 + t0) / (s0 * t0) * at(1, 1)
                 - s0 / (t0 * (s0 + t0)) * at(2, 1))
        last = (s1 / (t1 * (t1 + s1)) * at(n - 3, 1) - (s1 + t1) / (t1 * s1) * at(n - 2, 1)
                + (2 * s1 + t1) / (s1 * (t1 + s1)) * at(n - 1, 1))
    return cat([first, inner, last], d)


@public(method=False)
def gradient(input, *, spacing=None, dim=None, edge_order=1):
    """Estimated partial derivatives of a sampled function, one tensor a dimension of `dim`.

    spacing: a number for all, numbers or coordinate tensors for each dimension. Central differences of
    second order inside, `edge_order` (1 or 2) at the boundary.
    """
    nd = input._a.ndim
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if dim is None:
        dims = list(range(nd))
        if isinstance(spacing, (list, tuple)) and len(spacing) != nd:
            raise RuntimeError("torch.gradient expected spacing to be unspecified, a scalar, or a list of "
                               f"length {nd}, got a list of length {len(spacing)}")
    else:
        dims = [wrap_dim(d, nd) for d in ([dim] if isinstance(dim, int) else dim)]
        if len(set(dims)) != len(dims):
            raise RuntimeError("dim appears multiple times in the list of dims")
    if spacing is None:
        spacing = 1
    hs = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(hs) != len(dims):
        raise RuntimeError(f"torch.gradient expected one spacing for each of {len(dims)} dimensions, got "
                           f"{len(hs)}")
    out = []
    for d, h in zip(dims, hs):
        n = input._a.shape[d]
        if n < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        if hasattr(h, "_a") and h._a.shape != (n,):
            raise RuntimeError(f"torch.gradient expected coordinates of length {n} for dimension {d}, got "
                               f"shape {list(h.shape)}")
        x = input if input.dtype.category >= FLOAT else input.to(_default())
        out.append(_gradient_along(x, h, d, edge_order))
    return tuple(out)


def _default():
    from .. import dtypes
    return dtypes.default.float


METHODS["norm"] = norm
