"""Generated twins of products: the same results, gradients, nodes and errors whichever twin or Python serves."""

import copy
import pickle

import numpy as np
import pytest

import rushlight as torch

from .helpers import generator

SHAPES = {"mm": [(3, 4), (4, 5)], "bmm": [(2, 3, 4), (2, 4, 5)], "bmm4": [(2, 3, 3, 4), (2, 3, 4, 5)],
          "mv": [(3, 4), (4,)], "dot": [(4,), (4,)], "broadcast": [(2, 1, 3, 4), (3, 4, 2)], "vm": [(4,), (4, 3)],
          "empty": [(0, 4), (4, 5)], "empty batch": [(0, 3, 4), (0, 4, 5)], "no terms": [(3, 0), (0, 5)]}
NODES = {"mm": "MmBackward0", "bmm": "BmmBackward0", "mv": "MvBackward0", "dot": "DotBackward0"}
DTYPES = ["float32", "float64", "int64", "complex64", "bfloat16"]


def draw(shape, seed, dtype):
    return torch.tensor(np.rint(3 * generator(seed).standard_normal(shape))).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", SHAPES)
def test_products(kind, dtype):
    a, b = (draw(s, i, dtype) for i, s in enumerate(SHAPES[kind]))
    wide = torch.complex128 if dtype == "complex64" else torch.float64
    expected = np.matmul(a.to(wide).numpy(), b.to(wide).numpy())
    calls = [lambda a, b: a @ b, torch.matmul, torch.Tensor.matmul]
    if kind in ("mm", "bmm", "mv", "dot"):
        calls += [getattr(torch, kind), getattr(torch.Tensor, kind)]
    for call in calls:
        for left, right in ((a, b), (a.mT.contiguous().mT if a.ndim > 1 else a, b)):
            r = call(left, right)
            assert r.dtype == a.dtype and r.shape == expected.shape
            np.testing.assert_array_equal(r.to(wide).numpy(), expected)


@pytest.mark.parametrize("kind", NODES)
def test_gradients(kind):
    for dtype in ("float32", "float64"):
        a, b = (draw(s, i, dtype) for i, s in enumerate(SHAPES[kind]))
        for needs in ((True, True), (True, False), (False, True)):
            for _ in range(2):      # the first call makes the plan of what is saved
                x, y = a.clone().requires_grad_(needs[0]), b.clone().requires_grad_(needs[1])
                r = getattr(torch, kind)(x, y)
                assert type(r.grad_fn).__name__ == NODES[kind] and r.grad_fn is not None
                r.sum().backward()
                one = np.ones(r.shape)
                if kind == "dot":
                    left, right = b.numpy(), a.numpy()
                elif kind == "mv":
                    left, right = one[:, None] * b.numpy(), a.numpy().T @ one
                else:
                    left, right = one @ b.numpy().swapaxes(-1, -2), a.numpy().swapaxes(-1, -2) @ one
                for t, n, value in ((x, needs[0], left), (y, needs[1], right)):
                    if n:
                        np.testing.assert_allclose(t.grad.numpy(), value)
                    else:
                        assert t.grad is None
        with torch.no_grad():
            assert (x @ y).grad_fn is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (2, 2, 5, 4), (4,), (0, 4), (2, 0, 4)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear(shape, biased, dtype):
    x, w, bias = draw(shape, 0, dtype), draw((3, 4), 1, dtype), draw((3,), 2, dtype)
    expected = x.double().numpy() @ w.double().numpy().T + (bias.double().numpy() if biased else 0)
    for _ in range(2):
        args = [x.clone().requires_grad_(), w.clone().requires_grad_()]
        args.append(bias.clone().requires_grad_() if biased else None)
        r = torch.nn.functional.linear(*args)
        np.testing.assert_array_equal(r.detach().double().numpy(), expected)
        r.sum().backward()
        rows = x.double().numpy().reshape(-1, 4)
        np.testing.assert_array_equal(args[0].grad.double().numpy(), np.broadcast_to(w.double().numpy().sum(0), shape))
        np.testing.assert_array_equal(args[1].grad.double().numpy(), np.broadcast_to(rows.sum(0), (3, 4)))
        if biased:
            np.testing.assert_array_equal(args[2].grad.double().numpy(), np.full(3, len(rows)))
    bare = torch.nn.functional.linear(x, w)
    np.testing.assert_array_equal(bare.double().numpy(), x.double().numpy() @ w.double().numpy().T)


def test_what_twins_do_not_serve_is_refused_as_before():
    a, b = torch.ones(3, 4), torch.ones(3, 4)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        a @ b
    with pytest.raises(RuntimeError, match="must be a matrix"):
        torch.mm(torch.ones(4), a)
    with pytest.raises(RuntimeError, match="3D"):
        torch.bmm(a, b)
    with pytest.raises(RuntimeError, match="1D"):
        torch.dot(a, b)
    with pytest.raises(RuntimeError, match="dtype"):
        a @ torch.ones(4, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        torch.bmm(torch.ones(2, 3, 4), torch.ones(3, 4, 5))
    with pytest.raises(RuntimeError, match="0D"):
        torch.ones(()) @ a
    out = torch.empty(3, 3)
    assert torch.matmul(a, b.t(), out=out) is out and (out == 4).all()
    assert pickle.loads(pickle.dumps(torch.matmul)) is torch.matmul
    assert copy.deepcopy(torch.bmm) is torch.bmm


def test_views_and_conjugates():
    x = torch.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal((x[0] @ x[1].t()).numpy(), x.numpy()[0] @ x.numpy()[1].T)
    expected = x.numpy()[:, ::2] @ x.numpy().transpose(0, 2, 1)[:, :, 1:]
    np.testing.assert_array_equal((x[:, ::2] @ x.mT[:, :, 1:]).numpy(), expected)
    z = torch.tensor(np.array([[1 + 2j, 3], [4, 5j]], "c8"))
    np.testing.assert_array_equal((z.conj() @ z).resolve_conj().numpy(), z.numpy().conj() @ z.numpy())
