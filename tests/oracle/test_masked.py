"""Masked operations and MaskedTensor against live PyTorch."""

import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

X = np.array([[1.5, -2.0, 3.25], [4.0, 0.5, -6.0], [7.0, 8.0, 9.0]])
MASK = np.array([[True, False, True], [False, False, False], [True, True, True]])
REDUCTIONS = "sum prod amax amin argmax argmin mean median logsumexp norm var std".split()
SAME_SHAPE = "cumsum cumprod softmax log_softmax softmin normalize".split()


def outcome(T, name, dtype, mask, dim, gradient=False, **options):
    """The values of a masked operation (and of the gradient), or the kind of error."""
    x = T.tensor(X, dtype=getattr(T, dtype))
    if gradient:
        x.requires_grad_()
    args = (2.0,) if name in ("norm", "normalize") else ()
    try:
        y = getattr(T.masked, name)(x, *args, dim, mask=None if mask is None else T.tensor(mask), **options)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        return type(error) if not isinstance(error, RuntimeError) else RuntimeError
    found = [str(y.dtype), tuple(y.shape), y.detach().tolist()]
    if gradient:
        kept = y[~y.isnan()] if bool(y.isnan().any()) else y
        (kept[kept.isfinite()] ** 2).sum().backward()
        found.append(x.grad.tolist())
    return found


def agree(ours, theirs, what):
    if isinstance(theirs, type):
        assert ours is theirs, f"{what}: {ours}, not {theirs}"
        return
    assert ours[:2] == theirs[:2], what
    for a, b in zip(ours[2:], theirs[2:], strict=True):
        np.testing.assert_allclose(np.array(a, float), np.array(b, float), rtol=2e-6, atol=1e-6, err_msg=str(what))


@pytest.mark.parametrize("name", REDUCTIONS + SAME_SHAPE)
def test_values(name):
    for dtype in ("float32", "float64", "int64", "int32"):
        for mask in (None, MASK, MASK[0], MASK[:, :1], np.ones(2, bool), np.ones((2, 3, 3), bool)):
            fits = mask is None or mask.ndim < 3 and mask.shape != (2,)
            for dim in (0, 1, -1, 5) if fits else (0, 1):
                what = name, dtype, dim
                agree(outcome(rushlight, name, dtype, mask, dim), outcome(torch, name, dtype, mask, dim), what)
            if name in REDUCTIONS:
                agree(outcome(rushlight, name, dtype, mask, 1, keepdim=True),
                      outcome(torch, name, dtype, mask, 1, keepdim=True), (name, dtype, "keepdim"))


@pytest.mark.parametrize("name", [n for n in REDUCTIONS if n != "argmax" and n != "argmin"] + SAME_SHAPE)
def test_gradients(name):
    mask = MASK.copy()
    mask[1, 0] = True                   # rows without elements have no gradient to compare
    for dim in (0, 1):
        agree(outcome(rushlight, name, "float64", mask, dim, True), outcome(torch, name, "float64", mask, dim, True),
              (name, dim))


@pytest.mark.parametrize("order", [0.0, 1.0, 3.5, -1.0, float("inf"), -float("inf")])
def test_norms(order):
    ours = rushlight.masked.norm(rushlight.tensor(X), order, 1, mask=rushlight.tensor(MASK))
    theirs = torch.masked.norm(torch.tensor(X), order, 1, mask=torch.tensor(MASK))
    np.testing.assert_allclose(ours.tolist(), theirs.tolist(), rtol=1e-6)


CASES = """
a + a
a * 2
a + x
a.exp()
-a
a.sum()
a.sum(1)
a.mean(1)
a.amax(1)
a.prod()
a.std()
a[0]
a.t()
a.reshape(9)
a.unsqueeze(0)
torch.cat([a, a])
a.softmax(1)
a > 2
a.to_tensor(-1.0)
a.get_data()
a.get_mask()
a.double()
a.clone()
torch.masked.sum(a, 1)
torch.masked.is_masked_tensor(a)
torch.masked.is_masked_tensor(x)
torch.masked.masked_tensor(x[0, 0], k[0, 0])
torch.masked.masked_tensor(x[0, 0], k[0, 1])
torch.masked.masked_tensor(x.long(), k)
""".strip().split("\n")


def world(T):
    x, k = T.tensor(X, dtype=T.float32), T.tensor(MASK)
    return {"torch": T, "x": x, "k": k, "a": T.masked.masked_tensor(x, k)}


@pytest.mark.parametrize("case", CASES)
def test_masked_tensors_look_alike(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert repr(eval(case, world(rushlight))) == repr(eval(case, world(torch)))


REFUSED = ["torch.masked.masked_tensor(x, k[0])", "torch.masked.masked_tensor(x, k.float())", "a.numpy()",
           "torch.masked.masked_tensor([1], k)", "a + torch.masked.masked_tensor(x, ~k)", "a @ a", "a.cumsum(1)"]


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as theirs:
            eval(case, world(torch))
        with pytest.raises(theirs.type):
            eval(case, world(rushlight))


def test_gradients_of_masked_tensors():
    def run(T):
        b = T.masked.masked_tensor(T.tensor(X), T.tensor(MASK), requires_grad=True)
        (b * b).sum().backward()
        return repr(b.grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run(rushlight) == run(torch)


def test_names():
    for name in torch.masked.__all__:
        assert hasattr(rushlight.masked, name), name
