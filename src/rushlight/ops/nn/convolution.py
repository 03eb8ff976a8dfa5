"""Convolution in 1 to 3 dimensions, transposed and grouped, closed under differentiation.

Three bilinear primitives, each other's derivatives (x input, w weight, y output):

    y = conv(x, w)            y[n,o,p] = sum_{c,k} w[o,c,k] x[n,c, p*stride - padding + k*dilation]
    x' = conv_input(y, w)     the adjoint in x: transposed convolution
    w' = conv_weight(x, y)    the adjoint in w

The matrix products run on window columns (im2col): of an image or a part of one at a time, made where they are
multiplied (`compiler.templates.convolve`), or of many images where those would be small.
"""

from functools import cache

import numpy as np

from ...dtypes import scalar_name
from ...record import Joint
from ...runtime.allocator import empty
from ..copy import converted, copy_array
from ..dispatch import primitive
from ..products import batched
from ..registry import public
from .windows import crop, out_size, pad, tuple_of, windows

_CHUNK = 4 << 20        # elements of window columns made at a time


def _wide(*arrays):
    """16-bit floats as float32; other types as they are."""
    return [a.astype(np.float32) if a is not None and a.dtype.itemsize == 2 and a.dtype.kind not in "iu"
            else a for a in arrays]


def _narrow(out, like):
    return out if out.dtype == like.dtype else converted(out, like.dtype)


def _matmul(a, b, out):
    batched(a, b, out)


def _native(x):
    """The generated (im2col, col2im) for images like `x`, or None."""
    if x.ndim != 4 or x.dtype.name not in _LLVM:
        return None
    from ...compiler import available
    if not available():
        return None
    from ...compiler.templates.columns import kernels
    return kernels(_LLVM[x.dtype.name])


_LLVM = {"float32": "float", "float64": "double"}


def _geometry(shape, kernel, stride, padding, dilation, out, merged):
    """Geometry words for `compiler.templates.columns`; columns over the batch if merged."""
    n, c, h, w = shape
    k, l = kernel[0] * kernel[1], out[0] * out[1]
    steps = (n * l, l) if merged else (l, c * k * l)
    return np.array((n, c, h, w, *kernel, *stride, *padding, *dilation, *out, *steps), np.int64)


def _columns(x, kernel, stride, padding, dilation, out, groups, merged):
    """Window columns of x (n, c, *s): (g, c*k, n*l) if merged, else (n, g, c*k, l)."""
    n, c = x.shape[:2]
    cg, k, l = c // groups, int(np.prod(kernel)), int(np.prod(out))
    native = _native(x)
    if native:
        cols = empty((groups, cg * k, n * l) if merged else (n, groups, cg * k, l), x.dtype)
        native[0](cols, x, _geometry(x.shape, kernel, stride, padding, dilation, out, merged))
        return cols
    w = windows(pad(x, padding, padding), kernel, stride, dilation, out)
    w = _split_groups(w, groups)
    if merged:
        w = np.moveaxis(w, 0, 2 + len(kernel))          # g, cg, *kernel, n, *out
    cols = empty(w.shape, x.dtype)
    copy_array(cols, w)
    return cols.reshape(groups, cg * k, n * l) if merged else cols.reshape(n, groups, cg * k, l)


def _split_groups(w, groups):
    n, c = w.shape[:2]
    st = w.strides
    return np.lib.stride_tricks.as_strided(
        w, (n, groups, c // groups) + w.shape[2:], (st[0], st[1] * (c // groups), st[1]) + st[2:])


def _step(n, columns):
    return max(1, min(n, _CHUNK // max(columns, 1)))


_TILE = 80 << 10        # elements of window columns that stay in a core's cache


@cache
def _plan(shape, o, kernel, stride, padding, dilation, out):
    """(geometry, bins, elements of a window) for `templates.convolve`, or None where larger products pay more."""
    n, c, h, w = shape
    k, l = c * kernel[0] * kernel[1], out[0] * out[1]
    if not (n and k and l > 0 and o) or k * out[1] > 256 << 10 or k * o > 128 << 10:
        return None
    rows = max(1, min(out[0], _TILE // (k * out[1])))
    blocks = -(-out[0] // rows)
    if n * blocks < 4 or rows * out[1] < 16:
        return None
    group = 1 if blocks > 1 else max(1, min(n, _TILE // (k * l), 256 // l))
    units = -(-n // group) * blocks
    bins = min(8, units)
    return np.array((n, c, h, w, *kernel, *stride, *padding, *dilation, *out, o, rows, blocks, group, bins),
                    np.int64), bins, k


_loaded = {}


def _cached(x, w_shape, stride, padding, dilation, out, groups):
    """(kernels, geometry, bins, elements of a window) of the way that keeps columns in the caches, or None."""
    if groups != 1 or x.ndim != 4:
        return None
    found = _loaded.get(x.dtype)
    if found is None:
        found = _loaded[x.dtype] = _convolve_kernels(x.dtype.name)
    plan = found and _plan(x.shape, w_shape[0], tuple(w_shape[2:]), tuple(stride), tuple(padding), tuple(dilation),
                           tuple(out))
    return plan and (found, *plan)


def _convolve_kernels(name):
    from ...compiler import available
    if name not in _LLVM or not available():
        return ()
    from ...compiler.templates.convolve import kernels
    return kernels(_LLVM[name])


def _forward(x, w, bias, stride, padding, dilation, groups):
    """The convolution with its bias."""
    kernel = w.shape[2:]
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    way = _cached(x, w.shape, stride, padding, dilation, out, groups)
    if way:
        y = empty((x.shape[0], w.shape[0]) + out, x.dtype)
        with_bias = None
        if bias is not None:
            # The bias is the weight of one more row of columns, of ones.
            o, k = w.shape[0], way[3]
            with_bias = empty((o, k + 1), x.dtype)
            with_bias[:, :k] = w.reshape(o, k)
            with_bias[:, k] = bias
        way[0][0](y, np.ascontiguousarray(x), np.ascontiguousarray(w), with_bias, way[1])
        return y
    y = _by_columns(x, w, stride, padding, dilation, groups)
    if bias is not None:
        y += bias.reshape((-1,) + (1,) * (y.ndim - 2))
    return y


def _by_columns(x, w, stride, padding, dilation, groups):
    kernel = w.shape[2:]
    n, o = x.shape[0], w.shape[0]
    out = tuple(out_size(*a) for a in zip(x.shape[2:], kernel, stride, padding, dilation))
    k, l = int(np.prod(kernel)), int(np.prod(out))
    cg = w.shape[1]
    y = empty((n, o) + out, x.dtype)
    if not y.size:
        return y
    if groups == o == x.shape[1] and groups > 1:
        return _depthwise(x, w, y, stride, padding, dilation)
    x = np.ascontiguousarray(x)
    w3 = np.ascontiguousarray(w).reshape(groups, o // groups, cg * k)
    if k == 1 and set(stride) == {1} and not any(padding):
        _matmul(w3[None], x.reshape(n, groups, cg, l), y.reshape(n, groups, o // groups, l))
        return y
    yv = y.reshape(n, groups, o // groups, l)
    step = _step(n, cg * groups * k * l)
    for lo in range(0, n, step):
        hi = min(lo + step, n)
        if l < 256 and hi - lo > 1:
            cols = _columns(x[lo:hi], kernel, stride, padding, dilation, out, groups, True)
            t = empty((groups, o // groups, (hi - lo) * l), x.dtype)
            _matmul(w3, cols, t)
            copy_array(yv[lo:hi], t.reshape(groups, o // groups, hi - lo, l).transpose(2, 0, 1, 3))
        else:
            cols = _columns(x[lo:hi], kernel, stride, padding, dilation, out, groups, False)
            _matmul(w3[None], cols, yv[lo:hi])
    return y


def _depthwise(x, w, y, stride, padding, dilation):
    xp = pad(x, padding, padding)
    v = windows(xp, w.shape[2:], stride, dilation, y.shape[2:])
    y[...] = 0
    for i, pos in enumerate(np.ndindex(*w.shape[2:])):
        y += w[(slice(None), 0) + pos].reshape((-1,) + (1,) * (y.ndim - 2)) * \
            v[(slice(None), slice(None)) + pos]
    return y


def _adjoint_input(y, w, size, stride, padding, dilation, groups):
    kernel, out = w.shape[2:], y.shape[2:]
    n, o = y.shape[:2]
    cg = w.shape[1]
    c = cg * groups
    k, l = int(np.prod(kernel)), int(np.prod(out))
    y = np.ascontiguousarray(y)
    if groups == 1 and len(kernel) == 2 and tuple(stride) == (1, 1) and o <= 4 * c:
        # With steps of one the adjoint is a convolution by the flipped kernel; its columns hold o channels.
        around = tuple(d * (q - 1) - p for d, q, p in zip(dilation, kernel, padding))
        way = min(around) >= 0 and _cached(y, (c, o, *kernel), stride, around, dilation, tuple(size), 1)
        if way:
            x = empty((n, c) + tuple(size), y.dtype)
            way[0][0](x, y, np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)), None, way[1])
            return x
    wt = np.ascontiguousarray(w).reshape(groups, o // groups, cg * k).transpose(0, 2, 1)
    if k == 1 and set(stride) == {1} and not any(padding) and tuple(size) == tuple(out):
        x = empty((n, c) + tuple(size), y.dtype)
        if x.size:
            _matmul(wt[None], y.reshape(n, groups, o // groups, l), x.reshape(n, groups, cg, l))
        return x
    native = _native(y)
    if native and y.size and w.size and c and min(size):
        x = empty((n, c) + tuple(size), y.dtype)
    else:
        native = None
        full = tuple(max(s + 2 * p, (q - 1) * t + d * (kk - 1) + 1) for s, p, q, t, d, kk in
                     zip(size, padding, out, stride, dilation, kernel))
        xp = empty((n, c) + full, y.dtype)
        xp[...] = 0
        if not (y.size and w.size):
            return np.ascontiguousarray(crop(xp, padding, size))
    step = _step(n, c * k * l)
    yv = y.reshape(n, groups, o // groups, l)
    for lo in range(0, n, step):
        hi = min(lo + step, n)
        m = hi - lo
        merged = l < 256 and m > 1
        if merged:
            t = empty((groups, o // groups, m, l), y.dtype)
            copy_array(t, yv[lo:hi].transpose(1, 2, 0, 3))
            cols = empty((groups, cg * k, m * l), y.dtype)
            _matmul(wt, t.reshape(groups, o // groups, m * l), cols)
        else:
            cols = empty((m, groups, cg * k, l), y.dtype)
            _matmul(wt[None], yv[lo:hi], cols)
        if native:
            native[1](x[lo:hi], cols, _geometry((m, c, *size), kernel, stride, padding, dilation, out, merged))
            continue
        if merged:
            cols = cols.reshape((c,) + tuple(kernel) + (m,) + tuple(out))
            cols = np.moveaxis(cols, 1 + len(kernel), 0)
        else:
            cols = cols.reshape((m, c) + tuple(kernel) + tuple(out))
        target = windows(xp[lo:hi], kernel, stride, dilation, out)
        for pos in np.ndindex(*kernel):
            i = (slice(None), slice(None)) + pos
            target[i] += cols[i]
    if native:
        return x
    return np.ascontiguousarray(crop(xp, padding, size)) if xp.shape[2:] != tuple(size) else xp


def _adjoint_weight(x, y, kernel, stride, padding, dilation, groups):
    out = y.shape[2:]
    n, o = y.shape[:2]
    c = x.shape[1]
    cg = c // groups
    k, l = int(np.prod(kernel)), int(np.prod(out))
    dw = empty((groups, o // groups, cg * k), x.dtype)
    if not y.size or not dw.size:
        dw[...] = 0
        return dw.reshape((o, cg) + tuple(kernel))
    x = np.ascontiguousarray(x)
    way = _cached(x, (o, c, *kernel), stride, padding, dilation, out, groups)
    if way:
        words, bins = way[1:3]
        way[0][1](dw, x, np.ascontiguousarray(y), empty((bins, c * k, o), x.dtype), words)
        return dw.reshape((o, cg) + tuple(kernel))
    step = _step(n, c * k * l)
    first = True
    for lo in range(0, n, step):
        hi = min(lo + step, n)
        m = hi - lo
        cols = _columns(x[lo:hi], kernel, stride, padding, dilation, out, groups, True)
        t = empty((groups, o // groups, m, l), y.dtype)
        copy_array(t, y[lo:hi].reshape(m, groups, o // groups, l).transpose(1, 2, 0, 3)
                   if y.flags.c_contiguous else
                   np.ascontiguousarray(y[lo:hi]).reshape(m, groups, o // groups, l).transpose(1, 2, 0, 3))
        t = t.reshape(groups, o // groups, m * l)
        if first:
            _matmul(t, cols.transpose(0, 2, 1), dw)
            first = False
        else:
            part = empty(dw.shape, dw.dtype)
            _matmul(t, cols.transpose(0, 2, 1), part)
            dw += part
    return dw.reshape((o, cg) + tuple(kernel))


# ---------------------------------------------------------------- primitives

def _channel_sum(g):
    return g.sum([0, *range(2, g.dim())])


def _grads(g, input, weight, bias_shape, stride, padding, dilation, groups, needs):
    di = conv_input(g, weight, tuple(input.shape[2:]), stride, padding, dilation, groups) \
        if needs[0] else None
    dw = conv_weight(input, g, tuple(weight.shape[2:]), stride, padding, dilation, groups) \
        if needs[1] else None
    return di, dw, _channel_sum(g) if needs[2] else None


@primitive("convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
           "int[] dilation, int groups) -> Tensor", vjp=Joint(_grads))
def conv(x, w, b, stride, padding, dilation, groups):
    """y = x * w + b (cross-correlation); x (n, c, *s), w (o, c/groups, *k), b (o)."""
    wx, ww, wb = _wide(x, w, b)
    return _narrow(_forward(wx, ww, wb, stride, padding, dilation, groups), x)


def _input_grads(g, grad_output, weight, stride, padding, dilation, groups, needs):
    dy = None
    if needs[0]:
        dy = conv(g, weight, None, stride, padding, dilation, groups)
        for d in range(2, dy.dim()):        # output padding may leave room for one window more
            if dy.shape[d] != grad_output.shape[d]:
                dy = dy.narrow(d, 0, grad_output.shape[d])
    dw = conv_weight(g, grad_output, tuple(weight.shape[2:]), stride, padding, dilation, groups) \
        if needs[1] else None
    return dy, dw


@primitive("conv_input(Tensor grad_output, Tensor weight, int[] size, int[] stride, int[] padding, "
           "int[] dilation, int groups) -> Tensor", vjp=Joint(_input_grads),
           node="ConvolutionBackwardBackward0")
def conv_input(y, w, size, stride, padding, dilation, groups):
    """The adjoint of `conv` in its input, of spatial shape `size`."""
    wy, ww = _wide(y, w)
    return _narrow(_adjoint_input(wy, ww, size, stride, padding, dilation, groups), y)


def _weight_grads(g, input, grad_output, stride, padding, dilation, groups, needs):
    dx = conv_input(grad_output, g, tuple(input.shape[2:]), stride, padding, dilation, groups) \
        if needs[0] else None
    dy = conv(input, g, None, stride, padding, dilation, groups) if needs[1] else None
    return dx, dy


@primitive("conv_weight(Tensor input, Tensor grad_output, int[] kernel, int[] stride, int[] padding, "
           "int[] dilation, int groups) -> Tensor", vjp=Joint(_weight_grads),
           node="ConvolutionBackwardBackward0")
def conv_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `conv` in its weight, of spatial shape `kernel`."""
    wx, wy = _wide(x, y)
    return _narrow(_adjoint_weight(wx, wy, kernel, stride, padding, dilation, groups), x)


def _transposed_grads(g, input, weight, bias_shape, stride, padding, dilation, groups, needs):
    di, dw = _input_grads(g, input, weight, stride, padding, dilation, groups, needs)
    return di, dw, _channel_sum(g) if needs[2] else None


@primitive("convolution_transposed(Tensor input, Tensor weight, Tensor? bias, int[] size, int[] stride, "
           "int[] padding, int[] dilation, int groups) -> Tensor", vjp=Joint(_transposed_grads),
           node="ConvolutionBackward0")
def conv_transposed(y, w, b, size, stride, padding, dilation, groups):
    """Transposed convolution: the adjoint of `conv`, plus a bias."""
    wy, ww, wb = _wide(y, w, b)
    x = _adjoint_input(wy, ww, size, stride, padding, dilation, groups)
    if wb is not None:
        x += wb.reshape((-1,) + (1,) * (x.ndim - 2))
    return _narrow(x, y)


# ---------------------------------------------------------------- public functions

def _check(op, input, weight, bias, n, groups, transposed):
    for name, t in (("input", input), ("weight", weight)):
        if not hasattr(t, "_a"):
            raise TypeError(f"{op}() : argument '{name}' must be Tensor, not {type(t).__name__}")
    if weight.dim() != n + 2:
        raise RuntimeError(f"Expected {n + 2}-dimensional weight for {op}, but got weight of size "
                           f"{list(weight.shape)}")
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {op}, but got "
                           f"input of size: {list(input.shape)}")
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"Input type (torch.{scalar_name(input.dtype)}Tensor) and weight type "
                           f"(torch.{scalar_name(weight.dtype)}Tensor) should be the same")
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(f"Input type (torch.{scalar_name(input.dtype)}Tensor) and bias type "
                           f"(torch.{scalar_name(bias.dtype)}Tensor) should be the same")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    c = input.shape[-n - 1]
    o, cg = weight.shape[:2]
    if o < groups or o % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension "
                           f"0 and divisible by it, but got weight of size {list(weight.shape)} instead")
    expected = o if transposed else cg * groups
    if c != expected:
        if transposed:
            raise RuntimeError(f"Given transposed=1, weight of size {list(weight.shape)}, expected input"
                               f"{list(input.shape)} to have {expected} channels, but got {c} channels "
                               "instead")
        raise RuntimeError(f"Given groups={groups}, weight of size {list(weight.shape)}, expected input"
                           f"{list(input.shape)} to have {expected} channels, but got {c} channels "
                           "instead")
    n_out = cg * groups if transposed else o
    if bias is not None and tuple(bias.shape) != (n_out,):
        raise RuntimeError(f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional"
                           f" with {n_out} elements, but got bias of size {list(bias.shape)} instead")


def _conv(op, n, input, weight, bias, stride, padding, dilation, groups):
    _check(op, input, weight, bias, n, groups, False)
    if type(stride) is not tuple or len(stride) != n:
        stride = tuple_of(stride, n, "stride", op)
    if type(dilation) is not tuple or len(dilation) != n:
        dilation = tuple_of(dilation, n, "dilation", op)
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("dilation should be greater than zero")
    unbatched = input.dim() == n + 1
    x = input.unsqueeze(0) if unbatched else input
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        if padding == "valid":
            padding = (0,) * n
        elif padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            if any(t % 2 for t in total):
                from ..registry import function
                extra = []
                for t in reversed(total):
                    extra += [0, t % 2]
                x = function("pad", "torch.nn.functional")(x, extra)
            padding = tuple(t // 2 for t in total)
        else:
            raise RuntimeError("Invalid padding string: '" + padding + "'")
    elif type(padding) is not tuple or len(padding) != n:
        padding = tuple_of(padding, n, "padding", op)
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    for s, p, d, k in zip(x.shape[2:], padding, dilation, kernel):
        if s + 2 * p < d * (k - 1) + 1:
            sizes = " x ".join(str(a + 2 * b) for a, b in zip(x.shape[2:], padding))
            kernels = " x ".join(str(a * (b - 1) + 1) for a, b in zip(dilation, kernel))
            raise RuntimeError(f"Calculated padded input size per channel: ({sizes}). Kernel size: "
                               f"({kernels}). Kernel size can't be greater than actual input size")
    y = conv(x, weight, bias, stride, padding, dilation, groups)
    return y.squeeze(0) if unbatched else y


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """1-d convolution: input (n, c, l), weight (o, c/groups, k) -> (n, o, l')."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """2-d convolution: input (n, c, h, w), weight (o, c/groups, kh, kw) -> (n, o, h', w')."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """3-d convolution: input (n, c, d, h, w), weight (o, c/groups, kd, kh, kw)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(op, n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    _check(op, input, weight, bias, n, groups, True)
    stride = tuple_of(stride, n, "stride", op)
    padding = tuple_of(padding, n, "padding", op)
    output_padding = tuple_of(output_padding, n, "output_padding", op)
    dilation = tuple_of(dilation, n, "dilation", op)
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    for o, s, d in zip(output_padding, stride, dilation):
        if o >= max(s, d):
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got "
                               f"output_padding: {list(output_padding)} stride: {list(stride)} dilation: "
                               f"{list(dilation)}")
    unbatched = input.dim() == n + 1
    x = input.unsqueeze(0) if unbatched else input
    size = tuple((s - 1) * st - 2 * p + d * (k - 1) + o + 1 for s, st, p, d, k, o in zip(
        x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding))
    if min(size) <= 0:
        raise RuntimeError(f"Given input size per channel: {list(x.shape[2:])}. Calculated output size "
                           f"per channel: {list(size)}. Output size is too small")
    y = conv_transposed(x, weight, bias, size, stride, padding, dilation, groups)
    return y.squeeze(0) if unbatched else y


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                     dilation=1):
    """Transposed 1-d convolution: the adjoint of conv1d; weight (c, o/groups, k)."""
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding,
                           groups, dilation)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                     dilation=1):
    """Transposed 2-d convolution: the adjoint of conv2d; weight (c, o/groups, kh, kw)."""
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding,
                           groups, dilation)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                     dilation=1):
    """Transposed 3-d convolution: the adjoint of conv3d; weight (c, o/groups, kd, kh, kw)."""
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding,
                           groups, dilation)


@public(method=False)
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """The general form behind conv1d to conv_transpose3d."""
    n = weight.dim() - 2
    if transposed:
        return _conv_transpose("convolution", n, input, weight, bias, stride, padding, output_padding,
                               groups, dilation)
    return _conv("convolution", n, input, weight, bias, stride, padding, dilation, groups)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def conv_tbc(input, weight, bias, pad=0):
    """1-d convolution over (time, batch, channels): weight (k, c, o)."""
    y = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, 1, pad)
    return y.permute(2, 0, 1)
