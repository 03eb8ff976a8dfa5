"""Sums into repeated positions: the gradient of every gather.

Accumulation is in a fixed order (sorted by position, then by source), so results do not depend on
timing; 16-bit floats add in float32.
"""

import numpy as np


def linear_index(a, indices, values):
    """Advanced indices as positions in the indexed dimensions taken together.

    Returns (target, positions, rows of values): `target` tells `accumulate_rows` how `a` is seen as
    ``(positions, width)``.
    """
    dims = [d for d, i in enumerate(indices) if i is not None]
    rest = [d for d in range(a.ndim) if d not in dims]
    arrays = np.broadcast_arrays(*[indices[d] for d in dims])
    shape = arrays[0].shape
    flat = np.zeros(shape, np.int64)
    count = 1
    for d, i in zip(dims, arrays):
        n = a.shape[d]
        if i.size and (i.min() < -n or i.max() >= n):
            bad = i[(i < -n) | (i >= n)].flat[0]
            raise IndexError(f"index {bad} is out of bounds for dimension {d} with size {n}")
        flat = flat * n + np.where(i < 0, i + n, i)
        count *= n
    first = dims[0]
    adjacent = dims == list(range(first, first + len(dims)))
    full = [a.shape[d] for d in rest]
    lead = first if adjacent else 0
    result = (*full[:lead], *shape, *full[lead:])
    v = np.broadcast_to(values, result)
    k = len(shape)
    v = v.transpose((*range(lead, lead + k), *range(lead), *range(lead + k, len(result))))
    width = 1
    for n in full:
        width *= n
    return (a, dims + rest, count, width), flat.reshape(-1), v.reshape(-1, width)


def accumulate_rows(target, flat, values):
    """Add value rows at their positions; `target` comes from linear_index."""
    a, order, count, width = target
    moved = a.transpose(order)
    if moved.flags.c_contiguous:
        add_rows(moved.reshape(count, width), flat, values)
        return
    rows = np.ascontiguousarray(moved).reshape(count, width)
    add_rows(rows, flat, values)
    moved[...] = rows.reshape(moved.shape)


def add_rows(out, flat, values):
    """``out[flat[k]] += values[k]`` for 2-D `out` (positions, width)."""
    n, width = values.shape
    if n == 0 or width == 0:
        return
    d = out.dtype
    if d.kind == "b":
        np.logical_or.at(out, flat, values)
        return
    low = d.itemsize <= 2 and d.kind not in "iu"
    if n == 1:
        out[flat[0]] += values[0]
        return
    if width == 1 and d.kind == "f" and not low:
        out[:, 0] += np.bincount(flat, values[:, 0], len(out)).astype(d)
        return
    order = np.argsort(flat, kind="stable")
    sorted_ = flat[order]
    starts = np.flatnonzero(np.r_[True, sorted_[1:] != sorted_[:-1]])
    where = sorted_[starts]
    if low:
        values = values.astype(np.float32)
    rows = values[order]
    sums = rows if len(starts) == n else np.add.reduceat(rows, starts, axis=0)
    if low:
        out[where] = (out[where].astype(np.float32) + sums).astype(d)
    else:
        out[where] += sums
