"""Masked operations whose result has the shape of the input: running sums and products, softmax, unit norms."""

import rushlight as torch

from .reductions import _integral, _unwrapped, dims_of, extreme, fill, full_mask, norm


def cumsum(input, dim, *, dtype=None, mask=None):
    r"""Running sum along `dim`, masked-out elements counting as 0; in the dtype of `input` unless told."""
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    return torch.cumsum(fill(x.to(dtype), mask_, 0), dim, dtype=dtype)


def cumprod(input, dim, *, dtype=None, mask=None):
    r"""Running product along `dim`, masked-out elements counting as 1; in the dtype of `input` unless told."""
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    return torch.cumprod(fill(x.to(dtype), mask_, 1), dim, dtype=dtype)


def _normalized(name, input, dim, dtype, mask, sign):
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    if mask_ is not None:
        full_mask(x, mask_)
    dims_of(dim, x.dim())
    if not x.dtype.is_floating_point and _integral(dtype):
        raise NotImplementedError(f'"{name}_lastdim_kernel_impl" not implemented for \'{x.type()[6:-6]}\'')
    fn = torch.log_softmax if name == "log_softmax" else torch.softmax if sign < 0 else torch.nn.functional.softmin
    x = fill(x.to(dtype), mask_, sign * abs(extreme("softmax", dtype)))
    return fn(x, dim, dtype=dtype)


def softmax(input, dim, *, dtype=None, mask=None):
    r"""``exp(x_i) / sum_j exp(x_j)`` along `dim`, where masked-out elements count as -inf: 0 in the result, and
    NaN throughout where a whole row is masked out.
    """
    return _normalized("softmax", input, dim, dtype, mask, -1)


def log_softmax(input, dim, *, dtype=None, mask=None):
    r"""Logarithm of :func:`softmax`."""
    return _normalized("log_softmax", input, dim, dtype, mask, -1)


def softmin(input, dim, *, dtype=None, mask=None):
    r""":func:`softmax` of ``-input``."""
    return _normalized("softmax", input, dim, dtype, mask, 1)


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    r"""``x / max(norm(x, ord, dim), eps)``, the norm of the elements for which `mask` is True; others become 0."""
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    size = norm(x, ord, dim, keepdim=True, dtype=dtype, mask=mask_)
    size = torch.maximum(size, torch.full((), eps, dtype=size.dtype, device=size.device))
    return fill(x.to(dtype), mask_, 0) / size


__all__ = ["cumsum", "cumprod", "softmax", "log_softmax", "softmin", "normalize"]
