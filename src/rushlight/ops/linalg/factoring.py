"""Triangular factorizations: Cholesky, LU, LDL, QR, and products of Householder reflections."""

from functools import cache

import numpy as np

from ... import dtypes
from ...record import NONDIFF, NOT_IMPLEMENTED, Joint
from ...return_types import geqrf as geqrf_result
from ...return_types import (
    linalg_cholesky_ex,
    linalg_ldl_factor,
    linalg_ldl_factor_ex,
    linalg_lu,
    linalg_lu_factor,
    linalg_lu_factor_ex,
    linalg_qr,
    struct,
)
from ...return_types import lu_unpack as lu_unpack_result
from ...return_types import qr as qr_result
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
    singular,
)
from .solving import _solve_triangular

_LA = ("torch.linalg",)


# ---------------------------------------------------------------- Cholesky

def _half_diagonal(t):
    """The lower triangle with the diagonal halved."""
    return t.tril() - t.diagonal(0, -2, -1).mul(0.5).diag_embed()


def _cholesky_gradient(g0, out0, upper):
    """``L^-H phi(L^H g) L^-1``, made Hermitian; phi: lower triangle, diagonal halved."""
    lower = adjoint(out0) if upper else out0
    g = adjoint(g0) if upper else g0
    phi = _half_diagonal(matmul(adjoint(lower), g))
    s = _solve_triangular(adjoint(lower), phi, True, True, False)
    s = _solve_triangular(lower, s, False, False, False)
    return (s + adjoint(s)).mul(0.5)


def _cholesky_meta(A, upper):
    return (A._a.shape, A.dtype), (A._a.shape[:-2], dtypes.int32)


def _cholesky_record(name):
    @primitive(f"{name}(Tensor self, bool upper) -> (Tensor L, Tensor info)", meta=_cholesky_meta,
               vjp={"self": lambda g0, out0, upper: _cholesky_gradient(g0, out0, upper)})
    def factor(a, upper):
        """The lower (or upper) factor; only one triangle of the input is read."""
        if not a.size:
            return np.empty(a.shape, a.dtype), np.zeros(a.shape[:-2], np.int32)
        potrf = lapack("potrf", a.dtype)
        if a.ndim == 2:
            c, code = potrf(a, not upper, True)
            return c, np.array(max(code, 0), np.int32)
        out, info = np.empty(a.shape, a.dtype), np.empty(a.shape[:-2], np.int32)
        flat, codes = out.reshape(-1, *a.shape[-2:]), info.reshape(-1)
        for i, m in each(a):
            c, code = potrf(m, not upper, True)
            flat[i], codes[i] = c.T, max(code, 0)
        return out.swapaxes(-1, -2), info
    return factor


_cholesky_ex = _cholesky_record("linalg_cholesky_ex")
_cholesky_old = _cholesky_record("cholesky")


def _definite(name, info, batch):
    if type(info._a) is np.ndarray and watch.true(np.any, info):
        flat = info._a.reshape(-1)
        i = int(np.flatnonzero(flat)[0])
        raise singular(f"{name}: {batch_index(i, batch)}The factorization could not be completed because "
                       f"the input is not positive-definite (the leading minor of order {flat[i]} is not "
                       "positive-definite).")


@public("cholesky", namespaces=_LA, method=False, out=True)
def linalg_cholesky(A, *, upper=False):
    """The factor L of ``A = L L^H`` for Hermitian positive-definite A (or U of ``U^H U``)."""
    check_square("linalg.cholesky", A)
    check_float("linalg.cholesky", A)
    L, info = _cholesky_ex(A, upper)
    _definite("linalg.cholesky", info, A._a.shape[:-2])
    return L


@public("cholesky_ex", namespaces=_LA, method=False, out=True)
def cholesky_ex(A, *, upper=False, check_errors=False):
    """The Cholesky factor and LAPACK's info (0, or the order of a minor that is not positive)."""
    check_square("linalg.cholesky_ex", A)
    check_float("linalg.cholesky_ex", A)
    L, info = _cholesky_ex(A, upper)
    if check_errors:
        _definite("linalg.cholesky_ex", info, A._a.shape[:-2])
    return linalg_cholesky_ex((L, info))


@public("cholesky", out=True)
def cholesky(input, upper=False):
    """The Cholesky factor (see linalg.cholesky)."""
    check_square("cholesky", input)
    check_float("cholesky", input)
    L, info = _cholesky_old(input, upper)
    _definite("cholesky", info, input._a.shape[:-2])
    return L


def _factor_gradient(common, L, upper):
    """``-common L`` (``-U common``) for the gradient `common` of ``L L^H``, already made Hermitian."""
    return -matmul(L, common) if upper else -matmul(common, L)


def _solve_factor_gradient(g, out, L, upper):
    c = matmul(_cholesky_solve(g, L, upper), adjoint(out))
    return _factor_gradient(c + adjoint(c), L, upper)


@primitive("cholesky_solve(Tensor self, Tensor input2, bool upper) -> Tensor",
           vjp={"self": lambda g, input2, upper: _cholesky_solve(g, input2, upper),
                "input2": lambda g, out, input2, upper: _solve_factor_gradient(g, out, input2, upper)})
def _cholesky_solve(b, factor, upper):
    solve = _solve_triangular.record.kernel
    if upper:
        y = solve(factor.conj().swapaxes(-1, -2), b, False, True, False)
        return solve(factor, y, True, True, False)
    y = solve(factor, b, False, True, False)
    return solve(factor.conj().swapaxes(-1, -2), y, True, True, False)


def _inverse_factor_gradient(g, out, L, upper):
    c = matmul(matmul(out, g + adjoint(g)), out)
    return _factor_gradient(c, L, upper)


@primitive("cholesky_inverse(Tensor self, bool upper) -> Tensor",
           vjp={"self": lambda g, out, self, upper: _inverse_factor_gradient(g, out, self, upper)})
def _cholesky_inverse(factor, upper):
    eye = np.broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    return _cholesky_solve.record.kernel(eye, factor, upper)


@public("cholesky_solve", out=True)
def cholesky_solve(B, L, upper=False):
    """The solution X of ``L L^H X = B`` (``U^H U X = B`` if upper)."""
    if B._a.ndim < 2:
        raise RuntimeError(f"b should have at least 2 dimensions, but has {B._a.ndim} dimensions instead")
    if L._a.ndim < 2:
        raise RuntimeError(f"u should have at least 2 dimensions, but has {L._a.ndim} dimensions instead")
    check_square("cholesky_solve", L)
    check_same("cholesky_solve", B, L)
    if L._a.shape[-1] != B._a.shape[-2]:
        raise RuntimeError("cholesky_solve: Incompatible matrix sizes for cholesky_solve: each A matrix "
                           f"is {L._a.shape[-1]} by {L._a.shape[-1]} but each b matrix is "
                           f"{B._a.shape[-2]} by {B._a.shape[-1]}")
    return _cholesky_solve(B, L, upper)


@public("cholesky_inverse", out=True)
def cholesky_inverse(L, upper=False):
    """The inverse of ``L L^H`` (``U^H U`` if upper) from the factor."""
    check_square("cholesky_inverse", L)
    check_float("cholesky_inverse", L)
    return _cholesky_inverse(L, upper)


# ---------------------------------------------------------------- LU

def getrf(a, pivot=True):
    """(LU, 1-based pivots, info) of one matrix."""
    m, n = a.shape
    if pivot and a.size:
        lu, piv, info = lapack("getrf", a.dtype)(a)
        return lu, piv.astype(np.int32) + 1, max(info, 0)
    lu, info = np.array(a), 0
    k = min(m, n)
    with np.errstate(all="ignore"):
        for i in range(k):
            if lu[i, i] == 0:
                info = info or i + 1
            lu[i + 1:, i] /= lu[i, i]
            lu[i + 1:, i + 1:] -= np.multiply.outer(lu[i + 1:, i], lu[i, i + 1:])
    return lu, np.arange(1, k + 1, dtype=np.int32), info


def _lu_meta(A, pivot):
    s = A._a.shape
    k = min(s[-2:])
    return (s, A.dtype), ((*s[:-2], k), dtypes.int32), (s[:-2], dtypes.int32)


def _lu_gradient(g0, out0, out1, pivot):
    """Gradient of the compact LU: the lower part of g belongs to L, the upper to U."""
    m, n = out0._a.shape[-2:]
    k = min(m, n)
    P, L, U = _unpack(out0, out1, True, pivot)
    gl, gu = g0[..., :, :k].tril(-1), g0[..., :k, :].triu()
    return _lu_parts_gradient(gl, gu, P if pivot else None, L, U)


def _lu_parts_gradient(gl, gu, P, L, U):
    m, n = L._a.shape[-2], U._a.shape[-1]
    k = min(m, n)
    from ..joining import cat
    if m == n:
        phi = matmul(adjoint(L), gl).tril(-1) + matmul(gu, adjoint(U)).triu()
        r = _solve_triangular(adjoint(U), phi, False, False, False)
        r = _solve_triangular(adjoint(L), r, True, True, True)
    elif m < n:
        u1, u2 = U[..., :, :k], U[..., :, k:]
        g1, g2 = gu[..., :, :k], gu[..., :, k:]
        phi = (matmul(adjoint(L), gl) - matmul(g2, adjoint(u2))).tril(-1) + \
            matmul(g1, adjoint(u1)).triu()
        r = cat([_solve_triangular(adjoint(u1), phi, False, False, False), g2], -1)
        r = _solve_triangular(adjoint(L), r, True, True, True)
    else:
        l1, l2 = L[..., :k, :], L[..., k:, :]
        g1, g2 = gl[..., :k, :], gl[..., k:, :]
        phi = (matmul(gu, adjoint(U)) - matmul(adjoint(l2), g2)).triu() + \
            matmul(adjoint(l1), g1).tril(-1)
        r = cat([_solve_triangular(adjoint(l1), phi, True, True, True), g2], -2)
        r = _solve_triangular(adjoint(U), r, False, False, False)
    return r if P is None else matmul(P, r)


@primitive("linalg_lu_factor_ex(Tensor A, bool pivot) -> (Tensor LU, Tensor pivots, Tensor info)",
           meta=_lu_meta,
           vjp={"A": lambda g0, out0, out1, pivot: _lu_gradient(g0, out0, out1, pivot)})
def _lu_factor(a, pivot):
    m, n = a.shape[-2:]
    k = min(m, n)
    if a.ndim == 2 and pivot and a.size:
        lu, pivots, info = getrf(a)
        return lu, pivots, np.array(info, np.int32)
    lu = np.empty(a.shape, a.dtype)
    pivots = np.empty((*a.shape[:-2], k), np.int32)
    info = np.zeros(a.shape[:-2], np.int32)
    if lu.size:
        x, p, f = lu.reshape(-1, m, n), pivots.reshape(-1, k), info.reshape(-1)
        for i, mat in each(a):
            x[i], p[i], f[i] = getrf(mat, pivot)
    return by_column(lu), pivots, info


def _factor(name, A, pivot, check):
    check_matrix(name, A)
    check_float(name, A)
    r = _lu_factor(A, pivot)
    if check and type(r[2]._a) is np.ndarray and watch.true(np.any, r[2]):
        flat = r[2]._a.reshape(-1)
        i = int(np.flatnonzero(flat)[0])
        raise singular(f"{name}: {batch_index(i, A._a.shape[:-2])}U[{flat[i]},{flat[i]}] is zero and "
                       "using it on lu_solve would result in a division by zero. If you still want to "
                       "perform the factorization, consider calling linalg.lu(A, pivot) or "
                       "linalg.lu_factor_ex(A, pivot)")
    return r


@public("lu_factor", namespaces=_LA, method=False, out=True)
def lu_factor(A, *, pivot=True):
    """The compact LU factorization with row exchanges: L and U in one matrix, and the pivots."""
    return linalg_lu_factor(_factor("torch.linalg.lu_factor", A, pivot, True)[:2])


@public("lu_factor_ex", namespaces=_LA, method=False, out=True)
def lu_factor_ex(A, *, pivot=True, check_errors=False):
    """``lu_factor`` and LAPACK's info (0, or the position of a zero pivot)."""
    return linalg_lu_factor_ex(_factor("torch.linalg.lu_factor_ex", A, pivot, check_errors))


def _permutation(pivots, m, dtype):
    """Permutation matrices P (A = P L U) from 1-based row exchanges."""
    batch = pivots.shape[:-1]
    out = np.zeros((*batch, m, m), dtype)
    flat = out.reshape(-1, m, m) if out.size else out[:0]
    columns = np.arange(m)
    for i, p in enumerate(pivots.reshape(len(flat), pivots.shape[-1]).tolist()):
        order = list(range(m))
        for a, b in enumerate(p):
            order[a], order[b - 1] = order[b - 1], order[a]
        flat[i, order, columns] = 1
    return out


@primitive("_exchanged(Tensor pivots, int m, ScalarType dtype) -> Tensor", vjp=NONDIFF("an order of rows"))
def _exchanged(pivots, m, dtype):
    return _permutation(pivots, m, dtype)


def _unpack(LU, pivots, data, pivot=True):
    m, n = LU._a.shape[-2:]
    k = min(m, n)
    P = _exchanged(pivots, m, LU._a.dtype) if pivot else LU.new_empty((0,))
    if not data:
        return P, LU.new_empty((0,)), LU.new_empty((0,))
    L = LU[..., :, :k].tril(-1) + identity(LU, max(m, k))[:m, :k]
    return P, L, LU[..., :k, :].triu()


@public(method=False, out=True)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """P, L and U of a compact factorization; what is not asked for is empty."""
    if LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of "
                           "torch.int32 dtype.\nNote: this function is intended to be used with the "
                           "output produced by torch.linalg.lu_factor")
    return lu_unpack_result(_unpack(LU_data, LU_pivots, unpack_data, unpack_pivots))


@primitive("linalg_lu(Tensor A, bool pivot) -> (Tensor P, Tensor L, Tensor U)",
           vjp=Joint(lambda g1, g2, out0, out1, out2, pivot:
                     (_lu_parts_gradient(g1.tril(-1), g2.triu(), out0.detach() if pivot else None, out1,
                                         out2),)))
def _lu(a, pivot):
    lu, piv, _ = _lu_factor.record.kernel(a, pivot)
    m, n = a.shape[-2:]
    k = min(m, n)
    p = _permutation(piv, m, a.dtype) if pivot else np.empty((0,), a.dtype)
    lower = np.where(_upper(m, k).T, np.eye(m, k, dtype=a.dtype), lu[..., :, :k])
    return p, lower, np.where(_upper(k, n).T, lu[..., :k, :], 0)


@public("lu", namespaces=_LA, method=False, out=True)
def linalg_lu_(A, *, pivot=True):
    """P, L and U of ``A = P L U``; without pivoting P is empty."""
    check_matrix("linalg.lu", A)
    check_float("linalg.lu", A)
    return linalg_lu(_lu(A, pivot))


_lu_with_info = struct("_lu_with_info", "LU", "pivots", "info")


@public("lu", out=True)
def lu(input, pivot=True, get_infos=False):
    """Compact LU factorization and pivots (deprecated: linalg.lu_factor)."""
    r = _factor("torch.linalg.lu_factor_ex", input, pivot, not get_infos)
    return _lu_with_info(r) if get_infos else tuple(r[:2])


@public("lu_solve", namespaces=_LA, method=False, out=True)
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """The solution of ``A X = B`` from the compact factorization of A (of A^H, of ``X A = B``)."""
    check_square("torch.linalg.lu_solve", LU, "LU")
    check_same("linalg.lu_solve", LU, B)
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    k = -2 if left else -1
    if LU._a.shape[-1] != B._a.shape[k]:
        raise RuntimeError("linalg.lu_solve: Incompatible shapes of A and B for the equation "
                           f"{'AX = B' if left else 'XA = B'} ({LU._a.shape[-2]}x{LU._a.shape[-1]} and "
                           f"{B._a.shape[-2]}x{B._a.shape[-1]})")
    P, L, U = _unpack(LU, pivots, True)
    if left:
        return _lu_apply(P, L, U, B, adjoint)
    # X A = B is A^H X^H = B^H.
    return _adj(_lu_apply(P, L, U, _adj(B), not adjoint))


_adj = adjoint


def _lu_apply(P, L, U, B, adjoint):
    if adjoint:
        y = _solve_triangular(_adj(U), B, False, True, False)
        return matmul(P, _solve_triangular(_adj(L), y, True, True, True))
    y = _solve_triangular(L, matmul(P.transpose(-2, -1), B), False, True, True)
    return _solve_triangular(U, y, True, True, False)


@public("lu_solve", out=True)
def lu_solve(input, LU_data, LU_pivots):
    """The solution of ``A X = B`` from the compact factorization of A (see linalg.lu_solve)."""
    return linalg_lu_solve(LU_data, LU_pivots, input)


# ---------------------------------------------------------------- LDL

@primitive("linalg_ldl_factor_ex(Tensor self, bool hermitian) -> (Tensor LD, Tensor pivots, Tensor info)",
           vjp=NOT_IMPLEMENTED("LDL factorization"))
def _ldl(a, hermitian):
    n = a.shape[-1]
    ld, pivots = np.empty(a.shape, a.dtype), np.empty(a.shape[:-1], np.int32)
    info = np.zeros(a.shape[:-2], np.int32)
    if ld.size:
        name = "hetrf" if hermitian and a.dtype.kind == "c" else "sytrf"
        f = lapack(name, a.dtype)
        x, p, c = ld.reshape(-1, n, n), pivots.reshape(-1, n), info.reshape(-1)
        for i, m in each(a):
            full, piv, code = f(m, lower=True)
            x[i] = np.tril(full)
            p[i], c[i] = piv, max(code, 0)
    return by_column(ld), pivots, info


@public("ldl_factor", namespaces=_LA, method=False, out=True)
def ldl_factor(A, *, hermitian=False):
    """The compact LDL factorization of symmetric (or Hermitian) matrices."""
    check_square("torch.linalg.ldl_factor", A)
    check_float("torch.linalg.ldl_factor", A)
    ld, pivots, _ = _ldl(A, hermitian)
    return linalg_ldl_factor((ld, pivots))


@public("ldl_factor_ex", namespaces=_LA, method=False, out=True)
def ldl_factor_ex(A, *, hermitian=False, check_errors=False):
    """``ldl_factor`` and LAPACK's info."""
    check_square("torch.linalg.ldl_factor_ex", A)
    check_float("torch.linalg.ldl_factor_ex", A)
    return linalg_ldl_factor_ex(_ldl(A, hermitian))


@primitive("linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, bool hermitian) -> Tensor",
           vjp=NOT_IMPLEMENTED("solutions from an LDL factorization"))
def _ldl_solve(ld, pivots, b, hermitian):
    n = ld.shape[-1]
    batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
    out = np.empty((*batch, *b.shape[-2:]), b.dtype)
    if not out.size:
        return out
    x = np.broadcast_to(ld, (*batch, n, n)).reshape(-1, n, n)
    p = np.broadcast_to(pivots, (*batch, n)).reshape(-1, n)
    r = np.broadcast_to(b, out.shape).reshape(-1, *b.shape[-2:])
    flat = out.reshape(-1, *b.shape[-2:])
    for i in range(len(x)):
        flat[i] = _ldl_apply(x[i], p[i], np.array(r[i]), hermitian and ld.dtype.kind == "c")
    return by_column(out)


def _ldl_apply(ld, pivots, b, hermitian):
    """Solve from LAPACK's lower Bunch-Kaufman form: interchanges, unit columns, 1x1 and 2x2 blocks."""
    n = len(ld)
    c = np.conjugate if hermitian else (lambda v: v)
    k = 0
    while k < n:                                    # L D y = b
        if pivots[k] > 0:
            p = pivots[k] - 1
            b[[k, p]] = b[[p, k]]
            b[k + 1:] -= np.multiply.outer(ld[k + 1:, k], b[k])
            b[k] /= ld[k, k].real if hermitian else ld[k, k]
            k += 1
        else:
            p = -pivots[k] - 1
            b[[k + 1, p]] = b[[p, k + 1]]
            b[k + 2:] -= ld[k + 2:, k:k + 2] @ b[k:k + 2]
            d = np.array([[ld[k, k], c(ld[k + 1, k])], [ld[k + 1, k], ld[k + 1, k + 1]]])
            b[k:k + 2] = np.linalg.solve(d, b[k:k + 2])
            k += 2
    k = n - 1
    while k >= 0:                                   # L^H x = y
        if pivots[k] > 0:
            b[k] -= c(ld[k + 1:, k]) @ b[k + 1:]
            p = pivots[k] - 1
            b[[k, p]] = b[[p, k]]
            k -= 1
        else:
            b[k - 1:k + 1] -= c(ld[k + 1:, k - 1:k + 1]).T @ b[k + 1:]
            p = -pivots[k] - 1
            b[[k, p]] = b[[p, k]]
            k -= 2
    return b


@public("ldl_solve", namespaces=_LA, method=False, out=True)
def ldl_solve(LD, pivots, B, *, hermitian=False):
    """The solution of ``A X = B`` from the compact LDL factorization of A."""
    check_square("torch.linalg.ldl_solve", LD, "LD")
    if B._a.ndim < 2:
        raise RuntimeError(f"torch.linalg.ldl_solve: Expected B to have at least 2 dimensions, but it has "
                           f"{B._a.ndim} dimensions instead")
    if LD._a.shape[:-1] != pivots._a.shape:
        raise RuntimeError("torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the "
                           f"same, but got pivots with shape {list(pivots.shape)} instead")
    if pivots.dtype.category != dtypes.INT:
        raise RuntimeError(f"torch.linalg.ldl_solve: Expected pivots to be integers. Got {pivots.dtype}")
    check_same("torch.linalg.ldl_solve", LD, B)
    return _ldl_solve(LD, pivots, B, hermitian)


# ---------------------------------------------------------------- QR

def _qr_gradient(g0, g1, out0, out1, mode):
    """Gradient of the reduced factorization (Walter and Lehmann 2010, Liao et al. 2019)."""
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when "
                           "mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to "
                           "require gradients through linalg.qr.")
    q, r = out0, out1
    m, n, k = q._a.shape[-2], r._a.shape[-1], r._a.shape[-2]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > "
                           f"ncols: got {m} rows and {n} columns")
    if m >= n:
        return (_tall_qr(g0, g1, q, r),)
    from ..joining import cat
    u = r[..., :, :k]
    gu, gv = g1[..., :, :k], g1[..., :, k:]
    v = r[..., :, k:]
    # A = [X | Y] with X = Q U and Y = Q V: Y's part of Q's gradient is added to g.
    y = matmul(q, v)
    gx = _tall_qr(g0 + matmul(y, adjoint(gv)), gu, q, u)
    return (cat([gx, matmul(q, gv)], -1),)


def _tall_qr(gq, gr, q, r):
    s = (matmul(gr, adjoint(r)) - matmul(adjoint(q), gq)).triu()
    s = s + adjoint(s)
    d = s.diagonal(0, -2, -1)
    s = s - d.mul(0.5).diag_embed()
    return _solve_triangular(adjoint(r), gq + matmul(q, s), False, False, False)


def _qr_meta(A, mode):
    m, n = A._a.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    b = A._a.shape[:-2]
    q = (0,) if mode == "r" else (*b, m, k)
    return (q, A.dtype), ((*b, k, n), A.dtype)


@primitive("linalg_qr(Tensor A, str mode) -> (Tensor Q, Tensor R)", meta=_qr_meta,
           vjp=Joint(_qr_gradient))
def _qr(a, mode):
    m, n = a.shape[-2:]
    if not a.size:
        k = m if mode == "complete" else min(m, n)
        q = np.broadcast_to(np.eye(m, k, dtype=a.dtype), (*a.shape[:-2], m, k)).copy()
        return (np.empty(0, a.dtype) if mode == "r" else q), np.zeros((*a.shape[:-2], k, n), a.dtype)
    if mode == "r":
        return np.empty(0, a.dtype), by_column(np.linalg.qr(a, "r"))
    if m == n <= _SMALL_QR or mode == "reduced" and max(m, n) <= _SMALL_QR:
        return _small_qr(a, m, n)
    q, r = np.linalg.qr(a, mode)
    return by_column(q), by_column(r)


_SMALL_QR = 32              # sides of matrices for which LAPACK's routines work without blocks


def _small_qr(a, m, n):
    """The reduced factors of small matrices, of which NumPy's function takes less time than its preparations."""
    k = min(m, n)
    geqrf, orgqr = lapack("geqrf", a.dtype), lapack("orgqr" if a.dtype.kind == "f" else "ungqr", a.dtype)
    upper = _upper(k, n)
    if a.ndim == 2:
        packed, tau, _, _ = geqrf(a)
        q = orgqr(packed[:, :k], tau)[0]
        return q, np.where(upper, packed.T[:, :k], 0).T
    batch = a.shape[:-2]
    q, r = np.empty((*batch, k, m), a.dtype), np.empty((*batch, n, k), a.dtype)
    qs, rs = q.reshape(-1, k, m), r.reshape(-1, n, k)
    for i, x in each(a):
        packed, tau, _, _ = geqrf(x)
        qs[i] = orgqr(packed[:, :k], tau)[0].T
        rs[i] = np.where(upper, packed.T[:, :k], 0)
    return q.swapaxes(-1, -2), r.swapaxes(-1, -2)


@cache
def _upper(k, n):
    """Where the transpose of a (k, n) matrix has its upper triangle."""
    return np.tri(n, k, dtype=bool)


def _qr_checked(A, mode):
    check_matrix("linalg.qr", A)
    check_float("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' "
                           "(default), 'r', or 'complete'")
    return _qr(A, mode)


@public("qr", namespaces=_LA, method=False, out=True)
def linalg_qr_(A, mode="reduced"):
    """Q with orthonormal columns and upper triangular R with ``A = Q R``; mode reduced, complete or r."""
    return linalg_qr(_qr_checked(A, mode))


@public("qr", out=True)
def qr(input, some=True):
    """Q and R of ``A = Q R`` (deprecated: linalg.qr)."""
    return qr_result(_qr_checked(input, "reduced" if some else "complete"))


@primitive("geqrf(Tensor self) -> (Tensor a, Tensor tau)", vjp=NOT_IMPLEMENTED("geqrf"))
def _geqrf(a):
    m, n = a.shape[-2:]
    k = min(m, n)
    out, tau = np.array(a), np.zeros((*a.shape[:-2], k), a.dtype)
    if a.size:
        f = lapack("geqrf", a.dtype)
        x, t = out.reshape(-1, m, n), tau.reshape(-1, k)
        for i, mat in each(a):
            r = f(mat)
            x[i], t[i] = r[0], r[1]
    return by_column(out), tau


@public("geqrf", out=True)
def geqrf(input):
    """The QR factorization as LAPACK stores it: R and Householder vectors in one matrix, and factors."""
    check_matrix("torch.geqrf", input, "input")
    check_float("geqrf", input)
    return geqrf_result(_geqrf(input))


# ---------------------------------------------------------------- Householder reflections

def _reflector(a, i, m):
    """The i-th Householder vector: zeros, a one, and the column below the diagonal."""
    from ..joining import cat
    batch = a._a.shape[:-2]
    parts = [a.new_zeros((*batch, i)), a.new_ones((*batch, 1)), a[..., i + 1:, i]]
    return cat(parts, -1)


def _reflect(x, v, tau, left=True):
    """``(I - tau v v^H) x``, or ``x (I - tau v v^H)``."""
    t = tau.unsqueeze(-1).unsqueeze(-1)
    v = v.unsqueeze(-1)
    if left:
        return x - t * matmul(v, matmul(adjoint(v), x))
    return x - t * matmul(matmul(x, v), adjoint(v))


def _check_householder(name, a, tau):
    check_matrix(name, a, "input")
    m, n = a._a.shape[-2:]
    if m < n:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < tau._a.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if a._a.shape[:-2] != tau._a.shape[:-1]:
        raise RuntimeError(f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], "
                           f"but got {list(tau._a.shape[:-1])}")
    if a.dtype is not tau.dtype:
        raise RuntimeError(f"{name}: tau dtype {tau.dtype} does not match input dtype {a.dtype}")
    check_float(name, a)


@public("householder_product", namespaces=_LA, method=False, out=True)
def householder_product(A, tau):
    """The first columns of the product of the Householder reflections stored in A and tau."""
    _check_householder("torch.linalg.householder_product", A, tau)
    m, n = A._a.shape[-2:]
    q = identity(A, m)[:, :n].expand(*A._a.shape[:-2], m, n)
    for i in range(tau._a.shape[-1] - 1, -1, -1):
        q = _reflect(q, _reflector(A, i, m), tau[..., i])
    return q.clone() if not tau._a.shape[-1] else q


@public("orgqr", out=True)
def orgqr(input, input2):
    """Alias of linalg.householder_product."""
    return householder_product(input, input2)


@public("ormqr", out=True)
def ormqr(input, input2, input3, left=True, transpose=False):
    """The product of Q (all of it, from Householder reflections) with a matrix."""
    a, tau, c = input, input2, input3
    check_matrix("torch.ormqr", a, "input")
    check_matrix("torch.ormqr", c, "other")
    k = -2 if left else -1
    if c._a.shape[k] < tau._a.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{k}] must be greater than or equal to "
                           "tau.shape[-1]")
    if c._a.shape[k] != a._a.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{k}] must be equal to input.shape[-2]")
    if tau._a.shape[-1] > a._a.shape[-1]:
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be less than or equal to input.shape[-1]")
    if a.dtype is not tau.dtype or a.dtype is not c.dtype:
        raise RuntimeError("torch.ormqr: Expected input, tau and other to have the same dtype")
    check_float("torch.ormqr", a)
    m = a._a.shape[-2]
    order = range(tau._a.shape[-1])
    if left != transpose:
        order = reversed(order)
    for i in order:
        t = tau[..., i]
        c = _reflect(c, _reflector(a, i, m), conj(t) if transpose else t, left)
    return c
