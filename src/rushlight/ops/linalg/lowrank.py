"""Approximate singular values of large matrices, by random projections.

Halko, Martinsson and Tropp, "Finding structure with randomness: probabilistic algorithms for constructing approximate
matrix decompositions" (arXiv:0909.4061), algorithm 4.4 for the range and 5.1 for the decomposition.
"""

from ..registry import function, public
from .common import adjoint


def _range(a, q, niter):
    """An orthonormal basis (..., m, q) of about the range of `a` (..., m, n)."""
    randn, qr, matmul = function("randn"), function("qr", "torch.linalg"), function("matmul")
    basis = qr(matmul(a, randn(a.shape[-1], q, dtype=a.dtype)))[0]
    transposed = adjoint(a)
    for _ in range(niter):
        basis = qr(matmul(transposed, basis))[0]
        basis = qr(matmul(a, basis))[0]
    return basis


def _decompose(a, q, niter):
    m, n = a.shape[-2:]
    matmul = function("matmul")
    wide = m < n
    work = adjoint(a) if wide else a
    basis = _range(work, q, niter)
    u, s, vh = function("svd", "torch.linalg")(matmul(adjoint(basis), work), full_matrices=False)
    u, v = matmul(basis, u), adjoint(vh)
    return (v, s, u) if wide else (u, s, v)


@public(method=False)
def svd_lowrank(A, q=6, niter=2, M=None):
    """U (..., m, q), S (..., q) and V (..., n, q) with ``A - M`` about ``U diag(S) V^H``.

    q: a slightly overestimated rank; niter: how many power iterations sharpen the basis; M: what to subtract first,
    broadcast to A. The projection is random: seed the generator for repeatable results.
    """
    return _decompose(A if M is None else A - M.expand(A.shape), 6 if q is None else q, niter)


@public(method=False)
def pca_lowrank(A, q=None, center=True, niter=2):
    """Principal components: `svd_lowrank` of A with its columns' means taken off (unless ``center=False``).

    A: (..., m samples, n features); q: at most min(m, n), by default min(6, m, n). Returns (U, S, V): V's columns are
    the principal directions, ``S ** 2 / (m - 1)`` the variances along them.
    """
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if center:
        A = A - A.mean(dim=-2, keepdim=True)
    return _decompose(A, q, niter)
