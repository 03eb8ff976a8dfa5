"""Normalization: batch, layer, group, instance, RMS and local response.

Statistics are taken in float32 (float64 for float64 input). x^ = (x - mean) / sqrt(var + eps), with the
biased variance. Ioffe & Szegedy arXiv:1502.03167; Ba et al. arXiv:1607.06450; Wu & He arXiv:1803.08494;
Ulyanov et al. arXiv:1607.08022; Zhang & Sennrich arXiv:1910.07467.
"""

import math
from functools import cache

import numpy as np

from ...autograd.modes import state
from ...dtypes import from_np, scalar_name
from ...record import Joint
from ...runtime.allocator import empty
from ...tensor import watch
from ..copy import converted, copy_array
from ..dispatch import Tensor, needs_grad, primitive, wrap
from ..reduce_common import compiled
from ..registry import function, public
from .kernels import elementwise, name_of, row_sums

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_NOTHING = np.zeros(0, np.float32)
_ZEROS = {d: np.zeros(1, d) for d in (_FLOAT32, _FLOAT64)}
for _zero in _ZEROS.values():
    _zero.flags.writeable = False
_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")


def _wide(a):
    return a.astype(np.float32) if a is not None and a.dtype.itemsize == 2 else a


def _normalize(x, mean, scale, bias):
    """(x - mean) * scale + bias, one pass; the last three broadcast against x."""
    n = name_of(x.dtype)
    y = empty(x.shape, x.dtype)
    watch.launch(elementwise(("normalize", n), lambda x, m, s, b: (x - m) * s + b, "ffff", [n] * 4, [n], n),
                 y, x, mean, scale, bias)
    return y


def _grad_input(g, x, mean, a, b, c):
    """a * g + b * (x - mean) + c, one pass."""
    n = name_of(x.dtype)
    y = empty(x.shape, x.dtype)
    elementwise(("normalize_grad", n), lambda g, x, m, a, b, c: a * g + (b * (x - m) + c), "ffffff",
                [n] * 6, [n], n)(y, g, x, mean, a, b, c)
    return y


# ---------------------------------------------------------------- batch

def _inverse_root(v, eps):
    from ...compiler import scalar as s
    return 1 / s.sqrt(v + eps)


def _channels(a):
    """(n, c, l): everything after the channels in one dimension."""
    return a.reshape(a.shape[0], a.shape[1], -1) if a.ndim != 3 else a


_WIDE_CHANNEL = 1 << 20     # elements from which few channels are shared out among threads


def _one_by_one(x):
    """Whether channels are normalized one by one: enough elements in a row, enough channels."""
    rest = math.prod(x.shape[2:])
    return x.size and rest >= 4 and (x.shape[1] >= 8 or x.shape[0] * rest <= _WIDE_CHANNEL) and \
        x.dtype.kind != "c" and compiled()


@cache
def _batch_words(shape, itemsize, eps):
    from ...compiler.templates.batchnorm import forward_words
    return forward_words(shape[0], shape[1], math.prod(shape[2:]), itemsize, eps)


@cache
def _batch_gradient_words(shape, itemsize, training):
    from ...compiler.templates.batchnorm import backward_words
    return backward_words(shape[0], shape[1], math.prod(shape[2:]), itemsize, training)


def _dense(a):
    return a if a is None or a.flags.c_contiguous else np.ascontiguousarray(a)


def _channels_last(a, always=False):
    """The array with its channels moved behind, if it is C-contiguous then; else None, or with `always` a copy."""
    if not always and (not a.size or not compiled() or a.dtype.kind == "c"):
        return None
    if a.ndim > 2:
        a = np.moveaxis(a, 1, -1)
    return a if a.flags.c_contiguous else np.ascontiguousarray(a) if always else None


def _channels_second(a):
    return np.moveaxis(a, -1, 1) if a.ndim > 2 else a


@cache
def _column_words(rows, n, itemsize, eps):
    from ...compiler.templates.columnnorm import forward_words, layout
    return forward_words(rows, n, itemsize, eps), layout(rows, n)[1]


@cache
def _column_gradient_words(rows, n, itemsize, training):
    from ...compiler.templates.columnnorm import backward_words, layout
    return backward_words(rows, n, itemsize, training), layout(rows, n)[1]


def _batch_grads(g0, input, weight, running_mean, running_var, out1, out2, training, eps, needs):
    if state.grad:
        return _batch_grads_differentiable(g0, input, weight, running_mean, running_var, training, eps,
                                           needs)
    dx, dw, db = batch_norm_backward(g0, input, weight, running_mean, running_var, out1, out2, training,
                                     eps)
    return dx, dw if needs[1] else None, db if needs[2] else None, None, None


def _batch_grads_differentiable(g, x, w, running_mean, running_var, training, eps, needs):
    dims = [0, *range(2, x.dim())]
    shape = (1, -1) + (1,) * (x.dim() - 2)
    if training:
        mean = x.mean(dims, True)
        centered = x - mean
        invstd = (centered * centered).mean(dims, True).add(eps).rsqrt()
    else:
        centered = x - running_mean.reshape(shape)
        invstd = running_var.reshape(shape).add(eps).rsqrt()
    xhat = centered * invstd
    gw = g if w is None else g * w.reshape(shape)
    if training:
        dx = invstd * (gw - gw.mean(dims, True) - xhat * (gw * xhat).mean(dims, True))
    else:
        dx = gw * invstd
    return (dx, (g * xhat).sum(dims) if needs[1] else None, g.sum(dims) if needs[2] else None, None,
            None)


@primitive("batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, "
           "Tensor? running_var, bool training, float eps) -> (Tensor, Tensor, Tensor)",
           vjp=Joint(_batch_grads), node="NativeBatchNormBackward0")
def _batch_norm(x, w, b, rm, rv, training, eps):
    """(normalized, mean, 1/std) with statistics a channel, from the batch or the running ones."""
    last = _channels_last(x)
    if last is not None and training:
        d, wide, c = x.dtype, _param_type(x.dtype), x.shape[1]
        words, bins = _column_words(x.size // c, c, d.itemsize, eps)
        y, mean, rstd = empty(last.shape, d), empty((c,), wide), empty((c,), wide)
        _template("columnnorm", "forward", d)(y, mean, rstd, empty((bins + 1, 2, c), wide), last, _param(w, wide),
                                              _param(b, wide), words)
        return _channels_second(y), mean, rstd
    if training and _one_by_one(x):
        d, wide, c = x.dtype, _param_type(x.dtype), x.shape[1]
        y, mean, rstd = empty(x.shape, d), np.empty(c, wide), np.empty(c, wide)
        watch.launch(_template("batchnorm", "forward", d), y, mean, rstd, _dense(x), _param(w, wide), _param(b, wide),
                     _batch_words(x.shape, d.itemsize, eps))
        return y, mean, rstd
    # In evaluation channels may be behind: parameters are rows then.
    behind = last is not None and not x.flags.c_contiguous
    x3 = _wide(last) if behind else _channels(_wide(np.ascontiguousarray(x)))
    dt = x3.dtype
    if training:
        n = x3.shape[0] * x3.shape[2]
        total = row_sums("sum", (x3,), (0, 2))
        mean = (total / n).astype(dt)
        var = row_sums("square_deviation", (x3, mean[:, None]), (0, 2)) / n
        invstd = (1 / np.sqrt(var + eps)).astype(dt)
    else:
        mean, invstd = empty(rm.shape, dt), empty(rv.shape, dt)
        copy_array(mean, rm)
        names = name_of(rv.dtype), name_of(dt)
        watch.launch(elementwise(("invstd", *names), _inverse_root, "f", names[:1], names[1:],
                                 "float64", ["float64"]), invstd, rv, eps)
    scale = invstd
    if w is not None:
        scale, n = empty(invstd.shape, dt), name_of(dt)
        watch.launch(elementwise(("scale", n), lambda r, w: r * w, "ff", [n] * 2, [n], n), scale, invstd,
                     w.astype(dt, copy=False))
    turn = (lambda a: a) if behind else (lambda a: a[:, None])
    shift = _ZEROS[dt] if b is None else turn(b.astype(dt, copy=False))
    y = _normalize(x3, turn(mean), turn(scale), shift)
    y = _channels_second(y) if behind else y.reshape(x.shape)
    return (converted(y, x.dtype) if y.dtype != x.dtype else y), mean, invstd


@primitive("batch_norm_backward(Tensor grad, Tensor input, Tensor? weight, Tensor? running_mean, "
           "Tensor? running_var, Tensor mean, Tensor invstd, bool training, float eps) -> "
           "(Tensor, Tensor, Tensor)", vjp={}, node="NativeBatchNormBackwardBackward0")
def batch_norm_backward(g, x, w, rm, rv, mean, invstd, training, eps):
    """Gradients of input, weight and bias."""
    last = _channels_last(x)
    if last is not None:
        d, wide, c = x.dtype, _param_type(x.dtype), x.shape[1]
        words, bins = _column_gradient_words(x.size // c, c, d.itemsize, bool(training))
        dx, dw, db = empty(last.shape, d), empty((c,), wide), empty((c,), wide)
        g = _channels_last(g if g.dtype == d else converted(g, d), True)
        _template("columnnorm", "backward", d)(dx, dw, db, empty((bins + 1, 2, c), wide), g, last, _param(w, wide),
                                               _param(mean, wide), _param(invstd, wide), words)
        return _channels_second(dx), dw, db
    if _one_by_one(x):
        d, wide, c = x.dtype, _param_type(x.dtype), x.shape[1]
        g = g if g.dtype == d else converted(g, d)
        dx, dw, db = empty(x.shape, d), np.empty(c, wide), np.empty(c, wide)
        _template("batchnorm", "backward", d)(dx, dw, db, _dense(g), _dense(x), _param(w, wide), _param(mean, wide),
                                              _param(invstd, wide), _batch_gradient_words(x.shape, d.itemsize,
                                                                                          bool(training)))
        return dx, dw, db
    x3, g3 = _channels(_wide(np.ascontiguousarray(x))), _channels(_wide(np.ascontiguousarray(g)))
    dt = x3.dtype
    n = x3.shape[0] * x3.shape[2]
    db = row_sums("sum", (g3,), (0, 2))
    dot = row_sums("dot", (g3, x3, mean[:, None]), (0, 2))
    dw = dot * invstd
    scale = (invstd if w is None else invstd * w.astype(dt))
    if training:
        b = -(scale * invstd * invstd * dot / n)
        c = -(scale * db / n)
        dx = _grad_input(g3, x3, mean[:, None], scale[:, None].astype(dt), b[:, None].astype(dt),
                         c[:, None].astype(dt))
    else:
        dx = g3 * scale[:, None]
    dx = dx.reshape(x.shape)
    return (converted(dx, x.dtype) if dx.dtype != x.dtype else dx), dw.astype(dt), db.astype(dt)


def _update_running(mean, var, batch_mean, batch_invstd, momentum, eps, unbias):
    """The running statistics, in place; the variance comes from 1/std."""
    names = [name_of(a.dtype) for a in (mean, var, batch_mean)]
    elementwise(("running", *names), _running, "ffff", [*names, names[2]], names[:2], "float64",
                ["float64"] * 3)(mean, var, mean, var, batch_mean, batch_invstd, momentum, eps, unbias)


def _running(mean, var, batch_mean, invstd, momentum, eps, unbias):
    from ...compiler import scalar as s
    batch = 1 / (invstd * invstd) - eps
    batch = s.where(batch < 0, 0.0, batch) * unbias
    return mean + momentum * (batch_mean - mean), var + momentum * (batch - var)


@public(namespaces=_F, method=False)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1,
               eps=1e-5):
    """Normalize every channel over batch and space; updates the running statistics when training.

    running = (1 - momentum) * running + momentum * batch, with the unbiased variance.
    """
    if input.dim() < 2:
        if not input.numel() and input.dim():
            return input.clone()
        raise RuntimeError("batch_norm: expected at least 2 dimensions (batch, channels), got input of size "
                           f"{list(input.shape)}")
    if training:
        n = input.numel() // max(input.shape[1], 1)
        if n == 1:
            raise ValueError("Expected more than 1 value per channel when training, got input size "
                             f"{input.shape!r}")
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    return _run_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def _run_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    c = input.shape[1]
    for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight),
                    ("bias", bias)):
        if t is not None and t.numel() != c:
            raise RuntimeError(f"{name} should contain {c} elements not {t.numel()}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
    if not input.numel():
        # Nothing to normalize and no statistics to update, but parameters get gradients of zeros.
        y = input.clone()
        y = y if weight is None else y * weight[0]
        y = y if bias is None else y + bias[0]
        return y, input.new_zeros(c), input.new_zeros(c)
    y, mean, invstd = _batch_norm(input, weight, bias, None if training else running_mean,
                                  None if training else running_var, bool(training), float(eps))
    if training and running_mean is not None and hasattr(type(mean._a), "takeover"):
        _update_by_ops(running_mean, running_var, mean, invstd, momentum or 0.0, eps, input.numel() // c)
    elif training and running_mean is not None and type(mean._a) is np.ndarray:
        n = input.numel() // c
        m = 0.0 if momentum is None else momentum
        var = running_var if running_var is not None else running_mean.clone()
        rest = m, eps, n / max(n - 1, 1)
        _update_running(running_mean._a, var._a, mean._a, invstd._a, *rest)
        running_mean._storage.version += 1
        if running_var is not None:
            running_var._storage.version += 1
        if watch.listener is not None:
            watch.listener.wrote("running statistics", lambda *arrays: _update_running(*arrays, *rest),
                                 (running_mean, var), (mean, invstd))
    return y, mean, invstd


def _update_by_ops(mean, var, batch_mean, batch_invstd, momentum, eps, n):
    """The running statistics of a batch that a transform works on."""
    from ...func.wrapped import below_gradients
    batch_mean, batch_invstd = below_gradients(batch_mean), below_gradients(batch_invstd)
    mean.copy_(mean * (1 - momentum) + batch_mean * momentum)
    if var is not None:
        batch_var = (batch_invstd.pow(-2) - eps) * (n / max(n - 1, 1))
        var.copy_(var * (1 - momentum) + batch_var * momentum)


@public("batch_norm", method=False)
def torch_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps,
                     cudnn_enabled=True):
    """`nn.functional.batch_norm` with the argument order of ``torch.batch_norm``."""
    return _run_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


@public(method=False, out=True)
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """(normalized, mean, 1/std); the last two are empty in evaluation."""
    y, mean, invstd = _run_batch_norm(input, weight, bias, running_mean, running_var, training, momentum,
                                      eps)
    if not training:
        mean, invstd = mean.new_empty((0,)), mean.new_empty((0,))
    kind = _statistics_type(input, weight)
    return y, mean.detach().to(kind), invstd.detach().to(kind)


def _statistics_type(input, weight):
    """Means and deviations that are returned have the parameters' type."""
    return input.dtype if weight is None else weight.dtype


@public(namespaces=_F, method=False)
def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None,
                  use_input_stats=True, momentum=0.1, eps=1e-5):
    """Normalize every channel of every sample over space."""
    if use_input_stats:
        size = 1
        for s in input.shape[2:]:
            size *= s
        if size == 1:
            raise ValueError("Expected more than 1 spatial element when training, got input size "
                             f"{input.shape!r}")
    return _instance(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps)


def _instance(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps):
    n, c = input.shape[:2]
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is "
                           "false")

    def repeat(t):
        return None if t is None else t.repeat(n)
    rm, rv = repeat(running_mean), repeat(running_var)
    y = _run_batch_norm(input.reshape(1, n * c, *input.shape[2:]), repeat(weight), repeat(bias), rm, rv,
                        use_input_stats, momentum, eps)[0]
    if use_input_stats and running_mean is not None:
        for t, r in ((running_mean, rm), (running_var, rv)):
            if t is not None:
                if hasattr(type(r._a), "takeover"):
                    t.copy_(r.reshape(n, c).mean(0))
                    continue
                t._a[...] = r._a.reshape(n, c).mean(0)
                t._storage.version += 1
    return y.reshape(input.shape)


@public("instance_norm", method=False)
def torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps,
                        cudnn_enabled=True):
    """`nn.functional.instance_norm` with the argument order of ``torch.instance_norm``."""
    return _instance(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps)


# ---------------------------------------------------------------- layer

def _layer_grads(g0, input, normalized_shape, weight, out1, out2, eps, needs):
    k = len(normalized_shape)
    dims = list(range(-k, 0))
    lead = list(range(input.dim() - k))
    if state.grad:
        mean = input.mean(dims, True)
        centered = input - mean
        invstd = (centered * centered).mean(dims, True).add(eps).rsqrt()
        xhat = centered * invstd
        gw = g0 if weight is None else g0 * weight
        dx = invstd * (gw - gw.mean(dims, True) - xhat * (gw * xhat).mean(dims, True))
        dw = (g0 * xhat).sum(lead) if needs[1] and lead else g0 * xhat if needs[1] else None
        db = (g0.sum(lead) if lead else g0) if needs[2] else None
        return dx, dw, db
    dx, dw, db = layer_norm_backward(g0, input, normalized_shape, weight, out1, out2,
                                     needs[1] or needs[2])
    return dx, dw if needs[1] else None, db if needs[2] else None


def _rows(a, k):
    n = int(np.prod(a.shape[a.ndim - k:]))
    return np.ascontiguousarray(a).reshape(a.size // n if n else 0, n)


def _first(call, *args):
    """The first output of a primitive; where nothing is recorded the others become no tensors."""
    arrays = []
    for x in args:
        if isinstance(x, Tensor):
            if type(x._a) is not np.ndarray or x._bits or watch.listener is not None or state.grad and needs_grad(x):
                return call(*args)[0]
            x = x._a
        arrays.append(x)
    return wrap(call.record.kernel(*arrays)[0])


def _param_type(d):
    """What parameters and statistics are kept in."""
    return d if d.itemsize == 8 else _FLOAT32


def _param(a, d):
    """A parameter as a dense array of type `d`, or None."""
    if a is None or a.dtype == d and a.flags.c_contiguous:
        return a
    return np.ascontiguousarray(a, d)


@cache
def _template(module, name, d, *args):
    from importlib import import_module
    return getattr(import_module(f"rushlight.compiler.templates.{module}"), name)(name_of(d), *args)


@cache
def _row_words(rows, n, itemsize, eps):
    from ...compiler.templates.rownorm import forward_words
    return forward_words(rows, n, itemsize, eps)


@cache
def _row_gradient_words(rows, n, itemsize, affine):
    from ...compiler.templates.rownorm import backward_words
    return backward_words(rows, n, itemsize, affine)


def _row_gradients(g, x, shape, w, mean, rstd, affine):
    """Gradients of input, weight and bias of layer normalization, or with mean None of RMS normalization."""
    d, wide, rms = x.dtype, _param_type(x.dtype), mean is None
    n = math.prod(shape)
    words, bins = _row_gradient_words(x.size // n, n, d.itemsize, bool(affine))
    dx = empty(x.shape, d)
    dw = db = part = _NOTHING
    if affine:
        dw, db, part = empty(shape, wide), None if rms else empty(shape, wide), empty((bins, 2, n), wide)
    _template("rownorm", "backward", d, rms, w is not None, bool(affine))(
        dx, dw, db, part, _dense(g), _dense(x), _param(w, wide), _param(mean, wide), _param(rstd, wide), words)
    return dx, dw, db


@primitive("native_layer_norm(Tensor input, int[] normalized_shape, Tensor? weight, Tensor? bias, "
           "float eps) -> (Tensor, Tensor, Tensor)", vjp=Joint(_layer_grads),
           node="NativeLayerNormBackward0")
def _layer_norm(x, normalized_shape, w, b, eps):
    """(normalized, mean, 1/std) with statistics over the last dimensions."""
    k = len(normalized_shape)
    if x.size and compiled():
        d, wide = x.dtype, _param_type(x.dtype)
        n = math.prod(normalized_shape)
        rows, lead = x.size // n, x.shape[:x.ndim - k] + (1,) * k
        y, mean, rstd = empty(x.shape, d), empty(lead, wide), empty(lead, wide)
        affine = ("w" if w is not None else "") + ("b" if b is not None else "")
        kernel = _template("rownorm", "forward", d, False, affine)
        watch.launch(kernel, y, mean, rstd, _dense(x), _param(w, wide), _param(b, wide),
                     _row_words(rows, n, d.itemsize, eps))
        return y, mean, rstd
    if 0 in normalized_shape:       # no numbers, of which statistics are not defined
        lead = x.shape[:x.ndim - k] + (1,) * k
        return np.empty(x.shape, x.dtype), *(np.full(lead, np.nan, _param_type(x.dtype)) for _ in range(2))
    x2 = _wide(_rows(x, k))
    dt, n = x2.dtype, x2.shape[1]
    mean = (row_sums("sum", (x2,), (1,)) / n).astype(dt)[:, None]
    var = row_sums("square_deviation", (x2, mean), (1,)) / n
    invstd = (1 / np.sqrt(var + eps)).astype(dt)[:, None]
    name = name_of(dt)
    y = empty(x2.shape, dt)
    wv = np.ones(1, dt) if w is None else w.astype(dt, copy=False).reshape(-1)
    bv = np.zeros(1, dt) if b is None else b.astype(dt, copy=False).reshape(-1)
    elementwise(("layer_norm", name), lambda x, m, r, w, b: (x - m) * r * w + b, "fffff", [name] * 5,
                [name], name)(y, x2, mean, invstd, wv, bv)
    lead = x.shape[:x.ndim - k] + (1,) * k
    y = y.reshape(x.shape)
    return (converted(y, x.dtype) if y.dtype != x.dtype else y), mean.reshape(lead), invstd.reshape(lead)


@primitive("native_layer_norm_backward(Tensor grad, Tensor input, int[] normalized_shape, "
           "Tensor? weight, Tensor mean, Tensor invstd, bool affine) -> (Tensor, Tensor, Tensor)",
           vjp={})
def layer_norm_backward(g, x, normalized_shape, w, mean, invstd, affine):
    """Gradients of input, weight and bias."""
    k = len(normalized_shape)
    if x.size and compiled() and g.dtype == x.dtype:
        return _row_gradients(g, x, tuple(normalized_shape), w, mean, invstd, affine)
    x2, g2 = _wide(_rows(x, k)), _wide(_rows(g, k))
    dt, n = x2.dtype, x2.shape[1]
    m, r = mean.reshape(-1, 1), invstd.reshape(-1, 1)
    name = name_of(dt)
    wv = np.ones(1, dt) if w is None else w.astype(dt, copy=False).reshape(-1)
    s1 = row_sums("product", (g2, wv), (1,))
    s2 = row_sums("dot3", (g2, x2, m, wv), (1,)) * r[:, 0]
    dx = empty(x2.shape, dt)
    elementwise(("layer_norm_grad", name),
                lambda g, x, m, r, w, a, b: r * (g * w - a - (x - m) * r * b), "f" * 7, [name] * 7,
                [name], name)(dx, g2, x2, m, r, wv, (s1 / n).astype(dt)[:, None],
                              (s2 / n).astype(dt)[:, None])
    shape = tuple(normalized_shape)
    if affine:
        dw = row_sums("dot_scaled", (g2, x2, m, r), (0,)).astype(dt).reshape(shape)
        db = row_sums("sum", (g2,), (0,)).astype(dt).reshape(shape)
    else:
        dw = db = np.zeros(0, dt)
    dx = dx.reshape(x.shape)
    return (converted(dx, x.dtype) if dx.dtype != x.dtype else dx), dw, db


def _check_normalized(op, input, shape, weight, bias):
    k, whole = len(shape), input._a.shape
    if k and whole[len(whole) - k:] == shape and (weight is None or weight._a.shape == shape) and (
            bias is None or bias._a.shape == shape):
        return
    if k < 1:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at "
                           f"least one element, but got normalized_shape = {list(shape)}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} "
                               f"of shape {list(t.shape)} and normalized_shape = {list(shape)}")
    if tuple(input.shape[input.dim() - k:]) != shape or input.dim() < k:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, "
                           f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}")


@public(namespaces=_TF, method=False)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """Normalize over the last ``len(normalized_shape)`` dimensions, then scale and shift."""
    shape = tuple(normalized_shape) if not isinstance(normalized_shape, int) else (normalized_shape,)
    _check_normalized("layer_norm", input, shape, weight, bias)
    if weight is not None and weight.dtype is not input.dtype and not input.dtype.is_low_precision:
        raise RuntimeError("expected scalar type " + scalar_name(input.dtype) + " but found "
                           + scalar_name(weight.dtype))
    return _first(_layer_norm, input, shape, weight, bias, float(eps))


@public(method=False)
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """(normalized, mean, 1/std)."""
    shape = tuple(normalized_shape)
    _check_normalized("native_layer_norm", input, shape, weight, bias)
    y, mean, rstd = _layer_norm(input, shape, weight, bias, float(eps))
    kind = _statistics_type(input, weight)
    return y, mean.to(kind), rstd.to(kind)


def _rms_grads(g0, input, normalized_shape, weight, out1, eps, needs):
    if state.grad:
        dims, lead = list(range(-len(normalized_shape), 0)), list(range(input.dim() - len(normalized_shape)))
        rstd = (input * input).mean(dims, True).add(eps).rsqrt()
        xhat = input * rstd
        gw = g0 if weight is None else g0 * weight
        dx = rstd * (gw - xhat * (gw * xhat).mean(dims, True))
        return dx, None if not needs[1] else (g0 * xhat).sum(lead) if lead else g0 * xhat
    dx, dw = _rms_norm_backward(g0, input, normalized_shape, weight, out1, needs[1])
    return dx, dw if needs[1] else None


@primitive("_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float eps) -> (Tensor, Tensor)",
           vjp=Joint(_rms_grads))
def _rms_norm(x, normalized_shape, w, eps):
    """(normalized, 1/rms) with mean squares over the last dimensions."""
    d, wide = x.dtype, _param_type(x.dtype)
    n, k = math.prod(normalized_shape), len(normalized_shape)
    y, rstd = empty(x.shape, d), empty(x.shape[:x.ndim - k] + (1,) * k, wide)
    kernel = _template("rownorm", "forward", d, True, "" if w is None else "w")
    watch.launch(kernel, y, None, rstd, _dense(x), _param(w, wide), None,
                 _row_words(x.size // n, n, d.itemsize, eps))
    return y, rstd


@primitive("_fused_rms_norm_backward(Tensor grad, Tensor input, int[] normalized_shape, Tensor? weight, Tensor rstd, "
           "bool affine) -> (Tensor, Tensor)", vjp={})
def _rms_norm_backward(g, x, normalized_shape, w, rstd, affine):
    """Gradients of input and weight."""
    return _row_gradients(g, x, tuple(normalized_shape), w, None, rstd, affine)[:2]


@public(namespaces=_TF, method=False)
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions."""
    shape = tuple(normalized_shape) if not isinstance(normalized_shape, int) else (normalized_shape,)
    _check_normalized("rms_norm", input, shape, weight, None)
    if eps is None:
        from ...dtypes import finfo, float32
        eps = finfo(float32 if input.dtype.is_low_precision else input.dtype).eps
    if (weight is None or weight.dtype is input.dtype) and input.dtype.is_floating_point and input._a.size and \
            compiled():
        return _first(_rms_norm, input, shape, weight, float(eps))
    x = input.float() if input.dtype.is_low_precision else input
    y = x * (x * x).mean(
        list(range(-len(shape), 0)), True).add(eps).rsqrt()
    if weight is not None:
        y = y * weight
    return y.to(input.dtype)


def _group_grads(g0, input, weight, group, eps, out1, out2, needs):
    if state.grad:
        x = input.reshape(input.shape[0], group, -1)
        mean = x.mean(2, True)
        centered = x - mean
        rstd = (centered * centered).mean(2, True).add(eps).rsqrt()
        xhat = centered * rstd
        per_channel = (1, -1) + (1,) * (input.dim() - 2)
        gw = (g0 if weight is None else g0 * weight.reshape(per_channel)).reshape(x.shape)
        dx = rstd * (gw - gw.mean(2, True) - xhat * (gw * xhat).mean(2, True))
        dims = [0, *range(2, input.dim())]
        return (dx.reshape(input.shape), (g0 * xhat.reshape(input.shape)).sum(dims) if needs[1] else None,
                g0.sum(dims) if needs[2] else None)
    dx, dw, db = _group_norm_backward(g0, input, weight, group, out1, out2, needs[1] or needs[2])
    return dx, dw if needs[1] else None, db if needs[2] else None


@cache
def _group_words(shape, group, eps):
    from ...compiler.templates.groupnorm import forward_words
    return forward_words(shape[0], group, shape[1] // group, math.prod(shape[2:]), eps)


@cache
def _group_gradient_words(shape, group, affine):
    from ...compiler.templates.groupnorm import backward_words
    return backward_words(shape[0], group, shape[1] // group, math.prod(shape[2:]), affine)


@primitive("native_group_norm(Tensor input, Tensor? weight, Tensor? bias, int group, float eps) -> "
           "(Tensor, Tensor, Tensor)", vjp=Joint(_group_grads),
           meta=lambda x, w, b, group, eps: (
               (x._a.shape, x.dtype), *[((x._a.shape[0], group), from_np(_param_type(x.dtype.np)))] * 2))
def _group_norm(x, w, b, group, eps):
    """(normalized, mean, 1/std) with statistics a group of channels of a sample."""
    d, wide = x.dtype, _param_type(x.dtype)
    y, mean, rstd = empty(x.shape, d), empty((x.shape[0], group), wide), empty((x.shape[0], group), wide)
    watch.launch(_template("groupnorm", "forward", d), y, mean, rstd, _dense(x), _param(w, wide), _param(b, wide),
                 _group_words(x.shape, group, eps))
    return y, mean, rstd


@primitive("native_group_norm_backward(Tensor grad, Tensor input, Tensor? weight, int group, Tensor mean, "
           "Tensor rstd, bool affine) -> (Tensor, Tensor, Tensor)", vjp={},
           meta=lambda g, x, w, group, mean, rstd, affine: (
               (x._a.shape, x.dtype), *[((x._a.shape[1] if affine else 0,), mean.dtype)] * 2))
def _group_norm_backward(g, x, w, group, mean, rstd, affine):
    """Gradients of input, weight and bias."""
    d, wide, c = x.dtype, _param_type(x.dtype), x.shape[1]
    g = g if g.dtype == d else converted(g, d)
    dx, dw, db, part = empty(x.shape, d), _NOTHING, _NOTHING, _NOTHING
    if affine:
        dw, db, part = empty((c,), wide), empty((c,), wide), empty((x.shape[0], c, 2), _FLOAT64)
    _template("groupnorm", "backward", d, bool(affine))(
        dx, dw, db, part, _dense(g), _dense(x), _param(w, wide), _param(mean, wide), _param(rstd, wide),
        _group_gradient_words(x.shape, group, bool(affine)))
    return dx, dw, db


@public(namespaces=_TF, method=False)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """Normalize groups of channels of every sample, then scale and shift every channel."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    n, c = input.shape[:2]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got "
                           f"input of shape {list(input.shape)} and num_groups={num_groups}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (c,):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels "
                               f"in input, but got {name} of shape {list(t.shape)} and input of shape "
                               f"{list(input.shape)}")
    if not input.numel():
        return input * 1 if weight is None else input * weight.reshape(1, -1, *(1,) * (input.dim() - 2))
    if compiled() and input.dtype.is_floating_point and all(
            t is None or t.dtype is input.dtype or input.dtype.is_low_precision for t in (weight, bias)):
        return _first(_group_norm, input, weight, bias, num_groups, float(eps))
    size = input.numel() // (n * num_groups)
    y = _layer_norm(input.reshape(n * num_groups, size), (size,), None, None, float(eps))[0]
    y = y.reshape(input.shape)
    shape = (1, c) + (1,) * (input.dim() - 2)
    if weight is not None:
        y = y * weight.reshape(shape)
    if bias is not None:
        y = y + bias.reshape(shape)
    return y


@public(method=False)
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """(normalized, mean, 1/std) of `group_norm`."""
    y = group_norm(input, group, weight, bias, eps)
    kind = _statistics_type(input, weight)
    if not input.numel():
        nothing = input.reshape(N, group, C // group * HxW).sum(-1).to(kind)
        return y, nothing, nothing.clone()
    wide = input.float() if input.dtype.is_low_precision else input
    var, mean = function("var_mean")(wide.reshape(N, group, -1), -1, correction=0)
    return y, mean.to(kind), (var + eps).rsqrt().to(kind)


@public(namespaces=_F, method=False)
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha * mean of x**2 over `size` neighbouring channels)**beta."""
    if input.dim() < 3:
        raise ValueError("Expected 3D or higher dimensionality input (got "
                         f"{input.dim()} dimensions)")
    if not input.numel():
        return input
    sq = (input * input).unsqueeze(1)
    pad = function("pad", "torch.nn.functional")
    if input.dim() == 3:
        sq = pad(sq, (0, 0, size // 2, (size - 1) // 2))
        div = function("avg_pool2d", "torch.nn.functional")(sq, (size, 1), stride=1).squeeze(1)
    else:
        n, c = input.shape[:2]
        rest = tuple(input.shape[2:])
        sq = sq.reshape(n, 1, c, rest[0], -1)
        sq = pad(sq, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        div = function("avg_pool3d", "torch.nn.functional")(sq, (size, 1, 1), stride=1).squeeze(1)
        div = div.reshape(input.shape)
    return input / (div * alpha + k).pow(beta)


@public(namespaces=_F, method=False)
def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """x / max(norm_p(x, dim), eps)."""
    denom = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    if out is None:
        return input / denom
    return function("div")(input, denom, out=out)
