"""The generalized Pareto distribution."""

import rushlight as torch

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Tails beyond a threshold: P[X > x] = (1 + c z)^(-1/c) with z = (x - loc) / scale, c = `concentration`.

    exp(-z) for c = 0; for c < 0 values end at loc - scale / c. Source: Wikipedia, "Generalized Pareto
    distribution".
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand(GeneralizedPareto, ("loc", "scale", "concentration"), batch_shape, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, torch.where(self.concentration < 0, end, torch.inf))

    def _tail(self):
        """(where c is 0, c with ones there)"""
        zero = torch.isclose(self.concentration, torch.zeros_like(self.concentration))
        return zero, torch.where(zero, 1.0, self.concentration)

    def _z(self, x):
        return (x - self.loc) / self.scale

    @property
    def mean(self):
        c = self.concentration
        return torch.where(c < 1, self.loc + self.scale / (1 - c), torch.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        c = self.concentration
        return torch.where(c < 0.5, self.scale ** 2 / ((1 - c) ** 2 * (1 - 2 * c)), torch.nan)

    def rsample(self, sample_shape=()):
        u = torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, c = self._tail()
        power = 1 / c + torch.ones_like(z)
        general = torch.where(power == 0, power, power * torch.log1p(c * z))
        return -self.scale.log() - torch.where(zero, z, general)

    def log_survival_function(self, value):
        """log P[X > value]"""
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, c = self._tail()
        return torch.where(zero, -z, -torch.log1p(c * z) / c)

    def log_cdf(self, value):
        """log P[X <= value]"""
        return torch.log1p(-torch.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return torch.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, c = self._tail()
        log_rest = torch.log1p(-value)
        return self.loc + self.scale * torch.where(zero, -log_rest, torch.expm1(-c * log_rest) / c)

    def entropy(self):
        return (torch.log(self.scale) + self.concentration + 1).expand(self._batch_shape)
