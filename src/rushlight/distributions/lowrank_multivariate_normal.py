"""The multivariate normal distribution whose covariance is a diagonal and a matrix of low rank."""

import math

import rushlight as torch

from . import constraints
from .distribution import Distribution
from .multivariate_normal import _batch_mahalanobis, half_log_det
from .utils import _standard_normal, lazy_property

__all__ = ["LowRankMultivariateNormal"]


def capacitance_tril(w, d):
    """The Cholesky factor of I + Wᵀ D⁻¹ W, for W (..., n, r) and the diagonal d (..., n) of D."""
    matrix = (w.mT / d.unsqueeze(-2)) @ w
    return torch.linalg.cholesky(matrix + torch.eye(w.shape[-1], dtype=w.dtype, device=w.device))


def lowrank_half_log_det(d, capacitance):
    """log sqrt(det(W Wᵀ + D)), by the matrix determinant lemma."""
    return half_log_det(capacitance) + 0.5 * d.log().sum(-1)


def lowrank_mahalanobis(w, d, x, capacitance):
    """xᵀ (W Wᵀ + D)⁻¹ x, by the Woodbury identity."""
    inner = ((w.mT / d.unsqueeze(-2)) @ x.unsqueeze(-1)).squeeze(-1)
    return (x.pow(2) / d).sum(-1) - _batch_mahalanobis(capacitance, inner)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of mean `loc` (..., n) and covariance W Wᵀ + D.

    W = `cov_factor` (..., n, r) and D the matrix of the diagonal `cov_diag` (..., n). With r below n determinants
    and inverses are taken of r × r matrices only. Source: Wikipedia, "Woodbury matrix identity" and "Matrix
    determinant lemma".
    """

    arg_constraints = {"loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = torch.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as e:
            raise ValueError(f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                             f"cov_diag {cov_diag.shape}") from e
        self.loc = loc.expand(batch + event)
        self.cov_factor = cov_factor.expand(batch + cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(batch + event)
        super().__init__(batch, event, validate_args=validate_args)
        self._unbroadcasted_cov_factor = cov_factor
        self._unbroadcasted_cov_diag = cov_diag
        self._capacitance_tril = capacitance_tril(cov_factor, cov_diag)

    def expand(self, batch_shape, _instance=None):
        names = ("loc", "cov_factor", "cov_diag", "covariance_matrix", "scale_tril", "precision_matrix")
        new = self._expand(LowRankMultivariateNormal, names, batch_shape, _instance)
        new._unbroadcasted_cov_factor = self._unbroadcasted_cov_factor
        new._unbroadcasted_cov_diag = self._unbroadcasted_cov_diag
        new._capacitance_tril = self._capacitance_tril
        return new

    def _over_batch(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        variance = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        # D^½ chol(I + D^-½ W Wᵀ D^-½): a better conditioned matrix than the covariance
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        w = self._unbroadcasted_cov_factor / root
        eye = torch.eye(self._event_shape[0], dtype=w.dtype, device=w.device)
        return self._over_batch(root * torch.linalg.cholesky(w @ w.mT + eye))

    @lazy_property
    def covariance_matrix(self):
        w = self._unbroadcasted_cov_factor
        return self._over_batch(w @ w.mT + torch.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self):
        d = self._unbroadcasted_cov_diag
        inner = torch.linalg.solve_triangular(
            self._capacitance_tril, self._unbroadcasted_cov_factor.mT / d.unsqueeze(-2), upper=False)
        return self._over_batch(torch.diag_embed(d.reciprocal()) - inner.mT @ inner)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        dtype, device = self.loc.dtype, self.loc.device
        of_w = _standard_normal(shape[:-1] + self.cov_factor.shape[-1:], dtype, device)
        of_d = _standard_normal(shape, dtype, device)
        return (self.loc + (self._unbroadcasted_cov_factor @ of_w.unsqueeze(-1)).squeeze(-1)
                + self._unbroadcasted_cov_diag.sqrt() * of_d)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        w, d, capacitance = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        distance = lowrank_mahalanobis(w, d, value - self.loc, capacitance)
        return (-0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance)
                - lowrank_half_log_det(d, capacitance))

    def entropy(self):
        h = (0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
             + lowrank_half_log_det(self._unbroadcasted_cov_diag, self._capacitance_tril))
        return h.expand(self._batch_shape)
