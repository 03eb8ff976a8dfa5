"""Shapes, parts and arrangements of tensors; copies and constants."""

import numpy as np

from rushlight import dtypes

from ..errors import UnsupportedOperatorError
from ..unify import Size
from . import maps

LAST = np.iinfo(np.int64).max


@maps("view", "_unsafe_view")
def _view(b, x, size):
    return b.reshape(x, size)


@maps("alias", "clone")
def _alias(b, x, memory_format=None):
    return x.name


@maps("expand")
def _expand(b, x, size):
    return b.op("Expand", x, b.ints(size))


@maps("#copy")
def _copy(b, x, shape, d):
    name = b.as_type(x, d)
    return name if list(x.shape) == list(shape) else b.op("Expand", name, b.ints(shape))


@maps("transpose.int")
def _transpose(b, x, dim0, dim1):
    perm = list(range(x.rank))
    if not perm:
        return x.name
    perm[dim0], perm[dim1] = perm[dim1], perm[dim0]
    return b.op("Transpose", x, perm=perm)


@maps("t")
def _t(b, x):
    return b.op("Transpose", x, perm=[1, 0]) if x.rank == 2 else x.name


@maps("permute")
def _permute(b, x, dims):
    return b.op("Transpose", x, perm=[d % x.rank for d in dims]) if dims else x.name


@maps("squeeze", "squeeze.dim", "squeeze.dims")
def _squeeze(b, x, dims=None):
    if dims is None:
        dims = range(x.rank)
    axes = [d % x.rank for d in (dims if isinstance(dims, (list, range)) else [dims]) if x.rank]
    axes = [d for d in axes if x.shape[d] == 1]
    return b.squeeze(x, axes) if axes else x.name


@maps("unsqueeze")
def _unsqueeze(b, x, dim):
    return b.unsqueeze(x, [dim % (x.rank + 1)])


@maps("select.int")
def _select(b, x, dim, index):
    if isinstance(index, Size):
        return b.op("Gather", x, b.op("Squeeze", b.size(index)), axis=dim % x.rank)
    n = x.shape[dim]
    if not isinstance(n, Size) and index - n == -1 and n > 1:
        index = -1
    return b.op("Gather", x, np.array(index, np.int64), axis=dim % x.rank)


def _end(x, dim, end):
    """The end of a part: that of the dimension, whatever its size, where it is."""
    n = x.shape[dim]
    return LAST if isinstance(end, Size) and end == n else end


@maps("slice.Tensor")
def _slice(b, x, dim, start, end, step):
    n, end = x.shape[dim], _end(x, dim, end)
    if isinstance(start, int) and start == 0 and step == 1 and (end == LAST or end == n):
        return x.name
    return b.slice(x, [start], [end], [dim % x.rank], [step])


def _parts(b, x, sizes, dim):
    if any(isinstance(n, Size) for n in sizes):
        outs, start = [], 0
        if any(isinstance(n, Size) for n in sizes[:-1]):
            raise UnsupportedOperatorError("split: parts whose sizes depend on the inputs' have no ONNX operator; use "
                                           "slices")
        for n in sizes:
            last = isinstance(n, Size)
            outs.append(b.slice(x, [start], [LAST if last else start + n], [dim]))
            start = start if last else start + n
        return tuple(outs)
    return tuple(b.split(x, sizes, dim))


@maps("split.Tensor")
def _split(b, x, size, dim):
    dim %= x.rank
    n = len(b.results)
    if isinstance(size, Size):
        total = x.shape[dim]
        if isinstance(total, Size) and all(s * n == t for s, t in zip(size.seen, total.seen)):
            if b.opset >= 18:
                return tuple(b.op("Split", x, outputs=n, axis=dim, num_outputs=n))
            return tuple(b.op("Split", x, outputs=n, axis=dim)) if n > 1 else (x.name,)
        raise UnsupportedOperatorError("split: parts whose sizes depend on the inputs' have no ONNX operator; use "
                                       "slices")
    return _parts(b, x, [o.shape[dim] for o in b.results], dim)


@maps("split_with_sizes")
def _split_sizes(b, x, sizes, dim):
    return _parts(b, x, sizes, dim % x.rank)


@maps("unbind.int")
def _unbind(b, x, dim):
    dim %= x.rank
    parts = b.split(x, [1] * len(b.results), dim)
    return tuple([b.squeeze(p, [dim]) for p in parts])


@maps("cat")
def _cat(b, tensors, dim):
    d = b.result.dtype
    kept = [x for x in tensors if not (x.rank == 1 and x.shape[0] == 0 and b.result.rank != 1)]
    return b.op("Concat", *[b.as_type(x, d) for x in kept], axis=dim % b.result.rank)


@maps("stack")
def _stack(b, tensors, dim):
    d, rank = b.result.dtype, b.result.rank
    return b.op("Concat", *[b.unsqueeze(b.as_type(x, d), [dim % rank]) for x in tensors], axis=dim % rank)


@maps("repeat")
def _repeat(b, x, repeats):
    lead = len(repeats) - x.rank
    name = b.unsqueeze(x, list(range(lead))) if lead else x.name
    return b.op("Tile", name, b.ints(repeats)) if len(repeats) else name


@maps("roll")
def _roll(b, x, shifts, dims):
    name, flat = x.name, not dims
    if flat:
        name, dims = b.op("Reshape", x, np.array([-1], np.int64)), [0]
    for shift, dim in zip(shifts, dims):
        if isinstance(shift, int) and shift == 0:
            continue
        cut = b.ints([-shift]) if isinstance(shift, int) else b.op("Neg", b.size(shift))
        axis = np.array([dim % max(x.rank, 1) if not flat else 0], np.int64)
        tail = b.op("Slice", name, cut, np.array([LAST], np.int64), axis)
        head = b.op("Slice", name, np.array([0], np.int64), cut, axis)
        name = b.op("Concat", tail, head, axis=int(axis[0]))
    return b.op("Reshape", name, b.dims(x)) if flat else name


@maps("flip")
def _flip(b, x, dims):
    axes = [d % x.rank for d in dims]
    return b.slice(x, [-1] * len(axes), [-LAST] * len(axes), axes, [-1] * len(axes)) if axes else x.name


@maps("tril", "triu")
def _triangle(b, x, diagonal):
    k = b.size(diagonal)
    k = b.op("Squeeze", k)
    if b.opset >= 14 and x.dtype is not dtypes.bool_:
        return b.op("Trilu", x, k, upper=int(b.key == "triu"))
    rows, columns = b.arange(x.shape[-2]), b.arange(x.shape[-1])
    gap = b.op("Sub", columns, b.unsqueeze(rows, [1]))          # column - row
    inside = b.op("Not", b.op("Less" if b.key == "triu" else "Greater", gap, k))
    if x.dtype is dtypes.bool_:
        return b.op("And", x, inside)
    return b.op("Where", inside, x, b.scalar(0, x.dtype))


@maps("diagonal")
def _diagonal(b, x, offset, dim1, dim2):
    rank = x.rank
    rest = [d for d in range(rank) if d not in (dim1 % rank, dim2 % rank)]
    y = b.op("Transpose", x, perm=[*rest, dim1 % rank, dim2 % rank])
    b.known(offset, "the offset")
    n = b.arange(b.result.shape[-1])
    row = b.op("Add", n, np.array(max(-offset, 0), np.int64))
    column = b.op("Add", n, np.array(max(offset, 0), np.int64))
    flat = b.op("Add", b.op("Mul", row, b.op("Squeeze", b.size(x.shape[dim2]))), column)
    sizes = b.ints([*[x.shape[d] for d in rest], -1])
    return b.op("Gather", b.op("Reshape", y, sizes), flat, axis=len(rest))


@maps("unfold")
def _unfold(b, x, dim, size, step):
    dim %= x.rank
    b.known(size, "the size of windows")
    n, count = x.shape[dim], b.result.shape[dim]
    if isinstance(n, Size):             # (n - size) // step + 1 windows
        fit = b.op("Div", b.op("Sub", b.size(n), np.array([size], np.int64)), np.array([step], np.int64))
        total = b.op("Squeeze", b.op("Add", fit, np.array([1], np.int64)))
        places = b.op("Range", np.array(0, np.int64), total, np.array(1, np.int64))
    else:
        places = b.arange(count)
    starts = b.op("Mul", places, np.array(step, np.int64))
    at = b.op("Add", b.unsqueeze(starts, [1]), np.arange(size, dtype=np.int64))
    found = b.op("Gather", x, at, axis=dim)                     # windows stand before their elements
    perm = [*range(dim + 1), *range(dim + 2, x.rank + 1), dim + 1]
    return b.op("Transpose", found, perm=perm)


@maps("as_strided")
def _as_strided(b, x, size, stride, offset):
    shape = b.known_shape(x)
    n, at = int(np.prod(shape)), np.full((), offset, np.int64)
    for count, step in zip(b.known(size, "the sizes"), b.known(stride, "the strides")):
        at = at[..., None] + step * np.arange(count)
    if at.size and at.max() >= n:
        raise UnsupportedOperatorError("as_strided: a part of a tensor that is itself a part of another one")
    return b.op("Gather", b.op("Reshape", x, np.array([-1], np.int64)), at.astype(np.int64), axis=0)


@maps("diag_embed")
def _diag_embed(b, x, offset, dim1, dim2):
    rank = x.rank + 1
    n = b.known(x.shape[-1], "the size of the diagonal") + abs(offset)
    y = b.op("Pad", x, b.ints([0] * (x.rank - 1) + [max(-offset, 0)] + [0] * (x.rank - 1) + [max(offset, 0)])) if (
        offset) else x.name
    rows = b.op("Mul", b.unsqueeze(y, [x.rank]), b.const(np.roll(np.eye(n), offset, 1).astype(x.dtype.np)))
    dim1, dim2 = dim1 % rank, dim2 % rank
    if (dim1, dim2) == (rank - 2, rank - 1):
        return rows
    perm = [None] * rank
    perm[dim1], perm[dim2] = rank - 2, rank - 1
    rest = iter(range(rank - 2))
    return b.op("Transpose", rows, perm=[next(rest) if p is None else p for p in perm])


@maps("rot90")
def _rot90(b, x, k, dims):
    first, second = (d % x.rank for d in dims)
    name = x.name
    for _ in range(k % 4):
        perm = list(range(x.rank))
        perm[first], perm[second] = perm[second], perm[first]
        name = b.slice(b.op("Transpose", name, perm=perm), [-1], [-LAST], [first], [-1])
    return name


@maps("block_diag")
def _block_diag(b, tensors):
    d, rows, total = b.result.dtype, [], b.known(b.result.shape[1], "the size")
    left = 0
    for x in tensors:
        name, n = b.as_type(x, d), 1 if x.rank == 0 else x.shape[-1]
        if x.rank < 2:
            name = b.op("Reshape", name, np.array([1, -1], np.int64))
        rows.append(b.op("Pad", name, b.ints([0, left, 0, total - left - n])))
        left += n
    return b.op("Concat", *rows, axis=0)


@maps("_to_copy")
def _to_copy(b, x, dtype, device, memory_format):
    return b.as_type(x, b.result.dtype)


@maps("#full")
def _full(b, x, value):
    d = b.result.dtype
    return b.full(bool(value) if d is dtypes.bool_ else value, b.result.shape, d)


@maps("select_scatter")
def _select_scatter(b, x, src, dim, index):
    dim %= x.rank
    part = b.unsqueeze(b.as_type(src, x.dtype), [dim])
    if isinstance(index, Size):
        after = b.op("Add", b.size(index), np.array([1], np.int64))
        return _put_between(b, x, part, dim, b.size(index), after)
    if index < 0:
        index += x.shape[dim] if not isinstance(x.shape[dim], Size) else 0
    end = np.array([LAST if index == -1 else index + 1], np.int64)
    return _put_between(b, x, part, dim, np.array([index], np.int64), end)


@maps("slice_scatter")
def _slice_scatter(b, x, src, dim, start, end, step):
    dim %= x.rank
    if step != 1:
        at = b.op("Add", b.op("Mul", b.arange(src.shape[dim]), np.array(step, np.int64)), b.op(
            "Squeeze", b.size(start)))
        shape = [1] * x.rank
        shape[dim] = -1
        index = b.op("Expand", b.op("Reshape", at, np.array(shape, np.int64)), b.dims(src))
        return b.op("ScatterElements", x, index, b.as_type(src, x.dtype), axis=dim)
    return _put_between(b, x, b.as_type(src, x.dtype), dim, b.size(start), b.size(_end(x, dim, end)))


def _put_between(b, x, part, dim, start, end):
    """`x` with `part` in the place of what is from start to end."""
    axis, zero, last = np.array([dim], np.int64), np.array([0], np.int64), np.array([LAST], np.int64)
    return b.op("Concat", b.op("Slice", x, zero, start, axis), part, b.op("Slice", x, end, last, axis), axis=dim)


@maps("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
      "replication_pad2d", "replication_pad3d", "circular_pad1d", "circular_pad2d", "circular_pad3d")
def _pad(b, x, pad, value=0):
    kind = b.key.partition("_")[0]
    mode = {"constant": "constant", "reflection": "reflect", "replication": "edge", "circular": "wrap"}[kind]
    if mode == "wrap" and b.opset < 19:
        name = x.name
        for k in range(len(pad) // 2):
            dim = x.rank - 1 - k
            low, high = b.known(pad[2 * k:2 * k + 2], "padding")
            parts = [b.slice(name, [-low], [LAST], [dim])] if low else []
            parts.append(name)
            parts += [b.slice(name, [0], [high], [dim])] if high else []
            name = b.op("Concat", *parts, axis=dim) if len(parts) > 1 else name
        return name
    n = len(pad) // 2
    lead = [0] * (x.rank - n)
    begins = [*lead, *[pad[2 * k] for k in reversed(range(n))]]
    ends = [*lead, *[pad[2 * k + 1] for k in reversed(range(n))]]
    if mode == "constant":
        d = x.dtype
        wide = b.as_type(x, dtypes.int32) if d is dtypes.bool_ else x
        filled = b.scalar(int(value) if d is dtypes.bool_ else value, dtypes.int32 if d is dtypes.bool_ else d)
        out = b.op("Pad", wide, b.ints([*begins, *ends]), filled, mode=mode)
        return b.cast(out, d) if d is dtypes.bool_ else out
    return b.op("Pad", x, b.ints([*begins, *ends]), mode=mode)


@maps("#symbolic")
def _symbolic(b, kind, inputs, attributes, version):
    domain, _, name = kind.rpartition("::")
    if domain:
        b.domains.setdefault(domain, version or 1)
    n = len(b.results)
    made = b.node(name, inputs, n, domain, attributes)
    return made if n == 1 else tuple(made)
