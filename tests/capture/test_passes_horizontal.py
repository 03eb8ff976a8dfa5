"""Small products as one call, sums of products in place: which kernels there are, and the values of eager mode."""

import copy

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled
from rushlight.capture.passes import horizontal
from rushlight.compiler.templates import gemm, gemm_group

from .one_program import labels

F = nn.functional

pytestmark = pytest.mark.skipif(gemm_group.group(np.float32) is None, reason="products go by tiles here")


class Attention(nn.Module):
    """One with separate projections, and as many heads as there are outputs at the end."""

    def __init__(self, c, heads, outputs):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(c, c) for _ in range(4))
        self.outputs = nn.ModuleList(nn.Linear(c, n) for n in outputs)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (f(x).view(b, t, self.heads, c // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        y = x + self.o(y.transpose(1, 2).reshape(b, t, c))
        return [f(y[:, -1]) for f in self.outputs]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention(dtype, threads):
    torch.manual_seed(0)
    model = Attention(24, 3, (5, 2, 7)).to(dtype)
    other = copy.deepcopy(model)
    x = torch.randn(2, 7, 24, dtype=dtype)

    def step(model):
        def call(x):
            model.zero_grad()
            x = x.clone().requires_grad_()
            found = model(torch.tanh(x))
            sum((y * y).sum() for y in found).backward()
            return [*found, x.grad]
        return call
    eager = step(other)
    compiled = Compiled(step(model), [step(model)])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(4):
            a, b = eager(x), compiled(x)
    finally:
        torch.set_num_threads(before)
    # Products are cut as they are alone, and sums add in the same order.
    assert all(torch.equal(y, z) for y, z in zip(a, b, strict=True))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    found = labels(compiled, False)
    assert found.count("group: 3 linear") == 2                              # projections, heads
    assert "group: linear+add" in found                                     # the residual
    assert "group: 3 _matmul_tn, 3 _matmul_fold+add" in found               # with the gradient of the residual
    assert not any(x in ("linear", "_matmul_tn", "_matmul_fold", "add") for x in found)


def same(f, *args):
    """The labels of a function's program, whose results are the same bits as eager mode's."""
    want = f(*args)
    compiled = Compiled(f, [f])
    for _ in range(3):
        found = compiled(*args)
    many = isinstance(want, (tuple, list))
    for a, b in zip(want if many else [want], found if many else [found], strict=True):
        assert torch.equal(a, b)
    return labels(compiled, False)


def test_shapes_of_all_kinds():
    torch.manual_seed(0)
    a, b, c, v = torch.randn(3, 5), torch.randn(5, 40), torch.randn(4, 6, 9), torch.randn(9, 33)
    assert same(lambda: (a @ b, c @ v, b.t() @ a.t(), F.linear(a, a, a[:, 0].clone()), c[0] @ v[:, ::2]))[-1] == \
        "group: 3 mm, _matmul_fold, linear"


def test_what_depends_stays_in_order():
    torch.manual_seed(0)
    a, w = torch.randn(6, 8), [torch.randn(8, 8) for _ in range(4)]

    def chain(a):
        x = a @ w[0]
        y = torch.relu(x) @ w[1]
        return x @ w[2], y, a @ w[3]
    assert [x for x in same(chain, a) if "mm" in x] == ["group: 2 mm", "group: 2 mm"]

    def changed(a):
        b = a.clone()
        x = b @ w[0]
        b.mul_(2.0)
        return x, b @ w[1], b
    same(changed, a)

    def alone(a):
        x = a @ w[0]
        return (x @ w[1]) @ w[2]
    assert same(alone, a) == ["mm"] * 3


def test_sums():
    torch.manual_seed(0)
    a, w, r = torch.randn(6, 8), [torch.randn(8, 30) for _ in range(4)], torch.randn(6, 30)
    assert same(lambda: a @ w[0] + a @ w[1]) == ["group: mm, mm+add"]
    assert same(lambda: (a @ w[0] + a @ w[1]) + a @ w[2] + r) == ["group: mm, 2 mm+add", "add"]
    assert same(lambda: a @ w[2] + (r + a @ w[1])) == ["group: 2 mm+add"]
    assert same(lambda: r + a @ w[1]) == ["group: mm+add"]
    # Others read a term; another order of additions.
    found = same(lambda: [x := a @ w[0], x + a @ w[1]])
    assert sorted(found) == ["group: mm+add", "mm"]
    found = same(lambda: (a @ w[0] + a @ w[1]) + (a @ w[2] + a @ w[3]))
    assert found.count("add") == 1 and len(found) == 2
    assert "add" in same(lambda: torch.add(a @ w[0], r, alpha=2))
    assert "add" in same(lambda: a @ w[0] + r[:1])


def test_sums_of_rows_and_columns():
    """A result's row may be another's column: the same numbers in memory, but not products of one form."""
    torch.manual_seed(0)
    g, x, y = torch.randn(1, 1), torch.randn(1, 4), torch.randn(3, 4, 5)
    assert same(lambda: (x.t() @ g).t() + g @ x) == ["mm", "group: mm+add"]
    assert same(lambda: (x @ x.t()) + g @ g) == ["group: mm, mm+add"]
    w = torch.randn(5, 6)
    same(lambda: F.linear(y, w.t()) + (y.reshape(12, 5) @ w).view(3, 4, 6))
    same(lambda: (y.reshape(12, 5) @ w).view(3, 4, 6) + F.linear(y, w.t()) + torch.ones(3, 4, 6))

    def gradient(x):
        x = x.clone().requires_grad_()
        torch.cov(x).sum().backward()
        return x.grad
    for shape in ((1, 4), (3, 4), (4, 4)):
        same(gradient, torch.randn(shape)[0] if shape[0] == 1 else torch.randn(shape))


def test_large_products_stay_alone(monkeypatch):
    torch.manual_seed(0)
    a, w = torch.randn(16, 16), torch.randn(16, 16)
    monkeypatch.setattr(horizontal, "MOST_WORK", 1000)
    assert same(lambda: (a @ w, w @ a)) == ["mm", "mm"]


def product(c, a, b, numbers, bias=None, d=None):
    steps = {"c_row": c.strides[-2], "d_row": c.strides[-2]}
    for name, x in (("a", a), ("b", b)):
        steps[f"{name}_row"], steps[f"{name}_col"] = x.strides[-2:]
    for name, x in (("a", a), ("b", b), ("c", c), ("d", c)):
        steps[f"{name}_batch"] = x.strides[0] if x.ndim > 2 else 0
    sizes = (c.shape[0] if c.ndim > 2 else 1, *c.shape[-2:], a.shape[-1])
    return gemm_group.Product(*numbers, bias, d, sizes, steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel(dtype):
    """Groups of any products against each one alone, bit by bit: all ways of the driver, with sums of them."""
    rng = np.random.default_rng(0)
    call, single = gemm_group.group(dtype), gemm.kernel(dtype)

    def some(*shape):
        if rng.random() < 0.5:
            return rng.standard_normal(shape).astype(dtype)
        return rng.standard_normal((*shape[:-2], shape[-1], shape[-2])).astype(dtype).swapaxes(-1, -2)
    for _ in range(60):
        arrays, products, results = [], [], []
        for _ in range(rng.integers(1, 6)):
            m, n, k = rng.choice([1, 2, 3, 5, 8, 16, 17, 33, 64, 100, 130, 256, 300], 3)
            if rng.random() < 0.1:
                m, n, k = min(m, 20), min(n, 40), 4100
            lead = (3,) if rng.random() < 0.2 else ()
            terms = 1 if rng.random() < 0.6 else 3
            c, bias = np.full((*lead, m, n), np.nan, dtype), None
            want = np.empty_like(c)
            at = len(arrays)
            arrays.append(c)
            for j in range(terms):
                a, b = some(*lead, m, k if j < 2 else 7), some(*lead, k if j < 2 else 7, n)
                where = len(arrays)
                arrays += [a, b]
                if not j and rng.random() < 0.5:
                    bias = len(arrays)
                    arrays.append(some(1, n).copy()[0])
                products.append(product(c, a, b, (at, where, where + 1), bias if not j else None, at if j else None))
                if not j and rng.random() < 0.7:
                    products[-1].d = None
                single(want, a, b, arrays[bias] if not j and bias is not None else None, 1, j > 0)
            results.append((c, want))
        call(*arrays, gemm_group.plan(products))
        assert all(np.array_equal(c, want) for c, want in results)
