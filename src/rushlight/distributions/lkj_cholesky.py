"""The LKJ distribution of correlation matrices, by their Cholesky factors."""

import math

import rushlight as torch

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors L of `dim` × `dim` correlation matrices M = L Lᵀ with p(M) ∝ det(M)^(concentration - 1).

    Concentration 1 is uniform over correlation matrices, larger ones favour independence. Density of L and samples
    (the onion method): Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and
    extended onion method" (2009).
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of what is below the diagonal in row i is beta distributed
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = torch.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        offset = torch.cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.size(), (dim, dim), validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._expand(LKJCholesky, ("concentration", "_beta"), batch_shape, _instance)
        new.dim = self.dim
        return new

    def sample(self, sample_shape=()):
        with torch.no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            direction = torch.randn(self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
            direction = direction / direction.norm(dim=-1, keepdim=True)
            direction[..., 0, :].fill_(0.0)         # 0 / 0: the first row has nothing below the diagonal
            w = torch.sqrt(y) * direction
            left = torch.clamp(1 - torch.sum(w ** 2, dim=-1), min=torch.finfo(w.dtype).tiny)
            return w + torch.diag_embed(left.sqrt())

    def log_prob(self, value):
        # p(L) ∝ Π_i L_ii^(dim - i + 2 (concentration - 1)), i = 2 ... dim
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = torch.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        unnormalized = torch.sum(order * diagonal.log(), dim=-1)
        rows = self.dim - 1
        alpha = self.concentration + 0.5 * rows
        normalizer = (0.5 * rows * math.log(math.pi) + torch.mvlgamma(alpha - 0.5, rows)
                      - torch.lgamma(alpha) * rows)
        return unnormalized - normalizer
