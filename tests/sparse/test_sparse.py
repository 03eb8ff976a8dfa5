"""Sparse tensors against dense computations and SciPy."""

import copy
import pickle

import numpy as np
import pytest

import rushlight as torch

RNG = np.random.default_rng(7)
A = RNG.standard_normal((7, 9)) * (RNG.random((7, 9)) < 0.4)
B = RNG.standard_normal((9, 5))
FORMS = {
    "coo": lambda x: x.to_sparse(), "csr": lambda x: x.to_sparse_csr(), "csc": lambda x: x.to_sparse_csc(),
    "bsr": lambda x: x.to_sparse_bsr((1, 3)), "bsc": lambda x: x.to_sparse_bsc((7, 1)),
}


def t(a):
    return torch.tensor(a)


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def test_is_a_tensor(form):
    x = form(t(A))
    assert type(x) is torch.Tensor and isinstance(x, torch.Tensor) and not x.is_meta and x.is_cpu
    assert x.layout is not torch.strided and x.shape == (7, 9) and x.numel() == 63
    assert torch.ones(2).layout is torch.strided and not torch.ones(2).is_sparse


def test_there_and_back(form):
    x = form(t(A))
    assert np.array_equal(x.to_dense().numpy(), A)
    for other in FORMS.values():
        assert np.array_equal(other(x).to_dense().numpy(), A)
    assert np.array_equal(x.t().to_dense().numpy(), A.T)
    assert np.array_equal(copy.deepcopy(x).to_dense().numpy(), A)
    assert np.array_equal(pickle.loads(pickle.dumps(x)).to_dense().numpy(), A)


def test_csr_is_scipys():
    from scipy.sparse import csr_matrix
    ours, theirs = t(A).to_sparse_csr(), csr_matrix(A)
    assert ours.crow_indices().tolist() == theirs.indptr.tolist()
    assert ours.col_indices().tolist() == theirs.indices.tolist()
    assert ours.values().tolist() == theirs.data.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "complex128"])
@pytest.mark.parametrize("width", [1, 5, 33])
def test_products(form, dtype, width):
    a = np.round(A * 8) if dtype == "int64" else A
    b = np.round(RNG.standard_normal((9, width)) * 8)
    d = getattr(torch, dtype)
    x, y = form(t(a).to(d)), t(b).to(d)
    ours = torch.mm(x, y)
    expected = x.to_dense().to(torch.complex128 if d.is_complex else torch.float64) @ y.to(
        torch.complex128 if d.is_complex else torch.float64)
    error = (ours.to(expected.dtype) - expected).abs().max().item()
    assert error <= {"float32": 1e-5, "bfloat16": 0.5}.get(dtype, 1e-12)


def test_product_of_two_is_scipys():
    from scipy.sparse import csr_matrix
    ours = torch.sparse.mm(t(A).to_sparse(), t(A.T).to_sparse())
    np.testing.assert_allclose(ours.to_dense().numpy(), (csr_matrix(A) @ csr_matrix(A.T)).toarray(), rtol=1e-12)
    assert ours.is_coalesced()


def test_large_product():
    n = 3000
    rows, cols = RNG.integers(0, n, (2, 20000))
    values = RNG.standard_normal(20000)
    x = torch.sparse_coo_tensor(t(np.array([rows, cols])), t(values), (n, n))
    y = RNG.standard_normal((n, 20))
    expected = np.zeros((n, 20))
    np.add.at(expected, rows, values[:, None] * y[cols])
    np.testing.assert_allclose(torch.sparse.mm(x, t(y)).numpy(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(torch.sparse.mm(x.coalesce(), t(y)).numpy(), expected, rtol=1e-9, atol=1e-9)


def test_coalescing_adds_up():
    x = torch.sparse_coo_tensor([[1, 0, 1], [2, 0, 2]], [1.0, 2.0, 4.0], (2, 3))
    assert not x.is_coalesced() and x._nnz() == 3
    y = x.coalesce()
    assert y.indices().tolist() == [[0, 1], [0, 2]] and y.values().tolist() == [2.0, 5.0]
    with pytest.raises(RuntimeError, match="uncoalesced"):
        x.indices()


def test_values_share_memory():
    x = t(A).to_sparse()
    x.values().mul_(2)
    assert np.array_equal(x.to_dense().numpy(), 2 * A)
    shown = x.values()
    x.mul_(0.5)
    assert np.array_equal(shown.numpy(), x.values().numpy())


def test_texts():
    x = torch.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3))
    assert repr(x) == ("tensor(indices=tensor([[0, 1],\n                       [2, 0]]),\n"
                       "       values=tensor([3., 4.]),\n       size=(2, 3), nnz=2, layout=torch.sparse_coo)")
    assert repr(x.to_sparse_csr()) == (
        "tensor(crow_indices=tensor([0, 1, 2]),\n       col_indices=tensor([2, 0]),\n"
        "       values=tensor([3., 4.]), size=(2, 3), nnz=2, layout=torch.sparse_csr)")


@pytest.mark.parametrize("fn", [
    lambda x, y: torch.sparse.mm(x, y), lambda x, y: (x * 3).to_dense(), lambda x, y: (x * x).to_dense(),
    lambda x, y: torch.sparse.softmax(x, 1).to_dense(), lambda x, y: torch.sparse.sum(x, 0).to_dense(),
    lambda x, y: torch.sparse.mm(x.transpose(0, 1), x).to_dense(), lambda x, y: x.coalesce().values() ** 2,
    lambda x, y: torch.cat([x, x * 2]).to_dense() @ y, lambda x, y: x.index_select(0, t([1, 1, 0])).to_dense(),
    lambda x, y: x.to_sparse_csr().to_dense(), lambda x, y: x.sin().to_dense(), lambda x, y: x.select(0, 1).to_dense(),
], ids=range(12))
@pytest.mark.parametrize("distinct", [True, False])
def test_gradients(fn, distinct):
    """Against finite differences of the values; those that share a position add up."""
    indices = t([[0, 1, 1, 2], [1, 0, 2, 2]] if distinct else [[0, 1, 1, 2], [1, 2, 2, 0]])

    def dense(values, y):
        x = torch.sparse_coo_tensor(indices, values, (3, 3))
        return fn(x, y)
    values = t([0.5, -1.0, 2.0, 1.5]).double().requires_grad_()
    y = t(B[:3, :2]).requires_grad_()
    assert torch.autograd.gradcheck(dense, (values, y))


def test_second_gradients():
    values = t([0.5, -1.0, 2.0]).double().requires_grad_()
    y = t(B[:3, :2]).requires_grad_()

    def fn(v, y):
        return torch.sparse.mm(torch.sparse_coo_tensor(t([[0, 1, 2], [1, 2, 0]]), v, (3, 3)) * 2, y).tanh()
    assert torch.autograd.gradgradcheck(fn, (values, y))


def test_as_sparse_gradcheck():
    check = torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)
    x = t(A[:3, :3]).to_sparse().requires_grad_()
    assert check(lambda x: torch.sparse.sum(x * x, 0), (x,))
    assert check(lambda x: x.to_sparse_csr() * 2, (x,))


def test_leaves_keep_sparse_gradients():
    x = t(A).to_sparse().requires_grad_()
    (x * 2).to_dense().sum().backward()
    assert x.grad.is_sparse and x.grad.coalesce().values().tolist() == [2.0] * x._nnz()
    (x * 3).to_dense().sum().backward()
    assert x.grad.coalesce().values().tolist() == [5.0] * x._nnz()
    assert x.is_leaf and x.grad_fn is None
    assert type((x * 2).grad_fn).__name__ == "MulBackward0"


def test_dense_and_sparse_gradients_add_up():
    table = torch.ones(4, 2, requires_grad=True)
    rows = t([1, 3, 1])
    (torch.nn.functional.embedding(rows, table, sparse=True).sum()).backward()
    assert table.grad.is_sparse
    (table * 2).sum().backward()
    assert not table.grad.is_sparse
    assert table.grad.tolist() == [[2, 2], [4, 4], [2, 2], [3, 3]]


def test_invariants():
    with pytest.raises(RuntimeError, match="size is inconsistent with indices"):
        torch.sparse_coo_tensor([[5]], [1.0], (2,), check_invariants=True)
    with pytest.raises(RuntimeError, match="negative"):
        torch.sparse_coo_tensor([[-1]], [1.0], (2,), check_invariants=True)
    with pytest.raises(RuntimeError, match="sorted and distinct"):
        torch.sparse_csr_tensor([0, 2], [1, 0], [1.0, 2.0], (1, 2), check_invariants=True)
    with torch.sparse.check_sparse_tensor_invariants():
        assert torch.sparse.check_sparse_tensor_invariants.is_enabled()
        with pytest.raises(RuntimeError, match="crow_indices"):
            torch.sparse_csr_tensor([1, 2], [0, 1], [1.0, 2.0], (1, 2))
    assert not torch.sparse.check_sparse_tensor_invariants.is_enabled()


def test_what_there_is_not_says_so():
    x = t(A).to_sparse()
    for name in ("exp", "cos", "argmax", "cumsum", "sort"):
        with pytest.raises(NotImplementedError, match="SparseCPU"):
            getattr(x, name)(*((0,) if name == "cumsum" else ()))
    with pytest.raises(NotImplementedError, match="exp.*sparse_csr"):
        t(A).to_sparse_csr().exp()
    with pytest.raises(RuntimeError, match="add\\(sparse, dense\\)"):
        x + 1
    with pytest.raises(RuntimeError):
        torch.ones(2).values()


def test_files_with_broken_parts_are_refused(tmp_path):
    x = torch.sparse_coo_tensor([[7]], [1.0], (2,))         # unchecked, as always
    torch.save(x, tmp_path / "x")
    with pytest.raises(Exception, match="inconsistent"):
        torch.load(tmp_path / "x")


def test_sparse_adam_moves_only_rows_with_gradients():
    table = torch.nn.Embedding(5, 3, sparse=True)
    before = table.weight.detach().clone()
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
    table(t([1, 3, 3])).sum().backward()
    optimizer.step()
    moved = (table.weight.detach() != before).any(1).tolist()
    assert moved == [False, True, False, True, False]
    # The first step of Adam has the size of the rate, whatever the gradient.
    np.testing.assert_allclose((before - table.weight.detach())[1].numpy(), 0.1, rtol=1e-5)


def test_plain_gradients_stay_refused():
    p = torch.ones(2, requires_grad=True)
    p.sum().backward()
    with pytest.raises(RuntimeError, match="dense gradients"):
        torch.optim.SparseAdam([p]).step()
    q = torch.ones(2, 1, requires_grad=True)
    q.grad = torch.sparse_coo_tensor([[0]], [[1.0]], (2, 1))
    with pytest.raises(RuntimeError, match="sparse gradients"):
        torch.optim.Adam([q]).step()
