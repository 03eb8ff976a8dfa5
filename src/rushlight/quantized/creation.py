"""Making quantized tensors, and asking them what their codes mean."""

import rushlight as torch
from rushlight import dtypes

from . import schemes
from .arrays import CODES, Quantized, dequantized, encoded, is_quantized, limits, made


def _check(input, dtype):
    if input.dtype is not torch.float32:
        raise RuntimeError(f"Quantize only works on Float Tensor, got {dtypes.scalar_name(input.dtype)}")
    if dtype not in CODES:
        raise RuntimeError(f"ScalarType {dtypes.scalar_name(dtype)} is not supported in new_qtensor.")


def quantize_per_tensor(input, scale, zero_point, dtype):
    """Codes ``round(input / scale) + zero_point``, clamped to the range of `dtype`.

    Args:
        input: a float32 tensor, or a sequence of them (then `scale` and `zero_point` have an entry for each).
        scale, zero_point: numbers or tensors of one element.
        dtype: ``torch.qint8``, ``torch.quint8`` or ``torch.qint32``.

    Raises RuntimeError for other dtypes and for zero points outside the range of `dtype`.
    """
    if isinstance(input, (tuple, list)):
        return tuple(quantize_per_tensor(x, scale[i], zero_point[i], dtype) for i, x in enumerate(input))
    _check(input, dtype)
    scale = float(scale)
    zero_point = int(zero_point)
    lowest, highest = limits(dtype)
    if zero_point > highest:
        raise RuntimeError(f"quantize_tensor_per_tensor_affine zero_point {zero_point} is above upper bound.")
    if zero_point < lowest:
        raise RuntimeError(f"quantize_tensor_per_tensor_affine zero_point {zero_point} is below lower bound.")
    parts = Quantized(torch.empty(input.shape, dtype=CODES[dtype]), scale, zero_point)
    return made(encoded(input, parts, dtype), scale, zero_point)


def quantize_per_channel(input, scales, zero_points, axis, dtype):
    """`quantize_per_tensor` with a scale and a zero point for each index of dimension `axis`.

    Zero points of a floating dtype are not rounded (``torch.per_channel_affine_float_qparams``).
    """
    _check(input, dtype)
    n = input.dim()
    if scales.dim() != 1 or zero_points.dim() != 1:
        raise RuntimeError("scales and zero_points need to be 1-dimensional")
    if not 0 <= axis < n:
        raise RuntimeError(f"Channel axis out of range in per channel affine quantization. Got: {axis} Expected: "
                           f"[0, {n})")
    if scales.numel() != input.shape[axis] or zero_points.numel() != input.shape[axis]:
        raise RuntimeError(f"length of scales and zero_points must equal to channel, expected {input.shape[axis]} "
                           f"got, {scales.numel()}")
    floating = zero_points.is_floating_point()
    scales = scales.detach().to(torch.float32 if floating else torch.float64, copy=True)
    zero_points = zero_points.detach().to(torch.float32 if floating else torch.int64, copy=True)
    scheme = schemes.per_channel_affine_float_qparams if floating else schemes.per_channel_affine
    parts = Quantized(torch.empty(input.shape, dtype=CODES[dtype]), scales, zero_points, axis, scheme)
    return made(encoded(input, parts, dtype), scales, zero_points, axis, scheme)


def quantize_per_tensor_dynamic(input, dtype, reduce_range):
    """`quantize_per_tensor` with scale and zero point chosen so that the range of the values is covered.

    reduce_range: use half the codes, which keeps sums of products from overflowing in 16 bits.
    """
    if dtype not in (torch.qint8, torch.quint8):
        raise RuntimeError(f"dtype {dtypes.scalar_name(dtype)}not supported")
    _check(input, dtype)
    low, high = float(input.min()), float(input.max())
    scale, zero_point = _chosen(low, high, *limits(dtype), reduce_range)
    return quantize_per_tensor(input, scale, zero_point, dtype)


def _chosen(low, high, first, last, reduce_range):
    """Scale and zero point under which [low, high] and 0 have codes, 0 an exact one."""
    import numpy as np
    if reduce_range:
        first, last = first // 2, last // 2
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (last - first)
    with np.errstate(all="ignore"):
        if np.float32(scale) == 0 or np.isinf(np.float32(1) / np.float32(scale)):
            scale = 0.1
    smallest = float(np.float32(6.1e-5))
    if scale < smallest:                # reciprocals of smaller scales lose digits in half precision
        before, scale = scale, smallest
        if low == 0:
            high *= scale / before
        elif high == 0:
            low *= scale / before
        else:
            low, high = low * scale / before, high * scale / before
    # Either end may fix the zero point; the one whose rounding costs less does.
    from_low, from_high = first - low / scale, last - high / scale
    error_low = abs(first) - abs(low / scale)
    error_high = abs(last) - abs(high / scale)
    zero = from_low if error_low < error_high else from_high
    zero = first if zero < first else last if zero > last else int(np.rint(zero))
    return scale, zero


def make_per_tensor(codes, scale, zero_point):
    """A quantized tensor of integer tensor `codes` as they are."""
    return made(codes.detach().clone(), float(scale), int(zero_point))


def make_per_channel(codes, scale, zero_point, axis):
    """A quantized tensor of integer tensor `codes` as they are, with one meaning for each index of `axis`."""
    return made(codes.detach().clone(), scale.to(torch.float64), zero_point.to(torch.int64), axis,
                schemes.per_channel_affine)


def empty_affine(size, *, scale=1.0, zero_point=0, dtype=None, **options):
    """A quantized tensor whose codes are whatever the memory holds."""
    return made(torch.empty(size, dtype=CODES[dtype]), float(scale), int(zero_point))


def empty_per_channel(size, *, scales, zero_points, axis, dtype=None, **options):
    """`empty_affine` with one meaning for each index of `axis`."""
    return made(torch.empty(size, dtype=CODES[dtype]), scales.to(torch.float64), zero_points.to(torch.int64), axis,
                schemes.per_channel_affine)


def dequantize(input):
    """The numbers that a quantized tensor stands for, float32; of a sequence, a tuple. Others become float32."""
    if isinstance(input, (tuple, list)):
        return tuple(dequantize(x) for x in input)
    return dequantized(input) if is_quantized(input) else input.to(torch.float32)


def _of(input, name):
    if not is_quantized(input):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: the tensor is "
                                  "not quantized.")
    return input._a


def _per_tensor(input, name):
    parts = _of(input, name)
    if parts.axis is not None:
        raise RuntimeError(f"{name}: expected a tensor quantized as a whole, got one quantized per channel")
    return parts


def _per_channel(input, name):
    parts = _of(input, name)
    if parts.axis is None:
        raise RuntimeError(f"{name}: expected a tensor quantized per channel, got one quantized as a whole")
    return parts


def int_repr(input):
    """The codes, as a tensor of int8, uint8 or int32."""
    return _of(input, "int_repr").codes.clone()


def q_scale(input):
    """The scale of a tensor quantized as a whole."""
    return _per_tensor(input, "q_scale").scale


def q_zero_point(input):
    """The code of 0 of a tensor quantized as a whole."""
    return _per_tensor(input, "q_zero_point").zero_point


def q_per_channel_scales(input):
    """The scales of a tensor quantized per channel."""
    return _per_channel(input, "q_per_channel_scales").scale


def q_per_channel_zero_points(input):
    """The zero points of a tensor quantized per channel."""
    return _per_channel(input, "q_per_channel_zero_points").zero_point


def q_per_channel_axis(input):
    """The dimension along which scales differ."""
    return _per_channel(input, "q_per_channel_axis").axis


def qscheme(input):
    """The scheme: ``torch.per_tensor_affine``, ``torch.per_channel_affine``, ..."""
    if not is_quantized(input):
        raise RuntimeError("Could not run 'aten::qscheme' with a tensor that is not quantized")
    return input._a.scheme
