"""Operators of networks whose arguments are ordered or coded otherwise than the public functions'."""

import rushlight as torch
from rushlight.nn import functional as F

_REDUCTIONS = ("none", "mean", "sum")


def _loss(name, *more):
    """A loss with a number for its reduction after `more` further arguments."""
    def call(input, target, *args):
        fn = getattr(F, name)
        return fn(input, target, *args[:-1], reduction=_REDUCTIONS[args[-1]])
    return call


def _simple(name):
    def call(input, target, reduction=1):
        return getattr(F, name)(input, target, reduction=_REDUCTIONS[reduction])
    return call


def _cross_entropy(input, target, weight=None, reduction=1, ignore_index=-100, label_smoothing=0.0):
    return F.cross_entropy(input, target, weight, reduction=_REDUCTIONS[reduction], ignore_index=ignore_index,
                           label_smoothing=label_smoothing)


def _nll(input, target, weight=None, reduction=1, ignore_index=-100):
    return F.nll_loss(input, target, weight, reduction=_REDUCTIONS[reduction], ignore_index=ignore_index)


def _bce(input, target, weight=None, reduction=1):
    return F.binary_cross_entropy(input, target, weight, reduction=_REDUCTIONS[reduction])


def _bce_logits(input, target, weight=None, pos_weight=None, reduction=1):
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=_REDUCTIONS[reduction],
                                              pos_weight=pos_weight)


def _huber(input, target, reduction=1, delta=1.0):
    return F.huber_loss(input, target, _REDUCTIONS[reduction], delta)


def _smooth_l1(input, target, reduction=1, beta=1.0):
    return F.smooth_l1_loss(input, target, reduction=_REDUCTIONS[reduction], beta=beta)


def _kl(input, target, reduction=1, *, log_target=False):
    return F.kl_div(input, target, reduction=_REDUCTIONS[reduction], log_target=log_target)


def _poisson(input, target, log_input, full, eps, reduction):
    return F.poisson_nll_loss(input, target, log_input=log_input, full=full, eps=eps,
                              reduction=_REDUCTIONS[reduction])


def _margin_ranking(a, b, target, margin=0.0, reduction=1):
    return F.margin_ranking_loss(a, b, target, margin, reduction=_REDUCTIONS[reduction])


def _hinge_embedding(input, target, margin=1.0, reduction=1):
    return F.hinge_embedding_loss(input, target, margin, reduction=_REDUCTIONS[reduction])


def _cosine_embedding(a, b, target, margin=0.0, reduction=1):
    return F.cosine_embedding_loss(a, b, target, margin, reduction=_REDUCTIONS[reduction])


def _triplet(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, reduction=1):
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_REDUCTIONS[reduction])


def _multi_margin(input, target, p=1, margin=1, weight=None, reduction=1):
    return F.multi_margin_loss(input, target, p, margin, weight, reduction=_REDUCTIONS[reduction])


def _ctc(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=1, zero_infinity=False):
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _REDUCTIONS[reduction], zero_infinity)


def _batch_norm(input, weight, bias, mean, var, training, momentum, eps, cudnn_enabled=True):
    return F.batch_norm(input, mean, var, weight, bias, training, momentum, eps)


def _instance_norm(input, weight, bias, mean, var, use_input_stats, momentum, eps, cudnn_enabled=True):
    return F.instance_norm(input, mean, var, weight, bias, use_input_stats, momentum, eps)


def _layer_norm(input, shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    return F.layer_norm(input, shape, weight, bias, eps)


def _group_norm(input, groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    return F.group_norm(input, groups, weight, bias, eps)


def _embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    if padding_idx < 0 and padding_idx != -1:
        padding_idx += weight.size(0)
    return F.embedding(indices, weight, None if padding_idx == -1 else padding_idx,
                       scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def _full_convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups, *flags):
    return torch.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


def _convolution_mode(input, weight, bias, stride, padding, dilation, groups):
    fn = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[weight.dim()]
    return fn(input, weight, bias, stride, padding, dilation, groups)


def _transposed(name):
    def call(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        return getattr(F, name)(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return call


def _pool(name, with_indices=False):
    """A pooling whose empty stride means the kernel's size."""
    def call(input, kernel_size, stride=(), *rest):
        options = {"return_indices": True} if with_indices else {}
        return getattr(F, name)(input, kernel_size, stride or None, *rest, **options)
    return call


def _adaptive_max(name):
    def call(input, output_size):
        return getattr(F, name)(input, output_size, return_indices=True)
    return call


def _pad_mode(mode):
    def call(input, padding):
        return F.pad(input, padding, mode=mode)
    return call


def _pad(input, pad, mode="constant", value=None):
    return F.pad(input, pad, mode, value)


def _upsample(mode, align):
    """Resampling to `size`, or by `scales`."""
    def call(input, size, *rest):
        corners = None
        if align and rest and isinstance(rest[0], bool):
            corners, rest = rest[0], rest[1:]
        scales = [s for r in rest if r is not None for s in (r if isinstance(r, list) else [r])]
        if size is not None:
            return F.interpolate(input, size=list(size), mode=mode, align_corners=corners)
        return F.interpolate(input, scale_factor=scales, mode=mode, align_corners=corners)
    return call


def _unpooled(dims):
    """Values put at flat places in zeros of `output_size`."""
    def call(input, indices, output_size, *rest):
        count = 1
        for n in output_size:
            count *= n
        flat = torch.zeros(*input.shape[:-dims], count, dtype=input.dtype, device=input.device)
        out = flat.scatter(-1, indices.flatten(-dims), input.flatten(-dims))
        return out.reshape(*input.shape[:-dims], *output_size)
    return call


def _smoothed(mode):
    """Resampling that averages where it shrinks."""
    def call(input, size, align_corners, *scales):
        scales = [s for r in scales if r is not None for s in (r if isinstance(r, list) else [r])]
        if size is not None:
            return F.interpolate(input, size=list(size), mode=mode, align_corners=align_corners, antialias=True)
        return F.interpolate(input, scale_factor=scales, mode=mode, align_corners=align_corners, antialias=True)
    return call


def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False):
    return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale,
                                          enable_gqa=enable_gqa)


def _pack(input, lengths, batch_first):
    from rushlight.nn.utils.rnn import pack_padded_sequence
    packed = pack_padded_sequence(input, lengths, batch_first, enforce_sorted=True)
    return packed.data, packed.batch_sizes


def _unpack(data, batch_sizes, batch_first, padding_value, total_length):
    from rushlight.nn.utils.rnn import PackedSequence, pad_packed_sequence
    return pad_packed_sequence(PackedSequence(data, batch_sizes), batch_first, float(padding_value),
                               None if total_length <= 0 else total_length)


def _pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    from rushlight.nn.utils.rnn import pad_sequence
    return pad_sequence(sequences, batch_first, padding_value, padding_side)


def _recurrent(mode):
    def call(*args):
        return getattr(torch._VF, mode)(*args)
    return call


def _softmax_of(fn):
    def call(input, dim, dtype=None):
        return getattr(torch, fn)(input, dim, dtype=dtype)
    return call


def _rrelu(input, noise=None, lower=0.125, upper=1 / 3, training=False, generator=None):
    return F.rrelu(input, lower, upper, training)


def _grid_sample(input, grid, mode, padding, align_corners):
    return F.grid_sample(input, grid, ("bilinear", "nearest", "bicubic")[mode],
                         ("zeros", "border", "reflection")[padding], align_corners)


def _glu(input, dim=-1):
    return F.glu(input, dim)


def _inplace(name):
    def call(input, *args, **options):
        return input.copy_(getattr(F, name)(input, *args, **options))
    return call


def _embedding_bag(weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, per_sample_weights=None,
                   include_last_offset=False, padding_idx=None):
    out = F.embedding_bag(indices, weight, offsets, None, 2.0, scale_grad_by_freq, ("sum", "mean", "max")[mode],
                          sparse, per_sample_weights, include_last_offset, padding_idx)
    empty = torch.empty(0, dtype=indices.dtype)
    return out, empty, empty, empty


def _renorm_rows(weight, indices, max_norm, norm_type):
    with torch.no_grad():
        rows = torch.unique(indices)
        picked = weight[rows]
        norms = picked.norm(norm_type, 1, keepdim=True)
        weight[rows] = torch.where(norms > max_norm, picked * (max_norm / (norms + 1e-7)), picked)
    return weight


FUNCTIONS = {f"aten::{k}": v for k, v in {
    "cross_entropy_loss": _cross_entropy, "nll_loss_nd": _nll, "nll_loss": _nll, "nll_loss2d": _nll,
    "binary_cross_entropy": _bce, "binary_cross_entropy_with_logits": _bce_logits, "huber_loss": _huber,
    "smooth_l1_loss": _smooth_l1, "kl_div": _kl, "poisson_nll_loss": _poisson, "margin_ranking_loss": _margin_ranking,
    "hinge_embedding_loss": _hinge_embedding, "cosine_embedding_loss": _cosine_embedding,
    "triplet_margin_loss": _triplet, "multi_margin_loss": _multi_margin, "ctc_loss": _ctc,
    "mse_loss": _simple("mse_loss"), "l1_loss": _simple("l1_loss"), "soft_margin_loss": _simple("soft_margin_loss"),
    "multilabel_margin_loss": _simple("multilabel_margin_loss"), "batch_norm": _batch_norm,
    "instance_norm": _instance_norm, "layer_norm": _layer_norm, "group_norm": _group_norm, "embedding": _embedding,
    "_convolution": _full_convolution, "_convolution_mode": _convolution_mode,
    **{n: _transposed(n) for n in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")},
    **{n: _pool(n) for n in ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")},
    "max_pool1d_with_indices": _pool("max_pool1d", True), "max_pool2d_with_indices": _pool("max_pool2d", True),
    "max_pool3d_with_indices": _pool("max_pool3d", True),
    **{n: _adaptive_max(n) for n in ("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")},
    **{f"reflection_pad{d}d": _pad_mode("reflect") for d in (1, 2, 3)},
    **{f"replication_pad{d}d": _pad_mode("replicate") for d in (1, 2, 3)}, "pad": _pad,
    "upsample_nearest1d": _upsample("nearest", False), "upsample_nearest2d": _upsample("nearest", False),
    "upsample_nearest3d": _upsample("nearest", False), "upsample_linear1d": _upsample("linear", True),
    "upsample_bilinear2d": _upsample("bilinear", True), "upsample_bicubic2d": _upsample("bicubic", True),
    "upsample_trilinear3d": _upsample("trilinear", True),
    **{f"_upsample_nearest_exact{d}d": _upsample("nearest-exact", False) for d in (1, 2, 3)},
    "scaled_dot_product_attention": _attention, "_pack_padded_sequence": _pack, "_pad_packed_sequence": _unpack,
    "pad_sequence": _pad_sequence, **{n: _recurrent(n) for n in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    "rrelu": lambda x, lower=0.125, upper=1 / 3, training=False, generator=None: F.rrelu(x, lower, upper, training),
    "rrelu_with_noise": _rrelu, "grid_sampler": _grid_sample, "glu": _glu, "embedding_bag": _embedding_bag,
    "_upsample_bilinear2d_aa": _smoothed("bilinear"), "_upsample_lanczos2d_aa": _smoothed("lanczos"),
    "_upsample_bicubic2d_aa": _smoothed("bicubic"),
    "max_unpool2d": _unpooled(2), "max_unpool3d": _unpooled(3),
    "feature_dropout_": lambda x, p, train: x.copy_(torch.feature_dropout(x, p, train)),
    "embedding_renorm_": _renorm_rows, "log_sigmoid": lambda x: F.logsigmoid(x),
    **{n + "_": _inplace(n) for n in ("silu", "gelu", "hardswish", "relu6", "mish", "hardsigmoid", "hardtanh", "elu",
                                      "leaky_relu", "celu", "selu")},
}.items()}
