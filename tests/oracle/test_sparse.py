"""Sparse tensors against live PyTorch: results, patterns, gradients, texts and refusals by (op, layout, sample)."""

import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
warnings.filterwarnings("ignore", message="Sparse")

RNG = np.random.default_rng(5)
DENSE = np.round(RNG.standard_normal((3, 4)) * (RNG.random((3, 4)) < 0.6), 2)
OTHER = np.round(RNG.standard_normal((3, 4)), 2)
RIGHT = np.round(RNG.standard_normal((4, 2)), 2)
ROWS = np.array([[0, 2, 0, 2, 1], [1, 3, 1, 0, 2]])
VALUES = np.array([1.5, -2.0, 0.5, 3.0, -1.0])


def coo(T, dtype):
    return T.tensor(DENSE, dtype=dtype).to_sparse()


def scattered(T, dtype):
    return T.sparse_coo_tensor(T.tensor(ROWS), T.tensor(VALUES, dtype=dtype), (3, 4))


def hybrid(T, dtype):
    return T.tensor(DENSE, dtype=dtype).to_sparse(1)


def csr(T, dtype):
    return T.tensor(DENSE, dtype=dtype).to_sparse_csr()


def csc(T, dtype):
    return T.tensor(DENSE, dtype=dtype).to_sparse_csc()


def bsr(T, dtype):
    return T.tensor(DENSE, dtype=dtype).to_sparse_bsr((1, 2))


LAYOUTS = {f.__name__: f for f in (coo, scattered, hybrid, csr, csc, bsr)}
COORDINATES = ("coo", "scattered", "hybrid")
MATRICES = ("coo", "scattered", "csr")
ALL = tuple(LAYOUTS)

UNARY = ("abs neg sqrt sin relu floor ceil round trunc sign sgn sinh asin asinh atan atanh tan tanh expm1 log1p erf "
         "erfinv deg2rad rad2deg frac isnan isinf isposinf isneginf signbit positive").split()


def d(T, x):
    return T.tensor(OTHER, dtype=x.dtype)


def r(T, x):
    return T.tensor(RIGHT, dtype=x.dtype)


# name -> (layouts, function of the module and the sparse tensor)
CASES = {
    **{n: (("coo", "scattered", "hybrid", "csr"), lambda T, x, n=n: getattr(x, n)()) for n in UNARY},
    "to_dense": (ALL, lambda T, x: x.to_dense()),
    "clone": (ALL, lambda T, x: x.clone()),
    "double": (ALL, lambda T, x: x.double()),
    "zeros_like": (("coo", "scattered", "hybrid", "csr"), lambda T, x: T.zeros_like(x)),
    "new_zeros": (("coo",), lambda T, x: x.new_zeros(2, 2)),
    "coalesce": (COORDINATES, lambda T, x: x.coalesce()),
    "is_coalesced": (COORDINATES, lambda T, x: T.tensor(x.is_coalesced())),
    "_indices": (COORDINATES, lambda T, x: x._indices()),
    "values": (ALL, lambda T, x: x.values()),
    "indices": (ALL, lambda T, x: x.indices()),
    "crow_indices": (ALL, lambda T, x: x.crow_indices()),
    "col_indices": (ALL, lambda T, x: x.col_indices()),
    "ccol_indices": (ALL, lambda T, x: x.ccol_indices()),
    "row_indices": (ALL, lambda T, x: x.row_indices()),
    "nnz": (ALL, lambda T, x: T.tensor([x._nnz(), x.sparse_dim(), x.dense_dim()])),
    "to_sparse": (("coo", "scattered", "hybrid", "csr"), lambda T, x: x.to_sparse()),
    "to_sparse_csr": (("coo", "scattered", "csr", "csc"), lambda T, x: x.to_sparse_csr()),
    "to_sparse_csc": (("coo", "scattered", "csr", "csc"), lambda T, x: x.to_sparse_csc()),
    "to_sparse_bsr": (("coo", "csr"), lambda T, x: x.to_sparse_bsr((3, 2))),
    "sparse_mask": (ALL, lambda T, x: d(T, x).sparse_mask(x)),
    "mask of sparse": (("coo",), lambda T, x: x.sparse_mask(scattered(T, x.dtype).coalesce())),
    "mul number": (ALL, lambda T, x: x * 2.5),
    "mul scalar tensor": (("coo", "scattered", "csr"), lambda T, x: x * T.tensor(3.0, dtype=x.dtype)),
    "mul self": (("coo", "scattered", "csr", "hybrid"), lambda T, x: x * x),
    "mul other": (("coo",), lambda T, x: x * scattered(T, x.dtype).coalesce()),
    "mul dense": (("coo", "scattered", "csr", "hybrid"), lambda T, x: x * d(T, x)),
    "dense mul": (("coo", "scattered"), lambda T, x: d(T, x) * x),
    "mul row": (("coo", "scattered"), lambda T, x: x * d(T, x)[0]),
    "div number": (COORDINATES, lambda T, x: x / 4),
    "floor div": (COORDINATES, lambda T, x: x // 0.7),
    "div self": (COORDINATES, lambda T, x: x / x),
    "div dense": (COORDINATES, lambda T, x: x / d(T, x)),
    "pow": (COORDINATES, lambda T, x: x ** 2),
    "pow 3": (COORDINATES, lambda T, x: x ** 3),
    "add self": (("coo", "scattered", "csr", "hybrid"), lambda T, x: x + x),
    "add other": (("coo",), lambda T, x: T.add(x, scattered(T, x.dtype).coalesce(), alpha=2)),
    "sub other": (("coo",), lambda T, x: x - scattered(T, x.dtype).coalesce()),
    "add to dense": (("coo", "scattered", "csr", "hybrid"), lambda T, x: d(T, x) + x),
    "add alpha to dense": (("coo", "scattered"), lambda T, x: T.add(d(T, x), x, alpha=3)),
    "sub from dense": (("coo", "scattered"), lambda T, x: d(T, x) - x),
    "add dense": (COORDINATES, lambda T, x: x + d(T, x)),
    "add number": (COORDINATES, lambda T, x: x + 1),
    "add size": (COORDINATES, lambda T, x: x + x.t()),
    "sum": (ALL, lambda T, x: x.sum()),
    "sum 0": (COORDINATES, lambda T, x: x.sum(0)),
    "sum 1": (COORDINATES, lambda T, x: x.sum(1)),
    "sum keepdim": (("coo", "csr"), lambda T, x: x.sum(1, keepdim=True)),
    "sparse.sum": (COORDINATES, lambda T, x: T.sparse.sum(x)),
    "sparse.sum 0": (COORDINATES, lambda T, x: T.sparse.sum(x, 0)),
    "sparse.sum 1": (COORDINATES, lambda T, x: T.sparse.sum(x, 1)),
    "sparse.sum both": (COORDINATES, lambda T, x: T.sparse.sum(x, (0, 1))),
    "sparse.sum dtype": (COORDINATES, lambda T, x: T.sparse.sum(x, 0, dtype=T.float64)),
    "sparse.softmax 0": (COORDINATES, lambda T, x: T.sparse.softmax(x, 0)),
    "sparse.softmax 1": (COORDINATES, lambda T, x: T.sparse.softmax(x, 1)),
    "sparse.log_softmax": (COORDINATES, lambda T, x: T.sparse.log_softmax(x, 1)),
    "norm": (COORDINATES, lambda T, x: x.norm()),
    "any": (("coo", "scattered"), lambda T, x: x.any()),
    "t": (("coo", "scattered", "csr", "csc", "bsr"), lambda T, x: x.t()),
    "transpose": (("coo", "scattered", "csr", "csc", "bsr"), lambda T, x: x.transpose(0, 1)),
    "permute": (("coo", "scattered"), lambda T, x: x.permute(1, 0)),
    "unsqueeze": (COORDINATES, lambda T, x: x.unsqueeze(1)),
    "select": (("coo", "scattered", "hybrid", "csr"), lambda T, x: x.select(0, 2)),
    "select 1": (COORDINATES, lambda T, x: x.select(1, -1)),
    "getitem": (("coo", "scattered"), lambda T, x: x[2, 3]),
    "getitem slice": (COORDINATES, lambda T, x: x[0:2]),
    "index_select": (COORDINATES, lambda T, x: x.index_select(0, T.tensor([2, 0, 2]))),
    "index_select 1": (COORDINATES, lambda T, x: x.index_select(1, T.tensor([3, 1]))),
    "cat": (COORDINATES, lambda T, x: T.cat([x, x * 2])),
    "cat 1": (COORDINATES, lambda T, x: T.cat([x, x * 2], 1)),
    "cat dense": (COORDINATES, lambda T, x: T.cat([x, d(T, x)])),
    "stack": (("coo", "scattered"), lambda T, x: T.stack([x, x])),
    "mm": (MATRICES, lambda T, x: T.mm(x, r(T, x))),
    "matmul": (("coo", "scattered", "csr", "csc"), lambda T, x: x @ r(T, x)),
    "left matmul": (("coo", "csr"), lambda T, x: r(T, x).t() @ x.t()),
    "sparse.mm": (MATRICES, lambda T, x: T.sparse.mm(x, r(T, x))),
    "sparse.mm sparse": (("coo", "scattered", "csr"), lambda T, x: T.sparse.mm(x, x.to_dense().t().to_sparse(
        layout=x.layout))),
    "mm by shape": (MATRICES, lambda T, x: T.mm(x, x.to_dense())),
    "addmm": (MATRICES, lambda T, x: T.addmm(d(T, x)[:, :2], x, r(T, x), beta=2, alpha=3)),
    "sparse.addmm": (MATRICES, lambda T, x: T.sparse.addmm(d(T, x)[:, :2], x, r(T, x))),
    "mv": (MATRICES, lambda T, x: T.mv(x, d(T, x)[0])),
    "bmm": (("coo",), lambda T, x: T.bmm(T.stack([x, x * 2]), T.stack([r(T, x), r(T, x)]))),
    "smm": (("coo",), lambda T, x: T.smm(x, r(T, x))),
    "hspmm": (("coo",), lambda T, x: T.hspmm(x, r(T, x))),
    "sspaddmm": (("coo",), lambda T, x: T.sspaddmm(T.ones(3, 2, dtype=x.dtype).to_sparse(), x, r(T, x), beta=2)),
    "mm mean": (("csr",), lambda T, x: T.sparse.mm(x, r(T, x), "mean")),
    "mm amax": (("csr",), lambda T, x: T.sparse.mm(x, r(T, x), "amax")),
    "mm amin": (("csr",), lambda T, x: T.sparse.mm(x, r(T, x), "amin")),
    "sampled_addmm": (("csr",), lambda T, x: T.sparse.sampled_addmm(x, d(T, x)[:, :2], r(T, x).t(), beta=0.5)),
    "linear": (("coo", "csr"), lambda T, x: T.nn.functional.linear(d(T, x), x)),
    "mul_": (("coo", "csr"), lambda T, x: x.mul_(2).to_dense()),
    "add_": (("coo", "csr"), lambda T, x: x.add_(x.clone())),
    "zero_": (("coo", "csr"), lambda T, x: x.zero_()),
    "neg_": (("coo", "csr"), lambda T, x: x.neg_()),
    "dense add_": (("coo", "scattered"), lambda T, x: d(T, x).add_(x, alpha=2)),
    "copy_": (("coo",), lambda T, x: x.copy_(scattered(T, x.dtype))),
    "resize": (("coo",), lambda T, x: x.sparse_resize_((5, 6), 2, 0)),
    "resize less": (("coo",), lambda T, x: x.sparse_resize_((2, 2), 2, 0)),
    "clear": (("coo",), lambda T, x: x.sparse_resize_and_clear_((2, 2), 2, 0)),
    **{f"refused {n}": (COORDINATES, lambda T, x, n=n: getattr(x, n)()) for n in (
        "exp", "cos", "log", "sigmoid", "reciprocal", "argmax", "amax", "mean", "std", "nonzero", "squeeze")},
    "refused view": (COORDINATES, lambda T, x: x.view(12)),
    "refused reshape": (COORDINATES, lambda T, x: x.reshape(12)),
    "refused numpy": (ALL, lambda T, x: x.numpy()),
    "refused compare": (COORDINATES, lambda T, x: x == x),
    "refused copy": (COORDINATES, lambda T, x: d(T, x).copy_(x)),
}
GRADIENTS = {n: CASES[n] for n in (
    "abs", "neg", "relu", "to_dense", "clone", "coalesce", "values", "mul number", "mul self", "mul dense",
    "div number", "pow", "add self", "add to dense", "add alpha to dense", "sub from dense", "sum", "sparse.sum",
    "sparse.sum 0", "sparse.sum 1", "sparse.softmax 1", "sparse.log_softmax", "t", "mm", "matmul", "sparse.mm",
    "sparse.addmm", "mv", "double", "addmm")}
DTYPES = ("float32", "float64")


def run(case, T, make, dtype):
    """(result, None) or (None, error)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return case(T, make(T, getattr(T, dtype))), None
        except Exception as error:
            return None, error


def kind(error):
    return RuntimeError if isinstance(error, RuntimeError) else type(error)


def array(t):
    return np.array(t.detach().tolist(), dtype=np.float64)


def difference(ours, theirs):
    """What differs, or None."""
    if str(ours.layout) != str(theirs.layout):
        return f"layout {ours.layout}, not {theirs.layout}"
    if tuple(ours.shape) != tuple(theirs.shape) or str(ours.dtype) != str(theirs.dtype):
        return f"{tuple(ours.shape)} {ours.dtype}, not {tuple(theirs.shape)} {theirs.dtype}"
    a, b = array(ours.to_dense()), array(theirs.to_dense())
    if not np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True):
        return f"{a}, not {b}"
    if str(ours.layout) == "torch.sparse_coo":
        if ours.is_coalesced() != theirs.is_coalesced():
            return f"coalesced {ours.is_coalesced()}"
        if theirs.is_coalesced() and array(ours._indices()).tolist() != array(theirs._indices()).tolist():
            return "other indices"
        if ours._nnz() != theirs._nnz():
            return f"nnz {ours._nnz()}, not {theirs._nnz()}"
    return None


counts = {"equal": 0, "total": 0}


def compare(name, layout, dtype, found, expected):
    (ours, error), (theirs, refusal) = found, expected
    counts["total"] += 1
    if refusal is not None:
        assert error is not None, f"{name} {layout}: PyTorch raises {refusal!r}"
        assert kind(error) is kind(refusal), f"{name} {layout}: {error!r}, not {refusal!r}"
    else:
        assert error is None, f"{name} {layout} {dtype}: {error!r}"
        wrong = difference(ours, theirs)
        assert wrong is None, f"{name} {layout} {dtype}: {wrong}"
    counts["equal"] += 1


@pytest.mark.parametrize("name", CASES)
def test_results(name):
    layouts, case = CASES[name]
    for layout in layouts:
        for dtype in DTYPES:
            compare(name, layout, dtype, run(case, rushlight, LAYOUTS[layout], dtype),
                    run(case, torch, LAYOUTS[layout], dtype))


def gradient(case, T, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = make(T, T.float64).requires_grad_()
        y = case(T, x)
        y = y.to_dense()
        y.backward(T.arange(1.0, 1 + y.numel(), dtype=y.dtype).reshape(y.shape))
        return x.grad


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    layouts, case = GRADIENTS[name]
    for layout in layouts:
        try:
            theirs = gradient(case, torch, LAYOUTS[layout])
        except (RuntimeError, IndexError):
            continue                    # what PyTorch can't differentiate is no standard
        ours = gradient(case, rushlight, LAYOUTS[layout])
        counts["total"] += 1
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert str(ours.layout) == str(theirs.layout), (name, layout)
            np.testing.assert_allclose(array(ours.to_dense()), array(theirs.to_dense()), rtol=1e-6, atol=1e-9,
                                       err_msg=f"{name} {layout}")
        counts["equal"] += 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "complex64"])
def test_texts(layout, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = LAYOUTS[layout](rushlight, getattr(rushlight, dtype))
        theirs = LAYOUTS[layout](torch, getattr(torch, dtype))
        counts["total"] += 1
        assert repr(ours) == repr(theirs)
        counts["equal"] += 1
        if dtype == "float32":
            assert repr(ours.requires_grad_()) == repr(theirs.requires_grad_())
            assert repr(ours * 2) == repr(theirs * 2)


NAMES = ("sparse_dim dense_dim indices values coalesce is_coalesced crow_indices col_indices ccol_indices row_indices "
         "sparse_mask sparse_resize_ sparse_resize_and_clear_ to_dense to_sparse to_sparse_coo to_sparse_csr "
         "to_sparse_csc to_sparse_bsr to_sparse_bsc smm sspaddmm _nnz _indices _values is_sparse is_sparse_csr").split()


def test_names():
    for name in NAMES:
        assert hasattr(rushlight.Tensor, name), name
    for name in torch.sparse.__all__:
        if hasattr(torch.sparse, name):
            assert hasattr(rushlight.sparse, name), name
    for name in ("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_bsr_tensor", "hspmm", "smm",
                 "sparse_bsc_tensor", "sparse_compressed_tensor", "sspaddmm", "indices_copy", "values_copy",
                 "crow_indices_copy", "col_indices_copy"):
        assert hasattr(rushlight, name), name


def test_checkpoints_are_read_both_ways(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, make in enumerate((coo, scattered, csr, csc)):
            torch.save({"x": make(torch, torch.float32)}, tmp_path / f"t{k}")
            rushlight.save({"x": make(rushlight, rushlight.float32)}, tmp_path / f"r{k}")
            read, back = rushlight.load(tmp_path / f"t{k}")["x"], torch.load(tmp_path / f"r{k}")["x"]
            expected = make(torch, torch.float32)
            assert difference(read, expected) is None
            assert repr(read) == repr(expected) == repr(back)


def _trained(T, make):
    table = T.nn.Embedding(6, 2, sparse=True)
    with T.no_grad():
        table.weight.copy_(T.arange(12.0).reshape(6, 2) / 7)
    optimizer = make(T, list(table.parameters()))
    for k in range(3):
        optimizer.zero_grad()
        (table(T.tensor([k, 2, k + 1, 2])) ** 2).sum().backward()
        assert table.weight.grad.is_sparse
        optimizer.step()
    return array(table.weight)


@pytest.mark.parametrize("make", [
    lambda T, p: T.optim.SGD(p, lr=0.1), lambda T, p: T.optim.SGD(p, lr=0.1, momentum=0.9),
    lambda T, p: T.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    lambda T, p: T.optim.SparseAdam(p, lr=0.1), lambda T, p: T.optim.SparseAdam(p, lr=0.1, betas=(0.5, 0.6)),
    lambda T, p: T.optim.Adagrad(p, lr=0.1, lr_decay=0.1)])
def test_optimizers_follow_sparse_gradients(make):
    counts["total"] += 1
    np.testing.assert_allclose(_trained(rushlight, make), _trained(torch, make), rtol=1e-5, atol=1e-6)
    counts["equal"] += 1


def _bags(T, **options):
    weight = T.arange(10.0).reshape(5, 2).requires_grad_()
    y = T.nn.functional.embedding_bag(T.tensor([1, 3, 1, 4]), weight, T.tensor([0, 1, 3]), sparse=True, **options)
    (y * T.arange(1.0, 7).reshape(3, 2)).sum().backward()
    return weight.grad


@pytest.mark.parametrize("options", [{"mode": "sum"}, {"mode": "mean"}, {"mode": "mean", "padding_idx": 3}])
def test_bags_have_sparse_gradients(options):
    counts["total"] += 1
    ours, theirs = _bags(rushlight, **options), _bags(torch, **options)
    assert array(ours._indices()).tolist() == array(theirs._indices()).tolist()
    np.testing.assert_allclose(array(ours._values()), array(theirs._values()), rtol=1e-6)
    counts["equal"] += 1


def test_figures():
    """Last: how many comparisons there were."""
    print(f"sparse: {counts['equal']} of {counts['total']} comparisons with PyTorch equal")
    assert counts["equal"] == counts["total"]
