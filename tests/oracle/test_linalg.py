"""Linear algebra: values, first and second derivatives as PyTorch's, for real and complex matrices."""

import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
LA = "F.linalg."


def operands(complex_):
    rng = np.random.default_rng(0)

    def rand(*shape):
        a = rng.standard_normal(shape)
        return a + 1j * rng.standard_normal(shape) if complex_ else a
    return {"A": rand(3, 3), "B": rand(2, 3, 3), "W": rand(2, 5), "T": rand(5, 2), "v": rand(3),
            "M": rand(3, 2), "R": rand(2, 3), "N": rand(9, 9), "t": rand(2)}


CASES = [(LA + e, names) for e, names in [
    ("inv(a)", "B"), ("det(a)", "B"), ("slogdet(a)[1]", "B"), ("solve(a, b)", "AM"), ("solve(a, b)", "Av"),
    ("solve(a, b)", "BM"), ("solve(a, b, left=False)", "AR"),
    ("solve_triangular(a, b, upper=True)", "BA"),
    ("solve_triangular(a, b, upper=False, left=False)", "BA"),
    ("solve_triangular(a, b, upper=False, unitriangular=True)", "BA"),
    ("cholesky(a @ a.mH + F.eye(3, dtype=a.dtype))", "B"),
    ("cholesky(a @ a.mH + F.eye(3, dtype=a.dtype), upper=True)", "B"),
    ("qr(a)[0].abs()", "T"), ("qr(a)[1]", "W"), ("svdvals(a)", "T"), ("eigh(a + a.mH)[0]", "B"),
    ("eigh(a + a.mH)[1].abs()", "B"), ("eigvals(a).abs().sum()", "B"), ("pinv(a)", "T"), ("pinv(a)", "W"),
    ("pinv(a @ a.mH, hermitian=True)", "A"), ("lstsq(a, b)[0]", "TT"), ("matrix_exp(a)", "B"),
    ("matrix_power(a, 5)", "A"), ("matrix_power(a, -2)", "A"), ("lu_factor(a)[0]", "B"),
    ("lu_factor(a)[0]", "T"), ("lu_factor(a)[0]", "W"), ("lu(a)[1]", "T"), ("lu(a)[2]", "W"),
    ("lu_solve(*F.linalg.lu_factor(a), b)", "AM"), ("lu_solve(*F.linalg.lu_factor(a), b, adjoint=True)", "AM"),
    ("lu_solve(*F.linalg.lu_factor(a), b, left=False)", "AR"), ("householder_product(a, b)", "Tt"),
    ("matrix_norm(a)", "B"), ("matrix_norm(a, 1)", "B"), ("matrix_norm(a, -2)", "B"),
    ("matrix_norm(a, 'nuc')", "B"), ("vector_norm(a, 3, dim=1)", "A"), ("cond(a)", "A"),
    ("matrix_rank(a)", "A"), ("tensorinv(a.reshape(3, 3, 9), 2)", "N"), ("vecdot(a, b)", "AA"),
    ("cross(a, b)", "AA"), ("multi_dot([a, b, a])", "AA"), ("ldl_solve(*F.linalg.ldl_factor(a + a.mT), b)", "AM"),
    ("det(a[:, :1] @ b[:1])", "AA"),
]] + [
    ("F.logdet(a @ a.mH)", "A"), ("F.cholesky_solve(b, a.tril())", "AM"),
    ("F.ormqr(a.detach(), b.detach(), d)", "TtT"), ("F.triangular_solve(b, a)[0]", "AM"),
    ("F.einsum('ij,jk,k->i', a, b, d)", "AAv"), ("F.einsum('iij->j', a.reshape(3, 3, 1))", "A"),
    ("F.addmm(a, b, d, beta=2, alpha=3)", "AAA"), ("F.baddbmm(a, b, d, beta=2, alpha=3)", "ABB"),
    ("F.addbmm(a, b, d, beta=2, alpha=3)", "ABB"), ("F.addr(a, b, d, beta=2, alpha=3)", "Avv"),
    ("F.nn.functional.linear(a, b, d)", "BAv"), ("F.kron(a, b)", "AM"), ("F.matmul(a, b)", "vB"),
]


def run(F, expression, arrays, second):
    ts = [F.from_numpy(np.array(a)).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = eval(expression, {"F": F, **dict(zip("abd", ts))})
    value = out.detach().resolve_conj().numpy()
    if not out.requires_grad:
        return [value]
    rng = np.random.default_rng(5)
    w = rng.standard_normal(value.shape)
    w = np.asarray((w + 1j * w if value.dtype.kind == "c" else w).astype(value.dtype))
    grads = F.autograd.grad(out, ts, F.from_numpy(w), create_graph=second, allow_unused=True)
    results = [value, *grads]
    if second:
        total = sum((g.abs() ** 2).sum() for g in grads if g is not None and g.requires_grad)
        if not isinstance(total, int):
            results += F.autograd.grad(total, ts, allow_unused=True)
    return [r.detach().resolve_conj().numpy() if isinstance(r, F.Tensor) else r for r in results]


@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("expression, names", CASES)
def test_values_and_gradients_like_pytorch(expression, names, complex_, second):
    if complex_ and "einsum('iij" in expression or complex_ and "det(a[:" in expression:
        pytest.skip("real case is enough")
    arrays = [operands(complex_)[n] for n in names]
    if len(set(names)) < len(names):
        arrays = [a + 0.3 * i for i, a in enumerate(arrays)]
    try:
        expected = run(torch, expression, arrays, second)
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch has no gradient for it")
    found = run(rushlight, expression, arrays, second)
    assert len(expected) == len(found)
    for e, f in zip(expected, found):
        e, f = (np.zeros(()) if x is None else x for x in (e, f))
        np.testing.assert_allclose(f, np.broadcast_to(e, f.shape), rtol=1e-5, atol=1e-7)
