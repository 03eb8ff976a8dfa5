"""Batch normalization in training takes in the addition of a residual, the relu, and on the way back their gradients.

    batch_norm; (add); relu                         y in one pass over x after the statistics
    (add); relu's gradient; batch_norm_backward; (sum)
                                                    relu's gradient is computed where it is used; the sum over
                                                    positions, a convolution's bias gradient, comes along

In evaluation normalization, residual and relu are one pass, too. The arithmetic is the single kernels'; only sums of
the last kind add in another order. Images may be channels-last, and limits of ``hardtanh`` (relu6) go the way of relu
there.
"""

import math

from ..tape import Step, Window
from .flow import Flow, is_dense, is_last, replaced

_NAMES = {"f4": "float32", "f8": "float64"}


def norms(steps, visible):
    """The steps with such groups as single kernels."""
    if not any(s.label == "batch_norm" for s in steps):
        return steps
    steps, results = _forward(steps, visible)
    return _backward(steps, visible, results)


def _served(x):
    """Whether the kernels serve an input: dense (n, c, *s) or channels-last, with enough elements to a channel."""
    if not (is_dense(x) or is_last(x)) or len(x.shape) < 3 or x.dtype.str[1:] not in _NAMES or 0 in x.shape:
        return False
    rest = math.prod(x.shape[2:])
    return rest >= 4 and (x.shape[1] >= 8 or x.shape[0] * rest <= 1 << 20)


def _like(w, x):
    same = is_dense if is_dense(x) else is_last
    return isinstance(w, Window) and w.shape == x.shape and w.dtype == x.dtype and same(w)


def _kernels(x):
    """The module of kernels for the layout of x."""
    if is_dense(x):
        from ...compiler.templates import batchnorm_relu as kernels
    else:
        from ...compiler.templates import columnnorm_relu as kernels
    return kernels


def _columns(*parameters):
    return all(w is None or is_dense(w) for w in parameters)


def _next(flow, steps, w, label, count):
    """The index of the one step that reads `w`, if it is a pointwise one of that name with `count` operands."""
    readers = flow.read(w)
    if len(readers) != 1 or not flow.only(w, readers[0]) or flow.maker(w) is None:
        return None
    s = steps[readers[0]]
    return readers[0] if _is(s, label, count) and flow.maker(s.outs[0]) == readers[0] else None


def _is(step, label, count):
    return step.kind == "pointwise" and step.label == label and len(step.outs) == 1 and \
        sum(isinstance(a, Window) for a in step.args) == count


# ------------------------------------------------------------ forward

def _forward(steps, visible):
    """(steps, {id(buffer of a relu's result): the fused step})"""
    flow = Flow(steps, visible)
    at, drop, results = {}, set(), {}
    for i, step in enumerate(steps):
        if step.label != "batch_norm" or step.kind != "kernel":
            continue
        x, w, b, mean, variance, training, eps = step.args
        y = step.outs[0]
        if not _served(x) or not _like(y, x) or not _columns(w, b, mean, variance) or \
                any(v is not None and v.dtype != x.dtype for v in (w, b, mean, variance)):
            continue
        r = add = None
        if not training and not is_dense(x):
            continue                    # `layout` has them go by elements
        limits = _limited(flow, steps, step, i) if not is_dense(x) else None
        relu = _next(flow, steps, y, "relu", 1) if limits is None else limits[0]
        if relu is None:
            add = _next(flow, steps, y, "add", 2)
            if add is not None and _plain_sum(steps[add], x):
                relu = _next(flow, steps, steps[add].outs[0], "relu", 1)
                r = next((a for a in steps[add].args if isinstance(a, Window) and a.buffer is not y.buffer), None)
                if relu is None or r is None or not flow.still(r, i, add):
                    relu = add = r = None
            else:
                add = None
        if relu is None and training or not training and any(
                flow.read(o) or id(o.buffer) in visible for o in step.outs[1:]):
            continue
        out = y if relu is None else steps[relu].outs[0]
        if not _like(out, x):
            continue
        place, behind = i, []
        if r is not None and flow.maker(r) is not None and flow.maker(r) > i:
            # What reads the statistics goes with the kernel to where the residual is there.
            place = add
            behind = [k for k in range(i + 1, add) if any(flow.readers.get(id(o.buffer), ()) and
                      k in flow.read(o) for o in step.outs[1:])]
            if any(steps[k].label != "running statistics" for k in behind) or not flow.still(x, i, add):
                continue
        if training:
            fused = _fused_forward(step, x, w, b, r, out, eps, limits and limits[1:])
            results[id((out if limits is None else y).buffer)] = fused
        else:
            fused = _evaluation(x, w, b, r, mean, variance, out, eps, relu is not None)
        at[place] = [fused, *[steps[k] for k in behind]]
        drop |= {k for k in (i, add, relu, *behind) if k is not None}
    return replaced(steps, at, drop), results


def _plain_sum(step, x):
    """Whether a step adds two arrays of one shape, unscaled."""
    return all(_like(a, x) for a in step.args if isinstance(a, Window)) and all(
        a == 1 for a in step.args if not isinstance(a, Window))


def _limited(flow, steps, step, i):
    """(index of the step, limits) of a ``hardtanh`` of a normalization's result, which else is read by its gradient
    only, just before the normalization's; or None."""
    y, x = step.outs[0], step.args[0]
    readers = flow.read(y)
    if not 1 <= len(readers) <= 2 or flow.maker(y) != i or id(y.buffer) in flow.visible:
        return None
    f = steps[readers[0]]
    if not _is(f, "hardtanh", 1) or flow.maker(f.outs[0]) != readers[0] or not _like(f.outs[0], x):
        return None
    limits = _numbers(f)
    if len(readers) == 2:
        p = readers[1]
        if not _is(steps[p], "hardtanh", 2) or _numbers(steps[p]) != limits or flow.maker(steps[p].outs[0]) != p:
            return None
        before, own = [a for a in steps[p].args if isinstance(a, Window)]
        g = steps[p].outs[0]
        k = flow.read(g)[0] if len(flow.read(g)) == 1 else None
        if k is None or id(g.buffer) in flow.visible or steps[k].label != "batch_norm_backward" or \
                steps[k].kind != "kernel" or own.key() != y.key() or not _like(before, x) or \
                not flow.still(before, p, k):
            return None
        g, other, w, _, _, mean, rstd, training, _ = steps[k].args
        if not training or g.key() != steps[p].outs[0].key() or other.key() != x.key() or \
                [mean.key(), rstd.key()] != [o.key() for o in step.outs[1:]] or not _columns(w, mean, rstd) or \
                not _like(steps[k].outs[0], x) or not all(v is None or flow.still(v, i + 1, k) for v in step.args[:3]):
            return None
    return readers[0], *limits


def _numbers(step):
    return tuple([float(a) for a in step.args if type(a) in (int, float)])


def _fused_forward(step, x, w, b, r, out, eps, limits):
    kernels, act = _kernels(x), () if limits is None else ("clamp",)
    n, c, l = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    call = kernels.forward(_NAMES[x.dtype.str[1:]], r is not None, *act)
    words = kernels.forward_words(n, c, l, x.dtype.itemsize, eps, *(limits or ()))
    label = "+".join(["batch_norm"] + ["add"] * (r is not None) + ["relu" if limits is None else "hardtanh"])
    return Step("into", label, call, [x, w, b, r, words], [out, *step.outs[1:]],
                source=(_fused_forward, [step, x, w, b, r, out, eps, limits]))


def _evaluation(x, w, b, r, mean, variance, out, eps, relu):
    from ...compiler.templates import batchnorm_relu as kernels
    call = kernels.evaluate(_NAMES[x.dtype.str[1:]], r is not None, relu)
    words = kernels.evaluate_words(x.shape[0], x.shape[1], math.prod(x.shape[2:]), x.dtype.itemsize, eps)
    label = "+".join(["evaluated batch_norm"] + ["add"] * (r is not None) + ["relu"] * relu)
    return Step("into", label, call, [x, w, b, r, mean, variance, words], [out], (0, 3),
                (_evaluation, [x, w, b, r, mean, variance, out, eps, relu]))


# ------------------------------------------------------------ backward

def _backward(steps, visible, results):
    flow = Flow(steps, visible)
    at, drop = {}, set()
    for k, step in enumerate(steps):
        if step.label != "batch_norm_backward" or step.kind != "kernel":
            continue
        g, x, w, _, _, mean, rstd, training, _ = step.args
        if not training or not _served(x) or not _like(g, x) or not _like(step.outs[0], x) or \
                not _columns(w, mean, rstd):
            continue
        made = _masked(flow, steps, g, k, x, results, at, drop)
        whole = _total(flow, steps, step.outs[0], k)
        if made is None and whole is None:
            continue
        gr, g, h, y, b, mask_of, limits, gone = made or (None, g, None, None, None, None, None, set())
        gone |= set() if whole is None else {whole}
        total = None if whole is None else steps[whole].outs[0]
        at[k] = [_fused_backward(step, gr, total, g, h, y, x, w, b, mean, rstd, mask_of, limits)]
        drop |= gone
    return replaced(steps, at, drop)


def _masked(flow, steps, g, k, x, results, at, drop):
    """What makes the gradient `g` of step `k` if it is a relu's or hardtanh's: (gr, g, h, y, b, mask_of, limits, steps
    that go); or None."""
    p = flow.maker(g)
    if p is None or p in drop or id(g.buffer) in flow.visible or not (
            _is(steps[p], "relu", 2) or _is(steps[p], "hardtanh", 2)):
        return None
    before, y = [a for a in steps[p].args if isinstance(a, Window)]
    if not _like(before, x) or not _like(y, x) or not flow.still(y, p, k):
        return None
    readers = flow.read(g)
    if any(i < k for i in readers) or not flow.still(before, p, k):
        return None
    gr = None if readers == [k] else g
    gone, h = {p}, None
    a = flow.maker(before)
    if a is not None and flow.only(before, p) and _is(steps[a], "add", 2) and _plain_sum(steps[a], x):
        first, second = [v for v in steps[a].args if isinstance(v, Window)]
        if flow.still(first, a, k) and flow.still(second, a, k):
            before, h = first, second
            gone.add(a)
    own = results.get(id(y.buffer))
    limits = _numbers(steps[p]) if steps[p].label == "hardtanh" else None
    if limits is not None and own is None:
        return None
    if limits is not None:
        return gr, before, h, None, own.args[2], "x", limits, gone
    if own is not None and own.args[0].key() == x.key() and own.args[3] is None and _unchanged(flow, own, k):
        return gr, before, h, None, own.args[2], "x", None, gone
    return gr, before, h, y, None, "y", None, gone


def _unchanged(flow, own, k):
    """Whether the input and the parameters of a forward kernel are still what they were."""
    begin = next(i for i, s in enumerate(flow.steps) if s is own)
    return all(v is None or flow.still(v, begin + 1, k) for v in own.args[:3])


def _total(flow, steps, dx, k):
    """The index of a step that sums `dx` for each channel."""
    axes = (0, *range(2, len(dx.shape)))
    for i in flow.read(dx):
        s = steps[i]
        if s.kind == "kernel" and s.label == "sum" and s.args[0].key() == dx.key() and s.args[1] == axes and \
                not s.args[2] and s.args[3] == dx.dtype and i > k:
            return i
    return None


def _fused_backward(step, gr, total, g, h, y, x, w, b, mean, rstd, mask_of, limits):
    kernels, act = _kernels(x), () if limits is None else ("clamp",)
    n, c, l = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    call = kernels.backward(_NAMES[x.dtype.str[1:]], mask_of, h is not None, gr is not None, total is not None, *act)
    sums = () if is_dense(x) else (total is not None, *(limits or ()))
    words = kernels.backward_words(n, c, l, x.dtype.itemsize, *sums)
    outs = [*step.outs, gr, total]
    masked = [] if mask_of is None else ["relu" if limits is None else "hardtanh"]
    label = "+".join(["add"] * (h is not None) + masked + ["batch_norm_backward"] + ["sum"] * (total is not None))
    # `gr` is stored while x is still to be read again.
    places = (0, 1, 2, 3) if gr is None else (0, 1, 2)
    return Step("into", label, call, [g, h, y, x, w, b, mean, rstd, words], outs, places,
                (_fused_backward, [step, gr, total, g, h, y, x, w, b, mean, rstd, mask_of, limits]))
