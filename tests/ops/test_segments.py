"""Runs of rows reduced; elements by Python functions; facts about layout; memory from files; extreme eigenvalues."""

import numpy as np
import pytest

import rushlight as torch

REDUCE = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod}


@pytest.mark.parametrize("kind", REDUCE)
def test_segments(kind):
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    lengths = torch.tensor([2, 1, 4])
    y = torch.segment_reduce(x, kind, lengths=lengths)
    parts = np.split(x.detach().numpy(), [2, 3])
    assert np.allclose(y.detach().numpy(), np.stack([REDUCE[kind](p, 0) for p in parts]))
    assert torch.autograd.gradcheck(lambda t: torch.segment_reduce(t, kind, lengths=lengths), (x,))
    assert torch.equal(torch.segment_reduce(x, kind, offsets=torch.tensor([0, 2, 3, 7])), y)


def test_empty_segments_and_other_axes():
    x = torch.arange(6.0)
    lengths = torch.tensor([2, 0, 4])
    assert torch.segment_reduce(x, "sum", lengths=lengths).tolist() == [1.0, 0.0, 14.0]
    assert torch.segment_reduce(x, "max", lengths=lengths).tolist() == [1.0, -np.inf, 5.0]
    assert torch.segment_reduce(x, "max", lengths=lengths, initial=2.0).tolist() == [2.0, 2.0, 5.0]
    assert np.isnan(torch.segment_reduce(x, "mean", lengths=lengths)[1].item())
    rows = torch.segment_reduce(torch.arange(12.0).reshape(2, 6), "sum", lengths=torch.tensor([[2, 4], [3, 3]]), axis=1)
    assert rows.tolist() == [[1.0, 14.0], [21.0, 30.0]]
    for kwargs, text in (({"lengths": torch.tensor([2, 3])}, "to sum to"), ({}, "must be defined"),
                         ({"lengths": torch.tensor([-1, 7])}, "negative value")):
        with pytest.raises(RuntimeError, match=text):
            torch.segment_reduce(x, "sum", **kwargs)


def test_element_calls():
    x = torch.arange(6.0).reshape(2, 3)
    assert x.t().clone().apply_(lambda v: v * v).tolist() == (x * x).t().tolist()
    assert x.clone().map_(torch.ones(3), lambda v, w: v + w).tolist() == (x + 1).tolist()
    assert x.clone().map2_(x, x, lambda a, b, c: a + b * c).tolist() == (x + x * x).tolist()
    with pytest.raises(RuntimeError, match="Can't call apply_"):
        x.clone().requires_grad_().apply_(abs)


def test_layout():
    x = torch.ones(2, 3, 4, 5)
    assert x.dim_order() == (0, 1, 2, 3) and x.transpose(1, 2).dim_order() == (0, 2, 1, 3)
    assert x.to(memory_format=torch.channels_last).dim_order() == (0, 2, 3, 1)
    with pytest.raises(RuntimeError, match="does not have unique dim order"):
        torch.ones(1, 1).dim_order(ambiguity_check=True)
    assert x.const_data_ptr() == x.data_ptr() and x.grad_dtype is torch.float32
    assert x.module_load(2 * x).sum() == 240 and x.sum() == 240
    assert torch.slice_copy(x, 1, 0, -1, 2).shape == (2, 1, 4, 5)


def test_memory_of_files(tmp_path):
    path = str(tmp_path / "numbers")
    np.arange(6, dtype="f8").tofile(path)
    private = torch.from_file(path, size=6, dtype=torch.float64)
    private[0] = 7
    assert torch.from_file(path, size=6, dtype=torch.float64).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    shared = torch.from_file(path, shared=True, size=8, dtype=torch.float64)
    shared[7] = 9
    assert torch.from_file(path, size=8, dtype=torch.float64).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 9.0]
    with pytest.raises(RuntimeError, match="unable to mmap"):
        torch.from_file(path, size=100)


@pytest.mark.parametrize("largest", [True, False])
def test_extreme_eigenvalues(largest):
    g = torch.Generator().manual_seed(1)
    a = torch.randn(30, 30, dtype=torch.float64, generator=g)
    a, b = a @ a.T, torch.eye(30, dtype=torch.float64) * 2 + 0.1
    for metric in (None, b):
        values, vectors = torch.lobpcg(a, 3, B=metric, X=torch.randn(30, 3, dtype=torch.float64, generator=g),
                                       largest=largest, tol=1e-9)
        full = torch.linalg.eigvals(torch.eye(30).double() @ a if metric is None else torch.linalg.solve(b, a)).real
        full = full.sort(descending=largest).values[:3]
        assert torch.allclose(values, full, rtol=1e-6)
        right = vectors * values if metric is None else b @ vectors * values
        assert torch.allclose(a @ vectors, right, atol=1e-5 * float(values.abs().max()))


def test_gradient_of_eigenvalues():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(9, 9, dtype=torch.float64, generator=g)
    start = torch.randn(9, 2, dtype=torch.float64, generator=g)

    def values(m):
        m = (m + m.T) / 2
        return torch.lobpcg(m @ m, 2, X=start, tol=1e-12)[0]
    x.requires_grad_()
    ours, = torch.autograd.grad(values(x).sum(), x)
    m = (x + x.T) / 2
    exact, = torch.autograd.grad(torch.linalg.eigvalsh(m @ m)[-2:].sum(), x)
    assert torch.allclose(ours, exact, atol=1e-6)
    with pytest.raises(ValueError, match="LOBPCG algorithm is not applicable"):
        torch.lobpcg(torch.eye(5), 2)
