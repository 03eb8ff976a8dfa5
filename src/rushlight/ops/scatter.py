"""Writing by index: scatter and its reductions, index_add and its kin, put."""

import numpy as np

from .. import dtypes
from ..dtypes import scalar_name
from ..record import Joint
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import wrap_dim
from ..tensor.tensor import Tensor, resolve_bits, wrap
from . import walks
from .copy import converted, copy_array, fill_array, fresh
from .creation import number_for
from .dispatch import primitive
from .gather import (
    _gather,
    _index_select,
    _take,
    add_slices,
    beyond_elements,
    check_gather,
    long_index,
    out_of_range,
)
from .indexing import mutate, writable
from .inplace import apply
from .overlap import one_block, single, writable_apart
from .registry import public
from .slicing import _slice

_ndarray, _C64 = np.ndarray, np.dtype(np.complex64)
_FEW = 1024                 # elements for which an array of equal ones is made sooner than a view of one


# ---------------------------------------------------------------- scatter

def _zero_at(g, dim, index):
    return g.scatter(dim, index, 0)


@primitive("scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
           vjp={"self": lambda g, dim, index: _zero_at(g, dim, index),
                "src": lambda g, dim, index, src_shape: _source_part(g, dim, index, src_shape)})
def _scatter_src(a, dim, index, src):
    out = fresh(a)
    _put(out, dim, index, src)
    return out


@primitive("scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
           node="ScatterBackward1", vjp={"self": lambda g, dim, index: _zero_at(g, dim, index)})
def _scatter_value(a, dim, index, value):
    out = fresh(a)
    _put(out, dim, index, value)
    return out


def _source_part(g, dim, index, shape):
    """The gradient of a source of which only the index's window was used."""
    picked = _gather(g, dim, index, False)
    if tuple(shape) == picked._a.shape:
        return picked
    full = g.new_zeros(shape)
    window = full
    for d, n in enumerate(picked._a.shape):
        window = _slice(window, d, 0, n, 1)
    window.copy_(picked)
    return full


def _into(out, dim, index, src, walk):
    """``walk(out, dim, index, src)`` on the part of `src` that the index names, checked."""
    if not index.size:
        return
    target = out if out.ndim else out.reshape(1)
    index = index if index.ndim else index.reshape(1)
    if not isinstance(src, _ndarray):
        if watch.observer is not None:
            value, src = src, np.empty(index.shape, out.dtype)
            fill_array(src, value)
        else:
            src = np.full(index.shape, src, out.dtype) if index.size < _FEW else np.broadcast_to(
                np.array(src, out.dtype), index.shape)
    elif src.shape != index.shape:
        src = src if src.ndim else src.reshape(1)
        src = src[tuple([slice(0, n) for n in index.shape])]
    if walk(target, dim, index, src):
        raise out_of_range(index, target.shape[dim], dim)


def _put(out, dim, index, src):
    """``out[index[i][j]][j] = src[i][j]`` in place; of repeated positions the last wins."""
    _into(out, dim, index, src, walks.put)


def _add(out, dim, index, src):
    _into(out, dim, index, src, lambda *args: walks.combine("add", *args))


@primitive("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
           vjp={"self": lambda g: g,
                "src": lambda g, dim, index, src_shape: _source_part(g, dim, index, src_shape)})
def _scatter_add(a, dim, index, src):
    out = fresh(a)
    _add(out, dim, index, src)
    return out


def _check_source(name, input, dim, index, src):
    d = check_gather("scatter", input, dim, index)
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    if not index._a.size:
        return d
    n = index._a.ndim
    if max(n, 1) != max(src._a.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for k in range(n):
        if src._a.ndim and index._a.shape[k] > src._a.shape[k]:
            raise RuntimeError(f"Expected index {list(index.shape)} to be no larger than src "
                               f"{list(src.shape)} in all dimensions")
    return d


def _scatter(input, dim, index, src, reduce, inplace):
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        if not isinstance(src, Tensor):
            src = wrap(np.full(index._a.shape, number_for(input.dtype, src), input.dtype.np))
        d = _check_source("scatter", input, dim, index, src)
        call = _scatter_add if reduce == "add" else _scatter_multiply
        return _finish(call, input, d, index, src, inplace)
    if isinstance(src, Tensor):
        d = _check_source("scatter", input, dim, index, src)
        return _finish(_scatter_src, input, d, index, src, inplace)
    d = check_gather("scatter", input, dim, index)
    number = number_for(input.dtype, src, True)
    if watch.listener is not None and isinstance(number, Tensor):
        return _finish(_scatter_src, input, d, index, number.expand(index._a.shape), inplace)
    return _finish(_scatter_value, input, d, index, number, inplace)


def _finish(call, input, d, index, src, inplace):
    if not inplace:
        return call(input, d, index, src)
    if input.is_meta:
        return input
    a = writable(input)
    s = src
    if isinstance(src, Tensor):
        writable_apart(input, src)
        s = resolve_bits(src)
        if one_block(input, src):
            s = s.copy()
    else:
        single(input)
    write = {_scatter_src: _put, _scatter_value: _put, _scatter_add: _add,
             _scatter_multiply: _multiply}[call]
    return mutate(call.record, (input, d, index, src), lambda: write(a, d, index._a, s))


def _multiply(out, dim, index, src):
    _into(out, dim, index, src, lambda *args: walks.combine("mul", *args))


@primitive("_scatter_multiply(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
           node="ScatterBackward2",
           vjp=Joint(lambda g, self, dim, index, src: _no_multiply()))
def _scatter_multiply(a, dim, index, src):
    out = fresh(a)
    _multiply(out, dim, index, src)
    return out


def _no_multiply():
    raise NotImplementedError("the derivative for 'scatter' with reduce='multiply' is not implemented; "
                              "use scatter_reduce with reduce='prod'")


@public(out=True)
def scatter(input, dim, index, src=None, *, reduce=None, value=None):
    """A copy with ``[index[i][j]][j] = src[i][j]`` (for dim 0), `src` a tensor or a number."""
    return _scatter(input, dim, index, value if src is None else src, reduce, False)


@public(name="scatter_", namespaces=())
def scatter_(input, dim, index, src=None, *, reduce=None, value=None):
    """``self[index[i][j]][j] = src[i][j]`` (for dim 0), `src` a tensor or a number."""
    return _scatter(input, dim, index, value if src is None else src, reduce, True)


@public(out=True)
def scatter_add(input, dim, index, src):
    """A copy with ``[index[i][j]][j] += src[i][j]`` (for dim 0), repeats adding up."""
    d = _check_source("scatter", input, dim, index, src)
    return _scatter_add(input, d, index, src)


@public(name="scatter_add_", namespaces=())
def scatter_add_(input, dim, index, src):
    """``self[index[i][j]][j] += src[i][j]`` (for dim 0), repeats adding up."""
    d = _check_source("scatter", input, dim, index, src)
    return _finish(_scatter_add, input, d, index, src, True)


# ---------------------------------------------------------------- scatter_reduce

_IDENTITY = {"sum": 0, "mean": 0, "prod": 1}


def _start(out, dim, index, reduce, include_self):
    """Without self the written positions start from the reduction's neutral element."""
    if include_self:
        return
    d = out.dtype
    if reduce in _IDENTITY:
        v = _IDENTITY[reduce]
    elif d.kind in "iu":
        v = np.iinfo(d).min if reduce == "amax" else np.iinfo(d).max
    elif d.kind == "b":
        v = reduce == "amin"
    else:
        v = float("-inf") if reduce == "amax" else float("inf")
    _put(out, dim, index, v)


def _counts(shape, dim, index, include_self, d):
    """How many terms each place has, at least 1, as numbers to divide results of dtype `d` by."""
    kind = np.dtype(np.int64 if d.kind in "iu" else np.float64 if index.size >= 1 << 24 else
                    np.float32 if d.itemsize == 2 else d.type(0).real.dtype)
    c = empty(shape, kind)
    fill_array(c, 1 if include_self else 0)
    _add(c, dim, index, 1)
    return np.maximum(c, 1, out=c)


@primitive("scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, "
           "bool include_self) -> Tensor",
           vjp=Joint(lambda g, out, self, dim, index, src, reduce, include_self:
                     _scatter_reduce_grad(g, out, self, dim, index, src, reduce, include_self)))
def _scatter_reduce(a, dim, index, src, reduce, include_self):
    out = fresh(a)
    if not index.size:
        return out
    _start(out, dim, index, reduce, include_self)
    if reduce in ("sum", "mean"):
        _add(out, dim, index, src)
        if reduce == "mean":
            d = out.dtype
            n = _counts(out.shape, dim, index, include_self, d)
            if d.kind in "iu":
                out = np.floor_divide(out, n).astype(d)
            elif n.dtype == d:
                np.divide(out, n, out=out)
            else:
                out = (out / n).astype(d)
    else:
        op = {"prod": "mul", "amax": "max", "amin": "min"}[reduce]
        _into(out, dim, index, src, lambda *args: walks.combine(op, *args))
    return out


def _scatter_reduce_grad(g, out, self, dim, index, src, reduce, include_self):
    if reduce == "sum":
        gs, gx = g, g.gather(dim, index)
    elif reduce == "mean":
        n = g.new_ones(g.shape) if include_self else g.new_zeros(g.shape)
        n = n.scatter_add(dim, index, src.new_ones(src.shape))
        n = n.masked_fill(n == 0, 1)
        gs = g / n
        gx = gs.gather(dim, index)
    elif reduce == "prod":
        gs, gx = _prod_grad(g, out, self, dim, index, src, include_self)
    else:
        picked = out.gather(dim, index)
        hit_self = self == out
        hit_src = src == picked
        ones = g.new_zeros(g.shape) if not include_self else hit_self.to(g.dtype)
        share = g / ones.scatter_add(dim, index, hit_src.to(g.dtype))
        gs = hit_self.to(g.dtype) * share
        gx = hit_src.to(g.dtype) * share.gather(dim, index)
        if not include_self:
            gs = g
    if not include_self:
        gs = gs.scatter(dim, index, 0)
    return gs, None, gx


def _prod_grad(g, out, self, dim, index, src, include_self):
    masked = self.masked_fill(self == 0, 1)
    masked_out = masked.scatter_reduce(dim, index, src, "prod", include_self=include_self)
    gs = (g * masked_out) / masked
    zero = (src == 0)
    zeros = src.new_zeros(self.shape).scatter_add(dim, index, zero.to(src.dtype)).gather(dim, index)
    single = zero & (zeros == 1)
    src_one = src.masked_fill(single, 1)
    product = self.scatter_reduce(dim, index, src_one, "prod", include_self=include_self)
    safe = src.masked_fill(zero, 1)
    exact = (g * product).gather(dim, index)
    plain = (g * out).gather(dim, index) / safe
    return gs, exact.where(single, plain.masked_fill(zero, 0))


def _reduction(name):
    if name not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got "
                           f"{name}")
    return name


@public(out=True)
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """Sources reduced (sum, prod, mean, amax, amin) into their positions, self's values included or not."""
    _reduction(reduce)
    d = _check_source("scatter", input, dim, index, src)
    return _scatter_reduce(input, d, index, src, reduce, include_self)


@public(name="scatter_reduce_", namespaces=())
def scatter_reduce_(input, dim, index, src, reduce, *, include_self=True):
    """In-place version of :func:`scatter_reduce`."""
    writable_apart(input, src)
    return apply(scatter_reduce, input, (dim, index, src, reduce), {"include_self": include_self},
                 "scatter_reduce")


# ---------------------------------------------------------------- whole slices

def _check_index(name, input, dim, index):
    d = wrap_dim(dim, input._a.ndim)
    if index._a.ndim > 1:
        raise IndexError(f"{name}(): Index should have dimension 1 or 0 (got {index._a.ndim})")
    long_index(name, index)
    return d


def _at(a, dim, index):
    """The positions `index` of dimension `dim` as a vector, checked."""
    n = a.shape[dim] if a.ndim else 1
    i = index.reshape(-1)
    if walks.outside(i, n):
        raise IndexError("index out of range in self")
    return i


@primitive("index_add(Tensor self, int dim, Tensor index, Tensor source, Scalar alpha) -> Tensor",
           vjp={"self": lambda g: g,
                "source": lambda g, dim, index, source_shape, alpha:
                _scaled(_index_select(g, dim, index).reshape(source_shape), alpha)})
def _index_add(a, dim, index, source, alpha):
    out = fresh(a)
    _add_index(out, dim, index, source, alpha)
    return out


def _scaled(g, alpha):
    return g if alpha == 1 else g * alpha


def _add_index(out, dim, index, source, alpha):
    try:
        i = _at(out, dim, index)
    except IndexError:
        if out.ndim < 2:
            raise
        size, i = out.shape[dim], index.reshape(-1)
        raise RuntimeError(f"index {i[np.argmax((i < 0) | (i >= size))]} is out of bounds for dimension {dim} with "
                           f"size {size}") from None
    if out.dtype.names:             # pairs of float16, for which there is no arithmetic
        total = converted(out, _C64)
        _add_index(total, dim, index, converted(source, _C64), alpha)
        copy_array(out, total)
        return
    if alpha != 1:
        source = (source * np.asarray(alpha).astype(source.dtype)).astype(source.dtype, copy=False)
    if not source.ndim:
        source = source.reshape((1,) * max(out.ndim, 1))
    add_slices(out if out.ndim else out.reshape(1), dim, i, source)


def _check_add(name, input, dim, index, source):
    d = _check_index(name, input, dim, index)
    if input.dtype is not source.dtype:
        raise RuntimeError(f"{name}(): self ({scalar_name(input.dtype)}) and source "
                           f"({scalar_name(source.dtype)}) must have the same scalar type")
    n = index._a.size
    if source._a.ndim:
        if n != source._a.shape[d]:
            raise RuntimeError(f"{name}_(): Number of indices ({n}) should be equal to "
                               f"source.size(dim): ({source._a.shape[d]}), for dim: {d}")
        x, y = list(input._a.shape), list(source._a.shape)
        if input._a.ndim:
            del x[d]
        del y[d]
        if x != y:
            raise RuntimeError(f"source tensor shape must match self tensor shape, excluding the "
                               f"specified dimension. Got self.shape = {list(input.shape)} "
                               f"source.shape = {list(source.shape)}")
    elif n != 1:
        raise RuntimeError(f"{name}(): When source is scalar, index should have one element (got {n})")
    return d


@public(out=True)
def index_add(input, dim, index, source, *, alpha=1):
    """A copy with ``alpha * source`` added to the slices `index` of dimension `dim`."""
    d = _check_add("index_add", input, dim, index, source)
    return _index_add(input, d, index, source, alpha)


@public(name="index_add_", namespaces=())
def index_add_(input, dim, index, source, *, alpha=1):
    """Add ``alpha * source`` to the slices `index` of dimension `dim`."""
    d = _check_add("index_add", input, dim, index, source)
    writable_apart(input, source)
    a, s = writable(input), resolve_bits(source)
    return mutate(_index_add.record, (input, d, index, source, alpha),
                  lambda: _add_index(a, d, index._a, s, alpha))


@primitive("index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor",
           vjp={"self": lambda g, dim, index: g.index_fill(dim, index, 0),
                "source": lambda g, dim, index, source_shape:
                _index_select(g, dim, index).expand(source_shape) if source_shape else
                _index_select(g, dim, index).squeeze()})
def _index_copy(a, dim, index, source):
    out = fresh(a)
    _copy_index(out, dim, index, source)
    return out


def _copy_index(out, dim, index, source):
    i = index.reshape(-1)
    target = out if out.ndim else out.reshape(1)
    if walks.put_rows(target, dim, i, source.reshape(source.shape or (1,) * target.ndim)):
        n = target.shape[dim]
        raise IndexError(f"index_copy_(): index {walks.first_outside(i, n)} is out of bounds for dimension {dim} with "
                         f"size {n}")


def _check_copy(input, dim, index, source):
    d = wrap_dim(dim, input._a.ndim)
    if index._a.ndim >= 2:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index._a.ndim})")
    n = index._a.size
    if not source._a.ndim and n != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {n})")
    if index.dtype is not dtypes.int64:
        raise IndexError("index_copy_(): Expected a long tensor for index, but got "
                         f"{scalar_name(index.dtype)}")
    if input.dtype is not source.dtype:
        raise RuntimeError("index_copy_(): self and source expected to have the same dtype, but got "
                           f"(self) {scalar_name(input.dtype)} and (source) "
                           f"{scalar_name(source.dtype)}")
    if source._a.ndim and input._a.ndim:
        if source._a.ndim != input._a.ndim:
            raise IndexError("index_copy_(): When source and destination are not scalars, their "
                             "dimensionality must match. Source dimensionality "
                             f"({source._a.ndim}), destination dimensionality ({input._a.ndim})")
        x, y = list(input._a.shape), list(source._a.shape)
        del x[d], y[d]
        if x != y:
            raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. "
                               f"Destination slice shape: {x} at dimension {d} and source slice shape: "
                               f"{y} at dimension 0.")
        if n != source._a.shape[d]:
            raise IndexError(f"index_copy_(): Number of indices ({n}) should be equal to "
                             f"source.size(dim) ({source._a.shape[d]})")
    return d


@public(out=True)
def index_copy(input, dim, index, source):
    """A copy with the slices `index` of dimension `dim` replaced by those of `source`."""
    return _index_copy(input, _check_copy(input, dim, index, source), index, source)


@public(name="index_copy_", namespaces=())
def index_copy_(input, dim, index, source):
    """Replace the slices `index` of dimension `dim` by those of `source`."""
    d = _check_copy(input, dim, index, source)
    writable_apart(input, source)
    a, s = writable(input), resolve_bits(source)
    return mutate(_index_copy.record, (input, d, index, source),
                  lambda: _copy_index(a, d, index._a, s))


@primitive("index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
           vjp={"self": lambda g, dim, index: g.index_fill(dim, index, 0)})
def _index_fill(a, dim, index, value):
    out = fresh(a)
    _fill_index(out, dim, index, value)
    return out


@primitive("index_fill.int_Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor",
           node="IndexFillBackward1",
           vjp={"self": lambda g, dim, index: g.index_fill(dim, index, 0),
                "value": lambda g, dim, index: _filled_gradient(g, dim, index)})
def _index_fill_tensor(a, dim, index, value):
    out = fresh(a)
    _fill_index(out, dim, index, value)
    return out


def _filled_gradient(g, dim, index):
    """The sum of the gradient over the slices that were filled, each counted once."""
    if not g._a.ndim or type(index._a) is not _ndarray:
        return g.sum()
    return _index_select(g, dim, wrap(np.unique(index._a.reshape(-1)))).sum()


def _fill_index(out, dim, index, value):
    i = index.reshape(-1)
    target = out if out.ndim else out.reshape(1)
    shape = (*target.shape[:dim], i.size, *target.shape[dim + 1:])
    value = converted(np.asarray(value, _C64), out.dtype) if out.dtype.names else np.asarray(value, out.dtype)
    if walks.put_rows(target, dim, i, np.broadcast_to(value, shape), True):
        raise IndexError("index out of range in self")


def _fill_args(input, dim, index, value):
    d = wrap_dim(dim, input._a.ndim)
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index._a.ndim > 1:
        raise IndexError("Index has to be a vector/scalar")
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError("index_fill_ only supports a 0-dimensional value tensor, but got tensor "
                               f"with {value._a.ndim} dimension(s).")
        return d, value.to(input.dtype)
    if isinstance(value, complex) and not input.dtype.is_complex:
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not "
                           "supported")
    return d, number_for(input.dtype, value, True)


@public()
def index_fill(input, dim, index, value):
    """A copy with the slices `index` of dimension `dim` set to `value`."""
    d, value = _fill_args(input, dim, index, value)
    call = _index_fill_tensor if isinstance(value, Tensor) else _index_fill
    return call(input, d, index, value)


@public(name="index_fill_", namespaces=())
def index_fill_(input, dim, index, value):
    """Set the slices `index` of dimension `dim` to `value`."""
    d, value = _fill_args(input, dim, index, value)
    a = writable(input)
    if isinstance(value, Tensor):
        rec, v = _index_fill_tensor.record, value._a
    else:
        rec, v = _index_fill.record, value
    return mutate(rec, (input, d, index, value), lambda: _fill_index(a, d, index._a, v))


def _as_scatter_index(input, d, index, source):
    """Index of scatter_reduce for whole slices."""
    if not input._a.ndim:
        return index.reshape(())
    shape = [1] * source._a.ndim
    shape[d] = -1
    return index.reshape(shape).expand(source.shape)


@public(out=True)
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """Slices of `source` reduced (prod, mean, amax, amin) into the slices `index` of dimension `dim`."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError("index_reduce(): Expected reduce to be one of prod, mean, amax or amin but "
                           f"got {reduce}.")
    d = _check_add("index_reduce", input, dim, index, source)
    if type(index._a) is np.ndarray:
        _at(input._a, d, index._a)
    return _scatter_reduce(input, d, _as_scatter_index(input, d, index, source), source, reduce,
                           include_self)


@public(name="index_reduce_", namespaces=())
def index_reduce_(input, dim, index, source, reduce, *, include_self=True):
    """In-place version of :func:`index_reduce`."""
    return apply(index_reduce, input, (dim, index, source, reduce), {"include_self": include_self},
                 "index_reduce")


# ---------------------------------------------------------------- put

@primitive("put(Tensor self, Tensor index, Tensor source, bool accumulate) -> Tensor",
           vjp={"self": lambda g, index, source, accumulate:
                g if accumulate else g.put(index, source.new_zeros(source.shape), False),
                "source": lambda g, index, source_shape: _take(g, index).reshape(source_shape)})
def _put_flat(a, index, source, accumulate):
    out = fresh(a)
    _write_flat(out, index, source, accumulate)
    return out


def _write_flat(out, index, source, accumulate):
    flat = out.reshape(-1)
    i, source = index.reshape(-1), source.reshape(-1)
    bad = walks.combine_rows("add", flat, 0, i, source, True) if accumulate else walks.put_rows(
        flat, 0, i, source, True)
    if bad:
        raise beyond_elements(i, flat.size)
    if not out.flags.c_contiguous:
        out[...] = flat.reshape(out.shape)


def _check_put(input, index, source):
    if index.dtype is not dtypes.int64:
        raise RuntimeError("put_(): Expected a long tensor for index, but got "
                           f"{scalar_name(index.dtype)}")
    if input.dtype is not source.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype "
                           f"= {scalar_name(input.dtype)} and source.dtype = "
                           f"{scalar_name(source.dtype)}")
    if source._a.size != index._a.size:
        raise RuntimeError("put_(): Expected source and index to have the same number of elements, but "
                           f"got source.numel() = {source._a.size}, index.numel() = {index._a.size}")


@public()
def put(input, index, source, accumulate=False):
    """A copy with elements of the flattened tensor replaced by (or increased by) `source`."""
    _check_put(input, index, source)
    return _put_flat(input, index, source, accumulate)


@public(name="put_", namespaces=())
def put_(input, index, source, accumulate=False):
    """Replace (or increase) elements, addressed as in the flattened tensor."""
    _check_put(input, index, source)
    writable_apart(input, source)
    a, s = writable(input), resolve_bits(source)
    return mutate(_put_flat.record, (input, index, source, accumulate),
                  lambda: _write_flat(a, index._a, s, accumulate))
