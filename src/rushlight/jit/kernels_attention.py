"""The fused operators of attention layers that PyTorch's compiled layers call in evaluation."""

import math

import rushlight as torch
from rushlight.nn import functional as F


def attention(query, key, value, embed_dim, num_head, qkv_weight, qkv_bias, proj_weight, proj_bias, mask=None,
              need_weights=True, average_attn_weights=True, mask_type=None):
    """Multi-head attention of (N, L, E); mask_type says what a true in `mask` leaves out.

    0: (L, S) for all, 1: (N, S) keys, 2: (N, heads, L, S).
    """
    n, length, width = query.shape
    head = width // num_head
    parts = zip((query, key, value), qkv_weight.chunk(3), qkv_bias.chunk(3))
    q, k, v = (F.linear(x, w, b).reshape(n, -1, num_head, head).transpose(1, 2) for x, w, b in parts)
    scores = q @ k.transpose(-2, -1) / math.sqrt(head)
    if mask is not None:
        if mask_type == 1 or mask_type is None and mask.dim() == 2 and mask.shape[0] == n:
            mask = mask.reshape(n, 1, 1, -1)
        scores = scores.masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1)
    out = F.linear((weights @ v).transpose(1, 2).reshape(n, length, width), proj_weight, proj_bias)
    if not need_weights:
        return out, None
    return out, weights.mean(1) if average_attn_weights else weights


def encoder_layer(src, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu, norm_first, eps,
                  norm_weight_1, norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1, ffn_bias_1, ffn_weight_2,
                  ffn_bias_2, mask=None, mask_type=None):
    """A Transformer encoder layer without dropout, of (N, L, E)."""
    def own(x):
        return attention(x, x, x, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, False, True,
                         mask_type)[0]

    def feed(x):
        hidden = F.linear(x, ffn_weight_1, ffn_bias_1)
        return F.linear(F.gelu(hidden) if use_gelu else F.relu(hidden), ffn_weight_2, ffn_bias_2)

    def first(x):
        return F.layer_norm(x, (embed_dim,), norm_weight_1, norm_bias_1, eps)

    def second(x):
        return F.layer_norm(x, (embed_dim,), norm_weight_2, norm_bias_2, eps)
    if norm_first:
        x = src + own(first(src))
        return x + feed(second(x))
    x = first(src + own(src))
    return second(x + feed(x))


def _nested(*args):
    raise NotImplementedError("nested tensors in compiled Transformer encoders")


FUNCTIONS = {"aten::_native_multi_head_attention": attention, "aten::_transformer_encoder_layer_fwd": encoder_layer,
             # No mask counts as one whose padding can be cut out: padding is masked.
             "aten::_nested_tensor_from_mask_left_aligned": lambda t, mask: False,
             "aten::_nested_tensor_from_mask": _nested}
