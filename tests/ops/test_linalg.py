"""Linear algebra: definitions hold, gradients agree with finite differences, errors name the matrix."""

import numpy as np
import pytest

import rushlight as torch

from .helpers import generator, numerical_gradient

LA = torch.linalg


def rand(*shape, seed=0):
    return generator(seed).standard_normal(shape)


A, BATCH, TALL, WIDE = rand(3, 3), rand(2, 3, 3, seed=1), rand(5, 2, seed=2), rand(2, 5, seed=3)
SPD = A @ A.T + 3 * np.eye(3)


def same(t, a, tol=1e-10):
    np.testing.assert_allclose(t.detach().numpy() if hasattr(t, "detach") else t, a, atol=tol)


@pytest.mark.parametrize("a", [A, BATCH], ids=["one", "batch"])
def test_solving(a):
    t, b = torch.tensor(a), torch.tensor(rand(3, 2, seed=5))
    same(LA.inv(t), np.linalg.inv(a))
    same(LA.det(t), np.linalg.det(a))
    same(LA.slogdet(t).logabsdet, np.linalg.slogdet(a)[1])
    same(t @ LA.solve(t, b), np.broadcast_to(b.numpy(), (*a.shape[:-2], 3, 2)))
    right = torch.tensor(rand(4, 3, seed=6))
    same(LA.solve(t, right, left=False) @ t, np.broadcast_to(right.numpy(), (*a.shape[:-2], 4, 3)))
    upper = t.triu()
    same(upper @ LA.solve_triangular(upper, b, upper=True), np.broadcast_to(b.numpy(), (*a.shape[:-2], 3, 2)))
    same(LA.matrix_power(t, -2), np.linalg.inv(a @ a), 1e-8)


@pytest.mark.parametrize("a", [A, BATCH, TALL, WIDE], ids=["square", "batch", "tall", "wide"])
def test_factorizations_multiply_to_the_matrix(a):
    t = torch.tensor(a)
    q, r = LA.qr(t)
    same(q @ r, a)
    same(q.mT @ q, np.broadcast_to(np.eye(q.shape[-1]), (*a.shape[:-2], q.shape[-1], q.shape[-1])))
    u, s, vh = LA.svd(t, full_matrices=False)
    same(u * s.unsqueeze(-2) @ vh, a)
    same(LA.svdvals(t), s.numpy())
    p, low, up = LA.lu(t)
    same(p @ low @ up, a)
    p, low, up = torch.lu_unpack(*LA.lu_factor(t))
    same(p @ low @ up, a)
    pinv = LA.pinv(t)
    same(t @ pinv @ t, a)
    same(LA.matrix_rank(t), np.linalg.matrix_rank(a))


def test_symmetric_matrices():
    t = torch.tensor(SPD)
    L = LA.cholesky(t)
    same(L @ L.mT, SPD)
    same(L.triu(1), np.zeros((3, 3)))
    same(LA.cholesky(t, upper=True), L.mT.numpy())
    same(torch.cholesky_inverse(L), np.linalg.inv(SPD))
    same(t @ torch.cholesky_solve(torch.tensor(TALL[:3]), L), TALL[:3])
    w, v = LA.eigh(t)
    same(v * w @ v.mT, SPD)
    same(LA.eigvalsh(t), w.numpy())
    indefinite = torch.tensor(np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]]))
    b = torch.tensor(TALL[:3])
    same(indefinite @ LA.ldl_solve(*LA.ldl_factor(indefinite), b), b.numpy())


def test_general_eigenvalues():
    w, v = LA.eig(torch.tensor(A))
    same(torch.tensor(A).to(torch.complex128) @ v, (v * w.unsqueeze(-2)).numpy())
    assert LA.eigvals(torch.tensor(A)).dtype is torch.complex128


def test_householder_reflections_rebuild_q():
    a, tau = torch.geqrf(torch.tensor(TALL))
    q = LA.householder_product(a, tau)
    same(q @ a[:2].triu(), TALL)
    same(torch.ormqr(a, tau, torch.tensor(TALL), transpose=True)[:2], a[:2].triu().numpy())


def test_matrix_exponential():
    w, v = np.linalg.eigh(SPD)
    same(LA.matrix_exp(torch.tensor(SPD)), (v * np.exp(w)) @ v.T, 1e-6)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(order):
    same(LA.matrix_norm(torch.tensor(TALL), order), np.linalg.norm(TALL, order))
    same(LA.norm(torch.tensor(TALL), order), np.linalg.norm(TALL, order))
    if order not in ("nuc",):
        same(LA.cond(torch.tensor(A), order), np.linalg.cond(A, order))


def test_least_squares():
    b = rand(5, 1, seed=8)
    x, residuals, rank, s = LA.lstsq(torch.tensor(TALL), torch.tensor(b), driver="gelsd")
    expected = np.linalg.lstsq(TALL, b, rcond=None)
    same(x, expected[0])
    same(residuals, expected[1])
    same(s, expected[3])
    assert rank.item() == 2


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
def test_least_squares_by_each_driver(driver, dtype):
    rng = np.random.default_rng(0)
    tolerance = 1e-4 if dtype in ("float32", "complex64") else 1e-10
    for m, n in ((6, 3), (3, 6), (4, 4)):
        a, b = (rng.standard_normal(s) + (1j * rng.standard_normal(s) if "complex" in dtype else 0)
                for s in ((2, m, n), (2, m, 2)))
        if driver != "gels" and n > 1:
            a[0, :, 1] = 2 * a[0, :, 0]
        given = (torch.tensor(t).to(getattr(torch, dtype)) for t in (a, b))
        x, residuals, rank, values = LA.lstsq(*given, driver=driver)
        for k in range(2):
            want = np.linalg.lstsq(a[k], b[k], rcond=max(m, n) * np.finfo(dtype).eps)
            np.testing.assert_allclose(x[k].numpy(), want[0], rtol=tolerance, atol=tolerance * 10)
            if driver != "gels":
                assert rank[k].item() == want[2]
            if driver in ("gelsd", "gelss"):
                np.testing.assert_allclose(values[k].numpy(), want[3], rtol=tolerance, atol=tolerance * 10)
    assert values.shape == ((2, 4) if driver in ("gelsd", "gelss") else (0,))
    assert rank.shape == ((0,) if driver == "gels" else (2,))


def test_least_squares_gradients_and_refusals():
    rng = np.random.default_rng(0)
    for m, n in ((4, 3), (3, 4)):
        a, b = (torch.tensor(rng.standard_normal(s), requires_grad=True) for s in ((m, n), (m, 2)))
        assert torch.autograd.gradcheck(lambda a, b: LA.lstsq(a, b).solution, (a, b))
    with pytest.raises(RuntimeError, match="full rank"):
        LA.lstsq(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.ones(2, 1), driver="gels")
    with pytest.raises(RuntimeError):
        LA.lstsq(torch.full((3, 2), float("nan")), torch.ones(3, 1))
    assert LA.lstsq(torch.zeros(0, 2), torch.zeros(0, 3)).solution.tolist() == [[0.0] * 3] * 2


def test_tensor_equations():
    n = torch.tensor(rand(9, 9))
    t = n.reshape(3, 3, 9)
    same(LA.tensorinv(t).reshape(9, 9) @ n, np.eye(9))
    same(torch.tensordot(t, LA.tensorsolve(t, torch.tensor(A)), 1), A)


GRADIENTS = [
    ("inv", LA.inv, BATCH), ("det", LA.det, BATCH), ("solve", lambda t: LA.solve(t, torch.tensor(TALL[:3])), A),
    ("cholesky", lambda t: LA.cholesky(t @ t.mT + torch.eye(3, dtype=torch.float64)), BATCH),
    ("qr", lambda t: LA.qr(t)[1], TALL), ("qr wide", lambda t: LA.qr(t)[1], WIDE),
    ("svdvals", LA.svdvals, WIDE), ("eigvalsh", lambda t: LA.eigvalsh(t + t.mT), BATCH),
    ("pinv", LA.pinv, TALL), ("matrix_exp", LA.matrix_exp, A), ("lu", lambda t: LA.lu_factor(t)[0], TALL),
    ("slogdet", lambda t: LA.slogdet(t)[1], A), ("norm", lambda t: LA.matrix_norm(t, "nuc"), TALL),
    ("triangular", lambda t: LA.solve_triangular(t, torch.tensor(TALL[:3]), upper=False), A + 3 * np.eye(3)),
    ("singular det", lambda t: LA.det(t[:, :2] @ t[:2]), A),
]


@pytest.mark.parametrize("name, op, a", GRADIENTS, ids=[g[0] for g in GRADIENTS])
def test_gradients(name, op, a):
    t = torch.tensor(a, requires_grad=True)
    r = op(t)
    w = rand(*r.shape, seed=11) if r.ndim else np.array(1.0)
    g, = torch.autograd.grad((r * torch.tensor(w)).sum(), t)
    numeric = numerical_gradient(lambda x: op(torch.tensor(x)).numpy(), a.copy(), w)
    np.testing.assert_allclose(g.numpy(), numeric, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("make, text", [
    (lambda: LA.inv(torch.zeros(2, 2)), "linalg.inv: The diagonal element 1 is zero"),
    (lambda: LA.inv(torch.zeros(1, 2, 2)), r"\(Batch element 0\)"),
    (lambda: LA.cholesky(-torch.eye(2)), "not positive-definite"),
    (lambda: LA.solve(torch.zeros(2, 2), torch.ones(2)), "singular"),
    (lambda: LA.svd(torch.full((2, 2), float("nan"))), "non-finite")])
def test_singular_matrices(make, text):
    with pytest.raises(LA.LinAlgError, match=text):
        make()
    assert issubclass(LA.LinAlgError, RuntimeError)


@pytest.mark.parametrize("make, text", [
    (lambda: LA.inv(torch.ones(2, 3)), "must be batches of square matrices, but they are 2 by 3 matrices"),
    (lambda: LA.inv(torch.ones(3)), "at least 2 dimensions"),
    (lambda: LA.det(torch.ones(2, 2, dtype=torch.int64)), "Expected a floating point or complex tensor"),
    (lambda: LA.solve(torch.eye(3), torch.ones(2)), "Incompatible shapes"),
    (lambda: LA.qr(torch.eye(2), mode="x"), "unrecognized mode")])
def test_bad_arguments(make, text):
    with pytest.raises(RuntimeError, match=text):
        make()


def test_information_instead_of_an_error():
    assert LA.inv_ex(torch.zeros(2, 2)).info.item() == 1
    assert LA.cholesky_ex(-torch.eye(2)).info.item() == 1
    assert LA.solve_ex(torch.zeros(2, 2), torch.ones(2, 1)).info.item() == 1


def test_gradient_of_singular_values_at_zero():
    for order, want in (("nuc", np.eye(4)), (2, np.eye(4) / 4), (-2, np.eye(4) / 4)):
        a = torch.zeros(4, 4, requires_grad=True)
        torch.linalg.norm(a, order).backward()
        np.testing.assert_allclose(a.grad.abs().numpy(), want)
