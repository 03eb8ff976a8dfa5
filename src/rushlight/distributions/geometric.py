"""The geometric distribution."""

import rushlight as torch
import rushlight.nn.functional as F

from . import constraints
from .distribution import Distribution
from .odds import Odds
from .utils import broadcast_all, broadcast_odds

__all__ = ["Geometric"]


class Geometric(Odds, Distribution):
    """The number of failures before the first success, of probability `probs` (or sigmoid of `logits`).

    p(k) = (1 - probs)^k probs, k = 0, 1, ... Source: Wikipedia, "Geometric distribution".
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        name, value, batch_shape = broadcast_odds(probs, logits)
        setattr(self, name, value)
        super().__init__(batch_shape, validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self.probs
            if not (value > 0).all():
                raise ValueError(f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of "
                                 f"distribution {self!r} to be positive but found invalid values:"
                                 f"\n{value[~(value > 0)]}")

    def expand(self, batch_shape, _instance=None):
        return self._expand(Geometric, ("probs", "logits"), batch_shape, _instance)

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return torch.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            u = self.probs.new_empty(shape).uniform_(torch.finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        rest = torch.where((probs == 1) & (value == 0), 0, -probs)      # 0 log 0 is 0
        return value * rest.log1p() + self.probs.log()

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
