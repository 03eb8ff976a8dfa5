"""Traces: what is recorded, that sizes stay free, structure and checks, and that nothing is left behind."""

import warnings

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.conv(x))))
        x = x.view(x.size(0), -1)
        return self.fc(x) * x.shape[1]


def test_a_module_keeps_its_sizes_free():
    torch.manual_seed(0)
    net = Convolutional().eval()
    made = torch.jit.trace(net, torch.randn(2, 3, 8, 8))
    for n, size in ((1, 8), (5, 6)):
        x = torch.randn(n, 3, size, size)
        np.testing.assert_allclose(made(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert "aten::size" in str(made.inlined_graph) and made.fc.weight is net.fc.weight
    kinds = [n.kind() for n in made.inlined_graph.nodes() if n.kind().startswith("aten::")]
    assert kinds == ["aten::conv2d", "aten::batch_norm", "aten::relu", "aten::adaptive_avg_pool2d", "aten::size",
                     "aten::view", "aten::linear", "aten::size", "aten::mul"]


def test_functions_and_containers():
    def f(a, pair, table):
        x, y = pair
        z = a[1:, None] * x + y.sum() - table["k"]
        z += 1
        z[0] = 2
        return z, (x.t(), 1 - x, 2 / (x + 3))
    args = torch.ones(3, 2), (torch.rand(2, 2), torch.ones(2)), {"k": torch.ones(1)}
    made = torch.jit.trace(f, args)
    new = torch.rand(4, 2), (torch.rand(2, 2), torch.rand(2)), {"k": torch.rand(1)}
    a, b = made(*new), f(*new)
    for p, q in zip((a[0], *a[1]), (b[0], *b[1])):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-6)


def test_lists_and_dicts_are_results_only_if_asked_for():
    def f(x):
        return {"a": x, "b": x + 1}
    with pytest.raises(RuntimeError, match="strict=False"):
        torch.jit.trace(f, torch.ones(1))
    assert torch.jit.trace(f, torch.ones(1), strict=False)(torch.zeros(1))["b"].item() == 1


def test_reading_numbers_warns_and_takes_one_branch():
    def f(x):
        return x * 2 if x.sum() > 0 else x * 3
    with pytest.warns(torch.jit.TracerWarning, match="Converting a tensor to a Python boolean"):
        made = torch.jit.trace(f, torch.ones(1))
    assert made(-torch.ones(1)).item() == -2


def test_compiled_functions_keep_their_branches():
    @torch.jit.script
    def inner(x):
        if x.sum() > 0:
            return x * 2
        return x * 3

    def f(x):
        return inner(x) + 1
    made = torch.jit.trace(f, torch.ones(1))
    assert made(torch.ones(1)).item() == 3 and made(-torch.ones(1)).item() == -2


def test_script_if_tracing():
    @torch.jit.script_if_tracing
    def inner(x):
        if x.sum() > 0:
            return x * 2
        return x * 3
    assert torch.jit.trace(lambda x: inner(x) + 1, torch.ones(1))(-torch.ones(1)).item() == -2


def test_random_graphs_are_refused():
    count = []

    def f(x):
        count.append(1)
        for _ in count:
            x = x + 1
        return x
    with pytest.raises(torch.jit.TracingCheckError, match="Graphs differed across invocations"):
        torch.jit.trace(f, torch.ones(1))


def test_wrong_results_warn():
    def f(x):
        return x + torch.tensor(x.tolist())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.jit.trace(f, torch.ones(2), check_inputs=[torch.zeros(2) + 2])
    assert any("does not match" in str(w.message) for w in seen)


def test_gradients_and_training():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    made = torch.jit.trace(net, torch.randn(2, 3))
    x = torch.randn(5, 3)
    made(x).sum().backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(x).sum().backward()
    for a, b in zip(found, (p.grad for p in net.parameters())):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_nothing_stays_behind():
    before = torch.relu, F.linear, torch.Tensor.__add__, torch.Tensor.view, nn.Module.__call__
    torch.jit.trace(lambda x: torch.relu(x.view(-1) + 1), torch.ones(2))
    assert before == (torch.relu, F.linear, torch.Tensor.__add__, torch.Tensor.view, nn.Module.__call__)
    assert not torch.jit.is_tracing() and type(torch.ones(2).size(0)) is int


def test_several_methods():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x * self.w

        def other(self, x, y):
            return x + y * self.w
    made = torch.jit.trace_module(Both(), {"forward": torch.ones(2), "other": (torch.ones(2), torch.ones(2))})
    assert made.other(torch.ones(2), 2 * torch.ones(2)).tolist() == [3.0, 3.0]
    assert made(torch.full((2,), 4.0)).tolist() == [4.0, 4.0]


def test_keyword_examples():
    def f(x, y):
        return x - y
    made = torch.jit.trace(f, example_kwarg_inputs={"y": torch.ones(1), "x": torch.zeros(1)})
    assert made(y=torch.ones(1), x=torch.full((1,), 5.0)).item() == 4


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(3, 3), nn.LayerNorm(3)

    def forward(self, x, y):
        return self.norm(self.fc(x) + y), y * 2


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.tail = Inner(), nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x):
        p, q = self.a(x, x + 1)
        r, _ = self.a(p, q)
        return self.tail(r) + self.a.fc.bias


def test_submodules_keep_their_graphs():
    torch.manual_seed(0)
    net = Outer()
    x = torch.randn(2, 3)
    made = torch.jit.trace(net, x)
    np.testing.assert_allclose(made(x + 1).detach().numpy(), net(x + 1).detach().numpy(), rtol=1e-5, atol=1e-6)
    calls = [n["name"] for n in made.graph.findAllNodes("prim::CallMethod")]
    assert calls == ["forward", "forward1", "forward"]          # `a` is called twice
    np.testing.assert_allclose(getattr(made.tail, "0")(x).detach().numpy(), net.tail[0](x).detach().numpy(), rtol=1e-6)
    assert "original_name=LayerNorm" in repr(made.a.norm)
