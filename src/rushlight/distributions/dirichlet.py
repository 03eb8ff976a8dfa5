"""The Dirichlet distribution."""

import rushlight as torch

from . import constraints
from .exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class _DirichletSample(torch.autograd.Function):
    """Dirichlet numbers; gradients by implicit reparameterization of the beta marginals.

    With x_i of Beta(α_i, Σα - α_i), dx_i/dα_i = f and the other coordinates shrink in proportion:
    dx_j/dα_i = (δ_ij - x_j) f / (1 - x_i). Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization
    gradients" (2018).
    """

    @staticmethod
    def forward(ctx, concentration):
        x = torch._sample_dirichlet(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        slope = torch._dirichlet_grad(x, concentration, total)
        return slope * (g - (x * g).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """Vectors on the simplex, of parameters α = `concentration` (..., K).

    p(x) = Γ(Σα) Π x_k^(α_k - 1) / Γ(α_k). Source: Wikipedia, "Dirichlet distribution".
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand(Dirichlet, ("concentration",), batch_shape, _instance)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        at_corners = (self.concentration < 1).all(-1, keepdim=True)     # infinite at every one: the first stands
        corner = torch.zeros_like(mode)
        corner[..., 0] = 1.0
        return torch.where(at_corners, corner, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return _DirichletSample.apply(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return torch.xlogy(a - 1.0, value).sum(-1) + torch.lgamma(a.sum(-1)) - torch.lgamma(a).sum(-1)

    def entropy(self):
        a = self.concentration
        k, total = a.size(-1), a.sum(-1)
        return (torch.lgamma(a).sum(-1) - torch.lgamma(total) - (k - total) * torch.digamma(total)
                - ((a - 1.0) * torch.digamma(a)).sum(-1))

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return x.lgamma().sum(-1) - torch.lgamma(x.sum(-1))
