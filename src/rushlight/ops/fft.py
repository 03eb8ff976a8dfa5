"""Discrete Fourier transforms in one or several dimensions.

Three primitives, as in PyTorch: complex to complex, real to complex (half of the spectrum), and
complex (half a spectrum) to real; scale: 0 none, 1 by the root of the number of points, 2 by the number.
"""

import math

from .. import dtypes
from ..dtypes import scalar_name
from ..tensor.geometry import wrap_dim
from .dispatch import primitive
from .fourier import complex_transform, half_spectrum, real_signal
from .padding import _constant
from .registry import public
from .slicing import _slice

_NS = ("torch.fft",)


def _points(shape, dim):
    n = 1
    for d in dim:
        n *= shape[d]
    return n


def _factor(n, scale):
    return 1.0 if not scale or not n else 1 / (math.sqrt(n) if scale == 1 else n)


# ---------------------------------------------------------------- primitives

@primitive("_fft_c2c(Tensor self, int[] dim, int normalization, bool forward) -> Tensor",
           node="FftC2CBackward0",
           vjp={"self": lambda g, dim, normalization, forward:
                _c2c(g, dim, normalization, not forward)})
def _c2c(a, dim, normalization, forward):
    return complex_transform(a, dim, forward, _factor(_points(a.shape, dim), normalization))


@primitive("_fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor",
           node="FftR2CBackward0",
           vjp={"self": lambda g, self_shape, dim, normalization, onesided:
                _r2c_gradient(g, self_shape[dim[-1]], dim, normalization, onesided)})
def _r2c(a, dim, normalization, onesided):
    return half_spectrum(a, dim, _factor(_points(a.shape, dim), normalization), "half" if onesided else "full")


def _r2c_gradient(g, last_dim_size, dim, normalization, onesided):
    if onesided:
        return _r2c_backward(g, dim, normalization, last_dim_size)
    return _c2c(g, dim, normalization, False).real


@primitive("_fft_r2c_backward(Tensor self, int[] dim, int normalization, int last_dim_size) -> Tensor",
           vjp={"self": lambda g, dim, normalization: _r2c(g, dim, normalization, True)})
def _r2c_backward(a, dim, normalization, last_dim_size):
    """The real part of the half spectrum, filled with zeros, transformed back."""
    n = _points(a.shape, dim[:-1]) * last_dim_size
    return real_signal(a, dim, last_dim_size, _factor(n, normalization), "adjoint")


@primitive("_fft_c2r(Tensor self, int[] dim, int normalization, int last_dim_size) -> Tensor",
           node="FftC2RBackward0",
           vjp={"self": lambda g, dim, normalization: _c2r_backward(g, dim, normalization)})
def _c2r(a, dim, normalization, last_dim_size):
    n = _points(a.shape, dim[:-1]) * last_dim_size
    return real_signal(a, dim, last_dim_size, _factor(n, normalization))


@primitive("_fft_c2r_backward(Tensor self, int[] dim, int normalization) -> Tensor",
           vjp={"self": lambda g, self_shape, dim, normalization: _c2r(g, dim, normalization, self_shape[dim[-1]])})
def _c2r_backward(a, dim, normalization):
    """Every coefficient but those that are their own mirror image counts twice."""
    return half_spectrum(a, dim, _factor(_points(a.shape, dim), normalization), "doubled")


# ---------------------------------------------------------------- arguments

def _scale(name, norm, forward):
    if norm is None or norm == "backward":
        return 0 if forward else 2
    if norm == "forward":
        return 2 if forward else 0
    if norm == "ortho":
        return 1
    raise RuntimeError(f"Invalid normalization mode: \"{norm}\"")


def _promoted(t, complex_=False):
    d = t.dtype
    if d.category < dtypes.FLOAT:
        d = dtypes.default.float
    if d in (dtypes.float16, dtypes.bfloat16):
        raise RuntimeError(f"Unsupported dtype {scalar_name(d)}")
    if complex_ and not d.is_complex:
        d = d.to_complex()
    return t.to(d)


def _fitted(t, sizes, dims):
    """`t` cut or filled with zeros to the given sizes."""
    for n, d in zip(sizes, dims):
        have = t._a.shape[d]
        if n < have:
            t = _slice(t, d, 0, n, 1)
        elif n > have:
            t = _constant(t, (0, 0) * (t._a.ndim - 1 - d) + (0, n - have), 0)
    return t


def _real_only(name, t):
    if t.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {scalar_name(t.dtype)}")


def _size(n, have):
    n = have if n is None else n
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _dims(name, t, s, dim):
    """Sizes and dimensions of an n-dimensional transform (-1: keep the size)."""
    n = t._a.ndim
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        dims = tuple(wrap_dim(d, n) for d in dim)
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    if s is not None:
        s = (s,) if isinstance(s, int) else tuple(s)
        if dim is None:
            if len(s) > n:
                raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {n} "
                                   "dimensions.")
            dims = tuple(range(n - len(s), n))
        elif len(dims) != len(s):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        sizes = tuple(t._a.shape[d] if k == -1 else k for k, d in zip(s, dims))
    else:
        if dim is None:
            dims = tuple(range(n))
        sizes = tuple(t._a.shape[d] for d in dims)
    for k in sizes:
        if k < 1:
            raise RuntimeError(f"Invalid number of data points ({k}) specified")
    return sizes, dims


# ---------------------------------------------------------------- one dimension

def _one(name, forward, doc):
    def fn(input, n=None, dim=-1, norm=None):
        scale = _scale(name, norm, forward)
        t = _promoted(input)
        d = wrap_dim(dim, t._a.ndim, scalar_ok=False)
        t = _fitted(t, (_size(n, t._a.shape[d]),), (d,))
        if t.dtype.is_complex:
            return _c2c(t, (d,), scale, forward)
        r = _r2c(t, (d,), scale, False)
        return r if forward else r.conj()
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    public(name, namespaces=_NS, method=False, out=True)(fn)


_COMMON = """

`input` is cut or filled with zeros to {size}; integers are taken as the default dtype.
`norm`: "backward" (the default) divides inverse transforms by the number of points, "forward" divides forward ones,
"ortho" each by its square root.
RuntimeError for 16-bit floats{more} and for sizes below 1.
"""
_ONE = _COMMON.format(size="`n` points along `dim`", more="")
_REAL = _COMMON.format(size="`n` points along `dim`", more=", for complex input")


_one("fft", True, "The transform ``X[k] = sum_j x[j] exp(-2 pi i j k / n)`` along `dim`, complex in the input's shape."
     + _ONE)
_one("ifft", False, "The inverse of ``fft``: ``x[j] = sum_k X[k] exp(2 pi i j k / n) / n`` along `dim`." + _ONE)


def _half(name, forward, conjugate, doc):
    def fn(input, n=None, dim=-1, norm=None):
        _real_only(name, input)
        scale = _scale(name, norm, forward)
        t = _promoted(input)
        d = wrap_dim(dim, t._a.ndim, scalar_ok=False)
        r = _r2c(_fitted(t, (_size(n, t._a.shape[d]),), (d,)), (d,), scale, True)
        return r.conj() if conjugate else r
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    public(name, namespaces=_NS, method=False, out=True)(fn)


_half("rfft", True, False, "The first ``n // 2 + 1`` coefficients of ``fft`` of a real signal: the others are their "
      "conjugates, ``X[n - k] = conj(X[k])``." + _REAL)
_half("ihfft", False, True, "The inverse of ``hfft``: the first ``n // 2 + 1`` values of the Hermitian signal that has "
      "a real spectrum of `n` points." + _REAL)


def _to_real(name, forward, conjugate, doc):
    def fn(input, n=None, dim=-1, norm=None):
        scale = _scale(name, norm, forward)
        t = _promoted(input, True)
        d = wrap_dim(dim, t._a.ndim, scalar_ok=False)
        n = _size(n, 2 * (t._a.shape[d] - 1))
        t = _fitted(t, (n // 2 + 1,), (d,))
        return _c2r(t.conj() if conjugate else t, (d,), scale, n)
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    public(name, namespaces=_NS, method=False, out=True)(fn)


_HALF = _COMMON.format(size="``n // 2 + 1`` points along `dim`", more="")
_to_real("irfft", False, False, "The real signal of length `n` whose spectrum begins with `input`: the inverse of "
         "``rfft``.\n\n`n` is twice the number of coefficients less 2 by default; imaginary parts of the first and, of "
         "even `n`, of the last one don't count." + _HALF)
_to_real("hfft", True, True, "The real spectrum of `n` points of the Hermitian signal that begins with `input`.\n\n`n` "
         "is twice the number of values less 2 by default; imaginary parts of the first and, of even `n`, of the last "
         "one don't count." + _HALF)


# ---------------------------------------------------------------- several dimensions

def _several(name, default, core, doc):
    if default is None:
        def fn(input, s=None, dim=None, norm=None):
            return core(input, s, dim, norm)
    else:
        def fn(input, s=None, dim=default, norm=None):
            return core(input, s, dim, norm)
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    public(name, namespaces=_NS, method=False, out=True)(fn)


def _complex_core(name, forward):
    def core(input, s, dim, norm):
        scale = _scale(name, norm, forward)
        t = _promoted(input)
        sizes, dims = _dims(name, t, s, dim)
        if not t.dtype.is_complex:
            if forward and len(dims) > 1:
                t = _r2c(_fitted(t, sizes, dims), dims[-1:], scale, False)
                return _c2c(t, dims[:-1], scale, True)
            t = t.to(t.dtype.to_complex())
        return _c2c(_fitted(t, sizes, dims), dims, scale, forward) if dims else t.clone()
    return core


def _half_core(name, forward, conjugate):
    def core(input, s, dim, norm):
        _real_only(name, input)
        scale = _scale(name, norm, forward)
        t = _promoted(input)
        sizes, dims = _dims(name, t, s, dim)
        if not dims:
            raise RuntimeError(f"{name} must transform at least one axis")
        t = _fitted(t, sizes, dims)
        if not conjugate:
            return _r2c(t, dims, scale, True)
        # The other dimensions are transformed backwards.
        r = _r2c(t, dims[-1:], scale, True).conj()
        return _c2c(r, dims[:-1], scale, forward) if len(dims) > 1 else r
    return core


def _real_core(name, forward, conjugate):
    def core(input, s, dim, norm):
        scale = _scale(name, norm, forward)
        t = _promoted(input, True)
        sizes, dims = _last_sizes(name, t, s, dim)
        last = sizes[-1]
        t = _fitted(t, (*sizes[:-1], last // 2 + 1), dims)
        if not conjugate:
            return _c2r(t, dims, scale, last)
        if len(dims) > 1:
            t = _c2c(t, dims[:-1], scale, forward)
        return _c2r(t.conj(), dims[-1:], scale, last)
    return core


def _last_sizes(name, t, s, dim):
    n = t._a.ndim
    given = s is not None
    if dim is not None and not given:
        dims = tuple(wrap_dim(d, n) for d in ((dim,) if isinstance(dim, int) else tuple(dim)))
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        sizes = tuple(t._a.shape[d] for d in dims)
    elif not given:
        dims, sizes = tuple(range(n)), t._a.shape
    else:
        given_sizes = (s,) if isinstance(s, int) else tuple(s)
        sizes, dims = _dims(name, t, [k if k != -1 or i < len(given_sizes) - 1 else 1
                                      for i, k in enumerate(given_sizes)], dim)
        given = given_sizes[-1] != -1
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    if not given:
        sizes = (*sizes[:-1], 2 * (t._a.shape[dims[-1]] - 1))
    for k in sizes:
        if k < 1:
            raise RuntimeError(f"Invalid number of data points ({k}) specified")
    return sizes, dims


for _suffix, _default in (("2", (-2, -1)), ("n", None)):
    for _base, _core, _doc in (
            ("fft", lambda n: _complex_core(n, True), "``fft`` over {dims}, one after the other."),
            ("ifft", lambda n: _complex_core(n, False), "``ifft`` over {dims}: the inverse of ``fft{n}``."),
            ("rfft", lambda n: _half_core(n, True, False), "``rfft`` over the last of {dims} and ``fft`` over the "
             "others: the half of the spectrum that tells the rest."),
            ("irfft", lambda n: _real_core(n, False, False), "``ifft`` over {dims} but the last, then ``irfft`` over "
             "that: the inverse of ``rfft{n}``."),
            ("hfft", lambda n: _real_core(n, True, True), "``fft`` over {dims} but the last, then ``hfft`` over that."),
            ("ihfft", lambda n: _half_core(n, False, True), "``ihfft`` over the last of {dims} and ``ifft`` over the "
             "others: the inverse of ``hfft{n}``.")):
        _doc = _doc.format(n=_suffix, dims="two dimensions" if _default else "the dimensions `dim` (all, or the last "
                           "ones that `s` has sizes for)")
        _several(_base + _suffix, _default, _core(_base + _suffix), _doc + _COMMON.format(
            size="the sizes `s` along `dim`", more=""))


# ---------------------------------------------------------------- frequencies

@public(namespaces=_NS, method=False, out=True)
def fftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of ``fft``'s coefficients for sample spacing `d`, in cycles per unit of `d`.

    ``[0, 1, ..., (n - 1) // 2, -(n // 2), ..., -1] / (n d)``, of the default dtype unless `dtype` is given.
    """
    from .sequences import arange
    k = arange(n, dtype=dtype or dtypes.default.float, device=device)
    k[n - n // 2:] -= n
    r = k * (1.0 / (n * d))
    return r.requires_grad_() if requires_grad else r


@public(namespaces=_NS, method=False, out=True)
def rfftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of ``rfft``'s coefficients for sample spacing `d`: ``[0, 1, ..., n // 2] / (n d)``."""
    from .sequences import arange
    r = arange(n // 2 + 1, dtype=dtype or dtypes.default.float, device=device) * (1.0 / (n * d))
    return r.requires_grad_() if requires_grad else r


def _shift(name, sign, doc):
    def fn(input, dim=None):
        n = input._a.ndim
        dims = tuple(range(n)) if dim is None else tuple(
            wrap_dim(d, n) for d in ((dim,) if isinstance(dim, int) else dim))
        if not dims:
            return input.clone()
        sizes = [input._a.shape[d] for d in dims]
        return input.roll([k // 2 if sign > 0 else (k + 1) // 2 for k in sizes], dims)
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    public(name, namespaces=_NS, method=False)(fn)


_shift("fftshift", 1, "Coefficients in the order of their frequencies, zero in the middle: ``roll`` by ``n // 2`` "
       "along `dim` (all dimensions by default).")
_shift("ifftshift", -1, "The inverse of ``fftshift``: ``roll`` by ``-(n // 2)`` along `dim`.")
