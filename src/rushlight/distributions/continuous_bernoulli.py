"""The continuous Bernoulli distribution."""

import math

import rushlight as torch
import rushlight.nn.functional as F

from . import constraints
from .exp_family import ExponentialFamily
from .odds import Odds
from .utils import broadcast_all, broadcast_odds, clamp_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Odds, ExponentialFamily):
    """Numbers in [0, 1] of density p(x) = C λ^x (1 - λ)^(1 - x), with λ = `probs` (or sigmoid of `logits`).

    C = 2 artanh(1 - 2λ) / (1 - 2λ), 2 at λ = 1/2. Between the two `lims`, where the closed forms cancel, Taylor
    series about 1/2 stand for them. Source: Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a
    pervasive error in variational autoencoders" (2019).
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        name, value, batch_shape = broadcast_odds(probs, logits)
        if name == "probs":
            if validate_args is not None and not self.arg_constraints["probs"].check(value).all():
                raise ValueError("The parameter probs has invalid values")
            value = clamp_probs(value)
        setattr(self, name, value)
        self._lims = lims
        super().__init__(batch_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._expand(ContinuousBernoulli, ("probs", "logits"), batch_shape, _instance)
        new._lims = self._lims
        return new

    def _cut(self):
        """(where the closed forms hold, λ there and the lower limit elsewhere)"""
        holds = (self.probs <= self._lims[0]) | (self.probs > self._lims[1])
        return holds, torch.where(holds, self.probs, self._lims[0])

    def _log_norm(self):
        """log C"""
        holds, p = self._cut()
        below, above = torch.where(p <= 0.5, p, 0.0), torch.where(p >= 0.5, p, 1.0)
        exact = (torch.log(torch.abs(torch.log1p(-p) - torch.log(p)))
                 - torch.where(p <= 0.5, torch.log1p(-2.0 * below), torch.log(2.0 * above - 1.0)))
        x = torch.pow(self.probs - 0.5, 2)
        return torch.where(holds, exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        holds, p = self._cut()
        exact = p / (2.0 * p - 1.0) + 1.0 / (torch.log1p(-p) - torch.log(p))
        x = self.probs - 0.5
        return torch.where(holds, exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * torch.pow(x, 2)) * x)

    @property
    def variance(self):
        holds, p = self._cut()
        exact = (p * (p - 1.0) / torch.pow(1.0 - 2.0 * p, 2)
                 + 1.0 / torch.pow(torch.log1p(-p) - torch.log(p), 2))
        x = torch.pow(self.probs - 0.5, 2)
        return torch.where(holds, exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    @property
    def stddev(self):
        return torch.sqrt(self.variance)

    def rsample(self, sample_shape=()):
        u = torch.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device)
        return self.icdf(u)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none") + self._log_norm()

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        holds, p = self._cut()
        exact = (torch.pow(p, value) * torch.pow(1.0 - p, 1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = torch.where(holds, exact, value)
        return torch.where(value <= 0.0, 0.0, torch.where(value >= 1.0, 1.0, inside))

    def icdf(self, value):
        holds, p = self._cut()
        exact = ((torch.log1p(-p + value * (2.0 * p - 1.0)) - torch.log1p(-p))
                 / (torch.log(p) - torch.log1p(-p)))
        return torch.where(holds, exact, value)

    def entropy(self):
        rest = torch.log1p(-self.probs)
        return self.mean * (rest - torch.log(self.probs)) - self._log_norm() - rest

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        holds = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        t = torch.where(holds, x, self._lims[0] - 0.5)
        exact = torch.log(torch.abs(torch.special.expm1(t))) - torch.log(torch.abs(t))
        taylor = 0.5 * x + torch.pow(x, 2) / 24.0 - torch.pow(x, 4) / 2880.0
        return torch.where(holds, exact, taylor)
