"""Matrix products of arrays: the generated GEMM where it has the dtype, NumPy elsewhere.

Operands may have any strides, so transposes are free. 16-bit floats are summed in float32 and rounded
once.
"""

from itertools import product as _grid

import numpy as np

from ..runtime.allocator import empty as alloc

_kernels = {}           # array dtype -> generated kernel, or None for NumPy


def kernel_for(d):
    """The generated kernel ``(out, a, b, bias, alpha, accumulate)`` for the dtype, or None."""
    try:
        return _kernels[d]
    except KeyError:
        k = None
        from ..compiler.templates import gemm
        if gemm.supported(d):
            k = gemm.kernel(d)
        _kernels[d] = k
        if k is not None:
            from ..dtypes import from_np
            from .native.products import install_products
            install_products(from_np(d), k)
        return k


def multiply(out, a, b):
    """``out = a @ b`` without a generated kernel."""
    d = out.dtype
    if d.kind == "f" and d.itemsize == 2 or d.kind == "V" or d.type.__module__ == "ml_dtypes":
        with np.errstate(all="ignore"):
            out[...] = np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(d)
    elif d.kind == "b":
        out[...] = np.matmul(a, b)
    else:
        np.matmul(a, b, out=out)


def _product(out, a, b):
    """``out = a @ b``, by the generated kernel if there is one; returns ``out``."""
    d = out.dtype
    try:
        call = _kernels[d]
    except KeyError:
        call = kernel_for(d)
    if call is None:
        multiply(out, a, b)
    else:
        call(out, a, b)
    return out


def mm2(a, b):
    """The product of two matrices."""
    m, k = a.shape
    if k != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {b.shape[0]}x"
                           f"{b.shape[1]})")
    return _product(alloc((m, b.shape[1]), a.dtype), a, b)


def bytes_product(a, b):
    """The int32 product of an int8 or uint8 matrix and an int8 one."""
    from ..compiler.templates import gemm
    out = alloc((a.shape[0], b.shape[1]), np.dtype(np.int32))
    call = gemm.bytes_kernel(a.dtype)
    if call is None:
        return mm2(a.astype(np.int32), b.astype(np.int32))
    call(out, a, b)
    return out


def scaled(a, alpha):
    """`a` and `alpha` such that the kernels, which take real factors, give ``alpha * a @ b``."""
    if type(alpha) is complex:
        return (a, alpha.real) if alpha.imag == 0 else (a * a.dtype.type(alpha), 1)
    return a, alpha


def vectors(a, v):
    """The product of a matrix and a vector, or of two vectors (a 0-dim array)."""
    return _product(alloc(a.shape[:-1], a.dtype), a, v)


def added(out, a, b, c, beta, alpha):
    """``out = beta * c + alpha * a @ b`` for matrices or batches of them, `c` broadcast; None if no kernel does that.

    A beta of 0 leaves `c` alone: its values don't matter.
    """
    call = kernel_for(out.dtype)
    if call is None:
        return None
    a, alpha = scaled(a, alpha)
    if beta == 0:
        call(out, a, b, None, alpha)
        return out
    if type(beta) is complex:
        if beta.imag:
            return None
        beta = beta.real
    n = out.shape[-1]
    if c.ndim > out.ndim or n > 1 and (
            not c.ndim or c.shape[-1] != n or c.strides[-1] != out.itemsize):
        return None
    if c.ndim < 2 or c.ndim < out.ndim and c.ndim != 2:
        c = c.reshape((1,) * (2 - c.ndim) + c.shape)
    if c.shape[-1] != n:
        return None
    call(out, a, b, None, alpha, False, c, beta)
    return out


def batched(a, b, into=None, alpha=1, accumulate=False):
    """Products over broadcast leading dimensions, ``into`` an array of the result's shape if given."""
    batch = a.shape[:-2]
    if b.shape[:-2] != batch:
        batch = np.broadcast_shapes(batch, b.shape[:-2])
    d = a.dtype
    out = alloc((*batch, a.shape[-2], b.shape[-1]), d) if into is None else into
    call = kernel_for(d)
    if not out.size:
        return out
    if call is None:
        if accumulate or alpha != 1:
            r = np.matmul(a, b)
            out[...] = out + alpha * r if accumulate else alpha * r
        else:
            multiply(out, a, b)
        return out
    a, alpha = scaled(a, alpha)
    if len(batch) <= 2:
        call(out, _with_rank(a, out.ndim), _with_rank(b, out.ndim), None, alpha, accumulate)
        return out
    a3, b3 = _flat_batch(a, batch), _flat_batch(b, batch)
    if a3 is not None and b3 is not None:
        call(out.reshape(-1, *out.shape[-2:]), a3, b3, None, alpha, accumulate)
        return out
    # Leading dimensions that do not merge: one call for each of all but the last two.
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    for i in _grid(*map(range, batch[:-2])):
        call(out[i], a[i], b[i], None, alpha, accumulate)
    return out


def _with_rank(a, n):
    """`a` with as many dimensions as the product has, or two."""
    return a[None] if 2 < a.ndim < n else a


def _flat_batch(a, batch):
    """`a` with one leading dimension, of the batch's size or 1; None if that takes a copy."""
    lead = a.shape[:-2]
    if len(batch) == 1:
        return a if lead else a[None]
    n = 1
    for s in lead:
        n *= s
    if n == 1:
        return a.reshape(1, *a.shape[-2:])
    if lead != batch:
        return None
    st, acc = a.strides[:-2], None
    for s, t in zip(reversed(lead), reversed(st)):
        if s == 1:
            continue
        if acc is not None and t != acc:
            return None
        acc = t * s
    if a.flags.c_contiguous:
        return a.reshape(n, *a.shape[-2:])
    step = next((t for s, t in zip(reversed(lead), reversed(st)) if s != 1), 0)
    return np.lib.stride_tricks.as_strided(a, (n, *a.shape[-2:]), (step, *a.strides[-2:]))
