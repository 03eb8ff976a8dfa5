"""``out=``: results written into a tensor the caller owns."""

import warnings
from functools import partial, wraps

import numpy as np

from ..autograd.modes import state, switch_grad
from ..dtypes import can_cast, scalar_name, uint8
from ..tensor import watch
from ..tensor.tensor import Tensor
from .copy import copy_array

# Ops whose result may not be an argument's own memory either.
_READS_APART = frozenset(("gather", "index_select", "take", "cat", "concat", "concatenate", "stack", "hstack",
                          "vstack", "masked_select", "kthvalue"))

# Ops that write their very type, where others convert to any wider one.
_EXACT = frozenset("""
    abs addbmm addmm addmv all amax amin any argmax argmin as_strided_copy avg_pool2d avg_pool3d baddbmm bmm
    bucketize ceil cholesky complex conj_physical cross det diag diagonal_copy diff dot eigvalsh expand_copy floor
    frac gather gelu hardshrink heaviside histc index_add index_copy index_reduce index_select inner inv isin
    isneginf isposinf ldl_solve linalg.vector_norm linear log_softmax logcumsumexp logsigmoid lu_solve
    masked_select matmul matrix_norm mm msort multi_dot multinomial mv nan_to_num nanquantile narrow_copy neg
    nonzero norm ormqr permute_copy quantile renorm round scatter scatter_add scatter_reduce searchsorted sgn sign
    signbit slice_scatter softmax softplus softshrink solve solve_triangular squeeze_copy svdvals t_copy take
    take_along_dim tensordot transpose_copy tril triu trunc unfold_copy unsqueeze_copy vdot vecdot view_copy where clamp
    """.split())

_JOINING = frozenset(("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "row_stack",
                      "column_stack"))

# Ops that convert their result to whatever the caller gave.
_CONVERTING = frozenset(("cumsum", "cumprod", "bernoulli"))


_installed = []             # whether generated functions have been asked for, which serve later calls


def _install():
    from .native.install import install_views
    _installed.append(True)
    install_views()


def with_out(name, fn, into=None):
    """`fn` with an ``out=`` keyword: a tensor, or a tuple of them for several results.

    ``into(out, *args, **kwargs)``, if given, may write a result straight into a dense tensor that nothing watches, and
    tells whether it did; what it doesn't know, errors too, it leaves to `fn`.
    """
    apart = name in _READS_APART

    @wraps(fn)
    def wrapper(*args, out=None, **kwargs):
        if out is None:
            return fn(*args, **kwargs)
        if not _installed:
            _install()
        outs = out if isinstance(out, (tuple, list)) else (out,)
        grad = state.grad
        if grad and (any(o.requires_grad for o in outs) or any(getattr(a, "requires_grad", False) for a in args)):
            raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic "
                               "differentiation, but one of the arguments requires grad.")
        if into is not None and type(out) is Tensor and not state.special and not state.levels and \
                type(out._a) is np.ndarray and out._a.flags.c_contiguous and not out._bits & 3 and \
                into(out, *args, **kwargs):
            out._storage.version += 1
            return out
        from .overlap import check_out
        check_out(outs, (*args, *kwargs.values()) if kwargs else args, apart)
        if grad:
            switch_grad(False)
        try:
            return deliver(name, fn(*args, **kwargs), out)
        finally:
            if grad:
                switch_grad(True)
    wrapper.deliver = partial(deliver, name), into is not None      # for ``native.outs``
    return wrapper


def deliver(name, result, out):
    """Write what function `name` gave, one or several tensors, into `out`; returns that, in the form of the result."""
    outs = out if isinstance(out, (tuple, list)) else (out,)
    results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    if len(results) != len(outs):
        raise TypeError(f"{name}(): expected {len(results)} tensors in out, got {len(outs)}")
    for r, o in zip(results, outs):
        write(name, r, o)
    if isinstance(out, (tuple, list)):
        return type(result)(out) if type(result) is tuple else type(result)(*out) if hasattr(
            result, "_fields") else type(result)(tuple(out))
    return out


def plain(out, tensors):
    """Whether these are dense arrays of one type, without elements of `out`: what kernels may read while they write it.

    (Elements of none, and of none of nothing, are for the usual way.)
    """
    block, dtype = out._storage.block(), out.dtype
    for t in tensors:
        if type(t) is not Tensor or t.dtype is not dtype or type(t._a) is not np.ndarray or t._bits & 3 or \
                not t._a.size or t._storage.block() is block:
            return False
    return True


def write(name, result, out):
    """Copy `result` into `out`: shapes are made to agree, types must be castable."""
    if type(out) is Tensor and type(result) is Tensor and result.dtype is out.dtype and watch.listener is None:
        a, b = out._a, result._a
        if type(a) is np.ndarray and type(b) is np.ndarray and a.shape == b.shape and a.flags.c_contiguous and not (
                out._bits | result._bits) & 3 and out._storage is not result._storage and result._view is None:
            copy_array(a, b)
            out._storage.version += 1
            return
    if not hasattr(out, "_a"):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if name in _EXACT and result.dtype is not out.dtype and not (
            name in ("all", "any") and out.dtype is uint8):
        raise RuntimeError(f"{name}(): Expected out tensor to have dtype {scalar_name(result.dtype)}, but got "
                           f"{scalar_name(out.dtype)} instead")
    if not can_cast(result.dtype, out.dtype) and name not in _CONVERTING:
        error = TypeError if name in _JOINING else RuntimeError
        raise error(f"result type {scalar_name(result.dtype)} can't be cast to the desired "
                    f"output type {scalar_name(out.dtype)}")
    if 0 in out._a.strides and out._a.size > 1:
        from ..tensor.geometry import has_overlap
        if has_overlap(out._a.shape, out.stride()):
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor "
                               "refers to a single memory location. Please clone() the tensor before "
                               "performing the operation.")
    if out._a.shape != result._a.shape:
        if out._a.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape "
                f"{list(out.shape)}, which does not match the required output shape "
                f"{list(result.shape)}. This behavior is deprecated, and in a future PyTorch release "
                "outputs will not be resized unless they have zero elements.", stacklevel=3)
        out.resize_(result._a.shape)
    out.copy_(result)
