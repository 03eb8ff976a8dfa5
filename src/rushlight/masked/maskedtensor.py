"""Tensors some of whose elements do not count.

A `MaskedTensor` holds data and a bool mask of the same shape, True where an element counts. Elementwise ops keep the
mask (two masked operands must have the same), ops that move elements move both, reductions leave out what does not
count; an element of their result counts where any that went into it did.
"""

import rushlight as torch
from rushlight import devices
from rushlight.tensor.parts import Parts, closed, opened

_DTYPES = ("float16", "bfloat16", "float32", "float64", "bool", "int8", "int16", "int32", "int64")
_MOVES = frozenset((
    "view", "_unsafe_view", "alias", "expand", "transpose.int", "t", "permute", "squeeze", "squeeze.dim",
    "squeeze.dims", "unsqueeze", "select.int", "slice.Tensor", "split.Tensor", "split_with_sizes", "diagonal",
    "index_select", "cat", "stack", "flip", "roll", "repeat", "clone", "tril", "triu", "index.Tensor"))
_REDUCTIONS = {"sum": "sum", "sum.dim_IntList": "sum", "mean": "mean", "mean.dim": "mean", "amax": "amax",
               "amin": "amin", "prod": "prod", "prod.dim_int": "prod", "max": "amax", "min": "amin",
               "argmax": "argmax", "argmin": "argmin", "var.correction": "var", "std.correction": "std",
               "linalg_vector_norm": "norm", "all": "all"}


class Masked(Parts):
    """Data and mask, in the place of an array."""

    __slots__ = ("data", "mask")
    layout = devices.strided
    backend = "MaskedTensor"
    kind = "Masked"

    def __init__(self, data, mask):
        super().__init__(data._a.shape, data._a.dtype)
        self.data, self.mask = data, mask

    @property
    def strides(self):
        return self.data._a.strides

    @property
    def device(self):
        return self.data.device

    def inner(self):
        return self.data

    def with_inner(self, values):
        return Masked(values, self.mask)

    def text(self, t):
        return text(t)

    def number(self, t):
        if self.size != 1:
            raise RuntimeError(f"a Tensor with {self.size} elements cannot be converted to Scalar")
        return self.data.item()

    def nested_list(self, t):
        raise RuntimeError(".tolist() is not supported for tensor subclasses, got MaskedTensor")

    def zero(self, t):
        t._a = Masked(torch.zeros_like(self.data), self.mask)

    def takeover(self, rec, args):
        key = rec.schema.partition("(")[0]
        if rec.kind == "pointwise" or key == "_to_copy":
            return closed(rec.call(*[_data(x) for x in args]), Masked(self.data, _common_mask(args)), rec.node_name)
        if key in _MOVES:
            return _moved(rec, args)
        if key in _REDUCTIONS:
            return _reduced(_REDUCTIONS[key], rec, *args)
        if key in ("_softmax", "_log_softmax"):
            fill = torch.where(self.mask, opened(args[0]), -float("inf"))
            return closed(rec.call(fill, *args[1:]), self, rec.node_name)
        raise TypeError(f"no implementation found for 'torch.{rec.name}' on types that implement __torch_function__: "
                        "[MaskedTensor]")


def _data(x):
    return opened(x) if is_masked_tensor(x) else x


def _common_mask(args):
    found = None
    for x in args:
        if is_masked_tensor(x):
            if found is not None and (found.shape != x._a.mask.shape or not torch.equal(found, x._a.mask)):
                raise ValueError("Input masks must match. If you need support for this, please open an issue on "
                                 "Github.")
            found = x._a.mask
    shape = torch.broadcast_shapes(*[x.shape for x in args if isinstance(x, torch.Tensor)])
    return found if found.shape == shape else found.expand(shape)


def _moved(rec, args):
    def part(x, which):
        if is_masked_tensor(x):
            return which(x)
        if isinstance(x, (list, tuple)):
            return type(x)(part(y, which) for y in x)
        if isinstance(x, torch.Tensor) and which is not opened and rec.name in ("cat", "stack"):
            return torch.ones(x.shape, dtype=torch.bool)
        return x
    data = rec.call(*[part(x, opened) for x in args])
    mask = rec.call(*[part(x, get_mask) for x in args])
    if isinstance(data, tuple):
        return tuple(closed(d, Masked(d, m), rec.node_name) for d, m in zip(data, mask))
    return closed(data, Masked(data, mask), rec.node_name)


def get_mask(x):
    """The mask of a MaskedTensor."""
    return x._a.mask


def _reduced(name, rec, x, *params):
    from . import reductions
    given = dict(zip([a.name for a in rec.args[1:]], params))
    dim, keepdim = given.get("dim"), bool(given.get("keepdim"))
    dim = None if dim is None or dim == () else dim
    mask = x._a.mask
    data = opened(x)
    if name == "all":
        out = torch.all(torch.where(mask, data, True), *params) if dim is not None else (data | ~mask).all()
    elif name == "norm":
        out = reductions.norm(data, given["ord"], dim, keepdim=keepdim, mask=mask)
    elif name in ("var", "std"):
        out = getattr(reductions, name)(data, dim, correction=given["correction"], keepdim=keepdim, mask=mask)
    elif name in ("argmax", "argmin"):
        out = getattr(reductions, name)(data, dim[0] if type(dim) is tuple else dim, keepdim=keepdim,
                                        dtype=torch.int64, mask=mask)
    else:
        out = getattr(reductions, name)(data, dim, keepdim=keepdim, mask=mask)
    counts = mask.any() if dim is None else torch.any(mask, dim, keepdim)
    return closed(out, Masked(out, counts.reshape(out.shape)), rec.node_name)


class MaskedTensor(torch.Tensor):
    """A tensor with a mask of the elements that count: ``MaskedTensor(data, mask, requires_grad=False)``.

    Errors: TypeError for what is no tensor, a mask that is not bool, or complex data; ValueError for sizes that differ.
    """

    _plain_subclass = True

    def __new__(cls, data, mask, requires_grad=False):
        _check(data, mask)
        t = closed(data.detach().clone(), Masked(data, mask.clone()), cls=MaskedTensor)
        return t.requires_grad_() if requires_grad else t

    def get_data(self):
        """The data, elements that do not count included."""
        return opened(self)

    def get_mask(self):
        """The mask."""
        return self._a.mask

    def to_tensor(self, value):
        """The data with `value` where elements do not count."""
        data = opened(self)
        return torch.where(self._a.mask, data, torch.scalar_tensor(value, dtype=data.dtype))

    def to_dense(self):
        """This tensor: it is not sparse."""
        return self

    def to_sparse(self, *args, **kwargs):
        """NotImplementedError: masked tensors of sparse layouts are not there."""
        raise NotImplementedError("MaskedTensor.to_sparse: masked tensors of sparse layouts are not implemented")

    to_sparse_coo = to_sparse_csr = to_sparse

    def numpy(self, *, force=False):
        """RuntimeError: take ``get_data()`` or ``to_tensor(value)``."""
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    def __matmul__(self, other):
        raise TypeError(f"unsupported operand type(s) for @: 'MaskedTensor' and '{type(other).__name__}'")

    def __repr__(self, *, tensor_contents=None):
        return text(self)

    __str__ = __repr__


MaskedTensor.__module__ = "torch.masked.maskedtensor.core"
Masked.tensor_class = MaskedTensor


def _check(data, mask):
    if not isinstance(data, torch.Tensor):
        raise TypeError("data must be a Tensor")
    if not isinstance(mask, torch.Tensor):
        raise TypeError("mask must be a Tensor")
    if is_masked_tensor(data) or is_masked_tensor(mask):
        raise TypeError("data and mask must not be MaskedTensors")
    if mask.dtype is not torch.bool:
        raise TypeError("mask must have dtype bool.")
    if data.dtype.name not in _DTYPES:
        raise TypeError(f"{data.dtype} is not supported in MaskedTensor.")
    if data.dim() != mask.dim():
        raise ValueError("data.dim() must equal mask.dim()")
    if data.shape != mask.shape:
        raise ValueError("data.size() must equal mask.size()")


def masked_tensor(data, mask, requires_grad=False):
    """A MaskedTensor on a copy of `data`, without its history."""
    return MaskedTensor(data, mask, requires_grad)


def as_masked_tensor(data, mask):
    """A MaskedTensor of `data` through which gradients flow back to it."""
    _check(data, mask)
    return closed(data, Masked(data, mask), "AsMaskedTensorBackward0", cls=MaskedTensor)


def is_masked_tensor(obj, /):
    """Whether `obj` is a MaskedTensor."""
    return isinstance(obj, torch.Tensor) and type(obj._a) is Masked


# ---------------------------------------------------------------- text

def _number(x):
    return f"{x:8.4f}" if isinstance(x, float) else str(x)


def _lines(data, mask, depth):
    pad = "  " * depth
    if data.dim() == 1:
        shown = [_number(x) if m else "      --" for x, m in zip(data.tolist(), mask.tolist())]
        return f"{pad}[{', '.join(shown)}]"
    rows = ",\n".join(_lines(d, m, depth + 1) for d, m in zip(data, mask))
    return f"{pad}[\n{rows}\n{pad}]"


def text(t):
    """``MaskedTensor(...)`` with ``--`` where an element does not count."""
    data, mask = t._a.data.detach(), t._a.mask
    if not data.dim():
        return f"MaskedTensor({_number(data.item())}, True)" if mask.item() else "MaskedTensor(--, False)"
    return f"MaskedTensor(\n{_lines(data, mask, 1)}\n)"


__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]
