"""``torch.onnx.ops``: ONNX operators as functions of tensors."""

import math

import rushlight as torch
from rushlight.autograd.modes import state

from .tracing import TraceLevel

_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
          10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16"}


def aten_decompositions():
    """Functions that take ops apart before an export, by operator: none, as ops are mapped as they are."""
    return {}


def symbolic(domain_op, /, inputs, attrs=None, *, dtype, shape, version=None, metadata_props=None):
    """A node of any operator in an exported graph; zeros when it is run.

    Args:
        domain_op (str): ``"domain::Operator"``, or ``"Operator"`` of ONNX's own.
        inputs: tensors, None for those that are left out.
        attrs (dict): the node's attributes: numbers, texts, lists of them.
        dtype: of the result (or its number in ONNX). shape: of the result.
        version (int): of the domain.
    """
    return symbolic_multi_out(domain_op, inputs, attrs, dtypes=[dtype], shapes=[shape], version=version,
                              metadata_props=metadata_props)[0]


def symbolic_multi_out(domain_op, /, inputs, attrs=None, *, dtypes, shapes, version=None, metadata_props=None):
    """Like `symbolic`, for several results, which come as a list."""
    if len(dtypes) != len(shapes):
        raise RuntimeError(f"Number of dtypes ({len(dtypes)}) must match number of shapes ({len(shapes)}).")
    kinds = [getattr(torch, _TYPES[d]) if isinstance(d, int) else d for d in dtypes]
    level = next((x for x in reversed(state.levels) if isinstance(x, TraceLevel)), None)
    if level is None:
        return [torch.zeros(tuple(s), dtype=d) for s, d in zip(shapes, kinds)]
    return level.results("#symbolic", (domain_op, [level.value(x) for x in inputs], dict(attrs or {}), version),
                         [(tuple(s), d) for s, d in zip(shapes, kinds)])


def rotary_embedding(X, cos_cache, sin_cache, position_ids=None, *, interleaved=False, num_heads=0,
                     rotary_embedding_dim=0):
    """Rotary position embedding (opset 23's RotaryEmbedding): pairs of features turned by the angles of positions.

    Args:
        X: (batch, heads, length, size), or (batch, length, hidden) with `num_heads`.
        cos_cache, sin_cache: (positions, size / 2) with `position_ids`, else (batch, length, size / 2).
        position_ids: (batch, length).
        interleaved (bool): pairs are neighbours; else the first half goes with the second.
        rotary_embedding_dim (int): how many features are turned; 0: all.
    """
    flat = X.dim() == 3
    if flat:
        if not num_heads:
            raise RuntimeError("rotary_embedding: num_heads is needed for an input of three dimensions")
        batch, length, hidden = X.shape
        X = X.reshape(batch, length, num_heads, hidden // num_heads).transpose(1, 2)
    size = rotary_embedding_dim or X.shape[-1]
    turned, rest = X[..., :size], X[..., size:]
    cos, sin = (c if position_ids is None else c[position_ids] for c in (cos_cache, sin_cache))
    cos, sin = cos[..., :size // 2].unsqueeze(1), sin[..., :size // 2].unsqueeze(1)
    a, b = (turned[..., 0::2], turned[..., 1::2]) if interleaved else (turned[..., :size // 2], turned[..., size // 2:])
    first, second = cos * a - sin * b, sin * a + cos * b
    out = torch.stack([first, second], -1).flatten(-2) if interleaved else torch.cat([first, second], -1)
    out = torch.cat([out, rest], -1) if rest.shape[-1] else out
    return out.transpose(1, 2).reshape(batch, length, hidden) if flat else out


def attention(Q, K, V, attn_mask=None, past_key=None, past_value=None, *, is_causal=False, kv_num_heads=0,
              q_num_heads=0, qk_matmul_output_mode=0, scale=None, softcap=0.0, softmax_precision=None):
    """Scaled dot-product attention (opset 23's Attention).

    Args:
        Q, K, V: (batch, heads, length, size), or (batch, length, hidden) with `q_num_heads` and `kv_num_heads`.
        attn_mask: added to the scores, or bool: where to look. past_key, past_value: go before K and V.
        is_causal (bool): each position looks at earlier ones only. scale: of the scores; default 1/sqrt(size).
        softcap: bounds scores to ± it. qk_matmul_output_mode: what is returned of the scores: 0 as they are,
            1 with the mask, 2 bounded too, 3 the weights. softmax_precision: type of the softmax.

    Returns:
        (output, present key, present value, scores)
    """
    flat = Q.dim() == 3
    if flat:
        if not q_num_heads or not kv_num_heads:
            raise RuntimeError("attention: q_num_heads and kv_num_heads are needed for inputs of three dimensions")
        batch, length, _ = Q.shape
        Q = Q.reshape(batch, length, q_num_heads, -1).transpose(1, 2)
        K, V = (x.reshape(x.shape[0], x.shape[1], kv_num_heads, -1).transpose(1, 2) for x in (K, V))
    if past_key is not None:
        K = torch.cat([past_key, K], 2)
    if past_value is not None:
        V = torch.cat([past_value, V], 2)
    present = K, V
    groups = Q.shape[1] // K.shape[1]
    if groups > 1:
        K, V = K.repeat_interleave(groups, 1), V.repeat_interleave(groups, 1)
    factor = 1 / math.sqrt(Q.shape[-1]) if scale is None else scale
    scores = (Q * math.sqrt(factor)) @ (K * math.sqrt(factor)).transpose(-2, -1)
    raw = scores
    if is_causal:
        n, m = scores.shape[-2:]
        scores = scores.masked_fill(torch.ones(n, m).triu(1) > 0, float("-inf"))
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype is torch.bool else scores + attn_mask
    masked = scores
    if softcap > 0:
        scores = softcap * torch.tanh(scores / softcap)
    kind = None if softmax_precision is None else getattr(torch, _TYPES[softmax_precision])
    weights = torch.softmax(scores, -1, dtype=kind).to(V.dtype)
    out = weights @ V
    if flat:
        out = out.transpose(1, 2).reshape(batch, length, -1)
    return out, *present, (raw, masked, scores, weights)[qk_matmul_output_mode]
