"""Expressions: sharing, simplification, and derivatives against finite differences."""

import numpy as np
import pytest

from rushlight.compiler import derivative, evaluate, substitute, to_text, trace
from rushlight.compiler import scalar as s

x, y = s.input(0), s.input(1)


def test_equal_expressions_are_one_object():
    assert (x + y) * s.exp(x) is (x + y) * s.exp(x)
    assert s.const(0.0) is not s.const(-0.0)
    assert s.const(1) is not s.const(1.0)
    (traced,) = trace(lambda a, b: a * b + 1, "ff")
    assert traced is x * y + 1.0
    assert to_text([traced]) == "%0 = mul.f(x0:f, x1:f); %1 = add.f(%0, 1.0); -> %1"


def test_only_exact_simplifications():
    assert x * 1 is x and x / 1 is x and -(-x) is x and x - 0.0 is x
    assert (x + 0.0).op == "add" and (x * 0).op == "mul"
    assert (x**2) is x * x and (x**0.5).op == "sqrt" and (x**2.5).op == "pow"
    assert s.where(True, x, y) is x and s.where(x > 0, y, y) is y


def test_no_truth_value():
    with pytest.raises(TypeError, match="truth value"):
        bool(x > 0)


def test_long_chains_need_no_recursion():
    e = x
    for i in range(20_000):
        e = e + float(i % 7)
    assert evaluate([e], [np.zeros(2)])[0][0] == sum(i % 7 for i in range(20_000))
    assert derivative(e, x).attr == 1.0
    assert substitute(e, [(x, y)]) is not e


UNARY = {
    "exp": (-2, 2), "exp2": (-2, 2), "expm1": (-2, 2), "log": (0.1, 3), "log2": (0.1, 3),
    "log10": (0.1, 3), "log1p": (-0.5, 3), "sqrt": (0.1, 3), "rsqrt": (0.1, 3), "sin": (-3, 3),
    "cos": (-3, 3), "tan": (-1, 1), "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atan": (-3, 3),
    "sinh": (-2, 2), "cosh": (-2, 2), "tanh": (-2, 2), "asinh": (-3, 3), "acosh": (1.2, 4),
    "atanh": (-0.9, 0.9), "erf": (-2, 2), "erfc": (-2, 2), "erfinv": (-0.9, 0.9),
    "sigmoid": (-5, 5), "lgamma": (0.5, 5), "digamma": (0.5, 5), "log_sigmoid": (-5, 5),
    "log1p_exp": (-5, 5), "abs": (0.5, 2), "square": (-2, 2), "reciprocal": (0.5, 2),
    "frac": (0.1, 0.9),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary_derivatives(name):
    pytest.importorskip("scipy")
    v = np.linspace(*UNARY[name], 23)
    e = getattr(s, name)(x)
    h = 1e-5
    high, low = (evaluate([e], [v + d])[0] for d in (h, -h))
    first = derivative(e, x)
    np.testing.assert_allclose(evaluate([first], [v])[0], (high - low) / (2 * h), rtol=1e-6, atol=1e-8)
    saved = derivative(e, x, saved_output=y)
    np.testing.assert_allclose(
        evaluate([saved], [v, evaluate([e], [v])[0]])[0], evaluate([first], [v])[0], rtol=1e-10
    )


@pytest.mark.parametrize("name", ["pow", "atan2", "hypot", "fmod", "remainder", "div", "mul",
                                  "minimum", "maximum", "fmin", "fmax", "copysign"])
def test_binary_derivatives(name):
    a, b = np.linspace(0.3, 2, 17), np.linspace(1.9, 0.37, 17)
    e = getattr(s, name)(x, y)
    h = 1e-6
    for var, da, db in ((x, h, 0), (y, 0, h)):
        d = derivative(e, var)
        numeric = (evaluate([e], [a + da, b + db])[0] - evaluate([e], [a - da, b - db])[0]) / (2 * h)
        value = np.zeros(17) if d is None else evaluate([d], [a, b])[0]
        np.testing.assert_allclose(value, numeric, rtol=1e-6, atol=1e-8)


def test_derivatives_stay_finite_where_they_should():
    softplus = s.where(x > 20, x, s.log1p(s.exp(x)))
    d = derivative(softplus, x)
    np.testing.assert_array_equal(evaluate([d], [np.array([1000.0, -1000.0])])[0], [1, 0])
    d = derivative(s.sigmoid(x), x)
    np.testing.assert_array_equal(evaluate([d], [np.array([-1000.0, 1000.0])])[0], [0, 0])
    d = derivative(s.pow(x, 0.0), x)
    np.testing.assert_array_equal(evaluate([d], [np.array([0.0, 2.0])])[0], [0, 0])
    assert derivative(s.floor(x), x) is None and derivative(s.cast(x > 0, "f"), x) is None


def test_ties_follow_pytorch():
    one = np.array([1.0])
    values = {"minimum": (0.5, 0.5), "maximum": (0.5, 0.5), "fmin": (1, 0), "fmax": (1, 0)}
    for name, want in values.items():
        e = getattr(s, name)(x, y)
        got = tuple(evaluate([derivative(e, v)], [one, one])[0][0] for v in (x, y))
        assert got == want
    assert evaluate([derivative(abs(x), x)], [np.zeros(1)])[0][0] == 0


def test_complex_values():
    z = np.array([1 + 2j, -0.5j])
    np.testing.assert_allclose(evaluate([s.exp(x) * y], [z, z])[0], np.exp(z) * z)
