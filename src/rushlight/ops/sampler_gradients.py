"""Derivatives of gamma and Dirichlet numbers with respect to their parameters.

A number x of distribution function F(x; a) keeps its place u = F(x; a) as the parameter moves:

    dx/da = -(∂F/∂a) / (∂F/∂x)

(implicit reparameterization: Figurnov, Mohamed and Mnih 2018). ∂F/∂a is the integral of the score over the lower tail
and, the score having mean zero, minus that over the upper tail; the tail in which the score keeps its sign is taken.
Divided by the density at x the integrand is 1 at x and falls from there, and Gauss-Legendre quadrature over the part
above exp(-40) is good to 1e-10 and better. Near 0, where shapes below 1 concentrate numbers at any scale, power series
replace it.
"""

from functools import cache

import numpy as np

from .. import dtypes
from ..randomness import checks
from ..record import NOT_IMPLEMENTED
from ..tensor import watch
from ..tensor.geometry import broadcast_shapes
from ..tensor.tensor import wrap
from .dispatch import primitive
from .registry import function, public

NODES = 36
TERMS = 30              # of the series, whose argument is at most 1
DEPTH = 40.0            # exp(-40) is nothing beside 1
ROWS = 8192             # numbers at a time: NODES times as many doubles fit the caches


@cache
def _quadrature():
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2


def _digamma(x):
    listener = watch.set_listener(None)         # (who hears of the kernel that this is part of)
    try:
        return function("digamma")(wrap(x))._a
    finally:
        watch.set_listener(listener)


def _integral(log_fall, fall_slope, factor, start):
    """∫ factor(y) exp(log_fall(y)) dy over y >= 0, where `log_fall` is concave with log_fall(0) = 0.

    The end of the range is found by Newton's method from `start`: a tangent of a concave function meets -DEPTH beyond
    the function, so that all steps but the first come from the right. With s the smaller of the range and 1,
    y = s expm1(t) has fine steps at 0 and wide ones far away, where the integrand only decays.
    """
    end = start
    for _ in range(40):
        above = log_fall(end) + DEPTH
        if ((above < 4) & (above > -10)).all():
            break
        end = np.clip(end - above / fall_slope(end), end / 8, 8 * end)
    nodes, weights = _quadrature()
    scale = np.minimum(end, 1.0)[:, None]
    span = np.log1p(end[:, None] / scale)
    t = span * nodes
    y = scale * np.expm1(t)
    values = factor(y) * np.exp(log_fall(y)) * (y + scale)
    return (values @ weights) * span[:, 0]


def _in_rows(rule, *arrays):
    """`rule` on flat doubles, a stretch at a time."""
    out = np.empty(arrays[0].size)
    for i in range(0, out.size, ROWS):
        out[i:i + ROWS] = rule(*(a[i:i + ROWS] for a in arrays))
    return out


def _pieces(conditions, rules, *arrays):
    """Each element by the first rule whose condition holds; NaN where none does."""
    out = np.full(arrays[0].size, np.nan)
    for condition, rule in zip(conditions, rules):
        chosen = condition & np.isnan(out)
        if chosen.any():
            out[chosen] = rule(*(a[chosen] for a in arrays))
    return out


# ------------------------------------------------------------------ gamma

def _gamma_series(a, x):
    """P(a, x) = x^a e^-x Σ xⁿ / Γ(a + n + 1), differentiated term by term."""
    term, harmonic = np.ones_like(x), np.zeros_like(x)
    total, slope = np.ones_like(x), np.zeros_like(x)
    for n in range(1, TERMS):
        term = term * x / (a + n)
        harmonic = harmonic + 1 / (a + n)
        total = total + term
        slope = slope + term * harmonic
    return x / a * ((_digamma(a + 1) - np.log(x)) * total + slope)


def _columns(y, *arrays):
    """The arrays as they combine with `y`: as columns if it has a row a number."""
    return (a[:, None] if y.ndim == 2 else a for a in arrays)


def _gamma_tail(a, x):
    """Over t = x e^±y, where t^a e^-t falls from its value at x by exp(±a y - x (e^±y - 1))."""
    score = np.log(x) - _digamma(a)
    side = np.where(score > 0, 1.0, -1.0)       # the upper tail where the score is positive

    def log_fall(y):
        rate, at, s = _columns(y, a, x, side)
        return rate * (s * y) - at * np.expm1(s * y)

    def fall_slope(y):
        return side * (a - x * np.exp(side * y))

    start = np.where(side > 0, np.log1p(9 / np.sqrt(x)), 9 / np.sqrt(a))
    return x * _integral(log_fall, fall_slope, lambda y: np.abs(score)[:, None] + y, start)


def gamma_slope(a, x):
    """dx/da of gamma numbers x of shape a; flat doubles."""
    with np.errstate(all="ignore"):
        valid = (a > 0) & (x > 0) & np.isfinite(x) & np.isfinite(a)
        return _pieces(((x == 0) & (a > 0), valid & (x <= 1), valid),
                       (lambda a, x: np.zeros_like(x), _gamma_series, _gamma_tail), a, x)


@primitive(
    "_standard_gamma_grad(Tensor self, Tensor output) -> Tensor",
    vjp=NOT_IMPLEMENTED("the second derivative of gamma numbers"),
    meta=lambda self, output: (broadcast_shapes(self._a.shape, output._a.shape), output.dtype),
    doc="The derivative of the gamma numbers `output` with respect to their shapes `self`.",
)
def _gamma_grad(self, output):
    if output.dtype.itemsize < 4:
        raise checks.unimplemented("_standard_gamma_grad_cpu", dtypes.from_np(output.dtype))
    shape = broadcast_shapes(self.shape, output.shape)
    a, x = (np.broadcast_to(v, shape).astype(np.float64).ravel() for v in (self, output))
    return _in_rows(gamma_slope, a, x).astype(output.dtype).reshape(shape)


@public(method=False)
def _standard_gamma_grad(input, output):
    """dx/da for gamma numbers x = `output` of the shape parameters a = `input`."""
    return _gamma_grad(input, output)


# ------------------------------------------------------------------ Dirichlet

def _beta_series(x, a, b):
    """I_x(a, b) = x^a / B(a, b) Σ (1 - b)(2 - b)...(n - b) / n! xⁿ / (a + n), differentiated term by term.

    For x b <= 1. Divided by 1 - x.
    """
    score = _digamma(a + 1) - _digamma(a + b) - np.log(x)      # of the first term: ψ(a) + 1/a
    term, total = np.ones_like(x), np.zeros_like(x)
    for n in range(TERMS + 10):
        total = total + term / (a + n) * (score - 1 / a + 1 / (a + n))
        term = term * x * (n + 1 - b) / (n + 1)
    return x * total * np.exp(-b * np.log1p(-x))


def _beta_tail(x, a, b):
    """Over the logit z of t = sigmoid(z), where t^a (1 - t)^b falls from its value at x. Divided by 1 - x."""
    center = _digamma(a) - _digamma(a + b)
    score = np.log(x) - center
    side = np.where(score > 0, 1.0, -1.0)
    rest = 1 - x

    def logs(y):
        """log(t / x) and log((1 - t) / (1 - x)) at the logit of x, moved by y to the side"""
        s, p, q = _columns(y, side, x, rest)
        # (1 - t) / (1 - x) = 1 / (1 - x + x e^sy), t / x = e^sy times that
        fall = -np.where(s > 0, y + np.log(p + q * np.exp(-y)), np.log(q + p * np.exp(-y)))
        return s * y + fall, fall

    def log_fall(y):
        up, down = logs(y)
        first, second = _columns(y, a, b)
        return first * up + second * down

    def fall_slope(y):
        up, down = logs(y)
        return side * (a * rest * np.exp(down) - b * x * np.exp(up))

    def factor(y):
        return np.abs(score[:, None] + logs(y)[0])

    return x * _integral(log_fall, fall_slope, factor, 9 / np.sqrt((a + b) * x * rest))


def _beta_at_one(x, a, b):
    """The limit at x = 1, which small b reach by rounding: 1 - F falls like (1 - x)^b / (b B(a, b))."""
    return (_digamma(a + b) - _digamma(a)) / b


def dirichlet_slope(x, a, total):
    """dx/da / (1 - x) for the coordinates x of Dirichlet vectors, of parameters a and their sum; flat doubles."""
    b = total - a
    with np.errstate(all="ignore"):
        valid = (a > 0) & (b > 0) & (x > 0) & (x < 1)
        return _pieces(((x == 0) & (a > 0), (x == 1) & (b > 0), valid & (x * np.maximum(b, 2) <= 1), valid),
                       (lambda x, a, b: np.zeros_like(x), _beta_at_one, _beta_series, _beta_tail), x, a, b)


@primitive(
    "_dirichlet_grad(Tensor x, Tensor alpha, Tensor total) -> Tensor",
    vjp=NOT_IMPLEMENTED("the second derivative of Dirichlet numbers"),
    node="NotImplemented",
    meta=lambda x, alpha, total: (x._a.shape, x.dtype),
    doc="The derivative of the coordinates `x` with respect to their parameters `alpha`, divided by 1 - x.",
)
def _dirichlet_grad_of(x, alpha, total):
    if x.dtype.itemsize < 4:
        raise checks.unimplemented("_dirichlet_grad_cpu", dtypes.from_np(x.dtype))
    flat = (np.broadcast_to(v, x.shape).astype(np.float64).ravel() for v in (x, alpha, total))
    return _in_rows(dirichlet_slope, *flat).astype(x.dtype).reshape(x.shape)


@public(method=False)
def _dirichlet_grad(x, alpha, total):
    """dx/dα / (1 - x) for coordinates x of Dirichlet vectors of parameters α = `alpha` with the sum `total`."""
    return _dirichlet_grad_of(x, alpha, total)
