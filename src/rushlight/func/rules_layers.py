"""Batching rules of normalizations, embeddings, likelihoods, attention and recurrent layers."""

from ..ops.registry import function
from .batched import decomposed, front
from .rules import aligned, decomposition, rule
from .rules_images import into, out_of
from .wrapped import highest, invoke, on, revived, unwrap

# ---------------------------------------------------------------- normalizations

def _flat(level, x, batched):
    return None if x is None else front(level, x, batched).reshape(-1)


@rule("batch_norm")
def _(level, rec, inner, batched):
    x, *params, training, eps = inner
    x = into(front(level, x, batched[0]), 1)
    params = [_flat(level, p, b) for p, b in zip(params, batched[1:5])]
    out, mean, invstd = invoke(rec, x, *params, training, eps)
    return out_of(out, 1, level.size), _stat(mean, level), _stat(invstd, level)


def _stat(x, level):
    return x.reshape(level.size, -1) if x is not None and x._a.size else x


@rule("batch_norm_backward")
def _(level, rec, inner, batched):
    g, x, w, rm, rv, mean, invstd, training, eps = inner
    g, x = into(front(level, g, batched[0]), 1), into(front(level, x, batched[1]), 1)
    rest = [_flat(level, p, b) for p, b in zip((w, rm, rv, mean, invstd), batched[2:7])]
    dx, dw, db = invoke(rec, g, x, *rest, training, eps)
    return out_of(dx, 1, level.size), _stat(dw, level), _stat(db, level)


def _affine_apart(rec, x, shape, w, b, call, n):
    """A normalization without parameters, times the weight, plus the bias; (output, statistics ...)."""
    out, *stats = call(None, None)
    if w is not None:
        out = out * w.reshape(shape)
    if b is not None:
        out = out + b.reshape(shape)
    return (out, *stats)


@rule("native_layer_norm")
def _(level, rec, inner, batched):
    x, shape, w, b, eps = inner
    if not batched[2] and not batched[3]:
        return invoke(rec, x, shape, w, b, eps)
    return decomposed(lambda x, shape, w, b, eps: _affine_apart(
        rec, x, shape, w, b, lambda *none: invoke(rec, x, shape, None, None, eps), 3))(level, rec, inner, batched)


@rule("_fused_rms_norm")
def _(level, rec, inner, batched):
    x, shape, w, eps = inner
    if not batched[2]:
        return invoke(rec, x, shape, w, eps)
    return decomposed(lambda x, shape, w, eps: _affine_apart(
        rec, x, shape, w, None, lambda *none: invoke(rec, x, shape, None, eps), 2))(level, rec, inner, batched)


@decomposition("native_layer_norm_backward")
def _(g, x, shape, w, mean, invstd, affine):
    dims = tuple(range(-len(shape), 0))
    lead = tuple(range(x.dim() - len(shape)))
    stat = mean.shape[:len(lead)] + (1,) * len(shape)
    xhat = (x - mean.reshape(stat)) * invstd.reshape(stat)
    gw = g if w is None else g * w.reshape(shape)
    dx = invstd.reshape(stat) * (gw - gw.mean(dims, True) - xhat * (gw * xhat).mean(dims, True))
    if not affine:
        return dx, None, None
    dw, db = g * xhat, g
    return dx, dw.sum(lead) if lead else dw, db.sum(lead) if lead else db


@rule("native_group_norm")
def _(level, rec, inner, batched):
    x, w, b, group, eps = inner
    if not batched[1] and not batched[2]:
        outs = invoke(rec, into(x, 0), w, b, group, eps)
        return tuple([out_of(y, 0, level.size) for y in outs])
    return decomposed(lambda x, w, b, group, eps: _affine_apart(
        rec, x, (1, -1) + (1,) * (x.dim() - 2), w, b, lambda *none: invoke(rec, x, None, None, group, eps), 3))(
            level, rec, inner, batched)


@decomposition("native_group_norm_backward")
def _(g, x, w, group, mean, rstd, affine):
    n, c = x.shape[:2]
    channels = (1, c) + (1,) * (x.dim() - 2)
    gw = (g if w is None else g * w.reshape(channels)).reshape(n, group, -1)
    stat = (n, group, 1)
    xhat = (x.reshape(n, group, -1) - mean.reshape(stat)) * rstd.reshape(stat)
    dx = (rstd.reshape(stat) * (gw - gw.mean(-1, True) - xhat * (gw * xhat).mean(-1, True))).reshape(x.shape)
    if not affine:
        return dx, None, None
    dims = (0, *range(2, x.dim()))
    return dx, (g * xhat.reshape(x.shape)).sum(dims), g.sum(dims)


# ---------------------------------------------------------------- embeddings and likelihoods

@rule("embedding")
def _(level, rec, inner, batched):
    w, index, pad, scale = inner
    if not batched[0]:
        return invoke(rec, w, index, pad, scale)
    if scale:
        return NotImplemented
    rows = w._a.shape[1]
    index = front(level, index, batched[1])
    offsets = function("arange")(level.size).reshape((-1,) + (1,) * (index._a.ndim - 1)) * rows
    out = invoke(rec, w.flatten(0, 1), index + offsets, -1, False)
    if pad >= 0:
        out = function("where")((index == pad).unsqueeze(-1), out.detach(), out)
    return out


def renormed(weight, index, once):
    """Let ``once(weight, index)`` change the tables of embeddings in place, sample by sample where batched."""
    level, _ = highest((weight, index))
    if level is None:
        return once(revived(weight), revived(index))
    if not level.batches:
        return renormed(unwrap(weight, level), unwrap(index, level), once)
    if not on(weight, level):
        level.lift(weight)
    w, i = unwrap(weight, level), unwrap(index, level)
    for k in range(level.size):
        renormed(w.select(0, k), i.select(0, k) if on(index, level) else i, once)
    return None


@decomposition("embedding_dense_backward")
def _(g, index, rows, pad, scale):
    if scale:
        return NotImplemented
    index, g = index.reshape(-1), g.reshape(-1, g.shape[-1])
    if pad >= 0:
        g = g.masked_fill((index == pad).unsqueeze(-1), 0)
    return function("zeros")((rows, g.shape[-1]), dtype=g.dtype).index_put((index,), g, True)


@decomposition("one_hot")
def _(index, classes):
    if classes < 0:
        raise RuntimeError("vmap: one_hot needs num_classes inside vmap, as the values do not tell it there")
    return (index.unsqueeze(-1) == function("arange")(classes)).to(index.dtype)


@decomposition("nll_loss_forward")
def _(x, target, weight, reduction, ignore):
    at = 0 if x.dim() == 1 else 1
    kept = target != ignore
    safe = function("where")(kept, target, 0)
    picked = -x.gather(at, safe.unsqueeze(at)).squeeze(at)
    if weight is not None:
        w = weight[safe]
        picked = picked * w
    else:
        w = kept.to(x.dtype)
    loss = picked.masked_fill(kept.logical_not(), 0)
    total = w.masked_fill(kept.logical_not(), 0).sum()
    if reduction == 0:
        return loss, total * 0
    loss = loss.sum()
    return (loss / total if reduction == 1 else loss), total


@decomposition("nll_loss_backward")
def _(g, target, weight, shape, reduction, ignore, total):
    at = 0 if len(shape) == 1 else 1
    kept = target != ignore
    safe = function("where")(kept, target, 0)
    if reduction == 1:
        g = g / total
    g = -g.expand(target.shape) if reduction else -g
    if weight is not None:
        g = g * weight[safe]
    g = g.masked_fill(kept.logical_not(), 0)
    return function("zeros")(shape, dtype=g.dtype).scatter(at, safe.unsqueeze(at), g.unsqueeze(at))


# ---------------------------------------------------------------- attention, recurrent layers

@rule("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward")
def _(level, rec, inner, batched):
    args, lead = list(inner), None
    for i in rec.tensor_args:
        if inner[i] is not None:
            x = front(level, inner[i], batched[i])
            if rec.args[i].name in ("attn_mask", "kept"):
                if batched[i] or rec.args[i].name == "kept":
                    x = aligned(x, True, 4)
                    args[i] = x.expand(level.size, lead, *x._a.shape[-3:]).flatten(0, 1)
            else:
                lead = x._a.shape[1]
                args[i] = x.flatten(0, 1)
    out = invoke(rec, *args)
    return tuple([y.unflatten(0, (level.size, lead)) for y in out])
