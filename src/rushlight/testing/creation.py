"""``make_tensor``: random tensors over a range, of any type, shape and layout."""

import math

import rushlight as torch

__all__ = ["make_tensor"]

_DEFAULT = {"bool": (0, 2), "integer": (-9, 10), "floating": (-9, 9)}


def _bounds(low, high, dtype):
    """The range within what `dtype` can hold; ValueError where there is nothing in it."""
    kind = "bool" if dtype is torch.bool else "floating" if dtype.is_floating_point or dtype.is_complex else "integer"
    low = _DEFAULT[kind][0] if low is None else low
    high = _DEFAULT[kind][1] if high is None else high
    if any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low > high or low == high and kind != "floating":
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if kind == "bool":
        lowest, highest = 0, 2
    elif kind == "integer":
        lowest, highest = torch.iinfo(dtype).min, torch.iinfo(dtype).max + (dtype is not torch.int64)
    else:
        lowest, highest = torch.finfo(dtype).min, torch.finfo(dtype).max
    if low > highest or high < lowest or kind != "floating" and low == highest:
        raise ValueError(f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only "
                         f"supports [{lowest}, {highest})")
    low, high = max(low, lowest), min(high, highest)
    return (low, high) if kind == "floating" else (math.ceil(low), math.ceil(high))


def make_tensor(*shape, dtype, device, low=None, high=None, requires_grad=False, noncontiguous=False,
                exclude_zero=False, memory_format=None):
    """A tensor of values drawn uniformly from ``[low, high)``, of complex numbers both parts.

    Args:
        shape: sizes, or one sequence of them.
        low, high: the range; default [-9, 9) for floats, -9 to 9 for integers, 0 and 1 for bool, within the type's.
        noncontiguous: with elements apart in memory, where there is more than one.
        exclude_zero: zeros become the smallest positive number (1 for integers).
        memory_format: layout of the result; not together with `noncontiguous`.

    ValueError for empty ranges, NaN, ranges that the type lacks, and gradients of integers.
    """
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
                         f"{noncontiguous=} and {memory_format=}")
    floating = dtype.is_floating_point or dtype.is_complex
    if requires_grad and not floating:
        raise ValueError("`requires_grad=True` is not supported for boolean and integral dtypes, but got "
                         f"{dtype=}")
    low, high = _bounds(low, high, dtype)
    count = math.prod(shape)
    apart = noncontiguous and count > 1
    drawn = (*shape[:-1], 2 * shape[-1]) if apart else shape
    if floating:
        t = torch.empty(drawn, dtype=dtype, device=device)
        (torch.view_as_real(t) if dtype.is_complex else t).uniform_(low, high)
    else:
        t = torch.randint(low, high, drawn, dtype=dtype, device=device)
    if apart:
        t = t[..., 1::2]
    elif memory_format is not None:
        t = t.clone(memory_format=memory_format)
    if exclude_zero:
        t[t == 0] = torch.finfo(dtype).tiny if floating else 1
    return t.requires_grad_() if requires_grad else t
