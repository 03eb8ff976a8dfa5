"""Rearrangements of images: pixel and channel shuffles, sliding blocks (unfold, fold)."""

from math import prod

import numpy as np

from ...dtypes import BOOL
from ..dispatch import primitive
from ..registry import public
from .windows import crop, out_size, pad, tuple_of, windows

_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")


@public(namespaces=_TF, method=False)
def pixel_shuffle(input, upscale_factor):
    """(*, c r², h, w) -> (*, c, h r, w r). Shi et al. arXiv:1609.05158."""
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError("pixel_shuffle expects input to have at least 3 dimensions, but got input with "
                           f"{input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the "
                           f"square of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}")
    n = len(lead)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    return x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(*lead, c // (r * r), h * r, w * r)


@public(namespaces=_TF, method=False)
def pixel_unshuffle(input, downscale_factor):
    """(*, c, h r, w r) -> (*, c r², h, w): the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError("pixel_unshuffle expects input to have at least 3 dimensions, but got input "
                           f"with {input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if h % r:
        raise RuntimeError(f"pixel_unshuffle expects height to be divisible by downscale_factor, but "
                           f"input.size(-2)={h} is not divisible by {r}")
    if w % r:
        raise RuntimeError(f"pixel_unshuffle expects width to be divisible by downscale_factor, but "
                           f"input.size(-1)={w} is not divisible by {r}")
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    return x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3).reshape(*lead, c * r * r, h // r, w // r)


@public(namespaces=_TF, method=False)
def channel_shuffle(input, groups):
    """Interleave `groups` groups of channels. Zhang et al. arXiv:1707.01083."""
    if input.dim() < 3:
        raise RuntimeError("channel_shuffle expects input with > 2 dims, but got input with sizes "
                           f"{list(input.shape)}")
    if groups <= 0:
        raise RuntimeError("Number of groups to divide channels in must be positive. Value of groups:"
                           f"{groups}")
    n, c = input.shape[:2]
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and "
                           f"{groups} groups.")
    return input.reshape(n, groups, c // groups, *input.shape[2:]).transpose(1, 2).reshape(input.shape)


public("native_channel_shuffle", method=False)(
    lambda input, groups: channel_shuffle(input, groups))


# ---------------------------------------------------------------- sliding blocks

def _columns_meta(x, kernel, dilation, padding, stride):
    n, c, *size = x._a.shape
    count = prod(out_size(*a) for a in zip(size, kernel, stride, padding, dilation))
    return (n, c * prod(kernel), count), x.dtype


@primitive("im2col(Tensor self, int[] kernel_size, int[] dilation, int[] padding, int[] stride) -> Tensor",
           node="Im2ColBackward0", meta=_columns_meta,
           vjp={"self": lambda g, self_shape, kernel_size, dilation, padding, stride:
                _col2im(g, self_shape[2:], kernel_size, dilation, padding, stride)})
def _im2col(x, kernel, dilation, padding, stride):
    """Columns (n, c k, l) of the sliding windows of x (n, c, h, w)."""
    out = tuple(out_size(*a) for a in zip(x.shape[2:], kernel, stride, padding, dilation))
    w = windows(pad(np.ascontiguousarray(x), padding, padding), kernel, stride, dilation, out)
    return np.array(w, order="C").reshape(x.shape[0], x.shape[1] * int(np.prod(kernel)),
                                          int(np.prod(out)))


@primitive("col2im(Tensor self, int[] output_size, int[] kernel_size, int[] dilation, int[] padding, "
           "int[] stride) -> Tensor",
           meta=lambda cols, size, kernel, dilation, padding, stride: (
               (cols._a.shape[0], cols._a.shape[1] // prod(kernel), *size), cols.dtype),
           vjp={"self": lambda g, kernel_size, dilation, padding, stride:
                _im2col(g, kernel_size, dilation, padding, stride)})
def _col2im(cols, size, kernel, dilation, padding, stride):
    """Columns added up where their windows lie: (n, c, h, w)."""
    out = tuple(out_size(*a) for a in zip(size, kernel, stride, padding, dilation))
    k = int(np.prod(kernel))
    n, c = cols.shape[0], cols.shape[1] // k
    wide = cols.astype(np.float32) if cols.dtype.itemsize == 2 else cols
    cols6 = np.ascontiguousarray(wide).reshape((n, c) + tuple(kernel) + out)
    x = np.zeros((n, c) + tuple(s + 2 * p for s, p in zip(size, padding)), wide.dtype)
    target = windows(x, kernel, stride, dilation, out)
    for pos in np.ndindex(*kernel):
        i = (slice(None), slice(None)) + pos
        v = target[i]
        np.add(v, cols6[i], out=v) if cols.dtype.kind != "b" else np.logical_or(v, cols6[i], out=v)
    return np.ascontiguousarray(crop(x, padding, size)).astype(cols.dtype, copy=False)


def _check_positive(**values):
    for name, v in values.items():
        low = 0 if name == "padding" else 1
        if min(v) < low:
            what = "non-negative" if low == 0 else "greater than zero"
            raise RuntimeError(f"{name} should be {what}, but got {name}_height: {v[0]} {name}_width: "
                               f"{v[1]}")


@public(namespaces=_F, method=False)
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Sliding blocks of (n, c, h, w) as columns (n, c kh kw, l)."""
    kernel, dilation = tuple_of(kernel_size, 2, "kernel_size", "unfold"), tuple_of(
        dilation, 2, "dilation", "unfold")
    padding, stride = tuple_of(padding, 2, "padding", "unfold"), tuple_of(stride, 2, "stride", "unfold")
    _check_positive(kernel=kernel, dilation=dilation, padding=padding, stride=stride)
    if input.dim() not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
                           f"non-zero dimensions for input, but got: {list(input.shape)}")
    out = tuple(out_size(*a) for a in zip(input.shape[-2:], kernel, stride, padding, dilation))
    if min(out) < 1:
        raise RuntimeError(f"Given input with spatial size ({input.shape[-2]}, {input.shape[-1]}), "
                           f"kernel_size={kernel}, dilation={dilation}, padding={padding}, calculated "
                           f"shape of the array of sliding blocks as {out}, but its components must be "
                           "at least one.")
    x = input if input.dim() == 4 else input.unsqueeze(0)
    y = _im2col(x, kernel, dilation, padding, stride)
    return y if input.dim() == 4 else y.squeeze(0)


@public(namespaces=_F, method=False)
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (n, c kh kw, l) added up to an image (n, c, h, w)."""
    size, kernel = tuple_of(output_size, 2, "output_size", "fold"), tuple_of(
        kernel_size, 2, "kernel_size", "fold")
    dilation, padding = tuple_of(dilation, 2, "dilation", "fold"), tuple_of(
        padding, 2, "padding", "fold")
    stride = tuple_of(stride, 2, "stride", "fold")
    _check_positive(kernel=kernel, dilation=dilation, padding=padding, stride=stride)
    if input.dim() not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
                           f"non-zero dimensions for input, but got: {list(input.shape)}")
    if input.dtype.category == BOOL:
        raise NotImplementedError("\"col2im_out_cpu\" not implemented for 'Bool'")
    k = kernel[0] * kernel[1]
    if input.shape[-2] % k:
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of "
                           f"kernel_size, but got input.size(1)={input.shape[-2]} and "
                           f"kernel_size={kernel}.")
    out = tuple(out_size(*a) for a in zip(size, kernel, stride, padding, dilation))
    if input.shape[-1] != out[0] * out[1] or min(out) < 1:
        raise RuntimeError(f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, "
                           f"padding={padding}, stride={stride}, expected size of input's dimension 2 to "
                           f"match the calculated number of sliding blocks {out[0]} * {out[1]} = "
                           f"{out[0] * out[1]}, but got input.size(2)={input.shape[-1]}.")
    x = input if input.dim() == 3 else input.unsqueeze(0)
    y = _col2im(x, size, kernel, dilation, padding, stride)
    return y if input.dim() == 3 else y.squeeze(0)


@public("im2col", method=False)
def torch_im2col(input, kernel_size, dilation, padding, stride):
    """`nn.functional.unfold` with all arguments given."""
    return unfold(input, kernel_size, dilation, padding, stride)


@public("col2im", method=False)
def torch_col2im(input, output_size, kernel_size, dilation, padding, stride):
    """`nn.functional.fold` with all arguments given."""
    return fold(input, output_size, kernel_size, dilation, padding, stride)
