"""Scans along one dimension: cumulative sum, product, extrema with indices, log-sum-exp.

    k = scan_kernel("cumsum", "float32", "float32")
    k.call(out, x, 1 << axis)                       # any strides: through dense copies
    k.dense(out, indices, x, outer, n, inner)       # C order
"""

from functools import cache

import numpy as np

KINDS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")


class ScanKernel:
    """A compiled scan: ``dense(out, indices, x, words)`` and, for any strides, ``call``.

    Kinds without indices take any array in their place.
    """

    __slots__ = ("dense", "text")

    def __init__(self, dense, text):
        self.dense, self.text = dense, text

    def call(self, *args):
        """``call(out, [indices,] x, mask)``: along the dimension whose bit is set in ``mask``."""
        *results, x, mask = args
        axis = mask.bit_length() - 1
        own = [r if r.flags.c_contiguous else np.empty(r.shape, r.dtype) for r in results]
        if x.size:
            self.dense(own[0], own[-1], np.ascontiguousarray(x), *around(x.shape, axis))
        for r, o in zip(results, own):
            if r is not o:
                r[...] = o

    def __call__(self, *args):
        return self.call(*args)

    def __repr__(self):
        return f"<scan kernel {self.text}>"


def around(shape, axis):
    """The shape as (outer, n, inner) around the axis."""
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1:]:
        inner *= n
    return outer, shape[axis], inner


@cache
def scan_kernel(kind, in_dtype, out_dtype):
    """The kernel of a scan.

    ``cumsum cumprod``: floats accumulate in float64, integers in int64.  ``logcumsumexp``: floats, in float64.
    ``cummax cummin``: values and int64 indices; the last of equal elements wins, NaN wins over all and stays.
    Dimensions of cummax and cummin have fewer than 2^32 elements.
    """
    if kind not in KINDS:
        raise ValueError(f"scan_kernel: kind must be one of {KINDS}, got {kind!r}")
    from rushlight.compiler.templates import entries

    def build():
        from rushlight.compiler.templates.scan import Scan

        return Scan(kind, in_dtype, out_dtype).text()

    text = f"scan {kind} {out_dtype} <- {in_dtype}"
    return ScanKernel(entries.load(text, build, ("rl_scan",))[0], text)
