"""Reading and writing by indices and masks."""

import numpy as np

from rushlight import dtypes

from ..unify import Size
from . import maps

int64 = dtypes.int64


@maps("embedding")
def _embedding(b, weight, indices, padding_idx, scale):
    return b.op("Gather", weight, indices, axis=0)


@maps("index_select")
def _index_select(b, x, dim, index):
    if x.rank == 0:
        return x.name
    name = index.name if index.rank == 1 else b.unsqueeze(index, [0])
    return b.op("Gather", x, name, axis=dim % x.rank)


@maps("take")
def _take(b, x, index):
    return b.op("Gather", b.op("Reshape", x, np.array([-1], np.int64)), index, axis=0)


@maps("gather")
def _gather(b, x, dim, index, sparse):
    if x.rank == 0:
        return b.op("Expand", x, b.dims(index))
    index = b.unsqueeze(index, [0]) if index.rank == 0 else index
    return b.op("GatherElements", x, index, axis=dim % x.rank)


def _joint(b, x, indices):
    """(dims that are indexed, name of the index tuples, their dimensions) of several index tensors."""
    dims = [d for d, i in enumerate(indices) if i is not None]
    given = [indices[d] for d in dims]
    shape = _broadcast([i.shape for i in given])
    parts = []
    for i in given:
        name = b.as_type(i, int64)
        if tuple(i.shape) != tuple(shape):
            name = b.op("Expand", name, b.ints(shape))
        parts.append(b.unsqueeze(name, [len(shape)]))
    return dims, parts[0] if len(parts) == 1 else b.op("Concat", *parts, axis=len(shape)), shape


def _broadcast(shapes):
    rank = max(len(s) for s in shapes)
    out = []
    for k in range(rank):
        sizes = [s[k - rank + len(s)] for s in shapes if k - rank + len(s) >= 0]
        out.append(next((n for n in sizes if n != 1), 1))
    return out


@maps("index.Tensor")
def _index(b, x, indices):
    dims = [d for d, i in enumerate(indices) if i is not None]
    if len(dims) == 1:
        return b.op("Gather", x, indices[dims[0]], axis=dims[0])
    dims, joint, shape = _joint(b, x, indices)
    rest = [d for d in range(x.rank) if d not in dims]
    front = x.name if dims == list(range(len(dims))) else b.op("Transpose", x, perm=[*dims, *rest])
    found = b.op("GatherND", front, joint)
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    if not adjacent or dims[0] == 0:
        return found
    k, lead = len(shape), dims[0]
    return b.op("Transpose", found, perm=[*range(k, k + lead), *range(k), *range(k + lead, k + len(rest))])


@maps("index_put")
def _index_put(b, x, indices, values, accumulate):
    dims, joint, shape = _joint(b, x, indices)
    rest = [d for d in range(x.rank) if d not in dims]
    perm = [*dims, *rest]
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    lead = dims[0] if adjacent else 0
    front = x.name if perm == list(range(x.rank)) else b.op("Transpose", x, perm=perm)
    sizes = [x.shape[d] for d in rest]
    # Values broadcast to what reading by the same indices gives.
    whole = [*sizes[:lead], *shape, *sizes[lead:]]
    name = b.as_type(values, x.dtype)
    if list(values.shape) != whole:
        name = b.op("Expand", name, b.ints(whole))
    if lead:
        k = len(shape)
        name = b.op("Transpose", name, perm=[*range(lead, lead + k), *range(lead), *range(lead + k, len(whole))])
    if accumulate:
        b.need(16, "adding to elements")
    out = b.op("ScatterND", front, joint, name, reduction="add" if accumulate else None)
    return out if perm == list(range(x.rank)) else b.op("Transpose", out, perm=np.argsort(perm).tolist())


@maps("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(b, x, mask, value):
    d = b.result.dtype
    fill = b.as_type(value, d) if hasattr(value, "name") else b.scalar(value, d)
    return b.op("Where", b.as_type(mask, dtypes.bool_), fill, b.as_type(x, d))


@maps("masked_select")
def _masked_select(b, x, mask):
    shape = _broadcast([x.shape, mask.shape])
    x, mask = (y.name if list(y.shape) == shape else b.op("Expand", y, b.ints(shape)) for y in (x, mask))
    flat = np.array([-1], np.int64)
    return b.op("Compress", b.op("Reshape", x, flat), b.op("Reshape", mask, flat), axis=0)


@maps("#nonzero", "argwhere")
def _nonzero(b, x):
    return b.op("Transpose", b.op("NonZero", x), perm=[1, 0])


def _scattered(b, x, dim, index, src, reduction=None):
    if reduction is not None:
        b.need(18 if reduction in ("max", "min") else 16, "reductions of scattered elements")
    return b.op("ScatterElements", x, index, src, axis=dim % max(x.rank, 1), reduction=reduction)


def _within(b, index, src):
    """The name of the part of `src` that goes with an index tensor."""
    if list(src.shape) == list(index.shape):
        return src.name
    n = index.rank
    return b.slice(src, [0] * n, list(index.shape), list(range(n)))


@maps("scatter.src")
def _scatter(b, x, dim, index, src):
    return _scattered(b, x, dim, index, _within(b, index, src))


@maps("scatter.value")
def _scatter_value(b, x, dim, index, value):
    return _scattered(b, x, dim, index, b.full(value, index.shape, x.dtype))


@maps("scatter_add")
def _scatter_add(b, x, dim, index, src):
    return _scattered(b, x, dim, index, _within(b, index, src), "add")


@maps("scatter_reduce.two")
def _scatter_reduce(b, x, dim, index, src, reduce, include_self):
    kind = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min"}.get(reduce)
    if kind is None or not include_self:
        b.need(1 << 20, f"scatter_reduce(reduce={reduce!r}, include_self={include_self})")
    return _scattered(b, x, dim, index, _within(b, index, src), kind)


def _along(b, x, dim, index, source):
    """The name of `index`, one a position along `dim`, for every element of `source`."""
    shape = [1] * x.rank
    shape[dim % x.rank] = -1
    return b.op("Expand", b.op("Reshape", index, np.array(shape, np.int64)), b.dims(source))


@maps("index_add")
def _index_add(b, x, dim, index, source, alpha):
    name = source.name if alpha == 1 else b.op("Mul", source, b.scalar(alpha, x.dtype))
    return _scattered(b, x, dim, _along(b, x, dim, index, source), name, "add")


@maps("index_copy")
def _index_copy(b, x, dim, index, source):
    return _scattered(b, x, dim, _along(b, x, dim, index, source), source)


@maps("index_fill.int_Scalar", "index_fill.int_Tensor")
def _index_fill(b, x, dim, index, value):
    n = x.shape[dim % x.rank]
    shape = [-1 if d == dim % x.rank else 1 for d in range(x.rank)]
    places = b.op("Equal", b.unsqueeze(b.arange(n), [1]), b.unsqueeze(index, [0]))
    hit = b.cast(b.reduce("ReduceMax", b.cast(places, dtypes.int32), [1], False), dtypes.bool_)
    fill = b.as_type(value, x.dtype) if hasattr(value, "name") else b.scalar(value, x.dtype)
    return b.op("Where", b.op("Reshape", hit, np.array(shape, np.int64)), fill, x)


@maps("masked_scatter")
def _masked_scatter(b, x, mask, source):
    if list(mask.shape) != list(x.shape):
        mask = b.op("Expand", mask, b.dims(x))
    at = b.op("Transpose", b.op("NonZero", mask), perm=[1, 0])
    count = b.op("Gather", b.op("Shape", at), np.array([0], np.int64), axis=0)
    flat = b.op("Reshape", b.as_type(source, x.dtype), np.array([-1], np.int64))
    used = b.op("Slice", flat, np.array([0], np.int64), count, np.array([0], np.int64))
    return b.op("ScatterND", x, at, used)


@maps("one_hot")
def _one_hot(b, x, num_classes):
    values = np.array([0, 1], np.int64)
    depth = b.op("Squeeze", b.size(num_classes)) if isinstance(num_classes, Size) else np.array(num_classes, np.int64)
    return b.op("OneHot", x, depth, values, axis=-1)


@maps("isin")
def _isin(b, elements, tests, assume_unique, invert):
    flat = b.op("Reshape", tests, np.array([-1], np.int64))
    equal = b.cast(b.op("Equal", b.unsqueeze(elements, [elements.rank]), flat), dtypes.int32)
    found = b.cast(b.reduce("ReduceMax", equal, [elements.rank], False), dtypes.bool_)
    return b.op("Not", found) if invert else found


@maps("searchsorted")
def _searchsorted(b, sequence, x, right, sorter):
    if sorter is not None or sequence.rank != 1:
        b.need(1 << 20, "searchsorted of several sequences, or with a sorter")
    kind = "Greater" if right else "Less"       # how many elements come before
    below = b.op(kind, b.unsqueeze(x, [x.rank]), sequence) if right else b.op(
        "Less", sequence, b.unsqueeze(x, [x.rank]))
    if right:
        below = b.op("Or", below, b.op("Equal", b.unsqueeze(x, [x.rank]), sequence))
    total = b.reduce("ReduceSum", b.cast(below, int64), [x.rank], False)
    return total if b.result.dtype is int64 else b.cast(total, b.result.dtype)
