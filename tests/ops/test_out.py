"""Result tensors that the caller gives: types and memory that are refused."""

import numpy as np
import pytest

import rushlight as torch

x = torch.rand(3, 3) + 0.5


@pytest.mark.parametrize("name", ("abs", "floor", "sign", "round", "matmul", "mm", "tril", "nonzero", "argmax"))
def test_some_ops_write_their_own_type_only(name):
    args = (x, x) if name in ("matmul", "mm") else (x,)
    with pytest.raises(RuntimeError, match="Expected out tensor to have dtype"):
        getattr(torch, name)(*args, out=torch.empty(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["exp", "sum", "add", "sqrt"])
def test_others_convert_to_a_wider_one(name):
    args = (x, x) if name == "add" else (x,)
    out = torch.empty(0, dtype=torch.float64)
    getattr(torch, name)(*args, out=out)
    np.testing.assert_allclose(out.numpy(), getattr(torch, name)(*args).numpy())


def test_joining_refuses_a_narrower_type_as_a_type_error():
    with pytest.raises(TypeError):
        torch.cat([x, x], out=torch.empty(0, dtype=torch.int64))


def test_borrowed_memory_does_not_grow():
    t = torch.from_numpy(np.ones(4))
    assert t.resize_(2).tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="not resizable"):
        t.resize_(8)
    with pytest.raises(RuntimeError, match="not resizable"):
        torch.cat([torch.ones(3, dtype=torch.float64)] * 2, out=torch.from_numpy(np.ones(2)))


def test_a_result_in_the_argument_is_refused_where_it_would_be_read_again():
    t = torch.randn(5, 2)
    with pytest.raises(RuntimeError, match="single memory"):
        torch.kthvalue(t, 1, 0, out=(t[0], torch.empty(2, dtype=torch.int64)))


@pytest.mark.parametrize("name, args", [
    ("add", (x, x)), ("mul", (x, 2)), ("exp", (x,)), ("lt", (x, x[:1])), ("where", (x > 1, x, x[0])),
    ("clamp", (x, 0.7)),
    ("mm", (x, x)), ("bmm", (x.view(1, 3, 3), x.view(1, 3, 3))), ("cat", ([x, x[:1]],)), ("cat", ([x, x[:, :2]], -1)),
    ("stack", ([x, x],)), ("stack", ([x, x], -1))])
def test_results_that_fit_are_written_where_they_belong(name, args):
    """The memory stays; versions count; what views of it show changes with it."""
    want = getattr(torch, name)(*args)
    base = torch.zeros(2, *want.shape, dtype=want.dtype)
    for out in (base[1], torch.zeros(want.shape, dtype=want.dtype).t().contiguous().t() if want.ndim == 2 else base[0]):
        place, version = out.data_ptr(), out._version
        assert getattr(torch, name)(*args, out=out) is out
        assert out.data_ptr() == place and out._version > version
        assert out.tolist() == want.tolist()
    assert base[1].tolist() == want.tolist()


def test_a_result_over_an_argument():
    t = torch.arange(6.0)
    torch.add(t, t, out=t)
    assert t.tolist() == [0, 2, 4, 6, 8, 10]
    torch.mul(t[:2], 2, out=t[2:4])
    assert t.tolist() == [0, 2, 0, 4, 8, 10]
    with pytest.raises(RuntimeError, match="single memory"):
        torch.mul(t[:4], 2, out=t[1:5])
    m = torch.ones(2, 2)
    torch.add(m[0], torch.ones(1), out=m[1])
    assert m.tolist() == [[1, 1], [2, 2]]
    torch.cat([m[1:], m[:1]], out=torch.empty(0))
    with pytest.raises(RuntimeError):
        torch.cat([m[1:], m[:1]], out=m)
    with pytest.raises(RuntimeError, match="requires grad"):
        torch.mul(torch.ones(2, requires_grad=True), 2, out=torch.ones(2))


def test_other_sizes_are_made_to_fit():
    with pytest.warns(UserWarning, match="resized"):
        assert torch.add(x, x[:1], out=torch.ones(2, 3, 3)).shape == (3, 3)
    assert torch.stack([x, x], out=torch.empty(0)).shape == (2, 3, 3)
