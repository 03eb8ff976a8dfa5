"""Samples: PyTorch's stored ones of a seed, moments, and gradients with respect to parameters."""

import numpy as np
import pytest
from scipy import special

import rushlight as torch
from rushlight import distributions as D

t = torch.tensor

# What PyTorch 2.13 draws with manual_seed(0)
STORED = {
    "D.Bernoulli(t([.3, .7]))": [0, 0, 1, 1],
    "D.Beta(t([.5, 2.]), t([3., 1.]))": [0.000619769, 0.868916, 0.0973841, 0.449761],
    "D.Binomial(9, t([.3, .7]))": [6, 6, 2, 6],
    "D.Categorical(t([.2, .3, .5]))": [2, 2],
    "D.Cauchy(t([0., 1.]), 1.)": [10.5977, 1.76477, -0.128299, 4.93307],
    "D.ContinuousBernoulli(t([.3, .7]))": [0.393583, 0.832319, 0.0612316, 0.191377],
    "D.Dirichlet(t([1., 2., 3.]))": [0.528204, 0.241125, 0.230671, 0.0174711, 0.298638, 0.683891],
    "D.Exponential(t([.3, .7]))": [11.6944, 1.75769, 2.05015, 3.6216],
    "D.FisherSnedecor(t([3., 7.]), 5.)": [4.91487, 1.17442, 0.504739, 0.215253],
    "D.Gamma(t([.5, 2.]), 1.)": [0.000789358, 0.631541, 0.072356, 2.99953],
    "D.Geometric(t([.3, .7]))": [1, 0, 6, 1],
    "D.Gumbel(t([0., 1.]), 1.)": [0.355729, 2.33303, -0.885835, 0.294567],
    "D.LKJCholesky(3, 1.5)": [
        1, 0, 0, 0.153474, 0.988153, 0, -0.560008, -0.0436713, 0.827335, 1, 0, 0, -0.130043, 0.991508, 0,
        0.516783, -0.199205, 0.832618],
    "D.Laplace(t([0., 1.]), 1.)": [-0.00751493, 1.76883, -1.73186, -0.331575],
    "D.LogisticNormal(t([0., 1.]), 1.)": [0.700116, 0.200815, 0.0990689, 0.0535584, 0.783237, 0.163204],
    "D.LowRankMultivariateNormal(torch.zeros(2), t([[1.], [2.]]), torch.ones(2))": [
        -0.637793, 3.65042, -1.37795, -1.98545],
    "D.MixtureSameFamily(D.Categorical(t([.3, .7])), D.Normal(t([0., 5.]), 1.))": [5.56843, 3.6014],
    "D.Multinomial(6, t([.2, .3, .5]))": [1, 2, 3, 1, 2, 3],
    "D.MultivariateNormal(torch.zeros(2), t([[2., .5], [.5, 1.]]))": [2.1793, 0.270347, -3.08127, -0.2386],
    "D.NegativeBinomial(5., t([.3, .7]))": [3, 10, 1, 7],
    "D.Normal(t([0., 1.]), 2.)": [3.08199, 0.413142, -4.35758, 2.13686],
    "D.Poisson(t([3., 70.]))": [6, 66, 2, 66],
    "D.RelaxedBernoulli(t(.5), t([.3, .7]))": [0.151287, 0.983556, 0.00172753, 0.111883],
    "D.RelaxedOneHotCategorical(t(.5), t([.2, .3, .5]))": [
        0.0574406, 0.912589, 0.0299703, 0.00762917, 0.0505792, 0.941792],
    "D.StudentT(t([3., 7.]))": [3.21987, -0.486558, -3.59991, 0.672338],
    "D.Uniform(t([0., 1.]), 2.)": [0.992513, 1.76822, 0.176955, 1.13203],
    "D.VonMises(t([0., 1.]), t([1., 5.]))": [-0.588959, 1.63883, -0.860498, 1.3663],
    "D.Weibull(t([1., 2.]), 1.5)": [2.30887, 2.29645, 0.723221, 3.71845],
    "D.Wishart(t(4.), torch.eye(2))": [2.01796, -1.26712, -1.26712, 3.54474, 1.26198, -1.6953, -1.6953, 4.88597],
}


@pytest.mark.parametrize("text", STORED)
def test_seeded_samples_are_pytorchs(text):
    p = eval(text, {"D": D, "t": t, "torch": torch})
    torch.manual_seed(0)
    np.testing.assert_allclose(p.sample((2,)).flatten(), STORED[text], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: D.Beta(t(2.), t(3.)), lambda: D.Binomial(20, t(.3)), lambda: D.ContinuousBernoulli(t(.2)),
    lambda: D.Dirichlet(t([1., 2., 3.])), lambda: D.FisherSnedecor(t(5.), t(20.)), lambda: D.Gamma(t(.7), t(2.)),
    lambda: D.GeneralizedPareto(t(0.), t(1.), t(.1)), lambda: D.Geometric(t(.3)), lambda: D.Gumbel(t(1.), t(2.)),
    lambda: D.HalfNormal(t(2.)), lambda: D.InverseGamma(t(9.), t(3.)), lambda: D.Kumaraswamy(t(2.), t(3.)),
    lambda: D.Laplace(t(1.), t(2.)), lambda: D.LogNormal(t(0.), t(.5)),
    lambda: D.LowRankMultivariateNormal(t([0., 1.]), t([[1.], [2.]]), t([1., .5])),
    lambda: D.MixtureSameFamily(D.Categorical(t([.3, .7])), D.Normal(t([0., 5.]), t([1., 2.]))),
    lambda: D.Multinomial(5, t([.2, .3, .5])), lambda: D.MultivariateNormal(t([0., 1.]), t([[2., .5], [.5, 1.]])),
    lambda: D.NegativeBinomial(t(3.), t(.4)), lambda: D.OneHotCategorical(t([.2, .3, .5])),
    lambda: D.Pareto(t(1.), t(9.)),
    lambda: D.StudentT(t(9.), t(1.), t(2.)), lambda: D.Weibull(t(2.), t(1.5)), lambda: D.Wishart(t(5.), torch.eye(2))])
def test_moments(make):
    torch.manual_seed(1)
    p = make()
    n = 20000
    x = p.sample((n,))
    spread = p.variance.sqrt()
    assert ((x.mean(0) - p.mean).abs() <= 5 * spread / n ** .5 + 1e-6).all()
    assert ((x.var(0) / p.variance.clamp(min=1e-9) - 1).abs() < .2).all()


def test_circular_moments():
    torch.manual_seed(1)
    p = D.VonMises(t(1.), t(3.))
    x = p.sample((20000,))
    assert x.abs().max() <= torch.pi
    assert torch.atan2(x.sin().mean(), x.cos().mean()).item() == pytest.approx(1, abs=.02)
    assert 1 - torch.hypot(x.sin().mean(), x.cos().mean()).item() == pytest.approx(p.variance.item(), abs=.01)


def test_correlation_matrices():
    torch.manual_seed(1)
    p = D.LKJCholesky(4, t([.7, 3.]))
    x = p.sample((200,))
    assert p.support.check(x).all()
    off = (x @ x.mT)[..., 1, 0].var(0)
    # The marginal of a correlation is beta(η - 1 + d/2) on [-1, 1]
    for found, eta in zip(off, (.7, 3.)):
        b = eta - 1 + 2
        assert found.item() == pytest.approx(1 / (2 * b + 1), rel=.3)


def test_mixtures_of_vectors_pick_whole_components():
    torch.manual_seed(0)
    base = D.Independent(D.Normal(t([[0., 0., 0.], [9., 9., 9.]]), 1e-3), 1)
    x = D.MixtureSameFamily(D.Categorical(t([.5, .5])), base).sample((50,)).round()
    assert x.shape == (50, 3) and set(x.flatten().tolist()) == {0., 9.}
    assert (x == x[:, :1]).all()


@pytest.mark.parametrize("a", [1e-2, .3, 1., 4.5, 60., 2000.])
def test_slopes_of_gamma_numbers(a):
    u = np.array([.01, .3, .5, .8, .99])
    x = special.gammaincinv(a, u)
    keep = x > 1e-200
    h = 1e-5 * a
    expected = (special.gammaincinv(a + h, u) - special.gammaincinv(a - h, u))[keep] / (2 * h)
    found = torch._standard_gamma_grad(torch.full((keep.sum(),), a, dtype=torch.float64), t(x[keep]))
    np.testing.assert_allclose(found, expected, 2e-6)


@pytest.mark.parametrize("a", [.05, .5, 2., 30.])
@pytest.mark.parametrize("b", [.05, .7, 3., 80.])
def test_slopes_of_beta_numbers(a, b):
    u = np.array([.02, .4, .6, .97])
    x = special.betaincinv(a, b, u)
    keep = (x > 1e-100) & (x < 1 - 1e-4)
    h = 1e-4 * a
    expected = (special.betaincinv(a + h, b, u) - special.betaincinv(a - h, b, u))[keep] / (2 * h) / (1 - x[keep])
    found = torch._dirichlet_grad(t(x[keep]), *(torch.full((keep.sum(),), v, dtype=torch.float64) for v in (a, a + b)))
    np.testing.assert_allclose(found, expected, 1e-5)


def test_ends_of_the_intervals():
    slope = torch._standard_gamma_grad(t([0., 1., 2.]), t([1., 0., float("nan")]))
    assert slope[1] == 0 and slope[[0, 2]].isnan().all()
    near, at = (torch._dirichlet_grad(t([x], dtype=torch.float64), t([5.], dtype=torch.float64),
                                      t([5.1], dtype=torch.float64)).item() for x in (1 - 1e-13, 1.))
    assert near == pytest.approx(at, rel=1e-3)
    for name in ("_standard_gamma_grad", "_dirichlet_grad"):
        with pytest.raises(NotImplementedError, match="Half"):
            half = torch.ones(2).half()
            getattr(torch, name)(*(half,) * (2 if "gamma" in name else 3))


@pytest.mark.parametrize("make", [
    lambda p: D.Gamma(p, 2.), lambda p: D.Beta(p, 2 * p), lambda p: D.Chi2(p), lambda p: D.StudentT(p + 3),
    lambda p: D.Dirichlet(torch.stack([p, 2 * p, p + 1])), lambda p: D.Normal(p, p), lambda p: D.Exponential(p),
    lambda p: D.Weibull(p, 2 * p), lambda p: D.Kumaraswamy(p, 3.), lambda p: D.Laplace(p, p)])
def test_gradients_of_means(make):
    # d E[f(X)] / dp by one stream of samples: the mean of the gradients of samples
    torch.manual_seed(4)
    p = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    make(p).rsample((40000,)).square().sum(-1).mean().backward() if make(p).event_shape else \
        make(p).rsample((40000,)).square().mean().backward()
    h = 1e-4

    def second_moment(v):
        q = make(torch.tensor(v, dtype=torch.float64))
        return (q.variance + q.mean ** 2).sum().item()
    expected = (second_moment(1.7 + h) - second_moment(1.7 - h)) / (2 * h)
    assert p.grad.item() == pytest.approx(expected, rel=.12, abs=.02)


def test_straight_through():
    logits = torch.zeros(3, requires_grad=True)
    p = D.OneHotCategoricalStraightThrough(logits=logits)
    torch.manual_seed(0)
    x = p.rsample()
    assert sorted(x.tolist()) == pytest.approx([0, 0, 1], abs=1e-6)
    (x * t([1., 2., 3.])).sum().backward()
    np.testing.assert_allclose(logits.grad, [-1 / 3, 0, 1 / 3], atol=1e-6)


def test_sample_has_no_history():
    p = D.Gamma(torch.ones(2, requires_grad=True), 1.)
    assert not p.sample().requires_grad and p.rsample().requires_grad
