"""Resampling: interpolation to other sizes, and sampling at given positions.

Interpolation is separable: along each dimension an output is a weighted sum of a few inputs (*taps*).
Forward gathers taps; the adjoint multiplies by the transposed matrix of weights. Cubic weights are Keys'
with a = -0.75 (-0.5 with antialiasing, as in Pillow).
"""

import math
import warnings
from functools import lru_cache

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...record import Joint
from ...runtime.allocator import empty
from ...tensor import watch
from ...tensor.tensor import wrap
from ..dispatch import primitive
from ..reduce_common import compiled
from ..registry import function, public
from .kernels import name_of
from .separable import Plan, Taps, supported

_F = ("torch.nn.functional",)


def _cubic(x, a):
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _ratio(n, out, align, scale):
    """Input step an output step, as area_pixel_compute_scale has it."""
    if align:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else n / out


def _taps(n, out, mode, align, scale, antialias, real):
    """(indices (t, out), weights (t, out) or None) of one dimension, computed in the type `real`."""
    i = np.arange(out)
    r = real(_ratio(n, out, align, scale))
    if mode == "nearest":
        return np.minimum((np.float32(i) * np.float32(r)).astype(np.int64), n - 1)[None], None
    if mode == "nearest-exact":
        return np.minimum((np.float32(i + 0.5) * np.float32(r)).astype(np.int64), n - 1)[None], None
    if antialias:
        return _antialias(n, out, mode, align, float(r))
    src = (i * r if align else (i + real(0.5)) * r - real(0.5)).astype(real)
    if mode == "linear":
        src = np.maximum(src, 0) if not align else src
        low = np.minimum(src.astype(np.int64), n - 1)
        high = np.minimum(low + 1, n - 1)
        w = np.clip(src - low, 0, 1).astype(real)
        return np.stack([low, high]), np.stack([1 - w, w])
    low = np.floor(src).astype(np.int64)
    t = (src - low).astype(real)
    index = np.stack([np.clip(low + k, 0, n - 1) for k in (-1, 0, 1, 2)])
    weights = np.stack([_cubic(t - k, -0.75) for k in (-1, 0, 1, 2)]).astype(real)
    return index, weights


def _antialias(n, out, mode, align, r):
    support = (1.0 if mode == "linear" else 2.0) * max(r, 1.0)
    inverse = 1.0 / max(r, 1.0)
    size = int(math.ceil(support)) * 2 + 1
    # (What is not used has weight 0, and no index, as 0 times inf isn't 0.)
    index, weights = np.full((size, out), -1, np.int64), np.zeros((size, out))
    for i in range(out):
        center = r * (i + 0.5) if not align else r * i + 0.5
        lo = max(int(center - support + 0.5), 0)
        hi = min(int(center + support + 0.5), n)
        x = (np.arange(lo, hi) - center + 0.5) * inverse
        w = np.maximum(1 - np.abs(x), 0) if mode == "linear" else _cubic(x, -0.5)
        total = w.sum()
        index[:hi - lo, i] = np.arange(lo, hi)
        weights[:hi - lo, i] = w / total if total else w
    return index, weights


def _work_type(d):
    return np.float64 if d == np.float64 or d == np.complex128 else np.float32


def _along(x, axis, index, weights):
    if weights is None:
        return np.take(x, index[0], axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    y = None
    for i, w in zip(index, weights):
        part = np.take(x, i, axis) * w.reshape(shape).astype(_work_type(x.dtype))
        y = part if y is None else y + part
    return y


def _back_along(g, axis, index, weights, n):
    """Adjoint of `_along`: multiply by the transposed weights."""
    m = np.zeros((g.shape[axis], n), g.dtype)
    w = np.ones(index.shape) if weights is None else weights
    for i, k in zip(index, w):
        np.add.at(m, (np.arange(g.shape[axis]), i), k)
    return np.moveaxis(np.moveaxis(g, axis, -1) @ m, -1, axis)


def _plan(shape, size, mode, align, scales, antialias, real):
    return [_taps(n, o, mode, align, s, antialias, real) for n, o, s in zip(shape, size, scales)]


@lru_cache(64)
def _kernel(shape, size, mode, align, scales, antialias, np_dtype, adjoint):
    """The compiled map of the spatial dimensions, or its adjoint."""
    maps = []
    for d, (n, out) in enumerate(zip(shape, size)):
        if not mode.startswith("nearest") and n == out and scales[d] in (None, 1.0):
            index, weights = np.arange(n)[None], None
        else:
            index, weights = _taps(n, out, mode, align, scales[d], antialias, _work_type(np_dtype))
        taps = Taps.of_rows(n, index, weights)
        maps.append(taps.transposed() if adjoint else taps)
    return Plan(maps, name_of(np_dtype))


def _resample(x, size, mode, align, scales, antialias):
    """Separable interpolation of the dimensions after the first two."""
    if x.size and supported(x.dtype):
        return _kernel(tuple(x.shape[2:]), tuple(size), mode, align, tuple(scales), antialias, x.dtype, False)(x)
    integer = x.dtype.kind in "iu"
    y = x if mode.startswith("nearest") else x.astype(_work_type(x.dtype), copy=False)
    plan = _plan(x.shape[2:], size, mode, align, scales, antialias, _work_type(x.dtype))
    for d in reversed(range(len(size))):
        if not mode.startswith("nearest") and x.shape[2 + d] == size[d] and (scales[d] in (None, 1.0)):
            continue
        y = _along(y, 2 + d, *plan[d])
    y = np.ascontiguousarray(y)
    if y is x or y.base is x:
        y = y.copy()
    if integer and y.dtype.kind == "f":
        y = np.clip(np.rint(y), np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return y.astype(x.dtype, copy=False)


def _resample_adjoint(g, shape, size, mode, align, scales, antialias):
    """The adjoint of `_resample`."""
    if g.size and supported(g.dtype):
        return _kernel(tuple(shape[2:]), tuple(size), mode, align, tuple(scales), antialias, g.dtype, True)(g)
    real = _work_type(g.dtype)
    y = g.astype(real, copy=False) if g.dtype.kind != "c" else g
    plan = _plan(shape[2:], size, mode, align, scales, antialias, real)
    for d in range(len(size)):
        if not mode.startswith("nearest") and shape[2 + d] == size[d] and (scales[d] in (None, 1.0)):
            continue
        y = _back_along(y, 2 + d, *plan[d], shape[2 + d])
    y = np.ascontiguousarray(y).astype(g.dtype, copy=False)
    return y.copy() if y is g else y


def _define(node, mode):
    """The records of a mode, named as PyTorch names it: interpolation and its adjoint."""
    name = "_" + node

    @primitive(f"{name}(Tensor self, int[] size, bool align_corners, float[] scales, bool antialias) -> Tensor",
               meta=lambda x, size, *how: ((*x._a.shape[:2], *size), x.dtype),
               vjp={"self": lambda g, self_shape, size, align_corners, scales, antialias:
                    adjoint(g, self_shape, size, align_corners, scales, antialias)}, node=f"{node}Backward0")
    def forward(x, size, align, scales, antialias):
        return _resample(x, size, mode, align, scales, antialias)

    @primitive(f"{name}_adjoint(Tensor self, int[] shape, int[] size, bool align_corners, float[] scales, "
               "bool antialias) -> Tensor", meta=lambda g, shape, *how: (shape, g.dtype),
               vjp={"self": lambda g, size, align_corners, scales, antialias:
                    forward(g, size, align_corners, scales, antialias)}, node=f"{node}BackwardBackward0")
    def adjoint(g, shape, size, align, scales, antialias):
        return _resample_adjoint(g, shape, size, mode, align, scales, antialias)
    return forward


# Of (PyTorch's mode, dimensions, antialias).
_CALLS = {(m, n, False): _define(f"Upsample{m.title().replace('-', '')}{n}D", m)
          for m in ("nearest", "nearest-exact") for n in (1, 2, 3)}
for _mode, _n, _kind in (("linear", 1, "linear"), ("bilinear", 2, "linear"), ("trilinear", 3, "linear"),
                         ("bicubic", 2, "cubic")):
    _CALLS[_mode, _n, False] = _define(f"Upsample{_mode.title()}{_n}D", _kind)
    if _n == 2:
        _CALLS[_mode, _n, True] = _define(f"Upsample{_mode.title()}{_n}DAa", _kind)


_RANKS = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4}


@public(namespaces=_F, method=False)
def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None,
                recompute_scale_factor=None, antialias=False):
    """Resample the spatial dimensions of (n, c, *) to `size`, or by `scale_factor`.

    Modes nearest, nearest-exact, linear (3-d), bilinear, bicubic (4-d), trilinear (5-d), area.
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError("align_corners option can only be set with the interpolating modes: linear | "
                             "bilinear | bicubic | trilinear")
    elif align_corners is None:
        align_corners = False
    n = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        scales = (None,) * n
        if isinstance(size, (list, tuple)):
            if len(size) != n:
                raise ValueError("Input and output must have the same number of spatial dimensions, but "
                                 f"got input with spatial dimensions of {list(input.shape[2:])} and output "
                                 f"size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
                                 "format and output size in (o1, o2, ...,oK) format.")
            size = tuple(int(s) for s in size)
        else:
            size = (int(size),) * n
    elif scale_factor is not None:
        if isinstance(scale_factor, (list, tuple)):
            if len(scale_factor) != n:
                raise ValueError("Input and scale_factor must have the same number of spatial dimensions, "
                                 f"but got input with spatial dimensions of {list(input.shape[2:])} and "
                                 f"scale_factor of shape {scale_factor}. Please provide input tensor in "
                                 "(N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) "
                                 "format.")
            scales = tuple(float(s) for s in scale_factor)
        else:
            scales = (float(scale_factor),) * n
        size = tuple(int(math.floor(d * s)) for d, s in zip(input.shape[2:], scales))
        if recompute_scale_factor:
            scales = (None,) * n
    else:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None and scale_factor is None and recompute_scale_factor:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in ("bilinear", "bicubic") and input.dim() == 4):
        raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
                         "tensor as input")
    if any(s <= 0 for s in size) or any(s <= 0 for s in input.shape[2:]):
        raise RuntimeError("Input and output sizes should be greater than 0, but got input "
                           f"{tuple(input.shape[2:])} output {size}")
    if mode in ("nearest", "nearest-exact"):
        if input.dim() not in (3, 4, 5):
            raise NotImplementedError(_unsupported(input, mode))
        return _CALLS[mode, n, False](input, size, False, scales, False)
    if mode == "area":
        if input.dim() not in (3, 4, 5):
            raise NotImplementedError(_unsupported(input, mode))
        return function(f"adaptive_avg_pool{n}d", "torch.nn.functional")(input, size)
    if _RANKS.get(mode) != input.dim():
        if mode in _RANKS and input.dim() in (3, 4, 5):
            raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {_RANKS[mode]}D input")
        raise NotImplementedError(_unsupported(input, mode))
    if not input.dtype.is_floating_point and input.dtype is not dtypes.uint8:
        raise NotImplementedError(f"\"compute_indices_weights_{mode}\" not implemented for "
                                  f"'{dtypes.scalar_name(input.dtype)}'")
    return _CALLS[mode, n, bool(antialias)](input, size, bool(align_corners), scales, bool(antialias))


def _unsupported(input, mode):
    return ("Input Error: Only 3D, 4D and 5D input Tensors supported (got "
            f"{input.dim()}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | area | "
            f"nearest-exact (got {mode})")


@public(namespaces=_F, method=False)
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """`interpolate` under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


@public(namespaces=_F, method=False)
def upsample_nearest(input, size=None, scale_factor=None):
    """Nearest-neighbour `interpolate`."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` "
                  "instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


@public(namespaces=_F, method=False)
def upsample_bilinear(input, size=None, scale_factor=None):
    """Bilinear `interpolate` with aligned corners."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` "
                  "instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---------------------------------------------------------------- sampling at positions

@public(namespaces=_F, method=False)
def affine_grid(theta, size, align_corners=None):
    """Positions (n, *spatial, d) of an affine map theta (n, d, d+1) for `grid_sample`."""
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False "
                      "since 1.3.0. Please specify align_corners=True if the old behavior is desired. See "
                      "the documentation of grid_sample for details.", stacklevel=2)
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine "
                                  f"transforms, respectively. Got size {tuple(size)}")
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size "
                         f"{tuple(size)}. Got {theta.shape}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {tuple(size)}")
    axes = []
    for s in size[2:]:
        a = np.linspace(-1, 1, s) if s > 1 else np.zeros(1)
        axes.append(a if align_corners else a * (s - 1) / s)
    grid = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(size[2:])], -1)
    base = wrap(grid.astype(theta._a.dtype).reshape(1, -1, n + 1))
    base = base.expand(size[0], -1, -1)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *size[2:], n)


@public("affine_grid_generator", method=False)
def affine_grid_generator(theta, size, align_corners):
    """`affine_grid` under its operator name."""
    return affine_grid(theta, size, align_corners)


def _reflect(x, low, high):
    if low == high:
        return x * 0
    span = high - low
    x = (x - low).abs()
    extra = x.remainder(span)
    flips = ((x - extra) / span).round()
    even = flips.remainder(2) == 0
    return function("where")(even, extra + low, span - extra + low)


def _unnormalize(x, n, align):
    return (x + 1) / 2 * (n - 1) if align else ((x + 1) * n - 1) / 2


def _within(x, n, padding_mode, align):
    if padding_mode == 1:
        return x.clamp(0, n - 1)
    if padding_mode == 2:
        x = _reflect(x, 0, n - 1) if align else _reflect(x, -0.5, n - 0.5)
        return x.clamp(0, n - 1)
    return x


def _fetch(input, coords):
    """Values (n, c, *out) at integer positions, zero outside; coords one tensor (n, *out) a dim."""
    sizes = input.shape[2:]
    n, c = input.shape[:2]
    inside, flat = None, None
    for x, s in zip(coords, sizes):
        ok = (x >= 0) & (x <= s - 1)
        inside = ok if inside is None else inside & ok
        i = x.masked_fill(~ok, 0).to(dtypes.int64)         # NaN is nowhere inside
        flat = i if flat is None else flat * s + i
    out = flat.shape[1:]
    points = math.prod(out)
    index = flat.reshape(n, 1, points).expand(n, c, points)
    v = input.reshape(n, c, math.prod(input.shape[2:])).gather(2, index).reshape(n, c, *out)
    return v * inside.unsqueeze(1).to(v.dtype)


def _sample_linear(input, coords):
    lows = [x.floor() for x in coords]
    y = None
    for corner in np.ndindex(*(2,) * len(coords)):
        w, at = None, []
        for x, low, k in zip(coords, lows, corner):
            t = x - low
            f = t if k else 1 - t
            w = f if w is None else w * f
            at.append(low.detach() + k)
        part = _fetch(input, at) * w.unsqueeze(1)
        y = part if y is None else y + part
    return y


def _cubic_weights(t):
    a = -0.75
    far = lambda x: ((x - 5) * x + 8) * x * a - 4 * a
    near = lambda x: ((a + 2) * x - (a + 3)) * x * x + 1
    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _sample_cubic(input, coords, padding_mode, align):
    lows = [x.floor() for x in coords]
    ws = [_cubic_weights(x - low) for x, low in zip(coords, lows)]
    y = None
    for i in range(4):
        row = None
        for j in range(4):
            at = [_within(low.detach() + k - 1, n, padding_mode, align)
                  for low, k, n in zip(lows, (i, j), input.shape[2:])]
            at = [a.round() if padding_mode == 2 else a for a in at]
            part = _fetch(input, at) * ws[1][j].unsqueeze(1)
            row = part if row is None else row + part
        row = row * ws[0][i].unsqueeze(1)
        y = row if y is None else y + row
    return y


@public(namespaces=_F, method=False)
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Values of input (n, c, *spatial) at the positions grid (n, *out, d) in [-1, 1], last dim x first.

    Modes bilinear, nearest, bicubic (4-d only); outside: zeros, border, reflection.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or "
                         f"'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
                         f"'reflection', but got: '{padding_mode}'")
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False "
                      "since 1.3.0. Please specify align_corners=True if the old behavior is desired. See "
                      "the documentation of grid_sample for details.", stacklevel=2)
        align_corners = False
    return grid_sampler(input, grid, ("bilinear", "nearest", "bicubic").index(mode),
                        ("zeros", "border", "reflection").index(padding_mode), align_corners)


def _grid_kernel(name, d, dims, way, padding, align):
    from ...compiler.templates import gridsample
    return getattr(gridsample, name)(name_of(d), dims, way, padding, align)


@lru_cache(64)
def _grid_words(shape, places, by_channels=False):
    from ...compiler.templates.gridsample import words
    return words(shape, places, by_channels)


def _grid_gradients(g, input, grid, interpolation_mode, padding_mode, align_corners, needs):
    if state.grad:
        from ...autograd import grad
        y = _composite(input, grid, interpolation_mode, padding_mode, align_corners)
        wanted = [t for t, need in zip((input, grid), needs) if need]
        found = iter(grad(y, wanted, g, create_graph=True))
        return tuple([next(found) if need else None for need in needs])
    x, p, ga = (np.ascontiguousarray(t._a) for t in (input, grid, g))
    dims, places = x.ndim - 2, math.prod(p.shape[1:-1])
    key = (x.dtype, dims, interpolation_mode, padding_mode, align_corners)
    dx = dgrid = None
    if needs[0]:
        dx = empty(x.shape, x.dtype)
        _grid_kernel("gradient_x", *key)(dx, ga, p, _grid_words(x.shape, places, True))
    if needs[1] and interpolation_mode == 1:
        dgrid = np.zeros(p.shape, p.dtype)
    elif needs[1]:
        dgrid = empty(p.shape, p.dtype)
        _grid_kernel("gradient_grid", *key)(dgrid, ga, x, p, _grid_words(x.shape, places))
    return None if dx is None else wrap(dx), None if dgrid is None else wrap(dgrid)


def _define_grid_sampler(n):
    @primitive(f"grid_sampler_{n}d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, "
               "bool align_corners) -> Tensor", vjp=Joint(_grid_gradients), node=f"GridSampler{n}DBackward0")
    def sampler(x, grid, interpolation_mode, padding_mode, align_corners):
        y = empty(x.shape[:2] + grid.shape[1:-1], x.dtype)
        kernel = _grid_kernel("sample", x.dtype, n, interpolation_mode, padding_mode, align_corners)
        watch.launch(kernel, y, np.ascontiguousarray(x), np.ascontiguousarray(grid),
                     _grid_words(x.shape, math.prod(grid.shape[1:-1])))
        return y
    return sampler


_GRID_SAMPLERS = {n: _define_grid_sampler(n) for n in (2, 3)}


@public(method=False)
def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """`grid_sample` with numeric modes (0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection)."""
    n = input.dim() - 2
    if n not in (2, 3) or grid.dim() != input.dim():
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of "
                           f"dimensions, but got input with sizes {list(input.shape)} and grid with sizes "
                           f"{list(grid.shape)}")
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but got input "
                           f"with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if grid.shape[-1] != n:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {n} in last dimension, but got "
                           f"grid with sizes {list(grid.shape)}")
    if any(s == 0 for s in input.shape[2:]):
        raise RuntimeError("grid_sampler(): expected input to have non-empty spatial dimensions, but input "
                           f"has sizes {list(input.shape)}")
    if interpolation_mode == 2 and n == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    low = input.dtype.is_low_precision
    x = input.float() if low else input
    g = grid.float() if low else grid
    if x.dtype is g.dtype and x._a.size and g._a.size and compiled() and x.dtype in (dtypes.float32, dtypes.float64) \
            and math.prod(x.shape[2:]) < 1 << 31:
        y = _GRID_SAMPLERS[n](x, g, interpolation_mode, padding_mode, bool(align_corners))
    else:
        y = _composite(x, g, interpolation_mode, padding_mode, align_corners)
    return y.to(input.dtype) if low else y


def _composite(x, g, interpolation_mode, padding_mode, align_corners):
    """`grid_sampler` of tensor ops, differentiable any number of times."""
    n = x.dim() - 2
    coords = [_unnormalize(g[..., n - 1 - d], x.shape[2 + d], align_corners) for d in range(n)]
    if interpolation_mode != 2:
        coords = [_within(c, s, padding_mode, align_corners) for c, s in zip(coords, x.shape[2:])]
    if interpolation_mode == 0:
        y = _sample_linear(x, coords)
    elif interpolation_mode == 1:
        y = _fetch(x, [c.detach().round() for c in coords])
        if g.requires_grad:
            y = y + sum(c * 0 for c in coords).unsqueeze(1)
    else:
        y = _sample_cubic(x, coords, padding_mode, align_corners)
    return y


for _name, _n in (("grid_sampler_2d", 2), ("grid_sampler_3d", 3)):
    public(_name, method=False)(grid_sampler)
