"""Small independent kernels of a program side by side on several threads: which, and that nothing else changes."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import rushlight as torch
from rushlight.capture.passes import schedule as passes
from rushlight.capture.profile import profile

sys.path.insert(0, str(Path(__file__).parent))

from test_random_programs import build, flat


@pytest.fixture(autouse=True)
def two_threads():
    n = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n)


def compiled(f, *args):
    g = torch.compile(f, fullgraph=True)
    for _ in range(4):
        g(*args)
    (entry,), = g.entries.values()
    return g, entry.run


def branches(a, b, c):
    return a.tanh(), b.exp() * 2.5, c.sigmoid()


def test_independent_kernels_run_together():
    torch.manual_seed(0)
    args = [torch.randn(96, 96) * 0.1 for _ in range(3)]
    g, run = compiled(branches, *args)
    text = run.text.split("\n")
    begin = next(i for i, line in enumerate(text) if "with together:" in line)
    block = [line for line in text[begin + 1:] if line.startswith(" " * 8)]
    assert len(block) == 3
    for threads in (2, 1, 2):
        torch.set_num_threads(threads)
        for want, got in zip(branches(*args), g(*args), strict=True):
            assert torch.equal(want, got)


def test_large_results_are_made_in_their_turn():
    """Earlier they would be there for longer, and the call would take more memory."""
    _, run = compiled(branches, *[torch.randn(200, 200) for _ in range(3)])
    assert "together" not in run.text


def test_one_thread_keeps_the_order():
    torch.set_num_threads(1)
    _, run = compiled(branches, *[torch.randn(96, 96) for _ in range(3)])
    assert "together" not in run.text


def test_what_needs_each_other_stays_in_order():
    def chain(x):
        for _ in range(6):
            x = torch.softmax(x.tanh() @ x, 0)
        return x
    x = torch.randn(64, 64)
    g, run = compiled(chain, x)
    assert "together" not in run.text
    assert torch.equal(g(x), chain(x))


def test_large_kernels_and_those_that_read_other_numbers_stay_alone():
    _, run = compiled(lambda a, b: (a * 3.7, b.sin()), torch.randn(512, 512), torch.randn(512, 512))
    assert "together" not in run.text
    ints = torch.arange(4096).reshape(64, 64)
    _, run = compiled(lambda a, b: (a * 3, b + 1), ints, ints + 2)
    assert "together" not in run.text


def test_memory_inside_is_not_shared_by_kernels_of_one_time(monkeypatch):
    """Each branch's values die where the others' are made: what runs at the same time must lie apart."""
    monkeypatch.setattr(passes, "GAIN", -math.inf)

    def f(a, b, c):
        found = []
        for x in (a, b, c):
            y = (x - x.mean()).tanh()
            z = (y * x.sum(0)).exp().sum(1, keepdim=True)
            found.append((z * y).sum(0))
        return found
    torch.manual_seed(1)
    args = [torch.randn(48, 48) * 0.2 for _ in range(3)]
    g, run = compiled(f, *args)
    assert run.text.count("with together") > 0
    spans = [(place, place + n, first, last) for _, place, n, first, last in run.map]
    for k, (a, b, s, e) in enumerate(spans):
        for c, d, t, u in spans[:k]:
            assert b <= c or d <= a or e < t or u < s
    want = f(*args)
    for _ in range(300):
        for x, y in zip(want, g(*args), strict=True):
            assert torch.allclose(x, y, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("seed", range(0, 120, 4))
def test_any_grouping_gives_the_same_bits(seed, monkeypatch):
    """Everything that may run together does, however small."""
    monkeypatch.setattr(passes, "LEAST", 0.0)
    monkeypatch.setattr(passes, "GAIN", -math.inf)
    program = build(seed)
    w = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_()
    g = torch.compile(lambda x, y: program(x, y, w))
    for i in range(5):
        torch.manual_seed(seed + i)
        x, y = torch.randn(4, 6), torch.randn(6, 4).t()
        for want, got in zip(flat(program(x, y, w)), flat(g(x, y)), strict=True):
            assert torch.equal(want.nan_to_num(7), got.nan_to_num(7)) and want.stride() == got.stride()


def test_a_training_step_and_its_profile(monkeypatch):
    monkeypatch.setattr(passes, "LEAST", 0.0)
    monkeypatch.setattr(passes, "GAIN", -math.inf)

    def trained(compiled):
        torch.manual_seed(2)
        model = torch.nn.ModuleList(torch.nn.Sequential(torch.nn.Linear(24, 24), torch.nn.Tanh(),
                                                        torch.nn.Linear(24, 3)) for _ in range(4))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

        def step(x):
            optimizer.zero_grad()
            loss = sum(branch(x).square().mean() for branch in model)
            loss.backward()
            optimizer.step()
            return loss
        f = torch.compile(step) if compiled else step
        x = torch.randn(32, 24)
        return f, x, [f(x).item() for _ in range(8)]
    _, _, want = trained(False)
    f, x, got = trained(True)
    (entry,), = f.entries.values()
    assert "with together" in entry.run.text
    assert np.allclose(want, got, rtol=1e-6)
    found = profile(f, x, repeat=3)
    assert len(found.rows) == len(entry.run.marks) and all(r.seconds >= 0 for r in found.rows)
