"""Steps whose Python has effects: compiled ones leave the values, and the Python state, that eager ones leave."""

import collections
import contextlib
import copy
import io
import logging
import random
import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn

sys.path.insert(0, str(Path(__file__).parent))

import impure_steps
import keeping_steps  # noqa: F401
from impure_steps import CASES, Setting
from telling_steps import LOG

CALLS = 9


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.requires_grad == b.requires_grad and \
            torch.equal(a.detach(), b.detach())
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[k], b[k]) for k in a) and \
            all(type(x) is type(y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (list, tuple, collections.deque)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


def holds_stand_ins(x):
    """Whether a number (or a container) is one that is there only while a tape is written."""
    if type(x).__module__.startswith("rushlight.capture"):
        return True
    values = [*x, *x.values()] if isinstance(x, dict) else x if isinstance(x, (list, tuple, set, collections.deque)) \
        else ()
    return any(map(holds_stand_ins, values))


def outcomes(make, compiled):
    impure_steps.total_of_module = 0
    s = Setting()
    step = make(s)
    if compiled:
        step = torch.compile(step)
    torch.manual_seed(5)
    random.seed(5)
    g = torch.Generator().manual_seed(1)
    found = []
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("%(levelname)s %(lineno)d %(funcName)s %(filename)s %(message)s"))
    LOG.addHandler(told)
    LOG.setLevel(logging.INFO)
    for i in range(CALLS):
        if i == 6:
            LOG.setLevel(logging.DEBUG)
        x, y = torch.randn(5, 4, generator=g), torch.randint(0, 2, (5,), generator=g)
        out = io.StringIO()
        told.stream = out
        with contextlib.redirect_stdout(out):
            try:
                result = step(x, y)
            except KeyError as e:
                result = repr(e)
        assert not holds_stand_ins([result, vars(getattr(s, "bar", s.meter)), vars(s), vars(s.meter), s.slotted.n,
                                    vars(s.bounded)])
        found.append((copy.deepcopy(result), s.snapshot(), out.getvalue(), impure_steps.total_of_module))
    LOG.removeHandler(told)
    return found, step


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_values_and_state(name):
    make, native = CASES[name]
    want, _ = outcomes(make, False)
    got, step = outcomes(make, True)
    for i, (a, b) in enumerate(zip(want, got, strict=True)):
        assert same(a[0], b[0]), f"call {i}: {a[0]} is {b[0]}"
        for k in a[1]:
            assert same(a[1][k], b[1][k]), f"call {i}: {k} is {b[1][k]}, not {a[1][k]}"
        assert a[2:] == b[2:]
    if native is not None:
        assert bool(step.entries) == native, [step.refusals, step.paths]


def test_attributes_of_classes_are_guarded():
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, x):
            return self.scaled(x)

        def scaled(self, x):
            return x * self.factor
    m = Scaled()
    f = torch.compile(m)
    x = torch.ones(2)
    for factor in (2.0, 3.0):
        Scaled.factor = factor
        for _ in range(3):
            assert f(x).tolist() == [factor] * 2
    Scaled.scaled = lambda self, x: x - 1
    for _ in range(3):
        assert f(x).tolist() == [0, 0]
    Scaled.forward = lambda self, x: x + 1
    for _ in range(3):
        assert f(x).tolist() == [2, 2]


def test_attributes_of_functions_are_guarded():
    def f(x):
        return x * f.factor
    f.factor = 2
    g = torch.compile(f)
    for factor in (2, 3):
        f.factor = factor
        for _ in range(3):
            assert g(torch.ones(1)).item() == factor


@pytest.mark.filterwarnings("ignore:compile")
def test_code_is_as_before():
    def outer(x):
        def inner(v):
            return float(v) + int(v)
        outer.kept = inner
        return inner(x.sum())
    code, f = outer.__code__, torch.compile(outer)
    for i in range(5):
        assert f(torch.ones(2) * i) == outer(torch.ones(2) * i) == 4 * i
        assert outer.__code__ is code and outer.kept(1.5) == 2.5


@pytest.mark.filterwarnings("ignore:compile")
def test_totals_of_many_numbers():
    def epoch(x, n):
        total = 0.0
        for i in range(n):
            total += (x + i).sum().item()
        return total
    f = torch.compile(epoch, dynamic=False)
    for n in (5, 300):
        for _ in range(4):
            assert f(torch.ones(2), n) == epoch(torch.ones(2), n)
    assert len(f.entries) == 1 and "steps of arithmetic" in str(f.refusals)


@pytest.mark.filterwarnings("ignore:compile")
def test_a_tape_of_no_use_keeps_no_memory(monkeypatch):
    from rushlight.capture import tape
    monkeypatch.setattr(tape, "MOST", 50)

    def f(x):
        for _ in range(60):
            x = x * 2 + 1
        return x.cumsum(0)
    g = torch.compile(f)
    for _ in range(4):
        assert torch.equal(g(torch.ones(3)), f(torch.ones(3)))
    assert "more than 50 kernels" in str(g.refusals)


def test_lists_that_texts_go_beside_are_cleared():
    """A list of losses that is averaged, told and cleared every few calls."""
    def run(compile, out):
        losses, means = [], []

        def step(i, x):
            loss = x.square().mean()
            losses.append(loss.item())
            if (i + 1) % 5 == 0:
                means.append(sum(losses) / len(losses))
                losses.clear()
                print("mean of", len(means), "loss %.4f" % means[-1])
            return loss
        step = compile(step)
        with contextlib.redirect_stdout(out):
            found = [step(i, torch.arange(4.0) + i).item() for i in range(24)]
        return found, losses, means
    told = io.StringIO(), io.StringIO()
    made = []
    want = run(lambda f: f, told[0])
    assert want == run(lambda f: made.append(torch.compile(f)) or made[-1], told[1])
    assert told[0].getvalue() == told[1].getvalue() and made[0].entries
