"""Which elements count going in and coming out, given the arguments of a masked operation."""

import rushlight as torch

from .reductions import dims_of, fill, full_mask

_SAME_SHAPE = ("softmax", "log_softmax", "softmin", "normalize", "cumsum", "cumprod")


def _input_mask(input, *args, mask=None, **kwargs):
    """`mask` as bool in the shape of `input`; ValueError without one."""
    if mask is None:
        raise ValueError("_input_mask requires explicit mask")
    return full_mask(input, mask)


def _output_mask(op, input, *args, **kwargs):
    """The mask of the result of ``op(input, *args, **kwargs)``: where any element that went in counts."""
    name = op.__name__
    if name in _SAME_SHAPE:
        return _input_mask(input, mask=kwargs.get("mask"))
    if name == "logaddexp":
        raise ValueError("_output_mask expected masked operation with one mask (got logaddexp)")
    if name == "norm" and "ord" not in kwargs:
        args = args[1:]
    dim = args[0] if args else kwargs.get("dim", -1 if name == "median" else None)
    keepdim = bool(kwargs.get("keepdim", False))
    mask = _input_mask(input, mask=kwargs.get("mask"))
    dims = dims_of(dim, input.dim())
    return torch.any(mask, dims, keepdim) if dims else mask


def _combine_input_and_mask(op, input, mask, *args):
    """`input` with the identity of `op` where `mask` is False."""
    from .reductions import extreme
    name = op.__name__
    if mask is None:
        return input
    value = {"sum": 0, "cumsum": 0, "prod": 1, "cumprod": 1, "norm": 0, "mean": 0, "var": 0, "std": 0}.get(name)
    if name == "median":
        value = float("nan")
    if value is None:
        value = extreme(name, input.dtype)
    return fill(input, mask, value)


__all__ = ["_combine_input_and_mask", "_input_mask", "_output_mask"]
