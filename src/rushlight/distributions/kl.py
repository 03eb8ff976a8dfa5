"""Kullback-Leibler divergences between pairs of families, and the table in which they are found."""

import math
import warnings
from functools import total_ordering

import rushlight as torch

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    lowrank_half_log_det,
    lowrank_mahalanobis,
)
from .multivariate_normal import MultivariateNormal, _batch_mahalanobis, half_log_det
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import _sum_rightmost, euler_constant

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY = {}       # (type of p, type of q) -> function
_KL_MEMOIZE = {}        # the same for the types that were looked up


def register_kl(type_p, type_q):
    """A decorator: use the function for ``kl_divergence(p, q)`` of instances of the two classes or their subclasses.

    Of several registered pairs the most specific is taken; a pair that is ambiguous is settled by one registered
    for both classes.
    """
    for cls in (type_p, type_q):
        if not (isinstance(cls, type) and issubclass(cls, Distribution)):
            which = "type_p" if cls is type_p else "type_q"
            if not isinstance(cls, type):
                raise TypeError("issubclass() arg 1 must be a class")
            raise TypeError(f"Expected {which} to be a Distribution subclass but got {cls}")

    def decorator(fun):
        _KL_REGISTRY[type_p, type_q] = fun
        _KL_MEMOIZE.clear()
        return fun
    return decorator


@total_ordering
class _Match:
    """A pair of classes, smaller the more specific it is, from the left or (turned) from the right."""

    def __init__(self, *types):
        self.types = types

    def __eq__(self, other):
        return self.types == other.types

    def __le__(self, other):
        for x, y in zip(self.types, other.types):
            if not issubclass(x, y):
                return False
            if x is not y:
                break
        return True


def _dispatch_kl(type_p, type_q):
    """The function registered for the most specific pair, or NotImplemented."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return NotImplemented
    left_p, left_q = min(_Match(*m) for m in matches).types
    right_q, right_p = min(_Match(*reversed(m)) for m in matches).types
    left, right = _KL_REGISTRY[left_p, left_q], _KL_REGISTRY[right_p, right_q]
    if left is not right:
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
                      f"Please register_kl({left_p.__name__}, {right_q.__name__})", RuntimeWarning, stacklevel=3)
    return left


def kl_divergence(p, q):
    """KL(p || q) = E_p[log p(X) - log q(X)], over the batches; NotImplementedError for pairs without a formula.

    Source: Kullback and Leibler, "On information and sufficiency" (1951).
    """
    pair = type(p), type(q)
    fun = _KL_MEMOIZE.get(pair)
    if fun is None:
        fun = _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    if fun is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")
    return fun(p, q)


def _infinite_like(x):
    return torch.full_like(x, torch.inf)


def _x_log_x(x):
    return torch.special.xlogy(x, x)


# ------------------------------------------------------------------ one family

@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p, q):
    t1 = p.probs * (torch.nn.functional.softplus(-q.logits) - torch.nn.functional.softplus(-p.logits))
    t1 = torch.where(q.probs == 0, torch.inf, t1)
    t1 = torch.where(p.probs == 0, 0.0, t1)
    t2 = (1 - p.probs) * (torch.nn.functional.softplus(q.logits) - torch.nn.functional.softplus(p.logits))
    t2 = torch.where(q.probs == 1, torch.inf, t2)
    t2 = torch.where(p.probs == 1, 0.0, t2)
    return t1 + t2


@register_kl(Beta, Beta)
def _beta_beta(p, q):
    p_sum, q_sum = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    normalizers = (q.concentration1.lgamma() + q.concentration0.lgamma() + p_sum.lgamma()
                   - p.concentration1.lgamma() - p.concentration0.lgamma() - q_sum.lgamma())
    return (normalizers + (p.concentration1 - q.concentration1) * torch.digamma(p.concentration1)
            + (p.concentration0 - q.concentration0) * torch.digamma(p.concentration0)
            + (q_sum - p_sum) * torch.digamma(p_sum))


@register_kl(Binomial, Binomial)
def _binomial_binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return torch.where(p.total_count > q.total_count, torch.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical_categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = torch.where((q.probs == 0).expand_as(terms), torch.inf, terms)
    terms = torch.where((p.probs == 0).expand_as(terms), 0, terms)
    return terms.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _onehotcategorical_onehotcategorical(p, q):
    return _categorical_categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli_continuous_bernoulli(p, q):
    return (p.mean * (p.logits - q.logits) + p._log_norm() + torch.log1p(-p.probs)
            - q._log_norm() - torch.log1p(-q.probs))


@register_kl(Dirichlet, Dirichlet)
def _dirichlet_dirichlet(p, q):
    a, b = p.concentration, q.concentration
    a_sum = a.sum(-1)
    slopes = (a - b) * (a.digamma() - a_sum.digamma().unsqueeze(-1))
    return a_sum.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1) + slopes.sum(-1)


@register_kl(Exponential, Exponential)
def _exponential_exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _expfamily_expfamily(p, q):
    """F(θ_q) - F(θ_p) - <θ_q - θ_p, ∇F(θ_p)>: a Bregman divergence of the log-normalizer."""
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families cannot "
                                  "be computed using Bregman divergences")
    p_params = [x.detach().requires_grad_() for x in p._natural_params]
    q_params = q._natural_params
    normalizer = p._log_normalizer(*p_params)
    slopes = torch.autograd.grad(normalizer.sum(), p_params, create_graph=True)
    result = q._log_normalizer(*q_params) - normalizer
    for x, y, slope in zip(p_params, q_params, slopes):
        result = result - _sum_rightmost((y - x) * slope, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma_gamma(p, q):
    return (q.concentration * (p.rate / q.rate).log() + torch.lgamma(q.concentration)
            - torch.lgamma(p.concentration)
            + (p.concentration - q.concentration) * torch.digamma(p.concentration)
            + (q.rate - p.rate) * (p.concentration / p.rate))


@register_kl(Gumbel, Gumbel)
def _gumbel_gumbel(p, q):
    ratio = p.scale / q.scale
    q_loc, p_loc = q.loc / q.scale, p.loc / q.scale
    return (-ratio.log() + p_loc - q_loc + ratio * euler_constant
            + torch.exp(q_loc + (1 + ratio).lgamma() - p_loc) - (1 + euler_constant))


@register_kl(Geometric, Geometric)
def _geometric_geometric(p, q):
    return -p.entropy() - torch.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _halfnormal_halfnormal(p, q):
    return _normal_normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace_laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * torch.exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _normal_normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto_pareto(p, q):
    scale, alpha = p.scale / q.scale, q.alpha / p.alpha
    kl = q.alpha * scale.log() - alpha.log() + alpha - 1
    return torch.where(p.support.lower_bound < q.support.lower_bound, torch.inf, kl)


@register_kl(Poisson, Poisson)
def _poisson_poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform_uniform(p, q):
    kl = ((q.high - q.low) / (p.high - p.low)).log()
    return torch.where((q.low > p.low) | (q.high < p.high), torch.inf, kl)


@register_kl(Cauchy, Cauchy)
def _cauchy_cauchy(p, q):
    """Source: Chyzak and Nielsen, "A closed-form formula for the Kullback-Leibler divergence between Cauchy
    distributions" (2019)."""
    return (((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log())


# ------------------------------------------------------------------ vectors

def _same_event(p, q, names):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {names} with different event shapes cannot be computed")


def _trace_of_square(x):
    """tr(X Xᵀ)"""
    return x.pow(2).flatten(-2).sum(-1)


def _solve(factor, x):
    batch = torch.broadcast_shapes(factor.shape[:-2], x.shape[:-2])
    return torch.linalg.solve_triangular(factor.expand(batch + factor.shape[-2:]), x.expand(batch + x.shape[-2:]),
                                         upper=False)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariatenormal_multivariatenormal(p, q):
    """(log det Σ_q - log det Σ_p + tr(Σ_q⁻¹ Σ_p) + distance² - n) / 2"""
    _same_event(p, q, "Multivariate Normals")
    p_factor, q_factor = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    trace = _trace_of_square(_solve(q_factor, p_factor))
    distance = _batch_mahalanobis(q_factor, q.loc - p.loc)
    return half_log_det(q_factor) - half_log_det(p_factor) + 0.5 * (trace + distance - p.event_shape[0])


def _lowrank_trace(q, columns, total):
    """tr((W Wᵀ + D)⁻¹ C Cᵀ) for C = `columns` and tr(D⁻¹ C Cᵀ) = `total`, by the Woodbury identity."""
    inner = (q._unbroadcasted_cov_factor.mT / q._unbroadcasted_cov_diag.unsqueeze(-2)) @ columns
    return total - _trace_of_square(_solve(q._capacitance_tril, inner))


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _lowrank_lowrank(p, q):
    _same_event(p, q, "Low Rank Multivariate Normals")
    q_diag = q._unbroadcasted_cov_diag
    dets = (lowrank_half_log_det(q_diag, q._capacitance_tril)
            - lowrank_half_log_det(p._unbroadcasted_cov_diag, p._capacitance_tril))
    distance = lowrank_mahalanobis(q._unbroadcasted_cov_factor, q_diag, q.loc - p.loc, q._capacitance_tril)
    of_factor = _lowrank_trace(q, p._unbroadcasted_cov_factor, _trace_of_square(
        p._unbroadcasted_cov_factor * q_diag.rsqrt().unsqueeze(-1)))
    root = p._unbroadcasted_cov_diag.sqrt()
    of_diag = _lowrank_trace(q, torch.diag_embed(root), (p._unbroadcasted_cov_diag / q_diag).sum(-1))
    return dets + 0.5 * (of_factor + of_diag + distance - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _multivariatenormal_lowrank(p, q):
    _same_event(p, q, "(Low Rank) Multivariate Normals")
    q_diag, p_factor = q._unbroadcasted_cov_diag, p._unbroadcasted_scale_tril
    dets = lowrank_half_log_det(q_diag, q._capacitance_tril) - half_log_det(p_factor)
    distance = lowrank_mahalanobis(q._unbroadcasted_cov_factor, q_diag, q.loc - p.loc, q._capacitance_tril)
    trace = _lowrank_trace(q, p_factor, _trace_of_square(p_factor * q_diag.rsqrt().unsqueeze(-1)))
    return dets + 0.5 * (trace + distance - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _lowrank_multivariatenormal(p, q):
    _same_event(p, q, "(Low Rank) Multivariate Normals")
    q_factor = q._unbroadcasted_scale_tril
    dets = half_log_det(q_factor) - lowrank_half_log_det(p._unbroadcasted_cov_diag, p._capacitance_tril)
    distance = _batch_mahalanobis(q_factor, q.loc - p.loc)
    trace = (_trace_of_square(_solve(q_factor, p._unbroadcasted_cov_factor))
             + _trace_of_square(_solve(q_factor, torch.diag_embed(p._unbroadcasted_cov_diag.sqrt()))))
    return dets + 0.5 * (trace + distance - p.event_shape[0])


# ------------------------------------------------------------------ distributions of distributions

@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent_independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# ------------------------------------------------------------------ two families: E_p[log p] - E_p[log q]

def _always_infinite(member):
    """A divergence that is infinite, as p has mass where q has none; over the batch of p's `member`."""
    return lambda p, q: _infinite_like(getattr(p, member))


for _p, _member, _qs in (
        (Beta, "concentration1", (Pareto,)),
        (ContinuousBernoulli, "probs", (Pareto,)),
        (Exponential, "rate", (Beta, ContinuousBernoulli, Pareto, Uniform)),
        (Gamma, "concentration", (Beta, ContinuousBernoulli, Pareto, Uniform)),
        (Gumbel, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
        (Laplace, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
        (Normal, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
        (Pareto, "scale", (Beta, ContinuousBernoulli, Uniform)),
        (Poisson, "rate", (Bernoulli, Binomial)),
        ):
    for _q in _qs:
        register_kl(_p, _q)(_always_infinite(_member))
del _p, _member, _qs, _q


def _normal_cross_entropy(mean, variance, q):
    """-E[log q(X)] for normal q, which depends on X's mean and variance only."""
    return 0.5 * ((variance + (mean - q.loc).pow(2)) / q.scale.pow(2) + (2 * math.pi * q.scale.pow(2)).log())


def _against_normal(p, q):
    return -p.entropy() + _normal_cross_entropy(p.mean, p.variance, q)


def _against_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.mean


for _p in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Uniform):
    register_kl(_p, Normal)(_against_normal)
for _p in (Beta, ContinuousBernoulli, Gamma):
    register_kl(_p, Exponential)(_against_exponential)
del _p


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p, q):
    return -p.entropy() - p.mean * q.logits - torch.log1p(-q.probs) - q._log_norm()


@register_kl(Beta, Gamma)
def _beta_gamma(p, q):
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return (-p.entropy() - q.concentration * q.rate.log() + q.concentration.lgamma()
            - (q.concentration - 1) * mean_log + q.rate * p.mean)


@register_kl(Beta, Uniform)
def _beta_uniform(p, q):
    kl = -p.entropy() + (q.high - q.low).log()
    return torch.where((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), torch.inf, kl)


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_uniform(p, q):
    kl = -p.entropy() + (q.high - q.low).log()
    outside = torch.max(torch.ge(q.low, p.support.lower_bound), torch.le(q.high, p.support.upper_bound))
    return torch.where(outside, torch.inf, kl)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    return (-q.concentration * ratio.log() + ratio + q.concentration.lgamma()
            + q.concentration * euler_constant - (1 + euler_constant))


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p, q):
    product, location = p.rate * q.scale, q.loc / q.scale
    return product.log() - 1 + product.reciprocal() + location.exp() * product / (product + 1) - location


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p, q):
    beta, location = p.rate * q.scale, q.loc / q.scale
    return ((p.concentration - 1) * p.concentration.digamma() - p.concentration.lgamma() - p.concentration
            + beta.log() + p.concentration / beta
            + location.exp() * (1 + beta.reciprocal()).pow(-p.concentration) - location)


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    mean, spread = p.loc / q.scale, (p.scale / q.scale).pow(2)
    location = q.loc / q.scale
    return (mean - location + (-mean + 0.5 * spread + location).exp()
            - 0.5 * (1 + math.log(2 * math.pi)) - (p.scale / q.scale).log())


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    d = p.loc - q.loc
    scaled = d / p.scale / math.sqrt(2)
    distance = p.scale * math.sqrt(2 / math.pi) * torch.exp(-scaled.pow(2)) + d * torch.erf(scaled)      # E|X - loc_q|
    return -p.entropy() + torch.log(2 * q.scale) + distance / q.scale


@register_kl(Pareto, Exponential)
def _pareto_exponential(p, q):
    product = p.scale * q.rate
    kl = (p.alpha / product).log() - p.alpha.reciprocal() + p.alpha * product / (p.alpha - 1) - 1
    return torch.where(p.alpha <= 1, torch.inf, kl)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p, q):
    mean_log = p.scale.log() + p.alpha.reciprocal()
    kl = (p.alpha.log() - p.scale.log() - (1 + p.alpha.reciprocal()) + q.concentration.lgamma()
          - q.concentration * q.rate.log() + (1 - q.concentration) * mean_log
          + q.rate * p.alpha * p.scale / (p.alpha - 1))
    return torch.where(p.alpha <= 1, torch.inf, kl)


@register_kl(Pareto, Normal)
def _pareto_normal(p, q):
    variance = p.scale.pow(2) * p.alpha / ((p.alpha - 1).pow(2) * (p.alpha - 2))
    mean = p.alpha * p.scale / (p.alpha - 1)
    kl = -p.entropy() + _normal_cross_entropy(mean, variance, q)
    return torch.where(p.alpha <= 2, torch.inf, kl)


def _uniform_mean_log(p):
    """E[log X] for X uniform."""
    return (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    width = p.high - p.low
    mean_log_rest = (_x_log_x(1 - p.low) - _x_log_x(1 - p.high)) / width - 1        # E[log(1 - X)]
    kl = (-torch.log(width) - (q.concentration1 - 1) * _uniform_mean_log(p) - (q.concentration0 - 1) * mean_log_rest
          + q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma())
    return torch.where((p.high > q.support.upper_bound) | (p.low < q.support.lower_bound), torch.inf, kl)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p, q):
    kl = -p.entropy() - p.mean * q.logits - torch.log1p(-q.probs) - q._log_norm()
    outside = torch.max(torch.ge(p.high, q.support.upper_bound), torch.le(p.low, q.support.lower_bound))
    return torch.where(outside, torch.inf, kl)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p, q):
    kl = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return torch.where(p.low < q.support.lower_bound, torch.inf, kl)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p, q):
    kl = (-p.entropy() + q.concentration.lgamma() - q.concentration * q.rate.log()
          + (1 - q.concentration) * _uniform_mean_log(p) + q.rate * (p.high + p.low) / 2)
    return torch.where(p.low < q.support.lower_bound, torch.inf, kl)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p, q):
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return 0.5 * (high + low) - ((-high).exp() - (-low).exp()) / (high - low) - (high - low).log()


@register_kl(Uniform, Pareto)
def _uniform_pareto(p, q):
    kl = -p.entropy() - q.alpha.log() - q.alpha * q.scale.log() + (q.alpha + 1) * _uniform_mean_log(p)
    return torch.where(p.low < q.support.lower_bound, torch.inf, kl)
