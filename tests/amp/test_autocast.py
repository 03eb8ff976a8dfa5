"""Autocast: types of results, gradients through casts, the cache of cast weights, nesting, custom functions."""

import inspect
import subprocess
import sys
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight.amp.casting import Gates, wider
from rushlight.nn import functional as F
from rushlight.nn.functional import conv2d, linear


def randn(*shape, **kwargs):
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=g, **kwargs)


def test_products_run_in_bfloat16_and_losses_in_float32():
    x, w = randn(4, 3), randn(5, 3)
    with torch.autocast("cpu"):
        y = F.linear(x, w)
        assert y.dtype is torch.bfloat16
        assert (x @ w.t()).dtype is x.matmul(w.t()).dtype is torch.mm(x, w.t()).dtype is torch.bfloat16
        assert F.mse_loss(y, y.double()).dtype is torch.float64
        assert F.mse_loss(y, y).dtype is torch.float32
        assert (y + 1).dtype is torch.bfloat16 and x.exp().dtype is torch.float32
        assert torch.cat([x, x.bfloat16()]).dtype is torch.float32
        assert torch.mm(x.double(), w.t().double()).dtype is torch.float64
        assert x.int().dtype is torch.int32 and torch.prod(y).dtype is torch.float32
    assert F.linear(x, w).dtype is torch.float32


def test_a_product_is_that_of_rounded_operands():
    x, w = randn(6, 7), randn(7, 5)
    with torch.autocast("cpu"):
        y = x @ w
    xr, wr = (t.bfloat16().float().numpy().astype("f8") for t in (x, w))
    exact = torch.from_numpy(xr @ wr).bfloat16().float()
    assert np.allclose(y.float().numpy(), exact.numpy(), rtol=2 ** -7)
    assert not torch.equal(y.float(), x @ w)


def test_functions_imported_by_name_take_part():
    x, w = randn(1, 2, 4, 4), randn(3, 2, 3, 3)
    with torch.autocast("cpu"):
        assert conv2d(x, w).dtype is torch.bfloat16
        assert linear(randn(2, 3), randn(4, 3)).dtype is torch.bfloat16


def test_nesting_and_leaving_by_an_exception():
    x = randn(3, 3)
    with pytest.raises(KeyError):
        with torch.autocast("cpu"):
            with torch.autocast("cpu", dtype=torch.float16):
                assert (x @ x).dtype is torch.float16
                with torch.autocast("cpu", enabled=False):
                    assert (x @ x).dtype is torch.float32
                assert (x @ x).dtype is torch.float16
            assert (x @ x).dtype is torch.bfloat16
            raise KeyError
    assert (x @ x).dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16


def test_decorator():
    @torch.autocast("cpu")
    def product(x):
        return x @ x
    assert product(randn(3, 3)).dtype is torch.bfloat16
    assert product.__name__ == "product" and not torch.is_autocast_enabled("cpu")


def test_switches():
    x = randn(3, 3)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    try:
        assert torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled()
        assert (x @ x).dtype is torch.float16
    finally:
        torch.set_autocast_enabled("cpu", False)
        torch.set_autocast_dtype("cpu", torch.bfloat16)
    assert (x @ x).dtype is torch.float32


def test_other_threads_are_not_concerned():
    x, seen = randn(3, 3), []
    with torch.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
    assert seen == [torch.float32]


def test_gradients_come_in_the_weights_type():
    x, w, b = randn(4, 3), randn(5, 3, requires_grad=True), randn(5, requires_grad=True)
    with torch.autocast("cpu"):
        y = F.linear(x, w, b)
    y.backward(torch.ones_like(y))
    assert w.grad.dtype is b.grad.dtype is torch.float32
    assert torch.equal(b.grad, torch.full((5,), 4.0))
    expected = x.bfloat16().float().sum(0).bfloat16().float().expand(5, 3)
    assert torch.allclose(w.grad, expected, rtol=2 ** -7)


def test_a_weight_is_cast_once_until_the_context_ends():
    x, w = randn(3, 3), randn(3, 3, requires_grad=True)
    with torch.autocast("cpu"):
        first, second = (x @ w).grad_fn.next_functions[1][0], (x @ w).grad_fn.next_functions[1][0]
        assert first is second and type(first).__name__ == "ToCopyBackward0"
        torch.clear_autocast_cache()
        assert (x @ w).grad_fn.next_functions[1][0] is not first
    with torch.autocast("cpu", cache_enabled=False):
        assert (x @ w).grad_fn.next_functions[1][0] is not (x @ w).grad_fn.next_functions[1][0]
    with torch.autocast("cpu"):
        with torch.no_grad():
            assert not (x @ w).requires_grad
        assert (x @ w).requires_grad
        before = x @ w
        with torch.no_grad():
            w.mul_(2)
        assert torch.equal(x @ w, before * 2)


def test_out_and_in_place_forms_keep_their_types():
    x, out = randn(3, 3), torch.empty(3, 3)
    with torch.autocast("cpu"):
        assert torch.mm(x, x, out=out) is out and out.dtype is torch.float32
        assert x.clone().addmm_(x, x).dtype is torch.float32
    assert torch.equal(out, x @ x)


def test_types_that_the_cpu_cannot_do_switch_autocast_off():
    with pytest.warns(UserWarning, match="target dtype is not supported"):
        context = torch.autocast("cpu", torch.float64)
    with context:
        assert (randn(2, 2) @ randn(2, 2)).dtype is torch.float32
    with pytest.warns(UserWarning, match="CUDA is not available"):
        torch.autocast("cuda")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        torch.autocast(torch.device("cpu"))
    with pytest.raises(RuntimeError, match="unsupported scalarType"):
        torch.autocast("meta")


def test_joining_refuses_a_foreign_16_bit_type():
    x = randn(2, 2)
    with torch.autocast("cpu"):
        with pytest.raises(RuntimeError, match="Unexpected floating ScalarType"):
            torch.cat([x.half(), x])
        assert torch.cat([x, x.half()]).dtype is torch.float32


def test_custom_functions():
    seen = []

    class Plain(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu")
        def forward(ctx, a):
            seen.append((a.dtype, torch.is_autocast_enabled("cpu")))
            return a @ a

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append((g.dtype, torch.is_autocast_enabled("cpu")))
            return g.float()

    class Cast(Plain):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, a):
            seen.append((a.dtype, torch.is_autocast_enabled("cpu")))
            return a @ a

    x = randn(2, 2, requires_grad=True)
    with torch.autocast("cpu"):
        a, b = Plain.apply(x), Cast.apply(x.bfloat16())
    assert (a.dtype, b.dtype) == (torch.bfloat16, torch.float32)
    a.sum().backward()
    b.sum().backward()
    assert seen == [(torch.float32, True), (torch.float32, False), (torch.bfloat16, True), (torch.float32, False)]


def test_a_tensor_subclass_is_cast_too():
    class Sub(torch.Tensor):
        pass
    x = randn(3, 3).as_subclass(Sub)
    with torch.autocast("cpu"):
        y = x @ x
    assert type(y) is Sub and y.dtype is torch.bfloat16


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(("outside", "within"), [(False, True), (True, False)])
def test_checkpoints_cast_in_backward_as_in_forward(reentrant, outside, within):
    """The recomputation casts as the first one did, whatever is on around the backward pass."""
    from rushlight.utils.checkpoint import checkpoint
    layer, x = torch.nn.Linear(16, 16), randn(8, 16, requires_grad=True)
    grads = []
    for run in (lambda: checkpoint(layer, x, use_reentrant=reentrant), lambda: layer(x)):
        with torch.autocast("cpu", enabled=within):
            y = run()
        assert y.dtype is (torch.bfloat16 if within else torch.float32)
        with torch.autocast("cpu", enabled=outside):
            grads.append(torch.autograd.grad(y.float().square().mean(), layer.weight)[0] if not reentrant else None)
            if reentrant:
                y.float().square().mean().backward()
                grads[-1], layer.weight.grad = layer.weight.grad, None
    assert torch.equal(*grads)


HELD = """
import rushlight as torch
from functools import partial
F = torch.nn.functional
used = torch.randn(2, 2) @ torch.randn(2, 2) if {used} else None
held = [torch.matmul, F.linear, torch.Tensor.mm, partial(torch.einsum, "ij,jk->ik"),
        lambda a, b, f=F.conv1d: f(a, b[:, :, None]),
        F.mse_loss, F.l1_loss, F.cross_entropy, lambda a, b, f=torch.linalg.inv: f(a.bfloat16())]
x = torch.randn(4, 4)
with torch.autocast("cpu"):
    print([str(f(x, x).dtype)[6:] for f in held[:5]])
    print([str(f(x.bfloat16(), x.bfloat16()).dtype)[6:] for f in held[5:]])
out = torch.empty(4, 4)
with torch.autocast("cpu"):
    print(torch.mm(x, x, out=out).dtype, x.clone().addmm_(x, x).dtype, F.linear.__name__)
"""


@pytest.mark.parametrize("used", [True, False])
def test_functions_held_before_autocast_was_first_used(used):
    found = subprocess.run([sys.executable, "-c", HELD.format(used=used)], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [str(["bfloat16"] * 5), str(["float32"] * 4),
                                         "torch.float32 torch.float32 linear"]


def test_cross_entropy_is_all_in_float32():
    torch.manual_seed(0)
    x, y = randn(32, 10).bfloat16(), torch.arange(32) % 10
    with torch.autocast("cpu"):
        assert torch.equal(F.cross_entropy(x, y), F.cross_entropy(x.float(), y))
        assert not torch.equal(F.cross_entropy(x, y), F.nll_loss(F.log_softmax(x, 1), y))


def test_functions_stay_the_objects_that_they_were():
    c = 3

    def scaled(x, *, by=2):
        return x * by + c
    gates, before = Gates(), scaled
    assert gates.put(scaled, wider) is before and gates.put(scaled, wider) is before
    assert str(inspect.signature(scaled)) == "(x, *, by=2)"
    x = torch.ones(2, dtype=torch.bfloat16)
    assert scaled(x, by=4).dtype is torch.bfloat16 and scaled(x)[0] == 5
    with torch.autocast("cpu"):
        assert scaled(x, by=4).dtype is torch.float32 and scaled(x)[0] == 5
