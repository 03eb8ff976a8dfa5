"""Nested tensors against their components."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.devices import jagged

F = torch.nn.functional
RNG = np.random.default_rng(11)
PARTS = [RNG.standard_normal((n, 4)) for n in (2, 5, 3)]
LAYOUTS = [torch.strided, jagged]


def tensors():
    return [torch.tensor(p) for p in PARTS]


@pytest.fixture(params=LAYOUTS, ids=["strided", "jagged"])
def x(request):
    return torch.nested.nested_tensor(tensors(), layout=request.param)


def same(nested, expected):
    found = nested.unbind()
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_geometry(x):
    assert x.is_nested and x.dim() == 3 and x.size(0) == 3 and x.size(-1) == 4 and x.numel() == 40
    same(x, tensors())
    assert np.array_equal(x[1].numpy(), PARTS[1])
    assert not torch.ones(2).is_nested


def test_sizes_that_differ():
    with pytest.raises(RuntimeError, match="irregular"):
        torch.nested.nested_tensor(tensors()).size(1)
    j = torch.nested.nested_tensor(tensors(), layout=jagged)
    assert repr(j.size(1)).startswith("j") and j.offsets().tolist() == [0, 2, 7, 10]
    assert j.values().shape == (10, 4)
    assert (j * 2).size(1) == j.size(1)
    assert torch.nested.nested_tensor(tensors(), layout=jagged).size(1) != j.size(1)


@pytest.mark.parametrize("fn", [
    lambda v: v * 2, lambda v: v + v, lambda v: v - v * 0.5, lambda v: -v, lambda v: v.relu(), lambda v: v.tanh(),
    F.gelu, lambda v: v.softmax(-1), lambda v: v.sum(-1, keepdim=True), lambda v: v.double(), lambda v: v.clone(),
    lambda v: F.layer_norm(v, (4,)), lambda v: v.unsqueeze(-1), lambda v: F.dropout(v, 0.0),
    lambda v: v / 3, lambda v: v.abs().sqrt(),
], ids=range(16))
def test_ops_go_by_component(x, fn):
    same(fn(x), [fn(v) for v in tensors()])


def test_linear_and_products(x):
    layer = torch.nn.Linear(4, 6).double()
    same(layer(x), [layer(v) for v in tensors()])
    if x.layout is torch.strided:
        same(torch.matmul(x, x.transpose(1, 2)), [v @ v.t() for v in tensors()])
    else:
        same(x @ layer.weight.t(), [v @ layer.weight.t() for v in tensors()])


def test_padding(x):
    padded = x.to_padded_tensor(-1.0)
    assert padded.shape == (3, 5, 4)
    for k, p in enumerate(PARTS):
        assert np.array_equal(padded[k, :len(p)].numpy(), p) and bool((padded[k, len(p):] == -1).all())
    assert torch.nested.to_padded_tensor(x, 0.0, (3, 6, 4)).shape == (3, 6, 4)
    with pytest.raises(RuntimeError, match="less than"):
        torch.nested.to_padded_tensor(x, 0.0, (3, 5, 3))
    if x.layout is jagged:
        assert np.array_equal(torch.nested.to_padded_tensor(x, 0.0, (3, 4, 4))[1].numpy(), PARTS[1][:4])


@pytest.mark.parametrize("layout", LAYOUTS, ids=["strided", "jagged"])
def test_gradients_reach_the_components(layout):
    def fn(a, b, w):
        x = torch.nested.as_nested_tensor([a, b], layout=layout)
        return F.softmax(F.linear(x * 2, w), -1).to_padded_tensor(0.0)
    a, b = (torch.tensor(p).requires_grad_() for p in PARTS[:2])
    w = torch.tensor(RNG.standard_normal((3, 4))).requires_grad_()
    assert torch.autograd.gradcheck(fn, (a, b, w))


@pytest.mark.parametrize("layout", LAYOUTS, ids=["strided", "jagged"])
def test_leaves_have_nested_gradients(layout):
    x = torch.nested.nested_tensor(tensors(), layout=layout, requires_grad=True)
    (x * x).to_padded_tensor(0.0).sum().backward()
    assert x.grad.is_nested
    same(x.grad, [2 * v for v in tensors()])


def test_attention_goes_by_component():
    x = torch.nested.nested_tensor(tensors(), layout=jagged)
    heads = x.unflatten(-1, [2, 2]).transpose(1, 2)
    out = F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(-2)

    def one(v):
        h = v.unflatten(-1, (2, 2)).transpose(0, 1)
        return F.scaled_dot_product_attention(h[None], h[None], h[None])[0].transpose(0, 1).flatten(-2)
    same(out, [one(v) for v in tensors()])


def test_reductions_of_jagged_tensors():
    x = torch.nested.nested_tensor(tensors(), layout=jagged)
    np.testing.assert_allclose(x.sum(1).numpy(), [p.sum(0) for p in PARTS])
    assert x.sum().item() == pytest.approx(sum(p.sum() for p in PARTS))
    same(x.mean(-1), [v.mean(-1) for v in tensors()])


def test_from_jagged_and_narrow():
    values = torch.arange(12.0).reshape(6, 2)
    x = torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, 2, 6]))
    same(x, [values[:2], values[2:]])
    assert x.values().data_ptr() == values.data_ptr()
    y = torch.nested.narrow(torch.arange(12.0).reshape(2, 6), 1, torch.tensor([0, 2]), torch.tensor([2, 3]),
                            layout=jagged)
    assert [v.tolist() for v in y.unbind()] == [[0, 1], [8, 9, 10]]
    z = torch.nested.masked_select(torch.arange(4.0).reshape(2, 2), torch.tensor([[True, False], [True, True]]))
    assert [v.tolist() for v in z.unbind()] == [[0], [2, 3]]


def test_text():
    x = torch.nested.nested_tensor([torch.tensor([1.0]), torch.tensor([2.0, 3.0])])
    assert repr(x) == "nested_tensor([\n  tensor([1.]),\n  tensor([2., 3.])\n])"
    j = torch.nested.nested_tensor([torch.tensor([1.0]), torch.tensor([2.0, 3.0])], layout=jagged)
    assert repr(j) == f"NestedTensor(size=(2, {j.size(1)}), offsets=tensor([0, 1, 3]), contiguous=True)"


def test_refusals(x):
    with pytest.raises(RuntimeError):
        torch.nested.nested_tensor([torch.ones(2), torch.ones(2, 2)])
    with pytest.raises(TypeError):
        torch.nested.nested_tensor(3)
    with pytest.raises(RuntimeError):
        torch.nested.nested_tensor([], layout=jagged)
    with pytest.raises(RuntimeError):
        torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 2)], layout=jagged)
    other = torch.nested.nested_tensor(tensors()[::-1], layout=x.layout)
    with pytest.raises(RuntimeError):
        x + other
    with pytest.raises(NotImplementedError):
        x.cumsum(0)
