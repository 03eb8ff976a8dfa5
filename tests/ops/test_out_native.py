"""``out=`` of functions with generated twins: where results land, what is refused, and that nothing runs twice."""

import numpy as np
import pytest

import rushlight as torch

pytestmark = pytest.mark.usefixtures("generated_functions")
x = torch.arange(12.0).reshape(3, 4) * 0.37 - 2
i = torch.tensor([2, 0])


CALLS = {
    "sum": (x, 0), "mean": (x, 1), "prod": (x, 0), "amax": (x, 1), "var": (x, 0), "cumsum": (x, 1), "softmax": (x, 1),
    "index_select": (x, 0, i), "take": (x, i), "tril": (x,), "addmm": (x[:, 0].clone(), x, x.t().contiguous()[:, :3]),
    "mv": (x, x[0].clone()), "dot": (x[0].clone(), x[1].clone()), "arange": (0.0, 3.0, 0.5), "zeros": (2, 3),
    "full": ((2, 2), 1.5), "linspace": (0, 1, 5), "eye": (3,), "cat": ([x, x],), "stack": ((x, x), 1),
    "argmax": (x, 1), "norm": (x, 2, 0), "logsumexp": (x, 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_land_in_the_tensor(name):
    f, args = getattr(torch, name), CALLS[name]
    want = f(*args)
    base = torch.full((3, *want.shape), 7).to(want.dtype)
    out = base[1]
    place, view = out.data_ptr(), out.view(-1)
    for _ in range(4):
        version = out._version
        assert getattr(torch, name)(*args, out=out) is out
        assert out._version > version and out.data_ptr() == place
        assert torch.equal(out, want) and torch.equal(view, want.reshape(-1))
        out.zero_()
    assert base[0].eq(7).all() and base[2].eq(7).all()
    # Others that don't fit: another size (which is resized), gaps, a wider type.
    empty = torch.empty(0, dtype=want.dtype)
    apart = torch.zeros(*want.shape, 2, dtype=want.dtype)[..., 0]
    for out in (empty, apart):
        assert getattr(torch, name)(*args, out=out) is out and torch.equal(out, want)


def test_types_and_gradients():
    for _ in range(3):
        wide = torch.empty(4, dtype=torch.float64)
        assert torch.sum(x, 0, out=wide) is wide
        np.testing.assert_allclose(wide.numpy(), x.numpy().sum(0), rtol=1e-6)
        thirds = torch.empty(2, dtype=torch.float64)
        torch.linspace(0, 1 / 3, 2, out=thirds)
        assert thirds[1].item() == 1 / 3            # computed in its own type, not rounded to float32 before
        ints = torch.empty(3, dtype=torch.float32)
        assert torch.arange(0, 3, out=ints).dtype is torch.float32 and ints.tolist() == [0, 1, 2]
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.sum(x, 0, out=torch.empty(4, dtype=torch.int64))
        needs = x.clone().requires_grad_()
        for args, out in (((needs, 0), torch.empty(4)), ((x, 0), torch.empty(4, requires_grad=True))):
            with pytest.raises(RuntimeError, match="automatic differentiation"):
                torch.sum(*args, out=out)
        with torch.no_grad():
            out = torch.empty(4)
            assert not torch.sum(needs, 0, out=out).requires_grad and torch.equal(out, x.sum(0))
        leaf = torch.zeros(2, 4, requires_grad=True)
        with pytest.raises(RuntimeError):
            torch.sum(x, 0, out=leaf[0])


def test_shared_memory():
    for _ in range(3):
        a = x.clone()
        torch.cumsum(a, 1, out=a)
        np.testing.assert_allclose(a.numpy(), np.cumsum(x.numpy(), 1), rtol=1e-6)
        with pytest.raises(RuntimeError, match="single memory"):
            torch.index_select(a, 0, i, out=a[:2])
        with pytest.raises(RuntimeError, match="single memory"):
            torch.cat([a[:1], a[1:]], out=a)


def test_several_results_and_names():
    for _ in range(4):
        values, at = torch.empty(3, 4), torch.empty(3, 4, dtype=torch.int64)
        found = torch.sort(-x, dim=1, out=(values, at))
        assert found.values is values and found.indices is at
        assert torch.equal(values, (-x).sort(1).values) and at[0].tolist() == [3, 2, 1, 0]
        out = torch.empty(3, 1)
        assert torch.equal(torch.sum(x, dim=1, keepdim=True, out=out), x.sum(1, True))
        assert torch.equal(torch.sum(x, axis=1, keepdims=True, out=out), x.sum(1, True))


def test_random_numbers_are_drawn_once():
    for _ in range(4):
        torch.manual_seed(3)
        want, after = torch.rand(5), torch.rand(1)
        for out in (torch.empty(5), torch.empty(0), torch.empty(10)[::2]):
            torch.manual_seed(3)
            torch.rand(5, out=out)
            assert torch.equal(out, want) and torch.equal(torch.rand(1), after)


def test_saved_tensors_notice():
    for _ in range(3):
        w = torch.ones(4, requires_grad=True)
        kept = torch.ones(4)
        y = (w * kept).sum()
        torch.sum(x, 0, out=kept)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
