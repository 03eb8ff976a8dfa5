"""Hooks and files, hooks of modules by hand, and exchanged tensors."""

import warnings
import weakref

import pytest

import rushlight as torch
from rushlight.utils import hooks, set_module, swap_tensors


def test_hooks_are_warned_of_unless_marked():
    t = torch.ones(2, requires_grad=True)
    t.register_hook(hooks.unserializable_hook(lambda g: None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hooks.warn_if_has_hooks(t)
        hooks.warn_if_has_hooks(torch.ones(2))
    t.register_hook(lambda g: None)
    with pytest.warns(UserWarning, match="will not be serialized"):
        hooks.warn_if_has_hooks(t)


def test_backward_hooks_by_hand():
    seen = []
    module = torch.nn.Linear(2, 2)
    hook = hooks.BackwardHook(module, [lambda m, gi, go: seen.append((len(gi), gi[1], go[0].shape))], [])
    x = torch.ones(1, 2, requires_grad=True)
    args = hook.setup_input_hook((x, 3))
    hook.setup_output_hook(module(args[0])).sum().backward()
    assert seen == [(2, None, (1, 2))]


def test_swapping_keeps_objects():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.zeros(3)
    a.note, holder = "a", [a, b]
    (a * 2).sum().backward()
    swap_tensors(a, b)
    assert holder[0] is a and type(a) is torch.Tensor and type(b) is torch.nn.Parameter
    assert a.tolist() == [0, 0, 0] and b.tolist() == [1, 1] and b.grad.tolist() == [2, 2] and a.grad is None
    assert b.note == "a" and not hasattr(a, "note") and b.requires_grad and not a.requires_grad
    ref = weakref.ref(a)
    with pytest.raises(RuntimeError, match="weakref"):
        swap_tensors(a, b)
    del ref


def test_modules_are_named():
    def f():
        pass
    set_module(f, "somewhere.else")
    assert f.__module__ == "somewhere.else"
    with pytest.raises(TypeError):
        set_module(f, 3)
