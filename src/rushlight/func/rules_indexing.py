"""Batching rules of reads and writes at index tensors."""

from ..ops.registry import function
from ..record import RECORDS
from ..tensor.tensor import Tensor
from .batched import dynamic, front
from .drawing import REFUSED
from .rules import RULES, aligned, along, decomposition, place, pointwise, rank_of, rule
from .wrapped import invoke


def _arange(level, rank):
    return function("arange")(level.size).reshape((level.size,) + (1,) * rank)


def _refuse_masks(indices, batched):
    for x, b in zip(indices, batched):
        if b and x.dtype.name in ("bool", "uint8"):
            raise RuntimeError("vmap: We do not support batching operators that can support dynamic shape. Attempting "
                               "to batch over indexing with a boolean mask.")


def _expanded_masks(indices):
    """Masks as the positions of their elements."""
    out = []
    for x in indices:
        if x is not None and x.dtype.name in ("bool", "uint8"):
            out.extend(x.nonzero(as_tuple=True))
        else:
            out.append(x)
    return out


def _layout(indices, batched):
    """(rank of the joint index, dimension where it appears in a sample's result)."""
    where = [i for i, x in enumerate(indices) if x is not None]
    rank = max(rank_of(indices[i], batched[i]) for i in where)
    together = where[-1] - where[0] + 1 == len(where)
    return rank, where[0] if together else 0


def _with_masks_open(indices, batched):
    _refuse_masks(indices, batched)
    if any(x is not None and x.dtype.name in ("bool", "uint8") for x in indices):
        flags = []
        for x, b in zip(indices, batched):
            flags.extend([b] * (x._a.ndim if x is not None and x.dtype.name in ("bool", "uint8") else 1))
        return _expanded_masks(indices), flags
    return list(indices), list(batched)


@rule("index.Tensor")
def _(level, rec, inner, batched):
    x, indices = inner
    indices, flags = _with_masks_open(indices, batched[1])
    rank, at = _layout(indices, flags)
    if not any(flags):
        out = invoke(rec, x, [None, *indices])
        where = [i for i, y in enumerate(indices) if y is not None]
        apart = where[-1] - where[0] + 1 != len(where)
        return out.movedim(rank, 0) if apart else out
    indices = [None if y is None else aligned(y, b, rank) for y, b in zip(indices, flags)]
    if not batched[0]:
        return invoke(rec, x, indices).movedim(at, 0)
    out = invoke(rec, x, [_arange(level, rank), *indices])
    if indices[0] is None and at:
        # The joint index came out in front: one sample has it at dimension `at`.
        out = out.movedim(tuple(range(1, rank + 1)), tuple(range(at + 1, at + rank + 1)))
    return out


def _put(level, x, indices, values, flags, values_batched, accumulate):
    """``index_put`` of a batch `x`, every index with the sample's number before it."""
    rank, at = _layout(indices, flags)
    shape = [None] * rank
    for y, b in zip(indices, flags):
        if y is not None:
            s = y._a.shape[1:] if b else y._a.shape
            for k, n in enumerate(reversed(s)):
                if shape[-1 - k] is None or shape[-1 - k] == 1:
                    shape[-1 - k] = n
    rest = [n for n, y in zip(x._a.shape[1:], [*indices, *[None] * x._a.ndim]) if y is None]
    full = (*rest[:at], *shape, *rest[at:])
    v = aligned(values, values_batched, len(full)).expand(level.size, *full)
    if at:
        v = v.movedim(tuple(range(at + 1, at + rank + 1)), tuple(range(1, rank + 1)))
    joint = [_arange(level, rank)] + [None if y is None else aligned(y, b, rank) for y, b in zip(indices, flags)]
    return function("index_put")(x, joint, v, accumulate)


@rule("index_put")
def _(level, rec, inner, batched):
    x, indices, values, accumulate = inner
    indices, flags = _with_masks_open(indices, batched[1])
    return _put(level, front(level, x, batched[0]), indices, values, flags, batched[2], accumulate)


@rule("_index_backward")
def _(level, rec, inner, batched):
    g, shape, indices = inner
    indices, flags = _with_masks_open(indices, batched[2])
    x = function("zeros")((level.size, *shape), dtype=g.dtype)
    return _put(level, x, indices, g, flags, batched[0], True)


@rule("index_select")
def _(level, rec, inner, batched):
    x, d, index = inner
    n = rank_of(x, batched[0])
    if not batched[2]:
        return invoke(rec, x, place(d, n), index) if n else x.clone()
    if not n:
        return front(level, x, batched[0]).clone()
    d = d % n
    scalar = index._a.ndim == 1
    if scalar:
        index = index.unsqueeze(1)
    k = index._a.shape[1]
    if not batched[0]:
        out = invoke(rec, x, d, index.reshape(-1))
        return out.unflatten(d, (level.size, k)).movedim(d, 0)
    m = x._a.shape[d + 1]
    flat = x.movedim(d + 1, 1).flatten(0, 1)
    out = invoke(rec, flat, 0, (index + _arange(level, 1) * m).reshape(-1))
    return out.unflatten(0, (level.size, k)).movedim(1, d + 1)


@decomposition("_index_select_backward")
def _(g, shape, d, index):
    if not len(shape):
        return g.sum().reshape(())
    return function("zeros")(shape, dtype=g.dtype).index_add(d, index, g)


def _at_index(level, rec, inner, batched):
    """index_add and the like with one index for all samples."""
    x, d, index, *rest = inner
    if batched[2]:
        return NotImplemented
    n = rank_of(x, batched[0])
    if not n:
        return NotImplemented
    args = [front(level, x, batched[0]), place(d, n), index, *rest]
    if isinstance(inner[3], Tensor):
        if rec.name == "index_fill":
            if batched[3]:
                return NotImplemented
        else:
            s = front(level, inner[3], batched[3])
            args[3] = s.unsqueeze(1) if s._a.ndim == 1 and n else s
            if s._a.ndim == 1 and n != 0 and args[3]._a.ndim != args[0]._a.ndim:
                return NotImplemented
    return invoke(rec, *args)


for _key in ("index_add", "index_copy", "index_fill.int_Scalar", "index_fill.int_Tensor"):
    RULES[_key] = _at_index


@rule("take")
def _(level, rec, inner, batched):
    x, index = inner
    if not batched[0]:
        return invoke(rec, x, index)
    flat = x.flatten(1) if x._a.ndim > 1 else x.unsqueeze(1)
    index = front(level, index, batched[1])
    index = index + flat._a.shape[1] * (index < 0)
    return flat.gather(1, index.reshape(level.size, -1)).reshape(index._a.shape)


@rule("gather")
def _(level, rec, inner, batched):
    if rank_of(inner[0], batched[0]):
        return along(1)(level, rec, inner, batched)
    x, index = front(level, inner[0], batched[0]), front(level, inner[2], batched[2])
    found = invoke(rec, x.unsqueeze(1), 1, index.reshape(level.size, -1), inner[3])
    return found.reshape(index._a.shape)


@decomposition("_take_backward")
def _(g, shape, index):
    n = 1
    for s in shape:
        n *= s
    return function("zeros")((n,), dtype=g.dtype).index_put((index.reshape(-1),), g.reshape(-1), True).reshape(shape)


@decomposition("masked_fill.Tensor")
def _(x, mask, value):
    return function("where")(mask, value.to(x.dtype), x)


@rule("masked_select")
def _(level, rec, inner, batched):
    if batched[1]:
        raise dynamic("masked_select")
    rank = max(rank_of(inner[0], batched[0]), inner[1]._a.ndim)
    x, mask = aligned(inner[0], batched[0], rank), inner[1]
    return function("index_select")(x.expand(level.size, *_joint(x, mask)).reshape(level.size, -1), 1,
                                    mask.expand(_joint(x, mask)).reshape(-1).nonzero().reshape(-1))


def _joint(x, mask):
    return function("broadcast_shapes")(x._a.shape[1:], mask._a.shape)


def _unshaped(level, rec, inner, batched):
    raise dynamic(rec.name)


for _key in ("_unique2", "unique_dim", "unique_consecutive"):
    RULES[_key] = _unshaped


def _drawn(level, rec, inner, batched):
    """Random numbers by parameters that are batched."""
    if level.randomness == "error":
        raise RuntimeError(REFUSED)
    if level.randomness == "different":
        return pointwise(level, rec, inner, batched)
    generator = inner[-1]
    start, parts = generator.get_state(), []
    for k in range(level.size):
        generator.set_state(start)
        parts.append(invoke(rec, *[x.select(0, k) if b else x for x, b in zip(inner, batched)]))
    return function("stack")(parts)


for _key, _rec in RECORDS.items():
    if getattr(_rec, "module", "") == "rushlight.ops.random_draws" or _key == "bernoulli.Tensor":
        RULES[_key] = _drawn
