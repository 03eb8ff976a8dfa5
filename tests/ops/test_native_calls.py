"""Generated twins of small calls: the same results, nodes, versions and errors as of the Python functions."""

import pickle

import numpy as np
import pytest

import rushlight as torch

from .helpers import generator


@pytest.fixture(autouse=True)
def twins_in_place():
    x = torch.ones(2)
    x + x


def draw(*shape, seed=0):
    return torch.tensor(generator(seed).standard_normal(shape).astype("f4"))


# ---------------------------------------------------------------- tensors made

@pytest.mark.parametrize("size", [(2, 3), ((2, 3),), (5,), ((),), (torch.Size([4, 1]),), ([2, 3],), (0, 3), (200, 100)])
def test_filled(size):
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    for make, value in ((torch.zeros, 0), (torch.ones, 1)):
        for _ in range(2):
            t = make(*size)
            assert t.shape == shape and t.dtype is torch.float32 and t.is_leaf and not t.requires_grad
            assert (t.numpy() == value).all()
    assert torch.empty(*size).shape == shape


def test_fills_follow_the_defaults():
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.zeros(2).dtype is torch.float64 and torch.ones(2, 2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.zeros(2).dtype is torch.float32
    with torch.device("meta"):
        assert torch.zeros(2).is_meta
    assert not torch.zeros(2).is_meta


@pytest.mark.parametrize("size", [(-1,), (1.5,), ("a",), (2, 2.5)])
def test_bad_sizes(size):
    for make in (torch.zeros, torch.ones, torch.empty):
        with pytest.raises((TypeError, RuntimeError)):
            make(*size)


@pytest.mark.parametrize("name", ["float32", "float64", "int64", "int32", "bool", "uint8", "bfloat16", "complex64"])
def test_like(name):
    d = getattr(torch, name)
    z = torch.zeros(3, 5, dtype=d)
    ones = torch.ones_like(z)
    assert ones.dtype is d and bool((ones == 1).all()) and bool((torch.zeros_like(ones) == 0).all())
    assert torch.empty_like(z).shape == (3, 5)
    assert z.new_zeros(2, 3).dtype is d and z.new_ones(3).tolist() == [1, 1, 1] and z.new_empty(0, 2).shape == (0, 2)
    assert torch.zeros_like(z.t()).stride() == (1, 5)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i2", "?", "c8"])
def test_joins(dtype):
    for shape, count in (((4,), 2), ((2, 3), 3), ((2, 1, 5), 1), ((33, 7), 7)):
        parts = [(generator(k).standard_normal(shape) * 9).astype(dtype) for k in range(count)]
        tensors = [torch.tensor(p) for p in parts]
        for given in (tensors, tuple(tensors)):
            for d in range(-len(shape), len(shape)):
                np.testing.assert_array_equal(torch.cat(given, d).numpy(), np.concatenate(parts, d))
                np.testing.assert_array_equal(torch.cat(given, dim=d).numpy(), np.concatenate(parts, d))
            for d in range(-len(shape) - 1, len(shape) + 1):
                np.testing.assert_array_equal(torch.stack(given, d).numpy(), np.stack(parts, d))
        rest = torch.cat([tensors[0], tensors[0][:1]])
        np.testing.assert_array_equal(rest.numpy(), np.concatenate([parts[0], parts[0][:1]]))


def test_join_gradients_and_nodes():
    a, b = draw(3, 4).requires_grad_(), draw(2, 4).requires_grad_()
    for _ in range(3):
        a.grad = b.grad = None
        z = torch.cat([a, b])
        (z * torch.arange(20.0).view(5, 4)).sum().backward()
        assert a.grad.flatten().tolist() == list(range(12)) and b.grad.flatten().tolist() == list(range(12, 20))
        a.grad = None
        s = torch.stack([a, a * 2], 1)
        s.sum().backward()
        assert bool((a.grad == 3).all())
        assert (z.grad_fn.name(), s.grad_fn.name()) == ("CatBackward0", "StackBackward0")
    with torch.no_grad():
        assert not torch.cat([a, b]).requires_grad


def test_join_errors_and_rare_forms():
    x, y = draw(8, 8), draw(8, 8, seed=1)
    for call, error in ((lambda: torch.cat([]), ValueError), (lambda: torch.cat([x, y], 2), IndexError),
                        (lambda: torch.cat([x, torch.zeros(3)]), RuntimeError), (lambda: torch.cat(x), TypeError),
                        (lambda: torch.cat([x, torch.zeros(8, 3)]), RuntimeError),
                        (lambda: torch.stack([x, y[:3]]), RuntimeError), (lambda: torch.cat([x, 3]), TypeError)):
        with pytest.raises(error):
            call()
    assert torch.cat([x, torch.zeros(0)]).shape == (8, 8) and torch.cat([x, y.double()]).dtype is torch.float64
    assert torch.equal(torch.cat([x.t(), y]), torch.cat([x.t().contiguous(), y]))
    out = torch.empty(16, 8)
    torch.cat([x, y], out=out)
    assert torch.equal(out[:8], x) and pickle.loads(pickle.dumps(torch.cat)) is torch.cat


# ---------------------------------------------------------------- facts, numbers, views in row order

def test_facts():
    x = draw(2, 3, 4)
    for t in (x, x.clone().requires_grad_(), torch.nn.Parameter(x.clone()), torch.arange(24).view(2, 3, 4)):
        assert t.dim() == t.ndim == 3 and t.numel() == 24 and t.size() == (2, 3, 4) and t.size(-1) == 4
        assert type(t.shape) is torch.Size and repr(t.shape) == "torch.Size([2, 3, 4])"
        assert t.is_contiguous() and t.contiguous() is t and not t.transpose(0, 1).is_contiguous()
        d = t.detach()
        assert d._storage is t._storage and not d.requires_grad and d.is_leaf and type(d) is torch.Tensor
    assert torch.empty(0, 3).is_contiguous() and torch.empty(0, 3).numel() == 0
    with pytest.raises(IndexError):
        x.size(5)


def test_numbers():
    assert type(torch.tensor(1.5).item()) is float and torch.tensor(True).item() is True
    assert torch.tensor(2 ** 62).item() == 2 ** 62 and torch.tensor([2], dtype=torch.int32).item() == 2
    assert int(torch.tensor(2.7)) == 2 and type(float(torch.tensor(3))) is float and bool(torch.tensor(0.0)) is False
    assert bool(torch.tensor(float("nan"))) and float(torch.tensor(2 ** 60)) == float(2 ** 60)
    for call, error in ((lambda: int(torch.tensor(float("inf"))), OverflowError),
                        (lambda: draw(2).item(), RuntimeError),
                        (lambda: int(torch.tensor(float("nan"))), ValueError),
                        (lambda: bool(draw(2)), RuntimeError)):
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("grad", [False, True])
def test_views_in_row_order(grad):
    t = draw(2, 3, 4)
    t.requires_grad_(grad)
    for _ in range(2):
        for view, shape in ((t.flatten(), (24,)), (t.flatten(1), (2, 12)), (torch.flatten(t, 0, 1), (6, 4)),
                            (t.reshape(4, 6), (4, 6)), (t.reshape(-1), (24,)), (torch.reshape(t, (3, 8)), (3, 8)),
                            (t.view_as(torch.zeros(4, 6)), (4, 6)), (t.reshape([4, 6]), (4, 6))):
            assert view.shape == shape and view.is_contiguous() and view._base is t
            assert (view.grad_fn.name() if grad else view.grad_fn) == ("ViewBackward0" if grad else None)
        s = t.unsqueeze(0)[:, :1].squeeze()
        assert s.shape == (3, 4) and (not grad or s.grad_fn.name() == "SqueezeBackward0")
    if grad:
        (t.flatten(1).sum() + t[:1].squeeze().reshape(-1).sum()).backward()
        assert t.grad.sum() == 36


KEYS = [(slice(None), slice(1, 3)), (0, slice(None), slice(-2, None)), (slice(1, 3), 2, slice(0, 9)), (1, 2, 3),
        (slice(3, 1),), slice(1, 3), (-1, slice(None)), (slice(None), slice(None)), (slice(0, 4, 2), 1)]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_slices_of_recorded_tensors(key):
    g = draw(4, 5, 6).requires_grad_()
    a = g.detach().numpy()
    for _ in range(2):
        g.grad = None
        v = g[key]
        np.testing.assert_array_equal(v.detach().numpy(), a[key])
        expected = np.zeros_like(a)
        expected[key] += 1
        v.sum().backward()
        np.testing.assert_array_equal(g.grad.numpy(), expected)


@pytest.mark.parametrize("key", [*KEYS, 0, (1, 2), slice(3, 3)], ids=str)
def test_writes_to_windows(key):
    x = draw(4, 5, 6)
    a = x.numpy().copy()
    value = draw(*a[key].shape, seed=3)
    x[key] = value
    a[key] = value.numpy()
    np.testing.assert_array_equal(x.numpy(), a)
    assert x._version == 1


def test_writes_that_share_or_record():
    x = draw(8, 8)
    rows = x[2:4].clone()
    x[0:2] = x[2:4]
    assert torch.equal(x[:2], rows)
    g = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError):
        g[0:1] = torch.ones(1)
    h = torch.zeros(3)
    h[0:2] = g[:2]
    h.sum().backward()
    assert g.grad.tolist() == [1, 1, 0]
    with pytest.raises(RuntimeError):
        x[0:2] = torch.zeros(3, 8)


# ---------------------------------------------------------------- pointwise runs of any dtypes and shapes

NUMPY = {"add": np.add, "mul": np.multiply, "eq": np.equal, "lt": np.less}


@pytest.mark.parametrize("op", NUMPY)
def test_any_operands(op):
    first = [torch.arange(6).view(2, 3), draw(2, 3), draw(2, 3).double(), torch.ones(2, 3, dtype=torch.bool)]
    second = [2, 2.5, True, torch.arange(3), torch.tensor(1.5), torch.tensor(2), draw(2, 1), draw(3).double(),
              torch.ones(3, dtype=torch.bool), draw(4, 1, 1), draw(3, 2).t()]
    for a in first:
        for b in second:
            for _ in range(2):
                r = getattr(torch, op)(a, b)
                expected = NUMPY[op](a.numpy(), b.numpy() if isinstance(b, torch.Tensor) else b)
                assert r.shape == expected.shape and r.dtype is torch.result_type(a, b) or r.dtype is torch.bool
                np.testing.assert_allclose(r.numpy(), expected, rtol=1e-6)


def test_changes_in_place():
    i = torch.arange(4)
    assert i.add_(3) is i and i.tolist() == [3, 4, 5, 6] and i._version == 1
    i += i
    assert i.tolist() == [6, 8, 10, 12] and i._version == 2
    x = torch.ones(4, 4)
    view = x[:2]
    view.mul_(torch.arange(4))
    assert view._version == x._version == 1 and x[1].tolist() == [0, 1, 2, 3] and x[2].tolist() == [1] * 4
    with pytest.raises(RuntimeError):   # shares memory with what is written
        x.add_(x[0])
    g = torch.ones(3, requires_grad=True)
    for call in (lambda: g.add_(1), lambda: g[:1].add_(1), lambda: i.add_(1.5), lambda: i.add_(torch.ones(2, 4))):
        with pytest.raises(RuntimeError):
            call()
    with torch.no_grad():
        g.add_(1)
    h = g * 2
    h.mul_(g)
    h.sum().backward()
    assert g.tolist() == [2, 2, 2] and g.grad.tolist() == [8, 8, 8]


def test_any_and_all():
    for z in (draw(3, 4) > 0, torch.ones(3, 4, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool),
              torch.ones(0, 3, dtype=torch.bool), torch.tensor(True)):
        a = z.numpy()
        for _ in range(2):
            assert z.all().item() is bool(a.all()) and z.any().item() is bool(a.any()) and z.any().dtype is torch.bool
            for d in range(a.ndim if a.size else 0):
                np.testing.assert_array_equal(z.all(d).numpy(), a.all(d))
                np.testing.assert_array_equal(z.any(dim=d, keepdim=True).numpy(), a.any(d, keepdims=True))
    assert torch.zeros(2, dtype=torch.uint8).any().dtype is torch.uint8 and not torch.arange(3).all()


# ---------------------------------------------------------------- ranges, triangles, reversals, copies

def test_ranges():
    for args in ((5,), (2, 9, 3), (5, 0, -2), (3, 3), (-4, 4), (0, 10000, 7)):
        np.testing.assert_array_equal(torch.arange(*args).numpy(), np.arange(*args))
    for args in ((5, 0), (0, 5, -1), (0, 5, 0), (1, 2, 3, 4)):
        with pytest.raises((RuntimeError, TypeError)):
            torch.arange(*args)
    # One rounding of start + i * step, from the nearer end.
    for n in (2, 3, 10, 101):
        step = np.float64(np.float32(0.7)) / np.float32(n - 1)
        step = np.float64(np.float32(step))
        i = np.arange(n)
        near = np.where(i < n // 2, step * i, np.float64(np.float32(0.7)) - step * (n - 1 - i))
        np.testing.assert_array_equal(torch.linspace(0, 0.7, n).numpy(), near.astype("f4"))


@pytest.mark.parametrize("shape", [(8, 8), (3, 4, 5), (0, 3), (3, 0, 2)], ids=str)
def test_triangles_and_reversals(shape):
    x = draw(*shape)
    a = x.numpy()
    for k in (-9, -3, 0, 2, 8, 9, 20):
        np.testing.assert_array_equal(torch.tril(x, k).numpy(), np.tril(a, k))
        np.testing.assert_array_equal(torch.triu(x, k).numpy(), np.triu(a, k))
    for dims in ((0,), (-1,), (0, 1)):
        np.testing.assert_array_equal(x.flip(dims).numpy(), np.flip(a, dims))


def test_masked_fill_and_copy():
    x, y = draw(8, 8), draw(8, 8, seed=1)
    m = y > 0
    np.testing.assert_array_equal(x.masked_fill(m, 0.5).numpy(), np.where(m.numpy(), np.float32(0.5), x.numpy()))
    assert torch.arange(3).masked_fill(torch.tensor([True, False, True]), 7).tolist() == [7, 1, 7]
    with pytest.raises(RuntimeError):
        x.masked_fill(m, 1e60)
    assert x.copy_(y) is x and x._version == 1 and torch.equal(x, y)
    x.zero_()
    assert x._version == 2 and not x.any()
    assert x.to("cpu") is x and torch.equal(x, x) and not torch.equal(torch.tensor(float("nan")), torch.tensor(0.0))


def test_calls_without_data_record_the_shape_of_their_results():
    x = torch.ones(2, 3, requires_grad=True)
    for _ in range(200):
        m = x.to("meta")
        assert m.grad_fn is not None and (m + m).sum(0).shape == (3,)
    w = torch.ones(3, 4, device="meta", requires_grad=True)
    m.matmul(w).sum().backward()
    assert w.grad.shape == (3, 4) and w.grad.is_meta
