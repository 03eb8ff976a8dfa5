"""Pooling over evenly spaced windows: maximum (with indices), average, Lp."""

import math
from functools import cache, lru_cache

import numpy as np

from ...autograd.modes import state
from ...dtypes import int64
from ...runtime.allocator import empty
from ...tensor import watch
from ..copy import converted
from ..dispatch import needs_grad, primitive
from ..registry import public
from .kernels import name_of
from .separable import Plan, Taps, supported
from .windows import out_size, pad, position_views, tuple_of

_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")


def _lowest(np_dtype):
    if np_dtype.kind in "iu":
        return np.iinfo(np_dtype).min
    return -np.inf


def _geometry(op, input, kernel, stride, padding, dilation, ceil_mode, n):
    """(kernel, stride, padding, dilation, output sizes) as tuples; RuntimeError where they do not fit the input."""
    try:
        return _geometry_of(op, input._a.shape, kernel, stride, padding, dilation, ceil_mode, n)
    except TypeError:               # lists
        kernel, stride, padding, dilation = (tuple(v) if isinstance(v, list) else v
                                             for v in (kernel, stride, padding, dilation))
        return _geometry_of(op, input._a.shape, kernel, stride, padding, dilation, ceil_mode, n)


@lru_cache(256)
def _geometry_of(op, size, kernel, stride, padding, dilation, ceil_mode, n):
    kernel = tuple_of(kernel, n, "kernel_size", op)
    stride = kernel if stride is None or (isinstance(stride, (list, tuple)) and not stride) else \
        tuple_of(stride, n, "stride", op)
    padding = tuple_of(padding, n, "padding", op)
    dilation = tuple_of(dilation, n, "dilation", op)
    if len(size) not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): Expected {n + 1}D or {n + 2}D input tensor, but got "
                           f"{list(size)}")
    if min(kernel) <= 0:
        raise RuntimeError(f"{op}(): kernel size should be greater than zero, but got {list(kernel)}")
    if min(stride) <= 0:
        raise RuntimeError(f"{op}(): stride must be greater than zero, but got {list(stride)}")
    if min(dilation) <= 0:
        raise RuntimeError(f"{op}(): dilation must be greater than zero, but got {list(dilation)}")
    for k, p, d in zip(kernel, padding, dilation):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, "
                               f"kernel_size={k} and dilation={d}")
    shape = size[-n:]
    if any(s == 0 for s in size[-n - 1:]):
        raise RuntimeError(f"{op}(): Expected input's non-batch dimensions to have positive length, but "
                           f"input has sizes {list(size)}")
    out = tuple(out_size(*a, ceil_mode) for a in zip(shape, kernel, stride, padding, dilation))
    if min(out) <= 0:
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, size[-n - 1:]))}). Calculated "
                           f"output size: ({size[-n - 1]}x{'x'.join(map(str, out))}). Output size "
                           "is too small")
    return kernel, stride, padding, dilation, out


def _after(shape, kernel, stride, padding, dilation, out):
    """Padding behind, so that every window fits (ceil mode may reach further than `padding`)."""
    return tuple(max(p, (o - 1) * s + d * (k - 1) + 1 - n - p) for n, k, s, p, d, o in
                 zip(shape, kernel, stride, padding, dilation, out))


# ---------------------------------------------------------------- maximum

_INT64 = np.dtype(np.int64)
_loaded = {}


def _native(name, np_dtype):
    """A kernel of `compiler.templates.maxima` for planes of a dtype, or None."""
    try:
        return _loaded[name, np_dtype]
    except KeyError:
        from ...compiler import available
        found = None
        if np_dtype.name in ("float32", "float64") and available():
            from ...compiler.templates.maxima import kernel
            found = kernel(name, {4: "float", 8: "double"}[np_dtype.itemsize])
        return _loaded.setdefault((name, np_dtype), found)


@cache
def _planes(lead, spatial, kernel, stride, padding, dilation, out):
    """The geometry words of `compiler.templates.maxima`; one dimension is a plane of one row."""
    def pair(t, filler):
        return t if len(t) == 2 else (filler, *t)
    return watch.fixed(np.array((math.prod(lead), *pair(spatial, 1), *pair(kernel, 1), *pair(stride, 1),
                                 *pair(padding, 0), *pair(dilation, 1), *pair(out, 1)), np.int64))


@cache
def _template(name, np_dtype):
    """A kernel of `compiler.templates.windowmax`."""
    from ...compiler.templates import windowmax
    return getattr(windowmax, name)(name_of(np_dtype))


def window_maxima(x, n, out, first, count, steps):
    """(largest value, flat position) of the windows of the last n dimensions; None where there is no kernel.

    first, count: int64 tables (planes or 1, sum of out) of where windows begin and how long they are.
    """
    if not supported(x.dtype) or x.shape[-1] > 2048 or math.prod(x.shape[x.ndim - n:]) >= 1 << 31:
        return None
    from ...compiler.templates.windowmax import window_words
    lead, fill = x.shape[:x.ndim - n], (1,) * (3 - n)
    planes = math.prod(lead)
    if first.shape[1] < 3 - n + sum(out):
        first, count = volume_tables(first, count, n)
    y, index = empty(lead + tuple(out), x.dtype), empty(lead + tuple(out), _INT64)
    if index.size:
        words = window_words(planes, (*fill, *x.shape[x.ndim - n:]), (*fill, *out), (*fill, *steps),
                             first.shape[1] if first.shape[0] > 1 else 0)
        watch.launch(_template("windows", x.dtype), y, index, x if x.flags.c_contiguous else np.ascontiguousarray(x),
                     np.ascontiguousarray(first), np.ascontiguousarray(count), words)
    return y, index


def volume_tables(first, count, n):
    """Tables of three dimensions from those of the last n."""
    extra = np.zeros((first.shape[0], 3 - n), np.int64)
    return np.concatenate([extra, first], 1), np.concatenate([extra + 1, count], 1)


@lru_cache(64)
def _strided_windows(shape, kernel, stride, padding, dilation, out):
    """Tables of evenly spaced windows, clipped to what is inside."""
    first, count = [], []
    for n, k, t, p, d, o in zip(shape, kernel, stride, padding, dilation, out):
        start = np.arange(o) * t - p
        skip = np.maximum(0, -(start // d))
        skip[start >= 0] = 0
        last = np.minimum(k - 1, (n - 1 - start) // d)
        first.append(start + skip * d)
        count.append(last - skip + 1)
    tables = volume_tables(np.concatenate(first)[None], np.concatenate(count)[None], len(shape))
    return tuple([watch.fixed(np.array(t, np.int64)) for t in tables])


@lru_cache(256)
def _row_plan(np_dtype, lead, spatial, kernel, stride, padding, dilation, out, indexed):
    """(kernel of `compiler.templates.windowrows`, its words), or None where there is none."""
    from ...compiler.templates import windowrows as template
    if not supported(np_dtype) or math.prod(spatial) >= 1 << 31:
        return None
    first, last = template.inside(spatial[-1], kernel[-1], stride[-1], padding[-1], dilation[-1], out[-1])
    if len(spatial) > 1 and (out[-1] - last + first) * 8 > out[-1]:
        return None                 # windows at the ends are done one by one
    along = kernel[-1], stride[-1], dilation[-1]
    dtype = name_of(np_dtype)
    lanes = template.lanes_for(dtype, last - first)
    if not template.fits(lanes, *along):
        return None
    return (template.window_rows(dtype, *along, lanes, indexed, len(spatial) > 1),
            template.row_words(math.prod(lead), spatial, kernel, stride, padding, dilation, out))


def _row_maxima(x, geometry, indexed):
    """(largest values of windows, their positions or None), or None where there is no kernel for them."""
    n = len(geometry[0])
    lead, out = x.shape[:-n], geometry[-1]
    plan = x.size and _row_plan(x.dtype, lead, x.shape[-n:], *geometry, indexed)
    if not plan:
        return None
    kernel, words = plan
    y, index = empty(lead + out, x.dtype), empty(lead + out, _INT64) if indexed else None
    watch.launch(kernel, y, index, x if x.flags.c_contiguous else np.ascontiguousarray(x), words)
    return y, index


@lru_cache(64)
def _last_words(*facts):
    from ...compiler.templates.windowmax import last_words
    return last_words(*facts)


def _max_pool(x, kernel, stride, padding, dilation, out):
    """(largest value, its flat position in the unpadded plane) of every window."""
    n = len(kernel)
    spatial = x.shape[-n:]
    geometry = kernel, stride, padding, dilation, out
    if n == 2 and x.ndim == 4 and not x.flags.c_contiguous and x.size and supported(x.dtype) and \
            math.prod(spatial) < 1 << 31:
        last = x.transpose(0, 2, 3, 1)
        if last.flags.c_contiguous:
            shape = (x.shape[0], *out, x.shape[1])
            y, index = empty(shape, x.dtype), empty(shape, _INT64)
            _template("last", x.dtype)(y, index, last, _last_words(last.shape, *geometry))
            return y.transpose(0, 3, 1, 2), index.transpose(0, 3, 1, 2)
    native = n <= 2 and stride[-1] <= 2 and _native("maxima" if out[-1] > 4 else "maxima narrow", x.dtype)
    if native:
        shape = x.shape[:-n] + out
        y, index = empty(shape, x.dtype), empty(shape, _INT64)
        watch.launch(native, y, index, x if x.flags.c_contiguous else np.ascontiguousarray(x),
                     _planes(x.shape[:-n], spatial, *geometry))
        return y, index
    found = _row_maxima(x, geometry, True)
    if found:
        return found
    found = x.size and window_maxima(x, n, out, *_strided_windows(spatial, *geometry), dilation)
    if found:
        return found
    xp = pad(x, padding, _after(spatial, kernel, stride, padding, dilation, out), _lowest(x.dtype))
    views = position_views(xp, kernel, stride, dilation, out)
    plane = np.ones(n, np.int64)
    for i in range(n - 2, -1, -1):
        plane[i] = plane[i + 1] * spatial[i + 1]
    base = np.zeros(out, np.int64)
    for i in range(n):
        steps = (np.arange(out[i], dtype=np.int64) * stride[i] - padding[i]) * plane[i]
        base += steps.reshape((-1,) + (1,) * (n - i - 1))
    offsets = [int(sum(p * d * w for p, d, w in zip(pos, dilation, plane)))
               for pos in np.ndindex(*kernel)]
    # The first valid position starts the search, as windows may begin in the padding.
    y = empty(x.shape[:-n] + tuple(out), x.dtype)
    index = empty(y.shape, np.dtype(np.int64))
    first = np.zeros(out, np.int64)
    for i in range(n):
        start = np.arange(out[i]) * stride[i] - padding[i]
        skip = np.maximum(0, -(start // dilation[i]))
        skip[start >= 0] = 0
        first += (skip * dilation[i] * plane[i]).reshape((-1,) + (1,) * (n - i - 1))
    y[...] = _lowest(x.dtype)
    index[...] = base + first
    for v, o in zip(views, offsets):
        take = v > y
        if x.dtype.kind not in "iu":
            take |= np.isnan(v)
        np.copyto(y, v, where=take)
        np.copyto(index, base + o, where=take)
    return y, index


def _define_max_records(n):
    return primitive(f"_max_pool{n}d(Tensor self, int[] kernel_size, int[] stride, int[] padding, int[] dilation, "
                     "int[] size) -> (Tensor, Tensor)",
                     vjp={"self": lambda g0, out1, self_shape: _unpool(g0, out1, self_shape)},
                     node=f"MaxPool{n}DWithIndicesBackward0",
                     meta=lambda x, *geometry: tuple([
                         ((*x._a.shape[:-n], *geometry[-1]), d) for d in (x.dtype, int64)]))(_max_pool)


# One dimension goes by the record of two, as in PyTorch.
_MAX_POOLS = {n: _define_max_records(n) for n in (2, 3)}


@primitive("max_pool1d(Tensor self, int[] kernel_size, int[] stride, int[] padding, int[] dilation, int[] size) "
           "-> Tensor", node="MaxPool2DWithIndicesBackward0",
           vjp={"self": lambda g, self, kernel_size, stride, padding, dilation, size: _unpool(
               g, _MAX_POOLS[2](self, kernel_size, stride, padding, dilation, size)[1], self._a.shape)},
           meta=lambda x, *geometry: ((*x._a.shape[:-1], *geometry[-1]), x.dtype))
def _max_values(x, *geometry):
    """Largest values of windows of one dimension, where nobody asks for positions."""
    return (_row_maxima(x, geometry, False) or _max_pool(x, *geometry))[0]


def _plain(input):
    """Whether the tensor's elements are at hand and nothing records what becomes of it."""
    return type(input._a) is np.ndarray and not (state.grad and needs_grad(input) or state.levels) and \
        state.special == (watch.observer is not None)


def _unpool(g, index, shape):
    return scatter(g, index, tuple(shape))


@primitive("max_poolscatter(Tensor self, Tensor index, int[] size) -> Tensor",
           vjp={"self": lambda g, index: _gather(g, index)}, node="MaxPool2DWithIndicesBackwardBackward0",
           meta=lambda g, index, size: (size, g.dtype))
def scatter(g, index, size):
    """Add every value at its window's position in planes of `size`."""
    n = len(size) - 2 if len(size) == index.ndim and index.ndim > 2 else len(size) - 1
    n = max(n, 1)
    native = _native("scatter", g.dtype)
    if native and index.size and n > 1 and not index.flags.c_contiguous:
        behind = np.moveaxis(index, 1, -1)
        if behind.flags.c_contiguous:
            return _scatter_last(np.moveaxis(g, 1, -1), behind, size, n)
    if native and index.size:
        out = empty(size, g.dtype)
        planes = (math.prod(size[:index.ndim - n]), 1, math.prod(size[index.ndim - n:]), *(1, 1) * 4, 1,
                  math.prod(index.shape[index.ndim - n:]))
        native(out, np.ascontiguousarray(g), np.ascontiguousarray(index), np.array(planes, np.int64))
        return out
    lead = int(np.prod(size[:index.ndim - n]))
    plane = int(np.prod(size[index.ndim - n:]))
    flat = np.ascontiguousarray(index).reshape(lead, -1) if index.size else np.zeros((lead, 0), np.int64)
    flat = flat + (np.arange(lead) * plane)[:, None]
    work = g.astype(np.float32) if g.dtype.itemsize == 2 else g
    out = np.bincount(flat.reshape(-1), np.ascontiguousarray(work).reshape(-1), lead * plane) if \
        work.dtype.kind == "f" and work.dtype.itemsize == 8 else _add_at(flat.reshape(-1), work,
                                                                        lead * plane)
    return converted(out.reshape(size), g.dtype) if out.dtype != g.dtype else out.reshape(size)


def _scatter_last(g, index, size, n):
    """The same of images whose channels are behind; so is the result."""
    from ...compiler.templates.maxima import BLOCK
    c, blocks = size[1], -(-size[1] // BLOCK)
    out = empty((size[0], *size[2:], c), g.dtype)
    words = (size[0] * blocks, 1, math.prod(size[2:]), blocks, c, *(1, 1) * 3, 1, math.prod(index.shape[1:-1]))
    _native("scatter last", g.dtype)(out, np.ascontiguousarray(g), index, np.array(words, np.int64))
    return np.moveaxis(out, -1, 1)


def _add_at(flat, values, n):
    out = np.zeros(n, values.dtype)
    np.add.at(out, flat, np.ascontiguousarray(values).reshape(-1))
    return out


@primitive("max_pool_gather(Tensor self, Tensor index) -> Tensor",
           vjp={"self": lambda g, index, self_shape: scatter(g, index, tuple(self_shape))},
           meta=lambda x, index: (index._a.shape, x.dtype))
def _gather(x, index):
    """The values of each plane at the windows' positions."""
    n = index.ndim - 2 if index.ndim > 2 else 1
    lead = x.shape[:index.ndim - n]
    flat = np.ascontiguousarray(x).reshape(lead + (-1,))
    i = np.ascontiguousarray(index).reshape(index.shape[:index.ndim - n] + (-1,))
    return np.take_along_axis(flat, i, -1).reshape(index.shape)


def _max(op, n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    kernel, stride, padding, dilation, out = _geometry(op, input, kernel_size, stride, padding, dilation,
                                                       ceil_mode, n)
    if n == 1 and not return_indices and _plain(input):
        return _max_values(input, kernel, stride, padding, dilation, out)
    x = input if input.dim() == n + 2 else input.unsqueeze(0)
    y, i = _MAX_POOLS[max(n, 2)](x, kernel, stride, padding, dilation, out)
    if input.dim() == n + 1:
        y, i = y.squeeze(0), i.squeeze(0)
    return (y, i) if return_indices else y


def _define_max(n):
    def pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
             return_indices=False):
        return _max(f"max_pool{n}d", n, input, kernel_size, stride, padding, dilation, ceil_mode,
                    return_indices)
    pool.__name__ = pool.__qualname__ = f"max_pool{n}d"
    pool.__doc__ = f"""Largest value of every window over the last {n} dimension(s); NaN where one is in it.

    `input` (N, C, *{n} sizes) or without N. `stride` is the window's size by default; `padding` of -inf on both sides
    is at most half a window; with `ceil_mode` a last window counts that begins inside. A size L becomes
    ``(L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``. With `return_indices` also the positions (int64)
    of the maxima, flat in their plane. RuntimeError for sizes that give no window.
    """

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                     return_indices=False):
        return _max(f"max_pool{n}d", n, input, kernel_size, stride, padding, dilation, ceil_mode, True)
    with_indices.__name__ = with_indices.__qualname__ = f"max_pool{n}d_with_indices"
    with_indices.__doc__ = f"(max_pool{n}d, positions): `max_pool{n}d` with ``return_indices=True``."
    public(namespaces=_TF, method=False)(pool)
    public(namespaces=_F + (("torch",) if n == 1 else ()), method=False)(with_indices)


for _n in (1, 2, 3):
    _define_max(_n)


# ---------------------------------------------------------------- average

def _counts(shape, kernel, stride, padding, out, include_pad):
    """Divisor of each window: its size, clipped to the padded (or the unpadded) input."""
    total = np.ones(out, np.float64)
    n = len(shape)
    for i, (s, k, t, p, o) in enumerate(zip(shape, kernel, stride, padding, out)):
        start = np.arange(o) * t - p
        end = np.minimum(start + k, s + p)
        if not include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, s)
        total *= (end - start).reshape((-1,) + (1,) * (n - i - 1))
    return total


@lru_cache(64)
def _avg_plan(shape, kernel, stride, padding, out, include_pad, divisor, np_dtype, adjoint):
    """The compiled map of averaging, or its adjoint."""
    maps = []
    for i, (n, k, t, p, o) in enumerate(zip(shape, kernel, stride, padding, out)):
        start = np.arange(o) * t - p
        end = np.minimum(start + k, n + p)
        inner_start, inner_end = np.maximum(start, 0), np.minimum(end, n)
        counts = end - start if include_pad else inner_end - inner_start
        if divisor is not None:
            counts = np.full(o, divisor if i == 0 else 1)
        maps.append(mean_windows(n, inner_start, inner_end, counts))
    return Plan([m.transposed() if adjoint else m for m in maps], name_of(np_dtype))


def mean_windows(n, start, end, counts):
    """Means over inputs start .. end, a pair an output; `counts` are the divisors."""
    sizes = np.maximum(end - start, 0)
    target = np.repeat(np.arange(len(start)), sizes)
    source = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(start, sizes)
    return Taps(n, len(start), target, source, None, counts)


def _avg_pool(x, kernel, stride, padding, out, include_pad, divisor):
    """Mean of every window."""
    n = len(kernel)
    if x.size and supported(x.dtype):
        return _avg_plan(x.shape[x.ndim - n:], kernel, stride, padding, out, include_pad, divisor, x.dtype, False)(x)
    ones = (1,) * n
    work = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
    xp = pad(work, padding, _after(x.shape[-n:], kernel, stride, padding, ones, out))
    y = empty(x.shape[:-n] + tuple(out), work.dtype)
    counts = np.full(out, float(divisor)) if divisor is not None else _counts(
        x.shape[-n:], kernel, stride, padding, out, include_pad)
    y[...] = 0
    for v in position_views(xp, kernel, stride, ones, out):
        y += v
    if work.dtype.kind in "iu":
        return np.trunc(y / counts).astype(x.dtype)
    y /= counts.astype(y.dtype)
    return converted(y, x.dtype) if y.dtype != x.dtype else y


@primitive("avg_pool_adjoint(Tensor self, int[] shape, int[] kernel_size, int[] stride, int[] padding, "
           "int[] size, bool count_include_pad, int? divisor_override) -> Tensor",
           vjp={"self": lambda g, kernel_size, stride, padding, size, count_include_pad,
                divisor_override: _AVG_POOLS[2](g, kernel_size, stride, padding, size, count_include_pad,
                                                 divisor_override)},
           node="AvgPool2DBackwardBackward0", meta=lambda g, shape, *geometry: (shape, g.dtype))
def _avg_adjoint(g, shape, kernel, stride, padding, out, include_pad, divisor):
    """Every value shared out over its window."""
    n = len(kernel)
    if g.size and supported(g.dtype):
        return _avg_plan(tuple(shape[len(shape) - n:]), tuple(kernel), tuple(stride), tuple(padding), tuple(out),
                         include_pad, divisor, g.dtype, True)(g)
    ones = (1,) * n
    work = g.astype(np.float32) if g.dtype.itemsize == 2 else g
    counts = np.full(out, float(divisor)) if divisor is not None else _counts(
        shape[-n:], kernel, stride, padding, out, include_pad)
    share = work * (1 / counts).astype(work.dtype)
    after = _after(shape[-n:], kernel, stride, padding, ones, out)
    full = tuple(s + p + a for s, p, a in zip(shape[-n:], padding, after))
    x = np.zeros(tuple(shape[:-n]) + full, work.dtype)
    for v in position_views(x, kernel, stride, ones, out):
        v += share
    from .windows import crop
    x = np.ascontiguousarray(crop(x, padding, shape[-n:]))
    return converted(x, g.dtype) if x.dtype != g.dtype else x


def _define_avg_records(n):
    return primitive(f"_avg_pool{n}d(Tensor self, int[] kernel_size, int[] stride, int[] padding, int[] size, "
                     "bool count_include_pad, int? divisor_override) -> Tensor",
                     vjp={"self": lambda g, self_shape, kernel_size, stride, padding, size, count_include_pad,
                          divisor_override: _avg_adjoint(g, tuple(self_shape), kernel_size, stride, padding, size,
                                                         count_include_pad, divisor_override)},
                     node=f"AvgPool{n}DBackward0",
                     meta=lambda x, kernel, stride, padding, size, *how: (
                         (*x._a.shape[:-n], *size), x.dtype))(_avg_pool)


_AVG_POOLS = {n: _define_avg_records(n) for n in (2, 3)}


def _avg(op, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    kernel, stride, padding, _, out = _geometry(op, input, kernel_size, stride, padding, 1, ceil_mode, n)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    x = input if input.dim() == n + 2 else input.unsqueeze(0)
    y = _AVG_POOLS[max(n, 2)](x, kernel, stride, padding, out, bool(count_include_pad), divisor_override)
    return y.squeeze(0) if input.dim() == n + 1 else y


@public(namespaces=_TF, method=False)
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Mean of every window over the last dimension."""
    return _avg("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@public(namespaces=_F, method=False, out=True)
def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """Mean of every window over the last two dimensions."""
    return _avg("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                divisor_override)


@public(namespaces=_F, method=False, out=True)
def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """Mean of every window over the last three dimensions."""
    return _avg("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                divisor_override)


# ---------------------------------------------------------------- Lp

def _lp(op, n, input, norm_type, kernel_size, stride, ceil_mode):
    kernel = tuple_of(kernel_size, n, "kernel_size", op)
    mean = _avg(op, n, input.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
    count = int(np.prod(kernel))
    from ..registry import function
    relu = function("relu")
    return (function("sign")(mean) * relu(mean.abs())).mul(count).pow(1.0 / norm_type)


@public(namespaces=_F, method=False)
def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x**p over the window)**(1/p)."""
    return _lp("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


@public(namespaces=_F, method=False)
def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x**p over the window)**(1/p)."""
    return _lp("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


@public(namespaces=_F, method=False)
def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x**p over the window)**(1/p)."""
    return _lp("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)
