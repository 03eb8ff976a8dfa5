"""Subscripts, gathers and scatters against NumPy's own indexing; gradients by counting."""

import numpy as np
import pytest

import rushlight as torch

A = np.arange(60.0).reshape(3, 4, 5)
I = np.array([2, 0])
J = np.array([[1, 3], [0, 2]])
MASK = A[:, :, 0] % 3 == 0

INDICES = [
    0, -1, (1, 2), (slice(None), 1), (Ellipsis, 2), (None, 0), slice(1, None),
    (slice(None, None, 2), slice(1, 4, 2)), (slice(-2, None), Ellipsis, None), I, J % 3, (slice(None), I),
    (I, slice(None), I), (slice(None), I, I), (I, I, I), (slice(1, 3), J), MASK, (MASK, 0), A > 30,
    (slice(None), MASK[0]), [0, 2], (slice(None), [1, 3], 0), (I[:, None], slice(None), I), (slice(0, 0),),
    (np.array([], dtype=np.int64),)]


def ours(index):
    """The index with arrays as tensors."""
    if isinstance(index, tuple):
        return tuple(ours(i) for i in index)
    return torch.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading(index):
    np.testing.assert_array_equal(torch.tensor(A)[ours(index)].numpy(), A[index])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_writing(index):
    expected = A.copy()
    expected[index] = -1
    t = torch.tensor(A)
    t[ours(index)] = -1
    np.testing.assert_array_equal(t.numpy(), expected)
    assert t._version == 1
    values = np.broadcast_to(7.5, A[index].shape)
    expected[index] = values
    t[ours(index)] = torch.tensor(values)
    np.testing.assert_array_equal(t.numpy(), expected)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_gradients_of_reading_and_writing(index):
    leaf = torch.tensor(A, requires_grad=True)
    part = leaf[ours(index)]
    weights = np.arange(part.numel(), dtype=float).reshape(part.shape) + 1
    (part * torch.tensor(weights)).sum().backward()
    expected = np.zeros(A.shape)
    np.add.at(expected, index, weights.reshape(A[index].shape))
    np.testing.assert_allclose(leaf.grad.numpy(), expected)
    leaf = torch.tensor(A, requires_grad=True)
    value = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    copy = leaf * 1
    copy[ours(index)] = value
    copy.sum().backward()
    kept = np.ones(A.shape)
    kept[index] = 0
    np.testing.assert_allclose(leaf.grad.numpy(), kept)
    assert value.grad.item() == A[index].size


def test_views_or_copies():
    x = torch.tensor(A)
    assert x[0]._base is x and x[:, 1:3]._base is x and x[None]._base is x and x[...]._base is x
    assert x[torch.tensor([0])]._base is None and x[x > 3]._base is None
    x[1, 2] = 0
    assert x[1, 2, 3].item() == 0


@pytest.mark.parametrize("index, error, text", [
    (3, IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
    ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
    (slice(None, None, -1), ValueError, "step must be greater than zero"),
    (1.0, IndexError, "only integers, slices"),
    (torch.tensor([5]), IndexError, "out of bounds"),
    (torch.tensor([True, False]), IndexError, "The shape of the mask [2] at index 0 does not match"),
    ((torch.tensor([0, 1]), torch.tensor([0, 1, 2])), IndexError, "could not be broadcast together"),
    (torch.tensor([1.0]), IndexError, "must be long, int, byte or bool")])
def test_refused_subscripts(index, error, text):
    with pytest.raises(error) as e:
        torch.tensor(A)[index]
    assert text in str(e.value)


def test_assignments_that_do_not_fit():
    x = torch.zeros(3, 4)
    with pytest.raises(RuntimeError, match="expanded size"):
        x[0] = torch.ones(3)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        x[torch.tensor([0, 1])] = torch.ones(3)
    with pytest.raises(RuntimeError, match="dtypes match"):
        x[torch.tensor([0, 1])] = torch.ones(4, dtype=torch.float64)
    with pytest.raises(TypeError, match="can't assign a str"):
        x[0] = "a"
    leaf = torch.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf[0] = 1


def test_repeated_positions_accumulate():
    x = torch.zeros(3)
    x.index_put_((torch.tensor([1, 1, 2]),), torch.tensor([1.0, 2.0, 4.0]), accumulate=True)
    assert x.tolist() == [0, 3, 4]
    x.index_add_(0, torch.tensor([0, 0]), torch.tensor([1.0, 1.0]), alpha=10)
    assert x.tolist() == [20, 3, 4]
    y = torch.zeros(3, dtype=torch.bfloat16)
    y.index_put_((torch.zeros(300, dtype=torch.int64),), torch.ones(300, dtype=torch.bfloat16), accumulate=True)
    assert y[0].item() == 300, "16-bit floats are summed in float32"


def test_gather_and_scatter_are_inverse_patterns():
    x = torch.tensor(A[0])
    index = torch.tensor(np.argsort(-A[0], 0))
    np.testing.assert_array_equal(x.gather(0, index).numpy(), np.take_along_axis(A[0], index.numpy(), 0))
    np.testing.assert_array_equal(torch.zeros_like(x).scatter(0, index, x.gather(0, index)).numpy(), A[0])
    with pytest.raises(RuntimeError, match="out of bounds"):
        x.gather(0, torch.tensor([[9]]))


@pytest.mark.parametrize("reduce, ufunc", [("sum", np.add), ("prod", np.multiply), ("amax", np.maximum),
                                           ("amin", np.minimum)])
def test_scatter_reduce(reduce, ufunc):
    target, index, source = np.full(4, 2.0), np.array([0, 0, 3, 1, 3]), np.array([3.0, 5.0, 1.0, -4.0, 7.0])
    expected = target.copy()
    ufunc.at(expected, index, source)
    r = torch.tensor(target).scatter_reduce(0, torch.tensor(index), torch.tensor(source), reduce)
    np.testing.assert_allclose(r.numpy(), expected)
    without = torch.tensor(target).scatter_reduce(0, torch.tensor(index), torch.tensor(source), reduce,
                                                  include_self=False)
    assert without[2].item() == 2.0 and without[1].item() == -4.0


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_gradients_by_differences(reduce, include_self):
    index = torch.tensor([0, 0, 3, 1, 3])
    data = [np.array([1.5, -2.0, 0.5, 3.0]), np.array([3.0, 5.0, 1.0, -4.0, 7.0])]
    w = np.array([1.0, -2.0, 3.0, 0.5])

    def value(t, s):
        r = torch.tensor(t).scatter_reduce(0, index, torch.tensor(s), reduce, include_self=include_self)
        return (r.numpy() * w).sum()
    t, s = (torch.tensor(d, requires_grad=True) for d in data)
    (t.scatter_reduce(0, index, s, reduce, include_self=include_self) * torch.tensor(w)).sum().backward()
    for which, grad in enumerate((t.grad, s.grad)):
        for k in range(data[which].size):
            plus, minus = [d.copy() for d in data], [d.copy() for d in data]
            plus[which][k] += 1e-6
            minus[which][k] -= 1e-6
            numeric = (value(*plus) - value(*minus)) / 2e-6
            assert abs(grad[k].item() - numeric) < 1e-6


def test_masks():
    x, mask = torch.tensor(A), torch.tensor(A > 30)
    np.testing.assert_array_equal(x.masked_fill(mask, -1).numpy(), np.where(A > 30, -1, A))
    np.testing.assert_array_equal(x.masked_select(mask).numpy(), A[A > 30])
    scattered = A.copy()
    scattered[A > 30] = np.arange(29.0)
    np.testing.assert_array_equal(x.masked_scatter(mask, torch.arange(40, dtype=torch.float64)).numpy(), scattered)
    assert [c.tolist() for c in mask.nonzero(as_tuple=True)] == [c.tolist() for c in np.nonzero(A > 30)]
    assert torch.argwhere(mask).shape == (29, 3)


def test_one_hot():
    assert torch.nn.functional.one_hot(torch.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        torch.nn.functional.one_hot(torch.tensor([3]), 3)


def test_index_add_wraps_its_factor():
    x = torch.tensor([5, 9], dtype=torch.uint8)
    assert x.index_add(0, torch.tensor([1]), torch.tensor([2], dtype=torch.uint8), alpha=-1).tolist() == [5, 7]


def test_pairs_of_half_floats():
    x = torch.tensor([1 + 2j, 3 - 1j]).to(torch.complex32)
    assert x.index_add(0, torch.tensor([1, 1]), x, alpha=2).to(torch.complex64).tolist() == [1 + 2j, 11 + 1j]
    assert x.index_fill(0, torch.tensor([0]), 4j).to(torch.complex64).tolist() == [4j, 3 - 1j]
    assert x.norm().dtype is torch.float16 and abs(float(x.norm()) - 15 ** 0.5) < 2e-3
