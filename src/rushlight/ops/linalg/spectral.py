"""Singular values and eigenvalues, and what rests on them: pinv, lstsq, rank, condition."""

from functools import lru_cache

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...dtypes import BY_NP
from ...record import NONDIFF, Joint
from ...return_types import linalg_eig, linalg_eigh, linalg_lstsq, linalg_svd
from ...return_types import svd as svd_result
from ...tensor import watch
from ...tensor.tensor import Tensor, wrap
from ..dispatch import needs_grad
from ..matmul import matmul
from ..registry import public
from .common import (
    adjoint,
    batch_index,
    by_column,
    check_float,
    check_matrix,
    check_square,
    conj,
    identity,
    primitive,
    real_of,
    singular,
)
from .solving import _solve_general, inverse_of

_LA = ("torch.linalg",)


def _differences(values):
    """``E[i, j] = values[j] - values[i]`` with ones on the diagonal."""
    e = values.unsqueeze(-2) - values.unsqueeze(-1)
    return e + identity(values, values._a.shape[-1])


# ---------------------------------------------------------------- SVD

def _skew(t):
    return t - adjoint(t)


def _svd_gradient(maybe0, g1, maybe2, out0, out1, out2, A_shape, full_matrices):
    """Gradient of the thin decomposition (Townsend 2016; complex: Wan and Zhang 2019).

    That of the singular values alone is defined for equal and for vanishing ones, too.
    """
    m, n = A_shape[-2:]
    k = min(m, n)
    g0, g2 = maybe0, maybe2
    u, s, vh = out0, out1, out2
    if full_matrices:
        if m > k and g0 is not None and _any(g0[..., k:]) or n > k and g2 is not None and _any(g2[..., k:, :]):
            # Only the thin part has a gradient; PyTorch refuses the rest, too.
            raise RuntimeError("The singular vectors in the complete case (when full_matrices=True) "
                               "are specified up to multiplication by a unitary matrix: their "
                               "gradients are not defined. Set full_matrices=False")
        g0, g2 = (None if g0 is None else g0[..., :, :k]), (None if g2 is None else g2[..., :k, :])
        u, vh = u[..., :, :k], vh[..., :k, :]
    diagonal = g1.to(u.dtype)
    if g0 is None and g2 is None:
        return (matmul(u * diagonal.unsqueeze(-2), vh),)
    sc = s.to(u.dtype)
    e = _differences(s * s)
    inner = diagonal.diag_embed()
    if g0 is not None:
        uhgu = _skew(matmul(adjoint(u), g0))
        inner = inner + _off_diagonal(uhgu / e) * sc.unsqueeze(-2)
        if u.dtype.is_complex:
            inner = inner + (uhgu.diagonal(0, -2, -1) / (sc * 2)).diag_embed()
    if g2 is not None:
        inner = inner + sc.unsqueeze(-1) * _off_diagonal(_skew(matmul(vh, adjoint(g2))) / e)
    left = matmul(u, inner)
    if m > k and g0 is not None:
        gus = g0 / sc.unsqueeze(-2)
        left = left + gus - matmul(u, matmul(adjoint(u), gus))
    ga = matmul(left, vh)
    if n > k and g2 is not None:
        gv = g2 / sc.unsqueeze(-1)
        ga = ga + matmul(u, gv - matmul(matmul(gv, adjoint(vh)), vh))
    return (ga,)


def _off_diagonal(t):
    """`t` without its diagonal where that is complex (a real skew matrix has none)."""
    return t - t.diagonal(0, -2, -1).diag_embed() if t.dtype.is_complex else t


def _any(t):
    return not t.is_meta and watch.true(np.any, t)


def _svd_meta(A, full_matrices):
    *b, m, n = A._a.shape
    k = min(m, n)
    return (((*b, m, m if full_matrices else k), A.dtype), ((*b, k), A.dtype.to_real()),
            ((*b, n if full_matrices else k, n), A.dtype))


def _finite(name, a):
    if not np.isfinite(a).all():
        raise singular(f"{name}: The algorithm failed to converge because the input matrix contained "
                       "non-finite values.")


@primitive("linalg_svd(Tensor A, bool full_matrices) -> (Tensor U, Tensor S, Tensor Vh)", meta=_svd_meta,
           vjp=Joint(_svd_gradient))
def _svd(a, full_matrices):
    m, n = a.shape[-2:]
    k = min(m, n)
    if not a.size:
        b = a.shape[:-2]
        eye = [np.broadcast_to(np.eye(r, c, dtype=a.dtype), (*b, r, c)).copy() for r, c in (
            (m, m if full_matrices else k), (n if full_matrices else k, n))]
        return eye[0], np.empty((*b, k), real_of(a.dtype)), eye[1]
    _finite("linalg.svd", a)
    u, s, vh = np.linalg.svd(a, full_matrices)
    return by_column(u), s, np.ascontiguousarray(vh)


@primitive("linalg_svdvals(Tensor A) -> Tensor", node="LinalgSvdBackward0",
           meta=lambda A: ((*A._a.shape[:-2], min(A._a.shape[-2:])), A.dtype.to_real()),
           vjp=NONDIFF("called without gradients only"))
def _svdvals(a):
    if not a.size:
        return np.empty((*a.shape[:-2], min(a.shape[-2:])), real_of(a.dtype))
    _finite("linalg.svd", a)
    return np.linalg.svd(a, compute_uv=False)


def _values(A):
    from ...autograd.modes import state
    return _svd(A, False)[1] if state.grad and needs_grad(A) or hasattr(type(A._a), "outermost") else _svdvals(A)


@public("svd", namespaces=_LA, method=False, out=True)
def linalg_svd_(A, full_matrices=True, *, driver=None):
    """U, S and V^H with ``A = U diag(S) V^H``, singular values falling; thin if not full_matrices."""
    check_matrix("linalg.svd", A)
    check_float("linalg.svd", A)
    return linalg_svd(_svd(A, full_matrices))


@public("svdvals", namespaces=_LA, method=False, out=True)
def svdvals(A, *, driver=None):
    """The singular values, falling."""
    check_matrix("linalg.svdvals", A)
    check_float("linalg.svdvals", A)
    return _values(A)


@public("svd", out=True)
def svd(input, some=True, compute_uv=True):
    """U, S and V with ``A = U diag(S) V^H`` (see linalg.svd)."""
    check_matrix("linalg.svd", input)
    check_float("linalg.svd", input)
    if not compute_uv:
        s = _values(input)
        *b, m, n = input._a.shape
        return svd_result((input.new_zeros((*b, m, m)), s, input.new_zeros((*b, n, n))))
    u, s, vh = _svd(input, not some)
    return svd_result((u, s, adjoint(vh)))


# ---------------------------------------------------------------- Hermitian eigenvalues

def _eigh_gradient(g0, g1, out0, out1):
    v = out1
    inner = matmul(adjoint(v), g1) / _differences(out0)
    inner = inner - inner.diagonal(0, -2, -1).diag_embed() + g0.to(v.dtype).diag_embed()
    return (matmul(matmul(v, inner), adjoint(v)),)


def _eigh_meta(A, UPLO):
    return (A._a.shape[:-1], A.dtype.to_real()), (A._a.shape, A.dtype)


@primitive("linalg_eigh(Tensor A, str UPLO) -> (Tensor eigenvalues, Tensor eigenvectors)",
           meta=_eigh_meta, vjp=Joint(_eigh_gradient))
def _eigh(a, UPLO):
    if not a.size:
        return np.empty(a.shape[:-1], real_of(a.dtype)), np.empty(a.shape, a.dtype)
    values, vectors = np.linalg.eigh(a, UPLO)
    return values, by_column(vectors)


@primitive("linalg_eigvalsh(Tensor A, str UPLO) -> Tensor", node="LinalgEighBackward0",
           meta=lambda A, UPLO: (A._a.shape[:-1], A.dtype.to_real()),
           vjp=NONDIFF("called without gradients only"))
def _eigvalsh(a, UPLO):
    return np.linalg.eigvalsh(a, UPLO) if a.size else np.empty(a.shape[:-1], real_of(a.dtype))


def _triangle_of(UPLO):
    u = UPLO.upper() if isinstance(UPLO, str) else UPLO
    if u not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return u


@public("eigh", namespaces=_LA, method=False, out=True)
def eigh(A, UPLO="L"):
    """Eigenvalues (rising) and orthonormal eigenvectors of Hermitian matrices; reads one triangle."""
    check_square("linalg.eigh", A)
    check_float("linalg.eigh", A)
    return linalg_eigh(_eigh(A, _triangle_of(UPLO)))


@public("eigvalsh", namespaces=_LA, method=False, out=True)
def eigvalsh(A, UPLO="L"):
    """Eigenvalues (rising) of Hermitian matrices; reads one triangle."""
    check_square("linalg.eigvalsh", A)
    check_float("linalg.eigvalsh", A)
    if state.grad and needs_grad(A) or hasattr(type(A._a), "outermost"):
        return _eigh(A, _triangle_of(UPLO))[0]
    return _eigvalsh(A, _triangle_of(UPLO))


# ---------------------------------------------------------------- general eigenvalues

def _eig_gradient(g0, g1, out0, out1, A_dtype):
    v = out1
    vhgv = matmul(adjoint(v), g1)
    d = vhgv.diagonal(0, -2, -1).real.to(v.dtype)
    inner = vhgv - matmul(adjoint(v), v * d.unsqueeze(-2))
    inner = inner / conj(_differences(out0))
    inner = inner - inner.diagonal(0, -2, -1).diag_embed() + g0.diag_embed()
    ga = _solve_general(adjoint(v), matmul(inner, adjoint(v)))
    return (ga if A_dtype.is_complex else ga.real,)


def _eig_meta(A):
    d = A.dtype.to_complex()
    return (A._a.shape[:-1], d), (A._a.shape, d)


@primitive("linalg_eig(Tensor A) -> (Tensor eigenvalues, Tensor eigenvectors)", meta=_eig_meta,
           vjp=Joint(_eig_gradient))
def _eig(a):
    d = np.result_type(a.dtype, np.complex64)
    if not a.size:
        return np.empty(a.shape[:-1], d), np.empty(a.shape, d)
    if not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    values, vectors = np.linalg.eig(a)
    return values.astype(d, copy=False), by_column(vectors.astype(d, copy=False))


@primitive("linalg_eigvals(Tensor A) -> Tensor", node="LinalgEigBackward0",
           vjp=NONDIFF("called without gradients only"),
           meta=lambda A: (A._a.shape[:-1], BY_NP[np.result_type(A.dtype.np, np.complex64)]))
def _eigvals(a):
    """The eigenvalues without their vectors, which gradients would need."""
    d = np.result_type(a.dtype, np.complex64)
    if not a.size:
        return np.empty(a.shape[:-1], d)
    if not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return np.linalg.eigvals(a).astype(d, copy=False)


@public("eig", namespaces=_LA, method=False, out=True)
def eig(A):
    """Eigenvalues and eigenvectors of square matrices, always complex."""
    check_square("linalg.eig", A)
    check_float("linalg.eig", A)
    return linalg_eig(_eig(A))


@public("eigvals", namespaces=_LA, method=False, out=True)
def eigvals(A):
    """Eigenvalues of square matrices, always complex."""
    check_square("linalg.eigvals", A)
    check_float("linalg.eigvals", A)
    if state.grad and needs_grad(A) or hasattr(type(A._a), "outermost"):
        return _eig(A)[0]
    return _eigvals(A)


# ---------------------------------------------------------------- pseudo-inverse and rank

def _pinv_gradient(g, out, A):
    """Golub and Pereyra, "The differentiation of pseudo-inverses" (1973)."""
    p, gh, ph = out, adjoint(g), adjoint(out)
    m, n = A._a.shape[-2:]
    if m <= n:
        k = matmul(gh, p)
        kp = matmul(k, ph)
        return -adjoint(matmul(p, k)) + kp - matmul(matmul(A, p), kp) + \
            matmul(matmul(ph, p), gh - matmul(k, A))
    k = matmul(p, gh)
    pk = matmul(ph, k)
    return -adjoint(matmul(k, p)) + matmul(matmul(gh - matmul(A, k), p), ph) + pk - \
        matmul(matmul(pk, p), A)


@primitive("linalg_pinv(Tensor self, Tensor threshold_a, Tensor threshold_r, bool hermitian) -> Tensor",
           vjp={"self": lambda g, out, self: _pinv_gradient(g, out, self), "threshold_a": lambda g: None,
                "threshold_r": lambda g: None})
def _pinv(a, atol, rtol, hermitian):
    m, n = a.shape[-2:]
    if not a.size:
        return np.empty((*a.shape[:-2], n, m), a.dtype)
    if hermitian:
        w, v = np.linalg.eigh(a)
        s = np.abs(w)
        cut = np.maximum(atol, rtol * s.max(-1))[..., None]
        inv = np.where(s > cut, 1 / np.where(s > cut, w, 1), 0).astype(v.dtype)
        return np.ascontiguousarray(np.matmul(v * inv[..., None, :], v.conj().swapaxes(-1, -2)))
    _finite("linalg.svd", a)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    cut = np.maximum(atol, rtol * s[..., :1].max(-1))[..., None]
    inv = np.where(s > cut, 1 / np.where(s > cut, s, 1), 0).astype(u.dtype)
    return np.ascontiguousarray(np.matmul(vh.conj().swapaxes(-1, -2) * inv[..., None, :],
                                          u.conj().swapaxes(-1, -2)))


def _tolerances(name, A, atol, rtol):
    """Absolute and relative tolerance as real tensors that broadcast over the batch."""
    real = A.dtype.to_real()
    for k, t in (("atol", atol), ("rtol", rtol)):
        if isinstance(t, Tensor) and t.dtype.is_complex:
            raise RuntimeError(f"{name}: {k} tensor of complex type is not supported.")
    eps = dtypes.finfo(real).eps * max(A._a.shape[-2:])
    has_atol = atol is not None
    if rtol is None:
        if has_atol and isinstance(atol, Tensor) and hasattr(type(atol._a), "outermost"):
            rtol = (atol <= 0).to(real) * eps
        elif has_atol:
            a = atol._a if isinstance(atol, Tensor) else np.array(atol)
            rtol = wrap(np.where(a > 0, 0.0, eps).astype(real.np))
        else:
            rtol = wrap(np.array(eps, real.np))
    if atol is None:
        atol = 0.0
    as_tensor = [t.detach().to(real) if isinstance(t, Tensor) else wrap(np.array(t, real.np))
                 for t in (atol, rtol)]
    return as_tensor


@public("pinv", namespaces=_LA, method=False, out=True)
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """The Moore-Penrose inverse; singular values below ``max(atol, rtol * largest)`` count as zero."""
    check_matrix("linalg.pinv", A)
    check_float("linalg.pinv", A)
    if hermitian:
        check_square("linalg.pinv", A)
    a, r = _tolerances("torch.linalg.pinv", A, atol, rcond if rtol is None else rtol)
    return _pinv(A, a, r, hermitian)


@public("pinverse")
def pinverse(input, rcond=1e-15):
    """The Moore-Penrose inverse (see linalg.pinv)."""
    return pinv(input, rcond)


@public("matrix_rank", namespaces=_LA, method=False, out=True)
def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """The number of singular values above ``max(atol, rtol * largest)``."""
    check_matrix("linalg.matrix_rank", A)
    check_float("linalg.matrix_rank", A)
    if hermitian:
        check_square("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    at, rt = _tolerances("torch.linalg.matrix_rank", A, atol, rtol)
    s = _eigvalsh(A.detach(), "L").abs() if hermitian else _svdvals(A.detach())
    if not s._a.shape[-1]:
        return wrap(np.zeros(np.broadcast_shapes(s._a.shape[:-1], at._a.shape), np.int64))
    cut = (rt * s.amax(-1)).maximum(at)
    return (s > cut.unsqueeze(-1)).sum(-1)


@public("cond", namespaces=_LA, method=False, out=True)
def cond(A, p=None):
    """The condition number ``|A| |A^-1|`` in the norm `p` (default 2: ratio of singular values)."""
    from .norms import matrix_norm
    check_matrix("linalg.cond", A)
    check_float("linalg.cond", A)
    if p is None or p in (2, -2):
        s = _values(A)
        big, small = s[..., 0], s[..., -1]
        return big / small if p != -2 else small / big
    check_square("linalg.cond", A)
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if not A._a.size:
        return A.new_zeros(A._a.shape[:-2], dtype=A.dtype.to_real())
    inverse, info = inverse_of("linalg.cond", A, False)
    r = matrix_norm(A, p) * matrix_norm(inverse, p)
    if type(info._a) is np.ndarray and watch.true(np.any, info):
        r = r.masked_fill(info != 0, float("inf"))
    return r


# ---------------------------------------------------------------- least squares

def _lstsq_gradient(g0, A, B, rcond):
    """Through the pseudo-inverse."""
    p = pinv(A, rtol=rcond)
    return _pinv_gradient(matmul(g0, adjoint(B)), p, A), matmul(adjoint(p), g0)


def _lstsq_meta(A, B, rcond, driver):
    m, n = A._a.shape[-2:]
    batch = np.broadcast_shapes(A._a.shape[:-2], B._a.shape[:-2])
    return [((*batch, n, B._a.shape[-1]), A.dtype), (A._a.shape[:-2], dtypes.int64),
            ((*A._a.shape[:-2], min(m, n)), A.dtype.to_real())]


@primitive("linalg_lstsq(Tensor A, Tensor B, float rcond, str driver) -> (Tensor solution, Tensor rank, Tensor values)",
           vjp=Joint(_lstsq_gradient), meta=_lstsq_meta)
def _lstsq(a, b, rcond, driver):
    """Solutions, ranks (of gels: 0) and singular values (of gelsd and gelss) by one LAPACK driver."""
    m, n, k = *a.shape[-2:], b.shape[-1]
    batch = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.zeros((*batch, k, n), a.dtype)
    ranks = np.zeros(a.shape[:-2], np.int64)
    values = np.zeros((*a.shape[:-2], min(m, n)), real_of(a.dtype))
    if a.size and b.size:
        _finite("linalg.lstsq", a)
        run = _driver(driver, a.dtype, m, n, k, rcond)
        # LAPACK takes columns, and the right side where the solution has more rows.
        right = np.zeros((*batch, k, max(m, n)), a.dtype)
        right[..., :m] = b.swapaxes(-1, -2)
        left = np.array((a if batch == a.shape[:-2] else np.broadcast_to(
            a, (*batch, m, n))).swapaxes(-1, -2), order="C")
        for place in np.ndindex(batch):
            own = place[len(place) - ranks.ndim:] if a.shape[:-2] == batch else tuple(
                [i if s > 1 else 0 for i, s in zip(place[len(place) - ranks.ndim:], ranks.shape)])
            found, rank, s = run(left[place].T, right[place].T, batch_index(place[0] if len(place) == 1 else place,
                                                                            batch))
            x[place], ranks[own] = found[:n].T, rank
            if s is not None:
                values[own] = s
    return x.swapaxes(-1, -2), ranks, values


@lru_cache(64)
def _driver(driver, np_dtype, m, n, k, rcond):
    """A function of (a, b, name of the matrix) giving b overwritten, the rank and singular values (or None)."""
    from scipy.linalg.lapack import get_lapack_funcs
    call, ask = get_lapack_funcs((driver, driver + "_lwork"), dtype=np_dtype)
    if driver == "gels":
        lwork = int(ask(m, n, k)[0].real)

        def run(a, b, name):
            _, x, info = call(a, b, lwork=lwork, overwrite_a=True, overwrite_b=True)
            if info > 0:
                raise singular(f"torch.linalg.lstsq: {name}The least squares solution could not be computed because "
                               f"the input matrix does not have full rank (error code: {info}).")
            return x, 0, None
    elif driver == "gelsy":
        lwork = int(ask(m, n, k, rcond)[0].real)

        def run(a, b, name):
            _, x, _, rank, _ = call(a, b, np.zeros(n, np.int32), rcond, lwork, True, True)
            return x, rank, None
    else:
        sizes = ask(m, n, k, rcond)
        lwork = int(sizes[0].real)

        def run(a, b, name):
            if driver == "gelss":
                _, x, s, rank, _, info = call(a, b, rcond, lwork, True, True)
            elif a.dtype.kind == "c":
                x, s, rank, info = call(a, b, lwork, int(sizes[1].real), int(sizes[2]), rcond, True, True)
            else:
                x, s, rank, info = call(a, b, lwork, int(sizes[1]), rcond, True, True)
            if info > 0:
                raise singular(f"torch.linalg.lstsq: {name}SVD failed to converge (error code: {info}).")
            return x, rank, s
    return run


@public("lstsq", namespaces=_LA, method=False, out=True)
def lstsq(A, B, rcond=None, *, driver=None):
    """The least-squares solution X of ``A X = B``, residuals, rank and singular values.

    drivers (LAPACK's): gelsy (default; QR with pivoting), gelsd and gelss (singular values), gels for full rank (QR).
    """
    check_matrix("linalg.lstsq", A)
    check_float("linalg.lstsq", A)
    if B._a.ndim < 1:
        raise RuntimeError("torch.linalg.lstsq: input.dim() must be greater or equal to 2 and other.dim() "
                           "must be greater or equal to 1")
    if A.dtype is not B.dtype:
        raise RuntimeError("torch.linalg.lstsq: Expected input and other to have the same dtype, but got "
                           f"input's dtype {A.dtype} and other's dtype {B.dtype}")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, "
                           "gelss)")
    vector = A._a.ndim - 1 == B._a.ndim and A._a.shape[:-1] == B._a.shape
    if not vector and B._a.ndim == 1:
        vector = True
    b = B.unsqueeze(-1) if vector else B
    m, n = A._a.shape[-2:]
    if b._a.shape[-2] != m:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-"
                           f"{1 if vector else 2})")
    driver = driver or "gelsy"
    if rcond is None:
        rcond = dtypes.finfo(A.dtype.to_real()).eps * max(m, n)
    x, found, singular_values = _lstsq(A, b, float(rcond), driver)
    rank = A.new_empty((0,), dtype=dtypes.int64) if driver == "gels" else found
    values = singular_values.detach() if driver in ("gelsd", "gelss") else A.new_empty(
        (0,), dtype=A.dtype.to_real())
    full = driver == "gels" or not rank._a.size or driver == "gelsy" or watch.true(lambda a: a.min() == n, rank)
    if needs_grad(x):
        residuals = (x.real if x.dtype.is_complex else x).reshape(-1)[:0]
    else:
        residuals = A.new_empty((0,), dtype=A.dtype.to_real())
    if m > n and full and driver != "gelsy":
        d = matmul(A, x) - b
        residuals = (d * conj(d)).real.sum(-2) if d.dtype.is_complex else (d * d).sum(-2)
    return linalg_lstsq((x.squeeze(-1) if vector else x, residuals, rank, values))

