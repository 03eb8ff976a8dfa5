"""Backward passes are left to themselves while they are captured, unless they call functions of users."""

import threading
from os import getpid

import pytest

import rushlight as torch
from rushlight.capture.tape import Tape
from rushlight.capture.unattended import calls_nobody


def whether(loss):
    """Whether the pass from `loss` calls nobody, asked as the tape of a capture is."""
    node, targets = loss.grad_fn, {}
    stack = [node]
    while stack:
        x = stack.pop()
        targets[x] = 1
        stack += [e[0] for e in getattr(x, "edges", ()) if e is not None and e[0] not in targets]
    with Tape([]):
        return calls_nobody(targets, [torch.ones_like(loss)])


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * (2 + 0 * getpid())


class Own(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        getpid()
        return super().__torch_function__(func, types, args, kwargs or {})


def leaf():
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_our_rules_call_nobody():
    x = leaf()
    assert whether((x.tanh() * x).reshape(3, 1).sum())
    assert whether(torch.nn.functional.layer_norm(torch.cat([x, x]), (6,)).sum())


def test_functions_hooks_and_classes_of_users_are_somebody():
    x = leaf()
    assert not whether((Doubled.apply(x) * x).sum())
    y = x * 2
    y.register_hook(lambda g: g)
    assert not whether((y * 2).sum())
    z = leaf()
    z.register_hook(lambda g: g)
    assert not whether((z * 2).sum())
    assert not whether((x * x.detach().as_subclass(Own)).sum())
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        saved = (x * x).sum()
    assert not whether(saved)


def calls_of(make):
    """The warning of a step whose backward pass asks for something."""
    x = leaf()

    def step(w):
        x.grad = None
        make(x, w).sum().backward()
        return x.grad * 1

    f = torch.compile(step)
    w = torch.ones(3)
    with pytest.warns(UserWarning) as caught:
        results = [f(w).tolist() for _ in range(4)]
    assert all(r == results[0] for r in results)
    return [str(c.message) for c in caught]


def test_what_users_functions_call_in_a_backward_pass_is_heard():
    assert any("getpid is called" in text for text in calls_of(lambda x, w: Doubled.apply(x) * w))

    def hooked(x, w):
        y = x * w
        y.register_hook(lambda g: g * (1 + 0 * getpid()))
        return y
    assert any("getpid is called" in text for text in calls_of(hooked))


def test_passes_of_other_threads_are_not_this_call():
    x = leaf()
    loss = (x * x).sum()

    def step(w):
        return w * 2

    f, w = torch.compile(step), torch.ones(3)
    for _ in range(3):
        thread = threading.Thread(target=lambda: loss.backward(retain_graph=True))
        thread.start()
        assert f(w).tolist() == [2.0, 2.0, 2.0]
        thread.join()
    assert x.grad.tolist() == [6.0, 12.0, 18.0]
