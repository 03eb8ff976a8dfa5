"""Inverses, determinants and systems of equations."""

import math

import numpy as np

from ... import dtypes
from ...record import Joint
from ...return_types import linalg_inv_ex, linalg_slogdet, linalg_solve_ex
from ...return_types import slogdet as slogdet_result
from ...return_types import triangular_solve as triangular_result
from ...tensor import watch
from ..matmul import matmul
from ..registry import public
from .common import (
    adjoint,
    batch_index,
    by_column,
    check_float,
    check_matrix,
    check_same,
    check_square,
    conj,
    each,
    identity,
    lapack,
    primitive,
    real_of,
    singular,
)

_LA = ("torch.linalg",)


# ---------------------------------------------------------------- inverse

def _first_zero_pivot(a):
    """1-based position of the first zero on the diagonal of U (of A = P L U), 0 if there is none."""
    from .factoring import getrf
    _, _, info = getrf(a)
    return info


def _inverse_arrays(a):
    """(inverse, info) of a batch; singular matrices give info > 0."""
    info = np.zeros(a.shape[:-2], np.int32)
    if not a.size:
        return np.empty(a.shape, a.dtype), info
    try:
        r = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        r = np.empty(a.shape, a.dtype)
        out, flat = r.reshape(-1, *a.shape[-2:]), info.reshape(-1)
        for i, m in each(a):
            flat[i] = _first_zero_pivot(m)
            out[i] = np.linalg.inv(m) if flat[i] == 0 else np.inf
    return by_column(r), info


@primitive("linalg_inv_ex(Tensor A) -> (Tensor inverse, Tensor info)",
           meta=lambda A: ((A._a.shape, A.dtype), (A._a.shape[:-2], dtypes.int32)),
           vjp={"A": lambda g0, out0: -matmul(adjoint(out0), matmul(g0, adjoint(out0)))})
def _inv(a):
    return _inverse_arrays(a)


def inverse_of(name, A, check):
    """(inverse, info), raising for singular matrices if asked."""
    check_square(name, A)
    check_float(name, A)
    r, info = _inv(A)
    if check and not A.is_meta and watch.true(np.any, info):
        i = int(np.flatnonzero(info._a.reshape(-1))[0])
        k = info._a.reshape(-1)[i]
        raise singular(f"{name}: {batch_index(i, A._a.shape[:-2])}The diagonal element {k} is zero, the "
                       "inversion could not be completed because the input matrix is singular.")
    return r, info


@public("inv", namespaces=_LA, method=False, out=True)
def inv(A):
    """The inverse of square matrices; LinAlgError if one is singular."""
    return inverse_of("linalg.inv", A, True)[0]


@public("inverse", out=True)
def inverse(input):
    """Alias of linalg.inv."""
    return inverse_of("linalg.inv", input, True)[0]


@public("inv_ex", namespaces=_LA, method=False, out=True)
def inv_ex(A, *, check_errors=False):
    """The inverse and LAPACK's info (0, or the position of a zero pivot)."""
    return linalg_inv_ex(inverse_of("linalg.inv_ex", A, check_errors))


# ---------------------------------------------------------------- determinant

def _regular(a, det):
    """Whether it is sound to divide by the matrices: LAPACK's estimates of their condition are far from 1 / epsilon."""
    a, det = (x.bottom() if hasattr(type(x), "outermost") else x for x in (a, det))
    if not np.isfinite(det).all() or not det.all():
        return False
    getrf, gecon = lapack("getrf", a.dtype), lapack("gecon", a.dtype)
    least = 16 * np.finfo(a.dtype).eps
    return all(gecon(getrf(m)[0], np.abs(m).sum(0).max())[0] > least for _, m in each(a))


def _det_gradient(g, out, A):
    """``g conj(det) A^-H``; for (nearly) singular matrices the cofactors from a singular value decomposition."""
    n = A._a.shape[-1]
    if n == 0 or not out._a.size:
        return A.new_zeros(A.shape)
    if A.is_meta or _regular(A._a, out._a):
        d = (g * conj(out)).unsqueeze(-1).unsqueeze(-1)
        eye = identity(A, n)
        return _solve_general(adjoint(A), eye.expand(A.shape)) * d
    from .spectral import _svd
    u, s, vh = _svd(A, False)
    # Products of all singular values but one, without division.
    parts = []
    for i in range(n):
        keep = [j for j in range(n) if j != i]
        parts.append(s[..., keep].prod(-1))
    from ..joining import stack
    cof = stack(parts, -1).to(u.dtype)
    phase = conj(_det(u) * _det(vh)) * g
    return matmul(u * cof.unsqueeze(-2), vh) * phase.unsqueeze(-1).unsqueeze(-1)


@primitive("linalg_det(Tensor A) -> Tensor", vjp={"A": lambda g, out, A: _det_gradient(g, out, A)})
def _det(a):
    if a.shape[-1] == 0:
        return np.ones(a.shape[:-2], a.dtype)
    return np.asarray(np.linalg.det(a))


@public("det", namespaces=("torch", "torch.linalg"), out=True)
def det(A):
    """The determinant of square matrices."""
    check_square("linalg.det", A)
    check_float("linalg.det", A)
    return _det(A)


def _slogdet_gradient(g0, g1, out0, A):
    if not A.dtype.is_complex:
        g = g1
    else:
        g = g1 - (conj(g0) * out0).imag * 1j
    eye = identity(A, A._a.shape[-1])
    inverse = _solve_general(adjoint(A), eye.expand(A.shape))
    return (inverse * g.unsqueeze(-1).unsqueeze(-1),)


@primitive("linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)",
           vjp=Joint(_slogdet_gradient))
def _slogdet(a):
    if a.shape[-1] == 0:
        return np.ones(a.shape[:-2], a.dtype), np.zeros(a.shape[:-2], real_of(a.dtype))
    sign, log = np.linalg.slogdet(a)
    return np.asarray(sign), np.asarray(log)


def _slogdet_checked(A):
    check_square("linalg.slogdet", A)
    check_float("linalg.slogdet", A)
    return _slogdet(A)


@public("slogdet", namespaces=_LA, method=False, out=True)
def linalg_slogdet_(A):
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    return linalg_slogdet(_slogdet_checked(A))


@public("slogdet", out=True)
def slogdet(input):
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    return slogdet_result(_slogdet_checked(input))


@public()
def logdet(input):
    """The logarithm of the determinant (NaN where it is negative)."""
    check_square("logdet", input)
    check_float("logdet", input)
    sign, log = _slogdet(input)
    if input.dtype.is_complex:
        return sign.log() + log
    return log.where(sign != -1, log.new_full((), float("nan")))


# ---------------------------------------------------------------- solve

def _solve_gradient(g0, out0, A):
    gb = _solve_general(adjoint(A), g0)
    if out0._a.ndim < A._a.ndim:
        ga = -gb.unsqueeze(-1) * conj(out0).unsqueeze(-2)
    else:
        ga = -matmul(gb, adjoint(out0))
    return ga, gb


def _solve_meta(A, B):
    batch = np.broadcast_shapes(A._a.shape[:-2], B._a.shape[:-2])
    return ((*batch, *B._a.shape[-2:]), B.dtype), (A._a.shape[:-2], dtypes.int32)


@primitive("linalg_solve_ex(Tensor A, Tensor B) -> (Tensor result, Tensor info)", meta=_solve_meta,
           node="LinalgSolveExBackward0",
           vjp=Joint(lambda g0, out0, A, B_shape: _solve_gradient(g0, out0, A)))
def _solve(a, b):
    info = np.zeros(a.shape[:-2], np.int32)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, *b.shape[-2:])
    if 0 in shape or not a.size:
        return np.zeros(shape, a.dtype), info
    try:
        return by_column(np.linalg.solve(a, b)), info
    except np.linalg.LinAlgError:
        flat = info.reshape(-1)
        for i, m in each(a):
            flat[i] = _first_zero_pivot(m)
        return np.full(shape, np.nan, a.dtype), info


def _solve_general(A, B):
    """The solution of ``A X = B`` for matrices `B`, unchecked."""
    return _solve(A, B)[0]


def is_vector_case(A, B):
    """Whether B is a batch of vectors to A's batch of matrices (NumPy 1's rule, PyTorch's still)."""
    a, b = A._a.shape, B._a.shape
    return len(b) == 1 or (len(a) - 1 == len(b) and a[:-1] == b)


def _solve_checked(name, A, B, left, check):
    check_square(name, A)
    check_float(name, A)
    check_same(name, A, B)
    vector = is_vector_case(A, B)
    if vector and not left:
        raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for "
                           "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)")
    b = B.unsqueeze(-1) if vector else B
    if b._a.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    k = -2 if left else -1
    n = A._a.shape[-1]
    if b._a.shape[k] != n:
        eq = "AX = B" if left else "XA = B"
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {eq} ({n}x{n} and "
                           f"{b._a.shape[-2]}x{b._a.shape[-1]})")
    if left:
        x, info = _solve(A, b)
    else:
        x, info = _solve(A.transpose(-2, -1), b.transpose(-2, -1))
        x = x.transpose(-2, -1)
    if check and not A.is_meta and watch.true(np.any, info):
        i = int(np.flatnonzero(info._a.reshape(-1))[0])
        raise singular(f"torch.linalg.solve: {batch_index(i, A._a.shape[:-2])}The solver failed because "
                       "the input matrix is singular.")
    return (x.squeeze(-1) if vector else x), info


@public("solve", namespaces=_LA, method=False, out=True)
def solve(A, B, *, left=True):
    """The solution X of ``A X = B`` (or ``X A = B``) for square A; LinAlgError if A is singular."""
    return _solve_checked("linalg.solve", A, B, left, True)[0]


@public("solve_ex", namespaces=_LA, method=False, out=True)
def solve_ex(A, B, *, left=True, check_errors=False):
    """The solution and LAPACK's info (0, or the position of a zero pivot)."""
    return linalg_solve_ex(_solve_checked("linalg.solve", A, B, left, check_errors))


# ---------------------------------------------------------------- triangular systems

def _part(t, upper, unit):
    if upper:
        return t.triu(1 if unit else 0)
    return t.tril(-1 if unit else 0)


def _triangular_gradient(g, out, A, upper, left, unitriangular):
    gb = _solve_triangular(adjoint(A), g, not upper, left, unitriangular)
    ga = -matmul(gb, adjoint(out)) if left else -matmul(adjoint(out), gb)
    return _part(ga, upper, unitriangular), gb


def _triangular_meta(A, B, upper, left, unitriangular):
    batch = np.broadcast_shapes(A._a.shape[:-2], B._a.shape[:-2])
    return (*batch, *B._a.shape[-2:]), B.dtype


@primitive("linalg_solve_triangular(Tensor self, Tensor B, bool upper, bool left, bool unitriangular) "
           "-> Tensor", meta=_triangular_meta,
           vjp=Joint(lambda g, out, self, B_shape, upper, left, unitriangular:
                     _triangular_gradient(g, out, self, upper, left, unitriangular)))
def _solve_triangular(a, b, upper, left, unitriangular):
    if a.ndim == 2 and b.ndim == 2 and b.size:
        return _triangular(a, b, upper, unitriangular) if left else _triangular(a.T, b.T, not upper, unitriangular).T
    batch = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rows, columns = b.shape[-2:]
    if not (math.prod(batch) and rows and columns):
        return np.empty((*batch, rows, columns), b.dtype)
    a = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    b = np.broadcast_to(b, (*batch, rows, columns)).reshape(-1, rows, columns)
    out = np.empty((len(a), columns, rows) if left else b.shape, b.dtype)
    for i in range(len(a)):
        x = _triangular(a[i], b[i], upper, unitriangular) if left else \
            _triangular(a[i].T, b[i].T, not upper, unitriangular)
        out[i] = x.T
    return out.reshape(*batch, columns, rows).swapaxes(-1, -2) if left else out.reshape(*batch, rows, columns)


def _triangular(a, b, upper, unit):
    """The solution of ``a x = b`` by columns."""
    x, info = lapack("trtrs", b.dtype)(a, b, not upper, 0, unit)
    # Unlike LAPACK's driver PyTorch's divides by a zero on the diagonal.
    return np.asfortranarray(_substitute(a, b, upper, unit)) if info > 0 else x


def _substitute(a, b, upper, unit):
    x = np.array(b)
    n = len(a)
    with np.errstate(all="ignore"):
        for i in (range(n - 1, -1, -1) if upper else range(n)):
            k = slice(i + 1, n) if upper else slice(0, i)
            x[i] -= a[i, k] @ x[k]
            if not unit:
                x[i] /= a[i, i]
    return x


@public("solve_triangular", namespaces=_LA, method=False, out=True)
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """The solution of ``A X = B`` (or ``X A = B``) for triangular A, whose other half is not read."""
    name = "linalg.solve_triangular"
    check_same(name, A, B)
    check_square(name, A)
    check_matrix(name, B, "B")
    check_float(name, A)
    k = -2 if left else -1
    if A._a.shape[-1] != B._a.shape[k]:
        eq = "AX = B" if left else "XA = B"
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {eq} "
                           f"({A._a.shape[-2]}x{A._a.shape[-1]} and {B._a.shape[-2]}x{B._a.shape[-1]})")
    return _solve_triangular(A, B, upper, left, unitriangular)


@public("triangular_solve", out=True)
def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):
    """The solution of a triangular system and a copy of A (deprecated: linalg.solve_triangular)."""
    check_same("triangular_solve", A, input)
    check_square("triangular_solve", A)
    check_matrix("triangular_solve", input, "B")
    a = adjoint(A) if transpose else A
    if A._a.shape[-1] != input._a.shape[-2]:
        raise RuntimeError("triangular_solve: Incompatible matrix sizes for triangular_solve: each A "
                           f"matrix is {A._a.shape[-1]} by {A._a.shape[-1]} but each b matrix is "
                           f"{input._a.shape[-2]} by {input._a.shape[-1]}")
    x = _solve_triangular(a, input, upper != transpose, True, unitriangular)
    batch = x._a.shape[:-2]
    return triangular_result((x, A.expand(*batch, *A._a.shape[-2:]).clone()))


# ---------------------------------------------------------------- systems in tensors

@public("tensorinv", namespaces=_LA, method=False, out=True)
def tensorinv(A, ind=2):
    """The inverse of A seen as a matrix from its last dimensions to its first `ind`."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = A._a.shape
    m = n = 1
    for s in shape[:ind]:
        m *= s
    for s in shape[ind:]:
        n *= s
    if m != n:
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           f"prod(self.shape[:ind]), but got {n} != {m}")
    return inv(A.reshape(m, n)).reshape(*shape[ind:], *shape[:ind])


@public("tensorsolve", namespaces=_LA, method=False, out=True)
def tensorsolve(A, B, dims=None):
    """The solution X of ``tensordot(A, X, X.ndim) = B``."""
    if dims is not None:
        n = A._a.ndim
        dims = [d % n for d in dims]
        A = A.permute([d for d in range(n) if d not in dims] + dims)
    shape = A._a.shape[B._a.ndim:]
    n = 1
    for s in shape:
        n *= s
    if n != B._a.size:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           f"prod(self.shape[:other.ndim]), but got {n} != {B._a.size}")
    return solve(A.reshape(B._a.size, n), B.reshape(-1)).reshape(shape)


# ---------------------------------------------------------------- powers and exponentials

def _power(name, A, n):
    if not isinstance(n, int):
        raise TypeError(f"linalg_matrix_power(): argument 'n' (position 2) must be int, not "
                        f"{type(n).__name__}")
    check_square(name, A)
    if n == 0:
        return A.clone().zero_() + identity(A, A._a.shape[-1])
    if n < 0:
        A, n = inverse_of("linalg.inv", A, True)[0], -n
    if n == 1:
        return A.clone()
    result = None
    while n:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        if n:
            A = matmul(A, A)
    return result


@public("matrix_power", namespaces=("torch", "torch.linalg"), out=True)
def matrix_power(A, n):
    """The n-th power of square matrices, of their inverses for negative n."""
    return _power("linalg.matrix_power", A, n)


def _exp_gradient(g, A):
    """The upper right block of ``exp([[A^H, g], [0, A^H]])`` (Najfeld and Havel, 1995)."""
    from ..joining import cat
    n = A._a.shape[-1]
    h = adjoint(A)
    zero = h.new_zeros(h.shape)
    block = cat([cat([h, g], -1), cat([zero, h], -1)], -2)
    return _matrix_exp(block)[..., :n, n:]


@primitive("linalg_matrix_exp(Tensor self) -> Tensor", meta=lambda A: (A._a.shape, A.dtype),
           vjp={"self": lambda g, self: _exp_gradient(g, self)})
def _matrix_exp(a):
    if not a.size:
        return np.empty(a.shape, a.dtype)
    from scipy.linalg import expm
    d = a.dtype
    wide = a.astype(np.float32) if d.itemsize == 2 else a
    return np.ascontiguousarray(expm(wide)).astype(d, copy=False)


@public("matrix_exp", namespaces=("torch", "torch.linalg"))
def matrix_exp(A):
    """The exponential of square matrices."""
    check_square("linalg.matrix_exp", A)
    check_float("linalg.matrix_exp", A, low=False)
    return _matrix_exp(A)
