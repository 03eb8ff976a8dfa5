"""Checkpoints that keep some results: what runs again, and that gradients are the same."""

import functools

import pytest

import rushlight as torch
from rushlight.utils import checkpoint as c
from rushlight.utils.flop_counter import FlopCounterMode

mm = torch.ops.aten.mm.default


def net(x, y):
    return torch.sigmoid(x @ y).matmul(y).relu() * 2 + torch.nn.functional.linear(x, y)


def leaves():
    torch.manual_seed(0)
    return torch.rand(4, 4, requires_grad=True), torch.rand(4, 4, requires_grad=True)


def gradients(out, x, y):
    return torch.autograd.grad(out.sum(), (x, y))


@pytest.mark.parametrize("kept, products", [([mm], 0), ([torch.ops.aten.sigmoid.default], 3), ([], 3)])
def test_what_is_kept_does_not_run_again(kept, products):
    x, y = leaves()
    expected = gradients(net(x, y), x, y)
    with FlopCounterMode(display=False) as plain:
        gradients(net(x, y), x, y)
    contexts = functools.partial(c.create_selective_checkpoint_contexts, kept)
    out = c.checkpoint(net, x, y, use_reentrant=False, context_fn=contexts, early_stop=False)
    with FlopCounterMode(display=False) as counter:
        found = gradients(out, x, y)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    once = plain.get_total_flops() // 9             # three products in forward, two for each in backward
    assert once == 2 * 4**3 and counter.get_total_flops() == (6 + products) * once


def test_policies_are_asked_once_an_op():
    x, y = leaves()
    asked = []

    def policy(ctx, op, *args):
        asked.append((str(op), tuple(ctx.op_output.shape), ctx.is_recompute))
        return c.CheckpointPolicy.MUST_SAVE if op == mm else c.CheckpointPolicy.PREFER_RECOMPUTE
    out = c.checkpoint(net, x, y, use_reentrant=False,
                       context_fn=lambda: c.create_selective_checkpoint_contexts(policy))
    names = ["aten.mm.default", "aten.sigmoid.default", "aten.mm.default", "aten.relu.default", "aten.mul.Tensor",
             "aten.mm.default", "aten.add.Tensor"]
    assert asked == [(n, (4, 4), False) for n in names]
    out.sum().backward()
    assert len(asked) == len(names)


def test_kept_results_count_their_computations():
    runs = []

    @torch.library.custom_op("selective::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        runs.append(1)
        return x * 2
    x, y = leaves()
    out = c.checkpoint(lambda a: (a @ y).sigmoid() * twice(a.detach()), x, use_reentrant=False,
                       context_fn=lambda: c.create_selective_checkpoint_contexts([mm]))
    out.sum().backward()
    assert len(runs) == 2


def test_changes_of_what_is_kept():
    def f(x, y):
        a = torch.mm(x, y)
        a.add_(1)
        return torch.sigmoid(a)
    x, y = leaves()
    out = c.checkpoint(f, x, y, use_reentrant=False,
                       context_fn=lambda: c.create_selective_checkpoint_contexts([mm]))
    with pytest.raises(RuntimeError, match="mutated"):
        out.sum().backward()


def test_arguments():
    with pytest.raises(ValueError, match="OpOverload"):
        c.create_selective_checkpoint_contexts([torch.mm])
    with pytest.raises(TypeError, match="function or a list"):
        c.create_selective_checkpoint_contexts(3)
    x, y = leaves()
    out = c.checkpoint(net, x, y, use_reentrant=False,
                       context_fn=lambda: c.create_selective_checkpoint_contexts([mm]))
    out.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="extra time"):
        out.sum().backward()


def test_debug_tells_both_runs():
    calls = []

    def f(x):
        calls.append(1)
        a = torch.sin(x)
        if len(calls) == 1:
            a = torch.sigmoid(a)
        return a.exp() * a
    x, _ = leaves()
    with c.set_checkpoint_debug_enabled(True):
        out = c.checkpoint(f, x, use_reentrant=False)
    with pytest.raises(c.CheckpointError) as told:
        out.sum().backward()
    text = str(told.value)
    assert "debug=True" in text and "aten.sigmoid.default(float32[4, 4])   (2 of 4 in original)" in text
    assert text.count("aten.sigmoid.default") == 2 and "Recomputed:" in text


def test_groups_do_not_nest():
    with c.GraphExecGroup(), pytest.raises(RuntimeError, match="nested"), c.GraphExecGroup():
        pass
    assert c.get_device_states(torch.ones(1)) == ([], [])
    c.set_device_states([], [])
