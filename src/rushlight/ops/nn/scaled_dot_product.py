"""softmax(scale * q k^T + mask) v without its matrix of weights in memory.

Vaswani et al., arXiv:1706.03762. The kernels (``compiler.templates.attention``) take four dimensions (batch, heads,
positions, features) with any strides but adjacent features; gradients of gradients, masks that need gradients and
machines without compiled code take the formula itself.
"""

import math
import struct
from functools import lru_cache

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...record import Joint
from ...runtime.allocator import empty
from ..dispatch import needs_grad, primitive
from ..registry import function, public

_F = ("torch.nn.functional",)


@public(namespaces=_F, method=False)
def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False,
                                 scale=None, enable_gqa=False):
    """softmax(scale * query key^T + mask) value.

    query (..., l, e), key (..., s, e), value (..., s, v) -> (..., l, v). A bool mask keeps where True;
    another is added. is_causal masks the future; enable_gqa shares key heads among groups of query
    heads; scale is 1 / sqrt(e) unless given. Rows that are masked whole give zero. Memory grows with l + s;
    dropout takes a byte a weight on top.
    """
    if attn_mask is not None and is_causal:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when "
                           "is_causal=True")
    if not (query.dtype is key.dtype is value.dtype):
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead.")
    if hasattr(type(query._a), "attention"):
        return query._a.attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    dims = len(query._a.shape)
    if dims < 2 or key.dim() < 2 or value.dim() < 2:
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but got "
                           f"query.dim: {query.dim()}, key.dim: {key.dim()} and value.dim: "
                           f"{value.dim()} instead.")
    if attn_mask is not None and attn_mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                           f"attn_mask.dtype: {attn_mask.dtype} and  query.dtype: {query.dtype} instead.")
    scale = 1 / math.sqrt(query._a.shape[-1] or 1) if scale is None else float(scale)
    dropout_p = float(dropout_p)
    operands = _operands(query, key, value, attn_mask, enable_gqa)
    if operands is None or not 0 <= dropout_p < 1:
        return _formula(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    kept = None
    if dropout_p:
        # As dropout of the weights would draw it.
        shape = (*operands[0]._a.shape[:3], operands[1]._a.shape[2])
        kept = function("empty")(shape, dtype=dtypes.bool_, device=query.device).bernoulli_(1 - dropout_p)
    out = _attention(*operands, kept, dropout_p, bool(is_causal), scale)[0]
    if dims == 4:
        return out
    if dims < 4:
        return out.squeeze(0).squeeze(0) if dims == 2 else out.squeeze(1)
    return out.unflatten(0, query.shape[:-3])


_ready = {}


def _compiled(name):
    """Whether there are kernels for a dtype here."""
    found = _ready.get(name)
    if found is None:
        from ...compiler import available
        from ...runtime import cpu
        known = name in ("float32", "float64", "bfloat16") or name == "float16" and (
            cpu.has("f16c") or cpu.machine() == "aarch64")
        found = _ready[name] = known and available()
    return found


def _operands(query, key, value, mask, grouped):
    """The kernels' operands, (query, key, value, mask) in four dimensions, or None where the formula serves."""
    if not _compiled(query.dtype.name):
        return None
    qs, ks, vs = query._a.shape, key._a.shape, value._a.shape
    dims = len(qs)
    if mask is None and dims == 4 and qs == ks == vs and 0 not in qs:
        return query, key, value, None
    if mask is not None and needs_grad(mask) and state.grad:
        return None
    if len(ks) != dims or len(vs) != dims or ks[-2] != vs[-2] or qs[-1] != ks[-1]:
        return None
    for shape in (qs, ks, vs):
        if 0 in shape:
            return None
    if dims > 3 and grouped:
        if ks[-3] != vs[-3] or qs[-3] % ks[-3] or qs[:-3] != ks[:-3] or qs[:-3] != vs[:-3]:
            return None
    elif qs[:-2] != ks[:-2] or qs[:-2] != vs[:-2]:
        return None
    if mask is not None:
        full = (*qs[:-1], ks[-2])
        if mask.dim() > dims or any(m != n and m != 1 for m, n in zip(mask.shape[::-1], full[::-1])):
            return None
        if dims != 4 and mask.dim() > 2:
            mask = mask.expand(full)
    if dims == 4:
        return query, key, value, mask
    if dims == 2:
        return (*(x.unsqueeze(0).unsqueeze(0) for x in (query, key, value)), mask)
    if dims == 3:
        mask = mask.unsqueeze(1) if mask is not None and mask.dim() == 3 else mask
        return (*(x.unsqueeze(1) for x in (query, key, value)), mask)
    mask = mask.flatten(0, -4) if mask is not None and mask.dim() > 2 else mask
    return (*(x.flatten(0, -4) for x in (query, key, value)), mask)


# ---------------------------------------------------------------- formula

def _formula(query, key, value, mask, dropout_p, is_causal, scale, grouped):
    if query.dtype.is_low_precision:
        mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        return _formula(query.float(), key.float(), value.float(), mask, dropout_p, is_causal, scale,
                        grouped).to(query.dtype)
    if grouped:
        if query.shape[-3] % key.shape[-3] or query.shape[-3] % value.shape[-3]:
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    weights = _weights(query, key, mask, is_causal, scale)
    if dropout_p > 0.0:
        weights = function("dropout", "torch.nn.functional")(weights, dropout_p, True)
    return weights @ value


def _weights(query, key, mask, is_causal, scale):
    root = math.sqrt(abs(scale))
    q = query * (root if scale >= 0 else -root)
    scores = q @ (key.transpose(-2, -1) * root)
    if is_causal:
        mask = function("ones")(query.shape[-2], key.shape[-2], dtype=dtypes.bool_).tril()
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype is dtypes.bool_:
        scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(-1)
        blocked = ~mask.any(-1, keepdim=True)
        return weights.masked_fill(blocked, 0.0)
    scores = scores + mask
    weights = scores.softmax(-1)
    blocked = (scores == float("-inf")).all(-1, keepdim=True)
    if bool(blocked.any()):
        weights = weights.masked_fill(blocked, 0.0)
    return weights


def _grads(g0, query, key, value, attn_mask, kept, dropout_p, is_causal, scale, out0, out1, needs):
    if not state.grad:
        return (*_attention_backward(g0, query, key, value, attn_mask, kept, dropout_p, is_causal, scale, out0, out1),
                None, None)
    types = query.dtype
    if types.is_low_precision:
        g0, query, key, value = g0.float(), query.float(), key.float(), value.float()
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.float()
    b, heads, l, e = query.shape
    group = heads // key.shape[1]

    def repeated(x):
        return x if group == 1 else x.repeat_interleave(group, 1)

    def summed(x):
        return x if group == 1 else x.unflatten(1, (heads // group, group)).sum(2)
    k = repeated(key)
    weights = _weights(query, k, attn_mask, is_causal, scale)
    factor = None if kept is None else kept.to(weights.dtype) * (1 / (1 - dropout_p))
    applied = weights if factor is None else weights * factor
    dv = applied.transpose(-2, -1) @ g0
    dw = g0 @ repeated(value).transpose(-2, -1)
    dw = dw if factor is None else dw * factor
    ds = weights * (dw - (dw * weights).sum(-1, True)) * scale
    return (*(x.to(types) for x in (ds @ k, summed(ds.transpose(-2, -1) @ query), summed(dv))), None, None)


# ---------------------------------------------------------------- kernels

def _bits(x):
    return struct.unpack("q", struct.pack("d", x))[0]


def _order(strides):
    """The order of the first three dimensions in memory, outermost first."""
    return tuple(sorted(range(3), key=lambda axis: -abs(strides[axis])))


def _blank(shape, order, dtype):
    """An array whose dimensions but the last lie in memory in an order."""
    if order == (0, 1, 2):
        return empty(shape, dtype)
    a = empty(tuple([shape[axis] for axis in order]) + shape[3:], dtype)
    return a.transpose([order.index(axis) for axis in range(3)] + [3])


def _strides(shape, order, size):
    """Byte strides of ``_blank``'s first three dimensions."""
    out, step = [0, 0, 0], shape[3] * size
    for axis in reversed(order):
        out[axis] = step
        step *= shape[axis]
    return out


def _adjacent(a):
    """The array itself if its last dimension is adjacent in memory, else a copy."""
    return a if a.strides[-1] == a.itemsize or a.shape[-1] == 1 else np.ascontiguousarray(a)


def _mask_operand(mask, shape, wide):
    """(mask over the whole shape, kind): what isn't boolean is of the type the scores have."""
    if mask is None:
        return None, 0
    kind = 2 if mask.dtype == np.bool_ else 1
    if kind == 1 and mask.dtype != wide:
        mask = mask.astype(wide)
    mask = np.broadcast_to(mask, mask.shape[:-1] + shape[-1:])
    if mask.strides[-1] != mask.itemsize and shape[-1] > 1:
        mask = np.ascontiguousarray(mask)
    return np.broadcast_to(mask, shape), kind


_SPREAD = 16            # tasks from which the queries of a head stay together
_CHUNKS = (504, 252, 126, 70)


def _block(tk, features, size, bytes_):
    """Keys of a block: as many as fit the bytes, in steps of 32."""
    return min(max(32, min(256, bytes_ // (features * size) // 32 * 32)), -(-tk // 32) * 32)


@lru_cache(512)
def _forward_plan(qs, ks, vs, q_strides, k_strides, v_strides, mask_strides, kind, causal, scale, keep, size, wide):
    (b, h, tq, d), (_, hk, tk, _), e = qs, ks, vs[3]
    # Laid out as the queries, but where PyTorch multiplies matrices: then in C order.
    order = (0, 1, 2) if h == 1 or d != e or keep != 1 else _order(q_strides)
    chunk = next((c for c in _CHUNKS if b * h * -(-tq // c) >= _SPREAD), _CHUNKS[-1])
    words = (b, h, h // hk, tq, tk, d, e, kind, causal, _bits(scale), _bits(keep), *q_strides[:3], *k_strides[:3],
             *v_strides[:3], *_strides((b, h, tq, e), order, size), *mask_strides, min(chunk, tq), -(-tq // chunk),
             _block(tk, d + e, wide, 1 << 17))
    return order, np.array(words, np.int64)


@lru_cache(512)
def _backward_plan(qs, ks, vs, q_strides, k_strides, v_strides, out_strides, g_strides, mask_strides, kind, causal,
                   scale, keep, size, wide, threads, grads):
    (b, h, tq, d), (_, hk, tk, _), e = qs, ks, vs[3]
    orders = [_order(s) for s in (q_strides, k_strides, v_strides)]
    if grads is None:
        grads = [_strides(s, o, size) for s, o in zip((qs, ks, vs), orders)]
    block, q_block = _block(tk, d + e, wide, 1 << 16), min(64, tq)
    common = (b, h, h // hk, tq, tk, d, e, kind, causal, _bits(scale), _bits(keep), *q_strides[:3], *k_strides[:3],
              *v_strides[:3], *out_strides[:3], *mask_strides, *g_strides[:3], *grads[0], *grads[1], *grads[2])
    # Few heads: keys and queries in two rounds, which costs two products in five more but shares out better.
    heads = b * hk
    if threads == 1 or heads % threads == 0 or heads >= 4 * threads:
        ways = ((0, 1),)
    else:
        parts = -(-4 * threads // heads)
        ways = ((1, min(parts, -(-tk // block))), (2, min(parts, -(-tq // q_block))))
    return orders, [np.array((*common, *way, q_block, block), np.int64) for way in ways]


def _facts(q, mask, kind, scale, dropout_p):
    keep = 1 / (1 - dropout_p)
    size = q.itemsize
    return (0, 0, 0) if mask is None else mask.strides[:3], scale, keep, size, max(size, 4)


def _shapes(query, key, value, attn_mask, kept, dropout_p, is_causal, scale):
    b, h, l = query.shape[:3]
    wide = dtypes.float32 if query.dtype.is_low_precision else query.dtype
    return ((b, h, l, value.shape[3]), query.dtype), ((b, h, l), wide)


@primitive("_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, Tensor? attn_mask, "
           "Tensor? kept, float dropout_p, bool is_causal, float scale) -> (Tensor, Tensor)", vjp=Joint(_grads),
           meta=_shapes, node="ScaledDotProductFlashAttentionForCpuBackward0")
def _attention(q, k, v, mask, kept, dropout_p, causal, scale):
    """(softmax(scale * q k^T + mask) * kept / (1 - p) @ v, log of the sums of exponentials)."""
    from ...compiler.templates import attention
    q, k, v = _adjacent(q), _adjacent(k), _adjacent(v)
    wide = np.dtype(np.float64 if q.dtype.itemsize == 8 else np.float32)
    b, h, tq, _ = q.shape
    mask, kind = _mask_operand(mask, (b, h, tq, k.shape[2]), wide)
    mask_strides, scale, keep, size, wide_size = _facts(q, mask, kind, scale, dropout_p)
    order, words = _forward_plan(q.shape, k.shape, v.shape, q.strides, k.strides, v.strides, mask_strides, kind, causal,
                                 scale, keep, size, wide_size)
    out = _blank((b, h, tq, v.shape[3]), order, q.dtype)
    lse = empty((b, h, tq), wide)
    attention.kernel(dtypes.BY_NP[q.dtype].name)(out, lse, q, k, v, mask, kept, words)
    return out, lse


@primitive("_scaled_dot_product_flash_attention_for_cpu_backward(Tensor grad_out, Tensor query, Tensor key, "
           "Tensor value, Tensor? attn_mask, Tensor? kept, float dropout_p, bool is_causal, float scale, Tensor out, "
           "Tensor logsumexp) -> (Tensor, Tensor, Tensor)", vjp={},
           meta=lambda g, q, k, v, *_: tuple((x.shape, x.dtype) for x in (q, k, v)))
def _attention_backward(g, q, k, v, mask, kept, dropout_p, causal, scale, out, lse):
    """Gradients of query, key and value."""
    return gradients_into(None, g, q, k, v, mask, kept, dropout_p, causal, scale, out, lse)


def gradients_into(grads, g, q, k, v, mask, kept, dropout_p, causal, scale, out, lse):
    """Gradients of query, key and value, written to three arrays with adjacent features, or to new ones for None."""
    from ...compiler.templates import attention_backward
    from ...runtime.threadpool import get_num_threads
    g, q, k, v, out = (_adjacent(a) for a in (g, q, k, v, out))
    mask, kind = _mask_operand(mask, (*q.shape[:3], k.shape[2]), lse.dtype)
    mask_strides, scale, keep, size, wide_size = _facts(q, mask, kind, scale, dropout_p)
    orders, rounds = _backward_plan(q.shape, k.shape, v.shape, q.strides, k.strides, v.strides, out.strides, g.strides,
                                    mask_strides, kind, causal, scale, keep, size, wide_size, get_num_threads(),
                                    None if grads is None else tuple([x.strides[:3] for x in grads]))
    if grads is None:
        grads = [_blank(x.shape, order, x.dtype) for x, order in zip((q, k, v), orders)]
    call = attention_backward.kernel(dtypes.BY_NP[q.dtype].name)
    for words in rounds:
        call(*grads, g, out, lse, q, k, v, mask, kept, words)
    return tuple(grads)
