"""Draws from tensors of parameters: ``bernoulli``, ``normal``, ``poisson``, ``multinomial``."""

import numpy as np

from .. import dtypes
from ..autograd.modes import state
from ..devices import contiguous_format
from ..randomness import checks, samplers
from ..record import NOT_IMPLEMENTED
from ..tensor import watch
from ..tensor.geometry import broadcast_shapes
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, resolve_bits, wrap
from .creation import shape_of
from .dispatch import needs_grad, primitive
from .random import make
from .random_fills import (
    FILLS,
    bernoulli_,
    draw_bernoulli_by,
    draw_normal,
    generator_of,
    integer,
    zero,
    zero_like,
)
from .reduction import _accumulate
from .registry import function, public

_ndarray = np.ndarray


def mapped(t):
    """`t` as active vmaps want a tensor that numbers are drawn for."""
    from ..func.drawing import spread
    return spread(t)


def _same(t, *rest):
    return t._a.shape, t.dtype


@primitive(
    "bernoulli(Tensor self, Generator? generator) -> Tensor",
    vjp={"self": zero},
    meta=_same,
    doc="Ones with the probabilities `self`, else zeros.",
)
def _bernoulli(self, generator):
    return draw_bernoulli_by(generator, np.empty(self.shape, self.dtype), self)


@public(out=True)
def bernoulli(input, p=None, *, generator=None):
    """Ones with the probabilities in `input` (or with the one probability `p`), else zeros."""
    gen = generator_of("bernoulli", generator)
    if state.levels:
        input = mapped(input)
    if p is None:
        return _bernoulli(input, gen)
    fresh = function("empty_like")(input, memory_format=contiguous_format)
    if needs_grad(input) and state.grad:
        return FILLS["bernoulli_"][1](input, (float(p),), gen)
    return bernoulli_(fresh, p, generator=gen)


@primitive(
    "normal.Tensor_float(Tensor mean, float std, Generator? generator) -> Tensor",
    vjp={"mean": zero},
    node="NormalBackward1",
    meta=_same,
    doc="Normal numbers around `mean` with one standard deviation.",
)
def _normal_around(mean, std, generator):
    z = draw_normal(
        generator, np.empty(mean.shape, mean.dtype), dtypes.from_np(mean.dtype), 0.0, std
    )
    return _add(z, mean)


@primitive(
    "normal.float_Tensor(float mean, Tensor std, Generator? generator) -> Tensor",
    vjp={"std": zero},
    node="NormalBackward2",
    meta=lambda mean, std, generator: (std._a.shape, std.dtype),
    doc="Normal numbers around one mean, with the standard deviations `std`.",
)
def _normal_wide(mean, std, generator):
    z = draw_normal(generator, np.empty(std.shape, std.dtype), dtypes.from_np(std.dtype), 0.0, 1.0)
    return _add(_mul(z, std), std.dtype.type(mean))


@primitive(
    "normal.Tensor_Tensor(Tensor mean, Tensor std, Generator? generator) -> Tensor",
    vjp={
        "mean": lambda mean_shape, mean_dtype: zero_like(mean_shape, mean_dtype),
        "std": lambda std_shape, std_dtype: zero_like(std_shape, std_dtype),
    },
    node="NormalBackward3",
    meta=lambda mean, std, generator: (broadcast_shapes(mean._a.shape, std._a.shape), mean.dtype),
    doc="Normal numbers with the means and standard deviations given.",
)
def _normal_both(mean, std, generator):
    shape = broadcast_shapes(mean.shape, std.shape)
    z = draw_normal(generator, np.empty(shape, mean.dtype), dtypes.from_np(mean.dtype), 0.0, 1.0)
    return _add(_mul(z, std), mean)


def _mul(x, y):
    """`x * y` rounded to the type of `x`; 16-bit floats by way of single precision."""
    if x.dtype.itemsize < 4:
        return (x.astype(np.float32) * y.astype(np.float32)).astype(x.dtype)
    return np.multiply(x, y, dtype=x.dtype, casting="same_kind")


def _add(x, y):
    """`x + y`, as `_mul` does it."""
    if x.dtype.itemsize < 4:
        return (x.astype(np.float32) + np.asarray(y).astype(np.float32)).astype(x.dtype)
    return np.add(x, y, dtype=x.dtype, casting="same_kind")


@public(method=False, out=True)
def normal(
    mean,
    std=1.0,
    size=None,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Normal numbers: ``normal(mean, std)`` with tensors, or ``normal(mean, std, size)``."""
    gen = generator_of("normal", generator)
    if state.levels:
        mean, std = [mapped(x) if isinstance(x, Tensor) else x for x in (mean, std)]
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if isinstance(std, Tensor):
        if std.dtype.is_complex:
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if type(std._a) is _ndarray and not (resolve_bits(std) >= 0).all():
            raise RuntimeError("normal expects all elements of std >= 0.0")
        if isinstance(mean, Tensor):
            return _normal_both(mean, std, gen)
        return _normal_wide(float(mean), std, gen)
    if isinstance(mean, Tensor):
        return _normal_around(mean, float(std), gen)
    if size is None:
        raise TypeError(
            "normal() received an invalid combination of arguments: a size is needed where "
            "neither mean nor std is a tensor"
        )
    return make(
        "normal",
        draw_normal,
        (float(mean), float(std)),
        shape_of("normal", (size,)),
        gen,
        None,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
    )


@primitive(
    "poisson(Tensor self, Generator? generator) -> Tensor",
    vjp={"self": zero},
    meta=_same,
    doc="Poisson numbers with the means `self`.",
)
def _poisson(self, generator):
    checks.real_floating(dtypes.from_np(self.dtype), "poisson_cpu")
    if not (self >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    if not np.isfinite(self).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be finite")
    return samplers.fill_poisson(generator, np.empty(self.shape, self.dtype), self)


@public(method=False)
def poisson(input, generator=None):
    """Poisson numbers with the rates in `input`, in its dtype."""
    return _poisson(mapped(input) if state.levels else input, generator_of("poisson", generator))


@primitive(
    "binomial(Tensor count, Tensor prob, Generator? generator) -> Tensor",
    vjp=NOT_IMPLEMENTED("the number of successes is not a smooth function"),
    node="NotImplemented",
    meta=lambda count, prob, generator: (count._a.shape, count.dtype),
    doc="Numbers of successes in `count` trials of probability `prob`.",
)
def _binomial(count, prob, generator):
    if not np.isfinite(count).all():
        raise RuntimeError("invalid binomial count, expected count to be finite")
    return samplers.fill_binomial(generator, np.empty(count.shape, count.dtype), count, prob)


@public(method=False)
def binomial(count, prob, generator=None):
    """Numbers of successes in `count` trials of probability `prob` each."""
    gen = generator_of("binomial", generator)
    if state.levels:
        count = mapped(count)
    if not count.dtype.is_floating_point:
        raise ValueError(
            "binomial only supports floating-point dtypes for count, got: "
            f"{dtypes.scalar_name(count.dtype)}"
        )
    if not prob.dtype.is_floating_point:
        raise ValueError(
            "binomial only supports floating-point dtypes for prob, got: "
            f"{dtypes.scalar_name(prob.dtype)}"
        )
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"Found dtype {dtypes.scalar_name(prob.dtype)} but expected "
            f"{dtypes.scalar_name(count.dtype)}"
        )
    if count.dtype not in (dtypes.float32, dtypes.float64):
        raise checks.unimplemented("binomial_cpu", count.dtype)
    return _binomial(count, prob, gen)


def _positive_shapes(values, op):
    checks_dtype = dtypes.from_np(values.dtype)
    if checks_dtype not in (dtypes.float32, dtypes.float64):
        raise checks.unimplemented(op, checks_dtype)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise RuntimeError(f"{op}: the shape parameters must be finite and not negative")


@primitive(
    "_standard_gamma(Tensor self, Generator? generator) -> Tensor",
    vjp={"self": lambda g, self, out: g * function("_standard_gamma_grad")(self, out)},
    node="StandardGammaBackward0",
    meta=_same,
    doc="Gamma numbers with the shape parameters `self` and scale 1.",
)
def _gamma(self, generator):
    _positive_shapes(self, "gamma_cpu")
    return samplers.fill_gamma(generator, np.empty(self.shape, self.dtype), self)


@public(method=False)
def _standard_gamma(input, generator=None):
    """Gamma numbers with the shape parameters in `input` (float32, float64) and scale 1."""
    return _gamma(mapped(input) if state.levels else input, generator_of("_standard_gamma", generator))


@primitive(
    "_sample_dirichlet(Tensor self, Generator? generator) -> Tensor",
    vjp=NOT_IMPLEMENTED("the reparameterized gradient of Dirichlet numbers"),
    node="NotImplemented",
    meta=_same,
    doc="Dirichlet numbers: gamma numbers with the shapes `self`, divided by their sum.",
)
def _dirichlet(self, generator):
    _positive_shapes(self, "dirichlet")
    wide = samplers.fill_gamma(generator, np.empty(self.shape), self)
    return (wide / _accumulate(wide, (wide.ndim - 1,) if wide.ndim else None, True, wide.dtype)).astype(self.dtype)


@public(method=False)
def _sample_dirichlet(input, generator=None):
    """Dirichlet numbers along the last dimension, with the concentrations in `input`."""
    return _dirichlet(mapped(input) if state.levels else input, generator_of("_sample_dirichlet", generator))


@public(out=True)
def multinomial(input, num_samples, replacement=False, *, generator=None):
    """`num_samples` indices a row, drawn with the weights in `input` (1-d or 2-d), as int64."""
    if state.levels:
        from ..func.drawing import multinomial as over_batches
        return over_batches(input, num_samples, replacement, generator)
    gen = generator_of("multinomial", generator)
    d = input.dtype
    n = integer("multinomial", "num_samples", num_samples)
    if not 1 <= input._a.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not d.is_floating_point:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{dtypes.scalar_name(d)}"
        )
    if n <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and n > input._a.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    shape = (*input._a.shape[:-1], n)
    if input.is_meta:
        return wrap(MetaArray(shape, np.int64))
    weights = input._a
    if not weights.size:
        return wrap(np.empty(shape, np.int64))

    def draw(weights):
        return _multinomial(gen, weights, n, replacement)
    out = wrap(draw(weights))
    if watch.listener is not None:
        watch.listener.ran("multinomial", draw, (input,), out)
    return out


def _multinomial(gen, weights, n, replacement):
    wide = weights.astype(np.float32) if weights.dtype.itemsize < 4 else weights
    if replacement and n > 1:
        if (wide < 0).any():
            raise RuntimeError(
                "invalid multinomial distribution (encountering probability entry < 0)"
            )
        if not np.isfinite(wide).all():
            raise RuntimeError(
                "invalid multinomial distribution (encountering probability entry = "
                "infinity or NaN)"
            )
    elif not (np.isfinite(wide) & (wide >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (wide.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    return samplers.multinomial(gen, weights, n, replacement)
