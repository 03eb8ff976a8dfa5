"""Promotion, kinks, errors, in-place and node names of pointwise ops (values stored from PyTorch)."""

import math

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F

inf, nan = math.inf, math.nan


def grad_of(f, values, dtype=torch.float64):
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    f(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize("f, dtype", [
    (lambda i, x: i + 1, torch.int64), (lambda i, x: i + 1.5, torch.float32),
    (lambda i, x: i / 2, torch.float32), (lambda i, x: i // 2, torch.int64),
    (lambda i, x: i ** 2, torch.int64), (lambda i, x: i ** 2.0, torch.float32),
    (lambda i, x: i.bool() + i.bool(), torch.bool), (lambda i, x: x.double() + x, torch.float64),
    (lambda i, x: x + torch.tensor(1.0, dtype=torch.float64), torch.float32),
    (lambda i, x: i + torch.tensor(1.5, dtype=torch.float64), torch.float64),
    (lambda i, x: x.half() + x.bfloat16(), torch.float32), (lambda i, x: i.exp(), torch.float32),
    (lambda i, x: i > 1.5, torch.bool), (lambda i, x: i.clamp(min=0.5), torch.float32),
    (lambda i, x: torch.where(i > 1, 1, 2), torch.int64), (lambda i, x: i.byte() - 5, torch.uint8),
    (lambda i, x: x + 2j, torch.complex64), (lambda i, x: (x + 2j).abs(), torch.float32),
    (lambda i, x: torch.float_power(i, 2), torch.float64), (lambda i, x: i.sum(), torch.int64),
    (lambda i, x: i.bool().sum(), torch.int64), (lambda i, x: i.byte().any(), torch.uint8),
])
def test_result_types(f, dtype):
    i = torch.tensor([1, 2, 3])
    assert f(i, i.float()).dtype is dtype


@pytest.mark.parametrize("f, values, want", [
    (F.relu, [-1.0, 0.0, 1.0], [0, 0, 1]),
    (F.relu6, [0.0, 6.0, 3.0], [0, 0, 1]),
    (F.hardtanh, [-1.0, 1.0, 0.5], [0, 0, 1]),
    (lambda x: x.clamp(-1, 1), [-1.0, 1.0, 2.0, nan], [1, 1, 0, 0]),
    (lambda x: x.abs(), [0.0, -0.0, -2.0], [0, 0, -1]),
    (lambda x: x ** 2, [0.0, 3.0], [0, 6]),
    (lambda x: x ** 0, [0.0, 3.0], [0, 0]),
    (lambda x: x.sqrt(), [4.0, 0.0], [0.25, inf]),
    (lambda x: F.leaky_relu(x, 0.1), [0.0, -1.0, 1.0], [0.1, 0.1, 1]),
    (lambda x: F.hardsigmoid(x), [-3.0, 3.0, 0.0], [0, 0, 1 / 6]),
    (lambda x: F.hardshrink(x), [0.5, -0.5, 0.6], [0, 0, 1]),
    (lambda x: F.logsigmoid(x), [0.0], [0.5]),
    (lambda x: F.softplus(x), [100.0, -100.0], [1, math.exp(-100)]),
    (lambda x: torch.sigmoid(x), [-100.0, 1000.0], [math.exp(-100), 0]),
    (lambda x: torch.maximum(x, torch.ones(3, dtype=x.dtype)), [0.0, 1.0, 2.0], [0, 0.5, 1]),
    (lambda x: torch.fmax(x, torch.ones(3, dtype=x.dtype)), [nan, 1.0, 2.0], [0, 1, 1]),
    (lambda x: torch.where(x > 0, x.log(), torch.zeros((), dtype=x.dtype)), [2.0, 4.0], [0.5, 0.25]),
    (lambda x: torch.xlogy(x, x), [1.0, math.e], [1, 2]),
    (lambda x: torch.nan_to_num(x), [nan, inf, 1.0], [0, 0, 1]),
    (lambda x: torch.round(x), [0.4, 1.7], [0, 0]),
    (lambda x: torch.sinc(x), [0.0], [0]),
])
def test_gradients_at_kinks(f, values, want):
    np.testing.assert_allclose(grad_of(f, values), want, rtol=1e-12)


def test_masked_infinite_gradients_do_not_leak():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.where(torch.tensor([True, False]), x, x * 0)
    y.backward(torch.tensor([1.0, inf]))
    assert x.grad[0].item() == 1


@pytest.mark.parametrize("f, error, text", [
    (lambda: torch.tensor([True]) - torch.tensor([True]), RuntimeError, "two bool tensors"),
    (lambda: -torch.tensor([True]), RuntimeError, "on a bool tensor"),
    (lambda: torch.tensor([1]) // 0, RuntimeError, "ZeroDivisionError"),
    (lambda: torch.tensor([1]) ** -1, RuntimeError, "negative integer powers"),
    (lambda: torch.add(torch.tensor([1]), 1, alpha=1.5), RuntimeError, "alpha must not be a floating"),
    (lambda: torch.tensor([1]).add_(1.5), RuntimeError, "can't be cast"),
    (lambda: torch.ones(2) + torch.ones(3), RuntimeError, "size of tensor a"),
    (lambda: torch.clamp(torch.ones(2)), RuntimeError, "At least one of"),
    (lambda: ~torch.ones(2), TypeError, "invert"),
    (lambda: torch.ones(2) & 1, NotImplementedError, "bitwise_and"),
    (lambda: torch.where(torch.ones(2), 1, 2), RuntimeError, "boolean tensor"),
    (lambda: torch.lerp(torch.ones(2), torch.ones(2).double(), 0.5), RuntimeError, "expected dtype"),
    (lambda: torch.floor(torch.ones(2, dtype=torch.complex64)), (RuntimeError, NotImplementedError),
     "complex"),
    (lambda: torch.ones(2) + [1], TypeError, "unsupported operand"),
    (lambda: torch.div(torch.ones(2), 2, rounding_mode="up"), RuntimeError, "rounding_mode"),
    (lambda: torch.gcd(torch.ones(2), torch.ones(2)), NotImplementedError, "gcd"),
    (lambda: torch.maximum(torch.ones(2), 1), TypeError, "must be Tensor"),
    (lambda: torch.polygamma(-1, torch.ones(2)), RuntimeError, "negative n"),
])
def test_errors(f, error, text):
    with pytest.raises(error, match=text):
        f()


@pytest.mark.parametrize("f, name", [
    (lambda x: x + 1, "AddBackward0"), (lambda x: 1 - x, "RsubBackward1"), (lambda x: x * 2, "MulBackward0"),
    (lambda x: x ** 2, "PowBackward0"), (lambda x: x ** x, "PowBackward1"), (lambda x: 2 ** x, "PowBackward2"),
    (lambda x: x.clamp(0, 1), "ClampBackward1"), (lambda x: F.gelu(x), "GeluBackward0"),
    (lambda x: torch.div(x, 2, rounding_mode="floor"), "DivBackward2"), (lambda x: x % 2, "RemainderBackward0"),
    (lambda x: x.log1p(), "Log1PBackward0"), (lambda x: x.sum(0), "SumBackward1"),
    (lambda x: x.max(), "MaxBackward1"), (lambda x: x.max(0)[0], "MaxBackward0"),
    (lambda x: x.softmax(0), "SoftmaxBackward0"), (lambda x: x.norm(), "LinalgVectorNormBackward0"),
    (lambda x: F.relu6(x), "HardtanhBackward0"), (lambda x: x.lerp(x, 0.5), "LerpBackward0"),
])
def test_node_names(f, name):
    assert f(torch.ones(3, requires_grad=True)).grad_fn.name() == name


def test_in_place_keeps_type_and_counts_versions():
    x = torch.ones(3)
    assert x.add_(torch.ones(3, dtype=torch.float64), alpha=2) is x
    assert x.dtype is torch.float32 and x.tolist() == [3, 3, 3]
    version = x._version
    x.mul_(2).clamp_(max=5).pow_(2)
    assert x.tolist() == [25, 25, 25] and x._version == version + 3


def test_in_place_on_a_saved_result_raises():
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_in_place_gradient_of_a_chain():
    x = torch.tensor([0.5, -0.5], dtype=torch.float64, requires_grad=True)
    y = x * 2
    y.clamp_(min=0)
    y.add_(1).mul_(torch.tensor([2.0, 1.0], dtype=torch.float64))
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 0.0]


def test_out_is_written_and_must_fit():
    out = torch.empty(2)
    assert torch.add(torch.ones(2), 1, out=out) is out and out.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.add(torch.ones(2), 1, out=torch.empty(2, dtype=torch.int64))


def test_reflected_operators_take_numbers():
    x = torch.tensor([1.0, 2.0])
    assert (3 - x).tolist() == [2, 1] and (2 / x).tolist() == [2, 1] and (2 ** x).tolist() == [2, 4]
    assert (5 // x).tolist() == [5, 2] and (5 % x).tolist() == [0, 1]
    assert (1 << torch.tensor([1, 2])).tolist() == [2, 4]


def test_half_types_round_once():
    x = torch.tensor([1.0, 1e-4], dtype=torch.bfloat16)
    assert F.gelu(x).dtype is torch.bfloat16
    y = torch.tensor([0.333], dtype=torch.float16)
    assert (y * 3 + 0).item() == float(np.float16(np.float32(np.float16(0.333)) * 3))


def test_complex_gradients_follow_the_conjugate_convention():
    z = torch.tensor([1 + 2j, -0.5 + 0.3j], dtype=torch.complex128, requires_grad=True)
    from rushlight.autograd.gradcheck import gradcheck
    for f in (lambda z: z * z.conj(), lambda z: z.exp(), lambda z: z.abs(), lambda z: 1 / z, lambda z: z ** 3,
              lambda z: z.log(), lambda z: z.sin(), lambda z: torch.sgn(z), lambda z: z.angle()):
        assert gradcheck(f, [z])


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_polygamma(n):
    # Derivatives of the digamma function, from mpmath at 30 digits.
    want = {0: [-5.28903989659218830, 0.703156640645243187, 2.25175258906672111],
            1: [26.2673772054237791, 9.37924664498912375, 0.105166335681685746],
            2: [-251.478036114435933, -0.236204051641727403, -0.0110498349708020675],
            3: [3753.24499486472578, 194.594276219187622, 0.00231990130428986839]}[n]
    got = torch.polygamma(n, torch.tensor([0.2, -1.5, 10.0], dtype=torch.float64)).tolist()
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_operands_that_are_all_numbers():
    assert torch.mul(2.0, 3.0).item() == 6 and torch.mul(True, 2).dtype is torch.int64
    assert torch.div(5, 2).item() == 2.5 and torch.div(5, 2, rounding_mode="floor").dtype is torch.int64
    assert torch.add(2, 3, alpha=2).item() == 8 and torch.sub(2, 3.0).dtype is torch.float32
    with pytest.raises(TypeError, match="must be Tensor"):
        torch.atan2(2.0, 3.0)


def test_numbers_meet_16_bit_operands_in_their_type():
    x = torch.tensor([-7.9375], dtype=torch.bfloat16)
    m = 8.396163642458497                                   # 8.375 in bfloat16
    assert (m - x).item() == 16.25 and (x - m).item() == -16.25 and (x + m).item() == 0.4375
    assert (x * m).item() == torch.tensor(-7.9375 * m).bfloat16().item()
    assert (torch.ones(1).half() + 1e6).item() == float("inf")


def test_complex_zero_to_the_zeroth():
    z = torch.zeros(2, dtype=torch.complex64)
    assert torch.pow(z, 0).tolist() == [1, 1]
    assert torch.pow(z, z).isnan().all()
