"""Writing through masks: masked_fill and masked_scatter."""

import numpy as np

from .. import dtypes
from ..dtypes import scalar_name
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import broadcast_shapes, can_expand
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, resolve_bits, wrap
from .copy import fresh
from .creation import number_for
from .dispatch import primitive
from .indexing import mutate, writable
from .inplace import apply
from .overlap import one_block, single
from .registry import public
from .selection import Mask, fill

_FEW_BYTES = 4096               # bytes for which NumPy's copy and write start sooner than our kernel


def _one_value(value, name):
    if isinstance(value, Tensor) and value._a.ndim:
        raise RuntimeError(f"{name} only supports a 0-dimensional value tensor, but got tensor with "
                           f"{value._a.ndim} dimension(s).")


# ---------------------------------------------------------------- masked_fill

@primitive("masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor",
           vjp={"self": lambda g, mask: g.masked_fill(mask, 0)})
def _masked_fill(a, mask, value):
    return _filled(a, mask, value)


@primitive("masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor",
           node="MaskedFillBackward1",
           vjp={"self": lambda g, mask: g.masked_fill(mask, 0),
                "value": lambda g, mask: g.where(mask, g.new_zeros(())).sum()})
def _masked_fill_tensor(a, mask, value):
    return _filled(a, mask, value)


def _filled(a, mask, value):
    if a.dtype.names and not isinstance(value, np.ndarray):
        from ..tensor.halfcomplex import narrowed
        value = narrowed(np.array(complex(value)))
    if a.nbytes < _FEW_BYTES and watch.observer is None and a.shape == mask.shape and a.flags.c_contiguous and \
            type(value) is not np.ndarray:
        out = a.copy()
        np.putmask(out, mask, value)
        return out
    if a.shape == mask.shape or can_expand(mask.shape, a.shape):
        from .pointwise.core import result_array
        out = result_array([a], a.dtype)
    else:
        shape = np.broadcast_shapes(a.shape, mask.shape)
        out, a = empty(shape, a.dtype), np.broadcast_to(a, shape)
    fill(out, a, mask, value)
    return out


def _mask(mask):
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype "
                           f"{_cname(mask.dtype)}")


def _cname(d):
    from .matmul import _CPP
    return _CPP.get(d.name, d.name)


def _fill_value(input, value):
    _one_value(value, "masked_fill_")
    if isinstance(value, Tensor):
        if value.dtype.is_complex and not input.dtype.is_complex:
            raise RuntimeError(f"value cannot be converted to type {input.dtype!r} without overflow")
        return value
    return number_for(input.dtype, value, True)


@public()
def masked_fill(input, mask, value):
    """A copy with `value` where `mask` is True."""
    _mask(mask)
    value = _fill_value(input, value)
    if input._a.shape != mask._a.shape:
        broadcast_shapes(mask._a.shape, input._a.shape)
    if isinstance(value, Tensor):
        return _masked_fill_tensor(input, mask, value)
    return _masked_fill(input, mask, value)


@public(name="masked_fill_", namespaces=())
def masked_fill_(input, mask, value):
    """Write `value` where `mask` is True."""
    _mask(mask)
    value = _fill_value(input, value)
    _fits(mask._a.shape, input._a.shape)
    if input.is_meta:
        return input
    if isinstance(value, Tensor):
        rec, v = _masked_fill_tensor.record, resolve_bits(value)
    else:
        rec, v = _masked_fill.record, value
    if input._bits & 3:
        return apply(masked_fill, input, (mask, value), {}, "masked_fill")
    return mutate(rec, (input, mask, value), lambda: fill(input._a, input._a, mask._a, v))


def _fits(shape, target):
    if not can_expand(shape, target):
        from .views import expanded
        expanded(wrap(MetaArray(shape, np.dtype(bool))), target)


# ---------------------------------------------------------------- masked_scatter

@primitive("masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor",
           vjp={"self": lambda g, mask: g.masked_fill(mask, 0),
                "source": lambda g, mask, source_shape: _masked_source(g, mask, source_shape)})
def _masked_scatter(a, mask, source):
    shape = np.broadcast_shapes(a.shape, mask.shape)
    out = fresh(np.broadcast_to(a, shape))
    _scatter_mask(out, np.broadcast_to(mask, shape), source)
    return out


def _scatter_mask(out, mask, source):
    mask = Mask(mask)
    if mask.total > source.size:
        raise RuntimeError("masked_scatter: expected `self.numel()` >= number of ones in mask: the "
                           f"source has {source.size} elements, the mask {mask.total}")
    # An array with even steps reshapes to a vector that keeps them.
    mask.spread(out, np.ascontiguousarray(source.reshape(-1)))


def _masked_source(g, mask, shape):
    n = 1
    for s in shape:
        n *= s
    picked = g.masked_select(mask)
    k = picked._a.shape[0]
    if k < n:
        from .joining import cat
        picked = cat([picked, picked.new_zeros((n - k,))])
    return picked.reshape(shape)


def _masked_scatter_check(input, mask, source):
    if input.dtype is not source.dtype:
        raise RuntimeError("masked_scatter_: expected self and source to have same dtypes but got"
                           f"{scalar_name(input.dtype)} and {scalar_name(source.dtype)}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype "
                           f"{scalar_name(mask.dtype)}")


@public()
def masked_scatter(input, mask, source):
    """A copy with consecutive elements of `source` where `mask` is True."""
    _masked_scatter_check(input, mask, source)
    broadcast_shapes(input._a.shape, mask._a.shape)
    return _masked_scatter(input, mask, source)


@public(name="masked_scatter_", namespaces=())
def masked_scatter_(input, mask, source):
    """Write consecutive elements of `source` where `mask` is True."""
    _masked_scatter_check(input, mask, source)
    _fits(mask._a.shape, input._a.shape)
    single(input)
    a = writable(input)
    s = resolve_bits(source)
    if one_block(input, source):
        s = s.copy()
    return mutate(_masked_scatter.record, (input, mask, source),
                  lambda: _scatter_mask(a, np.broadcast_to(mask._a, a.shape), s))
