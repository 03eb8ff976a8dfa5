"""Negative log likelihood and cross entropy, in nats.

The backward pass of ``cross_entropy`` goes through log_softmax and nll_loss in one step where nobody looks at what
passes between them.
"""

import math
from functools import cache

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...dtypes import scalar_name
from ...runtime.allocator import empty
from ...tensor import watch
from ...tensor.tensor import wrap
from ..dispatch import RecordNode, primitive
from ..reduce_common import compiled
from ..registry import public
from ..softmax import LogSoftmaxNode
from .losses import MEAN, NONE, SUM, code, legacy_reduction

_F = ("torch.nn.functional",)
_kernels = {}


def _kernel(name, d):
    """A kernel of `compiler.templates.likelihood` for an array type, or None."""
    k = _kernels.get((name, d))
    if k is None and d.kind != "c" and compiled():
        from ...compiler.templates import likelihood
        k = _kernels[name, d] = getattr(likelihood, name)(dtypes.BY_NP[d].name)
    return k


def _dense(a):
    return a if a is None or a.flags.c_contiguous else np.ascontiguousarray(a)


@cache
def _loss_words(shape, ignore_index):
    from ...compiler.templates.likelihood import loss_words
    outer, n, inner = _layout(shape)
    return loss_words(outer, n, inner, ignore_index)


def _layout(shape):
    """(samples, classes, places a sample) of log-probabilities (n, c, *d) or (c)."""
    return (1, shape[0], 1) if len(shape) == 1 else (shape[0], shape[1], math.prod(shape[2:]))


@cache
def _gradient_words(shape, itemsize, ignore_index, reduction):
    """(kernel's name, words) of the gradient of nll_loss through log_softmax, or None."""
    from ...compiler.templates.likelihood import nll_words
    from ...compiler.templates.softmax import column_words, row_words
    outer, n, inner = _layout(shape)
    words = row_words(outer, n, itemsize) if inner == 1 else column_words(outer, n, inner, itemsize)
    if words is None:
        return None
    return "nll" if inner == 1 else "nll_columns", nll_words(words, ignore_index, reduction == NONE,
                                                             reduction == MEAN)


def _out_of_bounds(target, c, ignore_index):
    """IndexError for the first class that is neither in [0, c) nor ignored."""
    bad = target[((target < 0) | (target >= c)) & (target != ignore_index)]
    if bad.size:
        raise IndexError(f"Target {int(bad.reshape(-1)[0])} is out of bounds.")


def _nll_grad(g0, self_shape, target, weight, reduction, ignore_index, out1):
    return nll_backward(g0, target, weight, tuple(self_shape), reduction, ignore_index, out1)


@primitive("nll_loss_forward(Tensor self, Tensor target, Tensor? weight, int reduction, "
           "int ignore_index) -> (Tensor, Tensor)", vjp={"self": _nll_grad}, node="NllLossBackward0")
def _nll(x, target, weight, reduction, ignore_index):
    """(loss, total weight) of log-probabilities (n, c, *d) and classes (n, *d)."""
    kernel = _kernel("loss", x.dtype)
    if kernel is not None and target.dtype == np.int64:
        words, tiles = _loss_words(x.shape, ignore_index)
        terms = empty(target.shape, x.dtype) if reduction == NONE else None
        sums = np.empty((tiles, 3))
        kernel(terms, sums, _dense(x), _dense(target), _dense(weight), words)
        loss, total, bad = sums[0].tolist() if tiles == 1 else sums.sum(0).tolist()
        if bad:
            _out_of_bounds(target, x.shape[1 if x.ndim > 1 else 0], ignore_index)
        if reduction == NONE:
            return terms, np.zeros((), x.dtype)
        if reduction == MEAN:
            loss = loss / total if total else math.nan
        return np.array(loss, x.dtype), np.array(total, x.dtype)
    _out_of_bounds(target, x.shape[1 if x.ndim > 1 else 0], ignore_index)
    t = target[:, None] if x.ndim > 1 else target[None]
    axis = 1 if x.ndim > 1 else 0
    keep = t != ignore_index
    safe = np.where(keep, t, 0)
    picked = np.take_along_axis(x, safe, axis)
    w = keep.astype(np.float64) if weight is None else np.where(keep, weight.astype(np.float64)[safe], 0)
    terms = np.where(keep, -picked.astype(np.float64) * w, 0)
    total = w.sum()
    if reduction == NONE:
        return np.ascontiguousarray(terms.squeeze(axis)).astype(x.dtype), np.asarray(0, x.dtype)
    loss = terms.sum()
    if reduction == MEAN:
        with np.errstate(all="ignore"):
            loss = loss / total
    return np.asarray(loss).astype(x.dtype), np.asarray(total).astype(x.dtype)


@primitive("nll_loss_backward(Tensor grad, Tensor target, Tensor? weight, int[] shape, int reduction, "
           "int ignore_index, Tensor total) -> Tensor",
           vjp={"grad": lambda g, target, weight, reduction, ignore_index, total:
                _nll_grad_grad(g, target, weight, reduction, ignore_index, total),
                "total": lambda g: None})       # a sum of class weights, which are constants
def nll_backward(g, target, weight, shape, reduction, ignore_index, total):
    """Gradient of the log-probabilities: minus the weight at the class, zero elsewhere."""
    axis = 1 if len(shape) > 1 else 0
    if len(shape) == 2 and weight is None and reduction != NONE and target.dtype == np.int64:
        with np.errstate(all="ignore"):
            value = -(g / total if reduction == MEAN else g)
        out = np.zeros(shape, g.dtype)
        rows = np.arange(len(target))
        if ignore_index in target:
            rows = rows[target != ignore_index]
            target = target[rows]
        out[rows, target] = value
        return out
    t = np.expand_dims(target, axis)
    keep = t != ignore_index
    safe = np.where(keep, t, 0)
    w = keep.astype(g.dtype) if weight is None else np.where(keep, weight[safe], 0).astype(g.dtype)
    if reduction == NONE:
        w = -w * np.expand_dims(g, axis)
    else:
        with np.errstate(all="ignore"):
            w = np.where(keep, -w * (g / total if reduction == MEAN else g), 0)     # ignored: 0 even where total is
    out = np.zeros(shape, g.dtype)
    np.put_along_axis(out, safe, w.astype(g.dtype), axis)
    return out


def _joint_gradient(kernel, words, y, g, target, weight, total):
    dx = empty(y.shape, y.dtype)
    if y.size:
        kernel(dx, y, np.ascontiguousarray(g), np.ascontiguousarray(target),
               None if weight is None else np.ascontiguousarray(weight), total, words)
    return dx


def _joint_gradient_into(kernel, words, dx, *arrays):
    """How a program runs the kernel into memory that is there."""
    if not dx.size or not all(a is None or a.flags.c_contiguous for a in (dx, *arrays)):
        return None
    return kernel, (dx, *arrays, words)


def _ran(label, kernel, tensors, direct):
    """The tensor that ``kernel`` makes of the arrays of `tensors`."""
    out = wrap(kernel(*[None if t is None else t._a for t in tensors]))
    if watch.listener is not None:
        watch.listener.ran(label, kernel, tensors, out, direct)
    return out


class NllNode(RecordNode):
    """The node of nll_loss; `fused` where only it uses the log_softmax below."""

    record = _nll.record
    fused = False

    def apply(self, grads):
        if self.fused:
            below = self.edges[0][0]
            below.done = None           # what a pass that failed may have left
            if grads[0] is not None and self.saved is not None and below.saved is not None and below.ext is None and \
                    not state.grad and not state.anomaly and not _asked_for(below):
                g = self._through(below, grads[0])
                if g is not None:
                    below.done = g
                    return [g] + [None] * (len(self.edges) - 1)
        return self.plan.backward(self, grads)

    def _through(self, below, g):
        """The gradient of log_softmax's input, or None where no kernel gives it."""
        y = below.saved_value("out")._a
        target, weight, total = (self.saved_value(n) for n in ("target", "weight", "out1"))
        kernel = found = None
        if y.flags.c_contiguous and g.dtype.np == y.dtype:
            found = _gradient_words(y.shape, y.dtype.itemsize, self.saved_value("ignore_index"),
                                    self.saved_value("reduction"))
        if found is not None:
            kernel = _kernel(found[0], y.dtype)
        if kernel is None:
            return None
        return _ran("cross_entropy_backward", lambda *arrays: _joint_gradient(kernel, found[1], *arrays),
                    (below.saved_value("out"), g, target, weight, total),
                    lambda dx, *arrays: _joint_gradient_into(kernel, found[1], dx, *arrays))


def _asked_for(node):
    """Whether this backward pass has to show the gradient that arrives at `node`."""
    current = state.backward
    return current is not None and current.capture is not None and (node, 0) in current.capture


NllNode.__name__ = NllNode.__qualname__ = "NllLossBackward0"
NllNode.__module__ = "torch.autograd"
_nll.record._node = NllNode


def _nll_grad_grad(g, target, weight, reduction, ignore_index, total):
    y = _nll(g, target, weight, NONE if reduction == NONE else SUM, ignore_index)[0]
    return y / total if reduction == MEAN else y


def _check_target(op, input, target):
    if target.dtype is not dtypes.int64 and target.dtype is not dtypes.uint8:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target.dtype)}")
    n, c = (input.shape[0], input.shape[1]) if input.dim() > 1 else (None, input.shape[0])
    if input.dim() == 1:
        if target.dim() != 0 and tuple(target.shape) != (1,):
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    else:
        expected = (n, *input.shape[2:])
        if target.dim() == 0 or target.shape[0] != n:
            raise ValueError(f"Expected input batch_size ({n}) to match target batch_size "
                             f"({target.shape[0] if target.dim() else 1}).")
        if tuple(target.shape) != expected:
            if input.dim() == 2:
                raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
            raise RuntimeError(f"Expected target size {list(expected)}, got {list(target.shape)}")
    return c


def _nll_loss(input, target, weight, reduction, ignore_index):
    if input.dim() < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.dim()})")
    c = _check_target("nll_loss", input, target)
    if target.dtype is dtypes.uint8:
        target = target.to(dtypes.int64)
    if weight is not None and tuple(weight.shape) != (c,):
        raise RuntimeError(f"weight tensor should be defined either for all {c} classes or no classes but"
                           f" got weight tensor of shape: {list(weight.shape)}")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(input.dtype)} but found "
                           f"{scalar_name(weight.dtype)}")
    if input.dim() == 1 and target.dim() == 1:
        target = target.reshape(())
    loss = _nll(input, target, weight, code(reduction), ignore_index)[0]
    return loss.reshape(()) if input.dim() == 1 else loss


@public(namespaces=_F, method=False)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
             reduction="mean"):
    """-weight[t] * input[t] of log-probabilities (n, c, *d) and classes t (n, *d), averaged by weight."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _nll_loss(input, target, weight, reduction, ignore_index)


@public(namespaces=_F, method=False)
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
                  reduction="mean", label_smoothing=0.0):
    """-sum_c q_c log softmax(input)_c, averaged; q is one class (integer target) or a distribution.

    input (n, c, *d) or (c); label_smoothing mixes the target with the uniform distribution.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    code(reduction)
    dim = 0 if input.dim() == 1 else 1
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    log_p = input.log_softmax(dim)
    if target._a.shape == input._a.shape and target.dtype.is_floating_point:
        return _soft_targets(log_p, target, weight, reduction, label_smoothing, dim, ignore_index)
    if target.dtype.is_floating_point:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target.dtype)}")
    if not label_smoothing:
        loss = _nll_loss(log_p, target, weight, reduction, ignore_index)
        node, below = loss._grad_fn, log_p._grad_fn
        if type(node) is NllNode and type(below) is LogSoftmaxNode and node.edges[0][0] is below:
            node.fused = True
        return loss
    return _smoothed(log_p, target, weight, reduction, label_smoothing, dim, ignore_index)


def _soft_targets(log_p, target, weight, reduction, smoothing, dim, ignore_index):
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    c = log_p.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / c
    terms = log_p * target
    if weight is not None:
        shape = [1] * log_p.dim()
        shape[dim] = c
        terms = terms * weight.reshape(shape)
    if reduction == "mean":
        n = log_p.numel() // c
        return -terms.sum() / n if n else -terms.sum() / n if n else terms.sum() * float("nan")
    if reduction == "sum":
        return -terms.sum()
    return -terms.sum(dim)


def _smoothed(log_p, target, weight, reduction, smoothing, dim, ignore_index):
    nll = _nll_loss(log_p, target, weight, reduction, ignore_index)
    c = log_p.shape[dim]
    keep = target != ignore_index
    if weight is not None:
        shape = [1] * log_p.dim()
        shape[dim] = c
        smooth = -(log_p * weight.reshape(shape)).sum(dim)
    else:
        smooth = -log_p.sum(dim)
    smooth = smooth.masked_fill(~keep, 0)
    if reduction == "mean":
        if weight is not None:
            safe = target.masked_fill(~keep, 0)
            total = (weight[safe] * keep.to(weight.dtype)).sum()
        else:
            total = keep.sum()
        smooth = smooth.sum() / total
    elif reduction == "sum":
        smooth = smooth.sum()
    return (1 - smoothing) * nll + smooth * (smoothing / c)
