"""Random tensors: factories, draws from tensors of parameters, and the in-place fills.

The numbers are PyTorch's CPU streams (``rushlight.randomness``). A fill has gradient zero: what it
overwrites is forgotten.
"""

import numpy as np

from .. import devices, dtypes
from ..autograd.modes import state
from ..random import Generator, default_generator
from ..randomness import checks, fills, samplers
from ..record import NOT_IMPLEMENTED
from ..runtime.allocator import empty as alloc
from ..tensor.geometry import broadcast_shapes
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, resolve_bits, wrap
from . import inplace
from .construct import as_dtype, check_options, finish
from .creation import _into, blank, like, shape_of
from .dispatch import needs_grad, primitive
from .registry import METHODS, function, public

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


def _zero(g):
    return function("zeros_like")(g)


def _zero_like(shape, dtype):
    return function("zeros")(shape, dtype=dtype)


def _real_pairs(a):
    """A complex array as its real and imaginary parts, along a last dimension of two."""
    part = a.real
    return np.lib.stride_tricks.as_strided(part, (*a.shape, 2), (*a.strides, part.itemsize))


# ---------------------------------------------------------------- fills of arrays with checks


def _uniform(gen, a, d, low, high):
    if d.is_complex:
        checks.uniform_bounds(d.to_real(), low, high)
        fills.fill_uniform(gen, _real_pairs(a), low, high)
        return a
    checks.uniform_bounds(d, low, high)
    return fills.fill_uniform(gen, a, low, high)


def _normal(gen, a, d, mean, std):
    checks.normal_std(std)
    if d.is_complex:
        fills.fill_normal(gen, _real_pairs(a), mean, std / 2**0.5)
        return a
    checks.real_floating(d, "normal_kernel_cpu")
    return fills.fill_normal(gen, a, mean, std)


def _integers(gen, a, d, low, high):
    low, high = checks.integer_range(d, low, high)
    return fills.fill_integers(gen, a, low, high)


def _random(gen, a, d):
    if d.name not in checks.C_NAMES or d.is_complex:
        raise checks.unimplemented("random_kernel_cpu", d)
    return fills.fill_random(gen, a)


def _bernoulli_number(gen, a, d, p):
    checks.probability(p)
    if d.name not in checks.C_NAMES or d.is_complex:
        raise checks.unimplemented("bernoulli_scalar_cpu_", d)
    return fills.fill_bernoulli(gen, a, p)


def _bernoulli_array(gen, a, p):
    if p.dtype.kind in "biuc":
        raise checks.unimplemented("bernoulli_tensor_cpu_p_", dtypes.from_np(p.dtype))
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this "
            "error message be improved?  If so, please report an enhancement request to "
            "PyTorch.)"
        )
    return fills.fill_bernoulli(gen, a, p)


def _exponential(gen, a, d, rate):
    checks.continuous(d, "Exponential")
    checks.positive("exponential_", "lambda", rate, "lambda")
    return fills.fill_exponential(gen, a, rate)


def _geometric(gen, a, d, p):
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if d.name not in checks.C_NAMES or d.is_complex or d is dtypes.bool_:
        raise checks.unimplemented("geometric_cpu", d)
    return fills.fill_geometric(gen, a, p)


def _log_normal(gen, a, d, mean, std):
    checks.positive("log_normal_", "std", std, "std")
    checks.real_floating(d, "log_normal_cpu")
    return fills.fill_log_normal(gen, a, mean, std)


def _cauchy(gen, a, d, median, sigma):
    checks.continuous(d, "Cauchy", c_names=True)
    checks.positive("cauchy_", "sigma", sigma, "sigma")
    return fills.fill_cauchy(gen, a, median, sigma)


# ---------------------------------------------------------------- in place


def _fill_record(name, fill, node):
    """The differentiable form of a fill: a fresh array, and zero for what was there before."""

    @primitive(
        f"{name}(Tensor self, Any parameters, Generator? generator) -> Tensor",
        vjp={"self": _zero},
        node=node,
        meta=lambda t, *rest: (t._a.shape, t.dtype),
        doc=f"Fresh values for `{name}_`, which needs a gradient node.",
    )
    def kernel(self, parameters, generator):
        return fill(generator, np.empty_like(self), dtypes.from_np(self.dtype), *parameters)

    return kernel


_RECORDS = {
    name: (fill, _fill_record(record, fill, node), name.partition(".")[0])
    for name, record, fill, node in (
        ("uniform_", "uniform", _uniform, "UniformBackward0"),
        ("normal_", "normal.fill", _normal, "NormalBackward0"),
        ("random_", "random", _random, "RandomBackward2"),
        ("random_.from", "random.from", _integers, "RandomBackward0"),
        ("random_.to", "random.to", _integers, "RandomBackward1"),
        ("bernoulli_", "bernoulli.float", _bernoulli_number, "BernoulliBackward2"),
        ("exponential_", "exponential", _exponential, "ExponentialBackward0"),
        ("geometric_", "geometric", _geometric, "GeometricBackward0"),
        ("log_normal_", "log_normal", _log_normal, "LogNormalBackward0"),
        ("cauchy_", "cauchy", _cauchy, "CauchyBackward0"),
    )
}


def _fill(t, which, generator, *parameters):
    """Overwrite tensor `t` by the fill named `which`; its history becomes the fill's."""
    fill, record, op = _RECORDS[which]
    gen = default_generator if generator is None else generator_of(op, generator)
    if t._view is None and not t._requires_grad and not t._bits and type(t._a) is _ndarray:
        fill(gen, t._a, t.dtype, *parameters)
        t._storage.version += 1
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
    return t


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
        return _fill(input, "random_.to", generator, 0, _index("random_", "to", args[0]))
    low, high = _from_to("random_", args, kwargs, 0, None)
    low = _index("random_", "from", low)
    if high is not None:
        high = _index("random_", "to", high)
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
    vjp={"self": _zero, "p": lambda p_shape, p_dtype: _zero_like(p_shape, p_dtype)},
    node="BernoulliBackward1",
    meta=lambda t, p, generator: (t._a.shape, t.dtype),
    doc="Ones with the probabilities `p`, which broadcast to `self`.",
)
def _bernoulli_by(self, p, generator):
    return _bernoulli_array(generator, np.empty_like(self), p)


@_method
def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with ones of probability `p` (a number, or a tensor that broadcasts), else zeros."""
    if not isinstance(p, Tensor):
        return _fill(input, "bernoulli_", generator, float(p))
    gen = generator_of("bernoulli_", generator)
    inplace.check(input)
    if input.is_meta or p.is_meta:
        return input
    if state.grad and (needs_grad(input) or needs_grad(p)):
        return inplace.apply(_bernoulli_by, input, (p, gen), {}, "bernoulli_")
    if input.dtype.name not in checks.C_NAMES or input.dtype.is_complex:
        raise checks.unimplemented("bernoulli_tensor_cpu_self_", input.dtype)
    _bernoulli_array(gen, input._a, p._a)
    input._storage.version += 1
    return input


# ---------------------------------------------------------------- factories


def _index(op, name, value):
    """`value` as a Python int; TypeError for other numbers."""
    if type(value) is int:
        return value
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}(): argument '{name}' must be int, not {type(value).__name__}")
    return value.__index__()


def _make(
    op,
    fill,
    args,
    shape,
    generator,
    out,
    dtype,
    layout,
    device,
    pin_memory,
    requires_grad,
    default=None,
):
    """A tensor of the given shape, filled by ``fill(gen, array, dtype, *args)``."""
    gen = default_generator if generator is None else generator_of(op, generator)
    if out is not None:
        out = _into(out, shape, None, dtype)
        if type(out._a) is _ndarray:
            fill(gen, out._a, out.dtype, *args)
        out._storage.version += 1
        return out
    if pin_memory or layout is not None:
        check_options(op, layout, pin_memory)
    d = default or dtypes.default.float
    if dtype is not None:
        d = as_dtype(dtype, op)
    if device is None and devices.get_default_device() is devices.CPU:
        a = fill(gen, alloc(shape, d.np), d, *args)
    else:
        a = blank(shape, d, devices.usable(device))
        if type(a) is _ndarray:
            fill(gen, a, d, *args)
    return finish(a, requires_grad) if requires_grad else wrap(a)


def _make_like(
    op,
    fill,
    args,
    input,
    dtype,
    layout,
    device,
    pin_memory,
    requires_grad,
    memory_format,
    generator=None,
):
    """A tensor like `input`, filled by ``fill(gen, array, dtype, *args)``."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    if pin_memory or layout is not None:
        check_options(op, layout, pin_memory)
    d = input.dtype if dtype is None else as_dtype(dtype, op)
    a = like(input, d, input.device if device is None else devices.usable(device), memory_format)
    if type(a) is _ndarray:
        fill(generator_of(op, generator), a, d, *args)
    return finish(a, requires_grad)


@public(method=False)
def rand(
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Numbers uniform in [0, 1), in the given shape."""
    shape = shape_of("rand", args if size is None else (size,))
    return _make(
        "rand",
        _uniform,
        (0.0, 1.0),
        shape,
        generator,
        out,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
    )


@public(method=False)
def randn(
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Standard normal numbers, in the given shape (complex: total variance one)."""
    shape = shape_of("randn", args if size is None else (size,))
    return _make(
        "randn",
        _normal,
        (0.0, 1.0),
        shape,
        generator,
        out,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
    )


@public(method=False)
def randint(
    *args,
    low=None,
    high=None,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """Integers uniform in ``[low, high)``, by ``randint(high, size)`` with low = 0."""
    args = list(args)
    if size is None:
        if not args or not isinstance(args[-1], (tuple, list, Tensor)):
            raise TypeError(
                "randint() received an invalid combination of arguments: a size is missing; "
                "expected (int high, tuple of ints size) or (int low, int high, tuple of "
                "ints size)"
            )
        size = args.pop()
    if len(args) == 2:
        low, high = args
    elif len(args) == 1:
        if high is None and low is None:
            high = args[0]
        elif high is not None:
            low = args[0]
        else:
            high = args[0]
    if high is None:
        raise TypeError('randint() missing 1 required positional arguments: "high"')
    low, high = _index("randint", "low", 0 if low is None else low), _index("randint", "high", high)
    shape = shape_of("randint", (size,))
    return _make(
        "randint",
        _integers,
        (low, high),
        shape,
        generator,
        out,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
        dtypes.int64,
    )


@public(method=False)
def randperm(
    n,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """A random permutation of ``0 ... n - 1``, int64 unless a dtype is given."""
    n = _index("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")

    def fill(gen, a, d):
        if d.name not in checks.C_NAMES or d.is_complex or d is dtypes.bool_:
            raise checks.unimplemented("randperm", d)
        top = (
            (1 << checks.DIGITS[d.name]) + 1 if d.name in checks.DIGITS else dtypes.iinfo(d).max + 1
        )
        if n > top:
            if d.name in checks.DIGITS:
                raise RuntimeError(
                    f"n cannot be greater than {top} for {dtypes.scalar_name(d)} type."
                )
            c_name = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int"}[
                d.name
            ]
            raise RuntimeError(f"value cannot be converted to type {c_name} without overflow")
        a[...] = fills.randperm(gen, n, a.dtype)
        return a

    return _make(
        "randperm",
        fill,
        (),
        (n,),
        generator,
        out,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
        dtypes.int64,
    )


@public(method=False)
def rand_like(
    input,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    memory_format=None,
):
    """Numbers uniform in [0, 1), in the shape, dtype and layout of `input`."""
    return _make_like(
        "rand_like",
        _uniform,
        (0.0, 1.0),
        input,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
        memory_format,
        generator,
    )


@public(method=False)
def randn_like(
    input,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    memory_format=None,
):
    """Standard normal numbers, in the shape, dtype and layout of `input`."""
    return _make_like(
        "randn_like",
        _normal,
        (0.0, 1.0),
        input,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
        memory_format,
        generator,
    )


@public(method=False)
def randint_like(
    input,
    *args,
    low=0,
    high=None,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    memory_format=None,
):
    """Integers uniform in ``[low, high)``, in the shape, dtype and layout of `input`."""
    if len(args) == 2:
        low, high = args
    elif len(args) == 1:
        low, high = (low, args[0]) if high is None else (args[0], high)
    if high is None:
        raise TypeError('randint_like() missing 1 required positional arguments: "high"')
    bounds = _index("randint_like", "low", low), _index("randint_like", "high", high)
    return _make_like(
        "randint_like",
        _integers,
        bounds,
        input,
        dtype,
        layout,
        device,
        pin_memory,
        requires_grad,
        memory_format,
        generator,
    )


def dropout_mask(input, keep, generator=None):
    """The scaled mask of dropout: ``1 / keep`` with probability `keep`, else 0, laid out as `input`.

    Equal to ``empty_like(input).bernoulli_(keep).div_(keep)``, in one pass; no gradient.
    """
    d = input.dtype
    checks.probability(keep)
    if type(input._a) is not _ndarray:
        return wrap(MetaArray(input._a.shape, d.np, input._a.strides))
    checks.real_floating(d, "bernoulli_scalar_cpu_")
    if d is dtypes.float64:
        scale = 1.0 / keep if keep else 0.0
    else:
        scale = np.float32(1) / np.float32(keep) if keep else 0.0
    a = like(input, d, devices.CPU, None)
    gen = generator_of("dropout", generator)
    fills.fill_scaled_mask(gen, a, keep, scale)
    return wrap(a)


# ---------------------------------------------------------------- draws from parameters


def _same(t, *rest):
    return t._a.shape, t.dtype


@primitive(
    "bernoulli(Tensor self, Generator? generator) -> Tensor",
    vjp={"self": _zero},
    meta=_same,
    doc="Ones with the probabilities `self`, else zeros.",
)
def _bernoulli(self, generator):
    return _bernoulli_array(generator, np.empty_like(self), self)


@public(out=True)
def bernoulli(input, p=None, *, generator=None):
    """Ones with the probabilities in `input` (or with the one probability `p`), else zeros."""
    gen = generator_of("bernoulli", generator)
    if p is None:
        return _bernoulli(input, gen)
    fresh = function("empty_like")(input)
    if needs_grad(input) and state.grad:
        return _RECORDS["bernoulli_"][1](input, (float(p),), gen)
    return bernoulli_(fresh, p, generator=gen)


@primitive(
    "normal.Tensor_float(Tensor mean, float std, Generator? generator) -> Tensor",
    vjp={"mean": _zero},
    node="NormalBackward1",
    meta=_same,
    doc="Normal numbers around `mean` with one standard deviation.",
)
def _normal_around(mean, std, generator):
    z = _normal(generator, np.empty(mean.shape, mean.dtype), dtypes.from_np(mean.dtype), 0.0, std)
    return _add(z, mean)


@primitive(
    "normal.float_Tensor(float mean, Tensor std, Generator? generator) -> Tensor",
    vjp={"std": _zero},
    node="NormalBackward2",
    meta=lambda mean, std, generator: (std._a.shape, std.dtype),
    doc="Normal numbers around one mean, with the standard deviations `std`.",
)
def _normal_wide(mean, std, generator):
    z = _normal(generator, np.empty(std.shape, std.dtype), dtypes.from_np(std.dtype), 0.0, 1.0)
    return _add(_mul(z, std), std.dtype.type(mean))


@primitive(
    "normal.Tensor_Tensor(Tensor mean, Tensor std, Generator? generator) -> Tensor",
    vjp={
        "mean": lambda mean_shape, mean_dtype: _zero_like(mean_shape, mean_dtype),
        "std": lambda std_shape, std_dtype: _zero_like(std_shape, std_dtype),
    },
    node="NormalBackward3",
    meta=lambda mean, std, generator: (broadcast_shapes(mean._a.shape, std._a.shape), mean.dtype),
    doc="Normal numbers with the means and standard deviations given.",
)
def _normal_both(mean, std, generator):
    shape = broadcast_shapes(mean.shape, std.shape)
    z = _normal(generator, np.empty(shape, mean.dtype), dtypes.from_np(mean.dtype), 0.0, 1.0)
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
    return _make(
        "normal",
        _normal,
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
    vjp={"self": _zero},
    meta=_same,
    doc="Poisson numbers with the means `self`.",
)
def _poisson(self, generator):
    checks.real_floating(dtypes.from_np(self.dtype), "poisson_cpu")
    if not (self >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return samplers.fill_poisson(generator, np.empty(self.shape, self.dtype), self)


@public(method=False)
def poisson(input, generator=None):
    """Poisson numbers with the rates in `input`, in its dtype."""
    return _poisson(input, generator_of("poisson", generator))


@primitive(
    "binomial(Tensor count, Tensor prob, Generator? generator) -> Tensor",
    vjp=NOT_IMPLEMENTED("the number of successes is not a smooth function"),
    node="NotImplemented",
    meta=lambda count, prob, generator: (count._a.shape, count.dtype),
    doc="Numbers of successes in `count` trials of probability `prob`.",
)
def _binomial(count, prob, generator):
    return samplers.fill_binomial(generator, np.empty(count.shape, count.dtype), count, prob)


@public(method=False)
def binomial(count, prob, generator=None):
    """Numbers of successes in `count` trials of probability `prob` each."""
    gen = generator_of("binomial", generator)
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


@public(out=True)
def multinomial(input, num_samples, replacement=False, *, generator=None):
    """`num_samples` indices a row, drawn with the weights in `input` (1-d or 2-d), as int64."""
    gen = generator_of("multinomial", generator)
    d = input.dtype
    n = _index("multinomial", "num_samples", num_samples)
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
    return wrap(samplers.multinomial(gen, weights, n, replacement))
