"""What the linear algebra ops share: checks worded as PyTorch's, layouts, small tensor helpers."""

import functools

import numpy as np

from ... import dtypes
from ...dtypes import scalar_name
from ...runtime import blas
from .. import dispatch


def singular(text):
    """The error of matrices that LAPACK refuses (a RuntimeError)."""
    from ...linalg import LinAlgError
    return LinAlgError(text)


def check_float(name, t, low=True):
    """Refuse integer input and, where LAPACK is used, 16-bit floats."""
    d = t.dtype
    if d.category < dtypes.FLOAT:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got "
                           f"{scalar_name(d)}")
    if low and d.is_low_precision:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(d)}")


def check_matrix(name, t, arg="A"):
    """Refuse fewer than two dimensions."""
    if t._a.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {arg} must have at least 2 dimensions.")


def check_square(name, t, arg="A"):
    """Refuse what is not a batch of square matrices."""
    check_matrix(name, t, arg)
    m, n = t._a.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {arg} must be batches of square matrices, but they are {m} by {n} "
                           "matrices")


def check_same(name, a, b):
    """Refuse operands of two dtypes."""
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype, but found A of type "
                           f"{scalar_name(a.dtype)} and B of type {scalar_name(b.dtype)} instead")


def by_column(a):
    """Array `a` with matrices stored by columns, as LAPACK leaves them."""
    if a.ndim < 2:
        return np.ascontiguousarray(a)
    return np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)


@functools.cache
def lapack(name, dtype):
    """SciPy's function for LAPACK's routine `name` on arrays of `dtype` (a NumPy one)."""
    from scipy.linalg import lapack as routines

    return getattr(routines, {"f": "s", "d": "d", "F": "c", "D": "z"}[dtype.char] + name)


def batch_index(i, shape):
    """PyTorch's name of element `i` of a batch, empty for a single matrix."""
    return f"(Batch element {i}): " if shape else ""


def each(a):
    """The matrices of a batch with their flat number."""
    return enumerate(a.reshape(-1, *a.shape[-2:]) if a.size else ())


def primitive(*args, **kwargs):
    """`dispatch.primitive` for kernels that call LAPACK, on as many threads as the matrices are worth."""
    def put(kernel):
        @functools.wraps(kernel)
        def run(a, *rest):
            n = max(a.shape[-2:], default=0)
            blas.use_for(n, "numpy")
            blas.use_for(n, "scipy")
            return kernel(a, *rest)
        return dispatch.primitive(*args, **kwargs)(run)
    return put


def conj(t):
    """The conjugate; reals as they are."""
    return t.conj() if t.dtype.is_complex else t


def adjoint(t):
    """The conjugate transpose of the last two dimensions."""
    return conj(t.transpose(-2, -1))


def real_of(np_dtype):
    """The real type with the precision of `np_dtype`."""
    return np.zeros(0, np_dtype).real.dtype


def identity(t, n):
    """The n-by-n unit matrix in the dtype of `t`."""
    from ..creation import eye
    return eye(n, dtype=t.dtype, device=t.device)
