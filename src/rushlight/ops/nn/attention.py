"""Multi-head attention over packed projections. Vaswani et al., arXiv:1706.03762."""

import math

from ... import dtypes
from ..registry import FUNCTIONS, function, public
from .scaled_dot_product import scaled_dot_product_attention

_F = ("torch.nn.functional",)


def _canonical(mask, name, other, other_name, target, check_other=True):
    """A bool or float mask as a float mask of type `target` (True means ignore)."""
    if mask is None:
        return None
    if mask.dtype is not dtypes.bool_ and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if mask.dtype is dtypes.bool_:
        zeros = function("zeros_like")(mask, dtype=target)
        return zeros.masked_fill_(mask, float("-inf"))
    return mask


FUNCTIONS.setdefault("torch.nn.functional", {})["_canonical_mask"] = (
    lambda mask, mask_name, other_type, other_name, target_type, check_other=True:
    _canonical(mask, mask_name, other_type, other_name, target_type, check_other))
FUNCTIONS["torch.nn.functional"]["_none_or_dtype"] = lambda t: None if t is None else t.dtype


def _project(query, key, value, w, b):
    """The three by parts of one weight; what is the same tensor is multiplied at once."""
    linear = function("linear", "torch.nn.functional")
    e = query.shape[-1]
    if key is value:
        if query is key:
            return linear(query, w, b).chunk(3, -1)
        wq, wkv = w.split([e, e * 2])
        bq, bkv = (None, None) if b is None else b.split([e, e * 2])
        return linear(query, wq, bq), *linear(key, wkv, bkv).chunk(2, -1)
    ws = w.chunk(3)
    bs = (None,) * 3 if b is None else b.chunk(3)
    return tuple(linear(x, wi, bi) for x, wi, bi in zip((query, key, value), ws, bs))


def _project_apart(query, key, value, weights, bias):
    """The three by a weight each; the sizes of key and value may differ but for sequence and batch."""
    if key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    linear = function("linear", "torch.nn.functional")
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))


def _heads(x, heads):
    """(l, n, heads * head) as a view (n, heads, l, head)."""
    return x.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)


def _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads):
    if query.dim() == 3:
        if key.dim() != 3 or value.dim() != 3:
            raise AssertionError("For batched (3-D) `query`, expected `key` and `value` to be 3-D but "
                                 f"found {key.dim()}-D and {value.dim()}-D tensors respectively")
        if key_padding_mask is not None and key_padding_mask.dim() != 2:
            raise AssertionError("For batched (3-D) `query`, expected `key_padding_mask` to be `None` or "
                                 f"2-D but found {key_padding_mask.dim()}-D tensor instead")
        if attn_mask is not None and attn_mask.dim() not in (2, 3):
            raise AssertionError("For batched (3-D) `query`, expected `attn_mask` to be `None`, 2-D or "
                                 f"3-D but found {attn_mask.dim()}-D tensor instead")
        return True
    if query.dim() == 2:
        if key.dim() != 2 or value.dim() != 2:
            raise AssertionError("For unbatched (2-D) `query`, expected `key` and `value` to be 2-D but "
                                 f"found {key.dim()}-D and {value.dim()}-D tensors respectively")
        if key_padding_mask is not None and key_padding_mask.dim() != 1:
            raise AssertionError("For unbatched (2-D) `query`, expected `key_padding_mask` to be `None` "
                                 f"or 1-D but found {key_padding_mask.dim()}-D tensor instead")
        if attn_mask is not None:
            if attn_mask.dim() not in (2, 3):
                raise AssertionError("For unbatched (2-D) `query`, expected `attn_mask` to be `None`, "
                                     f"2-D or 3-D but found {attn_mask.dim()}-D tensor instead")
            if attn_mask.dim() == 3 and tuple(attn_mask.shape) != (num_heads, query.shape[0],
                                                                   key.shape[0]):
                raise AssertionError(f"Expected `attn_mask` shape to be "
                                     f"{(num_heads, query.shape[0], key.shape[0])} but got "
                                     f"{attn_mask.shape}")
        return False
    raise AssertionError("query should be unbatched 2D or batched 3D tensor but received "
                         f"{query.dim()}-D query tensor")


@public(namespaces=_F, method=False)
def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v,
        add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None,
        need_weights=True, attn_mask=None, use_separate_proj_weight=False, q_proj_weight=None,
        k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True,
        is_causal=False):
    """Multi-head attention over (l, n, e) query and (s, n, e) key and value.

    Returns (output (l, n, e), weights (n, l, s), or a head each, or None).
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _as_batch(query, key, value)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    tgt, n, e = query.shape
    key_padding_mask = _canonical(key_padding_mask, "key_padding_mask", None, "", query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _canonical(attn_mask, "attn_mask", None, "", query.dtype)
        if key_padding_mask is not None:
            is_causal = False
    if e != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {e}")
    head = e // num_heads
    if head * num_heads != e:
        raise AssertionError(f"embed_dim {e} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        q, k, v = _project_apart(query, key, value, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _as_batch_of_masks(attn_mask, n * num_heads, tgt, key.shape[0])
    cat = function("cat")
    if bias_k is not None and bias_v is not None:
        k, v = cat([k, bias_k.repeat(1, n, 1)]), cat([v, bias_v.repeat(1, n, 1)])
        attn_mask, key_padding_mask = _one_more_key(attn_mask), _one_more_key(key_padding_mask)
    q = _heads(q, num_heads)
    k = _heads(k, num_heads) if static_k is None else static_k.unflatten(0, (n, num_heads))
    v = _heads(v, num_heads) if static_v is None else static_v.unflatten(0, (n, num_heads))
    if add_zero_attn:
        zeros = k.new_zeros((n, num_heads, 1, head))
        k, v = cat([k, zeros], 2), cat([v, zeros], 2)
        attn_mask, key_padding_mask = _one_more_key(attn_mask), _one_more_key(key_padding_mask)
    attn_mask = _with_padding(attn_mask, key_padding_mask, n, num_heads, k.shape[2])
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        out, weights = _weighed(q, k, v, attn_mask, dropout_p)
        if average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            weights = weights.squeeze(0)
    else:
        if attn_mask is not None:
            attn_mask = attn_mask.unsqueeze(0) if attn_mask.shape[0] == 1 and attn_mask.dim() == 3 else \
                attn_mask.reshape(n, num_heads, -1, k.shape[2])
        out = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        out = out.permute(2, 0, 1, 3).contiguous().reshape(n * tgt, e)
    out = function("linear", "torch.nn.functional")(out, out_proj_weight, out_proj_bias).reshape(tgt, n, -1)
    return out if batched else out.squeeze(1), weights


def _as_batch(query, key, value):
    """The three as batches of one; what is the same tensor stays one."""
    self_attention, same = query is key, key is value
    query, one, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
    key = query if self_attention else one
    return query, key, key if same else value


def _as_batch_of_masks(mask, count, tgt, src):
    """A mask (tgt, src) as (1, tgt, src); RuntimeError unless it is that or (count, tgt, src)."""
    if mask is None:
        return None
    if mask.dim() == 2:
        if tuple(mask.shape) != (tgt, src):
            raise RuntimeError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {(tgt, src)}.")
        return mask.unsqueeze(0)
    if tuple(mask.shape) != (count, tgt, src):
        raise RuntimeError(f"The shape of the 3D attn_mask is {mask.shape}, but should be {(count, tgt, src)}.")
    return mask


def _one_more_key(mask):
    """A mask that lets a key at the end be seen."""
    return None if mask is None else function("pad", "torch.nn.functional")(mask, (0, 1))


def _with_padding(mask, key_padding_mask, n, heads, src):
    """The mask (n heads or 1, tgt or 1, src) that ignores padded keys (n, src) as well."""
    if key_padding_mask is None:
        return mask
    if tuple(key_padding_mask.shape) != (n, src):
        raise AssertionError(f"expecting key_padding_mask shape of {(n, src)}, but got {key_padding_mask.shape}")
    m = key_padding_mask.reshape(n, 1, 1, src).expand(-1, heads, -1, -1).reshape(n * heads, 1, src)
    return m if mask is None else mask + m


def _weighed(q, k, v, mask, dropout_p):
    """(output (tgt n, e), weights (n, heads, tgt, src)) of queries, keys and values (n, heads, length, head)."""
    n, heads, tgt, head = q.shape
    src = k.shape[2]
    q, k, v = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
    scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1)
    if dropout_p > 0.0:
        weights = function("dropout", "torch.nn.functional")(weights, dropout_p)
    out = (weights @ v).transpose(0, 1).contiguous().reshape(tgt * n, heads * head)
    return out, weights.reshape(n, heads, tgt, src)
