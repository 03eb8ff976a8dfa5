"""Matrix products and attention."""

import numpy as np

from rushlight import dtypes

from ..builder import Operand
from . import maps


def _swapped(b, x):
    """The name of `x` with its last two dimensions swapped."""
    perm = list(range(x.rank))
    perm[-1], perm[-2] = perm[-2], perm[-1]
    return b.op("Transpose", x, perm=perm)


@maps("mm", "bmm", "_matmul_fold", "mv", "dot")
def _product(b, x, y):
    return b.op("MatMul", x, y)


@maps("_matmul_nt")
def _product_nt(b, x, y):
    return b.op("MatMul", x, _swapped(b, y))


@maps("_matmul_tn")
def _product_tn(b, x, y):
    if x.rank == 2 and y.rank == 2:
        return b.op("Gemm", x, y, transA=1)
    if b.result.rank == 2:              # sums over all rows of both
        rows = [b.op("Reshape", z, b.ints([-1, z.shape[-1]])) for z in (x, y)]
        return b.op("Gemm", *rows, transA=1)
    return b.op("MatMul", _swapped(b, x), y)


@maps("linear.bias", "linear.matrix", "linear")
def _linear(b, x, weight, bias):
    if x.rank == 2 and weight.rank == 2 and x.dtype is weight.dtype:
        return b.op("Gemm", x, weight, bias, transB=1)
    product = b.op("MatMul", x, _swapped(b, weight) if weight.rank == 2 else weight)
    return product if bias is None else b.op("Add", product, bias)


def _scaled(b, name, factor, d):
    return name if factor == 1 else b.op("Mul", name, b.scalar(factor, d))


@maps("addmm", "addmv", "baddbmm", "addbmm", "addr")
def _added(b, c, x, y, beta, alpha):
    d = c.dtype
    if b.key == "addmm" and c.rank <= 2 and isinstance(beta, (int, float)) and isinstance(alpha, (int, float)):
        return b.op("Gemm", x, y, c, alpha=float(alpha), beta=float(beta))
    if b.key == "addr":
        product = b.op("Mul", b.unsqueeze(x, [1]), b.unsqueeze(y, [0]))
    else:
        product = b.op("MatMul", x, y)
    if b.key == "addbmm":
        product = b.reduce("ReduceSum", product, [0], False)
    product = _scaled(b, product, alpha, d)
    return product if beta == 0 else b.op("Add", _scaled(b, c.name, beta, d), product)


@maps("trace")
def _trace(b, x):
    n = b.known_shape(x)
    return b.reduce("ReduceSum", b.op("Mul", x, b.const(np.eye(*n, dtype=x.dtype.np))), [], False)


@maps("linalg_cross")
def _cross(b, x, y, dim):
    dim %= b.result.rank
    one, two = np.array([1, 2, 0], np.int64), np.array([2, 0, 1], np.int64)
    x1, x2, y1, y2 = (b.op("Gather", z, at, axis=dim) for z in (x, y) for at in (one, two))
    return b.op("Sub", b.op("Mul", x1, y2), b.op("Mul", x2, y1))


def _for_every_head(b, x, query):
    """`x` with each of its heads repeated for the group of the query's heads that share it."""
    if x.rank < 4 or query.rank != x.rank or x.shape[-3] in (1, query.shape[-3]):
        return x
    mine, theirs = b.known([x.shape[-3], query.shape[-3]], "the number of heads")
    lead, rest = list(x.shape[:-3]), list(x.shape[-2:])
    spread = b.op("Expand", b.unsqueeze(x, [x.rank - 2]), b.ints([*lead, mine, theirs // mine, *rest]))
    shape = (*lead, theirs, *rest)
    return Operand(b.op("Reshape", spread, b.ints(shape)), x.dtype, shape)


@maps("_scaled_dot_product_flash_attention_for_cpu")
def _attention(b, query, key, value, mask, kept, dropout, is_causal, scale):
    d = query.dtype
    if kept is not None:
        b.need(1 << 20, "attention with dropout: call eval() first, as its mask is random;")
    key, value = _for_every_head(b, key, query), _for_every_head(b, value, query)
    scores = b.op("MatMul", _scaled(b, query.name, scale, d), _swapped(b, key))
    if is_causal:
        rows, columns = b.arange(query.shape[-2]), b.arange(key.shape[-2])
        later = b.op("Greater", columns, b.unsqueeze(rows, [1]))
        scores = b.op("Where", later, b.scalar(-np.inf, d), scores)
    if mask is not None:
        if mask.dtype is dtypes.bool_:
            scores = b.op("Where", mask, scores, b.scalar(-np.inf, d))
        else:
            scores = b.op("Add", scores, b.as_type(mask, d))
    weights = b.softmax("Softmax", scores, query.rank - 1, query.rank)
    if mask is not None and mask.dtype is dtypes.bool_:         # rows without any key are zeros
        weights = b.op("Where", b.op("IsNaN", weights), b.scalar(0, d), weights)
    out = b.op("MatMul", weights, value)
    if not b.wanted[1]:
        return out, None
    return out, b.reduce("ReduceLogSumExp", scores, [-1], False)
