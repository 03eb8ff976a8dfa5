"""Arrays and masks: elements where a mask is true packed together, spread out, and their positions."""

import numpy as np

from ..compiler import available
from ..runtime.allocator import empty
from ..tensor import watch

_LONG = np.dtype(np.int64)
_SIZES = (1, 2, 4, 8, 16)
_FEW = 512                  # elements for which NumPy starts sooner than our kernels


def packed(a, mask):
    """``a[mask]`` for arrays of one shape."""
    return a[mask] if a.size <= _FEW else Mask(mask).pack(a)


class Mask:
    """A mask made ready: its bytes in C order, how many are true (`total`), and how many before each tile."""

    __slots__ = ("array", "total", "counts", "shift", "shape")

    def __init__(self, mask):
        self.shape = mask.shape
        self.array = mask if mask.flags.c_contiguous else np.ascontiguousarray(mask)
        self.counts = None
        if mask.size > _FEW and available():
            from ..compiler.templates import masks
            self.shift, n = masks.tiles(mask.size)
            self.counts = np.empty(n, _LONG)
            self.total = masks.counter()(self.array, self.counts, mask.size, self.shift)
        else:
            self.total = int(np.count_nonzero(mask))

    def pack(self, a):
        """``a[mask]`` for an array of the mask's shape."""
        if self.counts is None or a.itemsize not in _SIZES:
            return a[self.array.reshape(self.shape)]
        from ..compiler.templates.masks import mover
        from .copy import fresh
        if not a.flags.c_contiguous:
            a = fresh(a)
        out = empty((self.total,), a.dtype)
        mover("pack", a.itemsize)(out, a, self.array, self.counts, a.size, self.shift)
        return out

    def spread(self, a, v):
        """``a[mask] = v`` for an array of the mask's shape and a C-order vector of at least `total` elements."""
        if self.counts is None or a.itemsize not in _SIZES or not a.flags.c_contiguous:
            a[self.array.reshape(self.shape)] = v[:self.total]
            return
        from ..compiler.templates.masks import mover
        mover("spread", a.itemsize)(a, v, self.array, self.counts, a.size, self.shift)

    def positions(self):
        """Positions of the trues in the flattened mask."""
        return self.coordinates((self.array.size,))[0]

    def coordinates(self, shape=None, by_element=False):
        """Coordinates of the trues: (dimensions, total), or (total, dimensions) if `by_element`."""
        shape = self.shape if shape is None else shape
        dims = len(shape)
        out = empty((self.total, dims) if by_element else (dims, self.total), _LONG)
        if self.counts is None:
            found = np.nonzero(self.array.reshape(shape))
            (out.T if by_element else out)[...] = found
            return out
        from ..compiler.templates.masks import finder
        steps = (dims, 1) if by_element else (1, self.total)
        finder()(out, self.array, self.counts, self.array.size, self.shift, *steps, *shape)
        return out


_fills = {}


def fill(out, a, mask, value):
    """``out = a`` with the number `value` (or a 0-dim array) where the mask, which broadcasts, is True; `out` may be
    `a`."""
    if out.nbytes < _SMALL and watch.observer is None:
        if out is not a:
            out[...] = a
        if type(value) is float and out.dtype.kind == "f":
            np.copyto(out, value, "same_kind", mask)
            return
        with np.errstate(all="ignore"):
            np.copyto(out, value, where=mask, casting="unsafe")
        return
    d = out.dtype
    kernel = _fills.get(d)
    if kernel is None:
        kernel = _fills[d] = _fill_kernel(d)
    if not kernel:
        with np.errstate(all="ignore"):
            if out is not a:
                np.copyto(out, a)
            np.copyto(out, value, where=mask, casting="unsafe")
        return
    if watch.observer is not None and type(value) is np.ndarray:
        watch.observer.fail()               # the kernel is told what the array holds
    # The number as an element, for the kernel's scalar: bits, so that nothing is converted twice.
    element = np.empty((), d)
    with np.errstate(all="ignore"):
        np.copyto(element, value, casting="unsafe")
    raw = kernel[0]
    watch.launch(kernel[1], out.view(raw), a.view(raw), mask, int(element.view(raw)))


_SMALL = 1 << 11
_RAW = {1: np.dtype(np.int8), 2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def _fill_kernel(d):
    """(integer dtype of d's size, kernel that fills), or False."""
    raw = _RAW.get(d.itemsize)
    if raw is None or not available():
        return False
    from ..compiler import pointwise_kernel
    from ..compiler import scalar as s
    from ..compiler.expr import input_, scalar
    expr = s.where(input_(1, "b"), scalar(0, "i"), input_(0, "i"))
    return raw, pointwise_kernel((expr,), [raw.name, "bool"], ["int64"], [raw.name], raw.name).call
