"""Recurrent layers: RNN, LSTM (also with projections) and GRU over padded or packed sequences.

Equations as documented for torch.nn: gates in the order i, f, g, o (LSTM) and r, z, n (GRU).
Hochreiter & Schmidhuber 1997; Cho et al. arXiv:1406.1078.
"""

from ...autograd.modes import state as modes
from ..registry import FUNCTIONS, function, public
from .cells import fused, gru_gates, gru_plain, lstm_gates, lstm_plain
from .sequences import LAYERS, compiled


def _linear(x, w, b):
    return function("linear", "torch.nn.functional")(x, w, b)


def _lstm_step(gx, state, w_hh, b_hh, w_hr):
    h, c = state
    gh = _linear(h, w_hh, b_hh)
    h, c = (lstm_gates if fused(gx, gh, c) else lstm_plain)(gx, gh, c)
    if w_hr is not None:
        h = _linear(h, w_hr, None)
    return h, c


def _gru_step(gx, state, w_hh, b_hh, w_hr):
    h, = state
    gh = _linear(h, w_hh, b_hh)
    return ((gru_gates if fused(gx, gh, h) else gru_plain)(gx, gh, h),)


def _tanh_step(gx, state, w_hh, b_hh, w_hr):
    return ((gx + _linear(state[0], w_hh, b_hh)).tanh(),)


def _relu_step(gx, state, w_hh, b_hh, w_hr):
    return ((gx + _linear(state[0], w_hh, b_hh)).relu(),)


STEPS = {"lstm": _lstm_step, "gru": _gru_step, "rnn_tanh": _tanh_step, "rnn_relu": _relu_step}


def _padded(step, x, state, weights, reverse):
    """One direction over (t, n, i): (outputs (t, n, h), final state)."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    gates = _linear(x, w_ih, b_ih).unbind(0)
    out = []
    for gx in reversed(gates) if reverse else gates:
        state = step(gx, state, w_hh, b_hh, w_hr)
        out.append(state[0])
    if reverse:
        out.reverse()
    return function("stack")(out), state


def _packed(step, data, sizes, state, weights, reverse):
    """One direction over packed rows: (packed outputs, final state)."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    cat = function("cat")
    gates = _linear(data, w_ih, b_ih).split(sizes)
    out = []
    if reverse:
        full = state
        state = tuple(s[:sizes[-1]] for s in full)
        for t in range(len(sizes) - 1, -1, -1):
            n = state[0].shape[0]
            if sizes[t] > n:
                state = tuple(cat([s, f[n:sizes[t]]]) for s, f in zip(state, full))
            state = step(gates[t], state, w_hh, b_hh, w_hr)
            out.append(state[0])
        out.reverse()
        return cat(out), state
    finished = []
    for gx, n in zip(gates, sizes):
        if n < state[0].shape[0]:
            finished.append(tuple(s[n:] for s in state))
            state = tuple(s[:n] for s in state)
        state = step(gx, state, w_hh, b_hh, w_hr)
        out.append(state[0])
    finished.append(state)
    finished.reverse()
    return cat(out), tuple(cat(parts) for parts in zip(*finished))


def _layer(cell, x, sizes, state, weights, reverse):
    """One direction: (outputs, final state); by kernels where they apply."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    c0 = state[1] if cell == "lstm" else None
    tensors = (x, state[0], c0, w_ih, w_hh, b_ih, b_hh, *(() if w_hr is None else (w_hr,)))
    if compiled(tensors):
        kept = modes.grad and any(t is not None and t.requires_grad for t in tensors)
        y, h, c, _, _ = LAYERS[cell if w_hr is None else "lstm_projected"](*tensors, sizes, reverse, kept)
        return y, (h,) if c0 is None else (h, c)
    if sizes is None:
        return _padded(STEPS[cell], x, state, weights, reverse)
    return _packed(STEPS[cell], x, sizes, state, weights, reverse)


def _run(cell, input, batch_sizes, states, flat, has_biases, layers, dropout, train, bidirectional,
         projected):
    per = 2 + 2 * bool(has_biases) + bool(projected)
    directions = 2 if bidirectional else 1
    cat, stack = function("cat"), function("stack")
    drop = function("dropout", "torch.nn.functional")
    finals = []
    x = input
    for layer in range(layers):
        outs = []
        for d in range(directions):
            k = layer * directions + d
            w = list(flat[k * per:(k + 1) * per])
            w_hr = w.pop() if projected else None
            w_ih, w_hh, b_ih, b_hh = w if has_biases else (*w, None, None)
            state = tuple(s[k] for s in states)
            weights = (w_ih, w_hh, b_ih, b_hh, w_hr)
            y, final = _layer(cell, x, batch_sizes, state, weights, d == 1)
            outs.append(y)
            finals.append(final)
        x = outs[0] if directions == 1 else cat(outs, -1)
        if dropout and train and layer < layers - 1:
            x = drop(x, dropout, True)
    return x, tuple(stack(parts) for parts in zip(*finals))


def _packed_aware(multi, name):
    """Tell the overloads apart as their types do: hx of an LSTM is a list, of the others a tensor."""
    def rnn(*args):
        batch_first, sizes = False, None
        if isinstance(args[1 if multi else 2], (tuple, list)):
            input, hx, flat, has_biases, layers, dropout, train, bidirectional, batch_first = args
        else:
            input, sizes, hx, flat, has_biases, layers, dropout, train, bidirectional = args
            sizes = sizes.tolist()
        if input.dim() != (3 if sizes is None else 2):
            raise RuntimeError(f"{name}: input must have {3 if sizes is None else 2} dimensions, got "
                               f"{input.dim()}")
        if not input.shape[0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        states = tuple(hx) if multi else (hx,)
        projected = multi and states[0].shape[-1] != states[1].shape[-1]
        x = input.transpose(0, 1) if batch_first else input
        y, finals = _run(name, x, sizes, states, flat, has_biases, layers, dropout, train, bidirectional,
                         projected)
        return (y.transpose(0, 1) if batch_first else y, *finals)
    rnn.__name__ = rnn.__qualname__ = name
    rnn.__doc__ = f"{name} over padded (input, hx, ...) or packed (data, batch_sizes, hx, ...) input."
    FUNCTIONS.setdefault("torch", {})[name] = rnn
    FUNCTIONS.setdefault("torch._VF", {})[name] = rnn
    return rnn


_packed_aware(True, "lstm")
_packed_aware(False, "gru")
_packed_aware(False, "rnn_tanh")
_packed_aware(False, "rnn_relu")


def _cell(step, name):
    def cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
        return step(_linear(input, w_ih, b_ih), (hx,), w_hh, b_hh, None)[0]
    cell.__name__ = cell.__qualname__ = name
    cell.__doc__ = f"One step of {name[:-5]}: input (n, i), hx (n, h) -> (n, h)."
    public(namespaces=("torch", "torch._VF"), method=False)(cell)


_cell(_gru_step, "gru_cell")
_cell(_tanh_step, "rnn_tanh_cell")
_cell(_relu_step, "rnn_relu_cell")


@public(namespaces=("torch", "torch._VF"), method=False)
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM: input (n, i), hx = (h, c) each (n, h) -> (h, c)."""
    return _lstm_step(_linear(input, w_ih, b_ih), tuple(hx), w_hh, b_hh, None)
