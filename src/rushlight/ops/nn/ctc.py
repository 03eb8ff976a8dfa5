"""Connectionist temporal classification. Graves et al., ICML 2006.

The loss of one sequence is -log of the total probability of all alignments of its target. The extended
target has blanks between and around the labels; alpha (and beta, backwards) are log-probabilities of
partial alignments, in nats.
"""

import numpy as np

from ... import dtypes
from ...record import Joint
from ...tensor.tensor import wrap
from ..dispatch import primitive
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


def _targets_of(targets, lengths):
    if targets.ndim == 2:
        return [targets[i, :n] for i, n in enumerate(lengths)]
    ends = np.cumsum(lengths)
    return [targets[e - n:e] for e, n in zip(ends, lengths)]


def _grad_rule(g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity, needs):
    return (ctc_backward(g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity),
            None)


@primitive("ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, "
           "int blank, bool zero_infinity) -> Tensor", vjp=Joint(_grad_rule))
def _ctc(lp, targets, input_lengths, target_lengths, blank, zero_infinity):
    """One loss a sequence of log_probs (t, n, c)."""
    out = np.zeros(lp.shape[1], lp.dtype)
    wide = lp.astype(np.float64)
    for b, (target, t) in enumerate(zip(_targets_of(targets, target_lengths), input_lengths)):
        if t == 0:
            out[b] = 0 if len(target) == 0 else np.inf
        else:
            out[b] = _loss_of(_alphas(wide[:t, b], _extended(target, blank)))
    if zero_infinity:
        out[np.isinf(out)] = 0
    return out


@primitive("ctc_loss_backward(Tensor grad, Tensor log_probs, Tensor targets, int[] input_lengths, "
           "int[] target_lengths, int blank, bool zero_infinity) -> Tensor", vjp={})
def ctc_backward(g, lp, targets, input_lengths, target_lengths, blank, zero_infinity):
    """Gradient of the log-probabilities, as if they came out of a log-softmax."""
    out = np.zeros(lp.shape, lp.dtype)
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
    if hasattr(x, "_a"):
        if x.dtype.category >= dtypes.FLOAT:
            raise RuntimeError(f"{what} must be integral")
        x = x.tolist()
    x = [x] if isinstance(x, int) else [int(v) for v in x]
    if len(x) != n:
        raise RuntimeError(f"{what} must be of size batch_size")
    return tuple(x)


def _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):
    unbatched = log_probs.dim() == 2
    lp = log_probs.unsqueeze(1) if unbatched else log_probs
    if lp.dim() != 3:
        raise RuntimeError(f"log_probs tensor must have 2 or 3 dimensions, got {log_probs.dim()}")
    n, c = lp.shape[1:]
    il, tl = _lengths(input_lengths, n, "input_lengths"), _lengths(target_lengths, n, "target_lengths")
    if not 0 <= blank < c:
        raise RuntimeError("blank must be in label range")
    if any(v < 0 for v in il) or any(v < 0 for v in tl):
        raise RuntimeError("Expected input_lengths and target_lengths to have values at least 0")
    if any(v > lp.shape[0] for v in il):
        raise RuntimeError(f"Expected input_lengths to have value at most {lp.shape[0]}, but got value "
                           f"{max(il)}")
    t = targets.unsqueeze(0) if unbatched and targets.dim() == 1 and len(tl) == 1 else targets
    if t.dim() == 1 and sum(tl) != t.shape[0] and not unbatched:
        raise RuntimeError(f"Expected tensor to have size {sum(tl)} at dimension 0, but got size "
                           f"{t.shape[0]} for argument #2 'targets'")
    loss = _ctc(lp, t.to(dtypes.int64), il, tl, blank, bool(zero_infinity))
    if reduction == "mean":
        divisor = wrap(np.maximum(np.array(tl), 1).astype(loss._a.dtype))
        return (loss / divisor).mean()
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


