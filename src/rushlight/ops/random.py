"""Random tensors by shape: ``rand``, ``randn``, ``randint``, ``randperm`` and their likes.

The numbers are PyTorch's CPU streams (``rushlight.randomness``).
"""

import numpy as np

from .. import devices, dtypes
from ..autograd.modes import state
from ..random import default_generator
from ..randomness import checks, fills
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, wrap
from .construct import as_dtype, check_options, finish
from .creation import _into, blank, like, shape_of
from .random_fills import draw_integers, draw_normal, draw_uniform, generator_of, integer
from .registry import public

_ndarray = np.ndarray


def make(op, fill, args, shape, generator, out, dtype, layout, device, pin_memory, requires_grad, default=None):
    """A tensor of the given shape, filled by ``fill(gen, array, dtype, *args)``."""
    if state.levels:
        from ..func import drawing

        if op == "randperm":
            return drawing.drawn_each(
                lambda: make(
                    op, fill, args, shape, generator, out, dtype, layout, device, pin_memory, requires_grad, default
                )
            )
        return drawing.drawn(
            lambda s: make(
                op, fill, args, s, generator, out, dtype, layout, device, pin_memory, requires_grad, default
            ),
            shape,
        )
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
    t = finish(a, requires_grad) if requires_grad else wrap(a)
    if watch.listener is not None:
        watch.listener.drawn(op, lambda: fill(gen, alloc(shape, d.np), d, *args), t)
    return t


def _make_like(op, fill, args, input, dtype, layout, device, pin_memory, requires_grad, memory_format, generator=None):
    """A tensor like `input`, filled by ``fill(gen, array, dtype, *args)``."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if pin_memory or layout is not None:
        check_options(op, layout, pin_memory)
    d = input.dtype if dtype is None else as_dtype(dtype, op)
    if state.levels or type(input._a) is not _ndarray and not input.is_meta:
        return make(op, fill, args, tuple(input._a.shape), generator, None, d, None, device, False, requires_grad)
    a = like(input, d, input.device if device is None else devices.usable(device), memory_format)
    gen = generator_of(op, generator)
    if type(a) is _ndarray:
        fill(gen, a, d, *args)
    t = finish(a, requires_grad) if requires_grad else wrap(a)
    if watch.listener is not None:
        watch.listener.drawn(op, lambda: fill(gen, np.empty_like(a), d, *args), t)
    return t


def _unit(gen, a, d):
    if d is dtypes.float32 and a.flags.c_contiguous:
        return fills.fill_uniform(gen, a)
    return draw_uniform(gen, a, d, 0.0, 1.0)


def _standard(gen, a, d):
    if d is dtypes.float32:
        return fills.fill_normal(gen, a)
    return draw_normal(gen, a, d, 0.0, 1.0)


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
    return make("rand", _unit, (), shape, generator, out, dtype, layout, device, pin_memory, requires_grad)


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
    return make("randn", _standard, (), shape, generator, out, dtype, layout, device, pin_memory, requires_grad)


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
    low, high = (integer("randint", "low", 0 if low is None else low), integer("randint", "high", high))
    shape = shape_of("randint", (size,))
    return make(
        "randint",
        draw_integers,
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
    n, *, generator=None, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """A random permutation of ``0 ... n - 1``, int64 unless a dtype is given."""
    n = integer("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")

    def fill(gen, a, d):
        if d.name not in checks.C_NAMES or d.is_complex or d is dtypes.bool_:
            raise checks.unimplemented("randperm", d)
        top = (1 << checks.DIGITS[d.name]) + 1 if d.name in checks.DIGITS else dtypes.iinfo(d).max + 1
        if n > top:
            if d.name in checks.DIGITS:
                raise RuntimeError(f"n cannot be greater than {top} for {dtypes.scalar_name(d)} type.")
            c_name = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int"}[d.name]
            raise RuntimeError(f"value cannot be converted to type {c_name} without overflow")
        a[...] = fills.randperm(gen, n, a.dtype)
        return a

    return make(
        "randperm", fill, (), (n,), generator, out, dtype, layout, device, pin_memory, requires_grad, dtypes.int64
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
        "rand_like", _unit, (), input, dtype, layout, device, pin_memory, requires_grad, memory_format, generator
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
        "randn_like", _standard, (), input, dtype, layout, device, pin_memory, requires_grad, memory_format, generator
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
    bounds = integer("randint_like", "low", low), integer("randint_like", "high", high)
    return _make_like(
        "randint_like",
        draw_integers,
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


def alloc_like(shape, d):
    """An uninitialised tensor."""
    return wrap(alloc(shape, d.np))


def dropout_mask(input, keep, generator=None):
    """The scaled mask of dropout: ``1 / keep`` with probability `keep`, else 0; layout of `input`.

    Equal to ``empty_like(input).bernoulli_(keep).div_(keep)``, in one pass; no gradient.
    """
    d = input.dtype
    checks.probability(keep)
    if state.levels:
        from ..func import drawing

        return drawing.drawn(lambda shape: dropout_mask(alloc_like(shape, d), keep, generator), input._a.shape)
    if type(input._a) is not _ndarray:
        return wrap(MetaArray(input._a.shape, d.np, input._a.strides))
    checks.real_floating(d, "bernoulli_scalar_cpu_")
    a = like(input, d, devices.CPU, None)
    gen = generator_of("dropout", generator)
    if watch.listener is None:
        return wrap(_scaled_mask(gen, a, d, keep))
    # (a program may compute the probability anew)
    now = keep.followed() if hasattr(keep, "expression") else lambda: keep
    t = wrap(_scaled_mask(gen, a, d, now()))
    watch.listener.drawn("dropout", lambda: _scaled_mask(gen, np.empty_like(a), d, now()), t)
    return t


def _scaled_mask(gen, a, d, keep):
    if d is dtypes.float64:
        scale = 1.0 / keep if keep else 0.0
    else:
        scale = np.float32(1) / np.float32(keep) if keep else 0.0
    fills.fill_scaled_mask(gen, a, keep, scale)
    return a


from . import random_draws  # noqa: E402, F401  (registers the rest of the family)
