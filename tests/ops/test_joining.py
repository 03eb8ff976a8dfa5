"""Joining, repeating, flipping, padding: NumPy's results; gradients against finite differences."""

import numpy as np
import pytest

import rushlight as torch

from .helpers import numerical_gradient

A, B = np.arange(6.0).reshape(2, 3), np.arange(9.0).reshape(3, 3) - 4
pad = torch.nn.functional.pad

CASES = [
    ("cat", lambda a, b: torch.cat([a, b, a]), lambda a, b: np.concatenate([a, b, a])),
    ("cat columns", lambda a, b: torch.cat([a, b[:2]], -1), lambda a, b: np.concatenate([a, b[:2]], 1)),
    ("stack", lambda a, b: torch.stack([a, b[:2]], 1), lambda a, b: np.stack([a, b[:2]], 1)),
    ("hstack", lambda a, b: torch.hstack([a, b[:2]]), lambda a, b: np.hstack([a, b[:2]])),
    ("vstack", lambda a, b: torch.vstack([a, b]), lambda a, b: np.vstack([a, b])),
    ("dstack", lambda a, b: torch.dstack([a, b[:2]]), lambda a, b: np.dstack([a, b[:2]])),
    ("column_stack", lambda a, b: torch.column_stack([a, b[:2, 0]]), lambda a, b: np.column_stack([a, b[:2, 0]])),
    ("block_diag", lambda a, b: torch.block_diag(a, b), lambda a, b: np.block(
        [[a, np.zeros((2, 3))], [np.zeros((3, 3)), b]])),
    ("repeat", lambda a, b: a.repeat(2, 1, 3), lambda a, b: np.tile(a, (2, 1, 3))),
    ("tile", lambda a, b: a.tile(2), lambda a, b: np.tile(a, 2)),
    ("repeat_interleave", lambda a, b: a.repeat_interleave(torch.tensor([2, 0, 1]), 1),
     lambda a, b: np.repeat(a, [2, 0, 1], 1)),
    ("roll", lambda a, b: b.roll((1, -1), (0, 1)), lambda a, b: np.roll(b, (1, -1), (0, 1))),
    ("flip", lambda a, b: a.flip(0, 1), lambda a, b: np.flip(a)),
    ("rot90", lambda a, b: a.rot90(), lambda a, b: np.rot90(a)),
    ("tril", lambda a, b: b.tril(-1), lambda a, b: np.tril(b, -1)),
    ("triu", lambda a, b: b.triu(1), lambda a, b: np.triu(b, 1)),
    ("diag_embed", lambda a, b: a.diag_embed(1), lambda a, b: np.stack([np.diag(r, 1) for r in a])),
    ("pad", lambda a, b: pad(b, (1, 0, 2, -1), value=5.0),
     lambda a, b: np.pad(b[:2], ((2, 0), (1, 0)), constant_values=5)),
    ("pad reflect", lambda a, b: pad(b[None], (2, 1, 1, 0), "reflect"),
     lambda a, b: np.pad(b[None], ((0, 0), (1, 0), (2, 1)), "reflect")),
    ("pad replicate", lambda a, b: pad(b[None], (2, 1, 1, 0), "replicate"),
     lambda a, b: np.pad(b[None], ((0, 0), (1, 0), (2, 1)), "edge")),
    ("pad circular", lambda a, b: pad(b[None], (2, 1, 1, 0), "circular"),
     lambda a, b: np.pad(b[None], ((0, 0), (1, 0), (2, 1)), "wrap")),
]


@pytest.mark.parametrize("name, op, reference", CASES, ids=[c[0] for c in CASES])
def test_values_and_gradients(name, op, reference):
    expected = reference(A, B)
    a, b = torch.tensor(A, requires_grad=True), torch.tensor(B, requires_grad=True)
    r = op(a, b)
    np.testing.assert_array_equal(r.detach().numpy(), expected)
    w = np.arange(expected.size, dtype=float).reshape(expected.shape) % 7 - 3
    grads = torch.autograd.grad((r * torch.tensor(w)).sum(), (a, b), allow_unused=True)
    for x, g, other in ((A, grads[0], lambda v: reference(v, B)), (B, grads[1], lambda v: reference(A, v))):
        numeric = numerical_gradient(other, x.copy(), w)
        np.testing.assert_allclose(np.zeros_like(x) if g is None else g.numpy(), numeric, atol=1e-6)


@pytest.mark.parametrize("name, op, reference", CASES, ids=[c[0] for c in CASES])
def test_linear_ops_have_exact_second_derivatives(name, op, reference):
    a, b = torch.tensor(A, requires_grad=True), torch.tensor(B, requires_grad=True)
    inputs = [t for t, x in ((a, A), (b, B)) if _depends(reference, t is a)]
    grads = torch.autograd.grad((op(a, b) ** 2).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.sum() for g in grads), inputs)
    for t, h in zip(inputs, second):
        # d/dx of 2 J^T (J x + c) is 2 J^T J, summed over rows.
        ones = torch.autograd.grad(op(a, b), t, op(a.detach() * 0 + 1, b.detach() * 0 + 1) - op(a * 0, b * 0).detach())
        if len(inputs) == 1:
            np.testing.assert_allclose(h.numpy(), 2 * ones[0].numpy(), atol=1e-9)
        assert h.shape == t.shape


def _depends(reference, first):
    moved = reference(A + 1, B) if first else reference(A, B + 1)
    return not np.array_equal(moved, reference(A, B))


def test_dtypes_are_promoted():
    assert torch.cat([torch.zeros(1), torch.zeros(1, dtype=torch.float64)]).dtype is torch.float64
    assert torch.stack([torch.zeros(1, dtype=torch.int32), torch.zeros(1)]).dtype is torch.float32
    assert torch.cat([torch.zeros(2, 2), torch.zeros(0)]).shape == (2, 2)


@pytest.mark.parametrize("make, error, text", [
    (lambda: torch.cat([]), ValueError, "non-empty"),
    (lambda: torch.cat([torch.zeros(2, 3), torch.zeros(2, 4)]), RuntimeError,
     "Sizes of tensors must match except in dimension 0"),
    (lambda: torch.cat([torch.tensor(1)]), RuntimeError, "zero-dimensional tensor"),
    (lambda: torch.stack([torch.zeros(2), torch.zeros(3)]), RuntimeError, "equal size"),
    (lambda: torch.zeros(2, 2).repeat(2), RuntimeError, "can not be smaller"),
    (lambda: pad(torch.zeros(1, 1, 3), (3, 0), "reflect"), RuntimeError, "Padding size should be less"),
    (lambda: pad(torch.zeros(3), (1, 1), "foo"), NotImplementedError, "Unrecognised padding mode")])
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_channels_last_survives_joining():
    x = torch.zeros(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    assert torch.cat([x, x], 1).is_contiguous(memory_format=torch.channels_last)
