"""Matrix products of arrays: the generated GEMM for float32 and float64, NumPy for the rest."""

import numpy as np

_gemm = None


def _native():
    global _gemm
    if _gemm is None:
        try:
            from ..compiler import available
            from ..compiler.templates.gemm import gemm
            _gemm = gemm if available() else False
        except ImportError:
            _gemm = False
    return _gemm


_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def product(a, b, out):
    """``out[...] = a @ b`` for 2-D arrays, or stacks with broadcasting leading dimensions."""
    if out.dtype in _FLOATS and a.ndim <= 3 and b.ndim <= 3 and out.size:
        gemm = _native()
        if gemm:
            gemm(out, a, b)
            return
    if a.ndim == 4 and out.dtype in _FLOATS and out.size and _native():
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                _gemm(out[i, j], a[i if a.shape[0] > 1 else 0, j], b[i, j])
        return
    np.matmul(a, b, out=out)
