"""A few extreme eigenvalues and eigenvectors of a large symmetric matrix, by products with it only."""

from ..registry import function, public


def _adjoint(a):
    return a.mH if a.is_complex() else a.mT


@public(method=False)
def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, method=None, tracker=None,
           ortho_iparams=None, ortho_fparams=None, ortho_bparams=None):
    """The `k` largest (or smallest) eigenvalues of ``A x = lambda B x`` and their vectors: (E, V).

    Knyazev, "Toward the optimal preconditioned eigensolver", SIAM J. Sci. Comput. 23 (2001), with the trial subspace
    made orthonormal in the inner product of B as Duersch et al., arXiv:1704.07458, do.

    Args:
        A: (..., m, m) symmetric; B: as A and positive definite, default the identity.
        X: (..., m, k) first guess, default random; n: its number of columns, default k.
        iK: preconditioner, about the inverse of A.
        niter: most iterations, default as many as it takes; tol: relative residual to stop at, default the root of the
            type's epsilon.
        tracker: called with this state once an iteration; an attribute ``bvars["force_stop"]`` ends it.

    ValueError where ``m < 3 k``. Gradients flow through the eigenvalues and vectors that are returned.
    """
    if method not in (None, "ortho", "basic"):
        raise ValueError(f"expected method to be 'basic' or 'ortho', got {method!r}")
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError("A must be a square matrix, or a batch of them")
    if A.dim() > 2:
        batch, m = A.shape[:-2], A.shape[-1]
        flat = A.reshape(-1, m, m)
        parts = [lobpcg(a, k, None if B is None else B.reshape(-1, m, m)[i], None if X is None else
                        X.reshape(-1, m, X.shape[-1])[i], n, iK, niter, tol, largest, method, tracker)
                 for i, a in enumerate(flat)]
        stack = function("stack")
        return (stack([e for e, _ in parts]).reshape(*batch, -1),
                stack([v for _, v in parts]).reshape(*batch, m, -1))
    m = A.shape[0]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = k if n is None else n
    n = n if X is None else X.shape[-1]
    if m < 3 * n:
        raise ValueError(f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the "
                         f"number of requested eigenpairs (={n})")
    largest = True if largest is None else largest
    if X is None:
        X = function("randn")(m, n, dtype=A.dtype, device=A.device)
    with _no_grad():
        E, V = _iterate(A.detach(), None if B is None else B.detach(), X.detach(), k, iK, niter, tol, largest, tracker)
    if A.requires_grad or B is not None and B.requires_grad:
        return _with_history(A, B, E, V)
    return E, V


def _no_grad():
    from ...autograd.modes import no_grad
    return no_grad()


class _Progress:
    """What a tracker sees: counts, values, tensors, and a switch to stop by."""

    def __init__(self):
        self.ivars, self.fvars, self.bvars, self.tvars = {"istep": 0}, {}, {"force_stop": False}, {}


def _orthonormal(S, B):
    """A basis of the columns of S, orthonormal in the inner product of B; nearly dependent directions are left out."""
    eigh = function("eigh", "torch.linalg")
    for _ in range(2):
        gram = _adjoint(S) @ (S if B is None else B @ S)
        scale = gram.diagonal().clamp_min(0).sqrt()
        scale = scale.where(scale > 0, 1.0)
        values, vectors = eigh(gram / scale.outer(scale))
        keep = values > values.max() * _eps(S.dtype) * S.shape[1]
        S = (S / scale) @ (vectors[:, keep] / values[keep].sqrt())
    return S


def _eps(dtype):
    """The distance of 1 from the next number of a type."""
    from ... import dtypes
    return dtypes.finfo(dtype).eps


def _iterate(A, B, X, k, iK, niter, tol, largest, tracker):
    eigh, cat = function("eigh", "torch.linalg"), function("cat")
    tol = _eps(A.dtype) ** 0.5 if tol is None else tol
    sign = -1 if largest else 1
    n = X.shape[1]
    progress = _Progress()
    norm_A = A.norm() / A.shape[0] ** 0.5
    norm_B = 1.0 if B is None else B.norm() / A.shape[0] ** 0.5

    def ritz(S):
        S = _orthonormal(S, B)
        values, vectors = eigh(_adjoint(S) @ (A @ S))
        order = (sign * values).argsort()[:n]
        return values[order], S @ vectors[:, order]
    E, X = ritz(X)
    P = None
    steps = 1000 if niter is None or niter < 0 else niter
    for step in range(steps):
        BX = X if B is None else B @ X
        R = A @ X - BX * E
        residual = R.norm(dim=0) / (X.norm(dim=0) * (norm_A + E.abs() * norm_B))
        done = bool((residual[:k] < tol).all())
        progress.ivars["istep"], progress.ivars["converged_count"] = step, int((residual < tol).sum())
        progress.tvars.update(rerr=residual)
        progress.E, progress.X, progress.R = E, X, R
        if tracker is not None:
            tracker(progress)
        if done or progress.bvars["force_stop"]:
            break
        W = R if iK is None else iK @ R
        W = W / W.norm(dim=0).clamp_min(_eps(A.dtype) ** 2)
        old = X
        E, X = ritz(cat([X, W] if P is None else [X, W, P], 1))
        change = X - old @ (_adjoint(old) @ (X if B is None else B @ X))
        lengths = change.norm(dim=0)
        P = change / lengths.where(lengths > 0, 1.0)
    return E[:k], X[:, :k]


def _with_history(A, B, E, V):
    """(E, V) as functions of A and B: eigenvalues to first order, vectors by one step of the resolvent."""
    pinv = function("pinv", "torch.linalg")
    eye = function("eye")(A.shape[0], dtype=A.dtype, device=A.device)
    metric = eye if B is None else B
    values = (V * ((A @ V) - (metric @ V) * E)).sum(0) + E
    columns = []
    for i in range(V.shape[1]):
        v = V[:, i]
        r = A @ v - (metric @ v) * values[i]
        solve = pinv((A - E[i] * metric).detach())
        scale = 1 - 0.5 * (v @ ((metric - metric.detach()) @ v))
        columns.append(v * scale - (solve @ r - v * (v @ (metric.detach() @ (solve @ r)))))
    return values, function("stack")(columns, 1)
