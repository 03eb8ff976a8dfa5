"""scaled_dot_product_attention and multi-head attention: gradients of both orders, ranks, errors, meta."""

import pytest

import rushlight as torch

F = torch.nn.functional


def leaves(*shapes):
    torch.manual_seed(0)
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": -0.7}, {"attn_mask": "bool"},
                                     {"attn_mask": "float"}, {"dropout_p": 0.4}])
def test_gradients_of_both_orders(options):
    q, k, v = leaves((1, 4, 3, 2), (1, 2, 4, 2), (1, 2, 4, 3))
    if "attn_mask" in options:
        mask = torch.randn(3, 4, dtype=torch.float64)
        options = {"attn_mask": mask > 0 if options["attn_mask"] == "bool" else mask}

    def call(*x):
        torch.manual_seed(1)
        return F.scaled_dot_product_attention(*x, enable_gqa=True, **options)
    assert torch.autograd.gradcheck(call, (q, k, v))
    assert torch.autograd.gradgradcheck(call, (q, k, v))


def test_gradient_of_a_mask():
    q, k, v, mask = leaves((2, 3, 2), (2, 4, 2), (2, 4, 2), (3, 4))
    assert torch.autograd.gradcheck(lambda *x: F.scaled_dot_product_attention(*x), (q, k, v, mask))


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3), (1, 2, 1, 3)])
def test_any_number_of_leading_dimensions(lead):
    q, k, v = leaves((*lead, 5, 4), (*lead, 6, 4), (*lead, 6, 4))
    mask = torch.rand(*lead, 5, 6) > 0.3
    out = F.scaled_dot_product_attention(q, k, v, mask)
    scores = (q @ k.transpose(-1, -2) / 2).masked_fill(~mask, float("-inf"))
    assert out.shape == (*lead, 5, 4)
    assert torch.allclose(out, scores.softmax(-1).nan_to_num() @ v, rtol=1e-12, atol=1e-12)


def test_batches_broadcast():
    q, k, v = leaves((2, 3, 5, 4), (1, 3, 6, 4), (3, 6, 4))
    out = F.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(out, (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v)


def test_empty():
    q, k = torch.randn(2, 3, 0, 4), torch.randn(2, 3, 5, 4)
    assert F.scaled_dot_product_attention(q, k, k).shape == (2, 3, 0, 4)
    assert (F.scaled_dot_product_attention(k, q, q) == 0).all()


def test_meta():
    q, k = torch.empty(2, 3, 5, 4, device="meta"), torch.empty(2, 3, 7, 4, device="meta")
    out = F.scaled_dot_product_attention(q, k, k, is_causal=True)
    assert out.shape == (2, 3, 5, 4) and out.is_meta


def test_memory_grows_with_the_length_not_its_square():
    from rushlight.runtime import allocator
    q, k, v = (torch.randn(1, 2, 2048, 32, requires_grad=True) for _ in range(3))
    F.scaled_dot_product_attention(q, k, v).sum().backward()
    before = allocator.memory_stats()["live_bytes"]
    allocator.reset_peak()
    F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    # A matrix of weights would take 32 MiB.
    assert allocator.memory_stats()["peak_live_bytes"] - before < 6 << 20


def test_changed_operand_is_noticed():
    q, k, v = leaves((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4))
    x = q * 1
    out = F.scaled_dot_product_attention(x, k, v)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        out.sum().backward()


@pytest.mark.parametrize("arguments, options", [
    (((2, 3, 4), (2, 3, 5), (2, 3, 4)), {}),
    (((1, 4, 3, 4), (1, 3, 3, 4), (1, 3, 3, 4)), {"enable_gqa": True}),
    (((1, 4, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)), {}),
    (((4,), (4,), (4,)), {}),
    (((3, 4), (3, 4), (3, 4)), {"attn_mask": torch.zeros(3, 3, dtype=torch.int64)}),
    (((3, 4), (3, 4), (3, 4)), {"attn_mask": torch.zeros(2, 3)}),
    (((3, 4), (3, 4), (3, 4)), {"attn_mask": torch.zeros(3, 3), "is_causal": True}),
])
def test_errors(arguments, options):
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(*(torch.ones(s) for s in arguments), **options)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("extra", [False, True])
def test_multi_head_attention_with_and_without_weights(batch_first, extra):
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(12, 3, batch_first=batch_first, add_bias_kv=extra, add_zero_attn=extra,
                                        dtype=torch.float64)
    x = torch.randn(4, 4, 12, dtype=torch.float64)
    padding = torch.zeros(4, 4, dtype=torch.bool)
    padding[1, 2:] = True
    for key in (x, x * 2):
        a, weights = layer(x, key, key, key_padding_mask=padding)
        b, none = layer(x, key, key, key_padding_mask=padding, need_weights=False)
        assert weights.shape == (4, 4, 6 if extra else 4) and none is None
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)
        ga, gb = (torch.autograd.grad(y.square().sum(), layer.parameters(), allow_unused=True) for y in (a, b))
        assert all(torch.allclose(s, t, rtol=1e-9, atol=1e-9) for s, t in zip(ga, gb) if s is not None)


@pytest.mark.parametrize("size", [1e4, 1e8, 1e14, -1e14])
def test_scores_beyond_the_range_of_exponents(size):
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 1, 9, 16) * size, torch.randn(1, 1, 20, 16) * 1e4, torch.randn(1, 1, 20, 16)
    scores = (q[0, 0].double() @ k[0, 0].double().t()) / 4
    expected = scores.softmax(1) @ v[0, 0].double()
    found = torch.nn.functional.scaled_dot_product_attention(q, k, v)[0, 0]
    assert (found - expected).abs().max() < 1e-5
