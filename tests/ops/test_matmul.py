"""Matrix products: all ranks, layouts and dtypes against NumPy; gradients by finite differences."""

import numpy as np
import pytest

import rushlight as torch

from .helpers import generator, numerical_gradient

LINEAR = torch.nn.functional.linear


def rand(*shape, seed=0):
    return generator(seed).standard_normal(shape)


PRODUCTS = [
    ("mm", lambda a, b: a @ b, np.matmul, [(3, 4), (4, 5)]),
    ("batch", lambda a, b: a @ b, np.matmul, [(2, 3, 4), (2, 4, 5)]),
    ("broadcast", lambda a, b: a @ b, np.matmul, [(2, 1, 3, 4), (5, 4, 2)]),
    ("folded", lambda a, b: a @ b, np.matmul, [(2, 3, 4), (4, 5)]),
    ("matrix with batch", lambda a, b: a @ b, np.matmul, [(3, 4), (2, 4, 5)]),
    ("mv", lambda a, b: a @ b, np.matmul, [(3, 4), (4,)]),
    ("vm", lambda a, b: a @ b, np.matmul, [(4,), (4, 3)]),
    ("vector with batch", lambda a, b: a @ b, np.matmul, [(4,), (2, 4, 3)]),
    ("batch with vector", lambda a, b: a @ b, np.matmul, [(2, 3, 4), (4,)]),
    ("dot", lambda a, b: a @ b, np.matmul, [(4,), (4,)]),
    ("linear", lambda a, b: LINEAR(a, b), lambda a, b: a @ b.T, [(3, 4), (5, 4)]),
    ("linear of a batch", lambda a, b: LINEAR(a, b), lambda a, b: a @ b.T, [(2, 3, 4), (5, 4)]),
    ("einsum", lambda a, b: torch.einsum("bij,kj->bki", a, b),
     lambda a, b: np.einsum("bij,kj->bki", a, b), [(2, 3, 4), (5, 4)]),
    ("einsum ellipsis", lambda a, b: torch.einsum("...ij,...kj->...ik", a, b),
     lambda a, b: np.einsum("...ij,...kj->...ik", a, b), [(2, 3, 4), (5, 4)]),
    ("tensordot", lambda a, b: torch.tensordot(a, b, ([0, 2], [1, 0])),
     lambda a, b: np.tensordot(a, b, ([0, 2], [1, 0])),
     [(2, 3, 4), (4, 2, 5)]),
    ("kron", torch.kron, np.kron, [(2, 3), (3, 2)]),
    ("outer", torch.outer, np.outer, [(3,), (4,)]),
    ("inner", torch.inner, np.inner, [(2, 4), (3, 4)]),
    ("cross", lambda a, b: torch.cross(a, b, dim=-1), np.cross, [(4, 3), (4, 3)]),
]


@pytest.mark.parametrize("name, op, reference, shapes", PRODUCTS, ids=[p[0] for p in PRODUCTS])
def test_values_and_gradients(name, op, reference, shapes):
    arrays = [rand(*s, seed=i) for i, s in enumerate(shapes)]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    r = op(*ts)
    expected = reference(*arrays)
    np.testing.assert_allclose(r.detach().numpy(), expected, atol=1e-12)
    w = rand(*expected.shape, seed=9) if expected.shape else np.array(1.3)
    grads = torch.autograd.grad((r * torch.tensor(w)).sum(), ts, create_graph=True)
    for i, g in enumerate(grads):
        def partial(x, i=i):
            return reference(*[x if k == i else a for k, a in enumerate(arrays)])
        np.testing.assert_allclose(g.detach().numpy(), numerical_gradient(partial, arrays[i].copy(), w), atol=1e-6)
    # The product is bilinear: the derivative of <g_a, v> by b is the gradient of a's direction v.
    v = torch.tensor(rand(*shapes[0], seed=4))
    second, = torch.autograd.grad((grads[0] * v).sum(), ts[1])
    direct, = torch.autograd.grad((op(v, ts[1]) * torch.tensor(w)).sum(), ts[1])
    np.testing.assert_allclose(second.numpy(), direct.numpy(), atol=1e-10)


@pytest.mark.parametrize("dtype, tol", [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.float16, 5e-3),
                                        (torch.bfloat16, 5e-2), (torch.complex64, 1e-5), (torch.int64, 0),
                                        (torch.uint8, 0)])
def test_dtypes_and_strides(dtype, tol):
    a, b = rand(6, 8), rand(8, 5, seed=1)
    if not dtype.is_floating_point and not dtype.is_complex:
        a, b = np.abs(np.round(a * 2)), np.abs(np.round(b * 2))
    x, y = torch.tensor(a).to(dtype), torch.tensor(b).to(dtype)
    expected = (x.double().numpy() if dtype is not torch.complex64 else a) @ (
        y.double().numpy() if dtype is not torch.complex64 else b)
    for p, q in ((x, y), (x.t().contiguous().t(), y), (x, y.t().contiguous().t()),
                 (torch.cat([x, x], 1)[:, :8], y)):
        r = p @ q
        assert r.dtype is dtype
        value = r.real if dtype.is_complex else r.double()
        np.testing.assert_allclose(value.numpy(), expected, rtol=tol, atol=tol * 4)


def test_heads_that_do_not_merge_into_one_batch():
    x = rand(2, 5, 3, 4)
    q = torch.tensor(x).transpose(1, 2)
    np.testing.assert_allclose((q @ q.transpose(-1, -2)).numpy(), np.einsum("bthd,bshd->bhts", x, x), atol=1e-12)


def test_empty_operands():
    assert (torch.ones(2, 0) @ torch.ones(0, 3)).tolist() == [[0] * 3] * 2
    assert (torch.ones(0, 2) @ torch.ones(2, 3)).shape == (0, 3)
    assert torch.bmm(torch.ones(0, 2, 3), torch.ones(0, 3, 4)).shape == (0, 2, 4)


@pytest.mark.parametrize("name, args", [("addmm", [(3, 5), (3, 4), (4, 5)]), ("addmv", [(3,), (3, 4), (4,)]),
                                        ("addr", [(3, 4), (3,), (4,)]), ("baddbmm", [(3, 5), (2, 3, 4), (2, 4, 5)]),
                                        ("addbmm", [(3, 5), (2, 3, 4), (2, 4, 5)])])
def test_sums_and_products(name, args):
    c, a, b = (rand(*s, seed=i) for i, s in enumerate(args))
    product = np.multiply.outer(a, b) if name == "addr" else a @ b
    product = product.sum(0) if name == "addbmm" else product
    fn = getattr(torch, name)
    ts = [torch.tensor(x, requires_grad=True) for x in (c, a, b)]
    r = fn(*ts, beta=0.5, alpha=2)
    np.testing.assert_allclose(r.detach().numpy(), 0.5 * c + 2 * product, atol=1e-12)
    r.sum().backward()
    scale = 2 if name == "baddbmm" else 1
    np.testing.assert_allclose(ts[0].grad.numpy(), np.full(c.shape, 0.5 * scale))
    nan = torch.full(args[0], float("nan"), dtype=torch.float64)
    assert not fn(nan, ts[1].detach(), ts[2].detach(), beta=0).isnan().any()


def test_fused_bias():
    x, w, b = rand(3, 4), rand(5, 4, seed=1), rand(5, seed=2)
    ts = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    r = LINEAR(*ts)
    assert r.grad_fn.name() == "AddmmBackward0"
    np.testing.assert_allclose(r.detach().numpy(), x @ w.T + b, atol=1e-12)
    (r * torch.tensor(rand(3, 5, seed=3))).sum().backward()
    np.testing.assert_allclose(ts[2].grad.numpy(), rand(3, 5, seed=3).sum(0), atol=1e-12)
    np.testing.assert_allclose(ts[1].grad.numpy(), rand(3, 5, seed=3).T @ x, atol=1e-12)


@pytest.mark.parametrize("make, text", [
    (lambda: torch.mm(torch.zeros(2, 3), torch.zeros(2, 3)),
     r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"),
    (lambda: torch.mm(torch.zeros(2, 3), torch.zeros(3, 2).double()), "same dtype, but got: float != double"),
    (lambda: torch.dot(torch.zeros(2), torch.zeros(3)), "inconsistent tensor size"),
    (lambda: torch.bmm(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)), "Expected size for first two dimensions"),
    (lambda: torch.matmul(torch.tensor(1.0), torch.zeros(2)), "at least 1D"),
    (lambda: torch.einsum("ij,jk->il", torch.zeros(2, 2), torch.zeros(2, 2)), "output subscript l does not appear"),
    (lambda: torch.einsum("ij,kj->ik", torch.zeros(2, 3), torch.zeros(2, 4)), "does not broadcast"),
    (lambda: torch.linalg.multi_dot([torch.zeros(2, 2)]), "at least 2 tensors"),
    (lambda: LINEAR(torch.zeros(2, 3), torch.zeros(4, 5)), "cannot be multiplied")])
def test_errors(make, text):
    with pytest.raises(RuntimeError, match=text):
        make()


def test_bool_has_no_product():
    with pytest.raises(NotImplementedError, match="Bool"):
        torch.ones(2, 2, dtype=torch.bool) @ torch.ones(2, 2, dtype=torch.bool)


def test_chains_are_multiplied_in_the_cheapest_order():
    ms = [rand(10, 100), rand(100, 5, seed=1), rand(5, 50, seed=2), rand(50, seed=3)]
    np.testing.assert_allclose(torch.linalg.multi_dot([torch.tensor(m) for m in ms]).numpy(), np.linalg.multi_dot(ms))


def test_meta():
    a, b = torch.empty(1 << 16, 1 << 16, device="meta"), torch.empty(1 << 16, 7, device="meta")
    assert (a @ b).shape == (1 << 16, 7)
    assert LINEAR(a, b.t()).shape == (1 << 16, 7)


@pytest.mark.parametrize("equation, shapes", [
    ("ij,jk->ik", [(3, 4), (4, 5)]), ("ij,jk", [(3, 4), (4, 5)]), ("ij,kj->ki", [(3, 4), (5, 4)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("bihd,bjhd->bhij", [(2, 3, 4, 5), (2, 6, 4, 5)]),
    ("bhij,bjhd->bihd", [(2, 4, 3, 6), (2, 6, 4, 5)]),
    ("abcdij,abcdjk->abcdik", [(2, 1, 2, 2, 3, 4), (2, 1, 2, 2, 4, 5)]),
    ("abij,bcjd->acid", [(2, 3, 4, 5), (3, 2, 5, 3)]), ("i,i->", [(4,), (4,)]), ("ij,j->i", [(3, 4), (4,)]),
    ("ijk,jkl->il", [(2, 3, 4), (3, 4, 5)]), ("ij,jk->ik", [(3, 1), (4, 5)]), ("...ij,jk->...ik", [(2, 3, 4), (4, 5)]),
    ("b...i,b...i->b...", [(2, 3, 4), (2, 3, 4)]), ("ii,ij->j", [(3, 3), (3, 2)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
])
def test_einsum(equation, shapes):
    arrays = [rand(*s, seed=i) for i, s in enumerate(shapes)]
    for _ in range(2):          # the second time by the plan that was kept
        got = torch.einsum(equation, *map(torch.tensor, arrays))
        if shapes[0][-1] == 1:
            expected = np.einsum(equation, np.broadcast_to(arrays[0], (3, 4)), arrays[1])
        else:
            expected = np.einsum(equation, *arrays)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_einsum_leaves_strided_operands_where_they_are():
    q, k = torch.randn(2, 5, 3, 4), torch.randn(2, 6, 3, 4)
    r = torch.einsum("bihd,bjhd->bhij", q, k)
    np.testing.assert_allclose(r.numpy(), np.einsum("bihd,bjhd->bhij", q.numpy(), k.numpy()), atol=1e-5)
    assert r.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64])
def test_sums_with_products(dtype):
    def draw(*shape, seed):
        return torch.tensor(np.rint(4 * rand(*shape, seed=seed))).to(dtype)
    a, b, v = draw(6, 7, seed=1), draw(7, 9, seed=2), draw(7, seed=3)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    factors = [(1, 1), (0, 1), (2, 3), (1, -1)]
    if dtype.is_complex:
        factors += [(1j, 2), (1, 1 + 2j)]
    for beta, alpha in factors:
        for c in (draw(6, 9, seed=4), draw(9, seed=5), draw(1, 9, seed=6), draw(6, 1, seed=7), draw(9, 6, seed=8).t()):
            r = torch.addmm(c, a, b, beta=beta, alpha=alpha)
            expected = (beta * c.to(wide) + alpha * (a.to(wide) @ b.to(wide))).to(dtype)
            assert torch.equal(r, expected)
        for c in (draw(6, seed=4), draw(1, seed=5)):
            r = torch.addmv(c, a, v, beta=beta, alpha=alpha)
            assert torch.equal(r, (beta * c.to(wide) + alpha * (a.to(wide) @ v.to(wide))).to(dtype))
        a3, b3 = torch.stack([a, a * 2]), torch.stack([b, b])
        for c in (draw(2, 6, 9, seed=4), draw(6, 9, seed=5), draw(2, 1, 9, seed=6), draw(2, 6, 1, seed=7)):
            r = torch.baddbmm(c, a3, b3, beta=beta, alpha=alpha)
            expected = beta * c.to(wide) + alpha * (a3.to(wide) @ b3.to(wide))
            assert torch.equal(r, expected.to(dtype))
        c = draw(6, 9, seed=9)
        r = torch.addbmm(c, a3, b3, beta=beta, alpha=alpha)
        assert torch.equal(r, (beta * c.to(wide) + alpha * (a3.to(wide) @ b3.to(wide)).sum(0)).to(dtype))


def test_a_summand_of_weight_zero_is_not_read():
    a = torch.ones(3, 3)
    for r in (torch.addmm(torch.full((3, 3), float("nan")), a, a, beta=0),
              torch.baddbmm(torch.full((1, 3, 3), float("nan")), a[None], a[None], beta=0)):
        assert (r == 3).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_int_mm(dtype):
    rng = np.random.default_rng(3)
    facts = np.iinfo(dtype)
    for m, k, n in ((3, 5, 4), (32, 64, 16), (40, 1030, 70), (0, 4, 3), (3, 0, 2)):
        a = rng.integers(facts.min, facts.max + 1, (m, k)).astype(dtype)
        b = rng.integers(-128, 128, (k, n)).astype("int8")
        want = a.astype("i8") @ b.astype("i8")
        x, y = torch.from_numpy(a), torch.from_numpy(b)
        r = torch._int_mm(x, y)
        assert r.dtype is torch.int32 and np.array_equal(r.numpy(), want)
        out = torch.empty(m, n, dtype=torch.int32)
        assert torch._int_mm(x, torch.from_numpy(np.ascontiguousarray(b.T)).t(), out=out) is out
        assert np.array_equal(out.numpy(), want)


def test_int_mm_refuses():
    a, b = torch.ones(2, 3, dtype=torch.int8), torch.ones(3, 4, dtype=torch.int8)
    for x, y, text in ((a[0], b, "dimension 2"), (a, b[:2], "needs to match"), (a.int(), b, "int8 or uint8"),
                       (a, b.to(torch.uint8), "of type int8")):
        with pytest.raises(RuntimeError, match=text):
            torch._int_mm(x, y)


@pytest.mark.parametrize("a, b", [((5, 5, 0), (0, 5)), ((2, 0, 3), (3, 4)), ((2, 3, 0), (0,)), ((0,), (0, 3))])
def test_gradients_of_empty_sums(a, b):
    x, y = torch.ones(a, requires_grad=True), torch.ones(b, requires_grad=True)
    (x @ y).sum().backward()
    assert x.grad.shape == x.shape and y.grad.shape == y.shape and not y.grad.any()


def test_addbmm_in_place_takes_the_result_s_size():
    x, a, b = torch.tensor([2.0]), torch.ones(2, 3, 4), torch.ones(2, 4, 5)
    assert x.addbmm_(a, b, beta=0.5) is x
    assert x.tolist() == [[9.0] * 5] * 3
