"""The negative binomial distribution."""

import rushlight as torch
import rushlight.nn.functional as F

from . import constraints
from .distribution import Distribution
from .gamma import Gamma
from .odds import Odds
from .utils import broadcast_all, either, lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Odds, Distribution):
    """The number of successes, each of probability `probs`, before r = `total_count` failures; r may be any number.

    p(k) = Γ(k + r) / (k! Γ(r)) (1 - probs)^r probs^k. Source: Wikipedia, "Negative binomial distribution".
    """

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        if either(probs, logits):
            self.total_count, self.probs = broadcast_all(total_count, probs)
        else:
            self.total_count, self.logits = broadcast_all(total_count, logits)
        self.total_count = self.total_count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand(NegativeBinomial, ("total_count", "probs", "logits"), batch_shape, _instance)

    @property
    def mean(self):
        return self.total_count * torch.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / torch.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self):
        """The distribution of the rates of which this is the Poisson mixture."""
        return Gamma(self.total_count, torch.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return torch.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        r = self.total_count
        unnormalized = r * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        ways = -torch.lgamma(r + value) + torch.lgamma(1.0 + value) + torch.lgamma(r)
        return unnormalized - ways.masked_fill(r + value == 0.0, 0.0)
