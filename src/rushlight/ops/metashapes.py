"""Shapes of results without data, for kernels that have no rule of their own.

Sizes of results are sums of multiples of the operands' sizes (or no probe tells them): a kernel runs on small operands
in the place of large ones, with one size after the other increased twice, and at last with all of them increased. Small
sizes leave the same remainder by 12 as those they stand for, so that strides and groups divide them alike. Numbers
among the arguments that are such a size are replaced with it; others have to be less than every small size, as kernels
trust their callers.
"""

import numpy as np

from ..tensor.storage import MetaArray

_STEP = 12
# (sizes from here on are replaced, least small size): the later ones where the first are refused or tell nothing.
_TRIALS = ((24, 6), (48, 24), (320, 160), (1100, 400))
_MOST = 1 << 22              # elements of a small operand
_DATA = frozenset((          # results whose shape depends on what the operands hold
    "masked_select", "nonzero", "_unique2", "unique_dim", "unique_consecutive", "bincount", "_repeated_positions"))


def by_probes(rec, arrays):
    """The kernel's outputs as geometry (a list of MetaArray or None), or None where no probe tells them."""
    sizes = sorted({s for a in _leaves(arrays) if type(a) is MetaArray for s in a.shape})
    for bound, least in _TRIALS:
        large = [s for s in sizes if s >= bound]
        if not large:
            return None
        if any(abs(p) >= least and p not in large for p in _numbers(rec, arrays)):
            continue
        found = _probe(rec, arrays, large, least)
        if found is not None:
            return found
    return None


def _numbers(rec, arrays):
    """Integers among the arguments that may mean sizes."""
    for arg, x in zip(rec.args, arrays):
        if not arg.type.startswith(("Scalar", "bool", "float")):
            yield from (v for v in _leaves((x,)) if type(v) is int)


def refuse_data(rec):
    """NotImplementedError for an op whose result's shape depends on data."""
    if rec.name in _DATA:
        raise NotImplementedError(f"aten::{rec.name}: attempted to run this operator with Meta tensors, but the shape "
                                  "of its result depends on data")


def _leaves(arrays):
    for a in arrays:
        if isinstance(a, (list, tuple)):
            yield from _leaves(a)
        else:
            yield a


def _small(large, least):
    """A small size for each large one: different ones for different sizes."""
    taken, out = set(), {}
    for s in large:
        n = least + (s - least) % _STEP
        while n in taken:
            n += _STEP
        taken.add(n)
        out[s] = n
    return out


def _probe(rec, arrays, large, least):
    small = _small(large, least)
    base = _run(rec, arrays, small)
    if base is None:
        return None
    slopes = []
    for s in large:
        steps = []
        for k in (1, 2):                        # twice: a square shows
            other = _run(rec, arrays, {**small, s: small[s] + k * _STEP})
            if other is None or not _alike(base, other):
                return None
            steps.append([[y - x for x, y in zip(b[0], o[0])] if b else None for b, o in zip(base, other)])
        if any(b and [2 * x for x in b] != o for b, o in zip(*steps)):
            return None
        slopes.append(steps[0])

    def at(k, sizes):
        """The shape of output k where `sizes` stand for the large ones; None where it is not whole."""
        shape = []
        for d, n in enumerate(base[k][0]):
            for j, s in enumerate(large):
                more = slopes[j][k][d] * (sizes[s] - small[s])
                if more % _STEP:
                    return None
                n += more // _STEP
            shape.append(n)
        return shape

    together = {s: small[s] + _STEP for s in large}
    proof = _run(rec, arrays, together)         # a product of two sizes shows
    if proof is None or not _alike(base, proof):
        return None
    out = []
    for k, b in enumerate(base):
        if b is None:
            out.append(None)
            continue
        shape = at(k, {s: s for s in large})
        if shape is None or at(k, together) != list(proof[k][0]):
            return None
        out.append(_dense(shape, b[1], b[2]))
    return out


def _alike(a, b):
    """Whether two calls had the same outputs, up to sizes."""
    return len(a) == len(b) and all(
        x is y is None or x is not None and y is not None and len(x[0]) == len(y[0]) for x, y in zip(a, b))


def _run(rec, arrays, sizes):
    """(shape, NumPy dtype, order of dimensions) of each output for operands with these sizes; None if refused."""
    try:
        operands = [a if arg.type.startswith(("Scalar", "bool", "float")) else _zeros(a, sizes)
                    for arg, a in zip(rec.args, arrays)]
        with np.errstate(all="ignore"):
            out = rec.kernel(*operands)
    except (ValueError, IndexError, TypeError, RuntimeError, ArithmeticError, MemoryError):
        return None
    found = []
    for a in out if type(out) is tuple else (out,):
        if a is None:
            found.append(None)
            continue
        a = np.asarray(a)
        order = None if a.flags.c_contiguous else sorted(range(a.ndim), key=lambda d: -a.strides[d])
        found.append((a.shape, a.dtype, order))
    return found


def _zeros(a, sizes):
    if isinstance(a, (list, tuple)):
        return (list if isinstance(a, list) else tuple)([_zeros(x, sizes) for x in a])
    if type(a) is int:
        return sizes.get(a, a)
    if type(a) is not MetaArray:
        return a
    shape = [sizes.get(s, s) for s in a.shape]
    if np.prod(shape, dtype=np.float64) > _MOST:
        raise MemoryError
    order = sorted(range(len(shape)), key=lambda d: -a.strides[d])
    if order == list(range(len(shape))):
        return np.zeros(shape, a.dtype)
    back = np.argsort(order)
    return np.zeros([shape[d] for d in order], a.dtype).transpose(back)


def _dense(shape, np_dtype, order):
    if order is None:
        return MetaArray(shape, np_dtype)
    strides, n = [0] * len(shape), np_dtype.itemsize
    for d in reversed(order):
        strides[d] = n
        n *= max(shape[d], 1)
    return MetaArray(shape, np_dtype, tuple(strides))
