"""Products: mm, bmm, matmul, linear, addmm and their kin, with gradients of every order.

Gradients are products again: of ``a @ b`` they are ``g @ b^H`` and ``a^H @ g``. Those two are records of
their own that take the plain matrices, so that no transposed views are made on the way back.
"""

import math

import numpy as np

from .. import dtypes
from ..dtypes import scalar_name
from ..record import NONDIFF
from ..runtime.allocator import empty as alloc
from ..tensor.tensor import Tensor
from .copy import copy_array
from .dispatch import primitive
from .inplace import apply
from .out import plain, with_out
from .products import _kernels, added, batched, bytes_product, kernel_for, mm2, multiply, scaled, vectors
from .registry import METHODS, public
from .views import expanded

_CPP = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
        "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char",
        "uint8": "unsigned char", "bool": "bool", "complex64": "c10::complex<float>",
        "complex128": "c10::complex<double>"}


def _cpp(t):
    return _CPP.get(t.dtype.name, t.dtype.name)


def _same(a, b):
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {_cpp(a)} != {_cpp(b)}")


def _not_bool(t, kernel):
    if t.dtype.category == dtypes.BOOL:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _adjoint(a):
    a = a.swapaxes(-1, -2)
    return a.conj() if a.dtype.kind == "c" else a


# ---------------------------------------------------------------- the three products

def _mm_meta(self, other):
    return (self._a.shape[0], other._a.shape[1]), self.dtype


def _product(out, a, b, bias=None):
    """The native product of two matrices, for programs."""
    call = kernel_for(out.dtype)
    if call is None or a.ndim != 2 or b.ndim != 2 or out.ndim != 2:
        return None
    return call, (out, a, b) if bias is None else (out, a, b, bias)


def _linear_product(out, x, w, bias):
    if bias is not None and (bias.ndim != 1 or not bias.flags.c_contiguous or bias.dtype != out.dtype):
        return None
    call = kernel_for(out.dtype)
    if call is not None and _in_place(x, bias, out.shape[-1]):
        return call, (out, x, w.T) if bias is None else (out, x, w.T, bias)
    return _product(out.reshape(-1, out.shape[-1]), x.reshape(-1, x.shape[-1]), w.T, bias)


@primitive("mm(Tensor self, Tensor mat2) -> Tensor", meta=_mm_meta, direct=_product,
           vjp={"self": lambda g, mat2: _nt(g, mat2), "mat2": lambda g, self: _tn(self, g)})
def _mm(a, b):
    return mm2(a, b)


@primitive("_matmul_nt(Tensor self, Tensor mat2) -> Tensor", node="MmBackward0",
           direct=lambda out, a, b: None if b.dtype.kind == "c" else _product(out, a, b.T),
           vjp={"self": lambda g, mat2: _nn(g, mat2), "mat2": lambda g, self: _tn(g, self)})
def _nt(a, b):
    """``a @ b^H``."""
    if a.ndim == 2 and b.ndim == 2:
        return mm2(a, b.conj().T if b.dtype.kind == "c" else b.T)
    return batched(a, _adjoint(b))


@primitive("_matmul_tn(Tensor self, Tensor mat2) -> Tensor", node="MmBackward0",
           direct=lambda out, a, b: None if a.dtype.kind == "c" else _product(out, a.T, b),
           vjp={"self": lambda g, mat2: _nt(mat2, g), "mat2": lambda g, self: _nn(self, g)})
def _tn(a, b):
    """``a^H @ b``."""
    if a.ndim == 2 and b.ndim == 2:
        return mm2(a.conj().T if a.dtype.kind == "c" else a.T, b)
    return batched(_adjoint(a), b)


def _bmm_meta(self, mat2):
    a, b = self._a.shape, mat2._a.shape
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]), self.dtype


@primitive("bmm(Tensor self, Tensor mat2) -> Tensor", meta=_bmm_meta, direct=_product,
           vjp={"self": lambda g, mat2: _nt(g, mat2), "mat2": lambda g, self: _tn(self, g)})
def _nn(a, b):
    return mm2(a, b) if a.ndim == 2 and b.ndim == 2 else batched(a, b)


def _fold_meta(self, mat2):
    return (*self._a.shape[:-1], mat2._a.shape[1]), self.dtype


@primitive("_matmul_fold(Tensor self, Tensor mat2) -> Tensor", node="UnsafeViewBackward0",
           meta=_fold_meta,
           direct=lambda out, a, b: _product(out.reshape(-1, out.shape[-1]), a.reshape(-1, a.shape[-1]), b),
           vjp={"self": lambda g, mat2: _linear_of(g, mat2),
                "mat2": lambda g, self: _tn(_rows(self), _rows(g))})
def _fold(a, b):
    """``a @ b`` with a matrix `b` and any leading dimensions of `a`."""
    rows = a.reshape(-1, a.shape[-1]) if a.size else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
    return mm2(rows, b).reshape(*a.shape[:-1], b.shape[1])


def _rows(t):
    *lead, last = t._a.shape
    return t.reshape(math.prod(lead), last)


def _linear_of(g, mat2):
    """``g @ mat2^H``."""
    return _linear_nd(g, mat2.conj_physical() if mat2.dtype.is_complex else mat2, None)


# ---------------------------------------------------------------- linear

def _in_place(x, bias, n):
    """Whether the product takes the matrices of `x` where they lie, in any strides, as the generated functions do."""
    return x.ndim == 3 and bool(x.size) and n and (
        bias is None or bias.shape == (n,) and bias.flags.c_contiguous)


def _linear_arrays(x, w, bias):
    k, n = x.shape[-1], w.shape[0]
    if k != w.shape[1]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({math.prod(x.shape[:-1])}x{k} and "
                           f"{w.shape[1]}x{n})")
    d = x.dtype
    try:
        call = _kernels[d]
    except KeyError:
        call = kernel_for(d)
    if call is not None and _in_place(x, bias, n):
        out = alloc((*x.shape[:-1], n), d)
        call(out, x, w.T, bias)
        return out
    rows = x if x.ndim == 2 else x.reshape(-1, k)
    out = alloc((rows.shape[0], n), d)
    if call is not None:
        if bias is None:
            call(out, rows, w.T)
        elif bias.shape == (n,) and bias.flags.c_contiguous:
            call(out, rows, w.T, bias)
        else:
            out[...] = bias
            call(out, rows, w.T, None, 1, True)
    else:
        multiply(out, rows, w.T)
        if bias is not None:
            np.add(out, bias, out=out)
    return out if x.ndim == 2 else out.reshape(*x.shape[:-1], n)


def _linear_meta(input, weight, bias):
    return (*input._a.shape[:-1], weight._a.shape[0]), input.dtype


def _weight_gradient(g, input):
    if g._a.ndim != 2:
        g, input = _rows(g), _rows(input)
    return _tn(input, g).t() if g.dtype.is_complex else _tn(g, input)


def _input_gradient(g, weight):
    if weight.dtype.is_complex:
        weight = weight.conj_physical()
    return g.mm(weight) if g._a.ndim == 2 else _fold(g, weight)


_RULES = {"input": _input_gradient, "weight": _weight_gradient, "bias": lambda g: g}


@primitive("linear.bias(Tensor input, Tensor weight, Tensor? bias) -> Tensor", node="AddmmBackward0",
           meta=_linear_meta, vjp=_RULES, direct=_linear_product)
def _linear_bias(x, w, bias):
    return _linear_arrays(x, w, bias)


@primitive("linear.matrix(Tensor input, Tensor weight, Tensor? bias) -> Tensor", node="MmBackward0",
           meta=_linear_meta, vjp=_RULES, direct=lambda out, x, w, bias: _linear_product(out, x, w, None))
def _linear_matrix(x, w, bias):
    return _linear_arrays(x, w, None)


@primitive("linear(Tensor input, Tensor weight, Tensor? bias) -> Tensor", meta=_linear_meta, vjp=_RULES,
           direct=_linear_product)
def _linear_nd(x, w, bias):
    return _linear_arrays(x, w, bias)


@public(namespaces=("torch.nn.functional", "torch._C._nn"), method=False)
def linear(input, weight, bias=None, *, out=None):
    """``input @ weight.T + bias``: input (*, in), weight (out, in) or (in), bias (out)."""
    if out is not None:
        return _linear_into(input, weight, bias, out=out)
    d = input.dtype
    if weight._a.ndim != 2:
        if weight._a.ndim == 1:
            r = matmul(input, weight)
            return r if bias is None else r + bias
        return matmul(input, weight.transpose(-1, -2)) if bias is None else \
            matmul(input, weight.transpose(-1, -2)) + bias
    if d is not weight.dtype:
        _same(input, weight)
    n = input._a.ndim
    if n == 0:
        raise RuntimeError("both arguments to linear need to be at least 1D, but they are 0D and 2D")
    if d.category == dtypes.BOOL:
        _not_bool(input, "addmm_impl_cpu_")
    if bias is None:
        return _linear_matrix(input, weight, None) if n == 2 else _linear_nd(input, weight, None)
    if bias.dtype is not d:
        raise RuntimeError("self and mat2 must have the same dtype, but got "
                           f"{scalar_name(bias.dtype)} and {scalar_name(d)}")
    if n == 2:
        if bias._a.ndim != 1 or bias._a.shape[0] != weight._a.shape[0]:
            expanded(bias, (input._a.shape[0], weight._a.shape[0]))
        return _linear_bias(input, weight, bias)
    if bias._a.ndim != 1:
        return _linear_nd(input, weight, None) + bias
    expanded(bias, (1, weight._a.shape[0]))
    return _linear_nd(input, weight, bias)


_linear_into = with_out("linear", lambda input, weight, bias: linear(input, weight, bias))


# ---------------------------------------------------------------- public products

def _matrix(t, text):
    if t._a.ndim != 2:
        raise RuntimeError(text)


def _product_into(out, a, b):
    """``out=`` of matrices and batches of them."""
    if not plain(out, (a, b)):
        return False
    x, y, z = a._a, b._a, out._a
    if not z.ndim == x.ndim == y.ndim > 1 or x.shape[-1] != y.shape[-2] or x.shape[:-2] != y.shape[:-2] or \
            z.shape != (*x.shape[:-1], y.shape[-1]) or out.dtype.category == dtypes.BOOL:
        return False
    call = kernel_for(z.dtype)
    if call is None:
        return False
    if z.ndim == 2:
        call(z, x, y)
    else:
        batched(x, y, z)
    return True


@public(out=_product_into)
def mm(input, mat2):
    """The product of two matrices."""
    _matrix(input, "self must be a matrix")
    _matrix(mat2, "mat2 must be a matrix")
    a, b = input._a.shape, mat2._a.shape
    if a[1] != b[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")
    _same(input, mat2)
    _not_bool(input, "addmm_impl_cpu_")
    return _mm(input, mat2)


@primitive("_int_mm(Tensor self, Tensor mat2) -> Tensor", vjp=NONDIFF("integer result"),
           meta=lambda self, mat2: ((self._a.shape[0], mat2._a.shape[1]), dtypes.int32))
def _bytes_mm(a, b):
    return bytes_product(a, b)


@public(method=False, out=True)
def _int_mm(input, mat2):
    """The product of an int8 or uint8 matrix and an int8 matrix in int32 (modulo 2**32)."""
    for name, t in (("self", input), ("mat2", mat2)):
        if t._a.ndim != 2:
            raise RuntimeError(f"int_mm_out_cpu: Expected {name} to be of dimension 2 but got {t._a.ndim}")
    if input._a.shape[1] != mat2._a.shape[0]:
        raise RuntimeError("int_mm_out_cpu: self.size(1) needs to match mat2.size(0) but got "
                           f"{input._a.shape[1]} and {mat2._a.shape[0]}")
    for name, t, kinds in (("self", input, ("int8", "uint8")), ("mat2", mat2, ("int8",))):
        if t.dtype.name not in kinds:
            raise RuntimeError(f"int_mm_out_cpu: Expected {name} dtype to be {'of type ' * (len(kinds) == 1)}"
                               f"{' or '.join(kinds)} but got {_CPP.get(t.dtype.name, t.dtype.name)}")
    return _bytes_mm(input, mat2)


def _check_batches(a, b):
    if a._a.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if b._a.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    x, y = a._a.shape, b._a.shape
    if y[0] != x[0] or y[1] != x[2]:
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{x[0]}, {x[2]}] but got: [{y[0]}, {y[1]}].")


@public(out=_product_into)
def bmm(input, mat2):
    """The products of two batches of matrices, (b, n, m) and (b, m, p)."""
    _check_batches(input, mat2)
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(input.dtype)} but found "
                           f"{scalar_name(mat2.dtype)}")
    _not_bool(input, "bmm")
    return _nn(input, mat2)


@primitive("mv(Tensor self, Tensor vec) -> Tensor",
           vjp={"self": lambda g, vec: g.unsqueeze(1) * _conj(vec),
                "vec": lambda g, self: _mv_adjoint(self, g)})
def _mv(a, v):
    return vectors(a, v)


def _conj(t):
    return t.conj() if t.dtype.is_complex else t


def _mv_adjoint(m, g):
    return _mv(_conj(m).t(), g)


@public(out=True)
def mv(input, vec):
    """The product of a matrix and a vector."""
    if input._a.ndim != 2 or vec._a.ndim != 1:
        raise RuntimeError("vector + matrix @ vector expected, got "
                           f"1, {input._a.ndim}, {vec._a.ndim}")
    if input._a.shape[1] != vec._a.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input._a.shape[0]}), mat "
                           f"({input._a.shape[0]}x{input._a.shape[1]}), vec ({vec._a.shape[0]})")
    if input.dtype is not vec.dtype:
        n, m = scalar_name(vec.dtype), scalar_name(input.dtype)
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {n}, {m}, and {n}")
    _not_bool(input, "addmv_impl_cpu")
    return _mv(input, vec)


@primitive("dot(Tensor self, Tensor tensor) -> Tensor",
           vjp={"self": lambda g, tensor: g * _conj(tensor), "tensor": lambda g, self: g * _conj(self)})
def _dot(a, b):
    return vectors(a, b)


@primitive("vdot(Tensor self, Tensor other) -> Tensor",
           vjp={"self": lambda g, other: _conj(g) * other, "other": lambda g, self: g * self})
def _vdot(a, b):
    return vectors(np.conjugate(a), b)


def _check_dot(name, a, b):
    if a._a.ndim != 1 or b._a.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a._a.ndim}D and {b._a.ndim}D tensors")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name} : expected both vectors to have same dtype, but found "
                           f"{scalar_name(a.dtype)} and {scalar_name(b.dtype)}")
    n, m = a._a.shape[0], b._a.shape[0]
    if n != m:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the "
                           f"same number of elements, but got {n} and {m} elements respectively")
    _not_bool(a, name)


@public(out=True)
def dot(input, tensor):
    """The sum of products of two vectors (nothing is conjugated)."""
    _check_dot("dot", input, tensor)
    return _dot(input, tensor)


@public(out=True)
def vdot(input, other):
    """The inner product of two vectors, the first conjugated."""
    _check_dot("vdot" if input.dtype.is_complex else "dot", input, other)
    return _vdot(input, other) if input.dtype.is_complex else _dot(input, other)


@public(namespaces=("torch", "torch.linalg"), out=_product_into)
def matmul(input, other):
    """The matrix product by rank: dot, matrix with vector, matrices, or batches that broadcast."""
    if not isinstance(other, Tensor):
        raise TypeError("matmul(): argument 'other' (position 2) must be Tensor, not "
                        f"{type(other).__name__}")
    if not isinstance(input, Tensor):
        raise TypeError("matmul(): argument 'input' (position 1) must be Tensor, not "
                        f"{type(input).__name__}")
    n, m = input._a.ndim, other._a.ndim
    if n == 2 and m == 2:
        return mm(input, other)
    if n == 0 or m == 0:
        raise RuntimeError("both arguments to matmul need to be at least 1D, but they are "
                           f"{n}D and {m}D")
    if m == 1:
        if n == 1:
            return dot(input, other)
        if n == 2:
            return mv(input, other)
    _same(input, other)
    _not_bool(input, "addmm_impl_cpu_" if m <= 2 else "bmm")
    if m == 1:
        _check_fold(input, (other._a.shape[0], 1))
        return _fold(input, other.unsqueeze(1)).squeeze(-1)
    if n == 1:
        _check_fold(input.unsqueeze(0), other._a.shape[-2:])
        if m == 2:
            return _mm(input.unsqueeze(0), other).squeeze(0)
        return _nn(input.unsqueeze(0), other).squeeze(-2)
    if m == 2:
        _check_fold(input, other._a.shape)
        return _fold(input, other)
    a, b = input._a.shape, other._a.shape
    from ..tensor.geometry import broadcast_shapes
    batch = broadcast_shapes(a[:-2], b[:-2])
    if a[-1] != b[-2]:
        count = 1
        for s in batch:
            count *= s
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{count}, {a[-1]}] but got: [{count}, {b[-2]}].")
    return _nn(input, other)


def _check_fold(a, shape):
    k = a._a.shape[-1]
    if k != shape[-2]:
        rows = a._a.size // k if k else 0
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and "
                           f"{shape[-2]}x{shape[-1]})")


# ---------------------------------------------------------------- sums and products

def _scaled(g, x):
    return g if x == 1 else g * (x.conjugate() if type(x) is complex else x)


def _into(a, shape, beta, d):
    """A fresh array of `shape` with ``beta * a``."""
    out = alloc(shape, d)
    if beta == 0:
        out.fill(0)
        return out
    copy_array(out, a)
    if beta != 1:
        _scale(out, beta)
    return out


def _scale(out, beta):
    d = out.dtype
    if d.itemsize == 2 and d.kind not in "iu":
        out[...] = (out.astype(np.float32) * np.float32(beta)).astype(d)
    else:
        out *= d.type(beta)


def _accumulate(out, a, b, alpha):
    """``out += alpha * a @ b`` for matrices."""
    call = kernel_for(out.dtype)
    if not out.size or not a.shape[-1]:
        return out
    if call is not None:
        a, alpha = scaled(a, alpha)
        call(out, a, b, None, alpha, True)
    elif out.dtype.itemsize == 2 and out.dtype.kind not in "iu":
        out[...] = (out.astype(np.float32) + np.float32(alpha) * np.matmul(
            a.astype(np.float32), b.astype(np.float32))).astype(out.dtype)
    else:
        r = np.matmul(a, b)
        if alpha != 1:
            r *= r.dtype.type(alpha)
        out += r
    return out


def _factors(input, beta, alpha):
    """beta and alpha as numbers of the tensor's kind."""
    c = input.dtype.category
    if c < dtypes.FLOAT:
        return int(beta), int(alpha)
    if c == dtypes.FLOAT:
        return float(beta), float(alpha)
    return complex(beta), complex(alpha)


_PRODUCT = {"self": lambda g, beta: _scaled(g, beta)}


@primitive("addmm(Tensor self, Tensor mat1, Tensor mat2, Scalar beta, Scalar alpha) -> Tensor",
           vjp={**_PRODUCT, "mat1": lambda g, mat2, alpha: _scaled(_nt(g, mat2), alpha),
                "mat2": lambda g, mat1, alpha: _scaled(_tn(mat1, g), alpha)})
def _addmm(c, a, b, beta, alpha):
    m, n = a.shape[0], b.shape[1]
    if beta == 1 and alpha == 1 and c.shape == (n,) and c.flags.c_contiguous:
        call = kernel_for(a.dtype)
        if call is not None:
            out = alloc((m, n), a.dtype)
            call(out, a, b, c)
            return out
    d = a.dtype
    out = alloc((m, n), d)
    if added(out, a, b, c, beta, alpha) is not None:
        return out
    if d.itemsize == 2 and d.kind not in "iu" and beta not in (0, 1):
        # beta * c must not be rounded by itself: 16-bit floats are rounded once, at the end.
        wide = np.dtype(np.float32)
        c, a, b = c.astype(wide), a.astype(wide), b.astype(wide)
        return _accumulate(_into(c, (m, n), beta, wide), a, b, alpha).astype(d)
    return _accumulate(_into(c, (m, n), beta, d), a, b, alpha)


@public(out=True, inplace=True)
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """``beta * input + alpha * mat1 @ mat2``; with beta 0 the input's values don't matter."""
    for k, t in (("mat1", mat1), ("mat2", mat2)):
        if t._a.ndim != 2:
            raise RuntimeError(f"{k} must be a matrix, got {t._a.ndim}-D tensor")
    a, b = mat1._a.shape, mat2._a.shape
    if a[1] != b[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")
    _same(mat1, mat2)
    if input.dtype is not mat2.dtype:
        raise RuntimeError("self and mat2 must have the same dtype, but got "
                           f"{scalar_name(input.dtype)} and {scalar_name(mat2.dtype)}")
    expanded(input, (a[0], b[1]))
    _not_bool(input, "addmm_impl_cpu_")
    return _addmm(input, mat1, mat2, *_factors(input, beta, alpha))


@primitive("addmv(Tensor self, Tensor mat, Tensor vec, Scalar beta, Scalar alpha) -> Tensor",
           vjp={**_PRODUCT, "mat": lambda g, vec, alpha: _scaled(g.unsqueeze(1) * _conj(vec), alpha),
                "vec": lambda g, mat, alpha: _scaled(_mv_adjoint(mat, g), alpha)})
def _addmv(c, a, v, beta, alpha):
    out = alloc((a.shape[0],), a.dtype)
    # The transposed product has one row: its elements, and those of `c`, are adjacent.
    if added(out[None], v[None], a.T, c, beta, alpha) is None:
        out = _into(c, out.shape, beta, a.dtype)
        _accumulate(out[:, None], a, v[:, None], alpha)
    return out


@public(out=True, inplace=True)
def addmv(input, mat, vec, *, beta=1, alpha=1):
    """``beta * input + alpha * mat @ vec``."""
    if mat._a.ndim != 2 or vec._a.ndim != 1 or input._a.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input._a.ndim}, {mat._a.ndim}, "
                           f"{vec._a.ndim}")
    n, m = mat._a.shape
    if m != vec._a.shape[0] or (input._a.ndim == 1 and input._a.shape[0] not in (1, n)):
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{m}), vec ({vec._a.shape[0]})")
    if mat.dtype is not vec.dtype or input.dtype is not vec.dtype:
        raise RuntimeError("addmv input tensors must have the same dtype, but got " + ", ".join(
            scalar_name(t.dtype) for t in (input, mat)) + f", and {scalar_name(vec.dtype)}")
    return _addmv(input, mat, vec, *_factors(input, beta, alpha))


@primitive("baddbmm(Tensor self, Tensor batch1, Tensor batch2, Scalar beta, Scalar alpha) -> Tensor",
           vjp={**_PRODUCT, "batch1": lambda g, batch2, alpha: _scaled(_nt(g, batch2), alpha),
                "batch2": lambda g, batch1, alpha: _scaled(_tn(batch1, g), alpha)})
def _baddbmm(c, a, b, beta, alpha):
    out = alloc((a.shape[0], a.shape[1], b.shape[2]), a.dtype)
    if added(out, a, b, c, beta, alpha) is not None:
        return out
    out = _into(c, out.shape, beta, a.dtype)
    if a.shape[2] and out.size:
        if kernel_for(a.dtype) is None:
            for k in range(a.shape[0]):
                _accumulate(out[k], a[k], b[k], alpha)
        else:
            batched(a, b, out, alpha, True)
    return out


@public(out=True, inplace=True)
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """``beta * input + alpha * batch1 @ batch2`` for batches of matrices."""
    _check_batches(batch1, batch2)
    shape = (batch1._a.shape[0], batch1._a.shape[1], batch2._a.shape[2])
    expanded(input, shape)
    if not input.dtype is batch1.dtype is batch2.dtype:
        raise RuntimeError(f"Input dtypes must be the same, got: input {_cpp(input)}, batch1: "
                           f"{_cpp(batch1)}, batch2: {_cpp(batch2)}")
    return _baddbmm(input, batch1, batch2, *_factors(input, beta, alpha))


@primitive("addbmm(Tensor self, Tensor batch1, Tensor batch2, Scalar beta, Scalar alpha) -> Tensor",
           vjp={**_PRODUCT, "batch1": lambda g, batch2, alpha: _scaled(_nt(g, batch2), alpha),
                "batch2": lambda g, batch1, alpha: _scaled(_tn(batch1, g), alpha)})
def _addbmm(c, a, b, beta, alpha):
    shape, d = (a.shape[1], b.shape[2]), a.dtype
    if d.itemsize == 2 and d.kind not in "iu":
        # Rounded once, after all products.
        wide = np.dtype(np.float32)
        return _addbmm_into(_into(c.astype(wide), shape, beta, wide), a.astype(wide), b.astype(wide), alpha).astype(d)
    return _addbmm_into(_into(c, shape, beta, d), a, b, alpha)


def _addbmm_into(out, a, b, alpha):
    for k in range(a.shape[0]):
        _accumulate(out, a[k], b[k], alpha)
    return out


@public(out=True)
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """``beta * input + alpha * sum_k batch1[k] @ batch2[k]``."""
    x, y = batch1._a.shape, batch2._a.shape
    if len(x) == 3 and len(y) == 3 and x[0] == y[0] and x[2] != y[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({x[1]}x{x[2]} and {y[1]}x{y[2]})")
    _check_batches(batch1, batch2)
    expanded(input, (x[1], y[2]))
    if batch1.dtype is not batch2.dtype or input.dtype is not batch1.dtype:
        raise RuntimeError("Input dtypes must be the same")
    return _addbmm(input, batch1, batch2, *_factors(input, beta, alpha))


def _addbmm_inplace(input, batch1, batch2, *, beta=1, alpha=1):
    """In-place version of :func:`addbmm`; an input that had to be expanded takes the result's size."""
    arguments, factors = (batch1, batch2), {"beta": beta, "alpha": alpha}
    if input._a.shape == (batch1._a.shape[-2], batch2._a.shape[-1]):
        return apply(addbmm, input, arguments, factors, "addbmm")
    result = addbmm(input, *arguments, **factors)
    if result.requires_grad:
        raise NotImplementedError("addbmm_: a tensor that needs a gradient can't change its size "
                                  f"from {list(input._a.shape)} to {list(result._a.shape)}")
    return input.resize_(result._a.shape).copy_(result)


METHODS["addbmm_"] = _addbmm_inplace


@primitive("addr(Tensor self, Tensor vec1, Tensor vec2, Scalar beta, Scalar alpha) -> Tensor",
           vjp={**_PRODUCT,
                "vec1": lambda g, vec2, alpha: _scaled(_mv(g, _conj(vec2)), alpha),
                "vec2": lambda g, vec1, alpha: _scaled(_mv(g.t(), _conj(vec1)), alpha)})
def _addr(c, x, y, beta, alpha):
    d = c.dtype
    if d.itemsize == 2 and d.kind not in "iu":
        c, x, y = (z.astype(np.float32) for z in (c, x, y))
    r = np.multiply.outer(x, y)
    if d.kind == "b":
        return np.logical_or(r if alpha else False, c if beta else False) & np.ones(r.shape, bool)
    if alpha != 1:
        r = r * r.dtype.type(alpha)
    if beta != 0:
        r = r + (c if beta == 1 else c * c.dtype.type(beta))
    return r.astype(d, copy=False)


@public(out=True, inplace=True)
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    """``beta * input + alpha * outer(vec1, vec2)``."""
    for k, t in (("vec1", vec1), ("vec2", vec2)):
        if t._a.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {k}, but got {t._a.ndim}-D")
    expanded(input, (vec1._a.shape[0], vec2._a.shape[0]))
    d = dtypes.result_type_of((input, vec1, vec2))
    return _addr(*[t.to(d) for t in (input, vec1, vec2)], *_factors(input.to(d), beta, alpha))
