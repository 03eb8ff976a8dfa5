"""Compiled forward passes with the backward pass outside."""

import copy
import gc
import os
import subprocess
import sys
import time

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3))


def test_a_module_trains_as_the_eager_one():
    model = build()
    other = copy.deepcopy(model)
    compiled = torch.compile(other)
    opts = [torch.optim.SGD(m.parameters(), 0.1) for m in (model, other)]
    for i in range(6):
        x, y = torch.randn(4, 5), torch.randint(0, 3, (4,))
        losses = []
        for call, opt in zip((model, compiled), opts, strict=True):
            opt.zero_grad()
            loss = F.cross_entropy(call(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        assert losses[0] == losses[1]
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(p, q) and torch.equal(p.grad, q.grad)
    assert len(compiled._compiled.entries) == 1


def test_gradients_of_arguments_and_several_results():
    w = torch.randn(4, 4, requires_grad=True)

    def f(a, b):
        h = torch.sin(a @ w) * b
        return h.sum(0), {"h": h.exp(), "plain": b + 1}
    compiled = torch.compile(f)
    for _ in range(4):
        a, b = torch.randn(3, 4, requires_grad=True), torch.randn(4)
        both = []
        for call in (f, compiled):
            w.grad = a.grad = None
            scaled = a * 2                      # an argument with a history
            s, d = call(scaled, b)
            assert s.requires_grad and d["h"].requires_grad and not d["plain"].requires_grad
            (s.sum() + (d["h"] * d["plain"]).sum()).backward()
            both.append((s.detach(), d["plain"], w.grad.clone(), a.grad.clone()))
        for x, y in zip(*both, strict=True):
            assert torch.equal(x, y)


def test_results_outlive_later_calls():
    m = build()
    f = torch.compile(m)
    xs = [torch.randn(2, 5) for _ in range(5)]
    outs = [f(x) for x in xs]
    outs[3].sum().backward()
    first = m[0].weight.grad.clone()
    m.zero_grad()
    m(xs[3]).sum().backward()
    assert torch.equal(first, m[0].weight.grad)
    for x, out in zip(xs, outs, strict=True):
        assert torch.equal(m(x), out)


def test_misuse_is_refused_as_eagerly():
    m = build()
    f = torch.compile(m)
    for _ in range(3):
        out = f(torch.ones(2, 5))
    out.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        out.sum().backward()
    out = f(torch.ones(2, 5))
    with torch.no_grad():
        m[3].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        out.sum().backward()


def test_state_that_changes_makes_new_programs():
    m = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5))
    f = torch.compile(m)
    x = torch.randn(3, 5)
    for _ in range(3):
        assert (f(x) == 0).any()
    m.eval()
    for _ in range(3):
        assert torch.equal(f(x), m(x))
    m.train()
    torch.manual_seed(1)
    a = f(x)
    torch.manual_seed(1)
    assert torch.equal(a, m(x))
    m[0].weight.data = torch.zeros(5, 5)
    for _ in range(3):
        torch.manual_seed(2)
        a = f(x)
        torch.manual_seed(2)
        assert torch.equal(a, m(x))
    with torch.no_grad():
        m[0].bias.fill_(7)
        assert (f(x) == 14).any()


def test_compiled_modules_are_modules(tmp_path):
    m = build()
    f = torch.compile(m)
    assert isinstance(f, nn.Module) and f._orig_mod is m
    assert list(f.state_dict()) == ["_orig_mod." + k for k in m.state_dict()]
    assert [p.data_ptr() for p in f.parameters()] == [p.data_ptr() for p in m.parameters()]
    assert f.eval() is f and not m.training and f.train().training and m.training
    x = torch.randn(2, 5)
    for _ in range(3):
        f(x)
    again = copy.deepcopy(f)
    assert again._orig_mod is not m
    with torch.no_grad():
        m[0].weight.zero_()
    assert not torch.equal(again(x), f(x))
    import pickle
    back = pickle.loads(pickle.dumps(f))
    for _ in range(3):
        assert torch.equal(back(x), m(x))


def test_a_module_compiles_itself():
    m = build()
    x = torch.randn(2, 5)
    want = m(x)
    m.compile()
    for _ in range(4):
        assert torch.equal(m(x), want)


def test_explanation():
    m = build()
    text = repr(torch.compiler.explain(m, torch.randn(2, 5)))
    assert "one program of" in text and "tanh" in text

    def loud(x):
        time.sleep(0)
        return x + 1
    assert "sleep is called at" in repr(torch.compiler.explain(loud, torch.ones(2)))
    with pytest.raises(RuntimeError, match="fullgraph"):
        f = torch.compile(loud, fullgraph=True)
        for _ in range(3):
            f(torch.ones(2))


def test_threads_share_a_compiled_function():
    from threading import Thread
    m = build().eval()
    f = torch.compile(m)
    xs = [torch.randn(64, 5) for _ in range(4)]
    with torch.no_grad():
        want = [m(x) for x in xs]
        for _ in range(3):
            f(xs[0])
    wrong = []

    def work(i):
        with torch.no_grad():
            for _ in range(200):
                if not torch.equal(f(xs[i]), want[i]):
                    wrong.append(i)
    threads = [Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_gradients_are_the_same_whoever_watches():
    """Hooks on other tensors, removed or forgotten, change no bit of a backward pass, compiled or not."""
    from rushlight.autograd import engine

    def loss(m, x, y):
        return F.cross_entropy(m(x), y)
    other = torch.ones(2, requires_grad=True)
    for seed in range(20):
        torch.manual_seed(seed)
        m = nn.Linear(4, 3)
        x, y = torch.randn(5, 4), torch.randint(0, 3, (5,))
        compiled, found = torch.compile(loss), []
        for call in range(4):
            hook = torch.autograd.graph.register_multi_grad_hook((other,), print)
            found.append(torch.autograd.grad(loss(m, x, y), m.weight)[0])
            hook.remove()
            for f in (loss, compiled):
                m.zero_grad()
                f(m, x, y).backward()
                found.append(m.weight.grad)
        assert all(torch.equal(g, found[0]) for g in found)
    before = len(engine.watchers)
    torch.autograd.graph.register_multi_grad_hook((torch.ones(2, requires_grad=True),), print)
    gc.collect()
    assert len(engine.watchers) == before       # hooks go with their tensors
    # Log-probabilities that are asked for still get their gradient.
    z = torch.randn(3, 4, requires_grad=True)
    log_p = z.log_softmax(1)
    g, = torch.autograd.grad(F.nll_loss(log_p, torch.tensor([0, 1, 2])), log_p)
    assert torch.equal(g, torch.eye(3, 4) / -3)


def test_programs_may_outlive_the_modules():
    """The interpreter ends well while programs and kernels are still held, whatever memory is freed first."""
    text = ("import rushlight as torch\nf = torch.compile(lambda a, b: torch.block_diag(a, b).exp() * 2)\n"
            "x = torch.randn(3, 4, requires_grad=True)\nfor i in range(4):\n    f(x, x.detach() + 1).sum().backward()\n"
            "print(len(f.entries))")
    env = dict(os.environ, MALLOC_PERTURB_="255", PYTHONMALLOC="malloc")
    done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "1\n", done.stderr


def test_gradients_that_nothing_asks_for_are_none():
    def f(x, y, w):
        return x * w, y.exp(), (x * y).detach()
    g = torch.compile(f)
    w = torch.ones(3, requires_grad=True)
    for _ in range(5):
        x, y = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
        for graph in (False, True):
            a, b, _ = g(x, y, w)
            found = torch.autograd.grad(b.sum(), [x, y, w], allow_unused=True, retain_graph=True,
                                        create_graph=graph)
            assert [t is None for t in found] == [True, False, True]
            with pytest.raises(RuntimeError, match="not have been used"):
                torch.autograd.grad(a.sum(), y, create_graph=graph)


@pytest.mark.filterwarnings("error:compile")
def test_numbers_are_inputs_of_backward_passes():
    """Weights of a loss that are others in each call, given or counted, and of gradients of gradients."""
    w, steps = torch.ones(3, requires_grad=True), 0

    def given(x, weight):
        return ((x * w).sin() * weight).sum() + weight

    def counted(x, _):
        nonlocal steps
        steps += 1
        return (x * w).sin().sum() * (steps * 0.5)
    for f in (given, counted):
        g = torch.compile(f)
        for i in range(14):
            x, weight = torch.arange(3.0) + 1, 0.1 * i
            y = g(x, weight)
            first, = torch.autograd.grad(y, w, create_graph=i > 8)
            weight = weight if f is given else steps * 0.5
            assert torch.allclose(first, x * (x * w).cos() * weight)
            if i > 8:
                second, = torch.autograd.grad(first.sum(), w)
                assert torch.allclose(second, -x * x * (x * w).sin() * weight)
        assert len(g.entries) == 1 and sum(map(len, g.entries.values())) == 1
