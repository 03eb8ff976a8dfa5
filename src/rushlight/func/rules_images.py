"""Batching rules of convolutions, pooling, resampling and padding: the batch joins the samples or the channels."""

from ..record import RECORDS
from ..tensor.tensor import Tensor
from .batched import front
from .rules import RULES, rank_of, rule
from .wrapped import invoke


def into(x, at):
    """The first dimension of `x`, the batch, merged into dimension `at` of a sample (the batch running slower)."""
    return x.movedim(0, at).flatten(at, at + 1)


def out_of(x, at, size):
    """The batch taken out of dimension `at` again, to the front."""
    return x.unflatten(at, (size, -1) if x._a.shape[at] else (size, 0)).movedim(at, 0)


def into_channels(x, at, groups):
    """The batch merged into the channels at `at`, which consist of `groups` groups: group, batch, channel in group."""
    if groups == 1:
        return into(x, at)
    x = x.unflatten(at + 1, (groups, -1))               # (B, ..., g, c/g, ...)
    return x.movedim(0, at + 1).flatten(at, at + 2)


def out_of_channels(x, at, groups, size):
    """The batch out of channels that are ordered group, batch, channel in group."""
    if groups == 1:
        return out_of(x, at, size)
    x = x.unflatten(at, (groups, size, -1)).movedim(at + 1, 0)
    return x.flatten(at + 1, at + 2)


@rule("convolution", "convolution_transposed")
def _(level, rec, inner, batched):
    x, w, bias, *rest = inner
    groups = rest[-1]
    B = level.size
    transposed = rec.name == "convolution_transposed"
    if batched[2] or bias is not None and batched[1]:
        own, b = None, bias
    else:
        own, b = bias, None
    if not batched[1]:
        if batched[0]:
            out = out_of(invoke(rec, into(x, 0), w, own, *rest), 0, B)
        else:
            out = invoke(rec, x, w, own, *rest)
            out = out.expand(B, *out._a.shape) if b is not None else out
    elif batched[0] or transposed:
        x = front(level, x, batched[0])
        out = out_of(invoke(rec, into(x, 1), into(w, 0), own, *rest[:-1], groups * B), 1, B)
    else:
        out = invoke(rec, x, into_channels(w, 0, groups), own, *rest)
        out = out_of_channels(out, 1, groups, B)
    if b is None:
        return out
    shape = (1, -1) + (1,) * (out._a.ndim - 3)
    return out + (b.reshape(B, *shape) if batched[2] else b.reshape(shape))


@rule("conv_input")
def _(level, rec, inner, batched):
    g, w, *rest = inner
    if not batched[1]:
        return out_of(invoke(rec, into(g, 0), w, *rest), 0, level.size)
    g = front(level, g, batched[0])
    return out_of(invoke(rec, into(g, 1), into(w, 0), *rest[:-1], rest[-1] * level.size), 1, level.size)


@rule("conv_weight")
def _(level, rec, inner, batched):
    x, g, *rest = inner
    x, g = front(level, x, batched[0]), front(level, g, batched[1])
    return out_of(invoke(rec, into(x, 1), into(g, 1), *rest[:-1], rest[-1] * level.size), 0, level.size)


# ---------------------------------------------------------------- planes

def planes(level, rec, inner, batched):
    """Ops on every plane of (n, c, *space): the batch joins n. Sizes that begin with n are made to fit."""
    args = list(inner)
    where = [i for i in rec.tensor_args if isinstance(inner[i], Tensor)]
    first = inner[where[0]]
    n = rank_of(first, batched[where[0]])
    merged = n >= 2
    lead = None
    for i in where:
        x = front(level, inner[i], batched[i])
        if merged:
            lead = x._a.shape[1]
            x = x.flatten(0, 1)
        args[i] = x
    for i, a in enumerate(rec.args):
        if a.name in ("shape",) or a.name == "size" and rec.name == "max_poolscatter":
            args[i] = (level.size * inner[i][0], *inner[i][1:]) if merged else (level.size, *inner[i])
    out = invoke(rec, *args)
    if not merged:
        return out
    if type(out) is tuple:
        return tuple([y.unflatten(0, (level.size, lead)) for y in out])
    return out.unflatten(0, (level.size, lead))


for _key, _rec in RECORDS.items():
    if _rec.kind == "kernel" and (getattr(_rec, "module", "") in (
            "rushlight.ops.nn.pooling", "rushlight.ops.nn.irregular_pooling", "rushlight.ops.nn.rearrange",
            "rushlight.ops.nn.resampling") or getattr(_rec, "module", "") == "rushlight.ops.padding" and
            _rec.name != "constant_pad_nd"):
        RULES[_key] = planes
