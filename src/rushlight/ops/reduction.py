"""Sums, means, products and tests over dimensions."""

import numpy as np

from ..autograd.modes import state
from ..dtypes import COMPLEX, FLOAT, from_np, scalar_name, uint8
from ..record import NONDIFF
from ..runtime.allocator import empty
from ..tensor import watch
from .dispatch import primitive
from .out import with_out
from .reduce_common import (
    F32,
    F64,
    I64,
    axes_of,
    compiled,
    count,
    is_low,
    kept,
    kernel,
    mapped_kernel,
    mask_of,
    narrow,
    reduce,
    reduced_shape,
    spread,
    wide,
)
from .registry import FUNCTIONS, METHODS
from .views import repeated


def publish(name, fn, *, namespaces=("torch",), method=True, out=True):
    """Publish a reduction, with NumPy's spelling of its arguments (axis, keepdims) and ``out=``."""
    if out:
        to = with_out(name, fn)

        def function(*args, out=None, **kwargs):
            if kwargs:
                _numpy_names(kwargs)
            if out is None:
                return fn(*args, **kwargs)
            return to(*args, out=out, **kwargs)
    else:
        def function(*args, **kwargs):
            if kwargs:
                _numpy_names(kwargs)
            return fn(*args, **kwargs)
    if out:
        function.deliver = to.deliver
    function.__name__ = function.__qualname__ = name
    function.__doc__ = fn.__doc__
    function.__wrapped__ = fn
    for ns in namespaces:
        FUNCTIONS.setdefault(ns, {})[name] = function
    if method:
        METHODS[name] = function
    return function


def _numpy_names(kwargs):
    if "axis" in kwargs:
        kwargs["dim"] = kwargs.pop("axis")
    if "keepdims" in kwargs:
        kwargs["keepdim"] = kwargs.pop("keepdims")


def _accumulate(a, axes, keepdim, np_dtype):
    """Sum in `np_dtype`; float32 sums run in double, 16-bit floats in float32."""
    d = a.dtype
    k = kernel("sum", d, np_dtype)
    if k is not None:
        return reduce(k, a, axes, keepdim, np_dtype)
    if np_dtype == F32 and d == F32:
        # NumPy adds pairwise only along the fastest axis.
        if a.size > 1024:
            return narrow(np.add.reduce(a, axes, F64, None, keepdim), F32)
        return np.add.reduce(a, axes, None, None, keepdim)
    if is_low(np_dtype) or is_low(d):
        a = wide(a)
        acc = F32 if is_low(np_dtype) else np_dtype
        if acc == F32:
            return narrow(_accumulate(a, axes, keepdim, F32), np_dtype)
        np_dtype = acc
    if a.dtype.kind == "c" and np_dtype.kind != "c":
        a = a.real
    with np.errstate(all="ignore"):
        if np_dtype.kind == "b":
            return np.logical_or.reduce(a, axes, None, None, keepdim)
        return np.add.reduce(a.astype(np_dtype, copy=False), axes, np_dtype, None, keepdim)


# ---------------------------------------------------------------- sum

def _into(out, a, axes, keepdim, np_dtype):
    """How a program sums into memory that is there."""
    k = kernel("sum", a.dtype, np_dtype)
    return None if k is None else (k, (out, a, mask_of(axes, a.ndim)))


@primitive("sum(Tensor self, ScalarType dtype) -> Tensor",
           vjp={"self": lambda g, self_shape: repeated(g, self_shape)}, samples="reduction", reference="sum",
           direct=lambda out, a, np_dtype: _into(out, a, None, False, np_dtype))
def _sum_all(a, np_dtype):
    return _accumulate(a, None, False, np_dtype)


@primitive("sum.dim_IntList(Tensor self, int[] dim, bool keepdim, ScalarType dtype) -> Tensor",
           node="SumBackward1",
           vjp={"self": lambda g, self_shape, dim, keepdim: spread(g, self_shape, dim, keepdim)}, direct=_into)
def _sum_dim(a, axes, keepdim, np_dtype):
    return _accumulate(a, axes, keepdim, np_dtype)


def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum over `dim` (an int, several, or None for all); integers and bools are summed as int64."""
    if dtype is None:
        d = input.dtype
        np_dtype = I64 if d.category < FLOAT else input._a.dtype
    else:
        np_dtype = dtype.np
        if dtype.category < input.dtype.category:
            input = input.to(dtype)
    if dim is None and not keepdim:
        return _sum_all(input, np_dtype)
    return _sum_dim(input, axes_of(dim, input._a.ndim), bool(keepdim), np_dtype)


publish("sum", sum)


# ---------------------------------------------------------------- mean

@primitive("mean(Tensor self, ScalarType dtype) -> Tensor",
           vjp={"self": lambda g, self_shape: g.expand(self_shape) / count(self_shape, None)},
           samples="reduction", reference="mean")
def _mean_all(a, np_dtype):
    return _average(a, None, False, np_dtype)


@primitive("mean.dim(Tensor self, int[] dim, bool keepdim, ScalarType dtype) -> Tensor",
           node="MeanBackward1",
           vjp={"self": lambda g, self_shape, dim, keepdim:
                spread(g, self_shape, dim, keepdim) / count(self_shape, dim)})
def _mean_dim(a, axes, keepdim, np_dtype):
    return _average(a, axes, keepdim, np_dtype)


def _average(a, axes, keepdim, np_dtype):
    k = kernel("mean", a.dtype, np_dtype)
    if k is not None:
        return reduce(k, a, axes, keepdim, np_dtype)
    n = count(a.shape, axes)
    with np.errstate(all="ignore"):
        if is_low(np_dtype):
            return narrow(_accumulate(wide(a), axes, keepdim, F32) / np.float32(n), np_dtype)
        total = _accumulate(a, axes, keepdim, np_dtype)
        return narrow(np.divide(total, n), np_dtype)


def _float_result(input, dtype, name):
    if dtype is None:
        if input.dtype.category < FLOAT:
            raise RuntimeError(f"{name}(): could not infer output dtype. Input dtype must be either a "
                               f"floating point or complex dtype. Got: {scalar_name(input.dtype)}")
        return input._a.dtype
    if dtype.category < FLOAT:
        raise RuntimeError(f"{name}(): could not infer output dtype. Optional dtype must be either a "
                           f"floating point or complex dtype. Got: {scalar_name(dtype)}")
    return dtype.np


def mean(input, dim=None, keepdim=False, *, dtype=None):
    """Average over `dim`; integer tensors need a floating `dtype`."""
    np_dtype = _float_result(input, dtype, "mean")
    if dim is None and not keepdim:
        return _mean_all(input, np_dtype)
    return _mean_dim(input, axes_of(dim, input._a.ndim), bool(keepdim), np_dtype)


publish("mean", mean)


# ---------------------------------------------------------------- without NaN

def _nansum_grad(g, self, dim, keepdim):
    return spread(g, self._a.shape, dim, keepdim) * self.isnan().logical_not()


def _numbers_only(s, x):
    return s.where(s.isnan(x), 0.0, x)


@primitive("nansum(Tensor self, int[] dim, bool keepdim, ScalarType dtype) -> Tensor",
           vjp={"self": _nansum_grad})
def _nansum(a, axes, keepdim, np_dtype):
    k = mapped_kernel("sum", a.dtype, np_dtype, _numbers_only) if a.dtype.kind not in "biu" else None
    if k is not None:
        return reduce(k, a, axes, keepdim, np_dtype)
    a = wide(a)
    if a.dtype.kind in "fc":
        a = np.where(np.isnan(a), a.dtype.type(0), a)
    return _accumulate(a, axes, keepdim, np_dtype)


def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum over `dim` with NaN counted as 0."""
    if input.dtype.category == COMPLEX:
        raise RuntimeError("nansum does not support complex inputs")
    np_dtype = dtype.np if dtype is not None else I64 if input.dtype.category < FLOAT else input._a.dtype
    return _nansum(input, axes_of(dim, input._a.ndim), bool(keepdim), np_dtype)


publish("nansum", nansum)


def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Average over `dim` of what is not NaN."""
    if input.dtype.category < FLOAT:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but got "
                           f"{scalar_name(input.dtype)}")
    n = sum(input.isnan().logical_not(), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / n


publish("nanmean", nanmean)


# ---------------------------------------------------------------- prod

def _product(a, axes, keepdim, np_dtype):
    k = kernel("prod", a.dtype, np_dtype)
    if k is not None:
        return reduce(k, a, axes, keepdim, np_dtype)
    if is_low(np_dtype):
        return narrow(np.multiply.reduce(wide(a).astype(F32, copy=False), axes, F32, None, keepdim),
                      np_dtype)
    with np.errstate(all="ignore"):
        if np_dtype.kind == "b":
            return np.logical_and.reduce(a, axes, None, None, keepdim)
        if a.dtype.kind == "c" and np_dtype.kind != "c":
            a = a.real
        return np.multiply.reduce(wide(a).astype(np_dtype, copy=False), axes, np_dtype, None, keepdim)


def _prod_grad(g, self, out):
    if not state.grad and watch.true(lambda a: a.size - np.count_nonzero(a) > 1, self):
        return self.new_zeros(self._a.shape)
    return _product_gradient(g.expand((1,)), self.reshape(-1), out.reshape(1), 0).reshape(
        self._a.shape) if self._a.ndim else g


def _prod_dim_grad(g, self, out, dim, keepdim):
    shape = self._a.shape
    if not shape:
        return g
    return _product_gradient(kept(g, shape, dim, keepdim), self, kept(out, shape, dim, keepdim), dim[0])


def _product_gradient(g, x, out, dim):
    """g * prod of the others: out / x where no factor is zero, exclusive products otherwise."""
    if x._a.size == 0:
        return x.new_zeros(x._a.shape)
    if x.is_meta or watch.true(np.all, x):
        return (g * (out / x).conj()) if x.dtype.is_complex else g * out / x
    from .registry import function
    ones = x.new_ones((*x._a.shape[:dim], 1, *x._a.shape[dim + 1:]))
    n = x._a.shape[dim]
    cat = function("cat")
    before = cat([ones, x.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    after = cat([ones, x.narrow(dim, 1, n - 1).flip(dim)], dim).cumprod(dim).flip(dim)
    others = before * after
    return g * (others.conj() if x.dtype.is_complex else others)


@primitive("prod(Tensor self, ScalarType dtype) -> Tensor", vjp={"self": _prod_grad},
           samples="reduction", reference="prod")
def _prod_all(a, np_dtype):
    return _product(a, None, False, np_dtype)


@primitive("prod.dim_int(Tensor self, int[] dim, bool keepdim, ScalarType dtype) -> Tensor",
           node="ProdBackward1", vjp={"self": _prod_dim_grad})
def _prod_dim(a, axes, keepdim, np_dtype):
    return _product(a, axes, keepdim, np_dtype)


def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product over `dim` (an int) or of all elements; integers and bools as int64."""
    np_dtype = dtype.np if dtype is not None else I64 if input.dtype.category < FLOAT else input._a.dtype
    if dtype is not None and dtype is not input.dtype:
        input = input.to(dtype)
    if dim is None:
        return _prod_all(input, np_dtype)
    if isinstance(dim, (tuple, list)):
        raise TypeError("prod() received an invalid combination of arguments - got (tuple), but expected "
                        "one of:\n * (*, torch.dtype dtype = None)\n * (int dim, bool keepdim = False, "
                        "*, torch.dtype dtype = None)")
    return _prod_dim(input, axes_of(dim, input._a.ndim), bool(keepdim), np_dtype)


publish("prod", prod)


# ---------------------------------------------------------------- all, any

_BOOLEAN = NONDIFF("bool result")


def _test_dtype(d):
    return uint8.np if d is uint8 else np.dtype(bool)


def _true(a):
    return a if a.dtype.kind in "biufc" else a != 0


@primitive("all(Tensor self, int[] dim, bool keepdim) -> Tensor", vjp=_BOOLEAN, samples="reduction_test",
           reference="all")
def _all(a, axes, keepdim):
    k = kernel("all", a.dtype, _result_of_test(a))
    if k is not None:
        return reduce(k, a, axes, keepdim, _result_of_test(a))
    return narrow(np.logical_and.reduce(_true(a), axes, None, None, keepdim), _result_of_test(a))


@primitive("any(Tensor self, int[] dim, bool keepdim) -> Tensor", vjp=_BOOLEAN, samples="reduction_test",
           reference="any")
def _any(a, axes, keepdim):
    k = kernel("any", a.dtype, _result_of_test(a))
    if k is not None:
        return reduce(k, a, axes, keepdim, _result_of_test(a))
    return narrow(np.logical_or.reduce(_true(a), axes, None, None, keepdim), _result_of_test(a))


def _result_of_test(a):
    return _test_dtype(from_np(a.dtype))


def _test_axes(dim, ndim):
    """Like axes_of, but an empty list reduces nothing."""
    if isinstance(dim, (tuple, list)) and not dim:
        return ()
    return axes_of(dim, ndim)


def all(input, dim=None, keepdim=False):
    """Whether all elements (along `dim`) are true, that is nonzero."""
    return _all(input, _test_axes(dim, input._a.ndim), bool(keepdim))


def any(input, dim=None, keepdim=False):
    """Whether any element (along `dim`) is true, that is nonzero."""
    return _any(input, _test_axes(dim, input._a.ndim), bool(keepdim))


publish("all", all)
publish("any", any)


def _nonzero(s, x):
    return x if x.kind == "b" else s.ne(x, 0)


@primitive("count_nonzero(Tensor self, int[] dim) -> Tensor", vjp=NONDIFF("integer result"),
           samples="reduction_test", reference="count_nonzero")
def _count_nonzero(a, axes):
    k = mapped_kernel("sum", a.dtype, I64, _nonzero)
    if k is not None:
        return reduce(k, a, axes, False, I64)
    return np.asarray(np.add.reduce(a != 0, axes, I64))


def count_nonzero(input, dim=None):
    """The number of nonzero elements (along `dim`) as int64."""
    return _count_nonzero(input, axes_of(dim, input._a.ndim))


publish("count_nonzero", count_nonzero, out=False)


# ---------------------------------------------------------------- logsumexp

def _logsumexp_grad(g, self, out, dim, keepdim):
    shape = self._a.shape
    out = kept(out, shape, dim, keepdim)
    g = kept(g, shape, dim, keepdim)
    weight = (self - out).exp()
    return g * (weight.conj() if weight.dtype.is_complex else weight)


_log_sums = {}


def _log_of_sum(d):
    """The kernel of log(sum(exp(x - top))) for arrays of type `d`, or None."""
    k = _log_sums.get(d, _log_sums)
    if k is _log_sums:
        k = None
        t = from_np(d)
        if t.category == FLOAT and t.itemsize > 1 and compiled():
            from ..compiler import reduce_kernel
            from ..compiler import scalar as s
            from ..compiler.expr import input_
            k = reduce_kernel("sum", (t.name, t.name), t.name, pre=s.exp(input_(0) - input_(1)),
                              post=s.log(input_(0))).call
        _log_sums[d] = k
    return k


@primitive("logsumexp(Tensor self, int[] dim, bool keepdim) -> Tensor", vjp={"self": _logsumexp_grad})
def _logsumexp(a, axes, keepdim):
    d = a.dtype
    k, total = kernel("max", d, d), _log_of_sum(d)
    if k is not None and total is not None and a.size:
        # log sum exp(x - m) + m with the largest element m, 0 in place of an infinite one.
        top = reduce(k, a, axes, True, d)
        np.copyto(top, 0, where=np.isinf(top))
        out = empty(reduced_shape(a.shape, axes, keepdim), d)
        total(out, a, top, mask_of(axes, a.ndim))
        top = top.reshape(out.shape)
        return narrow(wide(out) + wide(top), d)
    x = wide(a)
    if 0 in [a.shape[i] for i in (range(a.ndim) if axes is None else axes)]:
        with np.errstate(all="ignore"):
            return narrow(np.log(np.add.reduce(x, axes, None, None, keepdim)), d)
    with np.errstate(all="ignore"):
        top = np.maximum.reduce(x.real if x.dtype.kind == "c" else x, axes, None, None, True)
        top = np.where(np.isinf(top), top.dtype.type(0), top)
        r = np.log(_accumulate(np.exp(x - top), axes, True, x.dtype)) + top
    r = np.asarray(r)
    if not keepdim:
        r = r.reshape(np.add.reduce(np.empty(a.shape, bool), axes).shape)
    return narrow(r, d)


def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over `dim` without overflow; integers in the default float type."""
    if input.dtype.category < FLOAT:
        from .. import dtypes
        input = input.to(dtypes.default.float)
    return _logsumexp(input, axes_of(dim, input._a.ndim), bool(keepdim))


publish("logsumexp", logsumexp, namespaces=("torch", "torch.special"))

