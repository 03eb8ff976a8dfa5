"""Reductions, scans, sorting."""

import numpy as np

from rushlight import dtypes

from . import maps

bool_, int32, int64 = dtypes.bool_, dtypes.int32, dtypes.int64


def _axes(x, dim):
    return [] if dim is None else [d % max(x.rank, 1) for d in dim] if x.rank else []


def _plain(x):
    """Whether a reduction of a 0-d tensor leaves it as it is."""
    return x.rank == 0


@maps("sum", "sum.dim_IntList", "mean", "mean.dim", "prod", "prod.dim_int")
def _sum(b, x, *rest):
    dim, keepdim = (rest[0], rest[1]) if len(rest) == 3 else ([], False)
    kind = {"s": "ReduceSum", "m": "ReduceMean", "p": "ReduceProd"}[b.key[0]]
    d = b.result.dtype
    name = b.as_type(x, d)
    return name if _plain(x) else b.reduce(kind, name, _axes(x, dim), keepdim)


@maps("nansum")
def _nansum(b, x, dim, keepdim, dtype):
    zero = b.scalar(0, x.dtype)
    return b.reduce("ReduceSum", b.op("Where", b.op("IsNaN", x), zero, x), _axes(x, dim), keepdim)


@maps("all", "any")
def _truth(b, x, dim, keepdim):
    name = b.cast(b.as_type(x, bool_), int32)
    if not _plain(x):
        name = b.reduce("ReduceMin" if b.key == "all" else "ReduceMax", name, _axes(x, dim), keepdim)
    return b.cast(name, b.result.dtype)


@maps("count_nonzero")
def _count(b, x, dim):
    return b.reduce("ReduceSum", b.cast(b.as_type(x, bool_), int64), _axes(x, dim), False)


@maps("logsumexp")
def _logsumexp(b, x, dim, keepdim):
    return x.name if _plain(x) else b.reduce("ReduceLogSumExp", x, _axes(x, dim), keepdim)


@maps("amax", "amin", "max", "min")
def _extreme(b, x, dim=None, keepdim=False):
    return x.name if _plain(x) else b.reduce("ReduceMax" if "max" in b.key else "ReduceMin", x, _axes(x, dim), keepdim)


@maps("max.dim", "min.dim")
def _extreme_along(b, x, dim, keepdim):
    if _plain(x):
        return x.name, b.const(np.array(0, np.int64))
    most = b.key == "max.dim"
    values = b.reduce("ReduceMax" if most else "ReduceMin", x, [dim % x.rank], keepdim)
    if not b.wanted[1]:
        return values, None
    return values, b.op("ArgMax" if most else "ArgMin", x, axis=dim % x.rank, keepdims=int(keepdim))


@maps("argmax", "argmin")
def _position(b, x, dim, keepdim):
    kind = "ArgMax" if b.key == "argmax" else "ArgMin"
    if _plain(x):
        return b.const(np.array(0, np.int64))
    if dim is None:
        found = b.op(kind, b.op("Reshape", x, np.array([-1], np.int64)), axis=0, keepdims=0)
        return b.op("Reshape", found, np.ones(x.rank, np.int64)) if keepdim else found
    return b.op(kind, x, axis=dim % x.rank, keepdims=int(bool(keepdim)))


@maps("aminmax")
def _aminmax(b, x, dim, keepdim):
    axes = [] if dim is None else [dim % x.rank]
    return b.reduce("ReduceMin", x, axes, keepdim), b.reduce("ReduceMax", x, axes, keepdim)


@maps("var.correction", "std.correction", "var_mean.correction", "std_mean.correction")
def _variance(b, x, dim, correction, keepdim):
    axes = _axes(x, dim) or list(range(x.rank))
    mean = b.reduce("ReduceMean", x, axes, True)
    gap = b.op("Sub", x, mean)
    square = b.op("Mul", gap, gap)
    out = b.reduce("ReduceMean", square, axes, keepdim)
    if correction:
        n = 1
        for d in axes:
            n = n * x.shape[d] if isinstance(n, int) and isinstance(x.shape[d], int) else None
            if n is None:
                break
        if n is not None:
            out = b.op("Mul", out, b.scalar(n / max(n - correction, 0) if n > correction else np.inf, x.dtype))
        else:
            count = b.op("ReduceProd", b.ints([x.shape[d] for d in axes]), keepdims=0)
            count = b.cast(count, x.dtype)
            out = b.op("Mul", out, b.op("Div", count, b.op("Sub", count, b.scalar(correction, x.dtype))))
    if b.key.startswith("std"):
        out = b.op("Sqrt", out)
    if "mean" not in b.key:
        return out
    return out, mean if keepdim or not b.wanted[1] else b.squeeze(mean, axes)


@maps("linalg_vector_norm")
def _norm(b, x, order, dim, keepdim, dtype):
    d = b.result.dtype
    x, name = x, b.as_type(x, d)
    axes = _axes(x, dim)
    if order in (1, 2):
        return b.op("Abs", name) if _plain(x) else b.reduce(f"ReduceL{int(order)}", name, axes, keepdim)
    size = b.op("Abs", name)
    if order in (float("inf"), float("-inf")):
        return b.reduce("ReduceMax" if order > 0 else "ReduceMin", size, axes, keepdim)
    if order == 0:
        nonzero = b.cast(b.cast(name, bool_), d)
        return b.reduce("ReduceSum", nonzero, axes, keepdim)
    total = b.reduce("ReduceSum", b.op("Pow", size, b.scalar(order, d)), axes, keepdim)
    return b.op("Pow", total, b.scalar(1 / order, d))


@maps("cumsum")
def _cumsum(b, x, dim, dtype):
    name = b.as_type(x, b.result.dtype)
    return name if _plain(x) else b.op("CumSum", name, np.array(dim % x.rank, np.int64))


@maps("cumprod")
def _cumprod(b, x, dim, dtype):
    """Products by a triangle of ones: elements that are not there count as 1."""
    d = b.result.dtype
    name, rank = b.as_type(x, d), x.rank
    if _plain(x):
        return name
    dim %= rank
    n = b.arange(x.shape[dim])
    later = b.op("Greater", b.unsqueeze(n, [0]), b.unsqueeze(n, [1]))       # (result, element)
    perm = [*[k for k in range(rank) if k != dim], dim]
    last = b.op("Transpose", name, perm=perm)
    parts = b.op("Where", later, b.scalar(1, d), b.unsqueeze(last, [rank - 1]))
    found = b.reduce("ReduceProd", parts, [rank], False)
    return b.op("Transpose", found, perm=[int(k) for k in np.argsort(perm)])


@maps("median")
def _median_of_all(b, x):
    n = 1
    for size in b.known_shape(x):
        n *= size
    flat = b.op("Reshape", x, np.array([-1], np.int64))
    values, _ = b.op("TopK", flat, np.array([(n + 1) // 2], np.int64), outputs=2, axis=0, largest=0, sorted=1)
    return b.op("Squeeze", b.op("Gather", values, np.array([-1], np.int64), axis=0))


@maps("topk")
def _topk(b, x, k, dim, largest, sorted):
    return tuple(b.op("TopK", x, b.size(k), outputs=2, axis=dim % x.rank, largest=int(largest), sorted=1))


@maps("sort", "sort.stable")
def _sort(b, x, dim, descending):
    if _plain(x):
        return x.name, b.const(np.array(0, np.int64))
    dim %= x.rank
    wide = x.dtype is bool_
    source = b.cast(x, int32) if wide else x
    values, at = b.op("TopK", source, b.size(x.shape[dim]), outputs=2, axis=dim, largest=int(descending), sorted=1)
    return (b.cast(values, bool_) if wide else values), at


@maps("kthvalue")
def _kthvalue(b, x, k, dim, keepdim):
    dim %= x.rank
    values, at = b.op("TopK", x, b.size(k), outputs=2, axis=dim, largest=0, sorted=1)
    last = [b.op("Gather", y, np.array([-1], np.int64), axis=dim) for y in (values, at)]
    return tuple(last) if keepdim else tuple([b.squeeze(y, [dim]) for y in last])


@maps("median.dim")
def _median(b, x, dim, keepdim):
    n = b.known(x.shape[dim], "the size along the dimension")
    return _kthvalue(b, x, (n + 1) // 2, dim, keepdim)


@maps("_cdist_forward")
def _cdist(b, x, y, p, products):
    gap = b.op("Abs", b.op("Sub", b.unsqueeze(x, [x.rank - 1]), b.unsqueeze(y, [y.rank - 2])))
    if p in (1, 2):
        return b.reduce(f"ReduceL{int(p)}", gap, [-1], False)
    total = b.reduce("ReduceSum", b.op("Pow", gap, b.scalar(p, x.dtype)), [-1], False)
    return b.op("Pow", total, b.scalar(1 / p, x.dtype))


@maps("mse_loss", "l1_loss")
def _loss(b, x, y, reduction, extra):
    gap = b.op("Sub", x, y)
    terms = b.op("Abs", gap) if b.key == "l1_loss" else b.op("Mul", gap, gap)
    return terms if reduction == 0 else b.reduce("ReduceMean" if reduction == 1 else "ReduceSum", terms, [], False)


@maps("nll_loss_forward")
def _nll_loss(b, x, target, weight, reduction, ignore_index):
    kind = ("none", "mean", "sum")[reduction]
    return b.op("NegativeLogLikelihoodLoss", x, target, weight, reduction=kind, ignore_index=ignore_index), None


@maps("_softmax", "_log_softmax")
def _softmax(b, x, dim):
    kind = "Softmax" if b.key == "_softmax" else "LogSoftmax"
    if _plain(x):
        return b.op("Squeeze", b.op(kind, b.unsqueeze(x, [0]), axis=0))
    return b.softmax(kind, x, dim % x.rank, x.rank)
