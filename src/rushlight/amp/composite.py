"""Ops that PyTorch composes of others, which are what autocast sees: some parts run in 16 bits, others don't.

`MAKERS` says by name how each is wrapped.
"""

import functools

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.runtime import cpu

from . import casting


def _on(maker):
    """A maker: the wrapped function is `maker`'s while autocast is on, and the plain one otherwise."""
    def make(fn):
        mixed = maker(fn)

        @functools.wraps(fn)
        def call(*args, **kwargs):
            if state.autocast is None or kwargs.get("out") is not None:
                return fn(*args, **kwargs)
            return mixed(*args, **kwargs)
        return call
    return make


def _cross_entropy(fn):
    def mixed(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
              label_smoothing=0.0):
        if target.is_floating_point():
            target = casting.to_wider(target)
        return fn(casting.to_wider(input), target, weight, size_average, ignore_index, reduce, reduction,
                  label_smoothing)
    return mixed


def _einsum(fn):
    in_16_bits = casting.lower(fn)

    def mixed(*args):
        return (in_16_bits if contracts(*args) else fn)(*args)
    return mixed


def contracts(equation, *operands):
    """Whether an einsum has a product that sums over a label of both its operands."""
    if not isinstance(equation, str):
        lists = (equation, *operands)
        inputs = [list(x) for x in lists[1::2]]
        last = list(lists[-1]) if len(lists) % 2 else None
        if last is None:
            seen = [x for labels in inputs for x in set(labels)]
            last = [x for x in seen if seen.count(x) == 1]
    else:
        left, arrow, right = equation.replace(" ", "").partition("->")
        inputs = [list(x.replace("...", "")) for x in left.split(",")]
        every = [x for labels in inputs for x in labels]
        last = list(right) if arrow else [x for x in every if every.count(x) == 1]
    counts = {}
    for labels in inputs:
        for x in set(labels):
            counts[x] = counts.get(x, 0) + 1
    return len(inputs) > 1 and any(n > 1 and x not in last for x, n in counts.items())


def _inner(fn):
    in_16_bits = casting.lower(fn)

    def mixed(input, other):
        return (fn if input.dim() == other.dim() == 1 else in_16_bits)(input, other)
    return mixed


def _pad(fn):
    in_float32 = casting.wider(fn)

    def mixed(input, pad, mode="constant", value=None):
        wide = mode == "replicate" or mode == "reflect" and len(pad) < 6
        return (in_float32 if wide else fn)(input, pad, mode, value)
    return mixed


def _cells(x, hidden, w_ih, w_hh, b_ih, b_hh):
    """What the gates of a step get from the input and from the hidden state, by products in 16 bits."""
    linear = torch.nn.functional.linear
    return linear(x, w_ih, b_ih), linear(hidden, w_hh, b_hh)


def lstm_step(x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM whose cell state keeps its type: (h, c)."""
    h, c = hx
    a, b = _cells(x, h, w_ih, w_hh, b_ih, b_hh)
    i, f, g, o = (a + b).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(x, h, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a GRU whose hidden state keeps its type."""
    a, b = _cells(x, h, w_ih, w_hh, b_ih, b_hh)
    (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
    r, z = (ar + br).sigmoid(), (az + bz).sigmoid()
    n = (an + r * bn).tanh()
    return n + z * (h - n)


def _lstm(fn):
    in_16_bits = casting.lower(fn)

    def mixed(input, *args):
        packed = not isinstance(args[0], (list, tuple))
        h0, c0 = args[packed]
        projected = h0.shape[-1] != c0.shape[-1]
        if state.autocast is torch.float16 and input.dtype is torch.float32 and not (packed or projected) \
                and not cpu.has("avx512fp16"):
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive: "
                               "this CPU has no arithmetic of float16")
        y, h, c = in_16_bits(input, *args)
        # Packed sequences and projections go step by step there, with cells of the type that they begin with.
        if packed and not projected:
            y, h = y.to(c0.dtype), h.to(c0.dtype)
        return y, h, c.to(c0.dtype) if packed or projected else c
    return mixed


def _pinv(fn):
    return lambda A, *args, **kwargs: casting.to_lower(fn(A, *args, **kwargs), state.autocast)


def _gru(fn):
    def mixed(*args):
        if isinstance(args[3], (list, tuple)):
            return _packed(*args)
        return _layers(*args)
    return mixed


def _layers(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """A GRU over (time, batch, features), or (batch, time, features) with batch_first."""
    x = input.transpose(0, 1) if batch_first else input
    each, ways = 4 if has_biases else 2, 2 if bidirectional else 1
    last = []
    for layer in range(num_layers):
        outputs = []
        for way in range(ways):
            k = layer * ways + way
            weights, h, steps = params[k * each:(k + 1) * each], hx[k], [None] * x.shape[0]
            for t in range(x.shape[0]) if not way else reversed(range(x.shape[0])):
                steps[t] = h = gru_step(x[t], h, *weights)
            outputs.append(torch.stack(steps))
            last.append(h)
        x = outputs[0] if ways == 1 else torch.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            x = torch.nn.functional.dropout(x, dropout, True)
    return x.transpose(0, 1) if batch_first else x, torch.stack(last)


def _packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    """A GRU over packed sequences: each alone, then packed again."""
    sizes = batch_sizes.tolist()
    lengths = [sum(n > k for n in sizes) for k in range(sizes[0])]
    starts = [sum(sizes[:t]) for t in range(len(sizes))]
    found = []
    for k, length in enumerate(lengths):
        rows = torch.tensor([starts[t] + k for t in range(length)])
        found.append(_layers(data[rows].unsqueeze(1), hx[:, k:k + 1], params, has_biases, num_layers, dropout, train,
                             bidirectional, False))
    out = torch.cat([found[k][0][t] for t, n in enumerate(sizes) for k in range(n)])
    return out, torch.cat([h for _, h in found], 1)


MAKERS = {"cross_entropy": _on(_cross_entropy), "einsum": _on(_einsum), "inner": _on(_inner), "pad": _on(_pad),
          "gru": _on(_gru), "lstm": _on(_lstm), "pinv": _on(_pinv),
          "lstm_cell": _on(lambda fn: lstm_step), "gru_cell": _on(lambda fn: gru_step)}
