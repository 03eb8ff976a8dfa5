"""Connectionist temporal classification. Graves et al., ICML 2006.

The loss of one sequence is -log of the total probability of all alignments of its target. The extended
target has blanks between and around the labels; alpha (and beta, backwards) are log-probabilities of
partial alignments, in nats.
"""

import numpy as np

from ... import dtypes
from ...record import Joint
from ...runtime.allocator import empty
from ...tensor.tensor import wrap
from ..dispatch import primitive
from ..reduce_common import compiled
from ..registry import public

_NEG = -np.inf


def _extended(target, blank):
    ext = np.full(2 * len(target) + 1, blank, np.int64)
    ext[1::2] = target
    return ext


def _logaddexp(*xs):
    m = np.maximum.reduce(xs)
    safe = np.where(np.isfinite(m), m, 0)
    with np.errstate(divide="ignore"):
        return np.where(m == _NEG, _NEG, safe + np.log(sum(np.exp(x - safe) for x in xs)))


def _shift(a, k):
    out = np.full_like(a, _NEG)
    if k < len(a):
        out[k:] = a[:len(a) - k]
    return out


def _alphas(lp, ext):
    t_max, s = lp.shape[0], len(ext)
    skip = np.zeros(s, bool)
    skip[2:] = ext[2:] != ext[:-2]
    alpha = np.full((t_max, s), _NEG)
    alpha[0, :2] = lp[0, ext[:2]]
    for t in range(1, t_max):
        a = alpha[t - 1]
        alpha[t] = _logaddexp(a, _shift(a, 1), np.where(skip, _shift(a, 2), _NEG)) + lp[t, ext]
    return alpha


def _loss_of(alpha):
    tail = alpha[-1, -2:] if alpha.shape[1] > 1 else alpha[-1, -1:]
    return -_logaddexp(*tail)


def _native(lp, targets, input_lengths, target_lengths, blank):
    """(alpha, lengths, extended targets), or None where there is no kernel."""
    if lp.dtype not in (np.float32, np.float64) or not compiled() or not lp.size:
        return None
    from ...compiler.templates import ctc
    frames, n, c = lp.shape
    symbols = 2 * max(target_lengths, default=0) + 1
    lengths = np.array([(t, 2 * k + 1) for t, k in zip(input_lengths, target_lengths)], np.int64)
    # Two symbols before the first row are looked at, and a vector after the last.
    memory = np.full(n * symbols + 2 * ctc.PAD, blank, np.int64)
    ext = memory[ctc.PAD:ctc.PAD + n * symbols].reshape(n, symbols)
    for row, target in zip(ext, _targets_of(targets, target_lengths)):
        row[1:2 * len(target):2] = target
    if ((ext < 0) | (ext >= c)).any():
        return None
    return _swept(lp, ext, lengths, False), lengths, ext


def _swept(lp, ext, lengths, reverse):
    """The partial alignments from the beginning, or from the end."""
    from ...compiler.templates import ctc
    frames, n, c = lp.shape
    symbols = ext.shape[1]
    if reverse:
        memory = np.zeros(ext.size + 2 * ctc.PAD, np.int64)
        turned = memory[ctc.PAD:ctc.PAD + ext.size].reshape(n, symbols)
        for row, old, (_, count) in zip(turned, ext, lengths):
            row[:count] = old[:count][::-1]
        ext = turned
    alpha = empty((n, frames, symbols + 2 * ctc.PAD), np.dtype(np.float64))
    kernel = ctc.alignments(dtypes.BY_NP[lp.dtype].name)
    kernel(alpha, lp, ext, lengths, ctc.words(frames, n, c, symbols, reverse))
    return alpha


def _losses(alpha, lengths):
    """-log of the probability of each target; sequences without frames are left to the caller."""
    from ...compiler.templates.ctc import PAD
    last = alpha[np.arange(len(alpha)), np.maximum(lengths[:, 0], 1) - 1]
    ends = [last[np.arange(len(last)), PAD + lengths[:, 1] - k] for k in (1, 2)]    # (-inf before the first symbol)
    return -np.logaddexp(*ends)


def _targets_of(targets, lengths):
    if targets.ndim == 2:
        return [targets[i, :n] for i, n in enumerate(lengths)]
    ends = np.cumsum(lengths)
    return [targets[e - n:e] for e, n in zip(ends, lengths)]


def _grad_rule(g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity, needs):
    return (ctc_backward(g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity),
            None, None, None)


def _checked(lp, targets, input_lengths, target_lengths):
    """The lengths as lists, which fit the other arguments."""
    il, tl = input_lengths.tolist(), target_lengths.tolist()
    if any(v < 0 for v in il) or any(v < 0 for v in tl):
        raise RuntimeError("Expected input_lengths and target_lengths to have values at least 0")
    if any(v > lp.shape[0] for v in il):
        raise RuntimeError(f"Expected input_lengths to have value at most {lp.shape[0]}, but got value {max(il)}")
    if targets.ndim == 1 and sum(tl) != targets.shape[0]:
        raise RuntimeError(f"Expected tensor to have size {sum(tl)} at dimension 0, but got size "
                           f"{targets.shape[0]} for argument #2 'targets'")
    return il, tl


@primitive("ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, "
           "int blank, bool zero_infinity) -> Tensor", vjp=Joint(_grad_rule))
def _ctc(lp, targets, input_lengths, target_lengths, blank, zero_infinity):
    """One loss a sequence of log_probs (t, n, c)."""
    input_lengths, target_lengths = _checked(lp, targets, input_lengths, target_lengths)
    out = np.zeros(lp.shape[1], lp.dtype)
    lp = np.ascontiguousarray(lp)
    found = _native(lp, targets, input_lengths, target_lengths, blank)
    if found is not None:
        alpha, lengths, _ = found
        out[:] = _losses(alpha, lengths)
        idle = lengths[:, 0] == 0
        out[idle] = np.where(lengths[idle, 1] == 1, 0, np.inf)
        if zero_infinity:
            out[np.isinf(out)] = 0
        return out
    wide = lp.astype(np.float64)
    for b, (target, t) in enumerate(zip(_targets_of(targets, target_lengths), input_lengths)):
        if t == 0:
            out[b] = 0 if len(target) == 0 else np.inf
        else:
            out[b] = _loss_of(_alphas(wide[:t, b], _extended(target, blank)))
    if zero_infinity:
        out[np.isinf(out)] = 0
    return out


@primitive("ctc_loss_backward(Tensor grad, Tensor log_probs, Tensor targets, Tensor input_lengths, "
           "Tensor target_lengths, int blank, bool zero_infinity) -> Tensor", vjp={})
def ctc_backward(g, lp, targets, input_lengths, target_lengths, blank, zero_infinity):
    """Gradient of the log-probabilities, as if they came out of a log-softmax."""
    input_lengths, target_lengths = input_lengths.tolist(), target_lengths.tolist()
    out = np.zeros(lp.shape, lp.dtype)
    lp = np.ascontiguousarray(lp)
    found = _native(lp, targets, input_lengths, target_lengths, blank)
    if found is not None:
        from ...compiler.templates import ctc
        alpha, lengths, ext = found
        loss = _losses(alpha, lengths)
        beta = _swept(lp, ext, lengths, True)
        frames, n, c = lp.shape
        ctc.gradient(dtypes.BY_NP[lp.dtype].name)(
            out, lp, ext, lengths, alpha, beta, loss, np.ascontiguousarray(g, np.float64),
            ctc.words(frames, n, c, ext.shape[1]))
        if not zero_infinity:
            for b in np.flatnonzero(np.isinf(loss)):
                out[:lengths[b, 0], b] = np.nan
        return out
    wide = lp.astype(np.float64)
    for b, (target, t) in enumerate(zip(_targets_of(targets, target_lengths), input_lengths)):
        if t == 0:
            continue
        ext = _extended(target, blank)
        x = wide[:t, b]
        alpha = _alphas(x, ext)
        beta = _alphas(x[::-1], ext[::-1])[::-1, ::-1]
        loss = _loss_of(alpha)
        if np.isinf(loss):
            if not zero_infinity:
                out[:t, b] = np.nan
            continue
        both = alpha + beta
        total = np.full(x.shape, _NEG)
        for s, c in enumerate(ext):
            total[:, c] = np.logaddexp(total[:, c], both[:, s])
        out[:t, b] = (np.exp(x) - np.exp(total + loss - x)) * g[b]
    return out


def _lengths(x, n, what):
    """A tensor (n,) of int64."""
    if hasattr(x, "_a"):
        if x.dtype.category >= dtypes.FLOAT:
            raise RuntimeError(f"{what} must be integral")
        t = x.to(dtypes.int64).reshape(-1)
    else:
        t = wrap(np.array([x] if isinstance(x, int) else [int(v) for v in x], np.int64))
    if t.shape[0] != n:
        raise RuntimeError(f"{what} must be of size batch_size")
    return t


def _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):
    unbatched = log_probs.dim() == 2
    lp = log_probs.unsqueeze(1) if unbatched else log_probs
    if lp.dim() != 3:
        raise RuntimeError(f"log_probs tensor must have 2 or 3 dimensions, got {log_probs.dim()}")
    n, c = lp.shape[1:]
    il, tl = _lengths(input_lengths, n, "input_lengths"), _lengths(target_lengths, n, "target_lengths")
    if not 0 <= blank < c:
        raise RuntimeError("blank must be in label range")
    t = targets.unsqueeze(0) if unbatched and targets.dim() == 1 and tl.shape[0] == 1 else targets
    loss = _ctc(lp, t.to(dtypes.int64), il, tl, blank, bool(zero_infinity))
    if reduction == "mean":
        return (loss / tl.clamp(min=1).to(loss.dtype)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss.squeeze(0) if unbatched else loss


@public(namespaces=("torch.nn.functional",), method=False)
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean",
             zero_infinity=False):
    """CTC loss of log_probs (t, n, c) and targets (n, s) or concatenated; mean divides by target length."""
    return _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


@public("ctc_loss", method=False)
def torch_ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=1,
                   zero_infinity=False):
    """`nn.functional.ctc_loss` with a numeric reduction (0 none, 1 mean, 2 sum)."""
    return _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank,
                     {0: "none", 1: "mean", 2: "sum"}[reduction], zero_infinity)


