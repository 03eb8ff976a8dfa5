"""Shapes, checks and copies of distributions; the table of divergences; caches of transforms."""

import copy
import io
import math
import pickle
import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import distributions as D
from rushlight.distributions import constraints, transforms

t = torch.tensor


def test_shapes():
    p = D.Independent(D.Normal(torch.zeros(4, 3, 2), 1.), 1)
    assert (p.batch_shape, p.event_shape) == ((4, 3), (2,))
    assert p.sample((5,)).shape == (5, 4, 3, 2)
    assert p.log_prob(torch.zeros(4, 3, 2)).shape == (4, 3)
    q = p.expand((7, 4, 3))
    assert q.batch_shape == (7, 4, 3) and q.event_shape == (2,)
    m = D.MixtureSameFamily(D.Categorical(torch.ones(4, 3)), p).expand((2, 4))
    assert m.sample((5,)).shape == (5, 2, 4, 2) and m.mean.shape == (2, 4, 2) and m.variance.shape == (2, 4, 2)


def test_validation_can_be_switched():
    with pytest.raises(ValueError, match="to satisfy the constraint GreaterThan"):
        D.Normal(0., -1.)
    D.Normal(0., -1., validate_args=False)
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0., -1.)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="within the support"):
        D.Bernoulli(.3).log_prob(t(.5))
    with pytest.raises(ValueError, match="not broadcastable"):
        D.Normal(torch.zeros(2), 1.).log_prob(torch.zeros(3))


def test_expand_of_subclasses_with_their_own_init():
    class Unit(D.Normal):
        def __init__(self):
            super().__init__(0., 1.)

    with pytest.raises(NotImplementedError, match="must also define a custom .expand"):
        Unit().expand((3,))


def test_what_a_family_lacks():
    p = D.Distribution(validate_args=False)
    for call in (p.rsample, p.entropy, p.enumerate_support, lambda: p.mean, lambda: p.cdf(t(0.)),
                 lambda: p.expand((2,)), lambda: D.Gamma(1., 1.).icdf(t(.5))):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.warns(UserWarning, match="does not define `arg_constraints`"):
        D.Distribution(validate_args=True)


@pytest.mark.parametrize("make", [
    lambda: D.Normal(t([0., 1.]), 1.), lambda: D.Gamma(t([1., 2.]), 1.), lambda: D.Categorical(logits=t([0., 1.])),
    lambda: D.MultivariateNormal(torch.zeros(2), torch.eye(2)), lambda: D.LogNormal(0., t([1., 2.]))])
def test_copies(make):
    p = make()
    x = p.sample((3,))
    for q in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert repr(q) == repr(p) and torch.equal(q.log_prob(x), p.log_prob(x))
    f = io.BytesIO()
    torch.save(p, f)
    f.seek(0)
    assert torch.equal(torch.load(f, weights_only=False).log_prob(x), p.log_prob(x))


def test_lazy_parameters_keep_their_gradients():
    logits = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        p = D.Bernoulli(logits=logits)
        probs = p.probs
    assert p.probs is probs and probs.requires_grad
    assert repr(p) == "Bernoulli(probs: torch.Size([3]), logits: torch.Size([3]))"


def test_enumerated_support_sums_to_one():
    for p in (D.Bernoulli(t([.1, .7])), D.Binomial(6, t([.1, .7])), D.Categorical(t([[.1, .9], [.5, .5]])),
              D.OneHotCategorical(t([[.1, .9], [.5, .5]]))):
        total = p.log_prob(p.enumerate_support()).exp().sum(0)
        np.testing.assert_allclose(total, np.ones(2), 1e-6)
        assert p.enumerate_support(False).shape[1:1 + len(p.batch_shape)] == (1,)


# ------------------------------------------------------------------ divergences

def test_divergences_are_mean_differences_of_log_densities():
    torch.manual_seed(0)
    from rushlight.distributions.kl import _KL_REGISTRY
    makers = {
        "Bernoulli": D.Bernoulli(t(.3)), "Beta": D.Beta(2., 3.), "Binomial": D.Binomial(4, t(.3)),
        "Cauchy": D.Cauchy(0., 1.), "ContinuousBernoulli": D.ContinuousBernoulli(.3),
        "Dirichlet": D.Dirichlet(t([1., 2.])), "Uniform": D.Uniform(.2, .7), "Exponential": D.Exponential(2.),
        "Gamma": D.Gamma(2., 3.), "Geometric": D.Geometric(.4), "Gumbel": D.Gumbel(.3, 1.2),
        "HalfNormal": D.HalfNormal(1.5), "Laplace": D.Laplace(.3, .8), "Normal": D.Normal(.5, .7),
        "Pareto": D.Pareto(1., 6.), "Poisson": D.Poisson(2.),
        "MultivariateNormal": D.MultivariateNormal(t([0., 1.]), t([[2., .5], [.5, 1.]])),
        "LowRankMultivariateNormal": D.LowRankMultivariateNormal(t([.5, 0.]), t([[1.], [.3]]), t([1., 2.])),
        "Categorical": D.Categorical(t([.2, .8])), "OneHotCategorical": D.OneHotCategorical(t([.2, .8]))}
    others = {"Normal": D.Normal(0., 1.), "Gamma": D.Gamma(1.5, 2.), "Beta": D.Beta(1.5, 1.2),
              "Gumbel": D.Gumbel(0., 1.),
              "Exponential": D.Exponential(.7), "Cauchy": D.Cauchy(1., 2.), "Laplace": D.Laplace(0., 1.),
              "MultivariateNormal": D.MultivariateNormal(t([0., 0.]), t([[1., .1], [.1, 3.]])),
              "LowRankMultivariateNormal": D.LowRankMultivariateNormal(t([0., 0.]), t([[.5], [-.3]]), t([1., 1.])),
              "Pareto": D.Pareto(.1, 2.), "Uniform": D.Uniform(-.1, 1.1), "Bernoulli": D.Bernoulli(t(.6))}
    for kind_p, kind_q in _KL_REGISTRY:
        if kind_p.__name__ not in makers or kind_q.__name__ not in {**makers, **others}:
            continue
        p = makers[kind_p.__name__]
        q = others.get(kind_q.__name__, makers[kind_q.__name__])
        kl = D.kl_divergence(p, q).item()
        x = p.sample((60000,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            q = copy.deepcopy(q)
            q._validate_args = False
            inside = q.support.check(x).all().item()
            if not inside:
                assert kl == math.inf, (kind_p, kind_q)
                continue
            terms = p.log_prob(x) - q.log_prob(x)
        assert kl == pytest.approx(terms.mean().item(), abs=6 * terms.std().item() / 245 + 1e-3), (kind_p, kind_q)


def test_dispatch_takes_the_most_specific_pair():
    class A(D.Distribution):
        pass

    class B(A):
        pass

    class C(B):
        pass

    from rushlight.distributions import kl
    before = dict(kl._KL_REGISTRY)
    try:
        @D.register_kl(A, A)
        def _far(p, q):
            return "A A"

        @D.register_kl(B, A)
        def _near(p, q):
            return "B A"

        make = [c(validate_args=False) for c in (A, B, C)]
        a, b, c = make
        assert D.kl_divergence(a, a) == "A A" and D.kl_divergence(a, c) == "A A"
        assert D.kl_divergence(b, b) == "B A" and D.kl_divergence(c, a) == "B A"

        @D.register_kl(A, B)
        def _other(p, q):
            return "A B"

        with pytest.warns(RuntimeWarning, match="Ambiguous kl_divergence"):
            D.kl_divergence(b, b)

        @D.register_kl(B, B)
        def _settled(p, q):
            return "B B"

        assert D.kl_divergence(c, c) == "B B"
        with pytest.raises(NotImplementedError, match="No KL"):
            D.kl_divergence(a, D.Normal(0., 1.))
    finally:
        kl._KL_REGISTRY.clear()
        kl._KL_REGISTRY.update(before)
        kl._KL_MEMOIZE.clear()
    with pytest.raises(TypeError):
        D.register_kl(int, D.Normal)


def test_entropies_of_exponential_families_by_their_log_normalizers():
    for p in (D.Bernoulli(t([.2, .9])), D.Beta(t([.7, 3.]), t([2., 2.])), D.Dirichlet(t([[1., 2.], [.5, 7.]])),
              D.Exponential(t([.3, 4.])), D.Gamma(t([.7, 3.]), t([2., 2.])), D.Normal(t([0., 1.]), t([2., .1])),
              D.ContinuousBernoulli(t([.2, .9]))):
        if not isinstance(p, (D.Beta, D.Dirichlet)):        # the carrier measure of these is not a number
            np.testing.assert_allclose(D.ExponentialFamily.entropy(p).detach(), p.entropy(), 1e-4, 1e-5)
        q = p.expand((2,))
        from rushlight.distributions.kl import _expfamily_expfamily
        np.testing.assert_allclose(_expfamily_expfamily(p, q).detach(), np.zeros(2), atol=1e-6)


# ------------------------------------------------------------------ transforms

@pytest.mark.parametrize("f", [
    transforms.ExpTransform(), transforms.SigmoidTransform(), transforms.TanhTransform(),
    transforms.SoftplusTransform(), transforms.AffineTransform(1., -3.),
    transforms.PowerTransform(t(3., dtype=torch.float64)).inv.inv,
    transforms.ComposeTransform([transforms.ExpTransform(), transforms.PowerTransform(-.5)]),
    transforms.CumulativeDistributionTransform(D.Laplace(0., 1.))])
def test_jacobians_of_numbers(f):
    x = torch.tensor([.3, 1., 2.], dtype=torch.float64, requires_grad=True)
    y = f(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(f.log_abs_det_jacobian(x, y).detach(), slope.abs().log(), 1e-9, 1e-9)
    np.testing.assert_allclose(f.inv(y).detach(), x.detach(), 1e-9)
    assert (slope.sign() == f.sign).all()
    assert f.domain.check(x.detach()).all() and f.codomain.check(y.detach()).all()


@pytest.mark.parametrize("f, n", [(transforms.StickBreakingTransform(), 4), (transforms.CorrCholeskyTransform(), 6)])
def test_jacobians_of_vectors(f, n):
    x = torch.tensor(np.random.default_rng(0).normal(size=n), requires_grad=True)
    y = f(x)
    assert f.codomain.check(y.detach().float()).all()
    np.testing.assert_allclose(f.inv(y).detach(), x.detach(), 1e-8)
    # The free coordinates: all but the last of the simplex, those strictly below the diagonal
    free = (lambda v: f(v)[:-1]) if n == 4 else (lambda v: f(v)[torch.tril_indices(4, 4, -1).unbind(0)])
    jacobian = torch.autograd.functional.jacobian(free, x.detach())
    np.testing.assert_allclose(f.log_abs_det_jacobian(x, y).item(), np.linalg.slogdet(jacobian.numpy())[1], 1e-8)


def test_caches_hold_the_last_pair():
    f = transforms.TanhTransform(cache_size=1)
    x = t([30., -40.])
    y = f(x)
    assert f.inv(y) is x and f(x) is y
    assert transforms.TanhTransform().inv(y).isinf().all()
    assert f.inv.inv is f and f.with_cache(1) is f and f.with_cache(0) is not f
    compose = transforms.ComposeTransform([transforms.ExpTransform(), transforms.TanhTransform()], cache_size=1)
    y = compose(x)
    assert compose.inv(y) is x
    assert pickle.loads(pickle.dumps(f)) == f
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        transforms.ExpTransform(cache_size=2)


@pytest.mark.parametrize("constraint", [
    constraints.real, constraints.positive, constraints.nonnegative, constraints.greater_than(2.),
    constraints.less_than(-1.), constraints.unit_interval, constraints.interval(-1., 3.),
    constraints.half_open_interval(-1., 3.), constraints.simplex, constraints.corr_cholesky,
    constraints.lower_cholesky, constraints.positive_definite, constraints.real_vector,
    constraints.independent(constraints.positive, 1),
    constraints.cat([constraints.positive, constraints.real], 0, [2, 4]),
    constraints.stack([constraints.positive, constraints.unit_interval], 0)], ids=str)
def test_registered_transforms_reach_their_constraints(constraint):
    shape = (3, 3) if constraint.event_dim == 2 and constraint is not constraints.corr_cholesky else (6,)
    shape = (2, 6) if isinstance(constraint, constraints.stack) else shape
    x = torch.tensor(np.random.default_rng(3).normal(size=shape))
    for registry in (D.biject_to, D.transform_to):
        try:
            f = registry(constraint)
        except NotImplementedError:
            assert registry is D.biject_to and constraint.event_dim == 2
            continue
        y = f(x)
        assert constraint.check(y).all()
        assert f.bijective or registry is D.transform_to
        if f.bijective:
            np.testing.assert_allclose(f.inv(y), x, 1e-7)


def test_registries_take_new_constraints():
    class Even(constraints.Constraint):
        pass

    registry = type(D.biject_to)()
    registry.register(Even, lambda c: transforms.ExpTransform())
    assert registry(Even()) == transforms.ExpTransform()
    with pytest.raises(TypeError, match="Constraint subclass or instance"):
        registry.register(3, lambda c: None)
    with pytest.raises(NotImplementedError, match="Cannot transform"):
        registry(constraints.real)


def test_transformed_distributions_move_batches_into_events():
    p = D.TransformedDistribution(D.Normal(torch.zeros(2, 3), 1.), transforms.StickBreakingTransform())
    assert (p.batch_shape, p.event_shape) == ((2,), (4,))
    x = p.rsample((5,))
    assert x.shape == (5, 2, 4) and constraints.simplex.check(x).all()
    assert p.log_prob(x).shape == (5, 2)
    q = D.TransformedDistribution(D.Normal(0., 1.), [transforms.AffineTransform(t([0., 1., 2.]), 1.)])
    assert q.batch_shape == (3,) and q.sample().shape == (3,)
    r = D.TransformedDistribution(D.Normal(0., 1.), [transforms.ExpTransform(), transforms.AffineTransform(0., -1.)])
    u = t([.2, .5, .9])
    np.testing.assert_allclose(r.cdf(r.icdf(u)), u, 1e-5)
    assert (r.icdf(u).diff() > 0).all()
