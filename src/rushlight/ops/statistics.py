"""Variance, deviation, covariance; quantiles, histograms and counts."""

from functools import cache

import numpy as np

from ..dtypes import FLOAT, from_np, scalar_name
from ..record import NONDIFF, Joint
from ..runtime.allocator import empty
from ..tensor import watch
from .dispatch import primitive
from .reduce_common import (
    F32,
    F64,
    I64,
    axes_of,
    compiled,
    count,
    is_low,
    kernel,
    mask_of,
    narrow,
    reduce,
    reduced_shape,
    spread,
    wide,
)
from .reduction import publish
from .registry import FUNCTIONS

# ---------------------------------------------------------------- variance


def _moments(a, axes, correction, keepdim, rounded=True):
    """(variance, mean) over `axes`, two passes, double sums for float32; unless `rounded`, float32 for halves."""
    of = a.dtype if rounded or not is_low(a.dtype) else F32
    k = kernel("var_mean", a.dtype, (of, of))
    if k is not None:
        shape = reduced_shape(a.shape, axes, keepdim)
        variance, average = empty(shape, of), empty(shape, of)
        watch.launch(k, variance, average, a, mask_of(axes, a.ndim), float(correction))
        return variance, average
    low = is_low(a.dtype)
    x = wide(a)
    n = count(a.shape, axes)
    acc = F64 if x.dtype == F32 and x.size > 1024 else x.dtype
    with np.errstate(all="ignore"):
        average = np.asarray(np.add.reduce(x, axes, acc, None, True) / acc.type(n))
        off = x - average.astype(x.dtype, copy=False)
        squares = off.real ** 2 + off.imag ** 2 if x.dtype.kind == "c" else off * off
        if acc == F64 and x.dtype == F32:
            total = np.add.reduce(squares, axes, F64, None, keepdim)
        else:
            total = np.add.reduce(squares, axes, None, None, keepdim)
        rest = max(n - correction, 0)
        variance = np.asarray(np.divide(total, rest))
    if not keepdim:
        average = average.reshape(variance.shape)
    real = np.dtype(of) if low else x.real.dtype
    return narrow(variance, real), narrow(average, of)


def _deviations(a, axes, correction, keepdim):
    """(deviation, mean): the root of a variance beyond what numbers of the dtype hold may be one of theirs."""
    k = _deviation_kernel(a.dtype)
    if k is not None:
        shape = reduced_shape(a.shape, axes, keepdim)
        deviation, average = empty(shape, a.dtype), empty(shape, a.dtype)
        watch.launch(k, deviation, average, a, mask_of(axes, a.ndim), float(correction))
        return deviation, average
    v, m = _moments(a, axes, correction, keepdim, False)
    root = _root(v)
    return (narrow(root, a.dtype), narrow(m, a.dtype)) if is_low(a.dtype) else (root, m)


@cache
def _deviation_kernel(d):
    """The compiled reduction that takes the root before it rounds, or None."""
    kind = from_np(d)
    if kind.category != FLOAT or kind.itemsize < 2 or not compiled():
        return None
    from ..compiler import reduce_kernel, trace
    return reduce_kernel("var_mean", kind.name, (kind.name,) * 2, ("float64",), post=trace(_square_root, "f")[0]).call


def _degrees(shape, dim, correction):
    return count(shape, dim) - correction


def _var_grad(g, self, dim, correction, keepdim):
    shape = self._a.shape
    g = spread(g, shape, dim, keepdim)
    rest = _degrees(shape, dim, correction)
    if rest <= 0:
        # PyTorch's limit: 0 / 0 where all deviations vanish, infinite slopes otherwise.
        return g * (self - _mean(self, dim)) * (2 / rest if rest else float("inf"))
    return (2.0 / rest) * g * (self - _mean(self, dim))


def _mean(x, dim):
    return x.mean(None if dim is None else list(dim), True)


def _std_grad(g, self, out, dim, correction, keepdim):
    g = (g / (out * 2)).masked_fill(out == 0, 0)
    return _var_grad(g, self, dim, correction, keepdim)


@primitive("var.correction(Tensor self, int[] dim, Scalar correction, bool keepdim) -> Tensor",
           vjp={"self": _var_grad})
def _var(a, axes, correction, keepdim):
    return _moments(a, axes, correction, keepdim)[0]


@primitive("std.correction(Tensor self, int[] dim, Scalar correction, bool keepdim) -> Tensor",
           vjp={"self": _std_grad})
def _std(a, axes, correction, keepdim):
    return _deviations(a, axes, correction, keepdim)[0]


def _root(v):
    if v.dtype in (F32, F64) and compiled():
        from .nn.kernels import elementwise
        out, n = empty(v.shape, v.dtype), v.dtype.name
        watch.launch(elementwise(("root", n), _square_root, "f", [n], [n], n), out, v)
        return out
    with np.errstate(all="ignore"):
        return narrow(np.sqrt(wide(v)), v.dtype)


def _square_root(x):
    from ..compiler import scalar as s
    return s.sqrt(x)


def _mean_part(g1, self, dim, keepdim):
    shape = self._a.shape
    return spread(g1, shape, dim, keepdim) / count(shape, dim)


def _var_mean_grad(g0, g1, self, dim, correction, keepdim):
    return (_var_grad(g0, self, dim, correction, keepdim) + _mean_part(g1, self, dim, keepdim),)


def _std_mean_grad(g0, g1, self, out0, dim, correction, keepdim):
    return (_std_grad(g0, self, out0, dim, correction, keepdim) + _mean_part(g1, self, dim, keepdim),)


@primitive("var_mean.correction(Tensor self, int[] dim, Scalar correction, bool keepdim) -> "
           "(Tensor, Tensor)", vjp=Joint(_var_mean_grad))
def _var_mean(a, axes, correction, keepdim):
    return _moments(a, axes, correction, keepdim)


@primitive("std_mean.correction(Tensor self, int[] dim, Scalar correction, bool keepdim) -> "
           "(Tensor, Tensor)", vjp=Joint(_std_mean_grad))
def _std_mean(a, axes, correction, keepdim):
    return _deviations(a, axes, correction, keepdim)


def _spread_function(name, call, doc):
    def fn(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if input.dtype.category < FLOAT:
            raise RuntimeError(f"{name}: std and var only support floating point and complex dtypes"
                               if "_mean" in name else
                               "std and var only support floating point and complex dtypes")
        if type(dim) is bool:
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        elif unbiased is not None:
            raise TypeError(f"{name}() received an invalid combination of arguments: both unbiased and "
                            "correction")
        axes = axes_of(dim, input._a.ndim)
        n = count(input._a.shape, axes)
        if n - correction <= 0:
            import warnings
            warnings.warn(f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than "
                          "the reduction factor (input numel divided by output numel).", stacklevel=2)
        return call(input, axes, correction, bool(keepdim))
    fn.__doc__ = doc
    publish(name, fn, method="_mean" not in name, out="_mean" not in name)


_spread_function("var", _var, "Variance over `dim`: sum of |x - mean|^2 over (N - correction).")
_spread_function("std", _std, "Standard deviation over `dim`, with N - correction in the denominator.")
_spread_function("var_mean", _var_mean, "(variance, mean) over `dim`.")
_spread_function("std_mean", _std_mean, "(standard deviation, mean) over `dim`.")

# ---------------------------------------------------------------- covariance


def cov(input, *, correction=1, fweights=None, aweights=None):
    """Covariance matrix of variables in rows, observations in columns.

    fweights: how often each observation occurs (integers); aweights: its importance.
    """
    if input._a.ndim > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an input with "
                           f"{input._a.ndim} dimensions")
    if input.dtype.category == 0:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input._a.ndim < 2 else input
    n = x._a.shape[1]
    w = None
    for name, u, integral in (("fweights", fweights, True), ("aweights", aweights, False)):
        if u is None:
            continue
        if u._a.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} "
                               f"with {u._a.ndim} dimensions")
        if integral and u.dtype.category != 1:
            raise RuntimeError(f"cov(): expected fweights to have integral dtype but got fweights with "
                               f"{scalar_name(u.dtype)} dtype")
        if not integral and u.dtype.category != FLOAT:
            raise RuntimeError(f"cov(): expected aweights to have floating point dtype but got aweights "
                               f"with {scalar_name(u.dtype)} dtype")
        if u._a.size != n:
            raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations "
                               f"in the input but got {u._a.size} != {n}")
        if n and watch.true(lambda a: (a < 0).any(), u):
            raise RuntimeError(f"cov(): {name} cannot be negative")
        w = u if w is None else w * u
    total = n if w is None else w.sum()
    if w is not None and n and total.item() == 0:
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    average = (x if w is None else x * w).sum(1, dtype=None) / total
    if w is None or aweights is None or correction == 0:
        norm = total - correction
    else:
        norm = total - correction * (w * aweights).sum() / total
    norm = max(norm, 0) if isinstance(norm, int) else norm.clamp(min=0)
    x = x - average.unsqueeze(1)
    y = x if w is None else x * w
    c = x @ (y.conj() if y.dtype.is_complex else y).t()
    c = c / norm
    return c.squeeze()


def corrcoef(input):
    """Correlation coefficients of variables in rows: cov(input), each entry over both deviations."""
    if input._a.ndim > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got an input "
                           f"with {input._a.ndim} dimensions")
    c = cov(input)
    if not c._a.ndim:
        return c / c
    deviation = c.diagonal()
    if c.dtype.is_complex:
        deviation = deviation.real
    deviation = deviation.sqrt()
    c = c / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if c.dtype.is_complex:
        named = FUNCTIONS["torch"]
        return named["complex"](c.real.clamp(-1, 1), c.imag.clamp(-1, 1))
    return c.clamp(-1, 1)


publish("cov", cov, out=False)
publish("corrcoef", corrcoef, out=False)

# ---------------------------------------------------------------- quantiles


def _quantile(name, input, q, dim, keepdim, interpolation, skip_nan):
    from ..tensor.tensor import Tensor
    if input.dtype.category != FLOAT or input.dtype.itemsize < 4:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or "
                           f"nearest, but got {interpolation}")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        q = input.detach().new_full((), q)
    else:
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if q._a.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._a.size and not ((q._a >= 0) & (q._a <= 1)).all():
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    if not input._a.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    nd = input._a.ndim
    if dim is None:
        shape_kept = (1,) * nd
        x = input.reshape(-1)
    else:
        d, = axes_of(dim, nd) or (0,)
        shape_kept = tuple(1 if i == d else n for i, n in enumerate(input._a.shape))
        x = input.movedim(d, -1) if nd else input.reshape(1)
    x = x.sort(-1).values
    n = x._a.shape[-1]
    qs = q.reshape(-1)
    if skip_nan:
        valid = x.isnan().logical_not().sum(-1, True)
        rank = qs * (valid - 1).to(x.dtype)
        rank = rank.clamp(min=0)
    else:
        rank = (qs * (n - 1)).expand((*x._a.shape[:-1], qs._a.size))
        bad = x.isnan().any(-1, True)
        if type(bad._a) is not np.ndarray or bool(bad.any()):
            rank = rank.masked_fill(bad, n - 1)
    if interpolation == "lower":
        rank = rank.floor()
    elif interpolation == "higher":
        rank = rank.ceil()
    elif interpolation == "nearest":
        rank = rank.round()
    below = rank.long() if not interpolation == "midpoint" else rank.floor().long()
    out = x.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        weight = rank - below if interpolation == "linear" else \
            input.detach().new_full(rank._a.shape, 0.5)
        above = rank.ceil().long()
        out = out.lerp(x.gather(-1, above), weight.expand(out._a.shape))
    # out: remaining dimensions, then q.
    if dim is None:
        out = out.reshape((qs._a.size, *(shape_kept if keepdim else ())))
    else:
        out = out.movedim(-1, 0) if nd else out
        rest = shape_kept if keepdim else tuple(
            s for i, s in enumerate(input._a.shape) if i != d)
        out = out.reshape((qs._a.size, *rest))
    return out.squeeze(0) if not q._a.ndim else out


def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The q-quantiles along `dim`, NaN where the data have one; q comes first in the result's shape."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The q-quantiles along `dim` of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


publish("quantile", quantile)
publish("nanquantile", nanquantile)

# ---------------------------------------------------------------- counting

_COUNTS = NONDIFF("counts")


def _counts(x, bins):
    """How often each of 0 ... bins - 1 occurs in a dense int64 array."""
    from ..compiler.templates.distinct import counts_kernel
    counts = empty((bins,), I64)
    counts.fill(0)
    counts_kernel()(counts, x, x.size, bins)
    return counts


@primitive("bincount(Tensor self, Tensor? weights, int minlength) -> Tensor", vjp=_COUNTS)
def _bincount(a, weights, minlength):
    if weights is None and a.size and compiled():
        x = np.ascontiguousarray(a, I64)
        return _counts(x, max(int(reduce(kernel("max", I64, I64), x, None, False, I64)) + 1, minlength))
    if weights is None:
        return np.bincount(a, None, minlength).astype(I64, copy=False)
    r = np.bincount(a, wide(weights).astype(F64), minlength)
    return r.astype(F32 if weights.dtype == F32 else F64, copy=False)


def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs, or the sum of its weights."""
    if input._a.ndim != 1 or input.dtype.category != 1 or (
            input._a.size and type(input._a) is np.ndarray and int(input.detach().amin()) < 0):
        if input.dtype.category != 1:
            raise NotImplementedError(f"\"bincount_cpu\" not implemented for "
                                      f"'{scalar_name(input.dtype)}'")
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is not None and weights._a.shape != input._a.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    return _bincount(input, weights, minlength)


publish("bincount", bincount, out=False)


@cache
def _bin_kernel(name):
    """The kernel (positions, x, low, bins, width, high): which of the equal parts holds x, ``bins`` for none."""
    from ..compiler import pointwise_kernel
    from ..compiler import scalar as s
    from ..compiler.expr import input_
    x, (low, bins, width, high) = input_(0), [s.scalar(i) for i in range(4)]
    at = s.minimum(s.trunc((x - low) * bins / width), bins - 1)
    inside = s.logical_and(s.ge(x, low), s.le(x, high))
    return pointwise_kernel((s.where(inside, at, bins),), [name], ["float64"] * 4, ["int64"], name).call


@primitive("histc(Tensor self, int bins, Scalar min, Scalar max) -> Tensor", vjp=_COUNTS)
def _histc(a, bins, low, high):
    x = wide(a).reshape(-1)
    if low == high:
        if x.size:
            low, high = x.min().item(), x.max().item()
        if low == high:
            low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if compiled() and a.dtype in (F32, F64) and bins < 1 << 20:
        at = empty(x.shape, I64)
        _bin_kernel(from_np(a.dtype).name)(at, x, float(low), float(bins), float(high - low), float(high))
        # What lies outside is counted in a part of its own.
        return _counts(at, bins + 1)[:bins].astype(a.dtype)
    x = x[(x >= low) & (x <= high)]
    at = ((x - low) * bins / (high - low)).astype(I64)
    return np.bincount(np.minimum(at, bins - 1), None, bins).astype(a.dtype)


def histc(input, bins=100, min=0, max=0):
    """How many elements lie in each of `bins` equal parts of [min, max] (the data's range if equal)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if min > max:
        raise RuntimeError("max must be larger than min")
    if input.dtype.category != FLOAT:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{scalar_name(input.dtype)}'")
    return _histc(input, bins, min, max)


publish("histc", histc)


def _one_histogram(x, edges, weight):
    """Numbers between the edges, the last part with its upper edge, or the sums of their weights."""
    from .sorting import _made
    n, edges = len(edges), np.ascontiguousarray(edges, x.dtype)
    place, x = empty(x.shape, I64), np.ascontiguousarray(x)
    _made("search", "search", x.dtype.name)(place, edges, x, 1, n, x.size, 1, 1)
    last = x == edges[-1]
    if weight is None:
        counts = _counts(place, n + 1)[1:n].astype(F64)
        counts[-1] += np.count_nonzero(last)
    else:
        w = np.ascontiguousarray(wide(weight)).reshape(-1)
        counts = np.bincount(place, w, n + 1)[1:n]
        counts[-1] += w[last].sum(dtype=F64)
    return counts


@primitive("histogram(Tensor self, Tensor[] edges, Tensor? weight, bool density) -> Tensor", vjp=_COUNTS)
def _histogramdd(a, edges, weight, density):
    points = wide(a).reshape(-1, len(edges))
    if len(edges) == 1 and compiled() and points.dtype in (F32, F64) and points.size and not density:
        return narrow(_one_histogram(points.reshape(-1), edges[0], weight), a.dtype)
    inside = np.ones(len(points), bool)
    flat = np.zeros(len(points), I64)
    shape = [len(e) - 1 for e in edges]
    for i, e in enumerate(edges):
        x = points[:, i]
        inside &= (x >= e[0]) & (x <= e[-1])
        # The last bin contains its upper edge.
        at = np.minimum(np.searchsorted(e, x, "right") - 1, len(e) - 2)
        flat = flat * shape[i] + at
    w = None if weight is None else wide(weight).reshape(-1)[inside]
    hist = np.bincount(flat[inside], w, int(np.prod(shape))).astype(F64).reshape(shape)
    if density:
        hist /= hist.sum()
        for i, e in enumerate(edges):
            hist /= np.diff(wide(e)).reshape([-1 if k == i else 1 for k in range(len(edges))])
    return narrow(hist, a.dtype)


def _edges(input, bins, range):
    """Bin edges of one coordinate: given, or `bins` equal parts of `range` or of the data's range."""
    from ..tensor.tensor import Tensor
    if isinstance(bins, Tensor):
        return bins
    if bins <= 0:
        raise RuntimeError("torch.histogramdd(): bins must be > 0")
    return _equal_parts(input, bins, range)


@primitive("_equal_parts(Tensor self, int bins, float[]? range) -> Tensor", vjp=_COUNTS)
def _equal_parts(a, bins, range):
    x = wide(a)
    if range is None:
        low, high = (x.min().item(), x.max().item()) if x.size else (0.0, 1.0)
    else:
        low, high = range
    if low == high:
        low, high = low - 0.5, high + 0.5
    if not low < high:
        raise RuntimeError("torch.histogramdd(): min should not exceed max")
    from .sequences import _spaced
    return _spaced(low, high, bins + 1, from_np(x.dtype))


def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """(hist, bin_edges) of the flattened input; `bins` a number or increasing edges."""
    from ..return_types import histogram as struct
    _check_histogram(input, "histogram")
    edges = _edges(input, bins, range)
    if weight is not None and weight._a.shape != input._a.shape:
        raise RuntimeError("torch.histogramdd(): if weight tensor is provided it should have the same "
                           "shape as the input tensor excluding its innermost dimension")
    r = (_histogramdd(input.reshape(-1, 1), [edges], weight, density), edges)
    if out is not None:
        for x, o in zip(r, out):
            o.resize_(x.shape).copy_(x)
        return struct(tuple(out))
    return struct(r)


def _check_histogram(input, name):
    if input.dtype.category != FLOAT:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{scalar_name(input.dtype)}'")


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """(hist, edges) of points with N coordinates in the last dimension."""
    from ..return_types import histogramdd as struct
    _check_histogram(input, "histogramdd")
    if input._a.ndim < 2:
        raise RuntimeError("torch.histogramdd(): input tensor should have at least 2 dimensions")
    n = input._a.shape[-1]
    if isinstance(bins, int):
        bins = (bins,) * n
    if len(bins) != n:
        raise RuntimeError(f"torch.histogramdd(): expected {n} sequences of bin edges for a {n}-dimensional"
                           f" histogram but got {len(bins)}")
    flat = input.detach().reshape(-1, n)
    edges = [_edges(flat[:, i], b, None if range is None else range[2 * i:2 * i + 2])
             for i, b in enumerate(bins)]
    return struct((_histogramdd(input, edges, weight, density), edges))


publish("histogram", histogram, out=False)
publish("histogramdd", histogramdd, method=False, out=False)

