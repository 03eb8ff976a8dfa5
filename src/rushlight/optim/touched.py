"""The plan of SparseAdam's step (see ``compiler/templates/rows_touched``)."""

import math

import numpy as np

from rushlight.optim import phased
from rushlight.sparse.arrays import Coo

_TOO_MANY = 1 << 31     # entries of a gradient and rows of a parameter that are told apart


def is_plain(p, g):
    """Whether a parameter and its sparse gradient can take part in a native step."""
    c = g._a
    if type(c) is not Coo or g.dtype is not p.dtype or not phased.is_plain(p, p) or c.shape != p._a.shape:
        return False
    indices, values = c.indices._a, c.values._a
    return (type(indices) is np.ndarray and type(values) is np.ndarray and c.values.dtype is p.dtype
            and indices.flags.c_contiguous and values.flags.c_contiguous and indices.dtype == np.int64
            and not c.values._bits and max(c.nnz, p._a.size) < _TOO_MANY and 0 < c.sparse_dim)


class TouchedPlan(phased.Plan):
    """A plan whose gradients have any number of entries; ``sets`` are (p, exp_avg, exp_avg_sq, sparse dimensions)."""

    def __init__(self, sets):
        from rushlight.compiler.templates import phases, rows_touched

        t = self.t = rows_touched
        self.params = np.zeros((len(sets), t.PARAM_WORDS), np.int64)
        self.marks, self.links, self.sizes = [], [None] * len(sets), []
        numbers = np.zeros(t.NUMBERS)
        for words, (p, m, v, dims) in zip(self.params, sets, strict=True):
            rows = math.prod(p.shape[:dims])
            self.marks.append(np.zeros(rows, np.int32))
            self.sizes.append(np.array(p.shape[:dims], np.int64))
            words[[t.P, t.M, t.V]] = [a.ctypes.data for a in (p, m, v)]
            words[[t.D, t.DIMS, t.SIZES, t.MARK]] = (p.size // rows, dims, self.sizes[-1].ctypes.data,
                                                     self.marks[-1].ctypes.data)
        self.context = np.array([self.params.ctypes.data, numbers.ctypes.data], np.int64)
        start, step = self.params.ctypes.data, self.params.strides[0]
        arrays = [(start + i * step + 8 * word, 0) for i in range(len(sets)) for word in (t.INDICES, t.VALUES)]
        words = phases.plan_of(arrays, [(t.task(sets[0][0].dtype.name), self.context.ctypes.data,
                                         len(sets) * t.PARTS, 0)])
        # Where the sizes of the arrays and the phase's work are told.
        self.counts, self.work = slice(phases.HEAD + 1, phases.HEAD + 2 * len(arrays), 2), len(words) - 1
        self.total = phases.TOTAL
        super().__init__(words, numbers, sets)

    def step(self, gradients, sizes):
        """Do the step with these ``Coo`` and step sizes; IndexError where an index is outside of its parameter."""
        t, params = self.t, self.params
        arrays, counts = [], []
        for k, c in enumerate(gradients):
            self.room(k, c.nnz)
            arrays += [c.indices._a, c.values._a]
        counts = [a.size for a in arrays]
        self.words[self.counts] = counts
        self.words[self.work] = self.words[self.total] = sum(counts)
        params[:, t.ENTRIES] = [c.nnz for c in gradients]
        params[:, t.SIZE] = np.array(sizes, np.float64).view(np.int64)
        params[:, t.OUTSIDE] = 0
        if not self.run(arrays):
            return False
        if params[:, t.OUTSIDE].any():
            raise IndexError("a sparse gradient has indices outside of its parameter")
        return True

    def room(self, k, entries):
        """See that there is memory for so many entries' links."""
        t = self.t
        if self.links[k] is None or self.links[k].shape[1] < entries:
            self.links[k] = np.zeros((3, entries), np.int32)
            at, step = self.links[k].ctypes.data, self.links[k].strides[0]
            self.params[k, [t.NEXT, t.LAST, t.AFTER]] = at, at + step, at + 2 * step
