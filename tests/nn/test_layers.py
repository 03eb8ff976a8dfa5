"""Layers against formulas written out with NumPy, and against each other."""

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


def randn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def close(a, b, atol=1e-5):
    a, b = (x.detach().numpy() if isinstance(x, torch.Tensor) else x for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_linear_and_bilinear():
    layer, x = nn.Linear(3, 2), randn(5, 3)
    close(layer(x), x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    layer, y = nn.Bilinear(3, 4, 2), randn(5, 4, seed=1)
    close(layer(x, y), np.einsum("ni,kij,nj->nk", x.numpy(), layer.weight.detach().numpy(),
                                 y.numpy()) + layer.bias.detach().numpy())


def test_convolution_is_a_correlation():
    layer, x = nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2), randn(1, 2, 9)
    padded = np.pad(x.numpy()[0], ((0, 0), (1, 1)))
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.array([[(w[o] * padded[:, i:i + 5:2]).sum() + b[o] for i in range(0, 7, 2)]
                         for o in range(3)])
    close(layer(x)[0], expected)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes(mode):
    layer = nn.Conv2d(1, 1, 3, padding=(1, 2), padding_mode=mode)
    plain = nn.Conv2d(1, 1, 3)
    plain.load_state_dict(layer.state_dict())
    x = randn(1, 1, 5, 6)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (2, 2)), mode=names[mode])
    close(layer(x), plain(torch.from_numpy(padded)))


def test_transposed_convolution_is_the_adjoint():
    forward = nn.Conv1d(2, 3, 3, stride=2, bias=False)
    back = nn.ConvTranspose1d(3, 2, 3, stride=2, bias=False)
    back.load_state_dict(forward.state_dict())
    x, y = randn(1, 2, 9), randn(1, 3, 4, seed=1)
    assert (forward(x) * y).sum().item() == pytest.approx((x * back(y)).sum().item(), rel=1e-4)
    assert back(y, output_size=(10,)).shape == (1, 2, 10)
    with pytest.raises(ValueError, match="valid sizes range from"):
        back(y, output_size=(20,))


def test_batch_norm_statistics():
    x = randn(6, 2) * 3 + 1
    for momentum, factors in ((0.1, (0.1, 0.1)), (None, (1.0, 0.5))):
        norm = nn.BatchNorm1d(2, momentum=momentum)
        mean, var = np.zeros(2), np.ones(2)
        for factor in factors:
            out = norm(x)
            mean = (1 - factor) * mean + factor * x.numpy().mean(0)
            var = (1 - factor) * var + factor * x.numpy().var(0, ddof=1)
        close(out, (x.numpy() - x.numpy().mean(0)) / np.sqrt(x.numpy().var(0) + 1e-5))
        close(norm.running_mean, mean)
        close(norm.running_var, var)
        assert norm.num_batches_tracked.item() == 2
        close(norm.eval()(x), (x.numpy() - mean) / np.sqrt(var + 1e-5))


def test_norms_agree():
    x = randn(2, 4, 5)
    close(nn.GroupNorm(4, 4)(x), nn.InstanceNorm1d(4)(x))
    close(nn.GroupNorm(1, 4)(x), nn.LayerNorm((4, 5))(x))
    close(nn.InstanceNorm1d(4)(x[0]), nn.InstanceNorm1d(4)(x)[0])
    close(nn.RMSNorm(5, eps=1e-6)(x), x.numpy() / np.sqrt((x.numpy()**2).mean(-1, keepdims=True)
                                                          + 1e-6))
    image = randn(1, 5, 3, 3)
    close(nn.CrossMapLRN2d(3)(image), nn.LocalResponseNorm(3)(image))


def test_convert_sync_batchnorm():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert type(synced[1]) is nn.SyncBatchNorm and list(synced.state_dict()) == list(
        net.state_dict())
    x = randn(3, 1, 2, 2)
    close(synced(x), net(x))


def test_embedding():
    table = nn.Embedding(5, 3, padding_idx=1)
    assert table.weight[1].abs().sum().item() == 0
    close(table(torch.tensor([[0, 4]])), table.weight.detach().numpy()[[[0, 4]]])
    kept = nn.Embedding.from_pretrained(torch.eye(3))
    assert not kept.weight.requires_grad
    bag = nn.EmbeddingBag(5, 3, mode="sum")
    out = bag(torch.tensor([1, 2, 4]), torch.tensor([0, 2]))
    w = bag.weight.detach().numpy()
    close(out, np.stack([w[1] + w[2], w[4]]))


def test_attention():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x = randn(1, 3, 4)
    out, weights = layer(x, x, x, average_attn_weights=False)
    w, b = layer.in_proj_weight.detach().numpy(), layer.in_proj_bias.detach().numpy()
    q, k, v = np.split(x.numpy()[0] @ w.T + b, 3, axis=1)
    heads = []
    for h in range(2):
        part = slice(2 * h, 2 * h + 2)
        scores = q[:, part] @ k[:, part].T / np.sqrt(2)
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        close(weights[0, h], p)
        heads.append(p @ v[:, part])
    joined = np.concatenate(heads, 1).astype(np.float32)
    close(out[0], layer.out_proj(torch.from_numpy(joined)))


def test_encoder_masks():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    assert encoder.layers[0] is not encoder.layers[1]
    close(encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight)
    x = randn(5, 2, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    masked = encoder(x, mask=causal)
    changed = x.clone()
    changed[3:] = 0
    close(encoder(changed, mask=causal)[:3], masked[:3])
    close(encoder(x, mask=causal, is_causal=True), masked)
    padding = torch.tensor([[False, False, False, True, True]] * 2)
    close(encoder(x, src_key_padding_mask=padding)[:3], encoder(x[:3]))


def test_transformer_shapes_are_checked():
    net = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="batch number of src and tgt"):
        net(torch.ones(2, 2, 8), torch.ones(2, 3, 8))
    with pytest.raises(RuntimeError, match="equal to d_model"):
        net(torch.ones(2, 2, 9), torch.ones(2, 2, 8))


def test_adaptive_softmax():
    torch.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0)
    x, target = randn(6, 8), torch.tensor([0, 3, 4, 9, 10, 19])
    full = layer.log_prob(x)
    close(full.exp().sum(1), np.ones(6))
    output, loss = layer(x, target)
    close(output, full.detach().numpy()[np.arange(6), target.numpy()])
    assert loss.item() == pytest.approx(-output.mean().item(), rel=1e-5)
    assert layer.predict(x).tolist() == full.argmax(1).tolist()
    with pytest.raises(RuntimeError, match="Target values should be in"):
        layer(x, target + 1)


def test_linear_cross_entropy():
    layer = nn.LinearCrossEntropyLoss(4, 5, bias=True)
    x, target = randn(3, 4), torch.tensor([0, 4, 2])
    scores = layer.linear(x).detach().numpy().astype(np.float64)
    logp = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    assert layer(x, target).item() == pytest.approx(-logp[range(3), target.numpy()].mean(), 1e-5)
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    assert options == nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    with pytest.raises(AttributeError):
        options.acc_policy = "accurate"


def test_legacy_reductions():
    with pytest.warns(UserWarning, match="please use reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="please use reduction='none'"):
        assert nn.L1Loss(reduce=False).reduction == "none"


def test_dropout_only_in_training():
    torch.manual_seed(0)
    layer, x = nn.Dropout(0.5), torch.ones(1000)
    out = layer(x)
    assert set(out.tolist()) == {0.0, 2.0} and 0.4 < (out == 0).float().mean().item() < 0.6
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_gradients_of_convolutions():
    from rushlight.nn import grad

    x, w = randn(1, 2, 5, 5).requires_grad_(), randn(3, 2, 3, 3, seed=1).requires_grad_()
    out = nn.functional.conv2d(x, w, stride=2, padding=1)
    g = torch.ones_like(out)
    gx, gw = torch.autograd.grad(out, (x, w), g)
    close(grad.conv2d_input(x.shape, w, g, stride=2, padding=1), gx)
    close(grad.conv2d_weight(x, w.shape, g, stride=2, padding=1), gw)


def test_sdpa_kernel():
    from rushlight.nn.attention import SDPBackend, _cur_sdpa_kernel_backends, sdpa_kernel

    with sdpa_kernel([SDPBackend.MATH]):
        assert _cur_sdpa_kernel_backends() == [SDPBackend.MATH]
        q = randn(1, 2, 3, 4)
        assert nn.functional.scaled_dot_product_attention(q, q, q).shape == q.shape
    assert len(_cur_sdpa_kernel_backends()) == 4
    with pytest.raises(AssertionError, match="must be an instance of SDPBackend"):
        with sdpa_kernel("math"):
            pass


def test_data_parallel_passes_through():
    layer = nn.Linear(2, 2)
    wrapped, x = nn.DataParallel(layer), randn(3, 2)
    close(wrapped(x), layer(x))
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
