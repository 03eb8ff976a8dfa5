"""Which backward passes run code of this package only, so that nobody need listen to what they call."""

from ..autograd.modes import state
from ..autograd.node import Packed
from ..ops.dispatch import RecordNode
from ..tensor.tensor import Tensor

_ROOT = __name__.partition(".")[0]
_OPS = f"{_ROOT}.ops."
_plain = {Tensor: True}                 # classes of tensors -> whether operations on them are ours
_ours = {}                              # classes of nodes -> whether their kernels and rules are


def calls_nobody(targets, gradients):
    """Whether a pass over these nodes and leaves, from these gradients, calls no function of users: no hooks, functions
    of their own, operations that they have added, classes of tensors that look into operations."""
    return state.special == 1 and all(map(_is_plain, gradients)) and all(map(_is_ours, targets))


def _is_plain(t):
    kind = type(t)
    plain = _plain.get(kind)
    if plain is None:
        plain = _plain[kind] = getattr(getattr(kind, "__torch_function__", None), "__func__", None) is \
            Tensor.__torch_function__.__func__ and kind.__module__.partition(".")[0] in (_ROOT, "torch")
    return plain


def _is_ours(target):
    if isinstance(target, Tensor):
        return target._meta is None and _is_plain(target)
    kind = type(target)
    ours = _ours.get(kind)
    if ours is None:
        # Records of derivatives have no module: they are formulas, which compiled kernels compute.
        module = getattr(getattr(kind, "record", None), "module", _OPS)
        ours = _ours[kind] = issubclass(kind, RecordNode) and module.startswith(_OPS)
    return ours and target.ext is None and all(map(_is_known, target.saved or ()))


def _is_known(saved):
    """Whether what a node has saved is a plain tensor, or a value that does nothing."""
    kind = type(saved)
    if kind is tuple and len(saved) == 3 and isinstance(saved[0], Tensor):
        return _is_plain(saved[0])
    if kind is list:
        return all(map(_is_known, saved))
    return kind is not Packed and not callable(saved)
