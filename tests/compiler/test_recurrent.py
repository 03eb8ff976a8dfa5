"""Recurrent layers: kernels against the steps in float64, gradients of both orders, threads, packed sequences."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import available
from rushlight.ops.nn import recurrent, sequences

pytestmark = pytest.mark.skipif(not available(), reason="no compiler here")
CELLS = list(sequences.LAYERS)


def operands(cell, steps, batch, inputs, h, dtype=torch.float64, packed=False, bias=True, seed=0):
    rng = np.random.default_rng(seed)

    def make(*shape, scale=1.0):
        return torch.tensor(rng.standard_normal(shape) * scale, dtype=dtype, requires_grad=True)
    sizes = None
    if packed:
        sizes = [batch, *sorted(rng.integers(1, batch + 1, steps - 1).tolist(), reverse=True)]
    projected = cell == "lstm_projected"
    lstm, out = cell.startswith("lstm"), h // 2 + 1 if projected else h
    q = sequences.GATES["lstm" if lstm else cell] * h
    x = make(sum(sizes), inputs) if packed else make(steps, batch, inputs)
    scale = h ** -0.5
    tensors = [x, make(batch, out), make(batch, h) if lstm else None, make(q, inputs, scale=scale),
               make(q, out, scale=scale), make(q) if bias else None, make(q) if bias else None]
    return tensors + [make(out, h, scale=scale)] * projected, sizes


def by_steps(cell, tensors, sizes, reverse):
    x, h0, c0, *weights = tensors
    states = (h0,) if c0 is None else (h0, c0)
    run = recurrent._padded if sizes is None else lambda s, x, *a: recurrent._packed(s, x, sizes, *a)
    weights = weights if len(weights) == 5 else (*weights, None)
    y, final = run(recurrent.STEPS[cell.removesuffix("_projected")], x, states, weights, reverse)
    return y, *final


def by_layer(cell, tensors, sizes, reverse, kept=True):
    y, h, c, _, _ = sequences.LAYERS[cell](*tensors, sizes, reverse, kept)
    return (y, h) if c is None else (y, h, c)


def gradients(outputs, tensors):
    rng = np.random.default_rng(9)
    weights = [torch.tensor(rng.standard_normal(y.shape), dtype=y.dtype) for y in outputs]
    return torch.autograd.grad(outputs, [t for t in tensors if t is not None], weights)


def values(ts):
    return [t.detach().to(torch.float64).numpy() for t in ts]


# The third and the last join inputs and states in one product.
SIZES = [(1, 1, 1, 1), (4, 5, 3, 7), (3, 17, 20, 33), (6, 2, 8, 64), (2, 9, 1, 1)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_as_step_by_step(cell, packed, reverse):
    for sizes_ in SIZES:
        tensors, sizes = operands(cell, *sizes_, packed=packed)
        wanted, found = by_steps(cell, tensors, sizes, reverse), by_layer(cell, tensors, sizes, reverse)
        assert "LayerBackward" in found[0].grad_fn.name()
        for a, b in zip((*wanted, *gradients(wanted, tensors)), (*found, *gradients(found, tensors))):
            assert a.shape == b.shape
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch", [3, 10])
def test_what_is_not_kept(cell, batch):
    """Without it the results are the same; gradients then come from the steps."""
    tensors, sizes = operands(cell, 4, batch, 5, 37, torch.float32, packed=True)
    wanted, found = by_layer(cell, tensors, sizes, False), by_layer(cell, tensors, sizes, False, False)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found))
    for a, b in zip(gradients(wanted, tensors), gradients(found, tensors)):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype, bound", [(torch.float32, 3e-6), (torch.bfloat16, 0.03)])
def test_short_types(cell, dtype, bound):
    tensors, _ = operands(cell, 5, 6, 9, 20, dtype)
    wide = [None if t is None else t.detach().double().requires_grad_() for t in tensors]
    wanted, found = by_steps(cell, wide, None, False), by_layer(cell, tensors, None, False)
    grads = gradients(wanted, wide), gradients(found, tensors)
    for a, b in zip((*wanted, *grads[0]), (*found, *grads[1])):
        assert b.dtype is dtype
        a, b = values((a, b))
        assert np.abs(a - b).max() <= bound * max(1, np.abs(a).max())


def in_bfloat16(cell, sizes_, packed, reverse):
    """(exact results and gradients, those of bfloat16) from the same numbers."""
    tensors, sizes = operands(cell, *sizes_, torch.bfloat16, packed)
    wide = [None if t is None else t.detach().double().requires_grad_() for t in tensors]
    wanted, found = by_steps(cell, wide, sizes, reverse), by_layer(cell, tensors, sizes, reverse)
    return values((*wanted, *gradients(wanted, wide))), values((*found, *gradients(found, tensors)))


@pytest.mark.parametrize("cell", [c for c in CELLS if c != "lstm_projected"])
@pytest.mark.parametrize("packed, reverse", [(False, False), (False, True), (True, False), (True, True)])
def test_products_of_pairs(cell, packed, reverse):
    """Even sizes, odd numbers of inputs, strips of units in part, many sequences and few."""
    for sizes_ in [(4, 9, 13, 34), (3, 3, 5, 48), (3, 70, 6, 18), (2, 9, 1, 2)]:
        for a, b in zip(*in_bfloat16(cell, sizes_, packed, reverse)):
            # (States and gradients of gates are rounded at each step; at the kink of max(x, 0) a rounding shows.)
            bound = 0.1 if cell == "rnn_relu" else 0.02
            assert np.sqrt(((a - b) ** 2).mean()) <= bound * np.sqrt((a ** 2).mean()) + 0.002


def test_what_a_gru_carries_is_not_rounded():
    """A state that changes by less than its last bit with each step arrives where it should."""
    h, steps = 4, 200
    w_ih, w_hh = torch.zeros(3 * h, 2, dtype=torch.bfloat16), torch.zeros(3 * h, h, dtype=torch.bfloat16)
    b = torch.zeros(3 * h, dtype=torch.bfloat16)
    b[h:2 * h], b[2 * h:] = 6.0, 9.0                                    # z = 0.9975, n = 1
    x, h0 = torch.zeros(steps, 1, 2, dtype=torch.bfloat16), torch.zeros(1, h, dtype=torch.bfloat16)
    y = by_layer("gru", [x, h0, None, w_ih, w_hh, b, torch.zeros_like(b)], None, False)[0]
    z = 1 / (1 + np.exp(-6.0))
    # (Rounded at each step it would stop below 0.4.)
    assert abs(y[-1, 0, 0].item() - (1 - z ** steps)) < 0.003


@pytest.mark.parametrize("cell", CELLS)
def test_without_biases_and_with_some_gradients(cell):
    tensors, _ = operands(cell, 3, 4, 5, 6, bias=False)
    tensors[0], tensors[4] = tensors[0].detach(), tensors[4].detach()
    live = [t for t in tensors if t is not None and t.requires_grad]
    wanted, found = by_steps(cell, tensors, None, False), by_layer(cell, tensors, None, False)
    for a, b in zip(gradients(wanted, live), gradients(found, live)):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("packed, reverse", [(False, False), (True, False), (True, True)])
def test_gradients_of_gradients(cell, packed, reverse):
    if cell == "lstm_projected" and packed != reverse:
        pytest.skip("packed and reversed is enough here")
    tensors, sizes = operands(cell, 2, 2, 2, 2, packed=packed)
    live = [t for t in tensors if t is not None]

    def run(*ts):
        ts = iter(ts)
        return by_layer(cell, [None if t is None else next(ts) for t in tensors], sizes, reverse)
    assert torch.autograd.gradcheck(run, live)
    assert torch.autograd.gradgradcheck(run, live)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch, shared, reverse, dtype", [
    (37, None, False, torch.float32), (5, 1, False, torch.float32), (7, 1, True, torch.float32),
    (37, None, True, torch.bfloat16), (5, 1, False, torch.bfloat16)])
def test_bits_do_not_depend_on_threads(cell, batch, shared, reverse, dtype, monkeypatch):
    if shared:
        monkeypatch.setattr(sequences, "_SHARED", shared)
    tensors, sizes = operands(cell, 5, batch, 16, 100, dtype, packed=True)
    threads, results = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found = by_layer(cell, tensors, sizes, reverse)
            results.append((*found, *gradients(found, tensors)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(kind):
    torch.manual_seed(0)
    cell = getattr(torch.nn, kind)(3, 5, dtype=torch.float64)
    layer = getattr(torch.nn, kind[:-4])(3, 5, dtype=torch.float64)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    # A state of any layout.
    h = torch.randn(5, 4, dtype=torch.float64).t().requires_grad_()
    c = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    state = (h, c) if kind == "LSTMCell" else h
    y, final = layer(x, (h[None], c[None]) if kind == "LSTMCell" else h[None])
    found = cell(x[0], state)
    if kind == "LSTMCell":
        assert torch.allclose(found[1], final[1][0], rtol=1e-12, atol=1e-13)
    assert torch.allclose(found[0] if kind == "LSTMCell" else found, y[0], rtol=1e-12, atol=1e-13)
    leaves = (x[0].detach().requires_grad_(), h, *((c,) if kind == "LSTMCell" else ()), *cell.parameters())

    def run(x, *rest):
        n = 2 if kind == "LSTMCell" else 1
        call = {"LSTMCell": torch.lstm_cell, "GRUCell": torch.gru_cell, "RNNCell": torch.rnn_tanh_cell}[kind]
        return call(x, rest[:2] if n == 2 else rest[0], *rest[n:])
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_a_sequence_does_not_depend_on_its_batch():
    tensors, _ = operands("lstm", 4, 21, 8, 24, torch.float32)
    y = by_layer("lstm", tensors, None, False)[0]
    one = [tensors[0][:, 5:6], tensors[1][5:6], tensors[2][5:6], *tensors[3:]]
    assert torch.allclose(by_layer("lstm", one, None, False)[0], y[:, 5:6], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_stays_in_its_sequence(cell):
    tensors, _ = operands(cell, 4, 3, 5, 6, torch.float32)
    x = tensors[0].detach().clone()
    x[1, 2, 0] = float("nan")
    y = by_layer(cell, [x, *tensors[1:]], None, False)[0]
    assert y[1:, 2].isnan().all() and not y[:, :2].isnan().any() and not y[0].isnan().any()


def test_saturated_gates():
    tensors, _ = operands("lstm", 3, 2, 4, 5, torch.float32)
    x = tensors[0].detach() * 1e6
    for y in by_layer("lstm", [x, *tensors[1:]], None, False):
        assert y.isfinite().all()


def test_changed_weights_are_noticed():
    layer = torch.nn.LSTM(3, 4)
    y, _ = layer(torch.randn(2, 1, 3))
    with torch.no_grad():
        layer.weight_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.sum().backward()


def test_empty_sequences_raise():
    with pytest.raises(RuntimeError, match="larger than 0"):
        torch.nn.GRU(3, 4)(torch.zeros(0, 2, 3))


def test_meta():
    y, (h, c) = torch.nn.LSTM(3, 4, 2, bidirectional=True, device="meta")(torch.empty(5, 2, 3, device="meta"))
    assert y.shape == (5, 2, 8) and h.shape == c.shape == (4, 2, 4)
