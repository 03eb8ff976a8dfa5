"""How sparse tensors are kept: coordinates and values, or compressed rows or columns and values.

`Coo` has a column of `indices` (sparse_dim, nnz) for each of the `values` (nnz, *dense sizes); a position may come
several times until the tensor is coalesced. `Compressed` has for each row (or column) the part of `plain`, its columns
(or rows), that lies between two entries of `compressed`; values may be blocks. Both are `tensor.parts.Parts`: ops on
them are found in `OPS` under the record they stand for.
"""

import rushlight as torch
from rushlight import devices
from rushlight.tensor.parts import Parts, assembled, closed, opened, refused

OPS = {}                    # key of a record -> handler over the record's arguments
ROWS = (devices.sparse_csr, devices.sparse_bsr)
BLOCKS = (devices.sparse_bsr, devices.sparse_bsc)
_NAMES = {devices.sparse_csr: "SparseCsr", devices.sparse_csc: "SparseCsc", devices.sparse_bsr: "SparseBsr",
          devices.sparse_bsc: "SparseBsc", devices.sparse_coo: "Sparse", devices.strided: "Strided"}


def handles(*keys):
    """Decorator: the function runs the records of these names (``name.overload``) on sparse arguments."""
    def deco(fn):
        for key in keys:
            OPS[key] = fn
        return fn
    return deco


def layout_name(t):
    """The layout of `t` as PyTorch's messages spell it."""
    return _NAMES.get(t.layout, str(t.layout))


_loaded = False


def _load():
    global _loaded
    if not _loaded:
        _loaded = True
        from . import elementwise, products, reductions, shaping  # noqa: F401


class Sparse(Parts):
    """What the layouts share."""

    __slots__ = ("values",)

    def inner(self):
        return self.values

    def reshaped(self, t, shape):
        """RuntimeError: there is no reshape of sparse tensors."""
        raise RuntimeError("reshape is not implemented for sparse tensors")

    def takeover(self, rec, args):
        _load()
        key = rec.schema.partition("(")[0]
        handler = OPS.get(key)
        if handler is None:
            raise refused(key.removesuffix(".Tensor"), self)
        return handler(*args)

    def text(self, t):
        from .printing import text
        return text(t)

    def number(self, t):
        if self.size != 1:
            raise RuntimeError(f"a Tensor with {self.size} elements cannot be converted to Scalar")
        with torch.no_grad():
            return t.to_dense().item()

    def nested_list(self, t):
        with torch.no_grad():
            return t.to_dense().tolist()


class Coo(Sparse):
    """Coordinates and values.

    whole: (indices, values, a row that was left out of these) where a capture asks what a gradient was made of.
    """

    __slots__ = ("indices", "coalesced", "whole")
    layout = devices.sparse_coo
    backend = "SparseCPU"
    kind = "Sparse"

    def __init__(self, shape, indices, values, coalesced=False):
        super().__init__(shape, values._a.dtype if values is not None else None)
        self.indices, self.values, self.coalesced, self.whole = indices, values, coalesced, None

    @property
    def strides(self):
        return (0,) * self.ndim

    @property
    def sparse_dim(self):
        return self.indices._a.shape[0]

    @property
    def nnz(self):
        return self.indices._a.shape[1]

    def with_inner(self, values):
        return Coo(self.shape, self.indices, values, self.coalesced)

    def project(self, g):
        from .conversion import gathered
        return gathered(g, self)

    def embed(self, g):
        if self.coalesced:
            return closed(g, self)
        # Values that share a position have the gradient of the element they add up to, each of them.
        from .conversion import distinct
        pattern, first = distinct(self)
        return closed(g if first is None else g.index_select(0, first), pattern)

    def like(self, t, name, value, dtype, layout, requires_grad):
        from .creation import empty_coo
        if value:
            raise refused("fill_.Scalar", self)
        if layout is not None and layout is not self.layout:
            raise NotImplementedError(f"{name}: from layout {self.layout!r} to {layout!r}")
        return empty_coo(self.shape, dtype or t.dtype, requires_grad, self.sparse_dim)

    def zero(self, t):
        from .creation import empty_coo
        t._a = empty_coo(self.shape, t.dtype, sparse_dim=self.sparse_dim)._a

    def write(self, t, source):
        if not torch.is_grad_enabled() or not t.requires_grad:
            new = source._a
            if type(new) is Coo and new.indices is self.indices and new.values.dtype is t.dtype and not \
                    self.values.requires_grad:
                self.values.copy_(new.values)       # what `values()` handed out sees the change
                return
        super().write(t, source)


class Compressed(Sparse):
    """Compressed rows or columns, of single elements or of blocks."""

    __slots__ = ("layout", "compressed", "plain")
    backend = "SparseCsrCPU"

    def __init__(self, layout, shape, compressed, plain, values):
        super().__init__(shape, values._a.dtype if values is not None else None)
        self.layout, self.compressed, self.plain, self.values = layout, compressed, plain, values

    @property
    def kind(self):
        return {"SparseCsr": "Sparse CSR", "SparseCsc": "Sparse CSC", "SparseBsr": "Sparse BSR",
                "SparseBsc": "Sparse BSC"}[_NAMES[self.layout]]

    @property
    def by_rows(self):
        return self.layout in ROWS

    @property
    def batch(self):
        """Number of batch dimensions."""
        return self.compressed._a.ndim - 1

    @property
    def block(self):
        """(rows, columns) of a block, or None."""
        n = self.batch + 1
        return tuple(self.values._a.shape[n:n + 2]) if self.layout in BLOCKS else None

    @property
    def dense_dim(self):
        return self.values._a.ndim - self.batch - 1 - (2 if self.layout in BLOCKS else 0)

    @property
    def nnz(self):
        return self.plain._a.shape[-1]

    def with_inner(self, values):
        return Compressed(self.layout, self.shape, self.compressed, self.plain, values)

    def zero(self, t):
        from .creation import empty_compressed
        t._a = empty_compressed(self.shape, self.layout, t.dtype, like=self)._a

    def project(self, g):
        from .conversion import gathered_compressed
        return gathered_compressed(g, self)


def is_coo(t):
    return isinstance(t, torch.Tensor) and type(t._a) is Coo


def is_compressed(t):
    return isinstance(t, torch.Tensor) and type(t._a) is Compressed


def is_sparse(t):
    """Whether `t` has one of the sparse layouts."""
    return isinstance(t, torch.Tensor) and isinstance(t._a, Sparse)


def coo(shape, indices, values, coalesced, name):
    """A COO tensor around `values`, whose history it continues with a node of this name."""
    return closed(values, Coo(shape, indices, values, coalesced), name)


def with_values(t, values, name):
    """The pattern of sparse tensor `t` around other values."""
    return closed(values, t._a, name)


__all__ = ["OPS", "Coo", "Compressed", "Sparse", "assembled", "closed", "coo", "handles", "is_coo", "is_compressed",
           "is_sparse", "layout_name", "opened", "refused", "with_values", "ROWS", "BLOCKS"]
