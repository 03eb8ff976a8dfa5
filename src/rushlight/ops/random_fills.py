"""The in-place random fills: ``uniform_``, ``normal_``, ``bernoulli_`` and their like.

A fill has gradient zero: what it overwrites is forgotten. ``draw_*`` fill arrays after checking the
parameters; ``FILLS`` has each with its differentiable form.
"""

import numpy as np

from .. import dtypes
from ..autograd.modes import state
from ..random import Generator, default_generator
from ..randomness import checks, fills
from ..tensor import watch
from ..tensor.tensor import Tensor, wrap
from . import inplace
from .dispatch import needs_grad, primitive
from .registry import METHODS, function

_ndarray = np.ndarray


def generator_of(op, generator):
    """The generator to draw from: the default one where none is given."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(
            f"{op}(): argument 'generator' must be torch.Generator, not {type(generator).__name__}"
        )
    return generator


def integer(op, name, value):
    """`value` as a Python int; TypeError for other numbers."""
    if type(value) is int:
        return value
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}(): argument '{name}' must be int, not {type(value).__name__}")
    return value.__index__()


def zero(g):
    return function("zeros_like")(g)


def zero_like(shape, dtype):
    return function("zeros")(shape, dtype=dtype)


def _real_pairs(a):
    """A complex array as its real and imaginary parts, along a last dimension of two."""
    part = a["re"] if a.dtype.names else a.real
    return np.lib.stride_tricks.as_strided(part, (*a.shape, 2), (*a.strides, part.itemsize))


# ---------------------------------------------------------------- fills of arrays with checks


def draw_uniform(gen, a, d, low, high):
    if d.is_complex:
        checks.uniform_bounds(d.to_real(), low, high)
        fills.fill_uniform(gen, _real_pairs(a), low, high)
        return a
    checks.uniform_bounds(d, low, high)
    return fills.fill_uniform(gen, a, low, high)


def draw_normal(gen, a, d, mean, std):
    checks.normal_std(std)
    if d.is_complex:
        fills.fill_normal(gen, _real_pairs(a), mean, std / 2**0.5)
        return a
    checks.real_floating(d, "normal_kernel_cpu")
    return fills.fill_normal(gen, a, mean, std)


def draw_integers(gen, a, d, low, high):
    low, high = checks.integer_range(d, low, high)
    return fills.fill_integers(gen, a, low, high)


def draw_random(gen, a, d):
    if d.name not in checks.C_NAMES or d.is_complex:
        raise checks.unimplemented("random_kernel_cpu", d)
    return fills.fill_random(gen, a)


def draw_bernoulli(gen, a, d, p):
    checks.probability(p)
    if d.name not in checks.C_NAMES or d.is_complex:
        raise checks.unimplemented("bernoulli_scalar_cpu_", d)
    return fills.fill_bernoulli(gen, a, p)


def draw_bernoulli_by(gen, a, p):
    if p.dtype.kind in "biuc":
        raise checks.unimplemented("bernoulli_tensor_cpu_p_", dtypes.from_np(p.dtype))
    # (not the other way round: NaN is refused)
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this "
            "error message be improved?  If so, please report an enhancement request to "
            "PyTorch.)"
        )
    return fills.fill_bernoulli(gen, a, p)


def draw_exponential(gen, a, d, rate):
    checks.continuous(d, "Exponential")
    checks.positive("exponential_", "lambda", rate, "lambda")
    return fills.fill_exponential(gen, a, rate)


def draw_geometric(gen, a, d, p):
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if d.name not in checks.C_NAMES or d.is_complex or d is dtypes.bool_:
        raise checks.unimplemented("geometric_cpu", d)
    return fills.fill_geometric(gen, a, p)


def draw_log_normal(gen, a, d, mean, std):
    checks.positive("log_normal_", "std", std, "std")
    checks.real_floating(d, "log_normal_cpu")
    return fills.fill_log_normal(gen, a, mean, std)


def draw_cauchy(gen, a, d, median, sigma):
    checks.continuous(d, "Cauchy", c_names=True)
    checks.positive("cauchy_", "sigma", sigma, "sigma")
    return fills.fill_cauchy(gen, a, median, sigma)


# ---------------------------------------------------------------- in place


def _fill_record(name, fill, node):
    """The differentiable form of a fill: a fresh array, and zero for what was there before."""

    @primitive(
        f"{name}(Tensor self, Any parameters, Generator? generator) -> Tensor",
        vjp={"self": zero},
        node=node,
        meta=lambda t, *rest: (t._a.shape, t.dtype),
        doc=f"Fresh values for `{name}_`, which needs a gradient node.",
    )
    def kernel(self, parameters, generator):
        return fill(generator, np.empty_like(self), dtypes.from_np(self.dtype), *parameters)

    return kernel


FILLS = {
    name: (fill, _fill_record(record, fill, node), name.partition(".")[0])
    for name, record, fill, node in (
        ("uniform_", "uniform", draw_uniform, "UniformBackward0"),
        ("normal_", "normal.fill", draw_normal, "NormalBackward0"),
        ("random_", "random", draw_random, "RandomBackward2"),
        ("random_.from", "random.from", draw_integers, "RandomBackward0"),
        ("random_.to", "random.to", draw_integers, "RandomBackward1"),
        ("bernoulli_", "bernoulli.float", draw_bernoulli, "BernoulliBackward2"),
        ("exponential_", "exponential", draw_exponential, "ExponentialBackward0"),
        ("geometric_", "geometric", draw_geometric, "GeometricBackward0"),
        ("log_normal_", "log_normal", draw_log_normal, "LogNormalBackward0"),
        ("cauchy_", "cauchy", draw_cauchy, "CauchyBackward0"),
    )
}


def _fill(t, which, generator, *parameters):
    """Overwrite tensor `t` by the fill named `which`; its history becomes the fill's."""
    fill, record, op = FILLS[which]
    if state.levels:
        from ..func import drawing
        inplace.check(t)
        return drawing.fill(t, lambda x: _fill(x, which, generator, *parameters))
    gen = default_generator if generator is None else generator_of(op, generator)
    if t._view is None and not t._requires_grad and not t._bits and type(t._a) is _ndarray:
        fill(gen, t._a, t.dtype, *parameters)
        t._storage.version += 1
        if watch.listener is not None:
            _tell(t, op, gen, fill, parameters)
        return t
    inplace.check(t)
    if state.grad and needs_grad(t):
        return inplace.apply(record, t, (parameters, gen), {}, op)
    a = t._a
    if type(a) is _ndarray:
        if t._bits & 3:
            inplace.store(t, wrap(fill(gen, np.empty_like(a), t.dtype, *parameters)), op)
            return t
        fill(gen, a, t.dtype, *parameters)
    t._storage.version += 1
    if watch.listener is not None and type(a) is _ndarray:
        _tell(t, op, gen, fill, parameters)
    return t


def _tell(t, op, gen, fill, parameters):
    d = t.dtype
    watch.listener.wrote(op, lambda a: fill(gen, a, d, *parameters), (t,), ())


def _method(fn):
    METHODS[fn.__name__] = fn
    return fn


def _from_to(op, args, kwargs, low, high):
    """The arguments `from` and `to`, of which the first is a keyword of Python's."""
    values = dict(zip(("from", "to"), args))
    if len(args) > 2:
        raise TypeError(f"{op}() takes at most 2 positional arguments ({len(args)} given)")
    for name, value in kwargs.items():
        if name not in ("from", "to"):
            raise TypeError(f"{op}() got an unexpected keyword argument '{name}'")
        if name in values:
            raise TypeError(f"{op}() got multiple values for argument '{name}'")
        values[name] = value
    return values.get("from", low), values.get("to", high)


@_method
def uniform_(input, *args, generator=None, **kwargs):
    """Fill with numbers uniform in ``[from, to)``: ``uniform_(from=0, to=1)``."""
    if not args and not kwargs:
        return _fill(input, "uniform_", generator, 0.0, 1.0)
    low, high = _from_to("uniform_", args, kwargs, 0.0, 1.0)
    return _fill(input, "uniform_", generator, float(low), float(high))


@_method
def normal_(input, mean=0, std=1, *, generator=None):
    """Fill with normal numbers of the given mean and standard deviation."""
    return _fill(input, "normal_", generator, float(mean), float(std))


@_method
def random_(input, *args, generator=None, **kwargs):
    """Fill with integers uniform in ``[from, to)``; also ``random_(to)`` and ``random_()``.

    Without bounds: all non-negative integers of the dtype, for floats those up to 2^mantissa.
    """
    if not args and not kwargs:
        return _fill(input, "random_", generator)
    if len(args) == 1 and not kwargs:
        return _fill(input, "random_.to", generator, 0, integer("random_", "to", args[0]))
    low, high = _from_to("random_", args, kwargs, 0, None)
    low = integer("random_", "from", low)
    if high is not None:
        high = integer("random_", "to", high)
    return _fill(input, "random_.from", generator, low, high)


@_method
def exponential_(input, lambd=1, *, generator=None):
    """Fill with exponential numbers of rate `lambd`."""
    return _fill(input, "exponential_", generator, float(lambd))


@_method
def geometric_(input, p, *, generator=None):
    """Fill with the numbers of trials up to the first success of probability `p`."""
    return _fill(input, "geometric_", generator, float(p))


@_method
def log_normal_(input, mean=1, std=2, *, generator=None):
    """Fill with ``exp(z)``, z normal with the given mean and standard deviation."""
    return _fill(input, "log_normal_", generator, float(mean), float(std))


@_method
def cauchy_(input, median=0, sigma=1, *, generator=None):
    """Fill with Cauchy numbers of the given median and half width."""
    return _fill(input, "cauchy_", generator, float(median), float(sigma))


@primitive(
    "bernoulli.Tensor(Tensor self, Tensor p, Generator? generator) -> Tensor",
    vjp={"self": zero, "p": lambda p_shape, p_dtype: zero_like(p_shape, p_dtype)},
    node="BernoulliBackward1",
    meta=lambda t, p, generator: (t._a.shape, t.dtype),
    doc="Ones with the probabilities `p`, which broadcast to `self`.",
)
def _bernoulli_by(self, p, generator):
    return draw_bernoulli_by(generator, np.empty_like(self), p)


@_method
def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with ones of probability `p` (a number, or a tensor that broadcasts), else zeros."""
    if not isinstance(p, Tensor):
        return _fill(input, "bernoulli_", generator, float(p))
    gen = generator_of("bernoulli_", generator)
    inplace.check(input)
    if state.levels:
        from ..func.drawing import spread
        return inplace.apply(_bernoulli_by, input, (spread(p), gen), {}, "bernoulli_")
    if input.is_meta or p.is_meta:
        return input
    if state.grad and (needs_grad(input) or needs_grad(p)):
        return inplace.apply(_bernoulli_by, input, (p, gen), {}, "bernoulli_")
    if input.dtype.name not in checks.C_NAMES or input.dtype.is_complex:
        raise checks.unimplemented("bernoulli_tensor_cpu_self_", input.dtype)
    draw_bernoulli_by(gen, input._a, p._a)
    input._storage.version += 1
    if watch.listener is not None:
        watch.listener.wrote("bernoulli_", lambda a, p: draw_bernoulli_by(gen, a, p), (input,), (p,))
    return input
