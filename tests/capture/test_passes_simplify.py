"""Programs leave out what is constant, what was computed before and what nobody reads, and nothing else."""

import pytest

import rushlight as torch

F = torch.nn.functional


def kernels(f, *args):
    """(labels of the program's kernels, with repetitions; results) after a few calls, whose results are eager's."""
    g = torch.compile(f)
    for _ in range(4):
        torch.manual_seed(3)
        found = g(*args)
    torch.manual_seed(3)
    wanted = f(*args)
    for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, wanted)], strict=True):
        assert torch.equal(a, b)
    line = str(torch.compiler.explain(g, *args)).splitlines()[1]
    names = []
    for part in line.split(", "):
        n, _, label = part.partition(" ")
        names += [label] * int(n)
    return names, found


X = torch.randn(6, 6)


def test_masks_are_made_once():
    def f(x):
        mask = torch.tril(torch.ones(6, 6)) == 0
        return x.masked_fill(mask, -1.0) + torch.arange(6)
    names, _ = kernels(f, X)
    assert not any("tril" in n or "eq" in n for n in names)


def test_what_was_computed_is_not_computed_again():
    names, _ = kernels(lambda x: x.softmax(-1) @ x + x.softmax(-1), X)
    assert names.count("_softmax") == 1
    names, _ = kernels(lambda x: x.softmax(-1) + x.softmax(0), X)
    assert sum("_softmax" in n for n in names) == 2


def test_not_where_memory_changed_between():
    def f(x):
        y = x * 2
        a = y.softmax(-1)
        y.add_(x)
        return a + y.softmax(-1)
    names, _ = kernels(f, X)
    assert sum("_softmax" in n for n in names) == 2


def test_arguments_that_change():
    def f(x):
        a = x.softmax(-1)
        x.mul_(1.5)
        return a + x.softmax(-1)
    g, x, y = torch.compile(f), X.clone(), X.clone()
    for _ in range(5):
        assert torch.equal(g(x), f(y)) and torch.equal(x, y)


def test_results_have_memory_of_their_own():
    _, (a, b) = kernels(lambda x: (x.softmax(-1), x.softmax(-1)), X)
    assert a.data_ptr() != b.data_ptr()
    _, c = kernels(lambda x: torch.tril(torch.ones(6, 6)), X)
    c.zero_()
    _, d = kernels(lambda x: torch.tril(torch.ones(6, 6)), X)
    assert d.sum() == 21


@pytest.mark.parametrize("draw", [
    lambda p: torch.bernoulli(p), lambda p: torch.poisson(p * 9), lambda p: torch.multinomial(p, 3).float(),
    lambda p: torch.normal(p, 1.0), lambda p: F.dropout(p, 0.5), lambda p: torch.rand_like(p),
    lambda p: F.rrelu(p - 0.5, training=True), lambda p: torch.binomial(p * 0 + 4, p), lambda p: F.gumbel_softmax(p),
    lambda p: torch.randperm(6).float(), lambda p: torch._standard_gamma(p + 1),
    lambda p: torch.feature_dropout(p, 0.5, True),
], ids=range(12))
def test_random_numbers_are_drawn_each_time(draw):
    def f(x):
        p = torch.full((6, 6), 0.5)
        return draw(p), draw(p) + x[0, 0] * 0, draw(x.abs().clamp(0, 1)), draw(x.abs().clamp(0, 1))
    g = torch.compile(f)
    torch.manual_seed(1)
    found = [g(X) for _ in range(5)]
    torch.manual_seed(1)
    for results in found:
        for a, b in zip(results, f(X), strict=True):
            assert torch.equal(a, b)


def test_unread_results():
    names, _ = kernels(lambda x: ((x @ x).exp(), x + 1)[1], X)
    assert len(names) == 1


def test_refusals_stay():
    index = torch.tensor([0, 7])

    def f(x, i):
        x[:, 0] // torch.tensor(2)
        torch.index_select(x, 0, i)
        return x + 1
    g = torch.compile(f)
    for _ in range(4):
        g(X, torch.tensor([0, 1]))
    with pytest.raises(IndexError):
        g(X, index)


def test_gradients():
    w = torch.randn(6, 6, requires_grad=True)

    def f(x):
        mask = torch.ones(6, 6).triu(1).bool()
        h = x @ w
        loss = (h.relu().masked_fill(mask, 0.0) + h.relu() * h.softmax(-1) + h.softmax(-1)).sum()
        loss.backward()
        g, w.grad = w.grad, None
        return loss, g
    names, _ = kernels(f, X)
    assert sum("_softmax" in n and "backward" not in n for n in names) == 1
