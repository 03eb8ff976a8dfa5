"""Random numbers: drawn anew each time the graph runs, by the runtime's own generator."""

import numpy as np

from . import maps


@maps("#randn", "#rand")
def _drawn(b):
    out = b.result
    like = b.full(0, out.shape, out.dtype)
    return b.op("RandomNormalLike" if b.key == "#randn" else "RandomUniformLike", like)


@maps("#dropout")
def _mask(b, keep):
    d = b.result.dtype
    drawn = b.op("RandomUniformLike", b.full(0, b.result.shape, d))
    kept = b.op("Less", drawn, b.scalar(keep, d))
    return b.op("Where", kept, b.scalar(1 / keep if keep else 0, d), b.scalar(0, d))


@maps("normal.fill", "uniform")
def _filled(b, x, parameters, generator):
    first, second = (float(p) for p in parameters)
    if b.key == "uniform":
        return b.op("RandomUniformLike", x, low=first, high=second)
    return b.op("RandomNormalLike", x, mean=first, scale=second)


@maps("normal.Tensor_float", "normal.float_Tensor", "normal.Tensor_Tensor")
def _normal(b, mean, std, generator):
    like = b.full(0, b.result.shape, b.result.dtype)
    noise = b.op("RandomNormalLike", like)
    mean, std = (x if hasattr(x, "name") else b.scalar(x, b.result.dtype) for x in (mean, std))
    return b.op("Add", mean, b.op("Mul", std, noise))


@maps("bernoulli")
def _bernoulli(b, p, generator):
    return b.op("Bernoulli", p) if b.opset >= 15 else b.cast(
        b.op("Less", b.op("RandomUniformLike", p), p), b.result.dtype)


@maps("bernoulli.float")
def _bernoulli_of(b, x, parameters, generator):
    drawn = b.op("RandomUniformLike", b.full(0, x.shape, b.result.dtype))
    return b.cast(b.op("Less", drawn, np.array(float(parameters[0]), b.result.dtype.np)), b.result.dtype)
