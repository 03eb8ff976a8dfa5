"""``torch.distributions`` beside an installed PyTorch: numbers, samples, gradients, divergences, transforms, texts.

Every test counts what it compares and prints "equal / all" (shown with ``pytest -s``).
"""

import warnings
from functools import cache

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

MODULES = (rushlight, torch)


def param(t, d, *values):
    """A parameter: a leaf of dtype `d`."""
    return t.tensor(values[0] if len(values) == 1 else list(values), dtype=getattr(t, d), requires_grad=True)


def matrices(p):
    """Two covariance matrices of size p."""
    base = np.random.default_rng(p).normal(size=(2, p, p))
    return (base @ base.swapaxes(1, 2) + np.eye(p)).tolist()


# name -> makers (D, p) -> distribution, where p(...) makes a parameter of the dtype under test
CASES = {
    "Bernoulli": [lambda D, p: D.Bernoulli(p(.1, .5, .9)), lambda D, p: D.Bernoulli(logits=p(-3., 0., 20.)),
                  lambda D, p: D.Bernoulli(p(0., 1.))],
    "Beta": [lambda D, p: D.Beta(p(.3, 1., 20.), p(2., 1., .7)), lambda D, p: D.Beta(p([[2.], [150.]]), p(3., .1))],
    "Binomial": [lambda D, p: D.Binomial(10, p(.1, .5, .97)), lambda D, p: D.Binomial(3, logits=p(-3., 0., 5.)),
                 lambda D, p: D.Binomial(p(3., 50., 200.).detach(), p([[.1], [.7]]))],
    "Categorical": [lambda D, p: D.Categorical(p(.1, .5, .9)), lambda D, p: D.Categorical(p([[1., 0.], [3., 4.]])),
                    lambda D, p: D.Categorical(logits=p([[-3., 0., 5.], [0., 0., 0.]]))],
    "Cauchy": [lambda D, p: D.Cauchy(p(0., -3.), p(1., .2)), lambda D, p: D.Cauchy(p(2.), p(5.))],
    "Chi2": [lambda D, p: D.Chi2(p(.5, 1., 7., 60.))],
    "ContinuousBernoulli": [lambda D, p: D.ContinuousBernoulli(p(.1, .4995, .5, .9)),
                            lambda D, p: D.ContinuousBernoulli(logits=p(-3., 0., 4.))],
    "Dirichlet": [lambda D, p: D.Dirichlet(p(.3, 1., 5.)), lambda D, p: D.Dirichlet(p([[2., 3.], [40., .5]])),
                  lambda D, p: D.Dirichlet(p(.2, .3, .4))],
    "Exponential": [lambda D, p: D.Exponential(p(.1, 1., 30.))],
    "FisherSnedecor": [lambda D, p: D.FisherSnedecor(p(1., 3., 10.), p(2.5, 7., 30.)),
                       lambda D, p: D.FisherSnedecor(p(1., 3.), p([[1.], [4.5]]))],
    "Gamma": [lambda D, p: D.Gamma(p(.1, 1., 3., 100.), p(.5, 1., 2., 30.)), lambda D, p: D.Gamma(p(2.), p(3.))],
    "GeneralizedPareto": [lambda D, p: D.GeneralizedPareto(p(0., 1., -1.), p(1., 2., .5), p(.1, -.4, 0.)),
                          lambda D, p: D.GeneralizedPareto(p(0., 0.), p(1., 3.), p(.7, 1.5))],
    "Geometric": [lambda D, p: D.Geometric(p(.1, .5, .99)), lambda D, p: D.Geometric(logits=p(-3., 0., 3.))],
    "Gumbel": [lambda D, p: D.Gumbel(p(0., -3.), p(1., .2))],
    "HalfCauchy": [lambda D, p: D.HalfCauchy(p(1., .2, 30.))],
    "HalfNormal": [lambda D, p: D.HalfNormal(p(1., .2, 30.))],
    "Independent": [lambda D, p: D.Independent(D.Normal(p([0., 1.], [2., 3.]), p(1., 2.)), 1),
                    lambda D, p: D.Independent(D.Gamma(p([.5, 1.], [2., 3.]), p(1., 2.)), 2),
                    lambda D, p: D.Independent(D.Bernoulli(p(.3, .6)), 0)],
    "InverseGamma": [lambda D, p: D.InverseGamma(p(.8, 1.5, 3., 20.), p(.5, 1., 2., 30.))],
    "Kumaraswamy": [lambda D, p: D.Kumaraswamy(p(.5, 1., 3.), p(.7, 2., 5.))],
    "LKJCholesky": [lambda D, p: D.LKJCholesky(3, p(.5, 1., 4.)), lambda D, p: D.LKJCholesky(5, p(2.)),
                    lambda D, p: D.LKJCholesky(2, p(1.))],
    "Laplace": [lambda D, p: D.Laplace(p(0., -3.), p(1., .2))],
    "LogNormal": [lambda D, p: D.LogNormal(p(0., -3.), p(1., .2))],
    "LogisticNormal": [lambda D, p: D.LogisticNormal(p(0., -3.), p(1., .2)),
                       lambda D, p: D.LogisticNormal(p([0., 1., 2.], [0., 0., 0.]), p(1., 2., 1.))],
    "LowRankMultivariateNormal": [
        lambda D, p: D.LowRankMultivariateNormal(p(0., 1., 2.), p([1., 0.], [2., 1.], [0., -1.]), p(1., .5, 2.)),
        lambda D, p: D.LowRankMultivariateNormal(p([0., 1.], [3., 4.]), p([1.], [2.]), p(1., .5))],
    "MixtureSameFamily": [
        lambda D, p: D.MixtureSameFamily(D.Categorical(p(.2, .3, .5)), D.Normal(p(0., 1., 2.), p(1., .3, 2.))),
        lambda D, p: D.MixtureSameFamily(D.Categorical(p([.2, .8], [.5, .5])), D.Independent(
            D.Normal(p([[0., 1., 2.], [1., 1., 1.]], [[3., 4., 5.], [0., 0., 0.]]), p(1.)), 1)),
        lambda D, p: D.MixtureSameFamily(D.Categorical(logits=p(.2, .8)), D.Exponential(p(1., 5.)))],
    "Multinomial": [lambda D, p: D.Multinomial(10, p(.1, .5, .9)),
                    lambda D, p: D.Multinomial(4, logits=p([-3., 0., 5.], [0., 0., 0.]))],
    "MultivariateNormal": [
        lambda D, p: D.MultivariateNormal(p(0., 1.), p([2., .5], [.5, 1.])),
        lambda D, p: D.MultivariateNormal(p([0., 1., 2.], [3., 4., 5.]), scale_tril=p(
            [1., 0., 0.], [.5, 2., 0.], [-1., .3, .7])),
        lambda D, p: D.MultivariateNormal(p(0., 1., 2.), precision_matrix=p(*matrices(3))),
        lambda D, p: D.MultivariateNormal(p(*[0.] * 20), p(matrices(20)[0]))],
    "NegativeBinomial": [lambda D, p: D.NegativeBinomial(p(.5, 3., 20.), p(.1, .5, .9)),
                         lambda D, p: D.NegativeBinomial(4, logits=p(-3., 0., 2.))],
    "Normal": [lambda D, p: D.Normal(p(0., -3.), p(1., .2)), lambda D, p: D.Normal(p(2.), p(30.)),
               lambda D, p: D.Normal(p([[0.], [1.]]), p(1., 2., 3.))],
    "OneHotCategorical": [lambda D, p: D.OneHotCategorical(p(.1, .5, .9)),
                          lambda D, p: D.OneHotCategorical(logits=p([-3., 0., 5.], [0., 0., 0.]))],
    "OneHotCategoricalStraightThrough": [lambda D, p: D.OneHotCategoricalStraightThrough(p(.1, .5, .9))],
    "Pareto": [lambda D, p: D.Pareto(p(1., .5, 3.), p(.5, 1.5, 4.))],
    "Poisson": [lambda D, p: D.Poisson(p(.1, 4., 25., 3000.)), lambda D, p: D.Poisson(p(0., 1.))],
    "RelaxedBernoulli": [lambda D, p: D.RelaxedBernoulli(p(.7), p(.1, .5, .9)),
                         lambda D, p: D.RelaxedBernoulli(p(2.), logits=p(-1., 0., 3.))],
    "RelaxedOneHotCategorical": [lambda D, p: D.RelaxedOneHotCategorical(p(.7), p(.1, .5, .4)),
                                 lambda D, p: D.RelaxedOneHotCategorical(p(2.), logits=p([-1., 0.], [3., 1.]))],
    "StudentT": [lambda D, p: D.StudentT(p(.5, 1.5, 7.), p(0., 1., 2.), p(1., .3, 5.)), lambda D, p: D.StudentT(p(3.))],
    "TransformedDistribution": [
        lambda D, p: D.TransformedDistribution(D.Normal(p(0., 1.), p(1., .3)), [
            D.ExpTransform(), D.AffineTransform(p(1., 2.), p(2., -3.))]),
        lambda D, p: D.TransformedDistribution(D.Uniform(p(.1), p(.9)), [
            D.SigmoidTransform().inv, D.AffineTransform(1., 2.)]),
        lambda D, p: D.TransformedDistribution(D.Normal(p([0., 1.], [1., 2.]), p(1.)), [D.StickBreakingTransform()]),
        lambda D, p: D.TransformedDistribution(D.Independent(D.Laplace(p(0., 1., 2.), p(1.)), 1), [
            D.TanhTransform(cache_size=1), D.ReshapeTransform((3,), (3, 1))])],
    "Uniform": [lambda D, p: D.Uniform(p(0., -3.), p(1., .2))],
    "VonMises": [lambda D, p: D.VonMises(p(0., 2., -3.), p(.1, 3., 40.)), lambda D, p: D.VonMises(p(1.), p(1e-6))],
    "Weibull": [lambda D, p: D.Weibull(p(1., .5, 3.), p(.7, 1.5, 4.))],
    "Wishart": [lambda D, p: D.Wishart(p(4.5), p([2., .5], [.5, 1.])),
                lambda D, p: D.Wishart(p(4.5, 7.), scale_tril=p([1., 0., 0.], [.5, 2., 0.], [-1., .3, .7])),
                lambda D, p: D.Wishart(p(5.), precision_matrix=p(*matrices(3)))],
}
NAMES = [(name, i) for name, makers in CASES.items() for i in range(len(makers))]


def build(t, name, i, d, **settings):
    """The distribution and its parameters."""
    params = []

    def p(*values):
        params.append(param(t, d, *values))
        return params[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name][i](t.distributions, p), params


class Count:
    """Compares, counts and remembers what differs."""

    def __init__(self):
        self.all, self.wrong = 0, []

    def numbers(self, what, ours, theirs, rtol, atol, exact=None):
        """Equal within the tolerances, or nearly as close to `exact` numbers as PyTorch's."""
        self.all += 1
        a, b = (np.asarray(x.detach()) for x in (ours, theirs))
        if exact is not None and a.dtype == b.dtype and a.shape == b.shape:
            with np.errstate(invalid="ignore"):         # infinite ones
                error = np.abs(b - np.asarray(exact.detach()))
            atol = np.maximum(atol, np.where(np.isfinite(error), 2.5 * error, 0))
        if a.dtype != b.dtype or a.shape != b.shape or not np.allclose(a, b, rtol, atol, equal_nan=True):
            self.wrong.append(f"{what}: {a.dtype} {a.shape} {a.ravel()[:6]} "
                              f"against {b.dtype} {b.shape} {b.ravel()[:6]}")

    def same(self, what, ours, theirs):
        self.all += 1
        if ours != theirs:
            self.wrong.append(f"{what}: {ours!r} against {theirs!r}")

    def finish(self, title):
        print(f"\n{title}: {self.all - len(self.wrong)} / {self.all} equal")
        assert not self.wrong, "\n".join(self.wrong)


def outcome(run):
    """The result, or the exception's type and text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return run()
        except Exception as e:
            return type(e).__name__, str(e).replace("rushlight", "torch")


def compare(count, what, ours, theirs, rtol, atol, exact=None):
    a, b = outcome(ours), outcome(theirs)
    exact = outcome(exact) if exact is not None else None
    exact = None if isinstance(exact, tuple) else exact
    if isinstance(a, tuple) or isinstance(b, tuple):
        count.same(what, a[0] if isinstance(a, tuple) else "a value", b[0] if isinstance(b, tuple) else "a value")
    else:
        count.numbers(what, a, b, rtol, atol, exact)


def tolerance(d):
    return (2e-5, 2e-6) if d == "float32" else (1e-9, 1e-10)


@cache
def drawn(name, i, d):
    """Values of the support: PyTorch's samples."""
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(torch, name, i, d)[0].sample((4,)).numpy()


# Where PyTorch's own value is off: (family, member or test, dtype or None for all)
OURS_ONLY = {
    ("Kumaraswamy", "mode", None),                  # NaN where there is one: the logarithm of a negative number
    ("GeneralizedPareto", "log_prob", "float64"),   # raises: mixes float32 into float64
    ("GeneralizedPareto", "cdf", "float64"),
    ("VonMises", "concentration near 0", None),     # the gradient is NaN
    ("Wishart", "rsample", None),                   # backward raises: a mask was changed in place
}


def ours_only(name, what, d):
    return (name, what, None) in OURS_ONLY or (name, what, d) in OURS_ONLY


@pytest.mark.parametrize("d", ["float32", "float64"])
def test_numbers(d):
    count = Count()
    rtol, atol = tolerance(d)
    for name, i in NAMES:
        (p, _), (q, _) = (build(t, name, i, d) for t in MODULES)
        wide = build(rushlight, name, i, "float64")[0]
        x = drawn(name, i, d)
        u = np.linspace(.03, .97, x.size, dtype=d).reshape(x.shape)
        # PyTorch's Bessel functions are polynomials of single precision
        loose = (2e-5, 2e-6) if name == "VonMises" else (rtol, atol)
        for what in ("mean", "variance", "stddev", "mode"):
            if not ours_only(name, what, d):
                compare(count, f"{name} {i} {what}", lambda: getattr(p, what), lambda: getattr(q, what), *loose,
                        lambda: getattr(wide, what))
        for what in ("entropy", "perplexity", "enumerate_support"):
            compare(count, f"{name} {i} {what}", getattr(p, what), getattr(q, what), *loose,
                    getattr(wide, what))
        for what, values in (("log_prob", x), ("cdf", x), ("icdf", u)):
            if not ours_only(name, what, d):
                compare(count, f"{name} {i} {what}", lambda: getattr(p, what)(rushlight.tensor(values)),
                        lambda: getattr(q, what)(torch.tensor(values)), *loose,
                        lambda: getattr(wide, what)(rushlight.tensor(values, dtype=rushlight.double)))
        for what in ("batch_shape", "event_shape", "has_rsample", "has_enumerate_support"):
            count.same(f"{name} {i} {what}", getattr(p, what), getattr(q, what))
        for what in ("support", "arg_constraints"):
            count.same(f"{name} {i} {what}", *(
                str(getattr(x, what)).replace(", requires_grad=True", "") for x in (p, q)))
        count.same(f"{name} {i} repr", repr(p), repr(q))
    count.finish(f"members, {d}")


@pytest.mark.parametrize("d", ["float32", "float64"])
def test_gradients_of_log_prob(d):
    count = Count()
    for name, i in NAMES:
        if ours_only(name, "log_prob", d) or (name, i) == ("VonMises", 1):
            continue
        rtol, atol = (1e-4, 1e-4) if d == "float32" else (1e-6, 1e-6)
        results = []
        for t in MODULES:
            p, params = build(t, name, i, d)
            x = t.tensor(drawn(name, i, d))
            if p.support.is_discrete is False and name != "LKJCholesky":
                x.requires_grad_()
                params.append(x)
            total = p.log_prob(x).sum()
            leaves = [v for v in params if v.requires_grad]
            results.append(t.autograd.grad(total, leaves, allow_unused=True))
        for k, (a, b) in enumerate(zip(*results)):
            if a is None or b is None:
                count.same(f"{name} {i} grad {k}", a, b)
            else:
                count.numbers(f"{name} {i} grad {k}", a, b, rtol, atol)
    count.finish(f"gradients of log_prob, {d}")


@pytest.mark.parametrize("d", ["float32", "float64"])
def test_seeded_samples(d):
    count = Count()
    rtol, atol = (2e-5, 2e-6) if d == "float32" else (1e-9, 1e-12)
    for name, i in NAMES:
        for shape in ((), (3,), (5, 4)):
            for method in ("sample", "rsample"):
                def draw(t):
                    p, _ = build(t, name, i, d)
                    t.manual_seed(11)
                    return getattr(p, method)(shape)
                compare(count, f"{name} {i} {method} {shape}", lambda: draw(rushlight), lambda: draw(torch), rtol, atol)
    count.finish(f"seeded samples, {d}")


# PyTorch's rational approximations of these derivatives are good to some 1e-4, ours to rounding
APPROXIMATE = {"Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "Independent", "InverseGamma", "StudentT",
               "Wishart"}


@pytest.mark.parametrize("d", ["float32", "float64"])
def test_gradients_of_rsample(d):
    count = Count()
    for name, i in NAMES:
        results = []
        if not build(torch, name, i, d)[0].has_rsample or ours_only(name, "rsample", d):
            continue
        for t in MODULES:
            p, params = build(t, name, i, d)
            t.manual_seed(3)
            x = p.rsample((6,))
            weight = t.linspace(.5, 2., x.numel(), dtype=x.dtype).reshape(x.shape)
            # Cauchy tails: bounded, so that no single number rules the sums
            total = (weight * t.tanh(x)).sum()
            results.append(t.autograd.grad(total, [v for v in params if v.requires_grad], allow_unused=True))
        rtol, atol = (1e-4, 1e-4) if d == "float32" else (1e-7, 1e-8)
        if name in APPROXIMATE:
            rtol, atol = 2e-3, 2e-3
        for k, (a, b) in enumerate(zip(*results)):
            if a is None or b is None:
                count.same(f"{name} {i} grad {k}", a, b)
            else:
                count.numbers(f"{name} {i} grad {k}", a, b, rtol, atol)
    count.finish(f"gradients of rsample, {d}")


def test_expand():
    count = Count()
    for name, i in NAMES:
        def draw(t):
            p, _ = build(t, name, i, "float64")
            p = p.expand((2,) + tuple(p.batch_shape))
            t.manual_seed(2)
            x = p.sample((2,))
            return p, x
        ours, theirs = (outcome(lambda: draw(t)) for t in MODULES)
        assert not isinstance(ours[0], str), (name, ours)
        for what in ("batch_shape", "event_shape"):
            count.same(f"{name} {i} {what}", getattr(ours[0], what), getattr(theirs[0], what))
        count.same(f"{name} {i} repr", repr(ours[0]), repr(theirs[0]))
        x = theirs[1].numpy()
        count.numbers(f"{name} {i} sample", ours[1], theirs[1], 1e-9, 1e-12)
        if ours_only(name, "log_prob", "float64"):
            continue
        compare(count, f"{name} {i} log_prob", lambda: ours[0].log_prob(rushlight.tensor(x)),
                lambda: theirs[0].log_prob(torch.tensor(x)), 1e-6, 1e-6)
    count.finish("expanded distributions")


# ------------------------------------------------------------------ divergences

# For each family two batches, of which some have the support of others within theirs
KL = {
    "Bernoulli": (lambda D, p: D.Bernoulli(p(.1, .5, 1., 0.)), lambda D, p: D.Bernoulli(logits=p(1., -2., .3, 0.))),
    "Beta": (lambda D, p: D.Beta(p(.5, 2., 3., 9.), p(1., .7, 4., 2.)), lambda D, p: D.Beta(p(1., 2., 1., .4), p(3.))),
    "Binomial": (lambda D, p: D.Binomial(5, p(.1, .5, .7, .9)), lambda D, p: D.Binomial(5, p(.3, .2, .9, .5))),
    "Categorical": (lambda D, p: D.Categorical(p([.1, .9], [.5, .5], [1., 0.], [.3, .7])),
                    lambda D, p: D.Categorical(logits=p([0., 1.], [2., 1.], [0., 1.], [4., 0.]))),
    "Cauchy": (lambda D, p: D.Cauchy(p(0., 1., 2., 3.), p(1., 2., .3, 4.)), lambda D, p: D.Cauchy(p(1.), p(2.))),
    "ContinuousBernoulli": (lambda D, p: D.ContinuousBernoulli(p(.1, .4997, .5, .9)),
                            lambda D, p: D.ContinuousBernoulli(logits=p(1., -2., 0., .3))),
    "Dirichlet": (lambda D, p: D.Dirichlet(p([.5, 2.], [1., 1.], [3., 4.], [9., .1])),
                  lambda D, p: D.Dirichlet(p([1., 2.], [3., 1.], [3., 7.], [9., .1]))),
    "Exponential": (lambda D, p: D.Exponential(p(.5, 1., 3., 20.)), lambda D, p: D.Exponential(p(2., 1., .1, 4.))),
    "Gamma": (lambda D, p: D.Gamma(p(.5, 1., 3., 20.), p(1., 2., .5, 7.)), lambda D, p: D.Gamma(p(2.), p(3.))),
    "Geometric": (lambda D, p: D.Geometric(p(.1, .5, .7, .9)), lambda D, p: D.Geometric(logits=p(.3, -1., .9, .5))),
    "Gumbel": (lambda D, p: D.Gumbel(p(0., 1., -2., 3.), p(1., 2., .3, 4.)), lambda D, p: D.Gumbel(p(1.), p(2.))),
    "HalfNormal": (lambda D, p: D.HalfNormal(p(.5, 1., 3., 9.)), lambda D, p: D.HalfNormal(p(2., 1., .1, 4.))),
    "Independent": (lambda D, p: D.Independent(D.Normal(p([0., 1., 2., 3.], [1., 1., 1., 1.]).mT, p(1.)), 1),
                    lambda D, p: D.Independent(D.Normal(p(1., 2.), p(3.)), 1)),
    "Laplace": (lambda D, p: D.Laplace(p(0., 1., -2., 3.), p(1., 2., .3, 4.)), lambda D, p: D.Laplace(p(1.), p(2.))),
    "LogNormal": (lambda D, p: D.LogNormal(p(0., 1., -2., 3.), p(1., 2., .3, 4.)),
                  lambda D, p: D.LogNormal(p(1.), p(2.))),
    "LowRankMultivariateNormal": (
        lambda D, p: D.LowRankMultivariateNormal(p([0., 1., 2.]), p([1., 0.], [2., 1.], [0., -1.]), p(1., .5, 2.)),
        lambda D, p: D.LowRankMultivariateNormal(p([0., 1., 2.], [3., 1., 1.]), p([1.], [2.], [3.]), p(2., .5, 1.))),
    "Multinomial": (lambda D, p: D.Multinomial(3, p(.1, .9)), lambda D, p: D.Multinomial(3, p(.5, .5))),
    "MultivariateNormal": (
        lambda D, p: D.MultivariateNormal(p([0., 1., 2.]), p(matrices(3)[0])),
        lambda D, p: D.MultivariateNormal(p([0., 1., 2.], [3., 1., 1.]), p(*matrices(3)))),
    "Normal": (lambda D, p: D.Normal(p(0., 1., -2., 3.), p(1., 2., .3, 4.)), lambda D, p: D.Normal(p(1.), p(2.))),
    "OneHotCategorical": (lambda D, p: D.OneHotCategorical(p([.1, .9], [.5, .5], [1., 0.], [.3, .7])),
                          lambda D, p: D.OneHotCategorical(logits=p([0., 1.], [2., 1.], [0., 1.], [4., 0.]))),
    "Pareto": (lambda D, p: D.Pareto(p(.5, 1., 2., 3.), p(.5, 1.5, 2.5, 9.)), lambda D, p: D.Pareto(p(.7), p(2.))),
    "Poisson": (lambda D, p: D.Poisson(p(.5, 1., 3., 20.)), lambda D, p: D.Poisson(p(2., 1., .1, 4.))),
    "Uniform": (lambda D, p: D.Uniform(p(0., .2, -1., 2.), p(1., .7, 2., 3.)), lambda D, p: D.Uniform(p(-1.), p(2.))),
    "Wishart": (lambda D, p: D.Wishart(p(5.), p(*matrices(3))), lambda D, p: D.Wishart(p(7.), p(matrices(3)[1]))),
}


def test_divergences():
    from torch.distributions.kl import _KL_REGISTRY as theirs

    from rushlight.distributions.kl import _KL_REGISTRY as ours
    names = [{(p.__name__, q.__name__) for p, q in table} for table in (ours, theirs)]
    assert names[0] == names[1]
    count = Count()
    for d in ("float32", "float64"):
        rtol, atol = (1e-4, 1e-5) if d == "float32" else (1e-8, 1e-9)
        for first, (make_p, _) in KL.items():
            for second, makers in KL.items():
                for make_q in (makers if first == second else makers[1:]):
                    def divergence(t):
                        def make(*values):
                            return param(t, d, *values)
                        return t.distributions.kl_divergence(make_p(t.distributions, make),
                                                             make_q(t.distributions, make))
                    compare(count, f"KL({first} || {second}) {d}", lambda: divergence(rushlight),
                            lambda: divergence(torch), rtol, atol)
    count.finish("divergences of all pairs of families, with refusals")


def test_gradients_of_divergences():
    count = Count()
    for first, second in sorted({(p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY}):
        if first not in KL or second not in KL:
            continue
        results = []
        for t in MODULES:
            params = []

            def p(*values):
                params.append(param(t, "float64", *values))
                return params[-1]
            kl = t.distributions.kl_divergence(KL[first][0](t.distributions, p), KL[second][1](t.distributions, p))
            finite = kl[t.isfinite(kl)].sum()
            leaves = [v for v in params if v.requires_grad]
            results.append(t.autograd.grad(finite, leaves, allow_unused=True) if finite.requires_grad else ())
        for k, (a, b) in enumerate(zip(*results)):
            if a is None or b is None:
                count.same(f"KL({first} || {second}) grad {k}", a, b)
            else:
                count.numbers(f"KL({first} || {second}) grad {k}", a, b, 1e-7, 1e-7)
    count.finish("gradients of divergences")


# ------------------------------------------------------------------ transforms

TRANSFORMS = {
    "Abs": (lambda T, p: T.AbsTransform(), (4, 3)),
    "Affine": (lambda T, p: T.AffineTransform(p(1., 2., 3.), p(2., -1., .5)), (4, 3)),
    "Affine of numbers": (lambda T, p: T.AffineTransform(1., -2., event_dim=1), (4, 3)),
    "Affine of vectors": (lambda T, p: T.AffineTransform(0., p(2., -1., .5), event_dim=1), (4, 3)),
    "Cat": (lambda T, p: T.CatTransform([T.ExpTransform(), T.StickBreakingTransform().inv.inv, T.TanhTransform()][::2],
                                        dim=-1, lengths=[1, 2]), (4, 3)),
    "Compose": (lambda T, p: T.ComposeTransform([T.TanhTransform(), T.AffineTransform(p(1.), p(3.)),
                                                 T.SigmoidTransform()]), (4, 3)),
    "Compose with vectors": (lambda T, p: T.ComposeTransform([T.AffineTransform(p(1.), p(3.)),
                                                              T.StickBreakingTransform()]), (4, 3)),
    "CorrCholesky": (lambda T, p: T.CorrCholeskyTransform(), (4, 6)),
    "Cdf": (lambda T, p: T.CumulativeDistributionTransform(_normal(T, p)), (4, 3)),
    "Exp": (lambda T, p: T.ExpTransform(), (4, 3)),
    "Independent": (lambda T, p: T.IndependentTransform(T.ExpTransform(), 1), (4, 3)),
    "Inverse": (lambda T, p: T.ExpTransform().inv.inv, (4, 3)),
    "LowerCholesky": (lambda T, p: T.LowerCholeskyTransform(), (4, 3, 3)),
    "PositiveDefinite": (lambda T, p: T.PositiveDefiniteTransform(), (4, 3, 3)),
    "Power": (lambda T, p: T.ComposeTransform([T.ExpTransform(), T.PowerTransform(p(2., -.5, 3.))]), (4, 3)),
    "Reshape": (lambda T, p: T.ReshapeTransform((3, 2), (6,)), (4, 3, 2)),
    "Sigmoid": (lambda T, p: T.SigmoidTransform(), (4, 3)),
    "Softmax": (lambda T, p: T.SoftmaxTransform(), (4, 3)),
    "Softplus": (lambda T, p: T.SoftplusTransform(), (4, 3)),
    "Stack": (lambda T, p: T.StackTransform([T.ExpTransform(), T.SigmoidTransform(), T.TanhTransform()], dim=1),
              (4, 3)),
    "StickBreaking": (lambda T, p: T.StickBreakingTransform(), (4, 3)),
    "Tanh": (lambda T, p: T.TanhTransform(), (4, 3)),
}


def _normal(T, p):
    D = (rushlight if T.__name__.startswith("rushlight") else torch).distributions
    return D.Normal(p(1.), p(2.))


def test_transforms():
    count = Count()
    for d in ("float32", "float64"):
        rtol, atol = (1e-4, 1e-5) if d == "float32" else (1e-9, 1e-9)
        for name, (make, shape) in TRANSFORMS.items():
            x0 = np.random.default_rng(1).normal(size=shape).astype(d)
            sides = []
            for t in MODULES:
                params = []

                def p(*values):
                    params.append(param(t, d, *values))
                    return params[-1]
                f = make(t.distributions.transforms, p)
                x = t.tensor(x0, requires_grad=True)
                sides.append((t, f, x, [x, *params]))
            (_, f, x, xs), (_, g, y, ys) = sides
            compare(count, f"{name} forward", lambda: f(x), lambda: g(y), rtol, atol)
            compare(count, f"{name} inverse", lambda: f.inv(f(x)), lambda: g.inv(g(y)), rtol, atol)
            compare(count, f"{name} jacobian", lambda: f.log_abs_det_jacobian(x, f(x)),
                    lambda: g.log_abs_det_jacobian(y, g(y)), rtol, atol)
            for what in ("domain", "codomain", "bijective", "event_dim", "sign"):
                count.same(f"{name} {what}", *(
                    str(outcome(lambda: getattr(h, what))).replace(", requires_grad=True", "") for h in (f, g)))
            count.same(f"{name} repr", repr(f), repr(g))
            count.same(f"{name} shapes", f.forward_shape(shape), g.forward_shape(shape))
            count.same(f"{name} shapes back", f.inverse_shape(f.forward_shape(shape)), shape)
            for h, t in ((f, rushlight), (g, torch)):
                assert h.inv.inv is h or name == "Inverse"
            if f.bijective:
                grads = [t.autograd.grad((h(v).sin().sum() + h.log_abs_det_jacobian(v, h(v)).sum()), leaves,
                                         allow_unused=True) for t, h, v, leaves in sides]
                for k, (a, b) in enumerate(zip(*grads)):
                    if a is None or b is None:
                        count.same(f"{name} grad {k}", a, b)
                    else:
                        count.numbers(f"{name} grad {k}", a, b, rtol, atol)
    count.finish("transforms")


# ------------------------------------------------------------------ constraints, registries, texts

VALUES = [0., 1., -1., .5, 2., float("inf"), float("nan"), [.5, .5], [1., 0.], [1., 1.], [2., -1.],
          [[1., 0.], [0., 1.]], [[1., .5], [.5, 1.]], [[1., 2.], [2., 1.]], [[1., 0.], [.6, .8]], [[1., 1.], [1., 1.]],
          [[-1., 0.], [0., 1.]], [[1., 2., 3.], [4., 5., 6.]]]
CONSTRAINTS = ["boolean", "corr_cholesky", "lower_cholesky", "lower_triangular", "nonnegative", "nonnegative_integer",
               "one_hot", "positive", "positive_semidefinite", "positive_definite", "positive_integer", "real",
               "real_vector", "simplex", "square", "symmetric", "unit_interval", "dependent", "greater_than(1.)",
               "greater_than_eq(1.)", "less_than(1.)", "interval(-1., 1.)", "half_open_interval(-1., 1.)",
               "integer_interval(0, 1)", "multinomial(1)", "independent(C.positive, 1)", "cat([C.positive, C.real])",
               "cat([C.positive], -1, [2])", "stack([C.positive, C.simplex])", "stack([C.positive, C.real], -1)",
               "MixtureSameFamilyConstraint(C.positive)"]


def test_constraints():
    count = Count()
    for text in CONSTRAINTS:
        ours, theirs = (eval("C." + text, {"C": t.distributions.constraints}) for t in MODULES)
        for what in ("event_dim", "is_discrete"):
            count.same(f"{text} {what}", outcome(lambda: getattr(ours, what)), outcome(lambda: getattr(theirs, what)))
        count.same(f"{text} repr", repr(ours), repr(theirs))
        for value in VALUES:
            count.same(f"{text} of {value}", _checked(ours, rushlight.tensor(value)),
                       _checked(theirs, torch.tensor(value)))
        for registry in ("biject_to", "transform_to"):
            count.same(f"{registry}({text})",
                       str(outcome(lambda: getattr(rushlight.distributions, registry)(ours))),
                       str(outcome(lambda: getattr(torch.distributions, registry)(theirs))))
    count.finish("constraints")


def _checked(constraint, value):
    got = outcome(lambda: constraint.check(value))
    return got[0] if isinstance(got, tuple) else got.tolist()


# Evaluated in both: results are compared as text, exceptions by type and text
TEXTS = """
D.Normal(t([0., 1.]), t([1., -1.]))
D.Normal(0., float('nan'))
D.Normal('a', 1)
D.Normal(t([0., 1.]), 1).scale
D.Normal(t([0., 1.]), t([0., 1., 2.]))
D.Normal(0., 1.).log_prob(3)
D.Normal(0., 1.).log_prob(t(float('nan')))
D.Normal(t([0., 1.]), 1).log_prob(torch.ones(3))
D.Normal(t([0., 1.]), 1).sample(3)
D.Normal(0., 1.).sample_n(3).shape
D.Normal(0., 1.).enumerate_support()
D.Gamma(1., 1.).icdf(t(.5))
D.Bernoulli(.5).cdf(t(1.))
D.Bernoulli()
D.Bernoulli(.5, .5)
D.Bernoulli(1.5)
D.Bernoulli(logits=.5)
D.Bernoulli(.5).log_prob(t(.5))
D.Bernoulli(.5).rsample()
D.Bernoulli(t([.5, .2])).enumerate_support(expand=False)
D.Bernoulli(.5).perplexity()
D.Distribution().log_prob(t(1.))
D.Distribution(validate_args=False).mode
D.Distribution(validate_args=False).stddev
D.Distribution.set_default_validate_args(3)
D.Independent(D.Normal(torch.zeros(3), 1), 2)
D.Independent(D.Bernoulli(torch.full((3,), .5)), 1).enumerate_support()
D.Categorical()
D.Categorical(t(.5))
D.Categorical(t([.5, -.6]))
D.Categorical(t([.5, .6])).log_prob(t(2))
D.Categorical(t([.5, .6])).sample((2,)).dtype
D.Binomial(3.5, t(.5))
D.Binomial(3, .5)
D.Binomial(3, t(.5)).log_prob(t(4.))
D.Binomial(t([2, 3]), t(.5)).enumerate_support()
D.Binomial(t([3, 4]), t([.5, .2])).entropy()
D.Multinomial(3, t([.5, .5]))
D.Multinomial(t(3), t([.5, .5]))
D.Multinomial(3, t([.5, .5])).log_prob(t([1., 1.]))
D.Multinomial(3, t([.5, .5])).mode
D.OneHotCategorical(t([.5, .5])).log_prob(t([1., 1.]))
D.Geometric(t([.2, 0.]))
D.NegativeBinomial(3, t(1.))
D.NegativeBinomial(0., t(.5)).log_prob(t(0.))
D.Poisson(t(-1.))
D.Poisson(2.).entropy()
D.Uniform(1., 0.)
D.Uniform(t([1., 2.]), t([0., 3.]))
D.Uniform(0., 1.).log_prob(t(2.))
D.Uniform(0., 1., validate_args=False).log_prob(t([2., 1., 0.]))
D.Dirichlet(t(1.))
D.Dirichlet(t([1., -1.]))
D.Dirichlet(t([1., 1.])).log_prob(torch.ones(3) / 3)
D.Dirichlet(t([1., 1.])).mode, D.Dirichlet(t([.5, .5])).mode, D.Dirichlet(t([2., 3.])).mode
D.HalfNormal(1.).log_prob(t(-1.))
D.HalfNormal(1., validate_args=False).log_prob(t(-1.)), D.HalfCauchy(1., validate_args=False).log_prob(-1.)
D.LKJCholesky(1)
D.LKJCholesky(3, 1.).log_prob(torch.ones(2, 2))
D.MultivariateNormal(torch.zeros(2), torch.eye(2), torch.eye(2))
D.MultivariateNormal(torch.zeros(2))
D.MultivariateNormal(t(0.), torch.eye(2))
D.MultivariateNormal(torch.zeros(2), torch.zeros(2))
D.MultivariateNormal(torch.zeros(2), scale_tril=torch.zeros(2))
D.MultivariateNormal(torch.zeros(2), precision_matrix=torch.zeros(2))
D.MultivariateNormal(torch.zeros(2), torch.ones(2, 2))
D.LowRankMultivariateNormal(t(0.), torch.ones(2, 1), torch.ones(2))
D.LowRankMultivariateNormal(torch.zeros(2), torch.ones(2), torch.ones(2))
D.LowRankMultivariateNormal(torch.zeros(2), torch.ones(3, 1), torch.ones(2))
D.LowRankMultivariateNormal(torch.zeros(2), torch.ones(2, 1), torch.ones(3))
D.LowRankMultivariateNormal(torch.zeros(3, 2), torch.ones(4, 2, 1), torch.ones(2))
D.Wishart(t(.5), torch.eye(2))
D.Wishart(t(3.))
D.Wishart(t(3.), t(1.))
D.MixtureSameFamily(D.Categorical(torch.ones(3)), D.Normal(torch.zeros(3), 1))
D.MixtureSameFamily(D.Normal(torch.zeros(3), 1), D.Normal(torch.zeros(3), 1))
D.MixtureSameFamily(D.Categorical(torch.ones(3)), 3)
D.MixtureSameFamily(D.Categorical(torch.ones(3)), D.Normal(torch.zeros(4), 1))
D.MixtureSameFamily(D.Categorical(torch.ones(2, 3)), D.Normal(torch.zeros(4, 3), 1))
D.TransformedDistribution(D.Normal(0., 1.), [T.ExpTransform(), 3])
D.TransformedDistribution(D.Normal(0., 1.), 3)
D.TransformedDistribution(D.Normal(0., 1.), T.StickBreakingTransform())
D.TransformedDistribution(D.Normal(torch.zeros(3), 1.), T.AbsTransform()).cdf(torch.ones(3))
D.Gumbel(0., 1.).base_dist, D.Gumbel(0., 1.).transforms
D.Weibull(1., 2.).transforms, D.Pareto(1., 2.).transforms, D.Kumaraswamy(2., 3.).transforms
D.RelaxedBernoulli(t(1.), .5).mean
D.Normal(torch.zeros(2), 1.).expand((3,))
D.kl_divergence(D.Normal(0., 1.), D.Cauchy(0., 1.))
D.kl_divergence(D.Binomial(3, t(.5)), D.Binomial(4, t(.5)))
D.register_kl(3, D.Normal)
T.ExpTransform(2)
hash(T.ExpTransform())
T.Transform().sign
T.Transform()(t(1.))
T.AbsTransform().log_abs_det_jacobian(t(1.), t(1.))
T.SoftmaxTransform().forward_shape(())
T.StickBreakingTransform().inverse_shape(())
T.CorrCholeskyTransform().forward_shape((2,))
T.CorrCholeskyTransform().inverse_shape((3,))
T.CorrCholeskyTransform().inverse_shape((3, 2))
T.CorrCholeskyTransform()(t([.1, .2]))
T.ReshapeTransform((2,), (3,))
T.ReshapeTransform((2,), (1, 2)).forward_shape((4, 3))
T.ReshapeTransform((2,), (1, 2)).forward_shape(())
T.IndependentTransform(T.ExpTransform(), 1)(t(1.))
T.CatTransform([T.ExpTransform(), T.AbsTransform()])(torch.ones(3))
T.CatTransform([T.ExpTransform(), 3])
T.CatTransform([T.ExpTransform()], 0, [1, 2])
T.CatTransform([T.ExpTransform()], 3)(torch.ones(3))
T.StackTransform([T.ExpTransform(), T.SigmoidTransform()])(torch.ones(3))
T.AffineTransform(1., 2.) == T.AffineTransform(1., 2.), T.AffineTransform(t(1.), 2.) == T.AffineTransform(1., 2.)
T.PowerTransform(t(2.)) == T.PowerTransform(t(2.)), T.PowerTransform(t(2.)) == T.PowerTransform(t(3.))
T.ComposeTransform([T.ExpTransform()]) == T.ComposeTransform([T.ExpTransform()])
[getattr(T, n)() == getattr(T, n)() for n in T.__all__ if n[:3] in ('Exp', 'Abs', 'Sig', 'Sof', 'Tan', 'Sti', 'Low')]
T.CorrCholeskyTransform() == T.CorrCholeskyTransform(), T.ExpTransform().inv == T.ExpTransform().inv
C.dependent.check(1)
C.Constraint().check(1)
C.cat([C.positive, 3])
C.cat([C.positive], 0, [1, 2])
C.is_dependent(C.dependent), C.is_dependent(C.real), C.is_dependent(D.Uniform.support)
C.independent(C.positive, 1).check(t(1.))
D.transform_to(3)
D.utils.probs_to_logits(t([0., 1., .3]), True), D.utils.probs_to_logits(t([0., 1., .3]))
D.utils.vec_to_tril_matrix(t([1., 2., 3.])), D.utils.vec_to_tril_matrix(t([1., 2., 3.]), -1)
D.utils.vec_to_tril_matrix(t([1., 2.]))
D.utils.tril_matrix_to_vec(torch.ones(2, 2), 3)
D.utils.broadcast_all(1, t([2., 3.], dtype=torch.double)), D.utils.broadcast_all(1, 2)
D.ExponentialFamily(validate_args=False).entropy()
D.relaxed_bernoulli.LogitRelaxedBernoulli(t(1.), .5), D.relaxed_categorical.ExpRelaxedCategorical(t(1.), t([.5, .5]))
sorted(D.__all__)
sorted(C.__all__), sorted(T.__all__)
""".strip().splitlines()


def test_texts():
    count = Count()
    for text in TEXTS:
        results = []
        for t in MODULES:
            D = t.distributions
            names = {"torch": t, "t": t.tensor, "D": D, "C": D.constraints, "T": D.transforms}
            got = outcome(lambda: str(eval(text, names)))
            results.append(" ".join(str(got).replace("rushlight", "torch").split()))
        count.same(text, *results)
    count.finish("texts of results and errors")
