"""Views of complex tensors: real and imaginary parts, pairs of reals, lazy conjugation and negation.

Conjugation and negation set a bit of the view (``Tensor._bits``); kernels see resolved arrays.
"""

import numpy as np

from ..dtypes import scalar_name
from ..tensor.tensor import CONJ, NEG
from .dispatch import primitive, view_primitive
from .registry import METHODS, public
from .slicing import _select


@view_primitive("view_as_real(Tensor(a) self) -> Tensor(a)",
                vjp={"self": lambda g: view_as_complex(g.contiguous().resolve_neg())})
def _view_as_real(t):
    return (*t._a.shape, 2), (*[s * 2 for s in t.stride()], 1), t._offset * 2, t.dtype.to_real()


@view_primitive("view_as_complex(Tensor(a) self) -> Tensor(a)",
                vjp={"self": lambda g: view_as_real(g.contiguous().resolve_conj())})
def _view_as_complex(t):
    return (t._a.shape[:-1], tuple([s // 2 for s in t.stride()[:-1]]), t._offset // 2,
            t.dtype.to_complex())


@public(method=False)
def view_as_real(input):
    """A complex tensor as pairs (real, imaginary) along a new last dimension."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if input._bits & CONJ:
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate "
            "tensor so you can view it as real, use self.resolve_conj(); however, be warned that the "
            "resulting tensor will NOT alias the original.")
    return _view_as_real(input)


@public(method=False)
def view_as_complex(input):
    """Pairs of reals along the last dimension as a complex tensor."""
    if input.dtype.name not in ("float64", "float32", "float16"):
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but "
                           f"got a tensor of scalar type: {scalar_name(input.dtype)}")
    shape, strides = input._a.shape, input.stride()
    if not shape:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input._offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return _view_as_complex(input)


# ---------------------------------------------------------------- pending conjugation, negation

@view_primitive("_conj(Tensor(a) self) -> Tensor(a)", vjp={"self": lambda g: conj(g)})
def _conj_geometry(t):
    return t._a.shape, t.stride(), t._offset


@view_primitive("_neg_view(Tensor(a) self) -> Tensor(a)", vjp={"self": lambda g: g.neg()})
def _neg_geometry(t):
    return t._a.shape, t.stride(), t._offset


@public()
def conj(input):
    """The complex conjugate as a view that is resolved when it is read; reals as they are."""
    if not input.dtype.is_complex:
        return input
    v = _conj_geometry(input)
    v._bits ^= CONJ
    return v


@public()
def _neg_view(input):
    """The negative as a view that is resolved when it is read."""
    v = _neg_geometry(input)
    v._bits ^= NEG
    return v


METHODS["_conj"] = conj


@public()
def resolve_conj(input):
    """A tensor without pending conjugation: `input` itself, or a copy."""
    return input.clone() if input._bits & CONJ else input


@public()
def resolve_neg(input):
    """A tensor without pending negation: `input` itself, or a copy."""
    return input.clone() if input._bits & NEG else input


@public("is_conj", method=False)
def is_conj(input):
    """Whether conjugation is pending on `input`."""
    return input.is_conj()


@public("is_neg", method=False)
def is_neg(input):
    """Whether negation is pending on `input`."""
    return input.is_neg()


@primitive("_conj_physical(Tensor self) -> Tensor", node="ConjPhysicalBackward0",
           vjp={"self": lambda g: g.conj_physical()})
def _conj_physical(a):
    from .pointwise.core import result_array
    if a.dtype.names:
        from ..tensor.halfcomplex import narrowed, widened
        return narrowed(np.conjugate(widened(a)))
    return np.conjugate(a, out=result_array([a], a.dtype))


@public(out=True, inplace=True)
def conj_physical(input):
    """The complex conjugate, computed at once; reals as they are."""
    return _conj_physical(input) if input.dtype.is_complex else input


# ---------------------------------------------------------------- parts

def real_part(input):
    """A view of the real parts (reals as they are)."""
    if not input.dtype.is_complex:
        return input
    base = conj(input) if input._bits & CONJ else input
    return _select(_view_as_real(base), base._a.ndim, 0)


def imag_part(input):
    """A view of the imaginary parts."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    if input._bits & CONJ:
        return _select(_neg_view(_view_as_real(conj(input))), input._a.ndim, 1)
    return _select(_view_as_real(input), input._a.ndim, 1)


@public(method=False)
def real(input):
    """A view of the real parts of a complex tensor; a real tensor as it is."""
    return real_part(input)


@public(method=False)
def imag(input):
    """A view of the imaginary parts of a complex tensor."""
    return imag_part(input)


def _set_real(input, value):
    real_part(input).copy_(value if hasattr(value, "_a") else input.new_tensor(value).real)


def _set_imag(input, value):
    imag_part(input).copy_(value if hasattr(value, "_a") else input.new_tensor(value).real)


METHODS["real"] = property(real_part, _set_real)
METHODS["imag"] = property(imag_part, _set_imag)
