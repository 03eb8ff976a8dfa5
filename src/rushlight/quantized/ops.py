"""Ops on quantized tensors: those on codes alone, and those that decode, compute and encode again."""

import rushlight as torch
from rushlight.record import RECORDS

from .arrays import around, dequantized, encoded, handles, is_quantized, made, refused


def _uniform(x, name):
    if x._a.axis is not None:
        raise refused(name, x._a)
    return x._a


def _same(x, codes):
    return around(codes, x._a)


# ---------------------------------------------------------------- the same codes, elsewhere

@handles("clone")
def _clone(x, memory_format):
    return _same(x, x._a.codes.clone(memory_format=memory_format or torch.preserve_format))


@handles("_to_copy")
def _to_copy(x, dtype, device, memory_format):
    if dtype is not x.dtype:
        raise RuntimeError("Creation of quantized tensor requires quantized dtype like torch.quint8")
    return _clone(x, memory_format)


@handles("select.int")
def _select(x, dim, index):
    parts = x._a
    codes = parts.codes.select(dim, index)
    if parts.axis is None:
        return _same(x, codes)
    if dim % x.dim() != parts.axis:
        raise RuntimeError("Setting strides is possible only on uniformly quantized tensor")
    return made(codes, parts.scale[index].item(), int(parts.zero_point[index].item()))


@handles("flip")
def _flip(x, dims):
    _uniform(x, "flip")
    return _same(x, x._a.codes.flip(dims))


@handles("index_select")
def _index_select(x, dim, index):
    _uniform(x, "index_select")
    return _same(x, x._a.codes.index_select(dim, index))


@handles("cat")
def _cat(tensors, dim=0):
    tensors = list(tensors)
    if not all(map(is_quantized, tensors)):
        raise RuntimeError("All inputs to cat should be quantized or none")
    first = tensors[0]
    parts = _uniform(first, "cat")
    codes = [t._a.codes if _means(t._a, parts) else encoded(dequantized(t), parts, first.dtype) for t in tensors]
    return _same(first, torch.cat(codes, dim))


def _means(a, b):
    """Whether the codes of two tensors mean the same."""
    return a.axis is None and b.axis is None and (a.scale, a.zero_point, a.dtype) == (b.scale, b.zero_point, b.dtype)


@handles("masked_fill.Scalar")
def _masked_fill(x, mask, value):
    parts = _uniform(x, "masked_fill")
    code = encoded(torch.tensor([float(value)]), parts, x.dtype)
    return _same(x, torch.where(mask, code, parts.codes))


# ---------------------------------------------------------------- order: that of the codes

@handles("relu")
def _relu(x):
    parts = _uniform(x, "relu")
    return _same(x, parts.codes.clamp(min=parts.zero_point))


@handles("clamp", "hardtanh")
def _clamp(x, low=None, high=None):
    parts = _uniform(x, "clamp")
    bounds = [None if v is None else encoded(torch.tensor([float(v)]), parts, x.dtype).item() for v in (low, high)]
    return _same(x, parts.codes.clamp(*bounds))


@handles("max", "amax_all", "max.all")
def _max(x):
    return _same(x, _uniform(x, "max").codes.max())


@handles("min", "amin_all", "min.all")
def _min(x):
    return _same(x, _uniform(x, "min").codes.min())


@handles("sort", "sort.stable")
def _sort(x, *args):
    codes, indices = _uniform(x, "sort").codes.sort(*args[-2:])
    return _same(x, codes), indices


@handles("_max_pool2d")
def _max_pool(x, *window):
    # float64 holds every code; padding is less than all of them.
    codes, indices = RECORDS["_max_pool2d"].call(_uniform(x, "max_pool2d").codes.to(torch.float64), *window)
    return _same(x, codes.to(x._a.codes.dtype)), indices


def quantized_max_pool1d(input, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
    """`max_pool1d` of a quantized tensor (N, C, L) or (C, L): the greatest code of each window."""
    return _pooled(input, 1, kernel_size, stride, padding, dilation, ceil_mode)


def quantized_max_pool2d(input, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
    """`max_pool2d` of a quantized tensor (N, C, H, W) or (C, H, W): the greatest code of each window."""
    return _pooled(input, 2, kernel_size, stride, padding, dilation, ceil_mode)


def _pooled(x, n, kernel_size, stride, padding, dilation, ceil_mode):
    if not is_quantized(x):
        raise NotImplementedError(f"Could not run 'aten::quantized_max_pool{n}d' with arguments from the 'CPU' "
                                  "backend: the tensor is not quantized.")
    pool = torch.nn.functional.max_pool1d if n == 1 else torch.nn.functional.max_pool2d
    return pool(x, kernel_size, stride or None, padding, dilation, ceil_mode)


# ---------------------------------------------------------------- decode, compute, encode

def _again(x, values, scale=None, zero_point=None):
    """Numbers encoded as `x` is, or with another scale and zero point."""
    parts = x._a
    if scale is None:
        return _same(x, encoded(values, parts, x.dtype))
    other = made(parts.codes, scale, zero_point)._a
    return around(encoded(values, other, x.dtype), other)


@handles("sigmoid")
def _sigmoid(x):
    zero = 0 if x.dtype is torch.quint8 else -128 if x.dtype is torch.qint8 else 0
    _uniform(x, "sigmoid")
    return _again(x, torch.sigmoid(dequantized(x)), 2.0**-32 if x.dtype is torch.qint32 else 1 / 256, zero)


@handles("tanh")
def _tanh(x):
    zero = 128 if x.dtype is torch.quint8 else 0
    _uniform(x, "tanh")
    return _again(x, torch.tanh(dequantized(x)), 2.0**-31 if x.dtype is torch.qint32 else 2 / 256, zero)


def _compared(name):
    @handles(name + ".Tensor", name + ".Scalar", name)
    def compare(a, b):
        a, b = (dequantized(v) if is_quantized(v) else v for v in (a, b))
        return getattr(torch, name)(a, b)


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _compared(_name)


@handles("equal")
def _equal(a, b):
    return is_quantized(a) and is_quantized(b) and _means(a._a, b._a) and torch.equal(a._a.codes, b._a.codes)


def quantized_batch_norm(input, weight, bias, mean, var, eps, output_scale, output_zero_point):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel, quantized anew.

    Args:
        input: quantized (N, C, ...).
        weight, bias, mean, var: float32 (C,); weight and bias may be None.
        output_scale, output_zero_point: of the result.
    """
    _uniform(input, "quantized_batch_norm")
    values = torch.nn.functional.batch_norm(dequantized(input), mean, var, weight, bias, False, 0.0, eps)
    return _again(input, values, float(output_scale), int(output_zero_point))
