"""Softmax and its logarithm along one dimension."""

import math
import warnings
from functools import cache

import numpy as np

from ..dtypes import BY_NP, FLOAT, scalar_name
from ..record import Joint
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.geometry import wrap_dim
from .dispatch import RecordNode, primitive
from .reduce_common import compiled, narrow, wide
from .reduction import publish
from .registry import FUNCTIONS

_kernels, _templates = {}, {}


def _kernel(kind, d):
    k = _kernels.get((kind, d))
    if k is None:
        from ..compiler import softmax_kernel
        k = _kernels[kind, d] = softmax_kernel(kind, BY_NP[d].name).call
    return k


def _dense(name, d, shape, dim, buffers, arrays):
    """(kernel, words) for C-contiguous arrays of one dtype, or None."""
    for a in arrays:
        if not a.flags.c_contiguous or a.dtype != d:
            return None
    words = _layout(shape, dim, d.itemsize, buffers)
    if words is None:
        return None
    words, kind = words
    found = _templates.get((name, kind, d))
    if found is None:
        from ..compiler.templates import softmax as templates
        step, kind_name = name
        make = getattr(templates, step + kind)
        found = _templates[name, kind, d] = make(kind_name, BY_NP[d].name)
    return found, words


@cache
def _layout(shape, dim, itemsize, buffers):
    """(words, "" along rows or "_columns") of the templates; None where columns do not fit."""
    from ..compiler.templates.softmax import column_words, row_words
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1:])
    if inner == 1:
        return row_words(outer, shape[dim], itemsize), ""
    words = column_words(outer, shape[dim], inner, itemsize, buffers)
    return None if words is None else (words, "_columns")


def _forward(kind, a, dim):
    d = a.dtype
    if d.kind != "c" and compiled():
        x = a if a.ndim else a.reshape(1)
        out = empty(x.shape, d)
        if x.size:
            way = _dense(("forward", kind), d, x.shape, dim, 1, (x,))
            if way:
                watch.launch(way[0], out, x, way[1])
            else:
                watch.launch(_kernel(kind, d), out, x, 1 << dim)
        return out if a.ndim else out.reshape(())
    x = wide(a if a.ndim else a.reshape(1))
    with np.errstate(all="ignore"):
        x = x - (x.max(dim, keepdims=True, initial=-np.inf) if d.kind != "c" else 0)
        e = np.exp(x)
        total = e.sum(dim, keepdims=True)
        return narrow(e / total if kind == "softmax" else x - np.log(total), d).reshape(a.shape)


def _direct(step, kind):
    """How a program runs the kernel of `kind` ("softmax" or "log_softmax") into memory that is there."""
    def direct(out, *operands):
        *arrays, dim = operands
        if not arrays[0].ndim or not compiled():
            return None
        way = _dense((step, kind), out.dtype, out.shape, dim, len(arrays), (out, *arrays))
        return None if way is None else (way[0], (out, *arrays, way[1]))
    return direct


def _backward(kind, g, y, dim):
    d = y.dtype
    if d.kind != "c" and g.dtype == d and compiled():
        if not y.ndim:
            g, y = g.reshape(1), y.reshape(1)
        out = empty(y.shape, d)
        if y.size:
            if y.flags.c_contiguous and not g.flags.c_contiguous:
                g = np.ascontiguousarray(g)
            way = _dense(("backward", kind), d, y.shape, dim, 2, (g, y))
            if way:
                way[0](out, g, y, way[1])
            else:
                _kernel(kind + "_backward", d)(out, g, y, 1 << dim)
        return out
    shape = y.shape
    g, y = wide(g if shape else g.reshape(1)), wide(y if shape else y.reshape(1))
    with np.errstate(all="ignore"):
        if kind == "softmax":
            r = y.conj() * (g - (g * y.conj()).sum(dim, keepdims=True))
        else:
            r = g - np.exp(y).conj() * g.sum(dim, keepdims=True)
    return narrow(r, d).reshape(shape)


def _softmax_second(g, grad_output, output, dim, needs):
    """Gradients of y * (g - sum(g * y)) for g and y."""
    sums = (g * output).sum(dim, True) if output._a.ndim else g * output
    first = _softmax_backward(g, output, dim) if needs[0] else None
    second = None
    if needs[1]:
        inner = (grad_output * output).sum(dim, True) if output._a.ndim else grad_output * output
        second = g * (grad_output - inner) - grad_output * sums
    return first, second


def _log_softmax_second(g, grad_output, output, dim, needs):
    total = grad_output.sum(dim, True) if output._a.ndim else grad_output
    p = output.exp()
    inner = (g * p).sum(dim, True) if output._a.ndim else g * p
    return g - inner if needs[0] else None, -g * p * total if needs[1] else None


@primitive("_softmax_backward_data(Tensor grad_output, Tensor output, int dim) -> Tensor",
           vjp=Joint(_softmax_second), direct=_direct("backward", "softmax"))
def _softmax_backward(g, y, dim):
    r = _backward("softmax", g, y, dim)
    return r if y.ndim else r.reshape(())


@primitive("_log_softmax_backward_data(Tensor grad_output, Tensor output, int dim) -> Tensor",
           vjp=Joint(_log_softmax_second), direct=_direct("backward", "log_softmax"))
def _log_softmax_backward(g, y, dim):
    r = _backward("log_softmax", g, y, dim)
    return r if y.ndim else r.reshape(())


@primitive("_softmax(Tensor self, int dim) -> Tensor", node="SoftmaxBackward0",
           vjp={"self": lambda g, out, dim: _softmax_backward(g, out, dim)}, samples="scan",
           direct=_direct("forward", "softmax"))
def _softmax(a, dim):
    return _forward("softmax", a, dim)


@primitive("_log_softmax(Tensor self, int dim) -> Tensor", node="LogSoftmaxBackward0",
           vjp={"self": lambda g, out, dim: _log_softmax_backward(g, out, dim)}, samples="scan",
           direct=_direct("forward", "log_softmax"))
def _log_softmax(a, dim):
    return _forward("log_softmax", a, dim)


class LogSoftmaxNode(RecordNode):
    """The node of log_softmax. What came after it may have done its work already (``losses``): then `done` is
    the gradient of its input, in place of the one of its output."""

    record = _log_softmax.record
    done = None

    def apply(self, grads):
        done = self.done
        if done is None:
            return self.plan.backward(self, grads)
        self.done = None
        if grads[0] is done:
            return [done]
        # Somebody else's gradient has been added to it.
        return [done + self.plan.backward(self, [grads[0] - done])[0]]


LogSoftmaxNode.__name__ = LogSoftmaxNode.__qualname__ = "LogSoftmaxBackward0"
LogSoftmaxNode.__module__ = "torch.autograd"
_log_softmax.record._node = LogSoftmaxNode


def _function(call, kernel_name):
    def fn(input, dim, dtype=None):
        if dtype is not None and dtype is not input.dtype:
            input = input.to(dtype)
        elif input.dtype.category < FLOAT:
            raise NotImplementedError(f"\"{kernel_name}\" not implemented for "
                                      f"'{scalar_name(input.dtype)}'")
        return call(input, wrap_dim(dim, input._a.ndim))
    return fn


softmax = _function(_softmax, "softmax_lastdim_kernel_impl")
softmax.__doc__ = "exp(input) / sum(exp(input)) along `dim`, without overflow."
log_softmax = _function(_log_softmax, "log_softmax_lastdim_kernel_impl")
log_softmax.__doc__ = "log(softmax(input)) along `dim`, without overflow."
publish("softmax", softmax, namespaces=("torch", "torch.special"))
publish("log_softmax", log_softmax, namespaces=("torch", "torch.special"))


def _implicit_dim(name, ndim, stacklevel):
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
                  "dim=X as an argument.", stacklevel=stacklevel + 2)
    return 0 if ndim in (0, 1, 3) else 1


def _functional(name, fn, sign=1):
    def function(input, dim=None, _stacklevel=3, dtype=None):
        if dim is None:
            dim = _implicit_dim(name, input._a.ndim, _stacklevel)
        return fn(input if sign > 0 else -input, dim, dtype)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = fn.__doc__ if sign > 0 else "softmax(-input) along `dim`."
    FUNCTIONS.setdefault("torch.nn.functional", {})[name] = function


_functional("softmax", softmax)
_functional("log_softmax", log_softmax)
_functional("softmin", softmax, -1)
