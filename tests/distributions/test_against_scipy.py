"""Densities, distribution functions and moments beside SciPy's."""

import numpy as np
import pytest
from scipy import stats

import rushlight as torch
from rushlight import distributions as D


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


# name -> (ours, SciPy's); continuous ones have pdf, discrete ones pmf
PAIRS = {
    "Bernoulli": (D.Bernoulli(t(.1, .7)), stats.bernoulli([.1, .7])),
    "Beta": (D.Beta(t(.5, 3.), t(2., 7.)), stats.beta([.5, 3.], [2., 7.])),
    "Binomial": (D.Binomial(9, t(.1, .7)), stats.binom(9, [.1, .7])),
    "Cauchy": (D.Cauchy(t(0., -2.), t(1., .3)), stats.cauchy([0., -2.], [1., .3])),
    "Chi2": (D.Chi2(t(.5, 7.)), stats.chi2([.5, 7.])),
    "Exponential": (D.Exponential(t(.5, 7.)), stats.expon(scale=[2., 1 / 7])),
    "FisherSnedecor": (D.FisherSnedecor(t(3., 8.), t(5., 20.)), stats.f([3., 8.], [5., 20.])),
    "Gamma": (D.Gamma(t(.5, 7.), t(2., .3)), stats.gamma([.5, 7.], scale=[.5, 1 / .3])),
    "GeneralizedPareto": (D.GeneralizedPareto(t(0., 1.), t(1., 2.), t(.2, -.4)),
                          stats.genpareto([.2, -.4], [0., 1.], [1., 2.])),
    "Geometric": (D.Geometric(t(.1, .7)), stats.geom([.1, .7], loc=-1)),
    "Gumbel": (D.Gumbel(t(0., -2.), t(1., .3)), stats.gumbel_r([0., -2.], [1., .3])),
    "HalfCauchy": (D.HalfCauchy(t(1., .3)), stats.halfcauchy(scale=[1., .3])),
    "HalfNormal": (D.HalfNormal(t(1., .3)), stats.halfnorm(scale=[1., .3])),
    "InverseGamma": (D.InverseGamma(t(3., 7.), t(2., .3)), stats.invgamma([3., 7.], scale=[2., .3])),
    "Laplace": (D.Laplace(t(0., -2.), t(1., .3)), stats.laplace([0., -2.], [1., .3])),
    "LogNormal": (D.LogNormal(t(0., -2.), t(1., .3)), stats.lognorm([1., .3], scale=np.exp([0., -2.]))),
    "NegativeBinomial": (D.NegativeBinomial(t(3., 5.5), t(.1, .7)), stats.nbinom([3., 5.5], [.9, .3])),
    "Normal": (D.Normal(t(0., -2.), t(1., .3)), stats.norm([0., -2.], [1., .3])),
    "Pareto": (D.Pareto(t(1., .3), t(3., 7.)), stats.pareto([3., 7.], scale=[1., .3])),
    "Poisson": (D.Poisson(t(.5, 30.)), stats.poisson([.5, 30.])),
    "StudentT": (D.StudentT(t(3., 9.), t(0., -2.), t(1., .3)), stats.t([3., 9.], [0., -2.], [1., .3])),
    "Uniform": (D.Uniform(t(0., -2.), t(1., .3)), stats.uniform([0., -2.], [1., 2.3])),
    "VonMises": (D.VonMises(t(0., 1.), t(.5, 30.)), stats.vonmises([.5, 30.], [0., 1.])),
    "Weibull": (D.Weibull(t(1., .3), t(.7, 4.)), stats.weibull_min([.7, 4.], scale=[1., .3])),
}
# The circular mean is the location; the variance is a circular one
CIRCULAR = {"VonMises"}


@pytest.mark.parametrize("name", PAIRS)
def test_numbers(name):
    ours, theirs = PAIRS[name]
    torch.manual_seed(0)
    x = ours.sample((20,))
    log_prob = theirs.logpmf if hasattr(theirs.dist, "pmf") else theirs.logpdf
    np.testing.assert_allclose(ours.log_prob(x), log_prob(x.numpy()), 1e-9, 1e-9)
    for method in ("cdf", "icdf"):
        try:
            values = getattr(ours, method)(x if method == "cdf" else torch.rand(20, 2, dtype=torch.float64))
        except NotImplementedError:
            continue
        if method == "cdf":
            np.testing.assert_allclose(values, theirs.cdf(x.numpy()), 1e-9, 1e-12)
        else:
            u = torch.linspace(.05, .95, 20, dtype=torch.float64).unsqueeze(-1)
            np.testing.assert_allclose(ours.icdf(u), theirs.ppf(u.numpy()), 1e-8)
    if name in CIRCULAR:
        return
    for what, value in (("mean", theirs.mean()), ("variance", theirs.var())):
        if np.isfinite(value).all():
            np.testing.assert_allclose(getattr(ours, what), value, 1e-9)
    try:
        entropy = ours.entropy()
    except NotImplementedError:
        return
    np.testing.assert_allclose(entropy, theirs.entropy(), 1e-7)


def test_vectors():
    a = np.array([.5, 2., 3.])
    x = np.array([.2, .3, .5])
    ours, theirs = D.Dirichlet(t(*a)), stats.dirichlet(a)
    assert ours.log_prob(t(*x)).item() == pytest.approx(theirs.logpdf(x))
    assert ours.entropy().item() == pytest.approx(theirs.entropy())
    np.testing.assert_allclose(ours.variance, theirs.var())
    cov = np.array([[2., .5], [.5, 1.]])
    z = np.array([.3, -1.])
    theirs = stats.multivariate_normal([0., 1.], cov)
    for ours in (D.MultivariateNormal(t(0., 1.), torch.tensor(cov)),
                 D.MultivariateNormal(t(0., 1.), precision_matrix=torch.tensor(np.linalg.inv(cov))),
                 D.MultivariateNormal(t(0., 1.), scale_tril=torch.tensor(np.linalg.cholesky(cov)))):
        assert ours.log_prob(t(*z)).item() == pytest.approx(theirs.logpdf(z))
        assert ours.entropy().item() == pytest.approx(theirs.entropy())
        np.testing.assert_allclose(ours.covariance_matrix, cov, 1e-12)
        np.testing.assert_allclose(ours.precision_matrix, np.linalg.inv(cov), 1e-12)
    w = np.array([[1.], [2.], [0.]])
    ours = D.LowRankMultivariateNormal(t(0., 0., 0.), torch.tensor(w), t(1., .5, 2.))
    cov = w @ w.T + np.diag([1., .5, 2.])
    theirs = stats.multivariate_normal(np.zeros(3), cov)
    assert ours.log_prob(t(.1, .2, .3)).item() == pytest.approx(theirs.logpdf([.1, .2, .3]))
    assert ours.entropy().item() == pytest.approx(theirs.entropy())
    np.testing.assert_allclose(ours.scale_tril @ ours.scale_tril.mT, cov, 1e-12)
    np.testing.assert_allclose(ours.precision_matrix, np.linalg.inv(cov), 1e-12)
    v = np.array([[2., .5], [.5, 1.]])
    ours, theirs = D.Wishart(t(5.)[0], torch.tensor(v)), stats.wishart(5, v)
    m = np.array([[3., 1.], [1., 4.]])
    assert ours.log_prob(torch.tensor(m)).item() == pytest.approx(theirs.logpdf(m))
    assert ours.entropy().item() == pytest.approx(theirs.entropy())
    np.testing.assert_allclose(ours.variance, theirs.var())
    ours, theirs = D.Multinomial(5, t(.2, .3, .5)), stats.multinomial(5, [.2, .3, .5])
    assert ours.log_prob(t(1., 3., 1.)).item() == pytest.approx(theirs.logpmf([1, 3, 1]))
    assert ours.entropy().item() == pytest.approx(theirs.entropy())


@pytest.mark.parametrize("make", [
    lambda: D.ContinuousBernoulli(t(.2)[0]), lambda: D.ContinuousBernoulli(t(.4995)[0]),
    lambda: D.Kumaraswamy(t(2.)[0], t(3.)[0]), lambda: D.RelaxedBernoulli(t(2.)[0], t(.3)[0]),
    lambda: D.MixtureSameFamily(D.Categorical(t(.3, .7)), D.Beta(t(2., 3.), t(4., 1.5))),
    lambda: D.TransformedDistribution(D.Normal(t(0.)[0], t(1.)[0]), D.SigmoidTransform())])
def test_densities_on_the_unit_interval_by_quadrature(make):
    p = make()
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x, w = torch.tensor((nodes + 1) / 2), torch.tensor(weights / 2)
    density = p.log_prob(x).exp()
    assert (w * density).sum().item() == pytest.approx(1, abs=1e-5)
    for what, value in (("mean", (w * density * x).sum()),
                        ("variance", (w * density * x * x).sum() - (w * density * x).sum() ** 2),
                        ("entropy", -(w * density * p.log_prob(x)).sum())):
        try:
            found = getattr(p, what)
            found = found() if callable(found) else found
        except NotImplementedError:
            continue
        assert found.item() == pytest.approx(value.item(), abs=1e-5), what


def test_lkj_density_in_two_dimensions():
    # The correlation r of two is beta distributed on [-1, 1], p(r) ∝ (1 - r²)^(η - 1); dL = dr
    p = D.LKJCholesky(2, t(2.5)[0], validate_args=False)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r = torch.tensor(nodes)
    zero, one = torch.zeros_like(r), torch.ones_like(r)
    factor = torch.stack([torch.stack([one, zero], -1), torch.stack([r, (1 - r * r).sqrt()], -1)], -2)
    density = p.log_prob(factor).exp()
    assert (torch.tensor(weights) * density).sum().item() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(density, stats.beta(2.5, 2.5, -1, 2).pdf(nodes), 1e-8)
