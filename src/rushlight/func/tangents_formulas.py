"""Tangent rules with formulas of their own: moments, norms, triangular factors, likelihoods.

Where the general way divides by a length that may be zero and multiplies by zero afterwards, these rules have the
limits that PyTorch has.
"""

from ..ops.norms import _norm_grad
from ..record import RECORDS
from .forward import zeros_in
from .tangents import RULES
from .wrapped import invoke


def tangent_rule(*keys):
    """Decorator: the tangent rule of the records `keys`."""
    def deco(fn):
        for k in keys:
            RULES[k] = fn
        return fn
    return deco


def _inner(x, t):
    """The real inner products of two tensors, element by element."""
    return (x.conj() * t).real if x.dtype.is_complex else x * t


# ---------------------------------------------------------------- moments

def _variance(x, t, dim, correction, keepdim):
    """2 sum(Re conj(x - mean) t) / (n - correction): an infinite slope where there are no degrees of freedom."""
    dims = tuple(range(x.dim())) if dim is None else dim
    n = 1
    for d in dims:
        n *= x.shape[d] if x.dim() else 1
    rest = n - correction
    off = x - x.mean(dims, True)
    terms = _inner(off, t) * (2 / rest if rest else float("inf"))
    return terms.sum(dims, keepdim)


def _deviation(x, t, out, *rest):
    return (_variance(x, t, *rest) / (2 * out)).masked_fill(out == 0, 0)


@tangent_rule("var.correction")
def _(rec, inner, tangents):
    return invoke(rec, *inner), _variance(inner[0], tangents[0], *inner[1:])


@tangent_rule("std.correction")
def _(rec, inner, tangents):
    out = invoke(rec, *inner)
    return out, _deviation(inner[0], tangents[0], out, *inner[1:])


def _mean(t, dim, keepdim):
    return t.mean(tuple(range(t.dim())) if dim is None else dim, keepdim)


@tangent_rule("var_mean.correction")
def _(rec, inner, tangents):
    x, dim, correction, keepdim = inner
    t = tangents[0]
    return invoke(rec, *inner), (_variance(x, t, dim, correction, keepdim), _mean(t, dim, keepdim))


@tangent_rule("std_mean.correction")
def _(rec, inner, tangents):
    x, dim, correction, keepdim = inner
    t = tangents[0]
    out = invoke(rec, *inner)
    return out, (_deviation(x, t, out[0], dim, correction, keepdim), _mean(t, dim, keepdim))


# ---------------------------------------------------------------- norms

@tangent_rule("linalg_vector_norm")
def _(rec, inner, tangents):
    x, order, dim, keepdim, _ = inner
    out = invoke(rec, *inner)
    slopes = _norm_grad(zeros_in(out) + 1, x, out, order, dim, keepdim)
    t = tangents[0]
    terms = _inner(slopes.to(t.dtype) if slopes.dtype.is_complex or not t.dtype.is_complex else slopes, t)
    return out, terms.sum(tuple(range(x.dim())) if dim is None else dim, keepdim)


# ---------------------------------------------------------------- factors

def _lower_half(m):
    """The lower triangle with half the diagonal."""
    return m.tril() - m.diagonal(0, -2, -1).diag_embed() * 0.5


@tangent_rule("linalg_cholesky_ex", "cholesky")
def _(rec, inner, tangents):
    """dL = L phi(L^-1 dA L^-H) with phi the lower triangle and half the diagonal (A = L L^H)."""
    solve = RECORDS["linalg_solve_triangular"]
    a, upper = inner
    factor, info = invoke(rec, a, upper)
    low = factor.mH if upper else factor
    middle = invoke(solve, low, tangents[0], False, True, False)
    middle = invoke(solve, low, middle.mH, False, True, False).mH
    t = low @ _lower_half(middle)
    return (factor, info), (t.mH if upper else t, None)


# ---------------------------------------------------------------- largest and smallest elements, likelihoods

@tangent_rule("amax", "amin")
def _(rec, inner, tangents):
    """The mean tangent of the elements that are equal to the result."""
    x, dim, keepdim = inner
    dims = tuple(range(x.dim())) if dim is None else dim
    out = invoke(rec, *inner)
    hit = x == (out if keepdim else invoke(rec, x, dim, True))
    t = tangents[0].masked_fill(hit.logical_not(), 0).sum(dims, keepdim)
    return out, t / hit.sum(dims, keepdim)


@tangent_rule("logsumexp")
def _(rec, inner, tangents):
    x, dim, keepdim = inner
    out = invoke(rec, *inner)
    shares = (x - (out if keepdim else invoke(rec, x, dim, True))).exp()
    return out, (shares * tangents[0]).sum(dim, keepdim)


@tangent_rule("nll_loss_forward")
def _(rec, inner, tangents):
    """The loss is linear in the log-probabilities; weights are constants."""
    outs = invoke(rec, *inner)
    if tangents[0] is None:
        return outs, (None, None)
    return outs, (invoke(rec, tangents[0], *inner[1:])[0], None)
