"""Tensors that a call keeps for the next one in tuples, as the states of recurrent layers."""

import pytest

pytest.importorskip("llvmlite")
import rushlight as torch
from rushlight import nn


def trained(compiled, reset=None, detach=True):
    """Losses of truncated backpropagation through time, the last state, and the compiled function."""
    torch.manual_seed(0)
    layer, head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 5)
    optimizer = torch.optim.SGD([*layer.parameters(), *head.parameters()], 0.1)
    kept = {"state": None}

    def step(x, y):
        state = kept["state"]
        if state is not None and detach:
            state = tuple(s.detach() for s in state)
        out, kept["state"] = layer(x, state)
        loss = nn.functional.mse_loss(head(out), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    f = torch.compile(step) if compiled else step
    losses = []
    for i in range(14):
        if reset is not None and i % reset == 0:
            kept["state"] = None
        losses.append(f(torch.randn(3, 4, 5), torch.randn(3, 4, 5)).item())
    return losses, [s.detach().clone() for s in kept["state"]], f


@pytest.mark.parametrize("reset", [None, 4])
def test_state_of_a_recurrent_layer(reset):
    want, states, _ = trained(False, reset)
    got, found, f = trained(True, reset)
    assert got == pytest.approx(want, rel=1e-6)
    for a, b in zip(states, found, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7)
    entries = [e for many in f.entries.values() for e in many]
    assert 1 <= len(entries) <= 3 and not f.refusals
    assert any(how == "part" for e in entries for _, _, how, _ in e.live)


def test_tuples_of_other_lengths_have_programs_of_their_own():
    kept = {"pair": (torch.zeros(3), torch.ones(3))}

    @torch.compile
    def f(x):
        kept["pair"] = tuple(s * 0.5 + x for s in kept["pair"])
        return sum(kept["pair"])
    plain = f._orig_mod if hasattr(f, "_orig_mod") else f.function
    for length in (2, 3, 2):
        start = tuple(torch.full((3,), float(k)) for k in range(length))
        kept["pair"] = start
        got = [f(torch.full((3,), float(i))) for i in range(5)]
        last = kept["pair"]
        kept["pair"] = start
        want = [plain(torch.full((3,), float(i))) for i in range(5)]
        assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
        assert len(last) == length and all(torch.equal(a, b) for a, b in zip(kept["pair"], last, strict=True))


def test_one_tensor_twice_in_a_tuple_is_seen():
    kept = {"pair": (torch.zeros(2), torch.zeros(2))}

    @torch.compile
    def f(x):
        a, b = kept["pair"]
        kept["pair"] = (a + x, b + 2 * x)
        return a + b
    for _ in range(6):
        f(torch.ones(2))
    same = torch.ones(2)
    kept["pair"] = (same, same)
    assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))
    assert torch.equal(kept["pair"][0], torch.full((2,), 2.0)) and torch.equal(kept["pair"][1], torch.full((2,), 3.0))
