"""Batch normalisation (Ioffe and Szegedy, arXiv:1502.03167)."""

import rushlight as torch
from rushlight.nn import functional as F

from ._normbase import _LazyNormBase, _NormBase

__all__ = ["BatchNorm1d", "LazyBatchNorm1d", "BatchNorm2d", "LazyBatchNorm2d", "BatchNorm3d",
           "LazyBatchNorm3d", "SyncBatchNorm"]


class _BatchNorm(_NormBase):
    """y = (x - mean) / √(var + eps) · weight + bias, over all but the channel dimension."""

    def forward(self, input):
        self._check_input_dim(input)
        params, buffers = self._parameters, self._buffers
        try:
            # Several times faster than attributes, which are looked for elsewhere first.
            weight, bias = params["weight"], params["bias"]
            mean, var = buffers["running_mean"], buffers["running_var"]
            count = buffers["num_batches_tracked"]
        except KeyError:
            weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
            count = self.num_batches_tracked
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and count is not None:
            count.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(count)
        from_batch = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        return F.batch_norm(input, mean, var, weight, bias, from_batch, factor, self.eps)


def _require_dims(input, *allowed):
    if input.dim() not in allowed:
        dims = " or ".join(f"{n}D" for n in allowed)
        raise ValueError(f"expected {dims} input (got {input.dim()}D input)")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L) over C: y = (x - mean) / √(var + eps) · weight + bias.

    Training takes mean and biased variance of the batch, and moves the running ones by
    `running = (1 - momentum) running + momentum batch` (the variance unbiased); with a momentum of None they are plain
    averages over all batches. Evaluation takes the running ones, or the batch's where `track_running_stats` is false.

    Shapes: `weight`, `bias`, `running_mean`, `running_var` (num_features,). ValueError for inputs of other dimensions.
    """

    def _check_input_dim(self, input):
        _require_dims(input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W) over C: y = (x - mean) / √(var + eps) · weight + bias.

    Training takes mean and biased variance of the batch, and moves the running ones by
    `running = (1 - momentum) running + momentum batch` (the variance unbiased); with a momentum of None they are plain
    averages over all batches. Evaluation takes the running ones, or the batch's where `track_running_stats` is false.

    Shapes: `weight`, `bias`, `running_mean`, `running_var` (num_features,). ValueError for inputs of other dimensions.
    """

    def _check_input_dim(self, input):
        _require_dims(input, 4)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W) over C: y = (x - mean) / √(var + eps) · weight + bias.

    Training takes mean and biased variance of the batch, and moves the running ones by
    `running = (1 - momentum) running + momentum batch` (the variance unbiased); with a momentum of None they are plain
    averages over all batches. Evaluation takes the running ones, or the batch's where `track_running_stats` is false.

    Shapes: `weight`, `bias`, `running_mean`, `running_var` (num_features,). ValueError for inputs of other dimensions.
    """

    def _check_input_dim(self, input):
        _require_dims(input, 5)


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm1d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm1d

    def _check_input_dim(self, input):
        _require_dims(input, 2, 3)


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm2d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm2d

    def _check_input_dim(self, input):
        _require_dims(input, 4)


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm3d` that takes `num_features` from its first input."""

    cls_to_become = BatchNorm3d

    def _check_input_dim(self, input):
        _require_dims(input, 5)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics are those of all processes of `process_group`.

    With a single process it is ordinary batch normalisation of (N, C, *) with at least 2
    dimensions. Processes may have batches of different sizes.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True,
                 track_running_stats=True, process_group=None, device=None, dtype=None, *,
                 bias=True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats,
                         device=device, dtype=dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _check_non_zero_input_channels(self, input):
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def forward(self, input):
        self._check_input_dim(input)
        self._check_non_zero_input_channels(input)
        if self.training and _n_processes(self.process_group) > 1:
            return self._over_processes(input)
        return super().forward(input)

    def _over_processes(self, input):
        from rushlight.distributed.nn.functional import all_reduce
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        wide = input.float() if input.dtype.itemsize < 4 else input
        count = wide.new_tensor([wide.numel() / wide.size(1)])
        sums = all_reduce(torch.cat([wide.sum(dims), count]), group=self.process_group)
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centered = wide - mean.view(shape)
        var = all_reduce(centered.square().sum(dims), group=self.process_group) / n
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                self.running_var.lerp_((var * (n / (n - 1))).to(self.running_var.dtype), share)
        out = centered * (var + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape)
        if self.bias is not None:
            out = out + self.bias.view(shape)
        return out.to(input.dtype)

    @classmethod
    def convert_sync_batchnorm(cls, module, process_group=None):
        """`module` with all batch normalisations of its tree replaced by synchronised ones."""
        converted = module
        if isinstance(module, _BatchNorm):
            converted = cls(module.num_features, module.eps, module.momentum, module.affine,
                            module.track_running_stats, process_group,
                            bias=module.bias is not None)
            if module.affine:
                with torch.no_grad():
                    converted.weight = module.weight
                    converted.bias = module.bias
            converted.running_mean = module.running_mean
            converted.running_var = module.running_var
            converted.num_batches_tracked = module.num_batches_tracked
            converted.training = module.training
            if hasattr(module, "qconfig"):
                converted.qconfig = module.qconfig
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


def _n_processes(process_group):
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size(process_group)
