"""Activations, dropout, normalization, padding and the like in the script language."""


from __future__ import annotations

import rushlight as torch
from rushlight import Tensor

from .operators import BroadcastingList2
from .operators import aten as _aten


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = torch.relu_(input)
    else:
        result = torch.relu(input)
    return result


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.hardtanh_(input, 0.0, 6.0)
    else:
        result = _aten.hardtanh(input, 0.0, 6.0)
    return result


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        result = _aten.hardtanh_(input, min_val, max_val)
    else:
        result = _aten.hardtanh(input, min_val, max_val)
    return result


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.leaky_relu_(input, negative_slope)
    else:
        result = _aten.leaky_relu(input, negative_slope)
    return result


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.elu_(input, alpha)
    else:
        result = _aten.elu(input, alpha)
    return result


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = torch.selu_(input)
    else:
        result = torch.selu(input)
    return result


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    if inplace:
        result = torch.celu_(input, alpha)
    else:
        result = torch.celu(input, alpha)
    return result


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.silu_(input)
    else:
        result = _aten.silu(input)
    return result


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.mish_(input)
    else:
        result = _aten.mish(input)
    return result


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.hardswish_(input)
    else:
        result = _aten.hardswish(input)
    return result


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.hardsigmoid_(input)
    else:
        result = _aten.hardsigmoid(input)
    return result


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    if inplace:
        result = _aten.threshold_(input, threshold, value)
    else:
        result = _aten.threshold(input, threshold, value)
    return result


def rrelu(input: Tensor, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False,
          inplace: bool = False) -> Tensor:
    if inplace:
        result = torch.rrelu_(input, lower, upper, training)
    else:
        result = torch.rrelu(input, lower, upper, training)
    return result


def glu(input: Tensor, dim: int = -1) -> Tensor:
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    return _aten.glu(input, dim)


def tanhshrink(input: Tensor) -> Tensor:
    return input - input.tanh()


def softsign(input: Tensor) -> Tensor:
    return input / (input.abs() + 1)


def logsigmoid(input: Tensor) -> Tensor:
    return _aten.log_sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    return input.sigmoid()


def _softmax_dim(n_dims: int) -> int:
    if n_dims == 0 or n_dims == 1 or n_dims == 3:
        dim = 0
    else:
        dim = 1
    return dim


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    if dim is None:
        dim = _softmax_dim(input.dim())
    if dtype is None:
        result = input.softmax(dim)
    else:
        result = input.softmax(dim, dtype=dtype)
    return result


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3,
                dtype: torch.dtype | None = None) -> Tensor:
    if dim is None:
        dim = _softmax_dim(input.dim())
    if dtype is None:
        result = input.log_softmax(dim)
    else:
        result = input.log_softmax(dim, dtype=dtype)
    return result


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    if dim is None:
        dim = _softmax_dim(input.dim())
    if dtype is None:
        result = (-input).softmax(dim)
    else:
        result = (-input).softmax(dim, dtype=dtype)
    return result


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    gumbels = -torch.empty_like(logits).exponential_().log()
    soft = ((logits + gumbels) / tau).softmax(dim)
    if hard:
        index = soft.max(dim, keepdim=True)[1]
        one_hot = torch.zeros_like(logits).scatter_(dim, index, 1.0)
        result = one_hot - soft.detach() + soft
    else:
        result = soft
    return result


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if inplace:
        result = torch.dropout_(input, p, training)
    else:
        result = torch.dropout(input, p, training)
    return result


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    if inplace:
        result = torch.alpha_dropout_(input, p, training)
    else:
        result = torch.alpha_dropout(input, p, training)
    return result


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    return torch.feature_alpha_dropout(input, p, training)


def _channel_dropout(input: Tensor, p: float, training: bool) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return torch.feature_dropout(input, p, training)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if input.dim() == 2:
        result = _channel_dropout(input.unsqueeze(0), p, training).squeeze(0)
    else:
        result = _channel_dropout(input, p, training)
    return result


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _channel_dropout(input, p, training)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if input.dim() == 4:
        result = _channel_dropout(input.unsqueeze(0), p, training).squeeze(0)
    else:
        result = _channel_dropout(input, p, training)
    return result


def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
               weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    if training:
        size = input.size()
        count = size[0]
        for i in range(len(size) - 2):
            count = count * size[i + 2]
        if count == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")
    return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, True)


def instance_norm(input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
                  weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    return torch.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, True)


def layer_norm(input: Tensor, normalized_shape: list[int], weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    return torch.layer_norm(input, normalized_shape, weight, bias, eps, True)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    return torch.group_norm(input, num_groups, weight, bias, eps, True)


def rms_norm(input: Tensor, normalized_shape: list[int], weight: Tensor | None = None,
             eps: float | None = None) -> Tensor:
    return torch.rms_norm(input, normalized_shape, weight, eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    dim = input.dim()
    if dim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {dim} dimensions)")
    squares = input.mul(input)
    if dim == 3:
        padded = torch.nn.functional.pad(squares.unsqueeze(1), [0, 0, size // 2, (size - 1) // 2])
        average = _aten.avg_pool2d(padded, [size, 1], [1, 1]).squeeze(1)
    else:
        sizes = input.size()
        flat = squares.view(sizes[0], 1, sizes[1], sizes[2], -1)
        padded = torch.nn.functional.pad(flat, [0, 0, 0, 0, size // 2, (size - 1) // 2])
        average = _aten.avg_pool3d(padded, [size, 1, 1], [1, 1, 1]).squeeze(1).view(sizes)
    return input / average.mul(alpha).add(k).pow(beta)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    return input / input.norm(p, [dim], True).clamp_min(eps).expand_as(input)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    if padding_idx is None:
        padding_idx = -1
    elif padding_idx < 0:
        padding_idx = weight.size(0) + padding_idx
    if max_norm is not None:
        _aten.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
    return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)


def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
                  norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Tensor:
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None")
        offsets = torch.arange(0, input.numel(), input.size(1), dtype=input.dtype, device=input.device)
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if mode == "sum":
        code = 0
    elif mode == "mean":
        code = 1
    elif mode == "max":
        code = 2
    else:
        raise ValueError("mode has to be one of sum, mean or max")
    if max_norm is not None:
        _aten.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
    return _aten.embedding_bag(weight, input, offsets, scale_grad_by_freq, code, sparse, per_sample_weights,
                               include_last_offset, padding_idx)[0]


def pad(input: Tensor, pad: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    return _aten.pad(input, pad, mode, value)


def unfold(input: Tensor, kernel_size: BroadcastingList2[int], dilation: BroadcastingList2[int] = 1,
           padding: BroadcastingList2[int] = 0, stride: BroadcastingList2[int] = 1) -> Tensor:
    return _aten.im2col(input, kernel_size, dilation, padding, stride)


def fold(input: Tensor, output_size: BroadcastingList2[int], kernel_size: BroadcastingList2[int],
         dilation: BroadcastingList2[int] = 1, padding: BroadcastingList2[int] = 0,
         stride: BroadcastingList2[int] = 1) -> Tensor:
    return _aten.col2im(input, output_size, kernel_size, dilation, padding, stride)


def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
    if mode == "bilinear":
        mode_code = 0
    elif mode == "nearest":
        mode_code = 1
    elif mode == "bicubic":
        mode_code = 2
    else:
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but "
                         f"got: {mode}")
    if padding_mode == "zeros":
        padding_code = 0
    elif padding_mode == "border":
        padding_code = 1
    else:
        padding_code = 2
    if align_corners is None:
        align_corners = False
    return torch.grid_sampler(input, grid, mode_code, padding_code, align_corners)


def affine_grid(theta: Tensor, size: list[int], align_corners: bool | None = None) -> Tensor:
    if align_corners is None:
        align_corners = False
    return torch.affine_grid_generator(theta, size, align_corners)


def multi_head_attention_forward(
        query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
        in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
        bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
        out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False,
        q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None,
        v_proj_weight: Tensor | None = None, static_k: Tensor | None = None, static_v: Tensor | None = None,
        average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
    batched = query.dim() == 3
    if not batched:
        query = query.unsqueeze(1)
        key = key.unsqueeze(1)
        value = value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.size(0), query.size(1), query.size(2)
    head = width // num_heads
    if use_separate_proj_weight:
        assert q_proj_weight is not None and k_proj_weight is not None and v_proj_weight is not None
        if in_proj_bias is None:
            q = torch.nn.functional.linear(query, q_proj_weight)
            k = torch.nn.functional.linear(key, k_proj_weight)
            v = torch.nn.functional.linear(value, v_proj_weight)
        else:
            q = torch.nn.functional.linear(query, q_proj_weight, in_proj_bias[:width])
            k = torch.nn.functional.linear(key, k_proj_weight, in_proj_bias[width:2 * width])
            v = torch.nn.functional.linear(value, v_proj_weight, in_proj_bias[2 * width:])
    else:
        assert in_proj_weight is not None
        if in_proj_bias is None:
            q = torch.nn.functional.linear(query, in_proj_weight[:width])
            k = torch.nn.functional.linear(key, in_proj_weight[width:2 * width])
            v = torch.nn.functional.linear(value, in_proj_weight[2 * width:])
        else:
            q = torch.nn.functional.linear(query, in_proj_weight[:width], in_proj_bias[:width])
            k = torch.nn.functional.linear(key, in_proj_weight[width:2 * width], in_proj_bias[width:2 * width])
            v = torch.nn.functional.linear(value, in_proj_weight[2 * width:], in_proj_bias[2 * width:])
    if key_padding_mask is not None and key_padding_mask.dtype == torch.bool:
        key_padding_mask = torch.zeros_like(key_padding_mask, dtype=q.dtype).masked_fill_(key_padding_mask,
                                                                                          float("-inf"))
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill_(attn_mask, float("-inf"))
        if attn_mask.dim() == 2:
            attn_mask = attn_mask.unsqueeze(0)
    if bias_k is not None and bias_v is not None:
        k = torch.cat([k, bias_k.repeat(1, batch, 1)])
        v = torch.cat([v, bias_v.repeat(1, batch, 1)])
        if attn_mask is not None:
            attn_mask = torch.nn.functional.pad(attn_mask, [0, 1])
        if key_padding_mask is not None:
            key_padding_mask = torch.nn.functional.pad(key_padding_mask, [0, 1])
    q = q.contiguous().view(length, batch * num_heads, head).transpose(0, 1)
    k = k.contiguous().view(k.size(0), batch * num_heads, head).transpose(0, 1)
    v = v.contiguous().view(v.size(0), batch * num_heads, head).transpose(0, 1)
    if add_zero_attn:
        zeros = torch.zeros(batch * num_heads, 1, head, dtype=k.dtype, device=k.device)
        k = torch.cat([k, zeros], 1)
        v = torch.cat([v, zeros], 1)
        if attn_mask is not None:
            attn_mask = torch.nn.functional.pad(attn_mask, [0, 1])
        if key_padding_mask is not None:
            key_padding_mask = torch.nn.functional.pad(key_padding_mask, [0, 1])
    source = k.size(1)
    if key_padding_mask is not None:
        spread = key_padding_mask.view(batch, 1, 1, source).expand(-1, num_heads, -1, -1).reshape(
            batch * num_heads, 1, source)
        if attn_mask is None:
            attn_mask = spread
        else:
            attn_mask = attn_mask + spread
    if not training:
        dropout_p = 0.0
    if need_weights:
        scaled = q * (1.0 / head) ** 0.5
        if attn_mask is not None:
            weights_out = torch.baddbmm(attn_mask, scaled, k.transpose(-2, -1))
        else:
            weights_out = torch.bmm(scaled, k.transpose(-2, -1))
        weights_out = weights_out.softmax(-1)
        if dropout_p > 0.0:
            weights_out = torch.dropout(weights_out, dropout_p, True)
        out = torch.bmm(weights_out, v).transpose(0, 1).contiguous().view(length * batch, width)
        out = torch.nn.functional.linear(out, out_proj_weight, out_proj_bias).view(length, batch, width)
        shown = weights_out.view(batch, num_heads, length, source)
        if average_attn_weights:
            shown = shown.mean(dim=1)
        if not batched:
            out = out.squeeze(1)
            shown = shown.squeeze(0)
        return out, shown
    if attn_mask is not None:
        if attn_mask.size(0) == 1:
            attn_mask = attn_mask.unsqueeze(0)
        else:
            attn_mask = attn_mask.view(batch, num_heads, -1, source)
    q4 = q.view(batch, num_heads, length, head)
    k4 = k.view(batch, num_heads, source, head)
    v4 = v.view(batch, num_heads, source, head)
    out = torch.nn.functional.scaled_dot_product_attention(q4, k4, v4, attn_mask, dropout_p, False)
    out = out.permute(2, 0, 1, 3).contiguous().view(batch * length, width)
    out = torch.nn.functional.linear(out, out_proj_weight, out_proj_bias).view(length, batch, width)
    if not batched:
        out = out.squeeze(1)
    return out, None
