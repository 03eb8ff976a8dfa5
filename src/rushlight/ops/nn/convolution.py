"""Convolution in 1 to 3 dimensions, transposed and grouped, closed under differentiation.

Three bilinear primitives, each other's derivatives (x input, w weight, y output):

    y = conv(x, w)            y[n,o,p] = sum_{c,k} w[o,c,k] x[n,c, p*stride - padding + k*dilation]
    x' = conv_input(y, w)     the adjoint in x: transposed convolution
    w' = conv_weight(x, y)    the adjoint in w

The work is in `conv_points` (1 x 1 windows), `conv_pixels` and `conv_maps` (generated code), `conv_fallback` (NumPy).
"""

import numpy as np

from ... import devices
from ...dtypes import scalar_name
from ...record import Joint
from ...runtime.allocator import empty
from ...tensor.geometry import suggest_channels_last
from ..copy import converted, copy_array
from ..dispatch import primitive
from ..registry import public
from . import conv_fallback, conv_maps, conv_pixels, conv_points
from .windows import out_size, tuple_of


def _wide(*arrays):
    """16-bit floats as float32; other types as they are."""
    return [converted(a, np.dtype(np.float32)) if a is not None and a.dtype.itemsize == 2 and a.dtype.kind not in "iu"
            else a for a in arrays]


def _channels_last(a):
    return a.ndim in (4, 5) and not a.flags.c_contiguous and \
        suggest_channels_last(a.shape, [s // a.itemsize for s in a.strides])


def _result(out, like, w):
    """The result in the dtype of `like`, and channels-last where `like` or the weights are."""
    if (_channels_last(like) or _channels_last(w)) and not (out.dtype == like.dtype and _channels_last(out)):
        laid = np.moveaxis(empty((out.shape[0], *out.shape[2:], out.shape[1]), like.dtype), -1, 1)
        copy_array(laid, out)
        return laid
    return out if out.dtype == like.dtype else converted(out, like.dtype)


def _first(name, a, b, bias, *geometry):
    """The map of that name by the first of the ways there are: generated code, or NumPy."""
    found = getattr(conv_pixels, name)(a, b, bias, *geometry)
    if found is not None:
        return found
    if a.dtype.itemsize == 2:
        a, b, bias = _wide(a, b, bias)
        found = getattr(conv_pixels, name)(a, b, bias, *geometry)
    if found is None:
        found = getattr(conv_maps, name)(a, b, bias, *geometry)
    return getattr(conv_fallback, name)(a, b, bias, *geometry) if found is None else found


# ---------------------------------------------------------------- primitives

def _channel_sum(g):
    return g.sum([0, *range(2, g.dim())])


def _grads(g, input, weight, bias_shape, stride, padding, dilation, groups, needs):
    if needs[0] and input._suggested_format() is not devices.contiguous_format and g.is_contiguous():
        g = g.contiguous(memory_format=input._suggested_format())
    di = conv_input(g, weight, tuple(input.shape[2:]), stride, padding, dilation, groups) \
        if needs[0] else None
    dw = conv_weight(input, g, tuple(weight.shape[2:]), stride, padding, dilation, groups) \
        if needs[1] else None
    return di, dw, _channel_sum(g) if needs[2] else None


def _meta(input, weight, bias, stride, padding, dilation, groups):
    spatial = [out_size(*a) for a in zip(input._a.shape[2:], weight._a.shape[2:], stride, padding, dilation)]
    return (input._a.shape[0], weight._a.shape[0], *spatial), input.dtype


def _adjoint_meta(y, weight, size, groups):
    return (y._a.shape[0], weight._a.shape[1] * groups, *size), y.dtype


@primitive("convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
           "int[] dilation, int groups) -> Tensor", vjp=Joint(_grads), meta=_meta)
def conv(x, w, b, stride, padding, dilation, groups):
    """y = x * w + b (cross-correlation); x (n, c, *s), w (o, c/groups, *k), b (o)."""
    y = conv_points.forward(x, w, b, stride, padding, dilation, groups)
    if y is None:
        y = _first("forward", x, w, b, stride, padding, dilation, groups)
    return _result(y, x, w)


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
           node="ConvolutionBackwardBackward0",
           meta=lambda y, weight, size, stride, padding, dilation, groups: _adjoint_meta(y, weight, size, groups))
def conv_input(y, w, size, stride, padding, dilation, groups):
    """The adjoint of `conv` in its input, of spatial shape `size`."""
    return _transposed(y, w, None, size, stride, padding, dilation, groups)


def _weight_grads(g, input, grad_output, stride, padding, dilation, groups, needs):
    dx = conv_input(grad_output, g, tuple(input.shape[2:]), stride, padding, dilation, groups) \
        if needs[0] else None
    dy = conv(input, g, None, stride, padding, dilation, groups) if needs[1] else None
    return dx, dy


@primitive("conv_weight(Tensor input, Tensor grad_output, int[] kernel, int[] stride, int[] padding, "
           "int[] dilation, int groups) -> Tensor", vjp=Joint(_weight_grads),
           node="ConvolutionBackwardBackward0",
           meta=lambda x, y, kernel, stride, padding, dilation, groups: (
               (y._a.shape[1], x._a.shape[1] // groups, *kernel), x.dtype))
def conv_weight(x, y, kernel, stride, padding, dilation, groups):
    """The adjoint of `conv` in its weight, of spatial shape `kernel`."""
    dw = conv_points.adjoint_weight(x, y, kernel, stride, padding, dilation, groups)
    if dw is None:
        dw = conv_pixels.adjoint_weight(x, y, kernel, stride, padding, dilation, groups)
    if dw is None:
        operands = *_wide(x, y), kernel, stride, padding, dilation, groups
        dw = conv_maps.adjoint_weight(*operands)
        if dw is None:
            dw = conv_fallback.adjoint_weight(*operands)
    return dw if dw.dtype == x.dtype else converted(dw, x.dtype)


def _transposed_grads(g, input, weight, bias_shape, stride, padding, dilation, groups, needs):
    di, dw = _input_grads(g, input, weight, stride, padding, dilation, groups, needs)
    return di, dw, _channel_sum(g) if needs[2] else None


@primitive("convolution_transposed(Tensor input, Tensor weight, Tensor? bias, int[] size, int[] stride, "
           "int[] padding, int[] dilation, int groups) -> Tensor", vjp=Joint(_transposed_grads),
           node="ConvolutionBackward0",
           meta=lambda y, weight, bias, size, stride, padding, dilation, groups: _adjoint_meta(y, weight, size, groups))
def conv_transposed(y, w, b, size, stride, padding, dilation, groups):
    """Transposed convolution: the adjoint of `conv`, plus a bias."""
    return _transposed(y, w, b, size, stride, padding, dilation, groups)


def _transposed(y, w, b, *geometry):
    x = conv_points.adjoint_input(y, w, b, *geometry)
    if x is None:
        x = _first("adjoint_input", y, w, b, *geometry)
    return _result(x, y, w)


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
