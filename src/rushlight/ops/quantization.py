"""Fake quantization, and the public names of quantized tensors, whose package is loaded on first use.

Fake quantization rounds numbers to those that codes could stand for and lets gradients through where the code is in
range (Bengio et al., "Estimating or propagating gradients through stochastic neurons", arXiv:1308.3432; Jacob et al.,
arXiv:1712.05877, section 3).
"""

from importlib import import_module

import numpy as np

from ..compiler import scalar as s
from ..dtypes import scalar_name
from ..tensor.geometry import wrap_dim
from .pointwise.core import pointwise
from .registry import METHODS, public


def _code(x, inverse, zero):
    return s.round(x * inverse) + zero


def _formula(x, scale, inverse, zero, low, high):
    q = _code(x, inverse, zero)
    q = s.where(q >= low, q, low)               # also where q is NaN
    return (s.where(q <= high, q, high) - zero) * scale


def _mask_formula(g, x, inverse, zero, low, high):
    q = _code(x, inverse, zero)
    return g * s.where(s.logical_and(q >= low, q <= high), 1, 0)


_grad = pointwise(
    "fake_quantize.grad(Tensor g, Tensor self, float inverse, float zero_point, float quant_min, float quant_max) "
    "-> Tensor", _mask_formula,
    vjp={"g": lambda g, self, inverse, zero_point, quant_min, quant_max: _grad(
        g, self, inverse, zero_point, quant_min, quant_max), "self": lambda g: None})

_whole = pointwise(
    "fake_quantize_per_tensor_affine_cachemask(Tensor self, float scale, float inverse, float zero_point, "
    "float quant_min, float quant_max) -> Tensor", _formula,
    vjp={"self": lambda g, self, inverse, zero_point, quant_min, quant_max: _grad(
        g, self, inverse, zero_point, quant_min, quant_max)})

_grad_by_tensors = pointwise(
    "fake_quantize.grad_tensor_qparams(Tensor g, Tensor self, Tensor inverse, Tensor zero_point, float quant_min, "
    "float quant_max) -> Tensor", _mask_formula,
    vjp={"g": lambda g, self, inverse, zero_point, quant_min, quant_max: _grad_by_tensors(
        g, self, inverse, zero_point, quant_min, quant_max),
         "self": lambda g: None, "inverse": lambda g: None, "zero_point": lambda g: None})


def _by_tensors(name):
    return pointwise(
        name + "(Tensor self, Tensor scale, Tensor inverse, Tensor zero_point, float quant_min, float quant_max) "
        "-> Tensor", _formula,
        vjp={"self": lambda g, self, inverse, zero_point, quant_min, quant_max: _grad_by_tensors(
            g, self, inverse, zero_point, quant_min, quant_max),
             "scale": lambda g: None, "inverse": lambda g: None, "zero_point": lambda g: None})


_whole_by_tensors = _by_tensors("fake_quantize_per_tensor_affine_cachemask_tensor_qparams")
_channels = _by_tensors("fake_quantize_per_channel_affine_cachemask")


def _check(input, quant_min, quant_max, zero_point=None):
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")
    if zero_point is not None and not quant_min <= zero_point <= quant_max:
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    if not input.is_floating_point():
        raise NotImplementedError("\"fake_quantize_tensor_cachemask_kernel_type_handling\" not implemented for "
                                  f"'{scalar_name(input.dtype)}'")


def _fitting(scale, zero_point, shape, input):
    """Scale, its inverse and zero point, of this shape, in the type that `input` is computed in.

    The inverse is rounded to float32 whatever the type.
    """
    from ..dtypes import float32, float64
    wide = float64 if input.dtype is float64 else float32
    scale = scale.detach().reshape(shape).to(float32)
    return scale.to(wide), scale.reciprocal().to(wide), zero_point.detach().reshape(shape).to(wide)


@public(method=False)
def fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max):
    """``(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``.

    Gradients pass where the code is in range. scale, zero_point: numbers, or tensors of one element. RuntimeError for
    an empty range, or a zero point that is a number outside of it.
    """
    if hasattr(scale, "dtype"):
        _check(input, quant_min, quant_max)
        r = _whole_by_tensors(input, *_fitting(scale, zero_point, (), input), quant_min, quant_max)
        return r if r.dtype is input.dtype else r.to(input.dtype)
    _check(input, quant_min, quant_max, zero_point)
    with np.errstate(divide="ignore"):
        inverse = float(np.float32(1) / np.float32(scale))
    return _whole(input, float(scale), inverse, float(zero_point), quant_min, quant_max)


@public(method=False)
def fake_quantize_per_channel_affine(input, scale, zero_point, axis, quant_min, quant_max):
    """`fake_quantize_per_tensor_affine` with a scale and a zero point for each index of dimension `axis`.

    scale: float32; zero_point: int32, or floating. RuntimeError for other dtypes, other sizes and zero points out of
    range.
    """
    from ..dtypes import bfloat16, float16, float32, int32
    if scale.dtype not in (float32, bfloat16):
        raise RuntimeError(f"Scale must be Float or BFloat16, found {scalar_name(scale.dtype)}")
    if zero_point.dtype not in (int32, float32, float16):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {scalar_name(zero_point.dtype)}")
    if scale.dim() != 1 or zero_point.dim() != 1 or scale.numel() != zero_point.numel():
        raise RuntimeError("scale and zero point tensors should be 1-D with the same number of elements")
    d = wrap_dim(axis, input.dim())
    if scale.numel() != input.shape[d]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    _check(input, quant_min, quant_max)
    if zero_point.numel() and not (quant_min <= zero_point.min().item() and zero_point.max().item() <= quant_max):
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    shape = [1] * input.dim()
    shape[d] = -1
    r = _channels(input, *_fitting(scale, zero_point, shape, input), quant_min, quant_max)
    return r if r.dtype is input.dtype else r.to(input.dtype)


# ---------------------------------------------------------------- quantized tensors

def _later(name, doc, *parameters, method=False, module="creation", inner=None):
    """Publish a function of the package `quantized`, with parameters of these names."""
    inner = inner or name
    listed = ", ".join(parameters)
    given = ", ".join(p.partition("=")[0] for p in parameters if p != "*")
    scope = {"home": lambda: getattr(import_module("..quantized." + module, __package__), inner)}
    exec(f"def {name}({listed}):\n    return home()({given})", scope)
    function = scope[name]
    function.__module__, function.__doc__ = __name__, doc
    public(name)(function) if method else public(name, method=False)(function)
    return function


_POOL = ("input", "kernel_size", "stride=()", "padding=0", "dilation=1", "ceil_mode=False")
_later("quantize_per_tensor", "Codes ``round(input / scale) + zero_point``, clamped to the range of `dtype` (quint8, "
       "qint8, qint32).", "input", "scale", "zero_point", "dtype")
_later("quantize_per_channel", "`quantize_per_tensor` with a scale and a zero point for each index of `axis`.",
       "input", "scales", "zero_points", "axis", "dtype")
_later("quantize_per_tensor_dynamic", "`quantize_per_tensor` with scale and zero point chosen so that the range of the "
       "values is covered; `reduce_range`: by codes of a bit less.", "input", "dtype", "reduce_range")
_later("_make_per_tensor_quantized_tensor", "A quantized tensor of integer codes as they are.",
       "input", "scale", "zero_point", inner="make_per_tensor")
_later("_make_per_channel_quantized_tensor", "A quantized tensor of integer codes as they are, with one meaning for "
       "each index of `axis`.", "input", "scale", "zero_point", "axis", inner="make_per_channel")
_later("quantized_max_pool1d", "`max_pool1d` of a quantized tensor (N, C, L) or (C, L): the greatest code of "
       "each window.", *_POOL, module="ops")
_later("quantized_max_pool2d", "`max_pool2d` of a quantized tensor (N, C, H, W) or (C, H, W): the greatest code of "
       "each window.", *_POOL, module="ops")
_later("quantized_batch_norm", "`batch_norm` of a quantized tensor by given mean and variance, quantized with "
       "`output_scale` and `output_zero_point`.", "input", "weight", "bias", "mean", "var", "eps", "output_scale",
       "output_zero_point", module="ops")
for _name, _doc in (
        ("dequantize", "The numbers that a quantized tensor stands for, float32; of a sequence, a tuple."),
        ("int_repr", "The codes of a quantized tensor, as int8, uint8 or int32."),
        ("q_scale", "The scale of a tensor quantized as a whole; RuntimeError for others."),
        ("q_zero_point", "The code of 0 of a tensor quantized as a whole; RuntimeError for others."),
        ("q_per_channel_scales", "The scales of a tensor quantized per channel; RuntimeError for others."),
        ("q_per_channel_zero_points", "The codes of 0 of a tensor quantized per channel; RuntimeError for others."),
        ("q_per_channel_axis", "The dimension along which scales differ; RuntimeError for others.")):
    _later(_name, _doc, "input", method=True)


def _qscheme(self):
    """The scheme of a quantized tensor: ``torch.per_tensor_affine``, ``torch.per_channel_affine``, ..."""
    return import_module("..quantized.creation", __package__).qscheme(self)


_qscheme.__name__ = "qscheme"
METHODS["qscheme"] = _qscheme


@public(method=False)
def _empty_affine_quantized(size, *, scale=1.0, zero_point=0, dtype=None, layout=None, device=None, pin_memory=False,
                            memory_format=None):
    """A quantized tensor whose codes are whatever the memory holds."""
    return import_module("..quantized.creation", __package__).empty_affine(size, scale=scale, zero_point=zero_point,
                                                                          dtype=dtype)


@public(method=False)
def _empty_per_channel_affine_quantized(size, *, scales, zero_points, axis, dtype=None, layout=None, device=None,
                                        pin_memory=False, memory_format=None):
    """A quantized tensor with one meaning for each index of `axis`, whose codes are whatever the memory holds."""
    return import_module("..quantized.creation", __package__).empty_per_channel(
        size, scales=scales, zero_points=zero_points, axis=axis, dtype=dtype)
