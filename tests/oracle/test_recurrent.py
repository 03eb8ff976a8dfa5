"""Recurrent layers against PyTorch: outputs, states and gradients; layers, directions, packing, dropout."""

from itertools import product

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

BOUNDS = {"float32": 2e-5, "float64": 1e-12}


def run(F, kind, options, x, lengths, states, dtype):
    dtype = getattr(F, dtype)
    F.manual_seed(0)
    layer = getattr(F.nn, kind)(**options).to(dtype)
    x = F.tensor(x).to(dtype).requires_grad_()
    given, first = x, options.get("batch_first", False)
    if lengths is not None:
        given = F.nn.utils.rnn.pack_padded_sequence(x, F.tensor(lengths), batch_first=first, enforce_sorted=False)
    states = None if states is None else [F.tensor(s).to(dtype).requires_grad_() for s in states]
    F.manual_seed(7)
    y, h = layer(given, None if states is None else tuple(states) if kind == "LSTM" else states[0])
    if lengths is not None:
        y, _ = F.nn.utils.rnn.pad_packed_sequence(y, batch_first=first)
    h = list(h) if kind == "LSTM" else [h]
    loss = y.sin().sum() + sum((k + 2) * s.cos().sum() for k, s in enumerate(h))
    leaves = [x, *layer.parameters(), *(states or [])]
    found = [y, *h, *F.autograd.grad(loss, leaves)]
    return [y.stride(), h[0].stride()], [t.detach().double().numpy() for t in found]


def check(kind, options, packed=False, states=False, dtype="float32"):
    rng = np.random.default_rng(0)
    options = {"input_size": 4, "hidden_size": 6, **options}
    b, s = 3, 5
    x = rng.standard_normal((b, s, 4) if options.get("batch_first") else (s, b, 4)).astype("f")
    n = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    given = None
    if states:
        given = [rng.standard_normal((n, b, options.get("proj_size") or 6)).astype("f")]
        if kind == "LSTM":
            given.append(rng.standard_normal((n, b, 6)).astype("f"))
    arguments = kind, options, x, [5, 2, 4] if packed else None, given, dtype
    (strides, ours), (theirs, wanted) = run(rushlight, *arguments), run(torch, *arguments)
    assert strides == theirs
    for a, c in zip(ours, wanted):
        assert np.abs(a - c).max() <= BOUNDS[dtype] * max(1, np.abs(c).max())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("packed", [False, True])
def test_as_pytorch(kind, packed):
    for layers, both, first, bias in product((1, 2), (False, True), (False, True), (False, True)):
        check(kind, {"num_layers": layers, "bidirectional": both, "batch_first": first, "bias": bias}, packed, first)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_dropout_and_double_precision(kind):
    check(kind, {"num_layers": 3, "dropout": 0.4})
    check(kind, {"num_layers": 2, "bidirectional": True}, True, True, "float64")


def test_relu():
    check("RNN", {"nonlinearity": "relu", "num_layers": 2}, True, True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("packed", [False, True])
def test_projections(packed, dtype):
    for layers, both, first in product((1, 3), (False, True), (False, True)):
        check("LSTM", {"proj_size": 3, "num_layers": layers, "bidirectional": both, "batch_first": first,
                       "bias": not both or first, "dropout": 0.3 if layers > 1 else 0}, packed, first, dtype)


def in_bfloat16(F, kind, autocast, dtype):
    """Outputs, states and gradients of bfloat16 numbers."""
    rng = np.random.default_rng(3)

    def make(*shape, scale=1.0):
        x = F.tensor((rng.standard_normal(shape) * scale).astype("f")).bfloat16().float()
        return x.to(getattr(F, dtype)).requires_grad_()
    layer = getattr(F.nn, kind)(13, 48, 2, bidirectional=True).to(getattr(F, dtype))
    with F.no_grad():
        for p in layer.parameters():
            p.copy_(make(*p.shape, scale=48 ** -0.5))
    x, states = make(7, 19, 13), [make(4, 19, 48) for _ in range(2 if kind == "LSTM" else 1)]
    with F.autocast("cpu", F.bfloat16, enabled=autocast):
        y, h = layer(x, tuple(states) if kind == "LSTM" else states[0])
    out = [y, *(h if kind == "LSTM" else [h])]
    weights = [make(*t.shape).detach() for t in out]
    loss = sum((t * w).double().sum() for t, w in zip(out, weights))
    return [t.dtype for t in out], [t.detach().double().numpy() for t in (*out, *F.autograd.grad(
        loss, [x, *layer.parameters(), *states]))]


@pytest.mark.parametrize("kind, autocast", [("LSTM", False), ("GRU", False), ("RNN", False), ("LSTM", True),
                                            ("RNN", True)])
def test_errors_of_bfloat16(kind, autocast):
    """Not larger than PyTorch's, with autocast of float32 layers as well."""
    dtype = "float32" if autocast else "bfloat16"
    (ours_types, ours), (theirs_types, theirs) = (in_bfloat16(F, kind, autocast, dtype) for F in (rushlight, torch))
    _, exact = in_bfloat16(torch, kind, False, "float64")
    assert [str(d).split(".")[1] for d in ours_types] == [str(d).split(".")[1] for d in theirs_types]
    for x, a, b in zip(exact, ours, theirs):
        error, allowed = (np.sqrt(((y - x) ** 2).mean()) for y in (a, b))
        assert error <= 1.1 * allowed + 1e-6


@pytest.mark.parametrize("kind, more", [("LSTM", {}), ("LSTM", {"proj_size": 20}), ("GRU", {}), ("RNN", {})])
def test_larger_batches(kind, more):
    options = {"input_size": 21, "hidden_size": 40, "num_layers": 2, "bidirectional": True, **more}
    x = np.random.default_rng(1).standard_normal((6, 12, 21)).astype("f")
    lengths = [6, 2, 4, 1, 6, 3, 3, 5, 2, 1, 6, 4]
    for given in (None, lengths):
        (_, ours), (_, wanted) = (run(F, kind, options, x, given, None, "float32") for F in (rushlight, torch))
        for a, c in zip(ours, wanted):
            assert np.abs(a - c).max() <= 2e-5 * max(1, np.abs(c).max())
