"""Running results along a dimension: sums, products, extrema, log-sums; differences."""

from math import prod

import numpy as np

from ..autograd.modes import state
from ..dtypes import COMPLEX, FLOAT, from_np, scalar_name
from ..record import Joint
from ..return_types import cummax as cummax_struct
from ..return_types import cummin as cummin_struct
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import wrap_dim
from .copy import copy_array
from .dispatch import primitive
from .inplace import apply
from .reduce_common import F32, F64, I64, compiled, is_low, narrow, wide
from .reduction import publish
from .registry import FUNCTIONS, INPLACE, METHODS

_kernels = {}


def _kernel(kind, in_np, out_np):
    """The compiled scan for these array types, or None where there is none."""
    key = (kind, in_np, out_np)
    k = _kernels.get(key, _kernels)
    if k is _kernels:
        k = None
        a, b = from_np(in_np), from_np(out_np)
        if all(t.category < FLOAT or t.category == FLOAT and t.itemsize > 1 for t in (a, b)) \
                and a.category <= b.category and b.category > 0 and compiled():
            from ..compiler import scan_kernel
            k = scan_kernel(kind, a.name, b.name).dense
        _kernels[key] = k
    return k


def _run(k, a, dim, np_dtype, indices=None):
    out = empty(a.shape, np_dtype)
    if a.size:
        if not a.flags.c_contiguous:
            x = empty(a.shape, a.dtype)
            copy_array(x, a)
            a = x
        shape = a.shape
        watch.launch(k, out, out if indices is None else indices, a, prod(shape[:dim]), shape[dim],
                     prod(shape[dim + 1:]))
    return out


# ---------------------------------------------------------------- sums


def _reverse_cumsum(x, dim):
    """Sums of the elements from each position to the end."""
    return x.flip((dim,)).cumsum(dim).flip((dim,)) if x._a.ndim else x


@primitive("cumsum(Tensor self, int dim, ScalarType dtype) -> Tensor",
           vjp={"self": lambda g, dim: _reverse_cumsum(g, dim)}, samples="scan", reference="cumsum")
def _cumsum(a, dim, np_dtype):
    if not a.ndim:
        return narrow(a.copy(), np_dtype)
    k = _kernel("cumsum", a.dtype, np_dtype)
    if k is not None:
        return _run(k, a, dim, np_dtype)
    acc = F32 if is_low(np_dtype) else np_dtype
    a = wide(a)
    if acc == F32 and a.shape[dim] > 32:
        # Rounding errors of a running float32 sum grow with the position.
        acc = F64
    with np.errstate(all="ignore"):
        if a.dtype.kind == "c" and acc.kind != "c":
            a = a.real
        return np.ascontiguousarray(narrow(np.add.accumulate(a.astype(acc, copy=False), dim, acc), np_dtype))


def _integer_type(input, dtype):
    return dtype.np if dtype is not None else I64 if input.dtype.category < FLOAT else input._a.dtype


def cumsum(input, dim, *, dtype=None):
    """Sums of the elements up to each position along `dim`; integers as int64."""
    return _cumsum(input, wrap_dim(dim, input._a.ndim), _integer_type(input, dtype))


@primitive("cumprod(Tensor self, int dim, ScalarType dtype) -> Tensor",
           vjp={"self": lambda g, self, dim, out: _cumprod_grad(g, self, dim, out)}, samples="scan",
           reference="cumprod")
def _cumprod(a, dim, np_dtype):
    if not a.ndim:
        return narrow(a.copy(), np_dtype)
    k = _kernel("cumprod", a.dtype, np_dtype)
    if k is not None:
        return _run(k, a, dim, np_dtype)
    acc = F32 if is_low(np_dtype) else np_dtype
    with np.errstate(all="ignore"):
        r = np.multiply.accumulate(wide(a).astype(acc, copy=False), dim, acc)
        return np.ascontiguousarray(narrow(r, np_dtype))


def _cumprod_grad(g, x, dim, out):
    """Without zeros: reverse sums of g * out, over x. With zeros: products that leave one factor out."""
    if not x._a.ndim or x._a.size == 0 or x._a.shape[dim] == 1:
        return g
    conj = x.dtype.is_complex
    if x.is_meta or watch.true(np.all, x):
        r = _reverse_cumsum(g * (out.conj() if conj else out), dim)
        return r / (x.conj() if conj else x)
    if not state.grad:
        return _cumprod_grad_at_zeros(g, x, dim, out)
    n = x._a.shape[dim]
    columns = []
    named = FUNCTIONS["torch"]
    ones = x.new_ones((*x._a.shape[:dim], 1, *x._a.shape[dim + 1:]))
    for i in range(n):
        # Products of the others, at the positions from i on.
        before = x.narrow(dim, 0, i).prod(dim, True) if i else ones
        after = named["cat"]([ones, x.narrow(dim, i + 1, n - i - 1)], dim).cumprod(dim)
        others = before * after
        if conj:
            others = others.conj()
        columns.append((g.narrow(dim, i, n - i) * others).sum(dim, True))
    return named["cat"](columns, dim)


def _cumprod_grad_at_zeros(g, x, dim, out):
    """Before the first zero as without any, by what comes before it; at it, by products of the others up to the next
    one; 0 from then on. It has no derivative: what zeros hide is left out."""
    none = x == 0
    zeros = none.cumsum(dim)
    before, between = zeros == 0, zeros == 1
    first = none & between
    others = x.masked_fill(first, 1)
    if x.dtype.is_complex:
        x, out, others = x.conj(), out.conj(), others.conj()
    whole = _reverse_cumsum((g * out).masked_fill(~before, 0), dim) / x
    left_out = _reverse_cumsum((g * others.cumprod(dim)).masked_fill(~between, 0), dim)
    named = FUNCTIONS["torch"]
    return named["where"](before, whole, left_out.masked_fill(~first, 0))


def cumprod(input, dim, *, dtype=None):
    """Products of the elements up to each position along `dim`; integers as int64."""
    d = wrap_dim(dim, input._a.ndim)
    np_dtype = _integer_type(input, dtype)
    if dtype is not None and dtype is not input.dtype:
        input = input.to(dtype)
    return _cumprod(input, d, np_dtype)


def _in_place(name, fn):
    def change(input, *args, **kwargs):
        return apply(fn, input, args, kwargs, name)
    change.__name__ = change.__qualname__ = name + "_"
    change.__doc__ = f"In-place version of :func:`{name}`."
    INPLACE[name + "_"] = METHODS[name + "_"] = change


def _cumsum_same_type(input, dim, *, dtype=None):
    return cumsum(input, dim, dtype=dtype or input.dtype)


def _cumprod_same_type(input, dim, *, dtype=None):
    return cumprod(input, dim, dtype=dtype or input.dtype)


publish("cumsum", cumsum)
publish("cumprod", cumprod)
_in_place("cumsum", _cumsum_same_type)
_in_place("cumprod", _cumprod_same_type)

# ---------------------------------------------------------------- extrema


def _position_grad(g0, self_shape, dim, out1):
    """Each position's gradient goes to where its value came from."""
    if not self_shape or 0 in self_shape:
        return (g0,)
    return (g0.new_zeros(self_shape).scatter_add(dim, out1, g0),)


def _running(ufunc, a, dim):
    """Running extremum and where it last occurred; NaN, once met, stays."""
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    k = _kernel("cummax" if ufunc is np.maximum else "cummin", a.dtype, a.dtype)
    if k is not None and a.shape[dim] < 1 << 32:
        at = empty(a.shape, I64)
        return _run(k, a, dim, a.dtype, at), at
    x = wide(a)
    values = ufunc.accumulate(x, dim)
    n = a.shape[dim]
    positions = np.arange(n, dtype=I64).reshape((n,) + (1,) * (a.ndim - dim - 1))
    here = x == values
    if x.dtype.kind == "f":
        here |= np.isnan(x)
    at = np.maximum.accumulate(np.where(here, positions, 0), dim)
    return np.ascontiguousarray(narrow(values, a.dtype)), np.ascontiguousarray(at)


@primitive("cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)", vjp=Joint(_position_grad))
def _cummax(a, dim):
    return _running(np.maximum, a, dim)


@primitive("cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)", vjp=Joint(_position_grad))
def _cummin(a, dim):
    return _running(np.minimum, a, dim)


def _running_function(name, call, struct):
    def fn(input, dim):
        if input.dtype.category == COMPLEX:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{scalar_name(input.dtype)}'")
        return struct(call(input, wrap_dim(dim, input._a.ndim)))
    fn.__doc__ = (f"Running {name[3:]}imum along `dim` as the named tuple (values, indices); of equal ones "
                  "the last.")
    publish(name, fn)


_running_function("cummax", _cummax, cummax_struct)
_running_function("cummin", _cummin, cummin_struct)

# ---------------------------------------------------------------- logarithms of running sums


def _logcumsumexp_grad(g, self, out, dim):
    if not self._a.ndim:
        return g
    if self.dtype.is_complex:
        r = _reverse_cumsum(g * (-out).exp().conj(), dim)
        return r * self.exp().conj()
    return _weighted_from(g, self, out, dim)


def _signed(weights, logs, dim, reverse):
    """Logarithms of the running sums of ``weights * exp(logs)``, of the positive and of the negative weights."""
    with np.errstate(all="ignore"):
        size = np.log(np.abs(weights))
        for sign in (weights > 0, weights < 0):
            t = np.where(sign, size, -np.inf).astype(logs.dtype) + logs
            run = _logcumsumexp.record.kernel
            yield np.flip(run(np.flip(t, dim), dim), dim) if reverse else run(t, dim)


def _difference(weights, logs, scale, dim, reverse):
    """``exp(scale)`` times the running sums of ``weights * exp(logs)``, without overflow."""
    with np.errstate(all="ignore"):
        more, less = (np.exp(t + scale) for t in _signed(weights, logs, dim, reverse))
        return more - less


@primitive("logcumsumexp_backward(Tensor grad, Tensor self, Tensor total, int dim) -> Tensor",
           vjp={"grad": lambda g, self, total, dim: _weighted_to(g, self, total, dim),
                "self": lambda g, out: g * out,
                "total": lambda g, grad, self, total, dim: -grad * _weighted_to(g, self, total, dim)})
def _weighted_from(g, a, total, dim):
    """``exp(a_i) * sum over j >= i of g_j exp(-total_j)``."""
    return narrow(_difference(wide(g), -wide(total), wide(a), dim, True), a.dtype)


@primitive("logcumsumexp_sums(Tensor v, Tensor self, Tensor total, int dim) -> Tensor",
           vjp={"v": lambda g, self, total, dim: _weighted_from(g, self, total, dim),
                "self": lambda g, v, self, total, dim: v * _weighted_from(g, self, total, dim),
                "total": lambda g, out: -g * out})
def _weighted_to(v, a, total, dim):
    """``exp(-total_j) * sum over i <= j of v_i exp(a_i)``, the transpose of `_weighted_from` in its first argument."""
    d = a.dtype
    r = _difference(wide(v), wide(a), -wide(total), dim, False)
    return narrow(np.where(np.isnan(r), 0, r), d)


@primitive("logcumsumexp(Tensor self, int dim) -> Tensor", vjp={"self": _logcumsumexp_grad})
def _logcumsumexp(a, dim):
    if not a.ndim:
        return a.copy()
    k = _kernel("logcumsumexp", a.dtype, a.dtype)
    if k is not None:
        return _run(k, a, dim, a.dtype)
    x = wide(a)
    with np.errstate(all="ignore"):
        if x.dtype.kind == "c":
            out = np.empty_like(x)
            run, xs, os = None, np.moveaxis(x, dim, 0), np.moveaxis(out, dim, 0)
            for i in range(xs.shape[0]):
                run = xs[i].copy() if run is None else _log_add(run, xs[i])
                os[i] = run
            return narrow(out, a.dtype)
        return narrow(np.logaddexp.accumulate(x, dim), a.dtype)


def _log_add(a, b):
    big = np.where(a.real >= b.real, a, b)
    small = np.where(a.real >= b.real, b, a)
    r = big + np.log(1 + np.exp(small - big))
    return np.where(np.isinf(big.real) & (big.real < 0), big, r)


def logcumsumexp(input, dim):
    """log of the sums of exp(input) up to each position along `dim`, without overflow."""
    if input.dtype.category < FLOAT:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for "
                                  f"'{scalar_name(input.dtype)}'")
    return _logcumsumexp(input, wrap_dim(dim, input._a.ndim))


publish("logcumsumexp", logcumsumexp)

# ---------------------------------------------------------------- differences, trapezoids


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """n-th difference of neighbours along `dim`, of bools by xor."""
    if not input._a.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = wrap_dim(dim, input._a.ndim)
    parts = [x for x in (prepend, input, append) if x is not None]
    for x in (prepend, append):
        if x is not None and x._a.ndim != input._a.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    if n == 0:
        return input.clone()
    if len(parts) > 1:
        input = FUNCTIONS["torch"]["cat"](parts, d)
    n = min(n, input._a.shape[d])
    for _ in range(n):
        size = input._a.shape[d]
        later, earlier = input.narrow(d, 1, size - 1), input.narrow(d, 0, size - 1)
        input = later.logical_xor(earlier) if input.dtype.category == 0 else later - earlier
    return input


publish("diff", diff)


def trapezoid(y, x=None, *, dx=None, dim=-1):
    """Integral along `dim` by the trapezoidal rule, at positions `x` or spaced `dx` (default 1)."""
    if x is not None and dx is not None and not isinstance(dx, (int, float)):
        raise TypeError("trapezoid(): dx must be a number")
    d = wrap_dim(dim, y._a.ndim)
    n = y._a.shape[d]
    if not n:
        shape = [s for i, s in enumerate(y._a.shape) if i != d]
        return y.new_zeros(shape)
    left, right = y.narrow(d, 0, n - 1), y.narrow(d, 1, n - 1)
    if x is None:
        step = 1.0 if dx is None else dx
        return (left + right).sum(d) * (step / 2)
    return ((left + right) * _steps(x, y, d)).sum(d) / 2


def _steps(x, y, d):
    """Distances between the positions `x`, in a shape that broadcasts to y along `d`."""
    if x._a.ndim == 1 and y._a.ndim > 1:
        if x._a.shape[0] != y._a.shape[d]:
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        shape = [1] * y._a.ndim
        shape[d] = x._a.shape[0]
        x = x.reshape(shape)
    elif x._a.ndim < y._a.ndim:
        x = x.reshape((1,) * (y._a.ndim - x._a.ndim) + x._a.shape)
    axis = d - y._a.ndim + x._a.ndim
    m = x._a.shape[axis]
    return x.narrow(axis, 1, m - 1) - x.narrow(axis, 0, m - 1)


def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """Running integral along `dim` by the trapezoidal rule; one element fewer than `y`."""
    d = wrap_dim(dim, y._a.ndim)
    n = y._a.shape[d]
    left, right = y.narrow(d, 0, n - 1), y.narrow(d, 1, n - 1)
    if x is None:
        step = 1.0 if dx is None else dx
        return (step / 2) * (left + right).cumsum(d)
    return ((left + right) * _steps(x, y, d)).cumsum(d) / 2


publish("trapezoid", trapezoid, method=False, out=False)
publish("trapz", trapezoid, method=False, out=False)
publish("cumulative_trapezoid", cumulative_trapezoid, method=False, out=False)

