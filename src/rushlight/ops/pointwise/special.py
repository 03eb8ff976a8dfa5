"""Error functions, gamma functions, Bessel functions and their relatives (``torch.special``).

The common ones are formulas of the compiler; rare ones come from SciPy, with gradients by hand.
"""

from math import log, pi, sqrt

import numpy as np

from ... import dtypes
from ...compiler import scalar as s
from ...dtypes import COMPLEX, FLOAT, result_type_of, scalar_name
from ...record import NONDIFF
from ...tensor.tensor import Tensor, wrap
from ..dispatch import primitive
from ..out import with_out
from ..reduce_common import narrow, wide
from ..registry import FUNCTIONS, METHODS
from . import bessel
from .core import change, pointwise, run, run_out
from .forms import register
from .polynomials import chebyshev, hermite_h, hermite_he, laguerre, legendre
from .selection import _zeros_where as keep_where

BOTH = ("torch", "torch.special")


def _formula(name, formula, doc, *, aliases=(), special=(), method=True, inplace=True, **facts):
    """A real function of one operand: ``torch.name`` (where aliased) and ``torch.special.s``."""
    rec = pointwise(f"{name}(Tensor self) -> Tensor", formula, promote="float", doc=doc, **facts).record

    def function(input, *, out=None):
        _real(input, name)
        return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)

    def change_(input):
        _real(input, name)
        return change(rec, input, (), (), name)
    function.record = rec
    function.__doc__ = doc
    register(name, function, inplace=change_ if inplace else None, method=method, aliases=aliases,
             namespaces=("torch",) if method else ())
    for n in special:
        FUNCTIONS.setdefault("torch.special", {})[n] = function
    return function


def _real(input, name):
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not "
                        f"{type(input).__name__}")
    if input.dtype.category == COMPLEX:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(input.dtype)}'")


# ---------------------------------------------------------------- error functions

erf = _formula("erf", lambda x: s.erf(x), "2 / sqrt(pi) times the integral of exp(-t^2) from 0 to input.",
               special=("erf",), samples="unary", reference="scipy.special.erf")
erfc = _formula("erfc", lambda x: s.erfc(x), "1 - erf(input), accurate for large input.",
                special=("erfc",), samples="unary", reference="scipy.special.erfc")
erfinv = _formula("erfinv", lambda x: s.erfinv(x), "Inverse of erf on (-1, 1).", special=("erfinv",),
                  samples="unary_unit", reference="scipy.special.erfinv",
                  vjp={"self": lambda g, self: g * (sqrt(pi) / 2) * self.erfinv().square().exp()})

# ---------------------------------------------------------------- gamma

lgamma = _formula("lgamma", lambda x: s.lgamma(x), "log |Gamma(input)|.", special=("gammaln",),
                  samples="unary_positive", reference="scipy.special.gammaln")
digamma = _formula("digamma", lambda x: s.digamma(x), "Derivative of lgamma.",
                   special=("digamma", "psi"), samples="unary_positive", reference="scipy.special.digamma")

_polygammas = {}


def _polygamma_formula(n):
    """psi_n, below 1/2 by reflection: (-1)^n psi_n(1 - x) - d^n/dx^n (pi cot(pi x))."""
    if n < 2:
        return lambda x: s.polygamma(n, x)
    # The n-th derivative of cot is a polynomial in cot: c' = -(1 + c^2).
    p = [0, 1]
    for _ in range(n):
        d = [k * p[k] for k in range(1, len(p))]
        p = [0] * (len(d) + 2)
        for k, v in enumerate(d):
            p[k] -= v
            p[k + 2] -= v

    def formula(x):
        part = x - s.round(x)
        c = s.cos(pi * part) / s.sin(pi * part)
        poly = s.const(float(p[-1]))
        for v in p[-2::-1]:
            poly = poly * c + float(v)
        low = x < 0.5
        positive = s.polygamma(n, s.where(low, 1.0 - x, x))
        return s.where(low, (-1) ** n * positive - pi ** (n + 1) * poly, positive)
    return formula


def polygamma_record(n):
    """The record of the n-th derivative of digamma (made on first use)."""
    r = _polygammas.get(n)
    if r is None:
        r = _polygammas[n] = pointwise(
            f"polygamma.order{n}(Tensor self) -> Tensor", _polygamma_formula(n), promote="float",
            node="PolygammaBackward0",
            vjp={"self": lambda g, self: g * run(polygamma_record(n + 1), (self,), ())}).record
    return r


def polygamma(n, input, *, out=None):
    """n-th derivative of digamma at `input`, n >= 0."""
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    _real(input, "polygamma")
    rec = polygamma_record(n)
    return run(rec, (input,), ()) if out is None else run_out(rec, (input,), (), out)


def _polygamma_method(self, n):
    """n-th derivative of digamma at this tensor."""
    return polygamma(n, self)


def _polygamma_inplace(self, n):
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return change(polygamma_record(n), self, (), (), "polygamma")


register("polygamma", polygamma, method=False, namespaces=BOTH)
METHODS["polygamma"], METHODS["polygamma_"] = _polygamma_method, _polygamma_inplace


def mvlgamma(input, p):
    """log of the multivariate gamma function of dimension `p`; input > (p - 1) / 2."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    _real(input, "mvlgamma")
    steps = wrap(np.arange(p) * -0.5).to(input.dtype if input.dtype.category == FLOAT
                                         else dtypes.default.float)
    return (input.unsqueeze(-1) + steps).lgamma().sum(-1) + p * (p - 1) / 4 * log(pi)


register("mvlgamma", with_out("mvlgamma", mvlgamma), method=True,
         inplace=lambda input, p: input.copy_(mvlgamma(input, p)))
FUNCTIONS.setdefault("torch.special", {})["multigammaln"] = FUNCTIONS["torch"]["mvlgamma"]

# ---------------------------------------------------------------- logit, entropy

_logit = pointwise("logit(Tensor self) -> Tensor", lambda x: s.log(x / (1.0 - x)), promote="float",
                   vjp={"self": lambda g, self: _logit_grad(g, self)})
# NaN outside of the domain, infinite at its ends.
_logit_grad = pointwise("logit.grad(Tensor g, Tensor self) -> Tensor",
                        lambda g, x: s.where(s.logical_or(x < 0.0, x > 1.0), float("nan"), s.where(
                            s.logical_or(x == 0.0, x == 1.0), g * float("inf"), g / (x * (1.0 - x)))))
_logit_eps = pointwise("logit.eps(Tensor self, Scalar low, Scalar high) -> Tensor",
                       lambda x, a, b: s.log(s.minimum(s.maximum(x, a), b)
                                             / (1.0 - s.minimum(s.maximum(x, a), b))),
                       promote="float",
                       vjp={"self": lambda g, self, low, high: keep_where(
                           (self >= low) & (self <= high), g / (self * (1 - self)))})


def _logit_call(input, eps):
    _real(input, "logit")
    if eps is None or eps < 0:
        return _logit.record, ()
    return _logit_eps.record, (float(eps), 1 - float(eps))


def logit(input, eps=None, *, out=None):
    """log(x / (1 - x)), with x clamped to [eps, 1 - eps] when `eps` is given."""
    rec, params = _logit_call(input, eps)
    return run(rec, (input,), params) if out is None else run_out(rec, (input,), params, out)


def _logit_inplace(input, eps=None):
    rec, params = _logit_call(input, eps)
    return change(rec, input, (), params, "logit")


register("logit", logit, inplace=_logit_inplace, namespaces=BOTH)

_formula("special_entr", lambda x: s.where(s.isnan(x), x, s.where(x > 0, -x * s.log(x), s.where(
    x == 0, 0.0, float("-inf")))), "-input * log(input); 0 at 0, -inf below.", special=("entr",),
    method=False, inplace=False,
    vjp={"self": lambda g, self: g * (-1 - self.log())})

_xlog1py = pointwise("special_xlog1py(Tensor self, Tensor other) -> Tensor",
                     lambda x, y: s.where(s.isnan(y), y, s.where(x == 0, 0.0, x * s.log1p(y))),
                     promote="float", node="SpecialXlog1PyBackward0",
                     vjp={"self": lambda g, self, other: keep_where(
                         ((self == 0) & (other <= -1)).logical_not(), g * _log1p(other)),
                         "other": lambda g, self, other: g * self / (other + 1)})


def _log1p(x):
    return x.log1p() if isinstance(x, Tensor) else float(np.log1p(x))


def xlog1py(input, other, *, out=None):
    """input * log1p(other): 0 where input is 0, NaN where other is NaN."""
    rec = _xlog1py.record
    return run(rec, (input, other), ()) if out is None else run_out(rec, (input, other), (), out)


_NDTR = "Distribution function of the standard normal at `input`."
_formula("special_ndtr", lambda x: 0.5 * s.erfc(x * -sqrt(0.5)), _NDTR, special=("ndtr",), method=False,
         inplace=False, node="MulBackward1")
FUNCTIONS["torch.special"]["xlog1py"] = xlog1py


def _publish(name, like):
    FUNCTIONS["torch.special"][name] = FUNCTIONS["torch"][like]


for _n, _like in (("expm1", "expm1"), ("exp2", "exp2"), ("log1p", "log1p"), ("expit", "sigmoid"),
                  ("round", "round"), ("sinc", "sinc")):
    _publish(_n, _like)

# ---------------------------------------------------------------- from SciPy


def _scipy(name, function, vjp, doc, *, special=None, published=(), inplace=False, node=None):
    """A function of one real operand computed by scipy.special."""
    @primitive(f"{name}(Tensor self) -> Tensor", vjp=vjp, doc=doc,
               **({"node": node} if node else {}))
    def call(a):
        import scipy.special
        f = function if callable(function) else getattr(scipy.special, function)
        with np.errstate(all="ignore"):
            return narrow(f(wide(a)), a.dtype)

    def fn(input):
        _real(input, name)
        if input.dtype.category < FLOAT:
            input = input.to(dtypes.default.float)
        return call(input)
    fn.__name__ = fn.__qualname__ = special or name
    fn.__doc__ = doc
    f = with_out(name, fn)
    FUNCTIONS["torch.special"][special or name] = f
    for n in published:
        FUNCTIONS["torch"][n] = f
        METHODS[n] = fn
        if inplace:
            from ..inplace import derive
            METHODS[n + "_"] = FUNCTIONS["torch"][n + "_"] = derive(n, fn)
    return fn


def _sp():
    return FUNCTIONS["torch.special"]


def _growing_bessel(scaled):
    """exp(|x|) times the scaled function, which overflows where exp does in the operand's type."""
    def f(x):
        import scipy.special
        return np.exp(np.abs(x)) * getattr(scipy.special, scaled)(x)
    return f


_i0, _i1 = _growing_bessel("i0e"), _growing_bessel("i1e")
_formula("i0", lambda x: s.exp(s.abs(x)) * bessel.i0e(x), "Modified Bessel function, order 0.", special=("i0",),
         vjp={"self": lambda g, self: g * _sp()["i1"](self)})
_formula("special_i0e", bessel.i0e, "exp(-|input|) * i0(input).", special=("i0e",), method=False, inplace=False,
         vjp={"self": lambda g, self, out: g * (_sp()["i1e"](self) - self.sgn() * out)}, node="SpecialI0EBackward0")


def _i1_grad(g, self, out):
    slope = _sp()["i0"](self) - out / self
    return g * slope.masked_fill(self == 0, 0.5)


def _i1e_grad(g, self, out):
    slope = _sp()["i0e"](self) - out * (self.sgn() + 1 / self)
    return g * slope.masked_fill(self == 0, 0.5)


_formula("special_i1", lambda x: s.exp(s.abs(x)) * bessel.i1e(x), "Modified Bessel function, order 1.",
         special=("i1",), method=False, inplace=False, vjp={"self": _i1_grad})
_formula("special_i1e", bessel.i1e, "exp(-|input|) * i1(input).", special=("i1e",), method=False, inplace=False,
         vjp={"self": _i1e_grad}, node="SpecialI1EBackward0")
_scipy("special_erfcx", "erfcx", {"self": lambda g, self, out: g * (2 * self * out - 2 / sqrt(pi))},
       "exp(input^2) * erfc(input).", special="erfcx")
_scipy("special_ndtri", "ndtri",
       {"self": lambda g, out: g * sqrt(2 * pi) * (out.square() / 2).exp()},
       "Inverse of ndtr.", special="ndtri")


def _log_ndtr_grad(g, self, out):
    t = self * -sqrt(0.5)
    low = sqrt(2 / pi) / _sp()["erfcx"](t)
    high = sqrt(2 / pi) * (-self.square() / 2).exp() / t.erfc()
    return g * FUNCTIONS["torch"]["where"](self < 1, low, high)


_scipy("special_log_ndtr", "log_ndtr", {"self": _log_ndtr_grad}, "log(ndtr(input)).", special="log_ndtr")
for _n, _f in (("bessel_j0", "j0"), ("bessel_j1", "j1"), ("bessel_y0", "y0"), ("bessel_y1", "y1"),
               ("modified_bessel_i0", _i0), ("modified_bessel_i1", _i1),
               ("modified_bessel_k0", "k0"), ("modified_bessel_k1", "k1"),
               ("scaled_modified_bessel_k0", "k0e"), ("scaled_modified_bessel_k1", "k1e")):
    _scipy("special_" + _n, _f, NONDIFF("PyTorch defines no gradient"),
           f"Bessel function {_n[-2:]} ({_n.replace('_', ' ')}).", special=_n)
_scipy("special_airy_ai", lambda x: _airy(x), NONDIFF("PyTorch defines no gradient"),
       "Airy function Ai.", special="airy_ai")
_scipy("special_spherical_bessel_j0", lambda x: np.where(np.isinf(x), 0, np.sinc(x / np.pi)),
       NONDIFF("PyTorch defines no gradient"), "sin(x) / x.", special="spherical_bessel_j0")


def _airy(x):
    """Ai: 0 from 104 on, and far below 0 the leading wave of its expansion."""
    import scipy.special
    out = np.where(x > 103.892, 0, scipy.special.airy(x)[0])
    far = (x < -1e4) & np.isfinite(x)
    if far.any():
        root = np.sqrt(np.abs(x[far].astype(np.float64)))
        out[far] = np.sin(2 / 3 * root ** 3 + pi / 4) / np.sqrt(pi * root)
    return np.where(np.isinf(x), np.nan, out)


# ---------------------------------------------------------------- two operands from SciPy


def _operands(input, other, name):
    """Both operands as tensors of the common floating type, broadcast by the kernel."""
    d = result_type_of((input, other))
    if d.category == COMPLEX:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")
    if d.category < FLOAT:
        d = dtypes.default.float
    out = []
    for x in (input, other):
        if not isinstance(x, Tensor):
            x = wrap(np.asarray(x, np.float64)).to(d)
        out.append(x if x.dtype is d else x.to(d))
    return out


def _scipy2(name, function, vjp, doc, *, special=None, torch=None, method=False, node=None):
    @primitive(f"{name}(Tensor self, Tensor other) -> Tensor", vjp=vjp, doc=doc,
               **({"node": node} if node else {}))
    def call(a, b):
        import scipy.special
        f = function if callable(function) else getattr(scipy.special, function)
        with np.errstate(all="ignore"):
            return narrow(f(wide(a), wide(b)), a.dtype)

    def fn(input, other):
        for i, x in enumerate((input, other)):
            if not isinstance(x, Tensor) and (torch or not isinstance((other, input)[i], Tensor)):
                raise TypeError(f"{name}(): argument '{('input', 'other')[i]}' (position {i + 1}) must be "
                                f"Tensor, not {type(x).__name__}")
        return call(*_operands(input, other, name))
    fn.__name__ = fn.__qualname__ = special or name
    fn.__doc__ = doc
    f = with_out(name, fn)
    if special:
        FUNCTIONS["torch.special"][special] = f
    if torch:
        FUNCTIONS["torch"][torch] = f
    if method:
        from ..inplace import derive
        METHODS[torch] = fn
        METHODS[torch + "_"] = derive(torch, fn)


def _no_rule(what):
    def rule(g):
        raise NotImplementedError(f"the derivative for '{what}: input' is not implemented.")
    return rule


def _gamma_density(self, other):
    """exp(-x) x^(a - 1) / Gamma(a) for a = self, x = other."""
    return ((self - 1) * other.log() - other - self.lgamma()).exp()


def _regularized(name, start, end):
    """An incomplete gamma function of (a, x), `start` at x = 0 and `end` at infinite x, whatever a > 0 is."""
    def f(a, x):
        import scipy.special
        a, x = np.broadcast_arrays(a, x)
        out = np.asarray(getattr(scipy.special, name)(a, x))
        known = ~((a < 0) | (x < 0))
        out = np.where(known & ((x == 0) & np.isnan(a) | np.isinf(a) & ~np.isinf(x)), start, out)
        return np.where(known & np.isinf(x) & ~np.isinf(a), end, out)
    return f


_scipy2("igamma", _regularized("gammainc", 0, 1), {"self": _no_rule("igamma"),
                               "other": lambda g, self, other: g * _gamma_density(self, other)},
        "Regularized lower incomplete gamma function of a = input, x = other.", special="gammainc",
        torch="igamma", method=True)
_scipy2("igammac", _regularized("gammaincc", 1, 0), {"self": _no_rule("igammac"),
                                 "other": lambda g, self, other: -g * _gamma_density(self, other)},
        "Regularized upper incomplete gamma function of a = input, x = other.", special="gammaincc",
        torch="igammac", method=True)


# Above it the Euler-Maclaurin sum's product of 23 factors x + k overflows: NaN, unless the first term alone counts.
_ZETA_END = 2.525683515392e13


def _zeta(x, q):
    import scipy.special
    x, q = np.broadcast_arrays(x, q)
    out = np.asarray(scipy.special.zeta(x, q))
    lost = ((x > _ZETA_END) & (q > 1)) | ((x > 1) & (q == np.inf))
    return np.where(lost, np.nan, out) if lost.any() else out


_scipy2("special_zeta", _zeta, {"self": _no_rule("zeta"),
                                "other": lambda g, self, other: g * -self * _sp()["zeta"](self + 1, other)},
        "Hurwitz zeta function.", special="zeta")


_NO_POLY = NONDIFF("PyTorch defines no gradient")
for _k in "tuvw":
    _scipy2(f"special_chebyshev_polynomial_{_k}", chebyshev(_k), _NO_POLY,
            f"Chebyshev polynomial {_k.upper()}_n(input), n = other.", special=f"chebyshev_polynomial_{_k}")
    _scipy2(f"special_shifted_chebyshev_polynomial_{_k}", chebyshev(_k, True), _NO_POLY,
            f"Shifted Chebyshev polynomial {_k.upper()}*_n(input), n = other.",
            special=f"shifted_chebyshev_polynomial_{_k}")
for _n, _f in (("hermite_polynomial_h", hermite_h), ("hermite_polynomial_he", hermite_he),
               ("laguerre_polynomial_l", laguerre), ("legendre_polynomial_p", legendre)):
    _scipy2("special_" + _n, _f, _NO_POLY, f"The {_n.replace('_', ' ')} of degree n = other.", special=_n)
