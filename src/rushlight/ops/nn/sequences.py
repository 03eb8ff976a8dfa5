"""One recurrent layer in one direction over whole sequences, as records with kernels of their own.

The products with inputs, for all steps at once, and those for the weights' gradients are large matrix products; what
goes from step to step is ``compiler.templates.recurrent``. Gradients of gradients take the steps one by one, as
``recurrent`` writes them down.
"""

from functools import lru_cache

import numpy as np

from ...autograd.modes import state
from ...record import Joint
from ...runtime.allocator import empty
from ..copy import converted
from ..dispatch import primitive
from .kernels import name_of, row_sums

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_NODES = {"lstm": "MkldnnRnnLayerBackward0", "gru": "GruLayerBackward0", "rnn_tanh": "RnnTanhLayerBackward0",
          "rnn_relu": "RnnReluLayerBackward0"}
_TILE = 64              # sequences whose states stay in the cache
_FEWEST = 4             # sequences that another thread is worth
_SHARED = 1 << 18       # weights from which threads share a step of fewer
_JOINED = 1 << 22       # the most weights of a step that makes the inputs' part as well
_FLOAT = np.dtype(np.float32)

_ready = None


def compiled(tensors):
    """Whether the kernels take these tensors: floating and of one type, a compiler at hand."""
    global _ready
    if _ready is None:
        from ...compiler import available
        _ready = available()
    d = tensors[0].dtype
    return _ready and d.name in ("float32", "float64", "bfloat16", "float16") and all(
        t is None or t.dtype is d and t.numel() for t in tensors)


# ---------------------------------------------------------------- plans

@lru_cache(256)
def _steps(shape, sizes):
    """(sizes of the steps, first row of each), as int64 arrays."""
    n = np.array(sizes, np.int64) if sizes is not None else np.full(shape[0], shape[1], np.int64)
    return n, np.concatenate([n[:0], [0], np.cumsum(n)[:-1]]).astype(np.int64)


def _words(cell, steps, batch, h, out, into, reverse, *more):
    """How the work is shared out; the bits don't depend on it."""
    from ...runtime.threadpool import get_num_threads
    threads, groups = get_num_threads(), 0
    if batch < 2 * _FEWEST:
        # Too few to go apart: threads share each step, where its weights are much to read.
        groups = threads if threads > 1 and GATES[cell] * h * h >= _SHARED else 0
        threads = 1
    tiles = threads * -(-batch // (_TILE * threads))
    return np.array((steps, batch, h, out, into, reverse, -(-batch // tiles), groups, *more), np.int64)


def _wide(a):
    """C order, and float32 for 16-bit floats."""
    if a is None or a.itemsize > 2 and a.flags.c_contiguous:
        return a
    return converted(a, _FLOAT if a.itemsize == 2 else a.dtype, "C")


def _dense(a):
    """In C order."""
    return a if a is None or a.flags.c_contiguous else converted(a, a.dtype, "C")


def _even(a):
    """In C order, with an even number of columns: of a last one of zeros."""
    if not a.shape[-1] % 2:
        return _dense(a)
    out = empty((*a.shape[:-1], a.shape[-1] + 1), a.dtype)
    bits = out.view(np.uint16)
    bits[..., :-1], bits[..., -1] = a.view(np.uint16) if a.flags.c_contiguous else _dense(a).view(np.uint16), 0
    return out


def _short(dtype, h, w_hr):
    """Whether a layer's products are those of pairs of bfloat16."""
    if name_of(dtype) != "bfloat16" or h % 2 or w_hr is not None:
        return False
    from ...compiler.templates import gemm
    return gemm.pairs_kernel(dtype) is not None


def _in(a, dtype):
    """The array in a dtype; None for None."""
    return a if a is None or a.dtype == dtype else converted(a, dtype)


def _kernels(cell):
    from ...compiler.templates import gemm, recurrent, recurrent_backward
    return gemm.gemm, recurrent.kernel, recurrent_backward.kernel, cell.removeprefix("rnn_")


def _joined(cell, batch, into, h, out):
    """Whether each step makes the inputs' part: where its weights stay in the cache and serve enough sequences."""
    return batch >= 2 * _FEWEST and GATES[cell] * h * (into + out) <= _JOINED


def _bias(cell, h, b_ih, b_hh, dtype):
    """(what is added to the inputs' products, the recurrent bias that is multiplied by a gate of the GRU)."""
    if b_ih is None:
        return None, np.zeros(h, dtype) if cell == "gru" else None
    if cell != "gru":
        return b_ih + b_hh, None
    both = b_ih.copy()
    both[:2 * h] += b_hh[:2 * h]
    return both, np.ascontiguousarray(b_hh[2 * h:])


def _forward(cell, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, sizes, reverse, kept):
    gemm, kernel, _, name = _kernels(cell)
    given, q = x.dtype, GATES[cell]
    steps, offsets = _steps(x.shape, None if sizes is None else tuple(sizes))
    lead, h, out = x.shape[:-1], w_hh.shape[0] // q, w_hh.shape[1]
    short = _short(given, h, w_hr)
    x, w_ih = (_even(a) if short else _wide(a) for a in (x, w_ih))
    h0, w_hh, w_hr = (_dense(a) if short else _wide(a) for a in (h0, w_hh, w_hr))
    c0, b_ih, b_hh = (_wide(a) for a in (c0, b_ih, b_hh))
    d, batch, into = _FLOAT if short else x.dtype, h0.shape[0], x.shape[-1]
    x = x.reshape(-1, into)
    rows = x.shape[0]
    bias, recurrent_bias = _bias(cell, h, b_ih, b_hh, d)
    joined = _joined(cell, batch, into, h, out)
    gates = empty((rows, q * h) if kept or not joined else (0,), d)
    if not joined:
        if short:
            from ...compiler.templates.gemm import pairs_kernel
            gemm = pairs_kernel(given)
        gemm(gates, x, w_ih.T, bias)
    elif bias is None:
        bias = np.zeros(q * h, d)
    y, hn = empty((rows, out), x.dtype), np.empty((batch, out), x.dtype)
    cn = np.empty((batch, h), d) if cell == "lstm" else None
    extra = empty((rows, h) if kept and cell in ("lstm", "gru") else (0,), d)
    kernel(name, "bfloat16" if short else d.name, w_hr is not None, joined, kept)(
        y, hn, cn, gates, extra, h0, c0, x, w_ih, w_hh, w_hr, bias, recurrent_bias, steps, offsets,
        _words(cell, len(steps), batch, h, out, into, reverse))
    y = y.reshape(*lead, out)
    return _in(y, given), _in(hn, given), _in(cn, given), gates if kept else np.empty(0, d), extra


def _apart(shape, dtype):
    """An array whose rows, as many bytes apart as a power of two else, don't meet in the cache."""
    line = 64 // dtype.itemsize
    return empty((shape[0], -(-shape[1] // line) * line + line), dtype)[:, :shape[1]]


def _backward(cell, gy, ghn, gcn, x, h0, c0, w_ih, w_hh, w_hr, sizes, reverse, y, gates, extra, needs):
    gemm, _, kernel, name = _kernels(cell)
    given, shape = x.dtype, x.shape
    steps, offsets = _steps(shape, None if sizes is None else tuple(sizes))
    h, out, into = w_hh.shape[0] // GATES[cell], w_hh.shape[1], shape[-1]
    short = _short(given, h, w_hr)
    ghn, gcn, c0 = (_wide(a) for a in (ghn, gcn, c0))
    gy, x, h0, w_ih, w_hh, w_hr, y = ((_dense if short else _wide)(a) for a in (gy, x, h0, w_ih, w_hh, w_hr, y))
    d, wide, batch = x.dtype, gates.dtype, h0.shape[0]
    x, y, gy = x.reshape(-1, into), y.reshape(-1, out), gy.reshape(-1, out)
    dgates = _apart(gates.shape, d)
    drec = _apart(gates.shape, d) if cell == "gru" else None
    dh0 = np.empty((batch, out), wide)
    dc0 = np.empty((batch, h), wide) if cell == "lstm" else None
    dout, hidden = (empty((len(y), n), d) for n in (out, h)) if w_hr is not None else (None, None)
    kernel(name, "bfloat16" if short else d.name, w_hr is not None)(
        dgates, drec, dh0, dc0, dout, hidden, gy, ghn, gcn, gates, extra, y, h0, c0,
        converted(w_hh.T, d, "C") if short else w_hh, w_hr, steps, offsets,
        _words(cell, len(steps), batch, h, out, into, reverse, dgates.strides[0]))
    drec = dgates if drec is None else drec
    want_x, want_h, want_c, want_ih, want_hh, want_bi, want_bh, *want_hr = needs
    dx = dw_ih = dw_hh = db_ih = db_hh = dw_hr = None
    if want_x:
        dx = empty(x.shape, d)
        gemm(dx, dgates, w_ih)
        dx = dx.reshape(shape)
    if want_ih:
        dw_ih = empty(w_ih.shape, d)
        gemm(dw_ih, dgates.T, x)
    if want_hh:
        dw_hh = empty(w_hh.shape, d)
        _state_products(gemm, dw_hh, drec, y, h0, steps, offsets, sizes, reverse)
    if want_bi or want_bh:
        db_ih = _in(row_sums("sum", (dgates,), (0,)), d)
        db_hh = db_ih.copy() if drec is dgates else _in(row_sums("sum", (drec,), (0,)), d)
    if any(want_hr):
        dw_hr = empty(w_hr.shape, d)
        gemm(dw_hr, dout.T, hidden)
    found = (dx, dh0 if want_h else None, dc0 if want_c else None, dw_ih, dw_hh, db_ih if want_bi else None,
             db_hh if want_bh else None, *(dw_hr for _ in want_hr))
    return tuple(_in(a, given) for a in found)


def _state_products(gemm, out, drec, y, h0, steps, offsets, sizes, reverse):
    """Sum over rows of drec^T times the state before each: the output of the step before, or h0."""
    n = h0.shape[0]
    if sizes is None and y.itemsize > 2:
        edge, rest, states = (drec[-n:], drec[:-n], y[n:]) if reverse else (drec[:n], drec[n:], y[:-n])
        gemm(out, edge.T, h0)
        if len(rest):
            gemm(out, rest.T, states, None, 1.0, True)
        return
    before = empty(y.shape, y.dtype)
    if sizes is None:
        edge, rest, states = (before[-n:], before[:-n], y[n:]) if reverse else (before[:n], before[n:], y[:-n])
        edge[...], rest[...] = h0, states
        gemm(out, drec.T, before)
        return
    for t, (at, count) in enumerate(zip(offsets.tolist(), steps.tolist())):
        other = t + 1 if reverse else t - 1
        known = min(count, int(steps[other])) if 0 <= other < len(steps) else 0
        if known:
            before[at:at + known] = y[offsets[other]:offsets[other] + known]
        before[at + known:at + count] = h0[known:count]
    gemm(out, drec.T, before)


# ---------------------------------------------------------------- records

def _differentiable(cell, grads, tensors, sizes, reverse, needs):
    """The same gradients as functions of their operands: the steps again, one by one, with their history."""
    from ...autograd import enable_grad, grad
    from .recurrent import STEPS, _packed, _padded
    further = state.grad
    with enable_grad():
        tensors = [None if t is None else t.view_as(t) for t in tensors]
        x, h0, c0, *weights = tensors
        states = (h0,) if c0 is None else (h0, c0)
        if len(weights) == 4:
            weights.append(None)
        if sizes is None:
            y, final = _padded(STEPS[cell], x, states, weights, reverse)
        else:
            y, final = _packed(STEPS[cell], x, sizes, states, weights, reverse)
        wanted = [t for t, need in zip(tensors, needs) if need]
        found = iter(grad((y, *final), wanted, [g for g in grads if g is not None], create_graph=further,
                          allow_unused=True))
    return tuple(next(found) if need else None for need in needs)


def _define(cell, projected=False):
    """The record of a cell's layer, and that of its gradients."""
    rnn = f"_{cell}_projected_layer" if projected else f"_{cell}_layer"

    def shapes(x, h0, c0, w_ih, w_hh, b_ih, b_hh, *more):
        kept, h, out = more[-1], w_hh.shape[0] // GATES[cell], w_hh.shape[1]
        rows = x.numel() // x.shape[-1]
        batch = h0.shape[0]
        return tuple((s, x.dtype) for s in ((*x.shape[:-1], out), (batch, out), (batch, h),
                                            (rows, GATES[cell] * h) if kept else (0,),
                                            (rows, h) if kept and cell in ("lstm", "gru") else (0,)))

    def rule(grads, tensors, sizes, reverse, kept, saved, needs):
        if state.grad or not kept:
            return _differentiable(cell, grads, tensors, sizes, reverse, needs)
        x, h0, c0, w_ih, w_hh, _, _, *w_hr = tensors
        return backward(*grads, x, h0, c0, w_ih, w_hh, *w_hr, sizes, reverse, *saved, needs)

    def grads(g0, g1, g2, input, h0, c0, w_ih, w_hh, b_ih, b_hh, sizes, reverse, kept, out0, out3, out4, needs):
        return rule((g0, g1, g2), (input, h0, c0, w_ih, w_hh, b_ih, b_hh), sizes, reverse, kept, (out0, out3, out4),
                    needs)

    def projected_grads(g0, g1, g2, input, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, sizes, reverse, kept, out0, out3, out4,
                        needs):
        return rule((g0, g1, g2), (input, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr), sizes, reverse, kept,
                    (out0, out3, out4), needs)

    operands = "Tensor input, Tensor h0, Tensor? c0, Tensor w_ih, Tensor w_hh"
    extra, results = (", Tensor w_hr", ", Tensor") if projected else ("", "")
    backward = primitive(
        f"{rnn}_backward(Tensor? grad, Tensor? grad_hn, Tensor? grad_cn, {operands}{extra}, int[]? sizes, "
        "bool reverse, Tensor output, Tensor gates, Tensor? extra, bool[] needs) -> "
        f"(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor{results})", vjp={},
        doc=f"Gradients of all operands of {rnn}.")(
            (lambda *a: _backward(cell, *a)) if projected else (lambda *a: _backward(cell, *a[:8], None, *a[8:])))
    return primitive(
        f"{rnn}({operands}, Tensor? b_ih, Tensor? b_hh{extra}, int[]? sizes, bool reverse, bool kept) -> "
        "(Tensor, Tensor, Tensor, Tensor, Tensor)", vjp=Joint(projected_grads if projected else grads), meta=shapes,
        node=_NODES[cell],
        doc="(outputs, last h, last c, activated gates, what else the backward pass needs) of a layer.")(
            (lambda *a: _forward(cell, *a)) if projected else (lambda *a: _forward(cell, *a[:7], None, *a[7:])))


LAYERS = {cell: _define(cell) for cell in GATES} | {"lstm_projected": _define("lstm", True)}
