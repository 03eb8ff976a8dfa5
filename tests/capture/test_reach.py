"""What a call of another size finds anew: everything that may have changed since the call of the size before."""

import types

import pytest

pytest.importorskip("llvmlite")
import rushlight as torch
from rushlight import nn


class Holder:
    """An object of a user's."""

    factor = 2.0

    def __init__(self):
        self.scale, self.pieces, self.names, self.table = 3.0, [1.0, 2.0], {"a"}, {"weight": torch.ones(3)}
        self.inner = types.SimpleNamespace(offset=0.5)


def function():
    """(a function of a tensor, what it reads)."""
    holder, cell = Holder(), 1.0
    options = {"shift": 0.25}

    def helper(x, by=4.0, *, more=1.0):
        return x * by + more

    def f(x):
        y = helper(x) * holder.scale * holder.factor + sum(holder.pieces) + holder.inner.offset
        y = y + options["shift"] + cell + (10.0 if "b" in holder.names else 0.0)
        if getattr(holder, "extra", None) is not None:
            y = y * holder.extra
        if "bias" in holder.table:
            y = y + holder.table["bias"]
        return y * holder.table["weight"]

    def set_cell(value):
        nonlocal cell
        cell = value
    return f, types.SimpleNamespace(holder=holder, options=options, helper=helper, set_cell=set_cell)


CHANGES = {
    "an attribute": lambda s: setattr(s.holder, "scale", 7.0),
    "an attribute, by an equal number": lambda s: setattr(s.holder, "scale", float("3.0")),
    "a new attribute": lambda s: setattr(s.holder, "extra", 1.5),
    "an attribute of the class": lambda s: setattr(Holder, "factor", 5.0),
    "a property of the class": lambda s: setattr(Holder, "extra", property(lambda self: 0.5)),
    "the class": lambda s: setattr(s.holder, "__class__", type("Other", (Holder,), {"factor": -1.0})),
    "the dict of an object": lambda s: setattr(s.holder, "__dict__", {**vars(s.holder), "scale": 11.0}),
    "an object within": lambda s: setattr(s.holder, "inner", types.SimpleNamespace(offset=9.0)),
    "an item of a list": lambda s: s.holder.pieces.__setitem__(0, 8.0),
    "the length of a list": lambda s: s.holder.pieces.append(8.0),
    "a set": lambda s: s.holder.names.add("b"),
    "a set of as many": lambda s: (s.holder.names.clear(), s.holder.names.add("b")),
    "a dict": lambda s: s.holder.table.__setitem__("bias", torch.ones(3)),
    "a tensor in a dict": lambda s: s.holder.table.__setitem__("weight", torch.full((3,), 2.0)),
    "an option": lambda s: s.options.__setitem__("shift", 0.75),
    "a cell": lambda s: s.set_cell(6.0),
    "defaults": lambda s: setattr(s.helper, "__defaults__", (5.0,)),
    "defaults of keywords": lambda s: setattr(s.helper, "__kwdefaults__", {"more": 2.0}),
    "code": lambda s: setattr(s.helper, "__code__", (lambda x, by=4.0, *, more=1.0: x - by * more).__code__),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_size_sees_a_change(what):
    f, state = function()
    compiled = torch.compile(f)
    try:
        for n in (2, 3, 4):
            for _ in range(2):
                compiled(torch.randn(n, 3))
        assert sum(map(len, compiled.entries.values())) == 3 and compiled.reach is not None
        CHANGES[what](state)
        for n in (5, 6, 5):
            x = torch.randn(n, 3)
            assert torch.equal(compiled(x), f(x)), what
    finally:
        Holder.factor = 2.0
        if "extra" in vars(Holder):
            del Holder.extra


def test_a_global_name_that_comes_to_be():
    scope = {"torch": torch, "__name__": "users"}
    exec("def f(x):\n    return x * abs(-2.0)", scope)
    compiled = torch.compile(scope["f"])
    for n in (2, 2, 3, 4):
        compiled(torch.ones(n))
    scope["abs"] = lambda x: 5.0
    assert compiled(torch.ones(7)).tolist() == [5.0] * 7


def test_hooks_of_a_parameter():
    layer, seen = nn.Linear(3, 2), []
    compiled = torch.compile(lambda x: layer(x).sum().backward())
    for n in (2, 2, 3, 4):
        layer.zero_grad()
        compiled(torch.ones(n, 3))
    layer.weight.register_hook(lambda g: seen.append(1) or g * 2)
    layer.zero_grad()
    compiled(torch.ones(5, 3))
    assert layer.weight.grad.tolist() == [[10.0] * 3] * 2 and seen


def test_sizes_share_what_was_found():
    layer, counts = nn.Linear(3, 2), {"calls": 0}
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)

    def step(x):
        counts["calls"] += 1
        optimizer.zero_grad()
        loss = layer(x).square().sum() / counts["calls"]
        loss.backward()
        optimizer.step()
        return loss.item()
    compiled = torch.compile(step)
    for _ in range(4):
        compiled(torch.randn(2, 3))
    first = compiled.reach
    for n in (3, 4, 5):
        compiled(torch.randn(n, 3))
    assert first is not None and compiled.reach is first
    assert counts["calls"] == 7 and sum(map(len, compiled.entries.values())) == 4
    known = [many[0].unchanged for many in compiled.entries.values()]
    assert all(x is known[0] for x in known)


def test_nothing_is_kept_that_calls_replace():
    import gc
    import weakref
    kept = {"last": None}

    def f(x):
        y = x * 2.0
        kept["last"] = y
        return y + 1.0
    compiled = torch.compile(f)
    for n in (2, 2, 2, 2, 3, 4):
        compiled(torch.ones(n))
    old = weakref.ref(kept["last"])
    kept["last"] = None
    gc.collect()
    assert old() is None
