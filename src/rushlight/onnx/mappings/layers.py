"""Convolutions, pooling, normalizations."""

import numpy as np

from rushlight import dtypes

from ..errors import UnsupportedOperatorError
from ..unify import Size
from . import maps


def _pads(padding):
    return [*padding, *padding]


@maps("convolution")
def _convolution(b, x, weight, bias, stride, padding, dilation, groups):
    return b.op("Conv", x, weight, bias, strides=stride, pads=_pads(padding), dilations=dilation, group=groups,
                kernel_shape=list(b.known_shape(weight)[2:]))


def _each(n, k):
    """What a dimension was in trace k."""
    return n.seen[k] if isinstance(n, Size) else n


def _traces(*numbers):
    return max([len(n.seen) for n in numbers if isinstance(n, Size)], default=1)


@maps("convolution_transposed")
def _transposed(b, x, weight, bias, size, stride, padding, dilation, groups):
    kernel = list(b.known_shape(weight)[2:])
    extra = []
    for d, (n, s, p, l, k) in enumerate(zip(size, stride, padding, dilation, kernel)):
        inner = x.shape[2 + d]
        found = {_each(n, t) - ((_each(inner, t) - 1) * s - 2 * p + l * (k - 1) + 1) for t in range(_traces(n, inner))}
        if len(found) != 1:
            raise UnsupportedOperatorError(f"{b.key}: output_size depends on the sizes of the inputs")
        extra.append(found.pop())
    return b.op("ConvTranspose", x, weight, bias, strides=stride, pads=_pads(padding), dilations=dilation,
                group=groups, kernel_shape=kernel, output_padding=extra if any(extra) else None)


def _ceils(x, size, kernel, stride, padding, dilation):
    """Whether the sizes of a pooling are rounded up."""
    for d, (n, k, s, p, l) in enumerate(zip(size, kernel, stride, padding, dilation)):
        inner = x.shape[-len(size) + d]
        for t in range(_traces(n, inner)):
            if _each(n, t) != (_each(inner, t) + 2 * p - l * (k - 1) - 1) // s + 1:
                return 1
    return 0


def _batched(b, x, n):
    """(name of `x` with a batch dimension, whether it had none)."""
    return (b.unsqueeze(x, [0]), True) if x.rank == n + 1 else (x.name, False)


@maps("_max_pool2d", "_max_pool3d")
def _max_pool(b, x, kernel, stride, padding, dilation, size):
    name, single = _batched(b, x, len(kernel))
    outs = b.op("MaxPool", name, outputs=1 + b.wanted[1], kernel_shape=kernel, strides=stride, pads=_pads(padding),
                dilations=dilation, ceil_mode=_ceils(x, size, kernel, stride, padding, dilation))
    y, at = outs if b.wanted[1] else (outs, None)
    if at is not None:                  # ONNX counts through the whole tensor
        plane = np.prod(b.known(list(x.shape[-len(kernel):]), "the size of a plane"))
        at = b.op("Mod", at, np.array(plane, np.int64))
    return tuple([None if z is None else b.squeeze(z, [0]) if single else z for z in (y, at)])


@maps("_avg_pool2d", "_avg_pool3d")
def _avg_pool(b, x, kernel, stride, padding, size, count_include_pad, divisor):
    name, single = _batched(b, x, len(kernel))
    ceil = _ceils(x, size, kernel, stride, padding, [1] * len(kernel))
    y = b.op("AveragePool", name, kernel_shape=kernel, strides=stride, pads=_pads(padding), ceil_mode=ceil,
             count_include_pad=int(count_include_pad or divisor is not None))
    if divisor is not None:
        y = b.op("Mul", y, b.scalar(np.prod(kernel) / divisor, x.dtype))
    return b.squeeze(y, [0]) if single else y


def _edges(n, out):
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


@maps("_adaptive_avg_pool", "_adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
def _adaptive_avg(b, x, size):
    k = len(size)
    size = [x.shape[x.rank - k + d] if n is None else n for d, n in enumerate(size)]
    if all(n == 1 for n in size):
        return b.reduce("ReduceMean", x, list(range(x.rank - k, x.rank)), True)
    inner = list(x.shape[-k:])
    if size == inner:
        return x.name
    b.known([*inner, *size], "the size of what is pooled adaptively")
    name = x.name
    if k <= 3 and x.rank == k + 2 and all(n % m == 0 for n, m in zip(inner, size)):
        step = [n // m for n, m in zip(inner, size)]
        return b.op("AveragePool", name, kernel_shape=step, strides=step)
    for d, (n, m) in enumerate(zip(inner, size)):        # means along one dimension are a product with a matrix
        weights = np.zeros((n, m), np.float64)
        for i, (begin, end) in enumerate(_edges(n, m)):
            weights[begin:end, i] = 1 / (end - begin)
        perm = list(range(x.rank))
        axis = x.rank - k + d
        perm[axis], perm[-1] = perm[-1], perm[axis]
        swap = axis != x.rank - 1
        name = b.op("Transpose", name, perm=perm) if swap else name
        name = b.op("MatMul", name, b.const(weights.astype(x.dtype.np)))
        name = b.op("Transpose", name, perm=perm) if swap else name
    return name


@maps("_adaptive_max_pool1d", "_adaptive_max_pool2d", "_adaptive_max_pool3d")
def _adaptive_max(b, x, size):
    k = len(size)
    if b.wanted[1]:
        b.need(1 << 20, "adaptive max pooling with indices")
    if all(n == 1 for n in size):
        return b.reduce("ReduceMax", x, list(range(x.rank - k, x.rank)), True), None
    inner = b.known(list(x.shape[-k:]), "the size of what is pooled adaptively")
    if x.rank == k + 2 and all(n % m == 0 for n, m in zip(inner, size)):
        step = [n // m for n, m in zip(inner, size)]
        return b.op("MaxPool", x, kernel_shape=step, strides=step), None
    name = x.name
    for d, (n, m) in enumerate(zip(inner, size)):
        axis = x.rank - k + d
        parts = [b.reduce("ReduceMax", b.slice(name, [begin], [end], [axis]), [axis], True)
                 for begin, end in _edges(n, m)]
        name = parts[0] if len(parts) == 1 else b.op("Concat", *parts, axis=axis)
    return name, None


def _channels(b, x, weight, value):
    """`weight`, or a constant for each channel."""
    return weight if weight is not None else b.const(np.full((b.known(x.shape[1], "the number of channels"),), value,
                                                             x.dtype.np))


@maps("batch_norm")
def _batch_norm(b, x, weight, bias, mean, var, training, eps):
    if not training:
        return b.op("BatchNormalization", x, _channels(b, x, weight, 1), _channels(b, x, bias, 0), mean, var,
                    epsilon=float(eps)), None, None
    axes = [d for d in range(x.rank) if d != 1]
    middle = b.reduce("ReduceMean", x, axes, True)
    gap = b.op("Sub", x, middle)
    variance = b.reduce("ReduceMean", b.op("Mul", gap, gap), axes, True)
    deviation = b.op("Sqrt", b.op("Add", variance, b.scalar(eps, x.dtype)))
    out = _affine(b, b.op("Div", gap, deviation), weight, bias, x.rank)
    return (out, b.squeeze(middle, axes) if b.wanted[1] else None,
            b.op("Reciprocal", b.squeeze(deviation, axes)) if b.wanted[2] else None)


def _affine(b, name, weight, bias, rank):
    """Times a weight and plus a bias for each channel."""
    shape = np.array([-1] + [1] * (rank - 2), np.int64)
    for kind, w in (("Mul", weight), ("Add", bias)):
        if w is not None:
            name = b.op(kind, name, w if rank == 2 else b.op("Reshape", w, shape))
    return name


@maps("native_layer_norm")
def _layer_norm(b, x, normalized_shape, weight, bias, eps):
    k = len(normalized_shape)
    if b.wanted[1] or b.wanted[2]:
        b.need(1 << 20, "the statistics of layer normalization")
    if b.opset >= 17:
        scale = weight if weight is not None else b.const(np.ones(b.known(normalized_shape, "the size"), x.dtype.np))
        return b.op("LayerNormalization", x, scale, bias, axis=-k, epsilon=float(eps)), None, None
    axes = list(range(x.rank - k, x.rank))
    gap = b.op("Sub", x, b.reduce("ReduceMean", x, axes, True))
    variance = b.reduce("ReduceMean", b.op("Mul", gap, gap), axes, True)
    name = b.op("Div", gap, b.op("Sqrt", b.op("Add", variance, b.scalar(eps, x.dtype))))
    for kind, w in (("Mul", weight), ("Add", bias)):
        name = name if w is None else b.op(kind, name, w)
    return name, None, None


@maps("_fused_rms_norm")
def _rms_norm(b, x, normalized_shape, weight, eps):
    axes = list(range(x.rank - len(normalized_shape), x.rank))
    square = b.reduce("ReduceMean", b.op("Mul", x, x), axes, True)
    eps = dtypes.finfo(x.dtype).eps if eps is None else eps
    root = b.op("Sqrt", b.op("Add", square, b.scalar(eps, x.dtype)))
    out = b.op("Div", x, root)
    return (out if weight is None else b.op("Mul", out, weight),
            b.op("Reciprocal", root) if b.wanted[1] else None)


@maps("native_group_norm")
def _group_norm(b, x, weight, bias, group, eps):
    if b.wanted[1] or b.wanted[2]:
        b.need(1 << 20, "the statistics of group normalization")
    flat = b.op("Reshape", x, np.array([0, group, -1], np.int64))
    ones = b.const(np.ones(group, x.dtype.np)), b.const(np.zeros(group, x.dtype.np))
    normal = b.op("InstanceNormalization", flat, *ones, epsilon=float(eps))
    return _affine(b, b.op("Reshape", normal, b.dims(x)), weight, bias, x.rank), None, None
