"""Views that reorder, drop or add dimensions: transpose, permute, squeeze, unsqueeze and their kin."""

import warnings

from ..tensor.geometry import wrap_dim, wrap_dims
from .dispatch import view_primitive
from .inplace import check
from .registry import FUNCTIONS, METHODS, alias, public
from .views import sizes, untracked, window_on

# ---------------------------------------------------------------- permutations

@view_primitive("transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)",
                vjp={"self": lambda g, dim0, dim1: g.transpose(dim0, dim1)})
def _transpose(t, dim0, dim1):
    shape, strides = list(t._a.shape), list(t.stride())
    if shape:
        shape[dim0], shape[dim1] = shape[dim1], shape[dim0]
        strides[dim0], strides[dim1] = strides[dim1], strides[dim0]
    return tuple(shape), tuple(strides), t._offset


@public()
def transpose(input, dim0, dim1):
    """Dimensions `dim0` and `dim1` exchanged."""
    a = input._a
    n = a.ndim
    d0, d1 = wrap_dim(dim0, n), wrap_dim(dim1, n)
    if n and untracked(input):
        return window_on(input, a.swapaxes(d0, d1), input._offset)
    return _transpose(input, d0, d1)


@public()
def swapaxes(input, axis0, axis1):
    """Alias of transpose."""
    return transpose(input, axis0, axis1)


@public()
def swapdims(input, dim0, dim1):
    """Alias of transpose."""
    return transpose(input, dim0, dim1)


@view_primitive("t(Tensor(a) self) -> Tensor(a)", vjp={"self": lambda g: g.t()})
def _t(t):
    return t._a.shape[::-1], t.stride()[::-1], t._offset


@public()
def t(input):
    """The transpose of a matrix; vectors and 0-dim tensors as they are."""
    if input._a.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._a.ndim}D")
    if untracked(input):
        return window_on(input, input._a.T, input._offset)
    return _t(input)


def _inverse(dims):
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


@view_primitive("permute(Tensor(a) self, int[] dims) -> Tensor(a)",
                vjp={"self": lambda g, dims: g.permute(_inverse(dims))})
def _permute(t, dims):
    shape, strides = t._a.shape, t.stride()
    return tuple([shape[d] for d in dims]), tuple([strides[d] for d in dims]), t._offset


def permute(input, *dims):
    """The dimensions in the given order."""
    dims = sizes(dims)
    n = input._a.ndim
    if len(dims) != n:
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not "
                           f"match the length of the desired ordering of dimensions i.e. input.dim() = "
                           f"{n} is not equal to len(dims) = {len(dims)}")
    dims = tuple(wrap_dim(d, n) for d in dims)
    if len(set(dims)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    if untracked(input):
        return window_on(input, input._a.transpose(dims), input._offset)
    return _permute(input, dims)


METHODS["permute"] = permute
FUNCTIONS["torch"]["permute"] = lambda input, dims: permute(input, dims)
FUNCTIONS["torch"]["permute"].__name__ = "permute"
FUNCTIONS["torch"]["permute"].__doc__ = permute.__doc__


@public()
def movedim(input, source, destination):
    """Dimensions `source` moved to the positions `destination`, the others keeping their order."""
    n = input._a.ndim
    src = (source,) if isinstance(source, int) else tuple(source)
    dst = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(src) != len(dst):
        raise RuntimeError("movedim: Invalid source or destination dims: source "
                           f"({list(src)} dims) should contain the same number of dims as destination "
                           f"({list(dst)} dims)")
    s = tuple(wrap_dim(d, n) for d in src)
    d = tuple(wrap_dim(x, n) for x in dst)
    if len(set(s)) != len(s):
        raise RuntimeError(f"movedim: repeated dim in `source` ({list(src)})")
    if len(set(d)) != len(d):
        raise RuntimeError(f"movedim: repeated dim in `destination` ({list(dst)})")
    if n == 0:
        return _permute(input, ())
    order = [-1] * n
    for a, b in zip(s, d):
        order[b] = a
    rest = iter([i for i in range(n) if i not in s])
    return _permute(input, tuple(next(rest) if o < 0 else o for o in order))


alias("moveaxis", "movedim")


@public()
def adjoint(input):
    """The conjugate transpose of the last two dimensions."""
    return mh(input, "adjoint")


def mh(input, name="mH"):
    """Transpose of the last two dimensions, conjugated for complex input."""
    n = input._a.ndim
    if n == 0:
        return _permute(input, ())
    if n == 1:
        raise RuntimeError(f"tensor.{name}() is only supported on matrices or batches of matrices. Got "
                           f"{n}-D tensor.")
    v = _transpose(input, n - 2, n - 1)
    return v.conj() if input.dtype.is_complex else v


def mt(input):
    """Transpose of the last two dimensions."""
    n = input._a.ndim
    if n == 1:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got 1-D "
                           "tensor.")
    return _transpose(input, n - 2, n - 1) if n else _permute(input, ())


def reversed_dims(input):
    """All dimensions in reverse order (``x.T``)."""
    n = input._a.ndim
    if n not in (0, 2):
        global _warned_t
        if not _warned_t:
            _warned_t = True
            warnings.warn(
                "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
                "deprecated and it will throw an error in a future release. Consider `x.mT` to "
                "transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to "
                "reverse the dimensions of a tensor.", UserWarning, stacklevel=3)
    return _permute(input, tuple(range(n - 1, -1, -1)))


_warned_t = False


def hermitian(input):
    """The conjugate transpose of a matrix (``x.H``)."""
    n = input._a.ndim
    if n == 0:
        return input.conj() if input.dtype.is_complex else _permute(input, ())
    if n != 2:
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor."
                           + (" For batches of matrices, consider using tensor.mH" if n > 2 else ""))
    v = _transpose(input, 0, 1)
    return v.conj() if input.dtype.is_complex else v


METHODS["T"] = property(reversed_dims)
METHODS["mT"] = property(mt)
METHODS["H"] = property(hermitian)
METHODS["mH"] = property(mh)


# ---------------------------------------------------------------- squeeze and unsqueeze

def _unsqueeze_to(g, self_shape):
    return g.reshape(self_shape)


@view_primitive("squeeze(Tensor(a) self) -> Tensor(a)", vjp={"self": _unsqueeze_to})
def _squeeze(t):
    shape, strides = t._a.shape, t.stride()
    keep = [i for i, s in enumerate(shape) if s != 1]
    return tuple([shape[i] for i in keep]), tuple([strides[i] for i in keep]), t._offset


@view_primitive("squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)", node="SqueezeBackward1",
                vjp={"self": _unsqueeze_to})
def _squeeze_dim(t, dim):
    return _drop(t, (dim,))


@view_primitive("squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)", node="SqueezeBackward2",
                vjp={"self": _unsqueeze_to})
def _squeeze_dims(t, dim):
    return _drop(t, dim)


def _drop(t, dims):
    shape, strides = t._a.shape, t.stride()
    keep = [i for i, s in enumerate(shape) if s != 1 or i not in dims]
    return tuple([shape[i] for i in keep]), tuple([strides[i] for i in keep]), t._offset


_ALL = object()


@public()
def squeeze(input, *dims, dim=_ALL):
    """Without the dimensions of size 1 (all of them, or those among `dim`)."""
    if dims:
        dim = dims[0] if len(dims) == 1 else dims
    if dim is _ALL or dim is None:
        return _squeeze(input)
    n = input._a.ndim
    if isinstance(dim, (tuple, list)):
        return _squeeze_dims(input, wrap_dims(dim, n))
    return _squeeze_dim(input, wrap_dim(dim, n))


@view_primitive("unsqueeze(Tensor(a) self, int dim) -> Tensor(a)",
                vjp={"self": lambda g, dim: g.squeeze(dim)})
def _unsqueeze(t, dim):
    shape, strides = t._a.shape, t.stride()
    s = shape[dim] * strides[dim] if dim < len(shape) else 1
    return (*shape[:dim], 1, *shape[dim:]), (*strides[:dim], s, *strides[dim:]), t._offset


@public()
def unsqueeze(input, dim):
    """With a new dimension of size 1 at `dim`."""
    return _unsqueeze(input, wrap_dim(dim, input._a.ndim + 1))


# ---------------------------------------------------------------- in-place geometry

def _in_place(name, fn):
    def change(input, *args, **kwargs):
        check(input)
        v = fn(input, *args, **kwargs)
        input._a, input._offset = v._a, v._offset
        if v._grad_fn is not None:
            input._grad_fn, input._out_nr = v._grad_fn, v._out_nr
        input._storage.version += 1
        if input._view is not None:
            input._view.version = input._storage.version
        return input
    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"In-place version of :func:`{name[:-1]}`: this tensor's geometry changes."
    METHODS[name] = change


for _name, _fn in (("transpose_", transpose), ("swapaxes_", swapaxes), ("swapdims_", swapdims),
                   ("t_", t), ("squeeze_", squeeze), ("unsqueeze_", unsqueeze)):
    _in_place(_name, _fn)


@public("as_strided_", namespaces=("torch",))
def as_strided_(input, size, stride, storage_offset=None):
    """Change this tensor's sizes, strides and offset."""
    from .views import as_strided
    check(input)
    v = as_strided(input, size, stride, storage_offset)
    input._a, input._offset = v._a, v._offset
    if v._grad_fn is not None:
        input._grad_fn, input._out_nr = v._grad_fn, v._out_nr
    input._storage.version += 1
    return input
