"""Recurrent layers and cells."""

import numpy as np

from ..errors import UnsupportedOperatorError
from . import maps


def _gates(b, w, order):
    """The name of stacked gate weights in ONNX's order, with a dimension for the direction."""
    n = b.known(w.shape[0], "the size of the gates") // len(order)
    if order == list(range(len(order))):
        return b.unsqueeze(w, [0])
    parts = b.split(w, [n] * len(order), 0)
    return b.unsqueeze(b.op("Concat", *[parts[k] for k in order], axis=0), [0])


def _bias(b, w, biases, order):
    """The name of both biases in ONNX's layout."""
    if biases[0] is None and biases[1] is None:
        return None
    n = b.known(w.shape[0], "the size of the gates")
    zero = None
    names = []
    for x in biases:
        if x is None:
            zero = zero or b.unsqueeze(b.const(np.zeros(n, w.dtype.np)), [0])
        names.append(zero if x is None else _gates(b, x, order))
    return b.op("Concat", *names, axis=1)


# What stands where: our gates are i f g o and r z n, ONNX's i o f c and z r h.
_ORDERS = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}


@maps("_lstm_layer", "_gru_layer", "_rnn_tanh_layer", "_rnn_relu_layer")
def _layer(b, x, h0, c0, w_ih, w_hh, b_ih, b_hh, sizes, reverse, kept):
    if sizes is not None:
        raise UnsupportedOperatorError(f"{b.key}: packed sequences; export the layer on padded sequences")
    kind = "LSTM" if "lstm" in b.key else "GRU" if "gru" in b.key else "RNN"
    order = _ORDERS[kind]
    hidden = b.known(w_hh.shape[1], "the size of the hidden state")
    facts = {"hidden_size": hidden, "direction": "reverse" if reverse else "forward"}
    if kind == "GRU":
        facts["linear_before_reset"] = 1
    if b.key == "_rnn_relu_layer":
        facts["activations"] = ["Relu"]
    states = [b.unsqueeze(h0, [0]), *([b.unsqueeze(c0, [0])] if kind == "LSTM" else [])]
    outs = b.op(kind, x, _gates(b, w_ih, order), _gates(b, w_hh, order), _bias(b, w_ih, (b_ih, b_hh), order), None,
                *states, outputs=3 if kind == "LSTM" else 2, **facts)
    y, *last = outs
    found = [b.squeeze(y, [1]), *[b.squeeze(z, [0]) for z in last]]
    return (*found, *[None] * (5 - len(found)))


@maps("_thnn_fused_lstm_cell")
def _lstm_cell(b, gx, gh, c):
    n = b.known(gx.shape[-1], "the size of the gates") // 4
    i, f, g, o = b.split(b.op("Add", gx, gh), [n] * 4, gx.rank - 1)
    cell = b.op("Add", b.op("Mul", b.op("Sigmoid", f), c), b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", g)))
    return b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", cell)), cell


@maps("_thnn_fused_gru_cell")
def _gru_cell(b, gx, gh, h):
    n = b.known(gx.shape[-1], "the size of the gates") // 3
    rx, zx, nx = b.split(gx, [n] * 3, gx.rank - 1)
    rh, zh, nh = b.split(gh, [n] * 3, gh.rank - 1)
    r, z = b.op("Sigmoid", b.op("Add", rx, rh)), b.op("Sigmoid", b.op("Add", zx, zh))
    new = b.op("Tanh", b.op("Add", nx, b.op("Mul", r, nh)))
    return b.op("Add", b.op("Mul", b.op("Sub", h, new), z), new)
