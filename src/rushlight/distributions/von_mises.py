"""The von Mises distribution."""

import math

import rushlight as torch

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, lazy_property

__all__ = ["VonMises"]


def _log_i0(x):
    """The logarithm of the modified Bessel function of order 0."""
    return x + torch.special.i0e(x).log()


class VonMises(Distribution):
    """Angles about `loc`, on the circle what the normal distribution is on the line.

    p(x) = exp(κ cos(x - loc)) / (2π I₀(κ)) with κ = `concentration`. Values are in [-π, π). Samples by rejection
    from wrapped Cauchy angles: Best and Fisher, "Efficient simulation of the von Mises distribution" (1979). Source:
    Wikipedia, "Von Mises distribution".
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand(VonMises, ("loc", "concentration"), batch_shape, _instance)

    @property
    def mean(self):
        """The circular mean."""
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        """The circular variance, 1 - I₁(κ) / I₀(κ)."""
        k = self.concentration
        return 1 - torch.special.i1e(k) / torch.special.i0e(k)

    @lazy_property
    def _proposal_r(self):
        """The parameter of the wrapped Cauchy distribution, in double precision."""
        k = self.concentration.double()
        tau = 1 + (1 + 4 * k ** 2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return torch.where(k < 1e-5, 1 / k + k, (1 + rho ** 2) / (2 * rho))     # the limit, without cancellation

    @torch.no_grad()
    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        k, r = self.concentration.double(), self._proposal_r
        angle = torch.empty(shape, dtype=torch.double, device=self.loc.device)
        done = torch.zeros(shape, dtype=torch.bool, device=self.loc.device)
        while not done.all():
            u1, u2, u3 = torch.rand((3,) + shape, dtype=torch.double, device=self.loc.device).unbind()
            z = torch.cos(math.pi * u1)
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
            angle = torch.where(accept, (u3 - 0.5).sign() * f.acos(), angle)
            done = done | accept
        return ((angle + math.pi + self.loc.double()) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return self.concentration * torch.cos(value - self.loc) - math.log(2 * math.pi) - _log_i0(self.concentration)
