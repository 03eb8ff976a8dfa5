"""Advanced indexing of arrays: ``a[indices]`` for index arrays that broadcast together, None for whole dimensions.

The indexed dimensions stand, in the result, where the first index stood if all are adjacent, else first. A single
mask from the first dimension on stands for the coordinates of its true elements.
"""

import numpy as np

from ..compiler import available
from ..runtime.allocator import empty
from ..tensor import watch
from . import walks
from .selection import Mask

_LONG = np.dtype(np.int64)
FEW = 512                  # elements for which NumPy's indexing starts sooner than our kernels


class Places:
    """Where ``a[indices]`` lies: the result's shape and the walk that visits it."""

    __slots__ = ("a", "shape", "n", "step", "wrap", "index", "dims", "lead", "count")

    def __init__(self, a, indices):
        self.a = a
        dims = [d for d, i in enumerate(indices) if i is not None]
        first = dims[0]
        if any(not a.shape[d] for d in dims) and all(indices[d].size for d in dims):
            raise IndexError("index is out of bounds for dimension with size 0")
        arrays = [walks.positions(indices[d]) for d in dims]
        if len(arrays) == 1:
            shape = arrays[0].shape
            self.index = arrays[0].reshape(-1)
            self.n, self.step, self.wrap = a.shape[first], a.strides[first], True
        else:
            arrays = np.broadcast_arrays(*arrays)
            shape = arrays[0].shape
            self.index = _offsets(a, dims, arrays)
            # Offsets are right already; any bound beyond them will do.
            self.n, self.step, self.wrap = 1 << 62, 1, False
        adjacent = dims[-1] - first + 1 == len(dims)
        rest = [d for d in range(a.ndim) if d not in dims]
        self.lead = first if adjacent else 0
        before, after = rest[:self.lead], rest[self.lead:]
        self.shape = (*[a.shape[d] for d in before], *shape, *[a.shape[d] for d in after])
        self.dims = [(d, k) for k, d in enumerate(before)] + \
            [(d, self.lead + len(shape) + k) for k, d in enumerate(after)]
        self.count = len(shape)

    def run(self, op, v):
        """The walk `op` between the array and `v`, of the result's shape."""
        lead, last = self.lead, self.lead + self.count
        along = walks.merged([(n, 0, 0, step) for n, step in zip(v.shape[lead:last], v.strides[lead:last])])
        if len(along) > 1:
            # The index dimensions of v have to run on into one.
            v = np.ascontiguousarray(v)
            along = [(0, 0, 0, v.strides[last - 1])]
        dims = [(self.a.shape[d], self.a.strides[d], 0, v.strides[k]) for d, k in self.dims]
        picked = self.index.size, self.index.strides[0], along[0][3] if along else 0
        if walks.launch(op, self.a, self.index, v, self.n, self.step, self.wrap, picked, dims[:lead], dims[lead:]):
            i = walks.first_outside(self.index, self.n, True)
            raise _outside(i, self.dims_of_index(), self.n)

    def dims_of_index(self):
        """The dimension of a single index."""
        taken = {d for d, _ in self.dims}
        return next(d for d in range(self.a.ndim) if d not in taken)


def _outside(i, dim, n):
    return IndexError(f"index {i} is out of bounds for dimension {dim} with size {n}")


def _offsets(a, dims, arrays):
    """Byte offsets of the places that several index arrays of one shape name."""
    from ..compiler.templates.positions import kernel
    out = empty((arrays[0].size,), _LONG)
    args = []
    keep = [np.ascontiguousarray(i) for i in arrays]
    for d, i in zip(dims, keep):
        args += i, a.shape[d], a.strides[d]
    if watch.launch(kernel(), out, out.size, *args):
        for d, i in zip(dims, arrays):
            if walks.outside(i, a.shape[d], True):
                raise _outside(walks.first_outside(i, a.shape[d], True), d, a.shape[d])
    return out


def _is_mask(indices):
    return len(indices) == 1 and indices[0].dtype.kind == "b"


def _key(indices):
    return tuple([slice(None) if i is None else i for i in indices])


def get(a, indices):
    """``a[indices]``, in C order."""
    if a.size <= FEW and watch.observer is None:
        few = True
        for i in indices:
            if i is not None and i.size > FEW:
                few = False
        if few:
            return _numpy_get(a, indices)
    if _is_mask(indices):
        if watch.observer is not None:
            watch.observer.fail()
        mask = Mask(indices[0])
        if mask.array.ndim == a.ndim:
            return mask.pack(a)
        flat, rest = _flattened(a, mask)
        out = empty((mask.total, *rest), a.dtype)
        walks.get_rows(flat, 0, mask.positions(), out)
        return out
    if not available():
        return _numpy_get(a, indices)
    places = Places(a, indices)
    out = empty(places.shape, a.dtype)
    places.run("get", out)
    return out


def _numpy_get(a, indices):
    try:
        r = a.take(indices[0], 0) if len(indices) == 1 and indices[0].dtype.kind != "b" else a[_key(indices)]
    except IndexError as error:
        if 0 in a.shape:
            raise IndexError("index is out of bounds for dimension with size 0") from None
        raise IndexError(str(error).replace("axis", "dimension")) from None
    return r if r.flags.c_contiguous else np.ascontiguousarray(r).reshape(r.shape)


def _flattened(a, mask):
    """`a` with the mask's dimensions made one (a copy if they do not run on), and the other dimensions."""
    rest = a.shape[mask.array.ndim:]
    return a.reshape(mask.array.size, *rest), rest


def put(out, indices, values):
    """``out[indices] = values``, which broadcast; the last of repeated positions wins."""
    _write(out, indices, values, "put")


def add(out, indices, values):
    """``out[indices] += values``, repeated positions adding up in order."""
    if out.dtype.kind != "c" and walks.narrow(out.dtype):
        from .copy import converted, copy_array
        single = np.dtype(np.float32)
        wide = converted(out, single, "C")
        _write(wide, indices, converted(values, single, "C"), "add")
        copy_array(out, wide)
    else:
        _write(out, indices, values, "add")


def _write(out, indices, values, op):
    few = op == "put" and out.size <= FEW and values.size <= FEW
    if few or not available() or out.dtype.kind == "c" and op == "add":
        _write_numpy(out, indices, values, op)
        return
    if _is_mask(indices):
        mask = Mask(indices[0])
        whole = mask.array.ndim == out.ndim
        values = _fitted(values, (mask.total, *out.shape[mask.array.ndim:]))
        if whole and op == "put" and out.flags.c_contiguous and out.itemsize <= 16:
            mask.spread(out, np.ascontiguousarray(values))
            return
        indices = list(mask.coordinates()) if mask.array.ndim else [mask.positions()]
        if not mask.array.ndim:
            out = out.reshape(1)
    places = Places(out, indices)
    places.run(op, _fitted(values, places.shape))


def _write_numpy(out, indices, values, op):
    key = _key(indices)
    try:
        if values.ndim:
            values = _fitted(values, np.empty(out.shape, bool)[key].shape)
        if op == "put":
            out[key] = values
        else:
            np.add.at(out, key, values)
    except IndexError as error:
        raise IndexError(str(error).replace("axis", "dimension")) from None


def _fitted(values, shape):
    """`values` broadcast to the shape of the places they go to."""
    if values.shape == shape:
        return values
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values[0]
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
                           f"indexing result of shape {list(shape)}") from None
