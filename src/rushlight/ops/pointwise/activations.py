"""Activation functions, published in ``torch.nn.functional`` and where else PyTorch has them.

Conventions at kinks are PyTorch's: relu, hardtanh and relu6 have slope 0 at their corners, leaky_relu
and elu the slope of the negative side at 0.
"""

from math import pi, sqrt

import numpy as np

from ...compiler import scalar as s
from ...dtypes import BOOL, COMPLEX, FLOAT, scalar_name
from ..registry import FUNCTIONS, METHODS
from .core import change, pointwise, run, run_out

F = "torch.nn.functional"


def _publish(name, select, doc, *, torch=False, method=False, inplace=True, flag=True,
             record=None):
    """Publish an activation.

    select(input, *args, **kwargs) gives (record, params). torch, method: also in ``torch`` and as a
    method; inplace: ``name_`` exists; flag: the function takes ``inplace=``;
    record: what a call with the input alone runs for float tensors (its generated twin may serve it).
    """
    def function(input, *args, **kwargs):
        if kwargs:
            if kwargs.pop("inplace", False):
                return in_place(input, *args, **kwargs)
            out = kwargs.pop("out", None)
            rec, params = select(input, *args, **kwargs)
            return run(rec, (input,), params) if out is None else run_out(rec, (input,), params, out)
        if args and args[-1] is True and flag:
            return in_place(input, *args[:-1])
        rec, params = select(input, *args)
        return run(rec, (input,), params)

    def in_place(input, *args, **kwargs):
        rec, params = select(input, *args, **kwargs)
        return change(rec, input, (), params, name)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.record = record
    in_place.__name__ = in_place.__qualname__ = name + "_"
    in_place.__doc__ = f"In-place version of :func:`{name}`."
    for ns in (F, "torch") if torch else (F,):
        names = FUNCTIONS.setdefault(ns, {})
        names[name] = function
        if inplace:
            names[name + "_"] = in_place
    if method:
        METHODS[name] = function
        if inplace:
            METHODS[name + "_"] = in_place
    return function


def _floating(input, kernel):
    if input.dtype.category != FLOAT:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input.dtype)}'")


# ---------------------------------------------------------------- rectifiers

# Zero where the saved value is at or below the threshold.
_threshold_grad = pointwise("threshold.grad(Tensor g, Tensor self, Scalar threshold) -> Tensor",
                            lambda g, x, t: s.where(x <= t, 0, g),
                            vjp={"g": lambda g, self, threshold: _threshold_grad(g, self, threshold),
                                 "self": lambda g: None})
_relu_grad = pointwise("relu.grad(Tensor g, Tensor result) -> Tensor", lambda g, y: s.where(y <= 0, 0, g),
                       vjp={"g": lambda g, result: _relu_grad(g, result), "result": lambda g: None})

_relu = pointwise("relu(Tensor self) -> Tensor", lambda x: s.maximum(x, 0),
                  vjp={"self": lambda g, out: _relu_grad(g, out)}, samples="unary_kinks")


def _relu_call(input):
    if input.dtype.category == BOOL:
        raise RuntimeError("Boolean inputs not supported for relu")
    if input.dtype.category == COMPLEX:
        raise NotImplementedError("\"clamp_min_scalar_cpu\" not implemented for 'ComplexFloat'")
    return _relu.record, ()


_publish("relu", _relu_call, "max(input, 0).", torch=True, method=True, record=_relu.record)

_threshold = pointwise("threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor",
                       lambda x, t, v: s.where(x <= t, v, x),
                       vjp={"self": lambda g, self, threshold: _threshold_grad(g, self, threshold)})


def _threshold_call(input, threshold, value):
    if input.dtype.category == BOOL:
        raise NotImplementedError("\"threshold_cpu\" not implemented for 'Bool'")
    return _threshold.record, (threshold, value)


_publish("threshold", _threshold_call, "input where it is above `threshold`, else `value`.", torch=True)

_hardtanh_grad = pointwise(
    "hardtanh.grad(Tensor g, Tensor self, Scalar min_val, Scalar max_val) -> Tensor",
    lambda g, x, a, b: s.where(s.logical_or(x <= a, x >= b), 0, g),
    vjp={"g": lambda g, self, min_val, max_val: _hardtanh_grad(g, self, min_val, max_val),
         "self": lambda g: None})
_hardtanh = pointwise("hardtanh(Tensor self, Scalar min_val, Scalar max_val) -> Tensor",
                      lambda x, a, b: s.minimum(s.maximum(x, a), b),
                      vjp={"self": lambda g, self, min_val, max_val:
                           _hardtanh_grad(g, self, min_val, max_val)})


def _hardtanh_call(input, min_val=-1.0, max_val=1.0):
    if input.dtype.category == BOOL:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype.category < FLOAT:
        if not input.dtype.is_signed and (min_val < 0 or max_val < 0):
            raise RuntimeError("Cannot do hardtanh on an unsigned type with negative limits")
        min_val, max_val = int(min_val), int(max_val)
    return _hardtanh.record, (min_val, max_val)


_publish("hardtanh", _hardtanh_call, "min(max(input, min_val), max_val).")
_publish("relu6", lambda input: _hardtanh_call(input, 0, 6), "min(max(input, 0), 6).", inplace=False)

_leaky_grad = pointwise("leaky_relu.grad(Tensor g, Tensor self, Scalar slope) -> Tensor",
                        lambda g, x, k: s.where(x > 0, g, g * k),
                        vjp={"g": lambda g, self, slope: _leaky_grad(g, self, slope),
                             "self": lambda g: None})
_leaky_relu = pointwise("leaky_relu(Tensor self, Scalar negative_slope) -> Tensor",
                        lambda x, k: s.where(x > 0, x, x * k),
                        vjp={"self": lambda g, self, negative_slope:
                             _leaky_grad(g, self, negative_slope)})


def _leaky_call(input, negative_slope=0.01):
    _floating(input, "leaky_relu_cpu")
    return _leaky_relu.record, (negative_slope,)


_publish("leaky_relu", _leaky_call, "input where positive, else input * negative_slope.")

_prelu = pointwise("prelu_kernel(Tensor self, Tensor weight) -> Tensor",
                   lambda x, w: s.where(x > 0, x, w * x), node="PreluKernelBackward0",
                   vjp={"self": lambda g, self, weight: _prelu_self(g, self, weight),
                        "weight": lambda g, self: _prelu_weight(g, self)})
_prelu_self = pointwise("prelu_kernel.self_grad(Tensor g, Tensor self, Tensor weight) -> Tensor",
                        lambda g, x, w: s.where(x > 0, g, w * g))
_prelu_weight = pointwise("prelu_kernel.weight_grad(Tensor g, Tensor self) -> Tensor",
                          lambda g, x: s.where(x > 0, 0.0, x * g))


def prelu(input, weight):
    """input where positive, else weight * input; one weight, or one a channel (dimension 1)."""
    n = weight._a.size
    if weight._a.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = "
                           f"{weight._a.ndim}")
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {scalar_name(input.dtype)} and "
                           f"{scalar_name(weight.dtype)}")
    nd = input._a.ndim
    if n != 1:
        if nd == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input._a.shape[1] if nd > 1 else 1
        if channels != n:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter "
                               f"numbers = {n} and channel size = {channels}.")
    if nd >= 2:
        weight = weight.reshape((1, n) + (1,) * (nd - 2))
    elif weight._a.ndim != nd:
        weight = weight.reshape((1,) * nd if nd == 0 else (n,))
    return run(_prelu.record, (input, weight), ())


FUNCTIONS.setdefault("torch", {})["prelu"] = FUNCTIONS[F]["prelu"] = METHODS["prelu"] = prelu

# ---------------------------------------------------------------- exponential units

_ELU = lambda x, a, c, k: s.where(x > 0, x * c, s.expm1(x * k) * (a * c))
_elu_grad = pointwise("elu.grad(Tensor g, Tensor self, Scalar alpha, Scalar scale, Scalar input_scale) "
                      "-> Tensor",
                      lambda g, x, a, c, k: s.where(x > 0, g * c, g * (k * a * c * s.exp(x * k))))
_elu = pointwise("elu(Tensor self, Scalar alpha, Scalar scale, Scalar input_scale) -> Tensor", _ELU,
                 vjp={"self": lambda g, self, alpha, scale, input_scale:
                      _elu_grad(g, self, alpha, scale, input_scale)})
_celu = pointwise("celu(Tensor self, Scalar alpha) -> Tensor",
                  lambda x, a: s.where(x > 0, x, s.expm1(x / a) * a),
                  vjp={"self": lambda g, self, alpha: _elu_grad(g, self, alpha, 1.0, 1.0 / alpha)})
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _elu_call(input, alpha=1.0):
    _floating(input, "elu_cpu")
    return _elu.record, (alpha, 1.0, 1.0)


def _selu_call(input):
    _floating(input, "elu_cpu")
    return _elu.record, (SELU_ALPHA, SELU_SCALE, 1.0)


def _celu_call(input, alpha=1.0):
    _floating(input, "elu_cpu")
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _celu.record, (alpha,)


_publish("elu", _elu_call, "input where positive, else alpha * (exp(input) - 1). Clevert et al. 2015.")
_publish("selu", _selu_call, "Self-normalizing elu: scale * elu(input, alpha) with the constants of "
         "Klambauer et al. 2017.", torch=True)
_publish("celu", _celu_call, "max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Barron 2017.", torch=True)

# ---------------------------------------------------------------- smooth units

_gelu_none = pointwise("gelu.none(Tensor self) -> Tensor",
                       lambda x: 0.5 * x * (1 + s.erf(x * sqrt(0.5))),
                       vjp={"self": lambda g, self: _gelu_grad(g, self)})
_gelu_grad = pointwise("gelu_backward.none(Tensor g, Tensor self) -> Tensor",
                       lambda g, x: g * (0.5 + 0.5 * s.xerf_slope(x * sqrt(0.5))))
_gelu_tanh = pointwise("gelu.tanh(Tensor self) -> Tensor",
                       lambda x: 0.5 * x * (1 + s.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))))


def _gelu_call(input, approximate="none"):
    _floating(input, "GeluKernelImpl")
    if approximate == "none":
        return _gelu_none.record, ()
    if approximate == "tanh":
        return _gelu_tanh.record, ()
    raise RuntimeError("approximate argument must be either none or tanh.")


_publish("gelu", _gelu_call, "x * Phi(x) with the normal distribution function Phi, or its tanh "
         "approximation. Hendrycks and Gimpel 2016.", inplace=False, flag=False, record=_gelu_none.record)

_silu = pointwise("silu(Tensor self) -> Tensor", lambda x: x * s.sigmoid(x), samples="unary")
_mish = pointwise("mish(Tensor self) -> Tensor", lambda x: x * s.tanh(s.log1p_exp(x)),
                  vjp={"self": lambda g, self: _mish_grad(g, self)})


def _mish_slope(x):
    """tanh(softplus(x)) + x sech(softplus(x))^2 sigmoid(x)."""
    t = s.tanh(s.log1p_exp(x))
    return t + x * s.sigmoid(x) * (1 - t * t)


_mish_grad = pointwise("mish.grad(Tensor g, Tensor self) -> Tensor", lambda g, x: g * _mish_slope(x))
_softplus_grad = pointwise("softplus.grad(Tensor g, Tensor self, Scalar beta, Scalar threshold) -> Tensor",
                           lambda g, x, b, t: s.where(x * b > t, g, g * s.sigmoid(x * b)))
_softplus = pointwise("softplus(Tensor self, Scalar beta, Scalar threshold) -> Tensor",
                      lambda x, b, t: s.where(x * b > t, x, s.log1p(s.exp(x * b)) / b),
                      vjp={"self": lambda g, self, beta, threshold:
                           _softplus_grad(g, self, beta, threshold)})
_logsigmoid = pointwise("log_sigmoid(Tensor self) -> Tensor", lambda x: s.log_sigmoid(x),
                        vjp={"self": lambda g, self: _logsigmoid_grad(g, self)})
_logsigmoid_grad = pointwise("log_sigmoid.grad(Tensor g, Tensor self) -> Tensor",
                             lambda g, x: g * s.sigmoid(-x))
_softsign = pointwise("softsign(Tensor self) -> Tensor", lambda x: x / (1 + s.abs(x)), promote="float",
                      node="DivBackward0", samples="unary")
_tanhshrink = pointwise("tanhshrink(Tensor self) -> Tensor", lambda x: x - s.tanh(x), promote="float",
                        node="SubBackward0", samples="unary")


def _plain(call, kernel):
    rec = call.record

    def select(input):
        if kernel is not None:
            _floating(input, kernel)
        return rec, ()
    return select


def _silu_call(input):
    if input.dtype.category < FLOAT:
        _floating(input, "silu_cpu")
    return _silu.record, ()


_publish("silu", _silu_call, "x * sigmoid(x) (swish). Ramachandran et al. 2017.", inplace=False, record=_silu.record)
_publish("mish", _plain(_mish, "mish_cpu"), "x * tanh(softplus(x)). Misra 2019.", inplace=False, record=_mish.record)
_publish("logsigmoid", _plain(_logsigmoid, "log_sigmoid_cpu"), "log(sigmoid(x)) without overflow.",
         inplace=False, flag=False, record=_logsigmoid.record)
_publish("softsign", _plain(_softsign, None), "x / (1 + |x|).", inplace=False, flag=False, record=_softsign.record)
_publish("tanhshrink", _plain(_tanhshrink, None), "x - tanh(x).", inplace=False, flag=False, record=_tanhshrink.record)


def _softplus_call(input, beta=1, threshold=20):
    _floating(input, "softplus_cpu")
    return _softplus.record, (beta, threshold)


_publish("softplus", _softplus_call, "log(1 + exp(beta x)) / beta; x itself where beta x is above "
         "`threshold`.", inplace=False, flag=False)

# ---------------------------------------------------------------- shrinking, piecewise linear

_shrink_grad = pointwise("softshrink.grad(Tensor g, Tensor self, Scalar lambd) -> Tensor",
                         lambda g, x, k: s.where(s.abs(x) <= k, 0, g),
                         vjp={"g": lambda g, self, lambd: _shrink_grad(g, self, lambd),
                              "self": lambda g: None})
_softshrink = pointwise("softshrink(Tensor self, Scalar lambd) -> Tensor",
                        lambda x, k: s.where(x > k, x - k, s.where(x < -k, x + k, x * 0.0)),
                        vjp={"self": lambda g, self, lambd: _shrink_grad(g, self, lambd)})
_hardshrink = pointwise("hardshrink(Tensor self, Scalar lambd) -> Tensor",
                        lambda x, k: s.where(s.abs(x) <= k, 0, x),
                        vjp={"self": lambda g, self, lambd: _shrink_grad(g, self, lambd)})


def _softshrink_call(input, lambd=0.5):
    _floating(input, "softshrink_cpu")
    if not lambd >= 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _softshrink.record, (lambd,)


def _hardshrink_call(input, lambd=0.5):
    _floating(input, "hardshrink_cpu")
    return _hardshrink.record, (lambd,)


_publish("softshrink", _softshrink_call, "x moved towards 0 by `lambd`, at most to 0.", inplace=False,
         flag=False)
_publish("hardshrink", _hardshrink_call, "x where |x| > lambd, else 0.", torch=True, method=True,
         inplace=False, flag=False)

_hardsigmoid_grad = pointwise("hardsigmoid.grad(Tensor g, Tensor self) -> Tensor",
                              lambda g, x: s.where(s.logical_and(x > -3.0, x < 3.0), g * (1 / 6), 0.0),
                              vjp={"g": lambda g, self: _hardsigmoid_grad(g, self),
                                   "self": lambda g: None})
_hardsigmoid = pointwise("hardsigmoid(Tensor self) -> Tensor",
                         lambda x: s.minimum(s.maximum(x + 3.0, 0.0), 6.0) / 6.0,
                         vjp={"self": lambda g, self: _hardsigmoid_grad(g, self)})
_hardswish_grad = pointwise("hardswish.grad(Tensor g, Tensor self) -> Tensor",
                            lambda g, x: s.where(x <= -3.0, 0.0, s.where(x >= 3.0, g, g * (x / 3.0 + 0.5))))
_hardswish = pointwise("hardswish(Tensor self) -> Tensor",
                       lambda x: x * s.minimum(s.maximum(x + 3.0, 0.0), 6.0) / 6.0,
                       vjp={"self": lambda g, self: _hardswish_grad(g, self)})
_publish("hardsigmoid", _plain(_hardsigmoid, "hardsigmoid_cpu"), "min(max(x + 3, 0), 6) / 6.",
         inplace=False, record=_hardsigmoid.record)
_publish("hardswish", _plain(_hardswish, "hardswish_cpu"), "x * min(max(x + 3, 0), 6) / 6. Howard et al. "
         "2019.", inplace=False, record=_hardswish.record)

# ---------------------------------------------------------------- gated, randomized

_glu = pointwise("glu(Tensor self, Tensor gate) -> Tensor", lambda a, b: a * s.sigmoid(b))


def glu(input, dim=-1):
    """First half along `dim` times the sigmoid of the second half. Dauphin et al. 2016."""
    if input._a.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    n = input.size(dim)
    if n % 2:
        d = dim + input._a.ndim if dim < 0 else dim
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {n}")
    _floating(input, "glu_cpu")
    return run(_glu.record, (input.narrow(dim, 0, n // 2), input.narrow(dim, n // 2, n // 2)), ())


FUNCTIONS[F]["glu"] = glu

_rrelu = pointwise("rrelu_with_noise(Tensor self, Tensor noise) -> Tensor", lambda x, k: x * k,
                   vjp={"self": lambda g, noise: g * noise, "noise": lambda g: None})
_rrelu_eval = pointwise("rrelu_with_noise.eval(Tensor self, Scalar slope) -> Tensor",
                        lambda x, k: s.where(x > 0, x, x * k),
                        node="RreluWithNoiseBackward0",
                        vjp={"self": lambda g, self, slope: _leaky_grad(g, self, slope)})


def rrelu(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):
    """Leaky relu with a slope drawn evenly from [lower, upper) for each negative element in training,
    their mean otherwise. Xu et al. 2015.
    """
    if inplace:
        return rrelu_(input, lower, upper, training)
    rec, others, params = _rrelu_call(input, lower, upper, training)
    return run(rec, (input, *others), params)


def _rrelu_call(input, lower, upper, training):
    _floating(input, "rrelu_cpu")
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return _rrelu_eval.record, (), ((lower + upper) / 2,)
    noise = input.detach().new_ones(input.shape)
    negative = input.detach() <= 0
    n = int(negative.sum().item())
    if n:
        if input.dtype is not _double():  # PyTorch takes the ends in the type it computes in
            lower, upper = float(np.float32(lower)), float(np.float32(upper))
        drawn = input.detach().new_empty((n,), dtype=_double()).uniform_()
        drawn = drawn * (upper - lower) + lower
        noise[negative] = drawn.to(noise.dtype)
    return _rrelu.record, (noise,), ()


def _double():
    from ... import dtypes
    return dtypes.float64


def rrelu_(input, lower=1 / 8, upper=1 / 3, training=False):
    """In-place version of :func:`rrelu`."""
    rec, others, params = _rrelu_call(input, lower, upper, training)
    return change(rec, input, others, params, "rrelu")


for _ns in (F, "torch"):
    FUNCTIONS[_ns]["rrelu"], FUNCTIONS[_ns]["rrelu_"] = rrelu, rrelu_

for _name in ("sigmoid", "tanh"):
    FUNCTIONS[F][_name] = FUNCTIONS["torch"][_name]
