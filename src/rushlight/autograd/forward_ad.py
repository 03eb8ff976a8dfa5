"""Forward-mode differentiation with dual tensors: ``with dual_level(): y = f(make_dual(x, t)); unpack_dual(y)``."""

from collections import namedtuple

from ..tensor.tensor import Tensor
from .modes import _Decorator

__all__ = ["UnpackedDualTensor", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual", "dual_level"]

UnpackedDualTensor = namedtuple("UnpackedDualTensor", ("primal", "tangent"))
UnpackedDualTensor.__doc__ = "The primal and the tangent (or None) of a dual tensor."

_current_level = -1
_levels = []


def enter_dual_level():
    """Start a dual level and return its number; RuntimeError inside another one."""
    global _current_level
    from ..func.forward import DualLevel
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    level = DualLevel()
    level.__enter__()
    _levels.append(level)
    _current_level = 0
    return 0


def exit_dual_level(*, level=None):
    """End the dual level (the current one): its dual tensors become their primals."""
    global _current_level
    if level is None:
        level = _current_level
    if level != _current_level or not _levels:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not "
                           "supported.")
    _levels.pop().__exit__()
    _current_level = -1


def _level(level, what):
    if level is not None and level < 0 or not _levels:
        raise RuntimeError(f"Trying to {what} a dual Tensor for forward AD but no level exists, make sure to "
                           "enter_dual_level() first.")
    return _levels[-1]


def make_dual(tensor, tangent, *, level=None):
    """The dual tensor of primal `tensor` and `tangent`, of the same shape and dtype, on the current level."""
    from ..func.tangent_transforms import make_dual as make
    from ..func.wrapped import with_history
    level = _level(level, "create")
    if not isinstance(tensor, Tensor) or not isinstance(tangent, Tensor):
        raise TypeError("make_dual(): the primal and the tangent must be Tensors")
    if tensor.dtype.category < 2:
        raise ValueError(f"Expected primal to be floating point or complex, but got: {tensor.dtype}")
    if tangent.dtype.category < 2:
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {tangent.dtype}")
    return with_history(make(level, tensor, tangent), tensor)


def unpack_dual(tensor, *, level=None):
    """``UnpackedDualTensor(primal, tangent)``; the tangent is None for tensors that carry none."""
    from ..func.wrapped import revived, unwrap
    if not _levels:
        return UnpackedDualTensor(revived(tensor), None)
    found = _levels[-1]
    return UnpackedDualTensor(unwrap(revived(tensor), found), found.tangent_of(tensor))


class dual_level(_Decorator):
    """Context in which dual tensors can be made; at its end their tangents are gone."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()
