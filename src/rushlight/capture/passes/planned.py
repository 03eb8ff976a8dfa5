"""Native products and convolutions as steps over memory that is there, with finishing functions or without.

The callables are made once a program, for shapes that are known: a call fills in addresses and goes.
"""

import math

import numpy as np

from ...runtime.allocator import empty
from ...tensor.storage import Storage
from ..tape import OLDER, Step, Window
from .flow import is_dense
from .layout import turned

_SUMS = {"convolution": "forward", "conv_input": "adjoint_input", "convolution_transposed": "adjoint_input"}
_HEADER = 3                     # words of ``conv_product.FINISH``
_LINE = 64
_WORKSPACE = 8 << 20            # bytes
_FEWEST_ROWS = 64               # of a weight's gradient that are made by themselves
_MOST_POSITIONS = 1 << 12       # of a result: with more, packing is a small part of the work
_FEWEST_WEIGHTS = 1 << 12


class Finish:
    """A finishing function with its context: words before the operands' addresses are known.

    steps: for each operand, bytes from matrix to matrix, row to row, column to column; out_steps: the first two of the
    result; dims: for each operand, bytes along the dimensions of the result.
    """

    __slots__ = ("function", "words", "dims")

    def __init__(self, function, out_steps, steps, dims):
        words = [function, 0, 0, 0, *out_steps]
        for s in steps:
            words += [0, *s]
        self.function, self.words, self.dims = function, np.array(words, np.int64), dims


def _address(a):
    return a.__array_interface__["data"][0]


def product(call, finish, apart):
    """``run(out, a, b, bias, *operands)``; with `apart` ``run(sums, out, a, ...)``, which keeps the sums as well."""
    words = finish.words
    context, function = _address(words) + 8 * _HEADER, finish.function

    def finished(sums, out, a, b, bias, *operands):
        words[3] = _address(out)
        at = 6
        for x in operands:
            words[at] = _address(x)
            at += 4
        call(sums, a, b, bias, 1.0, False, None, 0.0, function, context)

    def alone(out, a, b, bias, *operands):
        # (A result of 0 stands for the sums themselves.)
        at = 6
        for x in operands:
            words[at] = _address(x)
            at += 4
        call(out, a, b, bias, 1.0, False, None, 0.0, function, context)
    return finished if apart else alone


class Packed:
    """Weights of a convolution in the order in which its kernels read them, as long as they stay what they are.

    For memory whose changes all raise the version of its storage: memory that was lent out isn't packed.
    """

    __slots__ = ("storage", "version", "entries", "memory")

    def __init__(self, storage, entries, memory):
        self.storage, self.version, self.entries, self.memory = storage, None, entries, memory

    def get(self, w):
        """The arrays of packed weights, one for each of `entries`; None if `w` may change unseen."""
        storage = self.storage
        if type(storage) is not Storage:
            return None
        version = storage.version
        if version != self.version:
            for (_, _, plan), memory in zip(self.entries, self.memory, strict=True):
                plan.call(None, None, w, None, plan.words, None, memory)
            self.version = version
        return self.memory


def _room(plan):
    """Memory for a plan's packed weights; None where it takes none."""
    if plan.packed is None:
        return None
    memory = np.empty(plan.packed + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start:start + plan.packed]


class Convolution:
    """``(y, x, w, bias, *operands)`` by the plans of `ways`; see ``ops.nn.conv_maps``."""

    __slots__ = ("ways", "name", "geometry", "finish", "packed")

    def __init__(self, ways, name, geometry, finish=None):
        self.ways, self.name, self.geometry, self.finish, self.packed = ways, name, geometry, finish, None

    def __call__(self, y, x, w, bias, *operands):
        words = () if self.finish is None else (self.finish.words,)
        if words:
            own = words[0]
            own[3] = _address(y)
            at = 6
            for v in operands:
                own[at] = _address(v)
                at += 4
        n, ways = y.shape[0], self.ways
        packed = None if self.packed is None else self.packed.get(w)
        entries = (ways.quick or ways.direct()) if packed is None else self.packed.entries
        if ways.gaps:
            y[...] = 0 if bias is None else bias.reshape((-1,) + (1,) * (y.ndim - 2))
        for i, (first, count, plan) in enumerate(entries):
            if words:
                own[2] = first
            part = (y, x) if count == n else (y[first:first + count], x[first:first + count])
            more = words if packed is None else (*(words or (None,)), packed[i])
            if plan.call(*part, w, bias, plan.words, *more):
                return self._unbounded(y, x, w, bias, operands)

    def _unbounded(self, y, x, w, bias, operands):
        """The direct way, where the quick one has met an infinity."""
        from ...ops.nn.conv_finish import _finished
        function, dims = (0, ()) if self.finish is None else (self.finish.function, self.finish.dims)
        laid = [np.lib.stride_tricks.as_strided(v, y.shape, d) for v, d in zip(operands, dims, strict=True)]
        _finished(self.name, y, function, laid, x, w, bias, self.geometry)


def convolutions(steps):
    """The steps with convolutions in the usual layout as `Convolution` calls, large gradients of weights in parts."""
    return turned([_planned(s) or _in_parts(s) or s for s in steps])


def _planned(step):
    if step.kind != "kernel" or step.label not in _SUMS:
        return None
    x, w = step.args[:2]
    y = step.outs[0]
    bias, rest = (None, step.args[2:]) if step.label == "conv_input" else (step.args[2], step.args[3:])
    operands = [v for v in (y, x, w, bias) if v is not None]
    if not all(is_dense(v) and v.dtype == y.dtype and 0 not in v.shape for v in operands):
        return None
    name = _SUMS[step.label]
    ways = _ways(name, y, x, w, *rest)
    if ways is None or not (ways.quick or ways.direct()):
        return None
    return Step("into", step.label, Convolution(ways, name, tuple(rest)), [x, w, bias], [y], source=(_planned, [step]))


def pack(steps, flow):
    """Let convolutions by weights that a program without gradients only reads keep them packed."""
    for step in steps:
        if step.kind == "into" and type(step.call) is Convolution:
            x, w = step.args[:2]
            y, ways = step.outs[0], step.call.ways
            positions = y.shape[0] * min(math.prod(y.shape[2:]), math.prod(x.shape[2:]))
            if w.buffer.origin is not OLDER or positions > _MOST_POSITIONS or math.prod(w.shape) < _FEWEST_WEIGHTS or \
                    id(w.buffer) in flow.writers:
                continue
            entries = _filtered(ways, y) or ways.quick or ways.direct()
            memory = [_room(plan) for _, _, plan in entries]
            if not any(m is None for m in memory):
                step.call.packed = Packed(w.buffer.tensor._storage, entries, memory)


def _filtered(ways, y):
    """Plans of minimal filtering where they pay only because weights aren't transformed each time."""
    from ...ops.nn import winograd_plans
    if len(ways._shapes) != 1 or not ways.finishes:
        return None
    shape = ways._shapes[0]
    squares = y.shape[0] * math.prod([-(-m // 2) for m in y.shape[2:]])
    return winograd_plans.product(*shape) if squares >= 32 and winograd_plans.form(*shape) else None


def _ways(name, y, x, w, *geometry):
    """The plans that eager mode takes for these windows; None where it goes other ways."""
    from ...ops.nn import conv_maps, conv_plans, conv_points, depthwise_plans
    kind, kernel = conv_maps._name(x.dtype), w.shape[2:]
    *size, stride, padding, dilation, groups = geometry
    if not kind or depthwise_plans.serves(w.shape[1], groups, kernel, kind) or \
            conv_points.serves(kernel, stride, padding, groups) and (x.shape[1] == 1 or set(x.shape[2:]) == {1}):
        return None
    steps = tuple(stride), tuple(padding), tuple(dilation)
    image, grid = (x, y) if name == "forward" else (y, x)
    if conv_maps._whole(kernel, image.shape[2:], grid.shape[2:], padding, groups):
        return None
    make = conv_plans.forward if name == "forward" else conv_plans.adjoint
    return make(kind, x.shape[0], groups, w.shape[0] // groups, w.shape[1], kernel, image.shape[2:], grid.shape[2:],
                *steps)


def is_product(step):
    """Whether a step is a native product of matrices ``(out, a, b[, bias])``."""
    from ...ops.products import _kernels
    if step.kind != "into" or len(step.outs) != 1:
        return False
    out = step.outs[0]
    return isinstance(out, Window) and out.dtype.str[1:] in ("f4", "f8") and _kernels.get(out.dtype) is step.call and \
        2 <= len(out.shape) <= 3 and is_dense(out)


def workspace(step):
    """Bytes that a convolution takes while it runs."""
    if type(step.call) is Convolution:
        plans = [plan for _, _, plan in step.call.ways.quick or step.call.ways.direct()]
        return max(0 if plan.apart else plan.packed or 0 for plan in plans)
    if type(step.call) is WeightGradient:
        return step.call.plan.partial * step.outs[0].dtype.itemsize
    plan = _weight_plan(step)
    return 0 if plan is None else (plan.partial or 0) * step.outs[0].dtype.itemsize


def _weight_shape(step):
    """Arguments of ``conv_plans.weight`` for a gradient of weights; None where other ways are taken."""
    from ...ops.nn import conv_maps, conv_points
    if step.label != "conv_weight" or step.kind != "kernel":
        return None
    x, g, kernel, stride, padding, dilation, groups = step.args
    name, kernel = conv_maps._name(x.dtype), tuple(kernel)
    if not name or not is_dense(x) or not is_dense(g) or x.shape[1] == groups or \
            conv_points.serves(kernel, stride, padding, groups) or \
            conv_maps._whole(kernel, x.shape[2:], g.shape[2:], padding, groups):
        return None
    return (name, x.shape[0], groups, g.shape[1] // groups, x.shape[1] // groups, kernel, x.shape[2:], g.shape[2:],
            tuple(stride), tuple(padding), tuple(dilation))


def _weight_plan(step):
    """The plan of a gradient of weights; None where there is none."""
    from ...ops.nn import conv_plans
    shape = _weight_shape(step)
    return shape and (conv_plans.weight(*shape) or conv_plans.direct_weight(*shape))


class WeightGradient:
    """``(dw, x, g)``: the gradient of weights, some of the output's channels at a time, which takes less workspace."""

    __slots__ = ("plan", "rows", "geometry")

    def __init__(self, plan, rows, geometry):
        self.plan, self.rows, self.geometry = plan, rows, geometry

    def __call__(self, dw, x, g):
        workspace, plan, rows = empty((self.plan.partial,), g.dtype), self.plan, self.rows
        for first in range(0, g.shape[1], rows):
            if plan.call(dw[first:first + rows], x, g[:, first:first + rows], workspace, plan.words):
                # The quick way has met an infinity.
                from ...ops.nn import conv_maps
                dw[...] = conv_maps.adjoint_weight(x, g, *self.geometry)
                return


def _in_parts(step):
    """A gradient of weights with a large workspace in parts, as few as it takes to make that small."""
    from ...ops.nn import conv_plans
    whole, item = _weight_plan(step), step.outs[0].dtype.itemsize if step.label == "conv_weight" else 0
    if whole is None or not whole.partial or whole.partial * item <= _WORKSPACE:
        return None
    x, g = step.args[:2]
    best = whole, g.shape[1]
    for parts in (1, 2, 4):
        rows, rest = divmod(g.shape[1], parts)
        if not rest and rows >= _FEWEST_ROWS and best[0].partial * item > _WORKSPACE:
            plan = conv_plans.weight_of_some(rows, _WORKSPACE, *_weight_shape(step))
            if plan is not None and plan.partial < best[0].partial:
                best = plan, rows
    if best[0] is whole:
        return None
    return Step("into", step.label, WeightGradient(*best, tuple(step.args[2:])), [x, g], step.outs,
                source=(_in_parts, [step]))
