"""``torch.special``: values against SciPy, gradients against finite differences."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd.gradcheck import gradcheck

sp = pytest.importorskip("scipy.special")

X = np.array([-2.3, -1.7, -0.6, 0.3, 0.8, 1.4, 3.7])
POSITIVE = np.array([0.2, 0.7, 1.3, 2.9])
UNIT = np.array([0.1, 0.35, 0.6, 0.9])

VALUES = [
    ("erf", sp.erf, X), ("erfc", sp.erfc, X), ("erfcx", sp.erfcx, X), ("erfinv", sp.erfinv, UNIT),
    ("gammaln", sp.gammaln, POSITIVE), ("digamma", sp.digamma, X), ("psi", sp.psi, X), ("expit", sp.expit, X),
    ("logit", sp.logit, UNIT), ("i0", sp.i0, X), ("i0e", sp.i0e, X), ("i1", sp.i1, X), ("i1e", sp.i1e, X),
    ("ndtr", sp.ndtr, X), ("ndtri", sp.ndtri, UNIT), ("log_ndtr", sp.log_ndtr, X), ("entr", sp.entr, POSITIVE),
    ("exp2", np.exp2, X), ("expm1", np.expm1, X), ("log1p", np.log1p, POSITIVE), ("sinc", np.sinc, X),
]
VALUES_ONLY = [
    ("bessel_j0", sp.j0, X), ("bessel_j1", sp.j1, X), ("bessel_y0", sp.y0, POSITIVE), ("bessel_y1", sp.y1, POSITIVE),
    ("modified_bessel_k0", sp.k0, POSITIVE), ("scaled_modified_bessel_k1", sp.k1e, POSITIVE),
    ("airy_ai", lambda x: sp.airy(x)[0], X), ("spherical_bessel_j0", lambda x: sp.spherical_jn(0, x), POSITIVE),
]


@pytest.mark.parametrize("name, f, x", VALUES + VALUES_ONLY)
def test_values(name, f, x):
    got = getattr(torch.special, name)(torch.from_numpy(x.copy()))
    np.testing.assert_allclose(got.numpy(), f(x), rtol=1e-10)


@pytest.mark.parametrize("name, f, x", VALUES)
def test_gradients(name, f, x):
    assert gradcheck(getattr(torch.special, name), [torch.from_numpy(x.copy()).requires_grad_()])


def test_two_operands():
    a, b = POSITIVE, POSITIVE[::-1].copy()
    s, t = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(torch.special.gammainc(s, t).numpy(), sp.gammainc(a, b), rtol=1e-12)
    np.testing.assert_allclose(torch.igammac(s, t).numpy(), sp.gammaincc(a, b), rtol=1e-12)
    np.testing.assert_allclose(torch.special.zeta(s + 1.5, t).numpy(), sp.zeta(a + 1.5, b), rtol=1e-12)
    np.testing.assert_allclose(torch.special.xlog1py(s, t).numpy(), sp.xlog1py(a, b), rtol=1e-12)
    np.testing.assert_allclose(torch.special.xlogy(s, t).numpy(), sp.xlogy(a, b), rtol=1e-12)
    for f in (torch.special.xlog1py, torch.special.xlogy):
        assert gradcheck(f, [s.clone().requires_grad_(), t.clone().requires_grad_()])
    assert gradcheck(lambda t: torch.special.gammainc(s, t), [t.clone().requires_grad_()])
    assert gradcheck(lambda t: torch.special.zeta(s + 1.5, t), [t.clone().requires_grad_()])
    with pytest.raises(NotImplementedError, match="igamma"):
        torch.igamma(s.clone().requires_grad_(), t).sum().backward()


@pytest.mark.parametrize("name, f", [
    ("chebyshev_polynomial_t", sp.eval_chebyt), ("chebyshev_polynomial_u", sp.eval_chebyu),
    ("shifted_chebyshev_polynomial_t", sp.eval_sh_chebyt), ("hermite_polynomial_h", sp.eval_hermite),
    ("hermite_polynomial_he", sp.eval_hermitenorm), ("laguerre_polynomial_l", sp.eval_laguerre),
    ("legendre_polynomial_p", sp.eval_legendre),
])
def test_polynomials(name, f):
    x = np.linspace(-0.9, 0.9, 7)
    n = np.arange(6)[:, None]
    got = getattr(torch.special, name)(torch.from_numpy(x), torch.from_numpy(n))
    np.testing.assert_allclose(got.numpy(), f(n, x), rtol=1e-9, atol=1e-12)


POLYNOMIALS = [f"{s}chebyshev_polynomial_{k}" for s in ("", "shifted_") for k in "tuvw"] + [
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_of_odd_degrees(name):
    f = getattr(torch.special, name)
    x = torch.tensor([-501.0, -1.0, 0.3, 1.0, 501.0])
    for n in (float("nan"), float("inf"), -float("inf"), 1e20, -1.0, -3.5):
        assert f(x, torch.tensor(n)).tolist() == [0.0] * 5
    for n in (-0.5, 0.0, 0.9):
        assert f(x, torch.tensor(n)).tolist() == [1.0] * 5
    assert torch.equal(f(x, torch.tensor(3.9)), f(x, torch.tensor(3.0)))
    assert f(x, torch.tensor(4988429.0))[[0, 4]].isnan().all()       # infinities, then their difference


@pytest.mark.parametrize("name, f", [
    ("chebyshev_polynomial_t", sp.eval_chebyt), ("chebyshev_polynomial_u", sp.eval_chebyu),
    ("chebyshev_polynomial_v", lambda n, x: np.cos((n + 0.5) * np.arccos(x)) / np.cos(np.arccos(x) / 2)),
    ("chebyshev_polynomial_w", lambda n, x: np.sin((n + 0.5) * np.arccos(x)) / np.sin(np.arccos(x) / 2)),
    ("laguerre_polynomial_l", sp.eval_laguerre), ("legendre_polynomial_p", sp.eval_legendre),
])
def test_polynomials_of_large_degrees(name, f):
    x = np.linspace(-0.9, 0.9, 5) + 0.01
    n = np.array([7, 8, 9, 30, 3999, 4000, 4001, 20000])[:, None]
    got = getattr(torch.special, name)(torch.from_numpy(x), torch.from_numpy(n)).numpy()
    np.testing.assert_allclose(got, f(n, x), rtol=1e-7, atol=1e-9)


def test_chebyshev_polynomials_by_the_edge():
    x = np.array([-1 - 1e-12, -1.0, 1.0, 1 + 1e-12])
    n = 20001
    for name, want in (("t", [-1, -1, 1, 1]), ("v", [-40003, -40003, 1, 1]), ("w", [-1, -1, 40003, 40003])):
        got = getattr(torch.special, f"chebyshev_polynomial_{name}")(torch.from_numpy(x), torch.tensor(n)).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-3)


def test_limits():
    inf, nan = float("inf"), float("nan")

    def at(f, *x, dtype=torch.float64):
        return f(*(torch.tensor(v, dtype=dtype) for v in x)).item()
    for a, x, low in ((inf, nan, 0.0), (inf, 3.0, 0.0), (nan, inf, 1.0), (2.0, inf, 1.0), (nan, 0.0, 0.0)):
        assert at(torch.igamma, a, x) == low and at(torch.igammac, a, x) == 1 - low
    for a, x in ((inf, -1.0), (1.0, -inf), (-2.0, inf), (inf, inf)):
        assert at(torch.igamma, a, x) != at(torch.igamma, a, x)
    s = torch.special
    assert at(s.spherical_bessel_j0, inf) == at(s.spherical_bessel_j0, -inf) == 0
    assert at(s.zeta, 1e13, 3.0) == 0 and at(s.zeta, 1e20, 1.0) == 1
    assert at(s.zeta, 1e20, 1e20) != at(s.zeta, 1e20, 1e20)
    assert at(s.airy_ai, 1e20) == 0 and at(s.airy_ai, 104.0) == 0
    assert abs(at(s.airy_ai, -4988429.2) - 0.003775577433531417) < 1e-6
    assert at(torch.i0, 88.7, dtype=torch.float32) < inf and at(torch.i0, 89.0, dtype=torch.float32) == inf


def test_multigammaln_and_polygamma():
    x = torch.from_numpy(POSITIVE + 2)
    np.testing.assert_allclose(torch.mvlgamma(x, 3).numpy(), [sp.multigammaln(v, 3) for v in POSITIVE + 2], rtol=1e-12)
    for n in range(5):
        np.testing.assert_allclose(torch.polygamma(n, x).numpy(), sp.polygamma(n, POSITIVE + 2), rtol=1e-10)
        assert gradcheck(lambda x, n=n: torch.polygamma(n, x), [torch.from_numpy(X.copy()).requires_grad_()], rtol=1e-3)


def test_integers_become_the_default_float():
    assert torch.special.i1(torch.tensor([1, 2])).dtype is torch.float32
    assert torch.special.erf(torch.tensor([True])).dtype is torch.float32


def test_unknown_names_are_missing():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        torch.special.nothing


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e"])
def test_modified_bessel_functions(name, single):
    dtype = np.float32 if single else np.float64
    x = np.concatenate([np.linspace(-12, 12, 2001), np.linspace(-80, 80, 501), np.logspace(-20, 1.9, 200),
                        [8, np.nextafter(8, 9), -8, 0]]).astype(dtype)
    got = getattr(torch.special, name)(torch.from_numpy(x)).numpy()
    assert got.dtype == dtype
    np.testing.assert_allclose(got, getattr(sp, name)(x.astype(np.float64)), rtol=16 * np.finfo(dtype).eps)
    ends = getattr(torch.special, name[:2] + "e")(torch.tensor([np.inf, -np.inf, np.nan])).numpy()
    np.testing.assert_array_equal(ends, [0, 0, np.nan])
