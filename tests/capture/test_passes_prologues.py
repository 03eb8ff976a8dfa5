"""Formulas that a product computes where it reads them: which kernels there are, and eager mode's values."""

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled
from rushlight.capture.passes import prologues
from rushlight.compiler import scalar
from rushlight.compiler.templates import gemm, gemm_prologue

F = nn.functional

pytestmark = pytest.mark.skipif(gemm_prologue.prologue(np.float32) is None, reason="products go by tiles here")


def check(f, *args, close=False):
    """The labels of a function's program without gradients; its results are the same bits as eager mode's."""
    def call(*args):
        with torch.no_grad():
            return f(*args)
    want = call(*args)
    compiled = Compiled(call, [call])
    for _ in range(3):
        found = compiled(*args)
    if close:
        assert (found - want).abs().max().item() <= 1e-6 * want.abs().max().item()
    else:
        assert torch.equal(found, want)
    run, = [e.run for found in compiled.entries.values() for e in found]
    return [step.label for step, _ in run.marks]


@pytest.fixture(scope="module")
def given():
    torch.manual_seed(0)
    return {"x": torch.randn(5, 130), "q": torch.randint(-127, 128, (70, 130), dtype=torch.int8),
            "s": torch.rand(70, 1), "b": torch.randn(70), "zero": torch.randn(70, 1)}


def test_weights_of_bytes(given):
    x, q, s, b, zero = given.values()
    assert check(lambda: F.linear(x, q.float() * s, b)) == ["_to_copy+mul+linear"]
    assert check(lambda: F.linear(x, q * s)) == ["mul+linear"]
    assert check(lambda: F.linear(x, (q.to(torch.float32) - zero) * s, b)) == ["_to_copy+sub+mul+linear"]
    assert check(lambda: x.view(1, 5, 130) @ (q.float() * 0.01).t()) == ["_to_copy+mul+_matmul_fold"]
    assert check(lambda: torch.relu(F.linear(x, q.float() * s, b)))[0] == "_to_copy+mul+linear"
    assert check(lambda: x.double() @ (q.double() * 0.5).t())[-1] == "_to_copy+mul+mm"
    # Columns of the operand, in lines of memory; a residual; scales of columns; unsigned bytes.
    w = torch.randint(0, 255, (130, 200), dtype=torch.uint8)
    assert check(lambda: x @ (w.float() * torch.rand(1, 200).fill_(0.3)), close=True)[-1] == "_to_copy+mul+mm"
    assert check(lambda: b + F.linear(x, q.float() * s))[0] == "_to_copy+mul+linear"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, 16, 60, 100])
def test_short_floats(dtype, rows, monkeypatch):
    monkeypatch.setattr(prologues, "LARGE", 0)
    torch.manual_seed(0)
    x, w, b = torch.randn(rows, 90), torch.randn(150, 90).to(dtype), torch.randn(150)
    assert check(lambda: F.linear(x, w.float(), b)) == ["_to_copy+linear"]


def test_rows(monkeypatch):
    monkeypatch.setattr(prologues, "LEAST_OF_ROWS", 0)
    monkeypatch.setattr(prologues, "LEAST_INNER", 0)
    torch.manual_seed(0)
    x, w, b, m, r = torch.randn(2, 200, 80), torch.randn(30, 80), torch.randn(30), torch.randn(80), torch.rand(80)
    assert check(lambda: F.linear(torch.relu(x), w, b)) == ["relu+linear"]
    assert check(lambda: F.linear((x - m) * r * 2.0 + m, w)) == ["sub+mul+mul+add+linear"]
    assert check(lambda: F.linear(torch.relu(x[:, :, 1:]), w[:, 1:], b)) == ["relu+linear"]
    assert check(lambda: torch.sigmoid(x[0]) @ torch.tanh(w).t(), close=True).count("tanh") == 1


def test_what_others_read_stays(given):
    x, q, s, b, _ = given.values()
    assert "linear" in check(lambda: F.linear(x, w := q.float() * s) + w.sum())
    assert "mm" in check(lambda: (w := q * s) @ w.t(), close=True)

    def twice():
        w = q.float() * s
        return F.linear(x, w, b) + F.linear(x * 2, w)
    assert "mul" in check(twice)

    factor = s.clone()

    def changed():
        w = q.float() * factor
        factor.mul_(1.0)
        return F.linear(x, w)
    assert "linear" in check(changed)
    assert "linear" in check(lambda: F.linear(x[:, :4], q[:, :4].float()))      # too little
    tiny = q.float().to(torch.float8_e4m3fn)
    assert "linear" in check(lambda: F.linear(x, tiny.float(), b))              # no kernel reads them


def test_gradients_keep_the_weights(given):
    """The way back reads them, too."""
    x, q, s, *_ = given.values()

    def step(x):
        x = x.clone().requires_grad_()
        (F.linear(x, q.float() * s) ** 2).sum().backward()
        return x.grad
    compiled = Compiled(step, [step])
    want = step(x)
    for _ in range(3):
        found = compiled(x)
    assert torch.equal(found, want)


def test_blocks():
    """All of an operand, no block of a few rows, none much larger than others."""
    for side in range(3):
        for m, n, k in [*((m, 40, 50) for m in range(1, 3000)), (16384, 256, 256), *((7, n, 60) for n in range(1, 900)),
                        (100, 5000, 3000), (3, 70, 100000)]:
            block, count = gemm_prologue.blocks(side, (m, n, k), 4)
            total = m if side == 0 else n
            last = total - (count - 1) * block
            assert last == total if count == 1 else min(block, last) >= (56 if side == 0 else 16) and last < 2 * block


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("side", [0, 1, 2])
def test_kernel(side, threads):
    """All sides and ways of the driver against the formula and a product by themselves."""
    rng, dtype = np.random.default_rng(side), np.float32
    single, call = gemm.kernel(dtype), gemm_prologue.prologue(dtype)
    of_bytes = gemm_prologue.staging(scalar.input(0) * scalar.input(1), ["int8", "float32"], "float32")
    clamped = gemm_prologue.staging(scalar.maximum(scalar.input(0), 0.0), ["float32"], "float32")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(40):
            m, n, k = (int(x) for x in rng.choice([1, 2, 3, 5, 8, 16, 17, 33, 64, 100, 200, 260, 700], 3))
            c, want = np.full((m, n), np.nan, dtype), np.empty((m, n), dtype)
            bias = rng.standard_normal(n).astype(dtype) if rng.random() < 0.5 else None
            other = rng.standard_normal((k, n) if side == 0 else (m, k)).astype(dtype)
            name = "b" if side == 0 else "a"
            steps = {"c_row": 4 * n, f"{name}_row": other.strides[0], f"{name}_col": other.strides[1]}
            if side == 0:
                x = rng.standard_normal((m, k)).astype(dtype)
                inputs, pairs, function = [x], [(4 * k, 4)], clamped
                single(want, np.maximum(x, 0), other, bias)
            else:
                shape = (n, k) if side == 1 else (k, n)
                q, s = rng.integers(-127, 128, shape).astype(np.int8), rng.random((shape[0], 1)).astype(dtype)
                inputs, pairs, function = [q, s], [(shape[1], 1), (4, 0)], of_bytes
                w = q.astype(dtype) * s
                single(want, other, w.T if side == 1 else w, bias)
            words = gemm_prologue.plan(function, side, (m, n, k), steps, pairs, bias is not None, 4)
            call(c, other, bias, *inputs, words)
            # A block of columns may go another way than all of them: another order of sums.
            assert abs(c - want).max() <= 2e-6 * abs(want).max()
            assert side == 2 or np.array_equal(c, want)
    finally:
        torch.set_num_threads(before)
