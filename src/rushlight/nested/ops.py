"""Ops on nested tensors: elementwise over all elements at once, along the last dimension, or component by component."""

import rushlight as torch
from rushlight import devices

from .arrays import OPS, Nested, apply, bind, closed, components, handles, is_nested, opened, refused

# What the strided layout does not have in PyTorch is done for the jagged one only.
_STRIDED = frozenset((
    "add.Tensor", "add.alpha", "sub.Tensor", "sub.alpha", "rsub", "mul.Tensor", "div.Tensor", "neg", "abs", "sgn",
    "relu", "gelu.none", "gelu.tanh", "tanh", "silu", "sin", "cos", "sqrt", "logical_not", "eq.Tensor", "ne.Tensor",
    "gt.Tensor", "ge.Tensor", "lt.Tensor", "le.Tensor", "masked_fill.Scalar", "masked_fill.Tensor", "where.self",
    "_to_copy", "clone", "mul.grad", "relu.grad"))


def run(rec, args, parts):
    """Run record `rec`, one of whose arguments holds `parts`."""
    key = rec.schema.partition("(")[0]
    handler = OPS.get(key)
    if handler is not None:
        return handler(*args)
    strided = parts.layout is not devices.jagged
    derived = key.startswith("_derived") or "grad" in key or rec.name.endswith("_backward")
    if (rec.kind == "pointwise" or key in ("_to_copy", "clone", "masked_fill.Scalar", "masked_fill.Tensor")) and (
            not strided or key in _STRIDED or derived):
        return _elementwise(rec, args, parts)
    raise refused(key.removesuffix(".Tensor"), parts)


def _elementwise(rec, args, parts):
    operands = [x for x in args if is_nested(x)]
    parts = operands[0]._a
    name = rec.schema.partition("(")[0]
    for x in operands[1:]:
        if x._a.layout is not parts.layout or x._a.sizes != parts.sizes or x._a.shape[-1:] != parts.shape[-1:]:
            if parts.layout is devices.jagged:
                raise RuntimeError(f"cannot call binary pointwise function {name} with inputs of shapes "
                                   f"{tuple(operands[0]._a.shape)} and {tuple(x._a.shape)}")
            raise RuntimeError(f"{rec.name} does not support broadcasting when given a NestedTensor")
    if parts.layout is devices.jagged and any(x._a.offsets is not parts.offsets for x in operands[1:]):
        raise RuntimeError(f"cannot call binary pointwise function {name} with inputs of shapes "
                           f"{tuple(parts.shape)} and {tuple(operands[1]._a.shape)}")
    taken = []
    for x in args:
        if is_nested(x):
            taken.append(opened(x))
        elif isinstance(x, torch.Tensor) and x.dim():
            taken.append(_dense_operand(rec, x, parts))
        else:
            taken.append(x)
    if any(x is None for x in taken):
        rest = [components(x) if is_nested(x) else None for x in args]
        found = [rec.call(*[x if ys is None else ys[i] for x, ys in zip(args, rest)]) for i in range(len(parts.sizes))]
        return bind(found, parts, name=rec.node_name)
    return closed(rec.call(*taken), parts, rec.node_name)


def _dense_operand(rec, x, parts):
    """A dense operand that broadcasts over the elements of all components."""
    if parts.layout is not devices.jagged:
        raise RuntimeError("Expected both self and other to be nested, but got a nested self and non-nested other")
    inner = parts.values.dim()
    shape = tuple(x.shape)
    if x.dim() > inner:
        shape = shape[x.dim() - inner:] if all(s == 1 for s in shape[:x.dim() - inner]) else None
    if shape is None or len(shape) == inner and shape[parts.ragged - 1] != 1:
        raise RuntimeError(f"cannot call binary pointwise function {rec.name} with inputs of shapes "
                           f"{tuple(parts.shape)} and {tuple(x.shape)}")
    return x.reshape(shape)


# ---------------------------------------------------------------- along the last dimension

def _packed(x):
    """(values with the last dimension apart, function that puts results back), or None where sizes differ there."""
    parts = x._a
    if parts.layout is devices.jagged:
        if parts.ragged == parts.ndim - 1:
            return None
        return opened(x), lambda y, name: closed(y, _resized(parts, y), name)
    width = {s[-1] for s in parts.sizes}
    if len(width) != 1:
        return None
    w = width.pop()

    def back(y, name):
        sizes = [(*s[:-1], y.shape[-1]) for s in parts.sizes]
        flat = y.reshape(-1)
        return closed(flat, Nested(parts.layout, flat.detach(), sizes), name)
    return opened(x).reshape(-1, w), back


def _resized(parts, values):
    sizes = []
    for s in parts.sizes:
        n = list(values.shape)
        n[parts.ragged - 1] = s[parts.ragged - 1]
        sizes.append(tuple(n))
    return Nested(parts.layout, values.detach(), sizes, parts.offsets, parts.lengths, parts.ragged)


def _last(fn, x, name):
    packed = _packed(x)
    if packed is None:
        return apply(fn, x, name=name)
    values, back = packed
    return back(fn(values), name)


@handles("linear", "linear.matrix", "linear.bias")
def _linear(x, weight, bias):
    if not is_nested(x):
        raise RuntimeError("linear: the weight must not be nested")
    return _last(lambda v: torch.nn.functional.linear(v, weight, bias), x, "LinearBackward0")


@handles("_matmul_fold")
def _fold(x, w):
    if x._a.layout is not devices.jagged:
        raise RuntimeError("Expected both to be nested, but got a nested self and non-nested other")
    return _last(lambda v: torch.matmul(v, w), x, "MatmulBackward0")


def _softmax_of(fn, name):
    def run(x, dim, *rest):
        n = x.dim()
        if dim % n == 0:
            raise RuntimeError(f"{name}: Cannot apply softmax across nested dimension 0")
        if dim % n == n - 1:
            return _last(lambda v: fn(v, -1), x, "SoftmaxBackward0")
        return apply(lambda v: fn(v, dim % n - 1), x, name="SoftmaxBackward0")
    return run


OPS["_softmax"] = _softmax_of(torch.softmax, "softmax")
OPS["_log_softmax"] = _softmax_of(torch.log_softmax, "log_softmax")


@handles("native_layer_norm")
def _layer_norm(x, shape, weight, bias, eps):
    out = _last(lambda v: torch.nn.functional.layer_norm(v, tuple(shape), weight, bias, eps), x,
                "NativeLayerNormBackward0") if len(shape) == 1 else apply(
        lambda v: torch.nn.functional.layer_norm(v, tuple(shape), weight, bias, eps), x)
    return out, None, None


@handles("_fused_rms_norm")
def _rms_norm(x, shape, weight, eps):
    return _last(lambda v: torch.nn.functional.rms_norm(v, tuple(shape), weight, eps), x, "FusedRmsNormBackward0"), None


# ---------------------------------------------------------------- reductions

@handles("sum")
def _sum(x, np_dtype):
    if x._a.layout is not devices.jagged:
        raise refused("sum", x._a)
    return opened(x).sum() if x._a.lengths is None else sum(v.sum() for v in components(x))


@handles("eq.Tensor")
def _eq(a, b):
    if is_nested(b) and b._a.layout is not devices.jagged:
        raise RuntimeError("eq does not support nested tensor as other value.")
    from rushlight.record import RECORDS
    return _elementwise(RECORDS["eq.Tensor"], (a, b), (a if is_nested(a) else b)._a)


@handles("mean")
def _mean(x, np_dtype):
    if x._a.layout is not devices.jagged:
        raise refused("mean", x._a)
    return opened(x).mean()


def _along(fn, word):
    def run(x, dims, keepdim, *rest):
        parts, n = x._a, x.dim()
        if parts.layout is not devices.jagged and word != "sum":
            raise refused(f"{word}.dim", parts)
        dims = (dims,) if isinstance(dims, int) else tuple(dims) or tuple(range(n))
        if len(dims) == n:
            return fn(opened(x))
        if parts.layout is not devices.jagged:
            if dims != (n - 1,):
                raise RuntimeError("NestedTensor can only be reduced across the last dimension for now got dimension "
                                   f"{dims[0]} instead.")
            if not keepdim:
                raise RuntimeError("NestedTensor always requires keepdim=True for now.")
            return apply(lambda v: fn(v, -1, True), x, name="SumBackward1")
        if 0 in dims:
            raise RuntimeError(f"{word}(): reducing along the batch dimension but not the ragged dimension is not "
                               "supported for nested tensors")
        inner = [d - 1 for d in dims]
        if parts.ragged in dims:
            return torch.stack([fn(v, inner, keepdim) for v in components(x)])
        values = fn(opened(x), inner, keepdim)
        ragged = parts.ragged if keepdim else parts.ragged - sum(d < parts.ragged for d in dims)
        sizes = [tuple(parts.sizes[i][parts.ragged - 1] if k == ragged - 1 else m for k, m in enumerate(values.shape))
                 for i in range(len(parts.sizes))]
        return closed(values, Nested(parts.layout, values.detach(), sizes, parts.offsets, parts.lengths, ragged),
                      f"{word.capitalize()}Backward1")
    return run


OPS["sum.dim_IntList"] = _along(torch.sum, "sum")
OPS["mean.dim"] = _along(torch.mean, "mean")
OPS["amax"] = _along(torch.amax, "amax")
OPS["amin"] = _along(torch.amin, "amin")


def _position(fn, word):
    reduce = _along(lambda v, dims, keepdim: fn(v, *dims, keepdim=keepdim), word)

    def run(x, dim, keepdim):
        if dim is None:
            raise refused(word, x._a)
        return reduce(x, dim % x.dim(), keepdim)
    return run


OPS["argmax"] = _position(torch.argmax, "argmax")
OPS["argmin"] = _position(torch.argmin, "argmin")


def _whole(name, fn):
    def run(x, *rest):
        if x._a.layout is not devices.jagged or any(r not in (None, (), False) for r in rest):
            raise refused(name, x._a)
        return fn(opened(x))
    OPS[name] = run


for _name, _fn in (("max", torch.max), ("min", torch.min), ("any", torch.any), ("all", torch.all)):
    _whole(_name, _fn)


# ---------------------------------------------------------------- products

@handles("bmm")
def _bmm(a, b):
    if not (is_nested(a) and is_nested(b)):
        nested = "self" if is_nested(a) else "other"
        if a._a.nested if is_nested(a) else b._a.nested:
            raise RuntimeError(f"Expected both to be nested, but got a nested {nested} and non-nested "
                               f"{'other' if nested == 'self' else 'self'}")
    if len(a._a.sizes) != len(b._a.sizes):
        raise RuntimeError("matmul: Expected size for the 1st dimension of 2nd input tensor to be: "
                           f"{len(a._a.sizes)} but got: {len(b._a.sizes)}.")
    if a._a.layout is devices.jagged:
        raise RuntimeError(f"matmul(): not supported between inputs of shapes {tuple(a._a.shape)} and "
                           f"{tuple(b._a.shape)}")
    return apply(torch.matmul, a, b, name="BmmBackward0")


def attention(q, k, v, mask, dropout, causal, scale, gqa):
    """Scaled dot products, component by component: (heads, length, width) each."""
    if mask is not None:
        raise RuntimeError("scaled_dot_product_attention: masks are not supported for nested tensors")

    def one(a, b, c):
        return torch.nn.functional.scaled_dot_product_attention(
            a.unsqueeze(0), b.unsqueeze(0), c.unsqueeze(0), None, dropout, causal, scale=scale,
            enable_gqa=gqa).squeeze(0)
    return apply(one, q, k, v, name="ScaledDotProductAttentionBackward0")


# ---------------------------------------------------------------- dimensions

@handles("transpose.int")
def _transpose(x, a, b):
    parts, n = x._a, x.dim()
    a, b = a % n, b % n
    if a == b:
        return x
    if 0 in (a, b):
        raise RuntimeError("Nested tensor dimension 0 cannot be transposed")
    if parts.layout is not devices.jagged:
        return apply(lambda v: v.transpose(a - 1, b - 1), x, name="TransposeBackward0")
    values = opened(x).transpose(a - 1, b - 1)
    ragged = b if parts.ragged == a else a if parts.ragged == b else parts.ragged
    sizes = []
    for s in parts.sizes:
        s = list(s)
        s[a - 1], s[b - 1] = s[b - 1], s[a - 1]
        sizes.append(tuple(s))
    return closed(values, Nested(parts.layout, values.detach(), sizes, parts.offsets, parts.lengths, ragged),
                  "TransposeBackward0")


@handles("permute")
def _permute(x, dims):
    if x._a.layout is not devices.jagged:
        raise refused("permute", x._a)
    dims = [d % x.dim() for d in dims]
    if dims[0]:
        raise RuntimeError("permute(): the batch dimension of a NestedTensor stays first")
    parts = x._a
    inner = [d - 1 for d in dims[1:]]
    values = opened(x).permute(inner)
    sizes = [tuple(s[i] for i in inner) for s in parts.sizes]
    return closed(values, Nested(parts.layout, values.detach(), sizes, parts.offsets, parts.lengths,
                                 dims.index(parts.ragged)), "PermuteBackward0")


@handles("unbind.int")
def _unbind(x, dim):
    if dim % x.dim():
        raise RuntimeError("unbind(): NestedTensor can only be unbound along dimension 0")
    return tuple(components(x))


@handles("select.int")
def _select(x, dim, index):
    if dim % x.dim() == 0:
        return components(x)[index]
    return apply(lambda v: v.select(dim % x.dim() - 1, index), x, name="SelectBackward0")


@handles("slice.Tensor")
def _slice(x, dim, start, end, step):
    s = slice(start, end, step)
    if dim % x.dim() == 0:
        return bind(components(x)[s], x._a)
    at = (slice(None),) * (dim % x.dim() - 1)
    return apply(lambda v: v[(*at, s)], x, name="SliceBackward0")


@handles("split.Tensor", "split_with_sizes")
def _split(x, size, dim):
    dim %= x.dim()
    pieces = [v.split(size, dim - 1) for v in components(x)]
    return tuple(bind([p[i] for p in pieces], x._a) for i in range(len(pieces[0])))


@handles("unsqueeze")
def _unsqueeze(x, dim):
    dim %= x.dim() + 1
    if dim == 0:
        raise RuntimeError("unsqueeze(): For nested tensors, unsqueezing dimension 0 is not supported at the moment")
    ragged = x._a.ragged + (dim <= x._a.ragged)
    found = [v.unsqueeze(dim - 1) for v in components(x)]
    return bind(found, x._a, ragged=ragged, name="UnsqueezeBackward0")


@handles("squeeze")
def _squeeze(x):
    raise RuntimeError("squeeze(): For nested tensors, squeeze without the dim argument is not supported")


@handles("cat")
def _cat(tensors, dim):
    first = next(t for t in tensors if is_nested(t))
    if any(not is_nested(t) for t in tensors):
        raise RuntimeError("cat(): all tensors must be nested")
    dim %= first.dim()
    if dim == 0:
        if first._a.layout is devices.jagged:
            raise RuntimeError("cat(): not supported for NestedTensor on dim=0")
        return bind([v for t in tensors for v in components(t)], first._a, name="CatBackward0")
    return apply(lambda *vs: torch.cat(vs, dim - 1), *tensors, name="CatBackward0")


@handles("view", "_unsafe_view")
def _view(x, shape):
    return reshaped(x, shape)


def reshaped(x, shape):
    """`x` in a new shape whose first two dimensions are the batch and the ragged one (given as -1 or as it is)."""
    parts = x._a
    shape = list(shape)
    if shape[0] not in (len(parts.sizes), -1):
        raise RuntimeError(f"view: the batch dimension of a nested tensor stays, {len(parts.sizes)}, got {shape[0]}")
    rest = shape[2:]
    return bind([v.reshape(-1, *rest) for v in components(x)], parts, ragged=1, name="ViewBackward0")


# ---------------------------------------------------------------- leaving

def to_padded_tensor(x, padding, output_size=None):
    """The components in one dense tensor, each filled up with `padding` to the largest sizes, or to `output_size`.

    What of a jagged dimension goes beyond `output_size` is left out.
    """
    if not is_nested(x):
        raise NotImplementedError("to_padded_tensor: expected a nested tensor")
    found = components(x)
    if not found:
        return torch.empty(0)
    largest = [max(s) for s in zip(*x._a.sizes)]
    if output_size is not None:
        size = [int(n) for n in output_size]
        if len(size) != len(largest) + 1:
            raise RuntimeError("Length of output_size does not match NestedTensor dims.")
        jagged = x._a.layout is devices.jagged
        if any(n < m and not (jagged and i == x._a.ragged - 1) for i, (n, m) in enumerate(zip(size[1:], largest))):
            raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not "
                               "supported.")
        largest = size[1:]
    padded = []
    for v in found:
        widths = []
        for have, want in zip(reversed(v.shape), reversed(largest)):
            widths += [0, want - have]
        padded.append(torch.nn.functional.pad(v, widths, value=padding) if any(widths) else v)
    return torch.stack(padded)
