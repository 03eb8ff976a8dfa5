"""Gradients of gradients of compiled calls: by programs, or by the call done again."""

import os
import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.utils.parametrizations import spectral_norm

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs


def orders(f):
    """The orders of the derivatives that programs are there for."""
    found = []
    for entries in getattr(f, "_compiled", f).entries.values():
        for e in entries:
            plan, n = e.plan, 0
            while plan is not None:
                n, plan = n + 1, plan.second and plan.second.plan
            found.append(n)
    return sorted(found)


def critic(kind):
    torch.manual_seed(0)
    inner = {"plain": [nn.Linear(6, 5), nn.Tanh()], "norms": [nn.BatchNorm1d(6), nn.SiLU(), nn.LayerNorm(6)],
             "dropout": [nn.Dropout(0.4), nn.Softplus()],
             "spectral": [spectral_norm(nn.Linear(6, 6)), nn.Sigmoid()],
             "convolution": [nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3, padding=1), nn.ELU(), nn.MaxPool1d(2),
                             nn.Flatten()]}[kind]
    wide = {"plain": 5, "convolution": 9}.get(kind, 6)
    return nn.Sequential(nn.Linear(4, 6), *inner, nn.Linear(wide, 1))


@pytest.mark.parametrize("kind", ["plain", "norms", "dropout", "spectral", "convolution"])
def test_gradient_penalty(kind):
    def loop(compiled):
        model = critic(kind)
        f, opt, seen = compiled(model), torch.optim.Adam(model.parameters(), 0.01), []
        for i in range(6):
            torch.manual_seed(i)
            fake, real = batch(2 * i, 3, 4), batch(2 * i + 1, 3, 4)
            mixed = (0.3 * fake + 0.7 * real).requires_grad_()
            opt.zero_grad()
            loss = f(fake).mean() - f(real).mean()
            g, = torch.autograd.grad(f(mixed).sum(), mixed, create_graph=True)
            loss = loss + 10 * ((g.norm(dim=1) - 1) ** 2).mean()
            loss.backward()
            opt.step()
            seen.append((loss.detach(), g.detach(), [p.detach().clone() for p in model.parameters()],
                         [b.clone() for b in model.buffers()]))
        return seen
    f, = compare(loop)
    assert orders(f) == [1, 2]


def test_penalty_of_gradients_of_weights():
    """Hessian times gradient with respect to parameters, where there are no gradients of arguments."""
    def loop(compiled):
        model = critic("plain")
        f, seen = compiled(model), []
        for i in range(5):
            loss = f(batch(i, 3, 4)).square().mean()
            grads = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
            model.zero_grad()
            (loss + sum(g.square().sum() for g in grads)).backward()
            seen.append([p.grad for p in model.parameters()])
        return seen
    f, = compare(loop)
    assert orders(f) == [2]


def test_derivatives_of_any_order():
    def loop(compiled):
        w = torch.tensor([0.5, -1.5, 2.0], requires_grad=True)
        f, seen = compiled(lambda x, n=3: (x.sin() * w.exp()).pow(n).sum()), []
        for i in range(8):
            x = batch(i, 3).requires_grad_()
            y = f(x * 2)                            # (an argument with a history)
            for _ in range(4):
                g, = torch.autograd.grad(y, x, create_graph=True)
                y = g.sum()
                seen.append((g.detach(), torch.autograd.grad(y, w, retain_graph=True)))
        return seen
    f, = compare(loop)
    assert orders(f) == [4]


def test_incoming_gradients_with_a_history():
    def loop(compiled):
        w, seen = torch.ones(4, requires_grad=True), []
        f = compiled(lambda x: (x * w, x + 1, x.exp()))
        for i in range(6):
            x, u = batch(i, 4, 4).requires_grad_(), batch(i + 50, 4, 4).requires_grad_()
            a, b, c = f(x)
            gx, gw = torch.autograd.grad([a, b, c], [x, w], [u * 2, u.exp(), u.sin()], create_graph=True)
            seen.append(torch.autograd.grad(gx.square().sum() + gw.sin().sum(), [x, u, w]))
            seen.append((gx.detach(), gx.requires_grad, gw.requires_grad, u.requires_grad, u.is_leaf))
        return seen
    f, = compare(loop)
    assert orders(f) == [2]


def test_functional_and_transforms():
    w = torch.linspace(0.5, 1, 4)

    def f(x):
        return (x.sin() * (x * w).exp()).sum()
    c = torch.compile(f)
    for i in range(4):
        x, v = batch(i, 4), batch(i + 9, 4)
        for name in ("hessian", "jacobian"):
            call = getattr(torch.autograd.functional, name)
            assert torch.allclose(call(c, x), call(f, x), rtol=1e-5)
        assert torch.allclose(torch.autograd.functional.hvp(c, x, v)[1], torch.autograd.functional.hvp(f, x, v)[1])
        for g in (torch.func.grad, torch.func.hessian, torch.func.jacfwd, torch.func.jacrev):
            assert torch.allclose(g(c)(x), g(f)(x))
        assert torch.allclose(torch.func.jvp(c, (x,), (v,))[1], torch.func.jvp(f, (x,), (v,))[1])
        xs = torch.stack([x, v])
        assert torch.allclose(torch.func.vmap(c)(xs), torch.func.vmap(f)(xs))
        assert torch.allclose(torch.func.vmap(torch.func.grad(c))(xs), torch.func.vmap(torch.func.grad(f))(xs))
        assert torch.allclose(torch.compile(torch.func.grad(f))(x), torch.func.grad(f)(x))
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, v)
            got, want = [torch.autograd.forward_ad.unpack_dual(h(dual)).tangent for h in (c, f)]
            assert torch.equal(got, want)
    assert torch.autograd.gradgradcheck(c, x.double().requires_grad_())
    assert not c.refusals


def test_hooks_hear_of_gradients_once():
    def loop(compiled):
        seen = []
        w = torch.ones(3, requires_grad=True)
        w.register_hook(lambda g: seen.append(("w", g.detach().clone())))
        f = compiled(lambda x: (x * w).sin().sum())
        for i in range(5):
            x = batch(i, 3).requires_grad_()
            h = x * 3
            h.register_hook(lambda g: seen.append(("h", g.detach().clone())))
            g, = torch.autograd.grad(f(h), x, create_graph=True)
            g.sum().backward()
        return seen
    compare(loop)


def test_what_python_keeps_is_put_back():
    """Where a call is done again, counters, lists and tensors that it replaces are as they were, before and after."""
    class Keeper(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.seen, self.last, self.state = 0, [], None, torch.zeros(3)
            self.weight = nn.Parameter(torch.tensor([0.5, 1.0, 1.5]))

        def forward(self, x):
            self.calls += 1
            y = (x * self.weight).sin() * (2 if self.calls % 2 else 3) + self.state
            self.state = self.state * 0.5 + x.detach()
            self.seen.append(self.calls)
            return y.sum()

    def loop(compiled):
        keeper, seen = Keeper(), []
        f = compiled(keeper)
        for i in range(20):
            x = batch(i, 3).requires_grad_()
            if i in (12, 13, 18):
                y, other = f(x), f(x * 2)           # (the state is another one when the first is done again)
                g, = torch.autograd.grad(y, x, create_graph=True)
                seen.append(torch.autograd.grad(g.square().sum() + other, [x, keeper.weight]))
            else:
                seen.append(torch.autograd.grad(f(x), x))
            seen.append((keeper.calls, list(keeper.seen), keeper.state.clone()))
        return seen
    f, = compare(loop)
    assert programs(f)


@pytest.mark.filterwarnings("ignore:compile")
def test_what_cannot_be_done_again():
    w = torch.ones(3, requires_grad=True)

    def f(x):
        print("called", end="")
        return (x * w).sin().sum()
    g = torch.compile(f)
    x = torch.ones(3, requires_grad=True)
    for _ in range(6):
        torch.autograd.grad(g(x), x)
    with pytest.raises(RuntimeError, match="tells the world"):
        torch.autograd.grad(g(x), x, create_graph=True)
    for _ in range(4):                              # later calls keep what is needed
        d, = torch.autograd.grad(g(x), x, create_graph=True)
        dd, = torch.autograd.grad(d.sum(), x)
        assert torch.allclose(dd, -x.sin())

    model = critic("plain")
    f = torch.compile(model)
    for _ in range(3):
        y = f(x[:1].expand(2, 4))
    with torch.no_grad():
        model[0].bias.add_(1)                   # no first derivative depends on it, as Tanh keeps its result
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y.sum(), x, create_graph=True)
    f = torch.compile(model)
    for _ in range(3):
        y = f(x[:1].expand(2, 4))
    model.register_buffer("other", torch.ones(1))
    with pytest.raises(RuntimeError, match="Python's state has changed"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_a_graph_is_spent_once():
    f = torch.compile(lambda x: x.exp().sum())
    x = torch.ones(2, requires_grad=True)
    for _ in range(5):
        y = f(x)
        g, = torch.autograd.grad(y, x, create_graph=True)
        g.sum().backward()
        with pytest.raises(RuntimeError, match="second time"):
            g.sum().backward()
    assert orders(f) == [2] and programs(f) == 1


def test_modules_of_calls_that_break():
    model = critic("plain")

    def penalty(x):
        x = x.detach().requires_grad_()
        os.stat(".")
        g, = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return torch.autograd.grad((g.norm(dim=1) - 1).square().sum(), model[0].weight)[0]
    f = torch.compile(penalty)
    with pytest.warns(UserWarning, match="the module os is used"):
        for i in range(7):
            assert torch.allclose(f(batch(i, 3, 4)), penalty(batch(i, 3, 4)), atol=1e-6)
    (_, region), = f.regions.modules
    assert orders(region) == [2]
