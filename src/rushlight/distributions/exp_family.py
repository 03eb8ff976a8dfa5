"""Exponential families, whose entropies follow from their log-normalizers."""

import rushlight as torch

from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Distributions of density p(x; θ) = exp(<t(x), θ> - F(θ) + k(x)).

    θ are the natural parameters, t the sufficient statistics, F the log-normalizer and k the carrier measure. A
    family defines ``_natural_params``, ``_log_normalizer(*θ)`` and ``_mean_carrier_measure`` = E[k(X)]. Source:
    Nielsen and Nock, "Entropies and cross-entropies of exponential families" (ICIP 2010).
    """

    @property
    def _natural_params(self):
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        raise NotImplementedError

    def entropy(self):
        """F(θ) - <θ, ∇F(θ)> - E[k(X)], the gradient by automatic differentiation."""
        result = -self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        slopes = torch.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = result + normalizer
        for param, slope in zip(params, slopes):
            result = result - (param * slope).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
