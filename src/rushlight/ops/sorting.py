"""Order: sorting, selection by rank, medians, modes, distinct values, searching."""

from functools import cache
from importlib import import_module

import numpy as np

from .. import return_types as structs
from ..dtypes import COMPLEX, FLOAT, from_np, scalar_name
from ..record import NONDIFF, Joint
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import wrap_dim
from ..tensor.tensor import Tensor, wrap
from .copy import copy_array
from .dispatch import primitive
from .extrema import from_positions
from .out import write
from .overlap import check_out
from .reduce_common import I64, compiled, kernel, no_identity, reduce, wide
from .reduction import publish
from .registry import FUNCTIONS, METHODS


def _along_grad(g0, self_shape, dim, out1):
    return (from_positions(g0, dim, out1, self_shape, True),)


def _picked_grad(g0, self_shape, dim, keepdim, out1):
    return (from_positions(g0, dim, out1, self_shape, keepdim),)


_names = {}


def ordered_name(np_dtype):
    """The dtype's name if the compiler's kernels of order take it, else None."""
    name = _names.get(np_dtype, _names)
    if name is _names:
        t = from_np(np_dtype)
        fits = (t.category < FLOAT or t.category == FLOAT and t.itemsize > 1) and compiled()
        name = _names[np_dtype] = t.name if fits else None
    return name


@cache
def _made(module, what, *args):
    """A generated function of ``compiler.templates.<module>``."""
    return getattr(import_module(f"rushlight.compiler.templates.{module}"), f"{what}_kernel")(*args)


def key_terms(x, name, descending, spread):
    """(flip, base, narrow) for the keys of `x`; with `spread` integers' keys are made as small as they can be."""
    flip = -1 if descending else 0
    if not spread or x.dtype.kind not in "iu" or x.dtype.itemsize < 4:
        return flip, 0, False
    from ..compiler.templates.keys import base_of
    if watch.observer is not None:
        watch.observer.fail()               # depends on contents
    low, high = (reduce(kernel(kind, x.dtype, x.dtype), x, None, False, x.dtype).item() for kind in ("min", "max"))
    base, short = base_of(low, high, descending, name, x.dtype)
    return flip, base, short and x.dtype.itemsize == 8


def in_rows(a, dim):
    """The array with `dim` last, in C order."""
    moved = a if dim == a.ndim - 1 else a.swapaxes(dim, -1)
    if moved.flags.c_contiguous:
        return moved
    out = empty(moved.shape, a.dtype)
    copy_array(out, moved)
    return out


def from_rows(a, dim):
    """What `in_rows` has put last back in its place, in C order."""
    if dim == a.ndim - 1:
        return a
    moved = a.swapaxes(dim, -1)
    out = empty(moved.shape, a.dtype)
    copy_array(out, moved)
    return out


def sorted_rows(x, descending=False):
    """(values, positions) of rows in C order, stably sorted; NaN counts as the largest."""
    n = x.shape[-1]
    name = ordered_name(x.dtype)
    if name is not None and n < 1 << 32:
        values, at = empty(x.shape, x.dtype), empty(x.shape, I64)
        if x.size:
            flip, base, narrow = key_terms(x, name, descending, n > 96)
            watch.launch(_made("sort", "sort", name, narrow), values, at, x, x.size // n, n, flip, base)
        return values, at
    y = wide(x)
    if descending:
        # Stable and descending: sort the reversed sequence upwards, then reverse.
        at = n - 1 - np.flip(np.argsort(np.flip(y, -1), -1, kind="stable"), -1)
    else:
        at = np.argsort(y, -1, kind="stable")
    at = np.ascontiguousarray(at.astype(I64, copy=False))
    return np.take_along_axis(x, at, -1), at


def _order(a, dim, descending):
    """Stable order along `dim`; NaN counts as the largest."""
    return sorted_rows(in_rows(a, dim), descending)[1].swapaxes(dim, -1)


# ---------------------------------------------------------------- sort

@primitive("sort(Tensor self, int dim, bool descending) -> (Tensor values, Tensor indices)",
           vjp=Joint(_along_grad))
def _sort(a, dim, descending):
    return _sorted(a, dim, descending)


@primitive("sort.stable(Tensor self, int dim, bool descending) -> (Tensor values, Tensor indices)",
           node="SortBackward1", vjp=Joint(_along_grad))
def _sort_stable(a, dim, descending):
    return _sorted(a, dim, descending)


def _sorted(a, dim, descending):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    return tuple([from_rows(r, dim) for r in sorted_rows(in_rows(a, dim), descending)])


def sort(input, dim=-1, descending=False, stable=None, *, out=None):
    """The named tuple (values, indices) sorted along `dim`; always stable, NaN last when ascending."""
    if type(dim) is bool:
        dim, descending = -1, dim
    if input.dtype.category == COMPLEX:
        raise RuntimeError("sort(): input tensor must be of non-complex type")
    d = wrap_dim(dim, input._a.ndim)
    r = (_sort if stable is None else _sort_stable)(input, d, bool(descending))
    return structs.sort(r) if out is None else _fill("sort", input, r, out, structs.sort)


def _fill(name, input, results, out, struct):
    check_out(out, (input,), name == "kthvalue")
    for r, o in zip(results, out):
        write(name, r, o)
    return struct(tuple(out))


def argsort(input, dim=-1, descending=False, stable=False):
    """The indices (int64, in the input's shape) that sort along `dim`: ``input.gather(dim, argsort(input, dim))``.

    With `stable` equal elements keep their order. NaN counts as the largest.
    """
    return sort(input, dim, descending, True if stable else None).indices


def msort(input):
    """The elements sorted along the first dimension, smallest first: ``sort(input, 0).values``."""
    return sort(input, 0).values


for _n, _f in (("sort", sort), ("argsort", argsort)):
    FUNCTIONS.setdefault("torch", {})[_n] = METHODS[_n] = _f
publish("msort", msort)

# ---------------------------------------------------------------- the k-th

@primitive("topk(Tensor self, int k, int dim, bool largest, bool sorted) -> "
           "(Tensor values, Tensor indices)", vjp=Joint(_along_grad))
def _topk(a, k, dim, largest, sorted):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    return tuple([from_rows(r, dim) for r in first_of_rows(in_rows(a, dim), k, largest)])


def first_of_rows(x, k, descending):
    """(values, positions) of the first k in order of rows in C order."""
    n, name = x.shape[-1], ordered_name(x.dtype)
    if name is None or n >= 1 << 32:
        return tuple([np.ascontiguousarray(r[..., :k]) for r in sorted_rows(x, descending)])
    shape = (*x.shape[:-1], k)
    values, at = empty(shape, x.dtype), empty(shape, I64)
    if at.size:
        # Few out of many go through a buffer; so do short rows, which fit in it whole.
        room = n + 1 if n <= 512 else max(4 * k, 32) if k * 16 <= n else 0
        flip, base, narrow = key_terms(x, name, descending, not room)
        watch.launch(_made("select", "first", name, narrow), values, at, x, x.size // n, n, flip, base, k, room)
    return values, at


def ranked_along(a, dim, keepdim, rank, skip=0):
    """(value, position) of the element of a rank along `dim`; `skip` 1: the median or a NaN, 2: without NaN."""
    n, name = a.shape[dim], ordered_name(a.dtype)
    if name is None or n >= 1 << 32:
        order = _order(a, dim, False)
        ranks = _median_rank(a, dim, skip == 2) if skip else np.full(
            [1 if i == dim else s for i, s in enumerate(a.shape)], rank)
        return _pick(a, np.take_along_axis(order, ranks, dim), dim, keepdim)
    x = in_rows(a, dim)
    values, at = empty(x.shape[:-1], a.dtype), empty(x.shape[:-1], I64)
    if at.size:
        flip, base, narrow = key_terms(x, name, False, n > 96 and a.dtype.itemsize == 8)
        watch.launch(_made("select", "ranked", name, narrow), values, at, x, x.size // n, n, flip, base, rank, skip)
    if dim != a.ndim - 1:
        values, at = (np.ascontiguousarray(np.moveaxis(r, dim, -1)) for r in (values, at))
    return tuple([np.expand_dims(r, dim) if keepdim else r for r in (values, at)])


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The `k` largest (or smallest) elements along `dim` in order, as (values, indices)."""
    d = wrap_dim(dim, input._a.ndim)
    if isinstance(k, Tensor):
        k = int(k)
    if type(k) is float:
        raise TypeError("topk(): argument 'k' must be int, not float")
    if input.dtype.category == COMPLEX:
        raise NotImplementedError(f"\"topk_cpu\" not implemented for '{scalar_name(input.dtype)}'")
    if not 0 <= k <= (input._a.shape[d] if input._a.ndim else 1):
        raise RuntimeError("selected index k out of range")
    r = _topk(input, k, d, bool(largest), bool(sorted))
    if not input._a.ndim and k == 0:
        raise RuntimeError("selected index k out of range")
    return structs.topk(r) if out is None else _fill("topk", input, r, out, structs.topk)


FUNCTIONS["torch"]["topk"] = METHODS["topk"] = topk


def _pick(a, at, dim, keepdim):
    """Values and positions `at` (with `dim` of size 1), with or without that dimension."""
    values = np.take_along_axis(a, at, dim)
    at = at.astype(I64, copy=False)
    if keepdim:
        return values, np.ascontiguousarray(at)
    return np.squeeze(values, dim).copy(), np.squeeze(at, dim).copy()


@primitive("kthvalue(Tensor self, int k, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           vjp=Joint(_picked_grad))
def _kthvalue(a, k, dim, keepdim):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    return ranked_along(a, dim, keepdim, k - 1)


def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """The k-th smallest element along `dim` (k counts from 1), as (values, indices)."""
    d = wrap_dim(dim, input._a.ndim)
    shape = input._a.shape
    _numbers(input, "kthvalue_cpu")
    if shape:
        no_identity("kthvalue", shape, (d,))
    if not 1 <= k <= (shape[d] if shape else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    r = _kthvalue(input, k, d, bool(keepdim))
    return structs.kthvalue(r) if out is None else _fill("kthvalue", input, r, out, structs.kthvalue)


def _numbers(input, kernel):
    if input.dtype.category == COMPLEX or input.dtype.category == 0:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input.dtype)}'")


FUNCTIONS["torch"]["kthvalue"] = METHODS["kthvalue"] = kthvalue

# ---------------------------------------------------------------- medians, modes


def _median_rank(a, dim, skip_nan):
    """Rank of the lower median along `dim`, with `dim` kept: of NaN the first, unless skipped."""
    n = a.shape[dim]
    x = wide(a)
    if x.dtype.kind != "f":
        return np.full([1 if i == dim else s for i, s in enumerate(a.shape)], (n - 1) // 2)
    bad = np.isnan(x).sum(dim, keepdims=True)
    if skip_nan:
        return np.maximum(n - bad - 1, 0) // 2
    return np.where(bad > 0, n - bad, (n - 1) // 2)


def _median_along(a, dim, keepdim, skip_nan):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    return ranked_along(a, dim, keepdim, (a.shape[dim] - 1) // 2, 2 if skip_nan else 1)


def _median_all(a, skip_nan):
    flat = a.reshape(-1)
    if not flat.size:
        return np.full((), np.nan if a.dtype.kind not in "iu" else np.iinfo(a.dtype).min, a.dtype)
    return _median_along(flat, 0, False, skip_nan)[0]


def _equal_share(g, self, out):
    mask = self == out
    if type(self._a) is np.ndarray and self.dtype.category == FLOAT:
        mask = mask | (self.isnan() & out.isnan())
    return mask * (g / mask.sum())


@primitive("median(Tensor self) -> Tensor", vjp={"self": _equal_share})
def _median(a):
    return _median_all(a, False)


@primitive("nanmedian(Tensor self) -> Tensor", vjp={"self": _equal_share})
def _nanmedian(a):
    return _median_all(a, True)


@primitive("median.dim(Tensor self, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           node="MedianBackward1", vjp=Joint(_picked_grad))
def _median_dim(a, dim, keepdim):
    return _median_along(a, dim, keepdim, False)


@primitive("nanmedian.dim(Tensor self, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           node="NanmedianBackward1", vjp=Joint(_picked_grad))
def _nanmedian_dim(a, dim, keepdim):
    return _median_along(a, dim, keepdim, True)


def _median_function(name, everything, along, doc):
    struct = getattr(structs, name)

    def function(input, dim=None, keepdim=False, *, out=None):
        _numbers(input, f"{name}_cpu")
        if dim is None:
            r = everything(input)
            if out is not None:
                write(name, r, out)
                return out
            return r
        d = wrap_dim(dim, input._a.ndim)
        if input._a.ndim:
            no_identity(name, input._a.shape, (d,))
        r = along(input, d, bool(keepdim))
        return struct(r) if out is None else _fill(name, r, out, struct)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    FUNCTIONS["torch"][name] = METHODS[name] = function


_median_function("median", _median, _median_dim, "The lower median of all elements, or along `dim` as "
                 "(values, indices); NaN if there is one.")
_median_function("nanmedian", _nanmedian, _nanmedian_dim, "The lower median of what is not NaN.")


@primitive("mode(Tensor self, int dim, bool keepdim) -> (Tensor values, Tensor indices)",
           vjp=Joint(_picked_grad))
def _mode(a, dim, keepdim):
    if not a.ndim:
        return a.copy(), np.zeros((), I64)
    order = np.moveaxis(_order(a, dim, False), dim, -1)
    x = np.take_along_axis(np.moveaxis(wide(a), dim, -1), order, -1)
    n = x.shape[-1]
    # Lengths of runs of equal values; the first longest run is the smallest mode.
    new = np.ones(x.shape, bool)
    new[..., 1:] = x[..., 1:] != x[..., :-1]
    start = np.maximum.accumulate(np.where(new, np.arange(n), 0), -1)
    length = np.arange(n) - start
    last = np.expand_dims(np.argmax(length, -1), -1)
    at = np.moveaxis(np.take_along_axis(order, last, -1), -1, dim)
    return _pick(a, at, dim, keepdim)


def mode(input, dim=-1, keepdim=False, *, out=None):
    """The most frequent value along `dim` (the smallest of several), and its last position."""
    d = wrap_dim(dim, input._a.ndim)
    if input.dtype.category == COMPLEX:
        raise NotImplementedError(f"\"mode_cpu\" not implemented for '{scalar_name(input.dtype)}'")
    if input._a.ndim:
        no_identity("mode", input._a.shape, (d,))
    r = _mode(input, d, bool(keepdim))
    return structs.mode(r) if out is None else _fill("mode", input, r, out, structs.mode)


FUNCTIONS["torch"]["mode"] = METHODS["mode"] = mode

# ---------------------------------------------------------------- distinct values

_DISTINCT = NONDIFF("positions of distinct values")


def runs(x, order=None, details=True):
    """(values, inverse, counts) of the runs of equal elements of a 1-D array; inverse at the positions `order`."""
    n, name = x.size, ordered_name(x.dtype)
    x = np.ascontiguousarray(x)
    if name is None or name == "bfloat16":
        y = wide(x)
        new = np.ones(n, bool)
        new[1:] = y[1:] != y[:-1]
        group = np.cumsum(new) - 1
        inverse = np.empty(n, I64)
        inverse[slice(None) if order is None else order] = group
        return x[new], inverse, np.bincount(group).astype(I64, copy=False)
    values = empty((n,), x.dtype)
    starts, inverse = (empty((n,), I64), empty((n,), I64)) if details else (None, None)
    m = _made("distinct", "runs", name)(values, starts, inverse, x, order, n)
    counts = np.diff(starts[:m], append=n) if details else None
    if m < n:
        found = empty((m,), x.dtype)
        copy_array(found, values[:m])
        values = found
    return values, inverse, counts


def _distinct(a, details):
    """The distinct values in order, with inverse and counts; NaN are kept apart."""
    if a.dtype.kind == "c":
        return np.unique(a, return_inverse=True, return_counts=True, equal_nan=False)
    return runs(*sorted_rows(np.ascontiguousarray(a).reshape(-1)), details)


@primitive("_unique2(Tensor self, bool details) -> (Tensor, Tensor, Tensor)", vjp=NONDIFF("values are selected"))
def _unique(a, details):
    v, i, c = _distinct(a, details)
    if not details:
        return v, np.zeros(0, I64), np.zeros(0, I64)
    return v, i.reshape(a.shape).astype(I64, copy=False), c.astype(I64, copy=False)


@primitive("unique_dim(Tensor self, int dim) -> (Tensor, Tensor, Tensor)", vjp=_DISTINCT)
def _unique_dim(a, dim):
    if a.shape[dim] == 0:
        return a.copy(), np.zeros(0, I64), np.zeros(0, I64)
    rows = np.moveaxis(a, dim, 0)
    flat = wide(rows.reshape(rows.shape[0], -1))
    order = np.lexsort(flat.T[::-1]) if flat.shape[1] else np.arange(flat.shape[0])
    s = flat[order]
    new = np.ones(len(s), bool)
    new[1:] = (s[1:] != s[:-1]).any(1)
    group = np.cumsum(new) - 1
    inverse = np.empty(len(s), I64)
    inverse[order] = group
    counts = np.bincount(group).astype(I64)
    return np.ascontiguousarray(np.moveaxis(rows[order[new]], 0, dim)), inverse, counts


@primitive("unique_consecutive(Tensor self, int? dim, bool details) -> (Tensor, Tensor, Tensor)", vjp=_DISTINCT)
def _unique_consecutive(a, dim, details):
    if dim is None and a.size and a.dtype.kind != "c":
        values, inverse, counts = runs(a.reshape(-1), None, details)
        if not details:
            return values, np.zeros(0, I64), np.zeros(0, I64)
        return values, inverse.reshape(a.shape), counts
    rows = a.reshape(-1) if dim is None else np.moveaxis(a, dim, 0)
    n = rows.shape[0]
    if n == 0:
        return rows.copy() if dim is None else a.copy(), np.zeros(a.shape if dim is None else 0, I64), \
            np.zeros(0, I64)
    flat = wide(rows.reshape(n, -1))
    new = np.ones(n, bool)
    new[1:] = (flat[1:] != flat[:-1]).any(1)
    group = np.cumsum(new) - 1
    counts = np.bincount(group).astype(I64)
    values = rows[new]
    if dim is not None:
        values = np.ascontiguousarray(np.moveaxis(values, 0, dim))
    return values, group.reshape(a.shape if dim is None else (n,)).astype(I64), counts


def _some(results, inverse, counts):
    out = [results[0]]
    if inverse:
        out.append(results[1])
    if counts:
        out.append(results[2])
    return tuple(out) if len(out) > 1 else out[0]


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Distinct values (or slices along `dim`) in order, with optional inverse positions and counts."""
    x = input.detach()
    if dim is None:
        r = _unique(x, bool(return_inverse or return_counts))
    else:
        d = wrap_dim(dim, x._a.ndim)
        if 0 in x._a.shape and x._a.shape[d] != 0:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be "
                               "applied")
        r = _unique_dim(x, d)
    return _some(r, return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The input without elements (or slices) equal to the one before."""
    d = None if dim is None else wrap_dim(dim, input._a.ndim)
    details = bool(return_inverse or return_counts)
    return _some(_unique_consecutive(input.detach(), d, details), return_inverse, return_counts)


publish("unique", unique, out=False)
publish("unique_consecutive", unique_consecutive, out=False)

# ---------------------------------------------------------------- searching

_POSITIONS = NONDIFF("positions")


@primitive("searchsorted(Tensor sorted_sequence, Tensor self, bool right, Tensor? sorter) -> Tensor",
           vjp=_POSITIONS)
def _searchsorted(sequence, values, right, sorter):
    side = "right" if right else "left"
    if sequence.dtype != values.dtype:
        common = np.result_type(wide(sequence), wide(values))
        sequence, values = wide(sequence).astype(common), wide(values).astype(common)
    sequence, values = wide(sequence), wide(values)
    if sorter is not None:
        sequence = np.take_along_axis(sequence, sorter, -1)
    name = ordered_name(sequence.dtype)
    if name is not None:
        out, n = empty(values.shape, I64), sequence.shape[-1]
        m = values.shape[-1] if values.ndim and sequence.ndim > 1 else values.size
        if out.size:
            watch.launch(_made("search", "search", name), out, np.ascontiguousarray(sequence),
                         np.ascontiguousarray(values), out.size // m, n, m, sequence.ndim == 1, right)
        return out
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, values, side), I64).reshape(values.shape)
    out = np.empty(values.shape, I64)
    rows, keys = sequence.reshape(-1, sequence.shape[-1]), values.reshape(-1, values.shape[-1])
    flat = out.reshape(-1, values.shape[-1])
    for i in range(len(rows)):
        flat[i] = np.searchsorted(rows[i], keys[i], side)
    return out


def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None):
    """Where elements of `input` would go into the innermost dimension of a sorted sequence.

    The position i satisfies seq[i-1] < v <= seq[i], with right=True seq[i-1] <= v < seq[i].
    """
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
        if side == "left" and right:
            raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of "
                               "left while right was True")
        right = side == "right"
    if not isinstance(input, Tensor):
        input = wrap(np.asarray(input))
        if sorted_sequence._a.ndim != 1:
            raise RuntimeError("torch.searchsorted(): input value can be a scalar only when boundaries "
                               f"tensor dimension is 1, but we got boundaries tensor dim("
                               f"{sorted_sequence._a.ndim}) and input value's dim(0) numel(1)")
    shape = sorted_sequence._a.shape
    if not shape:
        raise RuntimeError("torch.searchsorted(): input value can be a scalar only when boundaries tensor "
                           "dimension is 1, but we got boundaries tensor dim(0)")
    if len(shape) > 1 and shape[:-1] != input._a.shape[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                           "dimensions of boundaries tensor and input value tensor must match, but we got "
                           f"boundaries tensor {list(shape)} and input value tensor "
                           f"{list(input._a.shape)}")
    if sorter is not None:
        if sorter._a.shape != shape:
            raise RuntimeError("torch.searchsorted(): boundary and sorter must have the same size, but got "
                               f"boundary tensor {list(shape)} and got sorter tensor "
                               f"{list(sorter._a.shape)}")
        if sorter.dtype.name != "int64":
            raise RuntimeError("torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
                               f"{scalar_name(sorter.dtype)}")
        if sorter._a.size and watch.true(lambda a: a.min() < 0 or a.max() >= shape[-1], sorter):
            raise RuntimeError("torch.searchsorted(): sorter index out of range")
    if input.dtype is not sorted_sequence.dtype and input._a.ndim:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have same dtype as the input "
                           f"tensor, but we got boundaries tensor {scalar_name(sorted_sequence.dtype)} and "
                           f"input value tensor {scalar_name(input.dtype)}")
    r = _searchsorted(sorted_sequence.detach(), input.detach(), bool(right), sorter)
    return r.int() if out_int32 else r


def bucketize(input, boundaries, *, out_int32=False, right=False):
    """The bucket of each element between sorted `boundaries`: see searchsorted."""
    if boundaries._a.ndim != 1:
        raise RuntimeError("boundaries tensor must be 1 dimension, but got dim("
                           f"{boundaries._a.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


publish("searchsorted", searchsorted, method=False)
publish("bucketize", bucketize, method=False)


@primitive("isin(Tensor elements, Tensor test_elements, bool assume_unique, bool invert) -> Tensor",
           vjp=NONDIFF("bool result"))
def _isin(a, b, assume_unique, invert):
    return np.asarray(np.isin(wide(a), wide(b), assume_unique, invert)).reshape(a.shape)


def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Whether each of `elements` is among `test_elements`; one of them may be a number."""
    if not isinstance(elements, Tensor):
        elements = wrap(np.asarray(elements))
    if not isinstance(test_elements, Tensor):
        test_elements = wrap(np.asarray(test_elements))
    if elements.dtype.category == COMPLEX or test_elements.dtype.category == COMPLEX:
        raise RuntimeError("Unsupported input type encountered for isin(): ComplexFloat")
    return _isin(elements, test_elements, bool(assume_unique), bool(invert))


publish("isin", isin, method=False)
