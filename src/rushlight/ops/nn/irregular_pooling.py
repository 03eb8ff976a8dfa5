"""Pooling over windows that are not evenly spaced: adaptive and fractional; and the inverse of maximum pooling."""

import math
from functools import lru_cache

import numpy as np

from ... import dtypes
from ...tensor import watch
from ..copy import converted
from ..dispatch import primitive
from ..registry import public
from .kernels import name_of
from .pooling import mean_windows, scatter, volume_tables, window_maxima
from .separable import Plan, supported
from .windows import tuple_of

_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")


# ---------------------------------------------------------------- adaptive

def _targets(op, input, output_size, n):
    """Output sizes as a tuple; RuntimeError where they do not fit the input."""
    return _targets_of(op, input._a.shape, tuple(output_size) if isinstance(output_size, list) else output_size, n)


@lru_cache(256)
def _targets_of(op, shape, output_size, n):
    if n > 1 and isinstance(output_size, tuple) and len(shape) <= len(output_size):
        raise ValueError(f"{op}(): Input dimension should be at least {len(output_size) + 1}, but got {list(shape)}")
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(shape)}")
    size = tuple(output_size) if isinstance(output_size, tuple) else (output_size,) * n
    if len(size) != n:
        raise RuntimeError(f"{op}: output_size must be {n}")
    out = tuple(int(s) if s is not None else d for s, d in zip(size, shape[-n:]))
    if any(s < 0 for s in out):
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0 but "
                           f"received {list(out)}")
    if any(s == 0 for s in shape[-n:]):
        raise RuntimeError(f"{op}(): Expected input to have non-zero size for non-batch dimensions, but "
                           f"input has sizes {list(shape)}")
    return out


def _bounds(n, out):
    i = np.arange(out)
    return i * n // out, -(-(i + 1) * n // out)


def _mean_matrix(n, out):
    """(out, n): row i averages the i-th adaptive window."""
    start, end = _bounds(n, out)
    j = np.arange(n)
    m = ((j >= start[:, None]) & (j < end[:, None])).astype(np.float64)
    return m / (end - start)[:, None]


@lru_cache(64)
def _adaptive_plan(shape, size, np_dtype, adjoint):
    """The compiled map of adaptive averaging, or its adjoint."""
    maps = []
    for n, o in zip(shape, size):
        start, end = _bounds(n, o)
        maps.append(mean_windows(n, start, end, end - start))
    return Plan([m.transposed() if adjoint else m for m in maps], name_of(np_dtype))


def _adaptive_avg(x, size):
    """Mean of each of `size` windows that divide the last dimensions as evenly as they can."""
    if x.size and supported(x.dtype):
        return _adaptive_plan(x.shape[x.ndim - len(size):], tuple(size), x.dtype, False)(x)
    y = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    for i, o in enumerate(size):
        axis = x.ndim - len(size) + i
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ _mean_matrix(x.shape[axis], o).T.astype(y.dtype), -1,
                        axis)
    y = np.ascontiguousarray(y)
    return converted(y, x.dtype) if y.dtype != x.dtype else y


@primitive("adaptive_avg_pool_adjoint(Tensor self, int[] shape, int[] size) -> Tensor",
           vjp={"self": lambda g, size: _adaptive_averages(g, size)})
def _adaptive_avg_adjoint(g, shape, size):
    """Every mean's gradient shared out over its window."""
    if g.size and supported(g.dtype):
        return _adaptive_plan(tuple(shape[len(shape) - len(size):]), tuple(size), g.dtype, True)(g)
    y = g.astype(np.float32) if g.dtype.itemsize == 2 else g
    for i, o in enumerate(size):
        axis = len(shape) - len(size) + i
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ _mean_matrix(shape[axis], o).astype(y.dtype), -1, axis)
    y = np.ascontiguousarray(y)
    return converted(y, g.dtype) if y.dtype != g.dtype else y


@lru_cache(256)
def _adaptive_windows(spatial, size):
    """Where the windows begin and how long they are, for three dimensions."""
    first, last = (np.concatenate(ends) for ends in zip(*map(_bounds, spatial, size)))
    tables = first[None], (last - first)[None]
    return tuple(watch.fixed(np.ascontiguousarray(t)) for t in (
        tables if len(size) == 3 else volume_tables(*tables, len(size))))


def _adaptive_max(x, size):
    """(maximum, flat position) of each adaptive window."""
    n = len(size)
    spatial = x.shape[-n:]
    if x.size and all(size):
        found = window_maxima(x, n, size, *_adaptive_windows(spatial, tuple(size)), (1,) * n)
        if found:
            return found
    y = np.empty(x.shape[:-n] + tuple(size), x.dtype)
    index = np.empty(y.shape, np.int64)
    bounds = [_bounds(d, o) for d, o in zip(spatial, size)]
    flat_index = np.arange(int(np.prod(spatial))).reshape(spatial)
    for cell in np.ndindex(*size):
        window = tuple(slice(b[0][c], b[1][c]) for b, c in zip(bounds, cell))
        v = x[(Ellipsis,) + window].reshape(x.shape[:-n] + (flat_index[window].size,))
        w = v.astype(np.float32) if v.dtype.itemsize == 2 else v
        k = w.argmax(-1)
        if w.dtype.kind == "f":
            bad = np.isnan(w)
            k = np.where(bad.any(-1), v.shape[-1] - 1 - bad[..., ::-1].argmax(-1), k)
        y[(Ellipsis,) + cell] = np.take_along_axis(v, k[..., None], -1)[..., 0]
        index[(Ellipsis,) + cell] = flat_index[window].reshape(-1)[k]
    return y, index


def _define_adaptive_records(n, rank):
    """Means and maxima over adaptive windows of the last n dimensions."""
    averages = primitive(f"_adaptive_avg_pool{n}d(Tensor self, int[] size) -> Tensor",
                         vjp={"self": lambda g, self_shape, size: _adaptive_avg_adjoint(g, tuple(self_shape), size)},
                         node=f"AdaptiveAvgPool{rank}DBackward0")(_adaptive_avg)
    maxima = primitive(f"_adaptive_max_pool{n}d(Tensor self, int[] size) -> (Tensor, Tensor)",
                       vjp={"self": lambda g0, out1, self_shape: scatter(g0, out1, tuple(self_shape))},
                       node=f"AdaptiveMaxPool{rank}DBackward0")(_adaptive_max)
    return averages, maxima


def _define_adaptive(n):
    rank = max(n, 2)                # one dimension goes by the name of two, as in PyTorch
    averages, maxima = _define_adaptive_records(n, rank)

    def avg(input, output_size):
        size = _targets(f"adaptive_avg_pool{n}d", input, output_size, n)
        if all(s == 1 for s in size) and n > 1:
            return input.mean(list(range(-n, 0)), True)
        return averages(input, size)
    avg.__name__ = avg.__qualname__ = f"adaptive_avg_pool{n}d"
    avg.__doc__ = f"Mean over windows that divide the last {n} dimensions into `output_size` parts."
    public(namespaces=_TF if n == 1 else _F, method=False)(avg)

    def maximum(input, output_size, return_indices=False):
        size = _targets(f"adaptive_max_pool{n}d", input, output_size, n)
        x = input if input.dim() == n + 2 else input.unsqueeze(0)
        y, i = maxima(x, size)
        if input.dim() == n + 1:
            y, i = y.squeeze(0), i.squeeze(0)
        return (y, i) if return_indices else y
    maximum.__name__ = maximum.__qualname__ = f"adaptive_max_pool{n}d"
    maximum.__doc__ = f"Maximum over windows that divide the last {n} dimensions into parts."
    public(namespaces=_F, method=False)(maximum)

    def with_indices(input, output_size, return_indices=False):
        return maximum(input, output_size, True)
    with_indices.__name__ = with_indices.__qualname__ = f"adaptive_max_pool{n}d_with_indices"
    with_indices.__doc__ = f"As adaptive_max_pool{n}d, with the position of each maximum."
    public(namespaces=_F, method=False)(with_indices)
    if n == 1:
        public("adaptive_max_pool1d", namespaces=("torch",), method=False)(with_indices)


# What the adjoint's own gradient is, for any number of dimensions.
_adaptive_averages = primitive("_adaptive_avg_pool(Tensor self, int[] size) -> Tensor",
                               vjp={"self": lambda g, self_shape, size: _adaptive_avg_adjoint(
                                   g, tuple(self_shape), size)})(_adaptive_avg)

for _n in (1, 2, 3):
    _define_adaptive(_n)


# ---------------------------------------------------------------- unpooling, fractional

def _unpool_size(input, kernel, stride, padding, output_size, n):
    default = tuple((s - 1) * t + k - 2 * p for s, t, k, p in
                    zip(input.shape[-n:], stride, kernel, padding))
    if output_size is None:
        return default
    size = tuple(output_size)
    if len(size) == n + 2:
        size = size[2:]
    if len(size) != n:
        raise ValueError(f"output_size should be a sequence containing {n} or {n + 2} elements, but it "
                         f"has a length of '{len(size)}'")
    for d, (s, m, t) in enumerate(zip(size, default, stride)):
        if not m - t < s < m + t:
            raise ValueError(f"invalid output_size \"{size}\" (dim {d} must be between {m - t} and "
                             f"{m + t})")
    return size


def _define_unpool(n):
    def unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        kernel = tuple_of(kernel_size, n, "kernel_size", f"max_unpool{n}d")
        st = kernel if stride is None else tuple_of(stride, n, "stride", f"max_unpool{n}d")
        pd = tuple_of(padding, n, "padding", f"max_unpool{n}d")
        size = _unpool_size(input, kernel, st, pd, output_size, n)
        if indices.dtype is not dtypes.int64:
            raise RuntimeError("elements in indices should be type int64 but got: " + str(indices.dtype))
        if indices.shape != input.shape:
            raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor "
                               f"({list(input.shape)}) but got indices tensor with shape: "
                               f"{list(indices.shape)}")
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(f"Input to max_unpool{n}d should be a {n + 1}d or {n + 2}d Tensor, but "
                               f"got a tensor with {input.dim()} dimensions.")
        if input.numel() and not indices.is_meta and watch.true(
                lambda a: a.max() >= int(np.prod(size)) or a.min() < 0, indices):
            raise RuntimeError(f"Found an invalid max index: {int(indices._a.max())} (output volumes are of "
                               f"size {'x'.join(map(str, size))})")
        x, i = (input, indices) if input.dim() == n + 2 else (input.unsqueeze(0), indices.unsqueeze(0))
        flat = x.new_zeros((*x.shape[:2], int(np.prod(size))))
        y = flat.scatter(2, i.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1))
        y = y.reshape(*x.shape[:2], *size)
        return y.squeeze(0) if input.dim() == n + 1 else y
    unpool.__name__ = unpool.__qualname__ = f"max_unpool{n}d"
    unpool.__doc__ = f"Inverse of max_pool{n}d with indices: maxima at their places, zeros elsewhere."
    public(namespaces=_F, method=False)(unpool)


for _n in (1, 2, 3):
    _define_unpool(_n)


@primitive("fractional_max_pool(Tensor self, int[] kernel_size, int[] size, Tensor random_samples) -> "
           "(Tensor, Tensor)",
           vjp={"self": lambda g0, out1, self_shape: scatter(g0, out1, tuple(self_shape)),
                "random_samples": lambda: None},
           node="FractionalMaxPool2DBackward0")
def _fractional(x, kernel, size, samples):
    """Graham, "Fractional Max-Pooling", arXiv:1412.6071: windows at pseudo-random steps."""
    n = len(size)
    first = _fractional_starts(x.shape[2:], kernel, size, samples)
    count = np.concatenate([np.full(o, k) for o, k in zip(size, kernel)])
    found = window_maxima(x, n, size, first, np.broadcast_to(count, first.shape), (1,) * n) if x.size else None
    if found:
        return found
    planes = np.ascontiguousarray(x).reshape((-1,) + x.shape[2:])
    y, index = np.empty((len(planes), *size), x.dtype), np.empty((len(planes), *size), np.int64)
    numbers = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    ends = np.cumsum((0, *size))
    for k, plane in enumerate(planes):
        for cell in np.ndindex(*size):
            at = [first[k, ends[d] + cell[d]] for d in range(n)]
            w = tuple(slice(s, s + m) for s, m in zip(at, kernel))
            j = int(np.argmax(plane[w]))
            y[(k, *cell)], index[(k, *cell)] = plane[w].reshape(-1)[j], numbers[w].reshape(-1)[j]
    return y.reshape(x.shape[:2] + tuple(size)), index.reshape(x.shape[:2] + tuple(size))


def _fractional_starts(shape, kernel, size, samples):
    """(planes, sum of size): where the windows of every plane begin along each dimension."""
    n = len(size)
    u = np.asarray(samples, samples.dtype if samples.dtype.itemsize > 2 else np.float32).reshape(-1, n)
    found = []
    for d, (m, k, o) in enumerate(zip(shape, kernel, size)):
        draw = u[:, n - 1 - d if n == 2 else d, None]
        alpha = draw.dtype.type((m - k) / (o - 1) if o > 1 else 0)
        start = ((np.arange(o, dtype=draw.dtype) + draw) * alpha).astype(np.int64) - (draw * alpha).astype(np.int64)
        start[:, -1] = m - k
        found.append(start)
    return np.concatenate(found, 1)


def _define_fractional(n):
    def with_indices(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                     _random_samples=None):
        op = f"fractional_max_pool{n}d"
        if output_size is None and output_ratio is None:
            raise ValueError(f"{op} requires specifying either an output_size or an output_ratio")
        kernel = tuple_of(kernel_size, n, "kernel_size", op)
        if output_size is None:
            ratio = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
            if not all(0 < r < 1 for r in ratio):
                raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
            output_size = [int(s * r) for s, r in zip(input.shape[-n:], ratio)]
        size = tuple_of(output_size, n, "output_size", op)
        x = input if input.dim() == n + 2 else input.unsqueeze(0)
        for s, k, o in zip(x.shape[2:], kernel, size):
            if o + k - 1 > s:
                raise RuntimeError(f"{op}(): pool size {k} too large relative to input size {s}")
        if _random_samples is None:
            from ..registry import function
            _random_samples = function("rand")(x.shape[0], x.shape[1], n, dtype=x.dtype)
        y, i = _fractional(x, kernel, size, _random_samples)
        return (y, i) if input.dim() == n + 2 else (y.squeeze(0), i.squeeze(0))

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
             _random_samples=None):
        y, i = with_indices(input, kernel_size, output_size, output_ratio, return_indices,
                            _random_samples)
        return (y, i) if return_indices else y
    pool.__name__ = pool.__qualname__ = f"fractional_max_pool{n}d"
    with_indices.__name__ = with_indices.__qualname__ = f"fractional_max_pool{n}d_with_indices"
    pool.__doc__ = with_indices.__doc__ = "Max pooling at pseudo-random fractional steps (Graham 2014)."
    public(namespaces=_F, method=False)(pool)
    public(namespaces=_F, method=False)(with_indices)


for _n in (2, 3):
    _define_fractional(_n)

