"""Loss functions. Units: nats where a logarithm is taken; ``mean`` divides by the number of terms."""

import math
import warnings

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...compiler import scalar as s
from ...dtypes import BY_NP, FLOAT
from ...record import Joint, Record
from ...tensor import watch
from ...tensor.tensor import wrap
from .. import dispatch
from ..dispatch import attach, needs_grad
from ..pointwise.core import pointwise, run
from ..reduce_common import compiled, wide
from ..registry import function, public

_F = ("torch.nn.functional",)
MEAN, SUM, NONE = 1, 2, 0


def legacy_reduction(size_average, reduce, reduction):
    """`reduction` after the old ``size_average`` and ``reduce`` flags had their say."""
    if size_average is None and reduce is None:
        return reduction
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    result = ("mean" if size_average else "sum") if reduce else "none"
    warnings.warn("size_average and reduce args will be deprecated, please use "
                  f"reduction='{result}' instead.", stacklevel=3)
    return result


def code(reduction):
    """The number of a reduction name; ValueError for another name."""
    try:
        return {"none": NONE, "mean": MEAN, "sum": SUM}[reduction]
    except KeyError:
        raise ValueError(f"{reduction} is not a valid value for reduction") from None


def reduced(x, reduction):
    """Mean, sum or nothing, by name."""
    code(reduction)
    return x.mean() if reduction == "mean" else x.sum() if reduction == "sum" else x


# ---------------------------------------------------------------- elementwise losses

def _elementwise(name, formula, params=(), node=None, vjp=None):
    """A loss l(input, target, *params) a term, reduced in the same node."""
    decl = "".join(f", Scalar {p}" for p in params)
    term = pointwise(f"_{name}_terms(Tensor self, Tensor target{decl}) -> Tensor", formula, vjp=vjp)
    rec = term.record
    rules, kernels = [], {}

    def gradients(g, self, target, reduction, extra, needs):
        if not rules:
            found = dispatch.make_plan(rec, 3).rules
            rules.extend((None, ()) if r is None else (r[0], dispatch._names(r[0])[1:]) for r in found)
        if reduction == MEAN:
            g = g / max(self.numel(), 1)
        named = {"self": self, "target": target, **dict(zip(params, extra))}
        return tuple([fn(g, *[named[n] for n in names]) if need and fn is not None else None
                      for need, (fn, names) in zip(needs, rules)])

    whole = Record(f"{name}(Tensor self, Tensor target, int reduction, float[] extra) -> Tensor",
                   "fused", vjp=Joint(gradients), node=node)
    whole.module = __name__

    def fused(x, t, reduction, extra):
        """The reduced loss of two arrays in one pass, or None."""
        d = x.dtype
        if reduction == NONE or t.dtype != d or x.shape != t.shape or not x.size or not x.ndim:
            return None
        k = kernels.get((d, reduction))
        if k is None:
            kind = BY_NP.get(d)
            if kind is None or kind.category != FLOAT or kind.itemsize < 2 or not compiled():
                return None
            from ...compiler import reduce_kernel, trace
            k = kernels[d, reduction] = reduce_kernel(
                "sum" if reduction == SUM else "mean", [kind.name] * 2, kind.name, ["float64"] * len(params),
                pre=trace(formula, "ff", "f" * len(params))[0]).call
        out = np.empty((), d)
        watch.launch(k, out, x, t, (1 << x.ndim) - 1, *extra)
        return out

    def terms_of(input, target, reduction, extra):
        terms = run(rec, (input, target), tuple(extra))
        return terms.mean() if reduction == MEAN else terms.sum() if reduction == SUM else terms

    def call(input, target, reduction, extra=()):
        x, t = input._a, target._a
        if hasattr(type(x), "takeover") or hasattr(type(t), "takeover"):
            return terms_of(input, target, reduction, extra)
        recording = state.grad and (needs_grad(input) or needs_grad(target))
        if type(x) is type(t) is np.ndarray and not input._bits and not target._bits:
            terms = fused(x, t, reduction, extra)
        else:
            terms = None
        if terms is not None:
            terms = wrap(terms)
            if watch.listener is not None:
                watch.listener.ran(name, lambda x, t: fused(x, t, reduction, extra), (input, target), terms)
        else:
            prev, state.grad = state.grad, False
            try:
                terms = terms_of(input, target, reduction, extra)
            finally:
                state.grad = prev
        if recording:
            attach(whole, (input, target, reduction, tuple(extra)), (terms,))
        return terms
    whole.call = call
    return call


_mse = _elementwise("mse_loss", lambda x, t: (x - t) * (x - t))
_l1 = _elementwise("l1_loss", lambda x, t: s.abs(x - t), node="L1LossBackward0",
                   vjp={"self": lambda g, self, target: g * (self - target).sgn(),
                        "target": lambda g, self, target: g * (target - self).sgn()})
# NaN takes the branch whose derivative it reaches.
_smooth_l1 = _elementwise(
    "smooth_l1_loss", lambda x, t, beta: s.where(s.abs(x - t) >= beta,
                                                 s.abs(x - t) - 0.5 * beta,
                                                 0.5 * (x - t) * (x - t) / beta), ("beta",),
    node="SmoothL1LossBackward0")
_huber = _elementwise(
    "huber_loss", lambda x, t, delta: s.where(s.abs(x - t) > delta, delta * (s.abs(x - t) - 0.5 * delta),
                                              0.5 * (x - t) * (x - t)), ("delta",))
_soft_margin = _elementwise("soft_margin_loss", lambda x, t: s.log1p_exp(-t * x))


def _pair(op, input, target, warn=True):
    if not hasattr(input, "_a") or not hasattr(target, "_a"):
        bad = target if hasattr(input, "_a") else input
        raise TypeError(f"{op}(): argument must be Tensor, not {type(bad).__name__}")
    if input._a.shape != target._a.shape:
        if warn:
            warnings.warn(f"Using a target size ({target.size()}) that is different to the input size "
                          f"({input.size()}). This will likely lead to incorrect results due to "
                          "broadcasting. Please ensure they have the same size.", stacklevel=3)
        input, target = function("broadcast_tensors")(input, target)
    if input.dtype is not target.dtype:
        d = dtypes.promote_types(input.dtype, target.dtype)
        input, target = input.to(d), target.to(d)
    return input, target


def _weighted(terms, weight, reduction):
    if weight is not None:
        terms = terms * weight
        if reduction == "mean":
            return terms.sum() / weight.sum() if weight.shape == terms.shape else terms.mean()
    return reduced(terms, reduction)


@public(namespaces=_F, method=False)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)**2, averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    how = code(reduction)
    input, target = _pair("mse_loss", input, target)
    if weight is not None:
        return _weighted(_mse(input, target, NONE), weight, reduction)
    return _mse(input, target, how)


@public(namespaces=_F, method=False)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    how = code(reduction)
    input, target = _pair("l1_loss", input, target)
    if weight is not None:
        return _weighted((input - target).abs(), weight, reduction)
    if input.is_complex():
        return reduced((input - target).abs(), reduction)
    return reduced((input - target).abs(), reduction) if how != NONE else _l1(input, target, NONE)


@public(namespaces=_F, method=False)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """0.5 d**2 / beta where |d| < beta, else |d| - beta / 2, with d = input - target; averaged."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    how = code(legacy_reduction(size_average, reduce, reduction))
    input, target = _pair("smooth_l1_loss", input, target)
    if beta == 0:
        return reduced((input - target).abs(), {NONE: "none", MEAN: "mean", SUM: "sum"}[how])
    return _smooth_l1(input, target, how, (float(beta),))


@public(namespaces=_F, method=False)
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """0.5 d**2 where |d| <= delta, else delta (|d| - delta / 2), with d = input - target; averaged."""
    how = code(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _pair("huber_loss", input, target)
    if weight is not None:
        return _weighted(_huber(input, target, NONE, (float(delta),)), weight, reduction)
    return _huber(input, target, how, (float(delta),))


@public(namespaces=_F, method=False)
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target * input)), averaged; targets are 1 or -1."""
    how = code(legacy_reduction(size_average, reduce, reduction))
    input, target = _pair("soft_margin_loss", input, target, warn=False)
    return _soft_margin(input, target, how)


# ---------------------------------------------------------------- binary cross entropy

_bce = _elementwise("binary_cross_entropy", lambda x, t: (
    (t - 1) * s.maximum(s.log1p(-x), -100.0) - t * s.maximum(s.log(x), -100.0)),
    vjp={"self": lambda g, self, target: g * (self - target) / (
        (1 - self) * self).clamp_min(1e-12),
        "target": lambda g, self: g * ((1 - self).log().clamp_min(-100) -
                                       self.log().clamp_min(-100))})


@public(namespaces=_F, method=False)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(t log x + (1 - t) log(1 - x)) with logarithms clamped at -100; averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    how = code(reduction)
    if target.size() != input.size():
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input size "
                         f"({input.size()}) is deprecated. Please ensure they have the same size.")
    a = input._a
    if type(a) is np.ndarray and a.size:
        wide = a.astype(np.float32) if a.dtype.itemsize == 2 else a
        if not ((wide >= 0) & (wide <= 1)).all():
            raise RuntimeError("all elements of input should be between 0 and 1")
    if weight is not None:
        return reduced(_bce(input, target, NONE) * weight, reduction)
    return _bce(input, target, how)


_bce_logits = pointwise(
    "_bce_with_logits(Tensor self, Tensor target) -> Tensor",
    lambda x, t: (1 - t) * x + s.log1p_exp(-x),
    vjp={"self": lambda g, self, target: g * (self.sigmoid() - target),
         "target": lambda g, self: -g * self}, node="BinaryCrossEntropyWithLogitsBackward0")
_bce_logits_loss = _elementwise("binary_cross_entropy_with_logits",
                                lambda x, t: (1 - t) * x + s.log1p_exp(-x),
                                vjp={"self": lambda g, self, target: g * (self.sigmoid() - target),
                                     "target": lambda g, self: -g * self})


@public(namespaces=_F + ("torch",), method=False)
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None,
                                     reduction="mean", pos_weight=None):
    """-(p t log σ(x) + (1 - t) log(1 - σ(x))) from logits x, stably; averaged. p is `pos_weight`."""
    if isinstance(reduction, int):
        reduction = {0: "none", 1: "mean", 2: "sum"}[reduction]
    reduction = legacy_reduction(size_average, reduce, reduction)
    how = code(reduction)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size "
                         f"({input.size()})")
    if weight is None and pos_weight is None:
        if input.dtype is not target.dtype:
            target = target.to(input.dtype)
        return _bce_logits_loss(input, target, how)
    softplus = function("softplus", "torch.nn.functional")
    if pos_weight is not None:
        log_weight = (pos_weight - 1) * target + 1
        terms = (1 - target) * input + log_weight * softplus(-input)
    else:
        terms = _bce_logits(input, target)
    if weight is not None:
        terms = terms * weight
    return reduced(terms, reduction)


# ---------------------------------------------------------------- divergences, likelihoods of distributions

_kl_div = pointwise("_kl_div(Tensor self, Tensor target) -> Tensor",
                    lambda x, t: s.where(t == 0, t * 0.0, t * s.log(t)) - t * x,
                    vjp={"self": lambda g, target: -g * target,
                         "target": lambda g, self, target: g * (
                             (target.log() + 1).masked_fill(target == 0, 0) - self)})


@public(namespaces=_F, method=False)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log target - input), pointwise; ``batchmean`` divides the sum by the batch size.

    input holds log-probabilities; target probabilities, or with log_target their logarithms.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support "
                      "size.'batchmean' divides only by the batch size, and aligns with the KL div math "
                      "definition.'mean' will be changed to behave the same as 'batchmean' in the next "
                      "major release.", stacklevel=2)
    terms = target.exp() * (target - input) if log_target else _kl_div(input, target)
    if reduction == "batchmean":
        return terms.sum() / input.shape[0] if input.dim() else terms.sum()
    return reduced(terms, reduction)


@public("kl_div", method=False)
def torch_kl_div(input, target, reduction=1, *, log_target=False):
    """Kullback-Leibler divergence with a numeric reduction (0 none, 1 mean, 2 sum)."""
    terms = target.exp() * (target - input) if log_target else _kl_div(input, target)
    return reduced(terms, {0: "none", 1: "mean", 2: "sum"}[reduction])


@public(namespaces=_F, method=False)
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
                     reduction="mean"):
    """exp(x) - t x (log_input) or x - t log(x + eps); full adds Stirling's term; averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not a valid value for reduction")
    terms = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        terms = terms + stirling.masked_fill(target <= 1, 0)
    return reduced(terms, reduction)


@public("poisson_nll_loss", method=False)
def torch_poisson_nll_loss(input, target, log_input, full, eps, reduction):
    """Poisson loss with a numeric reduction (0 none, 1 mean, 2 sum)."""
    return poisson_nll_loss(input, target, log_input, full, None, eps, None,
                            {0: "none", 1: "mean", 2: "sum"}[reduction])


@public(namespaces=_F, method=False)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """0.5 (log max(var, eps) + (x - t)**2 / max(var, eps)), averaged; full adds log(2π)/2."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = function("full_like")(input, var)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif input.size()[:-1] == var.size()[:-1] and var.size(-1) == 1:
            pass
        elif input.dim() == var.dim() and all(a == b or b == 1 for a, b in zip(input.shape, var.shape)):
            pass
        else:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    from ...autograd.modes import no_grad
    var = var.clone()
    with no_grad():
        var.clamp_(min=eps)
    terms = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        terms = terms + 0.5 * math.log(2 * math.pi)
    return reduced(terms, reduction)


# ---------------------------------------------------------------- margins

def _publish_margin(fn):
    """In torch with a numeric reduction allowed, in nn.functional by name."""
    public(namespaces=_F, method=False)(fn)
    return fn


@_publish_margin
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """x where target is 1, max(0, margin - x) where it is -1; averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    zero = input.new_zeros(())
    where = function("where")
    low = where(target != 1, (margin - input).clamp_min(0), zero)
    high = where(target != -1, input, zero)
    return reduced(low + high, reduction)


@_publish_margin
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                        reduction="mean"):
    """max(0, -t (x1 - x2) + margin), averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not (input1.dim() == input2.dim() == target.dim()):
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got "
                           f"sizes: input1: {input1.size()}, input2: {input2.size()}, target: "
                           f"{target.size()} ")
    return reduced((-target * (input1 - input2) + float(margin)).clamp_min(0), reduction)


@_publish_margin
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                          reduction="mean"):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1; averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.dim() == 1 and (input1.dim() != 2 or input2.dim() != 2):
        raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs with sizes "
                           f"{list(input1.shape)} and {list(input2.shape)}.")
    if target.dim() == 0 and (input1.dim() != 1 or input2.dim() != 1):
        raise RuntimeError("0D target tensor expects 1D input tensors, but found inputs with sizes "
                           f"{list(input1.shape)} and {list(input2.shape)}.")
    eps = 1e-12
    dot = (input1 * input2).sum(-1)
    m1 = (input1 * input1).sum(-1) + eps
    m2 = (input2 * input2).sum(-1) + eps
    cos = dot / (m1 * m2).sqrt()
    where = function("where")
    zero = cos.new_zeros(())
    terms = where(target == 1, 1 - cos, zero) + where(target == -1, (cos - margin).clamp_min(0), zero)
    return reduced(terms, reduction)


@_publish_margin
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False,
                        size_average=None, reduce=None, reduction="mean"):
    """max(0, d(a, p) - d(a, n) + margin) with p-norm distances, averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not (anchor.dim() == positive.dim() == negative.dim()):
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same "
                           f"number of dimensions, but got: anchor {anchor.dim()}D, positive "
                           f"{positive.dim()}D, and negative {negative.dim()}D inputs")
    distance = function("pairwise_distance", "torch.nn.functional")
    dp, dn = distance(anchor, positive, p, eps), distance(anchor, negative, p, eps)
    if swap:
        dn = function("minimum")(dn, distance(positive, negative, p, eps))
    return reduced((margin + dp - dn).clamp_min(0), reduction)


@_publish_margin
def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0,
                                      swap=False, reduction="mean"):
    """`triplet_margin_loss` with a distance of one's own."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    d = distance_function if distance_function is not None else function("pairwise_distance",
                                                                         "torch.nn.functional")
    if not (anchor.dim() == positive.dim() == negative.dim()):
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same "
                           f"number of dimensions, but got: anchor {anchor.dim()}D, positive "
                           f"{positive.dim()}D, and negative {negative.dim()}D inputs")
    dp, dn = d(anchor, positive), d(anchor, negative)
    if swap:
        dn = function("minimum")(dn, d(positive, negative))
    return reduced((margin + dp - dn).clamp_min(0), reduction)


def _classes_check(op, input, target):
    if input.dim() > 2 or (input.dim() == 2 and not input.shape[1]) or (
            input.dim() == 1 and not input.shape[0]):
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, but got:"
                           f" {list(input.shape)}")


@_publish_margin
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None,
                      reduction="mean"):
    """sum_{i != t} max(0, margin - x_t + x_i)**p / c, averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    code(reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    _classes_check("multi_margin_loss", input, target)
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    x = input if input.dim() == 2 else input.reshape(1, -1)
    t = target.reshape(-1)
    if t.shape[0] != x.shape[0]:
        raise RuntimeError(f"inconsistent target size, expected {x.shape[0]} but got {list(target.shape)}")
    xt = x.gather(1, t.unsqueeze(1))
    z = (margin - xt + x).clamp_min(0)
    if p == 2:
        z = z * z
    if weight is not None:
        z = z * weight[t].unsqueeze(1)
    mask = function("ones_like")(z).scatter(1, t.unsqueeze(1), 0.0)
    terms = (z * mask).sum(1) / x.shape[1]
    if input.dim() < 2 and target.dim() == 0:
        terms = terms.squeeze(0)
    return reduced(terms, reduction)


@_publish_margin
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """sum over targets j (up to the first -1) and others i of max(0, 1 - (x_j - x_i)) / c, averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    code(reduction)
    _classes_check("multilabel_margin_loss", input, target)
    if target.shape != input.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: "
                           f"{list(input.shape)}")
    x = input if input.dim() == 2 else input.reshape(1, -1)
    t = target if target.dim() == 2 else target.reshape(1, -1)
    terms = _multilabel_margins(x, t)[0]
    return reduced(terms.squeeze(0) if input.dim() < 2 else terms, reduction)


@dispatch.primitive("_multilabel_margins(Tensor self, Tensor target) -> (Tensor, Tensor)",
                    node="MultilabelMarginLossBackward0",
                    vjp=Joint(lambda g0, out1: (out1 * g0.unsqueeze(-1),)))
def _multilabel_margins(a, target):
    """The loss of each row and its slopes; labels count up to the first that is negative."""
    from ...runtime.allocator import empty
    if target.dtype != np.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype}")
    rows, classes = a.shape
    terms, slopes = empty((rows,), a.dtype), empty(a.shape, a.dtype)
    if not a.size:
        return terms, slopes
    element = {"float32": "float", "float64": "double"}.get(a.dtype.name) if compiled() else None
    if element is not None:
        from ...compiler.templates.margins import margins_kernel
        a, target, wrong = np.ascontiguousarray(a), np.ascontiguousarray(target), np.zeros(1, np.int64)
        margins_kernel(element)(terms, slopes, empty(a.shape, a.dtype), wrong, a, target, rows, classes)
        wrong = wrong[0]
    else:
        wrong = (target < -1).any() or (target >= classes).any()
    if wrong:
        raise RuntimeError("argument #2 'target' is out of range")
    for i, labels in enumerate(() if element is not None else target):
        labels = labels[np.logical_and.accumulate(labels >= 0)]
        margins = wide(a[i]) - wide(a[i])[labels, None] + 1
        hit = margins > 0
        hit[:, labels] = False
        terms[i] = margins[hit].sum() / classes
        counts = hit.sum(0).astype(np.float64)
        np.subtract.at(counts, labels, hit.sum(1))
        slopes[i] = counts / classes
    return terms, slopes


@_publish_margin
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None,
                                reduction="mean"):
    """-(t log σ(x) + (1 - t) log σ(-x)), mean over classes, then averaged."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    logsigmoid = function("logsigmoid", "torch.nn.functional")
    terms = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        terms = terms * weight
    return reduced(terms.mean(input.dim() - 1), reduction)


def _numeric(fn):
    """The function under `torch`, where the reduction is a number."""
    def wrapper(*args, reduction=MEAN, **kwargs):
        if isinstance(reduction, int):
            reduction = {0: "none", 1: "mean", 2: "sum"}[reduction]
        return fn(*args, reduction=reduction, **kwargs)
    wrapper.__name__ = wrapper.__qualname__ = fn.__name__
    wrapper.__doc__ = fn.__doc__
    return wrapper


for _f in (hinge_embedding_loss, margin_ranking_loss, cosine_embedding_loss, triplet_margin_loss):
    public(method=False)(_numeric(_f))

