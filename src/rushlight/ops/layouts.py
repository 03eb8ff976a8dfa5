"""Public names of tensors in other layouts; what they do is in the package `sparse`, loaded on first use."""

from importlib import import_module

from .registry import METHODS, public

_LAYOUT_NAMES = {"torch.sparse_coo": "Sparse", "torch.sparse_csr": "SparseCsr", "torch.sparse_csc": "SparseCsc",
                 "torch.sparse_bsr": "SparseBsr", "torch.sparse_bsc": "SparseBsc", "torch.strided": "Strided",
                 "torch.jagged": "Jagged"}


def _sparse(module, name):
    return getattr(import_module("..sparse." + module, __package__), name)


def _later(name, module, doc):
    def function(*args, **kwargs):
        return _sparse(module, name)(*args, **kwargs)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    public(name, method=False)(function)


_later("sparse_coo_tensor", "creation",
       """(indices, values, size=None): a tensor from coordinates, element ``values[k]`` at position ``indices[:, k]``.

    indices (sparse_dim, nnz) integers; values (nnz, *dense sizes); size: the least that holds all indices by default.
    ``sparse_coo_tensor(size)`` is empty. RuntimeError where sizes do not fit.
    """)
_later("sparse_compressed_tensor", "creation",
       """(compressed_indices, plain_indices, values, size=None): a tensor from compressed rows or columns, by `layout`.

    compressed_indices (*batch, lines + 1): where each line starts among the elements; plain_indices (*batch, nnz): the
    other coordinate; values (*batch, nnz, *block, *dense sizes). RuntimeError for layouts that are not compressed.
    """)
for _name, _lines, _what in (("csr", "row", "rows"), ("csc", "column", "columns"), ("bsr", "row", "rows of blocks"),
                             ("bsc", "column", "columns of blocks")):
    _later(f"sparse_{_name}_tensor", "creation",
           f"(c{_lines[:3]}_indices, {'col' if _lines == 'row' else 'row'}_indices, values, size=None): "
           f"`sparse_compressed_tensor` of compressed {_what}.")
_later("hspmm", "products", "The product of a sparse (n, m) and a dense (m, p) matrix, as a hybrid sparse tensor whose "
       "elements are rows.")


@public()
def smm(input, mat):
    """The product of a sparse and a dense matrix, as a sparse tensor."""
    return _sparse("products", "smm")(input, mat)


@public()
def sspaddmm(input, mat1, mat2, *, beta=1, alpha=1):
    """``beta * input + alpha * (mat1 @ mat2)`` of sparse `input` and `mat1`, as a sparse tensor."""
    return _sparse("products", "sspaddmm")(input, mat1, mat2, beta=beta, alpha=alpha)


@public("spmm", method=False)
def spmm(input, mat2):
    """``input @ mat2``."""
    return input.mm(mat2)


public("dsmm", method=False)(lambda input, mat2: input.mm(mat2))


# ---------------------------------------------------------------- conversions

def _method(fn):
    METHODS[fn.__name__] = fn
    return fn


@_method
def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """This tensor in a sparse layout, by default coordinates of the elements that are not zero."""
    return _sparse("conversion", "to_sparse")(self, sparse_dim, layout=layout, blocksize=blocksize,
                                              dense_dim=dense_dim)


@_method
def to_sparse_coo(self):
    """This tensor as coordinates and values."""
    return _sparse("conversion", "to_sparse")(self)


def _to_compressed(short, blocks):
    if blocks:
        def method(self, blocksize, dense_dim=None):
            from .. import devices
            layout = getattr(devices, f"sparse_{short}")
            return _sparse("compressed", "to_compressed")(self, layout, blocksize, dense_dim)
    else:
        def method(self, dense_dim=None):
            from .. import devices
            layout = getattr(devices, f"sparse_{short}")
            return _sparse("compressed", "to_compressed")(self, layout, None, dense_dim)
    method.__name__ = method.__qualname__ = f"to_sparse_{short}"
    method.__doc__ = f"This tensor in the {short.upper()} layout."
    _method(method)


for _short in ("csr", "csc", "bsr", "bsc"):
    _to_compressed(_short, _short[0] == "b")


@_method
def to_dense(self, dtype=None, *, masked_grad=None):
    """This tensor with all its elements; itself if it is dense."""
    if hasattr(type(self._a), "dense"):
        return self._a.dense(self)
    if self.layout is _strided():
        return self if dtype is None else self.to(dtype)
    return _sparse("conversion", "to_dense")(self, dtype, masked_grad=masked_grad)


def _strided():
    from ..devices import strided
    return strided


@_method
def sparse_mask(self, mask):
    """The elements of this tensor where the sparse tensor `mask` has some."""
    if not hasattr(type(mask._a), "in_parts"):
        raise RuntimeError("sparse_mask: expected mask to have a sparse layout, but got Strided")
    return _sparse("conversion", "sparse_mask")(self, mask)


@_method
def to_padded_tensor(self, padding, output_size=None):
    """The components of a nested tensor in one dense tensor, filled up with `padding`."""
    from ..nested import to_padded_tensor
    return to_padded_tensor(self, padding, output_size)


# ---------------------------------------------------------------- parts

def _name_of(t):
    return _LAYOUT_NAMES.get(repr(t.layout), repr(t.layout))


def _coo(t, what):
    if repr(t.layout) != "torch.sparse_coo":
        raise RuntimeError(f"{what} expected sparse coordinate tensor layout but got {_name_of(t)}")
    return t._a


def _only_sparse(t, name):
    a = t._a
    if not hasattr(type(a), "in_parts") or not hasattr(type(a), "nnz"):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: {name} is not "
                                  f"implemented for tensors of layout {t.layout!r}.")
    return a


@_method
def coalesce(self):
    """Each position once, in ascending order, with the sum of its values."""
    _coo(self, "coalesce")
    return _sparse("conversion", "coalesce")(self)


@_method
def is_coalesced(self):
    """Whether the positions are known to be distinct and in ascending order."""
    return _coo(self, "is_coalesced").coalesced


@_method
def _coalesced_(self, coalesced):
    """Say that the positions are distinct and in ascending order (or not), in place."""
    _coo(self, "_coalesced_").coalesced = coalesced
    return self


@_method
def _indices(self):
    """The coordinates (sparse_dim, nnz), whether coalesced or not."""
    _only_sparse(self, "_indices")
    return _coo(self, "_indices").indices


@_method
def _values(self):
    """The values (nnz, *dense sizes), whether coalesced or not, without history."""
    _only_sparse(self, "_values")
    return self._a.values


@_method
def _nnz(self):
    """The number of values (of blocks in a blocked layout)."""
    return _only_sparse(self, "_nnz").nnz


def _must_be_coalesced(t, what):
    if not t._a.coalesced:
        raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first")


@_method
def indices(self):
    """The coordinates (sparse_dim, nnz) of a coalesced tensor."""
    _coo(self, "indices")
    _must_be_coalesced(self, "indices")
    return self._a.indices


@_method
def values(self):
    """The values of a sparse or nested tensor; gradients flow through."""
    a = self._a
    if not hasattr(type(a), "in_parts"):
        raise RuntimeError(f"values expected sparse tensor layout but got {_name_of(self)}")
    if hasattr(type(a), "coalesced"):
        _must_be_coalesced(self, "values")
    from ..tensor.parts import opened
    t = opened(self)
    if t._grad_fn is not None:
        t._grad_fn.__class__ = _values_node()
    return t


_node = None


def _values_node():
    global _node
    if _node is None:
        from ..tensor.parts import Opening
        _node = type("ValuesBackward0", (Opening,), {"__slots__": ()})
    return _node


def _compressed(name, rows, compressed):
    kind = "row" if rows else "column"

    def method(self):
        a = self._a
        if not hasattr(type(a), "compressed") or a.by_rows != rows:
            raise RuntimeError(f"{name} expected sparse {kind} compressed tensor layout but got {_name_of(self)}")
        return a.compressed if compressed else a.plain
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The {name.replace('_', ' ')} of a {kind} compressed tensor."
    _method(method)


for _name, _rows, _first in (("crow_indices", True, True), ("col_indices", True, False),
                             ("ccol_indices", False, True), ("row_indices", False, False)):
    _compressed(_name, _rows, _first)


def _copied(name):
    def function(input, *, out=None):
        t = METHODS[name](input).clone()
        return t if out is None else out.resize_(t.shape).copy_(t)
    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"A copy of ``input.{name}()``."
    public(f"{name}_copy", method=False)(function)


for _name in ("crow_indices", "col_indices", "ccol_indices", "row_indices", "indices", "values"):
    _copied(_name)


@_method
def sparse_dim(self):
    """The number of sparse dimensions; 0 of a dense tensor."""
    a = self._a
    if hasattr(type(a), "coalesced"):
        return a.sparse_dim
    return a.ndim - a.dense_dim - a.batch if hasattr(type(a), "compressed") else 0


@_method
def dense_dim(self):
    """The number of dense dimensions; all of a dense tensor."""
    a = self._a
    if hasattr(type(a), "coalesced"):
        return a.ndim - a.sparse_dim
    return a.dense_dim if hasattr(type(a), "compressed") else a.ndim


METHODS["_dimI"], METHODS["_dimV"] = sparse_dim, dense_dim


@_method
def sparse_resize_(self, size, sparse_dim, dense_dim):
    """Give a COO tensor another shape, in place; see ``rushlight.sparse.shaping``."""
    _only_sparse(self, "sparse_resize_")
    return _sparse("shaping", "sparse_resize_")(self, size, sparse_dim, dense_dim)


@_method
def sparse_resize_and_clear_(self, size, sparse_dim, dense_dim):
    """Drop the elements of a COO tensor and give it another shape, in place."""
    _only_sparse(self, "sparse_resize_and_clear_")
    return _sparse("shaping", "sparse_resize_and_clear_")(self, size, sparse_dim, dense_dim)
