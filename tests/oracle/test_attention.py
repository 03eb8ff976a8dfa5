"""Attention against PyTorch: values, gradients, strides, node names; masks, dropout, groups and types."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
BOUNDS = {"float32": 2e-5, "float64": 1e-12, "bfloat16": 3e-2, "float16": 4e-3}


def normal(*shape):
    return rng.standard_normal(shape).astype("f")


def run(F, arrays, dtype, transposed, options):
    dtype = getattr(F, dtype)
    ts = [F.tensor(a).to(dtype) for a in arrays]
    if transposed:
        ts = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in ts]
    ts = [t.requires_grad_() for t in ts]
    options = dict(options)
    if "attn_mask" in options:
        mask = F.tensor(options["attn_mask"])
        options["attn_mask"] = mask if mask.dtype == F.bool else mask.to(dtype)
    F.manual_seed(3)
    out = F.nn.functional.scaled_dot_product_attention(*ts, **options)
    g = F.tensor(np.random.default_rng(5).standard_normal(out.shape).astype("f")).to(dtype)
    found = out, *F.autograd.grad(out, ts, g)
    return out.stride(), out.grad_fn.name(), [x.detach().double().numpy() for x in found]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("sizes", [(2, 3, 3, 9, 9, 16), (1, 4, 2, 70, 70, 32), (2, 2, 2, 33, 150, 20)])
def test_as_pytorch(dtype, transposed, sizes):
    b, h, hk, l, s, e = sizes
    arrays = normal(b, h, l, e), normal(b, hk, s, e), normal(b, hk, s, e)
    some = rng.random((l, s)) > 0.4
    some[1] = False
    cases = [{}, {"is_causal": True}, {"dropout_p": 0.3}, {"scale": 0.5}, {"attn_mask": some},
             {"attn_mask": rng.random((b, 1, l, s)) > 0.9}, {"attn_mask": normal(b, h, l, 1)},
             {"attn_mask": np.where(rng.random((l, s)) > 0.9, 0, -np.inf).astype("f")}]
    for options in cases:
        if h != hk:
            options["enable_gqa"] = True
        ours = run(rushlight, arrays, dtype, transposed, options)
        theirs = run(torch, arrays, dtype, transposed, options)
        assert ours[0] == theirs[0]
        if "dropout_p" not in options:
            assert ours[1] == theirs[1]
        for x, y in zip(ours[2], theirs[2]):
            assert np.abs(x - y).max() <= BOUNDS[dtype] * max(1, np.abs(y).max())


def test_encoder_layer_trains_as_pytorch():
    def losses(F):
        F.manual_seed(0)
        layer = F.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        optimizer = F.optim.SGD(layer.parameters(), 0.1)
        x = F.tensor(np.random.default_rng(1).standard_normal((3, 12, 32)).astype("f"))
        found = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = layer(x).square().mean() + layer(x, F.ones(12, 12).triu(1).bool()).sum() * 0.01
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        layer.eval()
        return found, layer(x).detach().numpy()
    (a, x), (b, y) = losses(rushlight), losses(torch)
    assert np.allclose(a, b, rtol=1e-3) and np.allclose(x, y, rtol=1e-3, atol=1e-3)
