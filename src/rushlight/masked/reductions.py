"""Reductions, scans and normalizations that leave masked-out elements aside.

A mask says True where an element counts. Each operation puts its identity in the place of the elements that do not
(`fill`), and then is the ordinary one; means and variances divide by the number of elements that count.
"""

import rushlight as torch


def full_mask(input, mask):
    """`mask` as bool in the shape of `input`; IndexError or RuntimeError where it cannot be broadcast to it."""
    if mask.shape == input.shape:
        return mask.to(torch.bool)
    if mask.dim() > input.dim():
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    return torch.broadcast_to(mask, input.shape).to(torch.bool)


def extreme(name, dtype):
    """The least (`name` amax) or greatest value of a real dtype, infinities included."""
    sign = -1 if name in ("amax", "argmax", "logsumexp", "logaddexp", "softmax", "log_softmax") else 1
    if dtype.is_floating_point or dtype.is_complex and name == "logsumexp":
        return sign * float("inf")
    if dtype is torch.bool or dtype.is_complex:
        if dtype is torch.bool:
            raise NotImplementedError(f"identity of {name} on torch.bool input")
        raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
    info = torch.iinfo(dtype)
    return info.min if sign < 0 else info.max


def fill(input, mask, value):
    """`input` with `value` where `mask` is False."""
    if mask is None:
        return input
    mask = full_mask(input, mask)
    return torch.where(mask, input, torch.scalar_tensor(value, dtype=input.dtype, device=input.device))


def dims_of(dim, ndim):
    """The dimensions to reduce, ascending: all for None and ()."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    found = []
    for d in (dim,) if isinstance(dim, int) else dim:
        n = max(ndim, 1)
        if not -n <= d < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
        d %= n
        if d in found:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
        found.append(d)
    return tuple(sorted(found)) if ndim else ()


def _unwrapped(input, mask):
    """(data, mask) of what may be a MaskedTensor."""
    from .maskedtensor import MaskedTensor
    if isinstance(input, MaskedTensor):
        own = input.get_mask()
        return input.get_data(), own if mask is None else torch.logical_and(own, mask)
    if not isinstance(input, torch.Tensor):
        raise AttributeError(f"'{type(input).__name__}' object has no attribute 'layout'")
    if input.layout is not torch.strided:
        return input.to_dense(), mask if mask is None or mask.layout is torch.strided else mask.to_dense()
    return input, mask


def _integral(dtype):
    return not dtype.is_floating_point and not dtype.is_complex


def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Sum over `dim` of the elements for which `mask` is True; 0 where there is none.

    Args: dim: an int, a tuple, or None for all; mask: bool, broadcastable to `input`; dtype: type summed in and
    returned (integers: int64). Errors: IndexError for a dimension out of range or a mask with more dimensions
    than `input`, RuntimeError for a mask that does not broadcast.
    """
    x, mask_ = _unwrapped(input, mask)
    if dtype is None:
        dtype = torch.int64 if _integral(x.dtype) else x.dtype
    filled = fill(x.to(dtype), mask_, 0)
    dims = dims_of(dim, x.dim())
    out = torch.sum(filled, dims, keepdim=bool(keepdim), dtype=dtype) if dims else filled.clone()
    return out


def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Product over `dim` of the elements for which `mask` is True; 1 where there is none. See :func:`sum`."""
    x, mask_ = _unwrapped(input, mask)
    if dtype is None:
        dtype = torch.int64 if _integral(x.dtype) else x.dtype
    out = fill(x.to(dtype), mask_, 1)
    for d in reversed(dims_of(dim, x.dim())):
        out = torch.prod(out, d, bool(keepdim))
    return out if out.dim() or x.dim() else out.clone()


def _extremum(name, input, dim, keepdim, dtype, mask):
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    worst = extreme(name, dtype)
    x = fill(x.to(dtype), mask_, worst)
    out = getattr(torch, name)(x, dims_of(dim, x.dim()), bool(keepdim))
    return out


def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Maximum over `dim` of the elements for which `mask` is True; the least value of the dtype where there is
    none. NotImplementedError for bool. See :func:`sum`.
    """
    return _extremum("amax", input, dim, keepdim, dtype, mask)


def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Minimum over `dim` of the elements for which `mask` is True; the greatest value of the dtype where there
    is none. NotImplementedError for bool. See :func:`sum`.
    """
    return _extremum("amin", input, dim, keepdim, dtype, mask)


def _position(name, input, dim, keepdim, dtype, mask):
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    x = fill(x, mask_, extreme(name, x.dtype))
    out = getattr(torch, name)(x, dim, bool(keepdim)).to(dtype)
    return out


def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Position of the maximum along `dim` (in the flattened tensor without one) among the elements for which
    `mask` is True; 0 where there is none. The result has `dtype`, by default that of `input`.
    """
    return _position("argmax", input, dim, keepdim, dtype, mask)


def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Position of the minimum along `dim`; see :func:`argmax`."""
    return _position("argmin", input, dim, keepdim, dtype, mask)


def _count(x, mask, dims, keepdim, dtype):
    """Number of elements that count, in the shape of the reduction's result."""
    if mask is None:
        ones = torch.ones(x.shape, dtype=torch.int64, device=x.device)
    else:
        ones = full_mask(x, mask).to(torch.int64)
    return (torch.sum(ones, dims, keepdim=keepdim) if dims else ones).to(dtype)


def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Mean over `dim` of the elements for which `mask` is True; NaN where there is none.

    Errors: ValueError for integers without a floating `dtype`; see :func:`sum`.
    """
    x, mask_ = _unwrapped(input, mask)
    if dtype is None:
        dtype = x.dtype
        if _integral(dtype):
            raise ValueError("mean(): Could not infer output dtype. Input dtype must be either a floating point or "
                             f"complex dtype. Got: {dtype}")
    dims = dims_of(dim, x.dim())
    keepdim = bool(keepdim)
    if mask_ is None:
        out = torch.mean(x, dims, keepdim, dtype=dtype) if dims else x.to(dtype).clone()
    else:
        total = sum(x, dims, keepdim=keepdim, dtype=dtype, mask=mask_)
        out = total / _count(x, mask_, dims, keepdim, total.dtype)
    return out


def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    r"""Lower median along `dim` of the elements for which `mask` is True; NaN where there is none.

    Errors: ValueError for integers where a whole row is masked out; see :func:`sum`.
    """
    x, mask_ = _unwrapped(input, mask)
    dims = dims_of(dim, x.dim())
    floating = x.dtype.is_floating_point
    if floating:
        filled = fill(x, mask_, float("nan"))
        out = torch.nanmedian(filled, dim, bool(keepdim)).values
    else:
        if mask_ is not None and dims and not bool(torch.any(full_mask(x, mask_), dims[0]).all()):
            raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
        wide = fill(x.to(torch.float64), mask_, float("nan"))
        where = torch.nanmedian(wide, dim, bool(keepdim)).indices
        if not x.dim():
            out = x.clone()
        else:
            out = x.gather(dim, where if keepdim else where.unsqueeze(dim))
            out = out if keepdim else out.squeeze(dim)
    return out


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""``log(sum(exp(input)))`` over `dim` of the elements for which `mask` is True; -inf where there is none."""
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    x = fill(x.to(dtype), mask_, extreme("logsumexp", dtype))
    out = torch.logsumexp(x, dims_of(dim, x.dim()), bool(keepdim)).to(dtype)
    return out


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    r"""``log(exp(input) + exp(other))``, where a masked-out operand counts as -inf."""
    a, input_mask = _unwrapped(input, input_mask)
    b, other_mask = _unwrapped(other, other_mask)
    dtype = dtype or a.dtype
    low = -float("inf") if dtype.is_floating_point else extreme("logaddexp", dtype)
    return torch.logaddexp(fill(a.to(dtype), input_mask, low), fill(b.to(dtype), other_mask, low)).to(dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    r"""Vector norm of order `ord` over `dim` of the elements for which `mask` is True.

    An element that does not count is 0 (inf for ``ord=-inf``). Errors: RuntimeError for integers; see :func:`sum`.
    """
    x, mask_ = _unwrapped(input, mask)
    dtype = dtype or x.dtype
    identity = 0
    if ord == -float("inf"):
        if _integral(x.dtype):
            raise AssertionError(f"input must be floating point, got {x.dtype}")
        identity = float("inf")
    x = fill(x.to(dtype), mask_, identity)
    out = torch.linalg.vector_norm(x, ord, dims_of(dim, x.dim()), bool(keepdim), dtype=dtype)
    return out


def _spread(name, input, dim, unbiased, correction, keepdim, dtype, mask):
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    x, mask_ = _unwrapped(input, mask)
    correction = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    keepdim = bool(keepdim)
    if dtype is None:
        dtype = torch.get_default_dtype() if _integral(x.dtype) else x.dtype
    dims = dims_of(dim, x.dim())
    x = x.to(dtype)
    if mask_ is None:
        mask_ = torch.ones(x.shape, dtype=torch.bool, device=x.device)
    count = _count(x, mask_, dims, True, dtype)
    center = sum(x, dims, keepdim=True, dtype=dtype, mask=mask_) / count
    apart = x - center
    squares = sum(apart * apart.conj(), dims, keepdim=keepdim, dtype=dtype, mask=mask_)
    count = count if keepdim else count.reshape(squares.shape)
    free = count.real if dtype.is_complex else count
    out = squares / torch.clamp_min(free - correction, 0).to(dtype)
    if name == "std":
        out = torch.sqrt(out)
    return out


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    r"""Variance over `dim` of the elements for which `mask` is True: squares divided by their number less
    `correction` (1 unless told; ``unbiased=False`` is 0), NaN where there is none.

    Errors: AssertionError for both `unbiased` and `correction`; see :func:`sum`.
    """
    return _spread("var", input, dim, unbiased, correction, keepdim, dtype, mask)


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    r"""Standard deviation over `dim`: the root of :func:`var`."""
    return _spread("std", input, dim, unbiased, correction, keepdim, dtype, mask)


__all__ = ["sum", "prod", "amax", "amin", "argmax", "argmin", "mean", "median", "logsumexp", "logaddexp", "norm",
           "var", "std"]
