"""``segment_reduce``: reductions over runs of rows of given lengths."""

import numpy as np

from .. import dtypes
from ..record import Joint
from .dispatch import primitive
from .registry import public

_KINDS = {"sum": "sum", "mean": "mean", "max": "max", "amax": "max", "min": "min", "amin": "min", "prod": "prod"}
_EMPTY = {"sum": 0.0, "mean": np.nan, "max": -np.inf, "min": np.inf, "prod": 1.0}


def _runs(lengths, axis):
    """(index of the leading dimensions, segment, start, end) of every segment."""
    for lead in np.ndindex(lengths.shape[:axis]):
        start = 0
        for k, n in enumerate(lengths[lead]):
            yield lead, k, start, start + int(n)
            start += int(n)


def _gradient(g, out, data, lengths, kind, axis, initial):
    from .registry import function
    where = function("where")
    grad = data.new_zeros(data.shape)
    for lead, k, start, end in _runs(lengths._a, axis):
        if start == end:
            continue
        rows, gk, r = data[lead][start:end], g[lead][k], out[lead][k]
        if kind == "sum":
            part = gk.expand(rows.shape)
        elif kind == "mean":
            part = (gk / (end - start)).expand(rows.shape)
        elif kind == "prod":
            others = [rows[[j for j in range(end - start) if j != i]].prod(0) for i in range(end - start)]
            part = gk * function("stack")(others) * (1.0 if initial is None else initial)
        else:
            hit = (rows == r) | (rows != rows)
            part = where(hit, gk / hit.sum(0), 0.0)
        grad[lead][start:end] = part
    return grad, None


@primitive("segment_reduce(Tensor data, Tensor lengths, str kind, int axis, Scalar? initial) -> Tensor",
           vjp=Joint(lambda g, out, data, lengths, kind, axis, initial: _gradient(g, out, data, lengths, kind, axis,
                                                                                  initial)))
def _segment_reduce(data, lengths, kind, axis, initial):
    out = np.empty((*lengths.shape, *data.shape[axis + 1:]), data.dtype)
    wide = np.float32 if data.dtype.itemsize == 2 else data.dtype
    first = initial if initial is not None else _EMPTY[kind]
    for lead, k, start, end in _runs(lengths, axis):
        rows = data[lead][start:end].astype(wide)
        if kind in ("max", "min"):
            f = np.maximum if kind == "max" else np.minimum
            r = f.reduce(rows, 0, initial=first)
        elif kind == "prod":
            r = np.multiply.reduce(rows, 0, initial=first)
        else:
            r = np.add.reduce(rows, 0, dtype=wide) + (0.0 if initial is None else initial)
            if kind == "mean":
                r = r / (end - start) if end > start else np.full_like(r, first)
        out[lead][k] = r
    return out


@public(method=False)
def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Reduce runs of `data` along `axis`: segment k is the next ``lengths[k]`` rows.

    Args:
        reduce: ``"sum"``, ``"mean"``, ``"max"``, ``"min"`` or ``"prod"``.
        lengths: (..., segments), the sizes of the leading dimensions before `axis` first; or `offsets`, the starts and
            the end.
        initial: what the reduction begins with, and the value of empty segments.
        unsafe: don't check that the lengths sum to the size of the dimension.
    """
    kind = _KINDS.get(reduce)
    if kind is None:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if data.dtype.category < dtypes.FLOAT:
        from ..dtypes import scalar_name
        raise NotImplementedError(f"\"segment_reduce_lengths_cpu\" not implemented for '{scalar_name(data.dtype)}'")
    axis = axis % data.dim()
    if lengths is None:
        lengths = offsets.diff(dim=-1)
    if axis != lengths.dim() - 1:
        raise RuntimeError("segment_reduce(): Expected axis to be the last dimension of lengths but got "
                           f"{axis}.")
    if not unsafe:
        if lengths.numel() and int(lengths.min()) < 0:
            raise RuntimeError("segment_reduce(): lengths contains negative value!")
        if not bool((lengths.sum(-1) == data.shape[axis]).all()):
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to "
                               "data.size(lengths.dim()-1) when !unsafe.")
    return _segment_reduce(data, lengths, kind, axis, initial)
