"""The Wishart distribution."""

import math
import warnings

import rushlight as torch

from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import _precision_to_scale_tril, half_log_det
from .utils import lazy_property

__all__ = ["Wishart"]


def _mvdigamma(x, p):
    """The derivative of log Γ_p(x): Σ_{i<p} ψ(x - i/2)."""
    return torch.digamma(x.unsqueeze(-1) - torch.arange(p, dtype=x.dtype, device=x.device).div(2)).sum(-1)


class Wishart(ExponentialFamily):
    """Σ z zᵀ over ν = `df` normal vectors z of covariance V: positive definite matrices X (..., p, p), ν > p - 1.

    p(X) = det(X)^((ν-p-1)/2) exp(-tr(V⁻¹ X)/2) / (2^(νp/2) det(V)^(ν/2) Γ_p(ν/2)). V is given as `covariance_matrix`,
    its inverse or its Cholesky factor. Samples by Bartlett's decomposition. Source: Wikipedia, "Wishart distribution".
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {"covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
                "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1)}

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        given = {"scale_tril": scale_tril, "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        assert len(given) == 1, "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, (int, float)):
            df = torch.tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch, event = torch.broadcast_shapes(matrix.shape[:-2], df.shape), matrix.shape[-2:]
        p = event[-1]
        if df.le(p - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {p - 1}.")
        self.df = df.expand(batch)
        setattr(self, name, matrix.expand(batch + event))
        # The constraint of df is known from the event only
        self._event_shape = torch.Size(event)
        super().__init__(batch, event, validate_args=validate_args)
        if self.df.lt(p).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for "
                          "ndim - 1 < df < ndim.", stacklevel=2)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = torch.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = _precision_to_scale_tril(matrix)
        falling = torch.arange(p, dtype=matrix.dtype, device=matrix.device).expand(batch + (-1,))
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - falling)

    def expand(self, batch_shape, _instance=None):
        names = ("df", "scale_tril", "covariance_matrix", "precision_matrix", "_dist_chi2")
        new = self._expand(Wishart, names, batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _over_batch(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        return self._over_batch(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        return self._over_batch(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        return self._over_batch(torch.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def _df(self):
        return self.df.unsqueeze(-1).unsqueeze(-1)

    @property
    def mean(self):
        return self._df * self.covariance_matrix

    @property
    def mode(self):
        factor = self._df - self.covariance_matrix.shape[-1] - 1
        return factor.masked_fill(factor <= 0, torch.nan) * self.covariance_matrix

    @property
    def variance(self):
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._df * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape=()):
        """L A Aᵀ Lᵀ: A lower triangular, its diagonal chi and the rest normal."""
        p = self._event_shape[-1]
        noise = self._dist_chi2.rsample(sample_shape).sqrt().diag_embed(dim1=-2, dim2=-1)
        row, column = torch.tril_indices(p, p, offset=-1)
        noise[..., row, column] = torch.randn(
            torch.Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,), dtype=noise.dtype, device=noise.device)
        chol = self._unbroadcasted_scale_tril @ noise
        return chol @ chol.mT

    def rsample(self, sample_shape=(), max_try_correction=None):
        """Matrices that rounding made singular are drawn again, at most `max_try_correction` (10) times."""
        self._bartlett_sampling(sample_shape)       # PyTorch keeps the second matrices of the stream
        sample = self._bartlett_sampling(sample_shape)
        singular = ~self.support.check(sample)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not singular.any():
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            again = self._bartlett_sampling(sample_shape)
            sample = torch.where(singular.unsqueeze(-1).unsqueeze(-1), again, sample)
            singular = ~self.support.check(sample)
        return sample

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        factor = self._unbroadcasted_scale_tril
        trace = torch.cholesky_solve(value, factor).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (-nu * (p * math.log(2) / 2 + half_log_det(factor)) - torch.mvlgamma(nu / 2, p)
                + (nu - p - 1) / 2 * torch.linalg.slogdet(value).logabsdet - trace / 2)

    def entropy(self):
        nu, p = self.df, self._event_shape[-1]
        return ((p + 1) * (p * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
                + torch.mvlgamma(nu / 2, p) - (nu - p - 1) / 2 * _mvdigamma(nu / 2, p) + nu * p / 2)

    @property
    def _natural_params(self):
        return self.df / 2, -self.precision_matrix / 2

    def _log_normalizer(self, x, y):
        p = y.shape[-1]
        return x * (-torch.linalg.slogdet(-2 * y).logabsdet + p * math.log(2)) + torch.mvlgamma(x, p)
