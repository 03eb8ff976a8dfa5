"""Dropout and its relatives. Masks come from the default generator, as PyTorch draws them."""

import math

from ... import dtypes
from ...randomness.checks import DIGITS
from ..inplace import apply
from ..random import dropout_mask
from ..registry import FUNCTIONS, function, public

_F = ("torch.nn.functional",)


def _check(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _noise(shape, dtype, keep):
    """A mask tensor drawn as ``empty(shape).bernoulli_(keep)``, divided by `keep`."""
    mask = function("empty")(tuple(shape), dtype=dtype)
    mask.bernoulli_(keep)
    return mask


def _dropout(x, p, train):
    if p == 0 or not train or not x.numel():
        return x
    if p == 1:
        return x * x.new_zeros(())
    if x.dtype.name not in DIGITS:
        return x * _noise(x.shape, x.dtype, 1 - p).div_(1 - p)
    return x * dropout_mask(x, 1 - p)


def _feature(x, p, train):
    """Whole channels dropped: the mask has the shape (n, c, 1, ...)."""
    if p == 0 or not train or not x.numel():
        return x
    if p == 1:
        return x * x.new_zeros(())
    if x.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = (*x.shape[:2],) + (1,) * (x.dim() - 2)
    return x * _noise(shape, x.dtype, 1 - p).div_(1 - p)


_ALPHA = 1.7580993408473766


def _alpha(x, p, train, feature):
    """Klambauer et al., "Self-Normalizing Neural Networks", arXiv:1706.02515."""
    if p == 0 or not train or not x.numel():
        return x
    if p == 1:
        return x * x.new_zeros(())
    if feature:
        mask = _noise((*x.shape[:2],) + (1,) * (x.dim() - 2), x.dtype, 1 - p)
    else:
        mask = function("empty_like")(x).bernoulli_(1 - p)  # its order of drawing is the memory's
    a = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    b = mask.sub(1).mul(_ALPHA * a).add(_ALPHA * a * p)
    return x * mask.mul(a) + b


def _finish(fn, name, input, inplace):
    if inplace:
        return apply(lambda t: fn(t), input, (), {}, name)
    return fn(input)


def _define(name, op, doc, default):
    def dropout(input, p=0.5, training=default, inplace=False):
        _check(p)
        return _finish(lambda t: op(t, p, training), name, input, inplace)
    dropout.__name__ = dropout.__qualname__ = name
    dropout.__doc__ = doc
    public(namespaces=_F, method=False)(dropout)
    _positional(name, op)


def _positional(name, op):
    """The operators ``torch.<name>(input, p, train)`` and ``torch.<name>_``, which layers of old versions called."""
    def plain(input, p, train):
        _check(p)
        return op(input, p, train)

    def change(input, p, train):
        _check(p)
        return apply(lambda t: op(t, p, train), input, (), {}, name)
    plain.__name__, change.__name__ = name, name + "_"
    plain.__doc__ = f"`nn.functional.{name}` with all arguments given."
    change.__doc__ = f"In-place version of :func:`{name}`."
    FUNCTIONS.setdefault("torch", {}).update({name: plain, name + "_": change})


_define("dropout", _dropout, """Each element 0 with probability `p`, else ``input / (1 - p)``, while `training`.

    The mean stays what it is (Srivastava et al., "Dropout", 2014). Without `training` the input itself comes back.
    ValueError for `p` outside [0, 1].
    """, True)
_define("alpha_dropout", lambda x, p, t: _alpha(x, p, t, False), """Dropout that keeps mean 0 and variance 1 of the \
activations of self-normalizing networks.

    Dropped elements become ``-1.7581 a + b``, others ``a input + b``, with a and b such that both moments stay
    (Klambauer et al., arXiv:1706.02515). ValueError for `p` outside [0, 1].
    """, False)


_define("feature_alpha_dropout", lambda x, p, t: _alpha(x, p, t, True), """`alpha_dropout` of whole channels: one draw \
for each (n, c) of an input (n, c, ...).""", False)


def _feature_dropout(input, p, train):
    """`nn.functional.dropout2d` and its like with all arguments given."""
    return _feature(input, p, train)


FUNCTIONS["torch"]["feature_dropout"] = _feature_dropout


def _warn(text):
    import warnings
    warnings.warn(text, stacklevel=3)


@public(namespaces=_F, method=False)
def dropout1d(input, p=0.5, training=True, inplace=False):
    """Drop whole channels of (n, c, l) or (c, l)."""
    _check(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. "
                           "Note that dropout1d exists to provide channel-wise dropout on inputs with 1 "
                           "spatial dimension, a channel dimension, and an optional batch dimension "
                           "(i.e. 2D or 3D inputs).")
    return _finish(_unbatched(p, training, 3), "dropout1d", input, inplace)


def _unbatched(p, training, dims):
    def op(x):
        if x.dim() == dims:
            return _feature(x, p, training)
        return _feature(x.unsqueeze(0), p, training).squeeze(0)
    return op


@public(namespaces=_F, method=False)
def dropout2d(input, p=0.5, training=True, inplace=False):
    """Drop whole channels of (n, c, h, w)."""
    _check(p)
    if input.dim() not in (3, 4):
        _warn(f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and will "
              "result in an error in a future release. To retain the behavior and silence this warning, "
              "please use dropout instead. Note that dropout2d exists to provide channel-wise dropout on "
              "inputs with 2 spatial dimensions, a channel dimension, and an optional batch dimension "
              "(i.e. 3D or 4D inputs).")
    if input.dim() == 3:
        _warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
              "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
              "dim. This behavior will change in a future release to interpret the input as one without "
              "a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise dropout "
              "behavior, please switch to using dropout1d instead.")
    return _finish(lambda t: _feature(t, p, training), "dropout2d", input, inplace)


@public(namespaces=_F, method=False)
def dropout3d(input, p=0.5, training=True, inplace=False):
    """Drop whole channels of (n, c, d, h, w)."""
    _check(p)
    if input.dim() not in (4, 5):
        _warn(f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated and will "
              "result in an error in a future release. To retain the behavior and silence this warning, "
              "please use dropout instead. Note that dropout3d exists to provide channel-wise dropout on "
              "inputs with 3 spatial dimensions, a channel dimension, and an optional batch dimension "
              "(i.e. 4D or 5D inputs).")
    return _finish(_unbatched(p, training, 5), "dropout3d", input, inplace)


@public(method=False)
def native_dropout(input, p, train):
    """(dropped, mask) with a bool mask of what was kept."""
    if not train or p == 0:
        return input.clone(), function("ones_like")(input, dtype=dtypes.bool_)
    mask = _noise(input.shape, input.dtype, 1 - p)
    keep = mask.bool()
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return input * mask * scale, keep


@public(namespaces=_F, method=False)
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """softmax((logits + Gumbel noise) / tau); hard: one-hot forward, soft gradient.

    Jang et al. arXiv:1611.01144; Maddison et al. arXiv:1611.00712.
    """
    noise = -function("empty_like")(logits).exponential_().log()
    y = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return y
    index = y.max(dim, keepdim=True)[1]
    one = function("zeros_like")(logits).scatter_(dim, index, 1.0)
    return one - y.detach() + y


