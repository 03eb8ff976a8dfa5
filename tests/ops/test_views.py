"""Views share memory, have NumPy's contents, and pass gradients back to their base."""

import numpy as np
import pytest

import rushlight as torch

X = np.arange(24.0).reshape(2, 3, 4)

SAME_AS_NUMPY = [
    ("transpose", lambda x: x.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
    ("permute", lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    ("movedim", lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    ("mT", lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    ("view", lambda x: x.view(4, -1), lambda a: a.reshape(4, -1)),
    ("flatten", lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    ("unflatten", lambda x: x.unflatten(2, (2, 2)), lambda a: a.reshape(2, 3, 2, 2)),
    ("squeeze", lambda x: x[:1].squeeze(0), lambda a: a[0]),
    ("unsqueeze", lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    ("expand", lambda x: x[:, :1].expand(2, 5, 4), lambda a: np.broadcast_to(a[:, :1], (2, 5, 4))),
    ("select", lambda x: x.select(1, -1), lambda a: a[:, -1]),
    ("narrow", lambda x: x.narrow(2, 1, 2), lambda a: a[..., 1:3]),
    ("diagonal", lambda x: x.diagonal(1, 1, 2), lambda a: a.diagonal(1, 1, 2)),
    ("unfold", lambda x: x.unfold(2, 2, 1), lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, 2)),
    ("split", lambda x: x.split(2, 1)[1], lambda a: a[:, 2:]),
    ("chunk", lambda x: x.chunk(2, 2)[0], lambda a: a[..., :2]),
    ("tensor_split", lambda x: x.tensor_split([1, 3], 2)[1], lambda a: a[..., 1:3]),
    ("unbind", lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    ("as_strided", lambda x: x.as_strided((2, 2), (12, 3), 1), lambda a: a.reshape(-1)[[[1, 4], [13, 16]]]),
]


@pytest.mark.parametrize("name, view, reference", SAME_AS_NUMPY, ids=[c[0] for c in SAME_AS_NUMPY])
def test_contents_memory_and_gradient(name, view, reference):
    base = torch.tensor(X)
    v = view(base)
    assert v._is_view() and v._base is base
    np.testing.assert_array_equal(v.numpy(), reference(X))
    assert v.untyped_storage() == base.untyped_storage()
    if name != "expand":
        v.fill_(-1)
        shown = np.unique(reference(np.arange(24).reshape(2, 3, 4))).size
        assert (base == -1).sum().item() == shown
    leaf = torch.tensor(X, requires_grad=True)
    weights = np.arange(reference(X).size, dtype=float).reshape(reference(X).shape) + 1
    (view(leaf) * torch.tensor(weights)).sum().backward()
    expected = np.zeros(24)
    np.add.at(expected, reference(np.arange(24).reshape(2, 3, 4)), weights)
    np.testing.assert_allclose(leaf.grad.numpy(), expected.reshape(2, 3, 4))


@pytest.mark.parametrize("name, view, reference", SAME_AS_NUMPY, ids=[c[0] for c in SAME_AS_NUMPY])
def test_second_order(name, view, reference):
    x = torch.tensor(X / 10, requires_grad=True)
    g, = torch.autograd.grad((view(x) ** 3).sum(), x, create_graph=True)
    h, = torch.autograd.grad(g.sum(), x)
    count = np.zeros(24)
    np.add.at(count, reference(np.arange(24).reshape(2, 3, 4)), 1)
    np.testing.assert_allclose(h.numpy(), 6 * X / 10 * count.reshape(2, 3, 4))


def test_reshape_copies_only_when_it_must():
    x = torch.tensor(X)
    assert x.reshape(6, 4).data_ptr() == x.data_ptr()
    y = x.transpose(0, 2).reshape(-1)
    assert y.data_ptr() != x.data_ptr() and not y._is_view()
    np.testing.assert_array_equal(y.numpy(), X.swapaxes(0, 2).reshape(-1))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.transpose(0, 2).view(-1)


@pytest.mark.parametrize("shape, text", [((5, -1), "is invalid for input of size 24"),
                                         ((-1, -1), "only one dimension can be inferred"),
                                         ((-2, 3), "invalid shape dimension -2")])
def test_impossible_shapes(shape, text):
    with pytest.raises(RuntimeError, match=text):
        torch.tensor(X).view(shape)


def test_dtype_views_reinterpret_bytes():
    x = torch.tensor([1.0, 2.0])
    assert x.view(torch.int32).tolist() == [0x3F800000, 0x40000000]
    assert x.view(torch.float64).shape == (1,)
    assert torch.zeros(3, 2, dtype=torch.float64).view(torch.float32).shape == (3, 4)
    with pytest.raises(RuntimeError, match="divisible"):
        torch.zeros(3).view(torch.float64)


def test_changes_through_a_view_are_differentiated():
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 2
    y[0].mul_(5)
    assert y.grad_fn.name() == "CopySlices"
    y.sum().backward()
    assert x.grad.tolist() == [[10.0] * 3, [2.0] * 3]


def test_views_of_several_outputs_refuse_in_place_changes():
    a, b = (torch.ones(4, requires_grad=True) * 1).split(2)
    with pytest.raises(RuntimeError, match="multiple views"):
        a.add_(1)


def test_conjugation_is_lazy_and_shared():
    z = torch.tensor([1 + 2j, 3 - 1j])
    c = z.conj()
    assert c.is_conj() and c.untyped_storage() == z.untyped_storage()
    assert c.tolist() == [1 - 2j, 3 + 1j] and c.imag.tolist() == [-2, 1]
    assert not c.resolve_conj().is_conj()
    z[0] = 5j
    assert c[0].item() == -5j
    assert torch.view_as_real(z).tolist() == [[0, 5], [3, -1]]
    with pytest.raises(RuntimeError, match="view_as_real doesn't work"):
        torch.view_as_real(c)


def test_in_place_geometry():
    x = torch.tensor(X)
    assert x.transpose_(0, 1) is x and x.shape == (3, 2, 4)
    assert x.unsqueeze_(0).shape == (1, 3, 2, 4) and x.squeeze_(0).shape == (3, 2, 4)
    np.testing.assert_array_equal(x.numpy(), X.swapaxes(0, 1))


def test_empty_tensors_have_dense_strides():
    assert torch.zeros(2, 0, 3).stride() == (3, 3, 1)
    assert torch.zeros(0, 3)[:0].t().shape == (3, 0)


def test_views_of_the_same_shape_have_the_strides_of_that_shape():
    for special in (0, 1):
        torch.autograd.modes.state.special += special       # (generated functions leave calls to Python then)
        try:
            row = torch.ones(6, 15)[:1, :5]
            assert row.stride() == (15, 1)
            assert row.reshape(1, 5).stride() == row.view(1, 5).stride() == row.reshape(-1, 5).stride() == (5, 1)
        finally:
            torch.autograd.modes.state.special -= special
