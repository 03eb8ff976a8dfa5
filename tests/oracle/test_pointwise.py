"""Pointwise ops and reductions against a live PyTorch: values, dtypes, strides of results, gradients."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]
VALUES = [-3.0, -1.5, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 3.5, 7.0]


def pair(values, dtype, shape=None):
    """The same tensor in both frameworks."""
    a = torch.tensor(values, dtype=torch.float64)
    if dtype == "uint8":
        a = a.abs()
    a = a.to(getattr(torch, dtype))
    if shape is not None:
        a = a.reshape(shape)
    wide = a.to(torch.complex64 if a.is_complex() else torch.float64 if a.is_floating_point() else a.dtype)
    b = rushlight.from_numpy(wide.numpy().copy()).to(getattr(rushlight, dtype))
    return a, b


def outcome(f):
    """Result, or the fact that the call was refused."""
    try:
        return f(), None
    except (RuntimeError, TypeError, NotImplementedError, IndexError, ValueError) as e:
        return None, e


def same(want, got, rtol=None):
    assert str(want.dtype) == str(got.dtype)
    assert tuple(want.shape) == tuple(got.shape)
    assert want.stride() == got.stride()
    loose = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-6, "complex64": 5e-6}
    rtol = rtol or loose.get(str(want.dtype)[6:], 1e-12)
    w = want.detach().resolve_conj()
    g = got.detach()
    if want.dtype in (torch.bfloat16, torch.float16):
        w, g = w.float(), g.float()
    np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=rtol, atol=rtol)


UNARY = """abs acos acosh angle asin asinh atan atanh bitwise_not ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2
expm1 floor frac i0 isfinite isinf isnan isneginf isposinf isreal lgamma log log10 log1p log2 logical_not logit neg
nan_to_num rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc
sum mean prod amax amin argmax all any std var nansum max median count_nonzero aminmax""".split()
BINARY = """add sub mul div floor_divide fmod remainder pow atan2 eq ne lt le gt ge maximum minimum fmax fmin
bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor copysign hypot logaddexp xlogy true_divide
float_power ldexp heaviside nextafter gcd lcm isclose""".split()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    a, b = pair(VALUES, dtype, (3, 4))
    for layout in (lambda t: t, lambda t: t.t(), lambda t: t[:, ::2]):
        want, refused = outcome(lambda: getattr(torch, name)(layout(a)))
        got, error = outcome(lambda: getattr(rushlight, name)(layout(b)))
        assert (refused is None) == (error is None), refused or error
        if refused is not None:
            continue
        if isinstance(want, tuple):
            for w, g in zip(want, got):
                same(w, g)
        else:
            same(want, got)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32", "bfloat16", "complex64"])
@pytest.mark.parametrize("other", ["bool", "int64", "float32", "float64", "zero-dim", "number"])
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype, other):
    a, b = pair(VALUES, dtype, (3, 4))
    if other == "number":
        c = d = 3
    elif other == "zero-dim":
        c, d = torch.tensor(2.5, dtype=torch.float64), rushlight.tensor(2.5, dtype=rushlight.float64)
    else:
        c, d = pair([2.0, 1.0, 3.0, 5.0], other)
    want, refused = outcome(lambda: getattr(torch, name)(a, c))
    got, error = outcome(lambda: getattr(rushlight, name)(b, d))
    assert (refused is None) == (error is None), refused or error
    if refused is None:
        same(want, got)


GRADIENTS = ["abs", "acos", "asinh", "atan", "cos", "erf", "exp", "expm1", "log", "log1p", "reciprocal", "rsqrt",
             "sigmoid",
             "sin", "sqrt", "square", "tan", "tanh", "lgamma", "sinc", "relu", "logit", "nan_to_num", "frac"]


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_at_special_points(name):
    a, b = pair([-np.inf, *VALUES, np.inf, np.nan], "float64")
    a.requires_grad_()
    b.requires_grad_()
    getattr(torch, name)(a).backward(torch.ones_like(a))
    getattr(rushlight, name)(b).backward(rushlight.ones_like(b))
    np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("f", [
    lambda t, x: (x + 1).grad_fn, lambda t, x: (1 - x).grad_fn, lambda t, x: (x ** 2).grad_fn,
    lambda t, x: (2 ** x).grad_fn,
    lambda t, x: x.clamp(0).grad_fn, lambda t, x: x.sum().grad_fn, lambda t, x: x.mean(0).grad_fn,
    lambda t, x: x.max(0)[0].grad_fn, lambda t, x: x.std().grad_fn, lambda t, x: t.var_mean(x)[0].grad_fn,
    lambda t, x: x.sort()[0].grad_fn, lambda t, x: x.topk(1)[0].grad_fn, lambda t, x: x.softmax(0).grad_fn,
    lambda t, x: x.norm().grad_fn, lambda t, x: x.cumsum(0).grad_fn, lambda t, x: x.logsumexp(0).grad_fn,
    lambda t, x: t.where(x > 0, x, 0).grad_fn, lambda t, x: t.maximum(x, x * 2).grad_fn,
    lambda t, x: x.median().grad_fn,
    lambda t, x: t.xlogy(x, 2).grad_fn, lambda t, x: x.round(decimals=1).grad_fn, lambda t, x: t.lerp(x, x, x).grad_fn,
    lambda t, x: t.special.i0e(x).grad_fn, lambda t, x: t.nn.functional.selu(x).grad_fn, lambda t, x: x.log2().grad_fn,
])
def test_node_names(f):
    want = f(torch, torch.ones(3, requires_grad=True)).name()
    assert f(rushlight, rushlight.ones(3, requires_grad=True)).name() == want
