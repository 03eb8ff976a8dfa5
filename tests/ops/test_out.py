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
