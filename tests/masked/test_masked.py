"""Masked operations against NumPy's masked arrays, and MaskedTensor against stored texts."""

import numpy as np
import pytest

import rushlight as torch

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 5, 3))
MASK = RNG.random((4, 5, 3)) < 0.6
MASK[:, 0] = True
AWAY = np.ma.masked_array(X, ~MASK)


def t(a):
    return torch.tensor(a)


@pytest.mark.parametrize("dim", [0, 1, 2, (0, 2), None])
@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "amax", "amin"])
def test_reductions(name, dim):
    ours = getattr(torch.masked, name)(t(X), dim, mask=t(MASK))
    fn = getattr(AWAY, {"amax": "max", "amin": "min"}.get(name, name))
    expected = fn(axis=dim, ddof=1) if name in ("var", "std") else fn(axis=dim)
    there = ~np.ma.getmaskarray(np.ma.asarray(expected))
    np.testing.assert_allclose(ours.numpy()[there], np.ma.asarray(expected).data[there], rtol=1e-12)


def test_median_is_the_lower_one():
    x = t([[3.0, 1.0, 2.0, 9.0], [1.0, 2.0, 3.0, 4.0]])
    mask = t([[True, True, True, False], [True, True, True, True]])
    assert torch.masked.median(x, 1, mask=mask).tolist() == [2.0, 2.0]


def test_without_elements_there_is_the_identity():
    x, none = torch.ones(2), torch.zeros(2, dtype=torch.bool)
    assert torch.masked.sum(x, 0, mask=none).item() == 0
    assert torch.masked.prod(x, 0, mask=none).item() == 1
    assert torch.masked.amax(x, 0, mask=none).item() == -np.inf
    assert torch.masked.amin(x.long(), 0, mask=none).item() == 2 ** 63 - 1
    assert np.isnan(torch.masked.mean(x, 0, mask=none).item())
    with pytest.raises(NotImplementedError):
        torch.masked.amax(x.bool(), 0, mask=none)


def test_softmax_leaves_masked_elements_out():
    ours = torch.masked.softmax(t(X), 1, mask=t(MASK)).numpy()
    e = np.where(MASK, np.exp(X), 0)
    np.testing.assert_allclose(ours, e / e.sum(1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "softmax", "cumsum", "logsumexp", "normalize"])
def test_gradients(name):
    args = (2.0,) if name == "normalize" else ()
    x = t(X[:2, :3, 0]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: getattr(torch.masked, name)(v, *args, 1, mask=t(MASK[:2, :3, 0])), (x,))


def test_masks_must_broadcast():
    with pytest.raises(IndexError):
        torch.masked.sum(torch.ones(2), mask=torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(RuntimeError):
        torch.masked.sum(torch.ones(2, 3), mask=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError):
        torch.masked.mean(torch.ones(2, dtype=torch.int64))


def masked():
    return torch.masked.masked_tensor(t([[1.0, 2, 3], [4, 5, 6]]), t([[True, False, True], [False] * 3]))


def test_text():
    assert repr(masked()) == ("MaskedTensor(\n  [\n    [  1.0000,       --,   3.0000],\n"
                              "    [      --,       --,       --]\n  ]\n)")


def test_masked_tensors_compute():
    a = masked()
    assert isinstance(a + a, torch.masked.MaskedTensor)
    assert (a * 2).to_tensor(0.0).tolist() == [[2.0, 0, 6], [0, 0, 0]]
    total = a.sum(1)
    assert total.get_data()[0].item() == 4 and total.get_mask().tolist() == [True, False]
    assert a.t().get_mask().tolist() == [[True, False], [False, False], [True, False]]
    with pytest.raises(ValueError):
        a + torch.masked.masked_tensor(a.get_data(), ~a.get_mask())


def test_gradients_flow_back_through_as_masked_tensor():
    x = torch.ones(3, requires_grad=True)
    (torch.masked.as_masked_tensor(x, t([True, False, True])) * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 0.0, 3.0]
    b = torch.masked.masked_tensor(torch.ones(2), t([True, False]), requires_grad=True)
    (b * b).sum().backward()
    assert b.grad.to_tensor(-1.0).tolist() == [2.0, -1.0]


def test_plain_tensors_go_their_quick_way():
    masked()
    from rushlight import overrides
    assert not overrides._active or torch.ones(2).add(1).tolist() == [2.0, 2.0]
