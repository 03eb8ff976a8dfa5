"""Error bounds of the vector math, in units in the last place, over the whole range of float32."""

import numpy as np
import pytest

from rushlight.compiler import available, pointwise_kernel
from rushlight.compiler import scalar as s

special = pytest.importorskip("scipy.special")
pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

# name: (float64 reference, bound in ulp for float32)
FLOAT32 = {
    "exp": (np.exp, 1.1),
    "exp2": (np.exp2, 1.0),
    "expm1": (np.expm1, 1.6),
    "log": (np.log, 0.9),
    "log2": (np.log2, 1.1),
    "log10": (np.log10, 1.1),
    "log1p": (np.log1p, 1.5),
    "tanh": (np.tanh, 1.4),
    "sinh": (np.sinh, 0.51),
    "cosh": (np.cosh, 0.51),
    "asinh": (np.arcsinh, 0.51),
    "acosh": (np.arccosh, 0.51),
    "atanh": (np.arctanh, 0.51),
    "sin": (np.sin, 0.51),
    "cos": (np.cos, 0.51),
    "tan": (np.tan, 0.51),
    "asin": (np.arcsin, 0.51),
    "acos": (np.arccos, 0.51),
    "atan": (np.arctan, 0.51),
    "erf": (special.erf, 1.3),
    "xerf_slope": (lambda x: special.erf(x) + 2 / np.sqrt(np.pi) * x * np.exp(-(x * x)), 2.0),
    "erfc": (special.erfc, 4.0),
    "digamma": (special.digamma, 0.51),
    "erfinv": (special.erfinv, 3.0),
    "lgamma": (special.gammaln, 2.0),      # half a unit but next to 1 and 2, where it is nearly 0
}


def unary(name, dtype):
    return pointwise_kernel(getattr(s, name)(s.input(0)), [dtype], [], [dtype], dtype)


def sample(dtype="f4"):
    """Every exponent and sign (stratified), the usual range, the neighbourhood of 1, and edges."""
    rng = np.random.default_rng(0)
    word, bits = ("u4", 32) if dtype == "f4" else ("u8", 64)
    strata = np.arange(1 << 14, dtype=word) << np.asarray(bits - 14, word)
    strata = strata | rng.integers(0, 1 << (bits - 14), strata.size, dtype=word)
    pieces = [
        strata.view(dtype),
        rng.standard_normal(20000) * 3,
        rng.uniform(-110, 110, 20000),
        rng.uniform(-1, 1, 20000),
        1 + rng.standard_normal(10000) * 0.01,
        [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 3.4e38, 1e-45, -1e-40, 0.5, 2],
    ]
    return np.concatenate([np.asarray(p, dtype) for p in pieces])


def error_in_ulp(got, reference):
    """Largest error where both are finite; asserts that they agree on what is not."""
    rounded = reference.astype(got.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    infinite = np.isinf(rounded) | np.isinf(got)
    np.testing.assert_array_equal(got[infinite], rounded[infinite])
    finite = np.isfinite(rounded)
    unit = np.spacing(np.maximum(np.abs(rounded[finite]), np.finfo(got.dtype).tiny))
    return (np.abs(got[finite].astype("f8") - reference[finite]) / unit).max()


@pytest.mark.parametrize("name", FLOAT32)
def test_float32(name):
    reference, bound = FLOAT32[name]
    x = sample()
    if name == "digamma":
        # SciPy's own error is large next to the roots between the negative poles.
        x = x[~((x < 0) & (x > -1e4)) | (x == np.floor(x))]
    if name == "lgamma":
        # SciPy has -inf at -inf, and an error of its own next to the negative roots.
        x = x[(x > 0) | ~(np.abs(special.gammaln(x.astype("f8"))) < 0.05) & (x != -np.inf)]
    out = np.empty_like(x)
    unary(name, "float32")(out, x)
    with np.errstate(all="ignore"):
        want = reference(x.astype("f8"))
        if name == "digamma":
            want[x == 0] = np.copysign(np.inf, -x[x == 0])
            want[(x < 0) & (x == np.floor(x))] = np.nan
        assert error_in_ulp(out, want) < bound
    if name not in ("cos", "acos", "acosh", "log", "digamma", "erfinv"):
        zeros = x == 0
        np.testing.assert_array_equal(np.signbit(out[zeros]), np.signbit(want[zeros]))


def test_sigmoid():
    x = sample()
    x = x[~(x < -87)]
    out = np.empty_like(x)
    unary("sigmoid", "float32")(out, x)
    assert error_in_ulp(out, special.expit(x.astype("f8"))) < 2.5
    edge = np.array([-np.inf, -1000, 1000, np.inf], "f4")
    out = np.empty_like(edge)
    unary("sigmoid", "float32")(out, edge)
    np.testing.assert_array_equal(out, [0, 0, 1, 1])


def test_bits_do_not_depend_on_position():
    x = sample()[:1000]
    for name in ("exp", "erf", "sin", "log1p"):
        whole = np.empty_like(x)
        unary(name, "float32")(whole, x)
        for n in (1, 7, 33):
            part = np.empty(n, "f4")
            unary(name, "float32")(part, x[5 : 5 + n])
            np.testing.assert_array_equal(part.view("u4"), whole[5 : 5 + n].view("u4"))


FLOAT64 = {
    "exp": 1.0, "exp2": 1.0, "expm1": 1.6, "log": 0.9, "log2": 1.0, "log10": 1.0, "log1p": 1.0,
    "tanh": 2.6, "sinh": 2.0, "cosh": 1.5, "asinh": 1.5, "acosh": 2.0, "atanh": 1.7, "sin": 0.8,
    "cos": 0.8, "tan": 1.8, "asin": 2.0, "acos": 1.7, "atan": 1.7, "erf": 1.0, "erfinv": 4.0,
}  # fmt: skip


@pytest.mark.parametrize("name", FLOAT64)
def test_float64(name):
    mp = pytest.importorskip("mpmath")
    rng = np.random.default_rng(1)
    x = np.concatenate([
        (rng.integers(0, 1 << 63, 150, dtype=np.uint64) | 0).view("f8") * rng.choice([-1, 1], 150),
        rng.standard_normal(100) * 3, rng.uniform(-700, 700, 50), rng.uniform(-1, 1, 100),
        1 + rng.standard_normal(50) * 0.01, np.arange(1, 60) * np.pi / 2,
    ])  # fmt: skip
    x = x[np.isfinite(x)]
    if name in ("exp", "exp2", "expm1", "sinh", "cosh"):
        x = x[np.abs(x) < 1000]
    out = np.empty_like(x)
    unary(name, "float64")(out, x)
    names = {"log2": lambda v: mp.log(v, 2), "exp2": lambda v: mp.mpf(2) ** v, "erfc": mp.erfc}
    function = names.get(name) or getattr(mp, name)
    with mp.workprec(120):
        for v, got in zip(x, out, strict=True):
            try:
                want = function(mp.mpf(float(v)))
            except (ValueError, ZeroDivisionError):
                continue
            if isinstance(want, mp.mpc) or mp.isnan(want):
                assert np.isnan(got), v
                continue
            nearest = float(want)
            if not np.isfinite(nearest):
                assert got == nearest, v
                continue
            unit = np.spacing(max(abs(nearest), np.finfo("f8").tiny))
            assert abs(mp.mpf(float(got)) - want) / mp.mpf(float(unit)) < FLOAT64[name], v


def test_pow():
    rng = np.random.default_rng(2)
    edge = np.array([0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e30], "f4")
    pool = np.concatenate([edge, rng.standard_normal(80).astype("f4") * 5, rng.integers(-9, 9, 20)])
    a, b = (v.ravel().astype("f4") for v in np.meshgrid(pool, pool))
    x, y = s.input(0), s.input(1)
    out = np.empty_like(a)
    pointwise_kernel(s.pow(x, y), ["float32"] * 2, [], ["float32"], "float32")(out, a, b)
    with np.errstate(all="ignore"):
        assert error_in_ulp(out, np.power(a.astype("f8"), b.astype("f8"))) < 0.51
    wide = np.empty(a.shape)
    pointwise_kernel(s.pow(x, y), ["float64"] * 2, [], ["float64"], "float64")(
        wide, a.astype("f8"), b.astype("f8")
    )
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(wide, np.power(a.astype("f8"), b.astype("f8")), rtol=4e-16)


def test_atan2_hypot():
    rng = np.random.default_rng(3)
    edge = [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 3e38]
    pool = np.concatenate([np.array(edge, "f4"), rng.standard_normal(60).astype("f4")])
    a, b = (v.ravel() for v in np.meshgrid(pool, pool))
    x, y = s.input(0), s.input(1)
    for function, reference in ((s.atan2, np.arctan2), (s.hypot, np.hypot)):
        out = np.empty_like(a)
        pointwise_kernel(function(x, y), ["float32"] * 2, [], ["float32"], "float32")(out, a, b)
        with np.errstate(all="ignore"):
            assert error_in_ulp(out, reference(a.astype("f8"), b.astype("f8"))) < 0.51


def test_polygamma_and_lgamma():
    x = np.concatenate([np.linspace(0.01, 40, 500), [np.inf, 1e10]])
    for n in (1, 2, 3, 5):
        out = np.empty_like(x)
        pointwise_kernel(s.polygamma(n, s.input(0)), ["float64"], [], ["float64"], "float64")(out, x)
        np.testing.assert_allclose(out, special.polygamma(n, x), rtol=1e-13, err_msg=str(n))
    out = np.empty_like(x)
    unary("lgamma", "float64")(out, x)
    np.testing.assert_allclose(out, special.gammaln(x), rtol=1e-13, atol=1e-15)
