"""Instance normalisation (Ulyanov et al., arXiv:1607.08022)."""

import warnings

from rushlight.nn import functional as F

from ._normbase import _LazyNormBase, _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d",
           "LazyInstanceNorm2d", "LazyInstanceNorm3d"]


class _InstanceNorm(_NormBase):
    """y = (x - mean) / √(var + eps) · weight + bias, over space for each sample and channel."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False,
                 track_running_stats=False, device=None, dtype=None, *, bias=True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats,
                         device=device, dtype=dtype, bias=bias)

    def _get_no_batch_dim(self):
        """The number of dimensions of an input without batch dimension."""
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):
        version = local_metadata.get("version", None)
        # Old checkpoints hold running statistics that were never meant to be used.
        if version is None and not self.track_running_stats:
            stale = [prefix + name for name in ("running_mean", "running_var")
                     if prefix + name in state_dict]
            if stale:
                names = " and ".join(f'"{key}"' for key in stale)
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {names} for {type(self).__name__} with "
                    "track_running_stats=False. If state_dict is a checkpoint saved before "
                    "0.4.0, this may be expected because "
                    f"{type(self).__name__} does not track running stats by default since 0.4.0. "
                    "Please remove these keys from state_dict. If the running stats are actually "
                    "needed, instead set track_running_stats=True in "
                    f"{type(self).__name__} to enable them. See the documentation of "
                    f"{type(self).__name__} for details.")
                for key in stale:
                    state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)

    def forward(self, input):
        self._check_input_dim(input)
        no_batch = self._get_no_batch_dim()
        channels = input.size(input.dim() - no_batch)
        if channels != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={input.dim() - no_batch} to match num_features "
                    f"({self.num_features}), but got: {channels}.")
            warnings.warn(
                f"input's size at dim={input.dim() - no_batch} does not match num_features. You "
                "can silence this warning by not passing in num_features, which is not used "
                "because affine=False", stacklevel=2)
        if input.dim() == no_batch:
            return self._normalise(input.unsqueeze(0)).squeeze(0)
        return self._normalise(input)

    def _normalise(self, input):
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats,
            self.momentum if self.momentum is not None else 0.0, self.eps)


def _require_dims(input, *allowed):
    if input.dim() not in allowed:
        dims = " or ".join(f"{n}D" for n in allowed)
        raise ValueError(f"expected {dims} input (got {input.dim()}D input)")


class _Spatial1d:
    def _get_no_batch_dim(self):
        return 2

    def _check_input_dim(self, input):
        _require_dims(input, 2, 3)


class _Spatial2d:
    def _get_no_batch_dim(self):
        return 3

    def _check_input_dim(self, input):
        _require_dims(input, 3, 4)


class _Spatial3d:
    def _get_no_batch_dim(self):
        return 4

    def _check_input_dim(self, input):
        _require_dims(input, 4, 5)


class InstanceNorm1d(_Spatial1d, _InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L) over L."""


class InstanceNorm2d(_Spatial2d, _InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W) over space."""


class InstanceNorm3d(_Spatial3d, _InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W) over space."""


class LazyInstanceNorm1d(_Spatial1d, _LazyNormBase, _InstanceNorm):
    """An `InstanceNorm1d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_Spatial2d, _LazyNormBase, _InstanceNorm):
    """An `InstanceNorm2d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_Spatial3d, _LazyNormBase, _InstanceNorm):
    """An `InstanceNorm3d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm3d
