"""Compiled functions whose inputs have many sizes: the answers of eager calls, programs for what comes back, bounds."""

import pytest

import rushlight as torch
from rushlight.capture import sizes

NN = torch.nn


class Tagger(NN.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm = NN.Embedding(20, 16), NN.LayerNorm(16)
        self.mix, self.out = NN.Linear(16, 48), NN.Linear(16, 5)

    def forward(self, x):
        b, t = x.shape
        h = self.norm(self.embed(x))
        q, k, v = self.mix(h).view(b, t, 3, 2, 8).permute(2, 0, 3, 1, 4)
        h = h + NN.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, 16)
        if t > 9:                               # (Python may look at sizes)
            h = h * (1 / t)
        return self.out(h)


def training(seed=0):
    torch.manual_seed(seed)
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def step(x, y):
        optimizer.zero_grad()
        loss = NN.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()
    return step, model


def batch(b, t):
    g = torch.Generator().manual_seed(100 * b + t)
    return torch.randint(0, 20, (b, t), generator=g), torch.randint(0, 5, (b, t), generator=g)


@pytest.mark.parametrize("dynamic", [None, False])
def test_bits_of_eager_steps(dynamic):
    eager, model = training()
    step, other = training()
    step = torch.compile(step, dynamic=dynamic)
    order = [(4, t) for t in range(5, 13)] + [(2, 7), (3, 12), (1, 1), (4, 1), (1, 6)]
    for b, t in order * 2:
        assert step(*batch(b, t)) == eager(*batch(b, t))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    tapes = [e.tape for found in step.entries.values() for e in found]
    assert all(s.kind != "write" for tape in tapes for s in tape.steps)         # (gradients aren't copied)
    assert not step.refusals and (dynamic is None or len(step.entries) == len(order))


def test_bits_of_results_and_gradients():
    torch.manual_seed(1)
    net = NN.Sequential(NN.Conv2d(2, 4, 3, padding=1), NN.BatchNorm2d(4), NN.ReLU(), NN.AdaptiveAvgPool2d(2),
                        NN.Flatten(), NN.Linear(16, 3))

    def f(x):
        return net(x)
    g = torch.compile(f, dynamic=False)
    for n, size in [(2, 8), (3, 8), (4, 8), (5, 10), (2, 10), (3, 7), (3, 8), (5, 10), (2, 10), (3, 7)]:
        x = torch.randn(n, 2, size, size)
        state = {k: v.clone() for k, v in net.state_dict().items()}
        found = []
        for call in (f, g):
            net.load_state_dict(state)
            net.zero_grad()
            y = call(x)
            y.square().sum().backward()
            found.append((y, *[p.grad for p in net.parameters()]))
        for a, b in zip(*found, strict=True):
            assert torch.allclose(a, b, atol=1e-5)
        assert torch.equal(found[0][0], found[1][0])
    assert len(g.entries) == 5                  # (all but the first, which was watched)


def clocked(monkeypatch, eager, compiled, capture):
    """A `Sizes` with durations in place of those that calls take."""
    monkeypatch.setattr(sizes, "form", lambda key: key[0])
    monkeypatch.setattr(sizes, "FREE", 2)
    known = sizes.Sizes()
    entries = {}

    def call(n):
        key = "form", n
        if key in entries:
            known.of(key).ran(compiled)
            return "program"
        if known.waits(key, entries):
            size = known.of(key)
            size.eager = eager
            return "eager"
        known.captured(key, capture)
        entries[key] = []
        while len(entries) > sizes.MOST:
            del entries[known.rarest(entries)]
        return "captured"
    return call, entries, known


def test_first_sizes_are_captured_at_once(monkeypatch):
    call, _, _ = clocked(monkeypatch, 1.0, 0.5, 5.0)
    assert [call(n) for n in (1, 2, 1, 2)] == ["captured", "captured", "program", "program"]


def test_sizes_that_come_back_are_captured_once_that_pays(monkeypatch):
    call, _, _ = clocked(monkeypatch, 1.0, 0.5, 5.0)
    call(1), call(2)
    # Capturing takes 4 more than an eager call, each call of a program 0.5 less.
    assert [call(3) for _ in range(9)] == ["eager"] * 7 + ["captured", "program"]


def test_sizes_come_as_often_as_others(monkeypatch):
    call, _, _ = clocked(monkeypatch, 1.0, 0.5, 5.0)
    for _ in range(50):
        call(1), call(2)
    assert [call(3) for _ in range(3)] == ["eager", "captured", "program"]


def test_programs_that_save_nothing_are_not_made(monkeypatch):
    call, entries, known = clocked(monkeypatch, 1.0, 1.0, 5.0)
    call(1), call(2)
    assert "captured" in [call(3) for _ in range(9)]
    for _ in range(5):
        call(3)                                 # (now it is known)
    assert {call(n) for n in range(4, 10) for _ in range(100)} == {"eager"} and len(entries) == 3


def test_rare_sizes_make_room(monkeypatch):
    monkeypatch.setattr(sizes, "MOST", 4)
    monkeypatch.setattr(sizes, "OLD", 400)
    call, entries, known = clocked(monkeypatch, 1.0, 0.1, 5.0)
    for _ in range(10):
        for n in range(12):
            call(n)
    # As many come as often: no program makes room for another one, which would have to make room again.
    kept = sorted(n for _, n in entries)
    assert len(kept) == 4
    made = len([1 for _ in range(10) for n in range(12) if call(n) == "captured"])
    assert made <= 2
    # Sizes that came long ago do.
    for _ in range(60):
        for n in range(20, 24):
            call(n)
    assert sorted(n for _, n in entries) == [20, 21, 22, 23]
    assert len(known.known) <= 24


def test_many_sizes(monkeypatch):
    """Never more programs than there is room for; dynamic=False captures what comes more often at once."""
    monkeypatch.setattr(sizes, "MOST", 5)
    monkeypatch.setattr("rushlight.capture.compiled.MOST", 5)
    f = torch.compile(lambda x: x * 2 + 1, dynamic=False)
    for n in range(1, 31):
        for _ in range(n):
            assert f(torch.ones(n)).tolist() == [3] * n
        assert len(f.entries) <= 5 and len(f.quick) <= 8
    assert not f.refusals and {k[3][2] for k in f.entries} >= {(29,), (30,)}
    calls = [e.call for found in f.entries.values() for e in found]
    assert all(call in calls for call in f.quick)
