"""Reductions, scans, order and statistics: values, types, empty tensors, ties, gradients."""

import math

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd.gradcheck import gradcheck, gradgradcheck

inf, nan = math.inf, math.nan


def sample(shape=(3, 4, 5), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


X = sample()
DIMS = [None, 0, -1, (0, 2), (), [1]]
REDUCTIONS = [("sum", np.sum), ("mean", np.mean), ("amax", np.max), ("amin", np.min), ("all", np.all), ("any", np.any)]


@pytest.mark.parametrize("name, f", REDUCTIONS)
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), [1]])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "expanded"])
def test_against_numpy(name, f, dim, keepdim, layout):
    x = {"contiguous": X, "transposed": X.transpose(0, 2), "strided": X[:, ::2, 1:],
         "expanded": X[:, :1].expand(3, 4, 5)}[layout]
    if dim is None and name in ("amax", "amin"):
        dim = ()
    r = getattr(x, name)(dim, keepdim)
    axis = None if dim is None or dim == () else tuple(dim) if isinstance(dim, list) else dim
    want = f(x.numpy(), axis=axis, keepdims=keepdim)
    assert r.shape == want.shape
    np.testing.assert_allclose(r.numpy(), want, rtol=1e-13, atol=1e-13)


def test_long_float32_sums_do_not_drift():
    x = torch.full((1_000_003,), 0.1)
    assert abs(x.sum().item() - 1_000_003 * float(np.float32(0.1))) < 0.05
    assert abs(x.to(torch.bfloat16).mean().item() - 0.1) < 1e-3


def test_integer_and_bool_results():
    i = torch.tensor([[3, 1], [2, 2]], dtype=torch.int8)
    assert i.sum().dtype is torch.int64 and i.prod(1).tolist() == [3, 4] and i.prod().dtype is torch.int64
    assert i.amax(0).dtype is torch.int8 and i.cumsum(0).dtype is torch.int64
    assert (i > 1).sum(1).tolist() == [1, 2]
    assert i.byte().all().dtype is torch.uint8
    assert i.sum(dtype=torch.float64).dtype is torch.float64
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        i.mean()


def test_empty_tensors():
    e = torch.zeros(0, 3)
    assert e.sum().item() == 0 and e.prod().item() == 1 and math.isnan(e.mean().item())
    assert e.all().item() is True and e.any().item() is False
    assert e.sum(0).tolist() == [0, 0, 0] and e.sum(1).shape == (0,)
    assert e.amax(1).shape == (0,) and e.max(1).indices.shape == (0,)
    for f in (lambda: e.max(), lambda: e.amax()):
        with pytest.raises(RuntimeError, match="Expected reduction dim to be specified"):
            f()
    for f in (lambda: e.max(0), lambda: e.argmin(0), lambda: e.amax(0), lambda: e.median(0)):
        with pytest.raises(IndexError, match="to have non-zero size"):
            f()


def test_bad_dims():
    with pytest.raises(IndexError, match="Dimension out of range"):
        X.sum(3)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        X.sum((0, 0))
    assert torch.tensor(2.0).sum(0).item() == 2 and torch.tensor(2.0).max(-1).values.item() == 2


def test_extrema_take_the_first_and_let_nan_win():
    x = torch.tensor([[1.0, 3.0, 3.0], [nan, 5.0, nan]])
    assert x.max(1).indices.tolist() == [1, 0] and x.argmax(1).tolist() == [1, 0]
    assert math.isnan(x.max().item()) and math.isnan(x.amin().item())
    r = torch.max(x[:1], 1, keepdim=True)
    assert r.values.shape == (1, 1) and type(r).__name__ == "max" and repr(r).startswith("torch.return_types.max(")
    assert torch.max(torch.tensor([1, 5]), torch.tensor([3, 2])).tolist() == [3, 5]
    assert torch.aminmax(x[0]).max.item() == 3


def test_gradient_of_ties():
    def g(f):
        x = torch.tensor([2.0, 1.0, 2.0], requires_grad=True)
        f(x).backward()
        return x.grad.tolist()
    assert g(lambda x: x.max()) == [0.5, 0, 0.5]
    assert g(lambda x: x.amax(0)) == [0.5, 0, 0.5]
    assert g(lambda x: x.max(0).values) == [1, 0, 0]
    assert g(lambda x: x.median()) == [0.5, 0, 0.5]
    assert g(lambda x: x.cummax(0).values.sum()) == [2, 0, 1]
    assert g(lambda x: x.sort(descending=True).values[0]) == [1, 0, 0]


def test_products_with_zeros_have_gradients():
    for values in ([2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]):
        x = torch.tensor([values, [1.0, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)
        assert gradcheck(lambda x: x.prod(1), [x])
        assert gradcheck(lambda x: x.prod(), [x])
        assert gradcheck(lambda x: x.cumprod(1), [x])


@pytest.mark.parametrize("f", [
    lambda x: x.sum((0, 2)), lambda x: x.mean(1, True),
    lambda x: x.prod(1), lambda x: x.var(1), lambda x: x.std((0, 2)),
    lambda x: torch.var_mean(x, 0), lambda x: torch.std_mean(x, correction=0), lambda x: x.logsumexp((0, 1)),
    lambda x: x.norm(), lambda x: x.norm(1, 0), lambda x: x.norm(3, (0, 1)), lambda x: x.norm(inf, 1),
    lambda x: x.norm(0.5, 2), lambda x: x.norm(1.5, 2, True), lambda x: x.cumsum(1), lambda x: x.cumprod(0),
    lambda x: x.logcumsumexp(1), lambda x: x.softmax(1), lambda x: x.log_softmax(-1), lambda x: x.amax((0, 1)),
    lambda x: x.max(2).values, lambda x: x.min(0, True).values, lambda x: x.median(1).values,
    lambda x: x.sort(1).values,
    lambda x: x.topk(2, 0).values, lambda x: x.kthvalue(2, 1).values, lambda x: x.cummin(1).values,
    lambda x: x.quantile(0.3, 1), lambda x: torch.aminmax(x, dim=1), lambda x: x.renorm(2, 1, 0.5),
    lambda x: x.diff(dim=1),
    lambda x: torch.trapezoid(x, dim=0), lambda x: torch.cdist(x, x.flip(0) * 2),
    lambda x: torch.cdist(x, x + 1, p=3.0),
    lambda x: torch.cov(x[0]), lambda x: torch.corrcoef(x[0]), lambda x: x.nansum(0),
    lambda x: torch.gradient(x, dim=1)[0],
])
def test_gradients(f):
    x = sample((3, 4, 3), 1).requires_grad_()
    assert gradcheck(f, [x])


@pytest.mark.parametrize("f", [
    lambda x: x.var(1), lambda x: x.std(0), lambda x: x.prod(1), lambda x: x.logsumexp(1), lambda x: x.norm(2, 1),
    lambda x: x.softmax(1), lambda x: x.log_softmax(0), lambda x: x.cumprod(1), lambda x: x.max(1).values,
])
def test_second_order(f):
    assert gradgradcheck(f, [sample((3, 4), 2).requires_grad_()])


def test_variance_forms():
    a = X.numpy()
    np.testing.assert_allclose(X.var().item(), a.var(ddof=1))
    np.testing.assert_allclose(X.std(0, unbiased=False).numpy(), a.std(0))
    np.testing.assert_allclose(X.var((0, 1), correction=2, keepdim=True).numpy(), a.var((0, 1), ddof=2, keepdims=True))
    v, m = torch.var_mean(X, 1)
    np.testing.assert_allclose(v.numpy(), a.var(1, ddof=1))
    np.testing.assert_allclose(m.numpy(), a.mean(1))
    with pytest.raises(RuntimeError, match="only support floating point"):
        torch.tensor([1, 2]).std()


def test_norms():
    a = np.arange(6.0).reshape(2, 3)
    x = torch.from_numpy(a)
    assert x.norm().item() == pytest.approx(math.sqrt(55)) and x.norm(0).item() == 5 and x.norm(inf).item() == 5
    assert x.norm(-inf).item() == 0 and x.norm(3, 1).tolist() == pytest.approx(((a ** 3).sum(1) ** (1 / 3)).tolist())
    with pytest.raises(RuntimeError, match="does not have an identity"):
        torch.zeros(0).norm(inf)


def test_softmax_is_stable_and_checks_types():
    x = torch.tensor([[1000.0, 0.0, -1000.0]])
    assert x.softmax(1).tolist() == [[1, 0, 0]] and x.log_softmax(1).tolist() == [[0, -1000, -2000]]
    assert torch.softmax(torch.tensor([1, 2]), 0, dtype=torch.float64).dtype is torch.float64
    with pytest.raises(NotImplementedError):
        torch.tensor([1, 2]).softmax(0)
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        torch.nn.functional.softmax(torch.ones(2, 3))
    assert torch.tensor(3.0).softmax(0).item() == 1


def test_scans():
    x = torch.tensor([[3.0, nan, 1.0], [1.0, 2.0, 2.0]])
    assert x[1].cummax(0).indices.tolist() == [0, 1, 2]
    assert x[0].cummax(0).indices.tolist() == [0, 1, 1]
    assert torch.tensor([True, True]).cumsum(0).tolist() == [1, 2]
    big = torch.tensor([1000.0, 1000.0])
    assert big.logcumsumexp(0).tolist() == pytest.approx([1000, 1000 + math.log(2)])
    assert torch.tensor([1, 4, 9]).diff(n=2).tolist() == [2]
    assert torch.trapezoid(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 3.0])).item() == 6.5


def test_sorting_is_stable_and_puts_nan_last():
    x = torch.tensor([2, 1, 2, 1])
    assert x.sort().indices.tolist() == [1, 3, 0, 2]
    assert x.sort(descending=True).indices.tolist() == [0, 2, 1, 3]
    assert torch.tensor([nan, 1.0, inf]).sort().values.tolist()[:2] == [1, inf]
    assert torch.tensor([1.0, nan, 5.0]).topk(2).indices.tolist() == [1, 2]
    assert x.argsort(stable=True).tolist() == [1, 3, 0, 2]
    assert torch.tensor([[3.0, 1.0, 2.0]]).kthvalue(2).values.tolist() == [2]
    assert torch.tensor([1.0, nan, 3.0]).nanmedian().item() == 1
    assert math.isnan(torch.tensor([1.0, nan]).median().item())
    assert torch.tensor([1, 2, 2, 3, 3]).mode().values.item() == 2


def test_distinct_values():
    x = torch.tensor([3, 1, 3, 2])
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3] and inverse.tolist() == [2, 0, 2, 1] and counts.tolist() == [1, 1, 2]
    m = torch.tensor([[1, 2], [0, 1], [1, 2]])
    assert m.unique(dim=0).tolist() == [[0, 1], [1, 2]]
    assert torch.unique_consecutive(torch.tensor([1, 1, 2, 1])).tolist() == [1, 2, 1]
    assert torch.isin(x, torch.tensor([1, 2])).tolist() == [False, True, False, True]


def test_counting_and_searching():
    assert torch.bincount(torch.tensor([0, 2, 2]), minlength=5).tolist() == [1, 0, 2, 0, 0]
    assert torch.histc(torch.tensor([1.0, 2.0, 1.0]), 4, 0, 3).tolist() == [0, 2, 1, 0]
    h = torch.histogram(torch.tensor([1.0, 2.0, 1.0]), 4, range=(0.0, 3.0))
    assert h.hist.tolist() == [0, 2, 1, 0] and h.bin_edges.tolist() == [0, 0.75, 1.5, 2.25, 3]
    edges = torch.tensor([1.0, 3.0, 5.0])
    assert torch.searchsorted(edges, torch.tensor([3.0, 4.0])).tolist() == [1, 2]
    assert torch.bucketize(torch.tensor([3.0]), edges, right=True).tolist() == [2]
    assert torch.searchsorted(edges, 3.0).item() == 1


def test_quantiles():
    a = np.random.default_rng(3).standard_normal((4, 5))
    for how in ("linear", "lower", "higher", "midpoint", "nearest"):
        got = torch.from_numpy(a).quantile(torch.tensor([0.1, 0.5], dtype=torch.float64), 1, interpolation=how)
        np.testing.assert_allclose(got.numpy(), np.quantile(a, [0.1, 0.5], 1, method=how))
    a[0, 0] = nan
    np.testing.assert_allclose(torch.from_numpy(a).nanquantile(0.3, 1).numpy(), np.nanquantile(a, 0.3, 1))
    assert math.isnan(torch.from_numpy(a).quantile(0.3).item())
