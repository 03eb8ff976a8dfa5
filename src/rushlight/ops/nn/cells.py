"""The pointwise half of a recurrent cell's step, fused: from the gates' sums to the next state.

``lstm_gates(gx, gh, c) -> (h', c')`` with i, f, g, o = chunks of gx + gh: c' = sigmoid(f) c + sigmoid(i) tanh(g),
h' = sigmoid(o) tanh(c'). ``gru_gates(gx, gh, h) -> h'``: r, z = sigmoid of the first chunks' sums,
n = tanh(gx_n + r gh_n), h' = (h - n) z + n. gx and gh (n, q h) are what the input and the state contribute. The
gradients compute the gates again rather than keep them.
"""

from ...autograd.modes import state
from ...record import Joint
from ...runtime.allocator import empty
from ..dispatch import primitive
from .kernels import elementwise, name_of


def _chunks(a, n):
    h = a.shape[-1] // n
    return [a[..., k * h:(k + 1) * h] for k in range(n)]


def _call(name, formula, outs, ins):
    n = name_of(ins[0].dtype)
    compute = "float32" if ins[0].itemsize == 2 else n
    elementwise((name, n), formula, "f" * len(ins), [n] * len(ins), [n] * len(outs), compute)(*outs, *ins)


# ---------------------------------------------------------------- LSTM

def _lstm(xi, xf, xg, xo, hi, hf, hg, ho, c):
    from ...compiler import scalar as s
    new = s.sigmoid(xf + hf) * c + s.sigmoid(xi + hi) * s.tanh(xg + hg)
    return s.sigmoid(xo + ho) * s.tanh(new), new


def _lstm_gradients(dh, dc, xi, xf, xg, xo, hi, hf, hg, ho, c):
    from ...compiler import scalar as s
    i, f, g, o = s.sigmoid(xi + hi), s.sigmoid(xf + hf), s.tanh(xg + hg), s.sigmoid(xo + ho)
    top = s.tanh(f * c + i * g)
    d = dc + dh * o * (1.0 - top * top)
    return d * g * i * (1.0 - i), d * c * f * (1.0 - f), d * i * (1.0 - g * g), dh * top * o * (1.0 - o), d * f


def lstm_plain(gx, gh, c):
    """(h', c') op by op."""
    i, f, g, o = (gx + gh).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _lstm_rule(g0, g1, gx, gh, c, needs):
    if state.grad:
        return _again(lstm_plain, (gx, gh, c), (g0, g1), needs)
    d, dc = _lstm_backward(g0, g1, gx, gh, c)
    return d, d, dc


@primitive("_thnn_fused_lstm_cell(Tensor gx, Tensor gh, Tensor c) -> (Tensor, Tensor)", vjp=Joint(_lstm_rule),
           meta=lambda gx, gh, c: ((c.shape, c.dtype), (c.shape, c.dtype)))
def lstm_gates(gx, gh, c):
    """(h', c') of an LSTM cell."""
    outs = [empty(c.shape, c.dtype) for _ in range(2)]
    _call("lstm gates", _lstm, outs, [*_chunks(gx, 4), *_chunks(gh, 4), c])
    return tuple(outs)


@primitive("_thnn_fused_lstm_cell_backward(Tensor grad_h, Tensor grad_c, Tensor gx, Tensor gh, Tensor c) -> "
           "(Tensor, Tensor)", vjp={}, meta=lambda dh, dc, gx, gh, c: ((gx.shape, gx.dtype), (c.shape, c.dtype)))
def _lstm_backward(dh, dc, gx, gh, c):
    """Gradients of the gates' sums and of c."""
    d, old = empty(gx.shape, gx.dtype), empty(c.shape, c.dtype)
    _call("lstm gates backward", _lstm_gradients, [*_chunks(d, 4), old],
          [dh, dc, *_chunks(gx, 4), *_chunks(gh, 4), c])
    return d, old


# ---------------------------------------------------------------- GRU

def _gru(xr, xz, xn, hr, hz, hn, h):
    from ...compiler import scalar as s
    n = s.tanh(xn + s.sigmoid(xr + hr) * hn)
    return (h - n) * s.sigmoid(xz + hz) + n


def _gru_gradients(d, xr, xz, xn, hr, hz, hn, h):
    from ...compiler import scalar as s
    r, z = s.sigmoid(xr + hr), s.sigmoid(xz + hz)
    n = s.tanh(xn + r * hn)
    dn = d * (1.0 - z) * (1.0 - n * n)
    dr, dz = dn * hn * r * (1.0 - r), d * (h - n) * z * (1.0 - z)
    return dr, dz, dn, dr, dz, dn * r, d * z


def gru_plain(gx, gh, h):
    """h' op by op."""
    xr, xz, xn = gx.chunk(3, -1)
    hr, hz, hn = gh.chunk(3, -1)
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (h - n) * (xz + hz).sigmoid() + n


def _gru_rule(g, gx, gh, h, needs):
    if state.grad:
        return _again(gru_plain, (gx, gh, h), (g,), needs)
    return _gru_backward(g, gx, gh, h)


@primitive("_thnn_fused_gru_cell(Tensor gx, Tensor gh, Tensor h) -> Tensor", vjp=Joint(_gru_rule),
           meta=lambda gx, gh, h: (h.shape, h.dtype))
def gru_gates(gx, gh, h):
    """h' of a GRU cell."""
    out = empty(h.shape, h.dtype)
    _call("gru gates", _gru, [out], [*_chunks(gx, 3), *_chunks(gh, 3), h])
    return out


@primitive("_thnn_fused_gru_cell_backward(Tensor grad, Tensor gx, Tensor gh, Tensor h) -> (Tensor, Tensor, Tensor)",
           vjp={}, meta=lambda g, gx, gh, h: tuple((x.shape, x.dtype) for x in (gx, gh, h)))
def _gru_backward(g, gx, gh, h):
    """Gradients of both gates' parts and of h."""
    outs = [empty(a.shape, a.dtype) for a in (gx, gh, h)]
    _call("gru gates backward", _gru_gradients, [*_chunks(outs[0], 3), *_chunks(outs[1], 3), outs[2]],
          [g, *_chunks(gx, 3), *_chunks(gh, 3), h])
    return tuple(outs)


# ---------------------------------------------------------------- choice

def _again(plain, tensors, grads, needs):
    """Gradients as functions of their operands, op by op."""
    from ...autograd import grad
    tensors = [t.view_as(t) for t in tensors]
    outs = plain(*tensors)
    wanted = [t for t, need in zip(tensors, needs) if need]
    found = iter(grad(outs, wanted, grads, create_graph=True, allow_unused=True))
    return tuple(next(found) if need else None for need in needs)


_ready = None


def fused(gx, gh, h):
    """Whether the kernels take these: floating, of one type and of the cell's shape, a compiler at hand."""
    global _ready
    if _ready is None:
        from ...compiler import available
        _ready = available()
    d = h.dtype
    return (_ready and gx.dtype is d and gh.dtype is d and d.name in ("float32", "float64", "bfloat16", "float16")
            and gx.shape == gh.shape and gx.shape[:-1] == h.shape[:-1])

