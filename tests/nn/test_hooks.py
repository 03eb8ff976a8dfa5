"""Hooks of modules: order, arguments, results, removal."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.modules import module as registry


def test_order_and_arguments():
    log = []
    m = nn.Linear(2, 3)
    m.register_forward_pre_hook(lambda m, args: log.append("pre"))
    m.register_forward_pre_hook(lambda m, args, kwargs: log.append(("first", kwargs)),
                                with_kwargs=True, prepend=True)
    m.register_forward_hook(lambda m, args, out: log.append(("post", tuple(out.shape))))
    m.register_forward_hook(lambda m, args, kwargs, out: log.append("before post"),
                            with_kwargs=True, prepend=True)
    m(torch.ones(4, 2))
    assert log == [("first", {}), "pre", "before post", ("post", (4, 3))]


def test_hooks_replace_arguments_and_results():
    m = nn.Identity()
    handle = m.register_forward_pre_hook(lambda m, args: args[0] + 1)
    m.register_forward_hook(lambda m, args, out: out * 10)
    assert m(torch.ones(1)).item() == 20
    handle.remove()
    assert m(torch.ones(1)).item() == 10
    handle.remove()


def test_pre_hook_with_kwargs_must_return_a_pair():
    m = nn.Identity()
    m.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        m(torch.ones(1))


def test_always_call():
    log = []
    m = nn.Linear(2, 2)
    m.register_forward_hook(lambda m, args, out: log.append(out), always_call=True)
    m.register_forward_hook(lambda m, args, out: log.append("skipped"))
    with pytest.raises(RuntimeError):
        m(torch.ones(3))
    assert log == [None]
    m(torch.ones(1, 2))
    assert len(log) == 3


def test_handle_is_a_context_manager():
    log = []
    m = nn.ReLU()
    with m.register_forward_hook(lambda *a: log.append(1), with_kwargs=False):
        m(torch.ones(1))
    m(torch.ones(1))
    assert log == [1] and not m._forward_hooks


def test_full_backward_hook():
    log = []
    m = nn.Linear(2, 3)
    m.register_full_backward_hook(lambda m, gi, go: log.append(
        ([None if g is None else tuple(g.shape) for g in gi], [tuple(g.shape) for g in go])))
    m(torch.ones(4, 2)).sum().backward()
    m(torch.ones(4, 2, requires_grad=True)).sum().backward()
    assert log == [([None], [(4, 3)]), ([(4, 2)], [(4, 3)])]


def test_backward_hooks_replace_gradients():
    m = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        m.weight.fill_(1.0)
    m.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = torch.ones(1, 2, requires_grad=True)
    m(x).sum().backward()
    assert x.grad.tolist() == [[20.0, 20.0]]
    assert m.weight.grad.tolist() == [[2.0, 2.0]]


def test_backward_hook_with_several_outputs():
    class Two(nn.Module):
        def forward(self, x, y):
            return x * 2, 3, y * 5

    log = []
    m = Two()
    m.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    x = torch.ones(2, requires_grad=True)
    a, b, c = m(x, torch.ones(2))
    assert b == 3
    (a.sum() + c.sum()).backward()
    (gi, go), = log
    assert gi[0].tolist() == [2.0, 2.0] and gi[1].tolist() == [0.0, 0.0]
    assert go[1] is None


def test_wrong_number_of_gradients():
    m = nn.Linear(2, 2)
    m.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    x = torch.ones(1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="returned an invalid number of grad_input, got 2"):
        m(x).sum().backward()


def test_old_and_full_hooks_exclude_each_other():
    m = nn.Linear(2, 2)
    m.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="Cannot use both"):
        m.register_backward_hook(lambda *a: None)


def test_global_hooks():
    log = []
    handles = [
        registry.register_module_forward_pre_hook(lambda m, a: log.append("pre")),
        registry.register_module_forward_hook(lambda m, a, o: log.append("post")),
        registry.register_module_full_backward_hook(lambda m, gi, go: log.append("back"))]
    try:
        nn.Linear(1, 1)(torch.ones(1, 1, requires_grad=True)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
        registry._hooks._global_is_full_backward_hook = None
    assert log == ["pre", "post", "back"]
    nn.Linear(1, 1)(torch.ones(1, 1))
    assert len(log) == 3


def test_registration_hooks():
    names = []
    handles = [
        registry.register_module_parameter_registration_hook(lambda m, n, p: names.append(n)),
        registry.register_module_buffer_registration_hook(lambda m, n, b: names.append(n)),
        registry.register_module_module_registration_hook(lambda m, n, c: names.append(n))]
    try:
        nn.Sequential(nn.BatchNorm1d(1))
    finally:
        for handle in handles:
            handle.remove()
    assert names == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "0"]
