"""Attention kernels against the formula in float64: sizes, strides, masks, dropout, groups, threads."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import available
from rushlight.ops.nn import scaled_dot_product as sdp

pytestmark = pytest.mark.skipif(not available(), reason="no compiler here")
F = torch.nn.functional
INF = float("inf")


def reference(q, k, v, g, mask=None, causal=False, scale=1.0, factor=1.0):
    """out, dq, dk, dv of float64 arrays (b, h, t, d); heads of keys are repeated."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    s = q @ k.swapaxes(-1, -2) * scale
    if causal:
        s = np.where(np.tril(np.ones(s.shape[-2:], bool)), s, -INF)
    if mask is not None:
        s = np.where(mask, s, -INF) if mask.dtype == bool else s + mask
    top = s.max(-1, keepdims=True)
    p = np.exp(s - np.where(top == -INF, 0, top))
    total = p.sum(-1, keepdims=True)
    p = np.divide(p, total, out=np.zeros_like(p), where=total != 0)
    out = (p * factor) @ v
    dp = g @ v.swapaxes(-1, -2) * factor
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale

    def summed(x):
        return x.reshape(x.shape[0], -1, group, *x.shape[2:]).sum(2)
    return out, ds @ k, summed(ds.swapaxes(-1, -2) @ q), summed((p * factor).swapaxes(-1, -2) @ g)


def operands(b, h, hk, tq, tk, d, e, dtype, transposed=False, seed=0):
    rng = np.random.default_rng(seed)

    def make(heads, t, n):
        x = rng.standard_normal((b, t, heads, n) if transposed else (b, heads, t, n)).astype("f")
        x = torch.tensor(x, dtype=dtype)
        return (x.transpose(1, 2) if transposed else x).requires_grad_()
    q, k, v = make(h, tq, d), make(hk, tk, d), make(hk, tk, e)
    return q, k, v, torch.tensor(rng.standard_normal((b, h, tq, e)).astype("f"), dtype=dtype)


def wide(t):
    return t.detach().to(torch.float64).numpy()


def check(sizes, dtype, bound, mask=None, causal=False, transposed=False):
    q, k, v, g = operands(*sizes, dtype, transposed)
    scale = sizes[5] ** -0.5
    given = None if mask is None else torch.tensor(mask)
    given = given if given is None or given.dtype is torch.bool else given.to(dtype)
    out = F.scaled_dot_product_attention(q, k, v, given, is_causal=causal, enable_gqa=sizes[1] != sizes[2])
    assert "FlashAttention" in out.grad_fn.name()
    found = out, *torch.autograd.grad(out, [q, k, v], g)
    mask = mask if mask is None or mask.dtype == bool else wide(given)
    wanted = reference(wide(q), wide(k), wide(v), wide(g), mask, causal, scale)
    for x, y in zip(found, wanted):
        assert x.dtype is dtype and x.shape == y.shape
        assert np.abs(wide(x) - y).max() <= bound * max(1, np.abs(y).max())
    return found


SIZES = [(1, 1, 1, 1, 1, 1, 1), (2, 3, 3, 9, 11, 16, 16), (1, 4, 2, 70, 70, 33, 17), (1, 2, 1, 300, 150, 8, 64),
         (2, 2, 2, 15, 280, 64, 32), (1, 1, 1, 130, 40, 130, 70), (2, 4, 2, 1, 300, 64, 64), (1, 2, 2, 3, 37, 21, 9)]
# A weight's error is that of its score, some roundings of numbers about 4, and the sums'.
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-14, torch.bfloat16: 2.0 ** -7, torch.float16: 2.0 ** -10}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("causal", [False, True])
def test_float32(sizes, causal):
    check(sizes, torch.float32, BOUNDS[torch.float32], causal=causal)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types(dtype):
    if not sdp._compiled(dtype.name):
        pytest.skip("no kernel here")
    for sizes in (SIZES[2], SIZES[4], SIZES[7]):
        check(sizes, dtype, BOUNDS[dtype], causal=True, transposed=True)


@pytest.mark.parametrize("kind", ["bool", "full", "added", "infinite", "row", "column", "head"])
def test_masks(kind):
    b, h, tq, tk = 2, 2, 37, 45
    rng = np.random.default_rng(1)
    mask = {"bool": rng.random((tq, tk)) > 0.5, "full": np.arange(tq)[:, None] % 3 != np.zeros(tk),
            "added": rng.standard_normal((b, 1, tq, tk)), "row": rng.standard_normal((1, tk)),
            "infinite": np.where(rng.random((b, h, tq, tk)) > 0.9, 0.0, -INF),
            "column": rng.standard_normal((tq, 1)), "head": rng.random((1, h, 1, tk)) > 0.5}[kind]
    found = check((b, h, h, tq, tk, 16, 16), torch.float32, 1e-5, mask)
    if kind == "full":
        for x in found[:2]:
            assert (x[:, :, ::3] == 0).all()


def test_transposed_operands_keep_their_layout():
    found = check((2, 3, 3, 20, 20, 16, 16), torch.float32, 1e-5, transposed=True)
    assert all(x.transpose(1, 2).is_contiguous() for x in found)


def test_views_of_one_projection():
    rng = np.random.default_rng(0)
    packed = torch.tensor(rng.standard_normal((2, 30, 3 * 4 * 8)).astype("f"))
    q, k, v = (x.unflatten(-1, (4, 8)).transpose(1, 2) for x in packed.chunk(3, -1))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    again = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), is_causal=True)
    assert torch.equal(out, again)
    turned = k.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert torch.equal(out, F.scaled_dot_product_attention(q, turned, v, is_causal=True))


def test_dropout_is_that_of_the_weights():
    q, k, v, g = operands(2, 2, 2, 33, 47, 16, 16, torch.float32)
    torch.manual_seed(5)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
    found = out, *torch.autograd.grad(out, [q, k, v], g)
    torch.manual_seed(5)
    factor = wide(F.dropout(torch.ones(2, 2, 33, 47), 0.4))
    wanted = reference(wide(q), wide(k), wide(v), wide(g), scale=0.25, factor=factor)
    for x, y in zip(found, wanted):
        assert np.abs(wide(x) - y).max() <= 1e-5 * max(1, np.abs(y).max())


@pytest.mark.parametrize("sizes", [(1, 1, 1, 300, 300, 16, 16), (1, 3, 1, 140, 260, 16, 8), (4, 4, 4, 64, 64, 32, 32)])
def test_bits_do_not_depend_on_threads(sizes):
    q, k, v, g = operands(*sizes, torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=sizes[1] != sizes[2])
            results.append((out, *torch.autograd.grad(out, [q, k, v], g)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other))


def test_large_scores_and_scales():
    q, k, v, _ = operands(1, 1, 1, 40, 300, 16, 16, torch.float32)
    for scale in (30.0, -30.0, 0.0):
        out = F.scaled_dot_product_attention(q, k, v, scale=scale)
        y, *_ = reference(wide(q), wide(k), wide(v), wide(v[:, :, :40]), scale=scale)
        assert np.abs(wide(out) - y).max() < 1e-4


def test_nan_and_infinity_stay_in_their_rows():
    q, k, v, _ = operands(1, 1, 1, 20, 20, 8, 8, torch.float32)
    clean = F.scaled_dot_product_attention(q, k, v).detach()
    for value in (float("nan"), INF):
        changed = q.detach().clone()
        changed[0, 0, 7, 3] = value
        out = F.scaled_dot_product_attention(changed, k, v)
        assert out[0, 0, 7].isnan().all()
        rest = [i for i in range(20) if i != 7]
        assert torch.equal(out[0, 0, rest], clean[0, 0, rest])
