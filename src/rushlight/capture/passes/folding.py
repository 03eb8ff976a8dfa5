"""Evaluated batch normalization goes into the weights of the convolution before it, once for as long as they stay.

    convolution(x, w, b); batch_norm(., running statistics)     convolution(x, w', b')

with w' = w s, b' = (b - mean) s + shift, s = weight / sqrt(var + eps), computed in float64 and rounded once: that moves
a result by some units of its last place. Parameters are looked at in each call, by the versions of their memory; those
that the program itself changes stay as they are. A relu or hardtanh behind it becomes limits of the results, where the
convolution's kernel has such.
"""

import numpy as np

from ...tensor.storage import Storage
from ..tape import CONSTANT, OLDER, Buffer, Step, Window
from .flow import Flow, is_dense, is_last
from .pixels import limited, serves


class Folds:
    """The call that brings folded weights up to date; ``version`` goes up when it has."""

    __slots__ = ("version", "_storages", "_versions", "_entries")

    def __init__(self):
        self.version, self._storages, self._versions, self._entries = 0, [], None, []

    def add(self, arrays, storages, made):
        """Make `made` (weights, bias) of the arrays (w, b, weight, shift, mean, var, eps) whenever they change."""
        self._entries.append((arrays, made))
        self._storages += storages

    def __call__(self):
        # (Memory that was lent out may change unseen.)
        versions = [s.version if type(s) is Storage else None for s in self._storages]
        if versions == self._versions and None not in versions:
            return
        for (w, b, weight, shift, mean, var, eps), (to, bias) in self._entries:
            scale = 1 / np.sqrt(var.astype(np.float64) + eps)
            if weight is not None:
                scale *= weight
            to[...] = w * scale.reshape((-1,) + (1,) * (w.ndim - 1))
            level = -mean * scale if b is None else (b - mean) * scale
            bias[...] = level if shift is None else level + shift
        self._versions = versions
        self.version += 1


def folded(steps, visible, number):
    """The steps with evaluated normalizations of channels-last images folded, or as steps by elements."""
    if not any(_evaluated(s) for s in steps):
        return steps
    flow, folds, at, drop = Flow(steps, visible), Folds(), {}, set()
    for i, step in enumerate(steps):
        if not _evaluated(step) or not all(_unread(flow, o) for o in step.outs[1:]):
            continue
        k = _before(flow, step, i)
        if k is not None and k not in at:
            at[k] = [_merged(steps[k], step, folds)]
            drop.add(i)
            limits = _limits(flow, step.outs[0])
            if limits is not None and serves(at[k][0]):
                j, low, high = limits
                at[k] = [limited(at[k][0], steps[j].outs[0], low, high)]
                drop.add(j)
        elif step.args[0].dtype == np.float32:
            at[i] = _by_elements(step, number)
    found = []
    for i, step in enumerate(steps):
        found += at[i] if i in at else [] if i in drop else [step]
    return [Step("thunk", "fold", folds, [], []), *found] if folds._entries else found


def _evaluated(step):
    return step.label == "batch_norm" and step.kind == "kernel" and not step.args[5] and is_last(step.args[0]) and \
        is_last(step.outs[0]) and not is_dense(step.args[0])


def _unread(flow, w):
    return not flow.read(w) and id(w.buffer) not in flow.visible


def _before(flow, step, i):
    """The index of the convolution whose weights take in the normalization, step `i`; or None."""
    x = step.args[0]
    k = flow.maker(x)
    if k is None or not flow.only(x, i):
        return None
    s = flow.steps[k]
    if s.label != "convolution" or s.kind != "kernel" or s.outs[0].key() != x.key() or x.dtype != np.float32:
        return None
    given = [s.args[1], s.args[2], *step.args[1:5]]
    return k if all(v is None or v.buffer.origin is OLDER and is_dense(v) and v.dtype == x.dtype and
                    id(v.buffer) not in flow.writers and type(v.buffer.tensor._storage) is Storage
                    for v in given) and step.args[3] is not None else None


def _limits(flow, y):
    """(index of the step, low, high) of a relu or hardtanh that alone reads y; or None."""
    readers = flow.read(y)
    if len(readers) != 1 or not flow.only(y, readers[0]):
        return None
    s = flow.steps[readers[0]]
    if s.kind != "pointwise" or s.label not in ("relu", "hardtanh") or len(s.outs) != 1 or \
            sum(isinstance(a, Window) for a in s.args) != 1 or flow.maker(s.outs[0]) != readers[0] or \
            s.args[0].key() != y.key() or s.outs[0].key()[1:] != y.key()[1:]:
        return None
    return readers[0], *([0.0, np.inf] if s.label == "relu" else map(float, s.args[1:]))


def _merged(convolution, norm, folds):
    """The convolution by folded weights."""
    w, b = convolution.args[1:3]
    weight, shift, mean, var = norm.args[1:5]
    given = [w, b, weight, shift, mean, var]
    made = [_constant(x.shape, w.dtype, folds) for x in (w, mean)]
    folds.add((*[None if v is None else _array(v) for v in given], norm.args[6]),
              [v.buffer.tensor._storage for v in given if v is not None], [a for _, a in made])
    args = [convolution.args[0], *[x for x, _ in made], *convolution.args[3:]]
    return Step("kernel", "convolution", convolution.call, args, norm.outs[:1], convolution.detail)


def _array(w):
    item = w.dtype.itemsize
    return np.ndarray(w.shape, w.dtype, w.buffer.tensor._storage.bytes(), w.offset * item,
                      [s * item for s in w.strides])


def _constant(shape, dtype, folds):
    """(window, array) of memory that lasts."""
    a = np.zeros(shape, dtype)
    b = Buffer.__new__(Buffer)
    b.origin, b.key, b.tensor, b.storage, b.written = CONSTANT, f"f{id(a)}", None, folds, 0
    b.initial = a.reshape(-1).view(np.uint8)
    b.initial.flags.writeable = False
    return Window(b, a.dtype, a.shape, tuple([s // a.itemsize for s in a.strides]), 0, 0), a


def _by_elements(step, number):
    """A normalization as a step by elements, behind one that makes its factors."""
    from ...compiler import pointwise_kernel
    from ...compiler import scalar as s
    from ...dtypes import from_np
    from .epilogues import line, vector
    from .fuse import joined
    x, w, b, mean, var, _, eps = step.args
    factors = [vector(x.dtype, x.shape[1], number) for _ in range(2)]
    own = [Window(v.buffer, v.dtype, (x.shape[1],) + (1,) * (len(x.shape) - 2), (1,) + (0,) * (len(x.shape) - 2), 0, 0)
           for v in factors]
    e, d = s.fma(s.input(0), s.input(1), s.input(2)), from_np(x.dtype)
    kernel = pointwise_kernel((e,), [d.name] * 3, [], [d.name], d.name).call
    return [line(factors, w, b, mean, var, eps),
            Step("pointwise", "evaluated batch_norm", kernel, [x, *own], step.outs[:1], joined((e,), d))]
