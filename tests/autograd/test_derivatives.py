"""Derivatives to fourth order of compositions, in both float types, against mpmath."""

import pytest

import rushlight as torch

mpmath = pytest.importorskip("mpmath")

FUNCTIONS = {
    "x exp": (lambda x: x * x.exp(), lambda x: x * mpmath.exp(x)),
    "sin exp": (lambda x: x.sin() * x.exp(), lambda x: mpmath.sin(x) * mpmath.exp(x)),
    "exp sin": (lambda x: x.exp().sin(), lambda x: mpmath.sin(mpmath.exp(x))),
    "exp tanh": (lambda x: x.tanh().exp(), lambda x: mpmath.exp(mpmath.tanh(x))),
    "tanh x": (lambda x: x.tanh() * x, lambda x: mpmath.tanh(x) * x),
    "sigmoid squared": (lambda x: x.sigmoid() ** 2, lambda x: (1 / (1 + mpmath.exp(-x))) ** 2),
    "sqrt log": (lambda x: x.sqrt().log(), lambda x: mpmath.log(x) / 2),
    "log sqrt": (lambda x: (x + 1).log().sqrt(), lambda x: mpmath.sqrt(mpmath.log(x + 1))),
    "reciprocal": (lambda x: x.reciprocal() * x.cos(), lambda x: mpmath.cos(x) / x),
    "quotient": (lambda x: x.sin() / (x + 2), lambda x: mpmath.sin(x) / (x + 2)),
    "power": (lambda x: x ** 3.5 + 2 ** x, lambda x: x ** 3.5 + mpmath.mpf(2) ** x),
    "power of powers": (lambda x: x ** x, lambda x: x ** x),
    "erf": (lambda x: x.erf() * x.exp(), lambda x: mpmath.erf(x) * mpmath.exp(x)),
    "rsqrt": (lambda x: x.rsqrt() * x.exp(), lambda x: mpmath.exp(x) / mpmath.sqrt(x)),
    "softplus": (lambda x: torch.nn.functional.softplus(x) * x, lambda x: mpmath.log(1 + mpmath.exp(x)) * x),
    "silu": (lambda x: torch.nn.functional.silu(x) * x, lambda x: x * x / (1 + mpmath.exp(-x))),
    "gelu": (lambda x: torch.nn.functional.gelu(x) * x,
             lambda x: x * x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2),
    "atan": (lambda x: x.atan() * x.exp(), lambda x: mpmath.atan(x) * mpmath.exp(x)),
    "expm1 log1p": (lambda x: x.expm1() * x.log1p(), lambda x: mpmath.expm1(x) * mpmath.log1p(x)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name, dtype):
    f, reference = FUNCTIONS[name]
    at = 0.75
    expected = [float(mpmath.diff(reference, at, n)) for n in range(1, 5)]
    tol = 1e-9 if dtype == "float64" else 2e-5
    for _ in range(2):          # the second time, generated functions serve
        x = torch.tensor([at] * 3, dtype=getattr(torch, dtype), requires_grad=True)
        y = f(x)
        for n, e in enumerate(expected):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            assert y[1].item() == pytest.approx(e, rel=tol, abs=tol * max(map(abs, expected))), f"order {n + 1}"
