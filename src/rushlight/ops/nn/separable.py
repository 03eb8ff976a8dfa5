"""Linear maps of planes that are separable: along each dimension an output is a weighted sum of a few inputs.

Interpolation, pooling by means and borders made of the input are such maps, and so are their adjoints, whose tables
are the transposed ones. A dimension is a ``Taps``; ``apply`` runs the kernel (``compiler.templates.resample``).
"""

import math

import numpy as np

from ...runtime.allocator import empty
from ...tensor import watch
from ..reduce_common import compiled
from .kernels import name_of

MOST_TAPS = 1 << 20         # of the tables of images with their channels last


class Taps:
    """A sparse matrix (out, n): entry k adds ``weight[k]`` times input ``source[k]`` to output ``target[k]``.

    ``divisor``: None, or what each output is divided by in the end.
    """

    __slots__ = ("n", "out", "target", "source", "weight", "divisor")

    def __init__(self, n, out, target, source, weight=None, divisor=None):
        self.n, self.out = n, out
        self.target, self.source = np.asarray(target, np.int64), np.asarray(source, np.int64)
        self.weight = np.ones(len(self.target)) if weight is None else np.asarray(weight, np.float64)
        self.divisor = divisor

    @classmethod
    def of_rows(cls, n, index, weights=None):
        """From arrays (taps, out) of input numbers (-1 for none) and weights (None: 1)."""
        taps, out = index.shape
        source, there = index.reshape(-1), (index >= 0).reshape(-1)
        target = np.tile(np.arange(out), taps)[there]
        return cls(n, out, target, source[there], None if weights is None else weights.reshape(-1)[there]).sorted()

    def sorted(self):
        order = np.argsort(self.target, kind="stable")
        self.target, self.source, self.weight = self.target[order], self.source[order], self.weight[order]
        return self

    def transposed(self):
        weight = self.weight if self.divisor is None else self.weight / np.asarray(self.divisor)[self.target]
        return Taps(self.out, self.n, self.source, self.target, weight).sorted()

    def starts(self):
        return np.searchsorted(self.target, np.arange(self.out + 1)).astype(np.int64)

    def times(self, inner):
        """The map of two dimensions in one, this one being the slower."""
        target = (self.target[:, None] * inner.out + inner.target).reshape(-1)
        source = (self.source[:, None] * inner.n + inner.source).reshape(-1)
        weight = (self.weight[:, None] * inner.weight).reshape(-1)
        divisor = None
        if self.divisor is not None:
            divisor = (np.asarray(self.divisor)[:, None] * np.asarray(inner.divisor)).reshape(-1)
        return Taps(self.n * inner.n, self.out * inner.out, target, source, weight, divisor).sorted()


class Plan:
    """Tables and words of the kernel for the dimensions' maps, all the same for any number of planes."""

    __slots__ = ("maps", "dtype", "channels", "shape", "divides", "tables", "rows", "columns", "kernel", "work_width",
                 "real", "known")

    def __init__(self, maps, dtype):
        from ...compiler.templates import resample as template
        real = np.float64 if dtype == "float64" else np.float32
        self.maps, self.dtype, self.channels, self.known = maps, dtype, {}, {}
        self.shape = tuple([m.out for m in maps])
        *outer, columns = maps
        rows = Taps(1, 1, [0], [0], None, None if columns.divisor is None else np.ones(1))
        for m in outer:
            rows = rows.times(m)
        self.divides = columns.divisor is not None
        self.rows, self.columns, self.real = rows, columns, np.dtype(real)
        lanes = template.lanes_of(dtype)
        cp, ci, cw, cm, cb = _groups(columns, lanes, template, template.permutes(dtype))
        # One more weight than there are: the kernel looks at the first of a row's, if any.
        self.tables = (rows.starts(), rows.source, np.append(rows.weight, 0).astype(real), cp, ci,
                       cw.astype(real), cm, cb, rows.divisor.astype(real) if self.divides else None,
                       np.asarray(columns.divisor, real) if self.divides else None)
        self.tables = tuple([t if t is None else watch.fixed(np.array(t)) for t in self.tables])
        self.kernel = template.resample(dtype, self.divides)
        self.work_width = columns.n if columns.n * real().itemsize > template.STACK - 256 else 0

    def channels_last(self, x):
        """The array with its channels behind, where that is how it lies in memory; else None."""
        n = len(self.maps)
        if n < 2 or x.ndim != n + 2 or x.flags.c_contiguous or not x.size:
            return None
        last = np.moveaxis(x, 1, -1)
        if not last.flags.c_contiguous or math.prod(len(m.target) for m in self.maps) > MOST_TAPS:
            return None
        return last

    def with_channels(self, c):
        """The plan of the same maps on images whose channels come last."""
        plan = self.channels.get(c)
        if plan is None:
            numbers = np.arange(c)
            divisor = np.ones(c) if self.divides else None
            plan = self.channels[c] = Plan([*self.maps, Taps(c, c, numbers, numbers, None, divisor)], self.dtype)
        return plan

    def words(self, planes):
        """(words, tiles) for a number of planes."""
        found = self.known.get(planes)
        if found is None:
            found = self.known[planes] = self._words(planes)
        return found

    def _words(self, planes):
        from struct import pack
        out = self.rows.out
        blocks = 1 if planes >= 16 else min(out, -(-16 // max(planes, 1)))
        block = -(-out // blocks)
        blocks = -(-out // block)
        work = planes * (out * self.columns.out + len(self.rows.source) * self.columns.n)
        return pack("9q", planes * blocks, work, self.rows.n, self.columns.n, out, self.columns.out,
                    len(self.tables[6]), blocks, block), planes * blocks

    def __call__(self, x):
        """The map of the last dimensions of a float array, or of images with their channels last."""
        last = self.channels_last(x)
        if last is not None:
            plan = self.with_channels(x.shape[1])
            return np.moveaxis(plan(last), -1, 1)
        lead = x.shape[:x.ndim - len(self.shape)]
        y = empty(lead + self.shape, x.dtype)
        if y.size:
            words, tiles = self.words(math.prod(lead))
            work = empty((tiles, self.work_width), self.real) if self.work_width else None
            x = x if x.flags.c_contiguous else np.ascontiguousarray(x)
            watch.launch(self.kernel, y, x, work, *self.tables, words)
        return y


def _groups(columns, lanes, template, permutes):
    """Taps of output columns a vector at a time: (starts, indices, weights, ways, bases)."""
    starts = columns.starts()
    counts = np.diff(starts)
    cp, ci, cw, cm, cb = [0], [], [], [], []
    for q in range(0, columns.out, lanes):
        width = min(lanes, columns.out - q)
        most = int(counts[q:q + width].max(initial=0))
        index = np.full((most, lanes), -1, np.int32)
        weight = np.zeros((most, lanes))
        for k in range(most):
            has = np.flatnonzero(counts[q:q + width] > k)
            at = starts[q + has] + k
            index[k, has], weight[k, has] = columns.source[at], columns.weight[at]
        way, base = template.GATHER, 0
        used = index[index >= 0]
        if most == 1 and len(used) == width and (weight[0, :width] == 1).all() and \
                (np.diff(index[0, :width]) == 1).all():
            way, base = template.PLAIN, int(index[0, 0])
        elif permutes and len(used) and used.max() - used.min() < 2 * lanes:
            way, base = template.PERMUTE, int(used.min())
            index = np.where(index >= 0, index - base, -1).astype(np.int32)
        cp.append(cp[-1] + most)
        ci.append(index)
        cw.append(weight)
        cm.append(way)
        cb.append(base)
    empty_index, empty_weight = np.zeros((0, lanes), np.int32), np.zeros((0, lanes))
    return (np.array(cp, np.int64), np.concatenate(ci or [empty_index]), np.concatenate(cw or [empty_weight]),
            np.array(cm, np.int64), np.array(cb, np.int64))


def supported(np_dtype):
    """Whether there is a kernel for arrays of this type."""
    return np_dtype.kind != "c" and np_dtype.kind not in "iub" and compiled() and name_of(np_dtype) in (
        "float16", "bfloat16", "float32", "float64")
