"""Names of the public surface, for editors. Written by tools/make_stubs.py from the op table."""

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from enum import IntEnum
from typing import Any

from .. import Tensor

class ScalingType(IntEnum):
    """What one scale is for: the tensor, a row, or a block of it."""
    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5
class SwizzleType(IntEnum):
    """The order in which the scales of blocks are kept."""
    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Any:
    """Mean over windows that divide the last 1 dimensions into `output_size` parts."""
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows that divide the last 2 dimensions into `output_size` parts."""
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Any:
    """Mean over windows that divide the last 3 dimensions into `output_size` parts."""
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """Maximum over windows that divide the last 1 dimensions into parts."""
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """As adaptive_max_pool1d, with the position of each maximum."""
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """Maximum over windows that divide the last 2 dimensions into parts."""
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """As adaptive_max_pool2d, with the position of each maximum."""
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """Maximum over windows that divide the last 3 dimensions into parts."""
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """As adaptive_max_pool3d, with the position of each maximum."""
def affine_grid(theta: Any, size: Any, align_corners: Any = None) -> Any:
    """Positions (n, *spatial, d) of an affine map theta (n, d, d+1) for `grid_sample`."""
def alpha_dropout(input: Tensor, p: Any = ..., training: Any = False, inplace: Any = False) -> Any:
    """Dropout that keeps mean 0 and variance 1 of the activations of self-normalizing networks."""
def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True) -> Any:
    """Mean of every window over the last dimension."""
def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True, divisor_override: Any = None) -> Tensor:
    """Mean of every window over the last two dimensions."""
def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True, divisor_override: Any = None) -> Any:
    """Mean of every window over the last three dimensions."""
def batch_norm(input: Tensor, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: Any = False, momentum: Any = ..., eps: Any = ...) -> Tensor:
    """Normalize every channel over batch and space; updates the running statistics when training."""
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1^T W_k input2 + bias_k``: inputs (*, in1) and (*, in2), weight (out, in1, in2)."""
def binary_cross_entropy(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) with logarithms clamped at -100; averaged."""
def binary_cross_entropy_with_logits(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', pos_weight: Any = None) -> Tensor:
    """-(p t log σ(x) + (1 - t) log(1 - σ(x))) from logits x, stably; averaged. p is `pos_weight`."""
def celu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Barron 2017."""
def celu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`celu`."""
def channel_shuffle(input: Tensor, groups: Any) -> Any:
    """Interleave `groups` groups of channels. Zhang et al. arXiv:1707.01083."""
def conv1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """1-d convolution: input (n, c, l), weight (o, c/groups, k) -> (n, o, l')."""
def conv2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """2-d convolution: input (n, c, h, w), weight (o, c/groups, kh, kw) -> (n, o, h', w')."""
def conv3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """3-d convolution: input (n, c, d, h, w), weight (o, c/groups, kd, kh, kw)."""
def conv_tbc(input: Tensor, weight: Any, bias: Any, pad: Any = 0) -> Any:
    """1-d convolution over (time, batch, channels): weight (k, c, o)."""
def conv_transpose1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 1-d convolution: the adjoint of conv1d; weight (c, o/groups, k)."""
def conv_transpose2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 2-d convolution: the adjoint of conv2d; weight (c, o/groups, kh, kw)."""
def conv_transpose3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 3-d convolution: the adjoint of conv3d; weight (c, o/groups, kd, kh, kw)."""
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: Any = 0, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1; averaged."""
def cosine_similarity(x1: Any, x2: Any, dim: Any = 1, eps: Any = ...) -> Any:
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
def cross_entropy(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, ignore_index: Any = -100, reduce: Any = None, reduction: Any = 'mean', label_smoothing: Any = ...) -> Tensor:
    """-sum_c q_c log softmax(input)_c, averaged; q is one class (integer target) or a distribution."""
def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: Any = 0, reduction: Any = 'mean', zero_infinity: Any = False) -> Any:
    """CTC loss of log_probs (t, n, c) and targets (n, s) or concatenated; mean divides by target length."""
def dropout(input: Tensor, p: Any = ..., training: Any = True, inplace: Any = False) -> Tensor:
    """Each element 0 with probability `p`, else ``input / (1 - p)``, while `training`."""
def dropout1d(input: Tensor, p: Any = ..., training: Any = True, inplace: Any = False) -> Any:
    """Drop whole channels of (n, c, l) or (c, l)."""
def dropout2d(input: Tensor, p: Any = ..., training: Any = True, inplace: Any = False) -> Any:
    """Drop whole channels of (n, c, h, w)."""
def dropout3d(input: Tensor, p: Any = ..., training: Any = True, inplace: Any = False) -> Any:
    """Drop whole channels of (n, c, d, h, w)."""
def elu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """input where positive, else alpha * (exp(input) - 1). Clevert et al. 2015."""
def elu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`elu`."""
def embedding(input: Tensor, weight: Any, padding_idx: Any = None, max_norm: Any = None, norm_type: Any = ..., scale_grad_by_freq: Any = False, sparse: Any = False) -> Tensor:
    """Rows of `weight` (num, dim) at the integer indices `input`; the shape is input.shape + (dim,)."""
def embedding_bag(input: Tensor, weight: Any, offsets: Any = None, max_norm: Any = None, norm_type: Any = 2, scale_grad_by_freq: Any = False, mode: Any = 'mean', sparse: Any = False, per_sample_weights: Any = None, include_last_offset: Any = False, padding_idx: Any = None) -> Any:
    """Sum, mean or maximum of bags of rows; 2-D input has a bag a row, 1-D needs `offsets`."""
def feature_alpha_dropout(input: Tensor, p: Any = ..., training: Any = False, inplace: Any = False) -> Any:
    """`alpha_dropout` of whole channels: one draw for each (n, c) of an input (n, c, ...)."""
def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Columns (n, c kh kw, l) added up to an image (n, c, h, w)."""
def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: Any = False, _random_samples: Any = None) -> Any:
    """Max pooling at pseudo-random fractional steps (Graham 2014)."""
def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: Any = False, _random_samples: Any = None) -> Any:
    """Max pooling at pseudo-random fractional steps (Graham 2014)."""
def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: Any = False, _random_samples: Any = None) -> Any:
    """Max pooling at pseudo-random fractional steps (Graham 2014)."""
def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: Any = False, _random_samples: Any = None) -> Any:
    """Max pooling at pseudo-random fractional steps (Graham 2014)."""
def gaussian_nll_loss(input: Tensor, target: Any, var: Any, full: Any = False, eps: Any = ..., reduction: Any = 'mean') -> Any:
    """0.5 (log max(var, eps) + (x - t)**2 / max(var, eps)), averaged; full adds log(2π)/2."""
def gelu(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x * Phi(x) with the normal distribution function Phi, or its tanh approximation. Hendrycks and Gimpel 2016."""
def glu(input: Tensor, dim: Any = -1) -> Any:
    """First half along `dim` times the sigmoid of the second half. Dauphin et al. 2016."""
def grid_sample(input: Tensor, grid: Any, mode: Any = 'bilinear', padding_mode: Any = 'zeros', align_corners: Any = None) -> Any:
    """Values of input (n, c, *spatial) at the positions grid (n, *out, d) in [-1, 1], last dim x first."""
def group_norm(input: Tensor, num_groups: Any, weight: Any = None, bias: Any = None, eps: Any = ..., cudnn_enabled: Any = True) -> Tensor:
    """Normalize groups of channels of every sample, then scale and shift every channel."""
def grouped_mm(mat_a: Any, mat_b: Any, *, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """A matrix product for each group: groups are parts of a dimension, up to the entries of `offs`, or slices."""
def gumbel_softmax(logits: Any, tau: Any = 1, hard: Any = False, eps: Any = ..., dim: Any = -1) -> Any:
    """softmax((logits + Gumbel noise) / tau); hard: one-hot forward, soft gradient."""
def hardshrink(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """x where |x| > lambd, else 0."""
def hardsigmoid(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
def hardswish(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x * min(max(x + 3, 0), 6) / 6. Howard et al. 2019."""
def hardtanh(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """min(max(input, min_val), max_val)."""
def hardtanh_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`hardtanh`."""
def hinge_embedding_loss(input: Tensor, target: Any, margin: Any = ..., size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """x where target is 1, max(0, margin - x) where it is -1; averaged."""
def huber_loss(input: Tensor, target: Any, reduction: Any = 'mean', delta: Any = ..., weight: Any = None) -> Any:
    """0.5 d**2 where |d| <= delta, else delta (|d| - delta / 2), with d = input - target; averaged."""
def instance_norm(input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None, use_input_stats: Any = True, momentum: Any = ..., eps: Any = ...) -> Any:
    """Normalize every channel of every sample over space."""
def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: Any = 'nearest', align_corners: Any = None, recompute_scale_factor: Any = None, antialias: Any = False) -> Tensor:
    """Resample the spatial dimensions of (n, c, *) to `size`, or by `scale_factor`."""
def kl_div(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', log_target: Any = False) -> Any:
    """target (log target - input), pointwise; ``batchmean`` divides the sum by the batch size."""
def l1_loss(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', weight: Any = None) -> Tensor:
    """|input - target|, averaged."""
def layer_norm(input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = ..., cudnn_enable: Any = True) -> Tensor:
    """Normalize over the last ``len(normalized_shape)`` dimensions, then scale and shift."""
def leaky_relu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """input where positive, else input * negative_slope."""
def leaky_relu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`leaky_relu`."""
def linear(input: Tensor, weight: Any, bias: Any = None, *, out: Any = None) -> Tensor:
    """``input @ weight.T + bias``: input (*, in), weight (out, in) or (in), bias (out)."""
def linear_cross_entropy(input: Tensor, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None, reduction: Any = 'mean', ignore_index: Any = None, label_smoothing: Any = ..., options: Any = None) -> Any:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target, ...)``."""
def local_response_norm(input: Tensor, size: Any, alpha: Any = ..., beta: Any = ..., k: Any = ...) -> Any:
    """x / (k + alpha * mean of x**2 over `size` neighbouring channels)**beta."""
def log_softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
def logsigmoid(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """log(sigmoid(x)) without overflow."""
def lp_pool1d(input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: Any = False) -> Any:
    """(sum of x**p over the window)**(1/p)."""
def lp_pool2d(input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: Any = False) -> Any:
    """(sum of x**p over the window)**(1/p)."""
def lp_pool3d(input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: Any = False) -> Any:
    """(sum of x**p over the window)**(1/p)."""
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: Any = 0, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """max(0, -t (x1 - x2) + margin), averaged."""
def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """Largest value of every window over the last 1 dimension(s); NaN where one is in it."""
def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """(max_pool1d, positions): `max_pool1d` with ``return_indices=True``."""
def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Tensor:
    """Largest value of every window over the last 2 dimension(s); NaN where one is in it."""
def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """(max_pool2d, positions): `max_pool2d` with ``return_indices=True``."""
def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """Largest value of every window over the last 3 dimension(s); NaN where one is in it."""
def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """(max_pool3d, positions): `max_pool3d` with ``return_indices=True``."""
def max_unpool1d(input: Tensor, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Inverse of max_pool1d with indices: maxima at their places, zeros elsewhere."""
def max_unpool2d(input: Tensor, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Inverse of max_pool2d with indices: maxima at their places, zeros elsewhere."""
def max_unpool3d(input: Tensor, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Inverse of max_pool3d with indices: maxima at their places, zeros elsewhere."""
def mish(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x * tanh(softplus(x)). Misra 2019."""
def mse_loss(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', weight: Any = None) -> Tensor:
    """(input - target)**2, averaged."""
def multi_head_attention_forward(query: Any, key: Any, value: Any, embed_dim_to_check: Any, num_heads: Any, in_proj_weight: Any, in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: Any, dropout_p: Any, out_proj_weight: Any, out_proj_bias: Any, training: Any = True, key_padding_mask: Any = None, need_weights: Any = True, attn_mask: Any = None, use_separate_proj_weight: Any = False, q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None, average_attn_weights: Any = True, is_causal: Any = False) -> Any:
    """Multi-head attention over (l, n, e) query and (s, n, e) key and value."""
def multi_margin_loss(input: Tensor, target: Any, p: Any = 1, margin: Any = ..., weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """sum_{i != t} max(0, margin - x_t + x_i)**p / c, averaged."""
def multilabel_margin_loss(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """sum over targets j (up to the first -1) and others i of max(0, 1 - (x_j - x_i)) / c, averaged."""
def multilabel_soft_margin_loss(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """-(t log σ(x) + (1 - t) log σ(-x)), mean over classes, then averaged."""
def nll_loss(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, ignore_index: Any = -100, reduce: Any = None, reduction: Any = 'mean') -> Tensor:
    """-weight[t] * input[t] of log-probabilities (n, c, *d) and classes t (n, *d), averaged by weight."""
def normalize(input: Tensor, p: Any = ..., dim: Any = 1, eps: Any = ..., out: Any = None) -> Tensor:
    """x / max(norm_p(x, dim), eps)."""
def one_hot(tensor: Any, num_classes: Any = -1) -> Tensor:
    """One-hot rows of int64: shape + (num_classes,); -1 takes the largest index plus one."""
def pad(input: Tensor, pad: Any, mode: Any = 'constant', value: Any = None) -> Tensor:
    """`input` with borders: `pad` lists (before, after) of the last dimension first."""
def pairwise_distance(x1: Any, x2: Any, p: Any = ..., eps: Any = ..., keepdim: Any = False) -> Any:
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
def pdist(input: Tensor, p: Any = ...) -> Any:
    """p-norm distances between all pairs of rows, in the order of the upper triangle."""
def pixel_shuffle(input: Tensor, upscale_factor: Any) -> Any:
    """(*, c r², h, w) -> (*, c, h r, w r). Shi et al. arXiv:1609.05158."""
def pixel_unshuffle(input: Tensor, downscale_factor: Any) -> Any:
    """(*, c, h r, w r) -> (*, c r², h, w): the inverse of `pixel_shuffle`."""
def poisson_nll_loss(input: Tensor, target: Any, log_input: Any = True, full: Any = False, size_average: Any = None, eps: Any = ..., reduce: Any = None, reduction: Any = 'mean') -> Any:
    """exp(x) - t x (log_input) or x - t log(x + eps); full adds Stirling's term; averaged."""
def prelu(input: Tensor, weight: Any) -> Any:
    """input where positive, else weight * input; one weight, or one a channel (dimension 1)."""
def relu(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """max(input, 0)."""
def relu6(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """min(max(input, 0), 6)."""
def relu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`relu`."""
def rms_norm(input: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions."""
def rrelu(input: Tensor, lower: Any = ..., upper: Any = ..., training: Any = False, inplace: Any = False) -> Any:
    """Leaky relu with a slope drawn evenly from [lower, upper) for each negative element in training, their mean otherwise. Xu et al. 2015."""
def rrelu_(input: Tensor, lower: Any = ..., upper: Any = ..., training: Any = False) -> Tensor:
    """In-place version of :func:`rrelu`."""
def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: Any = ..., is_causal: Any = False, scale: Any = None, enable_gqa: Any = False) -> Tensor:
    """softmax(scale * query key^T + mask) value."""
def scaled_grouped_mm(mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None, swizzle_b: Any = None, bias: Any = None, offs: Any = None, output_dtype: Any = ..., contraction_dim: Any = ..., use_fast_accum: Any = False) -> Any:
    """`grouped_mm` of 8-bit floats with a scale for each row of `mat_a` and column of `mat_b`."""
def scaled_mm(mat_a: Any, mat_b: Any, scale_a: Any, scale_recipe_a: Any, scale_b: Any, scale_recipe_b: Any, swizzle_a: Any = None, swizzle_b: Any = None, bias: Any = None, output_dtype: Any = ..., contraction_dim: Any = ..., use_fast_accum: Any = False) -> Any:
    """``(scale_a * mat_a) @ (scale_b * mat_b) + bias`` of 8-bit floats, added up in float32."""
def selu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Self-normalizing elu: scale * elu(input, alpha) with the constants of Klambauer et al. 2017."""
def selu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`selu`."""
def sigmoid(input: Tensor, *, out: Any = None) -> Tensor:
    """1 / (1 + exp(-input))."""
def silu(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x * sigmoid(x) (swish). Ramachandran et al. 2017."""
def smooth_l1_loss(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', beta: Any = ...) -> Any:
    """0.5 d**2 / beta where |d| < beta, else |d| - beta / 2, with d = input - target; averaged."""
def soft_margin_loss(input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """log(1 + exp(-target * input)), averaged; targets are 1 or -1."""
def softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`, without overflow."""
def softmin(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Any:
    """softmax(-input) along `dim`."""
def softplus(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """log(1 + exp(beta x)) / beta; x itself where beta x is above `threshold`."""
def softshrink(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """x moved towards 0 by `lambd`, at most to 0."""
def softsign(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x / (1 + |x|)."""
def tanh(input: Tensor, *, out: Any = None) -> Tensor:
    """Hyperbolic tangent."""
def tanhshrink(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x - tanh(x)."""
def threshold(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """input where it is above `threshold`, else `value`."""
def threshold_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`threshold`."""
def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: Any = ..., p: Any = 2, eps: Any = ..., swap: Any = False, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean') -> Any:
    """max(0, d(a, p) - d(a, n) + margin) with p-norm distances, averaged."""
def triplet_margin_with_distance_loss(anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None, margin: Any = ..., swap: Any = False, reduction: Any = 'mean') -> Any:
    """`triplet_margin_loss` with a distance of one's own."""
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Sliding blocks of (n, c, h, w) as columns (n, c kh kw, l)."""
def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: Any = 'nearest', align_corners: Any = None) -> Any:
    """`interpolate` under its old name."""
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Any:
    """Bilinear `interpolate` with aligned corners."""
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Any:
    """Nearest-neighbour `interpolate`."""
